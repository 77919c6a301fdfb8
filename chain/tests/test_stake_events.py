"""Stake events of every runtime from 233: what they say, what they were, and what the owner sold (CH2, CH4)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import keys
from chain.facts import ConversionFact, StakeEventFact
from chain.runtimes.decoding import Event, decoder_for
from chain.stake.events import conversions, stake_events, unaccounted
from chain.state import UnsupportedEvent
from chain.tests.mainnet import SS58_PREFIX, metadata_of, recorded_events
from chain.tests.replay_node import DATA
from chain.tests.stake_play import StakePlay, Truth

TAO = 10**9
OWNER, HOT, OTHER = "owner", "hot", "other hotkey"
OWNERS = {HOT: OWNER}
SPECS = [233, 256, 257, 282, 283, 296, 297, 334, 396, 397, 410, 411, 422, 423, 425]


def legs_of(play: StakePlay) -> list[StakeEventFact]:
    return stake_events(play.events, play.spec_version)


def sold(play: StakePlay, owners: dict[str, str] | None = None) -> list[ConversionFact]:
    return conversions(legs_of(play), owners or OWNERS, play.events, play.spec_version)


def as_truth(leg: StakeEventFact) -> Truth:
    other = (leg.other_coldkey, leg.other_hotkey, leg.other_netuid) if leg.other_coldkey else None
    assert leg.tao_rao is not None
    return Truth(
        leg.added,
        (leg.coldkey, leg.hotkey, leg.netuid),
        leg.alpha_rao,
        leg.tao_rao,
        leg.kind,
        leg.cause,
        other,
    )


# --- layouts and units ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec_version", "values", "alpha", "fee", "fee_asset", "fee_alpha"),
    [
        (233, (OWNER, HOT, 90, 100, 2), 100, None, "TAO", 0),
        (256, (OWNER, HOT, 90, 100, 2), 100, None, "TAO", 0),
        (257, (OWNER, HOT, 90, 100, 2, 5), 100, 5, "TAO", 0),
        (282, (OWNER, HOT, 90, 100, 2, 5), 100, 5, "TAO", 0),
        (283, (OWNER, HOT, 90, 100, 2, 5), 100, 5, "ALPHA", 5),
        (394, (OWNER, HOT, 90, 100, 2, 5), 100, 5, "ALPHA", 5),
        (397, (OWNER, HOT, 90, 100, 2, 5), 105, 5, "ALPHA", 5),
        (425, (OWNER, HOT, 90, 100, 2, 5), 105, 5, "ALPHA", 5),
    ],
)
def test_ch4_all_alpha_that_left_is_sold_on_every_runtime(
    spec_version: int, values: tuple[Any, ...], alpha: int, fee: int | None, fee_asset: str, fee_alpha: int
) -> None:
    events = [Event(0, 1, "SubtensorModule", "StakeRemoved", values)]
    (leg,) = stake_events(events, spec_version)
    assert (leg.alpha_rao, leg.tao_rao, leg.fee_rao, leg.fee_asset) == (alpha, 90, fee, fee_asset)
    (conversion,) = conversions([leg], OWNERS, events, spec_version)
    assert (conversion.alpha_rao, conversion.tao_rao, conversion.fee_alpha_rao) == (alpha, 90, fee_alpha)


@pytest.mark.parametrize("spec_version", SPECS)
def test_ch2_alpha_that_came_is_what_the_event_says_on_every_runtime(spec_version: int) -> None:
    play = StakePlay(spec_version)
    play.stake((OWNER, HOT, 2), 40, 50)
    (leg,) = legs_of(play)
    assert (leg.alpha_rao, leg.tao_rao, leg.fee_asset) == (40, 50, "TAO")
    assert leg.fee_rao == (None if spec_version < 257 else 7)


@pytest.mark.parametrize(("spec_version", "count"), [(256, 6), (257, 5), (425, 5), (425, 7)])
def test_ch7_an_event_with_other_fields_than_its_runtime_should_give_is_refused(
    spec_version: int, count: int
) -> None:
    values = (OWNER, HOT, 90, 100, 2, 5, 6)[:count]
    with pytest.raises(UnsupportedEvent, match=rf"StakeRemoved has {count} fields, its runtime should give"):
        stake_events([Event(0, 1, "SubtensorModule", "StakeRemoved", values)], spec_version)


def test_ch2_stake_on_root_costs_no_alpha() -> None:
    events = [Event(0, 1, "SubtensorModule", "StakeRemoved", (OWNER, HOT, 100, 100, 0, 0))]
    (leg,) = stake_events(events, 425)
    assert leg.fee_asset == "TAO"
    assert conversions([leg], OWNERS, events, 425) == []


# --- every call, on every runtime -----------------------------------------------------------------------

ends = st.tuples(st.sampled_from(["owner", "a", "b"]), st.sampled_from(["hot", "h2"]), st.integers(0, 3))
amounts = st.integers(10, 4 * 10**6)


@st.composite
def plays(draw: st.DrawFn) -> StakePlay:
    """A few extrinsics (and what the runtime did itself), each a batch of stake calls."""
    play = StakePlay(draw(st.sampled_from(SPECS)))
    for index in [None, *range(draw(st.integers(1, 3)))]:
        play.extrinsic_index = index
        for _ in range(draw(st.integers(0, 4))):
            name, end, alpha, tao = draw(
                st.tuples(st.sampled_from(["stake", "unstake", "move", "all"]), ends, amounts, amounts)
            )
            if name == "stake":
                play.stake(end, alpha, tao)
            elif name == "unstake":
                play.unstake(end, alpha, tao, 7 if end[2] else 0)
            elif name == "move":
                other = draw(ends)
                if other != end:
                    hotkey = other[1] if other[0] == end[0] else end[1]
                    play.move(end, (other[0], hotkey, other[2]), alpha, tao)
            else:
                netuids = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True))
                play.unstake_all_alpha(
                    end[0],
                    end[1],
                    {n: (draw(amounts), draw(amounts)) for n in netuids},
                    dust=draw(st.booleans()),
                )
    return play


@given(plays())
def test_ch2_whatever_was_called_in_whatever_order_each_leg_is_named_as_it_was(play: StakePlay) -> None:
    """Amounts are conserved with it: what came and left is what truly did, leg by leg."""
    assert [as_truth(leg) for leg in legs_of(play)] == play.truth


@given(plays())
def test_ch4_owners_sell_exactly_what_they_unstaked_and_what_they_took_into_root(play: StakePlay) -> None:
    expected = [
        (truth.alpha_rao, truth.tao_rao, truth.kind == "RESTAKE")
        for truth in play.truth
        if not truth.added
        and truth.end[:2] == (OWNER, HOT)
        and truth.end[2] != 0
        and (
            (truth.kind == "UNSTAKE" and not truth.cause)
            or (truth.kind == "RESTAKE" and truth.other is not None and truth.other[2] == 0)
            or (truth.kind == "UNSTAKE" and truth.cause == "NOT_RESTAKED" and play.spec_version >= 411)
        )
    ]
    assert [(c.alpha_rao, c.tao_rao, c.into_root) for c in sold(play)] == expected


# --- the scenarios by number ----------------------------------------------------------------------------


@pytest.mark.parametrize("spec_version", SPECS)
def test_scenario_10_a_full_exit_with_its_dust_cleared_and_a_new_entry_are_three_legs(
    spec_version: int,
) -> None:
    play = StakePlay(spec_version)
    play.removed(("a", HOT, 2), 100, 90, 3)
    play.removed(("a", HOT, 2), 4, 3, 0)
    play.completed()
    play.stake(("a", HOT, 2), 50, 60)
    assert [(leg.added, leg.alpha_rao, leg.kind) for leg in legs_of(play)] == [
        (False, 100, "UNSTAKE"),
        (False, 4, "UNSTAKE"),
        (True, 50, "STAKE"),
    ]


@pytest.mark.parametrize("spec_version", SPECS)
def test_scenario_11_a_transfer_on_one_hotkey_names_both_coldkeys_and_sells_nothing(
    spec_version: int,
) -> None:
    play = StakePlay(spec_version)
    play.move((OWNER, HOT, 2), ("friend", HOT, 2), 5 * TAO, 6 * TAO)
    out, into = legs_of(play)
    assert (out.kind, out.coldkey, out.other_coldkey) == ("TRANSFER", OWNER, "friend")
    assert (into.kind, into.coldkey, into.other_coldkey) == ("TRANSFER", "friend", OWNER)
    assert sold(play) == []


def test_scenario_11_on_runtime_293_the_pair_has_a_fee_on_the_added_leg() -> None:
    play = StakePlay(293)
    play.removed((OWNER, HOT, 2), 100, 90, 0)
    play.added(("friend", HOT, 2), 98, 90, 4)
    play.own("StakeTransferred", OWNER, "friend", HOT, 2, 2, 90)
    assert [leg.kind for leg in legs_of(play)] == ["TRANSFER", "TRANSFER"]
    assert sold(play) == []


@pytest.mark.parametrize("spec_version", SPECS)
def test_scenario_12_moving_or_swapping_into_root_sells_the_alpha(spec_version: int) -> None:
    play = StakePlay(spec_version)
    play.move((OWNER, HOT, 2), (OWNER, HOT, 0), 5 * TAO, 6 * TAO)
    play.move((OWNER, HOT, 3), (OWNER, OTHER, 0), 7 * TAO, 8 * TAO)
    play.move((OWNER, HOT, 2), (OWNER, HOT, 3), 9 * TAO, 9 * TAO)
    play.move((OWNER, HOT, 2), ("friend", HOT, 0), TAO, TAO)
    assert [(c.netuid, c.alpha_rao, c.tao_rao, c.into_root) for c in sold(play)] == [
        (2, 5 * TAO, 6 * TAO, True),
        (3, 7 * TAO, 8 * TAO, True),
    ]


@pytest.mark.parametrize(("spec_version", "tao_kept"), [(282, False), (410, False), (411, True), (425, True)])
def test_scenario_12_what_is_too_small_to_restake_is_sold_only_where_the_coldkey_keeps_the_tao(
    spec_version: int, tao_kept: bool
) -> None:
    play = StakePlay(spec_version)
    play.stake((OWNER, HOT, 3), 500, 600)
    play.move((OWNER, HOT, 2), (OWNER, HOT, 3), 1_000_000, 1_999_999)
    play.move((OWNER, HOT, 2), ("friend", HOT, 3), 1_000_000, 1_999_998)
    assert [leg.cause for leg in legs_of(play)] == ["", "NOT_RESTAKED", "NOT_RESTAKED"]
    assert [(c.tao_rao, c.into_root) for c in sold(play)] == ([(1_999_999, False)] if tao_kept else [])


@pytest.mark.parametrize("spec_version", SPECS)
def test_scenario_12_unstake_all_alpha_takes_every_subnet_into_root(spec_version: int) -> None:
    play = StakePlay(spec_version)
    play.unstake_all_alpha(OWNER, HOT, {4: (100, 90), 2: (30, 20), 7: (5, 9)})
    assert [(c.netuid, c.alpha_rao, c.tao_rao, c.into_root) for c in sold(play)] == [
        (4, 100, 90, True),
        (2, 30, 20, True),
        (7, 5, 9, True),
    ]
    assert legs_of(play)[-1].kind == "RESTAKE"


def test_scenario_12_staking_on_root_in_the_same_batch_is_not_unstake_all_alpha() -> None:
    play = StakePlay(425)
    play.unstake((OWNER, HOT, 2), 100, 90)
    play.stake((OWNER, HOT, 0), 90, 90, 0)
    assert [leg.kind for leg in legs_of(play)] == ["UNSTAKE", "STAKE"]
    assert [c.into_root for c in sold(play)] == [False]


@pytest.mark.parametrize(
    ("spec_version", "kept", "named"), [(425, 500, True), (425, 501, False), (410, 1, False)]
)
def test_scenario_12_only_the_existential_deposit_may_stay_behind_and_only_since_411(
    spec_version: int, kept: int, named: bool
) -> None:
    play = StakePlay(spec_version)
    play.unstake_all_alpha(OWNER, HOT, {4: (100, 900), 2: (30, 20)}, kept=kept)
    assert [c.into_root for c in sold(play)] == [named, named]


@pytest.mark.parametrize("spec_version", [397, 401, 411, 425])
def test_scenario_14_a_fee_paid_in_alpha_is_no_conversion_and_the_sale_after_it_is(spec_version: int) -> None:
    play = StakePlay(spec_version)
    play.own("StakeRemoved", OWNER, HOT, 11, 12, 2, 0)
    play.unstake((OWNER, HOT, 2), 100, 90, 5)
    play.own("TransactionFeePaidWithAlpha", who=OWNER, netuid=2, alpha_fee=12, tao_amount=11)
    assert [(leg.cause, leg.alpha_rao) for leg in legs_of(play)] == [("ALPHA_FEE", 12), ("", 100)]
    assert [(c.alpha_rao, c.tao_rao) for c in sold(play)] == [(100, 90)]
    assert unaccounted(legs_of(play), OWNERS, play.events, spec_version) == []


def test_scenario_14_the_fee_stays_paid_when_the_call_fails() -> None:
    play = StakePlay(425, extrinsic_index=8)
    play.own("StakeRemoved", OWNER, HOT, 11, 12, 2, 0)
    play.own("TransactionFeePaidWithAlpha", who=OWNER, netuid=2, alpha_fee=12, tao_amount=11)
    play.deposit("System.ExtrinsicFailed", {"dispatch_error": {}})
    assert [leg.cause for leg in legs_of(play)] == ["ALPHA_FEE"]
    assert sold(play) == []


def test_scenario_14_a_move_paid_in_alpha_is_still_named_by_its_own_event() -> None:
    play = StakePlay(425)
    play.own("StakeRemoved", OWNER, HOT, 11, 12, 2, 0)
    play.move((OWNER, HOT, 2), (OWNER, OTHER, 2), 5 * TAO, 6 * TAO)
    play.own("TransactionFeePaidWithAlpha", who=OWNER, netuid=2, alpha_fee=12, tao_amount=11)
    assert [(leg.kind, leg.cause) for leg in legs_of(play)] == [
        ("UNSTAKE", "ALPHA_FEE"),
        ("RESTAKE", ""),
        ("RESTAKE", ""),
    ]


def test_scenario_14_a_fee_that_fits_no_removal_is_named_and_not_guessed() -> None:
    play = StakePlay(425)
    play.unstake((OWNER, HOT, 2), 100, 90, 5)
    play.own("TransactionFeePaidWithAlpha", who=OWNER, netuid=2, alpha_fee=12, tao_amount=11)
    (gap,) = unaccounted(legs_of(play), OWNERS, play.events, 425)
    assert (gap.hotkey, gap.netuid, gap.owner) == (HOT, 2, OWNER)
    assert "its fee in alpha" in gap.reason


def order(play: StakePlay, signer: str, kind: str, amount_in: int, amount_out: int) -> None:
    play.deposit(
        "LimitOrders.OrderExecuted",
        {
            "order_id": "0x" + "11" * 32,
            "signer": signer,
            "netuid": 2,
            "order_type": kind,
            "amount_in": amount_in,
            "amount_out": amount_out,
        },
    )


def test_scenario_15_an_order_sold_alone_brings_what_is_left_after_the_relayers_fee() -> None:
    play = StakePlay(423)
    play.removed((OWNER, HOT, 2), 100, 90, 5)
    order(play, OWNER, "TakeProfit", 100, 81)
    play.added((OWNER, HOT, 2), 30, 40, 1)
    order(play, OWNER, "LimitBuy", 40, 30)
    play.removed((OWNER, HOT, 2), 50, 45, 2)
    order(play, OWNER, "StopLoss", 50, 44)
    legs = legs_of(play)
    assert [leg.cause for leg in legs] == ["ORDER"] * 3
    assert [leg.tao_rao for leg in legs] == [90, 40, 45]
    assert [(c.alpha_rao, c.tao_rao, c.fee_alpha_rao) for c in sold(play)] == [(100, 81, 5), (50, 44, 2)]


@pytest.mark.parametrize("spec_version", [257, 334, 425])
def test_scenario_17_recycled_burned_and_bought_to_burn_sell_nothing(spec_version: int) -> None:
    play = StakePlay(spec_version)
    play.own("AlphaRecycled", OWNER, HOT, 60, 2)
    play.own("AlphaBurned", OWNER, HOT, 70, 2)
    play.added((OWNER, HOT, 2), 80, 90, 1)
    play.own("AlphaBurned", OWNER, HOT, 80, 2)
    play.own("AddStakeBurn", netuid=2, hotkey=HOT, amount=90, alpha=80)
    assert [(leg.added, leg.alpha_rao, leg.cause) for leg in legs_of(play)] == [
        (False, 60, "RECYCLED"),
        (False, 70, "BURNED"),
        (True, 80, ""),
        (False, 80, "BURNED"),
    ]
    assert sold(play) == []


def test_scenario_15_two_orders_of_equal_size_keep_their_own_proceeds() -> None:
    play = StakePlay(425)
    for tao, kept in [(90, 81), (88, 79)]:
        play.removed((OWNER, HOT, 2), 100, tao, 5)
        order(play, OWNER, "TakeProfit", 100, kept)
    assert [(c.alpha_rao, c.tao_rao) for c in sold(play)] == [(100, 81), (100, 79)]


@pytest.mark.parametrize(("spec_version", "kind"), [(296, "UNSTAKE"), (297, "TRANSFER"), (425, "TRANSFER")])
def test_scenario_11_a_pair_of_equal_events_is_a_transfer_even_if_no_other_event_names_it(
    spec_version: int, kind: str
) -> None:
    play = StakePlay(spec_version, extrinsic_index=None)
    play.removed((OWNER, HOT, 2), 30, 20, 0)
    play.added(("b", HOT, 2), 30, 20, 0)
    play.removed((OWNER, HOT, 2), 30, 20, 0)
    play.deposit("System.Remarked", {"sender": OWNER})
    play.added(("b", HOT, 2), 30, 20, 0)
    assert [leg.kind for leg in legs_of(play)] == [
        kind,
        "STAKE" if kind == "UNSTAKE" else kind,
        "UNSTAKE",
        "STAKE",
    ]


@pytest.mark.parametrize("spec_version", [361, 394, 425])
def test_scenario_23_a_lease_pays_its_contributors_by_pairs_that_sell_nothing(spec_version: int) -> None:
    play = StakePlay(spec_version, extrinsic_index=None)
    lease, hot = "lease", HOT
    for who, alpha in [("a", 30), ("b", 20)]:
        play.removed((lease, hot, 2), alpha, alpha, 0)
        play.added((who, hot, 2), alpha, alpha, 0)
        play.own("SubnetLeaseDividendsDistributed", lease_id=1, contributor=who, alpha=alpha)
    legs = legs_of(play)
    assert [(leg.kind, leg.cause, leg.other_coldkey) for leg in legs] == [
        ("TRANSFER", "LEASE", "a"),
        ("TRANSFER", "LEASE", lease),
        ("TRANSFER", "LEASE", "b"),
        ("TRANSFER", "LEASE", lease),
    ]
    assert sold(play, {HOT: lease}) == []


def test_scenario_23_a_lease_pays_its_dust_along_although_its_event_names_less() -> None:
    """Until 396 what is taken from a position takes its dust too; the event of the lease tells what it meant to pay."""
    play = StakePlay(385, extrinsic_index=None)
    play.removed(("lease", HOT, 2), 105, 30, 0)
    play.added(("a", HOT, 2), 105, 30, 0)
    play.own("SubnetLeaseDividendsDistributed", lease_id=1, contributor="a", alpha=30)
    assert [(leg.kind, leg.cause, leg.alpha_rao) for leg in legs_of(play)] == [("TRANSFER", "LEASE", 105)] * 2


@pytest.mark.parametrize("marker", ["Proxy.ProxyExecuted", "Multisig.MultisigExecuted", "Sudo.Sudid"])
def test_scenario_23_nested_calls_are_named_by_their_events_whoever_signed(marker: str) -> None:
    play = StakePlay(425, extrinsic_index=6)
    play.unstake((OWNER, HOT, 2), 100, 90)
    play.deposit(marker, {"result": "Ok"})
    play.stake((OWNER, HOT, 0), 90, 90, 0)
    assert [(c.alpha_rao, c.into_root) for c in sold(play)] == [(100, False)]


def test_scenario_23_a_scheduled_move_is_named_in_initialization() -> None:
    play = StakePlay(425, extrinsic_index=None)
    play.move((OWNER, HOT, 2), (OWNER, HOT, 0), 5 * TAO, 6 * TAO)
    assert [(c.alpha_rao, c.into_root) for c in sold(play)] == [(5 * TAO, True)]


def test_ch4_a_stranger_on_our_hotkey_and_an_owner_on_a_strangers_sell_nothing_of_ours() -> None:
    play = StakePlay(425)
    play.unstake(("stranger", HOT, 2), 100, 90)
    play.unstake((OWNER, OTHER, 2), 100, 90)
    assert sold(play) == []


# --- mainnet, runtime 393 -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mainnet() -> dict[int, list[Event]]:
    decoder = decoder_for(393, metadata_of(393), SS58_PREFIX)
    return {number: decoder.events(data) for number, data in recorded_events().items()}


def test_ch2_the_stake_events_recorded_on_mainnet(mainnet: dict[int, list[Event]]) -> None:
    legs = {number: stake_events(events, 393) for number, events in mainnet.items()}
    assert {
        number: [
            (
                leg.event_index,
                leg.extrinsic_index,
                leg.kind,
                leg.netuid,
                leg.tao_rao,
                leg.alpha_rao,
                leg.fee_rao,
            )
            for leg in found
        ]
        for number, found in legs.items()
    } == {
        7_959_608: [
            (62, 10, "UNSTAKE", 24, 20_019_072_615, 1_339_254_272_307, 674_378_438),
            (86, 14, "STAKE", 75, 10_000_000_000, 412_833_565_821, 5_035_477),
            (104, 17, "UNSTAKE", 66, 159_669_469, 9_000_000_000, 4_531_929),
            (130, 25, "UNSTAKE", 97, 948_833_260, 11_229_260_863, 5_654_468),
        ],
        7_959_635: [
            (83, 10, "UNSTAKE", 9, 4_155_042_619, 181_749_566_626, 91_519_580),
            (97, 12, "UNSTAKE", 97, 99_857_874, 1_200_000_000, 604_257),
            (111, 14, "UNSTAKE", 88, 5_381_944, 1_338_510_719, 674_004),
            (147, 24, "STAKE", 97, 265_890_404, 3_191_721_917, 133_888),
        ],
    }
    assert all(not leg.cause and not leg.derived for found in legs.values() for leg in found)


def test_ch4_on_mainnet_393_the_fee_is_33_parts_of_65535_of_all_alpha_that_left(
    mainnet: dict[int, list[Event]],
) -> None:
    """So the alpha named there includes the fee: the runtime still named removals gross."""
    for events in mainnet.values():
        for leg in stake_events(events, 393):
            paid = leg.tao_rao if leg.added else leg.alpha_rao
            assert paid is not None
            assert leg.fee_rao == paid * 33 // 65_535


def test_ch4_a_sale_recorded_on_mainnet_as_if_its_seller_were_our_owner(
    mainnet: dict[int, list[Event]],
) -> None:
    events = mainnet[7_959_608]
    legs = stake_events(events, 393)
    seller, hotkey = legs[0].coldkey, legs[0].hotkey
    (conversion,) = conversions(legs, {hotkey: seller}, events, 393)
    assert conversion == ConversionFact(
        event_index=62,
        hotkey="5E2LP6EnZ54m3wS8s1yPvD5c3xo71kQroBw7aUVK32TKeZ5u",
        owner="5GhSdA8G4q7mNW9s9RqS4tLjtowFYTBMptEQ8b6WPBnRA8R5",
        netuid=24,
        alpha_rao=1_339_254_272_307,
        tao_rao=20_019_072_615,
        fee_alpha_rao=674_378_438,
        into_root=False,
    )
    paid = [event.values["amount"] for event in events if event.is_a("Balances", "Deposit")]
    assert conversion.tao_rao in paid
    assert unaccounted(legs, {hotkey: seller}, events, 393) == []


# --- a real runtime, 293 --------------------------------------------------------------------------------


def test_scenario_12_on_a_real_chain_what_is_named_unstaked_into_root_was_that_call() -> None:
    decoder = decoder_for(293, metadata_of(293), SS58_PREFIX)
    events, blocks = {}, {}
    with gzip.open(DATA / "edge.segment.gz", "rt") as file:
        for exchange in map(json.loads, file):
            if not isinstance(exchange, list):
                continue
            method, params, result = exchange
            if method == "chain_getBlock":
                blocks[params[0]] = result["block"]["extrinsics"]
            elif method == "state_queryStorageAt":
                raw = dict(result[0]["changes"]).get(keys.SYSTEM_EVENTS)
                if raw:
                    events[params[1]] = decoder.events(raw)
    kinds: Counter[tuple[str, str]] = Counter()
    calls = []
    for block_hash, deposited in events.items():
        legs = stake_events(deposited, 293)
        kinds.update((leg.kind, leg.cause) for leg in legs)
        moves = {event.extrinsic_index for event in deposited if event.name in {"StakeMoved", "StakeSwapped"}}
        for leg in legs:
            if leg.kind == "RESTAKE" and leg.extrinsic_index not in moves:
                assert leg.extrinsic_index is not None
                extrinsic = decoder.extrinsic(blocks[block_hash][leg.extrinsic_index])
                calls.append((extrinsic.call_name, leg.added, leg.netuid))
    assert calls == [
        ("SubtensorModule.unstake_all_alpha", False, 2),
        ("SubtensorModule.unstake_all_alpha", False, 3),
        ("SubtensorModule.unstake_all_alpha", False, 4),
        ("SubtensorModule.unstake_all_alpha", True, 0),
    ]
    assert kinds == {
        ("STAKE", ""): 69,
        ("UNSTAKE", ""): 18,
        ("UNSTAKE", "RECYCLED"): 1,
        ("UNSTAKE", "BURNED"): 2,
        ("RESTAKE", ""): 16,
        ("TRANSFER", ""): 6,
    }
