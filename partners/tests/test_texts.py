"""Texts that people write: one rule wherever they come from, and out to a spreadsheet and back as they were."""

# ruff: noqa: RUF001 (letters that look alike are what names are tried with)

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
import tablib
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from chain.texts import check_text, without_hidden
from partners.sheets import CELL_BYTES_MAX, Formula, read_sheet
from partners.texts import (
    FORMULA_SIGNS,
    NOTES_LENGTH_MAX,
    check_name,
    check_notes,
    quote,
    tidy,
    unquote,
)

ODD = [*"'=+-@#\t\n \"\\,;_x0D\u200d\u202e\uff1d\ufffe\x85\r\xa0\u2028é🙂", "#N/A", "_x0041_", "''", "\r\n"]
texts = st.lists(st.sampled_from(ODD) | st.characters(), max_size=30).map("".join)


def is_allowed(text: str) -> bool:
    try:
        check_notes(text)
    except ValueError:
        return False
    return True


# As it is compared: a browser writes other line breaks.
allowed = texts.filter(is_allowed).map(tidy)


def through(form: str, text: str) -> Any:
    """The cell that a file of this form holds for a text, as the import reads the file."""
    written = tablib.Dataset([quote(text), "x"], headers=["notes", "address"]).export(form)
    content = written if isinstance(written, bytes) else written.encode()
    [record] = read_sheet(content, known=["notes", "address"])
    return record.cells[0] or ""


# Opening the first workbook takes long.
@settings(deadline=None)
@given(allowed)
@example("'=1+1")
@example("''")
@example("#N/A")
@example("'#N/A")
@example("_x0041_")
@example("a\u2028b\n=1")
def test_le9_every_text_that_is_allowed_leaves_and_comes_back_as_it_was(text: str) -> None:
    assert unquote(quote(text)) == text
    for form in ("csv", "xlsx"):
        assert unquote(through(form, text)) == text


@settings(deadline=None)
@given(texts)
def test_le9_no_text_whatever_was_stored_makes_a_file_fail_or_a_spreadsheet_run_it(text: str) -> None:
    assume(not any(0xD800 <= ord(letter) < 0xE000 for letter in text))
    plain = without_hidden(text)
    for form in ("csv", "xlsx"):
        cell = through(form, plain)
        assert not isinstance(cell, Formula)
        assert not cell.lstrip(" ").startswith(FORMULA_SIGNS)
        assert tidy(unquote(cell)) == tidy(plain)
    if len(plain) <= 100:
        assert is_allowed(plain)


@given(allowed)
def test_a_text_that_is_allowed_loses_nothing_when_it_leaves(text: str) -> None:
    assert without_hidden(text) == text


@pytest.mark.parametrize("text", ["'quoted'", "'tis", "'", "a=1", "#1 of many", "it's"])
def test_a_text_that_no_spreadsheet_minds_is_left_alone(text: str) -> None:
    assert quote(text) == text == unquote(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\u202eb", r"an invisible character \(U\+202E\) in the notes, at position 2"),
        ("\r\n\x07", r"U\+0007\) in the notes, at position 2"),
        ("a\rb", r"U\+000D"),
        ("a\ufffe", r"U\+FFFE"),
        ("\ud800", r"U\+D800"),
        ("n" * (NOTES_LENGTH_MAX + 1), "2,001 characters; 2,000 is the most"),
        ("\u4e16" * 1_500, f"4,500 bytes; a cell has at most {CELL_BYTES_MAX:,}"),
    ],
)
def test_notes_that_no_list_could_bring_are_refused_by_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_notes(text)


def test_notes_may_be_as_long_as_is_said_with_lines_and_letters_of_any_script() -> None:
    check_notes("n" * NOTES_LENGTH_MAX)
    check_notes("Zoë\r\n\tα 日本 🙂")


def test_a_text_of_one_line_has_no_other() -> None:
    with pytest.raises(ValueError, match=r"U\+000A\) in the name"):
        check_text("a\nb", "name", breaks="")


def test_a_quoted_cell_is_one_that_a_csv_reader_gets_with_its_quote() -> None:
    written = tablib.Dataset([quote("=1+1")], headers=["notes"]).export("csv")
    assert next(csv.DictReader(io.StringIO(written, newline="")))["notes"] == "'=1+1"


@pytest.mark.parametrize(
    "name",
    [
        "Creative\u00adBuilds",
        "Talisman\u3164",
        "Tal\u034fisman",
        "Talisman \u115f",
        "a\u2028b",
        "a\u2800b",
        "a\U000e0041",
    ],
)
def test_pa5_what_shows_nothing_is_invisible(name: str) -> None:
    with pytest.raises(ValueError, match="invisible character"):
        check_text(name, "name")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Тalisman", r"“Т” \(U\+0422\) is Cyrillic in “Тalisman”, beside Latin “a”"),
        ("Creative Вuilds", r"“В” \(U\+0412\) is Cyrillic in “Вuilds”"),
        ("Talismаn", r"“а” \(U\+0430\) is Cyrillic in “Talismаn”"),
        ("Ταlisman", r"“Τ” \(U\+03A4\) is Greek"),
        ("Тао.com", "Cyrillic"),
        ("А-Team", "Cyrillic"),
        ("Таlіѕmаn", "Cyrillic"),
        ("Taliѕman\u0301", "Cyrillic"),
        ("Tal\u0456sman", "Cyrillic"),
        ("Taᴏ", "phonetic"),
        ("Tao ꓔalisman", "Lisu"),
        ("Ꭲalisman", "Cherokee"),
        ("Talisman\ufe0f", r"invisible character \(U\+FE0F\) in the name, at position 9"),
        ("Talisman\U000e0150", r"invisible character \(U\+E0150\)"),
        ("\u216dreative Builds", r"“Ⅽ” \(U\+216D\) is C in another style. Type a plain C"),
        ("T\u0251lisman", r"is a letter of phonetic writing"),
        ("Creative\u00a0Builds", r"At position 9 of the name are two spaces, or one of another kind"),
        ("Creative  Builds", r"Type one plain space"),
        ("\uff34alisman", r"“Ｔ” \(U\+FF34\) is T in another style"),
        ("\U0001d413\U0001d41a\U0001d428", r"“𝐓” \(U\+1D413\) is T in another style"),
        ("a\u202eb", r"U\+202E\) in the name"),
        ("a\nb", r"U\+000A\) in the name"),
    ],
)
def test_pa5_a_name_that_looks_like_another_is_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "Talisman",
        "Талисман",
        "Талисман Wallet",
        "Zoë & Søn, Ltd.",
        "Zoe\u0308",
        "Τάλισμαν 2",
        "Creative τ",
        "Oʼahu Nº 1™ 🙂",
        "東京タワーの会",
        "TAO財団",
        "Nova한국",
        "ทำ",
        "٣ شركة",
        "1-2_3",
    ],
)
def test_pa5_a_name_in_one_script_a_word_is_fine(name: str) -> None:
    check_name(name)
