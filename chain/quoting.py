"""What a stranger gave, quoted in a message: recognizable, and never at length. Pure."""

from __future__ import annotations

_LENGTH_MAX = 80


def quoted(value: object) -> str:
    """Quote a value as Python writes it, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= _LENGTH_MAX else f"{text[:_LENGTH_MAX]}…"
