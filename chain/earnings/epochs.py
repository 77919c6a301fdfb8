"""What one epoch of our hotkeys needs from storage, era by era, and the yields it comes to.

Which keys to read stands beside what is made of them. The arithmetic is in `chain.earnings.yields`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from chain import keys
from chain.earnings.epoch_block import EpochBlock, pools_of
from chain.earnings.pool_changes import claim_keys, pool_change
from chain.earnings.yields import (
    Epoch,
    Incentive,
    Made,
    MethodsDisagree,
    PoolChange,
    Proof,
    Take,
    epoch_takes,
    may_be_nothing,
    root_takes,
    unpaid_credits,
)
from chain.facts import Position, YieldFact
from chain.keys import ROOT, SUBTENSOR
from chain.nodes.block_hashes import compact
from chain.pools.holdings import Pool
from chain.runtimes.decoding import Decoder, Event
from chain.runtimes.eras import RootDividends
from chain.stake.movements import value_keys
from chain.state import State

_INCENTIVES_NAMED_FROM = 315
# Until here every subnet accrues; the first block of this runtime says since when each does.
_STARTED_FROM = 257
# From here on an epoch hands a subnet to whoever has the most conviction, before it pays the owner's cut.
_OWNER_CHANGES_IN_EPOCH_FROM = 425
# Subnets beyond it are numbers of mechanisms: mechanism × 4096 + netuid (`get_mechanism_storage_index`).
_SUBNETS_MAX = 4096
# A part as u64, and an account id.
_BYTES_OF_PARENT = 40


def keys_before(block: EpochBlock) -> list[str]:
    """Keys to read in the parent's state."""
    return [
        keys.OWNER_CUT,
        *(
            keys.by_netuid(item, netuid)
            for netuid in block.netuids
            for item in _OWNER_CUT_ITEMS + (("OwnerCutEnabled",) if block.spec_version >= 411 else ())
        ),
        *(keys.by_hotkey(item, hotkey) for hotkey in block.hotkeys for item in ("Owner", "Delegates")),
        *(
            keys.by_netuid_hotkey("Uids", netuid, hotkey)
            for hotkey, netuid in block.pairs
            if _emissions(block.events, netuid)
        ),
        *(_parents_key(hotkey, netuid) for hotkey, netuid in block.pairs),
        *claim_keys(block, (*block.pairs, *block.others)),
        *value_keys(pools_of(block), safe_float=block.era.safe_float_shares),
    ]


_OWNER_CUT_ITEMS = ("SubnetOwnerHotkey", "SubnetOwner", "PendingOwnerCut", "FirstEmissionBlockNumber")


def _alpha_dividends(netuid: int) -> Callable[[str], str]:
    return lambda hotkey: keys.by_netuid_hotkey("AlphaDividendsPerSubnet", netuid, hotkey)


def _root_dividends(block: EpochBlock, netuid: int) -> Callable[[str], str]:
    """Where the net of root stakers stands, if apart from that of alpha stakers."""
    in_tao = block.era.root_dividends is RootDividends.TAO_STAKE
    item = "TaoDividendsPerSubnet" if in_tao else "RootAlphaDividendsPerSubnet"
    return lambda hotkey: keys.by_netuid_hotkey(item, netuid, hotkey)


def _last_epoch_value(netuid: int) -> Callable[[str], str]:
    return lambda hotkey: keys.by_hotkey_netuid("TotalHotkeyAlphaLastEpoch", hotkey, netuid)


def keys_after(block: EpochBlock) -> list[str]:
    """Keys to read in the block's own state."""
    wanted = [keys.by_netuid("SubnetAlphaOutEmission", netuid) for netuid in block.netuids]
    if block.spec_version >= _OWNER_CHANGES_IN_EPOCH_FROM:
        wanted += [
            keys.by_netuid(item, netuid)
            for netuid in block.netuids
            for item in ("SubnetOwnerHotkey", "SubnetOwner")
        ]
    for hotkey, netuid in (*block.pairs, *block.others):
        items = [_alpha_dividends(netuid)]
        if block.era.root_dividends is not RootDividends.COMBINED:
            items.append(_root_dividends(block, netuid))
        if block.era.last_epoch_value:
            items.append(_last_epoch_value(netuid))
        wanted += [item(name) for item in items for name in block.names(hotkey, netuid)]
    pools = {(name, netuid) for hotkey, netuid in pools_of(block) for name in block.names(hotkey, netuid)}
    wanted += claim_keys(block, (*block.pairs, *block.others))
    return wanted + value_keys(pools, safe_float=block.era.safe_float_shares)


@dataclass
class Earned:
    """What epochs paid: the yields of our hotkeys, and of each pool all that was credited, in order.

    `unsure` are positions that an epoch may have credited with an amount that nothing tells.
    """

    facts: list[YieldFact] = field(default_factory=list)
    made: dict[Pool, Made] = field(default_factory=dict)
    unsure: set[Position] = field(default_factory=set)


def yields(block: EpochBlock) -> Earned:
    """What our hotkeys earned in the block's epochs.

    :raises MethodsDisagree: the methods give different takes.
    """
    found = Earned()
    for hotkey in block.hotkeys:
        owner = block.before.account(keys.by_hotkey("Owner", hotkey))
        if owner is None:
            # A key that was never registered: nothing can have been credited to it.
            continue
        fraction = take_u16(block.before, hotkey, block.decoder)
        own = [netuid for netuid in block.netuids if (hotkey, netuid) in block.pairs]
        for netuid in own:
            _add_alpha_pool(found, block, hotkey, netuid, owner, fraction)
        if block.era.root_dividends is RootDividends.TAO_STAKE:
            # Every subnet's epoch credits the one root pool, also those where the key is not ours.
            paid = _add_root_pool(found, block, hotkey, block.netuids, owner, fraction)
            found.facts += [fact for fact in paid if fact.netuid in own]
    children = {pair for pair in block.pairs if _is_child(block.before, *pair)}
    found.facts = [replace(fact, is_child=(fact.hotkey, fact.netuid) in children) for fact in found.facts]
    found.unsure |= {at for at in credited(block) if (at[0], at[1]) not in found.made}
    return found


def _parents_key(hotkey: str, netuid: int) -> str:
    return keys.by_hotkey_netuid("ParentKeys", hotkey, netuid)


def _is_child(state: State, hotkey: str, netuid: int) -> bool:
    """Whether others lent the key their stake on the subnet: `ParentKeys`, a list of (part of it, parent).

    :raises ValueError: what is stored is no such list.
    """
    data = bytes.fromhex((state.raw(_parents_key(hotkey, netuid)) or "0x00")[2:])
    count = len(data) // _BYTES_OF_PARENT
    if data[: len(data) - count * _BYTES_OF_PARENT] != compact(count):
        raise ValueError(f"{len(data)} bytes are no list of parents")
    return count > 0


def take_u16(state: State, hotkey: str, decoder: Decoder) -> int:
    """The part of dividends that a key takes, of 65,535: the runtime's default where none is stored."""
    stored = state.number(keys.by_hotkey("Delegates", hotkey))
    return decoder.default_u16(SUBTENSOR, "Delegates") if stored is None else stored


def doubts(block: EpochBlock, found: Iterable[YieldFact]) -> list[str]:
    """Takes that the chain leaves open by a rao, with all numbers."""
    open_ones = [fact for fact in found if fact.proof == Proof.DOUBT]
    # Of two dividends that storage keeps together, the parts may be open where the take of each part is not.
    between = any(fact.take_low_rao != fact.take_high_rao for fact in open_ones)
    return [
        f"block {block.number}, {fact.hotkey} on netuid {fact.netuid}: what the owner did in the same block hides "
        f"whether the {fact.side.lower()} take was {fact.take_low_rao} or {fact.take_high_rao} rao on a dividend of "
        f"{fact.dividend_rao}; {fact.take_rao} is stored"
        for fact in open_ones
        if fact.take_low_rao != fact.take_high_rao or not between
    ]


def doubts_of_upgrade(block: EpochBlock, found: Iterable[YieldFact]) -> list[str]:
    """What came to a pool in a runtime's first block and may be a migration's: no event names incentives."""
    return [
        f"block {block.number}: a runtime upgrade ran before the epoch of {fact.hotkey} on netuid {fact.netuid}, and "
        f"{fact.other_rao} rao came to its pool that no event names"
        for fact in found
        if fact.other_rao and block.spec_version < _INCENTIVES_NAMED_FROM
    ]


def credited(block: EpochBlock) -> set[tuple[str, int, str]]:
    """Positions that the epochs may have changed: the owner's, the subnet owner's, those of miners who stake with us."""
    found: set[tuple[str, int, str]] = set()
    for hotkey, netuid in (*block.pairs, *block.others):
        owner = block.before.account(keys.by_hotkey("Owner", hotkey))
        found |= {(hotkey, netuid, one) for one in (owner, *_subnet_owners(block, hotkey, netuid)) if one}
        found |= {(hotkey, netuid, one.coldkey) for one in _incentives(block.events, hotkey, netuid)}
        if owner and block.era.root_dividends is RootDividends.TAO_STAKE:
            found.add((hotkey, ROOT, owner))
    return found


def _add_alpha_pool(
    found: Earned, block: EpochBlock, hotkey: str, netuid: int, owner: str, take_u16: int
) -> None:
    def stored(key_of: Callable[[str], str]) -> int:
        return block.after.amount(block.key_after(key_of, hotkey, netuid))

    alpha_net = stored(_alpha_dividends(netuid))
    root_net: int | None = 0
    if block.era.root_dividends is RootDividends.OWN_MAP:
        root_net = stored(_root_dividends(block, netuid))
    elif block.era.root_dividends is RootDividends.COMBINED:
        root_net = None
    change = pool_change(block, hotkey, netuid, [owner])
    paid = bool(alpha_net or root_net)
    root_pool = pool_change(block, hotkey, ROOT, [])
    epoch = Epoch(
        hotkey=hotkey,
        owner=owner,
        take_u16=take_u16,
        alpha_net_rao=alpha_net,
        root_net_rao=root_net if paid else 0,
        root_stake_rao=root_pool.before.value,
        # Written with a dividend only; without one it is of an earlier epoch.
        value_after_alpha=stored(_last_epoch_value(netuid)) if block.era.last_epoch_value and paid else None,
        owner_cuts=_owner_cuts(block, hotkey, netuid),
        incentives=_incentives(block.events, hotkey, netuid),
        own_incentives=_own_incentives(block, hotkey, netuid),
    )
    if not paid and may_be_nothing(change):
        if (made := unpaid_credits(change, epoch)) is not None:
            found.made[hotkey, netuid] = made
        return
    alpha, root, made = epoch_takes(change, epoch)
    found.made[hotkey, netuid] = made
    if not paid and alpha.proof is Proof.VALUE:
        raise MethodsDisagree(
            f"{change.name}: the pool grew by {change.grown - change.moved} rao beside stake events, no dividend is "
            "recorded, and nobody's share accounts for it"
        )
    if alpha.net_rao:
        found.facts.append(_fact("ALPHA", "ALPHA", netuid, hotkey, owner, take_u16, change, alpha))
    if root.net_rao:
        found.facts.append(_fact("ROOT", "ALPHA", netuid, hotkey, owner, take_u16, root_pool, root))


def _add_root_pool(
    found: Earned, block: EpochBlock, hotkey: str, netuids: Sequence[int], owner: str, take_u16: int
) -> list[YieldFact]:
    nets = {
        netuid: block.after.amount(block.key_after(_root_dividends(block, netuid), hotkey, netuid))
        for netuid in netuids
    }
    paying = [netuid for netuid in netuids if nets[netuid]]
    change = pool_change(block, hotkey, ROOT, [owner])
    if not paying and may_be_nothing(change):
        found.made[hotkey, ROOT] = ()
        return []
    takes, found.made[hotkey, ROOT] = root_takes(
        change, owner=owner, take_u16=take_u16, nets_rao=[nets[netuid] for netuid in paying]
    )
    return [
        _fact("ROOT", "TAO", netuid, hotkey, owner, take_u16, change, take)
        for netuid, take in zip(paying, takes, strict=True)
    ]


def _fact(
    side: str,
    asset: str,
    netuid: int,
    hotkey: str,
    owner: str,
    take_u16: int,
    change: PoolChange,
    take: Take,
) -> YieldFact:
    """`change` is of the pool whose holders earned it."""
    return YieldFact(
        netuid=netuid,
        hotkey=hotkey,
        side=side,
        asset=asset,
        pool_netuid=ROOT if side == "ROOT" else netuid,
        owner=owner,
        dividend_rao=take.net_rao,
        take_rao=take.rao,
        take_low_rao=take.low_rao,
        take_high_rao=take.high_rao,
        take_u16=take_u16,
        pool_before_rao=change.before.value,
        other_rao=take.other_rao,
        share_total=change.before.denominator,
        proof=take.proof.value,
    )


def _owners_of_subnet(block: EpochBlock, netuid: int) -> list[tuple[str | None, str | None]]:
    """Hotkey and coldkey of a subnet's owner: one, or two where the epoch may have handed the subnet on before its cut."""
    states = [block.before, *([block.after] if block.spec_version >= _OWNER_CHANGES_IN_EPOCH_FROM else [])]
    found = [
        (
            state.account(keys.by_netuid("SubnetOwnerHotkey", netuid)),
            state.account(keys.by_netuid("SubnetOwner", netuid)),
        )
        for state in states
    ]
    return list(dict.fromkeys(found))


def _subnet_owners(block: EpochBlock, hotkey: str, netuid: int) -> list[str]:
    """Coldkeys of the subnet's owner, where this hotkey receives his cut."""
    return [coldkey for key, coldkey in _owners_of_subnet(block, netuid) if key == hotkey and coldkey]


def _owner_cuts(block: EpochBlock, hotkey: str, netuid: int) -> list[tuple[str, int]]:
    """What the subnet owner's cut can have been: what was pending, with this block's accrual if there was one."""
    found = []
    for coldkey in _subnet_owners(block, hotkey, netuid):
        pending = block.before.amount(keys.by_netuid("PendingOwnerCut", netuid))
        enabled = block.spec_version < 411 or block.before.number(
            keys.by_netuid("OwnerCutEnabled", netuid)
        ) in (None, 1)
        first = block.before.number(keys.by_netuid("FirstEmissionBlockNumber", netuid))
        if enabled and (first is not None or block.spec_version <= _STARTED_FROM):
            cut_u16 = block.before.number(keys.OWNER_CUT)
            if cut_u16 is None:
                cut_u16 = block.decoder.default_u16(SUBTENSOR, "SubnetOwnerCut")
            emission = block.after.amount(keys.by_netuid("SubnetAlphaOutEmission", netuid))
            found.append((coldkey, pending + ((emission * ((cut_u16 << 32) // 65_535)) >> 32)))
        # A subnet that emits nothing keeps the last block's emission in storage.
        found.append((coldkey, pending))
        if len(_owners_of_subnet(block, netuid)) > 1:
            found.append((coldkey, 0))
    return list(dict.fromkeys(found))


def _incentives(events: Sequence[Event], hotkey: str, netuid: int) -> list[Incentive]:
    """Incentives that miners had staked on this hotkey (from 315)."""
    return [
        Incentive(values["hotkey"], values["owner"], values["incentive"])
        for event in events
        if event.is_a(SUBTENSOR, "AutoStakeAdded")
        and (values := event.values)["destination"] == hotkey
        and values["netuid"] == netuid
    ]


def _emissions(events: Sequence[Event], netuid: int) -> list[Sequence[int]]:
    """Incentives by uid, one list for each mechanism of a subnet (from 315)."""
    return [
        event.values["emissions"]
        for event in events
        if event.is_a(SUBTENSOR, "IncentiveAlphaEmittedToMiners")
        and event.values["netuid"] % _SUBNETS_MAX == netuid
    ]


def paid_miners(events: Sequence[Event]) -> set[int]:
    """Subnets whose epoch the block's events tell of (from 315)."""
    return {
        event.values["netuid"] % _SUBNETS_MAX
        for event in events
        if event.is_a(SUBTENSOR, "IncentiveAlphaEmittedToMiners")
    }


def _own_incentives(block: EpochBlock, hotkey: str, netuid: int) -> tuple[int, ...] | None:
    """What the hotkey's own mining can have added to its pool beside what events name; None before events told."""
    lists = _emissions(block.events, netuid)
    if not lists:
        # From 315 every epoch that pays miners says so.
        return (0,) if block.spec_version >= _INCENTIVES_NAMED_FROM else None
    if any(
        event.is_a(SUBTENSOR, "AutoStakeAdded")
        and (event.values["hotkey"], event.values["netuid"]) == (hotkey, netuid)
        for event in block.events
    ):
        return (0,)
    uid = block.before.number(keys.by_netuid_hotkey("Uids", netuid, hotkey))
    if uid is None:
        return (0,)
    listed = sum(emissions[uid] for emissions in lists if uid < len(emissions))
    # Keys of the subnet's owner are not paid what the event lists; who that is can change within the block.
    burned = hotkey == block.before.account(
        keys.by_netuid("SubnetOwnerHotkey", netuid)
    ) or block.before.account(keys.by_hotkey("Owner", hotkey)) == block.before.account(
        keys.by_netuid("SubnetOwner", netuid)
    )
    return tuple(dict.fromkeys((0, listed) if burned else (listed, 0)))
