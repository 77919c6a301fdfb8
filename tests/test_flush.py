"""Tests that commit can be cleaned up although the product's tables refuse DELETE and TRUNCATE."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import DatabaseError, connection

from chain.rights import GROUPS

REFUSE = """
CREATE FUNCTION refuse_everything() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuse_delete BEFORE DELETE ON auth_group FOR EACH ROW EXECUTE FUNCTION refuse_everything();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON auth_group EXECUTE FUNCTION refuse_everything();
"""


@pytest.mark.django_db(transaction=True)
def test_flush_empties_tables_that_refuse_it_and_the_triggers_work_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute(REFUSE)
    try:
        Group.objects.create(name="kept")
        call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)
        assert sorted(Group.objects.values_list("name", flat=True)) == sorted(GROUPS)
        assert Group.objects.get(name="operator").permissions.filter(codename="propose_batch").exists()
        Group.objects.create(name="kept")
        with pytest.raises(DatabaseError, match="refused"):
            Group.objects.all().delete()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_everything() CASCADE")
