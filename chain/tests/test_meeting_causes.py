"""Several causes move one position in one block: each is told with its amount, also beside a stake event of the same
position (CH2, CH4).

The model's own account of every move is what the facts are held against.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from chain import keys
from chain.facts import BlockFacts, StakeEventFact
from chain.keys import ROOT
from chain.reading.reader import ChainReader
from chain.tests.model import Dividends, ModelChain, World, calls, codec, orders
from chain.tests.model.chain import AlphaFee
from chain.tests.test_every_move import moved_otherwise
from chain.tests.test_lying_nodes import LyingModel

TAO = 10**9
CLAIMS = [345, 370, 393, 401, 425]
ERAS = [250, 277, 293, 320, *CLAIMS]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("chain.reading.reader").setLevel(logging.CRITICAL)


def chain_of(spec: int) -> ModelChain:
    chain = ModelChain(spec, 3, quiet=True)
    chain.auto_claims = False
    chain.world.nominator_minimum = 0
    chain.alpha_out = dict.fromkeys(chain.netuids, 0)
    return chain


def newest(chain: ModelChain, *, doubtful: bool = False) -> BlockFacts:
    """The facts of the newest block, all moves as the model made them."""
    number = chain.number
    for _ in range(2):
        chain.produce()
    reader = ChainReader(chain.source, chain.hotkeys, 42, decoders=chain.decoder_for, until=chain.number)
    reader.start_from_chain(0)
    facts = [reader.read_block(one) for one in range(1, number + 1)][-1]
    assert bool(facts.doubts) is doubtful, facts.doubts
    pools = {(hotkey, netuid) for hotkey in reader.hotkeys for netuid in (ROOT, *chain.netuids)}
    assert doubtful or not moved_otherwise(chain, facts, pools)
    assert all(leg.cause != "UNEXPLAINED" for leg in facts.stake_events)
    return facts


def of(facts: BlockFacts, coldkey: str, cause: str) -> list[StakeEventFact]:
    return [leg for leg in facts.stake_events if (leg.coldkey, leg.cause) == (coldkey, cause)]


def with_root_claims(spec: int, *claimants: str, kind: str = "Keep") -> ModelChain:
    """A chain on which some can claim root dividends of the second subnet."""
    chain = chain_of(spec)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    for claimant in claimants or [chain.owners[0]]:
        for one in (0, netuid):
            chain.add_stake(claimant, first, one, 10**12)
        chain.submit(claimant, calls.set_claim_type(kind))
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: 300 * TAO}))
    chain.produce()
    return chain


@pytest.mark.parametrize("spec", [320, *CLAIMS])
@pytest.mark.parametrize("what", ["nothing", "stakes", "sells", "recycles"])
def test_scenario_19_the_end_of_a_subnet_is_told_beside_a_stake_event(spec: int, what: str) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.produce()
    if what == "stakes":
        chain.add_stake(owner, first, netuid, TAO)
    elif what == "sells":
        chain.submit(owner, calls.remove_stake(first, netuid, TAO))
    elif what == "recycles":
        chain.submit(owner, calls.recycle(first, netuid, 1_000))
    chain.dissolve(netuid)
    chain.produce()
    facts = newest(chain)
    [ended] = of(facts, owner, "DISSOLVED")
    assert ended.tao_rao
    sold = [(sale.alpha_rao, sale.tao_rao) for sale in facts.conversions if sale.owner == owner]
    assert (ended.alpha_rao, ended.tao_rao) in sold
    assert len(sold) == 1 + (what == "sells")


@pytest.mark.parametrize("spec", ERAS[1:])
@pytest.mark.parametrize("on_subnet", [False, True])
@pytest.mark.parametrize("how", ["before", "after"])
def test_scenario_18_a_swapped_hotkey_hands_on_what_a_sale_left(spec: int, on_subnet: bool, how: str) -> None:
    chain = chain_of(spec)
    first, netuid, seller, new = (
        chain.hotkeys[0],
        chain.netuids[1],
        chain.coldkeys[1],
        chain.address("new hotkey"),
    )
    chain.add_stake(seller, first, netuid, 10**12)
    chain.produce()
    if how == "before":
        chain.submit(seller, calls.remove_stake(first, netuid, TAO))
    chain.swap_hotkey(first, new, netuid if on_subnet else None)
    if how == "after":
        chain.submit(seller, calls.remove_stake(new, netuid, TAO))
    chain.produce()
    legs = [leg for leg in of(newest(chain), seller, "HOTKEY_SWAP") if leg.netuid == netuid]
    out, came = sorted(legs, key=lambda leg: leg.added)
    assert (out.hotkey, came.hotkey, out.alpha_rao) == (first, new, came.alpha_rao)


@pytest.mark.parametrize("spec", ERAS)
@pytest.mark.parametrize("what", ["sells", "gives back", "leaves", "old stakes"])
def test_scenario_18_a_swapped_coldkey_hands_on_all_it_held(spec: int, what: str) -> None:
    chain = chain_of(spec)
    first, netuid, old, new = (
        chain.hotkeys[0],
        chain.netuids[1],
        chain.coldkeys[1],
        chain.address("new coldkey"),
    )
    chain.add_stake(old, first, netuid, 10**12)
    chain.produce()
    chain.swap_coldkey(old, new)
    if what == "sells":
        chain.submit(new, calls.remove_stake(first, netuid, 5 * TAO))
    elif what == "gives back":
        chain.submit(new, calls.transfer_stake(old, first, netuid, netuid, 5 * TAO))
    elif what == "leaves":
        chain.submit(new, calls.remove_stake_full(first, netuid))
    else:
        chain.add_stake(old, first, netuid, 5 * TAO)
    chain.produce()
    facts = newest(chain)
    assert {leg.alpha_rao for leg in of(facts, old, "COLDKEY_SWAP") if leg.netuid == netuid} == {
        leg.alpha_rao for leg in of(facts, new, "COLDKEY_SWAP") if leg.netuid == netuid
    }


@pytest.mark.parametrize(("before", "after"), [(391, 393), (424, 425)])
@pytest.mark.parametrize("sells", [False, True])
def test_scenario_20_a_migration_is_told_beside_a_sale(before: int, after: int, sells: bool) -> None:
    chain = chain_of(before)
    first, netuid, holder = chain.hotkeys[0], chain.netuids[1], chain.coldkeys[1]
    chain.add_stake(holder, first, netuid, 10**12)
    chain.produce()

    def migrate(world: World) -> None:
        world.increase(first, holder, netuid, 777 * TAO)

    chain.upgrade(after, migrate)
    chain.produce()
    if sells:
        chain.submit(holder, calls.remove_stake(first, netuid, TAO))
    chain.produce()
    assert [leg.alpha_rao for leg in of(newest(chain), holder, "MIGRATION")] == [777 * TAO]


@pytest.mark.parametrize("spec", CLAIMS)
@pytest.mark.parametrize(
    ("kind", "leave"), [("Swap", "all"), ("Keep", "all"), ("Keep", "full"), ("Keep", "alpha")]
)
def test_scenario_16_a_claim_is_told_of_somebody_who_leaves_with_it(spec: int, kind: str, leave: str) -> None:
    chain = chain_of(spec)
    claimant = chain.address("leaver")
    chain = with_root_claims(spec, claimant, kind=kind)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    pool = 0 if kind == "Swap" else netuid
    held = chain.stake_of(first, claimant, pool)
    exits = {
        "all": calls.unstake_all(first),
        "full": calls.remove_stake_full(first, netuid),
        "alpha": calls.unstake_all_alpha(first),
    }
    chain.submit(claimant, calls.batch(calls.claim_root(netuid), exits[leave]))
    chain.produce()
    facts = newest(chain)
    legs = [leg for leg in facts.stake_events if (leg.coldkey, leg.netuid) == (claimant, pool)]
    assert [leg.cause for leg in legs] == ["ROOT_CLAIM", ""]
    left = held + sum(leg.alpha_rao if leg.added else -leg.alpha_rao for leg in legs)
    assert 0 <= left <= 1


@pytest.mark.parametrize("spec", CLAIMS)
@pytest.mark.parametrize("dividends", ["none", "root only", "alpha only", "both"])
def test_scenario_16_the_owners_claim_is_told_beside_any_epoch(spec: int, dividends: str) -> None:
    chain = with_root_claims(spec)
    first, second = chain.hotkeys
    netuid, owner = chain.netuids[1], chain.owners[0]
    # Whoever earns at all has an entry on both sides.
    alpha = {second: TAO} | {"none": {}, "root only": {first: 0}}.get(dividends, {first: TAO})
    root = {"none": {}, "alpha only": {first: 0}}.get(dividends, {first: TAO})
    chain.epoch(netuid, Dividends.of(alpha=alpha, root=root))
    chain.submit(owner, calls.claim_root(netuid))
    chain.produce()
    assert len(of(newest(chain), owner, "ROOT_CLAIM")) == 1


@pytest.mark.parametrize("spec", CLAIMS)
@pytest.mark.parametrize("both", [False, True])
def test_scenario_16_claims_of_several_whom_the_epoch_credited(spec: int, both: bool) -> None:
    owner, miner = chain_of(spec).owners[0], chain_of(spec).stranger_owner
    chain = with_root_claims(spec, owner, miner)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    chain.submit(miner, calls.set_autostake(netuid, first))
    chain.produce()
    earned = Dividends.of(alpha={first: TAO}, root={first: TAO}, incentives={chain.miners[0]: 12_345})
    chain.epoch(netuid, earned)
    for claimant in (owner, miner)[0 if both else 1 :]:
        chain.submit(claimant, calls.claim_root(netuid))
    chain.produce()
    facts = newest(chain)
    assert {leg.cause for leg in facts.stake_events} == {"ROOT_CLAIM"}
    assert len(facts.stake_events) == 1 + both


@pytest.mark.parametrize("spec", [293, 320, *CLAIMS])
@pytest.mark.parametrize("how", ["plain", "evm", "scheduler"])
@pytest.mark.parametrize("dividend", [None, 0, TAO])
@pytest.mark.parametrize("who", ["owner", "delegator"])
def test_scenario_23_a_limited_sale_is_told_of_calls_that_are_not_written_down(
    spec: int, how: str, dividend: int | None, who: str
) -> None:
    chain = chain_of(spec)
    first, second = chain.hotkeys
    netuid, seller = chain.netuids[1], chain.owners[0] if who == "owner" else chain.coldkeys[1]
    chain.add_stake(seller, first, netuid, 10**12)
    chain.produce()
    if dividend is not None:
        chain.epoch(netuid, Dividends.of(alpha={second: TAO, first: dividend}, root={}))
    call = calls.remove_stake(first, netuid, 10 * TAO, fill=4 * TAO)
    if how == "plain":
        chain.submit(seller, call)
    elif how == "evm":
        chain.submit("", calls.evm(seller, call))
    else:
        chain.initially(seller, call)
    chain.produce()
    facts = newest(chain)
    assert [leg.alpha_rao for leg in facts.stake_events] == [4 * TAO]
    assert [sale.alpha_rao for sale in facts.conversions] == [4 * TAO] * (who == "owner")


@pytest.mark.parametrize("spec", [301, 345])
def test_scenario_14_a_limited_sale_beside_a_fee_in_alpha_of_the_same_position_is_told(
    spec: int,
) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.add_stake(owner, first, netuid, 10**12)
    chain.produce()
    call = calls.remove_stake(first, netuid, 10 * TAO, fill=4 * TAO)
    chain.submit(owner, call, alpha_fee=AlphaFee(first, netuid, TAO // 2))
    chain.produce()
    facts = newest(chain)
    assert [leg.alpha_rao for leg in of(facts, owner, "")] == [4 * TAO]
    assert [sale.alpha_rao for sale in facts.conversions] == [4 * TAO]


@pytest.mark.parametrize("spec", CLAIMS)
@pytest.mark.parametrize("owner_too", [False, True])
def test_scenario_17_a_claim_of_nothing_beside_a_lease_and_an_epoch_moves_nothing(
    spec: int, owner_too: bool
) -> None:
    """The lease pays before the dividend, which is no deposit of those whom it paid."""
    chain = chain_of(spec)
    chain.alpha_out = {}
    first, netuid, owner, other = chain.hotkeys[0], chain.netuids[1], chain.owners[0], chain.coldkeys[1]
    for claimant in (owner, other):
        chain.add_stake(claimant, first, 0, 10**11)
        chain.submit(claimant, calls.set_claim_type("Keep"))
    chain.lease(netuid, first, [(one, 70_000 + at) for at, one in enumerate(chain.coldkeys[1:4])], 1)
    for _ in range(21):
        chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: 5_000 * TAO}, root={first: 0}))
    for claimant in (other, owner)[: 1 + owner_too]:
        chain.submit(claimant, calls.claim_root(netuid))
    chain.produce()
    assert {leg.cause for leg in newest(chain).stake_events} == {"LEASE"}


@pytest.mark.parametrize("spec", [250, 277, 293, 320])
@pytest.mark.parametrize("gross", [271_178_325_534, 271_178_325_535, 271_178_325_536])
@pytest.mark.parametrize("owner_does", ["nothing", "sells", "stakes", "leaves"])
def test_scenario_02_a_take_of_two_that_inversion_allows_is_told_by_the_value_of_the_root_pool(
    spec: int, gross: int, owner_does: str
) -> None:
    chain = chain_of(spec)
    first, netuid, owner, other = chain.hotkeys[0], chain.netuids[1], chain.owners[0], chain.coldkeys[1]
    for one in (owner, other):
        chain.add_stake(one, first, 0, 10**12)
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: gross}))
    chain.swap_coldkey(other, chain.address("new coldkey"))
    if owner_does == "sells":
        chain.submit(owner, calls.remove_stake(first, 0, chain.stake_of(first, owner, 0) // 3))
    elif owner_does == "stakes":
        chain.add_stake(owner, first, 0, 7 * TAO)
    elif owner_does == "leaves":
        chain.submit(owner, calls.unstake_all(first))
    chain.produce()
    number = chain.number
    takes = {one.side: one.take_rao for one in newest(chain).yields}
    assert takes == {one.side: one.take_rao for one in chain.truth if one.block == number and one.take_rao}


@pytest.mark.parametrize("spec", [293, 345, 401])
@pytest.mark.parametrize("sells", [False, True])
def test_scenario_15_stake_that_became_liquidity_is_told_beside_a_sale(spec: int, sells: bool) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.produce()

    becomes_liquidity(chain, owner, 500 * TAO)
    if sells:
        chain.submit(owner, calls.remove_stake(first, netuid, TAO))
    chain.produce()
    facts = newest(chain, doubtful=True)
    assert [leg.alpha_rao for leg in of(facts, owner, "LIQUIDITY")] == [500 * TAO]
    assert ["liquidity position" in doubt for doubt in facts.doubts] == [True]


def becomes_liquidity(chain: ModelChain, owner: str, alpha: int) -> None:
    """Queue a liquidity position that takes alpha of an owner (gives it back, if negative)."""
    first, netuid = chain.hotkeys[0], chain.netuids[1]

    def provide(world: World, _: str) -> None:
        (world.decrease if alpha > 0 else world.increase)(first, owner, netuid, abs(alpha))
        values = {"coldkey": owner, "hotkey": first, "netuid": netuid, "position_id": 1, "liquidity": 1}
        ticks = {"tick_low": 0, "tick_high": 9} if alpha > 0 else {"fee_tao": 0, "fee_alpha": 0}
        name = "LiquidityAdded" if alpha > 0 else "LiquidityRemoved"
        world.deposit(name, {**values, "tao": 5, "alpha": abs(alpha), **ticks}, "Swap")

    chain.submit(owner, calls.call("Swap", "add_liquidity", provide, hotkey=first, netuid=netuid))


@pytest.mark.parametrize("spec", [293, 345, 393])
@pytest.mark.parametrize("alpha", [2 * TAO, -3 * TAO])
@pytest.mark.parametrize("fill", [4 * TAO, 10 * TAO])
def test_scenario_15_a_limited_sale_beside_liquidity_is_what_the_limit_allowed(
    spec: int, alpha: int, fill: int
) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.produce()
    chain.submit(owner, calls.remove_stake(first, netuid, 10 * TAO, fill=fill))
    becomes_liquidity(chain, owner, alpha)
    chain.produce()
    # What liquidity takes of an owner is in doubt, the sale is not.
    facts = newest(chain, doubtful=alpha > 0)
    assert [sale.alpha_rao for sale in facts.conversions] == [fill]
    assert [leg.alpha_rao for leg in of(facts, owner, "LIQUIDITY")] == [abs(alpha)]


@pytest.mark.parametrize(("before", "after"), [(293, 294), (344, 345), (391, 393)])
@pytest.mark.parametrize("fill", [4 * TAO, 10 * TAO])
@pytest.mark.parametrize("who", ["owner", "holder"])
def test_scenario_20_a_limited_sale_beside_a_migration_is_what_the_limit_allowed(
    before: int, after: int, fill: int, who: str
) -> None:
    chain = chain_of(before)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    seller = chain.owners[0] if who == "owner" else chain.coldkeys[1]
    chain.add_stake(seller, first, netuid, 10**12)
    chain.produce()

    def migrate(world: World) -> None:
        world.increase(first, seller, netuid, 3 * TAO)

    chain.upgrade(after, migrate)
    chain.produce()
    chain.submit(seller, calls.remove_stake(first, netuid, 10 * TAO, fill=fill))
    chain.produce()
    facts = newest(chain)
    assert [leg.alpha_rao for leg in of(facts, seller, "")] == [fill]
    assert [leg.alpha_rao for leg in of(facts, seller, "MIGRATION")] == [3 * TAO]


@pytest.mark.parametrize("spec", [293, 320, *CLAIMS[:4]])
@pytest.mark.parametrize("alpha", [2 * TAO, -2 * TAO])
@pytest.mark.parametrize("does", ["sells", "stakes"])
def test_scenario_15_an_owner_with_liquidity_and_a_stake_event_in_his_epoch_is_read(
    spec: int, alpha: int, does: str
) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: TAO}))
    becomes_liquidity(chain, owner, alpha)
    call = (
        calls.remove_stake(first, netuid, 3 * TAO) if does == "sells" else calls.add_stake(first, netuid, TAO)
    )
    chain.submit(owner, call)
    chain.produce()
    facts = newest(chain, doubtful=alpha > 0)
    assert [leg.alpha_rao for leg in of(facts, owner, "LIQUIDITY")] == [abs(alpha)]


@pytest.mark.parametrize("claims", [False, True])
@pytest.mark.parametrize("how", ["evm", "scheduler"])
@pytest.mark.parametrize("epoch", [False, True])
def test_scenario_15_orders_that_no_call_tells_are_a_gap_also_where_more_came_than_left(
    claims: bool, how: str, epoch: bool
) -> None:
    chain = with_root_claims(425)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    sale = orders.Order(owner, first, netuid, False, 10 * TAO, 0)
    purchase = orders.Order(owner, first, netuid, True, 500 * TAO, 0)
    if epoch:
        chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: TAO}))
    if claims:
        chain.submit(owner, calls.claim_root(netuid))
    batch = orders.execute_batched(netuid, sale, purchase)
    if how == "evm":
        chain.submit("", calls.evm(chain.address("relayer"), batch))
    else:
        chain.initially(chain.address("relayer"), batch)
    chain.produce()
    assert any("limit orders sold it" in doubt for doubt in newest(chain, doubtful=True).doubts)


@pytest.mark.parametrize("spec", [401, 425])
def test_scenario_19_a_payment_for_another_hotkey_is_not_that_of_two_rao_here(spec: int) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.add_stake(owner, chain.stranger_hotkeys[0], netuid, 10**13)
    chain.produce()
    chain.submit(owner, calls.remove_stake(first, netuid, chain.stake_of(first, owner, netuid) - 2))
    chain.produce()
    chain.dissolve(netuid)
    chain.produce()
    facts = newest(chain, doubtful=True)
    assert not [sale for sale in facts.conversions if sale.owner == owner]
    assert ["which payment was for it cannot be told" in doubt for doubt in facts.doubts] == [True]


@pytest.mark.parametrize("spec", [320, *CLAIMS])
def test_scenario_19_a_subnet_that_ends_and_begins_again_in_one_block_pays_out(spec: int) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.produce()
    chain.dissolve(netuid)
    chain.register_network(netuid, chain.coldkeys[0])
    chain.submit(owner, calls.start_call(netuid))
    chain.add_stake(owner, first, netuid, TAO)
    chain.produce()
    facts = newest(chain)
    [ended] = of(facts, owner, "DISSOLVED")
    assert (ended.alpha_rao, ended.tao_rao) in [(sale.alpha_rao, sale.tao_rao) for sale in facts.conversions]


@pytest.mark.parametrize("spec", [293, 334, 393])
def test_scenario_18_a_swap_of_another_key_leaves_no_dust_elsewhere(spec: int) -> None:
    chain = chain_of(spec)
    first, second = chain.hotkeys
    netuid = chain.netuids[1]
    holders = sorted(chain.world.pools.holders(first, netuid))
    for coldkey in holders[1:]:
        chain.submit(
            coldkey, calls.remove_stake(first, netuid, chain.stake_of(first, coldkey, netuid) - 1_000_000)
        )
    chain.produce()
    chain.submit(
        holders[0], calls.remove_stake(first, netuid, chain.stake_of(first, holders[0], netuid) - 7_777_777)
    )
    chain.swap_hotkey(second, chain.address("new hotkey"))
    chain.produce()
    assert not [leg for leg in newest(chain).stake_events if leg.hotkey == first and leg.cause]


def test_scenario_20_what_came_in_the_epoch_after_an_upgrade_and_no_event_names_is_a_gap() -> None:
    chain = chain_of(292)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.produce()

    def migrate(world: World) -> None:
        world.increase(first, owner, netuid, 3 * TAO)

    chain.upgrade(293, migrate)
    chain.produce()
    chain.epoch(netuid, Dividends.of(alpha={first: TAO}, root={first: TAO}))
    chain.produce()
    [doubt] = newest(chain, doubtful=True).doubts
    assert "3000000000 rao came to its pool that no event names" in doubt


@pytest.mark.parametrize("spec", [293, 345, 393, 401, 425])
@pytest.mark.parametrize("lie", ["TAO", "subnet"])
def test_ch7_a_move_into_root_whose_events_say_different_things_is_a_doubt(spec: int, lie: str) -> None:
    chain = chain_of(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.produce()
    chain.submit(owner, calls.swap_stake(first, netuid, 0, 100 * TAO))
    chain.produce()
    number = chain.number
    for _ in range(2):
        chain.produce()
    honest = LyingModel(chain).read(number)[0]
    [sale] = honest.conversions
    assert sale.into_root
    assert not honest.doubts
    events = codec.decode(bytes.fromhex(str(LyingModel(chain).value(number, keys.SYSTEM_EVENTS))[2:]))
    said: dict[str, tuple[str, Callable[[Any], Any]]] = {
        # Within what the price allows.
        "TAO": ("StakeRemoved", lambda values: (*values[:2], values[2] * 2, *values[3:])),
        "subnet": ("StakeSwapped", lambda values: (*values[:3], chain.netuids[0], *values[4:])),
    }
    lying, changed = said[lie]
    told = [
        (phase, pallet, name, changed(values) if name == lying else values)
        for phase, pallet, name, values in events
    ]
    lied = "0x" + codec.encode(told).hex()
    assert lied != LyingModel(chain).value(number, keys.SYSTEM_EVENTS)
    [facts, _] = LyingModel(chain, {(chain.hash_of(number), keys.SYSTEM_EVENTS): lied}).read(number)
    assert any("rao of TAO left and" in doubt for doubt in facts.doubts)


@pytest.mark.parametrize("whose", ["becomes ours", "was ours"])
@pytest.mark.parametrize("paid", [False, True])
@pytest.mark.parametrize("claims", [False, True])
def test_scenario_05_a_subnet_that_its_epoch_hands_on_pays_the_cut_to_the_new_owner(
    whose: str, paid: bool, claims: bool
) -> None:
    """From 425 whoever has the most conviction takes a subnet over, in the epoch and before the cut."""
    chain = chain_of(425)
    first, owner, stranger = chain.hotkeys[0], chain.owners[0], chain.stranger_hotkeys[0]
    # The first subnet's cut goes to our hotkey, the second's to a stranger's.
    netuid = chain.netuids[0 if whose == "was ours" else 1]
    chain.alpha_out = {}
    for one in (0, netuid):
        chain.add_stake(owner, first, one, 10**12)
    for _ in range(4):
        chain.produce()
    chain.world.kings[netuid] = (stranger, chain.stranger_owner) if whose == "was ours" else (first, owner)
    chain.epoch(netuid, Dividends.of(alpha={first: TAO} if paid else {}, root={first: TAO} if paid else {}))
    if claims:
        chain.submit(owner, calls.claim_root(netuid))
    chain.produce()
    number = chain.number
    facts = newest(chain)
    credited = sum(one.alpha_rao for one in chain.credits if (one.block, one.netuid) == (number, netuid))
    assert bool(credited) == (whose == "becomes ours")
    takes = {one.side: one.take_rao for one in facts.yields}
    assert takes == {one.side: one.take_rao for one in chain.truth if one.block == number and one.take_rao}
    assert sum(one.other_rao for one in facts.yields) == (credited if paid else 0)


@pytest.mark.parametrize("spec", [393, 401, 411, 425])
@pytest.mark.parametrize("rest", [1, 3, 300])
@pytest.mark.parametrize("epoch", ["none", "of others", "ours", "without take", "the owner sells"])
def test_scenario_10_dust_that_is_deleted_without_an_event_is_told(spec: int, rest: int, epoch: str) -> None:
    """From 385 its sale fails for want of an output, and nobody says so."""
    chain = chain_of(spec)
    first, second = chain.hotkeys
    netuid, seller = chain.netuids[1], chain.address("who leaves")
    chain.world.nominator_minimum = 100_000_000
    # An alpha so cheap that the rest is worth nothing.
    chain.world.subnet_tao.put(netuid, 50 * TAO)
    if epoch == "without take":
        chain.submit(chain.owners[0], calls.set_take(first, 0))
    chain.add_stake(seller, first, netuid, TAO)
    chain.produce()
    held = chain.stake_of(first, seller, netuid)
    if epoch != "none":
        chain.epoch(
            netuid,
            Dividends.of(alpha={second: TAO} | ({} if epoch == "of others" else {first: TAO}), root={}),
        )
    if epoch == "the owner sells":
        chain.submit(chain.owners[0], calls.remove_stake(first, netuid, TAO))
    # What the dividend adds is not known to the seller either: all but the rest of what was held, and what is left goes.
    grows = 0 if epoch in ("none", "of others") else chain.world.pools.value.get(first, netuid)
    more = held * TAO * 9 // 10 // grows if grows else 0
    chain.submit(seller, calls.remove_stake(first, netuid, held + more - rest))
    chain.produce()
    number = chain.number
    facts = newest(chain)
    assert chain.stake_of(first, seller, netuid) == 0 or spec < 397
    takes = {(one.hotkey, one.side): one.take_rao for one in facts.yields}
    assert takes == {
        (one.hotkey, one.side): one.take_rao
        for one in chain.truth
        if one.block == number and (one.take_rao or one.net_rao)
    }


@pytest.mark.parametrize("spec", [393, 401, 411, 425])
@pytest.mark.parametrize("rest", [1, 300])
@pytest.mark.parametrize("who", ["owner", "delegator"])
def test_scenario_10_dust_of_who_comes_back_in_the_same_block_is_told(spec: int, rest: int, who: str) -> None:
    chain = chain_of(spec)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    seller = chain.owners[0] if who == "owner" else chain.coldkeys[1]
    chain.world.nominator_minimum = 100_000_000
    chain.world.subnet_tao.put(netuid, 50 * TAO)
    chain.add_stake(seller, first, netuid, TAO)
    chain.produce()
    held = chain.stake_of(first, seller, netuid)
    chain.submit(seller, calls.remove_stake(first, netuid, held - rest))
    chain.submit(seller, calls.add_stake(first, netuid, 9 * TAO))
    chain.produce()
    newest(chain)


@pytest.mark.parametrize("spec", [293, 345, 393, 401, 425])
@pytest.mark.parametrize("who", ["owner", "delegator"])
def test_ch7_a_sale_of_all_that_its_event_understates_is_no_dust(spec: int, who: str) -> None:
    chain = chain_of(spec)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    seller = chain.owners[0] if who == "owner" else chain.coldkeys[1]
    chain.add_stake(seller, first, netuid, 10**11)
    chain.produce()
    chain.submit(seller, calls.remove_stake_full(first, netuid))
    chain.produce()
    number = chain.number
    for _ in range(2):
        chain.produce()
    assert not LyingModel(chain).read(number)[0].doubts
    events = codec.decode(bytes.fromhex(str(LyingModel(chain).value(number, keys.SYSTEM_EVENTS))[2:]))
    told = [
        # Within what the price allows.
        (
            phase,
            pallet,
            name,
            (*values[:3], values[3] // 2, *values[4:]) if name == "StakeRemoved" else values,
        )
        for phase, pallet, name, values in events
    ]
    lies: dict[tuple[str, str], str | None] = {
        (chain.hash_of(number), keys.SYSTEM_EVENTS): "0x" + codec.encode(told).hex()
    }
    assert LyingModel(chain, lies).read(number)[0].doubts
