"""Share pools of (hotkey, netuid) as each era keeps them, written straight to the storage items of that era.

Before runtime 244 a pool starts at its whole value and dust stays; until 396 shares are U64F64 and removals that leave
less than a hundred-thousandth take everything; from 397 shares are SafeFloat, moved over entry by entry when written.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from chain.tests.model import fixed
from chain.tests.model.fixed import SafeFloat
from chain.tests.model.rules import Rules
from chain.tests.model.storage import Map, Storage, blake_account, identity_u16, unsigned

DUST = round(Fraction(0.00001) * fixed.ONE_64)
YEAR_OF_EMISSION = 2_628_000_000_000_000


@dataclass(frozen=True)
class RawShare:
    """A share as stored: bits of U64F64, or mantissa and exponent of a SafeFloat."""

    bits: int
    exponent: int | None = None


class Pools:
    """All share pools. `rules` changes with the runtime; the storage stays."""

    def __init__(self, storage: Storage, rules: Rules) -> None:
        self.rules = rules
        pool, holder = (blake_account, identity_u16), (blake_account, blake_account, identity_u16)
        self.value = Map(storage, "TotalHotkeyAlpha", pool, unsigned(8), 0)
        self.shares_v1 = Map(storage, "TotalHotkeyShares", pool, unsigned(16), 0)
        self.shares_v2 = Map(storage, "TotalHotkeySharesV2", pool, fixed.encode_safe_float, fixed.ZERO)
        self.alpha_v1 = Map(storage, "Alpha", holder, unsigned(16), 0)
        self.alpha_v2 = Map(storage, "AlphaV2", holder, fixed.encode_safe_float, fixed.ZERO)

    # --- reading --------------------------------------------------------------------------------------

    def holders(self, hotkey: str, netuid: int) -> dict[str, RawShare]:
        """Every stored share of a pool, old and new side by side."""
        found = {
            coldkey: RawShare(*share)
            for (h, coldkey, n), share in self.alpha_v2.values.items()
            if h == hotkey and n == netuid
        }
        for (h, coldkey, n), bits in self.alpha_v1.values.items():
            if h == hotkey and n == netuid:
                found[coldkey] = RawShare(bits)
        return found

    def holds(self, hotkey: str, coldkey: str, netuid: int) -> bool:
        """Say whether any share is stored."""
        return self.alpha_v1.has(hotkey, coldkey, netuid) or self.alpha_v2.has(hotkey, coldkey, netuid)

    def stake(self, hotkey: str, coldkey: str, netuid: int) -> int:
        """The stake of a coldkey in rao, as the runtime of today computes it."""
        if not self.holds(hotkey, coldkey, netuid):
            return 0
        value = self.value.get(hotkey, netuid)
        if self.rules.safe_float:
            share, denominator = self._share(hotkey, coldkey, netuid), self._denominator(hotkey, netuid)
            quotient = fixed.sf_mul_div(fixed.safe_float(value), share, denominator)
            return fixed.sf_to_u64(quotient or fixed.ZERO)
        return self._stake_u64f64(
            value << 64, self.alpha_v1.get(hotkey, coldkey, netuid), self.shares_v1.get(hotkey, netuid)
        )

    def _stake_u64f64(self, value: int, share: int, denominator: int) -> int:
        per_share = fixed.div_u64f64(value, denominator)
        if per_share is not None:
            return fixed.mul_u64f64(per_share, share) >> 64
        if self.rules.first_share_pool:
            return 0
        return (fixed.div_u64f64(fixed.mul_u64f64(value, share), denominator) or 0) >> 64

    def _share(self, hotkey: str, coldkey: str, netuid: int) -> SafeFloat:
        if self.alpha_v1.has(hotkey, coldkey, netuid):
            return fixed.sf_from_u64f64(self.alpha_v1.get(hotkey, coldkey, netuid))
        share: SafeFloat = self.alpha_v2.get(hotkey, coldkey, netuid)
        return share

    def _denominator(self, hotkey: str, netuid: int) -> SafeFloat:
        if self.shares_v1.has(hotkey, netuid):
            return fixed.sf_from_u64f64(self.shares_v1.get(hotkey, netuid))
        shares: SafeFloat = self.shares_v2.get(hotkey, netuid)
        return shares

    # --- writing --------------------------------------------------------------------------------------

    def add_to_all(self, hotkey: str, netuid: int, amount: int) -> None:
        """Raise the value of a pool; shares stay."""
        self._set_value(hotkey, netuid, self.value.get(hotkey, netuid) + amount)

    def add(self, hotkey: str, coldkey: str, netuid: int, amount: int) -> int:
        """Stake for one coldkey. Gives what was really added."""
        return max(self._update(hotkey, coldkey, netuid, amount), 0)

    def remove(self, hotkey: str, coldkey: str, netuid: int, amount: int) -> int:
        """Unstake of one coldkey. Gives what was really removed: all where dust would be left, 0 where it has less."""
        if not self.holds(hotkey, coldkey, netuid) or self.stake(hotkey, coldkey, netuid) < amount:
            return 0
        return max(-self._update(hotkey, coldkey, netuid, -amount), 0)

    def _set_value(self, hotkey: str, netuid: int, value: int) -> None:
        value = min(max(value, 0), fixed.U64_MAX)
        if value:
            self.value.put(hotkey, netuid, value)
        else:
            self.value.remove(hotkey, netuid)

    def _update(self, hotkey: str, coldkey: str, netuid: int, update: int) -> int:
        if self.rules.safe_float:
            return self._update_safe_float(hotkey, coldkey, netuid, update)
        if self.rules.first_share_pool:
            return self._update_first(hotkey, coldkey, netuid, update)
        return self._update_u64f64(hotkey, coldkey, netuid, update)

    def _set_u64f64(self, hotkey: str, coldkey: str, netuid: int, denominator: int, share: int) -> None:
        for table, key, bits in (
            (self.shares_v1, (hotkey, netuid), denominator),
            (self.alpha_v1, (hotkey, coldkey, netuid), share),
        ):
            if bits:
                table.put(*key, min(bits, fixed.U128_MAX))
            else:
                table.remove(*key)

    def _update_first(self, hotkey: str, coldkey: str, netuid: int, update: int) -> int:
        value, denominator = self.value.get(hotkey, netuid) << 64, self.shares_v1.get(hotkey, netuid)
        share = self.alpha_v1.get(hotkey, coldkey, netuid)
        self._set_value(hotkey, netuid, (value >> 64) + update)
        if not denominator:
            whole = self.value.get(hotkey, netuid) << 64
            self._set_u64f64(hotkey, coldkey, netuid, whole, whole)
            return update
        per_share = min(fixed.div_u64f64(value, denominator) or 0, fixed.I128_MAX)
        minted = fixed.div_i64f64(update << 64, per_share) or 0
        self._set_u64f64(hotkey, coldkey, netuid, max(denominator + minted, 0), max(share + minted, 0))
        return update

    def _update_u64f64(self, hotkey: str, coldkey: str, netuid: int, update: int) -> int:
        value, denominator = self.value.get(hotkey, netuid) << 64, self.shares_v1.get(hotkey, netuid)
        share = self.alpha_v1.get(hotkey, coldkey, netuid)
        actual = update
        if not denominator:
            fresh = max(update, 0) << 64
            self._set_u64f64(hotkey, coldkey, netuid, fresh, fresh)
        else:
            minted = _shares_per_update(update, value, denominator)
            new_denominator, new_share = max(denominator + minted, 0), max(share + minted, 0)
            if minted < 0:
                left = fixed.div_u64f64(new_share, share) or 0
                year_later = value + (YEAR_OF_EMISSION << 64)
                if left < DUST or fixed.div_u64f64(year_later, new_denominator) is None:
                    actual = -self._stake_u64f64(value, share, denominator)
                    new_denominator, new_share = max(denominator - share, 0), 0
            self._set_u64f64(hotkey, coldkey, netuid, new_denominator, new_share)
        self._set_value(hotkey, netuid, (value >> 64) + actual)
        return actual

    def _update_safe_float(self, hotkey: str, coldkey: str, netuid: int, update: int) -> int:
        value, denominator = self.value.get(hotkey, netuid), self._denominator(hotkey, netuid)
        share = self._share(hotkey, coldkey, netuid)
        if not denominator[0]:
            denominator = share = fixed.safe_float(abs(update))
        else:
            change = fixed.sf_mul_div(fixed.safe_float(abs(update)), denominator, fixed.safe_float(value))
            change = change or fixed.ZERO
            if update > 0:
                denominator, share = fixed.sf_add(denominator, change), fixed.sf_add(share, change)
            else:
                denominator = _or_as_before(fixed.sf_sub(denominator, change), denominator)
                share = _or_as_before(fixed.sf_sub(share, change), share)
        self.shares_v1.remove(hotkey, netuid)
        self.alpha_v1.remove(hotkey, coldkey, netuid)
        if denominator[0]:
            self.shares_v2.put(hotkey, netuid, denominator)
        else:
            self.shares_v2.remove(hotkey, netuid)
        if share[0]:
            self.alpha_v2.put(hotkey, coldkey, netuid, share)
        else:
            self.alpha_v2.remove(hotkey, coldkey, netuid)
        self._set_value(hotkey, netuid, value + update)
        return update


def _or_as_before(result: SafeFloat | None, before: SafeFloat) -> SafeFloat:
    return before if result is None else result


def _shares_per_update(update: int, value: int, denominator: int) -> int:
    per_share = fixed.div_u64f64(value, denominator)
    if per_share is not None:
        return fixed.div_i64f64(update << 64, min(per_share, fixed.I128_MAX)) or 0
    per_value = fixed.div_i64f64(update << 64, min(value, fixed.I128_MAX)) or 0
    product = (per_value * min(denominator, fixed.I128_MAX)) >> 64
    return min(max(product, -fixed.I128_MAX - 1), fixed.I128_MAX)
