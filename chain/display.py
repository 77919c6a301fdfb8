"""How amounts and addresses look in the admin, everywhere the same: nine decimals, rao on hover, copy button."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from chain.units import format_rao


def amount_html(rao: int | None, unit: str = "TAO") -> SafeString | str:
    """Show rao as TAO (or alpha) with nine decimals, the exact rao on hover; unknown is a dash, never zero."""
    if rao is None:
        return "–"
    return format_html(
        '<span class="rb-amount" title="{} rao">{}<span class="rb-unit"> {}</span></span>',
        f"{rao:,}",
        format_rao(rao),
        unit,
    )


def alpha_unit(netuid: int) -> str:
    """Name the token of a subnet: ``alpha 2``; on root it is TAO."""
    return f"α{netuid}" if netuid else "TAO"


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
