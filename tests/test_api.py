"""The REST API: keys, the wall between partners on every route, strict parameters, one limit per key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from chain.models import Asset, Block, Conversion, Gap, IngestRun, Runtime, Side, StakeEvent, Yield
from ledger.models import Attribution, Period
from partners.api_base import ApiKeyAuthentication, KeyThrottle, MayUseView
from partners.models import ApiKey, Partner, Wallet
from partners.tests.factories import paid_to
from payments.tests.factories import HOTKEY, address_of, make_partner, make_period, make_user
from rakeback import api

pytestmark = pytest.mark.django_db

V1 = "/api/v1"
LISTS = ("partners", "wallets", "periods", "attributions", "rakeback", "statements", "conversions")


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


class Api:
    """A caller with a key."""

    def __init__(self, partner: Partner | None = None, **fields: Any) -> None:
        self.key, self.text = ApiKey.objects.create_key(name="test", partner=partner, **fields)

    def __call__(self, path: str, **parameters: Any) -> Any:
        return Client().get(f"{V1}/{path}", parameters, headers={"X-API-Key": self.text})

    def rows(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        answer = self(path, **parameters)
        assert answer.status_code == 200, answer.content
        return answer.json()["results"]  # type: ignore[no-any-return]


class World:
    """Two partners who both earned in one closed period, and a conversion after it."""

    def __init__(self) -> None:
        self.first = make_partner("first", contact_email="first@example.com", notes="secret of first")
        self.second = make_partner("second", contact_email="second@example.com", notes="secret of second")
        for number, partner in enumerate((self.first, self.second)):
            Wallet.objects.create(
                partner=partner,
                address=address_of(500 + number),
                introduced_date="2025-01-01",
                notes="secret",
            )
        self.period = make_period({self.first.agreements.get(): 1_000, self.second.agreements.get(): 2_000})
        for source in Yield.objects.order_by("id"):
            Attribution.objects.create(
                source=source, take_rao=source.take_rao, delegator_count=1, digest=f"{source.pk:064x}"
            )
        self.block = make_block(99_000)
        event = StakeEvent.objects.create(
            block=self.block, event_index=1, kind="UNSTAKE", added=False, coldkey=HOTKEY, hotkey=HOTKEY, netuid=2,
            tao_rao=5, alpha_rao=7, fee_rao=0, fee_asset=Asset.ALPHA,
        )  # fmt: skip
        self.conversion = Conversion.objects.create(
            stake_event=event, block=self.block, hotkey=HOTKEY, owner=HOTKEY, netuid=2, alpha_rao=7, tao_rao=5,
            fee_alpha_rao=0,
        )  # fmt: skip

    def foreign(self) -> list[str]:
        """Everything by which the second partner could be recognised."""
        return [
            "second", "SECOND", paid_to(self.second), address_of(501), "secret",
        ]  # fmt: skip


def make_block(number: int) -> Block:
    return Block.objects.create(
        number=number,
        hash=f"{number:#066x}",
        parent_hash="",
        timestamp=datetime(2025, 6, 1, tzinfo=UTC) + timedelta(seconds=12 * (number - 99_000)),
        runtime=Runtime.objects.get(),
    )


@pytest.fixture
def world() -> World:
    return World()


def routes() -> list[tuple[str, Any]]:
    """Find every route of the API from the addresses themselves, so that a new one cannot be forgotten."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, prefix + str(pattern.pattern))
            elif isinstance(pattern, URLPattern):
                callback: Any = pattern.callback
                yield str(pattern.name), getattr(callback, "cls", None) or callback.view_class

    return list(walk(api.urlpatterns, ""))


def addresses(world: World, partner: Partner) -> list[str]:
    """Write each route's addresses with the ids of `partner` in path and query."""
    wallet = partner.wallets.get()
    return [
        *LISTS,
        "health",
        "tao_dividends",
        f"periods/{world.period.key}",
        f"partners/{partner.slug}",
        f"wallets/{wallet.pk}",
        f"statements/{partner.slug}/{world.period.key}",
        f"rakeback?partnerId={partner.pk}",
        f"statements?partnerId={partner.pk}",
        f"wallets?partner={partner.slug}",
    ]


def test_ap2_every_route_has_the_key_the_limit_and_the_wall() -> None:
    found = routes()
    assert len(found) == 15
    for name, view in found:
        if name == "schema":
            continue
        assert view.authentication_classes == [ApiKeyAuthentication], name
        assert view.throttle_classes == [KeyThrottle], name
        assert view.permission_classes == [MayUseView], name
        assert set(view.http_method_names) == {"get", "head", "options"}, name


def test_threat6_a_bound_key_sees_its_partner_only(world: World) -> None:
    call = Api(world.first)
    for address in addresses(world, world.first):
        answer = call(address)
        assert answer.status_code == (403 if address == "conversions" else 200), address
        for text in world.foreign():
            assert text.encode() not in answer.content, (address, text)
    assert [row["slug"] for row in call.rows("partners")] == ["first"]
    assert [row["address"] for row in call.rows("wallets")] == [address_of(500)]
    assert [row["partner_id"] for row in call.rows("rakeback")] == [world.first.pk]
    assert [row["partner"] for row in call.rows("statements")] == ["first"]
    shares = [share["partner"] for row in call.rows("attributions") for share in row["partners"]]
    assert shares == ["first"]


def test_threat6_anothers_ids_do_not_exist_for_a_bound_key(world: World) -> None:
    call = Api(world.first)
    own = set(addresses(world, world.first))
    foreign = [address for address in addresses(world, world.second) if address not in own]
    assert len(foreign) == 6
    for address in foreign:
        answer = call(address)
        if address.startswith("wallets?"):
            assert answer.json()["results"] == [], address
        else:
            assert answer.status_code == 404, address
        for text in ("SECOND", paid_to(world.second), address_of(501), "secret"):
            assert text.encode() not in answer.content, (address, text)


def test_ap1_an_unbound_key_sees_everything_but_notes(world: World) -> None:
    call = Api()
    for partner in (world.first, world.second):
        for address in addresses(world, partner):
            answer = call(address)
            assert answer.status_code == 200, address
            assert b"secret" not in answer.content, address
            assert b"@example.com" not in answer.content, address
    assert [row["slug"] for row in call.rows("partners")] == ["first", "second"]
    assert {row["commission_rao"] for row in call.rows("rakeback")} == {1_000, 2_000}
    statement = call(f"statements/first/{world.period.key}").json()
    assert statement["totals"] == {"base_rao": 1_000, "commission_rao": 1_000}
    assert len(statement["content_hash"]) == 64


def test_ap1_lists_are_narrowed_by_their_parameters(world: World) -> None:
    call = Api()
    at = world.block.timestamp.isoformat()
    later = (world.block.timestamp + timedelta(seconds=1)).isoformat()
    for parameters, count in (
        ({}, 1),
        ({"from": at}, 1),
        ({"to": at}, 0),
        ({"from": at, "to": later}, 1),
        ({"from": later}, 0),
    ):
        assert len(call.rows("conversions", **parameters)) == count, parameters
    number = world.block.number
    for numbers, count in (
        ({"from": number}, 1),
        ({"to": number}, 0),
        ({"from": number, "to": number + 1}, 1),
        ({"from": number + 1}, 0),
    ):
        assert len(call.rows("conversions", **numbers)) == count, numbers
    day = world.period.start_at
    assert len(call.rows("attributions", start=day.isoformat())) == 2
    assert len(call.rows("attributions", end=day.isoformat())) == 0
    assert len(call.rows("attributions", start=day.date().isoformat())) == 2
    assert len(call.rows("periods", start=day.isoformat(), end=world.period.end_at.isoformat())) == 1
    assert len(call.rows("periods", end=day.isoformat())) == 0
    assert [row["partner"] for row in call.rows("rakeback", partnerId=world.second.pk)] == ["second"]
    assert call.rows("rakeback", period="2020-01-01") == []
    assert [row["partner"] for row in call.rows("statements", partnerId=world.second.pk)] == ["second"]
    assert call.rows("wallets", is_active="false") == []
    assert len(call.rows("wallets", is_active="true", partner="first")) == 1


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("attributions?start=yesterday", "start"),
        ("attributions?start=2025-02-01&end=2025-01-01", "end"),
        ("attributions?statr=2025-01-01", "statr"),
        ("attributions?start=2025-01-01&start=2025-01-02", "start"),
        ("conversions?from=2025-13-01", "from"),
        ("conversions?from=2025-02-01&to=2025-01-01", "to"),
        ("conversions?start=2025-01-01", "start"),
        ("rakeback?partnerId=one", "partnerId"),
        ("rakeback?partnerId=0", "partnerId"),
        (f"rakeback?partnerId={10**30}", "partnerId"),
        ("rakeback?period=2025-01-01%0a", "period"),
        ("statements?period=%00", "period"),
        ("wallets?partner=%00", "partner"),
        ("wallets?is_active=maybe", "is_active"),
        ("tao_dividends?netuid=-1", "netuid"),
        ("tao_dividends?netuid=65536", "netuid"),
        ("tao_dividends?hotkey=5abc", "hotkey"),
        ("tao_dividends?limit=5", "limit"),
        ("health?verbose=1", "verbose"),
        ("partners/first?x=1", "x"),
        ("partners?limit=201", "limit"),
        ("partners?limit=0", "limit"),
        ("partners?limit=%C2%B2", "limit"),
        ("partners?offset=-1", "offset"),
        (f"partners?offset={10**30}", "offset"),
    ],
)
def test_ap1_a_bad_parameter_is_named(world: World, address: str, field: str) -> None:
    answer = Api()(address)
    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "field"}
    assert (error["code"], error["field"]) == ("invalid_parameter", field)
    assert len(error["message"]) > 5


@pytest.mark.parametrize(
    "address",
    [
        "partners/nobody",
        "nonsense/route",
        "partners/%00",
        "wallets/0",
        "wallets/abc",
        f"wallets/{10**30}",
        "periods/2020-01-01",
        "periods/%00",
        "statements/first/2020-01-01",
        "statements/nobody/2025-01-02",
        "rakeback?partnerId=999999999",
        f"partners?offset={2**63 - 1}",
    ],
)
def test_ap1_what_is_not_there_is_a_404_or_an_empty_page(world: World, address: str) -> None:
    answer = Api()(address)
    if "offset" in address:
        assert answer.status_code == 200
        assert answer.json()["results"] == []
    else:
        assert answer.status_code == 404, answer.content
        assert set(answer.json()["error"]) == {"code", "message", "field"}


def test_ap1_pages_cover_every_row_once(world: World) -> None:
    for number in range(7):
        make_partner(f"more{number}")
    call = Api()
    seen: list[str] = []
    for offset in range(0, 12, 2):
        page = call("partners", limit=2, offset=offset).json()
        assert page["count"] == 9
        seen += [row["slug"] for row in page["results"]]
    assert len(seen) == len(set(seen)) == 9


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_threat8_nothing_can_be_written(world: World, method: str) -> None:
    headers = {"X-API-Key": Api().text}
    for address in addresses(world, world.first):
        body = json.dumps({"name": "x", "slug": "y", "payout_address": "z"})
        answer = getattr(Client(), method)(
            f"{V1}/{address}", body, content_type="application/json", headers=headers
        )
        assert answer.status_code == 405, address
        assert answer.json()["error"]["code"] == "method_not_allowed"
    world.first.refresh_from_db()
    assert world.first.name == "FIRST"


def test_threat7_no_key_no_answer(world: World) -> None:
    revoked, expired = Api(), Api(expiry_date=timezone.now() - timedelta(seconds=1))
    assert revoked("partners").status_code == 200
    revoked.key.revoked = True
    revoked.key.save()
    good = Api().text
    prefix = good.split(".")[0]
    texts = [
        "",
        "x",
        ".",
        f"{prefix}.",
        f"{prefix}.wrong",
        good[:-1],
        good + "x",
        " ",
        "\0",
        "é",
        "x" * 5_000,
    ]
    for text in [revoked.text, expired.text, *texts]:
        for address in ("partners", "health", "tao_dividends", "schema", "conversions", "nonsense?x=1"):
            answer = Client().get(f"{V1}/{address}", headers={"X-API-Key": text} if text else {})
            assert answer.status_code in ({401, 403} if address == "schema" else {401}), (address, text)
            assert b"first" not in answer.content
    # A member of staff's session is no key.
    client = Client()
    client.force_login(make_user("root", is_superuser=True))
    assert client.get(f"{V1}/partners").status_code == 401
    assert client.get(f"{V1}/schema").status_code == 200


def test_threat7_the_database_holds_no_usable_key() -> None:
    text = Api().text
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(k)::text FROM partners_apikey k")
        dump = str(cursor.fetchall())
    prefix, secret = text.split(".")
    assert prefix in dump
    assert secret not in dump
    assert len(secret) >= 32


def test_threat20_one_limit_per_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeyThrottle, "THROTTLE_RATES", {"api_key": "3/minute"})
    monkeypatch.setattr(KeyThrottle, "timer", lambda _: 1_000_000_020.5)
    hasty, calm = Api(), Api()
    answers = [hasty(address) for address in ("partners", "health", "wallets", "partners")]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].json()["error"]["code"] == "throttled"
    assert calm("partners").status_code == 200
    monkeypatch.setattr(KeyThrottle, "timer", lambda _: 1_000_000_080.5)
    assert hasty("partners").status_code == 200


def test_threat20_requests_that_arrive_together_are_each_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeyThrottle, "THROTTLE_RATES", {"api_key": "40/minute"})
    monkeypatch.setattr(KeyThrottle, "timer", lambda _: 1_000_000_020.5)
    request = APIRequestFactory().get("/")
    request.auth = ApiKey(id="one.key", prefix="one")

    def ask(_: int) -> bool:
        return KeyThrottle().allow_request(request, APIView())

    with ThreadPoolExecutor(8) as rivals:
        assert sum(rivals.map(ask, range(200))) == 40


def make_yield(block: Block, netuid: int, side: Side, dividend: int) -> Yield:
    return Yield.objects.create(
        block=block, netuid=netuid, hotkey=HOTKEY, side=side, asset=Asset.TAO if side == Side.ROOT else Asset.ALPHA,
        pool_netuid=0 if side == Side.ROOT else netuid, owner=HOTKEY, dividend_rao=dividend, take_rao=0,
        take_low_rao=0, take_high_rao=0, take_u16=0, pool_before_rao=1, share_total=1,
    )  # fmt: skip


def test_ap3_the_latest_dividends_through_a_cache(world: World) -> None:
    call = Api(world.first)
    make_yield(world.block, 18, Side.ALPHA, 111)
    first = call("tao_dividends", netuid=18, hotkey=HOTKEY).json()
    line = {
        "netuid": 18,
        "hotkey": HOTKEY,
        "side": "ALPHA",
        "asset": "ALPHA",
        "block": 99_000,
        "dividend_rao": 111,
    }
    assert first == {"cached": False, "block": 99_000, "dividends": [line]}
    # The same block: from the cache, whatever is asked for.
    assert call("tao_dividends", netuid=18).json() == first | {"cached": True}
    assert call("tao_dividends", netuid=3).json() == {"cached": True, "block": 99_000, "dividends": []}
    # A newer block makes it void at once.
    newer = make_block(99_001)
    make_yield(newer, 18, Side.ALPHA, 222)
    make_yield(newer, 18, Side.ROOT, 5)
    answer = call("tao_dividends", netuid=18).json()
    assert (answer["cached"], answer["block"]) == (False, 99_001)
    assert [(row["side"], row["block"], row["dividend_rao"]) for row in answer["dividends"]] == [
        ("ALPHA", 99_001, 222),
        ("ROOT", 99_001, 5),
    ]
    # All hotkeys and subnets where both are left out.
    assert {row["netuid"] for row in call("tao_dividends").json()["dividends"]} == {0, 18}


def test_ap3_the_cache_ends_after_two_minutes(world: World) -> None:
    call = Api()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with time_machine.travel(start, tick=False) as traveller:
        assert call("tao_dividends").json()["cached"] is False
        traveller.shift(119)
        assert call("tao_dividends").json()["cached"] is True
        traveller.shift(2)
        assert call("tao_dividends").json()["cached"] is False


def test_ap1_health_says_how_far_and_what_is_missing() -> None:
    assert Api()("health").json() == {
        "status": "ok",
        "last_block": None,
        "last_block_at": None,
        "open_gap_count": 0,
        "last_closed_period": None,
    }
    world = World()
    run = IngestRun.objects.create(source="x", first_block=1, last_block=2, started_at=timezone.now())
    Gap.objects.create(
        kind=Gap.Kind.READ_MISSING, blocks=(5, 6), reason="x", detected_at=timezone.now(), detected_by=run
    )
    health = Api()("health").json()
    assert (health["status"], health["last_block"], health["open_gap_count"]) == ("gaps", 99_000, 1)
    assert health["last_closed_period"] == world.period.key == Period.objects.get().key


def test_ap2_the_description_is_complete(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))


def test_pages_take_no_more_queries_for_more_rows(world: World, django_assert_max_num_queries: Any) -> None:
    make_period({make_partner(f"more{number}").agreements.get(): 1_000 + number for number in range(20)})
    for source in Yield.objects.filter(attribution=None):
        Attribution.objects.create(
            source=source, take_rao=source.take_rao, delegator_count=1, digest="0" * 64
        )
    call = Api()
    for name in LISTS:
        with django_assert_max_num_queries(5):
            call.rows(name)
