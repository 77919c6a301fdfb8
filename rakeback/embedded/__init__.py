"""PostgreSQL and Valkey for a machine that has neither, out of wheels, under our own launcher.

A process calls :func:`use_postgres` or :func:`use_valkey` once. The first user starts the server, and
each holds a lock for its life; the server stops when its last user is gone, however that one ended.
Servers listen on Unix sockets only. Nothing in this package imports Django.
"""

from __future__ import annotations

import os
from typing import Any

from rakeback.embedded.home import (
    DATABASE_NAME,
    DATABASE_OWNER,
    DATABASE_USER,
    SOCKET_NAME_VALKEY,
    EmbeddedError,
    Home,
)
from rakeback.embedded.users import use

__all__ = [
    "DATABASE_OWNER",
    "EmbeddedError",
    "describe_postgres",
    "describe_valkey",
    "is_external",
    "use_postgres",
    "use_postgres_unless_external",
    "use_valkey",
    "use_valkey_unless_external",
]


def describe_postgres(home: Home) -> dict[str, Any]:
    """Return where the embedded database is, in the words of Django's DATABASES; nothing is started."""
    return {
        "NAME": DATABASE_NAME,
        "USER": DATABASE_USER,
        "PASSWORD": "",
        "HOST": str(home.sockets),
        "PORT": "",
    }


def describe_valkey(home: Home) -> str:
    """Return the embedded broker's address; nothing is started."""
    return f"redis+socket://{home.sockets}/{SOCKET_NAME_VALKEY}"


def use_postgres(home: Home | None = None) -> dict[str, Any]:
    """Start the embedded PostgreSQL or join its users, until this process ends.

    :returns: the same as :func:`describe_postgres`; the database exists.
    :raises EmbeddedError: when it cannot be started, with the reason and the remedy.
    """
    home = home or Home.from_environment()
    use(home, "postgres")
    return describe_postgres(home)


def use_valkey(home: Home | None = None) -> str:
    """Start the embedded Valkey or join its users, until this process ends.

    :returns: the broker's address.
    :raises EmbeddedError: when it cannot be started, with the reason and the remedy.
    """
    home = home or Home.from_environment()
    use(home, "valkey")
    return describe_valkey(home)


def use_postgres_unless_external() -> None:
    """Do as :func:`use_postgres`, except where DATABASE_URL or production settings name another one.

    :raises EmbeddedError: as :func:`use_postgres`.
    """
    if not is_external("DATABASE_URL"):
        use_postgres()


def use_valkey_unless_external() -> None:
    """Do as :func:`use_valkey`, except where REDIS_URL or production settings name another one.

    :raises EmbeddedError: as :func:`use_valkey`.
    """
    if not is_external("REDIS_URL"):
        use_valkey()


def is_external(name: str) -> bool:
    """Say whether a service is somebody else's: named by its variable, or required to be in production.

    :param name: ``DATABASE_URL`` or ``REDIS_URL``.
    """
    return _is_set(name) or _is_production()


def _is_set(name: str) -> bool:
    return bool(os.environ.get(name, "").strip() or os.environ.get(f"{name}_FILE", "").strip())


def _is_production() -> bool:
    # The same rule as in rakeback.settings, which cannot be imported before Django is.
    return os.environ.get("RAKEBACK_ENV", "").strip() == "production"
