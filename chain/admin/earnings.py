"""Yields with every method that computes the take, and the conversions that sold it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
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
    link,
    netuid_text,
)
from chain.admin.cells import (
    UNKNOWN,
    agreement_html,
    destination,
    mono,
    number,
    proof_html,
    rate_html,
    take_text,
    yield_unit,
)
from chain.admin.prices import conversion_dollars_html, conversion_price_html, sources_table
from chain.admin.runtimes import runtime_html
from chain.display import address_html, alpha_unit, amount_html
from chain.models import (
    Block,
    Conversion,
    ImportRun,
    Side,
    StakeEvent,
    Yield,
)
from chain.tables import Column, Table

SIDE_COLOURS = {
    Side.ALPHA: "primary",
    Side.ROOT: "default",
    Side.REWARDS: "primary",
    Side.EXEC_FEES: "info",
    Side.MEV: "default",
}
REWARDS_SHOWN_MAX = 200


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
        ("proof", ChoicesDropdownFilter),
        "is_child",
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
                    "show_child",
                    "show_owner",
                    "show_take_rate",
                    "show_runtime",
                ]
            },
        ),
        ("Earned in this epoch", {"fields": ["show_dividend", "show_take", "show_other"]}),
        (
            "Method 1: growth of the pool",
            {"fields": ["show_pool_before", "show_growth", "show_take_by_growth"]},
        ),
        ("Method 2: inversion of the dividend", {"fields": ["show_take_low", "show_take_high"]}),
        ("Method 3: the pool replayed", {"fields": ["show_proof", "show_agreement"]}),
        ("The pool at the parent block", {"fields": ["show_pool", "show_share_total"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Yield | None = None) -> Any:
        """What a file gave has an epoch and an import instead of a pool and two methods."""
        if obj is None or not obj.is_imported:
            return self.fieldsets
        what = ["show_block", "show_time", "show_epoch", "show_side_text", "show_hotkey", "show_import"]
        return [
            (None, {"fields": what}),
            ("Earned in this epoch", {"fields": ["show_dividend", "show_take"]}),
        ]

    def get_fields_shown(self) -> list[str]:
        """Both forms of the page."""
        return [*super().get_fields_shown(), "show_epoch", "show_import"]

    @display(description="Epoch")
    def show_epoch(self, row: Yield) -> SafeString | str:
        return number(row.epoch)

    @display(description="Given by")
    def show_import(self, row: Yield) -> SafeString | str:
        return link((ImportRun, row.import_run_id), str(row.import_run)) if row.import_run else UNKNOWN

    @display(description="Block")
    def name(self, row: Yield) -> SafeString | str:
        return number(row.block_id)

    @display(description="Side", label=SIDE_COLOURS)
    def show_side(self, row: Yield) -> tuple[str, str]:
        return row.side, row.get_side_display()

    @display(description="Side")
    def show_side_text(self, row: Yield) -> str:
        return row.get_side_display()

    @display(description="Child key")
    def show_child(self, row: Yield) -> str:
        return {None: UNKNOWN, True: "Yes: others lent it their stake on this subnet", False: "No"}[
            row.is_child
        ]

    @display(description="Owner of the hotkey")
    def show_owner(self, row: Yield) -> SafeString | str:
        return address_html(row.owner)

    @display(description="Take rate")
    def show_take_rate(self, row: Yield) -> SafeString | str:
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

    @display(description="Of it the take")
    def show_take_by_growth(self, row: Yield) -> SafeString | str:
        return amount_html(row.take_rao, yield_unit(row))

    @display(description="Least take that gives the dividend")
    def show_take_low(self, row: Yield) -> SafeString | str:
        return amount_html(row.take_low_rao, yield_unit(row))

    @display(description="Most")
    def show_take_high(self, row: Yield) -> SafeString | str:
        return amount_html(row.take_high_rao, yield_unit(row))

    @display(description="Confirmed by")
    def show_proof(self, row: Yield) -> SafeString | str:
        return proof_html(row)

    @display(description="Runtime")
    def show_runtime(self, row: Yield) -> SafeString | str:
        return runtime_html(row.block.runtime_id)

    @display(description="Methods")
    def show_agreement(self, row: Yield) -> SafeString:
        return agreement_html(row)

    @display(description="Pool of")
    def show_pool(self, row: Yield) -> str:
        return f"subnet {netuid_text(row.pool_netuid)}"

    @display(description="All shares, raw bits")
    def show_share_total(self, row: Yield) -> SafeString | str:
        return mono(str(row.denominator))

    def block_number(self, obj: Yield) -> int | None:
        return obj.block_id

    def tables(self, obj: Yield) -> list[Table]:
        """Who earned it, where a file says so."""
        if not obj.is_imported:
            return []
        return [rewards_table(obj)]

    def heading(self, obj: Yield) -> str:
        if obj.is_imported:
            return obj.title
        return f"Yield of block {obj.block_id:,}, subnet {obj.netuid}, {obj.get_side_display().lower()}"

    def links(self, obj: Yield) -> list[tuple[str, str]]:
        return [(change_url(Block, obj.block_id), f"All of block {obj.block_id:,}")]


def rewards_table(source: Yield) -> Table:
    """Stakers of an imported yield, those who earned the most first."""
    rewards = source.staker_rewards.order_by("-amount_rao", "coldkey")
    count = rewards.count()
    return Table(
        "Stakers",
        (
            Column("Staker"),
            Column("Credited to them", right=True),
            Column("Take", right=True),
            Column("Row of the file", right=True),
        ),
        [
            (
                address_html(row.coldkey),
                amount_html(row.dividend_rao, source.asset),
                amount_html(row.amount_rao, source.asset),
                f"{row.import_row:,}",
            )
            for row in rewards[:REWARDS_SHOWN_MAX]
        ],
        note=f"The first {REWARDS_SHOWN_MAX} of {count:,}"
        if count > REWARDS_SHOWN_MAX
        else f"{count:,} stakers",
        empty="Nobody earned anything in this epoch.",
    )


@admin.register(Conversion)
class ConversionAdmin(OfBlockAdmin):
    list_display = [
        "name",
        "show_time",
        "show_netuid",
        "show_alpha",
        "show_tao",
        "show_rate",
        "show_dollars",
        "show_destination",
        "show_hotkey",
        "show_fee",
    ]
    list_filter = [HotkeyFilter, SubnetFilter, ("block__timestamp", DaysFilter)]
    list_select_related = ["block", "usd__price"]
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
        ("In dollars", {"fields": ["show_dollars", "show_dollar_price"]}),
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

    @display(description="Worth in dollars")
    def show_dollars(self, row: Conversion) -> SafeString | str:
        return conversion_dollars_html(row)

    @display(description="At")
    def show_dollar_price(self, row: Conversion) -> SafeString | str:
        return conversion_price_html(row)

    def tables(self, obj: Conversion) -> list[Table]:
        """What every source says about the moment of the sale."""
        usd = getattr(obj, "usd", None)
        return [sources_table(obj.block.timestamp, None if usd is None else usd.price_id)]

    @display(description="Into")
    def show_destination(self, row: Conversion) -> str:
        return destination(row)

    def heading(self, obj: Conversion) -> str:
        return f"Conversion in block {obj.block_id:,}, subnet {obj.netuid}"

    def links(self, obj: Conversion) -> list[tuple[str, str]]:
        return [*super().links(obj), (change_url(StakeEvent, obj.stake_event_id), "Its stake event")]
