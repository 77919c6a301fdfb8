"""Write every chain fact as canonical JSON lines, or only the hash of them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from chain.queries import fact_lines, facts_sha256


class Command(BaseCommand):
    help = "Dump all chain facts in a fixed order; equal facts give equal bytes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--hash", action="store_true", help="print only the SHA-256 of the dump")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["hash"]:
            self.stdout.write(facts_sha256())
        else:
            for line in fact_lines():
                self.stdout.write(line)
