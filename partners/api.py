"""Partners and wallets for the REST API, read only; a key bound to a partner sees that one alone (AP2)."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from rest_framework import serializers

from partners.api_base import ApiViewSet, Query
from partners.models import Agreement, Partner, Wallet
from partners.queries import address_now


class PartnerSerializer(serializers.ModelSerializer[Partner]):
    """A partner with what they are paid at present."""

    rate_bps = serializers.IntegerField(
        source="bps_now", allow_null=True, read_only=True, help_text="Empty: no agreement is in force now."
    )
    wallet_count = serializers.IntegerField(read_only=True, help_text="Active wallets.")
    payout_address = serializers.CharField(
        source="address_now",
        read_only=True,
        help_text="Where payouts go now. Empty: there is no address in force.",
    )

    class Meta:
        model = Partner
        fields = ("id", "slug", "name", "kind", "status", "payout_address", "rate_bps", "wallet_count")
        read_only_fields = fields


class WalletSerializer(serializers.ModelSerializer[Wallet]):
    """A wallet of a partner. Notes are staff's own and stay here."""

    partner = serializers.SlugRelatedField[Partner](slug_field="slug", read_only=True)

    class Meta:
        model = Wallet
        fields = ("id", "partner", "chain", "address", "introduced_date", "ended_date", "is_active")
        read_only_fields = fields


class PartnerViewSet(ApiViewSet):
    """List partners, or show one by its short name."""

    serializer_class = PartnerSerializer
    queryset = Partner.objects.order_by("id")
    lookup_field = "slug"
    partner_lookup = "pk"

    def get_queryset(self) -> QuerySet[Partner]:
        """Read partners with their present rate in one query."""
        in_force = Agreement.objects.filter(partner=OuterRef("pk"), effective__contains=timezone.now())
        partners: QuerySet[Partner] = super().get_queryset()
        return partners.annotate(
            bps_now=Subquery(in_force.values("rate_bps")[:1]),
            address_now=Coalesce(address_now(), Value("")),
            wallet_count=Count("wallets", filter=Q(wallets__is_active=True)),
        )


class WalletQuery(Query):
    """Narrow the list of wallets."""

    partner = serializers.SlugField(required=False, help_text="A partner's short name.")
    is_active = serializers.BooleanField(
        required=False, default=None, allow_null=True, help_text="Empty: both kinds."
    )


class WalletViewSet(ApiViewSet):
    """List wallets, or show one by its number."""

    serializer_class = WalletSerializer
    queryset = Wallet.objects.select_related("partner").order_by("id")
    partner_lookup = "partner_id"
    query_form = WalletQuery

    def narrow(self, rows: QuerySet[Wallet], query: dict[str, Any]) -> QuerySet[Wallet]:
        if "partner" in query:
            rows = rows.filter(partner__slug=query["partner"])
        return rows if query["is_active"] is None else rows.filter(is_active=query["is_active"])
