"""How much of a dividend the runtime kept as take, inverted exactly. Pure.

The runtime computes in U96F32 (32 fractional bits, everything truncates):
``take = ⌊t·D⌋`` and ``net = ⌊D − t·D⌋`` with ``t = ⌊take_u16·2³²/65535⌋ / 2³²``
(`distribute_dividends_and_incentives` and `get_hotkey_take_float` of the subtensor pallet). Storage keeps `net`;
D is lost. Both are monotonic in D, so the D that give one `net` form a range and bound the take from both sides.
"""

from __future__ import annotations

from itertools import product

FRACTION_BITS = 32
TAKE_WHOLE = 65_535


def take_fraction(take_u16: int) -> int:
    """The take as U96F32 bits. :raises ValueError: when it is not a u16."""
    if not 0 <= take_u16 <= TAKE_WHOLE:
        raise ValueError(f"a take is a u16, not {take_u16}")
    return (take_u16 << FRACTION_BITS) // TAKE_WHOLE


def split_dividend(dividend_bits: int, take_u16: int) -> tuple[int, int]:
    """Split a dividend (U96F32 bits) as the runtime does: (take in rao, net in rao)."""
    take_bits = (take_fraction(take_u16) * dividend_bits) >> FRACTION_BITS
    return take_bits >> FRACTION_BITS, (dividend_bits - take_bits) >> FRACTION_BITS


def smallest_dividend_with_net(net_rao: int, take_u16: int) -> int:
    """The smallest dividend (U96F32 bits) of which at least `net_rao` is left.

    What is left of D is D − ⌊t·D⌋ = ⌈(1−t)·D⌉, and that reaches n as soon as (1−t)·D is more than n less one bit.
    """
    if net_rao == 0:
        return 0
    left_bits = (1 << FRACTION_BITS) - take_fraction(take_u16)
    return (((net_rao << FRACTION_BITS) - 1) << FRACTION_BITS) // left_bits + 1


def take_range(net_rao: int, take_u16: int) -> tuple[int, int]:
    """Bounds of the take, in rao and both included, that leave `net_rao`: one value or two adjacent ones.

    :raises ValueError: for a take of 100 %, which leaves nothing to invert, or a negative amount.
    """
    if take_u16 >= TAKE_WHOLE or net_rao < 0:
        raise ValueError(f"cannot invert net {net_rao} rao at take {take_u16}")
    low = smallest_dividend_with_net(net_rao, take_u16)
    high = smallest_dividend_with_net(net_rao + 1, take_u16) - 1
    return split_dividend(low, take_u16)[0], split_dividend(high, take_u16)[0]


def takes_adding_to(total_rao: int, ranges: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Every choice of one take from each range that adds up to `total_rao`.

    Several epochs in one block credit one root pool, whose difference gives only the sum.
    """
    choices = product(*(range(low, high + 1) for low, high in ranges))
    return [choice for choice in choices if sum(choice) == total_rao]
