"""What the nearest peer gets wrong, tried on ours: the eight probes, and the stories F9, F23 and F26 they belong to.

Each probe says first what was found there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from chain.tests.followed import TAO, Followed
from ledger.audit import check_ledger
from ledger.models import CommissionLine, DelegatorTake, Entry, Period
from ledger.services import attribute_yields, close_due_days
from ledger.tests.factories import (
    NOW,
    key,
    make_blocks,
    make_partner,
    make_positions,
    make_stake,
    make_yield,
)
from partners.models import Agreement, Partner, Rule, Wallet
from payments.models import Batch
from tests.guards import refused, sql

ANN, BOB = key("ann"), key("bob")
db = pytest.mark.django_db


def close() -> list[Period]:
    attribute_yields(now=NOW)
    return close_due_days(actor=None, now=NOW)


def owed() -> dict[str, int]:
    sums: dict[str, int] = {}
    for slug, amount in CommissionLine.objects.values_list("partner__slug", "commission_rao"):
        sums[slug] = sums.get(slug, 0) + amount
    return sums


@db
def test_probe_1_f26_a_wallet_that_two_partners_match_is_paid_once() -> None:
    """There both are paid: 330 and 900 of 1,000. Here it is the named one's; the rule for all stake comes after."""
    make_blocks(1, 1_441)
    make_positions({ANN: 1}, netuid=0)
    make_partner("A", 3_300, ANN)
    Rule.objects.filter(agreement=make_partner("B", 9_000)).update(kind="ALL", priority=1)
    make_yield(10, 1_000, side="ROOT")
    close()
    assert owed() == {"a": 330}
    # Both cannot list it, whatever writes it.
    with refused("wallet_one_partner_per_chain"):
        Wallet.objects.create(
            partner=Partner.objects.get(slug="b"), address=ANN, introduced_date=date(2024, 1, 1)
        )
    assert check_ledger().differences == []


@db
def test_probe_2_f9_a_month_cannot_be_due_beside_its_days() -> None:
    """There a daily and a monthly run of one block both fall due: 1,000 for a debt of 500."""
    make_blocks(1, 2_881)
    make_positions({ANN: 1}, netuid=0)
    make_partner("A", 5_000, ANN)
    make_yield(10, 1_000, side="ROOT")
    one, _ = close()
    columns = "kind, start_at, end_at, manifest, manifest_hash, closed_at"
    for blocks in ("[1,1441)", "[1,2881)", "[1440,1441)", "[10,11)"):
        with refused("period_no_overlap"):
            sql(
                f"INSERT INTO ledger_period (key, blocks, {columns})"
                f" SELECT '2025-01', %s::int8range, {columns} FROM ledger_period WHERE id = %s",
                blocks,
                one.pk,
            )
    assert close_due_days(actor=None, now=NOW) == []
    assert owed() == {"a": 500}
    assert Entry.objects.filter(kind="CLOSE").count() == 1


@db
@pytest.mark.parametrize("kind", ["MEMO", "SUBNET", "SIDE", "ALL"])
def test_probe_3_every_kind_of_rule_finds_its_delegators(kind: str) -> None:
    """There rules by memo, subnet and side find nobody, without a warning."""
    make_blocks(1, 1_441)
    make_stake(2, ANN, 1_000, text=b"talisman")
    agreement = make_partner("A", 5_000)
    looks_at: dict[str, str | int] = {
        "MEMO": {"memo_match": "EQUALS", "memo": "talisman"},
        "SUBNET": {"netuid": 2},
        "SIDE": {"side": "ALPHA"},
        "ALL": {},
    }[kind]  # type: ignore[assignment]
    Rule.objects.filter(agreement=agreement).update(kind=kind, **looks_at)
    make_yield(10, 1_000)
    (period, *_) = close()
    rows = DelegatorTake.objects.filter(period=period).values_list("partner__slug", "take_rao")
    assert list(rows) == [("a", 1_000)]


@db
def test_probe_4_an_agreement_counts_from_its_first_block_to_its_last() -> None:
    """There a partner from the second day on gets nothing, and one who left on the first is paid for the fifteenth."""
    make_blocks(1, 2_881)
    make_positions({ANN: 1, BOB: 1}, netuid=0)
    noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    make_partner("Late", 5_000, ANN, since=noon)
    left = make_partner("Left", 5_000, BOB)
    Agreement.objects.filter(pk=left.pk).update(effective=DateTimeTZRange(left.effective.lower, noon))
    Wallet.objects.update(introduced_date=date(2024, 1, 1))
    # Block 721 is at noon: the new one's first, and no longer the other's.
    for block in (720, 721, 1_500):
        make_yield(block, 200, side="ROOT")
    close()
    lines = CommissionLine.objects.order_by("period__start_at", "partner__slug")
    assert list(lines.values_list("period__key", "partner__slug", "base_rao")) == [
        ("2025-01-01", "late", 100),
        ("2025-01-01", "left", 100),
        ("2025-01-02", "late", 100),
    ]


@db
def test_probe_5_a_run_after_a_backfill_adds_what_was_missing_and_nothing_twice() -> None:
    """There it ends in an IntegrityError and the stale row stays."""
    make_blocks(1, 1_441)
    make_positions({ANN: 1}, netuid=0)
    make_partner("A", 5_000, ANN)
    make_yield(10, 1_000, side="ROOT")
    assert attribute_yields(now=NOW) == 1
    make_yield(5, 600, side="ROOT")
    assert attribute_yields(now=NOW) == 1
    assert attribute_yields(now=NOW) == 0
    close()
    assert close_due_days(actor=None, now=NOW) == []
    assert owed() == {"a": 800}
    # What would come after the close is refused: it is corrected by a new entry, never slipped in.
    with refused("period_sealed"):
        make_yield(7, 100, side="ROOT")


def test_probe_6_nothing_is_paid_because_somebody_says_so() -> None:
    """There an entry is PAID by any text for a hash. Here nothing becomes paid by hand: there is no such state."""
    assert "PAID" not in Batch.Status.values
    assert "PAID" not in Entry.Kind.values


@db
def test_probe_7_two_partners_at_the_whole_of_three_rao_are_owed_three() -> None:
    """There they are owed four."""
    make_blocks(1, 1_441)
    make_positions({ANN: 1, BOB: 1}, netuid=0)
    make_partner("A", 10_000, ANN)
    make_partner("B", 10_000, BOB)
    make_yield(10, 3, side="ROOT")
    close()
    assert sorted(owed().values()) == [1, 2]
    assert check_ledger().differences == []


MOVES: dict[str, Callable[[Followed], None]] = {
    "in": lambda follow: follow.chain.add_stake(follow.newcomer(), follow.hotkey, follow.netuid, 1_000 * TAO),
    "out": lambda follow: follow.chain.remove_stake(
        follow.nominators()[0], follow.hotkey, follow.netuid, follow.stake(follow.nominators()[0]) // 2
    ),
    "move": lambda follow: follow.chain.move_stake(
        follow.nominators(hotkey=follow.hotkeys[1])[0],
        follow.hotkeys[1],
        follow.hotkey,
        follow.netuid,
        follow.netuid,
        follow.stake(follow.nominators(hotkey=follow.hotkeys[1])[0], hotkey=follow.hotkeys[1]) // 2,
    ),
    "swap": lambda follow: follow.chain.swap_stake(
        follow.nominators(follow.netuids[0])[0],
        follow.hotkey,
        follow.netuids[0],
        follow.netuid,
        follow.stake(follow.nominators(follow.netuids[0])[0], follow.netuids[0]) // 2,
    ),
}


@pytest.mark.parametrize("spec", [293, 370, 425])
@pytest.mark.parametrize("move", MOVES)
def test_probe_8_f23_stake_that_comes_or_goes_is_yield_at_no_distance_from_an_epoch(
    spec: int, move: str
) -> None:
    """There 1,000 alpha staked without any emission are yield. `Followed` holds every take against the truth."""
    for epoch_after in range(4):
        follow = Followed(spec)
        for block in range(4):
            if block == 1:
                MOVES[move](follow)
            if block == epoch_after:
                follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
            facts = follow.block()
            assert bool(facts.yields) == (block == epoch_after)
            # A dividend is what the epoch gave, whatever else came to the pool in its block.
            assert all(one.dividend_rao <= 31 * TAO for one in facts.yields)
            assert bool(facts.stake_events) == (block == 1)
