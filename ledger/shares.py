"""Splitting the takes of a pool over those who held it, epoch by epoch, exactly and by the hundred million (LE1). Pure.

The rule is that of :func:`chain.splitting.split`: ``floor(take * w_i / sum(w))``, the remainder to the largest weight, among
equals to the smallest address. Here it is worked out for all holders at once: a double is an estimate with a proven bound,
and whoever's estimate is nearer to a whole number than that bound gets theirs in Python's integers. What cannot be told by
floats is never decided by them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chain.pools.shares import Share, scaled, sum_adds_up
from chain.splitting import CannotSplit

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

AMOUNT_MAX = 2**63 - 1
# Behind every block.
OPEN = AMOUNT_MAX
# Three roundings to 53 bits are off by less than 2**-51 of a number; twice that is doubted.
_DOUBT = 2.0**-50
# Doubles end at 2**1024, and the sum of many is larger than each.
_DOUBLE_BITS = 1_000
# From here on doubles hold no halves, and every estimate would be doubted.
ESTIMATED_MAX = 2**52


class Coldkeys:
    """Some of a table's coldkeys, in order: ``names[who[i]]``; `names` are sorted and `who` ascends."""

    def __init__(self, names: Sequence[str], who: Ints) -> None:
        self.names = names
        self.who = who

    def __len__(self) -> int:
        return len(self.who)

    def __iter__(self) -> Iterator[str]:
        return (self.names[place] for place in self.who.tolist())

    @cached_property
    def digest(self) -> bytes:
        """The SHA-256 of the SHA-256 of each address, in order."""
        return hashlib.sha256(b"".join(map(_hash_of, self))).digest()


@lru_cache(maxsize=2**17)
def _hash_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """A take split over coldkeys: ``amounts[i]`` rao are the i-th's.

    Who held something and got nothing of it, because it rounds down to nothing, is among them.
    """

    coldkeys: Coldkeys
    amounts: Ints

    def __len__(self) -> int:
        return len(self.amounts)

    def pairs(self) -> list[tuple[str, int]]:
        """Give (coldkey, rao), sorted by coldkey."""
        return list(zip(self.coldkeys, self.amounts.tolist(), strict=True))

    def digest(self) -> str:
        """Hash them: SHA-256 of the coldkeys' digest and every amount in eight bytes, the highest first."""
        return hashlib.sha256(self.coldkeys.digest + self.amounts.astype(">i8").tobytes()).hexdigest()

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, int]]) -> Shares:
        """Take what is split already, as (coldkey, rao)."""
        ordered = sorted(pairs)
        amounts = np.array([amount for _, amount in ordered], np.int64)
        return cls(Coldkeys([name for name, _ in ordered], np.arange(len(ordered))), amounts)


class Row(NamedTuple):
    """A coldkey's share of a pool (:class:`chain.pools.shares.Share`) in the states after blocks `[since, until)`."""

    coldkey: str
    bits: int
    exponent: int | None
    since: int
    until: int = OPEN


class PoolTable:
    """Who held one pool over some blocks, and how much. No coldkey has two rows at one block."""

    def __init__(self, rows: Iterable[Row | tuple[str, int | str, int | None, int, int]]) -> None:
        """Take the rows in any order, as `Row` or as plain tuples of the same fields: a day has millions."""
        ordered = sorted(rows, key=itemgetter(0))
        columns: Iterable[Any] = zip(*ordered, strict=True) if ordered else [()] * 5
        coldkeys, bits, self._exponents, since, until = columns
        # The database gives them as text: decimals would be made only to be made integers.
        self._bits = list(map(int, bits))
        # The same people hold many pools; each name is kept once.
        self.names = list(map(sys.intern, dict.fromkeys(coldkeys)))
        place = {name: number for number, name in enumerate(self.names)}
        self._who = np.array([place[name] for name in coldkeys], np.int64)
        self._since, self._until = np.array(since, np.int64), np.array(until, np.int64)
        self._borders = np.array(sorted({*since, *until}), np.int64)
        self._is_safe = np.array([exponent is not None for exponent in self._exponents], bool)
        self._coldkeys = Coldkeys(self.names, np.empty(0, np.int64))
        self._held: tuple[int, Holding] | None = None

    def at(self, block: int) -> Holding:
        """Who held it in the state after `block`; the same object as long as nobody's share changes."""
        version = int(np.searchsorted(self._borders, block, "right"))
        if self._held is None or self._held[0] != version:
            there = (self._since <= block) & (block < self._until)
            rows = np.flatnonzero(there)
            # One SafeFloat among them, and the chain reads all of them as such.
            is_safe = bool(self._is_safe[rows].any())
            numbers = self.as_safe_floats if is_safe else self._as_bits
            whole = numbers.sum_of(there)
            rows = rows[numbers.has_weight[rows]]
            # Shares change more often than who has one; the same people stay the same object, with what is known of them.
            if not np.array_equal(who := self._who[rows], self._coldkeys.who):
                self._coldkeys = Coldkeys(self.names, who)
            self._held = version, Holding(self, self._coldkeys, rows, numbers, whole, is_safe=is_safe)
        return self._held[1]

    @cached_property
    def _as_bits(self) -> Numbers:
        # Rows of SafeFloats are never among those that are read by their bits.
        return Numbers(
            [0 if is_safe else bits for bits, is_safe in zip(self._bits, self._is_safe.tolist(), strict=True)]
        )

    @cached_property
    def as_safe_floats(self) -> Numbers:
        """The shares of all rows as the chain reads them where one of them is a SafeFloat."""
        return Numbers(
            *scaled([Share(*of).as_safe_float() for of in zip(self._bits, self._exponents, strict=True)])
        )


class Numbers:
    """Weights of any size, all times ten to the `exponent`: as Python's integers and as the nearest doubles."""

    def __init__(self, integers: list[int], exponent: int = 0) -> None:
        self.integers = integers
        self.exponent = exponent
        self.has_weight = np.fromiter(map(bool, integers), bool, len(integers))
        self.fits_doubles = max(integers, default=0).bit_length() < _DOUBLE_BITS
        self.floats: Floats = np.array(integers if self.fits_doubles else [], np.float64)
        self._there: NDArray[np.bool_] = np.zeros(len(integers), bool)
        self._sum = 0

    def sum_of(self, there: NDArray[np.bool_]) -> int:
        """Add up those that are there, by what came and went since the last time."""
        changed = np.flatnonzero(there != self._there).tolist()
        self._sum += sum(self.integers[row] if there[row] else -self.integers[row] for row in changed)
        self._there = there
        return self._sum


class Holding:
    """Who held a pool while nobody's share changed; the i-th held the weight of the table's row ``rows[i]``."""

    def __init__(
        self, table: PoolTable, coldkeys: Coldkeys, rows: Ints, numbers: Numbers, whole: int, *, is_safe: bool
    ) -> None:
        self.coldkeys = coldkeys
        self.whole = whole
        self._table = table
        self._rows = rows
        self._numbers = numbers
        self._is_safe = is_safe
        self._floats: Floats = numbers.floats[rows] if numbers.fits_doubles else np.empty(0)

    def __len__(self) -> int:
        return len(self.coldkeys)

    def weights(self) -> list[tuple[str, int]]:
        """Give (coldkey, weight), sorted by coldkey."""
        integers = self._numbers.integers
        return list(zip(self.coldkeys, [integers[row] for row in self._rows.tolist()], strict=True))

    def adds_up(self, denominator: Share) -> bool:
        """Say whether this is all of a pool (:func:`chain.pools.shares.adds_up`)."""
        if not self._is_safe and denominator.exponent is None:
            return self.whole == denominator.bits
        safe = self._table.as_safe_floats
        there = np.zeros(len(safe.integers), bool)
        there[self._rows] = True
        return sum_adds_up(safe.sum_of(there), safe.exponent, denominator)

    @cached_property
    def _largest(self) -> int:
        """Where the largest weight is, the first among equals."""
        if self._numbers.fits_doubles:
            near = np.flatnonzero(self._floats >= self._floats.max() * (1 - _DOUBT)).tolist()
        else:
            near = list(range(len(self)))
        return max(near, key=lambda place: (self._numbers.integers[int(self._rows[place])], -place))

    def split(self, take_rao: int) -> Shares:
        """Split a take in proportion to the weights.

        :raises CannotSplit: for a negative amount, for one above 2**63 - 1, or for something to split and nobody to get it.
        """
        if not 0 <= take_rao <= AMOUNT_MAX:
            raise CannotSplit(f"cannot split {take_rao} rao: less than nothing, or more than there can be")
        if take_rao and not self._rows.size:
            raise CannotSplit(f"{take_rao} rao were earned and nobody held a share")
        amounts = self._floors(take_rao)
        rest = take_rao - int(amounts.sum())
        if not 0 <= rest <= len(amounts):
            raise AssertionError(f"{rest} rao are left of {take_rao} over {len(amounts)} holders")
        if rest:
            amounts[self._largest] += rest
        return Shares(self.coldkeys, amounts)

    def _floors(self, take_rao: int) -> Ints:
        if not take_rao:
            return np.zeros(len(self), np.int64)
        integers, whole = self._numbers.integers, self.whole
        if take_rao >= ESTIMATED_MAX or not self._numbers.fits_doubles:
            return np.array([take_rao * integers[row] // whole for row in self._rows.tolist()], np.int64)
        amounts, doubtful = floors(self._floats * (take_rao / whole))
        for place in doubtful.tolist():
            amounts[place] = take_rao * integers[int(self._rows[place])] // whole
        return amounts


def floors(estimates: Floats) -> tuple[Ints, Ints]:
    """Round estimates below 2**52 down, each off by less than 2**-51 of itself.

    :return: the numbers, and the places of those that such an error may have taken over a whole number.
    """
    off = np.rint(estimates)
    np.subtract(estimates, off, out=off)
    np.abs(off, out=off)
    doubtful = np.flatnonzero(off <= estimates * _DOUBT)
    return estimates.astype(np.int64), doubtful
