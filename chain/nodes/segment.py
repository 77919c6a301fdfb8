"""Segments: what a node answered, in one compressed file (CH10).

gzip of JSON lines: a header, one line per exchange ``[method, params, result]``, a footer with the number of
exchanges and the SHA-256 of the lines before it. Equal exchanges give equal bytes. A file is checked whole before
the first answer is given out, its header against what was recorded too, so one that is truncated, edited or says two
things changes nothing. Storage that was read of a block is found again whichever keys are asked for together.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chain.addresses import InvalidAddress, decode_address
from chain.nodes.answers import HASH, is_chain_name
from chain.nodes.source import Call, MissingRead, SourceError, exchange_key
from chain.quoting import quoted
from chain.state import Identity, read_identity
from chain.units import BLOCK_MAX, SPEC_MAX

FORMAT = "rakeback-segment"
VERSION = 1
# As much as the first two bytes of an address hold.
_PREFIX_MAX = (1 << 14) - 1


class BadSegment(Exception):
    """The file is not a whole segment of a version this program reads. Nothing was taken from it."""


@dataclass(frozen=True)
class SegmentHeader:
    """What a segment holds: blocks first..last (both included) as seen for `hotkeys`."""

    chain: str
    genesis_hash: str
    ss58_prefix: int
    first_block: int
    last_block: int
    spec_versions: list[int]
    hotkeys: list[str]


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def check_place(path: Path) -> None:
    """See that a segment can be written there, before hours of reading. :raises OSError: it cannot."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = _partial(path)
    partial.touch()
    partial.unlink()


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def write_segment(path: Path, header: SegmentHeader, exchanges: dict[str, Any]) -> None:
    """Write a segment beside `path` and move it there, so that a half-written file never has the name.

    :param exchanges: results by :func:`chain.nodes.source.exchange_key`.
    """
    lines = [_line({"format": FORMAT, "version": VERSION, **asdict(header)})]
    lines += [_line([*json.loads(key), result]) for key, result in exchanges.items()]
    body = b"".join(lines)
    footer = _line({"exchanges": len(exchanges), "sha256": hashlib.sha256(body).hexdigest()})
    partial = _partial(path)
    try:
        with open(partial, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(body + footer)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _header(line: bytes) -> SegmentHeader:
    given = json.loads(line)
    if not isinstance(given, dict) or given.pop("format", None) != FORMAT:
        raise BadSegment("it is not a Rakeback segment")
    if (version := given.pop("version", None)) != VERSION:
        raise BadSegment(f"its format version is {quoted(version)}; this program reads version {VERSION}")
    known = [field.name for field in fields(SegmentHeader)]
    if lacking := [name for name in known if name not in given]:
        raise BadSegment(f"its header does not say {', '.join(lacking)}")
    if unknown := sorted(set(given) - set(known)):
        raise BadSegment(f"its header has the field {quoted(unknown[0])}, which this program does not know")
    for name, check in _CHECKS.items():
        check(name, given[name])
    header = SegmentHeader(**given)
    if header.first_block > header.last_block:
        raise BadSegment(
            f"its header names blocks {header.first_block} to {header.last_block}, which are none"
        )
    return header


def _require(name: str, value: Any, sound: bool, wanted: str) -> None:
    if not sound:
        raise BadSegment(f"its header says {name} {quoted(value)}, which is not {wanted}")


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int:
        raise BadSegment(f"its header has a number that is not whole: {name} {quoted(value)}")
    _require(name, value, least <= value <= most, f"from {least} to {most}")


def _check_list(name: str, value: Any, check: Callable[[str, Any], None]) -> None:
    _require(name, value, isinstance(value, list) and bool(value), "a list of at least one")
    for one in value:
        check(name, one)


def _check_hotkey(name: str, value: Any) -> None:
    _require(name, value, isinstance(value, str), "a list of addresses")
    try:
        decode_address(value)
    except InvalidAddress as error:
        raise BadSegment(f"its header names the hotkey {quoted(value)}, which {error}") from error


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "chain": lambda name, value: _require(name, value, is_chain_name(value), "the name of a chain"),
    "genesis_hash": lambda name, value: _require(
        name, value, isinstance(value, str) and HASH.fullmatch(value) is not None, "a hash"
    ),
    "ss58_prefix": lambda name, value: _check_whole(name, value, 0, _PREFIX_MAX),
    "first_block": lambda name, value: _check_whole(name, value, 1, BLOCK_MAX),
    "last_block": lambda name, value: _check_whole(name, value, 1, BLOCK_MAX),
    "spec_versions": lambda name, value: _check_list(
        name, value, lambda name, one: _check_whole(name, one, 1, SPEC_MAX)
    ),
    "hotkeys": lambda name, value: _check_list(name, value, _check_hotkey),
}


class SegmentSource:
    """Answers reads from a segment file. A read that is not in the file raises, it is never zero."""

    def __init__(self, path: Path) -> None:
        """Load and check the file.

        :raises BadSegment: naming the file and what is wrong with it.
        """
        # A name on disk may have bytes that are no text.
        self.name = f"segment {path.name.encode(errors='replace').decode()}"
        try:
            self.header, self._answers = self._load(path)
            self._states = _states(self._answers)
            self.identity = self._identity()
        except BadSegment as error:
            raise BadSegment(f"{path}: {error}. Record the segment again, or copy it again.") from None
        except FileNotFoundError:
            raise BadSegment(f"{path}: there is no such file.") from None
        except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
            if isinstance(error, OSError) and error.errno:
                raise BadSegment(f"{path}: it cannot be read: {error.strerror}.") from None
            raise BadSegment(
                f"{path}: the file is truncated or damaged ({error}). Record it again, or copy it again."
            ) from error
        except RecursionError:
            raise BadSegment(
                f"{path}: the file is damaged: a line is nested too deeply. Record it again, or copy it again."
            ) from None

    @staticmethod
    def _load(path: Path) -> tuple[SegmentHeader, dict[str, Any]]:
        with gzip.open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        if len(lines) < 2:
            raise BadSegment("it has no content")
        header = _header(lines[0])
        footer = json.loads(lines[-1])
        body = lines[:-1]
        if not isinstance(footer, dict) or footer.get("exchanges") != len(body) - 1:
            raise BadSegment("its end is missing")
        if footer.get("sha256") != hashlib.sha256(b"".join(body)).hexdigest():
            raise BadSegment("its content was changed after it was recorded (checksum differs)")
        answers: dict[str, Any] = {}
        for number, line in enumerate(body[1:], 2):
            exchange = json.loads(line)
            if not _is_exchange(exchange):
                raise BadSegment(f"its line {number} is not a method, a list of parameters and a result")
            asked = exchange_key(*exchange[:2])
            if asked in answers:
                raise BadSegment(f"its line {number} answers what an earlier line answers")
            answers[asked] = exchange[2]
        return header, answers

    def _identity(self) -> Identity:
        """Which chain was recorded. :raises BadSegment: nothing says it, or the header says something else."""
        says = self.header
        recorded = self._recorded_specs()
        if foreign := set(says.spec_versions) - recorded:
            raise BadSegment(
                f"it says it was recorded on runtime {min(foreign)} in its header but on "
                f"{', '.join(map(str, sorted(recorded))) or 'none'} in what it recorded"
            )
        try:
            identity = read_identity(self)
        except SourceError as error:
            raise BadSegment(f"what it recorded does not say of which chain it is ({error})") from error
        for name in ("chain", "ss58_prefix", "genesis_hash"):
            if (header := getattr(says, name)) != (found := getattr(identity, name)):
                raise BadSegment(
                    f"it says {name} {quoted(header)} in its header but {quoted(found)} in what it recorded"
                )
        return identity

    def _recorded_specs(self) -> set[int]:
        """The runtimes that the recorded node named."""
        found = set()
        for asked, answer in self._answers.items():
            if asked.startswith('["state_getRuntimeVersion"'):
                spec = answer.get("specVersion") if isinstance(answer, dict) else None
                if type(spec) is not int or not 1 <= spec <= SPEC_MAX:
                    raise BadSegment(f"a runtime's version is recorded as {quoted(answer)}, which names none")
                found.add(spec)
        return found

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer from the file."""
        return [self._answer(method, params) for method, params in calls]

    def _answer(self, method: str, params: list[Any]) -> Any:
        asked = exchange_key(method, params)
        if asked in self._answers:
            return self._answers[asked]
        if method == "state_queryStorageAt":
            wanted, block_hash = params
            state = self._states.get(block_hash, {})
            if all(key in state for key in wanted):
                return [{"block": block_hash, "changes": [[key, state[key]] for key in wanted]}]
            asked = exchange_key(method, [[key for key in wanted if key not in state], block_hash])
        raise MissingRead(f"{self.name} does not hold the read {asked[:160]}")


def _is_exchange(line: Any) -> bool:
    return (
        isinstance(line, list) and len(line) == 3 and isinstance(line[0], str) and isinstance(line[1], list)
    )


def _states(answers: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    """Storage values by block hash and key: recorded together, they may be asked for in other companies."""
    states: dict[str, dict[str, str | None]] = {}
    for asked, result in answers.items():
        if asked.startswith('["state_queryStorageAt"'):
            _, (wanted, block_hash) = json.loads(asked)
            # What a node answered amiss stays in its own exchange and is refused by the reader.
            for answer in result or []:
                found = dict(answer["changes"])
                states.setdefault(block_hash, {}).update({key: found[key] for key in wanted if key in found})
    return states
