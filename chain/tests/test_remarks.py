"""Remarks and tags as they are stored and shown: append-only, fitting, findable, and safe to look at (PA7)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from chain.display import text_html
from chain.models import Block, Remark, Tag
from chain.services import ingest_segment
from chain.tagging.remark_text import shown
from chain.tagging.tags import Reason, text_hash
from chain.tests.factories import (
    key,
    make_blocks,
    make_everything,
    make_remark,
    make_stake,
    make_stake_event,
    make_tag,
)
from chain.tests.replay_node import Play
from chain.tests.test_admin import admin, list_url, page_url, rows_of, text_of
from tests.guards import refused, tamper, without_triggers

__all__ = ["admin"]

# --- a text that people can look at ----------------------------------------------------------------------


def plain(data: bytes) -> str:
    return "".join(f"[{piece.text}]" if piece.hidden else piece.text for piece in shown(data).pieces)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"talisman-bittensor", "talisman-bittensor"),
        ("Zürich ✓ 東京".encode(), "Zürich ✓ 東京"),
        (b"\xff\xfe", "0xfffe"),
        (b"", ""),
        (b"a\x00b\nc\x1b[2J", "a[U+0000]b[U+000A]c[U+001B][2J"),
        ("\u202egpj\u202c.exe\u2066\u200e".encode(), "[U+202E]gpj[U+202C].exe[U+2066][U+200E]"),
        ("a\u200bb\u00adc\ufeffd\u2060\U000e0041".encode(), "a[U+200B]b[U+00AD]c[U+FEFF]d[U+2060][U+E0041]"),
        ("x\ufe0fy\u034f\u3164z\u2800".encode(), "x[U+FE0F]y[U+034F][U+3164]z[U+2800]"),
        (b" a  b ", "[U+0020]a [U+0020]b[U+0020]"),
        ("a\u00a0b".encode(), "a[U+00A0]b"),
        ("Z\u0301\u0301\u0301\u0301".encode(), "Z\u0301\u0301[U+0301][U+0301]"),
        ("\ue000\U0010ffff".encode(), "[U+E000][U+10FFFF]"),
    ],
)
def test_pa7_a_text_is_shown_with_all_it_hides(data: bytes, seen: str) -> None:
    assert plain(data) == seen


def test_pa7_a_text_is_never_html_and_never_leaves_its_place() -> None:
    said = text_html(b'<img src=x onerror="alert(1)">&copy;')
    assert "<img" not in said
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;copy;" in said
    assert 'data-copy="&lt;img' in said
    assert said.startswith('<span class="rb-text"><bdi>')
    hidden = text_html("\u202eevil".encode())
    assert "\u202e" not in hidden
    assert '<code class="rb-hidden" title="A character that cannot be seen">U+202E</code>evil' in hidden
    assert 'data-copy="0xe280ae6576696c"' in hidden, "what cannot be seen is copied as bytes"


def test_pa7_a_long_text_is_cut_and_copied_whole() -> None:
    said = text_html(b"y" * 300)
    assert f"<bdi>{'y' * 60}</bdi>…" in said
    assert f'data-copy="{"y" * 300}"' in said
    assert "…" not in text_html(b"y" * 60)
    assert f"<bdi>{'y' * 300}</bdi>" in text_html(b"y" * 300, characters=None)
    assert text_html(b"\x00" * 61).count("U+0000") == 60


@given(st.binary(max_size=80))
def test_pa7_what_is_copied_are_the_bytes_and_what_is_shown_can_be_seen(data: bytes) -> None:
    text = shown(data)
    is_hex = not text.is_text or any(piece.hidden for piece in text.pieces)
    assert text.exact == ("0x" + data.hex() if is_hex else data.decode())
    assert all(character.isprintable() for piece in text.pieces for character in piece.text)


@given(st.text(max_size=40))
def test_pa7_a_cut_text_is_the_beginning_of_the_whole(written: str) -> None:
    text = shown(written.encode("utf-8", "replace"))
    length = sum(1 if piece.hidden else len(piece.text) for piece in text.pieces)
    for count in (0, 1, 7, length, length + 1):
        kept = text.cut(count)
        assert sum(1 if piece.hidden else len(piece.text) for piece in kept) == min(count, length)
        assert "".join(p.text for p in text.pieces).startswith("".join(p.text for p in kept))


# --- what the database refuses ---------------------------------------------------------------------------


def insert_tag(**changes: Any) -> None:
    row: dict[str, Any] = {"accepted": True, "reason": "SAME_SENDER", "via_delegate": False} | changes
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO chain_tag ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
            list(row.values()),
        )


@pytest.mark.django_db
def test_pa7_a_tag_names_a_stake_exactly_when_it_is_accepted() -> None:
    make_blocks(1, 1)
    remark, stake = make_remark(1, 2), make_stake(1, 1)
    of = {"block_id": 1, "remark_id": remark.pk}
    with refused("tag_accepted_names_a_stake"):
        insert_tag(**of, stake_event_id=None)
    with refused("tag_accepted_names_a_stake"):
        insert_tag(**of, stake_event_id=stake.pk, accepted=False, reason="AMBIGUOUS")
    for reason in ("AMBIGUOUS", "NONSENSE"):
        with refused("tag_reason_fits"):
            insert_tag(**of, stake_event_id=stake.pk, reason=reason)
    with refused("tag_reason_fits"):
        insert_tag(**of, stake_event_id=None, accepted=False)
    insert_tag(**of, stake_event_id=stake.pk)
    assert Tag.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("reason", list(Reason))
def test_pa7_every_reason_can_be_stored(reason: Reason) -> None:
    make_blocks(1, 1)
    accepted = reason in ("SAME_SENDER", "BY_ORDER", "BY_DELEGATE")
    tag = make_tag(make_remark(1, 2), make_stake(1, 1) if accepted else None, reason)
    assert tag.sentence.endswith(".")


@pytest.mark.django_db
def test_pa7_a_stake_is_tagged_once_and_a_remark_refused_once() -> None:
    make_blocks(1, 1)
    first, second, stake = make_remark(1, 2), make_remark(1, 3), make_stake(1, 1)
    make_tag(first, stake)
    with refused("chain_tag_stake_event_id_key"):
        insert_tag(block_id=1, remark_id=second.pk, stake_event_id=stake.pk)
    make_tag(second, None)
    with refused("tag_refused_once"):
        insert_tag(block_id=1, remark_id=second.pk, accepted=False, reason="AMBIGUOUS")


@pytest.mark.django_db
def test_pa7_a_tag_of_another_block_extrinsic_or_coldkey_is_refused() -> None:
    make_blocks(1, 2)
    remark = make_remark(1, 5)
    elsewhere = make_stake(1, 2)
    tamper("UPDATE chain_stakeevent SET extrinsic_index = 2 WHERE id = %s", elsewhere.pk)
    for changes in (
        {"block_id": 2, "stake_event_id": make_stake(2, 1).pk},
        {"block_id": 1, "stake_event_id": make_stake(2, 2).pk},
        {"block_id": 1, "stake_event_id": elsewhere.pk},
        {"block_id": 1, "stake_event_id": make_stake_event(1, 3).pk},
        {"block_id": 1, "stake_event_id": make_stake(1, 4, key("another")).pk},
        {"block_id": 1, "stake_event_id": make_stake(1, 6).pk, "via_delegate": True},
    ):
        with refused("tag_fits"):
            insert_tag(remark_id=remark.pk, **changes)
    make_tag(remark, make_stake(1, 7, key("another")), "BY_DELEGATE", via_delegate=True)


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["chain_remark", "chain_tag"])
@pytest.mark.parametrize("change", ["UPDATE {0} SET id = id", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_pa7_remarks_and_tags_are_append_only(table: str, change: str) -> None:
    make_blocks(1, 1)
    make_tag(make_remark(1, 2), make_stake(1, 1))
    connection.check_constraints()
    with refused("append_only"), connection.cursor() as cursor:
        cursor.execute(change.format(table))


@pytest.mark.django_db
def test_pa7_a_kept_text_has_its_length() -> None:
    make_blocks(1, 1)
    with refused("remark_text_has_length"):
        make_remark(1, 1, b"x", byte_count=None)


@pytest.mark.django_db
def test_pa7_ingestion_stores_the_tags_of_a_block(segment: Any, play: Play) -> None:
    ingest_segment(segment, last=21)
    found = Tag.objects.order_by("id").values_list(
        "block_id", "stake_event__coldkey", "remark__sender", "reason"
    )
    assert list(found) == [
        (20, play.address(name), play.address(name), "SAME_SENDER") for name in ("tali_1", "tali_2")
    ]
    remark = Remark.objects.first()
    assert remark is not None
    assert (remark.text_hash, remark.byte_count) == (text_hash(b"talisman-bittensor"), 18)


@pytest.mark.django_db
def test_pa7_remarks_stored_before_get_their_hash_and_length() -> None:
    make_blocks(1, 1)
    make_remark(1, 1, b"\xff", text_hash="", byte_count=0)
    # As before the migration, which makes the trigger after it filled the columns.
    with without_triggers():
        import_module("chain.migrations.0006_tags").fill_hashes(apps, None)
    remark = Remark.objects.get()
    assert (bytes(remark.remark or b""), remark.text_hash, remark.byte_count) == (
        b"\xff",
        text_hash(b"\xff"),
        1,
    )


# --- pages ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_pa7_a_remark_says_which_stake_it_tags_and_the_stake_who_tagged_it(admin: Client) -> None:
    make_blocks(1, 1)
    remark, stake = make_remark(1, 2), make_stake(1, 1)
    make_tag(remark, stake)
    said = text_of(admin, page_url(remark))
    assert "Outcome Tagged" in said
    assert "Its sender staked in the same extrinsic." in said
    assert "5.000000000 TAO" in said
    page = admin.get(page_url(stake)).content.decode()
    assert "talisman-bittensor" in page
    assert page_url(remark) in page
    assert "No remark tags it" in text_of(admin, page_url(make_stake(1, 3)))
    assert "talisman-bittensor" in text_of(admin, page_url(Block.objects.get()))


@pytest.mark.django_db
@pytest.mark.parametrize("reason", sorted(set(Reason) - {"SAME_SENDER", "BY_ORDER", "BY_DELEGATE"}))
def test_pa7_a_refused_remark_says_why_in_a_sentence(admin: Client, reason: Reason) -> None:
    make_blocks(1, 1)
    tag = make_tag(make_remark(1, 2), None, reason)
    for url in (page_url(tag.remark), list_url(Remark)):
        said = text_of(admin, url).replace("&#x27;", "'")
        assert "Refused" in said
        assert tag.sentence in said


@pytest.mark.django_db
def test_pa7_texts_that_are_not_there_are_said_to_be_so(admin: Client) -> None:
    make_blocks(1, 1)
    unknown = make_remark(1, 1, None, text_hash=text_hash(b"?"))
    too_long = make_remark(1, 2, None, text_hash=text_hash(b"!"), byte_count=5_000)
    assert "Unknown: only its hash is on chain" in text_of(admin, page_url(unknown))
    assert "Not kept: 5,000 bytes, more than 4,096" in text_of(admin, page_url(too_long))
    assert "did not judge remarks yet" in text_of(admin, page_url(unknown))


@pytest.mark.django_db
def test_pa7_remarks_are_found_by_text_bytes_hash_sender_and_block(admin: Client) -> None:
    make_blocks(1, 12)
    talisman, binary = make_remark(1, 1), make_remark(2, 1, b"\xff\x00\x01")
    digits, percent = make_remark(3, 1, b"ref 12"), make_remark(4, 1, b"100 %_", sender=key("percy"))
    twelfth = make_remark(12, 1, b"")
    for wanted, found in [
        ("talis", [talisman]),
        ("Talis", []),
        ("0x0001", [binary]),
        ("0x0", []),
        (talisman.text_hash, [talisman]),
        (talisman.text_hash.upper().replace("0X", "0x"), [talisman]),
        (key("percy")[:20], [percent]),
        ("%25_", [percent]),
        ("12", [twelfth, digits]),
        ("no such text", []),
    ]:
        assert rows_of(admin, f"{list_url(Remark)}?q={wanted}") == found, wanted


@pytest.mark.django_db
def test_pa7_remarks_are_filtered_by_outcome(admin: Client) -> None:
    make_blocks(1, 1)
    tagged, refused_one, unjudged = (make_remark(1, index) for index in (11, 12, 13))
    make_tag(tagged, make_stake(1, 1))
    make_tag(tagged, make_stake(1, 2))
    make_tag(refused_one, None)
    for value, rows in [("tagged", [tagged]), ("refused", [refused_one]), ("unjudged", [unjudged])]:
        assert rows_of(admin, f"{list_url(Remark)}?outcome={value}") == rows
    assert "5.000000000 TAO and 1 more" in text_of(admin, f"{list_url(Remark)}?outcome=tagged")


@pytest.mark.django_db
@pytest.mark.parametrize("text", [b"<script>alert(1)</script>", "\u202eevil".encode(), b"\x00\x1b"])
def test_pa7_a_hostile_text_harms_no_page(admin: Client, text: bytes) -> None:
    make_blocks(1, 1)
    remark, stake = make_remark(1, 2, text), make_stake(1, 1)
    make_tag(remark, stake)
    for url in (list_url(Remark), page_url(remark), page_url(stake), page_url(Block.objects.get())):
        page = admin.get(url).content.decode()
        assert "<script>alert" not in page
        assert not {"\u202e", "\x00", "\x1b"} & set(page)


@pytest.mark.django_db
def test_pa7_groups_may_see_tags_and_nobody_may_write_them() -> None:
    make_everything(1)
    row = Remark.objects.get()
    for name in ("viewer", "operator", "approver", "administrator"):
        user = User.objects.create_user(name, is_staff=True)
        user.groups.add(Group.objects.get(name=name))
        assert user.has_perm("chain.view_tag"), name
        assert not user.has_perm("chain.add_tag")
        client = Client()
        client.force_login(user)
        assert client.get(page_url(row)).status_code == 200
        assert client.post(page_url(row), {"sender": "x"}).status_code == 403
        assert (
            client.post(reverse("admin:chain_remark_delete", args=[row.pk]), {"post": "yes"}).status_code
            == 403
        )
