"""What mainnet wrote on runtime 393, and the metadata of that runtime and of 343, as recorded (data/README.md)."""

from __future__ import annotations

import gzip
import json

from chain.tests.replay_node import DATA

SS58_PREFIX = 42


def metadata_of(spec_version: int) -> str:
    """The V14 metadata of runtime 343 or 393, or that of the play (293), as 0x hex."""
    name = "play" if spec_version == 293 else f"finney-{spec_version}"
    text = gzip.decompress((DATA / f"{name}-metadata.hex.gz").read_bytes()).decode()
    return text.split()[0]


def recorded_events() -> dict[int, str]:
    """Raw `System.Events` (0x hex) by block number, runtime 393."""
    recording = json.loads(gzip.decompress((DATA / "finney-393-events.json.gz").read_bytes()))
    return {int(number): block["events"] for number, block in recording["blocks"].items()}


def as_spec(metadata_hex: str, spec_version: int) -> str:
    """The same metadata, calling itself another runtime."""
    name = b"\x38node-subtensor"
    before, after = bytes.fromhex(metadata_hex[2:]).split(name * 2 + (1).to_bytes(4, "little"))
    whole = before + name * 2 + (1).to_bytes(4, "little") + spec_version.to_bytes(4, "little") + after[4:]
    return "0x" + whole.hex()
