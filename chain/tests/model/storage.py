"""Raw storage of the model: typed maps over real keys, transactions, and the whole history of every key.

A value lives as a Python object while blocks are made; at the end of each block what changed is encoded and kept with
its block number, so that any earlier state can be read. Nothing that equals its default is kept unless it was written.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import xxhash

from chain.keys import SUBTENSOR, account_part, item_prefix

Part = Callable[[Any], str]


def identity_u16(netuid: int) -> str:
    """Identity hasher over a u16."""
    return netuid.to_bytes(2, "little").hex()


def twox_u16(netuid: int) -> str:
    """Twox64Concat hasher over a u16."""
    data = netuid.to_bytes(2, "little")
    return (xxhash.xxh64(data, seed=0).intdigest().to_bytes(8, "little") + data).hex()


def blake_account(address: str) -> str:
    """Blake2_128Concat hasher over an account."""
    return account_part(address)


def unsigned(size: int) -> Callable[[int], str]:
    """Encoder of an unsigned number of so many bytes."""

    def encode(value: int) -> str:
        return value.to_bytes(size, "little").hex()

    return encode


class Storage:
    """All keys of the chain with their history; the typed maps below write into it."""

    def __init__(self) -> None:
        self._history: dict[str, tuple[list[int], list[str | None]]] = {}
        self._sorted: list[str] = []
        self._new: list[str] = []
        self._dirty: dict[tuple[Map, Any], None] = {}
        self._undo: list[list[tuple[Map, Any, Any]]] = []

    def changed(self, owner: Map, key: Any, old: Any) -> None:
        """Note a write, for the end of the block and for a rollback."""
        self._dirty[owner, key] = None
        for log in self._undo:
            log.append((owner, key, old))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undo every write within if an exception leaves."""
        log: list[tuple[Map, Any, Any]] = []
        self._undo.append(log)
        try:
            yield
        except BaseException:
            self._undo.pop()
            for owner, key, old in reversed(log):
                owner.restore(key, old)
            raise
        self._undo.pop()

    def close_block(self, number: int) -> None:
        """Keep what this block changed."""
        for owner, key in self._dirty:
            value = owner.values.get(key, MISSING)
            self._keep(number, owner.key(key), None if value is MISSING else "0x" + owner.encode(value))
        self._dirty.clear()

    def _keep(self, number: int, key: str, value: str | None) -> None:
        history = self._history.get(key)
        if history is None:
            if value is not None:
                self._history[key] = ([number], [value])
                self._new.append(key)
        elif history[1][-1] != value:
            history[0].append(number)
            history[1].append(value)

    def at(self, key: str, number: int) -> str | None:
        """The raw value of a key after a block."""
        history = self._history.get(key)
        if history is None:
            return None
        position = bisect.bisect_right(history[0], number)
        return history[1][position - 1] if position else None

    def keys_paged(self, prefix: str, count: int, after: str, number: int) -> list[str]:
        """Keys with a prefix that hold a value after a block, in order, beyond `after`."""
        if self._new:
            self._sorted = sorted(self._sorted + self._new)
            self._new = []
        found: list[str] = []
        start = max(bisect.bisect_left(self._sorted, prefix), bisect.bisect_right(self._sorted, after or ""))
        for key in self._sorted[start:]:
            if not key.startswith(prefix) or len(found) == count:
                break
            if self.at(key, number) is not None:
                found.append(key)
        return found


class _Missing:
    """Marks the absence of a value."""


MISSING = _Missing()


class Map:
    """One storage item: keys are tuples (empty for a plain value), values Python objects."""

    def __init__(
        self,
        storage: Storage,
        item: str,
        parts: tuple[Part, ...],
        encode: Callable[[Any], str],
        default: Any = None,
        pallet: str = SUBTENSOR,
    ) -> None:
        self.item = item
        self.values: dict[Any, Any] = {}
        self.encode = encode
        self._storage = storage
        self._prefix = item_prefix(pallet, item)
        self._parts = parts
        self._default = default
        self._keys: dict[Any, str] = {}

    def key(self, key: tuple[Any, ...]) -> str:
        """The raw storage key."""
        text = self._keys.get(key)
        if text is None:
            text = self._prefix + "".join(part(k) for part, k in zip(self._parts, key, strict=True))
            self._keys[key] = text
        return text

    def known_keys(self) -> list[tuple[tuple[Any, ...], str]]:
        """Every key that ever held a value, with its raw form."""
        return list(self._keys.items())

    def get(self, *key: Any) -> Any:
        """The value, or what the runtime reads where nothing is stored."""
        return self.values.get(key, self._default)

    def has(self, *key: Any) -> bool:
        """Say whether a value is stored."""
        return key in self.values

    def put(self, *key_and_value: Any) -> None:
        """Store a value, also where it equals the default: so does the runtime."""
        *key, value = key_and_value
        self._write(tuple(key), value)

    def remove(self, *key: Any) -> None:
        """Remove a value if there is one."""
        if key in self.values:
            self._write(key, MISSING)

    def clear_prefix(self, *start: Any) -> None:
        """Remove every value whose key starts so."""
        for key in [key for key in self.values if key[: len(start)] == start]:
            self._write(key, MISSING)

    def items(self, *start: Any) -> list[tuple[tuple[Any, ...], Any]]:
        """Entries whose key starts so, in the order of their raw keys, as the runtime iterates."""
        found = [(key, value) for key, value in self.values.items() if key[: len(start)] == start]
        return sorted(found, key=lambda entry: self.key(entry[0]))

    def _write(self, key: tuple[Any, ...], value: Any) -> None:
        self._storage.changed(self, key, self.values.get(key, MISSING))
        if value is MISSING:
            del self.values[key]
        else:
            self.values[key] = value

    def restore(self, key: Any, old: Any) -> None:
        """Put back what a rolled back transaction wrote over."""
        if old is MISSING:
            self.values.pop(key, None)
        else:
            self.values[key] = old
