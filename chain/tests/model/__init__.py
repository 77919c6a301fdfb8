"""A simulation of the chain that knows the truth, written from the chain's source and not from our reader."""

from chain.tests.model.chain import AlphaFee, ModelChain
from chain.tests.model.coinbase import Dividends
from chain.tests.model.pools import RawShare
from chain.tests.model.world import Refused, TrueCredit, TrueMove, TrueSale, TrueYield, World

__all__ = [
    "AlphaFee",
    "Dividends",
    "ModelChain",
    "RawShare",
    "Refused",
    "TrueCredit",
    "TrueMove",
    "TrueSale",
    "TrueYield",
    "World",
]
