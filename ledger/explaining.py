"""Why a block's take went where it went: every yield, every delegator, whose they were and by which rule (LE2).

All of it is derived again from the facts. In a closed period the rules are those it was closed with, whatever
the partners look like today.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chain.models import Block, Yield
from chain.tagging.remark_text import shown
from ledger.attribution import RULESET, claims_on, digest, split_over_claims
from ledger.facts import shares_of, weights_of
from ledger.manifest import frozen_book
from ledger.models import Attribution, Period
from partners.lots import TaggedStake
from partners.matching import Delegation, RuleBook, Why
from partners.models import Partner
from partners.queries import rule_book
from partners.tagged_stake import read_tagged_stake


class NotIngested(LookupError):
    """The block was not read from the chain. Ingest it, then ask again."""


@dataclass(frozen=True, slots=True)
class DelegatorShare:
    """What one coldkey's stake under one tag earned of a yield; `partner` is None when nobody's rule claims it.

    `share` is the weight of that stake in the pool.
    """

    delegation: Delegation
    share: int
    take_rao: int
    partner: Partner | None
    rate_bps: int

    @property
    def coldkey(self) -> str:
        return self.delegation.coldkey


@dataclass(frozen=True, slots=True)
class Epoch:
    """One yield with all its delegators, the largest first, and the attribution if there is one."""

    source: Yield
    shares: tuple[DelegatorShare, ...]
    digest: str
    attribution: Attribution | None

    @property
    def is_proved(self) -> bool:
        """Tell whether what is derived now is what was attributed."""
        return self.attribution is not None and self.attribution.digest == self.digest


@dataclass(frozen=True, slots=True)
class Explanation:
    """A block, the closed period it belongs to if any, the rules that apply, and its epochs."""

    block: Block
    period: Period | None
    book: RuleBook
    stake: TaggedStake
    epochs: tuple[Epoch, ...]


def explain(number: int) -> Explanation:
    """Derive everything about one block.

    :raises NotIngested: when the block is not there.
    :raises SharesDisagree: when its positions do not add up.
    """
    block = Block.objects.filter(number=number).first()
    if block is None:
        raise NotIngested(f"block {number:,} was not ingested")
    period = Period.objects.filter(blocks__contains=number).first()
    book = frozen_book(period.manifest["rules"]) if period else rule_book()
    partners = Partner.objects.in_bulk()
    sources = block.yields.select_related("attribution", "import_run").order_by("netuid", "hotkey", "side")
    stake = read_tagged_stake(book, period.blocks.upper - 1 if period else number)
    epochs = tuple(_explain_yield(source, block, book, stake, partners) for source in sources)
    return Explanation(block, period, book, stake, epochs)


def why(explanation: Explanation, share: DelegatorShare) -> Why:
    """Say which rule won one delegator's stake, and why every other did not."""
    return explanation.book.why(share.delegation)


def _explain_yield(
    source: Yield, block: Block, book: RuleBook, stake: TaggedStake, partners: dict[int, Partner]
) -> Epoch:
    amounts = shares_of(source)
    weights = dict(weights_of(source))
    shares = []
    for coldkey, amount in sorted(amounts.pairs(), key=lambda share: (-share[1], share[0])):
        claims = claims_on(_delegation(source, block, coldkey), book, stake)
        takes, held = (split_over_claims(whole, claims) for whole in (amount, weights[coldkey]))
        for (claim, take_rao), (_, weight) in zip(takes, held, strict=True):
            winner = claim.winner
            partner, rate_bps = (partners[winner.partner_id], winner.rate_bps) if winner else (None, 0)
            shares.append(DelegatorShare(claim.delegation, weight, take_rao, partner, rate_bps))
    attribution: Attribution | None = getattr(source, "attribution", None)
    ruleset = attribution.ruleset if attribution else RULESET
    return Epoch(source, tuple(shares), digest(amounts, ruleset), attribution)


def _delegation(source: Yield, block: Block, coldkey: str) -> Delegation:
    pool = source.hotkey, source.netuid, source.side
    return Delegation(coldkey, *pool, block.number, block.timestamp, is_child=source.is_child)


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """Write an explanation as JSON; stake that came or was moved under a remark is a row of its own, which names it."""
    return {
        "block": explanation.block.number,
        "hash": explanation.block.hash,
        "epochs": [
            {
                "netuid": epoch.source.netuid,
                "hotkey": epoch.source.hotkey,
                "side": epoch.source.side,
                "asset": epoch.source.asset,
                "take_rao": epoch.source.take_rao,
                "shares": [
                    {
                        "coldkey": share.coldkey,
                        "take_rao": share.take_rao,
                        "partner": share.partner.slug if share.partner else None,
                    }
                    | {
                        name: shown(text).exact
                        for name, text in (
                            ("remark", share.delegation.tag),
                            ("moved_under", share.delegation.moved_tag),
                        )
                        if text
                    }
                    for share in epoch.shares
                ],
            }
            for epoch in explanation.epochs
        ],
    }
