"""A backfill over real Celery workers and over the command's own processes gives the bytes of a serial run (CH9)."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from chain.queries import facts_sha256
from chain.services import ingest
from chain.tests.replay_node import Play, PlaySource, serving
from tests.processes import PROJECT, environment, eventually, home_of_processes, manage

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
LAST = 60


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with home_of_processes() as folder:
        yield folder


def test_ch9_celery_workers_and_local_processes_store_what_one_serial_run_stores(home: Path) -> None:
    play = Play("play")
    hotkeys = [play.address("val_hot"), play.address("snx_hot")]
    with transaction.atomic():
        ingest(PlaySource(play), first=2, last=LAST, hotkeys=hotkeys)
        serial = facts_sha256()
        transaction.set_rollback(True)
    keys = [word for hotkey in hotkeys for word in ("--hotkey", hotkey)]
    with serving(play) as url:
        variables = {"RAKEBACK_NODE_URL": url, "LOG_LEVEL": "INFO"}

        def run(*words: str) -> str:
            done = manage(home, *words, **variables)
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("migrate", "--verbosity", "0")
        asked = run("backfill", "--from", "2", "--to", "40", "--chunk", "7", *keys, "--no-wait")
        assert asked.startswith("Backfill 1: blocks 2 to 40 from ws://127.0.0.1")
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "rakeback", "worker", "--concurrency", "2", "--without-gossip",
             "--without-mingle", "--loglevel", "INFO"],
            env=environment(home, **variables), cwd=PROJECT,
            stdout=(home / "worker.log").open("w"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            assert eventually(lambda: "done" in run("backfill", "--status"), 60), (
                home / "worker.log"
            ).read_text()
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=60)
        pids = re.findall(r"chain\.backfill\.chunk_read.* pid=(\d+)", (home / "worker.log").read_text())
        assert (len(pids), len(set(pids))) == (6, 2)
        said = run("backfill", "--from", "2", "--to", str(LAST), "--chunk", "6", "--local", "2")
        assert said.splitlines()[-2].startswith("20 of 20 blocks stored (100 %)")
        assert said.splitlines()[-1] == "Done."
        assert run("dump_facts", "--hash").strip() == serial
        assert "2: blocks 41 to 60, done · 20 of 20" in run("backfill", "--status")
