"""The configured nodes: opened pinned, how they did kept and shown, without secrets anywhere (CH7, OP5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from chain.models import Block, Endpoint, Gap, IngestRun
from chain.nodes.health import Condition, Health
from chain.nodes.providers import StaleHead
from chain.nodes.services import configured_nodes, keep_health, open_nodes
from chain.nodes.source import SourceError
from chain.services import IngestStopped, ingest
from chain.tasks import ingest as ingest_task
from chain.tests.factories import make_blocks, make_endpoint
from chain.tests.hostile_node import HostileNode, serving_websocket
from chain.tests.replay_node import Play
from tests.guards import refused, sql, without_triggers

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "t0p-secret"


def with_secrets(url: str) -> str:
    scheme, _, place = url.partition("://")
    return f"{scheme}://{SECRET}:{SECRET}@{place}/{SECRET}?key={SECRET}"


@pytest.fixture
def two(play: Play, settings: Any) -> Iterator[list[HostileNode]]:
    """Two nodes, named in the settings with secrets; the first one fails."""
    nodes = [HostileNode(play, "error", "chain_getBlock"), HostileNode(play)]
    with serving_websocket(nodes[0]) as first, serving_websocket(nodes[1]) as second:
        settings.RAKEBACK_NODE_URL = f"{with_secrets(first)}, {with_secrets(second)}"
        yield nodes


def test_ch7_the_settings_nodes_are_read_in_order_and_how_they_did_is_kept(
    two: list[HostileNode], hotkeys: list[str]
) -> None:
    make_endpoint(9, "FAILING", "an old one")
    with open_nodes() as source:
        ingest(source, first=72, last=75, hotkeys=hotkeys)
    assert Block.objects.count() == 4
    first, second, old = Endpoint.objects.all()
    assert (first.position, first.condition, first.failures) == (1, "FAILING", 1)
    assert "it refused chain_getBlock: Internal error" in first.last_error
    assert (second.position, second.condition, second.last_error) == (2, "HEALTHY", "")
    assert second.last_ok_at is not None
    assert first.head_block == 92
    assert (old.position, old.condition) == (None, "FAILING")


def test_op5_no_secret_of_an_address_is_stored_anywhere(
    play: Play, hotkeys: list[str], settings: Any
) -> None:
    with serving_websocket(HostileNode(play, "error", "chain_getBlock")) as url:
        settings.RAKEBACK_NODE_URL = with_secrets(url)
        with open_nodes() as source:
            source._policy = replace(source._policy, tries=1)
            with pytest.raises(IngestStopped) as stopped:
                ingest(source, first=72, last=75, hotkeys=hotkeys)
    stored = [
        *Endpoint.objects.values(),
        *IngestRun.objects.values(),
        *Gap.objects.values(),
        str(stopped.value),
    ]
    assert IngestRun.objects.get().source == url
    assert url in Gap.objects.get().reason
    assert SECRET not in repr(stored)


def test_ch7_the_stored_chain_is_pinned(play: Play, hotkeys: list[str], two: list[HostileNode]) -> None:
    with open_nodes() as source:
        ingest(source, first=72, last=73, hotkeys=hotkeys)
    with serving_websocket(HostileNode(play, "other_chain")) as url:
        with pytest.raises(SourceError, match="another chain"), open_nodes([url]) as source:
            source.call_many([("system_chain", [])])
        other = Endpoint.objects.get(name=url)
    assert (other.condition, other.position) == ("WRONG_CHAIN", None)
    assert Endpoint.objects.filter(position__isnull=False).count() == 2, (
        "the settings' nodes keep their places"
    )


def test_ch7_a_head_that_stands_is_noticed_over_many_ticks(
    play: Play, hotkeys: list[str], settings: Any
) -> None:
    with serving_websocket(HostileNode(play)) as url:
        settings.RAKEBACK_NODE_URL = url
        with open_nodes() as source:
            ingest(source, first=72, last=75, hotkeys=hotkeys)
        assert ingest_task() == 16
        assert ingest_task() == 0
        Endpoint.objects.update(head_since=datetime.now(UTC) - timedelta(seconds=301))
        with pytest.raises(StaleHead, match="finalized head 92 stands still"):
            ingest_task()
        assert Endpoint.objects.get().condition == "STALE"
        settings.RAKEBACK_NODE_HEAD_SECONDS_MAX = 3_600
        assert ingest_task() == 0
        assert Endpoint.objects.get().condition == "HEALTHY"


def test_ch7_what_was_not_learnt_stays_as_it_was() -> None:
    first = Health("wss://a", 1, Condition.FAILING, 3, NOW, NOW, "broke", 50, 100, NOW)
    keep_health(health=[first, Health("wss://b", 2)], configured=True)
    keep_health(health=[Health("wss://b", 1), Health("wss://a", 2)], configured=True)
    b, a = Endpoint.objects.all()
    assert (a.name, a.condition, a.failures, a.last_error, a.head_block) == (
        "wss://a",
        "FAILING",
        3,
        "broke",
        100,
    )
    assert (b.name, b.condition, b.last_ok_at) == ("wss://b", "UNTRIED", None)
    well = Health("wss://a", 2, Condition.HEALTHY, 0, NOW + timedelta(seconds=9), None, "", 40, 105, NOW)
    keep_health(health=[Health("wss://b", 1), well], configured=True)
    a.refresh_from_db()
    assert (a.condition, a.failures, a.last_error, a.latency_ms, a.head_block) == (
        "HEALTHY",
        0,
        "broke",
        40,
        105,
    )
    assert a.last_ok_at == NOW + timedelta(seconds=9)


def test_ch7_no_node_is_named() -> None:
    assert configured_nodes() == []
    with pytest.raises(SourceError, match="0 nodes are named"), open_nodes():
        pass


# --- pages --------------------------------------------------------------------------------------------------


def page(url: str) -> str:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@pytest.mark.parametrize("condition", Endpoint.Condition.values)
def test_ui1_every_state_of_a_node_says_what_to_do(condition: str) -> None:
    node = make_endpoint(1, condition, "wss://node1.example: it hung up")
    said = page(reverse("admin:chain_endpoint_change", args=[node.pk]))
    assert Endpoint.Condition(condition).label in said
    assert "it hung up" in said
    assert "41 ms" in said
    advice = {
        "UNTRIED": "It is asked first",
        "HEALTHY": "Nothing.",
        "FAILING": "see whether the node runs",
        "STALE": "whether the node is in sync",
        "DOUBTED": "Compare both at the block named",
        "WRONG_CHAIN": "It is never asked",
        "SAME_NODE": "Name a node of another operator",
    }
    assert advice[condition] in said


def test_ui1_nodes_are_listed_in_the_order_in_which_they_are_asked() -> None:
    for position in (2, 1, 3):
        make_endpoint(position)
    gone = make_endpoint(4)
    gone.position = None
    gone.save()
    make_blocks(1, 1)
    said = page(reverse("admin:chain_endpoint_changelist"))
    places = [said.index(f"wss://node{position}.example") for position in (1, 2, 3, 4)]
    assert places == sorted(places)
    assert "Add it to RAKEBACK_NODE_URL to have it asked" in said


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("chain_endpoint_name_key", "name = 'wss://node2.example'"),
        ("chain_endpoint_failures_check", "failures = -1"),
    ],
)
def test_ch7_the_database_refuses_impossible_nodes(rule: str, change: str) -> None:
    make_endpoint(1)
    make_endpoint(2)
    with refused(rule), without_triggers():
        sql(f"UPDATE chain_endpoint SET {change}")
