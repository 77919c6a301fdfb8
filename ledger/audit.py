"""Recomputing the ledger from the facts and comparing it with what is stored (LE8, A4).

Every difference is named; nothing is repaired. A period is recomputed with the rules in its own manifest, so
later changes of partners make no difference here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db.models import Max, Min, Sum

from chain.gaps.queries import next_readable
from chain.models import Asset, Block, Conversion, Yield
from chain.units import BLOCK_MAX
from ledger.attribution import RULESETS, Part, digest
from ledger.calculation import Calculation, OpenLot, convert
from ledger.facts import Holders, SharesDisagree, read_handovers, read_sales, shares_of
from ledger.hashing import content_hash
from ledger.manifest import build_manifest, frozen_book, winner_row
from ledger.models import (
    Account,
    Attribution,
    CommissionLine,
    ConversionAllocation,
    DelegationWinner,
    DelegatorTake,
    Entry,
    NamedTake,
    PartnerTake,
    Period,
    Posting,
    RollUp,
)
from ledger.readiness import follows, unbalanced_entries
from ledger.services.closing import calculate_blocks, legs_of
from partners.lots import Tags


@dataclass(slots=True)
class Audit:
    """What was looked at and what did not agree."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether everything agreed."""
        return not self.differences


def check_ledger() -> Audit:
    """Recompute everything from facts: digests, parts, roll-ups, allocations, lines, entries, hashes, balances."""
    audit = Audit()
    for difference in _differences(audit.counts):
        audit.differences.append(difference)
    return audit


def check_attribution(first: int = 0, last: int = BLOCK_MAX) -> Audit:
    """Split every take of blocks `first` to `last` anew, and compare the digests of who earned it (LE1)."""
    audit = Audit()
    audit.differences += _attributions(audit.counts, first, last)
    return audit


def check_conversions() -> Audit:
    """Let every conversion of closed periods sell anew, from the first take on, and compare what it sold (LE4)."""
    audit = Audit()
    audit.differences += _conversions(audit.counts)
    return audit


def _conversions(counts: Counter[str]) -> Iterator[str]:
    closed = Period.objects.aggregate(first=Min("blocks__startswith"), upper=Max("blocks__endswith"))
    if closed["first"] is None:
        return
    first, last = int(closed["first"]), int(closed["upper"]) - 1
    sources = Yield.objects.filter(block__number__range=(first, last), asset=Asset.ALPHA, take_rao__gt=0)
    lots = (
        OpenLot(row.pk, row.block_id, row.hotkey, row.netuid, row.side, row.take_rao, _whole(row), row.hotkey)
        for row in sources.order_by("block_id", "netuid", "hotkey", "side", "pk").iterator(chunk_size=2_000)
    )
    sales, result = read_sales(first, last), Calculation()
    convert(lots, sales, read_handovers(first, last), result)
    stored = {
        (conversion, source): amounts
        # Of no day that closes meanwhile.
        for conversion, source, *amounts in ConversionAllocation.objects.filter(
            conversion__block__number__lte=last
        ).values_list("conversion_id", "source_id", "alpha_rao", "tao_rao")
    }
    computed = {
        (conversion, sold.yield_id): [sold.alpha_rao, sold.tao_rao] for conversion, sold in result.sold
    }
    counts["conversions"] += len(sales)
    counts["conversion parts"] += len(stored)
    for names in sorted(stored.keys() | computed.keys()):
        if stored.get(names) != computed.get(names):
            conversion, source = Conversion.objects.get(pk=names[0]), Yield.objects.get(pk=names[1])
            yield (
                f"conversion of block {conversion.block_id}, netuid {conversion.netuid}: of the take of block"
                f" {source.block_id} it sold {_said(computed.get(names))}, stored is {_said(stored.get(names))}"
            )


def _whole(source: Yield) -> list[Part]:
    """A take as one part: whose it was changes nothing about when it was sold."""
    return [Part(None, None, 0, 1, source.take_rao)]


def _said(amounts: list[int] | None) -> str:
    return f"{amounts[0]} rao of alpha for {amounts[1]} rao of TAO" if amounts else "nothing"


def _attributions(counts: Counter[str], first: int, last: int) -> Iterator[str]:
    holders = Holders(max(first - 1, 0), last)
    rows = Attribution.objects.filter(source__block__number__range=(first, last)).select_related(
        "source__block"
    )
    pools = ("source__hotkey", "source__pool_netuid", "source__netuid", "source__side", "source__block_id")
    for row in rows.order_by(*pools).iterator(chunk_size=500):
        counts["attributions"] += 1
        try:
            shares = shares_of(row.source, holders)
        except SharesDisagree as error:
            yield str(error)
            continue
        if digest(shares, row.ruleset) != row.digest:
            yield f"{row}: the shares derived now have another digest"


def _differences(counts: Counter[str]) -> Iterator[str]:
    last = Period.objects.aggregate(upper=Max("blocks__endswith"))["upper"]
    # Those of periods are checked with them.
    yield from _attributions(counts, last or 0, BLOCK_MAX)
    yield from _conversions(counts)
    previous: Period | None = None
    for period in Period.objects.order_by("start_at"):
        counts["periods"] += 1
        yield from _check_period(period, previous, counts)
        previous = period
    yield from _check_entries(counts)


def _check_period(period: Period, previous: Period | None, counts: Counter[str]) -> Iterator[str]:
    if content_hash(period.manifest) != period.manifest_hash:
        yield f"period {period.key}: its manifest does not have its manifest hash"
    if previous is not None and not follows(period.blocks.lower, next_readable(previous.blocks.upper)):
        yield f"period {period.key}: does not start where {previous.key} ends"
    first = Block.objects.filter(number=period.blocks.lower).first()
    last = Block.objects.filter(number=period.blocks.upper - 1).first()
    if first is None or last is None:
        yield f"period {period.key}: its first or last block is gone"
        return
    ruleset = period.manifest.get("ruleset")
    if ruleset not in RULESETS:
        yield f"period {period.key}: closed by ruleset {ruleset!r}, which this version does not know"
        return
    book = frozen_book(period.manifest["rules"])
    try:
        result = calculate_blocks(first.number, last.number, period.start_at, book)
    except SharesDisagree as error:
        yield f"period {period.key}: {error}"
        return
    counts["yields"] += len(result.parts)
    manifest = build_manifest(
        key=period.key,
        start_at=period.start_at,
        end_at=period.end_at,
        first=first,
        last=last,
        book=book,
        result=result,
        ruleset=ruleset,
    )
    for name in sorted(manifest.keys() | period.manifest.keys()):
        # The code is that of the close, and may be newer now; winners were not always stored.
        if name == "winners" and name not in period.manifest:
            continue
        if name != "code" and manifest.get(name) != period.manifest.get(name):
            yield f"period {period.key}: recomputing gives other {name} than its manifest"
    yield from _check_digests(period, result, counts)
    for kind, stored, computed in _rows_of(period, result):
        counts[kind] += len(stored)
        for row in sorted(stored - computed, key=str):
            yield f"period {period.key}: {kind} {row} is stored, recomputing does not give it"
        for row in sorted(computed - stored, key=str):
            yield f"period {period.key}: {kind} {row} is missing"


def _check_digests(period: Period, result: Calculation, counts: Counter[str]) -> Iterator[str]:
    rows = Attribution.objects.filter(
        source__block_id__gte=period.blocks.lower, source__block_id__lt=period.blocks.upper
    )
    stored = dict(rows.values_list("source_id", "digest"))
    counts["attributions"] += len(stored)
    for source_id, computed in result.digests.items():
        if stored.get(source_id) != computed:
            source = Yield.objects.get(pk=source_id)
            yield f"period {period.key}: the attribution of {source} differs from its shares, or is missing"


Rows = set[tuple[object, ...]]


def _rows_of(period: Period, result: Calculation) -> Iterator[tuple[str, Rows, Rows]]:
    """Give the stored and the computed rows of each kind as comparable values."""
    parts = PartnerTake.objects.filter(period=period).values_list(
        "source_id",
        "partner_id",
        "agreement_id",
        "rate_bps",
        "delegator_count",
        "take_rao",
        "cap_rao",
        "gross_rao",
        "steps",
    )
    yield (
        "partner takes",
        {(*values, tuple(map(tuple, steps))) for *values, steps in parts},
        {
            (
                source,
                part.partner_id,
                part.agreement_id,
                part.rate_bps,
                part.delegator_count,
                part.take_rao,
                part.cap_rao,
                part.gross_rao,
                part.steps,
            )
            for source, source_parts in result.parts.items()
            for part in source_parts
        },
    )
    yield from _delegator_takes(period, result)
    named = NamedTake.objects.filter(period=period).values_list(
        "hotkey", "netuid", "side", "agreement_id", "wallet_address", "take_rao"
    )
    yield (
        "takes of named wallets",
        set(named),
        {(*pool, agreement, wallet, amount) for pool, agreement, wallet, amount in result.wallet_rows()},
    )
    if "winners" in period.manifest:
        yield "winners", _stored_winners(period), set(map(winner_row, result.winner_rows()))
    sold = ConversionAllocation.objects.filter(period=period).values_list(
        "conversion_id", "source_id", "alpha_rao", "tao_rao"
    )
    yield (
        "allocations",
        set(sold),
        {(conversion, part.yield_id, part.alpha_rao, part.tao_rao) for conversion, part in result.sold},
    )
    lines = CommissionLine.objects.filter(period=period).values_list(
        "partner_id",
        "agreement_id",
        "hotkey",
        "netuid",
        "side",
        "basis",
        "base_rao",
        "rate_bps",
        "commission_rao",
        "wallet_address",
    )
    yield (
        "commission lines",
        set(lines),
        {
            (
                key.partner_id,
                key.agreement_id,
                key.hotkey,
                key.netuid,
                key.side,
                key.basis,
                base,
                key.rate_bps,
                amount,
                key.wallet,
            )
            for key, base, amount in result.lines()
        },
    )
    legs = Posting.objects.filter(entry__period=period, entry__key=f"close:{period.key}").values_list(
        "account__kind", "account__partner_id", "amount_rao"
    )
    yield (
        "legs",
        set(legs),
        {(str(kind), partner, amount) for (kind, partner), amount in legs_of(result).items()},
    )


def _delegator_takes(period: Period, result: Calculation) -> Iterator[tuple[str, Rows, Rows]]:
    """Give them pool by pool: those of a large period are millions."""
    takes = DelegatorTake.objects.filter(period=period).order_by()
    stored = set(RollUp.objects.filter(period=period).values_list("hotkey", "netuid", "side"))
    for pool in sorted(stored | result.roll_ups.keys()):
        of_pool = takes.filter(hotkey=pool[0], netuid=pool[1], side=pool[2])
        rolled_up = result.roll_ups.get(pool, [])
        yield (
            "delegator takes",
            {(*pool, *row) for row in of_pool.values_list("coldkey", "partner_id", "take_rao")},
            {
                (*pool, coldkey, rolled.partner_id or None, amount)
                for rolled in rolled_up
                for coldkey, amount in rolled.rows()
            },
        )


def _stored_winners(period: Period) -> Rows:
    rows = DelegationWinner.objects.filter(period=period).values_list(
        "hotkey",
        "netuid",
        "side",
        "coldkey",
        "tag_hash",
        "moved_hash",
        "blocks",
        "partner_id",
        "agreement_id",
        "rule_id",
        "wallet_id",
        "outranked",
    )
    return {
        (*held, *Tags(came, moved).named, blocks.lower, blocks.upper - 1, *winner, tuple(outranked))
        for *held, came, moved, blocks, partner, agreement, rule, wallet, outranked in rows
        for winner in [(partner, agreement, rule, wallet)]
    }


def _check_entries(counts: Counter[str]) -> Iterator[str]:
    counts["entries"] = Entry.objects.count()
    for key in unbalanced_entries():
        yield f"entry {key}: has fewer than two legs or does not add up to zero"
    overdrawn = (
        Posting.objects.filter(account__kind__in=[Account.Kind.PAYABLE, Account.Kind.IN_FLIGHT])
        .values("account__kind", "account__partner__slug")
        .annotate(total=Sum("amount_rao"))
        .filter(total__gt=0)
        .order_by("account__kind", "account__partner__slug")
    )
    for row in overdrawn:
        yield f"account {row['account__kind']} of {row['account__partner__slug']}: overdrawn by {row['total']} rao"
    for entry in Entry.objects.exclude(reverses=None).select_related("reverses"):
        mine, theirs = (
            dict(e.postings.values_list("account_id", "amount_rao")) for e in (entry, entry.reverses) if e
        )
        if mine != {account: -amount for account, amount in theirs.items()}:
            yield f"entry {entry.key}: does not take back exactly what {entry.reverses} posted"
