"""The admin of rows that only services write: look, never add, change or delete."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows that only services write."""

    # Say on an empty list what to do first (templates/unfold/helpers/empty_results.html).
    empty_title = ""
    empty_text: str = ""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        # Unfold's button to leave a form is called Close, which means something else where days are closed.
        if not self.has_change_permission(request, kwargs.get("obj")):
            context["show_close"] = False
        return super().render_change_form(request, context, **kwargs)  # type: ignore[no-any-return]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
