"""The baseline: a block read with substrate-interface alone, by get_events, get_extrinsics, query_map and query_multi.

It reads what our reader needs for the same facts, in as few requests as that interface allows, and counts them. `check`
compares everything both of them found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from substrateinterface import SubstrateInterface
from substrateinterface.storage import StorageKey
from websocket import create_connection

from chain.facts import BlockFacts
from chain.keys import SUBTENSOR
from chain.pools.holdings import Holdings

ROOT = 0
PAGE_SIZE = 1000

Pool = tuple[str, int]


class CountedSocket:
    """A WebSocket as substrate-interface uses one, which counts what is sent: each is one round trip."""

    def __init__(self, url: str) -> None:
        self._socket = create_connection(url, skip_utf8_validation=True)
        self.round_trips = 0

    def send(self, message: str) -> None:
        """Send a request."""
        self.round_trips += 1
        self._socket.send(message)

    def recv(self) -> str:
        """Wait for an answer."""
        return str(self._socket.recv())

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class InnerSocket:
    """Answers within the process, so that no time goes into a socket."""

    def __init__(self, answer: Callable[[str, list[Any]], Any]) -> None:
        self._answer = answer
        self._said = ""
        self.round_trips = 0

    def send(self, message: str) -> None:
        """Answer a request."""
        request = json.loads(message)
        self.round_trips += 1
        result = self._answer(request["method"], request["params"])
        self._said = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def recv(self) -> str:
        """Give the answer."""
        return self._said

    def close(self) -> None:
        """Nothing to hang up."""


@dataclass
class ReferenceBlock:
    """What substrate-interface says of a block."""

    hash: str
    events: list[dict[str, Any]]
    extrinsics: list[Any]
    timestamp_ms: int
    owners: dict[str, str]
    denominators: dict[Pool, int]
    positions: dict[tuple[str, int, str], int]
    epochs: list[int]
    before: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    after: dict[tuple[Any, ...], Any] = field(default_factory=dict)


class ReferenceReader:
    """Reads blocks through one connection."""

    def __init__(self, socket: CountedSocket | InnerSocket, hotkeys: Sequence[str]) -> None:
        self._socket = socket
        self._hotkeys = sorted(hotkeys)
        self._chain = SubstrateInterface(websocket=socket, ss58_format=42)
        self._chain.init_runtime()

    @property
    def round_trips(self) -> int:
        """Requests made so far."""
        return self._socket.round_trips

    def close(self) -> None:
        """Hang up."""
        self._chain.close()

    def read(self, number: int, parent_hash: str, *, positions: bool = True) -> ReferenceBlock:
        """Read one block.

        :param positions: list every position, which is the only way to have them proved at this block.
        """
        block_hash = self._chain.get_block_hash(number)
        events = [record.value for record in self._chain.get_events(block_hash)]
        extrinsics = self._chain.get_extrinsics(block_hash)
        steps = self._map("LastMechansimStepBlock", [], block_hash)
        denominators = {
            (hotkey, netuid): bits
            for hotkey in self._hotkeys
            for netuid, bits in self._map("TotalHotkeyShares", [hotkey], block_hash).items()
        }
        now, *owners = self._points(
            [("Timestamp", "Now"), *((SUBTENSOR, "Owner", hotkey) for hotkey in self._hotkeys)], block_hash
        )
        block = ReferenceBlock(
            hash=block_hash,
            events=events,
            extrinsics=extrinsics,
            timestamp_ms=now,
            owners=dict(zip(self._hotkeys, owners, strict=True)),
            denominators={pool: shares["bits"] for pool, shares in denominators.items()},
            positions=self.positions(block_hash) if positions else {},
            epochs=sorted(netuid for netuid, step in steps.items() if netuid != ROOT and step == number),
        )
        if block.epochs:
            self._read_epochs(block, parent_hash)
        return block

    def positions(self, block_hash: str) -> dict[tuple[str, int, str], int]:
        """Every position of our hotkeys: the whole map, because query_map cannot list it by hotkey.

        The key it gives lacks the netuid; that is taken from the bytes the key was decoded from.
        """
        found = {}
        for key, share in self._chain.query_map(
            SUBTENSOR, "Alpha", block_hash=block_hash, page_size=PAGE_SIZE
        ):
            hotkey, coldkey = key
            if hotkey.value in self._hotkeys and share.value["bits"]:
                netuid = int.from_bytes(bytes(coldkey.data.data)[-2:], "little")
                found[hotkey.value, netuid, coldkey.value] = share.value["bits"]
        return found

    def _read_epochs(self, block: ReferenceBlock, parent_hash: str) -> None:
        """What the takes are computed from, before and after."""
        pairs = [(hotkey, netuid) for hotkey in self._hotkeys for netuid in block.epochs]
        pools = [*pairs, *((hotkey, ROOT) for hotkey in self._hotkeys)]
        after = [
            *(("AlphaDividendsPerSubnet", netuid, hotkey) for hotkey, netuid in pairs),
            *(("TaoDividendsPerSubnet", netuid, hotkey) for hotkey, netuid in pairs),
            *(("TotalHotkeyAlphaLastEpoch", *pair) for pair in pairs),
            *(("TotalHotkeyAlpha", *pool) for pool in pools),
        ]
        before = [
            *(("TotalHotkeyAlpha", *pool) for pool in pools),
            *(("TotalHotkeyShares", *pool) for pool in pools),
            *((item, hotkey) for item in ("Owner", "Delegates") for hotkey in self._hotkeys),
        ]
        block.after = dict(
            zip(after, self._points([(SUBTENSOR, *one) for one in after], block.hash), strict=True)
        )
        block.before = dict(
            zip(before, self._points([(SUBTENSOR, *one) for one in before], parent_hash), strict=True)
        )

    def _map(self, item: str, params: list[Any], block_hash: str) -> dict[int, Any]:
        """A map by netuid."""
        rows = self._chain.query_map(SUBTENSOR, item, params, block_hash=block_hash, page_size=PAGE_SIZE)
        return {key.value: value.value for key, value in rows}

    def _points(self, wanted: Sequence[tuple[Any, ...]], block_hash: str) -> list[Any]:
        """Single values, in one request."""
        keys = [
            StorageKey.create_from_storage_function(
                pallet, item, list(params), self._chain.runtime_config, self._chain.metadata
            )
            for pallet, item, *params in wanted
        ]
        found = {key.to_hex(): value for key, value in self._chain.query_multi(keys, block_hash=block_hash)}
        return [found[key.to_hex()].value for key in keys]


def check(facts: BlockFacts, holdings: Holdings, block: ReferenceBlock) -> None:
    """Compare our facts of a block with what substrate-interface found: block, positions, stake events, takes."""
    assert (facts.hash, facts.timestamp_ms) == (block.hash, block.timestamp_ms)
    ours = {
        (hotkey, netuid, coldkey): share.bits
        for (hotkey, netuid), holders in holdings.items()
        for coldkey, share in holders.items()
    }
    assert ours == block.positions
    totals: dict[Pool, int] = {}
    for (hotkey, netuid, _), bits in ours.items():
        totals[hotkey, netuid] = totals.get((hotkey, netuid), 0) + bits
    assert totals == {pool: bits for pool, bits in block.denominators.items() if bits}
    _check_stake_events(facts, block)
    _check_takes(facts, block)


def _check_stake_events(facts: BlockFacts, block: ReferenceBlock) -> None:
    theirs = []
    for index, record in enumerate(block.events):
        if record["module_id"] == SUBTENSOR and record["event_id"] in {"StakeAdded", "StakeRemoved"}:
            coldkey, hotkey, tao, alpha, netuid, fee = record["attributes"]
            if hotkey in block.owners:
                extrinsic = block.extrinsics[record["extrinsic_idx"]]
                signer, digest = extrinsic.value["address"], "0x" + extrinsic.extrinsic_hash.hex()
                added = record["event_id"] == "StakeAdded"
                theirs.append((index, added, coldkey, hotkey, netuid, tao, alpha, fee, signer, digest))
    ours = [
        (
            *(one.event_index, one.added, one.coldkey, one.hotkey, one.netuid, one.tao_rao, one.alpha_rao),
            *(one.fee_rao, one.signer, one.extrinsic_hash),
        )
        for one in facts.stake_events
        if not one.derived
    ]
    assert ours == theirs


def _check_takes(facts: BlockFacts, block: ReferenceBlock) -> None:
    """Each dividend, rate, owner and pool; and what the pool grew by beside the dividend."""
    sides = {"ALPHA": "AlphaDividendsPerSubnet", "ROOT": "TaoDividendsPerSubnet"}
    paid = {
        (hotkey, netuid, side): block.after[item, netuid, hotkey]
        for hotkey in block.owners
        for netuid in block.epochs
        for side, item in sides.items()
        if block.after[item, netuid, hotkey]
    }
    assert {(one.hotkey, one.netuid, one.side): one.dividend_rao for one in facts.yields} == paid
    for one in facts.yields:
        pool = (one.hotkey, one.pool_netuid)
        assert one.owner == block.before["Owner", one.hotkey]
        assert one.take_u16 == block.before["Delegates", one.hotkey]
        assert one.pool_before_rao == block.before[("TotalHotkeyAlpha", *pool)]
        assert one.share_total.bits == block.before[("TotalHotkeyShares", *pool)]["bits"]
        if one.side == "ALPHA":
            grown = block.after[("TotalHotkeyAlphaLastEpoch", *pool)] - one.pool_before_rao
            assert one.take_rao + one.other_rao + one.dividend_rao == grown
