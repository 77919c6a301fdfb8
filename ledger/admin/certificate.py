"""The conservation certificate of a closed period (LE8), read back from the stored rows, not from the manifest."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from chain.fields import RaoField
from chain.models import Yield
from ledger.models import Account, DelegatorTake, PartnerTake, Period, Posting


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool and side: what it earned, and to whom the rows give it. `remainder_rao` is zero or a defect."""

    hotkey: str
    netuid: int
    side: str
    asset: str
    take_rao: int
    delegators_rao: int
    partners_rao: int
    own_rao: int

    @property
    def remainder_rao(self) -> int:
        """What neither partners' delegators nor our own account for."""
        return self.take_rao - self.partners_rao - self.own_rao

    @property
    def holds(self) -> bool:
        """Tell whether both sums equal the take."""
        return self.remainder_rao == 0 and self.delegators_rao == self.take_rao


@dataclass(frozen=True, slots=True)
class Certificate:
    """All pools of a period, and its TAO: realised take = owed to partners + own share."""

    pools: tuple[PoolRow, ...]
    realised_rao: int
    payable_rao: int
    own_share_rao: int

    @property
    def remainder_rao(self) -> int:
        """Realised take that neither partners nor the validator got; zero or a defect."""
        return self.realised_rao - self.payable_rao - self.own_share_rao

    @property
    def holds(self) -> bool:
        """Tell whether every sum agrees."""
        return self.remainder_rao == 0 and all(pool.holds for pool in self.pools)


def certify(period: Period) -> Certificate:
    """Add up a closed period from its stored rows."""
    sources = Yield.objects.filter(block_id__gte=period.blocks.lower, block_id__lt=period.blocks.upper)
    given = {
        (hotkey, netuid, side): int(amount)
        for hotkey, netuid, side, amount in DelegatorTake.objects.filter(period=period)
        .values_list("hotkey", "netuid", "side")
        .annotate(amount=_take())
        .order_by()
    }
    parts = {
        (hotkey, netuid, side): (int(partners), int(own))
        for hotkey, netuid, side, partners, own in PartnerTake.objects.filter(period=period)
        .values_list("source__hotkey", "source__netuid", "source__side")
        .annotate(partners=_take(partner__isnull=False), own=_take(partner__isnull=True))
        .order_by()
    }
    pools = tuple(
        PoolRow(
            hotkey,
            netuid,
            side,
            asset,
            int(amount),
            given.get((hotkey, netuid, side), 0),
            *parts.get((hotkey, netuid, side), (0, 0)),
        )
        for hotkey, netuid, side, asset, amount in sources.values_list("hotkey", "netuid", "side", "asset")
        .annotate(amount=_take())
        .order_by("hotkey", "netuid", "side")
    )
    legs = {
        kind: int(amount)
        for kind, amount in Posting.objects.filter(entry__period=period)
        .values_list("account__kind")
        .annotate(amount=Sum("amount_rao"))
        .order_by()
    }
    return Certificate(
        pools,
        legs.get(Account.Kind.TAKE, 0),
        -legs.get(Account.Kind.PAYABLE, 0),
        -legs.get(Account.Kind.OWN_SHARE, 0),
    )


def _take(**condition: bool) -> Coalesce:
    return Coalesce(Sum("take_rao", filter=Q(**condition) or None), 0, output_field=RaoField())
