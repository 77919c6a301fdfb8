"""Users, groups and schedules in the admin: every page opens and saves."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django_celery_beat.models import PeriodicTask

from payments.tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("root", is_superuser=True))
    call_command("setup_schedules", verbosity=0)
    return client


def test_every_page_opens(client: Client) -> None:
    task = PeriodicTask.objects.get(task="ledger.attribute")
    crontab = PeriodicTask.objects.get(task="ledger.check_ledger").crontab
    group, user = Group.objects.get(name="approver"), User.objects.get()
    for model, pk in (
        ("auth/user", user.pk),
        ("auth/group", group.pk),
        ("django_celery_beat/periodictask", task.pk),
        ("django_celery_beat/intervalschedule", task.interval.pk),
        ("django_celery_beat/crontabschedule", crontab.pk),
    ):
        for page in ("", "add/", f"{pk}/change/"):
            assert client.get(f"/admin/{model}/{page}").status_code == 200, (model, page)
    assert client.get(f"/admin/auth/user/{user.pk}/password/").status_code == 200


def test_an_operator_can_switch_a_task_off_and_it_stays_off(client: Client) -> None:
    task = PeriodicTask.objects.get(task="ledger.attribute")
    page = client.get(f"/admin/django_celery_beat/periodictask/{task.pk}/change/")
    form = {
        name: value
        for name, value in page.context["adminform"].form.initial.items()
        if value is not None and not isinstance(value, bool)
    }
    form |= {"regtask": "ledger.attribute", "enabled": ""}
    answer = client.post(f"/admin/django_celery_beat/periodictask/{task.pk}/change/", form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    call_command("setup_schedules", verbosity=0)
    task.refresh_from_db()
    assert not task.enabled
    assert task.task == "ledger.attribute"


def test_a_new_member_of_staff_gets_a_group(client: Client) -> None:
    form = {
        "username": "anna",
        "password1": "Tru3-and-l0ng",
        "password2": "Tru3-and-l0ng",
        "usable_password": "true",
    }
    assert client.post("/admin/auth/user/add/", form).status_code == 302
    assert User.objects.get(username="anna").check_password("Tru3-and-l0ng")
