"""Plays, and a segment recorded from one, for the chain's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain.services import record_segment
from chain.tests.replay_node import Play, PlaySource


@pytest.fixture(scope="session")
def play() -> Play:
    """92 blocks of a real runtime: two subnets, two validators, six delegators."""
    return Play("play")


@pytest.fixture(scope="session")
def hotkeys(play: Play) -> list[str]:
    """The validator's own hotkeys in the play."""
    return [play.address("val_hot"), play.address("snx_hot")]


@pytest.fixture(scope="session")
def segment(play: Play, hotkeys: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segment of the whole play."""
    path = tmp_path_factory.mktemp("segments") / "play.segment.gz"
    record_segment(PlaySource(play), first=2, last=play.last, hotkeys=hotkeys, path=path)
    return path
