"""The kinds of chain an installation can hold, and what differs between them: coin, smallest unit, addresses. Pure.

Both coins have nine decimals, so an amount in ``_rao`` is 1e-9 of either: a rao of TAO, a lamport of SOL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chain.addresses import decode_address, decode_solana


class Family(StrEnum):
    """Chains that keep their books alike."""

    BITTENSOR = "BITTENSOR"
    SOLANA = "SOLANA"


@dataclass(frozen=True, slots=True)
class Coin:
    """What amounts are shown in: ``unit`` for a whole one, ``smallest`` for the billionth that is counted."""

    unit: str
    smallest: str


NAMES = {Family.BITTENSOR: "Bittensor", Family.SOLANA: "Solana"}
COINS = {Family.BITTENSOR: Coin("TAO", "rao"), Family.SOLANA: Coin("SOL", "lamports")}
SMALLEST = {coin.unit: coin.smallest for coin in COINS.values()}


def check_address(text: str, family: Family) -> None:
    """Refuse what is not the one spelling of an address of this kind of chain.

    :raises InvalidAddress: saying what is wrong with it.
    """
    if family is Family.SOLANA:
        decode_solana(text)
    else:
        decode_address(text)
