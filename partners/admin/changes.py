"""All changes of all partners in one searchable list."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter, RelatedDropdownFilter
from unfold.decorators import display

from chain.careful import CarefulAdmin
from partners import history
from partners.admin.base import ENTRIES_PER_PAGE
from partners.models import Change
from partners.sealing import newest_head


@admin.register(Change)
class ChangeAdmin(CarefulAdmin):
    """All changes of all partners in one list; read only."""

    class Media:
        css = {"all": ["partners/lists.css"]}

    list_display = ("at_shown", "kind_shown", "what_shown", "difference", "who", "why", "request_shown")
    list_display_links = None
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("what", ChoicesDropdownFilter),
        ("partner", RelatedDropdownFilter),
        ("at", RangeDateFilter),
    )
    list_filter_submit = True
    search_fields = ("object_name", "username", "reason", "partner__name", "request_id")
    search_help_text = "Name, address, user, reason or request"
    list_per_page = ENTRIES_PER_PAGE
    list_before_template = "admin/partners/history_head.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the end of the chain of seals, to be noted elsewhere."""
        return super().changelist_view(request, {**(extra_context or {}), "head": newest_head()})

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Compare the changes of the page with those before them, once for all."""
        changelist = super().get_changelist_instance(request)
        # Keys first: whole rows are made for those alone, not for all that come before them or are searched.
        keys = list(changelist.result_list.values_list("pk", "at"))
        # By time too, because that has an index.
        found = Change.objects.filter(at__in=[at for _, at in keys]).in_bulk([pk for pk, _ in keys])
        changelist.result_list = [found[pk] for pk, _ in keys]
        for entry in history.describe(changelist.result_list):
            entry.change.entry = entry  # type: ignore[attr-defined]
        return changelist

    @display(description="When (UTC)", ordering="at")
    def at_shown(self, change: Change) -> Any:
        day, clock = change.at.strftime("%Y-%m-%d %H:%M:%S").split()
        return format_html('<time datetime="{}">{} {}</time>', change.at.isoformat(), day, clock)

    @display(description="What", ordering="kind")
    def kind_shown(self, change: Change) -> str:
        return change.get_kind_display()

    @display(
        description="Change",
        ordering="what",
        label={"Added": "success", "Changed": "info", "Removed": "danger"},
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

    @display(description="Request")
    def request_shown(self, change: Change) -> Any:
        """Its first letters, leading to all that the request changed."""
        if not change.request_id:
            return "–"
        return format_html(
            '<a class="text-primary-600 dark:text-primary-500" href="?q={0}" title="Request {0}">{1}</a>',
            change.request_id,
            change.request_id[:8],
        )
