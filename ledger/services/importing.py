"""Importing files of another chain, with what the ledger has against it: a closed day takes no more facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from chain.imports import services as chain_imports
from chain.imports.files import REWARDS, STAKE_EVENTS
from chain.imports.preview import Preview, preview_file
from chain.imports.rows import Problem, Slot
from chain.locks import Lock, hold
from chain.models import ImportRun
from ledger.models import Attribution, Period
from ledger.services.posting import Actor

_ATTRIBUTED = (
    "This epoch is attributed already, and what was attributed stays. Take its rows out of the file; if they are "
    "right and the stored ones wrong, settle the difference with the partners it concerns."
)
_OPEN = "If the file is wrong, correct it; if the import was, restore the backup from before it and import the right file."


def preview_chain_file(*, content: bytes, file_name: str, now: datetime) -> Preview:
    """Say what importing a file would do; nothing is written.

    :raises FileRefused: for what cannot be read at all, and where this installation takes no files.
    """
    return _review(preview_file(content=content, file_name=file_name, now=now))


@transaction.atomic
def import_chain_file(
    *,
    content: bytes,
    file_name: str,
    actor: Actor,
    now: datetime,
    expected_sha256: str | None = None,
) -> ImportRun | None:
    """Import a file whole or not at all; None when everything in it is stored already.

    :param expected_sha256: of the file whose preview was confirmed; None imports what is given.
    :raises NotAllowed, FileRefused, ImportRefused: see `chain.imports.services.import_file`.
    """
    # No day closes and nothing is attributed between the look and the writing.
    hold(Lock.CLOSE)
    hold(Lock.ATTRIBUTE)
    return chain_imports.import_file(
        content=content,
        file_name=file_name,
        actor=actor,
        now=now,
        review=_review,
        expected_sha256=expected_sha256,
    )


def _review(preview: Preview) -> Preview:
    contradicted = {problem.source_id for problem in preview.problems if problem.source_id}
    attributed = set(
        Attribution.objects.filter(source_id__in=contradicted).values_list("source_id", flat=True)
    )
    problems = [
        replace(problem, text=f"{problem.text} {_ATTRIBUTED if problem.source_id in attributed else _OPEN}")
        if problem.source_id
        else problem
        for problem in preview.problems
    ]
    return replace(preview, problems=(*problems, *_find_closed(preview)))


def _find_closed(preview: Preview) -> Iterator[Problem]:
    """Name what is new but lies in a period that is closed, once per epoch's component and per event."""
    last = Period.objects.order_by("-start_at").first()
    if last is None or preview.problems:
        return
    new: list[tuple[str, int, Slot, str]] = [
        (REWARDS, group.rows[0].number, group.slot, f"Epoch {group.epoch}, {group.component}")
        for group in preview.new_groups
    ]
    new += [
        (STAKE_EVENTS, event.number, event.slot, f"Event {event.event_index}") for event in preview.new_events
    ]
    for section, row, slot, what in new:
        if slot.at < last.end_at or slot.number < last.blocks.upper:
            yield Problem(
                section,
                row,
                "slot_time",
                f"{what} is at slot {slot.number}, {slot.at:%Y-%m-%d %H:%M} UTC, and everything before "
                f"{last.end_at:%Y-%m-%d %H:%M} UTC is closed; closing is final. Give it the slot and time at which it "
                "was credited, if that is later; otherwise take it out and settle it outside of this ledger.",
            )
