"""A token in dollars from the public candles of Coinbase Exchange: real dollars, any past range, no key.

A quote is the close of a finished candle of 15 minutes, at the candle's end; a candle that is still open would change.
The candles do not name their market, so what is asked about it first must be the pair that was meant.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chain.fiat.quotes import USD, BadAnswer, Quote, read_field, read_moment, read_price
from chain.fiat.web import Website

BASE_URL = "https://api.exchange.coinbase.com"
CANDLE = timedelta(minutes=15)
CANDLES_PER_REQUEST = 300


class Coinbase:
    """See `chain.fiat.quotes.PriceSource`."""

    name = "coinbase"
    quote = USD

    def __init__(self, website: Website) -> None:
        self._website = website

    def fetch(self, base: str, first: datetime, last: datetime) -> list[Quote]:
        """Read the closes of the candles that ended from `first` to `last`.

        :raises PriceSourceError: see `PriceSource.fetch`.
        """
        self._check_market(base)
        quotes: list[Quote] = []
        start = _floor(first) - CANDLE
        while start + CANDLE <= last:
            # Both ends count.
            end = min(start + (CANDLES_PER_REQUEST - 1) * CANDLE, _floor(last) - CANDLE)
            quotes += [quote for quote in self._candles(base, start, end) if first <= quote.at <= last]
            start = end + CANDLE
        return quotes

    def _check_market(self, base: str) -> None:
        market = self._website.get(f"/products/{base}-{USD}", {}).value
        for name, wanted in (("base_currency", base), ("quote_currency", USD)):
            found = read_field(market, name, "")
            if found != wanted:
                raise BadAnswer(f"coinbase: {name} is {found!r} where {wanted} was asked")

    def _candles(self, base: str, start: datetime, end: datetime) -> list[Quote]:
        answer = self._website.get(
            f"/products/{base}-{USD}/candles",
            {
                "granularity": int(CANDLE.total_seconds()),
                "start": start.isoformat(),
                "end": end.isoformat(),
            },
        )
        if not isinstance(answer.value, list):
            raise BadAnswer("coinbase: the candles are not a list")
        quotes = []
        for index, row in enumerate(answer.value):
            # Time, low, high, open, close, volume.
            if not isinstance(row, list) or len(row) != 6:
                raise BadAnswer(f"coinbase: candle[{index}] has not the six numbers of a candle")
            began = read_moment(row[0], f"coinbase: candle[{index}].time")
            if began != _floor(began):
                raise BadAnswer(
                    f"coinbase: candle[{index}].time is {row[0]}, where no candle of 15 minutes begins"
                )
            price = read_price(row[4], f"coinbase: candle[{index}].close")
            quotes.append(Quote(self.name, base, USD, began + CANDLE, price, answer.sha256))
        return quotes


def _floor(moment: datetime) -> datetime:
    seconds = int(CANDLE.total_seconds())
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)
