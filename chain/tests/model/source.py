"""The model as a `Source`: answers the reader's reads for any block hash, null for hashes it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chain.nodes.source import Call, SourceError
from chain.tests.model import codec
from chain.tests.model.storage import Storage


@dataclass(frozen=True)
class Block:
    """What is kept of a block beside its state. `spec`: the runtime in its state."""

    number: int
    hash: str
    parent_hash: str
    spec: int
    extrinsics: tuple[str, ...]

    @property
    def header(self) -> dict[str, Any]:
        """As `chain_getHeader` gives it."""
        return {
            "number": hex(self.number),
            "parentHash": self.parent_hash,
            "stateRoot": "0x" + "00" * 32,
            "extrinsicsRoot": "0x" + "00" * 32,
            "digest": {"logs": []},
        }


class ModelSource:
    """Reads the history of a model; `round_trips` counts batches."""

    name = "model"
    answered_by = "model"

    def __init__(self, storage: Storage) -> None:
        self.blocks: list[Block] = []
        self.by_hash: dict[str, Block] = {}
        self.round_trips = 0
        self._storage = storage

    def add(self, block: Block) -> None:
        """Append a block."""
        self.blocks.append(block)
        self.by_hash[block.hash] = block

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer all calls."""
        self.round_trips += 1
        return [self.answer(method, list(params)) for method, params in calls]

    def answer(self, method: str, params: list[Any]) -> Any:
        """Answer one read. :raises SourceError: for what no reader should ask."""
        match method, params:
            case "state_queryStorageAt", [keys, block_hash]:
                block = self.by_hash.get(block_hash)
                if block is None:
                    return None
                values = [[key, self._storage.at(key, block.number)] for key in keys]
                return [{"block": block_hash, "changes": values}]
            case "state_getKeysPaged", [prefix, count, after, block_hash]:
                block = self.by_hash.get(block_hash)
                return self._storage.keys_paged(prefix, count, after or "", block.number) if block else None
            case "chain_getHeader", [block_hash]:
                block = self.by_hash.get(block_hash)
                return block and block.header
            case "chain_getBlock", [block_hash]:
                block = self.by_hash.get(block_hash)
                return block and {"block": {"header": block.header, "extrinsics": list(block.extrinsics)}}
            case "state_getRuntimeVersion", [block_hash]:
                block = self.by_hash.get(block_hash)
                return block and {"specName": "node-subtensor", "specVersion": block.spec}
            case "state_getMetadata", [block_hash]:
                block = self.by_hash.get(block_hash)
                return block and codec.metadata_of(block.spec)
            case "chain_getBlockHash", [number]:
                return self.blocks[number].hash if 0 <= number < len(self.blocks) else None
            case "chain_getFinalizedHead", []:
                return self.blocks[-1].hash
            case "system_chain", []:
                return "model"
            case "system_properties", []:
                return {"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"}
        raise SourceError(f"the model does not answer {method}{tuple(params)}")
