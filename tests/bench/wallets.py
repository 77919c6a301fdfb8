"""Lists of 50,000 wallets from upload to confirmation, against the service that writes as many without a file;
and the list of 150,000 wallets, against the same page with the demonstration's few."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import date
from functools import partial

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse
from openpyxl import Workbook

from chain.addresses import encode_address
from partners.models import Partner, Wallet
from partners.services import add_wallets
from partners.wallet_lists import COLUMNS
from tests.bench.__main__ import median_seconds, report

ROWS = 50_000
DAY = "2025-08-01"


def run() -> None:
    """Seconds of each, in one database that grows."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="olivia"))
    page = reverse("admin:partners_wallet_changelist")
    few = median_seconds(partial(client.get, page), runs=10)
    partner = Partner.objects.order_by("pk")[0]
    baseline = seconds(lambda: write(partner, 3))
    for first, name, content in ((1, "CSV", as_csv(partner, 1)), (2, "XLSX", as_xlsx(partner, 2))):
        taken = seconds(partial(load, client, content))
        if Wallet.objects.filter(address__in=addresses(first)).count() != ROWS:
            raise SystemExit(f"the {name} list was not imported")
        report(
            f"{ROWS:,} wallets from {name} previewed and confirmed, against the service alone",
            taken,
            "s",
            baseline,
        )
    taken = seconds(partial(load, client, as_csv(partner, 1, "memo")))
    if Wallet.objects.filter(notes__startswith="memo").count() != ROWS:
        raise SystemExit("the changed list was not imported")
    report(f"{ROWS:,} wallets changed by a CSV, against the service that adds as many", taken, "s", baseline)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE partners_wallet")
    many = median_seconds(partial(client.get, page), runs=10)
    report(f"list of {Wallet.objects.count():,} wallets, against that of a few", many, "s", few)


def preview(client: Client, content: bytes) -> str:
    """Upload a list and read what it would do."""
    file = SimpleUploadedFile("list", content)
    return client.post(
        reverse("admin:partners_wallet_import"), {"import_file": file, "format": "0"}
    ).content.decode()


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call: what is written cannot be written again."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def addresses(block: int) -> list[str]:
    """Addresses that no other block has."""
    return [encode_address((block * 10**9 + number).to_bytes(32, "big")) for number in range(ROWS)]


def write(partner: Partner, block: int) -> None:
    """Write as many wallets by the service. They stay: a history that is taken back slows the next down."""
    day = date.fromisoformat(DAY)
    add_wallets(actor=None, partner=partner, addresses=addresses(block), introduced_date=day)


def rows(partner: Partner, block: int, note: str = "note") -> list[list[str]]:
    """A list as an export writes it."""
    listed = [
        [partner.slug, "BITTENSOR", address, DAY, "", "true", f"{note} {number}"]
        for number, address in enumerate(addresses(block))
    ]
    return [list(COLUMNS), *listed]


def as_csv(partner: Partner, block: int, note: str = "note") -> bytes:
    """The list as text."""
    return "\n".join(",".join(row) for row in rows(partner, block, note)).encode()


def as_xlsx(partner: Partner, block: int) -> bytes:
    """The list as a workbook."""
    book = Workbook()
    for row in rows(partner, block):
        book.worksheets[0].append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def load(client: Client, content: bytes) -> None:
    """Upload, look and confirm, as a person does."""
    form = preview(client, content).split('name="import_file_name" value="', 1)[1]
    fields = {"import_file_name": form.split('"', 1)[0], "original_file_name": "list", "format": "0"}
    client.post(reverse("admin:partners_wallet_process_import"), {**fields, "reason": "bench"})
