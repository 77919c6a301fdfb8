"""The chain's fixed-point and decimal-float arithmetic on raw integers, as its runtime computes it.

U64F64 and I96F32 are plain integers of bits here; every operation names its rounding. `SafeFloat` is a pair
(mantissa, exponent) whose value is mantissa · 10**exponent. Written from the runtime, not from our own reader.
"""

from __future__ import annotations

ONE_64 = 1 << 64
ONE_32 = 1 << 32
U64_MAX = (1 << 64) - 1
U128_MAX = (1 << 128) - 1
I128_MAX = (1 << 127) - 1

SafeFloat = tuple[int, int]
ZERO: SafeFloat = (0, 0)
MANTISSA_MAX = 10**21
MANTISSA_DIGITS = 21
MANTISSA_MIN = MANTISSA_MAX // 10
POWERS: list[int] = [10**n for n in range(23)]


def div_u64f64(a: int, b: int) -> int | None:
    """Checked division, truncated; None where the result does not fit or the divisor is zero."""
    if b == 0:
        return None
    result = (a << 64) // b
    return None if result > U128_MAX else result


def mul_u64f64(a: int, b: int) -> int:
    """Saturating product, truncated."""
    return min((a * b) >> 64, U128_MAX)


def div_i64f64(a: int, b: int) -> int | None:
    """Checked signed division, truncated toward zero."""
    if b == 0:
        return None
    quotient = (abs(a) << 64) // abs(b)
    result = -quotient if (a < 0) != (b < 0) else quotient
    return None if not -I128_MAX - 1 <= result <= I128_MAX else result


def take_fraction(take_u16: int) -> int:
    """The take of a hotkey as the 32 fractional bits that the runtime multiplies with."""
    return (take_u16 << 32) // 65_535


def mul_32(a: int, b: int) -> int:
    """Product of two numbers with 32 fractional bits, truncated."""
    return (a * b) >> 32


# --- SafeFloat ----------------------------------------------------------------------------------------


def _power(exponent: int) -> int:
    return POWERS[exponent] if exponent <= 22 else POWERS[22]


def normal(mantissa: int, exponent: int) -> SafeFloat:
    """Bring the mantissa into (10**20, 10**21], dropping digits that do not fit."""
    if mantissa == 0:
        return ZERO
    while mantissa > MANTISSA_MAX:
        mantissa //= 10
        exponent += 1
    while mantissa <= MANTISSA_MIN:
        mantissa *= 10
        exponent -= 1
    return mantissa, exponent


def safe_float(number: int) -> SafeFloat:
    """A whole number of at most 21 digits."""
    return normal(number, 0)


def sf_add(a: SafeFloat, b: SafeFloat) -> SafeFloat:
    if not a[0]:
        return b
    if not b[0]:
        return a
    if a[1] >= b[1]:
        return normal(a[0] + b[0] // _power(a[1] - b[1]), a[1])
    return normal(a[0] // _power(b[1] - a[1]) + b[0], b[1])


def sf_sub(a: SafeFloat, b: SafeFloat) -> SafeFloat | None:
    """None where something is taken from nothing, which the runtime refuses; otherwise never below zero."""
    if not b[0]:
        return a
    if not a[0]:
        return None
    if a[1] >= b[1]:
        return normal(max(a[0] - b[0] // _power(a[1] - b[1]), 0), a[1])
    return normal(max(a[0] // _power(b[1] - a[1]) - b[0], 0), b[1])


def sf_mul_div(a: SafeFloat, b: SafeFloat, by: SafeFloat) -> SafeFloat | None:
    """a · b ÷ by with one truncation of the mantissa, before normalising."""
    if not by[0]:
        return None
    return normal(a[0] * b[0] // by[0], a[1] + b[1] - by[1])


def sf_div(a: SafeFloat, b: SafeFloat) -> SafeFloat | None:
    if not b[0]:
        return None
    return normal(a[0] * MANTISSA_MAX // b[0], a[1] - b[1] - MANTISSA_DIGITS)


def sf_to_u64(a: SafeFloat) -> int:
    mantissa, exponent = a
    if exponent > 0:
        mantissa *= _power(exponent)
    elif exponent < 0:
        mantissa //= _power(-exponent)
    return min(mantissa, U64_MAX)


_TWO_64 = normal(ONE_64, 0)


def sf_from_u64f64(bits: int) -> SafeFloat:
    """What the runtime reads an old share as: whole part plus fraction, each truncated to 21 digits."""
    if not bits:
        return ZERO
    fraction = sf_div(normal(bits & U64_MAX, 0), _TWO_64)
    return sf_add(normal(bits >> 64, 0), fraction or ZERO)


def encode_safe_float(a: SafeFloat) -> str:
    return a[0].to_bytes(16, "little").hex() + a[1].to_bytes(8, "little", signed=True).hex()
