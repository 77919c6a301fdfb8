"""Reads settings from the environment and refuses what is missing, malformed or unsafe.

Every problem names the setting, its rule and an example. All problems are collected and reported
together by :meth:`Environment.verify`, so one start shows everything that is wrong. A secret may also
be given as a file: ``SECRET_KEY_FILE=/run/secrets/secret_key`` stands for ``SECRET_KEY``. Values of
secrets never appear in a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
_MAIL_SCHEMES = frozenset({"smtp", "smtp+tls", "smtp+ssl", "smtps", "consolemail"})
_REDIS_SCHEMES = frozenset({"redis", "rediss", "redis+socket", "unix"})


class SettingsRefused(ImproperlyConfigured):
    """One or more settings are missing, wrong or unsafe. A retry helps only after they were changed."""


class Environment:
    """A reader over environment variables that remembers every refusal until :meth:`verify`.

    :param variables: the variables to read, usually ``os.environ``.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._problems: list[str] = []

    def refuse(self, name: str, rule: str, example: str, got: str | None = None) -> None:
        """Record that a setting is refused; ``got`` is shown and so must never be a secret's value."""
        seen = "it is not set" if got is None else f"it is {got}"
        self._problems.append(f"{name}: {rule}; {seen}. Example: {name}={example}")

    def verify(self) -> None:
        """Check that nothing was refused.

        :raises SettingsRefused: with every problem found, one a line.
        """
        if self._problems:
            count = len(self._problems)
            head = "One setting is refused:" if count == 1 else f"{count} settings are refused:"
            raise SettingsRefused("\n  ".join([head, *self._problems]))

    def is_set(self, name: str) -> bool:
        """Say whether a setting, or its ``_FILE`` form, is given and not empty."""
        return bool(self._variables.get(name, "").strip() or self._variables.get(f"{name}_FILE", "").strip())

    def text(
        self,
        name: str,
        *,
        rule: str,
        example: str,
        default: str | None = None,
        accepts: Callable[[str], bool] = bool,
    ) -> str:
        """Return a setting as text; without a default it is required."""
        value = self._variables.get(name, "").strip()
        return self._checked(name, value, rule, example, default, accepts, shown=repr(value))

    def secret(
        self,
        name: str,
        *,
        rule: str,
        example: str,
        default: str | None = None,
        accepts: Callable[[str], bool] = bool,
    ) -> str:
        """Return a secret from ``NAME`` or from the file that ``NAME_FILE`` names; never shown."""
        value = self._variables.get(name, "").strip()
        file_name = f"{name}_FILE"
        path = self._variables.get(file_name, "").strip()
        if path:
            place = f"/run/secrets/{name.lower()}"
            if value:
                self.refuse(
                    file_name, f"give {name} or {file_name}, not both", place, "set, and so is the other"
                )
                return ""
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not text"
                self.refuse(file_name, "a readable text file", place, f"{path!r} ({reason})")
                return ""
            if not value:
                self.refuse(file_name, "a file that is not empty", place, f"{path!r}, which is empty")
                return ""
        return self._checked(name, value, rule, example, default, accepts, shown="another value")

    def choice(self, name: str, choices: Sequence[str], *, default: str) -> str:
        """Return one of ``choices``."""
        return self.text(
            name,
            rule="one of " + ", ".join(choices),
            example=choices[0],
            default=default,
            accepts=choices.__contains__,
        )

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a yes-or-no setting."""
        value = self.text(
            name,
            rule="true or false",
            example="true" if not default else "false",
            default="true" if default else "false",
            accepts=lambda given: given.lower() in _TRUE | _FALSE,
        )
        return value.lower() in _TRUE

    def integer(self, name: str, *, default: int, minimum: int, maximum: int) -> int:
        """Return a whole number from ``minimum`` to ``maximum``, both included."""
        value = self.text(
            name,
            rule=f"a whole number from {minimum} to {maximum}",
            example=str(default),
            default=str(default),
            accepts=lambda given: _WHOLE.fullmatch(given) is not None and minimum <= int(given) <= maximum,
        )
        return int(value)

    def names(
        self,
        name: str,
        *,
        rule: str,
        example: str,
        default: Sequence[str] | None = None,
        accepts: Callable[[str], bool] = bool,
    ) -> list[str]:
        """Return a comma-separated list; ``accepts`` judges each entry."""
        value = self._variables.get(name, "").strip()
        entries = [entry.strip() for entry in value.split(",") if entry.strip()]
        if not entries:
            if default is None:
                self.refuse(name, rule, example)
            return list(default or ())
        wrong = [entry for entry in entries if not accepts(entry)]
        if wrong:
            self.refuse(name, rule, example, ", ".join(map(repr, wrong)))
            return list(default or ())
        return entries

    def database(self, name: str = "DATABASE_URL") -> dict[str, Any]:
        """Return Django's description of the PostgreSQL database that a URL names."""
        rule = "the address of a PostgreSQL database, postgres://USER:PASSWORD@HOST:PORT/NAME"
        example = "postgres://rakeback:secret@db.internal:5432/rakeback"
        url = self.secret(name, rule=rule, example=example, accepts=_is_postgres_url)
        if not url:
            return {}
        described: dict[str, Any] = dict(environ.Env.db_url_config(url))
        if not described.get("NAME"):
            self.refuse(name, rule, example, "an address without a database name")
        return described

    def mail(self, name: str = "EMAIL_URL") -> dict[str, Any]:
        """Return Django's description of the mail server that a URL names; without one, a backend that refuses to send."""
        rule = (
            "the address of a mail server, smtp+tls://USER:PASSWORD@HOST:587 or smtp+ssl://… on 465, or consolemail:// to "
            "print messages instead of sending them"
        )
        url = self.secret(
            name,
            rule=rule,
            example="smtp+tls://rakeback:secret@mail.example.com:587",
            default="",
            accepts=lambda given: _scheme(given) in _MAIL_SCHEMES,
        )
        if not url:
            return {"EMAIL_BACKEND": "rakeback.mail.RefusingBackend"}
        return dict(environ.Env.email_url_config(url))

    def redis(self, name: str = "REDIS_URL") -> str:
        """Return the address of the Redis or Valkey server."""
        return self.secret(
            name,
            rule="the address of a Redis or Valkey server, redis://HOST:PORT/NUMBER",
            example="redis://cache.internal:6379/0",
            accepts=lambda url: _scheme(url) in _REDIS_SCHEMES,
        )

    def node_urls(self, name: str) -> list[str]:
        """Return the addresses of nodes, separated by commas; empty where none is given. Any may hold a key."""
        from chain.nodes.wire import BadAddress, NodeAddress

        rule = (
            "addresses of Subtensor nodes in the order in which they are asked, separated by commas, each with "
            "ws://, wss://, http:// or https://"
        )
        urls = [url.strip() for url in self.secret(name, rule=rule, example="", default="").split(",")]
        urls = [url for url in urls if url]
        for place, url in enumerate(urls, 1):
            try:
                NodeAddress.parse(url)
            except BadAddress as error:
                self.refuse(
                    name,
                    rule,
                    "wss://archive.example.com,ws://127.0.0.1:9944",
                    f"wrong in number {place}: {error}",
                )
                return []
        return urls

    def _checked(
        self,
        name: str,
        value: str,
        rule: str,
        example: str,
        default: str | None,
        accepts: Callable[[str], bool],
        shown: str,
    ) -> str:
        if not value:
            if default is None:
                self.refuse(name, rule, example)
            return default or ""
        if not accepts(value):
            self.refuse(name, rule, example, shown)
            return default or ""
        return value


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _is_postgres_url(url: str) -> bool:
    try:
        return _scheme(url) in _POSTGRES_SCHEMES and (urlsplit(url).port or 1) > 0
    except ValueError:
        return False
