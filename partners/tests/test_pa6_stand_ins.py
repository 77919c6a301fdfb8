"""Who rules the database and puts something else in the place of the history, or of what reads it, is found (PA6)."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.db import connection

from partners import services
from partners.models import Change, Wallet
from partners.sealing import check_history, newest_head
from partners.tests.factories import make_agreement, make_partner, make_wallet
from tests.guards import sql, tamper

pytestmark = pytest.mark.django_db

TRUE = "true reason"
FORGED = "forged reason"
TABLES = [
    f"partners_{kind}{part}"
    for kind in ("partner", "agreement", "rule", "wallet", "payoutaddress", "agreementtemplate")
    for part in ("", "event")
]
# How the verifier could be told from a page, by what it sets.
BY_VERIFIER = "current_setting('DateStyle') LIKE '%YMD%'"


@pytest.fixture(autouse=True)
def wallet() -> Wallet:
    """A wallet that was switched off for the true reason and on again."""
    partner = make_partner()
    make_partner("Other", "other")
    make_agreement(partner)
    wallet = make_wallet(partner, 1)
    services.deactivate_wallets(actor=None, wallet_ids=[wallet.pk], reason=TRUE)
    services.reactivate_wallets(actor=None, wallet_ids=[wallet.pk], reason="back")
    assert differences() == []
    return wallet


def differences() -> list[str]:
    """What the check finds, who knows the true end of the history."""
    head = newest_head()
    return check_history([head] if head else []).differences


def shown() -> list[str]:
    """The reasons that pages show."""
    return list(Change.objects.filter(kind="WALLET").order_by("event_id").values_list("reason", flat=True))


def make_view_anew() -> None:
    """Make the view as the migrations do, with whatever stands in the place of what it names."""
    sql(import_module("partners.migrations.0022_changes_in_order").VIEW)


def overload_to_jsonb(special: str, instead: str) -> None:
    """For the rows of one table give something else where there is something, for all others what PostgreSQL gives."""
    for taken in [*TABLES, "record"]:
        given = (
            f"coalesce({instead}, pg_catalog.to_jsonb(e))" if taken == special else "pg_catalog.to_jsonb(e)"
        )
        sql(
            f"CREATE FUNCTION public.to_jsonb(e {taken}) RETURNS jsonb LANGUAGE plpgsql STABLE"
            f" AS $$ BEGIN RETURN {given}; END $$"
        )


@pytest.mark.parametrize("makes_view_anew", [False, True])
def test_pa6_a_function_that_shows_the_verifier_what_a_row_was_is_found(makes_view_anew: bool) -> None:
    sql("CREATE TABLE kept AS SELECT pgh_id, to_jsonb(e) AS row FROM partners_walletevent e")
    tamper(
        "UPDATE partners_walletevent SET pgh_context = jsonb_set(pgh_context, '{reason}', %s::jsonb)"
        " WHERE pgh_context ->> 'reason' = %s",
        f'"{FORGED}"',
        TRUE,
    )
    overload_to_jsonb(
        "partners_walletevent", f"(SELECT row FROM kept WHERE kept.pgh_id = e.pgh_id AND {BY_VERIFIER})"
    )
    if makes_view_anew:
        make_view_anew()
    assert FORGED in shown()
    found = differences()
    assert any("its row was changed after it was written" in one for one in found)
    assert any(
        "the function public.to_jsonb(public.partners_walletevent) is not PostgreSQL's" in one
        for one in found
    )
    assert any("the view partners_change" in one for one in found) == makes_view_anew


def test_pa6_a_function_that_shows_the_verifier_what_a_wallet_was_is_found() -> None:
    sql("CREATE TABLE kept AS SELECT id, to_jsonb(t) AS row FROM partners_wallet t")
    tamper("UPDATE partners_wallet SET partner_id = (SELECT id FROM partners_partner WHERE slug = 'other')")
    overload_to_jsonb("partners_wallet", "(SELECT row FROM kept WHERE kept.id = e.id)")
    make_view_anew()
    found = differences()
    assert any("is not as its newest change" in one for one in found)
    assert any(
        "the function public.to_jsonb(public.partners_wallet) is not PostgreSQL's" in one for one in found
    )


def test_pa6_an_operator_that_is_looked_for_first_is_found() -> None:
    tamper("UPDATE partners_wallet SET partner_id = (SELECT id FROM partners_partner WHERE slug = 'other')")
    sql("CREATE FUNCTION public.ne(jsonb, jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'")
    sql("CREATE OPERATOR public.<> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = public.ne)")
    sql("SET search_path = public, pg_catalog")
    try:
        found = differences()
    finally:
        sql("RESET search_path")
    assert any("is not as its newest change" in one for one in found)
    assert "the operator public.<>(jsonb,jsonb) is not PostgreSQL's own" in "".join(found)


def test_pa6_a_schema_of_the_roles_name_deceives_no_page_and_is_found() -> None:
    [(role,)] = sql("SELECT current_user::text")
    for schema in (role, "elsewhere"):
        sql(f'CREATE SCHEMA "{schema}"')
        sql(
            f'CREATE VIEW "{schema}".partners_change AS SELECT * FROM public.partners_change WHERE reason <> %s',
            TRUE,
        )
        sql(f'CREATE TABLE "{schema}".partners_wallet (LIKE public.partners_wallet)')
    assert shown() == ["", TRUE, "back"]
    assert Wallet.objects.exists()
    assert differences() == [
        f"{kind} named {schema}.{name} may be read in the place of public.{name}"
        for schema in ("elsewhere", role)
        for name, kind in (("partners_change", "a view"), ("partners_wallet", "a table"))
    ]


def test_pa6_a_view_in_the_place_of_a_table_is_found() -> None:
    sql("ALTER TABLE partners_walletevent RENAME TO kept")
    sql(
        f"CREATE VIEW partners_walletevent AS SELECT * FROM kept WHERE {BY_VERIFIER}"
        f" OR pgh_context ->> 'reason' IS DISTINCT FROM '{TRUE}'"
    )
    make_view_anew()
    assert differences() == ["the table public.partners_walletevent is a view"]


CAST = (
    "CREATE FUNCTION public.told(jsonb) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN jsonb_pretty($1); END';"
    "CREATE CAST (jsonb AS text) WITH FUNCTION public.told(jsonb)"
)
OTHERS = {
    "ALTER TABLE partners_walletevent ENABLE ROW LEVEL SECURITY": "walletevent has row security",
    "CREATE RULE quiet AS ON INSERT TO partners_wallet DO INSTEAD NOTHING": "wallet has a rule",
    "CREATE TABLE other () INHERITS (partners_seal)": "seal shares its rows with another table",
    "ALTER TABLE partners_partnerevent SET UNLOGGED": "partnerevent is not kept when the database stops",
    "ALTER TABLE partners_ruleevent ADD told text GENERATED ALWAYS AS ('x') STORED": "ruleevent has the column told",
    "CREATE DOMAIN told AS text; ALTER TABLE partners_rule ALTER COLUMN kind TYPE told": "rule has the column kind",
    "ALTER TABLE partners_seal RENAME TO other": "the table public.partners_seal is gone",
    "DO $$ BEGIN EXECUTE 'CREATE MATERIALIZED VIEW told AS ' || pg_get_viewdef('partners_change'::regclass);"
    " DROP VIEW partners_change; ALTER MATERIALIZED VIEW told RENAME TO partners_change; END $$":
    "the view public.partners_change is a materialized view",
    CAST: "the cast (jsonb AS text) is not PostgreSQL's own",
    "CREATE FUNCTION pg_catalog.to_jsonb(e public.partners_wallet) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'":
    "the function to_jsonb(public.partners_wallet) is not PostgreSQL's own",
    "CREATE FUNCTION upper(varchar) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';"
    "ALTER EXTENSION btree_gist ADD FUNCTION upper(varchar)":
    "the function public.upper(character varying) is not PostgreSQL's own",
    "CREATE FUNCTION same(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
    "CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = same);"
    "ALTER EXTENSION btree_gist ADD OPERATOR = (varchar, varchar)":
    "the operator public.=(character varying,character varying) is not PostgreSQL's own",
    f"{CAST}; ALTER EXTENSION btree_gist ADD CAST (jsonb AS text)": "the cast (jsonb AS text) is not PostgreSQL's own",
}  # fmt: skip


@pytest.mark.parametrize("statement", OTHERS)
def test_pa6_anything_else_in_the_place_of_what_is_read_is_found(statement: str) -> None:
    connection.check_constraints()
    if "ALTER COLUMN" in statement:
        sql("DROP VIEW partners_change")
    sql(statement)
    assert OTHERS[statement] in "; ".join(check_history().differences)


def test_pa6_what_extensions_bring_is_no_difference() -> None:
    for extension in ("citext", "hstore", "pg_trgm", "btree_gin"):
        sql(f"CREATE EXTENSION {extension}")
    assert differences() == []


def test_pa6_the_check_leaves_the_settings_of_the_session() -> None:
    sql("SET LOCAL datestyle = 'German, DMY'")
    sql("SET LOCAL timezone = 'Asia/Kolkata'")
    names = ("search_path", "DateStyle", "TimeZone")
    before = [sql(f"SHOW {name}") for name in names]
    assert differences() == []
    assert [sql(f"SHOW {name}") for name in names] == before


def test_pa6_connections_look_into_the_schema_public_alone() -> None:
    assert sql("SHOW search_path") == [("public,pg_temp",)]
