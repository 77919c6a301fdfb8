"""Store the facts of a range of blocks, from a recorded segment or a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.management.arguments import add_node_arguments, show_progress
from chain.models import Hotkey
from chain.segment import BadSegment
from chain.services import CannotIngest, IngestStopped, ingest, ingest_segment
from chain.source import NodeSource, SourceError


class Command(BaseCommand):
    help = "Ingest blocks from a segment file (--segment) or a node (--url, --from, --to, --hotkey)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--segment", type=Path, help="a file made by record_segment")
        add_node_arguments(parser, required=False)

    def handle(self, *args: Any, **options: Any) -> None:
        progress = show_progress(self.stderr, options["verbosity"])
        first, last = options["from"], options["to"]
        try:
            if options["segment"]:
                report = ingest_segment(options["segment"], first=first, last=last, progress=progress)
            elif options["url"] and first and last:
                hotkeys = options["hotkey"] or list(Hotkey.objects.values_list("address", flat=True))
                if not hotkeys:
                    raise CommandError("name at least one of your hotkeys with --hotkey SS58")
                with NodeSource(options["url"]) as source:
                    report = ingest(source, first=first, last=last, hotkeys=hotkeys, progress=progress)
            else:
                raise CommandError("give --segment FILE, or --url ws://… --from A --to B --hotkey SS58")
        except (BadSegment, CannotIngest, IngestStopped, SourceError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Blocks {report.first_block:,} to {report.last_block:,}: {report.added:,} added, "
            f"{report.last_block - report.first_block + 1 - report.added:,} already stored."
        )
