"""What a change of partners would have meant on closed days, while it is worked out and after (PA9)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSingleDateWidget

from chain.display import alpha_unit, amount_html
from chain.models import Asset, Side
from chain.network import coin
from ledger.admin.base import LedgerAdmin
from ledger.statements import write_csv
from partners import services
from partners.admin.base import BACK
from partners.models import Change, Partner, WhatIf

COLOURS = {
    WhatIf.State.WAITING: "default",
    WhatIf.State.RUNNING: "info",
    WhatIf.State.DONE: "success",
    WhatIf.State.FAILED: "danger",
    WhatIf.State.CANCELLED: "default",
}
CSV_COLUMNS = (
    "period",
    "partner",
    "netuid",
    "asset",
    "take_before_rao",
    "take_after_rao",
    "commission_before_rao",
    "commission_after_rao",
    "commission_difference_rao",
)


class DaysForm(forms.Form):
    """The closed days to compare over."""

    first_day = forms.DateField(
        label="From", widget=UnfoldAdminSingleDateWidget({"type": "date"}, "%Y-%m-%d")
    )
    last_day = forms.DateField(label="To", widget=UnfoldAdminSingleDateWidget({"type": "date"}, "%Y-%m-%d"))


@admin.register(WhatIf)
class WhatIfAdmin(LedgerAdmin):
    list_display = ["title", "days", "state_label", "asked"]
    list_filter = [("state", ChoicesDropdownFilter)]
    list_select_related = ["asked_by"]
    search_fields = ["title"]
    empty_title = "Nothing was compared yet"
    empty_text = (
        "Change a partner, an agreement, a rule or a wallet and choose 'What if' instead of 'Save': it shows what "
        "closed days would have paid, and saves nothing."
    )

    @display(description="Days", ordering="first_day")
    def days(self, asked: WhatIf) -> str:
        if asked.first_day is None:
            return "–"
        first, last = asked.first_day.isoformat(), asked.last_day.isoformat() if asked.last_day else ""
        return first if first == last else f"{first} to {last}"

    @display(description="State", label=COLOURS)
    def state_label(self, asked: WhatIf) -> tuple[str, str]:
        return asked.state, asked.get_state_display()

    @display(description="Asked for (UTC)", ordering="asked_at")
    def asked(self, asked: WhatIf) -> str:
        return f"{asked.asked_at:%Y-%m-%d %H:%M} by {asked.asked_by}"

    def page_of(self, row: Any) -> str | None:
        """The comparison is shown whole instead of as a form."""
        return reverse("admin:partners_whatif_page", args=[row.pk])

    def get_urls(self) -> list[URLPattern]:
        """Add the page, its moving part, the file, and what can be done with it."""
        view = self.admin_site.admin_view
        pages = {
            "page": self.whole_view,
            "now": self.now_view,
            "csv": self.csv_view,
            "again": require_POST(self.again_view),
            "cancel": require_POST(self.cancel_view),
        }
        own = [
            path(f"<int:what_if_id>/{name}/", view(one), name=f"partners_whatif_{name}")
            for name, one in pages.items()
        ]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def _find(self, request: HttpRequest, what_if_id: int) -> WhatIf:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(WhatIf.objects.select_related("asked_by"), pk=what_if_id)

    def whole_view(self, request: HttpRequest, what_if_id: int) -> HttpResponse:
        """The comparison, and what to do with it."""
        asked = self._find(request, what_if_id)
        return self._render(request, "admin/ledger/what_if.html", asked)

    def now_view(self, request: HttpRequest, what_if_id: int) -> HttpResponse:
        """The part of the page that moves."""
        asked = self._find(request, what_if_id)
        page = self._render(request, "admin/ledger/what_if_now.html", asked)
        if asked.finished_at is not None:
            page["X-Live"] = "final"
        return page

    def csv_view(self, request: HttpRequest, what_if_id: int) -> HttpResponse:
        """Every row of the comparison as CSV."""
        asked = self._find(request, what_if_id)
        names = _names(asked)
        rows: list[tuple[str | int | None, ...]] = [CSV_COLUMNS]
        rows += [
            (day["period"], names[partner], netuid, asset, *amounts, amounts[3] - amounts[2])
            for day in asked.result.get("days", ())
            for partner, netuid, asset, *amounts in day["rows"]
        ]
        answer = HttpResponse(write_csv(rows), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="what-if-{asked.pk}.csv"'
        return answer

    def again_view(self, request: HttpRequest, what_if_id: int) -> HttpResponse:
        """Try the same change on other days."""
        asked = self._find(request, what_if_id)
        if not _may_steer(request, asked):
            raise PermissionDenied
        form = DaysForm(request.POST)
        if not form.is_valid():
            self.message_user(request, "Give the first and the last day as 2025-08-31.", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:partners_whatif_page", args=[asked.pk]))
        try:
            other = services.ask_what_if(
                actor=request.user,
                title=asked.title,
                change=asked.change,
                names=asked.names,
                # What another person typed, with their reason, is theirs to save.
                form=asked.form if asked.asked_by_id == request.user.pk else {"action": "", "fields": []},
                now=timezone.now(),
                **form.cleaned_data,
            )
        except services.Refused as error:
            self.message_user(request, str(error), messages.ERROR)
            other = asked
        return HttpResponseRedirect(reverse("admin:partners_whatif_page", args=[other.pk]))

    def cancel_view(self, request: HttpRequest, what_if_id: int) -> HttpResponse:
        """Stop it; what is worked out so far stays."""
        asked = self._find(request, what_if_id)
        if not _may_steer(request, asked):
            raise PermissionDenied
        services.cancel_what_if(what_if=asked, now=timezone.now())
        return HttpResponseRedirect(reverse("admin:partners_whatif_page", args=[asked.pk]))

    def _render(self, request: HttpRequest, template: str, asked: WhatIf) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "What if",
            "asked": asked,
            "colour": COLOURS[WhatIf.State(asked.state)],
            "days": self.days(asked),
            "may_steer": _may_steer(request, asked),
            "is_own": asked.asked_by_id == request.user.pk,
            "back": BACK,
            "is_overtaken": _is_overtaken(asked),
            # A list was a file, which cannot be shown again.
            "has_form": asked.form["action"] != reverse("admin:partners_wallet_process_import"),
            "days_form": DaysForm(initial={"first_day": asked.first_day, "last_day": asked.last_day}),
            **describe(asked),
        }
        return TemplateResponse(request, template, context)


def _may_steer(request: HttpRequest, asked: WhatIf) -> bool:
    """Who may change agreements may stop a comparison and ask again, whoever asked."""
    return bool(request.user.has_perm("partners.change_agreement"))


def _is_overtaken(asked: WhatIf) -> bool:
    """Tell whether somebody changed since what this would change: saving what was typed would undo it unseen."""
    found = Q()
    for kind, name in (("agreements", "AGREEMENT"), ("rules", "RULE"), ("wallets", "WALLET")):
        ids = [*map(int, asked.change[kind].get("changed", ())), *asked.change[kind]["drop"]]
        found |= Q(kind=name, object_id__in=ids)
    return Change.objects.filter(found, at__gt=asked.asked_at).exists()


class _Names(dict[int, str]):
    def __missing__(self, partner: int) -> str:
        return f"no. {partner}"


def _names(asked: WhatIf) -> _Names:
    names = _Names(Partner.objects.values_list("pk", "name"))
    names.update({int(pk): name for pk, name in asked.names.items()})
    return names


def describe(asked: WhatIf) -> dict[str, Any]:
    """Lay out what was worked out so far: totals per partner, the days, what each subnet earned, the wallets found."""
    names = _names(asked)
    days = asked.result.get("days", [])
    totals: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    takes: defaultdict[tuple[int, int, str], list[int]] = defaultdict(lambda: [0, 0])
    per_day = []
    for day in days:
        owed: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
        for partner, netuid, asset, take_before, take_after, before, after in day["rows"]:
            for sums in (totals[partner], owed[partner]):
                sums[0] += before
                sums[1] += after
            takes[partner, netuid, asset][0] += take_before
            takes[partner, netuid, asset][1] += take_after
        per_day += [(day["period"], *_row(names[partner], *sums)) for partner, sums in sorted(owed.items())]
    wallets = days[-1]["wallets"] if days else {}
    return {
        "totals": [
            (*_row(names[partner], *sums), *wallets.get(str(partner), (0, 0)))
            for partner, sums in sorted(totals.items(), key=lambda item: names[item[0]])
        ],
        "difference": amount_html(sum(after - before for before, after in totals.values())),
        "per_day": per_day if len(days) > 1 else [],
        "takes": [
            (
                names[partner],
                netuid,
                *(amount_html(rao, _unit(asset, netuid)) for rao in (*sums, sums[1] - sums[0])),
            )
            for (partner, netuid, asset), sums in sorted(takes.items())
            if sums[0] != sums[1]
        ],
        "matched": [
            {
                "name": names[int(partner)],
                "wallets": found["wallets"],
                "more": found["more"],
                "rows": [
                    (coldkey, netuid, Side(side).label, take)
                    for coldkey, _, netuid, side, take in found["rows"]
                ],
            }
            for partner, found in asked.result.get("matched", {}).items()
        ],
        "last_period": days[-1]["period"] if days else "",
        "per_cent": 100 * asked.done // asked.total if asked.total else 0,
    }


def _row(name: str, before: int, after: int) -> tuple[Any, ...]:
    return name, amount_html(before), amount_html(after), amount_html(after - before), after - before


def _unit(asset: str, netuid: int) -> str:
    return alpha_unit(netuid) if asset == Asset.ALPHA else coin().unit
