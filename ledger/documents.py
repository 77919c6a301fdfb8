"""Statements and year summaries as files: JSON, CSV and PDF, with one content hash in all of them (LE7, LE9).

The same content gives the same bytes: a PDF is dated by what it is about, not by when it was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from ttf_opensans import opensans

from chain.fiat.quotes import TAO, format_money, format_price
from chain.units import format_bps, format_rao
from ledger.statements import Statement, UsdPrice
from ledger.templatetags.ledger import pool
from ledger.years import YearSummary
from partners.rates import Basis

TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8", "pdf": "application/pdf"}
# A longer table is for a spreadsheet; what is left out is said, and its sum is in the total.
ROWS_MAX = 2_000
MARGIN, LINE = 15, 5
GREY, BLACK = 110, 0


def file_of(found: Statement | YearSummary, form: str) -> bytes:
    """Write a statement or a summary in one of `TYPES`."""
    if form == "pdf":
        return statement_pdf(found) if isinstance(found, Statement) else year_pdf(found)
    return (found.to_json() if form == "json" else found.to_csv()).encode()


def statement_pdf(statement: Statement) -> bytes:
    """Draw a statement."""
    coin = statement.currency
    paper = _Paper(
        f"Statement of {statement.partner_name}, {statement.period}", statement.content_hash, statement.end_at
    )
    paper.head("Statement", statement.partner_name)
    facts = [
        ("Partner", statement.partner),
        ("Period", f"{statement.period} (UTC)"),
        ("Blocks", f"{statement.first_block:,} to {statement.last_block:,}"),
        ("Commission", f"{format_rao(statement.commission_rao)} {coin}"),
    ]
    if statement.usd:
        facts.append(("In dollars", _dollars(statement.usd, statement.commission_rao, coin)))
    paper.facts(facts)
    for first, last in statement.lost_blocks:
        paper.note(
            f"Blocks {first:,} to {last:,} could not be read from the chain. What was earned in them is not in this"
            " statement."
        )
    if statement.lines:
        paper.rows(
            [
                _Column("Pool", 32),
                _Column(
                    "Hotkey, and wallet where lines name them" if statement.has_wallets else "Hotkey", 72
                ),
                _Column(f"Base, {coin}", 28, is_number=True),
                _Column("Rate", 18, is_number=True),
                _Column(f"Commission, {coin}", 30, is_number=True),
            ],
            [
                (
                    (pool(line),),
                    (line.hotkey, line.wallet) if line.wallet else (line.hotkey,),
                    (format_rao(line.base_rao),),
                    (f"{format_bps(line.rate_bps)}{' of gross' if line.basis == Basis.GROSS else ''}",),
                    (format_rao(line.commission_rao),),
                )
                for line in statement.lines[:ROWS_MAX]
            ],
            left_out=len(statement.lines) - ROWS_MAX,
            total=("Total", "", "", "", format_rao(statement.commission_rao)),
        )
        if statement.has_sums:
            paper.note("Lines sum those of wallets, whose commission is rounded down one by one.")
        if statement.has_gross:
            paper.note(
                "A line of gross has the gross dividend as its base: the take and what the delegators got. It never pays"
                " more than the take."
            )
    else:
        paper.note("Nothing became due in this period.")
    if statement.pending_alpha:
        paper.heading("Earned, not yet converted")
        paper.facts(
            (f"Subnet {netuid}", f"{format_rao(amount)} alpha") for netuid, amount in statement.pending_alpha
        )
    paper.heading("How to check this")
    paper.facts([("Content hash", statement.content_hash), ("Manifest hash", statement.manifest_hash)])
    paper.note(
        "The content hash is the SHA-256 of this statement's content; the page, JSON and CSV of it have the same."
        + (" The price in dollars is no part of it." if statement.usd else "")
    )
    return paper.bytes()


def year_pdf(summary: YearSummary) -> bytes:
    """Draw what a partner earned in a year, month by month."""
    coin = summary.currency
    paper = _Paper(f"{summary.year} of {summary.partner_name}", summary.content_hash, summary.end_at)
    paper.head(f"Summary of {summary.year}", summary.partner_name)
    # Nobody quotes another chain's coin here.
    in_dollars = coin == TAO
    paper.facts(
        [
            ("Partner", summary.partner),
            ("Closed days", f"{len(summary.days):,}, {summary.span}"),
            ("Commission", f"{format_rao(summary.commission_rao)} {coin}"),
            *[("In dollars", summary.usd_shown)] * in_dollars,
        ]
    )
    if summary.unpriced and in_dollars:
        paper.note(summary.unpriced_said)
    paper.rows(
        [
            _Column("Month", 40),
            _Column("Closed days", 30, is_number=True),
            _Column(f"Commission, {coin}", 60, is_number=True),
            *[_Column("Dollars", 50, is_number=True)] * in_dollars,
        ],
        [
            (
                (month.name,),
                (f"{month.days:,}",),
                (format_rao(month.commission_rao),),
                *[(month.usd_shown,)] * in_dollars,
            )
            for month in summary.months
        ],
        total=("Total", "", format_rao(summary.commission_rao), *[summary.usd_shown] * in_dollars),
    )
    if in_dollars:
        paper.note(
            "Each day's commission is valued at the price at the end of that day (UTC), which its statement names; dollars"
            " are rounded only when they are written."
        )
    paper.note("Commission counts on the day it became due, not on the day it was paid.")
    paper.heading("How to check this")
    paper.facts([("Content hash", summary.content_hash)])
    paper.note("It is the SHA-256 of the amounts of every day; the page, JSON and CSV have the same.")
    return paper.bytes()


def _dollars(usd: UsdPrice, rao: int, coin: str) -> str:
    return (
        f"${format_money(usd.value(rao))} at ${format_price(usd.price)} for one {coin}"
        f" ({usd.source}, {usd.at:%Y-%m-%d %H:%M} UTC)"
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table: its title, its width in millimetres, and whether its numbers stand to the right."""

    title: str
    width: int
    is_number: bool = False


class _Paper(FPDF):
    """Pages of A4 with one look: a head, facts, notes, tables that go on over pages, a footer with the hash."""

    def __init__(self, title: str, content_hash: str, dated: datetime) -> None:
        super().__init__(format="A4")
        self._content_hash = content_hash
        self.set_margin(MARGIN)
        self.set_auto_page_break(True, MARGIN + LINE)
        self.set_title(title)
        self.set_lang("en")
        self.set_producer("Rakeback")
        self.set_creation_date(dated)
        self.add_font("Sans", "", opensans(400).path)
        self.add_font("Sans", "B", opensans(600).path)
        self.add_page()

    def footer(self) -> None:
        """Say on each page which it is, and of what."""
        self.set_y(-MARGIN)
        self._write(7, GREY)
        self.cell(0, LINE, f"Content hash {self._content_hash}")
        self.cell(0, LINE, f"{self.page_no()} of {{nb}}", align="R")

    def head(self, kind: str, whose: str) -> None:
        """Begin with what this is and whose."""
        self._write(10, GREY)
        self._line(kind)
        self._write(20, BLACK, "B")
        self.multi_cell(0, 10, whose, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.ln(4)
        self._write(11, BLACK, "B")
        self._line(text, 7)

    def note(self, text: str) -> None:
        """Write a paragraph in small letters."""
        self._write(8, GREY)
        self.multi_cell(0, LINE - 1, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(1)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Write names with what they are, one a line."""
        for name, value in facts:
            self._write(9, GREY)
            self.cell(32, LINE, name)
            self._write(9, BLACK)
            self.multi_cell(0, LINE, value, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)

    def rows(
        self,
        columns: Sequence[_Column],
        cells: Iterable[Sequence[Sequence[str]]],
        *,
        total: Sequence[str],
        left_out: int = 0,
    ) -> None:
        """Draw rows, each cell one or more lines of text; the head comes again on each page."""
        self._titles(columns)
        for row in cells:
            height = LINE * max(map(len, row)) + 1
            if self.will_page_break(height):
                self.add_page()
                self._titles(columns)
            self._row(columns, row, height)
        if left_out > 0:
            self.note(f"{left_out:,} more lines are in the CSV and the JSON; the total has all.")
        if self.will_page_break(LINE + 1):
            self.add_page()
        self._row(columns, [(text,) for text in total], LINE + 1, "B")
        self.ln(3)

    def bytes(self) -> bytes:
        """Give the finished file."""
        return bytes(self.output())

    def _titles(self, columns: Sequence[_Column]) -> None:
        self._write(8, GREY)
        for column in columns:
            self.cell(column.width, LINE + 1, column.title, border="B", align=_side(column))
        self.ln()

    def _row(
        self, columns: Sequence[_Column], row: Sequence[Sequence[str]], height: float, style: str = ""
    ) -> None:
        left, top = self.l_margin, self.get_y()
        self.set_draw_color(210)
        for column, lines in zip(columns, row, strict=True):
            for number, text in enumerate(lines):
                # An address is wider than its column in the size of amounts.
                self._write(7 if len(text) > 40 else 8, BLACK if number == 0 else GREY, style)
                self.set_xy(left, top + number * LINE)
                self.cell(column.width, LINE, text, align=_side(column))
            left += column.width
        self.line(self.l_margin, top + height, left, top + height)
        self.set_xy(self.l_margin, top + height)

    def _write(self, size: float, grey: int, style: str = "") -> None:
        self.set_font("Sans", style, size)
        self.set_text_color(grey)

    def _line(self, text: str, height: float = LINE) -> None:
        self.cell(0, height, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _side(column: _Column) -> str:
    return "R" if column.is_number else "L"
