"""Looks through an XLSX file before a library reads it: its sizes, and the shape of its XML. Pure.

A ZIP of a few kilobytes can hold gigabytes, and XML can name other files or nest without end. Every part is read
once as a stream, in little memory, and refused at the first sign of such things; after that the library's memory is
bounded by what these limits allow.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import lru_cache
from typing import Any
from xml.parsers import expat

from chain.imports.files import FileRefused

COLUMNS_MAX = 64
PARTS_MAX = 500
# Fifty thousand rows of six columns are about 20 MB.
BYTES_MAX = 48 * 1024 * 1024
DEPTH_MAX = 64
SHEETS_MAX = 16
ROW_ELEMENTS_MAX, TEXTS_MAX, ROW_ATTRIBUTES_MAX = 60_000, 400_000, 16
# Of one row or one text, and of everything that is neither.
UNIT_ELEMENTS_MAX, OTHER_ELEMENTS_MAX = 1_000, 50_000
UNIT_LETTERS_MAX, OTHER_LETTERS_MAX = 300_000, 1_000_000
TOKEN_BYTES_MAX = 1_000_000
_CHUNK = 64 * 1024
_CONTENT = {"v", "is", "f"}


def check(content: bytes, *, rows_max: int) -> int:
    """Refuse a file that is no XLSX, or would cost more to read than a list can need.

    :param rows_max: number of the last row that may hold anything.
    :returns: the last column that holds anything in any row, from 1; 0 if nothing does.
    :raises FileRefused: saying what is wrong with it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_sizes(archive)
            return max(_check_part(archive, part, rows_max) for part in archive.infolist())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        if isinstance(error, FileRefused):
            raise
        raise FileRefused(
            "The workbook is damaged or cut off. Open it in a spreadsheet and save it anew."
        ) from error


def is_too_large(content: bytes) -> bool:
    """Whether a sound workbook unpacks to more bytes than are read here."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _size(archive) > BYTES_MAX


def _size(archive: zipfile.ZipFile) -> int:
    return sum(part.file_size for part in archive.infolist())


def _check_sizes(archive: zipfile.ZipFile) -> None:
    parts = archive.infolist()
    names = {part.filename for part in parts}
    if any(part.flag_bits & 1 for part in parts):
        raise FileRefused("The file is protected by a password. Remove it and upload the file again.")
    if "[Content_Types].xml" not in names or "mimetype" in names:
        raise FileRefused(
            "The file is a ZIP archive or a document of another program, no XLSX workbook."
            " Save the list as XLSX or CSV UTF-8."
        )
    if len(parts) > PARTS_MAX or len(names) != len(parts):
        raise FileRefused(
            f"The workbook has {len(parts):,} parts, some perhaps twice. Save the list alone as a new XLSX file."
        )
    if (size := _size(archive)) > BYTES_MAX:
        raise FileRefused(
            f"The workbook unpacks to {size:,} bytes; {BYTES_MAX:,} is the most. Save the list alone as a new XLSX file."
        )


def _check_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo, rows_max: int) -> int:
    shape = _Shape(rows_max)
    fed = 0
    # A part gives no more bytes than it declared: zipfile stops there.
    with archive.open(part) as stream:
        try:
            while chunk := stream.read(_CHUNK):
                shape.parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - max(shape.parser.CurrentByteIndex, 0) > TOKEN_BYTES_MAX:
                    raise FileRefused(
                        "The workbook holds a text far longer than a cell can be. Save it anew."
                    )
            shape.parser.Parse(b"", True)
        except expat.ExpatError as error:
            # Pictures and the like are no XML; nobody reads them.
            if part.filename.endswith((".xml", ".rels")):
                raise FileRefused(
                    "The workbook is damaged: a part of it is no sound XML. Open it in a spreadsheet and save it anew."
                ) from error
    return shape.column_last


class _Shape:
    """Counts what an XML part holds; rows and shared texts, which openpyxl reads one by one, apart from the rest."""

    def __init__(self, rows_max: int) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.ordered_attributes = True
        self.parser.StartDoctypeDeclHandler = _refuse_doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._rows_max = rows_max
        self.column_last = 0
        self._row = self._column = self._depth = self._unit_depth = 0
        self._rows = self._texts = self._sheets = 0
        self._elements = self._letters = self._unit_elements = self._unit_letters = 0

    def _start(self, name: str, attributes: list[str]) -> None:
        tag = name.rpartition(" ")[2]
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise FileRefused("The workbook's XML is nested too deeply. Save the list as a new XLSX file.")
        if self._unit_depth:
            self._inside(tag, attributes)
        elif tag in {"row", "si"}:
            self._begin_unit(tag, attributes)
        else:
            self._elements += 1
            self._sheets += tag == "sheet"
        if self._elements > OTHER_ELEMENTS_MAX or self._sheets > SHEETS_MAX:
            raise FileRefused("The workbook holds far more than a list. Save the list as a new XLSX file.")

    def _begin_unit(self, tag: str, attributes: list[str]) -> None:
        self._unit_depth, self._unit_elements, self._unit_letters = self._depth, 0, 0
        if tag == "si":
            self._texts += 1
        else:
            self._rows += 1
            self._column = 0
            number = _value_of("r", attributes)
            before, self._row = self._row, int(number) if number.isdecimal() else self._row + 1
            if self._row <= before:
                raise FileRefused(f"The workbook is damaged: row {self._row:,} follows row {before:,}.")
        is_wide = len(attributes) > 2 * ROW_ATTRIBUTES_MAX
        if self._rows > ROW_ELEMENTS_MAX or self._texts > TEXTS_MAX or is_wide:
            raise FileRefused("The workbook holds far more than a list. Save the list as a new XLSX file.")

    def _inside(self, tag: str, attributes: list[str]) -> None:
        self._unit_elements += 1
        if self._unit_elements > UNIT_ELEMENTS_MAX:
            raise FileRefused(
                f"{self._where()} has too many cells or parts. Save the list as a new XLSX file."
            )
        if tag == "c":
            letters = _value_of("r", attributes).rstrip("0123456789")
            self._column = _column_number(letters) if letters else self._column + 1
            if self._column > COLUMNS_MAX:
                where = f"column {letters[:3] or self._column}"
                raise FileRefused(
                    f"{self._where()} has a cell in {where}; {COLUMNS_MAX} columns are the most."
                )
            self.column_last = max(self.column_last, self._column)
        elif tag in _CONTENT and self._row > self._rows_max:
            raise FileRefused(
                f"Row {self._row:,} holds something; a list ends with row {self._rows_max:,}. Split it."
            )

    def _end(self, name: str) -> None:
        if self._depth == self._unit_depth:
            self._unit_depth = 0
        self._depth -= 1

    def _text(self, text: str) -> None:
        if self._unit_depth:
            self._unit_letters += len(text)
        else:
            self._letters += len(text)
        if self._unit_letters > UNIT_LETTERS_MAX or self._letters > OTHER_LETTERS_MAX:
            raise FileRefused(f"{self._where()} holds a text far longer than a cell can be. Shorten it.")

    def _where(self) -> str:
        return f"Row {self._row:,}" if self._row else "The workbook"


@lru_cache(maxsize=1024)
def _column_number(letters: str) -> int:
    """Read `A` as 1, `Z` as 26, `AA` as 27; what is no column as one beyond all."""
    if len(letters) > 3 or not letters.isascii() or not letters.isalpha():
        return COLUMNS_MAX + 1
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _value_of(name: str, attributes: list[str]) -> str:
    for index in range(0, len(attributes), 2):
        if attributes[index] == name:
            return attributes[index + 1]
    return ""


def _refuse_doctype(*_: Any) -> None:
    raise FileRefused(
        "The workbook's XML has a DOCTYPE, which no spreadsheet writes. Save the list as a new XLSX file."
    )
