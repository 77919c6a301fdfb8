"""What runs by itself and how often, as rows that the admin can edit.

The rows are made once. An operator's edits (another interval, disabled, renamed) stay, because a row that is
there is left alone; only the note with which ingestion was switched off for want of a node is acted upon.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

NO_NODE = "Switched off because RAKEBACK_NODE_URL is not set. Set it and run setup_schedules again."


@dataclass(frozen=True)
class Schedule:
    """One task that runs by itself: every so many seconds, or at a time of day in UTC."""

    task: str
    name: str
    seconds: int = 0
    hour: int = 0
    minute: int = 0
    needs_node: bool = False


SCHEDULES = (
    Schedule("chain.ingest", "Read new blocks", seconds=12, needs_node=True),
    Schedule("chain.fetch_prices", "Fetch TAO/USD prices", seconds=15 * 60),
    Schedule("chain.backfills", "Keep backfills going", seconds=15),
    Schedule("chain.find_gaps", "Look for gaps", seconds=15 * 60),
    Schedule("ledger.attribute", "Attribute yields", seconds=60),
    Schedule("ledger.close_days", "Close days", seconds=5 * 60),
    Schedule("ledger.price_periods", "Price closed days in dollars", seconds=15 * 60),
    Schedule("ledger.check_ledger", "Check the ledger", hour=3, minute=17),
    Schedule("partners.check_history", "Check the history", hour=3, minute=47),
)


@transaction.atomic
def set_up_schedules() -> list[str]:
    """Make the schedules that are missing; returns what was done, in sentences, empty if nothing."""
    done = []
    for schedule in SCHEDULES:
        found = PeriodicTask.objects.select_for_update().filter(task=schedule.task).first()
        if found is None:
            done.append(_create(schedule))
        elif schedule.needs_node and found.description == NO_NODE and settings.RAKEBACK_NODE_URL:
            found.enabled, found.description = True, ""
            found.save()
            done.append(f"{found.name}: switched on, since RAKEBACK_NODE_URL is set now.")
    return done


def _create(schedule: Schedule) -> str:
    waits = schedule.needs_node and not settings.RAKEBACK_NODE_URL
    when: dict[str, object]
    if schedule.seconds:
        interval, _ = IntervalSchedule.objects.get_or_create(
            every=schedule.seconds, period=IntervalSchedule.SECONDS
        )
        # A tick that could not start before the next one is worth nothing; the next does its work.
        when = {"interval": interval, "expire_seconds": schedule.seconds}
    else:
        crontab, _ = CrontabSchedule.objects.get_or_create(
            minute=str(schedule.minute), hour=str(schedule.hour), timezone="UTC"
        )
        when = {"crontab": crontab}
    PeriodicTask.objects.create(
        name=schedule.name,
        task=schedule.task,
        enabled=not waits,
        description=NO_NODE if waits else "",
        **when,
    )
    return f"{schedule.name}: {'made, ' + NO_NODE[0].lower() + NO_NODE[1:] if waits else 'made.'}"
