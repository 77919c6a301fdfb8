"""What a remark counts on: stake, unstake, restake (PA3), through the ledger and back."""

from __future__ import annotations

import pytest

from ledger import explaining
from ledger.models import DelegationWinner
from ledger.tests.factories import OWNER, make_move, make_positions, make_stake, make_yield
from ledger.tests.test_tagged_stake import ANN, TALISMAN, begin, make_app, takes
from partners.models import Partner, Rule

pytestmark = pytest.mark.django_db

SINCE = "(50 % from 2025-01-01)"


def begin_on_two_subnets() -> None:
    begin()
    make_positions({OWNER: 1_000}, netuid=3)


def make_mover(name: str = "Nova", memo: str = "nova", **on: bool) -> Partner:
    """A partner whose rule counts what `on` says; without it what was moved under the remark as well."""
    partner = make_app(name, memo)
    Rule.objects.filter(agreement__partner=partner).update(**(on or {"on_restake": True}))
    return partner


def said(block: int) -> list[str]:
    found = explaining.explain(block)
    return [
        explaining.why(found, share).verdicts[0].text
        for epoch in found.epochs
        for share in epoch.shares
        if share.coldkey == ANN
    ]


def test_a_move_beside_a_remark_changes_nothing_unless_a_rule_counts_moves() -> None:
    begin_on_two_subnets()
    make_app()
    make_app("Nova", "nova")
    make_stake(10, ANN, 300)
    make_stake(15, ANN, 100, text=TALISMAN)
    make_move(20, ANN, 350, text=b"nova")
    make_yield(30, 1_350, netuid=3)
    assert takes() == {(OWNER, ""): 1_000, (ANN, ""): 300, (ANN, "talisman"): 50}
    assert set(DelegationWinner.objects.values_list("moved_hash", flat=True)) == {""}


def test_what_was_moved_under_a_remark_counts_from_the_move_on() -> None:
    begin_on_two_subnets()
    make_mover()
    make_stake(10, ANN, 300)
    make_yield(15, 1_300)
    make_move(20, ANN, 200, text=b"nova")
    make_yield(30, 1_100)
    make_yield(31, 1_200, netuid=3)
    assert takes() == {(OWNER, ""): 3_000, (ANN, ""): 300 + 100, (ANN, "nova"): 200}
    assert said(31) == [f"This stake was moved under the remark that Nova's agreement {SINCE} looks for."]
    as_rows = explaining.as_dict(explaining.explain(31))["epochs"][0]["shares"]
    assert {"coldkey": ANN, "take_rao": 200, "partner": "nova", "moved_under": "nova"} in as_rows
    [winner] = DelegationWinner.objects.all()
    assert (winner.tag_hash, winner.moved_hash[:2]) == ("", "0x")


def test_who_brought_and_who_moved_it_both_claim_and_the_lower_priority_wins() -> None:
    begin_on_two_subnets()
    make_app()
    make_mover()
    make_stake(10, ANN, 100, text=TALISMAN)
    make_stake(11, ANN, 60)
    make_move(20, ANN, 160, text=b"nova")
    make_yield(30, 1_160, netuid=3)
    # Of equal priority the older rule, Talisman's.
    assert takes() == {(OWNER, ""): 1_000, (ANN, "talisman"): 100, (ANN, "nova"): 60}
    assert [len(row.outranked) for row in DelegationWinner.objects.order_by("rule_id")] == [1, 0]


def test_a_lower_number_lets_the_mover_win() -> None:
    begin_on_two_subnets()
    make_app()
    mover = make_mover()
    Rule.objects.filter(agreement__partner=mover).update(priority=5)
    make_stake(10, ANN, 100, text=TALISMAN)
    make_move(20, ANN, 40, text=b"nova")
    make_yield(30, 1_040, netuid=3)
    make_yield(31, 1_060)
    assert takes() == {(OWNER, ""): 2_000, (ANN, "talisman"): 60, (ANN, "nova"): 40}


def test_a_rule_on_restake_alone_does_not_count_what_was_brought() -> None:
    begin_on_two_subnets()
    make_mover(on_stake=False, on_restake=True)
    make_stake(10, ANN, 100, text=b"nova")
    make_yield(15, 1_100)
    make_move(20, ANN, 30, text=b"nova")
    make_yield(30, 1_030, netuid=3)
    assert takes() == {(OWNER, ""): 2_000, (ANN, ""): 100, (ANN, "nova"): 30}
    came = f"This stake came under the remark that Nova's agreement {SINCE} looks for"
    assert said(15) == [f"{came}, but the rule counts only stake moved under it."]


def test_a_rule_on_stake_alone_says_so_of_what_was_moved_under_its_remark() -> None:
    begin_on_two_subnets()
    make_mover()
    # Another partner for the same remark, which counts no moves.
    make_app("Wave", "nova")
    Rule.objects.filter(agreement__partner__slug="wave").update(priority=1)
    make_stake(10, ANN, 30)
    make_move(20, ANN, 30, text=b"nova")
    make_yield(30, 1_030, netuid=3)
    assert takes() == {(OWNER, ""): 1_000, (ANN, "nova"): 30}
    found = explaining.explain(30)
    [ann] = [share for share in found.epochs[0].shares if share.coldkey == ANN]
    assert [verdict.text for verdict in explaining.why(found, ann).verdicts][1] == (
        f"This stake was moved under the remark that Wave's agreement {SINCE} looks for,"
        " but the rule counts only stake that came so."
    )


@pytest.mark.parametrize(("on_unstake", "left"), [(True, 40), (False, 100)])
def test_an_unstake_beside_the_remark_uses_up_its_stake_first_where_it_counts(
    on_unstake: bool, left: int
) -> None:
    begin()
    make_mover("Talisman", "talisman", on_unstake=on_unstake)
    make_stake(10, ANN, 300)
    make_stake(20, ANN, 100, text=TALISMAN)
    make_stake(40, ANN, -60, text=TALISMAN)
    make_yield(50, 1_340)
    assert takes() == {(OWNER, ""): 1_000, (ANN, ""): 340 - left, (ANN, "talisman"): left}


def test_somebody_elses_remark_beside_a_move_is_not_the_movers() -> None:
    begin_on_two_subnets()
    make_mover()
    make_stake(10, ANN, 100)
    make_move(20, ANN, 100, text=b"another")
    make_yield(30, 1_100, netuid=3)
    assert takes() == {(OWNER, ""): 1_000, (ANN, ""): 100}
