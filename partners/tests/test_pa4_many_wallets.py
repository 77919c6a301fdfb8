"""Many wallets at once: asked why, shown first, those that were shown, and undone by the opposite."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client
from django.urls import reverse

from partners import services
from partners.models import Change, Partner, Wallet
from partners.tests.factories import DAY, address, make_partner, make_user, make_wallet

pytestmark = pytest.mark.django_db
LIST = "admin:partners_wallet_changelist"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_user("operator", name="olga"))
    return client


def choose(client: Client, action: str, wallets: list[Wallet], query: str = "", **values: Any) -> Any:
    """Choose wallets on the list and an action in its bar."""
    form = {"action": action, "index": "0", ACTION_CHECKBOX_NAME: [wallet.pk for wallet in wallets]}
    return client.post(reverse(LIST) + query, form | values)


def confirm(client: Client, page: Any, query: str = "", **values: Any) -> Any:
    """Fill what the page asks for, and send what it would send."""
    names = ("action", "select_across", "selection")
    form: dict[str, Any] = {name: page.context[name] for name in names} | {"index": "0"}
    form[ACTION_CHECKBOX_NAME] = page.context["checked"]
    return client.post(reverse(LIST) + query, form | values, follow=True)


def text_of(page: Any) -> str:
    return " ".join(page.content.decode().split())


def last_reasons() -> set[tuple[str, str]]:
    return set(Change.objects.filter(kind="WALLET", what="update").values_list("username", "reason"))


@pytest.mark.parametrize("service", [services.deactivate_wallets, services.reactivate_wallets])
def test_pa4_the_service_refuses_to_switch_wallets_without_a_reason(service: Any) -> None:
    wallet = make_wallet(make_partner())
    with pytest.raises(services.Refused, match="Say why the wallets are switched"):
        service(actor=None, wallet_ids=[wallet.pk], reason=" ")
    assert not last_reasons()


def test_pa4_deactivating_shows_the_wallets_asks_why_and_is_undone_by_reactivating(operator: Client) -> None:
    partner = make_partner()
    wallets = [make_wallet(partner, number) for number in (1, 2, 3)]
    Wallet.objects.filter(pk=wallets[2].pk).update(is_active=False)
    page = choose(operator, "deactivate", wallets)
    shown = text_of(page)
    for text in (
        "3 wallets",
        "Creative Builds: 3",
        "2 of them are active now",
        "Periods that are closed stay",
    ):
        assert text in shown
    assert all(wallet.address in shown for wallet in wallets)
    assert Wallet.objects.filter(is_active=True).count() == 2

    page = confirm(operator, page, reason="  ")
    assert "Say why, in a few words" in text_of(page)
    assert Wallet.objects.filter(is_active=True).count() == 2
    assert len(page.context["checked"]) == 3

    done = confirm(operator, page, reason="Contract ended")
    assert "Wallets now inactive: 2; 1 already were" in text_of(done)
    assert not Wallet.objects.filter(is_active=True).exists()
    assert last_reasons() == {("olga", "Contract ended"), ("", "")}

    page = choose(operator, "reactivate", wallets, reason="Signed again")
    assert page.context["form"].initial["reason"] == "Signed again"
    confirm(operator, page, reason="Signed again")
    assert Wallet.objects.filter(is_active=True).count() == 3


def test_pa4_reassigning_says_who_loses_what_and_gives_the_wallets_to_another(operator: Client) -> None:
    old, other, new = make_partner(), make_partner("Other", "other"), make_partner("New", "new")
    wallets = [make_wallet(old, 1), make_wallet(old, 2), make_wallet(other, 3)]
    page = choose(operator, "reassign", wallets)
    shown = text_of(page)
    for text in ("Who loses them", "Creative Builds: 2", "Other: 1", "keep what closed periods gave them"):
        assert text in shown
    done = confirm(
        operator, page, partner=new.pk, introduced_date="2025-09-10", reason="Creative Builds was bought"
    )
    assert "Wallets now of New: 3" in text_of(done)
    assert set(Wallet.objects.values_list("partner", "introduced_date")) == {(new.pk, date(2025, 9, 10))}
    assert last_reasons() == {("olga", "Creative Builds was bought")}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"partner": ""}, "Choose who gets the wallets"),
        ({"partner": "999"}, "Select a valid choice"),
        ({"introduced_date": ""}, "Give the day from which"),
        ({"introduced_date": "soon"}, "not a date"),
        ({"introduced_date": "2999-01-01"}, "in the future"),
        ({"introduced_date": "0001-01-01"}, "introduced date 0001-01-01 is before 2020-01-01"),
        ({"reason": ""}, "Say why"),
    ],
)
def test_pa4_a_reassignment_lacking_something_changes_nothing_and_keeps_the_selection(
    operator: Client, values: dict[str, str], said: str
) -> None:
    wallet, new = make_wallet(make_partner()), make_partner("New", "new")
    page = choose(operator, "reassign", [wallet])
    form: dict[str, Any] = {"partner": new.pk, "introduced_date": "2025-09-10", "reason": "r"} | values
    page = confirm(operator, page, **form)
    assert said in text_of(page)
    assert page.context["count"] == 1
    wallet.refresh_from_db()
    assert wallet.introduced_date == DAY
    assert not last_reasons()
    confirm(operator, page, partner=new.pk, introduced_date="2025-09-10", reason="r")
    wallet.refresh_from_db()
    assert wallet.partner == new


def test_pa4_all_across_pages_are_meant_by_the_filter_and_not_only_those_ticked(operator: Client) -> None:
    old, new = make_partner(), make_partner("New", "new")
    Wallet.objects.bulk_create(
        Wallet(partner=old, address=address(number), introduced_date=DAY, is_active=number % 2 == 0)
        for number in range(1, 301)
    )
    query = "?is_active__exact=1"
    ticked = list(Wallet.objects.filter(is_active=True)[:2])
    page = choose(operator, "reassign", ticked, query, select_across="1")
    assert (page.context["count"], len(page.context["sample"])) == (150, 10)
    assert "150 wallets" in text_of(page)
    values: dict[str, Any] = {"partner": new.pk, "introduced_date": "2025-09-10", "reason": "r"}
    assert "Wallets now of New: 150" in text_of(confirm(operator, page, query, **values))
    assert set(Wallet.objects.filter(partner=new).values_list("is_active", flat=True)) == {True}
    assert Wallet.objects.filter(partner=old, is_active=False).count() == 150


def test_pa4_a_selection_that_changed_since_it_was_shown_is_shown_again(operator: Client) -> None:
    partner = make_partner()
    page = choose(operator, "deactivate", [make_wallet(partner)], select_across="1")
    late = make_wallet(partner, 2)
    page = confirm(operator, page, reason="r")
    assert "changed since this page was shown" in text_of(page)
    assert late.address in text_of(page)
    assert Wallet.objects.filter(is_active=True).count() == 2
    confirm(operator, page, reason="r")
    assert not Wallet.objects.filter(is_active=True).exists()


@pytest.mark.parametrize("action", ["deactivate", "reactivate", "reassign"])
def test_pa4_the_page_takes_as_many_queries_for_many_wallets_as_for_one(
    operator: Client, action: str, django_assert_num_queries: Any
) -> None:
    for number in range(1, 31):
        make_wallet(make_partner(f"P{number}", f"p{number}"), number)
    wallets = list(Wallet.objects.all())
    choose(operator, action, wallets[:1])
    with django_assert_num_queries(14 + (action == "reassign")):
        choose(operator, action, wallets[:1])
    with django_assert_num_queries(14 + (action == "reassign")):
        page = choose(operator, action, wallets)
    assert "and 10 more partners" in text_of(page)


@pytest.mark.parametrize("group", ["viewer", "approver"])
def test_pa4_without_the_right_nobody_reaches_the_page_or_its_action(group: str) -> None:
    wallet, new = make_wallet(make_partner()), make_partner("New", "new")
    client = Client()
    client.force_login(make_user(group))
    from partners.admin.wallet_changes import name_selection

    form: dict[str, Any] = {"partner": new.pk, "introduced_date": "2025-09-10", "reason": "r"}
    form["selection"] = name_selection(Wallet.objects.all())[1]
    for action in ("deactivate", "reactivate", "reassign"):
        page = choose(client, action, [wallet], **form)
        assert "selection" not in (page.context or {})
    wallet.refresh_from_db()
    assert (wallet.partner.slug, wallet.is_active) == ("creative-builds", True)
    assert Partner.objects.count() == 2


def test_pa4_the_list_takes_as_many_queries_however_many_wallets(
    operator: Client, django_assert_num_queries: Any
) -> None:
    for number in range(1, 4):
        make_wallet(make_partner(f"P{number}", f"p{number}"), number)
    operator.get(reverse(LIST))
    with django_assert_num_queries(11):
        operator.get(reverse(LIST))
    Wallet.objects.bulk_create(
        Wallet(partner=partner, address=address(number * 1_000 + partner.pk), introduced_date=DAY)
        for partner in Partner.objects.all()
        for number in range(1, 200)
    )
    with django_assert_num_queries(11):
        page = operator.get(reverse(LIST))
    assert len(page.context["cl"].result_list) == 50
