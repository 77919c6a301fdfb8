"""Blocks of events as the subtensor pallet deposits them on each runtime, with what truly happened written beside.

Written from the chain's own source and not from our reading of it, so that tests can compare the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chain.runtimes.decoding import Event, Extrinsic

SUBTENSOR = "SubtensorModule"
MIN_STAKE_RAO = 2_000_000


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A decoded call, `Pallet.function`."""
    pallet, function = name.split(".")
    return {
        "call_module": pallet,
        "call_function": function,
        "call_args": [{"name": name, "type": "", "value": value} for name, value in arguments.items()],
    }


def extrinsic(name: str, signer: str, **arguments: Any) -> Extrinsic:
    """A decoded extrinsic with one call."""
    return Extrinsic(hash="0x" + "ab" * 32, signer=signer, call=call(name, **arguments))


@dataclass
class Truth:
    """One leg as it truly was: alpha that left or came, kind, cause, and the other end where there is one."""

    added: bool
    end: tuple[str, str, int]
    alpha_rao: int
    tao_rao: int
    kind: str
    cause: str = ""
    other: tuple[str, str, int | None] | None = None


@dataclass
class StakePlay:
    """Deposits the events of calls, one after the other. Each public method is one dispatched call."""

    spec_version: int
    events: list[Event] = field(default_factory=list)
    truth: list[Truth] = field(default_factory=list)
    extrinsic_index: int | None = 0

    def deposit(self, name: str, values: Any) -> Event:
        """Deposit one event, `Pallet.Name`."""
        pallet, event_name = name.split(".")
        event = Event(len(self.events), self.extrinsic_index, pallet, event_name, values)
        self.events.append(event)
        return event

    def own(self, name: str, *values: Any, **fields: Any) -> Event:
        """Deposit an event of the subtensor pallet, with positional or named fields."""
        return self.deposit(f"{SUBTENSOR}.{name}", fields or values)

    def removed(self, end: tuple[str, str, int], alpha: int, tao: int, fee: int) -> None:
        """StakeRemoved: `alpha` truly left, `fee` of it (from 283), and `tao` was paid after a fee in TAO (before)."""
        coldkey, hotkey, netuid = end
        named = alpha - fee if self.spec_version >= 397 else alpha
        fees = () if self.spec_version < 257 else (fee,)
        self.own("StakeRemoved", coldkey, hotkey, tao, named, netuid, *fees)

    def added(self, end: tuple[str, str, int], alpha: int, tao: int, fee: int) -> None:
        """StakeAdded: `alpha` came."""
        coldkey, hotkey, netuid = end
        fees = () if self.spec_version < 257 else (fee,)
        self.own("StakeAdded", coldkey, hotkey, tao, alpha, netuid, *fees)

    def completed(self) -> None:
        """A batch marks the end of each item."""
        self.deposit("Utility.ItemCompleted", None)

    def stake(self, end: tuple[str, str, int], alpha: int, tao: int, fee: int = 7) -> None:
        """add_stake."""
        self.added(end, alpha, tao, fee)
        self.truth.append(Truth(True, end, alpha, tao, "STAKE"))
        self.completed()

    def unstake(self, end: tuple[str, str, int], alpha: int, tao: int, fee: int = 7) -> None:
        """remove_stake."""
        self.removed(end, alpha, tao, fee)
        self.truth.append(Truth(False, end, alpha, tao, "UNSTAKE"))
        self.completed()

    def move(
        self, origin: tuple[str, str, int], destination: tuple[str, str, int], alpha: int, tao: int
    ) -> None:
        """move_stake, swap_stake or transfer_stake, whichever fits the ends."""
        given = origin[0] != destination[0]
        kind, cause = "TRANSFER" if given else "RESTAKE", ""
        if origin[2] == destination[2] and self.spec_version >= 297:
            came = alpha
            self.removed(origin, alpha, tao, 0)
            self.added(destination, came, tao, 0)
            restaked = True
        else:
            fee = 7 if origin[2] else 0
            self.removed(origin, alpha, tao, fee)
            restaked = tao >= MIN_STAKE_RAO
            # On root a share is worth a rao of TAO.
            came = alpha * 2 if destination[2] else tao
            if restaked:
                self.added(destination, came, tao, 0)
        if restaked:
            self.truth.append(Truth(False, origin, alpha, tao, kind, "", destination))
            self.truth.append(Truth(True, destination, came, tao, kind, "", origin))
        else:
            cause = "NOT_RESTAKED"
            if given and self.spec_version >= 411:
                self.truth.append(Truth(False, origin, alpha, tao, kind, cause, destination))
            else:
                self.truth.append(Truth(False, origin, alpha, tao, "UNSTAKE", cause))
        if given:
            self.own("StakeTransferred", origin[0], destination[0], origin[1], origin[2], destination[2], tao)
        elif origin[1] != destination[1]:
            self.own("StakeMoved", origin[0], origin[1], origin[2], destination[1], destination[2], tao)
        else:
            self.own("StakeSwapped", origin[0], origin[1], origin[2], destination[2], tao)
        self.completed()

    def unstake_all_alpha(
        self,
        coldkey: str,
        hotkey: str,
        sold: dict[int, tuple[int, int]],
        *,
        dust: bool = False,
        kept: int = 0,
    ) -> None:
        """unstake_all_alpha: netuid → (alpha, tao). The chain may clear the dust a stranger leaves behind."""
        total = sum(tao for _, tao in sold.values()) - kept
        root = (coldkey, hotkey, 0)
        for netuid, (alpha, tao) in sold.items():
            self.removed((coldkey, hotkey, netuid), alpha, tao, 7)
            self.truth.append(Truth(False, (coldkey, hotkey, netuid), alpha, tao, "RESTAKE", "", root))
            if dust:
                self.removed((coldkey, hotkey, netuid), 9, 5, 1)
                self.truth.append(Truth(False, (coldkey, hotkey, netuid), 9, 5, "UNSTAKE"))
        self.added(root, total, total, 0)
        other = (coldkey, hotkey, next(iter(sold)) if len(sold) == 1 else None)
        self.truth.append(Truth(True, root, total, total, "RESTAKE", "", other))
        self.completed()
