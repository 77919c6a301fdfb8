"""The libraries' own models in the admin's look: users, groups, schedules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from chain.careful import CarefulAdmin

for model in (
    User,
    Group,
    PeriodicTask,
    IntervalSchedule,
    CrontabSchedule,
    # Nothing here runs by the sun, or once.
    SolarSchedule,
    ClockedSchedule,
):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, CarefulAdmin):  # type: ignore[type-arg]
    """Members of staff; what they may do comes from their groups."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, CarefulAdmin):
    """Groups and their rights."""


class TaskWidget(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]
    """Beat's list of known tasks, as an Unfold field."""


class TaskForm(PeriodicTaskForm):  # type: ignore[misc]
    """Beat's form with Unfold's fields for the two that beat draws itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatTaskAdmin, CarefulAdmin):  # type: ignore[misc]
    """What runs by itself; edits here outlast `setup_schedules`."""

    form = TaskForm
    list_display = ["name", "enabled", "scheduler", "last_run_at", "description"]
    fieldsets = [
        (None, {"fields": ["name", "regtask", "task", "enabled", "description"]}),
        ("Schedule", {"fields": ["interval", "crontab", "start_time", "last_run_at", "one_off"]}),
        ("Arguments", {"fields": ["args", "kwargs"], "classes": ["collapse"]}),
        (
            "Execution",
            {"fields": ["expires", "expire_seconds", "queue", "priority"], "classes": ["collapse"]},
        ),
    ]


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(CarefulAdmin):
    """Every so many seconds, minutes, hours."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabAdmin, CarefulAdmin):  # type: ignore[misc]
    """At a time of day."""
