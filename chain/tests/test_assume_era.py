"""A runtime newer than any known: ingestion halts, or goes on by an assumed era's rules and marks what it reads (CH7)."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chain.models import Block, Gap, Runtime, Yield
from chain.nodes.segment import SegmentSource, write_segment
from chain.services import record_segment
from chain.tests.replay_node import Play, PlaySource

pytestmark = pytest.mark.django_db


@pytest.fixture
def newer(play: Play, hotkeys: list[str], tmp_path: Path) -> Path:
    """The recorded play, its node saying that it runs 999."""
    plain, path = tmp_path / "plain.gz", tmp_path / "newer.gz"
    header = record_segment(PlaySource(play), first=2, last=60, hotkeys=hotkeys, path=plain)
    exchanges: dict[str, Any] = {
        asked: {"specVersion": 999} if asked.startswith('["state_getRuntimeVersion"') else answer
        for asked, answer in SegmentSource(plain)._answers.items()
    }
    write_segment(path, replace(header, spec_versions=[999]), exchanges)
    return path


def ingest(path: Path, *arguments: str) -> str:
    out = StringIO()
    call_command("ingest", "--segment", str(path), *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_f31_a_segment_of_a_newer_runtime_halts_and_says_what_to_do(newer: Path) -> None:
    with pytest.raises(CommandError, match=r"999.*check_runtime"):
        ingest(newer)
    assert not Block.objects.exists()


def test_f31_a_newer_runtime_is_read_by_an_assumed_era_and_marked(newer: Path, hotkeys: list[str]) -> None:
    ingest(newer, "--assume-era", "261-333")
    assert Block.objects.count() == 59
    assert not Gap.objects.filter(state="OPEN").exists()
    assumed = Runtime.objects.get(pk=999)
    assert (assumed.assumed, assumed.era, assumed.first_block) == (True, "261–333", 2)
    assert assumed.admitted_by
    assert Block.objects.filter(runtime__assumed=True).count() == 59
    assert Yield.objects.exists()


def test_f31_an_era_that_is_none_is_refused(newer: Path) -> None:
    with pytest.raises(CommandError, match="there is no era 'today'; there are 233–256"):
        ingest(newer, "--assume-era", "today")
    assert not Block.objects.exists()


def test_f31_what_was_assumed_once_stays_so_and_another_era_is_refused(newer: Path) -> None:
    ingest(newer, "--to", "20", "--assume-era", "261-333")
    with pytest.raises(CommandError, match=r"runtime 999 is assumed to be of era 261–333 already.*Leave out"):
        ingest(newer, "--to", "40", "--assume-era", "423+")
    assert Block.objects.count() == 19
    # It is known by now how to read it, and every block stays marked.
    ingest(newer, "--to", "40")
    assert Block.objects.filter(runtime__assumed=True).count() == 39
