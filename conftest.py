"""Ends the test session's own PostgreSQL (tests/settings.py) and fits Django's flush to our triggers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from unittest import mock

import pytest

from rakeback.embedded.home import Home
from rakeback.embedded.users import release, wait_until_stopped
from tests.settings import made_home

APPS = ("chain", "partners", "ledger", "payments")

# Programs that a test starts are the product, with the product's settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "rakeback.settings"


def pytest_unconfigure() -> None:
    """End what this session started and remove its folder."""
    if made_home is None:
        return
    home = Home(made_home)
    for service in ("postgres", "valkey"):
        release(home, service)
        # Waits until the keeper has stopped its server, so that nothing writes into the folder any more.
        wait_until_stopped(home, service)
    shutil.rmtree(home.sockets, ignore_errors=True)
    shutil.rmtree(made_home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _flush_despite_triggers() -> Iterator[None]:
    """Let Django empty the tables after a transactional test although triggers forbid it in the product.

    What the migrations put there, the groups and their rights, is put back: the next test expects it.
    """
    from django.apps import apps
    from django.core.management.commands import flush
    from django.db import connections

    migrations = [
        import_module(f"{app}.migrations.{found.name}")
        for app in APPS
        for found in iter_modules(import_module(f"{app}.migrations").__path__)
    ]

    original = flush.Command.handle

    def handle(self: flush.Command, **options: object) -> str | None:
        with connections[str(options["database"])].cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            try:
                said = original(self, **options)
            finally:
                cursor.execute("SET session_replication_role = DEFAULT")
        for migration in migrations:
            if hasattr(migration, "grant_rights"):
                migration.grant_rights(apps, None)
        return said

    with mock.patch.object(flush.Command, "handle", handle):
        yield
