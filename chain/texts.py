"""Texts that people write and others read: what may not hide in them. Pure."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Marks and letters that show nothing, beside all that Unicode itself calls a format or a separator of lines.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# How a sign before it is drawn: plain or in colours.
_AS_SIGN = "\ufe0e\ufe0f"
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def check_text(text: str, what: str, *, breaks: str = "\n\t") -> None:
    """Refuse characters that hide what a text is, or that a workbook or the database cannot hold.

    :param what: names the text in the message.
    :param breaks: the control characters that may be in it.
    :raises ValueError: naming the first such character and its position.
    """
    if text.isprintable() and not _BLANK.search(text):
        return
    before = ""
    for position, letter in enumerate(text.replace("\r\n", "\n"), 1):
        if letter not in breaks and _is_hidden(letter, before):
            raise ValueError(
                f"There is an invisible character (U+{ord(letter):04X}) in the {what}, at position {position}."
                " Type the text anew."
            )
        before = letter


def without_hidden(text: str) -> str:
    """Leave out of a text that was stored before it was checked what it may not hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(
        letter
        for before, letter in pairwise(f" {text}")
        if letter in "\n\t" or not _is_hidden(letter, before)
    )


def _is_hidden(letter: str, before: str) -> bool:
    if letter in _AS_SIGN and before and unicodedata.category(before) == "So":
        return False
    # The last two of each plane are no characters: XML cannot hold them.
    return (
        _BLANK.match(letter) is not None
        or unicodedata.category(letter) in _HIDDEN_CATEGORIES
        or ord(letter) & 0xFFFE == 0xFFFE
    )
