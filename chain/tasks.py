"""What workers run for the chain: following, backfills, prices, and the check for gaps."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import AbstractContextManager

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chain.backfill.work import count_claimable, read_one_chunk
from chain.fiat.services import fill_in_prices
from chain.fiat.sources import price_sources
from chain.following import is_resting
from chain.gaps.services import find_gaps
from chain.locks import Busy
from chain.models import Backfill
from chain.nodes.services import open_nodes
from chain.nodes.source import Source, SourceError
from chain.queries import last_block
from chain.services import IngestBusy, IngestStopped, ingest_new_blocks, now_utc
from chain.state import read_identity

log = logging.getLogger(__name__)

# A tick ends soon enough that a stop never waits long; the next tick goes on.
BLOCKS_PER_TICK_MAX = 300


def open_node() -> AbstractContextManager[Source]:
    """The nodes that the settings name, as one source."""
    return open_nodes()


@shared_task(name="chain.ingest")
def ingest() -> int:
    """Store the blocks that became final since the last tick; returns how many. A backfill at work goes first.

    Until a person said where to begin there is nothing to do; a block that cannot be read is tried less and less often.
    """
    if last_block() is None or is_resting(now_utc()):
        return 0
    with open_nodes(following=True) as source:
        try:
            report = ingest_new_blocks(source, count_max=BLOCKS_PER_TICK_MAX)
        except IngestBusy:
            return 0
        except IngestStopped as error:
            # The run and the gap keep it; there is nothing in a traceback that they lack.
            log.error("chain.ingest.stopped: %s", error)
            return 0
    return report.added if report else 0


@shared_task(name="chain.fetch_prices")
def fetch_prices() -> int:
    """Fetch new quotes of TAO in dollars and those that are lacking; returns how many were stored."""
    with price_sources() as sources:
        try:
            return fill_in_prices(sources=sources, now=timezone.now()).stored
        except Busy:
            # Another run or a person is at it.
            return 0


@shared_task(name="chain.backfill_chunk")
def backfill_chunk(*, backfill_id: int) -> bool:
    """Read one chunk of a backfill and store what is next; then make room for the next task, and ask for it."""
    worker = f"{socket.gethostname()} {os.getpid()}"
    did = read_one_chunk(open_node, backfill_id=backfill_id, worker=worker, clock=now_utc)
    if did:
        wake_workers(backfill_id)
    return did


@shared_task(name="chain.backfills")
def backfills() -> int:
    """Find work for workers that ended, died or waited; returns how many tasks were asked for."""
    running = Backfill.objects.filter(state=Backfill.State.RUNNING, runs_on=Backfill.RunsOn.WORKERS)
    return sum(wake_workers(pk) for pk in running.values_list("pk", flat=True))


def wake_workers(backfill_id: int) -> int:
    """Ask for as many tasks as would find a chunk now, once the transaction is through. One too many does no harm."""
    wanted = count_claimable(backfill_id=backfill_id, now=now_utc())
    for _ in range(wanted):
        transaction.on_commit(lambda: backfill_chunk.delay(backfill_id=backfill_id))
    return wanted


@shared_task(name="chain.find_gaps")
def check_gaps() -> dict[str, int]:
    """Look for blocks that are missing without a run having said so."""
    head = None
    if settings.RAKEBACK_NODE_URL:
        try:
            with open_node() as source:
                head = read_identity(source).finalized_block
        except SourceError:
            # Whoever reads blocks says so; here only the lag stays unknown.
            head = None
    found = find_gaps(head=head, now=now_utc())
    return {"opened": found.opened, "closed": found.closed}
