"""Amounts are written and read without losing a rao."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.units import format_bps, format_rao, parse_tao


@given(st.integers(-(10**18), 10**18))
def test_ui_amounts_round_trip_through_text(rao: int) -> None:
    assert parse_tao(format_rao(rao)) == rao


def test_ui_amounts_show_nine_decimals() -> None:
    assert format_rao(1_234_567_000_000_001) == "1,234,567.000000001"
    assert format_rao(-1) == "-0.000000001"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2345678901",
        "1e9",
        "NaN",
        "0,5",
        "1,5",
        "1,00",
        "1,0000",
        ",5",
        "1.",
        ".5",
        "1.2.3",
        "--1",
        "\u0661",
    ],
)
def test_ui_amounts_that_are_not_exact_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        parse_tao(text)


def test_ui_rates_are_shown_without_rounding() -> None:
    assert [format_bps(bps) for bps in (0, 1, 3300, 3350, 10_000)] == [
        "0 %",
        "0.01 %",
        "33 %",
        "33.5 %",
        "100 %",
    ]
