"""Which storage, events and calls the reader relies on, and how each is laid out, by runtime. Pure.

`layout_differences` holds a runtime's own metadata against these tables, so that a runtime that keeps its books in
another place is named before a block of it is read. It proves where things stand, never what they mean. Sources:
`pallets/subtensor/src/lib.rs` and `macros/events.rs` of each release, checked against the metadata of 293, 343 and 393.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from chain.keys import SUBTENSOR, SWAP
from chain.runtimes.decoding import RuntimeDecoder
from chain.runtimes.eras import NEWEST_KNOWN_SPEC, Era
from chain.runtimes.metadata import Metadata

ACCOUNT = "Blake2_128Concat account"
NETUID = "Identity u16"
SWAP_NETUID = "Twox64Concat u16"
U64F64 = "FixedU128<64>"
RATES = "BTreeMap<u16, FixedI128<32>>"
SAFE_FLOAT = "{mantissa: u128, exponent: i64}"
Reading = Callable[[str, str], tuple[str, ...] | None]
# A field whose type nothing depends on.
ANY = "*"


@dataclass(frozen=True)
class Storage:
    """A storage item of the runtimes first..last (None: to this day).

    `marks` says what it means to find it in other runtimes; empty where that means nothing. `may_go` says why a runtime
    newer than those known may do without it; empty where it may not.
    """

    pallet: str
    item: str
    keys: tuple[str, ...]
    value: str
    first: int = 0
    last: int | None = None
    marks: str = ""
    may_go: str = ""


@dataclass(frozen=True)
class Fields:
    """An event or call of the runtimes first..last, with its fields as `chain.runtimes.metadata` spells them."""

    pallet: str
    name: str
    fields: tuple[str, ...]
    first: int = 0
    last: int | None = None


_MIGRATED = "once every entry is a SafeFloat, the map is dropped, and what is read from it is nothing, as it should be"

STORAGE = (
    Storage("System", "Number", (), "u32"),
    Storage("Timestamp", "Now", (), "u64"),
    Storage(SUBTENSOR, "NetworksAdded", (NETUID,), "bool"),
    Storage(SUBTENSOR, "Owner", (ACCOUNT,), "account"),
    Storage(SUBTENSOR, "Delegates", (ACCOUNT,), "u16"),
    # Pools and shares.
    Storage(SUBTENSOR, "TotalHotkeyAlpha", (ACCOUNT, NETUID), "u64"),
    Storage(SUBTENSOR, "TotalHotkeyShares", (ACCOUNT, NETUID), U64F64, may_go=_MIGRATED),
    Storage(SUBTENSOR, "Alpha", (ACCOUNT, ACCOUNT, NETUID), U64F64, may_go=_MIGRATED),
    Storage(
        SUBTENSOR,
        "TotalHotkeySharesV2",
        (ACCOUNT, NETUID),
        SAFE_FLOAT,
        397,
        marks="denominators may be SafeFloat",
    ),
    Storage(
        SUBTENSOR, "AlphaV2", (ACCOUNT, ACCOUNT, NETUID), SAFE_FLOAT, 397, marks="shares may be SafeFloat"
    ),
    # Epochs.
    Storage(SUBTENSOR, "LastMechansimStepBlock", (NETUID,), "u64"),
    Storage(SUBTENSOR, "AlphaDividendsPerSubnet", (NETUID, ACCOUNT), "u64"),
    Storage(
        SUBTENSOR,
        "TotalHotkeyAlphaLastEpoch",
        (ACCOUNT, NETUID),
        "u64",
        261,
        marks="the pool after the dividend is kept",
    ),
    Storage(
        SUBTENSOR,
        "TaoDividendsPerSubnet",
        (NETUID, ACCOUNT),
        "u64",
        233,
        333,
        marks="root dividends are paid as TAO stake",
    ),
    Storage(
        SUBTENSOR,
        "RootClaimable",
        (ACCOUNT,),
        RATES,
        334,
        marks="root dividends are claimable alpha",
    ),
    Storage(SUBTENSOR, "RootClaimed", (NETUID, ACCOUNT, ACCOUNT), "u128", 334),
    Storage(SUBTENSOR, "RootClaimType", (ACCOUNT,), "RootClaimTypeEnum", 334),
    Storage(
        SUBTENSOR,
        "RootAlphaDividendsPerSubnet",
        (NETUID, ACCOUNT),
        "u64",
        361,
        marks="root dividends have a map of their own",
    ),
    Storage(
        SUBTENSOR,
        "LastEpochBlock",
        (NETUID,),
        "u64",
        423,
        marks="epochs run when they are due, not by block number",
    ),
    Storage(SUBTENSOR, "ParentKeys", (ACCOUNT, NETUID), "Vec<(u64, account)>"),
    # The subnet owner's cut and the miners' incentive.
    Storage(SUBTENSOR, "Uids", (NETUID, ACCOUNT), "u16"),
    Storage(SUBTENSOR, "SubnetOwner", (NETUID,), "account"),
    Storage(SUBTENSOR, "SubnetOwnerHotkey", (NETUID,), "account"),
    Storage(SUBTENSOR, "SubnetOwnerCut", (), "u16"),
    Storage(SUBTENSOR, "PendingOwnerCut", (NETUID,), "u64"),
    Storage(SUBTENSOR, "SubnetAlphaOutEmission", (NETUID,), "u64"),
    Storage(SUBTENSOR, "FirstEmissionBlockNumber", (NETUID,), "u64", 257),
    Storage(
        SUBTENSOR, "OwnerCutEnabled", (NETUID,), "bool", 411, marks="the owner's cut can be switched off"
    ),
    # Prices.
    Storage(SUBTENSOR, "SubnetTAO", (NETUID,), "u64"),
    Storage(SUBTENSOR, "SubnetAlphaIn", (NETUID,), "u64"),
    Storage(
        SWAP, "AlphaSqrtPrice", (SWAP_NETUID,), U64F64, 283, 422, marks="prices are kept as square roots"
    ),
    Storage(
        SWAP, "SwapBalancer", (SWAP_NETUID,), "u64", 423, marks="prices depend on the balancer's weights"
    ),
)

_PAIR = ("account", "account", "u64", "u64", "u16")
_SWAPPED = ("coldkey: account", "old_hotkey: account", "new_hotkey: account")
_COLDKEYS = ("old_coldkey: account", "new_coldkey: account")
_FEE = ("alpha_fee: u64", "tao_amount: u64")

EVENTS = (
    Fields("System", "ExtrinsicSuccess", ("dispatch_info: *",)),
    Fields("System", "ExtrinsicFailed", ("dispatch_error: *", "dispatch_info: *")),
    Fields("System", "CodeUpdated", ()),
    Fields("System", "Remarked", ("sender: account", "hash: H256")),
    Fields("Balances", "Transfer", ("from: account", "to: account", "amount: u64")),
    Fields("TransactionPayment", "TransactionFeePaid", ("who: account", "actual_fee: u64", "tip: u64")),
    Fields("Utility", "ItemCompleted", ()),
    Fields("Utility", "ItemFailed", ("error: *",)),
    Fields("Utility", "BatchCompleted", ()),
    Fields("Utility", "BatchCompletedWithErrors", ()),
    Fields("Utility", "BatchInterrupted", ("index: u32", "error: *")),
    Fields("Proxy", "ProxyExecuted", ("result: Result",)),
    Fields(
        "Multisig",
        "MultisigExecuted",
        ("approving: account", "timepoint: *", "multisig: account", "call_hash: [u8; 32]", "result: Result"),
    ),
    Fields(SUBTENSOR, "StakeAdded", _PAIR, 233, 256),
    Fields(SUBTENSOR, "StakeRemoved", _PAIR, 233, 256),
    Fields(SUBTENSOR, "StakeAdded", (*_PAIR, "u64"), 257),
    Fields(SUBTENSOR, "StakeRemoved", (*_PAIR, "u64"), 257),
    Fields(SUBTENSOR, "StakeMoved", ("account", "account", "u16", "account", "u16", "u64")),
    Fields(SUBTENSOR, "StakeTransferred", ("account", "account", "account", "u16", "u16", "u64")),
    Fields(SUBTENSOR, "StakeSwapped", ("account", "account", "u16", "u16", "u64")),
    Fields(SUBTENSOR, "AlphaRecycled", ("account", "account", "u64", "u16"), 257),
    Fields(SUBTENSOR, "AlphaBurned", ("account", "account", "u64", "u16"), 257),
    Fields(SUBTENSOR, "AddStakeBurn", ("netuid: u16", "hotkey: account", "amount: u64", "alpha: u64"), 385),
    Fields(SUBTENSOR, "HotkeySwapped", _SWAPPED),
    Fields(SUBTENSOR, "HotkeySwappedOnSubnet", (*_SWAPPED, "netuid: u16"), 275),
    Fields(SUBTENSOR, "ColdkeySwapped", (*_COLDKEYS, "swap_cost: u64"), 233, 384),
    Fields(SUBTENSOR, "ColdkeySwapped", _COLDKEYS, 385),
    Fields(SUBTENSOR, "NetworkAdded", ("u16", "u16")),
    Fields(SUBTENSOR, "NetworkRemoved", ("u16",)),
    Fields(SUBTENSOR, "IncentiveAlphaEmittedToMiners", ("netuid: u16", "emissions: Vec<u64>"), 315),
    Fields(
        SUBTENSOR,
        "AutoStakeAdded",
        ("netuid: u16", "destination: account", "hotkey: account", "owner: account", "incentive: u64"),
        315,
    ),
    Fields(SUBTENSOR, "RootClaimed", ("coldkey: account",), 334),
    Fields(SUBTENSOR, "TransactionFeePaidWithAlpha", ("who: account", *_FEE), 397, 400),
    Fields(SUBTENSOR, "TransactionFeePaidWithAlpha", ("who: account", "netuid: u16", *_FEE), 401),
    Fields(
        "LimitOrders",
        "OrderExecuted",
        (
            "order_id: H256",
            "signer: account",
            "netuid: u16",
            "order_type: *",
            "amount_in: u64",
            "amount_out: u64",
        ),
        423,
    ),
)

CALLS = (
    Fields("System", "remark_with_event", ("remark: Vec<u8>",)),
    Fields("Utility", "batch", ("calls: Vec<call>",)),
    Fields("Utility", "batch_all", ("calls: Vec<call>",)),
    Fields("Utility", "force_batch", ("calls: Vec<call>",)),
    Fields("Proxy", "proxy", ("real: *", "force_proxy_type: *", "call: call")),
    Fields(
        "Multisig",
        "as_multi",
        ("threshold: *", "other_signatories: *", "maybe_timepoint: *", "call: call", "max_weight: *"),
    ),
)


Specs = tuple[int, float]


def expected_specs(spec_version: int, era: Era) -> Specs:
    """The runtimes that a layout may be that of: its own, or all of the era where it is of none or of another one."""
    last = math.inf if era.last_spec is None else era.last_spec
    return (spec_version, spec_version) if era.first_spec <= spec_version <= last else (era.first_spec, last)


def layout_differences(decoder: RuntimeDecoder, era: Era) -> list[str]:
    """Name every difference between what a runtime's metadata says and what reading it as `era` relies on.

    What comes or goes within an era may be missing in a runtime that does not belong to it.

    :returns: one sentence for each; empty where all is in its place.
    """
    metadata = Metadata(decoder.runtime)
    specs = expected_specs(decoder.spec_version, era)
    return [
        *_storage_differences(metadata, specs, era),
        *_field_differences("event", EVENTS, metadata.event, specs),
        *_field_differences("call", CALLS, metadata.call, specs),
    ]


def _overlaps(row: Storage | Fields, specs: Specs) -> bool:
    return row.first <= specs[1] and (row.last is None or specs[0] <= row.last)


def _always(rows: Sequence[Storage | Fields], specs: Specs) -> bool:
    """Whether rows that follow each other describe all of these runtimes."""
    last = rows[-1].last
    return rows[0].first <= specs[0] and (last is None or specs[1] <= last)


def _storage_differences(metadata: Metadata, specs: Specs, era: Era) -> Iterator[str]:
    for row in STORAGE:
        name = f"{row.pallet}.{row.item}"
        found = metadata.storage(row.pallet, row.item)
        if not _overlaps(row, specs):
            if found is not None and row.marks:
                yield f"{name} is there, which era {era.name} does not know: {row.marks}"
        elif found is None:
            gone = row.may_go and specs[0] > NEWEST_KNOWN_SPEC
            if _always([row], specs) and not gone:
                yield f"{name} is missing"
        else:
            if found.keys != row.keys:
                yield f"{name} is keyed by {_listed(found.keys)}, not {_listed(row.keys)}"
            if found.value != row.value:
                yield f"{name} holds {found.value}, not {row.value}"


def _field_differences(what: str, rows: Iterable[Fields], read: Reading, specs: Specs) -> Iterator[str]:
    forms: dict[str, list[Fields]] = {}
    for row in rows:
        if _overlaps(row, specs):
            forms.setdefault(f"{what} {row.pallet}.{row.name}", []).append(row)
    for name, known in forms.items():
        found = read(known[0].pallet, known[0].name)
        if found is None:
            if _always(known, specs):
                yield f"{name} is missing"
        elif not any(_fits(found, row) for row in known):
            yield f"{name} has {_listed(found)}, not {' or '.join(_listed(row.fields) for row in known)}"


def _fits(found: tuple[str, ...], row: Fields) -> bool:
    return len(found) == len(row.fields) and all(
        theirs == ours or (ours.endswith(ANY) and theirs.startswith(ours.removesuffix(ANY)))
        for theirs, ours in zip(found, row.fields, strict=True)
    )


def _listed(parts: tuple[str, ...]) -> str:
    return f"({', '.join(parts)})"
