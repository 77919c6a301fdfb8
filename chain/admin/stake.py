"""Who holds what: stake events, positions, and the hotkeys they are on."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
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
    kind_text,
    mono,
    number,
    take_text,
)
from chain.display import address_html, alpha_unit, amount_html
from chain.models import (
    Conversion,
    Hotkey,
    Position,
    StakeEvent,
    StakeKind,
    Yield,
)
from chain.queries import pools_now
from chain.tables import Column, Table

KIND_COLOURS = {
    StakeKind.STAKE: "success",
    StakeKind.UNSTAKE: "warning",
    StakeKind.RESTAKE: "info",
    StakeKind.TRANSFER: "default",
}


@admin.register(StakeEvent)
class StakeEventAdmin(OfBlockAdmin):
    list_display = [
        "name",
        "show_time",
        "show_kind",
        "show_netuid",
        "show_alpha",
        "show_tao",
        "show_coldkey",
        "show_hotkey",
    ]
    list_filter = [
        ("kind", ChoicesDropdownFilter),
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
                    "show_netuid",
                    "show_coldkey",
                    "show_hotkey",
                ]
            },
        ),
        ("Amounts", {"fields": ["show_tao", "show_alpha", "show_fee"]}),
        ("The other end", {"fields": ["show_other_coldkey", "show_other_hotkey", "show_other_netuid"]}),
        ("Where it stands", {"fields": ["show_call", "show_signer", "show_extrinsic", "show_event"]}),
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

    @display(description="Coldkey")
    def show_coldkey(self, row: StakeEvent) -> SafeString | str:
        return address_html(row.coldkey)

    @display(description="TAO")
    def show_tao(self, row: StakeEvent) -> SafeString | str:
        return amount_html(row.tao_rao)

    @display(description="Stake")
    def show_alpha(self, row: StakeEvent) -> SafeString | str:
        return amount_html(row.alpha_rao, alpha_unit(row.netuid))

    @display(description="Fee")
    def show_fee(self, row: StakeEvent) -> SafeString | str:
        return amount_html(row.fee_rao, alpha_unit(row.netuid) if row.fee_asset == "ALPHA" else "TAO")

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
        if row.extrinsic_index is None:
            return "None: the runtime did it by itself"
        return format_html("{}-{} {}", row.block_id, row.extrinsic_index, mono(row.extrinsic_hash))

    @display(description="Event")
    def show_event(self, row: StakeEvent) -> str:
        return f"{row.block_id}-{row.event_index}"

    def heading(self, obj: StakeEvent) -> str:
        return f"{obj.get_kind_display()} in block {obj.block_id:,}"

    def links(self, obj: StakeEvent) -> list[tuple[str, str]]:
        sold = Conversion.objects.filter(stake_event=obj).values_list("pk", flat=True)
        return [*super().links(obj), *((change_url(Conversion, pk), "This was a conversion") for pk in sold)]


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
        worth = row.pool.worth.of(row.share) if row.pool and row.pool.worth else None
        return amount_html(worth, alpha_unit(row.netuid))

    @display(description="Of the pool")
    def show_part(self, row: Any) -> SafeString | str:
        if row.pool is None:
            return UNKNOWN
        parts = row.share * 1_000_000 // row.pool.shares
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
        return mono(str(row.share))

    def heading(self, obj: Position) -> str:
        return f"Position on subnet {netuid_text(obj.netuid)}"


@admin.register(Hotkey)
class HotkeyAdmin(FactAdmin):
    """The label is the one thing a person writes: a name of their own for the key."""

    list_display = [
        "show_label",
        "show_address",
        "show_take",
        "show_root",
        "show_subnets",
        "show_owner",
    ]
    fields = ["label", "show_address", "show_owner", "show_take", "show_first"]
    empty_title = "No hotkeys yet"
    empty_text = INGEST_FIRST

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [name for name in super().get_readonly_fields(request, obj) if name != "label"]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        assert isinstance(request.user, User)
        return request.user.has_perm("chain.change_hotkey")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Carry along what the newest yield of each key says."""
        newest = Yield.objects.filter(hotkey=OuterRef("address")).order_by("-block_id")
        rows: QuerySet[Any] = super().get_queryset(request)
        known: QuerySet[Any] = rows.annotate(
            take_now=Subquery(newest.values("take_u16")[:1]), owner_now=Subquery(newest.values("owner")[:1])
        )
        return known

    def complete_page(self, rows: list[Any]) -> None:
        """Put the pools of each key beside it."""
        for row in rows:
            row.pools = []
        by_address = {row.address: row for row in rows}
        for pool in pools_now(by_address):
            by_address[pool.hotkey].pools.append(pool)

    @display(description="Label")
    def show_label(self, row: Hotkey) -> str:
        return row.label or f"Hotkey {row.pk}"

    @display(description="Address")
    def show_address(self, row: Hotkey) -> SafeString | str:
        return address_html(row.address)

    @display(description="Owner now")
    def show_owner(self, row: Any) -> SafeString | str:
        return address_html(row.owner_now or "")

    @display(description="Take now")
    def show_take(self, row: Any) -> SafeString | str:
        return UNKNOWN if row.take_now is None else take_text(row.take_now)

    @display(description="Root stake")
    def show_root(self, row: Any) -> SafeString | str:
        return amount_html(next((pool.stake_rao for pool in row.pools if pool.netuid == 0), None))

    @display(description="Subnets")
    def show_subnets(self, row: Any) -> SafeString | str:
        return number(sum(1 for pool in row.pools if pool.netuid))

    @display(description="Ingested since block")
    def show_first(self, row: Hotkey) -> SafeString | str:
        return number(row.first_block)

    def tables(self, obj: Hotkey) -> list[Table]:
        """Stake on the key, pool by pool."""
        url = reverse("admin:chain_position_changelist")
        return [
            Table(
                "Stake now",
                (
                    Column("Subnet"),
                    Column("Stake", right=True),
                    Column("Holders", right=True),
                    Column("Worth as of block", right=True),
                ),
                [
                    (
                        format_html(
                            '<a href="{}?hotkey={}&netuid={}">{}</a>',
                            url,
                            pool.hotkey,
                            pool.netuid,
                            netuid_text(pool.netuid),
                        ),
                        amount_html(pool.stake_rao, alpha_unit(pool.netuid)),
                        f"{pool.holders:,}",
                        block_link(pool.worth.block) if pool.worth else UNKNOWN,
                    )
                    for pool in pools_now([obj.address])
                ],
                note="What every holder's share is worth since the pool's newest epoch",
                empty="Nobody holds stake on this hotkey.",
            )
        ]
