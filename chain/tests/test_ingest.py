"""Ingestion: once, in halves, killed anywhere, always the same facts (CH1, CH6, CH10)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test import override_settings

from chain import storing
from chain.facts import BlockFacts
from chain.locks import Lock
from chain.models import Block, Gap, IngestRun, Position, Yield
from chain.nodes.segment import BadSegment, SegmentSource, write_segment
from chain.nodes.source import exchange_key
from chain.queries import facts_sha256, holdings_at, last_block, spot_price_rao
from chain.services import (
    CannotIngest,
    IngestStopped,
    check_positions,
    ingest,
    ingest_new_blocks,
    ingest_segment,
    record_segment,
)
from chain.tasks import ingest as ingest_task
from chain.tests.replay_node import Play, PlaySource, serving
from tests.guards import refused, sql, tamper, without_triggers

pytestmark = pytest.mark.django_db


def rewritten(segment: Path, path: Path, change: object) -> Path:
    """A well-formed segment whose exchanges went through `change(exchanges)`."""
    source = SegmentSource(segment)
    exchanges = dict(source._answers)
    change(exchanges)  # type: ignore[operator]
    write_segment(path, source.header, exchanges)
    return path


def test_ch10_a_segment_replays_into_the_facts_of_the_chain(
    play: Play, hotkeys: list[str], segment: Path
) -> None:
    report = ingest_segment(segment)
    assert (report.added, last_block().number) == (play.last - 1, play.last)  # type: ignore[union-attr]
    assert Yield.objects.count() == 35
    for hotkey in hotkeys:
        for netuid in (0, 2, 3):
            chain = {k[1]: v for k, v in play.table(50, "Alpha").items() if (k[0], k[2]) == (hotkey, netuid)}
            held = holdings_at(50).get((hotkey, netuid), {})
            assert {coldkey: share.bits for coldkey, share in held.items()} == chain
    check = check_positions(segment)
    assert (check.block, check.differences) == (play.last, [])
    assert check.positions == sum(map(len, holdings_at(play.last).values())) > 10


def test_ch1_the_same_segment_twice_changes_nothing(segment: Path) -> None:
    ingest_segment(segment)
    facts = facts_sha256()
    assert ingest_segment(segment).added == 0
    assert facts_sha256() == facts
    assert IngestRun.objects.count() == 1


@pytest.mark.parametrize("middle", [2, 17, 22, 68, 91])
def test_ch1_two_halves_give_the_facts_of_the_whole(segment: Path, middle: int) -> None:
    with transaction.atomic():
        ingest_segment(segment)
        whole = facts_sha256()
        transaction.set_rollback(True)
    ingest_segment(segment, last=middle)
    ingest_segment(segment, first=middle + 1)
    assert facts_sha256() == whole


def test_ch1_a_crash_inside_any_block_and_a_second_start_give_the_same_facts(
    segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction.atomic():
        ingest_segment(segment)
        whole = facts_sha256()
        transaction.set_rollback(True)
    store = storing.store_shares

    class Crash(BaseException):
        pass

    crashes = iter([2, 17, 23, 40, 68, 74, 92])
    at = next(crashes)

    def crash_once(blocks: list[BlockFacts]) -> None:
        nonlocal at
        store(blocks)
        if blocks[-1].number == at:
            at = next(crashes, 10**9)
            raise Crash

    monkeypatch.setattr(storing, "store_shares", crash_once)
    for _ in range(20):
        try:
            ingest_segment(segment)
            break
        except Crash:
            continue
    assert next(crashes, None) is None
    assert facts_sha256() == whole


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_ch1_a_killed_process_leaves_whole_blocks_only(segment: Path) -> None:
    """A real `kill -9` of the command, several times, then one run to the end."""
    ingest_segment(segment)
    whole = facts_sha256()
    call_command("flush", interactive=False, verbosity=0)
    settings = connection.settings_dict
    environment = dict(
        os.environ,
        PGPASSWORD=settings["PASSWORD"] or "",
        RAKEBACK_TEST_DATABASE=settings["NAME"],
        RAKEBACK_TEST_USER=settings["USER"] or "",
    )
    command = [sys.executable, "-m", "chain.tests.ingest_process", str(segment)]
    killed = 0
    for _ in range(30):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        before = Block.objects.count()
        while process.poll() is None and Block.objects.count() < before + 15:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert killed >= 3
    assert facts_sha256() == whole


def test_ch6_a_missing_read_is_a_gap_and_the_next_run_closes_it(segment: Path, tmp_path: Path) -> None:
    source = SegmentSource(segment)
    hash_60 = source.call_many([("chain_getBlockHash", [60])])[0]

    def forget(exchanges: dict[str, object]) -> None:
        for key in [key for key in exchanges if key.startswith('["state_queryStorageAt"') and hash_60 in key]:
            del exchanges[key]

    broken = rewritten(segment, tmp_path / "hole.gz", forget)
    with pytest.raises(IngestStopped, match="stopped before block 60"):
        ingest_segment(broken)
    assert last_block().number == 59  # type: ignore[union-attr]
    gap = Gap.objects.get()
    assert (gap.kind, gap.blocks.lower, gap.blocks.upper, gap.resolved_at) == ("READ_MISSING", 60, 93, None)
    assert "does not hold the read" in gap.reason
    with pytest.raises(IngestStopped):
        ingest_segment(broken)
    assert Gap.objects.count() == 1
    ingest_segment(segment)
    gap.refresh_from_db()
    assert gap.resolved_at is not None
    assert gap.resolved_by is not None
    assert gap.resolved_by.status == "DONE"


def test_f31_an_unknown_runtime_is_a_gap_that_names_it(segment: Path, tmp_path: Path) -> None:
    source = SegmentSource(segment)
    hash_40 = source.call_many([("chain_getBlockHash", [40])])[0]

    def upgrade(exchanges: dict[str, object]) -> None:
        exchanges[exchange_key("state_getRuntimeVersion", [hash_40])] = {"specVersion": 500}

    with pytest.raises(IngestStopped, match="block 41 ran on runtime 500"):
        ingest_segment(rewritten(segment, tmp_path / "upgraded.gz", upgrade))
    assert last_block().number == 40  # type: ignore[union-attr]
    assert Gap.objects.get().kind == "UNKNOWN_RUNTIME"


def test_ch7_another_genesis_is_refused_before_anything_is_written(segment: Path, tmp_path: Path) -> None:
    ingest_segment(segment, last=20)
    facts, runs = facts_sha256(), IngestRun.objects.count()
    tamper("UPDATE chain_network SET genesis_hash = %s", "0x" + "11" * 32)
    with pytest.raises(CannotIngest, match="holds the chain with genesis 0x1111"):
        ingest_segment(segment)
    tamper("UPDATE chain_network SET genesis_hash = %s", SegmentSource(segment).header.genesis_hash)
    assert (facts_sha256(), IngestRun.objects.count()) == (facts, runs)


def test_ch10_a_header_that_contradicts_the_recording_is_refused(segment: Path, tmp_path: Path) -> None:
    forged = rewritten(
        segment,
        tmp_path / "forged.gz",
        lambda exchanges: exchanges.update({exchange_key("chain_getBlockHash", [0]): "0x" + "22" * 32}),
    )
    with pytest.raises(BadSegment, match=r"in its header but .0x2222"):
        ingest_segment(forged)
    assert not Block.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("spec_versions", [425], "recorded on runtime 425"),
        ("chain", "another", "says chain 'another' in its header"),
        ("hotkeys", ["5nonsense"], "names the hotkey '5nonsense'"),
        ("ss58_prefix", 0, "says ss58_prefix 0 in its header"),
        ("first_block", 2.0, "a number that is not whole"),
    ],
)
def test_ch10_a_header_that_cannot_be_true_is_refused(
    segment: Path, tmp_path: Path, field: str, value: object, reason: str
) -> None:
    source = SegmentSource(segment)
    forged = tmp_path / "forged.gz"
    write_segment(forged, replace(source.header, **{field: value}), source._answers)  # type: ignore[arg-type]
    with pytest.raises((CannotIngest, BadSegment), match=reason):
        ingest_segment(forged)
    assert not IngestRun.objects.exists()


def test_ch10_a_segment_of_another_history_is_refused(segment: Path, tmp_path: Path) -> None:
    ingest_segment(segment, last=30)
    facts = facts_sha256()
    foreign = rewritten(
        segment,
        tmp_path / "foreign.gz",
        lambda exchanges: exchanges.update({exchange_key("chain_getBlockHash", [25]): "0x" + "33" * 32}),
    )
    with pytest.raises(CannotIngest, match="another history: block 25 is stored"):
        ingest_segment(foreign)
    assert facts_sha256() == facts


def test_ch1_other_hotkeys_and_holes_are_refused(
    play: Play, hotkeys: list[str], segment: Path, tmp_path: Path
) -> None:
    ingest_segment(segment, last=30)
    other = tmp_path / "other.gz"
    record_segment(PlaySource(play), first=31, last=40, hotkeys=hotkeys[:1], path=other)
    with pytest.raises(CannotIngest, match="follows the hotkeys"):
        ingest_segment(other)
    with pytest.raises(CannotIngest, match=r"blocks 31 to 39 would be missing"):
        ingest_segment(segment, first=40)
    with pytest.raises(CannotIngest, match="is not among them"):
        ingest_segment(segment, last=5_000)
    with pytest.raises(CannotIngest, match="the facts begin at block 2"):
        ingest(PlaySource(play), first=1, last=30, hotkeys=hotkeys)


def test_ch10_a_segment_that_follows_goes_on_from_the_facts(
    play: Play, hotkeys: list[str], segment: Path, tmp_path: Path
) -> None:
    with transaction.atomic():
        ingest_segment(segment)
        whole = facts_sha256()
        transaction.set_rollback(True)
    first, second = tmp_path / "1.gz", tmp_path / "2.gz"
    record_segment(PlaySource(play), first=2, last=45, hotkeys=hotkeys, path=first)
    record_segment(PlaySource(play), first=46, last=play.last, hotkeys=hotkeys, path=second)
    ingest_segment(first)
    ingest_segment(second)
    assert facts_sha256() == whole


def test_ch3_check_positions_finds_a_wrong_share(segment: Path) -> None:
    ingest_segment(segment)
    wrong = Position.objects.filter(blocks__contains=92).order_by("id").first()
    assert wrong is not None
    tamper("UPDATE chain_position SET share = share + 1 WHERE id = %s", wrong.pk)
    with pytest.raises(CommandError, match=f"1 positions differ at block 92:\n{wrong.coldkey}"):
        call_command("check_positions", segment=segment)


def test_ch3_check_positions_asks_for_ingestion_first(segment: Path) -> None:
    with pytest.raises(CommandError, match=r"block 92 is not stored\. Run `manage.py ingest --segment"):
        call_command("check_positions", segment=segment)


def test_ch5_prices_are_known_from_pool_state_or_unknown(play: Play, segment: Path) -> None:
    ingest_segment(segment)
    assert spot_price_rao(0) == 10**9
    assert spot_price_rao(99) is None
    price = spot_price_rao(2)
    assert price is not None
    assert 10**8 < price < 10**10


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("yield_methods_agree", "UPDATE chain_yield SET take_rao = take_high_rao + 1"),
        ("yield_not_negative", "UPDATE chain_yield SET dividend_rao = -1"),
        ("yield_pool_fits_side", "UPDATE chain_yield SET pool_netuid = 7"),
        ("position_share_positive", "UPDATE chain_position SET share = 0"),
        (
            "position_one_share_at_a_time",
            """INSERT INTO chain_position (hotkey, netuid, coldkey, blocks, share)
            SELECT hotkey, netuid, coldkey, blocks, share FROM chain_position LIMIT 1""",
        ),
        ("stake_event_not_negative", "UPDATE chain_stakeevent SET alpha_rao = -1"),
        ("conversion_amounts_valid", "UPDATE chain_conversion SET alpha_rao = 0"),
        (
            "network_is_single",
            """INSERT INTO chain_network (id, name, genesis_hash, family, ss58_prefix)
            VALUES (2, 'b', '0x', 'BITTENSOR', 42)""",
        ),
        ("chain_block_hash_key", "UPDATE chain_block SET hash = (SELECT max(hash) FROM chain_block)"),
    ],
)
def test_ch1_the_database_refuses_impossible_facts(segment: Path, rule: str, statement: str) -> None:
    ingest_segment(segment, last=70)
    with refused(rule), without_triggers():
        sql(statement)


def test_ch1_only_one_ingestion_runs_at_a_time(segment: Path) -> None:
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [Lock.INGEST])
        with pytest.raises(CannotIngest, match="another ingestion is running"):
            ingest_segment(segment)
        assert not IngestRun.objects.exists()
    finally:
        other.close()
    ingest_segment(segment, last=5)


def test_ch1_a_node_is_followed_from_where_the_facts_end(play: Play, segment: Path) -> None:
    source = PlaySource(play)
    with pytest.raises(CannotIngest, match="Say once where to begin"):
        ingest_new_blocks(source, count_max=50)
    ingest_segment(segment, last=30)
    report = ingest_new_blocks(source, count_max=50)
    assert report is not None
    assert (report.first_block, report.last_block) == (31, 80)
    ingest_new_blocks(source, count_max=50)
    assert last_block().number == play.last - 1  # type: ignore[union-attr]
    assert ingest_new_blocks(source, count_max=50) is None


def test_op3_the_scheduled_task_follows_the_configured_node(play: Play, segment: Path) -> None:
    ingest_segment(segment, last=30)
    with serving(play) as url, override_settings(RAKEBACK_NODE_URL=url):
        assert ingest_task() == play.last - 31
        assert ingest_task() == 0
