"""What is staged comes back as it was, or is refused (CH9)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.backfill import staging
from chain.backfill.staging import Staged, StaleStaging, Stretch, pack, unpack
from chain.facts import (
    BlockFacts,
    HotkeyFact,
    PriceFact,
    RemarkFact,
    ShareFact,
    StakeEventFact,
    TagFact,
    YieldFact,
)
from chain.pools.shares import Share
from chain.stake.hotkeys import Following

RAW = st.builds(Share, st.integers(0, 2**128), st.none() | st.integers(-400, 400))
SHARES = st.builds(ShareFact, st.text(), st.integers(0, 2**16), st.text(), RAW)


def facts_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any value of a fact, field by field."""
    by_type = {
        "int": st.integers(-(2**70), 2**128),
        "str": st.text(),
        "bool": st.booleans(),
        "bytes": st.binary(),
        "int | None": st.none() | st.integers(),
        "bytes | None": st.none() | st.binary(),
        "Share": RAW,
    }
    return st.builds(kind, **{field.name: by_type[str(field.type)] for field in fields(kind)})


BLOCKS = st.builds(
    BlockFacts,
    st.integers(1, 2**40),
    st.text(),
    st.text(),
    st.integers(0, 2**42),
    st.integers(0, 999),
    yields=st.lists(facts_of(YieldFact), max_size=2),
    stake_events=st.lists(facts_of(StakeEventFact), max_size=2),
    remarks=st.lists(facts_of(RemarkFact), max_size=2),
    shares=st.lists(SHARES, max_size=3),
    tags=st.lists(facts_of(TagFact), max_size=2),
    hotkeys=st.lists(facts_of(HotkeyFact), max_size=2),
    prices=st.lists(facts_of(PriceFact), max_size=2),
    doubts=st.lists(st.text(), max_size=2),
    payload=st.binary(),
)
STRETCHES = st.builds(
    Stretch, st.integers(1, 2**40), st.lists(SHARES, max_size=3), st.lists(BLOCKS, max_size=2)
)
STAGED = st.builds(
    Staged,
    st.text(),
    st.text(),
    st.integers(0, 99),
    st.lists(st.builds(Following, st.text(), st.none() | st.integers(0, 2**16))),
    runtimes=st.dictionaries(st.integers(0, 999), st.text(), max_size=2),
    stretches=st.lists(STRETCHES, max_size=2),
)


@given(STAGED)
def test_ch9_what_is_staged_comes_back_the_same(staged: Staged) -> None:
    assert unpack(pack(staged)) == staged
    assert pack(unpack(pack(staged))) == pack(staged)


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A staged block, its JSON edited."""
    block = BlockFacts(1, "0x1", "0x0", 5, 293, remarks=[RemarkFact(1, 2, "5", b"\xff", "0x", 1)])
    packed = pack(Staged("c", "0x", 42, [Following("5")], {293: "0x"}, [Stretch(1, [], [block])]))
    body = json.loads(zlib.decompress(packed))
    change(body)
    return zlib.compress(json.dumps(body).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(version=2),
        lambda body: body.update(format="another"),
        lambda body: body["fields"]["ShareFact"].append("more: int"),
        lambda body: body["fields"].pop("RemarkFact"),
        lambda body: body["staged"].pop(),
        lambda body: body["staged"].__setitem__(2, "42"),
        lambda body: body["staged"].__setitem__(2, True),
        lambda body: body["staged"][5][0][2][0].__setitem__(0, None),
        lambda body: body["staged"][5][0][2][0][9].append([1, 2, "5", "not hex", "0x", 1]),
    ],
)
def test_ch9_other_fields_other_types_and_other_versions_are_refused(change: Any) -> None:
    assert unpack(edited(lambda body: body)).stretches[0].blocks[0].remarks[0].remark == b"\xff"
    with pytest.raises(StaleStaging):
        unpack(edited(change))


@pytest.mark.parametrize("packed", [b"", b"nonsense", zlib.compress(b"{}"), zlib.compress(b"[1]")])
def test_ch9_bytes_that_are_no_chunk_are_refused(packed: bytes) -> None:
    with pytest.raises(StaleStaging):
        unpack(packed)


class Pair(NamedTuple):
    """A value that facts may hold."""

    bits: int
    exponent: int | None


@dataclass(frozen=True)
class Held:
    """A fact with one."""

    share: Pair
    parts: tuple[int, str]


def test_ch9_values_within_values_come_back_too() -> None:
    held = Held(Pair(2**70, None), (1, "a"))
    assert staging._value(Held, json.loads(json.dumps(staging._plain(held)))) == held
    with pytest.raises(TypeError, match="float cannot be staged"):
        staging._plain(0.5)
