"""Whose each part of a yield's take is, and the fingerprint of how it was split over those who earned it (LE1). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from chain.keys import ROOT
from chain.splitting import split
from partners.lots import TaggedStake, Tags
from partners.matching import Delegation, RuleBook, Winner


@dataclass(frozen=True, slots=True)
class Claimed:
    """What of one coldkey's is its stake's under one pair of tags, and whose that is: a partner's, or our own."""

    tags: Tags
    delegation: Delegation
    amount: int
    winner: Winner | None


def claimed(amount: int, delegation: Delegation, book: RuleBook, stake: TaggedStake) -> list[Claimed]:
    """Split an amount of a coldkey's over the tags under which its stake came, by their shares when it was earned.

    Those are of the state after the parent block, as the shares are that the amount itself was split by.
    """
    pool_netuid = ROOT if delegation.side == "ROOT" else delegation.netuid
    position = delegation.hotkey, pool_netuid, delegation.coldkey
    delegation = replace(delegation, history=stake.histories.get(delegation.coldkey))
    tags = stake.parts(position, delegation.block - 1) or [(Tags(), 1)]
    found = []
    for names, part in split(amount, tags):
        came, moved = (stake.texts.get(name, b"") for name in names)
        under = replace(delegation, tag=came, moved_tag=moved)
        found.append(Claimed(names, under, part, book.winner(under)))
    return found


def digest(shares: Iterable[tuple[str, int]]) -> str:
    """Hash shares independently of their order: SHA-256 of ``address amount`` lines sorted by address."""
    text = "".join(f"{address} {amount}\n" for address, amount in sorted(shares))
    return hashlib.sha256(text.encode()).hexdigest()
