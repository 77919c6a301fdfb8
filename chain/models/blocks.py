"""Blocks, and where they came from: raw payloads of a node, or a file of another chain."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from chain.models.network import Runtime


class ImportRun(models.Model):
    """One file of another chain's facts that was imported whole, by whom, and what it added."""

    file_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64, unique=True, help_text="Of the file as it was uploaded.")
    row_count = models.PositiveIntegerField(help_text="Rows of the file.")
    reward_count = models.PositiveIntegerField(help_text="Staker rewards it added.")
    stake_event_count = models.PositiveIntegerField(help_text="Stake events it added.")
    imported_at = models.DateTimeField()
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, help_text="Empty: by command."
    )

    class Meta:
        ordering = ["-id"]
        verbose_name = "import"

    def __str__(self) -> str:
        return f"import {self.pk}: {self.file_name}"


class Payload(models.Model):
    """Raw bytes as a node gave them, kept once under their SHA-256, so that what was read from them can be read again."""

    sha256 = models.CharField(max_length=64, primary_key=True, help_text="Of the bytes before compression.")
    body = models.BinaryField(help_text="zlib.")
    size = models.PositiveIntegerField(help_text="Bytes before compression.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="payload_named_by_digest"
            ),
            models.CheckConstraint(condition=Q(size__gt=0), name="payload_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.size:,} bytes, {self.sha256[:12]}…"


class Block(models.Model):
    """A finalized block. `spec_version` is that of the parent, which executed it.

    A slot of another chain comes from a file: without runtime and parent, and without the slots in between.
    """

    number = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=66, unique=True)
    parent_hash = models.CharField(max_length=66, blank=True)
    timestamp = models.DateTimeField(db_index=True)
    runtime = models.ForeignKey(Runtime, null=True, on_delete=models.PROTECT, related_name="+")
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="blocks")
    provider = models.TextField(
        blank=True, default="", help_text="Node or segment that it was read from; no fact depends on it."
    )
    payload = models.ForeignKey(
        Payload,
        null=True,
        on_delete=models.PROTECT,
        related_name="blocks",
        help_text="The block's raw events, where anything of ours was touched.",
    )

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(import_run__isnull=True, runtime__isnull=False)
                | Q(import_run__isnull=False, runtime__isnull=True, parent_hash=""),
                name="block_read_or_imported",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number:,}"
