"""Switching many wallets on or off, and giving them to another partner, in two steps.

The first shows how many wallets are meant, whose they are and some of them, and asks why; the second names the
selection that was shown and is refused if it is another by now. Both are posted to the list, which selects anew.
"""

from __future__ import annotations

import hashlib
from array import array
from datetime import date
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from chain.locks import Lock, hold
from partners import forms, services
from partners.admin.base import BACK, names_of, reason_of
from partners.matching import WalletTerms, former_of
from partners.models import Wallet
from partners.queries import former_owners
from partners.what_if import BookChange, difference

SAMPLE_MAX = 10
PARTNERS_SHOWN_MAX = 20


class ManyWallets:
    """The actions on the list of wallets."""

    @admin.action(description="Deactivate…", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> HttpResponse | None:
        return self._change(request, queryset, "deactivate", forms.ManyWalletsForm)

    @admin.action(description="Reactivate…", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> HttpResponse | None:
        return self._change(request, queryset, "reactivate", forms.ManyWalletsForm)

    @admin.action(description="Give to another partner…", permissions=["change"])
    def reassign(self, request: HttpRequest, queryset: QuerySet[Wallet]) -> HttpResponse | None:
        return self._change(request, queryset, "reassign", forms.ReassignForm)

    def _change(
        self,
        request: HttpRequest,
        queryset: QuerySet[Wallet],
        action: str,
        form_class: type[forms.ManyWalletsForm],
    ) -> HttpResponse | None:
        """Do what was confirmed, have it tried, or ask for what is missing; None leads back to the list."""
        if "selection" not in request.POST:
            return self._change_found(request, queryset, action, form_class)
        with transaction.atomic():
            # Nobody comes between finding that the wallets are those that were shown, and changing them.
            hold(Lock.SEAL)
            return self._change_found(request, queryset, action, form_class)

    def _change_found(
        self,
        request: HttpRequest,
        queryset: QuerySet[Wallet],
        action: str,
        form_class: type[forms.ManyWalletsForm],
    ) -> HttpResponse | None:
        keys, selection = name_selection(queryset)
        shown = request.POST.get("selection")
        if shown is None:
            initial = {"reason": reason_of(request), "introduced_date": timezone.now().date()}
            return self._ask(request, queryset, action, selection, form_class(initial=initial))
        form = form_class(request.POST)
        is_same = shown == selection
        if not is_same:
            messages.warning(
                request,
                "The wallets that your selection finds changed since this page was shown. Look again and confirm.",
            )
        if not (form.is_valid() and is_same) or BACK in request.POST:
            return self._ask(request, queryset, action, selection, form)
        if self._is_asked(request):  # type: ignore[attr-defined]
            change = _would_change(action, keys, form.cleaned_data)
            whom = f" to {form.cleaned_data['partner']}" if action == "reassign" else ""
            return self.ask(  # type: ignore[attr-defined, no-any-return]
                request,
                f"{TITLES[action]}: {len(keys):,}{whom}",
                change,
                names_of(change),
                lambda: self._ask(request, queryset, action, selection, form),
            )
        done, what = _apply(request, action, keys, form.cleaned_data)
        self.report(request, len(keys), done, what)  # type: ignore[attr-defined]
        return None

    def _ask(
        self,
        request: HttpRequest,
        queryset: QuerySet[Wallet],
        action: str,
        selection: str,
        form: forms.ManyWalletsForm,
    ) -> HttpResponse:
        plain = queryset.order_by()
        whose = plain.values("partner__name").annotate(
            wallets=Count("pk"), active=Count("pk", filter=Q(is_active=True))
        )
        owners = list(whose.order_by("-wallets", "partner__name"))
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": TITLES[action],
            "opts": Wallet._meta,
            "action": action,
            "form": form,
            "selection": selection,
            "count": sum(owner["wallets"] for owner in owners),
            "active_count": sum(owner["active"] for owner in owners),
            "owners": owners[:PARTNERS_SHOWN_MAX],
            "owners_more": len(owners) - PARTNERS_SHOWN_MAX,
            "sample": list(queryset.select_related("partner")[:SAMPLE_MAX]),
            "checkbox": ACTION_CHECKBOX_NAME,
            "checked": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "back_url": request.get_full_path(),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "admin/partners/wallet/change_many.html", context)


def name_selection(wallets: QuerySet[Wallet]) -> tuple[list[int], str]:
    """Give the keys of wallets and a digest of what a confirmation rests on: whose they are, since and until when."""
    fields = "pk", "partner_id", "is_active", "introduced_date", "ended_date"
    found = sorted(wallets.order_by().values_list(*fields))
    values = [
        value
        for pk, partner, is_active, since, until in found
        for value in (pk, partner, is_active, since.toordinal(), until.toordinal() if until else 0)
    ]
    return [pk for pk, *_ in found], hashlib.sha256(array("q", values).tobytes()).hexdigest()


TITLES = {
    "deactivate": "Deactivate wallets",
    "reactivate": "Reactivate wallets",
    "reassign": "Give wallets to another partner",
}


def _apply(request: HttpRequest, action: str, keys: list[int], values: dict[str, Any]) -> tuple[int, str]:
    """Call the service; give how many wallets changed and what they are now."""
    if action == "reassign":
        done = services.reassign_wallets(
            actor=request.user,
            wallet_ids=keys,
            partner=values["partner"],
            introduced_date=values["introduced_date"],
            reason=values["reason"],
        )
        return done, f"Wallets now of {values['partner']}"
    is_active = action == "reactivate"
    done = services.set_wallets_active(
        actor=request.user, wallet_ids=keys, is_active=is_active, reason=values["reason"]
    )
    return done, f"Wallets now {'active' if is_active else 'inactive'}"


def _would_change(action: str, keys: list[int], values: dict[str, Any]) -> BookChange:
    """Say what `_apply` would change of the rule book. It is worked out and not tried: that writes a history by rows."""
    before, former = services.rules_now(), former_owners()
    there = {row["id"]: row for row in before["wallets"]}
    for wallet in Wallet.objects.filter(pk__in=keys):
        owners = list(former.get(wallet.pk, ()))
        partner, since, until = wallet.partner_id, wallet.introduced_date, wallet.ended_date
        if action == "reassign":
            if partner == values["partner"].pk:
                continue
            owners.append((partner, since, (until or date.max) if wallet.is_active else since))
            partner, since, until = values["partner"].pk, values["introduced_date"], None
        terms = WalletTerms(
            wallet.pk, partner, wallet.address, since, action != "deactivate", former_of(owners, since), until
        )
        there.pop(wallet.pk, None)
        if terms.is_active or terms.former:
            there[wallet.pk] = terms.as_row()
    # The others' wallets find nothing, so the book leaves them out.
    partners = {row["partner"] for row in before["agreements"]}
    wallets = [
        row
        for row in there.values()
        if not partners.isdisjoint((row["partner"], *(who for who, *_ in row.get("former", ()))))
    ]
    return difference(before, before | {"wallets": wallets})
