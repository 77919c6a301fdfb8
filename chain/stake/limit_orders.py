"""Limit orders (runtime 423 and later): which were executed, alone or in a batch, and the stake the batched ones moved.

An order executed alone leaves normal stake events. A batch moves its signers' stake to and from the pallet's own
account without any; there the event names amounts and signer, and only the call's data the hotkey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chain.facts import StakeEventFact
from chain.runtimes.decoding import Event, Extrinsic, calls_within
from chain.runtimes.event_values import named, variant
from chain.stake.causes import Cause

PALLET = "LimitOrders"
BUY = "LimitBuy"


@dataclass(frozen=True)
class Execution:
    """One executed order. A buy takes TAO (`amount_in_rao`) and gives alpha; a sale gives TAO after the relayer's fee."""

    event_index: int
    extrinsic_index: int | None
    signer: str
    netuid: int
    order_type: str
    amount_in_rao: int
    amount_out_rao: int
    batch: int | None
    """Index of the summary event that closes its batch; None for an order executed alone."""

    @property
    def bought(self) -> bool:
        """Say whether alpha came to the signer; otherwise it left."""
        return self.order_type == BUY

    @property
    def alpha_rao(self) -> int:
        """What came to the signer's position, or all that left it."""
        return self.amount_out_rao if self.bought else self.amount_in_rao

    @property
    def tao_rao(self) -> int:
        """What the signer gave for it, or kept of it."""
        return self.amount_in_rao if self.bought else self.amount_out_rao


def executions(events: Iterable[Event]) -> list[Execution]:
    """Every executed order of a block, in order.

    A batch ends with a summary that says how many orders before it it executed.
    """
    found: list[Execution] = []
    for event in events:
        if event.pallet != PALLET:
            continue
        if event.name == "OrderExecuted":
            _, signer, netuid, order_type, amount_in, amount_out = named(
                event, "order_id", "signer", "netuid", "order_type", "amount_in", "amount_out"
            )
            found.append(
                Execution(
                    event_index=event.index,
                    extrinsic_index=event.extrinsic_index,
                    signer=signer,
                    netuid=netuid,
                    order_type=variant(order_type),
                    amount_in_rao=amount_in,
                    amount_out_rao=amount_out,
                    batch=None,
                )
            )
        elif event.name == "GroupExecutionSummary":
            values = named(event, "netuid", "net_side", "net_amount", "actual_out", "executed_count")
            count = int(values[-1])
            if count:
                found[-count:] = [_in_batch(order, event.index) for order in found[-count:]]
    return found


def _in_batch(order: Execution, batch: int) -> Execution:
    return Execution(**{**vars(order), "batch": batch})


def hotkeys_of_batched(events: Iterable[Event], extrinsics: Mapping[int, Extrinsic]) -> dict[int, str]:
    """Hotkey of each batched order by the index of its event, where the call's data say it for certain.

    A batch executes all its orders or none, buys before sales, each in the order of the call.
    """
    batches: dict[int, list[Execution]] = {}
    for order in executions(events):
        if order.batch is not None:
            batches.setdefault(order.batch, []).append(order)
    found: dict[int, str] = {}
    for orders in batches.values():
        extrinsic = extrinsics.get(-1 if orders[0].extrinsic_index is None else orders[0].extrinsic_index)
        wanted = [(order.signer, order.netuid, order.order_type, order.amount_in_rao) for order in orders]
        fitting = {
            tuple(hotkey for _, hotkey in written)
            for written in (_orders_written(extrinsic) if extrinsic else [])
            if [order for order, _ in written] == wanted
        }
        if len(fitting) == 1:
            for order, hotkey in zip(orders, next(iter(fitting)), strict=True):
                found[order.event_index] = hotkey
    return found


def _orders_written(extrinsic: Extrinsic) -> list[list[tuple[tuple[str, int, str, int], str]]]:
    """Per batch call within an extrinsic: (signer, netuid, type, amount) and hotkey of its orders, buys first."""
    calls = []
    for call in calls_within(extrinsic.call):
        if (call["call_module"], call["call_function"]) != (PALLET, "execute_batched_orders"):
            continue
        orders = []
        for signed in next(arg["value"] for arg in call["call_args"] if arg["name"] == "orders"):
            order: dict[str, Any] = next(iter(signed["order"].values()))
            amount = order["amount"] if signed.get("partial_fill") is None else signed["partial_fill"]
            key = (order["signer"], order["netuid"], variant(order["order_type"]), amount)
            orders.append((key, order["hotkey"]))
        calls.append(sorted(orders, key=lambda written: written[0][2] != BUY))
    return calls


def order_legs(events: Sequence[Event], extrinsics: Mapping[int, Extrinsic]) -> list[StakeEventFact]:
    """The stake that batched orders moved, of all hotkeys, exact to the rao; those whose hotkey is not known are left out.

    :param extrinsics: the decoded extrinsics that hold batches, by index.
    """
    hotkeys = hotkeys_of_batched(events, extrinsics)
    return [
        order_leg(order, hotkeys[order.event_index])
        for order in executions(events)
        if order.event_index in hotkeys
    ]


def order_leg(order: Execution, hotkey: str) -> StakeEventFact:
    """What a batched order did to its signer's position on a hotkey."""
    return StakeEventFact(
        event_index=order.event_index,
        extrinsic_index=order.extrinsic_index,
        kind="STAKE" if order.bought else "UNSTAKE",
        added=order.bought,
        coldkey=order.signer,
        hotkey=hotkey,
        netuid=order.netuid,
        tao_rao=order.tao_rao,
        alpha_rao=order.alpha_rao,
        fee_rao=None,
        fee_asset="TAO" if order.bought else "ALPHA",
        cause=Cause.ORDER,
    )
