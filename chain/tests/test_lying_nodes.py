"""A node that lies about one value at one block, well formed and in time: no wrong amount comes of it (CH7).

Every value that the reader asks for at some blocks × every plausible lie. What one node alone can lie about unnoticed is
listed here, and is what the agreement of two is for.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from chain import keys
from chain.facts import BlockFacts
from chain.models import Block, Gap
from chain.nodes.providers import NodesDisagree, Providers
from chain.nodes.source import SourceError
from chain.pools.prices import price_keys
from chain.queries import facts_sha256, last_block
from chain.reading.reader import ChainReader
from chain.runtimes.eras import pricing_of
from chain.services import IngestStopped, ingest, ingest_segment
from chain.state import PositionsDisagree
from chain.tests.model import Dividends, ModelChain, calls
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
    """The facts of a block and the next, held against the one after."""
    reader = ChainReader(source, hotkeys, 42, window_blocks=1, until=number + 2)
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
        with pytest.raises(STOPS, match=rf"subnet {netuid} .* One of them hides something|pool grew"):
            read(source, hotkeys, number)


def test_ch7_an_epoch_hidden_whole_is_noticed_in_the_next_block(play: Play, hotkeys: list[str]) -> None:
    """Nothing of the epoch is said, so nothing of its block is odd; the next block knows when the subnet was last run."""
    hotkey = play.address("payee_1")
    number = 40
    key = keys.by_netuid("LastMechansimStepBlock", 2)
    before = play.answer("state_getStorage", [key, play.blocks[number - 1]["hash"]])
    source = LyingSource(play, {(play.blocks[number]["hash"], key): before})
    with pytest.raises(
        SourceError, match=r"block 40: subnet 2 last had an epoch in block 29; of block 41 .* in block 40"
    ):
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


class PastSource(PlaySource):
    """Serves, of one block, all that storage held of us a block before: whole, and so without contradiction."""

    lie_at = 0

    def answer(self, method: str, params: list[Any]) -> Any:
        result = super().answer(method, params)
        if (
            method == "state_queryStorageAt"
            and self.lie_at
            and params[1] == self.play.blocks[self.lie_at]["hash"]
        ):
            before = super().answer(method, [params[0], self.play.blocks[self.lie_at - 1]["hash"]])
            proved = {keys.SYSTEM_NUMBER, keys.TIMESTAMP_NOW}
            changes = {**dict(before[0]["changes"]), **{k: v for k, v in result[0]["changes"] if k in proved}}
            return [{"block": params[1], "changes": list(map(list, changes.items()))}]
        return result


@pytest.mark.django_db
@pytest.mark.parametrize("number", [29, 40, 73])
def test_ch6_an_epoch_hidden_whole_is_not_stored_and_read_when_the_node_is_honest(
    play: Play, hotkeys: list[str], segment: Path, number: int
) -> None:
    """Whatever the node does afterwards, also if the program is started again: the block waits for the next one."""
    with transaction.atomic():
        ingest_segment(segment, last=number + 3)
        true = facts_sha256()
        transaction.set_rollback(True)
    ingest_segment(segment, last=number - 1)
    source = PastSource(play)
    source.lie_at = number
    with pytest.raises(IngestStopped, match="One of them hides something"):
        ingest(source, first=number, last=number, hotkeys=hotkeys)
    gap = Gap.objects.get(resolved_at=None)
    assert gap.blocks.lower == number
    assert last_block().number == number - 1  # type: ignore[union-attr]
    ingest(PlaySource(play), first=number, last=number + 3, hotkeys=hotkeys)
    assert facts_sha256() == true
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


@pytest.mark.parametrize("number", [20, 68, 69, 71, 72, 76])
@pytest.mark.parametrize(("rao", "doubt"), [(1, "changed otherwise"), (5_000, "says why")])
def test_ch2_an_amount_of_stake_that_an_event_misstates_is_a_doubt(
    play: Play, hotkeys: list[str], number: int, rao: int, doubt: str
) -> None:
    """Each position is valued with what the events say, and the pool replayed bit for bit, also where no epoch ran."""
    block_hash = play.blocks[number]["hash"]
    events = play.answer("state_getStorage", [keys.SYSTEM_EVENTS, block_hash])[2:]
    honest = read(LyingSource(play), hotkeys, number)
    assert not any(facts.doubts for facts in honest)
    amounts = {leg.alpha_rao.to_bytes(8, "little").hex() for leg in honest[0].stake_events}
    assert amounts
    for amount in amounts:
        more = (int.from_bytes(bytes.fromhex(amount), "little") + rao).to_bytes(8, "little").hex()
        source = LyingSource(play, {(block_hash, keys.SYSTEM_EVENTS): "0x" + events.replace(amount, more)})
        assert any(doubt in said for facts in read(source, hotkeys, number) for said in facts.doubts)


@pytest.mark.parametrize("number", [68, 75])
@pytest.mark.parametrize("factor", [10, 1 / 10])
def test_ch4_a_sale_far_from_the_price_of_its_pool_is_a_doubt(
    play: Play, hotkeys: list[str], number: int, factor: float
) -> None:
    block_hash = play.blocks[number]["hash"]
    events = play.answer("state_getStorage", [keys.SYSTEM_EVENTS, block_hash])[2:]
    honest = read(LyingSource(play), hotkeys, number)
    [sale] = honest[0].conversions
    true, false = (rao.to_bytes(8, "little").hex() for rao in (sale.tao_rao, int(sale.tao_rao * factor)))
    assert true in events
    source = LyingSource(play, {(block_hash, keys.SYSTEM_EVENTS): "0x" + events.replace(true, false)})
    assert any("at the pool's price" in doubt for doubt in read(source, hotkeys, number)[0].doubts)


ABSURD = ["0x", "0x0", "0xzz", "0x 00", *("0x" + "ff" * size for size in (4, 8, 16, 24, 40, 4000))]


@pytest.mark.django_db
@pytest.mark.parametrize("number", [29, 73])
def test_ch7_a_value_that_none_can_be_stops_the_reading_and_never_the_database(
    play: Play, hotkeys: list[str], number: int
) -> None:
    source = LyingSource(play)
    block_hash = play.blocks[number]["hash"]
    with transaction.atomic():
        ingest(source, first=number, last=number, hotkeys=hotkeys)
        transaction.set_rollback(True)
    stopped = told = 0
    for key in sorted(source.asked[block_hash]):
        for lie in ABSURD:
            told += 1
            with transaction.atomic():
                try:
                    ingest(
                        LyingSource(play, {(block_hash, key): lie}),
                        first=number,
                        last=number,
                        hotkeys=hotkeys,
                    )
                except IngestStopped:
                    stopped += 1
                transaction.set_rollback(True)
    assert stopped > told * 0.8


@pytest.mark.parametrize("netuid", [0, 2, 3])
def test_f19_a_pool_left_out_of_every_list_is_missed_by_its_denominator(
    play: Play, hotkeys: list[str], netuid: int
) -> None:
    """At the start, where nothing is known of it, and in a block where all holders are listed anew."""
    number = 40
    prefixes = [keys.by_hotkey(item, key) for key in hotkeys for item in ("Alpha", "TotalHotkeyShares")]

    class Hiding(PlaySource):
        def answer(self, method: str, params: list[Any]) -> Any:
            result = super().answer(method, params)
            if method == "state_getKeysPaged" and params[0] in prefixes:
                return [key for key in result if keys.netuid_of(key) != netuid]
            return result

    reader = ChainReader(Hiding(play), hotkeys, 42)
    with pytest.raises(PositionsDisagree, match=f"on netuid {netuid} have 0 shares"):
        reader.start_from_chain(number)
    honest = ChainReader(PlaySource(play), hotkeys, 42)
    honest.start_from_chain(number)
    assert any(pool[1] == netuid for pool in honest.holdings)


# --- the other eras, on the model of the chain --------------------------------------------------------------


class LyingModel:
    """A model chain of which one value at one block is said to be something else."""

    name = answered_by = "model"

    def __init__(self, chain: ModelChain, lies: dict[tuple[str, str], str | None] | None = None) -> None:
        self.chain, self.lies = chain, lies or {}
        self.asked: dict[str, set[str]] = defaultdict(set)

    def call_many(self, calls: Any) -> list[Any]:
        results = self.chain.source.call_many(calls)
        for position, (method, params) in enumerate(calls):
            if method == "state_queryStorageAt":
                self.asked[params[1]] |= set(params[0])
                changes = [
                    [key, self.lies.get((params[1], key), value)]
                    for key, value in results[position][0]["changes"]
                ]
                results[position] = [{"block": params[1], "changes": changes}]
        return results

    def value(self, number: int, key: str) -> str | None:
        [found] = self.chain.source.call_many([("state_queryStorageAt", [[key], self.chain.hash_of(number)])])
        value: str | None = found[0]["changes"][0][1]
        return value

    def read(self, number: int) -> list[BlockFacts]:
        """The facts of a block and the next, held against the one after."""
        reader = ChainReader(
            self, self.chain.hotkeys, 42, decoders=self.chain.decoder_for, window_blocks=1, until=number + 2
        )
        reader.start_from_chain(number - 1)
        return [reader.read_block(one) for one in (number, number + 1)]


def money(facts: BlockFacts) -> dict[str, Any]:
    """What of a block decides who is owed what, beside its takes: sales, stake, tags, shares."""
    return {
        "sales": facts.conversions,
        "stake": facts.stake_events,
        "tags": (facts.tags, facts.remarks),
        "shares": facts.shares,
        "hotkeys": facts.hotkeys,
    }


def takes(facts: list[BlockFacts]) -> Counter[tuple[int, int, str, str]]:
    """Rao by block, subnet, key and side."""
    found: Counter[tuple[int, int, str, str]] = Counter()
    for block in facts:
        for one in block.yields:
            found[block.number, one.netuid, one.hotkey, one.side] += one.take_rao
    return found


@pytest.mark.parametrize("spec", [334, 345, 370, 401, 425])
@pytest.mark.parametrize("kind", ["Keep", "Swap"])
@pytest.mark.parametrize("subnet", ["claimed", "another", "root"])
def test_ch2_an_amount_misstated_beside_a_claim_of_somebody_else_is_a_doubt(
    spec: int, kind: str, subnet: str
) -> None:
    """Also in the pool of which the claim itself became stake: each position is valued on its own."""
    logging.getLogger("chain.reading.reader").setLevel(logging.ERROR)
    chain = ModelChain(spec, 3, quiet=True)
    chain.auto_claims = False
    first = chain.hotkeys[0]
    claimant, staker = chain.coldkeys[1:3]
    claimed, another = chain.netuids[:2]
    netuid = {"claimed": claimed, "another": another, "root": 0}[subnet]
    chain.add_stake(claimant, first, 0, 10**12)
    chain.submit(claimant, calls.set_claim_type(kind))
    for one in (0, claimed, another):
        chain.add_stake(staker, first, one, 10**12)
    chain.produce()
    chain.epoch(claimed, Dividends.of(alpha={first: 10**9}, root={first: 300 * 10**9}))
    chain.produce()
    chain.submit(claimant, calls.claim_root(claimed))
    chain.add_stake(staker, first, netuid, 10**10 + 7)
    chain.produce()
    for _ in range(2):
        chain.produce()
    number = 3
    [honest, _] = LyingModel(chain).read(number)
    assert not honest.doubts
    [leg] = [leg for leg in honest.stake_events if leg.coldkey == staker]
    events = bytes.fromhex(str(LyingModel(chain).value(number, keys.SYSTEM_EVENTS))[2:])
    lie = events.replace(str(leg.alpha_rao).encode(), str(leg.alpha_rao + 5_000).encode())
    assert lie != events
    try:
        lied, _ = LyingModel(chain, {(chain.hash_of(number), keys.SYSTEM_EVENTS): "0x" + lie.hex()}).read(
            number
        )
    except STOPS:
        return
    assert any("says why" in doubt for doubt in lied.doubts)


def quiet_epochs(spec: int) -> ModelChain:
    """Blocks with an epoch alone, beside a stranger's and the owner's sales, with a sale alone, and with nothing."""
    chain = ModelChain(spec, 3, quiet=True)
    chain.auto_claims = False
    first, second = chain.hotkeys
    netuid = chain.netuids[0]
    for coldkey in chain.coldkeys[:4]:
        chain.add_stake(coldkey, first, netuid, 10**12)
    chain.produce()
    for sellers in ([], [chain.coldkeys[0]], [chain.owners[0]], []):
        chain.epoch(netuid, Dividends.of(alpha={first: 10**9 + 7, second: 10**8}, root={first: 10**9 + 9}))
        for coldkey in sellers:
            chain.remove_stake(coldkey, first, netuid, 10**8)
        chain.produce()
    chain.remove_stake(chain.coldkeys[1], first, netuid, 10**9)
    for _ in range(3):
        chain.produce()
    return chain


@pytest.mark.parametrize("spec", [235, 258, 293, 320, 345, 370, 393, 401, 425])
def test_ch7_one_lie_about_one_value_moves_no_money_in_any_era(spec: int) -> None:
    logging.getLogger("chain.reading.reader").setLevel(logging.ERROR)
    chain = quiet_epochs(spec)
    told = stopped = 0
    for number in range(2, chain.number - 1):
        source = LyingModel(chain)
        honest = source.read(number)
        true_takes = takes(honest)
        block_hash = chain.hash_of(number)
        for key in sorted(source.asked[block_hash]):
            true = source.value(number, key)
            lies = {source.value(number - 1, key), source.value(number + 1, key), None}
            if true is not None and len(true) <= 34:
                data = bytearray.fromhex(true[2:])
                lies |= {"0x" + bytes([(data[0] + 1) % 256, *data[1:]]).hex(), "0x" + data[::-1].hex()}
            for lie in sorted(lies - {true}, key=str):
                told += 1
                try:
                    facts = LyingModel(chain, {(block_hash, key): lie}).read(number)
                except STOPS:
                    stopped += 1
                    continue
                if not any(one.doubts for one in facts):
                    assert list(map(money, facts)) == list(map(money, honest)), (number, key, true, lie)
                    # A dividend that is a rao off can leave a take a rao off: as much as its rounding hides.
                    told_takes = takes(facts)
                    assert all(
                        abs(told_takes[one] - true_takes[one]) <= 1 for one in told_takes | true_takes
                    ), (number, key, true, lie)
    assert stopped * 2 > told > 200
