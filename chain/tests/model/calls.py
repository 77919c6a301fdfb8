"""Calls as users send them: the call tree that an extrinsic holds, beside what it does; wrappers nest them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chain.keys import SUBTENSOR
from chain.tests.model import claims, codec, stake, swaps
from chain.tests.model.world import ROOT, Refused, World

Effect = Callable[[World, str], None]
ERROR = {"Module": {"index": 7, "error": "0x0f000000"}}


@dataclass(frozen=True)
class Call:
    """A call: its tree, and its effect for an origin (the account it runs as)."""

    tree: dict[str, Any]
    effect: Effect


def call(module: str, function: str, effect: Effect, **arguments: Any) -> Call:
    """Make a call with the shape that the decoder gives."""
    args = [{"name": name, "type": "", "value": value} for name, value in arguments.items()]
    tree = {"call_index": "0x0000", "call_function": function, "call_module": module, "call_args": args}
    digest = hashlib.blake2b(codec.encode(tree), digest_size=32).hexdigest()
    return Call({**tree, "call_hash": "0x" + digest}, effect)


def _subtensor(function: str, effect: Effect, **arguments: Any) -> Call:
    return call(SUBTENSOR, function, effect, **arguments)


# --- stake --------------------------------------------------------------------------------------------


def add_stake(hotkey: str, netuid: int, tao: int, fill: int | None = None) -> Call:
    """Stake TAO; with `fill` a limit order of which so much fills."""

    def effect(world: World, origin: str) -> None:
        stake.add_stake(world, origin, hotkey, netuid, tao, fill)

    if fill is None:
        return _subtensor("add_stake", effect, hotkey=hotkey, netuid=netuid, amount_staked=tao)
    return _subtensor(
        "add_stake_limit",
        effect,
        hotkey=hotkey,
        netuid=netuid,
        amount_staked=tao,
        limit_price=1,
        allow_partial=True,
    )


def remove_stake(hotkey: str, netuid: int, alpha: int, fill: int | None = None) -> Call:
    """Unstake alpha; with `fill` a limit order of which so much is sold, and the rest stays."""

    def effect(world: World, origin: str) -> None:
        stake.remove_stake(world, origin, hotkey, netuid, alpha, fill)

    if fill is None:
        return _subtensor("remove_stake", effect, hotkey=hotkey, netuid=netuid, amount_unstaked=alpha)
    return _subtensor(
        "remove_stake_limit",
        effect,
        hotkey=hotkey,
        netuid=netuid,
        amount_unstaked=alpha,
        limit_price=1,
        allow_partial=True,
    )


def remove_stake_full(hotkey: str, netuid: int) -> Call:
    """Unstake everything of one position."""

    def effect(world: World, origin: str) -> None:
        stake.remove_stake(world, origin, hotkey, netuid, world.pools.stake(hotkey, origin, netuid))

    return _subtensor("remove_stake_full_limit", effect, hotkey=hotkey, netuid=netuid, limit_price=None)


def unstake_all(hotkey: str) -> Call:
    """Unstake everything on a hotkey."""
    return _subtensor(
        "unstake_all",
        lambda world, origin: stake.unstake_all(world, origin, hotkey, only_alpha=False),
        hotkey=hotkey,
    )


def unstake_all_alpha(hotkey: str) -> Call:
    """Unstake all alpha on a hotkey and stake the TAO on root."""
    return _subtensor(
        "unstake_all_alpha",
        lambda world, origin: stake.unstake_all(world, origin, hotkey, only_alpha=True),
        hotkey=hotkey,
    )


def move_stake(from_hotkey: str, to_hotkey: str, from_netuid: int, to_netuid: int, alpha: int) -> Call:
    """Move stake to another hotkey."""

    def effect(world: World, origin: str) -> None:
        stake.move_stake(world, origin, from_hotkey, to_hotkey, from_netuid, to_netuid, alpha)

    return _subtensor(
        "move_stake",
        effect,
        origin_hotkey=from_hotkey,
        destination_hotkey=to_hotkey,
        origin_netuid=from_netuid,
        destination_netuid=to_netuid,
        alpha_amount=alpha,
    )


def transfer_stake(to_coldkey: str, hotkey: str, from_netuid: int, to_netuid: int, alpha: int) -> Call:
    """Give stake to another coldkey."""

    def effect(world: World, origin: str) -> None:
        stake.transfer_stake(world, origin, to_coldkey, hotkey, from_netuid, to_netuid, alpha)

    return _subtensor(
        "transfer_stake",
        effect,
        destination_coldkey=to_coldkey,
        hotkey=hotkey,
        origin_netuid=from_netuid,
        destination_netuid=to_netuid,
        alpha_amount=alpha,
    )


def swap_stake(hotkey: str, from_netuid: int, to_netuid: int, alpha: int, fill: int | None = None) -> Call:
    """Swap stake to another subnet."""

    def effect(world: World, origin: str) -> None:
        stake.swap_stake(world, origin, hotkey, from_netuid, to_netuid, alpha, fill)

    return _subtensor(
        "swap_stake" if fill is None else "swap_stake_limit",
        effect,
        hotkey=hotkey,
        origin_netuid=from_netuid,
        destination_netuid=to_netuid,
        alpha_amount=alpha,
    )


def recycle(hotkey: str, netuid: int, alpha: int) -> Call:
    """Recycle alpha of a position."""
    return _destroy("recycle_alpha", hotkey, netuid, alpha)


def burn(hotkey: str, netuid: int, alpha: int) -> Call:
    """Burn alpha of a position."""
    return _destroy("burn_alpha", hotkey, netuid, alpha)


def _destroy(function: str, hotkey: str, netuid: int, alpha: int) -> Call:
    def effect(world: World, origin: str) -> None:
        stake.destroy(world, origin, hotkey, netuid, alpha, burned=function == "burn_alpha")

    return _subtensor(function, effect, hotkey=hotkey, amount=alpha, netuid=netuid)


def add_stake_burn(hotkey: str, netuid: int, tao: int) -> Call:
    """Buy alpha and burn it."""

    def effect(world: World, origin: str) -> None:
        stake.add_stake_burn(world, origin, hotkey, netuid, tao)

    return _subtensor("add_stake_burn", effect, hotkey=hotkey, netuid=netuid, amount=tao, limit=None)


# --- root claims, take --------------------------------------------------------------------------------


def claim_root(*netuids: int) -> Call:
    """Claim root dividends of the named subnets."""
    return _subtensor(
        "claim_root",
        lambda world, origin: claims.claim(world, origin, frozenset(netuids)),
        subnets=sorted(netuids),
    )


def set_claim_type(kind: str, netuids: Sequence[int] = ()) -> Call:
    """Choose Swap, Keep or KeepSubnets."""
    shown: Any = {"KeepSubnets": {"subnets": sorted(netuids)}} if kind == "KeepSubnets" else kind

    def effect(world: World, origin: str) -> None:
        if kind == "KeepSubnets" and not world.rules.keep_subnets:
            raise Refused("InvalidRootClaimType")
        world.claim_type.put(origin, (kind, frozenset(netuids)))
        world.deposit("RootClaimTypeSet", {"coldkey": origin, "root_claim_type": shown})

    return _subtensor("set_root_claim_type", effect, new_root_claim_type=shown)


def set_take(hotkey: str, take_u16: int) -> Call:
    """Change the take of a hotkey."""

    def effect(world: World, origin: str) -> None:
        if world.owner_of(hotkey) != origin:
            raise Refused("NonAssociatedColdKey")
        up = take_u16 > world.delegates.get(hotkey)
        world.delegates.put(hotkey, take_u16)
        world.deposit("TakeIncreased" if up else "TakeDecreased", (origin, hotkey, take_u16))

    return _subtensor("increase_take", effect, hotkey=hotkey, take=take_u16)


# --- keys and subnets ---------------------------------------------------------------------------------


def swap_hotkey(old: str, new: str, netuid: int | None = None, *, keep_stake: bool | None = None) -> Call:
    """Swap a hotkey everywhere or on one subnet; `keep_stake` given makes it swap_hotkey_v2."""

    def effect(world: World, origin: str) -> None:
        swaps.swap_hotkey(world, origin, old, new, netuid, bool(keep_stake))

    if keep_stake is None:
        return _subtensor("swap_hotkey", effect, hotkey=old, new_hotkey=new, netuid=netuid)
    return _subtensor(
        "swap_hotkey_v2", effect, hotkey=old, new_hotkey=new, netuid=netuid, keep_stake=keep_stake
    )


def swap_coldkey(old: str, new: str) -> Call:
    """Swap a coldkey, as root does."""
    return _subtensor(
        "swap_coldkey",
        lambda world, _: swaps.swap_coldkey(world, old, new),
        old_coldkey=old,
        new_coldkey=new,
        swap_cost=0,
    )


def dissolve(netuid: int) -> Call:
    """Dissolve a subnet."""

    def effect(world: World, origin: str) -> None:
        swaps.dissolve(world, netuid)

    return _subtensor("root_dissolve_network", effect, netuid=netuid)


def register_network(netuid: int, hotkey: str, tao: int, alpha: int) -> Call:
    """Register a subnet under a number."""

    def effect(world: World, origin: str) -> None:
        swaps.register(world, netuid, origin, hotkey, tao, alpha)

    return _subtensor("register_network", effect, hotkey=hotkey)


def register_neuron(netuid: int, hotkey: str) -> Call:
    """Register a hotkey on a subnet."""

    def effect(world: World, origin: str) -> None:
        if world.owner_of(hotkey) != origin:
            raise Refused("NonAssociatedColdKey")
        swaps.register_neuron(world, netuid, hotkey)

    return _subtensor("burned_register", effect, netuid=netuid, hotkey=hotkey)


def start_call(netuid: int) -> Call:
    """Start the emission of a subnet."""
    return _subtensor("start_call", lambda world, _: swaps.start(world, netuid), netuid=netuid)


def set_tempo(netuid: int, tempo: int) -> Call:
    """Change how often the epoch of a subnet runs (runtime 423); its cycle begins anew."""

    def effect(world: World, origin: str) -> None:
        if not world.rules.dynamic_tempo:
            raise Refused("only root sets tempos on this runtime")
        world.tempo.put(netuid, tempo)
        world.last_epoch_block.put(netuid, world.number)
        world.deposit("TempoSet", (netuid, tempo))

    return _subtensor("set_tempo", effect, netuid=netuid, tempo=tempo)


def trigger_epoch(netuid: int, window: int) -> Call:
    """Let the epoch of a subnet run so many blocks later (runtime 423)."""

    def effect(world: World, origin: str) -> None:
        if not world.rules.dynamic_tempo or world.pending_epoch_at.get(netuid):
            raise Refused("EpochTriggerAlreadyPending")
        fires_at = world.number + window
        world.pending_epoch_at.put(netuid, fires_at)
        world.deposit("EpochTriggered", {"netuid": netuid, "by": origin, "fires_at": fires_at})

    return _subtensor("trigger_epoch", effect, netuid=netuid)


def set_autostake(netuid: int, hotkey: str) -> Call:
    """Send the incentives of a coldkey's miners to a hotkey (runtime 315; by subnet from 326)."""

    def effect(world: World, origin: str) -> None:
        if world.rules.autostake_by_netuid:
            world.autostake.put(origin, netuid, hotkey)
            values = {"coldkey": origin, "netuid": netuid, "hotkey": hotkey}
            world.deposit("AutoStakeDestinationSet", values)
        elif world.rules.incentive_events:
            world.autostake_one.put(origin, hotkey)
        else:
            raise Refused("there is no auto-stake on this runtime")

    return _subtensor("set_coldkey_auto_stake_hotkey", effect, netuid=netuid, hotkey=hotkey)


# --- others -------------------------------------------------------------------------------------------


def remark(text: str | bytes) -> Call:
    """Leave a remark with its event. Text that is not UTF-8 stands in the tree as hex, as the decoder gives it."""
    data = text.encode() if isinstance(text, str) else text

    def effect(world: World, origin: str) -> None:
        digest = "0x" + hashlib.blake2b(data, digest_size=32).hexdigest()
        world.deposit("Remarked", {"sender": origin, "hash": digest}, "System")

    try:
        shown = data.decode()
    except UnicodeDecodeError:
        shown = "0x" + data.hex()
    return call("System", "remark_with_event", effect, remark=shown)


def transfer(to: str, tao: int) -> Call:
    """Send free TAO."""

    def effect(world: World, origin: str) -> None:
        world.deposit("Transfer", {"from": origin, "to": to, "amount": tao}, "Balances")

    return call("Balances", "transfer_keep_alive", effect, dest=to, value=tao)


def failing() -> Call:
    """A call that always fails."""

    def effect(world: World, origin: str) -> None:
        raise Refused("CallDisabled")

    return _subtensor("burned_register", effect, netuid=ROOT)


# --- wrappers -----------------------------------------------------------------------------------------


def attempt(world: World, inner: Call, origin: str) -> bool:
    """Run a call; if it fails, undo its writes and events and say so."""
    mark = len(world.events)
    try:
        with world.saved():
            inner.effect(world, origin)
    except Refused:
        del world.events[mark:]
        return False
    return True


def _batched(function: str, effect: Effect, calls: Sequence[Call]) -> Call:
    return call("Utility", function, effect, calls=[inner.tree for inner in calls])


def batch(*calls: Call) -> Call:
    """Run calls until one fails; what ran before stays."""

    def effect(world: World, origin: str) -> None:
        for index, inner in enumerate(calls):
            if not attempt(world, inner, origin):
                world.deposit("BatchInterrupted", {"index": index, "error": ERROR}, "Utility")
                return
            world.deposit("ItemCompleted", None, "Utility")
        world.deposit("BatchCompleted", None, "Utility")

    return _batched("batch", effect, calls)


def batch_all(*calls: Call) -> Call:
    """Run all calls or none."""

    def effect(world: World, origin: str) -> None:
        for inner in calls:
            inner.effect(world, origin)
            world.deposit("ItemCompleted", None, "Utility")
        world.deposit("BatchCompleted", None, "Utility")

    return _batched("batch_all", effect, calls)


def force_batch(*calls: Call) -> Call:
    """Run all calls, whichever fail."""

    def effect(world: World, origin: str) -> None:
        failed = False
        for inner in calls:
            if attempt(world, inner, origin):
                world.deposit("ItemCompleted", None, "Utility")
            else:
                failed = True
                world.deposit("ItemFailed", {"error": ERROR}, "Utility")
        world.deposit("BatchCompletedWithErrors" if failed else "BatchCompleted", None, "Utility")

    return _batched("force_batch", effect, calls)


def _result(succeeded: bool) -> dict[str, Any]:
    return {"Ok": ()} if succeeded else {"Err": ERROR}


def proxy(real: str, inner: Call) -> Call:
    """Run a call as another account; the extrinsic succeeds even if the call fails."""

    def effect(world: World, origin: str) -> None:
        world.deposit("ProxyExecuted", {"result": _result(attempt(world, inner, real))}, "Proxy")

    return call("Proxy", "proxy", effect, real=real, force_proxy_type="Any", call=inner.tree)


def multisig(account: str, others: Sequence[str], inner: Call) -> Call:
    """The last approval of a multisig, which runs the call as its account."""

    def effect(world: World, origin: str) -> None:
        done = attempt(world, inner, account)
        values = {
            "approving": origin,
            "timepoint": {"height": max(world.number - 1, 1), "index": 1},
            "multisig": account,
            "call_hash": inner.tree["call_hash"],
            "result": _result(done),
        }
        world.deposit("MultisigExecuted", values, "Multisig")

    return call(
        "Multisig",
        "as_multi",
        effect,
        threshold=2,
        other_signatories=list(others),
        maybe_timepoint=None,
        call=inner.tree,
        max_weight={"ref_time": 10**12, "proof_size": 10**6},
    )


def sudo(real: str, inner: Call) -> Call:
    """Root runs a call as an account."""

    def effect(world: World, origin: str) -> None:
        world.deposit("Sudid", {"sudo_result": _result(attempt(world, inner, real))}, "Sudo")

    return call("Sudo", "sudo_as", effect, who=real, call=inner.tree)


def evm(mapped: str, inner: Call) -> Call:
    """An Ethereum transaction that reaches stake through a precompile: unsigned, no call tree below it."""

    def effect(world: World, origin: str) -> None:
        inner.effect(world, mapped)
        address = "0x" + "11" * 20
        values = {
            "from": address,
            "to": "0x0000000000000000000000000000000000000805",
            "transaction_hash": "0x" + "22" * 32,
            "exit_reason": {"Succeed": "Stopped"},
            "extra_data": "",
        }
        world.deposit("Executed", values, "Ethereum")

    return call("Ethereum", "transact", effect, transaction={"EIP1559": {"nonce": 0}})
