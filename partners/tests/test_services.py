"""Writes of partners: what they refuse, and that a refusal leaves nothing behind."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from chain.models import Hotkey
from partners import services
from partners.matching import Delegation
from partners.models import Agreement, Change, Partner, PayoutAddress, Rule, Wallet
from partners.queries import rule_book
from partners.tests.factories import (
    DAY,
    START,
    address,
    begin,
    make_agreement,
    make_partner,
    make_user,
    make_wallet,
)

pytestmark = pytest.mark.django_db
LATER = START + timedelta(days=30)


def raw(sql: str, *values: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_pa1_a_partner_set_up_by_the_services_wins_their_delegators() -> None:
    user = make_user()
    partner = services.create_partner(actor=user, name="Creative Builds", slug="creative-builds")
    agreement = services.add_agreement(actor=user, partner=partner, rate_bps=3300, starts_at=START)
    rule = services.add_rule(actor=user, agreement=agreement)
    wallet = services.add_wallet(actor=user, partner=partner, address=address(1), introduced_date=DAY)
    found = rule_book().winner(Delegation(address(1), address(9), 2, "ALPHA", 100, LATER))
    assert found is not None
    assert (found.partner_id, found.agreement_id, found.rule_id, found.wallet_id, found.rate_bps) == (
        partner.pk,
        agreement.pk,
        rule.pk,
        wallet.pk,
        3300,
    )


def test_pa5_notes_and_names_that_no_list_could_bring_are_refused_by_the_services() -> None:
    with pytest.raises(services.Refused, match=r"U\+202E\) in the notes"):
        services.create_partner(actor=None, name="A", slug="a", notes="a\u202eb")
    with pytest.raises(services.Refused, match=r"U\+000A\) in the name"):
        services.create_partner(actor=None, name="A\nB", slug="a")
    partner = make_partner()
    with pytest.raises(services.Refused, match="2,001 characters"):
        services.add_agreement(actor=None, partner=partner, rate_bps=1, starts_at=START, notes="n" * 2_001)
    with pytest.raises(services.Refused, match=r"U\+0007\) in the notes"):
        services.add_wallet(
            actor=None, partner=partner, address=address(1), introduced_date=DAY, notes="a\x07"
        )
    assert (Partner.objects.count(), Agreement.objects.exists(), Wallet.objects.exists()) == (1, False, False)


def test_the_rule_book_is_read_in_few_queries(django_assert_max_num_queries: Any) -> None:
    for number in range(1, 4):
        partner = make_partner(f"P{number}", f"p{number}")
        make_agreement(partner)
        make_wallet(partner, number)
    with django_assert_max_num_queries(5):
        book = rule_book()
    assert [len(rows) for rows in book.fingerprint().values()] == [3, 3, 3]


def test_pa2_an_overlap_is_refused_with_the_agreement_in_the_way() -> None:
    partner = make_partner()
    make_agreement(partner)
    with pytest.raises(services.AgreementOverlaps, match="overlaps the agreement 33 % from 2025-08-01"):
        services.add_agreement(actor=None, partner=partner, rate_bps=5000, starts_at=LATER)
    assert Agreement.objects.count() == 1


def test_pa2_an_agreement_may_begin_at_the_moment_another_ends() -> None:
    partner = make_partner()
    make_agreement(partner, ends_at=LATER)
    services.add_agreement(actor=None, partner=partner, rate_bps=5000, starts_at=LATER)
    assert Agreement.objects.count() == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate_bps": 10_001}, "10000"),
        ({"minimum_payout_rao": -1}, "greater than or equal to 0"),
        ({"ends_at": START}, "end before it starts"),
    ],
)
def test_pa2_impossible_terms_are_refused(values: dict[str, Any], said: str) -> None:
    terms: dict[str, Any] = {"rate_bps": 3300, "starts_at": START} | values
    with pytest.raises(services.Refused, match=said):
        services.add_agreement(actor=None, partner=make_partner(), **terms)
    assert not Agreement.objects.exists()


@pytest.mark.parametrize(
    ("span", "constraint"),
    [
        ("[2025-09-01, 2025-10-01)", "agreement_no_overlap"),
        ("(2024-01-01, 2024-02-01)", "agreement_half_open"),
        ("[2024-01-01, 2024-02-01]", "agreement_half_open"),
        ("empty", "agreement_has_a_start|agreement_half_open"),
        ("(, 2024-02-01)", "agreement_has_a_start|agreement_half_open"),
    ],
)
def test_pa2_the_database_refuses_spans_that_overlap_or_are_not_half_open(span: str, constraint: str) -> None:
    partner = make_partner()
    make_agreement(partner)
    with pytest.raises(IntegrityError, match=constraint):
        raw(
            "INSERT INTO partners_agreement"
            " (partner_id, effective, rate_bps, basis, minimum_payout_rao, notes)"
            " VALUES (%s, %s, 1, 'TAKE', 0, '')",
            partner.pk,
            span,
        )


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("rate_bps", 10_001, "agreement_rate_at_most_whole"),
        ("minimum_payout_rao", -1, "agreement_minimum_not_negative"),
    ],
)
def test_pa2_the_database_refuses_impossible_terms(column: str, value: int, constraint: str) -> None:
    make_agreement(make_partner())
    with pytest.raises(IntegrityError, match=constraint):
        raw(f"UPDATE partners_agreement SET {column} = %s", value)


def test_pa3_an_agreement_has_an_active_rule_once() -> None:
    agreement = make_agreement(make_partner())
    with pytest.raises(services.Refused, match="already has such an active rule"):
        services.add_rule(actor=None, agreement=agreement)
    with pytest.raises(IntegrityError, match="rule_once_per_agreement"):
        raw(
            "INSERT INTO partners_rule (agreement_id, kind, priority, applies_from_block, is_active)"
            " VALUES (%s, 'WALLET', 1, 0, true)",
            agreement.pk,
        )
    with pytest.raises(IntegrityError, match="rule_block_not_negative"):
        raw("UPDATE partners_rule SET applies_from_block = -1")


def test_f26_a_wallet_belongs_to_one_partner_in_service_and_database() -> None:
    wallet, other = make_wallet(make_partner()), make_partner("Other", "other")
    with pytest.raises(services.WalletTaken, match="already a wallet of Creative Builds"):
        services.add_wallet(actor=None, partner=other, address=wallet.address, introduced_date=DAY)
    with pytest.raises(IntegrityError, match="wallet_one_partner_per_chain"):
        raw(
            "INSERT INTO partners_wallet (partner_id, chain, address, introduced_date, is_active, notes)"
            " VALUES (%s, 'BITTENSOR', %s, '2025-08-01', true, '')",
            other.pk,
            wallet.address,
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (address(1)[:-1] + "z", "wrong checksum"),
        (address(1).replace("5", "l", 1), "small L at position 1"),
        (" " + address(1), "spaces"),
        ("0x" + "11" * 32, "hex"),
    ],
)
def test_pa4_what_is_no_address_is_refused_and_none_of_the_list_is_saved(text: str, said: str) -> None:
    partner = make_partner()
    with pytest.raises(services.Refused, match=said):
        services.add_wallets(actor=None, partner=partner, addresses=[address(2), text], introduced_date=DAY)
    with pytest.raises(services.Refused, match=said):
        begin(partner, text)
    assert not PayoutAddress.objects.exists()
    assert not Wallet.objects.exists()
    assert Partner.objects.count() == 1


def test_pa4_our_own_hotkey_is_neither_wallet_nor_payout_address() -> None:
    Hotkey.objects.create(address=address(7), label="RT21", first_block=1)
    with pytest.raises(services.Refused, match="own hotkey RT21"):
        services.add_wallet(actor=None, partner=make_partner(), address=address(7), introduced_date=DAY)
    with pytest.raises(services.Refused, match="own hotkey RT21"):
        begin(Partner.objects.get(), address(7))


def test_an_address_given_twice_is_refused() -> None:
    with pytest.raises(services.Refused, match="twice"):
        services.add_wallets(
            actor=None, partner=make_partner(), addresses=[address(1)] * 2, introduced_date=DAY
        )


def test_pa4_deactivating_counts_only_what_changed_and_is_undone_by_reactivating() -> None:
    user, partner = make_user(), make_partner()
    wallets = [make_wallet(partner, number) for number in (1, 2)]
    keys = [wallet.pk for wallet in wallets]
    assert services.deactivate_wallets(actor=user, wallet_ids=keys[:1], reason="Left") == 1
    assert services.deactivate_wallets(actor=user, wallet_ids=keys, reason="All left") == 1
    assert services.reactivate_wallets(actor=user, wallet_ids=keys, reason="Back") == 2
    reasons = Change.objects.filter(kind="WALLET", what="update").order_by("event_id").values_list("reason")
    assert [reason for (reason,) in reasons] == ["Left", "All left", "Back", "Back"]


def test_pa4_a_reassigned_wallet_counts_for_the_new_partner_from_the_given_day() -> None:
    old, new = make_partner(), make_partner("New", "new")
    make_agreement(old)
    make_agreement(new)
    wallet, day = make_wallet(old), date(2025, 9, 10)
    with pytest.raises(services.Refused, match="Say why"):
        services.reassign_wallets(
            actor=None, wallet_ids=[wallet.pk], partner=new, introduced_date=day, reason=" "
        )
    done = services.reassign_wallets(
        actor=None, wallet_ids=[wallet.pk], partner=new, introduced_date=day, reason="Moved"
    )
    assert done == 1
    before = Delegation(wallet.address, address(9), 2, "ALPHA", 1, datetime(2025, 9, 9, 23, 59, tzinfo=UTC))
    after = Delegation(wallet.address, address(9), 2, "ALPHA", 1, datetime(2025, 9, 10, tzinfo=UTC))
    whose = [won and won.partner_id for won in map(rule_book().winner, (before, after))]
    assert whose == [old.pk, new.pk]


def test_partners_and_rules_are_switched_with_a_reason() -> None:
    agreement = make_agreement(make_partner())
    rule = agreement.rules.get()
    assert services.set_rules_active(actor=None, rule_ids=[rule.pk], is_active=False, reason="x") == 1
    paused = Partner.Status.PAUSED
    assert services.set_partners_status(
        actor=None, partner_ids=[agreement.partner_id], status=paused, reason="x"
    )
    assert not Rule.objects.get().is_active
    assert Partner.objects.get().status == paused
    assert Change.objects.filter(reason="x").count() == 2
