"""A day's takes split exactly over 20,000 delegators, against the definition and against streaming the same bytes; a block
explained, against a block without epochs; pages and PDFs of statements; and such a day in the database (`closing`).
"""

from __future__ import annotations

import random
import resource
import statistics
import time

import numpy as np
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chain.models import Yield
from ledger.models import CommissionLine
from ledger.queries import explain_block
from ledger.shares import OPEN, PoolTable, Row
from tests.bench import closing
from tests.bench.__main__ import report

DELEGATORS, POOLS, EPOCHS, BLOCKS_PER_EPOCH = 20_000, 128, 20, 360
# Of each pool a day, so that hardly two epochs of a pool have the same holders.
CHANGES = 40
# Pools of which an epoch is split by the definition, too.
SAMPLES = 5
EXPLAINED = PAGES = 40


def plain_split(total: int, weights: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The definition, word by word, in Python integers."""
    everything = sum(weight for _, weight in weights)
    parts = [(address, total * weight // everything) for address, weight in weights]
    best = min(range(len(weights)), key=lambda i: (-weights[i][1], weights[i][0]))
    parts[best] = (parts[best][0], parts[best][1] + total - sum(part for _, part in parts))
    return parts


def pool(chance: random.Random, names: list[str]) -> PoolTable:
    """One pool of a day with the chain's share numbers of a hundred bits."""
    blocks = chance.choices(range(1, EPOCHS * BLOCKS_PER_EPOCH), k=CHANGES)
    changed = dict(zip(chance.sample(names, CHANGES), blocks, strict=True))
    rows = []
    for name in names:
        border = changed.get(name)
        rows.append(Row(name, chance.getrandbits(100) + 1, None, 0, OPEN if border is None else border))
        if border is not None:
            rows.append(Row(name, chance.getrandbits(100) + 1, None, border))
    return PoolTable(rows)


def split_a_day() -> None:
    """Split 2,560 takes: finding who held the pool by then, the exact shares, and their sums over the day."""
    chance = random.Random(21)
    names = [f"5{i:047d}" for i in range(DELEGATORS)]
    spent = streamed = plainly = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(POOLS):
        table = pool(chance, names)
        table.at(0)
        sums, stream = np.zeros(DELEGATORS, np.int64), np.zeros(DELEGATORS, np.int64)
        for epoch in range(EPOCHS):
            take = chance.randrange(10**9, 10**13)
            started = time.perf_counter()
            holding = table.at(epoch * BLOCKS_PER_EPOCH + 1)
            shares = holding.split(take)
            sums += shares.amounts
            ended = time.perf_counter()
            np.add(stream, shares.amounts, out=stream)
            spent, streamed = spent + ended - started, streamed + time.perf_counter() - ended
        if number < SAMPLES:
            weights = holding.weights()
            started = time.perf_counter()
            expected = plain_split(take, weights)
            plainly += time.perf_counter() - started
            if shares.pairs() != expected:
                raise SystemExit("the split differs from its definition")
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    count = POOLS * EPOCHS * DELEGATORS
    of_definition = SAMPLES * DELEGATORS / plainly
    report(
        "ledger.shares_per_second, against the definition in integers",
        count / spent,
        "shares/s",
        of_definition,
    )
    report(
        "ledger.shares_per_second, against streaming their bytes", count / spent, "shares/s", count / streamed
    )
    print(f"# {count:,} shares in {spent:.2f} s; memory grew by {grown_mib:,.0f} MiB", flush=True)


def explain() -> None:
    """Explain blocks of the demonstration, one by one."""
    busy = list(Yield.objects.order_by("-block_id").values_list("block_id", flat=True).distinct()[:EXPLAINED])
    quiet = [block - 1 for block in busy]
    p95 = []
    for blocks in (busy, quiet):
        times = []
        for block in [*blocks[:3], *blocks]:
            started = time.perf_counter()
            explain_block(block)
            times.append((time.perf_counter() - started) * 1_000)
        p95.append(statistics.quantiles(times[3:], n=20)[-1] if len(times) > 4 else times[-1])
    report("ledger.explain_p95_ms, against blocks without epochs", p95[0], "ms", p95[1])


def statements() -> None:
    """Open the pages of statements and blocks of the demonstration, and draw statements, a page and a file each time."""
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="olivia"))
    lines = (
        CommissionLine.objects.values_list("period__key", "partner__slug").order_by("period__key").distinct()
    )
    blocks = Yield.objects.order_by("-block_id").values_list("block_id", flat=True).distinct()[:EXPLAINED]
    list_p95, _ = opened(client, [reverse("admin:ledger_period_changelist")] * PAGES)
    pages = {
        "ledger.statement_page": [reverse("admin:ledger_statement", args=line) for line in lines],
        "ledger.statement_pdf": [
            reverse("admin:ledger_statement_file", args=[*line, "pdf"]) for line in lines
        ],
        "ledger.explain_page": [reverse("admin:ledger_block", args=[block]) for block in blocks],
    }
    for name, urls in pages.items():
        p95, queries = opened(client, urls)
        report(f"{name}_p95_ms, against the list of periods", p95, "ms", list_p95)
        print(f"# {name}: {len(urls)} of them, at most {queries} queries", flush=True)


def opened(client: Client, urls: list[str]) -> tuple[float, int]:
    """Open pages one by one: the 95th percentile of milliseconds, and the most queries of any."""
    times, queries = [], 0
    for url in [*urls[:3], *urls]:
        with CaptureQueriesContext(connection) as asked:
            started = time.perf_counter()
            if client.get(url).status_code != 200:
                raise SystemExit(f"{url} is not there")
            times.append((time.perf_counter() - started) * 1_000)
        queries = max(queries, len(asked))
    return statistics.quantiles(times[3:], n=20)[-1], queries


def run() -> None:
    """Report all. The day in the database is last: it makes two and a half million positions."""
    split_a_day()
    explain()
    statements()
    closing.run()
