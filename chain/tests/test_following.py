"""Following a node: stops after a block, connects again, and ends loudly where a block cannot be proved (CH1)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from chain.backfill.services import pause_backfill, start_backfill
from chain.following import Standing, follow, is_resting
from chain.management.signals import Stop
from chain.models import Gap, IngestRun
from chain.nodes.services import open_nodes
from chain.nodes.source import BadNodes, SourceError
from chain.queries import facts_sha256, last_block
from chain.services import CannotIngest, IngestStopped, ingest_segment
from chain.state import UnsupportedEvent
from chain.tasks import ingest as ingest_task
from chain.tests.hostile_node import HostileNode, ToldNode, serving_websocket
from chain.tests.replay_node import Play, PlaySource, serving

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Follower:
    """Follows until there is nothing new, or until it stored so many blocks."""

    def __init__(self, *, stop_at: int = 10**9, waits: int = 1) -> None:
        self.stop_at, self.waits = stop_at, waits
        self.shown: list[Standing] = []
        self.said: list[str] = []
        self.slept: list[float] = []

    def should_stop(self) -> bool:
        stored = last_block()
        return self.waits <= 0 or (stored is not None and stored.number >= self.stop_at)

    def wait(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.waits -= 1

    def run(self, open_source: Any) -> None:
        follow(
            open_source,
            poll_seconds=6,
            should_stop=self.should_stop,
            wait=self.wait,
            clock=lambda: NOW,
            show=self.shown.append,
            say=self.said.append,
        )


def test_ch1_new_blocks_are_stored_and_shown_until_a_stop_after_any_block(play: Play, segment: Path) -> None:
    # The last block has no next one yet that would confirm it.
    newest = play.last - 1
    ingest_segment(segment, last=30)
    follower = Follower(stop_at=37)
    follower.run(lambda: nullcontext(PlaySource(play)))
    assert last_block().number == 37  # type: ignore[union-attr]
    run = IngestRun.objects.first()
    assert run is not None
    assert (run.status, run.first_block, run.last_block, run.blocks_done) == ("DONE", 31, 37, 7)
    assert [(standing.block, standing.lag) for standing in follower.shown] == [
        (number, newest - number) for number in [30, *range(31, 38)]
    ]
    assert follower.shown[-1].seconds_old == int((NOW - last_block().timestamp).total_seconds())  # type: ignore[union-attr]
    assert not Gap.objects.exists()
    again = Follower()
    again.run(lambda: nullcontext(PlaySource(play)))
    assert last_block().number == newest  # type: ignore[union-attr]
    assert (again.shown[-1].lag, again.slept, again.said) == (0, [6], [])


def test_ch1_a_lost_connection_is_made_again_and_the_facts_are_the_same(play: Play, segment: Path) -> None:
    with transaction.atomic():
        ingest_segment(segment, last=play.last - 1)
        whole = facts_sha256()
        transaction.set_rollback(True)
    connections = 0

    class Flaky(PlaySource):
        def call_many(self, calls: Any) -> list[Any]:
            if self.batches == 12:
                raise SourceError("play stopped answering")
            return super().call_many(calls)

    @contextmanager
    def opened() -> Any:
        nonlocal connections
        connections += 1
        if connections == 2:
            raise SourceError("no node answers at play")
        yield Flaky(play)

    ingest_segment(segment, last=30)
    follower = Follower(waits=40, stop_at=play.last - 1)
    follower.run(opened)
    assert facts_sha256() == whole
    assert connections > 3
    assert follower.said[0].endswith("play stopped answering; connecting again in 2 s")
    assert follower.said[1] == "no node answers at play; connecting again in 4 s"
    assert not Gap.objects.filter(state="OPEN").exists()


def test_f31_a_block_that_cannot_be_proved_ends_following_loudly(
    play: Play, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest_segment(segment, last=30)

    def refuse(*_: Any) -> Any:
        raise UnsupportedEvent("block 31: something new")

    monkeypatch.setattr("chain.reading.reader.ChainReader.read_block", refuse)
    follower = Follower(waits=9)
    with pytest.raises(IngestStopped, match="something new"):
        follower.run(lambda: nullcontext(PlaySource(play)))
    assert (follower.slept, Gap.objects.get().kind) == ([], "UNSUPPORTED")


def test_ch9_following_waits_while_a_backfill_is_at_work(
    play: Play, hotkeys: list[str], segment: Path
) -> None:
    ingest_segment(segment, last=30)
    backfill = start_backfill(
        PlaySource(play), first=31, last=50, hotkeys=hotkeys, actor=None, now=datetime.now(UTC)
    )
    follower = Follower(waits=2)
    follower.run(lambda: nullcontext(PlaySource(play)))
    assert last_block().number == 30  # type: ignore[union-attr]
    assert (
        follower.said
        == [f"waiting: backfill {backfill.pk} is running; wait for it to end, or pause or cancel it"] * 2
    )
    pause_backfill(backfill_id=backfill.pk, actor=None, now=NOW)
    Follower().run(lambda: nullcontext(PlaySource(play)))
    assert last_block().number == play.last - 1  # type: ignore[union-attr]


def test_ch1_where_to_begin_is_for_a_person_to_say(play: Play) -> None:
    with pytest.raises(CannotIngest, match="Say once where to begin"):
        Follower().run(lambda: nullcontext(PlaySource(play)))


@pytest.mark.parametrize(
    ("urls", "agreement", "said"),
    [
        (["x"], 1, "this is not the address of a node"),
        (["ws://127.0.0.1:9", "ftp://secret"], 1, "this is not the address of a node"),
        (["ws://" + "a" * 400], 1, "its host is none"),
        (["ws://127.0.0.1:9"], 2, "1 nodes are named, and 2 must agree"),
        (["ws://127.0.0.1:9", "ws://localhost:9/key"], 2, "are one server, and 2 must agree"),
    ],
)
def test_ch1_nodes_that_can_never_be_asked_end_following_at_once(
    segment: Path, settings: Any, urls: list[str], agreement: int, said: str
) -> None:
    ingest_segment(segment, last=30)
    settings.RAKEBACK_NODE_AGREEMENT = agreement
    follower = Follower(waits=9)
    with pytest.raises(BadNodes, match=said) as refused:
        follower.run(lambda: open_nodes(urls, following=True))
    assert "secret" not in str(refused.value)
    assert (follower.slept, follower.said) == ([], [])
    with pytest.raises(CommandError, match=said):
        call_command("ingest", follow=True, url=",".join(urls))


# --- the command ----------------------------------------------------------------------------------------


def test_ch1_the_command_follows_until_it_is_told_to_stop(
    play: Play, hotkeys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, errors = StringIO(), StringIO()

    def stop_when_up_to_date(self: Stop, seconds: float) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return self.is_asked()

    monkeypatch.setattr(Stop, "wait", stop_when_up_to_date)
    handlers = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    with serving(play) as url:
        options: dict[str, Any] = {"url": url, "follow": True, "stdout": out, "stderr": errors}
        with pytest.raises(CommandError, match="say with --from A and --hotkey SS58"):
            call_command("ingest", **options)
        call_command("ingest", **options, hotkey=hotkeys, **{"from": 80})
    assert out.getvalue().splitlines()[-1] == f"Stopped after block {play.last - 1}."
    assert f"block {play.last - 1} · head {play.last - 1} · up to date" in out.getvalue()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    # A node that finalized less than what is stored is behind, and nobody is up to date.
    with serving_websocket(ToldNode(play, chain_getFinalizedHead=play.blocks[60]["hash"])) as url:
        call_command("ingest", follow=True, url=url, stdout=out, stderr=errors)
    assert f"head 59 · the node is {play.last - 60} behind what is stored" in out.getvalue()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--follow"], "give --url"),
        (["--follow", "--url", "ws://x", "--to", "5"], "--follow has no end"),
        *(
            (["--follow", "--url", "ws://x", f"--poll={seconds}"], "seconds above 0")
            for seconds in ("0", "-1", "nan", "inf", "1e9", "soon", "")
        ),
        (["--follow", "--url", "x"], "argument --url: this is not the address of a node"),
        (["--follow", "--url", ""], "argument --url: this is not the address of a node"),
        (["--follow", "--url", "ws://x,"], "argument --url: address 2: this is not the address of a node"),
        (["--url", "ws://x", "--from", "5", "--to", "9"], "name at least one of your hotkeys"),
        (["--url", "ws://x", "--from", "0", "--to", "9"], "'0' is no block: give a whole number from 1 to"),
        (["--url", "ws://x", "--from", "-3", "--to", "9"], "'-3' is no block"),
        (["--url", "ws://x", "--from", "5", "--to", "1" + "0" * 30], "'1000000000.* is no block"),
        (["--url", "ws://x", "--from", "9" * 5_000, "--to", "9"], "'9{79}… is no block"),
        (["--segment", ""], "argument --segment: it is empty"),
        (["--segment", "none.gz", "--assume-era", ""], "there is no era ''"),
        ([], "or --url ws://… --follow"),
    ],
)
def test_ch1_the_command_says_what_is_missing(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("ingest", *words)


@pytest.fixture
def heard() -> Iterator[None]:
    """Signals as in a terminal: a shell that starts a program behind itself has it ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ch1_the_first_signal_asks_and_the_second_insists() -> None:
    with Stop() as stop:
        assert not stop.is_asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_asked()
        assert stop.wait(60)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


# --- the scheduled task -----------------------------------------------------------------------------------


def failed_run(first: int, at: datetime) -> None:
    IngestRun.objects.create(
        source="node", first_block=first, last_block=first + 9, status="FAILED", started_at=at, finished_at=at
    )


def test_ch6_a_block_that_cannot_be_read_is_tried_less_and_less_often() -> None:
    assert not is_resting(NOW)
    for failures, seconds in enumerate([24, 48, 96, 192, 384, 600, 600, 600], 1):
        failed_run(7, NOW)
        assert IngestRun.objects.count() == failures
        assert is_resting(NOW + timedelta(seconds=seconds - 1))
        assert not is_resting(NOW + timedelta(seconds=seconds))
    # Another block begins anew; a run that did well ends the rest.
    failed_run(8, NOW)
    assert not is_resting(NOW + timedelta(seconds=24))
    IngestRun.objects.create(
        source="node", first_block=8, last_block=9, status="DONE", started_at=NOW, finished_at=NOW
    )
    assert not is_resting(NOW)


def test_ch6_the_scheduled_task_keeps_a_failure_once_and_waits_until_somebody_began(
    play: Play, segment: Path, settings: Any
) -> None:
    settings.RAKEBACK_NODE_URL = "ws://127.0.0.1:9"
    assert ingest_task() == 0
    assert not IngestRun.objects.exists()
    ingest_segment(segment, last=30)
    with serving_websocket(HostileNode(play, "pruned", "state_queryStorageAt")) as url:
        settings.RAKEBACK_NODE_URL = url
        assert ingest_task() == 0
        assert ingest_task() == 0
    assert IngestRun.objects.filter(status="FAILED").count() == 1
    assert "has pruned block 31" in IngestRun.objects.latest("id").error
