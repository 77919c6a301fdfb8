"""Ask each node what must be known before it is relied on: chain, runtime, finalized head, and how old a state it has."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.management.arguments import block_argument, nodes_argument
from chain.nodes.source import SourceError
from chain.nodes.trial import oldest_wanted, try_nodes


class Command(BaseCommand):
    help = "Ask each node of RAKEBACK_NODE_URL, or those of --url, and fail unless all can be read from --block on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url",
            type=nodes_argument,
            help="address of a node, ws(s):// or http(s)://; several with commas",
        )
        parser.add_argument(
            "--block",
            type=block_argument,
            metavar="N",
            help="the oldest block that will be read (default: the first one stored, or 1)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        block = options["block"] or oldest_wanted()
        try:
            tried = try_nodes(options["url"].split(",") if options["url"] else (), block=block)
        except SourceError as error:
            raise CommandError(f"{error}. Give --url wss://… or set RAKEBACK_NODE_URL.") from error
        for node in tried:
            self.stdout.write(node.describe(block))
        if not all(node.is_well for node in tried):
            raise CommandError(f"not every node can be read from block {block:,} on")
