"""What may leave: batches of payouts, proposed by one person and approved by another.

A proposed batch is frozen: its payouts, addresses and amounts are part of the hash that the approver
confirms, and triggers refuse to change them. Sending is not part of this app yet; an approved batch is
exported as call data.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from chain.fields import RaoField
from chain.models import ADDRESS_LENGTH
from ledger.models import Period
from partners.models import Partner


class Batch(models.Model):
    """A set of payouts approved together (PY1). `content_hash` covers every payout in it."""

    class Status(models.TextChoices):
        PROPOSED = "PROPOSED", "Proposed"
        APPROVED = "APPROVED", "Approved"
        CANCELLED = "CANCELLED", "Cancelled"

    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PROPOSED)
    through = models.ForeignKey(
        Period, on_delete=models.PROTECT, related_name="+", help_text="Pays what was due after this period."
    )
    content_hash = models.CharField(max_length=64)
    payout_count = models.PositiveIntegerField()
    total_rao = RaoField()
    proposed_at = models.DateTimeField()
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    cancelled_at = models.DateTimeField(null=True)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    cancel_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "batches"
        permissions = [
            ("propose_batch", "Can propose a payout batch"),
            ("approve_batch", "Can approve a payout batch"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("proposed_by")),
                name="batch_approver_is_not_proposer",
            ),
            models.CheckConstraint(
                condition=Q(status="APPROVED", approved_by__isnull=False, approved_at__isnull=False)
                | Q(status="CANCELLED", cancelled_by__isnull=False, cancelled_at__isnull=False)
                | Q(
                    status="PROPOSED",
                    approved_by__isnull=True,
                    approved_at__isnull=True,
                    cancelled_by__isnull=True,
                ),
                name="batch_status_fits_people",
            ),
            models.CheckConstraint(
                condition=Q(total_rao__gt=0) & Q(payout_count__gt=0), name="batch_pays_something"
            ),
        ]

    def __str__(self) -> str:
        return f"Batch {self.pk}"


class Payout(models.Model):
    """One transfer to one partner, to the address as proposed. Its reserving entry is `reserve:<id>`."""

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="payouts")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="payouts")
    address = models.CharField(max_length=ADDRESS_LENGTH)
    amount_rao = RaoField()

    class Meta:
        ordering = ["batch", "partner"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "partner"], name="payout_one_per_partner_and_batch"),
            models.CheckConstraint(condition=Q(amount_rao__gt=0), name="payout_amount_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.partner}: {self.amount_rao} rao"
