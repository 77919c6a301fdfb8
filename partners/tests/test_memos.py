"""Memos of rules against texts of remarks (PA3)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.memos import PATTERN_LENGTH_MAX, InvalidMemo, MemoMatch, matcher


@pytest.mark.parametrize(
    ("how", "memo", "text", "matches"),
    [
        ("EQUALS", "talisman", b"talisman", True),
        ("EQUALS", "talisman", b"Talisman", False),
        ("EQUALS", "talisman", b"talisman ", False),
        ("EQUALS", "tälisman", "tälisman".encode(), True),
        ("EQUALS", "talisman", b"talisman\xff", False),
        ("STARTS", "talisman:", b"talisman:v2", True),
        ("STARTS", "talisman:", b"x talisman:v2", False),
        ("CONTAINS", "lis", b"talisman", True),
        ("CONTAINS", "lis", b"tal.isman", False),
        ("REGEX", r"^talisman(:v\d+)?$", b"talisman:v12", True),
        ("REGEX", r"^talisman(:v\d+)?$", b"talisman:v", False),
        ("REGEX", "lis", b"\xfftalisman", True),
        ("REGEX", "(?i)^TALISMAN", b"talisman", True),
    ],
)
def test_pa3_a_memo_is_compared_byte_by_byte(how: str, memo: str, text: bytes, matches: bool) -> None:
    assert matcher(MemoMatch(how), memo)(text) is matches


@pytest.mark.parametrize(
    ("how", "memo", "said"),
    [
        ("EQUALS", "", "empty memo"),
        ("CONTAINS", "  ", "empty memo"),
        ("STARTS", "x" * (PATTERN_LENGTH_MAX + 1), "at most 200"),
        ("REGEX", "(talisman", "missing )"),
        ("REGEX", r"(a)\1", "RE2"),
        ("REGEX", "(?=a)b", "RE2"),
        ("REGEX", "a*", "empty text"),
        ("REGEX", "((a{90}){90}){90}", "RE2"),
    ],
)
def test_pa3_a_memo_that_matches_all_or_is_no_expression_is_refused(how: str, memo: str, said: str) -> None:
    with pytest.raises(InvalidMemo, match=re.escape(said)):
        matcher(MemoMatch(how), memo)


def test_pa3_an_expression_that_would_never_end_elsewhere_ends() -> None:
    """One that tries again and again would still be at it when the sun is out."""
    matches = matcher(MemoMatch.REGEX, r"^(a+)+(a|b|ab)*c$")
    assert not matches(b"a" * 100_000)
    assert matches(b"a" * 100_000 + b"c")


@given(st.text(min_size=1, max_size=40).filter(str.strip), st.binary(max_size=80))
def test_pa3_equal_is_within_starts_is_within_contains(memo: str, text: bytes) -> None:
    equals, starts, contains = (
        matcher(MemoMatch(how), memo)(text) for how in ("EQUALS", "STARTS", "CONTAINS")
    )
    assert equals <= starts <= contains
    assert all(matcher(MemoMatch(how), memo)(memo.encode()) for how in ("EQUALS", "STARTS", "CONTAINS"))
