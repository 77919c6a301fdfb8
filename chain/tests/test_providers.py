"""Several nodes as one source: order, rest, stale heads, agreement, second opinions (CH7)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from chain.nodes.health import Condition
from chain.nodes.providers import (
    NoAnswer,
    NobodyHasIt,
    NodesDisagree,
    Policy,
    Providers,
    StaleHead,
    Timing,
    second_opinion,
)
from chain.nodes.source import SourceError, call_one, describe_url
from chain.nodes.wire import Limits
from chain.reading.reader import ChainReader
from chain.state import BrokenChain, read_identity
from chain.tests.hostile_node import OTHER_GENESIS, HostileNode, ToldNode, serving_websocket
from chain.tests.replay_node import Play, PlaySource

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BLOCK = ("chain_getBlockHash", [50])


class Time:
    """One clock for everything; waiting moves it and is remembered."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    @property
    def timing(self) -> Timing:
        return Timing(
            monotonic=lambda: self.seconds,
            sleep=self.sleep,
            chance=lambda: 0.5,
            now=lambda: NOON + timedelta(seconds=self.seconds),
        )


@contextmanager
def asking(
    play: Play, *nodes: HostileNode, time: Time | None = None, pin: bool = True, **more: Any
) -> Iterator[Providers]:
    """The nodes, served, as one source."""
    with ExitStack() as stack:
        urls = [stack.enter_context(serving_websocket(node)) for node in nodes]
        source = Providers(
            urls,
            genesis_hash=play.recording["genesis_hash"] if pin else "",
            limits=Limits(connect_seconds=10, read_seconds=10),
            timing=(time or Time()).timing,
            **more,
        )
        yield stack.enter_context(source)


def conditions(source: Providers) -> list[str]:
    return [node.condition.value for node in source.health()]


# --- order, rest, health ----------------------------------------------------------------------------------


def test_ch7_the_first_node_is_asked_as_long_as_it_answers(play: Play) -> None:
    first, second = HostileNode(play), HostileNode(play)
    with asking(play, first, second) as source:
        assert source.call_many([BLOCK]) == [play.blocks[50]["hash"]]
        assert source.answered_by == source.health()[0].name
        assert conditions(source) == ["HEALTHY", "UNTRIED"]
    assert not second.asked


def test_ch7_a_failing_node_rests_longer_each_time_and_is_asked_first_again_when_it_is_well(
    play: Play,
) -> None:
    time = Time()
    first, second = HostileNode(play, "error", "system_chain"), HostileNode(play)
    with asking(play, first, second, time=time) as source:
        rests = []
        for _ in range(5):
            call_one(source, "system_chain")
            assert source.answered_by == source.health()[1].name
            rests.append(source._endpoints[0].rests_until - time.seconds)
            asked = first.asked["system_chain"]
            call_one(source, "system_chain")
            assert first.asked["system_chain"] == asked, "it rests"
            time.seconds += rests[-1]
        assert rests == [0.5, 1, 2, 4, 8]
        assert conditions(source) == ["FAILING", "HEALTHY"]
        assert source.health()[0].failures == 5
        first.fault = ""
        call_one(source, "system_chain")
        assert source.answered_by == source.health()[0].name
        assert conditions(source) == ["HEALTHY", "HEALTHY"]
        assert source.health()[0].failures == 0
        assert "it refused system_chain: Internal error" in source.health()[0].last_error


def test_ch7_one_node_that_fails_is_waited_for_and_then_given_up(play: Play) -> None:
    time = Time()
    node = HostileNode(play, "error", "system_chain")
    with asking(play, node, time=time) as source:
        with pytest.raises(
            NoAnswer, match=r"no node gave an answer: ws://127\.0\.0\.1:\d+: it refused system_chain"
        ):
            call_one(source, "system_chain")
        assert time.waits == [0.5, 1, 2]
        node.fault = ""
        assert call_one(source, "system_chain") == play.recording["chain"]


def test_ch7_a_failing_node_is_waited_for_where_another_cannot_do_its_part(play: Play) -> None:
    """One lacks the state and the other fails; or two must agree and one fails. Both times the one that fails counts."""
    lacking, failing = HostileNode(play, "pruned", "state_getMetadata"), HostileNode(play, "drop")
    for first, agreement in [(lacking, 1), (HostileNode(play), 2)]:
        time = Time()
        with asking(play, first, failing, time=time, agreement=agreement) as source:
            with pytest.raises(NoAnswer):
                call_one(source, "state_getMetadata", play.blocks[50]["hash"])
            assert time.waits == [0.5, 1, 2]


def test_ch7_chance_spreads_the_waits(play: Play) -> None:
    waits = set()
    for chance in (0.0, 0.25, 0.999):
        time = Time()
        timing = Timing(time.timing.monotonic, time.sleep, partial(float, chance), time.timing.now)
        with asking(play, HostileNode(play, "error", "system_chain"), policy=Policy(tries=2)) as source:
            source._endpoints[0]._timing = source._timing = timing
            with pytest.raises(NoAnswer):
                call_one(source, "system_chain")
        assert 0.25 <= time.waits[0] < 0.75
        waits.add(time.waits[0])
    assert len(waits) == 3


def test_ch7_a_pruned_state_is_named_by_its_block_and_read_from_an_archive_node(play: Play) -> None:
    pruned, archive = HostileNode(play, "pruned", "state_getMetadata"), HostileNode(play)
    block_hash = play.blocks[50]["hash"]
    with asking(play, pruned) as source:
        call_one(source, "chain_getHeader", block_hash)
        with pytest.raises(
            NobodyHasIt, match=rf"has pruned block 50 \({block_hash}\); needs an archive node"
        ):
            call_one(source, "state_getMetadata", block_hash)
        assert conditions(source) == ["HEALTHY"], "it answers, it only has no past"
    with asking(play, pruned, archive) as source:
        assert call_one(source, "state_getMetadata", block_hash) == play.metadata
        assert source.answered_by == source.health()[1].name
        asked = pruned.asked["state_getMetadata"]
        call_one(source, "state_getMetadata", block_hash)
        assert pruned.asked["state_getMetadata"] == asked, "it is not asked first for a while"


# --- which chain --------------------------------------------------------------------------------------------


def test_ch7_a_node_of_another_chain_is_marked_and_never_asked_again(play: Play) -> None:
    time = Time()
    other, good = HostileNode(play, "other_chain"), HostileNode(play)
    with asking(play, other, good, time=time) as source:
        for _ in range(3):
            assert call_one(source, "system_chain") == play.recording["chain"]
            time.seconds += 10_000
        assert conditions(source) == ["WRONG_CHAIN", "HEALTHY"]
        assert OTHER_GENESIS in source.health()[0].last_error
    assert other.asked == {"chain_getBlockHash": 1}


def test_ch7_nodes_of_different_chains_are_refused_where_none_is_pinned(play: Play) -> None:
    with (
        asking(play, HostileNode(play, "other_chain"), HostileNode(play), pin=False) as source,
        pytest.raises(NodesDisagree, match="serve different chains, with genesis 0x"),
    ):
        read_identity(source)


def test_ch7_the_first_answer_pins_the_chain_for_whoever_comes_later(play: Play) -> None:
    late = HostileNode(play, "drop", "chain_getBlockHash")
    with asking(play, HostileNode(play, "error", "system_chain"), late, pin=False) as source:
        assert call_one(source, *BLOCK[:1], 50) == play.blocks[50]["hash"]
        late.fault = "other_chain"
        source._endpoints[1].rests_until = 0
        with pytest.raises(NoAnswer):
            call_one(source, "system_chain")
        assert conditions(source) == ["FAILING", "WRONG_CHAIN"]


# --- heads --------------------------------------------------------------------------------------------------


def head_at(play: Play, number: int) -> ToldNode:
    return ToldNode(play, chain_getFinalizedHead=play.blocks[number]["hash"])


def test_ch7_a_node_whose_head_lags_is_not_followed_until_it_has_caught_up(play: Play) -> None:
    behind, ahead = head_at(play, 40), head_at(play, 90)
    with asking(play, behind, ahead, following=True) as source:
        assert read_identity(source).finalized_block == 90
        assert conditions(source) == ["STALE", "HEALTHY"]
        assert "finalized head 40 is 50 blocks behind" in source.health()[0].last_error
        call_one(source, "chain_getBlockHash", 30)
        assert source.answered_by == source.health()[1].name
        behind.told["chain_getFinalizedHead"] = play.blocks[85]["hash"]
        assert read_identity(source).finalized_block == 85, "the first node is near enough again"
        assert conditions(source) == ["HEALTHY", "HEALTHY"]


def test_ch7_a_head_that_stands_still_halts_following_loudly_but_not_the_reading_of_old_blocks(
    play: Play,
) -> None:
    time = Time()
    with asking(play, head_at(play, 90), time=time, following=True) as source:
        assert read_identity(source).finalized_block == 90
        time.seconds += 299
        assert read_identity(source).finalized_block == 90
        time.seconds += 2
        with pytest.raises(StaleHead, match=r"finalized head 90 stands still since 12:00:00 UTC"):
            read_identity(source)
    with asking(play, head_at(play, 90), time=time, heads={}) as source:
        read_identity(source)
        time.seconds += 10_000
        assert read_identity(source).finalized_block == 90
        assert conditions(source) == ["STALE"]
        assert call_one(source, "chain_getBlockHash", 30) == play.blocks[30]["hash"]


def test_ch7_a_head_is_known_to_stand_still_from_what_an_earlier_process_saw(play: Play) -> None:
    node = head_at(play, 90)
    with serving_websocket(node) as url:
        name = describe_url(url)
        for since, stale in [(NOON - timedelta(seconds=200), False), (NOON - timedelta(hours=1), True)]:
            with Providers([url], following=True, timing=Time().timing, heads={name: (90, since)}) as source:
                if stale:
                    with pytest.raises(StaleHead, match="since 11:00:00 UTC"):
                        read_identity(source)
                else:
                    assert read_identity(source).finalized_block == 90
        with Providers(
            [url], following=True, timing=Time().timing, heads={name: (89, NOON - timedelta(days=1))}
        ) as source:
            assert read_identity(source).finalized_block == 90, "it moved since"


def test_ch7_nobody_names_a_block_that_it_has_not_finalized(play: Play) -> None:
    """The first node knows block 80 but has finalized 70 only: what it says of block 80 may not stay."""
    behind, ahead = head_at(play, 70), head_at(play, 90)
    behind.told["chain_getBlockHash"] = lambda number: (
        "0x" + "66" * 32 if number > 70 else play.answer("chain_getBlockHash", [number])
    )
    with asking(play, behind, ahead) as source:
        assert call_one(source, "chain_getBlockHash", 80) == play.blocks[80]["hash"]
        assert call_one(source, "chain_getBlockHash", 60) == play.blocks[60]["hash"]
    with (
        asking(play, behind) as source,
        pytest.raises(NobodyHasIt, match="has no final block 80; its finalized head is 70"),
    ):
        call_one(source, "chain_getBlockHash", 80)


def test_ch7_a_node_far_ahead_on_another_history_is_an_error_not_a_leader(play: Play) -> None:
    forked = head_at(play, 90)
    forked.told["chain_getBlockHash"] = lambda number: (
        "0x" + "66" * 32 if number else play.recording["genesis_hash"]
    )
    with (
        asking(play, head_at(play, 40), forked) as source,
        pytest.raises(NodesDisagree, match="disagree on block 40"),
    ):
        read_identity(source)


# --- agreement ----------------------------------------------------------------------------------------------


def read_blocks(source: Any, hotkeys: list[str]) -> list[dict[str, Any]]:
    reader = ChainReader(source, hotkeys, 42)
    second_opinion(source, lambda: reader.start_from_chain(71))
    blocks = [second_opinion(source, lambda: reader.read_block(n)) for n in (72, 73, 74)]  # noqa: B023
    return [{name: value for name, value in vars(block).items() if name != "provider"} for block in blocks]


def test_ch7_two_nodes_that_agree_give_the_facts_and_both_are_asked_everything(
    play: Play, hotkeys: list[str]
) -> None:
    one, other, idle = HostileNode(play), HostileNode(play), HostileNode(play)
    with asking(play, one, other, idle, agreement=2) as source:
        assert read_blocks(source, hotkeys) == read_blocks(PlaySource(play), hotkeys)
        names = [node.name for node in source.health()]
        assert source.answered_by == f"{names[0]} and {names[1]}"
    for node in (one, other):
        for alone in ("chain_getFinalizedHead", "system_localPeerId"):
            node.asked.pop(alone, None)
    assert one.asked == other.asked
    assert not idle.asked


def lie_about_dividends(play: Play) -> ToldNode:
    """A node that says something sound-looking about one value in every state."""

    def told(keys: list[str], block_hash: str) -> Any:
        result = play.answer("state_queryStorageAt", [keys, block_hash])
        last, value = result[0]["changes"][-1]
        result[0]["changes"][-1] = [last, None if value else "0x01"]
        return result

    return ToldNode(play, state_queryStorageAt=told)


@pytest.mark.parametrize(
    "method", ["state_queryStorageAt", "chain_getBlockHash", "state_getRuntimeVersion", "state_getKeysPaged"]
)
@pytest.mark.parametrize("liar_first", [True, False])
def test_ch7_a_plausible_lie_of_one_of_two_is_an_error_that_names_both_and_the_read(
    play: Play, hotkeys: list[str], method: str, liar_first: bool
) -> None:
    liar = {
        "state_queryStorageAt": lie_about_dividends(play),
        "chain_getBlockHash": ToldNode(
            play,
            chain_getBlockHash=lambda number: (
                play.blocks[max(1, number - 1)]["hash"] if number else play.recording["genesis_hash"]
            ),
        ),
        "state_getRuntimeVersion": ToldNode(play, state_getRuntimeVersion={"specVersion": 294}),
        "state_getKeysPaged": ToldNode(
            play, state_getKeysPaged=lambda *params: play.answer("state_getKeysPaged", list(params))[:-1]
        ),
    }[method]
    nodes = [liar, HostileNode(play)] if liar_first else [HostileNode(play), liar]
    with asking(play, *nodes, agreement=2) as source:
        with pytest.raises(NodesDisagree) as error:
            read_blocks(source, hotkeys)
        for node in source.health():
            assert node.name in str(error.value)
        assert f"disagree on ['{method}', [" in str(error.value)


def test_ch7_agreement_is_never_had_from_one_node(play: Play) -> None:
    with (
        asking(play, HostileNode(play), HostileNode(play, "drop"), agreement=2) as source,
        pytest.raises(NoAnswer, match="two nodes must agree, and only ws://"),
    ):
        source.call_many([BLOCK])
    with pytest.raises(SourceError, match="1 nodes are named, and 2 must agree"):
        Providers(["ws://127.0.0.1:1"], agreement=2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ws://node.example", "ws://NODE.example:80/"),
        ("wss://node.example/key-1", "wss://me:secret@node.example./?key=2"),
        ("https://node.example", "wss://node.example"),
        ("ws://127.0.0.1:9944", "ws://localhost:9944"),
        ("ws://127.0.0.1:9944", "ws://127.1:9944"),
        ("ws://127.0.0.1:9944", "http://[::1]:9944"),
        ("ws://10.0.0.7:9944", "ws://[::ffff:10.0.0.7]:9944"),
        ("ws://10.0.0.7:9944", "ws://0x0a000007:9944"),
    ],
)
def test_ch7_one_server_named_twice_cannot_agree_with_itself(one: str, other: str) -> None:
    with pytest.raises(SourceError, match=r"are one server.*two operators") as error:
        Providers([one, "ws://elsewhere.example", other], agreement=2)
    assert "secret" not in str(error.value)
    # Where no agreement is asked for, one server may well be asked in two ways.
    Providers([one, other], agreement=1).close()


def test_ch7_one_node_behind_two_addresses_cannot_agree_with_itself(play: Play, hotkeys: list[str]) -> None:
    peer = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
    one, other = (ToldNode(play, system_localPeerId=peer) for _ in range(2))
    with asking(play, one, other, agreement=2) as source:
        with pytest.raises(NoAnswer, match=r"two nodes must agree.* is the same node as ws://"):
            source.call_many([BLOCK])
        assert [node.condition for node in source.health()] == [Condition.HEALTHY, Condition.SAME_NODE]
    one, other = (ToldNode(play, system_localPeerId=peer) for _ in range(2))
    third = ToldNode(play, system_localPeerId=f"{peer[:-1]}q")
    with asking(play, one, other, third, agreement=2) as source:
        assert read_blocks(source, hotkeys) == read_blocks(PlaySource(play), hotkeys)
        names = [node.name for node in source.health()]
        assert source.answered_by == f"{names[0]} and {names[2]}"
    assert one.asked["system_localPeerId"] == 1
    with (
        asking(play, one, other, agreement=2) as source,
        pytest.raises(NoAnswer, match=r"two nodes must agree.* is the same node as"),
    ):
        read_identity(source)


def test_ch7_a_node_that_names_itself_late_is_still_known_for_the_other(play: Play) -> None:
    class Late(HostileNode):
        """Refuses to name itself at first."""

        def texts(self, request: dict[str, Any]) -> Iterator[str]:
            if request["method"] == "system_localPeerId" and self.asked["system_localPeerId"] > 0:
                yield json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": "12D3KooWEyop"})
                return
            yield from super().texts(request)

    with asking(play, Late(play), Late(play), agreement=2) as source:
        for _ in range(2):
            assert source.call_many([BLOCK]) == [play.blocks[50]["hash"]]
        with pytest.raises(NoAnswer, match="is the same node as"):
            source.call_many([BLOCK])


def test_ch7_a_third_node_takes_the_place_of_one_that_fails(play: Play) -> None:
    with asking(play, HostileNode(play), HostileNode(play, "drop"), HostileNode(play), agreement=2) as source:
        assert source.call_many([BLOCK]) == [play.blocks[50]["hash"]]
        names = [node.name for node in source.health()]
        assert source.answered_by == f"{names[0]} and {names[2]}"


def test_ch7_two_go_by_the_lower_of_their_heads(play: Play) -> None:
    with asking(play, head_at(play, 90), head_at(play, 88), agreement=2, following=True) as source:
        assert read_identity(source).finalized_block == 88


# --- second opinions ----------------------------------------------------------------------------------------


def test_ch7_what_cannot_be_true_is_read_again_elsewhere_and_its_node_doubted(
    play: Play, hotkeys: list[str]
) -> None:
    time = Time()
    liar = ToldNode(
        play, chain_getBlockHash=lambda n: play.answer("chain_getBlockHash", [80 if n == 73 else n])
    )
    with asking(play, liar, HostileNode(play), time=time) as source:
        assert read_blocks(source, hotkeys) == read_blocks(PlaySource(play), hotkeys)
        assert conditions(source) == ["DOUBTED", "HEALTHY"]
        assert "what it said cannot be true" in source.health()[0].last_error
        call_one(source, "system_chain")
        assert source.answered_by == source.health()[1].name
        time.seconds += 601
        call_one(source, "system_chain")
        assert source.answered_by == source.health()[0].name


def test_ch7_what_all_nodes_say_alike_stands_as_the_first_error_and_doubts_nobody(
    play: Play, hotkeys: list[str]
) -> None:
    odd = {"state_getRuntimeVersion": {"specVersion": 999_999}}
    with asking(play, ToldNode(play, **odd), ToldNode(play, **odd)) as source:
        with pytest.raises(Exception, match="runtime 999999"):
            read_blocks(source, hotkeys)
        assert conditions(source) == ["HEALTHY", "HEALTHY"]
        assert source.call_many([BLOCK]) == [play.blocks[50]["hash"]]


def test_ch7_one_node_has_no_second_opinion(play: Play) -> None:
    reads = []

    def read() -> None:
        reads.append(call_one(source, "system_chain"))
        raise BrokenChain("odd")

    with (
        asking(play, HostileNode(play)) as source,
        pytest.raises(BrokenChain, match="odd"),
    ):
        second_opinion(source, read)
    assert len(reads) == 1


def test_ch7_two_nodes_behind_one_name_are_told_apart(play: Play) -> None:
    source = Providers(["wss://node.example/key-a", "wss://node.example/key-b", "wss://other.example"])
    assert [node.name for node in source.health()] == [
        "wss://node.example",
        "wss://node.example (#2)",
        "wss://other.example",
    ]
    assert source.name == "wss://node.example and 2 more"
    source.close()


def test_ch7_health_has_latency_and_times(play: Play) -> None:
    time = Time()
    with asking(play, HostileNode(play), time=time) as source:
        call_one(source, "system_chain")
        health = source.health()[0]
        assert (health.latency_ms, health.last_ok_at, health.condition) == (0, NOON, Condition.HEALTHY)
