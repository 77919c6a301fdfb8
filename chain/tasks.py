"""What the scheduler runs for the chain."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from chain.services import ingest_new_blocks
from chain.source import NodeSource

# A tick ends soon enough that a stop never waits long; the next tick goes on.
BLOCKS_PER_TICK_MAX = 300


@shared_task(name="chain.ingest")
def ingest() -> int:
    """Store the blocks that became final since the last tick; returns how many."""
    with NodeSource(settings.RAKEBACK_NODE_URL) as source:
        report = ingest_new_blocks(source, count_max=BLOCKS_PER_TICK_MAX)
    return report.added if report else 0
