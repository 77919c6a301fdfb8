"""`manage.py migrate`, signed in as the owner of the tables."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.commands import migrate
from django.db import connections


class Command(migrate.Command):
    """Make and change tables as their owner; the application, which reads and writes rows, owns none."""

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        application = {name: connection.settings_dict[name] for name in settings.DATABASE_OWNER}
        if application == settings.DATABASE_OWNER:
            super().handle(*args, **options)
            return
        connection.close()
        connection.settings_dict |= settings.DATABASE_OWNER
        try:
            super().handle(*args, **options)
        finally:
            connection.close()
            connection.settings_dict |= application
