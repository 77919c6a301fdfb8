"""Backfills and their chunks: what was asked for, who reads which part, and what was read and waits to be stored.

Rows here are work, not facts: a chunk's payload is dropped the moment its blocks are stored.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, BigIntegerRangeField, RangeOperators
from django.db import models
from django.db.models import BooleanField, ExpressionWrapper, F, Q


class Backfill(models.Model):
    """A range of blocks that several workers read at once and one of them at a time stores in order."""

    class State(models.TextChoices):
        RUNNING = "RUNNING", "Running"
        PAUSED = "PAUSED", "Paused"
        STOPPED = "STOPPED", "Stopped at a gap"
        DONE = "DONE", "Done"
        CANCELLED = "CANCELLED", "Cancelled"

    class RunsOn(models.TextChoices):
        WORKERS = "WORKERS", "Celery workers"
        LOCAL = "LOCAL", "Processes of one command"

    OPEN_STATES = (State.RUNNING, State.PAUSED, State.STOPPED)
    TRANSITIONS: dict[str, frozenset[str]] = {
        State.RUNNING: frozenset({State.PAUSED, State.STOPPED, State.DONE, State.CANCELLED}),
        State.PAUSED: frozenset({State.RUNNING, State.CANCELLED}),
        State.STOPPED: frozenset({State.RUNNING, State.CANCELLED}),
        State.DONE: frozenset(),
        State.CANCELLED: frozenset(),
    }

    first_block = models.BigIntegerField()
    last_block = models.BigIntegerField()
    hotkeys = ArrayField(models.CharField(max_length=48))
    source = models.CharField(max_length=200)
    runs_on = models.CharField(max_length=8, choices=RunsOn.choices)
    parallel_max = models.PositiveIntegerField(help_text="Chunks that are read at the same time.")
    ahead_max = models.PositiveIntegerField(
        help_text="Chunks, from the next one to store on, that may be read or wait to be stored."
    )
    lease_seconds = models.PositiveIntegerField(
        help_text="A worker that is silent for so long has lost its chunk."
    )
    state = models.CharField(max_length=9, choices=State.choices, default=State.RUNNING)
    error = models.TextField(blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    asked_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When a worker last did something for it.")
    finished_at = models.DateTimeField(null=True)
    run = models.ForeignKey("chain.IngestRun", on_delete=models.PROTECT, related_name="backfills")

    class Meta:
        ordering = ["-id"]
        permissions = [("run_backfill", "Can start, pause, resume and cancel backfills and retry gaps")]
        constraints = [
            models.CheckConstraint(
                condition=Q(first_block__gte=1) & Q(last_block__gte=F("first_block")),
                name="backfill_range_valid",
            ),
            models.CheckConstraint(
                condition=Q(parallel_max__gte=1, ahead_max__gte=1, lease_seconds__gte=1),
                name="backfill_limits_positive",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["RUNNING", "PAUSED", "STOPPED"], finished_at__isnull=True)
                | Q(state__in=["DONE", "CANCELLED"], finished_at__isnull=False),
                name="backfill_finished_fits_state",
            ),
            models.CheckConstraint(
                condition=~Q(state="STOPPED") | ~Q(error=""), name="backfill_stopped_has_reason"
            ),
            # Facts are stored one after another, so two ranges could only wait for each other.
            models.UniqueConstraint(
                ExpressionWrapper(Q(finished_at__isnull=True), output_field=BooleanField()),
                condition=Q(finished_at__isnull=True),
                name="backfill_one_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"backfill {self.pk}"

    @property
    def block_count(self) -> int:
        """How many blocks were asked for."""
        return self.last_block - self.first_block + 1


class BackfillChunk(models.Model):
    """A part of a backfill that one worker reads. `payload` is what it read, see `chain.backfill.staging`."""

    class State(models.TextChoices):
        WAITING = "WAITING", "Waiting"
        READING = "READING", "Being read"
        READY = "READY", "Read"
        FAILED = "FAILED", "Failed"
        STORED = "STORED", "Stored"
        CANCELLED = "CANCELLED", "Cancelled"

    backfill = models.ForeignKey(Backfill, on_delete=models.PROTECT, related_name="chunks")
    number = models.PositiveIntegerField()
    blocks = BigIntegerRangeField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    blocks_read = models.PositiveIntegerField(default=0)
    claim = models.UUIDField(null=True, help_text="Made anew by each claim: only its holder may write.")
    worker = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(null=True, help_text="When a chunk that failed may be read again.")
    payload = models.BinaryField(null=True)
    stored_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    gap_kind = models.CharField(
        max_length=20, blank=True, help_text="The gap to record if the backfill stops here."
    )

    class Meta:
        ordering = ["backfill", "number"]
        indexes = [models.Index(fields=["backfill", "state", "number"])]
        constraints = [
            models.UniqueConstraint(fields=["backfill", "number"], name="backfill_chunk_once"),
            ExclusionConstraint(
                name="backfill_chunk_no_overlap",
                expressions=[("backfill", RangeOperators.EQUAL), ("blocks", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(
                condition=Q(state="READING", claim__isnull=False, lease_until__isnull=False)
                | (~Q(state="READING") & Q(claim__isnull=True, lease_until__isnull=True)),
                name="backfill_chunk_claim_fits_state",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["READY", "FAILED"], payload__isnull=False)
                | (~Q(state__in=["READY", "FAILED"]) & Q(payload__isnull=True)),
                name="backfill_chunk_payload_fits_state",
            ),
            models.CheckConstraint(
                condition=Q(state="STORED", stored_at__isnull=False)
                | (~Q(state="STORED") & Q(stored_at__isnull=True)),
                name="backfill_chunk_stored_fits_state",
            ),
            models.CheckConstraint(
                condition=~Q(state="FAILED") | ~Q(error=""), name="backfill_chunk_failed_has_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"blocks {self.blocks.lower:,} to {self.blocks.upper - 1:,}"
