"""Takes split and grouped by the hundred million, against the definition one by one in Python's integers (LE1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chain.pools import safe_float
from chain.pools.shares import Share, adds_up, weights
from chain.splitting import CannotSplit, split
from ledger.attribution import Earned, Held, Part, Pool, PoolTakes, Won, claims_on, split_over_claims
from ledger.shares import AMOUNT_MAX, ESTIMATED_MAX, OPEN, PoolTable, Row, Shares, floors
from partners.lots import Change, Leg, LotBook, TaggedStake
from partners.matching import AgreementTerms, Delegation, RuleBook, RuleTerms, WalletTerms, Winner
from partners.rates import Basis

START = datetime(2025, 1, 1, tzinfo=UTC)
BITS = (st.integers(1, 2**118) | st.integers(1, 5)).map(Share)
# As the chain writes them, normalised; a few so far apart that no double holds their proportion.
SAFE = st.builds(
    lambda mantissa, exponent: Share(*safe_float.normalized(mantissa, exponent)),
    st.integers(1, 10**21),
    st.integers(-40, 5) | st.sampled_from([-400, 300]),
)
TAKES = st.integers(0, 10**15) | st.integers(0, 3) | st.integers(ESTIMATED_MAX - 2, AMOUNT_MAX)


def table_of(shares: Iterable[Share]) -> PoolTable:
    return PoolTable(Row(f"w{number:03d}", *share, 0) for number, share in enumerate(shares))


def plain(shares: dict[str, Share], take: int) -> list[tuple[str, int]]:
    return split(take, sorted(weights(shares).items()))


@settings(max_examples=400, deadline=None)
@given(st.lists(BITS | SAFE, min_size=1, max_size=30), TAKES)
@example([Share(1)] * 3, 10)
@example([Share(2**100), Share(2**100 - 1)], 3)
@example([Share(7), Share(2**118)], AMOUNT_MAX)
def test_le1_takes_are_split_as_the_definition_says(shares: list[Share], take: int) -> None:
    named = {f"w{number:03d}": share for number, share in enumerate(shares)}
    holding = table_of(shares).at(5)
    found = holding.split(take)
    assert found.pairs() == plain(named, take)
    assert int(found.amounts.sum()) == take
    assert found.digest() == Shares.of(plain(named, take)).digest()
    of_them = dict(holding.weights())
    whole, expected = sum(of_them.values()), weights(named)
    # The scale is the table's own; the proportions are the same.
    assert all(
        of_them[name] * sum(expected.values()) == weight * whole
        for name, weight in expected.items()
        if weight
    )


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**9), st.integers(1, 10**6), st.lists(st.integers(1, 10**6), min_size=1, max_size=20))
def test_le1_what_comes_out_even_is_not_rounded_away(unit: int, per: int, parts: list[int]) -> None:
    """Every estimate is a whole number but for its own error: the case that floats get wrong."""
    take = sum(parts) * per
    if take < ESTIMATED_MAX:
        found = table_of(Share(part * unit) for part in parts).at(0).split(take)
        assert found.amounts.tolist() == [part * per for part in parts]


def test_le1_estimates_are_doubted_just_where_an_error_could_matter() -> None:
    numbers, doubtful = floors(np.array([0.0, 0.5, 3.0, 3 - 2.0**-50, 3 + 2.0**-40, 2.0**51 + 0.5]))
    assert numbers.tolist()[1:2] + numbers.tolist()[4:5] == [0, 3]
    assert doubtful.tolist() == [0, 2, 3, 5]


def test_le1_twenty_thousand_holders_are_split_as_the_definition_says() -> None:
    chance = np.random.default_rng(7)
    numbers = zip(
        chance.integers(1, 2**62, 20_000).tolist(), chance.integers(0, 56, 20_000).tolist(), strict=True
    )
    holding = table_of(Share(low << shift) for low, shift in numbers).at(0)
    for take in (987_654_321_012, 21_000_000 * 10**9 // 3, 20_000, 1):
        assert holding.split(take).pairs() == split(take, holding.weights())


@pytest.mark.parametrize("take", [-1, AMOUNT_MAX + 1])
def test_le1_an_amount_that_cannot_be_is_refused(take: int) -> None:
    with pytest.raises(CannotSplit, match="cannot split"):
        table_of([Share(1)]).at(0).split(take)


def test_le1_something_over_nobody_is_refused_and_nothing_is_nothing() -> None:
    nobody = PoolTable([]).at(0)
    assert nobody.split(0).pairs() == []
    with pytest.raises(CannotSplit, match="nobody held a share"):
        nobody.split(1)


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Positions of some coldkeys over blocks 0 to 30; none has two at one block."""
    rows = []
    for name in "abcdefgh":
        borders = sorted(draw(st.sets(st.integers(0, 30), min_size=1, max_size=5)))
        for since, until in zip(borders, [*borders[1:], OPEN], strict=True):
            if draw(st.booleans()):
                rows.append(Row(name, *draw(BITS | SAFE), since, until))
    return rows


def held(rows: Iterable[Row], block: int) -> dict[str, Share]:
    return {row.coldkey: Share(row.bits, row.exponent) for row in rows if row.since <= block < row.until}


@settings(max_examples=200, deadline=None)
@given(histories(), st.lists(st.integers(0, 31), min_size=1, max_size=12), st.integers(0, 10**12))
def test_le1_each_block_is_split_over_who_held_the_pool_after_it(
    rows: list[Row], blocks: list[int], take: int
) -> None:
    table = PoolTable(rows)
    for block in blocks:
        there, holding = held(rows, block), table.at(block)
        assert [name for name, _ in holding.weights()] == sorted(
            name for name, weight in weights(there).items() if weight
        )
        if len(holding):
            assert holding.split(take).pairs() == plain(there, take)


SHARES = st.lists(BITS, max_size=6) | st.lists(SAFE, max_size=6) | st.lists(BITS | SAFE, max_size=6)


@settings(max_examples=200, deadline=None)
@given(SHARES, st.integers(-2, 2), st.data())
def test_ch2_holders_add_up_to_a_pool_as_they_do_one_by_one(
    shares: list[Share], off: int, data: st.DataObject
) -> None:
    whole = sum(share.bits for share in shares if share.exponent is None)
    denominator = data.draw(st.just(Share(max(whole + off, 0))) | SAFE)
    assert table_of(shares).at(0).adds_up(denominator) == adds_up(shares, denominator)


# --- whose it is ----------------------------------------------------------------------------------------------------


@dataclass
class Plainly:
    """One epoch after the other, one coldkey after the other, as the rules say it."""

    book: RuleBook
    stake: TaggedStake
    won: dict[Held, list[Won]] = field(default_factory=lambda: defaultdict(list))
    rolled: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    wallets: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    before: int = 0

    def add(self, source: Earned) -> list[Part]:
        takes: dict[int, dict[str, int]] = defaultdict(dict)
        gross: dict[int, int] = defaultdict(int)
        winners: dict[int, Winner] = {}
        for coldkey, amount in source.shares.pairs():
            delegation = Delegation(coldkey, *source.pool, source.block, source.at, is_child=source.is_child)
            for claim, part in split_over_claims(amount, claims_on(delegation, self.book, self.stake)):
                winner = claim.winner
                agreement = winner.agreement_id if winner else 0
                takes[agreement][coldkey] = takes[agreement].get(coldkey, 0) + part
                self.rolled[coldkey, winner.partner_id if winner else 0] += part
                if winner is None:
                    continue
                winners[agreement] = winner
                if winner.basis == Basis.GROSS:
                    gross[agreement] += source.gross(coldkey, amount, part)
                if winner.names_wallets:
                    self.wallets[agreement][coldkey] += part
                won = self.won[*source.pool, coldkey, claim.tags]
                if won and won[-1].last == self.before and won[-1].winner == winner:
                    won[-1] = Won(won[-1].first, source.block, winner)
                else:
                    won.append(Won(source.block, source.block, winner))
        self.before = source.block
        return [
            Part(
                winner.partner_id, agreement, winner.rate_bps, len(of), sum(of.values()), winner.steps, winner.cap_rao,
                gross.get(agreement),
            )
            if (winner := winners.get(agreement))
            else Part(None, None, 0, len(of), sum(of.values()))
            for agreement, of in sorted(takes.items())
        ]  # fmt: skip


COLDKEYS = "abcdefgh"
POOL: Pool = ("hot", 2, "ALPHA")
APP, OTHER = b"app", b"other"


@st.composite
def books(draw: st.DrawFn) -> RuleBook:
    minutes = st.integers(-3, 33).map(lambda number: START + timedelta(days=1, minutes=number - 15))
    agreements = []
    for pk in range(1, draw(st.integers(1, 4)) + 1):
        starts_at = draw(minutes)
        ends_at = draw(st.none() | st.just(starts_at + timedelta(minutes=draw(st.integers(1, 20)))))
        agreements.append(
            AgreementTerms(
                pk, pk % 3 + 1, f"P{pk}", starts_at, ends_at, 100 * pk, draw(st.sampled_from(Basis)),
                names_wallets=draw(st.booleans()),
                excluded_wallets=draw(st.frozensets(st.sampled_from(COLDKEYS), max_size=1)),
                sides=draw(st.sampled_from([frozenset(), frozenset({"CHILD"})])),
            )
        )  # fmt: skip
    kinds: list[dict[str, Any]] = [
        {"kind": "WALLET"},
        {"kind": "MEMO", "memo_match": "EQUALS", "memo": "app"},
        {"kind": "ALL"},
    ]
    rules = [
        RuleTerms(
            pk, draw(st.integers(1, len(agreements))), draw(st.integers(1, 2)), draw(st.integers(0, 20)),
            applies_until_block=draw(st.none() | st.integers(21, 33)), **draw(st.sampled_from(kinds)),
        )
        for pk in range(1, draw(st.integers(1, 5)) + 1)
    ]  # fmt: skip
    days = st.sampled_from([date(2024, 1, 1), date(2025, 1, 2)])
    wallets = [
        WalletTerms(
            pk,
            draw(st.integers(1, 3)),
            address,
            draw(days),
            ended_date=draw(st.none() | st.just(date(2025, 1, 2))),
        )
        for pk, address in enumerate(draw(st.lists(st.sampled_from(COLDKEYS), max_size=6, unique=True)), 1)
    ]
    return RuleBook(agreements, rules, wallets)


@st.composite
def tagged(draw: st.DrawFn) -> TaggedStake:
    """Some coldkeys' stake that came under a remark, or another, or none, over the blocks."""
    lots, names = LotBook(), draw(st.sets(st.sampled_from(COLDKEYS), max_size=3))
    shares = dict.fromkeys(sorted(names), 0)
    for block in range(0, 30, draw(st.integers(1, 4))):
        changes = []
        for name in shares:
            if draw(st.booleans()):
                before, more = shares[name], draw(st.integers(1, 100))
                shares[name] = before + more
                leg = Leg(draw(st.integers(0, 9)), True, more, draw(st.sampled_from(["", "1", "2"])))
                changes.append(Change(("hot", 2, name), Share(before), Share(before + more), [leg]))
        lots.apply(block, changes)
    return TaggedStake(lots, frozenset(names), {"1": APP, "2": OTHER})


@settings(max_examples=200, deadline=None)
@given(books(), tagged(), histories(), st.data())
def test_pa1_what_is_added_up_at_once_is_what_is_added_up_one_by_one(
    book: RuleBook, stake: TaggedStake, rows: list[Row], data: st.DataObject
) -> None:
    at_once, one_by_one = PoolTakes(POOL, book, stake), Plainly(book, stake)
    table = PoolTable(rows)
    for block in sorted(data.draw(st.sets(st.integers(1, 31), min_size=8, max_size=20))):
        take, given = data.draw(st.integers(0, 10**12)), None
        holding = table.at(block - 1)
        if data.draw(st.integers(0, 5)) and len(holding):
            shares = holding.split(take)
        else:
            # As a file gives them, or all of it the owner's.
            shares = Shares.of(
                split(take, [(name, data.draw(st.integers(0, 3))) for name in "abc"] + [("owner", 1)])
            )
            given = data.draw(
                st.none() | st.fixed_dictionaries(dict.fromkeys([*"abc", "owner"], st.integers(0, 10**12)))
            )
        source = Earned(
            block, block, START + timedelta(days=1, minutes=block - 15), POOL[1], POOL[0], POOL[2], "ALPHA", take, shares,
            data.draw(st.integers(0, 10**13) | st.just(10**16)), given, data.draw(st.booleans()),
        )  # fmt: skip
        assert at_once.add(source) == one_by_one.add(source)
    at_once.end()
    rolled = {key: amount for key, amount in one_by_one.rolled.items() if amount}
    assert {
        (coldkey, found.partner_id): amount
        for found in at_once.roll_ups()
        for coldkey, amount in found.rows()
    } == rolled
    for found in at_once.roll_ups():
        assert found.coldkeys == sorted(set(found.coldkeys))
    assert dict(at_once.won) == dict(one_by_one.won)
    named = {
        agreement: {name: rao for name, rao in of.items() if rao}
        for agreement, of in one_by_one.wallets.items()
    }
    assert {agreement: wallets.takes for agreement, wallets in at_once.wallets.items()} == named


def test_le1_takes_that_are_more_than_there_can_be_are_refused() -> None:
    takes = PoolTakes(POOL, RuleBook([], [], []), TaggedStake())
    for block, fits in ((1, True), (2, False)):
        shares = Shares.of([("a", AMOUNT_MAX)])
        source = Earned(block, block, START, 2, "hot", "ALPHA", "ALPHA", AMOUNT_MAX, shares)
        if fits:
            takes.add(source)
        else:
            with pytest.raises(CannotSplit, match="more than there can be"):
                takes.add(source)
