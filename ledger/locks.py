"""Advisory locks of this app, all of them, so that no two jobs share one by accident."""

from __future__ import annotations

from enum import IntEnum

from django.db import connection


class Lock(IntEnum):
    """A job that runs once at a time in the whole database."""

    ATTRIBUTE = 7201001
    CLOSE = 7201002


def hold(lock: Lock) -> None:
    """Wait for the lock and keep it until the transaction ends; refuses to run outside of one."""
    if not connection.in_atomic_block:
        raise RuntimeError(f"the lock {lock.name} is held by a transaction; open one first")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(lock)])
