"""Who holds what: stake events and positions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from chain.admin.base import (
    INGEST_FIRST,
    DaysFilter,
    FactAdmin,
    HotkeyFilter,
    OfBlockAdmin,
    SubnetFilter,
    block_link,
    change_url,
    hotkey_html,
    netuid_text,
    with_label,
)
from chain.admin.cells import (
    UNKNOWN,
    cause_text,
    kind_text,
    mono,
    number,
)
from chain.admin.tags import tag_html
from chain.display import address_html, alpha_unit, amount_html
from chain.models import (
    Conversion,
    ImportRun,
    Position,
    StakeEvent,
    StakeKind,
)
from chain.network import UNIT
from chain.queries import pools_now
from chain.stake.causes import Cause

KIND_COLOURS = {
    StakeKind.STAKE: "success",
    StakeKind.UNSTAKE: "warning",
    StakeKind.RESTAKE: "info",
    StakeKind.TRANSFER: "default",
}

# Found in the shares alone.
NO_EVENT = {Cause.DUST, Cause.MIGRATION, Cause.UNEXPLAINED}


@admin.register(StakeEvent)
class StakeEventAdmin(OfBlockAdmin):
    list_display = [
        "name",
        "show_time",
        "show_kind",
        "show_cause",
        "show_netuid",
        "show_alpha",
        "show_tao",
        "show_coldkey",
        "show_hotkey",
    ]
    list_filter = [
        ("kind", ChoicesDropdownFilter),
        ("cause", ChoicesDropdownFilter),
        SubnetFilter,
        HotkeyFilter,
        ("block__timestamp", DaysFilter),
    ]
    search_help_text = "Coldkey or its beginning, or a block number"
    empty_title = "No stake events yet"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "show_block",
                    "show_time",
                    "show_kind_text",
                    "show_cause",
                    "show_netuid",
                    "show_coldkey",
                    "show_hotkey",
                ]
            },
        ),
        ("Amounts", {"fields": ["show_tao", "show_alpha", "show_fee", "show_source"]}),
        ("The other end", {"fields": ["show_other_coldkey", "show_other_hotkey", "show_other_netuid"]}),
        (
            "Where it stands",
            {"fields": ["show_call", "show_signer", "show_extrinsic", "show_event", "show_tag"]},
        ),
    ]

    def search_text(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        return rows.filter(coldkey__startswith=text)

    @display(description="Block")
    def name(self, row: StakeEvent) -> SafeString | str:
        return number(row.block_id)

    @display(description="Kind", label=KIND_COLOURS)
    def show_kind(self, row: StakeEvent) -> tuple[str, str]:
        return row.kind, kind_text(row)

    @display(description="Kind")
    def show_kind_text(self, row: StakeEvent) -> str:
        return kind_text(row)

    @display(description="Cause")
    def show_cause(self, row: StakeEvent) -> str:
        return cause_text(row)

    @display(description="Coldkey")
    def show_coldkey(self, row: StakeEvent) -> SafeString | str:
        return address_html(row.coldkey)

    @display(description=UNIT)
    def show_tao(self, row: StakeEvent) -> SafeString | str:
        return amount_html(row.tao_rao)

    @display(description="Stake")
    def show_alpha(self, row: StakeEvent) -> SafeString | str:
        return amount_html(row.alpha_rao, alpha_unit(row.netuid))

    @display(description="Fee")
    def show_fee(self, row: StakeEvent) -> SafeString | str:
        return amount_html(row.fee_rao, alpha_unit(row.netuid) if row.fee_asset == "ALPHA" else row.fee_asset)

    @display(description="Known from")
    def show_source(self, row: StakeEvent) -> str:
        if row.derived:
            return "What the position was worth before and after: no event names the amount"
        return "The event"

    @display(description="Coldkey")
    def show_other_coldkey(self, row: StakeEvent) -> SafeString | str:
        return address_html(row.other_coldkey)

    @display(description="Hotkey")
    def show_other_hotkey(self, row: StakeEvent) -> SafeString | str:
        return address_html(row.other_hotkey)

    @display(description="Subnet")
    def show_other_netuid(self, row: StakeEvent) -> str:
        return UNKNOWN if row.other_netuid is None else netuid_text(row.other_netuid)

    @display(description="Call")
    def show_call(self, row: StakeEvent) -> SafeString | str:
        return mono(row.call)

    @display(description="Signer")
    def show_signer(self, row: StakeEvent) -> SafeString | str:
        return address_html(row.signer)

    @display(description="Extrinsic")
    def show_extrinsic(self, row: StakeEvent) -> SafeString | str:
        if row.import_run_id is not None:
            return mono(row.extrinsic_hash)
        if row.cause in NO_EVENT:
            return UNKNOWN
        if row.extrinsic_index is None:
            return "None: the runtime did it by itself"
        return format_html("{}-{} {}", row.block_id, row.extrinsic_index, mono(row.extrinsic_hash))

    @display(description="Event")
    def show_event(self, row: StakeEvent) -> str:
        return "None: no event says so" if row.cause in NO_EVENT else f"{row.block_id}-{row.event_index}"

    @display(description="Tag")
    def show_tag(self, row: StakeEvent) -> SafeString | str:
        return tag_html(row)

    def heading(self, obj: StakeEvent) -> str:
        return f"{obj.get_kind_display()} in block {obj.block_id:,}"

    def links(self, obj: StakeEvent) -> list[tuple[str, str]]:
        sold = Conversion.objects.filter(stake_event=obj).values_list("pk", flat=True)
        origin = []
        if obj.import_run_id is not None:
            text = f"Row {obj.import_row:,} of import {obj.import_run_id}"
            origin.append((change_url(ImportRun, obj.import_run_id), text))
        return [
            *super().links(obj),
            *origin,
            *((change_url(Conversion, pk), "This was a conversion") for pk in sold),
        ]


class HeldFilter(DropdownFilter):  # type: ignore[misc]
    """Open positions unless asked otherwise: the past is many times longer."""

    title = "held"
    parameter_name = "held"
    all_option = ["", "Held at the latest block"]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("ended", "Ended"), ("all", "Ever held")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Position]) -> QuerySet[Position]:
        if self.value() == "all":
            return queryset
        return queryset.filter(blocks__upper_inf=self.value() != "ended")


@admin.register(Position)
class PositionAdmin(FactAdmin):
    list_display = ["show_coldkey", "show_netuid", "show_hotkey", "show_value", "show_part", "show_blocks"]
    list_filter = [HeldFilter, HotkeyFilter, SubnetFilter]
    search_fields = ["coldkey__startswith"]
    search_help_text = "Coldkey or its beginning"
    empty_title = "No positions"
    empty_text = INGEST_FIRST
    fieldsets = [
        (None, {"fields": ["show_coldkey", "show_hotkey", "show_netuid", "show_blocks"]}),
        ("Now", {"fields": ["show_value", "show_part", "show_worth_block"]}),
        ("As the chain has it", {"fields": ["show_share"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_label(super().get_queryset(request))

    def get_ordering(self, request: HttpRequest) -> list[str]:
        return ["hotkey", "netuid", "-share"]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            self.complete_page([found])
        return found

    def complete_page(self, rows: list[Any]) -> None:
        """Put each row's pool beside it."""
        pools = {(pool.hotkey, pool.netuid): pool for pool in pools_now({row.hotkey for row in rows})}
        for row in rows:
            row.pool = pools.get((row.hotkey, row.netuid)) if row.blocks.upper is None else None

    @display(description="Coldkey")
    def show_coldkey(self, row: Position) -> SafeString | str:
        return address_html(row.coldkey)

    @display(description="Hotkey")
    def show_hotkey(self, row: Position) -> SafeString | str:
        return hotkey_html(row)

    @display(description="Subnet")
    def show_netuid(self, row: Position) -> str:
        return netuid_text(row.netuid)

    @display(description="Worth now")
    def show_value(self, row: Any) -> SafeString | str:
        worth = row.pool.worth.of(row.raw_share) if row.pool and row.pool.worth else None
        return amount_html(worth, alpha_unit(row.netuid))

    @display(description="Of the pool")
    def show_part(self, row: Any) -> SafeString | str:
        if row.pool is None:
            return UNKNOWN
        parts = row.pool.parts_per_million(row.raw_share)
        return format_html('<span class="rb-number">{}.{} %</span>', parts // 10_000, f"{parts % 10_000:04d}")

    @display(description="Worth as of block")
    def show_worth_block(self, row: Any) -> SafeString | str:
        return block_link(row.pool.worth.block) if row.pool and row.pool.worth else UNKNOWN

    @display(description="Blocks")
    def show_blocks(self, row: Position) -> SafeString:
        end = "now" if row.blocks.upper is None else f"{row.blocks.upper - 1:,}"
        return format_html('<span class="rb-number">{} to {}</span>', f"{row.blocks.lower:,}", end)

    @display(description="Share, raw bits")
    def show_share(self, row: Position) -> SafeString | str:
        return mono(str(row.raw_share))

    def heading(self, obj: Position) -> str:
        return f"Position on subnet {netuid_text(obj.netuid)}"
