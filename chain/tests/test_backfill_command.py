"""`manage.py backfill`: what it says, what it refuses, what it steers (CH6, CH9)."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from chain.backfill.services import start_backfill
from chain.backfill.work import read_one_chunk
from chain.management.commands import backfill as command
from chain.models import Backfill, Gap
from chain.services import now_utc
from chain.tests.factories import make_blocks, make_gap
from chain.tests.replay_node import Play, PlaySource, serving

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = StringIO()
    call_command("backfill", *words, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give --from A"),
        (["--from", "2", "--to", "9"], "set RAKEBACK_NODE_URL"),
        (["--from", "2", "--url", "ws://x"], "--url needs --local N"),
        (
            ["--from", "9", "--to", "2", "--url", "ws://127.0.0.1:9", "--local", "2"],
            "--from 9 is after --to 2",
        ),
        *(
            (["--from", "2", f"--{option}={number}"], rf"argument --{option}: .* from 1 to {most}")
            for option, most in (("local", "64"), ("parallel", "64"), ("chunk", "5,000"))
            for number in ("0", "-1", str(2**31), str(10**30), "9" * 5_000, "1.5", "", "x")
        ),
        *(
            ([f"--{option}={number}"], rf"argument --{option}: .* from 1 to 9,223")
            for option in ("work", "pause", "resume", "cancel")
            for number in ("0", "-1", str(10**30), "9" * 5_000, "x", "")
        ),
        *(
            ([f"--{option}={2**31}"], f"there is no backfill {2**31}; there is none at all yet")
            for option in ("work", "pause", "resume", "cancel")
        ),
        (["--from", "0"], "argument --from: '0' is no block: give a whole number from 1 to 4,294,967,295"),
        (["--from", str(10**30)], "argument --from: .* is no block"),
        (["--from", "2", "--local", "1", "--url", "ws://" + "x" * 301], "its host is none"),
        (["--pause", "7", "--cancel", "8"], "give one of --pause, --cancel"),
        (["--status", "--gaps"], "give one of --gaps, --status"),
        (["--work", "7"], "there is no backfill 7"),
        (["--pause", "7"], "there is no backfill 7"),
        (["--resume", "7"], "there is no backfill 7"),
        (["--cancel", "7"], "there is no backfill 7"),
    ],
)
def test_ch9_the_command_says_what_is_missing(words: list[str], said: str) -> None:
    with override_settings(RAKEBACK_NODE_URL=""), pytest.raises(CommandError, match=said):
        run(*words)
    assert not Backfill.objects.exists()


def test_ch9_the_command_plans_pauses_resumes_cancels_and_tells(play: Play, hotkeys: list[str]) -> None:
    assert "No backfill yet. Start one: manage.py backfill" in run("--status")
    keys = [word for hotkey in hotkeys for word in ("--hotkey", hotkey)]
    with serving(play) as url, override_settings(RAKEBACK_NODE_URL=url):
        with pytest.raises(CommandError, match="name at least one of your hotkeys"):
            run("--from", "2", "--to", "20", "--no-wait")
        said = run("--from", "2", "--to", "20", "--chunk", "10", "--no-wait", *keys)
    backfill = Backfill.objects.get()
    assert said == f"Backfill {backfill.pk}: blocks 2 to 20 from {url}\n"
    assert [chunk.blocks.lower for chunk in backfill.chunks.order_by("number")] == [2, 12]
    read_one_chunk(lambda: nullcontext(PlaySource(play)), backfill_id=backfill.pk, worker="w", clock=now_utc)
    assert f"--resume {backfill.pk}" in run("--pause", str(backfill.pk))
    assert "2 to 20, paused · 10 of 19 blocks stored (52 %)" in run("--status")
    run("--resume", str(backfill.pk), "--no-wait")
    Backfill.objects.update(seen_at=datetime(2025, 1, 1, tzinfo=UTC))
    assert "running, but no worker is heard of" in run("--status")
    assert "10 of 19 blocks stored (52 %)" in run("--cancel", str(backfill.pk))
    with pytest.raises(CommandError, match="is cancelled; it cannot be cancelled now"):
        run("--cancel", str(backfill.pk))


def test_ch9_the_worker_of_the_command_reads_to_the_end(play: Play, hotkeys: list[str]) -> None:
    backfill = start_backfill(
        PlaySource(play), first=2, last=12, hotkeys=hotkeys, actor=None, now=now_utc(), chunk_blocks=6
    )
    with serving(play) as url:
        run("--work", str(backfill.pk), "--url", url)
    backfill.refresh_from_db()
    assert backfill.state == "DONE"


def test_ch9_who_asks_for_a_backfill_that_is_none_is_told_which_there_are(
    play: Play, hotkeys: list[str]
) -> None:
    backfill = start_backfill(
        PlaySource(play), first=2, last=12, hotkeys=hotkeys, actor=None, now=now_utc(), chunk_blocks=6
    )
    for option in ("work", "pause", "resume", "cancel"):
        with pytest.raises(CommandError, match=f"there is no backfill 999999; the newest are {backfill.pk}"):
            run(f"--{option}", "999999")
    run("--cancel", str(backfill.pk))
    assert run("--work", str(backfill.pk)) == f"backfill {backfill.pk} is cancelled: nothing to do.\n"


def test_ch6_the_command_closes_what_is_filled_and_names_what_needs_a_person(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_open", lambda _: nullcontext(PlaySource(play)))
    with pytest.raises(CommandError, match="say with --from and --to where to begin"):
        run("--gaps")
    make_blocks(1, 9)
    make_blocks(12, 92)
    filled: Any = make_gap(3, 6)
    make_gap(10, 12, "MISSING_BLOCKS")
    assert run("--gaps") == ("Open: Blocks missing between others, blocks 10 to 11: no answer for block\n")
    filled.refresh_from_db()
    assert (filled.state, Gap.objects.filter(state="OPEN").count()) == ("RESOLVED", 1)
    make_blocks(10, 11)
    assert run("--gaps") == "No gap is open.\n"
