"""Which call of an extrinsic deposited which event, found by walking its call tree and its events side by side. Pure.

Events carry no path, but every wrapper (batch, proxy, multisig, sudo) deposits an event of its own after what it
wrapped. Read backwards, each such event says first how its wrapper ended, so nothing has to be guessed. Where calls
and events do not fit, nothing is said at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chain.runtimes.decoding import Event, Extrinsic, calls_within

# What wrappers deposit about what they wrapped; every other event is the work of a call that wraps nothing.
MARKERS = {
    "Utility": frozenset(
        {
            "BatchCompleted",
            "BatchCompletedWithErrors",
            "BatchInterrupted",
            "DispatchedAs",
            "IfElseFallbackCalled",
            "IfElseMainSuccess",
            "ItemCompleted",
            "ItemFailed",
        }
    ),
    "Proxy": frozenset({"ProxyExecuted"}),
    "Multisig": frozenset({"MultisigApproval", "MultisigExecuted", "NewMultisig"}),
    "Sudo": frozenset({"Sudid", "SudoAsDone"}),
}
# Far deeper than people nest calls; the chain allows 256.
DEPTH_MAX = 32


@dataclass(frozen=True)
class Place:
    """Where an event comes from.

    `call` is the `Pallet.function` that deposited it and `account` the coldkey it ran as ('' for root or one that the call
    does not name). `delegate` is who acted for that account through a proxy, '' where the account acted itself.
    """

    call: str
    account: str
    delegate: str = ""


@dataclass(frozen=True)
class Failure:
    """Calls that did not happen: the wrapper's event that says so, and every `Pallet.function` it held back."""

    marker: str
    calls: frozenset[str]


@dataclass(frozen=True)
class Trace:
    """The place of each event by its index, and what failed inside an extrinsic that succeeded."""

    places: dict[int, Place]
    failures: tuple[Failure, ...]


def is_marker(event: Event) -> bool:
    """Say whether a wrapper deposited the event about what it wrapped."""
    return event.name in MARKERS.get(event.pallet, ())


def field(event: Event, name: str, position: int) -> Any:
    """Read a field of an event, whose fields older metadata gives by position only."""
    if isinstance(event.values, dict):
        return event.values.get(name)
    if isinstance(event.values, tuple | list):
        return event.values[position] if position < len(event.values) else None
    return event.values if position == 0 else None


def argument(call: dict[str, Any], name: str) -> Any:
    """Read an argument of a call; None where it has no such argument."""
    return next((item["value"] for item in call["call_args"] if item["name"] == name), None)


def call_name(call: dict[str, Any]) -> str:
    """`Pallet.function` of a call."""
    return f"{call['call_module']}.{call['call_function']}"


def trace(extrinsic: Extrinsic, events: Sequence[Event]) -> Trace | None:
    """Find the place of every event of one successful extrinsic.

    :param events: the extrinsic's own events, in order.
    :returns: None where the events are not those that these calls deposit.
    """
    walk = _Walk(events)
    try:
        top = Place(extrinsic.call_name, extrinsic.signer)
        walk.through(extrinsic.call, top, 0)
        walk.finish(top)
    except _DoesNotFit:
        return None
    return Trace(walk.places, tuple(walk.failures))


class _DoesNotFit(Exception):
    """The events are not those of the calls."""


class _Walk:
    """Goes through the events from the last to the first, and through the calls in the same order."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._left = list(events)
        self.places: dict[int, Place] = {}
        self.failures: list[Failure] = []

    def finish(self, place: Place) -> None:
        """Take what precedes the call, the fee, as the extrinsic's own; nothing else may be left."""
        self._own_events(place)
        if self._left:
            raise _DoesNotFit

    def through(self, call: Any, place: Place, depth: int) -> None:
        """Walk through a call that succeeded, run at `place`."""
        if depth > DEPTH_MAX or not isinstance(call, dict) or "call_args" not in call:
            raise _DoesNotFit
        place = Place(call_name(call), place.account, place.delegate)
        match place.call:
            case "Utility.batch" | "Utility.batch_all" | "Utility.force_batch":
                self._batch(call, place, depth)
            case "Proxy.proxy" | "Proxy.proxy_announced":
                self._proxy(call, place, depth)
            case "Multisig.as_multi":
                self._multisig(call, place, depth)
            case "Multisig.approve_as_multi":
                self._marker(place, "NewMultisig", "MultisigApproval")
            case "Sudo.sudo_as":
                inside = Place(place.call, _account(argument(call, "who")))
                self._reporting(call, place, inside, depth, "SudoAsDone", "sudo_result")
            case "Sudo.sudo" | "Sudo.sudo_unchecked_weight":
                self._reporting(call, place, Place(place.call, ""), depth, "Sudid", "sudo_result")
            case "Utility.dispatch_as" | "Utility.dispatch_as_fallible":
                self._reporting(call, place, Place(place.call, ""), depth, "DispatchedAs", "result")
            case "Utility.as_derivative" | "Utility.with_weight" | "Multisig.as_multi_threshold_1":
                self.through(argument(call, "call"), Place(place.call, ""), depth + 1)
            case "Utility.if_else":
                marker = self._marker(place, "IfElseMainSuccess", "IfElseFallbackCalled")
                ran, other = (
                    ("main", "fallback") if marker.name == "IfElseMainSuccess" else ("fallback", "main")
                )
                if ran == "fallback":
                    self._failed(marker, [argument(call, other)])
                self.through(argument(call, ran), place, depth + 1)
            case _:
                self._own_events(place)

    def _own_events(self, place: Place) -> None:
        while self._left and not is_marker(self._left[-1]):
            self.places[self._left.pop().index] = place

    def _marker(self, place: Place, *names: str) -> Event:
        self._own_events(place)
        if not self._left or self._left[-1].name not in names:
            raise _DoesNotFit
        marker = self._left.pop()
        self.places[marker.index] = place
        return marker

    def _failed(self, marker: Event, calls: Sequence[Any]) -> None:
        names = {call_name(inner) for call in calls if isinstance(call, dict) for inner in calls_within(call)}
        self.failures.append(Failure(marker.name, frozenset(names)))

    def _batch(self, call: dict[str, Any], place: Place, depth: int) -> None:
        items = argument(call, "calls")
        if not isinstance(items, list | tuple):
            raise _DoesNotFit
        marker = self._marker(place, "BatchCompleted", "BatchCompletedWithErrors", "BatchInterrupted")
        done = len(items)
        if marker.name == "BatchInterrupted":
            done = field(marker, "index", 0)
            if not isinstance(done, int) or done >= len(items):
                raise _DoesNotFit
            self._failed(marker, items[done:])
        for item in reversed(items[:done]):
            outcome = self._marker(place, "ItemCompleted", "ItemFailed")
            if outcome.name == "ItemFailed":
                self._failed(outcome, [item])
            else:
                self.through(item, place, depth + 1)

    def _proxy(self, call: dict[str, Any], place: Place, depth: int) -> None:
        inside = Place(place.call, _account(argument(call, "real")), place.account)
        self._reporting(call, place, inside, depth, "ProxyExecuted", "result")

    def _multisig(self, call: dict[str, Any], place: Place, depth: int) -> None:
        marker = self._marker(place, "MultisigExecuted", "NewMultisig", "MultisigApproval")
        if marker.name == "MultisigExecuted":
            inside = Place(place.call, _account(field(marker, "multisig", 2)))
            self._inner(call, marker, field(marker, "result", 4), inside, depth)

    def _reporting(
        self, call: dict[str, Any], place: Place, inside: Place, depth: int, name: str, result: str
    ) -> None:
        """A wrapper that succeeds whatever its call did, and says in its event what that was."""
        marker = self._marker(place, name)
        self._inner(call, marker, field(marker, result, 0), inside, depth)

    def _inner(self, call: dict[str, Any], marker: Event, result: Any, inside: Place, depth: int) -> None:
        if result == "Ok" or (isinstance(result, dict) and "Ok" in result):
            self.through(argument(call, "call"), inside, depth + 1)
        else:
            self._failed(marker, [argument(call, "call")])


def _account(value: Any) -> str:
    """An address, where the decoder gave one; other forms of addressing are not followed."""
    return value if isinstance(value, str) and not value.startswith("0x") else ""
