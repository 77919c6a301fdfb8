"""`manage.py check_history`: prove that no row of the history of partners was edited, removed, moved or added afterwards."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from partners.noted_heads import check_with_noted
from partners.sealing import BadHead, Head

SHOWN_MAX = 100


class Command(BaseCommand):
    """Recompute the chain of seals and compare it with the ends noted before; fails on any difference."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--head",
            action="append",
            default=[],
            metavar="NUMBER:HASH",
            help="an end of the history that an earlier check printed or logged, beside those in the file; repeat for more",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            heads = [Head.parse(text) for text in options["head"]]
        except BadHead as error:
            raise CommandError(str(error)) from error
        checked, noted = check_with_noted(heads)
        for difference in checked.differences[:SHOWN_MAX]:
            self.stderr.write(difference)
        if not checked.ok:
            more = len(checked.differences) - SHOWN_MAX
            raise CommandError(
                f"{len(checked.differences)} differences in {checked.count} changes"
                + (f", {more} of them not shown" if more > 0 else "")
            )
        if checked.head is None:
            self.stdout.write("Nothing has been changed yet, so there is no history to check.")
        else:
            self.stdout.write(f"The history is whole: {checked.count} changes, head {checked.head}")
            self.stdout.write(str(noted))
