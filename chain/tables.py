"""A table as the admin's pages show it: headings, rows of finished cells, and what to say when it is empty.

Rendered by `templates/admin/chain/table.html`. Cells are text or safe HTML from `chain.display`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers are set to the right."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The first cell of each row is its heading. `total` is a last row in bold."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    empty: str = "Nothing here."
    note: str = ""
    total: Sequence[str] = field(default=())
    link: str = ""
    link_title: str = ""

    @property
    def lines(self) -> list[list[tuple[str, Column]]]:
        """Rows with each cell beside its column."""
        return [list(zip(row, self.columns, strict=True)) for row in self.rows]

    @property
    def total_line(self) -> list[tuple[str, Column]]:
        """The last row in the same form."""
        return list(zip(self.total, self.columns, strict=True)) if self.total else []
