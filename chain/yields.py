"""Which take an epoch credited to a hotkey, by two methods that must agree. Pure.

Method 1 is the growth of the share pool less everything else that grew it; method 2 inverts the dividend that storage
keeps (`chain.takes`). Where a pool was left alone after the epoch, the pool is also replayed bit by bit
(`chain.shares`): its denominator must come out as the chain has it. For the runtimes before 334, root dividends are
TAO stake on root, so both sides are pools of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chain.facts import StakeEventFact
from chain.shares import SharePool
from chain.takes import take_range, takes_adding_to


class MethodsDisagree(Exception):
    """The ways of computing a take give different results; nothing is guessed and the block is not stored."""


@dataclass(frozen=True)
class PoolState:
    """A pool at one block: value in rao, denominator in raw bits."""

    value: int
    denominator: int


@dataclass(frozen=True)
class PoolChange:
    """One pool over one block. `shares` are those at the parent, of at least every coldkey that is credited or moves.

    `events` are the block's stake events on this pool, in order, all after the epoch.
    """

    name: str
    before: PoolState
    after: PoolState
    shares: dict[str, int]
    events: Sequence[StakeEventFact]


@dataclass(frozen=True)
class Take:
    """A take in rao, the bounds inversion gives, and what else the epoch credited to the pool."""

    rao: int
    low_rao: int
    high_rao: int
    other_rao: int = 0


def _apply(pool: SharePool, events: Iterable[StakeEventFact]) -> None:
    for event in events:
        if event.added:
            pool.add(event.coldkey, event.alpha_rao)
        else:
            pool.remove(event.coldkey, event.alpha_rao)


def _replayed(change: PoolChange, credited: Iterable[tuple[str | None, int]]) -> bool:
    """Say whether crediting (coldkey, or None for all) in this order and then the events gives the chain's pool."""
    pool = SharePool(change.before.value, change.before.denominator, dict(change.shares))
    for coldkey, amount in credited:
        if coldkey is None:
            pool.add_for_all(amount)
        else:
            pool.add(coldkey, amount)
    _apply(pool, change.events)
    return (pool.value, pool.denominator) == (change.after.value, change.after.denominator)


def alpha_take(
    change: PoolChange,
    *,
    owner: str,
    take_u16: int,
    net_rao: int,
    value_after_epoch: int,
    owner_cut: tuple[str, int] | None,
) -> Take:
    """Take of one hotkey on one subnet's alpha.

    :param value_after_epoch: `TotalHotkeyAlphaLastEpoch`, the pool's value right after the dividend.
    :param owner_cut: coldkey and rao of the subnet owner's cut, where this hotkey receives it.
    :raises MethodsDisagree: when pool growth is not explained.
    """
    low, high = take_range(net_rao, take_u16)
    cut_rao = owner_cut[1] if owner_cut else 0
    grown = value_after_epoch - change.before.value - net_rao - cut_rao

    def replays(take_rao: int, incentive_rao: int) -> bool:
        cut = [owner_cut] if owner_cut else []
        return _replayed(change, [*cut, (owner, incentive_rao), (owner, take_rao), (None, net_rao)])

    if low <= grown <= high and (replays(grown, 0) or change.events):
        return Take(grown, low, high, cut_rao)
    # What is left over is the hotkey's own mining incentive, which these runtimes name nowhere to the rao. Where the
    # dividend allows two takes, both replay alike, since incentive and take are minted to the same owner one after the
    # other. The smaller is the take then: the rao in doubt is the owner's own either way, never a delegator's claim.
    fits = [take for take in range(low, min(high, grown) + 1) if replays(take, grown - take)]
    if fits:
        return Take(fits[0], low, high, cut_rao + grown - fits[0])
    raise MethodsDisagree(
        f"{change.name}: the pool grew by {grown} rao beside the dividend of {net_rao} and owner cut of {cut_rao}, "
        f"but at take {take_u16}/65535 that dividend allows {low} to {high} rao of take"
    )


def root_takes(change: PoolChange, *, owner: str, take_u16: int, nets_rao: Sequence[int]) -> list[Take]:
    """Takes of one hotkey on root for the epochs of one block, in the order the chain ran them.

    :raises MethodsDisagree: when no single choice of takes explains the pool.
    """
    ranges = [take_range(net, take_u16) for net in nets_rao]
    moved = sum(event.alpha_rao if event.added else -event.alpha_rao for event in change.events)
    grown = change.after.value - change.before.value - sum(nets_rao) - moved
    choices = takes_adding_to(grown, ranges)

    def replays(choice: tuple[int, ...]) -> bool:
        credited = [
            credit
            for take, net in zip(choice, nets_rao, strict=True)
            for credit in ((owner, take), (None, net))
        ]
        return _replayed(change, credited)

    proved = [choice for choice in choices if replays(choice)]
    if not proved and change.events and len(choices) == 1:
        proved = choices
    if len(proved) != 1:
        raise MethodsDisagree(
            f"{change.name}: the pool grew by {grown} rao beside dividends of {list(nets_rao)} and stake events, "
            f"but at take {take_u16}/65535 those allow {ranges} rao of take"
        )
    return [Take(take, low, high) for take, (low, high) in zip(proved[0], ranges, strict=True)]
