"""Imports of another chain's files: the list of those made, and the page that previews and confirms one.

A preview writes nothing. The uploaded bytes wait in a temporary file whose name only the session knows; confirming
names the digest that was shown, and everything is checked again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.generic import TemplateView
from import_export.tmp_storages import TempFolderStorage
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget

from chain.admin.base import FactAdmin, change_url
from chain.admin.cells import mono, number, time_html
from chain.display import address_html, amount_html
from chain.imports.files import BYTES_MAX, ROWS_MAX, FileRefused
from chain.imports.preview import Preview
from chain.imports.services import ADD, ImportRefused, NotAllowed
from chain.models import ImportRun, Yield
from chain.tables import Column, Table
from ledger.admin.views import Guarded
from ledger.services import import_chain_file, preview_chain_file

PENDING = "chain_import"
ROWS_SHOWN_MAX = 200
PAGE = "admin:chain_importrun_import"


class UploadForm(forms.Form):
    """One file."""

    file = forms.FileField(
        label="CSV or JSON file",
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"At most {BYTES_MAX // 1024**2} MB and {ROWS_MAX:,} rows.",
    )

    def clean_file(self) -> Any:
        """Refuse by size before anything is read."""
        file = self.cleaned_data["file"]
        if file.size > BYTES_MAX:
            raise forms.ValidationError(
                f"The file has {file.size:,} bytes; {BYTES_MAX:,} is the most. Split it."
            )
        return file


class ImportPage(Guarded, TemplateView):
    """Upload, and what the uploaded file would do."""

    template_name = "admin/ledger/import.html"
    right = ADD
    http_method_names = ["get", "head", "options", "post"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.request.current_app = self.model_admin.admin_site.name
        frame = {**self.model_admin.admin_site.each_context(self.request), "opts": self.model_admin.opts}
        return super().get_context_data(**frame, title="Import a file", **({"form": UploadForm()} | kwargs))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        file = form.cleaned_data["file"]
        content = file.read()
        try:
            preview = preview_chain_file(content=content, file_name=file.name, now=timezone.now())
        except FileRefused as error:
            form.add_error("file", str(error))
            return self.render_to_response(self.get_context_data(form=form))
        forget(request)
        may_confirm = not (preview.problems or preview.changes_nothing)
        if may_confirm:
            storage = TempFolderStorage()
            storage.save(content)
            request.session[PENDING] = {"path": storage.name, "file_name": preview.file_name}
        return self.render_to_response(
            self.get_context_data(
                preview=preview,
                problems=preview.problems[:ROWS_SHOWN_MAX],
                tables=tables(preview),
                may_confirm=may_confirm,
            )
        )


class ImportConfirm(Guarded):
    """Imports the file whose preview was shown."""

    http_method_names = ["post"]
    right = ADD

    def post(self, request: HttpRequest) -> HttpResponse:
        pending = request.session.get(PENDING)
        try:
            content = Path(pending["path"]).read_bytes() if pending else None
        except FileNotFoundError:
            content = None
        if content is None or not pending:
            messages.warning(
                request, "This preview was imported already or is too old. Upload the file again."
            )
            return HttpResponseRedirect(reverse(PAGE))
        assert isinstance(request.user, User)
        try:
            run = import_chain_file(
                content=content,
                file_name=pending["file_name"],
                actor=request.user,
                now=timezone.now(),
                expected_sha256=request.POST.get("sha256", ""),
            )
        except (FileRefused, ImportRefused, NotAllowed) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse(PAGE))
        forget(request)
        if run is None:
            messages.info(request, "Everything in the file is stored already. Nothing was done.")
            return HttpResponseRedirect(reverse(PAGE))
        messages.success(
            request,
            f"Imported {run.file_name}: {run.reward_count:,} rewards, {run.stake_event_count:,} stake events.",
        )
        return HttpResponseRedirect(change_url(ImportRun, run.pk))


def forget(request: HttpRequest) -> None:
    """Remove the file that waits for confirmation, if one does."""
    pending = request.session.pop(PENDING, None)
    if pending:
        Path(pending["path"]).unlink(missing_ok=True)


def tables(preview: Preview) -> list[Table]:
    """The preview in tables: sums per component, epochs, stake events."""
    if preview.problems:
        return []
    found = [_components(preview), _epochs(preview)] if preview.groups else []
    return [*found, _events(preview)] if preview.events else found


def _components(preview: Preview) -> Table:
    totals = preview.totals
    return Table(
        "Rewards by component",
        (
            Column("Component"),
            Column("Epochs", right=True),
            Column("Stakers", right=True),
            Column("Credited to stakers", right=True),
            Column("Validator's revenue", right=True),
            Column("New rows", right=True),
            Column("Stored already", right=True),
        ),
        [
            (
                total.label,
                f"{total.epochs:,}",
                f"{total.stakers:,}",
                amount_html(total.reward_rao),
                amount_html(total.revenue_rao),
                f"{total.new_rows:,}",
                f"{total.known_rows:,}",
            )
            for total in totals
        ],
        total=(
            "Together",
            "",
            "",
            amount_html(sum(total.reward_rao for total in totals)),
            amount_html(sum(total.revenue_rao for total in totals)),
            f"{sum(total.new_rows for total in totals):,}",
            f"{sum(total.known_rows for total in totals):,}",
        ),
    )


def _epochs(preview: Preview) -> Table:
    groups = preview.groups
    # One vote account stands above the tables; of several, each row says which.
    whose = len(preview.vote_accounts) > 1
    return Table(
        "Epochs",
        (
            Column("Epoch"),
            Column("Component"),
            *([Column("Vote account")] if whose else []),
            Column("Slot", right=True),
            Column("Time (UTC)"),
            Column("Stakers", right=True),
            Column("Revenue", right=True),
            Column("In the books"),
        ),
        [
            (
                f"{group.epoch:,}",
                group.label,
                *([address_html(group.vote_account)] if whose else []),
                number(group.slot.number),
                time_html(group.slot.at),
                f"{len(group.rows):,}",
                amount_html(group.revenue_rao),
                "new" if group.is_new else "stored already",
            )
            for group in groups[:ROWS_SHOWN_MAX]
        ],
        note=f"The first {ROWS_SHOWN_MAX} of {len(groups):,}" if len(groups) > ROWS_SHOWN_MAX else "",
    )


def _events(preview: Preview) -> Table:
    kinds = sorted({event.kind for event in preview.events})
    new = preview.new_events
    return Table(
        "Stake events",
        (Column("Kind"), Column("New rows", right=True), Column("Stored already", right=True)),
        [
            (
                kind.capitalize(),
                f"{sum(event.kind == kind for event in new):,}",
                f"{sum(event.kind == kind for event in preview.events) - sum(event.kind == kind for event in new):,}",
            )
            for kind in kinds
        ],
    )


@admin.register(ImportRun)
class ImportRunAdmin(FactAdmin):
    """Every file that was imported, and the page for the next."""

    list_display = ["name", "show_file", "show_rewards", "show_events", "show_at", "show_by"]
    list_select_related = ["imported_by"]
    fields = ["show_file", "show_sha", "show_rows", "show_rewards", "show_events", "show_at", "show_by"]
    actions_list = ["open_import_page"]
    empty_title = "Nothing was imported yet"
    empty_text = "Press 'Import a file': you see what a file would do before anything is written."

    def get_urls(self) -> list[URLPattern]:
        """Add the page. What it shows writes nothing; a POST to an address of its own does."""
        view = self.admin_site.admin_view
        own = [
            path("import/", view(ImportPage.as_view(model_admin=self)), name="chain_importrun_import"),
            path(
                "import/confirm/",
                view(ImportConfirm.as_view(model_admin=self)),
                name="chain_importrun_import_confirm",
            ),
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def has_import_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Say whether the user may import; named for Django's `permissions` of actions."""
        return request.user.has_perm(ADD)

    @action(
        description="Import a file", permissions=["import"], url_path="open-import-page", icon="upload_file"
    )
    def open_import_page(self, request: HttpRequest) -> HttpResponse:
        """Lead to the upload; nothing is written."""
        return HttpResponseRedirect(reverse(PAGE))

    @display(description="Import")
    def name(self, run: ImportRun) -> SafeString | str:
        return number(run.pk)

    @display(description="File")
    def show_file(self, run: ImportRun) -> str:
        return run.file_name

    @display(description="SHA-256 of the file")
    def show_sha(self, run: ImportRun) -> SafeString | str:
        return mono(run.sha256)

    @display(description="Rows of the file")
    def show_rows(self, run: ImportRun) -> SafeString | str:
        return number(run.row_count)

    @display(description="Rewards added")
    def show_rewards(self, run: ImportRun) -> SafeString | str:
        return number(run.reward_count)

    @display(description="Stake events added")
    def show_events(self, run: ImportRun) -> SafeString | str:
        return number(run.stake_event_count)

    @display(description="Imported (UTC)")
    def show_at(self, run: ImportRun) -> SafeString | str:
        return time_html(run.imported_at)

    @display(description="By")
    def show_by(self, run: ImportRun) -> str:
        return str(run.imported_by or "command")

    def heading(self, obj: ImportRun) -> str:
        return f"Import {obj.pk}"

    def tables(self, obj: ImportRun) -> list[Table]:
        """The yields it added."""
        yields = Yield.objects.filter(import_run=obj).order_by("epoch", "hotkey", "side")
        return [
            Table(
                "Yields",
                (
                    Column("Epoch"),
                    Column("Component"),
                    Column("Slot", right=True),
                    Column("Take", right=True),
                ),
                [
                    (
                        f"{row.epoch:,}",
                        str(row.get_side_display()),
                        number(row.block_id),
                        amount_html(row.take_rao, row.asset),
                    )
                    for row in yields[:ROWS_SHOWN_MAX]
                ],
                empty="It held stake events only.",
            )
        ]
