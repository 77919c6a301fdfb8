"""`manage.py seed_example`: what it makes, that it does so once, where it refuses, and that its partners earn."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from chain.addresses import decode_address
from chain.models import Position, StakeEvent
from chain.services import ingest_segment
from ledger.audit import check_ledger
from ledger.explaining import explain
from ledger.models import CommissionLine
from ledger.services import attribute_yields, close_due_days
from partners.models import Agreement, Change, Partner, PayoutAddress, Rule, Wallet
from partners.sealing import check_history
from partners.tests.factories import make_partner
from rakeback.demo import SEGMENT
from rakeback.example import PLANS, made_address

pytestmark = pytest.mark.django_db
SLUGS = {"example-fund", "example-app"}


def seed(*arguments: str) -> str:
    out = StringIO()
    call_command("seed_example", *arguments, stdout=out)
    return out.getvalue()


def test_op_beside_the_demo_it_makes_two_partners_and_fifty_wallets_once() -> None:
    call_command("demo", no_serve=True, verbosity=0, stdout=StringIO())
    said = seed()
    assert "Made Example Fund and Example App, each with an agreement from 2025-08-13 on and rules" in said
    assert "and rules; 50 wallets." in said
    mine = Wallet.objects.filter(partner__slug__in=SLUGS)
    assert mine.count() == 50
    assert all(len(decode_address(wallet.address)) == 32 for wallet in mine)
    assert Agreement.objects.filter(partner__slug__in=SLUGS).count() == 2
    kinds = Rule.objects.filter(agreement__partner__slug__in=SLUGS).values_list("kind", flat=True)
    assert sorted(kinds) == ["MEMO", "WALLET", "WALLET"]
    assert not PayoutAddress.objects.filter(partner__slug__in=SLUGS).exists()
    # An open block names the new partners already, and says so where the command said to look.
    block = 247
    while not (epochs := explain(block).epochs):
        block -= 1
    assert f"block {block:,}, or manage.py explain_block {block}" in said
    named = {share.partner.slug for epoch in epochs for share in epoch.shares if share.partner}
    assert named & SLUGS
    before = list(Change.objects.order_by("id").values())
    assert seed() == (
        "Example Fund and Example App are there already, with 50 wallets. Nothing was changed.\n"
    )
    assert list(Change.objects.order_by("id").values()) == before
    assert set(Change.objects.filter(partner__slug__in=SLUGS).values_list("reason", "request_id")) == {
        ("Example data, made by manage.py seed_example", "")
    }
    assert check_history().ok


def test_op_both_partners_earn_when_days_close() -> None:
    ingest_segment(SEGMENT)
    seed()
    now = timezone.now()
    attribute_yields(now=now)
    close_due_days(actor=None, now=now)
    for slug in SLUGS:
        lines = CommissionLine.objects.filter(partner__slug=slug)
        assert sum(line.commission_rao for line in lines) > 0, slug
    assert check_ledger().ok


def test_op_made_addresses_are_always_the_same_and_nobody_on_the_chain() -> None:
    made = {made_address(plan.slug, index) for plan in PLANS for index in range(plan.wallet_count)}
    assert len(made) == 50
    assert made_address("example-fund", 0) == "5GDYTxo9YfoFurBaEiyr34paRRCnydyEfEHoEurAMfUuAAUU"
    ingest_segment(SEGMENT)
    assert not Position.objects.filter(coldkey__in=made).exists()
    assert not StakeEvent.objects.filter(coldkey__in=made).exists()


def test_op_without_blocks_all_wallets_are_made_up() -> None:
    said = seed()
    assert "0 of the wallets hold stake here" in said
    assert said.endswith("Look next: Partners → Partners, Wallets and Changes.\n")
    assert Wallet.objects.count() == 50


def test_op_it_refuses_beside_other_partners_unless_told() -> None:
    make_partner("Somebody", "somebody")
    with pytest.raises(CommandError, match=r"there are partners already, somebody for one.*add --yes"):
        seed()
    assert Partner.objects.count() == 1
    assert "Made Example Fund" in seed("--yes")


@override_settings(IS_PRODUCTION=True)
def test_op_it_refuses_in_production_unless_told() -> None:
    with pytest.raises(CommandError, match="this is a production installation"):
        seed()
    assert not Partner.objects.exists()
    assert "Made Example Fund" in seed("--yes")


def test_op_half_an_example_is_named_and_left_alone() -> None:
    make_partner("Mine", "example-app")
    with pytest.raises(CommandError, match="one is there and one is not"):
        seed("--yes")
    assert Partner.objects.count() == 1
