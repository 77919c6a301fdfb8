"""`manage.py attribute`: split the take of every yield that is not split yet over its delegators."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chain.management.arguments import number_argument
from ledger.services import CannotAttribute, attribute_yields

LIMIT_MAX = 1_000_000_000


class Command(BaseCommand):
    """Attribute all yields; fails when some cannot be, naming their blocks."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--limit", type=number_argument("number of yields", 1, LIMIT_MAX), help="Stop after this many."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            written = attribute_yields(now=timezone.now(), limit=options["limit"])
        except CannotAttribute as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"attributed {written} yields")
