"""Running the checks and keeping what they found: a difference keeps days from closing until a later run has none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db.backends.postgresql.psycopg_any import NumericRange
from django.utils import timezone

from ledger import audit
from ledger.models import CheckRun
from ledger.services.posting import Actor

# Of the differences, how many are kept; all are counted.
KEPT_MAX = 1_000
CHECKS: dict[str, Callable[[], audit.Audit]] = {
    CheckRun.Check.LEDGER: audit.check_ledger,
    CheckRun.Check.ATTRIBUTION: audit.check_attribution,
    CheckRun.Check.CONVERSIONS: audit.check_conversions,
}


def run_check(check: CheckRun.Check, *, actor: Actor, now: datetime) -> CheckRun:
    """Run a check over everything and keep what it found. What fails with an error found nothing, and is not kept."""
    return _keep(check, CHECKS[check](), actor=actor, started_at=now)


def check_blocks(first: int, last: int, *, actor: Actor, now: datetime) -> CheckRun:
    """Check the attributions of blocks `first` to `last`, both included, and keep what was found."""
    found = audit.check_attribution(first, last)
    blocks = NumericRange(first, last + 1)
    return _keep(CheckRun.Check.ATTRIBUTION, found, actor=actor, started_at=now, blocks=blocks)


def _keep(
    check: CheckRun.Check,
    found: audit.Audit,
    *,
    actor: Actor,
    started_at: datetime,
    blocks: NumericRange | None = None,
) -> CheckRun:
    return CheckRun.objects.create(
        check_name=check,
        blocks=blocks,
        started_at=started_at,
        finished_at=max(timezone.now(), started_at),
        counts=dict(found.counts),
        difference_count=len(found.differences),
        differences=found.differences[:KEPT_MAX],
        run_by_id=actor.pk if actor else None,
    )
