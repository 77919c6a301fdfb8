"""Lists of wallets from and to CSV and XLSX files (PA5).

Reading a list decides for every row whether it is new, changed, unchanged or refused, and why. A list with
one refused row is not imported at all; a list imported a second time changes nothing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from tempfile import SpooledTemporaryFile
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.db.models import QuerySet
from import_export import fields, resources, widgets
from import_export.formats.base_formats import Format
from import_export.results import Result, RowResult

from chain.addresses import InvalidAddress
from chain.families import check_address
from chain.imports.files import FileRefused
from chain.models import Hotkey
from chain.network import family
from chain.texts import check_text, without_hidden
from partners.matching import FormerSpan, WalletTerms, former_of
from partners.models import WALLET_ENDS_LATER, Partner, Wallet, check_wallet_day, own_chain
from partners.queries import former_owners
from partners.sheets import (
    HELD_BYTES_MAX,
    ROWS_MAX,
    CellError,
    Formula,
    Place,
    Record,
    Sheet,
    column_name,
    is_too_long,
    read_sheet,
)
from partners.texts import check_notes, check_size, quote, tidy, unquote
from partners.what_if import KINDS, BookChange

logger = logging.getLogger(__name__)
COLUMNS = ("partner", "chain", "address", "introduced_date", "ended_date", "is_active", "notes")
REQUIRED = ("partner", "address", "introduced_date")
RECORD = "its record"
# Of each kind of row, how many a preview shows.
SAMPLES_MAX = 100
REFUSED_SHOWN_MAX = 200
VALUE_LENGTH_SHOWN_MAX = 120
SLUG_LENGTH_MAX = 60
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_REFUSED_SIGNS = ("=", "+", "-", "@", "\t", "\r")
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


@dataclass(frozen=True, slots=True)
class WalletRow:
    """One row as read. None means that the list leaves it as it is, but in `ended_date`, where it means no end."""

    partner: Partner
    chain: str
    address: str
    introduced_date: date
    ended_date: date | None
    is_active: bool | None
    notes: str | None


class ListReader:
    """Reads the rows of one list against what is stored."""

    def __init__(self, *, today: date) -> None:
        self._today = today
        self._family, self._chain = family(), own_chain()
        self._partners = {partner.slug: partner for partner in Partner.objects.all()}
        self.stored: dict[tuple[str, str], Wallet] = {}
        self._hotkeys = set(Hotkey.objects.values_list("address", flat=True))
        self._first_seen: dict[str, Place] = {}

    def load(self, addresses: Iterable[str]) -> None:
        """Load the wallets that the rows to be read next are compared with, in place of those before."""
        wallets = Wallet.objects.filter(address__in=set(addresses)).select_related("partner")
        self.stored = {(wallet.chain, wallet.address): wallet for wallet in wallets}

    def read(self, row: Mapping[str, Any], place: Place) -> WalletRow:
        """Read one row of the list, which stands at this place of the file.

        :raises RowRefused: with every fault of the row, by column.
        """
        faults: dict[str, str] = {}

        def attempt(column: str, read: Any) -> Any:
            try:
                return read(_cell(row.get(column), column))
            except ValueError as error:
                faults[column] = str(error)
                return None

        chain = attempt("chain", self._read_chain)
        partner = attempt("partner", self._read_partner)
        address = attempt("address", self._read_address)
        stored = self.stored.get((chain, address))
        introduced = attempt("introduced_date", lambda cell: self._read_date(cell, stored))
        ended = stored.ended_date if stored else None
        if "ended_date" in row:
            ended = attempt("ended_date", _read_end)
        if stored and introduced and (loser := self._who_loses(stored, introduced)):
            faults["introduced_date"] = (
                f"Until {stored.introduced_date} it was a wallet of {loser}, from whom a list takes no day."
                " If they are to lose days that are not closed yet, change the day on the wallet's own page, and say why."
            )
        if ended and introduced and ended <= introduced:
            faults.setdefault("ended_date", WALLET_ENDS_LATER)
        is_active = attempt("is_active", _read_flag) if "is_active" in row else None
        notes = attempt("notes", _read_notes) if "notes" in row else None
        if address and chain:
            # Another chain's was refused.
            first = self._first_seen.setdefault(address, place)
            if first != place:
                faults["address"] = f"The same address is already on row {first}."
            elif stored is not None and partner is not None and stored.partner_id != partner.pk:
                faults["address"] = (
                    f"This address is a wallet of {stored.partner}. If it changed hands, choose it in the list"
                    " of wallets and reassign it."
                )
        if faults:
            raise RowRefused(faults, place)
        return WalletRow(partner, chain, address, introduced, ended, is_active, notes)

    @cached_property
    def _former(self) -> dict[int, list[FormerSpan]]:
        return former_owners()

    def _who_loses(self, stored: Wallet, introduced: date) -> str:
        """Name whose days an earlier day would take, of those who had a wallet before; nobody is empty."""
        if introduced >= stored.introduced_date:
            return ""
        names = {partner.pk: str(partner) for partner in self._partners.values()}
        spans = former_of(self._former.get(stored.pk, ()), stored.introduced_date)
        return next((names[partner] for partner, _, until in spans if until > introduced), "")

    def _read_chain(self, cell: Any) -> str:
        chain = _text(cell).upper() or self._chain
        if chain != self._chain:
            raise ValueError(f"There is no chain {chain[:40]!r} here. This installation holds {self._chain}.")
        return chain

    def _read_partner(self, cell: Any) -> Partner:
        slug = _text(cell)
        if not slug:
            raise ValueError("The partner is missing; write its short name (slug).")
        if len(slug) > SLUG_LENGTH_MAX:
            raise ValueError(
                f"Has {len(slug):,} characters; a short name (slug) has at most {SLUG_LENGTH_MAX}."
            )
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
        check_wallet_day(found, "introduced_date")
        if found > self._today and (stored is None or stored.introduced_date != found):
            raise ValueError(f"The date {found.isoformat()} is in the future.")
        return found


def _cell(cell: Any, column: str) -> Any:
    """Take a cell, refusing texts that a spreadsheet would run or that hide what they are."""
    if isinstance(cell, Formula):
        raise ValueError("Holds a formula. Put its value there instead (copy, then paste values).")
    if isinstance(cell, CellError):
        raise ValueError(f"Holds the spreadsheet's error {cell.text}. Write the value itself.")
    if not isinstance(cell, str):
        return cell
    what = column.replace("_", " ")
    # What our own export quoted.
    written = unquote(cell)
    check_size(written, what)
    if written == cell and cell.startswith(_REFUSED_SIGNS):
        raise ValueError(
            f"Begins with {cell[0]!r}, which a spreadsheet takes for a formula. Put ' before it to keep it."
        )
    check_text(written, what)
    return _meant(cell)


def _meant(cell: str) -> str:
    """The text that a cell stands for: without what our own export put before it, or blanks around it."""
    return unquote(cell).replace("\r\n", "\n").strip(" ")


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
        # Alone, fromisoformat would also take 20250801 and 2025-W31-5.
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a date; write it as 2025-08-31.") from None


def _read_end(cell: Any) -> date | None:
    if not _text(cell):
        return None
    day = _parse_date(cell)
    check_wallet_day(day, "ended_date")
    return day


def _read_flag(cell: Any) -> bool | None:
    text = _text(cell).lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    if text:
        raise ValueError(f"{text[:40]!r} is neither true nor false.")
    return None


def _read_notes(cell: Any) -> str:
    notes = tidy(_text(cell))
    check_notes(notes)
    return notes


class ListDataset:
    """The rows of a sheet, read from it as often as they are asked for: all that the library asks of a tablib `Dataset`.

    Each row ends with its `Record`, under a name that no column has.
    """

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self.headers = [*_columns(sheet.names), RECORD]
        self.reader: ListReader | None = None

    def __len__(self) -> int:
        return len(self._sheet)

    def __iter__(self) -> Iterator[list[Any]]:
        address = self.headers.index("address")
        for batch in self._sheet.batches():
            if self.reader:
                self.reader.load(_meant(_text(record.cells[address])) for record in batch)
            for record in batch:
                yield [*record.cells, record]


class WalletFile(Format):
    """A list as it is uploaded: CSV or XLSX by what the file holds, not by its name."""

    def __init__(self, encoding: str | None = None) -> None:
        super().__init__()

    def get_title(self) -> str:
        """Name the format."""
        return "CSV or XLSX"

    def can_import(self) -> bool:
        """Offer it for import."""
        return True

    def create_dataset(self, content: bytes) -> ListDataset:
        """Read the file.

        :raises FileRefused: for what is no wallet list.
        """
        return ListDataset(read_sheet(content, known=COLUMNS, check_names=_columns))


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that keeps the list from being imported, with its faults by column."""

    place: Place
    partner: str
    address: str
    faults: dict[str, list[str]]


class ListResult(Result):
    """What a list does: how many rows of each kind, the first of them, and a digest of all it would change.

    Fifty thousand rows must not stay in memory for a page that shows a few hundred; refused ones are lines of a file.
    """

    invalid_rows: list[RefusedRow]
    """The first of them."""

    def __init__(self) -> None:
        super().__init__()
        self._digest = hashlib.sha256()
        self.refused_count = 0
        waiting = SpooledTemporaryFile(HELD_BYTES_MAX)  # noqa: SIM115 - open as long as the result is there
        self._refused_csv = io.TextIOWrapper(waiting, "utf-8-sig", newline="")
        self._refused_lines = csv.writer(self._refused_csv)
        self._refused_lines.writerow(["row", "line", "partner", "address", "reasons"])

    def append_row_result(self, row_result: RowResult) -> None:
        """Keep the first of each kind; of every row, whose it would be and what was there and would be."""
        if (read := getattr(row_result, "read", None)) is not None:
            values = (
                read.partner.pk,
                read.chain,
                read.address,
                read.introduced_date,
                read.ended_date,
                read.is_active,
                read.notes,
            )
            self._digest.update(repr((row_result.import_type, values, row_result.changes)).encode())
        if self.totals[row_result.import_type] <= SAMPLES_MAX:
            self.rows.append(row_result)

    @property
    def digest(self) -> str:
        """Name what the list would do, row by row: another one if it would do anything else."""
        return self._digest.hexdigest()

    @cached_property
    def preview(self) -> Preview:
        """What pages show of it, once all rows are read."""
        return Preview(self)

    def append_invalid_row(self, number: int, row: Mapping[str, Any], validation_error: Any) -> None:
        """Keep what is shown of a refused row."""
        self._refuse(validation_error.place, row, validation_error.message_dict)

    def append_error_row(self, number: int, row: Mapping[str, Any], errors: list[Any]) -> None:
        """Let an unforeseen error of a row refuse the list as loudly as a foreseen one."""
        super().append_error_row(number, None, errors)
        logger.error("partners.list_row_failed", exc_info=errors[0].error)
        what = f"Could not be read ({type(errors[0].error).__name__}). Remove the row and report it."
        self._refuse(row[RECORD].place, row, {"row": [what]})

    def row_errors(self) -> list[Any]:
        """Unforeseen errors, by number of the row."""
        return [(row.number, row.errors) for row in self.error_rows]

    def _refuse(self, place: Place, row: Mapping[str, Any], faults: dict[str, list[str]]) -> None:
        partner, address = (_shown(row.get(column)) for column in ("partner", "address"))
        self.refused_count += 1
        if self.refused_count <= REFUSED_SHOWN_MAX:
            self.invalid_rows.append(RefusedRow(place, partner, address, faults))
        why = "; ".join(f"{column}: {fault}" for column, found in faults.items() for fault in found)
        self._refused_lines.writerow([place.row, place.line or "", *map(quote, (partner, address, why))])

    def refused_csv(self) -> bytes:
        """Give every refused row with why, one line each, safe to open in a spreadsheet."""
        self._refused_csv.seek(0)
        return self._refused_csv.buffer.read()


def _shown(cell: Any) -> str:
    """Show a cell of a refused row, whatever it holds."""
    if isinstance(cell, Formula | CellError):
        return "a formula" if isinstance(cell, Formula) else cell.text
    return _text(cell)[:VALUE_LENGTH_SHOWN_MAX]


class RowRefused(ValidationError):
    """A row cannot be imported; `place` says which."""

    def __init__(self, faults: dict[str, str], place: Place) -> None:
        super().__init__(faults)
        self.place = place


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
        # What the list would change of the rule book, for who asks; ids of new wallets are below zero.
        self._collects = False
        self._dropped: list[int] = []
        self._put: list[dict[str, Any]] = []
        self._dated: dict[str, list[str]] = {}
        self._former: dict[int, list[FormerSpan]] = {}
        self._today = today or datetime.now(UTC).date()
        self._reader: ListReader
        self._row: WalletRow
        self._place: Place
        self._changes: list[tuple[str, str, str]] = []

    def before_import(self, dataset: ListDataset, **kwargs: Any) -> None:
        """Make ready what rows are compared with."""
        self._reader = dataset.reader = ListReader(today=self._today)

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        """Read the row; a refusal makes it an invalid row of the preview."""
        record: Record = row[RECORD]
        self._place = record.place
        if record.fault:
            raise RowRefused({"row": record.fault}, self._place)
        self._row = self._reader.read(row, self._place)

    def get_or_init_instance(self, instance_loader: Any, row: Any) -> tuple[Wallet, bool]:
        """Find the stored wallet without a query per row."""
        stored = self._reader.stored.get((self._row.chain, self._row.address))
        return (stored, False) if stored else (Wallet(), True)

    def import_instance(self, instance: Wallet, row: Any, **kwargs: Any) -> None:
        """Take over the values of the row and remember which of them differ."""
        read, self._changes = self._row, []
        if instance._state.adding:
            instance.partner, instance.chain, instance.address = read.partner, read.chain, read.address
            instance.introduced_date, instance.ended_date = read.introduced_date, read.ended_date
            instance.is_active = read.is_active is not False
            instance.notes = read.notes or ""
            self._collect(instance, was_active=False)
            return
        was_active = instance.is_active
        for name in self.get_bulk_update_fields():
            stored, value = getattr(instance, name), getattr(read, name)
            same = tidy(without_hidden(stored)) == value if name == "notes" else stored == value
            if not same and (value is not None or name == "ended_date"):
                self._changes.append((name, _written(stored), _written(value)))
                setattr(instance, name, value)
        self._collect(instance, was_active=was_active)

    def _collect(self, wallet: Wallet, *, was_active: bool) -> None:
        if not self._collects:
            return
        owners = self._former.get(wallet.pk, ())
        terms = WalletTerms(
            wallet.pk or -1 - len(self._put),
            wallet.partner_id,
            wallet.address,
            wallet.introduced_date,
            wallet.is_active,
            former_of(owners, wallet.introduced_date),
            wallet.ended_date,
        )
        names = {"introduced_date": "introduced_date", "ended_date": "ended_date", "is_active": "is_inactive"}
        fields = [names[name] for name, *_ in self._changes if name in names]
        if not (terms.is_active or terms.former):
            if was_active:
                self._dropped.append(wallet.pk)
        elif wallet._state.adding or fields:
            self._put.append(terms.as_row())
            if was_active or terms.former:
                self._dated[str(wallet.pk)] = fields

    def read_change(self, dataset: Any) -> tuple[BookChange, ListResult]:
        """Read a list for what it would change of the rule book; nothing is written.

        :return: the change, and what the list would do as for a preview.
        """
        self._collects, self._former = True, former_owners()
        result = self.import_data(dataset, dry_run=True, raise_errors=False)
        nothing: BookChange = {kind: {"drop": [], "put": []} for kind in KINDS}
        wallets = {"drop": sorted(self._dropped), "put": self._put, "changed": self._dated}
        return nothing | {"wallets": wallets}, result

    def skip_row(
        self, instance: Wallet, original: Any, row: Any, import_validation_errors: Any = None
    ) -> bool:
        """Skip a wallet that is already as listed, so that no history is written."""
        return not instance._state.adding and not self._changes

    def get_bulk_update_fields(self) -> list[str]:
        """Name all that a list can change; never whose a wallet is."""
        return ["introduced_date", "ended_date", "is_active", "notes"]

    def after_import_row(self, row: Any, row_result: RowResult, **kwargs: Any) -> None:
        """Keep for the preview what the row means."""
        row_result.place = self._place
        row_result.read = self._row
        row_result.changes = self._changes

    def bulk_create(self, using_transactions: bool, dry_run: bool, *args: Any, **kwargs: Any) -> None:
        """Write a batch; a preview writes nothing, not even what it would take back."""
        if dry_run:
            self.create_instances.clear()
        else:
            super().bulk_create(using_transactions, dry_run, *args, **kwargs)

    def bulk_update(
        self,
        using_transactions: bool,
        dry_run: bool,
        raise_errors: bool,
        batch_size: int | None = None,
        result: Any = None,
    ) -> None:
        """Write a batch; see `bulk_create`.

        Every row is there, so all conflict: Django's own bulk_update takes three times as long.
        """
        try:
            if not dry_run:
                Wallet.objects.bulk_create(
                    self.update_instances,
                    update_conflicts=True,
                    unique_fields=["chain", "address"],
                    update_fields=self.get_bulk_update_fields(),
                )
        except DatabaseError as error:
            self.handle_import_error(result, error, raise_errors)
        finally:
            self.update_instances.clear()

    @classmethod
    def get_result_class(cls) -> type[Result]:
        """Keep little of a long list."""
        return ListResult

    def get_queryset(self) -> Any:
        """Read partners with their wallets."""
        return super().get_queryset().select_related("partner")

    def export_field(self, field: fields.Field, instance: Wallet, **kwargs: Any) -> Any:
        """Write no text that a spreadsheet would run (LE9), or that no file can hold."""
        value = super().export_field(field, instance, **kwargs)
        return quote(without_hidden(value)) if isinstance(value, str) else value

    def dehydrate_is_active(self, wallet: Wallet) -> str:
        """Write the flag as the import reads it."""
        return _written(wallet.is_active)


def _written(value: Any) -> str:
    """Write a value as a list holds it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _columns(headers: Sequence[str | None]) -> list[str]:
    """Name the columns of a list as we do, however its first row spells them.

    :raises FileRefused: when one is missing, unknown, or there twice.
    """
    spelled = [header or "" for header in headers]
    names = [column_name(header) for header in spelled]
    if missing := [name for name in REQUIRED if name not in names]:
        raise FileRefused(
            f"The first line must name the columns; missing: {', '.join(missing)}."
            f" Known columns are {', '.join(COLUMNS)}."
        )
    if unknown := [name for name in spelled if column_name(name) not in COLUMNS]:
        raise FileRefused(
            f"Unknown columns: {', '.join(repr(name[:40]) for name in unknown[:8])}. Known are {', '.join(COLUMNS)}."
        )
    for name in COLUMNS:
        if names.count(name) > 1:
            twice = [repr(header) for header in spelled if column_name(header) == name]
            raise FileRefused(f"Two columns are named {name}: {' and '.join(twice[:2])}. Remove one of them.")
    return names


def zip_of_lists(lists: Sequence[bytes], name: str) -> bytes:
    """Pack lists that are each short enough to be imported: `wallets.csv` becomes `wallets-1-of-3.csv` and so on."""
    packed = io.BytesIO()
    stem, _, ending = name.rpartition(".")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(lists, 1):
            archive.writestr(f"{stem}-{number}-of-{len(lists)}.{ending}", content)
    return packed.getvalue()


def export_in_lists(
    wallets: QuerySet[Wallet], export: Callable[[QuerySet[Wallet]], bytes]
) -> Iterator[bytes]:
    """Export wallets, in the order given, as lists that can each be imported again.

    Which they are is asked once: whatever is saved meanwhile, each is on one list, once.

    :param export: writes some of them as one file.
    """
    keys = list(wallets.values_list("pk", flat=True))
    for first in range(0, max(len(keys), 1), ROWS_MAX):
        yield from _short_enough(wallets, keys[first : first + ROWS_MAX], export)


def _short_enough(
    wallets: QuerySet[Wallet], keys: list[int], export: Callable[[QuerySet[Wallet]], bytes]
) -> Iterator[bytes]:
    content = export(wallets.filter(pk__in=keys))
    if len(keys) <= 1 or not is_too_long(content):
        yield content
        return
    half = len(keys) // 2
    yield from _short_enough(wallets, keys[:half], export)
    yield from _short_enough(wallets, keys[half:], export)


class Preview:
    """What an import would do, or why it does nothing, for the page that asks for confirmation."""

    def __init__(self, result: ListResult) -> None:
        self.new_count, self.changed_count, self.unchanged_count = (
            result.totals[kind]
            for kind in (RowResult.IMPORT_TYPE_NEW, RowResult.IMPORT_TYPE_UPDATE, RowResult.IMPORT_TYPE_SKIP)
        )
        by_kind: dict[str, list[RowResult]] = {}
        for row in result.rows:
            by_kind.setdefault(row.import_type, []).append(row)
        # The first of each kind.
        self.new = by_kind.get(RowResult.IMPORT_TYPE_NEW, [])
        self.changed = by_kind.get(RowResult.IMPORT_TYPE_UPDATE, [])
        self.unchanged = by_kind.get(RowResult.IMPORT_TYPE_SKIP, [])
        self.refused, self.refused_count = result.invalid_rows, result.refused_count
        self.refused_csv = result.refused_csv
        self.errors = [str(error.error) for error in result.base_errors]

    @property
    def is_refused(self) -> bool:
        """Whether anything at all keeps the list from being imported."""
        return bool(self.refused or self.errors)

    @property
    def changes_nothing(self) -> bool:
        """Whether every row is already as listed."""
        return not (self.is_refused or self.new_count or self.changed_count)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How many rows there are of each kind."""
        return [
            ("new", self.new_count),
            ("changed", self.changed_count),
            ("unchanged", self.unchanged_count),
            ("refused", self.refused_count),
        ]
