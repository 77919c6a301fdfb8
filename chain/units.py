"""Amounts and share numbers as the chain writes them. Pure: integers in, integers or text out.

1 TAO is 1,000,000,000 rao; alpha has the same nine decimals, and so has SOL (`chain.families`). U64F64 is an unsigned
128-bit integer that counts units of 2**-64.
"""

from __future__ import annotations

import re

RAO_PER_TAO = 10**9
U64F64_ONE = 1 << 64
BPS_WHOLE = 10_000
# The chain counts blocks in 32 bits, and runtimes in as many, of which one less is stored.
BLOCK_MAX, SPEC_MAX = (1 << 32) - 1, (1 << 31) - 1
_AMOUNT = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.(?P<part>[0-9]{1,9}))?")


def format_rao(rao: int) -> str:
    """Write an amount of rao as TAO (or alpha) with all nine decimals: ``1234567`` is ``0.001234567``."""
    sign = "-" if rao < 0 else ""
    whole, part = divmod(abs(rao), RAO_PER_TAO)
    return f"{sign}{whole:,}.{part:09d}"


def parse_tao(text: str, unit: str = "TAO") -> int:
    """Read an amount in TAO as rao, exactly. A comma groups thousands and is nothing else: ``0,5`` is refused.

    :param unit: what to call the coin in a refusal; every coin here has nine decimals.

    :raises ValueError: when the text is not a plain decimal number with at most nine decimals.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is not an amount in {unit}: write digits with a point and at most nine decimals, like 0.5"
        )
    rao = int(found["whole"].replace(",", "")) * RAO_PER_TAO + int((found["part"] or "").ljust(9, "0"))
    return -rao if found["sign"] else rao


def alpha_value_rao(alpha_rao: int, price_rao: int) -> int:
    """What alpha is worth in rao of TAO, floored, at a price in rao for one whole alpha."""
    return alpha_rao * price_rao // RAO_PER_TAO


def format_bps(bps: int) -> str:
    """Write basis points as a percentage without rounding: ``3350`` is ``33.5 %``."""
    whole, part = divmod(bps, 100)
    return f"{whole}.{part:02d}".rstrip("0").rstrip(".") + " %"
