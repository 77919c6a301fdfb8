"""PA2: tiers by volume and the monthly cap, against a reference that pays rao by rao."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.rates import InvalidTiers, check_tiers, split_by_cap, split_by_rate, steps_of

borders = st.lists(st.integers(1, 60), unique=True, max_size=4).map(sorted)
rates = st.integers(0, 10_000)


@st.composite
def terms(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    return draw(rates), [(border, draw(rates)) for border in draw(borders)]


def paid_on(rao: int, rate_bps: int, tiers: list[tuple[int, int]]) -> int:
    """The rate of one rao of volume, the first being number 0."""
    return next((rate for border, rate in reversed(tiers) if rao >= border), rate_bps)


@given(terms(), st.integers(0, 80), st.integers(0, 80))
def test_pa2_tiers_pay_each_rao_at_the_rate_of_its_place_in_the_month(
    agreed: tuple[int, list[tuple[int, int]]], before: int, base: int
) -> None:
    rate, tiers = agreed
    steps = steps_of(rate, tiers)
    if not steps:
        assert not tiers
        return
    found = split_by_rate(before, base, steps)
    assert sum(part for _, part in found) == base
    assert all(part > 0 for _, part in found)
    one_by_one = [paid_on(number, rate, tiers) for number in range(before + base)]
    expected: list[tuple[int, int]] = []
    for one in one_by_one[before:]:
        if expected and expected[-1][0] == one:
            expected[-1] = one, expected[-1][1] + 1
        else:
            expected.append((one, 1))
    assert _merged(found) == expected


def _merged(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for rate, part in found:
        if merged and merged[-1][0] == rate:
            merged[-1] = rate, merged[-1][1] + part
        else:
            merged.append((rate, part))
    return merged


@given(st.integers(0, 90_000), rates, st.integers(0, 80), st.none() | st.integers(0, 9))
def test_pa2_a_cap_pays_rao_by_rao_until_the_next_would_lead_beyond(
    paid: int, rate: int, base: int, cap: int | None
) -> None:
    found = split_by_cap(paid, rate, base, cap)
    assert sum(part for _, part in found) == base
    assert all(part > 0 for _, part in found)
    expected = []
    for _ in range(base):
        fits = cap is None or paid + rate <= cap * 10_000
        expected.append(rate if fits else 0)
        paid += expected[-1]
    assert [at for at, part in found for _ in range(part)] == expected


@given(st.lists(st.tuples(rates, st.integers(0, 30), st.none() | st.integers(0, 40)), max_size=8))
def test_pa2_no_terms_of_a_month_lead_beyond_their_own_cap(terms: list[tuple[int, int, int | None]]) -> None:
    """Terms change as they like; what is paid by some with a cap ends at or below it, or does not move."""
    paid = 0
    for rate, base, cap in terms:
        before = paid
        paid += sum(part * at for at, part in split_by_cap(before, rate, base, cap))
        assert cap is None or paid <= max(before, cap * 10_000)


def test_pa2_one_rate_for_everything_has_no_steps() -> None:
    assert steps_of(3300) == ()
    assert steps_of(3300, [(100, 4000)]) == ((0, 3300), (100, 4000))


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([(0, 100)], "tier 1 does not begin above nothing"),
        ([(5, 100), (5, 200)], "tier 2 does not begin above the one before"),
        ([(5, 10_001)], "tier 1 has a rate of 10001 basis points; 0 to 10000 is possible"),
        ([(number, 1) for number in range(1, 12)], "there are 11 tiers; 10 is the most"),
    ],
)
def test_pa2_tiers_that_are_none_are_refused(tiers: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(InvalidTiers, match=said):
        check_tiers(tiers)


@pytest.mark.parametrize(("before", "base", "steps"), [(-1, 1, ((0, 1),)), (1, -1, ((0, 1),)), (1, 1, ())])
def test_pa2_amounts_that_cannot_be_are_refused(
    before: int, base: int, steps: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(ValueError, match="cannot be split"):
        split_by_rate(before, base, steps)


def test_pa2_a_cap_refuses_amounts_that_cannot_be() -> None:
    for paid, base in ((-1, 1), (1, -1)):
        with pytest.raises(ValueError, match="cannot be capped"):
            split_by_cap(paid, 5_000, base, 10)
