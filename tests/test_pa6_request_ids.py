"""One name per request: in its answer, in its log and in the history of what it changed (PA6)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import structlog
from django.test import Client
from django.urls import reverse
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from partners import services
from partners.models import Change, Partner
from partners.sealing import check_history
from partners.tests.factories import make_partner, make_user
from partners.tests.test_admin import agreement_row, partner_form

pytestmark = pytest.mark.django_db

GIVEN = "ticket-2025_0042"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_user("operator", name="olga"))
    return client


@pytest.fixture(autouse=True)
def _no_context_left() -> Iterator[None]:
    yield
    assert "request_id" not in structlog.contextvars.get_contextvars()


def add_partner(client: Client, **headers: str) -> str:
    """Add a partner with an agreement, which gets a rule; returns the name of the request."""
    form = partner_form(reason="Signed") | {"agreements-TOTAL_FORMS": "1"}
    answer = client.post(
        reverse("admin:partners_partner_add"), form | agreement_row(0, "2025-08-01", "33 %"), headers=headers
    )
    assert answer.status_code == 302
    return answer["X-Request-ID"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 302), ("/health/live/", 200), ("/api/v1/partners", 401), ("/admin/none/", 302), ("/none", 404)],
)
def test_pa6_every_answer_names_its_request(path: str, status: int) -> None:
    answers = [Client().get(path) for _ in range(2)]
    names = {str(uuid.UUID(answer["X-Request-ID"])) for answer in answers}
    assert [answer.status_code for answer in answers] == [status, status]
    assert len(names) == 2


def test_pa6_a_refused_host_is_named_too() -> None:
    answer = Client().get("/", headers={"host": "elsewhere.example"})
    assert answer.status_code == 400
    assert str(uuid.UUID(answer["X-Request-ID"])) == answer["X-Request-ID"]


@pytest.mark.parametrize("name", [GIVEN, "a" * 8, "Z9-_" * 16, "3f8a4c1e-0b52-4c6e-9d3f-38ab7329352f"])
def test_pa6_a_short_token_is_kept(name: str) -> None:
    assert Client().get("/health/live/", headers={"x-request-id": name})["X-Request-ID"] == name


@pytest.mark.parametrize(
    "name",
    ["", "short", "a" * 65, "with space", "line\nbreak", "<script>1", "ümlautüü", "a,b;c=d.e", "token-12\n"],
)
def test_pa6_anything_else_is_replaced(name: str) -> None:
    answer = Client().get("/health/live/", headers={"x-request-id": name})
    assert str(uuid.UUID(answer["X-Request-ID"])) == answer["X-Request-ID"]


def test_pa6_the_history_of_one_request_carries_its_name(operator: Client) -> None:
    made = add_partner(operator)
    changes = list(Change.objects.exclude(kind="AGREEMENTTEMPLATE"))
    assert {change.kind for change in changes} == {"PARTNER", "AGREEMENT", "RULE"}
    assert {change.request_id for change in changes} == {made}
    partner = Partner.objects.get()
    operator.post(
        reverse("admin:partners_partner_change", args=[partner.pk]),
        partner_form(reason="Moved", notes="new") | {"agreements-INITIAL_FORMS": "0"},
        headers={"x-request-id": GIVEN},
    )
    assert Change.objects.get(what="update").request_id == GIVEN
    assert check_history().ok


def test_pa6_the_pages_show_the_request_and_find_changes_by_it(operator: Client) -> None:
    make_partner("Other", "other")
    made = add_partner(operator)
    partner = Partner.objects.get(slug="creative-builds")
    link = f"{reverse('admin:partners_change_changelist')}?q={made}"
    history = operator.get(reverse("admin:partners_partner_history", args=[partner.pk])).content.decode()
    assert history.count(f'href="{link}"') == 3
    found = operator.get(link)
    assert {change.object_name for change in found.context["cl"].result_list} == {
        "Creative Builds",
        "Creative Builds, 33 %",
        "Creative Builds, wallet rule",
    }
    assert f'title="Request {made}">{made[:8]}</a>' in found.content.decode()


def test_pa6_what_no_request_changed_has_no_name_and_says_so(operator: Client) -> None:
    partner = services.create_partner(actor=None, name="By command", slug="by-command", reason="seed")
    assert Change.objects.get(kind="PARTNER").request_id == ""
    page = operator.get(reverse("admin:partners_partner_history", args=[partner.pk])).content.decode()
    assert "Request:" not in page
    assert check_history().ok


def test_pa6_the_log_of_a_request_has_the_same_name() -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = Client().get("/health/live/", headers={"x-request-id": GIVEN})
    assert answer["X-Request-ID"] == GIVEN
    assert {(line["event"], line["request_id"]) for line in lines} == {
        ("request_started", GIVEN),
        ("request_finished", GIVEN),
    }
