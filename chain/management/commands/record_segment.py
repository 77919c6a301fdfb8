"""Record what a node answers while a range of blocks is read, as a segment file."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.earnings.yields import MethodsDisagree
from chain.management.arguments import add_node_arguments, file_argument, show_progress
from chain.nodes.services import open_nodes
from chain.nodes.source import SourceError
from chain.runtimes.decoding import UnknownRuntime
from chain.runtimes.services import admitted_eras
from chain.services import CannotIngest, record_segment
from chain.state import BrokenChain, PositionsDisagree, UnsupportedEvent


class Command(BaseCommand):
    help = "Record a range of blocks from a node into a segment file, to be replayed with `ingest --segment`."

    def add_arguments(self, parser: CommandParser) -> None:
        add_node_arguments(parser, required=True)
        parser.add_argument(
            "--out", type=file_argument, required=True, metavar="FILE", help="segment file to write"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with open_nodes(options["url"].split(",")) as source:
                header = record_segment(
                    source,
                    first=options["from"],
                    last=options["to"],
                    hotkeys=options["hotkey"],
                    path=options["out"],
                    progress=show_progress(self.stderr, options["verbosity"]),
                    eras=admitted_eras(),
                )
        except (
            BrokenChain,
            CannotIngest,
            MethodsDisagree,
            PositionsDisagree,
            SourceError,
            UnknownRuntime,
            UnsupportedEvent,
        ) as error:
            raise CommandError(f"Nothing was recorded: {error}") from error
        except OSError as error:
            raise CommandError(f"Cannot write {options['out']}: {error.strerror}") from error
        self.stdout.write(
            f"{options['out']}: blocks {header.first_block:,} to {header.last_block:,} of {header.chain}, "
            f"{len(header.hotkeys)} hotkeys, {options['out'].stat().st_size:,} bytes."
        )
