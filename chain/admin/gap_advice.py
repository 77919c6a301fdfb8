"""What a person should do about a gap, by what caused it."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from chain.models import Gap

_ADVICE = {
    Gap.Kind.READ_MISSING: (
        "The node did not give everything. Read the blocks again, from an archive node if this one has "
        "pruned them:"
    ),
    Gap.Kind.METHODS_DISAGREE: (
        "Nothing was stored, because the two ways to compute the take differ. Read again from another node; "
        "if it stays, the runtime computes takes differently and the reader needs a look:"
    ),
    Gap.Kind.POSITIONS_DISAGREE: (
        "The shares read from events are not those the chain has. Read again from another node; if it stays, "
        "report the block with the reason above:"
    ),
    Gap.Kind.UNKNOWN_RUNTIME: (
        "The chain upgraded to a runtime this version does not know. Update Rakeback, then:"
    ),
    Gap.Kind.UNSUPPORTED: (
        "The block holds something this version cannot account for. Update Rakeback, then:"
    ),
}


def next_step(gap: Gap) -> SafeString | str:
    """Advice and the command to run; for a resolved gap, that nothing is left to do."""
    if gap.resolved_at:
        return "Nothing: the blocks are stored."
    return format_html(
        '<div class="rb-words">{} <code class="rb-command">manage.py ingest --url wss://… --from {} --to {}</code></div>',
        _ADVICE[Gap.Kind(gap.kind)],
        gap.blocks.lower,
        gap.blocks.upper - 1,
    )
