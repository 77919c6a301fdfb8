"""Whose a delegation is. Pure: the rows as plain values in, one winner or none out, with the reasons.

A delegation is a coldkey's stake with one hotkey on one subnet and side, at one block. A rule of a partner
claims it or gives a reason why not; among the claims the lower priority number wins, then the older rule.
The answer never depends on the order in which rows were read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from chain.units import format_bps


@dataclass(frozen=True, slots=True)
class Delegation:
    """One coldkey's stake at one block; `at` is that block's time, with a time zone."""

    coldkey: str
    hotkey: str
    netuid: int
    side: str
    block: int
    at: datetime

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a delegation's time needs a time zone")


@dataclass(frozen=True, slots=True)
class AgreementTerms:
    """An agreement in force over `[starts_at, ends_at)`; without `ends_at` it goes on."""

    id: int
    partner_id: int
    partner_name: str
    starts_at: datetime
    ends_at: datetime | None
    rate_bps: int
    basis: str = "TAKE"

    def in_force(self, at: datetime) -> bool:
        """Tell whether the agreement covers this moment."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """One rule of an agreement."""

    id: int
    agreement_id: int
    priority: int = 100
    applies_from_block: int = 0
    is_active: bool = True
    kind: str = "WALLET"


@dataclass(frozen=True, slots=True)
class WalletTerms:
    """An address that belongs to a partner from 00:00 UTC of `introduced_date`."""

    id: int
    partner_id: int
    address: str
    introduced_date: date
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Winner:
    """The one claim that won, and the rate it is paid at."""

    partner_id: int
    agreement_id: int
    rule_id: int
    wallet_id: int
    rate_bps: int


class Reason(StrEnum):
    """Why a rule won or did not."""

    WON = "WON"
    OUTRANKED = "OUTRANKED"
    NO_RULE = "NO_RULE"
    RULE_INACTIVE = "RULE_INACTIVE"
    AGREEMENT_NOT_IN_FORCE = "AGREEMENT_NOT_IN_FORCE"
    BEFORE_FIRST_BLOCK = "BEFORE_FIRST_BLOCK"
    ADDRESS_NOT_LISTED = "ADDRESS_NOT_LISTED"
    WALLET_INACTIVE = "WALLET_INACTIVE"
    WALLET_INTRODUCED_LATER = "WALLET_INTRODUCED_LATER"


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


Claim = tuple[AgreementTerms, RuleTerms, WalletTerms]


class RuleBook:
    """All agreements, rules and wallets, indexed to answer for many delegations.

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
        for rule in self._rules:
            agreement = self._agreements[rule.agreement_id]
            self._by_partner[agreement.partner_id].append((agreement, rule))

    def winner(self, delegation: Delegation) -> Winner | None:
        """Find whose the delegation is; at most one, ever (PA1)."""
        claims = [
            (agreement, rule, wallet)
            for wallet in self._by_address.get(delegation.coldkey, ())
            for agreement, rule in self._by_partner.get(wallet.partner_id, ())
            if _refusal(agreement, rule, wallet, delegation) is None
        ]
        return _winner_of(min(claims, key=_rank)) if claims else None

    def why(self, delegation: Delegation) -> Why:
        """Explain the answer of `winner`: every rule of every partner with the reason it won or lost."""
        winner = self.winner(delegation)
        verdicts = [self._verdict(rule, winner, delegation) for rule in self._rules]
        with_rules = {rule.agreement_id for rule in self._rules}
        for agreement in sorted(self._agreements.values(), key=lambda agreement: agreement.id):
            if agreement.id not in with_rules:
                text = f"{_named(agreement)} has no rule, so it finds nobody. Add a wallet rule to it."
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

        Rows that can never win (inactive rules and wallets, agreements without an active rule) are left out,
        and so are names, so two books with equal fingerprints give equal answers to every delegation.
        """
        rules = [rule for rule in self._rules if rule.is_active]
        agreements = {rule.agreement_id: self._agreements[rule.agreement_id] for rule in rules}
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
                for rule in sorted(rules, key=lambda rule: rule.id)
            ],
            "wallets": [
                {
                    "id": wallet.id,
                    "partner": wallet.partner_id,
                    "address": wallet.address,
                    "introduced_date": wallet.introduced_date.isoformat(),
                }
                for wallet in self._wallets
                if wallet.is_active and wallet.partner_id in partners
            ],
        }

    def _verdict(self, rule: RuleTerms, winner: Winner | None, delegation: Delegation) -> Verdict:
        agreement = self._agreements[rule.agreement_id]
        wallets = [
            wallet
            for wallet in self._by_address.get(delegation.coldkey, ())
            if wallet.partner_id == agreement.partner_id
        ]
        # The database lists a wallet once; should a book hold it twice, the one that claims speaks.
        wallets.sort(key=lambda wallet: _refusal(agreement, rule, wallet, delegation) is not None)
        wallet = wallets[0] if wallets else None
        if winner is not None and winner.rule_id == rule.id:
            reason, text = (
                Reason.WON,
                f"{_named(agreement)} lists this address and was in force at this block.",
            )
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
    if wallet is None or wallet.address != delegation.coldkey or wallet.partner_id != agreement.partner_id:
        return Reason.ADDRESS_NOT_LISTED, f"{name} does not list this address among its wallets."
    if not rule.is_active:
        return Reason.RULE_INACTIVE, f"The wallet rule of {_named(agreement)} is switched off."
    if not agreement.in_force(delegation.at):
        return Reason.AGREEMENT_NOT_IN_FORCE, f"{_named(agreement)} was not in force at this block's time."
    if delegation.block < rule.applies_from_block:
        return (
            Reason.BEFORE_FIRST_BLOCK,
            f"The rule of {_named(agreement)} applies from block {rule.applies_from_block:,} on.",
        )
    if not wallet.is_active:
        return Reason.WALLET_INACTIVE, f"{name} lists this address, but the wallet is inactive."
    if delegation.at.astimezone(UTC).date() < wallet.introduced_date:
        return (
            Reason.WALLET_INTRODUCED_LATER,
            f"{name} lists this address from {wallet.introduced_date.isoformat()} 00:00 UTC on.",
        )
    return None


def _rank(claim: Claim) -> tuple[int, int, int]:
    _, rule, wallet = claim
    return rule.priority, rule.id, wallet.id


def _winner_of(claim: Claim) -> Winner:
    agreement, rule, wallet = claim
    return Winner(agreement.partner_id, agreement.id, rule.id, wallet.id, agreement.rate_bps)


def _named(agreement: AgreementTerms) -> str:
    since = f"{agreement.starts_at.astimezone(UTC):%Y-%m-%d}"
    return f"{agreement.partner_name}'s agreement ({format_bps(agreement.rate_bps)} from {since})"


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
