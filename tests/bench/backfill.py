"""A backfill by two worker processes against the same by one, from a node that answers at once: storing must not limit.

Each is run several times, in turns, and the quickest counts: whatever else a machine does can only make a run slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.core.management import call_command
from django.db import connection

from chain.backfill.services import start_backfill
from chain.models import Backfill
from chain.queries import facts_sha256
from chain.services import now_utc
from chain.tests.long_play import LongPlay
from chain.tests.replay_node import PlaySource
from tests.bench.__main__ import report

# As many events as a block of mainnet has.
LAST, EVENTS_PER_BLOCK, CHUNK_BLOCKS = 2_000, 170, 100
RUNS = 2
EMPTY = "bench_backfill"


@contextmanager
def database_from(name: str, template: str) -> Iterator[None]:
    """Use a copy of another database for a while."""
    before = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    connection.close()
    connection.settings_dict["NAME"] = "postgres"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def _seconds(play: LongPlay, workers: int) -> tuple[float, str]:
    """Run a backfill over so many processes; the time from the start of reading to the last block stored."""
    hotkeys = [play.address("val_hot"), play.address("snx_hot")]
    backfill = start_backfill(
        PlaySource(play), first=2, last=LAST, hotkeys=hotkeys, actor=None, now=now_utc(),
        chunk_blocks=CHUNK_BLOCKS, parallel=workers, runs_on=Backfill.RunsOn.LOCAL,
    )  # fmt: skip
    orders = {"backfill": backfill.pk, "last": LAST, "events": EVENTS_PER_BLOCK, "waits": True}
    database = connection.settings_dict
    environment = dict(
        os.environ,
        DJANGO_SETTINGS_MODULE="rakeback.settings",
        RAKEBACK_TEST_DATABASE=database["NAME"],
        RAKEBACK_TEST_USER=database["USER"] or "",
    )
    command = [sys.executable, "-m", "chain.tests.backfill_process", json.dumps(orders)]
    processes = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    # Loading everything is not what is measured.
    ready = [process.stdout and process.stdout.readline() for process in processes]
    started_at = now_utc()
    ended = [process.wait() for process in _told(processes)]
    backfill.refresh_from_db()
    if ready != ["ready\n"] * workers or any(ended) or backfill.finished_at is None:
        raise RuntimeError(f"the backfill did not end: {backfill.state} {backfill.error} {ready} {ended}")
    return (backfill.finished_at - started_at).total_seconds(), facts_sha256()


def _told(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Let all begin before any is waited for."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes


@cache
def make_empty() -> None:
    """Make the database whose copies are filled."""
    with database_from(EMPTY, "template0"):
        call_command("migrate", interactive=False, verbosity=0)


def run() -> None:
    """Blocks per second with two workers and with one; the facts are equal to the byte."""
    play = LongPlay("play", LAST, events=EVENTS_PER_BLOCK)
    make_empty()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    facts = set()
    for _ in range(RUNS):
        for workers, measured in seconds.items():
            with database_from(f"{EMPTY}_{workers}", EMPTY):
                took, sha256 = _seconds(play, workers)
            measured.append(took)
            facts.add(sha256)
    if len(facts) != 1:
        raise RuntimeError("two workers stored other facts than one")
    report("chain.backfill_two_workers", LAST / min(seconds[2]), "blocks/s", LAST / min(seconds[1]))
