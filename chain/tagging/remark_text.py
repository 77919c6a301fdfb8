"""Bytes that strangers wrote, made fit to be read by people: nothing hidden, reordered or run as HTML. Pure.

What is shown is never what is compared: matching works on the bytes themselves.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

# Characters that Unicode counts as letters or symbols although nothing is seen of them.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Me"})
# Enough for every writing system; more pile up over the neighbouring lines.
_MARKS_MAX = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: characters that can be seen, or the name of one that cannot."""

    text: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A text as it can be shown and copied.

    `is_text` is false where the bytes are no UTF-8 and are shown in hex. `exact` copies to the same bytes: the text, or
    the hex of its bytes where something in it cannot be seen.
    """

    pieces: tuple[Piece, ...]
    exact: str
    is_text: bool
    is_ascii: bool

    @property
    def plain(self) -> str:
        """The pieces as one line, for titles."""
        return "".join(piece.text for piece in self.pieces)

    def cut(self, count: int) -> tuple[Piece, ...]:
        """The pieces up to `count` characters, a hidden one counting as one."""
        kept: list[Piece] = []
        for piece in self.pieces:
            if count <= 0:
                break
            kept.append(piece if piece.hidden else Piece(piece.text[:count]))
            count -= 1 if piece.hidden else len(piece.text)
        return tuple(kept)


def shown(data: bytes) -> Shown:
    """Make bytes readable: UTF-8 with every character that cannot be seen named by its number, or hex."""
    as_hex = "0x" + data.hex()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Shown((Piece(as_hex),), as_hex, is_text=False, is_ascii=False)
    pieces: list[Piece] = []
    marks = 0
    for position, character in enumerate(text):
        marks = marks + 1 if unicodedata.category(character) == "Mn" else 0
        hidden = _is_hidden(character) or marks > _MARKS_MAX or _is_lost_space(text, position)
        if hidden:
            pieces.append(Piece(f"U+{ord(character):04X}", hidden=True))
        elif pieces and not pieces[-1].hidden:
            pieces[-1] = Piece(pieces[-1].text + character)
        else:
            pieces.append(Piece(character))
    exact = as_hex if any(piece.hidden for piece in pieces) else text
    return Shown(tuple(pieces), exact, is_text=True, is_ascii=text.isascii())


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    # Variation selectors and the like are marks of which nothing is seen.
    return (
        category in _HIDDEN_CATEGORIES
        or character in _BLANK
        or (category == "Zs" and character != " ")
        or 0xFE00 <= ord(character) <= 0xFE0F
        or 0xE0100 <= ord(character) <= 0xE01EF
        or character in "\u034f\u17b4\u17b5"
    )


def _is_lost_space(text: str, position: int) -> bool:
    """A page shows no space at either end, and one for several."""
    return text[position] == " " and (position in (0, len(text) - 1) or text[position - 1] == " ")
