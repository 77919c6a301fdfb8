"""What an address fills in, and which rows an action is sent for, may be anything: every admin answers and says so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import User
from django.db import models, transaction
from django.test import Client, RequestFactory

from partners.models import Partner, Rule, Wallet
from partners.tests.factories import make_agreement, make_partner, make_wallet
from payments.tests.factories import make_user
from tests.guards import sql
from tests.test_filters import address

pytestmark = pytest.mark.django_db

ODD = ("abc", "a\0b", "9" * 30, "0001-01-01", "")
ODD_KEYS = ("abc", "a\0b", "9" * 30, "", "9" * 5_000)
LEFT_OUT = "The address fills in what is not possible there, so it was left out: "
WRITTEN = "SELECT count(*)::int FROM partners_change WHERE what <> 'insert'"
NONE_SELECTED = "Items must be selected in order to perform actions on them."


@pytest.fixture
def user() -> User:
    return make_user("root", is_superuser=True)


@pytest.fixture
def root(user: User, caplog: pytest.LogCaptureFixture) -> Client:
    caplog.set_level(logging.CRITICAL)
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def fields(model: type[models.Model], user: User) -> Iterator[str]:
    """Every field of the form by which a row of this model is added, if one can be."""
    model_admin, request = admin.site._registry[model], RequestFactory().get("/")
    request.user = user
    if model_admin.has_add_permission(request):
        shown = flatten_fieldsets(model_admin.get_fieldsets(request))
        yield from model_admin.get_form(request, fields=shown).base_fields


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def test_threat12_no_page_that_adds_breaks_on_what_its_address_fills_in(root: Client, user: User) -> None:
    broken, asked, left_out = [], 0, set()
    for model in admin.site._registry:
        for name in fields(model, user):
            for value in ODD:
                with transaction.atomic():
                    answer = root.get(f"{address(model, 'add')}?{urlencode({name: value})}")
                    transaction.set_rollback(True)
                asked += 1
                if answer.status_code != 200:
                    broken.append((model.__name__, name, value[:40], answer.status_code))
                elif LEFT_OUT in said(answer):
                    left_out.add((model, name))
    assert broken == []
    assert asked > 250
    assert len(left_out) > 40


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("agreement/add/?partner=abc", "Partner “abc”"),
        ("agreement/add/?partner=a%00b", "Partner “ab”"),
        ("agreement/add/?effective_from=abc&rate=x", "From “abc”, Rate “x”"),
        ("wallet/add/?partner=77", "Partner “77”"),
        ("wallet/add/?introduced_date=yesterday", "Introduced date “yesterday”"),
        ("rule/add/?agreement=abc", "Agreement “abc”"),
    ],
)
def test_threat12_the_page_says_what_of_its_address_it_left_out(root: Client, path: str, what: str) -> None:
    answer = root.get(f"/admin/partners/{path}")
    assert answer.status_code == 200
    listed = said(answer).removeprefix(LEFT_OUT).removesuffix(".").split(", ")
    assert sorted(listed) == sorted(what.split(", "))


def test_threat12_what_an_address_can_fill_in_is_filled_in(root: Client) -> None:
    partner = make_partner("One")
    for path, wanted in (
        (f"wallet/add/?partner={partner.pk}&introduced_date=2025-08-01", ("2025-08-01", str(partner))),
        ("agreement/add/?rate=7.5&sides=ALPHA", ('value="7.5"', 'value="ALPHA"')),
        ("agreement/add/?partner=", ()),
    ):
        answer = root.get(f"/admin/partners/{path}")
        assert said(answer) == ""
        for text in wanted:
            assert text in answer.content.decode()


def test_threat12_no_action_breaks_on_keys_that_are_none_and_nothing_is_written(root: Client) -> None:
    partner = make_partner("One")
    make_agreement(partner)
    make_wallet(partner)
    broken, asked, refused = [], 0, set()
    for model, model_admin in admin.site._registry.items():
        base = model_admin._get_base_actions() if model_admin.actions is not None else []  # type: ignore[attr-defined]
        for _, name, _ in base:
            for key in ODD_KEYS:
                sent = {"action": name, "_selected_action": [key], "index": "0", "reason": "Asked for"}
                with transaction.atomic():
                    answer = root.post(address(model), sent, follow=True)
                    transaction.set_rollback(True)
                asked += 1
                if answer.status_code != 200:
                    broken.append((model.__name__, name, key[:40], answer.status_code))
                elif NONE_SELECTED in said(answer):
                    refused.add((model, name))
    assert broken == []
    assert asked > 50
    assert {model for model, _ in refused} >= {Partner, Rule, Wallet}
    assert sql(WRITTEN) == [(0,)]


@pytest.mark.parametrize("odd", ["abc", "a\0b"])
def test_threat12_one_odd_key_among_others_keeps_all_as_they_are(root: Client, odd: str) -> None:
    partner = make_partner("One")
    sent = {"action": "pause", "_selected_action": [partner.pk, odd], "index": "0", "reason": "Asked for"}
    answer = root.post(address(Partner), sent, follow=True)
    assert NONE_SELECTED in said(answer)
    assert sql(WRITTEN) == [(0,)]


def test_threat12_an_export_of_a_list_that_cannot_be_filtered_leads_back_to_the_list(root: Client) -> None:
    for ask in (root.get, root.post):
        answer = ask("/admin/partners/wallet/export/?format=99")
        assert answer["Location"] == "/admin/partners/wallet/?e=1"
