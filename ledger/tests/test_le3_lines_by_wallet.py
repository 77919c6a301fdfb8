"""LE3 and PA2: lines that name the wallet, and statements that list wallets or sum them, by hand.

The facts are those of `test_worked_example`, but that Own is Creative Builds' too, whose lines name wallets.

Day 1
  block 10  alpha: Ann 501, Own 200, together 701 of 1,001; Bob 300
  block 20  root: Ann 100
  block 30  300 TAO-rao over 701 and 300: floors 210 and 89, +1: 211 are Creative Builds'
            211 over Ann 501 and Own 200 of 701: floors 150 and 60, +1 to Ann = 151
  Lines     Ann ALPHA 151 x 33 % = floor(49.83) = 49   Own ALPHA 60 x 33 % = floor(19.8) = 19   Ann ROOT 33
Day 2
  block 1,500  alpha: Ann 50, Own 20, together 70; Bob 30
  block 1,600  401 for block 10 over 701 and 300: floors 280 and 120, +1: 281; by day 1: Ann 201, Own 80
               99 for block 1,500 over 70 and 30: floors 69 and 29, +1: 70; by day 2: Ann 50, Own 20
  Lines     Ann 251 x 33 % = floor(82.83) = 82   Own 100 x 33 % = 33
"""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.audit import check_ledger
from ledger.calculation import Sale, calculate
from ledger.commission import commission
from ledger.models import CommissionLine, NamedTake, Period
from ledger.queries import statement
from ledger.services import attribute_yields, close_day
from ledger.tests.factories import DAY_ONE, NOW, START
from ledger.tests.test_pa1_winners import epoch
from ledger.tests.test_pa2_tiers_and_caps import change, close
from ledger.tests.test_worked_example import ANN, BOB, OWN, build_two_days
from partners.matching import AgreementTerms, RuleBook, RuleTerms, WalletTerms
from partners.models import Agreement, Partner, Rule, Wallet
from tests.guards import refused, sql, tamper

NAMED = {"wallet_attribution_enabled": True}
LISTED = NAMED | {"aggregation": "PER_WALLET"}


def build(**terms: object) -> None:
    build_two_days()
    partner = Partner.objects.get(slug="creative-builds")
    Wallet.objects.create(partner=partner, address=OWN, introduced_date=date(2024, 1, 1))
    change("creative-builds", **terms)


def lines(day: str, slug: str = "creative-builds") -> list[tuple[str, str, int, int]]:
    rows = CommissionLine.objects.filter(period__key=day, partner__slug=slug)
    return sorted(rows.values_list("side", "wallet_address", "base_rao", "commission_rao"))


def of(slug: str, day: str = "2025-01-01") -> list[dict[str, object]]:
    found = statement(Partner.objects.get(slug=slug), Period.objects.get(key=day))
    return list(json.loads(found.to_json())["lines"])


@pytest.mark.django_db
def test_le3_lines_name_the_wallet_where_the_agreement_says_so() -> None:
    build(**NAMED)
    close()
    assert lines("2025-01-01") == sorted(
        [("ALPHA", ANN, 151, 49), ("ALPHA", OWN, 60, 19), ("ROOT", ANN, 100, 33)]
    )
    # What is sold later goes to those who earned it on the day that it was earned.
    assert lines("2025-01-02") == sorted([("ALPHA", ANN, 251, 82), ("ALPHA", OWN, 100, 33)])
    assert lines("2025-01-01", "talisman") == [("ALPHA", "", 89, 44), ("ROOT", "", 303, 151)]
    named = NamedTake.objects.filter(period__key="2025-01-01").order_by("side", "take_rao")
    assert list(named.values_list("side", "wallet_address", "take_rao")) == [
        ("ALPHA", OWN, 200),
        ("ALPHA", ANN, 501),
        ("ROOT", ANN, 100),
    ]
    assert check_ledger().differences == []


@pytest.mark.django_db
def test_pa2_a_statement_sums_wallets_or_lists_them(admin_client: Client) -> None:
    build(**NAMED)
    close()
    alpha, root = of("creative-builds")
    assert (alpha["base_rao"], alpha["commission_rao"], alpha["wallets"]) == (211, 68, 2)
    assert (root["base_rao"], root["commission_rao"], root["wallets"]) == (100, 33, 1)
    assert "wallet_address" not in alpha
    assert all("wallets" not in line for line in of("talisman"))
    url = reverse("admin:ledger_statement", args=["2025-01-01", "creative-builds"])
    assert "rounded down one by one" in admin_client.get(url).content.decode()
    listed = admin_client.get(reverse("admin:ledger_commissionline_changelist") + f"?q={OWN}").content
    assert listed.decode().count("2025-01-0") >= 2


@pytest.mark.django_db
def test_pa2_a_statement_lists_every_wallet_and_stays_what_it_was(admin_client: Client) -> None:
    build(**LISTED)
    close()
    found = statement(Partner.objects.get(slug="creative-builds"), Period.objects.get(key="2025-01-01"))
    assert sorted((line.side, line.wallet, line.commission_rao) for line in found.lines) == sorted(
        [("ALPHA", ANN, 49), ("ALPHA", OWN, 19), ("ROOT", ANN, 33)]
    )
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert {row["wallet_address"] for row in rows} == {ANN, OWN}
    url = reverse("admin:ledger_statement", args=["2025-01-01", "creative-builds"])
    page = admin_client.get(url).content.decode()
    assert "<th>Wallet</th>" in page
    assert OWN in page
    change("creative-builds", aggregation="LUMP_SUM", wallet_attribution_enabled=False)
    assert (
        statement(
            Partner.objects.get(slug="creative-builds"), Period.objects.get(key="2025-01-01")
        ).content_hash
        == found.content_hash
    )
    assert check_ledger().differences == []


@pytest.mark.django_db
def test_le3_alpha_earned_before_lines_named_wallets_names_none() -> None:
    build()
    attribute_yields(now=NOW)
    close_day(day=DAY_ONE, actor=None, now=NOW)
    change("creative-builds", **LISTED)
    close()
    # 281 of day 1 in one sum, 70 of day 2 by wallet.
    assert lines("2025-01-02") == sorted(
        [("ALPHA", "", 281, 92), ("ALPHA", ANN, 50, 16), ("ALPHA", OWN, 20, 6)]
    )
    listed = {
        line.get("wallet_address", ""): line["base_rao"] for line in of("creative-builds", "2025-01-02")
    }
    assert listed == {"": 281, ANN: 50, OWN: 20}
    assert check_ledger().differences == []


@pytest.mark.django_db
def test_pa2_wallets_are_listed_though_the_rule_that_found_them_is_switched_off() -> None:
    build(**LISTED)
    attribute_yields(now=NOW)
    close_day(day=DAY_ONE, actor=None, now=NOW)
    Rule.objects.filter(agreement__partner__slug="creative-builds").update(is_active=False)
    close()
    assert lines("2025-01-02") == sorted([("ALPHA", ANN, 201, 66), ("ALPHA", OWN, 80, 26)])
    assert {line["wallet_address"] for line in of("creative-builds", "2025-01-02")} == {ANN, OWN}
    assert check_ledger().differences == []


@pytest.mark.django_db
def test_pa2_the_monthly_most_and_tiers_hold_over_all_wallets_together() -> None:
    build(**NAMED, tiers=[[200, 5_000]], monthly_cap_rao=80)
    close()
    paid = sum(
        CommissionLine.objects.filter(partner__slug="creative-builds").values_list(
            "commission_rao", flat=True
        )
    )
    # Rounded down line by line, so a little below the most, never above.
    assert 76 <= paid <= 80
    assert check_ledger().differences == []


@pytest.mark.django_db
def test_pa2_wallets_are_listed_only_where_lines_name_them() -> None:
    build()
    with pytest.raises(ValidationError, match="A statement lists wallets only where lines name them"):
        change("creative-builds", aggregation="PER_WALLET")
    with refused("agreement_lists_wallets_that_lines_name"):
        Agreement.objects.update(aggregation="PER_WALLET")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rule", "statement_sql"),
    [
        (
            "named_takes_add_up",
            "UPDATE ledger_namedtake SET take_rao = take_rao + 1 WHERE wallet_address = %s",
        ),
        (
            "named_line_was_earned",
            "UPDATE ledger_commissionline SET wallet_address = %s WHERE side = 'ROOT' AND wallet_address <> ''",
        ),
    ],
)
def test_le3_the_database_holds_lines_of_wallets_against_what_they_earned(
    rule: str, statement_sql: str
) -> None:
    build(**NAMED)
    close()
    period = Period.objects.get(key="2025-01-01")
    tamper(statement_sql, OWN if "take_rao" in statement_sql else BOB)
    with refused(rule):
        sql("SELECT ledger_check_wallets(%s)", period.pk)
    assert check_ledger().differences != []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("named_take_once", {}),
        ("named_take_says_whose_and_how_much", {"wallet_address": ""}),
        ("named_take_says_whose_and_how_much", {"take_rao": 0, "wallet_address": BOB}),
    ],
)
def test_le3_named_takes_are_one_for_each_wallet(rule: str, changed: dict[str, object]) -> None:
    build(**NAMED)
    close()
    row = NamedTake.objects.filter(period__key="2025-01-02").order_by("pk")[0]
    with refused(rule):
        NamedTake.objects.create(**{
            "period_id": row.period_id, "hotkey": row.hotkey, "netuid": row.netuid, "side": row.side,
            "agreement_id": row.agreement_id, "wallet_address": row.wallet_address, "take_rao": row.take_rao,
        } | changed)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["ann", "bob", "eve", "own"]), unique=True, min_size=1),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 10**9)), max_size=5),
    st.integers(0, 10_000),
    st.none() | st.integers(0, 200),
)
def test_le3_wallets_share_exactly_what_the_pool_was_paid_on(
    epochs: list[list[str]], sold: list[tuple[int, int]], rate_bps: int, cap_rao: int | None
) -> None:
    """Named or not, the bases are the same to the rao; what is paid is less by less than a rao a line."""
    wallets = [WalletTerms(n, 1, name, date(2024, 1, 1)) for n, name in enumerate(("ann", "bob", "eve"), 1)]
    earned = [epoch(10 * n, *coldkeys) for n, coldkeys in enumerate(epochs, 1)]
    sales = [Sale(n, 100 + n, "hot", 2, alpha, tao) for n, (alpha, tao) in enumerate(sold, 1)]
    found = []
    for names_wallets in (False, True):
        terms = AgreementTerms(
            1, 1, "P", START, None, rate_bps, monthly_cap_rao=cap_rao, names_wallets=names_wallets
        )
        found.append(calculate(earned, sales, [], RuleBook([terms], [RuleTerms(1, 1)], wallets)))
    summed, named = found
    by_rate: dict[int, int] = {}
    for key, base in named.bases.items():
        assert key.wallet
        by_rate[key.rate_bps] = by_rate.get(key.rate_bps, 0) + base
    assert by_rate == {key.rate_bps: base for key, base in summed.bases.items()}
    assert all(amount == commission(base, key.rate_bps) for key, base, amount in named.lines())
    less = sum(summed.payables().values()) - sum(named.payables().values())
    assert 0 <= less <= len(named.bases)
    assert named.left == summed.left
