"""A real request for every row of `tests/roles.py`: one whose success would do what the page is for, on the demo's data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from chain.fiat.models import FiatPrice
from chain.models import Backfill, Block, Gap, Hotkey, ImportRun, Yield
from chain.tests.factories import make_backfill, make_endpoint, make_gap
from chain.tests.imports import GENESIS, as_csv, reward
from ledger.admin.imports import PENDING
from ledger.models import CommissionLine, Period
from partners.admin.wallet_changes import name_selection
from partners.admin.wallets import PENDING as WAITING_LIST
from partners.admin.wallets import SHOWN as SHOWN_LIST
from partners.models import (
    Agreement,
    AgreementTemplate,
    ApiKey,
    Partner,
    PayoutAddress,
    Rule,
    Wallet,
    WhatIf,
)
from partners.tests.factories import address
from partners.what_if import KINDS
from payments.models import Batch
from payments.queries import last_period, plan_due
from payments.services import cancel_batch
from tests.guards import tamper

PASSWORD = "correct-horse-battery"  # of the accounts that sign in
NEW_PASSWORD = "staple-carrot-mountain"
STEPS_OF_WHAT_IF = ("page", "now", "csv", "again", "cancel")
# A node that refuses: trying it writes that it does.
NODE = "ws://127.0.0.1:9"
# Of a day that is not closed, in slots that come after the demonstration's blocks.
CHAIN_FILE = as_csv(reward(epoch=900))


class Form(HTMLParser):
    """The values that a browser would send of the form with this id."""

    def __init__(self, page: str, form_id: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._id, self._inside, self._select, self._area = form_id, False, "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = found.get("id") == self._id
        name = found.get("name", "")
        if not self._inside:
            return
        if tag == "input" and name and found.get("type") not in ("submit", "button", "file"):
            if found.get("type") not in ("checkbox", "radio") or "checked" in found:
                default = "on" if found.get("type") in ("checkbox", "radio") else ""
                self.values.setdefault(name, []).append(found.get("value", default))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in found:
            self.values.setdefault(self._select, []).append(found.get("value", ""))
        elif tag == "textarea":
            self._area = name
            self.values[name] = [""]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area][0] += data.lstrip("\n")


@dataclass(frozen=True)
class Request:
    """One thing to send: `data` may first bring about what it needs, and then says what is sent."""

    url: str
    data: Callable[[Client], dict[str, Any]] = lambda _: {}
    is_action: bool = False


class Requests:
    """What is sent to each page, made once over the rows of the demonstration and one of each kind that it lacks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages: dict[str, list[Request]] = {}
        self.root = Client()
        self.root.force_login(User.objects.create_superuser("preparing", password=PASSWORD))
        self.person = User.objects.create_user("person", password=PASSWORD, is_staff=True)
        self.spare = Partner.objects.create(name="Spare", slug="spare")
        self.gap = make_gap(248, 253)
        self.backfill = make_backfill(248, 447, "PAUSED")
        self.key = ApiKey.objects.create_key(name="some program")[0]
        make_endpoint(0)
        now = timezone.now()
        FiatPrice.objects.create(
            source="coinbase",
            base="TAO",
            quote="USD",
            price=300,
            at=now,
            fetched_at=now,
            payload_sha256="00" * 32,
        )
        ImportRun.objects.create(
            file_name="a.csv",
            sha256="00" * 32,
            row_count=0,
            reward_count=0,
            stake_event_count=0,
            imported_at=now,
        )
        self.what_if = WhatIf.objects.create(
            title="A wallet less",
            change={kind: {"drop": [1], "put": []} for kind in KINDS},
            names={},
            form={"action": "/admin/", "fields": []},
            asked_at=now,
            asked_by=User.objects.get(username="preparing"),
        )
        self.rows = {model: self._row(model) for model in admin.site._registry}
        self.forms = {
            (model, step): values
            for model, changes in self._changes().items()
            for step, values in zip(("add", "change"), self._filled(model, *changes), strict=True)
        }

    def _row(self, model: type[models.Model]) -> models.Model:
        chosen: dict[type[models.Model], models.Model] = {
            User: self.person,
            Group: Group.objects.get_or_create(name="A group of nobody")[0],
            Partner: Partner.objects.get(slug="creative-builds"),
            Batch: Batch.objects.get(status="PROPOSED"),
            ApiKey: self.key,
            PayoutAddress: PayoutAddress.objects.get(status="REQUESTED"),
            Gap: self.gap,
            Backfill: self.backfill,
            # Those that the demonstration's schedules use cannot be deleted alone.
            IntervalSchedule: IntervalSchedule.objects.get_or_create(every=55, period="minutes")[0],
            CrontabSchedule: CrontabSchedule.objects.get_or_create(minute="55", hour="5")[0],
        }
        row = chosen.get(model) or model._default_manager.first()
        assert row is not None, f"{model.__name__}: make a row of it in tests/role_requests.py"
        return row

    # --- models -------------------------------------------------------------------------------------------

    def url(self, model: type[models.Model], step: str) -> str:
        """The address of a step of a model, on its row where it is about one."""
        meta = model._meta
        args = [self.rows[model].pk] if step in ("history", "delete", "change") else []
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_{step}", args=args)

    def _changes(self) -> dict[type[models.Model], tuple[dict[str, Any], dict[str, Any]]]:
        """What a person would type to add a row, and to change one."""
        named = {"reason": "Asked for"}
        interval = IntervalSchedule.objects.order_by("pk")[0].pk
        secret = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
        return {
            User: ({"username": "newcomer", **secret}, {"first_name": "Changed"}),
            Group: ({"name": "Another group"}, {"name": "Renamed"}),
            PeriodicTask: (
                {"name": "A task", "regtask": "ledger.attribute", "interval": interval},
                {"description": "Changed"},
            ),
            IntervalSchedule: ({"every": "77", "period": "minutes"}, {"every": "78"}),
            CrontabSchedule: ({"minute": "7"}, {"minute": "8"}),
            Partner: ({"name": "New", "slug": "new", **named}, {"notes": "Changed", **named}),
            Agreement: (
                {"partner": self.spare.pk, "effective_from_0": "2025-08-01", "rate": "10 %", **named},
                {"notes": "Changed", **named},
            ),
            Rule: (
                {"agreement": Agreement.objects.order_by("pk")[0].pk, "kind": "ALL", **named},
                {"priority": "7", **named},
            ),
            Wallet: (
                {
                    "partner": self.spare.pk,
                    "address": address(77),
                    "introduced_date": "2025-08-01",
                    "is_active": "on",
                    **named,
                },
                {"notes": "Changed", **named},
            ),
            ApiKey: ({"name": "A program"}, {"name": "Renamed"}),
            Hotkey: ({}, {"label": "Changed"}),
            AgreementTemplate: (
                {"name": "Another", "rate_bps": "10 %", "rule_kind": "ALL", **named},
                {"description": "Changed", **named},
            ),
        }

    def _filled(
        self, model: type[models.Model], to_add: dict[str, Any], to_change: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        for step, typed in (("add", to_add), ("change", to_change)):
            if not typed:
                yield {"label": "x"}
                continue
            page = self.root.get(self.url(model, step)).content.decode()
            yield {**Form(page, f"{model._meta.model_name}_form").values, **typed}

    def of_model(self, model: type[models.Model], step: str) -> Request:
        """Adding, changing or deleting, as its form would send it; a form that nobody is shown is sent anything."""
        filled = self.forms.get(
            (model, step), {"post": "yes", "notes": "x", "label": "x", "reason": "Asked for"}
        )
        return Request(self.url(model, step), lambda _: filled)

    def of_action(self, model: type[models.Model], name: str) -> Request:
        """A bulk action on one row, on which it has something to do."""
        row = self.rows[model]

        def data(client: Client) -> dict[str, Any]:
            rows: models.QuerySet[Any] = model._default_manager.filter(pk=row.pk)
            if name.endswith("activate") and model is not Partner:
                rows.update(is_active=name.endswith("deactivate"))
            elif name in ("pause", "activate"):
                rows.update(status="ACTIVE" if name == "pause" else "PAUSED")
            elif name in ("enable_tasks", "disable_tasks"):
                rows.update(enabled=name == "disable_tasks")
            confirmed = {"post": "yes"} if name == "delete_selected" else {}
            if isinstance(row, Wallet):
                _, selection = name_selection(Wallet.objects.filter(pk=row.pk))
                confirmed = {"selection": selection, "introduced_date": "2025-08-01"}
                confirmed |= {"partner": str(self.spare.pk)}
            return {"action": name, "_selected_action": [row.pk], "reason": "Asked for", **confirmed}

        return Request(self.url(model, "changelist"), data, is_action=True)

    # --- pages --------------------------------------------------------------------------------------------

    def of_page(self, name: str) -> list[Request]:
        """What to ask of a page and to send to it; several where the address names what is done."""
        if name not in self.pages:
            self.pages[name] = (
                [self._steering(step) for step in ("pause", "resume", "cancel")]
                if name == "admin:chain_backfill_steer_confirm"
                else [Request(self._address(name), self._data().get(name, lambda _: {}))]
            )
        return self.pages[name]

    def _steering(self, step: str) -> Request:
        def data(client: Client) -> dict[str, Any]:
            state = "RUNNING" if step == "pause" else "PAUSED"
            Backfill.objects.filter(pk=self.backfill.pk).update(state=state)
            return {}

        return Request(reverse("admin:chain_backfill_steer_confirm", args=[self.backfill.pk, step]), data)

    def _address(self, name: str) -> str:
        line = CommissionLine.objects.select_related("period", "partner").order_by("pk")[0]
        statement = [line.period.key, line.partner.slug]
        arguments: dict[str, list[Any]] = {
            "admin:app_list": ["partners"],
            "admin:view_on_site": [1, 1],
            "admin:auth_user_password_change": [self.person.pk],
            "admin:chain_backfill_now": [self.backfill.pk],
            "admin:chain_backfill_meter": [self.backfill.pk],
            "admin:chain_backfill_steer": [self.backfill.pk, "resume"],
            "admin:chain_block_payload": [Block.objects.filter(payload__isnull=False)[0].pk],
            "admin:chain_gap_give_up": [self.gap.pk],
            "admin:chain_gap_give_up_confirm": [self.gap.pk],
            "admin:ledger_block": [Yield.objects.order_by("pk")[0].block_id],
            "admin:ledger_statement": statement,
            "admin:ledger_statement_file": [*statement, "csv"],
            "admin:ledger_year": [line.period.start_at.year, line.partner.slug],
            "admin:ledger_year_file": [line.period.start_at.year, line.partner.slug, "pdf"],
            **{
                f"admin:partners_payoutaddress_{step}": [self.spare.pk]
                for step in ("request", "request_confirm")
            },
            **{
                f"admin:partners_payoutaddress_{step}": [self.rows[PayoutAddress].pk]
                for page in ("approve", "tell", "cancel", "send")
                for step in (page, f"{page}_confirm")
                if step != "send"
            },
            **{f"admin:partners_whatif_{step}": [self.what_if.pk] for step in STEPS_OF_WHAT_IF},
            "api-v1:partner-detail": ["creative-builds"],
            "api-v1:wallet-detail": [Wallet.objects.filter(partner__slug="creative-builds")[0].pk],
            "api-v1:period-detail": [line.period.key],
            "api-v1:statement-detail": ["creative-builds", line.period.key],
            "api-v1:none": ["nothing"],
        }
        proposed, approved = (Batch.objects.get(status=status).pk for status in ("PROPOSED", "APPROVED"))
        for step in ("approve", "approve_confirm", "cancel", "cancel_confirm"):
            arguments[f"admin:payments_batch_{step}"] = [proposed]
        arguments["admin:payments_batch_call_data"] = [approved]
        asked = {
            "admin:autocomplete": "?app_label=partners&model_name=wallet&field_name=partner&term=",
            "api-v1:attribution-list": "?start=2&end=60",
            "api-v1:rakeback-list": f"?partnerId={line.partner_id}",
        }
        if name == "admin:catch-all":
            return reverse("admin:index") + "nowhere/"
        return reverse(name, args=arguments.get(name, [])) + asked.get(name, "")

    def _data(self) -> dict[str, Callable[[Client], dict[str, Any]]]:
        passwords = {"new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
        secret = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"}
        batch = Batch.objects.get(status="PROPOSED")
        return {
            "admin:login": lambda _: {"username": "person", "password": PASSWORD, "next": "/admin/"},
            "admin:password_change": lambda _: {"old_password": PASSWORD, **passwords},
            "admin:auth_user_password_change": lambda _: secret,
            "admin:chain_gap_give_up_confirm": lambda _: {
                "last": "252",
                "reason": "No node has these blocks.",
            },
            "admin:chain_importrun_import": lambda _: {"file": SimpleUploadedFile("epoch.csv", CHAIN_FILE)},
            "admin:chain_importrun_import_confirm": self._pending_chain_file,
            "admin:partners_wallet_import": lambda _: self._wallet_list(),
            "admin:partners_wallet_process_import": self._previewed_wallet_list,
            "admin:partners_wallet_export": lambda _: {
                "format": "0",
                "resource": "",
                **_export_fields(),
            },
            "admin:partners_payoutaddress_request_confirm": lambda _: {
                "address": address(79),
                "reason": "Asked for",
            },
            "admin:partners_payoutaddress_approve_confirm": self._told,
            "admin:partners_payoutaddress_tell_confirm": lambda _: {"how": "By phone"},
            "admin:partners_payoutaddress_cancel_confirm": lambda _: {"reason": "Asked for"},
            "admin:partners_whatif_again": lambda _: {"first_day": "2025-08-01", "last_day": "2025-08-02"},
            "admin:payments_batch_propose_confirm": self._preview_of_a_batch,
            "admin:payments_batch_approve_confirm": lambda _: {"content_hash": batch.content_hash},
            "admin:payments_batch_cancel_confirm": lambda _: {"reason": "Asked for"},
        }

    def _told(self, client: Client) -> dict[str, Any]:
        """Record that the partner was told of the address, without which nobody may approve it."""
        rows = PayoutAddress.objects.filter(pk=self.rows[PayoutAddress].pk)
        rows.update(told_by=self.person, told_how="By phone")
        return {}

    def _pending_chain_file(self, client: Client) -> dict[str, Any]:
        """Make the installation one that imports files, and have the session hold one that was previewed."""
        tamper("UPDATE chain_network SET family = 'SOLANA', ss58_prefix = NULL, genesis_hash = %s", GENESIS)
        path = self.folder / "epoch.csv"
        path.write_bytes(CHAIN_FILE)
        session = client.session
        session[PENDING] = {"path": str(path), "file_name": path.name}
        session.save()
        client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key or ""
        return {"sha256": hashlib.sha256(CHAIN_FILE).hexdigest()}

    def _wallet_list(self) -> dict[str, Any]:
        content = f"partner,address,introduced_date,is_active,notes\nspare,{address(78)},2025-08-01,1,\n"
        file = SimpleUploadedFile("wallets.csv", content.encode())
        return {"import_file": file, "format": "0", "resource": ""}

    def _previewed_wallet_list(self, client: Client) -> dict[str, Any]:
        shown = self.root.post(reverse("admin:partners_wallet_import"), self._wallet_list())
        # Only the session that was shown the preview may confirm it.
        session = client.session
        for name in (WAITING_LIST, SHOWN_LIST):
            session[name] = self.root.session[name]
        session.save()
        client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key or ""
        return dict(shown.context["confirm_form"].initial)

    def _preview_of_a_batch(self, client: Client) -> dict[str, Any]:
        batch = Batch.objects.get(status="PROPOSED")
        actor = User.objects.get(username="preparing")
        cancel_batch(batch_id=batch.pk, reason="to propose anew", actor=actor, now=timezone.now())
        through = last_period()
        assert isinstance(through, Period)
        preview = plan_due(now=timezone.now(), through=through)
        return {"through": through.key, "content_hash": preview.content_hash}


def _export_fields() -> dict[str, str]:
    from partners.wallet_lists import WalletResource

    return {f"walletresource_{name}": "on" for name in WalletResource().fields}


def routes(
    patterns: list[URLPattern | URLResolver] | None = None, path: str = "", names: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Every address of the site as (name with its namespaces, route); nameless ones have an empty name."""
    for found in get_resolver().url_patterns if patterns is None else patterns:
        route = path + str(found.pattern)
        if isinstance(found, URLResolver):
            inner = (*names, found.namespace) if found.namespace else names
            yield from routes(found.url_patterns, route, inner)
        else:
            yield ":".join([*names, found.name]) if found.name else "", route
