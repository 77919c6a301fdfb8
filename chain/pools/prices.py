"""What one alpha costs, from the state of its pool, in the arithmetic of the runtime that keeps it. Pure.

A price is the chain's own `current_alpha_price`, whole rao for one whole alpha, floored at every step where the chain
floors. A pool that has no price is None and never 0, and a weight that no pool can have is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain import keys
from chain.facts import PriceFact
from chain.keys import SWAP
from chain.runtimes.eras import PoolPricing
from chain.units import RAO_PER_TAO

if TYPE_CHECKING:
    # It brings the decoders along, which a model that shows a price need not load.
    from chain.state import State

# A Perquintill counts parts of this.
WEIGHT_WHOLE = 10**18
WEIGHT_DEFAULT = WEIGHT_WHOLE // 2
_U64_MAX = (1 << 64) - 1
_U128_MAX = (1 << 128) - 1
_U96F32_BITS = 32
_U64F64_BITS = 64


class NoWeight(ValueError):
    """What stands in `Swap.SwapBalancer` is not the weight of a pool. A retry does not help: the layout is not known."""


def decode_balancer(raw_hex: str | None) -> int:
    """Read the quote weight (TAO's, w2) of `Swap.SwapBalancer` in parts of 1e18; a pool without an entry has a half.

    :raises NoWeight: when it is not eight bytes, or leaves one of the two tokens without weight.
    """
    if raw_hex is None:
        return WEIGHT_DEFAULT
    body = bytes.fromhex(raw_hex.removeprefix("0x"))
    weight = int.from_bytes(body, "little")
    if len(body) != 8 or not 0 < weight < WEIGHT_WHOLE:
        raise NoWeight(
            f"Swap.SwapBalancer holds {raw_hex}, which is no weight between 0 and 1e18 in eight bytes; "
            "check the layout of this runtime"
        )
    return weight


def price_rao(
    pricing: PoolPricing,
    tao_reserve_rao: int,
    alpha_reserve_rao: int,
    sqrt_price: int | None,
    quote_weight: int | None,
) -> int | None:
    """Price of one whole alpha in rao, to the rao what the runtime's `current_alpha_price` answers.

    None where the pool has no price, for which the chain answers 0: no alpha in it, or a square-root price of 0. A
    result of 0 is a price below one rao.

    :param sqrt_price: U64F64 bits of `Swap.AlphaSqrtPrice`; None where the pool has none yet, then the reserves count.
    :param quote_weight: parts of 1e18, see `decode_balancer`; the balancer needs it, the others have none.
    """
    if pricing is PoolPricing.SQRT_PRICE and sqrt_price is not None:
        # U64F64 squared, cut to U96F32.
        squared = min(sqrt_price * sqrt_price >> _U64F64_BITS, _U128_MAX)
        return _rao(squared >> (_U64F64_BITS - _U96F32_BITS), _U96F32_BITS) if sqrt_price else None
    if not alpha_reserve_rao:
        return None
    if pricing is PoolPricing.BALANCER:
        if quote_weight is None:
            raise NoWeight("a price of the balancer needs the pool's quote weight")
        weights = ((WEIGHT_WHOLE - quote_weight) << _U64F64_BITS) // quote_weight
        reserves = (tao_reserve_rao << _U64F64_BITS) // alpha_reserve_rao
        return _rao(min(weights * reserves >> _U64F64_BITS, _U128_MAX), _U64F64_BITS)
    return _rao((tao_reserve_rao << _U96F32_BITS) // alpha_reserve_rao, _U96F32_BITS)


def _rao(bits: int, fraction_bits: int) -> int:
    """A fixed-point price in TAO as rao, saturating where the runtime's 128 and 64 bits end."""
    return min(min(bits * RAO_PER_TAO, _U128_MAX) >> fraction_bits, _U64_MAX)


def price_keys(pricing: PoolPricing, netuid: int) -> list[str]:
    """The storage keys a price is made of, all read at the block after which it held."""
    found = [keys.by_netuid("SubnetTAO", netuid), keys.by_netuid("SubnetAlphaIn", netuid)]
    if pricing is PoolPricing.SQRT_PRICE:
        found.append(keys.by_netuid_twox(SWAP, "AlphaSqrtPrice", netuid))
    if pricing is PoolPricing.BALANCER:
        found.append(keys.by_netuid_twox(SWAP, "SwapBalancer", netuid))
    return found


def read_price(state: State, pricing: PoolPricing, netuid: int) -> PriceFact:
    """Take a pool's state from what `price_keys` read.

    :raises NoWeight: see `decode_balancer`.
    """
    tao, alpha, *more = price_keys(pricing, netuid)
    return PriceFact(
        netuid=netuid,
        tao_reserve_rao=state.amount(tao),
        alpha_reserve_rao=state.amount(alpha),
        sqrt_price=state.number(more[0]) if pricing is PoolPricing.SQRT_PRICE else None,
        pricing=pricing.value,
        quote_weight=decode_balancer(state.raw(more[0])) if pricing is PoolPricing.BALANCER else None,
    )
