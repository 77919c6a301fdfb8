"""Must-pass scenarios 1 to 4, read from a chain that knows the truth: takes, and when epochs run, in every era.

`Followed.block` compares each take, net and position with the model's; here stands what is special about a scenario.
"""

from __future__ import annotations

from itertools import product

import pytest

from chain import keys
from chain.earnings.takes import take_range
from chain.earnings.yields import Proof
from chain.tests.followed import ERAS, ROOT, TAO, Followed, eras, of, only, sides, take_of
from chain.tests.model import World, calls

# --- 1. A quiet epoch ---------------------------------------------------------------------------------------


@eras()
@pytest.mark.parametrize("dividend", [123_456_789, 999_999_999_999])
def test_scenario_01_a_quiet_epoch_is_proved_by_three_methods_to_the_rao(spec: int, dividend: int) -> None:
    """Pool differences in raw storage, inversion and replay give one take, and it is the chain's."""
    follow = Followed(spec)
    follow.epoch(alpha={follow.hotkey: dividend}, root={follow.hotkey: dividend // 3})
    facts = follow.block()
    alpha, root = only(facts, "ALPHA"), only(facts, "ROOT")
    assert alpha.proof == root.proof == Proof.POOL
    for fact in (alpha, root):
        assert (fact.take_low_rao, fact.take_high_rao) == take_range(fact.dividend_rao, 11_796)
    assert alpha.take_rao == take_of(dividend, 11_796)
    assert root.take_rao == take_of(dividend // 3, 11_796)
    last = follow.raw(keys.by_hotkey_netuid("TotalHotkeyAlphaLastEpoch", follow.hotkey, follow.netuid))
    before, after = (follow.pool_value(block=block) for block in (0, 1))
    in_root = root.take_rao if spec >= 334 else 0
    if spec >= 261:
        assert (last - before - alpha.dividend_rao, after - last) == (alpha.take_rao, in_root)
    assert after - before == alpha.take_rao + alpha.dividend_rao + in_root
    if spec < 334:
        assert follow.grown(ROOT) == root.take_rao + root.dividend_rao


# --- 2. An epoch block that moves stake as well ---------------------------------------------------------------


@eras()
def test_scenario_02_an_epoch_block_with_adds_removes_owner_sale_and_claim(spec: int) -> None:
    follow = Followed(spec)
    leaver, claimer = follow.nominators()[:2]
    staker = follow.newcomer()
    follow.epoch(alpha={follow.hotkey: 40 * TAO}, root={follow.hotkey: 90 * TAO})
    follow.block()
    claimers = [c for c in follow.nominators(ROOT) if c not in (leaver, staker)]
    claimer = claimers[0]
    if spec >= 334:
        follow.chain.set_claim_type(claimer, "Keep")
        follow.block()
    held = follow.stake(claimer)
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    follow.chain.add_stake(staker, follow.hotkey, follow.netuid, 3 * TAO)
    follow.chain.remove_stake(leaver, follow.hotkey, follow.netuid, 2 * TAO + 1)
    follow.chain.remove_stake(follow.owner, follow.hotkey, follow.netuid, 5 * TAO + 3)
    if spec >= 334:
        follow.chain.claim_root(claimer, follow.netuid)
    follow.chain.remove_stake(follow.nominators(ROOT)[-1], follow.hotkey, ROOT, TAO)
    facts = follow.block()
    (came,) = of(facts, staker)
    (left,) = of(facts, leaver, follow.netuid)
    assert (came.kind, came.added, came.netuid, came.call) == (
        "STAKE",
        True,
        follow.netuid,
        "SubtensorModule.add_stake",
    )
    assert abs(came.alpha_rao - follow.stake(staker)) <= 1
    assert (left.kind, left.alpha_rao, left.signer) == ("UNSTAKE", 2 * TAO + 1, leaver)
    (sale,) = facts.conversions
    assert (sale.owner, sale.netuid, sale.alpha_rao, sale.into_root) == (
        follow.owner,
        follow.netuid,
        5 * TAO + 3,
        False,
    )
    (sold,) = of(facts, follow.owner)
    assert sale.tao_rao == sold.tao_rao
    if spec >= 334:
        (claimed,) = of(facts, claimer, follow.netuid)
        assert (claimed.cause, claimed.added, claimed.tao_rao) == ("ROOT_CLAIM", True, None)
        assert claimed.alpha_rao > TAO
        assert claimed.derived
        # What was claimed is whole; what a stake is worth is floored.
        assert follow.stake(claimer) - held >= claimed.alpha_rao - 1
    alpha, root = only(facts, "ALPHA"), only(facts, "ROOT")
    assert alpha.take_rao == take_of(123_456_789_123, 11_796)
    assert root.take_rao == take_of(54_321_987_654, 11_796)
    assert alpha.proof in (Proof.POOL, Proof.SHARES, Proof.VALUE)
    assert not facts.doubts


@eras()
def test_scenario_02_the_owner_sells_in_the_block_of_the_epoch_the_take_it_paid(spec: int) -> None:
    follow = Followed(spec)
    held = follow.stake(follow.owner)
    follow.epoch(alpha={follow.hotkey: 1_000 * TAO})
    follow.chain.submit(follow.owner, calls.remove_stake_full(follow.hotkey, follow.netuid))
    facts = follow.block()
    (sale,) = facts.conversions
    take = only(facts, "ALPHA").take_rao
    assert take == take_of(1_000 * TAO, 11_796)
    assert sale.alpha_rao >= held + take - 1
    assert follow.stake(follow.owner) == 0


# --- 3. The hotkey earns in other ways too --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "cut", "mines", "target"),
    [
        (spec, cut, mines, target)
        for spec, cut, mines, target in product(ERAS, (0, 1, 2), (0, 1), (0, 1))
        if (cut or mines or target) and (spec >= 315 or not target)
    ],
)
def test_scenario_03_take_is_told_from_owner_cut_incentive_and_autostake(
    spec: int, cut: int, mines: int, target: int
) -> None:
    """`cut`: the hotkey is the subnet owner's, whose coldkey owns the hotkey too (1) or is another (2)."""
    follow = Followed(spec, emission=True)
    follow.unnamed_incentives = bool(mines) and spec < 315
    netuid, world = follow.netuid, follow.chain.world
    if cut:
        follow.chain.silently(lambda world: world.subnet_owner_hotkey.put(netuid, follow.hotkey))
    if cut == 1:
        follow.chain.silently(lambda world: world.subnet_owner.put(netuid, follow.owner))
    if target:
        follow.chain.submit(follow.chain.stranger_owner, calls.set_autostake(netuid, follow.hotkey))
    follow.block()
    incentives = {follow.hotkey: 77_777_777_777} if mines else {}
    if target:
        incentives |= dict(zip(follow.chain.miners, (5_000_000_001, 3), strict=True))
    follow.epoch(
        alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654}, incentives=incentives
    )
    facts = follow.block()
    alpha, root = only(facts, "ALPHA"), only(facts, "ROOT")
    hidden = take_of(123_456_789_123, 11_796) - alpha.take_rao
    assert hidden in ((0, 1) if follow.unnamed_incentives else (0,))
    assert root.take_rao == take_of(54_321_987_654, 11_796)
    kinds = {credit.kind: credit for credit in follow.chain.credits if credit.block == facts.number}
    assert ("CUT" in kinds) == bool(cut)
    if cut:
        assert kinds["CUT"].alpha_rao > TAO // 10
        assert kinds["CUT"].coldkey == (follow.owner if cut == 1 else follow.chain.coldkeys[0])
    assert ("INCENTIVE" in kinds) == bool(target or (mines and (not cut or spec < 257)))
    credited = sum(credit.alpha_rao for credit in follow.chain.credits if credit.block == facts.number)
    assert alpha.other_rao - hidden == credited
    staked = follow.stake(follow.chain.stranger_owner)
    assert abs(staked - 5_000_000_004) < TAO if target else staked == 0
    assert world.number == facts.number


@eras()
def test_scenario_03_a_cut_without_any_dividend_is_no_take(spec: int) -> None:
    follow = Followed(spec, emission=True)
    first = follow.netuids[0]
    before = follow.stake(follow.owner, first)
    follow.block()
    follow.epoch(first, alpha={follow.hotkey: 0})
    facts = follow.block()
    assert facts.yields == []
    assert follow.stake(follow.owner, first) > before
    assert {share.coldkey for share in facts.shares} == {follow.owner}


# --- 4. When epochs run ----------------------------------------------------------------------------------------


@eras()
def test_scenario_04_two_epochs_in_one_block_are_told_apart(spec: int) -> None:
    """In the order of storage keys: subnet 258 before 3. Before 334 both pay one root pool."""
    follow = Followed(spec, subnets=4)
    _, _, late, early = follow.netuids
    assert (late, early) == (258, 3)
    for netuid, rao in ((late, 3_333_333_337), (early, 7_777_777_771)):
        follow.epoch(netuid, alpha={follow.hotkey: rao}, root={follow.hotkey: rao + 1})
    facts = follow.block()
    paid = {(fact.netuid, fact.side): fact.take_rao for fact in facts.yields}
    assert paid == {
        (late, "ALPHA"): take_of(3_333_333_337, 11_796),
        (late, "ROOT"): take_of(3_333_333_338, 11_796),
        (early, "ALPHA"): take_of(7_777_777_771, 11_796),
        (early, "ROOT"): take_of(7_777_777_772, 11_796),
    }
    if spec < 334:
        both = sum(fact.take_rao + fact.dividend_rao for fact in facts.yields if fact.side == "ROOT")
        assert follow.grown(ROOT) == both


def due_at(follow: Followed, number: int, *netuids: int) -> None:
    """Give subnets a schedule by which their next epoch is due at a block."""

    def schedule(world: object) -> None:
        for netuid in netuids:
            follow.chain.world.tempo.put(netuid, 10)
            follow.chain.world.last_epoch_block.put(netuid, number - 10)

    follow.chain.silently(schedule)


def runs(follow: Followed, first: int, last: int) -> dict[int, list[int]]:
    """Blocks in which each subnet's epoch truly ran."""
    found: dict[int, list[int]] = {netuid: [] for netuid in follow.netuids}
    for number in range(first, last + 1):
        for netuid in follow.netuids:
            if follow.raw(keys.by_netuid("LastMechansimStepBlock", netuid), number) == number:
                found[netuid].append(number)
    return found


@eras(423)
def test_scenario_04_an_epoch_deferred_by_a_block_counts_once_and_there(spec: int) -> None:
    follow = Followed(spec)
    due_at(follow, 12, *follow.netuids)
    for netuid in follow.netuids:
        follow.epoch(netuid, alpha={follow.hotkey: TAO})
    # Dividends given by hand make the epoch run at once: only the schedule is meant here.
    follow.chain._epochs.clear()
    for _ in range(11):
        assert follow.block().yields == []
    twelfth, thirteenth = follow.block(), follow.block()
    deferred = [event.values for event in follow.events(12) if event.name == "EpochDeferred"]
    assert deferred == [{"netuid": 258, "from_block": 12, "to_block": 13}]
    assert {fact.netuid for fact in twelfth.yields} <= {1, 2}
    assert {fact.netuid for fact in thirteenth.yields} <= {258}
    assert runs(follow, 1, 13) == {1: [12], 2: [12], 258: [13]}
    assert twelfth.yields
    assert thirteenth.yields


@eras()
def test_scenario_04_a_skipped_epoch_pays_nothing_and_is_not_counted_twice(spec: int) -> None:
    follow = Followed(spec, emission=True)
    follow.epoch(alpha={follow.hotkey: 5 * TAO}, root={follow.hotkey: 4 * TAO})
    assert follow.block().yields
    # The maps still hold what the first epoch paid.
    follow.chain.world.inconsistent.add(follow.netuid)
    follow.epoch(alpha={follow.hotkey: 7 * TAO}, root={follow.hotkey: 6 * TAO})
    facts = follow.block()
    assert facts.yields == []
    assert follow.raw(keys.by_netuid_hotkey("AlphaDividendsPerSubnet", follow.netuid, follow.hotkey)) > 0
    skipped = [event.values for event in follow.events() if event.name == "EpochSkipped"]
    assert skipped == ([{"netuid": follow.netuid, "block": 2}] if spec >= 423 else [])
    assert follow.block().yields == []
    follow.chain.world.inconsistent.clear()
    follow.epoch(alpha={follow.hotkey: 12 * TAO}, root={follow.hotkey: 10 * TAO})
    assert sides(follow.block()) == [(follow.netuid, "ALPHA"), (follow.netuid, "ROOT")]
    assert follow.block().yields == []


@eras(423)
def test_scenario_04_a_triggered_epoch_runs_at_its_block_and_the_next_a_tempo_later(spec: int) -> None:
    follow = Followed(spec)
    due_at(follow, 20, follow.netuid)
    for _ in range(3):
        follow.block()
    follow.chain.submit(follow.chain.coldkeys[0], calls.trigger_epoch(follow.netuid, 4))
    blocks = [follow.block() for _ in range(20)]
    assert runs(follow, 1, 23)[follow.netuid] == [8, 18]
    assert {facts.number for facts in blocks if facts.yields} == {8, 18}


@eras(423)
def test_scenario_04_a_changed_tempo_begins_a_new_cycle(spec: int) -> None:
    follow = Followed(spec)
    due_at(follow, 10, follow.netuid)
    for _ in range(4):
        follow.block()
    follow.chain.submit(follow.chain.coldkeys[0], calls.set_tempo(follow.netuid, 7))
    blocks = [follow.block() for _ in range(20)]
    assert runs(follow, 1, 24)[follow.netuid] == [12, 19]
    assert {facts.number for facts in blocks if facts.yields} == {12, 19}


@pytest.mark.parametrize("upgraded_after", [24, 30, 31, 32])
def test_scenario_04_the_hand_over_from_fixed_to_dynamic_tempo_loses_and_repeats_no_epoch(
    upgraded_after: int,
) -> None:
    """The first epoch by the new scheduler lands on the block of the old one; from there the period is a block less."""
    follow = Followed(422)
    tempos = dict(zip(follow.netuids, (8, 9, 13), strict=True))

    def schedule(world: World) -> None:
        for netuid, tempo in tempos.items():
            world.tempo.put(netuid, tempo)

    follow.chain.silently(schedule)
    blocks = [follow.block() for _ in range(upgraded_after)]
    follow.chain.upgrade(425)
    # The next block sets the code; the one after it is the first that runs on it.
    new = upgraded_after + 2
    blocks += [follow.block() for _ in range(70 - upgraded_after)]
    assert next(facts.number for facts in blocks if facts.spec_version == 425) == new
    for netuid, tempo in tempos.items():
        legacy = [number for number in range(2, 61) if (number + netuid + 2) % (tempo + 1) == 0]
        first = next(number for number in legacy if number >= new)
        expected = [number for number in legacy if number < new] + list(range(first, 71, tempo))
        assert runs(follow, 1, 70)[netuid] == expected
        paid = {facts.number for facts in blocks if any(fact.netuid == netuid for fact in facts.yields)}
        assert paid <= set(expected)
        assert len(paid) > len(expected) // 2
