"""Writing many rows at once, with COPY."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from django.db import connection, models
from numpy.typing import NDArray
from psycopg import Copy, sql

_ARRAY_HEADER = np.dtype(
    [("dimensions", ">i4"), ("has_null", ">i4"), ("type", ">i4"), ("length", ">i4"), ("first", ">i4")]
)
_TYPES = {"int4": (23, ">i4", 4), "int8": (20, ">i8", 8)}


def copy_rows(model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Append rows to a model's table, in one statement, so that its triggers see all of them at once; without rows in none.

    Values go to the database as they are, without the checks and defaults of the model's fields.

    :param columns: names in the database, as ``partner_id``; all without a default of the database's must be there.
    """
    left = iter(rows)
    if (first := next(left, None)) is None:
        return
    with _copying(_statement(model, columns, "TEXT")) as copy:
        copy.write_row(first)
        for row in left:
            copy.write_row(row)


def copy_rows_with_arrays(
    model: type[models.Model], columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]
) -> None:
    """Append rows as `copy_rows` does, with NumPy's arrays as they lie in memory.

    :param columns: names in the database with their types; arrays are ``int4[]`` or ``int8[]``.
    """
    names, types = zip(*columns, strict=True)
    arrays = {place: kind[:-2] for place, kind in enumerate(types) if kind.endswith("[]")}
    with _copying(_statement(model, names, "BINARY")) as copy:
        # What is bytes already is sent as it is.
        copy.set_types(["bytea" if kind.endswith("[]") else kind for kind in types])
        for row in rows:
            copy.write_row(
                [
                    _array(value, arrays[place]) if place in arrays else value
                    for place, value in enumerate(row)
                ]
            )


@contextmanager
def _copying(statement: sql.Composed) -> Iterator[Copy]:
    """Begin a COPY whose errors are Django's, as those of every other statement."""
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        yield copy


def _statement(model: type[models.Model], columns: Sequence[str], form: str) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
        sql.Identifier(model._meta.db_table), sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(form)
    )


def _array(values: NDArray[np.int64], kind: str) -> bytes:
    """Spell an array in PostgreSQL's binary form: one dimension from 1, each element behind its length."""
    oid, code, size = _TYPES[kind]
    limits = np.iinfo(code)
    if len(values) and not limits.min <= values.min() <= values.max() <= limits.max:
        raise OverflowError(f"an array of {kind} cannot hold {values.min()} to {values.max()}")
    header = np.array([(1, 0, oid, len(values), 1)], _ARRAY_HEADER)
    elements = np.empty(len(values), [("size", ">i4"), ("value", code)])
    elements["size"], elements["value"] = size, values
    return header.tobytes() + elements.tobytes()
