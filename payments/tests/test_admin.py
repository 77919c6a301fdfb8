"""The pages of payments: the whole way in a browser's steps, who may do what, and nothing written by a GET."""

from __future__ import annotations

import html

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from ledger.models import Entry
from partners.tests.factories import paid_to
from payments.models import Batch, Payout
from payments.services import approve_batch, propose_batch
from payments.tests.factories import NOW, address_of, make_partner, make_period, make_user
from tests.guards import sql, tamper, without_triggers

pytestmark = pytest.mark.django_db

LIST = "/admin/payments/batch/"


def login(user: User, **options: bool) -> Client:
    client = Client(**options)  # type: ignore[arg-type]
    client.force_login(user)
    return client


def member(group: str) -> User:
    user = make_user(group)
    user.groups.add(Group.objects.get(name=group))
    return user


def text_of(response: object) -> str:
    return html.unescape(response.content.decode())  # type: ignore[attr-defined]


@pytest.fixture
def batch() -> Batch:
    make_partner("cb", owed=5_000_000_000)
    make_partner("talisman", owed=7_654_321)
    return propose_batch(actor=make_user("maker", "propose_batch"), now=NOW)


def urls_of(batch: Batch) -> dict[str, str]:
    names = ("approve", "approve_confirm", "cancel", "cancel_confirm", "call_data")
    urls = {name: reverse(f"admin:payments_batch_{name}", args=[batch.pk]) for name in names}
    for name in ("propose", "propose_confirm", "changelist"):
        urls[name] = reverse(f"admin:payments_batch_{name}")
    return urls | {
        "page": f"{LIST}{batch.pk}/change/",
        "payouts": "/admin/payments/payout/",
        "payout": f"/admin/payments/payout/{batch.payouts.first().pk}/change/",  # type: ignore[union-attr]
        "add": f"{LIST}add/",
        "delete": f"{LIST}{batch.pk}/delete/",
        "payout_add": "/admin/payments/payout/add/",
    }


def test_ch8_the_page_says_where_payouts_are_not_made() -> None:
    make_partner("cb", owed=5_000_000_000)
    tamper("UPDATE chain_network SET family = 'SOLANA', ss58_prefix = NULL")
    page = text_of(login(member("operator")).get(f"{LIST}propose/"))
    assert "payouts are made on Bittensor only" in page
    assert "Propose this batch" not in page


def test_py1_from_preview_to_export() -> None:
    first = make_partner("cb", name="Creative Builds", owed=5_000_000_000)
    make_partner("small", name="Small Fry", owed=10, minimum=1_000_000)
    operator, approver = login(member("operator")), login(member("approver"))

    preview = operator.get(f"{LIST}propose/")
    assert "5.000000000" in text_of(preview)
    assert paid_to(first) in text_of(preview)
    assert "Small Fry" in text_of(preview)
    assert "BELOW_MINIMUM" in text_of(preview)
    assert not Batch.objects.exists()
    shown = preview.context["preview"]
    form = {"through": shown.through.key, "content_hash": shown.content_hash}
    operator.post(f"{LIST}propose/confirm/", form)
    batch = Batch.objects.get()
    assert (batch.status, batch.content_hash) == ("PROPOSED", shown.content_hash)

    page = text_of(approver.get(f"{LIST}{batch.pk}/approve/"))
    for shown_text in (
        "Approve 1 payout",
        paid_to(first),
        batch.content_hash,
        "5.000000000",
        "operator",
    ):
        assert shown_text in page
    answer = approver.post(
        f"{LIST}{batch.pk}/approve/confirm/", {"content_hash": batch.content_hash}, follow=True
    )
    assert "is approved and its amounts are reserved" in text_of(answer)
    batch.refresh_from_db()
    assert batch.status == "APPROVED"
    assert "Export call data" in text_of(approver.get(f"{LIST}{batch.pk}/change/"))


def test_f5_a_form_sent_twice_counts_once() -> None:
    make_partner("cb", owed=5_000)
    operator, approver = login(member("operator")), login(member("approver"))
    shown = operator.get(f"{LIST}propose/").context["preview"]
    form = {"through": shown.through.key, "content_hash": shown.content_hash}
    operator.post(f"{LIST}propose/confirm/", form)
    again = operator.post(f"{LIST}propose/confirm/", form, follow=True)
    assert "A proposed batch already pays this partner" in text_of(again)
    batch = Batch.objects.get()
    url = f"{LIST}{batch.pk}/approve/confirm/"
    approver.post(url, {"content_hash": batch.content_hash})
    again = approver.post(url, {"content_hash": batch.content_hash}, follow=True)
    assert "is approved already. Nothing was done" in text_of(again)
    assert Payout.objects.count() == Entry.objects.filter(kind="RESERVE").count() == 1


def test_threat5_the_proposer_is_told_why_not(batch: Batch) -> None:
    root = make_user("root", is_superuser=True)
    Batch.objects.all()
    make_partner("mine", owed=9_000)
    own = propose_batch(actor=root, now=NOW)
    client = login(root)
    page = text_of(client.get(f"{LIST}{own.pk}/approve/"))
    assert "You proposed this batch" in page
    assert "approve/confirm" not in page
    answer = client.post(f"{LIST}{own.pk}/approve/confirm/", {"content_hash": own.content_hash}, follow=True)
    assert "A second person with the right to approve must look at it" in text_of(answer)
    own.refresh_from_db()
    assert own.status == "PROPOSED"


# For each page and role the status of the answer to its own method; "redirect to the login page" is 302 too, so
# the anonymous row also shows that nobody gets past it.
ROLES = ("anonymous", "nobody", "viewer", "operator", "approver", "administrator")
MATRIX = {
    "changelist": (302, 403, 200, 200, 200, 200),
    "page": (302, 403, 200, 200, 200, 200),
    "payouts": (302, 403, 200, 200, 200, 200),
    "payout": (302, 403, 200, 200, 200, 200),
    "add": (302, 403, 403, 403, 403, 403),
    "delete": (302, 403, 403, 403, 403, 403),
    "payout_add": (302, 403, 403, 403, 403, 403),
    "propose": (302, 403, 403, 200, 403, 403),
    "propose_confirm": (302, 403, 403, 302, 403, 403),
    "approve": (302, 403, 403, 403, 200, 403),
    "approve_confirm": (302, 403, 403, 403, 302, 403),
    "cancel": (302, 403, 403, 200, 200, 403),
    "cancel_confirm": (302, 403, 403, 302, 302, 403),
    "call_data": (302, 403, 403, 302, 302, 403),
}


@pytest.mark.parametrize("role", ROLES)
def test_threat5_roles_matrix(batch: Batch, role: str) -> None:
    client = Client()
    if role != "anonymous":
        client.force_login(make_user("nobody") if role == "nobody" else member(role))
    answers = {}
    for name, url in urls_of(batch).items():
        method = client.post if name.endswith("_confirm") else client.get
        answers[name] = method(url).status_code
    column = ROLES.index(role)
    assert answers == {name: statuses[column] for name, statuses in MATRIX.items()}
    # Nothing but the forms as they are sent from the pages decides anything.
    batch.refresh_from_db()
    assert batch.status == "PROPOSED"
    assert Batch.objects.count() == 1


def test_threat5_no_group_both_proposes_and_approves() -> None:
    for group in Group.objects.all():
        held = set(group.permissions.values_list("codename", flat=True))
        assert not {"propose_batch", "approve_batch"} <= held, group.name
        assert not held & {"add_batch", "change_batch", "delete_batch", "add_payout", "change_payout"}, (
            group.name
        )


def test_threat4_a_get_on_what_changes_state_is_405(batch: Batch) -> None:
    client = login(make_user("root", is_superuser=True))
    for name in ("propose_confirm", "approve_confirm", "cancel_confirm"):
        assert client.get(urls_of(batch)[name]).status_code == 405, name
    for name in ("propose", "approve", "cancel", "call_data"):
        assert client.post(urls_of(batch)[name]).status_code == 405, name
    batch.refresh_from_db()
    assert batch.status == "PROPOSED"


def test_threat4_a_post_without_the_csrf_token_is_403(batch: Batch) -> None:
    client = login(make_user("root", is_superuser=True), enforce_csrf_checks=True)
    form = {"content_hash": batch.content_hash, "reason": "x", "through": batch.through.key}
    for name in ("propose_confirm", "approve_confirm", "cancel_confirm"):
        assert client.post(urls_of(batch)[name], form).status_code == 403, name
    batch.refresh_from_db()
    assert batch.status == "PROPOSED"


def test_p2_approving_another_hash_than_shown_is_refused(batch: Batch) -> None:
    client = login(member("approver"))
    answer = client.post(f"{LIST}{batch.pk}/approve/confirm/", {"content_hash": "0" * 64}, follow=True)
    assert "its hash differs" in text_of(answer)
    answer = client.post(f"{LIST}{batch.pk}/approve/confirm/", {}, follow=True)
    assert "its hash differs" in text_of(answer)
    batch.refresh_from_db()
    assert batch.status == "PROPOSED"


def test_threat12_the_page_names_what_changed_and_offers_nothing(batch: Batch) -> None:
    partner = batch.payouts.first().partner  # type: ignore[union-attr]
    with without_triggers():
        # As a request cancels the batch, only damage leaves it open.
        sql(
            "UPDATE partners_payoutaddress SET address = %s WHERE partner_id = %s", address_of(99), partner.pk
        )
    page = text_of(login(member("approver")).get(f"{LIST}{batch.pk}/approve/"))
    assert "The payout address of CB changed from" in page
    assert "approve/confirm" not in page


def test_py1_cancelling_takes_a_reason_and_after_approval_a_look_at_the_chain(batch: Batch) -> None:
    approver = member("approver")
    approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=approver, now=NOW)
    client = login(approver)
    url = f"{LIST}{batch.pk}/cancel/confirm/"
    assert "Look on the chain first" in text_of(client.post(url, {"reason": "Late"}, follow=True))
    assert "Give a reason" in text_of(client.post(url, {"not_sent": "yes", "reason": " "}, follow=True))
    batch.refresh_from_db()
    assert batch.status == "APPROVED"
    client.post(url, {"not_sent": "yes", "reason": "Late"})
    batch.refresh_from_db()
    assert (batch.status, batch.cancel_reason) == ("CANCELLED", "Late")
    assert "cancelled it: Late" in text_of(client.get(f"{LIST}{batch.pk}/change/"))


def test_threat16_names_and_reasons_are_text(batch: Batch) -> None:
    partner = batch.payouts.first().partner  # type: ignore[union-attr]
    partner.name = "<script>alert(1)</script>"
    partner.save()
    client = login(make_user("root", is_superuser=True))
    client.post(f"{LIST}{batch.pk}/cancel/confirm/", {"reason": "<img src=x onerror=alert(1)>"})
    for name in ("page", "changelist", "payouts", "propose", "cancel", "approve"):
        body = client.get(urls_of(batch)[name]).content
        assert b"<script>alert(1)" not in body, name
        assert b"<img src=x" not in body, name


def test_py1_the_list_action_leads_to_one_batch(batch: Batch) -> None:
    client = login(member("approver"))
    form = {"action": "approve_selected", "_selected_action": [batch.pk]}
    assert client.post(LIST, form).headers["Location"] == f"{LIST}{batch.pk}/approve/"
    form = {"action": "approve_selected", "_selected_action": [batch.pk]}
    operator = login(member("operator"))
    operator.post(LIST, form)
    batch.refresh_from_db()
    assert batch.status == "PROPOSED"


def test_py1_the_preview_says_when_there_is_nothing() -> None:
    client = login(member("operator"))
    assert "No period is closed yet" in text_of(client.get(f"{LIST}propose/"))
    make_period()
    make_partner("idle", name="Idle")
    page = text_of(client.get(f"{LIST}propose/"))
    assert "Nobody can be paid now" in page
    assert "Nothing is owed that is not already reserved" in page


def test_pages_take_no_more_queries_for_more_payouts(
    batch: Batch, django_assert_max_num_queries: object
) -> None:
    for number in range(20):
        make_partner(f"p{number}", owed=1_000 + number)
    many = propose_batch(actor=make_user("other", "propose_batch"), now=NOW)
    assert many.payout_count == 20
    client = login(make_user("root", is_superuser=True))
    for name in ("page", "changelist", "payouts", "propose", "approve"):
        with django_assert_max_num_queries(25):  # type: ignore[operator]
            assert client.get(urls_of(many)[name]).status_code == 200, name
