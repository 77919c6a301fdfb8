"""Which keys are ours, on which subnets, and how swaps hand that on. Pure.

A key that staff named counts on every subnet. `HotkeySwapped` hands all of it to the new key, `HotkeySwappedOnSubnet`
one subnet; a swap on root hands on what root stake earns, which is on every subnet. The old key stays ours as long as its
coldkey owns it, since delegators may have stayed on it. One that a swap left without an owner earns nothing until somebody
takes it up again, for which there is no event: ours if that is the coldkey which left it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from chain.facts import StakeEventFact
from chain.keys import ROOT, SUBTENSOR
from chain.pools.holdings import Holdings
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named
from chain.stake.causes import Cause

# Before, a swap moved raw shares.
VALUES_MOVED_FROM = 394
_ROUNDING_RAO, _ROUNDING_PARTS = 12, 10**8


class Following(NamedTuple):
    """A key we follow; `netuid` None stands for every subnet. `abandoned_by` left it without an owner: a coldkey of ours."""

    hotkey: str
    netuid: int | None = None
    abandoned_by: str = ""


class Lost(NamedTuple):
    """A key that is followed no longer, since a stranger owns it now; `held_by` is the coldkey of ours that had it."""

    hotkey: str
    held_by: str
    owner: str
    was_left: bool
    """A swap had left it without an owner; otherwise it was taken from its owner."""
    was_left_before: bool
    """So before the block already."""


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


def claims_beside_swaps(
    legs: Sequence[StakeEventFact],
    events: Iterable[Event],
    made: Collection[Swap],
    spec_version: int,
    before: Holdings,
) -> list[StakeEventFact]:
    """The legs, with root claims of delegators told apart from what a swap of our key in the same block moved.

    The chain claims for some of root's stakers in every block. Such a claimer came to more on the new key than he left on
    the old one: by as much as he claimed, on the key on which his root stake was. It is told only where that is certain.
    Else the swap stays unbalanced, which is a doubt: of the owner, whose claim might hide a sale; where root stake of the
    claimer is on both keys; where the swap moved nothing; after a swap on one subnet; and until 393, when shares of two
    prices were thrown together, where the new key had stake.

    :param before: shares before the block, those on the new key too.
    """
    claims: dict[str, Event] = {}
    for event in events if made else ():
        if event.is_a(SUBTENSOR, "RootClaimed"):
            claims.setdefault(named(event, "coldkey")[0], event)
        elif event.is_a(SUBTENSOR, "ColdkeySwapped"):
            return list(legs)
    told: dict[tuple[int, str], list[StakeEventFact]] = {}
    moving: set[tuple[str, int]] = set()
    for leg in legs if claims else ():
        if leg.cause == Cause.HOTKEY_SWAP:
            if not leg.added:
                moving.add((leg.hotkey, leg.netuid))
            if leg.coldkey in claims:
                told.setdefault((leg.netuid, leg.coldkey), []).append(leg)
    by_event = {swap.event_index: swap for swap in made}
    instead: dict[int, list[StakeEventFact]] = {}
    for (netuid, coldkey), of in told.items():
        came, left = [leg for leg in of if leg.added], [leg for leg in of if not leg.added]
        if len(came) != 1 or len(left) > 1 or (surplus := _imbalance(map(_signed, of))) <= 0:
            continue
        swap, claim = by_event.get(came[0].event_index), claims[coldkey]
        if swap is None or swap.coldkey == coldkey or (swap.old, netuid) not in moving:
            continue
        is_after, on_new = claim.index > swap.event_index, coldkey in before.get((swap.new, ROOT), {})
        is_sure = swap.netuid is None if is_after else not on_new
        if is_sure and (spec_version >= VALUES_MOVED_FROM or not before.get((swap.new, netuid))):
            instead |= {id(leg): [] for leg in of}
            instead[id(came[0])] = _with_claim(came[0], left, claim, surplus)
    return [one for leg in legs for one in instead.get(id(leg), [leg])]


def _with_claim(
    came: StakeEventFact, left: Sequence[StakeEventFact], claim: Event, claimed_rao: int
) -> list[StakeEventFact]:
    """What one holder's stake did in a swap, with a claim before it on the old key or after it on the new one."""
    claiming = replace(
        came,
        event_index=claim.index,
        extrinsic_index=claim.extrinsic_index,
        kind="STAKE",
        alpha_rao=claimed_rao,
        cause=Cause.ROOT_CLAIM,
        other_coldkey="",
        other_hotkey="",
        other_netuid=None,
    )
    if claim.index > came.event_index:
        rest = came.alpha_rao - claimed_rao
        return [*left, *([replace(came, alpha_rao=rest)] if rest else []), claiming]
    held = sum(leg.alpha_rao for leg in left)
    old = left[0] if left else replace(came, added=False, hotkey=came.other_hotkey, other_hotkey=came.hotkey)
    asset = "TAO" if old.netuid == ROOT else "ALPHA"
    return [
        replace(claiming, hotkey=old.hotkey),
        replace(old, alpha_rao=held + claimed_rao, fee_asset=asset),
        came,
    ]


def unbalanced_swaps(
    legs: Iterable[StakeEventFact],
    made: Collection[Swap],
    spec_version: int,
    coldkeys: Collection[ColdkeySwap] = (),
) -> list[str]:
    """Doubts about stake that left with swaps of keys and did not arrive, or the other way round.

    Something else moved it in the same block, which the swap would hide. Since 394 every holder's value moves; before,
    shares of two prices were thrown together, and only all of a subnet's add up; so where coldkeys were swapped beside it.
    """
    if not made and not coldkeys:
        return []
    moved: dict[tuple[int, str], list[int]] = {}
    for leg in legs:
        if leg.cause == Cause.HOTKEY_SWAP or (coldkeys and leg.cause == Cause.COLDKEY_SWAP):
            whose = leg.coldkey if spec_version >= VALUES_MOVED_FROM and not coldkeys else "all holders"
            moved.setdefault((leg.netuid, whose), []).append(_signed(leg))
    return [
        f"of the stake of {whose} on netuid {netuid}, {-sum(rao for rao in of if rao < 0)} rao left with a swap of a key "
        f"and {sum(rao for rao in of if rao > 0)} came: something else moved the rest"
        for (netuid, whose), of in sorted(moved.items())
        if _imbalance(of)
    ]


def _signed(leg: StakeEventFact) -> int:
    return leg.alpha_rao if leg.added else -leg.alpha_rao


def _imbalance(moved: Iterable[int]) -> int:
    """What came and did not leave, negative the other way round; 0 within roundings."""
    of = list(moved)
    return sum(of) if abs(sum(of)) > max(_ROUNDING_RAO * len(of), max(map(abs, of)) // _ROUNDING_PARTS) else 0


def addresses(following: Iterable[Following]) -> list[str]:
    """Every key followed, once."""
    return sorted({one.hotkey for one in following})


def on_subnet(following: Iterable[Following], netuid: int) -> list[str]:
    """The keys that are ours on a subnet."""
    return sorted({one.hotkey for one in following if one.netuid in (None, netuid) and not one.abandoned_by})


def after_block(
    following: Iterable[Following],
    made: Collection[Swap],
    coldkeys: Iterable[ColdkeySwap],
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    migrated: bool = False,
) -> tuple[frozenset[Following], list[Lost]]:
    """The keys followed after a block, and those that it made a stranger's.

    Plays the block's swaps, then looks who owns each key: until 416 a stranger may swap a key of his into ours, and whoever
    wants may take up a key that a swap left.

    :param made: every hotkey swap of the block, of strangers' keys too.
    :param before: owners of our keys before the block, where known; `after`, of ours and of those swapped to.
    :param migrated: migrations ran, which may hand on keys that no swap of the block names.
    """
    ours, lost = set(following), set[Lost]()
    left = {one.hotkey for one in ours if one.abandoned_by}
    holders = {**before, **{one.hotkey: one.abandoned_by for one in ours if one.abandoned_by}}

    def lose(hotkey: str, owner: str) -> None:
        mine = {one for one in ours if one.hotkey == hotkey}
        was_left = any(one.abandoned_by for one in mine)
        lost.add(Lost(hotkey, holders[hotkey], owner, was_left=was_left, was_left_before=hotkey in left))
        ours.difference_update(mine)

    happened: list[Swap | ColdkeySwap] = [*made, *coldkeys]
    for event in sorted(happened, key=lambda event: event.event_index):
        if isinstance(event, ColdkeySwap):
            holders |= {hotkey: event.new for hotkey, coldkey in holders.items() if coldkey == event.old}
            continue
        if holders.get(event.old, event.coldkey) != event.coldkey:
            lose(event.old, event.coldkey)
        mine = [one for one in ours if one.hotkey == event.old]
        if mine:
            # Of one that nobody owned before the block this is the first that is known.
            holders[event.old] = event.coldkey
        if not mine and holders.get(event.new, event.coldkey) != event.coldkey:
            lose(event.new, event.coldkey)
        for one in mine:
            if event.netuid is None:
                ours.add(Following(event.new, one.netuid))
                ours.discard(one)
                ours.add(one._replace(abandoned_by=event.coldkey))
            elif one.netuid in (None, event.netuid):
                ours.add(Following(event.new, None if event.netuid == ROOT else event.netuid))
        if any(one.hotkey == event.new for one in ours):
            holders[event.new] = event.coldkey
    named_by_swaps = {hotkey for swap in made for hotkey in (swap.old, swap.new)}
    for hotkey in addresses(ours):
        owner = after.get(hotkey)
        if migrated and hotkey not in left | named_by_swaps:
            continue
        mine = [one for one in ours if one.hotkey == hotkey]
        if owner is not None and holders.get(hotkey, owner) != owner:
            lose(hotkey, owner)
            continue
        ours.difference_update(mine)
        ours |= {
            one._replace(abandoned_by="" if owner is not None or not one.abandoned_by else holders[hotkey])
            for one in mine
        }
    return _simplest(ours), sorted(lost)


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
