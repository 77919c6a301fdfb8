"""Payout addresses in the admin: on the partner's page and as a list, with the steps that two people take (PA10).

A page that shows is a GET and writes nothing; the step itself is a POST to an address of its own. Rights are checked here
for a clear answer, again in the services, and by the database.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from chain.admin.steps import Confirm, Page
from chain.display import address_html
from partners import payout_addresses
from partners.admin.base import RecordedAdmin
from partners.models import Partner, PayoutAddress
from partners.payout_addresses import APPROVE, REQUEST
from partners.services import Refused

Stage = PayoutAddress.Stage
STAGE_COLOURS = {
    Stage.REQUESTED: "warning",
    Stage.COOLING_OFF: "info",
    Stage.IN_FORCE: "success",
    Stage.REPLACED: "default",
    Stage.CANCELLED: "default",
}
VERSIONS_SHOWN_MAX = 20


def describe_wait(version: PayoutAddress) -> str:
    """Say how long a version read by `with_stage` still cools off, by the database's clock: `70 h 12 min`."""
    assert version.effective_from is not None
    left = max(version.effective_from - version.clock, timedelta())  # type: ignore[attr-defined]
    hours, seconds = divmod(int(left.total_seconds()), 3600)
    return f"{hours} h {seconds // 60:02} min"


def page_of(version_id: int) -> str:
    """The page of a version."""
    return reverse("admin:partners_payoutaddress_change", args=[version_id])


def section_of(partner: Partner, user: User) -> dict[str, Any]:
    """What the partner's page shows of payout addresses, and which steps it offers this person."""
    if not user.has_perm("partners.view_payoutaddress"):
        return {}
    rows = PayoutAddress.objects.filter(partner=partner).with_stage()
    versions = list(rows.select_related("requested_by", "approved_by")[:VERSIONS_SHOWN_MAX])
    in_force = PayoutAddress.objects.in_force().filter(partner=partner).first()
    under_way = next((v for v in versions if v.stage in (Stage.REQUESTED, Stage.COOLING_OFF)), None)
    return {
        "partner": partner,
        "in_force": in_force,
        "under_way": under_way and facts_of(under_way, user),
        "versions": [(version, STAGE_COLOURS[version.stage]) for version in versions],
        "may_request": under_way is None and user.has_perm(REQUEST),
        "list_url": f"{reverse('admin:partners_payoutaddress_changelist')}?partner__id__exact={partner.pk}",
    }


def facts_of(version: PayoutAddress, user: User) -> dict[str, Any]:
    """What pages show of a version read by `with_stage`, and which steps they offer this person."""
    may_approve = payout_addresses.may_approve(user, version)
    return {
        "version": version,
        "colour": STAGE_COLOURS[version.stage],
        "wait": describe_wait(version) if version.stage == Stage.COOLING_OFF else "",
        "may_approve": may_approve and version.is_announced,
        "may_tell": may_approve and version.told_at is None,
        "may_send": version.status == PayoutAddress.Status.REQUESTED
        and version.notified_at is None
        and bool(version.notice_to)
        and any(map(user.has_perm, (REQUEST, APPROVE))),
        "may_cancel": payout_addresses.may_cancel(user, version),
    }


# --- steps ----------------------------------------------------------------------------------------------


class VersionPage(Page):
    """A step on one version: what it is about, and what stands in the way."""

    heading = ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rows = PayoutAddress.objects.with_stage().select_related(
            "partner", "requested_by", "told_by", "approved_by"
        )
        version = get_object_or_404(rows, pk=kwargs.pop("version_id"))
        old = PayoutAddress.objects.in_force().filter(partner=version.partner).first()
        return super().get_context_data(
            title=self.heading,
            heading=f"{self.heading} of {version.partner}",
            old=old,
            back_url=page_of(version.pk),
            refusal=self.find_refusal(version),
            **facts_of(version, self.actor),
            **kwargs,
        )

    def find_refusal(self, version: PayoutAddress) -> str:
        """Say why the step cannot be taken; empty if it can."""
        if version.status != PayoutAddress.Status.REQUESTED:
            return f"This request is decided: {version.get_status_display().lower()}. There is nothing to do."
        if version.requested_by_id == self.actor.pk:
            return "You requested this address. Another person with the right to approve must do this."
        return ""


class VersionStep(Confirm):
    """Does a step on one version."""

    done: ClassVar[str] = ""

    def act(self, version_id: int) -> PayoutAddress:
        """Take the step. :raises Refused: saying what to do next."""
        raise NotImplementedError

    def post(self, request: HttpRequest, version_id: int) -> HttpResponse:
        get_object_or_404(PayoutAddress, pk=version_id)
        try:
            version = self.act(version_id)
        except Refused as error:
            return self.answer(str(error), page_of(version_id), refused=True)
        return self.answer(self.done.format(version=version), page_of(version_id))


class RequestPage(Page):
    """Asks for the new address and the reason; sent once, it shows both addresses to be compared before it is requested."""

    rights = (REQUEST,)
    template_name = "admin/partners/payout_address/request.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        partner = get_object_or_404(Partner, pk=kwargs.pop("partner_id"))
        address = self.request.GET.get("address", "").strip()
        reason = self.request.GET.get("reason", "").strip()
        is_sent = "address" in self.request.GET
        refusal = payout_addresses.find_refusal(partner=partner, address=address, reason=reason)
        return super().get_context_data(
            title="Request a new payout address",
            heading=f"A new payout address of {partner}",
            partner=partner,
            old=PayoutAddress.objects.in_force().filter(partner=partner).first(),
            contacts=payout_addresses.contacts_of(partner),
            hours=payout_addresses.cooling_off_hours(),
            new=address,
            reason=reason,
            refusal=refusal if is_sent else "",
            is_ready=is_sent and not refusal,
            back_url=reverse("admin:partners_partner_change", args=[partner.pk]),
            reason_length_max=payout_addresses.REASON_LENGTH_MAX,
            **kwargs,
        )


class RequestConfirm(Confirm):
    """Request what the page showed."""

    rights = (REQUEST,)

    def post(self, request: HttpRequest, partner_id: int) -> HttpResponse:
        partner = get_object_or_404(Partner, pk=partner_id)
        try:
            version = payout_addresses.request_address(
                actor=self.actor,
                partner=partner,
                address=request.POST.get("address", ""),
                reason=request.POST.get("reason", ""),
            )
        except Refused as error:
            back = reverse("admin:partners_payoutaddress_request", args=[partner_id])
            return self.answer(str(error), back, refused=True)
        return self.answer(
            f"The new address of {partner} is requested. Nothing is paid to {partner} until it takes effect.",
            page_of(version.pk),
        )


class ApprovePage(VersionPage):
    """Both addresses, who asked and why, who was told, and when it would take effect."""

    rights = (APPROVE,)
    heading = "Approve the new payout address"
    template_name = "admin/partners/payout_address/approve.html"

    def find_refusal(self, version: PayoutAddress) -> str:
        if refusal := super().find_refusal(version):
            return refusal
        if not version.is_announced:
            return (
                "Nobody of the partner was told of this request. Send the notice again, or tell them by another way and "
                "record that."
            )
        return ""


class ApproveStep(VersionStep):
    """Approve what the page showed."""

    rights = (APPROVE,)
    done = "The address is approved. It takes effect on {version.effective_from:%Y-%m-%d at %H:%M} UTC."

    def act(self, version_id: int) -> PayoutAddress:
        return payout_addresses.approve_address(actor=self.actor, version_id=version_id)


class TellPage(VersionPage):
    """Asks who was told, when and how."""

    rights = (APPROVE,)
    heading = "Tell the partner of the new address"
    template_name = "admin/partners/payout_address/tell.html"


class TellStep(VersionStep):
    """Record that the partner was told."""

    rights = (APPROVE,)
    done = "It is recorded that you told {version.partner}."

    def act(self, version_id: int) -> PayoutAddress:
        how = self.request.POST.get("how", "")
        return payout_addresses.record_told(actor=self.actor, version_id=version_id, how=how)


class CancelPage(VersionPage):
    """What cancelling means, and the reason to give."""

    rights = (REQUEST, APPROVE)
    heading = "Cancel the new payout address"
    template_name = "admin/partners/payout_address/cancel.html"

    def find_refusal(self, version: PayoutAddress) -> str:
        if version.stage in (Stage.REQUESTED, Stage.COOLING_OFF):
            return ""
        return f"This address is not waiting any more: {version.stage.label.lower()}. There is nothing to cancel."


class CancelStep(VersionStep):
    """Cancel for the given reason."""

    rights = (REQUEST, APPROVE)
    done = "The request is cancelled. Payouts go to the address in force, if there is one."

    def act(self, version_id: int) -> PayoutAddress:
        reason = self.request.POST.get("reason", "")
        return payout_addresses.cancel_address(actor=self.actor, version_id=version_id, reason=reason)


class SendStep(VersionStep):
    """Send the notice again after a failure."""

    rights = (REQUEST, APPROVE)

    def post(self, request: HttpRequest, version_id: int) -> HttpResponse:
        get_object_or_404(PayoutAddress, pk=version_id)
        version = payout_addresses.send_notice(version_id=version_id)
        if version.notified_at is None:
            return self.answer(
                f"The notice was not sent: {version.notice_error}", page_of(version_id), refused=True
            )
        return self.answer(f"The contacts of {version.partner} were told.", page_of(version_id))


PAGES = {
    "request": ("request/<int:partner_id>/", RequestPage),
    "request_confirm": ("request/<int:partner_id>/confirm/", RequestConfirm),
    "approve": ("<int:version_id>/approve/", ApprovePage),
    "approve_confirm": ("<int:version_id>/approve/confirm/", ApproveStep),
    "tell": ("<int:version_id>/tell/", TellPage),
    "tell_confirm": ("<int:version_id>/tell/confirm/", TellStep),
    "cancel": ("<int:version_id>/cancel/", CancelPage),
    "cancel_confirm": ("<int:version_id>/cancel/confirm/", CancelStep),
    "send_confirm": ("<int:version_id>/send/confirm/", SendStep),
}


# --- list and page --------------------------------------------------------------------------------------


@admin.register(PayoutAddress)
class PayoutAddressAdmin(RecordedAdmin):
    """All versions of all partners; writing is by the steps above."""

    list_display = (
        "show_partner",
        "show_address",
        "show_stage",
        "requested",
        "approved",
        "effective",
    )
    list_filter = (("status", ChoicesDropdownFilter), ("partner", RelatedDropdownFilter))
    list_filter_submit = True
    search_fields = ("address", "partner__name", "partner__slug")
    ordering = ("-id",)
    actions = None
    change_form_template = "admin/partners/payout_address/change_form.html"
    empty_title = "No payout addresses yet"
    empty_text = (
        "A partner is paid to an address that one person requests, another approves and that cooled off. Request the first "
        "one on the partner's page."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[PayoutAddress]:
        rows: QuerySet[PayoutAddress] = PayoutAddress.objects.with_stage()
        return rows.select_related("partner", "requested_by", "told_by", "approved_by", "cancelled_by")

    @display(description="Partner", ordering="partner__name")
    def show_partner(self, version: PayoutAddress) -> str:
        return str(version.partner)

    @display(description="Address", ordering="address")
    def show_address(self, version: PayoutAddress) -> str:
        return address_html(version.address)

    @display(
        description="State", ordering="status", label={stage.label: STAGE_COLOURS[stage] for stage in Stage}
    )
    def show_stage(self, version: PayoutAddress) -> str:
        return str(version.stage.label)

    @display(description="Requested", ordering="requested_at")
    def requested(self, version: PayoutAddress) -> str:
        return _who_when(version.requested_by, version.requested_at)

    @display(description="Approved", ordering="approved_at")
    def approved(self, version: PayoutAddress) -> str:
        return _who_when(version.approved_by, version.approved_at)

    @display(description="In force from (UTC)", ordering="effective_from")
    def effective(self, version: PayoutAddress) -> str:
        return f"{version.effective_from:%Y-%m-%d %H:%M}" if version.effective_from else "–"

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of the steps. What a GET shows, a POST to its own address does."""
        own = [
            path(
                route,
                self.admin_site.admin_view(view.as_view(model_admin=self)),
                name=f"partners_payoutaddress_{name}",
            )
            for name, (route, view) in PAGES.items()
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Show the version with who did what when."""
        version = kwargs.get("obj")
        if isinstance(version, PayoutAddress):
            assert isinstance(request.user, User)
            context |= facts_of(version, request.user) | {"title": str(version)}
            context["old"] = (
                PayoutAddress.objects.in_force()
                .filter(partner=version.partner)
                .exclude(pk=version.pk)
                .first()
            )
        return super().render_change_form(request, context, **kwargs)  # type: ignore[no-any-return]


def _who_when(who: Any, when: Any) -> str:
    if when is None:
        return "–"
    return f"{when:%Y-%m-%d}, {who}" if who else f"{when:%Y-%m-%d}"
