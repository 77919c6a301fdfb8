"""The storage eras of the chain: where shares, dividends and prices stand, and what they mean, by runtime. Pure.

A block belongs to the era of the runtime that executed it, which is the one in its parent's state. Facts and file
references are in `docs/chain.md`. Finer dates (fields of events) stand beside the code that reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

# The newest runtime whose source was read and modelled. Later ones must pass `manage.py check_runtime` first.
NEWEST_KNOWN_SPEC = 425


class RootDividends(Enum):
    """How an epoch pays root stakers."""

    TAO_STAKE = "TAO_STAKE"
    """As TAO into the pool (hotkey, root); `TaoDividendsPerSubnet` holds the net. The take is root stake too."""
    COMBINED = "COMBINED"
    """As claimable alpha; `AlphaDividendsPerSubnet` holds the net of both sides together. The take is alpha stake."""
    OWN_MAP = "OWN_MAP"
    """As claimable alpha; `RootAlphaDividendsPerSubnet` holds the net. The take is alpha stake."""


class PoolPricing(Enum):
    """What sets a subnet's alpha price."""

    RESERVES = "RESERVES"
    """TAO reserve over alpha reserve."""
    SQRT_PRICE = "SQRT_PRICE"
    """`Swap.AlphaSqrtPrice` squared; the reserves where it is absent."""
    BALANCER = "BALANCER"
    """The reserves with the weights of `Swap.SwapBalancer`."""


@dataclass(frozen=True)
class Era:
    """A range of runtimes that keep their books alike. `last_spec` is None for the era of today."""

    name: str
    first_spec: int
    last_spec: int | None
    root_dividends: RootDividends
    prop_alpha_dividends: bool
    """Alpha dividends are the validators' pot renormalised, not the epoch's own dividends."""
    last_epoch_value: bool
    """`TotalHotkeyAlphaLastEpoch` keeps the pool's value right after the dividend."""
    safe_float_shares: bool
    """Shares may be SafeFloat (`AlphaV2`, `TotalHotkeySharesV2`) beside U64F64, migrated one by one."""
    dynamic_tempo: bool

    def rules_of(self, spec_version: int) -> int:
        """The runtime whose finer rules to read by: itself, or the nearest, where it is only assumed to be of this era."""
        return min(max(spec_version, self.first_spec), self.last_spec or spec_version)


ERAS = (
    Era("233–256", 233, 256, RootDividends.TAO_STAKE, False, False, False, False),
    Era("257–260", 257, 260, RootDividends.TAO_STAKE, True, False, False, False),
    Era("261–333", 261, 333, RootDividends.TAO_STAKE, True, True, False, False),
    Era("334–360", 334, 360, RootDividends.COMBINED, True, True, False, False),
    Era("361–396", 361, 396, RootDividends.OWN_MAP, True, True, False, False),
    Era("397–422", 397, 422, RootDividends.OWN_MAP, True, True, True, False),
    Era("423+", 423, None, RootDividends.OWN_MAP, True, True, True, True),
)
ERA_BY_NAME = {era.name: era for era in ERAS}


def era_named(name: str) -> Era | None:
    """The era of a name, which may be typed with a plain hyphen; None where there is none."""
    return ERA_BY_NAME.get(name.strip().replace("-", "–"))


def era_of(spec_version: int) -> Era | None:
    """The era of a runtime; None where its rules were never read: before 233 and after the newest known one."""
    if spec_version > NEWEST_KNOWN_SPEC:
        return None
    return next((era for era in reversed(ERAS) if spec_version >= era.first_spec), None)


def pricing_of(spec_version: int) -> PoolPricing:
    """What sets prices on a runtime."""
    if spec_version >= 423:
        return PoolPricing.BALANCER
    return PoolPricing.SQRT_PRICE if spec_version >= 283 else PoolPricing.RESERVES
