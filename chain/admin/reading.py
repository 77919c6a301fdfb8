"""How reading goes: runs and gaps."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display

from chain.admin.base import (
    INGEST_FIRST,
    FactAdmin,
    change_url,
    link,
)
from chain.admin.cells import (
    UNKNOWN,
    duration_text,
    number,
    time_html,
)
from chain.admin.gap_advice import can_be_read, is_amount, next_step
from chain.admin.steps import GiveUpConfirm, GiveUpPage, RetryConfirm, RetryPage, Step
from chain.backfill.services import RUN
from chain.gaps.services import ACCEPT
from chain.models import (
    Backfill,
    Block,
    Gap,
    IngestRun,
)

GAPS_LINKED = 20
GAP_COLOURS = {
    Gap.State.OPEN: "danger",
    Gap.State.RESOLVED: "success",
    Gap.State.UNRECOVERABLE: "warning",
}
RUN_COLOURS = {
    IngestRun.Status.RUNNING: "info",
    IngestRun.Status.DONE: "success",
    IngestRun.Status.FAILED: "danger",
}


class GapStatusFilter(DropdownFilter):  # type: ignore[misc]
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.lower(), label) for state, label in Gap.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Gap]) -> QuerySet[Gap]:
        chosen = (self.value() or "").upper()
        return queryset.filter(state=chosen) if chosen in Gap.State.values else queryset


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
    list_select_related = ["detected_by", "resolved_by", "accepted_by"]
    actions_list = ["open_retry_page"]
    change_form_outer_before_template = "admin/chain/gap_steps.html"
    empty_title = "No gaps"
    empty_text = (
        "Every block that was asked for was read and proved. An open gap would keep its day from closing."
    )
    fieldsets = [
        (None, {"fields": ["show_status_text", "show_kind", "show_blocks", "show_count"]}),
        ("What happened", {"fields": ["reason", "show_found", "show_run"]}),
        ("What to do next", {"fields": ["show_next", "show_resolved", "show_resolving_run"]}),
        ("Accepted by a person", {"fields": ["show_accepted", "show_accepted_reason"]}),
    ]

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Open gaps first."""
        is_open = Case(When(state=Gap.State.OPEN, then=Value(0)), default=Value(1))
        return [is_open, "-id"]

    def get_urls(self) -> list[URLPattern]:
        """Add the steps. What a GET shows, a POST to its own address does."""
        pages: dict[str, tuple[str, type[Step]]] = {
            "retry": ("retry/", RetryPage),
            "retry_confirm": ("retry/confirm/", RetryConfirm),
            "give_up": ("<int:gap_id>/give-up/", GiveUpPage),
            "give_up_confirm": ("<int:gap_id>/give-up/confirm/", GiveUpConfirm),
        }
        own = [
            path(route, self.admin_site.admin_view(view.as_view(model_admin=self)), name=f"chain_gap_{name}")
            for name, (route, view) in pages.items()
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def has_retry_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Say whether the user may; named for Django's `permissions` of actions."""
        return request.user.has_perm(RUN)

    @action(
        description="Try open gaps again",
        permissions=["retry"],
        url_path="open-retry-page",
        icon="refresh",
    )
    def open_retry_page(self, request: HttpRequest) -> HttpResponse:
        """Lead to the confirmation page; nothing is written."""
        return HttpResponseRedirect(reverse("admin:chain_gap_retry"))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> Any:
        """Add the steps that this person can take with this gap."""
        gap = kwargs.get("obj")
        if isinstance(gap, Gap) and gap.state == Gap.State.OPEN:
            accept = "Accept as it is" if is_amount(gap) else "Accept as lost"
            steps = [(accept, ACCEPT, "default", reverse("admin:chain_gap_give_up", args=[gap.pk]))]
            if can_be_read(gap):
                steps.insert(0, ("Try again", RUN, "primary", reverse("admin:chain_gap_retry")))
            context["steps"] = [
                {"title": title, "variant": variant, "url": url}
                for title, right, variant, url in steps
                if request.user.has_perm(right)
            ]
        return super().render_change_form(request, context, **kwargs)

    @display(description="Blocks")
    def show_blocks(self, gap: Gap) -> SafeString:
        return format_html('<span class="rb-number">{}</span>', gap.blocks_text.partition(" ")[2])

    @display(description="Status", label=GAP_COLOURS)
    def show_status(self, gap: Gap) -> tuple[str, str]:
        return gap.state, gap.get_state_display()

    @display(description="Status")
    def show_status_text(self, gap: Gap) -> str:
        accepted = (
            "Accepted as it is: days over these blocks close, and say so"
            if is_amount(gap)
            else "Unrecoverable: days over these blocks close without them, and say so"
        )
        return {
            Gap.State.OPEN: "Open: no day that touches these blocks can close",
            Gap.State.RESOLVED: "Resolved",
            Gap.State.UNRECOVERABLE: accepted,
        }[Gap.State(gap.state)]

    @display(description="By")
    def show_accepted(self, gap: Gap) -> SafeString | str:
        if gap.accepted_by is None:
            return UNKNOWN
        return format_html("{}, {} UTC", gap.accepted_by, time_html(gap.accepted_at))

    @display(description="Because")
    def show_accepted_reason(self, gap: Gap) -> str:
        return gap.accepted_reason or UNKNOWN

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
    def show_run(self, gap: Gap) -> SafeString | str:
        return link(gap.detected_by, str(gap.detected_by)) if gap.detected_by else "the check for gaps"

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
        return f"Gap of {obj.blocks_text}"

    def links(self, obj: Gap) -> list[tuple[str, str]]:
        """The block, where it is stored and only an amount in it is open."""
        if not is_amount(obj) or not Block.objects.filter(pk=obj.blocks.lower).exists():
            return []
        return [(change_url(Block, obj.blocks.lower), f"Block {obj.blocks.lower:,}")]


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

    def links(self, obj: IngestRun) -> list[tuple[str, str]]:
        """The backfill that it belongs to, and the first of the gaps that it left."""
        backfills = Backfill.objects.filter(run=obj)
        gaps = Gap.objects.filter(detected_by=obj).order_by("blocks")[:GAPS_LINKED]
        return [(change_url(Backfill, row.pk), f"Backfill {row.pk}") for row in backfills] + [
            (change_url(Gap, row.pk), f"Gap of {row.blocks_text}") for row in gaps
        ]
