"""PA2: tiers by volume and the monthly cap, against a reference that pays rao by rao."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.rates import InvalidTiers, check_tiers, split_by_rate, steps_of

borders = st.lists(st.integers(1, 60), unique=True, max_size=4).map(sorted)
rates = st.integers(0, 10_000)


@st.composite
def terms(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], int | None]:
    tiers = [(border, draw(rates)) for border in draw(borders)]
    return draw(rates), tiers, draw(st.none() | st.integers(0, 40))


def paid_on(rao: int, rate_bps: int, tiers: list[tuple[int, int]]) -> int:
    """The rate of one rao of volume, the first being number 0."""
    return next((rate for border, rate in reversed(tiers) if rao >= border), rate_bps)


@given(terms(), st.integers(0, 80), st.integers(0, 80))
def test_pa2_tiers_pay_each_rao_at_the_rate_of_its_place_in_the_month(
    agreed: tuple[int, list[tuple[int, int]], int | None], before: int, base: int
) -> None:
    rate, tiers, cap = agreed
    steps = steps_of(rate, tiers, cap)
    if not steps:
        assert (tiers, cap) == ([], None)
        return
    found = split_by_rate(before, base, steps)
    assert sum(part for _, part in found) == base
    assert all(part > 0 for _, part in found)
    one_by_one = [paid_on(number, rate, tiers) for number in range(before + base)]
    if cap is not None:
        # Rao are paid until the next one, whole, would lead beyond the cap.
        total, open_ = 0, True
        for number, one in enumerate(one_by_one):
            open_ = open_ and total + one <= cap * 10_000
            one_by_one[number] = one if open_ else 0
            total += one_by_one[number]
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


@given(terms(), st.lists(st.integers(0, 30), max_size=8))
def test_pa2_the_month_never_pays_more_than_its_cap_however_it_is_cut(
    agreed: tuple[int, list[tuple[int, int]], int | None], bases: list[int]
) -> None:
    rate, tiers, cap = agreed
    steps = steps_of(rate, tiers, cap)
    before = paid = 0
    for base in bases if steps else ():
        paid += sum(part * at // 10_000 for at, part in split_by_rate(before, base, steps))
        before += base
    assert cap is None or paid <= cap


def test_pa2_one_rate_for_everything_has_no_steps() -> None:
    assert steps_of(3300) == ()
    assert steps_of(3300, [(100, 4000)]) == ((0, 3300), (100, 4000))
    assert steps_of(5000, [], 100) == ((0, 5000), (200, 0))
    assert steps_of(5000, [(100, 2500)], 100) == ((0, 5000), (100, 2500), (300, 0))
    assert steps_of(0, [], 100) == ((0, 0),)
    assert steps_of(5000, [], 0) == ((0, 0),)


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
