"""A real runtime on this machine to measure against, where chain/localnet finds what it needs; nothing where it does not."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chain.localnet import demo
from chain.localnet.node import LocalNode, account
from chain.localnet.stage import Stage

OURS = ("rt21", "sn_key")
BLOCKS = 76


@dataclass(frozen=True)
class RealNode:
    """A node whose play is over, and the blocks to read from it."""

    url: str
    hotkeys: list[str]
    first: int
    last: int


@contextmanager
def real_runtime() -> Iterator[RealNode | None]:
    """Play on the real runtime (some minutes) and serve it, if CHOPSTICKS_DIR and CHAIN_SPEC are set; else None."""
    if not (os.environ.get("CHOPSTICKS_DIR") and os.environ.get("CHAIN_SPEC")):
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with LocalNode(port=port) as node:
        demo.play(Stage(node, demo.CAST, report=lambda _: None))
        last = node.number()
        yield RealNode(node.url, [account(name).ss58_address for name in OURS], last - BLOCKS + 1, last)
