"""The chain this database holds, our keys on it, and the runtimes it was read by."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import BigIntegerRangeField, RangeOperators
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from chain.families import NAMES, Family

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
    abandoned_by = models.CharField(
        max_length=ADDRESS_LENGTH,
        blank=True,
        default="",
        help_text="Coldkey whose swap left the key without an owner: until it is taken up again, it earns nothing.",
    )

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
    era = models.CharField(
        max_length=16, blank=True, help_text="The rules it is read by; see chain/runtimes/eras.py."
    )
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
