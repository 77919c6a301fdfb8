"""Why stake changed, where its kind (stake, unstake, restake, transfer) does not say it all. Pure.

Owns the names and the words people read. An empty cause means that the kind says what happened.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """What moved stake beside a plain call; stored by name, shown by `words`."""

    RECYCLED = "RECYCLED"
    BURNED = "BURNED"
    ALPHA_FEE = "ALPHA_FEE"
    NOT_RESTAKED = "NOT_RESTAKED"
    ORDER = "ORDER"
    LEASE = "LEASE"
    INCENTIVE = "INCENTIVE"
    ROOT_CLAIM = "ROOT_CLAIM"
    HOTKEY_SWAP = "HOTKEY_SWAP"
    COLDKEY_SWAP = "COLDKEY_SWAP"
    DISSOLVED = "DISSOLVED"
    REGISTRATION = "REGISTRATION"
    LIQUIDITY = "LIQUIDITY"
    DUST = "DUST"
    MIGRATION = "MIGRATION"
    UNEXPLAINED = "UNEXPLAINED"

    @property
    def words(self) -> str:
        """Name the cause for people."""
        return _WORDS[self]


_WORDS = {
    Cause.RECYCLED: "Recycled",
    Cause.BURNED: "Burned",
    Cause.ALPHA_FEE: "Transaction fee paid in alpha",
    Cause.NOT_RESTAKED: "Move too small to be staked again",
    Cause.ORDER: "Limit order",
    Cause.LEASE: "Lease payout",
    Cause.INCENTIVE: "Miner incentive staked by itself",
    Cause.ROOT_CLAIM: "Root dividends claimed",
    Cause.HOTKEY_SWAP: "Hotkey swapped",
    Cause.COLDKEY_SWAP: "Coldkey swapped",
    Cause.DISSOLVED: "Subnet dissolved",
    Cause.REGISTRATION: "Subnet registered",
    Cause.LIQUIDITY: "Liquidity position",
    Cause.DUST: "Dust removed by the chain",
    Cause.MIGRATION: "Changed by a runtime upgrade",
    Cause.UNEXPLAINED: "Nothing on the chain says why",
}
