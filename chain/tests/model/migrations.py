"""What a runtime upgrade may do to state before the first block of the new runtime: silently, to any entry."""

from __future__ import annotations

from collections.abc import Callable

from chain.tests.model import fixed
from chain.tests.model.world import ROOT, World

Migration = Callable[[World], None]


def crossing(world: World, before: int, after: int) -> None:
    """The migrations of the chain itself that stake and prices depend on."""
    if before < 257 <= after:
        for netuid in world.netuids():
            world.first_emission.put(netuid, world.registered_at.get(netuid) + 1)
    if before < 326 <= after:
        for (coldkey,), hotkey in world.autostake_one.items():
            world.autostake_one.remove(coldkey)
            for netuid in world.netuids():
                world.autostake.put(coldkey, netuid, hotkey)
    if before < 343 <= after:
        for (netuid,), pending in world.pending["PendingEmission"].items():
            world.pending["PendingEmission"].put(netuid, 0)
            world.pending["PendingValidatorEmission"].put(netuid, pending)
    if before < 423 <= after:
        for (netuid,) in [key for key, _ in world.sqrt_price.items()]:
            world.balancer.put(netuid, 5 * 10**17)
            world.sqrt_price.remove(netuid)
        for (netuid,), tempo in world.tempo.items():
            if tempo:
                since = (world.number + netuid + 1) % (tempo + 1)
                world.last_epoch_block.put(netuid, world.number - since)


def add_share(hotkey: str, coldkey: str, netuid: int, rao: int) -> Migration:
    """Stake something for a coldkey."""

    def migrate(world: World) -> None:
        world.increase(hotkey, coldkey, netuid, rao)

    return migrate


def move_share(hotkey: str, netuid: int, old: str, new: str) -> Migration:
    """Hand the raw share of one coldkey to another: the denominator stays."""

    def migrate(world: World) -> None:
        for table in (world.pools.alpha_v1, world.pools.alpha_v2):
            if table.has(hotkey, old, netuid) and not world.pools.holds(hotkey, new, netuid):
                share = table.get(hotkey, old, netuid)
                table.remove(hotkey, old, netuid)
                table.put(hotkey, new, netuid, share)

    return migrate


def scale_pool(hotkey: str, netuid: int, numerator: int, denominator: int) -> Migration:
    """Multiply every share of a pool and its sum by a fraction, old and new entries alike."""

    def migrate(world: World) -> None:
        pools = world.pools
        for (h, coldkey, n), bits in pools.alpha_v1.items(hotkey):
            if n == netuid:
                pools.alpha_v1.put(h, coldkey, n, bits * numerator // denominator)
        if pools.shares_v1.has(hotkey, netuid):
            total = sum(bits for (_, _, n), bits in pools.alpha_v1.items(hotkey) if n == netuid)
            pools.shares_v1.put(hotkey, netuid, total)
        for (h, coldkey, n), (mantissa, exponent) in pools.alpha_v2.items(hotkey):
            if n == netuid:
                pools.alpha_v2.put(h, coldkey, n, fixed.normal(mantissa * numerator // denominator, exponent))
        if pools.shares_v2.has(hotkey, netuid):
            mantissa, exponent = pools.shares_v2.get(hotkey, netuid)
            pools.shares_v2.put(hotkey, netuid, fixed.normal(mantissa * numerator // denominator, exponent))

    return migrate


def forget_claimable(hotkey: str) -> Migration:
    """Delete what root stakers of a hotkey could claim."""

    def migrate(world: World) -> None:
        world.claimable.remove(hotkey)

    return migrate


def set_root_value(hotkey: str, rao: int) -> Migration:
    """Overwrite the value of a root pool."""

    def migrate(world: World) -> None:
        world.pools.value.put(hotkey, ROOT, rao)

    return migrate
