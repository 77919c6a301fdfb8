"""The ledger's pages: what they show, that nothing is editable, and that the right is needed for every step."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from ledger.models import Account, CommissionLine, Entry, Period
from ledger.queries import statement
from ledger.services import attribute_yields
from ledger.tests.factories import NOW, make_blocks, make_positions, make_yield
from ledger.tests.test_worked_example import ANN, build_two_days, close_two_days
from partners.models import Partner, Wallet
from partners.sealing import newest_head
from tests.guards import tamper

pytestmark = pytest.mark.django_db


def sign_in(*rights: str, name: str = "staff", superuser: bool = False) -> Client:
    user = get_user_model().objects.create_user(name, password="x", is_staff=True, is_superuser=superuser)
    for right in rights:
        user.user_permissions.add(Permission.objects.get(content_type__app_label="ledger", codename=right))
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status, url
    return answer.content.decode()


LISTS = ["period", "attribution", "commissionline", "entry", "account"]


@pytest.mark.parametrize("name", LISTS)
def test_ui9_every_list_shows_its_rows_and_says_what_to_do_when_empty(name: str) -> None:
    client = sign_in(superuser=True)
    url = reverse(f"admin:ledger_{name}_changelist")
    empty = text_of(client, url)
    assert "No " in empty or "Nothing is attributed yet" in empty
    close_two_days()
    assert "result-list" in text_of(client, url) or "results" in text_of(client, url)


@pytest.mark.parametrize("name", LISTS)
def test_le5_nothing_can_be_added_changed_or_deleted_here_even_by_a_superuser(name: str) -> None:
    close_two_days()
    client = sign_in(superuser=True)
    row: Any = {
        "period": Period,
        "commissionline": CommissionLine,
        "entry": Entry,
        "account": Account,
    }.get(name)
    assert client.get(reverse(f"admin:ledger_{name}_add")).status_code == 403
    if row is None:
        return
    pk = row.objects.order_by("pk")[0].pk
    before = list(row.objects.order_by("pk").values())
    answer = client.post(reverse(f"admin:ledger_{name}_change", args=[pk]), {"memo": "x"})
    # A row without a form of its own leads to the page that shows it.
    assert answer.status_code == (302 if name in {"commissionline", "account"} else 403)
    assert client.post(reverse(f"admin:ledger_{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403
    answer = client.post(
        reverse(f"admin:ledger_{name}_changelist"),
        {"action": "delete_selected", "_selected_action": [pk], "post": "yes"},
    )
    assert answer.status_code in {200, 302}
    assert list(row.objects.order_by("pk").values()) == before


def test_le8_the_period_page_shows_certificate_statements_and_manifest() -> None:
    one, _ = close_two_days()
    text = text_of(sign_in(superuser=True), reverse("admin:ledger_period_change", args=[one.pk]))
    assert "Every sum agrees" in text
    assert one.manifest_hash in text
    assert "0.000000703" in text
    assert reverse("admin:ledger_statement", args=[one.key, "talisman"]) in text


def test_ui3_the_block_page_shows_every_delegator_and_why() -> None:
    close_two_days()
    Wallet.objects.filter(address=ANN).update(is_active=False)
    text = text_of(sign_in(superuser=True), reverse("admin:ledger_block", args=[10]))
    assert "0.000000501" in text
    assert "50.0000 %" in text
    assert "agreement (33 % from 2024-12-02) lists this address" in text
    assert "No partner lists this address." in text
    assert "recorded, and equal to this" in text


def test_ui3_a_block_that_is_empty_missing_or_incomplete_says_so() -> None:
    client = sign_in(superuser=True)
    assert "run the ingestion first" in text_of(client, reverse("admin:ledger_block", args=[5]))
    make_blocks(1, 9)
    make_positions({ANN: 5}, netuid=2)
    make_yield(2, 100, share_total=6)
    assert "The newest block here is" in text_of(client, reverse("admin:ledger_block", args=[99]))
    assert "there is nothing to attribute" in text_of(client, reverse("admin:ledger_block", args=[3]))
    assert "share bits" in text_of(client, reverse("admin:ledger_block", args=[2]))


def test_le7_page_and_files_of_a_statement_carry_the_same_hash() -> None:
    one, _ = close_two_days()
    client = sign_in(superuser=True)
    found = statement(Partner.objects.get(slug="talisman"), one)
    page = text_of(client, reverse("admin:ledger_statement", args=[one.key, "talisman"]))
    assert found.content_hash in page
    assert reverse("admin:ledger_block", args=[10]) in page
    answer = client.get(reverse("admin:ledger_statement_file", args=[one.key, "talisman", "json"]))
    assert json.loads(answer.content)["content_hash"] == found.content_hash
    assert answer["Content-Disposition"] == 'attachment; filename="statement-talisman-2025-01-01.json"'
    assert found.content_hash in text_of(
        client, reverse("admin:ledger_statement_file", args=[one.key, "talisman", "csv"])
    )
    for wrong in ([one.key, "nobody"], ["2024-01-01", "talisman"]):
        assert client.get(reverse("admin:ledger_statement", args=wrong)).status_code == 404
    assert (
        client.get(reverse("admin:ledger_statement_file", args=[one.key, "talisman", "docx"])).status_code
        == 404
    )


def test_le6_closing_takes_the_right_a_post_and_a_ready_day() -> None:
    build_two_days()
    page, confirm = reverse("admin:ledger_close"), reverse("admin:ledger_close_confirm")
    viewer = sign_in("view_period", "view_attribution", "view_commissionline", name="viewer")
    assert viewer.get(page).status_code == 403
    assert viewer.post(confirm).status_code == 403
    assert "open-close-page" not in text_of(viewer, reverse("admin:ledger_period_changelist"))
    closer = sign_in("view_period", "close_period", name="closer")
    assert "open-close-page" in text_of(closer, reverse("admin:ledger_period_changelist"))
    text = text_of(closer, page)
    assert "run attribution" in text
    assert "Close for good" not in text
    assert closer.get(confirm).status_code == 405
    assert "run attribution" in closer.post(confirm, follow=True).content.decode()
    assert Period.objects.count() == 0
    attribute_yields(now=NOW)
    assert "Close for good" in text_of(closer, page)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(get_user_model().objects.get(username="closer"))
    assert strict.post(confirm).status_code == 403
    assert Period.objects.count() == 0
    assert "Closed 2: 2025-01-01, 2025-01-02" in closer.post(confirm, follow=True).content.decode()
    assert {period.closed_by.username for period in Period.objects.all() if period.closed_by} == {"closer"}
    assert "No day is due" in closer.post(confirm, follow=True).content.decode()


def test_le6_the_close_page_says_what_to_do_with_nothing_ingested() -> None:
    assert "No block is ingested yet" in text_of(sign_in(superuser=True), reverse("admin:ledger_close"))


def test_ui5_a_row_leads_to_the_page_that_shows_it() -> None:
    close_two_days()
    client = sign_in(superuser=True)
    line = CommissionLine.objects.get(commission_rao=195 - 44)
    answer = client.get(reverse("admin:ledger_commissionline_change", args=[line.pk]))
    assert answer["Location"] == reverse("admin:ledger_statement", args=["2025-01-01", "talisman"])
    account = Account.objects.get(kind="PAYABLE", partner__slug="talisman")
    answer = client.get(reverse("admin:ledger_account_change", args=[account.pk]), follow=True)
    text = answer.content.decode()
    assert "close:2025-01-01" in text
    # The amount of an entry is what it moved, not that of one account.
    assert "0.000000703" in text
    assert "0.000000425" in text_of(
        client, reverse("admin:ledger_entry_change", args=[Entry.objects.get(key="close:2025-01-01").pk])
    )
    assert (
        sign_in(name="other").get(reverse("admin:ledger_account_change", args=[account.pk])).status_code
        == 403
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("block", [10]),
        ("statement", ["2025-01-01", "talisman"]),
        ("statement_file", ["2025-01-01", "talisman", "json"]),
        ("close", []),
    ],
)
def test_ui3_no_page_opens_without_its_right(name: str, arguments: list[object]) -> None:
    close_two_days()
    url = reverse(f"admin:ledger_{name}", args=arguments)
    assert sign_in().get(url).status_code == 403
    assert Client().get(url).status_code == 302


def test_le8_the_checks_say_that_all_agrees() -> None:
    close_two_days()
    client = sign_in("check_period")
    assert "Run the checks" in text_of(client, reverse("admin:ledger_checks"))
    page = client.post(reverse("admin:ledger_checks_run"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "It agrees with the facts" in text
    assert "Nothing before its end was edited" in text
    assert str(newest_head()) in text
    assert client.get(reverse("admin:ledger_checks_run")).status_code == 405


def test_le8_the_checks_name_what_differs() -> None:
    close_two_days()
    tamper("UPDATE partners_walletevent SET notes = 'other'")
    tamper("UPDATE ledger_rollup SET take_rao = take_rao + 1, takes_rao[1] = takes_rao[1] + 1")
    text = sign_in("check_period").post(reverse("admin:ledger_checks_run")).content.decode()
    assert "its row was changed after it was written" in text
    assert text.count("approve nothing") == 2


@pytest.mark.parametrize("name", ["checks", "checks_run", "period_open_checks_page"])
def test_le8_the_checks_need_the_right(name: str) -> None:
    client = sign_in("view_period", "close_period")
    url = reverse(f"admin:ledger_{name}")
    assert client.get(url).status_code == client.post(url).status_code == 403
