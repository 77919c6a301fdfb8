"""Storage keys of the chain's maps, built and taken apart by hand. Pure.

A key is twox128(pallet) ‖ twox128(item) ‖ hashed key parts; hashers per item as in the runtime's metadata.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache

import xxhash

from chain.addresses import ZERO_ADDRESS, decode_address, encode_address

# The pallets whose storage and events are read, and the netuid of root.
SUBTENSOR = "SubtensorModule"
SWAP = "Swap"
ROOT = 0


def _twox64(data: bytes, seed: int) -> bytes:
    return xxhash.xxh64(data, seed=seed).intdigest().to_bytes(8, "little")


@cache
def item_prefix(pallet: str, item: str) -> str:
    """Prefix of every key of one storage item, as 0x hex."""
    return "0x" + b"".join(_twox64(name.encode(), seed) for name in (pallet, item) for seed in (0, 1)).hex()


@cache
def netuid_part(netuid: int) -> str:
    """Identity-hashed netuid: two bytes, little endian."""
    return netuid.to_bytes(2, "little").hex()


@cache
def account_part(address: str) -> str:
    """Blake2_128Concat of an account id."""
    # The runtime itself uses the all-zero account as a default, so it can hold shares though nobody owns it.
    account = bytes(32) if address == ZERO_ADDRESS else decode_address(address)
    return (hashlib.blake2b(account, digest_size=16).digest() + account).hex()


@lru_cache(maxsize=1 << 14)
def by_netuid(item: str, netuid: int, pallet: str = SUBTENSOR) -> str:
    """Key of a map netuid → value with an Identity hasher."""
    return item_prefix(pallet, item) + netuid_part(netuid)


def by_netuid_twox(pallet: str, item: str, netuid: int) -> str:
    """Key of a map netuid → value with a Twox64Concat hasher, as the swap pallet uses."""
    data = netuid.to_bytes(2, "little")
    return item_prefix(pallet, item) + (_twox64(data, 0) + data).hex()


@lru_cache(maxsize=1 << 14)
def by_hotkey(item: str, hotkey: str) -> str:
    """Key of a map account → value."""
    return item_prefix(SUBTENSOR, item) + account_part(hotkey)


@lru_cache(maxsize=1 << 16)
def by_hotkey_netuid(item: str, hotkey: str, netuid: int) -> str:
    """Key of a double map (account, netuid) → value."""
    return by_hotkey(item, hotkey) + netuid_part(netuid)


def by_netuid_hotkey(item: str, netuid: int, hotkey: str) -> str:
    """Key of a double map (netuid, account) → value."""
    return by_netuid(item, netuid) + account_part(hotkey)


def share_key(hotkey: str, coldkey: str, netuid: int, item: str = "Alpha") -> str:
    """Key of `Alpha` or `AlphaV2`: the share number of a coldkey in the pool of (hotkey, netuid)."""
    return by_hotkey(item, hotkey) + account_part(coldkey) + netuid_part(netuid)


def share_key_parts(key: str) -> tuple[str, int]:
    """Read (coldkey, netuid) back from a key of `Alpha` or `AlphaV2`."""
    return encode_address(bytes.fromhex(key[-68:-4])), netuid_of(key)


def netuid_of(key: str) -> int:
    """Read the netuid that a key ends in."""
    return int.from_bytes(bytes.fromhex(key[-4:]), "little")


SYSTEM_EVENTS = item_prefix("System", "Events")
SYSTEM_EVENT_COUNT = item_prefix("System", "EventCount")
SYSTEM_NUMBER = item_prefix("System", "Number")
TIMESTAMP_NOW = item_prefix("Timestamp", "Now")
NETWORKS_ADDED = item_prefix(SUBTENSOR, "NetworksAdded")
OWNER_CUT = item_prefix(SUBTENSOR, "SubnetOwnerCut")
