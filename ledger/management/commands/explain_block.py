"""`manage.py explain_block N`: a block's attribution, delegator by delegator."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chain.management.arguments import number_argument
from chain.units import format_rao
from ledger.explaining import NotIngested
from ledger.facts import SharesDisagree
from ledger.queries import explain_block


class Command(BaseCommand):
    """Print which delegators earned a block's take, and whose they are."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("block", type=number_argument("block", 0, (1 << 63) - 1))
        parser.add_argument("--format", choices=["json", "text"], default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            block = explain_block(options["block"])
        except (NotIngested, SharesDisagree) as error:
            raise CommandError(str(error)) from error
        if options["format"] == "json":
            self.stdout.write(json.dumps(block, indent=2))
            return
        self.stdout.write(f"block {block['block']} {block['hash']}")
        if not block["epochs"]:
            self.stdout.write("no epoch of ours ended in this block")
        for epoch in block["epochs"]:
            pool = f"netuid {epoch['netuid']} {epoch['side']} {epoch['hotkey']}"
            self.stdout.write(f"\n{pool}  take {format_rao(epoch['take_rao'])} {epoch['asset']}")
            for share in epoch["shares"]:
                amount = format_rao(share["take_rao"])
                under = f"  under {share['remark']}" if "remark" in share else ""
                under += f"  moved under {share['moved_under']}" if "moved_under" in share else ""
                self.stdout.write(f"  {share['coldkey']}  {amount:>24}  {share['partner'] or '-'}{under}")
