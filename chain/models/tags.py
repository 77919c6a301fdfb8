"""Remarks beside stake, and whether they tag it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from chain.models.blocks import Block
from chain.models.network import ADDRESS_LENGTH
from chain.models.stake import StakeEvent
from chain.tagging.tags import ACCEPTED, SENTENCES, Reason


class Remark(models.Model):
    """A text its sender left in an extrinsic that also touched stake on our hotkeys (PA7). Kept as bytes.

    The chain's event names the text by `text_hash` only. `remark` is empty where the text stands in no call that can be
    read, or is longer than `chain.tagging.tags.REMARK_BYTES_MAX`; in the first case its length is unknown as well.
    """

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="remarks")
    event_index = models.PositiveIntegerField()
    extrinsic_index = models.PositiveIntegerField()
    sender = models.CharField(max_length=ADDRESS_LENGTH, db_index=True)
    remark = models.BinaryField(null=True)
    text_hash = models.CharField(max_length=66, db_index=True, help_text="BLAKE2b-256 of the text, 0x hex.")
    byte_count = models.PositiveIntegerField(null=True, help_text="Length of the text.")

    class Meta:
        ordering = ["-block_id", "event_index"]
        constraints = [
            models.UniqueConstraint(fields=["block", "event_index"], name="remark_once"),
            models.CheckConstraint(
                condition=Q(remark__isnull=True) | Q(byte_count__isnull=False), name="remark_text_has_length"
            ),
        ]

    def __str__(self) -> str:
        return f"remark block {self.block_id}"


class Tag(models.Model):
    """What a remark tags, one row for each stake, or one row without a stake that says why it tags nothing.

    `via_delegate` says that a proxy left the remark and the stake is that of the coldkey it acted for.
    """

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="tags")
    remark = models.ForeignKey(Remark, on_delete=models.PROTECT, related_name="tags")
    stake_event = models.OneToOneField(StakeEvent, null=True, on_delete=models.PROTECT, related_name="tag")
    accepted = models.BooleanField()
    reason = models.CharField(max_length=20, help_text="One of `chain.tagging.tags.Reason`.")
    via_delegate = models.BooleanField(default=False)

    class Meta:
        ordering = ["-block_id", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(accepted=True, stake_event__isnull=False)
                | Q(accepted=False, stake_event__isnull=True),
                name="tag_accepted_names_a_stake",
            ),
            models.CheckConstraint(
                condition=Q(accepted=True, reason__in=sorted(str(code) for code in ACCEPTED))
                | Q(accepted=False, reason__in=sorted(str(code) for code in set(Reason) - ACCEPTED)),
                name="tag_reason_fits",
            ),
            models.UniqueConstraint(fields=["remark"], condition=Q(accepted=False), name="tag_refused_once"),
        ]

    def __str__(self) -> str:
        return f"tag block {self.block_id}"

    @property
    def sentence(self) -> str:
        """Why it is accepted or refused, in words."""
        return SENTENCES[Reason(self.reason)]
