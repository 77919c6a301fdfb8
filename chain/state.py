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
from chain.earnings.yields import MethodsDisagree
from chain.nodes.source import Call, MissingRead, Source, SourceError, call_one
from chain.pools.shares import NO_SHARE, Share
from chain.runtimes.decoding import UnknownRuntime


class BrokenChain(Exception):
    """What the source says contradicts itself or what is stored: wrong parent, number or genesis."""


class PositionsDisagree(Exception):
    """The holders' shares do not add up to the chain's denominator, even after reading every one of them."""


class UnsupportedEvent(Exception):
    """The block holds an event that this version cannot account for."""


# As many keys as a node lists in one page; asked for at once, too.
PAGE_SIZE = 1000

# The widest number that is read is a u128.
_NUMBER_BYTES_MAX = 16
# Shares of 2^64 rao and of parts of one are far within; what is beyond would take forever to compute with.
_EXPONENT_MAX = 100

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
    """Values of storage at one block, read as they are needed. An absent key is absent on chain.

    Every answer came with a control key that proved the state was there and of this block.
    """

    def __init__(self, number: int, block_hash: str) -> None:
        self.number_of_block = number
        self.block_hash = block_hash
        self._values: dict[str, str | None] = {}

    def lacks(self, wanted: Iterable[str]) -> list[str]:
        """Those of the keys that were not read yet, each once."""
        return [key for key in dict.fromkeys(wanted) if key not in self._values]

    def calls(self, wanted: Iterable[str]) -> list[Call]:
        """The calls that read what is lacking of the keys."""
        lacking = self.lacks(wanted)
        return [
            (
                "state_queryStorageAt",
                [[keys.SYSTEM_NUMBER, *lacking[start : start + PAGE_SIZE]], self.block_hash],
            )
            for start in range(0, len(lacking), PAGE_SIZE)
        ]

    def take_in(self, call: Call, result: Any) -> None:
        """Check that every key asked was answered at the right block, and keep the answers."""
        changes = dict(result[0]["changes"]) if result else {}
        missing = [key for key in call[1][0] if key not in changes]
        if missing:
            raise MissingRead(
                f"block {self.number_of_block}: {len(missing)} of {len(call[1][0])} storage values were not answered"
            )
        control = changes[keys.SYSTEM_NUMBER]
        if control is None or _number(control) != self.number_of_block:
            raise MissingRead(
                f"block {self.number_of_block}: its state is not there (pruned, or of another block)"
            )
        self._values.update({key: changes[key] for key in call[1][0]})

    def number(self, key: str) -> int | None:
        """Read an unsigned little-endian number of any width; None where nothing is stored."""
        value = self._values[key]
        return None if value is None else _number(value)

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

    def share(self, key: str) -> Share:
        """Read a share or denominator of U64F64; zero where nothing is stored."""
        return Share(self.amount(key))

    def safe_share(self, key: str) -> Share:
        """Read a share or denominator of SafeFloat; zero where nothing is stored."""
        value = self._values[key]
        return NO_SHARE if value is None else decode_safe_float(value)


def _number(value_hex: str) -> int:
    data = bytes.fromhex(value_hex[2:])
    if not 0 < len(data) <= _NUMBER_BYTES_MAX:
        raise ValueError(f"{len(data)} bytes are no number")
    return int.from_bytes(data, "little")


def decode_safe_float(value_hex: str) -> Share:
    """Read a SafeFloat: mantissa u128 and exponent i64, little endian. :raises ValueError: for other lengths."""
    data = bytes.fromhex(value_hex[2:])
    if len(data) != 24:
        raise ValueError(f"a SafeFloat has 24 bytes, not {len(data)}")
    mantissa, exponent = int.from_bytes(data[:16], "little"), int.from_bytes(data[16:], "little", signed=True)
    if not -_EXPONENT_MAX <= exponent <= _EXPONENT_MAX:
        raise ValueError(f"no share has the exponent {exponent}")
    return Share(mantissa, exponent) if mantissa else NO_SHARE


def load(source: Source, *wants: tuple[State, Iterable[str]]) -> None:
    """Read what is lacking of several states, in one round trip."""
    calls = [(state, call) for state, wanted in wants for call in state.calls(wanted)]
    if calls:
        results = source.call_many([call for _, call in calls])
        for (state, call), result in zip(calls, results, strict=True):
            state.take_in(call, result)
