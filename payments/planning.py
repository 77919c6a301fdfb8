"""Who would be paid what, and why everyone else is not. Pure: values in, values out.

Each partner handed in comes out exactly once, as a line or as a skip with its reason, so nobody is left out
in silence. The hash of a plan does not depend on the order of its lines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from chain.addresses import InvalidAddress, decode_address
from chain.units import format_rao

EXISTENTIAL_DEPOSIT_RAO = 500
"""A transfer that leaves its receiver with less is refused by the chain (Balances.ExistentialDeposit)."""


class Reason(StrEnum):
    """Why a partner is not in a batch; checked in this order, the first that holds is told."""

    NOTHING_DUE = "NOTHING_DUE"
    PAUSED = "PAUSED"
    OPEN_PAYOUT = "OPEN_PAYOUT"
    ADDRESS_CHANGING = "ADDRESS_CHANGING"
    NO_ADDRESS = "NO_ADDRESS"
    BAD_ADDRESS = "BAD_ADDRESS"
    BELOW_MINIMUM = "BELOW_MINIMUM"


@dataclass(frozen=True)
class Candidate:
    """One partner as found when planning. `payable_rao` is owed and not reserved by an approved payout.

    `address` is the one in force, empty where there is none.
    """

    partner_id: int
    slug: str
    name: str
    is_active: bool
    address: str
    payable_rao: int
    minimum_rao: int = 0
    has_open_payout: bool = False
    is_address_changing: bool = False


@dataclass(frozen=True)
class Line:
    """One payout of a plan."""

    partner_id: int
    slug: str
    name: str
    address: str
    amount_rao: int


@dataclass(frozen=True)
class Skip:
    """One partner who is not paid, with the reason for programs and for people."""

    partner_id: int
    slug: str
    name: str
    payable_rao: int
    reason: Reason
    text: str


@dataclass(frozen=True)
class Plan:
    """Lines and skips, each sorted by partner."""

    lines: tuple[Line, ...]
    skipped: tuple[Skip, ...]

    @property
    def total_rao(self) -> int:
        return sum(line.amount_rao for line in self.lines)


def plan_payouts(candidates: Iterable[Candidate]) -> Plan:
    """Decide for each partner whether everything owed to them is paid now.

    :raises ValueError: when a partner is handed in twice, which would pay them twice.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.partner_id)
    if len({candidate.partner_id for candidate in ordered}) != len(ordered):
        raise ValueError("each partner can be planned once only")
    lines, skipped = [], []
    for one in ordered:
        refusal = _find_refusal(one)
        if refusal is None:
            lines.append(Line(one.partner_id, one.slug, one.name, one.address, one.payable_rao))
        else:
            skipped.append(Skip(one.partner_id, one.slug, one.name, one.payable_rao, *refusal))
    return Plan(tuple(lines), tuple(skipped))


def _find_refusal(one: Candidate) -> tuple[Reason, str] | None:
    if one.payable_rao < 0:
        owes = format_rao(-one.payable_rao)
        return Reason.NOTHING_DUE, f"Owes {owes} TAO back; later earnings are set against it."
    if one.payable_rao == 0:
        return Reason.NOTHING_DUE, "Nothing is owed that is not already reserved."
    if not one.is_active:
        return Reason.PAUSED, "The partner is paused: still earns, is not paid until set active."
    if one.has_open_payout:
        return Reason.OPEN_PAYOUT, "A proposed batch already pays this partner: approve or cancel it first."
    if one.is_address_changing:
        return Reason.ADDRESS_CHANGING, (
            "A new payout address was requested: nothing is paid until it takes effect or the request is cancelled."
        )
    if not one.address:
        return Reason.NO_ADDRESS, "No payout address is in force: request one on the partner's page."
    try:
        decode_address(one.address)
    except InvalidAddress as error:
        return Reason.BAD_ADDRESS, f"The payout address {error}."
    minimum_rao = max(one.minimum_rao, EXISTENTIAL_DEPOSIT_RAO)
    if one.payable_rao < minimum_rao:
        return Reason.BELOW_MINIMUM, f"Below the minimum of {format_rao(minimum_rao)} TAO; carried forward."
    return None


def compute_content_hash(
    *, genesis_hash: str, period_key: str, manifest_hash: str, lines: Iterable[Line]
) -> str:
    """Compute the SHA-256, in hex, of what a batch pays: chain, period, and each partner, address, amount."""
    payouts = sorted((line.partner_id, line.slug, line.address, line.amount_rao) for line in lines)
    content = {
        "format": 1,
        "genesis_hash": genesis_hash,
        "through": {"key": period_key, "manifest_hash": manifest_hash},
        "payouts": [
            {"partner_id": partner_id, "slug": slug, "address": address, "amount_rao": amount_rao}
            for partner_id, slug, address, amount_rao in payouts
        ],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
