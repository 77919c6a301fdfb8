"""Opens the configured nodes as one source, pinned to the stored chain, and keeps how each of them did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings
from django.db import transaction

from chain.models import Endpoint, Network
from chain.nodes.health import Condition, Health
from chain.nodes.providers import Policy, Providers, open_source
from chain.nodes.wire import Limits

ERROR_MAX = 2_000


def configured_nodes() -> list[str]:
    """Addresses of the nodes in the settings, secrets included, in the order in which they are asked."""
    return [url.strip() for url in settings.RAKEBACK_NODE_URL.split(",") if url.strip()]


@contextmanager
def open_nodes(urls: Sequence[str] = (), *, following: bool = False) -> Iterator[Providers]:
    """Open nodes as one source: those given, or else those of the settings.

    The chain's genesis is pinned where one is stored already. However the work ends, how the nodes did is kept.

    :param following: leave out nodes whose finalized head lags or stands still.
    :raises BadNodes: an address is none, or too few nodes are named.
    """
    network = Network.objects.first()
    heads = Endpoint.objects.exclude(head_block=None).values_list("name", "head_block", "head_since")
    source = open_source(
        urls or configured_nodes(),
        genesis_hash=network.genesis_hash if network else "",
        agreement=settings.RAKEBACK_NODE_AGREEMENT,
        proofs=settings.RAKEBACK_NODE_PROOFS,
        following=following,
        limits=Limits(read_seconds=settings.RAKEBACK_NODE_SECONDS_MAX),
        policy=Policy(head_seconds_max=settings.RAKEBACK_NODE_HEAD_SECONDS_MAX),
        heads={name: (block, since) for name, block, since in heads if block is not None and since},
    )
    try:
        with source:
            yield source
    finally:
        keep_health(health=source.health(), configured=not urls)


@transaction.atomic
def keep_health(*, health: Sequence[Health], configured: bool) -> None:
    """Keep how nodes did. What this process did not learn (an older error, a head) stays as it was.

    :param configured: the nodes are all those of the settings, in order; others lose their place.
    """
    rows = {row.name: row for row in Endpoint.objects.select_for_update().order_by("id")}
    if configured:
        named = [node.name for node in health]
        Endpoint.objects.exclude(name__in=named).exclude(position=None).update(position=None)
    for node in health:
        row = rows.get(node.name) or Endpoint(name=node.name)
        if configured:
            row.position = node.position
        if node.condition != Condition.UNTRIED or node.last_error_at:
            _learn(row, node)
        row.save()


def _learn(row: Endpoint, node: Health) -> None:
    row.condition, row.failures = str(node.condition), node.failures
    row.last_ok_at = _later(row.last_ok_at, node.last_ok_at)
    if node.last_error_at:
        row.last_error_at, row.last_error = node.last_error_at, node.last_error[:ERROR_MAX]
    if node.latency_ms is not None:
        row.latency_ms = node.latency_ms
    if node.head_block is not None:
        row.head_block, row.head_since = node.head_block, node.head_since


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)
