"""What every page of the admin carries: the sidebar, and how little is done again for each row and field."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import reverse
from unfold.views import ChangeList

from partners.admin.partners import PartnerAdmin
from partners.models import Wallet
from partners.services import add_wallets
from partners.tests.factories import address, make_partner
from payments.tests.factories import make_user
from rakeback.navigation import GROUPS

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("root", is_superuser=True))
    return client


def active(client: Client, path: str) -> list[str]:
    groups = client.get(path).context["sidebar_navigation"]
    return [item["title"] for group in groups for item in group["items"] if item["active"]]


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[None]:
    """Add to the list with each call; what is called runs as ever."""
    calls: list[None] = []
    function = getattr(owner, name)

    def count(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, count)
    return calls


def test_the_sidebar_marks_the_open_page_alone(client: Client) -> None:
    partner = make_partner()
    assert active(client, "/admin/") == ["Overview"]
    assert active(client, "/admin/partners/wallet/import/") == ["Wallets"]
    assert active(client, f"/admin/partners/partner/{partner.pk}/change/") == ["Partners"]
    assert active(client, "/admin/password_change/") == []
    titles = {entry.model.lower(): entry.title for _, entries in GROUPS for entry in entries}
    for label in ("chain.position", "chain.poolprice", "partners.payoutaddress", "payments.payout"):
        assert active(client, f"/admin/{label.replace('.', '/')}/") == [titles[label]]


def test_a_site_under_a_path_links_there(client: Client) -> None:
    assert b'href="/admin/chain/block/"' in client.get("/admin/").content
    with override_script_prefix("/back/"):
        assert b'href="/back/admin/chain/block/"' in client.get("/admin/").content
    assert b'href="/admin/chain/block/"' in client.get("/admin/").content


def test_the_page_of_an_app_lists_its_models(client: Client) -> None:
    page = client.get("/admin/partners/")
    assert {model["object_name"] for app in page.context["app_list"] for model in app["models"]} == {
        model.__name__ for model in admin.site._registry if model._meta.app_label == "partners"
    }


def test_the_frame_takes_seven_queries(django_assert_num_queries: Any) -> None:
    """Session, user, their rights and their groups', kind of chain, open gaps, payout addresses under way."""
    client = Client()
    client.force_login(make_user("olivia", "add_wallet", "change_wallet", "view_gap", "view_payoutaddress"))
    page = reverse("admin:partners_wallet_import")
    client.get(page)
    with django_assert_num_queries(7):
        client.get(page)


def test_a_list_draws_its_headers_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    partner, page = make_partner(), reverse("admin:partners_wallet_changelist")
    add_wallets(actor=None, partner=partner, addresses=[address(1)], introduced_date=date(2025, 8, 1))
    calls = counted(monkeypatch, ChangeList, "get_ordering_field_columns")
    client.get(page)
    of_one = len(calls)
    more = [address(number) for number in range(2, 8)]
    add_wallets(actor=None, partner=partner, addresses=more, introduced_date=date(2025, 8, 1))
    client.get(page)
    assert Wallet.objects.count() == 7
    assert len(calls) == 2 * of_one


def test_a_read_only_field_is_drawn_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template asks four times; the theme asks twice more what kind of field it is."""
    partner = make_partner()
    calls = counted(monkeypatch, PartnerAdmin, "wallets_link")
    page = client.get(reverse("admin:partners_partner_change", args=[partner.pk]))
    assert b"0 active of 0" in page.content
    assert len(calls) <= 3
