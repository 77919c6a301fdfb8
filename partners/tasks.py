"""What the scheduler runs for partners."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from partners import noted_heads

log = structlog.get_logger(__name__)


class HistoryDiffers(Exception):
    """The history of partners was changed behind its back. Look before anything is paid; a retry cannot help."""


class HeadNotNoted(Exception):
    """The history is whole, but its end could not be written down. A retry helps once the file can be written."""


@shared_task(name="partners.check_history")
def check_history() -> str:
    """Recompute the chain of seals, compare it with the ends noted before, and note and log its end.

    :raises HistoryDiffers: naming the first differences; nothing is noted.
    :raises HeadNotNoted: with the file and why.
    """
    checked, noted = noted_heads.check_with_noted()
    if not checked.ok:
        raise HistoryDiffers("; ".join(checked.differences[:20]))
    head = checked.head
    log.info("partners.history_whole", changes=checked.count, head=str(head or ""), noted=str(noted))
    if head and head not in noted.heads:
        try:
            noted_heads.note(head, path=noted.path, now=timezone.now())
        except OSError as error:
            raise HeadNotNoted(
                f"The history is whole, but its end {head} could not be noted in {noted.path}: "
                f"{error.strerror or error}. Make the file writable for the worker, or name another with "
                "RAKEBACK_HISTORY_HEADS."
            ) from error
    return str(head or "")
