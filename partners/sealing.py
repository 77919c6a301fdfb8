"""Proves that nobody changed the history of partners: every row against its seal, every seal against the one before (PA6).

Whoever rules the database can switch its triggers off and write what they like, but not without a trace: an edited row has
another digest, a removed or moved one breaks the chain, one added behind the chain has no seal, and a history cut off
at its end no longer ends with what the rows say today. A column that came after a row was sealed must hold there what its
migration put. Who also takes back the rows themselves, or makes the chain anew, is found by a head that was noted
elsewhere (:mod:`partners.noted_heads`); who puts something else in the place of what is read, by :mod:`partners.stand_ins`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from django.db import DataError, NotSupportedError, ProgrammingError, connection, transaction
from django.db.migrations import AddField
from django.db.migrations.loader import MigrationLoader

from partners import stand_ins
from partners.models import Change, Seal

# As the function that seals prints times and ranges, and with PostgreSQL's own functions and operators alone.
_AS_SEALED = "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'"
_ROWS = {kind: f"public.partners_{kind.lower()}" for kind in Change.Kind.values}
_EVENTS = {kind: f"{table}event" for kind, table in _ROWS.items()}
_TABLES = [table.removeprefix("public.") for table in ("partners_seal", *_ROWS.values(), *_EVENTS.values())]
_OWN = "pgh_id,pgh_created_at,pgh_label,pgh_obj_id,pgh_context,pgh_context_id"
# Kept in the history for the sake of its seals, and gone from the rows.
_FORMER = {Change.Kind.PARTNER: ",payout_address"}
_BATCH = 2_000
# Made anew by whichever migration last added a table to it.
_SELECT = re.sub(
    r"\b(FROM|JOIN) (?=partners_)",
    r"\1 public.",
    import_module("partners.migrations.0022_changes_in_order")
    .VIEW.removeprefix("DROP VIEW partners_change; CREATE VIEW partners_change AS")
    .rstrip("; \n"),
)


class BadHead(ValueError):
    """A head is a number and a hash, as `check_history` prints it: 12:9f86…"""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain at some time: noted elsewhere, it proves all that came before."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what `str` writes. :raises BadHead: it is none."""
        if not re.fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", text):
            raise BadHead(
                f"{text[:90]!r} is no head: give number and hash as check_history prints them, 12:9f86…"
            )
        number, _, digest = text.partition(":")
        return cls(int(number), bytes.fromhex(digest))


@dataclass(slots=True)
class Checked:
    """What was looked at and what does not hold."""

    count: int = 0
    head: Head | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether nothing was changed."""
        return not self.differences


def newest_head() -> Head | None:
    """The end of the chain now; None before the first change."""
    last = Seal.objects.order_by("-number").values_list("number", "hash").first()
    return last and Head(last[0], bytes(last[1]))


@transaction.atomic
def check_history(heads: Sequence[Head] = ()) -> Checked:
    """Recompute the whole chain from the rows, in order.

    :param heads: ends of the chain noted earlier, which must be links of it.
    """
    checked = Checked()
    # Taken back with what is set until then: whoever called goes on with their own settings.
    before = transaction.savepoint()
    try:
        with connection.cursor() as cursor:
            cursor.execute(_AS_SEALED)
        checked.differences += stand_ins.in_place_of(_TABLES, [Change._meta.db_table])
        checked.differences += stand_ins.in_place_of_postgres()
        checked.differences += stand_ins.switched_off(_TABLES)
        _compare(checked, heads)
    except (ProgrammingError, DataError, NotSupportedError) as error:
        # Rows, tables or rights are not as the migrations left them; a lost connection says nothing about the history.
        checked.differences.append(f"the rest could not be read: {str(error).splitlines()[0]}")
    finally:
        transaction.savepoint_rollback(before)
    return checked


def _compare(checked: Checked, heads: Sequence[Head]) -> None:
    """Look at every seal and every row; what does not hold is added to `checked`."""
    noted: dict[int, set[bytes]] = defaultdict(set)
    for head in heads:
        noted[head.number].add(head.hash)
    checked.differences += _chain(checked, noted)
    checked.differences += [
        f"seal {number} was noted as {digest.hex()[:16]}…, and the history ends "
        f"{f'at {checked.head.number}' if checked.head else 'before its first row'}: its end was cut off"
        for number, digests in noted.items()
        for digest in digests
    ]
    checked.differences += [*_unreached(checked), *_unsealed(), *_unlike_today(), *_shown_otherwise()]


def _chain(checked: Checked, noted: dict[int, set[bytes]]) -> Iterator[str]:
    """Walk the links; what was noted of a number is taken out of `noted` where it is reached."""
    before, expected = b"", 1
    put = _put_by_migrations()
    for number, kind, event_id, digest, found_hash, content, names_all, later in _links():
        checked.count += 1
        name = f"seal {number} ({kind.lower()} change {event_id})"
        if number != expected:
            yield f"{name}: comes after seal {expected - 1}; what is between was removed"
        expected = number + 1
        link = (
            before
            + number.to_bytes(8, "big", signed=True)
            + kind.encode()
            + event_id.to_bytes(8, "big", signed=True)
        )
        if hashlib.sha256(link + digest).digest() != found_hash:
            yield f"{name}: does not follow from the seal before; it or that one was changed, or they were moved"
        if content is None:
            yield f"{name}: its row is gone from the history"
        elif hashlib.sha256(content.encode()).digest() != digest:
            yield f"{name}: its row was changed after it was written"
        elif not names_all:
            yield f"{name}: the names of the columns that it covers were changed"
        for column, value in json.loads(later or "{}").items():
            if (kind, column) not in put or put[kind, column] != value:
                yield f"{name}: {column} came later and is not what its migration put there"
        for was in noted.pop(number, set()) - {found_hash}:
            yield f"{name}: was noted as {was.hex()[:16]}… and is {found_hash.hex()[:16]}… now"
        before, checked.head = found_hash, Head(number, found_hash)


def _links() -> Iterator[tuple[int, str, int, bytes, bytes, str | None, bool, str | None]]:
    """Every seal in order: its row as it was sealed, whether it names just those columns, and the row's later ones."""
    rows = " ".join(
        f"WHEN '{kind}' THEN (SELECT to_jsonb(e) FROM {table} e WHERE e.pgh_id = s.event_id)"  # noqa: S608 (our tables)
        for kind, table in _EVENTS.items()
    )
    query = f"""
        WITH sealed AS MATERIALIZED (
            SELECT s.*, string_to_array(s.columns, ',') AS names, CASE s.kind {rows} END AS content
            FROM public.partners_seal s WHERE s.number > %s ORDER BY s.number LIMIT {_BATCH})
        SELECT s.number, s.kind, s.event_id, s.digest, s.hash, covered.content::text,
            s.columns IS NOT DISTINCT FROM covered.columns, (s.content - s.names)::text
        FROM sealed s, LATERAL (
            SELECT jsonb_object_agg(key, value) AS content, string_agg(key, ',' ORDER BY key COLLATE "C") AS columns
            FROM jsonb_each(s.content) WHERE key = ANY (s.names)) covered
        ORDER BY s.number"""  # noqa: S608 (our tables)
    after = -(2**63)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(query, [after])
            found = cursor.fetchall()
        for number, kind, event_id, digest, seal, *content in found:
            yield number, kind, event_id, bytes(digest), bytes(seal), *content
        if len(found) < _BATCH:
            return
        after = found[-1][0]


@cache
def _put_by_migrations() -> dict[tuple[str, str], Any]:
    """What a column that was added to a history holds in the rows from before it, as JSON, by kind and column.

    The migration says it: neither the rows nor a default in the database can, which the same hand may change.
    """
    put = {}
    editor = connection.schema_editor()
    for (app, _), migration in MigrationLoader(None).disk_migrations.items():
        for added in migration.operations if app == "partners" else ():
            if not isinstance(added, AddField) or not added.model_name_lower.endswith("event"):
                continue
            column = f"{added.name}_id" if added.field.is_relation else added.name
            value = (
                added.field.db_default
                if added.field.has_db_default()
                else editor.effective_default(added.field)
            )
            put[added.model_name_lower.removesuffix("event").upper(), column] = value
    return put


def _unreached(checked: Checked) -> Iterator[str]:
    """Seals that stand beside the chain: with a number before the first, with none, or with one that another has."""
    with connection.cursor() as cursor:
        # Those above the end came since.
        cursor.execute(
            "SELECT count(*) FROM public.partners_seal WHERE number IS NULL OR number <= %s",
            [checked.head.number if checked.head else 0],
        )
        [(found,)] = cursor.fetchall()
    if found != checked.count:
        yield f"{found - checked.count:,} seals stand beside the chain, and what they seal was never checked"


def _unsealed() -> Iterator[str]:
    """Rows of the history that the chain does not know."""
    for kind, table in _EVENTS.items():
        with connection.cursor() as cursor:
            cursor.execute(
                f"""SELECT e.pgh_id FROM {table} e LEFT JOIN public.partners_seal s ON s.kind = %s AND s.event_id = e.pgh_id
                    WHERE s.number IS NULL ORDER BY e.pgh_id""",  # noqa: S608 (our tables)
                [kind],
            )
            for (event_id,) in cursor.fetchall():
                yield f"{kind.lower()} change {event_id}: stands in the history without a seal"


def _shown_otherwise() -> Iterator[str]:
    """The view that pages read the history by, if it does not read what the one that the migrations made reads.

    Held against each other as the database would carry them out: to make the view anew and compare their texts, the
    application would have to be allowed to make relations, and with them triggers that write history.
    """
    plans: list[object] = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.partners_change') IS NOT NULL")
        [(is_there,)] = cursor.fetchall()
        for relation in ("public.partners_change", f"({_SELECT})") if is_there else ():
            # With parameters, of which the history's own are added to whatever a request executes.
            asked = f"EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM {relation} AS shown".replace("%", "%%")  # noqa: S608
            cursor.execute(asked, [])
            plans.append(cursor.fetchall())
    if not is_there or plans[0] != plans[1]:
        yield "the view partners_change, which pages show the history by, is not the one that the migrations made"


def _unlike_today() -> Iterator[str]:
    """Rows whose values are not those of their newest change: changed behind the history, or its end was cut off."""
    for kind, events in _EVENTS.items():
        table = _ROWS[kind]
        not_of_row = f"{{{_OWN}{_FORMER.get(Change.Kind(kind), '')}}}"
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT coalesce(t.id, e.pgh_obj_id) FROM {table} t
                FULL JOIN (SELECT DISTINCT ON (pgh_obj_id) * FROM {events} ORDER BY pgh_obj_id, pgh_id DESC) e
                    ON e.pgh_obj_id = t.id
                WHERE CASE WHEN t.id IS NULL THEN e.pgh_label <> 'delete'
                    ELSE e.pgh_id IS NULL OR e.pgh_label = 'delete'
                        OR to_jsonb(t) <> to_jsonb(e) - '{not_of_row}'::text[] END
                ORDER BY 1"""  # noqa: S608 (our tables)
            )
            for (row_id,) in cursor.fetchall():
                yield f"{kind.lower()} {row_id}: is not as its newest change in the history left it"
