"""What the runtime does before any extrinsic: emission into pools and pendings, epochs, their distribution.

What the weights would decide (which hotkey earned how much) is given; how it is split, rounded, credited and recorded
is the runtime's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chain.tests.model import claims, fixed
from chain.tests.model.stake import account_order, within_subnet
from chain.tests.model.world import ROOT, Lease, Refused, TrueCredit, TrueYield, World

ALPHA_OUT = 1_000_000_000
EPOCHS_PER_BLOCK = 2


@dataclass
class Dividends:
    """What an epoch found, before any take.

    :param alpha: alpha of subnet stakers by hotkey, in bits of U96F32 (whole rao before runtime 257).
    :param root: alpha (TAO before runtime 334) of root stakers by hotkey, in bits of U96F32.
    :param incentives: alpha of miners by hotkey, whole rao.
    """

    alpha: dict[str, int] = field(default_factory=dict)
    root: dict[str, int] = field(default_factory=dict)
    incentives: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        alpha: dict[str, int] | None = None,
        root: dict[str, int] | None = None,
        incentives: dict[str, int] | None = None,
    ) -> Dividends:
        """Dividends of whole rao."""
        return cls(
            {hotkey: rao << 32 for hotkey, rao in (alpha or {}).items()},
            {hotkey: rao << 32 for hotkey, rao in (root or {}).items()},
            dict(incentives or {}),
        )


def emits(world: World, netuid: int) -> bool:
    """Say whether a subnet accrues emission."""
    return not world.rules.first_emission or world.first_emission.has(netuid)


def accrue(world: World, netuid: int, alpha_out: int, sells_root: bool) -> None:
    """One block's emission of a subnet into its pool and pendings, with the runtime's fixed-point steps."""
    rules = world.rules
    alpha_bits = alpha_out << 32
    world.inject(netuid, alpha_out // 7, alpha_out // 3)
    world.alpha_out_emission.put(netuid, alpha_out)
    world.alpha_out.put(netuid, world.alpha_out.get(netuid) + alpha_out)
    if rules.spec < 411 or world.owner_cut_enabled.get(netuid):
        cut = fixed.mul_32(alpha_bits, (world.owner_cut.get() << 32) // 65_535)
        alpha_bits -= cut
        _pend(world, "PendingOwnerCut", netuid, cut >> 32)
    root_bits = fixed.mul_32(fixed.mul_32(_root_proportion(world, netuid), alpha_bits), 1 << 31)
    if rules.split_pendings:
        server = alpha_bits >> 1
        _pend(world, "PendingServerEmission", netuid, server >> 32)
        _pend(world, "PendingValidatorEmission", netuid, max(alpha_bits - server - root_bits, 0) >> 32)
    else:
        _pend(world, "PendingEmission", netuid, (alpha_bits - root_bits) >> 32)
    if rules.root_claims:
        if sells_root:
            _pend(world, "PendingRootAlphaDivs", netuid, root_bits >> 32)
        return
    _pend(world, "PendingAlphaSwapped", netuid, root_bits >> 32)
    if sells_root and root_bits >> 32:
        swapped = world.sell(netuid, root_bits >> 32, drop_fee=True)
        _pend(world, "PendingRootDivs", netuid, swapped.out)


def _root_proportion(world: World, netuid: int) -> int:
    weight = fixed.mul_32(world.subnet_tao.get(ROOT) << 32, (world.tao_weight.get() << 32) // fixed.U64_MAX)
    issuance = (world.alpha_in.get(netuid) + world.alpha_out.get(netuid)) << 32
    return (weight << 32) // (weight + issuance) if weight + issuance else 0


def _pend(world: World, item: str, netuid: int, amount: int) -> None:
    pending = world.pending[item]
    pending.put(netuid, pending.get(netuid) + amount)


def due(world: World, netuid: int, number: int) -> bool:
    """Say whether the epoch of a subnet is due in a block."""
    tempo = world.tempo.get(netuid)
    if not tempo:
        return False
    if not world.rules.dynamic_tempo:
        # No block is left until the next epoch. The source's own comment says "= 0", which is a block later.
        return bool((number + netuid + 1) % (tempo + 1) == tempo)
    asked = world.pending_epoch_at.get(netuid)
    since: int = number - world.last_epoch_block.get(netuid)
    return bool((asked and number >= asked) or since >= tempo)


def drain(world: World, forced: set[int]) -> list[int]:
    """Subnets whose epoch runs now, in the order of distribution; late ones wait a block (dynamic tempo)."""
    running: list[int] = []
    for netuid in world.netuids():
        if netuid not in forced and not due(world, netuid, world.number):
            continue
        if world.rules.dynamic_tempo:
            if len(running) >= EPOCHS_PER_BLOCK:
                world.pending_epoch_at.put(netuid, world.number + 1)
                world.deposit(
                    "EpochDeferred",
                    {"netuid": netuid, "from_block": world.number, "to_block": world.number + 1},
                )
                continue
            world.last_epoch_block.put(netuid, world.number)
            world.pending_epoch_at.put(netuid, 0)
        if netuid in world.inconsistent:
            # What is pending stays for the next epoch that can run.
            if world.rules.dynamic_tempo:
                world.deposit("EpochSkipped", {"netuid": netuid, "block": world.number})
            continue
        running.append(netuid)
    # From 361 what was drained is kept in an ordered map; before, each subnet is paid as it is visited.
    return sorted(running) if world.rules.own_root_map else running


def distribute(world: World, netuid: int, found: Dividends) -> None:
    """Pay out one epoch."""
    rules = world.rules
    for item, pending in world.pending.items():
        if item != "PendingOwnerCut" and pending.get(netuid):
            pending.put(netuid, 0)
    owner_cut = world.pending["PendingOwnerCut"].get(netuid)
    world.pending["PendingOwnerCut"].put(netuid, 0)
    if rules.incentive_events:
        _deposit_incentives(world, netuid, found)
    if rules.spec >= 425 and netuid in world.kings:
        hotkey, coldkey = world.kings.pop(netuid)
        world.subnet_owner_hotkey.put(netuid, hotkey)
        world.subnet_owner.put(netuid, coldkey)
    _pay_owner_cut(world, netuid, owner_cut)
    _pay_incentives(world, netuid, found)
    world.alpha_dividends.clear_prefix(netuid)
    for hotkey in sorted(found.alpha, key=account_order):
        _pay_alpha(world, netuid, hotkey, found.alpha[hotkey])
    if not rules.root_claims:
        world.tao_dividends.clear_prefix(netuid)
    elif rules.own_root_map:
        world.root_dividends.clear_prefix(netuid)
    for hotkey in sorted(found.root, key=account_order):
        pay = _pay_root_alpha if rules.root_claims else _pay_root_tao
        pay(world, netuid, hotkey, found.root[hotkey])
    world.last_step.put(netuid, world.number)


def _deposit_incentives(world: World, netuid: int, found: Dividends) -> None:
    by_uid = {
        uid: found.incentives.get(hotkey, 0) for (n, hotkey), uid in world.uids.values.items() if n == netuid
    }
    emissions = [by_uid.get(uid, 0) for uid in range(max(by_uid, default=-1) + 1)]
    world.deposit("IncentiveAlphaEmittedToMiners", {"netuid": netuid, "emissions": emissions})


def _pay_owner_cut(world: World, netuid: int, owner_cut: int) -> None:
    if not (world.subnet_owner.has(netuid) and world.subnet_owner_hotkey.has(netuid)):
        return
    hotkey, coldkey = world.subnet_owner_hotkey.get(netuid), world.subnet_owner.get(netuid)
    world.credit(hotkey, coldkey, netuid, owner_cut)
    _credit(world, netuid, hotkey, coldkey, "CUT", owner_cut)
    if netuid in world.leases:
        _pay_lease(world, netuid, world.leases[netuid], owner_cut)


def _pay_lease(world: World, netuid: int, lease: Lease, owner_cut: int) -> None:
    """Share out the owner cut of a leased subnet, in the middle of its epoch; all or nothing."""
    total = lease.accumulated + owner_cut
    mark = len(world.events)
    try:
        if world.number % lease.every:
            raise Refused("not yet")
        with world.saved():
            left = total
            for contributor, parts in lease.contributors:
                share = -(-total * parts // 1_000_000)
                left -= share
                _lease_payout(world, netuid, lease, contributor, share)
            _lease_payout(world, netuid, lease, lease.beneficiary, left)
        lease.accumulated = 0
    except Refused:
        del world.events[mark:]
        lease.accumulated = total


def _lease_payout(world: World, netuid: int, lease: Lease, to: str, alpha: int) -> None:
    within_subnet(world, (lease.coldkey, lease.hotkey, netuid), (to, lease.hotkey, netuid), alpha)
    world.deposit("SubnetLeaseDividendsDistributed", {"lease_id": netuid, "contributor": to, "alpha": alpha})


def _credit(world: World, netuid: int, hotkey: str, coldkey: str, kind: str, amount: int) -> None:
    if world.is_ours(hotkey, netuid):
        world.credits.append(TrueCredit(world.number, netuid, hotkey, coldkey, kind, amount))


def _mines_for_nothing(world: World, netuid: int, hotkey: str) -> bool:
    """The incentive of the subnet owner's own keys is burned."""
    if not world.rules.owner_hotkey_mines_for_nothing:
        return False
    if world.subnet_owner_hotkey.get(netuid) == hotkey:
        return world.rules.spec < 315 or world.uids.has(netuid, hotkey)
    return (
        world.rules.incentive_events
        and world.owner_of(hotkey) == world.subnet_owner.get(netuid)
        and world.uids.has(netuid, hotkey)
    )


def _pay_incentives(world: World, netuid: int, found: Dividends) -> None:
    rules = world.rules
    for hotkey in sorted(found.incentives, key=account_order):
        incentive = found.incentives[hotkey]
        if _mines_for_nothing(world, netuid, hotkey):
            continue
        owner = world.owner_of(hotkey)
        assert owner is not None
        destination = None
        if rules.autostake_by_netuid:
            destination = world.autostake.get(owner, netuid)
        elif rules.incentive_events:
            destination = world.autostake_one.get(owner)
        if destination is not None:
            world.deposit(
                "AutoStakeAdded",
                {
                    "netuid": netuid,
                    "destination": destination,
                    "hotkey": hotkey,
                    "owner": owner,
                    "incentive": incentive,
                },
            )
        target = destination or hotkey
        world.credit(target, owner, netuid, incentive)
        _credit(world, netuid, target, owner, "INCENTIVE", incentive)


def _split(world: World, hotkey: str, bits: int) -> tuple[int, int]:
    """Take and net of a dividend, whole rao; what both floors drop is nobody's."""
    take = fixed.mul_32(fixed.take_fraction(world.delegates.get(hotkey)), bits)
    return take >> 32, (bits - take) >> 32


def _record(
    world: World, netuid: int, hotkey: str, side: str, amounts: tuple[int, int], to_owner: bool = False
) -> None:
    if world.is_ours(hotkey, netuid):
        asset = "TAO" if side == "ROOT" and not world.rules.root_claims else "ALPHA"
        owner = world.owner_of(hotkey)
        assert owner is not None
        take_u16 = world.delegates.get(hotkey)
        world.truth.append(
            TrueYield(world.number, netuid, hotkey, side, asset, *amounts, owner, take_u16, to_owner)
        )


def _pay_alpha(world: World, netuid: int, hotkey: str, bits: int) -> None:
    take, net = _split(world, hotkey, bits)
    owner = world.owner_of(hotkey)
    assert owner is not None
    world.credit(hotkey, owner, netuid, take)
    world.pools.add_to_all(hotkey, netuid, net)
    world.alpha_dividends.put(netuid, hotkey, net)
    if world.rules.last_epoch_alpha:
        world.last_epoch_alpha.put(hotkey, netuid, world.pools.value.get(hotkey, netuid))
    _record(world, netuid, hotkey, "ALPHA", (take, net))


def _pay_root_tao(world: World, netuid: int, hotkey: str, bits: int) -> None:
    take, net = _split(world, hotkey, bits)
    owner = world.owner_of(hotkey)
    assert owner is not None
    credited = world.credit(hotkey, owner, ROOT, take)
    world.pools.add_to_all(hotkey, ROOT, net)
    world.tao_dividends.put(netuid, hotkey, net)
    if world.rules.root_tao_follows_dividends:
        world.subnet_tao.put(ROOT, world.subnet_tao.get(ROOT) + credited + net)
    _record(world, netuid, hotkey, "ROOT", (take, net))


def _pay_root_alpha(world: World, netuid: int, hotkey: str, bits: int) -> None:
    take, net = _split(world, hotkey, bits)
    owner = world.owner_of(hotkey)
    assert owner is not None
    world.credit(hotkey, owner, netuid, take)
    to_owner = claims.add_claimable(world, hotkey, netuid, net)
    if world.rules.own_root_map:
        world.root_dividends.put(netuid, hotkey, net)
    else:
        world.alpha_dividends.put(netuid, hotkey, world.alpha_dividends.get(netuid, hotkey) + net)
    _record(world, netuid, hotkey, "ROOT", (take, net), to_owner)
