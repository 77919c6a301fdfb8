"""Wallets, one by one and as lists from and to files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from import_export.admin import ImportExportMixin
from import_export.formats.base_formats import CSV, XLSX
from import_export.results import RowResult
from import_export.tmp_storages import TempFolderStorage
from unfold.contrib.filters.admin import RangeDateFilter, RelatedDropdownFilter
from unfold.contrib.import_export.forms import ExportForm
from unfold.decorators import display

from chain.display import address_html
from chain.imports.files import FileRefused
from chain.locks import Lock, hold
from chain.texts import without_hidden
from partners import forms, services
from partners.admin.base import RecordedAdmin, names_of, reason_of, without_reason
from partners.admin.wallet_changes import ManyWallets
from partners.models import Wallet
from partners.wallet_lists import Preview, WalletFile, WalletResource, export_in_lists, zip_of_lists
from partners.what_if import BookChange

logger = logging.getLogger(__name__)
# What waits in the session: the file that may be confirmed, or the refused rows that may be downloaded.
PENDING, REFUSED, SHOWN = "wallet_list", "wallet_list_refused", "wallet_list_shown"


class _Asked(Exception):
    """The confirmed list is to be tried and not imported."""

    def __init__(self, change: BookChange) -> None:
        self.change = change


class _Overtaken(Exception):
    """The confirmed list would do something else by now than its preview showed."""


class _Unexplained(Exception):
    """The confirmed list changes wallets that are there, and nobody said why."""


@admin.register(Wallet)
class WalletAdmin(ManyWallets, ImportExportMixin, RecordedAdmin):
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
    list_display = ("address_shown", "partner", "introduced", "ended", "active", "notes_shown")
    list_display_links = ("introduced",)
    list_select_related = ("partner",)
    # By an index: sorting a hundred thousand by the partners' names takes longer than all else.
    ordering = ("partner_id", "address")
    list_per_page = 50
    list_filter = (
        ("partner", RelatedDropdownFilter),
        "is_active",
        ("introduced_date", RangeDateFilter),
    )
    list_filter_submit = True
    search_fields = ("address", "partner__name", "partner__slug", "notes")
    search_help_text = "Address, partner or notes"
    autocomplete_fields = ("partner",)
    actions = ("deactivate", "reactivate", "reassign")
    empty_title = "No wallets yet"
    empty_text = (
        "A named partner is paid for the stake of the wallets listed here. Add a partner first, then import"
        " their list as CSV or XLSX, or add wallets one by one."
    )
    fieldsets = (
        (None, {"fields": ("partner", "address", "chain", "introduced_date", "ended_date", "is_active")}),
        (None, {"fields": ("notes", "reason")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Another address is another wallet.
        kept = ("address", "chain") if obj is not None else ()
        return (*super().get_readonly_fields(request, obj), *kept)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return without_reason(self, request, obj, super().get_fieldsets(request, obj))

    @display(description="Address", ordering="address")
    def address_shown(self, wallet: Wallet) -> Any:
        return address_html(wallet.address)

    @display(description="Introduced", ordering="introduced_date")
    def introduced(self, wallet: Wallet) -> str:
        return wallet.introduced_date.isoformat()

    @display(description="Ended", ordering="ended_date")
    def ended(self, wallet: Wallet) -> str:
        return wallet.ended_date.isoformat() if wallet.ended_date else "–"

    @display(description="Active", ordering="is_active", boolean=True)
    def active(self, wallet: Wallet) -> bool:
        return wallet.is_active

    @display(description="Notes")
    def notes_shown(self, wallet: Wallet) -> str:
        return wallet.notes if len(wallet.notes) <= 60 else f"{wallet.notes[:59]}…"

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Allow import to those who may both add and change wallets."""
        return bool(self.has_add_permission(request) and self.has_change_permission(request))

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Allow export to those who may take whole lists away."""
        return request.user.has_perm("partners.export_wallet")

    def _do_file_export(
        self, file_format: Any, request: HttpRequest, queryset: Any, export_form: Any = None
    ) -> HttpResponse:
        """Send one list, or several in an archive where one would be too long to be imported again."""

        def export(wallets: Any) -> bytes:
            data: str | bytes = self.get_export_data(file_format, request, wallets, export_form=export_form)
            return data.encode() if isinstance(data, str) else data

        lists = list(export_in_lists(queryset.order_by(*queryset.query.order_by, "pk"), export))
        name = self.get_export_filename(request, queryset, file_format)
        content, content_type = lists[0], file_format.get_content_type()
        if len(lists) > 1:
            content, content_type = zip_of_lists(lists, name), "application/zip"
            name = f"{name.rpartition('.')[0]}.zip"
        return HttpResponse(
            content,
            content_type=content_type,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def get_import_data_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Make the import all or nothing."""
        return {**super().get_import_data_kwargs(**kwargs), "rollback_on_validation_errors": True}

    def get_import_formats(self) -> list[Any]:
        """Read what the file holds; exports still ask for CSV or XLSX."""
        return [WalletFile]

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        """Say what is wrong with the file."""
        if not isinstance(e, FileRefused):
            logger.error("partners.list_unreadable", exc_info=e)
            e = FileRefused(
                f"The file cannot be read ({type(e).__name__}). Save the list as CSV UTF-8 or XLSX anew."
            )
        form.add_error("import_file", str(e))

    def import_action(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Show the form, or what the uploaded list would do."""
        if request.method == "POST":
            self._forget(request)
        response = super().import_action(request, **kwargs)
        context = response.context_data
        context["title"] = "Import a wallet list"
        if "result" in context:
            self._show(request, context)
        self._keep_or_remove(request, context)
        return response  # type: ignore[no-any-return]

    def _show(self, request: HttpRequest, context: dict[str, Any]) -> None:
        """Add to a page what the list would do; take the confirmation from it if there is nothing to confirm."""
        preview = context["preview"] = context["result"].preview
        if preview.is_refused or preview.changes_nothing:
            context.pop("confirm_form", None)
        elif preview.changed_count:
            context["confirm_form"].fields["reason"].required = True
        request.session[SHOWN] = context["result"].digest
        if preview.refused:
            storage = TempFolderStorage()
            storage.save(preview.refused_csv())
            request.session[REFUSED] = storage.name

    def _show_again(self, request: HttpRequest, form: forms.WalletConfirmForm) -> HttpResponse:
        """Show the preview of the file that waits once more, with what is wrong with the reason."""
        dataset = WalletFile().create_dataset(Path(request.session[PENDING]).read_bytes())
        result = WalletResource().import_data(dataset, dry_run=True, raise_errors=False)
        context = {
            **self.admin_site.each_context(request),
            "title": "Import a wallet list",
            "opts": self.opts,
            "media": self.media,
            "confirm_form": form,
            "result": result,
        }
        self._show(request, context)
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.import_template_name, context)

    def _keep_or_remove(self, request: HttpRequest, context: dict[str, Any]) -> None:
        """Let a file wait only if it can be confirmed, and only for the session that uploaded it."""
        # A form with an error has forgotten the file.
        name = getattr(request.FILES.get("import_file"), "tmp_storage_name", None)
        if "confirm_form" in context:
            request.session[PENDING] = name
        elif name:
            Path(name).unlink(missing_ok=True)

    def _forget(self, request: HttpRequest) -> None:
        """Remove what waits of an earlier upload."""
        request.session.pop(SHOWN, None)
        for key in (PENDING, REFUSED):
            if name := request.session.pop(key, None):
                Path(name).unlink(missing_ok=True)

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Import the confirmed list, with who and why in the history."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        waiting = request.session.get(PENDING)
        is_shown = waiting and Path(waiting).name == Path(request.POST.get("import_file_name", "")).name
        try:
            if request.method == "POST" and not is_shown:
                raise FileNotFoundError
            form = self.create_confirm_form(request)
            if form.errors.keys() == {"reason"}:
                return self._show_again(request, form)
            with services.recorded(actor=request.user, reason=without_hidden(reason_of(request))):
                response: HttpResponse = super().process_import(request, **kwargs)
        except _Asked as asked:
            # The list waits on, so that it can be imported from there.
            change = asked.change
            title = f"Wallet list: {len(change['wallets']['put']):,} put in, {len(change['wallets']['drop']):,} taken out"
            return self.ask(request, title, change, names_of(change), lambda: self._show_again(request, form))
        except _Overtaken:
            self.message_user(
                request,
                "Nothing was imported: somebody changed wallets since you saw this preview. It is shown as it is now.",
                messages.WARNING,
            )
            return self._show_again(request, form)
        except _Unexplained:
            form.add_error("reason", forms.WHY_MONEY_MOVES)
            return self._show_again(request, form)
        except FileNotFoundError:
            # The file is removed once it was imported: a second click must not look like a failure.
            self.message_user(
                request,
                "This preview was imported already or is too old. Upload the list again.",
                messages.WARNING,
            )
            response = redirect("admin:partners_wallet_import")
        self._forget(request)
        return response

    def process_dataset(self, dataset: Any, form: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Import the list, or read only what it would change."""
        if not self._is_asked(request):
            with transaction.atomic():
                # Before the list is held against what is there: what somebody saves meanwhile must not be undone.
                hold(Lock.SEAL)
                result = super().process_dataset(dataset, form, request, **kwargs)
                if not result.preview.is_refused and result.digest != request.session.get(SHOWN):
                    raise _Overtaken
                # What was new when it was shown may be there by now.
                if result.totals[RowResult.IMPORT_TYPE_UPDATE] and not form.cleaned_data["reason"]:
                    raise _Unexplained
            return result
        change, result = WalletResource().read_change(dataset)
        if result.preview.is_refused:
            return result
        raise _Asked(change)

    def refused_rows(self, request: HttpRequest) -> HttpResponse:
        """Download every refused row of the last preview with why."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        try:
            content = Path(request.session.get(REFUSED) or "/nonexistent").read_bytes()
        except FileNotFoundError:
            self.message_user(
                request, "There are no refused rows any more. Upload the list again.", messages.WARNING
            )
            return redirect("admin:partners_wallet_import")
        return HttpResponse(
            content,
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="refused-rows.csv"'},
        )

    def get_urls(self) -> list[URLPattern]:
        """Add the download."""
        view = self.admin_site.admin_view(self.refused_rows)
        return [path("import/refused/", view, name="partners_wallet_refused"), *super().get_urls()]

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        """Report; between preview and confirmation somebody may have made the list impossible."""
        preview: Preview = result.preview
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
