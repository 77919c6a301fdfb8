"""What the answers of one node about a block, and about the block before, must agree in. Pure.

A node can lie about a single value without touching a hash. Most such lies contradict something else that it said: how
many events there were, which subnets there are and when each last had an epoch, who owns a key, which slot the block
was made in. What cannot be told from one node alone (a pool's reserves, say) needs the agreement of two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chain.facts import BlockFacts
from chain.keys import SUBTENSOR
from chain.nodes.source import SourceError
from chain.pools.holdings import Holdings
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named

# The year 2109; more is no time but a wrong answer.
TIMESTAMP_MS_MAX = 1 << 42
# Pre-runtime digest (6) of consensus engine "aura": then a length and the slot, u64.
_AURA_SLOT = "0x066175726120"
# Slots last 12 s on mainnet, a quarter of a second on fast local chains.
_SLOT_STEP_MS = 250
# Nine decimals; what the largest column holds.
RAO_MAX = (1 << 63) - 1
_NUMBERS_MAX = {"sqrt_price": (1 << 128) - 1, "quote_weight": (1 << 63) - 1}
OWNER_EVENTS = ("ColdkeySwapped", "HotkeySwapped", "HotkeySwappedOnSubnet")
# A lease begins with a key that takes nothing.
TAKE_EVENTS = ("DelegateAdded", "SubnetLeaseCreated", "TakeDecreased", "TakeIncreased", *OWNER_EVENTS)


@dataclass(frozen=True)
class Standing:
    """What every block says: when each subnet last had an epoch, as a block number; of each of our keys, owner and take."""

    last_steps: Mapping[int, int]
    owners: Mapping[str, str]
    takes_u16: Mapping[str, int]


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


def check_amounts(facts: BlockFacts) -> None:
    """Prove that every amount can be one: there are 21 million TAO, and of no alpha more than a few times as many.

    :raises SourceError: naming the value.
    """
    for kind in (facts.yields, facts.stake_events, facts.conversions, facts.prices):
        for fact in kind:
            for name, value in vars(fact).items():
                most = RAO_MAX if name.endswith("_rao") else _NUMBERS_MAX.get(name)
                if most is not None and value is not None and not 0 <= value <= most:
                    raise SourceError(f"block {facts.number}: {value:.6g} is no {name.replace('_', ' ')}")


def check_next(
    number: int, here: Standing, following: Standing, events: Callable[[], Iterable[Event]]
) -> None:
    """Prove that a block hides no epoch and names no false owner or take, by what the next one says.

    Subnets, owners and takes only change with an event, and the next block knows in which one each subnet last had an
    epoch.

    :param number: of the former.
    :param events: reads those of the latter, which only matter where something changed.
    :raises SourceError: naming the subnet or the key.
    """
    steps, others = here.last_steps, following.last_steps
    odd = {
        netuid
        for netuid in steps.keys() | others.keys()
        if steps.get(netuid) != others.get(netuid) and others.get(netuid) != number + 1
    }
    odd |= (others.keys() - steps.keys()) | {netuid for netuid, step in steps.items() if step > number}
    disowned = {
        hotkey for hotkey, owner in here.owners.items() if following.owners.get(hotkey, owner) != owner
    }
    retaken = {hotkey for hotkey, take in here.takes_u16.items() if following.takes_u16[hotkey] != take}
    if not (odd or disowned or retaken):
        return
    told = list(events())
    renewed = {
        named(event, "netuid")[0] for event in told if event.is_a(SUBTENSOR, "NetworkAdded", "NetworkRemoved")
    }
    for netuid in sorted(odd - renewed):
        raise SourceError(
            f"block {number}: subnet {netuid} {_last_step(steps, netuid)}; of block {number + 1} the same node says it "
            f"{_last_step(others, netuid)}. One of them hides something."
        )
    for hotkeys, kind, values, others_values, causes in (
        (disowned, "owner", here.owners, following.owners, OWNER_EVENTS),
        (retaken, "take", here.takes_u16, following.takes_u16, TAKE_EVENTS),
    ):
        if hotkeys and not any(event.is_a(SUBTENSOR, *causes) for event in told):
            hotkey = min(hotkeys)
            raise SourceError(
                f"block {number}: the {kind} of {hotkey} is {values[hotkey]}, in the next block it is "
                f"{others_values[hotkey]}, and no event says so"
            )


def _last_step(steps: Mapping[int, int], netuid: int) -> str:
    return f"last had an epoch in block {steps[netuid]}" if netuid in steps else "does not exist"


def check_owners(
    number: int,
    owners: Mapping[str, str],
    holdings: Holdings,
    events: Iterable[Event],
    abandoned: Collection[str],
) -> None:
    """Prove that a key with stake has an owner.

    :param owners: of each of our keys after the block, where it has one.
    :param holdings: before the block.
    :param abandoned: keys that a swap is known to have left without one.
    :raises SourceError: naming the key.
    """
    if any(event.is_a(SUBTENSOR, *OWNER_EVENTS) for event in events):
        return
    for hotkey in sorted({hotkey for (hotkey, _), held in holdings.items() if held}):
        if hotkey not in owners and hotkey not in abandoned:
            raise SourceError(
                f"block {number}: {hotkey} has stake and no owner. If a swap of its key left it so in a block that was not "
                "read, begin where that block is, or name the key that took its place"
            )
