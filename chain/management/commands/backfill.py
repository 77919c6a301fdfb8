"""Read a range of blocks with several workers at once, and steer and watch that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.backfill import services as backfilling
from chain.backfill.services import CannotBackfill, describe_progress, get_progress
from chain.backfill.work import work
from chain.management.arguments import add_node_arguments, number_argument
from chain.management.signals import Stop
from chain.models import Backfill, Gap
from chain.nodes.services import open_nodes
from chain.nodes.source import Source, SourceError
from chain.services import CannotIngest, now_utc, our_hotkeys
from chain.tasks import wake_workers

POLL_SECONDS = 1.0
IDLE_SECONDS = 0.25
# Handed to worker processes by the environment, because a command line is seen by everybody on the machine.
URL_VARIABLE = "RAKEBACK_BACKFILL_URL"
MODES = ("from", "gaps", "status", "pause", "resume", "cancel", "work")
backfill_argument = number_argument("backfill", 1, (1 << 63) - 1)


class Command(BaseCommand):
    help = (
        "Read blocks A to B with several workers at once; the facts are those of a serial run. Celery workers do it, "
        "or --local N processes of this command."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_node_arguments(parser, required=False)
        parser.add_argument("--gaps", action="store_true", help="read the blocks of all open gaps again")
        for name, text in (
            ("pause", "let the workers put it down"),
            ("resume", "go on after a pause, a gap or a crash"),
            ("cancel", "give up what is not stored yet"),
        ):
            parser.add_argument(f"--{name}", type=backfill_argument, metavar="ID", help=text)
        parser.add_argument("--status", action="store_true", help="show the newest backfills")
        parser.add_argument(
            "--local",
            type=number_argument("number of processes", 1, backfilling.PARALLEL_MAX),
            metavar="N",
            help="read with N processes of this command",
        )
        parser.add_argument(
            "--parallel",
            type=number_argument("number of chunks", 1, backfilling.PARALLEL_MAX),
            default=backfilling.PARALLEL,
            metavar="N",
            help="chunks that Celery workers read at once (default: %(default)s)",
        )
        parser.add_argument(
            "--chunk",
            type=number_argument("number of blocks", 1, backfilling.CHUNK_BLOCKS_MAX),
            default=backfilling.CHUNK_BLOCKS,
            metavar="BLOCKS",
            help="blocks a worker reads at a time (default: %(default)s)",
        )
        parser.add_argument("--no-wait", action="store_true", help="do not watch; Celery workers go on")
        parser.add_argument(
            "--work", type=backfill_argument, metavar="ID", help="be one of the processes of --local"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except (CannotBackfill, CannotIngest, SourceError) as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        asked = [f"--{name}" for name in MODES if options[name] not in (None, False)]
        if len(asked) > 1:
            raise CommandError(f"give one of {', '.join(asked)}")
        if options["status"]:
            self._show_status()
        elif options["work"] is not None:
            self._work(options["work"], options["url"])
        elif options["pause"] is not None:
            backfill = backfilling.pause_backfill(backfill_id=options["pause"], actor=None, now=now_utc())
            self.stdout.write(f"Paused {backfill}. Go on with: manage.py backfill --resume {backfill.pk}")
        elif options["cancel"] is not None:
            backfill = backfilling.cancel_backfill(backfill_id=options["cancel"], actor=None, now=now_utc())
            self.stdout.write(f"Cancelled {backfill}. {describe_progress(get_progress(backfill))}.")
        elif options["resume"] is not None:
            backfill = backfilling.resume_backfill(
                backfill_id=options["resume"], actor=None, now=now_utc(), runs_on=_runs_on(options)
            )
            self._run(backfill, options)
        elif options["gaps"]:
            self._retry_gaps(options)
        elif options["from"]:
            self._run(self._start(options), options)
        else:
            raise CommandError(
                "give --from A [--to B], or --gaps, or --status, or one of --pause, --resume and --cancel with an ID"
            )

    # --- asking ---------------------------------------------------------------------------------------

    def _start(self, options: dict[str, Any]) -> Backfill:
        runs_on = _runs_on(options)
        if options["to"] and options["to"] < options["from"]:
            raise CommandError(f"--from {options['from']:,} is after --to {options['to']:,}")
        with _open(options["url"]) as source:
            return backfilling.start_backfill(
                source,
                first=options["from"],
                last=options["to"],
                hotkeys=options["hotkey"] or our_hotkeys(),
                actor=None,
                now=now_utc(),
                chunk_blocks=options["chunk"],
                parallel=options["local"] or options["parallel"],
                runs_on=runs_on,
            )

    def _retry_gaps(self, options: dict[str, Any]) -> None:
        runs_on = _runs_on(options)
        with _open(options["url"]) as source:
            backfill = backfilling.retry_gaps(
                source,
                actor=None,
                now=now_utc(),
                chunk_blocks=options["chunk"],
                parallel=options["local"] or options["parallel"],
                runs_on=runs_on,
            )
        if backfill is not None:
            self._run(backfill, options)
        left = Gap.objects.filter(state=Gap.State.OPEN)
        if not left.exists():
            self.stdout.write("No gap is open.")
        for gap in left:
            self.stdout.write(
                f"Open: {gap.get_kind_display()}, blocks {gap.blocks.lower:,} to {gap.blocks.upper - 1:,}: {gap.reason}"
            )

    def _show_status(self) -> None:
        found = Backfill.objects.all()[:10]
        if not found:
            self.stdout.write("No backfill yet. Start one: manage.py backfill --url wss://… --from A --to B")
        for backfill in found:
            silent = backfill.state == Backfill.State.RUNNING and backfilling.is_silent(backfill, now_utc())
            note = ", but no worker is heard of" if silent else ""
            self.stdout.write(
                f"{backfill.pk}: blocks {backfill.first_block:,} to {backfill.last_block:,}, "
                f"{backfill.get_state_display().lower()}{note} · {describe_progress(get_progress(backfill))}"
                + (f" · {backfill.error}" if backfill.error else "")
            )

    # --- running --------------------------------------------------------------------------------------

    def _run(self, backfill: Backfill, options: dict[str, Any]) -> None:
        is_local = backfill.runs_on == Backfill.RunsOn.LOCAL
        self.stdout.write(
            f"Backfill {backfill.pk}: blocks {backfill.first_block:,} to {backfill.last_block:,} from {backfill.source}"
        )
        if not is_local:
            wake_workers(backfill.pk)
            if options["no_wait"]:
                return
        processes = self._start_processes(backfill, options) if is_local else []
        with Stop() as stop:
            try:
                self._watch(backfill, processes, stop)
            finally:
                self._end_processes(processes)
        backfill.refresh_from_db()
        if stop.is_asked() and backfill.state == Backfill.State.RUNNING:
            if is_local:
                backfilling.pause_backfill(backfill_id=backfill.pk, actor=None, now=now_utc())
            self.stdout.write(
                f"Paused. Go on with: manage.py backfill --resume {backfill.pk} --local N"
                if is_local
                else f"The workers go on. Watch with --status, stop with --pause {backfill.pk}."
            )
            return
        self.stdout.write(describe_progress(get_progress(backfill)))
        if backfill.state in (Backfill.State.STOPPED, Backfill.State.RUNNING):
            raise CommandError(backfill.error or "every worker process ended; see above why")
        self.stdout.write(f"{backfill.get_state_display()}.")

    def _start_processes(self, backfill: Backfill, options: dict[str, Any]) -> list[subprocess.Popen[bytes]]:
        environment = dict(os.environ)
        if options["url"]:
            environment[URL_VARIABLE] = options["url"]
        command = [sys.executable, sys.argv[0], "backfill", "--work", str(backfill.pk)]
        # In a group of their own, so that Ctrl-C reaches them through this process, once.
        return [
            subprocess.Popen(command, env=environment, start_new_session=True)
            for _ in range(options["local"])
        ]

    def _watch(self, backfill: Backfill, processes: list[subprocess.Popen[bytes]], stop: Stop) -> None:
        is_terminal = self.stdout.isatty()
        while not stop.wait(POLL_SECONDS):
            backfill.refresh_from_db()
            if is_terminal:
                self.stdout.write(f"\r{describe_progress(get_progress(backfill))}\x1b[K", ending="")
                self.stdout.flush()
            if backfill.state != Backfill.State.RUNNING:
                break
            if processes and all(process.poll() is not None for process in processes):
                break
        if is_terminal:
            self.stdout.write("")

    def _end_processes(self, processes: list[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()

    def _work(self, backfill_id: int, url: str | None) -> None:
        url = url or os.environ.get(URL_VARIABLE)
        backfill = backfilling.get_backfill(backfill_id)
        if backfill.state != Backfill.State.RUNNING:
            # Another process may have ended it while this one started.
            self.stdout.write(f"{backfill} is {backfill.get_state_display().lower()}: nothing to do.")
        with Stop() as stop:
            work(
                lambda: _open(url),
                backfill_id=backfill_id,
                worker=f"process {os.getpid()}",
                clock=now_utc,
                should_stop=stop.is_asked,
                wait=lambda: stop.wait(IDLE_SECONDS),
            )


def _runs_on(options: dict[str, Any]) -> str:
    if options["local"]:
        return Backfill.RunsOn.LOCAL
    if options["url"]:
        raise CommandError("Celery workers read from RAKEBACK_NODE_URL; --url needs --local N")
    return Backfill.RunsOn.WORKERS


def _open(url: str | None) -> AbstractContextManager[Source]:
    url = url or settings.RAKEBACK_NODE_URL
    if not url:
        raise CannotBackfill("give --url ws://… with --local N, or set RAKEBACK_NODE_URL")
    return open_nodes(url.split(","))
