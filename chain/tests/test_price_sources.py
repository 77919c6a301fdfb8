"""Sources of TAO/USD (CH5) over real HTTP: what they answer is read exactly, and what is no price is refused by name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from chain.fiat import coinbase
from chain.fiat.coinbase import Coinbase
from chain.fiat.quotes import (
    SOURCE_NAMES,
    AccessRefused,
    BadAnswer,
    PriceSourceError,
    Quote,
    SourceUnavailable,
    believed,
    differ_bps,
    format_money,
    format_price,
    read_price,
    value_of,
)
from chain.fiat.sources import _MAKERS, price_sources
from chain.fiat.taostats import TaoStats
from chain.fiat.web import Website
from chain.tests.price_site import Reply, Request, Site, price_site

KEY = "tao-secret-of-nobody:1234"
FIRST, LAST = datetime(2025, 11, 20, 15, tzinfo=UTC), datetime(2025, 11, 20, 16, tzinfo=UTC)
NOW = datetime(2025, 11, 20, 16, 5, tzinfo=UTC)
# Recorded from /api/price/latest/v1 on 2025-11-20; a row of /api/price/history/v1 is the same.
RECORDED: dict[str, Any] = {
    "created_at": "2025-11-20T15:30:00Z",
    "updated_at": "2025-11-20T15:30:00Z",
    "name": "Bittensor",
    "symbol": "TAO",
    "slug": "bittensor",
    "circulating_supply": "10340832.6260981",
    "max_supply": "21000000",
    "total_supply": "21000000",
    "last_updated": "2025-11-20T15:28:00Z",
    "price": "322.124618259631",
    "volume_24h": "230294320.887392",
    "market_cap": "3331036762.1686",
    "percent_change_1h": "-1.64027229",
    "market_cap_dominance": "0.1076",
}
# Recorded from /api/price/ohlc/v1 on the same day.
RECORDED_CANDLE = {
    "period": "1d",
    "timestamp": "2025-11-20T00:00:00Z",
    "asset": "TAO",
    "volume_24h": "230294320.8873",
    "open": "325.3599",
    "high": "331.0745",
    "low": "320.7431",
    "close": "322.1246",
}


def page(*rows: Any, current: int = 1, following: int | None = None) -> dict[str, Any]:
    pagination = {
        "current_page": current,
        "per_page": 200,
        "total_items": len(rows),
        "total_pages": following or current,
        "next_page": following,
        "prev_page": current - 1 or None,
    }
    return {"pagination": pagination, "data": list(rows)}


def row(minute: int, price: Any = "322.5", **changed: Any) -> dict[str, Any]:
    return RECORDED | {"last_updated": f"2025-11-20T15:{minute:02}:00Z", "price": price} | changed


@pytest.fixture
def site() -> Iterator[Site]:
    with price_site() as running:
        yield running


@pytest.fixture
def taostats(site: Site) -> Iterator[TaoStats]:
    with Website("taostats", site.url, key=KEY, backoff_seconds=0, seconds_max=1) as website:
        yield TaoStats(website)


@pytest.fixture
def exchange(site: Site) -> Iterator[Coinbase]:
    with Website("coinbase", site.url, backoff_seconds=0) as website:
        yield Coinbase(website)


# --- TaoStats -------------------------------------------------------------------------------------------


def test_ch5_the_recorded_answer_of_taostats_is_read_to_the_last_digit(
    site: Site, taostats: TaoStats
) -> None:
    site.replies(Reply(page(RECORDED)))
    (quote,) = taostats.fetch("TAO", FIRST, LAST)
    assert (quote.source, quote.base, quote.quote) == ("taostats", "TAO", "USD")
    assert quote.price == Decimal("322.124618259631")
    assert quote.at == datetime(2025, 11, 20, 15, 28, tzinfo=UTC)
    assert len(quote.payload_sha256) == 64
    (asked,) = site.asked
    assert asked.path == "/api/price/history/v1"
    assert asked.query == {
        "asset": "tao",
        "timestamp_start": str(int(FIRST.timestamp())),
        "timestamp_end": str(int(LAST.timestamp())),
        "limit": "200",
        "page": "1",
    }
    assert asked.headers["Authorization"] == KEY


def test_ch5_pages_are_read_to_the_end_and_an_overlap_counts_once(site: Site, taostats: TaoStats) -> None:
    site.replies(
        Reply(page(row(40, "3"), row(30, "2"), following=2)),
        Reply(page(row(30, "2"), row(20, "1"), current=2)),
    )
    quotes = believed(taostats.fetch("TAO", FIRST, LAST), source=taostats, base="TAO", now=NOW)
    assert [quote.price for quote in quotes] == [1, 2, 3], (
        "in order of time, whatever the order of the answer"
    )
    assert [asked.query["page"] for asked in site.asked] == ["1", "2"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (page(row(1, "-322.5")), r"data\[0\].price is -322.5: a price is above zero"),
        (page(row(1, "0")), r"data\[0\].price is 0: a price is above zero"),
        (page(row(1, "0.000")), r"data\[0\].price is 0.000: a price is above zero"),
        (
            page(row(1), row(2, "322124618259631")),
            r"data\[1\].price is '322124618259631', which is not a plain",
        ),
        (page(row(1), row(2, "3221246.18")), r"data\[1\].price is 3221246.18: no price between"),
        (page(row(1, "0.00001")), r"data\[0\].price is 0.00001: no price between"),
        (page(row(1, "NaN")), r"data\[0\].price is 'NaN', which is not a plain decimal number"),
        (page(row(1, "3.2e2")), r"data\[0\].price is '3.2e2'"),
        (page(row(1, " 322")), r"data\[0\].price is ' 322'"),
        (page(row(1, "322,5")), r"data\[0\].price is '322,5'"),
        (page(row(1, "٣٢٢")), r"data\[0\].price"),
        (page(row(1, None)), r"data\[0\].price is None"),
        (page(row(1, True)), r"data\[0\].price is True"),
        (page(row(1, "1." + "1" * 19)), "more than 18 decimals"),
        (page(row(1, symbol="BTC")), r"data\[0\].symbol is 'BTC' where TAO was asked"),
        (page(row(1, last_updated="yesterday")), r"data\[0\].last_updated is 'yesterday'"),
        (
            page(row(1, last_updated="2025-11-20T15:01:00")),
            r"data\[0\].last_updated is .* no time with its zone",
        ),
        (page({"price": "1"}), r"data\[0\].symbol is missing"),
        (page(RECORDED_CANDLE), r"data\[0\].symbol is missing"),
        (page("row"), r"data\[0\].symbol is missing"),
        ({"data": []}, "pagination is missing"),
        ({"pagination": {}, "data": []}, "pagination.current_page is missing"),
        ({"pagination": page()["pagination"], "data": {}}, "data is not a list"),
        (page(current=2), "page 1 was asked, pagination names 2"),
        (page(following=7), "page 1 was asked, pagination names 1 and then 7"),
        ([], "data is missing"),
    ],
)
def test_ch5_what_is_no_price_is_refused_by_its_field(
    site: Site, taostats: TaoStats, body: Any, wrong: str
) -> None:
    site.replies(Reply(body))
    with pytest.raises(BadAnswer, match=wrong):
        taostats.fetch("TAO", FIRST, LAST)


def test_ch5_a_page_that_repeats_another_is_refused(site: Site, taostats: TaoStats) -> None:
    """What stood on the page that should have come would be missing."""
    site.answer = lambda asked: Reply(
        page(row(1), row(2), current=(n := int(asked.query["page"])), following=n + 1)
    )
    with pytest.raises(BadAnswer, match="page 2 of the prices repeats"):
        taostats.fetch("TAO", FIRST, LAST)


def test_ch5_pages_without_end_are_refused(
    site: Site, taostats: TaoStats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chain.fiat.taostats.PAGES_MAX", 3)
    site.answer = lambda asked: Reply(page(row(n := int(asked.query["page"])), current=n, following=n + 1))
    with pytest.raises(BadAnswer, match="more than 3 pages"):
        taostats.fetch("TAO", FIRST, LAST)
    assert len(site.asked) == 3


def test_ch5_taostats_is_not_asked_for_another_token(site: Site, taostats: TaoStats) -> None:
    with pytest.raises(BadAnswer, match="TAO only, not of SOL"):
        taostats.fetch("SOL", FIRST, LAST)
    assert not site.asked


# --- Coinbase, from answers made by hand after its documentation ---------------------------------------------

PRODUCT = {"id": "TAO-USD", "base_currency": "TAO", "quote_currency": "USD", "status": "online"}
EVERY = 900


def candles(asked: Request) -> Reply:
    """Candles as the documentation has them: newest first, numbers, [time, low, high, open, close, volume]."""
    if not asked.path.endswith("/candles"):
        return Reply(PRODUCT)
    start, end = (int(datetime.fromisoformat(asked.query[name]).timestamp()) for name in ("start", "end"))
    assert (end - start) // EVERY < 300, "more is rejected"
    rows = [
        f"[{at}, 1.0, 9.9, 2.5, {300 + at % 86_400 / 1000:.6f}, 12.25]" for at in range(start, end + 1, EVERY)
    ]
    return Reply(f"[{', '.join(reversed(rows))}]")


def test_ch5_a_quote_of_the_exchange_is_the_close_of_a_finished_candle(
    site: Site, exchange: Coinbase
) -> None:
    site.answer = candles
    quotes = believed(
        exchange.fetch("TAO", FIRST, LAST + timedelta(minutes=14)), source=exchange, base="TAO", now=NOW
    )
    assert [quote.at for quote in quotes] == [FIRST + timedelta(minutes=15 * n) for n in range(5)]
    # The candle that began at 14:45 ends at 15:00 with its close.
    assert quotes[0].price == Decimal("353.1")
    assert (quotes[0].source, quotes[0].quote) == ("coinbase", "USD")
    assert "Authorization" not in site.asked[0].headers


def test_ch5_a_long_range_is_cut_into_what_the_exchange_allows(site: Site, exchange: Coinbase) -> None:
    site.answer = candles
    quotes = exchange.fetch("TAO", FIRST - timedelta(days=10), LAST)
    moments = [quote.at for quote in quotes]
    assert len(set(moments)) == len(moments) == 10 * 96 + 5
    assert (min(moments), max(moments)) == (FIRST - timedelta(days=10), LAST)
    assert len(site.asked) == 1 + 4


@pytest.mark.parametrize(
    ("product", "wrong"),
    [
        (PRODUCT | {"quote_currency": "EUR"}, "quote_currency is 'EUR' where USD was asked"),
        (PRODUCT | {"base_currency": "TAOX"}, "base_currency is 'TAOX' where TAO was asked"),
        ({}, "base_currency is missing"),
        ([], "base_currency is missing"),
    ],
)
def test_ch5_another_currency_of_the_exchange_is_refused(
    site: Site, exchange: Coinbase, product: Any, wrong: str
) -> None:
    site.replies(Reply(product))
    with pytest.raises(BadAnswer, match=wrong):
        exchange.fetch("TAO", FIRST, LAST)


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ("[[1763650800, 1, 2, 3, -4.5, 6]]", r"candle\[0\].close is -4.5: a price is above zero"),
        ("[[1763650800, 1, 2, 3, 0, 6]]", r"candle\[0\].close is 0"),
        ("[[1763650800, 1, 2, 3, 1e999999999, 6]]", r"candle\[0\].close"),
        ("[[1763650800, 1, 2, 3, null, 6]]", r"candle\[0\].close is None"),
        ("[[1763650801, 1, 2, 3, 4, 6]]", r"candle\[0\].time is 1763650801, where no candle"),
        ('[["soon", 1, 2, 3, 4, 6]]', r"candle\[0\].time is 'soon'"),
        ("[[1e400, 1, 2, 3, 4, 6]]", r"candle\[0\].time"),
        ("[[1763650800, 1, 2, 3, 4]]", r"candle\[0\] has not the six numbers"),
        ("[[1763650800, 1, 2, 3, NaN, 6]]", "no JSON"),
        ('{"message": "NotFound"}', "the candles are not a list"),
    ],
)
def test_ch5_a_candle_that_is_none_is_refused_by_its_field(
    site: Site, exchange: Coinbase, rows: str, wrong: str
) -> None:
    site.replies(Reply(PRODUCT), Reply(rows))
    with pytest.raises(BadAnswer, match=wrong):
        exchange.fetch("TAO", FIRST, LAST)


def test_ch5_candles_without_trades_are_no_quotes(site: Site, exchange: Coinbase) -> None:
    site.replies(Reply(PRODUCT), Reply("[]"))
    assert exchange.fetch("TAO", FIRST, LAST) == []
    assert timedelta(seconds=EVERY) == coinbase.CANDLE


# --- HTTP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "error", "wrong"),
    [
        (
            Reply({"message": "no"}, 401),
            AccessRefused,
            r"taostats refuses us \(HTTP 401\): check its API key",
        ),
        (Reply({"message": "no"}, 403), AccessRefused, r"HTTP 403"),
        (Reply(b"", 404), BadAnswer, r"HTTP 404 to /api/price/history/v1"),
        (Reply(b"", 500), SourceUnavailable, r"out of order \(HTTP 500\)"),
        (Reply(b"", 503), SourceUnavailable, r"HTTP 503"),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:9/"}), BadAnswer, r"HTTP 302"),
        (Reply("<!doctype html><title>Just a moment"), BadAnswer, "no JSON; it begins '<!doctype html>"),
        (Reply(b"\xff\xfe\x00"), BadAnswer, "no JSON"),
        (Reply(b""), BadAnswer, "no JSON"),
        (Reply("[" * 100_000), BadAnswer, "no JSON"),
        (Reply('{"price": Infinity}'), BadAnswer, "no JSON"),
        (Reply(page(RECORDED), cut=40), SourceUnavailable, "could not be read"),
        (Reply(page(RECORDED), drip=0.3), SourceUnavailable, "took longer than 1 s"),
    ],
    ids=["401", "403", "404", "500", "503", "302", "html", "bytes", "empty", "deep", "inf", "cut", "drip"],
)
def test_ch5_a_website_that_fails_gives_no_price_and_says_what_to_do(
    site: Site,
    taostats: TaoStats,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
    error: type[PriceSourceError],
    wrong: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    site.replies(reply)
    with pytest.raises(error, match=wrong) as caught:
        taostats.fetch("TAO", FIRST, LAST)
    assert KEY not in str(caught.value) + caplog.text + repr(caught.value.__cause__)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_ch5_a_passing_failure_is_tried_again(site: Site, taostats: TaoStats, status: int) -> None:
    site.replies(Reply(b"", status), Reply(b"", status), Reply(page(RECORDED)))
    assert len(taostats.fetch("TAO", FIRST, LAST)) == 1
    assert len(site.asked) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_ch5_a_refusal_is_not_tried_again(site: Site, taostats: TaoStats, status: int) -> None:
    site.replies(Reply(b"", status))
    with pytest.raises(PriceSourceError):
        taostats.fetch("TAO", FIRST, LAST)
    assert len(site.asked) == 1


def test_ch5_a_source_that_asks_to_wait_is_waited_for(site: Site, taostats: TaoStats) -> None:
    site.replies(Reply(b"", 429, {"Retry-After": "1"}), Reply(page(RECORDED)))
    began = datetime.now(UTC)
    assert len(taostats.fetch("TAO", FIRST, LAST)) == 1
    assert datetime.now(UTC) - began >= timedelta(seconds=1)


def test_ch5_a_source_that_asks_to_wait_for_hours_is_left_for_the_next_run(
    site: Site, taostats: TaoStats, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    site.replies(Reply(b"", 429, {"Retry-After": "7200"}))
    with pytest.raises(SourceUnavailable, match="asks to wait 7200 s; it is asked again later"):
        taostats.fetch("TAO", FIRST, LAST)
    assert slept
    assert max(slept) <= 30


def test_ch5_an_answer_that_is_too_long_is_cut_off(site: Site) -> None:
    site.replies(Reply(b" " * 100_000))
    with (
        Website("taostats", site.url, bytes_max=10_000) as website,
        pytest.raises(BadAnswer, match="10,000 bytes"),
    ):
        website.get("/", {})


def test_ch5_a_site_that_is_away_is_unavailable() -> None:
    with price_site() as gone:
        pass
    with Website("taostats", gone.url, backoff_seconds=0) as website, pytest.raises(SourceUnavailable):
        website.get("/", {})


def test_ch5_a_netrc_of_the_machine_does_not_replace_the_key(
    site: Site, taostats: TaoStats, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    site.replies(Reply(page(RECORDED)))
    taostats.fetch("TAO", FIRST, LAST)
    assert site.asked[0].headers["Authorization"] == KEY


# --- what is believed -----------------------------------------------------------------------------------


def quote(minute: int, price: str = "3", **changed: Any) -> Quote:
    fields = {"source": "taostats", "base": "TAO", "quote": "USD", "payload_sha256": "ab" * 32}
    return Quote(at=FIRST + timedelta(minutes=minute), price=Decimal(price), **fields | changed)


@pytest.mark.parametrize(
    ("quotes", "wrong"),
    [
        ([quote(1, "3"), quote(1, "4")], "two prices for 2025-11-20 15:01:00 UTC, 3 and 4 USD"),
        ([quote(80)], "which is yet to come"),
        ([quote(1, base="SOL")], "a quote of SOL/USD from taostats where TAO/USD"),
        ([quote(1, quote="EUR")], "a quote of TAO/EUR"),
        ([quote(1, source="coinbase")], "from coinbase where"),
    ],
)
def test_ch5_quotes_that_contradict_what_was_asked_are_refused_whole(
    taostats: TaoStats, quotes: list[Quote], wrong: str
) -> None:
    with pytest.raises(BadAnswer, match=wrong):
        believed([quote(0), *quotes], source=taostats, base="TAO", now=NOW)


def test_ch5_a_quote_that_clocks_put_a_little_ahead_waits(taostats: TaoStats) -> None:
    quotes = [quote(68), quote(65), quote(0)]
    assert believed(quotes, source=taostats, base="TAO", now=NOW) == [quote(0), quote(65)]


def test_ch5_values_are_exact_and_rounded_only_to_be_shown() -> None:
    value = value_of(1_234_567_891, Decimal("322.124618259631"))
    assert Fraction(value) == Fraction(1_234_567_891 * 322_124_618_259_631, 10**21)
    assert value_of(21 * 10**15, Decimal("0.123456789012345678")) == Decimal("2592592.569259259238")
    assert (format_money(value), format_money(Decimal("1234567.895"))) == ("397.68", "1,234,567.90")
    assert [format_price(Decimal(text)) for text in ("322.124618259631000000", "1234", "0.5")] == [
        "322.124618259631",
        "1,234.00",
        "0.50",
    ]


def test_ch5_sources_differ_by_how_far_the_highest_lies_above_the_lowest() -> None:
    assert differ_bps([]) == differ_bps([Decimal(3)]) == differ_bps([Decimal(3), Decimal(3)]) == 0
    assert differ_bps([Decimal(100), Decimal("105.009"), Decimal(101)]) == 500
    assert differ_bps([Decimal(200), Decimal(100)]) == 10_000


def test_ch5_a_price_is_never_read_from_a_float() -> None:
    with pytest.raises(BadAnswer, match=r"price is 3\.5, which is not"):
        read_price(3.5, "price")


def test_op5_every_source_that_can_be_named_can_be_opened(settings: Any) -> None:
    assert tuple(_MAKERS) == SOURCE_NAMES
    settings.TAOSTATS_API_KEY = KEY
    settings.RAKEBACK_PRICE_SOURCES = ["coinbase", "taostats"]
    with price_sources() as sources:
        assert [source.name for source in sources] == ["coinbase", "taostats"]
    settings.RAKEBACK_PRICE_SOURCES = []
    with price_sources() as sources:
        assert sources == []
