"""How often the node is asked: at most six times for a quiet block, and never more often for more delegators (CH7)."""

from __future__ import annotations

import pytest

from chain.reading.reader import WINDOW_BLOCKS, ChainReader
from chain.tests.large_node import LargeChain
from chain.tests.model import Dividends, ModelChain, calls

FEW, MANY = 10, 1_000


def trips_of_quiet_blocks(positions: int, *, until: int) -> list[int]:
    """What each block after the first costs on a chain of mainnet's size."""
    chain = LargeChain(WINDOW_BLOCKS + 1, positions=positions)
    reader = ChainReader(chain, chain.hotkeys, 42, until=until)
    reader.start_from_chain(0)
    reader.read_block(1)
    trips = []
    for number in range(2, chain.last + 1):
        before = chain.batches
        facts = reader.read_block(number)
        assert not facts.touches_us
        trips.append(chain.batches - before)
    assert sum(map(len, reader.holdings.values())) == positions
    return trips


def test_ch7_a_quiet_block_costs_three_round_trips_however_many_delegators() -> None:
    few, many = (trips_of_quiet_blocks(count, until=0) for count in (FEW, MANY))
    assert few == many
    assert max(few) == 3


def test_ch7_blocks_read_ahead_share_their_three_round_trips() -> None:
    trips = trips_of_quiet_blocks(MANY, until=WINDOW_BLOCKS + 1)
    assert sum(trips) == 3


def trips_of_busy_blocks(spec: int, delegators: int) -> list[int]:
    """What an epoch on two subnets at once costs, and then one with a stake event in its block."""
    chain = ModelChain(spec, 3, coldkeys=delegators, quiet=True)
    # Whose claims the chain rolls itself is drawn at random.
    chain.auto_claims = False
    first, second = chain.hotkeys
    for coldkey in chain.coldkeys:
        chain.add_stake(coldkey, first, chain.netuids[0], 10**9)
    chain.produce()
    for netuid in chain.netuids[:2]:
        chain.epoch(netuid, Dividends.of(alpha={first: 10**9, second: 10**8}, root={first: 10**7}))
    chain.produce()
    chain.epoch(chain.netuids[0], Dividends.of(alpha={first: 10**9}, root={first: 10**7}))
    chain.add_stake(chain.coldkeys[0], first, chain.netuids[0], 10**9)
    chain.produce()
    reader = ChainReader(chain.source, chain.hotkeys, 42, decoders=chain.decoder_for)
    assert {fact.coldkey for fact in reader.start_from_chain(1)} >= set(chain.coldkeys)
    trips = []
    for number in (2, 3):
        before = chain.source.round_trips
        facts = reader.read_block(number)
        assert facts.yields
        trips.append(chain.source.round_trips - before)
    assert facts.stake_events
    return trips


@pytest.mark.parametrize("spec", [233, 293, 343, 396, 401, 425])
def test_ch7_an_epoch_costs_as_many_round_trips_with_a_hundred_times_the_delegators(spec: int) -> None:
    few, many = (trips_of_busy_blocks(spec, count) for count in (FEW, MANY))
    assert few == many
    assert max(few) <= 6


def trips_of_claims(spec: int, delegators: int) -> list[int]:
    """What a claim of the owner costs, in a block in which nothing else happens and in that of an epoch."""
    chain = ModelChain(spec, 3, coldkeys=delegators, quiet=True)
    chain.auto_claims = False
    first, owner, netuid = chain.hotkeys[0], chain.owners[0], chain.netuids[0]
    for coldkey in chain.coldkeys:
        chain.add_stake(coldkey, first, netuid, 10**9)
    chain.add_stake(owner, first, 0, 10**12)
    chain.submit(owner, calls.set_claim_type("Keep"))
    chain.produce()
    for claims in (False, True, True):
        if not claims or len(chain.source.blocks) == 4:
            chain.epoch(netuid, Dividends.of(alpha={first: 10**9}, root={first: 3 * 10**11}))
        if claims:
            chain.initially(owner, calls.claim_root(netuid))
        chain.produce()
    reader = ChainReader(chain.source, chain.hotkeys, 42, decoders=chain.decoder_for)
    reader.start_from_chain(1)
    trips = []
    for number in (2, 3, 4):
        before = chain.source.round_trips
        facts = reader.read_block(number)
        trips.append(chain.source.round_trips - before)
    assert [leg.cause for leg in facts.stake_events] == ["ROOT_CLAIM"]
    return trips


@pytest.mark.parametrize("spec", [343, 396, 425])
def test_ch7_a_claim_costs_as_many_round_trips_with_a_hundred_times_the_delegators(spec: int) -> None:
    few, many = (trips_of_claims(spec, count) for count in (FEW, MANY))
    assert few == many
    assert max(few) <= 6
