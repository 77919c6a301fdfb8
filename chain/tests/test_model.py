"""The model chain itself: it conserves what the runtime conserves, agrees with a recorded runtime, and keeps its history."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import keys
from chain.tests.model import Dividends, ModelChain, RawShare, calls, fixed, migrations, orders
from chain.tests.model.chain import AlphaFee
from chain.tests.model.pools import Pools
from chain.tests.model.rules import Rules
from chain.tests.model.storage import Storage
from chain.tests.replay_node import Play

SPECS = [233, 239, 245, 257, 261, 293, 305, 320, 334, 345, 361, 385, 392, 397, 411, 425]
TAO = 10**9


def exact(share: RawShare) -> Fraction:
    if share.exponent is None:
        return Fraction(share.bits, 1 << 64)
    return share.bits * Fraction(10) ** share.exponent


def raw(chain: ModelChain, key: str, block: int | None = None) -> int | None:
    number = chain.number if block is None else block
    answer = chain.source.call_many([("state_queryStorageAt", [[key], chain.hash_of(number)])])[0]
    value = dict(answer[0]["changes"])[key]
    return None if value is None else int.from_bytes(bytes.fromhex(value[2:]), "little")


def denominator(chain: ModelChain, hotkey: str, netuid: int) -> Fraction:
    pools = chain.world.pools
    if pools.shares_v1.has(hotkey, netuid):
        return Fraction(pools.shares_v1.get(hotkey, netuid), 1 << 64)
    mantissa, exponent = pools.shares_v2.get(hotkey, netuid)
    return Fraction(mantissa * Fraction(10) ** exponent)


@pytest.mark.parametrize("spec", SPECS)
def test_shares_add_up_to_the_denominator_and_values_to_no_more_than_the_pool(spec: int) -> None:
    chain = ModelChain(spec, 7)
    for _ in range(250):
        chain.step()
    pools_seen = 0
    for (hotkey, netuid), holders in chain.shares(chain.number).items():
        total, shares = sum(map(exact, holders.values())), denominator(chain, hotkey, netuid)
        if spec < 397:
            assert total == shares
        else:
            # What was cut off while the pool was large stays when it has emptied.
            assert abs(total - shares) <= shares / 10**14 + Fraction(1, 10**3)
        values = sum(chain.stake_of(hotkey, coldkey, netuid) for coldkey in holders)
        assert values <= chain.world.pools.value.get(hotkey, netuid) + len(holders) * (spec >= 397)
        pools_seen += 1
    assert pools_seen >= 4


@pytest.mark.parametrize("spec", SPECS)
def test_the_truth_is_what_pools_gain_where_nothing_else_happens(spec: int) -> None:
    """Raw storage before and after: growth of each pool is takes, nets, cuts and incentives, and nothing else."""
    chain = ModelChain(spec, 3)
    chain.auto_claims = False
    start = chain.number
    for _ in range(60):
        chain.produce()
    expected: dict[tuple[int, str, int], int] = {}
    for truth in chain.truth:
        netuid = truth.netuid if truth.asset == "ALPHA" else 0
        claimable = truth.side == "ROOT" and truth.asset == "ALPHA" and not truth.net_to_owner
        amount = truth.take_rao + (0 if claimable else truth.net_rao)
        key = (truth.block, truth.hotkey, netuid)
        expected[key] = expected.get(key, 0) + amount
    for credit in chain.credits:
        key = (credit.block, credit.hotkey, credit.netuid)
        expected[key] = expected.get(key, 0) + credit.alpha_rao
    for block in range(start + 1, chain.number + 1):
        for hotkey in chain.hotkeys:
            for netuid in (0, *chain.netuids):
                pool = keys.by_hotkey_netuid("TotalHotkeyAlpha", hotkey, netuid)
                grown = (raw(chain, pool, block) or 0) - (raw(chain, pool, block - 1) or 0)
                assert grown == expected.get((block, hotkey, netuid), 0)
    assert len(chain.truth) > 100
    assert any(truth.take_rao for truth in chain.truth)


def test_maps_hold_the_nets_of_their_era() -> None:
    """Alpha and root nets stand together in 334–360, apart from 361, and root is TAO before 334 (CH1)."""
    for spec, alpha_item, root_item in (
        (293, "AlphaDividendsPerSubnet", "TaoDividendsPerSubnet"),
        (345, "AlphaDividendsPerSubnet", None),
        (361, "AlphaDividendsPerSubnet", "RootAlphaDividendsPerSubnet"),
    ):
        chain = ModelChain(spec, 1, quiet=True)
        hotkey, netuid = chain.hotkeys[0], chain.netuids[0]
        chain.epoch(netuid, Dividends.of(alpha={hotkey: 1_000_000}, root={hotkey: 500_000}))
        chain.produce()
        alpha, root = chain.truth
        assert (alpha.side, root.side) == ("ALPHA", "ROOT")
        together = alpha.net_rao + (0 if root_item else root.net_rao)
        assert raw(chain, keys.by_netuid_hotkey(alpha_item, netuid, hotkey)) == together
        if root_item:
            assert raw(chain, keys.by_netuid_hotkey(root_item, netuid, hotkey)) == root.net_rao
        assert raw(chain, keys.by_netuid("LastMechansimStepBlock", netuid)) == chain.number


def test_a_recorded_take_comes_out_of_its_dividend() -> None:
    """Block 23 of the recorded play: root stakers at 9 % got 628,010,286 rao, and the owner 62,109,171."""
    chain = ModelChain(293, 1, quiet=True)
    hotkey = chain.hotkeys[0]
    chain.world.delegates.put(hotkey, 5_898)
    chain.epoch(chain.netuids[0], Dividends(root={hotkey: (690_119_458 << 32) - 1}))
    chain.produce()
    assert [(truth.take_rao, truth.net_rao) for truth in chain.truth] == [(62_109_171, 628_010_286)]


def test_pools_move_as_those_of_a_recorded_runtime(play: Play, hotkeys: list[str]) -> None:
    """Takes, nets and stake events of the recorded play, put through the model's pools, give its shares bit by bit."""
    storage = Storage()
    pools = Pools(storage, Rules(293))
    tables = {
        "TotalHotkeyAlpha": pools.value,
        "TotalHotkeyShares": pools.shares_v1,
        "Alpha": pools.alpha_v1,
    }
    for item, table in tables.items():
        for key, value in play.table(1, item).items():
            if key[0] in hotkeys and value:
                table.put(*key, value)
    epochs = 0
    for number in range(2, play.last + 1):
        epochs += _replay_epochs(play, number, hotkeys, pools)
        for event in play.blocks[number]["events"]:
            if event["event"] in ("StakeAdded", "StakeRemoved"):
                coldkey, hotkey, _, alpha, netuid, _ = event["attributes"]
                if hotkey in hotkeys:
                    move = pools.add if event["event"] == "StakeAdded" else pools.remove
                    assert move(hotkey, coldkey, netuid, alpha) == alpha
        for item, table in tables.items():
            recorded = {k: v for k, v in play.table(number, item).items() if k[0] in hotkeys and v}
            assert table.values == recorded
    assert epochs > 10


def _replay_epochs(play: Play, number: int, hotkeys: list[str], pools: Pools) -> int:
    """Credit what the epochs of a block paid; takes are what the pools gained beside nets, stake moves and cuts."""
    owners = {key[0]: owner for key, owner in play.table(number, "Owner").items()}
    steps = [n for (n,), block in play.table(number, "LastMechansimStepBlock").items() if block == number]
    for netuid in sorted(steps, key=lambda n: n.to_bytes(2, "little")):
        for hotkey in hotkeys:
            net = play.table(number, "AlphaDividendsPerSubnet").get((netuid, hotkey), 0)
            last = play.table(number, "TotalHotkeyAlphaLastEpoch").get((hotkey, netuid), 0)
            owner = owners.get(hotkey, "")
            if net:
                # The owner's own cut and take are minted one after the other at one price.
                pools.add(hotkey, owner, netuid, last - pools.value.get(hotkey, netuid) - net)
                pools.add_to_all(hotkey, netuid, net)
    for hotkey in hotkeys:
        nets = [
            net
            for netuid in sorted(steps, key=lambda n: n.to_bytes(2, "little"))
            if (net := play.table(number, "TaoDividendsPerSubnet").get((netuid, hotkey), 0))
        ]
        if nets:
            _replay_root(play, number, hotkey, owners[hotkey], nets, pools)
    return len(steps)


def _replay_root(play: Play, number: int, hotkey: str, owner: str, nets: list[int], pools: Pools) -> None:
    """Several epochs pay one root pool: of the ways to split what the pool gained, one gives its denominator."""
    before, after = (play.table(n, "TotalHotkeyAlpha")[hotkey, 0] for n in (number - 1, number))
    gained = after - before - sum(nets) - _moved(play, number, hotkey)
    fair = [gained * net // sum(nets) for net in nets[:-1]]
    splits = product(*(range(take - 2, take + 3) for take in fair))
    start = [dict(table.values) for table in (pools.value, pools.shares_v1, pools.alpha_v1)]
    for split in splits:
        for table, values in zip((pools.value, pools.shares_v1, pools.alpha_v1), start, strict=True):
            table.values = dict(values)
        for take, net in zip((*split, gained - sum(split)), nets, strict=True):
            pools.add(hotkey, owner, 0, take)
            pools.add_to_all(hotkey, 0, net)
        recorded = play.table(number, "TotalHotkeyShares")[hotkey, 0]
        if len(nets) == 1 or pools.shares_v1.get(hotkey, 0) == recorded:
            return
    pytest.fail(f"block {number}: no takes from root explain the denominator")


def _moved(play: Play, number: int, hotkey: str) -> int:
    moved = 0
    for event in play.blocks[number]["events"]:
        if event["event"] in ("StakeAdded", "StakeRemoved") and event["attributes"][1] == hotkey:
            _, _, _, alpha, netuid, _ = event["attributes"]
            moved += (alpha if event["event"] == "StakeAdded" else -alpha) if netuid == 0 else 0
    return moved


# --- number formats -----------------------------------------------------------------------------------

WHOLE = st.integers(1, 21 * 10**15)


@given(st.lists(WHOLE, min_size=3, max_size=3))
def test_safe_float_keeps_twenty_digits(numbers: list[int]) -> None:
    a, b, c = map(fixed.safe_float, numbers)
    for result, true in (
        (fixed.sf_add(a, b), Fraction(numbers[0] + numbers[1])),
        (fixed.sf_mul_div(a, b, c), Fraction(numbers[0] * numbers[1], numbers[2])),
        (fixed.sf_div(a, b), Fraction(numbers[0], numbers[1])),
    ):
        assert result is not None
        value = exact(RawShare(*result))
        assert 0 <= true - value <= true / 10**19
        assert 10**20 < result[0] <= 10**21


@given(st.integers(1, (1 << 128) - 1))
def test_an_old_share_is_read_as_a_safe_float_of_its_value(bits: int) -> None:
    value, true = exact(RawShare(*fixed.sf_from_u64f64(bits))), Fraction(bits, 1 << 64)
    assert 0 <= true - value <= true / 10**18


# --- as a source --------------------------------------------------------------------------------------


def test_state_of_every_block_stays_readable_and_unknown_hashes_are_null() -> None:
    chain = ModelChain(293, 5)
    chain.step()
    key = keys.by_netuid("SubnetTAO", chain.netuids[0])
    then = raw(chain, key, 1)
    kept = chain.shares(1)
    for _ in range(30):
        chain.step()
    assert raw(chain, key, 1) == then != raw(chain, key)
    assert chain.shares(1) == kept != chain.shares(chain.number)
    assert raw(chain, keys.SYSTEM_NUMBER, 17) == 17
    unknown = "0x" + "77" * 32
    asked: list[tuple[str, list[Any]]] = [
        ("state_queryStorageAt", [[key], unknown]),
        ("state_getKeysPaged", [keys.NETWORKS_ADDED, 10, keys.NETWORKS_ADDED, unknown]),
        ("chain_getHeader", [unknown]),
        ("chain_getBlock", [unknown]),
        ("chain_getBlockHash", [chain.number + 1]),
    ]
    assert chain.source.call_many(asked) == [None] * 5
    for number in range(1, chain.number + 1):
        header = chain.source.answer("chain_getHeader", [chain.hash_of(number)])
        assert (int(header["number"], 16), header["parentHash"]) == (number, chain.hash_of(number - 1))


def test_keys_come_sorted_in_pages_and_are_those_of_the_chain() -> None:
    chain = ModelChain(425, 5)
    for _ in range(20):
        chain.step()
    hotkey = chain.hotkeys[0]
    found: list[str] = []
    for item in ("Alpha", "AlphaV2"):
        prefix = after = keys.by_hotkey(item, hotkey)
        while True:
            asked = [prefix, 3, after, chain.hash_of(chain.number)]
            page = chain.source.answer("state_getKeysPaged", asked)
            assert page == sorted(page)
            found += page
            if len(page) < 3:
                break
            after = page[-1]
    parts = {keys.share_key_parts(key) for key in found}
    held = {(c, n) for (h, n), holders in chain.shares(chain.number).items() if h == hotkey for c in holders}
    assert parts == held
    assert len(found) == len(held)
    netuids = [
        keys.netuid_of(key)
        for key in chain.source.answer(
            "state_getKeysPaged",
            [keys.NETWORKS_ADDED, 9, keys.NETWORKS_ADDED, chain.hash_of(chain.number)],
        )
    ]
    assert netuids == [0, 1, 2, 258]


def test_an_old_share_moves_over_when_it_is_written_and_not_before() -> None:
    chain = ModelChain(397, 2, quiet=True)
    chain.auto_claims = False
    hotkey, netuid = chain.hotkeys[0], chain.netuids[1]
    holders = chain.shares(0)[hotkey, netuid]
    assert all(share.exponent is None for share in holders.values())
    mover = next(coldkey for coldkey in holders if coldkey != chain.owners[0])
    chain.remove_stake(mover, hotkey, netuid, TAO)
    chain.produce()
    after = chain.shares(chain.number)[hotkey, netuid]
    assert {coldkey for coldkey in after if after[coldkey].exponent is not None} == {mover}
    assert raw(chain, keys.by_hotkey_netuid("TotalHotkeyShares", hotkey, netuid)) is None
    assert raw(chain, keys.by_hotkey_netuid("TotalHotkeySharesV2", hotkey, netuid)) is not None


def test_equal_seeds_make_equal_chains() -> None:
    first, second = ModelChain(425, 9), ModelChain(425, 9)
    for _ in range(40):
        first.step()
        second.step()
    assert first.hash_of(40) == second.hash_of(40)
    assert first.truth == second.truth


# --- calls --------------------------------------------------------------------------------------------


def events(chain: ModelChain) -> list[tuple[str, Any]]:
    """Names and values of the newest block's events of stake and wrappers, without fees and outcomes."""
    data = chain.source.call_many(
        [("state_queryStorageAt", [[keys.SYSTEM_EVENTS], chain.hash_of(chain.number)])]
    )[0][0]["changes"][0][1]
    spec = chain.source.blocks[chain.number - 1].spec
    decoder = chain.decoder_for(
        spec, chain.source.answer("state_getMetadata", [chain.hash_of(chain.number - 1)]), 42
    )
    skipped = ("Balances", "TransactionPayment", "System")
    return [
        (event.name, event.values)
        for event in decoder.events(data)
        if event.pallet not in skipped and event.name != "IncentiveAlphaEmittedToMiners"
    ]


@pytest.fixture
def quiet(request: pytest.FixtureRequest) -> ModelChain:
    chain = ModelChain(request.param, 4, quiet=True)
    chain.auto_claims = False
    return chain


def a_nominator(chain: ModelChain, netuid: int) -> str:
    return next(c for c in chain.shares(0)[chain.hotkeys[0], netuid] if c != chain.owners[0])


@pytest.mark.parametrize("quiet", SPECS, indirect=True)
def test_stake_events_have_the_fields_of_their_era(quiet: ModelChain) -> None:
    netuid, hotkey = quiet.netuids[1], quiet.hotkeys[0]
    coldkey = a_nominator(quiet, netuid)
    quiet.add_stake(coldkey, hotkey, netuid, TAO)
    quiet.remove_stake(coldkey, hotkey, netuid, TAO)
    quiet.produce()
    added, removed = [values for name, values in events(quiet) if name.startswith("Stake")]
    spec = quiet.spec
    assert len(added) == len(removed) == (5 if spec < 257 else 6)
    assert added[2] == (TAO if spec >= 283 else TAO - 50_000)
    gross = removed[3] + (removed[5] if spec >= 397 else 0)
    assert gross == TAO


@pytest.mark.parametrize("quiet", [292, 293, 320, 385, 425], indirect=True)
def test_moves_within_a_subnet_swap_before_293_and_only_say_so_after(quiet: ModelChain) -> None:
    netuid, (mine, other) = quiet.netuids[1], quiet.hotkeys
    coldkey = a_nominator(quiet, netuid)
    quiet.move_stake(coldkey, mine, other, netuid, netuid, 50 * TAO)
    quiet.produce()
    (_, removed), (_, added), (name, _) = [e for e in events(quiet) if e[0].startswith("Stake")]
    assert name == "StakeMoved"
    assert (removed[3] == added[3]) == (quiet.spec >= 293)


@pytest.mark.parametrize("quiet", [305, 397, 411], indirect=True)
def test_alpha_pays_a_fee_even_if_the_call_fails(quiet: ModelChain) -> None:
    netuid, hotkey = quiet.netuids[1], quiet.hotkeys[0]
    coldkey = a_nominator(quiet, netuid)
    before = quiet.stake_of(hotkey, coldkey, netuid)
    quiet.submit(coldkey, calls.failing(), alpha_fee=AlphaFee(hotkey, netuid, 1_000))
    quiet.produce()
    assert 999 <= before - quiet.stake_of(hotkey, coldkey, netuid) <= 1_001
    names = [name for name, _ in events(quiet)]
    assert names == ([] if quiet.spec < 349 else ["StakeRemoved", "TransactionFeePaidWithAlpha"])


@pytest.mark.parametrize("quiet", [293, 425], indirect=True)
def test_a_failed_batch_all_leaves_no_trace(quiet: ModelChain) -> None:
    netuid, hotkey = quiet.netuids[1], quiet.hotkeys[0]
    coldkey = a_nominator(quiet, netuid)
    quiet.submit(coldkey, calls.batch_all(calls.add_stake(hotkey, netuid, TAO), calls.failing()))
    quiet.produce()
    assert quiet.shares(1) == quiet.shares(0)
    assert events(quiet) == []
    quiet.submit(coldkey, calls.batch(calls.add_stake(hotkey, netuid, TAO), calls.failing()))
    quiet.produce()
    assert [name for name, _ in events(quiet)] == ["StakeAdded", "ItemCompleted", "BatchInterrupted"]
    assert quiet.shares(2) != quiet.shares(1)


@pytest.mark.parametrize("quiet", [425], indirect=True)
def test_batched_orders_move_stake_without_stake_events_of_the_signer(quiet: ModelChain) -> None:
    netuid, hotkey = quiet.netuids[1], quiet.hotkeys[0]
    seller = a_nominator(quiet, netuid)
    buyer = quiet.address("buyer")
    sale = orders.Order(seller, hotkey, netuid, False, 100 * TAO)
    purchase = orders.Order(buyer, hotkey, netuid, True, TAO, fee_ppb=1_000_000)
    quiet.submit(quiet.address("relayer"), orders.execute_batched(netuid, sale, purchase))
    before = quiet.stake_of(hotkey, seller, netuid)
    quiet.produce()
    assert abs(before - quiet.stake_of(hotkey, seller, netuid) - 100 * TAO) <= 1
    assert quiet.stake_of(hotkey, buyer, netuid) > 0
    staked = [values[0] for name, values in events(quiet) if name in ("StakeAdded", "StakeRemoved")]
    assert staked == [orders.PALLET_ACCOUNT]


@pytest.mark.parametrize("quiet", [340, 365, 411, 425], indirect=True)
def test_root_claims_pay_what_is_owed_once(quiet: ModelChain) -> None:
    netuid, hotkey = quiet.netuids[1], quiet.hotkeys[0]
    coldkey = next(c for c in quiet.shares(0)[hotkey, 0] if c != quiet.owners[0])
    quiet.set_claim_type(coldkey, "Keep")
    quiet.epoch(netuid, Dividends.of(root={hotkey: 500 * TAO}))
    quiet.produce()
    alpha, root = quiet.stake_of(hotkey, coldkey, netuid), quiet.stake_of(hotkey, coldkey, 0)
    quiet.claim_root(coldkey, netuid)
    quiet.produce()
    gained = quiet.stake_of(hotkey, coldkey, netuid) - alpha
    net = quiet.truth[-1].net_rao
    share = net * root // quiet.world.pools.value.get(hotkey, 0)
    assert share * 0.999 < gained <= share + 1
    quiet.claim_root(coldkey, netuid)
    quiet.produce()
    assert abs(quiet.stake_of(hotkey, coldkey, netuid) - alpha - gained) <= 1
    assert [name for name, _ in events(quiet)] == ["RootClaimed"]


@pytest.mark.parametrize("quiet", [293, 340, 385, 394, 425], indirect=True)
def test_a_swapped_hotkey_takes_its_stake_along(quiet: ModelChain) -> None:
    old, new = quiet.hotkeys[0], quiet.address("new hotkey")
    held = {c: quiet.stake_of(old, c, 0) for c in quiet.shares(0)[old, 0]}
    quiet.swap_hotkey(old, new)
    quiet.produce()
    assert quiet.world.owner_of(old) is None
    for coldkey, stake in held.items():
        assert abs(quiet.stake_of(new, coldkey, 0) - stake) <= 1
        assert quiet.stake_of(old, coldkey, 0) <= 1
    assert new in quiet.world.tracked
    assert [name for name, _ in events(quiet)] == ["HotkeySwapped"]


@pytest.mark.parametrize("quiet", [391, 425], indirect=True)
def test_a_hotkey_may_leave_its_stake_behind(quiet: ModelChain) -> None:
    old, new = quiet.hotkeys[0], quiet.address("new hotkey")
    before = quiet.shares(0)
    quiet.swap_hotkey(old, new, keep_stake=True)
    quiet.produce()
    assert quiet.shares(1) == before


@pytest.mark.parametrize("quiet", [293, 340, 425], indirect=True)
def test_a_swapped_coldkey_hands_everything_over(quiet: ModelChain) -> None:
    old, new, hotkey = quiet.owners[0], quiet.address("new owner"), quiet.hotkeys[0]
    before = quiet.stake_of(hotkey, old, 0)
    quiet.swap_coldkey(old, new)
    quiet.produce()
    assert quiet.world.owner_of(hotkey) == new
    assert abs(quiet.stake_of(hotkey, new, 0) - before) <= 1
    values = dict(events(quiet))["ColdkeySwapped"]
    assert ("swap_cost" in values) == (quiet.spec < 385)


@pytest.mark.parametrize("quiet", [326, 385, 425], indirect=True)
def test_a_dissolved_subnet_pays_its_pot_and_its_number_can_be_used_again(quiet: ModelChain) -> None:
    netuid, hotkey = quiet.netuids[1], quiet.hotkeys[0]
    holders = quiet.shares(0)[hotkey, netuid]
    quiet.dissolve(netuid)
    quiet.produce()
    assert (hotkey, netuid) not in quiet.shares(quiet.number)
    assert ("NetworkRemoved", netuid) in events(quiet)
    quiet.register_network(netuid, next(iter(holders)))
    quiet.produce()
    quiet.add_stake(next(iter(holders)), hotkey, netuid, TAO)
    quiet.produce()
    assert set(quiet.shares(quiet.number)[hotkey, netuid]) == {next(iter(holders))}


def test_one_chain_lives_through_every_era() -> None:
    """Each runtime executes from the block after its code was set, and its migrations run first."""
    chain = ModelChain(233, 11)
    hotkey = chain.hotkeys[0]
    for spec in SPECS[1:]:
        chain.upgrade(spec, migrations.add_share(hotkey, chain.address(f"of {spec}"), 0, TAO))
        with_old = chain.step()
        assert chain.source.blocks[with_old].spec == spec
        assert chain.source.blocks[with_old - 1].spec < spec
        assert (hotkey, 0) not in chain.shares(with_old) or chain.address(f"of {spec}") not in (
            chain.shares(with_old)[hotkey, 0]
        )
        first = chain.step()
        tracked = [shares for (h, n), shares in chain.shares(first).items() if n == 0]
        assert any(chain.address(f"of {spec}") in shares for shares in tracked)
        for _ in range(20):
            chain.step()
    assert chain.world.rules.spec == 425
    assert {truth.asset for truth in chain.truth if truth.side == "ROOT"} == {"TAO", "ALPHA"}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SPECS))
def test_random_play_never_breaks_the_model(seed: int, spec: int) -> None:
    chain = ModelChain(spec, seed)
    for _ in range(60):
        chain.step()
    assert chain.number == 60
