"""Nodes for tests that answer one method badly and the rest well, over real sockets: WebSocket and HTTP.

A fault is what a broken, overloaded, forked or malicious node does. Everything else it says comes from a recorded play.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from chain.tests.replay_node import Play

METHODS = (
    "system_chain",
    "system_properties",
    "chain_getBlockHash",
    "chain_getFinalizedHead",
    "chain_getHeader",
    "chain_getBlock",
    "state_getRuntimeVersion",
    "state_getMetadata",
    "state_getKeysPaged",
    "state_queryStorageAt",
)
OTHER_GENESIS = "0x" + "46" * 32
GIGABYTE = 1 << 30
PIECE = 1 << 16
STALE_AT = 40


class Drop(Exception):
    """Hang up without a word."""


class HostileNode:
    """Answers `method` with `fault`; every method where `method` is empty, none where `fault` is."""

    def __init__(self, play: Play, fault: str = "", method: str = "") -> None:
        self.play, self.fault, self.method = play, fault, method
        self.asked: Counter[str] = Counter()
        self.bytes_sent = 0
        self.over = threading.Event()
        self._before: Any = "nothing"

    def texts(self, request: dict[str, Any]) -> Iterator[str]:
        """The messages with which a request is answered."""
        method, params, number = request["method"], list(request["params"]), request["id"]
        self.asked[method] += 1
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": number}
        if self.fault == "other_chain" and (method, params) == ("chain_getBlockHash", [0]):
            yield json.dumps({**message, "result": OTHER_GENESIS})
            return
        if self.fault and self.method in {"", method}:
            yield from getattr(self, f"_{self.fault}")(method, params, message)
            return
        try:
            message["result"] = self._before = self.play.answer(method, params)
        except KeyError as error:
            message["error"] = {"code": -32601, "message": f"unknown {error}"}
        yield json.dumps(message)

    def refuse_batch(self, size: int) -> str:
        """What is said to a batch of so many calls instead of an answer, if anything."""
        return ""

    def _true(self, method: str, params: list[Any]) -> Any:
        return self.play.answer(method, params)

    # --- faults: (method, params, message with its number) → texts ---------------------------------------

    def _drop(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        raise Drop

    def _delay(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        self.over.wait(5)
        yield json.dumps({**message, "result": self._true(method, params)})

    def _truncated(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        text = json.dumps({**message, "result": self._true(method, params)})
        yield text[: len(text) * 2 // 3]

    def _wrong_id(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "id": message["id"] + 1_000, "result": self._true(method, params)})

    def _text_id(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "id": str(message["id"]), "result": self._true(method, params)})

    def _wrong_version(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "jsonrpc": 2, "result": self._true(method, params)})

    def _wrong_type(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "result": 7})

    def _wrong_shape(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "result": [{"changes": {"block": [None]}}]})

    def _stale_head(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        """A node that stopped at block STALE_AT and knows nothing later."""
        late = any(
            (isinstance(p, int) and method == "chain_getBlockHash" and p > STALE_AT)
            or (isinstance(p, str) and p in self.play.by_hash and self.play.by_hash[p]["number"] > STALE_AT)
            for p in params
        )
        if method == "chain_getFinalizedHead":
            yield json.dumps({**message, "result": self.play.blocks[STALE_AT]["hash"]})
        elif late and method.startswith("state_"):
            said = f"Client error: UnknownBlock: Expect block number from id: {params[-1]}"
            yield json.dumps({**message, "error": {"code": 4003, "message": said}})
        else:
            yield json.dumps({**message, "result": None if late else self._true(method, params)})

    def _other_chain(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "result": self._true(method, params)})

    def _swapped(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        """The answer to the question before."""
        yield json.dumps({**message, "result": self._before})

    def _huge(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield "huge"

    def _huge_declared(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield "huge_declared"

    def _null(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "result": None})

    def _pruned(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        """What a pruning node says of an old state; of storage some say null for every value instead."""
        said = f"Client error: Api called for an unknown Block: State already discarded for {params and params[-1]}"
        yield json.dumps({**message, "error": {"code": 4003, "message": said}})

    def _null_values(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        result = self._true(method, params)
        if method == "state_queryStorageAt":
            result = [{**result[0], "changes": [[key, None] for key, _ in result[0]["changes"]]}]
        elif isinstance(result, list):
            result = []
        elif isinstance(result, dict):
            result = dict.fromkeys(result)
        else:
            result = None
        yield json.dumps({**message, "result": result})

    def _error(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "error": {"code": -32603, "message": "Internal error"}})

    def _bare_error(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield json.dumps({**message, "error": "no"})

    def _garbage(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield "<html>502 Bad Gateway\x00</html>"

    def _nested(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        yield "[" * 100_000

    def _duplicate(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        text = json.dumps({**message, "result": self._true(method, params)})
        yield text
        yield text

    def _other_block(self, method: str, params: list[Any], message: dict[str, Any]) -> Iterator[str]:
        """A true answer, but about the block before."""
        numbers = {block["hash"]: number for number, block in self.play.blocks.items()}
        changed = [
            self.play.blocks[numbers[p] - 1]["hash"] if isinstance(p, str) and numbers.get(p, 0) > 1 else p
            for p in params
        ]
        if method == "chain_getBlockHash" and params[0] > 1:
            changed = [params[0] - 1]
        if method == "chain_getFinalizedHead":
            yield json.dumps({**message, "result": self.play.blocks[self.play.last - 1]["hash"]})
            return
        result = self._true(method, changed)
        if method == "state_queryStorageAt" and self.method == method:
            # It even says that it is of the block asked.
            result = [{**result[0], "block": params[1]}]
        yield json.dumps({**message, "result": result})


class ToldNode(HostileNode):
    """A node whose answers a test sets by method: a value, or a function of the parameters."""

    def __init__(self, play: Play, **told: Any) -> None:
        super().__init__(play)
        self.told: dict[str, Any] = told

    def texts(self, request: dict[str, Any]) -> Iterator[str]:
        told = self.told.get(request["method"], self)
        if told is self:
            yield from super().texts(request)
            return
        self.asked[request["method"]] += 1
        result = told(*request["params"]) if callable(told) else told
        yield json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result})


@contextmanager
def serving_websocket(node: HostileNode) -> Iterator[str]:
    """Serve a node over WebSocket on a free port of this machine; gives the URL."""

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed, OSError):
            for message in connection:
                try:
                    for text in node.texts(json.loads(message)):
                        _send(node, connection, text)
                except Drop:
                    connection.socket.close()
                    return

    with serve(handle, "127.0.0.1", 0, max_size=None, compression=None, close_timeout=0.01) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            node.over.set()
            server.shutdown()
            thread.join()


def _send(node: HostileNode, connection: ServerConnection, text: str) -> None:
    if text == "huge":
        connection.send(_pieces(node))
    elif text == "huge_declared":
        connection.socket.sendall(b"\x81\x7f" + GIGABYTE.to_bytes(8, "big"))
        for piece in _pieces(node):
            connection.socket.sendall(piece.encode())
    elif text == "drip":
        for _ in range(500):
            connection.socket.sendall(b"\x01\x01 " if not _ else b"\x00\x01 ")
            if node.over.wait(0.02):
                return
    else:
        connection.send(text)


def _pieces(node: HostileNode) -> Iterator[str]:
    for _ in range(GIGABYTE // PIECE):
        node.bytes_sent += PIECE
        yield " " * PIECE


@contextmanager
def serving_http(node: HostileNode) -> Iterator[str]:
    """Serve a node over HTTP, batches included; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if refusal := node.refuse_batch(len(asked) if isinstance(asked, list) else 1):
                self._say(refusal)
                return
            try:
                texts = [t for r in (asked if isinstance(asked, list) else [asked]) for t in node.texts(r)]
            except Drop:
                self.close_connection = True
                return
            if any(text.startswith("huge") for text in texts):
                self._stream(chunked="huge" in texts)
                return
            if "drip" in texts:
                self._drip()
                return
            many = isinstance(asked, list) or len(texts) > 1
            self._say("[" + ",".join(texts) + "]" if many else texts[0])

        def _say(self, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _drip(self) -> None:
            self.close_connection = True
            with suppress(OSError):
                for letter in "HTTP/1.1 200 OK\r\nX-Slow: " + "a" * 500:
                    self.wfile.write(letter.encode())
                    self.wfile.flush()
                    if node.over.wait(0.02):
                        return

        def _stream(self, *, chunked: bool) -> None:
            self.close_connection = True
            self.send_response(200)
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(GIGABYTE))
            self.end_headers()
            with suppress(OSError):
                for piece in _pieces(node):
                    self.wfile.write((f"{PIECE:x}\r\n{piece}\r\n" if chunked else piece).encode())

        def log_message(self, *args: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):
                super().handle()

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            node.over.set()
            server.shutdown()
            thread.join()


FAULTS = tuple(
    name.removeprefix("_")
    for name in vars(HostileNode)
    if name.startswith("_") and not name.startswith("__") and name != "_true"
)
