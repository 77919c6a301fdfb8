"""From raw stake events to what happened, runtime 233 and later: stake, unstake, restake or transfer, and why. Pure.

Owns the layouts of the stake events (`macros/events.rs` of the subtensor pallet) and what their amounts mean per
runtime; docs/chain.md has the table. Moves, swaps and transfers deposit a removal, an addition and then their own
event, which names the two and is never counted again. What changes stake without such an event is
`chain.stake.changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chain.facts import ConversionFact, StakeEventFact
from chain.keys import ROOT, SUBTENSOR
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import ends_dispatch, named, positional
from chain.stake.causes import Cause
from chain.stake.limit_orders import Execution, executions

FEE_IN_EVENT_FROM = 257
# Before, the fee of both directions is TAO: the TAO named is what was left after it.
FEE_IN_INPUT_ASSET_FROM = 283
# From here on a move within a subnet is no swap but a pair of equal events without fee.
PAIRED_MOVES_FROM = 297
# From here on the alpha removed is named without the fee.
NET_REMOVALS_FROM = 397
# From here on TAO is really transferred: of a move too small to restake it stays with the coldkey; before, it was lost.
TAO_TRANSFERRED_FROM = 411
# Staking what was just received may leave the account's existential deposit behind.
EXISTENTIAL_DEPOSIT_RAO = 500

End = tuple[str, str, int]
"""Coldkey, hotkey, netuid."""


def stake_events(events: Sequence[Event], spec_version: int) -> list[StakeEventFact]:
    """Read every stake event of a block, of all hotkeys, in order.

    `alpha_rao` is all that came to or left the position, on every runtime. A sale with a limit takes out no more than the
    limit allows to be sold (`get_max_amount_remove`), so nothing of it comes back.

    :param spec_version: the runtime that executed the block.
    :raises UnsupportedEvent: an event has not the fields its runtime should give it.
    """
    legs: list[StakeEventFact] = []
    alone = {order.event_index: order for order in executions(events) if order.batch is None}
    for event in events:
        if event.index in alone:
            _name_order(legs, alone[event.index])
        elif event.pallet == SUBTENSOR:
            _read(legs, event, spec_version)
    if spec_version >= PAIRED_MOVES_FROM:
        _name_pairs(legs)
    _name_unstaked_into_root(legs, events, spec_version)
    return legs


def ends_of_move(event: Event) -> tuple[End, End]:
    """Where a StakeMoved, StakeSwapped or StakeTransferred took stake from, and to."""
    if event.name == "StakeMoved":
        coldkey, from_hotkey, from_netuid, to_hotkey, to_netuid, _ = positional(event, 6)
        return (coldkey, from_hotkey, from_netuid), (coldkey, to_hotkey, to_netuid)
    if event.name == "StakeSwapped":
        coldkey, hotkey, from_netuid, to_netuid, _ = positional(event, 5)
        return (coldkey, hotkey, from_netuid), (coldkey, hotkey, to_netuid)
    from_coldkey, to_coldkey, hotkey, from_netuid, to_netuid, _ = positional(event, 6)
    return (from_coldkey, hotkey, from_netuid), (to_coldkey, hotkey, to_netuid)


# --- reading ------------------------------------------------------------------------------------------


def _read(legs: list[StakeEventFact], event: Event, spec_version: int) -> None:
    """Take in one event of the subtensor pallet: add its leg, or name those before it."""
    if event.name in {"StakeAdded", "StakeRemoved"}:
        legs.append(_leg(event, spec_version))
    elif event.name in {"AlphaRecycled", "AlphaBurned"}:
        legs.append(_destroyed(event))
    elif event.name in {"StakeMoved", "StakeSwapped", "StakeTransferred"}:
        _name_move(legs, event, spec_version)
    elif event.name == "SubnetLeaseDividendsDistributed":
        _name_lease_payout(legs, event)
    elif event.name == "TransactionFeePaidWithAlpha":
        _name_alpha_fee(legs, event)


def _leg(event: Event, spec_version: int) -> StakeEventFact:
    fee: int | None = None
    if spec_version >= FEE_IN_EVENT_FROM:
        coldkey, hotkey, tao, alpha, netuid, fee = positional(event, 6)
    else:
        coldkey, hotkey, tao, alpha, netuid = positional(event, 5)
    added = event.name == "StakeAdded"
    fee_in_tao = added or netuid == ROOT or spec_version < FEE_IN_INPUT_ASSET_FROM
    if not added and spec_version >= NET_REMOVALS_FROM:
        alpha += fee
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
        fee_asset="TAO" if fee_in_tao else "ALPHA",
    )


def _destroyed(event: Event) -> StakeEventFact:
    """AlphaRecycled and AlphaBurned take alpha out of a position for nothing, without a StakeRemoved."""
    coldkey, hotkey, alpha, netuid = positional(event, 4)
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
        cause=Cause.RECYCLED if event.name == "AlphaRecycled" else Cause.BURNED,
    )


# --- naming -------------------------------------------------------------------------------------------


def _at(leg: StakeEventFact) -> End:
    return leg.coldkey, leg.hotkey, leg.netuid


def _unnamed(leg: StakeEventFact) -> bool:
    return not leg.cause and leg.kind in {"STAKE", "UNSTAKE"}


def _named(leg: StakeEventFact, kind: str, other: End, cause: str = "") -> StakeEventFact:
    return replace(
        leg, kind=kind, cause=cause, other_coldkey=other[0], other_hotkey=other[1], other_netuid=other[2]
    )


def _latest(
    legs: Sequence[StakeEventFact], event: Event, fits: Callable[[StakeEventFact], bool]
) -> int | None:
    """Position of the latest unnamed leg of the event's own extrinsic that fits."""
    for position in range(len(legs) - 1, -1, -1):
        if legs[position].extrinsic_index != event.extrinsic_index:
            return None
        if _unnamed(legs[position]) and fits(legs[position]):
            return position
    return None


def _name_move(legs: list[StakeEventFact], event: Event, spec_version: int) -> None:
    """Name the latest unnamed removal at the origin, and the addition at the destination if one followed it."""
    origin, destination = ends_of_move(event)
    given = origin[0] != destination[0]
    kind = "TRANSFER" if given else "RESTAKE"
    removed = _latest(legs, event, lambda leg: not leg.added and _at(leg) == origin)
    if removed is None:
        return
    added = _latest(legs, event, lambda leg: leg.added and _at(leg) == destination)
    if added is not None and added > removed:
        legs[removed] = _named(legs[removed], kind, destination)
        legs[added] = _named(legs[added], kind, origin)
    elif given and spec_version >= TAO_TRANSFERRED_FROM:
        # The TAO went to the other coldkey, not into stake.
        legs[removed] = _named(legs[removed], kind, destination, Cause.NOT_RESTAKED)
    else:
        legs[removed] = replace(legs[removed], cause=Cause.NOT_RESTAKED)


def _is_pair(removed: StakeEventFact, added: StakeEventFact) -> bool:
    """Say whether two legs are what `transfer_stake_within_subnet` deposits: two equal events in a row, without fee."""
    return (
        added.added
        and not removed.added
        and added.event_index == removed.event_index + 1
        and (added.netuid, added.tao_rao, added.alpha_rao)
        == (removed.netuid, removed.tao_rao, removed.alpha_rao)
        and added.fee_rao == removed.fee_rao == 0
        and _at(added) != _at(removed)
    )


def _name_pair(legs: list[StakeEventFact], removed: int, cause: str) -> None:
    origin, destination = legs[removed], legs[removed + 1]
    kind = "TRANSFER" if origin.coldkey != destination.coldkey else "RESTAKE"
    legs[removed] = _named(origin, kind, _at(destination), cause)
    legs[removed + 1] = _named(destination, kind, _at(origin), cause)


def _name_lease_payout(legs: list[StakeEventFact], event: Event) -> None:
    """The event follows the pair by which it paid; leases that paid in TAO only removed stake of their own.

    Its amount is what the lease meant to pay: until 396 the last pair takes the dust of the lease along.
    """
    (contributor,) = named(event, "contributor")
    if len(legs) < 2 or not _is_pair(legs[-2], legs[-1]):
        return
    if (legs[-1].coldkey, legs[-1].event_index) == (contributor, event.index - 1):
        _name_pair(legs, len(legs) - 2, Cause.LEASE)


def _name_pairs(legs: list[StakeEventFact]) -> None:
    for position in range(len(legs) - 1):
        removed, added = legs[position], legs[position + 1]
        if _unnamed(removed) and _unnamed(added) and _is_pair(removed, added):
            _name_pair(legs, position, "")


def _name_alpha_fee(legs: list[StakeEventFact], event: Event) -> None:
    """The fee was sold before the call was dispatched: it is the extrinsic's first leg."""
    who, alpha, tao = named(event, "who", "alpha_fee", "tao_amount")
    position = len(legs)
    while position and legs[position - 1].extrinsic_index == event.extrinsic_index:
        position -= 1
    if position == len(legs) or not alpha:
        return
    leg = legs[position]
    # Until 400 the event does not name the subnet.
    netuid = event.values.get("netuid", leg.netuid) if isinstance(event.values, dict) else leg.netuid
    if not leg.added and (leg.coldkey, leg.netuid, leg.tao_rao, leg.fee_rao) == (who, netuid, tao, 0):
        legs[position] = replace(leg, kind="UNSTAKE", cause=Cause.ALPHA_FEE)


def _name_order(legs: list[StakeEventFact], order: Execution) -> None:
    position = len(legs) - 1
    while position >= 0 and legs[position].extrinsic_index == order.extrinsic_index:
        leg = legs[position]
        if (
            _unnamed(leg)
            and (leg.coldkey, leg.netuid, leg.added) == (order.signer, order.netuid, order.bought)
            and leg.alpha_rao == order.alpha_rao
        ):
            legs[position] = replace(leg, cause=Cause.ORDER)
            return
        position -= 1


def _name_unstaked_into_root(legs: list[StakeEventFact], events: Sequence[Event], spec_version: int) -> None:
    """`unstake_all_alpha` removes stake from many subnets and adds all its TAO to root, in one dispatched call."""
    into_root = [
        position for position, leg in enumerate(legs) if leg.added and leg.netuid == ROOT and _unnamed(leg)
    ]
    closed = [event.index for event in events if ends_dispatch(event)] if into_root else []
    for position in into_root:
        leg = legs[position]
        begins = max((index for index in closed if index < leg.event_index), default=-1)
        # A second removal on a subnet is the chain clearing what dust was left; its TAO does not go to root.
        removals: dict[int, int] = {}
        for earlier in reversed(range(position)):
            other = legs[earlier]
            if other.extrinsic_index != leg.extrinsic_index or other.event_index < begins:
                break
            if other.added or not _unnamed(other) or _at(other)[:2] != _at(leg)[:2] or other.netuid == ROOT:
                break
            removals[other.netuid] = earlier
        left = sum(legs[earlier].tao_rao or 0 for earlier in removals.values()) - (leg.tao_rao or 0)
        if removals and 0 <= left <= (EXISTENTIAL_DEPOSIT_RAO if spec_version >= TAO_TRANSFERRED_FROM else 0):
            for earlier in removals.values():
                legs[earlier] = _named(legs[earlier], "RESTAKE", _at(leg))
            netuid = next(iter(removals)) if len(removals) == 1 else None
            legs[position] = replace(
                leg, kind="RESTAKE", other_coldkey=leg.coldkey, other_hotkey=leg.hotkey, other_netuid=netuid
            )


# --- conversions --------------------------------------------------------------------------------------


def conversions(
    legs: Sequence[StakeEventFact],
    owners: dict[str, str],
    events: Sequence[Event],
    spec_version: int,
    told: Sequence[StakeEventFact] = (),
) -> list[ConversionFact]:
    """Find where the owner of one of our hotkeys sold alpha: for TAO, or for stake on root.

    Moves between hotkeys or subnets and transfers are no conversions: their TAO is notional or passes through. Fees
    paid in alpha, recycled and burned alpha give the owner nothing. What cannot be told is in `unaccounted`.

    :param legs: stake events, and what `chain.stake.changes` found beside them.
    :param owners: owner coldkey by hotkey, ours only.
    :param told: what `stake_events` reads of the block, of all hotkeys, where it is more than `legs`.
    """
    orders = executions(events)
    found = []
    for leg in _owners_removals(legs, owners):
        into_root = _goes_into_root(leg)
        if leg.netuid == ROOT or not leg.alpha_rao or not (into_root or _sold(leg, spec_version)):
            continue
        tao = leg.tao_rao
        if leg.cause == Cause.ORDER:
            tao = _kept_of_order(leg, orders)
        elif into_root and spec_version < FEE_IN_INPUT_ASSET_FROM:
            tao = _reached_root(leg, told or legs)
        if tao is None:
            continue
        found.append(
            ConversionFact(
                event_index=leg.event_index,
                hotkey=leg.hotkey,
                owner=leg.coldkey,
                netuid=leg.netuid,
                alpha_rao=leg.alpha_rao,
                tao_rao=tao,
                fee_alpha_rao=(leg.fee_rao or 0) if leg.fee_asset == "ALPHA" else 0,
                into_root=into_root,
            )
        )
    return found


def _goes_into_root(leg: StakeEventFact) -> bool:
    return leg.kind == "RESTAKE" and leg.other_netuid == ROOT and leg.netuid != ROOT


def _reached_root(leg: StakeEventFact, told: Sequence[StakeEventFact]) -> int | None:
    """What a move into root staked there: until 283 both ends pay half of the fee, the second out of what comes.

    `unstake_all_alpha` stakes what it took from several subnets at once, and without a fee.
    """
    place = leg.extrinsic_index, leg.coldkey, leg.other_hotkey
    into = [one for one in told if _goes_into_root(one) and _reaching(one, one.other_hotkey) == place]
    came = [one for one in told if one.added and one.netuid == ROOT and _reaching(one, one.hotkey) == place]
    end = next((one for one in came if one.event_index > leg.event_index), None)
    if end is None:
        return None
    since = max((one.event_index for one in came if one.event_index < leg.event_index), default=-1)
    shared = [one for one in into if since < one.event_index < end.event_index]
    if len(shared) < 2:
        return end.alpha_rao
    return leg.tao_rao if sum(one.tao_rao or 0 for one in shared) == end.alpha_rao else None


def _reaching(leg: StakeEventFact, hotkey: str) -> tuple[int | None, str, str]:
    return leg.extrinsic_index, leg.coldkey, hotkey


def _owners_removals(legs: Sequence[StakeEventFact], owners: dict[str, str]) -> Iterator[StakeEventFact]:
    return (leg for leg in legs if not leg.added and owners.get(leg.hotkey) == leg.coldkey)


def _sold(leg: StakeEventFact, spec_version: int) -> bool:
    if leg.kind != "UNSTAKE":
        return False
    if leg.cause == Cause.NOT_RESTAKED:
        return spec_version >= TAO_TRANSFERRED_FROM
    return leg.cause in {"", Cause.ORDER, Cause.DISSOLVED}


def _kept_of_order(leg: StakeEventFact, orders: Sequence[Execution]) -> int | None:
    """TAO after the relayer's fee. The event of an order follows the stake event of its own swap."""
    for order in orders if not leg.derived else ():
        if (order.extrinsic_index, order.signer, order.netuid) != (
            leg.extrinsic_index,
            leg.coldkey,
            leg.netuid,
        ):
            continue
        if order.event_index >= leg.event_index and order.alpha_rao == leg.alpha_rao and not order.bought:
            return order.tao_rao
    return None


@dataclass(frozen=True)
class Unaccounted:
    """Alpha that left an owner's position, of which the chain does not say what the owner got. Nobody may guess it."""

    event_index: int
    hotkey: str
    netuid: int
    owner: str
    reason: str


def unaccounted(
    legs: Sequence[StakeEventFact],
    owners: dict[str, str],
    events: Sequence[Event],
    spec_version: int,
    told: Sequence[StakeEventFact] = (),
) -> list[Unaccounted]:
    """Name what `conversions` had to leave out because the chain does not tell enough. The reader opens a gap for it.

    :param legs: as for `conversions`.
    :param told: as for `conversions`.
    """
    orders = executions(events)
    fees = {event.extrinsic_index for event in events if event.is_a(SUBTENSOR, "TransactionFeePaidWithAlpha")}
    fees -= {leg.extrinsic_index for leg in legs if leg.cause == Cause.ALPHA_FEE}
    found = []
    for leg in _owners_removals(legs, owners):
        reason = _untold(leg, orders)
        if leg.extrinsic_index in fees and leg.kind == "UNSTAKE" and not leg.cause:
            reason = "part of what the extrinsic unstaked was its fee in alpha, and which part cannot be told"
        if (
            _goes_into_root(leg)
            and spec_version < FEE_IN_INPUT_ASSET_FROM
            and _reached_root(leg, told or legs) is None
        ):
            reason = "it went into root, and no event says how much of it came there"
        if reason:
            found.append(
                Unaccounted(
                    event_index=leg.event_index,
                    hotkey=leg.hotkey,
                    netuid=leg.netuid,
                    owner=leg.coldkey,
                    reason=f"{leg.alpha_rao} rao left {leg.coldkey} on {leg.hotkey} netuid {leg.netuid}: {reason}",
                )
            )
    return [*found, *_hidden_sales(legs, owners, orders)]


def _hidden_sales(
    legs: Sequence[StakeEventFact], owners: Mapping[str, str], orders: Sequence[Execution]
) -> list[Unaccounted]:
    """Orders of owners that sold from a hotkey which no call tells, where a purchase or a claim beside it hides the sale."""
    told = {leg.event_index for leg in legs if leg.cause == Cause.ORDER and not leg.derived}
    moved = {
        (leg.coldkey, leg.netuid): leg
        for leg in legs
        if leg.derived and owners.get(leg.hotkey) == leg.coldkey
    }
    named_already = {
        (leg.coldkey, leg.netuid)
        for leg in legs
        if leg.derived and leg.cause == Cause.ORDER and not leg.added
    }
    return [
        Unaccounted(
            event_index=order.event_index,
            hotkey=leg.hotkey,
            netuid=order.netuid,
            owner=order.signer,
            reason=f"{order.alpha_rao} rao of {order.signer} on netuid {order.netuid}: limit orders sold it beside "
            "what came, and which hotkey each one sold from cannot be told",
        )
        for order in orders
        if order.batch is not None and not order.bought and order.event_index not in told
        if (place := (order.signer, order.netuid)) not in named_already and (leg := moved.get(place))
    ]


def odd_moves(
    events: Sequence[Event], legs: Sequence[StakeEventFact], hotkeys: Collection[str], spec_version: int
) -> list[str]:
    """Doubts about moves of stake of which the removal and the addition say other TAO, or another subnet than the move.

    Before 283 each end paid a fee in TAO, a part of the amount that depends on dividends.

    :param legs: what `stake_events` reads of the block, of all hotkeys.
    """
    if spec_version < FEE_IN_INPUT_ASSET_FROM:
        return []
    found = []
    for event in events:
        if not event.is_a(SUBTENSOR, "StakeMoved", "StakeSwapped", "StakeTransferred"):
            continue
        origin, destination = ends_of_move(event)
        near = [
            leg
            for leg in legs
            if leg.extrinsic_index == event.extrinsic_index and leg.event_index < event.index
        ]
        removed = next((leg for leg in reversed(near) if not leg.added and _at(leg) == origin), None)
        if removed is None or not {origin[1], destination[1]} & set(hotkeys):
            continue
        came = [leg for leg in near if leg.added and leg.event_index > removed.event_index]
        added = next((leg for leg in came if _at(leg) == destination), None)
        elsewhere = [leg for leg in came if _at(leg)[:2] == destination[:2] and _same_tao(leg, removed)]
        if (added and not _same_tao(added, removed)) or (not added and elsewhere):
            found.append(
                f"{event.name} from {origin} to {destination}: {removed.tao_rao} rao of TAO left and "
                f"{[leg.tao_rao for leg in came]} came, to netuid {[leg.netuid for leg in came]}"
            )
    return found


def _same_tao(one: StakeEventFact, other: StakeEventFact) -> bool:
    """Say whether two legs name the same TAO, but for what an account must keep and what limits round."""
    return abs((one.tao_rao or 0) - (other.tao_rao or 0)) <= 100 * EXISTENTIAL_DEPOSIT_RAO


def _untold(leg: StakeEventFact, orders: Sequence[Execution]) -> str:
    if leg.cause == Cause.UNEXPLAINED:
        return "no event says why"
    if leg.cause == Cause.LIQUIDITY:
        return "it went into a liquidity position, which gives back TAO and alpha in other parts"
    if leg.cause == Cause.DISSOLVED and leg.tao_rao is None:
        return "its subnet was dissolved, and which payment was for it cannot be told"
    if leg.cause == Cause.ORDER and _kept_of_order(leg, orders) is None:
        return "limit orders sold it, and which hotkey each one sold from cannot be told"
    return ""
