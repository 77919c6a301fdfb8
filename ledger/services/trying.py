"""Trying a change of partners on closed days, for the page that asks before anything is saved (PA9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from django.utils import timezone

from ledger.models import Period
from ledger.what_if import PeriodCompared, compare
from partners.models import WhatIf
from partners.services import rules_now
from partners.what_if import as_if_before, partners_of, with_unknown

MATCHED_MAX = 100
log = structlog.get_logger(__name__)


def run_what_if(what_if_id: int) -> None:
    """Try one change on its days, keeping what each day comes to as soon as it is known.

    It ends without a word when it was cancelled or is finished; every other end is stored with its reason.
    """
    asked = WhatIf.objects.filter(pk=what_if_id, finished_at=None).first()
    if asked is None:
        return
    periods = _periods(asked)
    if not periods:
        _finish(
            asked,
            WhatIf.State.FAILED,
            error="No closed day is in this span. Close a day first, or choose other days.",
        )
        return
    days = {"first_day": periods[0].start_at.date(), "last_day": periods[-1].start_at.date()}
    _keep(asked, state=WhatIf.State.RUNNING, total=len(periods), done=0, **days)
    known = periods[-1].manifest["rules"]
    whole = with_unknown(asked.change, rules_now(), known)
    change = as_if_before(
        whole,
        known,
        starts_at=periods[0].start_at,
        ends_at=periods[-1].end_at,
        last_block=periods[-1].blocks.upper - 1,
    )
    result: dict[str, Any] = {"days": [], "matched": {}, "as_if": change != whole}
    try:
        for done, compared in enumerate(compare(periods, change), 1):
            result["days"].append(_day(compared))
            result["matched"] = _matched(compared, partners_of(asked.change))
            if not _keep(asked, done=done, result=result):
                return
    except Exception as error:
        log.exception("ledger.what_if_failed", what_if=asked.pk)
        _finish(asked, WhatIf.State.FAILED, error=f"It could not be worked out: {error}")
        return
    _finish(asked, WhatIf.State.DONE)


def _periods(asked: WhatIf) -> Sequence[Period]:
    """The closed days of the span, the oldest first; without one, the last closed day."""
    rows = Period.objects.order_by("start_at")
    if asked.first_day is None and asked.last_day is None:
        return list(rows.reverse()[:1])
    if asked.first_day is not None:
        rows = rows.filter(key__gte=asked.first_day.isoformat())
    if asked.last_day is not None:
        rows = rows.filter(key__lte=asked.last_day.isoformat())
    return list(rows)


def _day(compared: PeriodCompared) -> dict[str, Any]:
    """One day as JSON: rows of (partner, subnet, asset, take before and after, commission before and after)."""
    partners = compared.wallets_before.keys() | compared.wallets_after.keys()
    return {
        "period": compared.period.key,
        "rows": [
            [
                row.partner_id,
                row.netuid,
                row.asset,
                row.take_before,
                row.take_after,
                row.commission_before,
                row.commission_after,
            ]
            for row in compared.rows
        ],
        "wallets": {
            str(partner): [compared.wallets_before.get(partner, 0), compared.wallets_after.get(partner, 0)]
            for partner in sorted(partners)
        },
    }


def _matched(compared: PeriodCompared, partners: set[int]) -> dict[str, Any]:
    """The wallets that would count for each partner whom the change is about, on the day compared last."""
    found = {}
    for partner in sorted(partners):
        rows = compared.matched(partner)
        found[str(partner)] = {
            "wallets": len({row.coldkey for row in rows}),
            "rows": [
                [row.coldkey, row.hotkey, row.netuid, row.side, row.take_rao] for row in rows[:MATCHED_MAX]
            ],
            "more": max(0, len(rows) - MATCHED_MAX),
        }
    return found


def _keep(asked: WhatIf, **values: Any) -> bool:
    """Store how far it is; give False once somebody cancelled it."""
    return bool(WhatIf.objects.filter(pk=asked.pk, finished_at=None).update(**values))


def _finish(asked: WhatIf, state: WhatIf.State, error: str = "") -> None:
    _keep(asked, state=state, error=error, finished_at=timezone.now())
