"""Segments: what a node answered, in one compressed file (CH10).

gzip of JSON lines: a header, one line per exchange ``[method, params, result]``, a footer with the number of
exchanges and the SHA-256 of the lines before it. Equal exchanges give equal bytes. A file is checked whole before
the first answer is given out, so a truncated or edited one changes nothing. Storage that was read of a block is found
again whichever keys are asked for together.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chain.addresses import InvalidAddress, decode_address
from chain.source import Call, MissingRead, exchange_key

FORMAT = "rakeback-segment"
VERSION = 1


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


def write_segment(path: Path, header: SegmentHeader, exchanges: dict[str, Any]) -> None:
    """Write a segment beside `path` and move it there, so that a half-written file never has the name.

    :param exchanges: results by :func:`chain.source.exchange_key`.
    """
    lines = [_line({"format": FORMAT, "version": VERSION, **asdict(header)})]
    lines += [_line([*json.loads(key), result]) for key, result in exchanges.items()]
    body = b"".join(lines)
    footer = _line({"exchanges": len(exchanges), "sha256": hashlib.sha256(body).hexdigest()})
    partial = path.with_name(path.name + ".part")
    with open(partial, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(body + footer)
    partial.replace(path)


def _header(line: bytes) -> SegmentHeader:
    fields = json.loads(line)
    if not isinstance(fields, dict) or fields.pop("format", None) != FORMAT:
        raise BadSegment("it is not a Rakeback segment")
    if (version := fields.pop("version", None)) != VERSION:
        raise BadSegment(f"its format version is {version}; this program reads version {VERSION}")
    header = SegmentHeader(**fields)
    numbers = (header.ss58_prefix, header.first_block, header.last_block, *header.spec_versions)
    if any(type(number) is not int for number in numbers):
        raise BadSegment("its header has a number that is not whole")
    if not 1 <= header.first_block <= header.last_block or not header.hotkeys:
        raise BadSegment("its header names no blocks or no hotkeys")
    for hotkey in header.hotkeys:
        try:
            decode_address(hotkey)
        except InvalidAddress as error:
            raise BadSegment(f"its header names the hotkey {hotkey!r}, which {error}") from error
    return header


class SegmentSource:
    """Answers reads from a segment file. A read that is not in the file raises, it is never zero."""

    def __init__(self, path: Path) -> None:
        """Load and check the file.

        :raises BadSegment: naming the file and what is wrong with it.
        """
        self.name = f"segment {path.name}"
        try:
            self.header, self._answers = self._load(path)
            self._states = _states(self._answers)
        except BadSegment as error:
            raise BadSegment(f"{path}: {error}. Record the segment again, or copy it again.") from None
        except FileNotFoundError:
            raise BadSegment(f"{path}: there is no such file.") from None
        except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
            raise BadSegment(
                f"{path}: the file is truncated or damaged ({error}). Record it again, or copy it again."
            ) from error

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
        if footer["sha256"] != hashlib.sha256(b"".join(body)).hexdigest():
            raise BadSegment("its content was changed after it was recorded (checksum differs)")
        answers = {}
        for line in body[1:]:
            method, params, result = json.loads(line)
            answers[exchange_key(method, params)] = result
        return header, answers

    def recorded_specs(self) -> set[int]:
        """The runtimes that the recorded node named."""
        asked = [key for key in self._answers if key.startswith('["state_getRuntimeVersion"')]
        return {int(self._answers[key]["specVersion"]) for key in asked}

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
