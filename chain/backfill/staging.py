"""What a worker read of a chunk, as bytes that wait in the database until it is their turn (CH9). Pure.

zlib of JSON: the format's version, the names of all fields, the values in their order. What was written with other fields
is refused, never guessed at, and the chunk is read again.
"""

from __future__ import annotations

import json
import types
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from chain.facts import BlockFacts, ShareFact
from chain.stake.hotkeys import Following

FORMAT = "rakeback-chunk"
VERSION = 1


class StaleStaging(Exception):
    """The bytes were written by another version of the program, or are damaged. Read the blocks again."""


@dataclass(frozen=True)
class Stretch:
    """Blocks that follow each other, and every position in the state before the first of them."""

    first_block: int
    baseline: list[ShareFact]
    blocks: list[BlockFacts] = field(default_factory=list)


@dataclass(frozen=True)
class Staged:
    """What was read of a chunk for `hotkeys`: one stretch, or several around blocks that are lost.

    `runtimes` holds the metadata (0x hex) of runtimes that were not stored yet, by spec version.
    """

    chain: str
    genesis_hash: str
    ss58_prefix: int
    hotkeys: list[Following]
    runtimes: dict[int, str] = field(default_factory=dict)
    stretches: list[Stretch] = field(default_factory=list)


def pack(staged: Staged) -> bytes:
    """Write what was read; equal values give equal bytes."""
    body = {"format": FORMAT, "version": VERSION, "fields": _schema(), "staged": _plain(staged)}
    return zlib.compress(json.dumps(body, separators=(",", ":"), sort_keys=True).encode(), 6)


def unpack(packed: bytes) -> Staged:
    """Read it back.

    :raises StaleStaging: see there.
    """
    try:
        body = json.loads(zlib.decompress(packed))
        if (body["format"], body["version"], body["fields"]) != (FORMAT, VERSION, _schema()):
            raise StaleStaging("the blocks were read by another version of the program")
        staged: Staged = _value(Staged, body["staged"])
    except (zlib.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StaleStaging(f"what was read is damaged ({type(error).__name__}: {error})") from error
    return staged


@cache
def _schema() -> dict[str, list[str]]:
    """The fields of everything that is staged, by class."""
    found: dict[str, list[str]] = {}
    waiting: list[Any] = [Staged]
    while waiting:
        kind = waiting.pop()
        names = _names(kind)
        if names is None:
            waiting += [part for part in get_args(kind) if part is not Ellipsis]
        elif kind.__name__ not in found:
            found[kind.__name__] = [f"{name}: {_hints(kind)[name]}" for name in names]
            waiting += [_hints(kind)[name] for name in names]
    return found


def _names(kind: Any) -> list[str] | None:
    """Names of a dataclass's or named tuple's fields."""
    if isinstance(kind, type) and is_dataclass(kind):
        return [one.name for one in fields(kind)]
    return list(kind._fields) if hasattr(kind, "_fields") else None


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    names = _names(type(value))
    if names is not None:
        return [_plain(getattr(value, name)) for name in names]
    if isinstance(value, dict):
        return [[_plain(key), _plain(one)] for key, one in sorted(value.items())]
    if isinstance(value, Iterable) and not isinstance(value, set | frozenset):
        return [_plain(one) for one in value]
    raise TypeError(f"{type(value).__name__} cannot be staged")


def _value(kind: Any, plain: Any) -> Any:
    if kind in (int, str, bool, type(None)):
        if type(plain) is not kind:
            raise TypeError(f"{plain!r} is no {kind.__name__}")
        return plain
    if kind is bytes:
        return bytes.fromhex(plain)
    names = _names(kind)
    if names is not None:
        values = zip(names, plain, strict=True)
        return kind(**{name: _value(_hints(kind)[name], one) for name, one in values})
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if plain is None and type(None) in parts:
            return None
        (rest,) = (part for part in parts if part is not type(None))
        return _value(rest, plain)
    if origin is list:
        return [_value(parts[0], one) for one in plain]
    if origin is tuple:
        return tuple(_value(part, one) for part, one in zip(parts, plain, strict=True))
    if origin is dict:
        return {_value(parts[0], key): _value(parts[1], one) for key, one in plain}
    raise TypeError(f"{kind} cannot be staged")
