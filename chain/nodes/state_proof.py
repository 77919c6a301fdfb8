"""Values of storage proved against the state root of a block's header, from the trie nodes of a read proof. Pure.

A proof is the nodes on the way from the root to the keys asked for. Each is named by its hash in the one above, the
first by the root, so a value, or that there is none, cannot be false unless the header is (Polkadot Protocol
Specification, "State Storage Trie"; `sp_trie::NodeCodec`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chain.nodes.block_hashes import blake2_256, from_hex

HASH_BYTES = 32
# Longer than any key there is: of what a node claims, no more is read.
_NIBBLES_MAX = 1 << 14


class BadProof(Exception):
    """The nodes do not prove what was asked under this root."""


@dataclass(frozen=True)
class _Node:
    """One node: the nibbles it adds to the key, its value (or the value's hash), its children by nibble."""

    partial: str
    value: bytes | None
    is_hashed: bool
    children: dict[str, bytes]


def proved_values(root: bytes, nodes: Iterable[str], wanted: Sequence[str]) -> dict[str, str | None]:
    """What storage holds under each key, in 0x hex; None where it is proved to hold nothing.

    :param root: the header's state root, 32 bytes.
    :param nodes: as `state_getReadProof` gives them, in any order, 0x hex.
    :raises BadProof: a node on the way is lacking or is none.
    :raises ValueError: one is not in hex.
    """
    known = {blake2_256(encoded): encoded for encoded in map(from_hex, nodes)}
    decoded: dict[bytes, _Node] = {}
    found = {}
    for key in wanted:
        value = _value(root, known, decoded, from_hex(key).hex())
        found[key] = None if value is None else "0x" + value.hex()
    return found


def _value(root: bytes, known: dict[bytes, bytes], decoded: dict[bytes, _Node], nibbles: str) -> bytes | None:
    at = root
    while True:
        # A child of fewer bytes than a hash stands in its parent itself.
        encoded = _known(known, at) if len(at) == HASH_BYTES else at
        node = decoded.get(at) or decoded.setdefault(at, _decode(encoded))
        if not nibbles.startswith(node.partial):
            return None
        nibbles = nibbles[len(node.partial) :]
        if not nibbles:
            if node.value is None or not node.is_hashed:
                return node.value
            return _known(known, node.value)
        child = node.children.get(nibbles[0])
        if child is None:
            return None
        at, nibbles = child, nibbles[1:]


def _known(known: dict[bytes, bytes], name: bytes) -> bytes:
    if name not in known:
        raise BadProof(f"the trie node {name.hex()} is lacking")
    return known[name]


# --- nodes ------------------------------------------------------------------------------------------------


class _Reader:
    """Takes a node apart from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next bytes. :raises BadProof: there are not as many."""
        if count > len(self._data) - self._at:
            raise BadProof("a trie node is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def compact(self) -> int:
        """The next compact integer, as far as lengths go."""
        first = self.take(1)[0]
        more = (0, 1, 3)[first & 3] if first & 3 < 3 else None
        if more is None:
            raise BadProof("a trie node names a length that nothing has")
        return int.from_bytes(bytes([first]) + self.take(more), "little") >> 2

    def end(self) -> None:
        """Nothing may be left. :raises BadProof: something is."""
        if self._at != len(self._data):
            raise BadProof("a trie node has more than its parts")


def _decode(encoded: bytes) -> _Node:
    reader = _Reader(encoded)
    first = reader.take(1)[0]
    if first == 0:
        reader.end()
        return _Node("", None, False, {})
    for bits, is_branch, has_value, is_hashed in (
        (2, False, True, False),
        (2, True, False, False),
        (2, True, True, False),
        (3, False, True, True),
        (4, True, True, True),
    ):
        if first >> (8 - bits) == _KINDS[is_branch, has_value, is_hashed]:
            break
    else:
        raise BadProof("a trie node is of no known kind")
    partial = _partial(reader, first & ((1 << (8 - bits)) - 1), (1 << (8 - bits)) - 1)
    bitmap = int.from_bytes(reader.take(2), "little") if is_branch else 0
    value = None
    if has_value:
        value = reader.take(HASH_BYTES if is_hashed else reader.compact())
    children = {f"{nibble:x}": reader.take(reader.compact()) for nibble in range(16) if bitmap >> nibble & 1}
    reader.end()
    if any(len(child) > HASH_BYTES for child in children.values()):
        raise BadProof("a trie node holds a child that should be named by its hash")
    return _Node(partial, value, is_hashed, children)


# (is a branch, has a value, the value is named by its hash) → the highest bits of the first byte.
_KINDS = {
    (False, True, False): 0b01,
    (True, False, False): 0b10,
    (True, True, False): 0b11,
    (False, True, True): 0b001,
    (True, True, True): 0b0001,
}


def _partial(reader: _Reader, count: int, most: int) -> str:
    """The nibbles of a node's partial key: their count goes on in further bytes where it does not fit the first."""
    if count == most:
        more = 255
        while more == 255:
            more = reader.take(1)[0]
            count += more
            if count > _NIBBLES_MAX:
                raise BadProof("a trie node names a length that nothing has")
    packed = reader.take((count + 1) // 2).hex()
    if count % 2 and packed[0] != "0":
        raise BadProof("a trie node pads its key with something")
    return packed[count % 2 :]
