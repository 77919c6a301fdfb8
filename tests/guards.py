"""What the database refuses, for its tests: raw SQL, the rule it must break, and a way past the triggers.

Checks must notice damage that the triggers refuse; tests do it as only a superuser of the database can.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction


def sql(statement: str, *parameters: Any) -> list[tuple[object, ...]]:
    """Run one statement; returns its rows, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def broken_rule(error: BaseException) -> str:
    """Name the constraint, or the rule of a trigger, that an error of the database is about; empty if none."""
    return str(getattr(getattr(error.__cause__, "diag", None), "constraint_name", "") or "")


@contextmanager
def refused(rule: str) -> Iterator[None]:
    """Expect the rule by name, at once or at commit, and undo what was tried."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():  # noqa: PT012
        yield
        connection.check_constraints()
    assert broken_rule(caught.value) == rule, caught.value


@contextmanager
def without_triggers() -> Iterator[None]:
    """Switch triggers off, foreign keys included; constraints of a row or a table still hold."""
    connection.check_constraints()
    with transaction.atomic():
        sql("SET LOCAL session_replication_role = replica")
        yield
        sql("SET LOCAL session_replication_role = origin")


def tamper(statement: str, *parameters: Any) -> None:
    """Change rows behind the triggers' back; a statement that changes none is a mistake of the test."""
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        assert cursor.rowcount > 0
