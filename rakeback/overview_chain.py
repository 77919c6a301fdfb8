"""What the overview says of reading the chain: blocks and gaps, nodes, a backfill, the price of the coin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from chain.admin.cells import UNKNOWN, duration_text
from chain.admin.prices import quote_html
from chain.backfill.services import describe_progress, get_progress, is_silent, open_backfill
from chain.families import Family
from chain.fiat.queries import Price, price_at
from chain.models import Backfill, Block, Endpoint, Gap, IngestRun
from chain.network import family
from rakeback.overview_parts import Figure, Todo

# A block takes 12 seconds; ten minutes without one is no chance.
LAG_SECONDS_MAX = 600
_WELL = (Endpoint.Condition.HEALTHY, Endpoint.Condition.UNTRIED)


# --- blocks -------------------------------------------------------------------------------------------


def chain_figures(newest: Block | None, now: datetime) -> Iterator[Figure]:
    """Open gaps, the newest block and how far behind it is."""
    gaps = Gap.objects.filter(state=Gap.State.OPEN).count()
    url = reverse("admin:chain_gap_changelist")
    if newest is None:
        yield Figure("Open gaps", UNKNOWN, "Nothing was ingested yet.")
        yield Figure("Last block", UNKNOWN, "Nothing was ingested yet.")
        return
    yield Figure(
        "Open gaps",
        f"{gaps:,}",
        format_html('<a href="{}?status=open">They keep days from closing</a>', url)
        if gaps
        else "Every block asked for is there",
        "rb-bad" if gaps else "",
    )
    yield Figure(
        "Last block",
        format_html(
            '<a class="rb-plain" href="{}">{}</a>',
            reverse("admin:chain_block_change", args=[newest.pk]),
            f"{newest.number:,}",
        ),
        f"{newest.timestamp.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {duration_text(now - newest.timestamp)} behind now",
    )


def chain_todos(newest: Block | None, now: datetime) -> Iterator[Todo]:
    """Gaps, a failed run, a head that does not move."""
    for gap in Gap.objects.filter(state=Gap.State.OPEN)[:5]:
        yield Todo("danger", "broken_image",
                   f"Gap: {gap.blocks_text}",
                   f"{gap.get_kind_display()}. {gap.reason}",
                   reverse("admin:chain_gap_change", args=[gap.pk]), "What to do")  # fmt: skip
    run = IngestRun.objects.order_by("-id").first()
    if run is not None and run.status == IngestRun.Status.FAILED:
        yield Todo("danger", "downloading", f"The last ingest run failed: {run.source}", run.error,
                   reverse("admin:chain_ingestrun_change", args=[run.pk]), "See the run")  # fmt: skip
    if family() is not Family.BITTENSOR:
        return
    if newest is not None and (now - newest.timestamp).total_seconds() > LAG_SECONDS_MAX:
        yield Todo(
            "info",
            "hourglass_top",
            f"The newest block is {duration_text(now - newest.timestamp)} old",
            mark_safe(
                "Nothing newer was read. To follow the chain: set RAKEBACK_NODE_URL and run the scheduler, or "
                '<code class="rb-command">manage.py ingest --follow --url wss://…</code>'
            ),
            reverse("admin:chain_ingestrun_changelist"),
            "Ingest runs",
        )  # fmt: skip


def add_reading(
    may: Callable[[str], bool], newest: Block | None, now: datetime, figures: list[Figure], todos: list[Todo]
) -> None:
    """Add what a person may see of nodes, of the backfill, and of the price where sources are configured."""
    if may("chain.view_endpoint"):
        nodes = list(Endpoint.objects.exclude(position=None))
        figures.extend(node_figures(nodes, newest))
        todos.extend(node_todos(nodes))
    if may("chain.view_backfill"):
        backfill = open_backfill()
        figures.extend(backfill_figures(backfill))
        todos.extend(backfill_todos(backfill, now))
    if may("chain.view_fiatprice") and settings.RAKEBACK_PRICE_SOURCES:
        price = price_at(now)
        figures.extend(price_figures(price))
        todos.extend(price_todos(price))


# --- nodes --------------------------------------------------------------------------------------------


def node_figures(nodes: Sequence[Endpoint], newest: Block | None) -> Iterator[Figure]:
    """How many nodes do well, and how far the chain is ahead of what is stored."""
    if not nodes:
        return
    well = [node for node in nodes if node.condition in _WELL]
    heads = [node.head_block for node in well if node.head_block is not None]
    if not heads:
        note = "None named its finalized head yet"
    elif newest is None or max(heads) <= newest.number:
        note = f"Final up to block {max(heads):,}"
    else:
        note = f"Final up to block {max(heads):,}, {max(heads) - newest.number:,} ahead of what is stored"
    tone = "" if len(well) == len(nodes) else "rb-warn" if well else "rb-bad"
    answering = sum(node.condition == Endpoint.Condition.HEALTHY for node in nodes)
    yield Figure("Nodes that do well", f"{answering:,} of {len(nodes):,}", note, tone)


def node_todos(nodes: Sequence[Endpoint]) -> Iterator[Todo]:
    """Nodes of the settings that fail, lag or are doubted; urgent where no other is left."""
    is_last = not any(node.condition in _WELL for node in nodes)
    rest = "No other node is left to read from." if is_last else "The others are asked."
    for node in nodes:
        if node.condition in _WELL:
            continue
        yield Todo(
            "danger" if is_last else "warning",
            "dns",
            f"Node {node.name}: {node.get_condition_display().lower()}",
            " ".join(filter(None, (f"{node.last_error.rstrip('.')}." if node.last_error else "", rest))),
            reverse("admin:chain_endpoint_change", args=[node.pk]),
            "What to do",
        )


# --- backfill -----------------------------------------------------------------------------------------


def backfill_figures(backfill: Backfill | None) -> Iterator[Figure]:
    """How far the backfill is that runs or waits."""
    if backfill is None:
        return
    progress = get_progress(backfill)
    url = reverse("admin:chain_backfill_change", args=[backfill.pk])
    yield Figure(
        f"Backfill {backfill.pk}, {backfill.get_state_display().lower()}",
        format_html('<a class="rb-plain" href="{}">{} %</a>', url, progress.per_cent),
        describe_progress(progress),
        "" if backfill.state == Backfill.State.RUNNING else "rb-warn",
    )


def backfill_todos(backfill: Backfill | None, now: datetime) -> Iterator[Todo]:
    """A backfill that does not go on by itself."""
    if backfill is None:
        return
    silent = backfill.state == Backfill.State.RUNNING and is_silent(backfill, now)
    if backfill.state == Backfill.State.RUNNING and not silent:
        return
    words = "no worker is heard of" if silent else backfill.get_state_display().lower()
    yield Todo(
        "info" if backfill.state == Backfill.State.PAUSED else "danger",
        "cloud_download",
        f"Backfill {backfill.pk}: {words}",
        backfill.error
        or ("Its workers ended, or its command did." if silent else "It goes on when somebody resumes it."),
        reverse("admin:chain_backfill_change", args=[backfill.pk]),
        "Look at it",
    )


# --- price --------------------------------------------------------------------------------------------


def price_figures(price: Price) -> Iterator[Figure]:
    """What one TAO costs now."""
    if price.quote is None or price.age is None:
        yield Figure("One TAO", UNKNOWN, "No quote is new enough", "rb-warn")
        return
    yield Figure("One TAO", quote_html(price.quote), f"{price.quote.source}, {duration_text(price.age)} old")


def price_todos(price: Price) -> Iterator[Todo]:
    """Sources are named and none of them has a price for now."""
    if price.quote is None:
        yield Todo(
            "warning",
            "attach_money",
            "TAO has no price in dollars",
            f"{price.reason}. Nothing that pays anybody waits for it.",
            reverse("admin:chain_fiatprice_changelist"),
            "TAO in dollars",
        )
