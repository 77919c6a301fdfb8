"""How the model writes events and extrinsics down, and the `Decoder` that reads them back for the reader.

They are no SCALE: JSON in hex, with tuples marked, so that values come back as the kinds the real decoder gives.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from chain.runtimes.decoding import Event, Extrinsic
from chain.tests.model.world import DEFAULT_OWNER_CUT, DEFAULT_TAKE

_MARK = "model runtime "
_TUPLE = "()"


def encode(value: Any) -> bytes:
    """Write values of the decoder's kinds down, equal values as equal bytes."""
    return json.dumps(_marked(value), separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """Read back what :func:`encode` wrote."""
    return json.loads(data, object_hook=_unmarked)


def _marked(value: Any) -> Any:
    if isinstance(value, tuple):
        return {_TUPLE: [_marked(part) for part in value]}
    if isinstance(value, list):
        return [_marked(part) for part in value]
    if isinstance(value, dict):
        return {key: _marked(part) for key, part in value.items()}
    return value


def _unmarked(value: dict[str, Any]) -> Any:
    return tuple(value[_TUPLE]) if _TUPLE in value else value


def metadata_of(spec: int) -> str:
    """What the model's nodes give as metadata: it only says which runtime it is of."""
    return "0x" + f"{_MARK}{spec}".encode().hex()


class ModelDecoder:
    """Decodes the model's blocks; refuses another runtime's metadata, as a wrong pairing would decode wrongly."""

    def __init__(self, spec_version: int, metadata_hex: str, ss58_prefix: int) -> None:
        if metadata_hex != metadata_of(spec_version):
            raise ValueError(f"metadata of another runtime than {spec_version}: {metadata_hex[:80]}")
        if ss58_prefix != 42:
            raise ValueError(f"the model has prefix 42, not {ss58_prefix}")
        self.spec_version = spec_version
        self.metadata_hex = metadata_hex

    def default_u16(self, pallet: str, item: str) -> int:
        """The value a u16 storage item has where nothing is stored."""
        return {
            ("SubtensorModule", "Delegates"): DEFAULT_TAKE,
            ("SubtensorModule", "SubnetOwnerCut"): DEFAULT_OWNER_CUT,
            ("Swap", "FeeRate"): 33 if self.spec_version >= 301 else 196,
        }[pallet, item]

    def events(self, data_hex: str) -> list[Event]:
        """Decode `System.Events`."""
        records = decode(bytes.fromhex(data_hex[2:]))
        return [Event(index, *record) for index, record in enumerate(records)]

    def extrinsic(self, data_hex: str) -> Extrinsic:
        """Decode one extrinsic as `chain_getBlock` gives it."""
        data = bytes.fromhex(data_hex[2:])
        signer, call, _ = decode(data)
        return Extrinsic("0x" + hashlib.blake2b(data, digest_size=32).hexdigest(), signer, call)


def decoder_for(spec_version: int, metadata_hex: str, ss58_prefix: int) -> ModelDecoder:
    """The decoder of a runtime of the model."""
    return ModelDecoder(spec_version, metadata_hex, ss58_prefix)
