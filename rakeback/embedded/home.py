"""The folder that holds everything the embedded services keep: data, sockets, locks and logs.

It is refused, with the reason and the remedy, when it cannot be used. Nothing here imports Django.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

# A Unix socket's address holds 107 bytes; PostgreSQL adds its own file name to the folder's.
SOCKET_PATH_BYTES_MAX = 107
SOCKET_NAME_VALKEY = "valkey.sock"
DATABASE_NAME = "rakeback"
# Reads and writes rows, and owns nothing: what triggers refuse, the application cannot switch off.
DATABASE_USER = "rakeback"
# Owns the tables; only migrations are it.
DATABASE_OWNER = "rakeback_owner"
LONGEST_SOCKET_NAME = ".s.PGSQL.5432"
# Accounts that may run PostgreSQL for root where user namespaces are blocked, best first.
SERVER_ACCOUNTS = ("postgres", "nobody")
# libpq splits a host at commas and a broker URL splits at "?", "#" and "%".
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


class EmbeddedError(Exception):
    """An embedded service cannot be used. The message says why and what to do."""


class HomeError(EmbeddedError):
    """RAKEBACK_HOME cannot be used. A retry helps only after the folder or the variable was changed."""


@dataclass(frozen=True)
class Home:
    """The embedded services' folder and the paths inside it."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """Return the home named by RAKEBACK_HOME, or ``~/.rakeback``; nothing is created.

        :raises HomeError: when neither names a folder.
        """
        named = os.environ.get("RAKEBACK_HOME", "").strip()
        try:
            root = Path(named).expanduser() if named else Path.home() / ".rakeback"
        except RuntimeError as error:
            raise HomeError(
                "This account has no home folder: set RAKEBACK_HOME to a folder that Rakeback may "
                "write to, for instance RAKEBACK_HOME=/var/lib/rakeback."
            ) from error
        return cls(Path(os.path.abspath(root)))

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def sockets(self) -> Path:
        """Where the sockets are: inside the home, or in /tmp when the home's own path does not fit."""
        inside = self.root / "run"
        longest = os.fsencode(inside / LONGEST_SOCKET_NAME)
        if len(longest) <= SOCKET_PATH_BYTES_MAX and _PLAIN_PATH.fullmatch(str(inside)):
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path("/tmp") / f"rakeback-{os.getuid()}-{digest}"  # noqa: S108

    def prepare(self) -> None:
        """Create the home and its folders, readable by this account only.

        :raises HomeError: when the path is not a folder or cannot be written.
        """
        _make_private(self.root, "RAKEBACK_HOME")
        for folder in (self.logs, self.locks):
            _make_private(folder, "RAKEBACK_HOME")
        _make_private(self.sockets, "The folder for sockets")

    def read_secret_key(self) -> str:
        """Return the home's signing key, making it on first use (mode 0600).

        :raises HomeError: when the home cannot be used or the key file is damaged.
        """
        path = self.root / "secret_key"
        if not path.exists():
            self.prepare()
            # Written whole under another name and then linked, so that of two first starts one wins and
            # nobody reads half a key.
            draft = path.with_name(f"secret_key.{os.getpid()}.{secrets.token_hex(4)}")
            try:
                handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w") as file:
                    file.write(secrets.token_urlsafe(64))
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    os.link(draft, path)
                except FileExistsError:
                    pass
            except OSError as error:
                raise _unusable(path, "RAKEBACK_HOME", error) from error
            finally:
                draft.unlink(missing_ok=True)
        try:
            key = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise HomeError(f"The signing key {path} cannot be read: {error}.") from error
        if len(key) < 50:
            raise HomeError(
                f"The signing key {path} is damaged. Delete the file to have a new one made; everybody "
                "is then signed out."
            )
        return key


def _make_private(folder: Path, what: str) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat() if folder.parent == Path("/tmp") else folder.stat()  # noqa: S108
    except FileExistsError as error:
        raise HomeError(
            f"{what} {folder} is a file, not a folder. Set RAKEBACK_HOME to a folder that Rakeback may "
            "write to."
        ) from error
    except OSError as error:
        raise _unusable(folder, what, error) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {os.geteuid(), *_server_uids()}:
        # In /tmp anybody could have made it first and would own our sockets.
        raise HomeError(
            f"{what} {folder} belongs to another account. Set RAKEBACK_HOME to a folder of your own."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HomeError(
            f"{what} {folder} is not writable for this account. Make it writable, or set RAKEBACK_HOME to "
            "another folder, for instance RAKEBACK_HOME=/var/lib/rakeback."
        )


def _server_uids() -> set[int]:
    # Where root must hand the server to another account (rakeback.embedded.identity), that one owns the
    # folder of the sockets.
    if os.geteuid() != 0:
        return set()
    return {account.pw_uid for account in pwd.getpwall() if account.pw_name in SERVER_ACCOUNTS}


def _unusable(path: Path, what: str, error: OSError) -> HomeError:
    return HomeError(
        f"{what} {path} cannot be used: {error.strerror or error}. Make it writable for this account, or set "
        "RAKEBACK_HOME to another folder, for instance RAKEBACK_HOME=/var/lib/rakeback."
    )
