"""What a token cost at a moment, by the sources' order and the staleness limit of the settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Min

from chain.fiat.models import FiatPrice, PriceFetch
from chain.fiat.quotes import TAO, USD, differ_bps, value_of
from chain.models import Block, Conversion

_NEWEST = """
SELECT price.*, moment.at AS moment
FROM unnest(%s::timestamptz[]) AS moment (at)
CROSS JOIN unnest(%s::text[]) WITH ORDINALITY AS listed (source, place)
CROSS JOIN LATERAL (
    SELECT * FROM chain_fiatprice
    WHERE source = listed.source AND base = %s AND quote = %s
      AND at <= moment.at AND at >= moment.at - %s
    ORDER BY at DESC LIMIT 1
) AS price
ORDER BY moment.at, listed.place
"""
# The newest request of each source that touches what could price a moment.
_ASKED = """
SELECT asked.*, moment.at AS moment
FROM unnest(%s::timestamptz[]) AS moment (at)
CROSS JOIN unnest(%s::text[]) AS listed (source)
CROSS JOIN LATERAL (
    SELECT * FROM chain_pricefetch
    WHERE source = listed.source AND base = %s AND first_at <= moment.at AND last_at >= moment.at - %s
    ORDER BY id DESC LIMIT 1
) AS asked
"""


def staleness_limit() -> timedelta:
    """How old a quote may be for the moment that it prices."""
    return timedelta(seconds=settings.RAKEBACK_PRICE_STALENESS_SECONDS)


def quotes_at(moments: Iterable[datetime], *, base: str = TAO) -> dict[datetime, list[FiatPrice]]:
    """What each source says about moments: its newest quote at or before, within the limit, in the sources' order.

    One query. A moment without any is left out.
    """
    found: dict[datetime, list[FiatPrice]] = defaultdict(list)
    rows = FiatPrice.objects.raw(
        _NEWEST,
        [sorted(set(moments)), list(settings.RAKEBACK_PRICE_SOURCES), base, USD, staleness_limit()],
    )
    for row in rows:
        found[vars(row)["moment"]].append(row)
    return dict(found)


@dataclass(frozen=True, slots=True)
class Price:
    """What a token cost at a moment: a quote and its age then, or the reason why none is known."""

    quote: FiatPrice | None
    age: timedelta | None = None
    reason: str = ""

    def value(self, amount_rao: int) -> Decimal | None:
        """What an amount was worth, exactly; None where no price is known."""
        return None if self.quote is None else value_of(amount_rao, self.quote.price)


def price_at(moment: datetime, *, base: str = TAO) -> Price:
    """What one token cost at a moment, from the first source that has a quote within the limit; else the reason."""
    quotes = quotes_at([moment], base=base).get(moment)
    if quotes:
        return Price(quotes[0], moment - quotes[0].at)
    return Price(None, reason=why_no_prices([moment], base=base)[moment])


def why_no_prices(moments: Iterable[datetime], *, base: str = TAO) -> dict[datetime, str]:
    """Say why no source has a quote for moments that have none, and what to do next. One query."""
    wanted, sources = sorted(set(moments)), list(settings.RAKEBACK_PRICE_SOURCES)
    if not sources:
        return dict.fromkeys(wanted, "no price source is set; name them in RAKEBACK_PRICE_SOURCES")
    limit = staleness_limit()
    asked: dict[tuple[datetime, str], PriceFetch] = {
        (vars(row)["moment"], row.source): row
        for row in PriceFetch.objects.raw(_ASKED, [wanted, sources, base, limit])
    }

    def reason(moment: datetime, source: str) -> str:
        fetch = asked.get((moment, source))
        if fetch is None:
            return f"{source} was not asked yet"
        return fetch.error or f"{source} has no quote in the {limit // timedelta(minutes=1)} min before it"

    return {moment: "; ".join(reason(moment, source) for source in sources) for moment in wanted}


def newest_quotes(*, base: str = TAO) -> list[FiatPrice]:
    """The newest quote of each source that ever gave one, those of the settings first."""
    rows = FiatPrice.objects.filter(base=base, quote=USD).order_by("source", "-at").distinct("source")
    order = list(settings.RAKEBACK_PRICE_SOURCES)
    return sorted(
        rows, key=lambda row: (order.index(row.source) if row.source in order else len(order), row.source)
    )


def last_fetches(*, base: str = TAO) -> list[PriceFetch]:
    """The newest request to each source of the settings, in their order."""
    rows = PriceFetch.objects.filter(base=base).order_by("source", "-id").distinct("source")
    by_source = {row.source: row for row in rows}
    return [by_source[name] for name in settings.RAKEBACK_PRICE_SOURCES if name in by_source]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Sources whose quotes for one moment lie further apart than the limit. They are shown, never averaged."""

    moment: datetime
    quotes: tuple[FiatPrice, ...]
    bps: int


def disagreements(quotes: dict[datetime, list[FiatPrice]]) -> list[Disagreement]:
    """Find the moments of `quotes_at` whose sources differ by more than the settings allow, newest first."""
    found = [
        Disagreement(moment, tuple(rows), differ_bps([row.price for row in rows]))
        for moment, rows in quotes.items()
    ]
    limit: int = settings.RAKEBACK_PRICE_DISAGREEMENT_BPS
    return sorted((one for one in found if one.bps > limit), key=lambda one: one.moment, reverse=True)


def moments_to_price(before: datetime) -> list[datetime]:
    """Moments that should have a price and end before a time: conversions without one, and the ends of UTC days.

    Days run from the first stored block. Whether quotes are stored for them is not looked at.
    """
    conversions = Conversion.objects.filter(usd=None, block__timestamp__lte=before)
    moments = set(conversions.values_list("block__timestamp", flat=True))
    first = Block.objects.aggregate(first=Min("timestamp"))["first"]
    if first is not None:
        day = end_of_day(first.astimezone(UTC).date())
        while day <= before:
            moments.add(day)
            day += timedelta(days=1)
    return sorted(moments)


def end_of_day(day: date) -> datetime:
    """The moment a UTC day ends and the next begins."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)
