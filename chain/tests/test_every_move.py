"""Random histories of every era in which one coldkey does many things to one pool in one block: what the facts say came to
and left each position is what the model moved there (CH2, CH3), or a doubt says that it cannot be told.

Another seed: MODEL_SEED=7 pytest chain/tests/test_every_move.py.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from chain.earnings.yields import MethodsDisagree
from chain.facts import BlockFacts, Position
from chain.keys import ROOT
from chain.reading.reader import ChainReader
from chain.stake.hotkeys import on_subnet
from chain.state import UnsupportedEvent
from chain.tests.model import ModelChain
from chain.tests.test_eras import EPOCHS_PER_ERA, SEED, SPECS, check_positions, go_on_after, may_be_open

BLOCKS = max(EPOCHS_PER_ERA // 50, 60)
# Less is no row beside a stake event; worth of a share is floored before and after.
ROUNDING_RAO = 12
# A swap of a hotkey unstakes and stakes all it holds, one holder after the other: coarser by so little.
HANDED_ON_PARTS = 10**8


def moved_otherwise(
    chain: ModelChain, facts: BlockFacts, pools: set[tuple[str, int]]
) -> dict[Position, tuple[int, int]]:
    """Positions in these pools of which the facts tell otherwise than the model: (told, true) in rao."""
    told: Counter[Position] = Counter()
    true: Counter[Position] = Counter()
    for leg in facts.stake_events:
        told[leg.hotkey, leg.netuid, leg.coldkey] += leg.alpha_rao if leg.added else -leg.alpha_rao
    for move in chain.world.moves:
        if move.block == facts.number and (move.hotkey, move.netuid) in pools:
            true[move.hotkey, move.netuid, move.coldkey] += move.rao
    return {
        at: (told[at], true[at])
        for at in told.keys() | true.keys()
        if at[:2] in pools and abs(told[at] - true[at]) > max(ROUNDING_RAO, abs(true[at]) // HANDED_ON_PARTS)
    }


def sold_otherwise(
    chain: ModelChain, facts: BlockFacts, pools: set[tuple[str, int]]
) -> dict[Position, tuple[Any, Any]]:
    """Owners' positions in these pools whose sales the facts tell otherwise: ((alpha, TAO) told, true) in rao."""
    told: dict[Position, list[tuple[int, int]]] = defaultdict(lambda: [(0, 0)])
    true: dict[Position, list[tuple[int, int]]] = defaultdict(lambda: [(0, 0)])
    for sale in facts.conversions:
        told[sale.hotkey, sale.netuid, sale.owner].append((sale.alpha_rao, sale.tao_rao))
    for sold in chain.world.sales:
        if sold.block == facts.number:
            true[sold.hotkey, sold.netuid, sold.coldkey].append((sold.alpha_rao, sold.tao_rao))
    found = {}
    for at in told.keys() | true.keys():
        mine, its = (tuple(map(sum, zip(*sales[at], strict=True))) for sales in (told, true))
        if at[:2] in pools and any(abs(a - b) > ROUNDING_RAO for a, b in zip(mine, its, strict=True)):
            found[at] = (mine, its)
    return found


def read(chain: ModelChain) -> Iterator[tuple[BlockFacts, set[tuple[str, int]]]]:
    """The facts of each block with our pools after it; blocks that may be open are left out."""
    reader = ChainReader(chain.source, chain.hotkeys, 42, decoders=chain.decoder_for, until=chain.number)
    reader.start_from_chain(0)
    for number in range(1, chain.number + 1):
        try:
            facts = reader.read_block(number)
        except (MethodsDisagree, UnsupportedEvent):
            if not may_be_open(chain, number):
                raise
            go_on_after(chain, reader, number)
            continue
        check_positions(chain, reader, number)
        # What an epoch credits to a key where it is not ours hides what else moved there: it earns us nothing.
        yield (
            facts,
            {
                (hotkey, netuid)
                for netuid in (ROOT, *chain.netuids)
                for hotkey in on_subnet(reader.following, netuid)
            },
        )


@pytest.mark.parametrize("era", SPECS, ids=lambda era: era.replace("–", "-"))
def test_ch2_every_move_of_stake_is_told_or_doubted(era: str) -> None:
    logging.getLogger("chain.reading.reader").setLevel(logging.CRITICAL)
    doubts: dict[str, int] = defaultdict(int)
    for spec in SPECS[era]:
        print(f"era {era}: spec {spec}, seed {SEED}")
        chain = ModelChain(spec, SEED)
        for number in range(BLOCKS):
            chain.step(crowded=number % 2 == 0)
        for facts, pools in read(chain):
            doubts["blocks"] += 1
            doubts["doubted"] += bool(facts.doubts)
            if not facts.doubts:
                assert not moved_otherwise(chain, facts, pools), f"spec {spec}, block {facts.number}"
                assert not sold_otherwise(chain, facts, pools), f"spec {spec}, block {facts.number}"
    print(dict(doubts))
