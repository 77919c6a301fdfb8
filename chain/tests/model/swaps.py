"""Keys that are swapped and subnets that are dissolved and registered anew: positions move or end without stake events."""

from __future__ import annotations

from chain.tests.model import fixed, stake
from chain.tests.model.world import ROOT, Refused, World

OLD_SWAP_COST = 1_000_000_000


def swap_hotkey(
    world: World, coldkey: str, old: str, new: str, netuid: int | None = None, keep_stake: bool = False
) -> None:
    """Replace a hotkey on one subnet or on all; from runtime 391 its stake may stay behind."""
    if (
        not coldkey
        or world.owner_of(old) != coldkey
        or old == new
        or world.owner_of(new) not in (None, coldkey)
    ):
        raise Refused("NonAssociatedColdKey")
    if netuid is not None and world.rules.spec < 277:
        raise Refused("swapping on one subnet is not possible on this runtime")
    if keep_stake and not world.rules.keep_stake:
        raise Refused("keeping stake is not possible on this runtime")
    netuids = [netuid] if netuid is not None else [ROOT, *world.netuids()]
    if any(world.uids.has(each, new) for each in netuids):
        raise Refused("HotKeyAlreadyRegisteredInSubNet")
    if world.rules.spec >= 401 and ROOT in netuids and _stands_on_root(world, new):
        raise Refused("NewHotKeyNotCleanForRootSwap")
    world.follow_swap(old, new, netuid)
    if netuid is None:
        world.owner.remove(old)
        world.owner.put(new, coldkey)
        if world.delegates.has(old):
            take = world.delegates.get(old)
            world.delegates.remove(old)
            world.delegates.put(new, take)
    else:
        world.owner.put(new, coldkey)
    for each in netuids:
        _swap_on_subnet(world, old, new, each, keep_stake)
    if netuid is None and not keep_stake:
        for hotkeys in world.staking_hotkeys.values():
            if old in hotkeys:
                hotkeys[:] = [hotkey for hotkey in hotkeys if hotkey not in (old, new)] + [new]
    values = {"coldkey": coldkey, "old_hotkey": old, "new_hotkey": new}
    if netuid is None:
        world.deposit("HotkeySwapped", values)
    else:
        world.deposit("HotkeySwappedOnSubnet", {**values, "netuid": netuid})


def _stands_on_root(world: World, hotkey: str) -> bool:
    return bool(
        world.claimable.get(hotkey)
        or world.pools.value.get(hotkey, ROOT)
        or any(key[1] == hotkey for key, _ in world.claimed.items(ROOT))
    )


def _swap_on_subnet(world: World, old: str, new: str, netuid: int, keep_stake: bool) -> None:
    uid = world.uids.get(netuid, old)
    if uid is not None:
        world.uids.remove(netuid, old)
        world.uids.put(netuid, new, uid)
        world.uid_keys.put(netuid, uid, new)
    for key, destination in world.autostake.items():
        if destination == old and key[1] == netuid:
            world.autostake.put(*key, new)
    if world.rules.spec >= 244 and world.subnet_owner_hotkey.get(netuid) == old:
        world.subnet_owner_hotkey.put(netuid, new)
    if keep_stake:
        return
    _swap_records(world, old, new, netuid)
    # 391–393 knew `keep_stake` but still moved raw shares.
    if world.rules.spec >= 394:
        _move_values(world, old, new, netuid)
    else:
        with world.moving_shares(netuid, old, new):
            _move_raw_shares(world, old, new, netuid)


def _swap_records(world: World, old: str, new: str, netuid: int) -> None:
    if world.rules.spec < 261:
        return
    last, dividends = world.last_epoch_alpha, world.alpha_dividends
    before = last.get(old, netuid)
    last.remove(old, netuid)
    last.put(new, netuid, before + last.get(new, netuid))
    tables = [dividends] if world.rules.root_claims else [dividends, world.tao_dividends]
    for table in tables:
        before = table.get(netuid, old)
        table.remove(netuid, old)
        table.put(netuid, new, before + table.get(netuid, new))


def _move_values(world: World, old: str, new: str, netuid: int) -> None:
    """Unstake every holder from the old key and stake the same value on the new one; dust of shares may stay."""
    tables = (world.pools.alpha_v1, world.pools.alpha_v2)
    coldkeys = {c for table in tables for (h, c, n) in table.values if h == old and n == netuid}
    for coldkey in sorted(coldkeys, key=stake.account_order):
        amount = world.pools.stake(old, coldkey, netuid)
        world.decrease(old, coldkey, netuid, amount)
        world.increase(new, coldkey, netuid, amount)
        world.note_staking_hotkey(coldkey, new)
    if netuid == ROOT:
        _move_claimable(world, old, new)
        for subnet in sorted(world.claimable.get(new)):
            for (_, _, coldkey), _ in world.claimed.items(subnet, old):
                _merge_claimed(world, subnet, (old, coldkey), (new, coldkey))


def _move_raw_shares(world: World, old: str, new: str, netuid: int) -> None:
    pools = world.pools
    for table in (pools.value, pools.shares_v1):
        total = table.get(old, netuid) + table.get(new, netuid)
        table.remove(old, netuid)
        table.put(new, netuid, min(total, fixed.U128_MAX))
    if world.rules.root_claims:
        _move_claimable(world, old, new)
    for (_, coldkey, _), share in [e for e in pools.alpha_v1.items(old) if e[0][2] == netuid]:
        if world.rules.root_claims:
            _merge_claimed(world, netuid, (old, coldkey), (new, coldkey))
        mine = pools.alpha_v1.get(new, coldkey, netuid)
        pools.alpha_v1.remove(old, coldkey, netuid)
        pools.alpha_v1.put(new, coldkey, netuid, min(share + mine, fixed.U128_MAX))
        world.note_staking_hotkey(coldkey, new)


def _move_claimable(world: World, old: str, new: str) -> None:
    rates = dict(world.claimable.get(new))
    for netuid, rate in world.claimable.get(old).items():
        rates[netuid] = rates.get(netuid, 0) + rate
    world.claimable.remove(old)
    world.claimable.put(new, rates)


def _merge_claimed(world: World, netuid: int, old: tuple[str, str], new: tuple[str, str]) -> None:
    before = world.claimed.get(netuid, *old)
    world.claimed.remove(netuid, *old)
    world.claimed.put(netuid, *new, before + world.claimed.get(netuid, *new))


def swap_coldkey(world: World, old: str, new: str) -> None:
    """Hand everything of a coldkey to another: stake, hotkeys, subnets."""
    if world.staking_hotkeys.get(new):
        raise Refused("ColdKeyAlreadyAssociated")
    for netuid in (ROOT, *world.netuids()):
        if world.subnet_owner.get(netuid) == old:
            world.subnet_owner.put(netuid, new)
        if world.autostake.has(old, netuid):
            destination = world.autostake.get(old, netuid)
            world.autostake.remove(old, netuid)
            world.autostake.put(new, netuid, destination)
        for hotkey in world.staking_hotkeys.get(old, []):
            _hand_over(world, hotkey, old, new, netuid)
        if netuid == ROOT and old in world.root_coldkeys:
            world.root_coldkeys.remove(old)
    world.staking_hotkeys[new] = world.staking_hotkeys.pop(old, [])
    for (hotkey,), owner in world.owner.items():
        if owner == old:
            world.owner.put(hotkey, new)
    if world.autostake_one.has(old):
        destination = world.autostake_one.get(old)
        world.autostake_one.remove(old)
        world.autostake_one.put(new, destination)
    values: dict[str, object] = {"old_coldkey": old, "new_coldkey": new}
    if world.rules.coldkey_swap_cost:
        values["swap_cost"] = OLD_SWAP_COST
    world.deposit("ColdkeySwapped", values)


def _hand_over(world: World, hotkey: str, old: str, new: str, netuid: int) -> None:
    pools = world.pools
    if world.rules.safe_float:
        amount = pools.stake(hotkey, old, netuid)
        world.decrease(hotkey, old, netuid, amount)
        world.increase(hotkey, new, netuid, amount)
    elif pools.alpha_v1.has(hotkey, old, netuid):
        with world.moving_shares(netuid, hotkey):
            share = pools.alpha_v1.get(hotkey, old, netuid) + pools.alpha_v1.get(hotkey, new, netuid)
            pools.alpha_v1.remove(hotkey, old, netuid)
            pools.alpha_v1.put(hotkey, new, netuid, share)
    if world.rules.root_claims and pools.stake(hotkey, new, netuid):
        _merge_claimed(world, netuid, (hotkey, old), (hotkey, new))
        if netuid == ROOT:
            stake.note_root_coldkey(world, new)


# --- subnets ------------------------------------------------------------------------------------------


def dissolve(world: World, netuid: int) -> dict[str, int]:
    """Remove a subnet. From runtime 320 its stake ends and its TAO is paid out; gives what each coldkey got, in rao."""
    if not world.networks.has(netuid):
        raise Refused("SubnetNotExists")
    if world.rules.root_claims:
        for (hotkey,), rates in world.claimable.items():
            world.claimable.put(hotkey, {n: rate for n, rate in rates.items() if n != netuid})
        world.claimed.clear_prefix(netuid)
    world.leases.pop(netuid, None)
    for table in (world.subnet_owner, world.networks, world.registered_at, world.tempo):
        table.remove(netuid)
    for table in (world.uids, world.uid_keys):
        table.clear_prefix(netuid)
    paid = _end_stake(world, netuid) if world.rules.spec >= 320 else {}
    world.deposit("NetworkRemoved", netuid)
    return paid


def _end_stake(world: World, netuid: int) -> dict[str, int]:
    """What removing a subnet does since 320; before, stake, pools and pendings outlive it."""
    paid = _pay_out(world, netuid)
    for table in (
        *(world.subnet_owner_hotkey, world.first_emission, world.alpha_out_emission, world.moving_price),
        *(world.last_step, world.last_epoch_block, world.pending_epoch_at, *world.pending.values()),
        *(world.sqrt_price, world.balancer, world.fee_rate),
    ):
        table.remove(netuid)
    # The map of root dividends (361) is forgotten here: its entries wait for the number's next user.
    for table in (world.alpha_dividends, world.tao_dividends):
        table.clear_prefix(netuid)
    for hotkey, n in list(world.last_epoch_alpha.values):
        if n == netuid:
            world.last_epoch_alpha.remove(hotkey, n)
    return paid


def _pay_out(world: World, netuid: int) -> dict[str, int]:
    pools = world.pools
    hotkeys = [hotkey for (hotkey, n), _ in pools.value.items() if n == netuid]
    stakers = []
    for hotkey in hotkeys:
        for coldkey, share in pools.holders(hotkey, netuid).items():
            whole = (
                share.bits >> 64 if share.exponent is None else fixed.sf_to_u64((share.bits, share.exponent))
            )
            stakers.append((hotkey, coldkey, pools.stake(hotkey, coldkey, netuid) or whole))
    stakers.sort(key=lambda entry: (stake.account_order(entry[0]), stake.account_order(entry[1])))
    pot, total = world.subnet_tao.get(netuid), sum(value for _, _, value in stakers)
    paid: dict[str, int] = {}
    if pot and total:
        portions = [[pot * value // total, pot * value % total, coldkey] for _, coldkey, value in stakers]
        left = pot - sum(portion[0] for portion in portions)
        for portion in sorted(portions, key=lambda portion: -portion[1])[:left]:
            portion[0] += 1
        for (amount, _, coldkey), (hotkey, _, value) in zip(portions, stakers, strict=True):
            world.note_sale(hotkey, coldkey, netuid, value, amount)
            if amount:
                paid[coldkey] = paid.get(coldkey, 0) + amount
                if world.rules.tao_transfers:
                    stake.transfer(world, stake.subnet_account(netuid), coldkey, amount)
                else:
                    world.deposit("Deposit", {"who": coldkey, "amount": amount}, "Balances")
    with world.moving_shares(netuid, *hotkeys):
        for hotkey, coldkey, _ in stakers:
            pools.alpha_v1.remove(hotkey, coldkey, netuid)
            pools.alpha_v2.remove(hotkey, coldkey, netuid)
        for hotkey in hotkeys:
            for table in (pools.value, pools.shares_v1, pools.shares_v2):
                table.remove(hotkey, netuid)
    for table in (world.subnet_tao, world.alpha_in, world.alpha_out):
        table.remove(netuid)
    return paid


def register(world: World, netuid: int, owner: str, owner_hotkey: str, tao: int, alpha: int) -> None:
    """Register a subnet, perhaps under a number that was used before. Nothing is emitted to it until it starts."""
    if world.networks.has(netuid):
        raise Refused("SubnetExists")
    world.networks.put(netuid, 1)
    world.registered_at.put(netuid, world.number)
    world.tempo.put(netuid, 2)
    world.subnet_owner.put(netuid, owner)
    world.subnet_owner_hotkey.put(netuid, owner_hotkey)
    if world.rules.dynamic_tempo:
        world.last_epoch_block.put(netuid, world.number)
    world.subnet_tao.put(netuid, 0)
    world.alpha_in.put(netuid, 0)
    world.inject(netuid, tao, alpha)
    world.alpha_out.put(netuid, 0)
    world.deposit("NetworkAdded", (netuid, 1))


def register_neuron(world: World, netuid: int, hotkey: str) -> None:
    """Give a hotkey the next uid of a subnet."""
    if not world.networks.has(netuid) or world.uids.has(netuid, hotkey) or world.owner_of(hotkey) is None:
        raise Refused("HotKeyAlreadyRegisteredInSubNet")
    uid = sum(1 for n, _ in world.uids.values if n == netuid)
    world.uids.put(netuid, hotkey, uid)
    world.uid_keys.put(netuid, uid, hotkey)
    world.deposit("NeuronRegistered", (netuid, uid, hotkey))


def start(world: World, netuid: int) -> None:
    """Let a subnet emit from the next block."""
    world.first_emission.put(netuid, world.number + 1)
    world.deposit("FirstEmissionBlockNumberSet", (netuid, world.number + 1))
