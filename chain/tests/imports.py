"""Small makers of import files for tests. Epoch 700 is credited on 2025-01-02, later ones two days apart."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chain import base58
from chain.families import Family
from chain.imports.services import pin_network
from chain.models import Network

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
EPOCH_700 = EXAMPLES / "solana-epoch-700-handmade.csv"
EPOCH_701 = EXAMPLES / "solana-epoch-701-handmade.json"
GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
VOTE = "7BLikPVgBifREz8wUvTqRtWdbYo3piW2e4fKu55qRsUS"
ANN, BOB, CEM, DAN = (
    "CCVPuskaiidS4RZUoCftnEQ46hNsaSXE9XnK2Q9TPkyF",
    "H6vmTps3FzPULXjaG3N6Qm6dY5JTbTYGnzq5qdhaRpGn",
    "EABSwMaHBBZT4qUCVbpcdJ78cbH8c2p9qDgaUn6jZpNV",
    "FHxzsh7vY3WXmehmYxyByfSEMWk6xpKvRWWkPyzyyPBk",
)
NOW = datetime(2025, 3, 1, tzinfo=UTC)
FIRST = datetime(2025, 1, 2, 9, tzinfo=UTC)


def key(name: str, size: int = 32) -> str:
    """Make a valid key, hash or signature from a name."""
    raw = b"".join(hashlib.sha256(f"{name} {part}".encode()).digest() for part in range(2))
    return base58.encode(raw[:size])


def pin_solana() -> Network:
    """Make the installation a Solana one."""
    return pin_network(family=Family.SOLANA, name="Solana Mainnet Beta", genesis_hash=GENESIS)


def slot_cells(slot: int, at: datetime) -> dict[str, Any]:
    """Give the cells that name a slot."""
    return {"slot": slot, "slot_time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "block_hash": key(f"slot {slot}")}


def reward(**other: Any) -> dict[str, Any]:
    """Make a row of rewards: Ann's of epoch 700, unless told otherwise."""
    epoch = int(other.get("epoch", 700))
    row = {
        "genesis_hash": GENESIS,
        "epoch": epoch,
        **slot_cells((epoch + 1) * 432_000 + 5, FIRST + timedelta(days=2 * (epoch - 700))),
        "vote_account": VOTE,
        "component": "REWARDS",
        "staker": ANN,
        "staker_reward_lamports": 95,
        "validator_revenue_lamports": 5,
    }
    return row | other


def event(**other: Any) -> dict[str, Any]:
    """Make a row of stake events: Ann's stake, unless told otherwise."""
    row = {
        "genesis_hash": GENESIS,
        **slot_cells(302_900_000, FIRST + timedelta(hours=9)),
        "event_index": 0,
        "kind": "STAKE",
        "staker": ANN,
        "vote_account": VOTE,
        "amount_lamports": 1_000,
        "fee_lamports": 5_000,
        "signature": key("signature", 64),
    }
    return row | other


def as_csv(*rows: dict[str, Any], end: str = "\n") -> bytes:
    """Write rows as CSV; the columns are those of all rows."""
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_json(rewards: list[dict[str, Any]] = [], events: list[dict[str, Any]] = [], **top: Any) -> bytes:  # noqa: B006
    """Write rows as JSON."""
    sections = {"rewards": rewards, "stake_events": events}
    found = {
        name: [{key: cell for key, cell in row.items() if key != "genesis_hash"} for row in rows]
        for name, rows in sections.items()
    }
    return json.dumps({"format": "rakeback-import-1", "genesis_hash": GENESIS, **found, **top}).encode()
