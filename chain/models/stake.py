"""Who held what, what changed it, and what was sold of it."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from chain.fields import RaoField, Uint128Field
from chain.models.blocks import Block, ImportRun
from chain.models.network import ADDRESS_LENGTH
from chain.models.yields import Asset
from chain.pools.shares import Share
from chain.stake.causes import Cause


class Position(models.Model):
    """A coldkey's share in one hotkey's pool, constant over the half-open `blocks`.

    The range starts at the block after whose execution the share holds, so the share that an epoch in block
    N pays on is the one whose range contains N - 1.
    """

    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    coldkey = models.CharField(max_length=ADDRESS_LENGTH)
    blocks = BigIntegerRangeField()
    share = Uint128Field(help_text="Raw bits of the chain's share number: U64F64, or a SafeFloat's mantissa.")
    share_exponent = models.SmallIntegerField(
        null=True, help_text="Decimal exponent of a SafeFloat; empty for U64F64."
    )

    class Meta:
        ordering = ["hotkey", "netuid", "coldkey", "blocks"]
        indexes = [models.Index(fields=["coldkey"])]
        constraints = [
            ExclusionConstraint(
                name="position_one_share_at_a_time",
                expressions=[
                    ("hotkey", RangeOperators.EQUAL),
                    ("netuid", RangeOperators.EQUAL),
                    ("coldkey", RangeOperators.EQUAL),
                    ("blocks", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(condition=Q(share__gt=0), name="position_share_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.coldkey} on {self.hotkey}/{self.netuid}"

    @property
    def raw_share(self) -> Share:
        """The share as storage has it."""
        return Share(self.share, self.share_exponent)


class StakeKind(models.TextChoices):
    """How stake came, went or moved."""

    STAKE = "STAKE", "Stake"
    UNSTAKE = "UNSTAKE", "Unstake"
    RESTAKE = "RESTAKE", "Restake"
    TRANSFER = "TRANSFER", "Transfer"


class StakeEvent(models.Model):
    """One change of one position on one of our hotkeys. Amounts are positive; `added` is the direction.

    Most are a StakeAdded or StakeRemoved. Where the chain leaves none, `cause` says what happened, and with `derived`
    the alpha is what the position's value changed by. One event can change several positions.
    """

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="stake_events")
    event_index = models.PositiveIntegerField(
        help_text="The event that says so; one more than the block's last event where none does."
    )
    extrinsic_index = models.PositiveIntegerField(
        null=True, help_text="Empty for what the runtime did itself."
    )
    extrinsic_hash = models.CharField(max_length=88, blank=True)
    signer = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    call = models.CharField(max_length=120, blank=True)
    kind = models.CharField(max_length=8, choices=StakeKind.choices)
    cause = models.CharField(
        max_length=12,
        blank=True,
        choices=[(cause.value, cause.words) for cause in Cause],
        help_text="Empty where the kind says what happened.",
    )
    derived = models.BooleanField(
        default=False, help_text="The amount is what the value changed by, not what an event says."
    )
    added = models.BooleanField()
    coldkey = models.CharField(max_length=ADDRESS_LENGTH, db_index=True)
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    tao_rao = RaoField(null=True, help_text="Empty where the chain names no TAO.")
    alpha_rao = RaoField(help_text="All that came to or left the position, a fee in alpha included.")
    fee_rao = RaoField(null=True, help_text="Empty where the chain names no fee, as before runtime 257.")
    fee_asset = models.CharField(max_length=5, choices=Asset.choices)
    other_coldkey = models.CharField(
        max_length=ADDRESS_LENGTH, blank=True, help_text="The other end of a transfer."
    )
    other_hotkey = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    other_netuid = models.PositiveIntegerField(null=True)
    import_run = models.ForeignKey(
        ImportRun, null=True, on_delete=models.PROTECT, related_name="stake_events"
    )
    import_row = models.PositiveIntegerField(null=True, help_text="Row of the file, as its preview counts.")

    class Meta:
        ordering = ["-block_id", "event_index", "hotkey", "netuid", "coldkey", "added"]
        # Few of millions, and asked for whenever unsold take is.
        indexes = [
            models.Index(fields=["block"], condition=Q(cause="HOTKEY_SWAP"), name="stake_event_key_swaps")
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(import_run__isnull=True, import_row__isnull=True, fee_asset__in=["ALPHA", "TAO"])
                | Q(import_run__isnull=False, import_row__isnull=False, fee_asset="SOL", netuid=0),
                name="stake_event_read_or_imported",
            ),
            models.UniqueConstraint(
                fields=["block", "event_index", "hotkey", "netuid", "coldkey", "added"],
                name="stake_event_once",
            ),
            models.CheckConstraint(
                condition=Q(tao_rao__gte=0) & Q(alpha_rao__gte=0) & Q(fee_rao__gte=0),
                name="stake_event_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(cause__in=["", *(cause.value for cause in Cause)]), name="stake_event_cause_known"
            ),
            models.CheckConstraint(
                condition=Q(derived=True) & ~Q(cause="") | Q(derived=False, tao_rao__isnull=False),
                name="stake_event_derived_has_cause",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} block {self.block_id}"


class Conversion(models.Model):
    """The owner of a hotkey selling earned alpha for TAO, or for root stake (`into_root`).

    `alpha_rao` is all that left the position, the fee included; `tao_rao` what was received.
    """

    stake_event = models.OneToOneField(StakeEvent, on_delete=models.PROTECT, related_name="conversion")
    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="conversions")
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    owner = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    alpha_rao = RaoField()
    tao_rao = RaoField()
    fee_alpha_rao = RaoField()
    into_root = models.BooleanField(default=False)

    class Meta:
        ordering = ["-block_id", "-id"]
        indexes = [models.Index(fields=["hotkey", "netuid", "block"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(alpha_rao__gt=0) & Q(tao_rao__gte=0) & Q(fee_alpha_rao__gte=0),
                name="conversion_amounts_valid",
            ),
        ]

    def __str__(self) -> str:
        return f"conversion block {self.block_id} netuid {self.netuid}"
