"""Reads of the take, in total and day by day, with what it was worth in TAO.

Root take is in TAO already and stands under netuid 0; alpha stands under its own netuid. A value is known only
where a pool price is, and what is not known is None, never zero.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate

from chain.keys import ROOT
from chain.models import Asset, Block, PoolPrice, Yield
from chain.queries import last_block, spot_prices_rao
from chain.units import alpha_value_rao


@dataclass(frozen=True, slots=True)
class PoolTake:
    """Take in one token: TAO where netuid is 0, else that subnet's alpha. `value_rao` is its worth in TAO."""

    netuid: int
    take_rao: int
    value_rao: int | None


@dataclass(frozen=True, slots=True)
class DayTake:
    """Take of one UTC day. Without blocks nothing is known of the day."""

    day: date
    block_count: int
    takes: dict[int, PoolTake] = field(default_factory=dict)

    @property
    def value_rao(self) -> int | None:
        """Worth of all take of the day at its prices, None when any of it is unknown."""
        return total_value(list(self.takes.values())) if self.block_count else None


def total_value(takes: list[PoolTake]) -> int | None:
    """Worth of all takes together, None when any is unknown."""
    values = [take.value_rao for take in takes]
    return None if None in values else sum(value for value in values if value is not None)


def take_in_total() -> list[PoolTake]:
    """All take ever ingested, by token, at the newest prices."""
    sums: dict[int, int] = defaultdict(int)
    rows = Yield.objects.order_by().values_list("asset", "netuid").annotate(total=Sum("take_rao"))
    for asset, netuid, total in rows:
        sums[netuid if asset == Asset.ALPHA else ROOT] += int(total)
    prices = spot_prices_rao(sums)
    return [
        PoolTake(netuid, total, _value(total, netuid, prices.get(netuid)))
        for netuid, total in sorted(sums.items())
    ]


def take_by_day(days: int = 30) -> list[DayTake]:
    """Take of the last days up to the newest block, oldest first, each at the last price of its own day.

    Days before the first block are left out; a day without blocks in between is there, and unknown.
    """
    newest, oldest = last_block(), Block.objects.order_by("number").first()
    if newest is None or oldest is None:
        return []
    last = newest.timestamp.astimezone(UTC).date()
    first = max(last - timedelta(days=days - 1), oldest.timestamp.astimezone(UTC).date())
    start = datetime.combine(first, time(), UTC)
    day = TruncDate("timestamp", tzinfo=UTC)
    blocks = Block.objects.filter(timestamp__gte=start).annotate(day=day).order_by().values_list("day")
    counts = dict(blocks.annotate(count=Count("number")))
    prices = _closing_prices(start)
    takes: dict[date, dict[int, PoolTake]] = defaultdict(dict)
    for at, netuid, total in _sums(start):
        takes[at][netuid] = PoolTake(netuid, total, _value(total, netuid, prices.get((at, netuid))))
    span = ((last - first).days + 1) if counts else 0
    return [
        DayTake(at, counts.get(at, 0), takes.get(at, {}))
        for at in (first + timedelta(days=number) for number in range(span))
    ]


def _sums(start: datetime) -> list[tuple[date, int, int]]:
    sums: dict[tuple[date, int], int] = defaultdict(int)
    rows = (
        Yield.objects.filter(block__timestamp__gte=start)
        .annotate(day=TruncDate("block__timestamp", tzinfo=UTC))
        .order_by()
        .values_list("day", "asset", "netuid")
        .annotate(total=Sum("take_rao"))
    )
    for day, asset, netuid, total in rows:
        sums[day, netuid if asset == Asset.ALPHA else ROOT] += int(total)
    return [(day, netuid, total) for (day, netuid), total in sorted(sums.items())]


def _closing_prices(start: datetime) -> dict[tuple[date, int], int | None]:
    """The last price of each day and subnet in rao; None where the pool had none."""
    day = TruncDate("block__timestamp", tzinfo=UTC)
    rows = (
        PoolPrice.objects.filter(block__timestamp__gte=start)
        .annotate(day=day)
        .order_by("day", "netuid", "-block_id")
        .distinct("day", "netuid")
    )
    return {(row.day, row.netuid): row.price_rao for row in rows}


def _value(take_rao: int, netuid: int, price_rao: int | None) -> int | None:
    if netuid == ROOT:
        return take_rao
    return None if price_rao is None else alpha_value_rao(take_rao, price_rao)
