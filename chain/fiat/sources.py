"""The price sources that the settings name, in their order. A new source is a class and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings

from chain.fiat import coinbase, taostats
from chain.fiat.quotes import PriceSource
from chain.fiat.web import Website

_MAKERS: dict[str, Callable[[], tuple[Website, Callable[[Website], PriceSource]]]] = {
    "taostats": lambda: (
        Website("taostats", taostats.BASE_URL, key=settings.TAOSTATS_API_KEY),
        taostats.TaoStats,
    ),
    "coinbase": lambda: (Website("coinbase", coinbase.BASE_URL), coinbase.Coinbase),
}


@contextmanager
def price_sources() -> Iterator[list[PriceSource]]:
    """Open the sources of RAKEBACK_PRICE_SOURCES; none where it is empty."""
    with ExitStack() as stack:
        sources = []
        for name in settings.RAKEBACK_PRICE_SOURCES:
            website, source = _MAKERS[name]()
            sources.append(source(stack.enter_context(website)))
        yield sources
