"""Partners and wallets for the REST API, read only; a key bound to a partner sees that one alone (AP2)."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from rest_framework import mixins, serializers, viewsets

from partners.models import Agreement, ApiKey, Partner, Wallet


class PartnerSerializer(serializers.ModelSerializer[Partner]):
    """A partner with what they are paid at present."""

    rate_bps = serializers.IntegerField(
        source="bps_now", allow_null=True, read_only=True, help_text="Empty: no agreement is in force now."
    )
    wallet_count = serializers.IntegerField(read_only=True, help_text="Active wallets.")

    class Meta:
        model = Partner
        fields = ("slug", "name", "kind", "status", "payout_address", "rate_bps", "wallet_count")
        read_only_fields = fields


class WalletSerializer(serializers.ModelSerializer[Wallet]):
    """A wallet of a partner. Notes are staff's own and stay here."""

    partner = serializers.SlugRelatedField[Partner](slug_field="slug", read_only=True)

    class Meta:
        model = Wallet
        fields = ("id", "partner", "chain", "address", "introduced_date", "is_active")
        read_only_fields = fields


def visible(queryset: QuerySet[Any], request: Any, *, partner_field: str) -> QuerySet[Any]:
    """Keep the rows that the caller may see.

    A key sees its partner, or all when it is bound to none; a signed-in user needs the right to view the
    model; nobody else sees anything.
    """
    if isinstance(request.auth, ApiKey):
        partner_id = request.auth.partner_id
        return queryset if partner_id is None else queryset.filter(**{partner_field: partner_id})
    right = f"partners.view_{queryset.model._meta.model_name}"
    return queryset if request.user is not None and request.user.has_perm(right) else queryset.none()


class PartnerViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Partner]):
    """List partners, or show one by its short name."""

    serializer_class = PartnerSerializer
    lookup_field = "slug"
    queryset = Partner.objects.all()

    def get_queryset(self) -> QuerySet[Partner]:
        """Read partners with their present rate in one query."""
        in_force = Agreement.objects.filter(partner=OuterRef("pk"), effective__contains=timezone.now())
        partners = Partner.objects.annotate(
            bps_now=Subquery(in_force.values("rate_bps")[:1]),
            wallet_count=Count("wallets", filter=Q(wallets__is_active=True)),
        )
        return visible(partners, self.request, partner_field="pk")


class WalletViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Wallet]):
    """List wallets, filtered by `partner` (short name) and `is_active`, or show one by its number."""

    serializer_class = WalletSerializer
    queryset = Wallet.objects.all()

    def get_queryset(self) -> QuerySet[Wallet]:
        """Read the wallets asked for."""
        wallets = visible(Wallet.objects.select_related("partner"), self.request, partner_field="partner")
        if slug := self.request.query_params.get("partner"):
            wallets = wallets.filter(partner__slug=slug)
        flag = self.request.query_params.get("is_active")
        if flag is not None:
            if flag not in ("true", "false"):
                raise serializers.ValidationError({"is_active": "Give true or false."})
            wallets = wallets.filter(is_active=flag == "true")
        return wallets.order_by("id")
