"""PA2: a rate of the gross dividend, by hand. No more than the take is ever paid.

The facts are those of `test_worked_example`, where every dividend is ten times its take, so the gross dividend is 11 times:

    Talisman  block 20 root take 303, gross 3,333; block 30 alpha 89, gross 979; day 2: 120 and 29, gross 1,320 and 319
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter

import pytest
from django.test import Client
from django.urls import reverse

from ledger.attribution import Earned, Part
from ledger.audit import check_ledger
from ledger.calculation import OpenLot, Sale, calculate
from ledger.models import CommissionLine, PartnerTake, Period
from ledger.queries import bases_by_partner, statement
from ledger.services import attribute_yields, close_day
from ledger.shares import Shares
from ledger.tests.factories import DAY_ONE, NOW, START
from ledger.tests.test_pa2_tiers_and_caps import change, close
from ledger.tests.test_worked_example import build_two_days, lines_of
from partners.matching import RuleBook
from partners.models import Agreement, ApiKey, Partner
from tests.guards import refused, sql, tamper

pytestmark = pytest.mark.django_db


def of_talisman(lines: list[tuple[str, str, int, int, int]]) -> list[tuple[str, int, int, int]]:
    return sorted(line[1:] for line in lines if line[0] == "talisman")


def test_pa2_a_rate_of_the_gross_dividend_pays_on_take_and_dividend() -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=500)
    one, two = close()
    # 979 x 5 % = 48.95, 3,333 x 5 % = 166.65; day 2: 1,639 x 5 % = 81.95.
    assert of_talisman(one) == [("ALPHA", 979, 500, 48), ("ROOT", 3_333, 500, 166)]
    assert of_talisman(two) == [("ALPHA", 1_639, 500, 81)]
    assert check_ledger().differences == []
    part = PartnerTake.objects.get(source__block_id=20, partner__slug="talisman")
    assert (part.take_rao, part.gross_rao) == (303, 3_333)
    assert set(PartnerTake.objects.exclude(partner__slug="talisman").values_list("gross_rao", flat=True)) == {
        None
    }


def test_pa2_of_the_gross_dividend_no_more_than_the_take_is_paid() -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=2_000)
    one, _ = close()
    # 20 % of 3,333 are 666, the take is 303: 1,515 of it at 20 %. Of 979, 89 are 445 at 20 %.
    assert of_talisman(one) == [
        ("ALPHA", 445, 2_000, 89),
        ("ALPHA", 534, 0, 0),
        ("ROOT", 1_515, 2_000, 303),
        ("ROOT", 1_818, 0, 0),
    ]
    assert check_ledger().differences == []


def test_pa2_tiers_and_the_months_most_go_by_the_gross_dividend_too() -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=100, tiers=[[3_000, 500]], monthly_cap_rao=100)
    one, two = close()
    # 3,000 at 1 % are 30; the 333 of root above at 5 % 16.65, the 979 of alpha 48.95.
    assert of_talisman(one) == [
        ("ALPHA", 979, 500, 48),
        ("ROOT", 333, 500, 16),
        ("ROOT", 3_000, 100, 30),
    ]
    # 94 were paid: 6 more are 120 at 5 %.
    assert of_talisman(two) == [("ALPHA", 120, 500, 6), ("ALPHA", 1_519, 0, 0)]
    assert check_ledger().differences == []


def test_pa2_alpha_keeps_the_basis_that_it_was_earned_under() -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=500)
    attribute_yields(now=NOW)
    close_day(day=DAY_ONE, actor=None, now=NOW)
    change("talisman", basis="TAKE")
    (two,) = close()
    lines = CommissionLine.objects.filter(period__key="2025-01-02", partner__slug="talisman")
    assert set(lines.values_list("basis", "base_rao", "rate_bps", "commission_rao")) == {
        ("GROSS", 1_320, 500, 66),
        ("TAKE", 29, 500, 1),
    }
    assert len(of_talisman(two)) == 2
    assert check_ledger().differences == []


def test_pa2_where_a_file_says_what_each_staker_got_it_is_of_that() -> None:
    agreement = 7
    source = Earned(
        1,
        1,
        START,
        0,
        "vote",
        "REWARDS",
        "SOL",
        100,
        Shares.of([("ann", 60), ("bob", 40)]),
        900,
        {"ann": 0, "bob": 900},
    )
    assert source.gross("ann", 60, 60) == 60
    assert source.gross("bob", 40, 40) == 940
    # A half that came under a tag.
    assert source.gross("bob", 40, 20) == 470
    lot = OpenLot(1, 1, "hot", 2, "ALPHA", 100, [Part(3, agreement, 1_000, 1, 100, gross_rao=1_000)], "hot")
    result = calculate([], [Sale(1, 2, "hot", 2, 50, 30)], [lot], RuleBook([], [], []))
    # 30 TAO of 100 alpha's half: gross 300.
    assert [(key.basis, base, amount) for key, base, amount in result.lines()] == [("GROSS", 300, 30)]


def test_pa2_a_yield_without_take_has_no_gross_dividend_to_share() -> None:
    source = Earned(1, 1, START, 0, "vote", "REWARDS", "SOL", 0, Shares.of([("ann", 0)]), 900)
    assert source.gross("ann", 0, 0) == 0


def test_le7_statements_name_the_basis_where_it_is_not_the_take(admin_client: Client) -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=500)
    close()
    period = Period.objects.get(key="2025-01-01")
    found = statement(Partner.objects.get(slug="talisman"), period)
    assert {line["basis"] for line in json.loads(found.to_json())["lines"]} == {"GROSS"}
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert {row["basis"] for row in rows} == {"GROSS"}
    other = statement(Partner.objects.get(slug="creative-builds"), period)
    assert "basis" not in other.to_json() + other.to_csv()
    page = admin_client.get(reverse("admin:ledger_statement", args=[period.key, "talisman"])).content.decode()
    assert page.count(" of gross</span>") == 2
    assert page.count(" of gross</div>") == 2
    lines = admin_client.get(reverse("admin:ledger_commissionline_changelist")).content.decode()
    assert lines.count(" of gross") == 3
    assert "It never pays more than the take." in page


def test_pa2_bases_of_take_and_of_gross_are_summed_apart(admin_client: Client) -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=500)
    attribute_yields(now=NOW)
    close_day(day=DAY_ONE, actor=None, now=NOW)
    change("talisman", basis="TAKE")
    close()
    one, two = Period.objects.order_by("start_at")
    talisman = Partner.objects.get(slug="talisman")
    # Day 1: gross 979 and 3,333; day 2: gross 1,320 and take 29.
    totals = statement(talisman, two).to_dict()["totals"]
    assert totals == {"base_rao": 29, "gross_base_rao": 1_320, "commission_rao": 67}
    assert statement(talisman, one).bases == {"GROSS": 4_312}
    assert statement(talisman, two).bases == {"TAKE": 29, "GROSS": 1_320}
    other = statement(Partner.objects.get(slug="creative-builds"), one)
    assert set(other.to_dict()["totals"]) == {"base_rao", "commission_rao"}
    assert other.bases == {"TAKE": other.base_rao}
    assert bases_by_partner()[talisman.pk] == {"TAKE": 29, "GROSS": 5_632}
    _, key = ApiKey.objects.create_key(name="A program")
    rows = Client().get("/api/v1/statements", headers={"x-api-key": key}).json()["results"]
    found = {(row["partner"], row["period"]): (row["base_rao"], row["gross_base_rao"]) for row in rows}
    assert found["talisman", two.key] == (29, 1_320)
    assert found["talisman", one.key] == (0, 4_312)
    assert found["creative-builds", one.key] == (other.base_rao, 0)
    for path in (
        reverse("admin:index"),
        reverse("admin:ledger_period_change", args=[two.pk]),
        reverse("admin:ledger_statement", args=[two.key, "talisman"]),
    ):
        page = admin_client.get(path).content.decode()
        assert "</span></span> of gross</div>" in page
        assert "1,349 rao" not in page
        assert "5,661 rao" not in page


def test_pa2_the_terms_say_of_what_the_rate_is() -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=500)
    assert Agreement.objects.get(partner__slug="talisman").rates == "5 % of the gross dividend"


def test_le8_a_tampered_gross_dividend_is_found() -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=500)
    close()
    tamper("UPDATE ledger_partnertake SET gross_rao = gross_rao + 1 WHERE gross_rao IS NOT NULL")
    assert any("partner takes" in difference for difference in check_ledger().differences)


def test_pa2_the_database_refuses_a_gross_dividend_below_its_take() -> None:
    build_two_days()
    close()
    with refused("partner_take_within_gross"):
        tamper("UPDATE ledger_partnertake SET gross_rao = take_rao - 1 WHERE partner_id IS NOT NULL")


def test_le3_lines_add_up_by_basis_to_what_is_due() -> None:
    build_two_days()
    change("talisman", basis="GROSS", rate_bps=500)
    close()
    owed: Counter[int] = Counter()
    for line in CommissionLine.objects.all():
        owed[line.partner_id] += line.commission_rao
    rows = sql(
        "SELECT a.partner_id, -sum(p.amount_rao) FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id"
        " WHERE a.kind = 'PAYABLE' GROUP BY 1"
    )
    assert set(rows) == set(owed.items())
    assert lines_of(Period.objects.get(key="2025-01-01"))
