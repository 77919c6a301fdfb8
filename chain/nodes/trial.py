"""Asks each node what one wants to know before relying on it: its chain, runtime and head, and how old a state it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chain import keys
from chain.models import Block
from chain.nodes.health import Health
from chain.nodes.providers import Head
from chain.nodes.services import open_nodes
from chain.nodes.source import MissingRead, NodeSource, SourceError, call_one
from chain.state import State, load, understanding


@dataclass(frozen=True, slots=True)
class Answered:
    """What a node said. `keeps` is whether it has the state of the block that was asked for; `lacks` says why not."""

    chain: str
    spec_version: int
    head_block: int
    lacks: str

    @property
    def keeps(self) -> bool:
        """Whether it has the state of that block."""
        return not self.lacks


@dataclass(frozen=True, slots=True)
class Tried:
    """One node: what it answered, or why it is of no use."""

    health: Health
    outcome: Answered | SourceError

    def describe(self, block: int) -> str:
        """One sentence for a person, about a trial with this block."""
        if isinstance(self.outcome, SourceError):
            return str(self.outcome)
        said = self.outcome
        line = (
            f"{self.health.name}: {said.chain}, runtime {said.spec_version}, finalized head {said.head_block:,}, "
            f"{self.health.latency_ms:,} ms a round trip"
        )
        if said.keeps:
            return f"{line}, has the state of block {block:,}"
        return f"{line}, but cannot be read from block {block:,} on: {said.lacks}"

    @property
    def is_well(self) -> bool:
        """Whether the block can be read from it."""
        return isinstance(self.outcome, Answered) and self.outcome.keeps


def oldest_wanted() -> int:
    """The oldest block that the nodes must have the state of: the first one stored, or the chain's first."""
    stored = Block.objects.order_by("number").values_list("number", flat=True).first()
    return stored or 1


def try_nodes(urls: Sequence[str] = (), *, block: int) -> list[Tried]:
    """Ask the nodes given, or those of the settings, each by itself, and keep how they did.

    :param block: the oldest block that is wanted of them.
    :raises BadNodes: there is none, or an address is none.
    """

    def ask(node: NodeSource, head: Head) -> Answered:
        with understanding(node, "what a node is asked before it is relied on"):
            chain, version = node.call_many([("system_chain", []), ("state_getRuntimeVersion", [head.hash])])
            spec_version = int(version["specVersion"])
        try:
            block_hash = call_one(node, "chain_getBlockHash", block)
            call_one(node, "chain_getHeader", block_hash)
            # Every state has a time; with it comes the control that tells a pruned state from an empty one.
            load(node, (State(block, block_hash), [keys.TIMESTAMP_NOW]))
        except MissingRead as error:
            return Answered(chain, spec_version, head.number, str(error).removeprefix(f"{node.name}: "))
        return Answered(chain, spec_version, head.number, "")

    with open_nodes(urls) as source:
        tried = [Tried(health, outcome) for health, outcome in source.ask_each(ask)]
        for node in tried:
            if isinstance(node.outcome, Answered) and node.outcome.lacks:
                node.health.last_error = f"{node.health.name}: {node.outcome.lacks}"
                node.health.last_error_at = datetime.now(UTC)
        return tried
