"""Wallet lists: what a row may hold, all or nothing, twice the same, and out again."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import tablib
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from openpyxl import Workbook

from chain.addresses import encode_address
from chain.imports.files import FileRefused
from chain.models import Hotkey, Network
from partners.admin.wallets import WalletAdmin
from partners.models import Change, Partner, Wallet
from partners.services import reassign_wallets
from partners.sheets import Place, Record, Sheet
from partners.tests.factories import DAY, address, make_partner, make_user, make_wallet
from partners.wallet_lists import COLUMNS, RECORD, ListDataset, Preview, WalletFile, WalletResource

pytestmark = pytest.mark.django_db
TODAY = date(2025, 9, 1)
GOOD = {"partner": "creative-builds", "address": address(1), "introduced_date": "2025-08-01"}


def sheet(*rows: dict[str, Any], headers: tuple[str, ...] = COLUMNS) -> ListDataset:
    records = (Record(Place(n), [row.get(name, "") for name in headers]) for n, row in enumerate(rows, 2))
    return ListDataset(Sheet(list(headers), records))


def load(dataset: ListDataset, *, dry_run: bool = False) -> Preview:
    result = WalletResource(today=TODAY).import_data(
        dataset, dry_run=dry_run, raise_errors=False, rollback_on_validation_errors=True
    )
    return Preview(result)


def counts(preview: Preview) -> dict[str, int]:
    return {name: count for name, count in preview.counts if count}


@pytest.mark.parametrize(
    ("changed", "column", "said"),
    [
        ({"address": address(1)[:-1] + "x"}, "address", "wrong checksum"),
        ({"address": address(1).replace("5", "O", 1)}, "address", "capital o at position 1"),
        (
            {"address": address(1)[:5] + "\u0430" + address(1)[6:]},
            "address",
            r"cyrillic small letter a \(U\+0430\) at position 6",
        ),
        (
            {"address": "16ZL8yLyXv3V3L3z9ofR1ovFLziyXaN1DPq4yffMAZ9czzBD"},
            "address",
            r"another network \(Polkadot\)",
        ),
        ({"address": encode_address(bytes([7] * 32), 2)}, "address", r"another network \(Kusama\)"),
        (
            {"address": "CCVPuskaiidS4RZUoCftnEQ46hNsaSXE9XnK2Q9TPkyF"},
            "address",
            "looks like a Solana address",
        ),
        ({"address": "0x" + "1a" * 20}, "address", "looks like an Ethereum address"),
        ({"partner": "x" * 61}, "partner", "has at most 60"),
        ({"introduced_date": "2025-08- 1"}, "introduced_date", "not a date"),
        ({"introduced_date": "2025-W31-5"}, "introduced_date", "not a date"),
        ({"notes": "x" * 5_000}, "notes", "5,000 bytes; a cell has at most 4,096"),
        ({"notes": "a\ufeffb"}, "notes", r"U\+FEFF"),
        ({"address": address(1) + "1" * 30}, "address", "78 characters"),
        ({"address": ""}, "address", "missing"),
        ({"address": "=HYPERLINK(1)"}, "address", "formula"),
        ({"address": address(8)}, "address", "own hotkeys"),
        ({"address": address(9)}, "address", "is a wallet of Other"),
        ({"partner": "nobody"}, "partner", "no partner 'nobody'. Known are: creative-builds, other"),
        ({"partner": ""}, "partner", "missing"),
        ({"partner": "@SUM(A1)"}, "partner", "formula"),
        ({"chain": "SOLANA"}, "chain", "no chain 'SOLANA' here. This installation holds BITTENSOR"),
        ({"introduced_date": "01.08.2025"}, "introduced_date", "write it as 2025-08-31"),
        ({"introduced_date": "2025-8-1"}, "introduced_date", "write it as 2025-08-31"),
        ({"introduced_date": "2025-02-30"}, "introduced_date", "write it as 2025-08-31"),
        ({"introduced_date": "2025-09-02"}, "introduced_date", "in the future"),
        ({"introduced_date": ""}, "introduced_date", "missing"),
        ({"introduced_date": "0001-01-01"}, "introduced_date", "introduced date 0001-01-01 is before 2020"),
        ({"introduced_date": "2019-12-31"}, "introduced_date", "introduced date 2019-12-31 is before 2020"),
        # A workbook's day -5.
        ({"introduced_date": datetime(1899, 12, 25)}, "introduced_date", "1899-12-25 is before 2020-01-01"),  # noqa: DTZ001
        ({"ended_date": "1999-08-31"}, "ended_date", "ended date 1999-08-31 is before 2020-01-01"),
        ({"introduced_date": datetime(2025, 8, 1, 12)}, "introduced_date", "not a date"),  # noqa: DTZ001
        ({"is_active": "maybe"}, "is_active", "neither true nor false"),
        *(({"notes": f"{sign}1+1"}, "notes", "formula") for sign in "=+-@\t\r"),
        ({"notes": "a\x00b"}, "notes", r"U\+0000"),
        ({"notes": "a\u202eb"}, "notes", r"U\+202E"),
        ({"notes": "'=\u202e"}, "notes", r"U\+202E"),
        ({"notes": "n" * 2_001}, "notes", "2,001 characters"),
    ],
)
def test_pa5_a_bad_row_is_named_with_its_line_and_reason_and_nothing_is_saved(
    changed: dict[str, Any], column: str, said: str
) -> None:
    import re

    make_partner()
    make_wallet(make_partner("Other", "other"), 9)
    Hotkey.objects.create(address=address(8), first_block=1)
    rows = [GOOD | {"address": address(3)}, GOOD | changed]
    for dry_run in (True, False):
        preview = load(sheet(*rows), dry_run=dry_run)
        assert counts(preview) == {"new": 1, "refused": 1}
        (refused,) = preview.refused
        assert str(refused.place) == "3"
        assert list(refused.faults) == [column]
        assert re.search(said, refused.faults[column][0])
    assert Wallet.objects.count() == 1


def test_pa4_a_solana_installation_takes_lists_of_solana_wallets() -> None:
    Network.objects.create(id=1, name="s", family="SOLANA", genesis_hash="g", ss58_prefix=None)
    make_partner()
    solana = "CCVPuskaiidS4RZUoCftnEQ46hNsaSXE9XnK2Q9TPkyF"
    for chain in ("", "SOLANA"):
        preview = load(sheet(GOOD | {"address": solana, "chain": chain}))
        assert not preview.is_refused
    assert list(Wallet.objects.values_list("chain", "address")) == [("SOLANA", solana)]
    (refused,) = load(sheet(GOOD)).refused
    assert "looks like a Bittensor address" in refused.faults["address"][0]
    (refused,) = load(sheet(GOOD | {"address": solana, "chain": "BITTENSOR"})).refused
    assert "holds SOLANA" in refused.faults["chain"][0]


def test_pa5_an_address_twice_in_one_list_is_refused_with_the_first_line() -> None:
    make_partner()
    preview = load(sheet(GOOD, GOOD | {"address": address(2)}, GOOD))
    assert [(row.place.row, row.faults) for row in preview.refused] == [
        (4, {"address": ["The same address is already on row 2."]})
    ]
    assert not Wallet.objects.exists()


def test_pa5_every_fault_of_a_row_is_named_at_once() -> None:
    make_partner()
    preview = load(sheet({"partner": "x", "address": "y", "introduced_date": "z"}))
    assert list(preview.refused[0].faults) == ["partner", "address", "introduced_date"]


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (("partner", "address"), "missing: introduced_date"),
        ((*COLUMNS, "id"), "Unknown columns"),
        ((*COLUMNS, "notes"), "Two columns are named notes: 'notes' and 'notes'"),
    ],
)
def test_pa5_a_file_that_is_no_wallet_list_is_refused_as_a_whole(headers: tuple[str, ...], said: str) -> None:
    with pytest.raises(FileRefused, match=said):
        WalletFile().create_dataset(f"{','.join(headers)}\n{'x,' * len(headers)}\n".encode())


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_pa5_names_of_columns_are_understood_in_capitals_and_with_spaces_around(form: str) -> None:
    make_partner()
    names = ["Partner", " ADDRESS ", "Introduced_Date\xa0"]
    written = tablib.Dataset(list(GOOD.values()), headers=names).export(form)
    for content in (
        [written] if isinstance(written, bytes) else [written.encode(), written.replace(",", ";").encode()]
    ):
        assert counts(load(WalletFile().create_dataset(content), dry_run=True)) == {"new": 1}


def test_pa5_two_columns_of_one_name_are_refused_by_how_they_are_written() -> None:
    text = "partner,Address, ADDRESS ,introduced_date\n"
    with pytest.raises(
        FileRefused, match=r"Two columns are named address: 'Address' and 'ADDRESS'\. Remove one"
    ):
        WalletFile().create_dataset((text + "creative-builds,5,5,2025-08-01\n").encode())


def test_pa5_the_same_list_twice_changes_nothing_and_writes_no_history() -> None:
    make_partner()
    rows = [GOOD | {"address": address(number), "notes": "x"} for number in range(1, 6)]
    assert counts(load(sheet(*rows))) == {"new": 5}
    before = Change.objects.count()
    preview = load(sheet(*rows))
    assert counts(preview) == {"unchanged": 5}
    assert preview.changes_nothing
    assert Change.objects.count() == before


def test_pa5_a_dry_run_names_what_would_change_and_saves_nothing() -> None:
    partner = make_partner()
    make_wallet(partner, 1)
    make_wallet(partner, 2)
    rows = [
        GOOD | {"introduced_date": "2025-07-01", "is_active": "no"},
        GOOD | {"address": address(2)},
        GOOD | {"address": address(3)},
    ]
    preview = load(sheet(*rows), dry_run=True)
    assert counts(preview) == {"new": 1, "changed": 1, "unchanged": 1}
    assert preview.changed[0].changes == [
        ("introduced_date", "2025-08-01", "2025-07-01"),
        ("is_active", "true", "false"),
    ]
    assert Wallet.objects.count() == 2
    load(sheet(*rows))
    changed = Wallet.objects.get(address=address(1))
    assert (changed.introduced_date, changed.is_active) == (date(2025, 7, 1), False)
    assert Wallet.objects.count() == 3


def test_pa5_a_column_that_is_left_out_is_left_alone() -> None:
    wallet = make_wallet(make_partner())
    Wallet.objects.update(notes="kept", is_active=False)
    assert counts(load(sheet(GOOD, headers=("partner", "address", "introduced_date")))) == {"unchanged": 1}
    wallet.refresh_from_db()
    assert (wallet.notes, wallet.is_active) == ("kept", False)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_pa5_an_export_can_be_imported_again_and_changes_nothing(form: str) -> None:
    partner = make_partner()
    texts = [
        "plain",
        "=1+1",
        "two\r\nlines",
        "+49",
        "-",
        "@x",
        "'quoted",
        "'=1+1",
        "''-",
        "#N/A",
        "",
        "n" * 2_000,
    ]
    for number, notes in enumerate(texts, 1):
        wallet = make_wallet(partner, number)
        Wallet.objects.filter(pk=wallet.pk).update(notes=notes, is_active=number % 2 == 0)
    written = WalletResource().export(Wallet.objects.all()).export(form)
    read = WalletFile().create_dataset(written if isinstance(written, bytes) else written.encode())
    assert tuple(read.headers) == (*COLUMNS, RECORD)
    assert counts(load(read)) == {"unchanged": 12}
    # Into a place where they are not yet, too.
    Wallet.objects.all().delete()
    assert counts(load(read)) == {"new": 12}
    assert [wallet.notes.replace("\n", "\r\n") for wallet in Wallet.objects.order_by("pk")] == texts


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_le9_what_was_stored_before_it_was_checked_is_exported_without_it_and_comes_back_unchanged(
    form: str,
) -> None:
    wallet = make_wallet(make_partner())
    Wallet.objects.filter(pk=wallet.pk).update(notes="\x07\u202e=bell\x0b\ufffe, rung\rtwice \x85")
    written = WalletResource().export(Wallet.objects.all()).export(form)
    read = WalletFile().create_dataset(written if isinstance(written, bytes) else written.encode())
    [row] = read
    assert dict(zip(read.headers, row, strict=True))["notes"].rstrip(" ") == "'=bell, rung\ntwice"
    assert counts(load(read)) == {"unchanged": 1}


@pytest.mark.parametrize("cell", ["{} ", " {}", '"{} "', "  {}  "])
def test_pa5_blanks_beside_an_address_do_not_hide_that_it_is_there(cell: str) -> None:
    make_wallet(make_partner())
    make_wallet(Partner.objects.create(name="Other", slug="other"), 2)
    head = "partner,address,introduced_date\n"
    mine = head + f"creative-builds,{cell.format(address(1))},{DAY}\n"
    assert counts(load(WalletFile().create_dataset(mine.encode()))) == {"unchanged": 1}
    theirs = head + f"creative-builds,{cell.format(address(2))},{DAY}\n"
    preview = load(WalletFile().create_dataset(theirs.encode()))
    assert counts(preview) == {"refused": 1}
    assert "This address is a wallet of Other" in str(preview.refused[0].faults)


def test_pa5_a_list_takes_no_day_from_who_had_the_wallet_before() -> None:
    former, now = make_partner(), Partner.objects.create(name="Other", slug="other")
    wallet = make_wallet(former, introduced=date(2025, 8, 1))
    reassign_wallets(
        actor=None, wallet_ids=[wallet.pk], partner=now, introduced_date=date(2025, 8, 20), reason="r"
    )

    def listed(day: str) -> Preview:
        return load(sheet(GOOD | {"partner": "other", "introduced_date": day}), dry_run=True)

    for earlier in ("2025-08-19", "2025-08-01", "2025-07-01"):
        preview = listed(earlier)
        assert counts(preview) == {"refused": 1}
        (said,) = preview.refused[0].faults["introduced_date"]
        assert said.startswith(
            "Until 2025-08-20 it was a wallet of Creative Builds, from whom a list takes no day."
        )
    assert counts(listed("2025-08-20")) == {"unchanged": 1}
    assert counts(listed("2025-08-21")) == {"changed": 1}


def test_pa5_a_list_moves_the_day_where_the_former_owner_has_none_left() -> None:
    former, now = make_partner(), Partner.objects.create(name="Other", slug="other")
    wallet = make_wallet(former, introduced=date(2025, 8, 10))
    reassign_wallets(
        actor=None, wallet_ids=[wallet.pk], partner=now, introduced_date=date(2025, 8, 10), reason="r"
    )
    assert counts(load(sheet(GOOD | {"partner": "other", "introduced_date": "2025-08-01"}))) == {"changed": 1}


@pytest.mark.parametrize("form", ["0", "1"])
def test_pa5_an_export_in_several_lists_has_each_wallet_once_whoever_saves_meanwhile(
    operator: Client, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_partner(), Partner.objects.create(name="Other", slug="other")
    addresses = {make_wallet(second if number > 2 else first, number).address for number in range(1, 9)}
    export = WalletAdmin.get_export_data
    numbers = iter(range(100, 200))

    def export_while_others_save(*args: Any, **kwargs: Any) -> Any:
        content = export(*args, **kwargs)
        make_wallet(first, next(numbers))
        last = Wallet.objects.filter(partner=second).order_by("-address")[0]
        Wallet.objects.filter(pk=last.pk).update(partner=first)
        return content

    monkeypatch.setattr(WalletAdmin, "get_export_data", export_while_others_save)
    monkeypatch.setattr("partners.wallet_lists.ROWS_MAX", 3)
    answer = operator.post(reverse("admin:partners_wallet_export"), {"format": form, "resource": "0"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        lists = [WalletFile().create_dataset(archive.read(name)) for name in archive.namelist()]
    found = [row[one.headers.index("address")] for one in lists for row in one]
    assert len(found) == 8
    assert set(found) == addresses


@pytest.mark.parametrize("form", ["0", "1"])
@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        ({"partners.wallet_lists.ROWS_MAX": 7}, [7]),
        ({"partners.wallet_lists.ROWS_MAX": 3}, [3, 3, 1]),
        ({"partners.sheets.BYTES_MAX": 0, "partners.wallet_lists.ROWS_MAX": 2}, [1] * 7),
        (
            {"partners.xlsx_parts.BYTES_MAX": 0, "partners.wallet_lists.ROWS_MAX": 3},
            {"0": [3, 3, 1], "1": [1] * 7},
        ),
    ],
)
def test_pa5_what_is_too_long_for_one_list_is_exported_as_several_that_come_back(
    operator: Client, form: str, limits: dict[str, int], sizes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    partner = make_partner()
    for number in range(1, 8):
        make_wallet(partner, number)
    with monkeypatch.context() as patched:
        for name, value in limits.items():
            patched.setattr(name, value)
        answer = operator.post(reverse("admin:partners_wallet_export"), {"format": form, "resource": "0"})
    lists, expected = [answer.content], sizes[form] if isinstance(sizes, dict) else sizes
    if len(expected) > 1:
        assert answer["Content-Disposition"].endswith('.zip"')
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist()[0].endswith(f"-1-of-{len(expected)}.{['csv', 'xlsx'][int(form)]}")
            lists = [archive.read(name) for name in archive.namelist()]
    assert [counts(load(WalletFile().create_dataset(one))) for one in lists] == [
        {"unchanged": n} for n in expected
    ]
    Wallet.objects.all().delete()
    for one in lists:
        load(WalletFile().create_dataset(one))
    assert Wallet.objects.count() == 7


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\n", "\uff1d"])
def test_le9_an_export_cannot_make_a_spreadsheet_run_a_formula(sign: str) -> None:
    wallet = make_wallet(make_partner())
    Wallet.objects.filter(pk=wallet.pk).update(notes=f"{sign}cmd|' /C calc'!A0")
    written = WalletResource().export(Wallet.objects.all()).export("csv")
    cells = next(csv.DictReader(io.StringIO(written, newline="")))
    assert cells["notes"] == f"'{sign}cmd|' /C calc'!A0"


def test_pa5_five_thousand_rows_load_at_once() -> None:
    make_partner()
    rows = [GOOD | {"address": address(number)} for number in range(1, 5_001)]
    assert counts(load(sheet(*rows))) == {"new": 5_000}
    assert Change.objects.filter(kind="WALLET").count() == 5_000


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_user("operator", name="olga"))
    return client


def upload(client: Client, text: str) -> Any:
    file = SimpleUploadedFile("list.csv", text.encode(), "text/csv")
    return client.post(reverse("admin:partners_wallet_import"), {"import_file": file, "format": "0"})


def confirm(client: Client, page: Any, **values: str) -> Any:
    """Send what the preview's form would send."""
    form = page.context["confirm_form"]
    fields = {field.name: field.value() or "" for field in form} | values
    return client.post(reverse("admin:partners_wallet_process_import"), fields, follow=True)


LIST = f"partner,address,introduced_date\ncreative-builds,{address(1)},2025-08-01\n"


def test_pa5_upload_preview_confirm_writes_who_and_why(operator: Client) -> None:
    make_partner()
    page = upload(operator, LIST)
    assert "This is a preview" in page.content.decode()
    assert not Wallet.objects.exists()
    assert "1 new" in confirm(operator, page, reason="First list").content.decode()
    assert "imported already" in confirm(operator, page).content.decode()
    change = Change.objects.get(kind="WALLET")
    assert (change.username, change.reason, Wallet.objects.count()) == ("olga", "First list", 1)
    again = upload(operator, LIST)
    assert "already as the list says" in again.content.decode()
    assert "confirm_form" not in again.context


@pytest.mark.parametrize("reason", ["", "  ", "a\0b", "x" * 501])
def test_pa6_a_list_that_changes_wallets_is_imported_with_a_reason_only(
    operator: Client, reason: str
) -> None:
    partner = make_partner()
    stored = make_wallet(partner, 1)
    text = (
        "partner,address,introduced_date,is_active,notes\n"
        f"creative-builds,{address(1)},2025-07-01,no,left\ncreative-builds,{address(2)},2025-08-01,,\n"
    )
    page = upload(operator, text)
    shown = " ".join(page.content.decode().split())
    assert "The list changes 1 wallet that is there already, so it needs a reason." in shown
    before = Change.objects.count()
    again = confirm(operator, page, reason=reason)
    said = (
        "Say why, in a few words" if not reason.strip() else ("at most 500" if len(reason) > 500 else "Null")
    )
    assert said in again.content.decode()
    # The same preview, its file still waiting.
    assert counts(again.context["preview"]) == {"new": 1, "changed": 1}
    assert (Wallet.objects.count(), Change.objects.count()) == (1, before)
    done = confirm(operator, again, reason="They left")
    assert "1 new, 1 changed" in done.content.decode()
    stored.refresh_from_db()
    assert (stored.is_active, stored.introduced_date, stored.notes) == (False, date(2025, 7, 1), "left")
    changed = Change.objects.get(kind="WALLET", what="update")
    assert (changed.username, changed.reason) == ("olga", "They left")
    history = operator.get(reverse("admin:partners_wallet_history", args=[stored.pk]))
    assert "They left" in history.content.decode()


def test_pa5_a_list_ends_wallets_and_takes_ends_back(operator: Client) -> None:
    stored = make_wallet(make_partner(), 1)
    header, row = "partner,address,introduced_date", f"creative-builds,{address(1)},{DAY}"
    refused = upload(operator, f"{header},ended_date\n{row},{DAY}\n").context["preview"].refused
    assert refused[0].faults == {"ended_date": ["A wallet ends on a later day than it is introduced."]}
    confirm(operator, upload(operator, f"{header},ended_date\n{row},2125-01-01\n"), reason="They leave")
    stored.refresh_from_db()
    assert stored.ended_date == date(2125, 1, 1)
    # A list without the column leaves it, and one that would introduce it later than it ends is refused.
    assert upload(operator, f"{header}\n{row}\n").context["preview"].changes_nothing
    Wallet.objects.update(ended_date=DAY + timedelta(days=1))
    later = row.replace(str(DAY), str(DAY + timedelta(days=2)))
    assert "ended_date" in upload(operator, f"{header}\n{later}\n").context["preview"].refused[0].faults
    page = upload(operator, f"{header},ended_date\n{row},\n")
    assert page.context["preview"].changed[0].changes == [("ended_date", str(DAY + timedelta(days=1)), "")]
    confirm(operator, page, reason="They stay")
    stored.refresh_from_db()
    assert stored.ended_date is None


def test_pa6_a_list_that_only_adds_explains_itself(operator: Client) -> None:
    make_wallet(make_partner(), 1)
    page = upload(operator, LIST + f"creative-builds,{address(2)},2025-08-01\n")
    assert "needs a reason" not in page.content.decode()
    assert "1 new, 0 changed, 1 unchanged" in confirm(operator, page).content.decode()


def test_pa6_a_wallet_added_meanwhile_that_the_list_would_change_asks_for_a_reason(operator: Client) -> None:
    partner = make_partner()
    page = upload(operator, LIST)
    make_wallet(partner, 1, introduced=date(2025, 7, 1))
    again = confirm(operator, page)
    assert "somebody changed wallets since you saw this preview" in again.content.decode()
    again = confirm(operator, again)
    assert "Say why, in a few words" in again.content.decode()
    assert Wallet.objects.get().introduced_date == date(2025, 7, 1)
    confirm(operator, again, reason="Their list is right")
    assert Wallet.objects.get().introduced_date == date(2025, 8, 1)


def test_pa5_a_refused_list_cannot_be_confirmed(operator: Client) -> None:
    make_partner()
    page = upload(operator, LIST + "creative-builds,5bad,2025-08-01\n")
    text = page.content.decode()
    assert "Nothing was imported" in text
    assert "has 4 characters" in text
    assert "confirm_form" not in page.context


def test_pa5_a_wallet_taken_between_preview_and_confirmation_refuses_the_list(operator: Client) -> None:
    make_partner()
    page = upload(operator, LIST + f"creative-builds,{address(2)},2025-08-01\n")
    make_wallet(Partner.objects.create(name="Other", slug="other"), 2)
    assert "Nothing was imported" in confirm(operator, page).content.decode()
    assert Wallet.objects.count() == 1


def test_pa5_a_file_that_is_no_text_is_refused_readably(operator: Client) -> None:
    page = upload(operator, "\x00\x00")
    assert page.status_code == 200
    assert not Wallet.objects.exists()


def test_pa5_what_the_file_holds_counts_and_not_its_name_or_the_format_chosen(operator: Client) -> None:
    make_partner()
    rows = [[GOOD[name] for name in GOOD], ["creative-builds", address(2), "2025-08-01"]]
    dataset = tablib.Dataset(*rows, headers=list(GOOD))
    contents = {"list.csv": dataset.export("xlsx"), "list.xlsx": dataset.export("csv").encode()}
    for number, (name, content) in enumerate(contents.items()):
        file = SimpleUploadedFile(name, content)
        url = reverse("admin:partners_wallet_import")
        page = operator.post(url, {"import_file": file, "format": str(number)})
        assert page.context["preview"].new_count == 2, name


def test_pa5_dates_of_a_workbook_are_read_and_numbers_and_formulas_are_named(operator: Client) -> None:
    make_partner()
    rows: list[list[Any]] = [
        ["creative-builds", address(1), date(2025, 8, 1), 5, True],
        ["creative-builds", 12345, 45870, "=A1", 0],
    ]
    dataset = tablib.Dataset(*rows, headers=["partner", "address", "introduced_date", "notes", "is_active"])
    file = SimpleUploadedFile("list.xlsx", dataset.export("xlsx"))
    page = operator.post(reverse("admin:partners_wallet_import"), {"import_file": file, "format": "1"})
    (refused,) = page.context["preview"].refused
    assert refused.place.row == 3
    faults = {column: found[0] for column, found in refused.faults.items()}
    assert "has 5 characters" in faults["address"]
    assert "'45870' is not a date" in faults["introduced_date"]
    assert "Holds a formula" in faults["notes"]
    assert sorted(faults) == ["address", "introduced_date", "notes"]


def test_pa5_a_day_of_a_workbook_below_zero_is_named_as_the_date_that_it_stands_for(operator: Client) -> None:
    make_partner()
    book = Workbook()
    book.worksheets[0].append(list(GOOD))
    book.worksheets[0].append(["creative-builds", address(1), -5])
    book.worksheets[0]["C2"].number_format = "yyyy-mm-dd"
    content = io.BytesIO()
    book.save(content)
    file = SimpleUploadedFile("list.xlsx", content.getvalue())
    page = operator.post(reverse("admin:partners_wallet_import"), {"import_file": file, "format": "0"})
    (refused,) = page.context["preview"].refused
    assert "introduced date 1899-12-25 is before 2020-01-01" in refused.faults["introduced_date"][0]


def test_pa5_all_refused_rows_can_be_downloaded_by_who_uploaded_them(operator: Client) -> None:
    make_partner()
    text = LIST + "".join(f'creative-builds,5bad,2025-08-01\n"=cmd{number}",x,y\n' for number in range(150))
    page = upload(operator, text)
    assert "The first 200 of 300 are shown" in page.content.decode()
    url = reverse("admin:partners_wallet_refused")
    answer = operator.get(url)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="refused-rows.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [int(row["row"]) for row in rows] == list(range(3, 303))
    assert all(row["reasons"] for row in rows)
    assert rows[1]["partner"] == "'=cmd0"
    upload(operator, LIST)
    assert operator.get(url).status_code == 302
    other = Client()
    other.force_login(make_user("operator", name="oscar"))
    assert other.get(url).status_code == 302
    viewer = Client()
    viewer.force_login(make_user("viewer", name="vera"))
    assert viewer.get(url).status_code == 403


def test_pa5_only_the_file_that_was_shown_can_be_confirmed_and_only_by_who_saw_it(operator: Client) -> None:
    make_partner()
    page = upload(operator, LIST)
    other = Client()
    other.force_login(make_user("operator", name="oscar"))
    assert "imported already or is too old" in confirm(other, page).content.decode()
    refused = upload(operator, LIST + "x,y,z\n")
    assert "confirm_form" not in refused.context
    assert "imported already or is too old" in confirm(operator, page).content.decode()
    assert not Wallet.objects.exists()


def test_pa5_files_that_wait_for_nobody_are_removed(
    operator: Client, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make_partner()
    upload(operator, LIST + "x,y,z\n")
    assert len(list(tmp_path.iterdir())) == 1  # The refused rows.
    upload(operator, "\x00")
    assert not list(tmp_path.iterdir())
    page = upload(operator, LIST)
    assert len(list(tmp_path.iterdir())) == 1
    confirm(operator, page)
    assert not list(tmp_path.iterdir())


def test_pa5_a_preview_writes_nothing_and_takes_as_many_queries_for_many_rows(
    operator: Client, django_assert_num_queries: Any
) -> None:
    make_partner()
    texts = [
        "partner,address,introduced_date\n"
        + "".join(f"creative-builds,{address(number)},2025-08-01\n" for number in range(1, count + 1))
        for count in (1, 900)
    ]
    upload(operator, texts[0])
    pages = []
    for text in texts:
        with django_assert_num_queries(22):
            pages.append(upload(operator, text))
    assert pages[1].context["preview"].new_count == 900
    assert len(pages[1].content) < 250_000
    assert not Wallet.objects.exists()
    assert not Change.objects.filter(kind="WALLET").exists()


def test_pa5_a_file_too_large_is_refused_before_it_is_read(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partners.wallet_lists.read_sheet", None)
    page = upload(operator, "x" * (12 * 1024 * 1024 + 1))
    assert "12 MB) is the most" in page.context["form"].errors["import_file"][0]


@pytest.mark.parametrize("form", ["0", "1"])
def test_pa5_an_export_by_the_page_is_imported_by_the_page_and_changes_nothing(
    operator: Client, form: str
) -> None:
    partner = make_partner()
    for number, notes in enumerate(["plain", "=1+1", "two\r\nlines", "'=1", "zoë; α, β", '"', ""], 1):
        wallet = make_wallet(partner, number)
        Wallet.objects.filter(pk=wallet.pk).update(notes=notes, is_active=number % 2 == 0)
    before = Change.objects.count()
    answer = operator.post(reverse("admin:partners_wallet_export"), {"format": form, "resource": "0"})
    file = SimpleUploadedFile("list", answer.content)
    page = operator.post(reverse("admin:partners_wallet_import"), {"import_file": file, "format": "0"})
    assert page.context["preview"].counts == [
        *(("new", 0), ("changed", 0), ("unchanged", 7), ("refused", 0)),
    ]
    assert Change.objects.count() == before
