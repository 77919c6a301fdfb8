"""Must-pass scenarios 5 to 9 and 26, read from a chain that knows the truth: what was paid, to whom and in what.

`Followed.block` compares each take, net and position with the model's; here stands what is special about a scenario.
"""

from __future__ import annotations

import pytest

from chain import keys
from chain.earnings.yields import Proof
from chain.tests.followed import ROOT, TAO, Followed, eras, of, only, sides, take_of
from chain.tests.model import calls

# --- 5. Nothing, or another take ---------------------------------------------------------------------------------


@eras()
def test_scenario_05_zero_dividends_are_no_yield_and_leave_every_position(spec: int) -> None:
    follow = Followed(spec)
    before = follow.reader.holdings[follow.hotkey, follow.netuid]
    follow.epoch(alpha={follow.hotkey: 0}, root={follow.hotkey: 0})
    facts = follow.block()
    assert (facts.yields, facts.stake_events, facts.doubts) == ([], [], [])
    after = follow.reader.holdings[follow.hotkey, follow.netuid]
    assert after.keys() == before.keys()
    # From 397 even a take of nothing moves the owner's share over to the new format.
    assert {share.coldkey for share in facts.shares} == ({follow.owner} if spec >= 397 else set())
    assert all(after[c].as_safe_float() == before[c].as_safe_float() for c in before)
    assert follow.raw(keys.by_netuid("LastMechansimStepBlock", follow.netuid)) == 1


@eras()
def test_scenario_05_without_root_stake_only_alpha_stakers_earn(spec: int) -> None:
    follow = Followed(spec)
    for coldkey in (*follow.nominators(ROOT), follow.owner):
        follow.chain.submit(coldkey, calls.remove_stake_full(follow.hotkey, ROOT))
    follow.block()
    # The first rules leave dust in a pool.
    assert follow.pool_value(ROOT) <= (TAO if spec < 244 else 5)
    follow.epoch(alpha={follow.hotkey: 9 * TAO}, root={follow.hotkey: 0})
    facts = follow.block()
    assert sides(facts) == [(follow.netuid, "ALPHA")]
    assert facts.yields[0].take_rao == take_of(9 * TAO, 11_796)


@eras()
def test_scenario_05_a_take_of_zero_one_that_is_missing_and_one_set_by_hand(spec: int) -> None:
    """Delegates 11,796, absent (which means 11,796), 5,898 and 0, in one epoch."""
    follow = Followed(spec, hotkeys=4)
    rao = 12_345_678_901
    given = dict.fromkeys(follow.hotkeys, rao)
    assert not follow.chain.world.delegates.has(follow.hotkeys[1])
    follow.epoch(alpha=given, root=given)
    facts = follow.block()
    for side in ("ALPHA", "ROOT"):
        found = {fact.hotkey: fact for fact in facts.yields if fact.side == side}
        for hotkey, take_u16 in zip(follow.hotkeys, (11_796, 11_796, 5_898, 0), strict=True):
            assert found[hotkey].take_u16 == take_u16
            assert found[hotkey].take_rao == take_of(rao, take_u16)
            assert found[hotkey].dividend_rao in (
                rao - take_of(rao, take_u16),
                rao - take_of(rao, take_u16) - 1,
            )
    assert {fact.take_rao for fact in facts.yields if fact.hotkey == follow.hotkeys[3]} == {0}


@eras()
def test_scenario_05_a_take_changed_in_the_block_of_an_epoch_counts_from_the_next(spec: int) -> None:
    follow = Followed(spec)
    takes = []
    for take_u16 in (5_898, 0, 11_796):
        follow.epoch(alpha={follow.hotkey: 12_345_678_901})
        follow.chain.set_take(follow.hotkey, take_u16)
        takes.append(only(follow.block(), "ALPHA"))
    assert [fact.take_u16 for fact in takes] == [11_796, 5_898, 0]
    assert [fact.take_rao for fact in takes] == [take_of(12_345_678_901, one) for one in (11_796, 5_898, 0)]


# --- 6, 7. No root dividends, no incentives ------------------------------------------------------------------------


@eras(342)
def test_scenario_06_with_root_selling_off_root_stakers_earn_nothing_and_alpha_stakers_all(spec: int) -> None:
    follow = Followed(spec, emission=True)
    follow.chain.root_sells = False
    pending = keys.by_netuid("PendingRootAlphaDivs", follow.netuid)
    for _ in range(3):
        follow.block()
    assert follow.raw(pending) == 0
    follow.epoch(alpha={follow.hotkey: 66_666_666_667}, root={follow.hotkey: 0})
    facts = follow.block()
    assert sides(facts) == [(follow.netuid, "ALPHA")]
    assert facts.yields[0].take_rao == take_of(66_666_666_667, 11_796)
    assert facts.yields[0].dividend_rao == follow.truth()[0].net_rao
    follow.chain.root_sells = True
    follow.block()
    assert follow.raw(pending) > 0
    follow.epoch(alpha={follow.hotkey: 66_666_666_667}, root={follow.hotkey: 1_000_000_007})
    assert sides(follow.block()) == [(follow.netuid, "ALPHA"), (follow.netuid, "ROOT")]


@eras(342)
@pytest.mark.parametrize("miners", [False, True])
def test_scenario_07_without_incentives_the_servers_pot_is_dividend_and_pays_take(
    spec: int, miners: bool
) -> None:
    follow = Followed(spec, emission=True)
    for _ in range(5):
        follow.block()
    server, validator = (
        follow.raw(keys.by_netuid(item, follow.netuid))
        for item in ("PendingServerEmission", "PendingValidatorEmission")
    )
    assert server > TAO
    listed = dict.fromkeys((*follow.chain.miners, follow.hotkey), 0) if miners else {}
    follow.epoch(alpha={follow.hotkey: server + validator}, incentives=listed)
    facts = follow.block()
    (event,) = [event for event in follow.events() if event.name == "IncentiveAlphaEmittedToMiners"]
    assert set(event.values["emissions"]) == {0}
    fact = only(facts, "ALPHA")
    assert fact.take_rao == take_of(server + validator, 11_796)
    assert server + validator - 1 <= fact.take_rao + fact.dividend_rao <= server + validator
    assert fact.other_rao == 0


@eras(0, 341)
def test_scenario_07_without_incentives_before_pots_were_split(spec: int) -> None:
    follow = Followed(spec)
    follow.epoch(
        alpha={follow.hotkey: 88 * TAO + 1},
        incentives=dict.fromkeys((*follow.chain.miners, follow.hotkey), 0),
    )
    fact = only(follow.block(), "ALPHA")
    assert (fact.take_rao, fact.other_rao) == (take_of(88 * TAO + 1, 11_796), 0)


# --- 8. Parents and children -----------------------------------------------------------------------------------------


def paid_to(
    emission: int,
    parent: int,
    child: int,
    part: tuple[int, int],
    *,
    same_owner: bool,
    burn: int = 0,
    own: int = 0,
) -> tuple[int, int]:
    """What one child's emission comes to for its parent and for itself, by the stakes behind it.

    :param part: how much of the parent's stake stands behind the child.
    :param burn, own: childkey burn and childkey take, of 65,535; none between keys of one owner.
    """
    contributed = parent * part[0] // part[1]
    gross = emission * contributed // (contributed + child)
    burned, taken = (0, 0) if same_owner else (gross * burn // 65_535, gross * own // 65_535)
    return gross - burned - taken, emission - gross + taken


@eras()
@pytest.mark.parametrize("same_owner", [True, False])
@pytest.mark.parametrize("registered", [True, False])
def test_scenario_08_parent_and_child_each_pay_the_take_of_their_own(
    spec: int, same_owner: bool, registered: bool
) -> None:
    """The root validator (9 %) stands behind the subnet's (18 %): each earns its part at its own take, once."""
    follow = Followed(spec, hotkeys=3)
    child, _, parent = follow.hotkeys
    world = follow.chain.world
    if same_owner:
        follow.chain.silently(lambda world: world.owner.put(parent, follow.owner))
    if not registered:
        follow.chain.silently(lambda world: world.uids.remove(follow.netuid, parent))
    follow.block()
    assert (world.owner_of(parent) == world.owner_of(child)) == same_owner
    assert world.uids.has(follow.netuid, parent) == registered
    dividends = {}
    for side, emission in (("alpha", 987_654_321_987), ("root", 123_456_789_123)):
        behind, own = (follow.pool_value(ROOT if side == "root" else None, one) for one in (parent, child))
        ends = paid_to(emission, behind, own, (1, 1), same_owner=same_owner, burn=6_553, own=11_796)
        dividends[side] = dict(zip((parent, child), ends, strict=True))
        assert (sum(ends) == emission) == same_owner
    follow.epoch(**dividends)
    facts = follow.block()
    for side, found in dividends.items():
        takes = {fact.hotkey: fact for fact in facts.yields if fact.side == side.upper()}
        assert takes.keys() == {parent, child}
        assert (takes[parent].take_u16, takes[child].take_u16) == (5_898, 11_796)
        assert takes[parent].take_rao == take_of(found[parent], 5_898)
        assert takes[child].take_rao == take_of(found[child], 11_796)
        assert takes[parent].owner == (follow.owner if same_owner else follow.owners[2])


@eras()
def test_scenario_08_a_root_validator_earns_on_a_subnet_it_never_chose(spec: int) -> None:
    """Behind the owner's key of a new subnet, without a uid and without any alpha there: root dividends alone."""
    follow = Followed(spec, hotkeys=3)
    parent, new = follow.hotkeys[2], 7
    follow.chain.register_network(new, follow.chain.coldkeys[0])
    follow.block()
    follow.chain.submit(follow.chain.coldkeys[0], calls.start_call(new))
    follow.block()
    follow.netuids = [*follow.netuids, new]
    assert follow.pool_value(new, parent) == 0
    assert not follow.chain.world.uids.has(new, parent)
    takes = []
    for rao in (44_444_444_447, 55_555_555_557):
        follow.epoch(new, alpha={parent: 0}, root={parent: rao})
        facts = follow.block()
        assert [(fact.netuid, fact.side, fact.hotkey) for fact in facts.yields] == [(new, "ROOT", parent)]
        assert facts.yields[0].take_rao == take_of(rao, 5_898)
        takes.append(facts.yields[0].take_rao)
    if spec >= 334:
        # The take is the first alpha the hotkey has there, and all its owner's.
        assert follow.pool_value(new, parent) == sum(takes)
        assert set(follow.reader.holdings[parent, new]) == {follow.owners[2]}
    else:
        assert (parent, new) not in follow.reader.holdings


# --- 9. Shares of two formats ------------------------------------------------------------------------------------------


def old_ones(follow: Followed) -> list[str]:
    """Holders of our pool whose share is still stored in the old format."""
    holders = follow.chain.shares(follow.chain.number)[follow.hotkey, follow.netuid]
    return sorted(coldkey for coldkey, share in holders.items() if share.exponent is None)


@eras(397)
def test_scenario_09_one_nominator_moves_over_and_the_others_stay(spec: int) -> None:
    follow = Followed(spec)
    holders = [*follow.nominators(), follow.owner]
    mover = holders[1]
    assert old_ones(follow) == sorted(holders)
    assert follow.denominators()[1] is None
    follow.chain.remove_stake(mover, follow.hotkey, follow.netuid, TAO)
    facts = follow.block()
    assert old_ones(follow) == sorted(set(holders) - {mover})
    assert follow.denominators()[0] is None
    assert [share.coldkey for share in facts.shares] == [mover]
    follow.epoch(alpha={follow.hotkey: 333_333_333_337}, root={follow.hotkey: 22_222_222_229})
    facts = follow.block()
    assert {fact.proof for fact in facts.yields} == {Proof.POOL}
    # The owner's take moved his share over too.
    assert old_ones(follow) == sorted(set(holders) - {mover, follow.owner})


@eras(397)
def test_scenario_09_only_the_denominator_moves_over_when_a_nominator_leaves(spec: int) -> None:
    follow = Followed(spec)
    holders = [*follow.nominators(), follow.owner]
    leaver = holders[0]
    follow.chain.submit(leaver, calls.remove_stake_full(follow.hotkey, follow.netuid))
    follow.block()
    dust = follow.chain.shares(1)[follow.hotkey, follow.netuid].get(leaver)
    assert old_ones(follow) == sorted(set(holders) - {leaver})
    assert dust is None or dust.exponent is not None
    assert follow.denominators()[0] is None
    assert follow.denominators()[1] is not None
    follow.epoch(alpha={follow.hotkey: 333_333_333_337}, root={follow.hotkey: 22_222_222_229})
    assert {fact.proof for fact in follow.block().yields} == {Proof.POOL}


@eras(397)
def test_scenario_09_the_denominator_alone_may_have_moved_over(spec: int) -> None:
    """As a migration might leave it: every share old, the sum new."""
    follow = Followed(spec)
    world, place = follow.chain.world, (follow.hotkey, follow.netuid)

    def migrate(_: object) -> None:
        world.pools.shares_v2.put(*place, world.pools._denominator(*place))
        world.pools.shares_v1.remove(*place)

    follow.chain.silently(migrate)
    follow.block()
    assert follow.denominators()[0] is None
    assert len(old_ones(follow)) == len(follow.nominators()) + 1
    follow.epoch(alpha={follow.hotkey: 333_333_333_337})
    assert only(follow.block(), "ALPHA").proof == Proof.POOL


@eras(397)
def test_scenario_09_a_mixed_pool_is_listed_whole_and_read_on_from_there(spec: int) -> None:
    follow = Followed(spec)
    mover, leaver = follow.nominators()[:2]
    follow.chain.remove_stake(mover, follow.hotkey, follow.netuid, TAO)
    follow.chain.submit(leaver, calls.remove_stake_full(follow.hotkey, follow.netuid))
    follow.chain.add_stake(follow.newcomer(), follow.hotkey, follow.netuid, TAO)
    follow.block()
    shares = follow.chain.shares(1)[follow.hotkey, follow.netuid].values()
    assert {share.exponent is None for share in shares} == {True, False}
    late = follow.new_reader()
    listed = late.start_from_chain(1)
    follow.check_positions(1, late)
    assert {(one.hotkey, one.netuid, one.coldkey) for one in listed} == {
        (*pool, coldkey) for pool, holders in follow.reader.holdings.items() for coldkey in holders
    }
    follow.reader = late
    follow.epoch(alpha={follow.hotkey: 333_333_333_337}, root={follow.hotkey: 22_222_222_229})
    assert {fact.proof for fact in follow.block().yields} == {Proof.POOL}


# --- 26. The combined map, and take in TAO -------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [334, 340, 345, 352])
@pytest.mark.parametrize(
    ("alpha", "root"),
    [
        (123_456_789_123, 54_321_987_654),
        (54_321_987_654, 123_456_789_123),
        (10**12, 10**12),
        (10**15, 2),
        (3, 10**13),
        (0, 77_777_777_777),
        (77_777_777_777, 0),
        (2, 2),
        (11, 7),
    ],
)
def test_scenario_26_one_map_for_both_nets_is_taken_apart(spec: int, alpha: int, root: int) -> None:
    follow = Followed(spec)
    follow.epoch(alpha={follow.hotkey: alpha}, root={follow.hotkey: root})
    facts = follow.block()
    stored = follow.raw(keys.by_netuid_hotkey("AlphaDividendsPerSubnet", follow.netuid, follow.hotkey))
    assert (
        stored
        == sum(fact.dividend_rao for fact in facts.yields)
        == sum(one.net_rao for one in follow.truth())
    )
    assert {fact.asset for fact in facts.yields} == {"ALPHA"}
    assert [side for _, side in sides(facts)] == ["ALPHA"] * bool(alpha) + ["ROOT"] * bool(root)
    assert follow.raw(keys.by_netuid_hotkey("RootAlphaDividendsPerSubnet", follow.netuid, follow.hotkey)) == 0


@pytest.mark.parametrize("spec", [334, 345])
def test_scenario_26_one_map_beside_stake_moves_and_claims(spec: int) -> None:
    follow = Followed(spec)
    keeper = follow.nominators(ROOT)[0]
    follow.chain.set_claim_type(keeper, "Keep")
    follow.epoch(alpha={follow.hotkey: 0}, root={follow.hotkey: 500 * TAO})
    follow.block()
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    follow.chain.claim_root(keeper, follow.netuid)
    follow.chain.remove_stake(follow.nominators()[0], follow.hotkey, follow.netuid, TAO + 7)
    follow.chain.add_stake(follow.owner, follow.hotkey, follow.netuid, 2 * TAO)
    facts = follow.block()
    assert [fact.take_rao for fact in facts.yields] == [
        take_of(123_456_789_123, 11_796),
        take_of(54_321_987_654, 11_796),
    ]


@pytest.mark.parametrize("spec", [233, 258, 293, 320, 326])
def test_scenario_26_take_on_root_is_tao_staked_on_root_for_the_owner(spec: int) -> None:
    follow = Followed(spec)
    held = follow.stake(follow.owner, ROOT)
    whole = follow.pool_value(ROOT)
    follow.epoch(alpha={follow.hotkey: TAO}, root={follow.hotkey: 54_321_987_654})
    facts = follow.block()
    root = only(facts, "ROOT")
    assert (root.asset, root.pool_netuid, root.netuid) == ("TAO", ROOT, follow.netuid)
    assert root.take_rao == take_of(54_321_987_654, 11_796)
    stored = follow.raw(keys.by_netuid_hotkey("TaoDividendsPerSubnet", follow.netuid, follow.hotkey))
    assert root.dividend_rao == stored
    assert follow.grown(ROOT) == root.take_rao + root.dividend_rao
    assert only(facts, "ALPHA").asset == "ALPHA"
    earned = follow.stake(follow.owner, ROOT) - held
    fair = root.take_rao + root.dividend_rao * held / whole
    assert abs(earned - fair) < fair / 100
    # The owner takes it out again as TAO: no alpha was sold.
    follow.chain.remove_stake(follow.owner, follow.hotkey, ROOT, root.take_rao)
    facts = follow.block()
    assert [leg.alpha_rao for leg in of(facts, follow.owner, ROOT)] == [root.take_rao]
    assert facts.conversions == []
