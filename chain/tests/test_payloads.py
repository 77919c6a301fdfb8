"""Raw answers are kept once, never changed, given out whole and proved (CH2)."""

from __future__ import annotations

import hashlib
import zlib

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import Error, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from chain.models import Block, Payload
from chain.payloads import DamagedPayload, damaged_payloads, keep_payload, payload_bytes
from chain.queries import fact_lines
from chain.tests.factories import make_blocks
from tests.guards import tamper

pytestmark = pytest.mark.django_db

EVENTS = bytes(range(256)) * 40


def block_with_payload(body: bytes = EVENTS) -> Block:
    (block,) = make_blocks(7, 7, provider="wss://node.example", payload_id=keep_payload(body))
    return block


def test_ch2_equal_bytes_are_kept_once_under_their_digest() -> None:
    digest = keep_payload(EVENTS)
    assert digest == hashlib.sha256(EVENTS).hexdigest() == keep_payload(EVENTS)
    row = Payload.objects.get()
    assert (row.sha256, row.size) == (digest, len(EVENTS))
    assert len(bytes(row.body)) < len(EVENTS)
    assert payload_bytes(row) == EVENTS
    assert keep_payload(b"other") != digest
    assert Payload.objects.count() == 2


def test_ch2_nothing_is_not_kept() -> None:
    with pytest.raises(ValueError, match="empty"):
        keep_payload(b"")
    assert not Payload.objects.exists()


@given(body=st.binary(min_size=1, max_size=2_000), other=st.binary(min_size=1, max_size=2_000))
def test_ch2_only_the_bytes_that_were_kept_are_given_out(body: bytes, other: bytes) -> None:
    row = Payload(sha256=hashlib.sha256(body).hexdigest(), size=len(body), body=zlib.compress(body, 9))
    assert payload_bytes(row) == body
    row.body = zlib.compress(other, 9)
    if other != body:
        with pytest.raises(DamagedPayload, match="other bytes"):
            payload_bytes(row)


def test_ch2_a_body_that_unpacks_to_gigabytes_is_refused_early() -> None:
    row = Payload(sha256="ab" * 32, size=5, body=zlib.compress(bytes(50 << 20), 9))
    with pytest.raises(DamagedPayload, match="other bytes"):
        payload_bytes(row)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE chain_payload SET body = 'x'",
        "UPDATE chain_payload SET size = size + 1",
        "DELETE FROM chain_payload",
        "TRUNCATE chain_payload CASCADE",
    ],
)
def test_ch2_kept_bytes_cannot_be_changed_or_deleted(sql: str) -> None:
    keep_payload(EVENTS)
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize("row", [("short", 1), ("AB" * 32, 1), ("ab" * 32, 0)])
def test_ch2_the_database_refuses_what_is_no_digest_or_empty(row: tuple[str, int]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO chain_payload (sha256, size, body) VALUES (%s, %s, 'x')", row)


def test_ch2_a_payload_that_a_block_names_must_be_there() -> None:
    with pytest.raises(IntegrityError, match="payload_id"), transaction.atomic():  # noqa: PT012
        make_blocks(7, 7, payload_id="ab" * 32)
        connection.check_constraints()


def test_ch2_damage_is_found_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    keep_payload(EVENTS)
    call_command("check_payloads")
    assert "All 1 payloads are the bytes that were kept" in capsys.readouterr().out
    good, bad = keep_payload(b"good"), keep_payload(b"bad")
    tamper("UPDATE chain_payload SET body = %s WHERE sha256 = %s", zlib.compress(b"worse"), bad)
    (found,) = damaged_payloads()
    assert bad in found
    assert good not in found
    with pytest.raises(CommandError, match=f"1 payloads are damaged:\npayload {bad}"):
        call_command("check_payloads")


def test_ch2_facts_name_the_payload_and_not_who_gave_it() -> None:
    block = block_with_payload()
    lines = list(fact_lines())
    assert any(str(block.payload_id) in line for line in lines)
    assert not any("node.example" in line for line in lines)


def test_ch2_the_raw_events_of_a_block_are_a_download_for_who_may_see_blocks() -> None:
    block = block_with_payload()
    url = reverse("admin:chain_block_payload", args=[block.pk])
    client = Client()
    user = User.objects.create_user("viewer", is_staff=True)
    client.force_login(user)
    assert client.get(url).status_code == 403
    user.groups.add(Group.objects.get(name="viewer"))
    response = client.get(url)
    assert (response.status_code, response.content) == (200, EVENTS)
    assert response["Content-Disposition"] == 'attachment; filename="block-7-events.scale"'
    assert client.get(reverse("admin:chain_block_payload", args=[8])).status_code == 404
    said = client.get(reverse("admin:chain_block_change", args=[7])).content.decode()
    assert url in said
    assert "wss://node.example" in said
    assert "Download 10,240 bytes" in said


def test_ch2_a_block_without_anything_of_ours_says_so() -> None:
    make_blocks(7, 7)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    said = client.get(reverse("admin:chain_block_change", args=[7])).content.decode()
    assert "Not kept: the block touched nothing of ours" in said
    assert client.get(reverse("admin:chain_block_payload", args=[7])).status_code == 404
