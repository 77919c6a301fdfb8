"""Rules of every kind and what an agreement covers, as staff type them (PA2, PA3)."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chain.addresses import encode_address
from chain.models import Hotkey
from partners.forms import NetuidsField
from partners.models import Agreement, Partner, Rule
from partners.tests.factories import make_agreement, make_partner, make_user
from partners.tests.test_admin import agreement_form, agreement_row, partner_form

pytestmark = pytest.mark.django_db
HOTKEY = "5EKdff8SJAfFhqfL5CK18AUDUckccsvHiyqHM1LxXs9b6xV5"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_user("operator", name="olga"))
    return client


def rule_form(agreement: Agreement, **values: Any) -> dict[str, Any]:
    empty = {"memo_match": "", "memo": "", "netuid": "", "side": ""}
    return {
        "agreement": agreement.pk,
        "kind": "MEMO",
        **empty,
        "on_stake": "on",
        "on_unstake": "on",
        "priority": "100",
        "applies_from_block": "0",
        "is_active": "on",
        "reason": "Signed",
    } | values


@pytest.mark.parametrize(
    ("values", "looks_at"),
    [
        ({"memo_match": "EQUALS", "memo": "talisman"}, "Remark equals “talisman”"),
        ({"memo_match": "REGEX", "memo": "^talisman"}, "Remark regular expression (re2) “^talisman”"),
        (
            {"memo_match": "STARTS", "memo": "nova", "on_unstake": "", "on_restake": "on"},
            "Remark starts with “nova” on stake and restake",
        ),
        # What a page hides at other kinds says nothing there.
        ({"kind": "SUBNET", "netuid": "0", "on_stake": "", "on_restake": "on"}, "Subnet 0"),
        ({"kind": "SIDE", "side": "ROOT"}, "Side Root TAO"),
        ({"kind": "ALL"}, "All stake"),
        ({"kind": "ALL", "applies_until_block": "7000"}, "All stake until block 7,000"),
    ],
)
def test_pa3_a_rule_of_every_kind_is_added_and_named(
    operator: Client, values: dict[str, Any], looks_at: str
) -> None:
    agreement = make_agreement(make_partner(), with_rule=False)
    operator.post(reverse("admin:partners_rule_add"), rule_form(agreement, **values))
    assert Rule.objects.get().looks_at == looks_at
    assert looks_at.encode() in operator.get(reverse("admin:partners_rule_changelist")).content


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"memo_match": "EQUALS"}, "A rule by remark needs it."),
        ({"memo": "talisman"}, "A rule by remark needs it."),
        ({"memo_match": "REGEX", "memo": "(talisman"}, "this is no regular expression (RE2): missing )"),
        ({"memo_match": "REGEX", "memo": ".*"}, "it would match every remark"),
        (
            {"memo_match": "EQUALS", "memo": "talisman", "netuid": "2"},
            "A rule by remark has none; leave it empty.",
        ),
        (
            {"memo_match": "EQUALS", "memo": "talisman", "on_stake": ""},
            "A remark counts on stake or on restake, or on both.",
        ),
        (
            {"kind": "ALL", "applies_from_block": "7", "applies_until_block": "7"},
            "A rule ends after the block that it begins at.",
        ),
        ({"kind": "WALLET", "memo": "talisman"}, "A rule by exact wallet has none; leave it empty."),
        ({"kind": "SUBNET"}, "A rule by subnet needs it."),
        ({"kind": "SIDE", "side": "UP"}, "Select a valid choice"),
    ],
)
def test_pa3_a_rule_that_lacks_what_it_looks_at_is_refused_in_words(
    operator: Client, values: dict[str, Any], said: str
) -> None:
    agreement = make_agreement(make_partner(), with_rule=False)
    response = operator.post(reverse("admin:partners_rule_add"), rule_form(agreement, **values))
    assert said in response.content.decode()
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "MEMO"},
        {"kind": "MEMO", "memo": "talisman"},
        {"kind": "MEMO", "memo": "talisman", "memo_match": "LIKE"},
        {"kind": "WALLET", "memo": "talisman", "memo_match": "EQUALS"},
        {"kind": "SUBNET"},
        {"kind": "ALL", "netuid": 2},
        {"kind": "SIDE", "side": "UP"},
        {"kind": "OTHER"},
    ],
)
def test_pa3_the_database_refuses_rules_that_do_not_say_what_they_look_at(values: dict[str, Any]) -> None:
    agreement = make_agreement(make_partner(), with_rule=False)
    with pytest.raises(IntegrityError, match="rule_says_what_it_looks_at"), transaction.atomic():
        Rule.objects.bulk_create([Rule(agreement=agreement, **values)])


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "MEMO", "memo": "talisman", "memo_match": "EQUALS", "on_stake": False},
        {"kind": "WALLET", "on_restake": True},
        {"kind": "ALL", "on_unstake": False},
        {"kind": "ALL", "on_stake": False, "on_restake": True},
    ],
)
def test_pa3_the_database_refuses_rules_that_count_on_nothing_or_on_what_they_do_not_look_at(
    values: dict[str, Any],
) -> None:
    agreement = make_agreement(make_partner(), with_rule=False)
    refused = pytest.raises(IntegrityError, match="rule_says_what_its_memo_counts_on")
    with refused, transaction.atomic():
        Rule.objects.bulk_create([Rule(agreement=agreement, **values)])


def test_pa3_a_rule_that_ended_may_be_followed_by_another_like_it() -> None:
    agreement = make_agreement(make_partner())
    Rule.objects.update(applies_until_block=1_000)
    Rule.objects.create(agreement=agreement, applies_from_block=2_000)
    with pytest.raises(IntegrityError, match="rule_once_per_agreement"), transaction.atomic():
        Rule.objects.create(agreement=agreement, applies_from_block=3_000)
    with pytest.raises(IntegrityError, match="rule_ends_after_it_begins"), transaction.atomic():
        Rule.objects.filter(applies_from_block=2_000).update(applies_until_block=2_000)


def test_pa3_several_remarks_of_one_agreement_each_have_a_rule_but_none_two() -> None:
    agreement = make_agreement(make_partner(), with_rule=False)
    for memo in ("talisman", "talisman:v2"):
        Rule.objects.create(agreement=agreement, kind="MEMO", memo_match="EQUALS", memo=memo)
    with pytest.raises(IntegrityError, match="rule_once_per_agreement"), transaction.atomic():
        Rule.objects.create(agreement=agreement, kind="MEMO", memo_match="EQUALS", memo="talisman")


def test_pa2_what_an_agreement_covers_is_ticked_and_typed(operator: Client) -> None:
    Hotkey.objects.create(address=HOTKEY, label="RT21", first_block=1)
    form = agreement_form(
        make_partner(), netuids=" 5,2, 5", hotkeys=[HOTKEY], sides=["ROOT"], new_delegators_only="on"
    )
    operator.post(reverse("admin:partners_agreement_add"), form)
    agreement = Agreement.objects.get()
    assert (agreement.netuids, agreement.hotkeys, agreement.sides) == ([2, 5], [HOTKEY], ["ROOT"])
    assert agreement.covers == "Subnets 2, 5; 1 hotkey; Root TAO; new delegators only"
    page = operator.get(reverse("admin:partners_agreement_change", args=[agreement.pk])).content.decode()
    assert 'value="2, 5"' in page
    assert "RT21" in page
    assert "Inflation rewards" not in page
    client = Client()
    client.force_login(make_user("viewer", name="vera"))
    shown = client.get(reverse("admin:partners_agreement_change", args=[agreement.pk])).content.decode()
    assert agreement.covers in shown


@pytest.mark.parametrize(("text", "found"), [("", []), ("2", [2]), ("64, 2,,2 ", [2, 64])])
def test_pa2_subnets_are_typed_as_numbers(text: str, found: list[int]) -> None:
    field = NetuidsField(required=False)
    assert field.clean(text) == found
    assert not field.has_changed(found, text)


@pytest.mark.parametrize("text", ["two", "2 5", "-1", "65536", "2;5", "٢", "9" * 5_000])
def test_pa2_what_is_no_subnet_is_named(text: str) -> None:
    with pytest.raises(ValidationError, match="is no subnet"):
        NetuidsField(required=False).clean(text)


def test_pa1_a_wallet_apps_agreement_says_that_it_needs_a_rule(operator: Client) -> None:
    form = partner_form(reason="Signed today", kind=Partner.Kind.TAGGED) | {"agreements-TOTAL_FORMS": "1"}
    response = operator.post(
        reverse("admin:partners_partner_add"), form | agreement_row(0, "2025-08-01", "50 %"), follow=True
    )
    assert "has no rule yet, so it finds nobody" in response.content.decode()
    assert not Rule.objects.exists()


def test_pa2_tiers_cap_and_what_is_left_out_are_typed_as_people_write_them(operator: Client) -> None:
    wallet = encode_address(b"w".ljust(32, b"."))
    values = agreement_form(
        make_partner(),
        tiers="100: 40 %\n\n 250.5 : 4500 bps",
        monthly_cap_rao="12.5",
        excluded_netuids="7",
        excluded_wallets=f"{wallet}, {wallet}",
    )
    operator.post(reverse("admin:partners_agreement_add"), values)
    agreement = Agreement.objects.get()
    assert agreement.tiers == [[100 * 10**9, 4_000], [2505 * 10**8, 4_500]]
    assert agreement.monthly_cap_rao == 125 * 10**8
    assert (agreement.excluded_netuids, agreement.excluded_wallets) == ([7], [wallet])
    assert agreement.rates == (
        "33 %, from 100 TAO a month 40 %, from 250.5 TAO a month 45 %, at most 12.5 TAO a month"
    )
    assert agreement.covers == "Not subnet 7; not 1 wallet"
    page = operator.get(reverse("admin:partners_agreement_change", args=[agreement.pk])).content.decode()
    assert "100: 40 %\n250.5: 45 %" in page
    # Saved again as shown, nothing changed: no limit and a limit of nothing are not the same.
    form = {**values, "tiers": "100: 40 %\n250.5: 45 %", "monthly_cap_rao": "", "reason": "No cap any more"}
    operator.post(reverse("admin:partners_agreement_change", args=[agreement.pk]), form)
    assert Agreement.objects.get().monthly_cap_rao is None
    timeline = operator.get(reverse("admin:partners_agreement_history", args=[agreement.pk])).content.decode()
    assert "No cap any more" in timeline
    assert "12.500000000 TAO" in timeline
    assert "from 100: 40 %; from 250.5: 45 %" in timeline


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("tiers", "100", "Line 1, “100”: write the volume, a colon and the rate, like 100: 40 %."),
        ("tiers", "100: 40 %\n50: 45 %", "Not possible: tier 2 does not begin above the one before."),
        ("tiers", "0: 40 %", "Not possible: tier 1 does not begin above nothing."),
        ("tiers", "100: 140 %", "Line 1, “100: 140 %”: 140 % is more than the whole."),
        ("tiers", "x: 40 %", "Line 1, “x: 40 %”: "),
        ("tiers", "9" * 5_000 + ": 40 %", "Line 1, “"),
        ("excluded_wallets", "5Nobody", "5Nobody: This address"),
        ("excluded_netuids", "two", "two is no subnet"),
        ("monthly_cap_rao", "-1", "The amount is not negative"),
    ],
)
def test_pa2_what_cannot_be_is_refused_with_where_it_stands(
    operator: Client, field: str, typed: str, said: str
) -> None:
    page = operator.post(
        reverse("admin:partners_agreement_add"), agreement_form(make_partner(), **{field: typed})
    )
    assert said in html.unescape(page.content.decode())
    assert not Agreement.objects.exists()


# --- many rules of one agreement --------------------------------------------------------------------------


def add_rules(agreement: Agreement, netuids: range) -> list[Rule]:
    return Rule.objects.bulk_create(Rule(agreement=agreement, kind="SUBNET", netuid=n) for n in netuids)


def change_url(agreement: Agreement, query: str = "") -> str:
    return reverse("admin:partners_agreement_change", args=[agreement.pk]) + query


def rules_shown(operator: Client, agreement: Agreement, query: str = "") -> list[int]:
    formsets = operator.get(change_url(agreement, query)).context["inline_admin_formsets"]
    return [form.instance.netuid for form in formsets[0].formset.initial_forms]


def rules_as_shown(rules: list[Rule], **values: Any) -> dict[str, Any]:
    """What the browser sends of these rules, each with the values given."""
    form: dict[str, Any] = {"rules-TOTAL_FORMS": len(rules), "rules-INITIAL_FORMS": len(rules)}
    for number, rule in enumerate(rules):
        row = {
            "id": rule.pk,
            "kind": "SUBNET",
            "netuid": rule.netuid,
            "priority": rule.priority,
            "is_active": "on",
        }
        row |= {
            "agreement": rule.agreement_id,
            "memo_match": "",
            "memo": "",
            "side": "",
            "applies_from_block": "0",
        }
        form |= {f"rules-{number}-{name}": value for name, value in (row | values).items()}
    return form


@pytest.mark.parametrize("role", ["operator", "viewer"])
def test_pa3_the_page_of_an_agreement_shows_some_rules_at_a_time(role: str) -> None:
    client = Client()
    client.force_login(make_user(role, name="olga"))
    agreement = make_agreement(make_partner(), with_rule=False)
    counts = []
    for netuids in (range(30), range(30, 500)):
        add_rules(agreement, netuids)
        with CaptureQueriesContext(connection) as asked:
            assert rules_shown(client, agreement) == [*range(20)]
        counts.append(len(asked))
    assert counts[0] == counts[1] < 30
    assert rules_shown(client, agreement, "?rules-page=25") == [*range(480, 500)]
    assert "500 rules" in " ".join(client.get(change_url(agreement)).content.decode().split())


def test_pa3_rules_of_a_later_page_are_edited_there(operator: Client) -> None:
    agreement = make_agreement(make_partner(), with_rule=False)
    rules = add_rules(agreement, range(45))
    form = agreement_form(agreement.partner, **rules_as_shown(rules[20:40], priority="7"))
    answer = operator.post(change_url(agreement), form | {"rules-page": "2"})
    assert answer.status_code == 302, answer.context["errors"]
    assert [*agreement.rules.filter(priority=7).values_list("netuid", flat=True)] == [*range(20, 40)]
    assert agreement.rules.count() == 45


def test_pa3_a_rule_that_moved_to_another_page_meanwhile_is_saved_all_the_same(operator: Client) -> None:
    agreement = make_agreement(make_partner(), with_rule=False)
    rules = add_rules(agreement, range(45))
    form = agreement_form(agreement.partner, **rules_as_shown(rules[:20], applies_from_block="8"))
    Rule.objects.filter(netuid=3).update(priority=1_000)
    assert rules_shown(operator, agreement)[-1] == 20
    operator.post(change_url(agreement), form | {"rules-page": "1"})
    assert agreement.rules.filter(applies_from_block=8).count() == 20


def test_pa3_a_rule_of_another_agreement_is_not_edited_on_this_page(operator: Client) -> None:
    agreement, other = (
        make_agreement(make_partner(name, name.lower()), with_rule=False) for name in ("One", "Two")
    )
    [*rules] = add_rules(other, range(2))
    form = agreement_form(agreement.partner, **rules_as_shown(rules, priority="7"))
    operator.post(change_url(agreement), form)
    assert not Rule.objects.filter(priority=7).exists()
