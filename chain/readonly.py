"""The admin of rows that only services write: look, never add, change or delete."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from chain.careful import CarefulAdmin


class ReadOnlyAdmin(CarefulAdmin):
    """Rows that only services write."""

    # Say on an empty list what to do first (templates/unfold/helpers/empty_results.html).
    empty_title = ""
    empty_text: str = ""

    change_form_template = "admin/read_only_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
