"""Backfills: any cut, any order, any death of a worker, and the facts are those of a serial run (CH9)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain import tasks
from chain.backfill.services import (
    CannotBackfill,
    cancel_backfill,
    describe_progress,
    get_progress,
    pause_backfill,
    resume_backfill,
    retry_gaps,
    start_backfill,
)
from chain.backfill.storing import store_read_chunks
from chain.backfill.work import claim_chunk, count_claimable, read_claimed, read_one_chunk
from chain.models import Backfill, BackfillChunk, Block, Gap, IngestRun
from chain.nodes.source import Source, SourceError
from chain.queries import facts_sha256, last_block
from chain.services import CannotIngest, IngestBusy, ingest
from chain.tests.replay_node import Play, PlaySource
from tests.guards import refused, sql, tamper, without_triggers

pytestmark = pytest.mark.django_db
START = datetime(2025, 3, 1, tzinfo=UTC)


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def serial_facts(
    play: Play, hotkeys: list[str], django_db_setup: None, django_db_blocker: Any
) -> dict[int, str]:
    """The hash of all facts after a serial run up to some blocks."""
    found = {}
    with django_db_blocker.unblock(), transaction.atomic():
        first = 2
        for last in (40, 58, 60, play.last):
            ingest(PlaySource(play), first=first, last=last, hotkeys=hotkeys)
            found[last], first = facts_sha256(), last + 1
        transaction.set_rollback(True)
    return found


def opened(source: Source) -> Any:
    return lambda: nullcontext(source)


def start(play: Play, hotkeys: list[str], **changes: Any) -> Backfill:
    asked: dict[str, Any] = {
        "first": 2,
        "last": play.last,
        "hotkeys": hotkeys,
        "actor": None,
        "now": START,
        "chunk_blocks": 13,
    }
    return start_backfill(PlaySource(play), **asked | changes)


def run_to_end(backfill: Backfill, source: Source, clock: Clock) -> None:
    """Read with one worker until nothing is left to do for it."""
    for _ in range(500):
        if not read_one_chunk(opened(source), backfill_id=backfill.pk, worker="w", clock=clock):
            break
        clock.forward(1)
    backfill.refresh_from_db()


def states(backfill: Backfill) -> list[str]:
    return list(backfill.chunks.order_by("number").values_list("state", flat=True))


# --- the same bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3])
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_ch9_chunks_read_in_any_order_give_the_facts_of_a_serial_run(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], workers: int, data: st.DataObject
) -> None:
    clock = Clock()
    with transaction.atomic():
        size = data.draw(st.integers(3, 60), label="blocks per chunk")
        backfill = start(play, hotkeys, chunk_blocks=size, parallel=workers)
        claims: list[Any] = []
        for _ in range(500):
            claim = claim_chunk(backfill_id=backfill.pk, worker="w", now=clock())
            if claim is not None:
                claims.append(claim)
                continue
            if not claims:
                break
            turn = data.draw(st.integers(0, len(claims) - 1), label="who is done next")
            read_claimed(opened(PlaySource(play)), claims.pop(turn), clock=clock)
            store_read_chunks(backfill_id=backfill.pk, clock=clock)
        backfill.refresh_from_db()
        assert (backfill.state, set(states(backfill))) == ("DONE", {"STORED"})
        assert facts_sha256() == serial_facts[play.last]
        run = backfill.run
        assert (run.status, run.blocks_done) == ("DONE", play.last - 1)
        assert not BackfillChunk.objects.exclude(payload=None).exists()
        transaction.set_rollback(True)


def test_ch9_a_backfill_goes_on_from_what_is_stored_and_serial_reading_from_what_it_left(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    ingest(PlaySource(play), first=2, last=20, hotkeys=hotkeys)
    backfill = start(play, hotkeys, last=60)
    assert (backfill.first_block, states(backfill)) == (21, ["WAITING"] * 4)
    run_to_end(backfill, PlaySource(play), clock)
    assert facts_sha256() == serial_facts[60]
    ingest(PlaySource(play), first=61, last=play.last, hotkeys=hotkeys)
    assert facts_sha256() == serial_facts[play.last]


def test_ch9_not_more_is_read_ahead_than_may_wait(play: Play, hotkeys: list[str], clock: Clock) -> None:
    backfill = start(play, hotkeys, chunk_blocks=5, parallel=2)
    first = claim_chunk(backfill_id=backfill.pk, worker="slow", now=clock())
    assert first is not None
    for _ in range(30):
        read_one_chunk(opened(PlaySource(play)), backfill_id=backfill.pk, worker="fast", clock=clock)
    assert backfill.ahead_max == 6
    assert states(backfill) == ["READING", *["READY"] * 5, *["WAITING"] * 13]
    assert count_claimable(backfill_id=backfill.pk, now=clock()) == 0
    assert get_progress(backfill).ahead == 25
    assert not Block.objects.exists()
    read_claimed(opened(PlaySource(play)), first, clock=clock)
    assert count_claimable(backfill_id=backfill.pk, now=clock()) == 1
    run_to_end(backfill, PlaySource(play), clock)
    assert backfill.state == "DONE"


# --- workers that die -----------------------------------------------------------------------------------


def test_ch9_a_silent_workers_chunk_is_taken_over_and_its_late_answer_refused(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    backfill = start(play, hotkeys, lease_seconds=30)
    dead = claim_chunk(backfill_id=backfill.pk, worker="dead", now=clock())
    assert dead is not None
    clock.forward(29)
    assert read_one_chunk(opened(PlaySource(play)), backfill_id=backfill.pk, worker="w", clock=clock)
    assert states(backfill)[:2] == ["READING", "READY"]
    clock.forward(2)
    taken = claim_chunk(backfill_id=backfill.pk, worker="w", now=clock())
    assert taken is not None
    # Not at once: what killed one worker would kill the next.
    assert taken.first == 28
    clock.forward(3)
    read_claimed(opened(PlaySource(play)), taken, clock=clock)
    again = claim_chunk(backfill_id=backfill.pk, worker="w", now=clock())
    assert again is not None
    assert (again.first, again.token == dead.token) == (2, False)
    # The one thought dead was only slow.
    read_claimed(opened(PlaySource(play)), dead, clock=clock)
    assert states(backfill)[0] == "READING"
    read_claimed(opened(PlaySource(play)), again, clock=clock)
    run_to_end(backfill, PlaySource(play), clock)
    assert facts_sha256() == serial_facts[play.last]


def test_ch9_a_chunk_that_kills_every_worker_stops_the_backfill(
    play: Play, hotkeys: list[str], clock: Clock
) -> None:
    backfill = start(play, hotkeys, lease_seconds=10)
    while claim_chunk(backfill_id=backfill.pk, worker="victim", now=clock()):
        clock.forward(100)
    assert backfill.chunks.get(number=0).attempts == 5
    store_read_chunks(backfill_id=backfill.pk, clock=clock)
    backfill.refresh_from_db()
    assert backfill.state == "STOPPED"
    assert "the worker victim fell silent" in backfill.error
    assert Gap.objects.get().kind == "RUN_ENDED"


def in_processes(backfill: Backfill, *orders: dict[str, Any], last: int) -> list[int]:
    """Run workers as processes; returns how each ended."""
    database = connection.settings_dict
    environment = dict(
        os.environ,
        PGPASSWORD=database["PASSWORD"] or "",
        RAKEBACK_TEST_DATABASE=database["NAME"],
        RAKEBACK_TEST_USER=database["USER"] or "",
    )
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "chain.tests.backfill_process",
                json.dumps({"backfill": backfill.pk, "last": last} | order),
            ],
            env=environment,
        )
        for order in orders
    ]
    return [process.wait(timeout=60) for process in processes]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_ch9_killed_processes_leave_whole_chunks_and_the_rest_is_done_by_others(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str]
) -> None:
    """`kill -9` while reading a chunk and while storing one, then two workers to the end."""
    backfill = start(play, hotkeys, last=40, chunk_blocks=8, lease_seconds=1, now=datetime.now(UTC))
    # One after the other, because two at once may do each other's part and live.
    assert in_processes(backfill, {"die_at_read": 6}, last=play.last) == [-9]
    assert (states(backfill)[0], last_block()) == ("READING", None)
    assert in_processes(backfill, {"die_at_block": 14}, last=play.last) == [-9]
    assert states(backfill)[:2] == ["STORED", "READY"]
    assert last_block().number == 9  # type: ignore[union-attr]
    assert in_processes(backfill, {}, {}, last=play.last) == [0, 0]
    backfill.refresh_from_db()
    assert (backfill.state, facts_sha256()) == ("DONE", serial_facts[40])


# --- steering -------------------------------------------------------------------------------------------


class Interrupted(PlaySource):
    """Does something to the backfill while a block is being read."""

    def __init__(self, play: Play, number: int, act: Any) -> None:
        super().__init__(play)
        self._hash, self._act = play.blocks[number]["hash"], act

    def call_many(self, calls: Any) -> list[Any]:
        if self._act and any(
            method == "chain_getHeader" and params == [self._hash] for method, params in calls
        ):
            act, self._act = self._act, None
            act()
        return super().call_many(calls)


def test_ch9_paused_workers_put_their_chunks_down_and_resumed_ones_go_on(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    backfill = start(play, hotkeys)

    def pause() -> None:
        pause_backfill(backfill_id=backfill.pk, actor=None, now=clock())
        clock.forward(20)

    source = Interrupted(play, 30, pause)
    run_to_end(backfill, source, clock)
    assert (backfill.state, states(backfill)[:4]) == ("PAUSED", ["STORED", "STORED", "WAITING", "WAITING"])
    assert last_block().number == 27  # type: ignore[union-attr]
    assert not read_one_chunk(opened(source), backfill_id=backfill.pk, worker="w", clock=clock)
    assert count_claimable(backfill_id=backfill.pk, now=clock()) == 0
    assert get_progress(backfill).seconds_left is None
    with pytest.raises(CannotBackfill, match="is paused; it cannot be paused now"):
        pause_backfill(backfill_id=backfill.pk, actor=None, now=clock())
    # Meanwhile somebody reads on by other means, into the middle of a chunk.
    ingest(PlaySource(play), first=28, last=33, hotkeys=hotkeys)
    resume_backfill(backfill_id=backfill.pk, actor=None, now=clock())
    run_to_end(backfill, source, clock)
    assert (backfill.state, facts_sha256()) == ("DONE", serial_facts[play.last])


def test_ch9_what_was_staged_before_a_pause_is_stored_after_it(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    backfill = start(play, hotkeys)
    for _ in range(2):
        claim = claim_chunk(backfill_id=backfill.pk, worker="w", now=clock())
        assert claim is not None
        read_claimed(opened(PlaySource(play)), claim, clock=clock)
    pause_backfill(backfill_id=backfill.pk, actor=None, now=clock())
    assert store_read_chunks(backfill_id=backfill.pk, clock=clock) == 0
    # One whole chunk and a part of the next are stored by a serial run meanwhile.
    ingest(PlaySource(play), first=2, last=20, hotkeys=hotkeys)
    resume_backfill(backfill_id=backfill.pk, actor=None, now=clock())
    assert store_read_chunks(backfill_id=backfill.pk, clock=clock) == 2
    assert last_block().number == 27  # type: ignore[union-attr]
    run_to_end(backfill, PlaySource(play), clock)
    assert facts_sha256() == serial_facts[play.last]


def test_ch9_a_cancelled_backfill_keeps_what_is_stored_and_drops_the_rest(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    backfill = start(play, hotkeys)

    def cancel() -> None:
        cancel_backfill(backfill_id=backfill.pk, actor=None, now=clock())
        clock.forward(20)

    source = Interrupted(play, 50, cancel)
    run_to_end(backfill, source, clock)
    assert backfill.state == "CANCELLED"
    assert states(backfill) == [*["STORED"] * 3, *["CANCELLED"] * 4]
    assert last_block().number == 40  # type: ignore[union-attr]
    assert facts_sha256() == serial_facts[40]
    assert (backfill.run.status, backfill.run.last_block) == ("DONE", 40)
    for step in (pause_backfill, resume_backfill, cancel_backfill):
        with pytest.raises(CannotBackfill, match="cancelled"):
            step(backfill_id=backfill.pk, actor=None, now=clock())
    start(play, hotkeys)


def test_ch9_one_backfill_at_a_time_and_ingestion_waits_for_it(
    play: Play, hotkeys: list[str], clock: Clock
) -> None:
    backfill = start(play, hotkeys, now=datetime.now(UTC))
    with pytest.raises(CannotBackfill, match=rf"backfill {backfill.pk} of blocks 2 to 92 is running"):
        start(play, hotkeys)
    with pytest.raises(IngestBusy, match=rf"backfill {backfill.pk} is running"):
        ingest(PlaySource(play), first=2, last=9, hotkeys=hotkeys)
    with pytest.raises(CannotBackfill, match="is running"):
        resume_backfill(backfill_id=backfill.pk, actor=None, now=datetime.now(UTC))
    # Its workers are gone: nobody waits for it, and it can be taken up again.
    Backfill.objects.update(seen_at=START)
    ingest(PlaySource(play), first=2, last=9, hotkeys=hotkeys)
    resume_backfill(backfill_id=backfill.pk, actor=None, now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"chunk_blocks": 0}, "chunks have 1 to"),
        ({"parallel": 0}, "1 to 64 are read at once"),
        ({"hotkeys": []}, "at least one of your hotkeys"),
        ({"last": 500}, "block 500 is not final yet"),
        ({"first": 30, "last": 20}, "are not a range"),
    ],
)
def test_ch9_what_cannot_be_is_refused_and_nothing_planned(
    play: Play, hotkeys: list[str], asked: dict[str, Any], reason: str
) -> None:
    with pytest.raises((CannotBackfill, CannotIngest), match=reason):
        start(play, **{"hotkeys": hotkeys} | asked)
    assert not Backfill.objects.exists()
    assert not IngestRun.objects.exists()


def test_ch9_without_the_right_nobody_starts_or_steers(play: Play, hotkeys: list[str], clock: Clock) -> None:
    stranger, operator = (User.objects.create_user(name) for name in ("stranger", "operator"))
    operator.groups.add(Group.objects.get(name="operator"))
    with pytest.raises(CannotBackfill, match="you may not"):
        start(play, hotkeys, actor=stranger)
    assert not Backfill.objects.exists()
    backfill = start(play, hotkeys, actor=operator)
    before = list(Backfill.objects.values())
    for step in (pause_backfill, resume_backfill, cancel_backfill):
        with pytest.raises(CannotBackfill, match="you may not"):
            step(backfill_id=backfill.pk, actor=stranger, now=clock())
    with pytest.raises(CannotBackfill, match="you may not"):
        retry_gaps(PlaySource(play), actor=stranger, now=clock())
    assert list(Backfill.objects.values()) == before
    assert pause_backfill(backfill_id=backfill.pk, actor=operator, now=clock()).state == "PAUSED"


# --- gaps -----------------------------------------------------------------------------------------------


class Broken(PlaySource):
    """Cannot give a block's state, so many times."""

    def __init__(self, play: Play, number: int, times: int = 10**9) -> None:
        super().__init__(play)
        self._hash, self.times = play.blocks[number]["hash"], times

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "state_queryStorageAt" and params[-1] == self._hash and self.times > 0:
            self.times -= 1
            raise SourceError("the node is out of order")
        return super().answer(method, params)


def test_ch6_a_node_that_fails_for_a_while_is_asked_again_later(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    backfill = start(play, hotkeys, last=40)
    source = Broken(play, 33)
    for attempt, pause in ((1, 2), (2, 4)):
        while read_one_chunk(opened(source), backfill_id=backfill.pk, worker="w", clock=clock):
            pass
        chunk = backfill.chunks.get(number=2)
        assert (chunk.state, chunk.attempts, chunk.error) == ("WAITING", attempt, "the node is out of order")
        assert chunk.not_before == clock.now + timedelta(seconds=pause)
        assert last_block().number == 27  # type: ignore[union-attr]
        clock.forward(pause)
    source.times = 0
    run_to_end(backfill, source, clock)
    assert (backfill.state, facts_sha256()) == ("DONE", serial_facts[40])
    assert not Gap.objects.exists()


def test_ch6_a_block_that_cannot_be_read_stops_the_backfill_at_a_gap_as_it_stops_a_serial_run(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    backfill = start(play, hotkeys)
    source = Broken(play, 60)
    for _ in range(8):
        run_to_end(backfill, source, clock)
        clock.forward(100)
    assert (backfill.state, backfill.error) == (
        "STOPPED",
        "stopped before block 59: the node is out of order",
    )
    # The blocks before it in the same chunk are stored, but for the one that it would have confirmed.
    assert facts_sha256() == serial_facts[58]
    gap = Gap.objects.get()
    assert (gap.kind, gap.blocks.lower, gap.blocks.upper, gap.state) == ("READ_MISSING", 59, 93, "OPEN")
    assert (gap.detected_by, backfill.run.status) == (backfill.run, "FAILED")
    assert not read_one_chunk(opened(source), backfill_id=backfill.pk, worker="w", clock=clock)
    # The node is repaired.
    source.times = 0
    again = retry_gaps(source, actor=None, now=clock())
    assert again == backfill
    run_to_end(backfill, source, clock)
    gap.refresh_from_db()
    assert (backfill.state, facts_sha256()) == ("DONE", serial_facts[play.last])
    assert (gap.state, gap.resolved_by) == ("RESOLVED", backfill.run)
    assert retry_gaps(source, actor=None, now=clock()) is None


def test_ch6_the_gaps_of_serial_runs_are_read_again_by_a_backfill(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    with pytest.raises(Exception, match="stopped before block 59"):
        ingest(Broken(play, 60), first=2, last=70, hotkeys=hotkeys)
    backfill = retry_gaps(PlaySource(play), actor=None, now=clock(), chunk_blocks=4)
    assert backfill is not None
    assert (backfill.first_block, backfill.last_block) == (59, 70)
    run_to_end(backfill, PlaySource(play), clock)
    gap = Gap.objects.get()
    assert (gap.state, gap.resolved_by) == ("RESOLVED", backfill.run)


class Lying(PlaySource):
    """Moves a share from one holder to another in the listing at one block: every sum still agrees."""

    def __init__(self, play: Play, number: int) -> None:
        super().__init__(play)
        self._hash = play.blocks[number]["hash"]
        self._listed: list[str] = []
        self.lies = 0

    def answer(self, method: str, params: list[Any]) -> Any:
        result = super().answer(method, params)
        if method == "state_queryStorageAt" and params[-1] == self._hash and self.lies == 0:
            changes = result[0]["changes"]
            shares = [change for change in changes if change[0].startswith(SHARES) and change[1]]
            pools: dict[str, list[Any]] = {}
            for change in shares:
                pools.setdefault(change[0][: len(SHARES) + 96] + change[0][-4:], []).append(change)
            for pool in pools.values():
                if len(pool) > 1:
                    pool[0][1], pool[1][1] = pool[1][1], pool[0][1]
                    self.lies += 1
                    break
        return result


SHARES = ""


def test_ch9_positions_that_are_not_those_stored_stop_the_backfill_and_nothing_of_the_chunk_is_stored(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    from chain import keys

    global SHARES  # noqa: PLW0603 - known once the keys are
    SHARES = keys.by_hotkey("Alpha", hotkeys[0])[:66]
    ingest(PlaySource(play), first=2, last=40, hotkeys=hotkeys)
    backfill = start(play, hotkeys, first=2)
    assert backfill.first_block == 41
    liar = Lying(play, 40)
    run_to_end(backfill, liar, clock)
    assert liar.lies == 1
    assert (backfill.state, facts_sha256()) == ("STOPPED", serial_facts[40])
    gap = Gap.objects.get()
    assert (gap.kind, gap.blocks.lower) == ("POSITIONS_DISAGREE", 41)
    assert "after block 40, 2 positions are not those the chain listed" in gap.reason
    # An honest answer, and all is well.
    resume_backfill(backfill_id=backfill.pk, actor=None, now=clock())
    run_to_end(backfill, PlaySource(play), clock)
    assert (backfill.state, facts_sha256()) == ("DONE", serial_facts[play.last])


def test_ch9_a_chunk_of_another_history_is_refused(
    play: Play, hotkeys: list[str], serial_facts: dict[int, str], clock: Clock
) -> None:
    ingest(PlaySource(play), first=2, last=40, hotkeys=hotkeys)
    backfill = start(play, hotkeys)
    claim = claim_chunk(backfill_id=backfill.pk, worker="w", now=clock())
    assert claim is not None
    read_claimed(opened(PlaySource(play)), claim, clock=clock)
    tamper("UPDATE chain_block SET hash = '0x11' WHERE number = 40")
    store_read_chunks(backfill_id=backfill.pk, clock=clock)
    backfill.refresh_from_db()
    assert backfill.state == "STOPPED"
    assert "block 41 names parent 0x" in backfill.error
    assert last_block().number == 40  # type: ignore[union-attr]


# --- what is staged -------------------------------------------------------------------------------------


def test_ch9_chunks_staged_by_another_version_or_for_other_hotkeys_are_read_again(
    play: Play,
    hotkeys: list[str],
    serial_facts: dict[int, str],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from chain.backfill import staging

    backfill = start(play, hotkeys)
    claim = claim_chunk(backfill_id=backfill.pk, worker="w", now=clock())
    assert claim is not None
    with monkeypatch.context() as patched:
        patched.setattr(staging, "VERSION", 0)
        read_claimed(opened(PlaySource(play)), claim, clock=clock)
    assert store_read_chunks(backfill_id=backfill.pk, clock=clock) == 0
    assert states(backfill)[0] == "WAITING"
    run_to_end(backfill, PlaySource(play), clock)
    assert (backfill.state, facts_sha256()) == ("DONE", serial_facts[play.last])


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("backfill_range_valid", "UPDATE chain_backfill SET first_block = 0"),
        ("backfill_range_valid", "UPDATE chain_backfill SET last_block = first_block - 1"),
        ("backfill_limits_positive", "UPDATE chain_backfill SET parallel_max = 0"),
        ("backfill_finished_fits_state", "UPDATE chain_backfill SET state = 'DONE'"),
        ("backfill_finished_fits_state", "UPDATE chain_backfill SET finished_at = now()"),
        ("backfill_stopped_has_reason", "UPDATE chain_backfill SET state = 'STOPPED'"),
        ("backfill_chunk_claim_fits_state", "UPDATE chain_backfillchunk SET state = 'READING'"),
        ("backfill_chunk_payload_fits_state", "UPDATE chain_backfillchunk SET state = 'READY'"),
        ("backfill_chunk_payload_fits_state", "UPDATE chain_backfillchunk SET payload = '' WHERE number = 0"),
        ("backfill_chunk_stored_fits_state", "UPDATE chain_backfillchunk SET state = 'STORED'"),
        ("backfill_chunk_failed_has_reason", "UPDATE chain_backfillchunk SET state = 'FAILED', payload = ''"),
        ("backfill_chunk_claim_fits_state", "UPDATE chain_backfillchunk SET claim = gen_random_uuid()"),
        ("backfill_chunk_once", "UPDATE chain_backfillchunk SET number = 0"),
        ("backfill_chunk_no_overlap", "UPDATE chain_backfillchunk SET blocks = '[2,99)'"),
    ],
)
def test_ch9_the_database_refuses_impossible_states(
    play: Play, hotkeys: list[str], rule: str, statement: str
) -> None:
    start(play, hotkeys)
    with refused(rule), without_triggers():
        sql(statement)


def test_ch9_progress_is_told_in_one_line(play: Play, hotkeys: list[str], clock: Clock) -> None:
    backfill = start(play, hotkeys)
    assert describe_progress(get_progress(backfill)) == "0 of 91 blocks stored (0 %)"
    for _ in range(3):
        read_one_chunk(opened(PlaySource(play)), backfill_id=backfill.pk, worker="w", clock=clock)
        clock.forward(13)
    said = describe_progress(get_progress(backfill))
    assert said == "39 of 91 blocks stored (42 %) · 1.0 blocks/s · about 0 min 52 s left"


def test_ch9_workers_are_asked_for_once_per_free_chunk(
    play: Play,
    hotkeys: list[str],
    clock: Clock,
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(tasks.backfill_chunk, "delay", lambda *, backfill_id: sent.append(backfill_id))
    backfill = start(play, hotkeys, parallel=3, now=datetime.now(UTC))
    with django_capture_on_commit_callbacks(execute=True):
        assert tasks.backfills() == 3
    assert sent == [backfill.pk] * 3
    claim_chunk(backfill_id=backfill.pk, worker="w", now=datetime.now(UTC))
    assert tasks.backfills() == 2
    Backfill.objects.update(runs_on="LOCAL")
    assert tasks.backfills() == 0
