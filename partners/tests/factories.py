"""Rows for tests of partners, and addresses that are valid and all different."""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.contrib.auth.models import Group, Permission, User
from psycopg.types.range import TimestamptzRange

from chain.addresses import encode_address
from partners import payout_addresses
from partners.models import Agreement, Partner, PayoutAddress, Rule, Wallet
from tests.guards import tamper

START = datetime(2025, 8, 1, tzinfo=UTC)
DAY = START.date()


def address(number: int) -> str:
    return encode_address(number.to_bytes(32, "big"))


def make_user(
    *groups: str, rights: tuple[str, ...] = (), name: str = "anna", superuser: bool = False
) -> User:
    user = User.objects.create_user(name, password="secret", is_staff=True, is_superuser=superuser)
    user.groups.set([Group.objects.get(name=group) for group in groups])
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    return user


def make_partner(name: str = "Creative Builds", slug: str = "creative-builds") -> Partner:
    return Partner.objects.create(name=name, slug=slug)


def make_agreement(
    partner: Partner,
    *,
    rate_bps: int = 3300,
    starts_at: datetime = START,
    ends_at: datetime | None = None,
    with_rule: bool = True,
) -> Agreement:
    span = TimestamptzRange(starts_at, ends_at, "[)")
    agreement = Agreement.objects.create(partner=partner, effective=span, rate_bps=rate_bps)
    if with_rule:
        Rule.objects.create(agreement=agreement)
    return agreement


def make_wallet(partner: Partner, number: int = 1, introduced: date = DAY) -> Wallet:
    return Wallet.objects.create(partner=partner, address=address(number), introduced_date=introduced)


def begin(partner: Partner, text: str) -> PayoutAddress:
    """Give a partner made by the test the address they begin with."""
    return payout_addresses.begin_with_address(actor=None, partner=partner, address=text, reason="Signed")


def paid_to(partner: Partner) -> str:
    """The address in force."""
    return PayoutAddress.objects.in_force().get(partner=partner).address


def requested(partner: Partner, text: str) -> PayoutAddress:
    """A request that nobody was told of yet."""
    asker = make_user(rights=("request_payoutaddress",), name=f"asker {User.objects.count()}")
    return payout_addresses.request_address(actor=asker, partner=partner, address=text, reason="New wallet")


def approved(version: PayoutAddress) -> PayoutAddress:
    """The request told of and approved by another person; it cools off."""
    other = make_user(rights=("approve_payoutaddress",), name=f"approver {User.objects.count()}")
    payout_addresses.record_told(actor=other, version_id=version.pk, how="By telephone")
    return payout_addresses.approve_address(actor=other, version_id=version.pk)


def travel(version: PayoutAddress, takes_effect_in: str) -> None:
    """Move a version through time, so that it takes effect so long after now: `1 s`, `-1 s`."""
    tamper(
        "UPDATE partners_payoutaddress SET effective_from = clock_timestamp() + %s::interval,"
        " approved_at = clock_timestamp() + %s::interval - cooling_off_hours * interval '1 hour' WHERE id = %s",
        takes_effect_in, takes_effect_in, version.pk,
    )  # fmt: skip


def swap_address(partner: Partner, text: str) -> PayoutAddress:
    """Change a partner's address all the way: requested, approved, cooled off."""
    version = approved(requested(partner, text))
    travel(version, "0 s")
    version.refresh_from_db()
    return version
