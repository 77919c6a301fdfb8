"""What each group sees: everybody in staff reads everything of the business, only an administrator the system's own rows."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from chain.models import Block
from ledger.models import Entry, Period
from payments.models import Batch

pytestmark = pytest.mark.django_db

BUSINESS = ("chain", "partners", "ledger", "payments")
ROLES = ("viewer", "operator", "approver", "administrator")


def signed_in(*groups: str) -> Client:
    user = User.objects.create_user("someone", is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(user)
    return client


def lists(app_labels: tuple[str, ...]) -> list[str]:
    return [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
        if model._meta.app_label in app_labels and model._meta.model_name != "apikey"
    ]


@pytest.mark.parametrize("role", ROLES)
def test_pa6_every_role_opens_every_list_of_the_business(role: str) -> None:
    client = signed_in(role)
    assert len(lists(BUSINESS)) > 20
    for url in lists(BUSINESS):
        assert client.get(url).status_code == 200, url


@pytest.mark.parametrize("role", [*ROLES, ""])
def test_pa6_no_role_opens_accounts_and_schedules(role: str) -> None:
    client = signed_in(role)
    for url in lists(("auth", "django_celery_beat")):
        answer = client.get(url)
        assert answer.status_code == 403, url
        assert b"Your account may not do this" in answer.content


def test_pa6_staff_without_a_group_sees_no_list() -> None:
    client = signed_in()
    for url in lists(BUSINESS):
        assert client.get(url).status_code == 403, url


def test_py1_no_group_may_both_propose_and_approve() -> None:
    for group in Group.objects.all():
        codenames = set(group.permissions.values_list("codename", flat=True))
        assert not {"propose_batch", "approve_batch"} <= codenames, group


def test_ui_a_page_that_saves_nothing_has_no_buttons_for_it() -> None:
    call_command("demo", no_serve=True, verbosity=0, stdout=StringIO())
    client = signed_in("operator")
    for row in (Block.objects.first(), Period.objects.first(), Batch.objects.first(), Entry.objects.first()):
        assert row is not None
        page = client.get(
            reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]), follow=True
        )
        assert page.status_code == 200
        assert b'id="submit-row"' not in page.content, row
