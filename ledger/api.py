"""Periods, attributions, rakeback and statements for the REST API, read only (AP1).

A key bound to a partner sees its own part of each; what concerns all partners at once is closed to it.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Min, Prefetch, Q, QuerySet, Sum
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from ledger import queries
from ledger.models import Attribution, CommissionLine, PartnerTake, Period
from partners.api_base import BIGINT_MAX, ApiListViewSet, ApiView, ApiViewSet, Query, Span, read_query
from partners.models import BASES, Partner
from partners.rates import Basis


class PeriodSerializer(serializers.ModelSerializer[Period]):
    """A closed period. The manifest itself names every partner's rules and stays with staff."""

    first_block = serializers.IntegerField(source="blocks.lower", read_only=True)
    last_block = serializers.SerializerMethodField(help_text="Included.")

    class Meta:
        model = Period
        fields = (
            "key",
            "kind",
            "start_at",
            "end_at",
            "first_block",
            "last_block",
            "manifest_hash",
            "closed_at",
        )
        read_only_fields = fields

    def get_last_block(self, period: Period) -> int:
        return int(period.blocks.upper) - 1


class PeriodViewSet(ApiViewSet):
    """List closed periods that lie in a span, newest first, or show one by its key."""

    serializer_class = PeriodSerializer
    queryset = Period.objects.order_by("-start_at")
    lookup_field = "key"
    open_to_partners = True
    query_form = Span

    def narrow(self, rows: QuerySet[Period], query: dict[str, Any]) -> QuerySet[Period]:
        if "start" in query:
            rows = rows.filter(start_at__gte=query["start"])
        return rows.filter(end_at__lte=query["end"]) if "end" in query else rows


class PartnerShareSerializer(serializers.ModelSerializer[PartnerTake]):
    """The part of a take that one partner's delegators earned."""

    partner = serializers.CharField(
        source="partner.slug",
        default=None,
        allow_null=True,
        help_text="Empty: nobody's, the validator's own.",
    )

    class Meta:
        model = PartnerTake
        fields = ("partner", "rate_bps", "delegator_count", "take_rao")
        read_only_fields = fields


class AttributionSerializer(serializers.ModelSerializer[Attribution]):
    """One yield's take split over its delegators; `partners` is filled when its period closes."""

    block = serializers.IntegerField(source="source.block_id")
    at = serializers.DateTimeField(source="source.block.timestamp")
    netuid = serializers.IntegerField(source="source.netuid")
    hotkey = serializers.CharField(source="source.hotkey")
    side = serializers.CharField(source="source.side")
    asset = serializers.CharField(source="source.asset", help_text="What take_rao is counted in.")
    partners = PartnerShareSerializer(source="source.visible_takes", many=True)

    class Meta:
        model = Attribution
        fields = (
            "block", "at", "netuid", "hotkey", "side", "asset", "take_rao", "delegator_count", "digest", "partners",
        )  # fmt: skip
        read_only_fields = fields


class AttributionViewSet(ApiListViewSet):
    """List attributions of a span, newest first; a partner sees those in which its delegators earned."""

    serializer_class = AttributionSerializer
    queryset = Attribution.objects.select_related("source__block").order_by("-source_id")
    partner_lookup = "source__partner_takes__partner_id"
    query_form = Span

    def narrow(self, rows: QuerySet[Attribution], query: dict[str, Any]) -> QuerySet[Attribution]:
        if "start" in query:
            rows = rows.filter(source__block__timestamp__gte=query["start"])
        if "end" in query:
            rows = rows.filter(source__block__timestamp__lt=query["end"])
        takes = PartnerTake.objects.select_related("partner").order_by("partner_id", "agreement_id")
        partner_id = self.request.auth.partner_id  # type: ignore[union-attr]
        if partner_id is not None:
            takes = takes.filter(partner_id=partner_id)
        return rows.prefetch_related(Prefetch("source__partner_takes", takes, to_attr="visible_takes"))


def _visible_partner(request: Request, **lookup: object) -> Partner:
    """Find a partner this key may see; any other does not exist for it."""
    bound_to = request.auth.partner_id  # type: ignore[union-attr]
    partners = Partner.objects.all() if bound_to is None else Partner.objects.filter(pk=bound_to)
    partner = partners.filter(**lookup).first()
    if partner is None:
        raise NotFound("There is no such partner for this key.")
    return partner


class RakebackQuery(Query):
    """Narrow the list of statement lines."""

    partnerId = serializers.IntegerField(  # noqa: N815 - the API's own spelling
        required=False, min_value=1, max_value=BIGINT_MAX, help_text="A partner's id."
    )
    period = serializers.RegexField(
        r"^\d{4}-\d{2}-\d{2}\Z",
        required=False,
        trim_whitespace=False,
        help_text="A period's key, such as 2026-01-31.",
    )


class RakebackSerializer(serializers.ModelSerializer[CommissionLine]):
    """What a partner's delegators earned in TAO on one pool and side in a period, and the partner's part."""

    partner_id = serializers.IntegerField(read_only=True)
    partner = serializers.CharField(source="partner.slug", read_only=True)
    period = serializers.CharField(source="period.key", read_only=True)

    class Meta:
        model = CommissionLine
        fields = (
            "partner_id", "partner", "period", "hotkey", "netuid", "side", "basis", "base_rao", "rate_bps",
            "commission_rao", "wallet_address",
        )  # fmt: skip
        read_only_fields = fields


class RakebackViewSet(ApiListViewSet):
    """List what partners earned, line by line, newest period first."""

    serializer_class = RakebackSerializer
    queryset = CommissionLine.objects.select_related("partner", "period").order_by("-period__start_at", "id")
    partner_lookup = "partner_id"
    query_form = RakebackQuery

    def narrow(self, rows: QuerySet[CommissionLine], query: dict[str, Any]) -> QuerySet[CommissionLine]:
        if "partnerId" in query:
            rows = rows.filter(partner=_visible_partner(self.request, pk=query["partnerId"]))
        return rows.filter(period__key=query["period"]) if "period" in query else rows


class StatementSummarySerializer(serializers.Serializer[Any]):
    """A statement that can be had: one partner, one period, and its totals."""

    partner = serializers.CharField(source="partner__slug")
    period = serializers.CharField(source="period__key")
    base_rao = serializers.IntegerField(help_text="Sum of the bases that are take.")
    gross_base_rao = serializers.IntegerField(help_text="Sum of those that are the gross dividend.")
    commission_rao = serializers.IntegerField()


class StatementViewSet(ApiListViewSet):
    """List the statements there are: each partner and period with lines, newest period first."""

    serializer_class = StatementSummarySerializer
    queryset = CommissionLine.objects.order_by()
    partner_lookup = "partner_id"
    query_form = RakebackQuery

    def narrow(self, rows: QuerySet[CommissionLine], query: dict[str, Any]) -> QuerySet[Any]:
        if "partnerId" in query:
            rows = rows.filter(partner=_visible_partner(self.request, pk=query["partnerId"]))
        if "period" in query:
            rows = rows.filter(period__key=query["period"])
        lines = CommissionLine.objects.filter(pk__in=rows.values("pk"))
        return (
            lines.values("partner__slug", "period__key")
            .annotate(
                started=Min("period__start_at"),
                # Before the other takes the column's name.
                gross_base_rao=Sum("base_rao", filter=Q(basis=Basis.GROSS), default=0),
                base_rao=Sum("base_rao", filter=Q(basis=Basis.TAKE), default=0),
                commission_rao=Sum("commission_rao"),
            )
            .order_by("-started", "partner__slug")
        )


class StatementLineSerializer(serializers.Serializer[Any]):
    """One line of a statement."""

    hotkey = serializers.CharField()
    netuid = serializers.IntegerField()
    side = serializers.CharField()
    base_rao = serializers.IntegerField()
    rate_bps = serializers.IntegerField()
    commission_rao = serializers.IntegerField()
    basis = serializers.ChoiceField(BASES, required=False, help_text="Only where it is not the take.")
    wallet_address = serializers.CharField(required=False, help_text="Only where wallets are listed.")
    wallets = serializers.IntegerField(
        required=False, help_text="How many wallets' lines are summed here, where they are not listed."
    )


class BlockRangeSerializer(serializers.Serializer[Any]):
    """The blocks of a period, both included."""

    first = serializers.IntegerField()
    last = serializers.IntegerField()


class TotalsSerializer(serializers.Serializer[Any]):
    """Sums over a statement's lines."""

    base_rao = serializers.IntegerField(help_text="Of the bases that are take.")
    gross_base_rao = serializers.IntegerField(
        required=False, help_text="Of those that are the gross dividend; left out where there are none."
    )
    commission_rao = serializers.IntegerField()


class PendingSerializer(serializers.Serializer[Any]):
    """Alpha that was earned and is not converted at the period's end."""

    netuid = serializers.IntegerField()
    alpha_rao = serializers.IntegerField()


class UsdSerializer(serializers.Serializer[Any]):
    """The price of the coin in dollars at the end of the period, and the commission at it."""

    price = serializers.CharField(help_text="Of one whole coin, a decimal number.")
    source = serializers.CharField()  # type: ignore[assignment]
    at = serializers.DateTimeField(help_text="The moment that the source quoted it for.")
    commission = serializers.CharField(help_text="Dollars and cents.")


class StatementSerializer(serializers.Serializer[Any]):
    """A statement as its JSON file has it; `content_hash` is that of the file and of the page."""

    partner = serializers.CharField()
    partner_name = serializers.CharField()
    period = serializers.CharField()
    block_range = BlockRangeSerializer()
    lines = StatementLineSerializer(many=True)
    totals = TotalsSerializer()
    pending_alpha = PendingSerializer(many=True)
    lost_blocks = BlockRangeSerializer(
        many=True, required=False, help_text="Blocks that could never be read; left out where there are none."
    )
    manifest_hash = serializers.CharField()
    currency = serializers.CharField(
        required=False, help_text="What amounts are billionths of; TAO if left out."
    )
    content_hash = serializers.CharField()
    usd = UsdSerializer(
        required=False, help_text="Left out until a price is known; no part of what `content_hash` covers."
    )


class StatementView(ApiView, GenericAPIView):  # type: ignore[type-arg]
    """One partner's statement of one closed period."""

    serializer_class = StatementSerializer
    open_to_partners = True
    pagination_class = None

    @extend_schema(
        operation_id="statements_retrieve",
        parameters=[
            OpenApiParameter("partner", str, "path", description="A partner's short name."),
            OpenApiParameter("period", str, "path", description="A period's key, such as 2026-01-31."),
        ],
    )
    def get(self, request: Request, partner: str, period: str) -> Response:
        read_query(request, Query)
        found = _visible_partner(request, slug=partner)
        statement = queries.statement(found, get_object_or_404(Period, key=period))
        return Response(statement.to_dict())
