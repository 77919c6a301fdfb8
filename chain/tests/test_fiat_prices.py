"""Dollars per TAO (CH4, CH5): stored once, attached later, within the limit, from the first source that has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from chain.fiat import coinbase, taostats
from chain.fiat.models import ConversionPrice, FiatPrice, PriceFetch
from chain.fiat.queries import disagreements, end_of_day, moments_to_price, newest_quotes, price_at, quotes_at
from chain.fiat.quotes import TAO, USD, Quote, SourceUnavailable
from chain.fiat.services import SETTLING, attach_prices, fetch_prices, fill_in_prices
from chain.fiat.spans import joined, pieces, uncovered
from chain.locks import Busy, Lock
from chain.queries import facts_sha256
from chain.tasks import fetch_prices as fetch_prices_task
from chain.tests.factories import START, make_blocks, make_conversion
from chain.tests.price_site import Reply, Request, Site, price_site
from chain.tests.test_price_sources import candles, page, row

pytestmark = pytest.mark.django_db
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SHA = "ab" * 32


@pytest.fixture(autouse=True)
def _two_sources(settings: Any) -> None:
    settings.RAKEBACK_PRICE_SOURCES = ["taostats", "coinbase"]
    settings.TAOSTATS_API_KEY = "a-key-of-nobody"
    settings.RAKEBACK_PRICE_STALENESS_SECONDS = 3_600
    settings.RAKEBACK_PRICE_DISAGREEMENT_BPS = 500


@dataclass
class Listed:
    """A source that has a price at the moments given, and remembers what it was asked."""

    name: str
    prices: dict[datetime, str] = field(default_factory=dict)
    failing: Exception | None = None
    quote: str = USD
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def fetch(self, base: str, first: datetime, last: datetime) -> list[Quote]:
        self.asked.append((first, last))
        if self.failing:
            raise self.failing
        return [
            Quote(self.name, base, USD, at, Decimal(price), SHA)
            for at, price in self.prices.items()
            if first <= at <= last
        ]


def make_quote(at: datetime, price: str = "300", source: str = "taostats") -> FiatPrice:
    return FiatPrice.objects.create(
        source=source, base=TAO, quote=USD, price=Decimal(price), at=at, fetched_at=at, payload_sha256=SHA
    )


def known(moment: datetime) -> FiatPrice:
    quote = price_at(moment).quote
    assert quote is not None
    return quote


# --- a price for a moment ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "counts"),
    [
        (timedelta(0), True),
        (HOUR, True),
        (HOUR + timedelta(microseconds=1), False),
        (-timedelta(microseconds=1), False),
    ],
)
def test_ch5_a_quote_counts_from_its_moment_to_the_limit(age: timedelta, counts: bool) -> None:
    make_quote(START - age)
    price = price_at(START)
    assert (price.quote is not None) is counts
    assert price.age == (age if counts else None)
    assert price.value(2 * 10**9) == (600 if counts else None), "what is not known is None, never zero"


def test_ch5_the_newest_quote_of_the_first_source_counts(settings: Any) -> None:
    for minutes, price in [(50, "1"), (20, "2"), (-5, "9")]:
        make_quote(START - minutes * MINUTE, price)
    make_quote(START, "3", "coinbase")
    make_quote(START, "4", "somebody")
    assert known(START).price == 2, "an older quote of the first source before a newer of the second"
    settings.RAKEBACK_PRICE_SOURCES = ["coinbase", "taostats"]
    assert known(START).price == 3
    assert known(START + 40 * MINUTE).source == "coinbase"
    settings.RAKEBACK_PRICE_STALENESS_SECONDS = 60
    assert price_at(START + 40 * MINUTE).quote is None


def test_ch5_the_second_source_steps_in_where_the_first_has_none() -> None:
    make_quote(START - 61 * MINUTE, "1")
    make_quote(START - 59 * MINUTE, "2", "coinbase")
    assert known(START).price == 2
    assert {
        at: [one.source for one in found] for at, found in quotes_at([START, START - 30 * MINUTE]).items()
    } == {
        START - 30 * MINUTE: ["taostats", "coinbase"],
        START: ["coinbase"],
    }


def test_ch5_without_a_price_there_is_a_reason(settings: Any) -> None:
    assert price_at(START).reason == "taostats was not asked yet; coinbase was not asked yet"
    now = START + HOUR
    away = Listed(
        "taostats", failing=SourceUnavailable("taostats is out of order (HTTP 500); it is asked again later")
    )
    fetch_prices(sources=[away, Listed("coinbase")], first=START - HOUR, last=now, now=now)
    assert price_at(START).reason == (
        "taostats is out of order (HTTP 500); it is asked again later; coinbase has no quote in the 60 min before it"
    )
    settings.RAKEBACK_PRICE_SOURCES = []
    assert price_at(START).reason == "no price source is set; name them in RAKEBACK_PRICE_SOURCES"


def test_ch5_sources_that_differ_are_shown_and_not_averaged() -> None:
    make_quote(START, "100")
    make_quote(START - MINUTE, "105.02", "coinbase")
    make_quote(START + DAY, "100")
    make_quote(START + DAY, "104.99", "coinbase")
    (found,) = disagreements(quotes_at([START, START + DAY]))
    assert (found.moment, found.bps, [one.source for one in found.quotes]) == (
        START,
        502,
        ["taostats", "coinbase"],
    )
    assert known(START).price == 100
    assert [one.source for one in newest_quotes()] == ["taostats", "coinbase"]


# --- fetching ---------------------------------------------------------------------------------------------


def test_ch5_fetching_twice_changes_nothing() -> None:
    source, now = Listed("taostats", {START: "300.5", START + HOUR: "301"}), START + DAY
    assert fetch_prices(sources=[source], first=START, last=now, now=now).stored == 2
    again = fetch_prices(sources=[source], first=START, last=now, now=now + HOUR)
    assert (again.stored, again.errors) == (0, ())
    assert list(
        FiatPrice.objects.order_by("at").values_list("at", "price", "fetched_at", "payload_sha256")
    ) == [
        (START, Decimal("300.5"), now, SHA),
        (START + HOUR, Decimal(301), now, SHA),
    ]
    assert [(one.found_count, one.stored_count) for one in PriceFetch.objects.order_by("id")] == [
        (2, 2),
        (2, 0),
    ]


def test_ch5_a_source_that_changes_its_mind_is_noted_and_not_followed() -> None:
    now = START + DAY
    fetch_prices(sources=[Listed("taostats", {START: "300"})], first=START, last=now, now=now)
    fetch_prices(sources=[Listed("taostats", {START: "30"})], first=START, last=now, now=now)
    assert FiatPrice.objects.get().price == 300
    assert [one.differing_count for one in PriceFetch.objects.order_by("id")] == [0, 1]


@pytest.mark.parametrize(
    "error", [SourceUnavailable("taostats is away"), KeyError("x"), TypeError("nonsense")]
)
def test_ch5_one_source_failing_leaves_a_note_and_the_other_goes_on(error: Exception) -> None:
    sources = [Listed("taostats", failing=error), Listed("coinbase", {START: "300"})]
    report = fetch_prices(sources=sources, first=START, last=START, now=START)
    assert (report.stored, len(report.errors)) == (1, 1)
    assert "taostats" in report.errors[0]
    assert [(one.source, bool(one.error)) for one in PriceFetch.objects.order_by("id")] == [
        ("taostats", True),
        ("coinbase", False),
    ]


def test_ch5_pieces_before_a_failure_are_kept() -> None:
    class Tiring(Listed):
        def fetch(self, base: str, first: datetime, last: datetime) -> list[Quote]:
            if len(self.asked) == 2:
                self.failing = SourceUnavailable("enough")
            return super().fetch(base, first, last)

    source, now = Tiring("taostats", {START + n * DAY: "300" for n in range(20)}), START + 20 * DAY
    report = fetch_prices(sources=[source], first=START, last=now, now=now)
    assert (report.stored, report.errors) == (9, ("enough",))
    assert [(last - first).days for first, last in source.asked] == [4, 4, 4]


@pytest.mark.parametrize(("first", "last"), [(1, 0), (0, 2)])
def test_ch5_a_range_that_is_empty_or_to_come_is_refused(first: int, last: int) -> None:
    source = Listed("taostats")
    with pytest.raises(ValueError, match="there are no prices"):
        fetch_prices(sources=[source], first=START + first * DAY, last=START + last * DAY, now=START + DAY)
    assert not source.asked


# --- filling in -------------------------------------------------------------------------------------------


def test_ch4_a_conversion_without_a_price_gets_one_later_and_keeps_it() -> None:
    make_blocks(1, 8)
    one, other = make_conversion(2), make_conversion(3)
    before = facts_sha256()
    assert attach_prices(now=START + DAY) == 0
    make_quote(one.block.timestamp - 30 * MINUTE, "250.5", "coinbase")
    assert attach_prices(now=START + DAY) == 1
    make_quote(one.block.timestamp, "260")
    make_quote(other.block.timestamp, "270")
    assert attach_prices(now=START + 2 * DAY) == 1
    assert attach_prices(now=START + 3 * DAY) == 0
    found = {row.conversion_id: (row.price.price, row.price.source) for row in ConversionPrice.objects.all()}
    assert found == {one.pk: (Decimal("250.5"), "coinbase"), other.pk: (270, "taostats")}
    assert facts_sha256() == before, "prices are no facts of the chain"


def test_ch4_a_conversion_waits_until_its_quotes_have_settled() -> None:
    make_blocks(1, 1)
    moment = make_conversion(1).block.timestamp
    make_quote(moment)
    assert attach_prices(now=moment + SETTLING - MINUTE) == 0
    assert attach_prices(now=moment + SETTLING) == 1


def test_ch5_the_schedule_fills_conversions_and_days_from_one_source_after_the_other() -> None:
    make_blocks(1, 12)  # Every six hours: three days.
    conversion = make_conversion(6)
    moment, now = conversion.block.timestamp, START + 10 * DAY
    first = Listed("taostats", {now - 5 * MINUTE: "310", end_of_day(START.date()) - MINUTE: "300"})
    second = Listed(
        "coinbase", {moment - 10 * MINUTE: "305"} | {START + n * DAY: "306" for n in range(1, 11)}
    )
    report = fill_in_prices(sources=[first, second], now=now)
    assert (report.attached, report.errors) == (1, ())
    assert conversion.usd.price.price == 305
    assert [end_of_day((START + n * DAY).date()) for n in range(9)] == [
        moment for moment in moments_to_price(now - SETTLING) if moment in quotes_at(moments_to_price(now))
    ]
    # The ends of days lie a day apart, so that all of it is one range, asked in pieces.
    assert first.asked[1][0] == START + DAY - HOUR
    assert first.asked[-1][1] == START + 9 * DAY
    asked = (len(first.asked), len(second.asked))
    fill_in_prices(sources=[first, second], now=now + MINUTE)
    assert (len(first.asked), len(second.asked)) == (asked[0] + 1, asked[1] + 1), (
        "only what is new is asked again"
    )


def test_ch5_what_no_source_has_is_asked_once_and_what_failed_again() -> None:
    make_blocks(1, 1)
    make_conversion(1)
    now = START + DAY - HOUR
    empty, away = Listed("taostats"), Listed("coinbase", failing=SourceUnavailable("away"))
    for minutes in range(3):
        fill_in_prices(sources=[empty, away], now=now + minutes * MINUTE)
    windows = [one for one in empty.asked if one[0] < START]
    assert windows == [(START - HOUR, START)]
    assert len(away.asked) == 3
    away.failing, away.prices = None, {START - MINUTE: "299"}
    assert fill_in_prices(sources=[empty, away], now=now + 5 * MINUTE).attached == 1


def test_ch5_a_run_asks_a_source_so_often_and_the_next_goes_on() -> None:
    make_blocks(1, 4 * 100)
    source, now = Listed("taostats"), START + 100 * DAY + HOUR
    lengths = []
    for minutes in range(4):
        fill_in_prices(sources=[source], now=now + minutes * MINUTE)
        lengths.append(len(source.asked))
    assert lengths == [13, 26, 28, 29]


def test_ch5_a_moment_asked_before_it_had_settled_is_asked_again() -> None:
    make_blocks(1, 1)
    moment = make_conversion(1).block.timestamp
    source = Listed("taostats")
    assert fill_in_prices(sources=[source], now=moment + MINUTE).attached == 0
    source.prices[moment - MINUTE] = "288"
    assert fill_in_prices(sources=[source], now=moment + 3 * HOUR).attached == 1


def test_ch5_a_source_that_lags_is_asked_again_every_hour_for_two_days() -> None:
    make_blocks(1, 1)
    moment = make_conversion(1).block.timestamp
    source = Listed("taostats")
    for minutes in range(20, 20 + 3 * 60, 20):
        assert fill_in_prices(sources=[source], now=moment + minutes * MINUTE).attached == 0
    assert len([one for one in source.asked if one[1] == moment]) == 3
    source.prices[moment - MINUTE] = "288"
    assert fill_in_prices(sources=[source], now=moment + 5 * HOUR).attached == 1


def test_ch5_what_a_source_lacked_two_days_later_it_is_not_asked_again() -> None:
    make_blocks(1, 1)
    moment = make_conversion(1).block.timestamp
    source = Listed("taostats")
    for hours in range(49, 60):
        fill_in_prices(sources=[source], now=moment + hours * HOUR)
    assert len([one for one in source.asked if one[0] < moment <= one[1]]) == 1


def test_ch5_nothing_runs_twice_at_once(transactional_db: None) -> None:
    """Another session holds the lock; nothing is asked."""
    source = Listed("taostats")
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [int(Lock.PRICES)])
        with pytest.raises(Busy):
            fill_in_prices(sources=[source], now=START)
        with pytest.raises(Busy):
            fetch_prices(sources=[source], first=START, last=START, now=START)
    finally:
        other.close()
    assert not source.asked


# --- spans ------------------------------------------------------------------------------------------------

spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 9)).map(
        lambda it: (START + it[0] * HOUR, START + sum(it) * HOUR)
    ),
    max_size=12,
)


@given(spans, st.integers(1, 30))
def test_ch5_pieces_are_short_touch_and_are_the_whole(
    wanted: list[tuple[datetime, datetime]], hours: int
) -> None:
    for span in wanted:
        cut = pieces(span, hours * HOUR)
        assert joined(cut) == [span]
        assert all(last - first <= hours * HOUR for first, last in cut)


@given(spans, spans)
def test_ch5_a_span_is_covered_exactly_where_every_hour_of_it_is(
    wanted: list[tuple[datetime, datetime]], covers: list[tuple[datetime, datetime]]
) -> None:
    def half_hours(first: datetime, last: datetime) -> set[datetime]:
        return {first + n * HOUR / 2 for n in range(int((last - first) / HOUR * 2) + 1)}

    covered = {at for span in covers for at in half_hours(*span)}
    assert uncovered(wanted, covers) == [span for span in wanted if not half_hours(*span) <= covered]


# --- the database refuses -----------------------------------------------------------------------------------

INSERT = (
    "INSERT INTO chain_fiatprice (source, base, quote, price, at, fetched_at, payload_sha256) "
    "VALUES (%s, %s, %s, %s, %s, %s, '')"
)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        (("s", "TAO", "USD", 0, START, START), "fiat_price_positive"),
        (("s", "TAO", "USD", -1, START, START), "fiat_price_positive"),
        (("s", "TAO", "USD", 1, START + MINUTE, START), "fiat_price_of_the_past"),
        (("s", "TAO", "TAO", 1, START, START), "fiat_price_names_its_pair"),
        (("s", "tao", "USD", 1, START, START), "fiat_price_names_its_pair"),
        (("s", "TAO", "", 1, START, START), "fiat_price_names_its_pair"),
        (("", "TAO", "USD", 1, START, START), "fiat_price_names_its_pair"),
        (("taostats", "TAO", "USD", 2, START, START), "fiat_price_once"),
    ],
)
def test_ch5_the_database_refuses_what_is_no_quote(values: Sequence[Any], constraint: str) -> None:
    make_quote(START)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INSERT, values)
    assert FiatPrice.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ((START, START - MINUTE, START, 0, ""), "price_fetch_range_valid"),
        ((START, START + MINUTE, START, 0, ""), "price_fetch_range_valid"),
        ((START, START, START, 1, "failed"), "price_fetch_fails_whole"),
    ],
)
def test_ch5_the_database_refuses_what_is_no_fetch(values: Sequence[Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chain_pricefetch (source, base, quote, first_at, last_at, fetched_at, found_count, error, "
            "stored_count, differing_count) VALUES ('s', 'TAO', 'USD', %s, %s, %s, %s, %s, 0, 0)",
            values,
        )


@pytest.mark.parametrize("table", ["fiatprice", "pricefetch", "conversionprice"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_ch5_what_was_written_of_prices_stays(table: str, change: str) -> None:
    make_blocks(1, 1)
    moment = make_conversion(1).block.timestamp
    fill_in_prices(sources=[Listed("taostats", {moment: "300"})], now=moment + HOUR)
    connection.check_constraints()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change.format(f"chain_{table}"))
    assert ConversionPrice.objects.get().price.price == 300
    assert PriceFetch.objects.exists()


@pytest.mark.parametrize(("base", "minutes"), [("SOL", 0), ("TAO", 1)])
def test_ch4_a_quote_of_another_token_or_of_later_cannot_be_attached(base: str, minutes: int) -> None:
    make_blocks(1, 1)
    conversion = make_conversion(1)
    at = conversion.block.timestamp + minutes * MINUTE
    wrong = FiatPrice.objects.create(
        source="s", base=base, quote=USD, price=1, at=at, fetched_at=at, payload_sha256=SHA
    )
    with pytest.raises(DatabaseError, match="does not price conversion"), transaction.atomic():
        ConversionPrice.objects.create(conversion=conversion, price=wrong, attached_at=at)


def test_ch4_a_conversion_has_one_price() -> None:
    make_blocks(1, 1)
    conversion = make_conversion(1)
    row = make_quote(conversion.block.timestamp)
    ConversionPrice.objects.create(conversion=conversion, price=row, attached_at=START)
    with pytest.raises(IntegrityError, match="conversion_id"), transaction.atomic():
        ConversionPrice.objects.create(conversion=conversion, price=row, attached_at=START)


# --- the command and the task, over HTTP ---------------------------------------------------------------------

NOW = datetime(2025, 11, 20, 16, 5, tzinfo=UTC)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Both sources at one site: the exchange works, TaoStats has one price."""
    with price_site() as running, time_machine.travel(NOW, tick=False):
        monkeypatch.setattr(taostats, "BASE_URL", running.url)
        monkeypatch.setattr(coinbase, "BASE_URL", running.url)

        def answer(asked: Request) -> Reply:
            return Reply(page(row(28))) if asked.path.startswith("/api/price") else candles(asked)

        running.answer = answer
        yield running


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("fetch_prices", *arguments, stdout=out)
    return out.getvalue()


def test_ch5_the_command_fetches_a_range_of_days(site: Site) -> None:
    assert run("--from", "2025-11-19") == "162 quotes stored, 0 conversions priced.\n"
    assert run("--from", "2025-11-19", "--to", "2025-11-19").startswith("0 quotes stored")
    assert known(NOW).price == Decimal("322.5")
    assert set(FiatPrice.objects.values_list("source", flat=True)) == {"taostats", "coinbase"}


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--from", "20th"], "'20th' is not a day: write it like 2025-08-13"),
        (["--to", "2025-11-19"], "give --from DAY as well"),
        (["--from", "2025-11-21"], "2025-11-21 is in the future; .* today, 2025-11-20"),
        (["--from", "2025-11-19", "--to", "2025-11-17"], "--from 2025-11-19 is after --to 2025-11-17"),
        (["--from", "2025-11-19", "--to", "2025-11-21"], "2025-11-21 is in the future"),
        (["--from", "2025-11-19", "--to", "9999-12-31"], "9999-12-31 is in the future"),
        (["--from", "9999-12-31", "--to", "9999-12-31"], "9999-12-31 is in the future"),
        (["--from", "0001-01-01"], "no price of TAO is older than 2021-01-01"),
        (["--from", "2020-12-31", "--to", "2021-02-01"], "no price of TAO is older than 2021-01-01"),
        (["--from", ""], "'' is not a day"),
        (["--from", "2025-02-30"], "'2025-02-30' is not a day"),
        (["--from", "1" * 5_000], "is not a day"),
    ],
)
def test_ch5_the_command_refuses_what_is_no_range(site: Site, arguments: list[str], wrong: str) -> None:
    with pytest.raises(CommandError, match=wrong):
        run(*arguments)
    assert not site.asked


def test_ch5_the_command_says_which_source_failed_and_keeps_what_the_other_had(site: Site) -> None:
    site.answer = lambda asked: candles(asked) if asked.path.startswith("/products") else Reply(b"", 401)
    with pytest.raises(CommandError, match=r"taostats refuses us \(HTTP 401\): check its API key and plan"):
        run("--from", "2025-11-20")
    assert FiatPrice.objects.filter(source="coinbase").count() == 65
    assert "a-key-of-nobody" not in str(list(PriceFetch.objects.values()))


def test_ch5_the_command_names_the_setting_where_no_source_is_set(settings: Any) -> None:
    settings.RAKEBACK_PRICE_SOURCES = []
    with pytest.raises(CommandError, match="RAKEBACK_PRICE_SOURCES=taostats,coinbase"):
        run()


def test_ch5_the_task_fetches_what_is_new_and_without_sources_does_nothing(site: Site, settings: Any) -> None:
    assert fetch_prices_task() == 1 + 4
    assert fetch_prices_task() == 0
    settings.RAKEBACK_PRICE_SOURCES = []
    asked = len(site.asked)
    assert fetch_prices_task() == 0
    assert len(site.asked) == asked
