"""What proves a block: its header by the block's hash, its extrinsics by the root that the header names. Pure.

The root is that of a trie with the extrinsics under their SCALE-compact positions (Polkadot Protocol Specification, "State
Storage Trie"; `frame_system::extrinsics_data_root`). Such keys are none another's beginning, so only leaves hold values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

# Two highest bits of a node's header; the others count the nibbles of its partial key.
_LEAF, _BRANCH = 0b0100_0000, 0b1000_0000
# Three bits, in the layout that keeps longer values under their hash.
_HASHED_LEAF = 0b0010_0000
_HASHED_FROM_BYTES = 33
NO_STATE = "0x" + "00" * 32


def header_hash(header: Mapping[str, Any]) -> str:
    """Hash a header as the chain does: BLAKE2b-256 of its SCALE encoding.

    :raises ValueError: a part is not in hex.
    """
    logs = [from_hex(log) for log in header["digest"]["logs"]]
    parts = [
        from_hex(header["parentHash"]),
        compact(int(header["number"], 16)),
        from_hex(header["stateRoot"]),
    ]
    parts += [from_hex(header["extrinsicsRoot"]), compact(len(logs)), *logs]
    return "0x" + blake2_256(b"".join(parts)).hex()


def are_extrinsics_of(header: Mapping[str, Any], extrinsics: Sequence[str]) -> bool:
    """Say whether these are, to the bit, the extrinsics that a header names.

    Runtimes of system version 0 and 1, all known ones, take the first layout of the trie, later ones the second. A
    header without a state root is of a local chain whose maker seals no tries (Chopsticks); its root is the hash of all
    extrinsics one after the other.

    :param extrinsics: as a node gives them, in hex.
    :raises ValueError: one is not in hex.
    """
    body = [from_hex(extrinsic) for extrinsic in extrinsics]
    named = from_hex(header["extrinsicsRoot"])
    if header["stateRoot"] == NO_STATE:
        return named == blake2_256(b"".join(body))
    return named in (ordered_root(body), ordered_root(body, hashed_values=True))


def ordered_root(values: Sequence[bytes], *, hashed_values: bool = False) -> bytes:
    """The root hash (32 bytes) of the trie that holds each value under its position.

    :param hashed_values: by the second layout, which keeps values of more than 32 bytes under their hash.
    """
    if not values:
        return blake2_256(b"\0")
    leaves = [(compact(position).hex(), value) for position, value in enumerate(values)]
    return blake2_256(_node(sorted(leaves), 0, hashed_values))


def compact(number: int) -> bytes:
    """SCALE's compact integer."""
    for mode, bits in enumerate((6, 14, 30)):
        if number < 1 << bits:
            return (number << 2 | mode).to_bytes((1, 2, 4)[mode], "little")
    body = number.to_bytes((number.bit_length() + 7) // 8, "little")
    return bytes([(len(body) - 4) << 2 | 3]) + body


def _node(leaves: Sequence[tuple[str, bytes]], depth: int, hashed_values: bool) -> bytes:
    """Encode the node over leaves (nibbles as hex digits, value), sorted, whose first `depth` nibbles are behind."""
    first, value = leaves[0]
    if len(leaves) == 1:
        if hashed_values and len(value) >= _HASHED_FROM_BYTES:
            return _partial(_HASHED_LEAF, first[depth:]) + blake2_256(value)
        return _partial(_LEAF, first[depth:]) + compact(len(value)) + value
    # Sorted, so what the first and the last have in common all have.
    fork = next(i for i, (one, other) in enumerate(zip(first, leaves[-1][0], strict=False)) if one != other)
    children = {
        nibble: [leaf for leaf in leaves if leaf[0][fork] == nibble]
        for nibble in sorted({leaf[0][fork] for leaf in leaves})
    }
    bitmap = sum(1 << int(nibble, 16) for nibble in children)
    encoded = _partial(_BRANCH, first[depth:fork]) + bitmap.to_bytes(2, "little")
    for below in children.values():
        child = _node(below, fork + 1, hashed_values)
        encoded += compact(len(child)) + child if len(child) < 32 else compact(32) + blake2_256(child)
    return encoded


def _partial(kind: int, nibbles: str) -> bytes:
    """A node's header and its partial key, of fewer than 31 nibbles; an odd one begins with an empty nibble."""
    return bytes([kind | len(nibbles)]) + bytes.fromhex("0" * (len(nibbles) % 2) + nibbles)


def blake2_256(data: bytes) -> bytes:
    """BLAKE2b of 256 bits, by which the chain names headers and trie nodes."""
    return hashlib.blake2b(data, digest_size=32).digest()


def from_hex(text: str) -> bytes:
    """The bytes of a value as nodes give it. :raises ValueError: it is not in 0x hex."""
    if not text.startswith("0x"):
        raise ValueError("a value is not in hex")
    return bytes.fromhex(text[2:])
