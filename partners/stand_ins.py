"""Finds what stands in the place of the history, or of what reads it (PA6).

Whoever rules the database need not touch a row to show another history: a view in the place of a table, a table of the same
name in a schema that is looked into first, or a function that is called in the place of one of PostgreSQL's own will do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db import connection

_KINDS = {
    "v": "a view", "m": "a materialized view", "f": "a foreign table", "p": "a partitioned table", "r": "a table",
    "i": "an index", "S": "a sequence", "c": "a type",
}  # fmt: skip
# What PostgreSQL brings has lower numbers. Operands are of just the types that its own operators take, because those that
# somebody else made are what is looked for.
_OWN_MAX = "'16384'::oid"
_RELATIONS = f"""
SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity, c.relpersistence::text,
    EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid),
    c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid OR i.inhparent = c.oid),
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > '0'::smallint
        AND NOT a.attisdropped AND (a.atttypid >= {_OWN_MAX} OR a.attgenerated <> ''::"char"))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = ANY (%s::text[])
ORDER BY 1, 2"""  # noqa: S608 (our constant)


_SWITCHED_OFF = """
SELECT c.relname::text, t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'public'::regnamespace::oid AND c.relname = ANY (%s::text[]) AND t.tgenabled NOT IN ('O', 'A')
ORDER BY 1, 2"""


def _of_extension(catalogue: str, number: str, function: str, types: str) -> str:
    """SQL: an extension brought it, and it is written in C or takes a type of that extension. Anything can be handed to an
    extension, so that alone excuses nothing."""
    written_in_c = f"EXISTS (SELECT FROM pg_proc f WHERE f.oid = {function} AND f.prolang = '13'::oid)"
    takes_its_type = f"""EXISTS (SELECT FROM pg_depend t WHERE t.refclassid = d.refclassid AND t.refobjid = d.refobjid
        AND t.classid = 'pg_type'::regclass::oid AND t.deptype = 'e'::"char" AND t.objid = ANY ({types}))"""
    return f"""EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalogue}'::regclass::oid AND d.objid = {number}
        AND d.deptype = 'e'::"char" AND d.refclassid = 'pg_extension'::regclass::oid
        AND ({written_in_c} OR {takes_its_type}))"""


_NAMESAKES = f"""
SELECT 'function', p.oid::regprocedure::text FROM pg_proc p
WHERE (p.oid >= {_OWN_MAX} OR p.pronamespace <> 'pg_catalog'::regnamespace::oid)
    AND EXISTS (SELECT FROM pg_proc own WHERE own.proname = p.proname AND own.oid < {_OWN_MAX}
        AND own.pronamespace = 'pg_catalog'::regnamespace::oid)
    AND NOT {_of_extension("pg_proc", "p.oid", "p.oid", "p.proargtypes::oid[]")}
UNION ALL
SELECT 'operator', o.oid::regoperator::text FROM pg_operator o
WHERE (o.oid >= {_OWN_MAX} OR o.oprnamespace <> 'pg_catalog'::regnamespace::oid)
    AND EXISTS (SELECT FROM pg_operator own WHERE own.oprname = o.oprname AND own.oid < {_OWN_MAX}
        AND own.oprnamespace = 'pg_catalog'::regnamespace::oid)
    AND NOT {_of_extension("pg_operator", "o.oid", "o.oprcode::oid", "ARRAY[o.oprleft, o.oprright]")}
UNION ALL
SELECT 'cast', '(' || format_type(c.castsource, NULL) || ' AS ' || format_type(c.casttarget, NULL) || ')' FROM pg_cast c
WHERE c.oid >= {_OWN_MAX}
    AND NOT {_of_extension("pg_cast", "c.oid", "'0'::oid", "ARRAY[c.castsource, c.casttarget]")}
ORDER BY 1, 2"""  # noqa: S608 (our constants)


def in_place_of(tables: Collection[str], views: Collection[str]) -> Iterator[str]:
    """Anything in the place of these relations of the schema public; names must be looked up in pg_catalog alone."""
    found = _rows(_RELATIONS, [*tables, *views])
    there = {name: row for schema, name, *row in found if schema == "public"}
    for schema, name, kind, *_ in found:
        if schema != "public" and not schema.startswith(("pg_temp_", "pg_toast")):
            yield f"{_name(kind)} named {schema}.{name} may be read in the place of public.{name}"
    for table in tables:
        for fault in _faults(*there[table]) if table in there else ["is gone"]:
            yield f"the table public.{table} {fault}"
    for view in views:
        if view in there and there[view][0] != "v":
            yield f"the view public.{view} is {_name(there[view][0])}"


def switched_off(tables: Collection[str]) -> Iterator[str]:
    """Triggers of these tables of the schema public that do not fire: what happens meanwhile leaves no trace."""
    for table, trigger in _rows(_SWITCHED_OFF, tables):
        yield f"the trigger {trigger} of public.{table} is switched off: what was done meanwhile is in no history"


def in_place_of_postgres() -> Iterator[str]:
    """Functions, operators and casts of somebody's own that may be used where PostgreSQL's own are meant."""
    for kind, name in _rows(_NAMESAKES):
        yield f"the {kind} {name} is not PostgreSQL's own and may be used in the place of one that is"


def _faults(
    kind: str, hides: bool, persistence: str, has_rules: bool, inherits: bool, made: list[str]
) -> Iterator[str]:
    """What makes a relation another thing than an ordinary table that holds its rows itself."""
    if kind != "r":
        yield f"is {_name(kind)}"
        return
    if persistence != "p":
        yield "is not kept when the database stops at once"
    if hides:
        yield "has row security, which hides rows"
    if has_rules:
        yield "has a rule, which may do something else than was asked"
    if inherits:
        yield "shares its rows with another table by inheritance"
    for column in made:
        yield f"has the column {column} of a type that is not PostgreSQL's own, or that is calculated"


def _name(kind: str) -> str:
    return _KINDS.get(kind, "something else")


def _rows(query: str, names: Collection[str] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, None if names is None else [list(names)])
        return list(cursor.fetchall())
