"""`manage.py check_attribution [--from A --to B]`: split every take anew and name each whose digest differs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chain.management.arguments import block_argument
from ledger.management.checking import report
from ledger.models import CheckRun
from ledger.services import check_blocks, run_check


class Command(BaseCommand):
    """Recompute and compare; fails on any difference."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="first", type=block_argument, help="First block; with --to.")
        parser.add_argument("--to", dest="last", type=block_argument, help="Last block; with --from.")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last = options["first"], options["last"]
        if (first is None) != (last is None):
            raise CommandError("Give both --from and --to, or neither for all blocks.")
        if first is None:
            run = run_check(CheckRun.Check.ATTRIBUTION, actor=None, now=timezone.now())
        elif first > last:
            raise CommandError(f"--from {first} is after --to {last}.")
        else:
            run = check_blocks(first, last, actor=None, now=timezone.now())
        report(self, run, "attributions agree with the facts")
