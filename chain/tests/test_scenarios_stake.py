"""Must-pass scenarios 10 to 13, read from a chain that knows the truth: who left, came back, gave, moved and sold.

The pure tests of the same numbers say how events are named. Here whole blocks are read: amounts are what the pools of
raw storage gained and lost (`Followed.block` compares), and TAO is what subnets really paid.
"""

from __future__ import annotations

import pytest

from chain.tests.followed import ROOT, TAO, Followed, eras, owner_and_delegator, sale_of, someone, told
from chain.tests.model import calls

# --- 10. Leaving and coming back --------------------------------------------------------------------------------


@eras()
@owner_and_delegator
def test_scenario_10_who_leaves_and_comes_back_has_no_position_between(spec: int, who: str) -> None:
    follow = Followed(spec)
    coldkey = someone(follow, who)
    held = follow.stake(coldkey)
    follow.chain.submit(coldkey, calls.remove_stake_full(follow.hotkey, follow.netuid))
    facts = follow.block()
    (leg,) = facts.stake_events
    assert told(facts) == [("UNSTAKE", "", False, held)]
    assert leg.alpha_rao == -follow.grown()
    paid = follow.tao_received(coldkey)
    assert paid in (None, leg.tao_rao)
    assert [(sale.alpha_rao, sale.tao_rao) for sale in facts.conversions] == (
        [(held, leg.tao_rao)] if who == "owner" else []
    )
    assert follow.stake(coldkey) == 0
    if 244 <= spec < 397:
        assert coldkey not in follow.reader.holdings[follow.hotkey, follow.netuid]
    assert (follow.block().stake_events, follow.block().shares) == ([], [])
    follow.chain.add_stake(coldkey, follow.hotkey, follow.netuid, 7 * TAO)
    facts = follow.block()
    assert told(facts) == [("STAKE", "", True, follow.grown())]
    assert coldkey in follow.reader.holdings[follow.hotkey, follow.netuid]
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    assert len(follow.block().yields) == 2


@eras()
@owner_and_delegator
def test_scenario_10_leaving_and_coming_back_in_the_block_of_an_epoch(spec: int, who: str) -> None:
    follow = Followed(spec)
    coldkey = someone(follow, who)
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    follow.chain.submit(coldkey, calls.remove_stake_full(follow.hotkey, follow.netuid))
    follow.chain.add_stake(coldkey, follow.hotkey, follow.netuid, 7 * TAO)
    facts = follow.block()
    assert [(leg.kind, leg.coldkey) for leg in facts.stake_events] == [
        ("UNSTAKE", coldkey),
        ("STAKE", coldkey),
    ]
    assert len(facts.yields) == 2
    assert len(facts.conversions) == (who == "owner")


@eras()
def test_scenario_10_what_is_left_below_the_minimum_is_cleared_by_the_chain(spec: int) -> None:
    follow = Followed(spec)
    follow.chain.world.nominator_minimum = TAO // 10
    coldkey = follow.nominators()[0]
    held = follow.stake(coldkey)
    little = held // 100_000 + 2
    assert follow.chain.world.tao_worth(follow.netuid, little) < TAO // 10
    follow.chain.remove_stake(coldkey, follow.hotkey, follow.netuid, held - little)
    facts = follow.block()
    first, second = facts.stake_events
    assert (first.alpha_rao, first.kind, second.kind) == (held - little, "UNSTAKE", "UNSTAKE")
    assert abs(second.alpha_rao - little) <= 1
    assert first.alpha_rao + second.alpha_rao == -follow.grown()
    assert second.extrinsic_hash == first.extrinsic_hash
    assert follow.stake(coldkey) <= 1


@eras(244)
def test_scenario_10_dust_of_a_share_goes_with_the_rest_until_396_and_stays_after(spec: int) -> None:
    follow = Followed(spec)
    coldkey = follow.nominators()[0]
    held = follow.stake(coldkey)
    dust = held // 1_000_000
    follow.chain.remove_stake(coldkey, follow.hotkey, follow.netuid, held - dust)
    facts = follow.block()
    taken = held if spec < 397 else held - dust
    assert told(facts) == [("UNSTAKE", "", False, taken)]
    assert follow.grown() == -taken
    assert (coldkey in follow.reader.holdings[follow.hotkey, follow.netuid]) == (spec >= 397)


@eras()
def test_scenario_10_an_empty_pool_ends_and_begins_anew(spec: int) -> None:
    follow = Followed(spec)
    everybody = [*follow.nominators(), follow.owner]
    for coldkey in everybody:
        follow.chain.submit(coldkey, calls.remove_stake_full(follow.hotkey, follow.netuid))
    facts = follow.block()
    assert sorted(leg.coldkey for leg in facts.stake_events) == sorted(everybody)
    assert sale_of(facts).owner == follow.owner
    place = (follow.hotkey, follow.netuid)
    if 244 <= spec < 397:
        assert place not in follow.reader.holdings
        assert {share.share.bits for share in facts.shares} == {0}
    if spec >= 334:
        # Root stakers earn on: the take is what opens the pool.
        follow.epoch(alpha={follow.hotkey: 0}, root={follow.hotkey: 50 * TAO + 3})
        facts = follow.block()
        (root,) = facts.yields
        assert follow.grown() == root.take_rao > 0
        assert follow.owner in follow.reader.holdings[place]
    staker = follow.newcomer()
    follow.chain.add_stake(staker, follow.hotkey, follow.netuid, 5 * TAO)
    facts = follow.block()
    assert told(facts) == [("STAKE", "", True, follow.grown())]
    assert staker in follow.reader.holdings[place]
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    assert len(follow.block().yields) == 2


# --- 11. Another coldkey, the same hotkey -----------------------------------------------------------------------


@eras()
@owner_and_delegator
def test_scenario_11_a_transfer_sells_nothing_and_leaves_the_denominator(spec: int, who: str) -> None:
    follow = Followed(spec)
    giver, taker = someone(follow, who), follow.newcomer()
    value = follow.pool_value()
    follow.chain.transfer_stake(giver, taker, follow.hotkey, follow.netuid, follow.netuid, 9 * TAO + 1)
    facts = follow.block()
    left, came = facts.stake_events
    assert [(leg.kind, leg.cause, leg.added, leg.coldkey, leg.other_coldkey) for leg in (left, came)] == [
        ("TRANSFER", "", False, giver, taker),
        ("TRANSFER", "", True, taker, giver),
    ]
    assert (left.other_netuid, left.other_hotkey) == (follow.netuid, follow.hotkey)
    assert left.alpha_rao == 9 * TAO + 1
    assert facts.conversions == []
    assert abs(follow.stake(taker) - came.alpha_rao) <= 1
    if spec >= 293:
        assert came.alpha_rao == left.alpha_rao
        assert follow.pool_value() == value
        before, after = (follow.denominators(block)[0] for block in (0, 1))
        assert (before == after) == (spec < 397)
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    assert len(follow.block().yields) == 2


@eras(293)
def test_scenario_11_with_equal_denominators_the_position_still_changes_hands(spec: int) -> None:
    """A transfer in the block of an epoch: the dividend is the giver's, the next one the taker's."""
    follow = Followed(spec)
    giver, taker = follow.nominators()[0], follow.newcomer()
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1})
    follow.chain.transfer_stake(giver, taker, follow.hotkey, follow.netuid, follow.netuid, 9 * TAO + 1)
    assert taker not in follow.reader.holdings[follow.hotkey, follow.netuid]
    facts = follow.block()
    assert {share.coldkey for share in facts.shares} == {giver, taker, follow.owner}
    assert taker in follow.reader.holdings[follow.hotkey, follow.netuid]


# --- 12. Into root, to other subnets ------------------------------------------------------------------------------


@eras()
@pytest.mark.parametrize("how", ["swap", "move", "move to another hotkey"])
def test_scenario_12_the_owner_who_takes_alpha_into_root_sold_it(spec: int, how: str) -> None:
    follow = Followed(spec)
    to = follow.hotkeys[1] if how == "move to another hotkey" else follow.hotkey
    alpha = 12 * TAO + 345
    if how == "swap":
        follow.chain.swap_stake(follow.owner, follow.hotkey, follow.netuid, ROOT, alpha)
    else:
        follow.chain.move_stake(follow.owner, follow.hotkey, to, follow.netuid, ROOT, alpha)
    facts = follow.block()
    left, came = facts.stake_events
    assert [(leg.kind, leg.cause, leg.netuid, leg.other_netuid) for leg in (left, came)] == [
        ("RESTAKE", "", follow.netuid, ROOT),
        ("RESTAKE", "", ROOT, follow.netuid),
    ]
    assert (came.hotkey, left.other_hotkey) == (to, to)
    assert came.alpha_rao == follow.grown(ROOT, to)
    sale = sale_of(facts)
    # What counts is what reached root: before 283 each end pays half of the fee.
    assert (sale.alpha_rao, sale.tao_rao, sale.into_root) == (alpha, follow.grown(ROOT, to), True)
    assert (sale.tao_rao == left.tao_rao) == (spec >= 283)
    assert sale.fee_alpha_rao == ((left.fee_rao or 0) if spec >= 283 else 0)
    assert follow.tao_received(follow.owner) in (None, left.tao_rao)


@eras()
@owner_and_delegator
def test_scenario_12_a_swap_to_another_subnet_is_no_conversion(spec: int, who: str) -> None:
    follow = Followed(spec)
    coldkey, other = someone(follow, who), follow.netuids[2]
    follow.chain.swap_stake(coldkey, follow.hotkey, follow.netuid, other, 12 * TAO + 345)
    facts = follow.block()
    assert told(facts) == [
        ("RESTAKE", "", False, 12 * TAO + 345),
        ("RESTAKE", "", True, follow.grown(other)),
    ]
    assert facts.conversions == []


@eras()
@pytest.mark.parametrize("to_root", [True, False])
def test_scenario_12_a_move_too_small_to_stake_again_is_a_sale_only_where_the_tao_is_kept(
    spec: int, to_root: bool
) -> None:
    """Less than 0.002 TAO (0.0005 before 297): from 411 the coldkey keeps it, before it was lost."""
    follow = Followed(spec)
    world = follow.chain.world
    alpha = next(n for n in range(100_000, 10**9, 1_000) if world.tao_worth(follow.netuid, n) > 300_000)
    destination = ROOT if to_root else follow.netuids[2]
    follow.chain.swap_stake(follow.owner, follow.hotkey, follow.netuid, destination, alpha)
    facts = follow.block()
    assert told(facts) == [("UNSTAKE", "NOT_RESTAKED", False, alpha)]
    (leg,) = facts.stake_events
    assert 0 < (leg.tao_rao or 0) < world.min_stake
    assert [(sale.alpha_rao, sale.tao_rao, sale.into_root) for sale in facts.conversions] == (
        [(alpha, leg.tao_rao, False)] if spec >= 411 else []
    )
    assert follow.grown(destination) == 0


@eras()
@owner_and_delegator
def test_scenario_12_unstake_all_alpha_takes_every_subnet_into_root(spec: int, who: str) -> None:
    follow = Followed(spec)
    coldkey = someone(follow, who)
    held = {netuid: follow.stake(coldkey, netuid) for netuid in follow.netuids}
    if who == "owner":
        assert all(held.values())
    held = {netuid: rao for netuid, rao in held.items() if rao}
    follow.chain.unstake_all_alpha(coldkey, follow.hotkey)
    facts = follow.block()
    *left, came = facts.stake_events
    assert {leg.netuid: leg.alpha_rao for leg in left} == held
    assert {(leg.kind, leg.other_netuid) for leg in left} == {("RESTAKE", ROOT)}
    assert (came.kind, came.added, came.netuid) == ("RESTAKE", True, ROOT)
    assert came.alpha_rao == follow.grown(ROOT)
    sold = {sale.netuid: (sale.alpha_rao, sale.tao_rao, sale.into_root) for sale in facts.conversions}
    expected = {leg.netuid: (leg.alpha_rao, leg.tao_rao, True) for leg in left} if who == "owner" else {}
    assert sold == expected
    assert came.tao_rao == sum(leg.tao_rao or 0 for leg in left)


# --- 13. Limits ------------------------------------------------------------------------------------------------


@eras(239)
@pytest.mark.parametrize("part", [1, 2, 3, 10])
@pytest.mark.parametrize("epoch", [False, True])
def test_scenario_13_a_limited_sale_counts_what_was_sold_and_not_what_came_back(
    spec: int, part: int, epoch: bool
) -> None:
    follow = Followed(spec)
    asked = 40 * TAO + 17
    if epoch:
        follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    follow.chain.remove_stake(follow.owner, follow.hotkey, follow.netuid, asked, fill=asked // part)
    facts = follow.block()
    (leg,) = facts.stake_events
    sale = sale_of(facts)
    assert leg.alpha_rao == sale.alpha_rao == asked // part
    assert (sale.tao_rao, sale.into_root) == (leg.tao_rao, False)
    if not epoch:
        assert follow.grown() == -sale.alpha_rao
        assert follow.tao_received(follow.owner) in (None, sale.tao_rao)
    assert len(facts.yields) == 2 * epoch


@eras(239)
def test_scenario_13_a_limited_purchase_and_a_limited_swap(spec: int) -> None:
    follow = Followed(spec)
    staker, swapper = follow.newcomer(), follow.nominators()[0]
    asked = 30 * TAO
    follow.chain.add_stake(staker, follow.hotkey, follow.netuid, 6 * TAO, fill=2 * TAO)
    facts = follow.block()
    assert told(facts) == [("STAKE", "", True, follow.grown())]
    follow.chain.swap_stake(swapper, follow.hotkey, follow.netuid, follow.netuids[2], asked, fill=asked // 3)
    facts = follow.block()
    assert [leg.alpha_rao for leg in facts.stake_events] == [asked // 3, follow.grown(follow.netuids[2])]
    assert {leg.kind for leg in facts.stake_events} == {"RESTAKE"}


@pytest.mark.parametrize("spec", [293, 320, 345, 370, 393, 401, 425])
@pytest.mark.parametrize("epoch", [False, True])
@pytest.mark.parametrize("filled", [False, True])
def test_scenario_13_two_limited_sales_in_one_block(spec: int, epoch: bool, filled: bool) -> None:
    """Nothing more is taken out than the limit allows to be sold."""
    follow = Followed(spec)
    if epoch:
        follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    for coldkey in (follow.owner, follow.nominators()[0]):
        asked = 40 * TAO
        follow.chain.remove_stake(
            coldkey, follow.hotkey, follow.netuid, asked, fill=asked if filled else 30 * TAO
        )
    facts = follow.block()
    assert len(facts.yields) == 2 * epoch
    sold = 40 * TAO if filled else 30 * TAO
    assert [leg.alpha_rao for leg in facts.stake_events] == [sold, sold]
    assert sale_of(facts).alpha_rao == sold
