"""Closing days: freezing what was earned, converted and is owed (LE6).

One transaction writes the period, its parts, roll-ups, allocations, lines and entry, or nothing. The database
checks every sum again at commit and refuses any later row.
"""

from __future__ import annotations

from datetime import date, datetime

import structlog
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import NumericRange

from chain.locks import Lock, hold
from ledger.calculation import Calculation, calculate, pools_before
from ledger.facts import SharesDisagree, read_earned, read_handovers, read_month, read_open_lots, read_sales
from ledger.manifest import build_manifest, content_hash, day_key
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
)
from ledger.readiness import Readiness, check_day, day_bounds, next_day
from ledger.services.posting import Actor, post_entry
from partners.matching import RuleBook
from partners.queries import rule_book
from partners.tagged_stake import read_tagged_stake

BATCH = 5_000
log = structlog.get_logger(__name__)


class CannotClose(Exception):
    """The day cannot close now; the message says what to do. Periods closed in the same run stay: `closed`."""

    def __init__(self, day: date, reasons: list[str], closed: list[Period] | None = None) -> None:
        self.day = day
        self.reasons = reasons
        self.closed = closed or []
        super().__init__(f"{day} cannot close: " + " ".join(reasons))


def close_due_days(*, actor: Actor, now: datetime) -> list[Period]:
    """Close every day that is over, oldest first, each in a transaction of its own.

    :raises CannotClose: when a day is over but something keeps it open; the days before it are closed.
    """
    closed: list[Period] = []
    while (day := next_day()) is not None and check_day(day).is_due:
        try:
            closed.append(close_day(day=day, actor=actor, now=now))
        except CannotClose as error:
            raise CannotClose(day, error.reasons, closed) from error
    return closed


@transaction.atomic
def close_day(*, day: date, actor: Actor, now: datetime) -> Period:
    """Close one UTC day for good.

    :raises CannotClose: unless everything on the list of `ledger.readiness` holds.
    """
    hold(Lock.CLOSE)
    # Attribution waits, so that none appears between the list and the rows written from it.
    hold(Lock.ATTRIBUTE)
    ready = check_day(day)
    if not ready.ok or ready.first is None or ready.last is None:
        raise CannotClose(day, [check.detail for check in ready.checks if not check.ok])
    book = rule_book()
    start_at, end_at = day_bounds(day)
    try:
        result = calculate_blocks(ready.first.number, ready.last.number, start_at, book)
    except SharesDisagree as error:
        raise CannotClose(day, [str(error)]) from error
    _compare_digests(ready, result)
    manifest = build_manifest(
        key=day_key(day),
        start_at=start_at,
        end_at=end_at,
        first=ready.first,
        last=ready.last,
        book=book,
        result=result,
    )
    period = Period.objects.create(
        key=day_key(day),
        start_at=start_at,
        end_at=end_at,
        blocks=NumericRange(ready.first.number, ready.last.number + 1),
        manifest=manifest,
        manifest_hash=content_hash(manifest),
        closed_at=now,
        closed_by_id=actor.pk if actor else None,
    )
    _write_rows(period, result)
    _post(period, result, actor=actor, now=now)
    log.info(
        "ledger.period_closed",
        period=period.key,
        manifest_hash=period.manifest_hash,
        totals=manifest["totals"],
    )
    return period


def calculate_blocks(first: int, last: int, start_at: datetime, book: RuleBook) -> Calculation:
    """Work out blocks `first` to `last` from the facts, with the lots that periods before `start_at` left open.

    :raises SharesDisagree: when the holders of a yield are not what they were when it was attributed.
    """
    sales = read_sales(first, last)
    handovers = read_handovers(first, last)
    pools = pools_before({(sale.hotkey, sale.netuid) for sale in sales}, handovers)
    lots, stake = read_open_lots(start_at, pools), read_tagged_stake(book, last)
    earned, month = read_earned(first, last, book), read_month(start_at)
    return calculate(earned, sales, lots, book, handovers, stake, month)


def _compare_digests(ready: Readiness, result: Calculation) -> None:
    """Positions may have been read again since the attribution; what is paid must be what was attributed."""
    rows = Attribution.objects.filter(source_id__in=result.digests).select_related("source")
    wrong = [row for row in rows.iterator() if row.digest != result.digests[row.source_id]]
    if wrong:
        raise CannotClose(
            ready.day,
            [
                f"The shares of block {row.source.block_id:,} changed after it was attributed."
                for row in wrong[:5]
            ],
        )


def _write_rows(period: Period, result: Calculation) -> None:
    PartnerTake.objects.bulk_create(
        (
            PartnerTake(
                period=period,
                source_id=source_id,
                partner_id=part.partner_id,
                agreement_id=part.agreement_id,
                rate_bps=part.rate_bps,
                steps=[list(step) for step in part.steps],
                cap_rao=part.cap_rao,
                gross_rao=part.gross_rao,
                delegator_count=part.delegator_count,
                take_rao=part.take_rao,
            )
            for source_id, parts in result.parts.items()
            for part in parts
        ),
        batch_size=BATCH,
    )
    DelegatorTake.objects.bulk_create(
        (
            DelegatorTake(
                period=period,
                hotkey=key.hotkey,
                netuid=key.netuid,
                side=key.side,
                coldkey=key.coldkey,
                partner_id=key.partner_id or None,
                take_rao=amount,
            )
            for key, amount in result.roll_up_rows()
        ),
        batch_size=BATCH,
    )
    DelegationWinner.objects.bulk_create(
        (
            DelegationWinner(
                period=period,
                hotkey=hotkey,
                netuid=netuid,
                side=side,
                coldkey=coldkey,
                tag_hash=tags.came,
                moved_hash=tags.moved,
                blocks=NumericRange(won.first, won.last + 1),
                partner_id=won.winner.partner_id,
                agreement_id=won.winner.agreement_id,
                rule_id=won.winner.rule_id,
                wallet_id=won.winner.wallet_id,
                outranked=list(won.winner.outranked),
            )
            for (hotkey, netuid, side, coldkey, tags), won in result.winner_rows()
        ),
        batch_size=BATCH,
    )
    ConversionAllocation.objects.bulk_create(
        (
            ConversionAllocation(
                period=period,
                conversion_id=conversion_id,
                source_id=sold.yield_id,
                alpha_rao=sold.alpha_rao,
                tao_rao=sold.tao_rao,
            )
            for conversion_id, sold in result.sold
        ),
        batch_size=BATCH,
    )
    CommissionLine.objects.bulk_create(
        (
            CommissionLine(
                period=period,
                partner_id=key.partner_id,
                agreement_id=key.agreement_id,
                hotkey=key.hotkey,
                netuid=key.netuid,
                side=key.side,
                base_rao=base,
                basis=key.basis,
                rate_bps=key.rate_bps,
                commission_rao=amount,
                wallet_address=key.wallet,
            )
            for key, base, amount in result.lines()
        ),
        batch_size=BATCH,
    )
    NamedTake.objects.bulk_create(
        (
            NamedTake(
                period=period,
                hotkey=hotkey,
                netuid=netuid,
                side=side,
                agreement_id=agreement_id,
                wallet_address=wallet,
                take_rao=amount,
            )
            for (hotkey, netuid, side), agreement_id, wallet, amount in result.wallet_rows()
        ),
        batch_size=BATCH,
    )


def legs_of(result: Calculation) -> dict[tuple[str, int | None], int]:
    """Give the legs of a close: the take realised, what each partner is owed of it, the rest our own."""
    payables = result.payables()
    legs: dict[tuple[str, int | None], int] = {(Account.Kind.TAKE, None): result.realised_rao}
    legs |= {(Account.Kind.PAYABLE, partner): -amount for partner, amount in payables.items()}
    legs[Account.Kind.OWN_SHARE, None] = sum(payables.values()) - result.realised_rao
    return {leg: amount for leg, amount in legs.items() if amount}


def _post(period: Period, result: Calculation, *, actor: Actor, now: datetime) -> None:
    legs = legs_of(result)
    if legs:
        post_entry(
            key=f"close:{period.key}",
            kind=Entry.Kind.CLOSE,
            legs=legs,
            actor=actor,
            now=now,
            period=period,
            memo=f"Close of {period.key}",
        )
