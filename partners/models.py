"""Whose a delegation is: partners, the agreements they are paid under, the rules and wallets that find them.

Every change of these rows is written to a history table by a trigger (PA6), whoever makes it and however.
"""

from __future__ import annotations

import pghistory
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q
from rest_framework_api_key.models import AbstractAPIKey

from chain.models import ADDRESS_LENGTH


class WalletChain(models.TextChoices):
    """The chains a partner's wallet can live on."""

    BITTENSOR = "BITTENSOR", "Bittensor"


@pghistory.track(append_only=True)
class Partner(models.Model):
    """Who brings delegators and is paid for it."""

    class Kind(models.TextChoices):
        NAMED = "NAMED", "Named: found by wallet address"

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", "Active"
        PAUSED = "PAUSED", "Paused: still earns, is not paid"

    name = models.CharField(max_length=120, unique=True)
    slug = models.SlugField(
        max_length=60, unique=True, help_text="Used in addresses and commands; keep it short."
    )
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.NAMED)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    contact_email = models.EmailField(blank=True)
    payout_address = models.CharField(
        max_length=ADDRESS_LENGTH,
        blank=True,
        help_text="SS58 address that payouts go to. Empty: nothing is paid.",
    )
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


@pghistory.track(append_only=True)
class Agreement(models.Model):
    """On what terms a partner is paid, over a half-open span of time that overlaps no other of theirs (PA2)."""

    class Basis(models.TextChoices):
        TAKE = "TAKE", "Share of the take"

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="agreements")
    effective = DateTimeRangeField(
        help_text="From (included) until (excluded), UTC. Leave 'until' empty for no end."
    )
    rate_bps = models.PositiveIntegerField(help_text="Basis points: 3300 is 33 %.")
    basis = models.CharField(max_length=5, choices=Basis.choices, default=Basis.TAKE)
    minimum_payout_rao = models.BigIntegerField(
        default=0, help_text="Less than this is carried forward, in rao."
    )
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["partner", "-effective"]
        constraints = [
            ExclusionConstraint(
                name="agreement_no_overlap",
                expressions=[("partner", RangeOperators.EQUAL), ("effective", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(condition=Q(rate_bps__lte=10_000), name="agreement_rate_at_most_whole"),
            models.CheckConstraint(
                condition=Q(minimum_payout_rao__gte=0), name="agreement_minimum_not_negative"
            ),
            models.CheckConstraint(
                condition=~Q(effective__isempty=True) & Q(effective__startswith__isnull=False),
                name="agreement_has_a_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner} {self.rate_bps / 100:g} %"


@pghistory.track(append_only=True)
class Rule(models.Model):
    """How an agreement's delegators are recognised (PA3). The lower priority number wins, then the older rule."""

    class Kind(models.TextChoices):
        WALLET = "WALLET", "Exact wallet: the partner's wallet list"

    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="rules")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.WALLET)
    priority = models.PositiveIntegerField(default=100)
    applies_from_block = models.BigIntegerField(default=0, help_text="First block the rule counts at.")
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["agreement", "kind"], condition=Q(is_active=True), name="rule_kind_once_per_agreement"
            ),
            models.CheckConstraint(condition=Q(applies_from_block__gte=0), name="rule_block_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.agreement}: {self.get_kind_display()}"


@pghistory.track(append_only=True)
class Wallet(models.Model):
    """A delegator's address that belongs to one partner per chain (PA4), from `introduced_date` on."""

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="wallets")
    chain = models.CharField(max_length=12, choices=WalletChain.choices, default=WalletChain.BITTENSOR)
    address = models.CharField(max_length=ADDRESS_LENGTH)
    introduced_date = models.DateField(help_text="The wallet counts from 00:00 UTC of this day.")
    is_active = models.BooleanField(default=True)
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["partner", "address"]
        constraints = [
            models.UniqueConstraint(fields=["chain", "address"], name="wallet_one_partner_per_chain")
        ]

    def __str__(self) -> str:
        return self.address


class ApiKey(AbstractAPIKey):
    """A hashed key for the REST API, sent in `X-API-Key`. Bound to a partner it sees that partner only."""

    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="api_keys"
    )

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"
