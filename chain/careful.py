"""The admin whose pages answer whatever a request says: what cannot be is left out or refused, and said."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.forms import Field, MultipleChoiceField
from django.forms.utils import pretty_name
from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext
from unfold.admin import ModelAdmin

from chain.texts import without_hidden

VALUE_LENGTH_SHOWN_MAX = 40


class CarefulAdmin(ModelAdmin):  # type: ignore[misc]
    """All admins are this one."""

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill in what the address says, but for values that their field refuses."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        form_class = self.get_form(request, fields=flatten_fieldsets(self.get_fieldsets(request)))
        asked = [name for name in form_class.base_fields if name in initial]
        fields = form_class().fields if asked else {}
        refused = []
        for name in asked:
            if not _takes(fields[name], initial[name]):
                written = without_hidden(request.GET[name])[:VALUE_LENGTH_SHOWN_MAX]
                refused.append(f"{fields[name].label or pretty_name(name)} “{written}”")
                del initial[name]
        if refused:
            messages.warning(
                request,
                f"The address fills in what is not possible there, so it was left out: {', '.join(refused)}.",
            )
        return initial

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """Do nothing where one of the selected keys is none."""
        if not all(_is_key(self.model, key) for key in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            said = "Items must be selected in order to perform actions on them. No items have been changed."
            self.message_user(request, gettext(said), messages.WARNING)
            return None
        response: HttpResponseBase | None = super().response_action(request, queryset)
        return response


def _takes(field: Field, value: Any) -> bool:
    """Tell whether a field can be filled in with this; an empty one always can."""
    if value in field.empty_values:
        return True
    is_one_of_many = isinstance(field, MultipleChoiceField) and not isinstance(value, list)
    try:
        field.clean([value] if is_one_of_many else value)
    except ValidationError:
        return False
    return True


def _is_key(model: type[Model], key: str) -> bool:
    try:
        model._meta.pk.to_python(key)
    except ValidationError:
        return False
    return "\0" not in key
