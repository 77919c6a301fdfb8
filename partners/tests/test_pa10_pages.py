"""The pages of payout addresses: the whole way step by step, who may do what, and nothing written by a GET (PA10)."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from partners.models import Partner, PayoutAddress
from partners.tests.factories import (
    address,
    approved,
    begin,
    make_partner,
    make_user,
    paid_to,
    requested,
    travel,
)

pytestmark = pytest.mark.django_db
OLD, NEW = address(1), address(2)


def login(user: User, **options: bool) -> Client:
    client = Client(**options)  # type: ignore[arg-type]
    client.force_login(user)
    return client


def text_of(response: Any) -> str:
    return html.unescape(response.content.decode())


def url(name: str, *arguments: object) -> str:
    return reverse(f"admin:partners_payoutaddress_{name}", args=arguments)


@pytest.fixture
def partner() -> Partner:
    partner = make_partner()
    Partner.objects.update(contact_email="old@creative.example")
    begin(partner, OLD)
    return partner


def rows() -> list[Any]:
    return list(PayoutAddress.objects.order_by("id").values())


def test_pa10_from_the_partners_page_to_an_address_that_cools_off(
    partner: Partner, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    olivia, adam = login(make_user("operator", name="olivia")), login(make_user("approver", name="adam"))
    page_url = reverse("admin:partners_partner_change", args=[partner.pk])
    page = text_of(olivia.get(page_url))
    assert url("request", partner.pk) in page
    assert OLD in page
    assert 'name="payout_address"' not in page
    assert url("request", partner.pk) not in text_of(adam.get(page_url))

    form = {"address": NEW, "reason": "They lost the old wallet"}
    shown = text_of(olivia.get(url("request", partner.pk), form))
    for text in (
        OLD,
        NEW,
        "They lost the old wallet",
        "old@creative.example",
        "72 hours after a second person",
    ):
        assert text in shown
    # In groups of four.
    assert "".join(f"<span>{NEW[start : start + 4]}</span>" for start in range(0, 48, 4)) in shown
    assert PayoutAddress.objects.count() == 1
    with django_capture_on_commit_callbacks(execute=True):
        answer = olivia.post(url("request_confirm", partner.pk), form, follow=True)
    assert "Nothing is paid to Creative Builds until it takes effect" in text_of(answer)
    version = PayoutAddress.objects.get(status="REQUESTED")
    assert len(mailoutbox) == 1

    page = text_of(olivia.get(page_url))
    assert "Waits for a second person" in page
    assert url("cancel", version.pk) in page
    assert url("approve", version.pk) not in page
    assert "A new payout address of Creative Builds waits for approval" in text_of(adam.get("/admin/"))

    page = text_of(adam.get(url("approve", version.pk)))
    for text in (
        OLD,
        NEW,
        "olivia",
        "They lost the old wallet",
        "old@creative.example",
        "Approve this address",
    ):
        assert text in page
    answer = adam.post(url("approve_confirm", version.pk), follow=True)
    assert "The address is approved. It takes effect on" in text_of(answer)
    page = text_of(adam.get(page_url))
    assert "Cooling off" in page
    assert "takes effect in 71 h 5" in page
    assert paid_to(partner) == OLD
    travel(version, "0 s")
    page = text_of(olivia.get(page_url))
    assert "In force" in page
    assert "Replaced" in page
    assert url("request", partner.pk) in page


def test_pa10_what_cannot_be_requested_is_said_and_what_was_typed_stays(partner: Partner) -> None:
    client = login(make_user("operator"))
    page = text_of(client.get(url("request", partner.pk), {"address": NEW[:-1] + "z", "reason": "Moved"}))
    assert "wrong checksum" in page
    assert f'value="{NEW[:-1]}z"' in page
    assert 'value="Moved"' in page
    assert "Request this address" not in page
    answer = client.post(url("request_confirm", partner.pk), {"address": OLD, "reason": "x"}, follow=True)
    assert "is paid to this address already" in text_of(answer)
    assert PayoutAddress.objects.count() == 1


def test_threat5_who_asked_is_told_why_not_superuser_or_not(partner: Partner) -> None:
    root = make_user(name="root", superuser=True)
    client = login(root)
    client.post(url("request_confirm", partner.pk), {"address": NEW, "reason": "x"})
    version = PayoutAddress.objects.get(status="REQUESTED")
    before = rows()
    for step in ("approve", "tell"):
        page = text_of(client.get(url(step, version.pk)))
        assert "You requested this address" in page
        assert url(f"{step}_confirm", version.pk) not in page
        answer = client.post(url(f"{step}_confirm", version.pk), {"how": "x"}, follow=True)
        assert "You requested this address" in text_of(answer)
    assert rows() == before


def test_pa10_a_failed_notice_is_shown_and_sent_again_or_replaced_by_a_call(
    partner: Partner, settings: Any, mailoutbox: list[Any]
) -> None:
    settings.EMAIL_BACKEND = "rakeback.mail.RefusingBackend"
    version = requested(partner, NEW)
    adam = login(make_user("approver", name="adam"))
    sent = text_of(adam.post(url("send_confirm", version.pk), follow=True))
    assert "The notice was not sent: old@creative.example: no mail server is set" in sent
    page = text_of(adam.get(url("approve", version.pk)))
    assert "Nobody of the partner was told" in page
    assert url("approve_confirm", version.pk) not in page
    assert "Nobody of Creative Builds was told" in text_of(
        adam.post(url("approve_confirm", version.pk), follow=True)
    )
    assert "who was told, when and how" in text_of(
        adam.post(url("tell_confirm", version.pk), {"how": " "}, follow=True)
    )
    answer = adam.post(url("tell_confirm", version.pk), {"how": "Called Kim at the office"}, follow=True)
    assert "It is recorded that you told Creative Builds" in text_of(answer)
    assert "Called Kim at the office" in text_of(adam.get(url("approve", version.pk)))
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert "were told" in text_of(adam.post(url("send_confirm", version.pk), follow=True))
    assert len(mailoutbox) == 1


def test_pa10_cancelling_takes_a_reason_and_is_not_offered_afterwards(partner: Partner) -> None:
    version = approved(requested(partner, NEW))
    client = login(make_user("operator"))
    answer = client.post(url("cancel_confirm", version.pk), {"reason": " "}, follow=True)
    assert "why it is cancelled" in text_of(answer)
    client.post(url("cancel_confirm", version.pk), {"reason": "The partner called"})
    page = text_of(client.get(url("change", version.pk)))
    assert "The partner called" in page
    assert url("cancel", version.pk) not in page
    assert "There is nothing to cancel" in text_of(client.get(url("cancel", version.pk)))


# For each page and role the status of the answer to its own method; the last line is the partner's page.
ROLES = ("anonymous", "nobody", "viewer", "operator", "approver", "administrator")
MATRIX = {
    "changelist": (302, 403, 200, 200, 200, 200),
    "change": (302, 403, 200, 200, 200, 200),
    "history": (302, 403, 200, 200, 200, 200),
    "add": (302, 403, 403, 403, 403, 403),
    "delete": (302, 403, 403, 403, 403, 403),
    "request": (302, 403, 403, 200, 403, 200),
    "request_confirm": (302, 403, 403, 302, 403, 302),
    "approve": (302, 403, 403, 403, 200, 403),
    "approve_confirm": (302, 403, 403, 403, 302, 403),
    "tell": (302, 403, 403, 403, 200, 403),
    "tell_confirm": (302, 403, 403, 403, 302, 403),
    "cancel": (302, 403, 403, 200, 200, 200),
    "cancel_confirm": (302, 403, 403, 302, 302, 302),
    "send_confirm": (302, 403, 403, 302, 302, 302),
}


def urls_of(version: PayoutAddress) -> dict[str, str]:
    urls = {name: url(name) for name in ("changelist", "add")}
    for name in MATRIX:
        if name.startswith("request"):
            urls[name] = url(name, version.partner_id)
        elif name not in urls:
            urls[name] = url(name, version.pk)
    return urls


@pytest.mark.parametrize("role", ROLES)
def test_threat5_roles_matrix(role: str, mailoutbox: list[Any]) -> None:
    # Nobody to send a notice to, so that sending it again changes nothing.
    version = requested(make_partner(), NEW)
    before = rows()
    client = Client()
    if role != "anonymous":
        client.force_login(make_user(*([] if role == "nobody" else [role]), name=role))
    answers = {}
    for name, address_of_page in urls_of(version).items():
        method = client.post if name.endswith("_confirm") else client.get
        answers[name] = method(address_of_page).status_code
    assert answers == {name: statuses[ROLES.index(role)] for name, statuses in MATRIX.items()}
    # Nothing but the forms as they are sent from the pages decides anything.
    assert rows() == before
    assert not mailoutbox


def test_threat4_only_posts_with_their_token_write(partner: Partner) -> None:
    version = requested(partner, NEW)
    before = rows()
    root = make_user(name="root", superuser=True)
    client, checked = login(root), login(root, enforce_csrf_checks=True)
    form = {"address": NEW, "reason": "x", "how": "x"}
    for name, address_of_page in urls_of(version).items():
        if name.endswith("_confirm"):
            assert client.get(address_of_page).status_code == 405, name
            assert checked.post(address_of_page, form).status_code == 403, name
        elif name in ("request", "approve", "tell", "cancel"):
            assert client.post(address_of_page, form).status_code == 405, name
    assert rows() == before


def test_pa10_the_partners_form_cannot_set_an_address(partner: Partner) -> None:
    form = {
        "name": "Renamed",
        "slug": "creative-builds",
        "kind": "NAMED",
        "status": "ACTIVE",
        "contact_email": "old@creative.example",
        "payout_address": NEW,
        "reason": "New name",
        "agreements-TOTAL_FORMS": "0",
        "agreements-INITIAL_FORMS": "0",
    }
    answer = login(make_user(superuser=True)).post(
        reverse("admin:partners_partner_change", args=[partner.pk]), form
    )
    assert answer.status_code == 302, [answer.context["adminform"].form.errors, answer.context["errors"]]
    partner.refresh_from_db()
    assert partner.name == "Renamed"
    assert paid_to(partner) == OLD
    assert PayoutAddress.objects.count() == 1


def test_threat16_names_and_reasons_are_text(partner: Partner) -> None:
    Partner.objects.update(name="<script>alert(1)</script>")
    root = make_user(name="root", superuser=True)
    client = login(root)
    form = {"address": NEW, "reason": "<img src=x onerror=alert(1)>"}
    client.post(url("request_confirm", partner.pk), form)
    version = PayoutAddress.objects.get(status="REQUESTED")
    pages = [url(name, version.pk) for name in ("change", "approve", "tell", "cancel", "history")]
    pages += [url("changelist"), reverse("admin:partners_partner_change", args=[partner.pk]), "/admin/"]
    for page in pages:
        body = client.get(page).content
        assert b"<script>alert(1)" not in body, page
        assert b"<img src=x" not in body, page
    body = client.get(url("request", partner.pk), form).content
    assert b"<img src=x" not in body


def test_pages_take_no_more_queries_for_more_versions(django_assert_max_num_queries: Any) -> None:
    for number in range(12):
        partner = make_partner(f"P{number}", f"p{number}")
        begin(partner, address(100 + number))
        requested(partner, address(200 + number))
    client = login(make_user(name="root", superuser=True))
    with django_assert_max_num_queries(20):
        assert client.get(url("changelist")).status_code == 200
    with django_assert_max_num_queries(30):
        assert client.get(reverse("admin:partners_partner_change", args=[partner.pk])).status_code == 200


def test_pa10_an_empty_list_says_what_to_do_first() -> None:
    page = text_of(login(make_user("viewer")).get(url("changelist")))
    assert "Request the first one on the partner's page" in page


def test_threat12_what_hides_in_a_text_is_refused_by_every_step(partner: Partner) -> None:
    olivia, adam = login(make_user("operator", name="olivia")), login(make_user("approver", name="adam"))
    before = rows()
    for form, sign in (
        ({"address": "\0", "reason": "x"}, "U+0000"),
        ({"address": NEW, "reason": "a\0b"}, "U+0000"),
        ({"address": NEW, "reason": "a\u202eb"}, "U+202E"),
    ):
        assert sign in text_of(olivia.get(url("request", partner.pk), form))
        answer = olivia.post(url("request_confirm", partner.pk), form, follow=True)
        assert sign in text_of(answer)
    assert rows() == before
    olivia.post(url("request_confirm", partner.pk), {"address": NEW, "reason": "Lost"})
    version, before = PayoutAddress.objects.get(address=NEW), rows()
    for step, name in (("tell_confirm", "how"), ("cancel_confirm", "reason")):
        for text, sign in (("a\0b", "U+0000"), ("a\u202eb", "U+202E")):
            assert sign in text_of(adam.post(url(step, version.pk), {name: text}, follow=True))
    assert rows() == before


def test_threat12_the_notice_quotes_the_reason_in_one_line(
    partner: Partner, mailoutbox: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    olivia = login(make_user("operator", name="olivia"))
    reason = "Lost\n\nTHIS REQUEST IS CANCELLED: there is nothing to do.\nCall the new number"
    with django_capture_on_commit_callbacks(execute=True):
        olivia.post(url("request_confirm", partner.pk), {"address": NEW, "reason": reason})
    lines = mailoutbox[0].body.splitlines()
    said = "“Lost THIS REQUEST IS CANCELLED: there is nothing to do. Call the new number”"
    assert f"Reason given:      {said}" in lines
    assert not [line for line in lines if line.startswith(("THIS REQUEST", "Call the"))]
