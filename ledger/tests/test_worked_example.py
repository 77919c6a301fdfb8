"""Two days by hand: two partners, take in alpha and in TAO, a conversion that sells parts of two yields, and one
that sells more than the take. Every number below was computed on paper first.

Holders of subnet 2: Ann 500, Bob 300, Own 200 (of 1,000). Holders of root: Ann 100, Bob 300 (of 400).
Ann is Creative Builds' at 33 %, Bob is Talisman's at 50 %, Own is nobody's.

Day 1 (blocks 1 to 1,440)
  block 10  alpha take 1,001: Ann floor(500.5)=500 +1 remainder = 501, Bob floor(300.3)=300, Own 200
  block 20  root take 403 in TAO: Ann floor(100.75)=100, Bob floor(302.25)=302 +1 = 303
  block 30  sells 600 alpha for 300 TAO-rao: all of it is take of block 10 (401 stay)
            300 over Ann 501, Bob 300, Own 200 of 1,001: 150, 89, 59 floors = 298, +2 to Ann = 152
  Lines     CB  ALPHA 152 x 33 % = floor(50.16) = 50     CB  ROOT 100 x 33 % = 33
            TAL ALPHA  89 x 50 % = floor(44.5)  = 44     TAL ROOT 303 x 50 % = floor(151.5) = 151
  Entry     TAKE +703 (300 + 403); CB -83; TAL -195; own share -425

Day 2 (blocks 1,441 to 2,880)
  block 1,500  alpha take 100: Ann 50, Bob 30, Own 20
  block 1,600  sells 1,000 alpha for 999: take is 401 + 100 = 501, the other 499 were the owner's stake
               TAO for take floor(999 x 501 / 1,000) = floor(500.499) = 500
               block 10: floor(500 x 401 / 501) = floor(400.199) = 400, block 1,500: floor(99.800) = 99, +1 to the
               larger: 401 and 99
               401 over 501, 300, 200 of 1,001: floors 200, 120, 80 = 400, +1 to Ann: 201, 120, 80
               99 over 50, 30, 20 of 100: floors 49, 29, 19 = 97, +2 to Ann: 51, 29, 19
  Lines     CB  ALPHA 252 x 33 % = floor(83.16) = 83     TAL ALPHA 149 x 50 % = floor(74.5) = 74
  Entry     TAKE +500; CB -83; TAL -74; own share -343
"""

from __future__ import annotations

import pytest

from ledger.models import CommissionLine, ConversionAllocation, DelegatorTake, Entry, PartnerTake, Period
from ledger.services import attribute_yields, close_due_days
from ledger.tests.factories import (
    HOTKEY,
    NOW,
    key,
    make_blocks,
    make_conversion,
    make_partner,
    make_positions,
    make_yield,
)

pytestmark = pytest.mark.django_db
ANN, BOB, OWN = key("ann"), key("bob"), key("own")


def build_two_days() -> None:
    """Write the facts of the example; shared with other tests that need a closed ledger."""
    make_blocks(1, 2_881)
    make_positions({ANN: 500, BOB: 300, OWN: 200}, netuid=2)
    make_positions({ANN: 100, BOB: 300}, netuid=0)
    make_partner("Creative Builds", 3_300, ANN)
    make_partner("Talisman", 5_000, BOB)
    make_yield(10, 1_001)
    make_yield(20, 403, side="ROOT")
    make_conversion(30, 600, 300)
    make_yield(1_500, 100)
    make_conversion(1_600, 1_000, 999)


def close_two_days() -> list[Period]:
    """Attribute and close both days."""
    build_two_days()
    attribute_yields(now=NOW)
    return close_due_days(actor=None, now=NOW)


def lines_of(period: Period) -> list[tuple[str, str, int, int, int]]:
    rows = CommissionLine.objects.filter(period=period).order_by("partner__slug", "side")
    return list(rows.values_list("partner__slug", "side", "base_rao", "rate_bps", "commission_rao"))


def legs_of(period: Period) -> dict[str, int]:
    rows = Entry.objects.get(key=f"close:{period.key}").postings.select_related("account__partner")
    return {
        row.account.partner.slug if row.account.partner else row.account.kind: row.amount_rao for row in rows
    }


def test_le3_two_days_by_hand() -> None:
    one, two = close_two_days()
    assert (one.key, one.blocks.lower, one.blocks.upper) == ("2025-01-01", 1, 1_441)
    assert (two.key, two.blocks.lower, two.blocks.upper) == ("2025-01-02", 1_441, 2_881)

    parts = PartnerTake.objects.order_by("source_id", "agreement_id")
    by_hand = [("creative-builds", 501), ("talisman", 300), (None, 200)]
    assert list(parts.filter(source__block_id=10).values_list("partner__slug", "take_rao")) == by_hand
    rolled = DelegatorTake.objects.filter(period=one).order_by("side", "take_rao")
    assert list(rolled.values_list("side", "coldkey", "take_rao")) == [
        ("ALPHA", OWN, 200),
        ("ALPHA", BOB, 300),
        ("ALPHA", ANN, 501),
        ("ROOT", ANN, 100),
        ("ROOT", BOB, 303),
    ]

    sold = ConversionAllocation.objects.order_by("conversion__block_id", "source__block_id")
    assert list(sold.values_list("conversion__block_id", "source__block_id", "alpha_rao", "tao_rao")) == [
        (30, 10, 600, 300),
        (1_600, 10, 401, 401),
        (1_600, 1_500, 100, 99),
    ]

    assert lines_of(one) == [
        ("creative-builds", "ALPHA", 152, 3_300, 50),
        ("creative-builds", "ROOT", 100, 3_300, 33),
        ("talisman", "ALPHA", 89, 5_000, 44),
        ("talisman", "ROOT", 303, 5_000, 151),
    ]
    assert legs_of(one) == {"TAKE": 703, "creative-builds": -83, "talisman": -195, "OWN_SHARE": -425}
    assert lines_of(two) == [
        ("creative-builds", "ALPHA", 252, 3_300, 83),
        ("talisman", "ALPHA", 149, 5_000, 74),
    ]
    assert legs_of(two) == {"TAKE": 500, "creative-builds": -83, "talisman": -74, "OWN_SHARE": -343}
    assert one.manifest["totals"] == {
        "pools": [
            {
                "hotkey": HOTKEY,
                "netuid": 2,
                "side": side,
                "asset": asset,
                "take_rao": take,
                "partner_take_rao": partner_take,
            }
            for side, asset, take, partner_take in (("ALPHA", "ALPHA", 1_001, 801), ("ROOT", "TAO", 403, 403))
        ],
        "sold_alpha_rao": [{"netuid": 2, "alpha_rao": 600}],
        "realised_rao": 703,
        "commission_rao": 278,
        "own_share_rao": 425,
    }
    assert two.manifest["previous"] == one.manifest_hash
    assert CommissionLine.objects.values_list("hotkey", flat=True).distinct().get() == HOTKEY
