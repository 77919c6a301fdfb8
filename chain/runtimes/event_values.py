"""The fields of an event, whichever way its runtime declared them: by name, by position, or a single bare one. Pure.

An event that has not the fields its runtime should give it is refused: read by position, money would land in the
wrong field.
"""

from __future__ import annotations

from typing import Any

from chain.runtimes.decoding import Event
from chain.state import UnsupportedEvent

# Between these, everything in one extrinsic comes from one dispatched call.
_MARKERS = {
    ("Utility", "ItemCompleted"),
    ("Utility", "ItemFailed"),
    ("Utility", "DispatchedAs"),
    ("Proxy", "ProxyExecuted"),
    ("Multisig", "MultisigExecuted"),
    ("Scheduler", "Dispatched"),
    ("Sudo", "Sudid"),
    ("Sudo", "SudoAsDone"),
    ("Ethereum", "Executed"),
    ("MevShield", "ExtrinsicDispatched"),
    ("MevShield", "ExtrinsicDispatchFailed"),
}


def named(event: Event, *names: str) -> tuple[Any, ...]:
    """The named fields of an event, in the order asked; more than those may be there.

    :raises UnsupportedEvent: a field is missing.
    """
    if isinstance(event.values, dict):
        if missing := [name for name in names if name not in event.values]:
            raise UnsupportedEvent(
                f"event {event.index}: {event.pallet}.{event.name} has no field {missing[0]}, "
                f"only {', '.join(map(str, event.values)) or 'none'}"
            )
        return tuple(event.values[name] for name in names)
    values = _listed(event)
    if len(values) < len(names):
        raise UnsupportedEvent(_wrong_count(event, len(values), len(names)))
    return values[: len(names)]


def positional(event: Event, count: int) -> tuple[Any, ...]:
    """All fields of an event declared without names.

    :raises UnsupportedEvent: there are not exactly `count`.
    """
    values = tuple(event.values.values()) if isinstance(event.values, dict) else _listed(event)
    if len(values) != count:
        raise UnsupportedEvent(_wrong_count(event, len(values), count))
    return values


def ends_dispatch(event: Event) -> bool:
    """Say whether the event closes a dispatched call: what follows it in the extrinsic belongs to another."""
    return (event.pallet, event.name) in _MARKERS


def variant(value: Any) -> str:
    """The name of an enum value, given as text or as {name: content}."""
    return value if isinstance(value, str) else str(next(iter(value)))


def _listed(event: Event) -> tuple[Any, ...]:
    if event.values is None:
        return ()
    return tuple(event.values) if isinstance(event.values, list | tuple) else (event.values,)


def _wrong_count(event: Event, found: int, wanted: int) -> str:
    return (
        f"event {event.index}: {event.pallet}.{event.name} has {found} fields, its runtime should give it {wanted}. "
        "How that runtime writes it must be checked before its blocks are ingested."
    )
