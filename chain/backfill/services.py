"""Backfills as a person sees them: asked for, paused, resumed, cancelled, how far they are (CH9).

A range is cut into chunks that workers read at once (`chain.backfill.work`) and that are stored strictly in order, so the
facts are those of a serial run, byte for byte. One backfill at a time: every position rests on the block before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import Coalesce

from chain.gaps.queries import next_readable
from chain.gaps.services import close_filled_gaps, finish_run
from chain.models import Backfill, BackfillChunk, Gap, IngestRun
from chain.nodes.source import Source
from chain.queries import last_block
from chain.services import check_fits, check_identity, newest_confirmed, our_hotkeys
from chain.state import read_identity

RUN = "chain.run_backfill"
# An hour of blocks. Every chunk begins with a listing of all holders, so small ones cost more than they spread.
CHUNK_BLOCKS = 300
CHUNK_BLOCKS_MAX = 5_000
CHUNKS_MAX = 100_000
PARALLEL = 2
PARALLEL_MAX = 64
# Longer than the longest single answer a worker waits for.
LEASE_SECONDS = 150
RATE_CHUNKS = 12


class CannotBackfill(Exception):
    """The request does not fit what is there, for the reason given. Nothing was changed."""


def may_run(actor: User) -> bool:
    """Tell whether someone may start, pause, resume and cancel."""
    return bool(actor.has_perm(RUN))


def _require(actor: User | None) -> None:
    if actor is not None and not may_run(actor):
        raise CannotBackfill("you may not run backfills; it needs the right 'run backfill'")


# --- starting -------------------------------------------------------------------------------------------


def start_backfill(
    source: Source,
    *,
    first: int,
    last: int | None,
    hotkeys: Sequence[str],
    actor: User | None,
    now: datetime,
    chunk_blocks: int = CHUNK_BLOCKS,
    parallel: int = PARALLEL,
    runs_on: str = Backfill.RunsOn.WORKERS,
    lease_seconds: int = LEASE_SECONDS,
) -> Backfill:
    """Plan the blocks of first..last (both included) that are not stored yet, in chunks of `chunk_blocks`.

    :param last: the newest confirmed block when left out.
    :param actor: who asks; None for the command line.
    :raises CannotBackfill: without the right, while another one is open, or when nothing is left to do.
    :raises CannotIngest: as serial ingestion of the same range.
    :raises SourceError: when the source does not say which chain it serves.
    """
    _require(actor)
    if not 1 <= chunk_blocks <= CHUNK_BLOCKS_MAX or not 1 <= parallel <= PARALLEL_MAX:
        raise CannotBackfill(
            f"chunks have 1 to {CHUNK_BLOCKS_MAX} blocks, and 1 to {PARALLEL_MAX} are read at once"
        )
    if not hotkeys:
        raise CannotBackfill("name at least one of your hotkeys with --hotkey SS58")
    identity = read_identity(source)
    last = newest_confirmed(identity) if last is None else last
    check_identity(identity, last)
    start = check_fits(source, first, last, sorted(set(hotkeys)))
    if start > last:
        raise CannotBackfill(f"blocks {first} to {last} are stored already")
    if (last - start) // chunk_blocks >= CHUNKS_MAX:
        raise CannotBackfill(f"more than {CHUNKS_MAX:,} chunks; make them larger, or ask for less")
    return _create(
        Backfill(
            first_block=start,
            last_block=last,
            hotkeys=sorted(set(hotkeys)),
            source=source.name[:200],
            runs_on=runs_on,
            parallel_max=parallel,
            ahead_max=2 * parallel + 2,
            lease_seconds=lease_seconds,
            asked_by=actor,
            asked_at=now,
            seen_at=now,
        ),
        chunk_blocks,
    )


def _create(backfill: Backfill, chunk_blocks: int) -> Backfill:
    try:
        with transaction.atomic():
            backfill.run = _new_run(backfill, backfill.first_block, backfill.asked_at)
            backfill.save()
            starts = range(backfill.first_block, backfill.last_block + 1, chunk_blocks)
            BackfillChunk.objects.bulk_create(
                (
                    BackfillChunk(
                        backfill=backfill,
                        number=number,
                        blocks=(start, min(start + chunk_blocks, backfill.last_block + 1)),
                    )
                    for number, start in enumerate(starts)
                ),
                batch_size=2_000,
            )
    except IntegrityError as error:
        if (other := open_backfill()) is None:
            raise
        raise CannotBackfill(
            f"{other} of blocks {other.first_block} to {other.last_block} is {other.get_state_display().lower()}; "
            "wait for it, resume it, or cancel it first"
        ) from error
    return backfill


def _new_run(backfill: Backfill, first: int, now: datetime) -> IngestRun:
    return IngestRun.objects.create(
        source=f"backfill from {backfill.source}"[:200],
        first_block=first,
        last_block=backfill.last_block,
        started_at=now,
    )


def open_backfill() -> Backfill | None:
    """The one that is running, paused or stopped at a gap."""
    return Backfill.objects.filter(finished_at=None).first()


def retry_gaps(
    source: Source,
    *,
    actor: User | None,
    now: datetime,
    parallel: int = PARALLEL,
    chunk_blocks: int = CHUNK_BLOCKS,
    runs_on: str = Backfill.RunsOn.WORKERS,
) -> Backfill | None:
    """Close the gaps that nothing is missing of, and read the blocks of all others again.

    A backfill that waits is resumed; else one is started up to the last block of any gap. Returns it, or None when no open
    gap has blocks that can be read on to: those between stored blocks need a person.

    :raises CannotBackfill, CannotIngest, SourceError: as :func:`start_backfill`.
    """
    _require(actor)
    close_filled_gaps(run=None, now=now)
    waiting = open_backfill()
    if waiting is not None:
        if waiting.state == Backfill.State.RUNNING:
            return waiting
        return resume_backfill(backfill_id=waiting.pk, actor=actor, now=now, runs_on=runs_on)
    stored = last_block()
    if stored is None:
        raise CannotBackfill("no block is stored yet: say with --from and --to where to begin")
    first = next_readable(stored.number + 1)
    ends = Gap.objects.filter(state=Gap.State.OPEN, blocks__endswith__gt=first)
    end = ends.aggregate(end=Max("blocks__endswith"))["end"]
    if end is None:
        return None
    return start_backfill(
        source,
        first=first,
        last=min(end - 1, read_identity(source).finalized_block),
        hotkeys=our_hotkeys(),
        actor=actor,
        now=now,
        chunk_blocks=chunk_blocks,
        parallel=parallel,
        runs_on=runs_on,
    )


# --- steering -------------------------------------------------------------------------------------------


def pause_backfill(*, backfill_id: int, actor: User | None, now: datetime) -> Backfill:
    """Let workers put their chunks down; what was read waits to be stored.

    :raises CannotBackfill: without the right, or unless it is running.
    """
    _require(actor)
    return _move(backfill_id, Backfill.State.PAUSED, "paused", seen_at=now)


@transaction.atomic
def resume_backfill(
    *, backfill_id: int, actor: User | None, now: datetime, runs_on: str | None = None
) -> Backfill:
    """Go on after a pause or a gap, or with one whose workers are gone; chunks that failed are read anew.

    :param runs_on: who reads from now on; as before when left out.
    :raises CannotBackfill: without the right, or when it is finished or being worked on.
    """
    _require(actor)
    backfill = _locked(backfill_id)
    if backfill.state == Backfill.State.RUNNING and not is_silent(backfill, now):
        raise CannotBackfill(f"{backfill} is running")
    if backfill.state != Backfill.State.RUNNING:
        _move(backfill_id, Backfill.State.RUNNING, "resumed", error="")
    backfill.refresh_from_db()
    BackfillChunk.objects.filter(backfill=backfill, state__in=["FAILED", "WAITING"]).update(
        state=BackfillChunk.State.WAITING,
        attempts=0,
        not_before=None,
        payload=None,
        error="",
        gap_kind="",
        blocks_read=0,
    )
    if backfill.run.status != IngestRun.Status.RUNNING:
        stored = last_block()
        first = backfill.first_block if stored is None else max(backfill.first_block, stored.number + 1)
        backfill.run = _new_run(backfill, first, now)
    backfill.seen_at, backfill.runs_on = now, runs_on or backfill.runs_on
    backfill.save(update_fields=["run", "seen_at", "runs_on"])
    return backfill


@transaction.atomic
def cancel_backfill(*, backfill_id: int, actor: User | None, now: datetime) -> Backfill:
    """Give up what is not stored yet. What is stored stays.

    :raises CannotBackfill: without the right, or when it is finished already.
    """
    _require(actor)
    _locked(backfill_id)
    backfill = _move(backfill_id, Backfill.State.CANCELLED, "cancelled", finished_at=now, error="")
    BackfillChunk.objects.filter(backfill=backfill).exclude(state=BackfillChunk.State.STORED).update(
        state=BackfillChunk.State.CANCELLED, claim=None, worker="", lease_until=None, payload=None
    )
    if backfill.run.status == IngestRun.Status.RUNNING:
        stored = last_block()
        backfill.run.last_block = max(backfill.run.first_block, stored.number if stored else 0)
        backfill.run.save(update_fields=["last_block"])
        finish_run(backfill.run, None, now=now)
    return backfill


def get_backfill(backfill_id: int) -> Backfill:
    """Find a backfill. :raises CannotBackfill: there is none of that number; the message says which there are."""
    return _found(Backfill.objects.filter(pk=backfill_id).first(), backfill_id)


def _found(backfill: Backfill | None, backfill_id: int) -> Backfill:
    if backfill is None:
        newest = Backfill.objects.order_by("-pk").values_list("pk", flat=True)[:5]
        there = f"the newest are {', '.join(map(str, newest))}" if newest else "there is none at all yet"
        raise CannotBackfill(f"there is no backfill {backfill_id}; {there}")
    return backfill


def _locked(backfill_id: int) -> Backfill:
    return _found(Backfill.objects.select_for_update().filter(pk=backfill_id).first(), backfill_id)


def _move(backfill_id: int, state: str, done: str, **changes: object) -> Backfill:
    """Change the state by compare-and-swap, so that two people cannot both do it."""
    before = [known for known, allowed in Backfill.TRANSITIONS.items() if state in allowed]
    moved = Backfill.objects.filter(pk=backfill_id, state__in=before).update(state=state, **changes)
    backfill = _found(Backfill.objects.select_related("run").filter(pk=backfill_id).first(), backfill_id)
    if not moved:
        raise CannotBackfill(f"{backfill} is {backfill.get_state_display().lower()}; it cannot be {done} now")
    return backfill


def is_silent(backfill: Backfill, now: datetime) -> bool:
    """Tell whether no worker did anything for longer than a lease."""
    return now - backfill.seen_at > timedelta(seconds=backfill.lease_seconds)


# --- looking --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is. `ahead` are blocks that were read and wait to be stored; unknown is None."""

    backfill: Backfill
    stored: int
    ahead: int
    total: int
    reading: int
    failed: int
    blocks_per_second: float | None
    seconds_left: int | None

    @property
    def per_cent(self) -> int:
        """Blocks stored, of a hundred; never 100 before the last."""
        return self.stored * 100 // self.total


def get_progress(backfill: Backfill) -> Progress:
    """Read how far a backfill is. Four queries, whatever its size."""
    newest = last_block()
    reached = newest.number if newest else 0
    stored = max(0, min(reached, backfill.last_block) - backfill.first_block + 1)
    counts = BackfillChunk.objects.filter(backfill=backfill).aggregate(
        ahead=Coalesce(Sum("blocks_read", filter=Q(state__in=["READY", "READING"])), 0),
        reading=Count("pk", filter=Q(state="READING")),
        failed=Count("pk", filter=Q(state="FAILED")),
    )
    rate = _recent_rate(backfill)
    left = None
    if rate and backfill.state == Backfill.State.RUNNING:
        left = round((backfill.block_count - stored) / rate)
    return Progress(
        backfill, stored, total=backfill.block_count, blocks_per_second=rate, seconds_left=left, **counts
    )


def _recent_rate(backfill: Backfill) -> float | None:
    """Blocks a second over the chunks stored last; a display figure, nothing is computed from it."""
    chunks = BackfillChunk.objects.filter(backfill=backfill, state=BackfillChunk.State.STORED)
    newest = [
        (blocks.upper - blocks.lower, at)
        for blocks, at in chunks.order_by("-number").values_list("blocks", "stored_at")[:RATE_CHUNKS]
        if at is not None
    ]
    if len(newest) < 2:
        return None
    seconds = (newest[0][1] - newest[-1][1]).total_seconds()
    blocks = sum(count for count, _ in newest[:-1])
    return blocks / seconds if seconds > 0 else None


def describe_progress(progress: Progress) -> str:
    """One line for a terminal."""
    return " · ".join(_describe(progress))


def _describe(progress: Progress) -> Iterator[str]:
    yield f"{progress.stored:,} of {progress.total:,} blocks stored ({progress.per_cent} %)"
    if progress.ahead:
        yield f"{progress.ahead:,} read ahead"
    if progress.reading:
        yield f"{progress.reading} chunk{'' if progress.reading == 1 else 's'} being read"
    if progress.blocks_per_second:
        yield f"{progress.blocks_per_second:,.1f} blocks/s"
    if progress.seconds_left is not None:
        hours, minutes = divmod(progress.seconds_left // 60, 60)
        yield (
            f"about {hours} h {minutes} min left"
            if hours
            else f"about {minutes} min {progress.seconds_left % 60} s left"
        )
