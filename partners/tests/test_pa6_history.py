"""The history: complete whatever made the change, unchangeable, and readable."""

from __future__ import annotations

from typing import Any

import pgtrigger
import pytest
from django.db import DatabaseError, connection, models, transaction
from django.test import Client
from django.urls import reverse

from partners import history, services
from partners.models import Agreement, Change, Partner, PayoutAddress, Rule, Wallet
from partners.tests.factories import (
    DAY,
    START,
    address,
    begin,
    make_agreement,
    make_partner,
    make_user,
    make_wallet,
    requested,
)

pytestmark = pytest.mark.django_db

EVENT_TABLES = [
    "partners_partnerevent",
    "partners_agreementevent",
    "partners_ruleevent",
    "partners_walletevent",
    "partners_payoutaddressevent",
    "partners_agreementtemplateevent",
]


def run(sql: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def last(kind: str) -> history.Entry:
    return history.describe(list(Change.objects.filter(kind=kind).order_by("-event_id")[:1]))[0]


def rows_everywhere() -> None:
    partner = make_partner()
    make_agreement(partner)
    make_wallet(partner)
    begin(partner, address(9))


@pytest.mark.parametrize("table", EVENT_TABLES)
@pytest.mark.parametrize(
    "sql", ["UPDATE {} SET pgh_label = 'x'", "DELETE FROM {}", "TRUNCATE {}", "TRUNCATE {} CASCADE"]
)
def test_pa6_history_rows_cannot_be_changed_deleted_or_emptied(table: str, sql: str) -> None:
    rows_everywhere()
    before = Change.objects.count()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run(sql.format(table))
    assert Change.objects.count() == before == 7


@pytest.mark.parametrize("table", EVENT_TABLES)
def test_pa6_ignoring_triggers_does_not_open_the_history(table: str) -> None:
    rows_everywhere()
    with pgtrigger.ignore(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        run(f"DELETE FROM {table}")


@pytest.mark.parametrize("model", [Partner, Agreement, Rule, Wallet, PayoutAddress])
def test_pa6_a_tracked_table_cannot_be_emptied_without_history(model: type[models.Model]) -> None:
    rows_everywhere()
    run("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(DatabaseError, match="no history"), transaction.atomic():
        run(f"TRUNCATE {model._meta.db_table} CASCADE")
    assert model._default_manager.count() == 1


def test_pa6_raw_sql_is_in_the_history_with_before_and_after() -> None:
    wallet = make_wallet(make_partner())
    run("UPDATE partners_wallet SET notes = 'by hand', is_active = false WHERE id = %s", wallet.pk)
    entry = last("WALLET")
    assert entry.who == "outside the application"
    assert {(field.label, field.before, field.after) for field in entry.fields} == {
        ("is active", "yes", "no"),
        ("notes", "–", "by hand"),
    }


def test_pa6_a_removal_by_raw_sql_keeps_what_was_removed() -> None:
    wallet = make_wallet(make_partner())
    run("DELETE FROM partners_wallet WHERE id = %s", wallet.pk)
    entry = last("WALLET")
    assert entry.change.what == Change.What.DELETE
    assert ("address", address(1)) in {(field.label, field.before) for field in entry.fields}


def test_pa6_an_update_that_changes_nothing_leaves_no_history() -> None:
    make_wallet(make_partner())
    before = Change.objects.count()
    run("UPDATE partners_wallet SET notes = notes")
    assert Change.objects.count() == before


def test_pa6_each_change_keeps_its_own_reason_within_one_request() -> None:
    user, partner = make_user(), make_partner()
    with services.recorded(actor=user, reason="outer"):
        services.add_wallet(
            actor=user, partner=partner, address=address(1), introduced_date=DAY, reason="first"
        )
        services.add_wallet(
            actor=user, partner=partner, address=address(2), introduced_date=DAY, reason="second"
        )
    reasons = Change.objects.filter(kind="WALLET").order_by("event_id").values_list("reason", "username")
    assert list(reasons) == [("first", "anna"), ("second", "anna")]


def test_pa6_who_and_why_stay_when_the_user_is_renamed() -> None:
    user = make_user()
    partner = services.create_partner(actor=user, name="A", slug="a", reason="Signed")
    user.username = "renamed"
    user.save()
    entry = history.describe(list(history.changes_of(partner)))[0]
    assert (entry.who, entry.change.reason) == ("anna", "Signed")


def test_pa6_a_partners_history_reads_as_sentences() -> None:
    user = make_user()
    partner = services.create_partner(actor=user, name="Creative Builds", slug="creative-builds")
    agreement = services.add_agreement(actor=user, partner=partner, rate_bps=3300, starts_at=START)
    services.add_rule(actor=user, agreement=agreement)
    with services.recorded(actor=None, reason="Yearly review"):
        Agreement.objects.update(rate_bps=3350, minimum_payout_rao=5 * 10**8)
    newest, *others = history.describe(list(history.changes_of(partner)))
    assert newest.who == "the application"
    assert newest.summary == (
        "rate: 33 % (3300 bps) → 33.5 % (3350 bps); minimum payout: 0.000000000 TAO → 0.500000000 TAO"
    )
    added = {entry.change.kind: entry for entry in others}
    assert set(added) == {"PARTNER", "AGREEMENT", "RULE"}
    assert ("effective", "from 2025-08-01") in {(f.label, f.after) for f in added["AGREEMENT"].fields}
    assert ("agreement", "Creative Builds: 33.5 % from 2025-08-01") in {
        (f.label, f.after) for f in added["RULE"].fields
    }


def test_describing_a_page_of_changes_takes_few_queries(django_assert_max_num_queries: Any) -> None:
    partner = make_partner()
    for number in range(1, 21):
        make_wallet(partner, number)
    Wallet.objects.update(is_active=False)
    changes = list(Change.objects.exclude(kind="AGREEMENTTEMPLATE"))
    with django_assert_max_num_queries(6):
        assert len(history.describe(changes)) == 41


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["partner", "agreement", "rule", "wallet", "payoutaddress"])
def test_pa6_a_temporary_table_does_not_take_the_history_in(table: str) -> None:
    agreement = make_agreement(make_partner())
    make_wallet(agreement.partner)
    requested(agreement.partner, address(9))
    with connection.cursor() as cursor:

        def count() -> int:
            cursor.execute(f"SELECT count(*) FROM public.partners_{table}event")
            return int(cursor.fetchone()[0])

        before = count()
        cursor.execute(
            f"CREATE TEMP TABLE partners_{table}event (LIKE public.partners_{table}event INCLUDING ALL)"
        )
        change = {"payoutaddress": "notice_error = 'quietly'"} | dict.fromkeys(
            ("rule", "wallet"), "is_active = NOT is_active"
        )
        cursor.execute(f"UPDATE public.partners_{table} SET " + change.get(table, "notes = 'quietly'"))
        assert count() == before + 1


def test_pa6_the_list_of_all_changes_makes_no_row_that_it_does_not_show() -> None:
    partner = make_partner()
    Wallet.objects.bulk_create(
        Wallet(partner=partner, address=address(number), introduced_date=DAY) for number in range(1, 2_001)
    )
    run("ANALYZE partners_walletevent")

    def plan(query: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (VERBOSE) {query}")
            return "\n".join(line for (line,) in cursor.fetchall())

    assert "to_jsonb" not in plan("SELECT count(*) FROM partners_change")
    keys = plan("SELECT id, at FROM partners_change ORDER BY at DESC, event_id DESC, id LIMIT 50")
    assert "to_jsonb" not in keys
    assert "Index Only Scan Backward using partners_walletevent_in_order" in keys


def test_pa6_the_pages_of_all_changes_show_each_once_in_order() -> None:
    operator = make_user("operator", name="olivia")
    rows_everywhere()
    services.add_wallets(
        actor=operator,
        partner=Partner.objects.get(),
        addresses=[address(number) for number in range(100, 220)],
        introduced_date=DAY,
        reason="list",
    )
    client = Client()
    client.force_login(operator)

    def pages(**asked: str) -> list[str]:
        shown = []
        for number in range(1, 5):
            answer = client.get(reverse("admin:partners_change_changelist"), {**asked, "p": str(number)})
            # Behind the last page is none.
            shown += (
                [change.pk for change in answer.context["cl"].result_list]
                if answer.status_code == 200
                else []
            )
        return shown

    changes = Change.objects.all()
    assert len(changes) > 120
    assert pages() == [change.pk for change in changes]
    assert pages(q="LIST") == [change.pk for change in changes.filter(reason="list")]
    assert set(pages(q=address(150))) == {change.pk for change in changes.filter(object_name=address(150))}
    assert pages(q="nothing of it") == []
    by_kind = changes.order_by("kind", "-at", "-event_id")
    assert [pk.split("-")[0] for pk in pages(o="1")] == [change.kind.lower() for change in by_kind]
