"""Swapped keys in the database: who is followed and who holds what is read back as the reader had it (CH4)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import pytest

from chain.facts import BlockFacts
from chain.pools.holdings import differences
from chain.queries import followed_after, holdings_at
from chain.state import Identity
from chain.storing import store_baseline, store_blocks, store_network
from chain.tests.followed import ROOT, TAO, Followed
from chain.tests.model import World

pytestmark = pytest.mark.django_db


def own(world: World, *, hotkey: str, coldkey: str) -> None:
    world.owner.put(hotkey, coldkey)


class Runtime(NamedTuple):
    spec_version: int
    metadata_hex: str


class Stored(Followed):
    """A chain whose every block is stored and read back."""

    def begin(self) -> Stored:
        store_network(Identity("model", self.chain.hash_of(0), 42, 0), self.hotkeys, 1)
        store_baseline(0, differences({}, self.reader.holdings), known_until=None)
        return self

    def block(self) -> BlockFacts:
        facts = super().block()
        runtime = Runtime(facts.spec_version, "0x00")
        store_blocks([facts], lambda _: runtime)
        assert set(followed_after(facts.number)) == self.reader.following
        assert holdings_at(facts.number) == self.reader.holdings
        return facts


@pytest.mark.parametrize("ends", ["taken up", "swapped back", "a stranger's"])
def test_ch4_a_key_left_by_a_swap_is_stored_until_somebody_takes_it_up(ends: str) -> None:
    follow = Stored(425).begin()
    old, new = follow.hotkey, follow.newcomer("new hotkey")
    follow.chain.swap_hotkey(old, new, keep_stake=True)
    follow.block()
    follow.chain.add_stake(follow.newcomer("staker"), new, follow.netuid, 9 * TAO)
    follow.block()
    if ends == "swapped back":
        follow.chain.swap_hotkey(new, old, follow.netuid)
        follow.blurred = True
    else:
        owner = follow.owner if ends == "taken up" else follow.newcomer("stranger")
        follow.chain.silently(partial(own, hotkey=old, coldkey=owner))
    follow.doubtful = ends == "a stranger's"
    follow.block()
    assert (old in {hotkey for hotkey, *_ in followed_after(3)}) == (ends != "a stranger's")
    follow.doubtful = False
    follow.block()


def test_ch4_a_key_swapped_on_root_and_into_one_that_has_stakers_is_stored() -> None:
    follow = Stored(425).begin()
    old, second = follow.hotkey, follow.newcomer("second hotkey")
    follow.chain.silently(partial(own, hotkey=second, coldkey=follow.owner))
    follow.block()
    follow.chain.add_stake(follow.newcomer("staker"), second, follow.netuid, 700 * TAO)
    follow.block()
    follow.blurred = True
    follow.chain.swap_hotkey(old, second, ROOT)
    follow.block()
    follow.chain.swap_hotkey(old, second, follow.netuid)
    follow.block()
    assert len(holdings_at(follow.chain.number)[second, follow.netuid]) > 1
