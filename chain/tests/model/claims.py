"""Root dividends kept as claimable alpha (from runtime 334): rates, debts, claims, and what stake moves do to them."""

from __future__ import annotations

from chain.tests.model import fixed
from chain.tests.model.world import CLAIM_THRESHOLD, ROOT, World


def add_claimable(world: World, hotkey: str, netuid: int, net: int) -> bool:
    """Raise the rate of a hotkey on a subnet by net per root stake. True if it was staked for the owner instead."""
    total = world.pools.value.get(hotkey, ROOT)
    if net > total:
        owner = world.owner_of(hotkey)
        assert owner is not None
        world.credit(hotkey, owner, netuid, net)
        return True
    increment = (net << 32) // total if total else 0
    rates = dict(world.claimable.get(hotkey))
    rates[netuid] = rates.get(netuid, 0) + increment
    world.claimable.put(hotkey, rates)
    return False


def owed_bits(world: World, hotkey: str, coldkey: str, netuid: int) -> int:
    """What a root staker could claim, with 32 fractional bits; negative where it claimed more than it is due."""
    stake = world.pools.stake(hotkey, coldkey, ROOT) << 32
    rate: int = world.claimable.get(hotkey).get(netuid, 0)
    claimed: int = world.claimed.get(netuid, hotkey, coldkey)
    return fixed.mul_32(rate, stake) - (claimed << 32)


def claim(world: World, coldkey: str, netuids: frozenset[int] | None = None) -> None:
    """Claim everything (or the named subnets) on every hotkey a coldkey stakes on; deposits the event in any case."""
    for hotkey in world.staking_hotkeys.get(coldkey, []):
        for netuid in sorted(world.claimable.get(hotkey)):
            if netuids is None or netuid in netuids:
                _claim_on_subnet(world, hotkey, coldkey, netuid)
    world.deposit("RootClaimed", {"coldkey": coldkey})


def _claim_on_subnet(world: World, hotkey: str, coldkey: str, netuid: int) -> None:
    bits = owed_bits(world, hotkey, coldkey, netuid)
    if bits < CLAIM_THRESHOLD << 32:
        return
    owed = bits >> 32
    kind, kept = world.claim_type.get(coldkey)
    if kind == "Keep" or (kind == "KeepSubnets" and netuid in kept):
        world.increase(hotkey, coldkey, netuid, owed)
    else:
        if not world.networks.has(netuid):
            return
        tao = world.sell(netuid, owed, drop_fee=True).out
        world.increase(hotkey, coldkey, ROOT, tao)
        if world.rules.claims_move_root_tao:
            world.subnet_tao.put(ROOT, world.subnet_tao.get(ROOT) + tao)
            world.alpha_out.put(ROOT, world.alpha_out.get(ROOT) + tao)
        adjust_for_added(world, hotkey, coldkey, tao)
    world.claimed.put(netuid, hotkey, coldkey, world.claimed.get(netuid, hotkey, coldkey) + owed)


def adjust_for_added(world: World, hotkey: str, coldkey: str, tao: int) -> None:
    """New root stake has no claim on what was paid before."""
    for netuid, rate in sorted(world.claimable.get(hotkey).items()):
        before = world.claimed.get(netuid, hotkey, coldkey)
        world.claimed.put(netuid, hotkey, coldkey, before + (fixed.mul_32(rate, tao << 32) >> 32))


def adjust_for_removed(world: World, hotkey: str, coldkey: str, tao: int) -> None:
    """Root stake that leaves takes its share of what was claimed along."""
    for netuid, rate in sorted(world.claimable.get(hotkey).items()):
        if netuid != ROOT:
            before = world.claimed.get(netuid, hotkey, coldkey)
            world.claimed.put(netuid, hotkey, coldkey, max(before - (fixed.mul_32(rate, tao << 32) >> 32), 0))


def auto_claim(world: World, parent_hash: bytes, count: int = 5) -> None:
    """The claims that the runtime makes itself, for coldkeys picked by the parent's hash."""
    n = len(world.root_coldkeys)
    if not n:
        return
    index = int.from_bytes(parent_hash[:8], "big")
    picked = set()
    for i in range(count):
        at = i * 8 % 32
        index = (index + int.from_bytes(parent_hash[at : at + 8], "big")) % n
        picked.add(index)
    coldkeys = [world.root_coldkeys[i] for i in sorted(picked)]
    for coldkey in coldkeys:
        claim(world, coldkey)
