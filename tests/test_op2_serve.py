"""``manage.py serve`` runs the whole site and leaves nothing behind, however it ends (OP1, OP2)."""

from __future__ import annotations

import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.contrib.auth.models import User

from rakeback import embedded
from rakeback.embedded.home import Home
from rakeback.embedded.users import release
from rakeback.management.commands.serve import Command
from rakeback.supervisor import CannotServe, Program, Supervisor, open_port
from tests.processes import (
    Site,
    eventually,
    home_of_processes,
    manage,
    processes_of,
    start_python,
)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with home_of_processes() as folder:
        yield folder


@pytest.mark.slow
def test_op2_site_answers_and_ends_on_ctrl_c_without_a_trace(home: Path) -> None:
    site = Site(home)
    url = site.wait_for_url()
    assert "Nobody can sign in yet. In another terminal: python manage.py createsuperuser\n" in site.said
    with urllib.request.urlopen(url + "admin/login/") as page:
        assert "Rakeback" in page.read().decode()
    with urllib.request.urlopen(url + "static/rakeback/favicon.svg") as favicon:
        assert favicon.status == 200
    assert eventually(lambda: "ready." in (home / "logs/worker.log").read_text())
    site.process.send_signal(signal.SIGINT)
    assert site.wait_for_end()[0] == 0
    assert site.is_gone()


@pytest.mark.django_db
def test_op2_who_can_sign_in_is_not_told_to_make_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    command = Command()
    monkeypatch.setattr(command, "_say", said.append)
    User.objects.create_user("gone", password="x", is_staff=True, is_active=False)
    User.objects.create_user("by key only", is_staff=True)
    User.objects.create_user("stranger", password="x")
    command._tell_who_can_sign_in()
    assert len(said) == 1
    User.objects.create_user("olivia", password="x", is_staff=True)
    command._tell_who_can_sign_in()
    assert len(said) == 1


@pytest.mark.slow
def test_op2_site_that_is_interrupted_while_it_starts_leaves_nothing(home: Path) -> None:
    site = Site(home)
    assert eventually(lambda: bool(processes_of(home, naming="celery")))
    site.process.send_signal(signal.SIGINT)
    assert site.wait_for_end()[0] == 0
    assert site.is_gone()


@pytest.mark.slow
def test_op2_killed_site_leaves_nothing(home: Path) -> None:
    site = Site(home)
    site.wait_for_url()
    site.process.kill()
    site.wait_for_end()
    assert site.is_gone()


@pytest.mark.slow
def test_op2_dead_worker_ends_the_site_with_an_error_that_names_it(home: Path) -> None:
    site = Site(home)
    site.wait_for_url()
    os.kill(processes_of(home, naming="celery -A rakeback worker")[0], signal.SIGKILL)
    status, said = site.wait_for_end()
    assert status == 1
    assert "The worker process was killed by signal 9. Its last lines" in said
    assert site.is_gone()


def test_op2_taken_port_is_named_with_the_way_out(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = manage(home, "serve", "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert "--port" in done.stderr
    assert "PORT=" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("bind", "port", "told"),
    [
        ("127.0.0.1", 70_000, "does not exist"),
        ("192.0.2.1", 0, "cannot be used"),
        ("no such host!", 0, "used"),
        ("", 0, "Say where to listen"),
        (" ", 0, "Say where to listen"),
        ("x" * 5_000, 0, "is none|used"),
        ("a..b", 0, "is none|used"),
        ("a\0b", 0, "is none|used"),
        ("\udcff", 0, "is none|used"),
    ],
)
def test_op2_impossible_addresses_are_refused(bind: str, port: int, told: str) -> None:
    with pytest.raises(CannotServe, match=told):
        open_port(bind, port)


@pytest.mark.parametrize("port", ["eighty", "-1", "", "65536", "9" * 5_000])
def test_op2_port_that_is_no_number_is_refused(home: Path, port: str) -> None:
    done = manage(home, "serve", f"--port={port}")
    assert done.returncode == 1
    assert "whole number" in done.stderr


def test_op2_child_that_fails_is_shown_with_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    said: list[str] = []
    supervisor = Supervisor(Home(tmp_path), say=said.append)
    programs = [
        Program("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"]),
        Program("failing", [sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"]),
    ]
    assert supervisor.run(programs, is_ready=lambda: False, on_ready=lambda: None) == 1
    assert "The failing process ended with status 3" in said[0]
    assert "  no such thing" in said
    assert not processes_of(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_op2_every_ending_signal_ends_the_children(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "logs").mkdir()
    supervisor = Supervisor(Home(tmp_path), say=_say_to_a_closed_terminal)
    programs = [Program("sleeper", [sys.executable, "-c", f"import time; '{tmp_path}'; time.sleep(60)"])]
    status = supervisor.run(programs, is_ready=lambda: True, on_ready=lambda: os.kill(os.getpid(), number))
    assert status == 0
    assert not processes_of(tmp_path)


def _say_to_a_closed_terminal(line: str) -> None:
    raise OSError("Input/output error: " + line)


def test_op2_dead_broker_ends_the_site_with_an_error_that_names_it(home: Path) -> None:
    said: list[str] = []
    embedded.use_valkey(Home(home))
    supervisor = Supervisor(Home(home), services=["valkey"], say=said.append)
    programs = [Program("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])]

    def kill_broker() -> None:
        os.kill(processes_of(home, naming="valkey-server")[0], signal.SIGKILL)

    try:
        assert supervisor.run(programs, is_ready=lambda: True, on_ready=kill_broker) == 1
    finally:
        release(Home(home), "valkey")
    assert "The embedded valkey died." in said[0]


def test_op2_lines_of_the_children_are_shown_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    said: list[str] = []
    supervisor = Supervisor(Home(tmp_path), say=said.append, verbose=True)
    programs = [Program("talker", [sys.executable, "-c", "print('one\\ntwo')"])]
    assert supervisor.run(programs, is_ready=lambda: False, on_ready=lambda: None) == 1
    assert "talker | one" in said
    assert "talker | two" in said
    assert "The talker process ended with status 0" in "\n".join(said)


def test_op2_task_that_is_sent_from_a_command_starts_the_broker(home: Path) -> None:
    code = (
        "import sys, django; django.setup(); from rakeback.celery import app\n"
        "app.send_task('nothing'); print('sent', flush=True); sys.stdin.read()"
    )
    sender = start_python(code, home, DJANGO_SETTINGS_MODULE="rakeback.settings")
    assert sender.stdout is not None
    assert "sent\n" in iter(sender.stdout.readline, "")
    client = redis.Redis(unix_socket_path=str(Home(home).sockets / "valkey.sock"))
    assert client.llen("celery") == 1
    client.delete("celery")
    client.close()
    sender.communicate(timeout=30)
    assert eventually(lambda: not processes_of(home))


def test_op2_child_that_ignores_every_signal_is_killed_with_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rakeback.supervisor.STOP_SIGNALS", ((signal.SIGTERM, 0.2), (signal.SIGQUIT, 0.2)))
    (tmp_path / "logs").mkdir()
    stubborn = (
        "import os, signal, time\n"
        "for n in (signal.SIGTERM, signal.SIGQUIT): signal.signal(n, signal.SIG_IGN)\n"
        f"os.fork(); open('{tmp_path}/up' + str(os.getpid()), 'w'); time.sleep(60)"
    )
    supervisor = Supervisor(Home(tmp_path), say=_say_to_a_closed_terminal)
    programs = [Program("stubborn", [sys.executable, "-c", stubborn])]

    def stop_when_up() -> bool:
        if len(list(tmp_path.glob("up*"))) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    assert supervisor.run(programs, is_ready=stop_when_up, on_ready=lambda: None) == 0
    assert eventually(lambda: not processes_of(tmp_path))
