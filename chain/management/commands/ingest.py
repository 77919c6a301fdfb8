"""Store the facts of a range of blocks, from a recorded segment or a node, or follow a node."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.following import Standing, follow
from chain.management.arguments import (
    actor_name,
    add_node_arguments,
    file_argument,
    seconds_argument,
    show_progress,
)
from chain.management.signals import Stop
from chain.nodes.segment import BadSegment
from chain.nodes.services import open_nodes
from chain.nodes.source import SourceError
from chain.queries import last_block
from chain.runtimes.eras import ERAS, era_named
from chain.services import (
    Assumption,
    CannotIngest,
    IngestStopped,
    ingest,
    ingest_segment,
    now_utc,
    our_hotkeys,
)

POLL_SECONDS = 6.0


class Command(BaseCommand):
    help = (
        "Ingest blocks from a segment file (--segment) or a node (--url, --from, --to, --hotkey), or every new final "
        "block of a node until stopped (--follow)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--segment", type=file_argument, help="a file made by record_segment")
        parser.add_argument("--follow", action="store_true", help="go on with new blocks until Ctrl-C")
        parser.add_argument(
            "--poll",
            type=seconds_argument,
            default=POLL_SECONDS,
            metavar="SECONDS",
            help="how often to look for new blocks",
        )
        parser.add_argument(
            "--assume-era",
            metavar="ERA",
            help="read runtimes nobody proved by the rules of this era, and mark what they give: one of "
            + ", ".join(era.name for era in ERAS),
        )
        add_node_arguments(parser, required=False)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["follow"]:
                self._follow(options)
            else:
                self._ingest(options)
        except (BadSegment, CannotIngest, IngestStopped, SourceError) as error:
            raise CommandError(str(error)) from error

    def _ingest(self, options: dict[str, Any]) -> None:
        progress = show_progress(self.stderr, options["verbosity"])
        assume = None
        if options["assume_era"] is not None:
            if (era := era_named(options["assume_era"])) is None:
                raise CommandError(
                    f"there is no era {options['assume_era']!r}; there are {', '.join(era.name for era in ERAS)}"
                )
            assume = Assumption(
                era, actor_name(None, "no name is known of who assumes it: set LOGNAME, 1 to 150 characters")
            )
        first, last = options["from"], options["to"]
        if options["segment"]:
            if options["url"] or options["hotkey"]:
                raise CommandError(
                    "a segment is read without a node, for the hotkeys it names: leave out --url and --hotkey"
                )
            report = ingest_segment(
                options["segment"], first=first, last=last, progress=progress, assume=assume
            )
        elif options["url"] and first and last:
            hotkeys = options["hotkey"] or our_hotkeys()
            if not hotkeys:
                raise CommandError("name at least one of your hotkeys with --hotkey SS58")
            with open_nodes(options["url"].split(",")) as source:
                report = ingest(
                    source, first=first, last=last, hotkeys=hotkeys, progress=progress, assume=assume
                )
        else:
            raise CommandError(
                "give --segment FILE, or --url ws://… --from A --to B --hotkey SS58, or --url ws://… --follow"
            )
        self.stdout.write(
            f"Blocks {report.first_block:,} to {report.last_block:,}: {report.added:,} added, "
            f"{report.last_block - report.first_block + 1 - report.added:,} already stored."
        )

    def _follow(self, options: dict[str, Any]) -> None:
        if options["to"] or options["segment"]:
            raise CommandError("--follow has no end: leave out --to and --segment")
        if options["assume_era"]:
            raise CommandError("--assume-era is for a range: leave out --follow")
        url = options["url"] or settings.RAKEBACK_NODE_URL
        if not url:
            raise CommandError("give --url ws://… or set RAKEBACK_NODE_URL")
        if last_block() is None:
            self._begin(url, options)
        with Stop() as stop:
            follow(
                lambda: open_nodes(url.split(","), following=True),
                poll_seconds=options["poll"],
                should_stop=stop.is_asked,
                wait=stop.wait,
                clock=now_utc,
                show=self._show(options["verbosity"]),
                say=self.stderr.write,
            )
        stored = last_block()
        self.stdout.write(f"Stopped after block {stored.number:,}." if stored else "Stopped.")

    def _begin(self, url: str, options: dict[str, Any]) -> None:
        if not options["from"] or not options["hotkey"]:
            raise CommandError(
                "no blocks are stored yet: say with --from A and --hotkey SS58 where to begin and for which keys"
            )
        with open_nodes(url.split(",")) as source:
            ingest(source, first=options["from"], last=options["from"], hotkeys=options["hotkey"])

    def _show(self, verbosity: int) -> Any:
        """One line that is written over on a terminal; elsewhere a line when new blocks came."""
        shown = [-1]

        def show(standing: Standing) -> None:
            if not verbosity:
                return
            line = f"block {standing.block:,} · head {standing.head:,} · "
            line += _told_lag(standing.lag)
            line += f" · {standing.seconds_old:,} s old"
            if self.stdout.isatty():
                self.stdout.write(f"\r{line}\x1b[K", ending="")
                self.stdout.flush()
            elif standing.block != shown[0] and (standing.lag <= 0 or standing.block % 100 == 0):
                self.stdout.write(line)
                self.stdout.flush()
            shown[0] = standing.block

        return show


def _told_lag(lag: int) -> str:
    if lag > 0:
        return f"{lag:,} behind"
    return f"the node is {-lag:,} behind what is stored" if lag else "up to date"
