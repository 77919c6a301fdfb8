"""TAO in dollars from TaoStats, which keeps a price every half hour since 2022. It needs an API key.

Its quotes are read from the price history, whose rows are those of the latest price too. The time of a quote is
`last_updated`, when the price was made, not `created_at`, when TaoStats wrote it down. It knows no other token.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chain.fiat.quotes import TAO, USD, BadAnswer, Quote, read_field, read_moment, read_price
from chain.fiat.web import Answer, Website

BASE_URL = "https://api.taostats.io"
PAGE_SIZE = 200
# 4 days fill one page; this is far more than is ever asked at once.
PAGES_MAX = 100


class TaoStats:
    """See `chain.fiat.quotes.PriceSource`. The key goes into the header Authorization, as it is."""

    name = "taostats"
    quote = USD

    def __init__(self, website: Website) -> None:
        self._website = website

    def fetch(self, base: str, first: datetime, last: datetime) -> list[Quote]:
        """Read the price history of TAO, page by page.

        :raises PriceSourceError: see `PriceSource.fetch`.
        """
        if base != TAO:
            raise BadAnswer(f"{self.name} knows the price of {TAO} only, not of {base}")
        quotes: list[Quote] = []
        seen: set[datetime] = set()
        page: int | None = 1
        while page is not None:
            answer = self._website.get(
                "/api/price/history/v1",
                {
                    "asset": base.lower(),
                    "timestamp_start": int(first.timestamp()),
                    "timestamp_end": int(last.timestamp()),
                    "limit": PAGE_SIZE,
                    "page": page,
                },
            )
            found = read_quotes(answer)
            if page > 1 and seen.issuperset(quote.at for quote in found):
                # The same page again: others are missing, and nobody would notice.
                raise BadAnswer(f"{self.name}: page {page} of the prices repeats what earlier pages hold")
            seen.update(quote.at for quote in found)
            quotes += found
            page = _next_page(answer.value, page)
        return quotes


def read_quotes(answer: Answer) -> list[Quote]:
    """Read the rows of a history or latest price.

    :raises BadAnswer: naming the first field that is no price, no time, or of another token.
    """
    rows = read_field(answer.value, "data", "")
    if not isinstance(rows, list):
        raise BadAnswer("taostats: data is not a list")
    return [_quote(row, f"taostats: data[{index}]", answer.sha256) for index, row in enumerate(rows)]


def _quote(row: Any, field: str, sha256: str) -> Quote:
    symbol = read_field(row, "symbol", field)
    if symbol != TAO:
        raise BadAnswer(f"{field}.symbol is {symbol!r} where {TAO} was asked")
    return Quote(
        source=TaoStats.name,
        base=TAO,
        quote=USD,
        at=read_moment(read_field(row, "last_updated", field), f"{field}.last_updated"),
        price=read_price(read_field(row, "price", field), f"{field}.price"),
        payload_sha256=sha256,
    )


def _next_page(value: Any, page: int) -> int | None:
    pagination = read_field(value, "pagination", "")
    current = read_field(pagination, "current_page", "pagination")
    following = read_field(pagination, "next_page", "pagination")
    if current != page or (following is not None and following != page + 1):
        raise BadAnswer(
            f"taostats: page {page} was asked, pagination names {current!r} and then {following!r}"
        )
    if following is None:
        return None
    if page >= PAGES_MAX:
        raise BadAnswer(f"taostats: more than {PAGES_MAX} pages for one range; ask for fewer days at once")
    return page + 1
