"""Runs one worker of a backfill in a process of its own, which can be told to die where it hurts most."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import django
from django.conf import settings


def die() -> None:
    """End without a trace, as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(orders: dict[str, Any]) -> None:
    """Work until the backfill is over.

    :param orders: `backfill`; the length of the chain `last` and its `events` per block; where to die: `die_at_read`
        (which call of the source) or `die_at_block` (while it is being stored).
    """
    from chain import storing
    from chain.backfill.work import work
    from chain.facts import BlockFacts
    from chain.nodes.source import Call, Source
    from chain.services import now_utc
    from chain.tests.long_play import LongPlay
    from chain.tests.replay_node import PlaySource

    play = LongPlay("play", orders["last"], events=orders.get("events", 1))

    class Mortal(PlaySource):
        def call_many(self, calls: Sequence[Call]) -> list[Any]:
            if self.batches == orders.get("die_at_read"):
                die()
            return super().call_many(calls)

    source = Mortal(play)
    store_shares = storing.store_shares

    def store_and_die(blocks: Sequence[BlockFacts]) -> None:
        store_shares(blocks)
        if any(facts.number == orders.get("die_at_block") for facts in blocks):
            die()

    storing.store_shares = store_and_die

    def opened() -> AbstractContextManager[Source]:
        return nullcontext(source)

    if orders.get("waits"):
        # Whoever measures wants all of them to start at once, with everything loaded.
        print("ready", flush=True)
        sys.stdin.readline()
    work(
        opened,
        backfill_id=orders["backfill"],
        worker=f"process {os.getpid()}",
        clock=now_utc,
        should_stop=lambda: False,
        wait=lambda: time.sleep(0.05),
    )


if __name__ == "__main__":
    settings.DATABASES["default"]["NAME"] = os.environ["RAKEBACK_TEST_DATABASE"]
    settings.DATABASES["default"]["USER"] = os.environ["RAKEBACK_TEST_USER"]
    django.setup()
    main(json.loads(sys.argv[1]))
