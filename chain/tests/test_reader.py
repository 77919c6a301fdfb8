"""Facts of a real runtime's blocks equal plain arithmetic on that runtime's own storage (CH1, CH2, CH3, CH4)."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Any

import pytest

from chain import keys
from chain.earnings.yields import MethodsDisagree
from chain.facts import BlockFacts
from chain.nodes.source import MissingRead, SourceError
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import UnknownRuntime
from chain.state import BrokenChain, PositionsDisagree
from chain.tests.replay_node import Play, PlaySource


def follow(
    play: Play, hotkeys: list[str], source: PlaySource | None = None
) -> tuple[ChainReader, list[BlockFacts]]:
    reader = ChainReader(source or PlaySource(play), hotkeys, 42)
    reader.start_from_chain(1)
    return reader, [reader.read_block(number) for number in range(2, play.last + 1)]


def epochs_of(play: Play, number: int) -> list[int]:
    steps = play.table(number, "LastMechansimStepBlock")
    return sorted(netuid for (netuid,), block in steps.items() if block == number)


def stake_moved(play: Play, number: int, hotkey: str, netuid: int) -> int:
    moved = 0
    for event in play.blocks[number]["events"]:
        if event["event"] in ("StakeAdded", "StakeRemoved"):
            _, its_hotkey, _, alpha, its_netuid, _ = event["attributes"]
            if (its_hotkey, its_netuid) == (hotkey, netuid):
                moved += alpha if event["event"] == "StakeAdded" else -alpha
    return moved


def test_ch3_takes_are_what_the_pools_of_the_chain_gained(play: Play, hotkeys: list[str]) -> None:
    """Per hotkey, block and pool: growth less dividends less stake moved is the take, for every block of the play."""
    _, facts = follow(play, hotkeys)
    yields_seen = 0
    for block in facts:
        credited: dict[tuple[str, int], int] = defaultdict(int)
        for fact in block.yields:
            credited[fact.hotkey, fact.pool_netuid] += fact.take_rao + fact.dividend_rao + fact.other_rao
            assert fact.take_low_rao <= fact.take_rao <= fact.take_high_rao
            item = "AlphaDividendsPerSubnet" if fact.side == "ALPHA" else "TaoDividendsPerSubnet"
            assert fact.dividend_rao == play.table(block.number, item)[fact.netuid, fact.hotkey]
            yields_seen += 1
        before = play.table(block.number - 1, "TotalHotkeyAlpha")
        for (hotkey, netuid), value in play.table(block.number, "TotalHotkeyAlpha").items():
            if hotkey in hotkeys:
                gained = (
                    value - before.get((hotkey, netuid), 0) - stake_moved(play, block.number, hotkey, netuid)
                )
                assert credited.get((hotkey, netuid), 0) == gained
        assert {fact.netuid for fact in block.yields} <= set(epochs_of(play, block.number))
    assert yields_seen == 35


def test_ch3_positions_are_the_share_numbers_of_the_chain_at_every_block(
    play: Play, hotkeys: list[str]
) -> None:
    reader = ChainReader(PlaySource(play), hotkeys, 42)
    reader.start_from_chain(1)
    for number in range(2, play.last + 1):
        reader.read_block(number)
        chain = {
            key: share for key, share in play.table(number, "Alpha").items() if key[0] in hotkeys and share
        }
        ours = {
            (hotkey, coldkey, netuid): share.bits
            for (hotkey, netuid), holders in reader.holdings.items()
            for coldkey, share in holders.items()
        }
        assert ours == chain


def test_ch2_every_stake_event_is_named_with_its_extrinsic_and_signer(play: Play, hotkeys: list[str]) -> None:
    _, facts = follow(play, hotkeys)
    events = [(block.number, event) for block in facts for event in block.stake_events]
    kinds = {(number, event.kind) for number, event in events}
    assert {(71, "RESTAKE"), (72, "TRANSFER"), (73, "RESTAKE"), (75, "UNSTAKE"), (20, "STAKE")} <= kinds
    transfer = next(event for number, event in events if number == 72 and event.added)
    assert transfer.coldkey == play.address("nom_b")
    assert transfer.other_coldkey == transfer.signer == play.address("nom_a")
    for number, event in events:
        extrinsic = play.blocks[number]["extrinsics"][event.extrinsic_index or 0]
        assert (event.extrinsic_hash, event.signer) == (extrinsic["hash"], extrinsic["signer"])


def test_ch4_conversions_are_the_owners_own_sales_only(play: Play, hotkeys: list[str]) -> None:
    _, facts = follow(play, hotkeys)
    sold = [(block.number, fact) for block in facts for fact in block.conversions]
    assert [(n, c.owner, c.netuid, c.alpha_rao, c.tao_rao, c.fee_alpha_rao) for n, c in sold] == [
        (68, play.address("val_cold"), 2, 2_000_000_000, 2_333_573_879, 5_981_536),
        (75, play.address("snx_cold"), 2, 6_031_773_810, 6_951_208_856, 18_039_637),
    ]


def test_pa7_remarks_beside_stake_are_kept_as_bytes(play: Play, hotkeys: list[str]) -> None:
    _, facts = follow(play, hotkeys)
    remarks = [(block.number, fact.sender, fact.remark) for block in facts for fact in block.remarks]
    assert remarks == [
        (20, play.address("tali_1"), b"talisman-bittensor"),
        (20, play.address("tali_2"), b"talisman-bittensor"),
    ]


def test_ch1_a_quiet_block_costs_at_most_four_round_trips(play: Play, hotkeys: list[str]) -> None:
    source = PlaySource(play)
    reader = ChainReader(source, hotkeys, 42)
    reader.start_from_chain(1)
    trips = {}
    for number in range(2, play.last + 1):
        before = source.batches
        facts = reader.read_block(number)
        if number > 2 and not facts.yields and not facts.stake_events and not epochs_of(play, number):
            trips[number] = source.batches - before
    assert max(trips.values()) <= 4


class LyingSource(PlaySource):
    """Changes one storage value, or answers one method with something else."""

    def __init__(
        self, play: Play, *, key: str = "", value: str | None = None, at: int = 0, **methods: Any
    ) -> None:
        super().__init__(play)
        self._key, self._value, self._at, self._methods = key, value, at, methods

    def answer(self, method: str, params: list[Any]) -> Any:
        if method in self._methods and (not self._at or self.play.blocks[self._at]["hash"] in params):
            return self._methods[method]
        result = super().answer(method, params)
        if method == "state_queryStorageAt" and params[1] == self.play.blocks.get(self._at, {}).get("hash"):
            result[0]["changes"] = [
                [k, self._value if k == self._key else v] for k, v in result[0]["changes"]
            ]
        return result


def le(number: int, size: int = 8) -> str:
    return "0x" + number.to_bytes(size, "little").hex()


def test_f34_a_state_that_is_not_there_is_an_error_never_zero(play: Play, hotkeys: list[str]) -> None:
    with pytest.raises(MissingRead, match="block 24: its state is not there"):
        follow(play, hotkeys, LyingSource(play, key=keys.SYSTEM_NUMBER, value=None, at=24))
    with pytest.raises(MissingRead, match="its events are not there"):
        follow(play, hotkeys, LyingSource(play, key=keys.SYSTEM_EVENTS, value=None, at=24))


def test_ch3_a_false_dividend_is_refused_with_all_numbers(play: Play, hotkeys: list[str]) -> None:
    number = next(n for n in play.blocks if n > 40 and 2 in epochs_of(play, n))
    key = keys.by_netuid_hotkey("AlphaDividendsPerSubnet", 2, hotkeys[0])
    true = play.table(number, "AlphaDividendsPerSubnet")[2, hotkeys[0]]
    with pytest.raises(
        MethodsDisagree, match=rf"block {number}, .* alpha dividend {true + 5}, .* 5898/65535"
    ):
        follow(play, hotkeys, LyingSource(play, key=key, value=le(true + 5), at=number))


def test_f23_a_deposit_is_never_counted_as_yield(play: Play, hotkeys: list[str]) -> None:
    _, facts = follow(play, hotkeys)
    block = next(block for block in facts if block.number == 17)
    assert sum(event.alpha_rao for event in block.stake_events) > 6_000 * 10**9
    assert block.yields == []


def test_ch3_a_share_that_is_not_the_chains_is_noticed_by_the_denominator(
    play: Play, hotkeys: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    key = keys.share_key(hotkeys[0], play.address("nom_a"), 0)
    lie = LyingSource(play, key=key, value=le(1, 16), at=17)
    with caplog.at_level(logging.WARNING), pytest.raises(PositionsDisagree, match="denominator"):
        follow(play, hotkeys, lie)


def test_ch7_a_foreign_parent_is_refused(play: Play, hotkeys: list[str]) -> None:
    header = dict(play.blocks[30]["header"], parentHash="0x" + "77" * 32)
    with pytest.raises(BrokenChain, match=r"block 30 .* does not follow"):
        follow(play, hotkeys, LyingSource(play, at=30, chain_getHeader=header))


def test_f31_an_unknown_runtime_halts_and_names_itself(play: Play, hotkeys: list[str]) -> None:
    with pytest.raises(UnknownRuntime, match="block 31 ran on runtime 900"):
        follow(play, hotkeys, LyingSource(play, at=30, state_getRuntimeVersion={"specVersion": 900}))


@pytest.mark.parametrize("page", [["repeat"], ["unsorted"]])
def test_f19_a_page_of_holders_that_repeats_or_jumps_is_refused(
    play: Play, hotkeys: list[str], page: list[str]
) -> None:
    prefix = keys.by_hotkey("Alpha", hotkeys[0])
    listed = [prefix + "02", prefix + "01"] if page == ["unsorted"] else [prefix + "01", prefix + "01"]
    with pytest.raises(Exception, match="out of order"):
        follow(play, hotkeys, LyingSource(play, state_getKeysPaged=listed))


@pytest.mark.parametrize(
    "lie",
    [
        {"state_getRuntimeVersion": None},
        {"state_getRuntimeVersion": {}},
        {"state_getMetadata": "0x6d65"},
        {"chain_getBlockHash": 7},
        {"chain_getHeader": {"number": "many", "parentHash": "0x"}},
        {"state_queryStorageAt": [{"changes": "none"}]},
        {"state_queryStorageAt": {}},
        {"state_getKeysPaged": 5},
        {"chain_getBlock": {"block": {}}},
    ],
)
def test_ch7_an_answer_that_makes_no_sense_is_one_clear_error(
    play: Play, hotkeys: list[str], lie: dict[str, Any]
) -> None:
    with pytest.raises((SourceError, BrokenChain)) as error:
        follow(play, hotkeys, LyingSource(play, **lie))
    assert "play" in str(error.value) or "block" in str(error.value)


@pytest.mark.parametrize("value", [le(0), le(2**63), "0x", "nonsense"])
def test_ch7_a_time_that_is_none_is_refused(play: Play, hotkeys: list[str], value: str) -> None:
    with pytest.raises(SourceError, match="block 24"):
        follow(play, hotkeys, LyingSource(play, key=keys.TIMESTAMP_NOW, value=value, at=24))


class EndlessSource(PlaySource):
    """Lists holders for ever: full pages, in order, under the prefix."""

    def __init__(self, play: Play, *, grows: bool) -> None:
        super().__init__(play)
        self.grows, self.pages = grows, 0

    def answer(self, method: str, params: list[Any]) -> Any:
        prefix, size, after = [*params, 0, 0, 0][:3]
        if method != "state_getKeysPaged" or len(prefix) < 100:
            return super().answer(method, params)
        self.pages += 1
        if self.grows:
            return [after + "00" * (at + 1) for at in range(size)]
        begin = int(after[len(prefix) :] or "0", 16)
        return [prefix + f"{begin + at + 1:0100x}" for at in range(size)]


@pytest.mark.parametrize(("grows", "said"), [(False, "more than 3,000 keys"), (True, "of several lengths")])
def test_ch7_a_list_without_an_end_is_cut_off(
    play: Play, hotkeys: list[str], monkeypatch: pytest.MonkeyPatch, grows: bool, said: str
) -> None:
    monkeypatch.setattr("chain.pools.holdings.KEYS_MAX", 3_000)
    source = EndlessSource(play, grows=grows)
    with pytest.raises(SourceError, match=said):
        ChainReader(source, hotkeys, 42).start_from_chain(40)
    assert source.pages < 10
