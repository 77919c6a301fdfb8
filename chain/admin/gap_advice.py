"""What a person should do about a gap, by what caused it."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from chain.models import Gap

_READ = "manage.py backfill --gaps --local 2"
_OVER_WORKERS = "manage.py backfill --gaps"
_COMMANDS = {
    Gap.Kind.UNKNOWN_RUNTIME: "manage.py check_runtime --url wss://…",
    Gap.Kind.UNACCOUNTED: "",
    Gap.Kind.MISSING_BLOCKS: "",
}
_ADVICE = {
    Gap.Kind.READ_MISSING: (
        "The node did not give everything, or what it said contradicts itself. Read the blocks again, from an archive "
        "node if this one has pruned them, from another one if it is doubted:"
    ),
    Gap.Kind.METHODS_DISAGREE: (
        "Nothing was stored, because the methods that compute the take do not agree. Read again from another node; if it "
        "stays, the runtime computes takes differently and the reader needs a look:"
    ),
    Gap.Kind.POSITIONS_DISAGREE: (
        "The shares read from events are not those the chain has. Read again from another node; if it stays, report the "
        "block with the reason above:"
    ),
    Gap.Kind.UNKNOWN_RUNTIME: (
        "The chain upgraded to a runtime whose rules were not proved. Update Rakeback, or have the self-test admit it; "
        "then read on. The test:"
    ),
    Gap.Kind.UNSUPPORTED: (
        "The block holds something this version cannot account for. Update Rakeback, then read on; if the newest version "
        "cannot either, accept the block as lost:"
    ),
    Gap.Kind.UNACCOUNTED: (
        "The blocks are stored; reading them again changes nothing. The chain does not tell to the last rao what the "
        "reason names. See whether the owner's wallet or an explorer tells it, weigh it, then accept it as it is, by name. "
        "Until then the day cannot close."
    ),
    Gap.Kind.MISSING_BLOCKS: (
        "These blocks were stored once, or somebody changed the database: what comes after rests on them, so they cannot "
        "be read in between. Restore them from a backup, then let the check for gaps look again."
    ),
    Gap.Kind.RUN_ENDED: (
        "The run ended before all it was asked for was read, not because of a block. See its error, then read on:"
    ),
    Gap.Kind.BEHIND: (
        "Nothing reads new blocks. Look whether the scheduler, a worker and the node are up, or read on by hand:"
    ),
}


def is_amount(gap: Gap) -> bool:
    """Tell whether the blocks are stored and only an amount in them is open."""
    return gap.kind == Gap.Kind.UNACCOUNTED


def can_be_read(gap: Gap) -> bool:
    """Tell whether reading the blocks again may close the gap."""
    return gap.kind not in (Gap.Kind.UNACCOUNTED, Gap.Kind.MISSING_BLOCKS)


def next_step(gap: Gap) -> SafeString | str:
    """Advice and the command to run; for a gap that ended, that nothing is left to do."""
    if gap.state == Gap.State.RESOLVED:
        return "Nothing: the blocks are stored."
    if gap.state == Gap.State.UNRECOVERABLE:
        what = "the amounts as they are" if is_amount(gap) else "that these blocks are lost"
        return f"Nothing: a person accepted {what}."
    kind = Gap.Kind(gap.kind)
    command = _COMMANDS.get(kind, _READ)
    shown = format_html(' <code class="rb-command">{}</code>', command) if command else ""
    if kind not in _COMMANDS:
        shown = format_html(
            '{}, or over the workers <code class="rb-command">{}</code>', shown, _OVER_WORKERS
        )
    return format_html('<div class="rb-words">{}{}</div>', _ADVICE[kind], shown)
