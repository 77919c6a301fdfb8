"""Splitting a whole number over weights, to the last one (LE1). Pure.

The one rounding rule of the product: every share is rounded down, and what that leaves over, less than one per holder,
goes to the largest holder. Nothing is lost and nothing is made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=str | tuple[str, ...])


class CannotSplit(ValueError):
    """The amount cannot be split over these weights. A retry with the same numbers cannot help."""


def split(total_rao: int, weights: Sequence[tuple[Name, int]]) -> list[tuple[Name, int]]:
    """Split an amount in proportion to the weights, in the order given.

    Holder i gets ``floor(total * w_i / sum(w))``; the remainder goes to the largest weight, among equals to the
    smallest name. Holders without weight are left out. Python's integers are unbounded, so shares of 128 bits
    times amounts of 64 bits stay exact.

    :raises CannotSplit: for negative numbers, a name given twice, or something to split and nobody to get it.
    """
    if total_rao < 0:
        raise CannotSplit(f"cannot split a negative amount ({total_rao} rao)")
    if any(weight < 0 for _, weight in weights):
        raise CannotSplit("a weight is negative")
    holders = [(name, weight) for name, weight in weights if weight]
    if len({name for name, _ in holders}) != len(holders):
        raise CannotSplit("a holder is named twice")
    if not holders:
        if total_rao:
            raise CannotSplit(f"{total_rao} rao were earned and nobody held a share")
        return []
    whole = sum(weight for _, weight in holders)
    shares = [(name, total_rao * weight // whole) for name, weight in holders]
    remainder = total_rao - sum(amount for _, amount in shares)
    if remainder:
        largest = min(range(len(holders)), key=lambda i: (-holders[i][1], holders[i][0]))
        shares[largest] = (shares[largest][0], shares[largest][1] + remainder)
    return shares
