"""The sidebar, in the order money flows: what the chain said and how it was read, whose it is, what is owed, what was sent.

Only pages that exist and that the person may open are linked, so an app without its admin leaves no dead
entry. What is registered but not placed here appears under 'More', so nothing is unreachable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import get_script_prefix, reverse

from chain.families import Family
from chain.models import Gap
from chain.network import family
from partners.models import PayoutAddress


@dataclass(frozen=True, slots=True)
class Entry:
    """A list page: the label of its model, its title and its Material symbol.

    Those that are `only` of one kind of chain have nothing to show on another: there is no node to read, no pool to price.
    """

    model: str
    title: str
    icon: str
    only: Family | None = None


GROUPS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Chain",
        (
            Entry("chain.Block", "Blocks", "deployed_code"),
            Entry("chain.Yield", "Yields", "potted_plant"),
            Entry("chain.StakeEvent", "Stake events", "swap_vert"),
            Entry("chain.Position", "Positions", "stacked_bar_chart", Family.BITTENSOR),
            Entry("chain.Conversion", "Conversions", "currency_exchange", Family.BITTENSOR),
            Entry("chain.Remark", "Remarks", "sell", Family.BITTENSOR),
            Entry("chain.Hotkey", "Hotkeys", "key"),
            Entry("chain.PoolPrice", "Pool prices", "show_chart", Family.BITTENSOR),
            Entry("chain.FiatPrice", "TAO in dollars", "attach_money", Family.BITTENSOR),
        ),
    ),
    (
        "Reading",
        (
            Entry("chain.Gap", "Gaps", "broken_image"),
            Entry("chain.Endpoint", "Nodes", "dns", Family.BITTENSOR),
            Entry("chain.IngestRun", "Ingest runs", "downloading", Family.BITTENSOR),
            Entry("chain.Backfill", "Backfills", "cloud_download", Family.BITTENSOR),
            Entry("chain.Runtime", "Runtimes", "memory", Family.BITTENSOR),
            Entry("chain.ImportRun", "Imports", "upload_file", Family.SOLANA),
        ),
    ),
    (
        "Partners",
        (
            Entry("partners.Partner", "Partners", "handshake"),
            Entry("partners.Agreement", "Agreements", "contract"),
            Entry("partners.AgreementTemplate", "Templates", "content_paste"),
            Entry("partners.Rule", "Rules", "rule"),
            Entry("partners.Wallet", "Wallets", "wallet"),
            Entry("partners.WhatIf", "What if", "difference"),
            Entry("partners.PayoutAddress", "Payout addresses", "account_balance_wallet"),
            Entry("partners.Change", "Changes", "history"),
        ),
    ),
    (
        "Ledger",
        (
            Entry("ledger.Attribution", "Attributions", "pie_chart"),
            Entry("ledger.Period", "Periods", "event_available"),
            Entry("ledger.CommissionLine", "Commission lines", "receipt_long"),
            Entry("ledger.PartnerTake", "Take by partner", "group_work"),
            Entry("ledger.DelegatorTake", "Take by delegator", "groups"),
            Entry("ledger.DelegationWinner", "Winners", "emoji_events"),
            Entry("ledger.ConversionAllocation", "Allocations", "call_split", Family.BITTENSOR),
            Entry("ledger.Entry", "Entries", "menu_book"),
            Entry("ledger.Account", "Accounts", "account_balance"),
            Entry("ledger.Posting", "Postings", "list_alt"),
        ),
    ),
    (
        "Payments",
        (
            Entry("payments.Batch", "Batches", "send_money", Family.BITTENSOR),
            Entry("payments.Payout", "Payouts", "payments", Family.BITTENSOR),
        ),
    ),
    (
        "System",
        (
            Entry("auth.User", "Users", "person"),
            Entry("auth.Group", "Groups", "group"),
            Entry("partners.ApiKey", "API keys", "vpn_key"),
            Entry("django_celery_beat.PeriodicTask", "Scheduled tasks", "schedule"),
            Entry("django_celery_beat.IntervalSchedule", "Intervals", "timer"),
            Entry("django_celery_beat.CrontabSchedule", "Crontabs", "calendar_clock"),
        ),
    ),
)
_PLACED = {entry.model.lower() for _, entries in GROUPS for entry in entries}
# What Unfold's template asks of each group and each entry. To look in vain takes it ten times as long as to find.
_GROUP: dict[str, Any] = {"title": "", "badge": None, "collapsible": False, "separator": False}
_ITEM: dict[str, Any] = {"has_permission": True, "badge": None, "link_callback": None}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """List the sidebar's groups for this person. Two queries, for the open gaps and the payout addresses under way."""
    start = reverse("admin:index")
    overview = {"title": "Overview", "icon": "dashboard", "link": start, "active": request.path == start}
    groups: list[dict[str, Any]] = [_GROUP | {"items": [_ITEM | overview]}]
    for title, entries in (*GROUPS, ("More", _unplaced())):
        items = [item for entry in entries if (item := _item(request, entry))]
        if items:
            groups.append(_GROUP | {"title": title, "items": items})
    return groups


def environment(request: HttpRequest) -> list[str] | None:
    """Mark a site that is not production, so that nobody mistakes one for the other."""
    return None if settings.IS_PRODUCTION else ["Local", "info"]


def _registered(label: str) -> type[Model] | None:
    try:
        model = apps.get_model(label)
    except LookupError:
        return None
    return model if admin.site.is_registered(model) else None


@cache
def _link(page: str, prefix: str) -> str:
    """Find a page's address, once per process and place under which the site is reached."""
    return reverse(page)


def _item(request: HttpRequest, entry: Entry) -> dict[str, Any] | None:
    model = _registered(entry.model)
    if entry.only not in (None, family()):
        return None
    if model is None or not admin.site.get_model_admin(model).has_view_permission(request):
        return None
    meta = model._meta
    link = _link(f"admin:{meta.app_label}_{meta.model_name}_changelist", get_script_prefix())
    item = _ITEM | {
        "title": entry.title,
        "icon": entry.icon,
        "link": link,
        "active": request.path.startswith(link),
    }
    if model is Gap and (count := Gap.objects.filter(state=Gap.State.OPEN).count()):
        item |= {"badge": f"{count:,}", "badge_variant": "danger"}
    if model is PayoutAddress and (count := PayoutAddress.objects.open().count()):
        item |= {"badge": f"{count:,}", "badge_variant": "warning"}
    return item


def _unplaced() -> tuple[Entry, ...]:
    rest = [model for model in admin.site._registry if model._meta.label_lower not in _PLACED]
    return tuple(
        Entry(model._meta.label, str(model._meta.verbose_name_plural).capitalize(), "table_rows")
        for model in sorted(rest, key=lambda model: model._meta.label_lower)
    )
