"""Facts read from the chain, each written once by `chain.services` and never edited.

Addresses are SS58 text, amounts integers in rao, share numbers the chain's raw bits. A block and everything
read from it commit together, so the highest block is also the cursor. What could not be read is a `Gap`.
"""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q

from chain.fields import RaoField, Uint128Field

ADDRESS_LENGTH = 48


class Network(models.Model):
    """The one chain this database holds, pinned by its genesis hash at the first ingestion."""

    name = models.CharField(max_length=80)
    genesis_hash = models.CharField(max_length=66, unique=True)
    ss58_prefix = models.PositiveIntegerField(default=42)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="network_is_single")]

    def __str__(self) -> str:
        return self.name


class Hotkey(models.Model):
    """One of the validator's own keys, tracked since `first_block`."""

    address = models.CharField(max_length=ADDRESS_LENGTH, unique=True)
    label = models.CharField(
        max_length=40, blank=True, help_text="A short name of your own, for example RT21."
    )
    first_block = models.BigIntegerField(help_text="First block that was ingested for this key.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.label or self.address


class Runtime(models.Model):
    """A runtime whose reader passed its self-test, with the metadata its blocks are decoded with."""

    spec_version = models.PositiveIntegerField(primary_key=True)
    metadata = models.BinaryField(help_text="V14 metadata, zlib.")
    metadata_sha256 = models.CharField(max_length=64)
    first_block = models.BigIntegerField()

    class Meta:
        ordering = ["spec_version"]

    def __str__(self) -> str:
        return f"spec {self.spec_version}"


class Block(models.Model):
    """A finalized block. `spec_version` is that of the parent, which executed it."""

    number = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=66, unique=True)
    parent_hash = models.CharField(max_length=66)
    timestamp = models.DateTimeField(db_index=True)
    runtime = models.ForeignKey(Runtime, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"{self.number:,}"


class Side(models.TextChoices):
    """Which stakers' dividend the take was cut from."""

    ALPHA = "ALPHA", "Subnet alpha"
    ROOT = "ROOT", "Root TAO"


class Asset(models.TextChoices):
    """What an amount is counted in; alpha always has its netuid beside it."""

    ALPHA = "ALPHA", "Alpha"
    TAO = "TAO", "TAO"


class Yield(models.Model):
    """What one hotkey earned in one epoch on one side: the delegators' dividend and the validator's take.

    `take_rao` is the pool difference; `take_low_rao`..`take_high_rao` is what inversion of the dividend
    allows. The two methods must agree, in code and by constraint. `pool_netuid` names the share pool whose
    holders earned it: the subnet itself, or 0 for root.
    """

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="yields")
    netuid = models.PositiveIntegerField()
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    side = models.CharField(max_length=5, choices=Side.choices)
    asset = models.CharField(max_length=5, choices=Asset.choices)
    pool_netuid = models.PositiveIntegerField()
    owner = models.CharField(max_length=ADDRESS_LENGTH, help_text="Coldkey credited with the take.")
    dividend_rao = RaoField(help_text="Credited to all holders pro rata, after take.")
    take_rao = RaoField()
    take_low_rao = RaoField()
    take_high_rao = RaoField()
    take_u16 = models.PositiveIntegerField(help_text="Delegate take, parts of 65,535.")
    pool_before_rao = RaoField(help_text="Pool value at the parent block.")
    other_rao = RaoField(default=0, help_text="Owner cut and miner incentive credited to the pool beside it.")
    share_total = Uint128Field(help_text="Denominator of the pool at the parent block, raw bits.")

    class Meta:
        ordering = ["-block_id", "netuid", "hotkey", "side"]
        indexes = [models.Index(fields=["hotkey", "netuid", "block"])]
        constraints = [
            models.UniqueConstraint(fields=["block", "netuid", "hotkey", "side"], name="yield_once"),
            models.CheckConstraint(
                condition=Q(dividend_rao__gte=0) & Q(take_rao__gte=0) & Q(other_rao__gte=0),
                name="yield_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(take_rao__gte=F("take_low_rao")) & Q(take_rao__lte=F("take_high_rao")),
                name="yield_methods_agree",
            ),
            models.CheckConstraint(
                condition=Q(side="ALPHA", pool_netuid=F("netuid")) | Q(side="ROOT", pool_netuid=0),
                name="yield_pool_fits_side",
            ),
        ]

    def __str__(self) -> str:
        return f"block {self.block_id} netuid {self.netuid} {self.side}"


class Position(models.Model):
    """A coldkey's share in one hotkey's pool, constant over the half-open `blocks`.

    The range starts at the block after whose execution the share holds, so the share that an epoch in block
    N pays on is the one whose range contains N - 1.
    """

    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    coldkey = models.CharField(max_length=ADDRESS_LENGTH)
    blocks = BigIntegerRangeField()
    share = Uint128Field(help_text="Raw bits of the chain's share number, U64F64.")

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


class StakeKind(models.TextChoices):
    """How stake came, went or moved."""

    STAKE = "STAKE", "Stake"
    UNSTAKE = "UNSTAKE", "Unstake"
    RESTAKE = "RESTAKE", "Restake"
    TRANSFER = "TRANSFER", "Transfer"


class StakeEvent(models.Model):
    """One StakeAdded or StakeRemoved on one of our hotkeys. Amounts are positive; `added` is the direction."""

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="stake_events")
    event_index = models.PositiveIntegerField()
    extrinsic_index = models.PositiveIntegerField(
        null=True, help_text="Empty for what the runtime did itself."
    )
    extrinsic_hash = models.CharField(max_length=66, blank=True)
    signer = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    call = models.CharField(max_length=120, blank=True)
    kind = models.CharField(max_length=8, choices=StakeKind.choices)
    added = models.BooleanField()
    coldkey = models.CharField(max_length=ADDRESS_LENGTH, db_index=True)
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    tao_rao = RaoField()
    alpha_rao = RaoField()
    fee_rao = RaoField()
    fee_asset = models.CharField(max_length=5, choices=Asset.choices)
    other_coldkey = models.CharField(
        max_length=ADDRESS_LENGTH, blank=True, help_text="The other end of a transfer."
    )
    other_hotkey = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    other_netuid = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["-block_id", "event_index"]
        constraints = [
            models.UniqueConstraint(fields=["block", "event_index"], name="stake_event_once"),
            models.CheckConstraint(
                condition=Q(tao_rao__gte=0) & Q(alpha_rao__gte=0) & Q(fee_rao__gte=0),
                name="stake_event_not_negative",
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


class PoolPrice(models.Model):
    """State of a subnet's AMM after a block in which we earned or converted; the price is sqrt_price squared."""

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="prices")
    netuid = models.PositiveIntegerField()
    tao_reserve_rao = RaoField()
    alpha_reserve_rao = RaoField()
    sqrt_price = Uint128Field(help_text="Raw bits, U64F64; TAO per alpha is its square.")

    class Meta:
        ordering = ["-block_id", "netuid"]
        constraints = [models.UniqueConstraint(fields=["block", "netuid"], name="pool_price_once")]

    def __str__(self) -> str:
        return f"price netuid {self.netuid} block {self.block_id}"


class Remark(models.Model):
    """A text its signer left in an extrinsic that also touched stake on our hotkeys (PA7). Kept as bytes."""

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="remarks")
    event_index = models.PositiveIntegerField()
    extrinsic_index = models.PositiveIntegerField()
    sender = models.CharField(max_length=ADDRESS_LENGTH)
    remark = models.BinaryField()

    class Meta:
        ordering = ["-block_id", "event_index"]
        constraints = [models.UniqueConstraint(fields=["block", "event_index"], name="remark_once")]

    def __str__(self) -> str:
        return f"remark block {self.block_id}"


class IngestRun(models.Model):
    """One run of ingestion: from where, which blocks, how it ended."""

    class Status(models.TextChoices):
        RUNNING = "RUNNING", "Running"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed"

    source = models.CharField(max_length=200)
    first_block = models.BigIntegerField()
    last_block = models.BigIntegerField()
    blocks_done = models.BigIntegerField(default=0)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.RUNNING)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.source} {self.first_block:,} to {self.last_block:,}"


class Gap(models.Model):
    """Blocks that could not be read or proved. An open gap keeps its period from closing."""

    class Kind(models.TextChoices):
        READ_MISSING = "READ_MISSING", "Read missing"
        METHODS_DISAGREE = "METHODS_DISAGREE", "Take methods disagree"
        POSITIONS_DISAGREE = "POSITIONS_DISAGREE", "Positions disagree with the chain"
        UNKNOWN_RUNTIME = "UNKNOWN_RUNTIME", "Unknown runtime"
        UNSUPPORTED = "UNSUPPORTED", "Not supported yet"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    blocks = BigIntegerRangeField()
    reason = models.TextField()
    detected_at = models.DateTimeField()
    detected_by = models.ForeignKey(IngestRun, on_delete=models.PROTECT, related_name="gaps_found")
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        IngestRun, null=True, on_delete=models.PROTECT, related_name="gaps_resolved"
    )

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.blocks}"
