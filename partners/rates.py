"""What rate an agreement pays on which part of a month's volume: tiers and the cap. Pure, integers only.

The volume is the take in TAO that an agreement was paid on since the month began (UTC), or the gross dividend where that
is its basis. A tier changes the rate of what comes above its border, not of what came before. A cap counts what the partner
was paid since then, under whatever terms: what would lead beyond it is paid at a rate of nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from chain.units import BPS_WHOLE


class Basis(StrEnum):
    """What a rate is of: the validator's take, or all that the stake earned, the take and what its delegators got."""

    TAKE = "TAKE"
    GROSS = "GROSS"


class Aggregation(StrEnum):
    """How a statement lists a pool in which several wallets earned: in one sum, or each by its address."""

    LUMP_SUM = "LUMP_SUM"
    PER_WALLET = "PER_WALLET"


Steps = tuple[tuple[int, int], ...]
"""(from rao, rate in basis points), the first from 0, ascending. Empty: one rate for everything."""

TIERS_MAX = 10


class InvalidTiers(ValueError):
    """The tiers are none; the message names the one that is wrong."""


def check_tiers(tiers: Sequence[Sequence[int]]) -> None:
    """Refuse tiers that are not ascending borders above zero with a rate each.

    :param tiers: (from rao, rate in basis points) each.
    :raises InvalidTiers: naming the first that is wrong, from 1.
    """
    if len(tiers) > TIERS_MAX:
        raise InvalidTiers(f"there are {len(tiers)} tiers; {TIERS_MAX} is the most")
    below = 0
    for number, (border, rate_bps) in enumerate(tiers, 1):
        if border <= below:
            raise InvalidTiers(
                f"tier {number} does not begin above {'nothing' if number == 1 else 'the one before'}"
            )
        if not 0 <= rate_bps <= BPS_WHOLE:
            raise InvalidTiers(
                f"tier {number} has a rate of {rate_bps} basis points; 0 to {BPS_WHOLE} is possible"
            )
        below = border


def steps_of(rate_bps: int, tiers: Sequence[Sequence[int]] = ()) -> Steps:
    """Lay out what is paid on which volume of a month; empty where one rate holds for all of it."""
    return ((0, rate_bps), *((border, rate) for border, rate in tiers)) if tiers else ()


def split_by_rate(before_rao: int, base_rao: int, steps: Steps) -> list[tuple[int, int]]:
    """Split an amount that comes on top of a month's volume by the rates that it is paid at.

    :return: (rate in basis points, rao) each, in the order of the steps; the amounts add up to `base_rao`.
    :raises ValueError: for a negative amount or volume, or without steps.
    """
    if before_rao < 0 or base_rao < 0 or not steps:
        raise ValueError(f"{base_rao} rao on top of {before_rao} cannot be split by {len(steps)} steps")
    end = before_rao + base_rao
    borders = [*(start for start, _ in steps[1:]), max(end, steps[-1][0])]
    found = []
    for (start, rate), border in zip(steps, borders, strict=True):
        part = min(end, border) - max(before_rao, start)
        if part > 0:
            found.append((rate, part))
    return found


def split_by_cap(paid: int, rate_bps: int, base_rao: int, cap_rao: int | None) -> list[tuple[int, int]]:
    """Split an amount that a rate pays on where the month's commission reaches the cap; beyond it the rate is nothing.

    :param paid: the month's commission so far in ten-thousandths of a rao, so that no rounding is counted.
    :param cap_rao: the most that the month's commission may come to, None for no limit.
    :return: (rate in basis points, rao) each; the amounts add up to `base_rao`, and with `paid` their commission is at most
        the cap, unless `paid` was beyond it.
    :raises ValueError: for a negative amount.
    """
    if paid < 0 or base_rao < 0:
        raise ValueError(f"{base_rao} rao on top of {paid} ten-thousandths cannot be capped")
    within = base_rao
    if cap_rao is not None and rate_bps:
        within = min(base_rao, max(0, cap_rao * BPS_WHOLE - paid) // rate_bps)
    return [(rate, part) for rate, part in ((rate_bps, within), (0, base_rao - within)) if part]
