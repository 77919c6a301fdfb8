"""The chain of seals over the history: whole after any change made through it, and broken by any made behind it (PA6)."""

from __future__ import annotations

import os
import random
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse

from partners import services
from partners.models import AgreementTemplate, Change, Partner, PayoutAddress, Seal, Wallet
from partners.sealing import BadHead, Head, check_history, newest_head
from partners.tasks import HistoryDiffers
from partners.tasks import check_history as check_by_night
from partners.tests.factories import (
    DAY,
    address,
    make_agreement,
    make_partner,
    make_user,
)
from tests.guards import without_triggers

pytestmark = pytest.mark.django_db

SEED = int(os.environ.get("SEAL_SEED", "1"))
EDITS = 1_000
EVENTS = [
    f"partners_{kind}event"
    for kind in ("partner", "agreement", "rule", "wallet", "payoutaddress", "agreementtemplate")
]
OTHER_VALUES = {
    "ARRAY": "array_append({0}, '7')",
    "boolean": "NOT {0}",
    "bytea": r"{0} || '\x01'",
    "date": "coalesce({0} + 1, now()::date)",
    "jsonb": """coalesce({0}, '{{}}') || '{{"x": 1}}'""",
    "timestamp with time zone": "coalesce({0} + interval '1 us', now())",
    "tstzrange": "tstzrange(lower({0}) + interval '1 s', upper({0}))",
    "uuid": "gen_random_uuid()",
} | dict.fromkeys(("bigint", "integer", "smallint"), "coalesce({0} + 100000, 0)") | dict.fromkeys(
    ("character varying", "text"), "coalesce(left({0}, -1), '') || 'X'"
)  # fmt: skip
# Columns that rows of the history from before have by a later migration.
LATER = {
    "partners_agreementevent": [
        "aggregation", "excluded_netuids", "excluded_wallets", "hotkeys", "monthly_cap_rao", "netuids",
        "new_delegators_only", "sides", "tiers", "wallet_attribution_enabled",
    ],
    "partners_ruleevent": [
        "applies_until_block", "memo", "memo_match", "netuid", "on_restake", "on_stake", "on_unstake", "side",
    ],
    "partners_walletevent": ["ended_date"],
}  # fmt: skip


def sql(text: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall() if cursor.description else []


def forget_templates() -> None:
    """Begin without those that every installation begins with, and so without any history."""
    with without_triggers():
        for table in ("partners_seal", "partners_agreementtemplateevent", "partners_agreementtemplate"):
            sql(f"DELETE FROM {table}")


def live_a_little() -> None:
    """Changes of every kind and table: added, changed, given away, switched off."""
    olivia = make_user("operator", name="olivia")
    one, two = make_partner(), make_partner("Talisman", "talisman")
    make_agreement(one)
    wallets = services.add_wallets(
        actor=olivia,
        partner=one,
        addresses=[address(n) for n in range(1, 6)],
        introduced_date=DAY,
        reason="list",
    )
    ids = [wallet.pk for wallet in wallets]
    services.reassign_wallets(
        actor=olivia, wallet_ids=ids[:2], partner=two, introduced_date=DAY, reason="changed hands"
    )
    services.deactivate_wallets(actor=olivia, wallet_ids=ids[2:3], reason="left")
    services.set_partners_status(actor=None, partner_ids=[two.pk], status=Partner.Status.PAUSED)
    Wallet.objects.filter(pk=ids[4]).delete()
    AgreementTemplate.objects.update(new_delegators_only=True)
    adam = make_user("approver", name="adam")
    # Without reading times back: the driver reads them in one style only.
    given: dict[str, Any] = {"partner": one, "reason": "Signed"}
    PayoutAddress.objects.create(
        **given, address=address(9), origin="START", status="APPROVED", cooling_off_hours=0
    )
    PayoutAddress.objects.create(**given, address=address(10), requested_by=olivia, cooling_off_hours=72)
    change = PayoutAddress.objects.filter(status="REQUESTED")
    change.update(told_by=adam, told_how="By telephone")
    change.update(status="APPROVED", approved_by=adam)


def begin_long_ago() -> None:
    """An installation that was migrated since: its first rows were sealed without the columns that came later."""
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    MigrationExecutor(connection).migrate([("partners", "0005_sealed_history")])
    sql(
        "WITH partner AS (INSERT INTO partners_partner (name, slug, kind, status, contact_email, payout_address, notes)"
        " VALUES ('Old', 'old', 'NAMED', 'ACTIVE', '', '', '') RETURNING id),"
        " wallet AS (INSERT INTO partners_wallet (partner_id, chain, address, introduced_date, is_active, notes)"
        " SELECT id, 'BITTENSOR', '5Old', '2025-01-01', true, '' FROM partner),"
        " agreement AS (INSERT INTO partners_agreement (partner_id, effective, rate_bps, basis, minimum_payout_rao, notes)"
        " SELECT id, tstzrange('2025-01-01Z', NULL), 3300, 'TAKE', 0, '' FROM partner RETURNING id)"
        " INSERT INTO partners_rule (agreement_id, kind, priority, applies_from_block, is_active)"
        " SELECT id, 'WALLET', 1, 0, true FROM agreement"
    )
    sql(
        "UPDATE partners_rule SET applies_from_block = 7; UPDATE partners_agreement SET rate_bps = 3000;"
        " UPDATE partners_wallet SET notes = 'older'"
    )
    connection.check_constraints()
    with without_triggers():
        # As written where the database sorts names otherwise.
        sql(
            "UPDATE partners_seal SET columns = (SELECT string_agg(name, ',' ORDER BY name DESC)"
            " FROM string_to_table(columns, ',') AS name) WHERE number > 2"
        )
    MigrationExecutor(connection).migrate(newest)


def test_pa6_every_change_is_sealed_in_order_and_the_chain_is_whole() -> None:
    assert check_history().ok
    live_a_little()
    checked = check_history()
    assert checked.differences == []
    assert checked.count == Seal.objects.count() == Change.objects.count() > 10
    assert checked.head == newest_head()
    assert list(Seal.objects.values_list("number", flat=True)) == list(range(1, checked.count + 1))


def test_pa6_sessions_that_print_times_otherwise_seal_and_check_alike() -> None:
    sql("SET LOCAL timezone = 'Asia/Kolkata'")
    sql("SET LOCAL datestyle = 'German, DMY'")
    live_a_little()
    assert check_history().ok
    sql("SET LOCAL timezone = 'America/Lima'")
    assert check_history().ok


def test_pa6_columns_that_came_later_break_no_seal_and_hold_what_their_migration_put() -> None:
    begin_long_ago()
    live_a_little()
    assert check_history().differences == []
    for table, columns in LATER.items():
        [(oldest,)] = sql(f"SELECT min(pgh_id) FROM {table}")
        for column in columns:
            with transaction.atomic():
                with without_triggers():
                    value = other_value(table, column)
                    sql(f"UPDATE {table} SET {column} = {value} WHERE pgh_id = %s", oldest)
                [difference] = check_history().differences
                assert f"{column} came later and is not what its migration put there" in difference
                transaction.set_rollback(True)
    assert check_history().ok


def test_pa6_a_column_that_no_migration_brought_is_named() -> None:
    live_a_little()
    for table in ("partners_partner", "partners_partnerevent"):
        sql(f"ALTER TABLE {table} ADD COLUMN later text NOT NULL DEFAULT 'new'")
    [*differences] = check_history().differences
    assert len(differences) == 3
    assert all("later came later and is not what its migration put there" in found for found in differences)


NAMES = ["notes", "", "id", "{0},later", "{0},{0}", "{0},id", " {0}", "{0},", "zzz,{0}"]


@pytest.mark.parametrize("names", NAMES)
def test_pa6_the_columns_that_a_seal_covers_are_proved_by_it(names: str) -> None:
    live_a_little()
    number, columns = Seal.objects.filter(kind="WALLET").values_list("number", "columns")[0]
    assert "notes" in columns
    with without_triggers():
        sql("UPDATE partners_seal SET columns = %s WHERE number = %s", names.format(columns), number)
    assert not check_history().ok


@pytest.mark.parametrize("statement", ["UPDATE {} SET kind = 'X'", "DELETE FROM {}", "TRUNCATE {}"])
def test_pa6_seals_are_append_only(statement: str) -> None:
    live_a_little()
    with pytest.raises(DatabaseError, match="history is append-only"), transaction.atomic():
        sql(statement.format("partners_seal"))


@pytest.mark.parametrize("number", ["-9223372036854775808", "0", "-5", "NULL", "3"])
def test_pa6_a_forged_row_with_a_seal_beside_the_chain_is_found(number: str) -> None:
    live_a_little()
    with without_triggers():
        sql("ALTER TABLE partners_seal DROP CONSTRAINT seal_from_one")
        sql("ALTER TABLE partners_seal DROP CONSTRAINT partners_seal_pkey")
        sql("ALTER TABLE partners_seal ALTER COLUMN number DROP NOT NULL")
        columns = ", ".join(
            name
            for (name,) in sql(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'partners_walletevent'"
            )
            if name != "pgh_id"
        )
        sql(
            f"INSERT INTO partners_walletevent (pgh_id, {columns})"
            f" SELECT -5, {columns} FROM partners_walletevent ORDER BY pgh_id LIMIT 1"
        )
        sql(
            "INSERT INTO partners_seal (number, kind, event_id, columns, digest, hash)"
            f" VALUES ({number}, 'WALLET', -5, '', '', '')"
        )
    assert not check_history().ok


def test_pa6_a_view_that_shows_another_history_is_found() -> None:
    live_a_little()
    assert check_history().ok
    with transaction.atomic():
        sql("ALTER VIEW partners_change RENAME TO partners_changed")
        [difference] = check_history().differences
        assert "the view partners_change" in difference
        sql("CREATE VIEW partners_change AS SELECT * FROM partners_changed WHERE username <> 'olivia'")
        [difference] = check_history().differences
        assert "is not the one that the migrations made" in difference
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            """ALTER TABLE partners_ruleevent DROP CONSTRAINT partners_ruleevent_pkey;
            ALTER TABLE partners_ruleevent DISABLE TRIGGER USER;
            INSERT INTO partners_ruleevent SELECT * FROM partners_ruleevent LIMIT 1;
            ALTER TABLE partners_ruleevent ENABLE TRIGGER USER""",
            "the rest could not be read: more than one row",
        ),
        ("ALTER TABLE partners_walletevent DROP COLUMN pgh_label CASCADE", "the rest could not be read"),
        (
            "ALTER TABLE partners_agreement DISABLE TRIGGER ALL",
            "of public.partners_agreement is switched off",
        ),
        (
            "ALTER TABLE partners_walletevent DISABLE TRIGGER history_sealed",
            "history_sealed of public.partners_walletevent",
        ),
        (
            "ALTER TABLE partners_seal ENABLE REPLICA TRIGGER history_append_only",
            "history_append_only of public.partners_seal",
        ),
    ],
)
def test_pa6_what_keeps_the_verifier_or_the_history_from_working_is_a_difference(
    damage: str, said: str
) -> None:
    live_a_little()
    connection.check_constraints()
    assert check_history().ok
    with transaction.atomic():
        sql(damage)
        assert any(said in difference for difference in check_history().differences)
        transaction.set_rollback(True)


# --- behind the history ---------------------------------------------------------------------------------


def kind_of(table: str) -> str:
    """The kind of change that a table of the history holds."""
    return table.removeprefix("partners_").removesuffix("event").upper()


def other_value(table: str, column: str) -> str:
    """SQL of another value for a column."""
    [(type_of,)] = sql(
        "SELECT data_type FROM information_schema.columns WHERE table_name = %s AND column_name = %s",
        table,
        column,
    )
    return OTHER_VALUES[type_of].format(column)


def an_edit_of_what_came_later(chance: random.Random) -> str:
    """Another value in rows that were sealed before their column was there; at times their seals claim to cover it."""
    table = chance.choice(list(LATER))
    column = chance.choice(LATER[table])
    old = sql(
        "SELECT event_id, number FROM partners_seal WHERE kind = %s AND NOT columns ~ %s",
        kind_of(table),
        rf"\m{column}\M",
    )
    rows, seals = map(list, zip(*chance.sample(old, chance.randint(1, len(old))), strict=True))
    sql(f"UPDATE {table} SET {column} = {other_value(table, column)} WHERE pgh_id = ANY (%s)", rows)
    if chance.random() < 0.5:
        sql(
            "UPDATE partners_seal SET columns = (SELECT string_agg(name, ',' ORDER BY name COLLATE \"C\")"
            " FROM unnest(string_to_array(columns, ',') || %s::text) AS name) WHERE number = ANY (%s)",
            column,
            seals,
        )
    return f"later in {table}"


def an_edit_of_what_a_seal_covers(chance: random.Random) -> str:
    """A seal covers less, so that a column of its row can be edited; or its list of columns is just written otherwise."""
    table = chance.choice(EVENTS)
    found = sql("SELECT number, event_id, columns FROM partners_seal WHERE kind = %s", kind_of(table))
    number, row, columns = chance.choice(found)
    if chance.random() < 0.5:
        column = chance.choice([name for name in columns.split(",") if name != "pgh_id"])
        names = ",".join(name for name in columns.split(",") if name != column)
        sql(f"UPDATE {table} SET {column} = {other_value(table, column)} WHERE pgh_id = %s", row)
    else:
        names = chance.choice([*NAMES, ",".join(reversed(columns.split(",")))]).format(columns)
    sql("UPDATE partners_seal SET columns = %s WHERE number = %s", names, number)
    return f"columns of a seal of {table}"


def an_edit(chance: random.Random) -> str:
    """One change of the history by somebody who rules the database, as they would do it; gives what it was."""
    kind = chance.choice(
        ["value", "value", "value", "later", "covers", "remove", "swap", "add", "cut", "cut all", "renumber"]
    )
    if kind == "later":
        return an_edit_of_what_came_later(chance)
    if kind == "covers":
        return an_edit_of_what_a_seal_covers(chance)
    table = chance.choice([*EVENTS, "partners_seal"])
    key = "number" if table == "partners_seal" else "pgh_id"
    keys = [row[0] for row in sql(f"SELECT {key} FROM {table} ORDER BY {key}")]
    row = chance.choice(keys)
    if kind == "value":
        [column] = chance.choice(
            sql("SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY 1", table)
        )
        value = other_value(table, column)
        changed = f"{value} IS DISTINCT FROM {column}"
        if not sql(f"UPDATE {table} SET {column} = {value} WHERE {key} = %s AND {changed} RETURNING 1", row):
            # What is empty, or was so before.
            sql("UPDATE partners_partnerevent SET notes = notes || 'edited'")
        return f"value of {table}"
    if kind == "remove":
        sql(f"DELETE FROM {table} WHERE {key} = %s", row)
    elif kind == "swap":
        # Two rows of one table change places, or a row and its neighbour in the chain.
        other = chance.choice([one for one in keys if one != row])
        for old, new in ((row, 10**9), (other, row), (10**9, other)):
            sql(f"UPDATE {table} SET {key} = %s WHERE {key} = %s", new, old)
    elif kind == "add":
        made = sql(
            "INSERT INTO partners_walletevent (pgh_created_at, pgh_label, pgh_obj_id, id, partner_id, chain, address,"
            " introduced_date, is_active, notes) SELECT pgh_created_at, 'update', pgh_obj_id, id, partner_id, chain,"
            " address, introduced_date, NOT is_active, notes FROM partners_walletevent ORDER BY pgh_id LIMIT 1 RETURNING 1"
        )
        assert made
    elif kind == "cut":
        sql(f"DELETE FROM {table} WHERE {key} >= %s", row)
    elif kind == "cut all":
        # Seals and rows from some time on, so that the chain itself is whole.
        number = chance.randint(2, Seal.objects.count())
        for each in EVENTS:
            sql(
                f"DELETE FROM {each} WHERE pgh_id IN (SELECT event_id FROM partners_seal WHERE kind = %s AND number >= %s)",
                kind_of(each),
                number,
            )
        sql("DELETE FROM partners_seal WHERE number >= %s", number)
    else:
        sql("UPDATE partners_seal SET number = number + 1000 WHERE number >= %s", chance.randint(1, 5))
    return kind if kind in ("add", "cut all", "renumber") else f"{kind} in {table}"


def test_pa6_a_thousand_random_edits_by_a_superuser_are_all_found() -> None:
    begin_long_ago()
    live_a_little()
    make_agreement(make_partner("Third", "third"))
    found: Counter[str] = Counter()
    for number in range(EDITS):
        chance = random.Random(SEED * 100_000 + number)
        with transaction.atomic():
            with without_triggers():
                edit = an_edit(chance)
            assert not check_history().ok, f"edit {number} was not found: {edit}"
            found[edit] += 1
            transaction.set_rollback(True)
    assert check_history().ok
    assert len(found) > 20
    print(dict(found))


def test_pa6_whoever_takes_back_the_rows_as_well_is_found_by_a_head_that_was_noted() -> None:
    live_a_little()
    noted = newest_head()
    assert noted is not None
    with without_triggers():
        for table in (
            *EVENTS,
            "partners_seal",
            "partners_rule",
            "partners_wallet",
            "partners_payoutaddress",
            "partners_agreement",
            "partners_partner",
            "partners_agreementtemplate",
        ):
            sql(f"DELETE FROM {table}")
    assert check_history().ok, "an installation in which nothing ever happened"
    [difference] = check_history([noted]).differences
    assert f"seal {noted.number} was noted" in difference
    assert "its end was cut off" in difference


def test_pa6_a_chain_made_anew_is_found_by_a_head_that_was_noted() -> None:
    live_a_little()
    noted = newest_head()
    assert noted is not None
    assert check_history([noted, Head(1, bytes(Seal.objects.get(number=1).hash))]).ok
    with without_triggers():
        sql("UPDATE partners_walletevent SET notes = 'forged'")
        sql("UPDATE partners_wallet w SET notes = 'forged'")
        sql("DELETE FROM partners_seal")
        for table in EVENTS:
            sql(
                f"SELECT partners_seal('{kind_of(table)}', e.pgh_id, to_jsonb(e)) FROM {table} e ORDER BY e.pgh_id"
            )
    assert check_history().ok
    assert not check_history([noted]).ok


# --- the command ----------------------------------------------------------------------------------------


def check(*args: str) -> str:
    out = StringIO()
    call_command("check_history", *args, stdout=out, stderr=out)
    return out.getvalue()


def test_pa6_the_command_prints_a_head_takes_it_back_and_names_what_was_changed() -> None:
    forget_templates()
    assert "no history to check" in check()
    live_a_little()
    said = check()
    head = str(newest_head())
    assert f"The history is whole: {Seal.objects.count()} changes, head {head}" in said
    assert "whole" in check("--head", head)
    with without_triggers():
        sql(
            "UPDATE partners_walletevent SET notes = 'edited' WHERE pgh_id = (SELECT min(pgh_id) FROM partners_walletevent)"
        )
    out = StringIO()
    with pytest.raises(CommandError, match="differences in"):
        call_command("check_history", stderr=out)
    assert "its row was changed after it was written" in out.getvalue()


@pytest.mark.parametrize("text", ["", "12", "12:zz", "-1:" + "a" * 64, "1:" + "A" * 64, "1:" + "a" * 63])
def test_pa6_what_is_no_head_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadHead, match="give number and hash"):
        Head.parse(text)
    with pytest.raises(CommandError, match="give number and hash"):
        check(f"--head={text}")


# --- by night, and on the page ----------------------------------------------------------------------------


def test_pa6_the_nightly_check_gives_the_head_and_fails_where_something_was_changed(
    settings: Any, tmp_path: Path
) -> None:
    settings.RAKEBACK_HISTORY_HEADS = tmp_path / "history_heads"
    forget_templates()
    assert check_by_night() == ""
    live_a_little()
    assert check_by_night() == str(newest_head())
    with without_triggers():
        sql("DELETE FROM partners_ruleevent")
    with pytest.raises(HistoryDiffers, match="its row is gone from the history"):
        check_by_night()


def test_pa6_the_list_of_changes_shows_the_head_to_be_noted() -> None:
    client = Client()
    client.force_login(make_user("viewer", name="vera"))
    url = reverse("admin:partners_change_changelist")
    forget_templates()
    assert b"chain of hashes" not in client.get(url).content
    live_a_little()
    page = client.get(url).content.decode()
    assert f"Sealed, {Seal.objects.count()} changes in a chain of hashes" in page
    assert str(newest_head()) in page
