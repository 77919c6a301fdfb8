"""An installation from before requests were named and auditors existed: its history stays whole, its groups become so."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from partners import services
from partners.models import Change
from partners.sealing import check_history
from tests.guards import sql

BEFORE = [("payments", "0003_groups"), ("ledger", "0006_handed_on"), ("partners", "0006_rules_of_every_kind")]


@pytest.mark.django_db
def test_pa6_rows_from_before_requests_were_named_are_listed_and_still_proved() -> None:
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    MigrationExecutor(connection).migrate(BEFORE)
    with services.recorded(actor=None, reason="before"):
        # Of now, the model lacks what the table had.
        sql(
            "INSERT INTO partners_partner (name, slug, kind, status, contact_email, payout_address, notes)"
            " VALUES ('Old', 'old', 'NAMED', 'ACTIVE', '', '', '')"
        )
    Group.objects.get(name="auditor").delete()
    administrator = Group.objects.get(name="administrator")
    administrator.permissions.add(Permission.objects.get(codename="accept_gap"))
    connection.check_constraints()
    MigrationExecutor(connection).migrate(newest)
    services.create_partner(actor=None, name="New", slug="new", reason="after")
    rows = Change.objects.filter(kind="PARTNER").order_by("event_id").values_list("reason", "request_id")
    assert list(rows) == [("before", ""), ("after", "")]
    assert check_history().ok
    assert Change.objects.filter(partner__slug="old").exists()
    viewer, auditor = (
        set(Group.objects.get(name=name).permissions.values_list("pk", flat=True))
        for name in ("viewer", "auditor")
    )
    assert viewer < auditor
    assert not administrator.permissions.filter(codename="accept_gap").exists()
