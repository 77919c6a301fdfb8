"""Settings are validated at start and refused by name, rule and example (OP5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from rakeback.env import Environment, SettingsRefused
from tests.processes import manage

PRODUCTION = {
    "RAKEBACK_ENV": "production",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyz-0123456789-abcdef",
    "ALLOWED_HOSTS": "rakeback.example.com",
    "DATABASE_URL": "postgres://rakeback@db.internal/rakeback",
    "REDIS_URL": "redis://cache.internal/0",
}


def refused(env: Environment) -> str:
    with pytest.raises(SettingsRefused) as caught:
        env.verify()
    return str(caught.value)


def test_op5_every_problem_is_told_at_once_by_name_rule_and_example() -> None:
    env = Environment({"DEBUG": "maybe", "SECONDS": "9"})
    env.flag("DEBUG", default=False)
    env.integer("SECONDS", default=60, minimum=10, maximum=100)
    env.text("NAME", rule="what it is called", example="Bob")
    assert refused(env).splitlines() == [
        "3 settings are refused:",
        "  DEBUG: true or false; it is 'maybe'. Example: DEBUG=true",
        "  SECONDS: a whole number from 10 to 100; it is '9'. Example: SECONDS=60",
        "  NAME: what it is called; it is not set. Example: NAME=Bob",
    ]


@pytest.mark.parametrize(
    ("given", "read"),
    [("true", True), ("1", True), ("Yes", True), ("off", False), ("FALSE", False), ("", True)],
)
def test_op5_flags_read_the_usual_words(given: str, read: bool) -> None:
    env = Environment({"DEBUG": given})
    assert env.flag("DEBUG", default=True) is read
    env.verify()


@pytest.mark.parametrize("given", ["1.5", "--5", "-", "٣", "1e3", "0x10", "ten"])
def test_op5_what_is_no_whole_number_is_refused(given: str) -> None:
    env = Environment({"SECONDS": given})
    assert env.integer("SECONDS", default=60, minimum=0, maximum=100) == 60
    assert "SECONDS" in refused(env)


def test_op5_secret_comes_from_a_file_without_its_line_break(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    env = Environment({"TOKEN_FILE": str(file)})
    assert env.secret("TOKEN", rule="any", example="x") == "from a file"
    env.verify()


@pytest.mark.parametrize(
    ("content", "told"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff\xfe", "not text")]
)
def test_op5_unusable_secret_file_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    env = Environment({"TOKEN_FILE": str(file)})
    env.secret("TOKEN", rule="any", example="x")
    assert told in refused(env)


def test_op5_secret_given_twice_is_refused(tmp_path: Path) -> None:
    env = Environment({"TOKEN": "a", "TOKEN_FILE": str(tmp_path)})
    env.secret("TOKEN", rule="any", example="x")
    assert "not both" in refused(env)


def test_op5_value_of_a_secret_is_never_shown() -> None:
    env = Environment({"DATABASE_URL": "mysql://bob:hunter2@db/rakeback", "REDIS_URL": "hunter2"})
    env.database()
    env.redis()
    said = refused(env)
    assert "DATABASE_URL" in said
    assert "REDIS_URL" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "url",
    ["postgres://h:99999/db", "postgres://h:x/db", "postgres://h/", "sqlite:///db", "h", "http://[::1/db"],
)
def test_op5_wrong_database_address_is_refused(url: str) -> None:
    env = Environment({"DATABASE_URL": url})
    env.database()
    assert "DATABASE_URL" in refused(env)


def test_op5_database_address_is_understood() -> None:
    env = Environment({"DATABASE_URL": "postgres://bob:p%40ss@db.internal:5433/rakeback"})
    described = env.database()
    env.verify()
    assert (described["USER"], described["PASSWORD"], described["HOST"]) == ("bob", "p@ss", "db.internal")
    assert (described["PORT"], described["NAME"]) == (5433, "rakeback")


def test_op5_what_an_address_says_of_the_connection_is_kept_and_only_public_is_looked_into(
    tmp_path: Path,
) -> None:
    url = f"{PRODUCTION['DATABASE_URL']}?sslmode=require&options=-c%20statement_timeout%3D5000"
    said = manage(tmp_path, "diffsettings", **PRODUCTION | {"DATABASE_URL": url}).stdout
    assert "'sslmode': 'require'" in said
    assert "'options': '-c statement_timeout=5000 -c search_path=public,pg_temp'" in said
    said = manage(tmp_path, "diffsettings", **PRODUCTION).stdout
    assert "'OPTIONS': {'options': '-c search_path=public,pg_temp'}" in said


def test_op5_production_settings_pass_the_deployment_check(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stdout + done.stderr


def test_op5_production_needs_every_required_setting(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", RAKEBACK_ENV="production")
    assert done.returncode == 1
    for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"):
        assert f"  {name}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "production must not make files of its own"


@pytest.mark.parametrize(
    "unsafe",
    [
        {"DEBUG": "true"},
        {"ALLOWED_HOSTS": "*"},
        {"ALLOWED_HOSTS": "https://rakeback.example.com"},
        {"SECRET_KEY": "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz-012345"},
        {"SECRET_KEY": "short"},
        {"SECRET_KEY": "a" * 60},
        {"CSRF_TRUSTED_ORIGINS": "http://rakeback.example.com"},
    ],
    ids=str,
)
def test_op5_unsafe_production_settings_are_refused(tmp_path: Path, unsafe: dict[str, str]) -> None:
    done = manage(tmp_path, "check", **PRODUCTION | unsafe)
    assert done.returncode == 1
    assert f"  {next(iter(unsafe))}: " in done.stderr
    assert "Example: " in done.stderr


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"RAKEBACK_PRICE_SOURCES": "coinbase,kraken"}, "RAKEBACK_PRICE_SOURCES: price sources in the order"),
        ({"RAKEBACK_PRICE_SOURCES": "coinbase,coinbase"}, "RAKEBACK_PRICE_SOURCES: each source once"),
        ({"RAKEBACK_PRICE_SOURCES": "taostats"}, "TAOSTATS_API_KEY: the API key of a TaoStats account"),
        (
            {"RAKEBACK_PRICE_SOURCES": "taostats", "TAOSTATS_API_KEY": "two secret words"},
            "TAOSTATS_API_KEY: ",
        ),
        (
            {"RAKEBACK_PRICE_STALENESS_SECONDS": "5"},
            "RAKEBACK_PRICE_STALENESS_SECONDS: a whole number from 60",
        ),
        (
            {"RAKEBACK_PRICE_DISAGREEMENT_BPS": "5 %"},
            "RAKEBACK_PRICE_DISAGREEMENT_BPS: a whole number from 1",
        ),
    ],
    ids=str,
)
def test_op5_settings_of_prices_are_refused_by_name_and_the_key_is_not_shown(
    tmp_path: Path, given: dict[str, str], name: str
) -> None:
    done = manage(tmp_path, "check", **PRODUCTION | given)
    assert done.returncode == 1
    assert f"  {name}" in done.stderr
    assert "Example: " in done.stderr
    assert "two secret words" not in done.stdout + done.stderr


def test_op5_the_key_of_a_price_source_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("tao-key-of-nobody:1234\n")
    given = {"RAKEBACK_PRICE_SOURCES": "taostats,coinbase", "TAOSTATS_API_KEY_FILE": str(file)}
    done = manage(tmp_path, "check", **PRODUCTION | given)
    assert done.returncode == 0, done.stderr


def test_op5_unknown_environment_is_refused(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", RAKEBACK_ENV="prod")
    assert done.returncode == 1
    assert "RAKEBACK_ENV: one of production, local; it is 'prod'" in done.stderr


def test_op5_version_of_the_package_is_the_project_s() -> None:
    import tomllib

    from rakeback import __version__

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert project["project"]["version"] == __version__


SECRET = "t0p-secret"


def node_urls(**variables: str) -> list[str]:
    env = Environment(variables)
    urls = env.node_urls("RAKEBACK_NODE_URL")
    env.verify()
    return urls


def test_op5_several_nodes_are_read_in_order_also_from_a_file(tmp_path: Path) -> None:
    urls = ["wss://a.example/key", "http://b.example:9933"]
    assert node_urls(RAKEBACK_NODE_URL=f" {urls[0]} , {urls[1]}, ") == urls
    file = tmp_path / "nodes"
    file.write_text(",".join(urls) + "\n")
    assert node_urls(RAKEBACK_NODE_URL_FILE=str(file)) == urls
    assert node_urls() == []


def test_op5_a_wrong_node_is_refused_by_name_rule_place_and_example_but_never_shown() -> None:
    env = Environment({"RAKEBACK_NODE_URL": f"wss://a.example/{SECRET},ftp://{SECRET}:{SECRET}@b.example"})
    assert env.node_urls("RAKEBACK_NODE_URL") == []
    said = refused(env)
    assert "RAKEBACK_NODE_URL: addresses of Subtensor nodes" in said
    assert "wrong in number 2: it does not begin with ws://" in said
    assert "Example: RAKEBACK_NODE_URL=wss://" in said
    assert SECRET not in said


def test_op5_agreement_of_two_needs_two_nodes(tmp_path: Path) -> None:
    nodes = {"RAKEBACK_NODE_URL": f"ws://{SECRET}@a", "RAKEBACK_NODE_AGREEMENT": "2"}
    done = manage(tmp_path, "check", **nodes)
    assert done.returncode != 0
    assert "RAKEBACK_NODE_AGREEMENT: no more than there are addresses in RAKEBACK_NODE_URL" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("url", "described"),
    [
        ("", {"EMAIL_BACKEND": "rakeback.mail.RefusingBackend"}),
        ("consolemail://", {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}),
        (
            "smtp+tls://us%40er:p%2Fw@mail.example.com:587",
            {
                "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "EMAIL_HOST": "mail.example.com",
                "EMAIL_PORT": 587,
                "EMAIL_HOST_USER": "us@er",
                "EMAIL_HOST_PASSWORD": "p/w",
                "EMAIL_USE_TLS": True,
            },
        ),
    ],
)
def test_pa10_a_mail_server_is_named_by_one_address(url: str, described: dict[str, object]) -> None:
    env = Environment({"EMAIL_URL": url})
    found = env.mail()
    env.verify()
    assert {name: found.get(name) for name in described} == described


@pytest.mark.parametrize(
    "url", ["mail.example.com", "dummymail://", "memorymail://", "http://mail.example.com"]
)
def test_pa10_what_sends_no_mail_is_refused_without_its_secret(url: str) -> None:
    env = Environment({"EMAIL_URL": f"{url}secret"})
    env.mail()
    said = refused(env)
    assert "EMAIL_URL: the address of a mail server" in said
    assert f"{url}secret" not in said
