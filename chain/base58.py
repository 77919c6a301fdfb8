"""Base58 as Bitcoin, Substrate and Solana write bytes. Pure.

Every run of bytes has exactly one spelling: each leading zero byte is one leading ``1``.
"""

from __future__ import annotations

import unicodedata

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {letter: digit for digit, letter in enumerate(ALPHABET)}
_LOOK_ALIKES = {"0": "zero", "O": "capital o", "I": "capital i", "l": "small L"}


class NotBase58(ValueError):
    """The text has a letter that base58 does not use. The message names it and where it stands."""


def encode(raw: bytes) -> str:
    """Write bytes as base58 text."""
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def decode(text: str) -> bytes:
    """Read base58 text as bytes; `encode` gives the text back.

    :raises NotBase58: for any other letter, white space included.
    """
    number = 0
    for position, letter in enumerate(text, 1):
        digit = _DIGITS.get(letter)
        if digit is None:
            raise NotBase58(f"has {_name(letter)} at position {position}, which no address contains")
        number = number * 58 + digit
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return b"\0" * (len(text) - len(text.lstrip("1"))) + raw


def _name(letter: str) -> str:
    """Name a letter so that it cannot be taken for the one it looks like."""
    if letter in _LOOK_ALIKES:
        return _LOOK_ALIKES[letter]
    if letter.isascii():
        return repr(letter)
    return f"{unicodedata.name(letter, 'a character without name').lower()} (U+{ord(letter):04X})"
