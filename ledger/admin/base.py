"""What the ledger's pages share."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from chain.readonly import ReadOnlyAdmin


class LedgerAdmin(ReadOnlyAdmin):
    """Rows of the ledger, some of which are shown on pages of their own."""

    class Media:
        css = {"all": ["ledger/ledger.css"]}

    def page_of(self, row: Any) -> str | None:
        """Give the page on which a row is shown, where that is not a form of its own."""
        return None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Lead to the page of the row, or show its form, which cannot be saved."""
        row = self.get_object(request, unquote(object_id))
        if row is not None and not self.has_view_permission(request, row):
            raise PermissionDenied
        page = None if row is None else self.page_of(row)
        if page is not None:
            return HttpResponseRedirect(page)
        return super().change_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
