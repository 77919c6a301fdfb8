"""Backfills in the admin: how far each is, live, with every chunk; steered by the steps of `chain.admin.steps`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, re_path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from chain.admin.base import FactAdmin
from chain.admin.cells import UNKNOWN, time_html
from chain.admin.steps import STEERING, SteerConfirm, SteerPage, steering_of
from chain.backfill.services import describe_progress, get_progress, is_silent, may_run
from chain.models import Backfill, BackfillChunk
from chain.queries import last_block
from chain.services import now_utc
from chain.tables import Column, Table

COLOURS = {
    Backfill.State.RUNNING: "info",
    Backfill.State.PAUSED: "warning",
    Backfill.State.STOPPED: "danger",
    Backfill.State.DONE: "success",
    Backfill.State.CANCELLED: "default",
}
CELLS_MAX = 500
CHUNKS_PER_PAGE = 25
# Of the chunks that share a square, the one that needs a look most is shown.
_FIRST_LOOKED_AT = ("FAILED", "READING", "READY", "WAITING", "CANCELLED", "STORED")
_State = BackfillChunk.State


@admin.register(Backfill)
class BackfillAdmin(FactAdmin):
    list_display = ["name", "show_state", "show_progress", "show_source", "show_asked", "show_error"]
    list_filter = [("state", ChoicesDropdownFilter)]
    list_select_related = ["asked_by"]
    change_form_template = "admin/chain/backfill.html"
    fields = ["show_state"]
    empty_title = "No backfill yet"
    empty_text = mark_safe(
        "A backfill reads a range of blocks with several workers at once. Start one: "
        '<code class="rb-command">manage.py backfill --from A --to B</code>, or without Celery workers '
        '<code class="rb-command">manage.py backfill --url wss://… --from A --to B --hotkey SS58 --local 2</code>.'
    )

    class Media:
        css = {"all": ["chain/backfill.css"]}
        js = ["chain/live.js"]

    def complete_page(self, rows: list[Any]) -> None:
        """How far each is follows from the newest stored block."""
        newest = last_block()
        for row in rows:
            reached = min(newest.number if newest else 0, row.last_block)
            row.stored = max(0, reached - row.first_block + 1)

    def heading(self, obj: Any) -> str:
        return f"Backfill {obj.pk}"

    # --- list -----------------------------------------------------------------------------------------

    @display(description="Blocks")
    def name(self, backfill: Backfill) -> SafeString:
        return _blocks_html(backfill.first_block, backfill.last_block)

    @display(description="State", label=COLOURS)
    def show_state(self, backfill: Backfill) -> tuple[str, str]:
        return backfill.state, backfill.get_state_display()

    @display(description="Stored")
    def show_progress(self, backfill: Any) -> SafeString:
        if backfill.state != Backfill.State.RUNNING:
            return _meter(backfill.stored, backfill.block_count)
        url = reverse("admin:chain_backfill_meter", args=[backfill.pk])
        return format_html(
            '<span data-live="{}">{}</span>', url, _meter(backfill.stored, backfill.block_count)
        )

    @display(description="From")
    def show_source(self, backfill: Backfill) -> str:
        return backfill.source

    @display(description="Asked for (UTC)")
    def show_asked(self, backfill: Backfill) -> SafeString:
        who = backfill.asked_by or "the command line"
        return format_html("<span>{} by {}</span>", time_html(backfill.asked_at), who)

    @display(description="Error")
    def show_error(self, backfill: Backfill) -> SafeString | str:
        return format_html('<div class="rb-words">{}</div>', backfill.error) if backfill.error else UNKNOWN

    # --- page -----------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add what the page asks for again, and the steps."""
        steps = "|".join(STEERING)
        view = self.admin_site.admin_view
        return [
            path("<int:backfill_id>/now/", view(self.now_view), name="chain_backfill_now"),
            path("<int:backfill_id>/meter/", view(self.meter_view), name="chain_backfill_meter"),
            re_path(
                rf"^(?P<backfill_id>\d+)/(?P<step>{steps})/$",
                view(SteerPage.as_view(model_admin=self)),
                name="chain_backfill_steer",
            ),
            re_path(
                rf"^(?P<backfill_id>\d+)/(?P<step>{steps})/confirm/$",
                view(SteerConfirm.as_view(model_admin=self)),
                name="chain_backfill_steer_confirm",
            ),
            *super().get_urls(),
        ]

    def _find(self, request: HttpRequest, backfill_id: int) -> Backfill:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(Backfill.objects.select_related("asked_by"), pk=backfill_id)

    def now_view(self, request: HttpRequest, backfill_id: int) -> HttpResponse:
        """The part of the page that moves."""
        backfill = self._find(request, backfill_id)
        page = TemplateResponse(request, "admin/chain/backfill_now.html", describe_now(backfill, request))
        return _live(page, backfill)

    def meter_view(self, request: HttpRequest, backfill_id: int) -> HttpResponse:
        """The bar in the list."""
        backfill = self._find(request, backfill_id)
        progress = get_progress(backfill)
        return _live(HttpResponse(_meter(progress.stored, progress.total)), backfill)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> Any:
        """Show the backfill whole."""
        backfill = kwargs.get("obj")
        if isinstance(backfill, Backfill):
            page = chunk_page(backfill, request.GET.get("page"))
            context |= describe_now(backfill, request) | {
                "live_url": reverse("admin:chain_backfill_now", args=[backfill.pk]),
                "is_open": backfill.finished_at is None,
                "page": page,
                "chunk_table": chunk_table(page.object_list),
                "about": about_table(backfill),
            }
        return super().render_change_form(request, context, **kwargs)


def _live(answer: HttpResponse, backfill: Backfill) -> HttpResponse:
    if backfill.finished_at is not None:
        answer["X-Live"] = "final"
    answer["Cache-Control"] = "no-store"
    return answer


def _blocks_html(first: int, last: int) -> SafeString:
    return format_html('<span class="rb-number">{} to {}</span>', f"{first:,}", f"{last:,}")


def _meter(stored: int, total: int) -> SafeString:
    return format_html(
        '<span class="rb-meter" aria-hidden="true"><svg viewBox="0 0 100 1" preserveAspectRatio="none">'
        '<rect width="{}" height="1"/></svg></span><span class="rb-number">{} of {}</span>',
        stored * 100 // total,
        f"{stored:,}",
        f"{total:,}",
    )


def describe_now(backfill: Backfill, request: HttpRequest) -> dict[str, Any]:
    """Everything about a backfill that changes while it runs."""
    progress = get_progress(backfill)
    states = list(backfill.chunks.order_by("number").values_list("state", flat=True))
    per_cell = -(-len(states) // CELLS_MAX) or 1
    counted = dict(backfill.chunks.order_by().values_list("state").annotate(Count("pk")))
    user: Any = request.user
    return {
        "backfill": backfill,
        "progress": progress,
        "reached": progress.stored + progress.ahead,
        "line": describe_progress(progress),
        "colour": COLOURS[Backfill.State(backfill.state)],
        "silent": backfill.state == Backfill.State.RUNNING and is_silent(backfill, now_utc()),
        "per_cell": per_cell,
        "cells": list(_cells(states, per_cell)),
        "counts": [
            {"state": state, "title": state.label, "count": counted[state]}
            for state in _State
            if state in counted
        ],
        "steps": [
            {
                "title": step.title,
                "variant": step.variant,
                "url": reverse("admin:chain_backfill_steer", args=[backfill.pk, name]),
            }
            for name, step in (steering_of(backfill) if may_run(user) else [])
        ],
    }


def _cells(states: list[str], per_cell: int) -> Iterable[dict[str, str]]:
    for start in range(0, len(states), per_cell):
        part = states[start : start + per_cell]
        state = min(part, key=_FIRST_LOOKED_AT.index)
        title = f"{start + 1}" if per_cell == 1 else f"{start + 1} to {start + len(part)}"
        yield {"state": state, "title": f"Chunk {title}: {_State(state).label.lower()}"}


def chunk_page(backfill: Backfill, number: str | None) -> Any:
    """A page of chunks; at first the one with the next chunk to store."""
    rows = backfill.chunks.order_by("number").defer("payload")
    if number is None:
        edge = rows.exclude(state=_State.STORED).values_list("number", flat=True).first() or 0
        number = str(edge // CHUNKS_PER_PAGE + 1)
    return Paginator(rows, CHUNKS_PER_PAGE).get_page(number)


def chunk_table(chunks: Iterable[BackfillChunk]) -> Table:
    """Each chunk with its state, who has it, and what went wrong."""
    return Table(
        "Chunks one by one",
        (Column("Chunk", right=True), Column("Blocks"), Column("State"), Column("Read", right=True),
         Column("Attempts", right=True), Column("Worker"), Column("Stored (UTC)"), Column("Last error")),
        [
            (
                f"{chunk.number + 1:,}",
                _blocks_html(chunk.blocks.lower, chunk.blocks.upper - 1),
                chunk.get_state_display(),
                f"{chunk.blocks_read:,}",
                f"{chunk.attempts:,}",
                chunk.worker or UNKNOWN,
                time_html(chunk.stored_at),
                format_html('<div class="rb-wrap">{}</div>', chunk.error) if chunk.error else UNKNOWN,
            )
            for chunk in chunks
        ],
        note="as they were when this page was opened",
    )  # fmt: skip


def about_table(backfill: Backfill) -> Table:
    """What was asked for, and by whom."""
    run_url = reverse("admin:chain_ingestrun_change", args=[backfill.run_id])
    rows = [
        ("Read from", backfill.source),
        ("Read by", f"{backfill.get_runs_on_display()}, {backfill.parallel_max} chunks at once"),
        ("Read ahead at most", f"{backfill.ahead_max} chunks"),
        (
            "Asked for",
            format_html(
                "{} UTC by {}", time_html(backfill.asked_at), backfill.asked_by or "the command line"
            ),
        ),
        ("Last sign of a worker", format_html("{} UTC", time_html(backfill.seen_at))),
        (
            "Finished",
            format_html("{} UTC", time_html(backfill.finished_at)) if backfill.finished_at else UNKNOWN,
        ),
        ("Ingest run", format_html('<a href="{}">{}</a>', run_url, f"Run {backfill.run_id}")),
    ]
    return Table("About it", (Column("What"), Column("Value")), rows)
