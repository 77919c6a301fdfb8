"""Python's collector of reference cycles, and when it should rest."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Let the collector rest while millions of rows are read: it would look through all that is there again and again, for
    a fifth of the time and more, and rows have no cycles. What is let go of meanwhile is freed at once all the same.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
