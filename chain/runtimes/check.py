"""The self-test that admits a runtime: where it keeps things, then a sample of its blocks read by an era's rules. Pure.

Reading a block proves each take by its methods and the positions by the chain's denominators; at the end every
position is compared with the chain's own list of holders. A sample without an epoch of ours proves nothing and is
refused like any other failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chain.earnings.yields import MethodsDisagree
from chain.nodes.segment import SegmentSource
from chain.nodes.source import MissingRead, Source, SourceError, call_one
from chain.pools.holdings import Holdings
from chain.pools.shares import NO_SHARE
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import RuntimeDecoder, Undecodable, UnknownRuntime, decoder_for
from chain.runtimes.eras import ERA_BY_NAME, ERAS, Era, era_named, era_of
from chain.runtimes.layouts import layout_differences
from chain.state import (
    BrokenChain,
    Identity,
    PositionsDisagree,
    UnsupportedEvent,
    read_identity,
    understanding,
)

Progress = Callable[[int, int], None]

_FAILURES = (
    SourceError,
    UnknownRuntime,
    BrokenChain,
    MethodsDisagree,
    PositionsDisagree,
    UnsupportedEvent,
)


class RuntimeRefused(Exception):
    """The runtime did not pass, or could not be tested. The message names what was found and at which block."""


@dataclass(frozen=True)
class Sample:
    """Blocks to read, `start` to `last` (both included); those of the runtime under test begin at `first`."""

    spec_version: int
    start: int
    first: int
    last: int
    hotkeys: tuple[str, ...]
    identity: Identity


@dataclass(frozen=True)
class Passed:
    """A runtime that passed, and on what evidence."""

    sample: Sample
    source: str
    era: Era
    metadata_hex: str
    epochs: int
    yields: dict[str, int]
    proofs: dict[str, int]
    stake_events: int
    conversions: int
    positions: int

    def evidence(self) -> dict[str, object]:
        """What the admission rests on, as JSON."""
        return {
            "source": self.source,
            "chain": self.sample.identity.chain,
            "genesis_hash": self.sample.identity.genesis_hash,
            "blocks": [self.sample.first, self.sample.last],
            "hotkeys": list(self.sample.hotkeys),
            "layout_differences": [],
            "epochs": self.epochs,
            "yields": self.yields,
            "proofs": self.proofs,
            "stake_events": self.stake_events,
            "conversions": self.conversions,
            "positions": self.positions,
        }


def chosen_era(spec_version: int, name: str | None) -> Era:
    """The era to read a runtime by: its own where it is known, else the one named, else that of today.

    :raises RuntimeRefused: for a name that is no era or not that of a known runtime.
    """
    era = None if name is None else era_named(name)
    if name is not None and era is None:
        raise RuntimeRefused(f"there is no era {name!r}; there are {', '.join(ERA_BY_NAME)}")
    known = era_of(spec_version)
    if known is None:
        return era or ERAS[-1]
    if era not in (None, known):
        raise RuntimeRefused(f"runtime {spec_version} is known to be of era {known.name}, not {name}")
    return known


# --- which blocks -------------------------------------------------------------------------------------


def sample_of_node(
    source: Source, hotkeys: Sequence[str], *, spec_version: int | None, blocks: int
) -> Sample:
    """The newest finalized blocks of a runtime, at most `blocks`; of the one that runs now where none is named.

    :raises RuntimeRefused: when no finalized block ran on it.
    :raises SourceError: a read could not be had.
    """
    identity = read_identity(source)
    head = identity.finalized_block

    def executed_by(number: int) -> int:
        block_hash = call_one(source, "chain_getBlockHash", number - 1)
        if not block_hash:
            raise MissingRead(f"{source.name} has no block {number - 1}")
        return int(call_one(source, "state_getRuntimeVersion", block_hash)["specVersion"])

    def first_after(low: int, spec: int) -> int:
        """The first block from `low` on that a runtime above `spec` executed; versions only ever grow."""
        high = head + 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if executed_by(middle) > spec else (middle + 1, high)
        return low

    spec = executed_by(head) if spec_version is None else spec_version
    last = head if executed_by(head) == spec else first_after(1, spec) - 1
    if last < 1 or executed_by(last) != spec:
        raise RuntimeRefused(f"no finalized block of {source.name} ran on runtime {spec}")
    first = first_after(max(1, last - blocks + 1), spec - 1)
    return Sample(spec, first, first, last, tuple(hotkeys), identity)


def sample_of_segment(source: SegmentSource, *, spec_version: int | None) -> Sample:
    """All blocks of a segment; the runtime under test is its newest where none is named.

    :raises RuntimeRefused: when none of its blocks ran on that runtime.
    """
    header = source.header
    spec = max(header.spec_versions) if spec_version is None else spec_version
    for number in range(header.first_block, header.last_block + 1):
        parent = call_one(source, "chain_getBlockHash", number - 1)
        try:
            version = call_one(source, "state_getRuntimeVersion", parent)
        except MissingRead:
            continue
        if int(version["specVersion"]) == spec:
            return Sample(
                spec,
                header.first_block,
                number,
                header.last_block,
                tuple(header.hotkeys),
                source.identity,
            )
    raise RuntimeRefused(f"no block of {source.name} ran on runtime {spec}")


# --- the test -----------------------------------------------------------------------------------------


def check_runtime(source: Source, sample: Sample, era: Era, *, progress: Progress | None = None) -> Passed:
    """Test a runtime on a sample of its blocks. Nothing is stored.

    :raises RuntimeRefused: it did not pass; the message says what was found and where.
    """
    try:
        decoder = _decoder(source, sample)
        if decoder.metadata_spec != sample.spec_version:
            raise RuntimeRefused(
                f"its metadata is that of runtime {decoder.metadata_spec}, the node says it runs {sample.spec_version}"
            )
        if differences := layout_differences(decoder, era):
            raise RuntimeRefused(
                f"the metadata of runtime {sample.spec_version} is not what era {era.name} is read by:\n  "
                + "\n  ".join(differences)
            )
        return _read(source, sample, era, decoder, progress)
    except (*_FAILURES, Undecodable) as error:
        raise RuntimeRefused(f"runtime {sample.spec_version} read as era {era.name}: {error}") from error


def _decoder(source: Source, sample: Sample) -> RuntimeDecoder:
    parent = call_one(source, "chain_getBlockHash", sample.first - 1)
    metadata = call_one(source, "state_getMetadata", parent)
    return decoder_for(sample.spec_version, metadata, sample.identity.ss58_prefix)


def _read(
    source: Source, sample: Sample, era: Era, decoder: RuntimeDecoder, progress: Progress | None
) -> Passed:
    reader = ChainReader(
        source,
        sample.hotkeys,
        sample.identity.ss58_prefix,
        eras={sample.spec_version: era},
        until=sample.last,
    )
    reader.start_from_chain(sample.start - 1)
    epochs: set[tuple[int, int]] = set()
    counted: Counter[str] = Counter()
    yields: Counter[str] = Counter()
    proofs: Counter[str] = Counter()
    for number in range(sample.start, sample.last + 1):
        facts = reader.read_block(number)
        if facts.spec_version == sample.spec_version:
            epochs |= {(number, fact.netuid) for fact in facts.yields}
            yields.update(fact.side for fact in facts.yields)
            proofs.update(fact.proof for fact in facts.yields)
            counted.update(stake_events=len(facts.stake_events), conversions=len(facts.conversions))
        if progress:
            progress(number - sample.start + 1, sample.last - sample.start + 1)
    with understanding(source, f"the holders at block {sample.last}"):
        listed = reader.read_holdings(sample.last, reader.parent_hash, facts.spec_version)
    if unequal := _unequal(reader.holdings, listed):
        raise PositionsDisagree(f"block {sample.last}: {'; '.join(unequal[:10])}")
    if not epochs:
        raise RuntimeRefused(
            f"blocks {sample.first} to {sample.last} hold no epoch that paid {', '.join(sample.hotkeys)}: nothing about "
            f"takes was proved. Test more blocks."
        )
    return Passed(
        sample,
        source.name,
        era,
        decoder.metadata_hex,
        epochs=len(epochs),
        yields=dict(yields),
        proofs=dict(proofs),
        stake_events=counted["stake_events"],
        conversions=counted["conversions"],
        positions=sum(map(len, listed.values())),
    )


def _unequal(ours: Holdings, chain: Holdings) -> list[str]:
    return [
        f"{coldkey} on {hotkey} netuid {netuid}: followed {mine}, chain {theirs}"
        for hotkey, netuid in sorted({*ours, *chain})
        for coldkey in sorted({*ours.get((hotkey, netuid), {}), *chain.get((hotkey, netuid), {})})
        if (mine := ours.get((hotkey, netuid), {}).get(coldkey, NO_SHARE))
        != (theirs := chain.get((hotkey, netuid), {}).get(coldkey, NO_SHARE))
    ]
