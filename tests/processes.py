"""Starts programs for tests and looks at which processes are left of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def environment(home: Path, **changes: str) -> dict[str, str]:
    """Return an environment in which a program uses ``home`` and nothing of this machine's services."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
    }
    return kept | {"RAKEBACK_HOME": str(home), "RAKEBACK_EMBEDDED_UNSAFE_FAST": "1", **changes}


def start_python(code: str, home: Path, **changes: str) -> subprocess.Popen[str]:
    """Start a Python program that can import the project; its output and errors are one pipe."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(home, **changes),
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def manage(home: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run one command of manage.py to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment(home, **changes),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def processes_of(home: Path, *, naming: str = "") -> list[int]:
    """Return the living processes that were started with ``home`` in their command line or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            variables = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if state != "Z" and naming in command and (str(home) in command or f"={home}\0" in variables):
            found.append(int(entry.name))
    return sorted(found)


def kill_processes_of(home: Path) -> None:
    """Kill what was started with ``home``; one may be gone already, because another that ended it went first."""
    for number in processes_of(home):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


@contextmanager
def home_of_processes() -> Iterator[Path]:
    """Give a folder that is removed in the end, with all processes that use it."""
    # Not pytest's tmp_path: that is too long a name for a socket.
    home = Path(tempfile.mkdtemp(prefix="rb"))
    try:
        yield home
    finally:
        kill_processes_of(home)
        eventually(lambda: not processes_of(home))
        shutil.rmtree(home, ignore_errors=True)


class Site:
    """A served site in a process of its own."""

    def __init__(self, home: Path, **changes: str) -> None:
        self.home = home
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", "0"],
            env=environment(home, **changes),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_for_url(self) -> str:
        """Return the address once the site answers there."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"http://\S+/", line):
                return found[0]
        raise AssertionError("the site ended before it answered")

    def wait_for_end(self) -> tuple[int, str]:
        """Return the status it ended with and what it said since it answered."""
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said

    def is_gone(self) -> bool:
        """Say whether nothing of it is left, within a minute."""
        return eventually(lambda: not processes_of(self.home))


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Wait until a condition holds; say whether it came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
