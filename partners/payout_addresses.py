"""Where a partner is paid: every new address is requested, announced, approved by another person and cools off (PA10).

Whoever wants somebody else's payouts changes the address, and first the contact who would hear of it. So a request is
announced to everybody who was the partner's contact in the last 30 days, another person than the one who asked must approve
it, and it takes effect a cooling-off time after that, by the clock of the database. From the request until then nothing is
paid to the partner. The database holds each of these rules itself (migration 0011); superusers are no exception.
"""

from __future__ import annotations

from datetime import UTC, timedelta

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models.functions import Now

from chain.locks import Lock, hold
from partners.models import Partner, PayoutAddress
from partners.queries import contacts_since
from partners.services import Actor, Refused, in_turn, recorded
from partners.texts import check_reason

log = structlog.get_logger(__name__)
REQUEST = "partners.request_payoutaddress"
APPROVE = "partners.approve_payoutaddress"
REASON_LENGTH_MAX = 500
CONTACTS_OF = timedelta(days=30)
"""Everybody who was the contact within this time is told, so that changing the contact first hides nothing."""
ERROR_LENGTH_MAX = 1_000

_Status = PayoutAddress.Status
# The database writes the times, and the form of a person is none of ours.
_SET_ELSEWHERE = [
    field.name
    for field in PayoutAddress._meta.fields
    if field.name.endswith(("_at", "_by", "_from", "partner"))
]


class NotAllowed(Refused):
    """The person lacks the right, or is the one who asked. Another person is needed; a retry cannot help."""


class AlreadyDecided(Refused):
    """The request was approved or cancelled, or its address took effect. Nothing was done now."""


def begin_with_address(*, actor: Actor, partner: Partner, address: str, reason: str) -> PayoutAddress:
    """Give a partner who is being added the address that came with their agreement, in force at once.

    No page does this. The database takes it only for a partner added within ten minutes who never had an address.

    :raises Refused: when the address is none, or one of our own hotkeys.
    """
    return _insert(
        PayoutAddress(
            partner=partner,
            address=address,
            origin=PayoutAddress.Origin.START,
            status=_Status.APPROVED,
            reason=reason,
            cooling_off_hours=0,
        ),
        actor=actor,
    )


@in_turn
def request_address(*, actor: User, partner: Partner, address: str, reason: str) -> PayoutAddress:
    """Ask to pay a partner to another address; its notice is sent once the request is committed.

    Batches that are proposed and would pay the partner are cancelled by the database, because their approver would compare
    the old address.

    :raises NotAllowed: without the right to request.
    :raises Refused: without a reason, for the address in force or none at all, and while another change is under way.
    """
    _require(actor, REQUEST)
    _lock(partner.pk)
    if refusal := find_refusal(partner=partner, address=address, reason=reason):
        raise Refused(refusal)
    version = _insert(
        PayoutAddress(
            partner=partner,
            address=address,
            requested_by=actor,
            reason=reason.strip(),
            cooling_off_hours=cooling_off_hours(),
            notice_to=contacts_of(partner),
        ),
        actor=actor,
    )
    transaction.on_commit(lambda: send_notice(version_id=version.pk))
    return version


def find_refusal(*, partner: Partner, address: str, reason: str) -> str:
    """Say why an address could not be requested now; empty if it could."""
    if "\0" in address:
        return "The address holds a character that no address has (U+0000). Type it anew."
    if PayoutAddress.objects.open().filter(partner=partner).exists():
        return (
            f"A new payout address of {partner} is under way already. Cancel it before you request another."
        )
    if PayoutAddress.objects.in_force().filter(partner=partner, address=address).exists():
        return f"{partner} is paid to this address already."
    try:
        _text(reason, "why the address changes, and who of the partner asked for it")
        _validate(PayoutAddress(partner=partner, address=address, reason=reason, cooling_off_hours=0))
    except Refused as error:
        return str(error)
    return ""


def contacts_of(partner: Partner) -> list[str]:
    """List who is told of a request for a new address: every contact of the last 30 days."""
    return contacts_since(partner, CONTACTS_OF)


def cooling_off_hours() -> int:
    """How long a new address cools off in this installation."""
    hours: int = settings.RAKEBACK_ADDRESS_COOLING_OFF_HOURS
    return hours


def send_notice(*, version_id: int) -> PayoutAddress:
    """Tell the contacts of a requested address by e-mail, each in a message of their own; failures stay on the request.

    Sending again after a failure writes to all of them anew. Does nothing where they were told or the request is decided.
    """
    version = PayoutAddress.objects.select_related("partner", "requested_by").get(pk=version_id)
    if version.status != _Status.REQUESTED or version.notified_at or not version.notice_to:
        return version
    subject, body = describe_request(version)
    failures = []
    for address in version.notice_to:
        try:
            EmailMessage(subject, body, to=[address]).send()
        except (OSError, ValueError) as error:
            # smtplib's errors are OSErrors; a refused header is a ValueError.
            log.warning("partners.notice_failed", request=version_id, error=type(error).__name__)
            failures.append(f"{address}: {error}")
    waiting = PayoutAddress.objects.filter(pk=version_id, status=_Status.REQUESTED, notified_at=None)
    reason = "The contacts were told" if not failures else "The notice failed"
    with recorded(actor=None, reason=reason), transaction.atomic():
        hold(Lock.SEAL)
        if failures:
            waiting.update(notice_error="; ".join(failures)[:ERROR_LENGTH_MAX])
        else:
            waiting.update(notified_at=Now(), notice_error="")
    version.refresh_from_db()
    return version


def describe_request(version: PayoutAddress) -> tuple[str, str]:
    """Write subject and text of the notice."""
    partner = " ".join(version.partner.name.split())
    old = PayoutAddress.objects.in_force().filter(partner=version.partner).first()
    asker = (
        (version.requested_by.get_full_name() or str(version.requested_by)) if version.requested_by else ""
    )
    at = f"{version.requested_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    cooled = version.requested_at + timedelta(hours=version.cooling_off_hours)
    earliest = f"{cooled.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    body = f"""A new payout address was requested for {partner}.

Requested on:      {at}, by {asker}
Request number:    {version.pk}
Address in force:  {old.address if old else "none"}
Requested address: {version.address}
Reason given:      “{" ".join(version.reason.split())}”

A second person has to approve it, and it takes effect {version.cooling_off_hours} hours after that: not before {earliest}.
From now until then, or until the request is cancelled, nothing is paid to {partner}.

If you asked for this, compare the requested address with yours, sign by sign. There is nothing else to do.

If you did not ask for this, or the address is not yours: tell the validator at once, by telephone or another way that you
used before. Do not answer this message, and do not use a number that came with the request. Until the address takes effect
the request can be cancelled.

This message goes to every contact that was on file for {partner} in the last {CONTACTS_OF.days} days.
"""
    return f"New payout address requested for {partner}", body


@in_turn
def record_told(*, actor: User, version_id: int, how: str) -> PayoutAddress:
    """Say that the partner was told of a request by another way than the notice, as where there is no contact e-mail.

    :param how: who was told when and by which way that was known before.
    :raises NotAllowed: without the right to approve, and for the one who asked.
    :raises AlreadyDecided: when the request is decided.
    """
    _require(actor, APPROVE)
    how = _text(how, "who was told, when and how")
    version = _lock_version(version_id)
    if version.requested_by_id == actor.pk:
        raise NotAllowed("You requested this address. Another person must tell the partner.")
    if version.told_at is not None:
        raise AlreadyDecided(f"{version.told_by} told the partner already. Nothing was done.")
    with recorded(actor=actor, reason=how):
        return _move(version, _Status.REQUESTED, told_by=actor, told_how=how)


@in_turn
def approve_address(*, actor: User, version_id: int) -> PayoutAddress:
    """Approve a requested address as a second person; from the database's time now it cools off and then takes effect.

    :raises NotAllowed: without the right to approve, and for the one who asked.
    :raises AlreadyDecided: when the request is decided.
    :raises Refused: before the partner's contacts were told.
    """
    _require(actor, APPROVE)
    version = _lock_version(version_id)
    if version.requested_by_id == actor.pk:
        raise NotAllowed(
            "You requested this address. A second person with the right to approve must look at it."
        )
    if not version.is_announced:
        raise Refused(
            f"Nobody of {version.partner} was told of this request. Send the notice again, or tell them by another way and "
            "record that."
        )
    with recorded(actor=actor, reason="Approved"):
        return _move(version, _Status.REQUESTED, status=_Status.APPROVED, approved_by=actor)


@in_turn
def cancel_address(*, actor: User, version_id: int, reason: str) -> PayoutAddress:
    """Cancel a requested or approved address for good while it is not in force.

    :raises NotAllowed: without the right to request or to approve.
    :raises AlreadyDecided: when it is cancelled already or took effect.
    :raises Refused: without a reason.
    """
    _require(actor, REQUEST, APPROVE)
    reason = _text(reason, "why it is cancelled")
    version = _lock_version(version_id)
    if not PayoutAddress.objects.open().filter(pk=version.pk).exists():
        raise AlreadyDecided(_decided(version))
    with recorded(actor=actor, reason=reason):
        return _move(
            version,
            _Status(version.status),
            status=_Status.CANCELLED,
            cancelled_by=actor,
            cancel_reason=reason,
        )


def may_approve(actor: User, version: PayoutAddress) -> bool:
    """Say whether `actor` is offered to approve, or to tell the partner: a request of somebody else's."""
    return (
        version.status == _Status.REQUESTED
        and version.requested_by_id != actor.pk
        and actor.has_perm(APPROVE)
    )


def may_cancel(actor: User, version: PayoutAddress) -> bool:
    """Say whether `actor` has the right to cancel a version read by `with_stage`."""
    stages = (PayoutAddress.Stage.REQUESTED, PayoutAddress.Stage.COOLING_OFF)
    return version.stage in stages and any(map(actor.has_perm, (REQUEST, APPROVE)))


def _require(actor: User, *permissions: str) -> None:
    if not any(actor.has_perm(permission) for permission in permissions):
        raise NotAllowed(f"{actor} may not do this: it takes the permission {' or '.join(permissions)}.")


def _text(text: str, wanted: str) -> str:
    text = text.strip()
    try:
        check_reason(text)
    except ValueError as error:
        raise Refused(str(error)) from error
    if not 0 < len(text) <= REASON_LENGTH_MAX:
        raise Refused(f"Say in at most {REASON_LENGTH_MAX} characters {wanted}: it stays on the request.")
    return text


def _lock(partner_id: int) -> None:
    """Let no batch be proposed or approved for the partner meanwhile; payments lock partners first, too."""
    Partner.objects.select_for_update(no_key=True).get(pk=partner_id)


def _lock_version(version_id: int) -> PayoutAddress:
    found = PayoutAddress.objects.filter(pk=version_id).values_list("partner_id", flat=True).first()
    if found is None:
        raise Refused(f"There is no request {version_id}.")
    _lock(found)
    return PayoutAddress.objects.select_for_update(of=("self",)).select_related("partner").get(pk=version_id)


def _validate(version: PayoutAddress) -> None:
    try:
        version.clean_fields(exclude=_SET_ELSEWHERE)
        version.clean()
    except ValidationError as error:
        raise Refused("; ".join(error.messages)) from error


def _insert(version: PayoutAddress, *, actor: Actor) -> PayoutAddress:
    _validate(version)
    with recorded(actor=actor, reason=version.reason):
        version.save(force_insert=True)
    # The database wrote the times.
    version.refresh_from_db()
    return version


def _move(version: PayoutAddress, before: PayoutAddress.Status, **columns: object) -> PayoutAddress:
    """Write a step if the version still is in the state it starts from."""
    if PayoutAddress.objects.filter(pk=version.pk, status=before).update(**columns) != 1:
        raise AlreadyDecided(_decided(version))
    version.refresh_from_db()
    return version


def _decided(version: PayoutAddress) -> str:
    what = {
        _Status.CANCELLED: "is cancelled",
        _Status.APPROVED: "is approved",
        _Status.REQUESTED: "waits for approval",
    }[_Status(version.status)]
    return f"The address {version.address} of {version.partner} {what} already. Nothing was done."
