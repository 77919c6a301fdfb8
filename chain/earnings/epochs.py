"""What one epoch of our hotkeys needs from storage, era by era, and the yields it comes to.

Which keys to read stands beside what is made of them. The arithmetic is in `chain.earnings.yields`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chain import keys
from chain.earnings.yields import (
    Epoch,
    Incentive,
    Made,
    MethodsDisagree,
    PoolChange,
    PoolState,
    Proof,
    Take,
    epoch_takes,
    may_be_nothing,
    pool_confirms,
    root_takes,
    unpaid_credits,
)
from chain.facts import Position, StakeEventFact, YieldFact
from chain.keys import ROOT, SUBTENSOR
from chain.nodes.source import MissingRead
from chain.pools.holdings import Holdings, Pool, denominator, share, share_keys
from chain.pools.shares import NO_SHARE
from chain.runtimes.decoding import Decoder, Event, Extrinsic
from chain.runtimes.eras import Era, RootDividends
from chain.runtimes.event_values import named
from chain.stake.causes import Cause
from chain.stake.changes import silent_fees
from chain.stake.movements import pool_legs, value_keys
from chain.stake.refunds import limited_sales, untold_refunds
from chain.state import State

# Before it, share pools began and ended otherwise (:class:`chain.pools.shares.SharePool`).
EARLY_POOLS_UNTIL = 244
# A hundred alpha; fees are small parts of one.
_SILENT_FEES_RAO_MAX = 10**11
# Subnets beyond it are numbers of mechanisms: mechanism × 4096 + netuid (`get_mechanism_storage_index`).
_SUBNETS_MAX = 4096


@dataclass(frozen=True)
class EpochBlock:
    """A block in which epochs ran."""

    number: int
    era: Era
    spec_version: int
    decoder: Decoder
    netuids: Sequence[int]
    """In the order in which the chain ran them."""
    pairs: Sequence[Pool]
    """(hotkey, netuid) of ours among them."""
    others: Sequence[Pool]
    """Those of our keys on subnets where they are not ours; their owners' positions change all the same."""
    events: Sequence[Event]
    legs: Sequence[StakeEventFact]
    holdings: Holdings
    before: State
    after: State
    renamed: dict[Pool, str]
    """Pools whose hotkey was swapped in this block, with the key that took its place."""
    unsaid: frozenset[Position]
    """Positions that may have changed by amounts no stake event tells."""
    extrinsics: Mapping[int, Extrinsic]

    def names(self, hotkey: str, netuid: int) -> list[str]:
        """The keys under which a pool's books may stand after the block, its own first."""
        return [hotkey, *([self.renamed[hotkey, netuid]] if (hotkey, netuid) in self.renamed else [])]

    def key_after(self, key_of: Callable[[str], str], hotkey: str, netuid: int) -> str:
        """Storage key of one item of a pool's books after the block.

        Which items a swap takes along differs by runtime and by whether delegators stay; what it took is gone under the
        old key.
        """
        found = [key_of(name) for name in self.names(hotkey, netuid)]
        return next((key for key in found if self.after.raw(key) is not None), found[0])

    @property
    def hotkeys(self) -> list[str]:
        """Our keys that had an epoch."""
        return sorted({hotkey for hotkey, _ in (*self.pairs, *self.others)})


def pools_of(block: EpochBlock) -> set[Pool]:
    """Every pool whose state matters: those that had the epoch, and root, which shares in it."""
    return {(hotkey, netuid) for hotkey, own in (*block.pairs, *block.others) for netuid in (own, ROOT)}


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
        *_claim_keys(block, (*block.pairs, *block.others)),
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


def _pool_value(netuid: int) -> Callable[[str], str]:
    return lambda hotkey: keys.by_hotkey_netuid("TotalHotkeyAlpha", hotkey, netuid)


def keys_after(block: EpochBlock) -> list[str]:
    """Keys to read in the block's own state."""
    wanted = [keys.by_netuid("SubnetAlphaOutEmission", netuid) for netuid in block.netuids]
    for hotkey, netuid in (*block.pairs, *block.others):
        items = [_alpha_dividends(netuid)]
        if block.era.root_dividends is not RootDividends.COMBINED:
            items.append(_root_dividends(block, netuid))
        if block.era.last_epoch_value:
            items.append(_last_epoch_value(netuid))
        wanted += [item(name) for item in items for name in block.names(hotkey, netuid)]
    pools = {(name, netuid) for hotkey, netuid in pools_of(block) for name in block.names(hotkey, netuid)}
    wanted += _claim_keys(block, (*block.pairs, *block.others))
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
    found.unsure |= {at for at in credited(block) if (at[0], at[1]) not in found.made}
    return found


def take_u16(state: State, hotkey: str, decoder: Decoder) -> int:
    """The part of dividends that a key takes, of 65,535: the runtime's default where none is stored."""
    stored = state.number(keys.by_hotkey("Delegates", hotkey))
    return decoder.default_u16(SUBTENSOR, "Delegates") if stored is None else stored


def doubts(block: EpochBlock, found: Iterable[YieldFact]) -> list[str]:
    """Takes that the chain leaves open by a rao, with all numbers."""
    return [
        f"block {block.number}, {fact.hotkey} on netuid {fact.netuid}: what the owner did in the same block hides "
        f"whether the {fact.side.lower()} take was {fact.take_low_rao} or {fact.take_high_rao} rao on a dividend of "
        f"{fact.dividend_rao}; {fact.take_rao} is stored"
        for fact in found
        if fact.proof == Proof.DOUBT and fact.take_low_rao != fact.take_high_rao
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


def told_pools(block: EpochBlock) -> list[Pool]:
    """Pools that stake events changed and no epoch: what the events say is all that happened there."""
    had_epochs = {*block.pairs, *block.others}
    if block.netuids and block.era.root_dividends is RootDividends.TAO_STAKE:
        had_epochs |= {(hotkey, ROOT) for hotkey in block.hotkeys}
    return sorted({(leg.hotkey, leg.netuid) for leg in block.legs} - had_epochs)


def told_keys(block: EpochBlock) -> list[str]:
    """Keys to read in both states of the pools that no epoch changed, to hold their events against them."""
    pools = told_pools(block)
    return [*value_keys(pools, safe_float=block.era.safe_float_shares), *_claim_keys(block, pools)]


def contradicted(block: EpochBlock, moved_silently: Collection[Pool]) -> list[str]:
    """Doubts about stake events whose amounts do not give the pool that the chain has, replayed bit for bit.

    Where something else moved stake, by an amount that is known from the shares alone, nothing can be held against them.
    """
    remade = {
        named(event, "netuid")[0]
        for event in block.events
        if event.is_a(SUBTENSOR, "NetworkAdded", "NetworkRemoved")
    }
    found = []
    for hotkey, netuid in told_pools(block):
        if netuid in remade or (hotkey, netuid) in moved_silently:
            continue
        change = _change(block, hotkey, netuid, [])
        unclear = change.disturbed or change.returnable_rao or change.silent_rao
        if not unclear and (change.grown != change.moved or not pool_confirms(change, [])):
            found.append(
                f"{change.name}: stake events moved {change.moved} rao, and the pool's value and shares changed otherwise "
                f"(by {change.grown} rao)"
            )
    return found


def _change(block: EpochBlock, hotkey: str, netuid: int, coldkeys: Collection[str]) -> PoolChange:
    swapped = (hotkey, netuid) in block.renamed
    after_key = block.key_after(_pool_value(netuid), hotkey, netuid)
    after_hotkey = next(
        name for name in block.names(hotkey, netuid) if _pool_value(netuid)(name) == after_key
    )
    claims = _claims(block, hotkey, netuid)
    legs = pool_legs(block.legs, (hotkey, netuid)) + claims
    legs.sort(key=lambda leg: leg.event_index)
    held = denominator(block.before, (hotkey, netuid))
    if held.bits and block.before.raw(_pool_value(netuid)(hotkey)) is None:
        raise MissingRead(
            f"block {block.number}, {hotkey} on netuid {netuid}: the pool has {held} shares and no value"
        )
    limited = limited_sales(legs, block.extrinsics, block.spec_version)
    unmoved = set() if swapped else set(coldkeys) - {leg.coldkey for leg in legs}
    unsaid = _unsaid(block, hotkey, netuid) | _untold_claimants(block, hotkey, netuid, claims)
    return PoolChange(
        name=f"block {block.number}, {hotkey} on netuid {netuid}",
        before=PoolState(block.before.amount(_pool_value(netuid)(hotkey)), held),
        after=PoolState(block.after.amount(after_key), denominator(block.after, (after_hotkey, netuid))),
        shares=block.holdings.get((hotkey, netuid), {}),
        events=legs,
        shares_after={coldkey: share(block.after, hotkey, netuid, coldkey) for coldkey in unmoved},
        safe_float=block.era.safe_float_shares,
        early=block.spec_version < EARLY_POOLS_UNTIL,
        disturbed=swapped or bool(unsaid),
        renamed=swapped,
        returnable_rao=sum(legs[position].alpha_rao for position in limited),
        silent_rao=_SILENT_FEES_RAO_MAX if legs and any(silent_fees(block.events, block.spec_version)) else 0,
        refundable=limited[0] if len(limited) == 1 else None,
        blurred=frozenset(
            [
                *untold_refunds(legs, block.extrinsics, block.spec_version),
                *(position for position, leg in enumerate(legs) if leg.cause == Cause.ORDER),
            ]
        ),
        owner_moved=any(leg.coldkey in coldkeys for leg in legs) or bool(unsaid.intersection(coldkeys)),
    )


def _untold_claimants(
    block: EpochBlock, hotkey: str, netuid: int, claims: Iterable[StakeEventFact]
) -> set[str]:
    """Whose claim of root dividends became stake here by an amount, or at a time, that nothing tells.

    On a subnet that is so where root stake moved too; on root wherever what was claimed was sold for it. Of several
    claims the one that the runtime makes as the block begins leaves nothing for the others.
    """
    told = {leg.coldkey for leg in claims}
    held = block.holdings.get((hotkey, netuid), {})
    # All that was claimed may have been sold again, which leaves the share as it was.
    sold = {
        leg.coldkey for leg in block.legs if (leg.hotkey, leg.netuid, leg.added) == (hotkey, netuid, False)
    }
    return {
        coldkey
        for coldkey, events in _claimants(block, hotkey).items()
        if (coldkey in sold or share(block.after, hotkey, netuid, coldkey) != held.get(coldkey, NO_SHARE))
        and (
            len(events) > 1 and events[0].extrinsic_index is not None
            if coldkey in told
            else share(block.after, hotkey, ROOT, coldkey) != block.holdings[hotkey, ROOT][coldkey]
        )
    }


def _unsaid(block: EpochBlock, hotkey: str, netuid: int) -> set[str]:
    """Whose share of a pool something changed that no event puts a number to."""
    held = block.holdings.get((hotkey, netuid), {})
    return {
        coldkey
        for key, subnet, coldkey in block.unsaid
        if (key, subnet) == (hotkey, netuid)
        and share(block.after, hotkey, netuid, coldkey) != held.get(coldkey, NO_SHARE)
    }


def _claimants(block: EpochBlock, hotkey: str) -> dict[str, list[Event]]:
    """Claims of root dividends by stakers of a hotkey, by coldkey."""
    stakers = block.holdings.get((hotkey, ROOT), {})
    found: dict[str, list[Event]] = {}
    for event in block.events:
        if event.is_a(SUBTENSOR, "RootClaimed") and (coldkey := named(event, "coldkey")[0]) in stakers:
            found.setdefault(coldkey, []).append(event)
    return found


def _claimed_key(hotkey: str, netuid: int, coldkey: str) -> str:
    return keys.by_netuid_hotkey("RootClaimed", netuid, hotkey) + keys.account_part(coldkey)


def _claim_keys(block: EpochBlock, pools: Iterable[Pool]) -> list[str]:
    return [
        key
        for hotkey, netuid in pools
        for coldkey in _claimants(block, hotkey)
        for key in (
            *([] if netuid == ROOT else [_claimed_key(hotkey, netuid, coldkey)]),
            *share_keys(hotkey, ROOT, coldkey, safe_float=block.era.safe_float_shares),
        )
    ]


def _claims(block: EpochBlock, hotkey: str, netuid: int) -> list[StakeEventFact]:
    """Root dividends that claims kept as stake on this pool, where what storage says of claims is that alone.

    Moving root stake shifts the same record, so a claimant whose root share changed too is left out.
    """
    found = []
    for coldkey, events in _claimants(block, hotkey).items() if netuid != ROOT else ():
        key = _claimed_key(hotkey, netuid, coldkey)
        kept = block.after.amount(key) - block.before.amount(key)
        old = block.holdings[hotkey, ROOT][coldkey]
        if kept > 0 and share(block.after, hotkey, ROOT, coldkey) == old:
            found.append(
                StakeEventFact(
                    events[0].index, None, "STAKE", True, coldkey, hotkey, netuid, None, kept, None, "TAO"
                )
            )
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
    change = _change(block, hotkey, netuid, [owner])
    paid = bool(alpha_net or root_net)
    root_pool = _change(block, hotkey, ROOT, [])
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
    change = _change(block, hotkey, ROOT, [owner])
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


def _subnet_owners(block: EpochBlock, hotkey: str, netuid: int) -> list[str]:
    """Coldkey of the subnet's owner, where this hotkey receives his cut."""
    if block.before.account(keys.by_netuid("SubnetOwnerHotkey", netuid)) != hotkey:
        return []
    coldkey = block.before.account(keys.by_netuid("SubnetOwner", netuid))
    return [] if coldkey is None else [coldkey]


def _owner_cuts(block: EpochBlock, hotkey: str, netuid: int) -> list[tuple[str, int]]:
    """What the subnet owner's cut can have been: what was pending, with this block's accrual if there was one."""
    found = []
    for coldkey in _subnet_owners(block, hotkey, netuid):
        pending = block.before.amount(keys.by_netuid("PendingOwnerCut", netuid))
        enabled = block.spec_version < 411 or block.before.number(
            keys.by_netuid("OwnerCutEnabled", netuid)
        ) in (None, 1)
        if enabled and block.before.number(keys.by_netuid("FirstEmissionBlockNumber", netuid)) is not None:
            cut_u16 = block.before.number(keys.OWNER_CUT)
            if cut_u16 is None:
                cut_u16 = block.decoder.default_u16(SUBTENSOR, "SubnetOwnerCut")
            emission = block.after.amount(keys.by_netuid("SubnetAlphaOutEmission", netuid))
            found.append((coldkey, pending + ((emission * ((cut_u16 << 32) // 65_535)) >> 32)))
        # A subnet that emits nothing keeps the last block's emission in storage.
        found.append((coldkey, pending))
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
        return (0,) if block.spec_version >= 315 else None
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
