"""Which keys are ours, on which subnets, and how swaps hand that on. Pure.

A key that staff named counts on every subnet. `HotkeySwapped` hands all of it to the new key, `HotkeySwappedOnSubnet`
one subnet; a swap on root hands on what root stake earns, which is on every subnet. The old key stays ours as long as the
chain names an owner for it, since delegators may have stayed on it. One that a swap left without an owner earns nothing
until somebody takes it up again, for which there is no event: ours if that is the coldkey which left it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from chain.facts import StakeEventFact
from chain.keys import ROOT, SUBTENSOR
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named
from chain.stake.causes import Cause

# Before, a swap moved raw shares.
_VALUES_MOVED_FROM = 394
_ROUNDING_RAO, _ROUNDING_PARTS = 12, 10**8


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


class ColdkeySwap(NamedTuple):
    """One coldkey that took another's place."""

    event_index: int
    old: str
    new: str


def coldkey_swaps(events: Iterable[Event]) -> list[ColdkeySwap]:
    """Every coldkey swap of a block."""
    return [
        ColdkeySwap(event.index, *named(event, "old_coldkey", "new_coldkey"))
        for event in events
        if event.is_a(SUBTENSOR, "ColdkeySwapped")
    ]


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


def of_ours(made: Iterable[Swap], hotkeys: Iterable[str]) -> list[Swap]:
    """Swaps of our keys, those included that an earlier one of the block brought."""
    ours, found = set(hotkeys), []
    for swap in made:
        if swap.old in ours:
            found.append(swap)
            ours.add(swap.new)
    return found


def renamed_pools(
    made: Iterable[Swap], hotkeys: Iterable[str], netuids: Iterable[int]
) -> dict[tuple[str, int], str]:
    """By pool of ours before the block (hotkey, netuid): the key that has its books after the block's swaps."""
    ours, netuids, found = set(hotkeys), set(netuids), dict[tuple[str, int], str]()
    for swap in made:
        for netuid in netuids if swap.netuid is None else netuids & {swap.netuid}:
            handed_on = [pool for pool, now in found.items() if now == swap.old and pool[1] == netuid]
            found |= dict.fromkeys(handed_on, swap.new)
            if swap.old in ours:
                found[swap.old, netuid] = swap.new
    return found


def unbalanced_swaps(
    legs: Iterable[StakeEventFact],
    made: Collection[Swap],
    spec_version: int,
    coldkeys: Collection[ColdkeySwap] = (),
) -> list[str]:
    """Doubts about stake that left with swaps of our keys and did not arrive, or the other way round.

    Something else moved it in the same block, which the swap would hide. Since 394 every holder's value moves; before,
    shares of two prices were thrown together, and only all of a subnet's add up; so where coldkeys were swapped beside it.
    """
    if not made:
        return []
    moved: dict[tuple[int, str], list[int]] = {}
    for leg in legs:
        if leg.cause == Cause.HOTKEY_SWAP or (coldkeys and leg.cause == Cause.COLDKEY_SWAP):
            whose = leg.coldkey if spec_version >= _VALUES_MOVED_FROM and not coldkeys else "all holders"
            moved.setdefault((leg.netuid, whose), []).append(leg.alpha_rao if leg.added else -leg.alpha_rao)
    return [
        f"of the stake of {whose} on netuid {netuid}, {-sum(rao for rao in of if rao < 0)} rao left with a swap of a hotkey "
        f"and {sum(rao for rao in of if rao > 0)} came: something else moved the rest"
        for (netuid, whose), of in sorted(moved.items())
        if abs(sum(of)) > max(_ROUNDING_RAO * len(of), max(map(abs, of)) // _ROUNDING_PARTS)
    ]


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
    coldkeys: Sequence[ColdkeySwap] = (),
) -> tuple[frozenset[Following], dict[Following, str]]:
    """The keys followed after a block, and abandoned ones that strangers took up and swapped on, with whom.

    :param is_owned: whether the chain names an owner for a key after the block.
    :param coldkeys: the block's coldkey swaps, after which another may take up what one abandoned.
    """
    ours, lost = set(following), dict[Following, str]()
    for swap in made:
        for one in [one for one in ours if one.hotkey == swap.old]:
            if one.abandoned_by and swap.coldkey != one.abandoned_by:
                ours.discard(one)
                lost[one] = swap.coldkey
            elif swap.netuid is None:
                ours.add(Following(swap.new, one.netuid))
                if not is_owned(swap.old):
                    ours.discard(one)
                    ours.add(one._replace(abandoned_by=_heir(swap.coldkey, coldkeys, swap.event_index)))
            elif one.netuid in (None, swap.netuid):
                ours.add(Following(swap.new, None if swap.netuid == ROOT else swap.netuid))
    return _simplest(ours), lost


def _heir(coldkey: str, made: Iterable[ColdkeySwap], after: int = -1) -> str:
    """Who stands in a coldkey's place at the end of a block."""
    for swap in made:
        if swap.event_index > after and swap.old == coldkey:
            coldkey = swap.new
    return coldkey


def taken_up(
    following: Iterable[Following], owners: Mapping[str, str], coldkeys: Sequence[ColdkeySwap] = ()
) -> tuple[frozenset[Following], dict[Following, str]]:
    """The keys followed once abandoned ones have owners again, and those of them that strangers own, with whom.

    :param owners: of each key after the block, where it has one.
    :param coldkeys: the block's coldkey swaps.
    """
    ours = {
        one._replace(abandoned_by=_heir(one.abandoned_by, coldkeys)) if one.abandoned_by else one
        for one in following
    }
    lost = dict[Following, str]()
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
