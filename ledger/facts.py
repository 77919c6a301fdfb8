"""The chain's facts as the ledger reads them: who earned a yield, what a block range earned and converted.

Closing, checking and explaining all read through here, so they cannot disagree about what the inputs are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.backends.postgresql.psycopg_any import NumericRange
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from chain.fields import RaoField
from chain.models import Asset, Block, Conversion, StakeEvent, StakeKind, StakerReward, Yield
from chain.splitting import CannotSplit
from chain.stake.causes import Cause
from chain.units import BLOCK_MAX
from ledger.attribution import RULESET, Earned, Part, Wallets
from ledger.calculation import Handover, MonthSoFar, OpenLot, Sale, held_by, pools_before
from ledger.models import Attribution, CommissionLine, NamedTake, PartnerTake
from ledger.shares import OPEN, Holding, PoolTable, Shares
from partners.matching import RuleBook


class SharesDisagree(ValueError):
    """The known holders of a pool do not make up its denominator. Positions must be read again; a retry alone
    cannot help."""


class ChildKeyUnknown(SharesDisagree):
    """Whether a hotkey was a child key at an epoch was not read, and the rules ask for it."""


class Holders:
    """The holders of pools over a range of blocks. The last pool is kept, so that a day's epochs read it once if they come
    pool by pool.
    """

    def __init__(self, first: int, last: int) -> None:
        """Serve states after blocks `first` to `last`, both included."""
        self._range = NumericRange(first, last + 1)
        self._last: tuple[tuple[str, int], PoolTable] | None = None

    def at(self, hotkey: str, netuid: int, block: int) -> Holding:
        """Who held a pool in the state after `block`."""
        if block not in self._range:
            raise ValueError(f"block {block} is not in {self._range}")
        pool = hotkey, netuid
        if self._last is None or self._last[0] != pool:
            self._last = pool, PoolTable(self._read(*pool))
        return self._last[1].at(block)

    def _read(self, hotkey: str, netuid: int) -> list[Any]:
        # As plain tuples: there are millions, which models and their fields would slow down.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT coldkey, share::text, share_exponent, coalesce(lower(blocks), 0), coalesce(upper(blocks), %s)"
                " FROM chain_position WHERE hotkey = %s AND netuid = %s AND blocks && %s",
                [OPEN, hotkey, netuid, self._range],
            )
            rows: list[Any] = cursor.fetchall()
            return rows


def holding_of(source: Yield, holders: Holders | None = None) -> Holding:
    """Who held a yield's pool when it was earned: after the parent block.

    :raises SharesDisagree: when their shares do not add up to the pool's.
    """
    parent = source.block_id - 1
    found = (holders or Holders(parent, parent)).at(source.hotkey, source.pool_netuid, parent)
    if not found.adds_up(source.denominator):
        raise SharesDisagree(
            f"{_where(source)}: the {len(found)} known holders have {found.whole} share bits, "
            f"the pool has {source.share_total}"
        )
    return found


def weights_of(source: Yield) -> list[tuple[str, int]]:
    """List (coldkey, weight) of those among whom a yield's take is split, sorted by coldkey.

    Weights are the shares as integers of one scale (:func:`chain.pools.shares.weights`). Where nobody held any, as in the
    first epoch of a child key on which nobody has staked, no delegator earned it: it is all the owner's. Who earned an
    imported yield is given instead, and the amounts are their weights.

    :raises SharesDisagree: when their shares do not add up to the pool's.
    """
    if source.is_imported:
        return given_by(source)
    return holding_of(source).weights() or [(source.owner, 1)]


def shares_of(source: Yield, holders: Holders | None = None) -> Shares:
    """Split a yield's take over the coldkeys that earned it, or give what the file of an imported one says.

    :raises SharesDisagree: when the holders' shares do not add up to the pool's, or it cannot be split.
    """
    try:
        if source.is_imported:
            return Shares.of(given_by(source))
        holding = holding_of(source, holders)
        return (
            holding.split(source.take_rao) if len(holding) else Shares.of([(source.owner, source.take_rao)])
        )
    except CannotSplit as error:
        raise SharesDisagree(f"{_where(source)}: {error}") from error


def given_by(source: Yield) -> list[tuple[str, int]]:
    """List (staker, revenue) of an imported yield as the file gives it, sorted by staker; nobody of zero.

    :raises SharesDisagree: when they do not add up to the take.
    """
    rows = StakerReward.objects.filter(source=source, amount_rao__gt=0)
    # Sorted here: the order of text in the database depends on its locale.
    given = sorted(rows.values_list("coldkey", "amount_rao"))
    total = sum(amount for _, amount in given)
    if total != source.take_rao:
        raise SharesDisagree(
            f"{_where(source)}: the {len(given)} stakers' {total} are not its take of {source.take_rao}"
        )
    return given


def _is_child(source: Yield, book: RuleBook) -> bool:
    if source.is_child is None and book.asks_children and not source.is_imported:
        raise ChildKeyUnknown(
            f"{_where(source)}: it was read before child keys were, and an agreement or rule asks for them. Take that out, "
            "or read the blocks into an empty database"
        )
    return bool(source.is_child)


def _dividends_of(source: Yield) -> dict[str, int]:
    """What each staker of an imported yield was credited after the validator's part."""
    return dict(StakerReward.objects.filter(source=source).values_list("coldkey", "dividend_rao"))


def _where(source: Yield) -> str:
    if source.is_imported:
        return f"epoch {source.epoch}, {source.side}, vote account {source.hotkey}"
    return f"block {source.block_id}, netuid {source.netuid}, {source.side}, hotkey {source.hotkey}"


def read_earned(first: int, last: int, book: RuleBook) -> Iterator[Earned]:
    """Read the yields of blocks `first` to `last`, both included, with their shares: pool by pool, each in order of blocks.

    :raises SharesDisagree: when they are not what the pool says.
    :raises ChildKeyUnknown: when the book asks for it.
    """
    holders = Holders(first - 1, last - 1)
    sources = Yield.objects.filter(block__number__range=(first, last)).select_related("block", "attribution")
    # All that earn by one pool's shares come after each other: root dividends of every subnet by those of root.
    in_order = sources.order_by("hotkey", "pool_netuid", "netuid", "side", "block_id")
    for source in in_order.iterator(chunk_size=500):
        attribution: Attribution | None = getattr(source, "attribution", None)
        yield Earned(
            source.pk,
            source.block_id,
            source.block.timestamp,
            source.netuid,
            source.hotkey,
            source.side,
            source.asset,
            source.take_rao,
            shares_of(source, holders),
            source.dividend_rao,
            _dividends_of(source) if source.is_imported else None,
            _is_child(source, book),
            attribution.ruleset if attribution else RULESET,
        )


def read_sales(first: int, last: int) -> list[Sale]:
    """Read the conversions of blocks `first` to `last`, both included, in chain order."""
    rows = Conversion.objects.filter(block__number__range=(first, last)).order_by(
        "block_id", "stake_event__event_index"
    )
    return [
        Sale(
            row.pk,
            row.block_id,
            row.hotkey,
            row.netuid,
            row.alpha_rao,
            row.tao_rao,
            row.stake_event.event_index,
        )
        for row in rows.select_related("stake_event").iterator()
    ]


def read_handovers(first: int, last: int) -> list[Handover]:
    """Read where swaps in blocks `first` to `last` took the stake of a hotkey along, in chain order.

    Whoever held it: a swap moves everybody's, and what the key's owner had not sold with it.
    """
    rows = StakeEvent.objects.filter(
        block__number__range=(first, last), cause=Cause.HOTKEY_SWAP, kind=StakeKind.RESTAKE, added=False
    )
    fields = ("block_id", "event_index", "netuid", "hotkey", "other_hotkey")
    return [Handover(*row) for row in rows.order_by(*fields).values_list(*fields).distinct()]


def parts_of(yield_ids: list[int]) -> dict[int, list[Part]]:
    """Read the stored parts of yields in closed periods."""
    parts: dict[int, list[Part]] = defaultdict(list)
    rows = PartnerTake.objects.filter(source_id__in=yield_ids).order_by("source_id", "agreement_id")
    named = _named_wallets(rows)
    for row in rows.select_related("source").iterator():
        pool = row.source.hotkey, row.source.netuid, row.source.side
        parts[row.source_id].append(
            Part(
                row.partner_id,
                row.agreement_id,
                row.rate_bps,
                row.delegator_count,
                row.take_rao,
                tuple((border, rate) for border, rate in row.steps),
                row.cap_rao,
                row.gross_rao,
                named.get((row.period_id, *pool, row.agreement_id)),
            )
        )
    return parts


def _named_wallets(parts: QuerySet[PartnerTake]) -> dict[tuple[int, str, int, str, int | None], Wallets]:
    """By period, pool and agreement, the wallets that lines on these parts name."""
    found: dict[tuple[int, str, int, str, int | None], Wallets] = defaultdict(Wallets)
    rows = NamedTake.objects.filter(period__in=parts.order_by().values("period"))
    for period, hotkey, netuid, side, agreement, wallet, take_rao in rows.values_list(
        "period_id", "hotkey", "netuid", "side", "agreement_id", "wallet_address", "take_rao"
    ):
        found[period, hotkey, netuid, side, agreement].takes[wallet] = take_rao
    return found


def read_month(start_at: datetime) -> MonthSoFar:
    """Read what was paid from the month's begin (UTC) to that moment, and on how much take."""
    month = start_at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = CommissionLine.objects.filter(period__start_at__gte=month, period__start_at__lt=start_at)
    volumes, commissions = defaultdict[int, int](int), defaultdict[int, int](int)
    sums = rows.values_list("partner_id", "agreement_id").order_by("partner_id", "agreement_id")
    for partner, agreement, base, amount in sums.annotate(Sum("base_rao"), Sum("commission_rao")):
        volumes[agreement] += int(base)
        commissions[partner] += int(amount)
    return MonthSoFar(volumes, commissions)


def read_open_lots(before: datetime, pools: set[tuple[str, int]] | None = None) -> list[OpenLot]:
    """Read the take in alpha that periods before that moment earned and had not sold, oldest first.

    :param pools: only these (hotkey, netuid) pairs; all when left out.
    """
    if pools is not None and not pools:
        return []
    first = (
        Block.objects.filter(timestamp__gte=before)
        .order_by("number")
        .values_list("number", flat=True)
        .first()
    )
    handovers = read_handovers(0, (first if first is not None else BLOCK_MAX) - 1)
    if pools is not None:
        pools = pools_before(pools, handovers)
    sources = Yield.objects.filter(
        Exists(PartnerTake.objects.filter(source=OuterRef("pk"), period__start_at__lt=before)),
        asset=Asset.ALPHA,
        take_rao__gt=0,
    )
    if pools is not None:
        wanted = Q()
        for hotkey, netuid in sorted(pools):
            wanted |= Q(hotkey=hotkey, netuid=netuid)
        sources = sources.filter(wanted)
    sold = Coalesce(
        Sum("allocations__alpha_rao", filter=Q(allocations__period__start_at__lt=before)),
        0,
        output_field=RaoField(),
    )
    rows = [
        (row, row.take_rao - int(row.sold))
        for row in sources.annotate(sold=sold).order_by("block_id", "netuid", "hotkey", "side")
        if row.take_rao > int(row.sold)
    ]
    parts = parts_of([row.pk for row, _ in rows])
    return [
        OpenLot(
            row.pk,
            row.block_id,
            row.hotkey,
            row.netuid,
            row.side,
            left,
            parts[row.pk],
            held_by(row.hotkey, row.netuid, row.block_id, handovers),
        )
        for row, left in rows
    ]
