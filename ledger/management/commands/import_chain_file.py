"""`manage.py import_chain_file FILE`: import another chain's rewards and stake events, or say what that would do."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chain.imports.files import BYTES_MAX, FileRefused
from chain.imports.preview import Preview
from chain.imports.services import ImportRefused
from chain.management.arguments import file_argument, readable_name, why_not
from chain.units import format_rao
from ledger.services import import_chain_file, preview_chain_file

PROBLEMS_SHOWN = 50


class Command(BaseCommand):
    """Check a file in full, show what it holds, and import it whole or not at all."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=file_argument)
        parser.add_argument("--dry-run", action="store_true", help="Show the preview and write nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        name = readable_name(path)
        try:
            with path.open("rb") as file:
                # One byte more shows that it is too large without reading all of it.
                content = file.read(BYTES_MAX + 1)
            preview = preview_chain_file(content=content, file_name=name, now=timezone.now())
            self._show(preview)
            if preview.problems:
                raise ImportRefused(preview)
            if options["dry_run"]:
                self.stdout.write("Nothing was written.")
                return
            run = import_chain_file(
                content=content,
                file_name=name,
                actor=None,
                now=timezone.now(),
                expected_sha256=preview.sha256,
            )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {why_not(error)}") from error
        except (FileRefused, ImportRefused) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Imported as {run}." if run else "Everything in it is stored already: nothing changed."
        )

    def _show(self, preview: Preview) -> None:
        for problem in preview.problems[:PROBLEMS_SHOWN]:
            self.stderr.write(f"{problem.section} row {problem.row}, {problem.field}: {problem.text}")
        if len(preview.problems) > PROBLEMS_SHOWN:
            self.stderr.write(f"… and {len(preview.problems) - PROBLEMS_SHOWN:,} more")
        self.stdout.write(
            f"{preview.file_name}: {preview.row_count:,} rows, {preview.stakers:,} stakers, "
            f"{preview.new_rows:,} new, {preview.known_rows:,} stored already  sha256 {preview.sha256}"
        )
        for group in preview.groups:
            self.stdout.write(
                f"  epoch {group.epoch} {group.component:<9} {group.vote_account}  slot {group.slot.number}  "
                f"{len(group.rows):,} stakers  revenue {format_rao(group.revenue_rao)} SOL"
                f"{'' if group.is_new else '  stored already'}"
            )
        if preview.events:
            self.stdout.write(f"  {len(preview.events):,} stake events, {len(preview.new_events):,} new")
        for account in preview.new_vote_accounts:
            self.stdout.write(f"  new vote account {account}")
