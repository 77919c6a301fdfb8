"""Rows for tests of partners, and addresses that are valid and all different."""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.contrib.auth.models import Group, Permission, User
from psycopg.types.range import TimestamptzRange

from chain.addresses import encode_address
from partners.models import Agreement, Partner, Rule, Wallet

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
