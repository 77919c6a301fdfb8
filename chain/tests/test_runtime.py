"""The decoder gives what substrate-interface gives for the same bytes, only faster, and refuses what does not fit."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import keys
from chain.runtimes.decoding import Extrinsic, RuntimeDecoder, Undecodable, calls_within, decoder_for
from chain.tests.mainnet import SS58_PREFIX, metadata_of, recorded_events
from chain.tests.reference_decoder import ReferenceDecoder
from chain.tests.replay_node import Play

EVENTS = recorded_events()


@cache
def reference(spec_version: int) -> ReferenceDecoder:
    return ReferenceDecoder(metadata_of(spec_version), SS58_PREFIX)


def decoder(spec_version: int) -> RuntimeDecoder:
    return decoder_for(spec_version, metadata_of(spec_version), SS58_PREFIX)


# --- equal to substrate-interface ---------------------------------------------------------------------


@pytest.mark.parametrize(("number", "count"), [(7_959_608, 166), (7_959_635, 182)])
def test_ch2_events_of_mainnet_are_those_that_substrate_interface_decodes(number: int, count: int) -> None:
    events = decoder(393).events(EVENTS[number])
    assert len(events) == count
    assert events == reference(393).events(EVENTS[number])


def test_ch2_events_of_the_play_are_those_that_substrate_interface_decodes(play: Play) -> None:
    count = 0
    for number, block in play.blocks.items():
        raw = play.answer("state_getStorage", [keys.SYSTEM_EVENTS, block["hash"]])
        events = decoder(293).events(raw)
        assert events == reference(293).events(raw), number
        count += len(events)
    assert count == 410


def without_call_hashes(value: Any) -> Any:
    """substrate-interface hashes other bytes than a nested call's own; nothing here reads those hashes."""
    if isinstance(value, dict):
        return {name: without_call_hashes(item) for name, item in value.items() if name != "call_hash"}
    if isinstance(value, list | tuple):
        return type(value)(without_call_hashes(item) for item in value)
    return value


def test_ch2_extrinsics_of_the_play_are_those_that_substrate_interface_decodes(play: Play) -> None:
    decoded: list[Extrinsic] = []
    for block in play.blocks.values():
        for recorded in block["extrinsics"]:
            extrinsic = decoder(293).extrinsic(recorded["raw"])
            theirs = reference(293).extrinsic(recorded["raw"])
            assert without_call_hashes(extrinsic.call) == without_call_hashes(theirs["call"])
            assert (extrinsic.signer, extrinsic.hash) == (theirs.get("address", ""), recorded["hash"])
            assert extrinsic.call["call_hash"] == theirs["call"]["call_hash"]
            decoded.append(extrinsic)
    assert len(decoded) == 143
    nested = Counter(len(list(calls_within(extrinsic.call))) for extrinsic in decoded)
    assert nested[1] == 134
    assert max(nested) == 16


@pytest.mark.parametrize("spec_version", [293, 343, 393])
@pytest.mark.parametrize("item", ["Delegates", "SubnetOwnerCut"])
def test_ch3_defaults_are_those_of_the_metadata(spec_version: int, item: str) -> None:
    theirs = reference(spec_version).default("SubtensorModule", item)
    assert decoder(spec_version).default_u16("SubtensorModule", item) == int.from_bytes(theirs, "little") > 0


# --- pinned -------------------------------------------------------------------------------------------


def test_ch2_the_events_of_two_mainnet_blocks_are_pinned() -> None:
    events = [event for raw in EVENTS.values() for event in decoder(393).events(raw)]
    assert Counter(event.name for event in events if event.pallet == "SubtensorModule") == {
        "WeightsSet": 39,
        "TimelockedWeightsRevealed": 34,
        "TimelockedWeightsCommitted": 16,
        "RootClaimed": 10,
        "StakeRemoved": 6,
        "StakeAdded": 2,
        "IncentiveAlphaEmittedToMiners": 2,
    }
    assert Counter(event.pallet for event in events if event.pallet != "SubtensorModule") == {
        "Balances": 86,
        "System": 72,
        "TransactionPayment": 52,
        "Drand": 8,
        "Ethereum": 8,
        "Commitments": 6,
        "MevShield": 5,
        "Utility": 2,
    }
    assert sum(event.extrinsic_index is None for event in events) == 80


def test_ch2_the_stake_events_of_two_mainnet_blocks_are_pinned() -> None:
    """(coldkey, hotkey, TAO, alpha, netuid, fee) with block, index and extrinsic."""
    stake = [
        (number, event.index, event.extrinsic_index, event.name, *event.values)
        for number, raw in EVENTS.items()
        for event in decoder(393).events(raw)
        if event.is_a("SubtensorModule", "StakeAdded", "StakeRemoved")
    ]
    assert stake == STAKE


# fmt: off
STAKE = [
    (7_959_608, 62, 10, "StakeRemoved",
     "5GhSdA8G4q7mNW9s9RqS4tLjtowFYTBMptEQ8b6WPBnRA8R5",
     "5E2LP6EnZ54m3wS8s1yPvD5c3xo71kQroBw7aUVK32TKeZ5u", 20_019_072_615, 1_339_254_272_307, 24, 674_378_438),
    (7_959_608, 86, 14, "StakeAdded",
     "5FfAmTG5NJk1VVtDWHYjoNQwxfR6XBEibuwYT2hUHr9dypQx",
     "5HK5tp6t2S59DywmHRWPBVJeJ86T61KjurYqeooqj8sREpeN", 10_000_000_000, 412_833_565_821, 75, 5_035_477),
    (7_959_608, 104, 17, "StakeRemoved",
     "5Ey2Tt7VxiKNE2dbQcLnrfYTGP4KAJ6g8VxKWV3j5TYduJK8",
     "5GKH9FPPnWSUoeeTJp19wVtd84XqFW4pyK2ijV2GsFbhTrP1", 159_669_469, 9_000_000_000, 66, 4_531_929),
    (7_959_608, 130, 25, "StakeRemoved",
     "5Cw8eqWUsWJvg8Z3pXhQu4KJCgWob5TcSbceDWs63pMiTkro",
     "5E4z3h9yVhmQyCFWNbY9BPpwhx4xFiPwq3eeqmBgVF6KULde", 948_833_260, 11_229_260_863, 97, 5_654_468),
    (7_959_635, 83, 10, "StakeRemoved",
     "5CSEXGiF31Q4cL6nyWaEjnEoiCNEmMeTUmF64XRmw4TnYPuA",
     "5HK5tp6t2S59DywmHRWPBVJeJ86T61KjurYqeooqj8sREpeN", 4_155_042_619, 181_749_566_626, 9, 91_519_580),
    (7_959_635, 97, 12, "StakeRemoved",
     "5CntfaXm2NL56cN35cavnkBcmLSnJp9GSESHMHvG3pHXb7ds",
     "5HK5tp6t2S59DywmHRWPBVJeJ86T61KjurYqeooqj8sREpeN", 99_857_874, 1_200_000_000, 97, 604_257),
    (7_959_635, 111, 14, "StakeRemoved",
     "5G3WpuLuVLLT2ZVBXEYFrUh2z85DQ5q9rd84w9A8GpTm79si",
     "5FvNeXCbMQfFN5qd8tDYFjhqCo5TDhVnbH65pJHiMQ1xjYup", 5_381_944, 1_338_510_719, 88, 674_004),
    (7_959_635, 147, 24, "StakeAdded",
     "5E7aTYSwpKbBFdfRH2EeBPdtTkpZ3Kpgp4qX5hEEysgpqLLB",
     "5E4z3h9yVhmQyCFWNbY9BPpwhx4xFiPwq3eeqmBgVF6KULde", 265_890_404, 3_191_721_917, 97, 133_888),
]
# fmt: on


# --- refusals -----------------------------------------------------------------------------------------


def test_ch7_metadata_of_another_runtime_is_refused() -> None:
    with pytest.raises(Undecodable, match="given for runtime 394 is that of runtime 393"):
        RuntimeDecoder(394, metadata_of(393), SS58_PREFIX)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-2],
        lambda text: text[: len(text) // 2],
        lambda text: text + "00",
        lambda text: "0x" + text[4:],
        lambda _: "0x",
        lambda _: "0xmeta",
        lambda text: text[:-1],
        lambda _: None,
    ],
)
def test_ch7_damaged_metadata_is_refused(damage: Any) -> None:
    with pytest.raises(Undecodable, match="metadata of runtime 393 cannot be decoded"):
        RuntimeDecoder(393, damage(metadata_of(393)), SS58_PREFIX)


def test_ch7_events_of_another_runtime_are_refused_unless_they_read_the_same(play: Play) -> None:
    for raw in EVENTS.values():
        for spec_version in (293, 343):
            with pytest.raises(Undecodable, match=f"events of runtime {spec_version} cannot be decoded"):
                decoder(spec_version).events(raw)
    refused = 0
    for block in play.blocks.values():
        raw = play.answer("state_getStorage", [keys.SYSTEM_EVENTS, block["hash"]])
        try:
            assert decoder(393).events(raw) == decoder(293).events(raw)
        except Undecodable:
            refused += 1
    assert refused == 11


def test_ch7_a_storage_item_that_is_not_there_or_no_u16_is_refused() -> None:
    with pytest.raises(Undecodable, match=r"SubtensorModule\.AlphaV2 cannot be decoded"):
        decoder(393).default_u16("SubtensorModule", "AlphaV2")
    with pytest.raises(Undecodable, match="it has 8 bytes, not 2"):
        decoder(393).default_u16("SubtensorModule", "TaoWeight")


@pytest.mark.parametrize("tail", ["00", "0400", "ff" * 40])
def test_ch7_bytes_after_the_last_event_or_extrinsic_are_refused(play: Play, tail: str) -> None:
    with pytest.raises(Undecodable, match="undecoded bytes remain"):
        decoder(393).events(EVENTS[7_959_608] + tail)
    with pytest.raises(Undecodable, match="undecoded bytes remain"):
        decoder(293).extrinsic(play.blocks[20]["extrinsics"][-1]["raw"] + tail)


@pytest.mark.parametrize("text", ["", "0x", "0xzz", "0x0", None, 5, ["0x00"]])
def test_ch7_what_is_no_hex_is_refused(text: Any) -> None:
    for decode in (decoder(393).events, decoder(393).extrinsic):
        with pytest.raises(Undecodable):
            decode(text)


def test_ch7_a_count_that_no_block_could_hold_is_refused_at_once() -> None:
    for count in ("02000080", "feffffff", "03ffffffff", "13" + "ff" * 8):
        with pytest.raises(Undecodable):
            decoder(393).events("0x" + count + EVENTS[7_959_608][6:])


def test_f26_calls_nested_without_end_are_refused_and_a_hundred_levels_are_not() -> None:
    def batches(depth: int) -> str:
        body = bytes([4]) + bytes([11, 0, 4]) * depth + bytes([0, 0, 0])
        wide = 2 if len(body) < 1 << 14 else 4
        return "0x" + ((len(body) << 2 | wide // 2).to_bytes(wide, "little") + body).hex()

    assert len(list(calls_within(decoder(393).extrinsic(batches(100)).call))) == 101
    for depth in (1_000, 100_000):
        with pytest.raises(Undecodable, match="recursion exceeds"):
            decoder(393).extrinsic(batches(depth))


RAW = [bytes.fromhex(raw[2:]) for raw in EVENTS.values()]


@settings(max_examples=300, deadline=2000)
@given(raw=st.sampled_from(RAW), data=st.data())
def test_ch7_a_truncated_block_of_events_is_never_decoded_in_part(raw: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(Undecodable):
        decoder(393).events("0x" + raw[:end].hex())


@settings(max_examples=60, deadline=5000)
@given(raw=st.sampled_from(RAW), data=st.data())
def test_ch7_flipped_bits_are_refused_or_decode_to_what_they_say(raw: bytes, data: st.DataObject) -> None:
    """Whatever is accepted has the count that its first bytes name, and is what substrate-interface reads in it."""
    flipped = bytearray(raw)
    for bit in data.draw(st.lists(st.integers(0, len(raw) * 8 - 1), min_size=1, max_size=3, unique=True)):
        flipped[bit // 8] ^= 1 << bit % 8
    text = "0x" + flipped.hex()
    try:
        events = decoder(393).events(text)
    except Undecodable:
        return
    assert len(events) == int.from_bytes(flipped[:2], "little") >> 2
    assert events == reference(393).events(text)


@settings(max_examples=200, deadline=2000)
@given(data=st.binary(max_size=400))
def test_ch7_arbitrary_bytes_never_hang_the_decoder(data: bytes) -> None:
    try:
        events = decoder(393).events("0x" + data.hex())
    except Undecodable:
        return
    assert events == reference(393).events("0x" + data.hex())


@settings(max_examples=100, deadline=2000)
@given(cut=st.integers(1, 200), number=st.sampled_from([20, 40, 68, 75]))
def test_ch7_a_truncated_extrinsic_is_refused(play: Play, cut: int, number: int) -> None:
    for recorded in play.blocks[number]["extrinsics"]:
        if cut * 2 < len(recorded["raw"]) - 2:
            with pytest.raises(Undecodable):
                decoder(293).extrinsic(recorded["raw"][: -2 * cut])
