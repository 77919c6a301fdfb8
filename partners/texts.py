"""Texts that people write, like names and notes: what they may hold, and how a spreadsheet gets them. Pure.

One rule for forms, lists and services, so that every text that is stored can leave in a file and come back as it was.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from chain.texts import check_text
from partners.sheets import CELL_BYTES_MAX

NOTES_LENGTH_MAX = 2_000
# What a spreadsheet takes for a formula, in full width too.
FORMULA_SIGNS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
# Before these a ' is put, also where there are some already: only so it is known which to take off again.
_HARMFUL = re.compile(
    rf"[' ]*(?:[{re.escape(''.join(FORMULA_SIGNS))}]|#(?:NULL!|DIV/0!|VALUE!|REF!|NAME\?|NUM!|N/A)\Z)"
)
# Written as Latin letters are, but small and raised.
_RAISED = ("<super>", "<sub>")
# Letters of phonetic writing, among which there is a second one for many a Latin letter.
_PHONETIC = re.compile("[\u0250-\u02af\u1d00-\u1dbf\u2c60-\u2c7f\ua720-\ua7ff\uab30-\uab6f]")
_OTHER_SPACE = re.compile("[^\\S ]|  ")
# Scripts that are written in one word, and whose letters do not look alike.
_TOGETHER = {"LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}


def check_name(text: str) -> None:
    """Refuse a name that could pass for another: invisible characters, line breaks, and letters of two scripts in one word.

    Of which script a letter is, its name in Unicode says. This is the restriction that UTS 39 calls high, word by word.

    :raises ValueError: naming the character.
    """
    check_text(text, "name", breaks="")
    if space := _OTHER_SPACE.search(text):
        raise ValueError(
            f"At position {space.start() + 1} of the name are two spaces, or one of another kind. Type one plain space."
        )
    for letter in text:
        _check_style(letter)
    for word in text.split():
        scripts = {letter: script for letter in word if (script := _script(letter))}
        counts = Counter(scripts[letter] for letter in word if letter in scripts)
        if counts.keys() <= _TOGETHER or len(counts) == 1:
            continue
        usual = counts.most_common(1)[0][0]
        odd = next(letter for letter, script in scripts.items() if script != usual)
        beside = next(letter for letter, script in scripts.items() if script == usual)
        raise ValueError(
            f"“{odd}” (U+{ord(odd):04X}) is {scripts[odd].title()} in “{word}”, beside {usual.title()} “{beside}”."
            " Letters of two scripts can look alike: write each word in one."
        )


def _check_style(letter: str) -> None:
    """Refuse a letter that is drawn as a Latin one is; not signs such as ™, whose letters are raised."""
    how, plain = unicodedata.decomposition(letter), unicodedata.normalize("NFKC", letter)
    if how.startswith("<") and not how.startswith(_RAISED) and plain.isascii():
        raise ValueError(
            f"“{letter}” (U+{ord(letter):04X}) is {plain} in another style. Type a plain {plain}."
        )
    if _PHONETIC.match(letter):
        raise ValueError(
            f"“{letter}” (U+{ord(letter):04X}) is a letter of phonetic writing. Type a plain letter."
        )


def _script(letter: str) -> str:
    """Name the script of a letter; empty for what stands beside letters of any."""
    if unicodedata.category(letter) == "Lm" or not letter.isalpha():
        return ""
    return unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "").partition(" ")[0]


def check_reason(text: str) -> None:
    """Refuse a reason that hides what it says: it stays in the history. See :func:`check_text`.

    :raises ValueError: naming the character.
    """
    check_text(text, "reason")


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


def quote(text: str) -> str:
    """Put ' before a text that a spreadsheet would run or read as an error (LE9)."""
    return f"'{text}" if _HARMFUL.match(text) else text


def unquote(text: str) -> str:
    """Take off what :func:`quote` put there, and nothing else."""
    return text[1:] if text.startswith("'") and _HARMFUL.match(text) else text
