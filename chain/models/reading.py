"""How reading goes: runs, nodes and gaps."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q

from chain.nodes import health


class IngestRun(models.Model):
    """One run of ingestion: from where, which blocks, how it ended."""

    class Status(models.TextChoices):
        RUNNING = "RUNNING", "Running"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed"

    source = models.CharField(max_length=200)
    first_block = models.BigIntegerField()
    last_block = models.BigIntegerField()
    blocks_done = models.BigIntegerField(default=0)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.RUNNING)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"run {self.pk}, {self.source}, blocks {self.first_block:,} to {self.last_block:,}"


class Endpoint(models.Model):
    """A node that was asked, under its address without secrets, and how it did. Not a fact: it changes all the time."""

    class Condition(models.TextChoices):
        UNTRIED = health.Condition.UNTRIED, "Not asked yet"
        HEALTHY = health.Condition.HEALTHY, "Answers"
        FAILING = health.Condition.FAILING, "Fails"
        STALE = health.Condition.STALE, "Stale head"
        DOUBTED = health.Condition.DOUBTED, "Doubted"
        WRONG_CHAIN = health.Condition.WRONG_CHAIN, "Other chain"
        SAME_NODE = health.Condition.SAME_NODE, "Same node"

    name = models.CharField(max_length=300, unique=True)
    position = models.PositiveIntegerField(
        null=True, help_text="Place in RAKEBACK_NODE_URL; empty where it is not named there (any more)."
    )
    condition = models.CharField(max_length=11, choices=Condition.choices, default=Condition.UNTRIED)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    last_ok_at = models.DateTimeField(null=True)
    last_error_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)
    latency_ms = models.PositiveIntegerField(null=True, help_text="Per round trip, smoothed.")
    head_block = models.BigIntegerField(null=True, help_text="Newest finalized block it named.")
    head_since = models.DateTimeField(null=True, help_text="When it first named that block.")

    class Meta:
        ordering = [F("position").asc(nulls_last=True), "name"]
        verbose_name = "node"

    def __str__(self) -> str:
        return self.name


class Gap(models.Model):
    """Blocks that could not be read or proved. An open gap keeps its period from closing (CH6).

    A gap ends in one of two ways, and then nothing of it changes any more: its blocks were stored (RESOLVED), or a
    named person accepted that they never will be (UNRECOVERABLE). Then reading goes on after them, with positions
    listed anew.
    """

    class Kind(models.TextChoices):
        READ_MISSING = "READ_MISSING", "Read missing"
        METHODS_DISAGREE = "METHODS_DISAGREE", "Take methods disagree"
        POSITIONS_DISAGREE = "POSITIONS_DISAGREE", "Positions disagree with the chain"
        UNKNOWN_RUNTIME = "UNKNOWN_RUNTIME", "Unknown runtime"
        UNSUPPORTED = "UNSUPPORTED", "Not supported yet"
        UNACCOUNTED = "UNACCOUNTED", "Amount left open by the chain"
        MISSING_BLOCKS = "MISSING_BLOCKS", "Blocks missing between others"
        RUN_ENDED = "RUN_ENDED", "A run ended early"
        BEHIND = "BEHIND", "Behind the chain"

    class State(models.TextChoices):
        OPEN = "OPEN", "Open"
        RESOLVED = "RESOLVED", "Resolved"
        UNRECOVERABLE = "UNRECOVERABLE", "Unrecoverable"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    blocks = BigIntegerRangeField()
    reason = models.TextField()
    state = models.CharField(max_length=13, choices=State.choices, default=State.OPEN)
    detected_at = models.DateTimeField()
    detected_by = models.ForeignKey(
        IngestRun,
        null=True,
        on_delete=models.PROTECT,
        related_name="gaps_found",
        help_text="Empty for what the check for gaps found.",
    )
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        IngestRun, null=True, on_delete=models.PROTECT, related_name="gaps_resolved"
    )
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    accepted_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        permissions = [("accept_gap", "Can accept that blocks can never be read")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="RESOLVED", resolved_at__isnull=False)
                | (~Q(state="RESOLVED") & Q(resolved_at__isnull=True, resolved_by__isnull=True)),
                name="gap_resolved_fits_state",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state="UNRECOVERABLE", accepted_by__isnull=False, accepted_at__isnull=False)
                    & ~Q(accepted_reason="")
                )
                | (
                    ~Q(state="UNRECOVERABLE")
                    & Q(accepted_by__isnull=True, accepted_at__isnull=True, accepted_reason="")
                ),
                name="gap_unrecoverable_is_accepted",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        *("READ_MISSING", "METHODS_DISAGREE", "POSITIONS_DISAGREE", "UNKNOWN_RUNTIME"),
                        *("UNSUPPORTED", "UNACCOUNTED", "MISSING_BLOCKS", "RUN_ENDED", "BEHIND"),
                    ]
                ),
                name="gap_of_known_kind",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["OPEN", "RESOLVED", "UNRECOVERABLE"]), name="gap_of_known_state"
            ),
            models.CheckConstraint(
                condition=Q(
                    blocks__isempty=False,
                    blocks__lower_inf=False,
                    blocks__upper_inf=False,
                    blocks__startswith__gte=0,
                ),
                name="gap_of_some_blocks",
            ),
            models.CheckConstraint(condition=Q(reason__regex=r"\S"), name="gap_says_why"),
            # A block is lost once; what is known after it rests on one listing of positions. Of a stored block several
            # amounts can be open.
            ExclusionConstraint(
                name="gap_lost_once",
                expressions=[("blocks", RangeOperators.OVERLAPS)],
                condition=Q(state="UNRECOVERABLE") & ~Q(kind="UNACCOUNTED"),
            ),
        ]

    def __str__(self) -> str:
        return f"gap of {self.blocks_text}"

    @property
    def blocks_text(self) -> str:
        """Name the blocks, both ends included: 'block 7' or 'blocks 7 to 9'."""
        first, last = self.blocks.lower, self.blocks.upper - 1
        return f"block {first:,}" if first == last else f"blocks {first:,} to {last:,}"
