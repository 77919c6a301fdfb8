"""What a batch pays while a partner's address changes: nothing, and to the new one not too early (PA10, threat 12)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection

from ledger.models import Entry
from ledger.queries import payable_by_partner
from partners import payout_addresses
from partners.models import Partner, PayoutAddress
from partners.services import Refused
from partners.tests.factories import approved, paid_to, requested, swap_address, travel
from payments.models import Batch, Payout
from payments.planning import Reason
from payments.queries import last_period, plan_due
from payments.services import (
    AlreadyDecided,
    BatchChanged,
    NothingToPay,
    approve_batch,
    call_data,
    cancel_batch,
    propose_batch,
)
from payments.tests.factories import NOW, address_of, make_partner, make_user, owe
from payments.tests.test_services import race
from payments.tests.test_triggers import INSERT, PAY, refuse
from tests.guards import sql, tamper

pytestmark = pytest.mark.django_db
NEW = address_of(999)
FAR = NOW + timedelta(days=36_500)


@pytest.fixture
def maker() -> User:
    return make_user("maker", "propose_batch", "request_payoutaddress")


@pytest.fixture
def checker() -> User:
    return make_user("checker", "approve_batch", "approve_payoutaddress")


@pytest.fixture
def partner() -> Partner:
    return make_partner("cb", owed=5_000)


def approve(batch: Batch, actor: User) -> Batch:
    return approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=actor, now=NOW)


def skip_of(partner: Partner) -> Reason | None:
    through = last_period()
    assert through is not None
    plan = plan_due(now=FAR, through=through).plan
    return next((skip.reason for skip in plan.skipped if skip.partner_id == partner.pk), None)


def test_pa10_from_the_request_until_it_takes_effect_nothing_is_paid(partner: Partner, maker: User) -> None:
    """Whatever time the application believes it is: planning is told a day a hundred years from now."""
    assert skip_of(partner) is None
    version = requested(partner, NEW)
    assert skip_of(partner) == Reason.ADDRESS_CHANGING
    version = approved(version)
    assert skip_of(partner) == Reason.ADDRESS_CHANGING
    travel(version, "60 s")
    with pytest.raises(NothingToPay, match="CB: A new payout address was requested"):
        propose_batch(actor=maker, now=FAR)
    travel(version, "0 s")
    batch = propose_batch(actor=maker, now=NOW)
    assert [payout.address for payout in batch.payouts.all()] == [NEW]


def test_pa10_a_cancelled_request_lets_payouts_go_on_to_the_old_address(
    partner: Partner, maker: User, checker: User
) -> None:
    old = paid_to(partner)
    version = requested(partner, NEW)
    payout_addresses.cancel_address(actor=checker, version_id=version.pk, reason="Not theirs")
    batch = propose_batch(actor=maker, now=NOW)
    assert [payout.address for payout in batch.payouts.all()] == [old]
    assert approve(batch, checker).status == "APPROVED"


def test_pa10_a_request_cancels_the_proposals_that_pay_the_partner_and_no_others(
    partner: Partner, maker: User, checker: User
) -> None:
    with_partner = propose_batch(actor=maker, now=NOW)
    other = make_partner("other", owed=7_000)
    without = propose_batch(actor=maker, now=NOW)
    version = requested(partner, NEW)
    with_partner.refresh_from_db()
    without.refresh_from_db()
    assert (with_partner.status, with_partner.cancelled_by) == ("CANCELLED", version.requested_by)
    assert with_partner.cancel_reason == "A new payout address of CB was requested."
    assert without.status == "PROPOSED"
    connection.check_constraints()
    with pytest.raises(AlreadyDecided):
        approve(with_partner, checker)
    assert [payout.partner for payout in approve(without, checker).payouts.all()] == [other]


def test_pa10_the_first_address_cancels_no_batch(maker: User, checker: User, partner: Partner) -> None:
    batch = propose_batch(actor=maker, now=NOW)
    requested(make_partner("new", has_address=False), NEW)
    assert approve(batch, checker).status == "APPROVED"


def test_threat12_an_approved_batch_is_not_exported_while_the_address_changes_and_after(
    partner: Partner, maker: User, checker: User
) -> None:
    batch = approve(propose_batch(actor=maker, now=NOW), checker)
    version = requested(partner, NEW)
    batch.refresh_from_db()
    assert batch.status == "APPROVED"
    with pytest.raises(BatchChanged, match="A new payout address of CB was requested"):
        call_data(batch)
    travel(approved(version), "0 s")
    with pytest.raises(BatchChanged, match=f"payout address of CB changed from .* to {NEW}"):
        call_data(batch)
    # After it is cancelled, the debt is paid once, to the new address.
    cancel_batch(batch_id=batch.pk, reason="Address changed", actor=checker, now=NOW)
    again = approve(propose_batch(actor=maker, now=NOW), checker)
    assert [(payout.address, payout.amount_rao) for payout in again.payouts.all()] == [(NEW, 5_000)]
    with pytest.raises(NothingToPay):
        propose_batch(actor=maker, now=NOW)


def test_threat12_a_swap_after_the_proposal_stops_the_approval_in_the_database(
    partner: Partner, maker: User, checker: User
) -> None:
    batch = propose_batch(actor=maker, now=NOW)
    decide = "UPDATE payments_batch SET status = 'APPROVED', approved_by_id = %(who)s, approved_at = now()"
    undo = "UPDATE payments_batch SET status = 'PROPOSED', cancelled_by_id = NULL, cancelled_at = NULL, cancel_reason = ''"
    version = requested(partner, NEW)
    # The request cancelled the batch; even if it had not, nothing would be approved.
    tamper(undo)
    refuse("changed since it was proposed: cb", decide, who=checker.pk)
    version = approved(version)
    refuse("changed since it was proposed: cb", decide, who=checker.pk)
    travel(version, "0 s")
    refuse("changed since it was proposed: cb", decide, who=checker.pk)
    with pytest.raises(BatchChanged, match=f"to {NEW}"):
        approve(batch, checker)


def test_threat12_no_payout_is_written_to_another_address_than_the_one_in_force(
    partner: Partner, maker: User
) -> None:
    batch = propose_batch(actor=maker, now=NOW)
    other, nowhere = make_partner("other", owed=9_000), make_partner("nowhere", has_address=False)
    old = paid_to(other)
    wrong = "not the payout address in force, or it is being changed"
    refuse(f"{wrong}: other", INSERT, PAY, partner=other.pk, address=NEW)
    refuse(f"{wrong}: other", INSERT, PAY, partner=other.pk, address="")
    refuse(f"{wrong}: nowhere", INSERT, PAY, partner=nowhere.pk, address=NEW)
    version = requested(other, NEW)
    for address in (old, NEW):
        refuse(f"{wrong}: other", INSERT, PAY, partner=other.pk, address=address)
    version = approved(version)
    travel(version, "60 s")
    for address in (old, NEW):
        refuse(f"{wrong}: other", INSERT, PAY, partner=other.pk, address=address)
    travel(version, "0 s")
    refuse(f"{wrong}: other", INSERT, PAY, partner=other.pk, address=old)
    assert Batch.objects.get() == batch
    [line] = [line for line in propose_batch(actor=maker, now=NOW).payouts.all() if line.partner == other]
    assert line.address == NEW


def test_f10_a_receiver_that_changes_between_two_runs_is_not_paid_again(
    partner: Partner, maker: User, checker: User
) -> None:
    first = approve(propose_batch(actor=maker, now=NOW), checker)
    swap_address(partner, NEW)
    with pytest.raises(NothingToPay, match="Nothing is owed that is not already reserved"):
        propose_batch(actor=maker, now=NOW)
    owe(partner, 700)
    second = propose_batch(actor=maker, now=NOW)
    assert [(p.address, p.amount_rao) for p in second.payouts.all()] == [(NEW, 700)]
    swap_address(partner, address_of(998))
    assert payable_by_partner()[partner.pk] == 700
    assert Entry.objects.filter(kind="RESERVE").count() == first.payout_count == 1


def ask_for(partner: Partner, actor: User, address: str) -> PayoutAddress:
    return payout_addresses.request_address(actor=actor, partner=partner, address=address, reason="x")


def do_at_once(*works: Callable[[], object]) -> list[object]:
    return race(len(works), lambda index: works[index]())


# --- races ------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_f13_of_many_requests_at_once_one_stands(maker: User, partner: Partner) -> None:
    results = race(
        8,
        lambda index: payout_addresses.request_address(
            actor=maker, partner=partner, address=address_of(2_000 + index), reason="x"
        ),
    )
    assert sum(isinstance(result, PayoutAddress) for result in results) == 1, results
    assert sum(isinstance(result, Refused) for result in results) == 7, results
    assert PayoutAddress.objects.filter(status="REQUESTED").count() == 1


@pytest.mark.django_db(transaction=True)
def test_f13_of_many_decisions_on_a_request_at_once_one_wins(partner: Partner) -> None:
    version = requested(partner, NEW)
    people = [make_user(f"other{index}", "approve_payoutaddress") for index in range(8)]
    payout_addresses.record_told(actor=people[0], version_id=version.pk, how="Called")
    results = race(
        8, lambda index: payout_addresses.approve_address(actor=people[index], version_id=version.pk)
    )
    winners = [result for result in results if isinstance(result, PayoutAddress)]
    assert len(winners) == 1, results
    assert sum(isinstance(result, payout_addresses.AlreadyDecided) for result in results) == 7, results
    version.refresh_from_db()
    assert version.approved_by == winners[0].approved_by


@pytest.mark.django_db(transaction=True)
def test_f13_a_request_and_an_approval_at_once_leave_nothing_that_pays_the_old_address(
    partner: Partner, maker: User, checker: User
) -> None:
    """The approval comes first and its batch is not exported, or the request does and cancels it; never a deadlock."""
    for number in range(6):
        batch = propose_batch(actor=maker, now=NOW)
        ask = partial(ask_for, partner, maker, address_of(3_000 + number))
        results = do_at_once(partial(approve, batch, checker), ask)
        assert isinstance(results[1], PayoutAddress), results
        batch.refresh_from_db()
        assert isinstance(results[0], Batch | AlreadyDecided | BatchChanged), results
        assert batch.status == ("APPROVED" if isinstance(results[0], Batch) else "CANCELLED"), results
        if batch.status == "APPROVED":
            with pytest.raises(BatchChanged, match="A new payout address"):
                call_data(batch)
            cancel_batch(batch_id=batch.pk, reason="Again", actor=checker, now=NOW)
        payout_addresses.cancel_address(actor=maker, version_id=results[1].pk, reason="Again")


@pytest.mark.django_db(transaction=True)
def test_f13_a_request_and_a_proposal_at_once_leave_no_open_batch(partner: Partner, maker: User) -> None:
    for number in range(6):
        ask = partial(ask_for, partner, maker, address_of(4_000 + number))
        results = do_at_once(partial(propose_batch, actor=maker, now=NOW), ask)
        assert isinstance(results[0], Batch | NothingToPay), results
        assert isinstance(results[1], PayoutAddress), results
        assert not Batch.objects.filter(status="PROPOSED").exists()
        payout_addresses.cancel_address(actor=maker, version_id=results[1].pk, reason="Again")
    assert Payout.objects.count() == Batch.objects.count()
    assert sql("SELECT count(*) FROM payments_batch WHERE status <> 'CANCELLED'") == [(0,)]
