"""Addresses of Bittensor (SS58) and Solana, read strictly. Pure.

A library's decoder accepts hex text, trailing newlines and account indices; money needs exactly one spelling of
each address, so the text must be what encoding its own 32 bytes gives back.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from chain import base58

BITTENSOR_PREFIX = 42
# Whose addresses are taken for ours now and then, by prefix (the SS58 registry).
NETWORKS = {
    0: "Polkadot",
    2: "Kusama",
    5: "Astar",
    6: "Bifrost",
    7: "Edgeware",
    8: "Karura",
    10: "Acala",
    12: "Polymesh",
    13: "Integritee",
    16: "Kulupu",
    18: "Darwinia",
    20: "StaFi",
    22: "Dock",
    30: "Phala",
    31: "Litentry",
    32: "Robonomics",
    36: "Centrifuge",
    37: "Nodle",
    38: "KILT",
    41: "Polimec",
    44: "ChainX",
    49: "Picasso",
    50: "Composable",
    54: "Cere",
    55: "xx network",
    56: "Pendulum",
    63: "Hydration",
    64: "Energy Web X",
    65: "Aventus",
    66: "Crust",
    69: "SORA",
}
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
        raise InvalidAddress(
            "looks like an Ethereum address; give the SS58 address, which starts with 5"
            if len(text) == 42
            else "is a public key in hex; give the SS58 address, which starts with 5"
        )
    raw = _decode(text)
    is_sound = len(raw) >= 35 and raw[-2:] == _checksum(raw[:-2])
    # A sound address of another network says so, whatever its length.
    if is_sound and (found := _prefix_of(raw)) not in {None, prefix}:
        known = NETWORKS.get(found or 0, f"SS58 prefix {found}")
        raise InvalidAddress(f"belongs to another network ({known}); a Bittensor address starts with 5")
    if not 46 <= len(text) <= 48:
        hint = ": it looks like a Solana address" if len(raw) == 32 else ""
        raise InvalidAddress(f"has {len(text)} characters; a Bittensor address has 48{hint}")
    if len(raw) < 35:
        raise InvalidAddress("is too short for an account")
    if not is_sound or len(raw) != 35:
        raise InvalidAddress("has a wrong checksum: a character is mistyped or missing")
    public_key = raw[1:33]
    if not any(public_key):
        raise InvalidAddress("is the all-zero account, which nobody owns")
    if encode_address(public_key, prefix) != text:
        raise InvalidAddress("is not spelled the standard way")
    return public_key


def _prefix_of(raw: bytes) -> int | None:
    """Read the prefix of a 32-byte account: one byte below 64, else two; None where it is no such account."""
    if len(raw) == 35 and raw[0] < 64:
        return raw[0]
    if len(raw) == 36 and 64 <= raw[0] < 128:
        return ((raw[0] & 0x3F) << 2) | (raw[1] >> 6) | ((raw[1] & 0x3F) << 8)
    return None


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
