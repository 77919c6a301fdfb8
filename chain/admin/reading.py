"""How reading goes: runs, gaps and the runtimes that blocks are decoded with."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from chain.admin.base import (
    INGEST_FIRST,
    FactAdmin,
    link,
)
from chain.admin.cells import (
    UNKNOWN,
    duration_text,
    mono,
    number,
    time_html,
)
from chain.admin.gap_advice import next_step
from chain.models import (
    Gap,
    IngestRun,
    Runtime,
)

RUN_COLOURS = {
    IngestRun.Status.RUNNING: "info",
    IngestRun.Status.DONE: "success",
    IngestRun.Status.FAILED: "danger",
}


class GapStatusFilter(DropdownFilter):  # type: ignore[misc]
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("resolved", "Resolved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        if self.value() in {"open", "resolved"}:
            return queryset.filter(resolved_at__isnull=self.value() == "open")
        return queryset


@admin.register(Gap)
class GapAdmin(FactAdmin):
    list_display = [
        "show_blocks",
        "show_status",
        "show_kind",
        "show_next",
        "show_reason",
        "show_count",
        "show_found",
    ]
    list_filter = [GapStatusFilter, ("kind", ChoicesDropdownFilter)]
    list_select_related = ["detected_by", "resolved_by"]
    empty_title = "No gaps"
    empty_text = (
        "Every block that was asked for was read and proved. An open gap would keep its day from closing."
    )
    fieldsets = [
        (None, {"fields": ["show_status_text", "show_kind", "show_blocks", "show_count"]}),
        ("What happened", {"fields": ["reason", "show_found", "show_run"]}),
        ("What to do next", {"fields": ["show_next", "show_resolved", "show_resolving_run"]}),
    ]

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Open gaps first."""
        return [F("resolved_at").desc(nulls_first=True), "-id"]

    @display(description="Blocks")
    def show_blocks(self, gap: Gap) -> SafeString:
        first, last = gap.blocks.lower, gap.blocks.upper - 1
        text = f"{first:,}" if first == last else f"{first:,} to {last:,}"
        return format_html('<span class="rb-number">{}</span>', text)

    @display(description="Status", label={"open": "danger", "resolved": "success"})
    def show_status(self, gap: Gap) -> tuple[str, str]:
        return ("resolved", "Resolved") if gap.resolved_at else ("open", "Open")

    @display(description="Status")
    def show_status_text(self, gap: Gap) -> str:
        return "Resolved" if gap.resolved_at else "Open: no day that touches these blocks can close"

    @display(description="Kind")
    def show_kind(self, gap: Gap) -> str:
        return gap.get_kind_display()

    @display(description="How many")
    def show_count(self, gap: Gap) -> SafeString | str:
        return number(gap.blocks.upper - gap.blocks.lower)

    @display(description="Reason")
    def show_reason(self, gap: Gap) -> SafeString:
        return format_html('<div class="rb-words">{}</div>', gap.reason)

    @display(description="Found (UTC)")
    def show_found(self, gap: Gap) -> SafeString | str:
        return time_html(gap.detected_at)

    @display(description="Found by run")
    def show_run(self, gap: Gap) -> SafeString:
        return link(gap.detected_by, str(gap.detected_by))

    @display(description="Resolved by run")
    def show_resolving_run(self, gap: Gap) -> SafeString | str:
        return link(gap.resolved_by, str(gap.resolved_by)) if gap.resolved_by else UNKNOWN

    @display(description="Resolved (UTC)")
    def show_resolved(self, gap: Gap) -> SafeString | str:
        return time_html(gap.resolved_at)

    @display(description="Next step")
    def show_next(self, gap: Gap) -> SafeString | str:
        return next_step(gap)

    def heading(self, obj: Gap) -> str:
        return f"Gap of blocks {obj.blocks.lower:,} to {obj.blocks.upper - 1:,}"


@admin.register(IngestRun)
class IngestRunAdmin(FactAdmin):
    list_display = [
        "name",
        "show_status",
        "show_source",
        "show_blocks",
        "show_progress",
        "show_duration",
        "show_error",
        "show_started",
    ]
    list_filter = [("status", ChoicesDropdownFilter)]
    empty_title = "Nothing was ingested yet"
    empty_text = INGEST_FIRST
    fieldsets = [
        (None, {"fields": ["show_status_text", "show_source", "show_blocks", "show_progress"]}),
        ("Time", {"fields": ["show_started", "show_finished", "show_duration"]}),
        ("Error", {"fields": ["show_whole_error"]}),
    ]

    @display(description="Run")
    def name(self, run: IngestRun) -> str:
        return f"Run {run.pk}"

    @display(description="Status", label=RUN_COLOURS)
    def show_status(self, run: IngestRun) -> tuple[str, str]:
        return run.status, run.get_status_display()

    @display(description="Status")
    def show_status_text(self, run: IngestRun) -> str:
        return run.get_status_display()

    @display(description="Source")
    def show_source(self, run: IngestRun) -> str:
        return run.source

    @display(description="Blocks")
    def show_blocks(self, run: IngestRun) -> SafeString:
        return format_html(
            '<span class="rb-number">{} to {}</span>', f"{run.first_block:,}", f"{run.last_block:,}"
        )

    @display(description="Progress")
    def show_progress(self, run: IngestRun) -> SafeString:
        total = run.last_block - run.first_block + 1
        per_cent = min(100, run.blocks_done * 100 // total) if total > 0 else 0
        return format_html(
            '<span class="rb-meter" aria-hidden="true"><svg viewBox="0 0 100 1" preserveAspectRatio="none">'
            '<rect width="{}" height="1"/></svg></span><span class="rb-number">{} of {}</span>',
            per_cent,
            f"{run.blocks_done:,}",
            f"{total:,}",
        )

    @display(description="Started (UTC)")
    def show_started(self, run: IngestRun) -> SafeString | str:
        return time_html(run.started_at)

    @display(description="Finished (UTC)")
    def show_finished(self, run: IngestRun) -> SafeString | str:
        return time_html(run.finished_at)

    @display(description="Took")
    def show_duration(self, run: IngestRun) -> SafeString:
        text = duration_text((run.finished_at or timezone.now()) - run.started_at)
        return format_html('<span class="rb-number">{}</span>', text if run.finished_at else f"{text} so far")

    @display(description="Error")
    def show_error(self, run: IngestRun) -> SafeString | str:
        return format_html('<div class="rb-words">{}</div>', run.error) if run.error else UNKNOWN

    @display(description="Error")
    def show_whole_error(self, run: IngestRun) -> str:
        return run.error or UNKNOWN

    def heading(self, obj: IngestRun) -> str:
        return f"Ingest run {obj.pk}"


@admin.register(Runtime)
class RuntimeAdmin(FactAdmin):
    list_display = ["name", "show_first", "show_sha"]
    fields = ["name", "show_first", "show_sha"]
    empty_title = "No runtime yet"
    empty_text = INGEST_FIRST

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the metadata, hundreds of kilobytes a row, where it is."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer("metadata")

    @display(description="Runtime")
    def name(self, runtime: Runtime) -> str:
        return f"spec {runtime.spec_version}"

    @display(description="First block ingested")
    def show_first(self, runtime: Runtime) -> SafeString | str:
        return number(runtime.first_block)

    @display(description="SHA-256 of its metadata")
    def show_sha(self, runtime: Runtime) -> SafeString | str:
        return mono(runtime.metadata_sha256)
