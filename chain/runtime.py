"""Decoding a block's events and extrinsics with the metadata of the runtime that executed it.

`SUPPORTED_SPECS` names the runtimes whose rules `chain.reader` has been proved against. Any other one halts
ingestion: a runtime that credits take differently must never be read by the old rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

SUPPORTED_SPECS = frozenset({293})


class UnknownRuntime(Exception):
    """The block ran on a runtime this version has no proved reader for. Nothing of it was stored."""

    def __init__(self, spec_version: int, block: int) -> None:
        known = ", ".join(str(spec) for spec in sorted(SUPPORTED_SPECS))
        super().__init__(
            f"block {block} ran on runtime {spec_version}, which this version cannot read yet (it reads {known}). "
            "How that runtime credits dividends, take and stake must be proved before its blocks are ingested."
        )
        self.spec_version = spec_version


@dataclass(frozen=True)
class Event:
    """One deposited event. `extrinsic_index` is None for what the runtime did outside extrinsics."""

    index: int
    extrinsic_index: int | None
    pallet: str
    name: str
    values: Any

    def is_a(self, pallet: str, *names: str) -> bool:
        """Say whether the event is one of the named ones of a pallet."""
        return self.pallet == pallet and self.name in names


@dataclass(frozen=True)
class Extrinsic:
    """One decoded extrinsic: its hash, signer ('' if unsigned) and call tree."""

    hash: str
    signer: str
    call: dict[str, Any]

    @property
    def call_name(self) -> str:
        """`Pallet.function` of the outermost call."""
        return f"{self.call['call_module']}.{self.call['call_function']}"


def calls_within(call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk a call and everything nested in it (batch, proxy, multisig, sudo), outermost first."""
    yield call
    stack: list[Any] = [argument["value"] for argument in call.get("call_args", [])]
    while stack:
        value = stack.pop(0)
        if isinstance(value, dict):
            if "call_module" in value and "call_function" in value:
                yield from calls_within(value)
            else:
                stack = list(value.values()) + stack
        elif isinstance(value, list | tuple):
            stack = list(value) + stack


class RuntimeDecoder:
    """Decodes with one runtime's V14 metadata. Building one takes about a second: use :func:`decoder_for`."""

    def __init__(self, spec_version: int, metadata_hex: str, ss58_prefix: int) -> None:
        self.spec_version = spec_version
        self.metadata_hex = metadata_hex
        self._config = RuntimeConfigurationObject(ss58_format=ss58_prefix)
        self._config.update_type_registry(load_type_registry_preset("core"))
        metadata = self._config.create_scale_object("MetadataVersioned", data=ScaleBytes(metadata_hex))
        metadata.decode()
        self._config.add_portable_registry(metadata)
        self._metadata = metadata
        self._events_type = self._storage("System", "Events").get_value_type_string()

    def _storage(self, pallet: str, item: str) -> Any:
        return self._metadata.get_metadata_pallet(pallet).get_storage_function(item)

    def default_u16(self, pallet: str, item: str) -> int:
        """The value a u16 storage item has where nothing is stored."""
        default = self._storage(pallet, item).value["default"]
        data = bytes.fromhex(default[2:]) if default.startswith("0x") else default.encode("latin-1")
        return int.from_bytes(data, "little")

    def events(self, data_hex: str) -> list[Event]:
        """Decode `System.Events`."""
        records = self._config.create_scale_object(
            self._events_type, data=ScaleBytes(data_hex), metadata=self._metadata
        ).decode()
        return [
            Event(
                index=index,
                extrinsic_index=record["extrinsic_idx"] if record["phase"] == "ApplyExtrinsic" else None,
                pallet=record["event"]["module_id"],
                name=record["event"]["event_id"],
                values=record["event"]["attributes"],
            )
            for index, record in enumerate(records)
        ]

    def extrinsic(self, data_hex: str) -> Extrinsic:
        """Decode one extrinsic as `chain_getBlock` gives it."""
        value = self._config.create_scale_object(
            "Extrinsic", data=ScaleBytes(data_hex), metadata=self._metadata
        ).decode()
        digest = hashlib.blake2b(bytes.fromhex(data_hex[2:]), digest_size=32).hexdigest()
        return Extrinsic(hash="0x" + digest, signer=str(value.get("address") or ""), call=value["call"])


@lru_cache(maxsize=4)
def decoder_for(spec_version: int, metadata_hex: str, ss58_prefix: int) -> RuntimeDecoder:
    """The decoder of a runtime, built once per process."""
    return RuntimeDecoder(spec_version, metadata_hex, ss58_prefix)
