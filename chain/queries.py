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
    FollowedHotkey,
    Gap,
    Hotkey,
    Network,
    PoolPrice,
    Position,
    Remark,
    Runtime,
    StakeEvent,
    StakerReward,
    Tag,
    Yield,
)
from chain.pools.holdings import Holdings
from chain.pools.shares import NO_SHARE, Pool, Share, add_shares, open_pool, weights, worth_of
from chain.runtimes.eras import era_of
from chain.stake.hotkeys import Following
from chain.units import RAO_PER_TAO


def last_block() -> Block | None:
    """The newest ingested block."""
    return Block.objects.order_by("-number").first()


def holdings_at(block: int) -> Holdings:
    """Every holder of every pool of our hotkeys in the state after `block`."""
    holdings: Holdings = {}
    rows = Position.objects.filter(blocks__contains=block)
    for hotkey, netuid, coldkey, bits, exponent in rows.values_list(
        "hotkey", "netuid", "coldkey", "share", "share_exponent"
    ):
        holdings.setdefault((hotkey, netuid), {})[coldkey] = Share(bits, exponent)
    return holdings


def named_hotkeys() -> QuerySet[Hotkey]:
    """The hotkeys that staff asked to follow, without those a swap brought."""
    return Hotkey.objects.filter(swapped_from=None)


def followed_after(block: int) -> list[Following]:
    """Our hotkeys and the subnets they are ours on, in the state after `block`."""
    rows = FollowedHotkey.objects.filter(blocks__contains=block).order_by("hotkey__address", "netuid")
    return [Following(*row) for row in rows.values_list("hotkey__address", "netuid", "abandoned_by")]


def stored_runtimes() -> dict[int, str]:
    """Metadata (0x hex) of every runtime whose blocks are stored, by spec version."""
    rows = Runtime.objects.values_list("spec_version", "metadata")
    return {spec_version: "0x" + zlib.decompress(metadata).hex() for spec_version, metadata in rows}


def open_gaps(first: int, last: int) -> QuerySet[Gap]:
    """Open gaps that touch blocks first..last, both included."""
    return Gap.objects.filter(state=Gap.State.OPEN, blocks__overlap=(first, last + 1))


def spot_price_rao(netuid: int, block: int | None = None) -> int | None:
    """Price of one whole alpha in rao of TAO, as the chain has it, from the newest pool state at or before `block`.

    None where no pool state is known or the pool has no price. Root TAO is worth itself.
    """
    if netuid == 0:
        return RAO_PER_TAO
    prices = PoolPrice.objects.filter(netuid=netuid)
    if block is not None:
        prices = prices.filter(block_id__lte=block)
    newest = prices.order_by("-block_id").first()
    return None if newest is None else newest.price_rao


def spot_prices_rao(netuids: Iterable[int]) -> dict[int, int]:
    """The newest price as `spot_price_rao` gives it, of many subnets in one query; unknown ones are left out."""
    wanted = set(netuids)
    newest = PoolPrice.objects.raw(
        """
        SELECT newest.* FROM unnest(%s::int[]) AS wanted (netuid)
        CROSS JOIN LATERAL (
            SELECT * FROM chain_poolprice WHERE netuid = wanted.netuid ORDER BY block_id DESC LIMIT 1
        ) AS newest
        """,
        [sorted(wanted - {0})],
    )
    found = {row.netuid: price for row in newest if (price := row.price_rao) is not None}
    return found | ({0: RAO_PER_TAO} if 0 in wanted else {})


@dataclass(frozen=True, slots=True)
class PoolWorth:
    """What shares of a pool are worth since its newest epoch, in block `block`; no later stake event changes that."""

    block: int
    pool: Pool

    def of(self, share: Share) -> int:
        """Worth of a share in rao of the pool's token, computed as the chain does."""
        return worth_of(self.pool, share)


# Two halves, because a subnet's pool is found by (hotkey, netuid) in the index and root's only by its newest epoch.
_NEWEST_EPOCHS = """
SELECT pool.hotkey, pool.netuid, y.side, y.asset, y.block_id, y.pool_before_rao, y.share_total,
       y.share_total_exponent, block.runtime_id, y.dividend_rao, y.take_rao, y.other_rao
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
  ON y.block_id = newest.block_id AND y.hotkey = pool.hotkey AND pool.netuid IN (y.pool_netuid, y.netuid)
JOIN chain_block block ON block.number = y.block_id
ORDER BY pool.hotkey, pool.netuid, y.side, y.id
"""


def pool_worths(pools: Iterable[tuple[str, int]]) -> dict[tuple[str, int], PoolWorth]:
    """What shares are worth now in each (hotkey, netuid) pool; a pool without an epoch yet is unknown and left out."""
    wanted = sorted(set(pools))
    found: dict[tuple[str, int], PoolWorth] = {}
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST_EPOCHS, [[hotkey for hotkey, _ in wanted], [netuid for _, netuid in wanted]])
        for hotkey, netuid, side, asset, block, value, bits, exponent, spec, dividend, take, other in cursor:
            key = (hotkey, netuid)
            if key not in found and (side == "ALPHA") == (netuid != 0):
                era = era_of(spec)
                safe = exponent is not None or bool(era and era.safe_float_shares)
                found[key] = PoolWorth(
                    block, open_pool(int(value), Share(int(bits), exponent), {}, safe=safe)
                )
            if key not in found or (netuid == 0 and asset == "ALPHA"):
                # Claimable alpha leaves the root pool as it was.
                continue
            # An epoch first mints what the owner earned, then raises the value of all; since 334 it then mints the take
            # on root dividends in the subnet's pool (chain.earnings.yields).
            pool = found[key].pool
            pool.add("", take + other)
            if side == "ALPHA" or netuid == 0:
                pool.add_for_all(dividend)
    return found


@dataclass(frozen=True, slots=True)
class PoolNow:
    """A pool as it stands: its holders, the sum of their shares, what a share is worth where known."""

    hotkey: str
    netuid: int
    holders: int
    shares: Share
    worth: PoolWorth | None

    @property
    def stake_rao(self) -> int | None:
        """All stake in the pool; None where no epoch has shown yet what a share is worth."""
        return self.worth.of(self.shares) if self.worth else None

    def parts_per_million(self, share: Share) -> int:
        """Which part of the pool a share is."""
        scaled = weights({"share": share, "pool": self.shares})
        return scaled["share"] * 1_000_000 // scaled["pool"]


def pools_now(hotkeys: Iterable[str]) -> list[PoolNow]:
    """Every pool with holders of these hotkeys, by hotkey and netuid. Two queries."""
    # Per format and exponent, of which a pool has a handful, so that no holder is fetched.
    rows = (
        Position.objects.filter(hotkey__in=list(hotkeys), blocks__upper_inf=True)
        .values_list("hotkey", "netuid", "share_exponent")
        .annotate(holders=Count("id"), shares=Sum("share"))
        .order_by("hotkey", "netuid", "share_exponent")
    )
    held: dict[tuple[str, int], tuple[int, Share]] = {}
    for hotkey, netuid, exponent, holders, bits in rows:
        count, total = held.get((hotkey, netuid), (0, NO_SHARE))
        held[hotkey, netuid] = (count + holders, add_shares(total, Share(int(bits), exponent)))
    worths = pool_worths(held)
    return [PoolNow(*pool, count, total, worths.get(pool)) for pool, (count, total) in held.items()]


# Ids of this database, and where an import found what; the epoch stands with its rewards.
_NOT_FACTS = {"id", "import_run_id", "import_row", "epoch"}
# Every fact by its natural key, so that two databases with the same facts dump the same bytes.
_FACTS: dict[str, tuple[QuerySet[Any], tuple[str, ...]]] = {
    "network": (Network.objects.all(), ("name", "genesis_hash", "ss58_prefix")),
    "hotkey": (Hotkey.objects.order_by("address"), ("address", "first_block")),
    "block": (
        Block.objects.order_by("number"),
        # The provider is left out: the same facts may come from any node.
        (
            "number",
            "hash",
            "parent_hash",
            "timestamp",
            "runtime_id",
            "runtime__metadata_sha256",
            "payload_id",
        ),
    ),
    "yield": (
        Yield.objects.order_by("block_id", "netuid", "hotkey", "side"),
        tuple(f.attname for f in Yield._meta.concrete_fields if f.attname not in _NOT_FACTS),
    ),
    "staker_reward": (
        StakerReward.objects.order_by("source__epoch", "source__hotkey", "source__side", "coldkey"),
        ("source__epoch", "source__hotkey", "source__side", "coldkey", "amount_rao", "dividend_rao"),
    ),
    "stake_event": (
        StakeEvent.objects.order_by("block_id", "event_index", "hotkey", "netuid", "coldkey", "added"),
        tuple(f.attname for f in StakeEvent._meta.concrete_fields if f.attname not in _NOT_FACTS),
    ),
    "conversion": (
        Conversion.objects.order_by("block_id", "stake_event__event_index", "hotkey", "netuid"),
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
        tuple(f.attname for f in PoolPrice._meta.concrete_fields if f.attname != "id"),
    ),
    "remark": (
        Remark.objects.order_by("block_id", "event_index"),
        ("block_id", "event_index", "extrinsic_index", "sender", "remark", "text_hash", "byte_count"),
    ),
    "tag": (
        Tag.objects.order_by("block_id", "remark__event_index", "stake_event__event_index"),
        (
            "block_id",
            "remark__event_index",
            "stake_event__event_index",
            "accepted",
            "reason",
            "via_delegate",
        ),
    ),
    "position": (
        Position.objects.order_by("hotkey", "netuid", "coldkey", "blocks"),
        ("hotkey", "netuid", "coldkey", "blocks", "share", "share_exponent"),
    ),
    "followed": (
        FollowedHotkey.objects.order_by("hotkey__address", "netuid", "blocks"),
        ("hotkey__address", "netuid", "blocks"),
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
