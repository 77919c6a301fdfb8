"""Reads of the ledger that others use: who is owed what, what is pending, statements, explanations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from chain.fields import RaoField
from chain.network import coin
from chain.queries import spot_prices_rao
from chain.units import alpha_value_rao
from ledger import explaining
from ledger.calculation import split_over_parts
from ledger.facts import read_open_lots
from ledger.manifest import lost_blocks_of
from ledger.models import Account, CommissionLine, DelegatorTake, Period, PeriodPrice, Posting
from ledger.readiness import Readiness, check_day, next_day, unattributed_count
from ledger.statements import Statement, StatementLine, UsdPrice
from ledger.years import YearDay, YearSummary
from partners.models import Partner
from partners.rates import Aggregation

# Later than any period.
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


def explain_block(number: int) -> dict[str, Any]:
    """Give a block's attribution in full, as JSON-able values.

    :raises NotIngested: when the block is not there.
    :raises SharesDisagree: when its positions do not add up.
    """
    return explaining.as_dict(explaining.explain(number))


def payable_by_partner(through: Period | None = None) -> dict[int, int]:
    """Sum per partner id what is owed and not reserved by a payout, in rao; partners owed nothing are left out.

    :param through: leave out what later periods added; every reservation counts, whenever it was made.
    """
    rows = Posting.objects.filter(account__kind=Account.Kind.PAYABLE)
    if through is not None:
        rows = rows.filter(Q(entry__period__isnull=True) | Q(entry__period__start_at__lte=through.start_at))
    sums = (
        rows.values_list("account__partner_id")
        .annotate(total=Sum("amount_rao"))
        .order_by("account__partner_id")
    )
    return {partner: -int(total) for partner, total in sums if partner is not None and total < 0}


def in_flight_by_partner() -> dict[int, int]:
    """Sum per partner id what approved payouts have reserved, in rao; partners with none are left out."""
    rows = Posting.objects.filter(account__kind=Account.Kind.IN_FLIGHT)
    sums = (
        rows.values_list("account__partner_id")
        .annotate(total=Sum("amount_rao"))
        .order_by("account__partner_id")
    )
    return {partner: -int(total) for partner, total in sums if partner is not None and total}


def balances() -> dict[int, int]:
    """Sum each account's legs by account id."""
    rows = Posting.objects.values_list("account_id").annotate(total=Sum("amount_rao")).order_by("account_id")
    return {account: int(total) for account, total in rows}


@dataclass(frozen=True, slots=True)
class PendingAlpha:
    """Take in alpha of closed periods that is not converted yet; without partner it is the validator's own.

    `value_rao` is what it would be worth in TAO at the last known price, None when there is none.
    """

    netuid: int
    partner_id: int | None
    alpha_rao: int
    value_rao: int | None


def pending_alpha(through: Period | None = None) -> list[PendingAlpha]:
    """List what is earned and not converted, per subnet and partner.

    :param through: as it was when this period closed; the present when left out.
    """
    before = through.end_at if through is not None else END_OF_TIME
    amounts: dict[tuple[int, int], int] = defaultdict(int)
    for lot in read_open_lots(before):
        for part, amount in split_over_parts(lot.remaining_rao, lot.parts):
            amounts[lot.netuid, part.partner_id or 0] += amount
    prices = spot_prices_rao({netuid for netuid, _ in amounts})
    return [
        PendingAlpha(netuid, partner or None, amount, _value(amount, prices.get(netuid)))
        for (netuid, partner), amount in sorted(amounts.items())
        if amount
    ]


def _value(alpha_rao: int, price_rao: int | None) -> int | None:
    return None if price_rao is None else alpha_value_rao(alpha_rao, price_rao)


def statement(partner: Partner, period: Period) -> Statement:
    """Put together what one partner earned in one closed period; the same for ever."""
    return _statement(partner, period, pending_alpha(period), usd_prices([period.pk]).get(period.pk))


def statements_of(period: Period) -> list[Statement]:
    """Put together the statements of all partners who earned in a period or had alpha pending at its end."""
    pending = pending_alpha(period)
    ids = set(CommissionLine.objects.filter(period=period).values_list("partner_id", flat=True))
    ids |= {row.partner_id for row in pending if row.partner_id}
    partners = Partner.objects.filter(pk__in=ids).order_by("name")
    usd = usd_prices([period.pk]).get(period.pk)
    return [_statement(partner, period, pending, usd) for partner in partners]


def _statement(
    partner: Partner, period: Period, pending: list[PendingAlpha], usd: UsdPrice | None
) -> Statement:
    rows = CommissionLine.objects.filter(period=period, partner=partner)
    return Statement(
        partner=partner.slug,
        partner_name=partner.name,
        period=period.key,
        first_block=period.blocks.lower,
        last_block=period.blocks.upper - 1,
        lines=tuple(_statement_lines(rows, period)),
        pending_alpha=tuple((row.netuid, row.alpha_rao) for row in pending if row.partner_id == partner.pk),
        manifest_hash=period.manifest_hash,
        end_at=period.end_at,
        lost_blocks=tuple(lost_blocks_of(period)),
        currency=coin().unit,
        usd=usd,
    )


def usd_prices(periods: Iterable[int]) -> dict[int, UsdPrice]:
    """Give by period the price at its end, of those that have one."""
    rows = PeriodPrice.objects.filter(period__in=periods).select_related("price")
    return {row.period_id: UsdPrice(row.price.price, row.price.source, row.price.at) for row in rows}


def years_of(partner: Partner) -> list[int]:
    """List the years in which a day was closed that has lines of a partner, the newest first."""
    days = Period.objects.filter(commission_lines__partner=partner).dates("start_at", "year", "DESC")
    return [day.year for day in days]


def year_summary(partner: Partner, year: int) -> YearSummary:
    """Sum up what one partner earned on every closed day of a year (UTC)."""
    periods = Period.objects.filter(key__startswith=f"{year:04d}-").order_by("start_at")
    mine = Coalesce(
        Sum("commission_lines__commission_rao", filter=Q(commission_lines__partner=partner)),
        0,
        output_field=RaoField(),
    )
    rows = list(periods.annotate(mine=mine).values_list("pk", "key", "mine", "manifest_hash"))
    usd = usd_prices(pk for pk, *_ in rows)
    return YearSummary(
        partner.slug,
        partner.name,
        year,
        tuple(
            YearDay(key, int(amount), manifest_hash, usd.get(pk)) for pk, key, amount, manifest_hash in rows
        ),
        coin().unit,
    )


def _statement_lines(rows: QuerySet[CommissionLine], period: Period) -> Iterator[StatementLine]:
    """Give lines as the agreements say that closed the period with it: every wallet, or a sum of a pool's wallets."""
    pool = ("hotkey", "netuid", "side", "agreement_id", "rate_bps", "basis")
    in_order = list(rows.order_by(*pool, "wallet_address"))
    terms = period.manifest["rules"]["agreements"] if any(row.wallet_address for row in in_order) else ()
    listed = {row["id"] for row in terms if row.get("aggregation") == Aggregation.PER_WALLET}
    for (hotkey, netuid, side, agreement, rate_bps, basis), group in groupby(in_order, key=attrgetter(*pool)):
        lines = list(group)
        each = [[line] for line in lines] if agreement in listed else [lines]
        for some in each:
            yield StatementLine(
                hotkey,
                netuid,
                side,
                sum(line.base_rao for line in some),
                rate_bps,
                sum(line.commission_rao for line in some),
                basis,
                wallet=some[0].wallet_address if agreement in listed else "",
                wallets=sum(line.wallet_address != "" for line in some) if agreement not in listed else 0,
            )


@dataclass(frozen=True, slots=True)
class PartnerTotals:
    """What one partner earned and is owed over all closed periods."""

    partner: Partner
    commission_rao: int
    payable_rao: int
    in_flight_rao: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The ledger on one screen: totals in rao, the last closed period, what keeps the next one open."""

    last_period: Period | None
    period_count: int
    unattributed_count: int
    realised_rao: int
    own_share_rao: int
    commission_rao: int
    payable_rao: int
    in_flight_rao: int
    partners: tuple[PartnerTotals, ...]
    pending: tuple[PendingAlpha, ...]
    next_close: Readiness | None


def overview() -> Overview:
    """Sum up the whole ledger for the start page."""
    payable, in_flight = payable_by_partner(), in_flight_by_partner()
    sums = (
        Posting.objects.values_list("account__kind")
        .annotate(total=Sum("amount_rao"))
        .order_by("account__kind")
    )
    by_kind = {kind: int(total) for kind, total in sums}
    earned = dict(
        CommissionLine.objects.values_list("partner_id")
        .annotate(total=Sum("commission_rao"))
        .order_by("partner_id")
    )
    day = next_day()
    return Overview(
        last_period=Period.objects.order_by("-start_at").first(),
        period_count=Period.objects.count(),
        unattributed_count=unattributed_count(),
        realised_rao=by_kind.get(Account.Kind.TAKE, 0),
        own_share_rao=-by_kind.get(Account.Kind.OWN_SHARE, 0),
        commission_rao=sum(int(total) for total in earned.values()),
        payable_rao=sum(payable.values()),
        in_flight_rao=sum(in_flight.values()),
        partners=tuple(
            PartnerTotals(
                partner,
                int(earned.get(partner.pk, 0)),
                payable.get(partner.pk, 0),
                in_flight.get(partner.pk, 0),
            )
            for partner in Partner.objects.order_by("name")
        ),
        pending=tuple(pending_alpha()),
        next_close=check_day(day) if day else None,
    )


def bases_by_partner() -> dict[int, dict[str, int]]:
    """Sum per partner id and basis what commission was computed from, in rao of TAO, over all closed periods."""
    rows = CommissionLine.objects.values_list("partner_id", "basis").annotate(total=Sum("base_rao"))
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for partner, basis, total in rows.order_by("partner_id", "-basis"):
        found[partner][basis] = int(total)
    return dict(found)


def delegators_by_partner() -> dict[int, int]:
    """Count per partner id the delegators who earned take in any closed period."""
    rows = DelegatorTake.objects.filter(partner__isnull=False).values_list("partner_id")
    return dict(rows.annotate(count=Count("coldkey", distinct=True)).order_by("partner_id"))
