"""What importing a file would do: what is new, what is stored already, and what contradicts what is stored.

Reads and compares, and writes nothing. Stored and equal is skipped; stored and different is a problem, because a
fact is never changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from chain.families import Family
from chain.imports.files import REWARDS, STAKE_EVENTS, FileRefused, read_file
from chain.imports.rows import EventRow, Problem, Reading, RewardRow, Slot, read_rows
from chain.models import Block, Hotkey, Network, Side, StakeEvent, StakerReward, Yield
from chain.network import family

NEVER_CHANGED = "Stored facts are never changed by a file."
# What the file calls the columns of a stake event.
_FIELDS = {
    "extrinsic_hash": "signature",
    "added": "direction",
    "coldkey": "staker",
    "hotkey": "vote_account",
    "tao_rao": "amount",
    "fee_rao": "fee",
    "other_coldkey": "other_staker",
    "other_hotkey": "other_vote_account",
}


@dataclass(frozen=True)
class Group:
    """One epoch's component of a vote account: the rows that make one yield. `source_id` names the stored one."""

    epoch: int
    vote_account: str
    component: str
    rows: tuple[RewardRow, ...]
    source_id: int | None = None

    @property
    def slot(self) -> Slot:
        """Where it is credited."""
        return self.rows[0].slot

    @property
    def is_new(self) -> bool:
        """Tell whether importing adds it."""
        return self.source_id is None

    @property
    def label(self) -> str:
        """The component in words."""
        return str(Side(self.component).label)

    @cached_property
    def revenue_rao(self) -> int:
        """The validator's part of all stakers, in lamports."""
        return sum(row.revenue_rao for row in self.rows)

    @cached_property
    def reward_rao(self) -> int:
        """What all stakers were credited, in lamports."""
        return sum(row.reward_rao for row in self.rows)


@dataclass(frozen=True, slots=True)
class ComponentTotal:
    """All groups of one component, over epochs and vote accounts."""

    label: str
    epochs: int
    stakers: int
    reward_rao: int
    revenue_rao: int
    new_rows: int
    known_rows: int


@dataclass(frozen=True)
class Preview:
    """A file as it was read and compared. With problems it is not imported; without news it changes nothing."""

    file_name: str
    sha256: str
    row_count: int
    groups: tuple[Group, ...] = ()
    events: tuple[EventRow, ...] = ()
    known_events: frozenset[int] = frozenset()
    new_slots: tuple[Slot, ...] = ()
    new_vote_accounts: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=())

    @property
    def new_groups(self) -> list[Group]:
        """The yields that importing would add."""
        return [group for group in self.groups if group.is_new]

    @property
    def new_events(self) -> list[EventRow]:
        """The stake events that importing would add."""
        return [event for event in self.events if event.number not in self.known_events]

    @property
    def changes_nothing(self) -> bool:
        """Tell whether everything in the file is stored already."""
        return not (self.problems or self.new_groups or self.new_events)

    @property
    def vote_accounts(self) -> list[str]:
        """The vote accounts that the rows name."""
        of_rewards = {group.vote_account for group in self.groups}
        return sorted(of_rewards | {event.vote_account for event in self.events})

    @property
    def stakers(self) -> int:
        """How many different stakers the rows name."""
        of_rewards = {row.staker for group in self.groups for row in group.rows}
        return len(of_rewards | {event.staker for event in self.events})

    @property
    def new_rows(self) -> int:
        """Rows that importing would add."""
        return sum(len(group.rows) for group in self.new_groups) + len(self.new_events)

    @property
    def known_rows(self) -> int:
        """Rows that are stored as the file has them."""
        known = sum(len(group.rows) for group in self.groups if not group.is_new)
        return known + len(self.known_events)

    @property
    def totals(self) -> list[ComponentTotal]:
        """Sums per component, in the order of the components."""
        found = []
        for component in (Side.REWARDS, Side.EXEC_FEES, Side.MEV):
            groups = [group for group in self.groups if group.component == component]
            if groups:
                found.append(
                    ComponentTotal(
                        str(component.label),
                        len({group.epoch for group in groups}),
                        len({row.staker for group in groups for row in group.rows}),
                        sum(group.reward_rao for group in groups),
                        sum(group.revenue_rao for group in groups),
                        sum(len(group.rows) for group in groups if group.is_new),
                        sum(len(group.rows) for group in groups if not group.is_new),
                    )
                )
        return found


def preview_file(*, content: bytes, file_name: str, now: datetime) -> Preview:
    """Read a file, check all of it and compare it with what is stored.

    :raises FileRefused: for what cannot be read at all, and where this installation takes no files.
    """
    rows = read_file(content)
    reading = read_rows(rows, genesis_hash=_genesis(), now=now)
    groups = _group(reading.rewards)
    preview = Preview(
        file_name=file_name[-200:],
        sha256=hashlib.sha256(content).hexdigest(),
        row_count=sum(map(len, rows.values())),
        groups=tuple(groups),
        events=tuple(reading.events),
        problems=tuple(reading.problems),
    )
    # Part of an epoch compared with the whole of it would only add problems that are none.
    return preview if reading.problems else _compare(preview, reading)


def _genesis() -> str:
    network = Network.objects.first()
    if network is None:
        raise FileRefused(
            "This installation holds no chain yet. Say once which: manage.py pin_network --family SOLANA --name … "
            "--genesis-hash …"
        )
    if family() is Family.BITTENSOR:
        raise FileRefused(
            "This installation holds Bittensor, which is read from a node and never from such files. Another chain "
            "needs a RAKEBACK_HOME or database of its own."
        )
    return network.genesis_hash


def _group(rewards: list[RewardRow]) -> list[Group]:
    rows: dict[tuple[int, str, str], list[RewardRow]] = defaultdict(list)
    for row in rewards:
        rows[row.group].append(row)
    return [Group(*key, rows=tuple(found)) for key, found in sorted(rows.items())]


def _compare(preview: Preview, reading: Reading) -> Preview:
    problems: list[Problem] = []
    groups = _compare_groups(list(preview.groups), problems)
    known = _compare_events(reading.events, problems)
    # By slot, the first row that names it.
    slots: dict[int, tuple[Slot, str, int]] = {}
    for section, rows in ((REWARDS, reading.rewards), (STAKE_EVENTS, reading.events)):
        for row in rows:
            slots.setdefault(row.slot.number, (row.slot, section, row.number))
    new_slots = _compare_slots(slots, problems)
    named = preview.vote_accounts
    ours = set(Hotkey.objects.filter(address__in=named).values_list("address", flat=True))
    return Preview(
        preview.file_name,
        preview.sha256,
        preview.row_count,
        tuple(groups),
        preview.events,
        frozenset(known),
        tuple(new_slots),
        tuple(account for account in named if account not in ours),
        tuple(problems),
    )


def _compare_groups(groups: list[Group], problems: list[Problem]) -> list[Group]:
    """Mark the groups that are stored, naming every row that differs from what is."""
    stored = {
        (row.epoch, row.hotkey, row.side): row
        for row in Yield.objects.filter(
            epoch__in={group.epoch for group in groups}, hotkey__in={group.vote_account for group in groups}
        )
    }
    marked = []
    for group in groups:
        source = stored.get((group.epoch, group.vote_account, group.component))
        if source is None:
            marked.append(group)
            continue
        marked.append(Group(group.epoch, group.vote_account, group.component, group.rows, source.pk))
        problems.extend(_differences(group, source))
    return marked


def _differences(group: Group, source: Yield) -> list[Problem]:
    name = f"Epoch {group.epoch}, {group.component}"
    if source.block_id != group.slot.number:
        text = f"{name} is stored at slot {source.block_id}, not {group.slot.number}. {NEVER_CHANGED}"
        return [Problem(REWARDS, group.rows[0].number, "slot", text, source.pk)]
    stored = {
        row.coldkey: (row.dividend_rao, row.amount_rao) for row in StakerReward.objects.filter(source=source)
    }
    found = []
    for row in group.rows:
        # A row of nothing is not stored.
        before = stored.pop(row.staker, (0, 0))
        for column, old, new in zip(
            ("staker_reward", "validator_revenue"), before, (row.reward_rao, row.revenue_rao), strict=True
        ):
            if old != new:
                text = f"{name}: stored are {old} lamports, the file says {new}. {NEVER_CHANGED}"
                found.append(Problem(REWARDS, row.number, column, text, source.pk))
    if stored:
        some = ", ".join(sorted(stored)[:3]) + (", …" if len(stored) > 3 else "")
        text = f"{name} is stored with {len(stored)} more stakers ({some}). {NEVER_CHANGED}"
        found.append(Problem(REWARDS, group.rows[0].number, "staker", text, source.pk))
    return found


def _compare_events(events: list[EventRow], problems: list[Problem]) -> list[int]:
    """Give the rows of events that are stored, naming those that are stored otherwise."""
    stored = {
        (row.block_id, row.event_index): row
        for row in StakeEvent.objects.filter(block_id__in={event.slot.number for event in events})
    }
    known = []
    for event in events:
        row = stored.get((event.slot.number, event.event_index))
        if row is None:
            continue
        known.append(event.number)
        for column, value in event_values(event).items():
            if (before := getattr(row, column)) != value:
                name = _FIELDS.get(column, column)
                where = f"Event {row.event_index} of slot {row.block_id}"
                text = f"{where} is stored with {name} {before}, the file says {value}. {NEVER_CHANGED}"
                problems.append(Problem(STAKE_EVENTS, event.number, name, text))
                break
    return known


def event_values(event: EventRow) -> dict[str, object]:
    """Give a stake event's columns; stake on another chain is in its coin, so both amounts are the same."""
    return {
        "extrinsic_hash": event.signature,
        "signer": event.signer,
        "kind": event.kind,
        "added": event.added,
        "coldkey": event.staker,
        "hotkey": event.vote_account,
        "tao_rao": event.amount_rao,
        "alpha_rao": event.amount_rao,
        "fee_rao": event.fee_rao,
        "other_coldkey": event.other_staker,
        "other_hotkey": event.other_vote_account,
    }


def _compare_slots(slots: dict[int, tuple[Slot, str, int]], problems: list[Problem]) -> list[Slot]:
    """Give the slots to add, naming those that are stored otherwise or do not fit between their neighbours."""
    stored = {block.number: block for block in Block.objects.filter(number__in=slots)}
    taken = dict(
        Block.objects.filter(hash__in={slot.hash for slot, _, _ in slots.values()}).values_list(
            "hash", "number"
        )
    )
    new = []
    for number, (slot, section, row) in slots.items():
        block = stored.get(number)
        if block is None:
            new.append(slot)
        elif (block.timestamp, block.hash) != (slot.at, slot.hash):
            text = f"Slot {number} is stored with hash {block.hash} at {block.timestamp:%Y-%m-%dT%H:%M:%SZ}."
            problems.append(Problem(section, row, "slot", f"{text} {NEVER_CHANGED}"))
        if taken.get(slot.hash, number) != number:
            text = f"Slot {taken[slot.hash]} is stored with the same hash."
            problems.append(Problem(section, row, "block_hash", text))
    problems.extend(_check_order(slots, new))
    return sorted(new, key=lambda slot: slot.number)


def _check_order(slots: dict[int, tuple[Slot, str, int]], new: list[Slot]) -> list[Problem]:
    if not new:
        return []
    numbers = [slot.number for slot in new]
    low = Block.objects.filter(number__lt=min(numbers)).order_by("-number").first()
    high = Block.objects.filter(number__gt=max(numbers)).order_by("number").first()
    between = Block.objects.filter(number__range=(min(numbers), max(numbers)))
    times = [(block.number, block.timestamp) for block in (low, *between, high) if block is not None]
    times += [(slot.number, slot.at) for slot in new]
    found = []
    for (earlier, before), (later, after) in pairwise(sorted(times)):
        if after < before:
            # One of the two is of the file; what is stored is in order.
            _, section, row = slots[later] if later in slots else slots[earlier]
            text = f"Slot {earlier} is at {before:%Y-%m-%dT%H:%M:%SZ}, slot {later} before that: one of them is wrong."
            found.append(Problem(section, row, "slot_time", text))
    return found
