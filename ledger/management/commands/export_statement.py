"""`manage.py export_statement PARTNER PERIOD`: one partner's statement of one closed period."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chain.management.arguments import file_argument, name_argument, why_not
from chain.quoting import quoted
from ledger.models import Period
from ledger.queries import statement
from partners.models import Partner

PARTNERS_SHOWN = 20


class Command(BaseCommand):
    """Print a statement, or write it to a file."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("partner", type=name_argument, help="The partner's slug, like creative-builds.")
        parser.add_argument("period", type=name_argument, help="The period's key, like 2025-01-31.")
        parser.add_argument("--format", choices=["json", "csv"], default="json")
        parser.add_argument("--out", type=file_argument, help="Write here instead of printing.")

    def handle(self, *args: Any, **options: Any) -> None:
        partner = Partner.objects.filter(slug=options["partner"]).first()
        period = Period.objects.filter(key=options["period"]).first()
        if partner is None:
            slugs = Partner.objects.order_by("slug").values_list("slug", flat=True)[:PARTNERS_SHOWN]
            there = f"there are {', '.join(slugs)}" if slugs else "there is none at all yet"
            raise CommandError(f"there is no partner {quoted(options['partner'])}; {there}")
        if period is None:
            raise CommandError(
                f"there is no closed period {quoted(options['period'])}: close it with close_days"
            )
        found = statement(partner, period)
        text = found.to_json() if options["format"] == "json" else found.to_csv()
        if options["out"]:
            try:
                with options["out"].open("w", encoding="utf-8", newline="") as file:
                    file.write(text)
            except OSError as error:
                raise CommandError(f"Cannot write {options['out']}: {why_not(error)}") from error
        else:
            self.stdout.write(text, ending="")
