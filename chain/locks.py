"""Advisory locks of the whole product, all of them, so that no two jobs share one by accident."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from django.db import connection


class Lock(IntEnum):
    """A job that runs once at a time in the whole database."""

    INGEST = 7_201_000
    ATTRIBUTE = 7_201_001
    CLOSE = 7_201_002
    PROPOSE = 7_201_003
    # Held by the database's own function: partners/migrations/0005.
    SEAL = 7_201_004
    PRICES = 7_201_014


class Busy(Exception):
    """Somebody else holds the lock; the same call works once they are done."""


def hold(lock: Lock) -> None:
    """Wait for the lock and keep it until the transaction ends; refuses to run outside of one."""
    if not connection.in_atomic_block:
        raise RuntimeError(f"the lock {lock.name} is held by a transaction; open one first")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(lock)])


@contextmanager
def only_one(lock: Lock) -> Iterator[None]:
    """Hold the lock over many transactions, or refuse at once. PostgreSQL lets go of it when the process dies.

    :raises Busy: when somebody else holds it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [int(lock)])
        if not cursor.fetchone()[0]:
            raise Busy(lock.name)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [int(lock)])
