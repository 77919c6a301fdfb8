"""A node of mainnet's size for tests: 129 subnets, two hotkeys of ours with as many delegators as wanted, runtime 393.

Its blocks hold the events of recorded mainnet blocks in turn, so nothing of them concerns us and no epoch runs; what a
quiet block costs is what it shows. A `Source`, and served like a play.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence
from typing import Any

from chain import keys
from chain.addresses import decode_address, encode_address
from chain.nodes.block_hashes import header_hash
from chain.nodes.source import Call
from chain.tests.mainnet import metadata_of, recorded_events
from chain.tests.replay_node import METHODS

SPEC_VERSION = 393
NETUIDS = range(129)
SECONDS_PER_BLOCK = 12
_BEGINS_MS = 1_777_000_000_000
_NO_HASH = "0x" + "00" * 32


def address(name: str) -> str:
    """The address of an account that exists by name only."""
    return encode_address(hashlib.blake2b(name.encode(), digest_size=32).digest())


def _le(number: int, size: int) -> str:
    return "0x" + number.to_bytes(size, "little").hex()


class LargeChain:
    """Blocks 1 to `last`, all on one state but for number, time and events.

    :param positions: how many there are on our hotkeys, spread evenly over the subnets; one for each coldkey.
    """

    name = "large"

    def __init__(self, last: int, *, positions: int) -> None:
        self.last = last
        self.batches = 0
        self.hotkeys = sorted(address(name) for name in ("first hotkey", "second hotkey"))
        self.metadata = metadata_of(SPEC_VERSION)
        self._events = list(recorded_events().values())
        self.state: dict[str, str] = {}
        totals: dict[tuple[str, int], int] = {}
        for number in range(positions):
            pool = (self.hotkeys[number % 2], NETUIDS[number // 2 % len(NETUIDS)])
            bits = (number + 1) * 0x1_2345_6789_ABCD_EF01
            self.state[keys.share_key(pool[0], address(f"delegator {number}"), pool[1])] = _le(bits, 16)
            totals[pool] = totals.get(pool, 0) + bits
        for (hotkey, netuid), bits in totals.items():
            self.state[keys.by_hotkey_netuid("TotalHotkeyShares", hotkey, netuid)] = _le(bits, 16)
            self.state[keys.by_hotkey_netuid("TotalHotkeyAlpha", hotkey, netuid)] = _le(bits >> 60, 8)
        for netuid in NETUIDS:
            self.state[keys.by_netuid("NetworksAdded", netuid)] = "0x01"
            self.state[keys.by_netuid("LastMechansimStepBlock", netuid)] = _le(0, 8)
        for hotkey in self.hotkeys:
            account = decode_address(address(f"owner of {hotkey}"))
            self.state[keys.by_hotkey("Owner", hotkey)] = "0x" + account.hex()
        # What `value` makes up for each block is listed, too.
        made_up = (
            keys.SYSTEM_NUMBER,
            keys.SYSTEM_EVENTS,
            keys.SYSTEM_EVENT_COUNT,
            keys.TIMESTAMP_NOW,
        )
        self._sorted = sorted([*self.state, *made_up])
        self._hashes: list[str] = []
        self._headers: dict[str, dict[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        for number in range(last + 1):
            header = {
                "number": hex(number),
                "parentHash": self._hashes[-1] if number else _NO_HASH,
                "stateRoot": _NO_HASH,
                "extrinsicsRoot": _NO_HASH,
                "digest": {"logs": []},
            }
            block_hash = header_hash(header)
            self._hashes.append(block_hash)
            self._headers[block_hash], self._numbers[block_hash] = header, number

    def call_many(self, calls: Sequence[Call]) -> list[Any]:
        """Answer all, counting round trips."""
        self.batches += 1
        return [self.answer(method, params) for method, params in calls]

    def value(self, number: int, key: str) -> str | None:
        """What storage holds under a key after a block."""
        if key == keys.SYSTEM_NUMBER:
            return _le(number, 4)
        if key == keys.TIMESTAMP_NOW:
            return _le(_BEGINS_MS + number * SECONDS_PER_BLOCK * 1000, 8)
        if key == keys.SYSTEM_EVENTS:
            return self._events[number % len(self._events)]
        if key == keys.SYSTEM_EVENT_COUNT:
            # Between 64 and 16,383 events are counted in two bytes, above two bits of mode.
            first = bytes.fromhex(self._events[number % len(self._events)][2:6])
            return _le(int.from_bytes(first, "little") >> 2, 4)
        return self.state.get(key)

    def answer(self, method: str, params: list[Any]) -> Any:
        """Answer one read as a node would. :raises KeyError: for what it cannot answer."""
        match method, params:
            case "rpc_methods", _:
                return {"methods": METHODS}
            case "state_queryStorageAt", [wanted, at]:
                number = self._numbers[at]
                return [{"block": at, "changes": [[key, self.value(number, key)] for key in wanted]}]
            case "state_getStorageAt" | "state_getStorage", [key, at]:
                return self.value(self._numbers[at], key)
            case "state_getKeysPaged", [prefix, count, after, _]:
                start = bisect.bisect_right(self._sorted, after)
                return [key for key in self._sorted[start : start + count] if key.startswith(prefix)]
            case "chain_getBlockHash", [number]:
                return self._hashes[number] if number <= self.last else None
            case "chain_getHeader", [at]:
                return self._headers[at]
            case "chain_getBlock", [at]:
                return {"block": {"header": self._headers[at], "extrinsics": []}}
            case "chain_getFinalizedHead" | "chain_getHead", _:
                return self._hashes[self.last]
            case "state_getRuntimeVersion", _:
                return {"specName": "node-subtensor", "specVersion": SPEC_VERSION, "transactionVersion": 1}
            case "state_getMetadata", _:
                return self.metadata
            case "system_chain", _:
                return "large"
            case "system_properties", _:
                return {"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"}
        raise KeyError(method)
