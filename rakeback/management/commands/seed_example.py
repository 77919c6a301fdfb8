"""``manage.py seed_example``: two partners, fifty wallets, agreements and rules to try things with."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.services import now_utc
from rakeback.example import PLANS, Example, ExampleRefused, seed_example


class Command(BaseCommand):
    """Make the example once."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--yes",
            action="store_true",
            help="also in production, and beside partners that are not the demonstration's",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            example = seed_example(now=now_utc(), even_so=options["yes"])
        except ExampleRefused as error:
            raise CommandError(str(error)) from error
        for line in describe(example):
            self.stdout.write(line)


def describe(example: Example) -> list[str]:
    """Say what was made, or was there, and where to look next."""
    names = " and ".join(plan.name for plan in PLANS)
    if not example.was_made:
        return [f"{names} are there already, with {example.wallet_count} wallets. Nothing was changed."]
    lines = [
        f"Made {names}, each with an agreement from {example.first_day} on and rules; {example.wallet_count} wallets.",
        f"{len(example.delegators)} of the wallets hold stake here and belonged to no partner; the others are made up.",
        "Neither partner has a payout address, so nothing can be paid to them.",
    ]
    if example.delegators:
        lines += [
            f"What they earn is owed when {example.first_day} closes; days that are closed stay as they are.",
            "A day closes when it is over and all its blocks are in.",
        ]
    lines.append("Look next: Partners → Partners, Wallets and Changes.")
    if example.block is not None and example.delegators:
        where = f"Ledger → Attributions → block {example.block:,}, or manage.py explain_block {example.block}"
        lines.append(f"Who earned in the newest block is named by partner already: {where}.")
    return lines
