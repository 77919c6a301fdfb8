"""Which keys are ours, on which subnets, and how swaps hand that on. Pure.

A key that staff named counts on every subnet. `HotkeySwapped` hands all of it to the new key, `HotkeySwappedOnSubnet`
one subnet; a swap on root hands on what root stake earns, which is on every subnet. The old key stays ours as long as the
chain names an owner for it, since delegators may have stayed on it. One that a swap left without an owner earns nothing
until somebody takes it up again, for which there is no event: ours if that is the coldkey which left it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from chain.keys import ROOT, SUBTENSOR
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named


class Following(NamedTuple):
    """A key we follow; `netuid` None stands for every subnet. `abandoned_by` left it without an owner: a coldkey of ours."""

    hotkey: str
    netuid: int | None = None
    abandoned_by: str = ""


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
    return sorted({one.hotkey for one in following if one.netuid in (None, netuid) and not one.abandoned_by})


def after_swaps(
    following: Iterable[Following],
    made: Iterable[Swap],
    is_owned: Callable[[str], bool],
) -> frozenset[Following]:
    """The keys followed after a block.

    :param is_owned: whether the chain names an owner for a key after the block.
    """
    ours = set(following)
    for swap in made:
        for one in [one for one in ours if one.hotkey == swap.old and not one.abandoned_by]:
            if swap.netuid is None:
                ours.add(Following(swap.new, one.netuid))
                if not is_owned(swap.old):
                    ours.discard(one)
                    ours.add(one._replace(abandoned_by=swap.coldkey))
            elif one.netuid in (None, swap.netuid):
                ours.add(Following(swap.new, None if swap.netuid == ROOT else swap.netuid))
    return _simplest(ours)


def taken_up(
    following: Iterable[Following], owners: Mapping[str, str]
) -> tuple[frozenset[Following], dict[Following, str]]:
    """The keys followed once abandoned ones have owners again, and those of them that strangers own, with whom.

    :param owners: of each key after the block, where it has one.
    """
    ours, lost = set(following), dict[Following, str]()
    for one in [one for one in ours if one.abandoned_by and one.hotkey in owners]:
        ours.discard(one)
        if owners[one.hotkey] == one.abandoned_by:
            ours.add(one._replace(abandoned_by=""))
        elif not any(other.hotkey == one.hotkey for other in ours):
            lost[one] = owners[one.hotkey]
    return _simplest(ours), lost


def _simplest(ours: set[Following]) -> frozenset[Following]:
    """A key followed everywhere needs no mention of single subnets, one that is ours none of having been abandoned."""
    active = {one.hotkey for one in ours if not one.abandoned_by}
    everywhere = {one.hotkey for one in ours if one.netuid is None and not one.abandoned_by}
    return frozenset(
        one
        for one in ours
        if (one.netuid is None or one.hotkey not in everywhere)
        and (not one.abandoned_by or one.hotkey not in active)
    )
