"""What every play needs: a chain with subnets, validators and running epochs, and short words for the calls.

Amounts of TAO and alpha are given as decimal text ('12.5') and become rao; times are UTC. A play must not read a clock or
draw a random number: the same play gives the same blocks, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from substrateinterface import Keypair
from substrateinterface.exceptions import SubstrateRequestException

from chain.localnet.dump import plain, storage_prefix
from chain.localnet.node import RAO_PER_TAO, LocalNode, account
from chain.localnet.pools import Pool

ROOT = 0
TALISMAN_REMARK = "talisman-bittensor"
DEFAULT_FREE_RAO = 100_000 * RAO_PER_TAO
NO_LIMIT_PRICE = 10**12  # rao of TAO for one alpha: far above every price of a play
BLOCK_MS = (
    12_000  # as on the main network; the slot of this build is shorter, which only makes the slots skip
)
START_CALL_BLOCKS = (
    11  # from a subnet's registration to the last block in which this runtime refuses to start it
)

# What one account does: (name of the signer, call).
Op = tuple[str, Any]


def netuid_key(netuid: int) -> str:
    """Return a netuid as the last part of a storage key."""
    return struct.pack("<H", netuid).hex()


def rao(amount: str) -> int:
    """Return decimal text in TAO or alpha as rao, exactly.

    :raises ValueError: when the text has more than nine decimals.
    """
    value = Decimal(amount) * RAO_PER_TAO
    if value != int(value):
        raise ValueError(f"{amount} is not a whole number of rao")
    return int(value)


@dataclass(frozen=True)
class Subnet:
    """A subnet to be registered: its epochs run every tempo + 1 blocks. Pool sizes are decimal text."""

    netuid: int
    tempo: int
    owner: str
    owner_hotkey: str
    pool_tao: str
    pool_alpha: str


@dataclass(frozen=True)
class Cast:
    """Who is on stage. `hotkeys` maps a validator's or miner's hotkey to its owner's coldkey, in order of registration."""

    subnets: Sequence[Subnet]
    hotkeys: dict[str, str]
    validators: Sequence[str]
    miners: Sequence[str]
    coldkeys: Sequence[str]
    free_rao: dict[str, int] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return every account of the cast, each once."""
        subnets = (name for subnet in self.subnets for name in (subnet.owner, subnet.owner_hotkey))
        return list(dict.fromkeys(["admin", *self.hotkeys, *self.hotkeys.values(), *self.coldkeys, *subnets]))

    def role(self, name: str) -> str:
        """Say in a few words what an account is."""
        if name in self.hotkeys:
            kind = "validator" if name in self.validators else "hotkey"
            return f"{kind} of {self.hotkeys[name]}"
        owned = [hotkey for hotkey, owner in self.hotkeys.items() if owner == name]
        if owned:
            return f"coldkey, owns {', '.join(owned)}"
        for subnet in self.subnets:
            if name == subnet.owner_hotkey:
                return f"hotkey of {subnet.owner}, owner of subnet {subnet.netuid}"
        return "coldkey"


class Stage:
    """Submits what a play asks for, builds block after block and keeps their labels."""

    def __init__(
        self, node: LocalNode, cast: Cast, *, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self.node = node
        self.cast = cast
        self.report = report
        self.labels: dict[str, tuple[str, list[Any]]] = {}
        self.keys: dict[str, Keypair] = {}
        self.names: dict[str, str] = {}
        self.clock_ms = node.t0_ms
        for name in cast.names():
            self.name(name)
        self.labels[node.rpc("chain_getBlockHash", 1)] = ("first block", [])

    def name(self, name: str) -> str:
        """Return the address of a name."""
        if name not in self.keys:
            self.keys[name] = account(name)
            self.names[self.keys[name].ss58_address] = name
        return str(self.keys[name].ss58_address)

    def accounts(self) -> dict[str, dict[str, str]]:
        """Return every account of the play by name."""
        return {
            name: {"ss58": pair.ss58_address, "public": "0x" + pair.public_key.hex()}
            for name, pair in sorted(self.keys.items())
        }

    # ---- blocks

    def block(self, label: str, *ops: Op) -> str:
        """Submit the calls in order, build one block and return its hash."""
        refused = []
        self.clock_ms += BLOCK_MS
        self.node.jump_to(self.clock_ms)
        for who, call in ops:
            try:
                self.node.submit(self.keys[who], call)
            except SubstrateRequestException as error:
                refused.append(
                    {"signer": self.name(who), "call": plain(call.value), "error": plain(error.args[0])}
                )
        block_hash = self.node.build()
        self.labels[block_hash] = (label, refused)
        self.report(f"{len(self.labels):4d} {label}{' REFUSED ' + str(refused) if refused else ''}")
        return block_hash

    def next_number(self) -> int:
        """Return the number that the next block will have."""
        return self.node.number() + 1

    def epoch_due(self, netuid: int, number: int) -> bool:
        """Tell whether the subnet's epoch runs in that block (the runtime's rule before dynamic tempo)."""
        tempo = next(item.tempo for item in self.cast.subnets if item.netuid == netuid)
        return (number + netuid + 2) % (tempo + 1) == 0

    def wait_for_epoch(self, *netuids: int, label: str = "wait for an epoch") -> None:
        """Build blocks until the next one runs the epoch of all these subnets."""
        while not all(self.epoch_due(netuid, self.next_number()) for netuid in netuids):
            self.block(label)

    def blocks(self, count: int, label: str = "quiet") -> None:
        """Build blocks without any extrinsic."""
        for _ in range(count):
            self.block(label)

    def jump(self, when: str) -> None:
        """Let the next block carry this UTC time, e.g. '2025-08-02 06:30:00'."""
        moment = datetime.strptime(when, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        self.clock_ms = int(moment.timestamp()) * 1000 - BLOCK_MS

    # ---- calls

    def sub(self, function: str, **params: Any) -> Any:
        """Compose a call of SubtensorModule."""
        return self.node.call("SubtensorModule", function, **params)

    def add(self, who: str, hotkey: str, netuid: int, tao: str) -> Op:
        """Stake TAO."""
        amount = rao(tao)
        return who, self.sub("add_stake", hotkey=self.name(hotkey), netuid=netuid, amount_staked=amount)

    def remove(self, who: str, hotkey: str, netuid: int, alpha: str | int) -> Op:
        """Unstake alpha (on root: TAO); an int is rao."""
        amount = alpha if isinstance(alpha, int) else rao(alpha)
        return who, self.sub("remove_stake", hotkey=self.name(hotkey), netuid=netuid, amount_unstaked=amount)

    def remove_limit(self, who: str, hotkey: str, netuid: int, alpha: str, *, price_rao: int = 1) -> Op:
        """Unstake alpha, not below a price in rao per alpha, in part if need be."""
        call = self.sub(
            "remove_stake_limit",
            hotkey=self.name(hotkey),
            netuid=netuid,
            amount_unstaked=rao(alpha),
            limit_price=price_rao,
            allow_partial=True,
        )
        return who, call

    def remove_all(self, who: str, hotkey: str, netuid: int) -> Op:
        """Unstake a whole position on one subnet."""
        call = self.sub("remove_stake_full_limit", hotkey=self.name(hotkey), netuid=netuid, limit_price=None)
        return who, call

    def move(self, who: str, origin: str, target: str, netuid: int, alpha: str) -> Op:
        """Move stake to another hotkey on the same subnet."""
        call = self.sub(
            "move_stake",
            origin_hotkey=self.name(origin),
            destination_hotkey=self.name(target),
            origin_netuid=netuid,
            destination_netuid=netuid,
            alpha_amount=rao(alpha),
        )
        return who, call

    def transfer(self, who: str, to: str, hotkey: str, netuid: int, alpha: str) -> Op:
        """Give stake to another coldkey, same hotkey and subnet."""
        call = self.sub(
            "transfer_stake",
            destination_coldkey=self.name(to),
            hotkey=self.name(hotkey),
            origin_netuid=netuid,
            destination_netuid=netuid,
            alpha_amount=rao(alpha),
        )
        return who, call

    def swap(self, who: str, hotkey: str, origin: int, target: int, alpha: str) -> Op:
        """Swap stake from one subnet to another, same hotkey."""
        call = self.sub(
            "swap_stake",
            hotkey=self.name(hotkey),
            origin_netuid=origin,
            destination_netuid=target,
            alpha_amount=rao(alpha),
        )
        return who, call

    def batch(self, *ops: Op, kind: str = "batch_all") -> Op:
        """Put the calls of one account into one extrinsic."""
        (who,) = {signer for signer, _ in ops}
        return who, self.node.call("Utility", kind, calls=[call for _, call in ops])

    def remark(self, who: str, text: str) -> Op:
        """Leave a remark that is noted in an event."""
        return who, self.node.call("System", "remark_with_event", remark=text)

    def add_with_talisman(self, who: str, hotkey: str, netuid: int, tao: str) -> Op:
        """Stake as the Talisman wallet does it: with its remark in the same batch."""
        return self.batch(self.add(who, hotkey, netuid, tao), self.remark(who, TALISMAN_REMARK))

    def add_limit(self, who: str, hotkey: str, netuid: int, tao: str, *, price_rao: int) -> Op:
        """Stake TAO, not above a price in rao per alpha, in part if need be."""
        call = self.sub(
            "add_stake_limit",
            hotkey=self.name(hotkey),
            netuid=netuid,
            amount_staked=rao(tao),
            limit_price=price_rao,
            allow_partial=True,
        )
        return who, call

    def proxied(self, delegate: str, op: Op) -> Op:
        """Let a delegate sign for the account that the call belongs to."""
        real, call = op
        address = self.name(real)
        return delegate, self.node.call("Proxy", "proxy", real=address, force_proxy_type=None, call=call)

    def lower_take(self, who: str, hotkey: str, take: int) -> Op:
        """Lower a hotkey's take, given in 1/65535."""
        return who, self.sub("decrease_take", hotkey=self.name(hotkey), take=take)

    def raise_take(self, who: str, hotkey: str, take: int) -> Op:
        """Raise a hotkey's take, given in 1/65535."""
        return who, self.sub("increase_take", hotkey=self.name(hotkey), take=take)

    def sudo(self, *calls: Any) -> Op:
        """Run calls as root, all or none."""
        call = calls[0] if len(calls) == 1 else self.node.call("Utility", "batch_all", calls=list(calls))
        return "admin", self.node.call("Sudo", "sudo", call=call)

    def admin(self, function: str, **params: Any) -> Any:
        """Compose a call of AdminUtils, for `sudo`."""
        return self.node.call("AdminUtils", function, **params)

    # ---- state

    def u64(self, module: str, item: str, key: str = "") -> int:
        """Read a u64 of the newest block by its raw key."""
        value = self.node.rpc("state_getStorage", storage_prefix(module, item) + key)
        return int.from_bytes(bytes.fromhex(value[2:]), "little") if value else 0

    def price_rao(self, netuid: int) -> int:
        """Return the price of a subnet's alpha in rao of TAO, floored."""
        root = int(self.node.substrate.query("Swap", "AlphaSqrtPrice", [netuid]).value["bits"])
        return root * root * RAO_PER_TAO >> 128

    def stake_rao(self, who: str, hotkey: str, netuid: int) -> int:
        """Return what a coldkey holds with a hotkey on a subnet, in rao of its alpha (on root: TAO)."""

        def read(item: str, *keys: object) -> int:
            value = self.node.substrate.query("SubtensorModule", item, [*keys, netuid]).value
            return int(value["bits"] if isinstance(value, dict) else value)

        pool = Pool(read("TotalHotkeyAlpha", self.name(hotkey)), read("TotalHotkeyShares", self.name(hotkey)))
        pool.shares[who] = read("Alpha", self.name(hotkey), self.name(who))
        return pool.value_of(who)

    def write_u64(self, module: str, item: str, netuid: int, value: int) -> None:
        """Write a u64 of one subnet, visible from the next block on."""
        key = storage_prefix(module, item) + netuid_key(netuid)
        self.node.set_storage([[key, "0x" + struct.pack("<Q", value).hex()]])

    def root_stake_rao(self) -> int:
        """Return the TAO staked on root, over all hotkeys."""
        prefix = storage_prefix("SubtensorModule", "TotalHotkeyAlpha")
        keys = self.node.rpc("state_getKeysPaged", prefix, 1000, prefix)
        values = (self.node.rpc("state_getStorage", key) for key in keys if key.endswith("0000"))
        return sum(int.from_bytes(bytes.fromhex(value[2:]), "little") for value in values)

    def count_root_stake(self) -> None:
        """Write the TAO staked on root into SubnetTAO[0].

        This build adds root dividends to it but neither stake nor unstake (later ones do); left at zero, no root
        dividends would flow at all.
        """
        self.write_u64("SubtensorModule", "SubnetTAO", ROOT, self.root_stake_rao())


def open_chain(stage: Stage) -> None:
    """Bring the chain to where staking starts: accounts funded, subnets started, hotkeys registered, limits off."""
    cast, node = stage.cast, stage.node
    names = ["admin", *dict.fromkeys(cast.hotkeys.values()), *(s.owner for s in cast.subnets), *cast.coldkeys]
    balances = [
        [
            [stage.name(name)],
            {"providers": 1, "data": {"free": str(cast.free_rao.get(name, DEFAULT_FREE_RAO))}},
        ]
        for name in dict.fromkeys(names)
        if cast.free_rao.get(name) != 0
    ]
    node.set_storage({"System": {"Account": balances}, "Sudo": {"Key": stage.name("admin")}})
    stage.block("accounts funded, sudo key taken over")
    stage.block(
        "rate limits off",
        stage.sudo(
            stage.admin("sudo_set_network_rate_limit", rate_limit=0),
            stage.admin("sudo_set_tx_delegate_take_rate_limit", tx_rate_limit=0),
            stage.admin("sudo_set_tx_rate_limit", tx_rate_limit=0),
        ),
    )
    for subnet in cast.subnets:
        _register_subnet(stage, subnet)
    stage.block(
        "hyper-parameters", stage.sudo(*(call for s in cast.subnets for call in _hyperparameters(stage, s)))
    )
    for subnet in cast.subnets:
        register = [
            (owner, stage.sub("burned_register", netuid=subnet.netuid, hotkey=stage.name(hotkey)))
            for hotkey, owner in cast.hotkeys.items()
            if hotkey != subnet.owner_hotkey
        ]
        stage.block(f"hotkeys registered on subnet {subnet.netuid}", *register)
    last_registered = 3 + len(cast.subnets)
    while stage.next_number() < last_registered + START_CALL_BLOCKS:
        stage.block("wait until a subnet may start")
    start = [(subnet.owner, stage.sub("start_call", netuid=subnet.netuid)) for subnet in cast.subnets]
    root_on = stage.admin("sudo_set_subtoken_enabled", netuid=ROOT, subtoken_enabled=True)
    stage.block("subnets started, root stake allowed", *start, stage.sudo(root_on))


def _register_subnet(stage: Stage, subnet: Subnet) -> None:
    call = stage.sub("register_network", hotkey=stage.name(subnet.owner_hotkey))
    stage.block(f"subnet {subnet.netuid} registered", (subnet.owner, call))
    # A new pool holds the cost of registration only; a price of some maturity needs reserves. They have to be there
    # before the first swap, which turns them into liquidity.
    stage.write_u64("SubtensorModule", "SubnetTAO", subnet.netuid, rao(subnet.pool_tao))
    stage.write_u64("SubtensorModule", "SubnetAlphaIn", subnet.netuid, rao(subnet.pool_alpha))


def _hyperparameters(stage: Stage, subnet: Subnet) -> Iterable[Any]:
    netuid = subnet.netuid
    yield stage.admin("sudo_set_tempo", netuid=netuid, tempo=subnet.tempo)
    yield stage.admin("sudo_set_commit_reveal_weights_enabled", netuid=netuid, enabled=False)
    yield stage.admin("sudo_set_weights_set_rate_limit", netuid=netuid, weights_set_rate_limit=0)
    yield stage.admin("sudo_set_min_allowed_weights", netuid=netuid, min_allowed_weights=1)
    yield stage.admin("sudo_set_max_weight_limit", netuid=netuid, max_weight_limit=65535)
    yield stage.admin("sudo_set_max_registrations_per_block", netuid=netuid, max_registrations_per_block=16)
    yield stage.admin(
        "sudo_set_target_registrations_per_interval", netuid=netuid, target_registrations_per_interval=16
    )


def start_epochs(stage: Stage) -> None:
    """Wait for the first epoch of every subnet, which names the validators, and let them set weights on the miners."""
    for subnet in stage.cast.subnets:
        last = stage.next_number() + subnet.tempo
        while stage.next_number() <= last:
            stage.block("wait for the first epochs")
            if stage.epoch_due(subnet.netuid, stage.node.number()):
                break
    for subnet in stage.cast.subnets:
        stage.block(f"weights set on subnet {subnet.netuid}", *set_weights(stage, subnet))


def set_weights(stage: Stage, subnet: Subnet) -> list[Op]:
    """Let every validator weigh the miners, the first of them most."""
    order = [subnet.owner_hotkey, *(name for name in stage.cast.hotkeys if name != subnet.owner_hotkey)]
    uids = [order.index(name) for name in stage.cast.miners]
    weights = [65535 // (place + 1) for place in range(len(uids))]
    return [
        (
            name,
            stage.sub("set_weights", netuid=subnet.netuid, dests=uids, weights=weights, version_key=0),
        )
        for name in stage.cast.validators
    ]
