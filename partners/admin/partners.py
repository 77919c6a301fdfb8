"""Partners, with their agreements on the same page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from chain.display import address_html
from chain.units import format_bps
from partners import forms, services
from partners.admin.agreements import AgreementInline, AgreementSaving
from partners.admin.base import RecordedAdmin, reason_of, without_reason
from partners.admin.payout_addresses import section_of
from partners.models import Agreement, Partner, PayoutAddress, Rule


@admin.register(Partner)
class PartnerAdmin(AgreementSaving, RecordedAdmin):
    form = forms.PartnerForm
    asks_what_if = True
    list_display = ("name", "kind_label", "status_label", "rate_now", "wallet_count")
    list_filter = (("status", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("name", "slug", "contact_email", "payout_addresses__address", "notes")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("wallets_link", "payout_address_shown")
    inlines = (AgreementInline,)
    change_form_outer_after_template = "admin/partners/payout_address/section.html"
    actions = ("pause", "activate")
    empty_title = "No partners yet"
    empty_text = (
        "A partner brings you delegators and is paid a share of the take. Add the first one with an"
        " agreement, then load the list of their wallets."
    )
    fieldsets = (
        (None, {"fields": (("name", "slug"), ("kind", "status"), "wallets_link")}),
        ("Payment", {"fields": ("contact_email", "payout_address_shown")}),
        (None, {"fields": ("notes", "reason")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Partner]:
        in_force = Agreement.objects.filter(partner=OuterRef("pk"), effective__contains=timezone.now())
        rules = Rule.objects.filter(agreement__partner=OuterRef("pk"), is_active=True)
        partners: QuerySet[Partner] = super().get_queryset(request)
        if request.resolver_match is not None and request.resolver_match.view_name == "admin:autocomplete":
            # A field where a partner is chosen shows their names alone.
            return partners
        return partners.annotate(
            bps_now=Subquery(in_force.values("rate_bps")[:1]),
            # Counted in one pass for all: a subquery for each partner would read every wallet as often.
            wallets_now=Count("wallets", filter=Q(wallets__is_active=True)),
            has_rule=Exists(rules.filter(agreement__effective__contains=timezone.now())),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search in plain rows: what the list counts for each is worked out for those of the page alone."""
        found, _ = super().get_search_results(request, Partner.objects.order_by(), search_term)
        return (queryset.filter(pk__in=found.values("pk")) if search_term else queryset), False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return without_reason(self, request, obj, super().get_fieldsets(request, obj))

    @display(description="Kind", ordering="kind")
    def kind_label(self, partner: Partner) -> str:
        return partner.kind.capitalize()

    @display(description="Status", ordering="status", label={"Active": "success", "Paused": "warning"})
    def status_label(self, partner: Partner) -> str:
        return partner.status.capitalize()

    @display(description="Rate now", ordering="bps_now")
    def rate_now(self, partner: Any) -> Any:
        if partner.bps_now is None:
            return "no agreement in force"
        rate = format_html('<span title="{} bps">{}</span>', partner.bps_now, format_bps(partner.bps_now))
        return rate if partner.has_rule else format_html("{}, no active rule", rate)

    @display(description="Active wallets", ordering="wallets_now")
    def wallet_count(self, partner: Any) -> Any:
        url = reverse("admin:partners_wallet_changelist")
        return format_html(
            '<a href="{}?partner__id__exact={}">{}</a>', url, partner.pk, f"{partner.wallets_now:,}"
        )

    @display(description="Wallets")
    def wallets_link(self, partner: Partner) -> Any:
        if partner._state.adding:
            return "Save the partner first, then add or import wallets."
        counts = partner.wallets.aggregate(all=Count("pk"), active=Count("pk", filter=Q(is_active=True)))
        return format_html(
            '{} active of {}. <a class="text-primary-600 dark:text-primary-500"'
            ' href="{}?partner__id__exact={}">Show the wallets</a>',
            f"{counts['active']:,}",
            f"{counts['all']:,}",
            reverse("admin:partners_wallet_changelist"),
            partner.pk,
        )

    @display(description="Payout address")
    def payout_address_shown(self, partner: Partner) -> Any:
        if partner._state.adding:
            return "Save the partner first, then request their payout address."
        version = PayoutAddress.objects.in_force().filter(partner=partner).first()
        return address_html(version.address) if version else "None in force: nothing is paid. More below."

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        """Show the payout address, in force and on its way, with the steps that this person may take."""
        partner = kwargs.get("obj")
        if isinstance(partner, Partner):
            assert isinstance(request.user, User)
            context["payout"] = section_of(partner, request.user)
        return super().render_change_form(request, context, **kwargs)  # type: ignore[no-any-return]

    def save_formset(self, request: HttpRequest, form: ModelForm[Any], formset: Any, change: bool) -> None:
        # Spans that are moved together may overlap in between; they are compared when all are saved.
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS agreement_no_overlap DEFERRED")
            formset.save()
            cursor.execute("SET CONSTRAINTS agreement_no_overlap IMMEDIATE")
        self.start_with_a_rule(request, formset.new_objects)

    @admin.action(description="Pause: earns on, is not paid", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Partner]) -> None:
        self._set_status(request, queryset, Partner.Status.PAUSED)

    @admin.action(description="Make active: is paid", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Partner]) -> None:
        self._set_status(request, queryset, Partner.Status.ACTIVE)

    def _set_status(self, request: HttpRequest, queryset: QuerySet[Partner], status: Partner.Status) -> None:
        if not self.is_explained(request):
            return
        keys = list(queryset.values_list("pk", flat=True))
        done = services.set_partners_status(
            actor=request.user, partner_ids=keys, status=status, reason=reason_of(request)
        )
        self.report(request, len(keys), done, f"Partners now {status.value.lower()}")
