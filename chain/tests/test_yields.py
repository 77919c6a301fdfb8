"""The two methods for a take, and what happens where they cannot both be had (CH3)."""

import pytest

from chain.earnings.takes import split_dividend
from chain.earnings.yields import Epoch, MethodsDisagree, PoolChange, PoolState, Take, epoch_takes, root_takes
from chain.pools.shares import Share, SharePool
from chain.tests.factories import key

TAKE = 11_796


OWNER, SUBNET_OWNER, HOTKEY = key("owner"), key("subnet owner"), key("hotkey")


def state(pool: SharePool) -> PoolState:
    return PoolState(pool.value, Share(pool.denominator))


def alpha_take(
    change: PoolChange,
    *,
    net_rao: int,
    value_after_epoch: int,
    owner_cut: tuple[str, int] | None = None,
) -> Take:
    alpha, root, _ = epoch_takes(
        change,
        Epoch(
            hotkey=HOTKEY,
            owner=OWNER,
            take_u16=TAKE,
            alpha_net_rao=net_rao,
            value_after_alpha=value_after_epoch,
            owner_cuts=[owner_cut] if owner_cut else [],
        ),
    )
    assert (root.rao, root.net_rao) == (0, 0)
    return alpha


def epoch(
    pool: SharePool, dividends: list[int], *, cut: int = 0, incentive: int = 0
) -> tuple[PoolChange, list[int], list[int]]:
    """Credit a pool as the runtime does; gives the change, the takes and the nets, in rao."""
    before, shares = state(pool), {key: Share(bits) for key, bits in pool.shares.items()}
    if cut:
        pool.add(SUBNET_OWNER, cut)
    pool.add(OWNER, incentive)
    takes, nets = zip(*(split_dividend(dividend << 32, TAKE) for dividend in dividends), strict=True)
    for take, net in zip(takes, nets, strict=True):
        pool.add(OWNER, take)
        pool.add_for_all(net)
    return (
        PoolChange("pool", before, state(pool), shares, []),
        list(takes),
        list(nets),
    )


def a_pool() -> SharePool:
    pool = SharePool(0, 0)
    for coldkey, amount in ((OWNER, 10**9 + 7), ("a", 5 * 10**12 + 3), ("b", 10**11 + 1)):
        pool.add(coldkey, amount)
    pool.add_for_all(123_456_789)
    return pool


def test_ch3_a_quiet_epoch_is_the_growth_of_the_pool() -> None:
    change, [take], [net] = epoch(a_pool(), [987_654_321])
    got = alpha_take(
        change,
        net_rao=net,
        value_after_epoch=change.after.value,
    )
    assert (got.rao, got.other_rao) == (take, 0)
    assert got.low_rao <= take <= got.high_rao


def test_ch3_the_owner_cut_is_not_take() -> None:
    change, [take], [net] = epoch(a_pool(), [987_654_321], cut=179_995_422)
    got = alpha_take(
        change,
        net_rao=net,
        value_after_epoch=change.after.value,
        owner_cut=(SUBNET_OWNER, 179_995_422),
    )
    assert (got.rao, got.other_rao) == (take, 179_995_422)


@pytest.mark.parametrize("dividend", range(987_654_321, 987_654_341))
def test_ch3_a_mining_incentive_is_told_from_take_to_the_rao_in_doubt(dividend: int) -> None:
    change, [take], [net] = epoch(a_pool(), [dividend], incentive=432_707_023)
    got = alpha_take(
        change,
        net_rao=net,
        value_after_epoch=change.after.value,
    )
    assert got.low_rao <= got.rao <= got.high_rao
    assert take - got.rao in (0, 1)
    assert got.rao + got.other_rao == take + 432_707_023


def test_ch3_growth_that_nothing_explains_is_refused() -> None:
    change, _, [net] = epoch(a_pool(), [987_654_321])
    with pytest.raises(MethodsDisagree, match="allow no take"):
        alpha_take(
            change,
            net_rao=net,
            value_after_epoch=change.after.value - 10,
        )


def test_ch3_two_epochs_in_one_block_are_told_apart() -> None:
    change, takes, nets = epoch(a_pool(), [3_333_333_337, 7_777_777_771, 1_234_567])
    found, made = root_takes(change, owner=OWNER, take_u16=TAKE, nets_rao=nets)
    assert [take.rao for take in found] == takes
    assert sum(rao for _, rao in made) == sum(takes) + sum(nets)


def test_ch3_a_root_pool_that_grew_otherwise_is_refused() -> None:
    change, _, nets = epoch(a_pool(), [3_333_333_337])
    wrong = PoolChange(
        "pool", change.before, PoolState(change.after.value + 3, change.after.denominator), {}, []
    )
    with pytest.raises(MethodsDisagree, match="stake events"):
        root_takes(wrong, owner=OWNER, take_u16=TAKE, nets_rao=nets)


def test_ch3_before_244_a_dividend_too_small_for_a_take_on_an_empty_pool_makes_nobody_its_holder() -> None:
    """Nothing credited to the owner is no stake of his."""
    empty, after = PoolState(0, Share(0)), PoolState(2, Share(0))
    change = PoolChange("pool", empty, after, {}, [], shares_after={OWNER: Share(0)}, early=True)
    mined_unseen = Epoch(hotkey=HOTKEY, owner=OWNER, take_u16=TAKE, alpha_net_rao=2, own_incentives=None)
    alpha, root, _ = epoch_takes(change, mined_unseen)
    assert (alpha.rao, alpha.net_rao, root.rao) == (0, 2, 0)
