"""Wallet lists as nobody should write them: rows and files, from a seed, the same in every run."""

from __future__ import annotations

import csv
import gzip
import io
import random
import zipfile
from collections.abc import Callable, Iterator

from openpyxl import Workbook

from partners.sheets import BYTES_MAX
from partners.tests.factories import address

HEADERS = ["partner", "chain", "address", "introduced_date", "is_active", "notes"]
HOTKEY, OTHERS_WALLET = address(8), address(9)
# Letters that look like others, hide, end a line or a cell, or need four bytes.
LETTERS = (
    "0OIl1\"';,=+-@_%<>&\\/\t\r\n\x01\x07\x1b\x7f\x85\xa0\xad"
    "\u0430\u0435\u043e\u0440\u0455\u0445\u0443\u0410\u0412\u0415\u0130\u0131\u017f\u00df"
    "\u200b\u200e\u202e\u2028\u2060\u2066\ufeff\u3000\u0660\uff11\U0001d7d3\U0001f600"
)
WORDS = [
    *(
        "",
        " ",
        "'",
        "''",
        '"',
        "NULL",
        "None",
        "nan",
        "inf",
        "1e309",
        "-1",
        "+1",
        "0",
        "0x",
        "#N/A",
        "=1+1",
        "'=1+1",
    ),
    *(
        "=cmd|' /C calc'!A0",
        "@SUM(A1)",
        "+HYPERLINK(1)",
        "\t=1",
        "\r=1",
        " =1",
        "<script>alert(1)</script>",
        "../../etc",
    ),
    *(
        "2025-02-30",
        "2025-13-01",
        "2025-00-10",
        "9999-12-31",
        "0000-00-00",
        "2025-8-1",
        "2025-08- 1",
        "20250801",
    ),
    *(
        "2025-W31-5",
        "01.08.2025",
        "08/01/2025",
        "2025-08-01T00:00",
        "\u0662\u0660\u0662\u0665-\u0660\u0668-\u0660\u0661",
        "2025\u201108\u201101",
        "45870",
        "today",
    ),
    *("TRUE", "False", "yes", "NO", "1", "maybe", "wahr", "tru\u0435", "2", "tru", "on"),
    *(
        "creative-builds",
        "Creative-Builds",
        "creative-builds ",
        "nobody",
        "\u043ether",
        "x" * 61,
        "x" * 2_001,
        "ä" * 2_100,
    ),
    *("n" * 2_000, "x" * 5_000, "SOLANA", "bittensor", "BITTENSOR ", "BITCOIN"),
    *(
        "14G6dGvgPjBxo8w9Y2kPGqc2XFW8j1bTjLKGYkqmVBQwUZ3x",
        "CCVPuskaiidS4RZUoCftnEQ46hNsaSXE9XnK2Q9TPkyF",
        "5",
        "5" * 48,
    ),
    *("0x" + "11" * 32, "0x" + "11" * 20, "1" * 47, "5" * 10_000, HOTKEY, OTHERS_WALLET),
]


def good_row(number: int) -> list[str]:
    return ["creative-builds", "BITTENSOR", address(number), "2025-08-01", "true", f"note {number}"]


def mutated_rows(seed: int, count: int) -> Iterator[list[str]]:
    """Rows with one to three mutations each; a few happen to be good all the same."""
    chance = random.Random(seed)
    for number in range(100, 100 + count):
        row = good_row(number)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            _mutate(row, chance)
        if any(cell.strip(" \t") for cell in row):
            yield row


def _mutate(row: list[str], chance: random.Random) -> None:
    how = chance.randrange(12)
    if how == 0:
        row.append(chance.choice(WORDS))
    elif how == 1 and len(row) > 2:
        row.pop(chance.randrange(len(row)))
    elif how == 2:
        one, two = chance.randrange(len(row)), chance.randrange(len(row))
        row[one], row[two] = row[two], row[one]
    else:
        at = chance.randrange(len(row))
        row[at] = chance.choice(WORDS) if how < 7 else _mutate_text(row[at], chance)


def _mutate_text(text: str, chance: random.Random) -> str:
    at, letter = chance.randrange(len(text) + 1), chance.choice(LETTERS)
    return chance.choice(
        (
            text[:at] + letter + text[at:],
            text[:at] + letter + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text[:at],
            text.swapcase(),
            text * 2,
        )
    )


def as_csv(rows: list[list[str]], separator: str = ",") -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=separator).writerows([HEADERS, *rows])
    return written.getvalue()


# --- Files --------------------------------------------------------------------------------------------

# None of the files can be imported, however little was changed in them: one row has a wrong checksum.
ROWS = [good_row(number) for number in range(20, 30)] + [
    ["creative-builds", "", address(30)[:-1] + "x", "2025-08-01", "", ""]
]
TEXT = as_csv(ROWS)


def as_xlsx(rows: list[list[str]], *, sheets: int = 1) -> bytes:
    book = Workbook()
    for number in range(sheets):
        sheet = book.worksheets[0] if number == 0 else book.create_sheet()
        for row in [HEADERS, *rows]:
            sheet.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


XLSX = as_xlsx(ROWS)
SHEET = "xl/worksheets/sheet1.xml"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def replaced(name: str, raw: bytes, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The workbook with one part replaced or added."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(XLSX)) as old, zipfile.ZipFile(written, "w", method) as new:
        for part in old.namelist():
            if part != name:
                new.writestr(part, old.read(part))
        new.writestr(name, raw)
    return written.getvalue()


def _sheet_of(rows: str, before: str = "") -> bytes:
    xml = f'<?xml version="1.0"?>{before}<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'
    return replaced(SHEET, xml.encode())


def _flipped(content: bytes, chance: random.Random) -> bytes:
    raw = bytearray(content)
    for _ in range(chance.randrange(1, 20)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


def _part_flipped(chance: random.Random) -> bytes:
    """A workbook whose archive is sound and whose parts are not."""
    with zipfile.ZipFile(io.BytesIO(XLSX)) as archive:
        name = chance.choice(archive.namelist())
        return replaced(name, _flipped(archive.read(name), chance))


def _bomb(chance: random.Random) -> bytes:
    return replaced(chance.choice((SHEET, "xl/media/a.png", "x")), bytes(49 * 2**20))


def _entities(chance: random.Random) -> bytes:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    outside = f'<!ENTITY x SYSTEM "{chance.choice(("file:///etc/passwd", "http://localhost/"))}">'
    row = '<row r="1"><c r="A1" t="inlineStr"><is><t>&{};</t></is></c></row>'
    return _sheet_of(
        row.format(chance.choice(("l11", "x"))), f'<!DOCTYPE w [<!ENTITY l0 "ha">{laughs}{outside}]>'
    )


def _odd_sheet(chance: random.Random) -> bytes:
    cells = (
        '<c r="A1" t="s"><v>999999</v></c>',
        '<c r="A1" t="s"><v>-1</v></c>',
        '<c r="A1"><v>1e999</v></c>',
        '<c r="A1" t="d"><v>yesterday</v></c>',
        '<c r="A1" t="b"><v>x</v></c>',
        '<c r="??"><v>1</v></c>',
        '<c r="A0"><v>1</v></c>',
        '<c r="A1" s="99999"><v>1</v></c>',
        '<c r="A1"><f t="shared" si="7"/></c>',
        '<c r="A1"><f t="array">1</f></c>',
        '<c r="A1"><f t="dataTable" x="1"/></c>',
        f"<c r='A1'><v>{'9' * 5_000}</v></c>",
        "<c><is/></c>",
        "<c r='ZZZZ1'><v>1</v></c>",
    )
    return _sheet_of(f'<row r="{chance.choice(("1", "x", "-1", "1.5", ""))}">{chance.choice(cells)}</row>')


def _headers(chance: random.Random) -> bytes:
    names = chance.choice(
        (
            [*HEADERS, "notes"],
            [*HEADERS, "id"],
            HEADERS[:2],
            [name.upper() for name in HEADERS],
            ["p\u0430rtner", *HEADERS[1:]],
            [f"c{number}" for number in range(200)],
            ["=1+1", *HEADERS],
            [],
        )
    )
    return "\n".join([",".join(names), *TEXT.splitlines()[1:]]).encode()


def _raw_text(chance: random.Random) -> bytes:
    at = chance.randrange(len(TEXT))
    what = chance.choice(
        ('"', '"x"y', "\0", "\r", "\n\n", ";", "\t", "," * 500, '"' + "z" * 300_000, "x" * 5_000)
    )
    # The last row stays as it is, refused.
    at = min(at, TEXT.rindex("creative-builds"))
    return (TEXT[:at] + what + TEXT[at:]).encode()


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    lambda chance: chance.randbytes(chance.randrange(1, 5_000)),
    lambda chance: b"PK\x03\x04" + chance.randbytes(chance.randrange(1, 5_000)),
    lambda chance: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + chance.randbytes(600),
    lambda chance: XLSX[: chance.randrange(5, len(XLSX) - 25)],
    lambda chance: XLSX[chance.randrange(1, len(XLSX)) :],
    lambda chance: _flipped(XLSX, chance),
    lambda chance: _flipped(TEXT.encode(), chance),
    _part_flipped,
    _part_flipped,
    _entities,
    _odd_sheet,
    _odd_sheet,
    _headers,
    _raw_text,
    _raw_text,
    lambda chance: (TEXT + "é€").encode(
        chance.choice(("cp1252", "utf-16-le", "utf-16-be", "utf-32", "iso8859-15"))
    ),
    lambda _: TEXT.encode("utf-16")[:-1],
    lambda chance: _sheet_of("<a>" * chance.randrange(70, 50_000)),
    lambda chance: _sheet_of('<row r="1">' + "<c/>" * chance.randrange(65, 50_000) + "</row>"),
    lambda chance: _sheet_of("<row/>" * chance.randrange(1, 150_000)),
    lambda chance: _sheet_of(f'<row r="{chance.randrange(50_002, 2**40)}"><c><v>1</v></c></row>'),
    lambda chance: replaced(
        chance.choice(("xl/workbook.xml", "[Content_Types].xml", "xl/styles.xml")), b"<x/>"
    ),
    lambda chance: replaced("xl/_rels/workbook.xml.rels", b"<x>" * chance.randrange(1, 90)),
    lambda chance: as_xlsx(ROWS[: chance.randrange(1, 4)], sheets=chance.randrange(2, 30)),
    lambda _: gzip.compress(TEXT.encode()),
    lambda chance: chance.choice(
        (b"%PDF-1.4\n", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<html><table>", b"{}", b"[]")
    ),
    lambda chance: TEXT.encode() * (BYTES_MAX // len(TEXT) + chance.randrange(1, 1_000)),
    lambda chance: ("\n" * chance.randrange(1, 9)).encode(),
)


def malformed_files(seed: int, count: int) -> Iterator[bytes]:
    """Files of every kind in turn, and every fiftieth a bomb."""
    chance = random.Random(seed)
    for number in range(count):
        yield _bomb(chance) if number % 50 == 49 else KINDS[number % len(KINDS)](chance)
