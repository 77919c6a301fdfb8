"""What closed periods would have paid under a changed rule book (PA9). Nothing is written here.

Each period is worked out again by its own rules with the change made in them, so that the change is all that differs. What
the first period leaves unsold is carried to the next as it would have been earned, with what the month would have paid.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Sum

from chain.fields import RaoField
from chain.models import Yield
from ledger.calculation import NOTHING_YET, Calculation, OpenLot, calculate, pools_before
from ledger.facts import read_earned, read_handovers, read_month, read_open_lots, read_sales
from ledger.manifest import frozen_book
from ledger.models import CommissionLine, DelegatorTake, PartnerTake, Period
from partners.tagged_stake import read_tagged_stake
from partners.what_if import BookChange, apply

Key = tuple[int, int, str]  # partner, netuid, asset


@dataclass(frozen=True, slots=True)
class Difference:
    """What one partner's delegators earned on one subnet in one period and what of it is owed, as closed and as it would be.

    Takes are in rao of `asset`, commissions in rao of TAO and on the line of the asset that was sold for it.
    """

    period: str
    partner_id: int
    netuid: int
    asset: str
    take_before: int
    take_after: int
    commission_before: int
    commission_after: int


@dataclass(frozen=True, slots=True)
class WalletTake:
    """What one wallet's stake earned in a pool, for a partner whom it would count for."""

    partner_id: int
    coldkey: str
    hotkey: str
    netuid: int
    side: str
    take_rao: int


@dataclass(frozen=True, slots=True)
class PeriodCompared:
    """One period: what differs, and how many wallets counted for each partner before and after."""

    period: Period
    rows: tuple[Difference, ...]
    wallets_before: dict[int, int]
    wallets_after: dict[int, int]
    result: Calculation

    def matched(self, partner_id: int) -> list[WalletTake]:
        """List what the partner's wallets would have earned, the largest take first."""
        found = [
            WalletTake(partner_id, key.coldkey, key.hotkey, key.netuid, key.side, take)
            for key, take in self.result.roll_up_rows()
            if key.partner_id == partner_id
        ]
        return sorted(found, key=lambda row: (-row.take_rao, row.coldkey, row.netuid, row.side))


def compare(periods: Sequence[Period], change: BookChange) -> Iterator[PeriodCompared]:
    """Work out closed periods, the oldest first and none left out between, with a change made in their rules.

    :raises SharesDisagree: when the facts are not any more what was attributed.
    """
    lots: list[OpenLot] | None = None
    month, so_far = "", NOTHING_YET
    for period in periods:
        first, last = period.blocks.lower, period.blocks.upper - 1
        sales, handovers = read_sales(first, last), read_handovers(first, last)
        if lots is None:
            every = read_sales(first, periods[-1].blocks.upper - 1)
            swaps = read_handovers(first, periods[-1].blocks.upper - 1)
            pools = pools_before({(sale.hotkey, sale.netuid) for sale in every}, swaps)
            lots = read_open_lots(period.start_at, pools)
            so_far = read_month(period.start_at)
        elif period.key[:7] != month:
            so_far = NOTHING_YET
        month = period.key[:7]
        book = frozen_book(apply(change, period.manifest["rules"]))
        stake = read_tagged_stake(book, last)
        result = calculate(read_earned(first, last, book), sales, lots, book, handovers, stake, so_far)
        lots = result.left
        so_far = so_far.with_lines(result.lines())
        yield _compared(period, result)


def _compared(period: Period, result: Calculation) -> PeriodCompared:
    (take_before, owed_before), (take_after, owed_after) = _stored(period), _computed(period, result)
    keys = take_before.keys() | owed_before.keys() | take_after.keys() | owed_after.keys()
    rows = [
        Difference(period.key, *key, take_before[key], take_after[key], owed_before[key], owed_after[key])
        for key in sorted(keys)
    ]
    return PeriodCompared(period, tuple(rows), _wallets_stored(period), _wallets(result), result)


def _stored(period: Period) -> tuple[Counter[Key], Counter[Key]]:
    """Takes and commissions by partner, subnet and asset, as the period was closed."""
    takes: Counter[Key] = Counter()
    parts = PartnerTake.objects.filter(period=period, partner__isnull=False)
    sums = parts.values_list("partner_id", "source__netuid", "source__asset").order_by()
    for partner, netuid, asset, total in sums.annotate(total=Sum("take_rao", output_field=RaoField())):
        takes[partner, netuid, asset] = int(total)
    owed: Counter[Key] = Counter()
    lines = CommissionLine.objects.filter(period=period)
    assets = _assets(period)
    for partner, netuid, side, amount in lines.values_list("partner_id", "netuid", "side", "commission_rao"):
        owed[partner, netuid, assets.get((netuid, side), "ALPHA")] += amount
    return takes, owed


def _computed(period: Period, result: Calculation) -> tuple[Counter[Key], Counter[Key]]:
    """The same as it would have been."""
    sources = Yield.objects.filter(pk__in=result.parts).values_list("pk", "netuid", "asset")
    takes: Counter[Key] = Counter()
    for pk, netuid, asset in sources.iterator():
        for part in result.parts[pk]:
            if part.partner_id is not None:
                takes[part.partner_id, netuid, asset] += part.take_rao
    owed: Counter[Key] = Counter()
    assets = _assets(period)
    for key, _, amount in result.lines():
        owed[key.partner_id, key.netuid, assets.get((key.netuid, key.side), "ALPHA")] += amount
    return takes, owed


def _assets(period: Period) -> dict[tuple[int, str], str]:
    """What each side of a subnet was credited in. A period refuses two; what only its sales know was alpha."""
    rows = Yield.objects.filter(block_id__gte=period.blocks.lower, block_id__lt=period.blocks.upper)
    return {
        (netuid, side): asset
        for netuid, side, asset in rows.values_list("netuid", "side", "asset").order_by().distinct()
    }


def _wallets_stored(period: Period) -> dict[int, int]:
    rows = DelegatorTake.objects.filter(period=period, partner__isnull=False).values_list(
        "partner_id", "coldkey"
    )
    return dict(Counter(partner for partner, _ in rows.order_by().distinct()))


def _wallets(result: Calculation) -> dict[int, int]:
    found: defaultdict[int, set[str]] = defaultdict(set)
    for key, _ in result.roll_up_rows():
        if key.partner_id:
            found[key.partner_id].add(key.coldkey)
    return {partner: len(coldkeys) for partner, coldkeys in found.items()}
