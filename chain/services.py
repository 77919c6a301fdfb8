"""Writes of chain facts: one transaction per block, so that ingestion can be killed anywhere and started again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from django.db import transaction
from django.utils import timezone

from chain.facts import BlockFacts
from chain.gaps.queries import next_readable, readable_ranges
from chain.gaps.services import GAP_KINDS, finish_run, gap_kind, record_doubts, record_gap
from chain.locks import Busy, Lock, only_one
from chain.models import Backfill, Block, IngestRun, Network, Runtime
from chain.nodes.providers import second_opinion
from chain.nodes.segment import SegmentHeader, SegmentSource, check_place, write_segment
from chain.nodes.source import RecordingSource, Source, call_one
from chain.pools.shares import NO_SHARE
from chain.queries import followed_after, holdings_at, last_block, named_hotkeys, stored_runtimes
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import UnknownRuntime
from chain.runtimes.eras import ERAS, NEWEST_KNOWN_SPEC, Era, era_of
from chain.runtimes.services import admitted_eras, assume_runtime
from chain.stake.hotkeys import Following
from chain.state import BrokenChain, Identity, read_identity, understanding
from chain.storing import Metadata, store_baseline, store_blocks, store_network

Progress = Callable[[int, int], None]
T = TypeVar("T")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CannotIngest(Exception):
    """The request does not fit what is stored or what the source serves. Nothing was written."""


class IngestBusy(CannotIngest):
    """Somebody else reads blocks now. Nothing was written; the same call works once they are done."""


class IngestStopped(Exception):
    """Ingestion stopped at a block it could not read or prove. The blocks before it are stored, a gap is open."""


@dataclass(frozen=True)
class Assumption:
    """Who told us to read runtimes whose rules nobody proved, and by which era's rules. Facts are marked by it."""

    era: Era
    actor: str


@dataclass(frozen=True)
class IngestReport:
    """How many blocks a run added, and which it was asked for."""

    first_block: int
    last_block: int
    added: int


def now_utc() -> datetime:
    """The clock, read at the edge only."""
    return timezone.now()


# --- ingestion ----------------------------------------------------------------------------------------


def ingest_segment(
    path: Path,
    *,
    first: int | None = None,
    last: int | None = None,
    progress: Progress | None = None,
    assume: Assumption | None = None,
) -> IngestReport:
    """Replay a segment, or the part of it from `first` to `last`, for the hotkeys its header names.

    :raises BadSegment: the file is not a whole segment, or its header is not of what it recorded.
    :raises CannotIngest, IngestStopped: see there.
    """
    source = SegmentSource(path)
    header = source.header
    first = header.first_block if first is None else first
    last = header.last_block if last is None else last
    if not header.first_block <= first <= last <= header.last_block:
        raise CannotIngest(
            f"{path} holds blocks {header.first_block} to {header.last_block}; {first} to {last} is not among them"
        )
    if last_block() is None and first != header.first_block:
        raise CannotIngest(
            f"no block is stored yet, and {path} holds the state to begin with before block {header.first_block} only: "
            "leave out --from"
        )
    admitted = admitted_eras()
    unknown = [spec for spec in header.spec_versions if not (era_of(spec) or admitted.get(spec))]
    if unknown and assume is None:
        raise CannotIngest(
            f"{path} holds blocks of runtime {unknown[0]}, which this version cannot read yet (it reads "
            f"{ERAS[0].first_spec} to {NEWEST_KNOWN_SPEC}). Prove it with manage.py check_runtime --segment {path}, or "
            "go on unproved with --assume-era, which marks the facts."
        )
    return ingest(source, first=first, last=last, hotkeys=header.hotkeys, progress=progress, assume=assume)


def ingest(
    source: Source,
    *,
    first: int,
    last: int,
    hotkeys: Sequence[str],
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    assume: Assumption | None = None,
) -> IngestReport:
    """Store the facts of blocks first..last (both included) for our hotkeys. Blocks already stored are compared.

    :param progress: called with (blocks done, blocks to do).
    :param should_stop: asked after each block; the run then ends there, as if no more had been asked for.
    :raises CannotIngest: wrong chain, other hotkeys, another block where one is stored, a hole before `first`.
    :raises IngestBusy: another ingestion or a backfill is at work.
    :raises IngestStopped: a block could not be read or proved; a gap says which and why.
    """
    identity = second_opinion(source, partial(read_identity, source))
    try:
        with only_one(Lock.INGEST):
            refuse_beside_backfill(now=now_utc())
            return _ingest(source, identity, first, last, hotkeys, progress, should_stop, assume)
    except Busy as error:
        raise IngestBusy("another ingestion is running; wait for it to end, or stop it") from error


def refuse_beside_backfill(*, now: datetime) -> None:
    """Leave the next blocks to a backfill that is at work; one whose workers are silent keeps nobody waiting.

    :raises IngestBusy: naming it.
    """
    running = Backfill.objects.filter(state=Backfill.State.RUNNING).first()
    if running is not None and (now - running.seen_at).total_seconds() < running.lease_seconds:
        raise IngestBusy(f"{running} is running; wait for it to end, or pause or cancel it")


def _ingest(
    source: Source,
    identity: Identity,
    first: int,
    last: int,
    hotkeys: Sequence[str],
    progress: Progress | None,
    should_stop: Callable[[], bool],
    assume: Assumption | None,
) -> IngestReport:
    check_identity(identity, last)
    _check_assumption(assume)
    start = check_fits(source, first, last, sorted(set(hotkeys)))
    if start > last:
        return IngestReport(first, last, 0)
    run = IngestRun.objects.create(
        source=source.name[:200], first_block=start, last_block=last, started_at=now_utc()
    )
    number, ranges = start, readable_ranges(start, last)
    stored_specs: set[int] = set()
    try:
        # Each range but the first comes after blocks accepted as lost: nothing rests on what is not known.
        for range_first, range_last in ranges:
            number = range_first
            reader = ChainReader(
                source,
                following_now() or hotkeys,
                identity.ss58_prefix,
                eras=admitted_eras(),
                until=look_until(identity, range_last),
            )
            begin = _start_reader(source, reader, identity, number, assume)
            for number in range(range_first, range_last + 1):
                facts = _assuming(
                    reader,
                    number,
                    assume,
                    partial(second_opinion, source, partial(reader.read_block, number)),
                )
                with transaction.atomic():
                    begin()
                    store_blocks([facts], partial(_runtime_of, reader), stored_specs=stored_specs)
                    record_doubts(run=run, blocks=[facts], now=now_utc())
                    IngestRun.objects.filter(pk=run.pk).update(blocks_done=number - start + 1)
                begin = _nothing
                stored_specs.add(facts.spec_version)
                if progress:
                    progress(number - start + 1, last - start + 1)
                if should_stop():
                    return _stop_early(run, number, IngestReport(first, number, number - start + 1))
    except BrokenChain as error:
        finish_run(run, error, now=now_utc())
        raise CannotIngest(f"{source.name} serves another history: {error}") from error
    except tuple(GAP_KINDS) as error:
        record_gap(run=run, first=number, last=last, kind=gap_kind(error), reason=str(error), now=now_utc())
        finish_run(run, error, now=now_utc())
        raise IngestStopped(f"stopped before block {number}: {error}") from error
    except BaseException as error:
        finish_run(run, error, now=now_utc())
        raise
    finish_run(run, None, now=now_utc())
    return IngestReport(first, last, sum(end - begin + 1 for begin, end in ranges))


def look_until(identity: Identity, last: int) -> int:
    """The last block to look at: one more than is to be stored, where it is final and nobody accepted it as lost."""
    return min(last + 1, identity.finalized_block) if next_readable(last + 1) == last + 1 else last


def _check_assumption(assume: Assumption | None) -> None:
    """What was assumed of a runtime once stays, so that its blocks are read by one era's rules.

    :raises CannotIngest: naming the runtime and its era.
    """
    other = assume and Runtime.objects.filter(assumed=True).exclude(era=assume.era.name).first()
    if other:
        raise CannotIngest(
            f"runtime {other.spec_version} is assumed to be of era {other.era} already, and its blocks are read by that. "
            "Leave out --assume-era, or ingest anew into another RAKEBACK_HOME or database."
        )


def _assuming(reader: ChainReader, number: int, assume: Assumption | None, read: Callable[[], T]) -> T:
    """Read; where an unproved runtime is in the way and somebody told us to go on, note who and read on."""
    try:
        return read()
    except UnknownRuntime as error:
        if assume is None or reader.knows(error.spec_version):
            raise
        decoder = reader.decoder(error.spec_version, reader.parent_hash)
        assume_runtime(
            spec_version=error.spec_version,
            metadata_hex=decoder.metadata_hex,
            era=assume.era,
            first_block=number,
            actor=assume.actor,
            now=now_utc(),
        )
        reader.read_as(error.spec_version, assume.era)
        return read()


def _start_reader(
    source: Source, reader: ChainReader, identity: Identity, number: int, assume: Assumption | None
) -> Callable[[], None]:
    """Stand the reader before a block; returns what is to be written together with that block."""
    stored = last_block()
    if stored is not None and stored.number == number - 1:
        reader.start_from_facts(
            stored.hash,
            holdings_at(stored.number),
            stored_runtimes(),
            stored.runtime_id,
            (stored.timestamp - EPOCH) // timedelta(milliseconds=1),
        )
        return _nothing
    start = partial(second_opinion, source, partial(reader.start_from_chain, number - 1))
    baseline = _assuming(reader, number, assume, start)

    def begin() -> None:
        if stored is None:
            store_network(identity, reader.hotkeys, number)
        store_baseline(number - 1, baseline, known_until=stored.number if stored else None)

    return begin


def _runtime_of(reader: ChainReader, facts: BlockFacts) -> Metadata:
    return reader.decoder(facts.spec_version, facts.parent_hash)


def _nothing() -> None:
    """Nothing is to be written beside the block."""


def _stop_early(run: IngestRun, number: int, report: IngestReport) -> IngestReport:
    run.last_block = number
    run.save(update_fields=["last_block"])
    finish_run(run, None, now=now_utc())
    return report


def ingest_new_blocks(
    source: Source,
    *,
    count_max: int,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> IngestReport | None:
    """Store the confirmed blocks after the last stored one, at most `count_max`; None when there are none.

    :raises CannotIngest: also while nothing is stored yet: where to begin is for a person to say.
    """
    stored = last_block()
    if stored is None:
        raise CannotIngest(
            "no blocks are stored yet. Say once where to begin: manage.py ingest --url … --from A --to B --hotkey …"
        )
    first = next_readable(stored.number + 1)
    last = min(newest_confirmed(read_identity(source)), first + count_max - 1)
    if last < first:
        return None
    return ingest(
        source,
        first=first,
        last=last,
        hotkeys=our_hotkeys(),
        progress=progress,
        should_stop=should_stop,
    )


def newest_confirmed(identity: Identity) -> int:
    """The last block that another final one follows, which shows what the node may have hidden of it."""
    return identity.finalized_block - 1


def our_hotkeys() -> list[str]:
    """The keys that staff asked to follow; none before the first block."""
    return list(named_hotkeys().order_by("address").values_list("address", flat=True))


def following_now() -> list[Following]:
    """The keys to read the next block for, those that swaps brought included; none before the first block."""
    stored = last_block()
    return followed_after(stored.number) if stored else []


def check_identity(identity: Identity, last: int) -> None:
    """Refuse another chain than the one stored, and blocks that are not final.

    :raises CannotIngest: see there.
    """
    pinned = Network.objects.first()
    if pinned and pinned.genesis_hash != identity.genesis_hash:
        raise CannotIngest(
            f"this database holds the chain with genesis {pinned.genesis_hash}; the source serves "
            f"{identity.genesis_hash}. Use another RAKEBACK_HOME or database for another chain."
        )
    if pinned:
        for what, stored, served in (
            ("name", pinned.name, identity.chain),
            ("address prefix", pinned.ss58_prefix, identity.ss58_prefix),
        ):
            if stored != served:
                raise CannotIngest(
                    f"this database holds a chain of the {what} {stored!r}; the source says {served!r}. One of them is "
                    "wrong: compare with another node before going on."
                )
    if last > identity.finalized_block:
        raise CannotIngest(
            f"block {last} is not final yet: the finalized head is {identity.finalized_block}. "
            "Only finalized blocks are ingested."
        )


def check_fits(source: Source, first: int, last: int, hotkeys: list[str]) -> int:
    """Compare with what is stored; returns the first block still to do.

    :raises CannotIngest: when the range or the hotkeys do not fit, or the source has another history.
    """
    if first < 1 or first > last:
        raise CannotIngest(f"blocks {first} to {last} are not a range; the first block must be 1 or later")
    stored = last_block()
    if stored is None:
        return first
    ours = our_hotkeys()
    if ours != hotkeys:
        raise CannotIngest(
            f"this database follows the hotkeys {', '.join(ours)}; the request names {', '.join(hotkeys)}. "
            "Use another RAKEBACK_HOME or database for another set of hotkeys."
        )
    if first > stored.number + 1 and readable_ranges(stored.number + 1, first - 1):
        raise CannotIngest(
            f"facts are stored up to block {stored.number}; blocks {stored.number + 1} to {first - 1} would be "
            "missing. Ingest those first."
        )
    begins = Block.objects.earliest("number").number
    if first < begins:
        raise CannotIngest(
            f"the facts begin at block {begins}; blocks before it cannot be added later, because every position rests on "
            "the one before. Begin earlier in another RAKEBACK_HOME or database."
        )
    overlap = Block.objects.filter(number__range=(first, last)).order_by("number")
    for number, block_hash in overlap.values_list("number", "hash"):
        if (theirs := call_one(source, "chain_getBlockHash", number)) != block_hash:
            raise CannotIngest(
                f"{source.name} serves another history: block {number} is stored as {block_hash}, the source says "
                f"{theirs}"
            )
    return stored.number + 1


# --- recording and checking ---------------------------------------------------------------------------


def record_segment(
    source: Source,
    *,
    first: int,
    last: int,
    hotkeys: Sequence[str],
    path: Path,
    progress: Progress | None = None,
    eras: Mapping[int, Era] | None = None,
) -> SegmentHeader:
    """Record the reads that ingestion of first..last makes, the state before `first` and at `last` included.

    Writes nothing to the database and reads nothing from it. Reads every block as
    ingestion does, so a block that cannot be proved is refused here, not later.

    :param eras: runtimes that were admitted, beside those known.
    :raises CannotIngest: the range is not final or not a range.
    :raises OSError: no file can be written there.
    :raises SourceError, UnknownRuntime, BrokenChain, MethodsDisagree, PositionsDisagree, UnsupportedEvent:
        as while ingesting; no file is written.
    """
    if first < 1 or first > last:
        raise CannotIngest(f"blocks {first} to {last} are not a range; the first block must be 1 or later")
    check_place(path)
    recorder = RecordingSource(source)
    identity = read_identity(recorder)
    if last > identity.finalized_block:
        raise CannotIngest(
            f"block {last} is not final yet: the finalized head is {identity.finalized_block}. "
            "Only finalized blocks are recorded."
        )
    reader = ChainReader(
        recorder, hotkeys, identity.ss58_prefix, eras=eras, until=min(last + 1, identity.finalized_block)
    )
    reader.start_from_chain(first - 1)
    spec_versions: set[int] = set()
    for number in range(first, last + 1):
        spec_version = reader.read_block(number).spec_version
        spec_versions.add(spec_version)
        if progress:
            progress(number - first + 1, last - first + 1)
    with understanding(recorder, f"the holders at block {last}"):
        reader.read_holdings(last, reader.parent_hash, spec_version)
    header = SegmentHeader(
        chain=identity.chain,
        genesis_hash=identity.genesis_hash,
        ss58_prefix=identity.ss58_prefix,
        first_block=first,
        last_block=last,
        spec_versions=sorted(spec_versions),
        hotkeys=sorted(set(hotkeys)),
    )
    write_segment(path, header, recorder.exchanges)
    return header


@dataclass(frozen=True)
class PositionCheck:
    """Positions stored against those the chain itself listed at a block."""

    block: int
    positions: int
    differences: list[str]


def check_positions(path: Path) -> PositionCheck:
    """Compare the stored positions with the full list of holders that a segment holds of its last block.

    :raises CannotIngest: the segment's last block is not stored, or is another one.
    :raises BadSegment: the file is not a whole segment, or its header is not of what it recorded.
    :raises SourceError, PositionsDisagree: the list is not in it, or is none.
    """
    source = SegmentSource(path)
    header = source.header
    number = header.last_block
    block = Block.objects.filter(pk=number).first()
    if block is None:
        raise CannotIngest(f"block {number} is not stored. Run `manage.py ingest --segment {path}` first.")
    if (theirs := call_one(source, "chain_getBlockHash", number)) != block.hash:
        raise CannotIngest(f"block {number} is stored as {block.hash}, {path} says {theirs}")
    reader = ChainReader(source, followed_after(number), header.ss58_prefix, eras=admitted_eras())
    with understanding(source, f"the holders at block {number}"):
        chain = reader.read_holdings(number, block.hash, block.runtime_id)
    ours = holdings_at(number)
    differences = [
        f"{coldkey} on {hotkey} netuid {netuid}: stored {mine}, chain {theirs}"
        for hotkey, netuid in sorted({*chain, *ours})
        for coldkey in sorted({*chain.get((hotkey, netuid), {}), *ours.get((hotkey, netuid), {})})
        if (mine := ours.get((hotkey, netuid), {}).get(coldkey, NO_SHARE))
        != (theirs := chain.get((hotkey, netuid), {}).get(coldkey, NO_SHARE))
    ]
    return PositionCheck(number, sum(map(len, chain.values())), differences)
