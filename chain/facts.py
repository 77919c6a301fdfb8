"""What one block said about our hotkeys, as plain values between the reader and the database. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class YieldFact:
    """See `chain.models.Yield`; amounts in rao, share_total in raw bits."""

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
    share_total: int


@dataclass(frozen=True)
class StakeEventFact:
    """See `chain.models.StakeEvent`; amounts in rao, positive."""

    event_index: int
    extrinsic_index: int | None
    kind: str
    added: bool
    coldkey: str
    hotkey: str
    netuid: int
    tao_rao: int
    alpha_rao: int
    fee_rao: int
    fee_asset: str
    extrinsic_hash: str = ""
    signer: str = ""
    call: str = ""
    other_coldkey: str = ""
    other_hotkey: str = ""
    other_netuid: int | None = None


@dataclass(frozen=True)
class ConversionFact:
    """A stake event by which the owner of a hotkey sold alpha. `alpha_rao` includes the fee."""

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
    """State of a subnet's AMM after the block; reserves in rao, sqrt_price in raw U64F64 bits."""

    netuid: int
    tao_reserve_rao: int
    alpha_reserve_rao: int
    sqrt_price: int


@dataclass(frozen=True)
class RemarkFact:
    """A remark left in an extrinsic that touched stake on our hotkeys."""

    event_index: int
    extrinsic_index: int
    sender: str
    remark: bytes


@dataclass(frozen=True)
class ShareFact:
    """The share of a coldkey after the block, in raw bits; 0 when the position ended."""

    hotkey: str
    netuid: int
    coldkey: str
    share: int


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
    shares: list[ShareFact] = field(default_factory=list)
