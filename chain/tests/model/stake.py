"""Stake calls as effects on the world: add, remove, move, transfer, swap, recycle, burn, fees paid in alpha.

Each function is what one dispatchable does after its checks, with the events of its era; `Refused` undoes it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from chain.addresses import decode_address, encode_address
from chain.tests.model import claims
from chain.tests.model.world import FLAT_FEE, ROOT, Refused, World, address_of

AUTHOR = address_of(0, "block author")


def stake_into(
    world: World,
    hotkey: str,
    coldkey: str,
    netuid: int,
    tao: int,
    *,
    drop_fee: bool = False,
    fill: int | None = None,
    flat_fee: int = FLAT_FEE,
) -> int:
    """Swap TAO and stake the alpha; gives the alpha."""
    if not world.rules.input_fee:
        return _stake_into_with_tao_fee(
            world, hotkey, coldkey, netuid, tao if fill is None else min(tao, fill), flat_fee
        )
    if netuid != ROOT and not world.networks.has(netuid):
        raise Refused("SubnetNotExists")
    rules = world.rules
    if rules.tao_transfers:
        transfer(world, coldkey, subnet_account(netuid), tao)
    swapped = world.buy(netuid, tao, drop_fee=drop_fee, fill=fill)
    if not swapped.out:
        raise Refused("AmountTooLow")
    world.increase(hotkey, coldkey, netuid, swapped.out)
    if rules.tao_transfers:
        transfer(world, subnet_account(netuid), AUTHOR, swapped.fee)
    if netuid == ROOT:
        if rules.root_claims:
            claims.adjust_for_added(world, hotkey, coldkey, swapped.out)
        note_root_coldkey(world, coldkey)
    world.deposit("StakeAdded", (coldkey, hotkey, tao, swapped.out, netuid, swapped.fee))
    return swapped.out


def _stake_into_with_tao_fee(
    world: World, hotkey: str, coldkey: str, netuid: int, tao: int, flat_fee: int
) -> int:
    staked = max(tao - flat_fee, 0)
    fee = tao - staked
    alpha = world.buy(netuid, staked).out
    actual = 0
    if staked and alpha:
        actual = world.increase(hotkey, coldkey, netuid, alpha)
        world.note_staking_hotkey(coldkey, hotkey)
    world.subnet_tao.put(netuid, world.subnet_tao.get(netuid) + fee)
    shown = alpha if world.rules.first_share_pool else actual
    tail = (fee,) if world.rules.fee_in_events else ()
    world.deposit("StakeAdded", (coldkey, hotkey, staked, shown, netuid, *tail))
    return shown


def unstake_from(
    world: World,
    hotkey: str,
    coldkey: str,
    netuid: int,
    alpha: int,
    *,
    drop_fee: bool = False,
    fill: int | None = None,
    flat_fee: int = FLAT_FEE,
    beneficiary: str | None = None,
    is_sale: bool = True,
) -> int:
    """Take alpha out of a position and swap it; gives the TAO. `fill`: so much is sold before the limit price."""
    rules = world.rules
    # The call swaps on trial what the limit allows, and takes out no more.
    alpha = alpha if fill is None else min(alpha, fill)
    if not rules.input_fee:
        return _unstake_with_tao_fee(world, hotkey, coldkey, netuid, alpha, flat_fee, is_sale=is_sale)
    actual = world.decrease(hotkey, coldkey, netuid, alpha)
    if rules.safe_float:
        actual = alpha
    swapped = world.sell(netuid, actual, drop_fee=drop_fee)
    if rules.tao_transfers:
        transfer(world, subnet_account(netuid), beneficiary or coldkey, swapped.out)
    if rules.fee_to_author and swapped.fee:
        to_author = world.sell(netuid, swapped.fee, drop_fee=True).out
        if rules.tao_transfers:
            transfer(world, subnet_account(netuid), AUTHOR, to_author)
    if netuid == ROOT and rules.root_claims:
        claims.adjust_for_removed(world, hotkey, coldkey, alpha)
        if rules.tao_transfers:
            forget_root_coldkey(world, coldkey)
    if is_sale:
        world.note_sale(hotkey, coldkey, netuid, swapped.paid_in + swapped.fee, swapped.out)
    shown = swapped.paid_in if rules.removed_alpha_is_net else actual
    world.deposit("StakeRemoved", (coldkey, hotkey, swapped.out, shown, netuid, swapped.fee))
    return swapped.out


def _unstake_with_tao_fee(
    world: World, hotkey: str, coldkey: str, netuid: int, alpha: int, flat_fee: int, *, is_sale: bool
) -> int:
    if world.rules.first_share_pool:
        tao = world.sell(netuid, alpha).out
        world.decrease(hotkey, coldkey, netuid, alpha)
        actual = alpha
    else:
        actual = world.decrease(hotkey, coldkey, netuid, alpha)
        tao = world.sell(netuid, actual).out
    unstaked = max(tao - flat_fee, 0)
    if is_sale:
        world.note_sale(hotkey, coldkey, netuid, actual, unstaked)
    world.subnet_tao.put(netuid, world.subnet_tao.get(netuid) + tao - unstaked)
    tail = (tao - unstaked,) if world.rules.fee_in_events else ()
    world.deposit("StakeRemoved", (coldkey, hotkey, unstaked, actual, netuid, *tail))
    return unstaked


@cache
def account_order(address: str) -> bytes:
    """How the runtime orders accounts in a BTreeMap."""
    return decode_address(address)


@cache
def subnet_account(netuid: int) -> str:
    """The account that holds a subnet's TAO."""
    return encode_address((b"modlsubtensr" + netuid.to_bytes(2, "little")).ljust(32, b"\0"))


def transfer(world: World, sender: str, to: str, tao: int) -> None:
    """TAO that changes accounts; from runtime 411 stake is real TAO on the account of its subnet."""
    if tao:
        world.deposit("Transfer", {"from": sender, "to": to, "amount": tao}, "Balances")


def note_root_coldkey(world: World, coldkey: str) -> None:
    """Root stakers are claimed for by turns."""
    if coldkey not in world.root_coldkeys:
        world.root_coldkeys.append(coldkey)


def forget_root_coldkey(world: World, coldkey: str) -> None:
    """Without root stake no turn; the last one fills the gap."""
    hotkeys = world.staking_hotkeys.get(coldkey, [])
    if coldkey in world.root_coldkeys and not any(world.pools.stake(h, coldkey, ROOT) for h in hotkeys):
        index = world.root_coldkeys.index(coldkey)
        last = world.root_coldkeys.pop()
        if index < len(world.root_coldkeys):
            world.root_coldkeys[index] = last


# --- calls --------------------------------------------------------------------------------------------


def _checked(world: World, hotkey: str, coldkey: str, netuid: int, alpha: int) -> int:
    """The amount a call may take; from runtime 301 it is cut down to what is there."""
    available = world.pools.stake(hotkey, coldkey, netuid)
    if world.rules.caps_alpha:
        alpha = min(alpha, available)
    if alpha > available or not alpha:
        raise Refused("NotEnoughStakeToWithdraw")
    if netuid != ROOT and not world.networks.has(netuid):
        raise Refused("SubnetNotExists")
    return alpha


def add_stake(world: World, coldkey: str, hotkey: str, netuid: int, tao: int, fill: int | None = None) -> int:
    """Stake TAO. `fill`: a limit order that only took so much of it."""
    if world.owner_of(hotkey) is None:
        raise Refused("HotKeyAccountNotExists")
    if tao < world.min_stake:
        raise Refused("AmountTooLow")
    return stake_into(world, hotkey, coldkey, netuid, tao, fill=fill)


def remove_stake(
    world: World, coldkey: str, hotkey: str, netuid: int, alpha: int, fill: int | None = None
) -> int:
    """Unstake alpha for TAO."""
    alpha = _checked(world, hotkey, coldkey, netuid, alpha)
    tao = unstake_from(world, hotkey, coldkey, netuid, alpha, fill=fill)
    clear_small_nomination(world, hotkey, coldkey, netuid)
    return tao


def clear_small_nomination(world: World, hotkey: str, coldkey: str, netuid: int) -> None:
    """What is left of a nominator's position below the minimum is unstaked too."""
    if not world.nominator_minimum or world.owner_of(hotkey) == coldkey:
        return
    left = world.pools.stake(hotkey, coldkey, netuid)
    worth = world.tao_worth(netuid, left)
    if left and not worth and world.rules.spec >= 385:
        # The sale fails for want of an output, which nobody notices; the stake is gone by then.
        world.decrease(hotkey, coldkey, netuid, left)
        return
    if worth < world.nominator_minimum and (left or not world.rules.input_fee):
        unstake_from(world, hotkey, coldkey, netuid, left, flat_fee=0)


def unstake_all(world: World, coldkey: str, hotkey: str, *, only_alpha: bool) -> None:
    """Unstake everything on a hotkey, or all but root with the TAO staked on root."""
    total = 0
    netuids = [netuid for (netuid,), _ in world.networks.items()]
    for netuid in netuids:
        if only_alpha and netuid == ROOT:
            continue
        alpha = world.pools.stake(hotkey, coldkey, netuid)
        if alpha:
            total += unstake_from(world, hotkey, coldkey, netuid, alpha)
            clear_small_nomination(world, hotkey, coldkey, netuid)
    if only_alpha:
        stake_into(world, hotkey, coldkey, ROOT, total, flat_fee=0)


def transition(
    world: World,
    origin: tuple[str, str, int],
    destination: tuple[str, str, int],
    alpha: int,
    fill: int | None = None,
) -> int:
    """Move, transfer or swap stake: (coldkey, hotkey, netuid) to (coldkey, hotkey, netuid). Gives the TAO in between."""
    (from_cold, from_hot, from_netuid), (to_cold, to_hot, to_netuid) = origin, destination
    if origin == destination:
        raise Refused("SameNetuid")
    if world.owner_of(to_hot) is None:
        raise Refused("HotKeyAccountNotExists")
    if to_netuid != ROOT and not world.networks.has(to_netuid):
        raise Refused("SubnetNotExists")
    alpha = _checked(world, from_hot, from_cold, from_netuid, alpha)
    rules = world.rules
    if from_netuid == to_netuid and rules.synthetic_pair:
        return within_subnet(world, origin, destination, alpha)
    if fill is not None:
        alpha = min(alpha, fill)
    flat_fee = FLAT_FEE // 2
    # From 290 only one leg pays: the second until 315, then the first unless it leaves root.
    drop_at_origin = rules.spec >= 290 and (rules.spec < 315 or from_netuid == ROOT)
    into_root = to_netuid == ROOT and to_cold == from_cold
    sales = len(world.sales)
    tao = unstake_from(
        world, from_hot, from_cold, from_netuid, alpha, drop_fee=drop_at_origin, flat_fee=flat_fee
    )
    restaked = tao >= world.min_stake
    # Too little to be staked again stays with the coldkey, or goes to whom it was given, from 411; before, nobody had it.
    if not (into_root if restaked else rules.spec >= 411 and to_cold == from_cold):
        del world.sales[sales:]
    if restaked:
        drop = rules.spec >= 315 and from_netuid != ROOT
        staked = stake_into(world, to_hot, to_cold, to_netuid, tao, drop_fee=drop, flat_fee=flat_fee)
        # Before 283 the second half of the fee is taken of what goes into root.
        world.sales[sales:] = [replace(sale, tao_rao=staked) for sale in world.sales[sales:]]
    return tao if rules.input_fee else max(tao - flat_fee, 0)


def within_subnet(
    world: World, origin: tuple[str, str, int], destination: tuple[str, str, int], alpha: int
) -> int:
    (from_cold, from_hot, netuid), (to_cold, to_hot, _) = origin, destination
    rules = world.rules
    removed = world.decrease(from_hot, from_cold, netuid, alpha)
    if rules.safe_float:
        removed = alpha
    adjusts = netuid == ROOT and rules.spec >= ROOT_TRANSFER_ADJUSTS
    if adjusts:
        claims.adjust_for_removed(world, from_hot, from_cold, alpha)
    added = world.increase(to_hot, to_cold, netuid, removed)
    if rules.safe_float:
        added = alpha
    if adjusts:
        claims.adjust_for_added(world, to_hot, to_cold, alpha)
    tao = world.tao_worth(netuid, added)
    if tao < world.min_stake:
        raise Refused("AmountTooLow")
    world.deposit("StakeRemoved", (from_cold, from_hot, tao, removed, netuid, 0))
    world.deposit("StakeAdded", (to_cold, to_hot, tao, added, netuid, 0))
    return tao


# First release in which stake transferred within root takes its claims along.
ROOT_TRANSFER_ADJUSTS = 366


def move_stake(
    world: World, coldkey: str, from_hotkey: str, to_hotkey: str, from_netuid: int, to_netuid: int, alpha: int
) -> None:
    """Move stake to another hotkey, and perhaps subnet, of the same coldkey."""
    tao = transition(world, (coldkey, from_hotkey, from_netuid), (coldkey, to_hotkey, to_netuid), alpha)
    world.deposit("StakeMoved", (coldkey, from_hotkey, from_netuid, to_hotkey, to_netuid, tao))


def transfer_stake(
    world: World, coldkey: str, to_coldkey: str, hotkey: str, from_netuid: int, to_netuid: int, alpha: int
) -> None:
    """Give stake to another coldkey."""
    tao = transition(world, (coldkey, hotkey, from_netuid), (to_coldkey, hotkey, to_netuid), alpha)
    world.deposit("StakeTransferred", (coldkey, to_coldkey, hotkey, from_netuid, to_netuid, tao))


def swap_stake(
    world: World,
    coldkey: str,
    hotkey: str,
    from_netuid: int,
    to_netuid: int,
    alpha: int,
    fill: int | None = None,
) -> None:
    """Swap stake to another subnet on the same hotkey."""
    tao = transition(world, (coldkey, hotkey, from_netuid), (coldkey, hotkey, to_netuid), alpha, fill)
    world.deposit("StakeSwapped", (coldkey, hotkey, from_netuid, to_netuid, tao))


def destroy(world: World, coldkey: str, hotkey: str, netuid: int, alpha: int, *, burned: bool) -> None:
    """Recycle or burn alpha of a position."""
    if netuid == ROOT:
        raise Refused("CannotBurnOrRecycleOnRootSubnet")
    alpha = min(alpha, world.pools.stake(hotkey, coldkey, netuid))
    actual = world.decrease(hotkey, coldkey, netuid, alpha)
    if world.rules.safe_float:
        actual = alpha
    if not burned:
        world.alpha_out.put(netuid, max(world.alpha_out.get(netuid) - actual, 0))
    world.deposit("AlphaBurned" if burned else "AlphaRecycled", (coldkey, hotkey, actual, netuid))


def add_stake_burn(world: World, coldkey: str, hotkey: str, netuid: int, tao: int) -> None:
    """Stake TAO and burn the alpha at once (runtime 385)."""
    alpha = add_stake(world, coldkey, hotkey, netuid, tao)
    destroy(world, coldkey, hotkey, netuid, alpha, burned=True)
    world.deposit("AddStakeBurn", {"netuid": netuid, "hotkey": hotkey, "amount": tao, "alpha": alpha})


def pay_fee_in_alpha(world: World, coldkey: str, hotkey: str, netuid: int, alpha: int) -> int:
    """Take a transaction fee from a position before its call runs; gives its TAO.

    Silent in 301–348. From 397 it is sold with a StakeRemoved, and `TransactionFeePaidWithAlpha` follows the call.
    """
    rules = world.rules
    alpha = min(alpha, world.pools.stake(hotkey, coldkey, netuid))
    if rules.silent_alpha_fee:
        world.decrease(hotkey, coldkey, netuid, alpha)
        return 0
    if not rules.alpha_fee_event:
        raise Refused("fees are paid in TAO on this runtime")
    return unstake_from(
        world, hotkey, coldkey, netuid, alpha, drop_fee=True, beneficiary=AUTHOR, is_sale=False
    )
