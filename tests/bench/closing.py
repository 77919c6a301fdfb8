"""A day of a large validator attributed and closed in the database: positions read, takes split, roll-ups written and
checked, against writing and reading the same rows with COPY alone."""

from __future__ import annotations

import random
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from django.db import connection
from django.db.backends.postgresql.psycopg_any import NumericRange

from chain.addresses import encode_address
from chain.copying import copy_rows
from chain.facts import ShareFact
from chain.models import Block, Position, Yield
from chain.pools.shares import Share
from chain.storing import store_baseline
from ledger.readiness import next_day
from ledger.services import attribute_yields
from ledger.services.closing import close_day
from partners.models import Partner
from partners.services import add_wallets
from tests.bench.__main__ import report

DELEGATORS, SUBNETS, EPOCHS = 20_000, 128, 20
CHANGES = 40
# Of one partner's, named.
WALLETS = 500
BLOCK_TIME = timedelta(seconds=12)
PER_DAY = 7_200
HOTKEY, OWNER = (encode_address(bytes([seed]) * 32) for seed in (201, 202))


def run() -> None:
    """Seconds of both, in the demonstration's database."""
    day, first = make_blocks()
    written, copied = write_over_copy(first)
    report("ledger.write_over_copy: positions stored, against raw COPY of the same", written, "s", copied)
    names = sorted(encode_address((10**9 + number).to_bytes(32, "big")) for number in range(DELEGATORS))
    partner = Partner.objects.order_by("pk")[0]
    add_wallets(
        actor=None,
        partner=partner,
        addresses=names[:: DELEGATORS // WALLETS],
        introduced_date=date(2024, 1, 1),
    )
    with connection.cursor() as cursor:
        # The constraint takes minutes to check what is right by construction; its index is what reads.
        cursor.execute("ALTER TABLE chain_position DROP CONSTRAINT position_one_share_at_a_time")
        fill(first, names)
        cursor.execute(
            "CREATE INDEX bench_positions ON chain_position USING gist (hotkey, netuid, coldkey, blocks)"
        )
        cursor.execute("ANALYZE")
    now = datetime.now(UTC)
    attributed = seconds(lambda: attribute_yields(now=now))
    closed = seconds(lambda: close_day(day=day, actor=None, now=now))
    report(
        "ledger.attribute_day_seconds, against copying the positions out",
        attributed,
        "s",
        copied := copy_out(),
    )
    report(
        "ledger.day_seconds, against copying positions out and roll-ups in", closed, "s", copied + copy_in()
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"# {SUBNETS * EPOCHS:,} epochs of {DELEGATORS:,} delegators; peak of the process {peak:,.0f} MiB",
        flush=True,
    )


def write_over_copy(first: int) -> tuple[float, float]:
    """Median seconds to store a subnet's positions as ingestion does, and to copy others in as text that is there already.

    In turn, because the index of the one grows with the other's rows.
    """
    chance = random.Random(8)

    def facts(netuid: int) -> list[ShareFact]:
        coldkeys = (encode_address(chance.randbytes(32)) for _ in range(DELEGATORS))
        return [ShareFact(HOTKEY, netuid, key, Share(chance.getrandbits(100) + 1)) for key in coldkeys]

    def copy_text(text: bytes) -> None:
        statement = "COPY chain_position (hotkey, netuid, coldkey, blocks, share) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(text)

    stored, copied = [], []
    for netuid in range(501, 511, 2):
        ours, others = facts(netuid), facts(netuid + 1)
        text = "".join(
            f"{fact.hotkey}\t{fact.netuid}\t{fact.coldkey}\t[{first},)\t{fact.share.bits}\n"
            for fact in others
        )
        stored.append(seconds(partial(store_baseline, first, ours, known_until=None)))
        copied.append(seconds(partial(copy_text, text.encode())))
    return statistics.median(stored), statistics.median(copied)


def make_blocks() -> tuple[date, int]:
    """Append a day and the first block after it to the chain, and close what was before.

    :return: the day and its first block.
    """
    last = Block.objects.order_by("-number")[0]
    day = last.timestamp.date() + timedelta(days=1)
    start = datetime.combine(day, datetime.min.time(), tzinfo=UTC)
    hashes = [last.hash, *(f"0x{number:064x}" for number in range(PER_DAY + 1))]
    copy_rows(
        Block,
        ("number", "hash", "parent_hash", "timestamp", "runtime_id", "provider"),
        (
            (last.number + 1 + place, own, parent, start + place * BLOCK_TIME, last.runtime_id, "bench")
            for place, (parent, own) in enumerate(pairwise(hashes))
        ),
    )
    attribute_yields(now=start)
    while (before := next_day()) is not None and before < day:
        close_day(day=before, actor=None, now=start)
    return day, last.number + 1


def fill(first: int, names: list[str]) -> None:
    """Give every delegator a share on every subnet, some of which change in the day, and each subnet its epochs."""
    chance = random.Random(7)
    yields = []

    def positions() -> Iterator[tuple[Any, ...]]:
        for netuid in range(1, SUBNETS + 1):
            changed = dict(
                zip(chance.sample(names, CHANGES), chance.choices(range(1, PER_DAY), k=CHANGES), strict=True)
            )
            total, grown = 0, []
            for name in names:
                share = chance.getrandbits(100) + 1
                total += share
                border = changed.get(name)
                yield HOTKEY, netuid, name, NumericRange(first - 1, border and first + border), share
                if border is not None:
                    more = chance.getrandbits(100) + 1
                    grown.append((first + border, more - share))
                    yield HOTKEY, netuid, name, NumericRange(first + border, None), more
            for epoch in range(EPOCHS):
                block = first + netuid + epoch * PER_DAY // EPOCHS
                whole = total + sum(more for since, more in grown if since < block)
                take = chance.randrange(10**8, 10**11)
                yields.append((block, netuid, take, whole))

    copy_rows(Position, ("hotkey", "netuid", "coldkey", "blocks", "share"), positions())
    copy_rows(
        Yield,
        (
            *(
                "block_id",
                "netuid",
                "hotkey",
                "side",
                "asset",
                "pool_netuid",
                "owner",
                "dividend_rao",
                "take_rao",
            ),
            *(
                "take_low_rao",
                "take_high_rao",
                "take_u16",
                "pool_before_rao",
                "other_rao",
                "share_total",
                "proof",
            ),
        ),
        (
            (
                block,
                netuid,
                HOTKEY,
                "ALPHA",
                "ALPHA",
                netuid,
                OWNER,
                take * 10,
                *[take] * 3,
                5898,
                10**15,
                0,
                whole,
                "POOL",
            )
            for block, netuid, take, whole in sorted(yields)
        ),
    )


def copy_out() -> float:
    """Seconds that PostgreSQL takes to send the positions, subnet by subnet."""
    start = time.perf_counter()
    with connection.cursor() as cursor:
        for netuid in range(1, SUBNETS + 1):
            query = "COPY (SELECT coldkey, share, blocks FROM chain_position WHERE hotkey = %s AND netuid = %s) TO STDOUT"
            with cursor.copy(query, [HOTKEY, netuid]) as copy:
                for _ in copy:
                    pass
    return time.perf_counter() - start


def copy_in() -> float:
    """Seconds that it takes to write the roll-ups once more, with no index and no check."""
    start = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE bench_roll_ups AS SELECT * FROM ledger_rollup WHERE hotkey = %s", [HOTKEY]
        )
    return time.perf_counter() - start


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
