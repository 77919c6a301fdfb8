"""Whose a wallet was on a day that closes after it changed hands, as its history says."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from hypothesis import given
from hypothesis import strategies as st

from ledger import explaining
from ledger.audit import check_ledger
from ledger.models import DelegatorTake, Period
from ledger.services import attribute_yields, close_due_days
from ledger.tests.factories import NOW, START, key, make_blocks, make_partner, make_positions, make_yield
from ledger.what_if import compare
from partners import services
from partners.admin.wallet_changes import _would_change
from partners.matching import former_of
from partners.models import Agreement, Partner, Wallet
from partners.wallet_lists import WalletFile, WalletResource
from partners.what_if import BookChange, apply, difference

ANN, BOB = key("ann"), key("bob")
ONE, TWO, THREE = date(2025, 1, 1), date(2025, 1, 2), date(2025, 1, 3)


@pytest.fixture
def alpha() -> Agreement:
    """Two days of Ann's take, 1,000 and 500, while she is Alpha's; Beta has no wallets yet."""
    make_blocks(1, 2_881)
    make_positions({ANN: 100}, netuid=2)
    make_yield(100, 1_000)
    make_yield(1_500, 500)
    make_partner("Beta", 5_000, BOB)
    return make_partner("Alpha", 3_300, ANN)


def ann() -> Wallet:
    return Wallet.objects.get(address=ANN)


def give(slug: str, day: date) -> None:
    partner = Partner.objects.get(slug=slug)
    services.reassign_wallets(
        actor=None, wallet_ids=[ann().pk], partner=partner, introduced_date=day, reason="sold"
    )


def takes() -> dict[tuple[str, str], int]:
    """Close both days; take by period and partner."""
    attribute_yields(now=NOW)
    close_due_days(actor=None, now=NOW)
    assert check_ledger().differences == []
    rows = DelegatorTake.objects.values_list("period__key", "partner__slug", "take_rao")
    return {(day[-2:], slug or ""): rao for day, slug, rao in rows}


@pytest.mark.django_db
def test_pa1_days_before_the_handover_are_the_former_partners_whenever_they_close(alpha: Agreement) -> None:
    give("beta", TWO)
    assert takes() == {("01", "alpha"): 1_000, ("02", "beta"): 500}
    found = explaining.explain(100)
    [share] = [share for epoch in found.epochs for share in epoch.shares if share.coldkey == ANN]
    assert [verdict.text for verdict in explaining.why(found, share).verdicts] == [
        "Alpha's agreement (33 % from 2024-12-02) lists this address and was in force at this block.",
        "Beta lists this address from 2025-01-02 00:00 UTC on.",
    ]
    # What closed knows whose it was, whoever has it since.
    give("alpha", THREE)
    assert check_ledger().differences == []
    assert Period.objects.get(key="2025-01-01").manifest["rules"]["wallets"][-1]["former"] == [
        [alpha.partner_id, "2024-12-02", "2025-01-02"]
    ]


@pytest.mark.django_db
def test_pa1_a_handover_from_an_earlier_day_takes_all_from_it_on(alpha: Agreement) -> None:
    give("beta", date(2024, 1, 1))
    assert takes() == {("01", "beta"): 1_000, ("02", "beta"): 500}


@pytest.mark.django_db
def test_pa1_what_is_given_back_the_same_day_was_never_gone(alpha: Agreement) -> None:
    give("beta", TWO)
    give("alpha", TWO)
    assert takes() == {("01", "alpha"): 1_000, ("02", "alpha"): 500}


@pytest.mark.django_db
def test_pa1_the_border_moves_with_the_day_of_who_has_it_now(alpha: Agreement) -> None:
    give("beta", THREE)
    wallet = ann()
    wallet.introduced_date = TWO
    wallet.save()
    assert takes() == {("01", "alpha"): 1_000, ("02", "beta"): 500}


@pytest.mark.django_db
def test_pa1_a_wallet_that_was_switched_off_was_nobodys(alpha: Agreement) -> None:
    Wallet.objects.filter(address=ANN).update(is_active=False)
    give("beta", TWO)
    assert takes() == {("01", ""): 1_000, ("02", "beta"): 500}


@pytest.mark.django_db
def test_pa1_who_switches_a_wallet_off_takes_nothing_from_who_had_it_before(alpha: Agreement) -> None:
    give("beta", TWO)
    before, change = services.rules_now(), _would_change("deactivate", [ann().pk], {})
    services.deactivate_wallets(actor=None, wallet_ids=[ann().pk], reason="left")
    assert apply(change, before)["wallets"] == services.rules_now()["wallets"]
    assert takes() == {("01", "alpha"): 1_000, ("02", ""): 500}


def tried(change: BookChange) -> dict[tuple[str, str], tuple[int, int]]:
    """Take of the closed days by partner, as it is and with a change."""
    names = dict(Partner.objects.values_list("pk", "slug"))
    periods = list(Period.objects.order_by("key"))
    return {
        (row.period[-2:], names[row.partner_id]): (row.take_before, row.take_after)
        for compared in compare(periods, change)
        for row in compared.rows
    }


@pytest.mark.django_db
def test_pa9_what_the_present_partner_does_is_tried_as_theirs_on_days_that_closed_before_they_had_it(
    alpha: Agreement,
) -> None:
    takes()
    give("beta", THREE)
    off = _would_change("deactivate", [ann().pk], {})
    assert tried(off) == {("01", "alpha"): (1_000, 1_000), ("02", "alpha"): (500, 500)}
    before = services.rules_now()
    Wallet.objects.filter(address=ANN).update(introduced_date=TWO)
    earlier = difference(before, services.rules_now())
    assert tried(earlier) == {
        ("01", "alpha"): (1_000, 1_000),
        ("02", "alpha"): (500, 0),
        ("02", "beta"): (0, 500),
    }


@pytest.mark.django_db
def test_pa1_a_border_that_was_too_early_moves_back_for_the_former_partner_too(alpha: Agreement) -> None:
    give("beta", ONE)
    Wallet.objects.filter(address=ANN).update(introduced_date=TWO)
    assert takes() == {("01", "alpha"): 1_000, ("02", "beta"): 500}


@pytest.mark.django_db
def test_pa1_who_had_a_wallet_that_ended_gets_nothing_after_it_by_a_later_border(alpha: Agreement) -> None:
    Wallet.objects.filter(address=ANN).update(ended_date=TWO)
    give("beta", TWO)
    Wallet.objects.filter(address=ANN).update(introduced_date=THREE)
    assert takes() == {("01", "alpha"): 1_000, ("02", ""): 500}


@pytest.mark.django_db
@pytest.mark.parametrize(("field", "value"), [("address", "5X"), ("chain", "SOLANA"), ("id", 99_999)])
def test_pa4_a_wallet_keeps_its_address_and_number(alpha: Agreement, field: str, value: object) -> None:
    """Another address is another wallet: else what the old one earned on days that are not closed would be nobody's."""
    with pytest.raises(IntegrityError, match="a wallet keeps its address"), transaction.atomic():
        Wallet.objects.filter(address=ANN).update(**{field: value})


@pytest.mark.django_db
def test_pa2_an_agreement_keeps_its_partner_and_a_rule_its_agreement(alpha: Agreement) -> None:
    """Alpha that was earned under it is theirs when it is sold, whenever that is."""
    beta = Partner.objects.get(slug="beta")
    with pytest.raises(IntegrityError, match="an agreement keeps its partner"), transaction.atomic():
        Agreement.objects.filter(pk=alpha.pk).update(partner=beta)
    with pytest.raises(IntegrityError, match="a rule keeps its agreement"), transaction.atomic():
        alpha.rules.update(agreement=beta.agreements.get())


@pytest.mark.django_db
def test_pa9_giving_away_is_tried_as_it_will_be(alpha: Agreement) -> None:
    give("beta", TWO)
    values = {"partner": alpha.partner, "introduced_date": THREE}
    before, change = services.rules_now(), _would_change("reassign", [ann().pk], values)
    give("alpha", THREE)
    by_id = {row["id"]: row for row in apply(change, before)["wallets"]}
    assert by_id == {row["id"]: row for row in services.rules_now()["wallets"]}
    assert len(by_id[ann().pk]["former"]) == 2


@pytest.mark.django_db
def test_pa9_giving_on_what_was_switched_off_is_tried_as_it_will_be(alpha: Agreement) -> None:
    give("beta", THREE)
    services.deactivate_wallets(actor=None, wallet_ids=[ann().pk], reason="left")
    gamma = make_partner("Gamma", 1_000, BOB[::-1]).partner
    before, change = (
        services.rules_now(),
        _would_change("reassign", [ann().pk], {"partner": gamma, "introduced_date": TWO}),
    )
    give("gamma", TWO)
    assert apply(change, before)["wallets"] == services.rules_now()["wallets"]
    assert takes() == {("01", "alpha"): 1_000, ("02", "gamma"): 500}


@pytest.mark.django_db
@pytest.mark.parametrize("day", [TWO, THREE])
def test_pa9_a_list_that_moves_the_border_is_tried_as_it_will_be(alpha: Agreement, day: date) -> None:
    give("beta", TWO)
    table = WalletFile().create_dataset(f"partner,address,introduced_date\nbeta,{ANN},{day}".encode())
    before, (change, _) = services.rules_now(), WalletResource().read_change(table)
    WalletResource().import_data(table, raise_errors=True)
    assert apply(change, before)["wallets"] == services.rules_now()["wallets"]


@pytest.mark.django_db
def test_pa5_a_list_takes_no_day_from_the_former_partner(alpha: Agreement) -> None:
    give("beta", TWO)
    table = WalletFile().create_dataset(f"partner,address,introduced_date\nbeta,{ANN},{ONE}".encode())
    _, result = WalletResource().read_change(table)
    assert result.preview.is_refused
    WalletResource().import_data(table, rollback_on_validation_errors=True)
    assert takes() == {("01", "alpha"): 1_000, ("02", "beta"): 500}


@pytest.mark.django_db
@pytest.mark.parametrize(("until", "first_day"), [(100, ""), (101, "alpha"), (1_500, "alpha")])
def test_pa3_a_rule_ends_at_its_block_whenever_the_day_closes(
    alpha: Agreement, until: int, first_day: str
) -> None:
    alpha.rules.update(applies_until_block=until)
    assert takes() == {("01", first_day): 1_000, ("02", ""): 500}
    found = explaining.explain(1_500)
    [share] = [share for epoch in found.epochs for share in epoch.shares if share.coldkey == ANN]
    said = [verdict.text for verdict in explaining.why(found, share).verdicts]
    assert any(f"applied until block {until:,}, that one excluded." in text for text in said)
    # What closed keeps the end that it closed with.
    alpha.rules.update(applies_until_block=None)
    assert check_ledger().differences == []


@pytest.mark.django_db
@pytest.mark.parametrize(("ended", "second_day"), [(TWO, ""), (THREE, "alpha"), (None, "alpha")])
def test_pa4_a_wallet_ends_at_its_day_whenever_the_day_closes(
    alpha: Agreement, ended: date | None, second_day: str
) -> None:
    Wallet.objects.filter(address=ANN).update(ended_date=ended)
    assert takes() == {("01", "alpha"): 1_000, ("02", second_day): 500}
    found = explaining.explain(1_500)
    [share] = [share for epoch in found.epochs for share in epoch.shares if share.coldkey == ANN]
    said = [verdict.text for verdict in explaining.why(found, share).verdicts]
    assert ("Alpha listed this address until 2025-01-02 00:00 UTC." in said) == (ended == TWO)
    # What closed keeps the end that it closed with.
    Wallet.objects.filter(address=ANN).update(ended_date=None)
    assert check_ledger().differences == []


@pytest.mark.django_db
def test_pa4_what_ended_before_it_was_given_away_is_nobodys_in_between(alpha: Agreement) -> None:
    Wallet.objects.filter(address=ANN).update(ended_date=TWO)
    values = {"partner": Partner.objects.get(slug="beta"), "introduced_date": THREE}
    before, change = services.rules_now(), _would_change("reassign", [ann().pk], values)
    give("beta", THREE)
    assert {row["id"]: row for row in apply(change, before)["wallets"]} == {
        row["id"]: row for row in services.rules_now()["wallets"]
    }
    assert ann().ended_date is None
    assert takes() == {("01", "alpha"): 1_000, ("02", ""): 500}


@pytest.mark.django_db
def test_pa4_the_database_refuses_a_wallet_that_ends_before_it_begins(alpha: Agreement) -> None:
    with pytest.raises(IntegrityError, match="wallet_ends_after_it_begins"), transaction.atomic():
        Wallet.objects.filter(address=ANN).update(ended_date=F("introduced_date"))


days = st.integers(0, 40).map(lambda number: START.date() + timedelta(days=number))


@given(st.lists(st.tuples(st.integers(1, 3), days, st.none() | days), max_size=8), days)
def test_pa1_each_day_is_of_who_had_the_wallet_last_of_those_who_had_it_then(
    steps: list[tuple[int, date, date | None]], since: date
) -> None:
    owners = [(who, begin, end or date.max) for who, begin, end in steps]
    spans = former_of(owners, since)
    assert all(end <= begin for (_, _, end), (_, begin, _) in pairwise(spans))
    for day in (START.date() + timedelta(days=number) for number in range(41)):
        # Who had it from that day or before, the last of them; it is theirs until their own end.
        had = [one for one in owners if one[1] <= day]
        expected = [had[-1][0]] if day < since and had and day < had[-1][2] else []
        assert [who for who, begin, end in spans if begin <= day < end] == expected
