"""What every view of the REST API stands on: keys, the wall between partners, parameters, pages, errors.

A key bound to a partner sees that partner's rows only. A view says how its rows lead to a partner, or that it
shows nobody's rows in particular; one that says neither is closed to bound keys.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema_field
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.authentication import BaseAuthentication
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView
from rest_framework.views import exception_handler as rest_exception_handler

from chain.models import Block
from partners.models import ApiKey

KEY_HEADER = "X-API-Key"
BIGINT_MAX = 2**63 - 1
_KEY_LENGTH_MAX = 200


class KeyHolder:
    """Stands where views expect a user: whoever sent a valid key."""

    is_authenticated = True
    is_active = True

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        # Named in logs: the part of the key that is shown in the admin, not the hash.
        self.pk = key.prefix


class ApiKeyAuthentication(BaseAuthentication):
    """Know the caller by `X-API-Key`; `request.auth` is the :class:`~partners.models.ApiKey`."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey]:
        """Return the key's holder.

        :raises AuthenticationFailed: without a key, and for one that is unknown, revoked or expired. The
            answer does not tell these apart.
        """
        text = request.headers.get(KEY_HEADER, "")
        if not text:
            raise exceptions.NotAuthenticated(f"Send your API key in the header {KEY_HEADER}.")
        refused = exceptions.AuthenticationFailed(
            "This API key is not valid, or no longer. Ask for a new one."
        )
        if len(text) > _KEY_LENGTH_MAX or not text.isascii() or not text.isprintable():
            raise refused
        try:
            key = cast("ApiKey", ApiKey.objects.get_from_key(text))
        except ApiKey.DoesNotExist:
            raise refused from None
        if key.has_expired:
            raise refused
        return KeyHolder(key), key

    def authenticate_header(self, request: Request) -> str:
        return KEY_HEADER


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the key header in the API's schema."""

    target_class = "partners.api_base.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": KEY_HEADER}


class KeyThrottle(SimpleRateThrottle):
    """One limit per key over all routes; the answer 429 says when to come back."""

    scope = "api_key"
    # Read from the rate by the library.
    num_requests: int
    duration: int
    now = 0.0

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return f"throttle:api_key:{request.auth.pk}" if isinstance(request.auth, ApiKey) else None

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count in the cache itself: requests that arrive together are each counted, in whichever process.

        The library's way reads a list, adds to it and writes it back, so rivals overwrite each other's requests.
        """
        key = self.get_cache_key(request, view)
        if key is None or self.rate is None:
            return True
        self.now = self.timer()
        window = f"{key}:{int(self.now // self.duration)}"
        self.cache.add(window, 0, self.duration + 1)
        try:
            count = self.cache.incr(window)
        except ValueError:
            # It ran out between the two calls; the next window has begun.
            return True
        return bool(count <= self.num_requests)

    def wait(self) -> float | None:
        """Seconds until the next window begins."""
        return float(self.duration - self.now % self.duration)


class MayUseView(BasePermission):
    """Closes a view that is not about one partner to keys that are."""

    message = "This key is bound to one partner and cannot see what concerns all of them."

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, ApiKey):
            return False
        scoped = getattr(view, "partner_lookup", None) is not None or getattr(view, "open_to_partners", False)
        return scoped or request.auth.partner_id is None


class Pages(LimitOffsetPagination):
    """Pages of at most 200 rows; a limit or offset that cannot be met is refused instead of changed."""

    default_limit = 100
    max_limit = 200

    def get_limit(self, request: Request) -> int:
        return self._read(request, "limit", self.default_limit, 1, self.max_limit)

    def get_offset(self, request: Request) -> int:
        return self._read(request, "offset", 0, 0, BIGINT_MAX)

    @staticmethod
    def _read(request: Request, name: str, default: int, minimum: int, maximum: int) -> int:
        text = request.query_params.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 19 and minimum <= int(text) <= maximum):
            raise exceptions.ValidationError({name: f"must be a whole number from {minimum} to {maximum}"})
        return int(text)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "limit",
                "in": "query",
                "description": "Rows on a page.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 100},
            },
            {
                "name": "offset",
                "in": "query",
                "description": "Rows to skip.",
                "schema": {"type": "integer", "minimum": 0, "maximum": BIGINT_MAX, "default": 0},
            },
        ]


class Query(serializers.Serializer[Any]):
    """A list's parameters, read strictly: an unknown one is an error, so that a typo never widens a list."""


def read_query(request: Request, form: type[serializers.Serializer[Any]], *also: str) -> dict[str, Any]:
    """Read the query string through `form`; the names in `also` are allowed and left alone.

    :raises ValidationError: naming the parameter that is wrong, unknown or given twice.
    """
    parameters = request.query_params
    known = {*form().fields, *also}
    for name in parameters:
        if name not in known:
            raise exceptions.ValidationError(
                {name: f"unknown parameter; known here: {', '.join(sorted(known)) or 'none'}"}
            )
        if len(parameters.getlist(name)) > 1:
            raise exceptions.ValidationError({name: "given more than once"})
    query = form(data=parameters.dict())
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


@extend_schema_field(
    {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer", "minimum": 0}]}
)
class MomentField(serializers.DateTimeField):
    """A UTC time, a day (its start), or a block number, which stands for the time of that block."""

    default_error_messages = {
        "invalid": "is no UTC time like 2025-08-01T12:00:00Z, no day like 2025-08-01 and no block number."
    }

    def to_internal_value(self, value: Any) -> Any:
        text = str(value)
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            return super().to_internal_value(value)
        block = Block.objects.filter(number__gte=int(text)).order_by("number").first()
        return block.timestamp if block else datetime.max.replace(tzinfo=UTC)


class Span(Query):
    """A half-open span, for lists of what happened in it."""

    start = MomentField(
        required=False,
        default_timezone=UTC,
        help_text="From, included: a UTC time, a day (its start), or a block number.",
    )
    end = MomentField(required=False, default_timezone=UTC, help_text="Until, excluded; the same forms.")

    first_name: ClassVar[str] = "start"
    last_name: ClassVar[str] = "end"

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a span that ends before it starts, naming its end."""
        first, last = attrs.get(self.first_name), attrs.get(self.last_name)
        if first is not None and last is not None and last < first:
            raise exceptions.ValidationError({self.last_name: f"is before {self.first_name}"})
        return attrs


class ErrorDetailSerializer(serializers.Serializer[Any]):
    """What went wrong."""

    code = serializers.CharField(help_text="For programs; stable.")
    message = serializers.CharField(help_text="For people; says what to do.")
    field = serializers.CharField(allow_null=True, help_text="The parameter at fault, if one is.")


class ErrorSerializer(serializers.Serializer[Any]):
    """Every answer that is not a success."""

    error = ErrorDetailSerializer()


class ApiSchema(AutoSchema):
    """Adds to every operation the list's own parameters and the errors it can answer with."""

    def get_override_parameters(self) -> list[Any]:
        form = getattr(self.view, "query_form", None)
        lists = getattr(self.view, "action", "list") == "list"
        return [form] if form and form().fields and lists else []

    def _get_response_bodies(self, *args: Any, **kwargs: Any) -> Any:
        bodies = super()._get_response_bodies(*args, **kwargs)
        errors = {"400": "A parameter is wrong.", "401": "No valid key.", "403": "Not with this key."}
        errors |= {"404": "No such row for this key.", "429": "Too many requests; see Retry-After."}
        for code, description in errors.items():
            if code not in bodies:
                answer: dict[str, Any] = self._get_response_for_code(ErrorSerializer, code)  # type: ignore[no-untyped-call]
                bodies[code] = answer | {"description": description}
        return bodies


class ApiView(APIView):
    """A single answer of the API. `open_to_partners`: what it shows concerns no partner in particular."""

    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [MayUseView]
    throttle_classes = [KeyThrottle]
    http_method_names = ["get", "head", "options"]
    schema = ApiSchema()
    open_to_partners: ClassVar[bool] = False
    query_form: ClassVar[type[serializers.Serializer[Any]]] = Query


class ApiListViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Any]):
    """A read-only list. `partner_lookup` is the path from a row to its partner's id, such as `partner_id`."""

    authentication_classes = [ApiKeyAuthentication]
    permission_classes = [MayUseView]
    throttle_classes = [KeyThrottle]
    pagination_class = Pages
    http_method_names = ["get", "head", "options"]
    schema = ApiSchema()
    partner_lookup: ClassVar[str | None] = None
    open_to_partners: ClassVar[bool] = False
    query_form: ClassVar[type[serializers.Serializer[Any]]] = Query

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows this key may see. Views filter further in :meth:`narrow`, never here."""
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        partner_id = self.request.auth.partner_id  # type: ignore[union-attr]
        if partner_id is None or self.open_to_partners:
            return rows
        if self.partner_lookup is None:
            return rows.none()
        # A path over many rows would otherwise give a row once for each of them.
        return rows.filter(**{self.partner_lookup: partner_id}).distinct()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if getattr(self, "action", "") != "list":
            read_query(self.request, Query)
            return queryset
        return self.narrow(queryset, read_query(self.request, self.query_form, "limit", "offset"))

    def narrow(self, rows: QuerySet[Any], query: dict[str, Any]) -> QuerySet[Any]:
        """Apply the list's parameters, already valid, to the rows this key may see."""
        return rows


class ApiViewSet(mixins.RetrieveModelMixin, ApiListViewSet):
    """A read-only list whose rows can also be had one by one; another partner's row is a 404."""

    # Keeps what PostgreSQL cannot even compare, such as NUL, out of the look-up.
    lookup_value_regex = r"[-\w]{1,80}"


def _first_error(detail: Any) -> tuple[str, str, str | None]:
    """Find the first (code, message, field) in a validation error's tree."""
    field: str | None = None
    while not isinstance(detail, exceptions.ErrorDetail):
        if isinstance(detail, dict):
            name, detail = next(iter(detail.items()))
            field = field or (None if name == "non_field_errors" else str(name))
        elif isinstance(detail, list):
            detail = detail[0]
        else:
            return "invalid", str(detail), field
    return detail.code or "error", str(detail), field


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer every refusal as ``{"error": {"code", "message", "field"}}``."""
    response = rest_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.APIException):
        code, message, field = _first_error(error.detail)
    else:
        # Django's own Http404 and PermissionDenied, the only two others that are answered here.
        missing = response.status_code == status.HTTP_404_NOT_FOUND
        code = "not_found" if missing else "permission_denied"
        message, field = "There is no such row for this key." if missing else "This is not allowed.", None
    if response.status_code == status.HTTP_400_BAD_REQUEST:
        code = "invalid_parameter"
    response.data = {"error": {"code": code, "message": message, "field": field}}
    return response
