"""Gaps: found without anybody saying so, closed by blocks, accepted as lost by a named person only (CH6)."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, connection, transaction
from django.test import override_settings

from chain import tasks
from chain.backfill.services import pause_backfill, resume_backfill, start_backfill
from chain.backfill.work import read_one_chunk
from chain.gaps.queries import holes, lost_ranges, next_readable, readable_ranges
from chain.gaps.services import BEHIND_BLOCKS_MAX, CannotGiveUp, find_gaps, give_up_blocks
from chain.models import Backfill, Block, Gap, IngestRun, Position, Yield
from chain.nodes.source import MissingRead
from chain.pools.shares import Share
from chain.queries import facts_sha256, holdings_at, last_block, open_gaps
from chain.services import CannotIngest, IngestStopped, ingest, ingest_new_blocks
from chain.tests.factories import make_blocks, make_gap, make_position, make_run
from chain.tests.replay_node import Play, PlaySource, serving

pytestmark = pytest.mark.django_db
NOW = datetime(2025, 6, 1, tzinfo=UTC)
REASON = "No archive node has these blocks."


@pytest.fixture
def approver() -> User:
    user = User.objects.create_user("ada")
    user.groups.add(Group.objects.get(name="approver"))
    return user


def accept(gap: Gap, last: int, actor: User, reason: str = REASON) -> Gap:
    return give_up_blocks(gap_id=gap.pk, last=last, reason=reason, actor=actor, now=NOW)


class Pruned(PlaySource):
    """A node that has lost some blocks' state and bodies for good."""

    def __init__(self, play: Play, first: int, last: int) -> None:
        super().__init__(play)
        self._lost = {play.blocks[number]["hash"] for number in range(first, last + 1)}
        # The last of them and the state after it, on which the next block rests, are there.
        self._kept = play.blocks[last]["hash"]

    def answer(self, method: str, params: list[Any]) -> Any:
        asked = params[-1] if params else None
        is_state = method in ("state_queryStorageAt", "state_getKeysPaged")
        if asked in self._lost - {self._kept} and (is_state or method == "chain_getHeader"):
            raise MissingRead("state was discarded")
        return super().answer(method, params)


# --- going on after lost blocks -------------------------------------------------------------------------


@pytest.fixture
def stopped(play: Play, hotkeys: list[str]) -> Gap:
    """Ingestion that cannot read block 60."""
    with pytest.raises(IngestStopped, match="stopped before block 60"):
        ingest(Pruned(play, 60, 62), first=2, last=play.last, hotkeys=hotkeys)
    return Gap.objects.get()


def test_ch6_reading_goes_on_after_lost_blocks_with_positions_listed_anew(
    play: Play, hotkeys: list[str], stopped: Gap, approver: User
) -> None:
    source = Pruned(play, 60, 62)
    with pytest.raises(CannotIngest, match="blocks 60 to 62 would be missing"):
        ingest(source, first=63, last=play.last, hotkeys=hotkeys)
    lost = accept(stopped, 62, approver)
    assert (lost.blocks.lower, lost.blocks.upper, lost.state) == (60, 63, "UNRECOVERABLE")
    assert (lost.accepted_by, lost.accepted_reason, lost.reason) == (approver, REASON, stopped.reason)
    report = ingest(source, first=63, last=play.last, hotkeys=hotkeys)
    assert report.added == play.last - 62
    assert last_block().number == play.last  # type: ignore[union-attr]
    assert not Block.objects.filter(number__range=(60, 62)).exists()
    # Nobody is said to have held anything in a state that was not read.
    assert holdings_at(59)
    assert (holdings_at(60), holdings_at(61)) == ({}, {})
    for number in (62, 63, 80, play.last):
        for hotkey in hotkeys:
            for netuid in (0, 2, 3):
                table = play.table(number, "Alpha")
                chain = {
                    key[1]: Share(bits) for key, bits in table.items() if (key[0], key[2]) == (hotkey, netuid)
                }
                assert holdings_at(number).get((hotkey, netuid), {}) == chain, (number, netuid)
    stopped.refresh_from_db()
    assert stopped.state == "RESOLVED"
    assert not open_gaps(1, play.last).exists()


@pytest.mark.parametrize("chunk_blocks", [2, 7, 40])
def test_ch9_a_backfill_over_lost_blocks_gives_the_bytes_of_a_serial_run_over_them(
    play: Play, hotkeys: list[str], stopped: Gap, approver: User, chunk_blocks: int
) -> None:
    accept(stopped, 62, approver)
    source = Pruned(play, 60, 62)
    with transaction.atomic():
        ingest(source, first=60, last=75, hotkeys=hotkeys)
        serial = facts_sha256()
        transaction.set_rollback(True)
    backfill = start_backfill(
        source, first=60, last=75, hotkeys=hotkeys, actor=None, now=NOW, chunk_blocks=chunk_blocks
    )
    while read_one_chunk(lambda: nullcontext(source), backfill_id=backfill.pk, worker="w", clock=lambda: NOW):
        pass
    backfill.refresh_from_db()
    assert (backfill.state, facts_sha256()) == ("DONE", serial)


def test_ch6_following_passes_lost_blocks_also_where_they_are_more_than_a_tick_reads(
    play: Play, hotkeys: list[str], stopped: Gap, approver: User
) -> None:
    accept(stopped, 62, approver)
    report = ingest_new_blocks(Pruned(play, 60, 62), count_max=2)
    assert report is not None
    assert (report.first_block, report.last_block, report.added) == (63, 64, 2)


def test_ch6_a_backfill_that_stopped_goes_on_once_the_blocks_are_accepted_as_lost(
    play: Play, hotkeys: list[str], approver: User
) -> None:
    source, clock = Pruned(play, 60, 62), [NOW]
    backfill = start_backfill(source, first=2, last=80, hotkeys=hotkeys, actor=None, now=NOW, chunk_blocks=20)

    def run() -> None:
        for _ in range(20):
            read_one_chunk(
                lambda: nullcontext(source), backfill_id=backfill.pk, worker="w", clock=lambda: clock[0]
            )
            clock[0] += timedelta(seconds=70)
        backfill.refresh_from_db()

    run()
    assert backfill.state == "STOPPED"
    gap = Gap.objects.get()
    accept(gap, 62, approver)
    resume_backfill(backfill_id=backfill.pk, actor=None, now=clock[0])
    run()
    gap.refresh_from_db()
    assert (backfill.state, gap.state) == ("DONE", "RESOLVED")
    assert Yield.objects.filter(block_id__gt=62).exists()


# --- who may, and what ----------------------------------------------------------------------------------


def test_ch6_only_who_has_the_right_accepts_and_only_with_a_reason(approver: User) -> None:
    make_blocks(1, 9)
    gap = make_gap(10, 13)
    stranger, operator = (User.objects.create_user(name) for name in ("stranger", "olga"))
    operator.groups.add(Group.objects.get(name="operator"))
    for actor, reason, said in [
        (stranger, REASON, "you may not"),
        (operator, REASON, "you may not"),
        (approver, "  lost   ", "at least 10 characters"),
        (approver, f"{REASON}\u202e", "U.202E. in the reason"),
    ]:
        with pytest.raises(CannotGiveUp, match=said):
            accept(gap, 12, actor, reason)
    gap.refresh_from_db()
    assert (gap.state, Gap.objects.count()) == ("OPEN", 1)
    accept(gap, 12, approver)
    with pytest.raises(CannotGiveUp, match="not open any more"):
        accept(gap, 12, approver)


def test_ch6_blocks_that_are_not_lost_are_not_given_up(
    play: Play, hotkeys: list[str], approver: User
) -> None:
    root = User.objects.create_superuser("root")
    with pytest.raises(CannotGiveUp, match="no block is stored yet"):
        accept(make_gap(1, 3), 2, root)
    make_blocks(1, 9)
    for gap, last, said in [
        (make_gap(9, 13), 12, "block 9 is stored"),
        (make_gap(10, 13), 13, "reaches from 10 to 12"),
        (make_gap(10, 13), 9, "reaches from 10 to 12"),
        (make_gap(11, 13), 12, "block 10 comes first"),
        (make_gap(10, 13, "BEHIND"), 12, "the chain has these blocks"),
    ]:
        with pytest.raises(CannotGiveUp, match=said):
            accept(gap, last, root)
    assert not Gap.objects.filter(state="UNRECOVERABLE").exists()
    accept(make_gap(10, 13), 11, root)
    with pytest.raises(CannotGiveUp, match="accepted as lost already"):
        accept(make_gap(11, 15), 14, root)
    accept(make_gap(12, 15), 12, root)
    assert lost_ranges(1, 100) == [(10, 12)]
    assert readable_ranges(5, 20) == [(5, 9), (13, 20)]
    assert (next_readable(10), next_readable(9)) == (13, 9)


def test_ch6_nothing_is_given_up_while_a_backfill_may_read_it(
    play: Play, hotkeys: list[str], approver: User
) -> None:
    ingest(PlaySource(play), first=2, last=9, hotkeys=hotkeys)
    backfill = start_backfill(PlaySource(play), first=10, last=20, hotkeys=hotkeys, actor=None, now=NOW)
    gap = make_gap(10, 13)
    with pytest.raises(CannotGiveUp, match="a backfill is running"):
        accept(gap, 12, approver)
    pause_backfill(backfill_id=backfill.pk, actor=None, now=NOW)
    accept(gap, 12, approver)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE chain_gap SET state = 'UNRECOVERABLE'",
        "UPDATE chain_gap SET state = 'UNRECOVERABLE', accepted_reason = 'x', accepted_at = now()",
        "UPDATE chain_gap SET state = 'UNRECOVERABLE', accepted_at = now(), accepted_by_id = (SELECT id FROM auth_user)",
        "UPDATE chain_gap SET accepted_reason = 'nobody'",
        "UPDATE chain_gap SET state = 'RESOLVED'",
        "UPDATE chain_gap SET resolved_at = now()",
        "UPDATE chain_gap SET reason = 'another'",
        "UPDATE chain_gap SET blocks = '[1,2)'",
        "UPDATE chain_gap SET detected_at = now()",
        "DELETE FROM chain_gap",
        "TRUNCATE chain_gap CASCADE",
    ],
)
def test_ch6_the_database_keeps_a_gap_as_it_was_found(approver: User, sql: str) -> None:
    make_gap(10, 13)
    connection.check_constraints()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("gap_of_known_kind", ("NONSENSE", "[10,13)", "said", "OPEN")),
        ("gap_of_known_state", ("BEHIND", "[10,13)", "said", "CLOSED")),
        ("gap_of_some_blocks", ("BEHIND", "empty", "said", "OPEN")),
        ("gap_of_some_blocks", ("BEHIND", "[10,)", "said", "OPEN")),
        ("gap_of_some_blocks", ("BEHIND", "(,10]", "said", "OPEN")),
        ("gap_of_some_blocks", ("BEHIND", "[-3,1)", "said", "OPEN")),
        ("gap_says_why", ("BEHIND", "[10,13)", " \n", "OPEN")),
    ],
)
def test_ch6_the_database_refuses_a_gap_of_nothing(constraint: str, values: tuple[str, ...]) -> None:
    with (
        pytest.raises(IntegrityError, match=constraint),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO chain_gap (kind, blocks, reason, state, detected_at, accepted_reason)"
            " VALUES (%s, %s::int8range, %s, %s, now(), '')",
            values,
        )


@pytest.mark.parametrize("end", ["RESOLVED", "UNRECOVERABLE"])
def test_ch6_a_gap_that_ended_never_changes_again(approver: User, end: str) -> None:
    make_blocks(1, 9)
    gap = make_gap(10, 13)
    if end == "RESOLVED":
        Gap.objects.filter(pk=gap.pk).update(state=end, resolved_at=NOW)
    else:
        accept(gap, 12, approver)
    for sql in (
        "UPDATE chain_gap SET state = 'OPEN', accepted_at = NULL, accepted_by_id = NULL, accepted_reason = ''",
        "UPDATE chain_gap SET accepted_reason = accepted_reason",
        "DELETE FROM chain_gap",
    ):
        with (
            pytest.raises(IntegrityError, match="ends once"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)


def test_ch6_a_block_is_lost_once(approver: User) -> None:
    make_blocks(1, 9)
    accept(make_gap(10, 13), 12, approver)
    with pytest.raises(IntegrityError, match="gap_lost_once"), transaction.atomic():
        Gap.objects.create(
            kind="READ_MISSING", blocks=(12, 14), reason="x", detected_at=NOW, state="UNRECOVERABLE",
            accepted_at=NOW, accepted_by=approver, accepted_reason=REASON,
        )  # fmt: skip


# --- found by the check ---------------------------------------------------------------------------------


def test_ch6_the_check_finds_blocks_missing_between_stored_ones() -> None:
    make_blocks(1, 9)
    make_blocks(12, 20)
    make_blocks(25, 30)
    assert holes() == [(10, 11), (21, 24)]
    assert holes(5, 22) == [(10, 11), (21, 22)]
    assert find_gaps(head=None, now=NOW).opened == 2
    found = list(Gap.objects.order_by("blocks").values_list("kind", "blocks"))
    assert [(kind, blocks.lower, blocks.upper) for kind, blocks in found] == [
        ("MISSING_BLOCKS", 10, 12),
        ("MISSING_BLOCKS", 21, 25),
    ]
    assert not Gap.objects.exclude(detected_by=None).exists()
    assert find_gaps(head=None, now=NOW).opened == 0
    make_blocks(10, 11)
    assert find_gaps(head=None, now=NOW).closed == 1
    assert Gap.objects.filter(state="OPEN").count() == 1


def test_ch6_the_check_finds_a_run_whose_process_died_and_one_that_failed() -> None:
    make_blocks(1, 40)
    run = make_run("RUNNING")
    find_gaps(head=None, now=NOW)
    run.refresh_from_db()
    assert (run.status, run.finished_at) == ("FAILED", NOW)
    gap = Gap.objects.get()
    assert (gap.kind, gap.blocks.lower, gap.blocks.upper, gap.detected_by) == ("RUN_ENDED", 41, 101, run)
    assert "its process ended" in gap.reason
    assert find_gaps(head=None, now=NOW).opened == 0
    make_blocks(41, 100)
    assert find_gaps(head=None, now=NOW).closed == 1


def test_ch6_a_run_that_is_over_or_whose_gap_is_known_is_no_news() -> None:
    make_blocks(1, 40)
    make_run("FAILED", error="no answer")
    make_gap(41, 101)
    assert find_gaps(head=None, now=NOW).opened == 0
    make_run("DONE")
    Gap.objects.update(state="RESOLVED", resolved_at=NOW)
    assert find_gaps(head=None, now=NOW).opened == 0


def test_ch6_the_check_finds_that_nothing_reads_new_blocks() -> None:
    make_blocks(1, 40)
    assert find_gaps(head=40 + BEHIND_BLOCKS_MAX, now=NOW).opened == 0
    assert find_gaps(head=41 + BEHIND_BLOCKS_MAX, now=NOW).opened == 1
    gap = Gap.objects.get()
    assert (gap.kind, gap.blocks.lower, gap.blocks.upper) == ("BEHIND", 41, 42 + BEHIND_BLOCKS_MAX)
    assert find_gaps(head=500, now=NOW).opened == 0
    make_blocks(41, 41 + BEHIND_BLOCKS_MAX)
    assert find_gaps(head=None, now=NOW).closed == 1


def test_ch6_the_run_of_a_paused_backfill_is_not_taken_for_dead(play: Play, hotkeys: list[str]) -> None:
    ingest(PlaySource(play), first=2, last=9, hotkeys=hotkeys)
    backfill = start_backfill(PlaySource(play), first=10, last=20, hotkeys=hotkeys, actor=None, now=NOW)
    pause_backfill(backfill_id=backfill.pk, actor=None, now=NOW)
    assert find_gaps(head=500, now=NOW).opened == 0
    assert IngestRun.objects.get(pk=backfill.run_id).status == "RUNNING"


def test_ch6_the_scheduled_check_asks_the_node_for_its_head(play: Play, segment: Any) -> None:
    make_blocks(1, 5)
    with serving(play) as url, override_settings(RAKEBACK_NODE_URL=url):
        assert tasks.check_gaps() == {"opened": 1, "closed": 0}
    with override_settings(RAKEBACK_NODE_URL="ws://127.0.0.1:1"):
        assert tasks.check_gaps() == {"opened": 0, "closed": 0}


def test_ch6_positions_of_a_state_before_the_lost_blocks_end_there(approver: User) -> None:
    from chain.facts import ShareFact
    from chain.pools.shares import Share
    from chain.storing import store_baseline

    make_position("5Ended", first=3)
    store_baseline(20, [ShareFact("5Hot", 2, "5New", Share(7))], known_until=9)
    assert [
        (row.coldkey, row.blocks.lower, row.blocks.upper) for row in Position.objects.order_by("blocks")
    ] == [
        ("5Ended", 3, 10),
        ("5New", 20, None),
    ]
    assert not Backfill.objects.exists()
