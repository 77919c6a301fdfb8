"""``manage.py demo``: a real recorded chain segment, from blocks to an approved batch, served."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command

from chain.management.arguments import show_progress
from chain.services import now_utc
from chain.units import format_rao
from rakeback.demo import SIGN_INS, run_demo
from rakeback.management.commands.serve import Command as Serve


class Command(Serve):
    """Prepare the demonstration, then serve the site."""

    help = "Replay recorded chain data into statements and a payout batch, then serve the admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--no-serve", action="store_true", help="do the work, print a JSON summary, end")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        progress = show_progress(self.stderr, options["verbosity"])
        summary = run_demo(now=now_utc(), say=self._say, progress=progress)
        self._say(
            f"{summary['blocks']:,} blocks, {summary['epochs']} epochs: {format_rao(summary['take_tao_rao'])} TAO "
            f"and {format_rao(summary['take_alpha_rao'])} alpha of all subnets as take, attributed to the last rao. "
            f"Partners are owed {format_rao(summary['owed_rao'])} TAO."
        )
        self._say("Sign in as (password):")
        for sign_in in SIGN_INS:
            self._say(f"  {sign_in.username:<7} {sign_in.password}   {sign_in.purpose}")
        if options["no_serve"]:
            self._say(json.dumps(summary))
        else:
            super().handle(*args, **options)
