"""From raw stake events to what happened: stake, unstake, restake or transfer, and which were conversions. Pure.

Layouts are those of the runtimes in `chain.runtime.SUPPORTED_SPECS` (`macros/events.rs` of the subtensor pallet):
StakeAdded and StakeRemoved are (coldkey, hotkey, tao, alpha, netuid, fee), the fee in TAO when added and in alpha
when removed, the alpha removed including it. Moves, swaps and transfers deposit such a pair and then their own
event, which is used to name the pair and never counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from chain.facts import ConversionFact, StakeEventFact
from chain.runtime import Event

SUBTENSOR = "SubtensorModule"


def _leg(event: Event) -> StakeEventFact:
    coldkey, hotkey, tao, alpha, netuid, fee = event.values
    added = event.name == "StakeAdded"
    return StakeEventFact(
        event_index=event.index,
        extrinsic_index=event.extrinsic_index,
        kind="STAKE" if added else "UNSTAKE",
        added=added,
        coldkey=coldkey,
        hotkey=hotkey,
        netuid=netuid,
        tao_rao=tao,
        alpha_rao=alpha,
        fee_rao=fee,
        fee_asset="TAO" if added or netuid == 0 else "ALPHA",
    )


def _destroyed(event: Event) -> StakeEventFact:
    """AlphaRecycled and AlphaBurned take alpha out of a position for nothing, without a StakeRemoved."""
    coldkey, hotkey, alpha, netuid = event.values
    return StakeEventFact(
        event_index=event.index,
        extrinsic_index=event.extrinsic_index,
        kind="UNSTAKE",
        added=False,
        coldkey=coldkey,
        hotkey=hotkey,
        netuid=netuid,
        tao_rao=0,
        alpha_rao=alpha,
        fee_rao=0,
        fee_asset="ALPHA",
    )


def _ends(event: Event) -> tuple[str, tuple[str, str, int], tuple[str, str, int]]:
    """Kind and both ends (coldkey, hotkey, netuid) of a move, swap or transfer."""
    if event.name == "StakeMoved":
        coldkey, from_hotkey, from_netuid, to_hotkey, to_netuid, _ = event.values
        return "RESTAKE", (coldkey, from_hotkey, from_netuid), (coldkey, to_hotkey, to_netuid)
    if event.name == "StakeSwapped":
        coldkey, hotkey, from_netuid, to_netuid, _ = event.values
        return "RESTAKE", (coldkey, hotkey, from_netuid), (coldkey, hotkey, to_netuid)
    from_coldkey, to_coldkey, hotkey, from_netuid, to_netuid, _ = event.values
    return "TRANSFER", (from_coldkey, hotkey, from_netuid), (to_coldkey, hotkey, to_netuid)


def _at(leg: StakeEventFact) -> tuple[str, str, int]:
    return leg.coldkey, leg.hotkey, leg.netuid


def _named(leg: StakeEventFact, kind: str, other: tuple[str, str, int]) -> StakeEventFact:
    return replace(leg, kind=kind, other_coldkey=other[0], other_hotkey=other[1], other_netuid=other[2])


def stake_events(events: Iterable[Event]) -> list[StakeEventFact]:
    """Read every stake event of a block, of all hotkeys, in order.

    A move, swap or transfer names the latest unnamed legs of its own extrinsic that stand at its two ends.
    """
    legs: list[StakeEventFact] = []
    for event in events:
        if event.is_a(SUBTENSOR, "StakeAdded", "StakeRemoved"):
            legs.append(_leg(event))
        elif event.is_a(SUBTENSOR, "AlphaRecycled", "AlphaBurned"):
            legs.append(_destroyed(event))
        elif event.is_a(SUBTENSOR, "StakeMoved", "StakeSwapped", "StakeTransferred"):
            kind, origin, destination = _ends(event)
            for added, here, there in ((False, origin, destination), (True, destination, origin)):
                for position in range(len(legs) - 1, -1, -1):
                    leg = legs[position]
                    if leg.extrinsic_index != event.extrinsic_index:
                        break
                    if leg.added == added and _at(leg) == here and leg.kind in ("STAKE", "UNSTAKE"):
                        legs[position] = _named(leg, kind, there)
                        break
    return legs


def conversions(legs: Sequence[StakeEventFact], owners: dict[str, str]) -> list[ConversionFact]:
    """Find where the owner of one of our hotkeys sold alpha: for TAO, or for stake on root.

    Moves between hotkeys or subnets and transfers are no conversions: their TAO is notional or passes through.

    :param owners: owner coldkey by hotkey, ours only.
    """
    found = []
    for leg in legs:
        into_root = leg.kind == "RESTAKE" and leg.other_netuid == 0
        sold = not leg.added and leg.netuid != 0 and leg.alpha_rao > 0 and leg.tao_rao > 0
        if sold and owners.get(leg.hotkey) == leg.coldkey and (leg.kind == "UNSTAKE" or into_root):
            found.append(
                ConversionFact(
                    event_index=leg.event_index,
                    hotkey=leg.hotkey,
                    owner=leg.coldkey,
                    netuid=leg.netuid,
                    alpha_rao=leg.alpha_rao,
                    tao_rao=leg.tao_rao,
                    fee_alpha_rao=leg.fee_rao,
                    into_root=into_root,
                )
            )
    return found
