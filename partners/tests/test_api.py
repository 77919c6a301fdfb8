"""The API's views of partners and wallets: what a key sees, and that nothing can be written."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from rest_framework.test import APIRequestFactory, force_authenticate

from partners.api import PartnerViewSet, WalletViewSet
from partners.models import ApiKey, Partner
from partners.tests.factories import make_agreement, make_partner, make_user, make_wallet

pytestmark = pytest.mark.django_db


@pytest.fixture
def partners() -> list[Partner]:
    found = [make_partner("Alice", "alice"), make_partner("Bob", "bob")]
    for number, partner in enumerate(found, 1):
        make_agreement(partner)
        make_wallet(partner, number)
    return found


def ask(viewset: Any, query: str = "", *, user: Any = None, key: Any = None, **kwargs: Any) -> Any:
    request = APIRequestFactory().get(f"/{query}")
    force_authenticate(request, user or make_user(name="key"), key)
    view = viewset.as_view({"get": "retrieve" if kwargs else "list"})
    return view(request, **kwargs)


def slugs(response: Any) -> list[str]:
    return [row.get("slug") or row["partner"] for row in response.data["results"]]


@pytest.mark.parametrize("viewset", [PartnerViewSet, WalletViewSet])
def test_ap2_a_bound_key_sees_its_partner_alone(viewset: Any, partners: list[Partner]) -> None:
    key, _ = ApiKey.objects.create_key(name="alice", partner=partners[0])
    assert slugs(ask(viewset, key=key)) == ["alice"]


def test_ap2_a_bound_key_cannot_ask_for_another_partner(partners: list[Partner]) -> None:
    key, _ = ApiKey.objects.create_key(name="alice", partner=partners[0])
    user = make_user(name="key")
    assert ask(PartnerViewSet, key=key, user=user, slug="bob").status_code == 404
    assert slugs(ask(WalletViewSet, "?partner=bob", key=key, user=user)) == []


@pytest.mark.parametrize("viewset", [PartnerViewSet, WalletViewSet])
def test_ap2_an_unbound_key_sees_all(viewset: Any, partners: list[Partner]) -> None:
    key, _ = ApiKey.objects.create_key(name="all")
    assert slugs(ask(viewset, key=key)) == ["alice", "bob"]


@pytest.mark.parametrize("viewset", [PartnerViewSet, WalletViewSet])
def test_ap2_without_a_key_even_staff_see_nothing(viewset: Any, partners: list[Partner]) -> None:
    assert ask(viewset, user=make_user("administrator", name="key")).status_code in (401, 403)


def test_ap2_nobody_sees_nothing(partners: list[Partner]) -> None:
    request = APIRequestFactory().get("/")
    request.user = AnonymousUser()
    assert PartnerViewSet.as_view({"get": "list"})(request).status_code in (401, 403)


def test_ap1_a_partner_shows_the_present_rate_and_no_private_fields(partners: list[Partner]) -> None:
    key, _ = ApiKey.objects.create_key(name="all")
    shown = ask(PartnerViewSet, key=key, slug="alice").data
    assert shown == {
        "id": partners[0].pk,
        "slug": "alice",
        "name": "Alice",
        "kind": "NAMED",
        "status": "ACTIVE",
        "payout_address": "",
        "rate_bps": 3300,
        "wallet_count": 1,
    }


def test_ap1_wallets_are_filtered_by_partner_and_state(partners: list[Partner]) -> None:
    key, _ = ApiKey.objects.create_key(name="all")
    user = make_user(name="key")
    assert slugs(ask(WalletViewSet, "?partner=bob&is_active=true", key=key, user=user)) == ["bob"]
    assert slugs(ask(WalletViewSet, "?is_active=false", key=key, user=user)) == []
    assert ask(WalletViewSet, "?is_active=maybe", key=key, user=user).status_code == 400


@pytest.mark.parametrize("viewset", [PartnerViewSet, WalletViewSet])
def test_ap1_the_views_offer_no_way_to_write(viewset: Any) -> None:
    offered = {name for name in ("create", "update", "partial_update", "destroy") if hasattr(viewset, name)}
    assert offered == set()
