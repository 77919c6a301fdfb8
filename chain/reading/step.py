"""One block while it is being read: what was told of it, what was read for it, and the facts it comes to. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from chain.earnings.yields import Made
from chain.facts import BlockFacts, Position, StakeEventFact
from chain.pools.holdings import Holdings, Pool
from chain.runtimes.decoding import Decoder, Event, Extrinsic
from chain.runtimes.eras import Era
from chain.stake.changes import Touched
from chain.stake.hotkeys import Following, Swap, addresses
from chain.state import State

# A denominator as stored, by the formats of its era.
Proved = tuple[str | None, ...]


@dataclass
class Step:
    """One block while it is being read."""

    facts: BlockFacts
    era: Era
    decoder: Decoder
    before: State
    after: State
    events: list[Event]
    told: list[StakeEventFact]
    netuids: list[int]
    last_steps: dict[int, int]
    epochs: list[int]
    swaps: list[Swap]
    following: frozenset[Following]
    migrated: bool
    marks: Touched
    extrinsics: dict[int, Extrinsic] = field(default_factory=dict)
    legs: list[StakeEventFact] = field(default_factory=list)
    touched: set[Position] = field(default_factory=set)
    beside: set[Position] = field(default_factory=set)
    """Positions that something else than stake events moves, by amounts that only their shares tell."""
    credited: set[Position] = field(default_factory=set)
    made: dict[Pool, Made] = field(default_factory=dict)
    """What epochs credited to each pool, in order."""
    unsure: set[Position] = field(default_factory=set)
    """Positions that an epoch credited by an amount that nothing tells."""
    claimed: dict[Position, int] = field(default_factory=dict)
    """What claims of root dividends brought, in rao, where the chain's record of claims tells it."""
    proved: dict[Pool, Proved] = field(default_factory=dict)
    joined: Holdings = field(default_factory=dict)
    """Shares before the block on keys that are ours after it and were not before."""
    lost: set[str] = field(default_factory=set)
    """Keys that are a stranger's after the block."""

    @property
    def spec_version(self) -> int:
        """By whose rules the block is read."""
        return self.era.rules_of(self.facts.spec_version)

    @property
    def safe_float(self) -> bool:
        return self.era.safe_float_shares

    @property
    def followed(self) -> set[str]:
        """Our keys, those that a swap of this block brings included."""
        return {*addresses(self.following), *(swap.new for swap in self.swaps)}
