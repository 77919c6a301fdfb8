"""Amounts and addresses in the templates of payments, shown as everywhere in the admin."""

from __future__ import annotations

from django import template

from chain.display import address_html, amount_html
from payments.planning import Reason

register = template.Library()


@register.filter
def amount(rao: int | None) -> str:
    """Show rao in the coin of the chain held here."""
    return amount_html(rao)


@register.filter
def address(text: str) -> str:
    """Show a whole address with its copy button."""
    return address_html(text)


@register.filter
def reason_colour(reason: Reason) -> str:
    """Name the label colour of a reason: what somebody should look into stands out."""
    look = {Reason.NO_ADDRESS, Reason.BAD_ADDRESS, Reason.OPEN_PAYOUT, Reason.ADDRESS_CHANGING}
    return "warning" if reason in look else "default"
