"""What the scheduler runs for partners."""

from __future__ import annotations

import structlog
from celery import shared_task

from partners import sealing

log = structlog.get_logger(__name__)


class HistoryDiffers(Exception):
    """The history of partners was changed behind its back. Look before anything is paid; a retry cannot help."""


@shared_task(name="partners.check_history")
def check_history() -> str:
    """Recompute the chain of seals and log its head, so that it is also kept where the database's owner cannot reach.

    :raises HistoryDiffers: naming the first differences.
    """
    checked = sealing.check_history()
    if not checked.ok:
        raise HistoryDiffers("; ".join(checked.differences[:20]))
    log.info("partners.history_whole", changes=checked.count, head=str(checked.head or ""))
    return str(checked.head or "")
