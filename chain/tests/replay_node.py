"""A node for tests: serves a recorded play over WebSocket JSON-RPC, and answers plain questions about its storage.

A play holds, per block, the header, the extrinsics, every raw storage key that changed, and (for the oracles of the
tests) the staking storage decoded by hand.
"""

from __future__ import annotations

import bisect
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

METHODS = [
    *("chain_getBlock", "chain_getBlockHash", "chain_getFinalizedHead", "chain_getHead", "chain_getHeader"),
    *(
        "rpc_methods",
        "state_getKeysPaged",
        "state_getMetadata",
        "state_getRuntimeVersion",
        "state_getStorage",
    ),
    *("state_getStorageAt", "state_queryStorageAt", "system_chain", "system_properties"),
]

DATA = Path(__file__).parent / "data"


class Play:
    """One recorded play, by name: `data/<name>.json.gz` and `data/<name>-metadata.hex.gz`."""

    def __init__(self, name: str) -> None:
        self.recording = json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))
        metadata = gzip.decompress((DATA / f"{name}-metadata.hex.gz").read_bytes())
        self.metadata = metadata.decode().split()[0]
        self.blocks: dict[int, dict[str, Any]] = {b["number"]: b for b in self.recording["blocks"]}
        self.by_hash = {block["hash"]: block for block in self.blocks.values()}
        self.last = max(self.blocks)
        self._states: dict[str, tuple[dict[str, str], list[str]]] = {}
        state: dict[str, str] = {}
        for block in self.blocks.values():
            changed = block["state_delta"]
            state = {key: value for key, value in {**state, **changed}.items() if value is not None}
            self._states[block["hash"]] = state, sorted(state)

    def address(self, name: str) -> str:
        """The address of a named account of the play."""
        return str(self.recording["accounts"][name]["ss58"])

    def table(self, number: int, item: str) -> dict[tuple[Any, ...], Any]:
        """A staking storage map at a block, decoded: key parts → value (an int unless it is an address)."""
        rows = self.blocks[number]["storage"].get(f"SubtensorModule.{item}", [])
        return {tuple(row[:-1]): row[-1] if item == "Owner" else int(row[-1]) for row in rows}

    def answer(self, method: str, params: list[Any]) -> Any:
        """Answer one read as a node would. :raises KeyError: for what it cannot answer."""
        match method, params:
            case "rpc_methods", _:
                return {"methods": METHODS}
            case "state_getStorageAt" | "state_getStorage", [key, block_hash]:
                return self._states[block_hash][0].get(key)
            case "chain_getFinalizedHead" | "chain_getHead", _:
                return self.blocks[self.last]["hash"]
            case "chain_getBlockHash", [0]:
                return self.recording["genesis_hash"]
            case "chain_getBlockHash", [number]:
                return self.blocks[number]["hash"] if number in self.blocks else None
            case "chain_getHeader", [block_hash]:
                return self.by_hash[block_hash]["header"]
            case "chain_getBlock", [block_hash]:
                block = self.by_hash[block_hash]
                return {
                    "block": {
                        "header": block["header"],
                        "extrinsics": [x["raw"] for x in block["extrinsics"]],
                    }
                }
            case "state_queryStorageAt", [keys, block_hash]:
                state = self._states[block_hash][0]
                return [{"block": block_hash, "changes": [[key, state.get(key)] for key in keys]}]
            case "state_getKeysPaged", [prefix, count, after, block_hash]:
                ordered = self._states[block_hash][1]
                start = bisect.bisect_right(ordered, after)
                return [key for key in ordered[start : start + count] if key.startswith(prefix)]
            case "state_getRuntimeVersion", _:
                return self.recording["runtime"]
            case "state_getMetadata", _:
                return self.metadata
            case "system_chain", _:
                return self.recording["chain"]
            case "system_properties", _:
                return self.recording["properties"]
        raise KeyError(method)


class PlaySource:
    """A play as a `Source`, without a socket. Tests change `answer` to make it lie."""

    name = "play"

    def __init__(self, play: Play) -> None:
        self.play = play
        self.batches = 0

    def answer(self, method: str, params: list[Any]) -> Any:
        """Answer one read; a test may replace this."""
        return self.play.answer(method, params)

    def call_many(self, calls: Any) -> list[Any]:
        """Answer all, counting round trips."""
        self.batches += 1
        return [self.answer(method, params) for method, params in calls]


class Answers(Protocol):
    """Whatever can be served."""

    def answer(self, method: str, params: list[Any]) -> Any:
        """Answer one read. :raises KeyError: for what it cannot answer."""
        ...


@contextmanager
def serving(play: Answers) -> Iterator[str]:
    """Serve a play on a free port of this machine; gives the URL."""

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for message in connection:
                request = json.loads(message)
                answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
                try:
                    answer["result"] = play.answer(request["method"], request["params"])
                except KeyError as error:
                    answer["error"] = {"code": -32601, "message": f"unknown {error}"}
                connection.send(json.dumps(answer))

    with serve(handle, "127.0.0.1", 0, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()
