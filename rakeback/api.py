"""The REST API's addresses, and the answers that join several apps: conversions, dividends, health.

Everything is read only and wants a key in `X-API-Key`; what a key sees is decided in `partners.api_base`.
"""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.db.models import QuerySet
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from chain.addresses import InvalidAddress
from chain.families import check_address
from chain.models import Asset, Conversion, Gap, Side, Yield
from chain.network import family
from chain.queries import last_block
from ledger import api as ledger_api
from ledger.models import Period
from partners import api as partners_api
from partners.api_base import ApiKeyAuthentication, ApiListViewSet, ApiView, Query, Span, read_query

DIVIDENDS_CACHE_SECONDS = 120
NETUID_MAX = 65_535


class FromToSpan(Span):
    """The same span under the names that conversions are asked for with."""

    first_name = "from"
    last_name = "to"

    def get_fields(self) -> dict[str, Any]:
        """Rename the fields here, because `from` is no Python name."""
        fields = super().get_fields()
        return {"from": fields["start"], "to": fields["end"]}


class ConversionSerializer(serializers.ModelSerializer[Conversion]):
    """The validator selling earned alpha for TAO, or for root stake."""

    block = serializers.IntegerField(source="block_id", read_only=True)
    at = serializers.DateTimeField(source="block.timestamp", read_only=True)

    class Meta:
        model = Conversion
        fields = (
            "id", "block", "at", "hotkey", "owner", "netuid", "alpha_rao", "tao_rao", "fee_alpha_rao", "into_root",
        )  # fmt: skip
        read_only_fields = fields


class ConversionViewSet(ApiListViewSet):
    """List conversions of a span, newest first. They are the validator's own: not for keys of a partner."""

    serializer_class = ConversionSerializer
    queryset = Conversion.objects.select_related("block").order_by("-block_id", "-id")
    query_form = FromToSpan

    def narrow(self, rows: QuerySet[Conversion], query: dict[str, Any]) -> QuerySet[Conversion]:
        if "from" in query:
            rows = rows.filter(block__timestamp__gte=query["from"])
        return rows.filter(block__timestamp__lt=query["to"]) if "to" in query else rows


class DividendQuery(Query):
    """Which dividends; what is left out is not narrowed."""

    netuid = serializers.IntegerField(
        required=False, min_value=0, max_value=NETUID_MAX, help_text="A subnet."
    )
    hotkey = serializers.CharField(required=False, max_length=100, help_text="A hotkey's SS58 address.")

    def validate_hotkey(self, text: str) -> str:
        """Refuse what is no address, saying why."""
        try:
            check_address(text, family())
        except InvalidAddress as error:
            raise ValidationError(f"{text!r} {error}") from error
        return text


class DividendSerializer(serializers.Serializer[Any]):
    """What a hotkey's stakers were last credited on a subnet, after take."""

    netuid = serializers.IntegerField()
    hotkey = serializers.CharField()
    side = serializers.ChoiceField(Side.choices)
    asset = serializers.ChoiceField(Asset.choices, help_text="What dividend_rao is counted in.")
    block = serializers.IntegerField(help_text="The epoch's block.")
    dividend_rao = serializers.IntegerField()


class DividendsSerializer(serializers.Serializer[Any]):
    """The latest dividends as of `block`, the newest ingested one."""

    cached = serializers.BooleanField(help_text="Whether this was read less than 120 s ago and kept.")
    block = serializers.IntegerField(allow_null=True)
    dividends = DividendSerializer(many=True)


def _read_dividends() -> list[dict[str, Any]]:
    newest = Yield.objects.order_by("netuid", "hotkey", "side", "-block_id").distinct(
        "netuid", "hotkey", "side"
    )
    return [
        dict(row) for row in newest.values("netuid", "hotkey", "side", "asset", "dividend_rao", "block_id")
    ]


class DividendsView(ApiView, GenericAPIView):  # type: ignore[type-arg]
    """The latest dividends of our hotkeys per subnet, through a cache that a newer block makes void (AP3)."""

    serializer_class = DividendsSerializer
    open_to_partners = True
    pagination_class = None
    query_form = DividendQuery

    @extend_schema(operation_id="tao_dividends_retrieve", parameters=[DividendQuery])
    def get(self, request: Request) -> Response:
        query = read_query(request, DividendQuery)
        block = last_block()
        number = block.number if block else None
        # One entry for all parameters: callers cannot fill the cache, and a new block means a new entry.
        key = f"tao_dividends:{number}"
        rows = cache.get(key)
        cached = rows is not None
        if rows is None:
            rows = _read_dividends()
            cache.set(key, rows, DIVIDENDS_CACHE_SECONDS)
        dividends = [
            {**row, "block": row["block_id"]}
            for row in rows
            if query.get("netuid", row["netuid"]) == row["netuid"]
            and query.get("hotkey", row["hotkey"]) == row["hotkey"]
        ]
        answer = {"cached": cached, "block": number, "dividends": dividends}
        return Response(DividendsSerializer(answer).data)


class HealthSerializer(serializers.Serializer[Any]):
    """How far the data reaches. `status` is `ok`, or `gaps` while blocks are missing."""

    status = serializers.ChoiceField([("ok", "ok"), ("gaps", "gaps")])
    last_block = serializers.IntegerField(allow_null=True)
    last_block_at = serializers.DateTimeField(allow_null=True)
    open_gap_count = serializers.IntegerField()
    last_closed_period = serializers.CharField(allow_null=True)


class HealthView(ApiView, GenericAPIView):  # type: ignore[type-arg]
    """How far blocks are ingested and periods closed."""

    serializer_class = HealthSerializer
    open_to_partners = True
    pagination_class = None

    @extend_schema(operation_id="health_retrieve")
    def get(self, request: Request) -> Response:
        read_query(request, Query)
        block, period = last_block(), Period.objects.order_by("-end_at").first()
        gaps = Gap.objects.filter(state=Gap.State.OPEN).count()
        answer = {
            "status": "gaps" if gaps else "ok",
            "last_block": block.number if block else None,
            "last_block_at": block.timestamp if block else None,
            "open_gap_count": gaps,
            "last_closed_period": period.key if period else None,
        }
        return Response(HealthSerializer(answer).data)


class SchemaView(SpectacularAPIView):
    """The OpenAPI description, for key holders and for staff who are signed in."""

    authentication_classes = [SessionAuthentication, ApiKeyAuthentication]
    permission_classes = [IsAuthenticated]


class NoSuchRoute(ApiView):
    """Answers as every other refusal where there is no route."""

    open_to_partners = True

    @extend_schema(exclude=True)
    def get(self, request: Request, rest: str) -> Response:
        raise NotFound("There is no such address; see /api/v1/schema.")


router = SimpleRouter(trailing_slash=False)
router.register("partners", partners_api.PartnerViewSet, basename="partner")
router.register("wallets", partners_api.WalletViewSet, basename="wallet")
router.register("periods", ledger_api.PeriodViewSet, basename="period")
router.register("attributions", ledger_api.AttributionViewSet, basename="attribution")
router.register("rakeback", ledger_api.RakebackViewSet, basename="rakeback")
router.register("statements", ledger_api.StatementViewSet, basename="statement")
router.register("conversions", ConversionViewSet, basename="conversion")

v1: list[URLPattern | URLResolver] = [
    path("", include(router.urls)),
    path(
        "statements/<slug:partner>/<slug:period>", ledger_api.StatementView.as_view(), name="statement-detail"
    ),
    path("tao_dividends", DividendsView.as_view(), name="tao-dividends"),
    path("health", HealthView.as_view(), name="health"),
    path("schema", SchemaView.as_view(), name="schema"),
    path("<path:rest>", NoSuchRoute.as_view(), name="none"),
]
urlpatterns = [path("v1/", include((v1, "api-v1")))]
