"""The history of partners as sentences: who changed which value from what to what, when, and why (PA6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Q, QuerySet

from chain.network import coin
from chain.units import format_bps, format_rao
from partners.models import (
    Agreement,
    AgreementTemplate,
    Change,
    Partner,
    PayoutAddress,
    Rule,
    Wallet,
    short_amount,
    short_moment,
)

MODELS: dict[str, type[models.Model]] = {
    Change.Kind.PARTNER: Partner,
    Change.Kind.AGREEMENT: Agreement,
    Change.Kind.RULE: Rule,
    Change.Kind.WALLET: Wallet,
    Change.Kind.PAYOUTADDRESS: PayoutAddress,
    Change.Kind.AGREEMENTTEMPLATE: AgreementTemplate,
}
_KIND_OF = {model: Change.Kind(kind) for kind, model in MODELS.items()}
_HIDDEN = {"id"}
_EMPTY = "–"
_NOTHING: tuple[object, ...] = (None, "", [])
_PEOPLE = ("requested_by_id", "told_by_id", "approved_by_id", "cancelled_by_id")
# Columns that rows of the history still have and the model has no more.
_FORMER: dict[str, dict[str, str]] = {Change.Kind.PARTNER: {"payout_address": "payout address"}}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value before and after; both as text for people."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One change with its differences, ready to be shown."""

    change: Change
    who: str
    fields: tuple[FieldChange, ...]

    @property
    def summary(self) -> str:
        """The changed fields in one line."""
        return "; ".join(f"{field.label}: {field.before} → {field.after}" for field in self.fields)


def is_kept(row: models.Model) -> bool:
    """Tell whether rows of this kind have a history."""
    return type(row) in _KIND_OF


def changes_of(
    row: Partner | Agreement | Rule | Wallet | PayoutAddress | AgreementTemplate,
) -> QuerySet[Change]:
    """List the changes of one row; for a partner or an agreement those of what hangs on it too.

    A partner's wallets are left out, because there may be many thousands; their changes are in the full list.
    """
    kind = _KIND_OF[type(row)]
    own = Q(kind=kind, object_id=row.pk)
    if isinstance(row, Partner):
        own |= Q(kind__in=[Change.Kind.AGREEMENT, Change.Kind.RULE, Change.Kind.PAYOUTADDRESS], partner=row)
    elif isinstance(row, Agreement):
        own |= Q(kind=Change.Kind.RULE, object_id__in=list(row.rules.values_list("pk", flat=True)))
    return Change.objects.filter(own)


def describe(changes: Sequence[Change]) -> list[Entry]:
    """Compare each change with the one before it on the same row, in a query for each kind and three for names."""
    before = _values_before(changes)
    names = _Names(changes, before.values())
    return [
        Entry(change, names.who(change), tuple(_compare(change, before.get(change.pk), names)))
        for change in changes
    ]


def _values_before(changes: Iterable[Change]) -> dict[str, dict[str, Any]]:
    """Find the values each row had before each change, by the change's key."""
    found: dict[str, dict[str, Any]] = {}
    wanted = {change.pk for change in changes}
    for kind in Change.Kind.values:
        rows = {change.object_id for change in changes if change.kind == kind}
        if not rows:
            continue
        last: dict[int, dict[str, Any]] = {}
        for change in Change.objects.filter(kind=kind, object_id__in=rows).order_by("event_id"):
            if change.pk in wanted and change.object_id in last:
                found[change.pk] = last[change.object_id]
            last[change.object_id] = change.values
    return found


class _Names:
    """Names for the keys that histories hold, read once."""

    def __init__(self, changes: Iterable[Change], before: Iterable[dict[str, Any]]) -> None:
        values = [*(change.values for change in changes), *before]
        partners = {value["partner_id"] for value in values if "partner_id" in value}
        agreements = {value["agreement_id"] for value in values if "agreement_id" in value}
        users = {int(change.user_id) for change in changes if not change.username and change.user_id}
        users |= {value[column] for value in values for column in _PEOPLE if value.get(column)}
        self._partners = dict(Partner.objects.filter(pk__in=partners).values_list("pk", "name"))
        listed = Agreement.objects.filter(pk__in=agreements).select_related("partner")
        self._agreements = {agreement.pk: str(agreement) for agreement in listed}
        found = get_user_model().objects.filter(pk__in=users)
        self._users = {str(user.pk): user.get_username() for user in found}

    def who(self, change: Change) -> str:
        if change.username:
            return change.username
        if change.user_id:
            return self._users.get(change.user_id, f"user {change.user_id}")
        return "the application" if change.reason else "outside the application"

    def of(self, column: str, key: int) -> str:
        if column in _PEOPLE:
            return self._users.get(str(key), f"user {key}")
        names = self._partners if column == "partner_id" else self._agreements
        return names.get(key, f"no. {key}")


def _compare(change: Change, before: dict[str, Any] | None, names: _Names) -> Iterable[FieldChange]:
    model = MODELS[change.kind]
    removed = change.what == Change.What.DELETE
    for column, label in _FORMER.get(change.kind, {}).items():
        old, new = (before or {}).get(column), change.values.get(column)
        if old != new and not removed and new is not None:
            yield FieldChange(label, old or _EMPTY, new or _EMPTY)
    for field in model._meta.concrete_fields:
        column = str(field.column)
        if column in _HIDDEN:
            continue
        # A removal stores what was removed, so its values are the ones before it.
        old = change.values.get(column) if removed else (before or {}).get(column)
        new = None if removed else change.values.get(column)
        if old != new and not (old in _NOTHING and new in _NOTHING):
            label = str(field.verbose_name)
            yield FieldChange(label, _show(field, old, names), _show(field, new, names))


def _show(field: models.Field[Any, Any], value: Any, names: _Names) -> str:
    if value in _NOTHING:
        return _EMPTY
    if field.column in ("partner_id", "agreement_id", *_PEOPLE):
        return names.of(str(field.column), value)
    if field.choices:
        return str(dict(field.flatchoices).get(value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field.name == "tiers":
        return "; ".join(f"from {short_amount(border)}: {format_bps(rate)}" for border, rate in value)
    if field.name == "rate_bps":
        return f"{format_bps(value)} ({value} bps)"
    if field.name.endswith("_rao"):
        return f"{format_rao(value)} {coin().unit}"
    if isinstance(field, models.DateTimeField):
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if field.name == "effective":
        return _show_span(value)
    if field.name in ("applies_from_block", "applies_until_block"):
        return f"{value:,}"
    return str(value)


def _show_span(text: str) -> str:
    """Write PostgreSQL's text of a range, `["2025-08-01 00:00:00+00",)`, in words."""
    found = re.fullmatch(r'\["?([^",]*)"?,"?([^",]*)"?\)', text)
    if not found:
        return text
    lower, upper = (_parse(part) for part in found.groups())
    words = [f"from {short_moment(lower)}" if lower else "", f"until {short_moment(upper)}" if upper else ""]
    return " ".join(word for word in words if word)


def _parse(text: str) -> datetime | None:
    # PostgreSQL writes a zone of whole hours as +00, which Python 3.11 reads.
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
