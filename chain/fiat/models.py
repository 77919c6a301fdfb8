"""Quotes of tokens in fiat money and what they price: written once by `chain.fiat.services`, never edited.

They are no facts of the chain: they come from elsewhere, may come later, and are no part of the facts' hash.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class FiatPrice(models.Model):
    """One whole `base` cost `price` of `quote` at `at`, says `source`. What a source said first about a moment stays."""

    source = models.CharField(max_length=20)
    base = models.CharField(max_length=10, help_text="The token's code: TAO.")
    quote = models.CharField(max_length=10, help_text="The currency's code: USD.")
    price = models.DecimalField(max_digits=30, decimal_places=18)
    at = models.DateTimeField(help_text="The moment the price is of.")
    fetched_at = models.DateTimeField()
    payload_sha256 = models.CharField(max_length=64, help_text="SHA-256 of the answer it was read from.")

    class Meta:
        ordering = ["-at", "source"]
        verbose_name = "price in dollars"
        verbose_name_plural = "prices in dollars"
        permissions = [("fetch_fiatprice", "Can fetch prices from their sources")]
        indexes = [models.Index(fields=["-at"], name="fiat_price_by_time")]
        constraints = [
            models.UniqueConstraint(fields=["source", "base", "quote", "at"], name="fiat_price_once"),
            models.CheckConstraint(condition=Q(price__gt=0), name="fiat_price_positive"),
            models.CheckConstraint(condition=Q(at__lte=F("fetched_at")), name="fiat_price_of_the_past"),
            models.CheckConstraint(
                condition=Q(base__regex="^[A-Z0-9]{2,10}$", quote__regex="^[A-Z]{3,10}$")
                & ~Q(base=F("quote"))
                & ~Q(source=""),
                name="fiat_price_names_its_pair",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.base}/{self.quote} {self.at:%Y-%m-%d %H:%M} {self.source}"


class PriceFetch(models.Model):
    """One request for the quotes of a range, and how it ended. What was fetched without error is not asked again."""

    source = models.CharField(max_length=20)
    base = models.CharField(max_length=10)
    quote = models.CharField(max_length=10)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    fetched_at = models.DateTimeField()
    found_count = models.PositiveIntegerField(default=0)
    stored_count = models.PositiveIntegerField(default=0)
    differing_count = models.PositiveIntegerField(
        default=0, help_text="Quotes that differ from what the source said before; the first ones stay."
    )
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "price fetches"
        indexes = [models.Index(fields=["source", "base", "last_at"], name="price_fetch_by_range")]
        constraints = [
            models.CheckConstraint(
                condition=Q(first_at__lte=F("last_at")) & Q(last_at__lte=F("fetched_at")),
                name="price_fetch_range_valid",
            ),
            models.CheckConstraint(
                condition=Q(error="") | Q(found_count=0, stored_count=0, differing_count=0),
                name="price_fetch_fails_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.first_at:%Y-%m-%d %H:%M} to {self.last_at:%Y-%m-%d %H:%M}"


class ConversionPrice(models.Model):
    """The quote that a conversion's TAO is valued at, attached once. Its own row, because facts are never edited.

    It is kept rather than looked up, so that a value that was shown or reported does not change when an older quote,
    another source or another limit comes later. A trigger sees that the quote is TAO's and not of after the block.
    """

    conversion = models.OneToOneField("chain.Conversion", on_delete=models.PROTECT, related_name="usd")
    price = models.ForeignKey(FiatPrice, on_delete=models.PROTECT, related_name="+")
    attached_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"price of conversion {self.conversion_id}"
