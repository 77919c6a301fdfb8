"""How amounts, addresses and strangers' texts look in the admin, everywhere the same.

Amounts have nine decimals and rao on hover, what is compared or copied has a copy button, and a text shows what it hides.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from chain.families import SMALLEST
from chain.network import coin
from chain.tagging.remark_text import Piece, shown
from chain.units import format_rao

# Characters of a text in a list; its own page shows all.
TEXT_CHARACTERS = 60


def amount_html(rao: int | None, unit: str = "") -> SafeString | str:
    """Show rao as TAO (or alpha) with nine decimals, the exact rao on hover; unknown is a dash, never zero.

    :param unit: what the amount is in; left out, the coin of the chain held here.
    """
    if rao is None:
        return "–"
    unit = unit or coin().unit
    return format_html(
        '<span class="rb-amount" title="{} {}">{}<span class="rb-unit"> {}</span></span>',
        f"{rao:,}",
        SMALLEST.get(unit, "rao"),
        format_rao(rao),
        unit,
    )


def alpha_unit(netuid: int) -> str:
    """Name the token of a subnet: ``alpha 2``; without a subnet, the coin of the chain held here."""
    return f"α{netuid}" if netuid else coin().unit


def address_html(address: str, label: str = "") -> SafeString | str:
    """Show a whole address (never shortened: it is compared by eye before money moves) with a copy button."""
    if not address:
        return "–"
    return format_html(
        '<span class="rb-address">{}<code>{}</code>'
        '<button type="button" class="rb-copy" data-copy="{}" aria-label="Copy address {}">'
        '<span class="material-symbols-outlined" aria-hidden="true">content_copy</span></button></span>',
        format_html("<b>{}</b> ", label) if label else "",
        address,
        address,
        address,
    )


def text_html(data: bytes, *, characters: int | None = TEXT_CHARACTERS) -> SafeString:
    """Show bytes that a stranger wrote: nothing hidden, reordered or run, long ones cut, the exact value to copy.

    :param characters: how many to show; None shows all.
    """
    text = shown(data)
    pieces = text.pieces if characters is None else text.cut(characters)
    cut = pieces != text.pieces
    return format_html(
        '<span class="rb-text"><bdi>{}</bdi>{}{}'
        '<button type="button" class="rb-copy" data-copy="{}" aria-label="Copy the whole text">'
        '<span class="material-symbols-outlined" aria-hidden="true">content_copy</span></button></span>',
        _pieces_html(pieces),
        "…" if cut else "",
        "" if text.is_text else format_html(' <i class="rb-unit">{}</i>', "bytes, not text"),
        text.exact,
    )


def _pieces_html(pieces: Iterable[Piece]) -> SafeString:
    return format_html_join(
        "",
        "{}",
        (
            (
                format_html(
                    '<code class="rb-hidden" title="A character that cannot be seen">{}</code>', piece.text
                )
                if piece.hidden
                else piece.text,
            )
            for piece in pieces
        ),
    )
