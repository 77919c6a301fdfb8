"""The chain of seals over the history: whole after any change made through it, and broken by any made behind it (PA6)."""

from __future__ import annotations

import os
import random
from collections import Counter
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from partners import services
from partners.models import Change, Partner, PayoutAddress, Seal, Wallet
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
EVENTS = [f"partners_{kind}event" for kind in ("partner", "agreement", "rule", "wallet", "payoutaddress")]
OTHER_VALUES = {
    "ARRAY": "array_append({0}, '7')",
    "boolean": "NOT {0}",
    "bytea": r"{0} || '\x01'",
    "date": "{0} + 1",
    "jsonb": """coalesce({0}, '{{}}') || '{{"x": 1}}'""",
    "timestamp with time zone": "{0} + interval '1 us'",
    "tstzrange": "tstzrange(lower({0}) + interval '1 s', upper({0}))",
    "uuid": "gen_random_uuid()",
} | dict.fromkeys(("bigint", "integer", "smallint"), "{0} + 100000") | dict.fromkeys(
    ("character varying", "text"), "left({0}, -1) || 'X'"
)  # fmt: skip


def sql(text: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text, values or None)
        return cursor.fetchall() if cursor.description else []


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


def test_pa6_every_change_is_sealed_in_order_and_the_chain_is_whole() -> None:
    assert (check_history().ok, newest_head()) == (True, None)
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


def test_pa6_a_column_that_comes_later_breaks_no_seal() -> None:
    live_a_little()
    for table in ("partners_partner", "partners_partnerevent"):
        sql(f"ALTER TABLE {table} ADD COLUMN later text NOT NULL DEFAULT 'new'")
    assert check_history().ok


@pytest.mark.parametrize("statement", ["UPDATE {} SET kind = 'X'", "DELETE FROM {}", "TRUNCATE {}"])
def test_pa6_seals_are_append_only(statement: str) -> None:
    live_a_little()
    with pytest.raises(DatabaseError, match="history is append-only"), transaction.atomic():
        sql(statement.format("partners_seal"))


# --- behind the history ---------------------------------------------------------------------------------


def an_edit(chance: random.Random) -> str:
    """One change of the history by somebody who rules the database, as they would do it; gives what it was."""
    kind = chance.choice(["value", "value", "value", "remove", "swap", "add", "cut", "cut all", "renumber"])
    table = chance.choice([*EVENTS, "partners_seal"])
    key = "number" if table == "partners_seal" else "pgh_id"
    keys = [row[0] for row in sql(f"SELECT {key} FROM {table} ORDER BY {key}")]
    row = chance.choice(keys)
    if kind == "value":
        columns = sql(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY 1",
            table,
        )
        column, type_of = chance.choice(columns)
        value = OTHER_VALUES[type_of].format(column)
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
            what = each.removeprefix("partners_").removesuffix("event").upper()
            sql(
                f"DELETE FROM {each} WHERE pgh_id IN (SELECT event_id FROM partners_seal WHERE kind = %s AND number >= %s)",
                what,
                number,
            )
        sql("DELETE FROM partners_seal WHERE number >= %s", number)
    else:
        sql("UPDATE partners_seal SET number = number + 1000 WHERE number >= %s", chance.randint(1, 5))
    return kind if kind in ("add", "cut all", "renumber") else f"{kind} in {table}"


def test_pa6_a_thousand_random_edits_by_a_superuser_are_all_found() -> None:
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
    assert len(found) > 12
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
            kind = table.removeprefix("partners_").removesuffix("event").upper()
            sql(f"SELECT partners_seal('{kind}', e.pgh_id, to_jsonb(e)) FROM {table} e ORDER BY e.pgh_id")
    assert check_history().ok
    assert not check_history([noted]).ok


# --- the command ----------------------------------------------------------------------------------------


def check(*args: str) -> str:
    out = StringIO()
    call_command("check_history", *args, stdout=out, stderr=out)
    return out.getvalue()


def test_pa6_the_command_prints_a_head_takes_it_back_and_names_what_was_changed() -> None:
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


def test_pa6_the_nightly_check_gives_the_head_and_fails_where_something_was_changed() -> None:
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
    assert b"chain of hashes" not in client.get(url).content
    live_a_little()
    page = client.get(url).content.decode()
    assert f"Sealed, {Seal.objects.count()} changes in a chain of hashes" in page
    assert str(newest_head()) in page
