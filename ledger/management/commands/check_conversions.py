"""`manage.py check_conversions`: let every conversion sell anew, from the first take on, and name every difference."""

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
        run = run_check(CheckRun.Check.CONVERSIONS, actor=None, now=timezone.now())
        report(self, run, "conversions agree with the facts")
