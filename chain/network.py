"""Which chain this database holds, read once per request.

The row is written once and never changes, but a process that serves before it is written must not remember its
absence; so nothing is kept for longer than a request.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import lazystr

from chain.families import COINS, Coin, Family
from chain.models import Network

_remembered: ContextVar[list[Family] | None] = ContextVar("family", default=None)


def family() -> Family:
    """The kind of chain this database holds; Bittensor as long as none is pinned."""
    known = _remembered.get()
    if known:
        return known[0]
    stored = Network.objects.values_list("family", flat=True).first()
    found = Family(stored) if stored else Family.BITTENSOR
    if known is not None:
        known.append(found)
    return found


def coin() -> Coin:
    """The coin that amounts without another unit are in."""
    return COINS[family()]


class _UnitName:
    def __str__(self) -> str:
        return coin().unit


# For headings that are written once when a module is loaded.
UNIT = lazystr(_UnitName())


class RememberFamily:
    """Middleware: reads the network once for everything a request shows."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        token = _remembered.set([])
        try:
            return self._get_response(request)
        finally:
            _remembered.reset(token)
