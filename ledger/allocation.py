"""Which take a conversion sold, first in, first out (LE4). Pure.

A sale of alpha does not say which alpha it was. The rule here: unsold take is sold first, oldest first; only what
goes beyond it was the owner's own stake. Proceeds follow the alpha, so fee and slippage are shared by all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chain.splitting import split


@dataclass(frozen=True, slots=True)
class Lot:
    """The unsold take of one yield, in rao of alpha."""

    yield_id: int
    remaining_rao: int


@dataclass(frozen=True, slots=True)
class Sold:
    """What one conversion sold of one lot, and the TAO it brought."""

    yield_id: int
    alpha_rao: int
    tao_rao: int


def allocate(lots: Iterable[Lot], alpha_rao: int, tao_rao: int) -> list[Sold]:
    """Use up the lots, oldest first, with a sale of `alpha_rao` (fee included) that brought `tao_rao`.

    Of the alpha, ``g = min(alpha, all lots)`` was take; of the proceeds ``floor(tao * g / alpha)`` belongs to it,
    spread over the lots used by their alpha, the remainder to the largest (the oldest of equals).

    :raises ValueError: for a sale of nothing, negative proceeds or a lot below zero.
    """
    if alpha_rao <= 0 or tao_rao < 0:
        raise ValueError(f"a conversion sells some alpha for at least nothing, not {alpha_rao} for {tao_rao}")
    used: list[tuple[int, int]] = []
    left = alpha_rao
    for lot in lots:
        if lot.remaining_rao < 0:
            raise ValueError(f"the lot of yield {lot.yield_id} is oversold by {-lot.remaining_rao} rao")
        part = min(left, lot.remaining_rao)
        if part:
            used.append((lot.yield_id, part))
            left -= part
        if not left:
            break
    tao_for_take = tao_rao * (alpha_rao - left) // alpha_rao
    # Names that sort by age, so that of equal lots the oldest gets the remainder.
    by_age = [(f"{age:09d}", part) for age, (_, part) in enumerate(used)]
    proceeds = split(tao_for_take, by_age) if used else []
    return [Sold(yield_id, part, tao) for (yield_id, part), (_, tao) in zip(used, proceeds, strict=True)]
