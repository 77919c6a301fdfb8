"""SafeFloat, the decimal floating point in which the chain keeps shares since spec 397. Pure.

A number is mantissa × 10^exponent with 10²⁰ < mantissa ≤ 10²¹; every operation truncates. Follows the share-pool
primitive of the chain, whose results these functions give digit for digit.
"""

from __future__ import annotations

from typing import NamedTuple

MANTISSA_MAX = 10**21
_MANTISSA_MIN = MANTISSA_MAX // 10
_DIGITS = 21
_U64_MAX = (1 << 64) - 1
_U64_MASK = _U64_MAX


class SafeFloat(NamedTuple):
    """mantissa × 10^exponent; zero is (0, 0)."""

    mantissa: int
    exponent: int


ZERO = SafeFloat(0, 0)


def normalized(mantissa: int, exponent: int) -> SafeFloat:
    """Bring the mantissa into its range, cutting digits off."""
    if mantissa == 0:
        return ZERO
    while mantissa > MANTISSA_MAX:
        mantissa //= 10
        exponent += 1
    while mantissa <= _MANTISSA_MIN:
        mantissa *= 10
        exponent -= 1
    return SafeFloat(mantissa, exponent)


def from_int(value: int) -> SafeFloat:
    """An amount in rao."""
    return normalized(value, 0)


def from_u64f64(bits: int) -> SafeFloat:
    """A share of the older format, as the chain reads it until it migrates the entry."""
    whole, fraction = from_int(bits >> 64), from_int(bits & _U64_MASK)
    return add(whole, _div(fraction, _TWO64))


def _div(left: SafeFloat, right: SafeFloat) -> SafeFloat:
    return normalized(
        left.mantissa * MANTISSA_MAX // right.mantissa, left.exponent - right.exponent - _DIGITS
    )


_TWO64 = from_int(1 << 64)


def _aligned(left: SafeFloat, right: SafeFloat) -> tuple[int, int, int]:
    """Both mantissas at the larger exponent; the smaller number loses what lies below it."""
    exponent = max(left.exponent, right.exponent)
    # Beyond 22 digits nothing of a mantissa is left.
    return (
        left.mantissa // 10 ** min(exponent - left.exponent, _DIGITS + 1),
        right.mantissa // 10 ** min(exponent - right.exponent, _DIGITS + 1),
        exponent,
    )


def add(left: SafeFloat, right: SafeFloat) -> SafeFloat:
    """left + right."""
    if not left.mantissa:
        return right
    if not right.mantissa:
        return left
    a, b, exponent = _aligned(left, right)
    return normalized(a + b, exponent)


def subtract(left: SafeFloat, right: SafeFloat) -> SafeFloat:
    """left − right, not below zero; nothing is taken from zero."""
    if not left.mantissa or not right.mantissa:
        return left
    a, b, exponent = _aligned(left, right)
    return normalized(max(a - b, 0), exponent)


def mul_div(value: SafeFloat, factor: SafeFloat, divisor: SafeFloat) -> SafeFloat:
    """value × factor / divisor, zero where the divisor is."""
    if not divisor.mantissa:
        return ZERO
    return normalized(
        value.mantissa * factor.mantissa // divisor.mantissa,
        value.exponent + factor.exponent - divisor.exponent,
    )


def to_rao(value: SafeFloat) -> int:
    """The whole part as u64, saturating."""
    scale: int = 10 ** min(abs(value.exponent), _DIGITS + 1)
    return min(value.mantissa * scale if value.exponent > 0 else value.mantissa // scale, _U64_MAX)
