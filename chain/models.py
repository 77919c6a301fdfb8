"""Facts read from the chain, each written once by `chain.services` and never edited.

Addresses are SS58 text, amounts integers in rao, share numbers the chain's raw bits. A block and everything
read from it commit together, so the highest block is also the cursor. What could not be read is a `Gap`.
Facts of other chains come from files (`chain.imports`) into the same tables; each names its `ImportRun`.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from chain import (
    backfill_models,  # noqa: F401 - the rest of this app's models
    health,
)
from chain.eras import PoolPricing
from chain.families import NAMES, Family
from chain.fields import RaoField, Uint128Field
from chain.pool_prices import price_rao
from chain.shares import Share
from chain.stake_causes import Cause
from chain.tags import ACCEPTED, SENTENCES, Reason

ADDRESS_LENGTH = 48
FAMILIES = [(family.value, name) for family, name in NAMES.items()]


class Network(models.Model):
    """The one chain this database holds, pinned by its genesis hash at the first ingestion."""

    name = models.CharField(max_length=80)
    family = models.CharField(max_length=12, choices=FAMILIES, default=Family.BITTENSOR.value)
    genesis_hash = models.CharField(max_length=66, unique=True)
    ss58_prefix = models.PositiveIntegerField(null=True, default=42, help_text="Empty on other families.")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="network_is_single"),
            models.CheckConstraint(
                condition=Q(family="BITTENSOR", ss58_prefix__isnull=False)
                | Q(family="SOLANA", ss58_prefix__isnull=True),
                name="network_prefix_fits_family",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Hotkey(models.Model):
    """One of the validator's own keys, tracked since `first_block`."""

    address = models.CharField(max_length=ADDRESS_LENGTH, unique=True)
    label = models.CharField(
        max_length=40, blank=True, help_text="A short name of your own, for example RT21."
    )
    first_block = models.BigIntegerField(help_text="First block that was ingested for this key.")
    swapped_from = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.PROTECT,
        related_name="swapped_to",
        help_text="The key it took the place of. Empty for a key you named yourself.",
    )

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.label or self.address


class FollowedHotkey(models.Model):
    """From when to when one of our keys is ours on a subnet; `netuid` empty means every subnet.

    The range holds the blocks after whose execution it is so: the epoch of block N is ours if it contains N - 1.
    """

    hotkey = models.ForeignKey(Hotkey, on_delete=models.PROTECT, related_name="followed")
    netuid = models.PositiveIntegerField(null=True)
    blocks = BigIntegerRangeField()

    class Meta:
        ordering = ["hotkey", "netuid", "blocks"]
        constraints = [
            ExclusionConstraint(
                name="followed_hotkey_once_at_a_time",
                expressions=[
                    ("hotkey", RangeOperators.EQUAL),
                    (Coalesce("netuid", -1), RangeOperators.EQUAL),
                    ("blocks", RangeOperators.OVERLAPS),
                ],
            )
        ]

    def __str__(self) -> str:
        where = "every subnet" if self.netuid is None else f"netuid {self.netuid}"
        return f"{self.hotkey} on {where}"


class Runtime(models.Model):
    """A runtime that was read, with the metadata its blocks are decoded with and the era whose rules it is read by.

    One that the product knew needs no more. Any other was admitted by a self-test, with its evidence, or is `assumed`:
    somebody told ingestion to go on without one, and every block of it is marked by that.
    """

    spec_version = models.PositiveIntegerField(primary_key=True)
    metadata = models.BinaryField(help_text="V14 metadata, zlib.")
    metadata_sha256 = models.CharField(max_length=64)
    first_block = models.BigIntegerField(help_text="First block of it that was read.")
    era = models.CharField(max_length=16, blank=True, help_text="The rules it is read by; see chain/eras.py.")
    admitted_at = models.DateTimeField(null=True, blank=True)
    admitted_by = models.CharField(max_length=150, blank=True, help_text="Who let it in.")
    evidence = models.JSONField(
        default=dict, blank=True, help_text="What the self-test read: blocks, epochs, takes, positions."
    )
    assumed = models.BooleanField(default=False, help_text="Read by rules that were not proved for it.")

    class Meta:
        ordering = ["spec_version"]
        constraints = [
            models.CheckConstraint(
                condition=Q(admitted_at=None, admitted_by="", assumed=False, evidence={})
                | (
                    Q(admitted_at__isnull=False)
                    & ~Q(admitted_by="")
                    & ~Q(era="")
                    & (Q(assumed=True, evidence={}) | (Q(assumed=False) & ~Q(evidence={})))
                ),
                name="runtime_admitted_by_somebody",
            )
        ]

    def __str__(self) -> str:
        return f"spec {self.spec_version}"


class ImportRun(models.Model):
    """One file of another chain's facts that was imported whole, by whom, and what it added."""

    file_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64, unique=True, help_text="Of the file as it was uploaded.")
    row_count = models.PositiveIntegerField(help_text="Rows of the file.")
    reward_count = models.PositiveIntegerField(help_text="Staker rewards it added.")
    stake_event_count = models.PositiveIntegerField(help_text="Stake events it added.")
    imported_at = models.DateTimeField()
    imported_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, help_text="Empty: by command."
    )

    class Meta:
        ordering = ["-id"]
        verbose_name = "import"

    def __str__(self) -> str:
        return f"import {self.pk}: {self.file_name}"


class Payload(models.Model):
    """Raw bytes as a node gave them, kept once under their SHA-256, so that what was read from them can be read again."""

    sha256 = models.CharField(max_length=64, primary_key=True, help_text="Of the bytes before compression.")
    body = models.BinaryField(help_text="zlib.")
    size = models.PositiveIntegerField(help_text="Bytes before compression.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="payload_named_by_digest"
            ),
            models.CheckConstraint(condition=Q(size__gt=0), name="payload_not_empty"),
        ]

    def __str__(self) -> str:
        return f"{self.size:,} bytes, {self.sha256[:12]}…"


class Block(models.Model):
    """A finalized block. `spec_version` is that of the parent, which executed it.

    A slot of another chain comes from a file: without runtime and parent, and without the slots in between.
    """

    number = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=66, unique=True)
    parent_hash = models.CharField(max_length=66, blank=True)
    timestamp = models.DateTimeField(db_index=True)
    runtime = models.ForeignKey(Runtime, null=True, on_delete=models.PROTECT, related_name="+")
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="blocks")
    provider = models.TextField(
        blank=True, default="", help_text="Node or segment that it was read from; no fact depends on it."
    )
    payload = models.ForeignKey(
        Payload,
        null=True,
        on_delete=models.PROTECT,
        related_name="blocks",
        help_text="The block's raw events, where anything of ours was touched.",
    )

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(import_run__isnull=True, runtime__isnull=False)
                | Q(import_run__isnull=False, runtime__isnull=True, parent_hash=""),
                name="block_read_or_imported",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number:,}"


class Side(models.TextChoices):
    """Which stakers' dividend the take was cut from; on other chains, which component of the rewards."""

    ALPHA = "ALPHA", "Subnet alpha"
    ROOT = "ROOT", "Root TAO"
    REWARDS = "REWARDS", "Inflation rewards"
    EXEC_FEES = "EXEC_FEES", "Block and priority fees"
    MEV = "MEV", "MEV tips"


COMPONENTS = (Side.REWARDS, Side.EXEC_FEES, Side.MEV)


class Asset(models.TextChoices):
    """What an amount is counted in; alpha always has its netuid beside it."""

    ALPHA = "ALPHA", "Alpha"
    TAO = "TAO", "TAO"
    SOL = "SOL", "SOL"


class Proof(models.TextChoices):
    """How a take was confirmed beside the inversion of its dividend; see `chain.yields.Proof`."""

    POOL = "POOL", "Whole pool replayed"
    SHARES = "SHARES", "Owner's share replayed"
    VALUE = "VALUE", "Growth of the pool"
    DOUBT = "DOUBT", "Open by a rao"


class Yield(models.Model):
    """What one hotkey earned in one epoch on one side: the delegators' dividend and the validator's take.

    `take_rao` is the pool difference; `take_low_rao`..`take_high_rao` is what inversion of the dividend
    allows. The methods must agree, in code and by constraint. `pool_netuid` names the share pool whose
    holders earned it: the subnet itself, or 0 for root.

    An imported yield is one epoch's component of a vote account: who earned it is given (`StakerReward`), so
    there is no pool and no second method, and `dividend_rao` and `take_rao` are the sums of what is given.
    """

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="yields")
    netuid = models.PositiveIntegerField()
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    side = models.CharField(max_length=9, choices=Side.choices)
    asset = models.CharField(max_length=5, choices=Asset.choices)
    pool_netuid = models.PositiveIntegerField()
    owner = models.CharField(
        max_length=ADDRESS_LENGTH, blank=True, help_text="Coldkey credited with the take; files do not say."
    )
    dividend_rao = RaoField(help_text="Credited to all holders pro rata, after take.")
    take_rao = RaoField()
    take_low_rao = RaoField(null=True)
    take_high_rao = RaoField(null=True)
    take_u16 = models.PositiveIntegerField(null=True, help_text="Delegate take, parts of 65,535.")
    pool_before_rao = RaoField(null=True, help_text="Pool value at the parent block.")
    other_rao = RaoField(default=0, help_text="Owner cut and miner incentive credited to the pool beside it.")
    share_total = Uint128Field(null=True, help_text="Denominator of the pool at the parent block, raw bits.")
    share_total_exponent = models.SmallIntegerField(null=True, help_text="As of a position's share.")
    proof = models.CharField(max_length=6, choices=Proof.choices, default=Proof.POOL, blank=True)
    epoch = models.BigIntegerField(null=True, help_text="The other chain's own number of the epoch.")
    import_run = models.ForeignKey(ImportRun, null=True, on_delete=models.PROTECT, related_name="yields")

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
                condition=Q(side="ALPHA", pool_netuid=F("netuid"), asset="ALPHA")
                | Q(side="ROOT", pool_netuid=0)
                | Q(side__in=COMPONENTS, pool_netuid=0, netuid=0),
                name="yield_pool_fits_side",
            ),
            # A check that compares with null passes, so what was read must say that it has both methods.
            models.CheckConstraint(
                condition=Q(
                    side__in=["ALPHA", "ROOT"],
                    asset__in=["ALPHA", "TAO"],
                    take_low_rao__isnull=False,
                    take_high_rao__isnull=False,
                    take_u16__isnull=False,
                    pool_before_rao__isnull=False,
                    share_total__isnull=False,
                    proof__in=Proof.values,
                    epoch__isnull=True,
                    import_run__isnull=True,
                )
                | Q(
                    side__in=COMPONENTS,
                    asset="SOL",
                    take_low_rao__isnull=True,
                    take_high_rao__isnull=True,
                    take_u16__isnull=True,
                    pool_before_rao__isnull=True,
                    share_total__isnull=True,
                    share_total_exponent__isnull=True,
                    proof="",
                    other_rao=0,
                    epoch__isnull=False,
                    epoch__gte=0,
                    import_run__isnull=False,
                ),
                name="yield_read_or_imported",
            ),
            models.UniqueConstraint(fields=["epoch", "hotkey", "side"], name="yield_once_per_epoch"),
        ]

    def __str__(self) -> str:
        if self.is_imported:
            return f"epoch {self.epoch} {self.side} of {self.hotkey}"
        return f"block {self.block_id} netuid {self.netuid} {self.side}"

    @property
    def denominator(self) -> Share:
        """Denominator of the pool at the parent block, as storage had it; an imported yield has none."""
        if self.share_total is None:
            raise ValueError(f"{self} was earned by no pool")
        return Share(self.share_total, self.share_total_exponent)

    @property
    def is_imported(self) -> bool:
        """Tell whether a file gave who earned it, so that nothing is split by positions."""
        return self.import_run_id is not None

    @property
    def title(self) -> str:
        """What the yield is of, in words."""
        if self.is_imported:
            return f"Epoch {self.epoch:,}, {self.get_side_display()}"
        return f"Subnet {self.netuid}, {self.get_side_display().lower()} stakers"


class StakerReward(models.Model):
    """What one staker earned the validator in an imported yield, and was credited themselves, as the file gives it.

    Per yield the amounts add up to its take and its dividend, checked at commit; none is added afterwards.
    """

    source = models.ForeignKey(Yield, on_delete=models.PROTECT, related_name="staker_rewards")
    coldkey = models.CharField(max_length=ADDRESS_LENGTH, help_text="Who may withdraw the stake.")
    amount_rao = RaoField(help_text="The validator's part: revenue from this staker.")
    dividend_rao = RaoField(help_text="What the staker was credited after it.")
    import_row = models.PositiveIntegerField(help_text="Row of the file, as its preview counts.")

    class Meta:
        ordering = ["source", "coldkey"]
        indexes = [models.Index(fields=["coldkey"])]
        constraints = [
            models.UniqueConstraint(fields=["source", "coldkey"], name="staker_reward_once"),
            models.CheckConstraint(
                condition=Q(amount_rao__gte=0)
                & Q(dividend_rao__gte=0)
                & (Q(amount_rao__gt=0) | Q(dividend_rao__gt=0)),
                name="staker_reward_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.coldkey}: {self.amount_rao} of {self.source_id}"


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


class Pricing(models.TextChoices):
    """What sets a pool's price, by its runtime: `chain.eras.PoolPricing`."""

    RESERVES = "RESERVES", "Ratio of the reserves"
    SQRT_PRICE = "SQRT_PRICE", "Stored square-root price"
    BALANCER = "BALANCER", "Weighted reserves"


class PoolPrice(models.Model):
    """State of a subnet's AMM after a block in which we earned or converted; `chain.pool_prices` makes the price of it."""

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


class Remark(models.Model):
    """A text its sender left in an extrinsic that also touched stake on our hotkeys (PA7). Kept as bytes.

    The chain's event names the text by `text_hash` only. `remark` is empty where the text stands in no call that can be
    read, or is longer than `chain.tags.REMARK_BYTES_MAX`; in the first case its length is unknown as well.
    """

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="remarks")
    event_index = models.PositiveIntegerField()
    extrinsic_index = models.PositiveIntegerField()
    sender = models.CharField(max_length=ADDRESS_LENGTH, db_index=True)
    remark = models.BinaryField(null=True)
    text_hash = models.CharField(max_length=66, db_index=True, help_text="BLAKE2b-256 of the text, 0x hex.")
    byte_count = models.PositiveIntegerField(null=True, help_text="Length of the text.")

    class Meta:
        ordering = ["-block_id", "event_index"]
        constraints = [
            models.UniqueConstraint(fields=["block", "event_index"], name="remark_once"),
            models.CheckConstraint(
                condition=Q(remark__isnull=True) | Q(byte_count__isnull=False), name="remark_text_has_length"
            ),
        ]

    def __str__(self) -> str:
        return f"remark block {self.block_id}"


class Tag(models.Model):
    """What a remark tags, one row for each stake, or one row without a stake that says why it tags nothing.

    `via_delegate` says that a proxy left the remark and the stake is that of the coldkey it acted for.
    """

    block = models.ForeignKey(Block, on_delete=models.PROTECT, related_name="tags")
    remark = models.ForeignKey(Remark, on_delete=models.PROTECT, related_name="tags")
    stake_event = models.OneToOneField(StakeEvent, null=True, on_delete=models.PROTECT, related_name="tag")
    accepted = models.BooleanField()
    reason = models.CharField(max_length=20, help_text="One of `chain.tags.Reason`.")
    via_delegate = models.BooleanField(default=False)

    class Meta:
        ordering = ["-block_id", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(accepted=True, stake_event__isnull=False)
                | Q(accepted=False, stake_event__isnull=True),
                name="tag_accepted_names_a_stake",
            ),
            models.CheckConstraint(
                condition=Q(accepted=True, reason__in=sorted(str(code) for code in ACCEPTED))
                | Q(accepted=False, reason__in=sorted(str(code) for code in set(Reason) - ACCEPTED)),
                name="tag_reason_fits",
            ),
            models.UniqueConstraint(fields=["remark"], condition=Q(accepted=False), name="tag_refused_once"),
        ]

    def __str__(self) -> str:
        return f"tag block {self.block_id}"

    @property
    def sentence(self) -> str:
        """Why it is accepted or refused, in words."""
        return SENTENCES[Reason(self.reason)]


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


class Endpoint(models.Model):
    """A node that was asked, under its address without secrets, and how it did. Not a fact: it changes all the time."""

    class Condition(models.TextChoices):
        UNTRIED = health.Condition.UNTRIED, "Not asked yet"
        HEALTHY = health.Condition.HEALTHY, "Answers"
        FAILING = health.Condition.FAILING, "Fails"
        STALE = health.Condition.STALE, "Stale head"
        DOUBTED = health.Condition.DOUBTED, "Doubted"
        WRONG_CHAIN = health.Condition.WRONG_CHAIN, "Other chain"
        SAME_NODE = health.Condition.SAME_NODE, "Same node"

    name = models.CharField(max_length=300, unique=True)
    position = models.PositiveIntegerField(
        null=True, help_text="Place in RAKEBACK_NODE_URL; empty where it is not named there (any more)."
    )
    condition = models.CharField(max_length=11, choices=Condition.choices, default=Condition.UNTRIED)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    last_ok_at = models.DateTimeField(null=True)
    last_error_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)
    latency_ms = models.PositiveIntegerField(null=True, help_text="Per round trip, smoothed.")
    head_block = models.BigIntegerField(null=True, help_text="Newest finalized block it named.")
    head_since = models.DateTimeField(null=True, help_text="When it first named that block.")

    class Meta:
        ordering = [F("position").asc(nulls_last=True), "name"]
        verbose_name = "node"

    def __str__(self) -> str:
        return self.name


class Gap(models.Model):
    """Blocks that could not be read or proved. An open gap keeps its period from closing (CH6).

    A gap ends in one of two ways, and then nothing of it changes any more: its blocks were stored (RESOLVED), or a
    named person accepted that they never will be (UNRECOVERABLE). Then reading goes on after them, with positions
    listed anew.
    """

    class Kind(models.TextChoices):
        READ_MISSING = "READ_MISSING", "Read missing"
        METHODS_DISAGREE = "METHODS_DISAGREE", "Take methods disagree"
        POSITIONS_DISAGREE = "POSITIONS_DISAGREE", "Positions disagree with the chain"
        UNKNOWN_RUNTIME = "UNKNOWN_RUNTIME", "Unknown runtime"
        UNSUPPORTED = "UNSUPPORTED", "Not supported yet"
        UNACCOUNTED = "UNACCOUNTED", "Amount left open by the chain"
        MISSING_BLOCKS = "MISSING_BLOCKS", "Blocks missing between others"
        RUN_ENDED = "RUN_ENDED", "A run ended early"
        BEHIND = "BEHIND", "Behind the chain"

    class State(models.TextChoices):
        OPEN = "OPEN", "Open"
        RESOLVED = "RESOLVED", "Resolved"
        UNRECOVERABLE = "UNRECOVERABLE", "Unrecoverable"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    blocks = BigIntegerRangeField()
    reason = models.TextField()
    state = models.CharField(max_length=13, choices=State.choices, default=State.OPEN)
    detected_at = models.DateTimeField()
    detected_by = models.ForeignKey(
        IngestRun,
        null=True,
        on_delete=models.PROTECT,
        related_name="gaps_found",
        help_text="Empty for what the check for gaps found.",
    )
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        IngestRun, null=True, on_delete=models.PROTECT, related_name="gaps_resolved"
    )
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    accepted_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        permissions = [("accept_gap", "Can accept that blocks can never be read")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="RESOLVED", resolved_at__isnull=False)
                | (~Q(state="RESOLVED") & Q(resolved_at__isnull=True, resolved_by__isnull=True)),
                name="gap_resolved_fits_state",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state="UNRECOVERABLE", accepted_by__isnull=False, accepted_at__isnull=False)
                    & ~Q(accepted_reason="")
                )
                | (
                    ~Q(state="UNRECOVERABLE")
                    & Q(accepted_by__isnull=True, accepted_at__isnull=True, accepted_reason="")
                ),
                name="gap_unrecoverable_is_accepted",
            ),
            models.CheckConstraint(
                condition=Q(
                    kind__in=[
                        *("READ_MISSING", "METHODS_DISAGREE", "POSITIONS_DISAGREE", "UNKNOWN_RUNTIME"),
                        *("UNSUPPORTED", "UNACCOUNTED", "MISSING_BLOCKS", "RUN_ENDED", "BEHIND"),
                    ]
                ),
                name="gap_of_known_kind",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["OPEN", "RESOLVED", "UNRECOVERABLE"]), name="gap_of_known_state"
            ),
            models.CheckConstraint(
                condition=Q(
                    blocks__isempty=False,
                    blocks__lower_inf=False,
                    blocks__upper_inf=False,
                    blocks__startswith__gte=0,
                ),
                name="gap_of_some_blocks",
            ),
            models.CheckConstraint(condition=Q(reason__regex=r"\S"), name="gap_says_why"),
            # A block is lost once; what is known after it rests on one listing of positions. Of a stored block several
            # amounts can be open.
            ExclusionConstraint(
                name="gap_lost_once",
                expressions=[("blocks", RangeOperators.OVERLAPS)],
                condition=Q(state="UNRECOVERABLE") & ~Q(kind="UNACCOUNTED"),
            ),
        ]

    def __str__(self) -> str:
        return f"gap of {self.blocks_text}"

    @property
    def blocks_text(self) -> str:
        """Name the blocks, both ends included: 'block 7' or 'blocks 7 to 9'."""
        first, last = self.blocks.lower, self.blocks.upper - 1
        return f"block {first:,}" if first == last else f"blocks {first:,} to {last:,}"


# Last, because they point to the models above.
from chain.fiat.models import ConversionPrice, FiatPrice, PriceFetch  # noqa: E402, F401
