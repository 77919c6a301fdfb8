"""`manage.py check_ledger`: recompute the whole ledger from the facts and name every difference."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ledger.audit import check_ledger


class Command(BaseCommand):
    """Recompute and compare; fails on any difference."""

    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        audit = check_ledger()
        counts = ", ".join(f"{count} {name}" for name, count in sorted(audit.counts.items()))
        for difference in audit.differences:
            self.stderr.write(difference)
        if not audit.ok:
            raise CommandError(f"{len(audit.differences)} differences ({counts})")
        self.stdout.write(f"ledger agrees with the facts: {counts or 'nothing to check yet'}")
