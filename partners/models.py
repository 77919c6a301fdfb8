"""Whose a delegation is: partners, the agreements they are paid under, the rules and wallets that find them.

Every change of these rows is written to a history table by a trigger (PA6), whoever makes it and however.
Who and why are stored in the history row itself, not in a shared context row, because the database refuses
to change or remove history rows (migration 0002) and a shared row would have to stay open to changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import TypeVar

import pghistory
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Deferrable, Q
from django.db.models.functions import Lower
from psycopg.types.range import Range
from rest_framework_api_key.models import AbstractAPIKey

from chain.addresses import InvalidAddress
from chain.families import check_address
from chain.models import ADDRESS_LENGTH, Hotkey
from chain.network import family
from chain.units import BPS_WHOLE, format_bps

Model = TypeVar("Model", bound=models.Model)


def tracked() -> Callable[[type[Model]], type[Model]]:
    """Record every insert, update and delete of the model, with who and why beside the values."""
    decorate: Callable[[type[Model]], type[Model]] = pghistory.track(
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        pghistory.DeleteEvent(),
        context_field=pghistory.ContextJSONField(),
        context_id_field=pghistory.ContextUUIDField(),
    )
    return decorate


def validate_address(address: str) -> None:
    """Refuse what is not the one canonical spelling of an address of this installation's chain.

    :raises ValidationError: naming what is wrong with it.
    """
    try:
        check_address(address, family())
    except InvalidAddress as error:
        raise ValidationError(f"This address {error}.", code="address") from error


def refuse_own_hotkey(address: str, *, field: str) -> None:
    """Refuse one of the validator's own hotkeys where a wallet is meant.

    :raises ValidationError: on `field`, when a tracked hotkey has this address.
    """
    hotkey = Hotkey.objects.filter(address=address).first() if address else None
    if hotkey is not None:
        raise ValidationError({field: own_hotkey_text(hotkey)})


def own_hotkey_text(hotkey: Hotkey) -> str:
    """Why a tracked hotkey is no wallet, and what to give instead."""
    return f"This is your own hotkey {hotkey}; give the partner's wallet (coldkey)."


class WalletChain(models.TextChoices):
    """The chains a partner's wallet can live on; in one installation only its own counts."""

    BITTENSOR = "BITTENSOR", "Bittensor"
    SOLANA = "SOLANA", "Solana"


def own_chain() -> str:
    """Name the chain that this installation holds, as a wallet does."""
    return WalletChain(family().value).value


def describe_span(span: Range[datetime]) -> str:
    """Write a span of time in words, without the clock where it is midnight."""
    text = f"from {short_moment(span.lower)}" if span.lower else ""
    return f"{text} until {short_moment(span.upper)}" if span.upper else text


def short_moment(moment: datetime) -> str:
    """Write a moment in UTC, as the day alone where it is midnight."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}" if moment.time() == time() else f"{moment:%Y-%m-%d %H:%M} UTC"


@tracked()
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
        validators=[validate_address],
        help_text="Address that payouts go to. Empty: nothing is paid.",
    )
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="partner_name_once_in_any_case",
                violation_error_message="There is a partner of this name already, perhaps in other letters.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a payout address that is one of our own hotkeys."""
        refuse_own_hotkey(self.payout_address, field="payout_address")


@tracked()
class Agreement(models.Model):
    """On what terms a partner is paid, over a half-open span that overlaps no other of theirs (PA2)."""

    class Basis(models.TextChoices):
        TAKE = "TAKE", "Share of the take"

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="agreements")
    effective = DateTimeRangeField(
        help_text="From (included) until (excluded), UTC. Leave 'until' empty for no end."
    )
    rate_bps = models.PositiveIntegerField(
        "rate", validators=[MaxValueValidator(BPS_WHOLE)], help_text="Basis points: 3300 is 33 %."
    )
    basis = models.CharField(max_length=5, choices=Basis.choices, default=Basis.TAKE)
    minimum_payout_rao = models.BigIntegerField(
        "minimum payout",
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Less than this is carried forward, in rao.",
    )
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["partner", "-effective"]
        constraints = [
            ExclusionConstraint(
                name="agreement_no_overlap",
                expressions=[("partner", RangeOperators.EQUAL), ("effective", RangeOperators.OVERLAPS)],
                # Checked by every statement, unless a transaction that moves several spans asks to wait.
                deferrable=Deferrable.IMMEDIATE,
                violation_error_message="This span overlaps another agreement of the partner.",
            ),
            models.CheckConstraint(
                condition=Q(rate_bps__lte=10_000),
                name="agreement_rate_at_most_whole",
                violation_error_message="The rate is at most 100 %.",
            ),
            models.CheckConstraint(
                condition=Q(minimum_payout_rao__gte=0),
                name="agreement_minimum_not_negative",
                violation_error_message="The minimum payout is not negative.",
            ),
            models.CheckConstraint(
                condition=~Q(effective__isempty=True) & Q(effective__startswith__isnull=False),
                name="agreement_has_a_start",
                violation_error_message="An agreement needs a start, before its end.",
            ),
            models.CheckConstraint(
                condition=Q(effective__lower_inc=True) & Q(effective__upper_inc=False),
                name="agreement_half_open",
                violation_error_message="The start of an agreement is included, its end is not.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner}: {self.terms}"

    @property
    def terms(self) -> str:
        """The rate and the span in words: `33 % from 2025-08-01`."""
        return f"{format_bps(self.rate_bps)} {describe_span(self.effective)}"


@tracked()
class Rule(models.Model):
    """How an agreement's delegators are recognised (PA3); the lower priority wins, then the older rule."""

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
                fields=["agreement", "kind"],
                condition=Q(is_active=True),
                name="rule_kind_once_per_agreement",
                violation_error_message="This agreement already has an active rule of this kind.",
            ),
            models.CheckConstraint(condition=Q(applies_from_block__gte=0), name="rule_block_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.agreement}: {self.get_kind_display()}"


@tracked()
class Wallet(models.Model):
    """A delegator's address that belongs to one partner per chain (PA4), from `introduced_date` on."""

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="wallets")
    chain = models.CharField(max_length=12, choices=WalletChain.choices, default=own_chain)
    address = models.CharField(max_length=ADDRESS_LENGTH, validators=[validate_address])
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

    def clean(self) -> None:
        """Refuse another chain and our own hotkeys, and say whose a wallet is that is already listed."""
        if self.chain != own_chain():
            raise ValidationError(
                {"chain": f"This installation holds {WalletChain(own_chain()).label} only."}
            )
        refuse_own_hotkey(self.address, field="address")
        listed = Wallet.objects.filter(chain=self.chain, address=self.address).exclude(pk=self.pk)
        for other in listed.select_related("partner"):
            raise ValidationError({"address": f"This address is already a wallet of {other.partner}."})


class ApiKey(AbstractAPIKey):
    """A hashed key for the REST API, sent in `X-API-Key`. Bound to a partner it sees that partner only."""

    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="api_keys"
    )

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"


class Seal(models.Model):
    """The link that one row of the history is in a chain of hashes; written by a trigger with the row (PA6).

    `digest` is the SHA-256 of the row as JSON, of the columns that it had then; `hash` that of the hash before, this number,
    kind, row and digest. So no row can be changed, removed or moved without all links after it (`partners.sealing`).
    """

    number = models.BigIntegerField(primary_key=True, help_text="From 1, without holes.")
    kind = models.CharField(max_length=9)
    event_id = models.BigIntegerField()
    columns = models.TextField(help_text="Names, separated by commas.")
    digest = models.BinaryField()
    hash = models.BinaryField()

    class Meta:
        ordering = ["number"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["kind", "event_id"], name="seal_once"),
            models.CheckConstraint(condition=Q(number__gt=0), name="seal_from_one"),
        ]

    def __str__(self) -> str:
        return f"seal {self.number}"


class Change(models.Model):
    """One line of the history of partners, agreements, rules and wallets: a view, never written to."""

    class Kind(models.TextChoices):
        PARTNER = "PARTNER", "Partner"
        AGREEMENT = "AGREEMENT", "Agreement"
        RULE = "RULE", "Rule"
        WALLET = "WALLET", "Wallet"

    class What(models.TextChoices):
        INSERT = "insert", "Added"
        UPDATE = "update", "Changed"
        DELETE = "delete", "Removed"

    id = models.CharField(max_length=30, primary_key=True)
    kind = models.CharField(max_length=9, choices=Kind.choices)
    event_id = models.BigIntegerField()
    object_id = models.BigIntegerField()
    partner = models.ForeignKey(Partner, null=True, on_delete=models.DO_NOTHING, related_name="+")
    at = models.DateTimeField()
    what = models.CharField(max_length=6, choices=What.choices)
    object_name = models.TextField()
    user_id = models.TextField(help_text="Empty: not done by anybody signed in.")
    username = models.TextField()
    reason = models.TextField()
    values = models.JSONField(help_text="The row as it was after the change.")

    class Meta:
        managed = False
        db_table = "partners_change"
        ordering = ["-at", "-event_id", "id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.object_name} {self.get_what_display().lower()}"
