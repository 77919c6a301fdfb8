"""`manage.py close_days`: close every day that is over, oldest first."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ledger.models import Period
from ledger.services import CannotClose, close_due_days


class Command(BaseCommand):
    """Close all due days; fails when one cannot close, saying what to do."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            closed = close_due_days(actor=None, now=timezone.now())
        except CannotClose as error:
            self._report(error.closed)
            raise CommandError(str(error)) from error
        self._report(closed)

    def _report(self, closed: list[Period]) -> None:
        for period in closed:
            self.stdout.write(f"closed {period.key}  manifest {period.manifest_hash}")
        self.stdout.write(f"closed {len(closed)} days")
