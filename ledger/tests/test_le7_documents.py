"""LE7: statements and year summaries as page, JSON, CSV and PDF with one content hash, in TAO and in dollars."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pypdf import PdfReader

from chain.fiat.models import FiatPrice
from chain.models import Side
from ledger import tasks
from ledger.documents import ROWS_MAX, file_of
from ledger.models import Period, PeriodPrice
from ledger.queries import statement, statements_of, year_summary, years_of
from ledger.services import attach_period_prices
from ledger.statements import Statement, StatementLine, UsdPrice
from ledger.tests.factories import HOTKEY, NOW
from ledger.tests.test_admin import sign_in, text_of
from ledger.tests.test_worked_example import close_two_days
from ledger.years import YearDay, YearSummary
from partners.models import Partner

ONE, TWO = datetime(2025, 1, 2, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC)
VIEW = "view_commissionline"
LINE = StatementLine(HOTKEY, 2, Side.ALPHA, 152, 3_300, 50)
PRICE = UsdPrice(Decimal("412.5"), "coinbase", ONE)


@pytest.fixture(autouse=True)
def _sources(settings: Any) -> None:
    settings.RAKEBACK_PRICE_SOURCES = ["taostats", "coinbase"]


def make_quote(at: datetime, price: str = "412.5", *, base: str = "TAO", quote: str = "USD") -> FiatPrice:
    return FiatPrice.objects.create(
        source="coinbase",
        base=base,
        quote=quote,
        price=Decimal(price),
        at=at,
        fetched_at=at,
        payload_sha256="0" * 64,
    )


def make_statement(*lines: StatementLine, **fields: object) -> Statement:
    found = Statement("acme", "Acme", "2025-01-01", 1, 1_440, lines, ((2, 7),), "f" * 64, ONE)
    return replace(found, **fields)  # type: ignore[arg-type]


def read(content: bytes) -> str:
    """The text of a PDF, one space between words, as somebody reads it."""
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages).split())


# --- dollars -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_le7_a_closed_day_has_the_price_at_its_end_once_and_for_ever() -> None:
    close_two_days()
    make_quote(ONE - timedelta(minutes=15), "400")
    make_quote(ONE + timedelta(minutes=1), "999")
    assert attach_period_prices(now=NOW) == 1
    row = PeriodPrice.objects.get()
    assert (row.period.key, row.price.price) == ("2025-01-01", Decimal(400))
    # A nearer quote that comes later changes nothing that was shown.
    make_quote(ONE, "500")
    make_quote(TWO, "410")
    assert tasks.price_periods() == 1
    assert attach_period_prices(now=NOW) == 0
    prices = PeriodPrice.objects.order_by("period__key").values_list("price__price", flat=True)
    assert list(prices) == [400, 410]


@pytest.mark.django_db
def test_le7_a_price_is_attached_once_it_has_settled() -> None:
    close_two_days()
    make_quote(TWO)
    assert attach_period_prices(now=TWO + timedelta(minutes=9)) == 0
    assert attach_period_prices(now=TWO + timedelta(minutes=10)) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("base", "quote", "minutes"), [("SOL", "USD", 0), ("TAO", "EUR", 0), ("TAO", "USD", 1)]
)
def test_le7_the_database_refuses_a_price_of_something_else_or_of_later(
    base: str, quote: str, minutes: int
) -> None:
    period = close_two_days()[0]
    wrong = make_quote(ONE + timedelta(minutes=minutes), base=base, quote=quote)
    with pytest.raises(IntegrityError, match="does not price period"), transaction.atomic():
        PeriodPrice.objects.create(period=period, price=wrong, attached_at=NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE ledger_periodprice SET price_id = price_id + 1",
        "UPDATE ledger_periodprice SET attached_at = now()",
        "DELETE FROM ledger_periodprice",
        "TRUNCATE ledger_periodprice",
    ],
)
def test_le7_the_price_of_a_closed_day_stays(attack: str) -> None:
    close_two_days()
    make_quote(ONE)
    attach_period_prices(now=NOW)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        # What waits for the commit would keep a table from being emptied, whatever else does.
        cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; {attack}")


@pytest.mark.django_db
def test_le7_a_day_has_one_price() -> None:
    period = close_two_days()[0]
    quote = make_quote(ONE)
    PeriodPrice.objects.create(period=period, price=quote, attached_at=NOW)
    with pytest.raises(IntegrityError, match="period_id"), transaction.atomic():
        PeriodPrice.objects.create(period=period, price=quote, attached_at=NOW)


@pytest.mark.django_db
def test_le7_the_price_is_no_part_of_the_hash_and_every_form_names_it() -> None:
    period = close_two_days()[0]
    partner = Partner.objects.get(slug="creative-builds")
    before = statement(partner, period)
    assert "usd" not in before.to_dict()
    make_quote(ONE)
    attach_period_prices(now=NOW)
    after = statement(partner, period)
    assert after.content_hash == before.content_hash
    assert [found.usd for found in statements_of(period)] == [PRICE, PRICE]
    # 83 rao at 412.5 dollars are 0.0000342375 dollars.
    assert after.usd
    assert after.usd.value(after.commission_rao) == Decimal("0.0000342375")
    assert after.to_dict()["usd"] == {
        "price": "412.5",
        "source": "coinbase",
        "at": "2025-01-02T00:00:00+00:00",
        "commission": "0.00",
    }
    rows = list(csv.DictReader(io.StringIO(after.to_csv())))
    assert [(row["usd_price"], row["commission_usd"]) for row in rows] == [("412.5", "0.00")] * 2
    page = text_of(sign_in(VIEW), reverse("admin:ledger_statement", args=[period.key, partner.slug]))
    assert "Dollars at $412.50 for one TAO, quoted by coinbase for 2025-01-02 00:00 UTC." in page
    assert "$0.00 at $412.50 for one TAO (coinbase, 2025-01-02 00:00 UTC)" in read(file_of(after, "pdf"))


@pytest.mark.django_db
def test_le7_a_price_that_is_not_known_is_not_zero() -> None:
    period = close_two_days()[0]
    partner = Partner.objects.get(slug="creative-builds")
    page = text_of(sign_in(VIEW), reverse("admin:ledger_statement", args=[period.key, partner.slug]))
    assert "no price yet" in page
    assert "$" not in read(file_of(statement(partner, period), "pdf"))
    assert "no price yet" in read(file_of(year_summary(partner, 2025), "pdf"))


# --- statements as PDF ------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("slug", ["creative-builds", "talisman"])
def test_le7_the_pdf_has_what_the_page_and_the_files_have(slug: str) -> None:
    period = close_two_days()[0]
    partner = Partner.objects.get(slug=slug)
    found, client = statement(partner, period), sign_in(VIEW)
    files = {
        form: client.get(reverse("admin:ledger_statement_file", args=[period.key, slug, form]))
        for form in ("json", "csv", "pdf")
    }
    assert {form: answer["Content-Type"] for form, answer in files.items()} == {
        "json": "application/json",
        "csv": "text/csv; charset=utf-8",
        "pdf": "application/pdf",
    }
    assert files["pdf"]["Content-Disposition"] == f'attachment; filename="statement-{slug}-2025-01-01.pdf"'
    page = text_of(client, reverse("admin:ledger_statement", args=[period.key, slug]))
    text = read(files["pdf"].content)
    for said in (page, text, files["csv"].content.decode()):
        assert found.content_hash in said
    assert json.loads(files["json"].content)["content_hash"] == found.content_hash
    assert f"Commission 0.{found.commission_rao:09d} TAO" in text
    for line in found.lines:
        row = f"{line.hotkey} 0.{line.base_rao:09d} {line.rate_bps // 100} % 0.{line.commission_rao:09d}"
        assert f"Subnet 2, {line.side.lower()} {row}" in text
    assert found.manifest_hash in text
    # 401 alpha of block 10 are left: of the parts 501, 300 and 200 of 1,001.
    pending = {"creative-builds": 201, "talisman": 120}[slug]
    assert f"Earned, not yet converted Subnet 2 0.{pending:09d} alpha" in text


def test_le7_the_same_statement_is_the_same_pdf_and_another_is_another() -> None:
    one = make_statement(LINE)
    assert file_of(one, "pdf") == file_of(make_statement(LINE), "pdf")
    assert file_of(one, "pdf") != file_of(make_statement(replace(LINE, commission_rao=51)), "pdf")


@pytest.mark.parametrize(
    "name", ["Ωμέγα Биткоин", "Zoë & Søn <b>", "名前", "a" * 120, "**bold** __x__ --y--"]
)
def test_le7_whatever_a_partner_is_called_the_pdf_is_drawn(name: str) -> None:
    text = read(file_of(make_statement(LINE, partner_name=name), "pdf"))
    assert "acme" in text
    if name[0] not in "名a":
        assert name in text


def test_le7_a_long_statement_goes_on_over_pages_and_says_what_it_leaves_out() -> None:
    wallet = replace(LINE, wallet=HOTKEY)
    lines = [replace(wallet, base_rao=number) for number in range(ROWS_MAX + 3)]
    found = make_statement(*lines)
    content = file_of(found, "pdf")
    pages = PdfReader(io.BytesIO(content)).pages
    assert len(pages) > 50
    assert all("Hotkey, and wallet" in page.extract_text() for page in pages[:50])
    assert f"2 of {len(pages)}" in pages[1].extract_text()
    text = read(content)
    assert "3 more lines are in the CSV and the JSON; the total has all." in text
    assert f"Total 0.{found.commission_rao:09d}" in text
    assert found.to_csv().count("\n") == ROWS_MAX + 4


def test_le7_an_empty_statement_and_lost_blocks_say_so() -> None:
    text = read(file_of(make_statement(lost_blocks=((5, 9),)), "pdf"))
    assert "Nothing became due in this period." in text
    assert "Blocks 5 to 9 could not be read from the chain." in text


def test_le7_gross_lines_sums_and_another_coin_are_named() -> None:
    gross = replace(LINE, basis="GROSS", wallets=3)
    text = read(file_of(make_statement(gross, currency="SOL"), "pdf"))
    assert "33 % of gross" in text
    assert "Commission, SOL" in text
    assert "Lines sum those of wallets" in text
    assert "never pays more than the take" in text


@pytest.mark.django_db
def test_le7_what_is_no_form_is_not_found() -> None:
    period = close_two_days()[0]
    client = sign_in(VIEW)
    text_of(client, reverse("admin:ledger_statement_file", args=[period.key, "talisman", "docx"]), 404)
    text_of(client, reverse("admin:ledger_year_file", args=[2025, "talisman", "docx"]), 404)


# --- the year --------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_le7_a_year_is_the_sum_of_its_days_in_every_form() -> None:
    close_two_days()
    make_quote(ONE, "400")
    make_quote(TWO, "500")
    attach_period_prices(now=NOW)
    partner = Partner.objects.get(slug="creative-builds")
    summary = year_summary(partner, 2025)
    # By hand: 83 rao on each day; 83 x 400 + 83 x 500 = 74,700 billionths of a dollar.
    assert [(day.day, day.commission_rao) for day in summary.days] == [("2025-01-01", 83), ("2025-01-02", 83)]
    assert (summary.commission_rao, summary.usd, summary.unpriced) == (166, Decimal("0.0000747"), 0)
    assert years_of(partner) == [2025]
    client = sign_in(VIEW)
    files = {
        form: client.get(reverse("admin:ledger_year_file", args=[2025, partner.slug, form])).content
        for form in ("json", "csv", "pdf")
    }
    page = text_of(client, reverse("admin:ledger_year", args=[2025, partner.slug]))
    for said in (page, files["csv"].decode(), files["json"].decode(), read(files["pdf"])):
        assert summary.content_hash in said
    assert (
        json.loads(files["json"])["days"][0]["manifest_hash"]
        == Period.objects.get(key="2025-01-01").manifest_hash
    )
    rows = list(csv.DictReader(io.StringIO(files["csv"].decode())))
    assert [(row["day"], row["commission_rao"], row["usd_price"]) for row in rows] == [
        ("2025-01-01", "83", "400"),
        ("2025-01-02", "83", "500"),
    ]
    assert "2025-01 2 0.000000166 $0.00 Total 0.000000166 $0.00" in read(files["pdf"])
    assert reverse("admin:ledger_statement", args=["2025-01-02", partner.slug]) in page


@pytest.mark.django_db
def test_le7_dollars_of_a_year_say_which_days_they_lack() -> None:
    close_two_days()
    make_quote(ONE, "400000000")
    attach_period_prices(now=NOW)
    partner = Partner.objects.get(slug="creative-builds")
    summary = year_summary(partner, 2025)
    assert (summary.usd, summary.unpriced) == (Decimal("33.2"), 1)
    page = text_of(sign_in(VIEW), reverse("admin:ledger_year", args=[2025, partner.slug]))
    for said in (page, read(file_of(summary, "pdf"))):
        assert "$33.20, 1 day without price" in said
        assert "Without a price yet: 1 day that earned something." in said
    assert json.loads(file_of(summary, "json"))["days_without_price"] == 1
    rows = list(csv.DictReader(io.StringIO(file_of(summary, "csv").decode())))
    assert [row["commission_usd"] for row in rows] == ["33.20", ""]


@pytest.mark.django_db
@pytest.mark.parametrize("year", [2024, 2026])
def test_le7_a_year_without_closed_days_says_so_and_leads_to_one_with(year: int) -> None:
    close_two_days()
    url = reverse("admin:ledger_year", args=[year, "talisman"])
    page = text_of(sign_in(VIEW), url)
    assert f"No day of {year} is closed." in page
    assert reverse("admin:ledger_year", args=[2025, "talisman"]) in page


@pytest.mark.django_db
@pytest.mark.parametrize("year", [0, 1999, 9999, 12345])
def test_le7_what_is_no_year_is_not_found(year: int) -> None:
    close_two_days()
    client = sign_in(VIEW)
    text_of(client, reverse("admin:ledger_year", args=[year, "talisman"]), 404)
    text_of(client, reverse("admin:ledger_year_file", args=[year, "talisman", "csv"]), 404)


DAYS = st.lists(
    st.tuples(
        st.dates(datetime(2025, 1, 1).date(), datetime(2025, 12, 31).date()),  # noqa: DTZ001
        st.integers(0, 10**18),
        st.none() | st.decimals(min_value="0.000001", max_value="100000", places=18),
    ),
    unique_by=lambda day: day[0],
)


@examples(max_examples=200, deadline=None)
@given(DAYS)
def test_le7_months_add_up_to_the_year_to_the_rao_and_to_the_last_digit(
    given_days: list[tuple[object, int, Decimal | None]],
) -> None:
    days = tuple(
        YearDay(str(day), rao, "f" * 64, None if price is None else UsdPrice(price, "coinbase", ONE))
        for day, rao, price in sorted(given_days, key=lambda day: str(day[0]))
    )
    summary = YearSummary("acme", "Acme", 2025, days)
    months = list(summary.months)
    assert sum(month.commission_rao for month in months) == summary.commission_rao
    assert sum(month.days for month in months) == len(days)
    assert sum(month.unpriced for month in months) == summary.unpriced
    known = [Fraction(month.usd) for month in months if month.usd is not None]
    assert (sum(known) if known else None) == (None if summary.usd is None else Fraction(summary.usd))
    exact = sum(Fraction(price) * rao for _, rao, price in given_days if price is not None and rao)
    assert Fraction(summary.usd or 0) * 10**9 == exact


# --- the command -----------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(("key", "form"), [("2025-01-01", "pdf"), ("2025", "pdf"), ("2025", "csv")])
def test_le7_the_command_writes_the_files_of_the_pages(tmp_path: Path, key: str, form: str) -> None:
    close_two_days()
    out = tmp_path / f"x.{form}"
    call_command("export_statement", "talisman", key, "--format", form, "--out", str(out))
    partner = Partner.objects.get(slug="talisman")
    found = year_summary(partner, 2025) if key == "2025" else statement(partner, Period.objects.get(key=key))
    assert out.read_bytes() == file_of(found, form)


@pytest.mark.django_db
def test_le7_the_command_names_a_year_without_days() -> None:
    close_two_days()
    with pytest.raises(CommandError, match="there is no closed period '2024'"):
        call_command("export_statement", "talisman", "2024")
