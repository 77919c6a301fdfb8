"""Storing what workers read of a backfill: strictly in order, one transaction a chunk, by one worker at a time (CH9).

Facts that do not rest exactly on what is stored are refused whole, and the backfill stops at a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import transaction

from chain.backfill.staging import Staged, StaleStaging, Stretch, unpack
from chain.facts import BlockFacts
from chain.gaps.queries import next_readable, readable_ranges
from chain.gaps.services import finish_run, gap_kind, record_doubts, record_gap
from chain.locks import Busy, Lock, only_one
from chain.models import Backfill, BackfillChunk, Block, Gap, IngestRun, Network
from chain.pools.shares import NO_SHARE
from chain.queries import holdings_at, last_block
from chain.services import following_now
from chain.stake.hotkeys import Following
from chain.state import BrokenChain, Identity, PositionsDisagree
from chain.storing import is_held, store_baseline, store_blocks, store_network

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
_State = BackfillChunk.State


@dataclass(frozen=True)
class _StagedRuntime:
    spec_version: int
    metadata_hex: str


def store_read_chunks(*, backfill_id: int, clock: Clock) -> int:
    """Store the chunks that are next in order and read; returns how many. One worker at a time does this.

    After letting go of the lock it looks again: what another worker staged while it found the lock taken is not left behind.
    """
    stored = 0
    while is_next_read(backfill_id):
        try:
            with only_one(Lock.INGEST):
                while _store_next(backfill_id, clock()):
                    stored += 1
        except Busy:
            break
    return stored


def is_next_read(backfill_id: int) -> bool:
    """Tell whether the next chunk in order waits only for somebody to store it."""
    chunks = BackfillChunk.objects.filter(backfill_id=backfill_id, backfill__state=Backfill.State.RUNNING)
    state = chunks.exclude(state=_State.STORED).order_by("number").values_list("state", flat=True).first()
    return state in (_State.READY, _State.FAILED)


@transaction.atomic
def _store_next(backfill_id: int, now: datetime) -> bool:
    """Store the next chunk with all that follows from it, or nothing. Tells whether to go on."""
    chunks = BackfillChunk.objects.filter(backfill_id=backfill_id, backfill__state=Backfill.State.RUNNING)
    chunk = (
        chunks.exclude(state=_State.STORED)
        .select_for_update(of=("self",))
        .select_related("backfill__run")
        .order_by("number")
        .first()
    )
    if chunk is None or chunk.state not in (_State.READY, _State.FAILED):
        return False
    backfill = chunk.backfill
    try:
        with transaction.atomic():
            _store_staged(chunk, now)
    except StaleStaging as error:
        log.warning("chain.backfill.read_again", chunk=chunk.pk, reason=str(error))
        BackfillChunk.objects.filter(pk=chunk.pk).update(
            state=_State.WAITING, payload=None, blocks_read=0, not_before=None
        )
        return False
    except (PositionsDisagree, BrokenChain) as error:
        BackfillChunk.objects.filter(pk=chunk.pk).update(state=_State.FAILED, error=str(error))
        _stop_at_gap(backfill, gap_kind(error) or Gap.Kind.RUN_ENDED, str(error), now)
        return False
    reached = last_block()
    done = 0 if reached is None else max(0, reached.number - backfill.run.first_block + 1)
    IngestRun.objects.filter(pk=backfill.run_id).update(blocks_done=done)
    if chunk.state == _State.FAILED:
        _stop_at_gap(backfill, chunk.gap_kind, chunk.error, now)
        return False
    BackfillChunk.objects.filter(pk=chunk.pk).update(state=_State.STORED, payload=None, stored_at=now)
    Backfill.objects.filter(pk=backfill_id).update(seen_at=now)
    if chunks.exclude(state=_State.STORED).exists():
        return True
    backfill.run.refresh_from_db()
    finish_run(backfill.run, None, now=now)
    Backfill.objects.filter(pk=backfill_id).update(state=Backfill.State.DONE, finished_at=now)
    return False


def _stop_at_gap(backfill: Backfill, kind: str, reason: str, now: datetime) -> None:
    reached = last_block()
    first = backfill.first_block if reached is None else next_readable(reached.number + 1)
    run = IngestRun.objects.get(pk=backfill.run_id)
    record_gap(run=run, first=first, last=backfill.last_block, kind=kind, reason=reason, now=now)
    finish_run(run, reason, now=now)
    Backfill.objects.filter(pk=backfill.pk).update(
        state=Backfill.State.STOPPED, error=f"stopped before block {first}: {reason}"
    )


def _store_staged(chunk: BackfillChunk, now: datetime) -> None:
    """Store what was read of a chunk and is not stored yet.

    :raises StaleStaging: when it was read for other hotkeys or around other lost blocks than there are now.
    :raises PositionsDisagree, BrokenChain: when it does not rest on what is stored.
    """
    staged = unpack(bytes(chunk.payload or b""))
    is_whole = chunk.state == _State.READY
    if not is_whole and not staged.stretches:
        return
    if staged.hotkeys != (following_now() or list(map(Following, chunk.backfill.hotkeys))):
        raise StaleStaging("the hotkeys changed since it was read")
    ranges = readable_ranges(chunk.blocks.lower, chunk.blocks.upper - 1)
    read = [
        (stretch.first_block, stretch.first_block + len(stretch.blocks) - 1) for stretch in staged.stretches
    ]
    if is_whole:
        fits = read == ranges
    else:
        expected = ranges[len(read) - 1]
        fits = (
            read[:-1] == ranges[: len(read) - 1] and read[-1][0] == expected[0] and read[-1][1] < expected[1]
        )
    if not fits:
        raise StaleStaging("other blocks are lost than when it was read")
    pinned = Network.objects.first()
    if pinned is not None and pinned.genesis_hash != staged.genesis_hash:
        raise BrokenChain(f"it was read from the chain with genesis {staged.genesis_hash}")
    for stretch in staged.stretches:
        if stretch.blocks:
            _store_stretch(staged, stretch, chunk.backfill.run, now)


def _store_stretch(staged: Staged, stretch: Stretch, run: IngestRun, now: datetime) -> None:
    stored = last_block()
    _check_links(stretch.blocks, stored)
    todo = [facts for facts in stretch.blocks if stored is None or facts.number > stored.number]
    if not todo:
        return
    if stored is not None and stored.number >= stretch.first_block - 1:
        _check_rests_on(stretch, stored)
    else:
        if stored is None:
            identity = Identity(staged.chain, staged.genesis_hash, staged.ss58_prefix, todo[-1].number)
            store_network(identity, [one.hotkey for one in staged.hotkeys], stretch.first_block)
        elif next_readable(stored.number + 1) != stretch.first_block:
            raise BrokenChain(
                f"blocks {stored.number + 1} to {stretch.first_block - 1} are missing before it"
            )
        known_until = stored.number if stored else None
        store_baseline(stretch.first_block - 1, stretch.baseline, known_until=known_until)
    runtimes = staged.runtimes

    def runtime_of(facts: BlockFacts) -> _StagedRuntime:
        if facts.spec_version not in runtimes:
            raise StaleStaging(f"the metadata of runtime {facts.spec_version} was not staged with it")
        return _StagedRuntime(facts.spec_version, runtimes[facts.spec_version])

    store_blocks(todo, runtime_of)
    record_doubts(run=run, blocks=todo, now=now)


def _check_links(blocks: Sequence[BlockFacts], stored: Block | None) -> None:
    """Each block follows the one before, and those that are stored already are the same.

    :raises BrokenChain: naming the block that does not.
    """
    first, last = blocks[0].number, blocks[-1].number
    hashes = dict(Block.objects.filter(number__range=(first - 1, last)).values_list("number", "hash"))
    parent = hashes.get(first - 1)
    for facts in blocks:
        if parent is not None and facts.parent_hash != parent:
            raise BrokenChain(
                f"block {facts.number} names parent {facts.parent_hash}, the one before is {parent}"
            )
        if hashes.get(facts.number, facts.hash) != facts.hash:
            raise BrokenChain(
                f"block {facts.number} is stored as {hashes[facts.number]}, it was read as {facts.hash}"
            )
        parent = facts.hash


def _check_rests_on(stretch: Stretch, stored: Block) -> None:
    """The positions the worker began with are those stored (after the blocks of the stretch that are stored already).

    :raises PositionsDisagree: naming how many differ, and the first.
    """
    theirs = {
        (fact.hotkey, fact.netuid, fact.coldkey): fact.share for fact in stretch.baseline if is_held(fact)
    }
    for facts in stretch.blocks:
        if facts.number <= stored.number:
            for change in facts.shares:
                key = (change.hotkey, change.netuid, change.coldkey)
                theirs.pop(key, None)
                if is_held(change):
                    theirs[key] = change.share
    ours = {
        (hotkey, netuid, coldkey): share
        for (hotkey, netuid), holders in holdings_at(stored.number).items()
        for coldkey, share in holders.items()
    }
    if theirs == ours:
        return
    wrong = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    hotkey, netuid, coldkey = wrong[0]
    raise PositionsDisagree(
        f"after block {stored.number}, {len(wrong)} positions are not those the chain listed, the first {coldkey} on "
        f"{hotkey} netuid {netuid}: stored {ours.get(wrong[0], NO_SHARE)}, listed {theirs.get(wrong[0], NO_SHARE)}"
    )
