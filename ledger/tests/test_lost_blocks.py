"""Days over blocks that can never be read: only a named person opens the way, and everybody is told (CH6, LE6, LE8)."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from chain.gaps.services import give_up_blocks
from chain.models import Gap
from ledger.audit import check_ledger
from ledger.models import Period
from ledger.queries import statement
from ledger.readiness import check_day
from ledger.services import CannotClose, attribute_yields, close_day, close_due_days
from ledger.tests.factories import (
    DAY_ONE,
    NOW,
    make_blocks,
    make_gap,
    make_partner,
    make_positions,
    make_yield,
)
from ledger.tests.test_worked_example import ANN, BOB
from partners.models import Partner
from tests.guards import tamper

pytestmark = pytest.mark.django_db
REASON = "No archive node has the state of these blocks any more."


@pytest.fixture
def approver() -> User:
    user = User.objects.create_user("ada")
    user.groups.add(Group.objects.get(name="approver"))
    return user


def lose(approver: User, first: int, last: int, *, then: int) -> Gap:
    """Store blocks up to `first`, leave a gap, accept it, and go on from the block after it up to `then`."""
    make_blocks(1, first - 1)
    make_positions({ANN: 5, BOB: 5}, netuid=0)
    gap = make_gap(first, last)
    gap = give_up_blocks(gap_id=gap.pk, last=last, reason=REASON, actor=approver, now=NOW)
    make_blocks(last + 1, then)
    make_partner("Talisman", 5_000, BOB)
    make_yield(10, 100, side="ROOT")
    make_yield(last + 5, 50, side="ROOT")
    attribute_yields(now=NOW)
    return gap


def test_ch6_an_accepted_gap_lets_the_day_close_and_stays_in_manifest_statement_and_pages(
    approver: User,
) -> None:
    lose(approver, 100, 119, then=1_441)
    ready = check_day(DAY_ONE)
    details = {check.name: check.detail for check in ready.checks}
    assert details["Blocks are complete"] == "1,420 blocks, 1 to 1,440, without 20 accepted as lost."
    assert details["No open gap"] == (
        f"Blocks 100 to 119 are accepted as lost by ada: {REASON} What was earned in them is in no sum."
    )
    period = close_day(day=DAY_ONE, actor=None, now=NOW)
    assert period.manifest["lost_blocks"] == [
        {
            "first": 100,
            "last": 119,
            "kind": "READ_MISSING",
            "reason": "the node did not answer",
            "accepted_reason": REASON,
        }
    ]
    assert period.manifest["blocks"]["count"] == 1_420
    assert check_ledger().differences == []
    found = statement(Partner.objects.get(), period)
    assert (found.lost_blocks, found.base_rao) == (((100, 119),), 75)
    assert json.loads(found.to_json())["lost_blocks"] == [{"first": 100, "last": 119}]
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(reverse("admin:ledger_period_change", args=[period.pk])).content.decode()
    assert "Blocks 100 to 119 are lost." in page
    assert REASON in page
    page = client.get(reverse("admin:ledger_statement", args=[period.key, "talisman"])).content.decode()
    assert "Blocks 100 to 119 could not be read from the chain." in page


def test_ch6_lost_blocks_over_midnight_are_told_on_both_days(approver: User) -> None:
    lose(approver, 1_431, 1_450, then=2_881)
    one, two = close_due_days(actor=None, now=NOW)
    assert (one.blocks.upper, two.blocks.lower) == (1_431, 1_451)
    lost = [[(row["first"], row["last"]) for row in day.manifest["lost_blocks"]] for day in (one, two)]
    assert lost == [[(1_431, 1_450)]] * 2
    assert (one.manifest["blocks"]["count"], two.manifest["blocks"]["count"]) == (1_430, 1_430)
    assert check_ledger().differences == []


def test_le6_a_period_without_lost_blocks_says_nothing_of_them() -> None:
    make_blocks(1, 1_441)
    make_positions({ANN: 5}, netuid=0)
    make_yield(10, 100, side="ROOT")
    attribute_yields(now=NOW)
    assert "lost_blocks" not in close_day(day=DAY_ONE, actor=None, now=NOW).manifest


@pytest.mark.parametrize("missing", [99, 120, 121, 300])
def test_a3_blocks_beside_the_lost_ones_must_still_be_there(approver: User, missing: int) -> None:
    lose(approver, 100, 119, then=1_441)
    tamper("DELETE FROM chain_block WHERE number = %s", missing)
    with pytest.raises(CannotClose, match=rf"Block {missing} is missing"):
        close_day(day=DAY_ONE, actor=None, now=NOW)


def test_le6_an_open_gap_over_other_blocks_still_keeps_the_day_open(approver: User) -> None:
    lose(approver, 100, 119, then=1_441)
    make_gap(1_000, 1_001)
    with pytest.raises(CannotClose, match="Resolve by backfill: Read missing, blocks 1,000 to 1,001"):
        close_day(day=DAY_ONE, actor=None, now=NOW)
    assert not Period.objects.exists()


def test_ch6_amounts_accepted_as_they_are_stand_in_the_manifest_and_no_block_counts_as_lost(
    approver: User,
) -> None:
    make_blocks(1, 1_441)
    make_positions({ANN: 5}, netuid=0)
    make_yield(10, 100, side="ROOT")
    attribute_yields(now=NOW)
    doubt = make_gap(10, 10, kind="UNACCOUNTED")
    with pytest.raises(CannotClose, match="Amount left open by the chain, blocks 10 to 10"):
        close_day(day=DAY_ONE, actor=None, now=NOW)
    give_up_blocks(gap_id=doubt.pk, last=10, reason=REASON, actor=approver, now=NOW)
    period = close_day(day=DAY_ONE, actor=None, now=NOW)
    assert period.manifest["accepted_doubts"] == [
        {"block": 10, "reason": "the node did not answer", "accepted_reason": REASON}
    ]
    assert ("lost_blocks" in period.manifest, period.manifest["blocks"]["count"]) == (False, 1_440)
    assert check_ledger().differences == []
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(reverse("admin:ledger_period_change", args=[period.pk])).content.decode()
    assert "Accepted as it is because" in page
