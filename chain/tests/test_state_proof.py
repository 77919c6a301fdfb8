"""Values proved against the state root: tries pinned to the chain's own code, and a node that cannot lie (CH7)."""

from __future__ import annotations

import hashlib
import random
from functools import cached_property
from typing import Any

import pytest
from django.db import transaction

from chain import keys
from chain.models import Block, Gap
from chain.nodes.block_hashes import header_hash, ordered_root
from chain.nodes.providers import Policy, Providers
from chain.nodes.source import MissingRead, NodeSource, SourceError, call_one
from chain.nodes.state_proof import BadProof, proved_values
from chain.nodes.wire import Limits
from chain.queries import facts_sha256
from chain.services import IngestStopped, ingest
from chain.tests.hostile_node import FAULTS, HostileNode, serving_websocket
from chain.tests.proving import Trie
from chain.tests.replay_node import Play, serving
from chain.tests.test_hostile_nodes import STOPS, facts_of

# (seed, number of entries): the root by the first layout and by the second, as Substrate's own code gives them
# (`sp_trie`, by way of Chopsticks).
ROOTS = {
    (1, 1): (
        "259db11507cbabd5c9622bdcca08af597504972873e5c4cd1daded025dfcd3e1",
        "f4eeea9466dce41020a11795115d21276e7265163026d91cec319c9954ade5da",
    ),
    (2, 2): (
        "dfb8f7327aa9bf6a19d52728d1d6b5ff183a09b601388eac8282245412ff80e4",
        "b950e624add4da82368ad02b35f762e6926594852b15212b8bacdc69f321acf1",
    ),
    (4, 10): (
        "a2e1ed645fac94d528084f75d20f1e2841115e9937bc6a684d4ac8db9246d6aa",
        "8e4a5616acf8cb376ab3f0e23eab2affe4208109fe4ca08d10e4641b5cf09400",
    ),
    (6, 200): (
        "5fb2b83d6d97cf1f2a43e1d814db2d97c6b10d53ae0921f64db567307fa6907d",
        "5398ad587be2b77c62964474e89797738eb08a02ffaabb8f375fca8ea33d6317",
    ),
    (7, 1500): (
        "b33a2bd463ff3f5f3c36b6538af09a1c0dc83e0e5e4f9486c0a178d8c24bf7ba",
        "994921d5ee355131ad265ae7855de80e62f7da5ef217138b6ceb0494bf2cb354",
    ),
}


def entries(seed: int, count: int) -> dict[bytes, bytes]:
    """Keys that share long and short beginnings, some the beginning of others; values of every length that matters."""
    chance = random.Random(seed)
    made: dict[bytes, bytes] = {}
    beginnings = [chance.randbytes(length) for length in (0, 1, 16, 32, 40, 200)]
    for _ in range(count):
        key = chance.choice(beginnings) + chance.randbytes(chance.choice([0, 1, 2, 2, 8, 34]))
        if chance.random() < 0.2 and made:
            key = chance.choice(list(made)) + chance.randbytes(chance.choice([1, 2]))
        made[key] = chance.randbytes(chance.choice([0, 1, 4, 8, 24, 31, 32, 33, 34, 64, 100, 3000]))
    return made


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("case", ROOTS)
def test_ch7_values_and_their_absence_are_proved_as_the_chain_keeps_them(
    case: tuple[int, int], hashed: bool
) -> None:
    stored = entries(*case)
    trie = Trie(stored, hashed=hashed)
    assert trie.root.hex() == ROOTS[case][hashed]
    chance = random.Random(9)
    absent = [chance.randbytes(5), *(key + b"x" for key in stored), *(key[:-1] for key in stored if key)]
    for key in [*stored, *absent[:60]]:
        asked = "0x" + key.hex()
        value = stored.get(key)
        expected = None if value is None else "0x" + value.hex()
        assert proved_values(trie.root, trie.proof([key]), [asked]) == {asked: expected}


def test_ch7_a_proof_of_which_anything_is_changed_or_lacking_proves_nothing_else() -> None:
    stored = entries(6, 200)
    trie = Trie(stored)
    for key in list(stored)[:60]:
        asked = "0x" + key.hex()
        proof = trie.proof([key])
        for position in range(len(proof)):
            data = bytearray.fromhex(proof[position][2:])
            for forged in ([], ["0x" + bytes([data[0] ^ 1, *data[1:]]).hex()], ["0x" + data[:-1].hex()]):
                nodes = [*proof[:position], *forged, *proof[position + 1 :]]
                try:
                    found = proved_values(trie.root, nodes, [asked])
                except BadProof:
                    continue
                assert found == {asked: "0x" + stored[key].hex()}, "a node that was not needed"


@pytest.mark.parametrize(
    "node", ["", "41", "4101", "ff", "3f", "c10a", "8000", "800001007c", "02", "7f" + "ff" * 80]
)
def test_ch7_a_node_that_is_none_proves_nothing(node: str) -> None:
    root = Trie({}).root
    with pytest.raises(BadProof):
        proved_values(root, ["0x" + node], ["0x01"])
    with pytest.raises(BadProof):
        proved_values(
            hashlib.blake2b(bytes.fromhex(node), digest_size=32).digest(), ["0x" + node], ["0x01" + "00" * 20]
        )


# --- a node that proves ---------------------------------------------------------------------------------------


class ProvingPlay(Play):
    """The recorded play with state roots in its headers, which the recorded chain leaves out; so its hashes are others.

    `lies`: (number of a block, key) → what storage is said to hold, in values and in what should prove them.
    """

    def __init__(self) -> None:
        super().__init__("play")
        self.lies: dict[tuple[int, str], str | None] = {}
        self.gives_proofs = True
        self.asked: list[tuple[int, str]] = []
        self.numbers: dict[str, int] = {}
        parent = "0x" + "00" * 32
        states = {}
        for number, block in sorted(self.blocks.items()):
            state = self._states[block["hash"]]
            body = [bytes.fromhex(extrinsic["raw"][2:]) for extrinsic in block["extrinsics"]]
            header = {
                **block["header"],
                "parentHash": parent if number > 1 else self.recording["genesis_hash"],
                "stateRoot": "0x" + self._trie(state[0]).root.hex(),
                "extrinsicsRoot": "0x" + ordered_root(body).hex(),
            }
            parent = header_hash(header)
            self.blocks[number] = {**block, "header": header, "hash": parent}
            states[parent], self.numbers[parent] = state, number
        self._states = states
        self.by_hash = {block["hash"]: block for block in self.blocks.values()}

    @cached_property
    def kept(self) -> dict[str, Trie]:
        """Tries of the states, by block hash."""
        return {block_hash: self._trie(state[0]) for block_hash, state in self._states.items()}

    @staticmethod
    def _trie(state: dict[str, str]) -> Trie:
        return Trie({bytes.fromhex(key[2:]): bytes.fromhex(value[2:]) for key, value in state.items()})

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "state_getReadProof" and self.gives_proofs:
            wanted, block_hash = params
            number = self.numbers[block_hash]
            self.asked += [(number, key) for key in wanted]
            false = {key: value for (at, key), value in self.lies.items() if at == number}
            trie = self.kept[block_hash]
            if false:
                state = {**self._states[block_hash][0], **false}
                trie = self._trie({key: value for key, value in state.items() if value is not None})
            return {"at": block_hash, "proof": trie.proof(bytes.fromhex(key[2:]) for key in wanted)}
        result = super().answer(method, params)
        if method == "state_queryStorageAt":
            number = self.numbers[params[1]]
            changes = [[key, self.lies.get((number, key), value)] for key, value in result[0]["changes"]]
            return [{"block": params[1], "changes": changes}]
        return result


@pytest.fixture(scope="module")
def proving() -> ProvingPlay:
    return ProvingPlay()


def providers(url: str, *, proofs: bool = True) -> Providers:
    return Providers([url], proofs=proofs, policy=Policy(tries=1, rest_seconds=0))


@pytest.mark.django_db
def test_ch7_with_proofs_the_facts_are_the_same(proving: ProvingPlay, hotkeys: list[str]) -> None:
    found = []
    proving.asked.clear()
    with serving(proving) as url:
        for proofs in (False, True):
            with transaction.atomic(), providers(url, proofs=proofs) as source:
                ingest(source, first=2, last=proving.last, hotkeys=hotkeys)
                found.append(facts_sha256())
                assert not Gap.objects.exists()
                transaction.set_rollback(True)
            assert bool(proving.asked) == proofs
    assert found[0] == found[1]


@pytest.mark.django_db
@pytest.mark.parametrize("number", [29, 73])
def test_ch7_with_proofs_no_value_of_storage_can_be_lied_about(
    proving: ProvingPlay, hotkeys: list[str], number: int
) -> None:
    """Every value that is read of a block, reserves and valuations too: what one node could lie about without proofs."""
    with serving(proving) as url:
        with transaction.atomic(), providers(url) as source:
            proving.asked.clear()
            ingest(source, first=number, last=number, hotkeys=hotkeys)
            transaction.set_rollback(True)
        read = sorted({key for at, key in proving.asked if at == number} - {keys.SYSTEM_NUMBER})
        assert len(read) > 20
        for key in read:
            true = proving._states[proving.blocks[number]["hash"]][0].get(key)
            lies = {None, "0x01000000", proving._states[proving.blocks[number - 1]["hash"]][0].get(key)}
            for lie in lies - {true}:
                proving.lies = {(number, key): lie}
                with transaction.atomic(), providers(url) as source:
                    with pytest.raises(IngestStopped, match="does not prove the storage of block"):
                        ingest(source, first=number, last=number, hotkeys=hotkeys)
                    assert not Block.objects.exists()
                    transaction.set_rollback(True)
        proving.lies = {}


@pytest.mark.parametrize("fault", FAULTS)
def test_ch7_every_fault_of_a_node_that_is_asked_for_proofs(
    proving: ProvingPlay, hotkeys: list[str], fault: str
) -> None:
    """Alone it stops the reading or does no harm; beside an honest node the facts are those of the chain."""
    genesis = proving.recording["genesis_hash"]
    limits = Limits(read_seconds=3 if fault == "delay" else 10, answer_bytes_max=1 << 20)

    def read(*urls: str) -> tuple[Any, ...]:
        nodes = Providers(
            urls, genesis_hash=genesis, proofs=True, limits=limits, policy=Policy(tries=1, rest_seconds=0)
        )
        return facts_of(nodes, hotkeys)

    with serving(proving) as honest:
        expected = read(honest)
        node = HostileNode(proving, fault, "state_getReadProof")
        try:
            with serving_websocket(node) as url:
                try:
                    alone = read(url)
                except STOPS:
                    alone = expected
                assert alone == expected
                assert read(url, honest) == expected
        finally:
            node.over.set()
    assert node.asked["state_getReadProof"] or fault == "other_chain"


def test_ch7_a_node_without_proofs_is_named_with_what_to_do(proving: ProvingPlay) -> None:
    block_hash = proving.blocks[50]["hash"]
    proving.gives_proofs = False
    try:
        with (
            serving(proving) as url,
            NodeSource(url, proofs=True) as source,
            pytest.raises(SourceError, match=r"refused state_getReadProof.*or set RAKEBACK_NODE_PROOFS=0"),
        ):
            call_one(source, "state_queryStorageAt", [keys.SYSTEM_NUMBER], block_hash)
    finally:
        proving.gives_proofs = True


@pytest.mark.parametrize(
    "given", [{}, [], "0x", 7, {"at": "0x", "proof": []}, {"proof": []}, {"at": None, "proof": None}]
)
def test_ch7_what_is_no_proof_is_refused(proving: ProvingPlay, given: Any) -> None:
    block_hash = proving.blocks[50]["hash"]

    class Odd:
        def answer(self, method: str, params: list[Any]) -> Any:
            return given if method == "state_getReadProof" else proving.answer(method, params)

    with serving(Odd()) as url, NodeSource(url, proofs=True) as source, pytest.raises(SourceError):
        call_one(source, "state_queryStorageAt", [keys.SYSTEM_NUMBER], block_hash)


def test_ch7_no_proof_at_all_is_a_pruned_state(proving: ProvingPlay) -> None:
    class Pruned:
        def answer(self, method: str, params: list[Any]) -> Any:
            return None if method == "state_getReadProof" else proving.answer(method, params)

    with (
        serving(Pruned()) as url,
        NodeSource(url, proofs=True) as source,
        pytest.raises(MissingRead, match=r"has pruned block 50 .*needs an archive node"),
    ):
        call_one(source, "state_queryStorageAt", [keys.SYSTEM_NUMBER], proving.blocks[50]["hash"])


def test_ch7_a_header_that_seals_no_state_proves_nothing(play: Play) -> None:
    """A node could forge one to be believed without proofs."""
    with (
        serving(play) as url,
        NodeSource(url, proofs=True) as source,
        pytest.raises(SourceError, match=r"block 50 .* seals no state.*RAKEBACK_NODE_PROOFS=0"),
    ):
        call_one(source, "state_queryStorageAt", [keys.SYSTEM_NUMBER], play.blocks[50]["hash"])
