"""The admin of partners: forms as people fill them, and rights on every write."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from partners.admin.wallet_changes import name_selection
from partners.forms import RateField, TaoField
from partners.models import Agreement, ApiKey, Change, Partner, Rule, Wallet
from partners.tests.factories import START, address, make_agreement, make_partner, make_user, make_wallet

MODELS = ("partner", "agreement", "rule", "wallet", "change", "apikey")
PAGES = [f"admin:partners_{model}_changelist" for model in MODELS]


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Leave out the logs of refused requests, which take longer to write than all else."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def operator(db: None) -> Client:
    return sign_in(make_user("operator", name="olga"))


def partner_form(**values: Any) -> dict[str, Any]:
    return {
        "name": "Creative Builds",
        "slug": "creative-builds",
        "kind": "NAMED",
        "status": "ACTIVE",
        "agreements-TOTAL_FORMS": "0",
        "agreements-INITIAL_FORMS": "0",
        "reason": "",
    } | values


def agreement_row(number: int, start: str, rate: str, end: str = "", pk: int | str = "") -> dict[str, Any]:
    prefix = f"agreements-{number}-"
    row = {
        "id": pk,
        "effective_from_0": start,
        "effective_from_1": "",
        "effective_until_0": end,
        "effective_until_1": "",
        "rate": rate,
        "minimum_payout": "",
        "basis": "TAKE",
    }
    return {prefix + name: value for name, value in row.items()}


def agreement_form(partner: Partner, **values: Any) -> dict[str, Any]:
    return {
        "partner": partner.pk,
        "effective_from_0": "2025-08-01",
        "effective_from_1": "",
        "effective_until_0": "",
        "effective_until_1": "",
        "rate": "33 %",
        "minimum_payout": "0.5",
        "basis": "TAKE",
        "aggregation": "LUMP_SUM",
        "rules-TOTAL_FORMS": "0",
        "rules-INITIAL_FORMS": "0",
        "reason": "Signed",
    } | values


def wallet_form(partner: Partner, number: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "partner": partner.pk,
        "chain": "BITTENSOR",
        "address": address(number),
        "introduced_date": "2025-08-01",
        "is_active": "on",
    } | values


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ("a\u202eb", "invisible character (U+202E) in the notes, at position 2"),
        ("a\x07", "invisible character (U+0007) in the notes, at position 2"),
        ("n" * 2_001, "2,001 characters; 2,000 is the most"),
    ],
)
def test_pa5_notes_that_no_list_could_bring_are_refused_by_every_form(
    operator: Client, notes: str, said: str
) -> None:
    operator.post(reverse("admin:partners_partner_add"), partner_form())
    partner = Partner.objects.get()
    forms = {
        "partner": partner_form(name="Other", slug="other"),
        "agreement": agreement_form(partner),
        "wallet": wallet_form(partner),
    }
    for name, form in forms.items():
        page = operator.post(reverse(f"admin:partners_{name}_add"), form | {"notes": notes})
        assert said in page.content.decode(), name
    assert (Partner.objects.count(), Agreement.objects.count(), Wallet.objects.count()) == (1, 0, 0)
    for name, form in forms.items():
        operator.post(reverse(f"admin:partners_{name}_add"), form | {"notes": "n" * 2_000 + "\r\n"})
    assert (Partner.objects.count(), Agreement.objects.count(), Wallet.objects.count()) == (2, 1, 1)


def test_pa5_a_name_holds_nothing_invisible(operator: Client) -> None:
    page = operator.post(reverse("admin:partners_partner_add"), partner_form(name="Crea\u200btive"))
    assert "invisible character (U+200B) in the name, at position 5" in page.content.decode()
    assert not Partner.objects.exists()


@pytest.mark.parametrize(
    ("text", "bps"),
    [("33", 3300), ("33 %", 3300), ("33.5%", 3350), ("0.01 %", 1), ("3350 bps", 3350), ("100", 10_000)],
)
def test_pa2_a_rate_is_typed_as_percent_or_basis_points(text: str, bps: int) -> None:
    assert RateField().clean(text) == bps
    assert not RateField().has_changed(bps, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3300", "For 3300 basis points write 3300 bps"),
        ("100.01", "more than the whole"),
        ("10001 bps", "more than the whole"),
        ("33.333", "finest rate"),
        ("1.5 bps", "finest rate"),
        ("-1", "Write a rate like"),
        ("a third", "Write a rate like"),
        ("", "required"),
    ],
)
def test_pa2_what_is_no_rate_is_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RateField().clean(text)


@pytest.mark.parametrize("text", ["-1", "1e3", "0.0000000001", "10000000000", "much"])
@pytest.mark.django_db
def test_an_amount_that_is_not_exact_tao_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TaoField().clean(text)


def test_ui2_a_partner_with_agreement_is_added_on_one_page(operator: Client) -> None:
    form = partner_form(reason="Signed today") | {"agreements-TOTAL_FORMS": "1"}
    response = operator.post(
        reverse("admin:partners_partner_add"), form | agreement_row(0, "2025-08-01", "33 %"), follow=True
    )
    assert "was given a wallet rule" in response.content.decode()
    agreement = Agreement.objects.get()
    assert (agreement.rate_bps, agreement.effective.lower, agreement.effective.upper) == (3300, START, None)
    assert agreement.rules.get().kind == Rule.Kind.WALLET
    kinds = Change.objects.filter(username="olga", reason="Signed today").values_list("kind", flat=True)
    assert sorted(kinds) == ["AGREEMENT", "PARTNER", "RULE"]


def test_pa2_a_rate_change_ends_one_agreement_and_begins_another_in_one_save(operator: Client) -> None:
    old = make_agreement(make_partner())
    form = partner_form(reason="new terms") | {"agreements-TOTAL_FORMS": "2", "agreements-INITIAL_FORMS": "1"}
    form |= agreement_row(0, "2025-08-01", "33 %", end="2025-10-01", pk=old.pk)
    form |= agreement_row(1, "2025-10-01", "50 %")
    operator.post(reverse("admin:partners_partner_change", args=[old.partner_id]), form)
    spans = [(a.rate_bps, a.terms) for a in Agreement.objects.order_by("pk")]
    assert spans == [
        (3300, "33 % from 2025-08-01 until 2025-10-01"),
        (5000, "50 % from 2025-10-01"),
    ]


def test_pa2_the_boundary_between_two_agreements_can_be_moved_later(operator: Client) -> None:
    turn = START + timedelta(days=30)
    old = make_agreement(make_partner(), ends_at=turn)
    new = make_agreement(old.partner, starts_at=turn, rate_bps=5000)
    form = partner_form(reason="later") | {"agreements-TOTAL_FORMS": "2", "agreements-INITIAL_FORMS": "2"}
    form |= agreement_row(0, "2025-09-15", "50 %", pk=new.pk)
    form |= agreement_row(1, "2025-08-01", "33 %", end="2025-09-15", pk=old.pk)
    operator.post(reverse("admin:partners_partner_change", args=[old.partner_id]), form)
    assert sorted(a.terms for a in Agreement.objects.all()) == [
        "33 % from 2025-08-01 until 2025-09-15",
        "50 % from 2025-09-15",
    ]


@pytest.mark.parametrize("model", ["partner", "agreement", "rule"])
def test_pa6_a_change_says_why_or_is_not_made(operator: Client, model: str) -> None:
    agreement = make_agreement(make_partner())
    rule, _ = Rule.objects.get_or_create(agreement=agreement, kind=Rule.Kind.WALLET)
    forms: dict[str, tuple[int, dict[str, Any]]] = {
        "partner": (agreement.partner_id, partner_form(name="Other")),
        "agreement": (agreement.pk, agreement_form(agreement.partner, rate="99 %")),
        "rule": (
            rule.pk,
            {"agreement": agreement.pk, "kind": "WALLET", "priority": 1, "applies_from_block": 5},
        ),
    }
    pk, form = forms[model]
    before = everything()
    response = operator.post(reverse(f"admin:partners_{model}_change", args=[pk]), form | {"reason": " "})
    assert "Say why, in a few words" in response.content.decode()
    assert everything() == before


def test_pa2_an_overlap_on_the_partners_page_names_the_agreement_in_the_way(operator: Client) -> None:
    old = make_agreement(make_partner())
    form = partner_form() | {"agreements-TOTAL_FORMS": "2", "agreements-INITIAL_FORMS": "1"}
    form |= agreement_row(0, "2025-08-01", "33 %", pk=old.pk) | agreement_row(1, "2025-09-01", "50 %")
    response = operator.post(reverse("admin:partners_partner_change", args=[old.partner_id]), form)
    assert "overlaps the agreement 33 % from 2025-08-01" in response.content.decode()
    assert Agreement.objects.count() == 1


def test_pa2_an_overlap_on_the_agreements_page_names_the_agreement_in_the_way(operator: Client) -> None:
    old = make_agreement(make_partner())
    form = agreement_form(old.partner, effective_from_0="2025-09-01")
    response = operator.post(reverse("admin:partners_agreement_add"), form)
    assert "overlaps the agreement 33 % from 2025-08-01" in response.content.decode()
    assert Agreement.objects.count() == 1


def test_pa2_an_agreement_on_its_own_page_starts_with_a_rule(operator: Client) -> None:
    operator.post(reverse("admin:partners_agreement_add"), agreement_form(make_partner()))
    agreement = Agreement.objects.get()
    assert (agreement.minimum_payout_rao, agreement.rules.count()) == (5 * 10**8, 1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"effective_from_0": ""}, "needs a start"),
        ({"effective_until_0": "2025-08-01"}, "after the start"),
        ({"effective_from_0": "soon"}, "valid date"),
        ({"rate": "3300"}, "3300 bps"),
        ({"minimum_payout": "-1"}, "not negative"),
    ],
)
def test_pa2_impossible_terms_are_refused_in_words(
    operator: Client, values: dict[str, str], said: str
) -> None:
    response = operator.post(
        reverse("admin:partners_agreement_add"), agreement_form(make_partner(), **values)
    )
    assert said in response.content.decode()
    assert not Agreement.objects.exists()


def test_pa3_two_equal_rules_in_one_form_are_refused_by_the_database_and_nothing_is_saved(
    operator: Client,
) -> None:
    form = agreement_form(make_partner()) | {"rules-TOTAL_FORMS": "2"}
    for number in (0, 1):
        row = {"kind": "WALLET", "priority": number, "applies_from_block": 0, "is_active": "on"}
        form |= {f"rules-{number}-{name}": value for name, value in row.items()}
    response = operator.post(reverse("admin:partners_agreement_add"), form, follow=True)
    assert "Nothing was saved" in response.content.decode()
    assert not Agreement.objects.exists()


def test_pa4_a_mistyped_wallet_is_refused_in_words(operator: Client) -> None:
    partner = make_partner()
    bad = address(1).replace("5", "0", 1)
    response = operator.post(reverse("admin:partners_wallet_add"), wallet_form(partner, address=bad))
    assert "This address has zero at position 1" in response.content.decode()
    assert not Wallet.objects.exists()


def test_pa4_a_wallet_of_another_partner_is_refused_with_whose_it_is(operator: Client) -> None:
    make_wallet(make_partner("Other", "other"))
    response = operator.post(reverse("admin:partners_wallet_add"), wallet_form(make_partner()))
    assert "already a wallet of Other" in response.content.decode()


def test_pa4_a_wallet_changes_hands_only_with_a_reason(operator: Client) -> None:
    wallet, new = make_wallet(make_partner()), make_partner("New", "new")
    url = reverse("admin:partners_wallet_change", args=[wallet.pk])
    response = operator.post(url, wallet_form(new))
    assert "Say why" in response.content.decode()
    moved = wallet_form(new, reason="Moved to New")
    # The day that stands there is the former partner's: nobody may lose all their days by leaving it.
    page = operator.post(url, moved).content.decode()
    assert "This is the day from which it was Creative Builds" in page
    operator.post(url, moved | {"introduced_date": "2025-08-02"})
    wallet.refresh_from_db()
    assert (wallet.partner, wallet.introduced_date) == (new, date(2025, 8, 2))
    assert Change.objects.filter(what="update").get().reason == "Moved to New"


@pytest.mark.parametrize("sent", ["x", "1.5", "9" * 40, "-1", "", "\u0661"])
def test_ui9_a_choice_that_is_no_row_is_refused_on_the_page(operator: Client, sent: str) -> None:
    partner = make_partner()
    wallet = make_wallet(partner, 2)
    forms = {
        reverse("admin:partners_agreement_add"): agreement_form(partner) | {"partner": sent},
        reverse("admin:partners_wallet_add"): wallet_form(partner) | {"partner": sent},
        reverse("admin:partners_wallet_change", args=[wallet.pk]): wallet_form(partner, 2)
        | {"partner": sent},
        reverse("admin:partners_rule_add"): {
            "agreement": sent,
            "kind": "WALLET",
            "priority": 1,
            "applies_from_block": 5,
        },
    }
    before = everything()
    for url, form in forms.items():
        page = operator.post(url, form)
        assert page.status_code == 200, url
        assert "valid choice" in page.content.decode() or "required" in page.content.decode()
    assert everything() == before


def test_pa6_the_history_page_shows_who_when_what_and_why(operator: Client) -> None:
    partner = make_partner()
    url = reverse("admin:partners_partner_change", args=[partner.pk])
    operator.post(url, partner_form(contact_email="new@example.com", reason="New book-keeper"))
    page = operator.get(reverse("admin:partners_partner_history", args=[partner.pk])).content.decode()
    for text in ("olga", "New book-keeper", "Contact email", "new@example.com", "Changed", "Added"):
        assert text in page


def test_pa6_all_changes_can_be_searched(operator: Client) -> None:
    make_wallet(make_partner(), 1)
    make_wallet(Partner.objects.get(), 2)
    url = reverse("admin:partners_change_changelist")
    page = operator.get(url, {"q": address(2)}).content.decode()
    assert address(2) in page
    assert address(1) not in page


# The history begins with the templates that every installation has.
@pytest.mark.parametrize("page", [page for page in PAGES if page != "admin:partners_change_changelist"])
def test_an_empty_list_says_what_to_do_first(page: str, db: None) -> None:
    text = sign_in(make_user(superuser=True)).get(reverse(page)).content.decode()
    assert " yet\n" in text


@pytest.mark.parametrize("page", PAGES)
def test_lists_take_few_queries_however_long(page: str, db: None, django_assert_max_num_queries: Any) -> None:
    for number in range(1, 16):
        partner = make_partner(f"P{number}", f"p{number}")
        make_agreement(partner)
        make_wallet(partner, number)
        ApiKey.objects.create_key(name=f"k{number}", partner=partner)
    client = sign_in(make_user(superuser=True))
    with django_assert_max_num_queries(20):
        assert client.get(reverse(page)).status_code == 200


def test_choosing_a_partner_counts_nothing_of_them(db: None) -> None:
    make_wallet(make_partner())
    client = sign_in(make_user("operator"))
    field = {"app_label": "partners", "model_name": "wallet", "field_name": "partner"}
    for term, found in (("", ["Creative Builds"]), ("creative", ["Creative Builds"]), ("nobody", [])):
        with CaptureQueriesContext(connection) as asked:
            answer = client.get(reverse("admin:autocomplete"), field | {"term": term}).json()
        assert [one["text"] for one in answer["results"]] == found
        assert not any("partners_wallet" in query["sql"] for query in asked)
    listed = client.get(reverse("admin:partners_partner_changelist"), {"q": "creative"})
    assert [(row.name, row.wallets_now) for row in listed.context["cl"].result_list] == [
        ("Creative Builds", 1)
    ]


@pytest.mark.parametrize("model", ["wallet", "rule"])
def test_a_list_of_many_takes_as_many_queries_as_one_of_few(model: str, db: None) -> None:
    client = sign_in(make_user("operator"))
    url = reverse(f"admin:partners_{model}_changelist")
    asked: dict[str, list[int]] = {}
    client.get(url)
    for count in (2, 300):
        for number in range(Partner.objects.count(), count):
            partner = make_partner(f"P{number}", f"p{number}")
            make_agreement(partner)
            make_wallet(partner, number)
        for query in ({}, {"q": "P1"}):
            with CaptureQueriesContext(connection) as queries:
                page = client.get(url, query)
            asked.setdefault(str(query), []).append(len(queries))
        assert page.context["cl"].full_result_count == count
    assert all(few == many for few, many in asked.values()), asked


@pytest.mark.parametrize("group", ["viewer", "approver"])
def test_a_viewer_can_open_every_page_of_partners(group: str, db: None) -> None:
    agreement = make_agreement(make_partner())
    wallet = make_wallet(agreement.partner)
    client = sign_in(make_user(group))
    rows = [agreement.partner, agreement, agreement.rules.get(), wallet]
    for row in rows:
        name = f"admin:partners_{row._meta.model_name}"
        assert client.get(reverse(f"{name}_changelist")).status_code == 200
        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200
        assert client.get(reverse(f"{name}_history", args=[row.pk])).status_code == 200
    assert client.get(reverse("admin:partners_change_changelist")).status_code == 200
    assert client.get(reverse("admin:partners_apikey_changelist")).status_code == 403


def every_write(partner: Partner) -> list[tuple[str, dict[str, Any]]]:
    agreement, rule, wallet = Agreement.objects.get(), Rule.objects.get(), Wallet.objects.get()
    other = make_partner("Other", "other")
    key, _ = ApiKey.objects.create_key(name="key")
    file = SimpleUploadedFile(
        "list.csv", f"partner,address,introduced_date\nother,{address(5)},2025-08-01\n".encode()
    )

    def url(name: str, *args: Any) -> str:
        return reverse(f"admin:partners_{name}", args=args)

    def action(name: str, pk: Any) -> dict[str, Any]:
        return {"action": name, "_selected_action": [pk], "index": "0"}

    confirmed = {
        "selection": name_selection(Wallet.objects.filter(pk=wallet.pk))[1],
        "reason": "r",
    }
    reassigned = {"partner": partner.pk, "introduced_date": "2025-08-02"}
    rule_form = {"agreement": agreement.pk, "kind": "WALLET", "priority": 1, "applies_from_block": 5}
    kept_agreement = {"agreements-TOTAL_FORMS": "1", "agreements-INITIAL_FORMS": "1"}
    kept_agreement |= agreement_row(0, "2025-08-01", "99 %", pk=agreement.pk)
    return [
        (url("partner_add"), partner_form(name="X", slug="x")),
        (url("partner_change", partner.pk), partner_form(name="Y", reason="r")),
        (url("partner_change", partner.pk), partner_form(reason="r") | kept_agreement),
        (url("partner_changelist"), action("pause", partner.pk) | {"reason": "r"}),
        (url("agreement_add"), agreement_form(other)),
        (url("agreement_change", agreement.pk), agreement_form(partner, rate="99 %", reason="r")),
        (url("rule_add"), rule_form),
        (url("rule_change", rule.pk), rule_form | {"is_active": "on", "reason": "r"}),
        (url("rule_changelist"), action("deactivate", rule.pk) | {"reason": "r"}),
        (url("wallet_add"), wallet_form(partner, 4)),
        (
            url("wallet_change", wallet.pk),
            wallet_form(other, reason="mine now") | {"introduced_date": "2025-08-02"},
        ),
        (url("wallet_changelist"), action("deactivate", wallet.pk) | confirmed),
        (url("wallet_changelist"), action("reactivate", wallet.pk) | confirmed),
        (url("wallet_changelist"), action("reassign", wallet.pk) | confirmed | reassigned),
        (url("wallet_import"), {"import_file": file, "format": "0"}),
        (url("wallet_process_import"), {"import_file_name": "x", "original_file_name": "x", "format": "0"}),
        (url("apikey_add"), {"name": "mine"}),
        (url("apikey_change", key.pk), {"name": "renamed"}),
        (url("apikey_changelist"), action("revoke", key.pk)),
        *((url(f"{model}_changelist"), action("delete_selected", 1)) for model in MODELS),
        *(
            (url(f"{row._meta.model_name}_delete", row.pk), {"post": "yes"})
            for row in (partner, agreement, rule, wallet, key)
        ),
    ]


def everything() -> list[Any]:
    return [
        list(model.objects.order_by("pk").values()) for model in (Partner, Agreement, Rule, Wallet, ApiKey)
    ]


@pytest.mark.parametrize("who", ["viewer", "approver", "nobody", "signed out"])
def test_pa6_without_the_right_no_write_changes_anything(who: str, db: None) -> None:
    agreement = make_agreement(make_partner())
    make_wallet(agreement.partner)
    writes = every_write(agreement.partner)
    before = everything()
    groups = [who] if who in ("viewer", "approver") else []
    client = Client() if who == "signed out" else sign_in(make_user(*groups))
    for url, form in writes:
        response = client.post(url, form)
        assert everything() == before, url
        if "_selected_action" not in form or not groups:
            # An action that one may not run is simply not among those the list offers.
            signed_out = "/login/" in response.headers.get("Location", "")
            assert response.status_code == 403 or signed_out, (url, response.status_code)


def test_the_same_writes_do_change_something_with_the_right(db: None) -> None:
    agreement = make_agreement(make_partner())
    make_wallet(agreement.partner)
    writes = every_write(agreement.partner)
    client = sign_in(make_user("administrator"))
    without_effect = []
    for url, form in writes:
        before = everything()
        if "selection" in form:
            wallets = Wallet.objects.filter(pk__in=form["_selected_action"])
            form["selection"] = name_selection(wallets)[1]
        client.post(url, form)
        if everything() == before:
            without_effect.append(url.removeprefix("/admin/partners/"))
    # An upload only shows a preview, a confirmation needs one, and deleting is offered to nobody.
    pages_of_deleting = ("partner", "agreement", "rule", "wallet", "apikey")
    assert [url.split("/")[0] for url in without_effect if "import" not in url] == [
        *MODELS,
        *pages_of_deleting,
    ]
    assert [url for url in without_effect if "import" in url] == ["wallet/import/", "wallet/process_import/"]


def test_only_administrators_may_touch_api_keys(db: None) -> None:
    rights = {
        group.name: set(
            group.permissions.filter(content_type__model="apikey").values_list("codename", flat=True)
        )
        for group in Group.objects.all()
    }
    assert rights["administrator"] == {"view_apikey", "add_apikey", "change_apikey"}
    assert rights["viewer"] == rights["operator"] == rights["approver"] == set()
    deleting = Group.objects.filter(
        permissions__content_type__app_label="partners", permissions__codename__startswith="delete"
    )
    # A template is no agreement: nothing rests on it.
    found = deleting.values_list("permissions__codename", flat=True)
    assert {right for right in found if right.startswith("delete")} == {"delete_agreementtemplate"}


def test_ap2_a_key_is_shown_once_and_stored_only_as_a_hash(db: None) -> None:
    client = sign_in(make_user("administrator"))
    partner = make_partner()
    form = {"name": "Statement reader", "partner": partner.pk}
    page = client.post(reverse("admin:partners_apikey_add"), form, follow=True).content.decode()
    key = page.split("<code>")[1].split("</code>")[0]
    stored = ApiKey.objects.get()
    assert stored.is_valid(key)
    assert stored.partner == partner
    assert key.split(".")[1] not in f"{stored.id}{stored.hashed_key}"
    assert key not in client.get(reverse("admin:partners_apikey_change", args=[stored.pk])).content.decode()
    client.post(
        reverse("admin:partners_apikey_changelist"), {"action": "revoke", "_selected_action": [stored.pk]}
    )
    stored.refresh_from_db()
    assert stored.revoked
