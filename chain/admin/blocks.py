"""Blocks, each with everything that was read from it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from chain.admin.base import (
    INGEST_FIRST,
    DaysFilter,
    FactAdmin,
    change_url,
    hotkey_html,
    link,
    netuid_text,
    parse_block,
    with_label,
)
from chain.admin.cells import (
    agreement_html,
    destination,
    kind_text,
    mono,
    number,
    rate_html,
    take_range_html,
    time_html,
    yield_unit,
)
from chain.display import address_html, alpha_unit, amount_html
from chain.models import (
    Block,
    Conversion,
    PoolPrice,
    Runtime,
    StakeEvent,
    Yield,
)
from chain.tables import Column, Table


@admin.register(Block)
class BlockAdmin(FactAdmin):
    list_display = ["show_number", "show_time", "show_hash", "show_yields", "show_stake_events"]
    list_filter = [("timestamp", DaysFilter)]
    search_fields = ["hash"]
    search_help_text = "Block number, or a hash (0x…) or its beginning"
    fields = ["show_number", "show_time", "show_hash", "show_parent", "show_runtime"]
    empty_title = "No blocks yet"
    empty_text = INGEST_FIRST

    def get_queryset(self, request: HttpRequest) -> QuerySet[Block]:
        """Count what hangs on each block of the page, inside the one query."""

        def count(model: type[Model]) -> Any:
            rows = model._default_manager.filter(block=OuterRef("pk")).order_by().values("block")
            return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n")), 0)

        rows: QuerySet[Block] = super().get_queryset(request)
        return rows.annotate(yield_count=count(Yield), stake_event_count=count(StakeEvent))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by number or by the beginning of the hash, both by index."""
        text = search_term.strip().lower()
        if not text:
            return queryset, False
        found = parse_block(text)
        if found is not None:
            return queryset.filter(number=found), False
        return queryset.filter(hash__startswith=text) if text.startswith("0x") else queryset.none(), False

    @display(description="Block")
    def show_number(self, block: Block) -> SafeString | str:
        return number(block.number)

    @display(description="Time (UTC)")
    def show_time(self, block: Block) -> SafeString | str:
        return time_html(block.timestamp)

    @display(description="Hash")
    def show_hash(self, block: Block) -> SafeString | str:
        return mono(block.hash)

    @display(description="Parent hash")
    def show_parent(self, block: Block) -> SafeString | str:
        return mono(block.parent_hash)

    @display(description="Runtime")
    def show_runtime(self, block: Block) -> SafeString:
        return link((Runtime, block.runtime_id), f"spec {block.runtime_id}")

    @display(description="Yields")
    def show_yields(self, block: Any) -> SafeString | str:
        return number(block.yield_count)

    @display(description="Stake events")
    def show_stake_events(self, block: Any) -> SafeString | str:
        return number(block.stake_event_count)

    def block_number(self, obj: Block) -> int | None:
        return obj.number if Yield.objects.filter(block=obj).exists() else None

    def heading(self, obj: Block) -> str:
        return f"Block {obj.number:,}"

    def links(self, obj: Block) -> list[tuple[str, str]]:
        """The neighbours."""
        near = Block.objects.filter(number__in=[obj.number - 1, obj.number + 1]).order_by("number")
        return [
            (
                change_url(Block, other),
                f"{'← Block' if other < obj.number else 'Block'} {other:,}"
                + ("" if other < obj.number else " →"),
            )
            for other in near.values_list("number", flat=True)
        ]

    def tables(self, obj: Block) -> list[Table]:
        """Everything read from the block."""
        yields = with_label(Yield.objects.filter(block=obj)).order_by("netuid", "hotkey", "side")
        events = with_label(StakeEvent.objects.filter(block=obj)).order_by("event_index")
        prices = PoolPrice.objects.filter(block=obj).order_by("netuid")
        return [
            yields_table(list(yields)),
            events_table(list(events)),
            conversions_table(list(with_label(Conversion.objects.filter(block=obj)).order_by("id"))),
            Table(
                "Pool prices after this block",
                (Column("Subnet"), Column("TAO in pool", right=True), Column("Alpha in pool", right=True)),
                [
                    (
                        str(row.netuid),
                        amount_html(row.tao_reserve_rao),
                        amount_html(row.alpha_reserve_rao, alpha_unit(row.netuid)),
                    )
                    for row in prices
                ],
                empty="No yield or conversion needed a price in this block.",
            ),
        ]


def yields_table(rows: list[Yield]) -> Table:
    """Yields of one block."""
    return Table(
        "Yields",
        (
            Column("Subnet"),
            Column("Hotkey"),
            Column("Side"),
            Column("Dividend", right=True),
            Column("Take", right=True),
            Column("By inversion", right=True),
            Column("Methods"),
        ),
        [
            (
                link(row, netuid_text(row.netuid)),
                hotkey_html(row),
                row.get_side_display(),
                amount_html(row.dividend_rao, yield_unit(row)),
                amount_html(row.take_rao, yield_unit(row)),
                take_range_html(row),
                agreement_html(row),
            )
            for row in rows
        ],
        empty="No epoch paid any of our hotkeys in this block.",
    )


def events_table(rows: list[StakeEvent]) -> Table:
    """Stake events of one block."""
    return Table(
        "Stake events",
        (
            Column("Event", right=True),
            Column("Kind"),
            Column("Subnet"),
            Column("Coldkey"),
            Column("Hotkey"),
            Column("TAO", right=True),
            Column("Stake", right=True),
        ),
        [
            (
                link(row, str(row.event_index)),
                kind_text(row),
                netuid_text(row.netuid),
                address_html(row.coldkey),
                hotkey_html(row),
                amount_html(row.tao_rao),
                amount_html(row.alpha_rao, alpha_unit(row.netuid)),
            )
            for row in rows
        ],
        empty="Nobody moved stake on our hotkeys in this block.",
    )


def conversions_table(rows: list[Conversion]) -> Table:
    """Conversions of one block."""
    return Table(
        "Conversions",
        (
            Column("Subnet"),
            Column("Hotkey"),
            Column("Alpha sold", right=True),
            Column("TAO received", right=True),
            Column("Rate", right=True),
            Column("Into"),
        ),
        [
            (
                link(row, netuid_text(row.netuid)),
                hotkey_html(row),
                amount_html(row.alpha_rao, alpha_unit(row.netuid)),
                amount_html(row.tao_rao),
                rate_html(row),
                destination(row),
            )
            for row in rows
        ],
        empty="No alpha was sold in this block.",
    )
