"""How single facts look in the chain's lists and pages: numbers, takes, ranges, rates, kinds, durations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from chain.display import alpha_unit, amount_html
from chain.models import Asset, Conversion, Proof, StakeEvent, StakeKind, Yield
from chain.units import RAO_PER_TAO, format_bps, format_rao

# Never zero: what is not known is not nothing.
UNKNOWN = "\N{EN DASH}"


def mono(text: str) -> SafeString | str:
    """Show a hash or raw number in full."""
    return format_html('<span class="rb-mono">{}</span>', text) if text else UNKNOWN


def take_text(take_u16: int | None) -> SafeString | str:
    """Show a delegate take: per cent to two decimals, the chain's own number on hover."""
    if take_u16 is None:
        return UNKNOWN
    bps = (take_u16 * 20_000 + 65_535) // (2 * 65_535)
    return format_html(
        '<span class="rb-number" title="{} of 65,535">{}</span>', f"{take_u16:,}", format_bps(bps)
    )


def number(value: int | None) -> SafeString | str:
    """Show a count; unknown is a dash."""
    return UNKNOWN if value is None else format_html('<span class="rb-number">{}</span>', f"{value:,}")


def yield_unit(row: Yield) -> str:
    """Name what a yield is counted in."""
    return alpha_unit(row.netuid) if row.asset == Asset.ALPHA else row.asset


PROOFS = {
    Proof.POOL: "The whole pool was replayed: its value and all its shares after the block come out to the last bit",
    Proof.SHARES: "The owner's share was replayed: it comes out to the last bit. Others moved stake later in the block",
    Proof.VALUE: "The growth of the pool alone: the owner moved stake in this block, so no share can be replayed",
    Proof.DOUBT: (
        "Open by a rao: what the owner did in the same block hides which of two takes it was. The smaller one is "
        "stored, and a gap names the block"
    ),
}


def agreement_html(row: Yield) -> SafeString:
    """Say whether all methods give the same take; what a file gives has one."""
    if row.take_low_rao is None or row.take_high_rao is None:
        return mark_safe('<span class="rb-muted">given by a file</span>')
    if row.proof == Proof.DOUBT and row.take_low_rao != row.take_high_rao:
        return mark_safe('<span class="rb-warn">open by a rao</span>')
    if row.take_low_rao <= row.take_rao <= row.take_high_rao:
        return mark_safe('<span class="rb-good">✓ agree</span>')
    return mark_safe('<span class="rb-bad">✗ differ</span>')


def proof_html(row: Yield) -> SafeString | str:
    """Say in a sentence how the take was confirmed."""
    if not row.proof:
        return UNKNOWN
    return format_html('<div class="rb-words">{}.</div>', PROOFS[Proof(row.proof)])


def take_range_html(row: Yield) -> SafeString | str:
    """Show what inversion allows: one value, or two adjacent ones."""
    low, high = (
        amount_html(row.take_low_rao, yield_unit(row)),
        amount_html(row.take_high_rao, yield_unit(row)),
    )
    return low if row.take_low_rao == row.take_high_rao else format_html("{}<br>to {}", low, high)


def rate_html(row: Conversion) -> SafeString:
    """Show TAO per alpha cut after nine decimals; the exact ratio on hover."""
    return format_html(
        '<span class="rb-amount" title="exactly {} / {}">{}<span class="rb-unit"> TAO/{}</span></span>',
        f"{row.tao_rao:,}",
        f"{row.alpha_rao:,}",
        format_rao(row.tao_rao * RAO_PER_TAO // row.alpha_rao),
        alpha_unit(row.netuid),
    )


def destination(row: Conversion) -> str:
    """Say where the TAO of a conversion went."""
    return "Root stake" if row.into_root else "Free balance"


def kind_text(row: StakeEvent) -> str:
    """Kind and direction of a stake event."""
    if row.kind in {StakeKind.STAKE, StakeKind.UNSTAKE}:
        return row.get_kind_display()
    return f"{row.get_kind_display()}, {'in' if row.added else 'out'}"


def cause_text(row: StakeEvent) -> str:
    """Say what moved the stake."""
    return row.get_cause_display() or "A stake call"


def duration_text(span: timedelta) -> str:
    """Write a duration with its two largest units."""
    seconds = max(0, int(span.total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def time_html(at: datetime | None) -> SafeString | str:
    """Show a time to the second, in UTC as everywhere."""
    if at is None:
        return UNKNOWN
    return format_html(
        '<time class="rb-time" datetime="{}">{}</time>',
        at.isoformat(),
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
    )
