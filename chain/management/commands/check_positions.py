"""Prove that the stored positions are the chain's own."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.management.arguments import file_argument
from chain.nodes.segment import BadSegment
from chain.nodes.source import SourceError
from chain.services import CannotIngest, check_positions
from chain.state import PositionsDisagree


class Command(BaseCommand):
    help = "Compare stored positions with the full list of holders that a segment holds of its last block."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--segment", type=file_argument, required=True, help="a segment that was ingested"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            check = check_positions(options["segment"])
        except (BadSegment, CannotIngest, PositionsDisagree, SourceError) as error:
            raise CommandError(str(error)) from error
        if check.differences:
            raise CommandError(
                f"{len(check.differences)} positions differ at block {check.block}:\n"
                + "\n".join(check.differences)
            )
        self.stdout.write(f"Block {check.block:,}: all {check.positions:,} positions equal the chain's own.")
