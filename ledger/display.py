"""How take and rates look on every page of the ledger."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html

from chain.display import alpha_unit, amount_html
from chain.models import Asset
from chain.units import format_bps


def take_html(rao: int, asset: str, netuid: int) -> Any:
    """Show take in what it was earned in."""
    return amount_html(rao, alpha_unit(netuid) if asset == Asset.ALPHA else asset)


def rate_html(rate_bps: int) -> Any:
    """Show a rate in percent, the exact basis points on hover."""
    return format_html('<span title="{} bps">{}</span>', rate_bps, format_bps(rate_bps))
