"""An approved batch as call data for a wallet: `Utility.batch_all` of `Balances.transfer_keep_alive`.

`batch_all` reverts as a whole, and keep-alive cannot reap the sender. The bytes are decoded again with the
same metadata and compared with what was to be paid before anyone gets them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from chain.addresses import BITTENSOR_PREFIX, encode_address
from chain.models import Runtime

Transfer = tuple[str, int]
"""Receiver's address and amount in rao."""


class CallDataError(Exception):
    """The call data could not be made, or does not say what it should. Nothing was handed out."""


class Codec:
    """Encodes and decodes the calls of one runtime."""

    def __init__(self, metadata: bytes) -> None:
        """Read V14 metadata (about 0.8 s for a real runtime).

        :raises CallDataError: when it is not metadata that can be read.
        """
        self._config = RuntimeConfigurationObject(ss58_format=BITTENSOR_PREFIX)
        self._config.update_type_registry(load_type_registry_preset("core"))
        self._metadata = self._config.create_scale_object("MetadataVersioned", data=ScaleBytes(metadata))
        try:
            self._metadata.decode()
            self._config.add_portable_registry(self._metadata)
        except Exception as error:
            raise CallDataError(f"the stored metadata cannot be read: {error}") from error

    def encode_transfers(self, transfers: Sequence[Transfer]) -> bytes:
        """Encode one `batch_all` with these transfers in this order."""
        calls = [
            {
                "call_module": "Balances",
                "call_function": "transfer_keep_alive",
                "call_args": {"dest": address, "value": amount_rao},
            }
            for address, amount_rao in transfers
        ]
        call = self._config.create_scale_object("Call", metadata=self._metadata)
        value = {"call_module": "Utility", "call_function": "batch_all", "call_args": {"calls": calls}}
        try:
            return bytes(call.encode(value).data)
        except Exception as error:
            raise CallDataError(f"this runtime cannot encode the transfers: {error}") from error

    def decode_transfers(self, data: bytes) -> list[Transfer]:
        """Read the transfers out of call data.

        :raises CallDataError: for anything but one `batch_all` of `transfer_keep_alive` and nothing after.
        """
        call = self._config.create_scale_object("Call", data=ScaleBytes(data), metadata=self._metadata)
        try:
            call.decode()
        except Exception as error:
            raise CallDataError(f"the call data cannot be decoded: {error}") from error
        if call.data.get_remaining_length():
            raise CallDataError("the call data goes on after its call")
        arguments = _read_call(call.value, "Utility", "batch_all")
        transfers = []
        for inner in arguments["calls"]:
            transfer = _read_call(inner, "Balances", "transfer_keep_alive")
            transfers.append((_read_address(transfer["dest"]), int(transfer["value"])))
        return transfers


def _read_call(value: dict[str, Any], module: str, function: str) -> dict[str, Any]:
    if (value["call_module"], value["call_function"]) != (module, function):
        raise CallDataError(
            f"expected {module}.{function}, found {value['call_module']}.{value['call_function']}"
        )
    return {argument["name"]: argument["value"] for argument in value["call_args"]}


def _read_address(dest: Any) -> str:
    """Write an account id as SS58 with our own encoder, whichever form the library chose."""
    if isinstance(dest, dict):
        dest = dest["Id"]
    return encode_address(bytes.fromhex(dest[2:])) if dest.startswith("0x") else str(dest)


@lru_cache(maxsize=2)
def _codec_of(spec_version: int, sha256: str) -> Codec:
    damaged = CallDataError(f"the stored metadata of spec {spec_version} is damaged: ingest it again")
    try:
        metadata = zlib.decompress(Runtime.objects.get(pk=spec_version).metadata)
    except zlib.error as error:
        raise damaged from error
    if hashlib.sha256(metadata).hexdigest() != sha256:
        raise damaged
    return Codec(metadata)


def latest_codec() -> Codec:
    """Return the codec of the newest runtime that was read.

    :raises CallDataError: when no block was read yet.
    """
    runtime = Runtime.objects.order_by("-first_block").only("spec_version", "metadata_sha256").first()
    if runtime is None:
        raise CallDataError("no runtime is known yet: ingest a block first")
    return _codec_of(runtime.spec_version, runtime.metadata_sha256)


def encode_checked(codec: Codec, transfers: Sequence[Transfer]) -> str:
    """Encode transfers as 0x text, handed out only if it decodes to exactly these transfers.

    :raises CallDataError: when there is nothing to encode or the bytes say something else.
    """
    if not transfers:
        raise CallDataError("there is nothing to pay")
    data = codec.encode_transfers(transfers)
    if codec.decode_transfers(data) != list(transfers):
        raise CallDataError("the encoded call data does not decode to the payouts of the batch")
    return "0x" + data.hex()
