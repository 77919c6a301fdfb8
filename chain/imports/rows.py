"""What the rows of a file say, each checked by itself and against the others of the file. Pure.

Amounts become integers of lamports, times have a zone, addresses are public keys in their one spelling. Every
fault is named with its row and field; a file with one fault is not imported.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

from chain import base58
from chain.addresses import InvalidAddress, decode_solana
from chain.imports.files import AMOUNTS, GENESIS, REWARDS, ROWS_MAX, STAKE_EVENTS, RawRow, Rows
from chain.quoting import quoted
from chain.units import parse_tao

COMPONENTS = ("REWARDS", "EXEC_FEES", "MEV")
DIRECTIONS = {"STAKE": True, "UNSTAKE": False, "RESTAKE": None, "TRANSFER": None}
AMOUNT_MAX = 2**63 - 1
INDEX_MAX = 2**31 - 1
_FORMULA_SIGNS = ("=", "+", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file cannot be imported: where, and what to do. `source_id` is the stored yield a row contradicts."""

    section: str
    row: int
    field: str
    text: str
    source_id: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot with a block: its number, time and hash."""

    number: int
    at: datetime
    hash: str


@dataclass(frozen=True, slots=True)
class RewardRow:
    """What one staker earned the validator in one epoch by one component, and was credited; in lamports."""

    number: int
    epoch: int
    slot: Slot
    vote_account: str
    component: str
    staker: str
    reward_rao: int
    revenue_rao: int

    @property
    def group(self) -> tuple[int, str, str]:
        """The yield it is part of: epoch, vote account, component."""
        return self.epoch, self.vote_account, self.component


@dataclass(frozen=True, slots=True)
class EventRow:
    """One change of a staker's stake with a vote account; amounts positive, `added` is the direction."""

    number: int
    slot: Slot
    event_index: int
    kind: str
    added: bool
    staker: str
    vote_account: str
    amount_rao: int
    fee_rao: int
    signature: str
    signer: str
    other_staker: str
    other_vote_account: str


Row = TypeVar("Row", RewardRow, EventRow)


@dataclass
class Reading:
    """The rows that could be read, and every fault of the file."""

    rewards: list[RewardRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_rows(rows: Rows, *, genesis_hash: str, now: datetime) -> Reading:
    """Check all rows of a file.

    :param genesis_hash: of the chain that this installation holds; rows of another are refused.
    :param now: later times are refused.
    """
    reading = Reading()
    for section, make in ((REWARDS, _reward), (STAKE_EVENTS, _event)):
        for raw in rows.get(section, []):
            cells = _Cells(raw, section, genesis_hash, now)
            row = make(cells)
            reading.problems += [
                Problem(section, raw.number, name, text) for name, text in cells.faults.items()
            ]
            if not cells.faults and isinstance(row, RewardRow):
                reading.rewards.append(row)
            elif not cells.faults and isinstance(row, EventRow):
                reading.events.append(row)
    reading.problems += _compare_rows(reading)
    reading.problems.sort(key=lambda problem: (problem.section, problem.row))
    return reading


class _Cells:
    """The cells of one row, read one by one; a fault is kept and the next cell read."""

    def __init__(self, raw: RawRow, section: str, genesis_hash: str, now: datetime) -> None:
        self.number, self.section, self.faults = raw.number, section, dict[str, str]()
        self._cells, self._now = raw.cells, now
        if self.text(GENESIS) != genesis_hash and GENESIS not in self.faults:
            self.faults[GENESIS] = f"Is of another chain; this installation holds {genesis_hash}."

    def read(self, name: str, read: Callable[[str], Any], *, required: bool = True) -> Any:
        """Read one cell; None when it is at fault or empty."""
        try:
            text = _text(self._cells.get(name))
            if text:
                return read(text)
            if required:
                raise ValueError("is missing")
        except (ValueError, InvalidAddress) as error:
            said = str(error)
            self.faults[name] = f"{said[:1].upper()}{said[1:]}."
        return None

    def text(self, name: str) -> str:
        return self.read(name, str) or ""

    def whole(self, name: str, maximum: int = AMOUNT_MAX) -> int:
        return self.read(name, lambda text: _whole(text, maximum)) or 0

    def address(self, name: str, *, required: bool = True) -> str:
        return self.read(name, _address, required=required) or ""

    def amount(self, name: str) -> int:
        """Read an amount in the spelling that the file uses, as lamports."""
        if f"{name}_sol" in self._cells:
            return self.read(f"{name}_sol", _sol) or 0
        return self.read(f"{name}_lamports", _lamports) or 0

    def slot(self) -> Slot:
        number = self.whole("slot")
        at = self.read("slot_time", lambda text: _moment(text, self._now))
        block_hash = self.read("block_hash", lambda text: _base58(text, 32, "a block hash"))
        return Slot(number, at or self._now, block_hash or "")


def _reward(cells: _Cells) -> RewardRow:
    reward, revenue = (cells.amount(name) for name in AMOUNTS[REWARDS])
    return RewardRow(
        cells.number,
        cells.whole("epoch"),
        cells.slot(),
        cells.address("vote_account"),
        cells.read("component", lambda text: _one_of(text, COMPONENTS)) or "",
        cells.address("staker"),
        reward,
        revenue,
    )


def _event(cells: _Cells) -> EventRow:
    kind = cells.read("kind", lambda text: _one_of(text, DIRECTIONS)) or ""
    direction = cells.read("direction", lambda text: _one_of(text, ("IN", "OUT")), required=False)
    added = DIRECTIONS.get(kind)
    if "direction" not in cells.faults and kind:
        if added is None and direction is None:
            cells.faults["direction"] = f"Say IN or OUT: {kind} goes both ways."
        elif added is not None and direction not in {None, "IN" if added else "OUT"}:
            cells.faults["direction"] = f"{kind} is always {'IN' if added else 'OUT'}."
    amount, fee = (cells.amount(name) for name in AMOUNTS[STAKE_EVENTS])
    return EventRow(
        cells.number,
        cells.slot(),
        cells.whole("event_index", INDEX_MAX),
        kind,
        direction == "IN" if added is None else added,
        cells.address("staker"),
        cells.address("vote_account"),
        amount,
        fee,
        cells.read("signature", lambda text: _base58(text, 64, "a signature")) or "",
        cells.address("signer", required=False),
        cells.address("other_staker", required=kind == "TRANSFER"),
        cells.address("other_vote_account", required=kind == "RESTAKE"),
    )


# --- cells --------------------------------------------------------------------------------------------


def _text(cell: Any) -> str:
    """Take a cell as text, refusing what JSON has besides and what a spreadsheet would run."""
    if cell is None:
        return ""
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        raise ValueError('is neither text nor a whole number; write amounts of SOL as text, like "0.5"')
    text = str(cell).strip(" ")
    if text.startswith(_FORMULA_SIGNS):
        raise ValueError(f"begins with {text[0]!r}, which a spreadsheet takes for a formula")
    return text


def _one_of(text: str, known: Iterable[str]) -> str:
    if text not in known:
        raise ValueError(f"{quoted(text)} is not one of {', '.join(known)}")
    return text


def _whole(text: str, maximum: int) -> int:
    if re.fullmatch(r"-[0-9]+", text):
        raise ValueError(f"{quoted(text)} is negative")
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > maximum:
        raise ValueError(f"{quoted(text)} is not a whole number of digits alone, at most {maximum}")
    return int(text)


def _lamports(text: str) -> int:
    if re.fullmatch(r"[0-9]+\.[0-9]+", text):
        raise ValueError(f"{quoted(text)}: lamports are whole; for SOL name the column …_sol")
    return _whole(text, AMOUNT_MAX)


def _sol(text: str) -> int:
    rao = parse_tao(text, "SOL")
    if rao < 0:
        raise ValueError(f"{quoted(text)} is negative")
    if rao > AMOUNT_MAX:
        raise ValueError(f"{quoted(text)} is more SOL than can be stored")
    return rao


def _moment(text: str, now: datetime) -> datetime:
    at = _utc(text)
    if at > now:
        raise ValueError(f"{text} is in the future")
    return at


# Slots, vote accounts and stakers come again row by row; reading each once halves the time.
@lru_cache(maxsize=1_000)
def _utc(text: str) -> datetime:
    try:
        if len(text) != 20 or not text.isascii():
            raise ValueError
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a time in UTC like 2026-01-31T12:34:56Z") from None


@lru_cache(maxsize=ROWS_MAX)
def _address(text: str) -> str:
    try:
        decode_solana(text)
    except InvalidAddress as error:
        raise ValueError(f"the address {error}") from error
    return text


@lru_cache(maxsize=1_000)
def _base58(text: str, size: int, what: str) -> str:
    # Reading takes time that grows with the square of the length.
    if len(text) > size * 2:
        raise ValueError(f"has {len(text)} characters, too many for {what}")
    try:
        raw = base58.decode(text)
    except base58.NotBase58 as error:
        raise ValueError(str(error).replace("no address", "no base58 text")) from error
    if len(raw) != size:
        raise ValueError(f"holds {len(raw)} bytes; {what} holds {size}")
    return text


# --- rows against each other ----------------------------------------------------------------------------


def _compare_rows(reading: Reading) -> list[Problem]:
    return [
        *_find_twice(
            REWARDS,
            reading.rewards,
            lambda row: (*row.group, row.staker),
            "staker",
            "The same staker, epoch, vote account and component is on row {}: add up a staker's accounts to one row.",
        ),
        *_find_twice(
            STAKE_EVENTS,
            reading.events,
            lambda row: (row.slot.number, row.event_index),
            "event_index",
            "The same slot and event_index is on row {}.",
        ),
        *_check_slots(reading),
        *_check_groups(reading.rewards),
    ]


def _find_twice(
    section: str, rows: list[Row], key: Callable[[Row], Hashable], name: str, text: str
) -> list[Problem]:
    seen: dict[Hashable, int] = {}
    problems = []
    for row in rows:
        first = seen.setdefault(key(row), row.number)
        if first != row.number:
            problems.append(Problem(section, row.number, name, text.format(first)))
    return problems


def _check_slots(reading: Reading) -> list[Problem]:
    """One slot has one time and hash, one hash one slot, and time does not run backwards."""
    by_number: dict[int, tuple[Slot, str, int]] = {}
    by_hash: dict[str, Slot] = {}
    problems = []
    rows: list[tuple[str, RewardRow | EventRow]] = [(REWARDS, row) for row in reading.rewards]
    rows += [(STAKE_EVENTS, row) for row in reading.events]
    for section, row in rows:
        slot = row.slot
        known, at, number = by_number.setdefault(slot.number, (slot, section, row.number))
        if known != slot:
            problems.append(
                Problem(
                    section,
                    row.number,
                    "slot",
                    f"Slot {slot.number} has another time or hash in {at}, row {number}.",
                )
            )
        elif (other := by_hash.setdefault(slot.hash, slot)) != slot:
            problems.append(
                Problem(section, row.number, "block_hash", f"Slot {other.number} has the same hash.")
            )
    ordered = [by_number[number] for number in sorted(by_number)]
    problems += [
        Problem(
            section,
            row,
            "slot_time",
            f"Is before that of the earlier slot {earlier.number}: time does not run backwards.",
        )
        for (earlier, _, _), (later, section, row) in pairwise(ordered)
        if later.at < earlier.at
    ]
    return problems


def _check_groups(rewards: list[RewardRow]) -> list[Problem]:
    """All stakers of an epoch's component are credited at one slot, and their sums can be stored."""
    slots: dict[tuple[int, str, str], tuple[Slot, int]] = {}
    sums: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0])
    problems = []
    for row in rewards:
        slot, number = slots.setdefault(row.group, (row.slot, row.number))
        if slot.number != row.slot.number:
            problems.append(
                Problem(
                    REWARDS,
                    row.number,
                    "slot",
                    f"Epoch {row.epoch}, {row.component} is at slot {slot.number} on row {number}: "
                    "one epoch and component has one slot.",
                )
            )
        total = sums[row.group]
        total[0] += row.reward_rao
        total[1] += row.revenue_rao
        if max(total) > AMOUNT_MAX >= max(total[0] - row.reward_rao, total[1] - row.revenue_rao):
            problems.append(
                Problem(REWARDS, row.number, "component", "The sum up to here is more than can be stored.")
            )
    return problems
