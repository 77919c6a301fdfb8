"""`manage.py export_statement PARTNER PERIOD`: one partner's statement of one closed period, or the summary of a year."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chain.management.arguments import file_argument, name_argument, why_not
from chain.quoting import quoted
from ledger.documents import TYPES, file_of
from ledger.models import Period
from ledger.queries import statement, year_summary, years_of
from ledger.statements import Statement
from ledger.years import YearSummary
from partners.models import Partner

PARTNERS_SHOWN = 20


class Command(BaseCommand):
    """Print a statement, or write it to a file."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("partner", type=name_argument, help="The partner's slug, like creative-builds.")
        parser.add_argument(
            "period", type=name_argument, help="The period's key, like 2025-01-31, or a year."
        )
        parser.add_argument("--format", choices=list(TYPES), default="json")
        parser.add_argument("--out", type=file_argument, help="Write here instead of printing.")

    def handle(self, *args: Any, **options: Any) -> None:
        partner = Partner.objects.filter(slug=options["partner"]).first()
        if partner is None:
            slugs = Partner.objects.order_by("slug").values_list("slug", flat=True)[:PARTNERS_SHOWN]
            there = f"there are {', '.join(slugs)}" if slugs else "there is none at all yet"
            raise CommandError(f"there is no partner {quoted(options['partner'])}; {there}")
        content = file_of(_find(partner, options["period"]), options["format"])
        if options["out"]:
            try:
                options["out"].write_bytes(content)
            except OSError as error:
                raise CommandError(f"Cannot write {options['out']}: {why_not(error)}") from error
        elif options["format"] != "pdf":
            self.stdout.write(content.decode(), ending="")
        elif sys.stdout.isatty():
            raise CommandError("A PDF is nothing to read in a terminal: give --out FILE, or send it on.")
        else:
            sys.stdout.buffer.write(content)


def _find(partner: Partner, key: str) -> Statement | YearSummary:
    if key.isdecimal() and int(key) in years_of(partner):
        return year_summary(partner, int(key))
    period = Period.objects.filter(key=key).first()
    if period is None:
        raise CommandError(f"there is no closed period {quoted(key)}: close it with close_days")
    return statement(partner, period)
