"""Test a runtime on a sample of its blocks and admit it when it passes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.management.arguments import (
    actor_name,
    file_argument,
    hotkey_argument,
    nodes_argument,
    number_argument,
    show_progress,
    spec_argument,
)
from chain.models import Hotkey
from chain.nodes.segment import BadSegment, SegmentSource
from chain.nodes.services import open_nodes
from chain.nodes.source import Source, SourceError
from chain.runtimes.check import (
    Passed,
    RuntimeRefused,
    Sample,
    check_runtime,
    chosen_era,
    sample_of_node,
    sample_of_segment,
)
from chain.runtimes.eras import ERA_BY_NAME, era_of
from chain.runtimes.services import CannotAdmit, admit_runtime
from chain.services import now_utc

BLOCKS = 800
# Two weeks of them; every block is read.
BLOCKS_MAX = 100_000


class Command(BaseCommand):
    help = (
        "Read a sample of a runtime's blocks by an era's rules, and admit the runtime if every take and position is "
        "proved. On failure nothing is stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            "--url",
            type=nodes_argument,
            help="address of a node, ws(s):// or http(s)://; several with commas. Without it RAKEBACK_NODE_URL",
        )
        where.add_argument(
            "--segment", type=file_argument, help="a file made by record_segment; all of it is read"
        )
        parser.add_argument(
            "--spec", type=spec_argument, help="the runtime to test; without it the newest there is"
        )
        parser.add_argument(
            "--era", help=f"read it as one of {', '.join(ERA_BY_NAME)}; without it as today's"
        )
        parser.add_argument(
            "--blocks",
            type=number_argument("number of blocks", 1, BLOCKS_MAX),
            default=BLOCKS,
            help=f"how many of a node's newest blocks to read (default {BLOCKS}; an epoch comes every 360 or so)",
        )
        parser.add_argument(
            "--hotkey",
            action="append",
            type=hotkey_argument,
            metavar="SS58",
            help="one of your hotkeys, for a node; repeat for more. Without it those that are followed already",
        )
        parser.add_argument(
            "--by", metavar="NAME", help="who admits it; without it the name you are logged in with"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        progress = show_progress(self.stderr, options["verbosity"])
        by = actor_name(options["by"], "--by names who admits the runtime, in 1 to 150 characters")
        try:
            with ExitStack() as stack:
                source, sample = self._sample(stack, options)
                era = chosen_era(sample.spec_version, options["era"])
                passed = check_runtime(source, sample, era, progress=progress)
            if (known := era_of(sample.spec_version)) is None:
                admit_runtime(passed=passed, actor=by, now=now_utc())
        except (BadSegment, CannotAdmit, RuntimeRefused, SourceError) as error:
            raise CommandError(f"Not admitted, nothing was stored: {error}") from error
        self._report(passed)
        if known is None:
            said = f"Runtime {sample.spec_version} is admitted as era {passed.era.name} by {by}."
        else:
            said = f"Runtime {sample.spec_version} is known as era {known.name}. The sample agrees; nothing was stored."
        self.stdout.write(said)

    def _sample(self, stack: ExitStack, options: dict[str, Any]) -> tuple[Source, Sample]:
        if options["segment"]:
            if options["hotkey"]:
                raise CommandError("a segment is read for the hotkeys it names: leave out --hotkey")
            segment = SegmentSource(options["segment"])
            return segment, sample_of_segment(segment, spec_version=options["spec"])
        hotkeys = options["hotkey"] or list(Hotkey.objects.values_list("address", flat=True))
        if not hotkeys:
            raise CommandError("name at least one of your hotkeys with --hotkey SS58")
        if not (options["url"] or settings.RAKEBACK_NODE_URL):
            raise CommandError("give --url ws://… or --segment FILE, or set RAKEBACK_NODE_URL")
        node = stack.enter_context(open_nodes(options["url"].split(",") if options["url"] else ()))
        return node, sample_of_node(node, hotkeys, spec_version=options["spec"], blocks=options["blocks"])

    def _report(self, passed: Passed) -> None:
        sample = passed.sample
        rows = [
            ("storage, events and calls", f"laid out as era {passed.era.name}"),
            ("blocks", f"{sample.first:,} to {sample.last:,} of {sample.identity.chain}"),
            ("epochs of ours", f"{passed.epochs:,}"),
            *((f"takes, {side} side", f"{count:,} proved") for side, count in sorted(passed.yields.items())),
            *((f"proved by {name}", f"{count:,}") for name, count in sorted(passed.proofs.items())),
            ("stake events", f"{passed.stake_events:,}"),
            ("conversions", f"{passed.conversions:,}"),
            ("positions", f"{passed.positions:,} equal the chain's own list"),
        ]
        width = max(len(title) for title, _ in rows)
        for title, value in rows:
            self.stdout.write(f"  {title:<{width}}  {value}")
