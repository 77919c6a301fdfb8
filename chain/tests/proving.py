"""Tries as the chain builds them over its storage, for nodes of tests that prove what they say.

Written from the specification, apart from what reads proofs; its roots are pinned to those of the chain's own code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

HASHED_FROM = 33


def compact(number: int) -> bytes:
    """SCALE's compact integer, below 2^30."""
    if number < 1 << 6:
        return bytes([number << 2])
    return (number << 2 | (1 if number < 1 << 14 else 2)).to_bytes(2 if number < 1 << 14 else 4, "little")


def digest(data: bytes) -> bytes:
    """BLAKE2b-256."""
    return hashlib.blake2b(data, digest_size=32).digest()


class Trie:
    """A trie over key → value (bytes); `hashed` for the second layout, which keeps long values under their hash."""

    def __init__(self, entries: Mapping[bytes, bytes], *, hashed: bool = True) -> None:
        self._hashed = hashed
        # nibbles of the way there → what is stored under a hash there
        self._nodes: dict[str, list[bytes]] = {}
        leaves = sorted((key.hex(), value) for key, value in entries.items())
        encoded = self._build(leaves, 0) if leaves else b"\0"
        self._nodes.setdefault("", []).append(encoded)
        self.root = digest(encoded)

    def proof(self, keys: Iterable[bytes]) -> list[str]:
        """The nodes on the way to each key, as a node gives them."""
        found: dict[bytes, None] = {}
        for key in keys:
            for length in range(len(key.hex()) + 1):
                for encoded in self._nodes.get(key.hex()[:length], []):
                    found[encoded] = None
        return ["0x" + encoded.hex() for encoded in found]

    def _build(self, leaves: list[tuple[str, bytes]], depth: int) -> bytes:
        first, last = leaves[0][0], leaves[-1][0]
        fork = depth
        while fork < min(len(first), len(last)) and first[fork] == last[fork]:
            fork += 1
        value = leaves[0][1] if len(first) == fork else None
        below = leaves[1:] if value is not None else leaves
        if not below:
            assert value is not None
            return self._head(first, depth, fork, value, is_branch=False) + self._value(first, value)
        encoded = self._head(first, depth, fork, value, is_branch=True)
        children = {
            nibble: [leaf for leaf in below if leaf[0][fork] == nibble] for nibble in "0123456789abcdef"
        }
        bitmap = sum(1 << int(nibble, 16) for nibble, found in children.items() if found)
        encoded += bitmap.to_bytes(2, "little") + (b"" if value is None else self._value(first, value))
        for nibble, found in children.items():
            if found:
                child = self._build(found, fork + 1)
                if len(child) >= 32:
                    # Whatever way leads through here needs this node.
                    self._nodes.setdefault(first[:fork] + nibble, []).append(child)
                    child = digest(child)
                encoded += compact(len(child)) + child
        return encoded

    def _value(self, nibbles: str, value: bytes) -> bytes:
        if self._hashed and len(value) >= HASHED_FROM:
            self._nodes.setdefault(nibbles, []).append(value)
            return digest(value)
        return compact(len(value)) + value

    def _head(self, nibbles: str, depth: int, fork: int, value: bytes | None, *, is_branch: bool) -> bytes:
        is_long = self._hashed and value is not None and len(value) >= HASHED_FROM
        kind, bits = {
            (False, False): (0b01 if not is_branch else 0b11, 2),
            (True, False): (0b001, 3),
            (True, True): (0b0001, 4),
        }.get((is_long, is_branch), (0b11, 2))
        if is_branch and value is None:
            kind, bits = 0b10, 2
        partial, most = nibbles[depth:fork], (1 << (8 - bits)) - 1
        head = [kind << (8 - bits) | min(len(partial), most)]
        if len(partial) >= most:
            left = len(partial) - most
            head += [255] * (left // 255) + [left % 255]
        return bytes(head) + bytes.fromhex("0" * (len(partial) % 2) + partial)
