"""A small runtime for tests: dispatches call trees as the chain's wrappers do, and deposits the events they deposit.

Written from the chain's rules (a failed call takes its events with it; batch, force_batch, proxy and multisig go on
where batch_all fails) and from nothing that reads them, so what it deposits is a check on `chain.tagging.call_tree`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chain.runtimes.decoding import Event, Extrinsic
from chain.tagging.tags import text_hash
from chain.tests.factories import key

Call = dict[str, Any]
# Of the newest runtime read.
SPEC_VERSION = 425
OURS, OURS_TOO, STRANGE = key("ours"), key("ours too"), key("strange hotkey")
ERROR = {"Module": {"index": 7, "error": "0x63000000"}}
TAO = 10**9


def call(name: str, **arguments: Any) -> Call:
    """Build a call as the decoder gives it."""
    module, function = name.split(".")
    return {
        "call_module": module,
        "call_function": function,
        "call_args": [{"name": name, "type": "", "value": value} for name, value in arguments.items()],
    }


def add(hotkey: str = OURS, netuid: int = 1) -> Call:
    return call("SubtensorModule.add_stake", hotkey=hotkey, netuid=netuid, amount_staked=TAO)


def remove(hotkey: str = OURS, netuid: int = 1) -> Call:
    return call("SubtensorModule.remove_stake", hotkey=hotkey, netuid=netuid, amount_unstaked=TAO)


def unstake_all_alpha(hotkey: str = OURS) -> Call:
    return call("SubtensorModule.unstake_all_alpha", hotkey=hotkey)


def move(origin: tuple[str, int], destination: tuple[str, int]) -> Call:
    return call("SubtensorModule.move_stake", origin=origin, destination=destination)


def transfer(to: str, netuid: int = 1) -> Call:
    return call("SubtensorModule.transfer_stake", destination_coldkey=to, hotkey=OURS, netuid=netuid)


def orders(*coldkeys: str) -> Call:
    """Fill the limit orders of some coldkeys; a relayer may be anybody."""
    return call("LimitOrders.execute_orders", orders=list(coldkeys))


def failing(inner: Call) -> Call:
    """The same call, which will not succeed."""
    return {**inner, "fails": True}


def remark(text: bytes = b"talisman-bittensor", written: str = "") -> Call:
    """Leave bytes, which the decoder writes as text where they are UTF-8 and as hex where not."""
    if not written:
        try:
            written = text.decode()
        except UnicodeDecodeError:
            written = "0x" + text.hex()
    return {**call("System.remark_with_event", remark=written), "text": text}


def batch(*calls: Call, kind: str = "batch_all") -> Call:
    return call(f"Utility.{kind}", calls=list(calls))


def proxy(real: str, inner: Call) -> Call:
    return call("Proxy.proxy", real=real, force_proxy_type=None, call=inner)


def multisig(account: str, inner: Call, *, last: bool = True) -> Call:
    return {**call("Multisig.as_multi", other_signatories=[], call=inner), "account": account, "last": last}


def sudo_as(who: str, inner: Call) -> Call:
    return call("Sudo.sudo_as", who=who, call=inner)


def evm(account: str, *inner: Call) -> Call:
    """A contract's calls: they run as its mapped account and stand in no call that can be read."""
    return {**call("Ethereum.transact", transaction="0x00"), "account": account, "inner": inner}


class Refused(Exception):
    """The call failed; whatever it deposited is gone."""


@dataclass
class Deposited:
    """An event with what the runtime knows of its origin."""

    pallet: str
    name: str
    values: Any
    account: str
    delegate: str


@dataclass
class Block:
    """The events and extrinsics of one block; each `send` adds an extrinsic."""

    events: list[Event] = field(default_factory=list)
    extrinsics: dict[int, Extrinsic] = field(default_factory=dict)
    origins: dict[int, tuple[str, str]] = field(default_factory=dict)

    def send(self, signer: str, top: Call) -> int:
        """Dispatch an extrinsic; returns its index."""
        index = len(self.extrinsics)
        self.extrinsics[index] = Extrinsic(f"0x{index:064x}", signer, top)
        self._put(index, Deposited("Balances", "Withdraw", {"who": signer, "amount": 1}, signer, ""))
        try:
            for deposited in dispatch(top, signer, ""):
                self._put(index, deposited)
            outcome = "ExtrinsicSuccess"
        except Refused:
            outcome = "ExtrinsicFailed"
        self._put(index, Deposited("TransactionPayment", "TransactionFeePaid", {"who": signer}, signer, ""))
        self._put(index, Deposited("System", outcome, {}, signer, ""))
        return index

    def _put(self, extrinsic_index: int | None, of: Deposited) -> None:
        event = Event(len(self.events), extrinsic_index, of.pallet, of.name, of.values)
        self.origins[event.index] = (of.account, of.delegate)
        self.events.append(event)


def dispatch(what: Call, account: str, delegate: str) -> list[Deposited]:
    """Run a call as an account. :raises Refused: it failed."""
    if what.get("fails"):
        raise Refused
    given = {item["name"]: item["value"] for item in what["call_args"]}

    def event(pallet: str, name: str, values: Any = None) -> Deposited:
        return Deposited(pallet, name, values, account, delegate)

    def stake(name: str, coldkey: str, hotkey: str, netuid: int) -> Deposited:
        # With a fee, or a stake and an unstake would look like the two halves of a transfer.
        return event("SubtensorModule", name, (coldkey, hotkey, TAO, TAO, netuid, 1_000))

    match what["call_module"], what["call_function"]:
        case "Utility", kind:
            return _batch(kind, given["calls"], account, delegate, event)
        case "Proxy", _:
            return _reporting(
                given["call"], given["real"], account, event("Proxy", "ProxyExecuted"), "result"
            )
        case "Sudo", _:
            return _reporting(given["call"], given["who"], "", event("Sudo", "SudoAsDone"), "sudo_result")
        case "Multisig", _:
            named = {"approving": account, "multisig": what["account"]}
            if not what["last"]:
                return [event("Multisig", "MultisigApproval", named)]
            executed = event("Multisig", "MultisigExecuted", named)
            return _reporting(given["call"], what["account"], "", executed, "result")
        case "Ethereum", _:
            inner = [done for one in what["inner"] for done in dispatch(one, what["account"], "")]
            return [*inner, event("Ethereum", "Executed", {})]
        case "System", "remark_with_event":
            return [event("System", "Remarked", {"sender": account, "hash": text_hash(what["text"])})]
        case "SubtensorModule", "add_stake":
            return [stake("StakeAdded", account, given["hotkey"], given["netuid"])]
        case "SubtensorModule", "remove_stake":
            return [stake("StakeRemoved", account, given["hotkey"], given["netuid"])]
        case "SubtensorModule", "unstake_all_alpha":
            taken = [stake("StakeRemoved", account, given["hotkey"], netuid) for netuid in (1, 2)]
            return [*taken, stake("StakeAdded", account, given["hotkey"], 0)]
        case "SubtensorModule", "move_stake":
            ends = (*given["origin"], *given["destination"])
            return [
                stake("StakeRemoved", account, *given["origin"]),
                stake("StakeAdded", account, *given["destination"]),
                event("SubtensorModule", "StakeMoved", (account, *ends, TAO)),
            ]
        case "SubtensorModule", "transfer_stake":
            to, hotkey, netuid = given.values()
            return [
                stake("StakeRemoved", account, hotkey, netuid),
                stake("StakeAdded", to, hotkey, netuid),
                event("SubtensorModule", "StakeTransferred", (account, to, hotkey, netuid, netuid, TAO)),
            ]
        case "LimitOrders", _:
            return [stake("StakeAdded", coldkey, OURS, 1) for coldkey in given["orders"]]
        case _:
            return []


def _batch(kind: str, calls: Sequence[Call], account: str, delegate: str, event: Any) -> list[Deposited]:
    done: list[Deposited] = []
    failed = False
    for index, one in enumerate(calls):
        try:
            done += dispatch(one, account, delegate)
        except Refused:
            if kind == "batch_all":
                raise
            if kind == "batch":
                return [*done, event("Utility", "BatchInterrupted", {"index": index, "error": ERROR})]
            failed = True
            done.append(event("Utility", "ItemFailed", {"error": ERROR}))
        else:
            done.append(event("Utility", "ItemCompleted"))
    return [*done, event("Utility", "BatchCompletedWithErrors" if failed else "BatchCompleted")]


def _reporting(inner: Call, account: str, delegate: str, marker: Deposited, name: str) -> list[Deposited]:
    values = marker.values or {}
    try:
        done = dispatch(inner, account, delegate)
        return [*done, Deposited(marker.pallet, marker.name, {**values, name: {"Ok": ()}}, account, delegate)]
    except Refused:
        return [Deposited(marker.pallet, marker.name, {**values, name: {"Err": ERROR}}, account, delegate)]
