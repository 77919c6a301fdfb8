"""What must be true before a day closes, as a list that both the service and a person read (LE6).

A period is final, so everything that could still change its facts is asked here: blocks, gaps, attributions,
the period before it, and the ledger's own sums.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q

from chain.families import Family
from chain.gaps.queries import accepted_doubts, lost_beside, lost_count, next_readable
from chain.models import Block, Gap, Yield
from chain.network import family
from chain.queries import open_gaps
from ledger.manifest import day_key
from ledger.models import CheckRun, Entry, Period


@dataclass(frozen=True, slots=True)
class Check:
    """One condition: what it asks, whether it holds, and what was found or what to do next."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """All conditions of one day, and its first and last block when it has any."""

    day: date
    checks: tuple[Check, ...]
    first: Block | None = None
    last: Block | None = None

    @property
    def ok(self) -> bool:
        """Tell whether the day can close now."""
        return all(check.ok for check in self.checks)

    @property
    def is_due(self) -> bool:
        """Tell whether the day is over, so that whatever else keeps it open needs attention."""
        return self.checks[0].ok


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Give the half-open span of a UTC day."""
    start = datetime.combine(day, time(), tzinfo=UTC)
    return start, start + timedelta(days=1)


def next_day() -> date | None:
    """Find the day to close next: that of the first block after the last closed period."""
    last = Period.objects.order_by("-start_at").first()
    blocks = Block.objects.order_by("timestamp")
    if last is not None:
        blocks = blocks.filter(timestamp__gte=last.end_at)
    first = blocks.first()
    return first.timestamp.astimezone(UTC).date() if first else None


def check_day(day: date) -> Readiness:
    """Work through the list for one day. The first check is whether the day is over."""
    start_at, end_at = day_bounds(day)
    blocks = Block.objects.filter(timestamp__gte=start_at, timestamp__lt=end_at).order_by("number")
    first, last = blocks.first(), blocks.last()
    over = _check_over(end_at)
    if first is None or last is None:
        nothing = Check(
            "Has blocks", ok=False, detail=f"No block of {day} was ingested; such a day is never closed."
        )
        return Readiness(day, (over, nothing, _check_order(day, None)))
    return Readiness(
        day,
        (
            over,
            _check_epochs(last) if family_reads_files() else _check_chain(first, last, blocks.count()),
            _check_gaps(first, last),
            _check_attributed(first, last),
            _check_order(day, first),
            _check_assets(first, last),
            _check_sums(),
            _check_runs(),
        ),
        first,
        last,
    )


def _check_over(end_at: datetime) -> Check:
    newest = Block.objects.order_by("-timestamp").first()
    if newest is None:
        return Check(
            "The day is over", ok=False, detail="No block was ingested yet: run the ingestion first."
        )
    over = newest.timestamp >= end_at
    read = f"Blocks are ingested up to {newest.timestamp:%Y-%m-%d %H:%M:%S} UTC (block {newest.number:,})"
    return Check(
        "The day is over", over, f"{read}." if over else f"{read}; the day ends at {end_at:%Y-%m-%d %H:%M}."
    )


def _check_chain(first: Block, last: Block, count: int) -> Check:
    """Every block from the first to the one after the last is there and names its predecessor's hash (A3).

    Those accepted as lost need not be there, and the one after them cannot name a predecessor that is.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT min(n.number) FROM generate_series(%s::bigint, %s::bigint) AS n(number)
            LEFT JOIN chain_block b ON b.number = n.number LEFT JOIN chain_block p ON p.number = n.number - 1
            WHERE b.parent_hash IS DISTINCT FROM p.hash AND NOT EXISTS (
                SELECT FROM chain_gap g WHERE g.state = 'UNRECOVERABLE' AND g.kind <> 'UNACCOUNTED'
                AND g.blocks @> CASE WHEN b.number IS NULL THEN n.number ELSE n.number - 1 END
            ) OR b.number IS NULL AND p.number IS NULL AND NOT EXISTS (
                SELECT FROM chain_gap g WHERE g.state = 'UNRECOVERABLE' AND g.kind <> 'UNACCOUNTED'
                AND g.blocks @> n.number
            )
            """,
            [first.number + 1, last.number + 1],
        )
        (broken,) = cursor.fetchone()
    if broken is not None:
        return Check(
            "Blocks are complete",
            ok=False,
            detail=f"Block {broken:,} is missing or does not follow block {broken - 1:,}: ingest it.",
        )
    lost = last.number - first.number + 1 - count
    if lost and lost != lost_count(first.number, last.number):
        return Check(
            "Blocks are complete",
            ok=False,
            detail="Block times run backwards across midnight, so the day is not one range of blocks.",
        )
    without = f", without {lost:,} accepted as lost" if lost else ""
    return Check(
        "Blocks are complete",
        ok=True,
        detail=f"{count:,} blocks, {first.number:,} to {last.number:,}{without}.",
    )


def family_reads_files() -> bool:
    """Tell whether blocks come from files, which name only the slots in which something happened."""
    return family() is not Family.BITTENSOR


def follows(block: int, upper: int) -> bool:
    """Tell whether a period may start at this block when the one before ends before `upper`."""
    return block >= upper if family_reads_files() else block == upper


def _check_epochs(last: Block) -> Check:
    """Every component that a vote account ever had has all epochs from its first one to the newest of the day.

    A component may be credited at a later slot than the others; it must be there before the day closes all the same.
    """
    name = "Epochs are complete"
    epochs: dict[tuple[str, str], set[int]] = defaultdict(set)
    newest: dict[str, int] = {}
    rows = Yield.objects.filter(epoch__isnull=False).order_by("hotkey", "side", "epoch")
    for hotkey, side, number, block in rows.values_list("hotkey", "side", "epoch", "block_id"):
        epoch = int(number or 0)
        epochs[hotkey, side].add(epoch)
        if block <= last.number:
            newest[hotkey] = max(epoch, newest.get(hotkey, epoch))
    for (hotkey, side), found in epochs.items():
        missing = sorted(set(range(min(found), newest.get(hotkey, -1) + 1)) - found)
        if missing:
            named = ", ".join(f"{epoch:,}" for epoch in missing[:5])
            return Check(
                name,
                ok=False,
                detail=f"{side} of {hotkey} lacks {len(missing):,} epochs ({named}): import them. "
                "What earned nothing in an epoch is given as a row of zeros.",
            )
    return Check(name, ok=True, detail=f"Nothing is missing up to slot {last.number:,}.")


def _check_gaps(first: Block, last: Block) -> Check:
    gaps = list(open_gaps(first.number, last.number)[:5])
    if not gaps:
        lost = [
            *lost_beside(first.number, last.number).select_related("accepted_by"),
            *accepted_doubts(first.number, last.number).select_related("accepted_by"),
        ]
        return Check(
            "No open gap",
            ok=True,
            detail=" ".join(map(_describe_lost, lost))
            or "Everything in these blocks could be read and proved.",
        )
    named = "; ".join(
        f"{gap.get_kind_display()}, blocks {gap.blocks.lower:,} to {gap.blocks.upper - 1:,}: {gap.reason}"
        for gap in gaps
    )
    return Check("No open gap", ok=False, detail=f"Resolve by backfill: {named}")


def _describe_lost(gap: Gap) -> str:
    if gap.kind == Gap.Kind.UNACCOUNTED:
        return f"Block {gap.blocks.lower:,}: {gap.reason}; accepted as it is by {gap.accepted_by}: {gap.accepted_reason}"
    return (
        f"Blocks {gap.blocks.lower:,} to {gap.blocks.upper - 1:,} are accepted as lost by {gap.accepted_by}: "
        f"{gap.accepted_reason} What was earned in them is in no sum."
    )


def _check_attributed(first: Block, last: Block) -> Check:
    sources = Yield.objects.filter(block__number__range=(first.number, last.number))
    counts = sources.aggregate(all=Count("pk"), done=Count("attribution"))
    missing = sources.filter(attribution__isnull=True).order_by("block_id").first()
    if missing is None:
        return Check("All yields are attributed", ok=True, detail=f"{counts['all']:,} yields.")
    todo = counts["all"] - counts["done"]
    return Check(
        "All yields are attributed",
        ok=False,
        detail=f"{todo:,} of {counts['all']:,} are not, the first in block {missing.block_id:,}: run attribution.",
    )


def _check_order(day: date, first: Block | None) -> Check:
    name = "Follows the last closed period"
    if Period.objects.filter(key=day_key(day)).exists():
        return Check(name, ok=False, detail=f"{day} is closed already; closing is final.")
    last = Period.objects.order_by("-start_at").first()
    if last is None:
        skipped = next_day()
        if skipped is not None and skipped < day:
            return Check(name, ok=False, detail=f"{skipped} has blocks and comes first: close it first.")
        return Check(name, ok=True, detail="It is the first period.")
    upper = last.blocks.upper
    if first is None or not (follows(first.number, upper) or first.number == next_readable(upper)):
        return Check(
            name,
            ok=False,
            detail=f"The last closed period is {last.key}, up to block {last.blocks.upper - 1:,};"
            f" the next one starts at block {last.blocks.upper:,}"
            + (f", this day at {first.number:,}." if first else "."),
        )
    return Check(name, ok=True, detail=f"The last closed period is {last.key}.")


def _check_assets(first: Block, last: Block) -> Check:
    """Roll-ups and lines are per side; a pool that pays a side in two currencies within one day would mix them."""
    mixed = (
        Yield.objects.filter(block__number__range=(first.number, last.number))
        .values("hotkey", "netuid", "side")
        .annotate(assets=Count("asset", distinct=True))
        .filter(assets__gt=1)
        .order_by("hotkey", "netuid", "side")
        .first()
    )
    if mixed is None:
        return Check("One currency per pool and side", ok=True, detail="No pool changed what it pays in.")
    return Check(
        "One currency per pool and side",
        ok=False,
        detail=f"Netuid {mixed['netuid']} paid {mixed['side']} take in alpha and in TAO on one day, which is not "
        "supported yet.",
    )


def _check_sums() -> Check:
    unbalanced = unbalanced_entries()
    if unbalanced:
        return Check(
            "The ledger adds up",
            ok=False,
            detail=f"Entry {unbalanced[0]} does not balance: run check_ledger.",
        )
    return Check("The ledger adds up", ok=True, detail=f"{Entry.objects.count():,} entries balance.")


def standing_differences() -> CheckRun | None:
    """Find the newest run of a check with differences that no later one of the same check, or of all, cleared."""
    cleared = CheckRun.objects.filter(pk__gt=OuterRef("pk"), difference_count=0, blocks=None).filter(
        Q(check_name=OuterRef("check_name")) | Q(check_name=CheckRun.Check.LEDGER)
    )
    return CheckRun.objects.filter(~Exists(cleared), difference_count__gt=0).order_by("-pk").first()


def _check_runs() -> Check:
    """What a check found wrong is looked into before anything is built upon it (LE8)."""
    name, found = "The checks found no difference", standing_differences()
    if found is not None:
        rest = f" and {found.difference_count - 1:,} more" if found.difference_count > 1 else ""
        return Check(
            name,
            ok=False,
            detail=f"{found.get_check_name_display()} on {found.started_at:%Y-%m-%d %H:%M} UTC: {found.differences[0]}"
            f"{rest}. Look into it, then run the checks again.",
        )
    last = CheckRun.objects.order_by("-pk").first()
    when = f"Last run on {last.started_at:%Y-%m-%d %H:%M} UTC." if last else "None was run yet."
    return Check(name, ok=True, detail=when)


def unbalanced_entries() -> list[str]:
    """List the keys of entries with fewer than two legs or legs that do not add up to zero; there are none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT e.key FROM ledger_entry e LEFT JOIN ledger_posting p ON p.entry_id = e.id"
            " LEFT JOIN ledger_account a ON a.id = p.account_id GROUP BY e.id, e.key, a.currency"
            " HAVING count(p.id) < 2 OR sum(p.amount_rao) <> 0 ORDER BY e.key"
        )
        return [key for (key,) in cursor.fetchall()]


def unattributed_count() -> int:
    """Count the yields that wait for attribution."""
    return Yield.objects.filter(attribution__isnull=True).count()
