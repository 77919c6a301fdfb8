"""What the answers of one node about a block, and about the block before, must agree in. Pure.

A node can lie about a single value without touching a hash. Most such lies contradict something else that it said: how
many events there were, which subnets there are and when each last had an epoch, who owns a key, which slot the block
was made in. What cannot be told from one node alone (a pool's reserves, say) needs the agreement of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chain.event_values import named
from chain.facts import Position, StakeEventFact
from chain.holdings import Holdings
from chain.keys import SUBTENSOR
from chain.runtime import Event
from chain.source import SourceError

# The year 2109; more is no time but a wrong answer.
TIMESTAMP_MS_MAX = 1 << 42
# Pre-runtime digest (6) of consensus engine "aura": then a length and the slot, u64.
_AURA_SLOT = "0x066175726120"
# Slots last 12 s on mainnet, a quarter of a second on fast local chains.
_SLOT_STEP_MS = 250
OWNER_EVENTS = ("ColdkeySwapped", "HotkeySwapped", "HotkeySwappedOnSubnet")


@dataclass(frozen=True)
class Seen:
    """What is remembered of a block: when each subnet last had an epoch, as a block number, and who owns each key."""

    last_steps: Mapping[int, int]
    owners: Mapping[str, str]


def check_time(number: int, header: Mapping[str, Any], timestamp_ms: int, before_ms: int) -> None:
    """Prove that a block's time is after its parent's and lies in the slot that its header names.

    The runtime refuses a block whose time is of another slot (`pallet_aura::OnTimestampSet`), and the header is proved
    by its hash. How long a slot is follows from the two.

    :raises SourceError: naming both.
    """
    if not before_ms < timestamp_ms < TIMESTAMP_MS_MAX:
        raise SourceError(
            f"block {number}: {timestamp_ms} ms is no time of a block after one of {before_ms} ms"
        )
    for log in header["digest"]["logs"]:
        if log.startswith(_AURA_SLOT):
            slot = int.from_bytes(bytes.fromhex(log[len(_AURA_SLOT) :]), "little")
            length_ms, into_ms = divmod(timestamp_ms, slot) if slot else (0, 0)
            if not length_ms or length_ms % _SLOT_STEP_MS or into_ms >= length_ms:
                raise SourceError(
                    f"block {number}: {timestamp_ms} ms is not in the slot {slot} of its header"
                )


def check_events(number: int, events: Sequence[Event], count: int) -> None:
    """Prove that as many events were given as the chain counted.

    :raises SourceError: naming both numbers.
    """
    if len(events) != count:
        raise SourceError(
            f"block {number}: {len(events)} events were given, and the chain counted {count}. They are of another block."
        )


def check_subnets(
    number: int, before: Seen | None, last_steps: Mapping[int, int], events: Iterable[Event]
) -> None:
    """Prove that subnets come and go with events, and that no epoch ran of which the blocks before said nothing.

    :raises SourceError: naming the subnet.
    """
    if before is None:
        return
    told = {
        name: {named(event, "netuid")[0] for event in events if event.is_a(SUBTENSOR, name)}
        for name in ("NetworkAdded", "NetworkRemoved")
    }
    came, went = last_steps.keys() - before.last_steps.keys(), before.last_steps.keys() - last_steps.keys()
    for netuids, name, what in ((came, "NetworkAdded", "appeared"), (went, "NetworkRemoved", "vanished")):
        if netuids - told[name]:
            raise SourceError(f"block {number}: subnet {min(netuids - told[name])} {what} without an event")
    renewed = told["NetworkAdded"] | told["NetworkRemoved"]
    for netuid, step in sorted(last_steps.items()):
        if netuid not in renewed and step not in {number, before.last_steps.get(netuid, number)}:
            raise SourceError(
                f"block {number}: subnet {netuid} last had an epoch in block {step}, where the block before said "
                f"{before.last_steps[netuid]}"
            )


def check_owners(
    number: int,
    before: Seen | None,
    owners: Mapping[str, str],
    holdings: Holdings,
    events: Iterable[Event],
) -> None:
    """Prove that a key with stake has an owner, the one it had unless an event swapped it.

    :param owners: of each of our keys after the block, where it has one.
    :param holdings: before the block.
    :raises SourceError: naming the key.
    """
    if any(event.is_a(SUBTENSOR, *OWNER_EVENTS) for event in events):
        return
    known = before.owners if before else {}
    for hotkey in sorted({*known, *(hotkey for (hotkey, _), held in holdings.items() if held)}):
        owner = owners.get(hotkey)
        if owner is None or owner != known.get(hotkey, owner):
            raise SourceError(
                f"block {number}: the owner of {hotkey} is {owner or 'nobody'}"
                + (f", and was {known[hotkey]} before" if hotkey in known else " although it has stake")
                + "; no event says so"
            )


def unmoved(legs: Iterable[StakeEventFact], changed: set[Position], touched: Iterable[Position]) -> list[str]:
    """Doubts about stake events whose position did not change at all.

    :param changed: positions whose share the block changed.
    :param touched: those that something else in the block may have changed back.
    """
    moved: dict[Position, int] = {}
    explained = changed.union(touched)
    for leg in legs:
        at = (leg.hotkey, leg.netuid, leg.coldkey)
        moved[at] = moved.get(at, 0) + (leg.alpha_rao if leg.added else -leg.alpha_rao)
    return [
        f"stake events moved {rao} rao of {coldkey} on {hotkey} netuid {netuid}, and its share did not change"
        for (hotkey, netuid, coldkey), rao in sorted(moved.items())
        if rao and (hotkey, netuid, coldkey) not in explained
    ]
