"""What the commands that check have in common: name every difference, and fail on any."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from ledger.models import CheckRun


def report(command: BaseCommand, run: CheckRun, agrees: str) -> None:
    """Say what a check found; what is stored first stays stored.

    :raises CommandError: for any difference.
    """
    for difference in run.differences:
        command.stderr.write(difference)
    if not run.ok:
        more = run.difference_count - len(run.differences)
        rest = f", of which {more:,} are not named here" if more else ""
        raise CommandError(
            f"{run.difference_count} differences{rest} ({run.counted}); no day closes until a later run has none"
        )
    command.stdout.write(f"{agrees}: {run.counted}")
