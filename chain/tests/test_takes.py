"""The take behind a dividend, inverted exactly (CH3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.earnings.takes import (
    smallest_dividend_with_net,
    split_dividend,
    take_fraction,
    take_range,
    takes_adding_to,
)

TAKES = st.integers(0, 11_796)
DIVIDENDS = st.integers(0, 2**54 << 32)


def test_ch3_nine_and_eighteen_percent_are_what_the_chain_makes_of_them() -> None:
    assert take_fraction(5898) / 2**32 == pytest.approx(0.0899977, abs=1e-7)
    assert take_fraction(11_796) / 2**32 == pytest.approx(0.1799954, abs=1e-7)


def test_ch3_recorded_dividend_inverts_to_its_recorded_take() -> None:
    # Block 23 of the recorded play, a 9 % hotkey on root: 690,119,457 credited, 628,010,286 of it as dividend.
    low, high = take_range(628_010_286, 5898)
    assert low <= 62_109_171 <= high


@given(DIVIDENDS, TAKES)
def test_ch3_the_true_take_is_always_among_at_most_two_candidates(dividend_bits: int, take_u16: int) -> None:
    take, net = split_dividend(dividend_bits, take_u16)
    low, high = take_range(net, take_u16)
    assert low <= take <= high
    assert high - low <= 1


@given(st.integers(0, 2**50), TAKES)
def test_ch3_every_candidate_leaves_exactly_the_dividend(net: int, take_u16: int) -> None:
    low, high = take_range(net, take_u16)
    for take in range(low, high + 1):
        # Whoever earns take and net together earned at least their sum and less than two rao more.
        total = take + net
        splits = {split_dividend((total << 32) + extra, take_u16) for extra in range(0, 2 << 32, 1 << 29)}
        assert (take, net) in splits or low != high


@given(st.integers(1, 2**60), st.integers(0, 65_534))
def test_ch3_no_smaller_dividend_leaves_as_much(net: int, take_u16: int) -> None:
    dividend_bits = smallest_dividend_with_net(net, take_u16)
    assert split_dividend(dividend_bits, take_u16)[1] >= net > split_dividend(dividend_bits - 1, take_u16)[1]


def test_ch3_a_whole_take_cannot_be_inverted() -> None:
    with pytest.raises(ValueError, match="cannot invert"):
        take_range(0, 65_535)


def test_ch3_sums_of_takes_name_every_choice() -> None:
    assert takes_adding_to(11, [(5, 6), (5, 6)]) == [(5, 6), (6, 5)]
    assert takes_adding_to(13, [(5, 6), (5, 6)]) == []
