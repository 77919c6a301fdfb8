"""What a sound answer to each read looks like, judged by the question and by what is already known of the chain.

A header must hash to the hash it was asked by, so its number, parent and roots are proved, and extrinsics must be those
that it names; storage must be of the block and the keys asked for. What fails here is the node's fault and never
reaches the reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from chain import keys
from chain.nodes.block_hashes import are_extrinsics_of, from_hex, header_hash
from chain.nodes.state_proof import BadProof, proved_values
from chain.units import SPEC_MAX

HEADERS_MAX = 10_000
CHAIN_NAME_MAX = 80
HASH = re.compile(r"0x[0-9a-f]{64}")
NEEDS_ARCHIVE = "needs an archive node"
_METADATA_MAGIC = "0x6d657461"


class Nonsense(Exception):
    """The answer is not one to the question that was asked."""


class NotHeld(Exception):
    """The node does not have what was asked: an unknown block, or a state it has pruned."""


class Header(NamedTuple):
    """What a header says of its block that later answers are held against."""

    number: int
    state_root: str


@dataclass
class Known:
    """What is certain of the chain: its genesis hash (empty: not pinned yet) and proved headers by hash."""

    genesis_hash: str = ""
    headers: dict[str, Header] = field(default_factory=dict)

    def learn(self, block_hash: str, number: int, state_root: str) -> None:
        """Remember a proved header; the oldest is forgotten."""
        self.headers[block_hash] = Header(number, state_root)
        if len(self.headers) > HEADERS_MAX:
            del self.headers[next(iter(self.headers))]

    def number(self, block_hash: str) -> int | None:
        """The number of a block, where that is known."""
        header = self.headers.get(block_hash)
        return header and header.number

    def describe(self, block_hash: str) -> str:
        """Name a block by its number where that is known."""
        number = self.number(block_hash)
        return f"block {block_hash}" if number is None else f"block {number} ({block_hash})"


def check_answer(method: str, params: list[Any], result: Any, known: Known) -> None:
    """Judge one answer; reads that are not named here pass.

    :raises Nonsense: it does not answer the question.
    :raises NotHeld: the node does not have it.
    """
    check = _CHECKS.get(method)
    if check is None:
        return
    try:
        check(params, result, known)
    except (Nonsense, NotHeld):
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise Nonsense(f"its shape is wrong ({type(error).__name__})") from None


def _require(sound: bool, otherwise: str) -> None:
    if not sound:
        raise Nonsense(otherwise)


def is_chain_name(value: Any) -> bool:
    """Whether it can be what a chain calls itself."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= CHAIN_NAME_MAX
        and value.isprintable()
        and not value.startswith("0x")
    )


def _check_chain(params: list[Any], result: Any, known: Known) -> None:
    _require(is_chain_name(result), "it names no chain")


def _check_properties(params: list[Any], result: Any, known: Known) -> None:
    prefix = None if result is None else result.get("ss58Format")
    _require(prefix is None or (type(prefix) is int and 0 <= prefix < 1 << 14), "its address format is none")


def _check_block_hash(params: list[Any], result: Any, known: Known) -> None:
    number = params[0]
    if result is None:
        raise NotHeld(f"has no block {number}")
    _require(HASH.fullmatch(result) is not None, "it is no hash")
    proved = known.number(result)
    _require(proved is None or proved == number, f"it is the hash of block {proved}, not {number}")
    if number == 0 and known.genesis_hash:
        _require(result == known.genesis_hash, f"its genesis is {result}, not {known.genesis_hash}")


def _check_head(params: list[Any], result: Any, known: Known) -> None:
    _require(HASH.fullmatch(result) is not None, "it is no hash")


def _check_header(params: list[Any], result: Any, known: Known) -> None:
    if result is None:
        raise NotHeld(f"has no {known.describe(params[0])}" if params else "has no header")
    if params:
        _require(header_hash(result) == params[0], f"its header is not that of {known.describe(params[0])}")
        known.learn(params[0], int(result["number"], 16), result["stateRoot"])


def _check_block(params: list[Any], result: Any, known: Known) -> None:
    _check_header(params, result and result["block"]["header"], known)
    extrinsics = result["block"]["extrinsics"]
    _require(type(extrinsics) is list, "its body is no body")
    _require(
        are_extrinsics_of(result["block"]["header"], extrinsics),
        f"its extrinsics are not those that the header of {known.describe(params[0])} names",
    )


def _check_version(params: list[Any], result: Any, known: Known) -> None:
    spec_version = result["specVersion"]
    _require(type(spec_version) is int and 0 < spec_version <= SPEC_MAX, "it names no spec version")


def _check_metadata(params: list[Any], result: Any, known: Known) -> None:
    _require(result.startswith(_METADATA_MAGIC) and len(result) % 2 == 0, "it is no metadata")


def _check_keys(params: list[Any], result: Any, known: Known) -> None:
    prefix, count, after = params[:3]
    _require(type(result) is list and len(result) <= count, f"it lists more than the {count} keys asked for")
    last = after or ""
    for key in result:
        _require(key.startswith(prefix) and key > last, "its keys are of another prefix or out of order")
        last = key


def _check_storage(params: list[Any], result: Any, known: Known) -> None:
    asked, block_hash = params
    if result is None:
        raise NotHeld(_pruned(block_hash, known))
    _require(type(result) is list and len(result) == 1, "it is not of one block")
    _require(result[0]["block"] == block_hash, f"it is not of {known.describe(block_hash)}")
    changes = result[0]["changes"]
    values = dict(changes)
    _require(len(values) == len(changes) and values.keys() == set(asked), "its keys are not those asked for")
    for value in values.values():
        _require(value is None or value.startswith("0x"), "a value is not in hex")
    if keys.SYSTEM_NUMBER in values:
        control = values[keys.SYSTEM_NUMBER]
        if control is None:
            raise NotHeld(_pruned(block_hash, known))
        number, proved = int.from_bytes(from_hex(control), "little"), known.number(block_hash)
        _require(proved is None or number == proved, f"it is the state of block {number}, not {proved}")


def proved_storage(params: list[Any], result: Any, known: Known) -> list[dict[str, Any]]:
    """Turn the read proof that was given for a question after storage into the answer to it.

    :param params: the keys and the hash of a block whose header is known.
    :raises Nonsense: it proves something else, or nothing.
    :raises NotHeld: the node does not have the state.
    """
    wanted, block_hash = params
    if result is None:
        raise NotHeld(_pruned(block_hash, known))
    try:
        _require(result["at"] == block_hash, f"it is not of {known.describe(block_hash)}")
        root = from_hex(known.headers[block_hash].state_root)
        values = proved_values(root, result["proof"], wanted)
    except BadProof as error:
        raise Nonsense(f"it does not prove the storage of {known.describe(block_hash)}: {error}") from None
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise Nonsense(f"its shape is wrong ({type(error).__name__})") from None
    return [{"block": block_hash, "changes": [[key, values[key]] for key in wanted]}]


def emptiness_controls(
    calls: Sequence[tuple[str, list[Any]]], results: Sequence[Any]
) -> list[tuple[str, list[Any]]]:
    """What to ask to be sure that empty lists of keys are so on chain: whether the state they were read from is there.

    A node without the state may list nothing where another refuses. Every state holds the key of `System.Number`.
    """
    blocks = {
        params[3]: None
        for (method, params), result in zip(calls, results, strict=True)
        if method == "state_getKeysPaged" and not result and len(params) > 3
    }
    key = keys.SYSTEM_NUMBER
    return [("state_getKeysPaged", [key, 1, key[:-2], block]) for block in blocks]


def check_controls(controls: Sequence[tuple[str, list[Any]]], results: Sequence[Any], known: Known) -> None:
    """Judge the answers to `emptiness_controls`. :raises NotHeld: the state is not there."""
    for (_, params), result in zip(controls, results, strict=True):
        if result != [keys.SYSTEM_NUMBER]:
            raise NotHeld(_pruned(params[3], known))


def _pruned(block_hash: str, known: Known) -> str:
    return f"has pruned {known.describe(block_hash)}; {NEEDS_ARCHIVE}"


_REFUSED_STATE = re.compile(r"discarded|pruned", re.IGNORECASE)
_REFUSED_BLOCK = re.compile(
    r"unknown ?block|header was not found|block .{0,80}not found|expect block|unknown header", re.IGNORECASE
)


def not_held(method: str, params: list[Any], said: str, known: Known) -> str:
    """What a refusal says about a block that the node does not have; empty where it is about something else."""
    # Every read names its block last; a storage key can look like a hash.
    at = next((param for param in reversed(params) if isinstance(param, str) and HASH.fullmatch(param)), "")
    if _REFUSED_STATE.search(said):
        return _pruned(at, known)
    return f"has no {known.describe(at)}" if _REFUSED_BLOCK.search(said) else ""


_CHECKS: dict[str, Callable[[list[Any], Any, Known], None]] = {
    "system_chain": _check_chain,
    "system_properties": _check_properties,
    "chain_getBlockHash": _check_block_hash,
    "chain_getFinalizedHead": _check_head,
    "chain_getHeader": _check_header,
    "chain_getBlock": _check_block,
    "state_getRuntimeVersion": _check_version,
    "state_getMetadata": _check_metadata,
    "state_getKeysPaged": _check_keys,
    "state_queryStorageAt": _check_storage,
}


def same(method: str, one: Any, other: Any) -> bool:
    """Whether two nodes gave the same answer; what differs between sound nodes (proofs, key order) does not count."""
    if method == "chain_getBlock":
        return bool(one["block"] == other["block"])
    if method == "state_getRuntimeVersion":
        return bool(one["specVersion"] == other["specVersion"])
    if method == "system_properties":
        return bool((one or {}).get("ss58Format") == (other or {}).get("ss58Format"))
    if method == "state_queryStorageAt":
        return dict(one[0]["changes"]) == dict(other[0]["changes"])
    return bool(one == other)
