"""How gaps begin and end (CH6): found by a run or by the check, closed when their blocks are stored, or accepted as lost.

An error is never an outcome: what could not be read stays named here until it was read, or until a person who has the
right says in their own name that it never will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import NumericRange

from chain.earnings.yields import MethodsDisagree
from chain.facts import BlockFacts
from chain.families import Family
from chain.gaps.queries import Range, holes, readable_ranges
from chain.locks import Busy, Lock, only_one
from chain.models import Backfill, Block, Gap, IngestRun
from chain.network import family
from chain.nodes.source import SourceError
from chain.queries import last_block
from chain.runtimes.decoding import UnknownRuntime
from chain.state import PositionsDisagree, UnsupportedEvent
from chain.texts import check_text

# Blocks that end ingestion, and the gap each leaves.
GAP_KINDS: dict[type[Exception], str] = {
    SourceError: Gap.Kind.READ_MISSING,
    MethodsDisagree: Gap.Kind.METHODS_DISAGREE,
    PositionsDisagree: Gap.Kind.POSITIONS_DISAGREE,
    UnknownRuntime: Gap.Kind.UNKNOWN_RUNTIME,
    UnsupportedEvent: Gap.Kind.UNSUPPORTED,
}
ACCEPT = "chain.accept_gap"
REASON_LENGTH_MIN = 10
# A quarter of an hour of blocks.
BEHIND_BLOCKS_MAX = 75


class CannotGiveUp(Exception):
    """These blocks cannot be accepted as lost, for the reason given. Nothing was changed; a retry alone cannot help."""


def gap_kind(error: Exception) -> str:
    """The kind of gap that an error leaves; empty where it leaves none."""
    return next((kind for cause, kind in GAP_KINDS.items() if isinstance(error, cause)), "")


# --- found and closed -----------------------------------------------------------------------------------


@transaction.atomic
def record_gap(
    *, run: IngestRun | None, first: int, last: int, kind: str, reason: str, now: datetime
) -> None:
    """Open a gap over blocks first..last, both included, unless this very one is open."""
    blocks = NumericRange(first, last + 1)
    if not Gap.objects.filter(state=Gap.State.OPEN, kind=kind, blocks=blocks, reason=reason).exists():
        Gap.objects.create(kind=kind, blocks=blocks, reason=reason, detected_at=now, detected_by=run)


def record_doubts(*, run: IngestRun, blocks: Sequence[BlockFacts], now: datetime) -> None:
    """Open a gap for each thing the chain leaves open about blocks that are stored; only a person can end it."""
    for facts in blocks:
        for doubt in facts.doubts:
            record_gap(
                run=run,
                first=facts.number,
                last=facts.number,
                kind=Gap.Kind.UNACCOUNTED,
                reason=doubt,
                now=now,
            )


def finish_run(run: IngestRun, error: BaseException | str | None, *, now: datetime) -> None:
    """End a run, and close every gap all of whose blocks are stored by now. A run that ended stays as it ended."""
    run.status = IngestRun.Status.FAILED if error else IngestRun.Status.DONE
    run.error = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error or ""
    run.finished_at = now
    IngestRun.objects.filter(pk=run.pk, status=IngestRun.Status.RUNNING).update(
        status=run.status, error=run.error, finished_at=now
    )
    close_filled_gaps(run=run, now=now)


def close_filled_gaps(*, run: IngestRun | None, now: datetime) -> int:
    """Close the open gaps that nothing is missing of; returns how many.

    A gap reaches from the block that stopped a run to the end of what was asked, so it stays open until all of it is
    stored or accepted as lost.
    """
    stored = last_block()
    if stored is None:
        return 0
    gaps = Gap.objects.filter(state=Gap.State.OPEN, blocks__not_gt=(None, stored.number + 1))
    # Of these the blocks are stored all along.
    gaps = gaps.exclude(kind=Gap.Kind.UNACCOUNTED)
    filled = [gap.pk for gap in gaps if not holes(gap.blocks.lower, gap.blocks.upper - 1)]
    return Gap.objects.filter(pk__in=filled, state=Gap.State.OPEN).update(
        state=Gap.State.RESOLVED, resolved_at=now, resolved_by=run
    )


@dataclass(frozen=True)
class Found:
    """What the check for gaps did."""

    opened: int
    closed: int


def find_gaps(*, head: int | None, now: datetime) -> Found:
    """Look for what no run reported: blocks missing between stored ones, runs that ended early, falling behind.

    Files of another chain name only the slots in which something happened; what they lack is asked when a day closes.

    :param head: the newest final block of the chain, None where no node can be asked.
    """
    if family() is not Family.BITTENSOR:
        return Found(0, 0)
    _end_dead_runs(now)
    before = Gap.objects.count()
    for first, last in holes():
        _open_uncovered(
            first, last, Gap.Kind.MISSING_BLOCKS, "these blocks are missing between stored ones", now
        )
    stored = last_block()
    if stored is not None:
        _find_ended_run(stored.number, now)
        _find_lag(stored.number, head, now)
    closed = close_filled_gaps(run=None, now=now)
    return Found(Gap.objects.count() - before, closed)


def _end_dead_runs(now: datetime) -> None:
    """A run that is running though nobody holds the lock was killed. Runs of open backfills wait for a resume."""
    try:
        with only_one(Lock.INGEST):
            dead = IngestRun.objects.filter(status=IngestRun.Status.RUNNING).exclude(
                backfills__finished_at__isnull=True, backfills__isnull=False
            )
            dead.update(
                status=IngestRun.Status.FAILED,
                error="its process ended without finishing the run",
                finished_at=now,
            )
    except Busy:
        pass


def _find_ended_run(stored: int, now: datetime) -> None:
    """The newest run that failed, if nobody has read since what it was asked for."""
    run = IngestRun.objects.exclude(status=IngestRun.Status.RUNNING).order_by("-id").first()
    if run is not None and run.status == IngestRun.Status.FAILED and run.last_block > stored:
        _open_uncovered(
            max(run.first_block, stored + 1), run.last_block, Gap.Kind.RUN_ENDED, run.error, now, run
        )


def _find_lag(stored: int, head: int | None, now: datetime) -> None:
    is_behind = head is not None and head - stored > BEHIND_BLOCKS_MAX
    is_known = Gap.objects.filter(state=Gap.State.OPEN, blocks__endswith__gt=stored + 1).exists()
    if not is_behind or is_known or head is None or Backfill.objects.filter(finished_at=None).exists():
        return
    reason = f"block {stored} is the newest stored, the chain is final up to {head}: nothing reads new blocks"
    record_gap(run=None, first=stored + 1, last=head, kind=Gap.Kind.BEHIND, reason=reason, now=now)


def _open_uncovered(
    first: int, last: int, kind: str, reason: str, now: datetime, run: IngestRun | None = None
) -> None:
    known = Gap.objects.filter(state=Gap.State.OPEN, blocks__contains=(first, last + 1))
    if not known.exists() and readable_ranges(first, last):
        record_gap(run=run, first=first, last=last, kind=kind, reason=reason, now=now)


# --- accepted as lost -----------------------------------------------------------------------------------


@transaction.atomic
def give_up_blocks(
    *,
    gap_id: int,
    last: int,
    reason: str,
    actor: User,
    now: datetime,
) -> Gap:
    """Accept in the actor's name that a gap's blocks, from its first to `last`, can never be read. Final.

    Where that is not the whole gap, the part becomes a gap of its own and the rest stays open to be read: reading goes on
    after the lost blocks with positions listed anew.

    :raises CannotGiveUp: without the right or a reason, with one that hides what it says, for blocks that are stored or not
        all in the open gap.
    """
    if not actor.has_perm(ACCEPT):
        raise CannotGiveUp("you may not accept blocks as lost; it needs the right 'accept gap'")
    gap = Gap.objects.select_for_update().filter(pk=gap_id).first()
    if gap is None or gap.state != Gap.State.OPEN:
        raise CannotGiveUp("this gap is not open any more")
    reason = reason.strip()
    if len(reason) < REASON_LENGTH_MIN:
        raise CannotGiveUp(f"say why, in at least {REASON_LENGTH_MIN} characters")
    try:
        check_text(reason, "reason")
    except ValueError as error:
        raise CannotGiveUp(str(error)) from error
    _check_can_be_lost(gap, last)
    accepted = {
        "state": Gap.State.UNRECOVERABLE,
        "accepted_at": now,
        "accepted_by": actor,
        "accepted_reason": reason,
    }
    if last == gap.blocks.upper - 1:
        for name, value in accepted.items():
            setattr(gap, name, value)
        gap.save(update_fields=list(accepted))
        return gap
    return Gap.objects.create(
        kind=gap.kind,
        blocks=NumericRange(gap.blocks.lower, last + 1),
        reason=gap.reason,
        detected_at=gap.detected_at,
        detected_by=gap.detected_by,
        **accepted,
    )


def _check_can_be_lost(gap: Gap, last: int) -> None:
    first, end = gap.blocks.lower, gap.blocks.upper - 1
    if gap.kind == Gap.Kind.BEHIND:
        raise CannotGiveUp("nothing is lost: the chain has these blocks, they only wait to be read")
    if not first <= last <= end:
        raise CannotGiveUp(f"block {last} is not in this gap, which reaches from {first} to {end}")
    if Backfill.objects.filter(state=Backfill.State.RUNNING).exists():
        raise CannotGiveUp("a backfill is running and may yet read them; pause or cancel it first")
    if gap.kind == Gap.Kind.UNACCOUNTED:
        if last != end:
            raise CannotGiveUp("what this gap leaves open is accepted whole or not at all")
        return
    stored = Block.objects.filter(number__range=(first, last)).order_by("number").first()
    if stored is not None:
        raise CannotGiveUp(f"block {stored.number} is stored, so it is not lost")
    if readable_ranges(first, last) != [(first, last)]:
        raise CannotGiveUp("some of these blocks are accepted as lost already")
    before = last_block()
    if before is None:
        raise CannotGiveUp("no block is stored yet: begin after these blocks instead")
    if first > before.number + 1 and _readable(before.number + 1, first - 1):
        raise CannotGiveUp(f"block {before.number + 1} comes first; it is neither stored nor lost")


def _readable(first: int, last: int) -> list[Range]:
    return readable_ranges(first, last) if first <= last else []
