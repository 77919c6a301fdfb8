"""Attaching to closed periods the price in dollars at their end, once it is known."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from chain.fiat.queries import quotes_at
from chain.fiat.quotes import TAO
from chain.fiat.services import SETTLING
from chain.locks import Lock, hold
from chain.network import coin
from ledger.models import Period, PeriodPrice


@transaction.atomic
def attach_period_prices(*, now: datetime) -> int:
    """Give every period without a price the one that is known for its end; returns how many got one.

    On a chain whose coin no source quotes there is nothing to attach.
    """
    if coin().unit != TAO:
        return 0
    hold(Lock.PRICES)
    waiting = dict(
        Period.objects.filter(usd=None, end_at__lte=now - SETTLING).order_by("pk").values_list("pk", "end_at")
    )
    quotes = quotes_at(waiting.values())
    rows = [
        PeriodPrice(period_id=pk, price=quotes[end_at][0], attached_at=now)
        for pk, end_at in waiting.items()
        if end_at in quotes
    ]
    return len(PeriodPrice.objects.bulk_create(rows))
