"""How a node does: what a process learns while it asks it, and what is kept of that between processes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Condition(StrEnum):
    """How a node does."""

    UNTRIED = "UNTRIED"
    HEALTHY = "HEALTHY"
    FAILING = "FAILING"
    STALE = "STALE"
    DOUBTED = "DOUBTED"
    WRONG_CHAIN = "WRONG_CHAIN"
    SAME_NODE = "SAME_NODE"


@dataclass
class Health:
    """What is known of a node since this process asks it, seeded with the head last seen by an earlier one."""

    name: str
    position: int
    condition: Condition = Condition.UNTRIED
    failures: int = 0
    last_ok_at: datetime | None = None
    last_error_at: datetime | None = None
    last_error: str = ""
    latency_ms: int | None = None
    head_block: int | None = None
    head_since: datetime | None = None
