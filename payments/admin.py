"""Batches and payouts in the admin: read-only pages; writing is by the named steps in `admin_views`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display

from chain.display import address_html, amount_html
from chain.readonly import ReadOnlyAdmin
from payments import admin_views
from payments.models import Batch, Payout
from payments.queries import get_timeline
from payments.services import APPROVE, PROPOSE, may_approve, may_cancel

STATUS_COLOURS = {
    Batch.Status.PROPOSED: "warning",
    Batch.Status.APPROVED: "success",
    Batch.Status.CANCELLED: "default",
}


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    """Propose, look, approve, cancel, export."""

    list_display = ["name", "show_status", "show_total", "payout_count", "through", "proposed", "approved"]
    list_filter = ["status"]
    list_select_related = ["through", "proposed_by", "approved_by"]
    actions = ["approve_selected"]
    actions_list = ["open_propose_page"]
    change_form_template = "admin/payments/batch/change_form.html"

    @display(description="Batch", ordering="id")
    def name(self, batch: Batch) -> str:
        return str(batch)

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def show_status(self, batch: Batch) -> tuple[str, str]:
        return batch.status, batch.get_status_display()

    @display(description="Total", ordering="total_rao")
    def show_total(self, batch: Batch) -> str:
        return amount_html(batch.total_rao)

    @display(description="Proposed by", ordering="proposed_at")
    def proposed(self, batch: Batch) -> str:
        return f"{batch.proposed_by}, {batch.proposed_at:%Y-%m-%d %H:%M}"

    @display(description="Approved by", ordering="approved_at")
    def approved(self, batch: Batch) -> str:
        return f"{batch.approved_by}, {batch.approved_at:%Y-%m-%d %H:%M}" if batch.approved_at else "-"

    def has_propose_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Say whether the user may propose; named for Django's `permissions` of actions."""
        return request.user.has_perm(PROPOSE)

    def has_approve_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Say whether the user may approve; named for Django's `permissions` of actions."""
        return request.user.has_perm(APPROVE)

    @action(
        description="Propose a batch",
        permissions=["propose"],
        url_path="open-propose-page",
        icon="playlist_add",
    )
    def open_propose_page(self, request: HttpRequest) -> HttpResponse:
        """Lead to the preview; nothing is written."""
        return HttpResponseRedirect(reverse("admin:payments_batch_propose"))

    @admin.action(description="Approve…", permissions=["approve"])
    def approve_selected(self, request: HttpRequest, batches: QuerySet[Batch]) -> HttpResponse | None:
        """Lead to the confirmation page; each batch has a hash of its own, so one at a time."""
        if len(batches) != 1:
            self.message_user(
                request, "Select one batch: each is compared and approved by itself.", messages.WARNING
            )
            return None
        return HttpResponseRedirect(reverse("admin:payments_batch_approve", args=[batches[0].pk]))

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of the steps. What a GET shows, a POST to its own address does."""
        pages = {
            "propose": ("propose/", admin_views.ProposePage),
            "propose_confirm": ("propose/confirm/", admin_views.ProposeConfirm),
            "approve": ("<int:batch_id>/approve/", admin_views.ApprovePage),
            "approve_confirm": ("<int:batch_id>/approve/confirm/", admin_views.ApproveConfirm),
            "cancel": ("<int:batch_id>/cancel/", admin_views.CancelPage),
            "cancel_confirm": ("<int:batch_id>/cancel/confirm/", admin_views.CancelConfirm),
            "call_data": ("<int:batch_id>/call-data/", admin_views.CallData),
        }
        own = [
            path(
                route,
                self.admin_site.admin_view(view.as_view(model_admin=self)),
                name=f"payments_batch_{name}",
            )
            for name, (route, view) in pages.items()
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Show the batch with its payouts, its hash and who did what when."""
        batch = kwargs.get("obj")
        if isinstance(batch, Batch):
            assert isinstance(request.user, User)
            context |= {
                "batch": batch,
                "payouts": list(batch.payouts.select_related("partner")),
                "timeline": get_timeline(batch),
                "status_colour": STATUS_COLOURS[Batch.Status(batch.status)],
                "may_approve": may_approve(batch, request.user),
                "may_cancel": may_cancel(batch, request.user),
                "may_export": any(request.user.has_perm(right) for right in (PROPOSE, APPROVE)),
            }
        return super().render_change_form(request, context, **kwargs)  # type: ignore[no-any-return]


@admin.register(Payout)
class PayoutAdmin(ReadOnlyAdmin):
    """All payouts over all batches, to find one by partner or address."""

    list_display = ["batch", "partner", "show_address", "show_amount", "show_status"]
    list_filter = ["batch__status", "partner"]
    list_select_related = ["batch", "partner"]
    search_fields = ["address", "partner__name", "partner__slug"]
    ordering = ["-batch_id", "partner_id"]

    @display(description="Address", ordering="address")
    def show_address(self, payout: Payout) -> str:
        return address_html(payout.address)

    @display(description="Amount", ordering="amount_rao")
    def show_amount(self, payout: Payout) -> str:
        return amount_html(payout.amount_rao)

    @display(description="Batch is", ordering="batch__status", label=STATUS_COLOURS)
    def show_status(self, payout: Payout) -> tuple[str, str]:
        return payout.batch.status, payout.batch.get_status_display()
