"""What one partner earned in one year, day by day and in sums, for accounts and taxes, with a content hash. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from chain.fiat.quotes import format_money, sum_of
from ledger import hashing
from ledger.statements import UsdPrice, cents, write_csv

CSV_COLUMNS = (
    "partner",
    "day",
    "commission_rao",
    "currency",
    "usd_price",
    "usd_source",
    "usd_at",
    "commission_usd",
    "manifest_hash",
    "content_hash",
)


@dataclass(frozen=True, slots=True)
class YearDay:
    """A closed day: what it added to what the partner is owed, in rao, and the price at its end, once one is known."""

    day: str
    commission_rao: int
    manifest_hash: str
    usd: UsdPrice | None = None

    @property
    def value(self) -> Decimal | None:
        """What the commission was worth in dollars, exactly; None where that is not known. Nothing is worth nothing."""
        if not self.commission_rao:
            return Decimal(0)
        return self.usd.value(self.commission_rao) if self.usd else None


@dataclass(frozen=True, slots=True)
class YearMonth:
    """The closed days of one month."""

    name: str
    days: int
    commission_rao: int
    usd: Decimal | None
    unpriced: int

    @property
    def usd_shown(self) -> str:
        """The dollars as they are written, with what they lack."""
        return _shown(self.usd, self.unpriced)


@dataclass(frozen=True, slots=True)
class YearSummary:
    """The closed days of a year for one partner, the oldest first. Amounts are in billionths of `currency`."""

    partner: str
    partner_name: str
    year: int
    days: tuple[YearDay, ...]
    currency: str = "TAO"

    @property
    def commission_rao(self) -> int:
        """Sum of the days."""
        return sum(day.commission_rao for day in self.days)

    @property
    def usd(self) -> Decimal | None:
        """Sum of the days whose price is known; None when none is of a day that earned something."""
        return _sum(self.days)

    @property
    def unpriced(self) -> int:
        """How many days earned something and have no price yet."""
        return sum(day.value is None for day in self.days)

    @property
    def unpriced_said(self) -> str:
        """Say what the dollars lack, or nothing."""
        if not self.unpriced:
            return ""
        return (
            f"Without a price yet: {_days(self.unpriced)} that earned something. The dollars lack what was earned then; the"
            " schedule fetches prices and attaches them."
        )

    @property
    def usd_shown(self) -> str:
        """The dollars as they are written, with what they lack."""
        return _shown(self.usd, self.unpriced)

    @property
    def span(self) -> str:
        """The first and the last closed day."""
        return f"{self.days[0].day} to {self.days[-1].day}" if self.days else "none"

    @property
    def end_at(self) -> datetime:
        """When the year ends (UTC)."""
        return datetime(self.year + 1, 1, 1, tzinfo=UTC)

    @property
    def months(self) -> Iterator[YearMonth]:
        """Sum the days by month."""
        for month, group in groupby(self.days, key=lambda day: day.day[:7]):
            days = tuple(group)
            unpriced = sum(day.value is None for day in days)
            yield YearMonth(month, len(days), sum(day.commission_rao for day in days), _sum(days), unpriced)

    @property
    def content_hash(self) -> str:
        """SHA-256 of the amounts of all days; prices, which may come later, are no part of it."""
        return hashing.content_hash(self._content())

    def _content(self) -> dict[str, Any]:
        return {
            "partner": self.partner,
            "year": self.year,
            "currency": self.currency,
            "commission_rao": self.commission_rao,
            "days": [
                {"day": day.day, "commission_rao": day.commission_rao, "manifest_hash": day.manifest_hash}
                for day in self.days
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """Give the summary as JSON-able values."""
        return {
            **self._content(),
            "partner_name": self.partner_name,
            "content_hash": self.content_hash,
            "usd": None if self.usd is None else cents(self.usd),
            "days_without_price": self.unpriced,
            "prices": {day.day: day.usd.to_dict() for day in self.days if day.usd},
        }

    def to_json(self) -> str:
        """Write the summary as JSON for people and programs."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """Write a row a day as CSV; no cell can be taken for a formula."""
        content_hash = self.content_hash
        rows: list[tuple[str | int | None, ...]] = [
            (
                self.partner,
                day.day,
                day.commission_rao,
                self.currency,
                day.usd.price_text if day.usd else None,
                day.usd.source if day.usd else None,
                day.usd.at.isoformat() if day.usd else None,
                None if day.value is None else cents(day.value),
                day.manifest_hash,
                content_hash,
            )
            for day in self.days
        ]
        return write_csv([CSV_COLUMNS, *rows])


def _sum(days: tuple[YearDay, ...]) -> Decimal | None:
    known = [day.value for day in days if day.value is not None]
    return sum_of(known) if known else None


def _shown(usd: Decimal | None, unpriced: int) -> str:
    if usd is None:
        return "no price yet"
    return f"${format_money(usd)}{f', {_days(unpriced)} without price' if unpriced else ''}"


def _days(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"
