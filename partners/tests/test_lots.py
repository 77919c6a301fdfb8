"""Lots, first in, first out, against a reference that moves one share at a time (PA8)."""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

import pytest

from chain.facts import Position
from chain.pools.shares import NO_SHARE, Share
from partners.lots import Change, Leg, Lot, LotBook

HISTORIES = int(os.environ.get("LOT_HISTORIES", "10000"))
BATCHES = 4
ALICE, BOB = "alice", "bob"
TAGS = ("", "", "app", "other")
Age = tuple[int, int, str, str]  # block, event, tag, last moved under


# --- one wallet, step by step -----------------------------------------------------------------------------


def pos(coldkey: str = ALICE, netuid: int = 1, hotkey: str = "ours") -> Position:
    return hotkey, netuid, coldkey


def change(before: int, after: int, *legs: Leg, at: Position | None = None, **more: object) -> Change:
    return Change(at or pos(), Share(before), Share(after), legs, **more)  # type: ignore[arg-type]


def came(alpha: int, tag: str = "", event: int = 1, **more: object) -> Leg:
    return Leg(event, True, alpha, tag, **more)  # type: ignore[arg-type]


def went(alpha: int, tag: str = "", event: int = 1, **more: object) -> Leg:
    return Leg(event, False, alpha, tag, **more)  # type: ignore[arg-type]


def tagged(book: LotBook, block: int, at: Position | None = None) -> dict[str, int]:
    found: Counter[str] = Counter()
    for lot in book.at(at or pos(), block):
        found[lot.tag] += lot.shares
    return dict(found)


def test_pa8_the_oldest_lots_leave_first() -> None:
    book = LotBook()
    book.apply(1, [change(0, 100, came(100))])
    book.apply(2, [change(100, 150, came(50, "app"))])
    book.apply(5, [change(150, 70, went(80))])
    assert tagged(book, 0) == {}
    assert tagged(book, 1) == {"": 100}
    assert tagged(book, 4) == {"": 100, "app": 50}
    assert tagged(book, 5) == {"": 20, "app": 50}
    book.apply(6, [change(70, 40, went(30))])
    assert tagged(book, 6) == {"app": 40}


def test_pa8_a_tagged_unstake_uses_up_the_lots_of_its_platform_first() -> None:
    book = LotBook()
    book.apply(1, [change(0, 100, came(100))])
    book.apply(2, [change(100, 150, came(50, "app"))])
    book.apply(3, [change(150, 110, went(40, "app"))])
    assert tagged(book, 3) == {"": 100, "app": 10}
    book.apply(4, [change(110, 80, went(30, "app"))])
    assert tagged(book, 4) == {"": 80}, "what the platform has too little of comes from the oldest"


def test_pa8_a_dividend_changes_no_lot() -> None:
    """The same 50 shares are worth more alpha at block 9; half of them leave for what they are worth by then."""
    book = LotBook()
    book.apply(1, [change(0, 50, came(50, "app"))])
    book.apply(9, [change(50, 25, went(1_000))])
    assert tagged(book, 9) == {"app": 25}


def test_pa8_a_move_carries_lots_with_their_age_and_proportions() -> None:
    book, elsewhere = LotBook(), pos(netuid=2)
    book.apply(1, [change(0, 30, came(30, "app"))])
    book.apply(2, [change(30, 40, came(10))])
    book.apply(3, [change(0, 8, came(8), at=elsewhere)])
    out, back = went(40, other=elsewhere), came(400, event=2, other=pos())
    book.apply(4, [change(40, 0, out), change(8, 88, back, at=elsewhere)])
    assert tagged(book, 4) == {}
    assert book.at(elsewhere, 4) == (Lot(1, 1, "app", 60), Lot(2, 1, "", 20), Lot(3, 1, "", 8))


def test_pa3_a_move_under_a_remark_marks_what_it_carries_until_the_next_such_move() -> None:
    book, there, back = LotBook(), pos(netuid=2), pos(netuid=3)
    book.apply(1, [change(0, 30, came(30, "app"))])
    book.apply(2, [change(30, 40, came(10))])
    out, into = went(35, other=there), came(35, event=2, other=pos(), moved_under="mover")
    book.apply(3, [change(40, 5, out), change(0, 35, into, at=there)])
    assert book.at(there, 3) == (Lot(1, 1, "app", 30, "mover"), Lot(2, 1, "", 5, "mover"))
    assert book.at(pos(), 3) == (Lot(2, 1, "", 5),)
    # A move without a remark says nothing new; one beside another remark does.
    out, into = went(10, other=back), came(10, event=2, other=there)
    book.apply(4, [change(35, 25, out, at=there), change(0, 10, into, at=back)])
    assert book.at(back, 4) == (Lot(1, 1, "app", 10, "mover"),)
    out, into = went(10, other=there), came(10, event=2, other=back, moved_under="other")
    book.apply(5, [change(10, 0, out, at=back), change(25, 35, into, at=there)])
    assert book.at(there, 5) == (
        Lot(1, 1, "app", 20, "mover"),
        Lot(1, 1, "app", 10, "other"),
        Lot(2, 1, "", 5, "mover"),
    )
    # An unstake beside a remark uses up what was moved under it before all else.
    book.apply(6, [change(35, 28, went(7, "other"), at=there)])
    assert [lot.shares for lot in book.at(there, 6)] == [20, 3, 5]


def test_pa8_a_transfer_starts_untagged_and_a_swapped_key_does_not() -> None:
    book, bobs = LotBook(), pos(BOB)
    book.apply(1, [change(0, 30, came(30, "app"))])
    book.apply(2, [change(30, 20, went(10)), change(0, 10, came(10, event=2), at=bobs)])
    assert tagged(book, 2, bobs) == {"": 10}
    book.apply(3, [change(20, 0, went(20, other=bobs)), change(10, 30, came(20, other=pos()), at=bobs)])
    assert tagged(book, 3, bobs) == {"app": 20, "": 10}


def test_pa8_full_exit_and_re_entry_begin_anew() -> None:
    book = LotBook()
    book.apply(1, [change(0, 30, came(30, "app"))])
    book.apply(2, [change(30, 0, went(31))])
    book.apply(3, [change(0, 5, came(5))])
    assert tagged(book, 2) == {}
    assert tagged(book, 3) == {"": 5}
    book.apply(4, [change(5, 10, came(5, "app"))])
    assert tagged(book, 4) == {"": 5, "app": 5}


def test_pa8_out_and_in_within_one_block_follow_the_order_of_events() -> None:
    """What leaves and comes back in one block is priced by the pool: two shares to the rao here."""
    book, pool = LotBook(), (1_000, Share(2_000))
    book.apply(1, [change(0, 100, came(50, "app"))])
    book.apply(2, [change(100, 100, went(20), came(20, "other", event=2), pool=pool)])
    assert tagged(book, 2) == {"app": 60, "other": 40}
    book.apply(3, [change(100, 100, came(10, event=1), went(10, event=2), pool=pool)])
    assert tagged(book, 3) == {"app": 40, "other": 40, "": 20}


def test_pa8_a_change_prices_its_own_legs_better_than_the_pool_of_before() -> None:
    """The pool's value is that of before a dividend of 0.1 %; the change says what a share is worth now."""
    rao, now = 10**12, 1_001 * 10**9

    def shares(alpha: int) -> int:
        return alpha * rao // now

    before, pool = shares(2_002_000_000), (rao, Share(rao))
    book = LotBook()
    book.apply(1, [change(0, before, came(2_002_000_000))])
    left = before - shares(1_001_000_000)
    after = left + shares(2_002_000_000)
    legs = went(1_001_000_000), came(2_002_000_000, "app", event=2)
    book.apply(2, [change(before, after, *legs, pool=pool)])
    assert tagged(book, 2) == {"": left, "app": after - left}
    # More leaves than came: what came last is what stays, all of it the app's.
    end = after + shares(1_001_000_000) - shares(2_502_500_000)
    legs = came(1_001_000_000, "app"), went(2_502_500_000, event=2)
    book.apply(3, [change(after, end, *legs, pool=pool)])
    assert tagged(book, 3) == {"app": end}


def test_pa8_claimed_root_dividends_follow_the_root_stake_that_earned_them() -> None:
    book, root = LotBook(), pos(netuid=0)
    book.apply(1, [change(0, 60, came(60, "app"), at=root)])
    book.apply(2, [change(60, 80, came(20), at=root)])
    book.apply(3, [change(0, 400, came(7, like=root))])
    assert tagged(book, 3) == {"app": 300, "": 100}
    book.apply(4, [change(80, 88, came(8, like=root), at=root)])
    assert tagged(book, 4, root) == {"app": 66, "": 22}


def test_pa8_what_comes_beside_the_events_is_untagged() -> None:
    """An owner's take is credited without an event; beside a tagged stake of theirs only that is tagged."""
    book = LotBook()
    book.apply(1, [change(0, 1_000, came(1_000))])
    book.apply(2, [change(1_000, 1_500, came(100, "app"), pool=(1_000, Share(1_000)), is_told=False)])
    assert tagged(book, 2) == {"": 1_400, "app": 100}
    book.apply(3, [change(1_500, 1_400)])
    assert tagged(book, 3) == {"": 1_300, "app": 100}


def test_pa8_another_format_of_the_shares_keeps_the_proportions() -> None:
    one = 1 << 64
    book = LotBook()
    book.apply(1, [change(0, 3 * one, came(3, "app"))])
    book.apply(2, [change(3 * one, 4 * one, came(1))])
    as_float = Share(6 * 10**21, -21)
    book.apply(3, [Change(pos(), Share(4 * one), as_float, (came(2),))])
    parts = tagged(book, 3)
    assert Fraction(parts["app"], sum(parts.values())) == Fraction(1, 2)
    assert tagged(book, 2) == {"app": 3 * one, "": one}


def test_pa8_blocks_come_in_order() -> None:
    book = LotBook()
    book.apply(2, [change(0, 1, came(1))])
    with pytest.raises(ValueError, match="block 2 comes after block 2"):
        book.apply(2, [])


# --- random histories -------------------------------------------------------------------------------------


@dataclass
class World:
    """The reference: how many shares of which age each position has."""

    held: dict[Position, Counter[Age]] = field(default_factory=lambda: defaultdict(Counter))

    def share(self, position: Position) -> int:
        return self.held[position].total()

    def take(self, position: Position, count: int, tag: str) -> Counter[Age]:
        """One share at a time: the oldest of the platform, else the oldest."""
        gone: Counter[Age] = Counter()
        for _ in range(count):
            there = [age for age, shares in self.held[position].items() if shares]
            of_tag = [age for age in there if tag and tag in age[2:]]
            age = min(of_tag or there)
            self.held[position][age] -= 1
            gone[age] += 1
        return gone

    @staticmethod
    def marked(lots: Counter[Age], tag: str) -> Counter[Age]:
        """What was moved under a remark."""
        found: Counter[Age] = Counter()
        for (block, event, came, _), shares in lots.items():
            found[block, event, came, tag] += shares
        return found

    @staticmethod
    def resized(lots: Counter[Age], total: int) -> Counter[Age]:
        """Rounded down each; what is left over to the largest, of equals to the oldest."""
        lots = +lots
        whole = lots.total()
        sized = Counter({age: int(Fraction(shares * total, whole)) for age, shares in lots.items()})
        largest = min(lots, key=lambda age: (-lots[age], age))
        sized[largest] += total - sized.total()
        return sized


HOTKEYS = ("one", "two")


def play(seed: int) -> None:
    """Play a random history block by block, and compare the lots of every position after each."""
    chance = random.Random(seed)
    world, book = World(), LotBook()
    places = [(hotkey, netuid, who) for hotkey in HOTKEYS for netuid in (0, 1) for who in (ALICE, BOB)]
    worth = {(hotkey, netuid): chance.randint(1, 5) for hotkey in HOTKEYS for netuid in (0, 1)}
    for block in range(1, chance.randint(4, 14)):
        before = {place: world.share(place) for place in places}
        legs: defaultdict[Position, list[Leg]] = defaultdict(list)
        event = 0
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            event += 2
            place = chance.choice(places)
            hotkey, netuid, who = place
            value, held = worth[hotkey, netuid], world.share(place)
            kind = chance.choice(("stake", "stake", "unstake", "move", "transfer", "swap", "claim"))
            if kind == "stake":
                tag, count = chance.choice(TAGS), chance.randint(1, 20)
                legs[place].append(Leg(event, True, count * value, tag))
                world.held[place][block, event, tag, ""] += count
            elif kind == "claim":
                root, count = (hotkey, 0, who), chance.randint(1, 20)
                if not world.share(root):
                    continue
                legs[place].append(Leg(event, True, count * value, like=root))
                world.held[place] += world.resized(world.held[root], count)
            elif not held:
                continue
            elif kind == "unstake":
                tag, count = chance.choice(TAGS), chance.randint(1, held)
                legs[place].append(Leg(event, False, count * value, tag))
                world.take(place, count, tag)
            else:
                moves = kind == "move"
                others = [
                    other
                    for other in places
                    if other != place and (other[2] == who if moves else other[:2] == place[:2])
                ]
                other = chance.choice(others)
                count = held if kind == "swap" else chance.randint(1, held)
                arrived = count if other[:2] == place[:2] else chance.randint(1, 30)
                carries = kind != "transfer"
                tag = chance.choice(TAGS) if moves else ""
                legs[place].append(Leg(event, False, count * value, tag, other=other if carries else None))
                alpha = arrived * worth[other[:2]]
                legs[other].append(
                    Leg(event + 1, True, alpha, other=place if carries else None, moved_under=tag)
                )
                gone = world.take(place, count, tag)
                if tag:
                    gone = world.marked(gone, tag)
                if carries:
                    world.held[other] += world.resized(gone, arrived)
                else:
                    world.held[other][block, event + 1, "", ""] += arrived
        changes = [
            Change(
                place,
                Share(before[place]) if before[place] else NO_SHARE,
                Share(world.share(place)) if world.share(place) else NO_SHARE,
                tuple(legs[place]),
                pool=(worth[place[:2]] * 1_000, Share(1_000)),
            )
            for place in places
            if legs[place]
        ]
        chance.shuffle(changes)
        book.apply(block, changes)
        for place in places:
            found = {lot.age: lot.shares for lot in book.at(place, block)}
            assert found == dict(+world.held[place]), f"seed {seed}, block {block}, {place}"
        # A dividend: every share of the pool is worth more.
        worth[chance.choice(list(worth))] += chance.randint(0, 3)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_pa8_random_histories_equal_a_replay_share_by_share(batch: int) -> None:
    for seed in range(batch, HISTORIES, BATCHES):
        play(seed)
