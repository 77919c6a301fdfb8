"""Honest blocks in which several things meet: none is refused, and what cannot be told opens a gap (CH3, CH6)."""

from __future__ import annotations

import logging

import pytest

from chain.facts import BlockFacts
from chain.reading.reader import ChainReader
from chain.tests.model import Dividends, ModelChain, calls
from chain.tests.model.chain import AlphaFee

TAO = 10**9
TAKES_RETOLD = [334, 345, 370, 393, 397, 401, 411, 422, 423, 425]


def chain_of(spec: int) -> ModelChain:
    logging.getLogger("chain.reading.reader").setLevel(logging.ERROR)
    chain = ModelChain(spec, 3, quiet=True)
    chain.auto_claims = False
    return chain


def read(chain: ModelChain) -> list[BlockFacts]:
    """The facts of all blocks, every take as the model credited it."""
    for _ in range(2):
        chain.produce()
    reader = ChainReader(chain.source, chain.hotkeys, 42, decoders=chain.decoder_for, until=chain.number)
    reader.start_from_chain(0)
    facts = [reader.read_block(number) for number in range(1, chain.number)]
    found = {
        (block.number, one.netuid, one.hotkey, one.side): one.take_rao
        for block in facts
        for one in block.yields
    }
    true = {(one.block, one.netuid, one.hotkey, one.side): one.take_rao for one in chain.truth}
    assert all(abs(found.get(key, 0) - take) <= 1 for key, take in true.items())
    return facts


@pytest.mark.parametrize("spec", [301, 315, 333, 334, 343, 348, 401, 425])
@pytest.mark.parametrize("subnet", [0, 1])
@pytest.mark.parametrize("paid", [False, True])
def test_scenario_14_a_fee_in_alpha_beside_an_epoch_that_pays_us_nothing(
    spec: int, subnet: int, paid: bool
) -> None:
    chain = chain_of(spec)
    first, second = chain.hotkeys
    netuid, seller = chain.netuids[subnet], chain.coldkeys[1]
    chain.add_stake(seller, first, netuid, 10**12)
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={second: TAO} if paid else {}, root={}))
    chain.submit(seller, calls.remove_stake(first, netuid, TAO), alpha_fee=AlphaFee(first, netuid, 1_234_567))
    chain.produce()
    read(chain)


@pytest.mark.parametrize("spec", [235, 258, 283, 293, 315, 345, 370, 393, 396, 397, 425])
@pytest.mark.parametrize("dividend", [0, TAO])
@pytest.mark.parametrize("sellers", [1, 2])
@pytest.mark.parametrize("epoch", [False, True])
def test_scenario_13_what_limits_gave_back_is_told(
    spec: int, dividend: int, sellers: int, epoch: bool
) -> None:
    """Whoever sells, alone or beside another: a delegator's amount counts as much as the owner's."""
    chain = chain_of(spec)
    first, second = chain.hotkeys
    netuid, sold = chain.netuids[1], 4 * TAO
    for seller in chain.coldkeys[1 : 1 + sellers]:
        chain.add_stake(seller, first, netuid, 10**12)
    chain.produce()
    if epoch:
        ours = {first: dividend} if dividend else {}
        chain.epoch(netuid, Dividends.of(alpha={second: TAO, **ours}, root={}))
    for seller in chain.coldkeys[1 : 1 + sellers]:
        chain.submit(seller, calls.remove_stake(first, netuid, 10 * TAO, fill=sold))
    chain.produce()
    facts = read(chain)[1]
    assert [leg.alpha_rao for leg in facts.stake_events] == [sold] * sellers
    assert not facts.doubts


@pytest.mark.parametrize("spec", [397, 401, 411, 425])
@pytest.mark.parametrize("epoch", [False, True])
@pytest.mark.parametrize("all_of_it", [False, True])
def test_scenario_13_what_a_limit_gave_back_leaves_no_doubt_where_the_event_names_what_was_sold(
    spec: int, epoch: bool, all_of_it: bool
) -> None:
    """It went out of the pool and in again, which moves the last digits of the shares."""
    chain = chain_of(spec)
    first, second = chain.hotkeys
    netuid, seller = chain.netuids[1], chain.coldkeys[1]
    chain.add_stake(seller, first, netuid, 10**12)
    chain.add_stake(chain.coldkeys[2], first, netuid, 10**9 if all_of_it else 10**13)
    chain.produce()
    for turn in range(12):
        if epoch:
            chain.epoch(netuid, Dividends.of(alpha={first: TAO + 13 * turn, second: TAO}, root={}))
        held = chain.stake_of(first, seller, netuid)
        chain.submit(
            seller,
            calls.remove_stake(first, netuid, held if all_of_it else held // 3, fill=held // (7 + turn)),
        )
        chain.produce()
    assert not [doubt for facts in read(chain) for doubt in facts.doubts]


@pytest.mark.parametrize("spec", TAKES_RETOLD)
@pytest.mark.parametrize("who", ["the claimant", "another"])
def test_scenario_13_a_limited_sale_beside_a_claim_in_a_block_without_an_epoch(spec: int, who: str) -> None:
    chain = chain_of(spec)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    claimant, other = chain.coldkeys[1:3]
    for staker in (claimant, other):
        chain.add_stake(staker, first, 0, 10**12)
        chain.add_stake(staker, first, netuid, 10**12)
    chain.submit(claimant, calls.set_claim_type("Keep"))
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: 300 * TAO}))
    chain.produce()
    chain.submit(claimant, calls.claim_root(netuid))
    seller = claimant if who == "the claimant" else other
    chain.submit(seller, calls.remove_stake(first, netuid, 10 * TAO, fill=4 * TAO))
    chain.produce()
    facts = read(chain)[2]
    told = [leg.alpha_rao for leg in facts.stake_events if leg.kind == "UNSTAKE"]
    assert told == [4 * TAO] or any("limited sale" in doubt for doubt in facts.doubts)


@pytest.mark.parametrize("spec", TAKES_RETOLD)
@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("take", [None, 0])
@pytest.mark.parametrize("owner_sells", [False, True])
def test_scenario_16_a_claim_and_stake_and_root_stake_in_the_block_of_an_epoch(
    spec: int, root: bool, take: int | None, owner_sells: bool
) -> None:
    chain = chain_of(spec)
    first = chain.hotkeys[0]
    netuid, staker = chain.netuids[1], chain.coldkeys[1]
    if take is not None:
        chain.submit(chain.owners[0], calls.set_take(first, take))
    chain.add_stake(staker, first, 0, 10**12)
    chain.add_stake(staker, first, netuid, 10**11)
    chain.add_stake(chain.owners[0], first, netuid, 10**11)
    chain.submit(staker, calls.set_claim_type("Keep"))
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: 300 * TAO}))
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO + 7}, root={first: 300 * TAO + 9}))
    chain.submit(staker, calls.claim_root(netuid))
    chain.submit(staker, calls.add_stake(first, netuid, 5 * TAO))
    if root:
        chain.submit(staker, calls.add_stake(first, 0, 5 * TAO))
    if owner_sells:
        chain.submit(chain.owners[0], calls.remove_stake(first, netuid, TAO))
    chain.produce()
    read(chain)


@pytest.mark.parametrize("spec", TAKES_RETOLD)
@pytest.mark.parametrize("who", ["owner", "staker"])
@pytest.mark.parametrize("epoch", [False, True])
def test_scenario_16_two_claims_of_one_staker_beside_its_sale_count_once(
    spec: int, who: str, epoch: bool
) -> None:
    """Two calls, or the runtime's own claim as the block begins and a call."""
    chain = chain_of(spec)
    first = chain.hotkeys[0]
    netuid, claimant = chain.netuids[1], chain.owners[0] if who == "owner" else chain.coldkeys[1]
    for one in (0, netuid):
        chain.add_stake(claimant, first, one, 10**12)
    chain.submit(claimant, calls.set_claim_type("Keep"))
    chain.produce()
    for turn in range(3):
        chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: 300 * TAO}))
        chain.produce()
        if epoch:
            chain.epoch(netuid, Dividends.of(alpha={first: TAO + 7}, root={first: 300 * TAO + 9}))
        chain.auto_claims = turn == 0
        for _ in range(2):
            chain.submit(claimant, calls.claim_root(netuid))
            chain.submit(claimant, calls.remove_stake(first, netuid, 3 * TAO + 1))
        chain.produce()
        chain.auto_claims = False
    read(chain)


@pytest.mark.parametrize("spec", TAKES_RETOLD)
def test_scenario_16_a_claim_that_is_sold_again_with_all_else_leaves_no_doubt(spec: int) -> None:
    """The claimant held nothing in the pool before and holds nothing after, and its root stake moved as well."""
    chain = chain_of(spec)
    first, (_, netuid) = chain.hotkeys[0], chain.netuids[:2]
    claimant, other = chain.coldkeys[1:3]
    chain.add_stake(claimant, first, 0, 10**12)
    chain.add_stake(other, first, netuid, 10**12 + 7)
    chain.submit(claimant, calls.set_claim_type("Keep"))
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: 300 * TAO + 1}))
    chain.produce()
    chain.submit(claimant, calls.claim_root(netuid))
    chain.submit(claimant, calls.unstake_all_alpha(first))
    chain.produce()
    assert not [doubt for facts in read(chain) for doubt in facts.doubts if "changed otherwise" in doubt]
