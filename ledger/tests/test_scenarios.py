"""Must-pass scenarios 1 and 25 where the ledger has its part: takes of a model chain, split, sold and reconciled.

The chain is ingested as a node's blocks are, its blocks an hour apart so that days are short.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial

import pytest
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from chain import keys
from chain.models import Block, Conversion, Gap, Yield
from chain.pools.shares import weights
from chain.queries import holdings_at
from chain.reading.reader import ChainReader
from chain.services import ingest
from chain.splitting import split
from chain.tests.followed import ERAS, ROOT, TAO, Followed
from chain.tests.model import Dividends, ModelChain, calls
from chain.tests.model import chain as model
from chain.tests.model.codec import decoder_for
from ledger.allocation import Lot, allocate
from ledger.audit import check_ledger
from ledger.facts import shares_of
from ledger.models import (
    Attribution,
    CommissionLine,
    ConversionAllocation,
    Entry,
    PartnerTake,
    Period,
    Posting,
)
from ledger.queries import pending_alpha
from ledger.services import attribute_yields, close_due_days
from ledger.tests.factories import make_partner

HOUR_MS = 3_600_000


# --- 1. What is attributed is the take ------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ERAS)
def test_scenario_01_what_each_holder_gets_adds_up_to_the_take_of_each_side(spec: int) -> None:
    follow = Followed(spec)
    before = follow.reader.holdings
    follow.epoch(alpha={follow.hotkey: 987_654_321_987}, root={follow.hotkey: 54_321_987_653})
    for fact in follow.block().yields:
        held = weights(before[fact.hotkey, fact.pool_netuid])
        shared = dict(split(fact.take_rao, sorted(held.items())))
        assert (
            sum(shared.values())
            == fact.take_rao
            == next(true.take_rao for true in follow.truth() if true.side == fact.side)
        )
        whole = sum(held.values())
        for coldkey, amount in shared.items():
            exact = Fraction(fact.take_rao * held[coldkey], whole)
            # One rao each may be rounded off, and all of it comes to the largest.
            largest = held[coldkey] == max(held.values())
            assert 0 <= amount - exact < len(held) if largest else 0 <= exact - amount < 1


# --- 25. Sales over several takes and subnets ------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 10**12), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 10**12)), min_size=1, max_size=8),
)
def test_scenario_25_over_any_sales_no_rao_of_take_is_sold_twice_or_lost(
    takes: list[int], sales: list[tuple[int, int]]
) -> None:
    left = dict(enumerate(takes))
    for alpha, tao in sales:
        sold = allocate([Lot(number, rao) for number, rao in left.items()], alpha, tao)
        of_take = sum(one.alpha_rao for one in sold)
        assert of_take == min(alpha, sum(left.values()))
        assert sum(one.tao_rao for one in sold) == tao * of_take // alpha
        for one in sold:
            left[one.yield_id] -= one.alpha_rao
        # First in, first out: behind a lot that has something left, none was touched.
        open_ones = [number for number, rao in left.items() if rao]
        assert all(left[number] == takes[number] for number in open_ones[1:])
    assert all(rao >= 0 for rao in left.values())
    assert sum(takes) - sum(left.values()) == min(sum(takes), sum(alpha for alpha, _ in sales))


def a_selling_chain(spec: int) -> ModelChain:
    """Three days: takes on three subnets, sales of parts, of several takes at once, and of more than the take."""
    chain = ModelChain(spec, 5, quiet=True)
    chain.auto_claims = False
    chain.world.nominator_minimum = 0
    hotkey, owner = chain.hotkeys[0], chain.owners[0]
    first, second, third = chain.netuids
    for number in range(1, 76):
        if number % 6 == 0:
            for netuid in (first, second) if number % 12 else (second, third):
                rao = 11 * TAO + number * 1_234_567 + netuid
                chain.epoch(netuid, Dividends.of(alpha={hotkey: rao}, root={hotkey: rao // 3}))
        if number % 10 == 7:
            chain.remove_stake(owner, hotkey, second, 1_777_777_777 + number)
        if number == 31:
            chain.swap_stake(owner, hotkey, first, ROOT, 9 * TAO + 1)
        if number == 40:
            chain.swap_stake(owner, hotkey, second, third, 2 * TAO)
        if number == 55:
            chain.submit(owner, calls.remove_stake_full(hotkey, third))
        chain.produce()
    return chain


@pytest.mark.django_db
@pytest.mark.parametrize("spec", [293, 345, 393, 425])
def test_scenario_25_ledger_and_chain_agree_day_by_day(spec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.services.ChainReader", partial(ChainReader, decoders=decoder_for))
    monkeypatch.setattr(model, "BLOCK_MS", HOUR_MS)
    monkeypatch.setattr(
        model, "GENESIS_MS", int(datetime(2025, 9, 1, tzinfo=UTC).timestamp() * 1000) - HOUR_MS
    )
    chain = a_selling_chain(spec)
    hotkey = chain.hotkeys[0]
    make_partner("Talisman", 5_000, *chain.coldkeys[:3])
    make_partner("Creative Builds", 3_300, *chain.coldkeys[3:5])
    ingest(chain.source, first=1, last=chain.number, hotkeys=chain.hotkeys)
    assert not Gap.objects.exists()
    now = datetime(2025, 10, 1, tzinfo=UTC)
    attribute_yields(now=now)
    closed = close_due_days(actor=None, now=now)
    assert [period.key for period in closed] == ["2025-09-01", "2025-09-02", "2025-09-03"]
    # Every take is the chain's, and every rao of it is somebody's.
    truth = {
        (t.block, t.netuid, t.hotkey, t.side): t.take_rao for t in chain.truth if t.take_rao or t.net_rao
    }
    stored = {(y.block_id, y.netuid, y.hotkey, y.side): y for y in Yield.objects.all()}
    assert {key: one.take_rao for key, one in stored.items()} == truth
    for one in stored.values():
        assert int(shares_of(one).amounts.sum()) == one.take_rao
    last = Period.objects.latest("start_at").blocks.upper
    for one in stored.values():
        if one.block_id < last:
            assert (
                PartnerTake.objects.filter(source=one).aggregate(sum=Sum("take_rao"))["sum"] == one.take_rao
            )
    # Each sale is used up on takes earned before it, of its own subnet, and never on more than there are.
    assert Conversion.objects.count() == 9
    for sale in Conversion.objects.filter(block_id__lt=last):
        parts = ConversionAllocation.objects.filter(conversion=sale).select_related("source")
        assert all(
            part.source.netuid == sale.netuid and part.source.block_id <= sale.block_id for part in parts
        )
        of_take = sum(part.alpha_rao for part in parts)
        assert of_take <= sale.alpha_rao
        assert sum(part.tao_rao for part in parts) == sale.tao_rao * of_take // sale.alpha_rao
    sold_out = ConversionAllocation.objects.filter(conversion__block_id=55)
    assert sold_out.count() > 3
    # What of each subnet's take is unsold lies in the owner's position: reconciled after every day.
    assert check_ledger().differences == []
    for period in closed:
        reconcile(chain, period, hotkey)
    assert Posting.objects.aggregate(sum=Sum("amount_rao"))["sum"] == 0
    assert Entry.objects.count() == 3
    assert CommissionLine.objects.filter(commission_rao__gt=0).count() > 5
    assert Attribution.objects.count() == len(stored)
    assert Block.objects.count() == chain.number


def reconcile(chain: ModelChain, period: Period, hotkey: str) -> None:
    """At the end of a day: earned less sold is open in the ledger, by subnet, and the owner holds at least that much."""
    end = period.blocks.upper - 1
    earned: dict[int, int] = defaultdict(int)
    for one in chain.truth:
        if one.block <= end and one.asset == "ALPHA":
            earned[one.netuid] += one.take_rao
    sold: dict[int, int] = defaultdict(int)
    rows = ConversionAllocation.objects.filter(conversion__block_id__lte=end)
    for netuid, alpha in rows.values_list("source__netuid", "alpha_rao"):
        sold[netuid] += alpha
    pending: dict[int, int] = defaultdict(int)
    for row in pending_alpha(period):
        pending[row.netuid] += row.alpha_rao
    holdings = holdings_at(end)
    for netuid in chain.netuids:
        assert pending[netuid] == earned[netuid] - sold[netuid]
        held = weights(holdings[hotkey, netuid])
        value = chain.world.storage.at(keys.by_hotkey_netuid("TotalHotkeyAlpha", hotkey, netuid), end)
        assert value is not None
        whole = int.from_bytes(bytes.fromhex(value[2:]), "little")
        owned = Fraction(whole * held.get(chain.owners[0], 0), sum(held.values()))
        assert pending[netuid] <= owned + 1
