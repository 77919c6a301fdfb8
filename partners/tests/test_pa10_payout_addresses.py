"""A new payout address: two people, told contacts, cooling-off by the database's clock (PA10, threat 12)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.mail import EmailMessage
from django.core.mail.backends.locmem import EmailBackend
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from chain.models import Hotkey
from partners import history
from partners.models import AgreementTemplate, Change, Partner, PayoutAddress
from partners.payout_addresses import (
    AlreadyDecided,
    NotAllowed,
    approve_address,
    begin_with_address,
    cancel_address,
    record_told,
    request_address,
    send_notice,
)
from partners.queries import contacts_since
from partners.sealing import check_history
from partners.services import Refused
from partners.tests.factories import (
    address,
    approved,
    begin,
    make_partner,
    make_user,
    paid_to,
    requested,
    swap_address,
    travel,
)
from tests.guards import sql, tamper

pytestmark = pytest.mark.django_db
OLD, NEW, THIRD = address(1), address(2), address(3)
REQUEST_RIGHT, APPROVE_RIGHT = "request_payoutaddress", "approve_payoutaddress"


@pytest.fixture
def partner() -> Partner:
    partner = make_partner()
    Partner.objects.filter(pk=partner.pk).update(contact_email="old@creative.example")
    partner.refresh_from_db()
    begin(partner, OLD)
    return partner


@pytest.fixture
def asker() -> User:
    return make_user(rights=(REQUEST_RIGHT,), name="olivia")


@pytest.fixture
def other() -> User:
    return make_user(rights=(APPROVE_RIGHT,), name="adam")


@pytest.fixture
def version(partner: Partner, asker: User, django_capture_on_commit_callbacks: Any) -> PayoutAddress:
    """A request whose notice went out."""
    with django_capture_on_commit_callbacks(execute=True):
        version = request_address(
            actor=asker, partner=partner, address=NEW, reason="They lost the old wallet"
        )
    version.refresh_from_db()
    return version


def rows() -> list[Any]:
    return list(PayoutAddress.objects.order_by("id").values())


def refuse(said: str, statement: str, *values: object) -> None:
    """Expect the database to refuse one statement, at once or at commit, and that nothing changed."""
    before = rows()
    with pytest.raises(DatabaseError, match=said), transaction.atomic():  # noqa: PT012
        sql(statement, *values)
        connection.check_constraints()
    assert rows() == before


# --- the way of an address --------------------------------------------------------------------------------


def test_pa10_requested_announced_approved_by_another_cooled_off_in_force(
    partner: Partner, version: PayoutAddress, other: User, mailoutbox: list[EmailMessage]
) -> None:
    assert (version.status, version.address, paid_to(partner)) == ("REQUESTED", NEW, OLD)
    [mail] = mailoutbox
    assert mail.to == ["old@creative.example"]
    assert mail.subject == "New payout address requested for Creative Builds"
    for text in (
        OLD,
        NEW,
        "olivia",
        "They lost the old wallet",
        "72 hours after that",
        f"number:    {version.pk}",
    ):
        assert text in mail.body
    assert version.notified_at is not None

    done = approve_address(actor=other, version_id=version.pk)
    assert (done.status, done.approved_by) == ("APPROVED", other)
    assert done.approved_at is not None
    assert done.effective_from == done.approved_at + timedelta(hours=72)
    assert paid_to(partner) == OLD

    travel(done, "0 s")
    assert paid_to(partner) == NEW
    stages = {v.address: v.stage.value for v in PayoutAddress.objects.with_stage()}
    assert stages == {OLD: "REPLACED", NEW: "IN_FORCE"}


def test_pa10_an_address_takes_effect_at_its_moment_by_the_databases_clock_and_not_before(
    partner: Partner,
) -> None:
    version = approved(requested(partner, NEW))
    travel(version, "1.5 s")
    version.refresh_from_db()
    assert version.effective_from is not None
    last_refused, allowed = None, None
    while allowed is None:
        [(clock, in_force, changing)] = sql(
            "SELECT statement_timestamp(), partners_address_in_force(%s), partners_address_is_changing(%s)",
            partner.pk,
            partner.pk,
        )
        assert isinstance(clock, datetime)
        assert (in_force, changing) in {(OLD, True), (NEW, False)}
        if in_force == NEW:
            allowed = clock
        else:
            last_refused = clock
            time.sleep(0.05)
    assert last_refused is not None
    assert last_refused < version.effective_from <= allowed
    assert paid_to(partner) == NEW


def test_pa10_the_first_address_takes_two_people_and_the_same_time(asker: User, other: User) -> None:
    partner = make_partner()
    version = request_address(actor=asker, partner=partner, address=NEW, reason="Signed")
    assert not PayoutAddress.objects.in_force().exists()
    record_told(actor=other, version_id=version.pk, how="Called Kim at the number in the contract")
    done = approve_address(actor=other, version_id=version.pk)
    assert done.approved_at is not None
    assert done.effective_from == done.approved_at + timedelta(hours=72)
    assert not PayoutAddress.objects.in_force().exists()


def test_pa10_the_length_of_the_cooling_off_is_set_and_kept_on_the_request(
    partner: Partner, asker: User, other: User, settings: Any
) -> None:
    settings.RAKEBACK_ADDRESS_COOLING_OFF_HOURS = 96
    version = request_address(actor=asker, partner=partner, address=NEW, reason="New wallet")
    settings.RAKEBACK_ADDRESS_COOLING_OFF_HOURS = 48
    record_told(actor=other, version_id=version.pk, how="By telephone")
    done = approve_address(actor=other, version_id=version.pk)
    assert done.approved_at is not None
    assert done.effective_from == done.approved_at + timedelta(hours=96)


def test_pa10_cancelled_before_and_after_approval_and_not_once_in_force(
    partner: Partner, version: PayoutAddress, asker: User, other: User
) -> None:
    cancel_address(actor=asker, version_id=version.pk, reason="Not asked for")
    version.refresh_from_db()
    assert (version.status, version.cancelled_by, version.cancel_reason) == (
        "CANCELLED",
        asker,
        "Not asked for",
    )
    second = approved(requested(partner, NEW))
    cancel_address(actor=other, version_id=second.pk, reason="The partner called")
    assert paid_to(partner) == OLD
    third = swap_address(partner, THIRD)
    before = rows()
    with pytest.raises(AlreadyDecided, match="is approved already"):
        cancel_address(actor=other, version_id=third.pk, reason="Too late")
    with pytest.raises(AlreadyDecided, match="is cancelled already"):
        cancel_address(actor=other, version_id=second.pk, reason="Again")
    with pytest.raises(AlreadyDecided):
        approve_address(actor=other, version_id=second.pk)
    with pytest.raises(AlreadyDecided):
        record_told(actor=make_user(rights=(APPROVE_RIGHT,), name="third"), version_id=version.pk, how="Late")
    assert rows() == before
    assert paid_to(partner) == THIRD


def test_pa10_a_cancelled_address_never_takes_effect(partner: Partner) -> None:
    version = approved(requested(partner, NEW))
    assert version.approved_by is not None
    cancel_address(actor=version.approved_by, version_id=version.pk, reason="Fraud")
    travel(version, "0 s")
    assert paid_to(partner) == OLD


def test_pa10_an_address_used_before_can_come_back(partner: Partner) -> None:
    swap_address(partner, NEW)
    swap_address(partner, OLD)
    assert paid_to(partner) == OLD


@pytest.mark.parametrize(
    ("text", "reason", "said"),
    [
        (OLD, "x", "is paid to this address already"),
        (NEW, "  ", "Say in at most 500 characters why"),
        (NEW, "x" * 501, "at most 500"),
        ("", "x", "cannot be blank"),
        (NEW[:-1] + "z", "x", "wrong checksum"),
        (" " + NEW, "x", "spaces"),
        (address(77), "x", "your own hotkey RT21"),
    ],
)
def test_pa10_what_cannot_be_requested_is_refused(
    partner: Partner, asker: User, text: str, reason: str, said: str, mailoutbox: list[EmailMessage]
) -> None:
    Hotkey.objects.create(address=address(77), label="RT21", first_block=1)
    with pytest.raises(Refused, match=said):
        request_address(actor=asker, partner=partner, address=text, reason=reason)
    assert PayoutAddress.objects.count() == 1
    assert not mailoutbox


def test_pa10_one_change_at_a_time(partner: Partner, version: PayoutAddress, asker: User) -> None:
    with pytest.raises(Refused, match="under way already"):
        request_address(actor=asker, partner=partner, address=THIRD, reason="x")
    approved_version = approve_address(
        actor=make_user(rights=(APPROVE_RIGHT,), name="adam"), version_id=version.pk
    )
    with pytest.raises(Refused, match="under way already"):
        request_address(actor=asker, partner=partner, address=THIRD, reason="x")
    travel(approved_version, "0 s")
    assert request_address(actor=asker, partner=partner, address=THIRD, reason="x").pk


# --- two people -------------------------------------------------------------------------------------------


def test_threat5_who_asked_neither_approves_nor_tells_not_even_a_superuser(partner: Partner) -> None:
    root = make_user(name="root", superuser=True)
    version = request_address(actor=root, partner=partner, address=NEW, reason="x")
    before = rows()
    with pytest.raises(NotAllowed, match="Another person must tell"):
        record_told(actor=root, version_id=version.pk, how="Trust me")
    with pytest.raises(NotAllowed, match="A second person"):
        approve_address(actor=root, version_id=version.pk)
    assert rows() == before


@pytest.mark.parametrize("group", [None, "viewer", "operator", "approver", "administrator"])
def test_threat5_every_step_takes_its_right(
    partner: Partner, version: PayoutAddress, group: str | None
) -> None:
    user = make_user(*([group] if group else []), name="someone")
    before = rows()
    if group not in ("operator", "administrator"):
        with pytest.raises(NotAllowed, match="takes the permission"):
            request_address(actor=user, partner=make_partner("B", "b"), address=NEW, reason="x")
    if group != "approver":
        with pytest.raises(NotAllowed, match="takes the permission"):
            approve_address(actor=user, version_id=version.pk)
        with pytest.raises(NotAllowed, match="takes the permission"):
            record_told(actor=user, version_id=version.pk, how="x")
    if group in (None, "viewer"):
        with pytest.raises(NotAllowed, match="takes the permission"):
            cancel_address(actor=user, version_id=version.pk, reason="x")
    assert rows() == before


def test_threat5_no_group_both_requests_and_approves() -> None:
    for group in Group.objects.all():
        held = set(group.permissions.values_list("codename", flat=True))
        assert not {REQUEST_RIGHT, APPROVE_RIGHT} <= held, group
        assert not held & {f"{verb}_payoutaddress" for verb in ("add", "change", "delete")}, group


def test_pa10_steps_on_nothing_say_so(other: User) -> None:
    with pytest.raises(Refused, match="no request 999"):
        approve_address(actor=other, version_id=999)


# --- the notice -------------------------------------------------------------------------------------------


class RefusesOne(EmailBackend):
    """A mail server that knows one of the contacts no more."""

    def send_messages(self, messages: Any) -> int:
        if messages[0].to == ["gone@creative.example"]:
            raise OSError("mailbox unavailable")
        return super().send_messages(messages)


def test_pa10_without_a_mail_server_it_is_said_and_nothing_is_approved(
    partner: Partner, asker: User, other: User, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.EMAIL_BACKEND = "rakeback.mail.RefusingBackend"
    with django_capture_on_commit_callbacks(execute=True):
        version = request_address(actor=asker, partner=partner, address=NEW, reason="x")
    version.refresh_from_db()
    assert version.notified_at is None
    assert "no mail server is set" in version.notice_error
    with pytest.raises(Refused, match="Nobody of Creative Builds was told"):
        approve_address(actor=other, version_id=version.pk)
    record_told(actor=other, version_id=version.pk, how="Called Kim")
    with pytest.raises(AlreadyDecided, match="adam told the partner already"):
        record_told(actor=other, version_id=version.pk, how="Called Kim again")
    assert approve_address(actor=other, version_id=version.pk).status == "APPROVED"


def test_pa10_a_mail_server_that_does_not_answer_fails_the_notice_and_not_the_request(
    partner: Partner, settings: Any
) -> None:
    version = requested(partner, NEW)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert "old@creative.example" in send_notice(version_id=version.pk).notice_error
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    sent = send_notice(version_id=version.pk)
    assert (sent.notified_at is not None, sent.notice_error) == (True, "")


def test_pa10_one_contact_who_cannot_be_reached_fails_the_notice(
    partner: Partner, settings: Any, mailoutbox: list[EmailMessage]
) -> None:
    Partner.objects.filter(pk=partner.pk).update(contact_email="gone@creative.example")
    version = requested(partner, NEW)
    settings.EMAIL_BACKEND = f"{__name__}.RefusesOne"
    sent = send_notice(version_id=version.pk)
    assert sent.notified_at is None
    assert sent.notice_error == "gone@creative.example: mailbox unavailable"
    assert [mail.to for mail in mailoutbox] == [["old@creative.example"]]


def test_threat12_changing_the_contact_first_hides_nothing(
    partner: Partner, mailoutbox: list[EmailMessage]
) -> None:
    for contact in ("thief@evil.example", "", "thief2@evil.example"):
        Partner.objects.filter(pk=partner.pk).update(contact_email=contact)
    version = requested(partner, NEW)
    assert version.notice_to == ["old@creative.example", "thief@evil.example", "thief2@evil.example"]
    send_notice(version_id=version.pk)
    assert [mail.to for mail in mailoutbox] == [[contact] for contact in version.notice_to]
    # Nor does changing it afterwards.
    cancelled = make_user("operator", name="op")
    cancel_address(actor=cancelled, version_id=version.pk, reason="Again")
    again = requested(partner, NEW)
    Partner.objects.filter(pk=partner.pk).update(contact_email="thief3@evil.example")
    assert "old@creative.example" in send_notice(version_id=again.pk).notice_to


def test_pa10_a_contact_of_long_ago_is_not_told(partner: Partner) -> None:
    Partner.objects.filter(pk=partner.pk).update(contact_email="new@creative.example")
    age = "UPDATE partners_partnerevent SET pgh_created_at = pgh_created_at - %s::interval"
    tamper(f"{age} WHERE contact_email <> 'new@creative.example'", "40 days")
    # Still the contact until the change, which was within the 30 days.
    assert contacts_since(partner, timedelta(days=30)) == ["old@creative.example", "new@creative.example"]
    tamper(age, "31 days")
    assert contacts_since(partner, timedelta(days=30)) == ["new@creative.example"]


def test_pa10_a_partner_without_contact_is_told_by_the_second_person(asker: User, other: User) -> None:
    partner = make_partner()
    version = request_address(actor=asker, partner=partner, address=NEW, reason="x")
    assert version.notice_to == []
    assert send_notice(version_id=version.pk).notified_at is None
    with pytest.raises(Refused, match="Nobody of Creative Builds was told"):
        approve_address(actor=other, version_id=version.pk)
    with pytest.raises(Refused, match="who was told, when and how"):
        record_told(actor=other, version_id=version.pk, how=" ")


def test_pa10_no_notice_is_sent_of_what_was_rolled_back_or_decided(
    partner: Partner, asker: User, version: PayoutAddress, mailoutbox: list[EmailMessage],
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    assert len(mailoutbox) == 1
    send_notice(version_id=version.pk)
    cancel_address(actor=asker, version_id=version.pk, reason="x")
    send_notice(version_id=version.pk)
    captured = django_capture_on_commit_callbacks(execute=True)
    with captured, pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        request_address(actor=asker, partner=partner, address=THIRD, reason="x")
        raise ZeroDivisionError
    assert len(mailoutbox) == 1


def test_threat16_a_name_cannot_write_headers(asker: User, mailoutbox: list[EmailMessage]) -> None:
    partner = make_partner("Evil\nBcc: thief@evil.example")
    Partner.objects.update(contact_email="kim@evil.example")
    version = request_address(actor=asker, partner=partner, address=NEW, reason="x")
    assert send_notice(version_id=version.pk).notified_at is not None
    [mail] = mailoutbox
    assert mail.recipients() == ["kim@evil.example"]
    assert "\n" not in mail.subject


# --- raw SQL ----------------------------------------------------------------------------------------------

INSERT = """
INSERT INTO partners_payoutaddress (partner_id, address, origin, status, requested_at, requested_by_id, reason,
    cooling_off_hours, notice_to, notified_at, notice_error, told_at, told_by_id, told_how, approved_at, approved_by_id,
    effective_from, cancelled_at, cancelled_by_id, cancel_reason)
VALUES ({partner}, 'x', {origin}, {status}, {requested_at}, {requested_by}, {reason}, {hours}, {notice_to}, {notified_at},
    '', {told_at}, NULL, '', {approved_at}, {approved_by}, {effective_from}, {cancelled_at}, NULL, '')
"""
VALUES = {
    "origin": "'REQUEST'",
    "status": "'REQUESTED'",
    "requested_at": "NULL",
    "reason": "'x'",
    "hours": "72",
    "notice_to": "'{}'",
} | dict.fromkeys(
    ("notified_at", "told_at", "approved_at", "approved_by", "effective_from", "cancelled_at"), "NULL"
)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": "'APPROVED'", "approved_by": "{other}"}, "starts undecided"),
        ({"status": "'APPROVED'"}, "starts as REQUESTED"),
        ({"status": "'CANCELLED'"}, "starts as REQUESTED"),
        ({"approved_at": "now()"}, "starts undecided"),
        ({"effective_from": "now()"}, "starts undecided"),
        ({"notified_at": "now()"}, "starts undecided"),
        ({"told_at": "now()"}, "starts undecided"),
        ({"cancelled_at": "now()"}, "starts undecided"),
        ({"reason": "' '"}, "needs a reason"),
        ({"requested_by": "NULL"}, "payout_address_status_fits_people"),
        ({"hours": "47"}, "payout_address_cools_off"),
        ({"hours": "0"}, "payout_address_cools_off"),
        ({"origin": "'BEFORE'", "status": "'APPROVED'"}, "of before versions cannot be added"),
        ({"origin": "'OTHER'"}, "of before versions cannot be added"),
        ({"origin": "'START'", "status": "'APPROVED'"}, "just added and never had an address"),
    ],
)
def test_pa10_no_row_begins_as_more_than_a_request(
    partner: Partner, asker: User, other: User, values: dict[str, str], said: str
) -> None:
    filled = VALUES | {"partner": str(partner.pk), "requested_by": str(asker.pk)} | values
    refuse(said, INSERT.format(**filled).replace("{other}", str(other.pk)))
    refuse(said, INSERT.format(**filled).replace("{other}", str(other.pk)).replace("'x', ", f"'{NEW}', ", 1))


def test_pa10_a_request_written_by_sql_has_the_databases_time(partner: Partner, asker: User) -> None:
    filled = VALUES | {"partner": str(partner.pk), "requested_by": str(asker.pk)}
    sql(INSERT.format(**filled | {"requested_at": "'2020-01-01'"}))
    made = PayoutAddress.objects.get(status="REQUESTED")
    assert made.requested_at.year > 2020
    refuse("under way already", INSERT.format(**filled))


def test_pa10_a_partner_of_yesterday_does_not_begin_with_an_address() -> None:
    partner = make_partner()
    tamper("UPDATE partners_partnerevent SET pgh_created_at = pgh_created_at - interval '1 day'")
    with pytest.raises(DatabaseError, match="just added"), transaction.atomic():
        begin_with_address(actor=None, partner=partner, address=NEW, reason="x")
    tamper("DELETE FROM partners_partnerevent")
    with pytest.raises(DatabaseError, match="just added"), transaction.atomic():
        begin_with_address(actor=None, partner=partner, address=NEW, reason="x")
    # Renaming the partner makes no new one.
    Partner.objects.filter(pk=partner.pk).update(name="New")
    assert not PayoutAddress.objects.exists()


APPROVE = "UPDATE partners_payoutaddress SET status = 'APPROVED', approved_by_id = %s"


def test_threat5_self_approval_is_refused_by_the_database(
    version: PayoutAddress, asker: User, other: User
) -> None:
    only = f" WHERE id = {version.pk}"
    refuse("payout_address_approver_is_another", APPROVE + only, asker.pk)
    refuse("by whom, cannot change", f"{APPROVE}, requested_by_id = %s{only}", asker.pk, other.pk)
    refuse("payout_address_status_fits_people", APPROVE + only, None)
    refuse(
        "payout_address_teller_is_another",
        f"UPDATE partners_payoutaddress SET told_by_id = %s, told_how = 'x'{only}",
        asker.pk,
    )


def test_pa10_times_are_the_databases_whatever_is_written(version: PayoutAddress, other: User) -> None:
    past = "'2020-01-01'"
    sql(
        f"{APPROVE}, approved_at = {past}, effective_from = {past} WHERE id = {version.pk}",
        other.pk,
    )
    [(age, ahead)] = sql(
        "SELECT clock_timestamp() - approved_at, effective_from - approved_at FROM partners_payoutaddress WHERE id = %s",
        version.pk,
    )
    assert isinstance(age, timedelta)
    assert timedelta(0) < age < timedelta(minutes=5)
    assert ahead == timedelta(hours=72)


def test_pa10_nobody_told_nobody_approves(partner: Partner, other: User) -> None:
    version = requested(partner, NEW)
    refuse("payout_address_announced", f"{APPROVE} WHERE id = {version.pk}", other.pk)
    told = f"UPDATE partners_payoutaddress SET {{}} WHERE id = {version.pk}"
    refuse("not part of the decision", f"{APPROVE}, notified_at = now() WHERE id = {version.pk}", other.pk)
    # The time alone, without who or how, counts for nothing.
    sql(told.format("told_at = now()"))
    refuse("payout_address_announced", f"{APPROVE} WHERE id = {version.pk}", other.pk)
    refuse("payout_address_telling_is_whole", told.format("told_by_id = %s"), other.pk)
    refuse("payout_address_telling_is_whole", told.format("told_how = 'x'"))
    refuse("payout_address_notice_has_readers", told.format("notified_at = now(), notice_error = 'failed'"))
    sql(told.format("told_by_id = %s, told_how = 'Called'"), other.pk)
    refuse("who told the partner, and how, cannot change", told.format("told_how = 'Other'"))
    refuse("who told the partner, and how, cannot change", told.format("told_by_id = NULL, told_how = ''"))


def test_pa10_a_notice_to_nobody_is_none(asker: User) -> None:
    version = request_address(actor=asker, partner=make_partner(), address=NEW, reason="x")
    refuse(
        "payout_address_notice_has_readers",
        f"UPDATE partners_payoutaddress SET notified_at = now() WHERE id = {version.pk}",
    )


@pytest.mark.parametrize(
    "change",
    [
        f"address = '{THIRD}'",
        "partner_id = partner_id + 1",
        "id = id + 1000",
        "origin = 'START'",
        "requested_at = requested_at - interval '1 day'",
        "requested_by_id = NULL",
        "reason = 'other'",
        "cooling_off_hours = 48",
        "notice_to = '{thief@evil.example}'",
    ],
)
@pytest.mark.parametrize("state", ["REQUESTED", "APPROVED"])
def test_pa10_what_was_requested_is_frozen(
    version: PayoutAddress, other: User, state: str, change: str
) -> None:
    if state == "APPROVED":
        approve_address(actor=other, version_id=version.pk)
    refuse("cannot change", f"UPDATE partners_payoutaddress SET {change} WHERE id = {version.pk}")
    refuse("cannot change", f"{APPROVE}, {change} WHERE id = {version.pk}", other.pk)


CANCEL = "UPDATE partners_payoutaddress SET status = 'CANCELLED', cancelled_by_id = %s, cancel_reason = 'x'"


def test_pa10_only_forwards(partner: Partner, version: PayoutAddress, asker: User, other: User) -> None:
    only = f" WHERE id = {version.pk}"
    refuse("needs a reason", CANCEL.replace("'x'", "' '") + only, other.pk)
    refuse("payout_address_status_fits_people", CANCEL + only, None)
    refuse("only an approval approves", f"{CANCEL}, approved_by_id = %s{only}", other.pk, other.pk)
    refuse(
        "cannot go from REQUESTED to IN_FORCE", f"UPDATE partners_payoutaddress SET status = 'IN_FORCE'{only}"
    )
    refuse("null value|cannot go|status_fits", f"UPDATE partners_payoutaddress SET status = NULL{only}")
    approve_address(actor=other, version_id=version.pk)
    refuse(
        "cannot go from APPROVED to REQUESTED",
        f"UPDATE partners_payoutaddress SET status = 'REQUESTED'{only}",
    )
    refuse(
        "cannot go from APPROVED to APPROVED",
        f"UPDATE partners_payoutaddress SET effective_from = now(){only}",
    )
    refuse("cannot go from APPROVED to APPROVED", APPROVE + only, asker.pk)
    refuse("only an approval approves", f"{CANCEL}, effective_from = NULL{only}", other.pk)
    travel(version, "0 s")
    refuse("took effect already", CANCEL + only, other.pk)
    cancelled = requested(partner, THIRD)
    cancel_address(actor=other, version_id=cancelled.pk, reason="x")
    refuse("cannot go from CANCELLED to APPROVED", f"{APPROVE} WHERE id = {cancelled.pk}", other.pk)
    refuse(
        "cannot go from CANCELLED",
        f"UPDATE partners_payoutaddress SET cancel_reason = 'y' WHERE id = {cancelled.pk}",
    )


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM partners_payoutaddress", "never removed"),
        ("TRUNCATE partners_payoutaddress", "TRUNCATE of partners_payoutaddress refused"),
        ("UPDATE partners_payoutaddressevent SET address = 'x'", "history is append-only"),
        ("DELETE FROM partners_payoutaddressevent", "history is append-only"),
        ("TRUNCATE partners_payoutaddressevent", "history is append-only"),
    ],
)
def test_pa10_nothing_is_removed(version: PayoutAddress, statement: str, said: str) -> None:
    connection.check_constraints()
    refuse(said, statement)


def test_pa10_one_request_per_partner_also_without_the_guard(version: PayoutAddress, asker: User) -> None:
    filled = VALUES | {
        "partner": str(version.partner_id),
        "requested_by": str(asker.pk),
        "requested_at": "now()",
    }
    with pytest.raises(DatabaseError, match="payout_address_one_request"):
        tamper(INSERT.format(**filled))


def test_pa10_an_effect_before_the_cooling_off_is_refused_also_without_the_guard(
    version: PayoutAddress, other: User
) -> None:
    with pytest.raises(DatabaseError, match="payout_address_effective_when_cooled"):
        tamper(
            f"{APPROVE}, approved_at = now(), effective_from = now() WHERE id = {version.pk}",
            other.pk,
        )


def test_pa10_an_approval_held_back_in_an_open_transaction_is_refused_at_commit(
    version: PayoutAddress, other: User
) -> None:
    """As if a transaction had approved it eleven minutes ago and commits only now."""
    connection.check_constraints()
    with pytest.raises(DatabaseError, match="too long ago"), transaction.atomic():  # noqa: PT012
        sql("ALTER TABLE partners_payoutaddress DISABLE TRIGGER partners_payout_address_guard")
        sql(
            f"{APPROVE}, approved_at = now() - interval '11 minutes', effective_from = now() + interval '72 hours'"
            f" WHERE id = {version.pk}",
            other.pk,
        )
        connection.check_constraints()
    version.refresh_from_db()
    assert version.status == "REQUESTED"


@pytest.mark.django_db(transaction=True)
def test_pa10_an_old_snapshot_writes_no_address(partner: Partner, asker: User) -> None:
    with pytest.raises(DatabaseError, match="READ COMMITTED"), transaction.atomic():  # noqa: PT012
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        request_address(actor=asker, partner=partner, address=NEW, reason="x")


def test_pa10_a_table_of_the_same_name_deceives_nobody(partner: Partner, version: PayoutAddress) -> None:
    sql("CREATE TEMPORARY TABLE partners_payoutaddress AS SELECT * FROM public.partners_payoutaddress")
    sql(
        "UPDATE pg_temp.partners_payoutaddress SET address = 'thief', status = 'APPROVED', effective_from = now()"
    )
    assert sql("SELECT partners_address_in_force(%s)", partner.pk) == [(OLD,)]
    assert sql("SELECT partners_address_is_changing(%s)", partner.pk) == [(True,)]
    sql("DROP TABLE pg_temp.partners_payoutaddress")


def test_pa10_every_trigger_of_an_address_finds_its_own_tables() -> None:
    found = sql(
        """SELECT DISTINCT p.proname, coalesce(array_to_string(p.proconfig, ' '), '') FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
        AND c.relname IN ('partners_partner', 'partners_payoutaddress', 'partners_payoutaddressevent')"""
    )
    assert len(found) >= 10
    assert [
        name for name, settings in found if "search_path=pg_catalog, public, pg_temp" not in str(settings)
    ] == []


# --- history ----------------------------------------------------------------------------------------------


def test_pa6_every_step_is_in_the_sealed_history_with_who_and_why(
    partner: Partner, version: PayoutAddress, asker: User, other: User
) -> None:
    approve_address(actor=other, version_id=version.pk)
    cancel_address(actor=asker, version_id=version.pk, reason="The partner called")
    assert check_history().ok
    entries = history.describe(list(history.changes_of(version)))
    assert [(entry.who, entry.change.reason) for entry in entries] == [
        ("olivia", "The partner called"),
        ("adam", "Approved"),
        ("the application", "The contacts were told"),
        ("olivia", "They lost the old wallet"),
    ]
    assert "approved by: – → adam" in entries[1].summary
    assert re.search(r"effective from: – → \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", entries[1].summary)
    kinds = set(history.changes_of(partner).values_list("kind", flat=True))
    assert kinds == {Change.Kind.PARTNER, Change.Kind.PAYOUTADDRESS}


@pytest.fixture
def migrations() -> Iterator[None]:
    """Come back to the newest state whatever happens."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def migrate_before(app: str, ending: str) -> None:
    """Go back to the state before the migration with this name."""
    executor = MigrationExecutor(connection)
    [key] = [key for key in executor.loader.graph.nodes if key[0] == app and key[1].endswith(ending)]
    parents = [parent.key for parent in executor.loader.graph.node_map[key].parents if parent.key[0] == app]
    executor.migrate(parents)


@pytest.mark.django_db(transaction=True)
def test_pa10_addresses_of_before_become_versions_and_old_seals_hold(migrations: None) -> None:
    migrate_before("partners", "_payout_addresses")
    add = (
        "INSERT INTO partners_partner (name, slug, kind, status, contact_email, payout_address, notes)"
        " VALUES (%s, %s, 'NAMED', 'ACTIVE', '', %s, '')"
    )
    sql(add, "A", "a", OLD)
    sql(add, "B", "b", "")
    sql("UPDATE partners_partner SET payout_address = %s WHERE slug = 'a'", NEW)
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())

    [version] = PayoutAddress.objects.all()
    assert (version.address, version.origin, version.partner.slug) == (NEW, "BEFORE", "a")
    assert paid_to(version.partner) == NEW
    checked = check_history()
    assert checked.differences == []
    assert checked.count == 4 + AgreementTemplate.objects.count()
    # What the address was before is still told, and what comes later is sealed, too.
    told = history.describe(list(history.changes_of(version.partner)))
    assert f"payout address: {OLD} → {NEW}" in "; ".join(entry.summary for entry in told)
    Partner.objects.filter(slug="a").update(name="A2")
    assert "payout" not in history.describe(list(history.changes_of(version.partner))[:1])[0].summary
    assert check_history().ok
