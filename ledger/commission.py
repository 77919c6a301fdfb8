"""What a rate makes of an amount (F21). Pure; basis points and rao are integers, no float ever sees them."""

from __future__ import annotations

from chain.units import BPS_WHOLE


def commission(base_rao: int, rate_bps: int) -> int:
    """Take a share of an amount, rounded down; the fraction of a rao that this drops stays with the validator.

    :raises ValueError: for a negative amount or a rate outside 0 to 10,000.
    """
    if base_rao < 0:
        raise ValueError(f"the base of a commission cannot be negative ({base_rao} rao)")
    if not 0 <= rate_bps <= BPS_WHOLE:
        raise ValueError(f"a rate is 0 to {BPS_WHOLE} basis points, not {rate_bps}")
    return base_rao * rate_bps // BPS_WHOLE
