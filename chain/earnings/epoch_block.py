"""One block with epochs, or with stake events of ours: what was read for it, and the pools that matter. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chain.facts import Position, StakeEventFact
from chain.keys import ROOT
from chain.pools.holdings import Holdings, Pool
from chain.runtimes.decoding import Decoder, Event, Extrinsic
from chain.runtimes.eras import Era
from chain.state import State


@dataclass(frozen=True)
class EpochBlock:
    """A block in which epochs ran."""

    number: int
    era: Era
    spec_version: int
    decoder: Decoder
    netuids: Sequence[int]
    """In the order in which the chain ran them."""
    pairs: Sequence[Pool]
    """(hotkey, netuid) of ours among them."""
    others: Sequence[Pool]
    """Those of our keys on subnets where they are not ours; their owners' positions change all the same."""
    events: Sequence[Event]
    legs: Sequence[StakeEventFact]
    holdings: Holdings
    before: State
    after: State
    renamed: dict[Pool, str]
    """Pools whose hotkey was swapped in this block, with the key that took its place."""
    unsaid: frozenset[Position]
    """Positions that may have changed by amounts no stake event tells."""
    extrinsics: Mapping[int, Extrinsic]

    def names(self, hotkey: str, netuid: int) -> list[str]:
        """The keys under which a pool's books may stand after the block, its own first."""
        return [hotkey, *([self.renamed[hotkey, netuid]] if (hotkey, netuid) in self.renamed else [])]

    def key_after(self, key_of: Callable[[str], str], hotkey: str, netuid: int) -> str:
        """Storage key of one item of a pool's books after the block.

        Which items a swap takes along differs by runtime and by whether delegators stay; what it took is gone under the
        old key.
        """
        found = [key_of(name) for name in self.names(hotkey, netuid)]
        return next((key for key in found if self.after.raw(key) is not None), found[0])

    @property
    def hotkeys(self) -> list[str]:
        """Our keys that had an epoch."""
        return sorted({hotkey for hotkey, _ in (*self.pairs, *self.others)})


def pools_of(block: EpochBlock) -> set[Pool]:
    """Every pool whose state matters: those that had the epoch, and root, which shares in it."""
    return {(hotkey, netuid) for hotkey, own in (*block.pairs, *block.others) for netuid in (own, ROOT)}
