"""Closing days: freezing what was earned, converted and is owed (LE6).

One transaction writes the period, its parts, roll-ups, allocations, lines and entry, or nothing. The database
checks every sum again at commit and refuses any later row.
"""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import structlog
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import NumericRange

from chain.copying import copy_rows, copy_rows_with_arrays
from chain.garbage import no_collection
from chain.locks import Lock, hold
from ledger.calculation import Calculation, calculate, pools_before
from ledger.facts import SharesDisagree, read_earned, read_handovers, read_month, read_open_lots, read_sales
from ledger.hashing import content_hash
from ledger.manifest import build_manifest, day_key
from ledger.models import (
    Account,
    Attribution,
    CommissionLine,
    ConversionAllocation,
    DelegationWinner,
    Delegator,
    Entry,
    NamedTake,
    PartnerTake,
    Period,
    RollUp,
)
from ledger.readiness import Readiness, check_day, day_bounds, next_day
from ledger.services.posting import Actor, post_entry
from partners.matching import RuleBook
from partners.queries import rule_book
from partners.tagged_stake import read_tagged_stake

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


@no_collection()
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
    copy_rows(
        PartnerTake,
        (
            "period_id",
            "source_id",
            "partner_id",
            "agreement_id",
            "rate_bps",
            "steps",
            "cap_rao",
            "gross_rao",
            "delegator_count",
            "take_rao",
        ),
        (
            (
                period.pk,
                source_id,
                part.partner_id,
                part.agreement_id,
                part.rate_bps,
                [list(step) for step in part.steps],
                part.cap_rao,
                part.gross_rao,
                part.delegator_count,
                part.take_rao,
            )
            for source_id, parts in result.parts.items()
            for part in parts
        ),
    )
    _write_roll_ups(period, result)
    copy_rows(
        DelegationWinner,
        (
            "period_id",
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
        ),
        (
            (
                period.pk,
                hotkey,
                netuid,
                side,
                coldkey,
                tags.came,
                tags.moved,
                NumericRange(won.first, won.last + 1),
                won.winner.partner_id,
                won.winner.agreement_id,
                won.winner.rule_id,
                won.winner.wallet_id,
                list(won.winner.outranked),
            )
            for (hotkey, netuid, side, coldkey, tags), won in result.winner_rows()
        ),
    )
    copy_rows(
        ConversionAllocation,
        ("period_id", "conversion_id", "source_id", "alpha_rao", "tao_rao"),
        (
            (period.pk, conversion_id, sold.yield_id, sold.alpha_rao, sold.tao_rao)
            for conversion_id, sold in result.sold
        ),
    )
    copy_rows(
        CommissionLine,
        (
            "period_id",
            "partner_id",
            "agreement_id",
            "hotkey",
            "netuid",
            "side",
            "base_rao",
            "basis",
            "rate_bps",
            "commission_rao",
            "wallet_address",
        ),
        (
            (
                period.pk,
                key.partner_id,
                key.agreement_id,
                key.hotkey,
                key.netuid,
                key.side,
                base,
                str(key.basis),
                key.rate_bps,
                amount,
                key.wallet,
            )
            for key, base, amount in result.lines()
        ),
    )
    copy_rows(
        NamedTake,
        ("period_id", "hotkey", "netuid", "side", "agreement_id", "wallet_address", "take_rao"),
        (
            (period.pk, *pool, agreement_id, wallet, amount)
            for pool, agreement_id, wallet, amount in result.wallet_rows()
        ),
    )


def _write_roll_ups(period: Period, result: Calculation) -> None:
    number = _number_delegators(result)
    copy_rows_with_arrays(
        RollUp,
        (
            ("period_id", "int8"),
            ("hotkey", "text"),
            ("netuid", "int4"),
            ("side", "text"),
            ("partner_id", "int8"),
            ("delegators", "int4[]"),
            ("takes_rao", "int8[]"),
            ("take_rao", "int8"),
        ),
        (
            (
                period.pk,
                *pool,
                rolled.partner_id or None,
                np.array([number[coldkey] for coldkey in rolled.coldkeys]),
                rolled.takes,
                int(rolled.takes.sum()),
            )
            for pool in sorted(result.roll_ups)
            for rolled in result.roll_ups[pool]
        ),
    )


def _number_delegators(result: Calculation) -> dict[str, int]:
    """Give the number of every coldkey that earned something, to new ones the next."""
    coldkeys: set[str] = set()
    for roll_ups in result.roll_ups.values():
        coldkeys.update(*(rolled.coldkeys for rolled in roll_ups))
    everybody = Delegator.objects.values_list("coldkey", "pk")
    number = dict(everybody)
    if new := coldkeys - number.keys():
        copy_rows(Delegator, ("coldkey",), ((coldkey,) for coldkey in sorted(new)))
        number = dict(everybody.all())
    return number


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
