"""Importing files into the facts: what is new, stored or contradicted, and what the database refuses (CH8)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DatabaseError, IntegrityError, connection, transaction

from chain.families import Family
from chain.imports.files import FileRefused
from chain.imports.preview import Preview, preview_file
from chain.imports.services import CannotPin, ImportRefused, NotAllowed, import_file, pin_network
from chain.models import (
    Asset,
    Block,
    Hotkey,
    ImportRun,
    Network,
    Runtime,
    StakeEvent,
    StakerReward,
    Yield,
)
from chain.queries import facts_sha256
from chain.tests.factories import make_blocks, make_yield
from chain.tests.imports import (
    ANN,
    BOB,
    CEM,
    EPOCH_700,
    EPOCH_701,
    FIRST,
    GENESIS,
    NOW,
    VOTE,
    as_csv,
    as_json,
    event,
    key,
    pin_solana,
    reward,
    slot_cells,
)
from tests.guards import without_triggers

pytestmark = pytest.mark.django_db


@pytest.fixture
def solana(db: None) -> Network:
    return pin_solana()


def preview(content: bytes, now: datetime = NOW) -> Preview:
    return preview_file(content=content, file_name="file.csv", now=now)


def load(content: bytes, actor: User | None = None, **options: Any) -> ImportRun | None:
    return import_file(
        content=content, file_name="file.csv", actor=actor, now=NOW, review=lambda found: found, **options
    )


def said(content: bytes) -> list[tuple[int, str, str]]:
    """Row, field and text of the problems; asserts that importing is refused with the same and writes nothing."""
    before = facts_sha256()
    found = preview(content).problems
    with pytest.raises(ImportRefused) as refused:
        load(content)
    assert refused.value.preview.problems == found
    assert facts_sha256() == before
    return [(problem.row, problem.field, problem.text) for problem in found]


def counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (ImportRun, Block, Yield, StakerReward, StakeEvent))


def test_ch8_the_example_becomes_facts_to_the_lamport(solana: Network) -> None:
    found = preview(EPOCH_700.read_bytes())
    assert counts() == (0, 0, 0, 0, 0)
    assert [(total.label, total.stakers, total.reward_rao, total.revenue_rao) for total in found.totals] == [
        ("Inflation rewards", 4, 2_755_000_041, 145_000_002),
        ("Block and priority fees", 4, 0, 69_600_010),
        ("MEV tips", 4, 319_000_003, 29_000_001),
    ]
    assert (found.stakers, found.new_rows, found.known_rows, found.new_vote_accounts) == (4, 12, 0, (VOTE,))
    run = load(EPOCH_700.read_bytes())
    assert run is not None
    assert (run.row_count, run.reward_count, run.stake_event_count) == (12, 11, 0)
    assert run.sha256 == found.sha256
    connection.check_constraints()
    mev = Yield.objects.get(side="MEV")
    assert (mev.epoch, mev.block_id, mev.take_rao, mev.dividend_rao) == (
        700,
        302_850_000,
        29_000_001,
        319_000_003,
    )
    assert (mev.asset, mev.netuid, mev.take_low_rao, mev.share_total, mev.owner) == ("SOL", 0, None, None, "")
    # Dan earned the validator nothing of the fees and got nothing: a row of zeros is not stored.
    assert dict(Yield.objects.get(side="EXEC_FEES").staker_rewards.values_list("coldkey", "amount_rao")) == {
        ANN: 48_000_007,
        BOB: 14_400_002,
        CEM: 7_200_001,
    }
    block = Block.objects.get(pk=302_850_000)
    assert (block.runtime, block.parent_hash, block.import_run) == (None, "", run)
    assert block.provider == f"file file.csv, SHA-256 {run.sha256}"
    assert Hotkey.objects.get().address == VOTE


def test_ch8_stake_events_become_events_with_file_and_row(solana: Network) -> None:
    run = load(EPOCH_701.read_bytes())
    moved = StakeEvent.objects.get(kind="RESTAKE")
    assert (moved.coldkey, moved.added, moved.tao_rao, moved.alpha_rao, moved.fee_rao) == (
        CEM,
        False,
        150_500_000_000,
        150_500_000_000,
        5_000,
    )
    assert (moved.import_run, moved.import_row, moved.fee_asset) == (run, 3, Asset.SOL)
    assert len(moved.extrinsic_hash) > 80


def test_ch8_the_same_file_twice_changes_nothing(solana: Network) -> None:
    for path in (EPOCH_700, EPOCH_701):
        assert load(path.read_bytes()) is not None
    facts, before = facts_sha256(), counts()
    for path in (EPOCH_700, EPOCH_701):
        again = preview(path.read_bytes())
        assert again.changes_nothing
        assert again.known_rows == again.row_count
        assert load(path.read_bytes()) is None
    # Other bytes, the same rows.
    assert load(EPOCH_700.read_bytes().replace(b"\n", b"\r\n")) is None
    assert (facts_sha256(), counts()) == (facts, before)


def test_ch8_a_file_may_bring_some_that_is_stored_and_some_that_is_new(solana: Network) -> None:
    load(as_csv(reward(), reward(staker=BOB)))
    mixed = preview(as_csv(reward(), reward(staker=BOB), reward(component="MEV"), reward(epoch=701)))
    assert (mixed.new_rows, mixed.known_rows) == (2, 2)
    load(as_csv(reward(), reward(staker=BOB), reward(component="MEV"), reward(epoch=701)))
    assert sorted(Yield.objects.values_list("epoch", "side")) == [
        (700, "MEV"),
        (700, "REWARDS"),
        (701, "REWARDS"),
    ]


@pytest.mark.parametrize(
    ("rows", "row", "field", "text"),
    [
        ([reward(validator_revenue_lamports=6), reward(staker=BOB)], 2, "validator_revenue", "5 lamports, the file says 6"),
        ([reward(), reward(staker=BOB, staker_reward_lamports=9)], 3, "staker_reward", "95 lamports, the file says 9"),
        ([reward(), reward(staker=BOB), reward(staker=CEM)], 4, "staker_reward", "0 lamports, the file says 95"),
        ([reward()], 2, "staker", f"with 1 more stakers ({BOB})"),
        (
            [reward(**slot_cells(302_833_000, FIRST)), reward(staker=BOB, **slot_cells(302_833_000, FIRST))],
            2,
            "slot",
            "stored at slot 302832005, not 302833000",
        ),
    ],
)  # fmt: skip
def test_ch8_what_is_stored_differently_is_refused_with_its_row(
    solana: Network, rows: list[dict[str, Any]], row: int, field: str, text: str
) -> None:
    load(as_csv(reward(), reward(staker=BOB)))
    first = said(as_csv(*rows))[0]
    assert first[:2] == (row, field)
    assert text in first[2]
    assert "never changed" in first[2]


def test_ch8_slots_must_fit_what_is_stored(solana: Network) -> None:
    load(as_csv(reward(), reward(epoch=702)))
    slot = reward()["slot"]
    assert [found[:2] for found in said(as_csv(reward(component="MEV", block_hash=key("x"))))] == [
        (2, "slot")
    ]
    used = {**slot_cells(slot + 1, FIRST), "block_hash": reward()["block_hash"]}
    assert [found[:2] for found in said(as_csv(reward(component="MEV", **used)))] == [(2, "block_hash")]
    for bad in (
        slot_cells(slot + 1, FIRST - timedelta(1)),
        slot_cells(slot - 1, FIRST + timedelta(1)),
        slot_cells(slot + 1, FIRST + timedelta(9)),
    ):
        assert [found[:2] for found in said(as_csv(reward(component="MEV", **bad)))] == [(2, "slot_time")]


def test_ch8_a_stake_event_stored_differently_is_refused(solana: Network) -> None:
    load(as_csv(event()))
    ((row, name, text),) = said(as_json([], [event(amount_lamports=999)]))
    assert (row, name) == (1, "amount")
    assert "stored with amount 1000, the file says 999" in text


def test_ch8_who_may_not_import_changes_nothing(solana: Network) -> None:
    viewer = User.objects.create_user("vera")
    with pytest.raises(NotAllowed, match="add_importrun"):
        load(as_csv(reward()), viewer)
    assert counts() == (0, 0, 0, 0, 0)
    viewer.user_permissions.add(Permission.objects.get(codename="add_importrun"))
    run = load(as_csv(reward()), User.objects.get(pk=viewer.pk))
    assert run is not None
    assert run.imported_by == viewer


def test_ch8_another_file_than_the_confirmed_one_is_refused(solana: Network) -> None:
    shown = preview(as_csv(reward())).sha256
    with pytest.raises(ImportRefused, match="not the file that was previewed"):
        load(as_csv(reward(staker=BOB)), expected_sha256=shown)
    assert load(as_csv(reward()), expected_sha256=shown) is not None


def test_ch8_an_installation_takes_files_of_the_chain_it_holds_alone() -> None:
    with pytest.raises(FileRefused, match="holds no chain yet"):
        preview(as_csv(reward()))
    with pytest.raises(CannotPin, match="first ingestion"):
        pin_network(family=Family.BITTENSOR, name="finney", genesis_hash=GENESIS)
    with pytest.raises(CannotPin, match="zero at position"):
        pin_network(family=Family.SOLANA, name="x", genesis_hash="0x12")
    with pytest.raises(CannotPin, match="32 bytes"):
        pin_network(family=Family.SOLANA, name="x", genesis_hash="abc")
    with pytest.raises(CannotPin, match="at most 44 characters; this text has 100,000"):
        pin_network(family=Family.SOLANA, name="x", genesis_hash="1" * 100_000)
    for nameless in ("", "  ", "\t\n", "x" * 81, "a\0b", "a\nb"):
        with pytest.raises(CannotPin, match="Name the chain as people call it, in 1 to 80 characters"):
            pin_network(family=Family.SOLANA, name=nameless, genesis_hash=GENESIS)
    assert not Network.objects.exists()
    assert pin_solana() == pin_solana()
    with pytest.raises(CannotPin, match="holds Solana Mainnet Beta"):
        pin_network(family=Family.SOLANA, name="testnet", genesis_hash=key("testnet"))


def test_ch8_a_bittensor_installation_takes_no_files() -> None:
    Network.objects.create(id=1, name="finney", genesis_hash="0x" + "11" * 32)
    with pytest.raises(FileRefused, match="holds Bittensor, which is read from a node"):
        preview(as_csv(reward()))
    with pytest.raises(CannotPin, match="holds finney"):
        pin_solana()


# --- what the database refuses ------------------------------------------------------------------------


def refuse(rule: str, statement: str, *parameters: Any) -> None:
    """Expect a rule by name, at once or at commit."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():  # noqa: PT012
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
        connection.check_constraints()
    assert caught.value.__cause__.diag.constraint_name == rule  # type: ignore[union-attr]


@pytest.mark.parametrize("table", ["chain_importrun", "chain_stakerreward"])
def test_ch8_imports_and_rewards_stay_as_written(solana: Network, table: str) -> None:
    load(as_csv(reward()))
    connection.check_constraints()
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        refuse("append_only", statement)


def test_ch8_rewards_must_make_their_yield_at_commit(solana: Network) -> None:
    load(as_csv(reward()))
    connection.check_constraints()
    columns = "block_id, netuid, hotkey, side, asset, pool_netuid, owner, dividend_rao, take_rao, other_rao, proof, epoch"
    values = (
        "SELECT block_id, 0, hotkey, %s, 'SOL', 0, '', 0, %s, 0, '', epoch, import_run_id FROM chain_yield"
    )
    refuse("rewards_make_the_yield", f"INSERT INTO chain_yield ({columns}, import_run_id) {values}", "MEV", 1)
    insert = (
        "INSERT INTO chain_stakerreward (source_id, coldkey, amount_rao, dividend_rao, import_row)"
        " SELECT id, %s, %s, %s, 9 FROM chain_yield"
    )
    refuse("staker_reward_positive", insert, BOB, 0, 0)
    refuse("staker_reward_positive", insert, BOB, -1, 2)
    refuse("staker_reward_once", insert, ANN, 1, 0)


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("yield_read_or_imported", {"epoch": None}),
        ("yield_read_or_imported", {"asset": "TAO"}),
        ("yield_read_or_imported", {"take_u16": 1}),
        ("yield_read_or_imported", {"share_total": 1}),
        ("yield_read_or_imported", {"proof": "POOL"}),
        ("yield_pool_fits_side", {"netuid": 2}),
        ("yield_once_per_epoch", {"side": "REWARDS", "block_id": 9}),
        ("yield_read_or_imported", {"side": "ROOT"}),
    ],
)
def test_ch8_an_imported_yield_has_nothing_of_a_read_one(
    solana: Network, rule: str, changed: dict[str, Any]
) -> None:
    run = load(as_csv(reward()))
    Block.objects.create(number=9, hash="nine", timestamp=FIRST, import_run=run)
    values: dict[str, Any] = {
        "block_id": reward()["slot"],
        "netuid": 0,
        "hotkey": VOTE,
        "side": "MEV",
        "asset": "SOL",
        "pool_netuid": 0,
        "owner": "",
        "dividend_rao": 0,
        "take_rao": 0,
        "other_rao": 0,
        "proof": "",
        "epoch": 700,
        "import_run_id": run.pk if run else 0,
    } | changed
    marks = ", ".join(["%s"] * len(values))
    refuse(rule, f"INSERT INTO chain_yield ({', '.join(values)}) VALUES ({marks})", *values.values())


def test_ch8_a_read_yield_needs_both_methods() -> None:
    make_blocks(1, 1)
    read = {name: value for name, value in vars(make_yield(1)).items() if name not in {"_state", "id"}}
    for column in ("take_low_rao", "take_high_rao", "take_u16", "pool_before_rao", "share_total"):
        with pytest.raises(IntegrityError, match="yield_read_or_imported"), transaction.atomic():
            Yield.objects.create(**read | {"side": "ROOT", "pool_netuid": 0, column: None})


def test_ch8_blocks_come_from_files_or_from_a_node_as_the_network_says(solana: Network) -> None:
    run = load(as_csv(reward()))
    runtime = Runtime.objects.create(spec_version=1, metadata=b"", metadata_sha256="", first_block=1)
    columns = "number, hash, provider, parent_hash, timestamp, runtime_id, import_run_id"
    insert = f"INSERT INTO chain_block ({columns}) VALUES (1, 'h', '', %s, now(), %s, %s)"
    refuse("block_fits_network", insert, "0x1", runtime.pk, None)
    refuse("block_read_or_imported", insert, "", runtime.pk, run.pk if run else 0)
    refuse("block_read_or_imported", insert, "", None, None)
    refuse("block_read_or_imported", insert, "0x1", None, run.pk if run else 0)
    load(as_csv(event()))
    with without_triggers():
        refuse("network_prefix_fits_family", "UPDATE chain_network SET ss58_prefix = 42")
        refuse("network_prefix_fits_family", "UPDATE chain_network SET family = 'BITTENSOR'")
        for changed in ("import_run_id = NULL", "import_row = NULL", "fee_asset = 'TAO'", "netuid = 2"):
            refuse("stake_event_read_or_imported", f"UPDATE chain_stakeevent SET {changed}")


@pytest.mark.django_db(transaction=True)
def test_ch8_nothing_joins_an_import_after_its_transaction() -> None:
    pin_solana()
    run = load(as_csv(reward()))
    assert run is not None
    block, owner = "number, hash, provider, parent_hash, timestamp, import_run_id", "source_id, coldkey"
    refuse("import_sealed", f"INSERT INTO chain_block ({block}) VALUES (1, 'h', '', '', now(), %s)", run.pk)
    rewards = f"INSERT INTO chain_stakerreward ({owner}, amount_rao, dividend_rao, import_row)"
    refuse("import_sealed", f"{rewards} SELECT id, %s, 0, 1, 9 FROM chain_yield", BOB)
    assert counts() == (1, 1, 1, 1, 0)
