"""Decoding a block's events and extrinsics with the metadata of the runtime that executed it.

`chain.runtimes.eras` names the runtimes whose rules are known. Any other one halts ingestion: a runtime that credits take
differently must never be read by the old rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from bittensor_core import Runtime

from chain.runtimes.eras import ERAS, NEWEST_KNOWN_SPEC, era_of


class UnknownRuntime(Exception):
    """The block ran on a runtime this version has no proved reader for. Nothing of it was stored.

    :param findings: what its metadata says against the rules it would be read by, and what to do.
    """

    def __init__(self, spec_version: int, block: int, findings: str = "") -> None:
        super().__init__(
            f"block {block} ran on runtime {spec_version}, which this version cannot read yet (it reads "
            f"{ERAS[0].first_spec} to {NEWEST_KNOWN_SPEC}). "
            + (
                findings
                or "How that runtime credits dividends, take and stake must be proved before its blocks are ingested: "
                f"manage.py check_runtime --url ws://… --spec {spec_version}"
            )
        )
        self.spec_version = spec_version


class ChangedLayout(UnknownRuntime):
    """A runtime whose rules are known keeps something in another place than they say."""

    def __init__(self, spec_version: int, block: int, era: str, differences: Sequence[str]) -> None:
        Exception.__init__(
            self,
            f"block {block} ran on runtime {spec_version}, whose metadata is not what era {era} is read by: "
            f"{'; '.join(differences)}. It is not read by rules that do not fit it: a version that knows it is needed.",
        )
        self.spec_version = spec_version


class Undecodable(ValueError):
    """Bytes do not fit the runtime they are said to be of. Nothing of them was used; the message says what is wrong."""


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


class Decoder(Protocol):
    """Decodes what one runtime wrote. Values are as substrate-interface gives them: SS58 text, tuples, dicts."""

    spec_version: int
    metadata_hex: str

    def default_u16(self, pallet: str, item: str) -> int:
        """The value a u16 storage item has where nothing is stored."""
        ...

    def events(self, data_hex: str) -> list[Event]:
        """Decode `System.Events`."""
        ...

    def extrinsic(self, data_hex: str) -> Extrinsic:
        """Decode one extrinsic as `chain_getBlock` gives it."""
        ...


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Undecodable(f"{what} cannot be decoded: {error}") from error


def _bytes(data_hex: object) -> bytes:
    if not isinstance(data_hex, str):
        raise TypeError(f"{data_hex!r:.40} is no text")
    return bytes.fromhex(data_hex.removeprefix("0x"))


def _loads(metadata: bytes) -> bool:
    """Say whether the library, which ignores what follows metadata, finds whole metadata in these bytes."""
    try:
        Runtime(metadata, 0, 0)
    except ValueError:
        return False
    return True


class RuntimeDecoder:
    """Decodes with one runtime's metadata, which takes some milliseconds to load.

    :raises Undecodable: from every method, for bytes that are truncated, too long, or not what the metadata says; and
        for metadata that is damaged or that of another runtime.
    """

    def __init__(self, spec_version: int, metadata_hex: str, ss58_prefix: int) -> None:
        self.spec_version = spec_version
        self.metadata_hex = metadata_hex
        with _decoding(f"the metadata of runtime {spec_version}"):
            metadata = _bytes(metadata_hex)
            # The third argument, the transaction version, only matters to who signs.
            self.runtime = Runtime(metadata, spec_version, 0, ss58_prefix)
            named = self.runtime.constant("System", "Version")["spec_version"]
            self._events_type = self.runtime.storage_entry("System", "Events").value_type
            if _loads(metadata[:-1]):
                raise ValueError("there is more after its end")
        self.metadata_spec = int(named)
        # Of a runtime nobody knows, a person decides by which rules to read it, whatever it calls itself.
        if named != spec_version and era_of(spec_version) is not None:
            raise Undecodable(f"the metadata given for runtime {spec_version} is that of runtime {named}")

    def default_u16(self, pallet: str, item: str) -> int:
        """The value a u16 storage item has where nothing is stored."""
        with _decoding(f"the default of {pallet}.{item}"):
            entry = self.runtime.storage_entry(pallet, item)
            if len(entry.default_bytes) != 2:
                raise ValueError(f"it has {len(entry.default_bytes)} bytes, not 2")
            return int.from_bytes(entry.default_bytes, "little")

    def events(self, data_hex: str) -> list[Event]:
        """Decode `System.Events`."""
        with _decoding(f"events of runtime {self.spec_version}"):
            records = self.runtime.decode(self._events_type, _bytes(data_hex))
        return [
            Event(
                index, record["extrinsic_idx"], record["module_id"], record["event_id"], record["attributes"]
            )
            for index, record in enumerate(records)
        ]

    def extrinsic(self, data_hex: str) -> Extrinsic:
        """Decode one extrinsic as `chain_getBlock` gives it."""
        with _decoding(f"an extrinsic of runtime {self.spec_version}"):
            value = self.runtime.decode_extrinsic(_bytes(data_hex))
        return Extrinsic(value["extrinsic_hash"], str(value.get("address") or ""), value["call"])


@lru_cache(maxsize=16)
def decoder_for(spec_version: int, metadata_hex: str, ss58_prefix: int) -> RuntimeDecoder:
    """The decoder of a runtime, built once per process."""
    return RuntimeDecoder(spec_version, metadata_hex, ss58_prefix)
