"""Prices of alpha (CH5): the runtime's own arithmetic, checked against exact fractions, and what must be refused."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import example, given
from hypothesis import strategies as st

from chain import keys
from chain.facts import PriceFact
from chain.models import PoolPrice
from chain.pools.prices import (
    WEIGHT_DEFAULT,
    WEIGHT_WHOLE,
    NoWeight,
    decode_balancer,
    price_keys,
    price_rao,
    read_price,
)
from chain.queries import spot_price_rao, spot_prices_rao
from chain.runtimes.eras import PoolPricing
from chain.state import State
from chain.tests.factories import make_blocks
from chain.units import U64F64_ONE

RESERVES, SQRT_PRICE, BALANCER = PoolPricing.RESERVES, PoolPricing.SQRT_PRICE, PoolPricing.BALANCER
U64_MAX = 2**64 - 1
reserves = st.one_of(st.integers(1, U64_MAX), st.integers(10**9, 21 * 10**15))
# The chain keeps weights between 1 % and 99 %.
weights = st.integers(WEIGHT_WHOLE // 100, WEIGHT_WHOLE * 99 // 100)


def cut(value: Fraction, bits: int) -> Fraction:
    """The value as a fixed-point number with so many fractional bits holds it."""
    return Fraction(int(value * 2**bits), 2**bits)


def rao(price: Fraction, bits: int) -> int:
    """Whole rao of a price, saturating where the chain's 128-bit product and 64-bit answer do."""
    return min(int(min(price * 10**9, Fraction(2**128 - 1, 2**bits))), U64_MAX)


@given(reserves, reserves)
@example(1, U64_MAX)
@example(U64_MAX, 1)
def test_ch5_before_283_the_price_is_the_ratio_of_the_reserves(tao: int, alpha: int) -> None:
    assert price_rao(RESERVES, tao, alpha, None, None) == rao(cut(Fraction(tao, alpha), 32), 32)


@given(st.integers(1, 2**128 - 1))
@example(1)
@example(2**128 - 1)
@example(2**96)
def test_ch5_from_283_the_price_is_the_square_of_the_stored_root(root: int) -> None:
    squared = min(cut(Fraction(root, U64F64_ONE) ** 2, 64), Fraction(2**128 - 1, 2**64))
    assert price_rao(SQRT_PRICE, 5, 7, root, None) == rao(cut(squared, 32), 32)


@given(reserves, reserves)
def test_ch5_from_283_a_pool_without_a_root_is_priced_by_its_reserves(tao: int, alpha: int) -> None:
    assert price_rao(SQRT_PRICE, tao, alpha, None, None) == price_rao(RESERVES, tao, alpha, None, None)


@given(reserves, reserves, weights)
@example(U64_MAX, 1, WEIGHT_WHOLE // 100)
@example(1, U64_MAX, WEIGHT_WHOLE * 99 // 100)
def test_ch5_from_423_the_price_is_that_of_the_weighted_reserves(tao: int, alpha: int, weight: int) -> None:
    price = cut(cut(Fraction(WEIGHT_WHOLE - weight, weight), 64) * cut(Fraction(tao, alpha), 64), 64)
    found = price_rao(BALANCER, tao, alpha, None, weight)
    assert found == rao(min(price, Fraction(2**128 - 1, 2**64)), 64)
    exact = Fraction(WEIGHT_WHOLE - weight, weight) * Fraction(tao, alpha) * 10**9
    if exact < 2**60:
        # Three cuts at 2**-64 each: never more than a rao per 1.8e10 TAO of price below the exact one.
        assert 0 <= exact - found < 1 + Fraction(10**9, 2**64) * (1 + Fraction(tao, alpha) + 99)


@given(reserves, reserves)
def test_ch5_equal_weights_are_the_ratio_of_the_reserves(tao: int, alpha: int) -> None:
    assert price_rao(BALANCER, tao, alpha, None, WEIGHT_DEFAULT) == rao(cut(Fraction(tao, alpha), 64), 64)


def test_ch5_the_hand_over_to_the_balancer_keeps_the_price_to_its_old_precision() -> None:
    """At 423 the chain chooses w2 = y / (p x + y): the same price, now with 64 instead of 32 fractional bits."""
    tao, alpha, root = 21_345_678_901_234, 987_654_321_098_765, int(0.15 * U64F64_ONE)
    price = Fraction(root, U64F64_ONE) ** 2
    weight = int(Fraction(tao) / (price * alpha + tao) * WEIGHT_WHOLE)
    before, after = (
        price_rao(SQRT_PRICE, tao, alpha, root, None),
        price_rao(BALANCER, tao, alpha, None, weight),
    )
    assert (before, after) == (22_499_999, 22_499_999)


@pytest.mark.parametrize("pricing", [RESERVES, SQRT_PRICE, BALANCER])
def test_ch5_a_pool_without_alpha_has_no_price_and_not_a_price_of_zero(pricing: PoolPricing) -> None:
    weight = WEIGHT_DEFAULT if pricing is BALANCER else None
    assert price_rao(pricing, 10**9, 0, None, weight) is None
    assert price_rao(pricing, 0, 10**9, None, weight) == 0


def test_ch5_a_root_of_zero_is_no_price_and_a_tiny_one_is_below_a_rao() -> None:
    assert price_rao(SQRT_PRICE, 1, 1, 0, None) is None
    assert price_rao(SQRT_PRICE, 1, 1, 1, None) == 0


def test_ch5_weights_are_read_as_eight_bytes_and_a_half_where_none_is_stored() -> None:
    assert decode_balancer(None) == 5 * 10**17
    assert (
        decode_balancer("0x" + (123_456_789_012_345_678).to_bytes(8, "little").hex())
        == 123_456_789_012_345_678
    )


@pytest.mark.parametrize(
    "raw",
    [
        "0x",
        "0x01",
        "0x" + "00" * 8,
        "0x" + "00" * 9,
        "0x" + (10**18).to_bytes(8, "little").hex(),
        "0x" + "ff" * 8,
    ],
)
def test_ch5_what_is_no_weight_is_refused_by_its_storage_name(raw: str) -> None:
    with pytest.raises(NoWeight, match=r"Swap\.SwapBalancer holds 0x"):
        decode_balancer(raw)


def test_ch5_a_balancer_price_without_its_weight_is_refused() -> None:
    with pytest.raises(NoWeight, match="quote weight"):
        price_rao(BALANCER, 1, 1, None, None)


def number(value: int, width: int = 8) -> str:
    return "0x" + value.to_bytes(width, "little").hex()


def state_of(values: Mapping[str, str | None]) -> State:
    state = State(5, "0xaa")
    asked = {keys.SYSTEM_NUMBER: number(5, 4), **values}
    state.take_in(("state_queryStorageAt", [list(asked), "0xaa"]), [{"changes": list(asked.items())}])
    return state


def test_ch5_each_runtime_reads_its_own_keys() -> None:
    tao, alpha = keys.by_netuid("SubnetTAO", 7), keys.by_netuid("SubnetAlphaIn", 7)
    root, weight = (keys.by_netuid_twox("Swap", item, 7) for item in ("AlphaSqrtPrice", "SwapBalancer"))
    assert price_keys(RESERVES, 7) == [tao, alpha]
    assert price_keys(SQRT_PRICE, 7) == [tao, alpha, root]
    assert price_keys(BALANCER, 7) == [tao, alpha, weight]
    state = state_of(
        {tao: number(3), alpha: number(4), root: number(U64F64_ONE, 16), weight: number(6 * 10**17)}
    )
    assert read_price(state, RESERVES, 7) == PriceFact(7, 3, 4, None, "RESERVES", None)
    assert read_price(state, SQRT_PRICE, 7) == PriceFact(7, 3, 4, U64F64_ONE, "SQRT_PRICE", None)
    assert read_price(state, BALANCER, 7) == PriceFact(7, 3, 4, None, "BALANCER", 6 * 10**17)
    bare = state_of({tao: None, alpha: None, root: None, weight: None})
    assert read_price(bare, SQRT_PRICE, 7) == PriceFact(7, 0, 0, None, "SQRT_PRICE", None)
    assert read_price(bare, BALANCER, 7) == PriceFact(7, 0, 0, None, "BALANCER", 5 * 10**17)


# --- stored ---------------------------------------------------------------------------------------------


def store(block: int, pricing: str, *, root: int | None = None, weight: int | None = None) -> PoolPrice:
    return PoolPrice.objects.create(
        block_id=block,
        netuid=2,
        tao_reserve_rao=2_000,
        alpha_reserve_rao=10_000,
        sqrt_price=root,
        pricing=pricing,
        quote_weight=weight,
    )


@pytest.mark.django_db
def test_ch5_the_spot_price_follows_the_rules_of_the_block_it_is_of() -> None:
    make_blocks(1, 4)
    store(1, "RESERVES")
    store(2, "SQRT_PRICE", root=U64F64_ONE // 2)
    store(3, "SQRT_PRICE")
    store(4, "BALANCER", weight=4 * 10**17)
    assert [spot_price_rao(2, block) for block in range(5)] == [
        None,
        199_999_999,
        250_000_000,
        199_999_999,
        299_999_999,
    ]
    assert spot_prices_rao([0, 2, 3]) == {0: 10**9, 2: 299_999_999}


INSERT = (
    "INSERT INTO chain_poolprice (block_id, netuid, tao_reserve_rao, alpha_reserve_rao, pricing, sqrt_price, quote_weight) "
    "VALUES (1, 2, %s, %s, %s, %s, %s)"
)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        ((-1, 1, "RESERVES", None, None), "pool_price_reserves_not_negative"),
        ((1, -1, "RESERVES", None, None), "pool_price_reserves_not_negative"),
        ((1, 1, "RESERVES", 1, None), "pool_price_columns_fit_pricing"),
        ((1, 1, "RESERVES", None, 1), "pool_price_columns_fit_pricing"),
        ((1, 1, "SQRT_PRICE", None, 1), "pool_price_columns_fit_pricing"),
        ((1, 1, "SQRT_PRICE", -1, None), "pool_price_columns_fit_pricing"),
        ((1, 1, "BALANCER", None, None), "pool_price_columns_fit_pricing"),
        ((1, 1, "BALANCER", 1, 5 * 10**17), "pool_price_columns_fit_pricing"),
        ((1, 1, "BALANCER", None, 0), "pool_price_columns_fit_pricing"),
        ((1, 1, "BALANCER", None, 10**18), "pool_price_columns_fit_pricing"),
        ((1, 1, "GUESS", None, None), "pool_price_columns_fit_pricing"),
    ],
)
def test_ch5_columns_that_do_not_belong_to_the_pricing_are_refused(
    row: tuple[Any, ...], constraint: str
) -> None:
    make_blocks(1, 1)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INSERT, row)
    assert not PoolPrice.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    ["UPDATE chain_poolprice SET netuid = 3", "DELETE FROM chain_poolprice", "TRUNCATE chain_poolprice"],
)
def test_ch5_a_stored_pool_price_stays(change: str) -> None:
    make_blocks(1, 1)
    store(1, "RESERVES")
    connection.check_constraints()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)
    assert PoolPrice.objects.get().netuid == 2
