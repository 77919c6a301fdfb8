"""Following a node: new final blocks are stored as they come, until the program is told to stop (CH1).

A lost connection is made again; a block that cannot be read or proved ends the following loudly.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from chain.models import IngestRun
from chain.nodes.source import BadNodes, Source, SourceError
from chain.queries import last_block
from chain.services import IngestBusy, IngestStopped, ingest_new_blocks, newest_confirmed
from chain.state import read_identity

# A stop never waits longer than a block; a run is only a line in the list of runs.
BLOCKS_PER_RUN_MAX = 300
RECONNECT_SECONDS_MAX = 60.0


# The scheduler looks every block; a block that cannot be read is tried less and less often.
_REST_SECONDS, _REST_SECONDS_MAX = 12, 600


def is_resting(now: datetime) -> bool:
    """Say whether reading new blocks failed so often at the same block that it is not to be tried again yet."""
    failed = 0
    runs = list(IngestRun.objects.order_by("-id")[:8])
    for run in runs:
        if run.status != IngestRun.Status.FAILED or run.first_block != runs[0].first_block:
            break
        failed += 1
    if not failed or runs[0].finished_at is None:
        return False
    rest = min(_REST_SECONDS * 2**failed, _REST_SECONDS_MAX)
    return now - runs[0].finished_at < timedelta(seconds=rest)


@dataclass(frozen=True)
class Standing:
    """Where following stands: the newest stored block, the newest confirmed one, and the age of the former."""

    block: int
    head: int
    seconds_old: int

    @property
    def lag(self) -> int:
        """Blocks still to read; below 0 those that are stored and that the node says it has not finalized yet."""
        return self.head - self.block


def follow(
    open_source: Callable[[], AbstractContextManager[Source]],
    *,
    poll_seconds: float,
    should_stop: Callable[[], bool],
    wait: Callable[[float], object],
    clock: Callable[[], datetime],
    show: Callable[[Standing], None],
    say: Callable[[str], None],
) -> None:
    """Store final blocks until told to stop; blocks must be stored already, for where to begin is for a person to say.

    :param should_stop: asked after every block.
    :param wait: sleeps so many seconds, or less when there is reason to stop.
    :param show: told where it stands, after each block and at each look for new ones.
    :param say: told of each time it had to wait or connect again, and why.
    :raises BadNodes: an address is none, or too few nodes are named.
    :raises CannotIngest: another chain, another history, nothing stored.
    :raises IngestStopped: a block could not be proved; a gap says which and why.
    """
    failures = 0
    while not should_stop():
        try:
            with open_source() as source:
                while not should_stop():
                    if not _store_new(source, should_stop, clock, show):
                        failures = 0
                        wait(poll_seconds)
        except IngestBusy as error:
            say(f"waiting: {error}")
            wait(max(poll_seconds, 1.0))
        except BadNodes:
            raise
        except (SourceError, IngestStopped) as error:
            if not isinstance(error, SourceError) and not isinstance(error.__cause__, SourceError):
                raise
            failures += 1
            pause = min(RECONNECT_SECONDS_MAX, 2.0 ** min(failures, 6))
            say(f"{error}; connecting again in {pause:.0f} s")
            wait(pause)


def _store_new(
    source: Source,
    should_stop: Callable[[], bool],
    clock: Callable[[], datetime],
    show: Callable[[Standing], None],
) -> bool:
    """Store what is new, at most a run of it. Tells whether there was anything."""
    head = newest_confirmed(read_identity(source))
    _show(head, clock, show)

    def progress(done: int, total: int) -> None:
        _show(head, clock, show)

    report = ingest_new_blocks(
        source, count_max=BLOCKS_PER_RUN_MAX, progress=progress, should_stop=should_stop
    )
    return report is not None and report.added > 0


def _show(head: int, clock: Callable[[], datetime], show: Callable[[Standing], None]) -> None:
    stored = last_block()
    if stored is not None:
        show(Standing(stored.number, head, int((clock() - stored.timestamp).total_seconds())))
