"""PA2 in the ledger: rates by the month's volume, a monthly cap and what an agreement leaves out, by hand.

The facts are those of `test_worked_example`. Bases in the order of blocks, in rao:

    Creative Builds  block 20 root 100, block 30 alpha 152; day 2: alpha 252
    Talisman         block 20 root 303, block 30 alpha 89;  day 2: alpha 149
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError

from chain.models import Yield
from ledger.audit import check_ledger
from ledger.models import DelegatorTake, PartnerTake
from ledger.services import CannotClose, attribute_yields, close_day, close_due_days
from ledger.tests.factories import DAY_ONE, NOW, make_blocks, make_partner, make_positions, make_yield
from ledger.tests.test_worked_example import ANN, BOB, build_two_days, lines_of
from partners.models import Agreement
from tests.guards import refused, sql, tamper

pytestmark = pytest.mark.django_db


def change(slug: str, **terms: object) -> Agreement:
    """Change an agreement as the form would."""
    agreement = Agreement.objects.get(partner__slug=slug)
    for name, value in terms.items():
        setattr(agreement, name, value)
    agreement.full_clean()
    agreement.save()
    return agreement


def close() -> list[list[tuple[str, str, int, int, int]]]:
    """Close what is due; give each period's lines (partner, side, base, rate, commission)."""
    attribute_yields(now=NOW)
    return [lines_of(period) for period in close_due_days(actor=None, now=NOW)]


def test_pa2_a_tier_pays_what_comes_above_its_border_in_the_order_of_blocks() -> None:
    build_two_days()
    change("creative-builds", tiers=[[200, 5_000]])
    one, two = close()
    # 252 on the first day: 200 at 33 %, of which 100 root came first; the 52 above at 50 %.
    assert sorted(line for line in one if line[0] == "creative-builds") == [
        ("creative-builds", "ALPHA", 52, 5_000, 26),
        ("creative-builds", "ALPHA", 100, 3_300, 33),
        ("creative-builds", "ROOT", 100, 3_300, 33),
    ]
    assert [line for line in two if line[0] == "creative-builds"] == [
        ("creative-builds", "ALPHA", 252, 5_000, 126)
    ]
    assert check_ledger().differences == []


def test_pa2_beyond_the_cap_nothing_is_paid_and_the_statement_says_so() -> None:
    build_two_days()
    change("talisman", monthly_cap_rao=200)
    one, two = close()
    assert [line[2:] for line in one if line[0] == "talisman"] == [(89, 5_000, 44), (303, 5_000, 151)]
    # 195 were paid. 10 at 50 % are what is left of the cap.
    assert sorted(line[2:] for line in two if line[0] == "talisman") == [(10, 5_000, 5), (139, 0, 0)]
    assert check_ledger().differences == []


def close_first() -> list[tuple[str, str, int, int, int]]:
    """Close the first of the two days alone."""
    attribute_yields(now=NOW)
    return lines_of(close_day(day=DAY_ONE, actor=None, now=NOW))


def test_pa2_the_cap_counts_what_was_paid_at_another_rate_in_the_month() -> None:
    build_two_days()
    change("talisman", rate_bps=2_500, monthly_cap_rao=150)
    # 89 x 25 % = 22, 303 x 25 % = 75.
    assert sum(line[4] for line in close_first() if line[0] == "talisman") == 97
    change("talisman", rate_bps=10_000)
    (two,) = close()
    # Of the 149 that day 2 sells, 120 were earned on day 1 and keep its rate: 97 + 30. 23 more are the cap.
    assert sorted(line[2:] for line in two if line[0] == "talisman") == [
        (6, 0, 0),
        (23, 10_000, 23),
        (120, 2_500, 30),
    ]
    assert check_ledger().differences == []


def test_pa2_the_cap_counts_what_a_former_agreement_was_paid_in_the_month() -> None:
    make_blocks(1, 2_881, start=datetime(2025, 1, 1, tzinfo=UTC))
    make_positions({ANN: 1}, netuid=0)
    former = make_partner("Ann", 5_000, ANN)
    for block in (10, 20, 1_441, 2_000):
        make_yield(block, 100, side="ROOT")
    second = datetime(2025, 1, 2, tzinfo=UTC)
    former.effective = (former.effective.lower, second)
    former.save()
    following = Agreement.objects.create(
        partner=former.partner, effective=(second, None), rate_bps=10_000, monthly_cap_rao=150
    )
    following.rules.create(priority=100)
    one, two = close()
    assert [line[2:] for line in one] == [(200, 5_000, 100)]
    assert sorted(line[2:] for line in two) == [(50, 10_000, 50), (150, 0, 0)]
    assert check_ledger().differences == []


def test_pa2_a_cap_set_below_what_was_paid_takes_nothing_back() -> None:
    make_blocks(1, 2_881, start=datetime(2025, 1, 1, tzinfo=UTC))
    make_positions({ANN: 1}, netuid=0)
    make_partner("Ann", 5_000, ANN)
    make_yield(10, 100, side="ROOT")
    make_yield(2_000, 100, side="ROOT")
    assert [line[2:] for line in close_first()] == [(100, 5_000, 50)]
    change("ann", monthly_cap_rao=20)
    (two,) = close()
    assert [line[2:] for line in two] == [(100, 0, 0)]
    assert check_ledger().differences == []


def test_pa2_a_cap_of_nothing_pays_nothing() -> None:
    build_two_days()
    change("talisman", monthly_cap_rao=0)
    assert all(line[4] == 0 for day in close() for line in day if line[0] == "talisman")
    assert check_ledger().differences == []


def test_pa2_each_month_begins_anew_at_midnight_utc() -> None:
    make_blocks(1, 2_881, start=datetime(2025, 1, 31, tzinfo=UTC))
    make_positions({ANN: 1}, netuid=0)
    make_partner("Ann", 1_000, ANN)
    change("ann", tiers=[[150, 5_000]])
    for block in (10, 1_440, 1_441, 2_000):
        make_yield(block, 100, side="ROOT")
    january, february = close()
    expected = [("ann", "ROOT", 50, 5_000, 25), ("ann", "ROOT", 150, 1_000, 15)]
    assert sorted(january) == sorted(february) == expected


def test_pa2_alpha_keeps_the_tiers_that_it_was_earned_under() -> None:
    build_two_days()
    change("creative-builds", tiers=[[200, 5_000]])
    attribute_yields(now=NOW)
    close_due_days(actor=None, now=datetime(2025, 1, 2, 12, tzinfo=UTC))
    part = PartnerTake.objects.get(source__block_id=10, partner__slug="creative-builds")
    assert part.steps == [[0, 3_300], [200, 5_000]]


def test_pa2_what_an_agreement_leaves_out_is_nobodys() -> None:
    build_two_days()
    change("creative-builds", excluded_wallets=[ANN])
    change("talisman", excluded_netuids=[2])
    for day in close():
        assert not [line for line in day if line[:2] != ("talisman", "ROOT")]
    rows = DelegatorTake.objects.filter(coldkey__in=[ANN, BOB], side="ALPHA")
    assert set(rows.values_list("partner", flat=True)) == {None}
    assert check_ledger().differences == []


def test_pa2_a_closed_month_recomputes_by_the_tiers_it_was_closed_with() -> None:
    build_two_days()
    change("creative-builds", tiers=[[200, 5_000]], excluded_netuids=[7])
    change("talisman", monthly_cap_rao=200)
    close()
    change("creative-builds", tiers=[], excluded_wallets=[ANN])
    change("talisman", monthly_cap_rao=None)
    assert check_ledger().differences == []


def test_le8_a_tampered_rate_of_a_tier_is_found() -> None:
    build_two_days()
    change("creative-builds", tiers=[[200, 5_000]])
    close()
    tamper("UPDATE ledger_partnertake SET steps = '{{0,3300},{200,6000}}' WHERE steps <> '{}'")
    assert any("partner takes" in difference for difference in check_ledger().differences)


@pytest.mark.parametrize(
    "tiers",
    [
        "{{0,100}}",
        "{{5,100},{5,200}}",
        "{{5,10001}}",
        "{{5,-1}}",
        "{{5}}",
        "{5,100}",
        "{{NULL,5}}",
        "{{5,NULL}}",
    ],
)
def test_pa2_the_database_refuses_tiers_that_do_not_ascend(tiers: str) -> None:
    agreement = make_partner("Ann", 1_000)
    with refused("agreement_tiers_ascend"):
        sql("UPDATE partners_agreement SET tiers = %s WHERE id = %s", tiers, agreement.pk)


def test_le8_a_tampered_cap_is_found() -> None:
    build_two_days()
    change("talisman", monthly_cap_rao=200)
    close()
    tamper("UPDATE ledger_partnertake SET cap_rao = 300 WHERE cap_rao IS NOT NULL")
    assert any("partner takes" in difference for difference in check_ledger().differences)


def test_pa2_the_database_refuses_a_negative_cap() -> None:
    agreement = make_partner("Ann", 1_000)
    with refused("agreement_cap_not_negative"):
        sql("UPDATE partners_agreement SET monthly_cap_rao = -1 WHERE id = %s", agreement.pk)


def test_pa2_the_form_is_told_which_tier_is_wrong() -> None:
    make_partner("Ann", 1_000)
    with pytest.raises(ValidationError, match="tier 2 does not begin above the one before"):
        change("ann", tiers=[[5, 100], [4, 200]])


# --- stake on child keys ------------------------------------------------------------------------------------


def test_pa2_an_agreement_for_child_keys_is_paid_where_the_key_was_one_at_the_epoch() -> None:
    build_two_days()
    change("talisman", sides=["CHILD"])
    tamper("UPDATE chain_yield SET is_child = block_id = 20")
    one, two = close()
    assert [line for line in [*one, *two] if line[0] == "talisman"] == [("talisman", "ROOT", 303, 5_000, 151)]
    assert check_ledger().differences == []


def test_pa2_subnet_alpha_is_also_that_on_a_child_key() -> None:
    build_two_days()
    change("talisman", sides=["ALPHA"])
    tamper("UPDATE chain_yield SET is_child = true")
    one, _ = close()
    assert [line for line in one if line[0] == "talisman"] == [("talisman", "ALPHA", 89, 5_000, 44)]


def test_pa2_where_child_keys_were_not_read_a_day_that_asks_for_them_does_not_close() -> None:
    build_two_days()
    rule = change("talisman").rules.get()
    rule.kind, rule.side = "SIDE", "CHILD"
    rule.full_clean()
    rule.save()
    assert set(Yield.objects.values_list("is_child", flat=True)) == {None}
    attribute_yields(now=NOW)
    with pytest.raises(
        CannotClose, match=r"it was read before child keys were, and an agreement or rule asks"
    ):
        close_day(day=DAY_ONE, actor=None, now=NOW)
    rule.is_active = False
    rule.save()
    close_day(day=DAY_ONE, actor=None, now=NOW)
