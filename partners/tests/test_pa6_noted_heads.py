"""Ends of the history that the installation notes outside the database find what the database alone cannot (PA6)."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from partners import noted_heads, services
from partners.models import Partner, Seal
from partners.sealing import check_history, newest_head
from partners.tasks import HeadNotNoted, HistoryDiffers
from partners.tasks import check_history as check_by_night
from partners.tests.factories import make_partner, make_user
from partners.tests.test_pa6_sealing import EVENTS, forget_templates, kind_of, live_a_little
from tests.guards import sql, without_triggers

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def heads_file(tmp_path: Path, settings: Any) -> Path:
    settings.RAKEBACK_HISTORY_HEADS = tmp_path / "outside" / "history_heads"
    path: Path = settings.RAKEBACK_HISTORY_HEADS
    return path


def check(*args: str) -> str:
    out = StringIO()
    call_command("check_history", *args, stdout=out, stderr=out)
    return out.getvalue()


def failed() -> str:
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("check_history", stdout=out, stderr=out)
    return out.getvalue()


def page() -> str:
    client = Client()
    client.force_login(make_user("auditor", name="vera"))
    return client.post(reverse("admin:ledger_checks_run")).content.decode()


def make_chain_anew() -> None:
    """Seal the history as it is now, as whoever rules the database can."""
    sql("DELETE FROM partners_seal")
    for table in EVENTS:
        sql(
            f"SELECT partners_seal('{kind_of(table)}', e.pgh_id, to_jsonb(e)) FROM {table} e ORDER BY e.pgh_id"
        )


def test_pa6_each_night_notes_an_end_in_a_file_that_only_grows(heads_file: Path) -> None:
    forget_templates()
    assert check_by_night() == ""
    assert not heads_file.exists(), "nothing happened yet"
    live_a_little()
    first = check_by_night()
    assert check_by_night() == first
    make_partner("Third", "third")
    second = check_by_night()
    lines = heads_file.read_text(encoding="ascii").splitlines()
    assert [line.split()[1] for line in lines] == [first, second], "an end is noted once"
    assert all(len(line.split()[0]) == len("2026-01-01T03:47:00Z") for line in lines)
    assert heads_file.stat().st_mode & 0o777 == 0o600
    assert "2 ends noted" in check()
    assert "2 ends noted" in page()


def test_pa6_the_first_check_says_that_nothing_was_noted_yet(heads_file: Path) -> None:
    live_a_little()
    assert f"No end is noted yet in {heads_file}" in check()
    assert f"No end is noted yet in {heads_file}" in page()
    assert not heads_file.exists(), "looking notes nothing"


def test_pa6_an_end_cut_off_with_its_row_put_back_is_found_without_being_given_a_head() -> None:
    live_a_little()
    partner = make_partner("Third", "third")
    services.set_partners_status(actor=None, partner_ids=[partner.pk], status=Partner.Status.PAUSED)
    noted = check_by_night()
    number = noted.partition(":")[0]
    with without_triggers():
        sql(
            "DELETE FROM partners_partnerevent WHERE pgh_id = (SELECT max(pgh_id) FROM partners_partnerevent)"
        )
        sql("DELETE FROM partners_seal WHERE number = %s", int(number))
        sql("UPDATE partners_partner SET status = 'ACTIVE' WHERE id = %s", partner.pk)
    assert check_history().ok, "the database alone cannot tell"
    assert f"seal {number} was noted as" in failed()
    assert "its end was cut off" in failed()
    with pytest.raises(HistoryDiffers, match="its end was cut off"):
        check_by_night()
    assert "its end was cut off" in page()


def test_pa6_a_chain_made_wholly_anew_is_found_without_being_given_a_head(heads_file: Path) -> None:
    live_a_little()
    noted = check_by_night()
    written = heads_file.read_bytes()
    with without_triggers():
        sql("UPDATE partners_walletevent SET notes = 'forged'")
        sql("UPDATE partners_wallet SET notes = 'forged'")
        make_chain_anew()
    assert check_history().ok, "the database alone cannot tell"
    assert f"was noted as {noted.partition(':')[2][:16]}…" in failed()
    with pytest.raises(HistoryDiffers, match="was noted as"):
        check_by_night()
    assert heads_file.read_bytes() == written, "what differs is never noted"


def test_pa6_two_ends_of_one_number_are_both_compared(heads_file: Path) -> None:
    live_a_little()
    noted = check_by_night()
    number, _, digest = noted.partition(":")
    forged = f"2026-01-01T03:47:00Z {number}:{digest[::-1]}\n"
    for text in (forged + heads_file.read_text(), heads_file.read_text() + forged):
        heads_file.write_text(text)
        assert f"was noted as {digest[::-1][:16]}…" in failed()
        heads_file.write_text(text.replace(forged, ""))
    assert "is whole" in check("--head", noted, "--head", noted)


def test_pa6_a_file_that_was_emptied_is_no_first_run(heads_file: Path) -> None:
    live_a_little()
    check_by_night()
    heads_file.write_bytes(b"")
    assert "is empty: it was made with a line in it" in failed()


@pytest.mark.parametrize(
    "line",
    [
        b"12:abc\n",
        b"2026-01-01T03:47:00Z 3:" + b"a" * 40,
        b"2026-01-01T03:47:00Z 3:" + b"a" * 64,
        b"yesterday 3:" + b"a" * 64 + b"\n",
        b"2026-13-01T03:47:00Z 3:" + b"a" * 64 + b"\n",
        b"\n",
        b"\xff\x00\n",
    ],
)
def test_pa6_a_line_that_is_none_is_named_and_the_others_count(heads_file: Path, line: bytes) -> None:
    live_a_little()
    check_by_night()
    with heads_file.open("ab") as file:
        file.write(line)
    make_partner("Third", "third")
    assert f"line 2 of {heads_file}" in failed()
    assert f"line 2 of {heads_file}" in page()
    with pytest.raises(HistoryDiffers, match="line 2 of"):
        check_by_night()
    assert heads_file.read_bytes().endswith(line), "nothing is written behind it"
    with without_triggers():
        make_chain_anew()
        sql("UPDATE partners_seal SET hash = digest WHERE number = %s", Seal.objects.count())
    assert "was noted as" in failed()


def test_pa6_where_nothing_can_be_noted_the_check_says_so_and_how(settings: Any) -> None:
    live_a_little()
    settings.RAKEBACK_HISTORY_HEADS = Path("/proc/none/history_heads")
    with pytest.raises(HeadNotNoted, match="name another with RAKEBACK_HISTORY_HEADS") as caught:
        check_by_night()
    assert "The history is whole, but" in str(caught.value)
    assert f"{newest_head()} could not be noted in /proc/none/history_heads" in str(caught.value)


def test_pa6_what_is_no_file_is_named(heads_file: Path) -> None:
    live_a_little()
    heads_file.mkdir(parents=True)
    assert "cannot be read" in failed()
    assert "cannot be read" in page()
    with pytest.raises(HistoryDiffers, match="cannot be read"):
        check_by_night()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_pa6_a_file_that_may_be_read_and_not_written(heads_file: Path) -> None:
    live_a_little()
    check_by_night()
    heads_file.chmod(0o400)
    make_partner("Third", "third")
    assert "is whole" in check()
    with pytest.raises(HeadNotNoted, match="Permission denied"):
        check_by_night()


def test_pa6_a_disk_that_takes_nothing_is_told() -> None:
    live_a_little()
    head = newest_head()
    assert head is not None
    with pytest.raises(OSError, match="No space left"):
        noted_heads.note(head, path=Path("/dev/full"), now=timezone.now())
