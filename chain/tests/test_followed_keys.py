"""Keys followed through random swaps of hotkeys and coldkeys and keys taken up, against a naive onlooker (CH4).

The onlooker plays the pallet's own map of owners, one call at a time, by `swap_hotkey.rs`, `swap_coldkey.rs` and
`create_account_if_non_existent` of its source; what is tested sees a block's events and the owners around it.

Others: FOLLOWING_SEED=7 FOLLOWING_RUNS=20000 pytest chain/tests/test_followed_keys.py.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from chain.keys import ROOT
from chain.stake.hotkeys import ColdkeySwap, Following, Lost, Swap, addresses, after_block, on_subnet

RUNS = int(os.environ.get("FOLLOWING_RUNS", "1000"))
SEED = os.environ.get("FOLLOWING_SEED", "1")
NETUIDS = (ROOT, 1, 2)
Where = frozenset[int]


@dataclass
class Onlooker:
    """Who owns each key, and which of them are ours where, after every call; None stands for every subnet.

    Until 416 a swap asked nobody who owned the new key.
    """

    asks_owner_of_new: bool
    owner: dict[str, str] = field(default_factory=dict)
    ours: dict[str, set[int | None]] = field(default_factory=dict)
    left: dict[str, tuple[set[int | None], str]] = field(default_factory=dict)
    """Abandoned keys: where they were ours, and by whom."""

    def take_up(self, coldkey: str, hotkey: str) -> bool:
        """Make a key without an owner one's own."""
        if hotkey in self.owner:
            return False
        self.owner[hotkey] = coldkey
        where, by = self.left.pop(hotkey, (set(), ""))
        if by == coldkey:
            self.ours.setdefault(hotkey, set()).update(where)
        return True

    def swap(self, coldkey: str, old: str, new: str, netuid: int | None) -> bool:
        """Swap a key for another, or refuse."""
        if self.owner.get(old) != coldkey or old == new:
            return False
        if self.asks_owner_of_new and self.owner.get(new, coldkey) != coldkey:
            return False
        if not self.take_up(coldkey, new) and self.owner[new] != coldkey and old not in self.ours:
            self.ours.pop(new, None)
        self.owner[new] = coldkey
        where = self.ours.get(old, set())
        if netuid is None:
            del self.owner[old]
            if where:
                self.ours.setdefault(new, set()).update(where)
                self.left[old] = (self.ours.pop(old), coldkey)
        elif where & {None, netuid}:
            self.ours.setdefault(new, set()).add(None if netuid == ROOT else netuid)
        return True

    def swap_coldkey(self, old: str, new: str) -> bool:
        """Hand everything of a coldkey to one that owns nothing, or refuse."""
        if old == new or new in self.owner.values():
            return False
        self.owner = {hotkey: new if owner == old else owner for hotkey, owner in self.owner.items()}
        self.left = {hotkey: (where, new if by == old else by) for hotkey, (where, by) in self.left.items()}
        return True

    def view(self) -> tuple[dict[str, Where], dict[str, str]]:
        """Where each key is ours, and who abandoned those that nobody owns."""
        everywhere = frozenset(NETUIDS)
        here = {
            hotkey: everywhere
            if None in where
            else frozenset(netuid for netuid in where if netuid is not None)
            for hotkey, where in self.ours.items()
        }
        return here, {hotkey: by for hotkey, (_, by) in self.left.items()}


def view(following: frozenset[Following]) -> tuple[dict[str, Where], dict[str, str]]:
    """The same of what is followed."""
    here = {
        hotkey: found
        for hotkey in addresses(following)
        if (found := frozenset(netuid for netuid in NETUIDS if hotkey in on_subnet(following, netuid)))
    }
    return here, {one.hotkey: one.abandoned_by for one in following if one.abandoned_by}


def random_call(rng: random.Random, chain: Onlooker, index: int) -> tuple[bool, Swap | ColdkeySwap | None]:
    """One call: whether it went through, and its event."""
    coldkey, other = rng.choice("CDST"), rng.choice("CDST")
    old, new = rng.choice("ABNXY"), rng.choice("ABNXY")
    if rng.random() < 0.7:
        coldkey = chain.owner.get(old, coldkey)
    kind = rng.choices(["all", "one", "coldkey", "take up"], [4, 3, 1, 3])[0]
    if kind == "coldkey":
        return chain.swap_coldkey(coldkey, other), ColdkeySwap(index, coldkey, other)
    if kind == "take up":
        return chain.take_up(coldkey, old), None
    netuid = None if kind == "all" else rng.choice(NETUIDS)
    return chain.swap(coldkey, old, new, netuid), Swap(index, coldkey, old, new, netuid)


@pytest.mark.parametrize("asks_owner_of_new", [True, False], ids=["from 417", "until 416"])
def test_ch4_keys_are_followed_as_an_onlooker_of_every_call_would(asks_owner_of_new: bool) -> None:
    """C's A is ours, everywhere; B is C's too and nobody named it, X is a stranger's. One call in a block."""
    for number in range(RUNS):
        rng = random.Random(f"{SEED}/{number}")
        chain = Onlooker(asks_owner_of_new, {"A": "C", "B": "C", "X": "S"}, {"A": {None}})
        following, history = frozenset({Following("A")}), []
        for _ in range(rng.randrange(3, 10)):
            before = dict(chain.owner)
            went, event = random_call(rng, chain, 0)
            if not went:
                continue
            history.append(event or chain.owner)
            made = [event] if isinstance(event, Swap) else []
            coldkeys = [event] if isinstance(event, ColdkeySwap) else []
            known = {hotkey: before[hotkey] for hotkey in addresses(following) if hotkey in before}
            following, _ = after_block(following, made, coldkeys, known, chain.owner)
            assert view(following) == chain.view(), f"{number}: {history}"


@pytest.mark.parametrize("asks_owner_of_new", [True, False], ids=["from 417", "until 416"])
def test_ch4_no_key_of_a_stranger_is_ours_after_blocks_of_many_calls(asks_owner_of_new: bool) -> None:
    """What a block took and gave back within itself no state shows; who owns a key after it is in any case one of ours."""
    for number in range(RUNS):
        rng = random.Random(f"{SEED}/{number}")
        chain = Onlooker(asks_owner_of_new, {"A": "C", "B": "C", "X": "S"}, {"A": {None}})
        following, heirs, history = frozenset({Following("A")}), {"C"}, []
        for _ in range(rng.randrange(3, 8)):
            before, events = dict(chain.owner), list[Swap | ColdkeySwap]()
            for index in range(4):
                went, event = random_call(rng, chain, index)
                if went and event:
                    events.append(event)
                if went and isinstance(event, ColdkeySwap) and event.old in heirs:
                    heirs.add(event.new)
            history.append((events, dict(chain.owner)))
            made = [event for event in events if isinstance(event, Swap)]
            coldkeys = [event for event in events if isinstance(event, ColdkeySwap)]
            known = {hotkey: before[hotkey] for hotkey in addresses(following) if hotkey in before}
            following, lost = after_block(following, made, coldkeys, known, chain.owner)
            here, left = view(following)
            assert {chain.owner[hotkey] for hotkey in here} <= heirs, f"{number}: {history}"
            assert not chain.owner.keys() & left.keys()
            assert all(one.owner != one.held_by for one in lost)


C_LOST_A = [Lost("A", "C", "S", was_left=False, was_left_before=False)]


@pytest.mark.parametrize(
    ("following", "events", "before", "after", "ours", "lost"),
    [
        pytest.param(
            {Following("A")}, [Swap(0, "C", "A", "B", None)], {"A": "C"}, {"A": "S", "B": "C"}, {"B"},
            [Lost("A", "C", "S", was_left=True, was_left_before=False)], id="taken up by a stranger at once",
        ),
        pytest.param(
            {Following("A")}, [Swap(0, "S", "X", "A", 1)], {"A": "C"}, {"A": "S"}, set(), C_LOST_A,
            id="a stranger swaps his key into ours",
        ),
        pytest.param(
            {Following("A")}, [Swap(0, "S", "X", "A", 1), Swap(1, "S", "A", "Y", None)], {"A": "C"},
            {"Y": "S"}, set(), C_LOST_A, id="and on",
        ),
        pytest.param(
            {Following("A", None, "C")}, [Swap(0, "C", "A", "N", None), ColdkeySwap(1, "C", "D")], {},
            {"N": "D"}, {"N"}, [], id="taken up, swapped on, and the coldkey swapped",
        ),
        pytest.param(
            {Following("A", None, "D"), Following("N")}, [Swap(0, "C", "N", "A", None)], {"N": "C"},
            {"A": "C"}, {"A"}, [], id="ours of one coldkey into what another of ours abandoned",
        ),
        pytest.param(
            {Following("A", None, "C"), Following("A", 1, "C")}, [Swap(0, "S", "A", "Z", None)], {},
            {"Z": "S"}, set(), [Lost("A", "C", "S", was_left=True, was_left_before=True)], id="abandoned twice",
        ),
        pytest.param(
            {Following("A")}, [Swap(0, "C", "A", "B", None)], {}, {"B": "C"}, {"B"}, [],
            id="nobody owned it before the block",
        ),
    ],
)  # fmt: skip
def test_ch4_a_stranger_and_the_heir_in_one_block(
    following: set[Following],
    events: Sequence[Swap | ColdkeySwap],
    before: dict[str, str],
    after: dict[str, str],
    ours: set[str],
    lost: list[Lost],
) -> None:
    made = [event for event in events if isinstance(event, Swap)]
    coldkeys = [event for event in events if isinstance(event, ColdkeySwap)]
    now, gone = after_block(following, made, coldkeys, before, after)
    assert ({one.hotkey for one in now if not one.abandoned_by}, gone) == (ours, lost)
