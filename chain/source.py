"""Where chain reads come from: a node, a recorded segment, or a node that is being recorded.

Everything above asks a `Source`, so a segment is replayed through the very code that talks to a node (CH10).
A source answers or raises; it never turns an error into an empty value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import websocket

Call = tuple[str, list[Any]]

READ_TIMEOUT_SECONDS = 60


class SourceError(Exception):
    """A read could not be had. The message says which and why; the same read may succeed later."""


class MissingRead(SourceError):
    """The read is not in the segment, or the node has pruned the state it asks for."""


class Source(Protocol):
    """Answers JSON-RPC reads, in the order asked."""

    name: str

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer all calls, or raise :class:`SourceError`."""
        ...


def call_one(source: Source, method: str, *params: Any) -> Any:
    """Answer a single call."""
    return source.call_many([(method, list(params))])[0]


def describe_url(url: str) -> str:
    """Name a node without the user, password, path or query of its URL, any of which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


class NodeSource:
    """A node behind a WebSocket. Calls of one batch are sent together and answered in one round trip."""

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("ws", "wss"):
            raise SourceError(f"{describe_url(url)} is not a WebSocket address: give ws://… or wss://…")
        self.name = describe_url(url)
        self._sent = 0
        try:
            self._socket = websocket.create_connection(
                url, timeout=READ_TIMEOUT_SECONDS, skip_utf8_validation=True, enable_multithread=False
            )
        except (OSError, websocket.WebSocketException) as error:
            raise SourceError(f"no node answers at {self.name}: {error}") from error

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Pipeline the calls; answers may come in any order."""
        ids = range(self._sent, self._sent + len(calls))
        self._sent += len(calls)
        answers: dict[int, Any] = {}
        try:
            for number, (method, params) in zip(ids, calls, strict=True):
                request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                self._socket.send(json.dumps(request))
            while len(answers) < len(calls):
                answer = json.loads(self._socket.recv())
                if answer.get("id") in ids:
                    answers[answer["id"]] = answer
        except (OSError, websocket.WebSocketException, ValueError) as error:
            raise SourceError(f"{self.name} stopped answering: {error}") from error
        return [self._result(call, answers[number]) for call, number in zip(calls, ids, strict=True)]

    def _result(self, call: Call, answer: dict[str, Any]) -> Any:
        if "result" in answer:
            return answer["result"]
        error = answer.get("error") or {}
        text = str(error.get("message", error))
        kind = MissingRead if "discarded" in text or "pruned" in text.lower() else SourceError
        raise kind(f"{self.name} refused {call[0]}: {text}")

    def __enter__(self) -> NodeSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def exchange_key(method: str, params: Iterable[Any]) -> str:
    """Name a read by what was asked, so that the same question finds its recorded answer."""
    return json.dumps([method, list(params)], separators=(",", ":"))


class RecordingSource:
    """Passes calls on to a node and keeps each distinct exchange, in the order first asked."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self.exchanges: dict[str, Any] = {}

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer from the node and remember."""
        results = self._source.call_many(calls)
        for (method, params), result in zip(calls, results, strict=True):
            self.exchanges.setdefault(exchange_key(method, params), result)
        return results
