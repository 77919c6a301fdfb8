"""Which keys are ours, on which subnets, and how swaps hand that on. Pure.

A key that staff named counts on every subnet. `HotkeySwapped` hands all of it to the new key, `HotkeySwappedOnSubnet`
one subnet. The old key stays ours as long as the chain names an owner for it, since delegators may have stayed on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from chain.keys import SUBTENSOR
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named


class Following(NamedTuple):
    """A key we follow; `netuid` None stands for every subnet."""

    hotkey: str
    netuid: int | None = None


class Swap(NamedTuple):
    """One key swapped for another, on one subnet or all of them."""

    event_index: int
    coldkey: str
    old: str
    new: str
    netuid: int | None


def swaps(events: Iterable[Event]) -> list[Swap]:
    """Every hotkey swap of a block."""
    found = []
    for event in events:
        if event.is_a(SUBTENSOR, "HotkeySwapped", "HotkeySwappedOnSubnet"):
            coldkey, old, new = named(event, "coldkey", "old_hotkey", "new_hotkey")
            netuid = None
            if event.name == "HotkeySwappedOnSubnet":
                *_, netuid = named(event, "coldkey", "old_hotkey", "new_hotkey", "netuid")
            found.append(Swap(event.index, coldkey, old, new, netuid))
    return found


def addresses(following: Iterable[Following]) -> list[str]:
    """Every key followed, once."""
    return sorted({one.hotkey for one in following})


def on_subnet(following: Iterable[Following], netuid: int) -> list[str]:
    """The keys that are ours on a subnet."""
    return sorted({one.hotkey for one in following if one.netuid in (None, netuid)})


def after_swaps(
    following: Iterable[Following], made: Iterable[Swap], is_owned: Callable[[str], bool]
) -> frozenset[Following]:
    """The keys followed after a block.

    :param is_owned: whether the chain names an owner for a key after the block.
    """
    ours = set(following)
    for swap in made:
        for one in [one for one in ours if one.hotkey == swap.old]:
            if swap.netuid is None:
                ours.add(Following(swap.new, one.netuid))
                if not is_owned(swap.old):
                    ours.discard(one)
            elif one.netuid in (None, swap.netuid):
                ours.add(Following(swap.new, swap.netuid))
    # A key followed everywhere needs no mention of single subnets.
    everywhere = {one.hotkey for one in ours if one.netuid is None}
    return frozenset(one for one in ours if one.netuid is None or one.hotkey not in everywhere)
