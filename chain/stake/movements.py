"""Which positions of ours a block may have changed, and the stake events of ours with those no event tells.

`chain.stake.events` and `chain.stake.changes` say what events mean; here that is held against the shares that the reader
keeps and reads. Reads nothing itself: it names the keys and gets the state.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from chain import keys
from chain.facts import Position, ShareFact, StakeEventFact, YieldFact
from chain.keys import ROOT
from chain.pools.holdings import Holdings, Pool, denominator, denominator_keys
from chain.pools.shares import NO_SHARE, Share, open_pool, worth_of
from chain.runtimes.decoding import Event, Extrinsic
from chain.stake.changes import ShareChange, Touched
from chain.stake.limit_orders import order_legs
from chain.state import State

# Worth of a share is floored; less than this is no change of stake.
_ROUNDING_RAO = 2


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


def of_coldkeys(marks: Touched, holdings: Holdings, netuids: Sequence[int]) -> set[Position]:
    """Positions that may have changed for coldkeys which events name without saying where.

    Those on every subnet of each of our hotkeys with which one of these coldkeys holds anything. A coldkey new to a pool
    shows in its denominator.
    """
    # Asked of the view, because a set would walk through all holders.
    hotkeys = {
        hotkey for (hotkey, _), holders in holdings.items() if not holders.keys().isdisjoint(marks.coldkeys)
    }
    return {
        (hotkey, netuid, coldkey)
        for hotkey in hotkeys
        for netuid in {ROOT, *netuids}
        for coldkey in marks.coldkeys
    }


def refunds(
    pools: Iterable[Pool],
    legs: Iterable[StakeEventFact],
    yields: Iterable[YieldFact],
    states: tuple[State, State],
) -> dict[Pool, int]:
    """How much more each pool holds after the block than its stake events and epochs explain, in rao."""
    explained: dict[Pool, int] = defaultdict(int)
    for leg in legs:
        explained[leg.hotkey, leg.netuid] += leg.alpha_rao if leg.added else -leg.alpha_rao
    for earned in yields:
        in_root = earned.asset == "TAO"
        pool = (earned.hotkey, ROOT if in_root else earned.netuid)
        stays = in_root or earned.side == "ALPHA"
        explained[pool] += earned.take_rao + earned.other_rao + (earned.dividend_rao if stays else 0)
    found = {}
    for pool in pools:
        key = keys.by_hotkey_netuid("TotalHotkeyAlpha", *pool)
        found[pool] = states[1].amount(key) - states[0].amount(key) - explained[pool]
    return found


def value_keys(pools: Iterable[Pool], *, safe_float: bool) -> list[str]:
    """Keys to read of a state so that shares of these pools can be valued."""
    pools = sorted(pools)
    return [
        *(keys.by_hotkey_netuid("TotalHotkeyAlpha", *pool) for pool in pools),
        *denominator_keys(pools, safe_float=safe_float),
    ]


def silent_positions(
    differences: Iterable[ShareFact],
    legs: Iterable[StakeEventFact],
    credited: Collection[Position],
    marks: Touched,
) -> list[ShareFact]:
    """Changed shares that neither a stake event nor an epoch's credit explains, or may not explain alone."""
    told = {(leg.hotkey, leg.netuid, leg.coldkey) for leg in legs}
    return [
        change
        for change in differences
        if (at := (change.hotkey, change.netuid, change.coldkey)) not in credited
        and (at not in told or change.coldkey in marks.coldkeys)
    ]


def share_changes(
    silent: Iterable[ShareFact],
    before: Holdings,
    legs: Iterable[StakeEventFact],
    states: tuple[State, State],
    *,
    safe_float: bool,
    rewritten: bool = False,
) -> list[ShareChange]:
    """What silent changes come to in rao, less what stake events explain of them.

    Valued in the pool as it stands after the block, so that no dividend is counted; one that ended, as it stood before.

    :param rewritten: a migration may have given all shares another scale, and no dividend was paid: what a share was
        worth is valued in the pool as it stood then.
    """
    moved: dict[Position, int] = defaultdict(int)
    for leg in legs:
        moved[leg.hotkey, leg.netuid, leg.coldkey] += leg.alpha_rao if leg.added else -leg.alpha_rao
    found = []
    for change in silent:
        pool = (change.hotkey, change.netuid)
        old = before.get(pool, {}).get(change.coldkey, NO_SHARE)
        state = states[1] if denominator(states[1], pool).bits else states[0]
        worth = _Worth(state, pool, safe_float=safe_float)
        worth_before = _Worth(states[0], pool, safe_float=safe_float) if rewritten else worth
        explained = moved[change.hotkey, change.netuid, change.coldkey]
        was, now = worth_before.of(old) + explained, worth.of(change.share)
        if (explained or rewritten) and abs(now - was) <= _ROUNDING_RAO:
            continue
        found.append(ShareChange(change.hotkey, change.netuid, change.coldkey, max(was, 0), now))
    return found


def hidden_positions(
    credited: Collection[Position], legs: Iterable[StakeEventFact], marks: Touched
) -> dict[Pool, Position]:
    """Positions that an epoch credited and that something else, which no stake event tells, may have changed too.

    Their shares alone do not tell by how much. Of each pool only the one: two in a pool cannot be told apart.
    """
    told = {(leg.hotkey, leg.netuid, leg.coldkey) for leg in legs}
    found: dict[Pool, list[Position]] = defaultdict(list)
    for at in credited:
        if at[2] in marks.coldkeys or (at in marks.positions and at not in told):
            found[at[0], at[1]].append(at)
    return {pool: positions[0] for pool, positions in found.items() if len(positions) == 1}


def hidden_changes(
    hidden: Mapping[Pool, Position],
    changes: Iterable[ShareChange],
    legs: Iterable[StakeEventFact],
    yields: Sequence[YieldFact],
    states: tuple[State, State],
) -> list[ShareChange]:
    """What hidden positions changed by beside the epoch's credit: what their pool gained and nothing else explains.

    Only in pools of which the epoch's yields tell all that it credited.
    """
    earning = {
        (earned.hotkey, ROOT if earned.asset == "TAO" else earned.netuid)
        for earned in yields
        if earned.asset == "TAO" or earned.side == "ALPHA"
    }
    others: dict[Pool, list[int]] = defaultdict(list)
    for change in changes:
        gained = change.after_alpha_rao - change.before_alpha_rao
        others[change.hotkey, change.netuid].append(gained)
    found = []
    for pool, left in refunds(sorted(earning & hidden.keys()), legs, yields, states).items():
        gained = left - sum(others[pool])
        if abs(gained) > _ROUNDING_RAO * len(others[pool]):
            value = states[0].amount(keys.by_hotkey_netuid("TotalHotkeyAlpha", *pool))
            hotkey, netuid, coldkey = hidden[pool]
            # Only the difference counts; the whole pool stands for what the position was worth.
            found.append(ShareChange(hotkey, netuid, coldkey, value, value + gained))
    return found


class _Worth:
    def __init__(self, state: State, pool: Pool, *, safe_float: bool) -> None:
        value = state.amount(keys.by_hotkey_netuid("TotalHotkeyAlpha", *pool))
        self._pool = open_pool(value, denominator(state, pool), {}, safe=safe_float)

    def of(self, share: Share) -> int:
        return worth_of(self._pool, share) if share.bits else 0
