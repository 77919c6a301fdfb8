"""Fetch dollars per TAO from the sources of the settings, for a range of days or for whatever is lacking."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from chain.fiat.queries import end_of_day
from chain.fiat.services import fetch_prices, fill_in_prices
from chain.fiat.sources import price_sources
from chain.locks import Busy
from chain.quoting import quoted


def day_argument(text: str) -> date:
    """Accept a UTC day."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{quoted(text)} is not a day: write it like 2025-08-13") from None


class Command(BaseCommand):
    help = "Fetch TAO/USD prices: of the UTC days --from to --to, or without them what is new or lacking."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", type=day_argument, metavar="DAY", help="first UTC day, 2025-08-13")
        parser.add_argument(
            "--to", type=day_argument, metavar="DAY", help="last UTC day, included; today if left out"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        first, last = options["from"], options["to"]
        today = now.astimezone(UTC).date()
        if last and not first:
            raise CommandError("give --from DAY as well")
        if late := [day for day in (first, last) if day and day > today]:
            raise CommandError(f"{late[0]} is in the future; the last day with prices is today, {today}")
        if first and last and first > last:
            raise CommandError(f"--from {first} is after --to {last}: swap them")
        with price_sources() as sources:
            if not sources:
                raise CommandError(
                    "no price source is set: for example RAKEBACK_PRICE_SOURCES=taostats,coinbase"
                )
            try:
                if first:
                    report = fetch_prices(
                        sources=sources,
                        first=datetime.combine(first, time(), UTC),
                        last=min(end_of_day(last), now) if last else now,
                        now=now,
                    )
                else:
                    report = fill_in_prices(sources=sources, now=now)
            except ValueError as error:
                raise CommandError(str(error)) from error
            except Busy as error:
                raise CommandError("prices are being fetched already; try again in a minute") from error
        self.stdout.write(f"{report.stored:,} quotes stored, {report.attached:,} conversions priced.")
        if report.errors:
            raise CommandError("\n".join(report.errors))
