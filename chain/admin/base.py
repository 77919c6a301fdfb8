"""What the chain's lists share: nothing can be written, big tables are counted to a limit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter, TextFilter
from unfold.decorators import display

from chain.admin.cells import time_html
from chain.display import address_html
from chain.models import Block, Hotkey
from chain.readonly import ReadOnlyAdmin
from chain.tables import Table

COUNT_MAX = 10_000
INGEST_FIRST = mark_safe(
    'Read some first: <code class="rb-command">manage.py ingest --segment FILE</code> for a recorded '
    'segment, or <code class="rb-command">manage.py ingest --url wss://… --from A --to B --hotkey SS58</code> '
    "from a node."
)


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to COUNT_MAX and no further: who looks for something older filters or searches."""

    template_name = "admin/chain/pagination.html"

    @cached_property
    def _counted(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[: COUNT_MAX + 1].count()

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through."""
        return min(self._counted, COUNT_MAX)

    @property
    def is_capped(self) -> bool:
        """Tell whether there are more."""
        return self._counted > COUNT_MAX

    @property
    def count_text(self) -> str:
        """The count with thousands apart."""
        return f"{self.count:,}"


class FactAdmin(ReadOnlyAdmin):
    """Facts: read here, written only by `chain.services`."""

    actions = None
    list_filter_submit = True
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    # Counting what each filter would find reads the whole table, once per choice.
    show_facets = ShowFacets.NEVER
    # Sorting by anything but the index would read the whole table.
    sortable_by: Sequence[str] = ()
    change_form_template = "admin/chain/change_form.html"
    change_form_outer_before_template = "admin/chain/links.html"
    change_form_outer_after_template = "admin/chain/tables.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FactList

    def complete_page(self, rows: list[Any]) -> None:
        """Add to the rows of a page what their own query cannot give."""

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[str]:
        """Methods among the fields must be named as readonly; here all are."""
        names: list[str] = []
        for name in self.get_fields_shown():
            names.extend(name if isinstance(name, tuple) else (name,))
        return names

    def get_fields_shown(self) -> Sequence[Any]:
        """The fields of all fieldsets."""
        if self.fieldsets:
            return [name for _, options in self.fieldsets for name in options["fields"]]
        return self.fields or ()

    def tables(self, obj: Any) -> list[Table]:
        """Tables below the fields of a detail page."""
        return []

    def links(self, obj: Any) -> list[tuple[str, str]]:
        """Where to go from a detail page: (address, text)."""
        return []

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> Any:
        """Add the tables and links of the row."""
        if (obj := kwargs.get("obj")) is not None:
            context |= {
                "tables": self.tables(obj),
                "page_links": self.links(obj),
                "title": self.heading(obj),
                "block_number": self.block_number(obj),
            }
        return super().render_change_form(request, context, **kwargs)

    def block_number(self, obj: Any) -> int | None:
        """The block whose attribution a detail page leads to, if any."""
        return None

    def heading(self, obj: Any) -> str:
        """The title of a detail page."""
        return str(obj)


def link(row: Any, text: str, field: str = "pk") -> SafeString:
    """Link to the page of a row, given the row or (model, key)."""
    model, key = row if isinstance(row, tuple) else (type(row), getattr(row, field))
    return format_html('<a class="rb-link" href="{}">{}</a>', change_url(model, key), text)


def change_url(model: type[Model], key: object) -> str:
    """Address of the detail page of a row."""
    return reverse(f"admin:chain_{model._meta.model_name}_change", args=[key])


def block_link(number: int) -> SafeString:
    """Link to a block."""
    return format_html(
        '<a class="rb-link rb-number" href="{}">{}</a>', change_url(Block, number), f"{number:,}"
    )


def with_label(rows: QuerySet[Any], column: str = "hotkey") -> QuerySet[Any]:
    """Carry the label of each row's hotkey along, without a query per row."""
    labels = Hotkey.objects.filter(address=OuterRef(column)).values("label")[:1]
    labelled: QuerySet[Any] = rows.annotate(hotkey_label=Subquery(labels))
    return labelled


def hotkey_html(row: Any) -> SafeString | str:
    """Show the hotkey of a row that `with_label` read."""
    return address_html(row.hotkey, getattr(row, "hotkey_label", "") or "")


def netuid_text(netuid: int) -> str:
    """Name a subnet."""
    return f"{netuid}" if netuid else "0 (root)"


def parse_block(text: str) -> int | None:
    """Read a block number as people write it, 7,300,000 or 7300000."""
    digits = text.replace(",", "").replace(" ", "").replace("#", "")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


class HotkeyFilter(DropdownFilter):  # type: ignore[misc]
    title = "hotkey"
    parameter_name = "hotkey"

    def has_output(self) -> bool:
        """Always: a filter without choices would be ignored, and the list would show more than was asked."""
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Hotkey.objects.values_list("address", "label")
        return [(address, f"{label} · {address}" if label else address) for address, label in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(hotkey=self.value()) if self.value() else queryset


class SubnetFilter(TextFilter):  # type: ignore[misc]
    title = "subnet number (0 is root)"
    parameter_name = "netuid"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        text = (self.value() or "").strip()
        if not text:
            return queryset
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            messages.warning(request, f"{text!r} is not a subnet number: write digits, like 2.")
            return queryset.none()
        return queryset.filter(netuid=int(text))


class DaysFilter(RangeDateFilter):  # type: ignore[misc]
    """From and to as UTC days, both included. Rows of a block are found by its number, which is indexed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "day, both included (UTC)"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, bad_first = self._day("from")
        last, bad_last = self._day("to")
        for bad in filter(None, (bad_first, bad_last)):
            messages.warning(request, f"{bad!r} is not a day: write it like 2025-08-13.")
            queryset = queryset.none()
        if first is None and last is None:
            return queryset
        on_block = str(self.field_path).startswith("block__")
        times = Block.objects.all() if on_block else queryset
        path = "timestamp" if on_block else str(self.field_path)
        if first:
            times = times.filter(**{f"{path}__gte": datetime.combine(first, time(), UTC)})
        if last:
            times = times.filter(**{f"{path}__lt": datetime.combine(last + timedelta(days=1), time(), UTC)})
        if not on_block:
            return times
        numbers = times.order_by("timestamp").values_list("number", flat=True)
        lowest, highest = numbers.first(), numbers.last()
        return (
            queryset.none()
            if lowest is None
            else queryset.filter(block_id__gte=lowest, block_id__lte=highest)
        )

    def _day(self, end: str) -> tuple[date | None, str]:
        text = (self.used_parameters.get(f"{self.parameter_name}_{end}") or "").strip()
        if not text:
            return None, ""
        try:
            return date.fromisoformat(text), ""
        except ValueError:
            return None, text


class FactList(ChangeList):
    """A list that completes its rows once the page is known, in a fixed number of queries."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the page, then hand its rows to `model_admin.complete_page`."""
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            # Otherwise the heading offers to show all of what is shown.
            self.full_result_count = self.result_count
        rows = list(self.result_list)
        self.model_admin.complete_page(rows)  # type: ignore[attr-defined]
        self.result_list = rows


class OfBlockAdmin(FactAdmin):
    """Rows of a block: newest first, found by block number and day."""

    list_select_related = ["block"]
    search_fields: list[str] = ["=block__number"]
    empty_text: str = INGEST_FIRST

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_label(super().get_queryset(request))

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """By block and then as written, which the index on the block serves."""
        return ["-block_id", "-id"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by block number or, where rows have one, by the coldkey or its beginning."""
        text = search_term.strip()
        if not text:
            return queryset, False
        found = parse_block(text)
        if found is not None:
            return queryset.filter(block_id=found), False
        return self.search_text(queryset, text), False

    def search_text(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Search for something that is no block number."""
        return rows.none()

    @display(description="Block")
    def show_block(self, row: Any) -> SafeString:
        return block_link(row.block_id)

    @display(description="Time (UTC)")
    def show_time(self, row: Any) -> SafeString | str:
        return time_html(row.block.timestamp)

    @display(description="Hotkey")
    def show_hotkey(self, row: Any) -> SafeString | str:
        return hotkey_html(row)

    @display(description="Subnet")
    def show_netuid(self, row: Any) -> str:
        return netuid_text(row.netuid)

    def links(self, obj: Any) -> list[tuple[str, str]]:
        return [(change_url(Block, obj.block_id), f"Block {obj.block_id:,}")]
