"""The manifest of a closed period: what went in, by which rules and code, and what came out (LE6).

It names nothing that depends on when or by whom the period was closed, so the same inputs give the same bytes.
The rules are kept in full: a closed period can be recomputed after every later change of partners.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.conf import settings

from chain.gaps.queries import accepted_doubts, lost_beside, lost_count
from chain.models import Block, Conversion, Yield
from ledger.attribution import RULESET, Held, Won
from ledger.calculation import Calculation
from ledger.hashing import canonical_json
from ledger.models import Attribution, Period
from partners.matching import AgreementTerms, RuleBook, RuleTerms, WalletTerms
from partners.models import Partner
from partners.rates import Aggregation

MANIFEST_VERSION = 1


def build_manifest(
    *,
    key: str,
    start_at: datetime,
    end_at: datetime,
    first: Block,
    last: Block,
    book: RuleBook,
    result: Calculation,
    ruleset: int = RULESET,
) -> dict[str, Any]:
    """Describe a period about to close, or one that closed, from its facts and what they came to.

    :param ruleset: the numbered rules that it closes or closed by.
    """
    previous = Period.objects.filter(start_at__lt=start_at).order_by("-start_at").first()
    manifest = {
        "version": MANIFEST_VERSION,
        "ruleset": ruleset,
        "code": str(getattr(settings, "CODE_VERSION", "unversioned")),
        "period": key,
        "start_at": start_at.isoformat(),
        "end_at": end_at.isoformat(),
        "previous": previous.manifest_hash if previous else None,
        "blocks": {
            "first": first.number,
            "first_hash": first.hash,
            "last": last.number,
            "last_hash": last.hash,
            "count": last.number - first.number + 1 - lost_count(first.number, last.number),
        },
        "yields": _describe_yields(first.number, last.number),
        "conversions": _describe_conversions(first.number, last.number),
        "rules": book.fingerprint(),
        "winners": _describe_winners(result),
        "totals": describe_totals(first.number, last.number, result),
    }
    accepted = {
        "lost_blocks": _describe_lost(first.number, last.number),
        "accepted_doubts": _describe_doubts(first.number, last.number),
    }
    # Left out where there are none, as in the manifests from before there could be any.
    return manifest | {name: rows for name, rows in accepted.items() if rows}


def _describe_lost(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {
            "first": gap.blocks.lower,
            "last": gap.blocks.upper - 1,
            "kind": gap.kind,
            "reason": gap.reason,
            "accepted_reason": gap.accepted_reason,
        }
        for gap in lost_beside(first, last)
    ]


def _describe_doubts(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {"block": gap.blocks.lower, "reason": gap.reason, "accepted_reason": gap.accepted_reason}
        for gap in accepted_doubts(first, last)
    ]


def lost_blocks_of(period: Period) -> list[tuple[int, int]]:
    """First and last block of each range that was accepted as lost when a period closed."""
    return [(row["first"], row["last"]) for row in period.manifest.get("lost_blocks", [])]


def _describe_yields(first: int, last: int) -> dict[str, Any]:
    rows = Attribution.objects.filter(source__block__number__range=(first, last)).select_related("source")
    lines = [
        f"{row.source.block_id} {row.source.netuid} {row.source.hotkey} {row.source.side} {row.source.asset}"
        f" {row.take_rao} {row.digest}"
        for row in rows.order_by("source__block_id", "source__netuid", "source__hotkey", "source__side")
    ]
    return {"count": len(lines), "digest": _hash_lines(lines)}


def _describe_conversions(first: int, last: int) -> dict[str, Any]:
    rows = Conversion.objects.filter(block__number__range=(first, last)).select_related("stake_event")
    lines = [
        f"{row.block_id} {row.stake_event.event_index} {row.hotkey} {row.netuid} {row.alpha_rao} {row.tao_rao}"
        for row in rows.order_by("block_id", "stake_event__event_index", "hotkey", "netuid")
    ]
    return {"count": len(lines), "digest": _hash_lines(lines)}


def winner_row(row: tuple[Held, Won]) -> tuple[object, ...]:
    """Lay out who won a delegation: what it is, first and last block, partner, agreement, rule, wallet, rules outranked."""
    (*pool, coldkey, tags), won = row
    winner = won.winner
    ids = winner.partner_id, winner.agreement_id, winner.rule_id, winner.wallet_id
    return (*pool, coldkey, *tags.named, won.first, won.last, *ids, winner.outranked)


def _describe_winners(result: Calculation) -> dict[str, Any]:
    lines = [canonical_json(winner_row(row)) for row in result.winner_rows()]
    return {"count": len(lines), "digest": _hash_lines(lines)}


def _hash_lines(lines: list[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def describe_totals(first: int, last: int, result: Calculation) -> dict[str, Any]:
    """Sum a period per pool and side, never over two currencies, and in TAO what was realised and is owed."""
    pools: dict[tuple[str, int, str, str], list[int]] = defaultdict(lambda: [0, 0])
    rows = Yield.objects.filter(block__number__range=(first, last))
    for pk, hotkey, netuid, side, asset, amount in rows.values_list(
        "pk", "hotkey", "netuid", "side", "asset", "take_rao"
    ):
        pool = pools[hotkey, netuid, side, asset]
        pool[0] += amount
        pool[1] += sum(part.take_rao for part in result.parts[pk] if part.agreement_id)
    owed = sum(result.payables().values())
    return {
        "pools": [
            {
                "hotkey": hotkey,
                "netuid": netuid,
                "side": side,
                "asset": asset,
                "take_rao": take,
                "partner_take_rao": partner_take,
            }
            for (hotkey, netuid, side, asset), (take, partner_take) in sorted(pools.items())
        ],
        "sold_alpha_rao": [
            {"netuid": netuid, "alpha_rao": amount}
            for netuid, amount in sorted(result.sold_by_netuid.items())
        ],
        "realised_rao": result.realised_rao,
        "commission_rao": owed,
        "own_share_rao": result.realised_rao - owed,
    }


def day_key(day: date) -> str:
    """Name the period of a UTC day."""
    return day.isoformat()


def frozen_book(rules: Mapping[str, Any]) -> RuleBook:
    """Rebuild the rule book a period was closed with from its manifest; only partners' names are today's."""
    names = dict(Partner.objects.values_list("pk", "name"))
    agreements = [
        AgreementTerms(
            id=row["id"],
            partner_id=row["partner"],
            partner_name=names.get(row["partner"], f"partner {row['partner']}"),
            starts_at=datetime.fromisoformat(row["starts_at"]),
            ends_at=datetime.fromisoformat(row["ends_at"]) if row["ends_at"] else None,
            rate_bps=row["rate_bps"],
            basis=row["basis"],
            netuids=frozenset(row.get("netuids", ())),
            hotkeys=frozenset(row.get("hotkeys", ())),
            sides=frozenset(row.get("sides", ())),
            new_delegators_only=row.get("new_delegators_only", False),
            excluded_netuids=frozenset(row.get("excluded_netuids", ())),
            excluded_wallets=frozenset(row.get("excluded_wallets", ())),
            tiers=tuple((border, rate) for border, rate in row.get("tiers", ())),
            monthly_cap_rao=row.get("monthly_cap_rao"),
            names_wallets=row.get("names_wallets", False),
            aggregation=row.get("aggregation", Aggregation.LUMP_SUM),
        )
        for row in rules["agreements"]
    ]
    rule_terms = [
        RuleTerms(
            row["id"],
            row["agreement"],
            row["priority"],
            row["applies_from_block"],
            is_active=True,
            kind=row["kind"],
            memo_match=row.get("memo_match", ""),
            on_stake=row.get("on_stake", True),
            on_unstake=row.get("on_unstake", True),
            on_restake=row.get("on_restake", False),
            memo=row.get("memo", ""),
            netuid=row.get("netuid"),
            side=row.get("side", ""),
            applies_until_block=row.get("applies_until_block"),
        )
        for row in rules["rules"]
    ]
    wallets = [
        WalletTerms(
            row["id"],
            row["partner"],
            row["address"],
            date.fromisoformat(row["introduced_date"]),
            not row.get("is_inactive"),
            former=tuple(
                (who, date.fromisoformat(since), date.fromisoformat(until))
                for who, since, until in row.get("former", ())
            ),
            ended_date=date.fromisoformat(row["ended_date"]) if "ended_date" in row else None,
        )
        for row in rules["wallets"]
    ]
    return RuleBook(agreements, rule_terms, wallets)
