"""Addresses in the templates of partners, to be compared by eye before money moves."""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()
GROUP_LENGTH = 4


@register.filter
def grouped(address: str) -> SafeString:
    """Show a whole address in groups of four signs, which are read aloud and compared more easily, with a copy button.

    The gaps are space around the groups, not in the text: what is selected and copied is the address.
    """
    groups = [address[start : start + GROUP_LENGTH] for start in range(0, len(address), GROUP_LENGTH)]
    return format_html(
        '<span class="pa-address"><code>{}</code>'
        '<button type="button" class="rb-copy" data-copy="{}" aria-label="Copy address {}">'
        '<span class="material-symbols-outlined" aria-hidden="true">content_copy</span></button></span>',
        format_html_join("", "<span>{}</span>", ((group,) for group in groups)),
        address,
        address,
    )
