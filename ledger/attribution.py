"""Whose the takes of a pool are, epoch by epoch, and the fingerprint of how each was split (LE1). Pure.

Rules, tags and positions change a few times a day, takes are split thousands of times: who wins what is asked when something
of it changes, and what every epoch brings is added up by NumPy, in integers.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np

from chain.keys import ROOT
from chain.splitting import CannotSplit, split
from ledger.shares import AMOUNT_MAX, ESTIMATED_MAX, Ints, Shares, floors
from partners.lots import TaggedStake, Tags
from partners.matching import Delegation, RuleBook, Winner
from partners.rates import Basis, Steps

RULESETS = {
    1: "Shares are hashed as lines of text.",
    2: "Shares are hashed as numbers.",
}
"""What closed or was attributed under one of these is recomputed and proved by it."""
RULESET = max(RULESETS)
"""What closes and is attributed now."""


@dataclass(frozen=True, slots=True)
class Earned:
    """One yield with its take already split over the coldkeys that earned it.

    `dividend_rao` is what they were credited after the take, by their shares; `dividends` says it for each where that is
    given and not by shares. `is_child` says that the hotkey was a child key on the subnet. `ruleset` is that by which it was
    attributed.
    """

    yield_id: int
    block: int
    at: datetime
    netuid: int
    hotkey: str
    side: str
    asset: str
    take_rao: int
    shares: Shares
    dividend_rao: int = 0
    dividends: Mapping[str, int] | None = None
    is_child: bool = False
    ruleset: int = RULESET

    @property
    def pool(self) -> Pool:
        """What its take is rolled up by."""
        return self.hotkey, self.netuid, self.side

    def gross(self, coldkey: str, whole_rao: int, part_rao: int) -> int:
        """What a part of a coldkey's take is of the gross dividend, the take and the dividend, rounded down."""
        if not whole_rao:
            return 0
        dividend, take = self.dividend_rao, self.take_rao
        if self.dividends is not None:
            dividend, take = self.dividends[coldkey], whole_rao
        return part_rao + part_rao * dividend // take


Pool = tuple[str, int, str]  # hotkey, netuid, side
Held = tuple[str, int, str, str, Tags]  # hotkey, netuid, side, coldkey, remarks


@dataclass(eq=False, slots=True)
class Wallets:
    """What each wallet earned the validator of one pool in one period, under an agreement whose lines name wallets.

    Whatever is paid on take of that period, then or when its alpha is sold, is split over them by it.
    """

    takes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one yield's take that one agreement's delegators earned; without agreement it is our own.

    Where the agreement's rate is of the gross dividend, `gross_rao` is what these delegators' part of that is. Where its
    lines name wallets, `wallets` are what they are split over.
    """

    partner_id: int | None
    agreement_id: int | None
    rate_bps: int
    delegator_count: int
    take_rao: int
    steps: Steps = ()
    cap_rao: int | None = None
    gross_rao: int | None = None
    wallets: Wallets | None = field(default=None, compare=False)

    @property
    def basis(self) -> Basis:
        """What the rate is of."""
        return Basis.TAKE if self.gross_rao is None else Basis.GROSS


@dataclass(frozen=True, slots=True)
class Won:
    """The rule that one delegation was won by at every epoch of its pool in `[first, last]`, with those it outranked."""

    first: int
    last: int
    winner: Winner


class Claim(NamedTuple):
    """Whose a coldkey's stake under one pair of tags is, a partner's or our own; `weight` is that of it in all its stake."""

    tags: Tags
    weight: int
    delegation: Delegation
    winner: Winner | None


def claims_on(delegation: Delegation, book: RuleBook, stake: TaggedStake) -> tuple[Claim, ...]:
    """Say whose a coldkey's stake is, by the tags under which it came.

    Those are of the state after the parent block, as the shares are that its amounts are split by.
    """
    pool_netuid = ROOT if delegation.side == "ROOT" else delegation.netuid
    position = delegation.hotkey, pool_netuid, delegation.coldkey
    delegation = replace(delegation, history=stake.histories.get(delegation.coldkey))
    found = []
    for tags, weight in stake.parts(position, delegation.block - 1) or [(Tags(), 1)]:
        came, moved = (stake.texts.get(name, b"") for name in tags)
        under = replace(delegation, tag=came, moved_tag=moved)
        found.append(Claim(tags, weight, under, book.winner(under)))
    return tuple(found)


def split_over_claims(amount: int, claims: Sequence[Claim]) -> list[tuple[Claim, int]]:
    """Split what a coldkey's stake earned, or its weight, over the tags under which it came."""
    by_tags = {claim.tags: claim for claim in claims}
    return [
        (by_tags[tags], part)
        for tags, part in split(amount, [(claim.tags, claim.weight) for claim in claims])
    ]


class RolledUp(NamedTuple):
    """What delegators of one partner, 0 for nobody's, earned of one pool: the i-th of `coldkeys` the i-th of `takes`.

    Sorted by coldkey; nobody is there twice, or who earned nothing.
    """

    partner_id: int
    coldkeys: list[str]
    takes: Ints

    def rows(self) -> Iterator[tuple[str, int]]:
        """Give (coldkey, take)."""
        return zip(self.coldkeys, self.takes.tolist(), strict=True)


class PoolTakes:
    """Adds up what one pool's epochs earned, and who won it. Give it the epochs in order of their blocks, then `end` it."""

    def __init__(self, pool: Pool, book: RuleBook, stake: TaggedStake) -> None:
        self.won: dict[Held, list[Won]] = defaultdict(list)
        # By agreement, of those whose lines name wallets; known at the end.
        self.wallets: dict[int, Wallets] = defaultdict(Wallets)
        self._pool = pool
        self._book = book
        self._stake = stake
        # What was earned, by group and place among these names: of each that the pool's epochs came with.
        self._kept: list[tuple[Sequence[str], Ints]] = []
        self._total_rao = 0
        self._blocks = [0]
        # One of each agreement that wins something, our own first; groups are places in it.
        self._winners: list[Winner | None] = [None]
        self._group_of: dict[int, int] = {}
        self._begin(())

    def roll_ups(self) -> list[RolledUp]:
        """Sum what was earned by partner, nobody first; whose delegators earned nothing is left out."""
        groups: dict[int, list[int]] = defaultdict(list)
        for group, winner in enumerate(self._winners):
            groups[winner.partner_id if winner else 0].append(group)
        found = [RolledUp(partner, *self._sum_of(of)) for partner, of in sorted(groups.items())]
        return [rolled for rolled in found if rolled.coldkeys]

    def _sum_of(self, groups: list[int]) -> tuple[list[str], Ints]:
        """Sum up what was earned in some groups, by coldkey."""
        sums: dict[str, int] = {}
        for names, takes in self._kept:
            # A group that was won later has no row in what was kept before.
            earned = takes[[group for group in groups if group < len(takes)]].sum(axis=0)
            places = np.flatnonzero(earned)
            coldkeys = [names[place] for place in places.tolist()]
            if len(self._kept) == 1:
                return coldkeys, earned[places]
            for coldkey, amount in zip(coldkeys, earned[places].tolist(), strict=True):
                sums[coldkey] = sums.get(coldkey, 0) + amount
        return sorted(sums), np.array([sums[coldkey] for coldkey in sorted(sums)], np.int64)

    def add(self, source: Earned) -> list[Part]:
        """Group the shares of one yield by winning agreement; our own part first.

        :raises CannotSplit: when all takes together are more than there can be.
        """
        self._total_rao += source.take_rao
        if self._total_rao > AMOUNT_MAX:
            raise CannotSplit(f"the takes up to block {source.block} are more than there can be")
        self._look_at(source)
        self._blocks.append(source.block)
        amounts = source.shares.amounts
        if int(amounts.sum()) != source.take_rao:
            raise AssertionError(f"the shares of block {source.block} do not add up to its take")
        self._pending += amounts
        takes = np.zeros(len(self._winners), np.int64)
        np.add.at(takes, self._groups_present, np.where(self._is_whole, amounts, 0))
        gross = {group: self._gross(source, group) for group in self._gross_groups}
        for place in self._mixed.tolist():
            self._add_mixed(source, place, takes, gross)
        if int(takes.sum()) != source.take_rao:
            raise AssertionError(f"the parts of block {source.block} do not add up to its take")
        parts = [
            self._part(group, count, take, gross.get(group))
            for group, (count, take) in enumerate(zip(self._counts.tolist(), takes.tolist(), strict=True))
            if count
        ]
        return sorted(parts, key=lambda part: part.agreement_id or 0)

    def end(self) -> None:
        """Finish what belongs to all epochs."""
        self._keep_names()
        for group, winner in enumerate(self._winners):
            if winner is not None and winner.names_wallets:
                coldkeys, takes = self._sum_of([group])
                if coldkeys:
                    self.wallets[winner.agreement_id].takes |= zip(coldkeys, takes.tolist(), strict=True)

    # --- what is asked again only when something of it changed ----------------------------------------------

    def _keep_names(self) -> None:
        """Keep what is known of the coldkeys, by name."""
        self._flush()
        self._close(np.flatnonzero(self._since))
        if self._names:
            self._kept.append((self._names, self._sums))

    def _begin(self, names: Sequence[str]) -> None:
        """Begin with these coldkeys, of whom nothing is known yet."""
        count = len(names)
        self._names = names
        self._terms: tuple[tuple[int, int], bool] | None = None
        self._claims: list[tuple[Claim, ...]] = [()] * count
        # By name: the group of all of it, or that it has several; that a partner won some of it; since which epoch of ours.
        self._group = np.zeros(count, np.int64)
        self._is_mixed = np.zeros(count, bool)
        self._is_won = np.zeros(count, bool)
        self._since = np.zeros(count, np.int64)
        self._sums = np.zeros((len(self._winners), count), np.int64)
        self._who = np.empty(0, np.int64)
        self._pending = np.empty(0, np.int64)
        # Most are on nobody's list; to ask the book about each of them would cost most of the run.
        claimable = set(self._book.claimable(names)) | self._stake.coldkeys
        self._place_of = {name: place for place, name in enumerate(names) if name in claimable}

    def _look_at(self, source: Earned) -> None:
        """See who is there and whose they are, if that may differ from the epoch before."""
        coldkeys = source.shares.coldkeys
        if coldkeys.names is not self._names:
            self._keep_names()
            self._begin(coldkeys.names)
        terms = self._book.span(source.block, source.at), source.is_child
        stale: Iterable[int] = ()
        if terms != self._terms:
            stale = self._place_of.values()
        elif self._stake.coldkeys:
            changed = self._stake.changed(self._position, self._blocks[-1] - 1, source.block - 1)
            stale = [self._place_of[coldkey] for coldkey in changed if coldkey in self._place_of]
        if terms == self._terms and not stale and coldkeys.who is self._who:
            return
        self._flush()
        self._terms = terms
        for place in stale:
            self._ask(place, source)
        present = np.zeros(len(self._names), bool)
        present[coldkeys.who] = True
        self._close(np.flatnonzero((self._since > 0) & ~present))
        self._since[present & self._is_won & (self._since == 0)] = len(self._blocks)
        self._who, self._pending = coldkeys.who, np.zeros(len(coldkeys.who), np.int64)
        self._groups_present = self._group[coldkeys.who]
        self._is_whole = ~self._is_mixed[coldkeys.who]
        self._mixed = np.flatnonzero(~self._is_whole)
        self._counts = np.bincount(self._groups_present[self._is_whole], minlength=len(self._winners))
        for place in self._mixed.tolist():
            for group in {self._group_for(claim.winner) for claim in self._claims[coldkeys.who[place]]}:
                self._counts[group] += 1
        self._gross_groups = [
            group
            for group, winner in enumerate(self._winners)
            if winner is not None and winner.basis == Basis.GROSS and self._counts[group]
        ]

    @property
    def _position(self) -> tuple[str, int]:
        hotkey, netuid, side = self._pool
        return hotkey, ROOT if side == "ROOT" else netuid

    def _ask(self, place: int, source: Earned) -> None:
        """Ask the book whose a coldkey's stake is."""
        coldkey = self._names[place]
        delegation = Delegation(coldkey, *self._pool, source.block, source.at, is_child=source.is_child)
        claims = claims_on(delegation, self._book, self._stake)
        if _who_won(claims) != _who_won(self._claims[place]):
            self._close(np.array([place]))
        self._claims[place] = claims
        groups = [self._group_for(claim.winner) for claim in claims]
        self._is_mixed[place] = len(groups) > 1
        self._group[place] = groups[0] if groups else 0
        self._is_won[place] = any(groups)

    def _group_for(self, winner: Winner | None) -> int:
        if winner is None:
            return 0
        group = self._group_of.get(winner.agreement_id)
        if group is None:
            group = self._group_of[winner.agreement_id] = len(self._winners)
            self._winners.append(winner)
            self._sums = np.vstack([self._sums, np.zeros((1, len(self._names)), np.int64)])
        return group

    def _flush(self) -> None:
        """Keep what was added up since the last change."""
        if self._who.size:
            whole = self._who[self._is_whole]
            self._sums[self._group[whole], whole] += self._pending[self._is_whole]
            self._pending[:] = 0

    def _close(self, places: Ints) -> None:
        """Note who won these coldkeys' stake up to the last epoch."""
        for place in places[self._since[places] > 0].tolist():
            since = int(self._since[place])
            for claim in self._claims[place]:
                if claim.winner is not None:
                    won = self.won[(*self._pool, self._names[place], claim.tags)]
                    before, first, last = self._blocks[since - 1], self._blocks[since], self._blocks[-1]
                    _note_winner(won, claim.winner, before, first, last)
            self._since[place] = 0

    # --- what every epoch brings --------------------------------------------------------------------------

    def _add_mixed(self, source: Earned, place: int, takes: Ints, gross: dict[int, int]) -> None:
        """Split what a coldkey earned whose stake came under several tags."""
        name, amount = int(self._who[place]), int(source.shares.amounts[place])
        for claim, part in split_over_claims(amount, self._claims[name]):
            group = self._group_for(claim.winner)
            takes[group] += part
            self._sums[group, name] += part
            if group in gross:
                gross[group] += source.gross(self._names[name], amount, part)

    def _gross(self, source: Earned, group: int) -> int:
        """What of the gross dividend is a group's whose stake came under one tag each."""
        places = np.flatnonzero((self._groups_present == group) & self._is_whole)
        amounts = source.shares.amounts[places]
        if source.dividends is not None or source.take_rao + source.dividend_rao >= ESTIMATED_MAX:
            names = (self._names[place] for place in self._who[places].tolist())
            return sum(
                source.gross(name, whole, whole) for name, whole in zip(names, amounts.tolist(), strict=True)
            )
        if not source.take_rao:
            return 0
        estimates = np.multiply(amounts, source.dividend_rao / source.take_rao, dtype=np.float64)
        dividends, doubtful = floors(estimates)
        for place in doubtful.tolist():
            dividends[place] = int(amounts[place]) * source.dividend_rao // source.take_rao
        return int(amounts.sum() + dividends.sum())

    def _part(self, group: int, count: int, take_rao: int, gross_rao: int | None) -> Part:
        winner = self._winners[group]
        if winner is None:
            return Part(None, None, 0, count, take_rao)
        return Part(
            winner.partner_id,
            winner.agreement_id,
            winner.rate_bps,
            count,
            take_rao,
            winner.steps,
            winner.cap_rao,
            gross_rao,
            self.wallets[winner.agreement_id] if winner.names_wallets else None,
        )


def _who_won(claims: Sequence[Claim]) -> list[tuple[Tags, Winner | None]]:
    return [(claim.tags, claim.winner) for claim in claims]


def _note_winner(won: list[Won], winner: Winner, before: int, first: int, last: int) -> None:
    """Let who won a delegation up to the epoch before have won it on to `last`, or begin anew."""
    if won and won[-1].last == before and won[-1].winner == winner:
        won[-1] = Won(won[-1].first, last, winner)
    else:
        won.append(Won(first, last, winner))


def digest(shares: Shares, ruleset: int = RULESET) -> str:
    """Hash how a take was split, as the ruleset by which it was attributed has it (:meth:`ledger.shares.Shares.digest`).

    Under ruleset 1 it was the SHA-256 of ``address amount`` lines, sorted by address.
    """
    if ruleset > 1:
        return shares.digest()
    text = "".join(f"{address} {amount}\n" for address, amount in shares.pairs())
    return hashlib.sha256(text.encode()).hexdigest()
