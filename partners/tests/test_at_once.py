"""Two people at once, by real requests: nobody's change is undone unseen, and nobody is stopped by the other's lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse

from partners import payout_addresses, services
from partners.admin.base import RecordedAdmin
from partners.models import Partner, PayoutAddress, Rule, Wallet
from partners.queries import rule_book
from partners.tests.factories import address, make_agreement, make_partner, make_user, make_wallet
from partners.wallet_lists import WalletResource
from tests.role_requests import Form

pytestmark = pytest.mark.django_db(transaction=True)
WALLETS = "admin:partners_wallet_changelist"
DAY, LATER = date(2025, 8, 1), date(2025, 9, 10)
Work = Callable[[], Any]


def client(name: str, group: str = "operator") -> Client:
    found = Client(raise_request_exception=False)
    found.force_login(make_user(group, name=name))
    return found


def aside(work: Work) -> tuple[threading.Thread, list[Any]]:
    """Do something beside this; its answer is in the list once it is there."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(work())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def many(by: Client, action: str, wallet: Wallet, **more: Any) -> Work:
    """Choose a wallet in the list, and give what confirms the action."""
    sent = {"action": action, "_selected_action": [wallet.pk]}
    page = by.post(reverse(WALLETS), sent)
    confirmed = sent | {"selection": page.context["selection"], "reason": "by letter", **more}
    return lambda: by.post(reverse(WALLETS), confirmed)


def listed(by: Client, partner: Partner, wallet: Wallet, columns: str, values: str) -> Work:
    """Upload a list of one wallet, and give what confirms it."""
    text = f"partner,address,{columns}\n{partner.slug},{wallet.address},{values}"
    upload = {"import_file": SimpleUploadedFile("list.csv", text.encode()), "format": "0"}
    shown = by.post(reverse("admin:partners_wallet_import"), upload)
    form = {**shown.context["confirm_form"].initial, "reason": "new notes"}
    return lambda: by.post(reverse("admin:partners_wallet_process_import"), form)


def while_reading(confirm: Work, act: Work) -> Any:
    """Confirm a list; when it was read, let somebody else act. Give the other's answer."""
    read = WalletResource.before_import
    others: list[tuple[threading.Thread, list[Any]]] = []

    def slow(self: Any, dataset: Any, **options: Any) -> None:
        read(self, dataset, **options)
        if not others:
            others.append(aside(act))
            # They may have to wait for this list.
            others[0][0].join(3)

    with mock.patch.object(WalletResource, "before_import", slow):
        assert confirm().status_code < 500
    thread, answers = others[0]
    thread.join(30)
    return answers[0]


@pytest.mark.parametrize("what", ["deactivate", "reassign"])
def test_pa5_a_list_undoes_nothing_that_is_saved_while_it_is_read(what: str) -> None:
    partner, other = make_partner(), make_partner("Other", "other")
    make_agreement(partner)
    make_agreement(other)
    wallet = make_wallet(partner, 1, DAY)
    confirm = listed(client("anna"), partner, wallet, "introduced_date,notes", f"{DAY},a note")
    more = {} if what == "deactivate" else {"partner": other.pk, "introduced_date": LATER.isoformat()}
    answer = while_reading(confirm, many(client("berta"), what, wallet, **more))
    # Either came first, or was told to look again.
    if answer.status_code == 200:
        assert "changed since this page was shown" in answer.content.decode()
        return
    wallet.refresh_from_db()
    if what == "deactivate":
        assert not wallet.is_active
    else:
        assert (wallet.partner, wallet.introduced_date) == (other, LATER)
        assert rule_book().fingerprint()["wallets"][0]["former"]


def test_pa5_two_lists_at_once_both_have_their_way() -> None:
    partner = make_partner()
    wallet = make_wallet(partner, 1, DAY)
    one = listed(client("anna"), partner, wallet, "introduced_date,notes", f"{DAY},a note")
    two = listed(client("berta"), partner, wallet, "introduced_date,is_active", "2025-07-01,false")
    assert while_reading(one, two).status_code == 302
    wallet.refresh_from_db()
    assert (wallet.introduced_date, wallet.is_active, wallet.notes) == (date(2025, 7, 1), False, "a note")


def test_pa4_a_wallet_is_given_away_once_and_the_second_person_sees_to_whom() -> None:
    partner, second, third = (make_partner(name, name.lower()) for name in ("Ann", "Bob", "Cid"))
    wallet = make_wallet(partner, 1, DAY)
    day = LATER.isoformat()
    one = many(client("anna"), "reassign", wallet, partner=second.pk, introduced_date=day)
    two = many(client("berta"), "reassign", wallet, partner=third.pk, introduced_date=day)
    give = services.reassign_wallets
    other: list[tuple[threading.Thread, list[Any]]] = []

    def slow(**options: Any) -> int:
        if not other:
            other.append(aside(two))
            time.sleep(0.5)
        return give(**options)

    with mock.patch.object(services, "reassign_wallets", slow):
        assert one().status_code == 302
        thread, answers = other[0]
        thread.join(30)
    assert answers[0].status_code == 200
    assert "changed since this page was shown" in answers[0].content.decode()
    wallet.refresh_from_db()
    assert wallet.partner == second


@pytest.mark.parametrize("what", ["many wallets", "pause", "rules off", "request", "approve", "cancel"])
def test_pa6_a_page_and_a_button_at_once_both_have_their_way(what: str) -> None:
    """A page holds the history's lock and then wants the row; so must the button, or each waits for the other."""
    partner = make_partner()
    agreement, wallet = make_agreement(partner), make_wallet(partner, 1)
    page_by, button_by, approver = client("anna"), client("berta"), client("dora", "approver")
    row: Partner | Wallet | Rule = partner
    if what == "many wallets":
        row, act = wallet, many(button_by, "deactivate", wallet)
    elif what in ("pause", "rules off"):
        row = partner if what == "pause" else Rule.objects.get(agreement=agreement)
        sent = {
            "action": "pause" if what == "pause" else "deactivate",
            "_selected_action": [row.pk],
            "index": "0",
        }
        path = reverse(f"admin:partners_{row._meta.model_name}_changelist")

        def act() -> Any:
            return button_by.post(path, sent | {"reason": "asked"})
    else:
        step, by = request_step(what, partner, button_by, approver)

        def act() -> Any:
            return by.post(step, {"reason": "no", "address": address(9)})

    name = row._meta.model_name
    own_path = reverse(f"admin:partners_{name}_change", args=[row.pk])
    form = Form(page_by.get(own_path).content.decode(), f"{name}_form")
    typed = form.values | ({"priority": "7"} if name == "rule" else {"notes": "called"}) | {"reason": "r"}
    look = RecordedAdmin._look
    others: list[tuple[threading.Thread, list[Any]]] = []

    def slow(self: Any, request: Any, object_id: Any) -> Any:
        seen = look(self, request, object_id)
        others.append(aside(act))
        time.sleep(0.4)
        return seen

    with mock.patch.object(RecordedAdmin, "_look", slow):
        page = page_by.post(own_path, typed)
    thread, answers = others[0]
    thread.join(30)
    assert page.status_code == 302
    # Many wallets are compared with what was shown, and the page changed nothing of that.
    assert answers[0].status_code == 302


def request_step(what: str, partner: Partner, operator: Client, approver: Client) -> tuple[str, Client]:
    """Give the address of a step of a payout address, and who takes it."""
    if what == "request":
        return reverse("admin:partners_payoutaddress_request_confirm", args=[partner.pk]), operator
    asked: PayoutAddress = payout_addresses.request_address(
        actor=User.objects.get(username="berta"), partner=partner, address=address(9), reason="x"
    )
    payout_addresses.record_told(actor=User.objects.get(username="dora"), version_id=asked.pk, how="by phone")
    return reverse(f"admin:partners_payoutaddress_{what}_confirm", args=[asked.pk]), approver
