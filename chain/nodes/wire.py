"""One connection to a node: requests out, messages in, each round trip with a deadline and a limit on what comes in.

Speaks JSON-RPC over WebSocket (every call a message of its own) and over HTTP (one batch a request). Refuses to
wait past the deadline however slowly bytes drip, and stops reading at the limit, not after it. Nothing of an
address but scheme, host and port ever leaves this module.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import logging
import re
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import WebSocketURI

CHUNK_BYTES = 65_536
HANDSHAKE_BYTES_MAX = 65_536
HOST_MAX, LABEL_MAX = 253, 63
_DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
_AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# The library would log the path and the password of the address. This logger is nobody's child, so that no
# configuration can give it a voice.
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)  # noqa: LOG001


class WireFault(Exception):
    """The connection could not be had, broke, or said what is no message. A new connection may do better."""


class HungUp(WireFault):
    """The other side closed the connection."""


class TooMuch(WireFault):
    """The answers to one round trip are longer than the limit."""


class TooManyCalls(TooMuch):
    """The node says that it was asked too much at once."""


class BadAddress(ValueError):
    """The text is not the address of a node. The message holds nothing of it."""


@dataclass(frozen=True)
class Limits:
    """What a node may cost: seconds to connect and per round trip, bytes received, and calls sent, per round trip."""

    connect_seconds: float = 10
    read_seconds: float = 60
    answer_bytes_max: int = 32 << 20
    calls_max: int = 256
    request_bytes_max: int = 1 << 20


@dataclass(frozen=True, repr=False)
class NodeAddress:
    """A node's address, taken apart. Only `name` may be shown, logged or stored."""

    scheme: str
    host: str
    port: int
    target: str
    username: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str) -> NodeAddress:
        """Take an address apart.

        :raises BadAddress: it is none; the message says what is wrong without quoting it.
        """
        readable = True
        parts, port, host = urlsplit(""), None, ""
        try:
            parts = urlsplit(url.strip())
            port, host = parts.port, parts.hostname or ""
        except ValueError:
            # What it says quotes the address, so it may not even be the context of what is raised.
            readable = False
        if not readable:
            raise BadAddress("it is no address: host or port cannot be read")
        if parts.scheme not in _DEFAULT_PORTS:
            raise BadAddress("it does not begin with ws://, wss://, http:// or https://")
        if not host or port == 0 or re.search(r"[\s\x00-\x1f\x7f]", url.strip()) or not url.isascii():
            raise BadAddress("it names no host, or holds a space or another sign that an address cannot have")
        if not _is_host(host):
            raise BadAddress("its host is none: names have parts of 1 to 63 characters, 253 in all")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], target, user, password)

    @property
    def secure(self) -> bool:
        """Whether it is reached over TLS."""
        return self.scheme in {"wss", "https"}

    @property
    def place(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def name(self) -> str:
        """The address without user, password, path or query, any of which may hold a key."""
        return f"{self.scheme}://{self.place}"

    @property
    def server(self) -> tuple[str, int]:
        """Host and port in one spelling, so that two addresses of one server are seen to be so. No name is resolved."""
        return _plain_host(self.host), self.port

    def __repr__(self) -> str:
        return f"NodeAddress({self.name})"

    def redact(self, text: str) -> str:
        """Take out of a text what is secret in the address, whoever wrote it there."""
        secrets = {self.target, self.username, self.password, *re.split(r"[/?&=]", self.target)}
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) > 3:
                text = text.replace(secret, "…").replace(unquote(secret), "…")
        return text


def _is_host(host: str) -> bool:
    """Whether it has the lengths of a name or number of a machine; whether there is one, a connection shows."""
    if ":" in host:
        return len(host) <= HOST_MAX
    name = host.removesuffix(".")
    return len(name) <= HOST_MAX and all(1 <= len(part) <= LABEL_MAX for part in name.split("."))


def _plain_host(host: str) -> str:
    host = host.lower().rstrip(".")
    try:
        # Also the old spellings of IPv4, 127.1 or 0x7f000001, which the system's resolver takes.
        ip: IPv4Address | IPv6Address = IPv4Address(socket.inet_aton(host))
    except OSError:
        try:
            ip = ip_address(host)
        except ValueError:
            return "localhost" if host.endswith(".localhost") else host
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return "localhost" if ip.is_loopback or ip.is_unspecified else str(ip)


class Wire(Protocol):
    """A connection that is asked one batch at a time."""

    def trip(self, requests: Sequence[bytes], seconds: float) -> Iterator[Any]:
        """Send JSON-RPC requests together and give the messages that come back, parsed, in any order.

        :raises WireFault: see there. The connection is of no use afterwards.
        """
        ...

    def close(self) -> None:
        """Hang up at once."""
        ...


def connect(address: NodeAddress, limits: Limits) -> Wire:
    """Connect to a node. :raises WireFault: naming the cause and nothing of the address."""
    try:
        return (_WebSocket if address.scheme in {"ws", "wss"} else _Http)(address, limits)
    except OSError as error:
        raise WireFault(f"no connection: {_cause(error)}") from None


def _cause(error: OSError) -> str:
    return str(error.strerror or error) if not isinstance(error, ssl.SSLError) else f"TLS: {error.reason}"


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def parse_json(content: bytes) -> Any:
    """Parse a message. :raises WireFault: it is no JSON."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise WireFault(f"an answer of {len(content):,} bytes is no JSON, or is cut short") from None


class _Line:
    """A connected socket that sends while it receives, until a deadline and up to a number of bytes."""

    def __init__(self, address: NodeAddress, limits: Limits) -> None:
        self.bytes_max = limits.answer_bytes_max
        sock = socket.create_connection((address.host, address.port), timeout=limits.connect_seconds)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.secure:
                sock = _tls().wrap_socket(sock, server_hostname=address.host)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        self._selector = selectors.DefaultSelector()
        self._events = selectors.EVENT_READ
        self._selector.register(sock, self._events)
        self._outgoing = bytearray()
        self.begin(limits.connect_seconds, HANDSHAKE_BYTES_MAX)

    def begin(self, seconds: float, bytes_max: int | None = None) -> None:
        """Start a round trip: from now `seconds` and `bytes_max` for what comes in."""
        self._seconds, self._deadline = seconds, time.monotonic() + seconds
        self._left = self._limit = self.bytes_max if bytes_max is None else bytes_max

    def send(self, content: bytes) -> None:
        """Take bytes to be sent; they go out while the line is received from."""
        self._outgoing += content

    def receive(self) -> bytes:
        """Wait for the next bytes.

        :raises HungUp, TooMuch, WireFault: nothing more comes, too much came, or not in time.
        """
        try:
            while not (content := self._receive()):
                self._wait()
        except OSError as error:
            raise HungUp(f"the connection broke: {_cause(error)}") from None
        self._left -= len(content)
        if self._left < 0:
            raise TooMuch(f"its answer is longer than {self._limit:,} bytes")
        if time.monotonic() > self._deadline:
            raise WireFault(f"no whole answer within {self._seconds:g} seconds")
        return content

    def _receive(self) -> bytes:
        if self._outgoing:
            with suppress(*_AGAIN):
                del self._outgoing[: self._socket.send(self._outgoing[:CHUNK_BYTES])]
        try:
            content = self._socket.recv(CHUNK_BYTES)
        except _AGAIN:
            return b""
        if not content:
            raise HungUp("it hung up")
        return content

    def _wait(self) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if events != self._events:
            self._selector.modify(self._socket, events)
            self._events = events
        left = self._deadline - time.monotonic()
        if left <= 0 or not self._selector.select(left):
            raise WireFault(f"no answer within {self._seconds:g} seconds")

    def close(self) -> None:
        """Let go of the socket."""
        self._selector.close()
        self._socket.close()


class _WebSocket:
    """JSON-RPC over WebSocket, each call and each answer a message."""

    def __init__(self, address: NodeAddress, limits: Limits) -> None:
        path, _, query = address.target.partition("?")
        user = (address.username, address.password) if address.username else (None, None)
        self._protocol = ClientProtocol(
            WebSocketURI(address.secure, address.host, address.port, path, query, *user),
            max_size=limits.answer_bytes_max,
            logger=_SILENT,
        )
        self._messages: deque[bytes] = deque()
        self._parts = bytearray()
        self._open = False
        self._line = _Line(address, limits)
        try:
            self._protocol.send_request(self._protocol.connect())
            while not self._open:
                self._step()
        except BaseException:
            self.close()
            raise

    def trip(self, requests: Sequence[bytes], seconds: float) -> Iterator[Any]:
        self._line.begin(seconds)
        for request in requests:
            self._protocol.send_text(request)
        while True:
            while self._messages:
                yield parse_json(self._messages.popleft())
            self._step()

    def _step(self) -> None:
        if self._open and self._protocol.state is not State.OPEN:
            said = self._protocol.close_rcvd
            raise HungUp("it closed the connection" + (f" ({said.code} {said.reason})" if said else ""))
        for content in self._protocol.data_to_send():
            self._line.send(content)
        self._protocol.receive_data(self._line.receive())
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._open = event.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS
            else:
                self._take(event)
        if self._protocol.handshake_exc is not None:
            raise WireFault(f"it opens no WebSocket ({type(self._protocol.handshake_exc).__name__})")
        if isinstance(self._protocol.parser_exc, PayloadTooBig):
            raise TooMuch(f"its answer is longer than {self._line.bytes_max:,} bytes")

    def _take(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            self._parts += event.data
            if event.fin:
                self._messages.append(bytes(self._parts))
                self._parts.clear()

    def close(self) -> None:
        self._line.close()


class _LineFile(io.RawIOBase):
    """What http.client reads an answer from."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            self._rest = self._rest or self._line.receive()
        except HungUp:
            return 0
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


class _LineSocket:
    """As much of a socket as http.client needs; closing it leaves the line open."""

    def __init__(self, line: _Line) -> None:
        self.sendall = line.send
        self._line = line

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_LineFile(self._line), CHUNK_BYTES)

    def close(self) -> None:
        pass


class _Http:
    """JSON-RPC over HTTP, one POST a round trip, the connection kept between them."""

    def __init__(self, address: NodeAddress, limits: Limits) -> None:
        self._address = address
        self._headers = {
            "Host": address.place,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
        }
        if address.username:
            pair = f"{address.username}:{address.password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._line = _Line(address, limits)
        self._ended = False

    def trip(self, requests: Sequence[bytes], seconds: float) -> Iterator[Any]:
        if self._ended:
            raise HungUp("it hung up after its last answer")
        self._line.begin(seconds)
        body = requests[0] if len(requests) == 1 else b"[" + b",".join(requests) + b"]"
        said = parse_json(self._post(body))
        messages = said if isinstance(said, list) else [said]
        if len(messages) > len(requests):
            raise WireFault(f"it gave {len(messages)} answers to {len(requests)} calls")
        yield from messages
        raise WireFault(f"it gave {len(messages)} answers to {len(requests)} calls")

    def _post(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(self._address.host, self._address.port)
        connection.auto_open = 0
        connection.sock = _LineSocket(self._line)
        try:
            connection.request("POST", self._address.target, body, self._headers)
            response = connection.getresponse()
            if response.status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                raise TooManyCalls("it says that the request is too large")
            if response.status != http.HTTPStatus.OK:
                raise WireFault(f"it answers with HTTP status {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise WireFault("its answer is compressed, which was not asked for")
            self._ended = bool(response.will_close)
            content = bytearray()
            # Piece by piece: a length that is claimed is not yet a length that may be had.
            while piece := response.read(CHUNK_BYTES):
                content += piece
            return bytes(content)
        except http.client.RemoteDisconnected:
            raise HungUp("it hung up") from None
        except http.client.HTTPException as error:
            raise WireFault(f"its answer is no HTTP or cut short ({type(error).__name__})") from None

    def close(self) -> None:
        self._line.close()
