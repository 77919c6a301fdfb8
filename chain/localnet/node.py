"""Start, drive and stop the local chain.

Owns the Node process, the accounts and the few developer calls (build a block, write storage, jump in time). Knows nothing
of what is played on it. Amounts are rao, times are milliseconds since the epoch.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import Any, Self

from substrateinterface import Keypair, KeypairType, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

HERE = Path(__file__).resolve().parent
SS58_FORMAT = 42
RAO_PER_TAO = 10**9
T0_MS = 1_754_006_400_000  # 2025-08-01T00:00:00Z, a multiple of the slot
STOP_SECONDS = 20


class LocalnetUnavailable(RuntimeError):
    """Something the local chain needs is missing; the message says what to do."""


def account(name: str) -> Keypair:
    """Return the key pair that belongs to a name.

    ed25519 because its signatures are deterministic: sr25519 draws random numbers, which would change every extrinsic
    hash and so every block hash.
    """
    seed = hashlib.blake2b(b"localnet/" + name.encode(), digest_size=32).hexdigest()
    return Keypair.create_from_seed(seed, ss58_format=SS58_FORMAT, crypto_type=KeypairType.ED25519)


def find_node() -> str:
    """Return the Node executable.

    :raises LocalnetUnavailable: when there is none.
    """
    node = shutil.which("node")
    if node is None:
        raise LocalnetUnavailable("Node 20 or newer is needed: install it so that `node` is on PATH.")
    return node


def find_chopsticks() -> Path:
    """Return the folder of the chopsticks package, by CHOPSTICKS_DIR or from node_modules beside this file.

    :raises LocalnetUnavailable: when it is not installed.
    """
    default = HERE / "node_modules" / "@acala-network" / "chopsticks"
    folder = Path(os.environ.get("CHOPSTICKS_DIR") or default)
    if not (folder / "package.json").is_file():
        raise LocalnetUnavailable(
            f"No chopsticks at {folder}. Run `npm install --ignore-scripts --omit=optional` in {HERE}, or let"
            " CHOPSTICKS_DIR name the folder node_modules/@acala-network/chopsticks of another installation."
        )
    return folder.resolve()


def find_raw_spec(node: str, chopsticks: Path) -> Path:
    """Return the raw chain spec that CHAIN_SPEC names; a plain one is converted once, into the folder it lies in.

    :raises LocalnetUnavailable: when CHAIN_SPEC is unset, names nothing or cannot be converted.
    """
    named = os.environ.get("CHAIN_SPEC")
    if not named or not Path(named).is_file():
        raise LocalnetUnavailable(
            f"No chain spec at {named!r}. Take aura-dev.json from the tree of commit f59e608b of the public repository"
            " opentensor/subtensor and let CHAIN_SPEC name it (see chain/localnet/README.md)."
        )
    spec = Path(named).resolve()
    if "raw" in json.loads(spec.read_text())["genesis"]:
        return spec
    raw = spec.with_suffix(".raw.json")
    if not raw.is_file():
        done = subprocess.run(
            [node, str(HERE / "plain2raw.cjs"), str(spec), str(raw)],
            env={**os.environ, "CHOPSTICKS_DIR": str(chopsticks), "LOG_LEVEL": "error"},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raw.unlink(missing_ok=True)
            raise LocalnetUnavailable(f"{spec} could not be made raw: {done.stderr or done.stdout}")
    return raw


class LocalNode:
    """A running local chain, as a context manager; blocks are built only when asked for."""

    def __init__(self, *, port: int = 9960, t0_ms: int = T0_MS) -> None:
        self.port = port
        self.t0_ms = t0_ms
        self.url = f"ws://127.0.0.1:{port}"
        self.slot_ms = 0
        self.substrate: SubstrateInterface
        self._nonces: dict[str, int] = {}
        self._tail: deque[str] = deque(maxlen=30)

    def __enter__(self) -> Self:
        node, chopsticks = find_node(), find_chopsticks()
        spec = find_raw_spec(node, chopsticks)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                raise LocalnetUnavailable(f"Port {self.port} is taken: choose another with --port.")
        self._process = subprocess.Popen(
            [node, str(HERE / "chain.cjs"), str(spec), str(self.port), str(self.t0_ms)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env={
                **os.environ,
                "CHOPSTICKS_DIR": str(chopsticks),
                "LOG_LEVEL": os.environ.get("LOG_LEVEL", "error"),
            },
        )
        try:
            self._wait_until_ready()
            self.substrate = SubstrateInterface(
                url=self.url, ss58_format=SS58_FORMAT, ws_options={"skip_utf8_validation": True}
            )
            self.substrate.init_runtime()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.substrate.close()
        self._stop()

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("READY"):
                self.slot_ms = json.loads(line.removeprefix("READY"))["slot"]
                # An unread pipe would fill up and stop the node.
                threading.Thread(target=self._drain, daemon=True).start()
                return
            self._tail.append(line)
        raise LocalnetUnavailable(f"The local chain did not start:\n{''.join(self._tail)}")

    def _drain(self) -> None:
        assert self._process.stdout is not None
        self._tail.extend(self._process.stdout)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait(self) -> None:
        """Serve until the node ends or the caller is interrupted.

        :raises LocalnetUnavailable: when the node ended by itself.
        """
        code = self._process.wait()
        raise LocalnetUnavailable(f"The local chain ended by itself ({code}):\n{''.join(self._tail)}")

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the node and return the result.

        :raises SubstrateRequestException: when the node answers with an error.
        """
        answer = self.substrate.rpc_request(method, list(params))
        if "error" in answer:
            raise SubstrateRequestException(answer["error"])
        return answer["result"]

    def call(self, module: str, function: str, **params: Any) -> Any:
        """Compose a call of the runtime."""
        return self.substrate.compose_call(module, function, params)

    def submit(self, who: Keypair, call: Any) -> str:
        """Sign a call and put it into the pool; return the extrinsic's hash.

        :raises SubstrateRequestException: when the pool refuses it; the nonce is then not used up.
        """
        nonce = self._nonces.get(who.ss58_address, 0)
        extrinsic = self.substrate.create_signed_extrinsic(call, who, nonce=nonce)
        extrinsic_hash: str = self.rpc("author_submitExtrinsic", str(extrinsic.data))
        self._nonces[who.ss58_address] = nonce + 1
        return extrinsic_hash

    def build(self) -> str:
        """Build one block from what the pool holds and return its hash."""
        block_hash: str = self.rpc("dev_newBlock", {"count": 1})
        return block_hash

    def set_storage(self, entries: Any) -> None:
        """Write storage, visible from the next block on: a tree by pallet and item, or a list of [key, value] in hex."""
        self.rpc("dev_setStorage", entries)

    def jump_to(self, at_ms: int) -> None:
        """Let the next block carry the time `at_ms` (a multiple of the slot)."""
        # The next block adds one slot to the time and to the Aura slot that it finds.
        self.rpc("dev_timeTravel", at_ms - self.slot_ms)

    def number(self) -> int:
        """Return the number of the newest block."""
        return int(self.rpc("chain_getHeader")["number"], 16)
