"""Admin pages, against the plainest page the same server gives."""

from __future__ import annotations

from functools import partial

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.bench.__main__ import median_seconds, report

PAGES = (
    "admin:index",
    "admin:chain_block_changelist",
    "admin:chain_yield_changelist",
    "admin:partners_wallet_changelist",
)


def run() -> None:
    """Seconds per page for a signed-in viewer."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="olivia"))
    baseline = median_seconds(lambda: client.get("/health/live/"), runs=20)
    for page in PAGES:
        url = reverse(page)
        if client.get(url).status_code != 200:
            raise SystemExit(f"{url} does not answer")
        report(
            f"page {page}, against the live check",
            median_seconds(partial(client.get, url), runs=10),
            "s",
            baseline,
        )
