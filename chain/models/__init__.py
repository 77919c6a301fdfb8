"""Facts read from the chain, each written once by `chain.services` and never edited.

Addresses are SS58 text, amounts integers in rao, share numbers the chain's raw bits. A block and everything
read from it commit together, so the highest block is also the cursor. What could not be read is a `Gap`.
Facts of other chains come from files (`chain.imports`) into the same tables; each names its `ImportRun`.
"""

from chain.fiat.models import ConversionPrice, FiatPrice, PriceFetch
from chain.models.backfills import Backfill, BackfillChunk
from chain.models.blocks import Block, ImportRun, Payload
from chain.models.network import ADDRESS_LENGTH, FAMILIES, FollowedHotkey, Hotkey, Network, Runtime
from chain.models.prices import PoolPrice, Pricing
from chain.models.reading import Endpoint, Gap, IngestRun
from chain.models.stake import Conversion, Position, StakeEvent, StakeKind
from chain.models.tags import Remark, Tag
from chain.models.yields import COMPONENTS, Asset, Proof, Side, StakerReward, Yield

__all__ = [
    "ADDRESS_LENGTH",
    "COMPONENTS",
    "FAMILIES",
    "Asset",
    "Backfill",
    "BackfillChunk",
    "Block",
    "Conversion",
    "ConversionPrice",
    "Endpoint",
    "FiatPrice",
    "FollowedHotkey",
    "Gap",
    "Hotkey",
    "ImportRun",
    "IngestRun",
    "Network",
    "Payload",
    "PoolPrice",
    "Position",
    "PriceFetch",
    "Pricing",
    "Proof",
    "Remark",
    "Runtime",
    "Side",
    "StakeEvent",
    "StakeKind",
    "StakerReward",
    "Tag",
    "Yield",
]
