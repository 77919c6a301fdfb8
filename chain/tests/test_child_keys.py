"""PA2's third type of delegation: stake on a key to which others lent theirs, as the chain says it at each epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chain import keys
from chain.nodes.segment import SegmentSource
from chain.nodes.source import Call, SourceError
from chain.reading.reader import ChainReader

EDGE = Path(__file__).parent / "data" / "edge.segment.gz"
# Of the play: `mine_hot` holds half of a stake of `parent_hot` on subnet 3, `own_hot` nearly all of it on subnet 2.
MINE, OWN = (
    "5E6oALGbLs2fTMiZ3a7w19rvjTd2jbTYbkNg6WDyb6tc2SGh",
    "5GYkP1HgcKg5RShKJF6Zh4hMjpf4odfoHpf3ET5zNLs3XMZj",
)


def reader_of(source: Any) -> ChainReader:
    reader = ChainReader(source, source.header.hotkeys, 42)
    reader.start_from_chain(1)
    return reader


def test_pa2_a_key_is_a_child_from_the_epoch_after_the_chain_says_so() -> None:
    reader = reader_of(SegmentSource(EDGE))
    found: defaultdict[tuple[str, int], dict[int, bool]] = defaultdict(dict)
    for number in range(2, 145):
        for fact in reader.read_block(number).yields:
            # Both sides of an epoch are of one key.
            assert found[fact.hotkey, fact.netuid].setdefault(number, fact.is_child) is fact.is_child
    first = {
        at: next((block for block, is_child in blocks.items() if is_child), None)
        for at, blocks in found.items()
    }
    assert {at: block for at, block in first.items() if block} == {(MINE, 3): 105, (OWN, 2): 101}
    # Children are kept to the end, on that subnet alone; their epochs before were not a child's.
    for at, blocks in found.items():
        assert [is_child for _, is_child in sorted(blocks.items())] == [
            first[at] is not None and block >= (first[at] or 0) for block in sorted(blocks)
        ]
    assert all(len(found[at]) > 20 for at in ((MINE, 3), (OWN, 2)))


class Lying(SegmentSource):
    """Says of everybody's parents what it was told to say."""

    said = ""

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        prefix = keys.item_prefix(keys.SUBTENSOR, "ParentKeys")
        answers = super().call_many(calls)
        for (method, _), answer in zip(calls, answers, strict=True):
            if method == "state_queryStorageAt" and answer:
                answer[0]["changes"] = [
                    [key, self.said if key.startswith(prefix) else value]
                    for key, value in answer[0]["changes"]
                ]
        return answers


@pytest.mark.parametrize("said", ["0x", "0x04", "0x00" + "11" * 40, "0x08" + "11" * 40, "0x04" + "11" * 41])
def test_ch7_a_list_of_parents_that_is_none_is_refused(said: str) -> None:
    source = Lying(EDGE)
    source.said = said
    reader = reader_of(source)
    # The first epochs are in block 6.
    for number in range(2, 6):
        reader.read_block(number)
    with pytest.raises(SourceError, match="no list of parents"):
        reader.read_block(6)


@pytest.mark.parametrize(
    ("said", "is_child"), [("0x00", False), ("0x04" + "11" * 40, True), ("0x0101" + "11" * 2560, True)]
)
def test_pa2_how_many_parents_there_are_does_not_matter(said: str, is_child: bool) -> None:
    source = Lying(EDGE)
    source.said = said
    reader = reader_of(source)
    facts = [fact for number in range(2, 30) for fact in reader.read_block(number).yields]
    assert facts
    assert {fact.is_child for fact in facts} == {is_child}
