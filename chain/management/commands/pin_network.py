"""`manage.py pin_network`: say once which chain's files this installation takes."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.families import Family
from chain.imports.services import CannotPin, pin_network


class Command(BaseCommand):
    """Pin a chain that is not read from a node; a Bittensor chain is pinned by its first ingestion."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        families = [family.value for family in Family if family is not Family.BITTENSOR]
        parser.add_argument("--family", required=True, choices=families)
        parser.add_argument("--name", required=True, help="as people call it, like 'Solana Mainnet Beta'")
        parser.add_argument("--genesis-hash", required=True, help="base58, as getGenesisHash answers")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            network = pin_network(
                family=Family(options["family"]), name=options["name"], genesis_hash=options["genesis_hash"]
            )
        except CannotPin as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"This installation holds {network} ({network.genesis_hash}).")
