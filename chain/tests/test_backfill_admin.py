"""Backfills and gaps in the admin: who may steer, what a page says before it is done, what a POST does (UI6, UI8, CH6)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chain.models import Backfill, Gap
from chain.services import now_utc
from chain.tests.factories import make_backfill, make_blocks, make_gap
from chain.tests.replay_node import Play, serving

pytestmark = pytest.mark.django_db


def signed_in(group: str) -> Client:
    user = User.objects.create_user(group or "stranger", is_staff=True)
    user.groups.set(Group.objects.filter(name=group))
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status, url
    return answer.content.decode()


def steer(backfill: Backfill, step: str, *, confirm: bool = False) -> str:
    name = "admin:chain_backfill_steer" + ("_confirm" if confirm else "")
    return reverse(name, args=[backfill.pk, step])


def page(backfill: Backfill) -> str:
    return reverse("admin:chain_backfill_change", args=[backfill.pk])


def test_ui6_an_operator_pauses_resumes_and_cancels_after_a_page_that_says_what_happens() -> None:
    client = signed_in("operator")
    make_blocks(1, 50)
    backfill = make_backfill(1, 250, "RUNNING")
    Backfill.objects.update(seen_at=now_utc())
    shown = text(client, page(backfill))
    assert "50 of 250 blocks stored (20 %)" in shown
    assert 'aria-valuenow="20"' in shown
    assert steer(backfill, "pause") in shown
    assert steer(backfill, "resume") not in shown
    asked = text(client, steer(backfill, "pause"))
    assert "Pause the backfill of blocks 1 to 250" in asked
    assert "Workers put down what they are reading" in asked
    assert Backfill.objects.get().state == "RUNNING"
    for step, state in (("pause", "PAUSED"), ("resume", "RUNNING"), ("cancel", "CANCELLED")):
        answer = client.post(steer(backfill, step, confirm=True), follow=True)
        assert answer.redirect_chain == [(page(backfill), 302)]
        assert Backfill.objects.get().state == state
    assert "is cancelled." in answer.content.decode()
    assert "It is cancelled: this cannot be done now." in text(client, steer(backfill, "pause"))
    answer = client.post(steer(backfill, "pause", confirm=True), follow=True)
    assert "it cannot be paused now" in answer.content.decode()


def test_ui6_a_backfill_whose_workers_are_silent_can_be_resumed() -> None:
    client = signed_in("operator")
    backfill = make_backfill(1, 250, "RUNNING")
    shown = text(client, page(backfill))
    assert "No worker was heard of for longer than 150 s." in shown
    assert steer(backfill, "resume") in shown


@pytest.mark.parametrize("group", ["viewer", "approver", ""])
def test_ui6_without_the_right_nothing_is_offered_and_nothing_done(group: str) -> None:
    client = signed_in(group)
    backfill = make_backfill(1, 250, "RUNNING")
    gap = make_gap(10, 12)
    before = list(Backfill.objects.values())
    if group:
        assert "/pause/" not in text(client, page(backfill))
        assert reverse("admin:chain_gap_retry") not in text(client, gap_page(gap))
    for step in ("pause", "resume", "cancel"):
        assert client.get(steer(backfill, step)).status_code == 403
        assert client.post(steer(backfill, step, confirm=True)).status_code == 403
    assert client.get(reverse("admin:chain_gap_retry")).status_code == 403
    assert client.post(reverse("admin:chain_gap_retry_confirm")).status_code == 403
    assert list(Backfill.objects.values()) == before
    assert client.get(steer(backfill, "pause", confirm=True)).status_code in (403, 405)


def test_ui8_what_moves_is_told_anew_until_it_is_final() -> None:
    make_blocks(1, 50)
    backfill = make_backfill(1, 250, "RUNNING")
    now, meter = (reverse(f"admin:chain_backfill_{name}", args=[backfill.pk]) for name in ("now", "meter"))
    client = signed_in("viewer")
    assert f'data-live="{now}"' in text(client, page(backfill))
    assert f'data-live="{meter}"' in text(client, reverse("admin:chain_backfill_changelist"))
    assert "50 of 250" in text(client, meter)
    assert "X-Live" not in client.get(now).headers
    make_blocks(51, 250)
    Backfill.objects.update(state="DONE", finished_at=datetime(2025, 1, 1, tzinfo=UTC))
    assert "250 of 250 blocks stored (100 %)" in text(client, now)
    assert client.get(now).headers["X-Live"] == client.get(meter).headers["X-Live"] == "final"
    assert "data-live" not in text(client, page(backfill))
    stranger = signed_in("")
    assert [stranger.get(url).status_code for url in (now, meter)] == [403, 403]


@pytest.mark.parametrize("chunk_blocks", [1, 100])
def test_ui8_a_page_asks_as_many_queries_for_many_chunks_as_for_few(chunk_blocks: int) -> None:
    make_blocks(1, 10)
    backfill = make_backfill(1, 1_200, "RUNNING", chunk_blocks=chunk_blocks)
    client = signed_in("viewer")
    with CaptureQueriesContext(connection) as asked:
        shown = text(client, page(backfill))
    assert len(asked) <= 20
    assert ("each square is 3 chunks" in shown) is (chunk_blocks == 1)
    assert ("Page 1 of 48" in shown) is (chunk_blocks == 1)


# --- gaps -----------------------------------------------------------------------------------------------


def gap_page(gap: Gap) -> str:
    return reverse("admin:chain_gap_change", args=[gap.pk])


def give_up(gap: Gap, *, confirm: bool = False) -> str:
    return reverse("admin:chain_gap_give_up" + ("_confirm" if confirm else ""), args=[gap.pk])


def test_ch6_an_approver_accepts_blocks_as_lost_in_their_own_name() -> None:
    make_blocks(1, 9)
    gap = make_gap(10, 21)
    client = signed_in("approver")
    assert give_up(gap) in text(client, gap_page(gap))
    asked = text(client, give_up(gap))
    assert "Accepting in your name, approver" in asked
    assert "This cannot be taken back" in asked
    for sent, said in [
        ({"last": "12", "reason": "gone"}, "at least 10 characters"),
        ({"last": "99", "reason": "No node has them."}, "block 99 is not in this gap"),
        ({"last": "ten", "reason": "No node has them."}, "is not a block number"),
        ({"reason": "No node has them."}, "is not a block number"),
    ]:
        answer = client.post(give_up(gap, confirm=True), sent, follow=True)
        assert said in answer.content.decode()
        assert not Gap.objects.filter(state="UNRECOVERABLE").exists()
    answer = client.post(
        give_up(gap, confirm=True), {"last": "12", "reason": "No node has them."}, follow=True
    )
    lost = Gap.objects.get(state="UNRECOVERABLE")
    assert answer.redirect_chain == [(gap_page(lost), 302)]
    shown = answer.content.decode()
    assert "Accepted as lost, in your name: blocks 10 to 12." in shown
    assert "No node has them." in shown
    assert "Nothing: a person accepted that these blocks are lost." in shown
    assert give_up(lost) not in shown
    assert "There is nothing to accept" in text(client, give_up(lost))
    listed = reverse("admin:chain_gap_changelist") + "?status=unrecoverable"
    assert list(client.get(listed).context["cl"].result_list) == [lost]


def test_ch6_an_amount_the_chain_leaves_open_is_accepted_as_it_is() -> None:
    make_blocks(1, 9)
    gaps = [make_gap(5, 6, "UNACCOUNTED") for _ in range(2)]
    client = signed_in("approver")
    shown = text(client, gap_page(gaps[0]))
    assert "Accept as it is" in shown
    assert reverse("admin:chain_block_change", args=[5]) in shown
    asked = text(client, give_up(gaps[0]))
    assert "Accept what the chain leaves open of block 5" in asked
    assert "the amounts of these blocks count as they are stored" in asked
    assert "Last lost block" not in asked
    for gap in gaps:
        sent = {"last": "5", "reason": "Half a rao, to our own loss."}
        shown = client.post(give_up(gap, confirm=True), sent, follow=True).content.decode()
        assert "Accepted as stored, in your name: block 5." in shown
        assert "Accepted as it is: days over these blocks close, and say so" in shown
        assert "Nothing: a person accepted the amounts as they are." in shown


@pytest.mark.parametrize("group", ["viewer", "operator", ""])
def test_ch6_without_the_right_nobody_accepts(group: str) -> None:
    make_blocks(1, 9)
    gap = make_gap(10, 21)
    client = signed_in(group)
    assert client.get(give_up(gap)).status_code == 403
    sent = {"last": "12", "reason": "No node has them."}
    assert client.post(give_up(gap, confirm=True), sent).status_code == 403
    assert Gap.objects.filter(state="OPEN").count() == Gap.objects.count() == 1


def test_ch6_an_operator_has_the_open_gaps_read_again(play: Play, hotkeys: list[str]) -> None:
    from chain.services import ingest
    from chain.tests.replay_node import PlaySource

    ingest(PlaySource(play), first=2, last=20, hotkeys=hotkeys)
    gap = make_gap(21, 41)
    client = signed_in("operator")
    retry, confirm = reverse("admin:chain_gap_retry"), reverse("admin:chain_gap_retry_confirm")
    assert retry in text(client, gap_page(gap))
    with override_settings(RAKEBACK_NODE_URL=""):
        assert "RAKEBACK_NODE_URL is not set" in text(client, retry)
        client.post(confirm)
        assert not Backfill.objects.exists()
    with override_settings(RAKEBACK_NODE_URL="ws://127.0.0.1:1"):
        answer = client.post(confirm, follow=True)
        assert "Nothing was asked for: no node gave an answer" in answer.content.decode()
    with serving(play) as url, override_settings(RAKEBACK_NODE_URL=url):
        assert "Read missing, blocks 21 to 40: no answer for block" in text(client, retry)
        answer = client.post(confirm, follow=True)
    backfill = Backfill.objects.get()
    assert answer.redirect_chain == [(page(backfill), 302)]
    assert (backfill.first_block, backfill.last_block) == (21, 40)
    assert str(backfill.asked_by) == "operator"


def test_ch6_a_gap_of_the_check_has_no_run_and_says_so() -> None:
    gap: Any = Gap.objects.create(
        kind="MISSING_BLOCKS", blocks=(10, 12), reason="missing", detected_at=datetime(2025, 1, 1, tzinfo=UTC)
    )
    assert "the check for gaps" in text(signed_in("viewer"), gap_page(gap))
