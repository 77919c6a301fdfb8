"""Writes of chain facts: one transaction per block, so that ingestion can be killed anywhere and started again."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.db import connection, transaction
from django.utils import timezone

from chain.facts import BlockFacts, ShareFact
from chain.locks import Busy, Lock, only_one
from chain.models import (
    Block,
    Conversion,
    Gap,
    Hotkey,
    IngestRun,
    Network,
    PoolPrice,
    Position,
    Remark,
    Runtime,
    StakeEvent,
    Yield,
)
from chain.queries import holdings_at, last_block, stored_runtimes
from chain.reader import ChainReader
from chain.runtime import SUPPORTED_SPECS, RuntimeDecoder, UnknownRuntime
from chain.segment import SegmentHeader, SegmentSource, write_segment
from chain.source import RecordingSource, Source, SourceError, call_one
from chain.state import BrokenChain, Identity, PositionsDisagree, UnsupportedEvent, read_identity
from chain.yields import MethodsDisagree

# Blocks of a segment or range that end ingestion, and the gap each leaves.
_GAP_KINDS: dict[type[Exception], str] = {
    SourceError: Gap.Kind.READ_MISSING,
    MethodsDisagree: Gap.Kind.METHODS_DISAGREE,
    PositionsDisagree: Gap.Kind.POSITIONS_DISAGREE,
    UnknownRuntime: Gap.Kind.UNKNOWN_RUNTIME,
    UnsupportedEvent: Gap.Kind.UNSUPPORTED,
}

Progress = Callable[[int, int], None]


class CannotIngest(Exception):
    """The request does not fit what is stored or what the source serves. Nothing was written."""


class IngestStopped(Exception):
    """Ingestion stopped at a block it could not read or prove. The blocks before it are stored, a gap is open."""


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
    path: Path, *, first: int | None = None, last: int | None = None, progress: Progress | None = None
) -> IngestReport:
    """Replay a segment, or the part of it from `first` to `last`, for the hotkeys its header names.

    :raises BadSegment: the file is not a whole segment.
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
    if unknown := sorted(set(header.spec_versions) - SUPPORTED_SPECS):
        known = ", ".join(map(str, sorted(SUPPORTED_SPECS)))
        raise CannotIngest(
            f"{path} was recorded on runtime {unknown[0]}, which this version cannot read yet (it reads {known})"
        )
    identity = read_identity(source)
    for name in ("chain", "ss58_prefix"):
        says, recorded = getattr(header, name), getattr(identity, name)
        if says != recorded:
            raise CannotIngest(
                f"{path} says {name} {says!r} in its header but {recorded!r} in what it recorded"
            )
    if identity.genesis_hash != header.genesis_hash:
        raise CannotIngest(
            f"{path} says genesis {header.genesis_hash} in its header but {identity.genesis_hash} in what it recorded"
        )
    return ingest(source, first=first, last=last, hotkeys=header.hotkeys, progress=progress)


def ingest(
    source: Source,
    *,
    first: int,
    last: int,
    hotkeys: Sequence[str],
    progress: Progress | None = None,
) -> IngestReport:
    """Store the facts of blocks first..last (both included) for our hotkeys. Blocks already stored are compared.

    :param progress: called with (blocks done, blocks to do).
    :raises CannotIngest: wrong chain, other hotkeys, another block where one is stored, a hole before `first`.
    :raises IngestStopped: a block could not be read or proved; a gap says which and why.
    """
    identity = read_identity(source)
    try:
        with only_one(Lock.INGEST):
            return _ingest(source, identity, first, last, hotkeys, progress)
    except Busy as error:
        raise CannotIngest("another ingestion is running; wait for it to end, or stop it") from error


def _ingest(
    source: Source,
    identity: Identity,
    first: int,
    last: int,
    hotkeys: Sequence[str],
    progress: Progress | None,
) -> IngestReport:
    _check_identity(identity, last)
    start = _check_fits(source, first, last, sorted(set(hotkeys)))
    if start > last:
        return IngestReport(first, last, 0)
    run = IngestRun.objects.create(
        source=source.name, first_block=start, last_block=last, started_at=now_utc()
    )
    number = start
    try:
        reader = ChainReader(source, hotkeys, identity.ss58_prefix)
        stored = last_block()
        baseline: list[ShareFact] = []
        if stored is None:
            baseline = reader.start_from_chain(start - 1)
        else:
            reader.start_from_facts(stored.hash, holdings_at(stored.number), stored_runtimes())
        for number in range(start, last + 1):
            facts = reader.read_block(number)
            with transaction.atomic():
                if number == start and stored is None:
                    _store_start(identity, hotkeys, start, baseline)
                _store_block(facts, reader)
                IngestRun.objects.filter(pk=run.pk).update(blocks_done=number - start + 1)
            if progress:
                progress(number - start + 1, last - start + 1)
    except BrokenChain as error:
        _finish(run, error)
        raise CannotIngest(f"{source.name} serves another history: {error}") from error
    except tuple(_GAP_KINDS) as error:
        _record_gap(run, number, last, error)
        raise IngestStopped(f"stopped before block {number}: {error}") from error
    except BaseException as error:
        _finish(run, error)
        raise
    _finish(run, None)
    return IngestReport(first, last, last - start + 1)


def ingest_new_blocks(source: Source, *, count_max: int) -> IngestReport | None:
    """Store the finalized blocks after the last stored one, at most `count_max`; None when there are none.

    :raises CannotIngest: also while nothing is stored yet: where to begin is for a person to say.
    """
    stored = last_block()
    if stored is None:
        raise CannotIngest(
            "no blocks are stored yet. Say once where to begin: manage.py ingest --url … --from A --to B --hotkey …"
        )
    last = min(read_identity(source).finalized_block, stored.number + count_max)
    if last <= stored.number:
        return None
    hotkeys = list(Hotkey.objects.values_list("address", flat=True))
    return ingest(source, first=stored.number + 1, last=last, hotkeys=hotkeys)


def _check_identity(identity: Identity, last: int) -> None:
    pinned = Network.objects.first()
    if pinned and pinned.genesis_hash != identity.genesis_hash:
        raise CannotIngest(
            f"this database holds the chain with genesis {pinned.genesis_hash}; the source serves "
            f"{identity.genesis_hash}. Use another RAKEBACK_HOME or database for another chain."
        )
    if last > identity.finalized_block:
        raise CannotIngest(
            f"block {last} is not final yet: the finalized head is {identity.finalized_block}. "
            "Only finalized blocks are ingested."
        )


def _check_fits(source: Source, first: int, last: int, hotkeys: list[str]) -> int:
    """Compare with what is stored; returns the first block still to do."""
    if first < 1 or first > last:
        raise CannotIngest(f"blocks {first} to {last} are not a range; the first block must be 1 or later")
    stored = last_block()
    if stored is None:
        return first
    ours = sorted(Hotkey.objects.values_list("address", flat=True))
    if ours != hotkeys:
        raise CannotIngest(
            f"this database follows the hotkeys {', '.join(ours)}; the request names {', '.join(hotkeys)}. "
            "Use another RAKEBACK_HOME or database for another set of hotkeys."
        )
    if first > stored.number + 1:
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


def _store_start(identity: Identity, hotkeys: Sequence[str], first: int, baseline: list[ShareFact]) -> None:
    Network.objects.get_or_create(
        id=1,
        defaults={
            "name": identity.chain,
            "genesis_hash": identity.genesis_hash,
            "ss58_prefix": identity.ss58_prefix,
        },
    )
    Hotkey.objects.bulk_create(Hotkey(address=address, first_block=first) for address in sorted(set(hotkeys)))
    _store_shares(first - 1, baseline)


def _store_block(facts: BlockFacts, reader: ChainReader) -> None:
    number = facts.number
    if not Runtime.objects.filter(pk=facts.spec_version).exists():
        _store_runtime(reader.decoder(facts.spec_version, facts.parent_hash), number)
    Block.objects.create(
        number=number,
        hash=facts.hash,
        parent_hash=facts.parent_hash,
        timestamp=datetime.fromtimestamp(facts.timestamp_ms // 1000, UTC).replace(
            microsecond=facts.timestamp_ms % 1000 * 1000
        ),
        runtime_id=facts.spec_version,
    )
    Yield.objects.bulk_create(Yield(block_id=number, **vars(fact)) for fact in facts.yields)
    events = StakeEvent.objects.bulk_create(
        StakeEvent(block_id=number, **vars(fact)) for fact in facts.stake_events
    )
    by_index = {event.event_index: event for event in events}
    Conversion.objects.bulk_create(
        Conversion(
            block_id=number,
            stake_event=by_index[fact.event_index],
            **{name: value for name, value in vars(fact).items() if name != "event_index"},
        )
        for fact in facts.conversions
    )
    PoolPrice.objects.bulk_create(PoolPrice(block_id=number, **vars(fact)) for fact in facts.prices)
    Remark.objects.bulk_create(Remark(block_id=number, **vars(fact)) for fact in facts.remarks)
    _store_shares(number, facts.shares)


def _store_runtime(decoder: RuntimeDecoder, number: int) -> None:
    metadata = bytes.fromhex(decoder.metadata_hex.removeprefix("0x"))
    Runtime.objects.create(
        spec_version=decoder.spec_version,
        metadata=zlib.compress(metadata, 9),
        metadata_sha256=hashlib.sha256(metadata).hexdigest(),
        first_block=number,
    )


def _store_shares(number: int, changes: Sequence[ShareFact]) -> None:
    """End the running position of every coldkey named and begin its new one, both at `number`."""
    if not changes:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE chain_position SET blocks = int8range(lower(blocks), %s)
            FROM unnest(%s::text[], %s::int[], %s::text[]) AS changed (hotkey, netuid, coldkey)
            WHERE chain_position.hotkey = changed.hotkey AND chain_position.netuid = changed.netuid
              AND chain_position.coldkey = changed.coldkey AND upper_inf(blocks)
            """,
            [
                number,
                [change.hotkey for change in changes],
                [change.netuid for change in changes],
                [change.coldkey for change in changes],
            ],
        )
    Position.objects.bulk_create(
        Position(
            hotkey=change.hotkey,
            netuid=change.netuid,
            coldkey=change.coldkey,
            blocks=(number, None),
            share=change.share,
        )
        for change in changes
        if change.share
    )


def _finish(run: IngestRun, error: BaseException | None) -> None:
    run.status = IngestRun.Status.FAILED if error else IngestRun.Status.DONE
    run.error = f"{type(error).__name__}: {error}" if error else ""
    run.finished_at = now_utc()
    run.save(update_fields=["status", "error", "finished_at"])
    stored = last_block()
    if stored is not None:
        # A gap reaches from the block that stopped a run to the end of what was asked; it is closed once
        # all of it is stored.
        Gap.objects.filter(resolved_at=None, blocks__not_gt=(None, stored.number + 1)).update(
            resolved_at=run.finished_at, resolved_by=run
        )


@transaction.atomic
def _record_gap(run: IngestRun, number: int, last: int, error: Exception) -> None:
    kind = next(kind for cause, kind in _GAP_KINDS.items() if isinstance(error, cause))
    known = Gap.objects.filter(resolved_at=None, kind=kind, blocks=(number, last + 1), reason=str(error))
    if not known.exists():
        Gap.objects.create(
            kind=kind, blocks=(number, last + 1), reason=str(error), detected_at=now_utc(), detected_by=run
        )
    _finish(run, error)


# --- recording and checking ---------------------------------------------------------------------------


def record_segment(
    source: Source,
    *,
    first: int,
    last: int,
    hotkeys: Sequence[str],
    path: Path,
    progress: Progress | None = None,
) -> SegmentHeader:
    """Record the reads that ingestion of first..last makes, the state before `first` and at `last` included.

    Reads every block as ingestion does, so a block that cannot be proved is refused here, not later.

    :raises CannotIngest: the range is not final or not a range.
    :raises SourceError, UnknownRuntime, BrokenChain, MethodsDisagree, PositionsDisagree, UnsupportedEvent:
        as while ingesting; no file is written.
    """
    if first < 1 or first > last:
        raise CannotIngest(f"blocks {first} to {last} are not a range; the first block must be 1 or later")
    recorder = RecordingSource(source)
    identity = read_identity(recorder)
    if last > identity.finalized_block:
        raise CannotIngest(
            f"block {last} is not final yet: the finalized head is {identity.finalized_block}. "
            "Only finalized blocks are recorded."
        )
    reader = ChainReader(recorder, hotkeys, identity.ss58_prefix)
    reader.start_from_chain(first - 1)
    spec_versions = set()
    for number in range(first, last + 1):
        spec_versions.add(reader.read_block(number).spec_version)
        if progress:
            progress(number - first + 1, last - first + 1)
    reader.read_holdings(last, reader.parent_hash)
    header = SegmentHeader(
        chain=identity.chain,
        genesis_hash=identity.genesis_hash,
        ss58_prefix=identity.ss58_prefix,
        first_block=first,
        last_block=last,
        spec_versions=sorted(spec_versions),
        hotkeys=reader.hotkeys,
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
    :raises BadSegment: the file is not a whole segment.
    """
    source = SegmentSource(path)
    header = source.header
    number = header.last_block
    block = Block.objects.filter(pk=number).first()
    if block is None:
        raise CannotIngest(f"block {number} is not stored. Run `manage.py ingest --segment {path}` first.")
    if (theirs := call_one(source, "chain_getBlockHash", number)) != block.hash:
        raise CannotIngest(f"block {number} is stored as {block.hash}, {path} says {theirs}")
    reader = ChainReader(source, header.hotkeys, header.ss58_prefix)
    chain, ours = reader.read_holdings(number, block.hash), holdings_at(number)
    differences = [
        f"{coldkey} on {hotkey} netuid {netuid}: stored {mine}, chain {theirs}"
        for hotkey, netuid in sorted({*chain, *ours})
        for coldkey in sorted({*chain.get((hotkey, netuid), {}), *ours.get((hotkey, netuid), {})})
        if (mine := ours.get((hotkey, netuid), {}).get(coldkey, 0))
        != (theirs := chain.get((hotkey, netuid), {}).get(coldkey, 0))
    ]
    return PositionCheck(number, sum(map(len, chain.values())), differences)
