"""The share pools of spec 293 in integer arithmetic, equal to the runtime to the last bit.

A pool is what one hotkey holds on one subnet: a value in rao, a denominator and the shares of its coldkeys, both U64F64 raw
bits. Source: `primitives/share-pool/src/lib.rs` of the runtime. Root (netuid 0) holds TAO, every other subnet its alpha.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FRACTION_BITS = 64
TAKE_FRACTION_BITS = 32
U16_MAX = 65535
DEFAULT_TAKE = 11796  # of 65535, for a hotkey without an entry in Delegates
DUST_SHARE = (1 << FRACTION_BITS) // 100_000  # a rest below this part of the share is removed with it


@dataclass
class Pool:
    """One hotkey's stake on one subnet."""

    value_rao: int = 0
    denominator: int = 0
    shares: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Pool:
        """Return a pool that can be changed alone."""
        return Pool(self.value_rao, self.denominator, dict(self.shares))

    def value_of(self, coldkey: str) -> int:
        """Return what a coldkey holds, in rao."""
        if not self.denominator:
            return 0
        per_share = (self.value_rao << 2 * FRACTION_BITS) // self.denominator
        return (per_share * self.shares.get(coldkey, 0)) >> 2 * FRACTION_BITS

    def _shares_for(self, amount_rao: int) -> int:
        per_share = (self.value_rao << 2 * FRACTION_BITS) // self.denominator
        return (amount_rao << 2 * FRACTION_BITS) // per_share if per_share else 0

    def mint(self, coldkey: str, amount_rao: int) -> None:
        """Credit one coldkey."""
        bits = self._shares_for(amount_rao) if self.denominator else amount_rao << FRACTION_BITS
        self.denominator += bits
        self.shares[coldkey] = self.shares.get(coldkey, 0) + bits
        self.value_rao += amount_rao

    def burn(self, coldkey: str, amount_rao: int) -> None:
        """Debit one coldkey; a rest of dust goes with it."""
        share = self.shares.get(coldkey, 0)
        bits = self._shares_for(amount_rao)
        rest = max(share - bits, 0)
        if not share or (rest << FRACTION_BITS) // share < DUST_SHARE:
            amount_rao = self.value_of(coldkey)
            rest, bits = 0, share
        self.denominator -= bits
        self.shares[coldkey] = rest
        self.value_rao -= amount_rao

    def grow(self, amount_rao: int) -> None:
        """Credit every holder in proportion."""
        self.value_rao += amount_rao

    def same_as(self, other: Pool) -> bool:
        """Tell whether two pools agree in every bit; an absent share is zero."""
        coldkeys = self.shares.keys() | other.shares.keys()
        return (self.value_rao, self.denominator) == (other.value_rao, other.denominator) and all(
            self.shares.get(key, 0) == other.shares.get(key, 0) for key in coldkeys
        )


def possible_takes(net_rao: int, take: int) -> list[int]:
    """Return the takes in rao that fit dividends of `net_rao` after a take given in 1/65535: one number or two."""
    bits = (take << TAKE_FRACTION_BITS) // U16_MAX
    whole = 1 << TAKE_FRACTION_BITS
    if bits >= whole:
        raise ValueError("a take of everything leaves nothing to infer it from")
    return list(range(net_rao * bits // (whole - bits), (net_rao + 1) * bits // (whole - bits) + 1))
