"""Limit orders (runtime 423): executed one by one with stake events, or netted in a batch without any."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from chain.tests.model import calls, codec, stake
from chain.tests.model.calls import Call
from chain.tests.model.world import Refused, World, address_of

PALLET = "LimitOrders"
PALLET_ACCOUNT = address_of(0, "limit orders account")
PALLET_HOTKEY = address_of(0, "limit orders hotkey")
BILLION = 10**9


@dataclass(frozen=True)
class Order:
    """A signed order: TAO in for a buy, alpha in for a sell; the relayer's fee in parts of 1e9 of the TAO side."""

    signer: str
    hotkey: str
    netuid: int
    buys: bool
    amount: int
    fee_ppb: int = 0
    fee_recipient: str = PALLET_ACCOUNT

    @property
    def kind(self) -> str:
        """As the event names it."""
        return "LimitBuy" if self.buys else "TakeProfit"

    @property
    def tree(self) -> dict[str, Any]:
        """As it stands in the call."""
        order = {
            "signer": self.signer,
            "hotkey": self.hotkey,
            "netuid": self.netuid,
            "order_type": self.kind,
            "amount": self.amount,
            "limit_price": 1,
            "expiry": 1 << 60,
            "fee_rate": self.fee_ppb,
            "fee_recipient": self.fee_recipient,
            "relayer": None,
            "max_slippage": None,
            "chain_id": 945,
            "partial_fills_enabled": False,
        }
        return {"order": {"V1": order}, "signature": {"Sr25519": "0x" + "00" * 64}, "partial_fill": None}

    @property
    def id(self) -> str:
        """Hash of the order."""
        return "0x" + hashlib.blake2b(codec.encode(self.tree), digest_size=32).hexdigest()


def _executed(world: World, order: Order, amount_in: int, amount_out: int) -> None:
    values = {
        "order_id": order.id,
        "signer": order.signer,
        "netuid": order.netuid,
        "order_type": order.kind,
        "amount_in": amount_in,
        "amount_out": amount_out,
    }
    world.deposit("OrderExecuted", values, PALLET)


def _pay(world: World, sender: str, to: str, tao: int) -> None:
    if tao:
        world.deposit("Transfer", {"from": sender, "to": to, "amount": tao}, "Balances")


def execute(*orders: Order) -> Call:
    """A relayer executes orders one by one; those that fail are skipped."""

    def effect(world: World, origin: str) -> None:
        if not world.rules.balancer:
            raise Refused("there are no limit orders on this runtime")
        for order in orders:
            if not calls.attempt(world, _one(order), origin):
                world.deposit("OrderSkipped", {"order_id": order.id, "reason": calls.ERROR}, PALLET)

    return calls.call(
        PALLET, "execute_orders", effect, orders=[order.tree for order in orders], should_fail=False
    )


def _one(order: Order) -> Call:
    return calls.call(PALLET, "order", lambda world, _: _execute_one(world, order))


def _execute_one(world: World, order: Order) -> None:
    if order.buys:
        fee = order.amount * order.fee_ppb // BILLION
        alpha = stake.add_stake(world, order.signer, order.hotkey, order.netuid, order.amount - fee)
        _pay(world, order.signer, order.fee_recipient, fee)
        _executed(world, order, order.amount - fee, alpha)
    else:
        if world.pools.stake(order.hotkey, order.signer, order.netuid) < order.amount:
            raise Refused("NotEnoughStakeToWithdraw")
        tao = stake.remove_stake(world, order.signer, order.hotkey, order.netuid, order.amount)
        fee = tao * order.fee_ppb // BILLION
        if world.owner_of(order.hotkey) == order.signer:
            world.sales[-1] = replace(world.sales[-1], tao_rao=tao - fee)
        _pay(world, order.signer, order.fee_recipient, fee)
        _executed(world, order, order.amount, tao - fee)


def execute_batched(netuid: int, *orders: Order) -> Call:
    """A relayer nets orders of one subnet against each other; only the rest goes through the pool."""

    def effect(world: World, origin: str) -> None:
        if not world.rules.balancer:
            raise Refused("there are no limit orders on this runtime")
        _execute_batch(world, netuid, [o for o in orders if o.buys], [o for o in orders if not o.buys])

    return calls.call(
        PALLET, "execute_batched_orders", effect, netuid=netuid, orders=[order.tree for order in orders]
    )


def _move(
    world: World, origin: tuple[str, str], destination: tuple[str, str], netuid: int, alpha: int
) -> None:
    """Stake from (coldkey, hotkey) to (coldkey, hotkey), without any event."""
    (from_cold, from_hot), (to_cold, to_hot) = origin, destination
    if not alpha or world.pools.stake(from_hot, from_cold, netuid) < alpha:
        raise Refused("NotEnoughStakeToWithdraw")
    world.decrease(from_hot, from_cold, netuid, alpha)
    world.increase(to_hot, to_cold, netuid, alpha)


def _execute_batch(world: World, netuid: int, buys: Sequence[Order], sells: Sequence[Order]) -> None:
    tao_reserve, alpha_reserve = world.subnet_tao.get(netuid), world.alpha_in.get(netuid)
    nets = [order.amount - order.amount * order.fee_ppb // BILLION for order in buys]
    bought, sold = sum(nets), sum(order.amount for order in sells)
    sold_in_tao = sold * tao_reserve // alpha_reserve
    pallet = (PALLET_ACCOUNT, PALLET_HOTKEY)
    for order in buys:
        _pay(world, order.signer, PALLET_ACCOUNT, order.amount)
    for order in sells:
        _move(world, (order.signer, order.hotkey), pallet, netuid, order.amount)
    buy_side = bought >= sold_in_tao
    out = 0
    if buy_side:
        if rest := bought - sold_in_tao:
            out = stake.stake_into(world, PALLET_HOTKEY, PALLET_ACCOUNT, netuid, rest)
        alpha_for_buyers, tao_for_sellers = out + sold, sold_in_tao
    else:
        alpha_for_buyers = bought * alpha_reserve // tao_reserve
        rest = sold - alpha_for_buyers
        out = stake.unstake_from(world, PALLET_HOTKEY, PALLET_ACCOUNT, netuid, rest)
        tao_for_sellers = out + bought
    for order, net in zip(buys, nets, strict=True):
        # The pallet's own position lost a rao to floors; the chain's batch would fail there, so keep within it.
        share = min(
            alpha_for_buyers * net // bought, world.pools.stake(PALLET_HOTKEY, PALLET_ACCOUNT, netuid)
        )
        _move(world, pallet, (order.signer, order.hotkey), netuid, share)
        _executed(world, order, order.amount, share)
    for order in sells:
        share = tao_for_sellers * order.amount // sold
        fee = share * order.fee_ppb // BILLION
        _pay(world, PALLET_ACCOUNT, order.signer, share - fee)
        world.note_sale(order.hotkey, order.signer, netuid, order.amount, share - fee)
        _executed(world, order, order.amount, share - fee)
    summary = {
        "netuid": netuid,
        "net_side": "Buy" if buy_side else "Sell",
        "net_amount": rest,
        "actual_out": out,
        "executed_count": len(buys) + len(sells),
    }
    world.deposit("GroupExecutionSummary", summary, PALLET)
