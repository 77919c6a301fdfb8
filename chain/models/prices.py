"""State of the pools that gives the price of alpha."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from chain.fields import RaoField, Uint128Field
from chain.models.blocks import Block
from chain.pools.prices import price_rao
from chain.runtimes.eras import PoolPricing


class Pricing(models.TextChoices):
    """What sets a pool's price, by its runtime: `chain.runtimes.eras.PoolPricing`."""

    RESERVES = "RESERVES", "Ratio of the reserves"
    SQRT_PRICE = "SQRT_PRICE", "Stored square-root price"
    BALANCER = "BALANCER", "Weighted reserves"


class PoolPrice(models.Model):
    """State of a subnet's AMM after a block in which we earned or converted; `chain.pools.prices` makes the price of it."""

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="prices")
    netuid = models.PositiveIntegerField()
    tao_reserve_rao = RaoField()
    alpha_reserve_rao = RaoField()
    sqrt_price = Uint128Field(
        null=True, help_text="Raw bits, U64F64; TAO per alpha is its square. Empty where the pool has none."
    )
    pricing = models.CharField(max_length=10, choices=Pricing.choices)
    quote_weight = models.BigIntegerField(
        null=True, help_text="Weight of TAO in parts of 1e18; that of alpha is the rest."
    )

    class Meta:
        ordering = ["-block_id", "netuid"]
        indexes = [models.Index(fields=["netuid", "-block"], name="pool_price_newest")]
        constraints = [
            models.UniqueConstraint(fields=["block", "netuid"], name="pool_price_once"),
            models.CheckConstraint(
                condition=Q(tao_reserve_rao__gte=0) & Q(alpha_reserve_rao__gte=0),
                name="pool_price_reserves_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(pricing="RESERVES", sqrt_price=None, quote_weight=None)
                | Q(Q(sqrt_price=None) | Q(sqrt_price__gte=0), pricing="SQRT_PRICE", quote_weight=None)
                | Q(
                    pricing="BALANCER",
                    sqrt_price=None,
                    quote_weight__isnull=False,
                    quote_weight__gt=0,
                    quote_weight__lt=10**18,
                ),
                name="pool_price_columns_fit_pricing",
            ),
        ]

    def __str__(self) -> str:
        return f"price netuid {self.netuid} block {self.block_id}"

    @property
    def price_rao(self) -> int | None:
        """Price of one whole alpha in rao; None where the pool has none."""
        return price_rao(
            PoolPricing(self.pricing),
            self.tao_reserve_rao,
            self.alpha_reserve_rao,
            self.sqrt_price,
            self.quote_weight,
        )
