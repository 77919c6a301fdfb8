"""substrate-interface's own decoding, which `chain.runtimes.decoding` must equal: what its get_events and get_block do."""

from __future__ import annotations

from typing import Any

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from chain.runtimes.decoding import Event


class ReferenceDecoder:
    """Decodes with one runtime's V14 metadata. Building one takes about a second."""

    def __init__(self, metadata_hex: str, ss58_prefix: int) -> None:
        self._config = RuntimeConfigurationObject(ss58_format=ss58_prefix)
        self._config.update_type_registry(load_type_registry_preset("core"))
        self._metadata = self._config.create_scale_object("MetadataVersioned", data=ScaleBytes(metadata_hex))
        self._metadata.decode()
        self._config.add_portable_registry(self._metadata)

    def default(self, pallet: str, item: str) -> bytes:
        """The bytes that a storage item's default is encoded as."""
        default = self._metadata.get_metadata_pallet(pallet).get_storage_function(item).value["default"]
        return bytes.fromhex(default[2:]) if default.startswith("0x") else default.encode("latin-1")

    def records(self, data_hex: str) -> list[dict[str, Any]]:
        """Decode `System.Events`."""
        pallet = self._metadata.get_metadata_pallet("System")
        events_type = pallet.get_storage_function("Events").get_value_type_string()
        records: list[dict[str, Any]] = self._config.create_scale_object(
            events_type, data=ScaleBytes(data_hex), metadata=self._metadata
        ).decode()
        return records

    def events(self, data_hex: str) -> list[Event]:
        """Decode `System.Events` into our own events."""
        return [
            Event(
                index=index,
                extrinsic_index=record["extrinsic_idx"] if record["phase"] == "ApplyExtrinsic" else None,
                pallet=record["event"]["module_id"],
                name=record["event"]["event_id"],
                values=record["event"]["attributes"],
            )
            for index, record in enumerate(self.records(data_hex))
        ]

    def extrinsic(self, data_hex: str) -> dict[str, Any]:
        """Decode one extrinsic."""
        value: dict[str, Any] = self._config.create_scale_object(
            "Extrinsic", data=ScaleBytes(data_hex), metadata=self._metadata
        ).decode()
        return value
