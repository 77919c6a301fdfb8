"""What moves stake without a stake event: what to read again, and why it changed (CH2, CH4)."""

from __future__ import annotations

from typing import Any

import pytest

from chain.addresses import decode_address
from chain.runtimes.decoding import Extrinsic
from chain.stake.causes import Cause
from chain.stake.changes import (
    ShareChange,
    Touched,
    silent_changes,
    telling_extrinsics,
    touched,
)
from chain.stake.dissolution import subnet_account
from chain.stake.events import conversions, stake_events, unaccounted
from chain.stake.limit_orders import order_legs
from chain.tests.stake_play import StakePlay, call, extrinsic

OWNER, HOT, HOT2 = "owner", "hot", "hot two"
OWNERS = {HOT: OWNER, HOT2: OWNER}
NOTHING = Touched(frozenset(), frozenset(), frozenset(), frozenset(), False)


def read(play: StakePlay, extrinsics: dict[int, Extrinsic] | None = None) -> Touched:
    return touched(play.events, extrinsics or {}, play.spec_version)


def causes(play: StakePlay, *changes: ShareChange, **how: Any) -> list[tuple[str, str, int]]:
    legs = silent_changes(play.events, how.pop("extrinsics", {}), changes, play.spec_version, **how)
    assert all(leg.derived for leg in legs)
    return [(leg.kind, leg.cause, leg.alpha_rao) for leg in legs]


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


def signed(signer: str, hotkey: str, kind: str, amount: int, partial: int | None = None) -> dict[str, Any]:
    inner = {"signer": signer, "hotkey": hotkey, "netuid": 2, "order_type": kind, "amount": amount}
    return {"order": {"V1": inner}, "signature": {"Sr25519": "0x"}, "partial_fill": partial}


def batched(*orders: dict[str, Any]) -> Extrinsic:
    inner = call("LimitOrders.execute_batched_orders", netuid=2, orders=list(orders))
    return extrinsic("Utility.batch", "relayer", calls=[inner])


def batch_of_three() -> StakePlay:
    """A delegator buys; the owner sells twice; the pallet's own account sells the rest to the pool."""
    play = StakePlay(423, extrinsic_index=4)
    play.removed(("pallet", "pallet hotkey", 2), 40, 36, 1)
    order(play, "buyer", "LimitBuy", 70, 60)
    order(play, OWNER, "TakeProfit", 100, 88)
    order(play, OWNER, "StopLoss", 30, 25)
    play.deposit(
        "LimitOrders.GroupExecutionSummary",
        {"netuid": 2, "net_side": "Sell", "net_amount": 40, "actual_out": 36, "executed_count": 3},
    )
    return play


# --- what to read again -----------------------------------------------------------------------------------


def test_ch2_a_quiet_block_touches_nothing() -> None:
    play = StakePlay(425)
    play.deposit("System.ExtrinsicSuccess", {"dispatch_info": {}})
    play.own("NetworkAdded", 7, 1)
    assert read(play) == NOTHING


@pytest.mark.parametrize("spec_version", [233, 256, 257, 282, 283, 297, 334, 397, 425])
def test_ch2_both_ends_of_every_stake_event_are_touched(spec_version: int) -> None:
    play = StakePlay(spec_version)
    play.stake(("a", HOT, 2), 10, 11)
    play.move(("b", HOT, 2), ("c", HOT, 2), 5_000_000, 6_000_000)
    play.move(("d", HOT, 2), ("d", HOT2, 3), 5, 6)
    play.own("AlphaBurned", "e", HOT, 9, 2)
    assert read(play).positions == {
        (HOT, 2, "a"),
        (HOT, 2, "b"),
        (HOT, 2, "c"),
        (HOT, 2, "d"),
        (HOT2, 3, "d"),
        (HOT, 2, "e"),
    }


def test_scenario_16_every_pool_of_whoever_claimed_is_touched() -> None:
    play = StakePlay(334, extrinsic_index=None)
    play.own("RootClaimed", coldkey="a")
    play.own("RootClaimTypeSet", coldkey="b", root_claim_type="Keep")
    assert read(play).coldkeys == {"a"}


def test_scenario_3_autostake_names_the_destination_and_incentives_only_the_subnet() -> None:
    play = StakePlay(361, extrinsic_index=None)
    play.own("AutoStakeAdded", netuid=2, destination=HOT, hotkey="miner", owner="cold", incentive=5)
    play.own("IncentiveAlphaEmittedToMiners", netuid=4096 + 9, emissions=[1, 2])
    found = read(play)
    assert found.positions == {(HOT, 2, "cold")}
    assert found.owner_netuids == {9}


@pytest.mark.parametrize("fields", [{}, {"swap_cost": 100}])
def test_scenario_18_swaps_touch_both_keys_with_and_without_the_cost(fields: dict[str, int]) -> None:
    play = StakePlay(377)
    play.own("ColdkeySwapped", old_coldkey="old", new_coldkey="new", **fields)
    play.own("HotkeySwapped", coldkey=OWNER, old_hotkey=HOT, new_hotkey=HOT2)
    play.own("HotkeySwappedOnSubnet", coldkey=OWNER, old_hotkey="h3", new_hotkey="h4", netuid=2)
    found = read(play)
    assert found.coldkeys == {"old", "new"}
    assert found.hotkeys == {HOT, HOT2, "h3", "h4"}


@pytest.mark.parametrize("bare", [True, False])
def test_scenario_19_a_removed_subnet_is_touched_whole(bare: bool) -> None:
    play = StakePlay(334)
    play.deposit("SubtensorModule.NetworkRemoved", 5 if bare else (5,))
    assert read(play).netuids == {5}


@pytest.mark.parametrize(("spec_version", "netuids"), [(394, set()), (397, {7}), (401, {7}), (402, set())])
def test_ch2_registering_a_subnet_gave_its_owner_stake_on_397_to_401(
    spec_version: int, netuids: set[int]
) -> None:
    play = StakePlay(spec_version)
    play.own("NetworkAdded", 7, 1)
    assert read(play).netuids == netuids
    first = ShareChange(HOT, 7, OWNER, 0, 50)
    assert causes(play, first) == [("STAKE", "REGISTRATION" if netuids else "UNEXPLAINED", 50)]


def test_scenario_20_new_code_touches_everything_one_block_later() -> None:
    play = StakePlay(396)
    play.deposit("System.CodeUpdated", None)
    found = read(play)
    assert (found.everything, found.everything_next) == (False, True)


@pytest.mark.parametrize("name", ["AdminUtils.sudo_set_nominator_min_required_stake", "Swap.disable_lp"])
def test_scenario_23_roots_own_calls_that_sweep_stake_touch_everything(name: str) -> None:
    play = StakePlay(385, extrinsic_index=3)
    play.deposit("Sudo.Sudid", {"sudo_result": "Ok"})
    assert telling_extrinsics(play.events, 385) == {3}
    assert read(play, {3: extrinsic("Sudo.sudo", "root", call=call(name))}).everything
    assert not read(play, {3: extrinsic("Sudo.sudo", "root", call=call("System.remark"))}).everything


@pytest.mark.parametrize("name", ["LiquidityAdded", "LiquidityRemoved", "LiquidityModified"])
def test_ch2_liquidity_positions_take_alpha_from_stake_without_a_stake_event(name: str) -> None:
    play = StakePlay(293, extrinsic_index=3)
    play.deposit(f"Swap.{name}", {"coldkey": OWNER, "hotkey": HOT, "netuid": 2, "alpha": 5})
    assert read(play).positions == {(HOT, 2, OWNER)}
    change = ShareChange(HOT, 2, OWNER, 100, 60)
    legs = silent_changes(play.events, {}, [change], 293)
    assert [(leg.cause, leg.alpha_rao, leg.added) for leg in legs] == [("LIQUIDITY", 40, False)]
    assert conversions(legs, OWNERS, play.events, 293) == []
    (gap,) = unaccounted(legs, OWNERS, play.events, 293)
    assert "liquidity position" in gap.reason


# --- fees in alpha ----------------------------------------------------------------------------------------

PAYING_CALLS = [
    ("remove_stake", {"hotkey": HOT, "netuid": 2}),
    ("remove_stake_limit", {"hotkey": HOT, "netuid": 2}),
    ("remove_stake_full_limit", {"hotkey": HOT, "netuid": 2}),
    ("recycle_alpha", {"hotkey": HOT, "netuid": 2}),
    ("burn_alpha", {"hotkey": HOT, "netuid": 2}),
    ("swap_stake", {"hotkey": HOT, "origin_netuid": 2, "destination_netuid": 3}),
    ("swap_stake_limit", {"hotkey": HOT, "origin_netuid": 2, "destination_netuid": 3}),
    ("transfer_stake", {"hotkey": HOT, "origin_netuid": 2, "destination_netuid": 2}),
    ("move_stake", {"origin_hotkey": HOT, "origin_netuid": 2, "destination_hotkey": HOT2}),
    ("unstake_all", {"hotkey": HOT}),
    ("unstake_all_alpha", {"hotkey": HOT}),
]


def failed_with_fee(spec_version: int, *, in_tao: bool) -> StakePlay:
    play = StakePlay(spec_version, extrinsic_index=6)
    if in_tao:
        play.deposit("Balances.Withdraw", {"who": OWNER, "amount": 900})
    play.deposit("TransactionPayment.TransactionFeePaid", {"who": OWNER, "actual_fee": 900, "tip": 0})
    play.deposit("System.ExtrinsicFailed", {"dispatch_error": {}})
    return play


@pytest.mark.parametrize(("name", "arguments"), PAYING_CALLS, ids=[name for name, _ in PAYING_CALLS])
@pytest.mark.parametrize("spec_version", [301, 349])
def test_scenario_14_a_fee_taken_silently_is_found_even_when_the_call_failed(
    spec_version: int, name: str, arguments: dict[str, Any]
) -> None:
    play = failed_with_fee(spec_version, in_tao=False)
    assert telling_extrinsics(play.events, spec_version) == {6}
    paying = {6: extrinsic(f"SubtensorModule.{name}", OWNER, **arguments)}
    found = read(play, paying)
    assert found.positions == (set() if name.startswith("unstake_all") else {(HOT, 2, OWNER)})
    assert found.coldkeys == {OWNER}
    assert read(play).coldkeys == {OWNER}, "without the call: any pool of the payer"
    change = ShareChange(HOT, 2, OWNER, 100, 99)
    assert causes(play, change, extrinsics=paying) == [("UNSTAKE", "ALPHA_FEE", 1)]
    legs = silent_changes(play.events, paying, [change], spec_version)
    assert conversions(legs, OWNERS, play.events, spec_version) == []


@pytest.mark.parametrize(
    ("spec_version", "in_tao"),
    [(299, False), (301, True), (349, True), (350, False), (396, False), (425, False)],
)
def test_scenario_14_a_fee_in_tao_and_other_runtimes_touch_nothing(spec_version: int, in_tao: bool) -> None:
    play = failed_with_fee(spec_version, in_tao=in_tao)
    paying = {6: extrinsic("SubtensorModule.remove_stake", OWNER, hotkey=HOT, netuid=2)}
    assert read(play, paying) == NOTHING
    assert causes(play, ShareChange(HOT, 2, OWNER, 100, 99)) == [("UNSTAKE", "UNEXPLAINED", 1)]


def test_scenario_14_a_fee_that_no_known_call_can_have_paid_touches_all_its_payer_has() -> None:
    play = failed_with_fee(301, in_tao=False)
    inner = call("SubtensorModule.remove_stake", hotkey=HOT, netuid=2)
    found = read(play, {6: extrinsic("Utility.batch", OWNER, calls=[inner])})
    assert not found.positions
    assert found.coldkeys == {OWNER}


def test_scenario_14_a_fee_whose_sale_failed_half_way_touches_its_payer() -> None:
    play = StakePlay(401, extrinsic_index=6)
    play.own("TransactionFeePaidWithAlpha", who=OWNER, netuid=0, alpha_fee=0, tao_amount=0)
    assert read(play).coldkeys == {OWNER}
    assert causes(play, ShareChange(HOT, 2, OWNER, 100, 99)) == [("UNSTAKE", "ALPHA_FEE", 1)]


# --- limit orders -----------------------------------------------------------------------------------------


def test_scenario_15_a_batch_moves_stake_without_events_and_the_call_says_on_which_hotkey() -> None:
    play = batch_of_three()
    written = {
        4: batched(
            signed(OWNER, HOT, "TakeProfit", 100),
            signed("buyer", HOT2, "LimitBuy", 70),
            signed(OWNER, HOT2, "StopLoss", 900, partial=30),
        )
    }
    assert telling_extrinsics(play.events, 423) == {4}
    found = read(play, written)
    assert found.positions >= {(HOT, 2, OWNER), (HOT2, 2, "buyer"), (HOT2, 2, OWNER)}
    assert not found.coldkeys
    legs = [*stake_events(play.events, 423), *order_legs(play.events, written)]
    assert [(leg.hotkey, leg.kind, leg.alpha_rao, leg.cause) for leg in legs] == [
        ("pallet hotkey", "UNSTAKE", 40, ""),
        (HOT2, "STAKE", 60, "ORDER"),
        (HOT, "UNSTAKE", 100, "ORDER"),
        (HOT2, "UNSTAKE", 30, "ORDER"),
    ]
    assert [(c.hotkey, c.alpha_rao, c.tao_rao) for c in conversions(legs, OWNERS, play.events, 423)] == [
        (HOT, 100, 88),
        (HOT2, 30, 25),
    ]
    assert unaccounted(legs, OWNERS, play.events, 423) == []


def test_scenario_15_orders_whose_hotkey_is_not_told_are_named_and_never_guessed() -> None:
    play = batch_of_three()
    assert read(play).coldkeys == {"buyer", OWNER}
    assert order_legs(play.events, {}) == []
    changes = [ShareChange(HOT, 2, OWNER, 500, 400), ShareChange(HOT2, 2, OWNER, 200, 171)]
    legs = silent_changes(play.events, {}, changes, 423)
    assert [(leg.cause, leg.alpha_rao) for leg in legs] == [("ORDER", 100), ("ORDER", 29)]
    assert [gap.hotkey for gap in unaccounted(legs, OWNERS, play.events, 423)] == [HOT, HOT2]
    assert conversions(legs, OWNERS, play.events, 423) == []


def test_scenario_15_two_calls_that_fit_equally_tell_nothing() -> None:
    play = batch_of_three()
    orders = [("buyer", "LimitBuy", 70), (OWNER, "TakeProfit", 100), (OWNER, "StopLoss", 30)]
    calls = [
        call(
            "LimitOrders.execute_batched_orders",
            netuid=2,
            orders=[signed(who, hotkey, kind, amount) for who, kind, amount in orders],
        )
        for hotkey in (HOT, HOT2)
    ]
    assert order_legs(play.events, {4: extrinsic("Utility.force_batch", "relayer", calls=calls)}) == []


# --- claims, swaps, dissolution, migrations ---------------------------------------------------------------


def test_scenario_16_a_claim_is_named_for_delegator_and_owner_and_sells_nothing() -> None:
    play = StakePlay(385, extrinsic_index=None)
    play.own("RootClaimed", coldkey="a")
    play.own("RootClaimed", coldkey=OWNER)
    changes = [
        ShareChange(HOT, 0, "a", 100, 130),
        ShareChange(HOT, 2, OWNER, 0, 20),
        ShareChange(HOT, 2, "b", 0, 20),
        ShareChange(HOT, 2, "a", 20, 0),
    ]
    assert causes(play, *changes) == [
        ("STAKE", "ROOT_CLAIM", 30),
        ("STAKE", "ROOT_CLAIM", 20),
        ("STAKE", "UNEXPLAINED", 20),
        ("UNSTAKE", "UNEXPLAINED", 20),
    ]
    legs = silent_changes(play.events, {}, changes, 385)
    assert conversions(legs, OWNERS, play.events, 385) == []


def test_scenario_18_a_coldkey_swap_names_where_each_position_went() -> None:
    play = StakePlay(425)
    play.own("ColdkeySwapped", old_coldkey="old", new_coldkey="new")
    changes = [ShareChange(HOT, 2, "old", 100, 0), ShareChange(HOT, 2, "new", 0, 99)]
    out, into = silent_changes(play.events, {}, changes, 425)
    assert (out.kind, out.cause, out.other_coldkey, out.other_hotkey, out.other_netuid) == (
        "TRANSFER",
        "COLDKEY_SWAP",
        "new",
        HOT,
        2,
    )
    assert (into.kind, into.other_coldkey, into.alpha_rao, into.added) == ("TRANSFER", "old", 99, True)


@pytest.mark.parametrize("on_subnet", [True, False])
def test_scenario_18_a_hotkey_swap_names_both_keys_and_one_subnet_or_all(on_subnet: bool) -> None:
    play = StakePlay(425)
    keys = {"coldkey": OWNER, "old_hotkey": HOT, "new_hotkey": HOT2}
    if on_subnet:
        play.own("HotkeySwappedOnSubnet", **keys, netuid=2)
    else:
        play.own("HotkeySwapped", **keys)
    changes = [
        ShareChange(HOT, 2, "a", 100, 0),
        ShareChange(HOT2, 2, "a", 0, 100),
        ShareChange(HOT, 3, OWNER, 50, 0),
    ]
    legs = silent_changes(play.events, {}, changes, 425)
    assert [(leg.kind, leg.cause, leg.other_hotkey) for leg in legs] == [
        ("RESTAKE", "HOTKEY_SWAP", HOT2),
        ("RESTAKE", "HOTKEY_SWAP", HOT),
        ("UNSTAKE", "UNEXPLAINED", "") if on_subnet else ("RESTAKE", "HOTKEY_SWAP", HOT2),
    ]
    assert conversions(legs, OWNERS, play.events, 425) == []


def test_scenario_18_a_swap_that_kept_the_stake_changes_nothing() -> None:
    play = StakePlay(425)
    play.own("HotkeySwapped", coldkey=OWNER, old_hotkey=HOT, new_hotkey=HOT2)
    assert causes(play, ShareChange(HOT, 2, "a", 100, 100)) == []


def dissolved(spec_version: int, *paid: tuple[str, int]) -> StakePlay:
    """A subnet whose end paid these coldkeys these amounts."""
    play = StakePlay(spec_version, extrinsic_index=5)
    play.removed(("earlier", HOT, 2), 10, 9, 1)
    for coldkey, amount in paid:
        if spec_version >= 411:
            play.deposit("Balances.Transfer", {"from": subnet_account(2), "to": coldkey, "amount": amount})
            play.deposit("Balances.Transfer", {"from": subnet_account(3), "to": coldkey, "amount": 1})
        else:
            play.deposit("Balances.Deposit", {"who": coldkey, "amount": amount})
    play.own("NetworkRemoved", 2)
    play.deposit("Balances.Deposit", {"who": OWNER, "amount": 5})
    return play


ENDED = [
    ShareChange(HOT, 2, OWNER, 40, 0),
    ShareChange(HOT, 2, "a", 500, 0),
    ShareChange(HOT2, 2, OWNER, 90, 0),
]


@pytest.mark.parametrize("spec_version", [320, 394, 411, 425])
def test_scenario_19_unsold_take_becomes_tao_when_its_subnet_ends(spec_version: int) -> None:
    play = dissolved(spec_version, ("a", 50), (OWNER, 4), (OWNER, 9), ("stranger", 70))
    legs = silent_changes(play.events, {}, ENDED, spec_version)
    assert [(leg.cause, leg.alpha_rao, leg.tao_rao) for leg in legs] == [
        ("DISSOLVED", 40, 4),
        ("DISSOLVED", 500, 50),
        ("DISSOLVED", 90, 9),
    ]
    assert [
        (c.hotkey, c.alpha_rao, c.tao_rao) for c in conversions(legs, OWNERS, play.events, spec_version)
    ] == [
        (HOT, 40, 4),
        (HOT2, 90, 9),
    ]
    assert unaccounted(legs, OWNERS, play.events, spec_version) == []


@pytest.mark.parametrize(
    ("spec_version", "paid"),
    [
        (425, [(OWNER, 4)]),
        (425, [(OWNER, 4), (OWNER, 9), (OWNER, 700)]),
        (425, []),
        (319, [(OWNER, 4), (OWNER, 9)]),
    ],
    ids=["a payment failed", "a refund or a position elsewhere", "nothing was paid", "before payments"],
)
def test_scenario_19_payments_that_do_not_fit_the_positions_are_named_and_never_guessed(
    spec_version: int, paid: list[tuple[str, int]]
) -> None:
    play = dissolved(spec_version, *paid)
    legs = silent_changes(play.events, {}, ENDED, spec_version)
    assert conversions(legs, OWNERS, play.events, spec_version) == []
    gaps = unaccounted(legs, OWNERS, play.events, spec_version)
    assert [(gap.hotkey, gap.netuid) for gap in gaps] == [(HOT, 2), (HOT2, 2)]
    assert "dissolved" in gaps[0].reason
    assert unaccounted(legs, {HOT: "somebody else"}, play.events, spec_version) == []


def test_ch2_the_account_of_a_subnet_is_the_one_the_chain_derives() -> None:
    """`modl`, the pallet's name, the netuid in two bytes, zeros."""
    raw = decode_address(subnet_account(258))
    assert raw == b"modl" + b"subtensr" + b"\x02\x01" + bytes(18)


@pytest.mark.parametrize(("migrated", "cause"), [(True, Cause.MIGRATION), (False, Cause.UNEXPLAINED)])
def test_scenario_20_a_change_no_event_names_is_a_migrations_only_after_an_upgrade(
    migrated: bool, cause: Cause
) -> None:
    play = StakePlay(394)
    play.deposit("System.ExtrinsicSuccess", {})
    change = ShareChange(HOT, 59, OWNER, 100, 70)
    assert causes(play, change, migrated=migrated) == [("UNSTAKE", cause, 30)]
    (leg,) = silent_changes(play.events, {}, [change], 394, migrated=migrated)
    assert (leg.event_index, leg.extrinsic_index) == (1, None)
    gaps = unaccounted([leg], OWNERS, play.events, 394)
    assert bool(gaps) is not migrated


def test_scenario_10_dust_that_the_chain_deleted_after_a_removal_is_named() -> None:
    play = StakePlay(425)
    play.unstake(("a", HOT, 2), 100, 90)
    assert causes(play, ShareChange(HOT, 2, "a", 3, 0), ShareChange(HOT, 2, "b", 3, 0)) == [
        ("UNSTAKE", "DUST", 3),
        ("UNSTAKE", "UNEXPLAINED", 3),
    ]
