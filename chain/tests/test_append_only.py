"""No fact of the chain is edited, whoever asks: raw SQL against every table and every column of this app.

A table that `MAY_CHANGE` does not name must refuse every change, so one that is added later needs its triggers at once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.backends.postgresql.psycopg_any import NumericRange

from chain.facts import BlockFacts, ShareFact
from chain.fiat.models import ConversionPrice, FiatPrice, PriceFetch
from chain.gaps.services import finish_run
from chain.models import (
    Block,
    FollowedHotkey,
    Hotkey,
    ImportRun,
    IngestRun,
    Network,
    Position,
    Runtime,
    StakerReward,
)
from chain.payloads import keep_payload
from chain.pools.shares import Share
from chain.runtimes.eras import ERA_BY_NAME
from chain.runtimes.services import CannotAdmit, assume_runtime
from chain.storing import store_baseline, store_shares
from chain.tests.factories import (
    HOTKEY,
    OWNER,
    START,
    key,
    make_backfill,
    make_blocks,
    make_conversion,
    make_endpoint,
    make_gap,
    make_position,
    make_price,
    make_remark,
    make_run,
    make_stake,
    make_tag,
    make_yield,
)
from tests.guards import broken_rule, refused, sql, tamper, without_triggers

pytestmark = pytest.mark.django_db

TABLES = sorted(model._meta.db_table for model in apps.get_app_config("chain").get_models())

# What the product itself changes in a row that is there, by table.
MAY_CHANGE: dict[str, set[str]] = {
    "chain_backfill": {"state", "error", "run_id", "runs_on", "seen_at", "finished_at"},
    "chain_backfillchunk": {
        *("state", "attempts", "blocks_read", "claim", "worker", "lease_until", "not_before"),
        *("payload", "stored_at", "error", "gap_kind"),
    },
    "chain_endpoint": {
        *("position", "condition", "failures", "last_ok_at", "last_error_at", "last_error"),
        *("latency_ms", "head_block", "head_since"),
    },
    "chain_followedhotkey": {"blocks"},
    "chain_gap": {
        *("state", "resolved_at", "resolved_by_id"),
        *("accepted_at", "accepted_by_id", "accepted_reason"),
    },
    "chain_hotkey": {"label"},
    "chain_ingestrun": {"last_block", "blocks_done", "status", "error", "finished_at"},
    "chain_position": {"blocks"},
    "chain_runtime": {
        *("metadata", "metadata_sha256", "era", "admitted_at", "admitted_by", "evidence", "assumed"),
    },
}
# The rule that a table's triggers name; of the others it is append_only.
RULES = {
    "chain_backfill": "backfill_as_asked",
    "chain_backfillchunk": "backfill_chunk_as_cut",
    "chain_endpoint": "endpoint_keeps_name",
    "chain_followedhotkey": "followed_hotkey_ends_once",
    "chain_gap": "gap_ends_once",
    "chain_hotkey": "hotkey_keeps_all_but_label",
    "chain_ingestrun": "ingest_run_ends_once",
    "chain_position": "position_ends_once",
    "chain_runtime": "runtime_stays_as_read",
}
# Another value of a column, by its type.
OTHER_VALUES = {
    "ARRAY": "array['x']",
    "boolean": "NOT {0}",
    "bytea": r"'\xfeed'",
    "character varying": "'x'",
    "int8range": "'[70,80)'",
    "jsonb": "'{{\"x\": 1}}'",
    "text": "'x'",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 s'",
    "uuid": "gen_random_uuid()",
    "xid8": "'9'",
} | dict.fromkeys(("bigint", "integer", "numeric", "smallint"), "coalesce({0}, 0) + 1")


def rule_of(table: str) -> str:
    return RULES.get(table, "append_only")


@pytest.fixture
def filled() -> None:
    """One row at least in every table of the app."""
    Network.objects.create(id=1, name="Play", genesis_hash="0x" + "ab" * 32)
    make_blocks(1, 2)
    earned = make_yield(1)
    sold = make_conversion(1)
    make_price(1)
    make_tag(make_remark(1, 5), make_stake(1, 6))
    make_position(OWNER)
    keep_payload(b"events")
    ours = Hotkey.objects.create(address=HOTKEY, first_block=1)
    FollowedHotkey.objects.create(hotkey=ours, blocks=NumericRange(0, None))
    make_gap(10, 15)
    make_endpoint(1)
    make_backfill(1, 5, "RUNNING")
    quote = FiatPrice.objects.create(
        source="s", base="TAO", quote="USD", price=300, at=START, fetched_at=START, payload_sha256="ab" * 32
    )
    ConversionPrice.objects.create(conversion=sold, price=quote, attached_at=START)
    PriceFetch.objects.create(
        source="s", base="TAO", quote="USD", first_at=START, last_at=START, fetched_at=START
    )
    with without_triggers():
        # An installation holds one chain, so rows of a file are beside rows of a node in this test only.
        ImportRun.objects.create(
            file_name="f",
            sha256="ab" * 32,
            row_count=1,
            reward_count=1,
            stake_event_count=0,
            imported_at=START,
        )
        StakerReward.objects.create(source=earned, coldkey=OWNER, amount_rao=1, dividend_rao=1, import_row=1)


def contents(table: str) -> list[tuple[object, ...]]:
    return sql(f"SELECT * FROM {table} ORDER BY 1")


def columns_of(table: str) -> list[tuple[str, str]]:
    """Names and types of a table's columns."""
    found = sql(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s",
        table,
    )
    return [(str(name), str(kind)) for name, kind in found]


# --- every table ----------------------------------------------------------------------------------------


def test_every_table_of_the_app_is_tried() -> None:
    found = sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'chain\\_%'")
    assert sorted(str(name) for (name,) in found) == TABLES
    assert set(TABLES) >= set(MAY_CHANGE) == set(RULES)


@pytest.mark.parametrize("table", TABLES)
def test_no_column_is_updated_but_those_that_may_change(filled: None, table: str) -> None:
    before = contents(table)
    assert before
    frozen = {name: kind for name, kind in columns_of(table) if name not in MAY_CHANGE.get(table, set())}
    assert frozen
    for column, kind in frozen.items():
        with refused(rule_of(table)):
            sql(f"UPDATE {table} SET {column} = {OTHER_VALUES[kind].format(column)}")
    assert contents(table) == before


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("removal", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_no_row_is_removed(filled: None, table: str, removal: str) -> None:
    connection.check_constraints()
    before = contents(table)
    with refused(rule_of(table)):
        sql(removal.format(table))
    assert contents(table) == before


@pytest.mark.parametrize("table", TABLES)
def test_no_table_is_emptied_without_what_points_to_it(filled: None, table: str) -> None:
    connection.check_constraints()
    before = contents(table)
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        sql(f"TRUNCATE {table}")
    assert broken_rule(caught.value) == rule_of(table) or "referenced in a foreign key" in str(caught.value)
    assert contents(table) == before


@pytest.mark.parametrize("table", sorted(set(TABLES) - set(MAY_CHANGE)))
def test_an_update_that_changes_nothing_is_refused_too(filled: None, table: str) -> None:
    column = columns_of(table)[0][0]
    with refused("append_only"):
        sql(f"UPDATE {table} SET {column} = {column}")


@pytest.mark.parametrize("table", ["chain_block", "chain_hotkey", "chain_position"])
def test_an_upsert_changes_no_row_that_is_there(filled: None, table: str) -> None:
    name = "number" if table == "chain_block" else "id"
    with refused(rule_of(table)):
        sql(
            f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ({name}) DO UPDATE SET {name} = {table}.{name} + 90"
        )
    sql(f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT DO NOTHING")


def test_a_refusal_says_what_to_do_instead(filled: None) -> None:
    for statement, said in {
        "DELETE FROM chain_block": "another RAKEBACK_HOME or database",
        "UPDATE chain_network SET name = 'x'": "another RAKEBACK_HOME or database",
        "UPDATE chain_position SET share = 1": "a new row",
        "UPDATE chain_hotkey SET address = 'x'": "only its label",
        "TRUNCATE chain_ingestrun CASCADE": "a new run",
    }.items():
        connection.check_constraints()
        with pytest.raises(DatabaseError, match=said), transaction.atomic():
            sql(statement)


# --- positions and followed keys ------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["chain_position", "chain_followedhotkey"])
def test_a_range_ends_once_and_nothing_else_changes_with_it(filled: None, table: str) -> None:
    other = "share = share + 1" if table == "chain_position" else "netuid = 3"
    rule = RULES[table]
    first = sql(f"SELECT lower(blocks) FROM {table}")[0][0]
    for change in (
        "blocks = blocks",
        "blocks = 'empty'",
        f"blocks = int8range({first}, {first})",
        f"blocks = int8range({first} + 1, NULL)",
        f"blocks = int8range({first} + 1, 50)",
        "blocks = int8range(NULL, 50)",
        "blocks = '(,)'",
        f"blocks = int8range({first}, 50), {other}",
        f"blocks = int8range({first}, 50), id = id + 1",
    ):
        with refused(rule):
            sql(f"UPDATE {table} SET {change}")
    sql(f"UPDATE {table} SET blocks = int8range(lower(blocks), 50)")
    ended = contents(table)
    assert sql(f"SELECT upper(blocks) FROM {table}") == [(50,)]
    for again in ("int8range(lower(blocks), NULL)", "int8range(lower(blocks), 49)", "blocks", "'empty'"):
        with refused(rule):
            sql(f"UPDATE {table} SET blocks = {again}")
    with refused(rule):
        sql(f"DELETE FROM {table}")
    assert contents(table) == ended


def changed(number: int, *bits: int) -> BlockFacts:
    """A block in which coldkeys a, b, … hold these shares, 0 for none."""
    shares = [ShareFact(HOTKEY, 2, key("abc"[n]), Share(one, None)) for n, one in enumerate(bits)]
    return BlockFacts(
        number=number, hash=f"0x{number}", parent_hash="", timestamp_ms=0, spec_version=293, shares=shares
    )


def spans() -> list[tuple[str, int | None, int | None]]:
    rows = Position.objects.order_by("coldkey", "blocks")
    return [(row.coldkey, row.blocks.lower, row.blocks.upper) for row in rows]


def test_storing_ends_positions_and_begins_them_anew() -> None:
    a, b = key("a"), key("b")
    store_baseline(
        1,
        [ShareFact(HOTKEY, 2, a, Share(5, None)), ShareFact(HOTKEY, 2, b, Share(7, None))],
        known_until=None,
    )
    store_shares([changed(2, 6), changed(3, 0, 8)])
    assert spans() == [(a, 1, 2), (a, 2, 3), (b, 1, 3), (b, 3, None)]
    # The first block after can change a position that the block before began.
    store_shares([changed(4, 1, 9)])
    store_baseline(9, [ShareFact(HOTKEY, 2, a, Share(2, None))], known_until=4)
    assert spans() == [(a, 1, 2), (a, 2, 3), (a, 4, 5), (a, 9, None), (b, 1, 3), (b, 3, 4), (b, 4, 5)]


def test_a_hotkey_can_be_labelled_and_nothing_more(filled: None) -> None:
    hotkey = Hotkey.objects.get()
    hotkey.label = "RT21"
    hotkey.save()
    assert Hotkey.objects.get().label == "RT21"
    hotkey.first_block = 7
    with refused("hotkey_keeps_all_but_label"):
        hotkey.save()


# --- runtimes -------------------------------------------------------------------------------------------


def assume(metadata: bytes, *, era: str = "423+", actor: str = "bob") -> Runtime:
    return assume_runtime(
        spec_version=999,
        metadata_hex="0x" + metadata.hex(),
        era=ERA_BY_NAME[era],
        first_block=30,
        actor=actor,
        now=START,
    )


def test_a_runtime_is_read_otherwise_only_before_its_first_block() -> None:
    assume(b"one", era="261–333")
    row = assume(b"two")
    assert (row.metadata_sha256, row.era) == (Runtime.objects.get().metadata_sha256, "423+")
    make_blocks(1, 1)
    tamper("UPDATE chain_block SET runtime_id = 999")
    for change in (
        "metadata = 'x'",
        "metadata_sha256 = 'x'",
        "era = '261–333'",
        "spec_version = 998",
        "first_block = 1",
        "admitted_at = NULL, admitted_by = '', assumed = false",
    ):
        with refused("runtime_stays_as_read"):
            sql(f"UPDATE chain_runtime SET {change} WHERE spec_version = 999")
    with refused("runtime_stays_as_read"):
        sql("DELETE FROM chain_runtime WHERE spec_version = 999")
    again = assume(b"two", actor="ann")
    assert (again.admitted_by, bytes(again.metadata)) == ("ann", bytes(row.metadata))
    sql("UPDATE chain_runtime SET assumed = false, evidence = '{\"blocks\": 9}' WHERE spec_version = 999")
    with refused("runtime_stays_as_read"):
        sql("UPDATE chain_runtime SET assumed = true, evidence = '{}' WHERE spec_version = 999")
    with pytest.raises(CannotAdmit):
        assume(b"two")


def test_an_admission_is_not_taken_back_before_its_first_block_either() -> None:
    assume(b"one")
    with refused("runtime_stays_as_read"):
        sql("UPDATE chain_runtime SET admitted_at = NULL, admitted_by = '', assumed = false")


def test_the_era_of_a_runtime_stored_without_one_can_be_told() -> None:
    make_blocks(1, 1)
    assert Runtime.objects.get().era == ""
    sql("UPDATE chain_runtime SET era = '261–333'")
    with refused("runtime_stays_as_read"):
        sql("UPDATE chain_runtime SET era = ''")


def test_a_temporary_table_does_not_hide_the_blocks_of_a_runtime() -> None:
    make_blocks(1, 1)
    with refused("runtime_stays_as_read"):
        sql("CREATE TEMP TABLE chain_block (LIKE public.chain_block)")
        sql("UPDATE public.chain_runtime SET metadata = 'x'")


# --- work -----------------------------------------------------------------------------------------------


def test_a_run_tells_how_far_it_came_until_it_ended() -> None:
    run = make_run("RUNNING")
    IngestRun.objects.filter(pk=run.pk).update(blocks_done=60)
    run.last_block = 60
    run.save(update_fields=["last_block"])
    finish_run(run, "the node went away", now=START)
    ended = IngestRun.objects.values().get()
    assert (ended["status"], ended["blocks_done"], ended["last_block"]) == ("FAILED", 60, 60)
    for change in (
        "status = 'RUNNING', finished_at = NULL",
        "error = ''",
        "blocks_done = 0",
        "last_block = 1",
    ):
        with refused("ingest_run_ends_once"):
            sql(f"UPDATE chain_ingestrun SET {change}")
    # What ends it a second time, as an interrupt after its end does, leaves it as it ended.
    finish_run(run, None, now=START + timedelta(hours=1))
    assert IngestRun.objects.values().get() == ended


@pytest.mark.parametrize("state", ["DONE", "CANCELLED"])
def test_a_backfill_that_ended_stays_so(state: str) -> None:
    backfill = make_backfill(1, 5, "RUNNING")
    type(backfill).objects.update(state="STOPPED", error="why")
    type(backfill).objects.update(state="RUNNING", error="", run=make_run(), runs_on="LOCAL", seen_at=START)
    type(backfill).objects.update(state=state, finished_at=START)
    for change in (
        "state = 'RUNNING', finished_at = NULL",
        "error = 'x'",
        "runs_on = 'WORKERS'",
        "run_id = run_id - 1",
    ):
        with refused("backfill_as_asked"):
            sql(f"UPDATE chain_backfill SET {change}")
    # A worker that has not noticed yet still says that it lives.
    type(backfill).objects.update(seen_at=START + timedelta(seconds=1))


@pytest.mark.parametrize("end", ["state = 'STORED', stored_at = now()", "state = 'CANCELLED'"])
def test_a_chunk_that_ended_stays_so(end: str) -> None:
    make_backfill(1, 5, "RUNNING")
    for change in (
        "state = 'READING', claim = gen_random_uuid(), lease_until = now(), worker = 'w'",
        "lease_until = now(), blocks_read = 3",
        "state = 'READY', claim = NULL, lease_until = NULL, payload = 'x'",
        f"payload = NULL, {end}",
    ):
        sql(f"UPDATE chain_backfillchunk SET {change}")
    for change in ("state = 'WAITING', stored_at = NULL", "attempts = 0", "error = 'x'"):
        with refused("backfill_chunk_as_cut"):
            sql(f"UPDATE chain_backfillchunk SET {change}")


def test_health_of_a_node_changes_all_the_time() -> None:
    node: Any = make_endpoint(1)
    node.condition, node.failures, node.last_error, node.position = "FAILING", 3, "no answer", None
    node.save()
    assert type(node).objects.values_list("condition", "failures", "position").get() == ("FAILING", 3, None)


def test_a_block_is_stored_by_an_insert_alone() -> None:
    make_blocks(1, 1)
    block = Block.objects.get()
    block.provider = "wss://other.example"
    with refused("append_only"):
        block.save()
    with refused("append_only"):
        Block.objects.all()._raw_delete("default")
