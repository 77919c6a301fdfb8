"""Amounts, rates and addresses in the templates of the ledger, shown as everywhere in the admin."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from django import template

from chain.display import address_html, alpha_unit, amount_html, text_html
from chain.fiat.quotes import format_money, format_price
from chain.models import COMPONENTS, Hotkey, Side
from chain.network import coin
from ledger.display import rate_html, take_html
from ledger.statements import UsdPrice
from partners.matching import Reason, Verdict, Why

register = template.Library()


@register.filter
def amount(rao: int | None) -> Any:
    """Show rao in the coin of the chain held here."""
    return amount_html(rao)


@register.simple_tag
def unit() -> str:
    """Name the coin of the chain held here."""
    return coin().unit


@register.filter
def dollars(usd: UsdPrice | None, rao: int | None = None) -> str:
    """Show an amount of the coin in dollars, or the price itself; what is not known is no number."""
    if usd is None:
        return "no price yet"
    return f"${format_price(usd.price) if rao is None else format_money(usd.value(rao))}"


@register.filter
def pool(row: Any) -> str:
    """Name what a line or pool row is of: subnet and side, or the component."""
    if row.side in COMPONENTS:
        return Side(row.side).label
    return f"Subnet {row.netuid}, {row.side.lower()}"


@register.filter
def alpha(rao: int | None, netuid: int) -> Any:
    """Show rao of a subnet's alpha; on root it is TAO."""
    return amount_html(rao, alpha_unit(netuid))


@register.filter
def take(row: Any, rao: int | None = None) -> Any:
    """Show the take of a yield or pool row, or another amount of it, in what it was earned in."""
    return take_html(row.take_rao if rao is None else rao, row.asset, row.netuid)


@register.filter
def address(text: str) -> Any:
    """Show a whole address with its copy button."""
    return address_html(text)


@register.simple_tag
def hotkey_labels() -> dict[str, str]:
    """Give the validator's own names for its hotkeys."""
    return dict(Hotkey.objects.exclude(label="").values_list("address", "label"))


@register.simple_tag
def labelled(address_text: str, labels: dict[str, str]) -> Any:
    """Show a hotkey with its own name when it has one."""
    return address_html(address_text, labels.get(address_text, ""))


@register.filter
def rate(bps: int) -> Any:
    """Show basis points in percent."""
    return rate_html(bps)


@register.filter
def part_of(part: int, whole: int) -> str:
    """Show a part in percent with four decimals, rounded down; for reading, never for computing."""
    if not whole:
        return "-"
    units = int(Fraction(part, whole) * 1_000_000)
    return f"{units // 10_000}.{units % 10_000:04d} %"


@register.filter
def u16_percent(take_u16: int) -> str:
    """Show the chain's delegate take, parts of 65,535, in percent."""
    return part_of(take_u16, 65_535)


# Such a rule is about somebody else: what it says is no answer to why this one is nobody's.
_TOLD_MAX = 20
_FAR = frozenset({Reason.ADDRESS_NOT_LISTED, Reason.OTHER_MEMO, Reason.OTHER_SUBNET, Reason.OTHER_SIDE})


@register.filter
def remark(text: bytes) -> Any:
    """Show the text of a remark, written by a stranger."""
    return text_html(text)


@register.filter
def told(why: Why) -> tuple[list[Verdict], int]:
    """Give the verdicts that say most, the winner's first, and how many more there are."""
    near_first = sorted(why.verdicts, key=lambda verdict: verdict.reason in _FAR)
    return near_first[:_TOLD_MAX], max(0, len(near_first) - _TOLD_MAX)


@register.filter
def why_text(why: Why) -> str:
    """Say in one sentence why the delegation is whose it is."""
    won = [verdict.text for verdict in why.verdicts if verdict.reason is Reason.WON]
    if won:
        return won[0]
    near = [verdict.text for verdict in why.verdicts if verdict.reason not in _FAR]
    if near:
        return near[0]
    looked_at = {verdict.reason for verdict in why.verdicts}
    return (
        "No partner's rule finds this stake."
        if looked_at - {Reason.ADDRESS_NOT_LISTED}
        else ("No partner lists this address.")
    )
