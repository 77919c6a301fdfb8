"""Yields with both methods of computing the take, and the conversions that sold it."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from chain.admin.base import (
    DaysFilter,
    HotkeyFilter,
    OfBlockAdmin,
    SubnetFilter,
    change_url,
    netuid_text,
)
from chain.admin.cells import (
    agreement_html,
    destination,
    mono,
    number,
    rate_html,
    take_range_html,
    take_text,
    yield_unit,
)
from chain.display import address_html, alpha_unit, amount_html
from chain.models import (
    Block,
    Conversion,
    Side,
    StakeEvent,
    Yield,
)

SIDE_COLOURS = {Side.ALPHA: "primary", Side.ROOT: "default"}


@admin.register(Yield)
class YieldAdmin(OfBlockAdmin):
    list_display = [
        "name",
        "show_time",
        "show_netuid",
        "show_side",
        "show_dividend",
        "show_take",
        "show_agreement",
        "show_hotkey",
    ]
    list_filter = [
        HotkeyFilter,
        SubnetFilter,
        ("side", ChoicesDropdownFilter),
        ("block__timestamp", DaysFilter),
    ]
    search_help_text = "Block number"
    empty_title = "No yields yet"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "show_block",
                    "show_time",
                    "show_netuid",
                    "show_side_text",
                    "show_hotkey",
                    "show_owner",
                    "show_take_rate",
                ]
            },
        ),
        ("Earned in this epoch", {"fields": ["show_dividend", "show_take", "show_other"]}),
        (
            "Method 1: growth of the pool",
            {"fields": ["show_pool_before", "show_growth", "show_take_by_growth"]},
        ),
        ("Method 2: inversion of the dividend", {"fields": ["show_take_range", "show_agreement"]}),
        ("The pool at the parent block", {"fields": ["show_pool", "show_share_total"]}),
    ]

    @display(description="Block")
    def name(self, row: Yield) -> SafeString | str:
        return number(row.block_id)

    @display(description="Side", label=SIDE_COLOURS)
    def show_side(self, row: Yield) -> tuple[str, str]:
        return row.side, row.get_side_display()

    @display(description="Side")
    def show_side_text(self, row: Yield) -> str:
        return row.get_side_display()

    @display(description="Owner of the hotkey")
    def show_owner(self, row: Yield) -> SafeString | str:
        return address_html(row.owner)

    @display(description="Take rate")
    def show_take_rate(self, row: Yield) -> SafeString:
        return take_text(row.take_u16)

    @display(description="Dividend")
    def show_dividend(self, row: Yield) -> SafeString | str:
        return amount_html(row.dividend_rao, yield_unit(row))

    @display(description="Take")
    def show_take(self, row: Yield) -> SafeString | str:
        return amount_html(row.take_rao, yield_unit(row))

    @display(description="Credited beside it")
    def show_other(self, row: Yield) -> SafeString | str:
        return format_html(
            '{} <span class="rb-muted">owner cut and mining incentive, not take</span>',
            amount_html(row.other_rao, yield_unit(row)),
        )

    @display(description="Pool before")
    def show_pool_before(self, row: Yield) -> SafeString | str:
        return amount_html(row.pool_before_rao, yield_unit(row))

    @display(description="This epoch credited")
    def show_growth(self, row: Yield) -> SafeString | str:
        return amount_html(row.dividend_rao + row.take_rao + row.other_rao, yield_unit(row))

    @display(description="Less dividend and what is beside it")
    def show_take_by_growth(self, row: Yield) -> SafeString | str:
        return amount_html(row.take_rao, yield_unit(row))

    @display(description="The dividend allows a take of")
    def show_take_range(self, row: Yield) -> SafeString | str:
        return take_range_html(row)

    @display(description="Methods")
    def show_agreement(self, row: Yield) -> SafeString:
        return agreement_html(row)

    @display(description="Pool of")
    def show_pool(self, row: Yield) -> str:
        return f"subnet {netuid_text(row.pool_netuid)}"

    @display(description="All shares, raw bits")
    def show_share_total(self, row: Yield) -> SafeString | str:
        return mono(str(row.share_total))

    def block_number(self, obj: Yield) -> int | None:
        return obj.block_id

    def heading(self, obj: Yield) -> str:
        return f"Yield of block {obj.block_id:,}, subnet {obj.netuid}, {obj.get_side_display().lower()}"

    def links(self, obj: Yield) -> list[tuple[str, str]]:
        return [(change_url(Block, obj.block_id), f"All of block {obj.block_id:,}")]


@admin.register(Conversion)
class ConversionAdmin(OfBlockAdmin):
    list_display = [
        "name",
        "show_time",
        "show_netuid",
        "show_alpha",
        "show_tao",
        "show_rate",
        "show_destination",
        "show_hotkey",
        "show_fee",
    ]
    list_filter = [HotkeyFilter, SubnetFilter, ("block__timestamp", DaysFilter)]
    search_help_text = "Block number"
    empty_title = "No conversions yet"
    empty_text: str = (
        "A conversion appears when the owner of one of your hotkeys sells earned alpha for TAO "
        "in a block that was ingested. Until then alpha take is shown as pending."
    )
    fieldsets = [
        (None, {"fields": ["show_block", "show_time", "show_netuid", "show_hotkey", "show_owner"]}),
        ("Sold", {"fields": ["show_alpha", "show_fee", "show_tao", "show_destination"]}),
        ("Rate", {"fields": ["show_rate", "show_exact_rate"]}),
    ]

    @display(description="Block")
    def name(self, row: Conversion) -> SafeString | str:
        return number(row.block_id)

    @display(description="Owner")
    def show_owner(self, row: Conversion) -> SafeString | str:
        return address_html(row.owner)

    @display(description="Alpha in")
    def show_alpha(self, row: Conversion) -> SafeString | str:
        return amount_html(row.alpha_rao, alpha_unit(row.netuid))

    @display(description="TAO out")
    def show_tao(self, row: Conversion) -> SafeString | str:
        return amount_html(row.tao_rao)

    @display(description="Fee, part of alpha in")
    def show_fee(self, row: Conversion) -> SafeString | str:
        return amount_html(row.fee_alpha_rao, alpha_unit(row.netuid))

    @display(description="Rate")
    def show_rate(self, row: Conversion) -> SafeString:
        return rate_html(row)

    @display(description="Exactly")
    def show_exact_rate(self, row: Conversion) -> SafeString | str:
        return mono(f"{row.tao_rao:,} rao / {row.alpha_rao:,} rao of alpha, cut after nine decimals above")

    @display(description="Into")
    def show_destination(self, row: Conversion) -> str:
        return destination(row)

    def heading(self, obj: Conversion) -> str:
        return f"Conversion in block {obj.block_id:,}, subnet {obj.netuid}"

    def links(self, obj: Conversion) -> list[tuple[str, str]]:
        return [*super().links(obj), (change_url(StakeEvent, obj.stake_event_id), "Its stake event")]
