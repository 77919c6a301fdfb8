"""The side of a process that uses an embedded service: it holds a lock, and starts a keeper if none runs.

Three lock files stand for one service. ``users`` is held shared by every process that uses it; its
keeper waits to hold it alone, which happens exactly when the last user is gone. ``keeper`` is held by
the keeper for its life. ``starting`` lets one process at a time look for a keeper or start it. The
kernel drops all of them with their process, also after ``kill -9``.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from rakeback.embedded.home import EmbeddedError, Home

# PostgreSQL may have to replay a long log after a crash.
START_SECONDS_MAX = 300.0
POLL_SECONDS = 0.02
READY = "ready"

_PROJECT = Path(__file__).resolve().parent.parent.parent
# What the keeper and its server see of the environment; none of the site's secrets are among it.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
_PASSED_ON_PREFIX = "RAKEBACK_EMBEDDED_"

_held: dict[tuple[str, Path], int] = {}
_one_thread = threading.Lock()
_keepers: list[subprocess.Popen[bytes]] = []


def open_lock(home: Home, service: str, kind: str) -> int:
    """Open one of a service's lock files; the descriptor does not survive an exec."""
    return os.open(home.locks / f"{service}.{kind}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def ready_file(home: Home, service: str) -> Path:
    """Return the file that exists while a service answers."""
    return home.locks / f"{service}.ready"


def is_running(home: Home, service: str) -> bool:
    """Say whether a service has a keeper and answers."""
    return _is_held(home, service, "keeper") and ready_file(home, service).exists()


def use(home: Home, service: str) -> None:
    """Join the users of a service until this process ends, starting the service if need be.

    :param service: ``postgres`` or ``valkey``.
    :raises EmbeddedError: when the service cannot be started.
    """
    with _one_thread:
        if (service, home.root) not in _held:
            _join(home, service)


def _join(home: Home, service: str) -> None:
    key = (service, home.root)
    home.prepare()
    starting = open_lock(home, service, "starting")
    users = open_lock(home, service, "users")
    try:
        fcntl.flock(starting, fcntl.LOCK_EX)
        # Waits here while a keeper stops its server, and then starts anew.
        fcntl.flock(users, fcntl.LOCK_SH)
        _ensure_keeper(home, service)
        # Forked children share this lock. That is right: they use the service too.
        _held[key] = users
    finally:
        os.close(starting)
        if key not in _held:
            os.close(users)


def release(home: Home, service: str) -> None:
    """Leave the users of a service before this process ends; for tests and for reset commands."""
    users = _held.pop((service, home.root), None)
    if users is not None:
        os.close(users)


def wait_until_stopped(home: Home, service: str, seconds_max: float = 60.0) -> None:
    """Return when a service's keeper and server are gone; this process must not be one of its users.

    :raises EmbeddedError: when it still runs after ``seconds_max``, because others use it.
    """
    deadline = time.monotonic() + seconds_max
    while _is_held(home, service, "keeper") or _is_held(home, service, "server"):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"The embedded {service} is still in use by another process.")
        time.sleep(POLL_SECONDS)


def _ensure_keeper(home: Home, service: str) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if not _is_held(home, service, "keeper"):
            _start_keeper(home, service)
            return
        if ready_file(home, service).exists():
            return
        # Its starter was killed meanwhile, or its server has just died.
        time.sleep(POLL_SECONDS)
    raise EmbeddedError(f"The embedded {service} did not become ready within {START_SECONDS_MAX:.0f} s.")


def _is_held(home: Home, service: str, kind: str) -> bool:
    if not home.locks.exists():
        return False
    lock = open_lock(home, service, kind)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _start_keeper(home: Home, service: str) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIX)
    }
    environment["PYTHONPATH"] = str(_PROJECT)
    answer, report = os.pipe()
    try:
        with open(home.logs / f"{service}.keeper.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "rakeback.embedded.keeper", service, str(home.root), str(report)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                pass_fds=(report,),
                # A Ctrl-C or a hang-up in the user's terminal is the users' affair.
                start_new_session=True,
            )
    except OSError as error:
        os.close(answer)
        raise EmbeddedError(f"The keeper of the embedded {service} cannot be started: {error}.") from error
    finally:
        os.close(report)
    # Kept, so that nobody warns about a process that is meant to outlive this function.
    _keepers.append(process)
    with os.fdopen(answer, encoding="utf-8", errors="replace") as file:
        said = file.read().strip()
    if said != READY:
        process.wait()
        raise EmbeddedError(said or f"The keeper of the embedded {service} died; see {home.logs}.")
