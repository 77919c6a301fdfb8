"""Answers of a source, checked before anybody builds on them: which chain it is, what its state held at a block.

An absent value, a pruned state and a malformed answer look alike in JSON; here each becomes what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chain import keys
from chain.addresses import encode_address
from chain.runtime import UnknownRuntime
from chain.source import Call, MissingRead, Source, SourceError, call_one
from chain.yields import MethodsDisagree


class BrokenChain(Exception):
    """What the source says contradicts itself or what is stored: wrong parent, number or genesis."""


class PositionsDisagree(Exception):
    """The holders' shares do not add up to the chain's denominator, even after reading every one of them."""


class UnsupportedEvent(Exception):
    """The block holds an event that this version cannot account for."""


_REFUSALS = (SourceError, UnknownRuntime, BrokenChain, PositionsDisagree, UnsupportedEvent, MethodsDisagree)


@contextmanager
def understanding(source: Source, what: str) -> Iterator[None]:
    """Turn whatever a malformed answer trips over into one clear refusal.

    :raises SourceError: naming the source, what was read and what was wrong.
    """
    try:
        yield
    except _REFUSALS:
        raise
    except Exception as error:
        # A node can answer anything; no list of exceptions is complete.
        raise SourceError(
            f"{what}: {source.name} gave an answer that makes no sense ({type(error).__name__}: {error})"
        ) from error


@dataclass(frozen=True)
class Identity:
    """Which chain a source serves."""

    chain: str
    genesis_hash: str
    ss58_prefix: int
    finalized_block: int


def read_identity(source: Source) -> Identity:
    """Ask a source which chain it serves and how far it is final."""
    with understanding(source, "the chain's identity"):
        chain, genesis, head, properties = source.call_many(
            [
                ("system_chain", []),
                ("chain_getBlockHash", [0]),
                ("chain_getFinalizedHead", []),
                ("system_properties", []),
            ]
        )
        if not genesis or not head:
            raise SourceError(f"{source.name} names no genesis or no finalized head")
        header = call_one(source, "chain_getHeader", head)
        prefix = (properties or {}).get("ss58Format")
        return Identity(str(chain), genesis, 42 if prefix is None else int(prefix), int(header["number"], 16))


class State:
    """Values read at one block. An absent key is absent on chain: a control key proves that the state was there."""

    def __init__(self, values: dict[str, str | None]) -> None:
        self._values = values

    def number(self, key: str) -> int | None:
        """Read an unsigned little-endian number of any width; None where nothing is stored."""
        value = self._values[key]
        return None if value is None else int.from_bytes(bytes.fromhex(value[2:]), "little")

    def amount(self, key: str) -> int:
        """Read a number whose default is 0."""
        return self.number(key) or 0

    def account(self, key: str) -> str | None:
        """Read an account id as an address; None where nothing is stored."""
        value = self._values[key]
        return None if value is None else encode_address(bytes.fromhex(value[2:]))

    def raw(self, key: str) -> str | None:
        """Read the value as 0x hex."""
        return self._values[key]


def state_call(wanted: Iterable[str], block_hash: str) -> Call:
    return "state_queryStorageAt", [[keys.SYSTEM_NUMBER, *dict.fromkeys(wanted)], block_hash]


def read_state(call: Call, result: Any, number: int) -> State:
    """Check that every key asked was answered at the right block."""
    changes = dict(result[0]["changes"]) if result else {}
    missing = [key for key in call[1][0] if key not in changes]
    if missing:
        raise MissingRead(
            f"block {number}: {len(missing)} of {len(call[1][0])} storage values were not answered"
        )
    state = State(changes)
    if state.number(keys.SYSTEM_NUMBER) != number:
        raise MissingRead(f"block {number}: its state is not there (pruned, or of another block)")
    return state
