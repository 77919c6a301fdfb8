"""Writes quotes and attaches them to what they price. Nothing here is in the way of attribution or payment.

A source that fails leaves a `PriceFetch` with its error and no quote; the other sources and the next run go on. Quotes
are only ever added: asking twice changes nothing, and a source that changes its mind is noted and not followed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction

from chain.fiat.models import ConversionPrice, FiatPrice, PriceFetch
from chain.fiat.queries import moments_to_price, quotes_at, staleness_limit
from chain.fiat.quotes import TAO, BadAnswer, PriceSource, PriceSourceError, Quote, believed
from chain.fiat.spans import Span, joined, pieces, uncovered
from chain.locks import Lock, hold, only_one
from chain.models import Conversion

log = logging.getLogger(__name__)

# Sources publish a quote some minutes after its time. Before that a moment is not priced, so that whoever prices it
# finds the same quote.
SETTLING = timedelta(minutes=10)
# A source that lags may have later what it lacked; so long it is asked again, so often.
LAGGING = timedelta(days=2)
ASKED_AGAIN = timedelta(hours=1)
# No chain of Bittensor is older.
FIRST_PRICE = datetime(2021, 1, 1, tzinfo=UTC)
# One page or two of every source.
PIECE = timedelta(days=4)
# What lies closer is asked for in one go.
GAP = timedelta(days=1)
# Of one source in one run of the schedule; the next goes on.
REQUESTS_MAX = 12
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What fetching and attaching did; `errors` is one sentence per source that failed."""

    stored: int = 0
    attached: int = 0
    errors: tuple[str, ...] = ()


def fetch_prices(
    *, sources: Sequence[PriceSource], first: datetime, last: datetime, now: datetime, base: str = TAO
) -> FetchReport:
    """Store every source's quotes from `first` to `last` (at most now), then attach prices to what lacks them.

    :raises ValueError: when the range is empty, lies in the future or begins before there was a TAO.
    :raises Busy: when prices are being fetched already.
    """
    if first < FIRST_PRICE:
        raise ValueError(f"no price of TAO is older than {FIRST_PRICE:%Y-%m-%d}: ask from that day on")
    if not first <= last <= now:
        raise ValueError(f"there are no prices from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC yet")
    with only_one(Lock.PRICES):
        runs = [_fetch_spans(source, [(first, last)], now=now, base=base) for source in sources]
        return FetchReport(
            sum(run.stored for run in runs),
            attach_prices(now=now),
            tuple(run.error for run in runs if run.error),
        )


def fill_in_prices(*, sources: Sequence[PriceSource], now: datetime) -> FetchReport:
    """Do what the schedule does: fetch what is new from every source, then what is lacking, and attach it.

    Lacking is what `moments_to_price` names and no source has a quote for. It is asked of one source after the other,
    and of each only once, unless that failed.

    :raises Busy: when prices are being fetched already.
    """
    limit = staleness_limit()
    with only_one(Lock.PRICES):
        runs = []
        for source in sources:
            runs.append(_fetch_spans(source, [(_last_fetched(source, now - limit), now)], now=now))
            if runs[-1].error:
                continue
            moments = moments_to_price(now - SETTLING)
            known = quotes_at(moments)
            windows = [(moment - limit, moment) for moment in moments if moment not in known]
            spans = joined(uncovered(windows, _settled(source, windows, now)), GAP)
            runs.append(_fetch_spans(source, spans, now=now, requests_max=REQUESTS_MAX))
        return FetchReport(
            sum(run.stored for run in runs),
            attach_prices(now=now),
            tuple(run.error for run in runs if run.error),
        )


@transaction.atomic
def attach_prices(*, now: datetime) -> int:
    """Give every settled conversion without a price the one that is known for its block; returns how many got one."""
    hold(Lock.PRICES)
    attached = after = 0
    while batch := list(
        Conversion.objects.filter(usd=None, pk__gt=after, block__timestamp__lte=now - SETTLING)
        .order_by("pk")
        .values_list("pk", "block__timestamp")[:_BATCH]
    ):
        after = batch[-1][0]
        quotes = quotes_at(moment for _, moment in batch)
        rows = [
            ConversionPrice(conversion_id=pk, price=quotes[moment][0], attached_at=now)
            for pk, moment in batch
            if moment in quotes
        ]
        attached += len(ConversionPrice.objects.bulk_create(rows))
    return attached


def _last_fetched(source: PriceSource, default: datetime) -> datetime:
    """Where the newest range without error ended, but not before `default`."""
    newest = PriceFetch.objects.filter(source=source.name, base=TAO, error="").order_by("-last_at").first()
    # Again what was too fresh to be settled then.
    return (
        default
        if newest is None
        else min(max(newest.last_at - SETTLING, default), default + staleness_limit())
    )


def _settled(source: PriceSource, windows: Sequence[Span], now: datetime) -> list[Span]:
    """The ranges that a source was asked for without error: once it had settled, just now or late enough for good."""
    if not windows:
        return []
    rows = PriceFetch.objects.filter(
        source=source.name, base=TAO, error="", last_at__gte=min(first for first, _ in windows)
    )
    ends = (
        (row.first_at, min(row.last_at, row.fetched_at - (SETTLING if is_new else LAGGING)))
        for row in rows
        for is_new in [now - row.fetched_at < ASKED_AGAIN]
    )
    return [(first, last) for first, last in ends if first <= last]


@dataclass(frozen=True, slots=True)
class _Run:
    stored: int
    error: str


def _fetch_spans(
    source: PriceSource,
    spans: Sequence[Span],
    *,
    now: datetime,
    base: str = TAO,
    requests_max: int | None = None,
) -> _Run:
    """Fetch spans piece by piece up to the first failure; each piece is kept before the next is asked for."""
    stored = 0
    for piece in [piece for span in spans for piece in pieces(span, PIECE)][:requests_max]:
        fetched = _fetch(source, piece, now=now, base=base)
        stored += fetched.stored_count
        if fetched.error:
            return _Run(stored, fetched.error)
    return _Run(stored, "")


def _fetch(source: PriceSource, span: Span, *, now: datetime, base: str) -> PriceFetch:
    first, last = span
    asked = PriceFetch(
        source=source.name, base=base, quote=source.quote, first_at=first, last_at=last, fetched_at=now
    )
    try:
        quotes = _ask(source, span, now=now, base=base)
    except PriceSourceError as error:
        log.warning("chain.prices.not_fetched: %s", error)
        asked.error = str(error)
        asked.save()
        return asked
    with transaction.atomic():
        _store(asked, quotes)
    if asked.differing_count:
        log.warning(
            "chain.prices.changed: %s says otherwise of %s moments", source.name, asked.differing_count
        )
    return asked


def _ask(source: PriceSource, span: Span, *, now: datetime, base: str) -> list[Quote]:
    try:
        return believed(source.fetch(base, *span), source=source, base=base, now=now)
    except PriceSourceError:
        raise
    except Exception as error:
        # A website can answer anything; no list of exceptions is complete.
        raise BadAnswer(
            f"{source.name} gave an answer that makes no sense ({type(error).__name__})"
        ) from error


def _store(asked: PriceFetch, quotes: Sequence[Quote]) -> None:
    of_source = FiatPrice.objects.filter(source=asked.source, base=asked.base, quote=asked.quote)
    moments = [quote.at for quote in quotes]
    known = dict(of_source.filter(at__in=moments).values_list("at", "price"))
    new = [quote for quote in quotes if quote.at not in known]
    FiatPrice.objects.bulk_create(
        (
            FiatPrice(
                source=quote.source,
                base=quote.base,
                quote=quote.quote,
                price=quote.price,
                at=quote.at,
                fetched_at=asked.fetched_at,
                payload_sha256=quote.payload_sha256,
            )
            for quote in new
        ),
        batch_size=_BATCH,
    )
    asked.found_count, asked.stored_count = len(quotes), len(new)
    asked.differing_count = sum(quote.at in known and known[quote.at] != quote.price for quote in quotes)
    asked.save()
