"""What a period's facts come to: parts, roll-ups, allocations, lines and legs. Pure.

Closing writes the result, checking computes it again and compares; both call `calculate`, so there is one rule
book of arithmetic. Inputs are in the order of the chain; nothing depends on row ids except as names.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from chain.splitting import split
from chain.units import BPS_WHOLE
from ledger.allocation import Lot, Sold, allocate
from ledger.attribution import claimed, digest
from ledger.commission import commission
from partners.lots import TaggedStake, Tags
from partners.matching import Delegation, RuleBook, Winner
from partners.rates import Basis, Steps, split_by_cap, split_by_rate

ALPHA = "ALPHA"
UNTAGGED_STAKE = TaggedStake()


@dataclass(frozen=True, slots=True)
class Earned:
    """One yield with its take already split over the coldkeys that earned it.

    `dividend_rao` is what they were credited after the take, by their shares; `dividends` says it for each where that is
    given and not by shares. `is_child` says that the hotkey was a child key on the subnet.
    """

    yield_id: int
    block: int
    at: datetime
    netuid: int
    hotkey: str
    side: str
    asset: str
    take_rao: int
    shares: Sequence[tuple[str, int]]
    dividend_rao: int = 0
    dividends: Mapping[str, int] | None = None
    is_child: bool = False

    def gross(self, coldkey: str, whole_rao: int, part_rao: int) -> int:
        """What a part of a coldkey's take is of the gross dividend, the take and the dividend, rounded down."""
        if not whole_rao:
            return 0
        dividend, take = self.dividend_rao, self.take_rao
        if self.dividends is not None:
            dividend, take = self.dividends[coldkey], whole_rao
        return part_rao + part_rao * dividend // take


@dataclass(eq=False, slots=True)
class Wallets:
    """What each wallet earned the validator of one pool in one period, under an agreement whose lines name wallets.

    Whatever is paid on take of that period, then or when its alpha is sold, is split over them by it.
    """

    takes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one yield's take that one agreement's delegators earned; without agreement it is our own.

    `steps` are the rates by the month's volume, empty where `rate_bps` holds for all of it, and `cap_rao` is the most that
    the partner's month may come to, None for no limit. `gross_rao` is the gross dividend that the take is of, where
    the rate is of that; `wallets` are given where lines name them.
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
class MonthSoFar:
    """What was paid since the month began: by agreement the take in TAO it was on, by partner the commission, in rao."""

    volumes: Mapping[int, int] = field(default_factory=dict)
    commissions: Mapping[int, int] = field(default_factory=dict)

    def with_lines(self, lines: Iterable[tuple[LineKey, int, int]]) -> MonthSoFar:
        """Add what a period pays (:meth:`Calculation.lines`)."""
        volumes, commissions = defaultdict(int, self.volumes), defaultdict(int, self.commissions)
        for key, base, amount in lines:
            volumes[key.agreement_id] += base
            commissions[key.partner_id] += amount
        return MonthSoFar(volumes, commissions)


NOTHING_YET = MonthSoFar()


@dataclass(frozen=True, slots=True)
class OpenLot:
    """Take in alpha that an earlier period earned and no conversion has sold yet.

    `held_by` is the hotkey it stands on: the one that earned it, until a swap of that key takes it along.
    """

    yield_id: int
    block: int
    hotkey: str
    netuid: int
    side: str
    remaining_rao: int
    parts: Sequence[Part]
    held_by: str


@dataclass(frozen=True, slots=True)
class Sale:
    """One conversion of a hotkey's alpha."""

    conversion_id: int
    block: int
    hotkey: str
    netuid: int
    alpha_rao: int
    tao_rao: int
    event_index: int = 0


@dataclass(frozen=True, slots=True)
class Handover:
    """A swap of a hotkey that took its stake on one subnet along to another key."""

    block: int
    event_index: int
    netuid: int
    old: str
    new: str


@dataclass(frozen=True, slots=True, order=True)
class LineKey:
    """What one line of a statement is about; `wallet` is empty where lines name none."""

    partner_id: int
    hotkey: str
    netuid: int
    side: str
    agreement_id: int
    rate_bps: int
    basis: Basis = Basis.TAKE
    wallet: str = ""


@dataclass(frozen=True, slots=True, order=True)
class RollUpKey:
    """What one delegator's roll-up is about; `partner_id` 0 is nobody."""

    hotkey: str
    netuid: int
    side: str
    coldkey: str
    partner_id: int


Pool = tuple[str, int, str]  # hotkey, netuid, side
Held = tuple[str, int, str, str, Tags]  # hotkey, netuid, side, coldkey, remarks


@dataclass(frozen=True, slots=True)
class Won:
    """The rule that one delegation was won by at every epoch of its pool in `[first, last]`, with those it outranked."""

    first: int
    last: int
    winner: Winner


@dataclass(frozen=True, slots=True)
class Base:
    """Take in TAO of a part that became due in a block: credited then, or sold."""

    block: int
    pool: Pool
    part: Part
    amount_rao: int


@dataclass(slots=True)
class Calculation:
    """Everything that closing a period writes, the digests its manifest names, and the lots that are `left` unsold."""

    parts: dict[int, list[Part]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    roll_ups: dict[Pool, dict[tuple[str, int], int]] = field(default_factory=dict)
    sold: list[tuple[int, Sold]] = field(default_factory=list)
    bases: dict[LineKey, int] = field(default_factory=lambda: defaultdict(int))
    sold_by_netuid: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    realised_rao: int = 0
    won: dict[Held, list[Won]] = field(default_factory=lambda: defaultdict(list))
    left: list[OpenLot] = field(default_factory=list)
    wallets: dict[tuple[Pool, int], Wallets] = field(default_factory=lambda: defaultdict(Wallets))

    def wallet_rows(self) -> Iterator[tuple[Pool, int, str, int]]:
        """Give (pool, agreement, wallet, take) of the wallets that lines name, in order; who earned nothing is left out."""
        for (pool, agreement_id), wallets in sorted(self.wallets.items(), key=lambda entry: entry[0]):
            for wallet, take_rao in sorted(wallets.takes.items()):
                if take_rao:
                    yield pool, agreement_id, wallet, take_rao

    def winner_rows(self) -> Iterator[tuple[Held, Won]]:
        """Give (delegation, who won it from which block to which) in order."""
        for held in sorted(self.won):
            for won in self.won[held]:
                yield held, won

    def roll_up_rows(self) -> Iterator[tuple[RollUpKey, int]]:
        """Give (key, take) of each delegator in order; who earned nothing is left out."""
        for pool in sorted(self.roll_ups):
            for (coldkey, partner_id), amount in sorted(self.roll_ups[pool].items()):
                if amount:
                    yield RollUpKey(*pool, coldkey, partner_id), amount

    def lines(self) -> Iterator[tuple[LineKey, int, int]]:
        """Give (key, base, commission) of each line in order."""
        for key in sorted(self.bases):
            base = self.bases[key]
            yield key, base, commission(base, key.rate_bps)

    def payables(self) -> dict[int, int]:
        """Sum commissions per partner; partners who are owed nothing are left out."""
        owed: dict[int, int] = defaultdict(int)
        for key, _, amount in self.lines():
            owed[key.partner_id] += amount
        return {partner: amount for partner, amount in sorted(owed.items()) if amount}


def calculate(
    earned: Iterable[Earned],
    sales: Iterable[Sale],
    open_lots: Iterable[OpenLot],
    book: RuleBook,
    handovers: Iterable[Handover] = (),
    stake: TaggedStake = UNTAGGED_STAKE,
    month: MonthSoFar = NOTHING_YET,
) -> Calculation:
    """Work out a period from its yields, conversions and swaps of keys, oldest first, and the lots left open before it.

    :param month: what was paid earlier in the month, for tiers and caps.
    """
    result = Calculation()
    bases: list[Base] = []
    epochs: dict[Pool, int] = defaultdict(int)
    queues: dict[tuple[str, int], deque[OpenLot]] = defaultdict(deque)
    for lot in open_lots:
        queues[lot.held_by, lot.netuid].append(lot)
    for source in earned:
        parts = _attribute(source, book, stake, result, epochs)
        if source.asset != ALPHA:
            pool = source.hotkey, source.netuid, source.side
            bases += [Base(source.block, pool, part, part.take_rao) for part in parts]
            result.realised_rao += source.take_rao
        elif source.take_rao:
            queues[source.hotkey, source.netuid].append(
                OpenLot(
                    source.yield_id,
                    source.block,
                    source.hotkey,
                    source.netuid,
                    source.side,
                    source.take_rao,
                    parts,
                    source.hotkey,
                )
            )
    both: list[Sale | Handover] = [*sales, *handovers]
    for one in sorted(both, key=lambda one: (one.block, one.event_index)):
        if isinstance(one, Sale):
            bases += _sell(one, queues[one.hotkey, one.netuid], result)
        else:
            _hand_over(one, queues)
    _add_bases(bases, month, result)
    result.left = [lot for queue in queues.values() for lot in queue]
    return result


def held_by(hotkey: str, netuid: int, block: int, handovers: Iterable[Handover]) -> str:
    """The key on which what a hotkey earned in a block stands after these swaps, the oldest first."""
    for swap in handovers:
        if swap.block >= block and (swap.old, swap.netuid) == (hotkey, netuid):
            hotkey = swap.new
    return hotkey


def pools_before(pools: Iterable[tuple[str, int]], handovers: Sequence[Handover]) -> set[tuple[str, int]]:
    """Pools (hotkey, netuid) with those from which swaps brought them something, directly or over others."""
    found = set(pools)
    for swap in reversed(handovers):
        if (swap.new, swap.netuid) in found:
            found.add((swap.old, swap.netuid))
    return found


def _hand_over(swap: Handover, queues: dict[tuple[str, int], deque[OpenLot]]) -> None:
    """Let the new key hold what the old one had earned and not sold; the oldest is still the first to be sold."""
    here, there = (swap.old, swap.netuid), (swap.new, swap.netuid)
    moved = [replace(lot, held_by=swap.new) for lot in queues[here] if lot.block <= swap.block]
    queues[here] = deque(lot for lot in queues[here] if lot.block > swap.block)
    queues[there] = deque(sorted([*queues[there], *moved], key=lambda lot: (lot.block, lot.hotkey, lot.side)))


def split_over_parts(amount_rao: int, parts: Sequence[Part]) -> list[tuple[Part, int]]:
    """Split an amount over the parts of one yield by their take; our own part sorts before all agreements."""
    by_name = {f"{part.agreement_id or 0:020d}": part for part in parts}
    shares = split(amount_rao, [(name, part.take_rao) for name, part in by_name.items()])
    return [(by_name[name], amount) for name, amount in shares]


def _attribute(
    source: Earned, book: RuleBook, stake: TaggedStake, result: Calculation, epochs: dict[Pool, int]
) -> list[Part]:
    """Group the shares of one yield by winning agreement, and add them to the roll-ups and to who won what."""
    takes: dict[int, dict[str, int]] = defaultdict(dict)  # by agreement, 0 for our own
    gross: dict[int, int] = defaultdict(int)
    winners: dict[int, Winner] = {}
    pool = (source.hotkey, source.netuid, source.side)
    at = source.block, source.at
    before, epochs[pool] = epochs[pool], source.block
    rolled = result.roll_ups.setdefault(pool, {})
    own = takes[0]
    for coldkey, amount in source.shares:
        # Most holders are on nobody's list; asking the book about each of them would cost most of the run.
        if not book.may_claim(coldkey) and coldkey not in stake.coldkeys:
            own[coldkey] = amount
            rolled[coldkey, 0] = rolled.get((coldkey, 0), 0) + amount
            continue
        delegation = Delegation(coldkey, *pool, *at, is_child=source.is_child)
        for part in claimed(amount, delegation, book, stake):
            winner, of = part.winner, own
            if winner is not None:
                winners[winner.agreement_id] = winner
                of = takes[winner.agreement_id]
                if winner.basis == Basis.GROSS:
                    gross[winner.agreement_id] += source.gross(coldkey, amount, part.amount)
                _note_winner(result.won[*pool, coldkey, part.tags], winner, before, source.block)
            of[coldkey] = of.get(coldkey, 0) + part.amount
            key = coldkey, winner.partner_id if winner is not None else 0
            rolled[key] = rolled.get(key, 0) + part.amount
    for agreement, winner in winners.items():
        if winner.names_wallets:
            named = result.wallets[pool, agreement].takes
            for coldkey, amount in takes[agreement].items():
                named[coldkey] = named.get(coldkey, 0) + amount
    parts = [
        _part(winners.get(agreement), amounts, gross.get(agreement), result.wallets.get((pool, agreement)))
        for agreement, amounts in sorted(takes.items())
        if amounts
    ]
    if sum(part.take_rao for part in parts) != source.take_rao:
        raise AssertionError(f"the parts of block {source.block} do not add up to its take")
    result.parts[source.yield_id] = parts
    result.digests[source.yield_id] = digest(source.shares)
    return parts


def _part(
    winner: Winner | None, amounts: Mapping[str, int], gross_rao: int | None, wallets: Wallets | None
) -> Part:
    count, take_rao = len(amounts), sum(amounts.values())
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
        wallets,
    )


def _note_winner(won: list[Won], winner: Winner, before: int, block: int) -> None:
    """Let who won a delegation at its pool's epoch before have won it on to this one, or begin anew."""
    if won and won[-1].last == before and won[-1].winner == winner:
        won[-1] = Won(won[-1].first, block, winner)
    else:
        won.append(Won(block, block, winner))


def _sell(sale: Sale, queue: deque[OpenLot], result: Calculation) -> Iterator[Base]:
    """Use up the oldest lots with one sale and give its TAO to those who earned them."""
    lots = {lot.yield_id: lot for lot in queue if lot.block <= sale.block}
    sold = allocate(
        (Lot(lot.yield_id, lot.remaining_rao) for lot in lots.values()), sale.alpha_rao, sale.tao_rao
    )
    for part_sold in sold:
        lot = lots[part_sold.yield_id]
        result.sold.append((sale.conversion_id, part_sold))
        result.sold_by_netuid[lot.netuid] += part_sold.alpha_rao
        result.realised_rao += part_sold.tao_rao
        for part, amount in split_over_parts(part_sold.tao_rao, lot.parts):
            yield Base(sale.block, (lot.hotkey, lot.netuid, lot.side), part, amount)
        left = lot.remaining_rao - part_sold.alpha_rao
        queue.popleft()
        if left:
            queue.appendleft(replace(lot, remaining_rao=left))


def _add_bases(bases: Iterable[Base], month: MonthSoFar, result: Calculation) -> None:
    """Add what partners are paid on to their lines, in the order of blocks."""
    volumes, paid = defaultdict(int, month.volumes), defaultdict[int, int](int)
    # In ten-thousandths of a rao: lines are rounded down once each, so what is paid is never above this.
    paid.update({partner: amount * BPS_WHOLE for partner, amount in month.commissions.items()})
    named: dict[tuple[LineKey, Wallets], int] = defaultdict(int)
    for base in sorted(bases, key=lambda base: base.block):
        part = base.part
        if part.agreement_id is None or part.partner_id is None or not base.amount_rao:
            continue
        for rate_bps, amount in _rated(base, volumes[part.agreement_id], paid[part.partner_id]):
            key = LineKey(part.partner_id, *base.pool, part.agreement_id, rate_bps, part.basis)
            if part.wallets is None:
                result.bases[key] += amount
            else:
                named[key, part.wallets] += amount
            volumes[part.agreement_id] += amount
            paid[part.partner_id] += amount * rate_bps
    for (key, wallets), amount in named.items():
        for wallet, of_it in split(amount, sorted(wallets.takes.items())):
            if of_it:
                result.bases[replace(key, wallet=wallet)] += of_it


def _rated(base: Base, volume_rao: int, paid: int) -> Iterator[tuple[int, int]]:
    """Give (rate, rao) of what a part is paid on: by the month's volume, up to the month's cap and to the take itself.

    Of a gross dividend that is sold in parts, each part is its own, rounded down.

    :param paid: the partner's commission of the month so far, in ten-thousandths of a rao.
    """
    part, paid_on = base.part, base.amount_rao
    if part.gross_rao is not None:
        paid_on = base.amount_rao * part.gross_rao // part.take_rao
    steps = split_by_rate(volume_rao, paid_on, part.steps) if part.steps else [(part.rate_bps, paid_on)]
    of_base = 0
    for step_bps, step_rao in steps:
        # No rate of a gross dividend takes more than there is: beyond the take nothing was earned to share.
        for within_bps, within_rao in split_by_cap(of_base, step_bps, step_rao, base.amount_rao):
            for rate_bps, amount in split_by_cap(paid + of_base, within_bps, within_rao, part.cap_rao):
                of_base += amount * rate_bps
                yield rate_bps, amount
