"""Swapped keys in the database: who is followed and who holds what is read back as the reader had it (CH4)."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from functools import partial, partialmethod
from itertools import count
from typing import NamedTuple

import pytest
from django.db import transaction

from chain.backfill.services import start_backfill
from chain.backfill.work import read_one_chunk
from chain.facts import BlockFacts
from chain.models import Gap
from chain.pools.holdings import differences
from chain.queries import facts_sha256, followed_after, holdings_at
from chain.reading.reader import ChainReader
from chain.services import ingest
from chain.state import Identity
from chain.storing import store_baseline, store_blocks, store_network
from chain.tests.factories import START
from chain.tests.followed import ROOT, TAO, Followed
from chain.tests.model import World, codec

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


# --- backfills across swaps ---------------------------------------------------------------------------------


def history(kind: str) -> Followed:
    """24 blocks with stake and epochs; in the twelfth our key is swapped, in the sixteenth somebody takes the old one up."""
    follow = Followed(425)
    chain, old, new = follow.chain, follow.hotkey, follow.newcomer("new hotkey")
    for number in range(1, 25):
        staked_on = old if chain.world.owner_of(old) else new
        chain.add_stake(follow.newcomer(f"staker {number}"), staked_on, follow.netuid, (number + 3) * TAO)
        if number in (5, 11, 13, 17, 22):
            chain.epoch(follow.netuid)
        if number == 12:
            chain.swap_hotkey(old, new, keep_stake=None if kind == "moved" else True)
        if number == 16 and kind != "moved":
            owner = follow.owner if kind == "taken up" else follow.newcomer("stranger")
            chain.silently(partial(own, hotkey=old, coldkey=owner))
        chain.produce()
    return follow


def outcome() -> tuple[str, list[tuple[str, str]]]:
    gaps = Gap.objects.filter(state="OPEN").order_by("blocks").values_list("kind", "reason")
    return facts_sha256(), list(gaps)


@pytest.mark.parametrize("kind", ["moved", "taken up", "a stranger's"])
def test_ch7_a_backfill_in_chunks_around_a_swap_gives_the_bytes_of_a_serial_run(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ChainReader, "__init__", partialmethod(ChainReader.__init__, decoders=codec.decoder_for)
    )
    follow = history(kind)
    source = follow.chain.source
    with transaction.atomic():
        ingest(source, first=2, last=23, hotkeys=follow.hotkeys)
        serial = outcome()
        transaction.set_rollback(True)
    for size in (1, 5, 10, 11):
        with transaction.atomic():
            backfill = start_backfill(
                source,
                first=2,
                last=23,
                hotkeys=follow.hotkeys,
                actor=None,
                now=START,
                chunk_blocks=size,
                parallel=3,
            )
            moments = (START + timedelta(seconds=n) for n in count())
            while read_one_chunk(
                lambda: nullcontext(source),
                backfill_id=backfill.pk,
                worker="one",
                clock=partial(next, moments),
            ):
                pass
            assert outcome() == serial, f"chunks of {size} blocks"
            transaction.set_rollback(True)
