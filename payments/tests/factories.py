"""Rows for the tests of payments: a closed period, partners, and what is owed to them as a close posts it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import Permission, User
from django.db import transaction

from chain.addresses import encode_address
from chain.models import Network
from ledger.models import Account, Entry, Period, Posting
from partners.models import Agreement, Partner

NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)
_numbers = itertools.count(1)


def address_of(seed: int) -> str:
    return encode_address(seed.to_bytes(32, "big"))


def make_user(name: str, *permissions: str, **fields: object) -> User:
    """Make a member of staff with exactly these permissions (codenames)."""
    user = User.objects.create_user(name, password="pw", is_staff=True, **fields)  # type: ignore[arg-type]
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    return user


def make_period(day: int = 1) -> Period:
    Network.objects.get_or_create(id=1, defaults={"name": "test", "genesis_hash": "0x" + "45" * 32})
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)
    return Period.objects.create(
        key=start.date().isoformat(),
        start_at=start,
        end_at=start + timedelta(days=1),
        blocks=(day * 7200, (day + 1) * 7200),
        manifest={"day": day},
        manifest_hash=f"{day:064x}",
        closed_at=start + timedelta(days=2),
    )


def make_partner(slug: str, *, owed: int = 0, minimum: int = 0, **fields: object) -> Partner:
    number = next(_numbers)
    defaults = {"name": slug.upper(), "payout_address": address_of(number)} | fields
    partner = Partner.objects.create(slug=slug, **defaults)
    Agreement.objects.create(
        partner=partner,
        effective=(datetime(2026, 1, 1, tzinfo=UTC), None),
        rate_bps=3300,
        minimum_payout_rao=minimum,
    )
    if owed:
        owe(partner, owed)
    return partner


@transaction.atomic
def owe(partner: Partner, amount_rao: int, key: str = "") -> Entry:
    """Post what a period close posts: realised take, credited to the partner."""
    take, _ = Account.objects.get_or_create(kind=Account.Kind.TAKE, partner=None)
    payable, _ = Account.objects.get_or_create(kind=Account.Kind.PAYABLE, partner=partner)
    entry = Entry.objects.create(
        key=key or f"test:{next(_numbers)}", kind=Entry.Kind.CLOSE, period=Period.objects.first(), posted_at=NOW
    )
    Posting.objects.bulk_create(
        [
            Posting(entry=entry, account=take, amount_rao=amount_rao),
            Posting(entry=entry, account=payable, amount_rao=-amount_rao),
        ]
    )
    return entry
