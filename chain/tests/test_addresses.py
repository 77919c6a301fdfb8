"""Exactly one spelling of each address is accepted (payout threat 11)."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface.utils.ss58 import ss58_encode

from chain.addresses import InvalidAddress, decode_address, encode_address

GOOD = "5FAkUfKD67ZdaRD7LwPadqVNcCa1Vq7ypJqCAxT932opQSMf"


@given(st.binary(min_size=32, max_size=32).filter(any))
def test_pa4_every_account_round_trips_and_equals_the_library(account: bytes) -> None:
    address = encode_address(account)
    assert address == ss58_encode(account, 42)
    assert decode_address(address) == account


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD + "\n", "line breaks"),
        (" " + GOOD, "spaces"),
        ("0x" + "11" * 32, "public key in hex"),
        ("0xZZZ", "public key in hex"),
        (GOOD[:-1], "too short"),
        (GOOD.lower(), "small L|checksum"),
        (GOOD.replace("5F", "5O", 1), "capital o"),
        (GOOD.replace("5F", "50", 1), "zero at position 2"),
        (GOOD.replace("5F", "5I", 1), "capital i"),
        ("", "has 0 characters"),
        (ss58_encode(b"\x11" * 32, 0), "another network|characters"),
        (ss58_encode(b"\x11" * 32, 2), "another network|characters"),
        (ss58_encode(b"\x11" * 32, 13116), "characters|another network"),
        ("F7Hs", "characters"),
        (encode_address(bytes(32)), "all-zero"),
    ],
)
def test_pa4_bad_spellings_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidAddress, match=reason):
        decode_address(text)


def test_pa4_every_single_edit_and_transposition_is_refused() -> None:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    edited = {GOOD[:i] + c + GOOD[i + 1 :] for i in range(len(GOOD)) for c in alphabet}
    swapped = {GOOD[:i] + GOOD[i + 1] + GOOD[i] + GOOD[i + 2 :] for i in range(len(GOOD) - 1)}
    for text in (edited | swapped) - {GOOD}:
        with pytest.raises(InvalidAddress):
            decode_address(text)


def test_pa4_only_whole_accounts_are_encoded() -> None:
    with pytest.raises(InvalidAddress):
        encode_address(os.urandom(31))
