"""The pages of prices (UI9, CH4, CH5): newest price, age, source, gaps; who may fetch; what is downloaded."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from celery import current_app
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from kombu.exceptions import OperationalError

from chain.fiat import coinbase
from chain.fiat.models import ConversionPrice, FiatPrice, PriceFetch
from chain.fiat.services import attach_prices, fetch_prices
from chain.line_chart import HEIGHT, WIDTH_OF_POINT, Point, draw_line
from chain.models import PoolPrice
from chain.tests.factories import START, make_blocks, make_conversion, make_price
from chain.tests.price_site import price_site
from chain.tests.test_fiat_prices import DAY, HOUR, MINUTE, Listed, make_quote
from chain.tests.test_price_sources import candles
from chain.units import U64F64_ONE

pytestmark = pytest.mark.django_db
FIAT, POOL = reverse("admin:chain_fiatprice_changelist"), reverse("admin:chain_poolprice_changelist")
FETCH = reverse("admin:chain_fiatprice_fetch")
NOW = START + 2 * DAY + 3 * HOUR


@pytest.fixture(autouse=True)
def _at_a_time(settings: Any) -> Iterator[None]:
    settings.RAKEBACK_PRICE_SOURCES = ["taostats", "coinbase"]
    with time_machine.travel(NOW, tick=False):
        yield


def signed_in(group: str) -> Client:
    user = User.objects.create_user(f"one {group}", is_staff=True)
    user.groups.set(Group.objects.filter(name=group))
    client = Client()
    client.force_login(user)
    return client


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def rows_of(client: Client, url: str) -> list[dict[str, str]]:
    response = client.get(url)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response.streaming, "a download of any length takes no more memory"
    return list(csv.DictReader(response.getvalue().decode().splitlines()))


def test_ch5_without_sources_the_page_says_what_to_set(settings: Any) -> None:
    settings.RAKEBACK_PRICE_SOURCES = []
    text = text_of(signed_in("operator"), FIAT)
    assert "No price source is set Name them in order: RAKEBACK_PRICE_SOURCES=taostats,coinbase" in text
    assert "No quotes yet" in text
    assert "Fetch now" not in text


def test_ch5_the_page_shows_the_price_its_source_its_age_and_the_gaps() -> None:
    make_blocks(1, 9)
    conversion = make_conversion(3)
    away = Listed("taostats", {NOW - 25 * MINUTE: "322.124618259631", START + DAY: "300"})
    fetch_prices(sources=[away, Listed("coinbase")], first=START, last=NOW, now=NOW)
    make_quote(NOW - 2 * HOUR, "310", "coinbase")
    text = text_of(signed_in("viewer"), FIAT)
    assert "One TAO now 322.124618259631 USD taostats, 25 min 0 s old" in text
    assert "Newest of coinbase 310.00 USD 2 h 0 min old, too old to count" in text
    assert "Without a price 2 Conversions and ends of days" in text
    assert f"Conversion in block {conversion.block_id}" in text
    assert (
        "taostats has no quote in the 60 min before it; coinbase has no quote in the 60 min before it" in text
    )
    assert "2025-01-03 00:00:00 End of the day" in text
    assert "2025-01-02 00:00:00 End of the day" not in text
    assert "✓ answered" in text
    assert "2025-01-03 02:35 UTC: " not in text, "the chart has a point every six hours"
    assert (
        "2025-01-03 03:00 UTC: 322.124618259631 USD, taostats"
        in signed_in("approver").get(FIAT).content.decode()
    )


def test_ch5_a_failing_source_and_a_disagreement_are_named() -> None:
    refused = Listed("taostats", failing=KeyError("x"))
    fetch_prices(sources=[refused, Listed("coinbase", {NOW: "100"})], first=NOW, last=NOW, now=NOW)
    make_quote(NOW - MINUTE, "106", "taostats")
    text = text_of(signed_in("viewer"), FIAT)
    assert (
        "The last request to taostats failed taostats gave an answer that makes no sense (KeyError)" in text
    )
    assert (
        "The sources differ by 6.0 % taostats 106.00 USD, coinbase 100.00 USD. The first in order counts"
        in text
    )
    assert "2025-01-03 03:00:00 6.00 % taostats 106.00 USD" in text


def test_ui9_the_page_asks_as_many_queries_for_many_quotes_and_gaps_as_for_few() -> None:
    client, counts = signed_in("viewer"), []
    for first, last in [(1, 4), (5, 60)]:
        make_blocks(first, last)
        for number in range(first, last + 1):
            make_conversion(number)
            make_quote(START + number * MINUTE)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(FIAT)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_ch4_a_conversion_shows_its_worth_with_source_and_age_or_that_there_is_none() -> None:
    make_blocks(1, 9)
    priced, waiting, lacking = make_conversion(2), make_conversion(9), make_conversion(4)
    quote = make_quote(priced.block.timestamp - 12 * MINUTE, "322.1246")
    make_quote(priced.block.timestamp - 3 * MINUTE, "320", "coinbase")
    attach_prices(now=NOW)
    make_quote(waiting.block.timestamp)
    client = signed_in("viewer")
    text = text_of(client, reverse("admin:chain_conversion_changelist"))
    assert "644.25 USD taostats, 12 min 0 s before" in text
    assert text.count("no price yet") == 2
    page = text_of(client, reverse("admin:chain_conversion_change", args=[priced.pk]))
    assert (
        "322.1246 USD for one TAO, says taostats of 2025-01-01 05:48:00 , 12 min 0 s before the block" in page
    )
    assert "coinbase 320.00 USD 2025-01-01 05:57:00 3 min 0 s" in page
    assert (
        'title="644.2492 USD"'
        in client.get(reverse("admin:chain_conversion_change", args=[priced.pk])).content.decode()
    )
    assert "no price yet: taostats was not asked yet; coinbase was not asked yet" in text_of(
        client, reverse("admin:chain_conversion_change", args=[lacking.pk])
    )
    assert "no price yet: it is known and will be attached by the next run" in text_of(
        client, reverse("admin:chain_conversion_change", args=[waiting.pk])
    )
    assert "taostats 322.1246 USD" in text_of(
        client, reverse("admin:chain_fiatprice_change", args=[quote.pk])
    )


def test_ch5_quotes_are_downloaded_exactly_as_they_are_filtered() -> None:
    make_quote(START, "322.124618259631")
    make_quote(START + DAY, "1234.5")
    make_quote(START, "1", "coinbase")
    client = signed_in("viewer")
    link = re.search(r'href="([^"]*/csv/[^"]*)"', client.get(f"{FIAT}?source=taostats").content.decode())
    url = link[1] if link else reverse("admin:chain_fiatprice_csv") + "?source=taostats"
    rows = rows_of(client, url)
    assert [(row["at"], row["price"], row["source"]) for row in rows] == [
        ("2025-01-02T00:00:00+00:00", "1234.50", "taostats"),
        ("2025-01-01T00:00:00+00:00", "322.124618259631", "taostats"),
    ]
    assert len(rows_of(client, reverse("admin:chain_fiatprice_csv"))) == 3


def test_ch5_pool_prices_are_shown_charted_and_downloaded() -> None:
    make_blocks(1, 9)
    make_price(2, sqrt_price=U64F64_ONE // 2)
    make_price(7, netuid=3)
    PoolPrice.objects.create(
        block_id=9, netuid=2, tao_reserve_rao=3 * 10**9, alpha_reserve_rao=6 * 10**9, pricing="BALANCER",
        quote_weight=6 * 10**17,
    )  # fmt: skip
    client = signed_in("viewer")
    html = client.get(f"{POOL}?netuid=2").content.decode()
    assert "One α2 in TAO" in html
    assert "2025-01-03 00:00 UTC: 0.333333333 TAO" in html
    assert "2025-01-02 18:00 UTC: no price was needed" in html
    text = text_of(client, f"{POOL}?netuid=2")
    assert "0.250000000 TAO" in text
    assert "Weighted reserves" in text
    rows = rows_of(client, reverse("admin:chain_poolprice_csv") + "?netuid=2")
    assert [(row["block"], row["price_rao"], row["price_tao"], row["sqrt_price"]) for row in rows] == [
        ("9", "333333333", "0.333333333", ""),
        ("2", "250000000", "0.250000000", str(U64F64_ONE // 2)),
    ]
    page = text_of(
        client, reverse("admin:chain_poolprice_change", args=[PoolPrice.objects.get(block_id=9).pk])
    )
    assert "0.600000000000000000" in page


def test_ui9_the_chart_of_pools_is_empty_without_prices() -> None:
    text = text_of(signed_in("viewer"), POOL)
    assert "No pool prices yet" in text
    assert "Download CSV" not in text


# --- who may do what --------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["viewer", "approver"])
def test_pa6_who_may_not_fetch_has_no_button_and_is_refused(group: str) -> None:
    client = signed_in(group)
    assert "Fetch now" not in text_of(client, FIAT)
    assert client.post(FETCH).status_code == 403
    assert not PriceFetch.objects.exists()


@pytest.mark.parametrize("name", ["fiatprice", "poolprice"])
def test_pa6_staff_without_a_group_downloads_nothing(name: str) -> None:
    client = signed_in("nobody")
    assert client.get(reverse(f"admin:chain_{name}_csv")).status_code == 403
    assert client.post(FETCH).status_code == 403
    anonymous = Client().get(reverse(f"admin:chain_{name}_csv"))
    assert (anonymous.status_code, "/login/" in anonymous.url) == (302, True)  # type: ignore[attr-defined]


def test_pa6_nobody_writes_prices_by_hand() -> None:
    row = make_quote(START)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    assert client.get(reverse("admin:chain_fiatprice_add")).status_code == 403
    assert client.post(reverse("admin:chain_fiatprice_delete", args=[row.pk])).status_code == 403
    assert (
        client.post(reverse("admin:chain_fiatprice_change", args=[row.pk]), {"price": "1"}).status_code == 403
    )
    assert FiatPrice.objects.get().price == 300


def test_ch5_fetch_now_has_a_worker_do_what_the_schedule_does(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.RAKEBACK_PRICE_SOURCES = ["coinbase"]
    monkeypatch.setitem(current_app.conf, "task_always_eager", True)
    make_blocks(1, 9)
    make_conversion(2)
    with price_site() as site:
        site.answer = candles
        monkeypatch.setattr(coinbase, "BASE_URL", site.url)
        client = signed_in("operator")
        assert client.get(FETCH).status_code == 405
        response = client.post(FETCH, follow=True)
    assert "Prices are being fetched. Look again in a minute." in response.content.decode()
    assert ConversionPrice.objects.get().price.source == "coinbase"
    assert "Without a price 0" in text_of(client, FIAT)


def test_ch5_fetch_now_says_when_no_worker_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**options: Any) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr("chain.admin.prices.fetch_prices.apply_async", unreachable)
    response = signed_in("operator").post(FETCH, follow=True)
    assert "No worker can be reached, so nothing is fetched." in response.content.decode()


# --- the line ---------------------------------------------------------------------------------------------


def test_ui9_a_line_breaks_where_nothing_is_known_and_keeps_within_round_values() -> None:
    values = [None, 31_000, 32_250, None, 30_500, None]
    chart = draw_line([Point(f"d{n}", "", value) for n, value in enumerate(values)], str)
    assert chart is not None
    assert chart.ticks == ("32500", "32000", "31500", "31000", "30500")
    half, quarter = WIDTH_OF_POINT // 2, WIDTH_OF_POINT // 4
    assert chart.lines == (
        f"{100 + half},{HEIGHT * 3 // 4} {200 + half},{HEIGHT - HEIGHT * 1_750 // 2_000}",
        f"{400 + quarter},{HEIGHT} {400 + 3 * quarter},{HEIGHT}",
    )
    assert [place.is_unknown for place in chart.places] == [value is None for value in values]
    assert (chart.width, chart.grid) == (600, (750, 500, 250, 0))


def test_ui9_a_line_of_equal_values_has_a_scale_and_one_of_nothing_is_none() -> None:
    flat = draw_line([Point("", "", 7)] * 3, str)
    assert flat is not None
    assert flat.ticks == ("8", "7")
    assert draw_line([Point("", "", None)], str) is None
    assert draw_line([], str) is None
