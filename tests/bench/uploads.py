"""Malformed wallet lists: read and refused, against the longest that this may take; uploaded to the site as it is served,
in several windows at once, against opening the page as often; and the most memory that a web process took, by then and
after a list as long as may be."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3 import encode_multipart_formdata

from chain.addresses import encode_address
from chain.imports.files import FileRefused
from partners.sheets import BYTES_MAX, ROWS_MAX
from partners.tests import malformed
from partners.wallet_lists import ListResult, WalletFile, WalletResource
from tests.bench.__main__ import report
from tests.processes import Site, home_of_processes, manage, processes_of

AT_ONCE = 4
SECONDS_MAX, MEMORY_MAX_MB = 10, 256
PAGE = "/admin/partners/wallet/import/"


def run() -> None:
    """Upload a list of 10,000 malformed rows and 500 malformed lists to a site of their own."""
    lists = [malformed.as_csv(list(malformed.mutated_rows(seed=20, count=10_000))).encode()]
    lists += malformed.malformed_files(seed=21, count=500)
    start = time.perf_counter()
    if not all(map(is_refused, lists)):
        raise SystemExit("a malformed list was read as if it were good")
    report(
        "10,000 malformed rows and 500 malformed lists read and refused, against the longest allowed",
        time.perf_counter() - start,
        "s",
        SECONDS_MAX,
    )
    with home_of_processes() as home:
        (password,) = re.findall(r"^ *olivia +(\S+)", manage(home, "demo", "--no-serve").stdout, re.MULTILINE)
        visitors = Visitors(Site(home).wait_for_url(), password)
        opened = seconds(visitors.open, lists)
        taken = seconds(visitors.upload, lists)
        peak = max(map(peak_mb, processes_of(home, naming="gunicorn")))
        for _ in range(AT_ONCE):
            visitors.upload(longest_list())
        longest = max(map(peak_mb, processes_of(home, naming="gunicorn")))
    report(
        f"a list of 10,000 malformed rows and 500 malformed lists, {AT_ONCE} at once, against the page alone",
        taken,
        "s",
        opened,
    )
    report("the most memory of a web process by then, against the most allowed", peak, "MB", MEMORY_MAX_MB)
    report(
        f"the same after lists of {ROWS_MAX:,} refused rows and {BYTES_MAX // 1024**2} MB, against the most allowed",
        longest,
        "MB",
        MEMORY_MAX_MB,
    )


def longest_list() -> bytes:
    """Give as many rows and bytes as a list may have, each row with a day that is none."""
    head = "partner,address,introduced_date,notes\n"
    rows = (f"talisman,{encode_address(n.to_bytes(32, 'big'))},2025-08-41," for n in range(ROWS_MAX))
    notes = "n" * (BYTES_MAX // ROWS_MAX - 75) + "\n"
    return (head + "".join(row + notes for row in rows)).encode()


def is_refused(content: bytes) -> bool:
    """Read a list as its page does, as far as the preview of what it would do."""
    try:
        dataset = WalletFile().create_dataset(content)
        result: ListResult = WalletResource().import_data(dataset, dry_run=True, raise_errors=False)
        return result.preview.is_refused
    except FileRefused:
        return True


def seconds(work: Callable[[bytes], None], lists: Iterable[bytes]) -> float:
    """Wall time of one call per list."""
    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as visitors:
        list(visitors.map(work, lists))
    return time.perf_counter() - start


def peak_mb(process: int) -> float:
    """Read how much memory a process had at its peak."""
    (found,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found) / 1024


class Visitors:
    """One person in several windows, a connection each. Made by hand: a client that thinks would be measured too."""

    def __init__(self, url: str, password: str) -> None:
        self._address = urlsplit(url).netloc
        self._windows = threading.local()
        session = requests.Session()
        form = session.get(url + "admin/login/").text
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)[0]
        signed = {"username": "olivia", "password": password, "csrfmiddlewaretoken": token}
        session.post(url + "admin/login/", signed | {"next": "/admin/"}).raise_for_status()
        self._token = session.cookies["csrftoken"]
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in session.cookies)
        self._headers = {"Cookie": cookies, "Referer": url}

    def open(self, _: bytes) -> None:
        """Open the page."""
        self._ask("GET", b"", {})

    def upload(self, content: bytes) -> None:
        """Upload a list; it must be refused on a page."""
        fields: dict[str, Any] = {
            "format": "0",
            "csrfmiddlewaretoken": self._token,
            "import_file": ("list.csv", content),
        }
        body, content_type = encode_multipart_formdata(fields)
        if b'name="import_file_name"' in self._ask("POST", body, {"Content-Type": content_type}):
            raise SystemExit("a malformed list was offered for confirmation")

    def _ask(self, method: str, body: bytes, headers: dict[str, str]) -> bytes:
        window = self._windows.__dict__.setdefault("connection", HTTPConnection(self._address))
        window.request(method, PAGE, body, self._headers | headers)
        answer = window.getresponse()
        page: bytes = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{method} {PAGE}: {answer.status}")
        return page
