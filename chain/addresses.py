"""SS58 addresses, read strictly. Pure.

A library's decoder accepts hex text, trailing newlines and account indices; money needs exactly one spelling of
each address, so the text must be what encoding its own 32 bytes gives back.
"""

from __future__ import annotations

import hashlib

BITTENSOR_PREFIX = 42
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LOOK_ALIKES = {"0": "zero", "O": "capital o", "I": "capital i", "l": "small L"}


class InvalidAddress(ValueError):
    """The text is not an address of this network. The message says why; a retry with the same text cannot help."""


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(b"SS58PRE" + payload, digest_size=64).digest()[:2]


def encode_address(public_key: bytes, prefix: int = BITTENSOR_PREFIX) -> str:
    """Write a 32-byte account id as SS58 text (prefix below 64)."""
    if len(public_key) != 32 or not 0 <= prefix < 64:
        raise InvalidAddress("an address encodes 32 bytes with a one-byte prefix")
    payload = bytes([prefix]) + public_key
    raw = payload + _checksum(payload)
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def decode_address(text: str, prefix: int = BITTENSOR_PREFIX) -> bytes:
    """Read SS58 text as its 32-byte account id.

    :raises InvalidAddress: for anything but the one canonical spelling of an account of this network.
    """
    if text != text.strip():
        raise InvalidAddress("has spaces or line breaks around it")
    if text.startswith("0x"):
        raise InvalidAddress("is a public key in hex; give the SS58 address, which starts with 5")
    for position, letter in enumerate(text, 1):
        if letter not in _ALPHABET:
            name = _LOOK_ALIKES.get(letter, repr(letter))
            raise InvalidAddress(f"has {name} at position {position}, which no address contains")
    if not 46 <= len(text) <= 48:
        raise InvalidAddress(f"has {len(text)} characters; a Bittensor address has 48")
    number = 0
    for letter in text:
        number = number * 58 + _ALPHABET.index(letter)
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    raw = b"\0" * (len(text) - len(text.lstrip("1"))) + raw
    if len(raw) < 35:
        raise InvalidAddress("is too short for an account")
    if raw[-2:] != _checksum(raw[:-2]):
        raise InvalidAddress("has a wrong checksum: a character is mistyped or missing")
    if raw[0] != prefix or len(raw) != 35:
        raise InvalidAddress("belongs to another network; a Bittensor address starts with 5")
    public_key = raw[1:33]
    if not any(public_key):
        raise InvalidAddress("is the all-zero account, which nobody owns")
    if encode_address(public_key, prefix) != text:
        raise InvalidAddress("is not spelled the standard way")
    return public_key


ZERO_ADDRESS = encode_address(bytes(32))
