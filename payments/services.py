"""The writes of payments: propose, approve, cancel. Nothing is sent by this app.

Each decision is one transaction that locks what it decides on and reads it again. Two people are needed for
every rao: who proposes cannot approve, whatever rights they have.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from chain.locks import Lock, hold
from ledger import services as ledger_services
from ledger.models import Period
from partners.models import Partner
from partners.texts import check_reason
from payments.calls import encode_checked, latest_codec
from payments.models import Batch, Payout
from payments.queries import find_changes, find_obstacle, find_uncovered, hash_batch, last_period, plan_due

PROPOSE = "payments.propose_batch"
APPROVE = "payments.approve_batch"
_RIGHTS_TO_CANCEL = {Batch.Status.PROPOSED: (PROPOSE, APPROVE), Batch.Status.APPROVED: (APPROVE,)}


class PaymentError(Exception):
    """A batch could not be proposed or decided. The message says what to do next."""


class NotAllowed(PaymentError):
    """The person lacks the right, or is the one who proposed. Another person is needed; a retry cannot help."""


class NothingToPay(PaymentError):
    """No partner can be paid now; the message lists each with the reason."""


class NotHere(PaymentError):
    """This installation's chain is not one that payouts are made on. Export the statements instead."""


class PlanChanged(PaymentError):
    """What is due is not what was previewed. Look at it again and confirm anew."""


class BatchChanged(PaymentError):
    """The batch is not what it was when proposed, or not what the approver saw. Cancel it and propose anew."""


class AlreadyDecided(PaymentError):
    """Someone else approved or cancelled the batch meanwhile. Nothing was done now."""


def _require(actor: User, *permissions: str) -> None:
    if not any(actor.has_perm(permission) for permission in permissions):
        names = " or ".join(permissions)
        raise NotAllowed(f"{actor} may not do this: it takes the permission {names}.")


@transaction.atomic
def propose_batch(
    *, actor: User, now: datetime, through: Period | None = None, expected_hash: str | None = None
) -> Batch:
    """Propose to pay everyone what is due after `through` (default: the last closed period).

    :param expected_hash: the content hash of the preview that was confirmed; None proposes what is due now.
    :raises NotAllowed: without the permission to propose.
    :raises NotHere: where the installation holds a chain that payouts are not made on.
    :raises NothingToPay: listing each partner with the reason why not.
    :raises PlanChanged: when what is due no longer has the expected hash.
    """
    _require(actor, PROPOSE)
    if obstacle := find_obstacle():
        raise NotHere(obstacle)
    hold(Lock.PROPOSE)
    # Held until commit, so that no address changes between the plan and the payouts.
    _lock_partners(Partner.objects.all())
    through = through or last_period()
    if through is None:
        raise NothingToPay("No period is closed yet. Close a day first; then what it owes can be paid.")
    preview = plan_due(now=now, through=through)
    plan = preview.plan
    if preview.content_hash is None:
        reasons = " ".join(f"{skip.name}: {skip.text}" for skip in plan.skipped)
        raise NothingToPay(f"Nobody can be paid now. {reasons or 'There are no partners.'}")
    if expected_hash is not None and expected_hash != preview.content_hash:
        raise PlanChanged(
            "What is due changed since you looked. Nothing was proposed; look again and confirm."
        )
    batch = Batch.objects.create(
        through=through,
        content_hash=preview.content_hash,
        payout_count=len(plan.lines),
        total_rao=plan.total_rao,
        proposed_at=now,
        proposed_by=actor,
    )
    Payout.objects.bulk_create(
        Payout(batch=batch, partner_id=line.partner_id, address=line.address, amount_rao=line.amount_rao)
        for line in plan.lines
    )
    return batch


@transaction.atomic
def approve_batch(*, batch_id: int, content_hash: str, actor: User, now: datetime) -> Batch:
    """Approve a proposed batch as a second person, and reserve each payout in the ledger.

    :param content_hash: what the approver saw on the confirmation page.
    :raises NotAllowed: without the permission to approve, and for the proposer.
    :raises AlreadyDecided: when the batch is no longer proposed.
    :raises BatchChanged: saying what changed since it was proposed.
    """
    _require(actor, APPROVE)
    # Partners first, then the batch, as whoever requests a new address and by that cancels the batch.
    _lock_partners(Partner.objects.filter(payouts__batch=batch_id))
    batch = _lock_batch(batch_id)
    if batch.proposed_by_id == actor.pk:
        raise NotAllowed(f"You proposed {batch}. A second person with the right to approve must look at it.")
    if batch.status != Batch.Status.PROPOSED:
        raise AlreadyDecided(f"{batch} is {batch.get_status_display().lower()} already. Nothing was done.")
    changes = find_changes(batch) + find_uncovered(batch)
    if changes:
        raise BatchChanged(f"{batch} was not approved. {' '.join(changes)} Cancel it and propose a new one.")
    if not content_hash == batch.content_hash == hash_batch(batch):
        raise BatchChanged(
            f"{batch} is not what you were shown: its hash differs. Open it again and compare."
        )
    for payout in batch.payouts.select_related("partner").order_by("partner_id"):
        ledger_services.reserve_payout(
            payout_id=payout.pk, partner=payout.partner, amount_rao=payout.amount_rao, actor=actor, now=now
        )
    _swap(batch, Batch.Status.APPROVED, approved_by=actor, approved_at=now)
    return batch


@transaction.atomic
def cancel_batch(*, batch_id: int, reason: str, actor: User, now: datetime) -> Batch:
    """Cancel a batch for good; what an approved one reserved is owed again.

    Who may propose or approve can cancel a proposed batch; an approved one takes the right to approve.

    :raises NotAllowed: without that right.
    :raises AlreadyDecided: when the batch is cancelled already.
    :raises PaymentError: without a reason, or with one that is too long to be kept or hides what it says.
    """
    batch = _lock_batch(batch_id)
    was_approved = batch.status == Batch.Status.APPROVED
    _require(actor, *_RIGHTS_TO_CANCEL.get(Batch.Status(batch.status), (PROPOSE, APPROVE)))
    if batch.status == Batch.Status.CANCELLED:
        raise AlreadyDecided(f"{batch} is cancelled already. Nothing was done.")
    reason = reason.strip()
    if not 0 < len(reason) <= 200:
        raise PaymentError("Give a reason of at most 200 characters: it stays on the batch.")
    try:
        check_reason(reason)
    except ValueError as error:
        raise PaymentError(str(error)) from error
    if was_approved:
        for payout in batch.payouts.order_by("partner_id"):
            ledger_services.release_payout(payout_id=payout.pk, actor=actor, now=now, reason=reason)
    _swap(batch, Batch.Status.CANCELLED, cancelled_by=actor, cancelled_at=now, cancel_reason=reason)
    return batch


def _lock_partners(partners: QuerySet[Partner]) -> None:
    list(partners.order_by("id").select_for_update(no_key=True, of=("self",)).values_list("id"))


def _lock_batch(batch_id: int) -> Batch:
    batch = Batch.objects.select_for_update().filter(pk=batch_id).first()
    if batch is None:
        raise PaymentError(f"There is no batch {batch_id}.")
    return batch


def _swap(batch: Batch, status: Batch.Status, **columns: object) -> None:
    """Write a decision if nobody decided since `batch` was read."""
    rows = Batch.objects.filter(pk=batch.pk, status=batch.status)
    if rows.update(status=status, **columns) != 1:
        raise AlreadyDecided(f"{batch} was decided by someone else meanwhile. Nothing was done.")
    batch.refresh_from_db()


def call_data(batch: Batch) -> str:
    """Write an approved batch as 0x call data of `Utility.batch_all` of `Balances.transfer_keep_alive`.

    :raises BatchChanged: unless the batch is approved and still is what was approved.
    :raises CallDataError: when the bytes cannot be made or do not decode to the payouts.
    """
    if batch.status != Batch.Status.APPROVED:
        raise BatchChanged(
            f"{batch} is {batch.get_status_display().lower()}: only an approved batch is exported."
        )
    changes = find_changes(batch)
    if changes:
        raise BatchChanged(f"{batch} is not exported. {' '.join(changes)} Cancel it and propose a new one.")
    payouts = batch.payouts.order_by("partner_id").values_list("address", "amount_rao")
    return encode_checked(latest_codec(), list(payouts))


def may_approve(batch: Batch, actor: User) -> bool:
    """Say whether the admin offers `actor` to approve: a proposed batch of somebody else's."""
    return (
        batch.status == Batch.Status.PROPOSED and batch.proposed_by_id != actor.pk and actor.has_perm(APPROVE)
    )


def may_cancel(batch: Batch, actor: User) -> bool:
    """Say whether `actor` has the right to cancel the batch as it is now."""
    return any(actor.has_perm(right) for right in _RIGHTS_TO_CANCEL.get(Batch.Status(batch.status), ()))
