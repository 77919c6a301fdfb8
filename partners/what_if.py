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

BookChange = dict[str, dict[str, Any]]
"""By kind, ids of rows that are dropped (`drop`), the rows that are put in their place or added (`put`), and of rows that
were there the values that differ (`changed`, by id as text)."""


def difference(before: Rules, after: Rules) -> BookChange:
    """Say what leads from one book to the other; ids name the rows."""
    change: BookChange = {}
    for kind in KINDS:
        old = {row["id"]: row for row in before[kind]}
        new = {row["id"]: row for row in after[kind]}
        put = [row for pk, row in sorted(new.items()) if old.get(pk) != row]
        change[kind] = {
            "drop": sorted(old.keys() - new.keys()),
            "put": put,
            "changed": {str(row["id"]): _fields(old[row["id"]], row) for row in put if row["id"] in old},
        }
    return change


def _fields(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Name the values that differ; one that is not given is the usual one."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def is_empty(change: BookChange) -> bool:
    """Tell whether a change leaves every winner and rate as it is."""
    return not any(change[kind][part] for kind in KINDS for part in ("drop", "put"))


def partners_of(change: BookChange) -> set[int]:
    """Name the partners whose agreements or wallets a change puts in."""
    return {row["partner"] for kind in ("agreements", "wallets") for row in change[kind]["put"]}


def with_unknown(change: BookChange, now: Rules, known: Rules) -> BookChange:
    """Add what the partners concerned have by now and the closed days did not know: else a wallet whose agreement was
    signed since the last close would find nothing.

    :param now: the book as it is saved; `known` the one that the last of the days was closed with.
    """
    agreements = {row["id"]: row["partner"] for row in [*now["agreements"], *change["agreements"]["put"]]}
    partners = partners_of(change) | {agreements.get(row["agreement"], 0) for row in change["rules"]["put"]}
    whose = {
        "agreements": lambda row: row["partner"],
        "rules": lambda row: agreements.get(row["agreement"], 0),
        "wallets": lambda row: row["partner"],
    }
    added: BookChange = {}
    for kind in KINDS:
        told = {row["id"] for row in [*known[kind], *change[kind]["put"]]} | set(change[kind]["drop"])
        more = [row for row in now[kind] if row["id"] not in told and whose[kind](row) in partners]
        added[kind] = {**change[kind], "put": [*change[kind]["put"], *more]}
    return added


def as_if_before(
    change: BookChange, known: Rules, *, starts_at: datetime, ends_at: datetime, last_block: int
) -> BookChange:
    """Let what would begin only after a span of closed days have begun before it, so that it can be compared at all.

    That is of rows that the days did not know: an agreement that begins at `ends_at` or later counts from `starts_at` on, in
    the place of the partner's others, the first of several; a rule that applies from a block behind `last_block` applies
    from the first; a wallet introduced later counts from the first day. What they knew is changed as it was typed.
    """
    moved: BookChange = {kind: dict(change[kind]) for kind in KINDS}
    there = {kind: {row["id"] for row in known[kind]} for kind in KINDS}
    later: dict[int, dict[str, Any]] = {}
    for row in sorted(change["agreements"]["put"], key=lambda row: datetime.fromisoformat(row["starts_at"])):
        if row["id"] not in there["agreements"] and datetime.fromisoformat(row["starts_at"]) >= ends_at:
            later.setdefault(row["partner"], row)
    moved["agreements"]["put"] = [
        *(row for row in change["agreements"]["put"] if row["partner"] not in later),
        *(row | {"starts_at": starts_at.isoformat(), "ends_at": None} for row in later.values()),
    ]
    moved["rules"]["put"] = [
        row | {"applies_from_block": 0}
        if row["id"] not in there["rules"] and row["applies_from_block"] > last_block
        else row
        for row in change["rules"]["put"]
    ]
    first_day, end = starts_at.date().isoformat(), ends_at.date().isoformat()
    moved["wallets"]["put"] = [
        row | {"introduced_date": first_day}
        if row["id"] not in there["wallets"] and row["introduced_date"] >= end
        else row
        for row in change["wallets"]["put"]
    ]
    if later:
        moved["agreements"]["instead_of"] = sorted(later)
    return moved


def apply(change: BookChange, rules: Rules) -> dict[str, list[dict[str, Any]]]:
    """Make the change in a book: of a row that it holds only the values that were changed, whatever else was since.

    What the book does not hold cannot be dropped, and rules without an agreement fall away.
    """
    changed = {}
    instead = set(change["agreements"].get("instead_of", ()))
    for kind in KINDS:
        held = {row["id"]: row for row in rules[kind]}
        fields = change[kind].get("changed", {})
        put = {
            row["id"]: _patched(held[row["id"]], row, fields[str(row["id"])])
            if row["id"] in held and str(row["id"]) in fields
            else row
            for row in change[kind]["put"]
        }
        gone = set(change[kind]["drop"]) | put.keys()
        kept = [row for row in rules[kind] if row["id"] not in gone]
        if kind == "agreements":
            kept = [row for row in kept if row["partner"] not in instead]
        changed[kind] = sorted([*kept, *put.values()], key=lambda row: row["id"])
    there = {row["id"] for row in changed["agreements"]}
    changed["rules"] = [row for row in changed["rules"] if row["agreement"] in there]
    return changed


# Of a wallet that changed hands these are one answer: whose it was on which day.
_WHOSE = ["partner", "introduced_date", "ended_date", "former"]


def _patched(held: dict[str, Any], new: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    if "former" in new:
        fields = [*fields, *_WHOSE]
    kept = {name: value for name, value in held.items() if name not in fields}
    return kept | {name: new[name] for name in fields if name in new}
