"""Spans of time: which are left to ask for, and cut to the size of a request. Pure; both ends belong to a span."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

Span = tuple[datetime, datetime]


def joined(spans: Iterable[Span], gap: timedelta = timedelta(0)) -> list[Span]:
    """Put spans in order and join those that touch, overlap or lie within a gap of each other."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first - found[-1][1] <= gap:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def uncovered(spans: Iterable[Span], covers: Iterable[Span]) -> list[Span]:
    """The spans that no cover, or several that touch, holds whole."""
    whole = joined(covers)
    return [span for span in spans if not any(first <= span[0] and span[1] <= last for first, last in whole)]


def pieces(span: Span, length: timedelta) -> list[Span]:
    """Cut a span into pieces of at most a length, oldest first; each begins where the one before ends."""
    first, last = span
    found = []
    while first + length < last:
        found.append((first, first + length))
        first += length
    return [*found, (first, last)]
