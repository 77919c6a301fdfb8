"""``manage.py serve``: the whole site on one machine."""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from chain.management.arguments import number_argument
from rakeback import embedded
from rakeback.supervisor import CannotServe, serve_site


class Command(BaseCommand):
    """Start the web server, a worker and the scheduler, and end them together."""

    help = "Run the web server, a worker and the scheduler on this machine until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port",
            default=os.environ.get("PORT") or "8000",
            help="where the site answers (default: PORT or 8000)",
        )
        parser.add_argument(
            "--bind", default="127.0.0.1", help="the address to listen on (default: this machine only)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            port = number_argument("port", 0, 65_535)(str(options["port"]))
        except ArgumentTypeError as error:
            raise CommandError(f"{error}. Example: --port 8001") from error
        self._migrate()
        self._tell_who_can_sign_in()
        connections.close_all()
        services = []
        if not embedded.is_external("DATABASE_URL"):
            services.append("postgres")
        if not embedded.is_external("REDIS_URL"):
            embedded.use_valkey()
            services.append("valkey")
        try:
            status = serve_site(
                settings.RAKEBACK_HOME,
                bind=options["bind"],
                port=port,
                services=services,
                say=self._say,
                verbose=options["verbosity"] > 1,
                host=settings.ALLOWED_HOSTS[0].lstrip("."),
            )
        except CannotServe as error:
            raise CommandError(str(error)) from error
        if status:
            sys.exit(status)

    def _migrate(self) -> None:
        connection = connections["default"]
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if pending and embedded.is_external("DATABASE_URL"):
            raise CommandError(
                f"The database lacks {len(pending)} migrations. Back it up, then run: "
                "python manage.py migrate"
            )
        if pending:
            self._say(f"Applying {len(pending)} migrations …")
            call_command("migrate", interactive=False, verbosity=0)
        call_command("setup_schedules", stdout=io.StringIO())

    def _tell_who_can_sign_in(self) -> None:
        staff = User.objects.filter(is_active=True, is_staff=True)
        if not any(user.has_usable_password() for user in staff.only("password").iterator()):
            self._say("Nobody can sign in yet. In another terminal: python manage.py createsuperuser")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
