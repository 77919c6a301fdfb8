"""A play that goes on: after its last recorded block come quiet ones, as many as wanted."""

from __future__ import annotations

from typing import Any

from chain import keys
from chain.tests.replay_node import Play

SECONDS_PER_BLOCK = 12


def block_hash(number: int) -> str:
    """The hash of a block that was never recorded."""
    return f"0x{number:064x}"


def _compact(number: int) -> bytes:
    """SCALE compact encoding of a number below 2**14."""
    return bytes([number << 2]) if number < 1 << 6 else (number << 2 | 1).to_bytes(2, "little")


class LongPlay(Play):
    """A play of `last` blocks: the recorded ones, then copies of a quiet one of them on the last state.

    :param events: how many events each copy has, to make reading one as much work as a busy block is.
    """

    def __init__(self, name: str, last: int, *, events: int = 1) -> None:
        super().__init__(name)
        self.recorded = self.last
        self.last = last
        state, _ = self._states[self.blocks[self.recorded]["hash"]]
        quiet = self._states[self.blocks[self._quiet_block()]["hash"]][0]
        one = bytes.fromhex(quiet[keys.SYSTEM_EVENTS][2:])
        assert one[0] == 1 << 2, "the quiet block has one event"
        self._event_count = events
        self._events = "0x" + (_compact(events) + one[1:] * events).hex()
        self._timestamp = int.from_bytes(bytes.fromhex(state[keys.TIMESTAMP_NOW][2:]), "little")

    def _quiet_block(self) -> int:
        """The last recorded block in which nothing happened but the setting of the time."""
        return max(
            number
            for number, block in self.blocks.items()
            if len(block["events"]) == 1 and block["events"][0]["module"] == "System"
        )

    def _number(self, hash_or_recorded: str) -> int | None:
        """The number of a block that was never recorded."""
        if hash_or_recorded in self.by_hash or not hash_or_recorded.startswith("0x"):
            return None
        return int(hash_or_recorded, 16)

    def _value(self, number: int, key: str, recorded: str | None) -> str | None:
        if key == keys.SYSTEM_NUMBER:
            return "0x" + number.to_bytes(4, "little").hex()
        if key == keys.SYSTEM_EVENT_COUNT:
            return "0x" + self._event_count.to_bytes(4, "little").hex()
        if key == keys.TIMESTAMP_NOW:
            at = self._timestamp + (number - self.recorded) * SECONDS_PER_BLOCK * 1000
            return "0x" + at.to_bytes(8, "little").hex()
        return self._events if key == keys.SYSTEM_EVENTS else recorded

    def answer(self, method: str, params: list[Any]) -> Any:
        """Answer one read."""
        last_hash = self.blocks[self.recorded]["hash"]
        match method, params:
            case "chain_getBlockHash", [number] if self.recorded < number <= self.last:
                return block_hash(number)
            case "chain_getFinalizedHead" | "chain_getHead", _:
                return block_hash(self.last) if self.last > self.recorded else last_hash
            case "chain_getHeader", [asked] if (number := self._number(asked)) is not None:
                parent = last_hash if number == self.recorded + 1 else block_hash(number - 1)
                made_up: dict[str, Any] = {
                    "number": hex(number),
                    "parentHash": parent,
                    "digest": {"logs": []},
                }
                return {**self.by_hash[last_hash]["header"], **made_up}
            case "chain_getBlock", [asked] if self._number(asked) is not None:
                return {"block": {"header": self.answer("chain_getHeader", [asked]), "extrinsics": []}}
            case "state_queryStorageAt", [wanted, asked] if (number := self._number(asked)) is not None:
                state = self._states[last_hash][0]
                changes = [[key, self._value(number, key, state.get(key))] for key in wanted]
                return [{"block": asked, "changes": changes}]
            case "state_getKeysPaged", [prefix, count, after, asked] if self._number(asked) is not None:
                return super().answer(method, [prefix, count, after, last_hash])
        return super().answer(method, params)
