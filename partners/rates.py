"""What rate an agreement pays on which part of a month's volume: tiers and the cap. Pure, integers only.

The volume is the take in TAO that an agreement was paid on since the month began (UTC). A tier changes the rate of what
comes above its border, not of what came before. A cap is a last tier of nothing, from the volume on at which the month's
commission reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence

from chain.units import BPS_WHOLE

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


def steps_of(rate_bps: int, tiers: Sequence[Sequence[int]] = (), cap_rao: int | None = None) -> Steps:
    """Lay out what is paid on which volume of a month; empty where one rate holds for all of it.

    :param cap_rao: the most that the month's commission may come to, None for no limit.
    """
    steps = [(0, rate_bps), *((border, rate) for border, rate in tiers)]
    if cap_rao is not None:
        steps = _capped(steps, cap_rao)
    return tuple(steps) if len(steps) > 1 or cap_rao is not None else ()


def _capped(steps: list[tuple[int, int]], cap_rao: int) -> list[tuple[int, int]]:
    """End the steps where the commission reaches the cap: ``sum(width x rate) = cap x 10,000``, rounded down."""
    left = cap_rao * BPS_WHOLE
    kept: list[tuple[int, int]] = []
    ends = [border for border, _ in steps[1:]] + [None]
    for (start, rate), end in zip(steps, ends, strict=True):
        if rate and (end is None or left < (end - start) * rate):
            reached = start + left // rate
            return [*kept, *([(start, rate)] if reached > start else []), (reached, 0)]
        kept.append((start, rate))
        left -= 0 if end is None else (end - start) * rate
    return kept


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
