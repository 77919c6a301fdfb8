"""A change of the rule book as data: what it takes out and puts in, to be tried on closed periods (PA9). Pure.

Books are compared as their fingerprints (:meth:`partners.matching.RuleBook.fingerprint`), so a change says exactly what
decides whose a delegation is, and applied to the book that a period was closed with it changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

KINDS = ("agreements", "rules", "wallets")
Rules = Mapping[str, list[dict[str, Any]]]
"""A fingerprint: rows of each kind, as the manifest of a period holds them."""

BookChange = dict[str, dict[str, list[Any]]]
"""By kind, ids of rows that are dropped and the rows that are put in their place or added."""


def difference(before: Rules, after: Rules) -> BookChange:
    """Say what leads from one book to the other; ids name the rows."""
    change: BookChange = {}
    for kind in KINDS:
        old = {row["id"]: row for row in before[kind]}
        new = {row["id"]: row for row in after[kind]}
        change[kind] = {
            "drop": sorted(old.keys() - new.keys()),
            "put": [row for pk, row in sorted(new.items()) if old.get(pk) != row],
        }
    return change


def is_empty(change: BookChange) -> bool:
    """Tell whether a change leaves every winner and rate as it is."""
    return not any(change[kind][part] for kind in KINDS for part in ("drop", "put"))


def partners_of(change: BookChange) -> set[int]:
    """Name the partners whose agreements or wallets a change puts in."""
    return {row["partner"] for kind in ("agreements", "wallets") for row in change[kind]["put"]}


def as_if_before(
    change: BookChange, *, starts_at: datetime, ends_at: datetime, last_block: int
) -> BookChange:
    """Let what would begin only after a span of closed days have begun before it, so that it can be compared at all.

    An agreement that begins at `ends_at` or later counts from `starts_at` on, in the place of the partner's others; a rule
    that applies from a block behind `last_block` applies from the first; a wallet introduced later counts from the first
    day. All other dates are kept.
    """
    moved: BookChange = {kind: dict(change[kind]) for kind in KINDS}
    later = {
        row["id"]: row["partner"]
        for row in change["agreements"]["put"]
        if datetime.fromisoformat(row["starts_at"]) >= ends_at
    }
    moved["agreements"]["put"] = [
        row | {"starts_at": starts_at.isoformat(), "ends_at": None} if row["id"] in later else row
        for row in change["agreements"]["put"]
        if row["id"] in later or row["partner"] not in later.values()
    ]
    moved["rules"]["put"] = [
        row | {"applies_from_block": 0} if row["applies_from_block"] > last_block else row
        for row in change["rules"]["put"]
    ]
    first_day, end = starts_at.date().isoformat(), ends_at.date().isoformat()
    moved["wallets"]["put"] = [
        row | {"introduced_date": first_day} if row["introduced_date"] >= end else row
        for row in change["wallets"]["put"]
    ]
    if later:
        moved["agreements"]["instead_of"] = sorted(set(later.values()))
    return moved


def apply(change: BookChange, rules: Rules) -> dict[str, list[dict[str, Any]]]:
    """Make the change in a book; what the book does not hold cannot be dropped, and rules without an agreement fall away."""
    changed = {}
    instead = set(change["agreements"].get("instead_of", ()))
    for kind in KINDS:
        put = {row["id"]: row for row in change[kind]["put"]}
        gone = set(change[kind]["drop"]) | put.keys()
        kept = [row for row in rules[kind] if row["id"] not in gone]
        if kind == "agreements":
            kept = [row for row in kept if row["partner"] not in instead]
        changed[kind] = sorted([*kept, *put.values()], key=lambda row: row["id"])
    there = {row["id"] for row in changed["agreements"]}
    changed["rules"] = [row for row in changed["rules"] if row["agreement"] in there]
    return changed
