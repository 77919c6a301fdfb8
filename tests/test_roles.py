"""Every page, form, bulk action and import, tried as every role against the table in `tests/roles.py` (PA6, threat 5)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path, reverse

import rakeback.demo
import rakeback.urls
from chain.models import Block
from ledger.models import Entry, Period
from ledger.services import close_day
from partners.admin.agreements import RuleAdmin
from partners.models import ApiKey, Partner
from payments.models import Batch
from payments.services import NotAllowed, approve_batch
from tests.guards import refused, sql
from tests.role_requests import NODE, PASSWORD, Request, Requests, routes
from tests.roles import (
    ADMINISTRATOR,
    APPROVER,
    AUDITOR,
    EDITORS,
    MODELS,
    NOBODY,
    OPERATOR,
    PAGES,
    STAFF,
    VIEWER,
    Page,
)

GROUPS = VIEWER | OPERATOR | APPROVER | AUDITOR | ADMINISTRATOR
ROLES = ("anonymous", "stranger", *sorted(GROUPS), "superuser", "key", "partner's key")
STEPS = ("changelist", "add", "history", "delete", "change")
# Rows of these are what the business is; sessions and the like may change whenever somebody looks.
APPS = ("chain", "partners", "ledger", "payments", "auth", "django_celery_beat")
NODE_SETTINGS = {"RAKEBACK_NODE_URL": NODE, "RAKEBACK_NODE_SECONDS_MAX": 1}


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Leave out the logs of refused requests, which take longer to write than all else."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def site(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Requests]:
    """The demonstration's data with one day left to close, once for all tests here; each undoes what it did."""
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock(), transaction.atomic():
        patch.setattr(rakeback.demo, "close_due_days", close_all_but_one)
        call_command("demo", no_serve=True, verbosity=0, stdout=StringIO())
        yield Requests(tmp_path_factory.mktemp("roles"))
        transaction.set_rollback(True)


def close_all_but_one(*, actor: Any, now: Any) -> None:
    days = sorted({day.date() for day in Block.objects.values_list("timestamp", flat=True)})
    # The last one is not over yet.
    for day in days[:-2]:
        close_day(day=day, actor=actor, now=now)


@contextmanager
def signed_in(role: str) -> Iterator[Client]:
    """Somebody new in this role, who is gone afterwards with all they did."""
    with transaction.atomic():
        yield _sign_in(role)
        transaction.set_rollback(True)


def _sign_in(role: str) -> Client:
    client = Client(raise_request_exception=False)
    if role in ("key", "partner's key"):
        partner = Partner.objects.get(slug="creative-builds") if role == "partner's key" else None
        _, secret = ApiKey.objects.create_key(name=role, partner=partner)
        return Client(raise_request_exception=False, headers={"x-api-key": secret})
    if role != "anonymous":
        user = User.objects.create_user(
            role, password=PASSWORD, is_staff=True, is_superuser=role == "superuser"
        )
        user.groups.set(Group.objects.filter(name=role))
        client.force_login(user)
    return client


@contextmanager
def undone(client: Client) -> Iterator[None]:
    """Undo what is done inside, in the database and in the cookies."""
    cookies = deepcopy(client.cookies)
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    client.cookies = cookies


# --- the table is whole ----------------------------------------------------------------------------------


def label(model: type[Any]) -> str:
    return str(model._meta.label)


def missing_rows() -> list[str]:
    """What the site has and the table has not, and the other way round; each says what to do."""
    return [*_models_without_rows(), *_actions_without_rows(), *_pages_without_rows()]


def _models_without_rows() -> Iterator[str]:
    found = {label(model) for model in admin.site._registry}
    for name in sorted(found - set(MODELS)):
        yield f"{name} is in the admin and has no row: add it to MODELS of tests/roles.py"
    for name in sorted(set(MODELS) - found):
        yield f"{name} is not in the admin: take it out of MODELS of tests/roles.py"


def _actions_without_rows() -> Iterator[str]:
    for model, model_admin in admin.site._registry.items():
        actions = model_admin._get_base_actions() if model_admin.actions is not None else []  # type: ignore[attr-defined]
        found = {name for _, name, _ in actions} - {"delete_selected"}
        known = set(MODELS[label(model)].actions) if label(model) in MODELS else found
        where = f"MODELS[{label(model)!r}].actions of tests/roles.py"
        for name in sorted(found - known):
            yield f"action {name!r} has no row: add it to {where}"
        for name in sorted(known - found):
            yield f"there is no action {name!r}: take it out of {where}"


def _pages_without_rows() -> Iterator[str]:
    of_models: set[str] = set()
    for model in admin.site._registry:
        base = f"admin/{model._meta.app_label}/{model._meta.model_name}/"
        of_models |= {base, f"{base}add/", f"{base}<path:object_id>/"}
        of_models |= {f"{base}<path:object_id>/{step}/" for step in ("history", "delete", "change")}
    found = {
        "admin:catch-all" if route == "admin/(?P<url>.*)$" else name or route: route
        for name, route in routes()
        if route not in of_models
    }
    for name in sorted(set(found) - set(PAGES)):
        yield (
            f"{found[name]!r} has no row: add {name!r} to PAGES of tests/roles.py, with who may see it and who may send it,"
            " and to tests/role_requests.py what to send"
        )
    for name in sorted(set(PAGES) - set(found)):
        yield f"there is no page {name!r}: take it out of PAGES of tests/roles.py"


def test_pa6_every_page_model_and_action_has_a_row() -> None:
    assert missing_rows() == []


def new_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("new")


def test_pa6_a_new_page_without_a_row_is_found_and_the_message_says_what_to_add() -> None:
    module = ModuleType("urls_with_one_more")
    module.urlpatterns = [path("admin/new/", new_page, name="new"), *rakeback.urls.urlpatterns]  # type: ignore[attr-defined]
    with override_settings(ROOT_URLCONF=module):
        (problem,) = missing_rows()
    assert problem.startswith("'admin/new/' has no row: add 'new' to PAGES of tests/roles.py")


def test_pa6_a_new_nameless_page_is_found_too() -> None:
    module = ModuleType("urls_with_one_more")
    module.urlpatterns = [path("elsewhere/", new_page), *rakeback.urls.urlpatterns]  # type: ignore[attr-defined]
    with override_settings(ROOT_URLCONF=module):
        (problem,) = missing_rows()
    assert "add 'elsewhere/' to PAGES" in problem


def test_pa6_a_new_action_without_a_row_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RuleAdmin, "forget", lambda *_: None, raising=False)
    monkeypatch.setattr(RuleAdmin, "actions", (*RuleAdmin.actions, "forget"))
    assert missing_rows() == [
        "action 'forget' has no row: add it to MODELS['partners.Rule'].actions of tests/roles.py"
    ]


def test_pa6_a_model_that_the_table_forgot_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(MODELS, "ledger.Entry")
    assert missing_rows() == [
        "ledger.Entry is in the admin and has no row: add it to MODELS of tests/roles.py"
    ]


# --- everything that is shown ----------------------------------------------------------------------------


def is_let_in(answer: Any) -> bool:
    return answer.status_code == 200 or (
        answer.status_code == 302 and not answer["Location"].startswith("/admin/login/")
    )


def is_refused(answer: Any) -> bool:
    return answer.status_code in (401, 403, 404, 405) or (answer.status_code == 302 and not is_let_in(answer))


def is_ignored(request: Request, answer: Any) -> bool:
    """Tell whether the list is merely shown again: what is not offered to somebody does nothing when it is sent."""
    return request.is_action and answer.status_code == 200


def written() -> dict[str, int]:
    """How many rows of each table of the business were written in this transaction, undone ones included."""
    tables = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in APPS
    }
    rows = sql("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables")
    return {str(name): int(str(count)) for name, count in rows if name in tables}


def shown(site: Requests) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Every address with what it is called and who may see it."""
    for model in admin.site._registry:
        row = MODELS[label(model)]
        who = {"add": row.add, "delete": row.delete}
        for step in STEPS:
            yield site.url(model, step), f"{label(model)} {step}", who.get(step, row.see)
        # Leads to the page of the row, which has its own guard.
        yield site.url(model, "change").removesuffix("change/"), f"{label(model)} by key", STAFF
    for name, page in PAGES.items():
        for request in site.of_page(name):
            yield request.url, name, page.get


@pytest.mark.parametrize("role", ROLES)
@override_settings(**NODE_SETTINGS)
def test_pa6_each_role_sees_what_the_table_says_and_looking_writes_nothing(site: Requests, role: str) -> None:
    with signed_in(role) as client:
        wrong = list(wrongly_shown(client, role, shown(site)))
    assert not wrong, "\n".join(wrong)


def wrongly_shown(
    client: Client, role: str, pages: Iterable[tuple[str, str, frozenset[str]]]
) -> Iterator[str]:
    for url, name, who in pages:
        with undone(client):
            before = written()
            answer = client.get(url)
            # Files are sent as they are made.
            b"".join(answer) if answer.streaming else answer.content
            touched = written() != before
        if not (is_let_in(answer) if role in who else is_refused(answer)):
            may = "may" if role in who else "may not"
            yield f"{name}: GET {url} gives {answer.status_code}, and the role {may} see it"
        if touched:
            yield f"{name}: GET {url} wrote something"


# --- everything that is written --------------------------------------------------------------------------


def content(tables: set[str]) -> dict[str, object]:
    return {
        name: sql(
            f"SELECT md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM \"{name}\" t"
        )[0][0]
        for name in tables
    }


def send(client: Client, request: Request, method: str = "post") -> tuple[Any, set[str]]:
    """Send it and undo it; returns the answer and the tables whose rows were others afterwards."""
    with undone(client):
        data = request.data(client)
        with transaction.atomic():
            before = written()
            answer = getattr(client, method)(request.url, data)
            touched = {name for name, count in written().items() if count != before.get(name, 0)}
            after = content(touched)
            transaction.set_rollback(True)
        changed = {name for name, text in content(touched).items() if text != after[name]}
    return answer, changed


def sent(site: Requests) -> Iterator[tuple[Request, str, Page]]:
    """Everything that can be sent, with what it is called and who may."""
    for model in admin.site._registry:
        row = MODELS[label(model)]
        for step, who in (("add", row.add), ("change", row.change), ("delete", row.delete)):
            yield site.of_model(model, step), f"{label(model)} {step}", Page(STAFF, who)
        for name, page in {**row.actions, "delete_selected": Page(STAFF, row.delete)}.items():
            yield site.of_action(model, name), f"{label(model)} action {name}", page
    for name, page in PAGES.items():
        for request in site.of_page(name):
            yield request, name, page


@pytest.mark.parametrize("role", ROLES)
@override_settings(**NODE_SETTINGS)
def test_pa6_each_role_writes_what_the_table_says_and_nothing_else(site: Requests, role: str) -> None:
    with signed_in(role) as client:
        wrong = list(wrongly_written(client, role, sent(site)))
    assert not wrong, "\n".join(wrong)


def _errors(answer: Any) -> str:
    """What a form that was sent in vain says, for whoever mends the request."""
    context = answer.context or {}
    found = [context[name] for name in ("errors", "form") if name in context]
    return "".join(f"; {getattr(one, 'errors', one)}" for one in found)


def wrongly_written(client: Client, role: str, cases: Iterable[tuple[Request, str, Page]]) -> Iterator[str]:
    for request, name, page in cases:
        answer, changed = send(client, request)
        may = role in page.post
        if answer.status_code >= 500:
            yield (f"{name}: POST {request.url} gives {answer.status_code}")
        elif may and not (is_let_in(answer) and bool(changed) == page.writes):
            yield (
                f"{name}: POST {request.url} gives {answer.status_code} and changes {changed or 'nothing'}{_errors(answer)}"
            )
        elif changed and not may:
            yield (f"{name}: POST {request.url} changes {changed}, and the role may not")
        elif not may and not page.writes and not (is_refused(answer) or is_ignored(request, answer)):
            yield (f"{name}: POST {request.url} gives {answer.status_code}, and the role may not")


@pytest.mark.parametrize(
    ("role", "page", "said"),
    [
        ("operator", Page(NOBODY, NOBODY), "and the role may not"),
        ("viewer", Page(NOBODY, VIEWER), "gives 403 and changes nothing"),
        ("operator", Page(NOBODY, EDITORS, writes=False), "gives 302 and changes {"),
    ],
)
def test_pa6_a_wrong_row_is_noticed(site: Requests, role: str, page: Page, said: str) -> None:
    """The comparison itself, on closing a day: that a right or a lack of it which the table does not have makes it fail."""
    name = "admin:ledger_close_confirm"
    with signed_in(role) as client:
        wrong = "".join(wrongly_written(client, role, [(site.of_page(name)[0], name, page)]))
        assert not list(wrongly_written(client, role, [(site.of_page(name)[0], name, PAGES[name])]))
    assert said in wrong
    assert ("ledger_period" in wrong) == (role == "operator")


def test_pa6_a_page_shown_to_somebody_else_is_noticed(site: Requests) -> None:
    with signed_in("viewer") as client:
        url = reverse("admin:ledger_close")
        assert "the role may see it" in "".join(wrongly_shown(client, "viewer", [(url, "close", VIEWER)]))
        assert "the role may not see it" in "".join(
            wrongly_shown(client, "viewer", [(reverse("admin:index"), "index", NOBODY)])
        )


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_ap1_nobody_writes_by_the_api(site: Requests, role: str, method: str) -> None:
    with signed_in(role) as client:
        for name in PAGES:
            if name.startswith("api-"):
                for request in site.of_page(name):
                    answer, changed = send(client, request, method)
                    assert (is_refused(answer), changed) == (True, set()), name


# --- two people ------------------------------------------------------------------------------------------


@pytest.fixture
def own_batch(site: Requests) -> Iterator[tuple[Batch, User]]:
    """A batch that a superuser, who also is operator and approver, proposed."""
    with signed_in("superuser") as client:
        request = site.of_page("admin:payments_batch_propose_confirm")[0]
        user = User.objects.get(username="superuser")
        user.groups.set(Group.objects.filter(name__in=("operator", "approver")))
        assert client.post(request.url, request.data(client)).status_code == 302
        batch = Batch.objects.get(status="PROPOSED")
        assert batch.proposed_by == user
        yield batch, user


def test_threat5_a_superuser_cannot_approve_their_own_batch_by_page(own_batch: tuple[Batch, User]) -> None:
    batch, user = own_batch
    client = Client()
    client.force_login(user)
    assert (
        b"Approve 1 payout"
        not in client.get(reverse("admin:payments_batch_approve", args=[batch.pk])).content
    )
    entries = Entry.objects.count()
    answer = client.post(
        reverse("admin:payments_batch_approve_confirm", args=[batch.pk]),
        {"content_hash": batch.content_hash},
        follow=True,
    )
    assert "You proposed" in answer.content.decode()
    batch.refresh_from_db()
    assert (batch.status, Entry.objects.count()) == ("PROPOSED", entries)


def test_threat5_nor_by_the_service(own_batch: tuple[Batch, User]) -> None:
    batch, user = own_batch
    with pytest.raises(NotAllowed, match="A second person"):
        approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=user, now=batch.proposed_at)


def test_threat5_nor_by_the_orm_nor_by_sql(own_batch: tuple[Batch, User]) -> None:
    batch, user = own_batch
    with refused("batch_approver_is_not_proposer"):
        Batch.objects.filter(pk=batch.pk).update(
            status="APPROVED", approved_by=user, approved_at=batch.proposed_at
        )
    with refused("batch_approver_is_not_proposer"):
        batch.status, batch.approved_by, batch.approved_at = "APPROVED", user, batch.proposed_at
        batch.save()
    with refused("batch_approver_is_not_proposer"):
        sql(
            "UPDATE payments_batch SET status = 'APPROVED', approved_by_id = proposed_by_id, approved_at = now()"
            " WHERE id = %s",
            batch.pk,
        )
    # Nor by saying that somebody else had proposed it.
    with (
        pytest.raises(Exception, match="what was proposed, and by whom, cannot change"),
        transaction.atomic(),
    ):
        sql(
            "UPDATE payments_batch SET proposed_by_id = (SELECT min(id) FROM auth_user) WHERE id = %s",
            batch.pk,
        )


MAKERS = {"propose_batch", "run_backfill", "change_hotkey", "add_importrun", "close_period"}
DECIDERS = {"approve_batch", "accept_gap"}


@pytest.mark.django_db
def test_py1_no_group_both_makes_and_decides() -> None:
    for group in Group.objects.all():
        codenames = set(group.permissions.values_list("codename", flat=True))
        assert not (codenames & MAKERS and codenames & DECIDERS), group


# --- what the pages say ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_pa6_an_auditor_may_read_whatever_a_viewer_may_and_write_nothing() -> None:
    rights = {
        name: set(Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename"))
        for name in ("viewer", "auditor")
    }
    assert rights["viewer"] < rights["auditor"]
    assert rights["auditor"] - rights["viewer"] == {
        ("auth", "view_user"),
        ("auth", "view_group"),
        ("ledger", "check_period"),
        ("partners", "export_wallet"),
        ("partners", "view_apikey"),
    }


def test_pa6_an_auditor_sees_who_may_do_what_but_no_password_hash(site: Requests) -> None:
    with signed_in("auditor") as client:
        page = client.get(site.url(User, "change")).content.decode()
    assert "person" in page
    assert site.person.password not in page


def test_pa6_a_refusal_says_so(site: Requests) -> None:
    with signed_in("stranger") as client:
        answer = client.get(reverse("admin:partners_partner_changelist"))
    assert answer.status_code == 403
    assert b"Your account may not do this" in answer.content


def test_ui_a_page_that_saves_nothing_has_no_buttons_for_it(site: Requests) -> None:
    with signed_in("operator") as client:
        for model in (Block, Period, Batch, Entry):
            page = client.get(site.url(model, "change"), follow=True)
            assert page.status_code == 200
            assert b'id="submit-row"' not in page.content, model
