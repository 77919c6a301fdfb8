"""What an import file may look like and what its rows may say, without a database (CH8)."""

from __future__ import annotations

import codecs
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import base58
from chain.addresses import InvalidAddress, decode_address, decode_solana, encode_address
from chain.families import Family, check_address
from chain.imports.files import (
    BYTES_MAX,
    OPTIONAL,
    REWARDS,
    ROWS_MAX,
    STAKE_EVENTS,
    FileRefused,
    read_file,
)
from chain.imports.rows import AMOUNT_MAX, Problem, Reading, read_rows
from chain.tests.imports import (
    ANN,
    BOB,
    CEM,
    EPOCH_700,
    EPOCH_701,
    FIRST,
    GENESIS,
    NOW,
    VOTE,
    as_csv,
    as_json,
    event,
    key,
    reward,
    slot_cells,
)
from chain.units import format_rao

SS58 = encode_address(b"\x11" * 32)


def read(content: bytes) -> Reading:
    return read_rows(read_file(content), genesis_hash=GENESIS, now=NOW)


def problems(content: bytes) -> list[tuple[int, str]]:
    return [(problem.row, problem.field) for problem in read(content).problems]


@given(st.binary(max_size=64))
def test_ch8_base58_has_one_spelling_of_all_bytes(raw: bytes) -> None:
    assert base58.decode(base58.encode(raw)) == raw


@given(st.binary(min_size=32, max_size=32).filter(any))
def test_pa4_solana_addresses_are_32_bytes_and_no_bittensor_ones(account: bytes) -> None:
    address = base58.encode(account)
    assert decode_solana(address) == account
    for text in (address[:-1] + "0", f" {address}", f"{address}\n", f"1{address}", encode_address(account)):
        with pytest.raises(InvalidAddress):
            check_address(text, Family.SOLANA)
    with pytest.raises(InvalidAddress):
        decode_address(address)


def test_pa4_what_is_wrong_with_a_solana_address_is_said() -> None:
    for text, said in (
        (SS58, "looks like a Bittensor"),
        ("1" * 32, "all-zero"),
        ("1" * 300, "300 characters"),
    ):
        with pytest.raises(InvalidAddress, match=said):
            decode_solana(text)


def test_ch8_the_examples_read_without_a_problem() -> None:
    for path, rewards, events in ((EPOCH_700, 12, 0), (EPOCH_701, 7, 3)):
        reading = read(path.read_bytes())
        assert (len(reading.rewards), len(reading.events), reading.problems) == (rewards, events, [])


def test_ch8_encodings_line_ends_and_both_formats_say_the_same() -> None:
    plain = as_csv(reward(), reward(staker=BOB))
    first = read(plain).rewards
    assert [row.number for row in first] == [2, 3]
    text = plain.decode()
    for other in (
        codecs.BOM_UTF8 + plain,
        text.encode("utf-16"),
        codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        as_csv(reward(), reward(staker=BOB), end="\r\n"),
        plain + b",,,,,,,,,\n\n",
    ):
        assert read(other).rewards == first
    in_sol = reward(staker_reward_sol="0.000000095", validator_revenue_sol="0.000000005")
    del in_sol["staker_reward_lamports"], in_sol["validator_revenue_lamports"]
    for content in (as_csv(in_sol), as_json([in_sol]), as_json([reward()])):
        (row,) = read(content).rewards
        assert (row.staker, row.reward_rao, row.revenue_rao, row.slot) == (ANN, 95, 5, first[0].slot)


@given(st.integers(min_value=0, max_value=AMOUNT_MAX))
def test_ch8_every_amount_survives_both_spellings(amount: int) -> None:
    row = reward(validator_revenue_sol=format_rao(amount), staker_reward_lamports=amount)
    del row["validator_revenue_lamports"]
    (found,) = read(as_csv(row)).rewards
    assert (found.revenue_rao, found.reward_rao) == (amount, amount)


ROW, JSON = as_csv(reward()).decode(), as_json()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n", "empty"),
        (b"PK\x03\x04\xff", "not UTF-8"),
        ("epoch,component".encode("utf-16-le"), "zero bytes"),
        (ROW.replace(",", ";").encode(), "not separated by commas"),
        (b"a,b\n1,2\n", "must name the columns of rewards or of stake events. rewards: genesis_hash, epoch"),
        (ROW.replace("epoch", "era").encode(), "Missing columns of rewards: epoch"),
        (ROW.replace("staker,", "staker,notes,").encode(), "Unknown columns of rewards: 'notes'"),
        (ROW.replace("epoch", "slot").encode(), "Missing columns|named twice"),
        (ROW.replace("staker,", "staker,staker,").encode(), "named twice"),
        (ROW.replace("staker,", "staker,staker_reward_sol,").encode(), "not both"),
        ((ROW + "1,2\n").encode(), "Row 3 has 2 cells, the first line names 10 columns"),
        ((ROW + '"open\n').encode(), "is not CSV"),
        (ROW.splitlines()[0].encode(), "no rows"),
        (b"{", "not JSON"),
        (b"[1]", "must be an object"),
        (b'{"format": "other"}', "must be an object"),
        (as_json(more=1), "Unknown keys: 'more'"),
        (as_json(genesis_hash=5), "must say"),
        (JSON.replace(b'"rewards": []', b'"rewards": {}'), "must be a list"),
        (JSON.replace(b'"rewards": []', b'"rewards": [1]'), "Row 1 of rewards is not an object"),
        (as_json([{"epoch": 1}]), "Row 1: Missing keys of rewards: slot"),
        (as_json(), "no rows"),
        (as_json([reward()]).replace(b'"epoch": 700', b'"epoch": 700, "epoch": 701'), "'epoch' twice"),
        (as_json([reward(epoch=700)]).replace(b"700", b"NaN"), "NaN"),
        (b"[" * 200_000, "nested|not JSON"),
        (as_json([reward()]).replace(b": 95", b": " + b"9" * 5_000), "not JSON"),
        (b"x" * (BYTES_MAX + 1), "Split it by epoch"),
        (
            (ROW.splitlines()[0] + "\n" + "a,b,c,d,e,f,g,h,i,j\n" * (ROWS_MAX + 1)).encode(),
            "100,000 is the most",
        ),
    ],
)
def test_ch8_a_file_that_is_none_is_refused_as_a_whole(content: bytes, said: str) -> None:
    with pytest.raises(FileRefused, match=said):
        read_file(content)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"genesis_hash": key("testnet")}, "another chain"),
        ({"epoch": ""}, "Is missing"),
        ({"epoch": "-1"}, "negative"),
        ({"epoch": "7e2"}, "not a whole number"),
        ({"slot": "٣"}, "not a whole number"),
        ({"slot_time": "2025-01-02 09:00:00"}, "not a time in UTC like"),
        ({"slot_time": "2025-01-02T09:00:00+01:00"}, "not a time in UTC like"),
        ({"slot_time": "2025-02-30T09:00:00Z"}, "not a time in UTC like"),
        ({"slot_time": "2025-03-01T00:00:01Z"}, "in the future"),
        ({"block_hash": "abc"}, "a block hash holds 32"),
        ({"vote_account": SS58}, "looks like a Bittensor address"),
        ({"component": "rewards"}, "not one of REWARDS, EXEC_FEES, MEV"),
        ({"staker": f"{ANN[:-1]}0"}, "zero at position"),
        ({"staker": "=HYPERLINK(1)"}, "formula"),
        ({"staker": f"\t{ANN}"}, "formula"),
        ({"staker": f"{ANN}\u200b"}, "at position"),
        ({"staker_reward_lamports": "-5"}, "negative"),
        ({"staker_reward_lamports": "+5"}, "formula"),
        ({"staker_reward_lamports": "1.5"}, "lamports are whole; for SOL name the column"),
        ({"staker_reward_lamports": "1,000"}, "digits alone"),
        ({"staker_reward_lamports": "1e3"}, "digits alone"),
        ({"staker_reward_lamports": str(AMOUNT_MAX + 1)}, "at most"),
    ],
)
def test_ch8_a_bad_cell_is_named_with_row_and_field(changed: dict[str, Any], said: str) -> None:
    (problem,) = read(as_csv(reward(staker=BOB), reward() | changed)).problems
    assert (problem.row, [problem.field]) == (3, list(changed))
    assert said in problem.text


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("-0.5", "negative"),
        ("0.0000000001", "at most nine decimals"),
        ("1e9", "not an amount in SOL"),
        ("0,5", "not an amount in SOL"),
        ("10000000000", "more SOL than can be stored"),
    ],
)
def test_ch8_amounts_of_sol_are_exact_or_refused(amount: str, said: str) -> None:
    row = reward(validator_revenue_sol=amount)
    del row["validator_revenue_lamports"]
    (problem,) = read(as_csv(row)).problems
    assert problem.field == "validator_revenue_sol"
    assert said in problem.text


def test_ch8_json_numbers_with_a_point_are_refused_not_rounded() -> None:
    for value in (0.1, 5.0, True, [5], {"a": 1}):
        row = reward(validator_revenue_lamports=value)
        assert problems(as_json([row])) == [(1, "validator_revenue_lamports")]


def test_ch8_every_fault_of_every_row_is_named_at_once() -> None:
    content = as_csv(reward() | {"staker": "x", "epoch": ""}, reward(component="TIPS"))
    assert problems(content) == [(2, "epoch"), (2, "staker"), (3, "component")]


def test_ch8_rows_must_not_contradict_each_other() -> None:
    late = slot_cells(400_000_000, FIRST + timedelta(days=9))
    assert problems(as_csv(reward(), reward())) == [(3, "staker")]
    assert problems(as_json([], [event(), event(kind="UNSTAKE")])) == [(2, "event_index")]
    assert problems(as_csv(reward(), reward(staker=BOB, block_hash=key("x")))) == [(3, "slot")]
    assert problems(as_csv(reward(), reward(staker=BOB, **late))) == [(3, "slot")]
    same_hash = {**late, "block_hash": reward()["block_hash"]}
    assert problems(as_csv(reward(), reward(component="MEV", **same_hash))) == [(3, "block_hash")]
    early = {**late, "slot_time": "2024-01-01T00:00:00Z"}
    assert problems(as_csv(reward(), reward(component="MEV", **early))) == [(3, "slot_time")]
    much = {"validator_revenue_lamports": AMOUNT_MAX}
    assert problems(as_csv(reward(**much), reward(staker=BOB), reward(staker=VOTE))) == [(3, "component")]


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"kind": "RESTAKE"}, ["direction", "other_vote_account"]),
        ({"kind": "RESTAKE", "direction": "OUT", "other_vote_account": BOB}, []),
        ({"kind": "TRANSFER", "direction": "IN"}, ["other_staker"]),
        ({"kind": "TRANSFER", "direction": "IN", "other_staker": BOB}, []),
        ({"kind": "UNSTAKE", "direction": "IN"}, ["direction"]),
        ({"kind": "STAKE", "direction": "SIDEWAYS"}, ["direction"]),
        ({"kind": "MERGE"}, ["kind"]),
        ({"signature": ANN}, ["signature"]),
        ({"signature": "1" * 500}, ["signature"]),
        ({"event_index": 2**31}, ["event_index"]),
        ({"fee_lamports": ""}, ["fee_lamports"]),
    ],
)
def test_ch8_stake_events_say_where_the_stake_went(changed: dict[str, Any], fields: list[str]) -> None:
    assert [name for _, name in problems(as_csv(event(**changed)))] == fields
    assert [name for _, name in problems(as_json([], [event(**changed)]))] == fields


def test_ch8_directions_are_read() -> None:
    rows = [
        event(event_index=0),
        event(event_index=1, kind="UNSTAKE"),
        event(event_index=2, kind="RESTAKE", direction="OUT", other_vote_account=BOB),
        event(event_index=3, kind="TRANSFER", direction="IN", other_staker=BOB),
    ]
    reading = read(as_json([], rows))
    assert [row.added for row in reading.events] == [True, False, False, True]
    assert reading.problems == list[Problem]()


# --- null ---------------------------------------------------------------------------------------------

FULL_REWARD = reward()
FULL_EVENT = event(
    kind="RESTAKE", direction="IN", signer=BOB, other_staker=CEM, other_vote_account=key("vote")
)
ABSENT = {"direction": False, "signer": "", "other_staker": "", "other_vote_account": ""}


@pytest.mark.parametrize("number", ["9" * 101, "9" * 5_000, "-" + "9" * 101])
def test_ch8_a_number_without_end_is_refused_as_what_it_is(number: str) -> None:
    content = as_json([reward()]).decode().replace('"epoch": 700', f'"epoch": {number}')
    with pytest.raises(FileRefused, match=r"not JSON: it has a number of [0-9,]+ digits"):
        read(content.encode())


@pytest.mark.parametrize("name", OPTIONAL[STAKE_EVENTS])
def test_ch8_null_for_what_may_be_left_out_is_that_it_is_left_out(name: str) -> None:
    kind = {"direction": "UNSTAKE"}.get(name, "STAKE")
    given = event(kind=kind, **{name: None})
    left_out = event(kind=kind)
    for content in (as_json(events=[given]), as_json(events=[{**given, name: ""}])):
        reading = read(content)
        assert (reading.events, reading.problems) == (read(as_json(events=[left_out])).events, [])
    (row,) = read(as_json(events=[given])).events
    assert getattr(row, {"direction": "added"}.get(name, name)) == ABSENT[name]


@pytest.mark.parametrize(
    ("section", "row", "name"),
    [
        *((REWARDS, FULL_REWARD, name) for name in FULL_REWARD),
        *((STAKE_EVENTS, event(), name) for name in event()),
        # These are needed by what the row is.
        (STAKE_EVENTS, FULL_EVENT, "other_vote_account"),
        (STAKE_EVENTS, FULL_EVENT | {"kind": "TRANSFER"}, "other_staker"),
        (STAKE_EVENTS, FULL_EVENT, "direction"),
    ],
)
def test_ch8_null_for_what_is_needed_is_refused_by_row_and_field(
    section: str, row: dict[str, Any], name: str
) -> None:
    document = {"format": "rakeback-import-1", "genesis_hash": GENESIS, section: [{**row, name: None}]}
    reading = read(json.dumps(document).encode())
    (problem,) = (problem for problem in reading.problems if problem.field == name)
    assert (problem.section, problem.row) == (section, 1)
    assert problem.text.startswith("Say IN or OUT" if name == "direction" else "Is missing.")
    assert not reading.rewards
    assert not reading.events
