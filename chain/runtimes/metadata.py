"""What a runtime's metadata says of its storage, events and calls, spelled as short text that can be compared. Pure.

Types are spelled by what they are on the wire: newtypes by what they wrap, so that a balance is `u64` whatever its
name, fixed-point numbers with their fraction bits, enums by name. Nothing is said of what values mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bittensor_core import Runtime

# Types with a name of their own, whatever they are made of.
NAMED = {"AccountId32": "account", "RuntimeCall": "call", "H256": "H256"}
FIXED_POINT = ("FixedU64", "FixedI64", "FixedU128", "FixedI128")


@dataclass(frozen=True)
class StorageShape:
    """How a storage item is keyed (hasher and type of each part, such as `Identity u16`) and what it holds."""

    keys: tuple[str, ...]
    value: str


class Metadata:
    """One runtime's metadata, asked item by item. Everything absent is None."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._types: dict[int, dict[str, Any]] = {
            entry["id"]: entry["type"] for entry in json.loads(runtime.registry_json())["types"]
        }
        self._spelled: dict[int, str] = {}

    def storage(self, pallet: str, item: str) -> StorageShape | None:
        """How one storage item is laid out."""
        try:
            entry = self._runtime.storage_entry(pallet, item)
        except KeyError:
            return None
        keys = zip(entry.param_hashers, entry.param_types, strict=True)
        return StorageShape(
            tuple(f"{hasher} {self._reference(kind)}" for hasher, kind in keys),
            self._reference(entry.value_type),
        )

    def event(self, pallet: str, name: str) -> tuple[str, ...] | None:
        """The fields of an event: `name: type`, or `type` where fields have no names."""
        return self._events.get((pallet, name))

    def call(self, pallet: str, name: str) -> tuple[str, ...] | None:
        """The arguments of a call, as `name: type`."""
        return self._calls.get((pallet, name))

    @cached_property
    def _events(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return self._variants_of_pallets("RuntimeEvent")

    @cached_property
    def _calls(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return self._variants_of_pallets("RuntimeCall")

    def _variants_of_pallets(self, outer: str) -> dict[tuple[str, str], tuple[str, ...]]:
        """Fields by (pallet, variant) of an enum that has one variant for each pallet."""
        found = {}
        for kind in self._types.values():
            if kind.get("path", [""])[-1] != outer:
                continue
            for pallet in kind["def"]["variant"]["variants"]:
                inner = self._types[pallet["fields"][0]["type"]]["def"]
                for variant in inner["variant"].get("variants", []):
                    found[pallet["name"], variant["name"]] = self._fields(variant)
        return found

    def _fields(self, owner: dict[str, Any]) -> tuple[str, ...]:
        return tuple(
            f"{field['name']}: {self._spell(field['type'])}"
            if "name" in field
            else self._spell(field["type"])
            for field in owner.get("fields", [])
        )

    def _reference(self, name: str) -> str:
        scheme, _, number = name.partition("::")
        return self._spell(int(number)) if scheme == "scale_info" else name

    def _spell(self, number: int) -> str:
        if number not in self._spelled:
            self._spelled[number] = self._spelling(self._types[number])
        return self._spelled[number]

    def _spelling(self, kind: dict[str, Any]) -> str:
        name = kind.get("path", [""])[-1]
        if name in NAMED:
            return NAMED[name]
        if name in FIXED_POINT:
            return f"{name}<{self._type_number(kind['params'][0]['type'])}>"
        ((form, body),) = kind["def"].items()
        match form:
            case "primitive":
                return str(body)
            case "sequence":
                return f"Vec<{self._spell(body['type'])}>"
            case "array":
                return f"[{self._spell(body['type'])}; {body['len']}]"
            case "tuple":
                return f"({', '.join(map(self._spell, body))})"
            case "compact":
                return f"Compact<{self._spell(body['type'])}>"
            case "composite" if name in ("BTreeMap", "BTreeSet"):
                inner = ", ".join(self._spell(parameter["type"]) for parameter in kind["params"])
                return f"{name}<{inner}>"
            case "composite" if len(body.get("fields", [])) == 1:
                return self._spell(body["fields"][0]["type"])
            case "composite":
                return "{" + ", ".join(self._fields(body)) + "}"
            case "variant" if name == "Option":
                return f"Option<{self._spell(kind['params'][0]['type'])}>"
            case _:
                return str(name or form)

    def _type_number(self, number: int) -> int:
        """Read a number written as a type: UInt<U, B> is 2·U + B, UTerm is 0."""
        kind = self._types[number]
        name = kind.get("path", [""])[-1]
        if name in ("UTerm", "B0"):
            return 0
        if name == "B1":
            return 1
        high, low = (field["type"] for field in kind["def"]["composite"]["fields"])
        return 2 * self._type_number(high) + self._type_number(low)
