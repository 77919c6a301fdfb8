"""Runs the site's programs (web, worker, beat) as children of one command and ends them together.

Each child has a session of its own, so a Ctrl-C reaches only the supervisor, which stops them in
reverse order. A child that dies stops the others and makes the command fail. If the supervisor itself
is killed the kernel asks its children to end.
"""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rakeback.embedded.home import Home
from rakeback.embedded.identity import Identity, entering
from rakeback.embedded.users import is_running

PROJECT = Path(__file__).resolve().parent.parent
READY_SECONDS_MAX = 120.0
LOG_BYTES_MAX = 5_000_000
LOG_LINES_SHOWN = 15
POLL_SECONDS = 0.2
# The second signal makes a Celery worker give its unfinished tasks back to the broker.
STOP_SIGNALS = ((signal.SIGTERM, 10.0), (signal.SIGQUIT, 5.0))
LIVE_PATH = "/health/live/"


class CannotServe(Exception):
    """The site cannot be started as asked. A retry helps only after the named thing was changed."""


@dataclass(frozen=True)
class Program:
    """One child: its name in messages and log files, its command, and descriptors that it inherits."""

    name: str
    command: Sequence[str]
    descriptors: tuple[int, ...] = ()


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int
    shown_to: int = field(init=False)

    def __post_init__(self) -> None:
        self.shown_to = self.log_start

    def status(self) -> int | None:
        """Return how the process ended, negative for a signal, or None while it lives.

        It is not reaped here: until then nobody else can get its number, so that its group can be
        signalled safely.
        """
        ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def new_lines(self) -> list[str]:
        with open(self.log, "rb") as file:
            file.seek(self.shown_to)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self.shown_to += whole
        return text[:whole].decode(errors="replace").splitlines()

    def last_lines(self) -> list[str]:
        with open(self.log, "rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace").splitlines()[-LOG_LINES_SHOWN:]


def open_port(bind: str, port: int) -> socket.socket:
    """Return a listening socket for the web server, so that nobody can take the port in between.

    :param bind: an address of this machine.
    :param port: from 1 to 65535, or 0 for any that is free.
    :raises CannotServe: when the port is taken or the address cannot be used.
    """
    if not 0 <= port <= 65_535:
        raise CannotServe(f"Port {port} does not exist. Choose one from 1 to 65535 with --port or PORT=.")
    if not bind.strip():
        # The system would take it as every address there is.
        raise CannotServe(
            "Say where to listen: --bind 127.0.0.1 for this machine only, 0.0.0.0 for every network."
        )
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((bind, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65_535 else 8_000
            raise CannotServe(
                f"Port {port} is taken by another program. Choose another one with --port {other} or "
                f"PORT={other}."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise CannotServe(
                f"This account may not use port {port}. Choose one above 1023 with --port or PORT=."
            ) from error
        raise CannotServe(f"The address {bind[:60]} cannot be used: {error.strerror or error}.") from error
    except (UnicodeError, TypeError, ValueError) as error:
        listener.close()
        raise CannotServe(f"The address {bind[:60]!r} is none: give a number like 127.0.0.1.") from error
    return listener


def site_programs(listener: socket.socket) -> list[Program]:
    """Return the programs of a whole site on one machine, in the order in which they start."""
    python, descriptor = sys.executable, listener.fileno()
    gunicorn = [
        *(python, "-m", "gunicorn", "rakeback.wsgi", "--bind", f"fd://{descriptor}"),
        *("--worker-class", "gthread", "--workers", os.environ.get("WEB_CONCURRENCY", "2"), "--threads", "4"),
        *("--timeout", "120", "--graceful-timeout", "8", "--no-control-socket"),
    ]
    celery = [python, "-m", "celery", "-A", "rakeback"]
    worker = [
        *celery,
        "worker",
        "--concurrency",
        "2",
        "--loglevel",
        "INFO",
        "--without-gossip",
        "--without-mingle",
    ]
    beat = [*celery, "beat", "--pidfile=", "--max-interval", "5", "--loglevel", "INFO"]
    return [Program("web", gunicorn, (descriptor,)), Program("worker", worker), Program("beat", beat)]


def answers(address: tuple[str, int], host: str) -> bool:
    """Say whether the web server at an address serves requests for a host name."""
    connection = http.client.HTTPConnection(address[0], address[1], timeout=5)
    try:
        connection.request("GET", LIVE_PATH, headers={"Host": host})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class Supervisor:
    """Starts programs, watches them and the embedded services, and ends all of them.

    :param home: where the log files go.
    :param services: the embedded services in use, which must live too.
    :param say: writes one line for the person at the terminal.
    :param verbose: whether the programs' log lines are shown as well.
    """

    def __init__(
        self,
        home: Home,
        *,
        services: Sequence[str] = (),
        say: Callable[[str], None] = print,
        verbose: bool = False,
    ) -> None:
        self._home = home
        self._services = services
        self._say_to = say
        self._verbose = verbose
        self._children: list[_Child] = []
        self._signals = 0
        self._woken = threading.Event()

    def run(
        self,
        programs: Sequence[Program],
        *,
        is_ready: Callable[[], bool],
        on_ready: Callable[[], None],
    ) -> int:
        """Start the programs, call ``on_ready`` once they serve, and return when all have ended.

        Must be called in the main thread. The status is 0 after Ctrl-C, SIGTERM or a hang-up, and 1 when
        a child or an embedded service died or nothing answered in time.
        """
        caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in caught}
        try:
            return self._run(programs, is_ready, on_ready)
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run(
        self, programs: Sequence[Program], is_ready: Callable[[], bool], on_ready: Callable[[], None]
    ) -> int:
        for program in programs:
            if self._signals:
                break
            self._start(program)
        deadline = time.monotonic() + READY_SECONDS_MAX
        announced = False
        while not self._signals:
            self._show_new_lines()
            if self._report_deaths():
                return 1
            if not announced and is_ready():
                announced = True
                on_ready()
            elif not announced and time.monotonic() > deadline:
                self._say(
                    f"The site did not answer within {READY_SECONDS_MAX:.0f} s. Logs: {self._home.logs}"
                )
                return 1
            self._woken.wait(POLL_SECONDS)
        return 0

    def _start(self, program: Program) -> None:
        log = self._home.logs / f"{program.name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        with open(log, "ab") as output:
            start = output.tell()
            process = subprocess.Popen(
                list(program.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=PROJECT,
                # As we understood it; a relative path would mean another folder from over there.
                env=os.environ | {"RAKEBACK_HOME": str(self._home.root)},
                pass_fds=program.descriptors,
                start_new_session=True,
                preexec_fn=entering(Identity(), signal.SIGTERM),  # noqa: PLW1509  (we start no threads)
            )
        self._children.append(_Child(program, process, log, start))

    def _report_deaths(self) -> bool:
        for child in self._children:
            status = child.status()
            if status is not None:
                how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
                self._say(f"The {child.program.name} process {how}. Its last lines ({child.log}):")
                for line in child.last_lines():
                    self._say(f"  {line}")
                return True
        for service in self._services:
            if not is_running(self._home, service):
                self._say(f"The embedded {service} died. Its log: {self._home.logs / service}.log")
                return True
        return False

    def _stop_all(self) -> None:
        if self._children:
            self._say("Stopping …")
        signals_before = self._signals
        for child in reversed(self._children):
            self._stop(child, signals_before)
        self._show_new_lines()
        self._children.clear()

    def _stop(self, child: _Child, signals_before: int) -> None:
        for number, seconds in STOP_SIGNALS:
            if child.status() is not None:
                break
            os.kill(child.process.pid, number)
            deadline = time.monotonic() + seconds
            # A second Ctrl-C means: now.
            while time.monotonic() < deadline and self._signals == signals_before:
                if child.status() is not None:
                    break
                time.sleep(0.05)
        try:
            # Also takes what a killed child has left behind in its session.
            os.killpg(child.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        child.process.wait()

    def _show_new_lines(self) -> None:
        if self._verbose:
            for child in self._children:
                for line in child.new_lines():
                    self._say(f"{child.program.name:>6} | {line}")

    def _say(self, line: str) -> None:
        try:
            self._say_to(line)
        except OSError:
            pass  # After a hang-up there is no terminal to write to.

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self._woken.set()


def serve_site(
    home: Home,
    *,
    bind: str,
    port: int,
    services: Sequence[str] = (),
    say: Callable[[str], None] = print,
    verbose: bool = False,
    host: str = "localhost",
    on_ready: Callable[[str], None] | None = None,
) -> int:
    """Run the whole site on this machine until it is told to stop.

    :param host: a name that the site answers to, for asking whether it lives.
    :param on_ready: gets the site's address once it answers; by default the address is printed.
    :returns: the status for the shell, see :meth:`Supervisor.run`.
    :raises CannotServe: when the port cannot be had.
    """
    home.prepare()
    # The programs write to files, where more than warnings is wanted.
    os.environ.setdefault("LOG_LEVEL", "INFO")
    os.environ["RAKEBACK_SERVED"] = "1"
    with open_port(bind, port) as listener:
        address: tuple[str, int] = listener.getsockname()[:2]
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104
        shown = f"[{reachable}]" if ":" in reachable else reachable
        url = f"http://{shown}:{address[1]}/"

        def announce() -> None:
            # From now on only the web server holds the port, so it is free the moment that one ends.
            listener.close()
            if on_ready is not None:
                on_ready(url)
            else:
                say(f"Rakeback runs at {url} (Ctrl-C stops it; logs: {home.logs})")

        supervisor = Supervisor(home, services=services, say=say, verbose=verbose)
        return supervisor.run(
            site_programs(listener),
            is_ready=lambda: answers((reachable, address[1]), host),
            on_ready=announce,
        )
