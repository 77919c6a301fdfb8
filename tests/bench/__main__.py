"""``python -m tests.bench [chain|ledger|pages|api|wallets|uploads|lists …]``: one JSON object a line.

``value`` is ours and ``baseline`` the other way of doing the same, both in ``unit``; ``ratio`` is how many times faster
(or, for rates, more) ours is. Absolute figures depend on the machine, ratios much less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

GROUPS = ("chain", "ledger", "pages", "api", "wallets", "uploads", "lists")


def median_seconds(work: Callable[[], object], *, runs: int = 5) -> float:
    """Median wall time of one call, after one call to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def report(name: str, value: float, unit: str, baseline: float) -> None:
    """Print one measurement. Durations: the ratio is baseline ÷ value; rates (a unit with "/s"): value ÷ baseline."""
    ratio = value / baseline if "/s" in unit else baseline / value
    line = {
        "name": name,
        "value": round(value, 6),
        "unit": unit,
        "baseline": round(baseline, 6),
        "ratio": round(ratio, 2),
    }
    print(json.dumps(line), flush=True)


def set_up() -> None:
    """Start a throwaway database with the demonstration in it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.core.management import call_command

    from chain.services import now_utc
    from rakeback.demo import run_demo

    call_command("migrate", interactive=False, verbosity=0)
    run_demo(now=now_utc(), say=lambda _: None)


def main() -> int:
    """Run the groups asked for."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…")
    parser.add_argument("groups", nargs="*", metavar="|".join(GROUPS))
    groups = parser.parse_args().groups or list(GROUPS)
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"no group {min(unknown)!r}; there are {', '.join(GROUPS)}")
    if os.environ.get("DATABASE_URL"):
        parser.error("unset DATABASE_URL: the measurements make a throwaway database of their own")
    set_up()
    try:
        for group in groups:
            __import__(f"tests.bench.{group}", fromlist=["run"]).run()
    finally:
        from django.db import connections

        connections.close_all()
        from conftest import pytest_unconfigure

        pytest_unconfigure()
    return 0


if __name__ == "__main__":
    sys.exit(main())
