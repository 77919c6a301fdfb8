"""Conservation of whole periods over random worlds, without a database (LE8, F26, A4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chain.splitting import split
from ledger.attribution import Earned
from ledger.calculation import Calculation, Handover, OpenLot, Sale, calculate, held_by, pools_before
from ledger.shares import Shares
from partners.matching import AgreementTerms, RuleBook, RuleTerms, WalletTerms
from partners.rates import Basis

START = datetime(2025, 1, 1, tzinfo=UTC)
COLDKEYS = [f"cold{n}" for n in range(8)]
PARTNERS = 3


@st.composite
def books(draw: st.DrawFn) -> RuleBook:
    agreements = [
        AgreementTerms(
            n,
            n,
            f"P{n}",
            START + timedelta(minutes=draw(st.integers(-5, 30))),
            None,
            draw(st.integers(0, 10_000)),
            draw(st.sampled_from(Basis)),
        )
        for n in range(1, PARTNERS + 1)
    ]
    rules = [RuleTerms(n, n, applies_from_block=draw(st.integers(0, 20))) for n in range(1, PARTNERS + 1)]
    # One address may be listed by two partners here: a book that breaks its own rule must still conserve.
    wallets = [
        WalletTerms(i, draw(st.integers(1, PARTNERS)), coldkey, date(2024, 1, 1))
        for i, coldkey in enumerate(draw(st.lists(st.sampled_from(COLDKEYS), max_size=12)))
    ]
    return RuleBook(agreements, rules, wallets)


# What a file says of each staker; others share the pool's.
DIVIDENDS = st.fixed_dictionaries({coldkey: st.integers(0, 10**18) for coldkey in COLDKEYS})


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Earned], list[Sale]]:
    earned = []
    for number in range(draw(st.integers(0, 8))):
        side = draw(st.sampled_from(["ALPHA", "ROOT"]))
        take = draw(st.integers(0, 10**18))
        weights = [(coldkey, draw(st.integers(0, 2**70))) for coldkey in COLDKEYS]
        weights[0] = (weights[0][0], 1)
        block = draw(st.integers(1, 40))
        earned.append(
            Earned(
                number,
                block,
                START + timedelta(minutes=block),
                draw(st.integers(1, 2)),
                "hot",
                side,
                "TAO" if side == "ROOT" else "ALPHA",
                take,
                Shares.of(split(take, weights)),
                draw(st.integers(0, 10**18)),
                draw(st.none() | DIVIDENDS),
            )
        )
    earned.sort(key=lambda source: (source.pool, source.block, source.yield_id))
    sales = [
        Sale(
            n,
            draw(st.integers(1, 40)),
            "hot",
            draw(st.integers(1, 2)),
            draw(st.integers(1, 2 * 10**18)),
            draw(st.integers(0, 10**15)),
        )
        for n in range(draw(st.integers(0, 5)))
    ]
    return earned, sorted(sales, key=lambda sale: (sale.block, sale.conversion_id))


@settings(max_examples=150, deadline=None)
@given(worlds(), books())
def test_f26_a_period_conserves_take_conversions_and_tao(
    world: tuple[list[Earned], list[Sale]], book: RuleBook
) -> None:
    earned, sales = world
    result = calculate(earned, sales, [], book)
    sold_alpha: Counter[int] = Counter()
    for _, sold in result.sold:
        sold_alpha[sold.yield_id] += sold.alpha_rao
    for source in earned:
        assert sum(part.take_rao for part in result.parts[source.yield_id]) == source.take_rao
        assert sum(part.delegator_count for part in result.parts[source.yield_id]) == len(source.shares)
        assert sold_alpha[source.yield_id] <= (source.take_rao if source.asset == "ALPHA" else 0)
    assert sum(amount for _, amount in result.roll_up_rows()) == sum(source.take_rao for source in earned)
    for sale in sales:
        parts = [sold for conversion, sold in result.sold if conversion == sale.conversion_id]
        assert sum(part.alpha_rao for part in parts) <= sale.alpha_rao
        assert sum(part.tao_rao for part in parts) <= sale.tao_rao
    realised = sum(sold.tao_rao for _, sold in result.sold) + sum(
        s.take_rao for s in earned if s.asset == "TAO"
    )
    assert result.realised_rao == realised
    takes = [base for key, base in result.bases.items() if key.basis == Basis.TAKE]
    assert sum(takes) <= realised
    assert 0 <= sum(result.payables().values()) <= realised
    assert sum(result.payables().values()) == sum(amount for _, _, amount in result.lines())


def open_lots(earned: list[Earned], result: Calculation, handovers: list[Handover]) -> list[OpenLot]:
    sold: Counter[int] = Counter()
    for _, part in result.sold:
        sold[part.yield_id] += part.alpha_rao
    return [
        OpenLot(
            s.yield_id,
            s.block,
            s.hotkey,
            s.netuid,
            s.side,
            s.take_rao - sold[s.yield_id],
            result.parts[s.yield_id],
            held_by(s.hotkey, s.netuid, s.block, handovers),
        )
        for s in sorted(earned, key=lambda s: (s.block, s.netuid, s.hotkey, s.side, s.yield_id))
        if s.asset == "ALPHA" and s.take_rao > sold[s.yield_id]
    ]


HANDOVERS = st.lists(
    st.builds(
        Handover,
        st.integers(1, 40),
        st.integers(0, 3),
        st.integers(1, 2),
        st.sampled_from(["hot", "new"]),
        st.sampled_from(["new", "newest", "hot"]),
    ).filter(lambda swap: swap.old != swap.new),
    max_size=3,
).map(lambda swaps: sorted(swaps, key=lambda swap: (swap.block, swap.event_index)))


@settings(max_examples=200, deadline=None)
@given(worlds(), books(), HANDOVERS, st.integers(1, 40), st.randoms())
def test_a4_two_periods_sell_what_one_would(
    world: tuple[list[Earned], list[Sale]],
    book: RuleBook,
    handovers: list[Handover],
    cut: int,
    random: Any,
) -> None:
    earned, sales = world
    # Sales of keys that others handed their alpha on to.
    sales = [replace(sale, hotkey=random.choice(["hot", "new", "newest"])) for sale in sales]
    whole = calculate(earned, sales, [], book, handovers)
    early, late = [s for s in earned if s.block < cut], [s for s in earned if s.block >= cut]
    before, after = [s for s in handovers if s.block < cut], [s for s in handovers if s.block >= cut]
    first = calculate(early, [s for s in sales if s.block < cut], [], book, before)
    left = open_lots(early, first, before)
    second = calculate(late, [s for s in sales if s.block >= cut], left, book, after)
    assert first.sold + second.sold == whole.sold
    assert first.realised_rao + second.realised_rao == whole.realised_rao
    assert Counter(first.bases) + Counter(second.bases) == Counter(whole.bases)


def test_le4_unsold_take_goes_along_with_a_swapped_key() -> None:
    """Earned on the old key in blocks 1 and 3, swapped in block 2 and again in 4: nothing of it is on the old one then."""
    book = RuleBook([], [], [])
    at = START + timedelta(minutes=1)
    earned = [Earned(n, n, at, 1, "hot", "ALPHA", "ALPHA", 100, Shares.of([("a", 100)])) for n in (1, 3)]
    swaps = [Handover(2, 5, 1, "hot", "new"), Handover(4, 5, 1, "hot", "new")]
    sales = [
        Sale(1, 2, "new", 1, 30, 3, event_index=4),
        Sale(2, 2, "new", 1, 30, 3, event_index=6),
        Sale(3, 3, "hot", 1, 40, 4),
        Sale(4, 5, "new", 1, 200, 20),
        Sale(5, 5, "hot", 1, 10, 1),
    ]
    sold = calculate(earned, sales, [], book, swaps).sold
    assert [(conversion, part.yield_id, part.alpha_rao) for conversion, part in sold] == [
        (2, 1, 30),
        (3, 3, 40),
        (4, 1, 70),
        (4, 3, 60),
    ]
    assert [held_by("hot", 1, block, swaps) for block in (1, 2, 3, 4, 5)] == ["new"] * 4 + ["hot"]
    assert held_by("hot", 2, 1, swaps) == "hot"
    assert held_by("hot", 1, 3, [*swaps[:1], Handover(5, 1, 1, "new", "newest")]) == "hot"
    assert pools_before({("new", 1), ("other", 1)}, swaps) == {("new", 1), ("hot", 1), ("other", 1)}
