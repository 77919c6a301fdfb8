"""LE8: checks that recompute everything, what they found is kept, and a difference keeps days from closing."""

from __future__ import annotations

from datetime import date, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from ledger import audit, tasks
from ledger.calculation import Handover
from ledger.facts import read_handovers
from ledger.models import Attribution, CheckRun, ConversionAllocation, Period
from ledger.readiness import check_day, standing_differences
from ledger.services import CannotClose, attribute_yields, check_blocks, close_day, close_due_days, run_check
from ledger.tests.factories import (
    HOTKEY,
    NOW,
    make_blocks,
    make_conversion,
    make_partner,
    make_positions,
    make_swap_leg,
    make_yield,
)
from ledger.tests.test_admin import sign_in
from ledger.tests.test_worked_example import ANN, build_two_days, close_two_days
from tests.guards import refused, sql, tamper

pytestmark = pytest.mark.django_db
Check = CheckRun.Check
OF_BLOCK_10 = "WHERE source_id = (SELECT id FROM chain_yield WHERE block_id = 10)"
WRONG_DIGEST = f"UPDATE ledger_attribution SET digest = 'x' {OF_BLOCK_10}"
# What was sold for less, so that every sum of the day still holds but those of the sale.
WRONG_SALE = "UPDATE ledger_conversionallocation SET tao_rao = tao_rao - 1"


def run(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def clear(check: str, found: list[str] | None = None) -> CheckRun:
    differences = found or []
    return CheckRun.objects.create(
        check_name=check,
        started_at=NOW,
        finished_at=NOW,
        counts={},
        difference_count=len(differences),
        differences=differences,
    )


# --- what they find ----------------------------------------------------------------------------------------


def test_le8_every_check_agrees_with_what_was_closed() -> None:
    assert run("check_conversions") == "conversions agree with the facts: nothing yet\n"
    close_two_days()
    assert run("check_attribution") == "attributions agree with the facts: 3 attributions\n"
    assert run("check_conversions") == "conversions agree with the facts: 3 conversion parts, 2 conversions\n"
    assert "3 attributions, 6 commission lines" in run("check_ledger")
    assert list(CheckRun.objects.order_by("pk").values_list("check_name", "difference_count")) == [
        (Check.CONVERSIONS, 0),
        (Check.ATTRIBUTION, 0),
        (Check.CONVERSIONS, 0),
        (Check.LEDGER, 0),
    ]


def test_le8_an_attribution_that_is_not_what_the_shares_give_is_named() -> None:
    close_two_days()
    tamper(WRONG_DIGEST)
    found = audit.check_attribution().differences
    assert found == [
        f"{Attribution.objects.get(source__block_id=10)}: the shares derived now have another digest"
    ]
    assert audit.check_attribution(1_000, 2_000).ok
    assert not audit.check_attribution(10, 10).ok
    with pytest.raises(
        CommandError, match=r"1 differences \(1 attributions of blocks 5 to 12\); no day closes"
    ):
        run("check_attribution", "--from", "5", "--to", "12")


def test_le8_an_attribution_whose_holders_changed_is_named() -> None:
    close_two_days()
    tamper("UPDATE chain_position SET share = share + 1 WHERE coldkey = %s AND netuid = 2", ANN)
    assert len(audit.check_attribution().differences) == 2
    assert "share bits" in audit.check_attribution().differences[0]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            f"{WRONG_SALE} WHERE alpha_rao = 600",
            "of the take of block 10 it sold 600 rao of alpha for 300 rao of TAO",
        ),
        (
            "UPDATE ledger_conversionallocation SET alpha_rao = alpha_rao - 1 WHERE alpha_rao = 401",
            "stored is 400 rao of alpha for 401 rao of TAO",
        ),
        ("DELETE FROM ledger_conversionallocation WHERE alpha_rao = 100", "stored is nothing"),
        (
            "UPDATE ledger_conversionallocation SET source_id = source_id - 1 WHERE alpha_rao = 100",
            "of the take of block 20 it sold nothing",
        ),
    ],
)
def test_le8_a_sale_that_is_not_first_in_first_out_is_named(damage: str, said: str) -> None:
    close_two_days()
    assert audit.check_conversions().ok
    tamper(damage)
    assert said in "; ".join(audit.check_conversions().differences)
    with pytest.raises(CommandError, match="differences"):
        run("check_conversions")


def test_le8_conversions_are_played_through_swaps_of_keys_and_over_days() -> None:
    new = "5" + "N" * 47
    make_blocks(1, 4_321)
    make_positions({ANN: 500}, netuid=2)
    make_partner("Acme", 5_000, ANN)
    make_yield(10, 1_000)
    make_swap_leg(1_500, ANN, HOTKEY, new)
    make_conversion(1_600, 400, 40, hotkey=new)
    make_conversion(3_000, 900, 90, hotkey=new)
    attribute_yields(now=NOW)
    assert len(close_due_days(actor=None, now=NOW)) == 3
    assert list(ConversionAllocation.objects.order_by("pk").values_list("alpha_rao", "tao_rao")) == [
        (400, 40),
        (600, 60),
    ]
    assert audit.check_conversions().ok
    assert audit.check_ledger().ok


def test_le8_a_day_that_closes_while_it_is_checked_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    build_two_days()
    attribute_yields(now=NOW)
    close_day(day=date(2025, 1, 1), actor=None, now=NOW)

    def close_meanwhile(first: int, last: int) -> list[Handover]:
        close_day(day=date(2025, 1, 2), actor=None, now=NOW)
        return read_handovers(first, last)

    monkeypatch.setattr("ledger.audit.read_handovers", close_meanwhile)
    assert audit.check_conversions().differences == []
    assert Period.objects.count() == 2


def test_le8_an_error_is_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("ledger.audit._conversions", fail)
    with pytest.raises(RuntimeError):
        run_check(Check.CONVERSIONS, actor=None, now=NOW)
    assert not CheckRun.objects.exists()


def test_le8_the_command_wants_both_ends_in_order() -> None:
    with pytest.raises(CommandError, match="Give both --from and --to"):
        run("check_attribution", "--from", "5")
    with pytest.raises(CommandError, match="--from 5 is after --to 4"):
        run("check_attribution", "--from", "5", "--to", "4")
    assert not CheckRun.objects.exists()


# --- what follows from it ------------------------------------------------------------------------------------


def ready_to_close() -> None:
    """A day that could close, after two that are closed."""
    close_two_days()
    make_blocks(2_882, 4_321)


def test_le8_a_difference_keeps_days_from_closing_until_a_later_run_has_none() -> None:
    ready_to_close()
    day = Period.objects.order_by("-start_at")[0].end_at.date()
    ((digest,),) = sql(f"SELECT digest FROM ledger_attribution {OF_BLOCK_10}")
    tamper(WRONG_DIGEST)
    with pytest.raises(tasks.LedgerDiffers, match="the attribution of block 10 netuid 2 ALPHA differs"):
        tasks.check_ledger()
    with pytest.raises(
        CannotClose, match=r"Whole ledger on .* and 1 more\. Look into it, then run the checks again\."
    ):
        close_due_days(actor=None, now=NOW)
    assert [check.name for check in check_day(day).checks if not check.ok] == [
        "The checks found no difference"
    ]
    run_check(Check.CONVERSIONS, actor=None, now=NOW)
    assert standing_differences() is not None
    tamper(
        "UPDATE ledger_attribution SET digest = %s WHERE digest = 'x'",
        digest,
    )
    assert tasks.check_ledger()["periods"] == 2
    assert [period.key for period in close_due_days(actor=None, now=NOW)] == ["2025-01-03"]


@pytest.mark.parametrize(
    ("failed", "later", "stands"),
    [
        (Check.ATTRIBUTION, [], True),
        (Check.ATTRIBUTION, [Check.ATTRIBUTION], False),
        (Check.ATTRIBUTION, [Check.LEDGER], False),
        (Check.ATTRIBUTION, [Check.CONVERSIONS], True),
        (Check.LEDGER, [Check.ATTRIBUTION, Check.CONVERSIONS], True),
        (Check.LEDGER, [Check.LEDGER], False),
    ],
)
def test_le8_a_difference_is_cleared_by_the_same_check_or_that_of_all(
    failed: str, later: list[str], stands: bool
) -> None:
    clear(failed)
    clear(failed, ["wrong"])
    for check in later:
        clear(check)
    assert (standing_differences() is not None) == stands


def test_le8_a_check_of_some_blocks_clears_nothing_but_stands_itself() -> None:
    close_two_days()
    clear(Check.ATTRIBUTION, ["wrong"])
    assert check_blocks(1, 5, actor=None, now=NOW).ok
    assert standing_differences() is not None
    run_check(Check.ATTRIBUTION, actor=None, now=NOW)
    assert standing_differences() is None
    tamper(WRONG_DIGEST)
    assert check_blocks(1, 20, actor=None, now=NOW) == standing_differences()


def test_le8_the_page_shows_the_last_runs_and_runs_them() -> None:
    close_two_days()
    clear(Check.CONVERSIONS, ["the sale of block 30"])
    client = sign_in("check_period")
    page = client.get(reverse("admin:ledger_checks")).content.decode()
    assert "1 difference: approve nothing, and no day closes (nothing yet)." in page
    assert "the sale of block 30" in page
    assert "No day closes: Conversions on 2025-03-01 12:00 UTC found 1 difference, and no later run" in page
    assert "by the scheduler or a command" in page
    page = client.post(reverse("admin:ledger_checks_run")).content.decode()
    assert "by staff" in page
    assert "It agrees with the facts" in page
    assert "No day closes" not in page
    assert CheckRun.objects.order_by("-pk")[0].ok
    assert standing_differences() is None


def test_le8_many_differences_are_counted_and_the_first_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = audit.Audit(differences=[f"difference {number}" for number in range(1_005)])
    monkeypatch.setitem(run_check.__globals__["CHECKS"], Check.LEDGER, lambda: found)
    kept = run_check(Check.LEDGER, actor=None, now=NOW)
    assert (kept.difference_count, len(kept.differences)) == (1_005, 1_000)
    page = sign_in("check_period").get(reverse("admin:ledger_checks")).content.decode()
    assert "1,005 differences" in page
    assert "and 905 more" in page
    with pytest.raises(CommandError, match="of which 5 are not named here"):
        run("check_ledger")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"finished_at": NOW - timedelta(seconds=1)}, "check_run_ends_after_it_starts"),
        ({"difference_count": 1}, "check_run_names_its_differences"),
        ({"differences": ["x"]}, "check_run_names_its_differences"),
    ],
)
def test_le8_the_database_refuses_a_run_that_cannot_be(values: dict[str, object], rule: str) -> None:
    right = {
        "check_name": Check.LEDGER,
        "started_at": NOW,
        "finished_at": NOW,
        "counts": {},
        "differences": [],
    }
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        CheckRun.objects.create(**(right | {"difference_count": 0} | values))


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE ledger_checkrun SET difference_count = 0",
        "DELETE FROM ledger_checkrun",
        "TRUNCATE ledger_checkrun",
    ],
)
def test_le8_what_was_found_stays(attack: str) -> None:
    clear(Check.LEDGER, ["wrong"])
    connection.check_constraints()
    with refused("append_only"):
        sql(attack)
