"""PA1: who won a delegation is stored per range of blocks, and the database refuses a second winner of any block."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import pytest
from django.db.backends.postgresql.psycopg_any import NumericRange
from hypothesis import given, settings

from ledger.attribution import Earned, Held
from ledger.audit import check_ledger
from ledger.calculation import calculate
from ledger.models import DelegationWinner
from ledger.services import attribute_yields, close_due_days
from ledger.shares import Shares
from ledger.templatetags.ledger import told
from ledger.tests.factories import NOW, make_partner
from ledger.tests.test_calculation import START, books, worlds
from ledger.tests.test_worked_example import ANN, BOB, build_two_days, close_two_days
from partners.lots import Tags
from partners.matching import AgreementTerms, Delegation, RuleBook, RuleTerms, WalletTerms
from partners.models import Agreement, Rule
from tests.guards import refused, sql, tamper


@settings(max_examples=150, deadline=None)
@given(worlds(), books())
def test_pa1_winners_are_those_that_the_book_names_at_every_epoch(
    world: tuple[list[Earned], object], book: RuleBook
) -> None:
    earned = {(source.block, source.netuid, source.side): source for source in world[0]}
    result = calculate(earned.values(), [], [], book)
    stored: dict[Held, list[tuple[int, int]]] = defaultdict(list)
    for held, won in result.winner_rows():
        assert all(won.first > last for _, last in stored[held]), "ranges of one delegation overlap"
        stored[held].append((won.first, won.last))
    for source in earned.values():
        for coldkey in source.shares.coldkeys:
            pool = source.hotkey, source.netuid, source.side
            expected = book.winner(Delegation(coldkey, *pool, source.block, source.at))
            found = [
                won.winner
                for won in result.won.get((*pool, coldkey, Tags()), ())
                if won.first <= source.block <= won.last
            ]
            assert found == ([expected] if expected else [])


def epoch(number: int, *coldkeys: str) -> Earned:
    shares = [(coldkey, 10) for coldkey in coldkeys]
    at = START + timedelta(minutes=number)
    return Earned(number, number, at, 2, "hot", "ALPHA", "ALPHA", 10 * len(shares), Shares.of(shares))


def test_pa1_who_was_away_at_an_epoch_begins_a_new_range() -> None:
    book = RuleBook(
        [AgreementTerms(1, 1, "P", START, None, 3300)],
        [RuleTerms(1, 1), RuleTerms(2, 1, applies_from_block=30, kind="ALL")],
        [WalletTerms(1, 1, "ann", date(2024, 1, 1))],
    )
    days = [epoch(10, "ann", "bob"), epoch(20, "bob"), epoch(30, "ann"), epoch(40, "ann", "bob")]
    result = calculate(days, [], [], book)
    ranges = {held[3]: [(won.first, won.last) for won in rows] for held, rows in result.won.items()}
    assert ranges == {"ann": [(10, 10), (30, 40)], "bob": [(40, 40)]}
    # From block 30 on the rule for all stake claims her too, and is outranked by her name.
    assert [won.winner.outranked for won in result.won["hot", 2, "ALPHA", "ann", Tags()]] == [(), (2,)]


@pytest.mark.django_db
def test_pa1_closing_stores_who_won_from_which_block_to_which_and_whom_it_outranked() -> None:
    build_two_days()
    other = make_partner("Everybody", 1_000)
    Rule.objects.update_or_create(agreement=other, defaults={"kind": "ALL"})
    attribute_yields(now=NOW)
    one, two = close_due_days(actor=None, now=NOW)
    creative = Agreement.objects.get(partner__slug="creative-builds")
    rows = DelegationWinner.objects.filter(coldkey=ANN).order_by("blocks")
    found = rows.values_list(
        "period__key", "side", "blocks", "partner", "rule__agreement", "wallet__address", "outranked"
    )
    claimed = (creative.partner_id, creative.pk, ANN, [other.rules.get().pk])
    assert list(found) == [
        ("2025-01-01", "ALPHA", NumericRange(10, 11), *claimed),
        ("2025-01-01", "ROOT", NumericRange(20, 21), *claimed),
        ("2025-01-02", "ALPHA", NumericRange(1_500, 1_501), *claimed),
    ]
    assert one.manifest["winners"]["count"] == 5
    assert check_ledger().differences == []
    tamper("UPDATE ledger_delegationwinner SET outranked = '{}' WHERE period_id = %s", two.pk)
    assert any(f"period {two.key}: winners" in difference for difference in check_ledger().differences)


COLUMNS = (
    "period_id, hotkey, netuid, side, coldkey, tag_hash, moved_hash, blocks, partner_id, agreement_id, rule_id, wallet_id,"
    " outranked"
)


def copy(changed: str, value: object) -> None:
    """Write Ann's row of the second day again, with another value in one column."""
    columns = COLUMNS.split(", ")
    assert changed in columns
    values = ", ".join("%s" if column == changed else column for column in columns)
    sql(
        f"INSERT INTO ledger_delegationwinner ({COLUMNS}) SELECT {values} FROM ledger_delegationwinner"
        " WHERE coldkey = %s AND blocks @> 1500::bigint",
        value,
        ANN,
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    "rule", ["delegation_won_once", "delegation_won_at_blocks", "delegation_winner_fits"]
)
def test_pa1_the_database_refuses_a_second_winner_and_one_that_cannot_be(rule: str) -> None:
    close_two_days()
    talisman = Agreement.objects.get(partner__slug="talisman")
    tries: dict[str, list[tuple[str, object]]] = {
        "delegation_won_once": [
            ("rule_id", talisman.rules.get().pk),
            ("partner_id", talisman.partner_id),
            ("blocks", "[1441,1501)"),
            ("outranked", "{7}"),
        ],
        "delegation_won_at_blocks": [("blocks", "empty"), ("blocks", "[1600,)"), ("blocks", "(,1460)")],
        "delegation_winner_fits": [("blocks", "[5,7)"), ("blocks", "[2870,2882)")],
    }
    for column, value in tries[rule]:
        with refused(rule):
            copy(column, value)
    if rule == "delegation_winner_fits":
        row = DelegationWinner.objects.get(coldkey=ANN, blocks__contains=1_500)
        for changed in ({"rule_id": talisman.rules.get().pk}, {"partner_id": talisman.partner_id}):
            with refused(rule):
                values = {**vars(row), "id": None, "coldkey": BOB, "tag_hash": "x", **changed}
                values.pop("_state")
                DelegationWinner.objects.create(**values)


@pytest.mark.django_db
def test_pa1_a_partners_take_without_a_rule_that_won_it_is_refused() -> None:
    one, _ = close_two_days()
    other = make_partner("else", 100).partner_id
    with refused("delegator_take_was_won"):
        tamper("UPDATE ledger_rollup SET partner_id = %s WHERE netuid = 2 AND partner_id IS NULL", other)
        sql("SELECT ledger_check_winners(%s)", one.pk)


def test_pa1_of_thousands_of_rules_the_page_tells_those_that_say_most() -> None:
    agreements = [AgreementTerms(1, 1, "P", START, None, 3300), AgreementTerms(2, 2, "Q", START, None, 100)]
    rules = [RuleTerms(n, 2, kind="MEMO", memo_match="EQUALS", memo=f"app {n}") for n in range(1, 500)]
    rules += [RuleTerms(900, 1), RuleTerms(901, 1, applies_from_block=30, kind="ALL")]
    book = RuleBook(agreements, rules, [WalletTerms(1, 1, "ann", date(2024, 1, 1))])
    shown, more = told(book.why(Delegation("ann", "hot", 2, "ALPHA", 20, START)))
    assert [verdict.rule_id for verdict in shown[:2]] == [900, 901]
    assert (len(shown), more) == (20, len(rules) - 20)
    assert (
        told(RuleBook(agreements, rules[:3], []).why(Delegation("ann", "hot", 2, "ALPHA", 20, START)))[1] == 0
    )
