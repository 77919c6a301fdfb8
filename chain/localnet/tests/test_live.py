"""A live runtime, recorded and replayed. Skipped by name where Node, chopsticks or the chain spec is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain.localnet import swap
from chain.localnet.node import (
    LocalnetUnavailable,
    LocalNode,
    account,
    find_chopsticks,
    find_node,
    find_raw_spec,
)
from chain.localnet.stage import Stage
from chain.models import Yield
from chain.nodes.source import NodeSource
from chain.services import check_positions, ingest_segment, record_segment


def missing() -> str:
    """Say what a live runtime needs and this machine lacks."""
    try:
        node = find_node()
        find_raw_spec(node, find_chopsticks())
    except LocalnetUnavailable as error:
        return str(error)
    return ""


@pytest.mark.localnet
@pytest.mark.skipif(bool(missing()), reason=f"no local chain: {missing()}")
@pytest.mark.django_db
def test_ch10_a_live_runtime_is_recorded_and_replayed_to_the_last_rao(tmp_path: Path) -> None:
    path = tmp_path / "live.segment.gz"
    hotkey = account("key_a").ss58_address
    with LocalNode(port=9961) as node:
        swap.play(Stage(node, swap.CAST, report=lambda _: None))
        with NodeSource(node.url) as source:
            record_segment(source, first=2, last=node.number(), hotkeys=[hotkey], path=path)
    ingest_segment(path)
    check = check_positions(path)
    assert check.differences == []
    assert check.positions > 3
    assert Yield.objects.count() > 20
