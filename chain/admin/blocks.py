"""Blocks, each with everything that was read from it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.html import format_html
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
    UNKNOWN,
    agreement_html,
    cause_text,
    destination,
    kind_text,
    mono,
    number,
    rate_html,
    take_range_html,
    time_html,
    yield_unit,
)
from chain.admin.runtimes import runtime_html
from chain.admin.tags import remarks_table
from chain.display import address_html, alpha_unit, amount_html
from chain.models import (
    Block,
    Conversion,
    PoolPrice,
    StakeEvent,
    Yield,
)
from chain.network import coin
from chain.payloads import payload_bytes
from chain.tables import Column, Table


@admin.register(Block)
class BlockAdmin(FactAdmin):
    list_display = ["show_number", "show_time", "show_hash", "show_yields", "show_stake_events"]
    list_filter = [("timestamp", DaysFilter)]
    search_fields = ["hash"]
    search_help_text = "Block number, or a hash (0x…) or its beginning"
    fields = [
        "show_number",
        "show_time",
        "show_hash",
        "show_parent",
        "show_runtime",
        "show_provider",
        "show_payload",
    ]
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
    def show_runtime(self, block: Block) -> SafeString | str:
        return runtime_html(block.runtime_id)

    @display(description="Read from")
    def show_provider(self, block: Block) -> str:
        return block.provider or UNKNOWN

    @display(description="Raw events")
    def show_payload(self, block: Block) -> SafeString | str:
        if block.payload is None:
            return "Not kept: the block touched nothing of ours"
        url = reverse("admin:chain_block_payload", args=[block.pk])
        return format_html(
            '<a class="rb-link" href="{}">Download {} bytes</a> <span class="rb-muted">SHA-256</span> {}',
            url,
            f"{block.payload.size:,}",
            mono(block.payload.sha256),
        )

    def get_urls(self) -> list[Any]:
        path_of = path(
            "<int:number>/payload/", self.admin_site.admin_view(self.payload_view), name="chain_block_payload"
        )
        return [path_of, *super().get_urls()]

    def payload_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Give the raw events of a block as a file, proved to be the bytes that were kept."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        block = get_object_or_404(Block.objects.select_related("payload"), pk=number, payload__isnull=False)
        assert block.payload is not None
        return HttpResponse(
            payload_bytes(block.payload),
            content_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="block-{number}-events.scale"'},
        )

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
            remarks_table(obj.number),
            Table(
                "Pool prices after this block",
                (
                    Column("Subnet"),
                    Column("One alpha", right=True),
                    Column("TAO in pool", right=True),
                    Column("Alpha in pool", right=True),
                ),
                [
                    (
                        str(row.netuid),
                        amount_html(row.price_rao),
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
            Column(coin().unit, right=True),
            Column("Stake", right=True),
        ),
        [
            (
                link(row, str(row.event_index)),
                f"{kind_text(row)}: {cause_text(row)}" if row.cause else kind_text(row),
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
