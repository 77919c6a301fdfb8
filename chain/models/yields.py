"""What our keys earned, and on other chains who earned it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from chain.fields import RaoField, Uint128Field
from chain.models.blocks import Block, ImportRun
from chain.models.network import ADDRESS_LENGTH
from chain.pools.shares import Share


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
    """How a take was confirmed beside the inversion of its dividend; see `chain.earnings.yields.Proof`."""

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
    is_child = models.BooleanField(
        "child key",
        null=True,
        help_text="Whether another key lent its stake to the hotkey on the subnet. Empty: not read, or imported.",
    )
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
