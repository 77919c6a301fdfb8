"""Reads of chain facts that others use."""

from __future__ import annotations

from django.db.models import QuerySet

from chain.models import Block, Gap, PoolPrice, Position
from chain.units import RAO_PER_TAO


def positions_at(hotkey: str, netuid: int, block: int) -> list[tuple[str, int]]:
    """List (coldkey, raw share bits) of all holders of a pool in the state after `block`, sorted by coldkey."""
    rows = Position.objects.filter(hotkey=hotkey, netuid=netuid, blocks__contains=block)
    return sorted(rows.values_list("coldkey", "share"))


def last_block() -> Block | None:
    """Get the newest ingested block."""
    return Block.objects.order_by("-number").first()


def open_gaps(first: int, last: int) -> QuerySet[Gap]:
    """List gaps that touch blocks `first` to `last`, both included, and are not resolved."""
    return Gap.objects.filter(resolved_at__isnull=True, blocks__overlap=(first, last + 1))


def spot_price_rao(netuid: int, block: int | None = None) -> int | None:
    """Get the price of one whole alpha in rao of TAO, rounded down, as last known at `block`."""
    if netuid == 0:
        return RAO_PER_TAO
    prices = PoolPrice.objects.filter(netuid=netuid)
    if block is not None:
        prices = prices.filter(block_id__lte=block)
    row = prices.order_by("-block_id").first()
    return None if row is None else (row.sqrt_price * row.sqrt_price * RAO_PER_TAO) >> 128
