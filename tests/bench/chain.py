"""Reading blocks: our reader against substrate-interface reading the same from the same node."""

from __future__ import annotations

from substrateinterface import SubstrateInterface

from chain.reader import ChainReader
from chain.source import NodeSource
from chain.tests.replay_node import Play, serving
from tests.bench.__main__ import median_seconds, report

FIRST, LAST = 17, 92


def run() -> None:
    """Blocks per second over a socket: facts of two hotkeys, against events and block bodies alone."""
    play = Play("play")
    hotkeys = [play.address("val_hot"), play.address("snx_hot")]
    count = LAST - FIRST + 1
    with serving(play) as url, NodeSource(url) as source:

        def ours() -> None:
            reader = ChainReader(source, hotkeys, 42)
            reader.start_from_chain(FIRST - 1)
            for number in range(FIRST, LAST + 1):
                reader.read_block(number)

        substrate = SubstrateInterface(url=url, ss58_format=42)
        substrate.init_runtime()

        def theirs() -> None:
            for number in range(FIRST, LAST + 1):
                block_hash = substrate.get_block_hash(number)
                substrate.get_events(block_hash)
                substrate.get_block(block_hash)

        value, baseline = median_seconds(ours, runs=3), median_seconds(theirs, runs=3)
        substrate.close()
    report(
        "blocks read into facts, against substrate-interface decoding them",
        count / value,
        "blocks/s",
        count / baseline,
    )
