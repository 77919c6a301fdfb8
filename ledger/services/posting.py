"""Writing balanced entries. The only module that inserts entries and legs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from chain.network import coin
from ledger.models import Account, Entry, Period, Posting
from partners.models import Partner

Actor = AbstractBaseUser | AnonymousUser | None
Leg = tuple[str, int | None]  # account kind, partner id


def post_entry(
    *,
    key: str,
    kind: Entry.Kind,
    legs: Mapping[Leg, int],
    actor: Actor,
    now: datetime,
    period: Period | None = None,
    reverses: Entry | None = None,
    memo: str = "",
) -> Entry:
    """Write one entry with its legs, leaving out those of zero; must run inside a transaction.

    The database refuses it at commit unless it balances, and at once when a debt would fall below zero.
    """
    entry = Entry.objects.create(
        key=key,
        kind=kind,
        period=period,
        reverses=reverses,
        memo=memo[:200],
        posted_at=now,
        posted_by_id=actor.pk if actor else None,
    )
    Posting.objects.bulk_create(
        Posting(entry=entry, account=account(*leg), amount_rao=amount)
        for leg, amount in legs.items()
        if amount
    )
    return entry


def account(kind: str, partner_id: int | None = None) -> Account:
    """Get the account, opening it at its first use."""
    partner = None if partner_id is None else Partner.objects.get(pk=partner_id)
    return Account.objects.get_or_create(kind=kind, partner=partner, currency=coin().unit)[0]
