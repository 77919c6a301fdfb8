"""Addresses of Bittensor (SS58) and Solana, read strictly. Pure.

A library's decoder accepts hex text, trailing newlines and account indices; money needs exactly one spelling of
each address, so the text must be what encoding its own 32 bytes gives back.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from chain import base58

BITTENSOR_PREFIX = 42
# Reading base58 takes time that grows with the square of the length.
_LENGTH_MAX = 200


class InvalidAddress(ValueError):
    """The text is not an address of this network. The message says why; a retry with the same text cannot help."""


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2b(b"SS58PRE" + payload, digest_size=64).digest()[:2]


@lru_cache(maxsize=1 << 16)
def encode_address(public_key: bytes, prefix: int = BITTENSOR_PREFIX) -> str:
    """Write a 32-byte account id as SS58 text (prefix below 64)."""
    if len(public_key) != 32 or not 0 <= prefix < 64:
        raise InvalidAddress("an address encodes 32 bytes with a one-byte prefix")
    payload = bytes([prefix]) + public_key
    return base58.encode(payload + _checksum(payload))


def decode_address(text: str, prefix: int = BITTENSOR_PREFIX) -> bytes:
    """Read SS58 text as its 32-byte account id.

    :raises InvalidAddress: for anything but the one canonical spelling of an account of this network.
    """
    if text != text.strip():
        raise InvalidAddress("has spaces or line breaks around it")
    if text.startswith("0x"):
        raise InvalidAddress("is a public key in hex; give the SS58 address, which starts with 5")
    raw = _decode(text)
    if not 46 <= len(text) <= 48:
        raise InvalidAddress(f"has {len(text)} characters; a Bittensor address has 48")
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


def decode_solana(text: str) -> bytes:
    """Read a Solana address, base58 of a 32-byte public key; addresses of programs' accounts are such, too.

    :raises InvalidAddress: for anything but the one spelling of 32 bytes, and for the all-zero key.
    """
    if text != text.strip():
        raise InvalidAddress("has spaces or line breaks around it")
    raw = _decode(text)
    if len(raw) != 32:
        hint = ": it looks like a Bittensor address" if len(raw) == 35 else ""
        raise InvalidAddress(f"holds {len(raw)} bytes; a Solana address holds 32{hint}")
    if not any(raw):
        raise InvalidAddress("is the all-zero account, which nobody owns")
    return raw


def _decode(text: str) -> bytes:
    if len(text) > _LENGTH_MAX:
        raise InvalidAddress(f"has {len(text)} characters; an address has at most 48")
    try:
        return base58.decode(text)
    except base58.NotBase58 as error:
        raise InvalidAddress(str(error)) from error


ZERO_ADDRESS = encode_address(bytes(32))
