"""What one partner earned in one closed period, as values, JSON and CSV with one content hash (LE7, LE9).

Pure. The hash covers everything in the statement but itself, so page, JSON and CSV can be told to be the same.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from chain.fiat.quotes import format_money, value_of
from ledger import hashing
from partners.rates import Basis
from partners.texts import quote

CSV_COLUMNS = (
    "partner",
    "period",
    "hotkey",
    "netuid",
    "side",
    "base_rao",
    "rate_bps",
    "commission_rao",
    "content_hash",
)


@dataclass(frozen=True, slots=True)
class UsdPrice:
    """What `source` said at the moment `at` that one whole coin cost in dollars: the price at the end of a period."""

    price: Decimal
    source: str
    at: datetime

    def value(self, rao: int) -> Decimal:
        """What an amount was worth, exactly."""
        return value_of(rao, self.price)

    @property
    def price_text(self) -> str:
        """The price for programs, in full and without the zeros that a column adds."""
        whole, _, part = f"{self.price:f}".partition(".")
        return f"{whole}.{part.rstrip('0')}".rstrip(".")

    def to_dict(self) -> dict[str, str]:
        """Give it as JSON-able values."""
        return {"price": self.price_text, "source": self.source, "at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One pool and side: what the partner's delegators earned in TAO, and the partner's part of it.

    `wallet` is the one that earned it, where the statement lists wallets; `wallets` how many lines of wallets are summed
    here, each rounded down on its own, where it does not.
    """

    hotkey: str
    netuid: int
    side: str
    base_rao: int
    rate_bps: int
    commission_rao: int
    basis: str = Basis.TAKE
    wallet: str = ""
    wallets: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """A closed period for one partner. `pending_alpha` is (netuid, rao): earned and not yet converted at its end.

    `lost_blocks` are (first, last) of blocks that could never be read: what was earned in them is not in here.
    Amounts are in billionths of `currency`, which JSON and CSV name where it is not TAO; they name the basis of a line
    where it is not the take, and sum such bases apart; its wallet, or how many, where lines name wallets.
    `usd` is the price at `end_at`, once one is kept. It may come after the statement, and so is no part of its hash.
    """

    partner: str
    partner_name: str
    period: str
    first_block: int
    last_block: int
    lines: tuple[StatementLine, ...]
    pending_alpha: tuple[tuple[int, int], ...]
    manifest_hash: str
    end_at: datetime
    lost_blocks: tuple[tuple[int, int], ...] = ()
    currency: str = "TAO"
    usd: UsdPrice | None = None

    @property
    def base_rao(self) -> int:
        """Sum of the bases that are take."""
        return sum(line.base_rao for line in self.lines if line.basis != Basis.GROSS)

    @property
    def gross_base_rao(self) -> int:
        """Sum of the bases that are the gross dividend, which says nothing together with the other."""
        return sum(line.base_rao for line in self.lines if line.basis == Basis.GROSS)

    @property
    def bases(self) -> dict[str, int]:
        """The sums by basis, of each that has lines; without any, of the take."""
        sums: dict[str, int] = {Basis.TAKE: self.base_rao, Basis.GROSS: self.gross_base_rao}
        found = {line.basis for line in self.lines} or {Basis.TAKE}
        return {basis: rao for basis, rao in sums.items() if basis in found}

    @property
    def commission_rao(self) -> int:
        """Sum of the lines' commissions: what the period added to the partner's payable."""
        return sum(line.commission_rao for line in self.lines)

    @property
    def has_gross(self) -> bool:
        """Tell whether a line has the gross dividend as its base."""
        return any(line.basis == Basis.GROSS for line in self.lines)

    @property
    def has_wallets(self) -> bool:
        """Tell whether a line is of one wallet."""
        return any(line.wallet for line in self.lines)

    @property
    def has_sums(self) -> bool:
        """Tell whether a line sums those of several wallets."""
        return any(line.wallets for line in self.lines)

    def _content(self) -> dict[str, Any]:
        lost = [{"first": first, "last": last} for first, last in self.lost_blocks]
        return ({"lost_blocks": lost} if lost else {}) | {
            "partner": self.partner,
            "partner_name": self.partner_name,
            "period": self.period,
            "block_range": {"first": self.first_block, "last": self.last_block},
            "lines": [
                {
                    "hotkey": line.hotkey,
                    "netuid": line.netuid,
                    "side": line.side,
                    "base_rao": line.base_rao,
                    "rate_bps": line.rate_bps,
                    "commission_rao": line.commission_rao,
                    **({} if line.basis == Basis.TAKE else {"basis": line.basis}),
                    **({"wallet_address": line.wallet} if line.wallet else {}),
                    **({"wallets": line.wallets} if line.wallets else {}),
                }
                for line in self.lines
            ],
            "totals": {
                "base_rao": self.base_rao,
                **({"gross_base_rao": self.gross_base_rao} if self.has_gross else {}),
                "commission_rao": self.commission_rao,
            },
            "pending_alpha": [
                {"netuid": netuid, "alpha_rao": amount} for netuid, amount in self.pending_alpha
            ],
            "manifest_hash": self.manifest_hash,
            **({} if self.currency == "TAO" else {"currency": self.currency}),
        }

    @property
    def content_hash(self) -> str:
        """SHA-256 of the content as JSON with sorted keys and no spaces."""
        return hashing.content_hash(self._content())

    def to_dict(self) -> dict[str, Any]:
        """Give the statement as JSON-able values."""
        usd = self.usd and {**self.usd.to_dict(), "commission": cents(self.usd.value(self.commission_rao))}
        return {**self._content(), "content_hash": self.content_hash, **({"usd": usd} if usd else {})}

    def to_json(self) -> str:
        """Write the statement as JSON for people and programs."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """Write the lines as CSV; no cell can be taken for a formula."""
        content_hash = self.content_hash
        is_other, is_gross = self.currency != "TAO", self.has_gross
        columns = CSV_COLUMNS + ("currency",) * is_other + ("basis",) * is_gross
        columns += ("wallet_address",) * self.has_wallets + ("wallets",) * self.has_sums
        columns += ("usd_price", "commission_usd") * (self.usd is not None)
        rows: list[tuple[str | int | None, ...]] = [
            (
                self.partner,
                self.period,
                line.hotkey,
                line.netuid,
                line.side,
                line.base_rao,
                line.rate_bps,
                line.commission_rao,
                content_hash,
                *(self.currency,) * is_other,
                *(line.basis,) * is_gross,
                *(line.wallet,) * self.has_wallets,
                *(line.wallets or None,) * self.has_sums,
                *((self.usd.price_text, cents(self.usd.value(line.commission_rao))) if self.usd else ()),
            )
            for line in self.lines
        ]
        return write_csv([columns, *rows])


def cents(value: Decimal) -> str:
    """Dollars and cents for programs; people add up exact values, not these."""
    return format_money(value).replace(",", "")


def write_csv(rows: list[tuple[str | int | None, ...]]) -> str:
    """Write rows as CSV (RFC 4180); text that a spreadsheet would run is quoted, numbers stay numbers."""
    out = io.StringIO()
    csv.writer(out).writerows(
        [[quote(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    )
    return out.getvalue()
