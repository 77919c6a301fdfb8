"""Keys of the REST API."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from rest_framework_api_key.models import APIKey
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from chain.careful import CarefulAdmin
from partners.models import ApiKey

# The library's own keys are not bound to partners and open nothing here.
admin.site.unregister(APIKey)


@admin.register(ApiKey)
class ApiKeyAdmin(CarefulAdmin):
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

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        said = {"partner": "The key sees this partner only. Empty: it sees all partners."}
        return super().get_form(request, obj, change, help_texts=said, **kwargs)

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
