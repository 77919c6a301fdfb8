"""Attributing, closing, asking and checking on real rows (LE1, LE2, LE4 to LE8)."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from ledger import explaining, tasks
from ledger.attribution import digest
from ledger.audit import check_ledger
from ledger.facts import shares_of
from ledger.models import (
    Attribution,
    CommissionLine,
    ConversionAllocation,
    DelegatorTake,
    Entry,
    PartnerTake,
    Period,
    Posting,
)
from ledger.queries import explain_block, overview, payable_by_partner, pending_alpha, statement
from ledger.readiness import check_day, next_day
from ledger.services import CannotAttribute, CannotClose, attribute_yields, close_day, close_due_days
from ledger.statements import Statement, StatementLine, write_csv
from ledger.tests.factories import (
    DAY_ONE,
    DAY_TWO,
    HOTKEY,
    NOW,
    OWNER,
    START,
    make_blocks,
    make_conversion,
    make_gap,
    make_partner,
    make_positions,
    make_price,
    make_swap_leg,
    make_yield,
)
from ledger.tests.test_worked_example import ANN, BOB, OWN, build_two_days, close_two_days, lines_of
from partners.models import Agreement, Partner, Rule, Wallet
from tests.guards import tamper

pytestmark = pytest.mark.django_db


# --- Attribution ---------------------------------------------------------------------------------------


def test_le1_attribution_records_the_take_the_count_and_a_digest_once() -> None:
    build_two_days()
    assert attribute_yields(now=NOW, limit=2) == 2
    assert attribute_yields(now=NOW) == 1
    assert attribute_yields(now=NOW) == 0
    row = Attribution.objects.get(source__block_id=10)
    assert (row.take_rao, row.delegator_count) == (1_001, 3)


def test_f19_a_yield_whose_holders_are_not_its_pool_is_named_and_not_recorded() -> None:
    make_blocks(1, 9)
    make_positions({ANN: 5}, netuid=2)
    make_yield(2, 100, share_total=6)
    make_yield(3, 100)
    make_yield(4, 100, netuid=7, share_total=1)  # nobody known holds this pool
    with pytest.raises(CannotAttribute, match="block 2, netuid 2") as caught:
        attribute_yields(now=NOW)
    assert caught.value.written == 1
    assert "block 4, netuid 7" in str(caught.value)
    assert list(Attribution.objects.values_list("source__block_id", flat=True)) == [3]


def test_le1_a_take_on_a_pool_that_nobody_held_is_the_owners() -> None:
    """A child key's first dividend comes before its first stake; then there is no delegator to have earned it."""
    make_blocks(1, 9)
    make_yield(2, 100)
    assert attribute_yields(now=NOW) == 1
    [row] = Attribution.objects.all()
    assert (row.take_rao, row.delegator_count) == (100, 1)
    (epoch,) = explain_block(2)["epochs"]
    assert epoch["shares"] == [{"coldkey": OWNER, "take_rao": 100, "partner": None}]


def test_le1_the_holders_are_those_of_the_parent_block() -> None:
    make_blocks(1, 9)
    make_positions({ANN: 5}, netuid=2)
    source = make_yield(5, 100)
    make_positions({BOB: 5}, netuid=2, since=5)
    attribute_yields(now=NOW)
    (epoch,) = explain_block(5)["epochs"]
    assert epoch["shares"] == [{"coldkey": ANN, "take_rao": 100, "partner": None}]
    assert source.attribution.delegator_count == 1


def test_le1_many_yields_are_attributed_over_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.services.attributing.BATCH", 2)
    make_blocks(1, 9)
    make_positions({ANN: 5}, netuid=2)
    for block in range(2, 9):
        make_yield(block, 100, share_total=6 if block == 4 else None)
    with pytest.raises(CannotAttribute):
        attribute_yields(now=NOW)
    assert Attribution.objects.count() == 6


# --- Closing -------------------------------------------------------------------------------------------


def refusal_of_closed(day: date) -> str:
    with pytest.raises(CannotClose) as caught:
        close_day(day=day, actor=None, now=NOW)
    return str(caught.value)


def refusal(day: date = DAY_ONE) -> str:
    with pytest.raises(CannotClose) as caught:
        close_day(day=day, actor=None, now=NOW)
    assert Entry.objects.count() == 0 or not Entry.objects.filter(key=f"close:{day}").exists()
    return str(caught.value)


def test_le6_a_day_does_not_close_before_it_is_over() -> None:
    make_blocks(1, 1_440)
    assert "the day ends at 2025-01-02 00:00" in refusal()
    assert close_due_days(actor=None, now=NOW) == []


def test_le6_an_open_gap_keeps_the_day_open_until_it_is_resolved() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    gap = make_gap(1_440, 1_450)
    assert "Read missing, blocks 1,440 to 1,450: the node did not answer" in refusal()
    with pytest.raises(CannotClose):
        close_due_days(actor=None, now=NOW)
    type(gap).objects.update(state="RESOLVED", resolved_at=NOW)
    assert len(close_due_days(actor=None, now=NOW)) == 2


def test_le6_a_missing_or_unlinked_block_keeps_the_day_open() -> None:
    make_blocks(1, 99)
    make_blocks(101, 1_500)
    assert "Block 100 is missing" in refusal()
    tamper("DELETE FROM chain_block WHERE number = 1441")
    assert "Block 100 is missing" in refusal()


def test_le6_a_block_that_does_not_follow_its_parent_keeps_the_day_open() -> None:
    make_blocks(1, 1_441)
    tamper("UPDATE chain_block SET parent_hash = '0xother' WHERE number = 700")
    assert "Block 700 is missing or does not follow block 699" in refusal()


def test_f34_a_yield_that_is_not_attributed_never_counts_as_zero() -> None:
    build_two_days()
    assert "2 of 2 are not, the first in block 10: run attribution" in refusal()
    assert Period.objects.count() == 0


def test_le6_days_close_in_order_and_once() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    assert "2025-01-01 has blocks and comes first" in refusal(DAY_TWO)
    one = close_day(day=DAY_ONE, actor=None, now=NOW)
    assert "2025-01-01 is closed already" in refusal_of_closed(DAY_ONE)
    assert next_day() == DAY_TWO
    two = close_day(day=DAY_TWO, actor=None, now=NOW)
    assert (one.closed_by, two.blocks.lower) == (None, one.blocks.upper)
    assert "No block of 2025-02-01" in refusal(date(2025, 2, 1))


def test_le6_a_day_without_any_block_is_skipped() -> None:
    make_blocks(1, 10)
    make_blocks(11, 12, start=START + timedelta(days=3))
    make_blocks(13, 13, start=START + timedelta(days=4))
    closed = close_due_days(actor=None, now=NOW)
    assert [period.key for period in closed] == ["2025-01-01", "2025-01-04"]
    assert Entry.objects.count() == 0


def test_le6_a_pool_that_changes_currency_within_a_day_is_refused() -> None:
    make_blocks(1, 1_441)
    make_positions({ANN: 1}, netuid=2)
    make_positions({ANN: 1}, netuid=0)
    make_yield(5, 10, side="ROOT", asset="ALPHA")
    make_yield(6, 10, side="ROOT", asset="TAO")
    attribute_yields(now=NOW)
    assert "ROOT take in alpha and in TAO" in refusal()


def test_le6_positions_that_changed_since_the_attribution_are_noticed() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    tamper("UPDATE chain_position SET share = share + 1 WHERE coldkey = %s AND netuid = 2", ANN)
    tamper("UPDATE chain_position SET share = share - 1 WHERE coldkey = %s AND netuid = 2", BOB)
    assert "The shares of block 10 changed after it was attributed" in refusal()


def test_le6_the_same_inputs_close_to_the_same_bytes_and_rows() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    user = get_user_model().objects.create_user("eve")
    seen = []
    for actor, now in ((None, NOW), (user, NOW + timedelta(days=9))):
        mark = transaction.savepoint()
        close_due_days(actor=actor, now=now)
        rows = [
            sorted(
                PartnerTake.objects.values_list("source_id", "agreement_id", "rate_bps", "take_rao"), key=str
            ),
            sorted(DelegatorTake.objects.values_list("side", "coldkey", "partner_id", "take_rao"), key=str),
            sorted(
                ConversionAllocation.objects.values_list("conversion_id", "source_id", "alpha_rao", "tao_rao")
            ),
            sorted(CommissionLine.objects.values_list("partner_id", "side", "base_rao", "commission_rao")),
            sorted(Posting.objects.values_list("entry__key", "account__kind", "amount_rao")),
        ]
        seen.append((list(Period.objects.values_list("key", "manifest_hash", "manifest")), rows))
        connection.check_constraints()
        transaction.savepoint_rollback(mark)
    assert seen[0] == seen[1]
    assert all(rows for rows in seen[0][1])


def test_pa2_a_rate_change_splits_a_period_at_its_moment() -> None:
    make_blocks(1, 1_441)
    make_positions({ANN: 1}, netuid=0)
    make_positions({ANN: 1}, netuid=2)
    old = make_partner("Talisman", 5_000, ANN)
    at = START + timedelta(minutes=99)  # block 100
    Agreement.objects.filter(pk=old.pk).update(effective=DateTimeTZRange(old.effective.lower, at))
    new = Agreement.objects.create(partner=old.partner, effective=DateTimeTZRange(at, None), rate_bps=1_000)
    Rule.objects.create(agreement=new)
    make_yield(99, 1_000, side="ROOT")
    make_yield(100, 1_000, side="ROOT")
    make_yield(50, 100)
    make_yield(150, 100)
    make_conversion(200, 200, 2_000)
    attribute_yields(now=NOW)
    (period,) = close_due_days(actor=None, now=NOW)
    assert sorted(lines_of(period), key=str) == sorted(
        [
            ("talisman", "ALPHA", 1_000, 1_000, 100),
            ("talisman", "ALPHA", 1_000, 5_000, 500),
            ("talisman", "ROOT", 1_000, 1_000, 100),
            ("talisman", "ROOT", 1_000, 5_000, 500),
        ],
        key=str,
    )


def test_le4_alpha_keeps_the_rate_it_was_earned_at() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    close_day(day=DAY_ONE, actor=None, now=NOW)
    Agreement.objects.filter(partner__slug="creative-builds").update(rate_bps=1_000)
    two = close_day(day=DAY_TWO, actor=None, now=NOW)
    rates = [(base, rate) for slug, _, base, rate, _ in lines_of(two) if slug == "creative-builds"]
    assert sorted(rates) == [(51, 1_000), (201, 3_300)]
    connection.check_constraints()
    assert check_ledger().differences == []


@pytest.mark.parametrize("block", [30, 1_450])
def test_le4_take_that_a_swap_took_along_is_owed_when_the_new_key_sells_it(block: int) -> None:
    """Swapped on the first day and sold on it or on the next, with the stake of a delegator."""
    make_blocks(1, 2_900)
    make_positions({BOB: 1}, netuid=2)
    make_partner("Talisman", 5_000, BOB)
    make_yield(10, 100)
    for coldkey in (OWNER, BOB):
        make_swap_leg(20, coldkey, HOTKEY, "new key")
    make_conversion(block, 40, 80, hotkey="new key")
    attribute_yields(now=NOW)
    periods = close_due_days(actor=None, now=NOW)
    paid = [line for period in periods for line in lines_of(period)]
    assert paid == [("talisman", "ALPHA", 80, 5_000, 40)]
    assert [(row.netuid, row.alpha_rao) for row in pending_alpha()] == [(2, 60)]
    connection.check_constraints()
    assert check_ledger().differences == []


@pytest.mark.parametrize(
    "legs",
    [[(OWNER, HOTKEY, "middle"), (OWNER, "middle", "last")], [(ANN, HOTKEY, "last")]],
    ids=["the key between earned nothing", "the owner's coldkey was swapped before"],
)
def test_le4_unsold_take_follows_swaps_of_keys_that_have_no_yield_of_whom_swaps_them(
    legs: list[tuple[str, str, str]],
) -> None:
    make_blocks(1, 2_881)
    make_positions({BOB: 1}, netuid=2)
    make_partner("Talisman", 5_000, BOB)
    make_yield(10, 100)
    for number, leg in enumerate(legs):
        make_swap_leg(20 + number, *leg)
    make_conversion(40, 40, 80, hotkey="last")
    attribute_yields(now=NOW)
    periods = close_due_days(actor=None, now=NOW)
    assert [line for period in periods for line in lines_of(period)] == [("talisman", "ALPHA", 80, 5_000, 40)]
    assert check_ledger().differences == []


def test_le4_root_take_in_alpha_is_owed_when_it_is_converted() -> None:
    make_blocks(1, 1_441)
    make_positions({BOB: 1}, netuid=0)
    make_partner("Talisman", 5_000, BOB)
    make_yield(10, 100, side="ROOT", asset="ALPHA")
    make_conversion(20, 40, 80)
    attribute_yields(now=NOW)
    (period,) = close_due_days(actor=None, now=NOW)
    assert lines_of(period) == [("talisman", "ROOT", 80, 5_000, 40)]
    assert [(row.netuid, row.alpha_rao) for row in pending_alpha()] == [(2, 60)]


# --- Questions -----------------------------------------------------------------------------------------


def test_le2_a_block_is_explained_delegator_by_delegator() -> None:
    build_two_days()
    found = explain_block(10)
    assert found == {
        "block": 10,
        "hash": f"0x{10:064x}",
        "epochs": [
            {
                "netuid": 2,
                "hotkey": HOTKEY,
                "side": "ALPHA",
                "asset": "ALPHA",
                "take_rao": 1_001,
                "shares": [
                    {"coldkey": ANN, "take_rao": 501, "partner": "creative-builds"},
                    {"coldkey": BOB, "take_rao": 300, "partner": "talisman"},
                    {"coldkey": OWN, "take_rao": 200, "partner": None},
                ],
            }
        ],
    }
    assert explain_block(11)["epochs"] == []
    with pytest.raises(explaining.NotIngested):
        explain_block(99_999)


def test_le2_a_closed_block_is_explained_by_the_rules_it_was_closed_with() -> None:
    close_two_days()
    Wallet.objects.filter(address=ANN).update(is_active=False)
    assert explain_block(10)["epochs"][0]["shares"][0]["partner"] == "creative-builds"
    make_blocks(2_882, 2_890)
    make_yield(2_885, 10)
    found = explaining.explain(2_885)
    assert found.period is None
    assert (found.epochs[0].shares[0].coldkey, found.epochs[0].shares[0].partner) == (ANN, None)
    reasons = [verdict.reason for verdict in explaining.why(found, found.epochs[0].shares[0]).verdicts]
    assert "WALLET_INACTIVE" in reasons
    proved = explaining.explain(10)
    assert proved.epochs[0].is_proved
    assert proved.period is not None


def test_l5_what_is_owed_can_be_asked_through_a_period() -> None:
    one, two = close_two_days()
    ids = dict(Partner.objects.values_list("slug", "pk"))
    cb, talisman = ids["creative-builds"], ids["talisman"]
    assert payable_by_partner(one) == {cb: 83, talisman: 195}
    assert payable_by_partner(two) == payable_by_partner() == {cb: 166, talisman: 269}


def test_le4_what_is_not_converted_is_pending_with_its_value() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    one, two = close_due_days(actor=None, now=NOW)
    ids = dict(Partner.objects.values_list("pk", "slug"))
    pending = {ids.get(row.partner_id or 0): row for row in pending_alpha(one)}
    # 401 of block 10 are left: over 501, 300, 200 of 1,001 that is 200, 120, 80 and 1 to the largest.
    assert {name: row.alpha_rao for name, row in pending.items()} == {
        "creative-builds": 201,
        "talisman": 120,
        None: 80,
    }
    assert {row.value_rao for row in pending.values()} == {None}
    make_price(1_000, 2, 1 << 63)  # the square of a half: a quarter TAO for one alpha
    assert [row.value_rao for row in pending_alpha(one)] == [20, 50, 30]
    assert pending_alpha(two) == pending_alpha() == []


def test_le7_a_statement_has_the_same_content_everywhere() -> None:
    one, _ = close_two_days()
    found = statement(Partner.objects.get(slug="creative-builds"), one)
    data = json.loads(found.to_json())
    assert data.pop("content_hash") == found.content_hash
    assert data == {
        "partner": "creative-builds",
        "partner_name": "Creative Builds",
        "period": "2025-01-01",
        "block_range": {"first": 1, "last": 1_440},
        "lines": [
            {
                "hotkey": HOTKEY,
                "netuid": 2,
                "side": side,
                "base_rao": base,
                "rate_bps": 3_300,
                "commission_rao": owed,
            }
            for side, base, owed in (("ALPHA", 152, 50), ("ROOT", 100, 33))
        ],
        "totals": {"base_rao": 252, "commission_rao": 83},
        "pending_alpha": [{"netuid": 2, "alpha_rao": 201}],
        "manifest_hash": one.manifest_hash,
    }
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [(row["side"], row["base_rao"], row["commission_rao"]) for row in rows] == [
        ("ALPHA", "152", "50"),
        ("ROOT", "100", "33"),
    ]
    assert {row["content_hash"] for row in rows} == {found.content_hash}


def test_le7_a_statement_does_not_change_when_later_periods_close() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    one = close_day(day=DAY_ONE, actor=None, now=NOW)
    partner = Partner.objects.get(slug="talisman")
    before = statement(partner, one)
    close_day(day=DAY_TWO, actor=None, now=NOW)
    assert statement(partner, one).content_hash == before.content_hash
    assert before.content_hash != statement(partner, Period.objects.get(key="2025-01-02")).content_hash


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "  =", "\uff1d"])
def test_le9_no_cell_of_a_csv_can_be_run_as_a_formula(start: str) -> None:
    line = StatementLine(f"{start}1+1", 2, "ALPHA", -5, 1, 1)
    text = Statement(f"{start}cmd", "x", "p", 1, 2, (line,), (), "", NOW).to_csv()
    row = next(csv.DictReader(io.StringIO(text, newline="")))
    assert row["partner"].startswith("'")
    assert row["hotkey"].startswith("'")
    assert row["base_rao"] == "-5"
    assert write_csv([("a,b", 'say "x"')]) == '"a,b","say ""x"""\r\n'


def test_ui1_the_overview_adds_up() -> None:
    close_two_days()
    found = overview()
    assert found.realised_rao == 1_203 == found.commission_rao + found.own_share_rao
    assert found.payable_rao == found.commission_rao == 435
    assert (found.period_count, found.unattributed_count, found.in_flight_rao) == (2, 0, 0)
    assert [row.commission_rao for row in found.partners] == [166, 269]
    assert found.next_close is not None
    assert not found.next_close.ok
    assert found.next_close.day == date(2025, 1, 3)


def test_ui1_the_overview_of_an_empty_ledger_is_empty() -> None:
    found = overview()
    assert (found.last_period, found.next_close, found.partners, found.realised_rao) == (None, None, (), 0)


# --- Checking ------------------------------------------------------------------------------------------


def test_le8_an_untouched_ledger_agrees_with_the_facts_after_every_later_change_of_partners() -> None:
    close_two_days()
    assert check_ledger().differences == []
    Wallet.objects.filter(address=ANN).update(is_active=False)
    Agreement.objects.filter(partner__slug="talisman").update(rate_bps=1)
    make_partner("New", 9_000, OWN)
    audit = check_ledger()
    assert audit.differences == []
    assert (audit.counts["periods"], audit.counts["commission lines"], audit.counts["entries"]) == (2, 6, 2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE ledger_attribution SET digest = 'x' WHERE take_rao = 403", "block 20"),
        ("UPDATE ledger_partnertake SET take_rao = take_rao + 1 WHERE take_rao = 501", "partner takes"),
        ("DELETE FROM ledger_rollup WHERE 303 = ANY (takes_rao)", "delegator takes"),
        ("UPDATE ledger_conversionallocation SET tao_rao = 1 WHERE tao_rao = 99", "allocations"),
        ("UPDATE ledger_commissionline SET rate_bps = 3301 WHERE commission_rao = 33", "commission lines"),
        ("UPDATE ledger_posting SET amount_rao = -84 WHERE amount_rao = -83", "close:2025-01-01"),
        ("UPDATE ledger_posting SET amount_rao = amount_rao * 2", "legs"),
        ("DELETE FROM ledger_posting", "legs"),
        ("UPDATE ledger_period SET manifest_hash = 'x' WHERE key = '2025-01-01'", "manifest hash"),
        ("UPDATE ledger_period SET manifest = manifest || '{\"ruleset\": 7}'", "manifest"),
        ("UPDATE chain_yield SET take_rao = 404, take_high_rao = 404 WHERE take_rao = 403", "2025-01-01"),
        ("UPDATE chain_position SET share = share + 1 WHERE netuid = 0", "share bits"),
        ("UPDATE chain_conversion SET tao_rao = 301 WHERE tao_rao = 300", "conversions"),
        ("UPDATE chain_block SET hash = '0xother' WHERE number = 1440", "blocks"),
    ],
)
def test_le8_every_tampering_is_named(change: str, named: str) -> None:
    close_two_days()
    tamper(change)
    audit = check_ledger()
    assert any(named in difference for difference in audit.differences), audit.differences


def test_le8_an_open_attribution_that_no_longer_fits_is_named() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    tamper("UPDATE ledger_attribution SET digest = 'x' WHERE take_rao = 100")
    assert any("block 1500" in difference for difference in check_ledger().differences)


# --- Commands and tasks --------------------------------------------------------------------------------


def run(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out, stderr=out)
    return out.getvalue()


def test_op3_the_commands_lead_from_facts_to_a_statement(tmp_path: object) -> None:
    build_two_days()
    assert run("attribute") == "attributed 3 yields\n"
    assert "closed 2025-01-01  manifest" in run("close_days")
    assert run("check_ledger").startswith("ledger agrees with the facts: ")
    assert json.loads(run("explain_block", "10", "--format", "json")) == explain_block(10)
    assert "talisman" in run("explain_block", "10")
    assert "no epoch" in run("explain_block", "11")
    assert json.loads(run("export_statement", "talisman", "2025-01-01"))["totals"]["commission_rao"] == 195
    path = f"{tmp_path}/statement.csv"
    assert run("export_statement", "talisman", "2025-01-01", "--format", "csv", "--out", path) == ""
    with open(path, encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *(
            (("attribute", f"--limit={number}"), "is no number of yields: give a whole number from 1")
            for number in ("0", "-1", "x", "", str(10**30), "9" * 5_000)
        ),
        *(
            (("explain_block", "--", number), "is no block: give a whole number from 0")
            for number in ("-1", "x", "", str(10**30), "9" * 5_000)
        ),
        (("explain_block", str(2**63 - 1)), "was not ingested"),
        *(
            (("export_statement", *words), said)
            for name in ("", " ", "a\0b", "a\nb", "\udcff")
            for words, said in (
                ((name, "2025-01-01"), "argument partner: .* is no name"),
                (("talisman", name), "argument period: .* is no name"),
            )
        ),
        (
            ("export_statement", "x" * 5_000, "2025-01-01"),
            "there is no partner 'x{79}…; there are .*talisman",
        ),
        (("export_statement", "talisman", "x" * 5_000), "there is no closed period 'x{79}…: close it"),
        (("import_chain_file", ""), "argument file: it is empty"),
        (("import_chain_file", "a\0b"), "argument file: no path has a zero byte"),
        (("import_chain_file", "/"), "/ cannot be read: Is a directory"),
        (("import_chain_file", "/none/at/all"), "/none/at/all cannot be read: No such file"),
        (("import_chain_file", "x" * 300), "cannot be read: File name too long"),
    ],
)
def test_op3_the_commands_refuse_what_cannot_be(words: tuple[str, ...], said: str) -> None:
    build_two_days()
    with pytest.raises(CommandError, match=said) as refused:
        run(*words)
    assert len(str(refused.value)) < 400
    assert not Attribution.objects.exists()


def test_op3_a_statement_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    build_two_days()
    run("attribute")
    run("close_days")
    for out, said in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "a.json", "No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(CommandError, match=f"Cannot write .*: {said}"):
            run("export_statement", "talisman", "2025-01-01", "--out", str(out))
    with pytest.raises(CommandError, match="argument --out: it is empty"):
        run("export_statement", "talisman", "2025-01-01", "--out", "")
    assert list(tmp_path.iterdir()) == []


def test_op3_the_commands_fail_loudly() -> None:
    build_two_days()
    for words, said in {
        ("explain_block", "99999"): "was not ingested",
        ("close_days",): "run attribution",
        ("export_statement", "nobody", "2025-01-01"): "no partner",
    }.items():
        with pytest.raises(CommandError, match=said):
            run(*words)
    run("attribute")
    run("close_days")
    with pytest.raises(CommandError, match="no closed period"):
        run("export_statement", "talisman", "2024-01-01")
    tamper("DELETE FROM ledger_posting")
    with pytest.raises(CommandError, match="differences"):
        run("check_ledger")


def test_op3_the_tasks_run_the_cycle_and_fail_when_the_ledger_differs() -> None:
    build_two_days()
    assert tasks.attribute() == 3
    assert tasks.close_days() == ["2025-01-01", "2025-01-02"]
    assert tasks.check_ledger()["periods"] == 2
    tamper("UPDATE ledger_posting SET amount_rao = amount_rao * 2")
    with pytest.raises(tasks.LedgerDiffers, match="legs"):
        tasks.check_ledger()


def test_le6_the_checklist_names_every_condition() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    ready = check_day(DAY_ONE)
    assert ready.ok
    assert [check.name for check in ready.checks] == [
        "The day is over",
        "Blocks are complete",
        "No open gap",
        "All yields are attributed",
        "Follows the last closed period",
        "One currency per pool and side",
        "The ledger adds up",
        "The checks found no difference",
    ]
    assert all(check.detail for check in ready.checks)
    assert next_day() == DAY_ONE


def test_le6_what_was_attributed_by_an_older_ruleset_is_proved_by_it() -> None:
    close_two_days()
    row = Attribution.objects.select_related("source").latest("source_id")
    older = digest(shares_of(row.source), 1)
    assert older != row.digest
    tamper(f"UPDATE ledger_attribution SET digest = '{older}' WHERE id = {row.pk}")
    assert not check_ledger().ok
    # By what its row says it is the first ruleset's, which is another fact than the period closed with.
    tamper(f"UPDATE ledger_attribution SET ruleset = 1 WHERE id = {row.pk}")
    assert all("yields" in difference for difference in check_ledger().differences)


def test_le6_a_day_closes_over_attributions_of_two_rulesets_and_is_recomputed() -> None:
    build_two_days()
    attribute_yields(now=NOW)
    row = Attribution.objects.select_related("source").earliest("source_id")
    tamper(
        f"UPDATE ledger_attribution SET ruleset = 1, digest = '{digest(shares_of(row.source), 1)}' WHERE id = {row.pk}"
    )
    close_due_days(actor=None, now=NOW)
    assert check_ledger().differences == []
