"""The project's settings with a throwaway database: what pytest loads as its settings module.

Without DATABASE_URL the session starts a PostgreSQL of its own in a temporary folder; the workers of a
parallel run share it, each with its own database. With DATABASE_URL that server is used. This is a
settings module because pytest-django reads the settings before any conftest is loaded.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from rakeback import embedded


def _set_up() -> Path | None:
    os.environ.setdefault("RAKEBACK_ENV", "local")
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(64))
    for name in ("REDIS_URL", "REDIS_URL_FILE"):
        # A broker of the developer's must not receive what tests enqueue.
        os.environ.pop(name, None)
    made = None
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # A short name, because the address of a socket holds 107 bytes.
        made = Path(tempfile.mkdtemp(prefix="rbt"))
        os.environ["RAKEBACK_HOME"] = str(made)
        os.environ["RAKEBACK_EMBEDDED_UNSAFE_FAST"] = "1"
    embedded.use_postgres_unless_external()
    return made


# The folder to remove at the end; None in the workers of a parallel run, which use the main process's.
made_home = _set_up()

from rakeback.settings import *  # noqa: E402, F403

if not embedded.is_external("DATABASE_URL"):
    # Tests create databases and empty them against the triggers' will; the product's own role may do neither.
    DATABASES["default"]["USER"] = DATABASE_OWNER["USER"] = "postgres"  # noqa: F405

# The default is slow on purpose, and tests sign in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
