"""Whatever a node does, no wrong fact comes of it: it stops, or another node gives what the chain said (CH7).

Each fault × each method that the reader uses, over real sockets, against the facts of an honest run.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from chain import keys
from chain.earnings.yields import MethodsDisagree
from chain.facts import BlockFacts
from chain.models import Block, Gap, IngestRun
from chain.nodes.providers import Policy, Providers, Timing, second_opinion
from chain.nodes.source import SourceError
from chain.nodes.wire import Limits
from chain.payloads import payload_bytes
from chain.queries import facts_sha256
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import UnknownRuntime
from chain.services import CannotIngest, IngestStopped, ingest
from chain.state import BrokenChain, PositionsDisagree, UnsupportedEvent, read_identity
from chain.tests.hostile_node import (
    FAULTS,
    METHODS,
    PIECE,
    HostileNode,
    ToldNode,
    serving_http,
    serving_websocket,
)
from chain.tests.replay_node import Play

STOPS = (SourceError, BrokenChain, MethodsDisagree, PositionsDisagree, UnknownRuntime, UnsupportedEvent)
# A transfer of stake, an epoch beside a swap of stake, conversions.
FIRST, LAST = 72, 75
ANSWER_BYTES_MAX = 1 << 20

# What may pass with one node alone, without harm: it is no lie, or it concerns nothing that was asked. Of a true answer
# about the block before, runtimes and key lists may be the same; the second copy of an answer is noticed at the next
# question, if there is one on that connection.
MAY_PASS = {
    *(("duplicate", method) for method in METHODS),
    *(("other_block", method) for method in METHODS if not method.startswith("chain_get")),
    ("other_block", "chain_getFinalizedHead"),
    ("null", "system_properties"),
    ("null_values", "system_properties"),
    ("stale_head", "system_chain"),
    ("stale_head", "system_properties"),
} - {("other_block", "state_queryStorageAt")}


class Clock:
    """Time that passes only while somebody waits, or by a step at each look."""

    def __init__(self, step: float = 0) -> None:
        self.now, self.step = 0.0, step

    def look(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def providers(
    play: Play, *urls: str, fault: str = "", step: float = 0, tries: int = 2, **more: Any
) -> Providers:
    clock = Clock(step)
    seconds = 0.3 if fault == "delay" else 10
    return Providers(
        urls,
        genesis_hash=play.recording["genesis_hash"],
        limits=Limits(connect_seconds=seconds, read_seconds=seconds, answer_bytes_max=ANSWER_BYTES_MAX),
        policy=Policy(tries=tries),
        timing=Timing(monotonic=clock.look, sleep=clock.sleep),
        **more,
    )


def facts_of(source: Providers, hotkeys: list[str]) -> tuple[Any, ...]:
    """Everything that ingestion would store of a few blocks, but for who gave it."""
    with source:
        identity = second_opinion(source, lambda: read_identity(source))
        reader = ChainReader(source, hotkeys, identity.ss58_prefix)
        start = second_opinion(source, lambda: reader.start_from_chain(FIRST - 1))
        blocks = [
            _nameless(second_opinion(source, partial(reader.read_block, number)))
            for number in range(FIRST, LAST + 1)
        ]
    return identity.chain, identity.genesis_hash, identity.ss58_prefix, start, blocks


def _nameless(facts: BlockFacts) -> dict[str, Any]:
    return {name: value for name, value in vars(facts).items() if name != "provider"}


@pytest.fixture(scope="module")
def good(play: Play) -> Iterator[str]:
    """An honest node for all tests."""
    with serving_websocket(HostileNode(play)) as url:
        yield url


@pytest.fixture(scope="module")
def honest(play: Play, hotkeys: list[str]) -> tuple[Any, ...]:
    node = HostileNode(play)
    with serving_websocket(node) as url:
        facts = facts_of(providers(play, url), hotkeys)
    assert set(node.asked) == set(METHODS), "the reader uses other methods than the faults are tried on"
    assert sum(len(block["yields"]) for block in facts[-1]) > 0
    assert sum(len(block["conversions"]) for block in facts[-1]) > 0
    return facts


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", FAULTS)
def test_ch7_a_hostile_node_alone_stops_reading_or_does_no_harm(
    play: Play, hotkeys: list[str], honest: tuple[Any, ...], fault: str, method: str
) -> None:
    node = HostileNode(play, fault, method)
    stopped = None
    with serving_websocket(node) as url:
        tries = 1 if fault == "delay" else 2
        try:
            facts = facts_of(providers(play, url, fault=fault, tries=tries), hotkeys)
        except STOPS as error:
            stopped = error
        else:
            assert facts == honest
    if fault == "other_chain":
        assert node.asked.keys() == {"chain_getBlockHash"}, "nothing is read from another chain"
    else:
        assert node.asked[method] > 0
    if (fault, method) not in MAY_PASS:
        assert stopped is not None
        assert "127.0.0.1" in str(stopped) or "block" in str(stopped)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fault", FAULTS)
def test_ch7_an_honest_node_behind_a_hostile_one_gives_the_facts(
    play: Play, hotkeys: list[str], honest: tuple[Any, ...], good: str, fault: str, method: str
) -> None:
    bad = HostileNode(play, fault, method)
    with serving_websocket(bad) as url:
        source = providers(play, url, good, fault=fault, tries=6)
        assert facts_of(source, hotkeys) == honest
    assert bad.asked
    if (fault, method) not in MAY_PASS:
        assert source.health()[1].last_ok_at
        assert source.health()[0].last_error


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"delay"}))
def test_ch7_a_hostile_node_that_is_tried_again_and_again_changes_no_fact(
    play: Play, hotkeys: list[str], honest: tuple[Any, ...], good: str, fault: str
) -> None:
    """No rest lasts: at every question the hostile node comes first again, and the facts are put together from both."""
    with serving_websocket(HostileNode(play, fault, "state_queryStorageAt")) as url:
        source = providers(play, url, good, step=10_000)
        assert facts_of(source, hotkeys) == honest


@pytest.mark.parametrize("fault", FAULTS)
def test_ch7_faults_over_http_change_no_fact_either(
    play: Play, hotkeys: list[str], honest: tuple[Any, ...], fault: str
) -> None:
    with (
        serving_http(HostileNode(play, fault, "state_queryStorageAt")) as first,
        serving_http(HostileNode(play)) as second,
    ):
        with pytest.raises(STOPS):
            facts_of(providers(play, first, fault=fault), hotkeys)
        source = providers(play, first, second, fault=fault, tries=6)
        assert facts_of(source, hotkeys) == honest
        assert source.health()[0].last_error


@pytest.mark.parametrize("fault", FAULTS)
def test_ch7_of_two_that_must_agree_one_that_names_itself_badly_changes_no_fact(
    play: Play, hotkeys: list[str], honest: tuple[Any, ...], fault: str
) -> None:
    node, named = HostileNode(play, fault, "system_localPeerId"), ToldNode(play, system_localPeerId="12D3Koo")
    with serving_websocket(node) as url, serving_websocket(named) as other:
        try:
            facts = facts_of(providers(play, url, other, fault=fault, agreement=2), hotkeys)
        except STOPS:
            pass
        else:
            assert facts == honest
    assert node.asked["system_localPeerId"] or fault == "other_chain"


@pytest.mark.parametrize("fault", ["huge", "huge_declared"])
@pytest.mark.parametrize("serving", [serving_websocket, serving_http])
def test_ch7_a_gigabyte_is_cut_off_while_it_is_read(play: Play, serving: Any, fault: str) -> None:
    node = HostileNode(play, fault, "state_getMetadata")
    with serving(node) as url:
        source = providers(play, url, tries=1)
        with source, pytest.raises(SourceError, match="longer than 1,048,576 bytes"):
            source.call_many([("state_getMetadata", [play.blocks[5]["hash"]])])
    # What the limit allows and what the two sockets hold between them, of 16,384 pieces.
    assert PIECE <= node.bytes_sent < 32 << 20


# --- stored -------------------------------------------------------------------------------------------------


def stored(play: Play, hotkeys: list[str], *urls: str) -> str:
    with providers(play, *urls) as source:
        ingest(source, first=FIRST, last=LAST, hotkeys=hotkeys)
    return facts_sha256()


@pytest.mark.django_db
@pytest.mark.parametrize("fault", ["drop", "swapped", "null", "pruned", "huge", "truncated", "stale_head"])
def test_ch6_a_hostile_node_leaves_a_gap_and_an_honest_one_behind_it_the_facts(
    play: Play, hotkeys: list[str], fault: str
) -> None:
    bad = HostileNode(play, fault, "chain_getBlock")
    with serving_websocket(bad) as first, serving_websocket(HostileNode(play)) as second:
        with pytest.raises(IngestStopped, match=f"stopped before block {FIRST}"):
            stored(play, hotkeys, first)
        gap = Gap.objects.get(resolved_at=None)
        assert (gap.kind, gap.blocks.lower, gap.blocks.upper) == ("READ_MISSING", FIRST, LAST + 1)
        assert not Block.objects.exists()
        failed_over = stored(play, hotkeys, first, second)
        gap.refresh_from_db()
        assert gap.resolved_at is not None
        assert Block.objects.count() == LAST - FIRST + 1
        assert IngestRun.objects.order_by("id").last().source == f"{first} and 1 more"  # type: ignore[union-attr]
    # Ingestion of the same from an honest node compares every stored block and finds nothing to add or change.
    with serving_websocket(HostileNode(play)) as url:
        assert stored(play, hotkeys, url) == failed_over


@pytest.mark.django_db
def test_ch7_a_lie_about_a_runtime_is_read_again_elsewhere_and_the_facts_are_the_chains(
    play: Play, hotkeys: list[str], good: str
) -> None:
    with transaction.atomic():
        honest = stored(play, hotkeys, good)
        transaction.set_rollback(True)
    with serving_websocket(ToldNode(play, state_getRuntimeVersion={"specVersion": 999_999})) as url:
        assert stored(play, hotkeys, url, good) == honest
    assert set(Block.objects.values_list("provider", flat=True)) == {good}


@pytest.mark.django_db
def test_ch2_every_block_names_its_node_and_a_touched_one_keeps_its_raw_events(
    play: Play, hotkeys: list[str], good: str
) -> None:
    stored(play, hotkeys, good)
    touched = set()
    for block in Block.objects.select_related("payload"):
        assert block.provider == good
        if block.payload is not None:
            raw = play.answer("state_queryStorageAt", [[keys.SYSTEM_EVENTS], block.hash])[0]["changes"][0][1]
            assert payload_bytes(block.payload).hex() == raw[2:]
            touched.add(block.number)
    assert touched == {72, 73, 74, 75}
    with serving_websocket(HostileNode(play)) as url, providers(play, url) as source:
        ingest(source, first=LAST + 1, last=play.last, hotkeys=hotkeys)
    assert Block.objects.filter(payload=None, yields=None, stake_events=None).exists()
    assert not Block.objects.filter(payload=None, stake_events__isnull=False).exists()


@pytest.mark.django_db
def test_ch7_another_chain_is_refused_by_name_and_nothing_is_stored(play: Play, hotkeys: list[str]) -> None:
    refusal = pytest.raises((SourceError, CannotIngest), match=r"another chain: its genesis is 0x4646")
    with serving_websocket(HostileNode(play, "other_chain")) as url, refusal:
        stored(play, hotkeys, url)
    assert not Block.objects.exists()
    assert not IngestRun.objects.exists()
