"""The chain's share pool, replayed bit by bit. Pure.

A pool has a value V (u64), a denominator D and shares s per coldkey (U64F64 bits); a holder's stake is V·s/D.
Dividends raise V only. Stake added or removed mints or burns D and s alike, so Σ s = D always.
Follows `SharePool` of the chain's share-pool primitive as of the U64F64 eras; everything truncates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
            self.denominator = self.shares[coldkey] = amount_rao << 64
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
            is_dust = (_checked_div(rest, share) or 0) < _DUST_FRACTION
            if is_dust or _checked_div((self.value + _YEAR_OF_EMISSION) << 64, denominator) is None:
                denominator, rest, actual = max(self.denominator - share, 0), 0, everything
            self.denominator, self.shares[coldkey] = denominator, rest
        self.value = max(self.value - actual, 0)
        return actual

    def _shares_for(self, amount_rao: int) -> int:
        per_share = _checked_div(self.value << 64, self.denominator)
        if per_share is None:
            quotient = (amount_rao << 64) // self.value if self.value else 0
            return min(quotient * min(self.denominator, _I128_MAX) >> 64, _I128_MAX)
        if per_share == 0:
            return 0
        bits = (amount_rao << 128) // min(per_share, _I128_MAX)
        return bits if bits <= _I128_MAX else 0
