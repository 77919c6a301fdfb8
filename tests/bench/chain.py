"""Reading the chain: decoding, listing positions, and whole blocks, each beside substrate-interface doing the same.

Blocks are read by substrate-interface from a node within the process where ours come from a segment, and over the same
WebSocket where ours do. What both found is compared block by block; a difference ends the run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chain.facts import BlockFacts
from chain.nodes.segment import SegmentSource
from chain.nodes.source import NodeSource, Source, call_one
from chain.pools.holdings import Holdings
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import RuntimeDecoder, decoder_for
from chain.services import ingest_segment, record_segment
from chain.tests.large_node import LargeChain
from chain.tests.mainnet import SS58_PREFIX, metadata_of, recorded_events
from chain.tests.reference_decoder import ReferenceDecoder
from chain.tests.replay_node import Play, PlaySource, serving
from tests.bench import backfill
from tests.bench.__main__ import median_seconds, report
from tests.bench.real_runtime import real_runtime
from tests.bench.reference import CountedSocket, InnerSocket, ReferenceBlock, ReferenceReader, check

FIRST, LAST = 17, 92
POSITIONS = 10_000


def run() -> None:
    """Measure decoding, positions, blocks, and a backfill."""
    _metadata()
    _events()
    _positions()
    _segment()
    play = Play("play")
    with serving(play) as url:
        _node(url, [play.address("val_hot"), play.address("snx_hot")], FIRST, LAST)
    with real_runtime() as node:
        if node is not None:
            _node(node.url, node.hotkeys, node.first, node.last, suffix=", real runtime")
    backfill.run()


def _metadata() -> None:
    """Load the metadata of two mainnet runtimes, as a new process does: nothing of it is cached on disk."""
    texts = {spec_version: metadata_of(spec_version) for spec_version in (343, 393)}
    value = median_seconds(
        lambda: [RuntimeDecoder(spec_version, text, SS58_PREFIX) for spec_version, text in texts.items()]
    )
    baseline = median_seconds(
        lambda: [ReferenceDecoder(text, SS58_PREFIX) for text in texts.values()], runs=1
    )
    report("chain.metadata_load_seconds", value / len(texts), "s", baseline / len(texts))


def _events() -> None:
    """Events of two recorded mainnet blocks, from the same bytes."""
    ours = decoder_for(393, metadata_of(393), SS58_PREFIX)
    theirs = ReferenceDecoder(metadata_of(393), SS58_PREFIX)
    blocks = list(recorded_events().values())
    decoded = [ours.events(raw) for raw in blocks]
    assert decoded == [theirs.events(raw) for raw in blocks]
    count = sum(map(len, decoded))
    value = median_seconds(lambda: [ours.events(raw) for raw in blocks], runs=20)
    baseline = median_seconds(lambda: [theirs.records(raw) for raw in blocks])
    report("chain.events_per_second", count / value, "events/s", count / baseline)


def _positions() -> None:
    """Every position of two hotkeys on 129 subnets, over a socket; ours are proved against the denominators as well."""
    chain = LargeChain(1, positions=POSITIONS)
    with serving(chain) as url, NodeSource(url) as source:
        reader = ChainReader(source, chain.hotkeys, SS58_PREFIX)
        value = median_seconds(lambda: reader.start_from_chain(1), runs=3)
        theirs = ReferenceReader(CountedSocket(url), chain.hotkeys)
        block_hash = str(call_one(source, "chain_getBlockHash", 1))
        start = time.perf_counter()
        found = theirs.positions(block_hash)
        baseline = time.perf_counter() - start
        theirs.close()
    assert found == {
        (hotkey, netuid, coldkey): share.bits
        for (hotkey, netuid), holders in reader.holdings.items()
        for coldkey, share in holders.items()
    }
    report("chain.positions_per_second", POSITIONS / value, "positions/s", POSITIONS / baseline)


# --- whole blocks -----------------------------------------------------------------------------------------


@dataclass
class _Ours:
    """Facts of every block with the positions after it, and the decoder of its runtime."""

    facts: list[BlockFacts] = field(default_factory=list)
    holdings: list[Holdings] = field(default_factory=list)

    def read(self, source: Source, hotkeys: Sequence[str], first: int, last: int, *, ahead: bool) -> None:
        """Read blocks into facts, read ahead as ingestion of a range does, or one by one as at the chain's head."""
        self.facts.clear()
        self.holdings.clear()
        reader = ChainReader(source, hotkeys, SS58_PREFIX, until=last if ahead else 0)
        reader.start_from_chain(first - 1)
        for number in range(first, last + 1):
            self.facts.append(reader.read_block(number))
            self.holdings.append(reader.holdings)

    def compare(self, theirs: Sequence[ReferenceBlock]) -> None:
        """See that substrate-interface found the same."""
        for facts, holdings, block in zip(self.facts, self.holdings, theirs, strict=True):
            check(facts, holdings, block)


def _theirs(reader: ReferenceReader, parent_hash: str, first: int, last: int) -> list[ReferenceBlock]:
    blocks: list[ReferenceBlock] = []
    for number in range(first, last + 1):
        blocks.append(reader.read(number, parent_hash))
        parent_hash = blocks[-1].hash
    return blocks


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _segment() -> None:
    """Blocks replayed from a segment; the other way reads them from a node within the process, and stores nothing."""
    play = Play("play")
    hotkeys = [play.address("val_hot"), play.address("snx_hot")]
    ours, count = _Ours(), LAST - FIRST + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "play.segment.gz"
        record_segment(PlaySource(play), first=FIRST, last=LAST, hotkeys=hotkeys, path=path)
        value = median_seconds(
            lambda: ours.read(SegmentSource(path), hotkeys, FIRST, LAST, ahead=True), runs=5
        )
        backfill.make_empty()
        with backfill.database_from(f"{backfill.EMPTY}_ingest", backfill.EMPTY):
            stored = _timed(lambda: ingest_segment(path))
    reader = ReferenceReader(InnerSocket(play.answer), hotkeys)
    theirs: list[ReferenceBlock] = []
    baseline = _timed(lambda: theirs.extend(_theirs(reader, play.blocks[FIRST - 1]["hash"], FIRST, LAST)))
    ours.compare(theirs)
    report("chain.blocks_per_second", count / value, "blocks/s", count / baseline)
    report("chain.blocks_per_second, stored", count / stored, "blocks/s", count / baseline)
    reader.close()


def _node(url: str, hotkeys: Sequence[str], first: int, last: int, suffix: str = "") -> None:
    """Blocks read from a live node: what each costs in round trips and time."""
    ours, count = _Ours(), last - first + 1
    with NodeSource(url) as source:
        parent_hash = str(call_one(source, "chain_getBlockHash", first - 1))
        ours.read(source, hotkeys, first, last, ahead=True)
        reader = ReferenceReader(CountedSocket(url), hotkeys)
        theirs: list[ReferenceBlock] = []
        before = reader.round_trips
        their_seconds = _timed(lambda: theirs.extend(_theirs(reader, parent_hash, first, last)))
        their_trips = (reader.round_trips - before) / count
        reader.close()
        ours.compare(theirs)
        for ahead, way in ((True, ""), (False, ", at the chain's head")):
            before = source.round_trips
            seconds = _timed(lambda ahead=ahead: ours.read(source, hotkeys, first, last, ahead=ahead))  # type: ignore[misc]
            trips = (source.round_trips - before) / count
            ours.compare(theirs)
            report(f"chain.round_trips_per_block{way}{suffix}", trips, "round trips", their_trips)
            report(
                f"chain.milliseconds_per_block{way}{suffix}",
                seconds * 1000 / count,
                "ms",
                their_seconds * 1000 / count,
            )
