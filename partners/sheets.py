"""Reading a file into the rows of one sheet: CSV of three separators and encodings, or XLSX. Pure.

What the file holds counts, not its name. Refuses what is no such file or too large, before it is read; what the cells
say is for `wallet_lists`.
"""

from __future__ import annotations

import csv
import io
import pickle
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple

from chain.imports.files import FileRefused, encoding_of
from partners import xlsx_parts

# Fifty thousand wallets with short notes are 9 MB.
BYTES_MAX = 12 * 1024 * 1024
ROWS_MAX = 50_000
COLUMNS_MAX = xlsx_parts.COLUMNS_MAX
CELL_BYTES_MAX = 4_096
# More than the columns that there may be can hold.
ROW_LENGTH_MAX = 300_000
# How many rows are in memory at once, and from how many bytes on the others wait in a file.
BATCH = 1_000
HELD_BYTES_MAX = 1024 * 1024
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_ZIP, _OLE = b"PK", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHER_KINDS = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a compressed file",
    b"7z\xbc\xaf": "a compressed file",
    b"Rar!": "a compressed file",
}
_HOW_TO_SAVE = "Save the list as CSV UTF-8 or as XLSX."


@dataclass(frozen=True, slots=True)
class Formula:
    """What a cell of a workbook holds that is computed, not written."""


@dataclass(frozen=True, slots=True)
class CellError:
    """What a cell of a workbook holds where a computation failed, like `#N/A`."""

    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: its number as a spreadsheet counts, and the line of the text it begins on.

    The two differ once a cell holds line breaks. `line` is 0 in a workbook, which has no lines.
    """

    row: int
    line: int = 0

    def __str__(self) -> str:
        return f"{self.row:,} (line {self.line:,})" if self.line not in {0, self.row} else f"{self.row:,}"


class Record(NamedTuple):
    """One row: where it stands, its cells, and what is wrong with it as a whole."""

    place: Place
    cells: Sequence[Any]
    fault: str = ""


class Sheet:
    """The names in the first row, and all rows below it that are not blank, each with as many cells.

    The rows of a long list wait in a temporary file, a thousand at a time in memory.
    """

    def __init__(self, names: list[str], records: Iterable[Record] = ()) -> None:
        self.names = names
        self._count = 0
        self._last: list[Record] = []
        self._file = SpooledTemporaryFile(HELD_BYTES_MAX)  # noqa: SIM115 - open as long as the sheet is there
        weakref.finalize(self, self._file.close)
        for record in records:
            self.add(record)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        for batch in self.batches():
            yield from batch

    def add(self, record: Record) -> None:
        """Put a row below the others."""
        self._last.append(record)
        self._count += 1
        if len(self._last) == BATCH:
            self._file.seek(0, io.SEEK_END)
            pickle.dump(self._last, self._file, pickle.HIGHEST_PROTOCOL)
            self._last = []

    def batches(self) -> Iterator[list[Record]]:
        """Give the rows, a thousand at a time."""
        place = 0
        for _ in range(self._count // BATCH):
            self._file.seek(place)
            batch = pickle.load(self._file)  # noqa: S301 - what add() wrote
            place = self._file.tell()
            yield batch
        if self._last:
            yield self._last


def read_sheet(
    content: bytes, *, known: Iterable[str], check_names: Callable[[list[str]], object] = list
) -> Sheet:
    """Read a file, CSV or XLSX by what it holds.

    :param known: names of columns, by which the separator of a CSV file is recognised.
    :param check_names: raises FileRefused for names of columns whose rows need not be read.
    :raises FileRefused: for what is no such file, saying what to change in it.
    """
    if len(content) > BYTES_MAX:
        raise FileRefused(
            f"The file has {len(content):,} bytes; {BYTES_MAX:,} ({BYTES_MAX // 1024**2} MB) is the most. Split the list."
        )
    if content.startswith(_OLE):
        raise FileRefused(
            f"The workbook is protected by a password or in the old XLS format. Open it and remove that. {_HOW_TO_SAVE}"
        )
    for sign, kind in _OTHER_KINDS.items():
        if content.startswith(sign):
            raise FileRefused(f"The file is {kind}, not a list. {_HOW_TO_SAVE}")
    records = _xlsx_records(content) if content.startswith(_ZIP) else _csv_records(content, set(known))
    return _to_sheet(records, check_names)


def is_too_long(content: bytes) -> bool:
    """Whether a list that was written, CSV or XLSX, holds more bytes than are read here."""
    return len(content) > BYTES_MAX or (content.startswith(_ZIP) and xlsx_parts.is_too_large(content))


def column_name(written: str) -> str:
    """Give the name of a column as it is known, however it is written: `Address` is `address`."""
    return written.strip().lower()


def _to_sheet(
    records: Iterator[tuple[Place, Sequence[Any]]], check_names: Callable[[list[str]], object]
) -> Sheet:
    """Take the first record for the names, drop blank ones, and hold the others' width against it."""
    _, first = next(records, (Place(1), ()))
    names = ["" if cell is None else str(cell).strip() for cell in first]
    while names and not names[-1]:
        # Spreadsheets write columns that only ever had a colour.
        names.pop()
    if not names:
        raise FileRefused("The file is empty: its first row must name the columns.")
    if len(names) > COLUMNS_MAX:
        raise FileRefused(f"The first row names {len(names):,} columns; {COLUMNS_MAX} is the most.")
    check_names(names)
    sheet = Sheet(names)
    for place, cells in records:
        if all(cell is None or (isinstance(cell, str) and not cell.strip(" \t")) for cell in cells):
            continue
        if len(sheet) == ROWS_MAX:
            raise FileRefused(f"The list has more than {ROWS_MAX:,} rows. Split it.")
        sheet.add(_record(place, cells, len(names)))
    if not len(sheet):
        raise FileRefused("The list has no rows below the names of its columns.")
    return sheet


def _record(place: Place, cells: Sequence[Any], width: int) -> Record:
    fault = ""
    is_longer = any(cell not in {None, ""} for cell in cells[width:])
    # A workbook leaves out empty cells at the end, a text file never does.
    if is_longer or (place.line and len(cells) < width):
        fault = (
            f"Has {len(cells)} cell{'s' if len(cells) != 1 else ''}, but the first row names {width} columns:"
            " a separator or a quote is missing or too many."
        )
    return Record(place, [*cells[:width], *[None] * (width - len(cells))], fault)


# --- CSV ----------------------------------------------------------------------------------------------


def _csv_records(content: bytes, known: set[str]) -> Iterator[tuple[Place, Sequence[Any]]]:
    """Yield all records, blank ones too, so that rows are counted as a spreadsheet counts them."""
    text = io.TextIOWrapper(io.BytesIO(content), encoding_of(content), newline="")
    separator = _separator(text.readline(ROW_LENGTH_MAX).rstrip("\r\n"), known)
    text.seek(0)
    fed = _Lines(text)
    lines = csv.reader(fed, delimiter=separator, strict=True)
    number, begin = 0, 1
    while True:
        try:
            fed.begin_row(begin)
            cells = next(lines, None)
        except csv.Error as error:
            raise FileRefused(_csv_fault(begin, lines.line_num, str(error))) from error
        if cells is None:
            return
        number += 1
        yield Place(number, begin), cells
        begin = lines.line_num + 1


class _Lines:
    """The lines of a text one by one; refuses a row longer than any that can be.

    A row of millions of cells would take many times the memory of its file.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._line = self._length = 0

    def begin_row(self, line: int) -> None:
        """Count the length anew, of the row that begins on this line."""
        self._line, self._length = line, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(ROW_LENGTH_MAX + 1)
        if not line:
            raise StopIteration
        self._length += len(line)
        if self._length > ROW_LENGTH_MAX:
            raise FileRefused(
                f"The row that begins on line {self._line:,} has more than {ROW_LENGTH_MAX:,} characters; perhaps the"
                " ends of lines are lost, or a quote is not closed."
            )
        return line


def _csv_fault(begin: int, end: int, said: str) -> str:
    if "unexpected end" in said:
        return f"On line {begin:,} a quote is opened and never closed. Close it, or write it twice inside a quoted cell."
    if "field larger" in said:
        return (
            f"On line {begin:,} a cell has more than {CELL_BYTES_MAX:,} bytes; perhaps a quote is not closed."
        )
    if "expected after" in said:
        return (
            f"On line {end:,} something follows a closing quote. Write a quote inside a quoted cell twice,"
            " and none around it."
        )
    return f"Line {end:,} is not CSV: {said}."


def _separator(first: str, known: set[str]) -> str:
    """Find the separator by which the first line names known columns, or at least names most.

    :raises FileRefused: when two would do.
    """
    named: dict[str, int] = {}
    for separator in _SEPARATORS:
        try:
            cells = next(csv.reader([first], delimiter=separator), [])
        except csv.Error:
            cells = []
        if len(cells) > 1:
            named[separator] = sum(column_name(cell) in known for cell in cells)
    if not named:
        return ","
    best = max(named.values())
    found = [separator for separator, count in named.items() if count == best]
    if len(found) > 1:
        both = " and ".join(_SEPARATORS[separator] for separator in found)
        raise FileRefused(
            f"The first line has more than one separator, {both}. Separate all columns by the same."
        )
    return found[0]


# --- XLSX ---------------------------------------------------------------------------------------------


def _xlsx_records(content: bytes) -> Iterator[tuple[Place, Sequence[Any]]]:
    """Yield the rows of the only sheet that holds anything."""
    column_last = max(xlsx_parts.check(content, rows_max=ROWS_MAX + 1), 1)
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(content), read_only=True, keep_links=False)
        filled = [sheet for sheet in book.worksheets if any(True for _ in _rows(sheet, column_last))]
        titles = ", ".join(repr(sheet.title[:31]) for sheet in filled[:8])
    except Exception as error:
        raise _damaged(error) from error
    if len(filled) != 1:
        if not filled:
            raise FileRefused(
                "The workbook is empty, or of a kind that is not read here. Save it as XLSX anew."
            )
        raise FileRefused(
            f"The workbook has {len(filled)} sheets that hold something: {titles}. Keep only the one with the list."
        )
    try:
        for number, cells in enumerate(_rows(filled[0], column_last), 1):
            yield Place(number), [_value(cell) for cell in cells]
    except FileRefused:
        raise
    except Exception as error:
        raise _damaged(error) from error


def _rows(sheet: Any, column_last: int) -> Iterator[Sequence[Any]]:
    # What the file says of its own size may be wrong; what is beyond the limits was refused by xlsx_parts.
    sheet.reset_dimensions()
    rows: Iterator[Sequence[Any]] = sheet.iter_rows(max_row=ROWS_MAX + 1, max_col=column_last)
    return _without_end(rows)


def _without_end(rows: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """Leave out what openpyxl adds up to the last row asked for: rows without any cell, behind the last with one."""
    waiting = 0
    for row in rows:
        if any(cell.value is not None for cell in row):
            yield from islice(iter(tuple, None), waiting)
            waiting = 0
            yield row
        else:
            waiting += 1


def _value(cell: Any) -> Any:
    if cell.data_type == "f":
        return Formula()
    return CellError(str(cell.value)[:20]) if cell.data_type == "e" else cell.value


def _damaged(error: Exception) -> FileRefused:
    """openpyxl raises whatever the part it reads happens to raise; none of it helps the one who uploads."""
    return FileRefused(
        f"The workbook is damaged or no XLSX workbook ({type(error).__name__}). Open it in a spreadsheet and save it anew."
    )
