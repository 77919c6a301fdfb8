"""Reasons are held in histories that nobody can edit, so what they may hold is looked at wherever one is given (PA6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from partners import services
from partners.models import Change, Partner
from partners.tests.factories import DAY, address, make_agreement, make_partner, make_user, make_wallet
from partners.tests.test_two_people import fields_of, page_of

pytestmark = pytest.mark.django_db
TURNED = "signed by \u202eanna"
SAID = "invisible character (U+202E) in the reason, at position 11"


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(make_user("operator"))
    return client


@pytest.mark.parametrize("what", ["partner", "agreement", "rule", "wallet"])
def test_pa6_a_form_refuses_a_reason_that_hides_something(operator: Client, what: str) -> None:
    partner = make_partner()
    agreement = make_agreement(partner)
    row = {
        "partner": partner,
        "agreement": agreement,
        "rule": agreement.rules.get(),
        "wallet": make_wallet(partner),
    }[what]
    before = Change.objects.count()
    changed = {"priority": "7"} if what == "rule" else {"notes": "called"}
    typed = fields_of(operator.get(page_of(row)), row) | changed
    assert SAID in operator.post(page_of(row), typed | {"reason": TURNED}).content.decode()
    assert Change.objects.count() == before
    assert operator.post(page_of(row), typed | {"reason": "signed by anna"}).status_code == 302


@pytest.mark.parametrize(
    ("model", "action"), [("partner", "pause"), ("rule", "deactivate"), ("wallet", "deactivate")]
)
def test_pa6_so_does_an_action_on_many(operator: Client, model: str, action: str) -> None:
    partner = make_partner()
    row = {"partner": partner, "rule": make_agreement(partner).rules.get(), "wallet": make_wallet(partner)}[
        model
    ]
    before = Change.objects.count()
    path = reverse(f"admin:partners_{model}_changelist")
    sent: dict[str, Any] = {"action": action, "_selected_action": [row.pk], "index": "0", "reason": TURNED}
    page = operator.post(path, sent, follow=True)
    if model == "wallet":
        typed = sent | {"selection": page.context["selection"]}
        page = operator.post(path, typed, follow=True)
    assert SAID in page.content.decode()
    assert Change.objects.count() == before


def test_pa6_so_does_the_confirmation_of_a_list(operator: Client) -> None:
    wallet = make_wallet(make_partner())
    list_of = (
        f"partner,address,introduced_date,notes\ncreative-builds,{wallet.address},{DAY},called\n".encode()
    )
    file = SimpleUploadedFile("list.csv", list_of)
    shown = operator.post(reverse("admin:partners_wallet_import"), {"import_file": file, "format": "0"})
    form = {**shown.context["confirm_form"].initial, "reason": TURNED}
    path = reverse("admin:partners_wallet_process_import")
    assert SAID in operator.post(path, form).content.decode()
    # Also where the rest of what was sent is wrong as well.
    assert operator.post(path, form | {"format": "99"}).status_code < 500
    wallet.refresh_from_db()
    assert wallet.notes == ""


SERVICES: list[Callable[[Partner], Any]] = [
    lambda one: services.add_wallets(
        actor=None, partner=one, addresses=[address(5)], introduced_date=DAY, reason=TURNED
    ),
    lambda one: services.set_partners_status(
        actor=None, partner_ids=[one.pk], status=Partner.Status.PAUSED, reason=TURNED
    ),
    lambda one: services.deactivate_wallets(actor=None, wallet_ids=[make_wallet(one).pk], reason=TURNED),
]


@pytest.mark.parametrize("service", SERVICES)
def test_pa6_so_does_every_service(service: Callable[[Partner], Any]) -> None:
    partner = make_partner()
    with pytest.raises(services.Refused, match=r"U\+202E"):
        service(partner)
    assert not Change.objects.filter(reason=TURNED).exists()


def test_pa6_a_reason_may_be_of_any_script(operator: Client) -> None:
    services.set_partners_status(
        actor=None, partner_ids=[make_partner().pk], status=Partner.Status.PAUSED, reason="Договор 契約 τ"
    )
    assert Change.objects.filter(reason="Договор 契約 τ").exists()
