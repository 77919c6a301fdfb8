"""One node: batches, limits, proofs of what it says (CH7), and the secrets in its address (OP5)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from chain import keys
from chain.nodes.answers import Known, not_held
from chain.nodes.block_hashes import header_hash
from chain.nodes.providers import Policy, Providers
from chain.nodes.source import MissingRead, NodeSource, SourceError, WrongChain, call_one, describe_url
from chain.nodes.wire import BadAddress, Limits, NodeAddress
from chain.tests.hostile_node import HostileNode, ToldNode, serving_http, serving_websocket
from chain.tests.replay_node import Play


def test_ch7_a_node_that_hung_up_between_two_questions_is_simply_called_again(play: Play) -> None:
    for serving in (serving_websocket, serving_http):
        node = HostileNode(play)
        with serving(node) as url, NodeSource(url) as source:
            call_one(source, "system_chain")
            assert source._wire is not None
            source._wire._line._socket.shutdown(2)  # type: ignore[attr-defined]
            assert call_one(source, "system_chain") == play.recording["chain"]


def test_ch7_one_node_alone_says_when_it_is_of_another_chain(play: Play) -> None:
    with serving_websocket(HostileNode(play, "other_chain")) as url:
        source = NodeSource(url)
        source.known.genesis_hash = play.recording["genesis_hash"]
        with pytest.raises(WrongChain, match="serves another chain"):
            call_one(source, "system_chain")
        source.close()


@pytest.mark.parametrize("serving", [serving_websocket, serving_http])
def test_ch7_a_big_batch_is_split_and_answered_in_order(play: Play, serving: Any) -> None:
    numbers = [1 + n % 90 for n in range(1_000)]
    with serving(HostileNode(play)) as url, NodeSource(url, limits=Limits(calls_max=300)) as source:
        found = source.call_many([("chain_getBlockHash", [number]) for number in numbers])
        assert found == [play.blocks[number]["hash"] for number in numbers]
        assert source.round_trips == 4
        keys = [["0x" + "ab" * 50] * 1_500] * 9
        assert len(list(source._batches([("state_queryStorageAt", [some, ""]) for some in keys]))) == 2


@pytest.mark.parametrize("serving", [serving_websocket, serving_http])
def test_ch7_answers_that_are_too_much_together_are_asked_for_in_halves(play: Play, serving: Any) -> None:
    block_hash = play.blocks[5]["hash"]
    limits = Limits(answer_bytes_max=1_000_000)
    with serving(HostileNode(play)) as url, NodeSource(url, limits=limits) as source:
        assert source.call_many([("state_getMetadata", [block_hash])] * 5) == [play.metadata] * 5


def test_ch7_a_node_that_takes_small_batches_only_is_asked_in_small_ones_from_then_on(play: Play) -> None:
    class Small(HostileNode):
        def refuse_batch(self, size: int) -> str:
            said = {"code": -32010, "message": "The batch request was too large"}
            return json.dumps({"jsonrpc": "2.0", "id": None, "error": said}) if size > 8 else ""

    node = Small(play)
    with serving_http(node) as url, NodeSource(url) as source:
        calls = [("chain_getBlockHash", [number]) for number in range(1, 65)]
        assert len(source.call_many(calls)) == 64
        trips = source.round_trips
        assert len(source.call_many(calls)) == 64
        assert source.round_trips - trips == 8


def test_ch7_bytes_that_drip_do_not_stretch_the_time_allowed(play: Play) -> None:
    class Dripping(HostileNode):
        def texts(self, request: dict[str, Any]) -> Iterator[str]:
            yield "drip"

    for serving in (serving_websocket, serving_http):
        with (
            serving(Dripping(play)) as url,
            NodeSource(url, limits=Limits(read_seconds=0.2)) as source,
            pytest.raises(SourceError, match=r"no (whole )?answer within 0\.2 seconds"),
        ):
            call_one(source, "system_chain")


def test_ch7_a_header_is_proved_by_its_hash(play: Play) -> None:
    for block in play.blocks.values():
        assert header_hash(block["header"]) == block["hash"]
    changed = {**play.blocks[50]["header"], "parentHash": play.blocks[48]["hash"]}
    node = ToldNode(play, chain_getHeader=changed)
    with (
        serving_websocket(node) as url,
        NodeSource(url) as source,
        pytest.raises(SourceError, match="its header is not that of block"),
    ):
        call_one(source, "chain_getHeader", play.blocks[50]["hash"])


def test_ch7_an_empty_list_of_keys_is_believed_only_where_the_state_is_there(play: Play) -> None:
    block_hash = play.blocks[50]["hash"]
    nothing = "0x" + "00" * 32
    with serving_websocket(HostileNode(play)) as url, NodeSource(url) as source:
        assert call_one(source, "state_getKeysPaged", nothing, 10, nothing, block_hash) == []
    with (
        serving_websocket(ToldNode(play, state_getKeysPaged=[])) as url,
        NodeSource(url) as source,
        pytest.raises(MissingRead, match="needs an archive node"),
    ):
        call_one(source, "state_getKeysPaged", nothing, 10, nothing, block_hash)


# --- addresses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("wss://user:secret@node.example:443/v1/key?token=abc", "wss://node.example"),
        ("ws://127.0.0.1:9944", "ws://127.0.0.1:9944"),
        ("http://[::1]:9933/key", "http://[::1]:9933"),
        ("https://NODE.example/secret", "https://node.example"),
    ],
)
def test_op5_a_nodes_name_is_its_address_without_secrets(url: str, name: str) -> None:
    assert describe_url(url) == name
    assert repr(NodeAddress.parse(url)) == f"NodeAddress({name})"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://secret.example",
        "secret",
        "ws://",
        "ws://secret:99999",
        "ws://secret:port",
        "http://se cret/",
        "ws://[secret",
        "ws://host/se\ncret",
        "ws://hôte/secret",
        "ws://secret:0",
        "ws://" + "secret" * 11 + ".example",
        "ws://" + "secret." * 37 + "example",
        "ws://secret..example",
        "ws://.secret",
        "http://[fe80::1%" + "secret" * 50 + "]/",
    ],
)
def test_op5_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BadAddress) as refused:
        NodeAddress.parse(url)
    with pytest.raises(SourceError) as error:
        NodeSource(url)
    for raised in (refused.value, error.value):
        told: BaseException | None = raised
        while told is not None:
            assert "cret" not in str(told)
            told = told.__context__


def test_op5_a_host_may_be_as_long_as_names_are_and_what_follows_longer() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    for host in (
        longest,
        f"{longest}.",
        "localhost",
        "node.example.",
        "under_score",
        "127.0.0.1",
        "[fe80::1]",
    ):
        url = f"wss://user:{'p' * 500}@{host}:65535/{'k' * 5_000}?{'q' * 5_000}"
        assert NodeSource(url).name == f"wss://{host}:65535"
    assert len(longest) == 253


SECRETS = ("alice", "s3cr3t", "k3y-in-path", "t0ken")


@pytest.mark.parametrize("serving", [serving_websocket, serving_http])
@pytest.mark.parametrize(
    "fault", ["", "drop", "error", "garbage", "echo", "truncated", "huge", "other_chain"]
)
def test_op5_secrets_of_an_address_reach_no_log_message_error_or_health(
    play: Play, caplog: pytest.LogCaptureFixture, serving: Any, fault: str
) -> None:
    class Echo(HostileNode):
        """A gateway that repeats the key it was given."""

        def _echo(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
            said = f"invalid key {' '.join(SECRETS)} /v1/k3y-in-path?token=t0ken"
            yield json.dumps({**message, "error": {"code": -32000, "message": said}})

    caplog.set_level(logging.DEBUG)
    with serving(Echo(play, fault, "system_chain")) as url:
        scheme, _, place = url.partition("://")
        secret_url = f"{scheme}://alice:s3cr3t@{place}/v1/k3y-in-path?token=t0ken"
        told = []
        limits = Limits(answer_bytes_max=1 << 20)
        with Providers(
            [secret_url], genesis_hash=play.recording["genesis_hash"], limits=limits, policy=Policy(tries=1)
        ) as source:
            try:
                told.append(str(call_one(source, "system_chain")))
            except SourceError as error:
                cause: BaseException | None = error
                while cause is not None:
                    told += [str(cause), repr(cause)]
                    cause = cause.__cause__ or cause.__context__
            told += [source.name, source.answered_by, repr(source), repr(source.health())]
    ours = [record.getMessage() for record in caplog.records if "server" not in record.name]
    assert told
    for secret in SECRETS:
        assert not [text for text in told + ours if secret in text]


def test_op5_nobody_there_is_said_without_the_address(play: Play) -> None:
    source = NodeSource("ws://user:secret@127.0.0.1:9/key")
    with pytest.raises(
        SourceError, match=r"ws://127\.0\.0\.1:9: .*no connection: Connection refused"
    ) as error:
        call_one(source, "system_chain")
    assert "secret" not in str(error.value)


def test_ch7_a_pruned_state_is_named_by_its_block_and_not_by_a_key_that_looks_like_a_hash(play: Play) -> None:
    block_hash = play.blocks[50]["hash"]
    asked = [keys.SYSTEM_NUMBER, 1, keys.SYSTEM_NUMBER[:-2], block_hash]
    said = not_held("state_getKeysPaged", asked, "State already discarded", Known())
    assert said == f"has pruned block {block_hash}; needs an archive node"
