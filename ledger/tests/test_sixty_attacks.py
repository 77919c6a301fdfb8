"""Somebody with the application's database password and SQL: every attack on a closed ledger, each in a transaction of its
own, and the rule by which the database refuses it. None of them may change a byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import Error, connection, transaction

from ledger.services import attach_period_prices, reserve_payout
from ledger.tests.factories import NOW
from ledger.tests.test_le7_documents import ONE, make_quote
from ledger.tests.test_worked_example import close_two_days
from partners.models import Partner
from tests.guards import sql

# What the application may do at most (rakeback/embedded/postgres.py, docs/runbook.md).
ROLE = "rakeback_attacker"
DENIED = "insufficient_privilege"
ENTRY = "INSERT INTO ledger_entry (key, kind, memo, posted_at{columns}) VALUES ('attack', '{kind}', '', now(){values})"
CB = "(SELECT id FROM partners_partner WHERE slug = 'creative-builds')"
DAY = "(SELECT id FROM ledger_period WHERE key = '2025-01-01')"
OLD = "(SELECT id FROM ledger_entry WHERE key = 'close:2025-01-01')"
YIELD = "(SELECT id FROM chain_yield WHERE block_id = 10)"
# The lines of closed days again, for another subnet.
LINE = """
INSERT INTO ledger_commissionline (period_id, partner_id, agreement_id, hotkey, netuid, side, basis, base_rao, rate_bps,
    commission_rao, wallet_address)
SELECT period_id, partner_id, agreement_id, hotkey, 99, side, basis, base_rao, rate_bps, {commission}, wallet_address
FROM ledger_commissionline
"""
BECOME_OWNER = """
DO $$ BEGIN
    EXECUTE (SELECT format('SET LOCAL ROLE %I', tableowner) FROM pg_tables WHERE tablename = 'ledger_entry');
END $$
"""


def held(kind: str) -> str:
    """The account of a kind, of Creative Builds where it is a partner's."""
    whose = f"= {CB}" if kind in {"PAYABLE", "IN_FLIGHT"} else "IS NULL"
    return f"(SELECT id FROM ledger_account WHERE kind = '{kind}' AND partner_id {whose})"


def entry(*legs: tuple[str, object], kind: str = "RESERVE", columns: str = "", values: str = "") -> str:
    """An entry with legs of (account kind, amount), in one statement."""
    header = ENTRY.format(kind=kind, columns=columns, values=values)
    rows = ", ".join(f"((SELECT id FROM e), {held(of)}, {amount})" for of, amount in legs)
    insert = (
        f"INSERT INTO ledger_posting (entry_id, account_id, amount_rao) VALUES {rows}" if rows else "SELECT 1"
    )
    return f"WITH e AS ({header} RETURNING id) {insert}"


def late(table: str, columns: str, values: str) -> str:
    """A row for the closed day."""
    return f"INSERT INTO {table} (period_id, {columns}) SELECT {DAY}, {values}"


def period(key: str, blocks: str, start: str, end: str) -> str:
    """Another closed period."""
    return (
        "INSERT INTO ledger_period (key, kind, start_at, end_at, blocks, manifest, manifest_hash, closed_at)"
        f" VALUES ('{key}', 'DAY', '{start}', '{end}', '{blocks}', '{{}}', '', now())"
    )


KEPT = {
    "ledger_period": "manifest_hash = 'x'",
    "ledger_periodprice": "attached_at = now()",
    "ledger_attribution": "digest = 'x'",
    "ledger_partnertake": "take_rao = take_rao + 1",
    "ledger_delegator": "coldkey = coldkey || 'x'",
    "ledger_rollup": "take_rao = take_rao + 1",
    "ledger_namedtake": "take_rao = take_rao + 1",
    "ledger_delegationwinner": "partner_id = partner_id + 1",
    "ledger_conversionallocation": "tao_rao = tao_rao + 1",
    "ledger_commissionline": "commission_rao = commission_rao + 1",
    "ledger_account": "kind = 'OWN_SHARE'",
    "ledger_entry": "memo = 'paid'",
    "ledger_posting": "amount_rao = amount_rao * 2",
    "chain_yield": "take_rao = take_rao + 1",
    "chain_conversion": "tao_rao = tao_rao + 1",
    "chain_fiatprice": "price = price * 2",
}
ATTACKS: dict[str, tuple[str, str]] = {
    **{f"edit {table}": (f"UPDATE {table} SET {change}", "append_only") for table, change in KEPT.items()},
    **{f"remove from {table}": (f"DELETE FROM {table}", "append_only") for table in KEPT},
    **{
        f"empty {table}": (f"TRUNCATE {table} CASCADE", DENIED)
        for table in ("ledger_posting", "ledger_period")
    },
    # Entries and their legs.
    "an entry without legs": (entry(), "entry_balanced"),
    "an entry with one leg": (entry(("PAYABLE", -5)), "entry_balanced"),
    "money out of nothing": (entry(("PAYABLE", -5), ("OWN_SHARE", 4)), "entry_balanced"),
    "a leg of nothing": (entry(("PAYABLE", 0), ("OWN_SHARE", 0)), "posting_not_zero"),
    "two legs on one account": (entry(("PAYABLE", -5), ("PAYABLE", 5)), "posting_once_per_account"),
    "a leg more on an old entry": (
        f"INSERT INTO ledger_posting (entry_id, account_id, amount_rao) VALUES ({OLD}, {held('IN_FLIGHT')}, -5)",
        "entry_sealed",
    ),
    "two legs more on an old entry that balance": (
        (
            f"INSERT INTO ledger_posting (entry_id, account_id, amount_rao) VALUES ({OLD}, {held('IN_FLIGHT')}, -5),"
            f" ({OLD}, {held('IN_FLIGHT')}, 5)"
        ),
        "posting_once_per_account",
    ),
    "legs of an entry to come": (
        f"INSERT INTO ledger_posting (entry_id, account_id, amount_rao) VALUES (999999, {held('TAKE')}, 5)",
        "entry_sealed",
    ),
    "the same entry again": (
        "INSERT INTO ledger_entry (key, kind, memo, posted_at) SELECT key, 'RESERVE', '', now() FROM ledger_entry",
        "ledger_entry_key_key",
    ),
    "to close a day again": (
        entry(("TAKE", 5), ("OWN_SHARE", -5), kind="CLOSE", columns=", period_id", values=f", {DAY}"),
        "entry_closes_a_period_once",
    ),
    "a close of no period": (entry(("TAKE", 5), ("OWN_SHARE", -5), kind="CLOSE"), "entry_period_fits_kind"),
    "a payout in a period": (
        entry(("TAKE", 5), ("OWN_SHARE", -5), columns=", period_id", values=f", {DAY}"),
        "entry_period_fits_kind",
    ),
    "a reversal of something else": (
        entry(("TAKE", 5), ("OWN_SHARE", -5), kind="RELEASE", columns=", reverses_id", values=f", {OLD}"),
        "entry_reverses_exactly",
    ),
    "a reversal of what is to come": (
        entry(("TAKE", 5), ("OWN_SHARE", -5), kind="RELEASE", columns=", reverses_id", values=", 999999"),
        "entry_reverses_an_older_one",
    ),
    "to pay more than is owed": (entry(("PAYABLE", 10**6), ("IN_FLIGHT", -(10**6))), "debt_not_negative"),
    "to release what nobody reserved": (
        entry(("IN_FLIGHT", 10**6), ("PAYABLE", -(10**6))),
        "debt_not_negative",
    ),
    "a debt taken back": (entry(("PAYABLE", 84), ("OWN_SHARE", -84)), "debt_not_negative"),
    # Accounts.
    "a second account": (
        f"INSERT INTO ledger_account (kind, currency, partner_id) VALUES ('PAYABLE', 'TAO', {CB})",
        "account_once",
    ),
    "a debt to nobody": (
        "INSERT INTO ledger_account (kind, currency) VALUES ('PAYABLE', 'TAO')",
        "account_partner_fits_kind",
    ),
    "take of a partner": (
        f"INSERT INTO ledger_account (kind, currency, partner_id) VALUES ('TAKE', 'TAO', {CB})",
        "account_partner_fits_kind",
    ),
    "an account of another kind": (
        "INSERT INTO ledger_account (kind, currency) VALUES ('SLUSH', 'TAO')",
        "account_partner_fits_kind",
    ),
    # Periods, and rows of closed ones.
    "a period over another": (
        period("2025-01-1b", "[5,10)", "2025-01-01", "2025-01-02"),
        "period_no_overlap",
    ),
    "a month over its days": (period("2025-01", "[1,2881)", "2025-01-01", "2025-02-01"), "period_no_overlap"),
    "a period that ends before it starts": (
        period("x", "[9000,9001)", "2025-01-09", "2025-01-08"),
        "period_ends_after_start",
    ),
    "the same day again": (
        period("2025-01-01", "[9000,9001)", "2025-01-09", "2025-01-10"),
        "ledger_period_key_key",
    ),
    "a late part": (
        late("ledger_partnertake", "source_id, rate_bps, delegator_count, take_rao", f"{YIELD}, 0, 1, 1"),
        "partner_take_once_per_agreement",
    ),
    "a late part of a yield without one": (
        late(
            "ledger_partnertake",
            "source_id, partner_id, agreement_id, rate_bps, delegator_count, take_rao",
            f"(SELECT id FROM chain_yield WHERE block_id = 20), {CB}, (SELECT max(id) + 1 FROM partners_agreement), 1, 1, 1",
        ),
        "period_sealed",
    ),
    "a late roll-up": (
        late(
            "ledger_rollup",
            "hotkey, netuid, side, delegators, takes_rao, take_rao",
            "'h', 9, 'ALPHA', '{1}', '{1}', 1",
        ),
        "period_sealed",
    ),
    "a late wallet": (
        late(
            "ledger_namedtake",
            "hotkey, netuid, side, agreement_id, wallet_address, take_rao",
            "'h', 9, 'ALPHA', (SELECT min(id) FROM partners_agreement), 'w', 1",
        ),
        "period_sealed",
    ),
    "a late winner": (
        late(
            "ledger_delegationwinner",
            "hotkey, netuid, side, coldkey, tag_hash, blocks, partner_id, agreement_id, rule_id, outranked",
            f"'h', 9, 'ALPHA', 'c', '', '[1,2)', {CB}, (SELECT min(id) FROM partners_agreement),"
            " (SELECT min(id) FROM partners_rule), '{}'",
        ),
        "period_sealed",
    ),
    "a late sale": (
        late(
            "ledger_conversionallocation",
            "conversion_id, source_id, alpha_rao, tao_rao",
            "(SELECT max(id) FROM chain_conversion), (SELECT id FROM chain_yield WHERE block_id = 20), 1, 1",
        ),
        "period_sealed",
    ),
    "a late line": (LINE.format(commission="commission_rao"), "period_sealed"),
    "a line that pays more than its rate": (LINE.format(commission="base_rao"), "commission_is_rate_of_base"),
    "a late yield": (
        """INSERT INTO chain_yield SELECT (jsonb_populate_record(y, '{"id": 99999, "netuid": 7, "pool_netuid": 7}')).*
        FROM chain_yield y WHERE block_id = 10""",
        "period_sealed",
    ),
    "a second attribution": (
        f"INSERT INTO ledger_attribution (source_id, take_rao, delegator_count, digest) VALUES ({YIELD}, 1001, 3, 'x')",
        "ledger_attribution_source_id_key",
    ),
    "a price of later": (
        (
            "INSERT INTO ledger_periodprice (period_id, price_id, attached_at) SELECT p.id, q.id, now()"
            " FROM ledger_period p, chain_fiatprice q WHERE p.key = '2025-01-02' AND q.at > p.end_at"
        ),
        "period_price_fits",
    ),
    "a second price": (
        (
            f"INSERT INTO ledger_periodprice (period_id, price_id, attached_at) SELECT {DAY}, price_id, now()"
            " FROM ledger_periodprice LIMIT 1"
        ),
        "ledger_periodprice_period_id_key",
    ),
    # Behind the triggers.
    "a check that never comes": (
        "INSERT INTO ledger_due_check VALUES ('entry', 999999)",
        "due_check_by_triggers",
    ),
    "no triggers": ("SET LOCAL session_replication_role = replica", DENIED),
    "triggers off": ("ALTER TABLE ledger_posting DISABLE TRIGGER USER", DENIED),
    "a trigger less": ("DROP TRIGGER append_only ON ledger_posting", DENIED),
    "a constraint less": ("ALTER TABLE ledger_posting DROP CONSTRAINT posting_not_zero", DENIED),
    "another guard": (
        "CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        DENIED,
    ),
    "a table less": ("DROP TABLE ledger_posting CASCADE", DENIED),
    "another view of what was earned": ("DROP VIEW ledger_delegatortake", DENIED),
    "to become the owner": (BECOME_OWNER, DENIED),
    "a superuser": (f"ALTER ROLE {ROLE} SUPERUSER", DENIED),
}


@contextmanager
def attacker() -> Iterator[None]:
    """Go on as if signed in as a role that may what the application may."""
    sql(f"SET LOCAL SESSION AUTHORIZATION {ROLE}")
    yield


def everything() -> list[object]:
    """A hash of every row of every table that is kept."""
    tables = sorted({*KEPT, "ledger_account"})
    return [
        sql(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t.id), '')) FROM {table} t")
        for table in tables
    ]


def refusal(attack: str) -> str:
    """Try an attack and commit; name the rule that refused it, empty if nothing did."""
    try:
        with transaction.atomic(), attacker():
            sql(attack)
            connection.check_constraints()
    except Error as error:
        diag = getattr(error.__cause__, "diag", None)
        denied = getattr(diag, "sqlstate", "") == "42501"
        return DENIED if denied else (getattr(diag, "constraint_name", None) or str(error))
    return ""


@pytest.mark.django_db(transaction=True)
def test_l3_every_attack_with_the_applications_password_is_refused_and_changes_nothing(settings: Any) -> None:
    settings.RAKEBACK_PRICE_SOURCES = ["coinbase"]
    assert len(ATTACKS) >= 60
    close_two_days()
    make_quote(ONE)
    assert attach_period_prices(now=NOW) == 1
    make_quote(NOW, "999")
    partner = Partner.objects.get(slug="creative-builds")
    reserve_payout(payout_id=1, partner=partner, amount_rao=83, actor=None, now=NOW)
    sql(f"DROP ROLE IF EXISTS {ROLE}")
    sql(f"CREATE ROLE {ROLE}")
    try:
        sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
        sql(f"GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {ROLE}")
        before = everything()
        found = {name: refusal(attack) for name, (attack, _) in ATTACKS.items()}
        assert found == {name: rule for name, (_, rule) in ATTACKS.items()}
        assert everything() == before
    finally:
        sql(f"DROP OWNED BY {ROLE}")
        sql(f"DROP ROLE {ROLE}")
