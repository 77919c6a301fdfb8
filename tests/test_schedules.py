"""Schedules: made once, an operator's edits stay, and every task that is named is one that a worker knows."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from rakeback.celery import app
from rakeback.schedules import NO_NODE, SCHEDULES

pytestmark = pytest.mark.django_db


def set_up() -> str:
    out = StringIO()
    call_command("setup_schedules", stdout=out)
    return out.getvalue()


def rows() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values())
        for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, PeriodicTasks)
    ]


@pytest.fixture
def node(settings: Any) -> Any:
    settings.RAKEBACK_NODE_URL = "ws://node:9944"
    return settings


def test_schedules_are_made_with_their_intervals(node: Any) -> None:
    set_up()
    made = {task.task: task for task in PeriodicTask.objects.select_related("interval", "crontab")}
    assert {name: " ".join(str(task.schedule).split()) for name, task in made.items()} == {
        "chain.ingest": "<freq: 12.00 seconds>",
        "chain.fetch_prices": "<freq: 15.00 minutes>",
        "ledger.price_periods": "<freq: 15.00 minutes>",
        "chain.backfills": "<freq: 15.00 seconds>",
        "chain.find_gaps": "<freq: 15.00 minutes>",
        "ledger.attribute": "<freq: 1.00 minute>",
        "ledger.close_days": "<freq: 5.00 minutes>",
        "ledger.check_ledger": "<crontab: 17 3 * * * (m/h/d/dM/MY), UTC>",
        "partners.check_history": "<crontab: 47 3 * * * (m/h/d/dM/MY), UTC>",
    }
    assert all(task.enabled for task in made.values())


def test_schedules_again_change_nothing(node: Any) -> None:
    set_up()
    before = rows()
    assert set_up() == "All schedules are there already.\n"
    assert rows() == before


def test_schedules_keep_what_an_operator_changed(node: Any) -> None:
    set_up()
    PeriodicTask.objects.filter(task="ledger.attribute").update(enabled=False)
    hour = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(task="ledger.close_days").update(interval=hour)
    PeriodicTask.objects.filter(task="chain.ingest").update(name="Ours", enabled=False, description="Upgrade")
    before = rows()
    set_up()
    assert rows() == before


def test_schedules_a_deleted_one_comes_back(node: Any) -> None:
    set_up()
    PeriodicTask.objects.get(task="ledger.check_ledger").delete()
    assert set_up() == "Check the ledger: made.\n"
    assert PeriodicTask.objects.count() == len(SCHEDULES)


def test_schedules_without_a_node_nothing_is_read_until_there_is_one(settings: Any) -> None:
    settings.RAKEBACK_NODE_URL = ""
    assert "RAKEBACK_NODE_URL is not set" in set_up()
    ingest = PeriodicTask.objects.get(task="chain.ingest")
    assert (ingest.enabled, ingest.description) == (False, NO_NODE)
    assert PeriodicTask.objects.filter(enabled=True).count() == len(SCHEDULES) - 1
    set_up()
    ingest.refresh_from_db()
    assert not ingest.enabled
    settings.RAKEBACK_NODE_URL = "ws://node:9944"
    assert "switched on" in set_up()
    ingest.refresh_from_db()
    assert (ingest.enabled, ingest.description) == (True, "")
    # Switched off by hand afterwards, it stays off.
    PeriodicTask.objects.filter(pk=ingest.pk).update(enabled=False)
    set_up()
    ingest.refresh_from_db()
    assert not ingest.enabled


def test_schedules_name_tasks_that_workers_know() -> None:
    app.loader.import_default_modules()
    for schedule in SCHEDULES:
        assert schedule.task in app.tasks, schedule.task
