"""What the embedded servers have in common: start as a child, become ready, stop, keep a log."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path

from rakeback.embedded.home import EmbeddedError, Home
from rakeback.embedded.identity import Identity, entering
from rakeback.embedded.users import POLL_SECONDS, START_SECONDS_MAX

LOG_BYTES_MAX = 5_000_000
LOG_LINES_SHOWN = 8


class Server(ABC):
    """One server process, a child of its keeper.

    :param home: where its data, socket and log are.
    :param lock: a locked descriptor that the server inherits, so that the lock lives as long as the last
        of its processes.
    """

    service: str
    # In order, with the seconds given to each before the next is sent.
    stop_signals: tuple[tuple[signal.Signals, float], ...]

    def __init__(self, home: Home, lock: int) -> None:
        self.home = home
        self.lock = lock
        self.is_stopping = False
        self.log_path = home.logs / f"{self.service}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process number; only after :meth:`start`."""
        assert self._process is not None
        return self._process.pid

    @abstractmethod
    def prepare(self) -> tuple[list[str], Identity]:
        """Make ready what the server needs; return its command line and who runs it."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Say whether the server answers."""

    def start(self) -> None:
        """Start the server and wait until it answers.

        :raises EmbeddedError: when it ends or does not answer in time, with the end of its log.
        """
        command, identity = self.prepare()
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        with open(self.log_path, "ab") as log:
            log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                pass_fds=(self.lock,),
                preexec_fn=entering(identity, self.stop_signals[0][0]),  # noqa: PLW1509  (no threads yet)
            )
        os.truncate(self.lock, 0)
        os.pwrite(self.lock, f"{self.pid}\n".encode(), 0)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready():
            if self._process.poll() is not None:
                raise EmbeddedError(
                    f"The embedded {self.service} does not start:\n{self._end_of_log(log_start)}"
                )
            if time.monotonic() > deadline:
                self.stop()
                raise EmbeddedError(
                    f"The embedded {self.service} did not answer in {START_SECONDS_MAX:.0f} s."
                )
            time.sleep(POLL_SECONDS)

    def wait(self) -> None:
        """Return when the server has ended."""
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        """End the server, firmly if it does not go by itself."""
        assert self._process is not None
        self.is_stopping = True
        for number, seconds in self.stop_signals:
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            return
        self._process.kill()
        self._process.wait()

    def _end_of_log(self, start: int) -> str:
        with open(self.log_path, "rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:]) or f"  (see {self.log_path})"


def find_in_package(package: str, *parts: str) -> Path:
    """Return a file inside an installed package, without importing it.

    :raises EmbeddedError: when the package or the file is missing.
    """
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder, *parts)
        if path.exists():
            return path
    raise EmbeddedError(
        f"The package {package.replace('_', '-')} is not installed, or has no programs for this machine. Run "
        "`make setup`, or set DATABASE_URL and REDIS_URL to servers of your own."
    )
