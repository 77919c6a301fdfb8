"""TAO in dollars: the newest price by source, what disagrees, what lacks a price, and asking for it now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from chain.admin.base import DaysFilter, change_url
from chain.admin.cells import UNKNOWN, duration_text, mono, number, time_html
from chain.admin.csv_lists import CHART_DAYS, STEP, CsvListAdmin
from chain.fiat.models import FiatPrice
from chain.fiat.queries import (
    disagreements,
    last_fetches,
    moments_to_price,
    newest_quotes,
    price_at,
    quotes_at,
    staleness_limit,
    why_no_prices,
)
from chain.fiat.quotes import format_money, format_price, value_of
from chain.fiat.services import SETTLING
from chain.line_chart import LineChart, Point, draw_line
from chain.models import Conversion
from chain.tables import Column, Table
from chain.tasks import fetch_prices

# Lines that a table of what is missing shows.
ROWS_MAX = 20
_FETCH = "chain.fetch_fiatprice"


# --- cells ----------------------------------------------------------------------------------------------


def dollars_html(value: Decimal | None) -> SafeString | str:
    """Show an amount in dollars to the cent, the exact value on hover; unknown is a dash, never zero."""
    if value is None:
        return UNKNOWN
    return format_html(
        '<span class="rb-amount" title="{} USD">{}<span class="rb-unit"> USD</span></span>',
        f"{value.normalize():f}",
        format_money(value),
    )


def quote_html(quote: FiatPrice) -> SafeString:
    """Show a quote in full."""
    return format_html(
        '<span class="rb-amount">{}<span class="rb-unit"> {}</span></span>',
        format_price(quote.price),
        quote.quote,
    )


def conversion_dollars_html(row: Conversion) -> SafeString | str:
    """Show what the TAO of a conversion was worth, with source and age of the quote, or that there is no price yet."""
    usd = getattr(row, "usd", None)
    if usd is None:
        return format_html('<span class="rb-muted">{}</span>', "no price yet")
    return format_html(
        '<div>{}<br><span class="rb-muted rb-number">{}, {} before</span></div>',
        dollars_html(value_of(row.tao_rao, usd.price.price)),
        usd.price.source,
        duration_text(row.block.timestamp - usd.price.at),
    )


def conversion_price_html(row: Conversion) -> SafeString | str:
    """Show the quote that a conversion is valued at, or why there is none."""
    usd = getattr(row, "usd", None)
    if usd is None:
        price = price_at(row.block.timestamp)
        waits = price.reason or "it is known and will be attached by the next run"
        return format_html("no price yet: {}", waits)
    return format_html(
        '{} for one TAO, says <a href="{}">{}</a> of {}, {} before the block',
        quote_html(usd.price),
        change_url(FiatPrice, usd.price_id),
        usd.price.source,
        time_html(usd.price.at),
        duration_text(row.block.timestamp - usd.price.at),
    )


def sources_table(moment: datetime, used: int | None = None) -> Table:
    """What every source says about a moment."""
    return Table(
        "TAO in dollars at this moment",
        (Column("Source"), Column("One TAO", right=True), Column("Of (UTC)"), Column("Age"), Column("Used")),
        [
            (
                quote.source,
                quote_html(quote),
                time_html(quote.at),
                duration_text(moment - quote.at),
                "✓" if quote.pk == used else "",
            )
            for quote in quotes_at([moment]).get(moment, [])
        ],
        note=f"The newest quote of each source, at most {duration_text(staleness_limit())} old",
        empty="No source has a quote that is new enough.",
    )


# --- dollars --------------------------------------------------------------------------------------------


class SourceFilter(DropdownFilter):  # type: ignore[misc]
    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        named = set(settings.RAKEBACK_PRICE_SOURCES)
        return [(name, name) for name in sorted(named | {quote.source for quote in newest_quotes()})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(source=self.value()) if self.value() else queryset


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know, in the look of the overview's list."""

    tone: str
    icon: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its title, in the look of the overview's."""

    title: str
    value: SafeString | str
    note: SafeString | str
    tone: str = ""


@admin.register(FiatPrice)
class FiatPriceAdmin(CsvListAdmin):
    list_display = ["name", "show_price", "show_pair", "show_source", "show_fetched"]
    list_filter = [SourceFilter, ("at", DaysFilter)]
    empty_title = "No quotes yet"
    empty_text = (
        "Dollars per TAO come from the sources that RAKEBACK_PRICE_SOURCES names, every 15 minutes by the schedule. "
        "Nothing that pays anybody waits for them."
    )
    fieldsets = [
        (None, {"fields": ["show_pair", "show_price", "show_at", "show_source"]}),
        ("Where it was read", {"fields": ["show_fetched", "show_sha"]}),
    ]
    csv_columns = ("at", "base", "quote", "price", "source", "fetched_at", "payload_sha256")

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """By time, which the index serves."""
        return ["-at", "source"]

    def csv_row(self, row: FiatPrice) -> Sequence[object]:
        """A quote; its price in full."""
        price = format_price(row.price).replace(",", "")
        return (
            row.at.isoformat(),
            row.base,
            row.quote,
            price,
            row.source,
            row.fetched_at.isoformat(),
            row.payload_sha256,
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.fetch_view))
        return [path("fetch/", view, name="chain_fiatprice_fetch"), *super().get_urls()]

    def fetch_view(self, request: HttpRequest) -> HttpResponse:
        """Have a worker do now what the schedule does every 15 minutes."""
        if not request.user.has_perm(_FETCH):
            raise PermissionDenied
        try:
            fetch_prices.apply_async(retry=False)
        except OperationalError:
            messages.error(
                request,
                "No worker can be reached, so nothing is fetched. Start them, or run manage.py fetch_prices.",
            )
        else:
            messages.success(request, "Prices are being fetched. Look again in a minute.")
        return HttpResponseRedirect(reverse("admin:chain_fiatprice_changelist"))

    def above(self, request: HttpRequest) -> dict[str, Any]:
        """The newest prices, the chart, what disagrees, what is lacking, how the sources answered."""
        now = timezone.now()
        if not settings.RAKEBACK_PRICE_SOURCES:
            # Everything lacks a price then; a list of it all would say no more.
            return {"notes": list(self.notes({}, now))}
        grid = [now - STEP * back for back in range(CHART_DAYS * int(timedelta(days=1) / STEP) - 1, -1, -1)]
        quotes = quotes_at(grid)
        lacking = lacking_moments(now)
        return {
            "figures": list(self.figures(now, lacking)),
            "notes": list(self.notes(quotes, now)),
            "chart": fiat_chart(grid, quotes),
            "chart_title": "One TAO in USD",
            "chart_note": f"Last {CHART_DAYS} days; where the line breaks no quote is new enough",
            "tables": [lacking_table(lacking), self.fetches_table(), differences_table(quotes)],
            "fetch_link": reverse("admin:chain_fiatprice_fetch")
            if settings.RAKEBACK_PRICE_SOURCES and request.user.has_perm(_FETCH)
            else "",
        }

    @staticmethod
    def figures(now: datetime, lacking: Sequence[datetime]) -> Iterator[Figure]:
        """The price that counts now, each source's newest, and how much has none."""
        price = price_at(now)
        if price.quote is not None and price.age is not None:
            yield Figure(
                "One TAO now",
                quote_html(price.quote),
                f"{price.quote.source}, {duration_text(price.age)} old",
            )
        else:
            yield Figure("One TAO now", UNKNOWN, f"No price: {price.reason}", "rb-warn")
        for quote in newest_quotes():
            if quote == price.quote:
                continue
            age = now - quote.at
            old = age > staleness_limit()
            yield Figure(
                f"Newest of {quote.source}",
                quote_html(quote),
                f"{duration_text(age)} old" + (", too old to count" if old else ""),
                "rb-warn" if old else "",
            )
        yield Figure(
            "Without a price",
            f"{len(lacking):,}",
            "Conversions and ends of days, see below"
            if lacking
            else "Every conversion and every day has one",
            "rb-warn" if lacking else "",
        )

    @staticmethod
    def notes(quotes: dict[datetime, list[FiatPrice]], now: datetime) -> Iterator[Note]:
        """No source, a source that fails, sources that disagree at this moment."""
        if not settings.RAKEBACK_PRICE_SOURCES:
            yield Note(
                "info",
                "power_off",
                "No price source is set",
                "Name them in order: RAKEBACK_PRICE_SOURCES=taostats,coinbase. TaoStats needs TAOSTATS_API_KEY.",
            )
        for fetch in last_fetches():
            if fetch.error:
                yield Note("warning", "cloud_off", f"The last request to {fetch.source} failed", fetch.error)
        for found in disagreements({now: quotes.get(now, [])}):
            yield Note(
                "warning",
                "compare_arrows",
                f"The sources differ by {found.bps / 100:.1f} %",
                f"{_prices_text(found.quotes)}. The first in order counts; nothing is averaged.",
            )

    @staticmethod
    def fetches_table() -> Table:
        """How each source answered last."""
        return Table(
            "Last requests",
            (
                Column("Source"),
                Column("When (UTC)"),
                Column("Asked for (UTC)"),
                Column("Quotes", right=True),
                Column("New", right=True),
                Column("Result"),
            ),
            [
                (
                    fetch.source,
                    time_html(fetch.fetched_at),
                    format_html("{} to {}", time_html(fetch.first_at), time_html(fetch.last_at)),
                    UNKNOWN if fetch.error else number(fetch.found_count),
                    UNKNOWN if fetch.error else number(fetch.stored_count),
                    _result_html(fetch.error, fetch.differing_count),
                )
                for fetch in last_fetches()
            ],
            empty="Nothing was asked yet.",
        )

    @display(description="Of (UTC)")
    def name(self, row: FiatPrice) -> SafeString | str:
        return time_html(row.at)

    @display(description="Of (UTC)")
    def show_at(self, row: FiatPrice) -> SafeString | str:
        return time_html(row.at)

    @display(description="Price")
    def show_price(self, row: FiatPrice) -> SafeString:
        return quote_html(row)

    @display(description="For one")
    def show_pair(self, row: FiatPrice) -> str:
        return row.base

    @display(description="Source")
    def show_source(self, row: FiatPrice) -> str:
        return row.source

    @display(description="Fetched (UTC)")
    def show_fetched(self, row: FiatPrice) -> SafeString | str:
        return time_html(row.fetched_at)

    @display(description="SHA-256 of the answer")
    def show_sha(self, row: FiatPrice) -> SafeString | str:
        return mono(row.payload_sha256)

    def tables(self, obj: FiatPrice) -> list[Table]:
        return [sources_table(obj.at)] if obj.base == "TAO" else []

    def heading(self, obj: FiatPrice) -> str:
        return f"{obj.base} in {obj.quote}, {obj.source}, {obj.at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _result_html(error: str, differing_count: int) -> SafeString:
    if error:
        return format_html('<div class="rb-words rb-bad">{}</div>', error)
    if differing_count:
        return format_html(
            '<span class="rb-bad">{} differ from what it said before, which stays</span>',
            f"{differing_count:,}",
        )
    return format_html('<span class="rb-good">{}</span>', "✓ answered")


def _prices_text(quotes: Sequence[FiatPrice]) -> str:
    return ", ".join(f"{quote.source} {format_price(quote.price)} {quote.quote}" for quote in quotes)


def lacking_moments(now: datetime) -> list[datetime]:
    """What should have a price and has none, newest first: conversions, and ends of days by the quotes stored."""
    moments = moments_to_price(now - SETTLING)
    known = quotes_at(moments)
    return [moment for moment in reversed(moments) if moment not in known]


def lacking_table(moments: Sequence[datetime]) -> Table:
    """The newest moments without a price, and why."""
    shown = moments[:ROWS_MAX]
    conversions = {
        row.block.timestamp: row
        for row in Conversion.objects.filter(usd=None, block__timestamp__in=shown).select_related("block")
    }
    reasons = why_no_prices(shown)
    return Table(
        "Without a price",
        (Column("Moment (UTC)"), Column("What"), Column("Why")),
        [
            (
                time_html(moment),
                format_html(
                    '<a href="{}">Conversion in block {}</a>',
                    change_url(Conversion, conversions[moment].pk),
                    f"{conversions[moment].block_id:,}",
                )
                if moment in conversions
                else "End of the day",
                reasons[moment],
            )
            for moment in shown
        ],
        note=f"The newest {ROWS_MAX} of {len(moments):,}" if len(moments) > ROWS_MAX else "",
        empty="Every conversion and every day that ended has a price.",
    )


def differences_table(quotes: dict[datetime, list[FiatPrice]]) -> Table:
    """The moments of the chart whose sources lie too far apart."""
    limit = settings.RAKEBACK_PRICE_DISAGREEMENT_BPS
    found = disagreements(quotes)
    return Table(
        "Where sources disagree",
        (Column("Moment (UTC)"), Column("By", right=True), Column("Quotes")),
        [
            (time_html(one.moment), f"{one.bps / 100:.2f} %", _prices_text(one.quotes))
            for one in found[:ROWS_MAX]
        ],
        note=f"More than {limit / 100:g} % apart in the last {CHART_DAYS} days, every {int(STEP / timedelta(hours=1))} "
        "hours; the first in order counts",
        empty="The sources agree, or only one of them has quotes.",
    )


def fiat_chart(grid: Sequence[datetime], quotes: dict[datetime, list[FiatPrice]]) -> LineChart | None:
    """The price that counted at each moment, in cents."""
    points = []
    for moment in grid:
        found = quotes.get(moment)
        points.append(
            Point(
                f"{moment:%m-%d}",
                f"{moment:%Y-%m-%d %H:%M} UTC: "
                + (
                    f"{format_price(found[0].price)} {found[0].quote}, {found[0].source}"
                    if found
                    else "no price"
                ),
                int(found[0].price * 100) if found else None,
            )
        )
    return draw_line(points, lambda cents: f"{cents // 100:,}" if cents % 100 == 0 else f"{cents / 100:,.2f}")
