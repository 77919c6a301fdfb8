"""Files into rows: encodings, separators, quotes, workbooks, and what is no list at all."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest
from openpyxl import Workbook

from chain.imports.files import FileRefused
from partners import sheets, xlsx_parts
from partners.sheets import CellError, Formula, Place, Record, Sheet, read_sheet

KNOWN = ("partner", "chain", "address", "introduced_date", "is_active", "notes")
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def read(content: bytes | str) -> Sheet:
    return read_sheet(content.encode() if isinstance(content, str) else content, known=KNOWN)


def workbook(*sheets: list[list[Any]], change: Callable[[Workbook], None] | None = None) -> bytes:
    book = Workbook()
    book.remove(book.worksheets[0])
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    if change:
        change(book)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def with_part(content: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same workbook with one part changed."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.namelist():
            raw = old.read(part)
            new.writestr(part, change(raw) if part == name else raw)
    return written.getvalue()


def with_sheet(xml: str) -> bytes:
    """A workbook whose sheet is this XML."""
    return with_part(workbook([["partner"], ["a"]]), "xl/worksheets/sheet1.xml", lambda _: xml.encode())


def sheet_xml(rows: str) -> str:
    return f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'


# --- Text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_pa5_encodings_separators_and_line_ends_read_the_same(
    encoding: str, separator: str, end: str
) -> None:
    text = end.join(separator.join(cells) for cells in (("partner", "notes"), ("zoë", "α, β"), ("b", "")))
    if separator == ",":
        text = text.replace("α, β", '"α, β"')
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    sheet = read(marks.get(encoding, b"") + text.encode(encoding))
    assert sheet.names == ["partner", "notes"]
    assert [record.cells for record in sheet] == [["zoë", "α, β"], ["b", ""]]
    assert not any(record.fault for record in sheet)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "partner,notes\na,b\nzoë,x\n".encode("cp1252"),
            "line 3 has the byte EB .* Windows-1252.*CSV UTF-8",
        ),
        (b"partner,notes\na,b\0c\n", "zero bytes, the first on line 2"),
        ("partner,notes\na,b\n".encode("utf-16-le"), "zero bytes"),
        (b"\xff\xfea", "UTF-16 text and is damaged"),
        (b"", "empty"),
        (b"\n\n \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"partner,notes\n", "no rows"),
        (b"partner,notes\n,\n\n", "no rows"),
        (b",,\na,b,c\n", "first row must name the columns"),
        (b"partner,notes;is_active\na,b;c\n", "more than one separator, comma and semicolon"),
        (b'partner,notes\na,b\nc,"d\ne,f\n', "On line 3 a quote is opened and never closed"),
        (b'partner,notes\na,b\nc,"d"e\n', "On line 3 something follows a closing quote"),
        (b"partner,notes\na," + b"x" * 200_000, "On line 2 a cell has more than 4,096 bytes"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"\x89PNG\r\n", "is a picture"),
        (b"\x1f\x8b\x08", "a compressed file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "protected by a password or in the old XLS"),
        (b",".join([b"c"] * 65) + b"\n1\n", "names 65 columns; 64 is the most"),
        (b"partner\n" + b"a\n" * 50_001, "more than 50,000 rows"),
        (b"partner,notes\n" + b"a," * 150_001, "begins on line 2 has more than 300,000 characters"),
        (b"partner,notes\n\n" + b'"a\n",' * 60_001, "begins on line 3 has more than 300,000 characters"),
        (b"partner," * 1_500_000, "begins on line 1 has more than 300,000 characters"),
        (b"x" * (sheets.BYTES_MAX + 1), r"12,582,913 bytes; 12,582,912 \(12 MB\) is the most"),
    ],
)
def test_pa5_what_is_no_list_is_refused_with_what_to_do(content: bytes, said: str) -> None:
    with pytest.raises(FileRefused, match=said):
        read(content)


def test_pa5_rows_are_counted_as_a_spreadsheet_does_and_lines_as_an_editor_does() -> None:
    sheet = read('partner,notes\n\na,"two\nlines"\n,\nb,"three\r\nmore\rlines"\nc,\n')
    assert [record.place for record in sheet] == [Place(3, 3), Place(5, 6), Place(6, 9)]
    assert [str(record.place) for record in sheet] == ["3", "5 (line 6)", "6 (line 9)"]
    assert [record.cells[0] for record in sheet] == ["a", "b", "c"]


def test_pa5_a_row_of_another_width_is_marked_and_empty_columns_at_the_end_are_not() -> None:
    sheet = read("partner,notes,,\na,b,,\nc\nd,e,,f\n")
    assert sheet.names == ["partner", "notes"]
    faults = [record.fault for record in sheet]
    assert list(map(bool, faults)) == [False, True, True]
    assert "Has 1 cell, but the first row names 2 columns" in faults[1]


def test_pa5_a_quoted_separator_in_the_first_line_is_no_separator() -> None:
    assert read('"partner";"notes, all"\na;b\n').names == ["partner", "notes, all"]


# --- Workbooks ----------------------------------------------------------------------------------------


def test_pa5_a_workbook_keeps_kinds_of_cells_and_where_rows_stand() -> None:
    def add_error(book: Workbook) -> None:
        book.worksheets[0]["B4"].data_type = "e"

    rows: list[list[Any]] = [
        ["partner", "introduced_date", "notes"],
        ["a", date(2025, 8, 1), 5],
        [],
        ["b", "#N/A", "=1+1"],
        ["c", datetime(2025, 8, 1, 12), True],  # noqa: DTZ001
    ]
    sheet = read(workbook(rows, [], change=add_error))
    assert list(sheet) == [
        Record(Place(2), ["a", datetime(2025, 8, 1), 5]),  # noqa: DTZ001
        Record(Place(4), ["b", CellError("#N/A"), Formula()]),
        Record(Place(5), ["c", datetime(2025, 8, 1, 12), True]),  # noqa: DTZ001
    ]


@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001, 3_000])
def test_pa5_a_long_list_waits_in_a_file_and_is_read_as_often_as_asked(count: int) -> None:
    sheet = read("partner,notes\n" + "".join(f"{number},{'n' * 900}\n" for number in range(count)))
    assert len(sheet) == count
    for _ in range(2):
        assert [record.cells[0] for record in sheet] == [str(number) for number in range(count)]
    # Two who read it at once do not disturb each other.
    assert all(first == second for first, second in zip(sheet, sheet, strict=True))


def test_pa5_a_workbook_with_two_filled_sheets_is_refused_with_their_names() -> None:
    with pytest.raises(FileRefused, match="2 sheets that hold something: 'Sheet', 'Sheet1'"):
        read(workbook([["partner"], ["a"]], [["x"]]))


def test_pa5_a_workbook_protected_by_a_password_within_the_archive_is_refused() -> None:
    content = bytearray(workbook([["partner"], ["a"]]))
    # The flag that says a part is encrypted, in the central directory of the archive.
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(FileRefused, match="protected by a password"):
        read(bytes(content))


def zip_of(**parts: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in parts.items():
            archive.writestr(name, raw)
    return written.getvalue()


ENTITIES = '<!DOCTYPE w [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY e SYSTEM "file:///etc/passwd">]>'
ONE_ROW = '<row r="1"><c r="A1" t="inlineStr"><is><t>{}</t></is></c></row>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: zip_of(a=b"x"), "a ZIP archive or a document of another program"),
        (
            lambda: zip_of(
                **{"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "[Content_Types].xml": b""}
            ),
            "a document of another program",
        ),
        (lambda: zip_of(**{"[Content_Types].xml": b"<x/>"}), "damaged or no XLSX workbook"),
        (lambda: workbook([["partner"], ["a"]])[:-40], "damaged or cut off"),
        (lambda: workbook([]), "workbook is empty"),
        (lambda: zip_of(**{"[Content_Types].xml": b"0" * (50 * 2**20)}), "unpacks to 52,428,800 bytes"),
        (lambda: with_sheet(ENTITIES + sheet_xml(ONE_ROW.format("&b;"))), "has a DOCTYPE"),
        (lambda: with_sheet(ENTITIES + sheet_xml(ONE_ROW.format("&e;"))), "has a DOCTYPE"),
        (lambda: with_sheet(sheet_xml("<a>" * 100 + "</a>" * 100)), "nested too deeply"),
        (lambda: with_sheet(sheet_xml('<row r="1">' + "<c/>" * 2_000 + "</row>")), "64 columns are the most"),
        (lambda: with_sheet(sheet_xml("<row>" + "<x/>" * 2_000 + "</row>")), "too many cells or parts"),
        (lambda: with_sheet(sheet_xml("<row/>" * 60_001)), "far more than a list"),
        (lambda: with_sheet(sheet_xml("<x/>" * 50_001)), "far more than a list"),
        (lambda: with_sheet(sheet_xml('<row r="1"><c r="BM1"/></row>')), "Row 1 has a cell in column BM"),
        (lambda: with_sheet(sheet_xml('<row r="1"><c r="XFD1"/></row>')), "Row 1 has a cell in column XFD"),
        (
            lambda: with_sheet(sheet_xml('<row r="60000"><c r="A60000"><v>1</v></c></row>')),
            "Row 60,000 holds something; a list ends with row 50,001",
        ),
        (lambda: with_sheet(sheet_xml('<row r="3"/><row r="2"/>')), "row 2 follows row 3"),
        (lambda: with_sheet(sheet_xml(ONE_ROW.format("x" * 400_000))), "Row 1 holds a text far longer"),
        (lambda: with_sheet(f"<!--{'x' * 3_000_000}-->" + sheet_xml("")), "a text far longer"),
        (lambda: with_sheet(sheet_xml('<row r="1"><c r="A1"><v>1x</v></c></row>')), "ValueError"),
        (lambda: with_sheet("<worksheet"), "no sound XML"),
    ],
)
def test_pa5_a_workbook_that_costs_too_much_or_is_damaged_is_refused(
    content: Callable[[], bytes], said: str
) -> None:
    with pytest.raises(FileRefused, match=said):
        read(content())


BOMB = zip_of(**{"[Content_Types].xml": b"", "xl/a.xml": b" " * (xlsx_parts.BYTES_MAX + 1)})


def test_pa5_nothing_of_a_bomb_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a part was opened")

    monkeypatch.setattr(zipfile.ZipFile, "open", refuse)
    with pytest.raises(FileRefused, match="unpacks to"):
        xlsx_parts.check(BOMB, rows_max=10)
