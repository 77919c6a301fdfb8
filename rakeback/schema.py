"""Keeps the embedded database's schema up to date, so that no command needs `migrate` first.

A database of one's own (DATABASE_URL) is never changed unasked: there, `manage.py migrate` is a decision.
"""

from __future__ import annotations

import fcntl
import hashlib
import sys
from pathlib import Path

from rakeback import embedded
from rakeback.embedded.home import Home

PROJECT = Path(__file__).resolve().parent.parent
APPS = ("chain", "partners", "ledger", "payments", "rakeback")


def schema_version() -> str:
    """Name the schema this code wants: our migrations by name and content, the libraries' by their lock file."""
    files = [PROJECT / "requirements.txt"]
    for app in APPS:
        files += sorted((PROJECT / app / "migrations").glob("0*.py"))
        files += sorted((PROJECT / app).glob("sql/*.sql"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(PROJECT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def ensure_schema() -> None:
    """Apply pending migrations to the embedded database; where nothing changed this costs a few milliseconds.

    Two commands started at once wait for each other.
    """
    if embedded.is_external("DATABASE_URL"):
        return
    home = Home.from_environment()
    stamp, wanted = home.root / "schema", schema_version()
    with open(home.root / "schema.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        import django
        from django.core.management import call_command

        print("Setting up the database …", file=sys.stderr)
        django.setup()
        call_command("migrate", interactive=False, verbosity=0)
        stamp.write_text(wanted)
