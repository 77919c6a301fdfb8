"""Attribution of one epoch over 20,000 delegators, and closing, against plain ways of doing the same."""

from __future__ import annotations

import random

from chain.splitting import split
from ledger.queries import explain_block
from tests.bench.__main__ import median_seconds, report

DELEGATORS = 20_000


def plain_split(total: int, weights: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The definition, word by word, in Python integers."""
    everything = sum(weight for _, weight in weights)
    parts = [(address, total * weight // everything) for address, weight in weights]
    best = min(range(len(weights)), key=lambda i: (-weights[i][1], weights[i][0]))
    parts[best] = (parts[best][0], parts[best][1] + total - sum(part for _, part in parts))
    return parts


def run() -> None:
    """Seconds per epoch of 20,000 delegators with the chain's 128-bit share numbers."""
    chance = random.Random(21)
    weights = [(f"5{i:047d}", chance.getrandbits(100) + 1) for i in range(DELEGATORS)]
    take = 987_654_321_012
    if sorted(split(take, weights)) != sorted(plain_split(take, weights)):
        raise SystemExit("the split differs from its definition")
    report(
        f"take of one epoch split over {DELEGATORS:,} delegators, against the definition in integers",
        median_seconds(lambda: split(take, weights)),
        "s",
        median_seconds(lambda: plain_split(take, weights)),
    )
    from chain.models import Yield

    busy = Yield.objects.order_by("-block_id").values_list("block_id", flat=True)[0]
    quiet = busy - 1
    report(
        "an epoch block explained from facts, against a block without epochs",
        median_seconds(lambda: explain_block(busy)),
        "s",
        median_seconds(lambda: explain_block(quiet)),
    )
