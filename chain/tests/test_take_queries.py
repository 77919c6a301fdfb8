"""Take per day and in total, and what pools are worth, against the chain's own numbers."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from chain.earnings.queries import PoolTake, take_by_day, take_in_total, total_value
from chain.pools.shares import SharePool
from chain.queries import pool_worths, pools_now, spot_price_rao, spot_prices_rao
from chain.services import ingest_segment
from chain.tests.factories import HOTKEY, TAO, make_blocks, make_price, make_yield
from chain.tests.replay_node import Play
from chain.units import U64F64_ONE

pytestmark = pytest.mark.django_db


def test_ui2_pools_are_worth_what_the_chain_says(segment: Path, play: Play, hotkeys: list[str]) -> None:
    ingest_segment(segment)
    chain = play.table(play.last, "TotalHotkeyAlpha")
    pools = pools_now(hotkeys)
    assert len(pools) > 3
    for pool in pools:
        told = chain[pool.hotkey, pool.netuid]
        # Shares are whole parts of the chain's numbers, so each stake event since the epoch can move a rao.
        assert pool.stake_rao is not None
        assert abs(pool.stake_rao - told) <= 10, pool


def test_ui2_a_pool_is_worth_what_the_epochs_of_its_newest_block_left() -> None:
    make_blocks(1, 3)
    make_yield(1, side="ROOT", dividend_rao=5 * TAO)
    for netuid, dividend, take in [(2, 700, 70), (3, 900, 90)]:
        make_yield(3, netuid=netuid, side="ROOT", dividend_rao=dividend, take_rao=take)
    expected = SharePool(10_000, 10_000 * U64F64_ONE)
    for dividend, take in [(700, 70), (900, 90)]:
        expected.add("owner", take)
        expected.add_for_all(dividend)
    worth = pool_worths([(HOTKEY, 0), (HOTKEY, 2), ("nobody", 0)])
    assert list(worth) == [(HOTKEY, 0)], "what no epoch showed is unknown, not zero"
    assert (worth[HOTKEY, 0].block, worth[HOTKEY, 0].pool.value, worth[HOTKEY, 0].pool.denominator) == (
        3,
        expected.value,
        expected.denominator,
    )


def test_ui1_a_day_is_worth_its_own_last_price() -> None:
    make_blocks(1, 8)
    make_yield(1, take_rao=1_000)
    make_yield(4, take_rao=500)
    make_yield(4, side="ROOT", take_rao=7)
    make_price(1, sqrt_price=9 * U64F64_ONE)
    make_price(4, sqrt_price=3 * U64F64_ONE // 2)
    make_yield(6, take_rao=10)
    make_price(6, sqrt_price=2 * U64F64_ONE)
    first, second = take_by_day()
    assert (first.day, first.block_count) == (date(2025, 1, 1), 4)
    assert first.takes == {0: PoolTake(0, 7, 7), 2: PoolTake(2, 1_500, 1_500 * 9 // 4)}
    assert first.value_rao == 7 + 3_375
    assert second.value_rao == 40


def test_ui1_a_day_without_blocks_is_unknown_and_one_without_take_is_zero() -> None:
    make_blocks(1, 4)
    make_blocks(9, 12)
    make_yield(1, side="ROOT", take_rao=7)
    assert [(day.block_count, day.value_rao) for day in take_by_day()] == [(4, 7), (0, None), (4, 0)]


def test_ui1_without_a_price_a_value_is_unknown() -> None:
    make_blocks(1, 4)
    make_yield(1, take_rao=7)
    make_yield(1, side="ROOT", take_rao=5)
    assert take_by_day()[0].value_rao is None
    totals = take_in_total()
    assert totals == [PoolTake(0, 5, 5), PoolTake(2, 7, None)]
    assert total_value(totals) is None


def test_ui1_many_prices_at_once_are_those_asked_one_by_one() -> None:
    make_blocks(1, 3)
    for block, netuid, root in [(1, 2, 5 * U64F64_ONE), (3, 2, 12_345 * U64F64_ONE // 10_000), (2, 3, 7)]:
        make_price(block, netuid, sqrt_price=root)
    prices = spot_prices_rao([0, 2, 3, 4])
    assert prices == {netuid: spot_price_rao(netuid) for netuid in (0, 2, 3)}
    assert prices[2] == 1_523_990_249
    assert spot_price_rao(4) is None


def test_ui1_only_the_last_days_are_read() -> None:
    make_blocks(1, 4 * 40)
    make_yield(1, side="ROOT")
    days = take_by_day(days=30)
    assert (len(days), days[-1].day) == (30, date(2025, 2, 9))
    assert days[0].day == date(2025, 1, 11)
    assert take_by_day(days=40)[0].value_rao == 100


def test_ui1_nothing_ingested_gives_no_days_and_no_take() -> None:
    assert take_by_day() == []
    assert take_in_total() == []
