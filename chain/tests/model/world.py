"""The state of the model chain: every storage item that stake depends on, the AMM, and the events of the open block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import isqrt
from typing import Any

from chain.addresses import decode_address, encode_address
from chain.keys import SUBTENSOR
from chain.tests.model.pools import Pools
from chain.tests.model.rules import Rules
from chain.tests.model.storage import Map, Storage, blake_account, identity_u16, twox_u16, unsigned

ROOT = 0
DEFAULT_TAKE = 11_796
DEFAULT_OWNER_CUT = 11_796
CLAIM_THRESHOLD = 500_000
FLAT_FEE = 50_000


class Refused(Exception):
    """A call fails as it would on chain; its events and writes are undone."""


@dataclass(frozen=True)
class TrueYield:
    """What an epoch credited one side of one of our hotkeys with, whole rao; recorded also where it is nothing.

    `net_to_owner`: the claimable net was more than the root stake, so the runtime staked it for the owner instead.
    """

    block: int
    netuid: int
    hotkey: str
    side: str
    asset: str
    take_rao: int
    net_rao: int
    owner: str
    take_u16: int
    net_to_owner: bool = False


@dataclass(frozen=True)
class TrueCredit:
    """Alpha that an epoch staked on one of our hotkeys beside dividends: CUT of a subnet owner or INCENTIVE of a miner."""

    block: int
    netuid: int
    hotkey: str
    coldkey: str
    kind: str
    alpha_rao: int


@dataclass(frozen=True)
class TrueMove:
    """Stake in rao that came to a position, or left it if negative, other than by an epoch's credits and dividends."""

    block: int
    hotkey: str
    netuid: int
    coldkey: str
    rao: int


@dataclass(frozen=True)
class TrueSale:
    """Alpha that the owner of a hotkey sold of his own stake on it, and the TAO he kept for it, or staked on root."""

    block: int
    hotkey: str
    netuid: int
    coldkey: str
    alpha_rao: int
    tao_rao: int


@dataclass(frozen=True)
class Swapped:
    """One swap: what went in without fee, what came out, the fee in the token that went in."""

    paid_in: int
    out: int
    fee: int


@dataclass
class Lease:
    """A leased subnet: contributors get parts (of a million) of each owner cut, the beneficiary the rest."""

    coldkey: str
    hotkey: str
    beneficiary: str
    contributors: list[tuple[str, int]]
    every: int = 1
    accumulated: int = 0


@cache
def address_of(seed: int, name: str) -> str:
    """A made-up account."""
    return encode_address(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=32).digest())


@cache
def _account(address: str) -> str:
    return decode_address(address).hex()


def _claimable(rates: dict[int, int]) -> str:
    entries = b"".join(
        netuid.to_bytes(2, "little") + rate.to_bytes(16, "little", signed=True)
        for netuid, rate in sorted(rates.items())
    )
    return bytes([len(rates) << 2]).hex() + entries.hex()


def _claim_type(kind: tuple[str, frozenset[int]]) -> str:
    name, netuids = kind
    if name != "KeepSubnets":
        return "00" if name == "Swap" else "01"
    return (
        "02"
        + bytes([len(netuids) << 2]).hex()
        + b"".join(netuid.to_bytes(2, "little") for netuid in sorted(netuids)).hex()
    )


class World:
    """State between and during blocks. Nothing here decides what happens."""

    def __init__(self, spec: int) -> None:
        self.storage = storage = Storage()
        self.rules = Rules(spec)
        self.pools = Pools(storage, self.rules)
        self.number = 0
        self.events: list[tuple[int | None, str, str, Any]] = []
        self.phase: int | None = None
        self.tracked: dict[str, frozenset[int] | None] = {}
        self.truth: list[TrueYield] = []
        self.credits: list[TrueCredit] = []
        self.moves: list[TrueMove] = []
        self.sales: list[TrueSale] = []
        self.staking_hotkeys: dict[str, list[str]] = {}
        self.root_coldkeys: list[str] = []
        self.nominator_minimum = 0
        self.leases: dict[int, Lease] = {}
        self.kings: dict[int, tuple[str, str]] = {}
        """Hotkey and coldkey to whom a subnet goes at its next epoch."""
        self.inconsistent: set[int] = set()
        """Subnets on which a hotkey is registered twice: their epochs are skipped."""

        def by_netuid(item: str, size: int = 8, default: Any = 0) -> Map:
            return Map(storage, item, (identity_u16,), unsigned(size), default)

        def by_hotkey_netuid(item: str) -> Map:
            return Map(storage, item, (blake_account, identity_u16), unsigned(8), 0)

        def by_netuid_hotkey(item: str, size: int = 8, default: Any = 0) -> Map:
            return Map(storage, item, (identity_u16, blake_account), unsigned(size), default)

        self.system_number = Map(storage, "Number", (), unsigned(4), 0, "System")
        self.system_events = Map(storage, "Events", (), bytes.hex, b"", "System")
        self.system_event_count = Map(storage, "EventCount", (), unsigned(4), 0, "System")
        self.now = Map(storage, "Now", (), unsigned(8), 0, "Timestamp")
        self.networks = by_netuid("NetworksAdded", 1)
        self.registered_at = by_netuid("NetworkRegisteredAt")
        self.first_emission = by_netuid("FirstEmissionBlockNumber", 8, None)
        self.tempo = by_netuid("Tempo", 2)
        self.last_step = by_netuid("LastMechansimStepBlock")
        self.last_epoch_block = by_netuid("LastEpochBlock")
        self.pending_epoch_at = by_netuid("PendingEpochAt")
        self.alpha_out_emission = by_netuid("SubnetAlphaOutEmission")
        self.subnet_tao = by_netuid("SubnetTAO")
        self.alpha_in = by_netuid("SubnetAlphaIn")
        self.alpha_out = by_netuid("SubnetAlphaOut")
        self.moving_price = Map(storage, "SubnetMovingPrice", (identity_u16,), unsigned(16), 0)
        self.sqrt_price = Map(storage, "AlphaSqrtPrice", (twox_u16,), unsigned(16), 0, "Swap")
        self.fee_rate = Map(storage, "FeeRate", (twox_u16,), unsigned(2), 0, "Swap")
        self.balancer = Map(storage, "SwapBalancer", (twox_u16,), unsigned(8), 5 * 10**17, "Swap")
        self.tao_weight = Map(storage, "TaoWeight", (), unsigned(8), 0)
        self.owner_cut = Map(storage, "SubnetOwnerCut", (), unsigned(2), DEFAULT_OWNER_CUT)
        self.owner_cut_enabled = by_netuid("OwnerCutEnabled", 1, 1)
        self.subnet_owner = Map(storage, "SubnetOwner", (identity_u16,), _account)
        self.subnet_owner_hotkey = Map(storage, "SubnetOwnerHotkey", (identity_u16,), _account)
        self.pending = {
            name: by_netuid(name)
            for name in (
                *("PendingEmission", "PendingRootDivs", "PendingAlphaSwapped", "PendingOwnerCut"),
                *("PendingRootAlphaDivs", "PendingServerEmission", "PendingValidatorEmission"),
            )
        }
        self.owner = Map(storage, "Owner", (blake_account,), _account)
        self.delegates = Map(storage, "Delegates", (blake_account,), unsigned(2), DEFAULT_TAKE)
        self.uids = by_netuid_hotkey("Uids", 2, None)
        self.uid_keys = Map(storage, "Keys", (identity_u16, identity_u16), _account)
        self.autostake_one = Map(storage, "AutoStakeDestination", (blake_account,), _account)
        self.autostake = Map(storage, "AutoStakeDestination", (blake_account, identity_u16), _account)
        self.last_epoch_alpha = by_hotkey_netuid("TotalHotkeyAlphaLastEpoch")
        self.alpha_dividends = by_netuid_hotkey("AlphaDividendsPerSubnet")
        self.tao_dividends = by_netuid_hotkey("TaoDividendsPerSubnet")
        self.root_dividends = by_netuid_hotkey("RootAlphaDividendsPerSubnet")
        self.claimable = Map(storage, "RootClaimable", (blake_account,), _claimable, {})
        self.claimed = Map(
            storage, "RootClaimed", (identity_u16, blake_account, blake_account), unsigned(16), 0
        )
        self.claim_type = Map(storage, "RootClaimType", (blake_account,), _claim_type, ("Swap", frozenset()))

    def set_spec(self, spec: int) -> None:
        """Change the rules."""
        self.rules = self.pools.rules = Rules(spec)

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Undo every change of state within if an exception leaves. Events are the caller's."""
        staking = {coldkey: list(hotkeys) for coldkey, hotkeys in self.staking_hotkeys.items()}
        root_coldkeys, moves, sales = list(self.root_coldkeys), len(self.moves), len(self.sales)
        try:
            with self.storage.transaction():
                yield
        except BaseException:
            self.staking_hotkeys, self.root_coldkeys = staking, root_coldkeys
            del self.moves[moves:], self.sales[sales:]
            raise

    # --- events ---------------------------------------------------------------------------------------

    def deposit(self, name: str, values: Any, pallet: str = SUBTENSOR) -> None:
        """Deposit an event in the phase that runs."""
        self.events.append((self.phase, pallet, name, values))

    # --- ours ---

    def follow_swap(self, old: str, new: str, netuid: int | None) -> None:
        """Our keys after a swap: the new one is ours where the old one was (None: everywhere), or on that subnet."""
        if old not in self.tracked or self.tracked.get(new, frozenset()) is None:
            return
        before = self.tracked[old]
        if (netuid is None and before is None) or (netuid == ROOT and (before is None or ROOT in before)):
            # Root stake earns on every subnet.
            self.tracked[new] = None
            return
        gained = before if netuid is None else frozenset({netuid}) if before is None else before & {netuid}
        assert gained is not None
        self.tracked[new] = (self.tracked.get(new) or frozenset()) | gained

    def is_ours(self, hotkey: str, netuid: int) -> bool:
        """Say whether a key is ours on a subnet."""
        if hotkey not in self.tracked:
            return False
        netuids = self.tracked[hotkey]
        return netuids is None or netuid in netuids

    # --- who ------------------------------------------------------------------------------------------

    def netuids(self) -> list[int]:
        """All subnets but root, in the order in which the runtime iterates them."""
        return [netuid for (netuid,), _ in self.networks.items() if netuid != ROOT]

    def owner_of(self, hotkey: str) -> str | None:
        """Owner coldkey of a hotkey."""
        owner: str | None = self.owner.get(hotkey)
        return owner

    def note_staking_hotkey(self, coldkey: str, hotkey: str) -> None:
        """Remember whom a coldkey stakes on, in order: root claims follow it."""
        hotkeys = self.staking_hotkeys.setdefault(coldkey, [])
        if hotkey not in hotkeys:
            hotkeys.append(hotkey)

    # --- share pools with what follows them -----------------------------------------------------------

    def increase(self, hotkey: str, coldkey: str, netuid: int, amount: int) -> int:
        """Stake alpha (or TAO on root) for a coldkey."""
        if amount and self.rules.input_fee:
            self.note_staking_hotkey(coldkey, hotkey)
        added = self.pools.add(hotkey, coldkey, netuid, amount)
        self.moves.append(TrueMove(self.number, hotkey, netuid, coldkey, added))
        return added

    def credit(self, hotkey: str, coldkey: str, netuid: int, amount: int) -> int:
        """Stake what an epoch pays."""
        added = self.increase(hotkey, coldkey, netuid, amount)
        del self.moves[-1]
        return added

    def decrease(self, hotkey: str, coldkey: str, netuid: int, amount: int) -> int:
        """Take stake of a coldkey away; gives what was really taken."""
        removed = self.pools.remove(hotkey, coldkey, netuid, amount)
        self.moves.append(TrueMove(self.number, hotkey, netuid, coldkey, -removed))
        return removed

    def note_sale(self, hotkey: str, coldkey: str, netuid: int, alpha: int, tao: int) -> None:
        """Note what an owner sold; what others sell is nobody's here."""
        if netuid != ROOT and alpha and self.owner_of(hotkey) == coldkey:
            self.sales.append(TrueSale(self.number, hotkey, netuid, coldkey, alpha, tao))

    @contextmanager
    def moving_shares(self, netuid: int, *hotkeys: str) -> Iterator[None]:
        """Note what every position on some hotkeys gains or loses in worth while raw shares are handed on."""
        before = self._stakes(netuid, hotkeys)
        yield
        after = self._stakes(netuid, hotkeys)
        for hotkey, coldkey in sorted(before.keys() | after.keys()):
            rao = after.get((hotkey, coldkey), 0) - before.get((hotkey, coldkey), 0)
            self.moves.append(TrueMove(self.number, hotkey, netuid, coldkey, rao))

    def _stakes(self, netuid: int, hotkeys: Sequence[str]) -> dict[tuple[str, str], int]:
        return {
            (hotkey, coldkey): self.pools.stake(hotkey, coldkey, netuid)
            for hotkey in hotkeys
            for coldkey in self.pools.holders(hotkey, netuid)
        }

    # --- AMM ------------------------------------------------------------------------------------------

    @property
    def min_stake(self) -> int:
        """Smallest TAO worth staking, in rao."""
        return 2_000_000 if self.rules.spec >= 297 else 500_000

    def fee_of(self, netuid: int, amount: int, drop_fee: bool = False) -> int:
        """Swap fee on an input, in its token; from runtime 283."""
        if drop_fee or netuid == ROOT or not self.rules.input_fee:
            return 0
        default = 33 if self.rules.spec >= 301 else 196
        rate = ((self.fee_rate.get(netuid) or default) << 64) // 65_535
        return ((amount << 64) * rate >> 64) >> 64

    def sell(self, netuid: int, alpha: int, *, drop_fee: bool = False) -> Swapped:
        """Swap alpha for TAO."""
        if netuid == ROOT:
            self._move_root_reserves(-alpha)
            return Swapped(alpha, alpha, 0)
        fee = self.fee_of(netuid, alpha, drop_fee)
        paid_in = alpha - fee
        tao, reserve = self.subnet_tao.get(netuid), self.alpha_in.get(netuid)
        weighed = self._weighed(netuid, reserve)
        out = tao * paid_in // (weighed + paid_in) if paid_in else 0
        self._set_reserves(netuid, tao - out, reserve + paid_in)
        self.alpha_out.put(netuid, max(self.alpha_out.get(netuid) - paid_in, 0))
        return Swapped(paid_in, out, fee)

    def buy(self, netuid: int, tao: int, *, drop_fee: bool = False, fill: int | None = None) -> Swapped:
        """Swap TAO for alpha. `fill`: the price limit is reached after so much of the input, fee included."""
        if netuid == ROOT:
            self._move_root_reserves(tao)
            return Swapped(tao, tao, 0)
        used = tao if fill is None else min(tao, fill)
        fee = self.fee_of(netuid, used, drop_fee)
        paid_in = used - fee
        reserve_tao, reserve = self.subnet_tao.get(netuid), self.alpha_in.get(netuid)
        out = (
            min(self._weighed(netuid, reserve), reserve) * paid_in // (reserve_tao + paid_in)
            if paid_in
            else 0
        )
        self._set_reserves(netuid, reserve_tao + paid_in, reserve - out)
        self.alpha_out.put(netuid, self.alpha_out.get(netuid) + out)
        return Swapped(paid_in, out, fee)

    def _weighed(self, netuid: int, alpha: int) -> int:
        """The alpha reserve that would give today's price at even weights."""
        if not self.rules.balancer:
            return alpha
        quote: int = self.balancer.get(netuid)
        return alpha * quote // (10**18 - quote)

    def _move_root_reserves(self, tao: int) -> None:
        if self.rules.spec < 283 or self.rules.spec >= 334:
            self.subnet_tao.put(ROOT, max(self.subnet_tao.get(ROOT) + tao, 0))
            self.alpha_out.put(ROOT, max(self.alpha_out.get(ROOT) + tao, 0))

    def _set_reserves(self, netuid: int, tao: int, alpha: int) -> None:
        self.subnet_tao.put(netuid, tao)
        self.alpha_in.put(netuid, alpha)
        if self.rules.sqrt_price and alpha:
            self.sqrt_price.put(netuid, isqrt((tao << 128) // alpha))

    def inject(self, netuid: int, tao: int, alpha: int) -> None:
        """Add liquidity, as every block's emission does."""
        self._set_reserves(netuid, self.subnet_tao.get(netuid) + tao, self.alpha_in.get(netuid) + alpha)

    def tao_worth(self, netuid: int, alpha: int) -> int:
        """Alpha at the pool's price without slippage, in rao."""
        if netuid == ROOT:
            return alpha
        worth: int = alpha * self.subnet_tao.get(netuid) // self._weighed(netuid, self.alpha_in.get(netuid))
        return worth
