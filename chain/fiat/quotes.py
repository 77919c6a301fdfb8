"""A quote of a token in fiat money, how sources answer for them, and which quotes are believed. Pure.

Prices are `Decimal` from the text of the answer; what is no price (not a plain number, zero, absurd, of another token,
from the future) is refused with the name of the field, and then nothing of the answer counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import reduce
from typing import Any, Protocol

from chain.units import RAO_PER_TAO

TAO, USD = "TAO", "USD"
# In the order in which they are offered; `chain.fiat.sources` makes them.
SOURCE_NAMES = ("taostats", "coinbase")
DECIMALS_MAX = 18
# One TAO of 21 million: beyond these it is another unit, or a mistake.
PRICE_MIN, PRICE_MAX = Decimal("0.0001"), Decimal(1_000_000)
# Clocks differ a little. What is younger than now is left for the next time.
CLOCK_SKEW = timedelta(minutes=5)
_NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,40})?")
_EXACT = Context(prec=80)


class PriceSourceError(Exception):
    """A source gave no prices. Its text says why and what to do next, and holds no secret."""


class SourceUnavailable(PriceSourceError):
    """The source is away or overloaded; the same request may work later."""


class AccessRefused(PriceSourceError):
    """The source refuses the key or the request; a retry does not help."""


class BadAnswer(PriceSourceError):
    """The source answered something that is no price; nothing of the answer is used."""


@dataclass(frozen=True, slots=True)
class Quote:
    """One whole `base` cost `price` of `quote` at `at` (UTC). `payload_sha256` names the answer it was read from."""

    source: str
    base: str
    quote: str
    at: datetime
    price: Decimal
    payload_sha256: str


class PriceSource(Protocol):
    """Somebody who knows prices. A plug-in is a class with these and a line in `chain.fiat.sources`."""

    name: str
    quote: str

    def fetch(self, base: str, first: datetime, last: datetime) -> list[Quote]:
        """Read the quotes of a token from `first` to `last`, both included; a few around them do no harm.

        :raises PriceSourceError: nothing can be had, or nothing of the answer can be believed.
        """
        ...


def read_price(value: Any, field: str) -> Decimal:
    """Read a price from text or a `Decimal`, never from a float.

    :raises BadAnswer: naming the field.
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= 40:
        # JSON may write 3.2e2.
        text = f"{value:f}"
    if not _NUMBER.fullmatch(text):
        raise BadAnswer(f"{field} is {_shown(value)}, which is not a plain decimal number")
    price = Decimal(text)
    if price <= 0:
        raise BadAnswer(f"{field} is {text}: a price is above zero")
    if not PRICE_MIN <= price <= PRICE_MAX:
        raise BadAnswer(
            f"{field} is {text}: no price between {PRICE_MIN} and {PRICE_MAX:,} {USD}, so probably another unit"
        )
    exponent = price.normalize(_EXACT).as_tuple().exponent
    if isinstance(exponent, int) and -exponent > DECIMALS_MAX:
        raise BadAnswer(f"{field} is {text}: more than {DECIMALS_MAX} decimals cannot be kept exactly")
    return price


def read_moment(value: Any, field: str) -> datetime:
    """Read a time from ISO 8601 text with its zone, or from whole seconds since 1970.

    :raises BadAnswer: naming the field.
    """
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and (moment := datetime.fromisoformat(value)).tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise BadAnswer(f"{field} is {_shown(value)}, which is no time with its zone")


def read_field(row: Any, name: str, field: str) -> Any:
    """Take a field that must be there.

    :raises BadAnswer: naming the field.
    """
    if not isinstance(row, dict) or name not in row:
        raise BadAnswer(f"{field}.{name} is missing" if field else f"{name} is missing")
    return row[name]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def believed(quotes: Iterable[Quote], *, source: PriceSource, base: str, now: datetime) -> list[Quote]:
    """Put quotes in order of time, each moment once, without those that are still to come.

    :raises BadAnswer: when one is of another token or source, lies in the future, or two contradict each other.
    """
    found: dict[datetime, Quote] = {}
    for quote in quotes:
        if (quote.source, quote.base, quote.quote) != (source.name, base, source.quote):
            raise BadAnswer(
                f"a quote of {quote.base}/{quote.quote} from {quote.source} where {base}/{source.quote} from "
                f"{source.name} was asked"
            )
        if quote.at > now + CLOCK_SKEW:
            raise BadAnswer(
                f"a quote is of {quote.at:%Y-%m-%d %H:%M:%S} UTC, which is yet to come; check both clocks"
            )
        other = found.setdefault(quote.at, quote)
        if other.price != quote.price:
            raise BadAnswer(
                f"two prices for {quote.at:%Y-%m-%d %H:%M:%S} UTC, {other.price} and {quote.price} {quote.quote}"
            )
    return [found[at] for at in sorted(found) if at <= now]


def value_of(amount_rao: int, price: Decimal) -> Decimal:
    """What an amount in rao (1e-9 of a token) is worth at a price for one whole token, exactly."""
    return _EXACT.divide(_EXACT.multiply(Decimal(amount_rao), price), Decimal(RAO_PER_TAO))


def sum_of(values: Iterable[Decimal]) -> Decimal:
    """Add amounts of money exactly: Python's own sum keeps 28 digits."""
    return reduce(_EXACT.add, values, Decimal(0))


def format_money(value: Decimal, decimals: int = 2) -> str:
    """Write an amount of money for people, rounded half up: ``1,234.57``."""
    return f"{value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _EXACT):,}"


def format_price(price: Decimal) -> str:
    """Write a price in full, without the zeros a column adds: ``322.124618259631``, but never fewer than two decimals."""
    text = f"{price:f}"
    whole, _, part = text.partition(".")
    return f"{int(whole):,}.{part.rstrip('0').ljust(2, '0')}"


def differ_bps(prices: Sequence[Decimal]) -> int:
    """How far the highest price lies above the lowest, in basis points, rounded down; 0 for fewer than two."""
    if len(prices) < 2:
        return 0
    low, high = min(prices), max(prices)
    return int(_EXACT.divide(_EXACT.multiply(high - low, Decimal(10_000)), low))
