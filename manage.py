#!/usr/bin/env python3
"""Rakeback's command line. Starts the embedded PostgreSQL first where DATABASE_URL is not set."""

import os
import sys

# Commands that never open the database; any other one gets it.
WITHOUT_DATABASE = frozenset(
    {"", "help", "version", "--help", "-h", "--version", "collectstatic", "findstatic", "spectacular",
     "diffsettings", "makemessages", "compilemessages", "startapp"}
)  # fmt: skip


# Commands that look at or change migrations themselves.
WITHOUT_MIGRATING = frozenset(
    {"migrate", "makemigrations", "showmigrations", "sqlmigrate", "check", "dbshell"}
)


def needs_database(arguments: list[str]) -> bool:
    """Say whether a command line opens the database."""
    command = arguments[0] if arguments else ""
    if command in WITHOUT_DATABASE or {"--help", "-h"} & set(arguments):
        return False
    if command == "check":
        return any(argument.startswith("--database") for argument in arguments)
    return True


def main() -> int:
    """Run one command and return the status for the shell."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rakeback.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError as error:
        print(f"{error}. Run `make setup` once, then .venv/bin/python manage.py …", file=sys.stderr)
        return 1
    from django.db.utils import OperationalError, ProgrammingError

    from rakeback import embedded
    from rakeback.schema import ensure_schema

    try:
        if needs_database(sys.argv[1:]):
            embedded.use_postgres_unless_external()
            if sys.argv[1] not in WITHOUT_MIGRATING:
                ensure_schema()
        execute_from_command_line(sys.argv)
    except (embedded.EmbeddedError, ImproperlyConfigured) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OperationalError as error:
        print(f"Error: the database cannot be reached or refuses: {error}", file=sys.stderr)
        return 1
    except ProgrammingError as error:
        # The embedded database brings its own schema; a database of one's own is migrated by decision.
        if embedded.is_external("DATABASE_URL") and "does not exist" in str(error):
            print(
                f"Error: {error}\nIs the database up to date? Run: python manage.py migrate", file=sys.stderr
            )
            return 1
        raise
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
