"""Roots of extrinsics: pinned to those that the chain's own Rust code (`sp_trie`, by way of Chopsticks) gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain.nodes.block_hashes import are_extrinsics_of, header_hash, ordered_root
from chain.nodes.source import NodeSource, SourceError, call_one
from chain.tests.replay_node import Play, PlaySource, serving

# Number of values: the root by the first layout, by the second.
ROOTS = {
    0: (
        "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314",
        "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314",
    ),
    1: (
        "2325c7bb69f6b1b920e40b0b44b9c1ff45628265f8b27849cafe83c9cd882001",
        "2325c7bb69f6b1b920e40b0b44b9c1ff45628265f8b27849cafe83c9cd882001",
    ),
    2: (
        "18ea699e5d3c05cb4396d7248157f90cbc2c3f0c4b14741180ce022dce870ab3",
        "18ea699e5d3c05cb4396d7248157f90cbc2c3f0c4b14741180ce022dce870ab3",
    ),
    16: (
        "2678d4af5f4bc943f4f24bfa695ef83420bd96c9a601baf82bbe5935d555eec9",
        "3e09184333f9fbbb602280eb37e911cced054cd9a93c399f0b70c6ce49158858",
    ),
    64: (
        "effd32e9b68c8c134683e9f1fa5760a2d374cfae635ddc4d91f8d01a90244f25",
        "26f6f5fb9fd96d0e2d8116d83aa2a5526ae21e9b653078f2a8d615d21cefa60b",
    ),
    65: (
        "6eccee0786f01e2a165dd44a84ec9b91e0040dce8af39b93a8953fb61bea6e9c",
        "ebfbec115b357224c025a099870729bcbf0e75fd62850d91628044a131c67571",
    ),
    257: (
        "2d4d02e1f6ca0649274576499731dc8ddcbe320fff89668ef27d50e61e769a27",
        "3f57407650b61c597ee7a06267997130d0f414da7e0e442a36c67e64227e9320",
    ),
    16390: (
        "609009a2528b01c6da1dea8f88de3d22d7047c359b91a2def8187e29f85c2d16",
        "6014629d7c9e43155255283a65149a5ab78863f7d478c1a9e6e302279a579913",
    ),
}


@pytest.mark.parametrize("count", ROOTS)
def test_ch7_roots_are_those_of_the_chains_own_code(count: int) -> None:
    values = [(b"%d " % position) * (position % 9 + 1) + b"." * (position % 41) for position in range(count)]
    assert (ordered_root(values).hex(), ordered_root(values, hashed_values=True).hex()) == ROOTS[count]


def test_ch7_extrinsics_are_those_that_the_real_runtime_sealed() -> None:
    """Blocks whose header the real runtime 293 finished itself."""
    blocks = json.loads((Path(__file__).parent / "data/extrinsics-roots-293.json").read_text())
    assert len({len(block["extrinsics"]) for block in blocks}) > 3
    for block in blocks:
        header = {"stateRoot": "0x" + "01" * 32, "extrinsicsRoot": block["extrinsics_root"]}
        assert are_extrinsics_of(header, block["extrinsics"])
        assert not are_extrinsics_of(header, block["extrinsics"][:-1])
        swapped = [*block["extrinsics"][1:], block["extrinsics"][0]]
        assert are_extrinsics_of(header, swapped) == (len(swapped) == 1)


def test_ch7_a_header_without_a_state_root_names_the_hash_of_its_extrinsics(play: Play) -> None:
    for block in play.blocks.values():
        if block["number"]:
            assert header_hash(block["header"]) == block["hash"]
            assert are_extrinsics_of(block["header"], _written(block))


def _written(block: dict[str, Any]) -> list[str]:
    return [extrinsic["raw"] for extrinsic in block["extrinsics"]]


class _Forging(PlaySource):
    """Gives one extrinsic with one bit flipped."""

    bit = 0

    def answer(self, method: str, params: list[Any]) -> Any:
        result = super().answer(method, params)
        if method == "chain_getBlock":
            *others, last = result["block"]["extrinsics"]
            data = bytearray.fromhex(last[2:])
            data[self.bit // 8 % len(data)] ^= 1 << self.bit % 8
            return {"block": {**result["block"], "extrinsics": [*others, "0x" + data.hex()]}}
        return result


def test_ch7_one_flipped_bit_of_an_extrinsic_is_noticed(play: Play) -> None:
    block = next(block for block in play.blocks.values() if len(block["extrinsics"]) > 1)
    node = _Forging(play)
    with serving(node) as url, NodeSource(url) as source:
        for node.bit in (3, 45, 333, 1000):
            with pytest.raises(SourceError, match=f"extrinsics are not those .* block .*{block['hash']}"):
                call_one(source, "chain_getBlock", block["hash"])
