"""What one pool went through in a block: stake events, claims of root dividends, and what nothing puts a number to. Pure.

Which keys to read for it stands beside what is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from chain import keys
from chain.earnings.epoch_block import EpochBlock
from chain.earnings.yields import (
    PoolChange,
    PoolState,
    pool_confirms,
)
from chain.facts import StakeEventFact
from chain.keys import ROOT, SUBTENSOR
from chain.nodes.source import MissingRead
from chain.pools.holdings import Pool, denominator, share, share_keys
from chain.pools.shares import NO_SHARE, weights
from chain.runtimes.decoding import Event
from chain.runtimes.eras import RootDividends
from chain.runtimes.event_values import named
from chain.stake.causes import Cause
from chain.stake.changes import DUST_RAO_MAX, silent_fees
from chain.stake.claims import claimed_key, claims_by_coldkey
from chain.stake.movements import pool_legs, value_keys

# Before it, share pools began and ended otherwise (:class:`chain.pools.shares.SharePool`).
EARLY_POOLS_UNTIL = 244
# A hundred alpha; fees are small parts of one.
_SILENT_FEES_RAO_MAX = 10**11
# From here on dust that a removal left is deleted without an event where it would sell for nothing.
DUST_DELETED_FROM = 385


def told_pools(block: EpochBlock) -> list[Pool]:
    """Pools that stake events changed and no epoch: what the events say is all that happened there."""
    had_epochs = {*block.pairs, *block.others}
    if block.netuids and block.era.root_dividends is RootDividends.TAO_STAKE:
        had_epochs |= {(hotkey, ROOT) for hotkey in block.hotkeys}
    return sorted({(leg.hotkey, leg.netuid) for leg in block.legs} - had_epochs)


def told_keys(block: EpochBlock) -> list[str]:
    """Keys to read in both states of the pools that no epoch changed, to hold their events against them."""
    pools = told_pools(block)
    return [*value_keys(pools, safe_float=block.era.safe_float_shares), *claim_keys(block, pools)]


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
        change = pool_change(block, hotkey, netuid, [])
        unclear = change.disturbed or change.silent_rao
        if not unclear and (change.grown != change.moved or not pool_confirms(change, [])):
            found.append(
                f"{change.name}: stake events moved {change.moved} rao, and the pool's value and shares changed otherwise "
                f"(by {change.grown} rao)"
            )
    return found


def pool_change(block: EpochBlock, hotkey: str, netuid: int, coldkeys: Collection[str]) -> PoolChange:
    """What one pool went through.

    :param coldkeys: those whose share an epoch credits.
    :raises MissingRead: the pool has shares and no value.
    """
    swapped = (hotkey, netuid) in block.renamed
    after_key = block.key_after(pool_value(netuid), hotkey, netuid)
    after_hotkey = next(name for name in block.names(hotkey, netuid) if pool_value(netuid)(name) == after_key)
    claims = _claims(block, hotkey, netuid)
    legs = pool_legs(block.legs, (hotkey, netuid)) + claims
    legs.sort(key=lambda leg: leg.event_index)
    held = denominator(block.before, (hotkey, netuid))
    if held.bits and block.before.raw(pool_value(netuid)(hotkey)) is None:
        raise MissingRead(
            f"block {block.number}, {hotkey} on netuid {netuid}: the pool has {held} shares and no value"
        )
    after = PoolState(block.after.amount(after_key), denominator(block.after, (after_hotkey, netuid)))
    unmoved = set() if swapped else set(coldkeys) - {leg.coldkey for leg in legs}
    unsaid = _unsaid(block, hotkey, netuid) | _untold_claimants(block, hotkey, netuid, claims)
    return PoolChange(
        name=f"block {block.number}, {hotkey} on netuid {netuid}",
        before=PoolState(block.before.amount(pool_value(netuid)(hotkey)), held),
        after=after,
        shares=block.holdings.get((hotkey, netuid), {}),
        events=legs,
        shares_after={coldkey: share(block.after, hotkey, netuid, coldkey) for coldkey in unmoved},
        safe_float=block.era.safe_float_shares,
        early=block.spec_version < EARLY_POOLS_UNTIL,
        disturbed=swapped or bool(unsaid),
        renamed=swapped,
        silent_rao=_silent_rao(block, legs, after),
        blurred=frozenset(position for position, leg in enumerate(legs) if leg.cause == Cause.ORDER),
        owner_moved=any(leg.coldkey in coldkeys for leg in legs) or bool(unsaid.intersection(coldkeys)),
    )


def _silent_rao(block: EpochBlock, legs: Collection[StakeEventFact], after: PoolState) -> int:
    """What at most left a pool without an event: fees in alpha, or dust of whoever left it, perhaps to come back at once."""
    if legs and any(silent_fees(block.events, block.spec_version)):
        return _SILENT_FEES_RAO_MAX
    if block.spec_version < DUST_DELETED_FROM:
        return 0
    for leg in legs:
        of = weights({"all": after.denominator, "": share(block.after, leg.hotkey, leg.netuid, leg.coldkey)})
        is_out = after.value * of[""] < max(of["all"], 1)
        came_back = any(one.added and one.coldkey == leg.coldkey for one in legs)
        if not leg.added and (is_out or came_back):
            return DUST_RAO_MAX
    return 0


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
            else _moved_on_root(block, hotkey, coldkey)
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
    """Claims of root dividends by stakers of a hotkey, by coldkey; also by who came to it in the block."""
    stakers = block.holdings.get((hotkey, ROOT), {})
    came = {leg.coldkey for leg in block.legs if (leg.hotkey, leg.netuid, leg.added) == (hotkey, ROOT, True)}
    made = claims_by_coldkey(block.events)
    return {coldkey: events for coldkey, events in made.items() if coldkey in stakers or coldkey in came}


def _moved_on_root(block: EpochBlock, hotkey: str, coldkey: str) -> bool:
    """Whether root stake of a coldkey moved, also where as much came as left: until 365 not all of it shifts the record."""
    moved = any((leg.hotkey, leg.netuid, leg.coldkey) == (hotkey, ROOT, coldkey) for leg in block.legs)
    return moved or share(block.after, hotkey, ROOT, coldkey) != block.holdings.get((hotkey, ROOT), {}).get(
        coldkey, NO_SHARE
    )


def claim_keys(block: EpochBlock, pools: Iterable[Pool]) -> list[str]:
    """Keys to read in both states that tell what claims of root dividends brought to some pools."""
    return [
        key
        for hotkey, netuid in pools
        for coldkey in _claimants(block, hotkey)
        for key in (
            *([] if netuid == ROOT else [claimed_key(hotkey, netuid, coldkey)]),
            *share_keys(hotkey, ROOT, coldkey, safe_float=block.era.safe_float_shares),
        )
    ]


def _claims(block: EpochBlock, hotkey: str, netuid: int) -> list[StakeEventFact]:
    """Root dividends that claims kept as stake on this pool, where what storage says of claims is that alone.

    Moving root stake shifts the same record, so a claimant whose root stake moved too is left out.
    """
    found = []
    for coldkey, events in _claimants(block, hotkey).items() if netuid != ROOT else ():
        key = claimed_key(hotkey, netuid, coldkey)
        kept = block.after.amount(key) - block.before.amount(key)
        if kept > 0 and not _moved_on_root(block, hotkey, coldkey):
            found.append(
                StakeEventFact(
                    events[0].index, None, "STAKE", True, coldkey, hotkey, netuid, None, kept, None, "TAO"
                )
            )
    return found


def pool_value(netuid: int) -> Callable[[str], str]:
    """Storage key of a pool's value, by hotkey."""
    return lambda hotkey: keys.by_hotkey_netuid("TotalHotkeyAlpha", hotkey, netuid)
