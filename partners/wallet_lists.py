"""Lists of wallets from and to CSV and XLSX files (PA5).

Reading a list decides for every row whether it is new, changed, unchanged or refused, and why. A list with
one refused row is not imported at all; a list imported a second time changes nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.exceptions import ValidationError
from import_export import fields, resources, widgets
from import_export.results import RowResult

from chain.addresses import InvalidAddress
from chain.families import check_address
from chain.models import Hotkey
from chain.network import family
from partners.models import Partner, Wallet, own_chain

COLUMNS = ("partner", "chain", "address", "introduced_date", "is_active", "notes")
REQUIRED = ("partner", "address", "introduced_date")
ROWS_MAX = 50_000
NOTES_LENGTH_MAX = 2_000
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
# Invisible characters that make a text read otherwise than it is: direction marks, zero width, byte order.
_INVISIBLE = {
    *map(chr, range(0x200B, 0x2010)),
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
}


class ListRefused(ValueError):
    """The file as a whole is not a wallet list; the message says what to change in it."""


@dataclass(frozen=True, slots=True)
class WalletRow:
    """One row as read. None in a value means that the list leaves it as it is."""

    partner: Partner
    chain: str
    address: str
    introduced_date: date
    is_active: bool | None
    notes: str | None


class ListReader:
    """Reads the rows of one list against what is stored, loaded once."""

    def __init__(self, *, addresses: Iterable[str], today: date) -> None:
        self._today = today
        self._family, self._chain = family(), own_chain()
        self._partners = {partner.slug: partner for partner in Partner.objects.all()}
        wallets = Wallet.objects.filter(address__in=set(addresses)).select_related("partner")
        self.stored = {(wallet.chain, wallet.address): wallet for wallet in wallets}
        self._hotkeys = set(Hotkey.objects.values_list("address", flat=True))
        self._first_seen: dict[tuple[str, str], int] = {}

    def read(self, row: Mapping[str, Any], line: int) -> WalletRow:
        """Read one row of the list, which stands on this line of the sheet.

        :raises ValidationError: with every fault of the row, by column.
        """
        faults: dict[str, str] = {}

        def attempt(column: str, read: Any) -> Any:
            try:
                return read(_cell(row.get(column)))
            except ValueError as error:
                faults[column] = str(error)
                return None

        chain = attempt("chain", self._read_chain)
        partner = attempt("partner", self._read_partner)
        address = attempt("address", self._read_address)
        stored = self.stored.get((chain, address))
        introduced = attempt("introduced_date", lambda cell: self._read_date(cell, stored))
        is_active = attempt("is_active", _read_flag) if "is_active" in row else None
        notes = attempt("notes", _read_notes) if "notes" in row else None
        if address and chain:
            first = self._first_seen.setdefault((chain, address), line)
            if first != line:
                faults["address"] = f"The same address is already on line {first}."
            elif stored is not None and partner is not None and stored.partner_id != partner.pk:
                faults["address"] = (
                    f"This address is a wallet of {stored.partner}. If it changed hands, change its partner"
                    " on the wallet's own page."
                )
        if faults:
            raise ValidationError(faults)
        return WalletRow(partner, chain, address, introduced, is_active, notes)

    def _read_chain(self, cell: Any) -> str:
        chain = _text(cell).upper() or self._chain
        if chain != self._chain:
            raise ValueError(f"There is no chain {chain!r} here. This installation holds {self._chain}.")
        return chain

    def _read_partner(self, cell: Any) -> Partner:
        slug = _text(cell)
        if not slug:
            raise ValueError("The partner is missing; write its short name (slug).")
        if slug not in self._partners:
            known = ", ".join(sorted(self._partners)[:8])
            raise ValueError(f"There is no partner {slug!r}. Known are: {known or 'none yet'}.")
        return self._partners[slug]

    def _read_address(self, cell: Any) -> str:
        address = _text(cell)
        if not address:
            raise ValueError("The address is missing.")
        try:
            check_address(address, self._family)
        except InvalidAddress as error:
            raise ValueError(f"The address {error}.") from error
        if address in self._hotkeys:
            raise ValueError("This is one of your own hotkeys; give the partner's wallet (coldkey).")
        return address

    def _read_date(self, cell: Any, stored: Wallet | None) -> date:
        found = _parse_date(cell)
        if found > self._today and (stored is None or stored.introduced_date != found):
            raise ValueError(f"The date {found.isoformat()} is in the future.")
        return found


def _cell(cell: Any) -> Any:
    """Take a cell, refusing texts that a spreadsheet would run or that hide what they are."""
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r\n", "\n")
    if cell.startswith("'") and cell[1:].startswith(_FORMULA_SIGNS):
        # What our own export quoted.
        return cell[1:].rstrip(" ")
    if cell.startswith(_FORMULA_SIGNS):
        raise ValueError(
            f"Begins with {cell[0]!r}, which a spreadsheet takes for a formula. Put ' before it to keep it."
        )
    for letter in "" if cell.isprintable() else cell:
        if letter in _INVISIBLE or (unicodedata.category(letter) == "Cc" and letter not in "\n\t"):
            raise ValueError(f"Contains the invisible character U+{ord(letter):04X}. Type the text anew.")
    return cell.strip(" ")


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _parse_date(cell: Any) -> date:
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date()
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return cell
    text = _text(cell)
    if not text:
        raise ValueError("The date is missing; write it as 2025-08-31.")
    try:
        # strptime would also take 2025-8-1, and fromisoformat 20250801.
        if len(text) != 10 or not text.isascii():
            raise ValueError
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise ValueError(f"{text!r} is not a date; write it as 2025-08-31.") from None


def _read_flag(cell: Any) -> bool | None:
    text = _text(cell).lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    if text:
        raise ValueError(f"{text!r} is neither true nor false.")
    return None


def _read_notes(cell: Any) -> str:
    notes = _text(cell)
    if len(notes) > NOTES_LENGTH_MAX:
        raise ValueError(f"Has {len(notes):,} characters; {NOTES_LENGTH_MAX:,} is the most.")
    return notes


class WalletResource(resources.ModelResource):
    """Connects the reader with the import and export pages of the admin."""

    partner = fields.Field(
        attribute="partner", column_name="partner", widget=widgets.ForeignKeyWidget(Partner, "slug")
    )
    is_active = fields.Field(attribute="is_active", column_name="is_active")

    class Meta:
        model = Wallet
        fields = COLUMNS
        import_order = export_order = COLUMNS
        import_id_fields = ("address",)
        use_bulk = True
        batch_size = 1_000
        use_transactions = True
        # The library's own comparison copies and renders every row; ours keeps only what changed.
        skip_diff = True
        skip_unchanged = True
        report_skipped = True

    def __init__(self, *, today: date | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._today = today or datetime.now(UTC).date()
        self._reader: ListReader
        self._row: WalletRow
        self._changes: list[tuple[str, str, str]] = []

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        """Refuse what is no wallet list, and load what its rows are compared with."""
        try:
            _check_headers(dataset.headers or [], len(dataset))
        except ListRefused:
            dataset.wipe()
            raise
        self._reader = ListReader(addresses=map(_text, dataset["address"]), today=self._today)

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        """Read the row; a refusal makes it an invalid row of the preview."""
        # The first line of the sheet holds the headers.
        self._row = self._reader.read(row, kwargs["row_number"] + 1)

    def get_or_init_instance(self, instance_loader: Any, row: Any) -> tuple[Wallet, bool]:
        """Find the stored wallet without a query per row."""
        stored = self._reader.stored.get((self._row.chain, self._row.address))
        return (stored, False) if stored else (Wallet(), True)

    def import_instance(self, instance: Wallet, row: Any, **kwargs: Any) -> None:
        """Take over the values of the row and remember which of them differ."""
        read, self._changes = self._row, []
        if instance._state.adding:
            instance.partner, instance.chain, instance.address = read.partner, read.chain, read.address
            instance.introduced_date = read.introduced_date
            instance.is_active = read.is_active is not False
            instance.notes = read.notes or ""
            return
        values = {"introduced_date": read.introduced_date, "is_active": read.is_active, "notes": read.notes}
        for name, value in values.items():
            stored = getattr(instance, name)
            same = stored.replace("\r\n", "\n").strip(" ") == value if name == "notes" else stored == value
            if value is not None and not same:
                self._changes.append((name, str(stored), str(value)))
                setattr(instance, name, value)

    def skip_row(
        self, instance: Wallet, original: Any, row: Any, import_validation_errors: Any = None
    ) -> bool:
        """Skip a wallet that is already as listed, so that no history is written."""
        return not instance._state.adding and not self._changes

    def get_bulk_update_fields(self) -> list[str]:
        """Name all that a list can change; never whose a wallet is."""
        return ["introduced_date", "is_active", "notes"]

    def after_import_row(self, row: Any, row_result: RowResult, **kwargs: Any) -> None:
        """Keep for the preview what the row means."""
        row_result.line = kwargs["row_number"] + 1
        row_result.read = self._row
        row_result.changes = self._changes

    def get_queryset(self) -> Any:
        """Read partners with their wallets."""
        return super().get_queryset().select_related("partner")

    def export_field(self, field: fields.Field, instance: Wallet, **kwargs: Any) -> Any:
        """Quote every text that a spreadsheet would take for a formula (LE9)."""
        value = super().export_field(field, instance, **kwargs)
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_SIGNS) else value

    def dehydrate_is_active(self, wallet: Wallet) -> str:
        """Write the flag as the import reads it."""
        return "true" if wallet.is_active else "false"


def _check_headers(headers: list[str | None], row_count: int) -> None:
    names = [name or "" for name in headers]
    if missing := [name for name in REQUIRED if name not in names]:
        raise ListRefused(
            f"The first line must name the columns; missing: {', '.join(missing)}."
            f" Known columns are {', '.join(COLUMNS)}."
        )
    if unknown := [name for name in names if name not in COLUMNS]:
        raise ListRefused(
            f"Unknown columns: {', '.join(map(repr, unknown))}. Known are {', '.join(COLUMNS)}."
        )
    if len(set(names)) != len(names):
        raise ListRefused("A column is named twice in the first line.")
    if row_count > ROWS_MAX:
        raise ListRefused(f"The list has {row_count:,} rows; {ROWS_MAX:,} is the most. Split it.")


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that keeps the list from being imported, with its faults by column."""

    line: int
    values: dict[str, Any]
    faults: dict[str, list[str]]


class Preview:
    """What an import would do, or why it does nothing, for the page that asks for confirmation."""

    def __init__(self, result: Any) -> None:
        by_kind: dict[str, list[RowResult]] = {}
        for row in result.rows:
            by_kind.setdefault(row.import_type, []).append(row)
        self.new = by_kind.get(RowResult.IMPORT_TYPE_NEW, [])
        self.changed = by_kind.get(RowResult.IMPORT_TYPE_UPDATE, [])
        self.unchanged = by_kind.get(RowResult.IMPORT_TYPE_SKIP, [])
        self.refused = [
            RefusedRow(
                row.number + 1, dict(zip(result.diff_headers, row.values, strict=True)), row.error_dict
            )
            for row in result.invalid_rows
        ]
        # An unforeseen error of a row must refuse the list as loudly as a foreseen one.
        self.refused += [
            RefusedRow(line + 1, {}, {"row": [str(error.error) for error in errors]})
            for line, errors in result.row_errors()
        ]
        self.errors = [str(error.error) for error in result.base_errors]

    @property
    def is_refused(self) -> bool:
        """Whether anything at all keeps the list from being imported."""
        return bool(self.refused or self.errors)

    @property
    def changes_nothing(self) -> bool:
        """Whether every row is already as listed."""
        return not (self.is_refused or self.new or self.changed)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many rows there are of each kind."""
        kinds = {
            "new": self.new,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "refused": self.refused,
        }
        return [(name, len(rows)) for name, rows in kinds.items()]
