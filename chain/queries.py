"""Reads of the chain's facts that more than one place needs."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, QuerySet, Sum

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
from chain.shares import SharePool
from chain.units import RAO_PER_TAO, alpha_value_rao


def last_block() -> Block | None:
    """The newest ingested block."""
    return Block.objects.order_by("-number").first()


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
    return None if newest is None else alpha_value_rao(RAO_PER_TAO, newest.sqrt_price)


def spot_prices_rao(netuids: Iterable[int]) -> dict[int, int]:
    """The newest price as `spot_price_rao` gives it, of many subnets in one query; unknown ones are left out."""
    wanted = set(netuids)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted.netuid, newest.sqrt_price FROM unnest(%s::int[]) AS wanted (netuid)
            CROSS JOIN LATERAL (
                SELECT sqrt_price FROM chain_poolprice WHERE netuid = wanted.netuid ORDER BY block_id DESC LIMIT 1
            ) AS newest
            """,
            [sorted(wanted)],
        )
        found = {netuid: alpha_value_rao(RAO_PER_TAO, int(root)) for netuid, root in cursor.fetchall()}
    return found | ({0: RAO_PER_TAO} if 0 in wanted else {})


@dataclass(frozen=True, slots=True)
class PoolWorth:
    """What shares of a pool are worth since its newest epoch, in block `block`; no later stake event changes that."""

    block: int
    value: int
    denominator: int

    def of(self, share: int) -> int:
        """Worth of a share (raw bits) in rao of the pool's token, computed as the chain does."""
        return SharePool(self.value, self.denominator, {"": share}).stake_of("")


# Two halves, because a subnet's pool is found by (hotkey, netuid) in the index and root's only by its newest epoch.
_NEWEST_EPOCHS = """
SELECT y.hotkey, y.pool_netuid, y.block_id, y.pool_before_rao, y.share_total, y.dividend_rao, y.take_rao + y.other_rao
FROM unnest(%s::text[], %s::int[]) AS pool (hotkey, netuid)
CROSS JOIN LATERAL (
    (SELECT block_id FROM chain_yield
     WHERE hotkey = pool.hotkey AND netuid = pool.netuid AND side = 'ALPHA'
     ORDER BY block_id DESC LIMIT 1)
    UNION ALL
    (SELECT block_id FROM chain_yield
     WHERE pool.netuid = 0 AND hotkey = pool.hotkey AND pool_netuid = 0
     ORDER BY block_id DESC LIMIT 1)
) AS newest
JOIN chain_yield y
  ON y.block_id = newest.block_id AND y.hotkey = pool.hotkey AND y.pool_netuid = pool.netuid
ORDER BY y.hotkey, y.pool_netuid, y.id
"""


def pool_worths(pools: Iterable[tuple[str, int]]) -> dict[tuple[str, int], PoolWorth]:
    """What shares are worth now in each (hotkey, netuid) pool; a pool without an epoch yet is unknown and left out."""
    wanted = sorted(set(pools))
    found: dict[tuple[str, int], tuple[int, SharePool]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_EPOCHS, [[hotkey for hotkey, _ in wanted], [netuid for _, netuid in wanted]])
        for hotkey, netuid, block, value, denominator, dividend, minted in cursor.fetchall():
            # Each epoch first mints what the owner earned, then raises the value of all (chain.yields).
            _, pool = found.setdefault((hotkey, netuid), (block, SharePool(int(value), int(denominator))))
            pool.add("", minted)
            pool.add_for_all(dividend)
    return {key: PoolWorth(block, pool.value, pool.denominator) for key, (block, pool) in found.items()}


@dataclass(frozen=True, slots=True)
class PoolNow:
    """A pool as it stands: its holders, the sum of their shares (raw bits), what a share is worth where known."""

    hotkey: str
    netuid: int
    holders: int
    shares: int
    worth: PoolWorth | None

    @property
    def stake_rao(self) -> int | None:
        """All stake in the pool; None where no epoch has shown yet what a share is worth."""
        return self.worth.of(self.shares) if self.worth else None


def pools_now(hotkeys: Iterable[str]) -> list[PoolNow]:
    """Every pool with holders of these hotkeys, by hotkey and netuid. Two queries."""
    rows = list(
        Position.objects.filter(hotkey__in=list(hotkeys), blocks__upper_inf=True)
        .values_list("hotkey", "netuid")
        .annotate(holders=Count("id"), shares=Sum("share"))
        .order_by("hotkey", "netuid")
    )
    worths = pool_worths((hotkey, netuid) for hotkey, netuid, _, _ in rows)
    return [
        PoolNow(hotkey, netuid, holders, int(shares), worths.get((hotkey, netuid)))
        for hotkey, netuid, holders, shares in rows
    ]


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
