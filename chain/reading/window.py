"""Reads what every block needs, many blocks ahead: hash, header, runtime, and the state that shows whether it concerns us.

A window costs three round trips however many blocks it spans. What it reads of a block depends on that block alone, so
a recording holds the same answers wherever windows began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from chain import keys
from chain.keys import ROOT
from chain.nodes.source import Call, MissingRead, Source, SourceError, call_one
from chain.state import PAGE_SIZE, BrokenChain, State, load


@dataclass(frozen=True)
class Opened:
    """One block before anybody looked into it. `version` is that of the parent's state, which executed the block."""

    number: int
    hash: str
    header: dict[str, Any]
    spec_version: int
    netuids: list[int]
    state: State

    @cached_property
    def last_steps(self) -> dict[int, int]:
        """The block in which each subnet last had an epoch; the root network has none."""
        return {
            netuid: self.state.amount(keys.by_netuid("LastMechansimStepBlock", netuid))
            for netuid in self.netuids
            if netuid != ROOT
        }

    @property
    def epochs(self) -> list[int]:
        """Subnets whose epoch ran in the block, in the order in which the chain visits them: that of their storage keys."""
        ran = [netuid for netuid, last in self.last_steps.items() if last == self.number]
        return sorted(ran, key=lambda netuid: netuid.to_bytes(2, "little"))


class Window:
    """The blocks read ahead. `wanted` names the storage keys of a block, given its runtime and subnets."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._blocks: dict[int, Opened] = {}
        # block hash → runtime in its state
        self._specs: dict[str, int] = {}
        # Up to here blocks are read one by one, because reading them together failed.
        self._single_until = 0

    def forget(self) -> None:
        """Drop what was read ahead, so that the next block is asked for anew, and its runtime with it."""
        self._blocks.clear()
        self._specs.clear()

    def open(
        self, number: int, parent_hash: str, until: int, wanted: Callable[[int, Sequence[int]], list[str]]
    ) -> Opened:
        """A block, which need not be kept any longer. :raises SourceError: see `peek`."""
        opened = self.peek(number, parent_hash, until, wanted)
        del self._blocks[number]
        return opened

    def peek(
        self, number: int, parent_hash: str, until: int, wanted: Callable[[int, Sequence[int]], list[str]]
    ) -> Opened:
        """A block, read now together with those up to `until` unless it was read ahead.

        :raises SourceError: a read could not be had.
        """
        if number not in self._blocks:
            last = max(number, min(until, number + self._size - 1))
            try:
                self._read(number, parent_hash, number if number <= self._single_until else last, wanted)
            except Exception:
                # A later block's read may be the one at fault; those before it must not wait for it.
                if last == number or number <= self._single_until:
                    raise
                self._single_until = last
                self._read(number, parent_hash, number, wanted)
        opened = self._blocks[number]
        self._complete(opened, wanted)
        return opened

    def _complete(self, opened: Opened, wanted: Callable[[int, Sequence[int]], list[str]]) -> None:
        """Read what appeared since the window was read, pools and keys, also for the blocks that follow."""
        if not opened.state.lacks(wanted(opened.spec_version, opened.netuids)):
            return
        try:
            load(
                self._source,
                *((one.state, wanted(one.spec_version, one.netuids)) for one in self._blocks.values()),
            )
        except SourceError:
            # A later block's read may be the one at fault.
            load(self._source, (opened.state, wanted(opened.spec_version, opened.netuids)))

    def _read(
        self, first: int, parent_hash: str, last: int, wanted: Callable[[int, Sequence[int]], list[str]]
    ) -> None:
        self._blocks.clear()
        numbers = range(first, last + 1)
        hashes = self._source.call_many([("chain_getBlockHash", [number]) for number in numbers])
        for number, block_hash in zip(numbers, hashes, strict=True):
            if not block_hash:
                raise MissingRead(f"{self._source.name} has no block {number}")
        parents = [parent_hash, *hashes[:-1]]
        unknown = [parent for parent in parents if parent not in self._specs]
        answers = self._call_or_name_the_break(
            hashes[0],
            parent_hash,
            [
                *(("chain_getHeader", [block_hash]) for block_hash in hashes),
                *(
                    ("state_getKeysPaged", [keys.NETWORKS_ADDED, PAGE_SIZE, keys.NETWORKS_ADDED, block_hash])
                    for block_hash in hashes
                ),
                *(("state_getRuntimeVersion", [parent]) for parent in unknown),
            ],
        )
        headers, networks, versions = (
            answers[: len(hashes)],
            answers[len(hashes) : 2 * len(hashes)],
            answers[2 * len(hashes) :],
        )
        self._specs.update(
            {parent: int(version["specVersion"]) for parent, version in zip(unknown, versions, strict=True)}
        )
        blocks = {}
        for number, block_hash, parent, header, listed in zip(
            numbers, hashes, parents, headers, networks, strict=True
        ):
            netuids = sorted(keys.netuid_of(key) for key in listed)
            spec = self._specs[parent]
            blocks[number] = Opened(
                number, str(block_hash), header or {}, spec, netuids, State(number, str(block_hash))
            )
        load(
            self._source,
            *((block.state, wanted(block.spec_version, block.netuids)) for block in blocks.values()),
        )
        self._blocks = blocks
        self._specs = {parents[-1]: self._specs[parents[-1]]}

    def _call_or_name_the_break(self, block_hash: str, parent_hash: str, calls: Sequence[Call]) -> list[Any]:
        """Answers to all calls. Where the parent is not there, say so if it is that the chain has another one now.

        :raises BrokenChain, SourceError: see there.
        """
        try:
            answers = self._source.call_many(calls)
            if any(answer is None for answer in answers):
                raise MissingRead(f"{self._source.name} does not answer for block {block_hash} or its parent")
        except MissingRead:
            header = call_one(self._source, "chain_getHeader", block_hash)
            if header and header["parentHash"] != parent_hash:
                raise BrokenChain(
                    f"block {int(header['number'], 16)} ({block_hash}) does not follow {parent_hash}: its header names "
                    f"parent {header['parentHash']}"
                ) from None
            raise
        return answers
