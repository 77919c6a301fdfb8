"""What the admin pages of this app share: the reason, the history page, no deleting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.decorators import action

from chain.careful import CarefulAdmin
from chain.locks import Lock, hold
from chain.texts import without_hidden
from partners import forms, history, services
from partners.models import Partner
from partners.texts import check_reason
from partners.what_if import BookChange, difference, partners_of

Tried = TypeVar("Tried")
logger = logging.getLogger(__name__)
ENTRIES_PER_PAGE = 50
OVERTAKEN_SHOWN_MAX = 5
# The name of the button that leads from a comparison back to the form.
BACK = "_back_to_form"


class _Unsaved:
    """A form that is never saved and has no faults: it shows again what was typed."""

    def is_valid(self) -> bool:
        super().is_valid()  # type: ignore[misc]
        return False


class RecordedAdmin(CarefulAdmin):
    """An admin whose changes carry who and why into the history, and which deletes nothing."""

    class Media:
        css = {"all": ["partners/lists.css"]}

    action_form = forms.ReasonActionForm
    # Offers to try what was typed on closed days before it is saved (PA9).
    asks_what_if = False
    change_form_before_template = "admin/partners/seen.html"
    actions_submit_line = ("what_if",)
    # Says on an empty list what to do first (templates/unfold/helpers/empty_results.html).
    empty_title = ""
    empty_text = ""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer rows by a field that shows only what can be one."""
        kwargs.setdefault("form_class", forms.KnownChoiceField)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if object_id is None:
            # Unfold offers its buttons for rows that exist only.
            extra_context = {
                **(extra_context or {}),
                "actions_submit_line": self.get_actions_submit_line(request),
            }
        try:
            # What hides in a reason is refused by its form.
            reason = without_hidden(reason_of(request))
            with services.recorded(actor=request.user, reason=reason), transaction.atomic():
                if request.method == "POST":
                    # Whoever saves now waits, so that nothing comes between looking and saving.
                    hold(Lock.SEAL)
                extra_context = {**(extra_context or {}), "seen": self._look(request, object_id)}
                if self._is_asked(request):
                    return self._try(request, object_id, form_url, extra_context)
                return super().changeform_view(request, object_id, form_url, extra_context)
        except (IntegrityError, OperationalError):
            # The database is the last judge, of two rows of one form or of two people at the same moment.
            logger.warning("partners.save_refused", exc_info=True)
            self.message_user(
                request,
                "Nothing was saved: what you entered contradicts itself, or what somebody else saved at"
                " the same moment. Look again and repeat.",
                messages.ERROR,
            )
            return redirect(request.get_full_path())

    def _look(self, request: HttpRequest, object_id: str | None) -> int | None:
        """Count the changes of the row, for the page to remember. What was typed on a page that knows fewer is not saved,
        but shown again with what somebody else saved since."""
        row = self.get_object(request, unquote(object_id)) if object_id is not None else None
        if row is None or not history.is_kept(row):
            return None
        changes = history.changes_of(row)
        now = changes.count()
        seen = request.POST.get("seen", "")
        if request.method == "POST" and seen.isascii() and seen.isdecimal() and seen != str(now):
            request.is_overtaken = True  # type: ignore[attr-defined]
            since = history.describe(list(changes[: min(max(now - int(seen[:9]), 1), OVERTAKEN_SHOWN_MAX)]))
            said = "; ".join(f"{entry.who}: {entry.summary or 'added'}" for entry in since)
            self.message_user(
                request,
                f"Nothing was saved: since you opened this page, it was changed ({said}). Below is what you typed. "
                "Put in what shall stay of it, then save again.",
                messages.WARNING,
            )
        return now

    @action(description="What if", icon="difference")
    def what_if(self, request: HttpRequest, obj: Any) -> None:
        """Nothing: the button is looked for before the form is saved, and what it saved is taken back."""

    def get_actions_submit_line(self, request: HttpRequest, object_id: Any = None) -> Any:
        """Offer the comparison to those who may save."""
        may_save = (
            self.has_change_permission(request) if object_id is not None else self.has_add_permission(request)
        )
        # A popup closes when it is saved; a comparison is a page.
        is_asked = self.asks_what_if and may_save and "_popup" not in {**request.GET, **request.POST}
        return super().get_actions_submit_line(request, object_id) if is_asked else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Show what was typed once more, without saving it, to those who come back from a comparison."""
        form = super().get_form(request, obj, change, **kwargs)
        is_shown_again = BACK in request.POST or getattr(request, "is_overtaken", False)
        return type(form.__name__, (_Unsaved, form), {}) if is_shown_again else form

    def save_model(self, request: Any, obj: Any, form: Any, change: Any) -> None:
        """Save, and remember what was saved for the title of a comparison."""
        super().save_model(request, obj, form, change)
        request.saved_row = obj

    def _is_asked(self, request: HttpRequest) -> bool:
        name = f"{self.opts.app_label}_{self.opts.model_name}_what_if"
        return self.asks_what_if and request.method == "POST" and name in request.POST

    def _try(self, request: Any, object_id: str | None, form_url: str, extra_context: Any) -> Any:
        """Save what was typed, read the rule book that it makes, take it all back, and have the difference tried."""
        waiting = len(messages.get_messages(request))

        def save() -> tuple[Any, str]:
            response = super(RecordedAdmin, self).changeform_view(request, object_id, form_url, extra_context)
            row = getattr(request, "saved_row", None)
            return response, "" if row is None else str(row)

        (response, row), change, names = tried(save)
        if not row:
            return response
        title = f"{'New' if object_id is None else 'Changed'} {self.opts.verbose_name}: {row}"
        # What the save would have said is not so; what was said before it is.
        for message in list(messages.get_messages(request))[:waiting]:
            messages.add_message(request, message.level, message.message, message.extra_tags)
        return self.ask(request, title, change, names)

    def ask(
        self,
        request: HttpRequest,
        title: str,
        change: BookChange,
        names: dict[str, str],
        otherwise: Callable[[], HttpResponse] | None = None,
        action: str = "",
    ) -> HttpResponse:
        """Have a change tried that this request would save, and lead to where it is shown.

        :param otherwise: gives the page to show when there is nothing to try; without it, the form anew.
        :param action: the action on a list that makes the change, where this request was one that tries it.
        """
        fields = [
            [name, action if action and name == "action" else value]
            for name, values in request.POST.lists()
            for value in values
            if name != "csrfmiddlewaretoken" and not name.endswith("_what_if")
        ]
        try:
            asked = services.ask_what_if(
                actor=request.user,
                title=title,
                change=change,
                names=names,
                form={"action": request.get_full_path(), "fields": fields},
                now=timezone.now(),
            )
        except services.Refused as error:
            self.message_user(request, f"{error} Nothing was saved.", messages.INFO)
            return otherwise() if otherwise else redirect(request.get_full_path())
        return redirect("admin:partners_whatif_page", asked.pk)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask why before a row that may go is deleted."""
        form = forms.ExplainedForm(request.POST if request.method == "POST" else None)
        with self._deleting(request, form):
            response: HttpResponse = super().delete_view(
                request, object_id, {**(extra_context or {}), "reason_form": form}
            )
        return response

    @admin.action(permissions=["delete"], description="Delete selected %(verbose_name_plural)s")
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Delete as Django does, with a reason; for `actions` of an admin that deletes."""
        is_confirmed = "post" in request.POST
        form = forms.ExplainedForm(
            request.POST if is_confirmed else None, initial={"reason": reason_of(request)}
        )
        with self._deleting(request, form):
            response: TemplateResponse | None = delete_selected(self, request, queryset)
        if response is not None and response.context_data is not None:
            response.context_data["reason_form"] = form
        return response

    @contextmanager
    def _deleting(self, request: HttpRequest, form: forms.ExplainedForm) -> Iterator[None]:
        """Have what is deleted inside recorded with the form's reason; without one nothing is confirmed."""
        if not form.is_valid():
            # Whatever is posted is a confirmation to Django.
            request.POST = QueryDict()
        reason = form.cleaned_data["reason"] if form.is_valid() else ""
        with services.recorded(actor=request.user, reason=reason), transaction.atomic():
            if form.is_valid():
                hold(Lock.SEAL)
            yield

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what changed on this row, newest first, from the history tables."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            missing: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return missing
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

    def is_explained(self, request: HttpRequest) -> bool:
        """Tell whether an action on many rows says why, so that it can be kept; else ask for it."""
        fault = "" if reason_of(request) else f"{forms.WHY_MONEY_MOVES} The field is beside the action."
        try:
            check_reason(reason_of(request))
        except ValueError as error:
            fault = str(error)
        if fault:
            self.message_user(request, f"Nothing was changed. {fault}", messages.ERROR)
        return not fault

    def report(self, request: HttpRequest, asked: int, done: int, what: str) -> None:
        already = f"; {asked - done} already were" if asked > done else ""
        level = messages.SUCCESS if done else messages.INFO
        self.message_user(request, f"{what}: {done}{already}.", level)


def tried(work: Callable[[], Tried]) -> tuple[Tried, BookChange, dict[str, str]]:
    """Do something, read the rule book that it makes, and take it back; give its answer, the change, and partners' names."""
    with transaction.atomic():
        # What somebody else saves meanwhile waits, and is not taken for a part of this.
        hold(Lock.SEAL)
        before = services.rules_now()
        answer = work()
        change = difference(before, services.rules_now())
        names = names_of(change)
        # Whatever was answered: nothing that happened in here may stay.
        transaction.set_rollback(True)
    return answer, change, names


def names_of(change: BookChange) -> dict[str, str]:
    """Names of the partners whom a change is about, who need not be there when it is shown."""
    listed = Partner.objects.filter(pk__in=partners_of(change)).values_list("pk", "name")
    return {str(pk): name for pk, name in listed}


def reason_of(request: HttpRequest) -> str:
    """Read why a form is sent."""
    return request.POST.get("reason", "").strip()[: forms.REASON_LENGTH_MAX]


def without_reason(model_admin: Any, request: HttpRequest, obj: Any, fieldsets: Any) -> Any:
    """Leave the reason out where nothing can be changed: a read-only page has no form."""
    if obj is None or model_admin.has_change_permission(request, obj):
        return fieldsets
    return [
        (name, {**options, "fields": [field for field in options["fields"] if field != "reason"]})
        for name, options in fieldsets
    ]
