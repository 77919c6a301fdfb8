"""Closed periods, the page that closes the next ones, and statements."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display

from chain.display import amount_html
from chain.fields import RaoField
from ledger.admin.base import LedgerAdmin
from ledger.admin.certificate import certify
from ledger.admin.views import (
    CHECK,
    CLOSE,
    ChecksPage,
    ChecksRun,
    CloseConfirm,
    ClosePage,
    StatementFile,
    StatementPage,
    YearFile,
    YearPage,
)
from ledger.models import Period
from ledger.queries import statements_of


@admin.register(Period)
class PeriodAdmin(LedgerAdmin):
    """Closed days, the newest first, and what to do to close the next."""

    list_display = ["key", "block_range", "realised", "commission", "own_share", "closed", "closed_by_shown"]
    list_select_related = ["closed_by"]
    search_fields = ["key", "manifest_hash"]
    actions_list = ["open_close_page", "open_checks_page"]
    change_form_template = "admin/ledger/period.html"
    empty_title = "No day is closed yet"
    empty_text = (
        "A day can close once its last block is ingested, no gap is open and every yield is attributed. "
        "'Close due days' shows what is still missing."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Period]:
        owed = Sum("commission_lines__commission_rao", output_field=RaoField())
        return super().get_queryset(request).annotate(owed_rao=owed)  # type: ignore[no-any-return]

    @display(description="Blocks", ordering="start_at")
    def block_range(self, period: Period) -> str:
        return f"{period.blocks.lower:,} to {period.blocks.upper - 1:,}"

    @display(description="Realised take")
    def realised(self, period: Period) -> Any:
        return amount_html(period.manifest["totals"]["realised_rao"])

    @display(description="Owed to partners", ordering="owed_rao")
    def commission(self, period: Any) -> Any:
        return amount_html(int(period.owed_rao or 0))

    @display(description="Own share")
    def own_share(self, period: Period) -> Any:
        return amount_html(period.manifest["totals"]["own_share_rao"])

    @display(description="Closed (UTC)", ordering="closed_at")
    def closed(self, period: Period) -> str:
        return f"{period.closed_at:%Y-%m-%d %H:%M}"

    @display(description="By")
    def closed_by_shown(self, period: Period) -> str:
        return str(period.closed_by or "Scheduler")

    def has_close_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Say whether the user may close; named for Django's `permissions` of actions."""
        return request.user.has_perm(CLOSE)

    @action(
        description="Close due days",
        permissions=["close"],
        url_path="open-close-page",
        icon="event_available",
    )
    def open_close_page(self, request: HttpRequest) -> HttpResponse:
        """Lead to the checklist; nothing is written."""
        return HttpResponseRedirect(reverse("admin:ledger_close"))

    def has_check_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Say whether the user may run the checks; named for Django's `permissions` of actions."""
        return request.user.has_perm(CHECK)

    @action(description="Checks", permissions=["check"], url_path="open-checks-page", icon="fact_check")
    def open_checks_page(self, request: HttpRequest) -> HttpResponse:
        """Lead to the checks; nothing is written."""
        return HttpResponseRedirect(reverse("admin:ledger_checks"))

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "checks": ("checks/", ChecksPage),
            "checks_run": ("checks/run/", ChecksRun),
            "close": ("close/", ClosePage),
            "close_confirm": ("close/confirm/", CloseConfirm),
            "statement": ("<str:period>/statement/<slug:partner>/", StatementPage),
            "statement_file": ("<str:period>/statement/<slug:partner>/<str:form>/", StatementFile),
            "year": ("year/<int:year>/<slug:partner>/", YearPage),
            "year_file": ("year/<int:year>/<slug:partner>/<str:form>/", YearFile),
        }
        own = [
            path(route, self.admin_site.admin_view(view.as_view(model_admin=self)), name=f"ledger_{name}")
            for name, (route, view) in pages.items()
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Show the period whole: certificate, statements, entry and manifest."""
        period = kwargs.get("obj")
        if isinstance(period, Period):
            context |= {
                "period": period,
                "certificate": certify(period),
                "statements": statements_of(period),
                "entry": period.entries.first(),
                "last_block": period.blocks.upper - 1,
            }
        return super().render_change_form(request, context, **kwargs)  # type: ignore[no-any-return]
