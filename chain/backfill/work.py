"""What a worker does for a backfill: claim a chunk, read it, stage what was read, and store whatever is next in order (CH9).

A worker can die anywhere: its claim has a lease after which another takes the chunk over, and only who holds the claim may
stage. Storing is `chain.backfill.storing`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Min

from chain.backfill.staging import Staged, Stretch, pack
from chain.backfill.storing import Clock, is_next_read, store_read_chunks
from chain.earnings.yields import MethodsDisagree
from chain.gaps.queries import readable_ranges
from chain.gaps.services import gap_kind
from chain.models import Backfill, BackfillChunk, Gap
from chain.nodes.source import Call, Source
from chain.queries import stored_runtimes
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import UnknownRuntime
from chain.runtimes.services import admitted_eras
from chain.services import check_identity, following_now, look_until
from chain.stake.hotkeys import Following
from chain.state import PositionsDisagree, UnsupportedEvent, read_identity

log = structlog.get_logger(__name__)

OpenSource = Callable[[], AbstractContextManager[Source]]

ATTEMPTS_MAX = 5
BACKOFF_SECONDS_MAX = 60
BEAT_SECONDS_MAX = 5.0
# Reading the same block again gives the same; a person or another version must look.
_FINAL = (MethodsDisagree, PositionsDisagree, UnknownRuntime, UnsupportedEvent)

_State = BackfillChunk.State


# A BaseException, because the reader takes every Exception for a malformed answer of the node.
class ClaimLost(BaseException):
    """The chunk is no longer this worker's: it was told to end, or the chunk was paused, cancelled or taken over."""


@dataclass(frozen=True)
class Claim:
    """One worker's hold on one chunk of blocks first..last."""

    backfill_id: int
    chunk_id: int
    token: uuid.UUID
    first: int
    last: int
    hotkeys: list[Following]
    lease: timedelta


def _never() -> bool:
    return False


def read_one_chunk(
    open_source: OpenSource,
    *,
    backfill_id: int,
    worker: str,
    clock: Clock,
    should_stop: Callable[[], bool] = _never,
) -> bool:
    """Claim and read one chunk, then store what is next in order. Tells whether there was anything to do.

    :param open_source: opens the node anew, because after an error a connection is of no use.
    :param worker: a name for people to read.
    :param should_stop: asked while reading; the chunk is then put down for another worker.
    """
    claim = claim_chunk(backfill_id=backfill_id, worker=worker, now=clock())
    if claim is not None:
        read_claimed(open_source, claim, clock=clock, should_stop=should_stop)
    stored = store_read_chunks(backfill_id=backfill_id, clock=clock)
    return claim is not None or stored > 0


def work(
    open_source: OpenSource,
    *,
    backfill_id: int,
    worker: str,
    clock: Clock,
    should_stop: Callable[[], bool],
    wait: Callable[[], object],
) -> None:
    """Read chunks until the backfill is not running any more, or the worker is told to stop."""
    while not should_stop():
        if not Backfill.objects.filter(pk=backfill_id, state=Backfill.State.RUNNING).exists():
            return
        if not read_one_chunk(
            open_source, backfill_id=backfill_id, worker=worker, clock=clock, should_stop=should_stop
        ):
            wait()


# --- claiming -------------------------------------------------------------------------------------------


@transaction.atomic
def claim_chunk(*, backfill_id: int, worker: str, now: datetime) -> Claim | None:
    """Take the next chunk that may be read, also from a worker that fell silent; None when there is none.

    Not further ahead of the next block to store than `ahead_max` chunks, so what waits in the database stays small.
    """
    # Whoever claims waits here for the others who do, so no two can take the same chunk.
    backfill = Backfill.objects.select_for_update().get(pk=backfill_id)
    if backfill.state != Backfill.State.RUNNING:
        return None
    _take_back_silent(backfill, now)
    chunks = BackfillChunk.objects.filter(backfill=backfill)
    if chunks.filter(state=_State.READING).count() >= backfill.parallel_max:
        return None
    chunk = _next_claimable(backfill, now)
    if chunk is None:
        return None
    lease = timedelta(seconds=backfill.lease_seconds)
    chunk.state, chunk.claim, chunk.worker = _State.READING, uuid.uuid4(), worker[:80]
    chunk.lease_until, chunk.blocks_read = now + lease, 0
    chunk.save(update_fields=["state", "claim", "worker", "lease_until", "blocks_read"])
    Backfill.objects.filter(pk=backfill_id).update(seen_at=now)
    hotkeys = following_now() or list(map(Following, backfill.hotkeys))
    return Claim(
        backfill_id, chunk.pk, chunk.claim, chunk.blocks.lower, chunk.blocks.upper - 1, hotkeys, lease
    )


def _next_claimable(backfill: Backfill, now: datetime) -> BackfillChunk | None:
    """The first chunk that waits, within the window; nothing behind a chunk that failed for good."""
    chunks = BackfillChunk.objects.filter(backfill=backfill).defer("payload")
    edge = chunks.exclude(state=_State.STORED).aggregate(first=Min("number"))["first"]
    if edge is None or chunks.filter(state=_State.FAILED).exists():
        return None
    waiting = chunks.filter(state=_State.WAITING, number__lt=edge + backfill.ahead_max)
    return waiting.exclude(not_before__gt=now).order_by("number").first()


def count_claimable(*, backfill_id: int, now: datetime) -> int:
    """How many more workers would find a chunk to read, or that one is needed to store what was read."""
    backfill = Backfill.objects.get(pk=backfill_id)
    if backfill.state != Backfill.State.RUNNING:
        return 0
    chunks = BackfillChunk.objects.filter(backfill=backfill)
    reading = chunks.filter(state=_State.READING, lease_until__gte=now).count()
    edge = chunks.exclude(state=_State.STORED).aggregate(first=Min("number"))["first"] or 0
    open_ones = chunks.filter(number__lt=edge + backfill.ahead_max).exclude(not_before__gt=now)
    free = open_ones.filter(state=_State.WAITING) | open_ones.filter(
        state=_State.READING, lease_until__lt=now
    )
    wanted = max(0, min(backfill.parallel_max - reading, free.count()))
    return max(wanted, int(is_next_read(backfill_id)))


def _take_back_silent(backfill: Backfill, now: datetime) -> None:
    """A worker that died while reading counts as a failed attempt: a chunk that kills workers must not kill them all."""
    silent = BackfillChunk.objects.filter(backfill=backfill, state=_State.READING, lease_until__lt=now)
    for chunk in silent.defer("payload"):
        _end_attempt(chunk, f"the worker {chunk.worker} fell silent", Gap.Kind.RUN_ENDED, None, now)


def _end_attempt(
    chunk: BackfillChunk, reason: str, kind: str, failed_with: bytes | None, now: datetime
) -> None:
    """Let the chunk wait for its next attempt, or fail for good with what was read before the failure."""
    attempts = chunk.attempts + 1
    values: dict[str, Any] = {
        "attempts": attempts,
        "error": reason,
        "gap_kind": kind,
        "claim": None,
        "lease_until": None,
    }
    if failed_with is None and attempts < ATTEMPTS_MAX:
        pause = min(BACKOFF_SECONDS_MAX, 2**attempts)
        values |= {"state": _State.WAITING, "not_before": now + timedelta(seconds=pause), "blocks_read": 0}
    else:
        values |= {"state": _State.FAILED, "payload": failed_with or pack(Staged("", "", 0, []))}
    BackfillChunk.objects.filter(pk=chunk.pk, state=_State.READING, claim=chunk.claim).update(**values)
    log.warning(
        "chain.backfill.chunk_failed", extra={"chunk": chunk.pk, "attempt": attempts, "error": reason}
    )


# --- reading --------------------------------------------------------------------------------------------


class _Watched:
    """The source, telling the database with each read that the worker lives, and the worker when it should not go on."""

    def __init__(self, source: Source, claim: Claim, clock: Clock, should_stop: Callable[[], bool]) -> None:
        self._source, self._claim, self._clock, self._should_stop = source, claim, clock, should_stop
        self.name = source.name
        self.blocks_read = 0
        self._every = timedelta(seconds=min(BEAT_SECONDS_MAX, claim.lease.total_seconds() / 4))
        self._beaten = clock() - self._every

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer from the source."""
        self.beat()
        return self._source.call_many(calls)

    def beat(self) -> None:
        """Renew the lease, a few times per lease at most.

        :raises ClaimLost: see there.
        """
        if self._should_stop():
            raise ClaimLost
        now = self._clock()
        if now - self._beaten < self._every:
            return
        self._beaten = now
        renewed = BackfillChunk.objects.filter(
            pk=self._claim.chunk_id,
            state=_State.READING,
            claim=self._claim.token,
            backfill__state=Backfill.State.RUNNING,
        ).update(lease_until=now + self._claim.lease, blocks_read=self.blocks_read)
        if not renewed:
            raise ClaimLost
        Backfill.objects.filter(pk=self._claim.backfill_id).update(seen_at=now)


def read_claimed(
    open_source: OpenSource, claim: Claim, *, clock: Clock, should_stop: Callable[[], bool] = _never
) -> None:
    """Read the claimed chunk and stage it, or end the attempt; never raises for what the node did."""
    staged: list[Staged] = []
    try:
        with open_source() as source:
            _read_into(staged, _Watched(source, claim, clock, should_stop), claim)
    except ClaimLost:
        _release(claim)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is kept with the chunk, and tried again or a gap.
        kind = gap_kind(error) or Gap.Kind.RUN_ENDED
        reason = str(error) if gap_kind(error) else f"{type(error).__name__}: {error}"
        chunk = BackfillChunk.objects.defer("payload").get(pk=claim.chunk_id)
        if chunk.claim != claim.token:
            return
        is_last = isinstance(error, _FINAL) or chunk.attempts + 1 >= ATTEMPTS_MAX
        _end_attempt(chunk, reason, kind, pack(staged[0]) if is_last and staged else None, clock())
    except BaseException:
        # The worker itself is told to end.
        _release(claim)
        raise
    else:
        _stage(claim, staged[0])


def _read_into(staged: list[Staged], source: _Watched, claim: Claim) -> None:
    """Read as far as it goes; `staged` holds what was read when this raises."""
    identity = read_identity(source)
    check_identity(identity, claim.last)
    found = Staged(identity.chain, identity.genesis_hash, identity.ss58_prefix, claim.hotkeys)
    staged.append(found)
    runtimes = stored_runtimes()
    for first, last in readable_ranges(claim.first, claim.last):
        reader = ChainReader(
            source,
            claim.hotkeys,
            identity.ss58_prefix,
            eras=admitted_eras(),
            until=look_until(identity, last),
        )
        # Only for the metadata, which the node need not send again with every chunk.
        reader.start_from_facts("", {}, runtimes | found.runtimes)
        stretch = Stretch(first, reader.start_from_chain(first - 1))
        found.stretches.append(stretch)
        for number in range(first, last + 1):
            facts = reader.read_block(number)
            if facts.spec_version not in runtimes.keys() | found.runtimes.keys():
                decoder = reader.decoder(facts.spec_version, facts.parent_hash)
                found.runtimes[facts.spec_version] = decoder.metadata_hex
            stretch.blocks.append(facts)
            source.blocks_read += 1
            source.beat()


def _release(claim: Claim) -> None:
    """Put the chunk back where it was, without counting an attempt."""
    BackfillChunk.objects.filter(pk=claim.chunk_id, state=_State.READING, claim=claim.token).update(
        state=_State.WAITING, claim=None, lease_until=None, blocks_read=0
    )


def _stage(claim: Claim, staged: Staged) -> None:
    """Keep what was read, unless the chunk was taken away meanwhile."""
    rows = BackfillChunk.objects.filter(pk=claim.chunk_id, state=_State.READING, claim=claim.token)
    kept = rows.update(
        state=_State.READY,
        payload=pack(staged),
        claim=None,
        lease_until=None,
        blocks_read=sum(len(stretch.blocks) for stretch in staged.stretches),
        error="",
        gap_kind="",
    )
    if kept:
        log.info("chain.backfill.chunk_read", first=claim.first, last=claim.last, pid=os.getpid())
