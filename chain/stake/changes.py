"""What changes stake without a stake event, runtime 233 and later: which positions to read again, and why they changed.

Owns the list of such causes (docs/chain.md) and refuses to leave one out: what nothing explains is named UNEXPLAINED,
never dropped. Amounts are what the reader found in the shares, except where an event names them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chain.facts import Position, StakeEventFact
from chain.keys import ROOT, SUBTENSOR
from chain.runtimes.decoding import Event, Extrinsic, calls_within
from chain.runtimes.event_values import named
from chain.stake.causes import Cause
from chain.stake.dissolution import payouts
from chain.stake.events import (
    ends_of_move,
    stake_events,
)
from chain.stake.hotkeys import VALUES_MOVED_FROM
from chain.stake.limit_orders import Execution, executions, hotkeys_of_batched

# Fees could be paid in alpha without any event.
SILENT_ALPHA_FEES = range(301, 350)
# A tenth of an alpha. What the chain deletes as dust would sell for nothing, or its fee would.
DUST_RAO_MAX = 10**8
# Registering a subnet gave its owner the first alpha as stake.
STAKE_AT_REGISTRATION = range(397, 402)
# Storage indices of mechanisms are netuid + mechanism * this.
NETUIDS_PER_MECHANISM = 4096


# Calls whose fee may be taken from the stake they name: the arguments that name hotkey and netuid.
_FEE_IN_ALPHA = {
    **dict.fromkeys(
        ("remove_stake", "remove_stake_limit", "remove_stake_full_limit", "recycle_alpha", "burn_alpha"),
        ("hotkey", "netuid"),
    ),
    **dict.fromkeys(("swap_stake", "swap_stake_limit", "transfer_stake"), ("hotkey", "origin_netuid")),
    "move_stake": ("origin_hotkey", "origin_netuid"),
}
_FEE_IN_ALPHA_ANYWHERE = {"unstake_all", "unstake_all_alpha"}
# Calls of the chain's root that change stake of whomever they find.
_SWEEPING_CALLS = {("AdminUtils", "sudo_set_nominator_min_required_stake"), ("Swap", "disable_lp")}
LIQUIDITY_EVENTS = ("LiquidityAdded", "LiquidityRemoved", "LiquidityModified")
_TELLING = (
    "AutoStakeAdded",
    "ColdkeySwapped",
    "HotkeySwapped",
    "HotkeySwappedOnSubnet",
    "NetworkAdded",
    "NetworkRemoved",
    "RootClaimed",
    "TransactionFeePaidWithAlpha",
)


@dataclass(frozen=True)
class Touched:
    """What a block may have changed, to be read again after it. Of all hotkeys: the reader keeps those it follows."""

    positions: frozenset[Position]
    """Named by events: (hotkey, netuid, coldkey)."""
    coldkeys: frozenset[str]
    """Any pool may have changed for these, also one they held nothing in."""
    hotkeys: frozenset[str]
    """List these keys' holders anew."""
    netuids: frozenset[int]
    """List these subnets' holders anew."""
    everything: bool
    """List all anew."""
    everything_next: bool = False
    """The runtime changed: the next block runs migrations, after which all must be listed anew."""
    owner_netuids: frozenset[int] = frozenset()
    """Miners of these subnets were paid, without a name: the owner of each hotkey, on it, may have been."""


@dataclass
class _Touching:
    positions: set[Position] = field(default_factory=set)
    coldkeys: set[str] = field(default_factory=set)
    hotkeys: set[str] = field(default_factory=set)
    netuids: set[int] = field(default_factory=set)
    owner_netuids: set[int] = field(default_factory=set)
    everything: bool = False
    everything_next: bool = False


def touched(
    events: Sequence[Event],
    extrinsics: Mapping[int, Extrinsic],
    spec_version: int,
    legs: Sequence[StakeEventFact] | None = None,
) -> Touched:
    """Say which positions a block may have changed, dividends aside, which leave shares alone.

    Complete with any selection of decoded extrinsics; those in `telling_extrinsics` make it exact.

    :param legs: what `stake_events` reads of the block, where that is known already.
    :raises UnsupportedEvent: an event has not the fields its runtime should give it.
    """
    marks = _Touching()
    for leg in stake_events(events, spec_version) if legs is None else legs:
        marks.positions.add((leg.hotkey, leg.netuid, leg.coldkey))
    for event in events:
        _mark(marks, event, spec_version)
    _mark_orders(marks, events, extrinsics)
    for index, payer, _ in silent_fees(events, spec_version):
        paid = _fee_pools(extrinsics[index]) if index in extrinsics else None
        marks.positions |= {(hotkey, netuid, payer) for hotkey, netuid in paid or ()}
        if paid is None or paid:
            # Also where the call's own stake events tell of the position: they do not tell of the fee.
            marks.coldkeys.add(payer)
    for extrinsic in extrinsics.values():
        calls = {(call["call_module"], call["call_function"]) for call in calls_within(extrinsic.call)}
        marks.everything |= bool(calls & _SWEEPING_CALLS)
    return Touched(
        positions=frozenset(marks.positions),
        coldkeys=frozenset(marks.coldkeys),
        hotkeys=frozenset(marks.hotkeys),
        netuids=frozenset(marks.netuids),
        everything=marks.everything,
        everything_next=marks.everything_next,
        owner_netuids=frozenset(marks.owner_netuids),
    )


def telling_extrinsics(events: Sequence[Event], spec_version: int) -> frozenset[int]:
    """Indices of the extrinsics whose call says what their events leave open: batches, silent fees, root's own calls."""
    batched = {order.extrinsic_index for order in executions(events) if order.batch is not None}
    silent = {index for index, _, _ in silent_fees(events, spec_version)}
    root = {event.extrinsic_index for event in events if event.is_a("Sudo", "Sudid")}
    return frozenset(index for index in batched | silent | root if index is not None)


def beside_stake_events(
    events: Sequence[Event], extrinsics: Mapping[int, Extrinsic]
) -> tuple[set[Position], set[str]]:
    """Positions, and coldkeys at all of theirs, that something moves by amounts that no stake event of theirs includes.

    Liquidity positions; swapped coldkeys, and signers of batched orders whose hotkey no call tells.
    """
    positions, coldkeys = set(), set()
    for event in events:
        if event.is_a("Swap", *LIQUIDITY_EVENTS):
            coldkey, hotkey, netuid = named(event, "coldkey", "hotkey", "netuid")
            positions.add((hotkey, netuid, coldkey))
        elif event.is_a(SUBTENSOR, "ColdkeySwapped"):
            coldkeys |= set(named(event, "old_coldkey", "new_coldkey"))
    told = hotkeys_of_batched(events, extrinsics)
    coldkeys |= {
        order.signer
        for order in executions(events)
        if order.batch is not None and order.event_index not in told
    }
    return positions, coldkeys


def _mark(marks: _Touching, event: Event, spec_version: int) -> None:
    """Add what one event says beside stake events."""
    if event.pallet != SUBTENSOR:
        if event.is_a("System", "CodeUpdated"):
            marks.everything_next = True
        elif event.is_a("Swap", *LIQUIDITY_EVENTS):
            coldkey, hotkey, netuid = named(event, "coldkey", "hotkey", "netuid")
            marks.positions.add((hotkey, netuid, coldkey))
    elif event.name in {"StakeMoved", "StakeSwapped", "StakeTransferred"}:
        marks.positions |= {(hotkey, netuid, coldkey) for coldkey, hotkey, netuid in ends_of_move(event)}
    elif event.name == "RootClaimed":
        marks.coldkeys |= set(named(event, "coldkey"))
    elif event.name == "AutoStakeAdded":
        netuid, destination, owner = _autostake(event)
        marks.positions.add((destination, netuid, owner))
    elif event.name == "IncentiveAlphaEmittedToMiners":
        marks.owner_netuids.add(named(event, "netuid", "emissions")[0] % NETUIDS_PER_MECHANISM)
    elif event.name == "TransactionFeePaidWithAlpha":
        # A sale of the fee that failed half way took the alpha and left no stake event.
        marks.coldkeys |= set(named(event, "who"))
    elif event.name in {"HotkeySwapped", "HotkeySwappedOnSubnet"}:
        marks.hotkeys |= set(_swapped_hotkeys(event)[:2])
    elif event.name == "ColdkeySwapped":
        marks.coldkeys |= set(named(event, "old_coldkey", "new_coldkey"))
    elif event.name == "AllBalanceUnstakedAndTransferredToNewColdkey":
        marks.coldkeys |= set(named(event, "current_coldkey", "new_coldkey"))
    elif event.name == "NetworkRemoved" or (
        event.name == "NetworkAdded" and spec_version in STAKE_AT_REGISTRATION
    ):
        marks.netuids |= set(named(event, "netuid"))


def _mark_orders(marks: _Touching, events: Sequence[Event], extrinsics: Mapping[int, Extrinsic]) -> None:
    hotkeys = hotkeys_of_batched(events, extrinsics)
    for order in executions(events):
        if order.event_index in hotkeys:
            marks.positions.add((hotkeys[order.event_index], order.netuid, order.signer))
        elif order.batch is not None:
            marks.coldkeys.add(order.signer)


def _autostake(event: Event) -> tuple[int, str, str]:
    netuid, destination, _, owner = named(event, "netuid", "destination", "hotkey", "owner")
    return netuid, destination, owner


def _swapped_hotkeys(event: Event) -> tuple[str, str, int | None]:
    """Old and new hotkey, and the one subnet if it was swapped on one only."""
    if event.name == "HotkeySwapped":
        _, old, new = named(event, "coldkey", "old_hotkey", "new_hotkey")
        return old, new, None
    _, old, new, netuid = named(event, "coldkey", "old_hotkey", "new_hotkey", "netuid")
    return old, new, netuid


def silent_fees(events: Sequence[Event], spec_version: int) -> Iterator[tuple[int, str, int]]:
    """(extrinsic, payer, event index) of fees that were charged though no TAO was withdrawn from the payer for them."""
    if spec_version not in SILENT_ALPHA_FEES:
        return
    withdrawn = {
        (event.extrinsic_index, named(event, "who")[0])
        for event in events
        if event.is_a("Balances", "Withdraw")
    }
    for event in events:
        if event.is_a("TransactionPayment", "TransactionFeePaid") and event.extrinsic_index is not None:
            who, fee = named(event, "who", "actual_fee")
            if fee and (event.extrinsic_index, who) not in withdrawn:
                yield event.extrinsic_index, who, event.index


def _fee_pools(extrinsic: Extrinsic) -> list[tuple[str, int]] | None:
    """Pools whose stake may pay the fee of an extrinsic; None for any pool of its signer. Only its outermost call counts."""
    call = extrinsic.call
    if call["call_module"] != SUBTENSOR:
        return None
    if call["call_function"] in _FEE_IN_ALPHA_ANYWHERE:
        return None
    names = _FEE_IN_ALPHA.get(call["call_function"])
    if names is None:
        # A fee that nobody paid in TAO was paid somehow.
        return None
    arguments = {argument["name"]: argument["value"] for argument in call["call_args"]}
    return [(arguments[names[0]], arguments[names[1]])]


# --- naming -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShareChange:
    """A position whose shares changed though no stake event, take, cut or incentive explains it (or not all of it).

    Values in rao at the pool's state before and after the block; where stake events explain part, before is less that.
    """

    hotkey: str
    netuid: int
    coldkey: str
    before_alpha_rao: int
    after_alpha_rao: int

    @property
    def added(self) -> bool:
        """Say whether stake came; otherwise it left."""
        return self.after_alpha_rao > self.before_alpha_rao

    @property
    def gained_rao(self) -> int:
        """What came, or left if negative."""
        return self.after_alpha_rao - self.before_alpha_rao

    @property
    def position(self) -> Position:
        """Where."""
        return self.hotkey, self.netuid, self.coldkey


@dataclass(frozen=True)
class _Why:
    cause: Cause
    event: Event | None = None
    kind: str = ""
    other: tuple[str, str, int] | None = None
    tao_rao: int | None = None


def silent_changes(
    events: Sequence[Event],
    extrinsics: Mapping[int, Extrinsic],
    changes: Sequence[ShareChange],
    spec_version: int,
    *,
    migrated: bool = False,
    ours: Collection[str] = (),
    claimed: Collection[Position] = (),
) -> list[StakeEventFact]:
    """Name why each position changed, in the order given. A change that no event names stands after the last event.

    Orders whose hotkey the call tells are not among them: `chain.stake.limit_orders.order_legs` has those, exact.

    :param migrated: the runtime changed in the block before, so that this one ran migrations.
    :param ours: our hotkeys, of whose swaps all is known that left.
    :param claimed: positions of which is known what claims of root dividends brought: they explain nothing else.
    """
    block = _Block.of(
        events, extrinsics, changes, spec_version, migrated=migrated, ours=ours, claimed=claimed
    )
    after_all = max((event.index for event in events), default=-1) + 1
    legs = []
    for change in changes:
        if change.after_alpha_rao == change.before_alpha_rao:
            continue
        why = _why(block, change)
        leg = StakeEventFact(
            event_index=why.event.index if why.event else after_all,
            extrinsic_index=why.event.extrinsic_index if why.event else None,
            kind=why.kind or ("STAKE" if change.added else "UNSTAKE"),
            added=change.added,
            coldkey=change.coldkey,
            hotkey=change.hotkey,
            netuid=change.netuid,
            tao_rao=why.tao_rao,
            alpha_rao=abs(change.after_alpha_rao - change.before_alpha_rao),
            fee_rao=None,
            fee_asset="TAO" if change.added or change.netuid == ROOT else "ALPHA",
            cause=why.cause,
            derived=True,
        )
        if why.other:
            coldkey, hotkey, netuid = why.other
            leg = replace(leg, other_coldkey=coldkey, other_hotkey=hotkey, other_netuid=netuid)
        legs.append(leg)
    return legs


@dataclass(frozen=True)
class _Block:
    """What of a block can explain a silent change, found once."""

    events: Mapping[int, Event]
    telling: Sequence[Event]
    orders: Sequence[Execution]
    order_hotkeys: Mapping[int, str]
    silent_fees: Sequence[tuple[str, int, list[tuple[str, int]] | None]]
    removals: frozenset[Position]
    additions: frozenset[Position]
    payouts: Mapping[Position, int]
    spec_version: int
    migrated: bool
    ours: Collection[str]
    claimed: Collection[Position]

    @classmethod
    def of(
        cls,
        events: Sequence[Event],
        extrinsics: Mapping[int, Extrinsic],
        changes: Sequence[ShareChange],
        spec_version: int,
        *,
        migrated: bool,
        ours: Collection[str],
        claimed: Collection[Position],
    ) -> _Block:
        legs = stake_events(events, spec_version)
        return cls(
            events={event.index: event for event in events},
            telling=[event for event in events if event.is_a(SUBTENSOR, *_TELLING) or event.pallet == "Swap"],
            orders=[order for order in executions(events) if order.batch is not None],
            order_hotkeys=hotkeys_of_batched(events, extrinsics),
            silent_fees=[
                (payer, event_index, _fee_pools(extrinsics[index]) if index in extrinsics else None)
                for index, payer, event_index in silent_fees(events, spec_version)
            ],
            removals=frozenset((leg.hotkey, leg.netuid, leg.coldkey) for leg in legs if not leg.added),
            additions=frozenset((leg.hotkey, leg.netuid, leg.coldkey) for leg in legs if leg.added),
            payouts=payouts(
                events,
                {c.position: -c.gained_rao for c in changes if not c.added},
                spec_version,
            ),
            spec_version=spec_version,
            migrated=migrated,
            ours=ours,
            claimed=claimed,
        )


def _why(block: _Block, change: ShareChange) -> _Why:
    """The first cause that fits: ends and swaps of whole keys first, then what names the position, then its coldkey."""
    for event in block.telling:
        if why := _ended_or_swapped(block, event, change):
            return why
    for event in block.telling:
        if event.name == "RootClaimed" and change.position in block.claimed:
            continue
        if why := _changed_by(event, change, block.spec_version):
            return why
    for event in block.telling:
        # Last, since the epoch's own account tells of most incentives; what came beside them has another cause.
        if event.name == "AutoStakeAdded" and change.added and _autostake(event) == _place(change):
            return _Why(Cause.INCENTIVE, event)
    for order in block.orders:
        place = (order.signer, order.netuid, order.bought)
        hotkey = block.order_hotkeys.get(order.event_index, change.hotkey)
        if place == (change.coldkey, change.netuid, change.added) and hotkey == change.hotkey:
            return _Why(Cause.ORDER, block.events[order.event_index])
    if not change.added:
        for payer, event_index, pools in block.silent_fees:
            if payer == change.coldkey and (pools is None or (change.hotkey, change.netuid) in pools):
                return _Why(Cause.ALPHA_FEE, block.events[event_index])
        if (
            change.position in block.removals
            and (not change.after_alpha_rao or change.position in block.additions)
            and -change.gained_rao <= DUST_RAO_MAX
        ):
            return _Why(Cause.DUST)
    return _Why(Cause.MIGRATION if block.migrated else Cause.UNEXPLAINED)


def _place(change: ShareChange) -> tuple[int, str, str]:
    return change.netuid, change.hotkey, change.coldkey


def _ended_or_swapped(block: _Block, event: Event, change: ShareChange) -> _Why | None:
    if event.pallet != SUBTENSOR:
        return None
    if event.name == "NetworkRemoved" and not change.added:
        if named(event, "netuid")[0] == change.netuid:
            return _Why(Cause.DISSOLVED, event, tao_rao=block.payouts.get(change.position))
    elif event.name in {"HotkeySwapped", "HotkeySwappedOnSubnet"}:
        old, new, netuid = _swapped_hotkeys(event)
        here, there = (new, old) if change.added else (old, new)
        if change.hotkey == here and netuid in {None, change.netuid}:
            return _Why(Cause.HOTKEY_SWAP, event, "RESTAKE", (change.coldkey, there, change.netuid))
        # Shares of two prices were thrown together: who stood on the new key may have lost by it.
        thrown_together = block.spec_version < VALUES_MOVED_FROM and old in block.ours
        if change.hotkey == new and netuid in {None, change.netuid} and thrown_together:
            return _Why(Cause.HOTKEY_SWAP, event)
    elif event.name == "ColdkeySwapped":
        old, new = named(event, "old_coldkey", "new_coldkey")
        here, there = (new, old) if change.added else (old, new)
        if change.coldkey == here:
            return _Why(Cause.COLDKEY_SWAP, event, "TRANSFER", (there, change.hotkey, change.netuid))
    return None


def _changed_by(event: Event, change: ShareChange, spec_version: int) -> _Why | None:
    added = change.added
    if event.is_a("Swap", *LIQUIDITY_EVENTS):
        if named(event, "coldkey", "hotkey", "netuid") == (change.coldkey, change.hotkey, change.netuid):
            return _Why(Cause.LIQUIDITY, event)
    elif event.is_a("Swap", "UserLiquidityToggled"):
        if added and named(event, "netuid", "enable") == (change.netuid, False):
            return _Why(Cause.LIQUIDITY, event)
    elif event.is_a(SUBTENSOR, "RootClaimed"):
        if added and named(event, "coldkey")[0] == change.coldkey:
            return _Why(Cause.ROOT_CLAIM, event)
    elif event.is_a(SUBTENSOR, "TransactionFeePaidWithAlpha"):
        if not added and named(event, "who")[0] == change.coldkey:
            return _Why(Cause.ALPHA_FEE, event)
    elif (
        event.is_a(SUBTENSOR, "NetworkAdded")
        and spec_version in STAKE_AT_REGISTRATION
        and added
        and not change.before_alpha_rao
        and named(event, "netuid")[0] == change.netuid
    ):
        return _Why(Cause.REGISTRATION, event)
    return None
