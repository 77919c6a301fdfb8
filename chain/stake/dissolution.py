"""What a dissolved subnet paid its stakers: free TAO, without a stake event. Pure.

The pot is split over all positions by value and each is paid on its own. Payments name a coldkey and never a hotkey;
what cannot be told for certain is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chain.addresses import encode_address
from chain.facts import Position
from chain.keys import SUBTENSOR
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named
from chain.stake.events import TAO_TRANSFERRED_FROM

# TAO for an alpha, more than any pot held. What is paid at more is for another position, and so little alpha got nothing.
_RATE_MAX = 100
# Before, the end of a subnet paid nobody and left the shares as they were.
PAID_FROM = 320


def subnet_account(netuid: int, ss58_prefix: int = 42) -> str:
    """The account that holds a subnet's TAO from runtime 411: sub-account `netuid` of the pallet `subtensr`."""
    return encode_address((b"modlsubtensr" + netuid.to_bytes(2, "little")).ljust(32, b"\0"), ss58_prefix)


def payouts(events: Sequence[Event], ended: Mapping[Position, int], spec_version: int) -> dict[Position, int]:
    """TAO in rao paid for each position that ended with its subnet, where it can be told.

    A coldkey's larger positions got its larger payments. That tells them apart only where it got as many payments as
    it had positions here: it may have had others, on hotkeys we do not follow. All are paid at one rate, so a payment at
    another than most alpha of ours was paid at is for something else.

    :param ended: alpha in rao that each position was worth before.
    """
    found: dict[Position, int] = {}
    for event in events:
        if spec_version < PAID_FROM or not event.is_a(SUBTENSOR, "NetworkRemoved"):
            continue
        netuid = named(event, "netuid")[0]
        positions: dict[str, list[Position]] = {}
        for position in sorted(ended, key=lambda position: ended[position], reverse=True):
            if position[1] == netuid:
                positions.setdefault(position[2], []).append(position)
        paid: dict[Position, int] = {}
        for coldkey, amounts in _paid(events, event, netuid, spec_version).items():
            if len(amounts) == len(positions.get(coldkey, [])):
                paid.update(zip(positions[coldkey], sorted(amounts, reverse=True), strict=True))
        found.update(_at_one_rate(paid, ended))
    return found


def _at_one_rate(paid: Mapping[Position, int], alpha_rao: Mapping[Position, int]) -> dict[Position, int]:
    """Payments at the rate that the largest position was paid at, but for a rao and what a floored worth hides."""
    largest = max(paid, key=lambda position: alpha_rao[position], default=None)
    if largest is None or paid[largest] > alpha_rao[largest] * _RATE_MAX:
        return {}
    tao, alpha = paid[largest], alpha_rao[largest]
    return {
        position: rao
        for position, rao in paid.items()
        if abs(rao * alpha - alpha_rao[position] * tao) <= 2 * (alpha + tao)
    }


def _paid(events: Sequence[Event], removed: Event, netuid: int, spec_version: int) -> dict[str, list[int]]:
    """Payments by coldkey that stand before the end of a subnet, in its extrinsic or phase, after other stake events."""
    paid: dict[str, list[int]] = {}
    for event in reversed([event for event in events if event.index < removed.index]):
        if event.extrinsic_index != removed.extrinsic_index:
            break
        if event.is_a(SUBTENSOR, "StakeAdded", "StakeRemoved", "NetworkRemoved"):
            break
        if spec_version >= TAO_TRANSFERRED_FROM and event.is_a("Balances", "Transfer"):
            payer, payee, amount = named(event, "from", "to", "amount")
            if payer == subnet_account(netuid):
                paid.setdefault(payee, []).append(amount)
        elif spec_version < TAO_TRANSFERRED_FROM and event.is_a("Balances", "Deposit"):
            payee, amount = named(event, "who", "amount")
            paid.setdefault(payee, []).append(amount)
    return paid
