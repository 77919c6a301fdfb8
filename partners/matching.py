"""Whose a delegation is. Pure: the rows as plain values in, one winner or none out, with the reasons.

A delegation is stake of one coldkey with one hotkey on one subnet and side that came under one tag, at one block. A rule
of a partner claims it or gives a reason why not; among the claims a named wallet comes before a memo, a memo before rules
for whole subnets or sides; then the lower priority number wins, then the older rule. The answer never depends on the
order in which rows were read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum

from chain.units import format_bps
from partners.memos import MemoMatch, matcher
from partners.rates import Aggregation, Basis, Steps, steps_of


class RuleKind(StrEnum):
    """What a rule looks at."""

    WALLET = "WALLET"
    MEMO = "MEMO"
    SUBNET = "SUBNET"
    SIDE = "SIDE"
    ALL = "ALL"


CHILD = "CHILD"
"""Beside the sides: stake on a hotkey to which others lent theirs on the subnet, whichever side it earns on."""

# The stake is the partner's whose wallet it is, whatever app tagged it (PA1).
_RANKS = {
    RuleKind.WALLET: 0,
    RuleKind.MEMO: 1,
    RuleKind.SUBNET: 2,
    RuleKind.SIDE: 2,
    RuleKind.ALL: 2,
}


@dataclass(frozen=True, slots=True)
class TaggedAt:
    """A stake of a wallet that a remark tagged, where it stands in the chain."""

    block: int
    event_index: int
    text: bytes


@dataclass(frozen=True, slots=True)
class History:
    """When a wallet first had stake with any of our hotkeys, and every stake of it that was tagged, in chain order.

    `event_index` is -1 where the stake was there before the first block that was read.
    """

    block: int
    event_index: int
    at: datetime
    tagged: tuple[TaggedAt, ...] = ()


@dataclass(frozen=True, slots=True)
class Delegation:
    """Stake of one coldkey at one block; `at` is that block's time, with a time zone.

    `tag` is the text of the remark under which it came, `moved_tag` of the last under which it was moved between our hotkeys
    or subnets, empty where none; `history` the wallet's, where it is known; `is_child` says that the hotkey was a child key,
    None that it was not read.
    """

    coldkey: str
    hotkey: str
    netuid: int
    side: str
    block: int
    at: datetime
    tag: bytes = b""
    moved_tag: bytes = b""
    history: History | None = None
    is_child: bool | None = False

    def is_of(self, side: str) -> bool:
        """Tell whether it is stake of this side, or of a child key."""
        return bool(self.is_child) if side == CHILD else self.side == side

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a delegation's time needs a time zone")


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """An agreement in force over `[starts_at, ends_at)`; without `ends_at` it goes on.

    Empty `netuids`, `hotkeys` or `sides` stand for every one of them; `CHILD` may be among the sides. What is excluded never
    counts, whatever finds it. `tiers` are (from rao, rate in basis points) of the month's volume, `monthly_cap_rao` the
    most that the partner's commission of a month may come to (:mod:`partners.rates`). `names_wallets` asks for lines by
    wallet, which statements list or sum as `aggregation` says.
    """

    id: int
    partner_id: int
    partner_name: str
    starts_at: datetime
    ends_at: datetime | None
    rate_bps: int
    basis: str = Basis.TAKE
    netuids: frozenset[int] = frozenset()
    hotkeys: frozenset[str] = frozenset()
    sides: frozenset[str] = frozenset()
    new_delegators_only: bool = False
    excluded_netuids: frozenset[int] = frozenset()
    excluded_wallets: frozenset[str] = frozenset()
    tiers: tuple[tuple[int, int], ...] = ()
    monthly_cap_rao: int | None = None
    names_wallets: bool = False
    aggregation: str = Aggregation.LUMP_SUM
    steps: Steps = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", steps_of(self.rate_bps, self.tiers))

    def in_force(self, at: datetime) -> bool:
        """Tell whether the agreement covers this moment."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def covers(self, delegation: Delegation) -> bool:
        """Tell whether the delegation is within the agreement's subnets, hotkeys and sides."""
        return (
            (not self.netuids or delegation.netuid in self.netuids)
            and (not self.hotkeys or delegation.hotkey in self.hotkeys)
            and (not self.sides or any(map(delegation.is_of, self.sides)))
        )

    def excludes(self, delegation: Delegation) -> bool:
        """Tell whether the delegation's wallet or subnet is taken out of the agreement."""
        return delegation.coldkey in self.excluded_wallets or delegation.netuid in self.excluded_netuids


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """One rule of an agreement. `memo` is a memo rule's, `netuid` a subnet rule's, `side` a side rule's.

    A memo counts on stake that came under it, on an unstake beside it, which then uses up such stake first, and on stake
    that was moved under it between our hotkeys or subnets, as `on_stake`, `on_unstake` and `on_restake` say. It counts at
    blocks `[applies_from_block, applies_until_block)`; without the latter it goes on.

    :raises InvalidMemo: the memo is none (:func:`partners.memos.matcher`).
    """

    id: int
    agreement_id: int
    priority: int = 100
    applies_from_block: int = 0
    is_active: bool = True
    kind: str = RuleKind.WALLET
    memo_match: str = ""
    memo: str = ""
    netuid: int | None = None
    side: str = ""
    on_stake: bool = True
    on_unstake: bool = True
    on_restake: bool = False
    applies_until_block: int | None = None
    matches: Callable[[bytes], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        is_memo = self.kind == RuleKind.MEMO
        test = matcher(MemoMatch(self.memo_match), self.memo) if is_memo else _never
        object.__setattr__(self, "matches", test)

    def finds(self, delegation: Delegation) -> bool:
        """Tell whether stake came or was moved under the memo, as far as the rule counts that."""
        return (self.on_stake and self.matches(delegation.tag)) or (
            self.on_restake and self.matches(delegation.moved_tag)
        )


def _never(text: bytes) -> bool:
    return False


FormerSpan = tuple[int, date, date]


def former_of(owners: Sequence[FormerSpan], since: date) -> tuple[FormerSpan, ...]:
    """Give the days of a wallet's former owners, half-open: each had it until the next, and no longer than their own end.

    :param owners: in the order in which they had it, from and at most until which day.
    :param since: the day from which it is the present one's.
    """
    found = []
    for partner_id, begin, end in reversed(owners):
        if begin < min(end, since):
            found.append((partner_id, begin, min(end, since)))
        since = min(since, begin)
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class WalletTerms:
    """An address that belongs to a partner from 00:00 UTC of `introduced_date`, if it ends to that of `ended_date`.

    `former` are the spans of those from whom it was taken: (partner, from, until), half-open, of days.
    """

    id: int
    partner_id: int
    address: str
    introduced_date: date
    is_active: bool = True
    former: tuple[FormerSpan, ...] = ()
    ended_date: date | None = None

    def at(self, moment: datetime) -> WalletTerms:
        """Whose it was then."""
        if self.former:
            day = moment.astimezone(UTC).date()
            for partner_id, since, until in self.former:
                if since <= day < until:
                    # Who had it switched off when it was taken from them is no former owner.
                    return WalletTerms(self.id, partner_id, self.address, since, ended_date=until)
        return self

    def borders(self) -> Iterator[date]:
        """The days at whose 00:00 UTC it begins or ends to be somebody's."""
        yield self.introduced_date
        if self.ended_date is not None:
            yield self.ended_date
        for _, since, until in self.former:
            yield since
            yield until

    def as_row(self) -> dict[str, object]:
        """As fingerprints hold it."""
        spans = [[partner, since.isoformat(), until.isoformat()] for partner, since, until in self.former]
        return {
            "id": self.id,
            "partner": self.partner_id,
            "address": self.address,
            "introduced_date": self.introduced_date.isoformat(),
        } | _given(
            former=spans,
            ended_date=self.ended_date.isoformat() if self.ended_date else None,
            is_inactive=not self.is_active,
        )


@dataclass(frozen=True, slots=True)
class Winner:
    """The one claim that won, and the rate it is paid at; `wallet_id` is that of the wallet it was named by.

    `basis` is what the rate is of; `steps` are the rates by the month's volume, empty where `rate_bps` holds for all of it;
    `cap_rao` the most that the partner's month may come to; `names_wallets` that lines name whose stake it is; `outranked`
    the rules that claimed it too, the next in rank first.
    """

    partner_id: int
    agreement_id: int
    rule_id: int
    wallet_id: int | None
    rate_bps: int
    steps: Steps = ()
    cap_rao: int | None = None
    basis: str = Basis.TAKE
    names_wallets: bool = False
    outranked: tuple[int, ...] = ()


class Reason(StrEnum):
    """Why a rule won or did not."""

    WON = "WON"
    OUTRANKED = "OUTRANKED"
    NO_RULE = "NO_RULE"
    RULE_INACTIVE = "RULE_INACTIVE"
    AGREEMENT_NOT_IN_FORCE = "AGREEMENT_NOT_IN_FORCE"
    BEFORE_FIRST_BLOCK = "BEFORE_FIRST_BLOCK"
    AFTER_LAST_BLOCK = "AFTER_LAST_BLOCK"
    OUT_OF_SCOPE = "OUT_OF_SCOPE"
    EXCLUDED = "EXCLUDED"
    OTHER_MEMO = "OTHER_MEMO"
    OTHER_SUBNET = "OTHER_SUBNET"
    OTHER_SIDE = "OTHER_SIDE"
    NOT_NEW = "NOT_NEW"
    HISTORY_UNKNOWN = "HISTORY_UNKNOWN"
    ADDRESS_NOT_LISTED = "ADDRESS_NOT_LISTED"
    WALLET_INACTIVE = "WALLET_INACTIVE"
    WALLET_INTRODUCED_LATER = "WALLET_INTRODUCED_LATER"
    WALLET_ENDED = "WALLET_ENDED"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one rule; `rule_id` is empty for an agreement without rules."""

    partner_id: int
    partner_name: str
    agreement_id: int
    rule_id: int | None
    wallet_id: int | None
    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class Why:
    """The winner, if any, and what became of every rule, the winner's first."""

    winner: Winner | None
    verdicts: tuple[Verdict, ...]


Claim = tuple[AgreementTerms, RuleTerms, WalletTerms | None]


class RuleBook:
    """All agreements, rules and wallets, indexed to answer for many delegations.

    `memo_rules` are the active rules that look at remarks; `asks_history` says that one in use pays for new delegators
    only, so that histories are needed, `asks_children` that one pays for stake on child keys.

    Rows may come in any order; a rule whose agreement is not given is refused as an error in the caller.
    """

    def __init__(
        self, agreements: Iterable[AgreementTerms], rules: Iterable[RuleTerms], wallets: Iterable[WalletTerms]
    ) -> None:
        self._agreements = {agreement.id: agreement for agreement in agreements}
        self._rules = sorted(rules, key=lambda rule: (rule.priority, rule.id))
        self._wallets = sorted(wallets, key=lambda wallet: wallet.id)
        self._by_address: defaultdict[str, list[WalletTerms]] = defaultdict(list)
        for wallet in self._wallets:
            self._by_address[wallet.address].append(wallet)
        self._by_partner: defaultdict[int, list[tuple[AgreementTerms, RuleTerms]]] = defaultdict(list)
        self._nameless: list[tuple[AgreementTerms, RuleTerms]] = []
        for rule in self._rules:
            agreement = self._agreements[rule.agreement_id]
            if rule.kind == RuleKind.WALLET:
                self._by_partner[agreement.partner_id].append((agreement, rule))
            elif rule.is_active:
                self._nameless.append((agreement, rule))
        self._block_borders = sorted(
            {rule.applies_from_block for rule in self._rules}
            | {rule.applies_until_block for rule in self._rules if rule.applies_until_block is not None}
        )
        days = {day for wallet in self._wallets for day in wallet.borders()}
        moments = {one.starts_at for one in self._agreements.values()} | {
            one.ends_at for one in self._agreements.values() if one.ends_at is not None
        }
        self._time_borders = sorted(moments | {datetime.combine(day, time(), UTC) for day in days})
        self.memo_rules = [rule for _, rule in self._nameless if rule.kind == RuleKind.MEMO]
        self._claims_anybody = len(self.memo_rules) < len(self._nameless)
        active = [(self._agreements[rule.agreement_id], rule) for rule in self._rules if rule.is_active]
        self.asks_history = any(agreement.new_delegators_only for agreement, _ in active)
        self.asks_children = any(CHILD in (*agreement.sides, rule.side) for agreement, rule in active)

    def span(self, block: int, at: datetime) -> tuple[int, int]:
        """Name the stretch of blocks and time over which no agreement, rule or wallet begins or ends."""
        return bisect_right(self._block_borders, block), bisect_right(self._time_borders, at)

    def takes_unstakes(self, text: bytes) -> bool:
        """Tell whether an unstake beside a remark uses up what came under it first; not if no rule for it wants that."""
        looking = [rule for rule in self.memo_rules if rule.matches(text)]
        return not looking or any(rule.on_unstake for rule in looking)

    def takes_moves(self, text: bytes) -> bool:
        """Tell whether a rule counts stake that was moved under a remark."""
        return any(rule.on_restake and rule.matches(text) for rule in self.memo_rules)

    def claimable(self, coldkeys: Collection[str]) -> Collection[str]:
        """Those whose untagged stake any rule could claim: they are listed, or a rule looks at no wallet."""
        return coldkeys if self._claims_anybody else self._by_address.keys() & coldkeys

    def winner(self, delegation: Delegation) -> Winner | None:
        """Find whose the delegation is; at most one, ever (PA1)."""
        claims: list[Claim] = [
            (agreement, rule, wallet)
            for wallet in (one.at(delegation.at) for one in self._by_address.get(delegation.coldkey, ()))
            for agreement, rule in self._by_partner.get(wallet.partner_id, ())
            if _refusal(agreement, rule, wallet, delegation) is None
        ]
        claims += [
            (agreement, rule, None)
            for agreement, rule in self._nameless
            if _refusal(agreement, rule, None, delegation) is None
        ]
        return _winner_of(sorted(claims, key=_rank)) if claims else None

    def why(self, delegation: Delegation) -> Why:
        """Explain the answer of `winner`: every rule of every partner with the reason it won or lost."""
        winner = self.winner(delegation)
        verdicts = [self._verdict(rule, winner, delegation) for rule in self._rules]
        with_rules = {rule.agreement_id for rule in self._rules}
        for agreement in sorted(self._agreements.values(), key=lambda agreement: agreement.id):
            if agreement.id not in with_rules:
                text = f"{_named(agreement)} has no rule, so it finds nobody. Add a rule to it."
                verdicts.append(
                    Verdict(
                        agreement.partner_id,
                        agreement.partner_name,
                        agreement.id,
                        None,
                        None,
                        Reason.NO_RULE,
                        text,
                    )
                )
        verdicts.sort(key=lambda verdict: verdict.reason is not Reason.WON)
        return Why(winner, tuple(verdicts))

    def fingerprint(self) -> dict[str, list[dict[str, object]]]:
        """Give all that decides the winners, as JSON-able values in canonical order.

        Rows that can never win (inactive rules and wallets, agreements without an active rule) are left out, but for
        agreements whose statements list wallets, and so are names. Two books with equal fingerprints give equal answers
        to every delegation.
        """
        rules = [rule for rule in self._rules if rule.is_active]
        with_rules = {rule.agreement_id for rule in rules}
        agreements = {
            pk: agreement
            for pk, agreement in self._agreements.items()
            # What is sold of earlier take goes on a statement though nothing is earned any more.
            if pk in with_rules or agreement.aggregation == Aggregation.PER_WALLET
        }
        partners = {agreement.partner_id for agreement in agreements.values()}
        return {
            "agreements": [
                {
                    "id": agreement.id,
                    "partner": agreement.partner_id,
                    "starts_at": _utc(agreement.starts_at),
                    "ends_at": _utc(agreement.ends_at),
                    "rate_bps": agreement.rate_bps,
                    "basis": agreement.basis,
                }
                | _given(
                    netuids=sorted(agreement.netuids),
                    hotkeys=sorted(agreement.hotkeys),
                    sides=sorted(agreement.sides),
                    new_delegators_only=agreement.new_delegators_only,
                    excluded_netuids=sorted(agreement.excluded_netuids),
                    excluded_wallets=sorted(agreement.excluded_wallets),
                    tiers=[list(tier) for tier in agreement.tiers],
                    names_wallets=agreement.names_wallets,
                )
                | (
                    {}
                    if agreement.aggregation == Aggregation.LUMP_SUM
                    else {"aggregation": agreement.aggregation}
                )
                # A cap of nothing is one.
                | (
                    {}
                    if agreement.monthly_cap_rao is None
                    else {"monthly_cap_rao": agreement.monthly_cap_rao}
                )
                for _, agreement in sorted(agreements.items())
            ],
            "rules": [
                {
                    "id": rule.id,
                    "agreement": rule.agreement_id,
                    "kind": rule.kind,
                    "priority": rule.priority,
                    "applies_from_block": rule.applies_from_block,
                }
                | _given(
                    memo_match=rule.memo_match, memo=rule.memo, side=rule.side, on_restake=rule.on_restake
                )
                # Counted on unless said otherwise.
                | {name: False for name in ("on_stake", "on_unstake") if not getattr(rule, name)}
                | ({} if rule.netuid is None else {"netuid": rule.netuid})
                | (
                    {}
                    if rule.applies_until_block is None
                    else {"applies_until_block": rule.applies_until_block}
                )
                for rule in sorted(rules, key=lambda rule: rule.id)
            ],
            "wallets": [
                wallet.as_row()
                for wallet in self._wallets
                if (wallet.is_active or wallet.former)
                and not partners.isdisjoint((wallet.partner_id, *(who for who, *_ in wallet.former)))
            ],
        }

    def _verdict(self, rule: RuleTerms, winner: Winner | None, delegation: Delegation) -> Verdict:
        agreement = self._agreements[rule.agreement_id]
        wallets = [
            wallet
            for one in self._by_address.get(delegation.coldkey, ())
            # Whose it was, and whose it is by now.
            for wallet in (one.at(delegation.at), one)
            if rule.kind == RuleKind.WALLET and wallet.partner_id == agreement.partner_id
        ]
        # The database lists a wallet once; should a book hold it twice, the one that claims speaks.
        wallets.sort(key=lambda wallet: _refusal(agreement, rule, wallet, delegation) is not None)
        wallet = wallets[0] if wallets else None
        if winner is not None and winner.rule_id == rule.id:
            moved = rule.kind == RuleKind.MEMO and not (rule.on_stake and rule.matches(delegation.tag))
            text = _WON_MOVED if moved else _WON[RuleKind(rule.kind)]
            reason, text = Reason.WON, text.format(_named(agreement))
        elif refusal := _refusal(agreement, rule, wallet, delegation):
            reason, text = refusal
        else:
            reason, text = (
                Reason.OUTRANKED,
                f"{_named(agreement)} also claims it, but another rule ranks first.",
            )
        wallet_id = wallet.id if wallet else None
        return Verdict(
            agreement.partner_id, agreement.partner_name, agreement.id, rule.id, wallet_id, reason, text
        )


def _refusal(
    agreement: AgreementTerms, rule: RuleTerms, wallet: WalletTerms | None, delegation: Delegation
) -> tuple[Reason, str] | None:
    """Say why the rule does not claim the delegation; None when it does. The only place that decides."""
    name = agreement.partner_name
    by_wallet = rule.kind == RuleKind.WALLET
    if by_wallet and (
        wallet is None or wallet.address != delegation.coldkey or wallet.partner_id != agreement.partner_id
    ):
        return Reason.ADDRESS_NOT_LISTED, f"{name} does not list this address among its wallets."
    if not rule.is_active:
        return Reason.RULE_INACTIVE, f"The {rule.kind.lower()} rule of {_named(agreement)} is switched off."
    if not agreement.in_force(delegation.at):
        return Reason.AGREEMENT_NOT_IN_FORCE, f"{_named(agreement)} was not in force at this block's time."
    if delegation.block < rule.applies_from_block:
        return (
            Reason.BEFORE_FIRST_BLOCK,
            f"The rule of {_named(agreement)} applies from block {rule.applies_from_block:,} on.",
        )
    if rule.applies_until_block is not None and delegation.block >= rule.applies_until_block:
        return (
            Reason.AFTER_LAST_BLOCK,
            f"The rule of {_named(agreement)} applied until block {rule.applies_until_block:,}, that one excluded.",
        )
    if not agreement.covers(delegation):
        text = f"{_named(agreement)} does not cover this subnet, hotkey or side."
        return Reason.OUT_OF_SCOPE, text + _of_child(delegation, CHILD in agreement.sides)
    if agreement.excludes(delegation):
        return Reason.EXCLUDED, f"{_named(agreement)} leaves out this wallet or subnet."
    if rule.kind == RuleKind.MEMO and not rule.finds(delegation):
        return Reason.OTHER_MEMO, _other_memo(rule, delegation, _named(agreement))
    if rule.kind == RuleKind.SUBNET and delegation.netuid != rule.netuid:
        return Reason.OTHER_SUBNET, f"The rule of {_named(agreement)} is for subnet {rule.netuid}."
    if rule.kind == RuleKind.SIDE and not delegation.is_of(rule.side):
        of = "stake on child hotkeys" if rule.side == CHILD else f"{rule.side.lower()} stake"
        text = f"The rule of {_named(agreement)} is for {of}."
        return Reason.OTHER_SIDE, text + _of_child(delegation, rule.side == CHILD)
    if by_wallet and wallet is not None:
        if not wallet.is_active:
            return Reason.WALLET_INACTIVE, f"{name} lists this address, but the wallet is inactive."
        day = delegation.at.astimezone(UTC).date()
        if day < wallet.introduced_date:
            return (
                Reason.WALLET_INTRODUCED_LATER,
                f"{name} lists this address from {wallet.introduced_date.isoformat()} 00:00 UTC on.",
            )
        if wallet.ended_date is not None and day >= wallet.ended_date:
            return (
                Reason.WALLET_ENDED,
                f"{name} listed this address until {wallet.ended_date.isoformat()} 00:00 UTC.",
            )
    return _not_new(agreement, rule, wallet, delegation) if agreement.new_delegators_only else None


def _other_memo(rule: RuleTerms, delegation: Delegation, name: str) -> str:
    """Say under which remarks stake came and was moved, if not under the rule's, or not in the way that it counts."""
    if rule.matches(delegation.tag):
        return f"This stake came under the remark that {name} looks for, but the rule counts only stake moved under it."
    if rule.matches(delegation.moved_tag):
        return f"This stake was moved under the remark that {name} looks for, but the rule counts only stake that came so."
    came = "under another remark" if delegation.tag else "without a remark"
    moved = " and was moved under another" if delegation.moved_tag else ""
    return f"This stake came {came}{moved}; {name} looks for one of its own."


def _of_child(delegation: Delegation, is_asked: bool) -> str:
    """Add what is known of the hotkey as a child key where terms ask for it."""
    if not is_asked or delegation.is_child:
        return ""
    if delegation.is_child is None:
        return " Whether the hotkey was a child key at this block was not read."
    return " The hotkey was no child key at this block."


def _not_new(
    agreement: AgreementTerms, rule: RuleTerms, wallet: WalletTerms | None, delegation: Delegation
) -> tuple[Reason, str] | None:
    """Say why the wallet is no new delegator of the partner (PA8); None when it is one.

    One found by a memo is new if nothing of it stood with any of our hotkeys before its first stake under that memo; one
    found by its address, if nothing did before the day it was introduced; any other, before the agreement began.
    """
    history = delegation.history
    if history is None:
        return (
            Reason.HISTORY_UNKNOWN,
            f"{_named(agreement)} is for new delegators only, and since when this wallet has stake is not known.",
        )
    if rule.kind == RuleKind.MEMO:
        first = next((stake for stake in history.tagged if rule.matches(stake.text)), None)
        is_new = first is not None and (history.block, history.event_index) >= (
            first.block,
            first.event_index,
        )
    elif wallet is not None:
        is_new = history.at >= datetime.combine(wallet.introduced_date, time(), UTC)
    else:
        is_new = history.at >= agreement.starts_at
    if is_new:
        return None
    return (
        Reason.NOT_NEW,
        f"{_named(agreement)} is for new delegators only, and this wallet has had stake since block {history.block:,}.",
    )


_WON = {
    RuleKind.WALLET: "{} lists this address and was in force at this block.",
    RuleKind.MEMO: "This stake came under the remark that {} looks for.",
    RuleKind.SUBNET: "{} has a rule for this whole subnet.",
    RuleKind.SIDE: "{} has a rule for all stake of this side.",
    RuleKind.ALL: "{} has a rule for all stake.",
}

_WON_MOVED = "This stake was moved under the remark that {} looks for."


def _given(**values: object) -> dict[str, object]:
    """What differs from its default, so that books without it have the fingerprints they always had."""
    return {name: value for name, value in values.items() if value}


def _rank(claim: Claim) -> tuple[int, int, int, int]:
    _, rule, wallet = claim
    return _RANKS[RuleKind(rule.kind)], rule.priority, rule.id, wallet.id if wallet else 0


def _winner_of(claims: list[Claim]) -> Winner:
    """Name the first of claims in their rank, and those it outranks."""
    (agreement, rule, wallet), *others = claims
    return Winner(
        agreement.partner_id,
        agreement.id,
        rule.id,
        wallet.id if wallet else None,
        agreement.rate_bps,
        agreement.steps,
        agreement.monthly_cap_rao,
        agreement.basis,
        agreement.names_wallets,
        tuple(dict.fromkeys(other.id for _, other, _ in others if other.id != rule.id)),
    )


def _named(agreement: AgreementTerms) -> str:
    since = f"{agreement.starts_at.astimezone(UTC):%Y-%m-%d}"
    return f"{agreement.partner_name}'s agreement ({format_bps(agreement.rate_bps)} from {since})"


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
