"""Reads of the chain's facts that more than one place needs."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from chain.models import (
    Block,
    Conversion,
    Gap,
    Hotkey,
    Network,
    PoolPrice,
    Position,
    Remark,
    Runtime,
    StakeEvent,
    Yield,
)
from chain.reader import Holdings
from chain.units import RAO_PER_TAO, U64F64_ONE


def last_block() -> Block | None:
    """The newest ingested block."""
    return Block.objects.order_by("-number").first()


def positions_at(hotkey: str, netuid: int, block: int) -> list[tuple[str, int]]:
    """Holders of a pool in the state after `block`: (coldkey, raw share bits), sorted by coldkey."""
    rows = Position.objects.filter(hotkey=hotkey, netuid=netuid, blocks__contains=block)
    return sorted(rows.values_list("coldkey", "share"))


def holdings_at(block: int) -> Holdings:
    """Every holder of every pool of our hotkeys in the state after `block`."""
    holdings: Holdings = {}
    rows = Position.objects.filter(blocks__contains=block).values_list("hotkey", "netuid", "coldkey", "share")
    for hotkey, netuid, coldkey, share in rows:
        holdings.setdefault((hotkey, netuid), {})[coldkey] = share
    return holdings


def stored_runtimes() -> dict[int, str]:
    """Metadata (0x hex) of every runtime whose blocks are stored, by spec version."""
    rows = Runtime.objects.values_list("spec_version", "metadata")
    return {spec_version: "0x" + zlib.decompress(metadata).hex() for spec_version, metadata in rows}


def open_gaps(first: int, last: int) -> QuerySet[Gap]:
    """Unresolved gaps that touch blocks first..last, both included."""
    return Gap.objects.filter(resolved_at=None, blocks__overlap=(first, last + 1))


def spot_price_rao(netuid: int, block: int | None = None) -> int | None:
    """Price of one whole alpha in rao of TAO, floored, from the newest pool state at or before `block`.

    The square of the pool's square-root price; None where no pool state is known. Root TAO is worth itself.
    """
    if netuid == 0:
        return RAO_PER_TAO
    prices = PoolPrice.objects.filter(netuid=netuid)
    if block is not None:
        prices = prices.filter(block_id__lte=block)
    newest = prices.order_by("-block_id").first()
    return None if newest is None else (newest.sqrt_price**2 * RAO_PER_TAO) // U64F64_ONE**2


# Every fact by its natural key, so that two databases with the same facts dump the same bytes.
_FACTS: dict[str, tuple[QuerySet[Any], tuple[str, ...]]] = {
    "network": (Network.objects.all(), ("name", "genesis_hash", "ss58_prefix")),
    "hotkey": (Hotkey.objects.order_by("address"), ("address", "first_block")),
    "block": (
        Block.objects.order_by("number"),
        ("number", "hash", "parent_hash", "timestamp", "runtime_id", "runtime__metadata_sha256"),
    ),
    "yield": (
        Yield.objects.order_by("block_id", "netuid", "hotkey", "side"),
        tuple(f.attname for f in Yield._meta.concrete_fields if f.attname != "id"),
    ),
    "stake_event": (
        StakeEvent.objects.order_by("block_id", "event_index"),
        tuple(f.attname for f in StakeEvent._meta.concrete_fields if f.attname != "id"),
    ),
    "conversion": (
        Conversion.objects.order_by("block_id", "stake_event__event_index"),
        (
            "block_id",
            "stake_event__event_index",
            "hotkey",
            "owner",
            "netuid",
            "alpha_rao",
            "tao_rao",
            "fee_alpha_rao",
            "into_root",
        ),
    ),
    "price": (
        PoolPrice.objects.order_by("block_id", "netuid"),
        ("block_id", "netuid", "tao_reserve_rao", "alpha_reserve_rao", "sqrt_price"),
    ),
    "remark": (
        Remark.objects.order_by("block_id", "event_index"),
        ("block_id", "event_index", "extrinsic_index", "sender", "remark"),
    ),
    "position": (
        Position.objects.order_by("hotkey", "netuid", "coldkey", "blocks"),
        ("hotkey", "netuid", "coldkey", "blocks", "share"),
    ),
}


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview | bytes):
        return bytes(value).hex()
    if hasattr(value, "lower") and hasattr(value, "upper") and not isinstance(value, str):
        return [value.lower, value.upper]
    return value.isoformat() if hasattr(value, "isoformat") else value


def fact_lines() -> Iterator[str]:
    """Every fact as one line of canonical JSON, in a fixed order, without database ids or clock times."""
    for name, (rows, columns) in _FACTS.items():
        for row in rows.all().values_list(*columns).iterator():
            yield json.dumps([name, *map(_plain, row)], separators=(",", ":"))


def facts_sha256() -> str:
    """Hash of all facts; equal facts give an equal hash, however they were ingested."""
    digest = hashlib.sha256()
    for line in fact_lines():
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
