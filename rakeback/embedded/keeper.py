"""The small process that owns one embedded server: ``python -m rakeback.embedded.keeper SERVICE HOME FD``.

It starts the server as its child, says on FD that it is ready or why not, then waits until no user is
left and stops it. If the keeper itself is killed the kernel ends the server; if the server dies the
keeper ends, and the next user starts both anew.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from rakeback.embedded.home import EmbeddedError, Home
from rakeback.embedded.postgres import PostgresServer
from rakeback.embedded.server import Server
from rakeback.embedded.users import READY, open_lock, ready_file
from rakeback.embedded.valkey import ValkeyServer

SERVERS: dict[str, type[Server]] = {"postgres": PostgresServer, "valkey": ValkeyServer}
PREDECESSOR_SECONDS_MAX = 60.0


class Asked(Exception):
    """Somebody sent SIGTERM: stop although there may be users, for the machine is going down."""


def main(arguments: list[str]) -> int:
    """Keep one server until its last user is gone; return the status for the parent."""
    service, home, report = arguments[0], Home(Path(arguments[1])), int(arguments[2])
    os.set_inheritable(report, False)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ask)
    keeper = open_lock(home, service, "keeper")
    users = open_lock(home, service, "users")
    fcntl.flock(keeper, fcntl.LOCK_EX)
    ready_file(home, service).unlink(missing_ok=True)
    try:
        server = SERVERS[service](home, _wait_for_predecessor(home, service))
        server.start()
    except Asked:
        _say(report, f"The embedded {service} was asked to stop while it started.")
        return 1
    except (EmbeddedError, OSError, subprocess.SubprocessError) as error:
        _say(report, str(error))
        return 1
    status = 0
    try:
        ready_file(home, service).write_text(f"{os.getpid()} {server.pid}\n")
        threading.Thread(target=_follow, args=(home, service, server), daemon=True).start()
        _say(report, READY)
        fcntl.flock(users, fcntl.LOCK_EX)
    except Asked:
        status = 1
    # From here a new user waits at the users' lock and finds neither file nor keeper.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready_file(home, service).unlink(missing_ok=True)
    server.stop()
    os.close(keeper)
    os.close(users)
    return status


def _ask(number: int, frame: FrameType | None) -> None:
    raise Asked


def _say(report: int, text: str) -> None:
    try:
        os.write(report, text.encode())
    except BrokenPipeError:
        pass  # Whoever started us is gone; the users' lock will tell.
    os.close(report)


def _wait_for_predecessor(home: Home, service: str) -> int:
    """Return a lock that every process of the server will hold, once those of an earlier one are gone."""
    lock = open_lock(home, service, "server")
    deadline = time.monotonic() + PREDECESSOR_SECONDS_MAX
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"An earlier embedded {service} still runs on {home.root} and does not end. End it by "
                    "hand."
                ) from None
            _nudge(lock)
            time.sleep(0.05)
        else:
            return lock


def _nudge(lock: int) -> None:
    # Elsewhere than on Linux nothing ended the server together with its keeper. The lock is held, so the
    # process that wrote its number there lives.
    if sys.platform != "linux":
        number = os.pread(lock, 20, 0).decode(errors="replace").strip()
        if number.isdigit():
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGINT)


def _follow(home: Home, service: str, server: Server) -> None:
    server.wait()
    if not server.is_stopping:
        print(f"The embedded {service} died; its keeper ends.", file=sys.stderr, flush=True)
        ready_file(home, service).unlink(missing_ok=True)
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
