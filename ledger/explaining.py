"""Why a block's take went where it went: every yield, every delegator, whose they were and by which rule (LE2).

All of it is derived again from the facts. In a closed period the rules are those it was closed with, whatever
the partners look like today.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chain.models import Block, Yield
from ledger.attribution import digest
from ledger.facts import holders_of, shares_of
from ledger.manifest import frozen_book
from ledger.models import Attribution, Period
from partners.matching import Delegation, RuleBook, Why
from partners.models import Partner
from partners.queries import rule_book


class NotIngested(LookupError):
    """The block was not read from the chain. Ingest it, then ask again."""


@dataclass(frozen=True, slots=True)
class DelegatorShare:
    """What one coldkey earned of a yield; `partner` is None when nobody's rule claims it."""

    coldkey: str
    share: int
    take_rao: int
    partner: Partner | None
    rate_bps: int


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
    epochs = tuple(_explain_yield(source, block, book, partners) for source in sources)
    return Explanation(block, period, book, epochs)


def why(explanation: Explanation, source: Yield, coldkey: str) -> Why:
    """Say which rule won one delegator, and why every other did not."""
    return explanation.book.why(_delegation(source, explanation.block, coldkey))


def _explain_yield(source: Yield, block: Block, book: RuleBook, partners: dict[int, Partner]) -> Epoch:
    amounts = shares_of(source)
    weights = dict(holders_of(source))
    shares = []
    for coldkey, take_rao in sorted(amounts, key=lambda share: (-share[1], share[0])):
        winner = book.winner(_delegation(source, block, coldkey))
        partner = partners[winner.partner_id] if winner else None
        shares.append(
            DelegatorShare(coldkey, weights[coldkey], take_rao, partner, winner.rate_bps if winner else 0)
        )
    return Epoch(source, tuple(shares), digest(amounts), getattr(source, "attribution", None))


def _delegation(source: Yield, block: Block, coldkey: str) -> Delegation:
    return Delegation(coldkey, source.hotkey, source.netuid, source.side, block.number, block.timestamp)


def as_dict(explanation: Explanation) -> dict[str, Any]:
    """Write an explanation as the JSON that commands and the API give."""
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
                    for share in epoch.shares
                ],
            }
            for epoch in explanation.epochs
        ],
    }
