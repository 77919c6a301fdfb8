"""`manage.py check_ledger`: recompute the whole ledger from the facts and name every difference."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from ledger.management.checking import report
from ledger.models import CheckRun
from ledger.services import run_check


class Command(BaseCommand):
    """Recompute and compare; fails on any difference."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        run = run_check(CheckRun.Check.LEDGER, actor=None, now=timezone.now())
        report(self, run, "ledger agrees with the facts")
