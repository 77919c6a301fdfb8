"""What the scheduler runs: each task calls one service and lets its refusal fail the task, so that it is seen."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from ledger import services
from ledger.models import CheckRun


class LedgerDiffers(Exception):
    """The stored ledger is not what the facts give. Look before anything is paid; a retry cannot help."""


@shared_task(name="ledger.attribute")
def attribute() -> int:
    """Attribute all yields that are not yet."""
    return services.attribute_yields(now=timezone.now())


@shared_task(name="ledger.close_days")
def close_days() -> list[str]:
    """Close all days that are over."""
    return [period.key for period in services.close_due_days(actor=None, now=timezone.now())]


@shared_task(name="ledger.price_periods")
def price_periods() -> int:
    """Attach prices in dollars to closed periods that have none."""
    return services.attach_period_prices(now=timezone.now())


@shared_task(name="ledger.what_if")
def what_if(what_if_id: int) -> None:
    """Try a change of partners on closed days; the row keeps what it comes to."""
    services.run_what_if(what_if_id)


@shared_task(name="ledger.check_ledger")
def check_ledger() -> dict[str, int]:
    """Recompute the ledger, attributions and conversions too, and keep what that finds.

    :raises LedgerDiffers: naming the first differences.
    """
    run = services.run_check(CheckRun.Check.LEDGER, actor=None, now=timezone.now())
    if not run.ok:
        raise LedgerDiffers("; ".join(run.differences[:20]))
    return dict(run.counts)
