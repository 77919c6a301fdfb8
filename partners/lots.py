"""Which part of a wallet's stake came under which tag: lots, first in, first out, in shares of the pool (PA8). Pure.

A lot is stake that came by one stake event. It is counted in the pool's own shares: a dividend raises what every share is
worth and changes no share, so yield stays with the stake that earned it. What leaves uses up the oldest lots, those of one
tag first where the unstake itself was tagged. A move between our hotkeys or subnets carries lots along with their age, and
marks them with the remark beside it; a transfer to another coldkey does not; a swap of the coldkey's own key does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from chain.facts import Position
from chain.pools.shares import NO_SHARE, ONE_SHARE, Share, weights
from chain.splitting import split
from chain.units import U64F64_ONE
from partners.matching import History

# What a block's stake events leave over of a change of share, up to this part of what they moved, is their rounding.
_ROUNDING_PARTS = 1_000_000
UNTAGGED = ""


@dataclass(frozen=True, slots=True)
class Leg:
    """One stake event on a position, or one change that the chain made without one.

    `tag` is the remark on it, by its hash: of a stake the one that tags it, of an unstake the one its sender left beside it
    that counts there. `other` is the position of ours at the other end of a move or of a key swap, `moved_under` the remark
    beside the move that counts on moves. `like` is the position whose lots it follows in proportion, as a claim of root
    dividends follows the root stake that earned them.
    """

    event_index: int
    added: bool
    alpha_rao: int
    tag: str = UNTAGGED
    other: Position | None = None
    like: Position | None = None
    moved_under: str = UNTAGGED


@dataclass(frozen=True, slots=True)
class Change:
    """A position's share before and after a block, and its legs.

    `pool` is (value in rao, denominator) as it last was, where known. `is_told` says that the legs explain the whole
    change; not so for an owner in a block whose epoch credited the take.
    """

    position: Position
    before: Share
    after: Share
    legs: Sequence[Leg]
    pool: tuple[int, Share] | None = None
    is_told: bool = True


@dataclass(frozen=True, slots=True)
class Lot:
    """Stake that came to us at `block` by its event `event_index`, counted in shares of its present pool.

    `tag` is the remark it came under, `moved` the last one it was moved under since, where there was one. `shares` has the
    scale of its position at that time: only the proportions among the lots of one position mean anything.
    """

    block: int
    event_index: int
    tag: str
    shares: int
    moved: str = UNTAGGED

    @property
    def age(self) -> tuple[int, int, str, str]:
        """What it is ordered by: first in, first out."""
        return self.block, self.event_index, self.tag, self.moved


class LotBook:
    """The lots of some wallets through time. Fill it block by block, oldest first, then ask."""

    def __init__(self) -> None:
        self._now: dict[Position, tuple[Lot, ...]] = {}
        self._history: defaultdict[Position, list[tuple[int, tuple[Lot, ...]]]] = defaultdict(list)
        self._changes: defaultdict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        self._last_block = -1

    def at(self, position: Position, block: int) -> tuple[Lot, ...]:
        """The lots of a position in the state after `block`, oldest first; none where nothing was held or is known."""
        history = self._history.get(position, [])
        place = bisect_right(history, block, key=lambda entry: entry[0])
        return history[place - 1][1] if place else ()

    def changed(self, pool: tuple[str, int], after: int, last: int) -> set[str]:
        """Coldkeys whose lots in a pool (hotkey, netuid) changed in the blocks from `after` on, that excluded, to `last`."""
        changes = self._changes.get(pool, [])
        first, end = (bisect_right(changes, block, key=lambda change: change[0]) for block in (after, last))
        return {coldkey for _, coldkey in changes[first:end]}

    def apply(self, block: int, changes: Iterable[Change]) -> None:
        """Take in one block's changes, of all positions it changed.

        :raises ValueError: the block is not after the last one, or a position is given twice.
        """
        if block <= self._last_block:
            raise ValueError(f"block {block} comes after block {self._last_block}")
        self._last_block = block
        by_position = {change.position: change for change in changes}
        moved: defaultdict[tuple[Position, Position], deque[tuple[Lot, ...]]] = defaultdict(deque)
        legs = []
        scales: dict[Position, tuple[int, int]] = {}
        for position, change in sorted(by_position.items()):
            scale = weights(_numbers(change))
            scales[position] = scale["before"], scale["after"]
            self._now[position] = restated(self._now.get(position, ()), scale["before"], block)
            amounts = leg_shares(change)
            legs += [(leg, position, amount) for leg, amount in zip(change.legs, amounts, strict=True)]
        # Of one event, what leaves comes first: a swap's position must be empty before the new one fills.
        legs.sort(key=lambda entry: (entry[0].event_index, entry[0].added, entry[1]))
        for leg, position, amount in legs:
            if leg.added:
                self._add(block, leg, position, amount, moved)
            else:
                left, gone = take_oldest(self._now[position], amount, leg.tag)
                self._now[position] = left
                if leg.other is not None:
                    moved[position, leg.other].append(gone)
        for position, (_, after) in scales.items():
            self._settle(block, by_position[position], after)
            self._history[position].append((block, self._now[position]))
            self._changes[position[0], position[1]].append((block, position[2]))

    def _add(
        self,
        block: int,
        leg: Leg,
        position: Position,
        amount: int,
        moved: Mapping[tuple[Position, Position], deque[tuple[Lot, ...]]],
    ) -> None:
        carried: tuple[Lot, ...] = ()
        if leg.like is not None:
            carried = self._now.get(leg.like, ())
        elif leg.other is not None and (queue := moved.get((leg.other, position))):
            carried = queue.popleft()
            if leg.moved_under:
                carried = tuple(replace(lot, moved=leg.moved_under) for lot in carried)
        new = restated(carried, amount, block) if carried else (Lot(block, leg.event_index, leg.tag, amount),)
        self._now[position] = merged([*self._now[position], *new])

    def _settle(self, block: int, change: Change, after: int) -> None:
        """Let the lots add up to the share to the last bit."""
        lots = self._now[change.position]
        rest = after - sum(lot.shares for lot in lots)
        if rest < 0:
            lots, _ = take_oldest(lots, -rest)
        elif rest:
            newest = max(
                (lot for lot in lots if lot.block == block), key=lambda lot: lot.shares, default=None
            )
            if newest is not None and rest * _ROUNDING_PARTS <= after:
                lots = merged([*lots, replace(newest, shares=rest)])
            else:
                last = max((leg.event_index for leg in change.legs), default=0) + 1
                lots = merged([*lots, Lot(block, last, UNTAGGED, rest)])
        self._now[change.position] = lots


class Tags(NamedTuple):
    """The remarks that stake came under and was last moved under, by their hashes; empty for none."""

    came: str = UNTAGGED
    moved: str = UNTAGGED

    @property
    def named(self) -> tuple[str, ...]:
        """As rows are hashed: the second only where there is one, so that rows of before it was known keep their hash."""
        return (self.came, self.moved) if self.moved else (self.came,)


@dataclass(frozen=True, slots=True)
class TaggedStake:
    """Lots of the wallets that rules by memo may claim, and the histories of those whom rules for new delegators ask for.

    `texts` are the remarks by the hash that the lots name them by.
    """

    lots: LotBook = field(default_factory=LotBook)
    coldkeys: frozenset[str] = frozenset()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)

    def changed(self, pool: tuple[str, int], after: int, last: int) -> set[str]:
        """Coldkeys whose parts in a pool may differ between the states after two blocks; see :meth:`LotBook.changed`."""
        return self.lots.changed(pool, after, last)

    def parts(self, position: Position, block: int) -> list[tuple[Tags, int]]:
        """The tags of a position in the state after `block` with their shares, in order of the tags."""
        shares: dict[Tags, int] = defaultdict(int)
        for lot in self.lots.at(position, block) if position[2] in self.coldkeys else ():
            shares[Tags(lot.tag, lot.moved)] += lot.shares
        return sorted(shares.items())


def leg_shares(change: Change) -> list[int]:
    """How many shares each leg brought or took, in the scale of the change, never below zero.

    Legs of one direction that explain the whole change share it by their alpha, exactly. Where some brought and some took,
    each is priced by the change itself, if it is so large that a rao of rounding in each leg does not show; else, or where
    something came besides, by the pool, and by the change where the pool is not known.
    """
    scale = weights(_numbers(change))
    delta = scale["after"] - scale["before"]
    told = sum(leg.alpha_rao if leg.added else -leg.alpha_rao for leg in change.legs)
    one_way = len({leg.added for leg in change.legs}) == 1
    if change.is_told and one_way and delta * told > 0:
        of = [(f"{place:09d}", leg.alpha_rao) for place, leg in enumerate(change.legs)]
        given = dict(split(abs(delta), of))
        return [given.get(name, 0) for name, _ in of]
    says_price = change.is_told and delta * told > 0 and abs(told) >= len(change.legs) * _ROUNDING_PARTS
    if change.pool is not None and change.pool[0] and not says_price:
        units, per = scale["pool"], change.pool[0]
    elif delta * told > 0:
        units, per = abs(delta), abs(told)
    else:
        # Nothing says what a share is worth; in a new pool it is a rao.
        units, per = scale["one"], 1
    return [leg.alpha_rao * units // per for leg in change.legs]


def _numbers(change: Change) -> dict[str, Share]:
    numbers = {"before": change.before, "after": change.after}
    formats = {share.exponent is None for share in numbers.values() if share.bits}
    # One rao in the format of the shares, so that naming it changes no scale.
    numbers["one"] = Share(U64F64_ONE) if formats <= {True} else ONE_SHARE
    if change.pool is not None:
        numbers["pool"] = change.pool[1]
    return {name: share if share.bits else NO_SHARE for name, share in numbers.items()}


def take_oldest(
    lots: Sequence[Lot], amount: int, tag: str = UNTAGGED
) -> tuple[tuple[Lot, ...], tuple[Lot, ...]]:
    """Use up `amount` shares, oldest first, those of `tag` before all others; gives what is left and what is gone.

    More than there is takes all there is.
    """
    left, gone = {lot.age: lot for lot in lots}, []
    for lot in sorted(lots, key=lambda lot: (bool(tag) and tag not in (lot.tag, lot.moved), lot.age)):
        used = min(amount, lot.shares)
        if used:
            gone.append(replace(lot, shares=used))
            left[lot.age] = replace(lot, shares=lot.shares - used)
            amount -= used
    return merged(left.values()), merged(gone)


def restated(lots: Sequence[Lot], total: int, block: int) -> tuple[Lot, ...]:
    """The same lots in the same proportions, made to add up to `total`; nothing known of any of it is one untagged lot."""
    if sum(lot.shares for lot in lots) == total:
        return tuple(lots)
    if not lots:
        return (Lot(block, 0, UNTAGGED, total),) if total else ()
    by_name = {f"{place:09d}": lot for place, lot in enumerate(lots)}
    given = split(total, [(name, lot.shares) for name, lot in by_name.items()])
    return merged(replace(by_name[name], shares=shares) for name, shares in given)


def merged(lots: Iterable[Lot]) -> tuple[Lot, ...]:
    """Lots of one origin as one, oldest first, without empty ones."""
    found: dict[tuple[int, int, str, str], Lot] = {}
    for lot in lots:
        before = found.get(lot.age)
        found[lot.age] = replace(lot, shares=lot.shares + (before.shares if before else 0))
    return tuple(found[age] for age in sorted(found) if found[age].shares)
