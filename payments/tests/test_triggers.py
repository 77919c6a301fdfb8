"""Raw SQL against every constraint and trigger of payments: what the code never does, the database refuses."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from partners.models import Partner
from partners.tests.factories import paid_to
from payments.models import Batch, Payout
from payments.services import approve_batch, cancel_batch, propose_batch
from payments.tests.factories import NOW, address_of, make_partner, make_user
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
    make_partner("cb", owed=5_000)
    make_partner("talisman", owed=7_000)
    batch = propose_batch(actor=maker, now=NOW)
    connection.check_constraints()
    return batch


def run(*statements: str, **values: str | int) -> None:
    """Run statements in one transaction, with the checks that wait for its commit."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def refuse(message: str, *statements: str, **values: str | int) -> None:
    before = _everything()
    with pytest.raises(DatabaseError, match=message):
        run(*statements, **values)
    assert _everything() == before


def _everything() -> list[object]:
    return [list(Batch.objects.order_by("id").values()), list(Payout.objects.order_by("id").values())]


APPROVE = "UPDATE payments_batch SET status = 'APPROVED', approved_by_id = %(who)s, approved_at = now()"
INSERT = """
INSERT INTO payments_batch (status, through_id, content_hash, payout_count, total_rao, proposed_at, proposed_by_id,
    approved_by_id, approved_at, cancelled_by_id, cancelled_at, cancel_reason)
SELECT 'PROPOSED', through_id, content_hash, 1, 9000, now(), proposed_by_id, NULL, NULL, NULL, NULL, ''
FROM payments_batch
"""
PAY = """
INSERT INTO payments_payout (batch_id, partner_id, address, amount_rao)
VALUES ((SELECT max(id) FROM payments_batch), %(partner)s, %(address)s, 9000)
"""


def test_p2_self_approval_is_refused_in_one_step_and_in_two(batch: Batch, maker: User, checker: User) -> None:
    own = {"who": maker.pk, "other": checker.pk}
    refuse("batch_approver_is_not_proposer", APPROVE, **own)
    refuse("by whom, cannot change", "UPDATE payments_batch SET proposed_by_id = %(other)s", APPROVE, **own)
    refuse("by whom, cannot change", f"{APPROVE}, proposed_by_id = %(other)s", **own)
    refuse("cannot go from APPROVED to APPROVED", APPROVE.replace("%(who)s", "%(other)s"), APPROVE, **own)
    refuse("cannot go from PROPOSED to PROPOSED", "UPDATE payments_batch SET approved_by_id = %(who)s", **own)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'APPROVED'",
        "status = 'APPROVED', approved_by_id = NULL, approved_at = now()",
        "status = 'APPROVED', approved_by_id = %(who)s, approved_at = NULL",
        "status = NULL, approved_by_id = %(who)s, approved_at = now()",
        "status = 'PAID', approved_by_id = %(who)s, approved_at = now()",
        "status = 'CANCELLED', cancelled_at = now(), cancel_reason = 'x'",
        "status = 'CANCELLED', cancelled_by_id = %(who)s, cancel_reason = 'x'",
        "status = 'CANCELLED', cancelled_by_id = %(who)s, cancelled_at = now(), cancel_reason = ' '",
        "status = 'CANCELLED', cancelled_by_id = %(who)s, cancelled_at = now(), cancel_reason = NULL",
        "status = 'CANCELLED', cancelled_by_id = %(who)s, cancelled_at = now(), cancel_reason = 'x', approved_at = now()",
    ],
)
def test_p1_half_written_decisions_are_refused(batch: Batch, checker: User, change: str) -> None:
    refuse(
        "batch_status_fits_people|null value|cannot go|approval|a reason",
        f"UPDATE payments_batch SET {change}",
        who=checker.pk,
    )


@pytest.mark.parametrize(
    "change",
    [
        "id = id + 1000",
        "content_hash = repeat('0', 64)",
        "payout_count = 3",
        "total_rao = total_rao + 1",
        "total_rao = NULL",
        "through_id = NULL",
        "proposed_at = proposed_at - interval '1 day'",
        "proposed_by_id = %(who)s",
        "proposed_by_id = NULL",
    ],
)
def test_p2_what_was_proposed_is_frozen(batch: Batch, checker: User, change: str) -> None:
    cancel = "status = 'CANCELLED', cancelled_by_id = %(who)s, cancelled_at = now(), cancel_reason = 'x'"
    for statement in (f"UPDATE payments_batch SET {change}", f"UPDATE payments_batch SET {change}, {cancel}"):
        refuse("cannot change", statement, who=checker.pk)


def test_p1_only_forwards(batch: Batch, maker: User, checker: User) -> None:
    approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=checker, now=NOW)
    back = "UPDATE payments_batch SET status = 'PROPOSED', approved_by_id = NULL, approved_at = NULL"
    refuse("cannot go from APPROVED to PROPOSED", back)
    rewrite = "cancelled_by_id = %(who)s, cancelled_at = now(), cancel_reason = 'x', approved_by_id = NULL"
    refuse("leaves the approval", f"UPDATE payments_batch SET status = 'CANCELLED', {rewrite}", who=maker.pk)
    cancel_batch(batch_id=batch.pk, reason="Test", actor=checker, now=NOW)
    connection.check_constraints()
    refuse("cannot go from CANCELLED to PROPOSED", f"{back}, cancelled_by_id = NULL, cancelled_at = NULL")
    refuse("cannot go from CANCELLED to APPROVED", APPROVE, who=checker.pk)


def test_l5_decisions_need_their_ledger_entries(batch: Batch, checker: User) -> None:
    refuse("reserved 0 and released 0 of its 2", APPROVE, who=checker.pk)
    approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=checker, now=NOW)
    cancel = "cancelled_by_id = %(who)s, cancelled_at = now(), cancel_reason = 'x'"
    refuse(
        "reserved 2 and released 0 of its 2",
        f"UPDATE payments_batch SET status = 'CANCELLED', {cancel}",
        who=checker.pk,
    )


def test_threat12_an_address_swapped_after_the_proposal_stops_the_approval(
    batch: Batch, checker: User
) -> None:
    tamper(
        "UPDATE partners_payoutaddress SET address = %s WHERE partner_id = (SELECT id FROM partners_partner"
        " WHERE slug = 'cb')",
        address_of(99),
    )
    refuse("changed since it was proposed: cb", APPROVE, who=checker.pk)
    Partner.objects.filter(slug="talisman").update(status="PAUSED")
    refuse("changed since it was proposed: cb, talisman", APPROVE, who=checker.pk)


def test_p1_a_batch_starts_proposed_and_undecided(batch: Batch, checker: User) -> None:
    who = {"who": checker.pk}
    refuse("starts as PROPOSED", INSERT.replace("'PROPOSED'", "'APPROVED'"), **who)
    refuse(
        "starts as PROPOSED",
        INSERT.replace("NULL, NULL, NULL, NULL, ''", "%(who)s, now(), NULL, NULL, ''"),
        **who,
    )
    refuse(
        "starts as PROPOSED",
        INSERT.replace("NULL, NULL, NULL, NULL, ''", "NULL, NULL, %(who)s, now(), ''"),
        **who,
    )
    refuse("starts as PROPOSED", INSERT.replace("NULL, ''", "NULL, 'x'"), **who)


def test_p2_head_and_payouts_agree_at_commit(batch: Batch) -> None:
    partner = make_partner("new")
    values: dict[str, str | int] = {"partner": partner.pk, "address": paid_to(partner)}
    refuse("says 1 payouts of 9000 rao, has 0 of 0", INSERT)
    refuse("says 1 payouts of 9001 rao", INSERT.replace("9000", "9001"), PAY, **values)
    refuse("says 2 payouts of 9000 rao", INSERT.replace("1, 9000", "2, 9000"), PAY, **values)
    refuse("batch_pays_something", INSERT.replace("1, 9000", "0, 0"))
    refuse("payout_amount_positive", INSERT, PAY.replace("9000", "0"), **values)
    run(INSERT, PAY, **values)
    assert Batch.objects.count() == 2


def test_p2_a_batch_is_sealed_with_its_payouts(batch: Batch, checker: User) -> None:
    partner = make_partner("late")
    values: dict[str, str | int] = {"partner": partner.pk, "address": paid_to(partner)}
    values["other"] = make_partner("later").pk
    refuse("is complete and takes no more", PAY, **values)
    second = PAY.replace("%(partner)s", "%(other)s")
    refuse("is complete", INSERT, PAY, "SET CONSTRAINTS ALL IMMEDIATE", second, **values)
    approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=checker, now=NOW)
    refuse("is complete and takes no more", PAY, **values)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments_payout SET amount_rao = amount_rao + 1",
        "UPDATE payments_payout SET address = %(address)s",
        "UPDATE payments_payout SET amount_rao = amount_rao",
        "DELETE FROM payments_payout",
        "TRUNCATE payments_payout",
        "DELETE FROM payments_batch",
        "TRUNCATE payments_batch CASCADE",
    ],
)
def test_p2_payouts_and_batches_are_never_edited_or_removed(batch: Batch, statement: str) -> None:
    # Postgres will not truncate a table with checks still waiting for commit.
    run("SELECT 1")
    refuse("never (changed or )?removed", statement, address=address_of(99))


def test_p3_one_proposed_payout_per_partner(batch: Batch, checker: User) -> None:
    partner = Partner.objects.get(slug="cb")
    values: dict[str, str | int] = {"partner": partner.pk, "address": paid_to(partner)}
    refuse("already in a proposed batch: cb", INSERT, PAY, **values)
    other = make_partner("new")
    new: dict[str, str | int] = {"partner": other.pk, "address": paid_to(other)}
    refuse("payout_one_per_partner_and_batch", INSERT.replace("1, 9000", "2, 18000"), PAY, PAY, **new)
    approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=checker, now=NOW)
    run(INSERT, PAY, **values)
    refuse(
        "already in a proposed batch: cb",
        INSERT + " WHERE id = (SELECT max(id) FROM payments_batch)",
        PAY,
        **values,
    )


@pytest.mark.django_db(transaction=True)
def test_p3_an_old_snapshot_cannot_hide_a_proposed_payout(maker: User) -> None:
    partner = make_partner("cb", owed=5_000)
    propose_batch(actor=maker, now=NOW)
    repeatable = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    refuse("READ COMMITTED", repeatable, INSERT, PAY, partner=partner.pk, address=paid_to(partner))
