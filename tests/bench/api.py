"""API answers, against the API's own health answer."""

from __future__ import annotations

from functools import partial

from django.test import Client

from partners.models import ApiKey
from tests.bench.__main__ import median_seconds, report

PATHS = ("periods", "attributions", "conversions", "tao_dividends")


def run() -> None:
    """Seconds per answer with a key that sees everything."""
    _, key = ApiKey.objects.create_key(name="bench")
    client = Client(SERVER_NAME="localhost", headers={"X-API-Key": key})
    baseline = median_seconds(lambda: client.get("/api/v1/health"), runs=10)
    for path in PATHS:
        answer = client.get(f"/api/v1/{path}")
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code} {answer.content[:200]!r}")
        report(
            f"GET {path}, against health",
            median_seconds(partial(client.get, f"/api/v1/{path}"), runs=10),
            "s",
            baseline,
        )
