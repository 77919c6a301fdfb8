"""Database fields for exact integers: rao amounts and 128-bit share numbers. Neither ever yields a Decimal or float."""

from __future__ import annotations

from typing import Any

from django.db import models


class RaoField(models.BigIntegerField):  # type: ignore[type-arg]
    """An amount in rao (1e-9 TAO or alpha). Also turns PostgreSQL's numeric result of SUM back into an int."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value)


class Uint128Field(models.DecimalField):  # type: ignore[type-arg]
    """The raw bits of a share number (U64F64: value times 2**64), stored as numeric(39, 0), read as int."""

    # What type checkers take the column for.
    _pyi_private_get_type: int  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 39, 0
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value)

    def to_python(self, value: Any) -> Any:
        return None if value is None else int(value)
