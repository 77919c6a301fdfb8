"""Wallets, one by one and as lists from and to files."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from import_export.admin import ImportExportMixin
from import_export.formats.base_formats import CSV, XLSX
from unfold.contrib.filters.admin import RangeDateFilter, RelatedDropdownFilter
from unfold.contrib.import_export.forms import ExportForm
from unfold.decorators import display

from chain.display import address_html
from partners import forms, services
from partners.admin.base import RecordedAdmin, reason_of, without_reason
from partners.models import Wallet
from partners.wallet_lists import Preview, WalletResource


@admin.register(Wallet)
class WalletAdmin(ImportExportMixin, RecordedAdmin):
    form = forms.WalletForm
    asks_what_if = True
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
        (None, {"fields": ("partner", "address", "chain", ("introduced_date", "is_active"))}),
        (None, {"fields": ("notes", "reason")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return without_reason(self, request, obj, super().get_fieldsets(request, obj))

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
        done = services.deactivate_wallets(actor=request.user, wallet_ids=keys, reason=reason_of(request))
        self.report(request, len(keys), done, "Wallets now inactive")

    @admin.action(description="Reactivate", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> None:
        keys = list(queryset.values_list("pk", flat=True))
        done = services.reactivate_wallets(actor=request.user, wallet_ids=keys, reason=reason_of(request))
        self.report(request, len(keys), done, "Wallets now active")

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
        try:
            with services.recorded(actor=request.user, reason=reason_of(request)):
                return super().process_import(request, **kwargs)  # type: ignore[no-any-return]
        except FileNotFoundError:
            # The file is removed once it was imported: a second click must not look like a failure.
            self.message_user(
                request,
                "This preview was imported already or is too old. Upload the list again.",
                messages.WARNING,
            )
            return redirect("admin:partners_wallet_import")

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
