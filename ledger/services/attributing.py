"""Attributing yields to the delegators that earned them (LE1)."""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import transaction

from chain.garbage import no_collection
from chain.locks import Lock, hold
from chain.models import Yield
from ledger.attribution import RULESET, digest
from ledger.facts import Holders, SharesDisagree, shares_of
from ledger.models import Attribution

# About two days of a validator on every subnet: each pool is read once a batch.
BATCH = 5_000
log = structlog.get_logger(__name__)


class CannotAttribute(Exception):
    """Some yields could not be attributed; all others were, and stay so. Each reason names its block.

    Nothing is recorded for the yields named. Read their positions again (backfill), then attribute again.
    """

    def __init__(self, reasons: list[str], written: int) -> None:
        self.reasons = reasons
        self.written = written
        super().__init__(
            f"{len(reasons)} yields could not be attributed ({written} were): " + "; ".join(reasons[:10])
        )


def attribute_yields(*, now: datetime, limit: int | None = None) -> int:
    """Attribute every yield that is not yet, in block order, at most `limit`; return how many were.

    :raises CannotAttribute: after all others are recorded, when holders and pool disagree for some.
    """
    written, reasons, after = 0, list[str](), (-1, 0)
    while limit is None or written < limit:
        size = BATCH if limit is None else min(BATCH, limit - written)
        with transaction.atomic():
            hold(Lock.ATTRIBUTE)
            seen, rows = _next_batch(after, size, reasons)
            Attribution.objects.bulk_create(rows)
        written += len(rows)
        if seen is None:
            break
        after = seen
    log.info("ledger.attributed", written=written, refused=len(reasons), at=now.isoformat())
    if reasons:
        raise CannotAttribute(reasons, written)
    return written


@no_collection()
def _next_batch(
    after: tuple[int, int], size: int, reasons: list[str]
) -> tuple[tuple[int, int] | None, list[Attribution]]:
    """Split the next yields; give the last (block, id) looked at, None at the end, and the rows to write."""
    block, pk = after
    pending = Yield.objects.filter(attribution__isnull=True, block_id__gte=block).order_by("block_id", "pk")
    rows: list[Attribution] = []
    sources = list(pending.exclude(block_id=block, pk__lte=pk)[:size])
    if not sources:
        return None, rows
    seen = sources[-1].block_id, sources[-1].pk
    holders = Holders(sources[0].block_id - 1, sources[-1].block_id - 1)
    # Pool by pool, so that each is read once.
    for source in sorted(sources, key=lambda one: (one.hotkey, one.pool_netuid, one.block_id)):
        try:
            shares = shares_of(source, holders)
        except SharesDisagree as error:
            reasons.append(str(error))
            continue
        rows.append(
            Attribution(
                source=source,
                take_rao=int(shares.amounts.sum()),
                delegator_count=len(shares),
                digest=digest(shares),
                ruleset=RULESET,
            )
        )
    return seen, rows
