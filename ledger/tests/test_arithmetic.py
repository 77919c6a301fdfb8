"""The pure money arithmetic against slow, obviously right oracles. No database."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.splitting import CannotSplit, split
from ledger.allocation import Lot, Sold, allocate
from ledger.attribution import RULESETS, digest
from ledger.commission import commission
from ledger.shares import Shares

RAO_MAX = 21_000_000 * 10**9
U128_MAX = 2**128 - 1
amounts = st.integers(0, RAO_MAX)
weights = st.lists(st.integers(0, U128_MAX) | st.integers(0, 3), min_size=1, max_size=40).map(
    lambda numbers: [(f"w{i:03d}", number) for i, number in enumerate(numbers)]
)


def oracle_split(total: int, holders: list[tuple[str, int]]) -> dict[str, int]:
    whole = sum(weight for _, weight in holders)
    exact = {name: Fraction(total) * weight / whole for name, weight in holders if weight}
    floors = {name: int(value) for name, value in exact.items()}
    largest = min(holders, key=lambda holder: (-holder[1], holder[0]))[0]
    floors[largest] += total - sum(floors.values())
    return floors


@settings(max_examples=200)
@given(amounts, weights)
def test_le1_split_equals_the_fraction_oracle_and_adds_up(total: int, holders: list[tuple[str, int]]) -> None:
    if not any(weight for _, weight in holders):
        holders = [*holders, ("last", 1)]
    shares = split(total, holders)
    assert dict(shares) == oracle_split(total, holders)
    assert sum(amount for _, amount in shares) == total
    assert [name for name, _ in shares] == [name for name, weight in holders if weight]


@settings(max_examples=100)
@given(amounts, weights, st.randoms())
def test_a4_split_does_not_depend_on_the_order_of_holders(
    total: int, holders: list[tuple[str, int]], random: object
) -> None:
    holders = [*holders, ("last", 1)]
    shuffled = list(holders)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dict(split(total, holders)) == dict(split(total, shuffled))
    assert digest(Shares.of(split(total, holders))) == digest(Shares.of(split(total, shuffled)))


def test_le1_remainder_goes_to_the_largest_and_among_equals_to_the_smallest_address() -> None:
    assert split(10, [("b", 1), ("a", 1), ("c", 1)]) == [("b", 3), ("a", 4), ("c", 3)]
    assert split(10, [("a", 1), ("b", 5), ("c", 1)]) == [("a", 1), ("b", 8), ("c", 1)]
    assert split(0, [("a", 1)]) == [("a", 0)]
    assert split(0, []) == []


def test_f20_three_rao_over_four_holders_stay_three() -> None:
    assert sum(amount for _, amount in split(3, [(name, 1) for name in "abcd"])) == 3


@pytest.mark.parametrize(
    ("total", "holders"),
    [(-1, [("a", 1)]), (1, []), (1, [("a", 0)]), (1, [("a", -1), ("b", 3)]), (1, [("a", 1), ("a", 1)])],
)
def test_le1_split_refuses_what_has_no_answer(total: int, holders: list[tuple[str, int]]) -> None:
    with pytest.raises(CannotSplit):
        split(total, holders)


@pytest.mark.parametrize("ruleset", RULESETS)
def test_le1_digest_tells_shares_apart(ruleset: int) -> None:
    def of(*pairs: tuple[str, int]) -> str:
        return digest(Shares.of(pairs), ruleset)

    one = of(("a", 1), ("b", 2))
    assert one == of(("b", 2), ("a", 1))
    assert len(one) == 64
    assert one != of(("a", 2), ("b", 1))
    assert one != of(("a", 1))
    assert of(("a", 11)) != of(("a1", 1))


def test_le1_digests_are_what_the_documentation_says() -> None:
    shares = Shares.of([("bob", 258), ("ann", 1)])
    names = hashlib.sha256(hashlib.sha256(b"ann").digest() + hashlib.sha256(b"bob").digest()).digest()
    amounts = b"\0\0\0\0\0\0\0\x01" + b"\0\0\0\0\0\0\x01\x02"
    assert digest(shares) == hashlib.sha256(names + amounts).hexdigest()
    assert digest(shares, 1) == hashlib.sha256(b"ann 1\nbob 258\n").hexdigest()


@settings(max_examples=200)
@given(st.lists(st.integers(0, 10**18), max_size=12), st.integers(1, 10**19), amounts)
def test_le4_allocation_is_exact_and_first_in_first_out(remaining: list[int], alpha: int, tao: int) -> None:
    lots = [Lot(i, number) for i, number in enumerate(remaining)]
    sold = allocate(lots, alpha, tao)
    taken = min(alpha, sum(remaining))
    assert sum(part.alpha_rao for part in sold) == taken
    assert sum(part.tao_rao for part in sold) == tao * taken // alpha
    by_lot = {part.yield_id: part for part in sold}
    full = [lot for lot in lots if lot.remaining_rao and lot.yield_id in by_lot][:-1]
    assert all(by_lot[lot.yield_id].alpha_rao == lot.remaining_rao for lot in full), (
        "an older lot was left over"
    )
    for part in sold:
        assert 0 < part.alpha_rao <= remaining[part.yield_id]
        exact = Fraction(tao * taken // alpha) * part.alpha_rao / taken
        assert int(exact) <= part.tao_rao <= int(exact) + len(sold)


def test_le4_all_take_sold_takes_all_proceeds_and_principal_takes_its_part() -> None:
    lots = [Lot(1, 100), Lot(2, 50)]
    assert allocate(lots, 120, 61) == [Sold(1, 100, 51), Sold(2, 20, 10)]
    assert allocate(lots, 300, 100) == [Sold(1, 100, 34), Sold(2, 50, 16)]
    assert allocate([], 300, 100) == []
    assert allocate([Lot(1, 0)], 300, 100) == []


@pytest.mark.parametrize(("lots", "alpha", "tao"), [([], 0, 1), ([], 1, -1), ([Lot(1, -1)], 1, 1)])
def test_le4_allocation_refuses_what_has_no_answer(lots: list[Lot], alpha: int, tao: int) -> None:
    with pytest.raises(ValueError):
        allocate(lots, alpha, tao)


def test_f21_every_rate_is_exact() -> None:
    for bps in range(10_001):
        base = 10_000 * (10**12 + 7)
        assert commission(base, bps) * 10_000 == base * bps
        assert commission(999_999_999, bps) == int(Fraction(999_999_999 * bps, 10_000))


@settings(max_examples=200)
@given(amounts, st.integers(0, 10_000))
def test_f27_commission_never_exceeds_its_base(base: int, bps: int) -> None:
    part = commission(base, bps)
    assert 0 <= part <= base
    assert part * 10_000 <= base * bps < (part + 1) * 10_000


@pytest.mark.parametrize(("base", "bps"), [(-1, 1), (1, -1), (1, 10_001)])
def test_f21_commission_refuses_impossible_numbers(base: int, bps: int) -> None:
    with pytest.raises(ValueError):
        commission(base, bps)
