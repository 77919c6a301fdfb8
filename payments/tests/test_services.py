"""Propose, approve, cancel: two people, what was seen is what is approved, and one winner of every race."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections

from ledger.models import Entry, Posting
from ledger.queries import payable_by_partner
from ledger.services import reserve_payout
from partners.models import Partner
from payments.models import Batch, Payout
from payments.services import (
    AlreadyDecided,
    BatchChanged,
    NotAllowed,
    NotHere,
    NothingToPay,
    PaymentError,
    PlanChanged,
    approve_batch,
    cancel_batch,
    propose_batch,
)
from payments.tests.factories import NOW, make_partner, make_user, owe
from tests.guards import tamper

pytestmark = pytest.mark.django_db


@pytest.fixture
def maker() -> User:
    return make_user("maker", "propose_batch")


@pytest.fixture
def checker() -> User:
    return make_user("checker", "approve_batch")


@pytest.fixture
def batch(maker: User) -> Batch:
    make_partner("cb", owed=5_000_000_000)
    make_partner("talisman", owed=7_000_000_001)
    return propose_batch(actor=maker, now=NOW)


def approve(batch: Batch, actor: User) -> Batch:
    return approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=actor, now=NOW)


def cancel(batch: Batch, actor: User, reason: str = "Wrong month") -> Batch:
    return cancel_batch(batch_id=batch.pk, reason=reason, actor=actor, now=NOW)


def state() -> list[object]:
    """Everything that a refused write must leave as it was."""
    return [
        list(Batch.objects.order_by("id").values_list()),
        list(Payout.objects.order_by("id").values_list()),
        list(Entry.objects.order_by("id").values_list()),
        list(Posting.objects.order_by("id").values_list()),
    ]


def test_py1_propose_approve_reserves_everything(batch: Batch, checker: User) -> None:
    assert (batch.status, batch.payout_count, batch.total_rao) == ("PROPOSED", 2, 12_000_000_001)
    assert not Entry.objects.filter(kind="RESERVE").exists()
    approved = approve(batch, checker)
    assert (approved.status, approved.approved_by, approved.approved_at) == ("APPROVED", checker, NOW)
    keys = {f"reserve:{payout.pk}" for payout in batch.payouts.all()}
    assert set(Entry.objects.filter(kind="RESERVE").values_list("key", flat=True)) == keys
    assert set(payable_by_partner().values()) <= {0}
    connection.check_constraints()


def test_ch8_nothing_is_proposed_where_payouts_are_not_made(maker: User) -> None:
    make_partner("cb", owed=5_000_000_000)
    tamper("UPDATE chain_network SET family = 'SOLANA', ss58_prefix = NULL")
    before = state()
    with pytest.raises(
        NotHere, match=r"payouts are made on Bittensor only\. What is owed is in the statements"
    ):
        propose_batch(actor=maker, now=NOW)
    assert state() == before


def test_py1_nobody_is_skipped_in_silence(maker: User) -> None:
    make_partner("paid", owed=1_000)
    make_partner("paused", owed=1_000, status=Partner.Status.PAUSED)
    make_partner("nowhere", owed=1_000, has_address=False)
    make_partner("small", owed=1_000, minimum=1_001)
    make_partner("idle")
    batch = propose_batch(actor=maker, now=NOW)
    assert [payout.partner.slug for payout in batch.payouts.all()] == ["paid"]
    with pytest.raises(NothingToPay) as refused:
        propose_batch(actor=maker, now=NOW)
    for name in (
        "PAID: A proposed batch",
        "PAUSED: The partner is paused",
        "NOWHERE: No payout",
        "SMALL: Below",
    ):
        assert name in str(refused.value)
    assert "IDLE: Nothing is owed" in str(refused.value)


def test_py1_nothing_is_proposed_before_a_period_closed(maker: User) -> None:
    with pytest.raises(NothingToPay, match="No period is closed yet"):
        propose_batch(actor=maker, now=NOW)


def test_py1_what_was_previewed_is_what_is_proposed(maker: User) -> None:
    partner = make_partner("cb", owed=5_000)
    with pytest.raises(PlanChanged):
        propose_batch(actor=maker, now=NOW, expected_hash="0" * 64)
    owe(partner, 1)
    assert not Batch.objects.exists()


def test_f5_what_is_reserved_is_not_proposed_again(batch: Batch, maker: User, checker: User) -> None:
    approve(batch, checker)
    with pytest.raises(NothingToPay):
        propose_batch(actor=maker, now=NOW)
    owe(Partner.objects.get(slug="cb"), 900)
    assert propose_batch(actor=maker, now=NOW).total_rao == 900


@pytest.mark.parametrize("permissions", [[], ["view_batch"], ["approve_batch"]])
def test_threat5_proposing_takes_the_right_to(permissions: list[str]) -> None:
    make_partner("cb", owed=5_000)
    before = state()
    with pytest.raises(NotAllowed):
        propose_batch(actor=make_user("other", *permissions), now=NOW)
    assert state() == before


@pytest.mark.parametrize("permissions", [[], ["view_batch"], ["propose_batch"], ["change_batch"]])
def test_threat5_approving_takes_the_right_to(batch: Batch, permissions: list[str]) -> None:
    before = state()
    with pytest.raises(NotAllowed):
        approve(batch, make_user("other", *permissions))
    assert state() == before


def test_threat5_nobody_approves_their_own_batch_not_even_a_superuser(checker: User) -> None:
    make_partner("cb", owed=5_000)
    root = make_user("root", is_superuser=True)
    batch = propose_batch(actor=root, now=NOW)
    before = state()
    with pytest.raises(NotAllowed, match="second person"):
        approve(batch, root)
    assert state() == before
    assert approve(batch, checker).status == "APPROVED"


def test_threat5_a_disabled_account_approves_nothing(batch: Batch, checker: User) -> None:
    checker.is_active = False
    checker.save()
    with pytest.raises(NotAllowed):
        approve(batch, User.objects.get(pk=checker.pk))


def test_p2_the_hash_from_the_page_must_be_the_batch(batch: Batch, checker: User) -> None:
    before = state()
    for other in ("", "0" * 64, batch.content_hash.upper()):
        with pytest.raises(BatchChanged, match="hash differs"):
            approve_batch(batch_id=batch.pk, content_hash=other, actor=checker, now=NOW)
    assert state() == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": "PAUSED"}, "CB is no longer active"),
        ({"slug": "other"}, "no longer gives its hash"),
    ],
)
def test_p2_a_change_since_the_proposal_voids_it(
    batch: Batch, checker: User, change: dict[str, str], told: str
) -> None:
    Partner.objects.filter(slug="cb").update(**change)
    before = state()
    with pytest.raises(BatchChanged, match=told):
        approve(batch, checker)
    assert state() == before


def test_l5_what_is_no_longer_owed_is_not_approved(batch: Batch, checker: User) -> None:
    # Another payout reserved one rao meanwhile.
    reserve_payout(
        payout_id=10**9, partner=Partner.objects.get(slug="cb"), amount_rao=1, actor=checker, now=NOW
    )
    before = state()
    with pytest.raises(BatchChanged, match=r"CB is owed 4\.999999999 TAO now"):
        approve(batch, checker)
    assert state() == before


def test_py1_cancelling_a_proposal_frees_the_partners(batch: Batch, maker: User) -> None:
    cancelled = cancel(batch, maker)
    assert (cancelled.status, cancelled.cancelled_by, cancelled.cancel_reason) == (
        "CANCELLED",
        maker,
        "Wrong month",
    )
    assert propose_batch(actor=maker, now=NOW).total_rao == batch.total_rao
    connection.check_constraints()


def test_py1_cancelling_an_approval_gives_back_what_it_reserved(batch: Batch, checker: User) -> None:
    before = payable_by_partner()
    approve(batch, checker)
    cancelled = cancel(batch, checker)
    assert (cancelled.status, cancelled.approved_by) == ("CANCELLED", checker)
    assert payable_by_partner() == before
    connection.check_constraints()


def test_threat5_who_proposes_cannot_undo_an_approval(batch: Batch, maker: User, checker: User) -> None:
    with pytest.raises(NotAllowed):
        cancel(batch, make_user("viewer", "view_batch"))
    approve(batch, checker)
    before = state()
    with pytest.raises(NotAllowed):
        cancel(batch, maker)
    assert state() == before


@pytest.mark.parametrize("reason", ["", " \n", "x" * 201, "Wrong \u202emonth"])
def test_py1_cancelling_needs_a_reason_that_fits(batch: Batch, maker: User, reason: str) -> None:
    with pytest.raises(PaymentError, match="reason"):
        cancel(batch, maker, reason)
    batch.refresh_from_db()
    assert batch.status == "PROPOSED"


def test_f8_what_is_decided_stays_decided(batch: Batch, maker: User, checker: User) -> None:
    approve(batch, checker)
    with pytest.raises(AlreadyDecided):
        approve(batch, checker)
    cancel(batch, checker)
    before = state()
    with pytest.raises(AlreadyDecided):
        approve(batch, checker)
    with pytest.raises(AlreadyDecided):
        cancel(batch, maker)
    with pytest.raises(PaymentError, match="no batch"):
        cancel_batch(batch_id=0, reason="x", actor=checker, now=NOW)
    assert state() == before


def race(count: int, work: Callable[[int], object]) -> list[object]:
    """Start `work` in threads at once; return what each returned or raised."""
    start = threading.Barrier(count)
    results: list[object] = [None] * count

    def run(index: int) -> None:
        start.wait()
        try:
            results[index] = work(index)
        except Exception as error:  # noqa: BLE001 - the test looks at what was raised
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


@pytest.mark.django_db(transaction=True)
def test_f13_of_eight_approvals_at_once_one_wins(maker: User) -> None:
    make_partner("cb", owed=5_000)
    batch = propose_batch(actor=maker, now=NOW)
    checkers = [make_user(f"checker{index}", "approve_batch") for index in range(8)]
    results = race(8, lambda index: approve(batch, checkers[index]))
    winners = [result for result in results if isinstance(result, Batch)]
    assert len(winners) == 1, results
    assert sum(isinstance(result, AlreadyDecided) for result in results) == 7, results
    batch.refresh_from_db()
    assert batch.approved_by == winners[0].approved_by
    assert Entry.objects.filter(kind="RESERVE").count() == 1
    assert payable_by_partner().get(Partner.objects.get().pk, 0) == 0


@pytest.mark.django_db(transaction=True)
def test_f13_approval_and_cancellation_at_once_leave_one_outcome(maker: User, checker: User) -> None:
    make_partner("cb", owed=5_000)
    batch = propose_batch(actor=maker, now=NOW)
    works: list[Callable[[], object]] = [lambda: approve(batch, checker), lambda: cancel(batch, maker)]
    results = race(8, lambda index: works[index % 2]())
    batch.refresh_from_db()
    assert sum(isinstance(result, Batch) for result in results) == 1, results
    reserved = Entry.objects.filter(kind="RESERVE").count()
    assert (batch.status, reserved) in {("APPROVED", 1), ("CANCELLED", 0)}


@pytest.mark.django_db(transaction=True)
def test_f1_of_many_proposals_at_once_one_pays(maker: User) -> None:
    make_partner("cb", owed=5_000)
    make_partner("talisman", owed=6_000)
    results = race(8, lambda _index: propose_batch(actor=maker, now=NOW))
    assert sum(isinstance(result, Batch) for result in results) == 1, results
    assert sum(isinstance(result, NothingToPay) for result in results) == 7, results
    assert Payout.objects.count() == 2
