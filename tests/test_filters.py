"""What a list is filtered by may be typed into its address: whatever it says, the list answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.db import models, transaction
from django.test import Client
from django.urls import reverse

from partners.models import Partner
from payments.tests.factories import make_user
from tests.guards import sql

pytestmark = pytest.mark.django_db

IMPOSSIBLE = ("a\0b", "9" * 30)
LEFT_OUT = "cannot be filtered by what its address says"


@pytest.fixture
def root(caplog: pytest.LogCaptureFixture) -> Client:
    caplog.set_level(logging.CRITICAL)
    client = Client(raise_request_exception=False)
    client.force_login(make_user("root", is_superuser=True))
    return client


def address(model: type[models.Model], view: str = "changelist") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}")


def parameters(model: type[models.Model], root: Client) -> Iterator[str]:
    """Every parameter that the list's filters read, offered or not, and one that Django takes for any column."""
    shown = root.get(address(model)).context["cl"]
    for spec in shown.filter_specs:
        yield from spec.expected_parameters()
    for listed in shown.list_filter:
        if isinstance(listed, str | tuple):
            name = listed if isinstance(listed, str) else listed[0]
            yield from (name, f"{name}__exact")
        else:
            yield listed.parameter_name
    yield f"{model._meta.pk.attname}__exact"


def test_threat12_no_list_breaks_on_a_filter_that_cannot_be(root: Client) -> None:
    broken, left_out, asked = [], set(), 0
    for model in admin.site._registry:
        for name in sorted({*parameters(model, root)}):
            for value in IMPOSSIBLE:
                with transaction.atomic():
                    answer = root.get(f"{address(model)}?{urlencode({name: value})}")
                    transaction.set_rollback(True)
                asked += 1
                if answer.status_code >= 500:
                    broken.append((model.__name__, name, value))
                elif answer.status_code == 302:
                    assert answer["Location"] == f"{address(model)}?e=1"
                    left_out.add(model)
    assert broken == []
    assert len(left_out) > len(admin.site._registry) / 2
    assert asked > 200


@pytest.mark.parametrize(
    "path",
    [
        "partners/partner/?kind=%00",
        "partners/rule/?kind__exact=%00",
        "partners/change/?kind=%00",
        "partners/agreement/?tiers__exact=x",
        "partners/partner/?name__regex=(",
        "partners/partner/?kind__range=abc",
        "chain/gap/?kind__range=a,b",
        "chain/backfill/?e=1&state__trigram_similar=x",
        "partners/wallet/?introduced_date__year=99999999999999999999",
        "partners/wallet/?introduced_date__range=x",
        "partners/wallet/?id__range=1",
        "partners/agreement/?effective__contains=x",
        "partners/wallet/?introduced_date__week_day=x",
        "partners/rule/?applies_from_block__contains=%00",
        # Known to Django as what cannot be.
        "partners/partner/?nothing=x",
        "chain/poolprice/csv/?pricing__exact=%00",
    ],
)
def test_threat12_the_list_says_that_it_left_the_filter_out(root: Client, path: str) -> None:
    with transaction.atomic():
        answer = root.get(f"/admin/{path}")
        transaction.set_rollback(True)
    assert answer["Location"] == f"/admin/{'/'.join(path.split('/')[:2])}/?e=1"
    assert LEFT_OUT in root.get(answer["Location"]).content.decode()


def test_threat12_a_list_that_is_not_filtered_says_nothing_of_it(root: Client) -> None:
    assert LEFT_OUT not in root.get(f"{address(Partner)}?kind=NAMED").content.decode()


def test_threat12_a_list_that_fails_for_another_reason_still_fails(root: Client) -> None:
    sql("ALTER TABLE partners_partner RENAME TO partners_elsewhere")
    for query in ("", "?e=1", "?kind=NAMED"):
        with transaction.atomic():
            assert root.get(address(Partner) + query).status_code == 500
            transaction.set_rollback(True)


@pytest.mark.parametrize("error", [TypeError("x"), KeyError("x"), ValueError("x"), OverflowError("x")])
def test_threat12_an_error_of_ours_under_a_filter_is_one(
    root: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Partner.objects.create(name="One", slug="one")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("partners.admin.partners.PartnerAdmin.get_ordering", fail)
    with transaction.atomic():
        assert root.get(f"{address(Partner)}?kind=NAMED").status_code == 500
        transaction.set_rollback(True)


def test_threat12_so_is_a_cell_that_is_called_with_too_few_values(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Partner.objects.create(name="One", slug="one")
    monkeypatch.setattr("partners.admin.partners.PartnerAdmin.list_display", ("name", lambda: ""))
    with transaction.atomic():
        assert root.get(f"{address(Partner)}?kind=NAMED").status_code == 500
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    "path",
    [
        "autocomplete/?app_label=partners&model_name=agreement&field_name=partner&term=%00",
        "partners/change/%00/change/",
        "partners/apikey/%00/history/",
    ],
)
def test_threat12_a_zero_byte_in_the_address_of_any_page_is_a_bad_request(root: Client, path: str) -> None:
    with transaction.atomic():
        assert root.get(f"/admin/{path}").status_code == 400
        transaction.set_rollback(True)


def test_threat12_an_action_on_a_list_whose_address_holds_a_zero_byte_is_a_bad_request(root: Client) -> None:
    with transaction.atomic():
        sent = {"action": "export_admin_action", "_selected_action": ["1"], "index": "0"}
        assert root.post("/admin/partners/rule/?kind__exact=%00", sent).status_code == 400
        transaction.set_rollback(True)
