"""What a pool's shares say came to a position beside its events, where little is left of the pool (CH2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chain.earnings.yields import PoolState
from chain.facts import StakeEventFact
from chain.pools.shares import Share, SharePool, denominator_of
from chain.stake.movements import PoolBlock, untold_changes

POOL = ("hot", 2)


def leg(coldkey: str, alpha: int) -> StakeEventFact:
    """A stake event: alpha that came, or left where it is negative."""
    kind = "STAKE" if alpha > 0 else "UNSTAKE"
    return StakeEventFact(0, 0, kind, alpha > 0, coldkey, *POOL, 0, abs(alpha), 0, "ALPHA")


def over(
    pool: SharePool, legs: Sequence[StakeEventFact], beside: Mapping[str, int] | None = None
) -> PoolBlock:
    """The pool over a block with these events, and more that came without one."""
    before, held = PoolState(pool.value, denominator_of(pool)), dict(pool.shares)
    for one in legs:
        (pool.add if one.added else pool.remove)(one.coldkey, one.alpha_rao)
    for coldkey, rao in (beside or {}).items():
        pool.add(coldkey, rao)
    after = {coldkey: Share(bits) for coldkey, bits in pool.shares.items() if bits}
    shares = {coldkey: Share(bits) for coldkey, bits in held.items()}
    state = PoolState(pool.value, denominator_of(pool))
    return PoolBlock(POOL, before, state, shares, after, sorted(after.keys() | shares.keys()), legs)


def test_ch2_who_stakes_on_a_pool_that_was_all_but_empty_gained_what_he_staked() -> None:
    """Everybody left but for a rao, which then stood for next to no share: two prices within one block."""
    pool = SharePool(12_450_720_183_740, 48 << 64, {"a": 40 << 64, "b": (8 << 64) - 1, "dust": 1})
    leave = [leg("a", -pool.stake_of("a")), leg("b", -pool.stake_of("b"))]
    block = over(pool, [*leave, leg("newcomer", 260_447_676_410)])
    was, now = block.before, block.after
    assert now.value * was.denominator.bits > 10**6 * was.value * now.denominator.bits
    assert [change for change in untold_changes(block) if change.coldkey == "newcomer"] == []


def test_ch2_what_stood_in_a_pool_without_shares_did_not_come_with_the_first_stake() -> None:
    block = over(SharePool(353_054_762_677, 0, {}), [], {"first": 829_597_582})
    [change] = untold_changes(block)
    assert (change.coldkey, change.gained_rao) == ("first", 829_597_582)


def test_ch2_a_rao_rounded_while_a_pool_was_small_weighs_as_often_as_it_grew_since() -> None:
    """All but a hundred million rao left and came back: a rao too many then is tens of thousands after, and no dust."""
    pool = SharePool(18_256_047_861_845, 15 << 64, {"a": (15 << 64) - (1 << 51) - 1, "b": (1 << 51) + 1})
    held = pool.stake_of("a")
    block = over(pool, [leg("a", -held), leg("a", held // 2)])
    assert 10**8 < pool.stake_of("b") < 2 * 10**8
    assert untold_changes(block) == []


def test_ch2_what_came_beside_the_events_of_a_pool_that_shrank_is_still_told() -> None:
    pool = SharePool(18_256_047_861_845, 15 << 64, {"a": (15 << 64) - (1 << 51) - 1, "b": (1 << 51) + 1})
    held = pool.stake_of("a")
    [change] = untold_changes(over(pool, [leg("a", -held), leg("a", held // 2)], {"b": 5_000_000}))
    assert (change.coldkey, abs(change.gained_rao - 5_000_000) < 10) == ("b", True)


def test_ch2_nothing_hides_behind_what_was_rounded_in_a_pool_of_next_to_nothing() -> None:
    """A claim beside a stake on a pool of a thousand rao, which then holds a hundred million times as much."""
    pool = SharePool(1_003, 1 << 64, {"dust": 1 << 64})
    [change] = untold_changes(over(pool, [leg("a", 10**11)], {"a": 110_000_000}))
    assert (change.coldkey, abs(change.gained_rao - 110_000_000) < 1_000) == ("a", True)
