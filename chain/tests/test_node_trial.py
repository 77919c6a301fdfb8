"""Trying the nodes: what each answers, whether its state is old enough, by command and on the page (CH7, UI8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from chain.models import Block, Endpoint, IngestRun
from chain.nodes.services import open_nodes
from chain.services import ingest
from chain.tests.factories import make_blocks
from chain.tests.hostile_node import HostileNode, serving_websocket
from chain.tests.replay_node import Play

pytestmark = pytest.mark.django_db


@pytest.fixture
def good(play: Play) -> Iterator[str]:
    with serving_websocket(HostileNode(play)) as url:
        yield url


def check(*args: str) -> str:
    out = StringIO()
    call_command("check_nodes", *args, stdout=out)
    return out.getvalue()


def test_ch7_a_node_says_its_chain_runtime_and_head_and_has_the_block(good: str, play: Play) -> None:
    said = check("--url", good, "--block", "72")
    chain = play.answer("system_chain", [])
    assert f"{good}: {chain}, runtime 293, finalized head 92," in said
    assert "has the state of block 72" in said
    assert not Block.objects.exists()
    assert not IngestRun.objects.exists()
    node = Endpoint.objects.get()
    assert (node.condition, node.head_block, node.position) == ("HEALTHY", 92, None)


@pytest.mark.parametrize(
    ("fault", "method", "told"),
    [
        ("pruned", "state_queryStorageAt", "but cannot be read from block 72 on: has pruned block 72"),
        ("null_values", "state_queryStorageAt", "but cannot be read from block 72 on: has pruned block 72"),
        ("error", "system_chain", "it refused system_chain: Internal error"),
        ("wrong_type", "state_getRuntimeVersion", "state_getRuntimeVersion"),
        ("garbage", "", "ws://"),
        ("drop", "", "ws://"),
    ],
)  # fmt: skip
def test_ch7_a_node_that_is_of_no_use_is_named_beside_one_that_is(
    good: str, play: Play, fault: str, method: str, told: str
) -> None:
    with serving_websocket(HostileNode(play, fault, method)) as bad:
        out = StringIO()
        with pytest.raises(CommandError, match="not every node can be read from block 72 on"):
            call_command("check_nodes", "--url", f"{bad},{good}", "--block", "72", stdout=out)
    first, second = out.getvalue().splitlines()
    assert bad in first
    assert re.search(told, first)
    assert "has the state of block 72" in second


def test_ch7_a_node_of_another_chain_than_the_stored_one_is_told(
    good: str, play: Play, hotkeys: list[str]
) -> None:
    with open_nodes([good]) as source:
        ingest(source, first=72, last=73, hotkeys=hotkeys)
    assert "has the state of block 72" in check("--url", good)
    with serving_websocket(HostileNode(play, "other_chain")) as other, pytest.raises(CommandError):
        check("--url", other)
    assert Endpoint.objects.get(name=other).condition == "WRONG_CHAIN"


def test_ch7_a_block_that_is_not_final_yet_is_not_there(good: str) -> None:
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("check_nodes", "--url", good, "--block", "93", stdout=out)
    assert "cannot be read from block 93 on" in out.getvalue()


def test_ch7_without_a_node_the_command_says_how_to_name_one() -> None:
    with pytest.raises(CommandError, match=r"0 nodes are named.*Give --url wss://… or set RAKEBACK_NODE_URL"):
        check()


# --- the page -----------------------------------------------------------------------------------------------


def client_of(name: str, group: str) -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


def test_ui8_an_operator_tries_the_nodes_and_reads_what_each_said(
    good: str, play: Play, settings: Any
) -> None:
    client = client_of("olivia", "operator")
    with serving_websocket(HostileNode(play, "error", "system_chain")) as bad:
        settings.RAKEBACK_NODE_URL = f"{good},{bad}"
        make_blocks(72, 73)
        page = client.get(reverse("admin:chain_endpoint_try"))
        assert "Ask 2 nodes now" in page.content.decode()
        assert not Endpoint.objects.exists()
        answer = client.post(reverse("admin:chain_endpoint_try_confirm"), follow=True)
    said = [(message.level_tag, str(message)) for message in answer.context["messages"]]
    assert [tag for tag, _ in said] == ["success", "error"]
    assert "has the state of block 72" in said[0][1]
    assert "it refused system_chain" in said[1][1]
    assert [node.condition for node in Endpoint.objects.all()] == ["HEALTHY", "FAILING"]


def test_ui8_a_viewer_may_not_try_the_nodes_and_nothing_is_asked_without_any() -> None:
    viewer = client_of("vera", "viewer")
    assert viewer.get(reverse("admin:chain_endpoint_try")).status_code == 403
    assert viewer.post(reverse("admin:chain_endpoint_try_confirm")).status_code == 403
    assert b"Try the nodes" not in viewer.get(reverse("admin:chain_endpoint_changelist")).content
    operator = client_of("olivia", "operator")
    assert b"Try the nodes" in operator.get(reverse("admin:chain_endpoint_changelist")).content
    page = operator.get(reverse("admin:chain_endpoint_try")).content.decode()
    assert "RAKEBACK_NODE_URL is not set" in page
    answer = operator.post(reverse("admin:chain_endpoint_try_confirm"), follow=True)
    assert "Nothing was asked: 0 nodes are named" in answer.content.decode()
