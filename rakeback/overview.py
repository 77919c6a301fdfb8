"""The start page: what came in, what is owed, what needs a person today.

Numbers come from the queries of the apps; here they are only put into words and places. Each part is for those
who may see its rows, so a person without a right finds the part missing, not zero.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from chain.admin.cells import UNKNOWN
from chain.display import alpha_unit, amount_html
from chain.earnings.queries import DayTake, PoolTake, take_by_day, take_in_total, total_value
from chain.families import Family
from chain.keys import ROOT
from chain.models import Yield
from chain.network import coin, family
from chain.queries import last_block
from chain.tables import Column, Table
from chain.units import format_rao
from ledger.queries import Overview, bases_by_partner, delegators_by_partner, overview
from partners.models import PayoutAddress
from partners.rates import Basis
from payments.models import Batch
from rakeback.chart import Chart, Day, draw
from rakeback.overview_chain import add_reading, chain_figures, chain_todos
from rakeback.overview_parts import URGENCY, Figure, Todo

SUBNETS_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of the chart: a token, or the subnets too small to have their own."""

    title: str
    netuids: tuple[int, ...]
    colour: int


def add_to_index(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Give the admin's index the overview; Unfold's DASHBOARD_CALLBACK."""
    may = request.user.has_perm
    newest, now = last_block(), timezone.now()
    days = take_by_day() if may("chain.view_yield") else []
    series = choose_series(days, token_title(ROOT))
    ledger = overview() if may("ledger.view_period") and may("ledger.view_entry") else None
    figures: list[Figure] = []
    todos: list[Todo] = []
    tables: list[Table] = []
    totals = take_in_total() if may("chain.view_yield") else None
    if totals is not None:
        figures.append(take_figure(totals))
    if ledger:
        figures.extend(ledger_figures(ledger))
        tables.append(partner_table(ledger))
        todos.extend(ledger_todos(ledger))
    if may("chain.view_block"):
        figures.extend(chain_figures(newest, now))
        todos.extend(chain_todos(newest, now))
    if family() is Family.BITTENSOR:
        add_reading(may, newest, now, figures, todos)
    if may("payments.view_batch"):
        todos.extend(batch_todos())
    if may("partners.view_payoutaddress"):
        todos.extend(address_todos())
    if totals is not None:
        tables.append(take_table(totals))
    return context | {
        "title": "Overview",
        "figures": figures,
        "todos": sorted(todos, key=lambda todo: URGENCY.index(todo.tone)),
        "summaries": tables,
        "chart": draw_days(days, series) if days else None,
        "series": series,
        "unit": coin().unit,
        "takes_files": family() is not Family.BITTENSOR,
        "days_table": days_table(days, series) if days else None,
        "has_blocks": newest is not None,
        "may_see_take": may("chain.view_yield"),
    }


# --- take ---------------------------------------------------------------------------------------------


def token_title(netuid: int) -> str:
    """Name a token: root TAO or a subnet's alpha."""
    if netuid != ROOT:
        return f"Subnet {netuid}"
    return "Root TAO" if family() is Family.BITTENSOR else coin().unit


def choose_series(days: list[DayTake], root_title: str = "Root TAO") -> list[Series]:
    """Root, the largest subnets by value, and one for all others."""
    values: dict[int, int] = {}
    for day in days:
        for netuid, take in day.takes.items():
            values[netuid] = values.get(netuid, 0) + (take.value_rao or 0)
    subnets = sorted((netuid for netuid in values if netuid != ROOT), key=lambda n: (-values[n], n))
    shown, others = sorted(subnets[:SUBNETS_SHOWN_MAX]), subnets[SUBNETS_SHOWN_MAX:]
    series = [Series(root_title, (ROOT,), 0)] if ROOT in values else []
    series += [Series(f"Subnet {netuid}", (netuid,), place + 1) for place, netuid in enumerate(shown)]
    if others:
        series.append(Series(f"{len(others)} other subnets", tuple(sorted(others)), 6))
    return series


def series_value(day: DayTake, series: Series) -> int | None:
    """Worth in the coin of a day's take in a series; None when the day or a price is unknown."""
    if not day.block_count:
        return None
    return total_value([day.takes[netuid] for netuid in series.netuids if netuid in day.takes])


def draw_days(days: list[DayTake], series: list[Series]) -> Chart:
    """Place the chart's bars; days with an unknown part are shown as unknown."""
    shown = []
    for day in days:
        values = [series_value(day, one) for one in series]
        known = [value for value in values if value is not None]
        is_known = day.block_count > 0 and len(known) == len(values)
        parts = [f"{one.title} {_tao(value)}" for one, value in zip(series, values, strict=True)]
        shown.append(
            Day(
                label=f"{day.day:%-d %b}",
                readout=f"{day.day:%Y-%m-%d}: {_tao(day.value_rao)}, of it {', '.join(parts)}"
                if is_known
                else f"{day.day:%Y-%m-%d}: unknown",
                values=known if is_known else None,
            )
        )
    return draw(shown, [one.colour for one in series])


def _tao(value_rao: int | None) -> str:
    return UNKNOWN if value_rao is None else f"{format_rao(value_rao)} {coin().unit}"


def days_table(days: list[DayTake], series: list[Series]) -> Table:
    """The chart in numbers, newest first."""
    return Table(
        "Take per day in numbers",
        (
            Column("Day (UTC)"),
            Column("Blocks", right=True),
            *(Column(one.title, right=True) for one in series),
            Column("Together", right=True),
        ),
        [
            (
                f"{day.day:%Y-%m-%d}",
                f"{day.block_count:,}" if day.block_count else UNKNOWN,
                *(amount_html(series_value(day, one)) for one in series),
                amount_html(day.value_rao),
            )
            for day in reversed(days)
        ],
        note=f"Worth in {coin().unit} at the last price of each day",
    )


def take_figure(totals: list[PoolTake]) -> Figure:
    """All take in one number."""
    if not totals:
        return Figure("Take earned", UNKNOWN, "No epoch was ingested yet.")
    return Figure("Take earned", amount_html(total_value(totals)), "Worth now, all blocks ingested")


def take_table(totals: list[PoolTake]) -> Table:
    """All take by token."""
    return Table(
        "Take earned by token",
        (Column("Token"), Column("Take", right=True), Column("Worth now", right=True)),
        [
            (
                token_title(take.netuid),
                amount_html(take.take_rao, alpha_unit(take.netuid)),
                amount_html(take.value_rao),
            )
            for take in totals
        ],
        total=("Together", "", amount_html(total_value(totals))) if totals else (),
        note="At the newest price in each pool",
        empty="No epoch was ingested yet.",
    )


# --- ledger and payments ------------------------------------------------------------------------------


def ledger_figures(ledger: Overview) -> Iterator[Figure]:
    """Attributed, owed, approved and not paid."""
    waiting = ledger.unattributed_count
    yields = Yield.objects.count()
    if not yields:
        yield Figure("Attributed", UNKNOWN, "Nothing to attribute yet.")
    else:
        yield Figure(
            "Attributed",
            f"{yields - waiting:,} of {yields:,}",
            "All yields are split over their delegators" if not waiting else f"{waiting:,} yields wait",
            "rb-warn" if waiting else "",
        )
    if ledger.last_period is None:
        yield Figure("Owed to partners", UNKNOWN, "No day is closed yet.")
        yield Figure("Approved, unpaid", UNKNOWN, "No day is closed yet.")
        return
    yield Figure(
        "Owed to partners",
        amount_html(ledger.payable_rao + ledger.in_flight_rao),
        f"{ledger.period_count:,} closed days, through {ledger.last_period.key}",
    )
    yield Figure(
        "Approved, unpaid",
        amount_html(ledger.in_flight_rao),
        format_html("{} more is owed and waits for a batch", amount_html(ledger.payable_rao))
        if ledger.payable_rao
        else "Nothing else is owed",
    )


def _bases_html(sums: dict[str, int]) -> SafeString:
    """Each basis apart: take and gross dividend together would say nothing."""
    return format_html_join(
        "",
        "<div>{}{}</div>",
        ((amount_html(rao), " of gross" if basis == Basis.GROSS else "") for basis, rao in sums.items()),
    )


def partner_table(ledger: Overview) -> Table:
    """What each partner brought, earned and is owed."""
    delegators, bases = delegators_by_partner(), bases_by_partner()
    pending: dict[int, int | None] = {}
    for row in ledger.pending:
        if row.partner_id is not None:
            known = pending.get(row.partner_id, 0)
            pending[row.partner_id] = (
                None if known is None or row.value_rao is None else known + row.value_rao
            )
    closed = ledger.last_period is not None
    return Table(
        "Partners",
        (
            Column("Partner"),
            Column("Delegators", right=True),
            Column("Base", right=True),
            Column("Commission", right=True),
            Column("Owed", right=True),
            Column("Of it approved", right=True),
            Column("Not sold yet", right=True),
        ),
        [
            (
                format_html(
                    '<a href="{}">{}</a>',
                    reverse("admin:partners_partner_change", args=[row.partner.pk]),
                    row.partner.name,
                ),
                f"{delegators.get(row.partner.pk, 0):,}" if closed else UNKNOWN,
                _bases_html(bases.get(row.partner.pk, {Basis.TAKE: 0})) if closed else UNKNOWN,
                amount_html(row.commission_rao if closed else None),
                amount_html(row.payable_rao + row.in_flight_rao if closed else None),
                amount_html(row.in_flight_rao if closed else None),
                amount_html(pending.get(row.partner.pk, 0) if closed else None),
            )
            for row in ledger.partners
        ],
        note=f"Closed days through {ledger.last_period.key}; base is what commission is computed from, in {coin().unit}"
        if ledger.last_period
        else "No day is closed yet",
        empty="No partners yet. Add the first one under Partners, with an agreement and the wallets they brought.",
    )


def ledger_todos(ledger: Overview) -> Iterator[Todo]:
    """Yields to attribute and days to close."""
    if ledger.unattributed_count:
        yield Todo(
            "warning",
            "pie_chart",
            f"{ledger.unattributed_count:,} yields are not attributed",
            mark_safe('The schedule does it, or now: <code class="rb-command">manage.py attribute</code>'),
            reverse("admin:chain_yield_changelist"),
            "Yields",
        )
    due = ledger.next_close
    if due is None or not due.is_due:
        return
    if due.ok:
        yield Todo("info", "event_available", f"{due.day} can be closed", "All its checks hold.",
                   reverse("admin:ledger_close"), "Close due days")  # fmt: skip
    else:
        failed = next(check for check in due.checks if not check.ok)
        yield Todo("danger", "event_busy", f"{due.day} is over and cannot be closed",
                   f"{failed.name}: {failed.detail}", reverse("admin:ledger_close"), "See the checklist")  # fmt: skip


def batch_todos() -> Iterator[Todo]:
    """Batches that a second person should look at."""
    for batch in Batch.objects.filter(status=Batch.Status.PROPOSED).select_related("proposed_by")[:5]:
        yield Todo(
            "warning",
            "approval",
            f"{batch} waits for approval",
            format_html(
                "{} payout{}, {}, proposed by {} on {}",
                batch.payout_count,
                "" if batch.payout_count == 1 else "s",
                amount_html(batch.total_rao),
                batch.proposed_by,
                f"{batch.proposed_at:%Y-%m-%d}",
            ),
            reverse("admin:payments_batch_change", args=[batch.pk]),
            "Look at it",
        )


def address_todos() -> Iterator[Todo]:
    """New payout addresses that a second person should look at."""
    waiting = PayoutAddress.objects.filter(status=PayoutAddress.Status.REQUESTED)
    for version in waiting.select_related("partner", "requested_by")[:5]:
        yield Todo(
            "warning",
            "account_balance_wallet",
            f"A new payout address of {version.partner} waits for approval",
            f"Requested by {version.requested_by} on {version.requested_at:%Y-%m-%d}. "
            "Nothing is paid to them until it takes effect"
            + ("." if version.is_announced else ", and nobody of theirs was told yet."),
            reverse("admin:partners_payoutaddress_change", args=[version.pk]),
            "Look at it",
        )


# --- download -----------------------------------------------------------------------------------------

CSV_COLUMNS = ("day", "blocks", "netuid", "asset", "take_rao", "take", "value_rao", "value_tao")


def take_csv(request: HttpRequest) -> HttpResponse:
    """The chart's numbers, one row per day and token, in rao and written out; an unknown value is empty."""
    if not request.user.has_perm("chain.view_yield"):
        raise PermissionDenied
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="take-per-day.csv"'},
    )
    writer = csv.writer(response)
    writer.writerow(CSV_COLUMNS)
    for day in take_by_day():
        for take in day.takes.values():
            writer.writerow(
                [
                    f"{day.day:%Y-%m-%d}",
                    day.block_count,
                    take.netuid,
                    coin().unit if take.netuid == ROOT else "ALPHA",
                    take.take_rao,
                    _plain(take.take_rao),
                    "" if take.value_rao is None else take.value_rao,
                    "" if take.value_rao is None else _plain(take.value_rao),
                ]
            )
    return response


def _plain(rao: int) -> str:
    return format_rao(rao).replace(",", "")


take_csv_view = admin.site.admin_view(take_csv)
