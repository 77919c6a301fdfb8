"""The chain's share pool, replayed bit by bit, in both formats it has had. Pure.

A pool has a value V (u64), a denominator D and shares s per coldkey; a holder's stake is V·s/D. Dividends raise V
only. Stake added or removed mints or burns D and s alike. Follows `SharePool` of the chain's share-pool primitive;
everything truncates. Until spec 396 shares are U64F64 and Σ s = D to the bit; since 397 an entry becomes a SafeFloat
when it is next written, and Σ s and D drift apart in their last digits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from chain.pools import safe_float
from chain.pools.safe_float import SafeFloat
from chain.units import U64F64_ONE

_U128_MAX = (1 << 128) - 1
_I128_MAX = (1 << 127) - 1
# A remainder below this part of the share, or a denominator too small for a year of emission, is wiped whole.
_DUST_FRACTION = round(0.00001 * U64F64_ONE)
_YEAR_OF_EMISSION = 2_628_000_000_000_000


def _checked_div(numerator: int, denominator: int) -> int | None:
    """Divide two U64F64; None where the chain's checked division fails."""
    if denominator == 0:
        return None
    quotient = (numerator << 64) // denominator
    return quotient if quotient <= _U128_MAX else None


@dataclass
class SharePool:
    """One pool: `value` in rao, `denominator` and `shares` in raw U64F64 bits."""

    value: int
    denominator: int
    shares: dict[str, int] = field(default_factory=dict)
    early: bool = False
    """As before spec 244: an empty pool began with all its value as shares, and dust stayed."""

    def stake_of(self, coldkey: str) -> int:
        """What a holder's share is worth, in rao, floored as the chain does."""
        share = self.shares.get(coldkey, 0)
        per_share = _checked_div(self.value << 64, self.denominator)
        if per_share is not None:
            bits = min((per_share * share) >> 64, _U128_MAX)
        else:
            bits = _checked_div(min(self.value * share, _U128_MAX), self.denominator) or 0
        return bits >> 64

    def add_for_all(self, amount_rao: int) -> None:
        """Raise the value of every holder pro rata: a dividend."""
        self.value += amount_rao

    def add(self, coldkey: str, amount_rao: int) -> None:
        """Mint shares worth `amount_rao` to one holder: stake, take, owner cut or incentive."""
        if self.denominator == 0:
            begins = self.value + amount_rao if self.early else amount_rao
            self.denominator = self.shares[coldkey] = begins << 64
        else:
            minted = self._shares_for(amount_rao)
            self.denominator += minted
            self.shares[coldkey] = self.shares.get(coldkey, 0) + minted
        self.value += amount_rao

    def remove(self, coldkey: str, amount_rao: int) -> int:
        """Burn shares worth `amount_rao` of one holder; returns what really left, in rao (all, if dust would stay)."""
        share, actual = self.shares.get(coldkey, 0), amount_rao
        if self.denominator == 0:
            self.denominator = self.shares[coldkey] = 0
        else:
            everything = self.stake_of(coldkey)
            burned = self._shares_for(amount_rao)
            denominator, rest = max(self.denominator - burned, 0), max(share - burned, 0)
            if not self.early and self._too_little(share, rest, denominator):
                denominator, rest, actual = max(self.denominator - share, 0), 0, everything
            self.denominator, self.shares[coldkey] = denominator, rest
        self.value = max(self.value - actual, 0)
        return actual

    def _too_little(self, share: int, rest: int, denominator: int) -> bool:
        is_dust = (_checked_div(rest, share) or 0) < _DUST_FRACTION
        return is_dust or _checked_div((self.value + _YEAR_OF_EMISSION) << 64, denominator) is None

    def _shares_for(self, amount_rao: int) -> int:
        per_share = _checked_div(self.value << 64, self.denominator)
        if per_share is None and self.early:
            return 0
        if per_share is None:
            quotient = (amount_rao << 64) // self.value if self.value else 0
            return min(quotient * min(self.denominator, _I128_MAX) >> 64, _I128_MAX)
        if per_share == 0:
            return 0
        bits = (amount_rao << 128) // min(per_share, _I128_MAX)
        return bits if bits <= _I128_MAX else 0


class Share(NamedTuple):
    """A share or denominator as storage has it: U64F64 bits, or mantissa and decimal exponent of a SafeFloat."""

    bits: int
    exponent: int | None = None

    def __str__(self) -> str:
        return str(self.bits) if self.exponent is None else f"{self.bits}e{self.exponent}"

    def as_safe_float(self) -> SafeFloat:
        """The number the chain computes with since spec 397."""
        if self.exponent is None:
            return safe_float.from_u64f64(self.bits)
        return SafeFloat(self.bits, self.exponent)


NO_SHARE = Share(0)
ONE_SHARE = Share(1, 0)


def add_shares(left: Share, right: Share) -> Share:
    """The sum of two shares, in U64F64 if both are."""
    if left.exponent is None and right.exponent is None:
        return Share(left.bits + right.bits)
    return Share(*safe_float.add(*(_normalized(one) for one in (left, right))))


def _normalized(share: Share) -> SafeFloat:
    number = share.as_safe_float()
    return safe_float.normalized(number.mantissa, number.exponent)


@dataclass
class SafeFloatPool:
    """A pool since spec 397: `value` in rao, denominator and shares as SafeFloat."""

    value: int
    denominator: SafeFloat
    shares: dict[str, SafeFloat] = field(default_factory=dict)

    def stake_of(self, coldkey: str) -> int:
        """What a holder's share is worth, in rao, floored as the chain does."""
        share = self.shares.get(coldkey, safe_float.ZERO)
        return safe_float.to_rao(safe_float.mul_div(safe_float.from_int(self.value), share, self.denominator))

    def add_for_all(self, amount_rao: int) -> None:
        """Raise the value of every holder pro rata: a dividend."""
        self.value += amount_rao

    def add(self, coldkey: str, amount_rao: int) -> None:
        """Mint shares worth `amount_rao` to one holder: stake, take, owner cut or incentive."""
        if not self.denominator.mantissa:
            self.denominator = self.shares[coldkey] = safe_float.from_int(amount_rao)
        else:
            minted = self._shares_for(amount_rao)
            self.denominator = safe_float.add(self.denominator, minted)
            self.shares[coldkey] = safe_float.add(self.shares.get(coldkey, safe_float.ZERO), minted)
        self.value += amount_rao

    def remove(self, coldkey: str, amount_rao: int) -> int:
        """Burn shares worth `amount_rao` of one holder; returns what left, which since 397 is just that."""
        if not self.denominator.mantissa:
            self.denominator = self.shares[coldkey] = safe_float.from_int(amount_rao)
        else:
            burned = self._shares_for(amount_rao)
            self.denominator = safe_float.subtract(self.denominator, burned)
            self.shares[coldkey] = safe_float.subtract(self.shares.get(coldkey, safe_float.ZERO), burned)
        self.value = max(self.value - amount_rao, 0)
        return amount_rao

    def _shares_for(self, amount_rao: int) -> SafeFloat:
        return safe_float.mul_div(
            safe_float.from_int(amount_rao), self.denominator, safe_float.from_int(self.value)
        )


Pool = SharePool | SafeFloatPool


def open_pool(
    value: int, denominator: Share, shares: Mapping[str, Share], *, safe: bool, early: bool = False
) -> Pool:
    """The pool as the runtime sees it: with SafeFloat shares if `safe`, however single entries are stored."""
    if safe:
        return SafeFloatPool(
            value,
            denominator.as_safe_float(),
            {coldkey: share.as_safe_float() for coldkey, share in shares.items()},
        )
    bits = {coldkey: share.bits for coldkey, share in shares.items()}
    return SharePool(value, denominator.bits, bits, early)


def share_in(pool: Pool, coldkey: str) -> Share:
    """A holder's share of a replayed pool."""
    held = pool.shares.get(coldkey)
    if held is None:
        return NO_SHARE
    return Share(held) if isinstance(held, int) else Share(*held)


def worth_of(pool: Pool, share: Share) -> int:
    """What a share of a pool is worth, in rao, floored as the chain does."""
    if isinstance(pool, SafeFloatPool):
        return replace(pool, shares={"": share.as_safe_float()}).stake_of("")
    return replace(pool, shares={"": share.bits}).stake_of("")


def denominator_of(pool: Pool) -> Share:
    """The denominator of a replayed pool."""
    held = pool.denominator
    return Share(held) if isinstance(held, int) else Share(*held)


def same_number(pool: Pool, coldkey: str | None, stored: Share) -> bool:
    """Say whether a replayed pool's share (of None: its denominator) is what storage holds."""
    if isinstance(pool, SafeFloatPool):
        mine = pool.denominator if coldkey is None else pool.shares.get(coldkey, safe_float.ZERO)
        return mine == stored.as_safe_float()
    bits = pool.denominator if coldkey is None else pool.shares.get(coldkey, 0)
    return bits == stored.bits


# Of 21 digits; a block's few operations cut no more than a unit or two of the last off each.
_SAFE_PARTS = 10**18


def parts_kept(pool: Pool, coldkey: str) -> int:
    """To one part in how many a denominator is known after a holder's alpha went through it by a way that is not told.

    At most all of it left, and what each operation cuts off weighs the more the less of the pool remained meanwhile.
    """
    rest = max(pool.value - pool.stake_of(coldkey), 0)
    return _SAFE_PARTS * rest // pool.value if pool.value else 0


def near_number(pool: Pool, stored: Share, parts: int) -> bool:
    """Say whether a replayed pool's denominator is what storage holds but for one part in so many."""
    of = weights({"replayed": denominator_of(pool), "stored": stored})
    return abs(of["replayed"] - of["stored"]) * parts <= max(of.values())


def grew_otherwise(pool: Pool, coldkey: str, before: Share, after: Share) -> bool:
    """Say whether a share grew by another amount than in a replay: by more than a rao and a millionth of the growth."""
    of = weights(
        {"before": before, "after": after, "replayed": share_in(pool, coldkey), "all": denominator_of(pool)}
    )
    grown, expected = of["after"] - of["before"], of["replayed"] - of["before"]
    off = abs(grown - expected)
    return off * pool.value > of["all"] and off * 1_000_000 > max(abs(grown), abs(expected))


def weights(shares: Mapping[str, Share]) -> dict[str, int]:
    """Shares as integers of one scale, exact, whichever formats they are stored in.

    Among U64F64 alone these are the raw bits. Beside a SafeFloat every one is read as the chain reads it.
    """
    if all(share.exponent is None for share in shares.values()):
        return {coldkey: share.bits for coldkey, share in shares.items()}
    integers, _ = scaled([share.as_safe_float() for share in shares.values()])
    return dict(zip(shares, integers, strict=True))


def scaled(numbers: Sequence[SafeFloat]) -> tuple[list[int], int]:
    """SafeFloats as integers of one scale, and the power of ten that it is of."""
    lowest = min((number.exponent for number in numbers if number.mantissa), default=0)
    return [
        number.mantissa * 10 ** (number.exponent - lowest) if number.mantissa else 0 for number in numbers
    ], lowest


# Each write cuts a SafeFloat's 22nd digit off, in a share and in the denominator apart. A million writes stay below the
# first; what was cut while a pool was large stays when it has emptied, below the second (a share began as a rao).
_DRIFT_PARTS = 10**12
_DRIFT_SHARES_PARTS = 10**3


def adds_up(shares: Collection[Share], denominator: Share) -> bool:
    """Say whether holders' shares are all of a pool: to the bit in U64F64, within the drift of SafeFloat else.

    Before spec 244 a removal could burn more bits than its share had, which leaves less in the denominator than in the
    shares. It only matters where everybody left a pool but for dust; who earned what there cannot be proved, so that is
    a gap, and no tolerance.
    """
    if denominator.exponent is None and all(share.exponent is None for share in shares):
        return sum(share.bits for share in shares) == denominator.bits
    integers, exponent = scaled([share.as_safe_float() for share in shares])
    return sum_adds_up(sum(integers), exponent, denominator)


def sum_adds_up(total: int, exponent: int, denominator: Share) -> bool:
    """Say whether SafeFloats with the sum ``total * 10**exponent`` are all of a pool; see `adds_up`."""
    sums = [SafeFloat(total, exponent), denominator.as_safe_float(), ONE_SHARE.as_safe_float()]
    (found, whole, one), _ = scaled(sums)
    drift = abs(found - whole)
    return drift * _DRIFT_PARTS <= whole or drift * _DRIFT_SHARES_PARTS <= one
