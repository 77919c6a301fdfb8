"""What a period's facts come to: parts, roll-ups, allocations, lines and legs. Pure.

Closing writes the result, checking computes it again and compares; both call `calculate`, so there is one rule
book of arithmetic. Inputs are in the order of the chain; nothing depends on row ids except as names.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from chain.splitting import split
from chain.units import BPS_WHOLE
from ledger.allocation import Lot, Sold, allocate
from ledger.attribution import Earned, Held, Part, Pool, PoolTakes, RolledUp, Wallets, Won, digest
from ledger.commission import commission
from partners.lots import TaggedStake
from partners.matching import RuleBook
from partners.rates import Basis, split_by_cap, split_by_rate

ALPHA = "ALPHA"
UNTAGGED_STAKE = TaggedStake()


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
    """Take that was earned and no conversion has sold yet; what arrives in TAO never waits for one.

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
    asset: str = ALPHA

    @property
    def pool(self) -> Pool:
        """What its take is rolled up by."""
        return self.hotkey, self.netuid, self.side


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
    roll_ups: dict[Pool, list[RolledUp]] = field(default_factory=dict)
    sold: list[tuple[int, Sold]] = field(default_factory=list)
    bases: dict[LineKey, int] = field(default_factory=lambda: defaultdict(int))
    sold_by_netuid: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    realised_rao: int = 0
    won: dict[Held, list[Won]] = field(default_factory=dict)
    left: list[OpenLot] = field(default_factory=list)
    wallets: dict[tuple[Pool, int], Wallets] = field(default_factory=dict)

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
        """Give (key, take) of each delegator, by pool and partner, one by one: of a large period there are millions."""
        for pool in sorted(self.roll_ups):
            for rolled in self.roll_ups[pool]:
                for coldkey, amount in rolled.rows():
                    yield RollUpKey(*pool, coldkey, rolled.partner_id), amount

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

    :param earned: pool by pool, each in the order of blocks; their shares are let go one by one.
    :param month: what was paid earlier in the month, for tiers and caps.
    """
    result = Calculation()
    bases: list[Base] = []
    lots = list(open_lots)
    for lot in _attribute(earned, book, stake, result):
        if lot.asset != ALPHA:
            bases += [Base(lot.block, lot.pool, part, part.take_rao) for part in lot.parts]
            result.realised_rao += lot.remaining_rao
        else:
            lots.append(lot)
    bases += convert(lots, sales, handovers, result)
    _add_bases(bases, month, result)
    return result


def convert(
    lots: Iterable[OpenLot], sales: Iterable[Sale], handovers: Iterable[Handover], result: Calculation
) -> list[Base]:
    """Let conversions use up lots, the oldest first, and swaps of keys take them along; add to `result` what was sold.

    :param lots: the oldest first.
    :return: what partners are paid on by it.
    """
    bases: list[Base] = []
    queues: dict[tuple[str, int], deque[OpenLot]] = defaultdict(deque)
    for lot in lots:
        if lot.remaining_rao:
            queues[lot.held_by, lot.netuid].append(lot)
    both: list[Sale | Handover] = [*sales, *handovers]
    for one in sorted(both, key=lambda one: (one.block, one.event_index)):
        if isinstance(one, Sale):
            bases += _sell(one, queues[one.hotkey, one.netuid], result)
        else:
            _hand_over(one, queues)
    result.left = [lot for queue in queues.values() for lot in queue]
    return bases


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
    earned: Iterable[Earned], book: RuleBook, stake: TaggedStake, result: Calculation
) -> list[OpenLot]:
    """Say whose every take is, pool by pool; give each as a lot, in the order of the chain."""
    lots = []
    for pool, sources in groupby(earned, key=lambda source: source.pool):
        if pool in result.roll_ups:
            raise AssertionError(f"yields of {pool} come after those of another pool")
        takes = PoolTakes(pool, book, stake)
        for source in sources:
            parts = result.parts[source.yield_id] = takes.add(source)
            result.digests[source.yield_id] = digest(source.shares, source.ruleset)
            lots.append(
                OpenLot(
                    source.yield_id,
                    source.block,
                    source.hotkey,
                    source.netuid,
                    source.side,
                    source.take_rao,
                    parts,
                    source.hotkey,
                    source.asset,
                )
            )
        takes.end()
        result.won |= takes.won
        result.wallets |= {(pool, agreement): wallets for agreement, wallets in takes.wallets.items()}
        result.roll_ups[pool] = takes.roll_ups()
    return sorted(lots, key=lambda lot: (lot.block, lot.netuid, lot.hotkey, lot.side, lot.yield_id))


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
            yield Base(sale.block, lot.pool, part, amount)
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
