"""The overview and its chart: what it says, to whom, and that it never shows zero for what is unknown (UI1, UI9)."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from chain.earnings.queries import DayTake, PoolTake
from chain.fiat.models import FiatPrice
from chain.models import Backfill, Endpoint, Network
from chain.tests.factories import (
    START,
    TAO,
    key,
    make_backfill,
    make_blocks,
    make_endpoint,
    make_gap,
    make_position,
    make_price,
    make_run,
    make_yield,
)
from ledger.services import attribute_yields, close_due_days
from partners.services import add_agreement, add_rule, add_wallets, create_partner
from rakeback.chart import HEIGHT, Day, draw, scale, tick_text
from rakeback.overview import choose_series, series_value

NOW = datetime(2025, 3, 1, tzinfo=UTC)
AMOUNTS = st.integers(min_value=0, max_value=21 * 10**15)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    return client_of(User.objects.create_superuser("root"))


def overview_text(client: Client) -> str:
    response = client.get("/admin/")
    assert response.status_code == 200
    content = response.content.decode()
    body = content[content.index('id="content"') :]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def make_earnings() -> None:
    """Two closed days in which the partner's one delegator holds a quarter of the pool, and a third day begun."""
    actor = User.objects.create_user("olivia")
    make_blocks(1, 9)
    make_position(key("theirs"), first=0, share=2_500)
    make_position(key("ours"), first=0, share=7_500)
    for block in (2, 6):
        make_yield(block, take_rao=4 * TAO, dividend_rao=40 * TAO)
        make_price(block)
    make_yield(6, netuid=2, side="ROOT", take_rao=TAO, share_total=10_000 * 2**64)
    make_position(key("theirs"), netuid=0, first=0, share=10_000)
    partner = create_partner(
        actor=actor,
        name="Creative Builds",
        slug="cb",
        contact_email="",
        notes="",
        reason="-",
    )
    agreement = add_agreement(
        actor=actor, partner=partner, rate_bps=3_300, starts_at=datetime(2025, 1, 1, tzinfo=UTC), reason="-"
    )
    add_rule(actor=actor, agreement=agreement, applies_from_block=1, reason="-")
    add_wallets(
        actor=actor,
        partner=partner,
        addresses=[key("theirs")],
        introduced_date=datetime(2025, 1, 1, tzinfo=UTC).date(),
        reason="-",
    )


@pytest.mark.django_db
def test_ui1_an_empty_site_says_where_to_begin_and_shows_no_zero(admin: Client) -> None:
    said = overview_text(admin)
    assert "manage.py ingest --segment FILE" in said
    assert "0.000000000" not in said
    assert "Owed to partners –" in said
    assert "Last block –" in said


@pytest.mark.django_db
def test_ui1_the_overview_sums_up_take_debts_and_the_partner(admin: Client) -> None:
    make_earnings()
    attribute_yields(now=NOW)
    close_due_days(actor=None, now=NOW)
    said = overview_text(admin)
    assert "Take earned 9.000000000 TAO" in said
    assert "Attributed 3 of 3" in said
    # Only the root take is in TAO: 33 % of one TAO.
    assert "Owed to partners 0.330000000 TAO 2 closed days, through 2025-01-02" in said
    assert "Approved, unpaid 0.000000000 TAO" in said
    # Delegators, base, commission, owed, approved, and a quarter of the 8 alpha that are not sold.
    row = "Creative Builds 1 1.000000000 TAO 0.330000000 TAO 0.330000000 TAO 0.000000000 TAO 2.000000000 TAO"
    assert row in said
    assert "Subnet 2 8.000000000 α2 8.000000000 TAO" in said


@pytest.mark.django_db
def test_ui1_before_the_first_close_debts_are_unknown(admin: Client) -> None:
    make_earnings()
    said = overview_text(admin)
    assert "Owed to partners –" in said
    assert "Creative Builds – – – – – –" in said
    assert "3 yields wait" in said
    assert "3 yields are not attributed" in said


@pytest.mark.django_db
def test_ui1_what_needs_a_person_is_listed_the_urgent_first(admin: Client) -> None:
    make_earnings()
    attribute_yields(now=NOW)
    make_gap(5, 7)
    make_run("FAILED", error="SourceError: gone")
    content = admin.get("/admin/")
    titles = [todo.title for todo in content.context["todos"]]
    assert titles[:2] == ["Gap: blocks 5 to 6", "The last ingest run failed: segment test.gz"]
    assert "2025-01-01 can be closed" in titles
    assert titles[-1].startswith("The newest block is")
    tones = [todo.tone for todo in content.context["todos"]]
    assert tones == sorted(tones, key=["danger", "warning", "info"].index)


@pytest.mark.django_db
def test_ui1_nodes_a_backfill_and_the_price_are_on_the_overview(admin: Client, settings: Any) -> None:
    make_blocks(1, 9)
    said = overview_text(admin)
    for word in ("Nodes that do well", "Backfill", "One TAO", "in dollars"):
        assert word not in said, "nothing is asked of nodes or prices, so nothing is said of them"
    make_endpoint(0)
    make_endpoint(1, "FAILING", "SourceError: it hangs up")
    make_backfill(10, 109, "PAUSED")
    settings.RAKEBACK_PRICE_SOURCES = ["coinbase"]
    said = overview_text(admin)
    assert "Nodes that do well 1 of 2 Final up to block 7,300,000, 7,299,991 ahead of what is stored" in said
    assert "SourceError: it hangs up. The others are asked." in said
    assert "paused 0 % 0 of 100 blocks stored" in said
    assert "One TAO – No quote is new enough" in said
    assert "TAO has no price in dollars coinbase was not asked yet" in said
    Endpoint.objects.filter(position=0).update(condition="STALE")
    assert "No other node is left to read from" in overview_text(admin)
    fresh = timezone.now() - timedelta(minutes=5)
    FiatPrice.objects.create(
        base="TAO",
        quote="USD",
        price="312.5",
        source="coinbase",
        at=fresh,
        fetched_at=fresh,
        payload_sha256="ab" * 32,
    )
    said = overview_text(admin)
    assert "One TAO 312.50 USD coinbase, 5 min" in said
    assert "has no price" not in said


@pytest.mark.django_db
def test_ui1_a_backfill_that_runs_shows_how_far_it_is_and_asks_for_nobody(admin: Client) -> None:
    make_blocks(1, 59)
    backfill = make_backfill(10, 109, "RUNNING")
    Backfill.objects.update(seen_at=timezone.now())
    content = admin.get("/admin/")
    assert "50 of 100 blocks stored (50 %)" in overview_text(admin)
    assert not [todo for todo in content.context["todos"] if "Backfill" in todo.title]
    Backfill.objects.update(seen_at=START)
    titles = [todo.title for todo in admin.get("/admin/").context["todos"]]
    assert f"Backfill {backfill.pk}: no worker is heard of" in titles


@pytest.mark.django_db
def test_ui1_a_gap_that_keeps_a_day_open_is_named_with_the_failed_check(admin: Client) -> None:
    make_earnings()
    attribute_yields(now=NOW)
    make_gap(2, 3)
    assert "2025-01-01 is over and cannot be closed" in overview_text(admin)


@pytest.mark.django_db
def test_ui1_everyone_sees_only_what_they_may_see_elsewhere() -> None:
    make_earnings()
    attribute_yields(now=NOW)
    close_due_days(actor=None, now=NOW)
    stranger = User.objects.create_user("stranger", is_staff=True)
    said = overview_text(client_of(stranger))
    for word in ("Take earned", "Owed", "Creative Builds", "Last block", "Attributed"):
        assert word not in said
    assert client_of(stranger).get("/admin/overview/take.csv").status_code == 403
    reader = User.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_yield"))
    said = overview_text(client_of(reader))
    assert "Take earned" in said
    assert "Owed" not in said
    assert client_of(reader).get("/admin/overview/take.csv").status_code == 200


@pytest.mark.django_db
def test_ui1_the_overview_asks_a_fixed_number_of_queries(admin: Client) -> None:
    make_earnings()
    attribute_yields(now=NOW)
    close_due_days(actor=None, now=NOW)
    with CaptureQueriesContext(connection) as few:
        admin.get("/admin/")
    make_blocks(10, 120)
    for block in range(10, 120, 3):
        make_yield(block, netuid=block)
        make_price(block, netuid=block)
    with CaptureQueriesContext(connection) as many:
        admin.get("/admin/")
    assert len(many) <= len(few) <= 56, (len(few), len(many))


@pytest.mark.django_db
def test_ui9_the_csv_has_the_charts_numbers_in_rao(admin: Client) -> None:
    make_earnings()
    make_yield(9, netuid=7, take_rao=123)
    answer = admin.get("/admin/overview/take.csv")
    assert answer["Content-Disposition"] == 'attachment; filename="take-per-day.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["day"], row["netuid"], row["take_rao"], row["value_rao"]) for row in rows] == [
        ("2025-01-01", "2", str(4 * TAO), str(4 * TAO)),
        ("2025-01-02", "0", str(TAO), str(TAO)),
        ("2025-01-02", "2", str(4 * TAO), str(4 * TAO)),
        ("2025-01-03", "7", "123", ""),
    ]
    assert rows[3]["take"] == "0.000000123"


@pytest.mark.django_db
def test_ui9_the_sidebar_links_what_the_person_may_open() -> None:
    stranger = User.objects.create_user("stranger", is_staff=True)
    assert b"/admin/chain/block/" not in client_of(stranger).get("/admin/").content
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.add(Group.objects.get(name="viewer"))
    content = client_of(viewer).get("/admin/").content.decode()
    assert 'href="/admin/chain/block/"' in content
    assert 'href="/admin/partners/partner/"' in content
    assert "/admin/auth/user/" not in content


@pytest.mark.django_db
def test_ch8_the_sidebar_has_what_the_kind_of_chain_has(admin: Client) -> None:
    def titles() -> set[str]:
        groups = admin.get("/admin/").context["sidebar_navigation"]
        return {item["title"] for group in groups for item in group["items"]}

    bittensor = titles()
    assert "Imports" not in bittensor
    Network.objects.create(id=1, name="s", family="SOLANA", genesis_hash="g", ss58_prefix=None)
    assert bittensor - titles() == {
        "Conversions", "Remarks", "Positions", "Pool prices", "TAO in dollars", "Nodes", "Ingest runs", "Backfills",
        "Runtimes", "Batches", "Payouts",
    }  # fmt: skip
    assert titles() - bittensor == {"Imports"}


@pytest.mark.django_db
def test_ui9_the_sidebar_counts_open_gaps(admin: Client) -> None:
    def badges() -> list[str]:
        groups = admin.get("/admin/").context["sidebar_navigation"]
        return [item["badge"] for group in groups for item in group["items"] if item["badge"]]

    assert badges() == []
    make_gap(1, 2)
    make_gap(5, 9)
    assert badges() == ["2"]


# --- the chart, without a database --------------------------------------------------------------------


@given(st.lists(st.lists(AMOUNTS, min_size=3, max_size=3) | st.none(), max_size=30))
def test_ui1_bars_stack_without_holes_and_never_leave_the_plot(days: list[list[int] | None]) -> None:
    chart = draw([Day("1 Jan", "", values) for values in days], [0, 1, 6])
    assert len(chart.bars) == len(days)
    for bar, values in zip(chart.bars, days, strict=True):
        assert bar.is_unknown is (values is None)
        reached = HEIGHT
        for part in bar.parts:
            assert part.y + part.height == reached
            assert part.height > 0
            reached = part.y
        assert reached >= 0
        if values and not sum(values):
            assert bar.parts == ()


@given(AMOUNTS)
def test_ui1_the_scale_reaches_the_highest_bar_in_round_steps(highest: int) -> None:
    step, count = scale(highest)
    assert str(step).rstrip("0") in {"1", "2", "5"}
    assert 1 <= count <= 4
    assert step * count >= highest
    assert step == 1 or step * (count - 1) < max(highest, 1)


def test_ui1_ticks_are_written_without_needless_zeros() -> None:
    assert [tick_text(rao) for rao in (0, TAO // 2, 2 * TAO, 1_000 * TAO)] == ["0", "0.5", "2", "1,000"]


def test_ui1_small_subnets_share_a_colour_and_nothing_is_lost() -> None:
    takes = {netuid: PoolTake(netuid, netuid, netuid) for netuid in range(9)}
    day = DayTake(datetime(2025, 1, 1, tzinfo=UTC).date(), 1, takes)
    series = choose_series([day])
    assert [one.title for one in series] == [
        "Root TAO",
        *(f"Subnet {n}" for n in range(4, 9)),
        "3 other subnets",
    ]
    assert sum(series_value(day, one) or 0 for one in series) == day.value_rao == sum(range(9))


def test_ui1_an_unknown_price_makes_its_series_unknown() -> None:
    day = DayTake(datetime(2025, 1, 1, tzinfo=UTC).date() + timedelta(1), 1, {2: PoolTake(2, 5, None)})
    assert series_value(day, choose_series([day])[0]) is None
