"""Texts that people write, like names and notes: what they may hold, and how a spreadsheet gets them. Pure.

One rule for forms, lists and services, so that every text that is stored can leave in a file and come back as it was.
"""

from __future__ import annotations

import re
import unicodedata

from partners.sheets import CELL_BYTES_MAX

NOTES_LENGTH_MAX = 2_000
# What a spreadsheet takes for a formula, in full width too.
FORMULA_SIGNS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
# Before these a ' is put, also where there are some already: only so it is known which to take off again.
_HARMFUL = re.compile(
    rf"[' ]*(?:[{re.escape(''.join(FORMULA_SIGNS))}]|#(?:NULL!|DIV/0!|VALUE!|REF!|NAME\?|NUM!|N/A)\Z)"
)
# Marks and letters that show nothing, beside all that Unicode itself calls a format or a separator of lines.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_HAS_BLANK = re.compile(f"[{_BLANK}]")
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def check_text(text: str, what: str, *, breaks: str = "\n\t") -> None:
    """Refuse characters that hide what a text is, or that a workbook or the database cannot hold.

    :param what: names the text in the message.
    :param breaks: the control characters that may be in it.
    :raises ValueError: naming the first such character and its position.
    """
    if text.isprintable() and not _HAS_BLANK.search(text):
        return
    for position, letter in enumerate(text.replace("\r\n", "\n"), 1):
        if letter not in breaks and _is_hidden(letter):
            raise ValueError(
                f"There is an invisible character (U+{ord(letter):04X}) in the {what}, at position {position}."
                " Type the text anew."
            )


def check_notes(text: str) -> None:
    """Refuse notes that no list could bring: see :func:`check_text`, and too long ones.

    :raises ValueError: saying what is wrong with them.
    """
    check_text(text, "notes")
    text = tidy(text)
    if len(text) > NOTES_LENGTH_MAX:
        raise ValueError(f"The notes have {len(text):,} characters; {NOTES_LENGTH_MAX:,} is the most.")
    check_size(text, "notes")


def check_size(text: str, what: str) -> None:
    """Refuse what a cell of a list cannot hold.

    :raises ValueError: with the size and the most that it may be.
    """
    if len(text) * 4 > CELL_BYTES_MAX and (size := len(text.encode("utf-8", "replace"))) > CELL_BYTES_MAX:
        raise ValueError(f"The {what} has {size:,} bytes; a cell has at most {CELL_BYTES_MAX:,}.")


def tidy(text: str) -> str:
    """Give a text as it is compared: line breaks of one kind, nothing blank around it."""
    return text.replace("\r\n", "\n").strip()


def without_hidden(text: str) -> str:
    """Leave out of a text that was stored before it was checked what it may not hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isprintable() and not _HAS_BLANK.search(text):
        return text
    return "".join(letter for letter in text if letter in "\n\t" or not _is_hidden(letter))


def quote(text: str) -> str:
    """Put ' before a text that a spreadsheet would run or read as an error (LE9)."""
    return f"'{text}" if _HARMFUL.match(text) else text


def unquote(text: str) -> str:
    """Take off what :func:`quote` put there, and nothing else."""
    return text[1:] if text.startswith("'") and _HARMFUL.match(text) else text


def _is_hidden(letter: str) -> bool:
    # The last two of each plane are no characters: XML cannot hold them.
    return (
        letter in _BLANK
        or unicodedata.category(letter) in _HIDDEN_CATEGORIES
        or ord(letter) & 0xFFFE == 0xFFFE
    )
