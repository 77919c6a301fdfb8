"""`manage.py export_statement PARTNER PERIOD`: one partner's statement of one closed period."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ledger.models import Period
from ledger.queries import statement
from partners.models import Partner


class Command(BaseCommand):
    """Print a statement, or write it to a file."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("partner", help="The partner's slug, like creative-builds.")
        parser.add_argument("period", help="The period's key, like 2025-01-31.")
        parser.add_argument("--format", choices=["json", "csv"], default="json")
        parser.add_argument("--out", type=Path, help="Write here instead of printing.")

    def handle(self, *args: Any, **options: Any) -> None:
        partner = Partner.objects.filter(slug=options["partner"]).first()
        period = Period.objects.filter(key=options["period"]).first()
        if partner is None:
            raise CommandError(f"there is no partner {options['partner']!r}")
        if period is None:
            raise CommandError(f"there is no closed period {options['period']!r}: close it with close_days")
        found = statement(partner, period)
        text = found.to_json() if options["format"] == "json" else found.to_csv()
        if options["out"]:
            with options["out"].open("w", encoding="utf-8", newline="") as file:
                file.write(text)
        else:
            self.stdout.write(text, ending="")
