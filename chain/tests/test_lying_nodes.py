"""A node that lies about one value at one block, well formed and in time: no wrong amount comes of it (CH7).

Every value that the reader asks for at some blocks × every plausible lie. What one node alone can lie about unnoticed is
listed here, and is what the agreement of two is for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chain import keys
from chain.eras import pricing_of
from chain.facts import BlockFacts
from chain.models import Block, Gap
from chain.pool_prices import price_keys
from chain.providers import NodesDisagree, Providers
from chain.reader import ChainReader
from chain.services import IngestStopped, ingest
from chain.source import SourceError
from chain.tests.replay_node import Play, PlaySource, serving
from chain.tests.test_hostile_nodes import STOPS

# The first epochs, two epochs in one block, stake calls of every kind beside and without an epoch.
BLOCKS = [17, 23, 29, 53, 67, 68, 70, 72, 73, 74, 76, 77, 84]

RESERVES = {key for netuid in (2, 3) for key in price_keys(pricing_of(293), netuid)}


class LyingSource(PlaySource):
    """Says something else of one value at one block, or leaves one key out of every list of a block."""

    def __init__(
        self, play: Play, lies: dict[tuple[str, str], str | None] | None = None, hidden: str = ""
    ) -> None:
        super().__init__(play)
        self.asked: dict[str, set[str]] = defaultdict(set)
        self._lies, self._hidden = lies or {}, hidden
        self.hidden_at = ""

    def answer(self, method: str, params: list[Any]) -> Any:
        result = super().answer(method, params)
        if method == "state_queryStorageAt":
            self.asked[params[1]] |= set(params[0])
            changes = [[key, self._lies.get((params[1], key), value)] for key, value in result[0]["changes"]]
            return [{"block": params[1], "changes": changes}]
        if method == "state_getKeysPaged" and params[3] == self.hidden_at:
            return [key for key in result if key != self._hidden]
        return result


def read(source: PlaySource, hotkeys: list[str], number: int) -> list[BlockFacts]:
    """The facts of a block and the next."""
    reader = ChainReader(source, hotkeys, 42, window_blocks=1)
    reader.start_from_chain(number - 1)
    return [reader.read_block(one) for one in (number, number + 1)]


def plausible(play: Play, number: int, key: str) -> Iterator[str | None]:
    """Lies about a value: what it was, what it will be, that it is not there, a little more."""
    before, true, after = (
        play.answer("state_getStorage", [key, play.blocks[one]["hash"]])
        for one in (number - 1, number, number + 1)
    )
    lies = {before, after, None}
    if true is not None and len(true) <= 34:
        data = bytearray.fromhex(true[2:])
        data[0] = (data[0] + 1) % 256
        lies.add("0x" + data.hex())
    yield from sorted(lies - {true}, key=str)


def amounts(facts: BlockFacts, key: str) -> dict[str, Any]:
    """What was read of a block, less what one node alone can lie about: how a take was proved and what its pool was
    worth, a reserve's price, a time within the slot."""
    found = {name: value for name, value in vars(facts).items() if name not in {"payload", "provider"}}
    found["yields"] = [replace(one, proof="", pool_before_rao=0, other_rao=0) for one in facts.yields]
    if key in RESERVES:
        del found["prices"]
    if key == keys.TIMESTAMP_NOW:
        del found["timestamp_ms"]
    return found


@pytest.mark.parametrize("number", BLOCKS)
def test_ch7_one_lie_about_one_value_makes_no_wrong_amount(
    play: Play, hotkeys: list[str], number: int
) -> None:
    block_hash = play.blocks[number]["hash"]
    honest_source = LyingSource(play)
    honest = read(honest_source, hotkeys, number)
    assert not any(facts.doubts for facts in honest)
    told = 0
    for key in sorted(honest_source.asked[block_hash]):
        for lie in plausible(play, number, key):
            told += 1
            try:
                facts = read(LyingSource(play, {(block_hash, key): lie}), hotkeys, number)
            except STOPS:
                continue
            if any(one.doubts for one in facts):
                continue
            assert [amounts(one, key) for one in facts] == [amounts(one, key) for one in honest], (key, lie)
            # The slots of this chain last a second.
            assert facts[0].timestamp_ms // 1000 == honest[0].timestamp_ms // 1000
    assert told > 20


@pytest.mark.parametrize("netuid", [2, 3])
def test_ch7_a_subnet_left_out_of_the_list_is_noticed(play: Play, hotkeys: list[str], netuid: int) -> None:
    """Also where it had no epoch: the block after names it again."""
    for number in BLOCKS:
        source = LyingSource(play, hidden=keys.by_netuid("NetworksAdded", netuid))
        source.hidden_at = play.blocks[number]["hash"]
        with pytest.raises(STOPS, match=rf"subnet {netuid} (appeared|vanished) without an event|pool grew"):
            read(source, hotkeys, number)


def test_ch7_an_epoch_hidden_whole_is_noticed_in_the_next_block(play: Play, hotkeys: list[str]) -> None:
    """Nothing of the epoch is said, so nothing of its block is odd; the next block knows when the subnet was last run."""
    hotkey = play.address("payee_1")
    number = 40
    key = keys.by_netuid("LastMechansimStepBlock", 2)
    before = play.answer("state_getStorage", [key, play.blocks[number - 1]["hash"]])
    source = LyingSource(play, {(play.blocks[number]["hash"], key): before})
    with pytest.raises(SourceError, match="block 41: subnet 2 last had an epoch in block 40"):
        # A key that earns nothing: its shares do not tell either.
        read(source, [hotkey], number)


@pytest.mark.django_db
def test_ch6_what_a_lie_left_behind_stays_a_gap_when_an_honest_node_reads_on(
    play: Play, hotkeys: list[str]
) -> None:
    number = next(one for one in BLOCKS if one > 23 and play.blocks[one]["extrinsics"][1:])
    events = play.answer("state_getStorage", [keys.SYSTEM_EVENTS, play.blocks[number - 1]["hash"]])
    source = LyingSource(play, {(play.blocks[number]["hash"], keys.SYSTEM_EVENTS): events})
    with pytest.raises(IngestStopped, match=f"stopped before block {number}"):
        ingest(source, first=number - 3, last=number + 1, hotkeys=hotkeys)
    assert Block.objects.order_by("number").last().number == number - 1  # type: ignore[union-attr]
    gap = Gap.objects.get(resolved_at=None)
    assert (gap.blocks.lower, gap.blocks.upper) == (number, number + 2)
    ingest(PlaySource(play), first=number, last=number + 1, hotkeys=hotkeys)
    gap.refresh_from_db()
    assert gap.resolved_at is not None


def test_ch7_what_one_node_alone_may_lie_about_two_must_say_alike(play: Play, hotkeys: list[str]) -> None:
    number = 73
    true = play.answer("state_getStorage", [keys.by_netuid("SubnetTAO", 2), play.blocks[number]["hash"]])
    lie = "0x" + bytes.fromhex(true[2:])[::-1].hex()
    source = LyingSource(play, {(play.blocks[number]["hash"], keys.by_netuid("SubnetTAO", 2)): lie})
    with serving(source) as liar, serving(play) as honest:
        genesis = play.recording["genesis_hash"]
        with Providers([liar, honest], genesis_hash=genesis, agreement=2) as both:
            reader = ChainReader(both, hotkeys, 42)
            reader.start_from_chain(number - 1)
            with pytest.raises(NodesDisagree):
                reader.read_block(number)
