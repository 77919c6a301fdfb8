"""What a claim of root dividends brought is read from the chain's own record of claims: exact beside whatever else moved
the same stake, and nothing hides behind it (CH2, CH4, CH7).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from chain import keys
from chain.facts import BlockFacts, ConversionFact
from chain.keys import ROOT
from chain.runtimes.decoding import Event
from chain.stake.changes import DUST_RAO_MAX
from chain.stake.claims import claimed_key, record_keys, told_claims
from chain.stake.movements import SURE_RAO
from chain.state import State, load
from chain.tests.model import Dividends, ModelChain, calls, codec
from chain.tests.model.chain import AlphaFee
from chain.tests.test_eras import SEED
from chain.tests.test_every_move import moved_otherwise, read, sold_otherwise
from chain.tests.test_hostile_nodes import STOPS
from chain.tests.test_lying_nodes import LyingModel
from chain.tests.test_meeting_causes import (
    TAO,
    becomes_liquidity,
    chain_of,
    newest,
    of,
    with_root_claims,
)

SPECS = [334, 345, 370, 393, 401, 415, 425]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("chain.reading.reader").setLevel(logging.CRITICAL)


def claimed(chain: ModelChain, coldkey: str, netuid: int, block: int) -> int:
    """By how much the chain's record of what a coldkey claimed on our first key grew in a block."""
    key = keys.by_netuid_hotkey("RootClaimed", netuid, chain.hotkeys[0]) + keys.account_part(coldkey)
    was, now = (chain.world.storage.at(key, number) or "0x00" for number in (block - 1, block))
    return int.from_bytes(bytes.fromhex(now[2:]), "little") - int.from_bytes(bytes.fromhex(was[2:]), "little")


def hiding(chain: ModelChain, number: int, is_hidden: Callable[[str, Any], bool]) -> list[BlockFacts]:
    """What is read of a block and the next where a node says that some events were remarks."""
    source = LyingModel(chain)
    honest = source.value(number, keys.SYSTEM_EVENTS)
    remarked = {"sender": chain.sudo_key, "hash": "0x" + "00" * 32}
    told = [
        (phase, "System", "Remarked", remarked) if is_hidden(name, values) else (phase, pallet, name, values)
        for phase, pallet, name, values in codec.decode(bytes.fromhex(str(honest)[2:]))
    ]
    lie = "0x" + codec.encode(told).hex()
    assert lie != honest
    return LyingModel(chain, {(chain.hash_of(number), keys.SYSTEM_EVENTS): lie}).read(number)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("root", ["as it was", "more", "less"])
def test_ch2_the_record_grows_by_what_a_claim_kept_and_by_what_root_stake_has_no_claim_on(
    spec: int, root: str
) -> None:
    """The model's books against what it moved, which it keeps apart."""
    chain = with_root_claims(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.submit(owner, calls.claim_root(netuid))
    if root == "more":
        chain.add_stake(owner, first, ROOT, 7 * TAO + 1)
    elif root == "less":
        chain.submit(owner, calls.remove_stake(first, ROOT, 7 * TAO + 1))
    rate = chain.world.claimable.get(first)[netuid]
    number = chain.produce()
    shift = rate * (7 * TAO + 1) >> 32
    kept = [
        move.rao
        for move in chain.world.moves
        if (move.block, move.netuid, move.coldkey) == (number, netuid, owner)
    ]
    assert kept[0] > TAO
    assert claimed(chain, owner, netuid, number) == kept[0] + {"more": shift, "less": -shift}.get(root, 0)


@pytest.mark.parametrize(
    ("spec", "how"), [(334, "liquidity"), (345, "liquidity"), (370, "liquidity"), (345, "fee"), (348, "fee")]
)
@pytest.mark.parametrize("amount", [TAO // 100, 900 * TAO, -3 * TAO])
@pytest.mark.parametrize("claims", ["first", "last", "twice"])
@pytest.mark.parametrize("who", ["owner", "delegator"])
def test_ch2_a_claim_is_told_to_the_rao_beside_what_moved_without_an_event(
    spec: int, how: str, amount: int, claims: str, who: str
) -> None:
    chain = chain_of(spec)
    claimant = chain.owners[0] if who == "owner" else chain.coldkeys[1]
    chain = with_root_claims(spec, claimant)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    if claims != "last":
        chain.submit(claimant, calls.claim_root(netuid))
    if how == "liquidity":
        becomes_liquidity(chain, claimant, amount)
    else:
        call = calls.remove_stake(first, netuid, TAO)
        chain.submit(claimant, call, alpha_fee=AlphaFee(first, netuid, abs(amount)))
    if claims != "first":
        chain.submit(claimant, calls.claim_root(netuid))
    number = chain.produce()
    # What liquidity takes of an owner is in doubt by itself.
    facts = newest(chain, doubtful=how == "liquidity" and amount > 0 and who == "owner")
    [claim] = of(facts, claimant, "ROOT_CLAIM")
    assert (claim.netuid, claim.added, claim.alpha_rao) == (
        netuid,
        True,
        claimed(chain, claimant, netuid, number),
    )
    [other] = of(facts, claimant, "LIQUIDITY" if how == "liquidity" else "ALPHA_FEE")
    assert abs(other.alpha_rao - abs(amount)) <= 2
    assert other.added == (how == "liquidity" and amount < 0)
    assert not [doubt for doubt in facts.doubts if "nothing tells apart" in doubt]


@pytest.mark.parametrize(
    ("spec", "how"), [(345, "liquidity"), (370, "liquidity"), (345, "fee"), (348, "fee")]
)
@pytest.mark.parametrize("beside", ["root stake leaves", "the way of claiming changes"])
def test_ch2_where_the_record_leaves_a_claim_open_what_moved_beside_it_is_in_doubt(
    spec: int, how: str, beside: str
) -> None:
    chain = with_root_claims(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.submit(owner, calls.claim_root(netuid))
    if how == "liquidity":
        becomes_liquidity(chain, owner, TAO)
    else:
        call = calls.remove_stake(first, netuid, TAO)
        chain.submit(owner, call, alpha_fee=AlphaFee(first, netuid, TAO // 100))
    if beside == "root stake leaves":
        chain.submit(owner, calls.remove_stake(first, ROOT, 7 * TAO))
    else:
        chain.submit(owner, calls.set_claim_type("Swap"))
    chain.produce()
    doubts = newest(chain, doubtful=True).doubts
    assert sum("nothing tells apart" in doubt for doubt in doubts) == 1
    assert sum("changed by that alone" in doubt for doubt in doubts) == 1


@pytest.mark.parametrize("spec", [401, 415, 425])
@pytest.mark.parametrize("moves", [(7,), (-7,), (-(10**12), 7), (7, -(10**12)), (-7, "claim", 9)])
@pytest.mark.parametrize("claims", ["first", "last"])
def test_ch2_a_claim_is_told_to_the_rao_beside_moves_of_root_stake(
    spec: int, moves: tuple[Any, ...], claims: str
) -> None:
    chain = with_root_claims(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    script = ["claim", *moves] if claims == "first" else [*moves, "claim"]
    for step in script:
        if step == "claim":
            chain.submit(owner, calls.claim_root(netuid))
        elif step > 0:
            chain.add_stake(owner, first, ROOT, step * TAO)
        else:
            # No more can leave than is there, and the record falls to nothing at most.
            held = chain.stake_of(first, owner, ROOT)
            chain.submit(owner, calls.remove_stake(first, ROOT, min(-step * TAO, held // 2)))
    chain.submit(owner, calls.remove_stake(first, netuid, 3 * TAO))
    number = chain.produce()
    kept = [
        move.rao
        for move in chain.world.moves
        if (move.block, move.netuid, move.coldkey) == (number, netuid, owner) and move.rao > 0
    ]
    # What leaves between two claims may have found less than it takes off.
    is_open = claims == "first" and "claim" in moves
    facts = newest(chain, doubtful=is_open)
    if not is_open:
        assert [claim.alpha_rao for claim in of(facts, owner, "ROOT_CLAIM")] == [sum(kept)]


@pytest.mark.parametrize("spec", [334, 345, 365])
def test_scenario_16_root_stake_that_left_and_came_again_shifts_the_record_of_claims(spec: int) -> None:
    """Moved within root it does not, until 365; a share that is what it was says nothing of that."""
    chain = with_root_claims(spec)
    (first, second), netuid, owner = chain.hotkeys, chain.netuids[1], chain.owners[0]
    chain.epoch(netuid, Dividends.of(alpha={first: TAO, second: TAO}, root={first: TAO, second: TAO}))
    chain.submit(owner, calls.move_stake(first, second, ROOT, ROOT, 7 * TAO))
    chain.submit(owner, calls.remove_stake(first, netuid, TAO))
    chain.submit(owner, calls.add_stake(first, ROOT, 7 * TAO))
    chain.submit(owner, calls.claim_root(netuid))
    chain.produce()
    facts = newest(chain, doubtful=True)
    assert {one.side for one in facts.yields} == {"ALPHA", "ROOT"}


KINDS = ["Keep", "Swap", "KeepSubnets"]


def claimants_of(spec: int, kind: str) -> ModelChain:
    """A chain on which the owner can claim on the second subnet, by some way of claiming."""
    chain = with_root_claims(spec)
    chain.submit(chain.owners[0], calls.set_claim_type(kind, [chain.netuids[1]]))
    chain.produce()
    return chain


def kinds(specs: Iterable[int]) -> pytest.MarkDecorator:
    """Every way of claiming that a runtime knows."""
    return pytest.mark.parametrize(
        ("spec", "kind"),
        [(spec, kind) for spec in specs for kind in KINDS if kind != "KeepSubnets" or spec >= 361],
    )


@kinds([334, 370, 393, 401, 425])
@pytest.mark.parametrize("part", ["less", "all", "more"])
@pytest.mark.parametrize("order", ["claims first", "sells first"])
@pytest.mark.parametrize("epoch", [False, True])
def test_ch7_a_sale_of_the_owner_hidden_beside_his_claim_is_no_smaller_claim(
    spec: int, kind: str, part: str, order: str, epoch: bool
) -> None:
    chain = claimants_of(spec, kind)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    # What can be claimed is some 290 alpha; equal to the rao, too.
    due = (chain.world.claimable.get(first)[netuid] * chain.stake_of(first, owner, ROOT) >> 32) - (
        chain.world.claimed.get(netuid, first, owner)
    )
    sold = {"less": due // 3, "all": due, "more": 2 * due}[part]
    if epoch:
        chain.epoch(netuid, Dividends.of(alpha={first: TAO + 7}, root={first: TAO + 9}))
    both = [calls.claim_root(netuid), calls.remove_stake(first, netuid, sold)]
    for call in both if order == "claims first" else reversed(both):
        chain.submit(owner, call)
    number = chain.produce()
    assert claimed(chain, owner, netuid, number) > TAO
    for _ in range(2):
        chain.produce()
    [honest, _] = LyingModel(chain).read(number)
    assert not [doubt for doubt in honest.doubts if "hides whether" not in doubt]
    assert sold in [sale.alpha_rao for sale in honest.conversions]
    try:
        [lied, _] = hiding(chain, number, lambda name, _: name == "StakeRemoved")
    except STOPS:
        return
    assert lied.doubts
    assert [doubt for doubt in lied.doubts if doubt not in honest.doubts]


@pytest.mark.parametrize("spec", [370, 393, 401, 425])
@pytest.mark.parametrize("lies", [False, True])
def test_ch7_a_claim_of_which_some_is_sold_is_told_by_its_growth_and_hides_no_sale(
    spec: int, lies: bool
) -> None:
    """What was sold for root stake shifted the record by a rao or so: enough to hold the growth against."""
    chain = claimants_of(spec, "KeepSubnets")
    first, (other, netuid, _), owner = chain.hotkeys[0], chain.netuids, chain.owners[0]
    for one in (other, netuid):
        chain.epoch(one, Dividends.of(alpha={first: TAO}, root={first: 300 * TAO + 7}))
    chain.produce()
    chain.submit(owner, calls.remove_stake(first, netuid, 5 * TAO))
    chain.submit(owner, calls.claim_root(other, netuid))
    number = chain.produce()
    if lies:
        for _ in range(2):
            chain.produce()
        [lied, _] = hiding(chain, number, lambda name, _: name == "StakeRemoved")
        assert any("changed by that alone" in doubt for doubt in lied.doubts)
        return
    came = [
        (move.netuid, move.rao)
        for move in chain.world.moves
        if (move.block, move.coldkey) == (number, owner) and move.rao > 0
    ]
    told = [(claim.netuid, claim.alpha_rao) for claim in of(newest(chain), owner, "ROOT_CLAIM")]
    assert sorted(at for at, _ in told) == [ROOT, netuid]
    assert all(abs(rao - dict(came)[at]) <= 2 for at, rao in told)


@pytest.mark.parametrize("spec", [334, 370, 401, 425])
@pytest.mark.parametrize("root", [False, True], ids=["", "root stake comes"])
def test_ch7_one_lie_about_the_record_of_claims_moves_no_money(spec: int, root: bool) -> None:
    chain = with_root_claims(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.submit(owner, calls.claim_root(netuid))
    chain.submit(owner, calls.remove_stake(first, netuid, 100 * TAO))
    if root:
        chain.add_stake(owner, first, ROOT, 7 * TAO)
    number = chain.produce()
    for _ in range(2):
        chain.produce()
    source = LyingModel(chain)
    [honest, _] = source.read(number)
    assert not honest.doubts
    books = tuple(
        keys.item_prefix(keys.SUBTENSOR, item) for item in ("RootClaimed", "RootClaimType", "RootClaimable")
    )
    told = 0
    for at in (number - 1, number):
        for key in sorted(one for one in source.asked[chain.hash_of(at)] if one.startswith(books)):
            true = source.value(at, key)
            for lie in lies_about(true, source.value(2 * number - 1 - at, key)):
                told += 1
                try:
                    [lied, _] = LyingModel(chain, {(chain.hash_of(at), key): lie}).read(number)
                except STOPS:
                    continue
                assert lied.doubts or (
                    lied.conversions == honest.conversions
                    and len(lied.stake_events) == len(honest.stake_events)
                    # Roundings are not told from a lie of so much.
                    and all(
                        abs(one.alpha_rao - true_one.alpha_rao) <= SURE_RAO
                        for one, true_one in zip(lied.stake_events, honest.stake_events, strict=True)
                    )
                ), (at, key, true, lie)
    assert told > 10


def lies_about(true: str | None, other: str | None) -> list[str | None]:
    """What the other of two states holds, nothing, a little more, a lot more, and what no number or list is."""
    lies: set[str | None] = {other, None, "0x", "0x02", "0x0208", "0x0103"}
    if true is not None:
        data = bytearray.fromhex(true[2:])
        lies |= {"0x" + bytes([(data[0] + 1) % 256, *data[1:]]).hex(), "0x" + data[::-1].hex()}
    return sorted(lies - {true}, key=str)


class Books:
    """A source that holds a few values of one block."""

    name = "books"

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def call_many(self, calls: Any) -> list[Any]:
        number = {keys.SYSTEM_NUMBER: "0x01000000"}
        return [
            [{"changes": [[key, {**self.values, **number}.get(key)] for key in params[0]]}]
            for _, params in calls
        ]


@pytest.mark.parametrize("count", [1, 63, 64, 200])
def test_ch2_a_way_of_claiming_names_as_many_subnets_as_there_are(count: int) -> None:
    """SCALE gives the length of a list one byte up to 63, then two."""
    hotkey, coldkey = (ModelChain(425, 1).address(name) for name in ("hotkey", "coldkey"))
    length = bytes([count << 2]) if count < 64 else ((count << 2) + 1).to_bytes(2, "little")
    kept = b"\x02" + length + b"".join((300 + one).to_bytes(2, "little") for one in range(count))
    states = []
    for claimed_rao in (5, 705):
        state = State(1, "0x01")
        positions = [(hotkey, 299 + count, coldkey), (hotkey, 300 + count, coldkey)]
        values = {keys.by_hotkey("RootClaimType", coldkey): "0x" + kept.hex()}
        values |= {claimed_key(*at): "0x" + claimed_rao.to_bytes(16, "little").hex() for at in positions}
        load(Books(values), (state, record_keys(positions)))
        states.append(state)
    event = Event(0, None, "SubtensorModule", "RootClaimed", {"coldkey": coldkey})
    was, now = states
    assert told_claims(positions, was, now, [event], {(hotkey, coldkey): []}) == {
        positions[0]: 700,
        positions[1]: 0,
    }


@pytest.mark.parametrize("spec", [334, 370, 393, 401, 411, 425])
@pytest.mark.parametrize("held", [False, True], ids=["nothing held", "some held"])
def test_scenario_19_an_owners_claim_where_the_subnet_ends_is_in_doubt(spec: int, held: bool) -> None:
    """What the claim brought is paid for with the rest; neither the record nor a share is left to tell how much it was."""
    chain = claimants_of(spec, "Keep")
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    # Two payments of which one could be for either are in doubt anyhow.
    chain.submit(chain.owners[1], calls.remove_stake_full(chain.hotkeys[1], netuid))
    if not held:
        chain.submit(owner, calls.remove_stake_full(first, netuid))
    chain.produce()
    chain.initially(owner, calls.claim_root(netuid), scheduled=False)
    chain.dissolve(netuid)
    number = chain.produce()
    facts = newest(chain, doubtful=True)
    (sale,) = [sale for sale in chain.world.sales if sale.block == number and sale.coldkey == owner]
    assert sum(told.alpha_rao for told in facts.conversions if told.owner == owner) < sale.alpha_rao
    assert any("claimed root dividends" in doubt and "ended" in doubt for doubt in facts.doubts), facts.doubts


@pytest.mark.parametrize("spec", [334, 364, 365, 366, 393, 425])
def test_scenario_16_a_claim_of_who_came_to_root_in_the_block_of_an_epoch_is_no_contradiction(
    spec: int,
) -> None:
    """Until 365 a move within root leaves the record where it is, so that who just came may claim at once."""
    chain = with_root_claims(spec)
    first, netuid, other = chain.hotkeys[0], chain.netuids[1], chain.stranger_hotkeys[0]
    newcomer = chain.address("newcomer")
    chain.add_stake(newcomer, other, ROOT, 10**12)
    chain.submit(newcomer, calls.set_claim_type("Keep"))
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO + 7}, root={first: 300 * TAO}))
    chain.submit(newcomer, calls.move_stake(other, first, ROOT, ROOT, 500 * TAO))
    chain.submit(newcomer, calls.claim_root(netuid))
    chain.produce()
    facts = newest(chain)
    assert {one.side for one in facts.yields} == {"ALPHA", "ROOT"}


@pytest.mark.parametrize(("spec", "to"), [(250, 251), (320, 321), (370, 371), (401, 402), (423, 424)])
def test_ch7_a_sale_hidden_in_the_first_block_of_a_runtime_is_no_migration(spec: int, to: int) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.add_stake(owner, first, netuid, 10**12)
    chain.upgrade(to)
    chain.produce()
    chain.submit(owner, calls.remove_stake(first, netuid, 200 * TAO))
    number = chain.produce()
    for _ in range(2):
        chain.produce()
    [honest, _] = LyingModel(chain).read(number)
    assert [sale.owner for sale in honest.conversions] == [owner]
    assert not honest.doubts
    try:
        [lied, following] = hiding(chain, number, lambda name, _: name == "StakeRemoved")
    except STOPS:
        return
    assert lied.doubts + following.doubts


@pytest.mark.parametrize("spec", [394, 401, 415, 425])
@pytest.mark.parametrize("beside", ["another subnet", "all, stake kept"])
def test_scenario_18_an_owners_claim_beside_a_swap_is_told_where_that_leaves_the_record_alone(
    spec: int, beside: str
) -> None:
    chain = with_root_claims(spec)
    first, (other, netuid, _), owner = chain.hotkeys[0], chain.netuids, chain.owners[0]
    chain.submit(owner, calls.claim_root(netuid))
    chain.submit(owner, calls.remove_stake(first, netuid, TAO))
    if beside == "another subnet":
        chain.swap_hotkey(first, chain.address("new hotkey"), other)
    else:
        chain.swap_hotkey(first, chain.address("new hotkey"), keep_stake=True)
    number = chain.produce()
    kept = claimed(chain, owner, netuid, number)
    facts = newest(chain, doubtful=beside != "another subnet")
    assert any("changed by that alone" in doubt for doubt in facts.doubts) == (beside != "another subnet")
    if not facts.doubts:
        assert [claim.alpha_rao for claim in of(facts, owner, "ROOT_CLAIM")] == [kept]


# --- at random -----------------------------------------------------------------------------------------------


def busy(spec: int, seed: int, blocks: int) -> ModelChain:
    """Blocks in which the owner and a delegator claim and do several other things with the same stake, in any order."""
    chain = ModelChain(spec, seed, quiet=True)
    chain.world.nominator_minimum = 0
    rng, first, netuid = random.Random(f"{seed}/{spec}/busy"), chain.hotkeys[0], chain.netuids[1]
    actors = [chain.owners[0], chain.coldkeys[1]]
    for actor in actors:
        for one in (ROOT, *chain.netuids):
            chain.add_stake(actor, first, one, 10**12)
        chain.submit(actor, calls.set_claim_type("Keep"))
    chain.produce()
    for turn in range(blocks):
        chain.auto_claims = rng.random() < 0.5
        if rng.random() < 0.6:
            on = rng.choice([one for one in chain.netuids if chain.world.networks.has(one)])
            earning = [one for one in chain.world.tracked if chain.world.owner_of(one)]
            alpha = {hotkey: rng.randrange(10**11) for hotkey in earning}
            chain.epoch(
                on, Dividends.of(alpha=alpha, root={hotkey: rng.randrange(10**12) for hotkey in earning})
            )
        upset_first = rng.random() < 0.5
        if turn % 5 == 4 and upset_first and turn > blocks // 2:
            upset(chain, rng, actors)
        for actor in rng.sample(actors, rng.randrange(1, 3)):
            do_several(chain, rng, actor, netuid)
        if turn % 5 == 4 and not upset_first and turn > blocks // 2:
            upset(chain, rng, actors)
        chain.produce()
    for _ in range(2):
        chain.produce()
    return chain


def upset(chain: ModelChain, rng: random.Random, actors: list[str]) -> None:
    """Queue what writes the record of claims as well: a swap of a key, the end of a subnet."""
    first, second = ours(chain)
    match rng.randrange(5):
        case 0:
            chain.swap_hotkey(rng.choice([first, second]), chain.address(f"hotkey {chain.number}"))
        case 1:
            on = rng.choice([ROOT, *chain.netuids])
            chain.swap_hotkey(rng.choice([first, second]), chain.address(f"hotkey {chain.number}"), on)
        case 2:
            old, new = rng.choice(actors), chain.address(f"coldkey {chain.number}")
            chain.swap_coldkey(old, new)
            actors[:] = [new if actor == old else actor for actor in actors]
        case 3:
            chain.swap_hotkey(second, first, rng.choice([None, *chain.netuids]))
        case _:
            if chain.world.networks.has(chain.netuids[2]):
                chain.dissolve(chain.netuids[2])
            else:
                chain.register_network(chain.netuids[2], actors[1])


def ours(chain: ModelChain) -> tuple[str, str]:
    """Our keys, or what was swapped for them."""
    owned = [one for one in chain.world.tracked if chain.world.owner_of(one)]
    return owned[-1] if chain.hotkeys[0] not in owned else chain.hotkeys[0], owned[0]


def do_several(chain: ModelChain, rng: random.Random, actor: str, netuid: int) -> None:
    first, second = ours(chain)
    rao = rng.randrange(3 * 10**6, 10 ** rng.randrange(7, 12))
    quiet = [
        calls.claim_root(*chain.netuids),
        calls.claim_root(netuid),
        calls.add_stake(first, netuid, rao),
        calls.remove_stake(first, netuid, rao),
        calls.remove_stake(first, netuid, rao),
        calls.swap_stake(first, netuid, ROOT, rao),
        calls.recycle(first, netuid, rao),
        calls.transfer_stake(rng.choice(chain.coldkeys), first, netuid, netuid, rao),
    ]
    on_root = [
        calls.add_stake(first, ROOT, rao),
        calls.remove_stake(first, ROOT, rao),
        calls.move_stake(first, second, ROOT, ROOT, rao),
        calls.transfer_stake(actor, first, ROOT, ROOT, rao),
    ]
    some = rng.choices(quiet, k=rng.randrange(1, 5)) + rng.choices(on_root, k=rng.choice([0, 0, 1, 2]))
    if rng.random() < 0.15:
        some.append(calls.set_claim_type(rng.choice(KINDS[: 2 + (chain.spec >= 361)]), [netuid]))
    some.append(calls.claim_root(*chain.netuids))
    rng.shuffle(some)
    has_fee = chain.spec < 349 or chain.spec >= 397
    for call in some:
        what = rng.random()
        if what < 0.1 and chain.spec < 423 and chain.stake_of(first, actor, netuid) > 10 * rao:
            becomes_liquidity(chain, actor, rng.choice([rao, -rao]))
        pays = has_fee and what > 0.7 and call.tree["call_function"] == "remove_stake"
        at = {one["name"]: one["value"] for one in call.tree["call_args"]} if pays else {}
        fee = AlphaFee(first, netuid, rao // 100) if at.get("netuid") == netuid else None
        chain.submit(actor, call, alpha_fee=fee)


@pytest.mark.parametrize("spec", [334, 345, 370, 371, 393, 397, 401, 411, 422, 425])
def test_ch2_claims_meet_everything_else_and_each_is_told_or_doubted(spec: int) -> None:
    chain = busy(spec, SEED, 40)
    owner = chain.owners[0]
    for facts, pools in read(chain):
        if not facts.doubts:
            assert not moved_otherwise(chain, facts, pools), f"spec {spec}, block {facts.number}"
            assert not sold_otherwise(chain, facts, pools), f"spec {spec}, block {facts.number}"
        for sale in sales_to_hide(chain, facts, owner):
            try:
                [lied, _] = hiding(
                    chain,
                    facts.number,
                    partial(is_sale, sale),
                )
            except STOPS:
                continue
            # Where the record leaves open what the claim brought, the honest block is in doubt as well.
            assert set(lied.doubts) - set(facts.doubts) or any(
                "changed by that alone" in doubt for doubt in facts.doubts
            ), f"spec {spec}, block {facts.number}: {sale}"


def is_sale(sale: ConversionFact, name: str, values: Any) -> bool:
    """Whether an event is that of a sale."""
    return name == "StakeRemoved" and values[:3] == (sale.owner, sale.hotkey, sale.tao_rao)


def sales_to_hide(chain: ModelChain, facts: BlockFacts, owner: str) -> list[ConversionFact]:
    """The owner's sales of a block that could only hide behind a claim.

    Of fees and liquidity only the sum with it is seen, and little passes as dust of which the chain says nothing either.
    """
    if not 1 < facts.number < chain.number - 1:
        return []
    mine = [leg for leg in facts.stake_events if leg.coldkey == owner]
    other = {(leg.hotkey, leg.netuid) for leg in mine if leg.cause in ("LIQUIDITY", "ALPHA_FEE", "DISSOLVED")}
    return [
        sale
        for sale in facts.conversions
        if (sale.owner, sale.hotkey) == (owner, chain.hotkeys[0])
        and (sale.hotkey, sale.netuid) not in other
        and sale.alpha_rao > DUST_RAO_MAX
    ]
