"""Templates of agreements have a history like all that is offered and paid by: written, sealed and listed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse

from partners.models import AgreementTemplate, Change, Seal
from partners.sealing import check_history
from partners.tests.factories import make_partner, make_user
from partners.tests.test_two_people import OVERTAKEN, fields_of, page_of
from tests.guards import refused, sql, without_triggers

pytestmark = pytest.mark.django_db
NAMED = "Named partner, 33 %"


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator", name="olga"))
    return client


def changes() -> list[tuple[Any, ...]]:
    listed = Change.objects.filter(kind="AGREEMENTTEMPLATE", reason__startswith="because").order_by(
        "event_id"
    )
    return list(listed.values_list("what", "object_name", "username", "reason"))


def test_pa6_a_template_that_was_there_begins_its_history_with_what_it_holds() -> None:
    begun = Change.objects.filter(kind="AGREEMENTTEMPLATE")
    assert {change.object_name: change.values["rate_bps"] for change in begun} == {
        NAMED: 3_300,
        "Wallet app, 50 %, new delegators": 5_000,
    }
    assert check_history().ok
    assert Seal.objects.count() == 2


def test_pa6_who_changes_a_template_says_why_and_is_shown(operator: Client) -> None:
    template = AgreementTemplate.objects.get(name=NAMED)
    typed = fields_of(operator.get(page_of(template)), template) | {"rate_bps": "40 %"}
    assert operator.post(page_of(template), typed).status_code == 200, "not without a reason"
    operator.post(page_of(template), typed | {"reason": "because the market moved"})
    assert changes() == [("update", NAMED, "olga", "because the market moved")]
    shown = "rate: 33 % (3300 bps) → 40 % (4000 bps)"
    timeline = operator.get(reverse("admin:partners_agreementtemplate_history", args=[template.pk]))
    assert "33 % (3300 bps)" in timeline.content.decode()
    assert "because the market moved" in timeline.content.decode()
    listed = operator.get(reverse("admin:partners_change_changelist"), {"q": "market"}).content.decode()
    assert shown in listed
    assert reverse("admin:partners_agreementtemplate_history", args=[template.pk]) in listed
    assert check_history().ok


def test_pa6_a_removed_template_stays_in_the_history(operator: Client) -> None:
    template = AgreementTemplate.objects.get(name=NAMED)
    url = reverse("admin:partners_agreementtemplate_delete", args=[template.pk])
    assert 'name="reason"' in operator.get(url).content.decode()
    operator.post(url, {"post": "yes", "reason": "because nobody asks for it"})
    assert changes() == [("delete", NAMED, "olga", "because nobody asks for it")]
    removed = Change.objects.get(kind="AGREEMENTTEMPLATE", what="delete")
    assert (removed.object_name, removed.values["rate_bps"]) == (NAMED, 3_300)
    assert removed.request_id
    assert removed.user_id
    assert check_history().ok
    assert NAMED in operator.get(reverse("admin:partners_change_changelist")).content.decode()


@pytest.mark.parametrize(("reason", "said"), [("", "Say why"), ("a\u202eb", "U+202E"), ("x" * 501, "500")])
def test_pa6_no_template_is_removed_without_a_reason_that_can_be_kept(
    operator: Client, reason: str, said: str
) -> None:
    template = AgreementTemplate.objects.get(name=NAMED)
    url = reverse("admin:partners_agreementtemplate_delete", args=[template.pk])
    page = operator.post(url, {"post": "yes", "reason": reason})
    assert said in page.content.decode()
    assert reason in page.content.decode()
    assert operator.post(url).status_code == 200
    assert AgreementTemplate.objects.count() == 2


def test_pa6_many_templates_are_removed_with_one_reason(operator: Client) -> None:
    keys = [str(pk) for pk in AgreementTemplate.objects.values_list("pk", flat=True)]
    url = reverse("admin:partners_agreementtemplate_changelist")
    chosen = {"action": "delete_selected", "_selected_action": keys}
    asked = operator.post(url, chosen | {"index": "0", "reason": "because all are old"}).content.decode()
    assert 'value="because all are old"' in asked
    refused_page = operator.post(url, chosen | {"post": "yes", "reason": ""}).content.decode()
    assert "Say why" in refused_page
    assert all(f'name="_selected_action" value="{pk}"' in refused_page for pk in keys)
    assert AgreementTemplate.objects.count() == 2
    operator.post(url, chosen | {"post": "yes", "reason": "because all are old"})
    assert not AgreementTemplate.objects.exists()
    assert {(what, why) for what, _, _, why in changes()} == {("delete", "because all are old")}
    assert check_history().ok


def test_pa6_a_page_of_a_template_that_did_not_know_of_a_change_saves_nothing(operator: Client) -> None:
    template = AgreementTemplate.objects.get(name=NAMED)
    typed = fields_of(operator.get(page_of(template)), template) | {"reason": "because"}
    AgreementTemplate.objects.filter(pk=template.pk).update(rate_bps=4_000)
    assert OVERTAKEN in operator.post(page_of(template), typed).content.decode()
    template.refresh_from_db()
    assert template.rate_bps == 4_000


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE partners_agreementtemplateevent SET rate_bps = 1",
        "UPDATE partners_agreementtemplate SET rate_bps = 1",
        "DELETE FROM partners_agreementtemplateevent",
        "DELETE FROM partners_agreementtemplate",
    ],
)
def test_pa6_what_is_changed_behind_it_is_found(edit: str) -> None:
    with without_triggers():
        sql(edit)
    assert not check_history().ok


def test_pa6_its_history_is_written_by_its_triggers_alone() -> None:
    with refused("history_by_triggers"):
        sql(
            "INSERT INTO partners_agreementtemplateevent (pgh_created_at, pgh_label, pgh_obj_id, id, name, description,"
            " rate_bps, minimum_payout_rao, new_delegators_only, rule_kind)"
            " SELECT now(), 'update', id, id, name, description, 1, 0, false, rule_kind FROM partners_agreementtemplate"
        )
    sql("CREATE TEMPORARY TABLE partners_agreementtemplateevent (LIKE partners_agreementtemplateevent)")
    sql("UPDATE partners_agreementtemplate SET rate_bps = 1")
    assert sql("SELECT count(*) FROM pg_temp.partners_agreementtemplateevent") == [(0,)]
    assert sql("SELECT count(*) FROM public.partners_agreementtemplateevent") == [(4,)]


def test_pa6_a_name_of_a_template_could_not_pass_for_another(operator: Client) -> None:
    url = reverse("admin:partners_agreementtemplate_add")
    form = {"name": "N\u0430med partner", "rate_bps": "1 %", "rule_kind": "ALL"}
    assert "Cyrillic" in operator.post(url, form).content.decode()


def test_pa6_there_is_no_way_back_once_other_changes_were_sealed_after() -> None:
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    before = [("partners", "0015_history_by_triggers")]
    MigrationExecutor(connection).migrate(before)
    assert not Seal.objects.exists()
    MigrationExecutor(connection).migrate(newest)
    make_partner()
    with pytest.raises(DatabaseError, match="go back to a backup"), transaction.atomic():
        MigrationExecutor(connection).migrate(before)
    assert check_history().ok
