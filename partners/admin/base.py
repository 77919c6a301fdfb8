"""What the admin pages of this app share: the reason, the history page, no deleting."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

from partners import forms, history, services
from partners.models import Partner

logger = logging.getLogger(__name__)
ENTRIES_PER_PAGE = 50


class RecordedAdmin(ModelAdmin):
    """An admin whose changes carry who and why into the history, and which deletes nothing."""

    class Media:
        css = {"all": ["partners/lists.css"]}

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
        try:
            with services.recorded(actor=request.user, reason=reason_of(request)):
                return super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError:
            # The database is the last judge, of two rows of one form or of two people at the same moment.
            logger.warning("partners.save_refused", exc_info=True)
            self.message_user(
                request,
                "Nothing was saved: what you entered contradicts itself, or what somebody else saved at"
                " the same moment. Look again and repeat.",
                messages.ERROR,
            )
            return redirect(request.get_full_path())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

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

    def report(self, request: HttpRequest, asked: int, done: int, what: str) -> None:
        already = f"; {asked - done} already were" if asked > done else ""
        level = messages.SUCCESS if done else messages.INFO
        self.message_user(request, f"{what}: {done}{already}.", level)


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
