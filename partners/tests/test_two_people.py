"""Two people at one row: nothing that somebody saved is undone by a page that did not know of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from partners.models import Agreement, Partner, Rule, Wallet
from partners.tests.factories import address, begin, make_agreement, make_partner, make_user, make_wallet
from tests.guards import refused, sql
from tests.role_requests import Form

pytestmark = pytest.mark.django_db
OVERTAKEN = "since you opened this page, it was changed"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator"))
    return client


def fields_of(page: Any, row: Any) -> dict[str, Any]:
    """What a browser would send of a row's page as it stands."""
    return dict(Form(page.content.decode(), f"{row._meta.model_name}_form").values)


def page_of(row: Any) -> str:
    return reverse(f"admin:partners_{row._meta.model_name}_change", args=[row.pk])


def test_pa6_a_page_that_did_not_know_of_a_change_saves_nothing_and_shows_both(operator: Client) -> None:
    agreement = make_agreement(make_partner())
    typed = fields_of(operator.get(page_of(agreement)), agreement) | {"notes": "called", "reason": "a note"}
    agreement.rate_bps = 4_000
    agreement.save()
    page = operator.post(page_of(agreement), typed)
    assert page.status_code == 200
    assert OVERTAKEN in page.content.decode()
    assert "rate: 33 % (3300 bps) → 40 % (4000 bps)" in page.content.decode()
    assert "called" in page.content.decode()
    agreement.refresh_from_db()
    assert (agreement.rate_bps, agreement.notes) == (4_000, "")
    # Who knows of it may save.
    known = fields_of(page, agreement) | {"rate": "40 %", "notes": "called", "reason": "a note"}
    assert operator.post(page_of(agreement), known).status_code == 302
    agreement.refresh_from_db()
    assert (agreement.rate_bps, agreement.notes) == (4_000, "called")


def test_pa6_a_rule_that_was_switched_off_meanwhile_stays_off(operator: Client) -> None:
    agreement = make_agreement(make_partner())
    rule = Rule.objects.get(agreement=agreement)
    typed = fields_of(operator.get(page_of(agreement)), agreement) | {"notes": "called", "reason": "a note"}
    Rule.objects.filter(pk=rule.pk).update(is_active=False)
    assert OVERTAKEN in operator.post(page_of(agreement), typed).content.decode()
    rule.refresh_from_db()
    assert not rule.is_active


@pytest.mark.parametrize("what", ["partner", "agreement of the partner", "wallet"])
def test_pa6_no_page_undoes_what_it_did_not_know(operator: Client, what: str) -> None:
    partner = make_agreement(make_partner()).partner
    wallet = make_wallet(partner, 1)
    row: Any = wallet if what == "wallet" else partner
    typed = fields_of(operator.get(page_of(row)), row) | {"notes": "called", "reason": "a note"}
    if what == "partner":
        Partner.objects.filter(pk=partner.pk).update(status="PAUSED")
    elif what == "wallet":
        Wallet.objects.filter(pk=wallet.pk).update(is_active=False)
    else:
        Agreement.objects.filter(partner=partner).update(rate_bps=2_000)
    assert OVERTAKEN in operator.post(page_of(row), typed).content.decode()
    assert Wallet.objects.get().is_active is (what != "wallet")
    assert Partner.objects.get().status == ("PAUSED" if what == "partner" else "ACTIVE")
    assert Agreement.objects.get().rate_bps == (2_000 if what == "agreement of the partner" else 3_300)


def test_pa9_what_if_does_not_overwrite_what_was_saved_before_it_is_confirmed(operator: Client) -> None:
    agreement = make_agreement(make_partner())
    typed = fields_of(operator.get(page_of(agreement)), agreement) | {"rate": "35 %", "reason": "r"}
    assert "seen" in typed
    agreement.minimum_payout_rao = 5 * 10**9
    agreement.save()
    button = {"partners_agreement_what_if": "1"}
    assert OVERTAKEN in operator.post(page_of(agreement), typed | button).content.decode()
    agreement.refresh_from_db()
    assert (agreement.rate_bps, agreement.minimum_payout_rao) == (3_300, 5 * 10**9)


def listed(*rows: str) -> SimpleUploadedFile:
    text = "\n".join(["partner,chain,address,introduced_date,is_active,notes", *rows])
    return SimpleUploadedFile("list.csv", text.encode(), "text/csv")


def test_pa5_a_confirmed_list_does_what_its_preview_showed_or_nothing(operator: Client) -> None:
    partner = make_partner()
    one, two = make_wallet(partner, 1), make_wallet(partner, 2)
    rows = [
        f"{partner.slug},BITTENSOR,{one.address},{one.introduced_date},true,changed",
        f"{partner.slug},BITTENSOR,{two.address},{two.introduced_date},true,{two.notes}",
    ]
    shown = operator.post(
        reverse("admin:partners_wallet_import"), {"import_file": listed(*rows), "format": "0"}
    )
    form = {**shown.context["confirm_form"].initial, "reason": "a note"}
    Wallet.objects.filter(pk=two.pk).update(is_active=False)
    page = operator.post(reverse("admin:partners_wallet_process_import"), form)
    assert "somebody changed wallets since you saw this preview" in page.content.decode()
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.notes, two.is_active) == ("", False)
    # It is shown as it is now, and what is shown now may be confirmed.
    again = operator.post(reverse("admin:partners_wallet_process_import"), form | {"reason": "both"})
    assert again.status_code == 302
    two.refresh_from_db()
    assert two.is_active


def test_pa4_wallets_that_changed_hands_since_the_page_are_not_given_away(operator: Client) -> None:
    wallet = make_wallet(make_partner(), 1)
    other, third = make_partner("Other", "other"), make_partner("Third", "third")
    path = reverse("admin:partners_wallet_changelist")
    chosen = {"action": "reassign", "_selected_action": [wallet.pk]}
    page = operator.post(path, chosen)
    confirmed = chosen | {
        "selection": page.context["selection"],
        "partner": third.pk,
        "introduced_date": "2025-09-10",
        "reason": "r",
    }
    Wallet.objects.filter(pk=wallet.pk).update(partner=other)
    assert "changed since this page was shown" in operator.post(path, confirmed).content.decode()
    wallet.refresh_from_db()
    assert wallet.partner == other


@pytest.mark.parametrize(("model", "action"), [("rule", "deactivate"), ("partner", "pause")])
def test_pa6_an_action_on_many_says_why(operator: Client, model: str, action: str) -> None:
    partner = make_agreement(make_partner()).partner
    row: Any = partner if model == "partner" else Rule.objects.get()
    sent = {"action": action, "_selected_action": [row.pk], "index": "0", "reason": ""}
    path = reverse(f"admin:partners_{model}_changelist")
    assert "Nothing was changed. Say why" in operator.post(path, sent, follow=True).content.decode()
    assert (Partner.objects.get().status, Rule.objects.get().is_active) == ("ACTIVE", True)
    operator.post(path, sent | {"reason": "asked"})
    assert (Partner.objects.get().status, Rule.objects.get().is_active) != ("ACTIVE", True)


def test_pa4_a_wallet_is_not_introduced_in_the_future(operator: Client) -> None:
    partner = make_partner()
    form = {
        "partner": partner.pk,
        "chain": "BITTENSOR",
        "address": address(3),
        "introduced_date": "2999-01-01",
        "is_active": "on",
    }
    page = operator.post(reverse("admin:partners_wallet_add"), form)
    assert "This day is in the future" in page.content.decode()
    assert not Wallet.objects.exists()


@pytest.mark.parametrize(
    ("days", "name"),
    [
        ({"introduced_date": "0001-01-01"}, "introduced_date"),
        ({"introduced_date": "2019-12-31", "ended_date": "2025-08-01"}, "introduced_date"),
        ({"introduced_date": "2025-08-01", "ended_date": "1999-08-31"}, "ended_date"),
    ],
)
def test_pa4_a_wallet_begins_and_ends_after_the_chains_began(
    operator: Client, days: dict[str, str], name: str
) -> None:
    form = {"partner": make_partner().pk, "chain": "BITTENSOR", "address": address(3), **days}
    page = operator.post(reverse("admin:partners_wallet_add"), form)
    what = name.replace("_", " ")
    assert page.context["errors"] == [
        [f"The {what} {days[name]} is before 2020-01-01, and no chain held here is that old. Correct it."]
    ]
    assert not Wallet.objects.exists()


@pytest.mark.parametrize("table", ["partner", "agreement", "rule", "wallet", "payoutaddress"])
def test_pa6_nobody_writes_a_history_of_his_own(table: str) -> None:
    partner = make_agreement(make_partner()).partner
    make_wallet(partner, 1)
    begin(partner, address(5))
    columns = ", ".join(
        str(name)
        for (name,) in sql(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = %s AND column_name NOT IN ('pgh_id')",
            f"partners_{table}event",
        )
    )
    source = f"SELECT {columns} FROM partners_{table}event LIMIT 1"
    assert sql(source)
    with refused("history_by_triggers"):
        sql(f"INSERT INTO partners_{table}event ({columns}) {source}")


def test_pa2_a_span_that_nobody_touched_stays_to_the_microsecond(operator: Client) -> None:
    starts_at, ends_at = (datetime(2025, 8, day, 12, 34, 56, 123_456, tzinfo=UTC) for day in (1, 9))
    agreement = make_agreement(make_partner(), starts_at=starts_at, ends_at=ends_at)
    typed = fields_of(operator.get(page_of(agreement)), agreement) | {"reason": "r"}
    assert operator.post(page_of(agreement), typed | {"notes": "called"}).status_code == 302
    agreement.refresh_from_db()
    assert (agreement.effective.lower, agreement.effective.upper) == (starts_at, ends_at)
    # So it does where the other end is typed anew, and below its partner.
    typed = fields_of(operator.get(page_of(agreement)), agreement) | {"reason": "r"}
    operator.post(page_of(agreement), typed | {"effective_until_0": "2025-08-10", "effective_until_1": ""})
    agreement.refresh_from_db()
    assert agreement.effective.lower == starts_at
    assert agreement.effective.upper == datetime(2025, 8, 10, tzinfo=UTC)
    partner = agreement.partner
    typed = fields_of(operator.get(page_of(partner)), partner) | {"agreements-0-notes": "x", "reason": "r"}
    assert operator.post(page_of(partner), typed).status_code == 302
    agreement.refresh_from_db()
    assert (agreement.notes, agreement.effective.lower) == ("x", starts_at)


@pytest.mark.parametrize("meanwhile", ["the one for the other", "another note", "a partner of that name"])
def test_pa5_a_list_that_would_change_as_many_rows_but_others_is_shown_again(
    operator: Client, meanwhile: str
) -> None:
    partner = make_partner()
    one, two = make_wallet(partner, 1), make_wallet(partner, 2)
    rows = [
        f"{partner.slug},BITTENSOR,{one.address},{one.introduced_date},true,listed",
        f"{partner.slug},BITTENSOR,{two.address},{two.introduced_date},true,",
        f"{partner.slug},BITTENSOR,{address(3)},{two.introduced_date},true,",
    ]
    shown = operator.post(
        reverse("admin:partners_wallet_import"), {"import_file": listed(*rows), "format": "0"}
    )
    form = {**shown.context["confirm_form"].initial, "reason": "a note"}
    if meanwhile == "the one for the other":
        Wallet.objects.filter(pk=one.pk).update(notes="listed")
        Wallet.objects.filter(pk=two.pk).update(notes="by hand")
    elif meanwhile == "another note":
        Wallet.objects.filter(pk=one.pk).update(notes="by hand")
    else:
        # Its rows would be those of somebody else, and only one of them is new.
        other = make_partner("Other", "other")
        Wallet.objects.update(partner=other)
        Partner.objects.filter(pk=partner.pk).update(slug="before")
        Partner.objects.filter(pk=other.pk).update(slug=partner.slug)
    before = list(Wallet.objects.order_by("pk").values())
    page = operator.post(reverse("admin:partners_wallet_process_import"), form)
    assert "somebody changed wallets since you saw this preview" in page.content.decode()
    assert list(Wallet.objects.order_by("pk").values()) == before
    again = operator.post(reverse("admin:partners_wallet_process_import"), form | {"reason": "both"})
    assert again.status_code == 302
    assert Wallet.objects.count() == 3
