"""Partners found by remark: take follows the lots that came under it, through the ledger and back (PA7, PA8, F9, F10)."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import F, Func

from chain.gaps.services import give_up_blocks
from chain.models import Position
from ledger import explaining
from ledger.audit import check_ledger
from ledger.models import DelegatorTake
from ledger.services import attribute_yields, close_due_days
from ledger.tests.factories import (
    NOW,
    OWNER,
    START,
    key,
    make_blocks,
    make_coldkey_swap,
    make_gap,
    make_partner,
    make_positions,
    make_stake,
    make_yield,
)
from partners.models import Agreement, Partner, Rule
from partners.tests.factories import make_user

pytestmark = pytest.mark.django_db

ANN, BOB = key("ann"), key("bob")
TALISMAN = b"talisman"


def make_app(
    name: str = "Talisman", memo: str = "talisman", *, rate_bps: int = 5_000, new_only: bool = False
) -> Partner:
    partner = Partner.objects.create(name=name, slug=name.lower(), kind="TAGGED")
    agreement = Agreement.objects.create(
        partner=partner,
        effective=DateTimeTZRange(START, None),
        rate_bps=rate_bps,
        new_delegators_only=new_only,
    )
    Rule.objects.create(agreement=agreement, kind="MEMO", memo_match="EQUALS", memo=memo)
    return partner


def takes() -> dict[tuple[str, str], int]:
    """Close the first day; take by coldkey and partner (empty: our own), over all subnets."""
    make_blocks(1_000, 1_441)
    attribute_yields(now=NOW)
    close_due_days(actor=None, now=NOW)
    assert check_ledger().differences == []
    found: Counter[tuple[str, str]] = Counter()
    for coldkey, slug, rao in DelegatorTake.objects.values_list("coldkey", "partner__slug", "take_rao"):
        found[coldkey, slug or ""] += rao
    return dict(found)


def begin() -> None:
    make_blocks(1, 999)
    make_positions({OWNER: 1_000}, netuid=2)


def test_pa8_a_wallet_part_tagged_part_not_is_split_by_its_shares_at_each_block() -> None:
    begin()
    make_app()
    make_stake(10, ANN, 300)
    make_yield(15, 1_300)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(30, 1_400)
    # The oldest go first: 200 of the 300 that came without a remark.
    make_stake(40, ANN, -200)
    make_yield(50, 1_200)
    assert takes() == {
        (OWNER, ""): 3_000,
        (ANN, ""): 300 + 300 + 100,
        (ANN, "talisman"): 100 + 100,
    }


def test_pa8_an_unstake_through_the_app_uses_up_the_apps_stake_first() -> None:
    begin()
    make_app()
    make_stake(10, ANN, 300)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_stake(40, ANN, -60, text=TALISMAN)
    make_yield(50, 1_340)
    assert takes() == {(OWNER, ""): 1_000, (ANN, ""): 300, (ANN, "talisman"): 40}


def test_pa8_stake_tagged_in_the_block_of_an_epoch_earns_from_the_next_one_on() -> None:
    """An epoch comes before the block's calls: it pays on the state after the parent block."""
    begin()
    make_app()
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(20, 1_000)
    make_yield(21, 1_100)
    assert takes() == {(OWNER, ""): 2_000, (ANN, "talisman"): 100}


def test_pa8_full_exit_and_return_without_a_remark_is_nobodys() -> None:
    begin()
    make_app()
    make_stake(20, ANN, 100, text=TALISMAN)
    make_stake(30, ANN, -100)
    make_stake(40, ANN, 100)
    make_yield(50, 1_100)
    assert takes() == {(OWNER, ""): 1_000, (ANN, ""): 100}


@pytest.mark.parametrize(("before", "paid"), [(0, 100), (50, 0)], ids=["new", "staked before"])
def test_pa8_new_delegators_only(before: int, paid: int) -> None:
    begin()
    make_app(new_only=True)
    if before:
        # Gone again before it came through the app: it was there.
        make_stake(10, ANN, before)
        make_stake(15, ANN, -before)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(30, 1_100)
    expected = {(OWNER, ""): 1_000, (ANN, "talisman" if paid else ""): 100}
    assert takes() == expected


def test_pa8_who_had_stake_before_the_first_block_that_was_read_is_not_new() -> None:
    begin()
    make_positions({ANN: 50}, netuid=2)
    make_app(new_only=True)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(30, 1_150)
    assert takes() == {(OWNER, ""): 1_000, (ANN, ""): 150}


def test_pa1_a_named_wallet_is_the_namers_whatever_app_it_staked_with() -> None:
    begin()
    make_app()
    make_partner("Creative Builds", 3_300, ANN)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_stake(20, BOB, 100, text=TALISMAN)
    make_yield(30, 1_200)
    assert takes() == {(OWNER, ""): 1_000, (ANN, "creative-builds"): 100, (BOB, "talisman"): 100}


def test_pa8_two_apps_each_have_their_own_lots_of_one_wallet() -> None:
    begin()
    make_app()
    make_app("Nova", "nova")
    make_stake(20, ANN, 100, text=TALISMAN)
    make_stake(25, ANN, 200, text=b"nova")
    make_stake(28, ANN, 50, text=b"somebody else")
    # First in, first out over all apps: all of Talisman's and 20 of Nova's.
    make_stake(30, ANN, -120)
    make_yield(40, 1_230)
    assert takes() == {(OWNER, ""): 1_000, (ANN, "nova"): 180, (ANN, ""): 50}


def test_pa8_a_block_says_under_which_remark_stake_came_and_why_it_counts() -> None:
    begin()
    make_app()
    make_stake(10, ANN, 300)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(30, 1_400)
    [epoch] = explaining.explain(30).epochs
    found = explaining.explain(30)
    said = [
        (share.coldkey, share.delegation.tag, share.take_rao, explaining.why(found, share).verdicts[0].text)
        for share in epoch.shares
        if share.coldkey == ANN
    ]
    assert said == [
        (
            ANN,
            b"",
            300,
            "This stake came without a remark; Talisman's agreement (50 % from 2025-01-01) looks for one of its own.",
        ),
        (
            ANN,
            TALISMAN,
            100,
            "This stake came under the remark that Talisman's agreement (50 % from 2025-01-01) looks for.",
        ),
    ]


def test_pa9_a_closed_day_is_what_it_was_after_its_remarks_rule_is_switched_off() -> None:
    begin()
    make_app()
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(30, 1_100)
    assert takes()[ANN, "talisman"] == 100
    Rule.objects.update(is_active=False)
    assert check_ledger().differences == []
    [epoch] = explaining.explain(30).epochs
    assert [share.partner.slug for share in epoch.shares if share.partner] == ["talisman"]


def test_f9_stake_under_a_copied_remark_by_somebody_else_is_not_the_wallets() -> None:
    """The remark is the sender's own: another wallet's stake in the same extrinsic is not tagged by it."""
    begin()
    make_app()
    make_stake(20, BOB, 100)
    make_stake(21, ANN, 100, text=TALISMAN)
    make_yield(30, 1_200)
    assert takes() == {(OWNER, ""): 1_000, (BOB, ""): 100, (ANN, "talisman"): 100}


@pytest.mark.parametrize(
    ("kind", "values", "theirs"),
    [
        ("ALL", {}, True),
        ("SUBNET", {"netuid": 2}, True),
        ("SUBNET", {"netuid": 3}, False),
        ("SIDE", {"side": "ALPHA"}, True),
    ],
)
def test_pa3_rules_for_whole_subnets_and_sides(kind: str, values: dict[str, object], theirs: bool) -> None:
    begin()
    partner = make_app("Broker")
    Rule.objects.update(is_active=False)
    Rule.objects.create(agreement=partner.agreements.get(), kind=kind, **values)
    make_stake(20, ANN, 100)
    make_yield(30, 1_100)
    whose = "broker" if theirs else ""
    assert takes() == {(OWNER, whose): 1_000, (ANN, whose): 100}


@pytest.mark.parametrize(
    ("covers", "theirs"),
    [
        ({"netuids": [2, 9]}, True),
        ({"netuids": [3]}, False),
        ({"hotkeys": [key("other")]}, False),
        ({"sides": ["ROOT"]}, False),
    ],
)
def test_pa2_an_agreement_covers_what_it_names(covers: dict[str, object], theirs: bool) -> None:
    begin()
    make_app()
    Agreement.objects.update(**covers)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(30, 1_100)
    assert (ANN, "talisman" if theirs else "") in takes()


@pytest.mark.parametrize(
    ("after", "expected"),
    [(400, (300, 100)), (250, (150, 100)), (60, (0, 60)), (500, (400, 100)), (0, (0, 0))],
    ids=["as before", "less", "much less", "more", "gone"],
)
def test_pa8_lots_go_on_over_lost_blocks(after: int, expected: tuple[int, int]) -> None:
    make_blocks(1, 99)
    make_positions({OWNER: 1_000}, netuid=2)
    make_app()
    make_stake(10, ANN, 300)
    make_stake(20, ANN, 100, text=TALISMAN)
    approver = make_user("approver", name="adam")
    gap = make_gap(100, 102)
    give_up_blocks(gap_id=gap.pk, last=102, reason="No archive node has them.", actor=approver, now=NOW)
    make_blocks(103, 999)
    # As ingestion does: positions end with the last block that was read, and are listed anew after the last lost one.
    Position.objects.filter(blocks__upper_inf=True).update(
        blocks=Func(F("blocks"), function="int8range", template="int8range(lower(blocks), 100)")
    )
    make_positions({OWNER: 1_000} | ({ANN: after} if after else {}), netuid=2, since=102)
    make_yield(200, 1_000 + after)
    untagged, tagged = expected
    assert takes() == {
        key: rao
        for key, rao in {(OWNER, ""): 1_000, (ANN, ""): untagged, (ANN, "talisman"): tagged}.items()
        if rao
    }


def test_pa8_history_begins_where_stake_began_not_where_the_wallet_is_now() -> None:
    begin()
    make_app(new_only=True)
    make_stake(10, BOB, 70)
    # Bob's coldkey is swapped for Ann's, who stakes through the app: she is Bob.
    make_coldkey_swap(15, BOB, ANN, 70)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_yield(30, 1_170)
    assert takes() == {(OWNER, ""): 1_000, (ANN, ""): 170}
