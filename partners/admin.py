"""Partners in the admin: lists, forms that ask why, readable history, wallet lists, API keys.

Nothing can be deleted here. What is saved goes through forms that validate as the services do, inside
`recorded`, so that the history knows who did it and why; bulk actions call the services.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import BooleanField, Count, Exists, ExpressionWrapper, OuterRef, Q, QuerySet, Subquery
from django.forms import BaseFormSet, ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from import_export.admin import ImportExportMixin
from import_export.formats.base_formats import CSV, XLSX
from rest_framework_api_key.models import APIKey
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter, RelatedDropdownFilter
from unfold.contrib.import_export.forms import ExportForm
from unfold.decorators import display

from chain.display import address_html, amount_html
from chain.units import format_bps
from partners import forms, history, services
from partners.models import Agreement, ApiKey, Change, Partner, Rule, Wallet, short_moment
from partners.wallet_lists import Preview, WalletResource

ENTRIES_PER_PAGE = 50
# An agreement without its form, whose fields exist only there.
SHOWN_VALUES = ("starts", "ends", "rate", "minimum")
SHOWN_TERMS = (("starts", "ends"), ("rate", "minimum"), "basis", "notes")


class RecordedAdmin(ModelAdmin):  # type: ignore[misc]
    """An admin whose changes carry who and why into the history, and which deletes nothing."""

    action_form = forms.ReasonActionForm
    # Says on an empty list what to do first (templates/unfold/helpers/empty_results.html).
    empty_title = ""
    empty_text = ""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        with services.recorded(actor=request.user, reason=_reason(request)):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what changed on this row, newest first, from the history tables."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        pages = Paginator(history.changes_of(row), ENTRIES_PER_PAGE)
        page = pages.get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "opts": self.opts,
            "object": row,
            "page": page,
            "entries": history.describe(list(page.object_list)),
            "is_partner": isinstance(row, Partner),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/partners/history.html", context)

    def _report(self, request: HttpRequest, asked: int, done: int, what: str) -> None:
        already = f"; {asked - done} already were" if asked > done else ""
        level = messages.SUCCESS if done else messages.INFO
        self.message_user(request, f"{what}: {done}{already}.", level)


class AgreementDisplay:
    """An agreement in words, for lists and for those who may only look."""

    @display(description="Rate", ordering="rate_bps")
    def rate(self, agreement: Agreement) -> Any:
        return format_html(
            '<span title="{} bps">{}</span>', agreement.rate_bps, format_bps(agreement.rate_bps)
        )

    @display(description="From (UTC)", ordering="effective__startswith")
    def starts(self, agreement: Agreement) -> str:
        return short_moment(agreement.effective.lower)

    @display(description="Until (UTC)", ordering="effective__endswith")
    def ends(self, agreement: Agreement) -> str:
        return short_moment(agreement.effective.upper) if agreement.effective.upper else "no end"

    @display(description="Minimum payout", ordering="minimum_payout_rao")
    def minimum(self, agreement: Agreement) -> Any:
        return amount_html(agreement.minimum_payout_rao)


class AgreementInline(AgreementDisplay, StackedInline):  # type: ignore[misc]
    model = Agreement
    form = forms.AgreementInlineForm
    formset = forms.AgreementFormSet
    fields = (
        "effective_from",
        "effective_until",
        ("rate", "minimum_payout"),
        "basis",
        "notes",
    )
    extra = 0
    can_delete = False
    show_change_link = True

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if self.has_change_permission(request, obj) else SHOWN_TERMS

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if self.has_change_permission(request, obj) else SHOWN_VALUES


class RuleInline(TabularInline):  # type: ignore[misc]
    model = Rule
    fields = ("kind", "priority", "applies_from_block", "is_active")
    extra = 0
    can_delete = False
    show_change_link = True


class AgreementSaving:
    """Saving of agreements, shared by their own page and the partner's."""

    def start_with_a_rule(self, request: HttpRequest, agreements: list[Agreement]) -> None:
        """Give a new agreement the wallet rule without which it would find nobody."""
        for agreement in agreements:
            if agreement.partner.kind == Partner.Kind.NAMED and not agreement.rules.exists():
                services.add_rule(actor=request.user, agreement=agreement, reason=_reason(request))
                messages.info(
                    request,
                    f"The agreement {agreement.terms} was given a wallet rule, so that it finds wallets.",
                )


@admin.register(Partner)
class PartnerAdmin(AgreementSaving, RecordedAdmin):
    form = forms.PartnerForm
    list_display = ("name", "kind_label", "status_label", "rate_now", "wallet_count")
    list_filter = (("status", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    list_filter_submit = True
    search_fields = ("name", "slug", "contact_email", "payout_address", "notes")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("wallets_link",)
    inlines = (AgreementInline,)
    actions = ("pause", "activate")
    empty_title = "No partners yet"
    empty_text = (
        "A partner brings you delegators and is paid a share of the take. Add the first one with an"
        " agreement, then load the list of their wallets."
    )
    fieldsets = (
        (None, {"fields": (("name", "slug"), ("kind", "status"), "wallets_link")}),
        ("Payment", {"fields": ("payout_address", "contact_email")}),
        (None, {"fields": ("notes", "reason")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Partner]:
        in_force = Agreement.objects.filter(partner=OuterRef("pk"), effective__contains=timezone.now())
        found = Wallet.objects.filter(partner=OuterRef("pk"), is_active=True).order_by().values("partner")
        rules = Rule.objects.filter(agreement__partner=OuterRef("pk"), is_active=True)
        return (
            super()
            .get_queryset(request)
            .annotate(
                bps_now=Subquery(in_force.values("rate_bps")[:1]),
                wallets_now=Subquery(found.annotate(count=Count("*")).values("count")),
                has_rule=Exists(rules.filter(agreement__effective__contains=timezone.now())),
            )
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return _without_reason(self, request, obj, super().get_fieldsets(request, obj))

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
            '<a href="{}?partner__id__exact={}">{}</a>', url, partner.pk, f"{partner.wallets_now or 0:,}"
        )

    @display(description="Wallets")
    def wallets_link(self, partner: Partner) -> Any:
        if partner.pk is None:
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
        keys = list(queryset.values_list("pk", flat=True))
        done = services.set_partners_status(
            actor=request.user, partner_ids=keys, status=status, reason=_reason(request)
        )
        self._report(request, len(keys), done, f"Partners now {status.value.lower()}")


@admin.register(Agreement)
class AgreementAdmin(AgreementDisplay, AgreementSaving, RecordedAdmin):
    form = forms.AgreementForm
    list_display = ("partner", "rate", "starts", "ends", "in_force", "minimum", "rule_count")
    list_display_links = ("partner", "rate")
    list_select_related = ("partner",)
    list_filter = (("partner", RelatedDropdownFilter),)
    list_filter_submit = True
    search_fields = ("partner__name", "partner__slug", "notes")
    autocomplete_fields = ("partner",)
    inlines = (RuleInline,)
    empty_title = "No agreements yet"
    empty_text = (
        "An agreement says what share of the take a partner is paid, and from when. Add a partner first."
    )
    fieldsets = (
        (None, {"fields": ("partner", "effective_from", "effective_until", ("rate", "minimum_payout"))}),
        (None, {"fields": ("basis", "notes", "reason")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agreement]:
        rules = Count("rules", filter=Q(rules__is_active=True))
        in_force = Q(effective__contains=timezone.now())
        return (
            super().get_queryset(request).annotate(rules_now=rules).annotate(is_in_force=_as_flag(in_force))
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return ((None, {"fields": ("partner", *SHOWN_TERMS)}),)
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return SHOWN_VALUES
        return super().get_readonly_fields(request, obj)

    @display(description="In force", boolean=True, ordering="is_in_force")
    def in_force(self, agreement: Any) -> bool:
        return bool(agreement.is_in_force)

    @display(description="Active rules", ordering="rules_now")
    def rule_count(self, agreement: Any) -> str:
        return str(agreement.rules_now or "none: finds nobody")

    def save_related(
        self, request: HttpRequest, form: Any, formsets: list[BaseFormSet[Any]], change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            self.start_with_a_rule(request, [form.instance])


@admin.register(Rule)
class RuleAdmin(RecordedAdmin):
    form = forms.RuleForm
    list_display = ("agreement", "kind", "priority", "applies_from_block", "is_active")
    list_select_related = ("agreement__partner",)
    list_filter = ("is_active", ("agreement__partner", RelatedDropdownFilter))
    list_filter_submit = True
    search_fields = ("agreement__partner__name",)
    autocomplete_fields = ("agreement",)
    actions = ("deactivate", "reactivate")
    empty_title = "No rules yet"
    empty_text = "A rule says how the delegators of an agreement are found. It comes with a new agreement."

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return _without_reason(self, request, obj, super().get_fieldsets(request, obj))

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        self._set_active(request, queryset, False)

    @admin.action(description="Reactivate", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        self._set_active(request, queryset, True)

    def _set_active(self, request: HttpRequest, queryset: QuerySet[Rule], is_active: bool) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        done = services.set_rules_active(
            actor=request.user, rule_ids=keys, is_active=is_active, reason=_reason(request)
        )
        self._report(request, len(keys), done, f"Rules now {'active' if is_active else 'inactive'}")


@admin.register(Wallet)
class WalletAdmin(ImportExportMixin, RecordedAdmin):
    form = forms.WalletForm
    resource_classes = [WalletResource]
    import_form_class = forms.WalletImportForm
    confirm_form_class = forms.WalletConfirmForm
    export_form_class = ExportForm
    import_template_name = "admin/partners/wallet/import.html"
    formats = (CSV, XLSX)
    # The history knows every row of an import already.
    skip_admin_log = True
    list_display = ("address_shown", "partner", "introduced", "active", "notes_shown")
    list_display_links = ("introduced",)
    list_select_related = ("partner",)
    list_filter = (
        ("partner", RelatedDropdownFilter),
        "is_active",
        ("introduced_date", RangeDateFilter),
    )
    list_filter_submit = True
    search_fields = ("address", "partner__name", "partner__slug", "notes")
    search_help_text = "Address, partner or notes"
    autocomplete_fields = ("partner",)
    actions = ("deactivate", "reactivate")
    empty_title = "No wallets yet"
    empty_text = (
        "A named partner is paid for the stake of the wallets listed here. Add a partner first, then import"
        " their list as CSV or XLSX, or add wallets one by one."
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "partner",
                    ("chain", "address"),
                    ("introduced_date", "is_active"),
                    "notes",
                    "reason",
                )
            },
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return _without_reason(self, request, obj, super().get_fieldsets(request, obj))

    @display(description="Address", ordering="address")
    def address_shown(self, wallet: Wallet) -> Any:
        return address_html(wallet.address)

    @display(description="Introduced", ordering="introduced_date")
    def introduced(self, wallet: Wallet) -> str:
        return wallet.introduced_date.isoformat()

    @display(description="Active", ordering="is_active", boolean=True)
    def active(self, wallet: Wallet) -> bool:
        return wallet.is_active

    @display(description="Notes")
    def notes_shown(self, wallet: Wallet) -> str:
        return wallet.notes if len(wallet.notes) <= 60 else f"{wallet.notes[:59]}…"

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        done = services.deactivate_wallets(actor=request.user, wallet_ids=keys, reason=_reason(request))
        self._report(request, len(keys), done, "Wallets now inactive")

    @admin.action(description="Reactivate", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        done = services.reactivate_wallets(actor=request.user, wallet_ids=keys, reason=_reason(request))
        self._report(request, len(keys), done, "Wallets now active")

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Allow import to those who may both add and change wallets."""
        return bool(self.has_add_permission(request) and self.has_change_permission(request))

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Allow export to those who may see the list."""
        return bool(self.has_view_permission(request))

    def get_import_data_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Make the import all or nothing."""
        return {**super().get_import_data_kwargs(**kwargs), "rollback_on_validation_errors": True}

    def get_confirm_form_initial(self, request: HttpRequest, import_form: Any) -> dict[str, Any]:
        """Carry the reason from the upload to the confirmation."""
        initial: dict[str, Any] = super().get_confirm_form_initial(request, import_form)
        return {**initial, "reason": import_form.cleaned_data["reason"]} if import_form else initial

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the form, or what the uploaded list would do."""
        response = super().import_action(request, **kwargs)
        context = response.context_data
        context["title"] = "Import a wallet list"
        if "result" in context:
            preview = context["preview"] = Preview(context["result"])
            if preview.is_refused or preview.changes_nothing:
                context.pop("confirm_form", None)
        return response  # type: ignore[no-any-return]

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import the confirmed list, with who and why in the history."""
        with services.recorded(actor=request.user, reason=_reason(request)):
            return super().process_import(request, **kwargs)  # type: ignore[no-any-return]

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        """Report; between preview and confirmation somebody may have made the list impossible."""
        preview = Preview(result)
        if preview.is_refused:
            self.message_user(
                request,
                "Nothing was imported: the wallets changed since the preview. Upload the list again.",
                messages.ERROR,
            )
            return redirect("admin:partners_wallet_import")
        counts = ", ".join(f"{count:,} {name}" for name, count in preview.counts if name != "refused")
        self.message_user(request, f"Wallet list imported: {counts}.", messages.SUCCESS)
        return redirect("admin:partners_wallet_changelist")


@admin.register(Change)
class ChangeAdmin(ModelAdmin):  # type: ignore[misc]
    """All changes of all partners in one list; read only."""

    list_display = ("at_shown", "kind_shown", "what_shown", "difference", "who", "why")
    list_display_links = None
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("what", ChoicesDropdownFilter),
        ("partner", RelatedDropdownFilter),
        ("at", RangeDateFilter),
    )
    list_filter_submit = True
    search_fields = ("object_name", "username", "reason", "partner__name")
    search_help_text = "Name, address, user or reason"
    list_per_page = ENTRIES_PER_PAGE
    empty_title = "No changes yet"
    empty_text = (
        "Every change of partners, agreements, rules and wallets will be listed here, with who and why."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Compare the changes of the page with those before them, once for all."""
        changelist = super().get_changelist_instance(request)
        changelist.result_list = list(changelist.result_list)
        for entry in history.describe(changelist.result_list):
            entry.change.entry = entry
        return changelist

    @display(description="When (UTC)", ordering="at")
    def at_shown(self, change: Change) -> Any:
        day, clock = change.at.strftime("%Y-%m-%d %H:%M:%S").split()
        return format_html('<time datetime="{}">{} {}</time>', change.at.isoformat(), day, clock)

    @display(description="What", ordering="kind")
    def kind_shown(self, change: Change) -> str:
        return change.get_kind_display()

    @display(
        description="", ordering="what", label={"Added": "success", "Changed": "info", "Removed": "danger"}
    )
    def what_shown(self, change: Change) -> str:
        return change.get_what_display()

    @display(description="Of, and what differs")
    def difference(self, change: Any) -> Any:
        name = change.object_name
        if change.what != Change.What.DELETE:
            url = reverse(f"admin:partners_{change.kind.lower()}_history", args=[change.object_id])
            name = format_html(
                '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, name
            )
        fields = change.entry.fields if change.what == Change.What.UPDATE else ()
        lines = format_html_join("", "<div>{}: {} → {}</div>", ((f.label, f.before, f.after) for f in fields))
        return format_html('<div style="overflow-wrap: anywhere">{}{}</div>', name, lines)

    @display(description="Who", ordering="username")
    def who(self, change: Any) -> str:
        return str(change.entry.who)

    @display(description="Why")
    def why(self, change: Change) -> str:
        return change.reason


# The library's own keys are not bound to partners and open nothing here.
admin.site.unregister(APIKey)


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]
    """Keys of the REST API: made here and shown once, kept as a hash, revoked for good."""

    list_display = ("name", "partner_shown", "prefix", "created", "expiry_date", "state")
    list_select_related = ("partner",)
    list_filter = ("revoked", ("partner", RelatedDropdownFilter))
    list_filter_submit = True
    search_fields = ("name", "prefix", "partner__name")
    autocomplete_fields = ("partner",)
    fields = ("name", "partner", "expiry_date", "prefix", "created", "revoked")
    actions = ("revoke",)
    empty_title = "No API keys yet"
    empty_text = "A key lets a program read the API. Bound to a partner it sees that partner only."

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("prefix", "created", "revoked")
        fixed = ("prefix", "created", "partner")
        return (*fixed, "name", "expiry_date", "revoked") if obj.revoked else fixed

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ("name", "partner", "expiry_date")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Sees")
    def partner_shown(self, key: ApiKey) -> str:
        return str(key.partner) if key.partner else "all partners"

    @display(
        description="State",
        label={"Valid": "success", "Expired": "warning", "Revoked": "danger"},
        ordering="revoked",
    )
    def state(self, key: ApiKey) -> str:
        if key.revoked:
            return "Revoked"
        return "Expired" if key.has_expired else "Valid"

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key of a new row and show it this once."""
        if change:
            obj.save()
            return
        key = ApiKey.objects.assign_key(obj)
        obj.save()
        message = format_html(
            "The key is <code>{}</code>. Copy it now: it is stored only as a hash and cannot be shown again.",
            key,
        )
        self.message_user(request, message, messages.WARNING)

    @admin.action(description="Revoke for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        done = queryset.filter(revoked=False).update(revoked=True)
        self.message_user(request, f"Keys revoked: {done}.", messages.SUCCESS if done else messages.INFO)


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()[: forms.REASON_LENGTH_MAX]


def _as_flag(condition: Q) -> Any:
    return ExpressionWrapper(condition, output_field=BooleanField())


def _without_reason(model_admin: Any, request: HttpRequest, obj: Any, fieldsets: Any) -> Any:
    """Leave the reason out where nothing can be changed: a read-only page has no form."""
    if obj is None or model_admin.has_change_permission(request, obj):
        return fieldsets
    return [
        (name, {**options, "fields": [field for field in options["fields"] if field != "reason"]})
        for name, options in fieldsets
    ]
