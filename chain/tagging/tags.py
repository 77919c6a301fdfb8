"""Which remark names which stake (PA7): remarks of a block with their texts, and what each of them tags or why not. Pure.

A remark counts for stake that its own sender newly brought to our hotkeys in the same extrinsic, wherever both stand in
its calls. Anything else is refused with a reason, never dropped and never guessed: anybody can copy a text, so the
text alone proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from chain.facts import RemarkFact, StakeEventFact, TagFact
from chain.runtimes.decoding import Event, Extrinsic, calls_within
from chain.stake.causes import Cause
from chain.tagging.call_tree import Trace, argument, call_name, field, is_marker, trace

# Longer than any name of a partner. A longer text is not kept: its hash and length are, and the chain has the rest.
REMARK_BYTES_MAX = 4_096

# Stake that its own coldkey asked for, now or in an order it signed; what the chain did by itself carries no tag.
OWN_CAUSES = frozenset({"", Cause.ORDER})
# Calls that can bring stake to a hotkey of ours from outside.
STAKING_CALLS = frozenset(
    {"SubtensorModule.add_stake", "SubtensorModule.add_stake_limit", "SubtensorModule.move_stake"}
)


class Reason(StrEnum):
    """Why a remark tags a stake, or why it tags none."""

    SAME_SENDER = "SAME_SENDER"
    BY_ORDER = "BY_ORDER"
    BY_DELEGATE = "BY_DELEGATE"
    EXTRINSIC_FAILED = "EXTRINSIC_FAILED"
    EMPTY_TEXT = "EMPTY_TEXT"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    BATCH_INTERRUPTED = "BATCH_INTERRUPTED"
    ITEM_FAILED = "ITEM_FAILED"
    PROXY_FAILED = "PROXY_FAILED"
    CALL_FAILED = "CALL_FAILED"
    NOT_BY_DELEGATE = "NOT_BY_DELEGATE"
    MOVED_WITHIN = "MOVED_WITHIN"
    UNSTAKE_ONLY = "UNSTAKE_ONLY"
    NOT_THE_SENDERS = "NOT_THE_SENDERS"
    NO_STAKE = "NO_STAKE"
    SAME_TEXT_TWICE = "SAME_TEXT_TWICE"
    AMBIGUOUS = "AMBIGUOUS"


ACCEPTED = frozenset({Reason.SAME_SENDER, Reason.BY_ORDER, Reason.BY_DELEGATE})

SENTENCES: dict[Reason, str] = {
    Reason.SAME_SENDER: "Its sender staked in the same extrinsic.",
    Reason.BY_ORDER: "Its sender left several texts; by the order of the calls this one belongs to this stake.",
    Reason.BY_DELEGATE: "Its sender staked in the same extrinsic as the coldkey's proxy, and proxies are accepted.",
    Reason.EXTRINSIC_FAILED: "The extrinsic did not succeed, so nothing in it counts.",
    Reason.EMPTY_TEXT: "The remark is empty.",
    Reason.TEXT_TOO_LONG: f"The text is longer than {REMARK_BYTES_MAX:,} bytes.",
    Reason.BATCH_INTERRUPTED: "The batch was interrupted before the stake beside the remark went through.",
    Reason.ITEM_FAILED: "The stake beside the remark failed, and the batch went on without it.",
    Reason.PROXY_FAILED: "The stake beside the remark failed inside its proxy call.",
    Reason.CALL_FAILED: "The stake beside the remark failed inside the call that wrapped it.",
    Reason.NOT_BY_DELEGATE: "A proxy left the remark; the coldkey that it staked for left none.",
    Reason.MOVED_WITHIN: "What its sender staked came from our hotkeys, or left them again at once. A tag is for new stake.",
    Reason.UNSTAKE_ONLY: "Its sender only took stake away in this extrinsic.",
    Reason.NOT_THE_SENDERS: "The stake in this extrinsic belongs to another coldkey than the remark's sender.",
    Reason.NO_STAKE: "No stake on our hotkeys changed in this extrinsic.",
    Reason.SAME_TEXT_TWICE: "Its sender left the same text before; one is enough.",
    Reason.AMBIGUOUS: "Its sender left different texts, and their order does not say which stake each belongs to.",
}

_FAILURES = {
    "BatchInterrupted": Reason.BATCH_INTERRUPTED,
    "ItemFailed": Reason.ITEM_FAILED,
    "ProxyExecuted": Reason.PROXY_FAILED,
}


def text_hash(text: bytes) -> str:
    """The hash by which a Remarked event names its text: BLAKE2b-256, 0x hex."""
    return "0x" + hashlib.blake2b(text, digest_size=32).hexdigest()


EMPTY_HASH = text_hash(b"")


def remarks(
    events: Iterable[Event],
    extrinsics: Mapping[int, Extrinsic],
    legs: Iterable[StakeEventFact],
    *,
    known_texts: Iterable[bytes] = (),
) -> list[RemarkFact]:
    """Find every remark left in an extrinsic that changed stake on our hotkeys, with its text.

    The event holds only a hash; the text is looked for in the extrinsic's calls, and then among `known_texts`, for calls
    that cannot be read (made by a contract, say). Where it is in neither, the hash alone is kept.

    :param legs: stake events on our hotkeys.
    """
    ours = {leg.extrinsic_index for leg in legs}
    known = {text_hash(text): text for text in known_texts}
    in_calls: dict[int, dict[str, bytes]] = {}
    found = []
    for event in events:
        index = event.extrinsic_index
        if index is None or index not in ours or not event.is_a("System", "Remarked"):
            continue
        if index not in in_calls:
            in_calls[index] = _texts(extrinsics.get(index))
        sender, digest = field(event, "sender", 0), field(event, "hash", 1)
        text = in_calls[index].get(digest, known.get(digest))
        found.append(
            RemarkFact(
                event_index=event.index,
                extrinsic_index=index,
                sender=sender,
                remark=None if text is None or len(text) > REMARK_BYTES_MAX else text,
                text_hash=digest,
                byte_count=None if text is None else len(text),
            )
        )
    return found


def _texts(extrinsic: Extrinsic | None) -> dict[str, bytes]:
    """Every text of a `remark_with_event` in an extrinsic, by its hash.

    The decoder gives bytes as text where they are UTF-8 and as hex where not, so a value in hex stands for two texts; the
    hash in the event says which it was.
    """
    found: dict[str, bytes] = {}
    for call in calls_within(extrinsic.call) if extrinsic else ():
        value = argument(call, "remark") if call_name(call) == "System.remark_with_event" else None
        if isinstance(value, str):
            found[text_hash(value.encode())] = value.encode()
            if value.startswith("0x"):
                try:
                    raw = bytes.fromhex(value[2:])
                except ValueError:
                    continue
                found[text_hash(raw)] = raw
    return found


def tags(
    events: Sequence[Event],
    extrinsics: Mapping[int, Extrinsic],
    legs: Sequence[StakeEventFact],
    remarks: Sequence[RemarkFact],
    *,
    accept_delegates: bool = False,
) -> list[TagFact]:
    """Decide what each remark of a block tags.

    An accepted remark gives one tag for each stake that it names, a refused one gives one without a stake; a stake is
    never named by two remarks.

    A proxy that stakes for a coldkey and leaves the remark in its own name is refused unless `accept_delegates`: its right
    to stake is no right to say who brought the coldkey, and the coldkey has seen neither. Accepted or not, `via_delegate`
    says that it was so.

    :param legs: stake events on our hotkeys, all others left out.
    :param remarks: as :func:`remarks` gives them.
    """
    found: list[TagFact] = []
    in_order = sorted(remarks, key=lambda remark: (remark.extrinsic_index, remark.event_index))
    for index, left in groupby(in_order, key=lambda remark: remark.extrinsic_index):
        found += _Judge(
            [event for event in events if event.extrinsic_index == index],
            extrinsics.get(index),
            [leg for leg in legs if leg.extrinsic_index == index and leg.cause != Cause.ALPHA_FEE],
            list(left),
            accept_delegates,
        ).judge()
    return sorted(found, key=lambda tag: (tag.remark_event_index, tag.stake_event_index or 0))


@dataclass
class _Judge:
    """One extrinsic with a remark in it."""

    events: list[Event]
    extrinsic: Extrinsic | None
    legs: list[StakeEventFact]
    remarks: list[RemarkFact]
    accept_delegates: bool

    def judge(self) -> list[TagFact]:
        if not any(event.is_a("System", "ExtrinsicSuccess") for event in self.events):
            return [_refused(remark, Reason.EXTRINSIC_FAILED) for remark in self.remarks]
        found: list[TagFact] = []
        by_sender: dict[str, list[RemarkFact]] = {}
        for remark in self.remarks:
            if remark.text_hash == EMPTY_HASH:
                found.append(_refused(remark, Reason.EMPTY_TEXT))
            elif remark.byte_count is not None and remark.byte_count > REMARK_BYTES_MAX:
                found.append(_refused(remark, Reason.TEXT_TOO_LONG))
            else:
                by_sender.setdefault(remark.sender, []).append(remark)
        run = trace(self.extrinsic, self.events) if self.extrinsic else None
        new = self._new_stake()
        for sender, left in by_sender.items():
            delegated = [
                leg for leg in new if leg.coldkey not in by_sender and self._is_delegated(run, leg, sender)
            ]
            stakes = [leg for leg in new if leg.coldkey == sender]
            if self.accept_delegates:
                stakes = sorted(stakes + delegated, key=lambda leg: leg.event_index)
            if stakes:
                found += _assigned(left, stakes)
            else:
                reason = self._why_none(run, sender, delegated)
                found += [_refused(remark, reason, via_delegate=bool(delegated)) for remark in left]
        return found

    def _new_stake(self) -> list[StakeEventFact]:
        """Stake that came to our hotkeys from outside: staked, or moved here from a hotkey that is not ours."""
        part_of = self._parts()
        left_from = {(leg.coldkey, leg.hotkey, leg.netuid) for leg in self.legs if not leg.added}
        sold_in = {(leg.coldkey, part_of.get(leg.event_index)) for leg in self.legs if not leg.added}
        return [
            leg
            for leg in self.legs
            if leg.added
            and leg.cause in OWN_CAUSES
            and (
                # What a call takes from our subnets and stakes again, or stakes and burns, came from nowhere new.
                (leg.kind == "STAKE" and (leg.coldkey, part_of.get(leg.event_index)) not in sold_in)
                or (
                    leg.kind == "RESTAKE"
                    and leg.other_hotkey != leg.hotkey
                    and (leg.coldkey, leg.other_hotkey, leg.other_netuid) not in left_from
                )
            )
        ]

    def _parts(self) -> dict[int, int]:
        """Number the stretches between wrappers' events; the items of a batch are never in one."""
        parts: dict[int, int] = {}
        part = 0
        for event in self.events:
            parts[event.index] = part
            part += is_marker(event)
        return parts

    def _is_delegated(self, run: Trace | None, leg: StakeEventFact, sender: str) -> bool:
        """Whether the remark's sender signed the extrinsic and staked in it as the proxy of the leg's coldkey.

        That a proxy call succeeded somewhere is not enough: the proxy call around this very stake must name its coldkey,
        or another's limit order, filled from a proxy of one's own, would pass.
        """
        if run is None or self.extrinsic is None or self.extrinsic.signer != sender:
            return False
        place = run.places.get(leg.event_index)
        return place is not None and (place.account, place.delegate) == (leg.coldkey, sender)

    def _why_none(self, run: Trace | None, sender: str, delegated: list[StakeEventFact]) -> Reason:
        if delegated:
            return Reason.NOT_BY_DELEGATE
        for failure in run.failures if run else ():
            if failure.calls & STAKING_CALLS:
                return _FAILURES.get(failure.marker, Reason.CALL_FAILED)
        own = [leg for leg in self.legs if leg.coldkey == sender]
        if any(leg.added for leg in own):
            return Reason.MOVED_WITHIN
        if own:
            return Reason.UNSTAKE_ONLY
        return Reason.NOT_THE_SENDERS if self.legs else Reason.NO_STAKE


def _refused(remark: RemarkFact, reason: Reason, *, via_delegate: bool = False) -> TagFact:
    return TagFact(remark.event_index, None, False, reason, via_delegate)


def _accepted(remark: RemarkFact, stakes: Iterable[StakeEventFact], reason: Reason) -> list[TagFact]:
    return [
        TagFact(
            remark.event_index,
            stake.event_index,
            True,
            reason if stake.coldkey == remark.sender else Reason.BY_DELEGATE,
            stake.coldkey != remark.sender,
        )
        for stake in stakes
    ]


def _assigned(left: Sequence[RemarkFact], stakes: Sequence[StakeEventFact]) -> list[TagFact]:
    """Give the stakes of one sender their remarks.

    One text names all of them. Of different texts each names the stakes beside it, if stakes and texts take strict turns
    through the whole extrinsic: stakes then their text, or a text then its stakes. Any other order could be read in two
    ways, and then none counts.
    """
    runs: list[tuple[list[RemarkFact], list[StakeEventFact]]]
    reason = Reason.SAME_SENDER
    if len({remark.text_hash for remark in left}) == 1:
        runs = [(list(left), list(stakes))]
    else:
        reason = Reason.BY_ORDER
        runs = _turns(left, stakes)
        if any(not some or not of or len({r.text_hash for r in some}) > 1 for some, of in runs):
            return [_refused(remark, Reason.AMBIGUOUS) for remark in left]
    found: list[TagFact] = []
    for (first, *again), named in runs:
        found += _accepted(first, named, reason)
        found += [_refused(remark, Reason.SAME_TEXT_TWICE) for remark in again]
    return found


def _turns(
    left: Sequence[RemarkFact], stakes: Sequence[StakeEventFact]
) -> list[tuple[list[RemarkFact], list[StakeEventFact]]]:
    """Pair each run of remarks with the run of stakes on the side where the extrinsic has them throughout.

    A run without its other half is paired with nothing.
    """
    both_kinds: list[RemarkFact | StakeEventFact] = [*left, *stakes]
    in_order = sorted(both_kinds, key=lambda fact: fact.event_index)
    runs = [list(run) for _, run in groupby(in_order, key=lambda fact: isinstance(fact, RemarkFact))]
    pairs = []
    for start in range(0, len(runs), 2):
        both = [fact for run in runs[start : start + 2] for fact in run]
        pairs.append(
            (
                [fact for fact in both if isinstance(fact, RemarkFact)],
                [fact for fact in both if isinstance(fact, StakeEventFact)],
            )
        )
    return pairs
