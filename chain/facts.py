"""What one block said about our hotkeys, as plain values between the reader and the database. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from chain.pools.shares import Share

# Hotkey, netuid and coldkey of who holds stake where.
Position = tuple[str, int, str]


@dataclass(frozen=True)
class YieldFact:
    """See `chain.models.Yield`; amounts in rao, `share_total` as storage has it."""

    netuid: int
    hotkey: str
    side: str
    asset: str
    pool_netuid: int
    owner: str
    dividend_rao: int
    take_rao: int
    take_low_rao: int
    take_high_rao: int
    take_u16: int
    pool_before_rao: int
    other_rao: int
    share_total: Share
    proof: str
    is_child: bool = False


@dataclass(frozen=True)
class StakeEventFact:
    """See `chain.models.StakeEvent`; amounts in rao, positive. None where the chain names no TAO or no fee."""

    event_index: int
    extrinsic_index: int | None
    kind: str
    added: bool
    coldkey: str
    hotkey: str
    netuid: int
    tao_rao: int | None
    alpha_rao: int
    fee_rao: int | None
    fee_asset: str
    extrinsic_hash: str = ""
    signer: str = ""
    call: str = ""
    other_coldkey: str = ""
    other_hotkey: str = ""
    other_netuid: int | None = None
    cause: str = ""
    """A `chain.stake.causes.Cause`, or empty: the kind says what happened."""
    derived: bool = False
    """`alpha_rao` is what the position's value changed by, not what an event says."""


@dataclass(frozen=True)
class ConversionFact:
    """A stake event (the leg at `event_index` of this hotkey, netuid and owner) by which an owner sold alpha.

    `alpha_rao` is all that left the position, the fee included; `tao_rao` what the owner kept for it.
    """

    event_index: int
    hotkey: str
    owner: str
    netuid: int
    alpha_rao: int
    tao_rao: int
    fee_alpha_rao: int
    into_root: bool


@dataclass(frozen=True)
class PriceFact:
    """State of a subnet's AMM after the block; the price is made of it by `chain.pools.prices`.

    Reserves in rao; `sqrt_price` in raw U64F64 bits where the pool has one; `pricing` is a value of `PoolPricing`;
    `quote_weight` in parts of 1e18 where pools have weights.
    """

    netuid: int
    tao_reserve_rao: int
    alpha_reserve_rao: int
    sqrt_price: int | None
    pricing: str
    quote_weight: int | None


@dataclass(frozen=True)
class RemarkFact:
    """A remark left in an extrinsic that touched stake on our hotkeys; see `chain.models.Remark`."""

    event_index: int
    extrinsic_index: int
    sender: str
    remark: bytes | None
    text_hash: str
    byte_count: int | None


@dataclass(frozen=True)
class TagFact:
    """What a remark tags, or why nothing; see `chain.models.Tag` and `chain.tagging.tags`."""

    remark_event_index: int
    stake_event_index: int | None
    accepted: bool
    reason: str
    via_delegate: bool


@dataclass(frozen=True)
class ShareFact:
    """The share of a coldkey after the block; 0 when the position ended."""

    hotkey: str
    netuid: int
    coldkey: str
    share: Share


@dataclass(frozen=True)
class HotkeyFact:
    """From this block on a key is followed on a subnet (None: all), or, if `ended`, no longer; a swap did it.

    `abandoned_by` is the coldkey whose swap left the key, which has no owner since.
    """

    hotkey: str
    netuid: int | None
    swapped_from: str
    abandoned_by: str = ""
    ended: bool = False


@dataclass
class BlockFacts:
    """Everything one block adds to the facts."""

    number: int
    hash: str
    parent_hash: str
    timestamp_ms: int
    spec_version: int
    yields: list[YieldFact] = field(default_factory=list)
    stake_events: list[StakeEventFact] = field(default_factory=list)
    conversions: list[ConversionFact] = field(default_factory=list)
    prices: list[PriceFact] = field(default_factory=list)
    remarks: list[RemarkFact] = field(default_factory=list)
    tags: list[TagFact] = field(default_factory=list)
    shares: list[ShareFact] = field(default_factory=list)
    hotkeys: list[HotkeyFact] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """What the chain leaves open about our money, in words: each opens a gap."""
    provider: str = ""
    """Who gave the block, for the record: no fact depends on it."""
    payload: bytes = b""
    """The block's raw events, where anything of ours was touched."""

    @property
    def touches_us(self) -> bool:
        """Whether the block says anything about our hotkeys."""
        found = (
            self.yields,
            self.stake_events,
            self.remarks,
            self.tags,
            self.shares,
            self.hotkeys,
            self.doubts,
        )
        return any(found)
