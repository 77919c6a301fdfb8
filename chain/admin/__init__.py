"""The chain's facts as pages: read-only but for the label of a hotkey."""

from chain.admin import (
    backfills,
    blocks,
    earnings,
    hotkeys,
    nodes,
    pools,
    prices,
    reading,
    runtimes,
    stake,
    tags,
)

__all__ = [
    "backfills",
    "blocks",
    "earnings",
    "hotkeys",
    "nodes",
    "pools",
    "prices",
    "reading",
    "runtimes",
    "stake",
    "tags",
]
