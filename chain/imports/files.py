"""Reading a file into raw rows: CSV with one kind of row, JSON with both. Pure.

Refuses what is not text, has unknown or missing columns, or is too large; what the cells say is for `rows`.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

BYTES_MAX = 32 * 1024 * 1024
ROWS_MAX = 100_000
# More than any number here has; reading them takes time that grows with the square.
DIGITS_MAX = 100
JSON_FORMAT = "rakeback-import-1"
REWARDS, STAKE_EVENTS = "rewards", "stake_events"
SECTIONS = (REWARDS, STAKE_EVENTS)

# Every amount has two spellings, of which a file uses one: whole lamports, or SOL with a point.
AMOUNTS = {REWARDS: ("staker_reward", "validator_revenue"), STAKE_EVENTS: ("amount", "fee")}
REQUIRED = {
    REWARDS: ("epoch", "slot", "slot_time", "block_hash", "vote_account", "component", "staker"),
    STAKE_EVENTS: (
        "slot",
        "slot_time",
        "block_hash",
        "event_index",
        "kind",
        "staker",
        "vote_account",
        "signature",
    ),
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    REWARDS: (),
    STAKE_EVENTS: ("direction", "signer", "other_staker", "other_vote_account"),
}
GENESIS = "genesis_hash"
_PIECE = 64 * 1024
# The column that tells the two kinds of sheet apart.
_MARK = {REWARDS: "component", STAKE_EVENTS: "kind"}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class FileRefused(ValueError):
    """The file as a whole is not one that can be imported; the message says what to change."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as the file has it. `number` is the line of a sheet, whose first names the columns; in JSON the place
    in its list, counted from 1."""

    number: int
    cells: Mapping[str, Any]


Rows = dict[str, list[RawRow]]


def read_file(content: bytes) -> Rows:
    """Read a file into the raw rows of each section.

    :raises FileRefused: for what is not such a file.
    """
    if len(content) > BYTES_MAX:
        raise FileRefused(
            f"The file has {len(content):,} bytes; {BYTES_MAX:,} is the most. Split it by epoch."
        )
    text = decode_text(content)
    if not text.strip():
        raise FileRefused("The file is empty.")
    rows = _read_json(text) if text.lstrip().startswith(("{", "[")) else _read_csv(text)
    count = sum(map(len, rows.values()))
    if not count:
        raise FileRefused("The file has no rows.")
    if count > ROWS_MAX:
        raise FileRefused(f"The file has {count:,} rows; {ROWS_MAX:,} is the most. Split it by epoch.")
    return rows


def encoding_of(content: bytes) -> str:
    """Name the encoding of a text: UTF-8, or UTF-16 that begins with its byte order mark. The text itself is not held.

    :raises FileRefused: as `decode_text` does.
    """
    encoding = _marked(content)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for start in range(0, len(content), _PIECE):
            piece = decoder.decode(content[start : start + _PIECE], final=start + _PIECE >= len(content))
            if "\0" in piece:
                decode_text(content)
    except UnicodeDecodeError:
        decode_text(content)
    return encoding


def _marked(content: bytes) -> str:
    return next((name for mark, name in _BOMS if content.startswith(mark)), "utf-8")


def decode_text(content: bytes) -> str:
    """Read a text of any encoding that `encoding_of` knows, without zero bytes.

    :raises FileRefused: naming the line that is something else, and how to save it.
    """
    encoding = _marked(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileRefused(_not_text(content, encoding, error)) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise FileRefused(
            f"The file is not text: it has zero bytes, the first on line {line:,}. Save it as CSV UTF-8 or as JSON."
        )
    return text


def _not_text(content: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    how = "In a spreadsheet, save it as 'CSV UTF-8 (comma delimited)'."
    if encoding == "utf-16":
        return f"The file begins like UTF-16 text and is damaged. {how}"
    line = content.count(b"\n", 0, error.start) + 1
    # Bytes below 9 are in no text; without them it is one of the old encodings with a byte per letter.
    guess = "" if any(byte < 9 for byte in content[:4096]) else ", probably Windows-1252"
    return (
        f"The file is not UTF-8 text: line {line:,} has the byte {content[error.start]:02X} of another encoding{guess}."
        f" {how}"
    )


# --- CSV ----------------------------------------------------------------------------------------------


def _read_csv(text: str) -> Rows:
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip(" ") for name in next(lines, [])]
        section = _section_of(names)
        _check_columns(section, names, "column")
        rows = []
        # Records are counted, not lines, as a spreadsheet shows them.
        for number, cells in enumerate(lines, 2):
            if not any(cells):
                continue
            if len(cells) != len(names):
                raise FileRefused(
                    f"Row {number} has {len(cells)} cells, the first line names {len(names)} columns."
                )
            rows.append(RawRow(number, dict(zip(names, cells, strict=True))))
            if len(rows) > ROWS_MAX:
                break
    except csv.Error as error:
        raise FileRefused(f"Line {lines.line_num} is not CSV: {error}.") from error
    return {section: rows}


def _section_of(names: Sequence[str]) -> str:
    found = [section for section, mark in _MARK.items() if mark in names]
    if len(found) == 1:
        return found[0]
    if len(names) == 1 and any(sign in names[0] for sign in ";\t|"):
        raise FileRefused("The columns are not separated by commas. Save the sheet as CSV with commas.")
    known = "; ".join(f"{section}: {', '.join(_columns(section))}" for section in SECTIONS)
    raise FileRefused(f"The first line must name the columns of rewards or of stake events. {known}.")


def _columns(section: str) -> list[str]:
    amounts = [f"{name}_lamports" for name in AMOUNTS[section]]
    return [GENESIS, *REQUIRED[section], *amounts, *OPTIONAL[section]]


def _check_columns(section: str, names: Sequence[str], what: str) -> None:
    """Every required name once, each amount in one spelling, nothing else."""
    wanted = [GENESIS, *REQUIRED[section]]
    for amount in AMOUNTS[section]:
        lamports, sol = f"{amount}_lamports", f"{amount}_sol"
        if lamports in names and sol in names:
            raise FileRefused(f"Give {lamports} or {sol}, not both: an amount has one spelling.")
        wanted.append(sol if sol in names else lamports)
    if missing := [name for name in wanted if name not in names]:
        raise FileRefused(f"Missing {what}s of {section}: {', '.join(missing)}.")
    if unknown := sorted(set(names) - {*wanted, *OPTIONAL[section]}):
        shown = ", ".join(repr(name[:40]) for name in unknown[:8])
        raise FileRefused(f"Unknown {what}s of {section}: {shown}. Known are {', '.join(_columns(section))}.")
    if len(set(names)) != len(names):
        raise FileRefused(f"A {what} of {section} is named twice.")


# --- JSON ---------------------------------------------------------------------------------------------


def _read_json(text: str) -> Rows:
    try:
        found = json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_whole,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
        )
    except RecursionError as error:
        raise FileRefused("The JSON is nested too deeply.") from error
    except FileRefused:
        raise
    except ValueError as error:
        raise FileRefused(f"The file is not JSON: {error}.") from error
    if not isinstance(found, dict) or found.get("format") != JSON_FORMAT:
        raise FileRefused(f'The JSON must be an object with "format": "{JSON_FORMAT}".')
    if unknown := sorted(set(found) - {"format", GENESIS, *SECTIONS}):
        raise FileRefused(f"Unknown keys: {', '.join(repr(name[:40]) for name in unknown[:8])}.")
    if not isinstance(found.get(GENESIS), str):
        raise FileRefused(f'The JSON must say "{GENESIS}": of which chain it is.')
    return {
        section: [
            _json_row(section, number, row, found[GENESIS])
            for number, row in enumerate(_list_of(found, section), 1)
        ]
        for section in SECTIONS
    }


def _list_of(found: dict[str, Any], section: str) -> list[Any]:
    rows = found.get(section, [])
    if not isinstance(rows, list):
        raise FileRefused(f'"{section}" must be a list of rows.')
    if len(rows) > ROWS_MAX:
        raise FileRefused(f"The file has more than {ROWS_MAX:,} rows. Split it by epoch.")
    return rows


def _json_row(section: str, number: int, row: Any, genesis_hash: str) -> RawRow:
    if not isinstance(row, dict):
        raise FileRefused(f"Row {number} of {section} is not an object.")
    cells = {GENESIS: genesis_hash, **row}
    try:
        _check_columns(section, list(cells), "key")
    except FileRefused as error:
        raise FileRefused(f"Row {number}: {error}") from error
    return RawRow(number, cells)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FileRefused(f"The JSON names {twice[:40]!r} twice in one object.")
    return found


def _whole(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"it has a number of {len(digits.removeprefix('-')):,} digits")
    return int(digits)


def _refuse_constant(name: str) -> None:
    raise FileRefused(f"The JSON has {name}, which is no amount.")
