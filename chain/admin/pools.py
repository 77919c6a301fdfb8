"""What alpha cost in its pools, block by block, and what the price was made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from chain.admin.base import DaysFilter, OfBlockAdmin, SubnetFilter, change_url, netuid_text
from chain.admin.cells import UNKNOWN, mono, number
from chain.admin.csv_lists import CHART_DAYS, STEP, CsvListAdmin
from chain.display import alpha_unit, amount_html
from chain.line_chart import LineChart, Point, draw_line
from chain.models import Block, PoolPrice, Pricing
from chain.pools.prices import WEIGHT_WHOLE
from chain.units import format_rao


@admin.register(PoolPrice)
class PoolPriceAdmin(CsvListAdmin, OfBlockAdmin):
    list_display = [
        "name",
        "show_time",
        "show_netuid",
        "show_price",
        "show_tao",
        "show_alpha",
        "show_pricing",
    ]
    list_filter = [SubnetFilter, ("pricing", ChoicesDropdownFilter), ("block__timestamp", DaysFilter)]
    search_help_text = "Block number"
    empty_title = "No pool prices yet"
    fieldsets = [
        (None, {"fields": ["show_block", "show_time", "show_netuid", "show_price", "show_pricing"]}),
        ("The pool after the block", {"fields": ["show_tao", "show_alpha", "show_root", "show_weight"]}),
    ]
    csv_columns = (
        "block",
        "time",
        "netuid",
        "price_rao",
        "price_tao",
        "tao_reserve_rao",
        "alpha_reserve_rao",
        "pricing",
        "sqrt_price",
        "quote_weight",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Without the labels of hotkeys, which pools have none of."""
        rows: QuerySet[Any] = super(OfBlockAdmin, self).get_queryset(request)
        return rows.select_related("block")

    def csv_row(self, row: PoolPrice) -> Sequence[object]:
        """A pool's state; what is not known is empty."""
        price = row.price_rao
        return (
            row.block_id,
            row.block.timestamp.isoformat(),
            row.netuid,
            "" if price is None else price,
            "" if price is None else format_rao(price).replace(",", ""),
            row.tao_reserve_rao,
            row.alpha_reserve_rao,
            row.pricing,
            "" if row.sqrt_price is None else row.sqrt_price,
            "" if row.quote_weight is None else row.quote_weight,
        )

    def above(self, request: HttpRequest) -> dict[str, Any]:
        """The price of one subnet: the one that is filtered by, else the one with the newest price."""
        text = request.GET.get("netuid", "").strip()
        rows = PoolPrice.objects.select_related("block").order_by("-block_id", "netuid")
        if text.isascii() and text.isdigit() and len(text) < 6:
            rows = rows.filter(netuid=int(text))
        newest = rows.first()
        if newest is None:
            return {}
        return {
            "chart": pool_chart(newest),
            "chart_title": f"One {alpha_unit(newest.netuid)} in TAO",
            "chart_note": f"Subnet {newest.netuid}, the last price in every {int(STEP / timedelta(hours=1))} hours; "
            "filter by subnet for another",
        }

    @display(description="Block")
    def name(self, row: PoolPrice) -> SafeString | str:
        return number(row.block_id)

    @display(description="One alpha")
    def show_price(self, row: PoolPrice) -> SafeString | str:
        return amount_html(row.price_rao)

    @display(description="TAO in pool")
    def show_tao(self, row: PoolPrice) -> SafeString | str:
        return amount_html(row.tao_reserve_rao)

    @display(description="Alpha in pool")
    def show_alpha(self, row: PoolPrice) -> SafeString | str:
        return amount_html(row.alpha_reserve_rao, alpha_unit(row.netuid))

    @display(description="Priced by")
    def show_pricing(self, row: PoolPrice) -> str:
        return Pricing(row.pricing).label

    @display(description="Square-root price, raw bits")
    def show_root(self, row: PoolPrice) -> SafeString | str:
        return mono("" if row.sqrt_price is None else str(row.sqrt_price))

    @display(description="Weight of TAO")
    def show_weight(self, row: PoolPrice) -> SafeString | str:
        if row.quote_weight is None:
            return UNKNOWN
        return mono(f"{Decimal(row.quote_weight) / WEIGHT_WHOLE:.18f}")

    def heading(self, obj: PoolPrice) -> str:
        return f"Pool of subnet {netuid_text(obj.netuid)} after block {obj.block_id:,}"

    def links(self, obj: PoolPrice) -> list[tuple[str, str]]:
        return [(change_url(Block, obj.block_id), f"All of block {obj.block_id:,}")]


def pool_chart(newest: PoolPrice) -> LineChart | None:
    """The last price in each step of the days up to a price."""
    end = newest.block.timestamp
    steps = CHART_DAYS * int(timedelta(days=1) / STEP)
    rows = PoolPrice.objects.filter(
        netuid=newest.netuid, block__timestamp__gt=end - STEP * steps, block_id__lte=newest.block_id
    )
    last: dict[int, PoolPrice] = {}
    for row in rows.select_related("block").order_by("block_id"):
        last[steps - 1 - int((end - row.block.timestamp) / STEP)] = row
    points = []
    for step in range(min(last), steps):
        moment = end - STEP * (steps - 1 - step)
        price = last[step].price_rao if step in last else None
        points.append(
            Point(
                f"{moment:%m-%d}",
                f"{moment:%Y-%m-%d %H:%M} UTC: "
                + ("no price was needed" if price is None else f"{format_rao(price)} TAO"),
                price,
            )
        )
    return draw_line(points, lambda rao: format_rao(rao).rstrip("0").rstrip("."))
