"""Which positions of ours a block may have changed, and the stake events of ours with those no event tells.

`chain.stake.events` and `chain.stake.changes` say what events mean; here that is held against the shares that the reader
keeps and reads. Reads nothing itself: it names the keys and gets the state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from chain import keys
from chain.earnings.yields import Made, PoolState
from chain.facts import Position, StakeEventFact
from chain.keys import ROOT
from chain.pools.holdings import Holdings, Pool, denominator_keys
from chain.pools.shares import NO_SHARE, Share, denominator_of, open_pool, share_in, weights
from chain.pools.shares import Pool as ReplayedPool
from chain.runtimes.decoding import Event, Extrinsic
from chain.stake.causes import Cause
from chain.stake.changes import DUST_RAO_MAX, ShareChange, Touched
from chain.stake.limit_orders import order_legs

# Whoever leaves a pool leaves less than a rao to the others; so little is no change of stake, and what came is known to it.
SURE_RAO = 10
_COARSE_RAO = 1_000
# Shares of one pool that differ in worth by less than this part differ by roundings.
_PRICE_PARTS = 1_000_000


def our_legs(
    told: Sequence[StakeEventFact],
    events: Sequence[Event],
    extrinsics: Mapping[int, Extrinsic],
    hotkeys: Collection[str],
) -> list[StakeEventFact]:
    """Stake events on some hotkeys, batched limit orders included, in order.

    :param told: what `chain.stake.events` reads of the block, of all hotkeys.
    """
    legs = [*told, *order_legs(events, extrinsics)]
    return sorted((leg for leg in legs if leg.hotkey in hotkeys), key=lambda leg: leg.event_index)


def pool_legs(legs: Iterable[StakeEventFact], pool: Pool) -> list[StakeEventFact]:
    """Those on one pool."""
    return [leg for leg in legs if (leg.hotkey, leg.netuid) == pool]


def signed(legs: Iterable[StakeEventFact], extrinsics: Mapping[int, Extrinsic]) -> list[StakeEventFact]:
    """The legs with the extrinsic, signer and call each came from."""
    return [
        replace(leg, extrinsic_hash=extrinsic.hash, signer=extrinsic.signer, call=extrinsic.call_name)
        if (extrinsic := extrinsics.get(-1 if leg.extrinsic_index is None else leg.extrinsic_index))
        else leg
        for leg in legs
    ]


def of_coldkeys(
    marks: Touched, holdings: Holdings, netuids: Sequence[int], legs: Iterable[StakeEventFact]
) -> set[Position]:
    """Positions that may have changed for coldkeys which events name without saying where.

    Those on every subnet of each of our hotkeys with which one of these coldkeys holds anything, or to which it came in the
    block. A coldkey new to a pool shows in its denominator.

    :param legs: the block's stake events.
    """
    # Asked of the view, because a set would walk through all holders.
    hotkeys = {
        hotkey for (hotkey, _), holders in holdings.items() if not holders.keys().isdisjoint(marks.coldkeys)
    }
    came = {(leg.hotkey, leg.coldkey) for leg in legs if leg.added and leg.coldkey in marks.coldkeys}
    return {
        (hotkey, netuid, coldkey)
        for hotkey, coldkey in came | {(hotkey, coldkey) for hotkey in hotkeys for coldkey in marks.coldkeys}
        for netuid in {ROOT, *netuids}
    }


def value_keys(pools: Iterable[Pool], *, safe_float: bool) -> list[str]:
    """Keys to read of a state so that shares of these pools can be valued."""
    pools = sorted(pools)
    return [
        *(keys.by_hotkey_netuid("TotalHotkeyAlpha", *pool) for pool in pools),
        *denominator_keys(pools, safe_float=safe_float),
    ]


@dataclass(frozen=True)
class PoolBlock:
    """All that is known of one pool over one block: its state and shares before and after, stake events, an epoch's credits.

    `changed` are the holders whose share is another after it. `made` is what the epoch credited, in order, dividends as to
    None; `is_told` that this is all it did to the pool before anything else did. `rewritten` says that a swap or a
    migration may have given all shares another scale.
    """

    pool: Pool
    before: PoolState
    after: PoolState
    shares: Mapping[str, Share]
    shares_after: Mapping[str, Share]
    changed: Collection[str]
    legs: Sequence[StakeEventFact]
    made: Made = ()
    is_told: bool = True
    safe_float: bool = False
    early: bool = False
    rewritten: bool = False

    @property
    def untold_rao(self) -> int:
        """What came to the pool (or left) that neither its stake events nor its epoch explain."""
        told = sum(rao for _, rao in self.made)
        told += sum(leg.alpha_rao if leg.added else -leg.alpha_rao for leg in self.legs)
        return self.after.value - self.before.value - told


def untold_changes(block: PoolBlock) -> list[ShareChange]:
    """What positions of a pool gained or lost beside its stake events and what its epoch credited.

    Once the epoch's credits are replayed, the value of a share stays as it is until the block ends, so that what happened
    to each position after it can be valued in the pool as the epoch left it or as it is then: in the larger one of them,
    since a rao that roundings leave weighs much where little is left.
    """
    paid = _after_credits(block)
    then = PoolState(paid.value, denominator_of(paid))
    end = block.after if block.after.denominator.bits else then
    # In a pool that was all but empty within the block, a rao left over made shares worth something else.
    apart = block.rewritten or (block.is_told and not _same_price(then, end))
    if block.is_told and not apart and then.value > end.value:
        end = then
    moved: dict[str, int] = defaultdict(int)
    for leg in block.legs:
        moved[leg.coldkey] += 0 if _within_epoch(leg) else leg.alpha_rao if leg.added else -leg.alpha_rao
    credited = {coldkey for coldkey, _ in block.made if coldkey is not None}
    # Whoever stakes first on an emptied pool owns what roundings left in it.
    left = 0 if block.before.denominator.bits else block.before.value
    growth = 0 if apart else _growth(paid.value, block.legs)
    found = []
    # Shares that stayed the same may be worth something else.
    rescaled = block.shares if block.rewritten else ()
    for coldkey in sorted({*block.changed, *moved, *credited, *rescaled}):
        was, now = _share_in(paid, coldkey, block.shares), block.shares_after.get(coldkey, NO_SHARE)
        worth = _worth(then if apart else end, was), _worth(end, now)
        gained = _whole(*worth) - moved.get(coldkey, 0)
        told = coldkey in moved or coldkey in credited or block.rewritten
        roundings, lost = (SURE_RAO + left, growth) if told else (0, 0)
        # Dust of whoever left is deleted to the last rao.
        is_dust = gained < -1 and worth[1] < 1 and moved.get(coldkey, 0) < 0
        if is_dust or not -roundings - lost <= gained <= roundings:
            found.append(ShareChange(*block.pool, coldkey, int(worth[1]) - gained, int(worth[1])))
    if len(found) == 1 and block.is_told and block.after.denominator.bits:
        # Where little was left in a pool, shares are coarse; its value is whole rao. What stood in a pool without shares, as
        # dividends from before its first stake, is the first staker's and did not come with the stake.
        [change] = found
        if abs(change.gained_rao - left - block.untold_rao) <= max(
            _COARSE_RAO, abs(change.gained_rao) // 1_000
        ):
            before = change.after_alpha_rao - block.untold_rao
            found = [replace(change, before_alpha_rao=before)] if block.untold_rao else []
    return found


def _whole(was: Fraction, now: Fraction) -> int:
    """What came in whole rao: stake is whole but for roundings; shares that were handed on are worth their floor."""
    nearest = round(now - was)
    return nearest if abs(now - was - nearest) * 1_000 < 1 else int(now) - int(was)


def _worth(pool: PoolState, share: Share) -> Fraction:
    """What a share is worth in rao, not rounded: what differs by a rao is not to be lost in two floors."""
    of = weights({"all": pool.denominator, "": share})
    return Fraction(pool.value * of[""], of["all"]) if of["all"] else Fraction(0)


def _same_price(one: PoolState, other: PoolState) -> bool:
    """Whether a share is worth the same in both but for what roundings leave, or one of them has none."""
    of = weights({"one": one.denominator, "other": other.denominator})
    if not all(of.values()) or not one.value or not other.value:
        return True
    crossed = one.value * of["other"], other.value * of["one"]
    return abs(crossed[0] - crossed[1]) * _PRICE_PARTS <= max(crossed)


def _growth(value: int, legs: Iterable[StakeEventFact]) -> int:
    """How many times over a pool grew within the block since it was smallest: so much a rao that was rounded then weighs.

    None where less was left in it than what the chain would have deleted as dust: any amount could hide behind that.
    """
    least = grown = value
    growth = 0
    for leg in legs:
        if not _within_epoch(leg):
            grown += leg.alpha_rao if leg.added else -leg.alpha_rao
            least = min(least, grown)
            growth = max(growth, grown // least) if least >= DUST_RAO_MAX else 0
    return growth


def _within_epoch(leg: StakeEventFact) -> bool:
    """A lease is paid out between an epoch's cut and its dividends."""
    return leg.cause == Cause.LEASE


def _after_credits(block: PoolBlock) -> ReplayedPool:
    """The pool after its epoch, with the shares of everybody whom that credited."""
    within = [leg for leg in block.legs if _within_epoch(leg)]
    involved = {coldkey for coldkey, _ in block.made} | {leg.coldkey for leg in within}
    pool = open_pool(
        block.before.value,
        block.before.denominator,
        {coldkey: held for coldkey in involved if coldkey and (held := block.shares.get(coldkey))},
        safe=block.safe_float,
        early=block.early,
    )
    dividend = next((at for at, (coldkey, _) in enumerate(block.made) if coldkey is None), len(block.made))
    for coldkey, rao in block.made[:dividend]:
        pool.add(str(coldkey), rao)
    for leg in within:
        (pool.add if leg.added else pool.remove)(leg.coldkey, leg.alpha_rao)
    for coldkey, rao in block.made[dividend:]:
        if coldkey is None:
            pool.add_for_all(rao)
        else:
            pool.add(coldkey, rao)
    return pool


def _share_in(pool: ReplayedPool, coldkey: str, shares: Mapping[str, Share]) -> Share:
    if coldkey not in pool.shares:
        return shares.get(coldkey, NO_SHARE)
    return share_in(pool, coldkey)
