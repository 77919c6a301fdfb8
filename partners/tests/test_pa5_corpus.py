"""Ten thousand malformed rows and five hundred malformed files: each named, none imported, no page fails."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from scalecodec.utils.ss58 import ss58_decode, ss58_encode

from chain.models import Hotkey
from partners.models import Change, Wallet
from partners.tests import malformed
from partners.tests.factories import make_partner, make_user, make_wallet
from partners.tests.malformed import HOTKEY, OTHERS_WALLET
from partners.wallet_lists import REFUSED_SHOWN_MAX

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\u2800\u3164"
    "\ufeff\uffa0\U000e0000-\U000e007f]"
)


@pytest.fixture
def client() -> Client:
    Hotkey.objects.create(address=HOTKEY, first_block=1)
    make_partner()
    make_wallet(make_partner("Other", "other"), 9)
    client = Client(raise_request_exception=True)
    client.force_login(make_user("operator"))
    return client


def upload(client: Client, content: bytes) -> Any:
    file = SimpleUploadedFile("list.csv", content, "text/csv")
    return client.post(reverse("admin:partners_wallet_import"), {"import_file": file, "format": "0"})


def stored() -> tuple[int, int]:
    return Wallet.objects.count(), Change.objects.count()


class Oracle:
    """Says of a row whether it can be imported, by other means than the import: the rules word by word."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def accepts(self, cells: list[str]) -> bool:
        if len(cells) < 6 or any(cells[6:]):
            return False
        texts = [self._text(cell) for cell in cells[:6]]
        partner, chain, address, day, active, notes = texts
        chain_ok = chain is not None and chain.upper() in {"", "BITTENSOR"}
        address_ok = self._is_address(address)
        is_first = True
        if chain_ok and address_ok:
            assert address is not None
            is_first = address not in self._seen
            self._seen.add(address)
        return (
            (chain_ok and address_ok and is_first)
            and (partner == "other" or (partner == "creative-builds" and address != OTHERS_WALLET))
            and self._is_day(day)
            and active is not None
            and active.lower() in {"", "true", "false", "yes", "no", "1", "0"}
            and notes is not None
            and len(notes.strip()) <= 2_000
        )

    def _text(self, cell: str) -> str | None:
        """The text that a cell stands for; None where it may not."""
        if re.match(r"'[' ]*([=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]|#N/A\Z)", cell):
            cell = cell[1:]
        elif cell[:1] in set("=+-@\t\r"):
            return None
        if len(cell.encode()) > 4_096:
            return None
        cell = cell.replace("\r\n", "\n")
        controls = [letter for letter in cell if unicodedata.category(letter) == "Cc"]
        if HIDDEN.search(cell) or set(controls) - {"\n", "\t"}:
            return None
        return cell.strip(" ")

    def _is_address(self, text: str | None) -> bool:
        if not text or text.startswith("0x") or text == HOTKEY or len(text) not in {46, 47, 48}:
            return False
        try:
            return bool(ss58_encode(ss58_decode(text, 42), 42) == text)
        except Exception:  # noqa: BLE001 - Whatever the library thinks of it, it is no address.
            return False

    def _is_day(self, text: str | None) -> bool:
        if text is None or not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return False
        try:
            return date.fromisoformat(text) <= datetime.now(UTC).date()
        except ValueError:
            return False


def test_pa5_ten_thousand_malformed_rows_are_each_named_and_none_is_imported(client: Client) -> None:
    before = stored()
    rows = list(malformed.mutated_rows(seed=20, count=10_000))
    assert len(rows) > 9_900
    good_count = 0
    for start in range(0, len(rows), 1_000):
        part = rows[start : start + 1_000]
        oracle = Oracle()
        # The first row of the file names the columns.
        bad = [number for number, cells in enumerate(part, 2) if not oracle.accepts(cells)]
        page = upload(client, malformed.as_csv(part).encode())
        preview = page.context["preview"]
        assert not preview.errors
        assert [row.place.row for row in preview.refused] == bad[:REFUSED_SHOWN_MAX]
        assert preview.refused_count == len(bad)
        assert all(fault for row in preview.refused for faults in row.faults.values() for fault in faults)
        assert preview.new_count == len(part) - len(bad)
        assert "confirm_form" not in page.context
        refused = client.get(reverse("admin:partners_wallet_refused")).content.decode("utf-8-sig")
        named = list(csv.DictReader(io.StringIO(refused, newline="")))
        assert [int(row["row"]) for row in named] == bad
        assert all(row["reasons"] for row in named)
        good_count += preview.new_count
    # Some mutations leave a row as good as it was; most do not.
    assert 100 < good_count < len(rows) // 2
    assert stored() == before


def test_pa5_five_hundred_malformed_files_are_refused_and_no_page_fails(client: Client) -> None:
    before = stored()
    accepted = []
    for number, content in enumerate(malformed.malformed_files(seed=21, count=500)):
        page = upload(client, content)
        assert page.status_code == 200
        preview = page.context.get("preview")
        if preview is None:
            said = page.context["form"].errors["import_file"]
            assert len(said) == 1
            assert len(said[0]) > 10
        else:
            assert preview.errors or preview.refused, number
            assert all(row.place.row > 1 and row.faults for row in preview.refused)
        if "confirm_form" in page.context:
            accepted.append(number)
    assert accepted == []
    assert stored() == before
