"""PA9: a change that is not saved, tried on closed days. The facts and numbers are those of `test_worked_example`."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test import Client
from django.urls import reverse

from ledger.models import DelegationWinner, Period
from ledger.services import attribute_yields, close_due_days, run_what_if
from ledger.tests.factories import NOW, START, key, make_blocks, make_partner, make_positions, make_yield
from ledger.tests.test_worked_example import ANN, OWN, build_two_days, close_two_days
from ledger.what_if import Difference, compare
from partners import services
from partners.models import Agreement, AgreementTemplate, Change, Partner, Rule, Seal, Wallet, WhatIf
from partners.tests.factories import address
from partners.tests.test_admin import agreement_form, wallet_form
from partners.what_if import BookChange, apply, as_if_before, difference, is_empty, with_unknown

pytestmark = pytest.mark.django_db


def tried(make: Any) -> BookChange:
    """The change of the book that a function makes, which is taken back."""
    before = services.rules_now()
    with transaction.atomic():
        make()
        after = services.rules_now()
        transaction.set_rollback(True)
    assert services.rules_now() == before
    return difference(before, after)


def owed(periods: list[Period], change: BookChange) -> dict[tuple[str, str], tuple[int, int]]:
    """By day and partner, what is owed as closed and with the change; partners of equal sums are left out."""
    names = dict(Partner.objects.values_list("pk", "slug"))
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for compared in compare(periods, change):
        for row in compared.rows:
            at = row.period, names.get(row.partner_id, "new")
            before, after = sums.get(at, (0, 0))
            sums[at] = before + row.commission_before, after + row.commission_after
    return {at: amounts for at, amounts in sums.items() if amounts[0] != amounts[1]}


def set_rate(rate_bps: int) -> None:
    Agreement.objects.filter(partner__slug="creative-builds").update(rate_bps=rate_bps)


def test_pa9_without_a_change_every_day_comes_to_what_it_was_closed_with() -> None:
    periods = close_two_days()
    change = tried(lambda: None)
    assert is_empty(change)
    for compared in compare(periods, change):
        assert compared.rows
        assert all(
            (row.take_before, row.commission_before) == (row.take_after, row.commission_after)
            for row in compared.rows
        )
        assert compared.wallets_before == compared.wallets_after


def test_pa9_another_rate_counts_from_the_first_day_on_also_for_what_is_sold_later() -> None:
    periods = close_two_days()
    change = tried(lambda: set_rate(4_000))
    # Day 1: floor(152 x 40 %) + 100 x 40 %; day 2: floor(252 x 40 %), most of it earned on day 1.
    assert owed(periods, change) == {
        ("2025-01-01", "creative-builds"): (83, 100),
        ("2025-01-02", "creative-builds"): (83, 100),
    }


def test_pa9_what_was_earned_before_the_first_day_keeps_the_rate_it_was_earned_at() -> None:
    _, two = close_two_days()
    # Of the 252, 201 were earned the day before: floor(201 x 33 %) + floor(51 x 40 %).
    change = tried(lambda: set_rate(4_000))
    assert owed([two], change) == {("2025-01-02", "creative-builds"): (83, 66 + 20)}


def test_pa9_a_wallet_more_takes_from_what_was_our_own() -> None:
    periods = close_two_days()
    partner = Partner.objects.get(slug="creative-builds")

    def add() -> None:
        Wallet.objects.create(partner=partner, address=OWN, introduced_date=date(2025, 1, 1))

    (one, two) = compare(periods, tried(add))
    # Ann and Own together are 701 of 1,001: floor(300 x 701 / 1,001) + 1 of what remained = 211 TAO-rao, of them 33 %.
    assert Difference("2025-01-01", partner.pk, 2, "ALPHA", 501, 701, 50, 69) in one.rows
    assert (one.wallets_before[partner.pk], one.wallets_after[partner.pk]) == (1, 2)
    assert [row.take_rao for row in two.matched(partner.pk)] == [50, 20]


def test_pa9_tiers_go_on_over_the_days_of_a_month_and_begin_anew_with_the_next() -> None:
    make_blocks(1, 4_321, start=datetime(2025, 1, 30, tzinfo=UTC))
    make_positions({ANN: 1}, netuid=0)
    make_partner("Creative Builds", 1_000, ANN)
    for block in (10, 1_500, 3_000):
        make_yield(block, 100, side="ROOT")
    attribute_yields(now=NOW)
    periods = close_due_days(actor=None, now=NOW)
    change = tried(lambda: Agreement.objects.update(tiers=[[150, 5_000]]))
    assert owed(periods, change) == {("2025-01-31", "creative-builds"): (10, 5 + 25)}
    # The volume of the days before counts, also where the comparison begins later.
    assert owed(periods[1:], change) == {("2025-01-31", "creative-builds"): (10, 5 + 25)}


def test_pa9_what_begins_later_is_compared_as_if_it_had_begun_before_instead_of_the_others() -> None:
    periods = close_two_days()
    old = Agreement.objects.get(partner__slug="creative-builds")

    def renew() -> None:
        later = START + timedelta(days=90)
        Agreement.objects.filter(pk=old.pk).update(effective=DateTimeTZRange(old.effective.lower, later))
        new = Agreement.objects.create(
            partner=old.partner, effective=DateTimeTZRange(later, None), rate_bps=4_000
        )
        Rule.objects.create(agreement=new, applies_from_block=10**6)
        Wallet.objects.create(partner=old.partner, address=OWN, introduced_date=later.date())

    change = tried(renew)
    assert owed(periods, change) == {}
    moved = as_if_before(
        change,
        periods[-1].manifest["rules"],
        starts_at=periods[0].start_at,
        ends_at=periods[-1].end_at,
        last_block=periods[-1].blocks.upper - 1,
    )
    # Own joins: alpha of day 1 is (152 + 59) x 40 %, root 100 x 40 %.
    assert owed(periods[:1], moved) == {("2025-01-01", "creative-builds"): (83, 84 + 40)}
    assert old.pk not in [row["id"] for row in apply(moved, services.rules_now())["agreements"]]


def test_pa9_a_rule_whose_agreement_is_not_there_falls_away() -> None:
    make_partner("Ann", 1_000, ANN)
    rules = services.rules_now()
    change = tried(lambda: None) | {"agreements": {"drop": [rules["agreements"][0]["id"]], "put": []}}
    assert apply(change, rules)["rules"] == []


# --- asking, running, reading -------------------------------------------------------------------------


def sign_in(role: str, name: str = "olga") -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, rate: str = "40 %", **values: Any) -> Any:
    agreement = Agreement.objects.get(partner__slug="creative-builds")
    form = agreement_form(
        agreement.partner,
        effective_from_0=agreement.effective.lower.date().isoformat(),
        rate=rate,
        minimum_payout="",
        partners_agreement_what_if="",
        reason="Renegotiated",
        **values,
    )
    url = reverse("admin:partners_agreement_change", args=[agreement.pk])
    rule = agreement.rules.get()
    form |= {
        "rules-TOTAL_FORMS": "1",
        "rules-INITIAL_FORMS": "1",
        "rules-0-id": rule.pk,
        "rules-0-agreement": agreement.pk,
        "rules-0-kind": "WALLET",
        "rules-0-memo_match": "",
        "rules-0-memo": "",
        "rules-0-netuid": "",
        "rules-0-side": "",
        "rules-0-priority": "100",
        "rules-0-applies_from_block": "0",
        "rules-0-is_active": "on",
    }
    return client.post(url, form, follow=True)


def kept() -> tuple[Any, ...]:
    """Everything that a comparison must leave as it is."""
    return services.rules_now(), Change.objects.count(), Seal.objects.count(), Agreement.objects.count()


def test_pa9_what_if_saves_nothing_shows_the_difference_and_then_saves_what_was_shown() -> None:
    close_two_days()
    client, before = sign_in("operator"), kept()
    page = ask(client).content.decode()
    assert kept() == before
    asked = WhatIf.objects.get()
    assert "Waiting for a worker" in page
    assert "was changed successfully" not in page
    run_what_if(asked.pk)
    asked.refresh_from_db()
    assert (asked.state, asked.done, asked.total, str(asked.first_day)) == ("DONE", 1, 1, "2025-01-02")
    url = reverse("admin:partners_whatif_page", args=[asked.pk])
    page = client.get(url).content.decode()
    assert "Changed agreement: Creative Builds: 40 % from" in page
    assert "Save this change" in page
    assert ANN in page
    assert kept() == before

    rows = list(
        csv.DictReader(
            io.StringIO(client.get(reverse("admin:partners_whatif_csv", args=[asked.pk])).content.decode())
        )
    )
    alpha = next(row for row in rows if row["partner"] == "Creative Builds" and row["asset"] == "ALPHA")
    assert (alpha["commission_before_rao"], alpha["commission_after_rao"]) == ("83", "86")
    assert alpha["commission_difference_rao"] == "3"

    # Back to the form: what was typed, no fault, nothing saved.
    back = client.post(asked.form["action"], dict(asked.form["fields"]) | {"_back_to_form": ""})
    assert 'value="40 %"' in back.content.decode()
    assert "errornote" not in back.content.decode()
    assert kept() == before
    client.post(asked.form["action"], dict(asked.form["fields"]) | {"_save": ""})
    assert Agreement.objects.get(partner__slug="creative-builds").rate_bps == 4_000


def test_pa9_over_more_days_it_is_asked_again_and_every_day_is_listed() -> None:
    close_two_days()
    client = sign_in("operator")
    ask(client)
    first = WhatIf.objects.get()
    days = {"first_day": "2025-01-01", "last_day": "2025-01-31"}
    again = reverse("admin:partners_whatif_again", args=[first.pk])
    client.post(again, days)
    asked = WhatIf.objects.exclude(pk=first.pk).get()
    run_what_if(asked.pk)
    asked.refresh_from_db()
    assert (asked.done, asked.total, str(asked.last_day)) == (2, 2, "2025-01-02")
    page = client.get(reverse("admin:partners_whatif_now", args=[asked.pk]))
    assert page["X-Live"] == "final"
    assert "Day by day" in page.content.decode()
    for wrong in (
        {"first_day": "2025-02-01", "last_day": "2025-01-01"},
        {"first_day": "soon", "last_day": ""},
    ):
        client.post(again, wrong)
        assert WhatIf.objects.count() == 2


def test_pa9_a_form_with_a_fault_is_shown_again_and_nothing_is_asked() -> None:
    close_two_days()
    page = ask(sign_in("operator"), rate="140 %").content.decode()
    assert "is more than the whole" in page
    assert not WhatIf.objects.exists()


def test_pa9_a_change_that_moves_nothing_is_told_at_once() -> None:
    close_two_days()
    page = ask(sign_in("operator"), rate="33 %").content.decode()
    assert "there is nothing to compare. Nothing was saved." in page
    assert not WhatIf.objects.exists()


def test_pa9_a_new_partner_is_named_though_it_is_not_saved() -> None:
    close_two_days()
    client = sign_in("operator")
    partner = Partner.objects.create(name="Newcomer", slug="newcomer")
    form = agreement_form(partner, effective_from_0="2026-01-01", partners_agreement_what_if="")
    client.post(reverse("admin:partners_agreement_add"), form)
    wallet = wallet_form(partner, address=key("else"), partners_wallet_what_if="")
    client.post(reverse("admin:partners_wallet_add"), wallet)
    titles = list(WhatIf.objects.order_by("pk").values_list("title", flat=True))
    assert titles == ["New agreement: Newcomer: 33 % from 2026-01-01"]
    asked = WhatIf.objects.get()
    run_what_if(asked.pk)
    page = client.get(reverse("admin:partners_whatif_page", args=[asked.pk])).content.decode()
    assert "as if it had begun before them" in page
    assert "Newcomer: wallets it would find" in page


def test_pa9_without_a_closed_day_it_says_what_to_do() -> None:
    build_two_days()
    client = sign_in("operator")
    ask(client)
    asked = WhatIf.objects.get()
    run_what_if(asked.pk)
    page = client.get(reverse("admin:partners_whatif_page", args=[asked.pk])).content.decode()
    assert "Close a day first, or choose other days" in page


def test_pa9_a_cancelled_one_stays_so_and_is_run_by_nobody() -> None:
    close_two_days()
    client = sign_in("operator")
    ask(client)
    asked = WhatIf.objects.get()
    client.post(reverse("admin:partners_whatif_cancel", args=[asked.pk]))
    run_what_if(asked.pk)
    asked.refresh_from_db()
    assert (asked.state, asked.done, asked.result) == ("CANCELLED", 0, {})


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_pa9_who_may_not_save_may_not_ask_or_steer_but_look(role: str) -> None:
    close_two_days()
    ask(sign_in("operator"))
    asked = WhatIf.objects.get()
    client = sign_in(role, name="vera")
    assert ask(client).status_code == 403
    for name in ("again", "cancel"):
        url = reverse(f"admin:partners_whatif_{name}", args=[asked.pk])
        assert client.get(url).status_code == 405
        assert client.post(url, {"first_day": "2025-01-01", "last_day": "2025-01-02"}).status_code == 403
    page = client.get(reverse("admin:partners_whatif_page", args=[asked.pk]))
    assert page.status_code == 200
    assert "Save this change" not in page.content.decode()
    assert WhatIf.objects.count() == 1


def test_pa9_staff_without_a_group_sees_none_of_it() -> None:
    close_two_days()
    ask(sign_in("operator"))
    client = Client()
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    for name in ("page", "now", "csv"):
        url = reverse(f"admin:partners_whatif_{name}", args=[WhatIf.objects.get().pk])
        assert client.get(url).status_code == 403


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("what_if_ends_once", "state = 'DONE'"),
        ("what_if_ends_once", "finished_at = now()"),
        ("what_if_done_within_total", "done = 1"),
        ("template_rate_at_most_whole", "rate_bps = 10001"),
        ("template_minimum_not_negative", "minimum_payout_rao = -1"),
    ],
)
def test_pa9_the_database_refuses_what_cannot_be(constraint: str, values: str) -> None:
    build_two_days()
    ask(sign_in("operator"))
    table = "partners_agreementtemplate" if constraint.startswith("template") else "partners_whatif"
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {values}")


# --- templates ------------------------------------------------------------------------------------------


def test_pa2_a_new_agreement_begins_from_a_template() -> None:
    client = sign_in("operator")
    page = client.get(reverse("admin:partners_agreement_add")).content.decode()
    assert "Named partner, 33 %" in page
    assert "partners_agreement_what_if" in page
    app = "Wallet app, 50 %, new delegators"
    chosen = AgreementTemplate.objects.get(name=app)
    page = client.get(reverse("admin:partners_agreement_add"), {"template": chosen.pk}).content.decode()
    assert 'value="50 %"' in page
    assert 'name="rules-0-kind"' in page
    for wrong in ("x", "999999", "9" * 5_000, "٢"):
        assert client.get(reverse("admin:partners_agreement_add"), {"template": wrong}).status_code == 200


def test_pa2_operators_keep_templates_and_viewers_only_see_them() -> None:
    url = reverse("admin:partners_agreementtemplate_add")
    form = {
        "name": "Exchange",
        "rate_bps": "12.5 %",
        "minimum_payout_rao": "1",
        "rule_kind": "ALL",
        "description": "",
    }
    assert sign_in("viewer", name="vera").post(url, form).status_code == 403
    sign_in("operator").post(url, form)
    template = AgreementTemplate.objects.get(name="Exchange")
    assert (template.rate_bps, template.minimum_payout_rao) == (1_250, 10**9)


def test_pa1_every_winner_is_found_by_its_wallet_and_leads_to_the_reasons() -> None:
    close_two_days()
    client = sign_in("viewer")
    page = client.get(reverse("admin:ledger_delegationwinner_changelist"), {"q": ANN})
    assert page.content.decode().count("Exact wallet") == 3
    row = DelegationWinner.objects.filter(coldkey=ANN).first()
    assert row is not None
    answer = client.get(reverse("admin:ledger_delegationwinner_change", args=[row.pk]), follow=True)
    assert "lists this address and was in force at this block" in answer.content.decode()


def test_pa9_a_popup_that_asks_saves_nothing_either() -> None:
    close_two_days()
    client, before = sign_in("operator"), kept()
    agreement = Agreement.objects.get(partner__slug="creative-builds")
    form = wallet_form(agreement.partner, address=OWN, partners_wallet_what_if="", _popup="1", reason="x")
    client.post(reverse("admin:partners_wallet_add") + "?_popup=1", form)
    assert kept() == before
    assert not Wallet.objects.filter(address=OWN).exists()


def upload(client: Client, *lines: str) -> Any:
    text = "\n".join(["partner,address,introduced_date,is_active", *lines])
    file = SimpleUploadedFile("wallets.csv", text.encode())
    url = reverse("admin:partners_wallet_import")
    return client.post(url, {"import_file": file, "format": "0", "resource": ""})


def test_pa9_a_wallet_list_is_tried_from_its_preview_and_imported_from_there() -> None:
    close_two_days()
    client, before = sign_in("operator"), kept()
    preview = upload(
        client, f"creative-builds,{OWN},2025-01-01,true", f"creative-builds,{ANN},2024-12-02,false"
    )
    confirm = preview.context["confirm_form"].initial
    assert "partners_wallet_what_if" in preview.content.decode()
    url = reverse("admin:partners_wallet_process_import")
    client.post(url, {**confirm, "partners_wallet_what_if": ""})
    asked = WhatIf.objects.get()
    assert asked.title == "Wallet list: 1 put in, 1 taken out"
    run_what_if(asked.pk)
    page = client.get(reverse("admin:partners_whatif_page", args=[asked.pk])).content.decode()
    assert OWN in page
    assert ANN not in page
    assert "Back to the form" not in page
    assert kept() == before
    # It takes a wallet away, and nobody said why yet.
    again = client.post(asked.form["action"], dict(asked.form["fields"]) | {"_save": ""})
    assert "Say why, in a few words" in again.content.decode()
    assert kept() == before
    client.post(asked.form["action"], dict(asked.form["fields"]) | {"_save": "", "reason": "Their list"})
    assert Wallet.objects.get(address=OWN).partner.slug == "creative-builds"
    assert not Wallet.objects.get(address=ANN).is_active


def test_pa9_messages_that_wait_are_shown_and_those_of_what_was_not_saved_are_not() -> None:
    close_two_days()
    client = sign_in("operator")
    partner = Partner.objects.get(slug="creative-builds")
    # Its page is never looked at, so what it says waits.
    client.post(reverse("admin:partners_wallet_add"), wallet_form(partner, 7))
    form = wallet_form(partner, address=OWN, partners_wallet_what_if="")
    page = client.post(reverse("admin:partners_wallet_add"), form, follow=True)
    assert page.redirect_chain[0][0].endswith(f"/{WhatIf.objects.get().pk}/page/")
    said = [str(message) for message in page.context["messages"]]
    assert len(said) == 1
    assert address(7) in said[0]


def test_pa9_a_list_that_moves_nothing_is_told_on_its_preview_which_waits_on() -> None:
    close_two_days()
    client = sign_in("operator")
    preview = upload(client, f"creative-builds,{OWN},2025-01-01,false")
    confirm = preview.context["confirm_form"].initial
    url = reverse("admin:partners_wallet_process_import")
    page = client.post(url, {**confirm, "partners_wallet_what_if": ""})
    assert "there is nothing to compare. Nothing was saved." in page.content.decode()
    assert page.context["preview"].new_count == 1
    client.post(url, confirm)
    assert Wallet.objects.filter(address=OWN).exists()


def choose(client: Client, action: str, *addresses: str, **values: Any) -> Any:
    """Choose wallets in the list and an action in its bar."""
    keys = Wallet.objects.filter(address__in=addresses).values_list("pk", flat=True)
    form = {"action": action, "index": "0", "_selected_action": list(keys)}
    return client.post(reverse("admin:partners_wallet_changelist"), form | values)


def save(client: Client, page: str) -> None:
    """Press the button of a comparison that saves what was tried."""
    (form,) = [form for form in re.findall(r"<form.*?</form>", page, re.DOTALL) if "Save this change" in form]
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form):
        fields.setdefault(name, []).append(html.unescape(value))
    pressed = re.findall(r'<button[^>]*name="([^"]+)"[^>]*>\s*Save this', form)
    client.post(re.findall(r'action="([^"]*)"', form)[0], fields | {name: [""] for name in pressed})


def ask_many(client: Client, action: str, *addresses: str, **values: Any) -> Any:
    """Fill the page that an action shows, and press What if."""
    page = choose(client, action, *addresses)
    assert 'name="partners_wallet_what_if"' in page.content.decode()
    form = {"selection": page.context["selection"], "reason": "Sold", "partners_wallet_what_if": ""}
    return choose(client, action, *addresses, **(form | values))


@pytest.mark.parametrize("action", ["deactivate", "reactivate", "reassign"])
def test_pa9_many_wallets_are_tried_before_they_are_switched_or_given_away(action: str) -> None:
    close_two_days()
    client = sign_in("operator")
    new = Partner.objects.create(name="New", slug="new")
    values = {"partner": new.pk, "introduced_date": "2024-12-02"} if action == "reassign" else {}
    if action == "reactivate":
        Wallet.objects.filter(address=ANN).update(is_active=False)
    before = kept()
    page = ask_many(client, action, ANN, **values)
    asked = WhatIf.objects.get()
    assert page.url == reverse("admin:partners_whatif_page", args=[asked.pk])
    titles = {
        "deactivate": "Deactivate wallets: 1",
        "reactivate": "Reactivate wallets: 1",
        "reassign": "Give wallets to another partner: 1 to New",
    }
    assert asked.title == titles[action]
    assert kept() == before
    told = asked.change
    run_what_if(asked.pk)
    page = client.get(page.url)
    assert "Wallets now" not in page.content.decode()

    # Back to the page: what was typed, nothing done.
    back = client.post(asked.form["action"], _many(asked.form["fields"]) | {"_back_to_form": [""]})
    assert back.context["form"]["reason"].value() == "Sold"
    assert not back.context["form"].errors
    assert kept() == before

    # Saved from there, it comes to what was tried.
    rules = services.rules_now()
    save(client, page.content.decode())
    assert difference(rules, services.rules_now()) == told
    assert Change.objects.order_by("-at", "-event_id").values_list("reason", flat=True)[0] == "Sold"


@pytest.mark.parametrize("action", ["deactivate", "reactivate"])
def test_pa9_rules_are_tried_before_they_are_switched(action: str) -> None:
    close_two_days()
    client = sign_in("operator")
    rule = Rule.objects.get(agreement__partner__slug="creative-builds")
    Rule.objects.filter(pk=rule.pk).update(is_active=action == "deactivate")
    before, history = kept(), Change.objects.count()
    path = reverse("admin:partners_rule_changelist")
    sent = {"action": f"try_{action}", "_selected_action": [rule.pk], "index": "0", "reason": "Sold"}
    assert "Say why" in client.post(path, sent | {"reason": ""}, follow=True).content.decode()
    page: Any = client.post(path, sent)
    asked = WhatIf.objects.get()
    assert page.url == reverse("admin:partners_whatif_page", args=[asked.pk])
    assert (kept(), Change.objects.count()) == (before, history)
    assert asked.title == f"{action.capitalize()} rules: 1"
    run_what_if(asked.pk)
    page = client.get(page.url)
    assert "Creative Builds" in page.content.decode()

    client.post(asked.form["action"], _many(asked.form["fields"]) | {"_back_to_form": [""]})
    assert kept() == before
    save(client, page.content.decode())
    rule.refresh_from_db()
    assert rule.is_active is (action == "reactivate")
    assert Change.objects.order_by("-at", "-event_id").values_list("reason", flat=True)[0] == "Sold"


def test_pa9_what_the_month_would_have_paid_counts_for_its_most_in_the_days_after() -> None:
    periods = close_two_days()
    change = tried(lambda: Agreement.objects.filter(partner__slug="talisman").update(monthly_cap_rao=200))
    # 195 on the first day, as closed; 5 are left for the second.
    assert owed(periods, change) == {("2025-01-02", "talisman"): (74, 5)}


@pytest.mark.parametrize("has_rule", [True, False])
@pytest.mark.parametrize("action", ["deactivate", "reactivate", "reassign"])
def test_pa9_of_many_wallets_of_every_kind_what_is_tried_is_what_is_saved(
    action: str, has_rule: bool
) -> None:
    build_two_days()
    client = sign_in("operator")
    old, new = Partner.objects.get(slug="creative-builds"), make_partner("New", 5_000).partner
    Rule.objects.filter(agreement__partner=new).update(is_active=has_rule)
    names = [key(f"w{number}") for number in range(4)]
    for number, name in enumerate(names):
        Wallet.objects.create(
            partner=(old, new)[number // 2],
            address=name,
            introduced_date=date(2025, 1, 1),
            is_active=number % 2 == 0,
        )
    values = {"partner": new.pk, "introduced_date": "2025-01-02"} if action == "reassign" else {}
    ask_many(client, action, *names, **values)
    before = services.rules_now()
    told = WhatIf.objects.get()
    client.post(told.form["action"], _many(told.form["fields"]))
    assert told.change == difference(before, services.rules_now())
    assert not is_empty(told.change)


def _many(pairs: list[list[str]]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def test_pa9_of_many_wallets_what_is_lost_and_won_is_shown() -> None:
    close_two_days()
    client = sign_in("operator")
    ask_many(client, "deactivate", ANN)
    asked = WhatIf.objects.get()
    run_what_if(asked.pk)
    asked.refresh_from_db()
    (row,) = [row for row in asked.result["days"][0]["rows"] if row[2] == "ALPHA" and row[5] != row[6]]
    # What was earned the day before is still owed: floor(252 x 33 %), and floor(201 x 33 %) without the day's 51.
    assert (row[5], row[6]) == (83, 66)


def test_pa9_many_wallets_of_whom_none_would_change_are_told_so_on_their_page() -> None:
    close_two_days()
    client = sign_in("operator")
    page = ask_many(client, "reactivate", ANN)
    assert "there is nothing to compare. Nothing was saved." in page.content.decode()
    assert page.context["form"]["reason"].value() == "Sold"
    assert not WhatIf.objects.exists()


@pytest.mark.parametrize("values", [{"reason": ""}, {"selection": "another"}])
def test_pa9_many_wallets_are_tried_only_as_they_could_be_changed(values: dict[str, str]) -> None:
    close_two_days()
    client, before = sign_in("operator"), kept()
    page = ask_many(client, "deactivate", ANN, **values)
    assert page.status_code == 200
    assert kept() == before
    assert not WhatIf.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_pa9_who_may_not_switch_wallets_may_not_try_it(role: str) -> None:
    close_two_days()
    shown = choose(sign_in("operator"), "deactivate", ANN).context["selection"]
    client, before = sign_in(role, name="vera"), kept()
    choose(client, "deactivate", ANN, selection=shown, reason="x", partners_wallet_what_if="")
    assert kept() == before
    assert not WhatIf.objects.exists()


def test_pa9_a_list_is_compared_as_it_would_be_after_the_import() -> None:
    """The change that is read from the file is that between the books before and after its import."""
    build_two_days()
    partner = Partner.objects.get(slug="creative-builds")
    for number, is_active in ((1, True), (2, False), (3, True), (4, False)):
        Wallet.objects.create(
            partner=partner, address=key(f"w{number}"), introduced_date=date(2025, 1, 1), is_active=is_active
        )
    lines = [
        f"creative-builds,{key('w1')},2025-01-01,false",
        f"creative-builds,{key('w2')},2025-01-01,true",
        f"creative-builds,{key('w3')},2024-01-01,",
        f"creative-builds,{key('w4')},2024-01-01,",
        f"creative-builds,{key('w5')},2025-01-02,true",
        f"creative-builds,{key('w6')},2025-01-02,false",
        f"creative-builds,{ANN},2024-12-02,true",
    ]
    client = sign_in("operator")
    confirm = upload(client, *lines).context["confirm_form"].initial
    url = reverse("admin:partners_wallet_process_import")
    client.post(url, {**confirm, "partners_wallet_what_if": ""})
    told = WhatIf.objects.get().change
    before = services.rules_now()
    client.post(url, confirm | {"reason": "Their list"})
    real = difference(before, services.rules_now())

    def plain(change: BookChange) -> Any:
        rows = [{**row, "id": max(row["id"], 0)} for row in change["wallets"]["put"]]
        new = {row["id"] for row in before["wallets"]}
        known = [row if row["id"] in new or row["address"] == key("w2") else row | {"id": 0} for row in rows]
        return change["wallets"]["drop"], sorted(known, key=str)

    assert plain(told) == plain(real)


def run(periods: list[Period], change: BookChange) -> dict[tuple[str, str], tuple[int, int]]:
    """As the page would compare it: with what was saved since, as if begun before."""
    known = periods[-1].manifest["rules"]
    whole = with_unknown(change, services.rules_now(), known)
    moved = as_if_before(
        whole,
        known,
        starts_at=periods[0].start_at,
        ends_at=periods[-1].end_at,
        last_block=periods[-1].blocks.upper - 1,
    )
    return owed(periods, moved)


def later() -> datetime:
    return START + timedelta(days=90)


@pytest.mark.parametrize("what", ["wallet", "rule", "agreement"])
def test_pa9_what_is_put_off_stops_earning_in_the_days_compared(what: str) -> None:
    periods = close_two_days()
    creative = {"partner__slug": "creative-builds"}

    def put_off() -> None:
        if what == "wallet":
            Wallet.objects.filter(**creative).update(introduced_date=later().date())
        elif what == "rule":
            Rule.objects.filter(agreement__partner__slug="creative-builds").update(applies_from_block=10**6)
        else:
            Agreement.objects.filter(**creative).update(effective=DateTimeTZRange(later(), None))

    found = run(periods, tried(put_off))
    assert found[("2025-01-01", "creative-builds")] == (83, 0)


def test_pa9_an_earlier_change_is_no_part_of_a_later_one() -> None:
    periods = close_two_days()
    set_rate(10_000)
    change = tried(
        lambda: Agreement.objects.filter(partner__slug="creative-builds").update(excluded_netuids=[77])
    )
    assert run(periods, change) == {}


def test_pa9_a_wallet_is_found_by_an_agreement_that_was_signed_since_the_last_close() -> None:
    periods = close_two_days()
    agreement = make_partner("Newcomer", 1_000)

    def add() -> None:
        Wallet.objects.create(partner=agreement.partner, address=OWN, introduced_date=date(2025, 1, 1))

    assert ("2025-01-01", "newcomer") in run(periods, tried(add))


def test_pa9_of_two_agreements_to_come_the_first_is_compared() -> None:
    periods = close_two_days()
    old = Agreement.objects.get(partner__slug="creative-builds")

    def renew() -> None:
        for rate, begin, end in (
            (9_000, later() + timedelta(days=9), None),
            (4_000, later(), later() + timedelta(days=9)),
        ):
            new = Agreement.objects.create(
                partner=old.partner, effective=DateTimeTZRange(begin, end), rate_bps=rate
            )
            Rule.objects.create(agreement=new)

    Agreement.objects.filter(pk=old.pk).update(effective=DateTimeTZRange(old.effective.lower, later()))
    assert run(periods, tried(renew))[("2025-01-01", "creative-builds")] == (83, 60 + 40)


def test_pa9_a_popup_does_not_offer_it_and_what_was_overtaken_cannot_be_saved() -> None:
    close_two_days()
    client = sign_in("operator")
    page = client.get(reverse("admin:partners_partner_add"), {"_popup": "1"}).content.decode()
    assert "partners_partner_what_if" not in page
    ask(client)
    asked = WhatIf.objects.get()
    run_what_if(asked.pk)
    url = reverse("admin:partners_whatif_page", args=[asked.pk])
    assert "Save this change" in client.get(url).content.decode()
    set_rate(5_000)
    page = client.get(url).content.decode()
    assert "Save this change" not in page
    assert "It was changed since this was asked" in page


@pytest.mark.parametrize("field", ["notes", "extra"])
def test_pa9_a_character_that_cannot_be_stored_is_refused(field: str) -> None:
    close_two_days()
    answer = ask(sign_in("operator"), **{field: "a\0b"})
    assert answer.status_code == 200
    assert not WhatIf.objects.exists()


def test_pa9_a_rate_of_thousands_of_digits_is_named() -> None:
    close_two_days()
    client = sign_in("operator")
    assert "Write a rate like" in ask(client, rate="9" * 5_000).content.decode()
    assert "Write a rate like" in ask(client, tiers="100: " + "9" * 5_000).content.decode()
