"""Must-pass scenarios 18 and 19, read from a chain that knows the truth: keys that change, subnets that end and begin.

`Followed.block` reads every block twice, by a reader that goes on and by one that starts from what was stored, so each
of these also stands for ingestion that was interrupted there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import pytest

from chain import keys
from chain.facts import BlockFacts, HotkeyFact, StakeEventFact
from chain.nodes.source import SourceError
from chain.reading.reader import ChainReader
from chain.stake.hotkeys import Following
from chain.state import UnsupportedEvent
from chain.tests.followed import ERAS, ROOT, TAO, Followed, eras, of, sale_of
from chain.tests.model import World, calls, codec
from chain.tests.model.stake import subnet_account
from chain.tests.model.swaps import swap_hotkey
from chain.tests.test_every_move import moved_otherwise
from chain.tests.test_lying_nodes import LyingModel
from chain.tests.test_meeting_causes import becomes_liquidity


def moved(facts: BlockFacts, cause: str) -> tuple[list[StakeEventFact], list[StakeEventFact]]:
    """What left and what came with a cause."""
    legs = [leg for leg in facts.stake_events if leg.cause == cause]
    assert all(leg.derived and leg.tao_rao is None for leg in legs)
    return [leg for leg in legs if not leg.added], [leg for leg in legs if leg.added]


def epoch(follow: Followed, hotkey: str) -> BlockFacts:
    """An epoch that pays both sides of a hotkey."""
    follow.epoch(alpha={hotkey: 123_456_789_123}, root={hotkey: 54_321_987_654})
    facts = follow.block()
    assert {(fact.hotkey, fact.side) for fact in facts.yields} == {(hotkey, "ALPHA"), (hotkey, "ROOT")}
    return facts


def epoch_of(
    follow: Followed, hotkey: str, *, alpha: int = 123_456_789_123, root: int = 54_321_987_654
) -> dict[str, int]:
    """The takes of an epoch of a hotkey, by side."""
    follow.epoch(alpha={hotkey: alpha}, root={hotkey: root})
    return {fact.side: fact.take_rao for fact in follow.block().yields}


def keeping(specs: Sequence[int]) -> pytest.MarkDecorator:
    """Run a test on each runtime with the old call, and from 391 with the one that may leave the stake behind."""
    pairs = [(spec, keep) for spec in specs for keep in (None, False, True) if keep is None or spec >= 391]
    return pytest.mark.parametrize(("spec", "keep"), pairs)


# --- 18. Keys that change -----------------------------------------------------------------------------------------


@eras()
@pytest.mark.parametrize("who", ["delegator", "owner"])
def test_scenario_18_a_swapped_coldkey_takes_every_position_and_sells_nothing(spec: int, who: str) -> None:
    """A delegator, who may be a partner's, and the owner, whose hotkey goes with him."""
    follow = Followed(spec)
    old, new = follow.owner if who == "owner" else follow.nominators()[0], follow.newcomer()
    held = {
        (hotkey, netuid): rao
        for hotkey in follow.hotkeys
        for netuid in (ROOT, *follow.netuids)
        if (rao := follow.stake(old, netuid, hotkey))
    }
    follow.chain.swap_coldkey(old, new)
    facts = follow.block()
    left, came = moved(facts, "COLDKEY_SWAP")
    assert len(left) + len(came) == len(facts.stake_events)
    for legs, coldkey, other in ((left, old, new), (came, new, old)):
        assert {
            (leg.hotkey, leg.netuid): (leg.kind, leg.coldkey, leg.other_coldkey) for leg in legs
        } == dict.fromkeys(held, ("TRANSFER", coldkey, other))
        assert all(abs(leg.alpha_rao - held[leg.hotkey, leg.netuid]) <= 1 for leg in legs)
    assert facts.conversions == []
    assert facts.hotkeys == []
    assert {coldkey for holders in follow.reader.holdings.values() for coldkey in holders} >= {new}
    assert {fact.owner for fact in epoch(follow, follow.hotkey).yields} == {
        new if who == "owner" else follow.owner
    }
    seller = new if who == "owner" else follow.owner
    follow.chain.remove_stake(seller, follow.hotkey, follow.netuid, 3 * TAO)
    follow.chain.add_stake(old, follow.hotkey, follow.netuid, TAO)
    facts = follow.block()
    assert [(sale.owner, sale.alpha_rao) for sale in facts.conversions] == [(seller, 3 * TAO)]
    assert [leg.kind for leg in of(facts, old)] == ["STAKE"]


@eras()
def test_scenario_18_the_owner_sells_before_and_after_his_swap_in_the_block_of_an_epoch(spec: int) -> None:
    follow = Followed(spec)
    old, new = follow.owner, follow.newcomer()
    follow.chain.remove_stake(old, follow.hotkey, follow.netuid, 3 * TAO)
    follow.chain.swap_coldkey(old, new)
    follow.chain.remove_stake(new, follow.hotkey, follow.netuid, 5 * TAO)
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    follow.blurred = True
    facts = follow.block()
    assert {fact.owner for fact in facts.yields} == {old}
    assert [(sale.owner, sale.alpha_rao) for sale in facts.conversions] == [(old, 3 * TAO), (new, 5 * TAO)]
    assert {fact.owner for fact in epoch(follow, follow.hotkey).yields} == {new}


@keeping(ERAS)
def test_scenario_18_a_hotkey_swapped_everywhere_is_followed(spec: int, keep: bool | None) -> None:
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("new hotkey")
    before = {pool: dict(holders) for pool, holders in follow.reader.holdings.items() if pool[0] == old}
    held = {
        (netuid, coldkey): follow.stake(coldkey, netuid)
        for (_, netuid), holders in before.items()
        for coldkey in holders
    }
    follow.chain.swap_hotkey(old, new, keep_stake=keep)
    facts = follow.block()
    gone = HotkeyFact(old, None, "", ended=True)
    nobodys = HotkeyFact(old, None, "", abandoned_by=follow.owner)
    assert set(facts.hotkeys) == {HotkeyFact(new, None, old), gone, nobodys}
    assert follow.reader.following == {
        Following(new),
        Following(follow.hotkeys[1]),
        Following(old, None, follow.owner),
    }
    left, came = moved(facts, "HOTKEY_SWAP")
    assert facts.conversions == []
    if keep:
        # Whoever stayed holds on to a key that is nobody's now.
        assert (left, came) == ([], [])
        assert (new, follow.netuid) not in follow.reader.holdings
    else:
        for legs, hotkey, other in ((left, old, new), (came, new, old)):
            assert {(leg.kind, leg.hotkey, leg.other_hotkey) for leg in legs} == {("RESTAKE", hotkey, other)}
            assert {(leg.netuid, leg.coldkey) for leg in legs} == held.keys()
            assert all(abs(leg.alpha_rao - held[leg.netuid, leg.coldkey]) <= 1 for leg in legs)
    follow.chain.add_stake(follow.newcomer("staker"), new, follow.netuid, 9 * TAO)
    follow.chain.add_stake(follow.newcomer("staker"), new, ROOT, 9_000 * TAO)
    follow.block()
    facts = epoch(follow, new)
    assert {(fact.owner, fact.take_u16) for fact in facts.yields} == {(follow.owner, 11_796)}


@keeping([spec for spec in ERAS if spec >= 277])
def test_scenario_18_a_hotkey_swapped_on_one_subnet_is_followed_there(spec: int, keep: bool | None) -> None:
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("new hotkey")
    holders = dict(follow.reader.holdings[old, follow.netuid])
    follow.chain.swap_hotkey(old, new, follow.netuid, keep_stake=keep)
    facts = follow.block()
    assert facts.hotkeys == [HotkeyFact(new, follow.netuid, old)]
    assert follow.reader.following == {
        Following(old),
        Following(follow.hotkeys[1]),
        Following(new, follow.netuid),
    }
    left, came = moved(facts, "HOTKEY_SWAP")
    assert (
        {leg.coldkey for leg in left} == {leg.coldkey for leg in came} == (set() if keep else holders.keys())
    )
    assert {leg.netuid for leg in facts.stake_events} <= {follow.netuid}
    assert ((new, follow.netuid) in follow.reader.holdings) != bool(keep)
    # Root stays with the old key, so the new one earns alpha there and the old one both elsewhere.
    follow.chain.add_stake(follow.newcomer("staker"), new, follow.netuid, 9 * TAO)
    follow.block()
    follow.epoch(alpha={new: 12 * TAO + 1}, root={new: 0})
    follow.epoch(follow.netuids[2], alpha={old: 12 * TAO + 1}, root={old: 7 * TAO + 1})
    facts = follow.block()
    assert {(fact.hotkey, fact.netuid, fact.side) for fact in facts.yields} == {
        (new, follow.netuid, "ALPHA"),
        (old, follow.netuids[2], "ALPHA"),
        (old, follow.netuids[2], "ROOT"),
    }


@eras()
def test_scenario_18_a_hotkey_swapped_in_the_block_of_an_epoch_loses_no_take(spec: int) -> None:
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("new hotkey")
    follow.epoch(alpha={old: 123_456_789_123}, root={old: 54_321_987_654})
    follow.chain.swap_hotkey(old, new)
    follow.blurred = True
    facts = follow.block()
    assert {(fact.hotkey, fact.side) for fact in facts.yields} == {(old, "ALPHA"), (old, "ROOT")}
    epoch(follow, new)


@eras(277)
def test_scenario_18_a_key_swapped_on_root_hands_on_what_root_earns_everywhere(spec: int) -> None:
    """Root stake earns on every subnet, so a key that took it over is ours wherever it comes to earn."""
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("new hotkey")
    follow.chain.swap_hotkey(old, new, ROOT)
    facts = follow.block()
    assert facts.hotkeys == [HotkeyFact(new, None, old)]
    follow.chain.submit(follow.owner, calls.register_neuron(follow.netuid, new))
    follow.block()
    follow.epoch(alpha={old: 123_456_789_123, new: 0}, root={new: 54_321_987_654})
    facts = follow.block()
    assert {(fact.hotkey, fact.side) for fact in facts.yields} == {(old, "ALPHA"), (new, "ROOT")}


def keep_everything(spec: int) -> tuple[Followed, str, str]:
    """A key swapped on all subnets whose stake stays: it has no owner any more."""
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("new hotkey")
    before = {pool: dict(held) for pool, held in follow.reader.holdings.items() if pool[0] == old}
    follow.chain.swap_hotkey(old, new, keep_stake=True)
    facts = follow.block()
    assert facts.stake_events == [], "everybody's stake is where it was"
    assert {pool: held for pool, held in follow.reader.holdings.items() if pool[0] == old} == before
    abandoned = Following(old, None, follow.owner)
    assert follow.reader.following == {Following(new), abandoned, Following(follow.hotkeys[1])}
    assert set(facts.hotkeys) == {
        HotkeyFact(new, None, old),
        HotkeyFact(old, None, "", ended=True),
        HotkeyFact(old, None, "", abandoned_by=follow.owner),
    }
    return follow, old, new


@eras(391)
def test_scenario_18_stake_that_a_swap_left_behind_is_seen_and_the_key_taken_up_again(spec: int) -> None:
    follow, old, new = keep_everything(spec)
    leaver = follow.nominators(hotkey=old)[0]
    follow.chain.submit(leaver, calls.remove_stake_full(old, follow.netuid))
    follow.chain.add_stake(follow.newcomer("staker"), new, follow.netuid, 9 * TAO)
    assert epoch_of(follow, new, root=0).keys() == {"ALPHA"}
    follow.chain.silently(partial(own, hotkey=old, coldkey=follow.owner))
    facts = follow.block()
    assert facts.hotkeys == [
        HotkeyFact(old, None, ""),
        HotkeyFact(old, None, "", abandoned_by=follow.owner, ended=True),
    ]
    assert follow.reader.following == {Following(new), Following(old), Following(follow.hotkeys[1])}
    assert epoch_of(follow, old).keys() == {"ALPHA", "ROOT"}
    follow.chain.remove_stake(follow.owner, old, follow.netuid, 3 * TAO)
    assert [sale.alpha_rao for sale in follow.block().conversions] == [3 * TAO]


@eras(391)
def test_scenario_18_a_key_that_a_stranger_takes_up_is_not_ours(spec: int) -> None:
    follow, old, new = keep_everything(spec)
    stranger = follow.newcomer("stranger")
    follow.chain.silently(partial(own, hotkey=old, coldkey=stranger))
    follow.doubtful = True
    facts = follow.block()
    [doubt] = facts.doubts
    assert f"{old}, which a swap of {follow.owner} left without an owner, is now {stranger}'s" in doubt
    assert facts.hotkeys == [HotkeyFact(old, None, "", abandoned_by=follow.owner, ended=True)]
    assert follow.reader.following == {Following(new), Following(follow.hotkeys[1])}
    assert old not in {pool[0] for pool in follow.reader.holdings}
    follow.doubtful = False
    follow.epoch(alpha={old: 123_456_789_123}, root={})
    assert follow.block().yields == []


@eras(391)
def test_scenario_18_a_key_that_has_stake_and_no_owner_from_the_start_is_refused(spec: int) -> None:
    """The swap that left it so was not read: what took its place is not known."""
    follow, old, new = keep_everything(spec)
    reader = ChainReader(follow.chain.source, [old, new], 42, decoders=follow.chain.decoder_for)
    reader.start_from_chain(follow.chain.number)
    follow.chain.add_stake(follow.newcomer("staker"), new, follow.netuid, 9 * TAO)
    number = follow.chain.produce()
    with pytest.raises(SourceError, match=f"{old} has stake and no owner.*name the key that took its place"):
        reader.read_block(number)


@pytest.mark.parametrize("where", ["everywhere", "one subnet"])
@keeping([spec for spec in ERAS if spec >= 277])
def test_scenario_18_a_key_swapped_for_one_that_has_stakers_already(
    spec: int, keep: bool | None, where: str
) -> None:
    """Only what came from the old key is told to have come; on other subnets and of other stakers nothing is."""
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("second hotkey")
    follow.chain.silently(partial(own, hotkey=new, coldkey=follow.owner))
    follow.block()
    only_new, both = follow.newcomer("of the new"), follow.nominators()[0]
    for coldkey, netuid in (
        *((coldkey, follow.netuid) for coldkey in (only_new, both, follow.owner)),
        *((coldkey, follow.netuids[2]) for coldkey in (only_new, both)),
    ):
        follow.chain.add_stake(coldkey, new, netuid, 700 * TAO)
    follow.block()
    follow.chain.swap_hotkey(old, new, follow.netuid if where == "one subnet" else None, keep_stake=keep)
    follow.blurred = True
    facts = follow.block()
    everywhere = {(hotkey, netuid) for hotkey in follow.reader.hotkeys for netuid in (ROOT, *follow.netuids)}
    assert not moved_otherwise(follow.chain, facts, everywhere)
    if keep or where == "one subnet":
        assert {leg.netuid for leg in facts.stake_events} <= {follow.netuid}
    assert follow.reader.holdings[new, follow.netuids[2]].keys() >= {only_new, both}


@keeping([spec for spec in ERAS if spec >= 277])
def test_scenario_18_a_key_swapped_for_another_of_ours_in_the_block_of_an_epoch(
    spec: int, keep: bool | None
) -> None:
    """What the epoch wrote of the old key stands under the new one, which earned nothing."""
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("second hotkey")
    follow.chain.silently(partial(own, hotkey=new, coldkey=follow.owner))
    follow.block()
    reader = ChainReader(follow.chain.source, [*follow.hotkeys, new], 42, decoders=follow.chain.decoder_for)
    reader.start_from_chain(follow.chain.number)
    follow.chain.swap_hotkey(old, new, keep_stake=keep)
    follow.epoch(alpha={old: 123_456_789_123}, root={old: 54_321_987_654})
    number = follow.chain.produce()
    facts = reader.read_block(number)
    truth = {(one.hotkey, one.side, one.take_rao) for one in follow.truth(number)}
    assert {(fact.hotkey, fact.side, fact.take_rao) for fact in facts.yields} == truth


@eras(277)
def test_scenario_18_a_key_that_earns_where_it_is_not_ours_tells_no_move_that_was_none(spec: int) -> None:
    """What the epoch paid it there is not looked at; the price of its shares rose by that, and by nothing else."""
    follow = Followed(spec)
    old, new, elsewhere = follow.hotkey, follow.newcomer("new hotkey"), follow.netuids[2]
    follow.chain.swap_hotkey(old, new, follow.netuid)
    follow.block()
    follow.chain.submit(follow.owner, calls.register_neuron(elsewhere, new))
    staker = follow.newcomer("staker")
    follow.chain.add_stake(staker, new, elsewhere, 900 * TAO)
    follow.block()
    follow.epoch(elsewhere, alpha={new: 5_000 * TAO}, root={})
    follow.chain.add_stake(staker, new, elsewhere, 9 * TAO)
    follow.blurred = True
    facts = follow.block()
    assert [(leg.kind, leg.cause) for leg in facts.stake_events] == [("STAKE", "")]


@eras(391)
def test_scenario_19_a_subnet_that_ends_pays_the_owner_for_stake_on_a_key_he_abandoned(spec: int) -> None:
    follow, old, _ = keep_everything(spec)
    held = follow.stake(follow.owner, hotkey=old)
    follow.chain.dissolve(follow.netuid)
    follow.doubtful = True
    facts = follow.block()
    told = {sale.hotkey: sale.alpha_rao for sale in facts.conversions}
    assert told.get(old) == held or any(f"{held} rao left {follow.owner}" in doubt for doubt in facts.doubts)


@eras()
def test_scenario_18_a_stranger_who_takes_up_an_empty_key_of_ours_opens_no_gap(spec: int) -> None:
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("new hotkey")
    follow.chain.swap_hotkey(old, new)
    follow.block()
    follow.chain.silently(partial(own, hotkey=old, coldkey=follow.newcomer("stranger")))
    facts = follow.block()
    assert facts.hotkeys == [HotkeyFact(old, None, "", abandoned_by=follow.owner, ended=True)]


@eras(391)
@pytest.mark.parametrize("at_once", [False, True])
def test_scenario_18_a_key_is_taken_up_by_the_coldkey_that_took_its_owners_place(
    spec: int, at_once: bool
) -> None:
    follow = Followed(spec)
    old, new, coldkey = follow.hotkey, follow.newcomer("new hotkey"), follow.newcomer("new coldkey")
    owner = follow.owner
    follow.chain.swap_hotkey(old, new, keep_stake=True)
    if not at_once:
        follow.block()
    follow.chain.swap_coldkey(owner, coldkey)
    follow.blurred = True
    follow.block()
    assert Following(old, None, coldkey) in follow.reader.following
    follow.chain.silently(partial(own, hotkey=old, coldkey=coldkey))
    follow.block()
    assert Following(old) in follow.reader.following
    assert epoch_of(follow, old).keys() == {"ALPHA", "ROOT"}


@pytest.mark.parametrize("way", ["A B C", "A B A"])
@pytest.mark.parametrize("pays", [False, True])
@eras(258)
def test_scenario_18_a_key_swapped_twice_in_one_block_is_followed_to_the_end(
    spec: int, way: str, pays: bool
) -> None:
    """The default rate limit forbids it; another chain's need not."""
    follow = Followed(spec)
    key = {"A": follow.hotkey, "B": follow.newcomer("B"), "C": follow.newcomer("C")}
    first, middle, last = (key[letter] for letter in way.split())
    follow.chain.swap_hotkey(first, middle)
    follow.chain.submit(follow.owner, calls.swap_hotkey(middle, last))
    if pays:
        follow.epoch(alpha={first: 123_456_789_123}, root={first: 54_321_987_654})
    follow.blurred = True
    facts = follow.block()
    assert {fact.side for fact in facts.yields} == ({"ALPHA", "ROOT"} if pays else set())
    assert Following(last) in follow.reader.following
    assert {fact.hotkey for fact in epoch(follow, last).yields} == {last}


def unseat(world: World, *, netuid: int, hotkey: str) -> None:
    uid = world.uids.get(netuid, hotkey)
    world.uids.remove(netuid, hotkey)
    world.uid_keys.remove(netuid, uid)


@eras(277, 393)
def test_scenario_18_another_key_of_the_owner_swapped_into_ours_hides_no_sale(spec: int) -> None:
    """Raw shares of two prices are thrown together: some gain by it, some lose, and a loss is a gap, for it may be more."""
    follow = Followed(spec)
    ours, other = follow.hotkey, follow.newcomer("other hotkey")
    follow.chain.silently(partial(own, hotkey=other, coldkey=follow.owner))
    follow.block()
    both = follow.nominators()[0]
    for coldkey in (follow.newcomer("of the other"), both):
        follow.chain.add_stake(coldkey, other, follow.netuid, 700 * TAO)
    follow.epoch(alpha={ours: 900_000 * TAO}, root={})
    follow.block()
    # A key with a seat on the subnet is refused.
    follow.chain.silently(partial(unseat, netuid=follow.netuid, hotkey=ours))
    follow.block()
    follow.chain.submit(follow.owner, calls.swap_hotkey(other, ours, follow.netuid))
    follow.chain.remove_stake(follow.owner, ours, follow.netuid, 5 * TAO)
    follow.blurred = True
    facts = follow.reader.read_block(follow.chain.produce())
    assert {leg.cause for leg in facts.stake_events} <= {"", "HOTKEY_SWAP", "UNEXPLAINED"}
    assert facts.doubts
    assert sale_of(facts).alpha_rao == 5 * TAO


@pytest.mark.parametrize("where", ["everywhere", "one subnet"])
@keeping([spec for spec in ERAS if 283 <= spec < 393])
def test_scenario_18_a_swap_hides_no_alpha_that_went_into_liquidity(
    spec: int, keep: bool | None, where: str
) -> None:
    follow = Followed(spec)
    old, owner = follow.hotkey, follow.owner
    becomes_liquidity(follow.chain, owner, 5 * TAO)
    follow.chain.swap_hotkey(
        old, follow.newcomer("new"), follow.netuid if where == "one subnet" else None, keep_stake=keep
    )
    follow.blurred = follow.doubtful = True
    assert any("rao left with a swap of a key" in doubt for doubt in follow.block().doubts)


@pytest.mark.parametrize("where", ["everywhere", "one subnet"])
@keeping([spec for spec in ERAS if spec >= 277])
def test_scenario_18_a_sale_that_a_node_hides_beside_a_swap_is_doubted(
    spec: int, keep: bool | None, where: str
) -> None:
    follow = Followed(spec)
    chain, old, owner = follow.chain, follow.hotkey, follow.owner
    chain.remove_stake(owner, old, follow.netuid, 5 * TAO)
    chain.swap_hotkey(
        old, follow.newcomer("new"), follow.netuid if where == "one subnet" else None, keep_stake=keep
    )
    number = chain.produce()
    for _ in range(2):
        chain.produce()
    honest = LyingModel(chain)
    assert not honest.read(number)[0].doubts
    events = codec.decode(bytes.fromhex(str(honest.value(number, keys.SYSTEM_EVENTS))[2:]))
    told = [
        (phase, "System", "Remarked", {"sender": owner, "hash": "0x" + "00" * 32})
        if name == "StakeRemoved"
        else (phase, pallet, name, values)
        for phase, pallet, name, values in events
    ]
    lies: dict[tuple[str, str], str | None] = {
        (chain.hash_of(number), keys.SYSTEM_EVENTS): "0x" + codec.encode(told).hex()
    }
    assert LyingModel(chain, lies).read(number)[0].doubts


@eras(391)
@pytest.mark.parametrize("who", ["owner", "stranger"])
def test_scenario_18_an_abandoned_key_taken_up_and_swapped_on_at_once(spec: int, who: str) -> None:
    follow, old, new = keep_everything(spec)
    coldkey = follow.owner if who == "owner" else follow.newcomer("stranger")
    third = follow.newcomer("third")

    def associate(world: World, _: str) -> None:
        world.owner.put(old, coldkey)

    follow.chain.submit(coldkey, calls.call("SubtensorModule", "try_associate_hotkey", associate, hotkey=old))
    follow.chain.submit(coldkey, calls.swap_hotkey(old, third))
    follow.blurred = True
    follow.doubtful = who == "stranger"
    facts = follow.block()
    if who == "owner":
        assert Following(third) in follow.reader.following
        follow.blurred = False
        assert epoch_of(follow, third).keys() == {"ALPHA", "ROOT"}
    else:
        [doubt] = facts.doubts
        assert f"is now {coldkey}'s" in doubt
        assert {one.hotkey for one in follow.reader.following} == {new, follow.hotkeys[1]}


@eras(345)
@pytest.mark.parametrize("kind", ["Keep", "Swap"])
@pytest.mark.parametrize("where", ["everywhere", "on one subnet"])
@pytest.mark.parametrize("first", ["claim", "swap"])
def test_scenario_18_root_claims_beside_a_swap_are_told_apart_from_it(
    spec: int, kind: str, where: str, first: str
) -> None:
    """The chain claims for some of root's stakers in every block, so beside many swaps."""
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("new")
    follow.epoch(alpha={old: 123_456_789_123}, root={old: 54_321_987_654})
    follow.block()
    claimers = follow.nominators(ROOT)[:2]
    for coldkey in claimers:
        follow.chain.set_claim_type(coldkey, kind)
    follow.block()
    netuid = None if where == "everywhere" else follow.netuid
    if first == "swap":
        follow.chain.swap_hotkey(old, new, netuid)
    for coldkey in claimers:
        follow.chain.claim_root(coldkey, follow.netuid)
    if first == "claim":
        follow.chain.swap_hotkey(old, new, netuid)
    follow.blurred = True
    # Until 393 a swap on one subnet took the claims on it along; then they stay, and the new stake with them.
    unsure = (first, where, kind) == ("swap", "on one subnet", "Keep") and spec >= 394
    follow.doubtful = unsure
    facts = follow.block()
    assert bool(facts.doubts) == unsure
    if unsure:
        return
    assert not moved_otherwise(
        follow.chain, facts, {(key, at) for key in (old, new) for at in (ROOT, follow.netuid)}
    )
    where_claimed: dict[tuple[str, str], int] = defaultdict(int)
    for move in follow.chain.world.moves:
        if move.block == facts.number and move.coldkey in claimers and move.rao > 100:
            where_claimed[move.coldkey, move.hotkey] += move.rao
    told = {
        (leg.coldkey, leg.hotkey): leg.alpha_rao for leg in facts.stake_events if leg.cause == "ROOT_CLAIM"
    }
    assert told or (spec < 394 and (first, where) == ("swap", "on one subnet")) or kind == "Swap"
    for place, rao in told.items():
        assert abs(where_claimed[place] - rao) < 100 or where_claimed[place] > rao


def second_key_with_claims(spec: int) -> tuple[Followed, str, str, str]:
    """A key of ours and another of its owner, on which a staker of root has dividends to claim."""
    follow = Followed(spec)
    old, new, staker = follow.hotkey, follow.newcomer("second"), follow.newcomer("staker")
    follow.chain.silently(partial(own, hotkey=new, coldkey=follow.owner))
    follow.block()
    follow.chain.add_stake(staker, new, ROOT, 9_000 * TAO)
    follow.block()
    follow.chain.set_claim_type(staker, "Keep")
    follow.block()
    follow.blurred = follow.doubtful = True
    follow.epoch(alpha={old: 123_456_789_123}, root={old: 54_321_987_654, new: 44_000_000_000})
    follow.block()
    return follow, old, new, staker


@eras(393)
def test_scenario_18_a_claim_on_the_new_key_is_no_stake_that_left_the_old_one(spec: int) -> None:
    """Nothing moved: a row that says so would hand the owner's unsold take over."""
    follow, _, new, staker = second_key_with_claims(spec)
    follow.chain.claim_root(staker, follow.netuid)
    follow.chain.swap_hotkey(follow.hotkey, new, follow.netuid, keep_stake=True)
    facts = follow.block()
    assert [leg for leg in facts.stake_events if not leg.added] == []
    assert facts.doubts


@eras(345)
def test_scenario_18_an_owners_claim_beside_his_swap_is_a_doubt_since_it_might_hide_a_sale(spec: int) -> None:
    follow = Followed(spec)
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    follow.block()
    follow.chain.set_claim_type(follow.owner, "Keep")
    follow.block()
    follow.chain.claim_root(follow.owner, follow.netuid)
    follow.chain.swap_hotkey(follow.hotkey, follow.newcomer("new"))
    follow.blurred = follow.doubtful = True
    assert any("left with a swap of a key" in doubt for doubt in follow.block().doubts)


@eras(345)
@pytest.mark.parametrize("beside", ["nothing", "liquidity", "claim", "hidden sale"])
def test_scenario_18_what_left_with_a_coldkey_swap_must_arrive(spec: int, beside: str) -> None:
    follow = Followed(spec)
    heir = follow.newcomer("heir")
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    follow.block()
    follow.chain.set_claim_type(follow.owner, "Keep")
    follow.block()
    if beside == "liquidity":
        becomes_liquidity(follow.chain, follow.owner, 5 * TAO)
    elif beside == "claim":
        follow.chain.claim_root(follow.owner, follow.netuid)
    elif beside == "hidden sale":
        follow.chain.remove_stake(follow.owner, follow.hotkey, follow.netuid, 5 * TAO)
    follow.chain.swap_coldkey(follow.owner, heir)
    if beside != "hidden sale":
        follow.blurred = follow.doubtful = beside != "nothing"
        said = any("left with a swap of a key" in doubt for doubt in follow.block().doubts)
        assert said == follow.doubtful
        return
    chain = follow.chain
    number = chain.produce()
    chain.produce()
    events = codec.decode(bytes.fromhex(str(LyingModel(chain).value(number, keys.SYSTEM_EVENTS))[2:]))
    remarked = {"sender": follow.owner, "hash": "0x" + "00" * 32}
    told = [
        (phase, "System", "Remarked", remarked) if name == "StakeRemoved" else (phase, pallet, name, values)
        for phase, pallet, name, values in events
    ]
    lies: dict[tuple[str, str], str | None] = {
        (chain.hash_of(number), keys.SYSTEM_EVENTS): "0x" + codec.encode(told).hex()
    }
    assert LyingModel(chain, lies).read(number)[0].doubts


@pytest.mark.parametrize(("spec", "following"), [(345, 348), (385, 391), (402, 411), (424, 425)])
@pytest.mark.parametrize("taken_up", [False, True], ids=["swapped", "and taken up by a stranger"])
def test_scenario_18_a_swap_in_the_first_block_of_a_runtime(
    spec: int, following: int, taken_up: bool
) -> None:
    follow = Followed(spec)
    follow.blurred = follow.doubtful = True
    old, new, stranger = follow.hotkey, follow.newcomer("new"), follow.newcomer("stranger")
    follow.block()
    follow.chain.upgrade(following)
    follow.block()
    follow.chain.swap_hotkey(old, new)

    def associate(world: World, _: str) -> None:
        if world.owner_of(old) is None:
            world.owner.put(old, stranger)

    if taken_up:
        follow.chain.submit(
            stranger, calls.call("SubtensorModule", "try_associate_hotkey", associate, hotkey=old)
        )
    follow.block()
    abandoned = set() if taken_up else {Following(old, None, follow.owner)}
    assert follow.reader.following == {Following(new), Following(follow.hotkeys[1]), *abandoned}


@eras(258)
@pytest.mark.parametrize("worth_more", ["old", "new"])
def test_scenario_18_a_swap_into_a_key_with_stake_at_another_price_is_no_gap(
    spec: int, worth_more: str
) -> None:
    """Before 394 shares were thrown together, so that whoever held what was worth more lost to the others."""
    follow = Followed(spec)
    old, new = follow.hotkey, follow.newcomer("second")
    follow.chain.silently(partial(own, hotkey=new, coldkey=follow.owner))
    follow.block()
    for coldkey in (follow.owner, follow.newcomer("staker")):
        follow.chain.add_stake(coldkey, new, follow.netuid, 700 * TAO)
    follow.block()
    follow.blurred = follow.doubtful = True
    follow.epoch(alpha={old if worth_more == "old" else new: 500 * TAO})
    follow.block()
    follow.chain.swap_hotkey(old, new)
    follow.doubtful = False
    facts = follow.block()
    assert {leg.cause for leg in facts.stake_events} == {"HOTKEY_SWAP"}
    assert facts.conversions == []
    assert abs(sum(leg.alpha_rao if leg.added else -leg.alpha_rao for leg in facts.stake_events)) < 100


@eras(391)
@pytest.mark.parametrize("keep_stake", [True, None])
def test_scenario_18_a_stranger_takes_our_key_up_in_the_block_of_its_swap(
    spec: int, keep_stake: bool | None
) -> None:
    follow = Followed(spec)
    old, new, stranger = follow.hotkey, follow.newcomer("new"), follow.newcomer("stranger")
    follow.chain.swap_hotkey(old, new, keep_stake=keep_stake)

    def associate(world: World, _: str) -> None:
        if world.owner_of(old) is None:
            world.owner.put(old, stranger)

    follow.chain.submit(
        stranger, calls.call("SubtensorModule", "try_associate_hotkey", associate, hotkey=old)
    )
    follow.blurred = follow.doubtful = True
    facts = follow.block()
    said = [f"{old}, which a swap of {follow.owner} left without an owner, is now {stranger}'s"]
    assert [text for text in said for doubt in facts.doubts if text in doubt] == said[
        : 1 if keep_stake else 0
    ]
    assert {one.hotkey for one in follow.reader.following} == {new, follow.hotkeys[1]}


@eras(401, 415)
def test_scenario_18_a_key_of_ours_into_which_a_stranger_swaps_his_is_ours_no_longer(spec: int) -> None:
    """Until 416 the chain asked only that the new key was not registered on that subnet."""
    follow = Followed(spec)
    thief, his = follow.newcomer("thief"), follow.newcomer("his")
    follow.chain.silently(partial(own, hotkey=his, coldkey=thief))
    follow.chain.silently(partial(unseat, netuid=follow.netuids[2], hotkey=follow.hotkey))
    follow.block()

    def swap(world: World, signer: str) -> None:
        world.owner.put(follow.hotkey, signer)
        swap_hotkey(world, signer, his, follow.hotkey, follow.netuids[2])

    call = calls.call(
        "SubtensorModule", "swap_hotkey", swap, hotkey=his, new_hotkey=follow.hotkey, netuid=follow.netuids[2]
    )
    follow.chain.submit(thief, call)
    follow.blurred = follow.doubtful = True
    [doubt] = follow.block().doubts
    assert f"{follow.hotkey}, which {follow.owner} owned, is now {thief}'s" in doubt
    assert {one.hotkey for one in follow.reader.following} == {follow.hotkeys[1]}
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={})
    assert follow.block().yields == []


@eras(261, 360)
def test_scenario_18_a_swap_in_an_epochs_block_into_a_key_that_may_have_earned_too_is_a_gap(
    spec: int,
) -> None:
    """Both keys' dividends are added into one record."""
    follow = Followed(spec)
    old, second = follow.hotkey, follow.newcomer("second hotkey")
    follow.chain.silently(partial(own, hotkey=second, coldkey=follow.owner))
    follow.block()
    follow.chain.add_stake(follow.newcomer("staker"), second, follow.netuid, 700 * TAO)
    follow.block()
    follow.chain.swap_hotkey(old, second)
    follow.epoch(alpha={old: 123_456_789_123, second: 55 * TAO}, root={old: 54_321_987_654})
    with pytest.raises(UnsupportedEvent, match="what each of the two earned cannot be told apart"):
        follow.reader.read_block(follow.chain.produce())


# --- 19. Subnets that end and begin -----------------------------------------------------------------------------------


def payments(follow: Followed) -> dict[str, list[int]]:
    """What the end of the subnet paid each coldkey, by the balances pallet's events."""
    found: dict[str, list[int]] = defaultdict(list)
    for event in follow.events():
        if event.is_a("Balances", "Transfer") and event.values["from"] == subnet_account(follow.netuid):
            found[event.values["to"]].append(event.values["amount"])
        elif event.is_a("Balances", "Deposit"):
            found[event.values["who"]].append(event.values["amount"])
    return dict(found)


@eras(320)
def test_scenario_19_unsold_take_becomes_tao_with_its_subnet_and_nothing_of_it_lives_on(spec: int) -> None:
    follow = Followed(spec)
    facts = epoch(follow, follow.hotkey)
    take = sum(fact.take_rao for fact in facts.yields)
    held = {
        coldkey: follow.stake(coldkey) for coldkey in follow.reader.holdings[follow.hotkey, follow.netuid]
    }
    assert held[follow.owner] > take
    pot = follow.raw(keys.by_netuid("SubnetTAO", follow.netuid))
    follow.chain.dissolve(follow.netuid)
    facts = follow.block()
    paid = payments(follow)
    assert sum(map(sum, paid.values())) == pot
    ended = [leg for leg in facts.stake_events if leg.hotkey == follow.hotkey]
    assert {(leg.kind, leg.cause, leg.added, leg.netuid) for leg in ended} == {
        ("UNSTAKE", "DISSOLVED", False, follow.netuid)
    }
    assert {leg.coldkey: leg.alpha_rao for leg in ended} == held
    assert all(leg.tao_rao in (None, *paid[leg.coldkey]) for leg in ended)
    sale = next(sale for sale in facts.conversions if sale.hotkey == follow.hotkey)
    assert [sale.tao_rao] == paid[follow.owner]
    assert (sale.owner, sale.netuid, sale.alpha_rao) == (follow.owner, follow.netuid, held[follow.owner])
    assert {pool[1] for pool in follow.reader.holdings} == {ROOT, *follow.netuids} - {follow.netuid}
    # The number is used again; what its last user's epochs left in storage is nobody's yield.
    staker = follow.chain.coldkeys[0]
    follow.chain.register_network(follow.netuid, staker)
    assert follow.block().yields == []
    stale = follow.raw(keys.by_netuid_hotkey("RootAlphaDividendsPerSubnet", follow.netuid, follow.hotkey))
    assert bool(stale) == (spec >= 361)
    follow.chain.submit(staker, calls.start_call(follow.netuid))
    follow.chain.add_stake(staker, follow.hotkey, follow.netuid, 9 * TAO)
    assert follow.block().yields == []
    assert follow.reader.holdings[follow.hotkey, follow.netuid].keys() == {staker}
    epoch(follow, follow.hotkey)
    assert follow.reader.holdings[follow.hotkey, follow.netuid].keys() == {staker, follow.owner}


def own(world: World, *, hotkey: str, coldkey: str) -> None:
    """Make a coldkey the owner of a hotkey."""
    world.owner.put(hotkey, coldkey)


@eras(320)
def test_scenario_19_two_payments_of_one_coldkey_are_told_apart_by_size_or_not_at_all(spec: int) -> None:
    """The owner holds positions on both our hotkeys: paid twice. On a stranger's too: then nobody guesses."""
    for elsewhere in (False, True):
        follow = Followed(spec, seed=2)
        other = follow.hotkeys[1]
        follow.chain.silently(partial(own, hotkey=other, coldkey=follow.owner))
        follow.chain.add_stake(follow.owner, other, follow.netuid, 9 * TAO)
        if elsewhere:
            follow.chain.add_stake(follow.owner, follow.chain.stranger_hotkeys[0], follow.netuid, 5 * TAO)
        follow.block()
        held = {hotkey: follow.stake(follow.owner, hotkey=hotkey) for hotkey in follow.hotkeys}
        follow.chain.dissolve(follow.netuid)
        follow.doubtful = elsewhere
        facts = follow.block()
        paid = payments(follow)[follow.owner]
        sold = {sale.hotkey: sale.tao_rao for sale in facts.conversions if sale.owner == follow.owner}
        if elsewhere:
            assert len(paid) == 3
            assert sold == {}
            assert len(facts.doubts) == 2
            assert all("which payment was for it cannot be told" in doubt for doubt in facts.doubts)
        else:
            by_size = zip(sorted(held, key=lambda hotkey: held[hotkey]), sorted(paid), strict=True)
            assert sold == dict(by_size)


@eras(0, 319)
def test_scenario_19_before_320_a_subnet_that_ends_pays_nobody_and_keeps_its_shares(spec: int) -> None:
    follow = Followed(spec)
    before = {pool: dict(holders) for pool, holders in follow.reader.holdings.items()}
    follow.chain.dissolve(follow.netuid)
    facts = follow.block()
    assert (facts.stake_events, facts.conversions, facts.shares) == ([], [], [])
    assert follow.reader.holdings == before


@eras(320)
def test_scenario_19_an_epoch_that_ended_with_its_subnet_is_refused_and_never_zero(spec: int) -> None:
    follow = Followed(spec)
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    follow.chain.dissolve(follow.netuid)
    with pytest.raises(
        UnsupportedEvent, match=f"subnet {follow.netuid} was dissolved in the block of its epoch"
    ):
        follow.block()
