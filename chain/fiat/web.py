"""Asks a price source over HTTPS: a few times, within a time and a size, without ever logging what a request carries.

Redirects are refused, because they would take the key elsewhere. Numbers of JSON come back as `Decimal`, never float.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from chain.fiat.quotes import AccessRefused, BadAnswer, SourceUnavailable

BYTES_MAX = 4 << 20
SECONDS_MAX = 60
TRIES_MAX = 5
# The tries wait 0, 4, 8 and 16 seconds; whoever needs more is asked at the next tick.
BACKOFF_SECONDS = 2.0
RETRY_AFTER_SECONDS_MAX = 30
AGENT = "rakeback-prices"
_CHUNK_BYTES = 1 << 16
_PASSING = (429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer and the SHA-256 of its bytes."""

    value: Any
    sha256: str


class Website:
    """The API of one source. As a context manager it lets go of its connections."""

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        key: str = "",
        backoff_seconds: float = BACKOFF_SECONDS,
        seconds_max: float = SECONDS_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._name, self._base_url, self._key = name, base_url.rstrip("/"), key
        self._seconds_max, self._bytes_max = seconds_max, bytes_max
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": AGENT, "Accept": "application/json"})
        retry = Retry(
            total=TRIES_MAX - 1,
            redirect=0,
            status_forcelist=_PASSING,
            allowed_methods=["GET"],
            backoff_factor=backoff_seconds,
            backoff_jitter=backoff_seconds / 4,
            retry_after_max=RETRY_AFTER_SECONDS_MAX,
            raise_on_status=False,
        )
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, path: str, parameters: Mapping[str, str | int]) -> Answer:
        """Ask for one JSON document.

        :raises SourceUnavailable: no answer, an answer that says later, or one cut off; a retry may help.
        :raises AccessRefused: the source does not want us; the key or the plan must be looked at.
        :raises BadAnswer: no JSON, or too much of it.
        """
        try:
            with self._session.get(
                self._base_url + path,
                params=dict(parameters),
                auth=self._sign,
                timeout=(10, 20),
                stream=True,
                allow_redirects=False,
            ) as response:
                self._check_status(response)
                body = self._read(response)
        except (requests.RequestException, HTTPError) as error:
            # Its own text may quote the address; the kind says enough.
            raise SourceUnavailable(
                f"{self._name} could not be read ({type(error).__name__}); it is asked again later"
            ) from None
        return Answer(self._parse(body), hashlib.sha256(body).hexdigest())

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, it also keeps a netrc file of the machine from putting another key in its place.
        if self._key:
            request.headers["Authorization"] = self._key
        return request

    def _check_status(self, response: requests.Response) -> None:
        status = response.status_code
        if status == requests.codes.ok:
            return
        if status in {401, 403}:
            raise AccessRefused(f"{self._name} refuses us (HTTP {status}): check its API key and plan")
        if status == 429:
            wait = response.headers.get("Retry-After", "")
            more = f", and asks to wait {wait} s" if wait.isdigit() else ""
            raise SourceUnavailable(
                f"{self._name} has had too many requests (HTTP 429){more}; it is asked again later"
            )
        if status in _PASSING:
            raise SourceUnavailable(f"{self._name} is out of order (HTTP {status}); it is asked again later")
        raise BadAnswer(
            f"{self._name} answered HTTP {status} to {response.request.path_url.partition('?')[0]}"
        )

    def _read(self, response: requests.Response) -> bytes:
        body, deadline = bytearray(), time.monotonic() + self._seconds_max
        # One read of the socket at a time, so that an answer that drips in does not outlast the deadline.
        while piece := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += piece
            if len(body) > self._bytes_max:
                raise BadAnswer(f"{self._name} answered more than {self._bytes_max:,} bytes")
            if time.monotonic() > deadline:
                raise SourceUnavailable(f"{self._name} took longer than {self._seconds_max:g} s to answer")
        return bytes(body)

    def _parse(self, body: bytes) -> Any:
        try:
            return json.loads(body, parse_float=Decimal, parse_constant=_refuse)
        except (ValueError, RecursionError):
            start = body[:40].decode(errors="replace").strip()
            raise BadAnswer(f"{self._name} answered no JSON; it begins {start!r}") from None


def _refuse(name: str) -> Any:
    raise ValueError(name)
