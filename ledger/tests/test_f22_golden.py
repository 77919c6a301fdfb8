"""F22: the demonstration's real mainnet days, worked out a second time without the ledger's code, and what they came to.

The second implementation goes rao by rao with Python's integers over the positions' rows. What it takes from the ledger is
Talisman's part of each take, because tags and lots have references of their own (`partners/tests`).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Sum

from chain.models import Conversion, Position, Yield
from ledger.models import CommissionLine, ConversionAllocation, PartnerTake, Period
from partners.models import Agreement, Partner, Wallet

# By day: base and commission of Creative Builds (33 %) and of Talisman (50 %), in rao of TAO.
GOLDEN = {
    "2025-08-01": ((4_058_544, 1_339_318), (1_105_271, 552_635)),
    "2025-08-02": ((3_271_562, 1_079_614), (662_889, 331_444)),
    "2025-08-03": ((7_424_939, 2_450_228), (1_160_135, 580_067)),
    "2025-08-04": ((880_346_768, 290_514_430), (267_436_595, 133_718_296)),
    "2025-08-05": ((535_118_714, 176_589_174), (955_442, 477_721)),
    "2025-08-06": ((640_597_883, 211_397_298), (153_897_075, 76_948_536)),
    "2025-08-07": ((10_669_634, 3_520_978), (1_588_861, 794_430)),
    "2025-08-08": ((12_727_700, 4_200_139), (1_882_021, 941_010)),
    "2025-08-09": ((541_673_504, 178_752_253), (112_220_128, 56_110_063)),
    "2025-08-10": ((7_772_225, 2_564_832), (624_214, 312_106)),
    "2025-08-11": ((1_350_014_917, 445_504_920), (136_795_927, 68_397_963)),
    "2025-08-12": ((60_760_973, 20_051_119), (912_406, 456_203)),
}


def share_out(total: int, weights: list[int]) -> list[int]:
    """Floors in proportion; what is left over is the largest's, the first of equals."""
    parts = [total * weight // sum(weights) for weight in weights]
    parts[weights.index(max(weights))] += total - sum(parts)
    return parts


def earned_by(wallets: set[str], source: Yield) -> int:
    """What some coldkeys earned of a take, by the shares after the parent block."""
    rows = Position.objects.filter(
        hotkey=source.hotkey, netuid=source.pool_netuid, blocks__contains=source.block_id - 1, share__gt=0
    )
    held = sorted((row.coldkey, int(row.share)) for row in rows)
    parts = share_out(source.take_rao, [share for _, share in held])
    return sum(part for (coldkey, _), part in zip(held, parts, strict=True) if coldkey in wallets)


def sales_of(sale: Conversion, lots: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Take the oldest lots for a sale; give each with the TAO that it brought."""
    used, left = [], sale.alpha_rao
    for lot in lots:
        if lot["left"] and left and (lot["hotkey"], lot["netuid"]) == (sale.hotkey, sale.netuid):
            used.append((lot, min(left, lot["left"])))
            left -= used[-1][1]
            lot["left"] -= used[-1][1]
    if not used:
        return []
    proceeds = share_out(
        sale.tao_rao * (sale.alpha_rao - left) // sale.alpha_rao, [amount for _, amount in used]
    )
    return [(lot, tao) for (lot, _), tao in zip(used, proceeds, strict=True)]


def check_golden() -> None:
    """Compare what is stored with what it came to before."""
    sums = CommissionLine.objects.values_list("period__key", "partner__slug").annotate(
        Sum("base_rao"), Sum("commission_rao")
    )
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for day, slug, base, commission in sums.order_by("period__key"):
        found[day][slug] = int(base), int(commission)
    assert {day: (row["creative-builds"], row["talisman"]) for day, row in found.items()} == GOLDEN
    sold = ConversionAllocation.objects.aggregate(alpha=Sum("alpha_rao"), tao=Sum("tao_rao"))
    assert {name: int(amount) for name, amount in sold.items()} == {
        "alpha": 15_317_378_545,
        "tao": 12_841_179_367,
    }


@pytest.mark.django_db
def test_f22_the_demonstration_comes_to_what_it_always_did_and_to_the_same_without_the_ledgers_code() -> None:
    call_command("demo", no_serve=True, verbosity=0)
    check_golden()
    ours, other = Partner.objects.get(slug="creative-builds"), Partner.objects.get(slug="talisman")
    wallets = set(Wallet.objects.filter(partner=ours).values_list("address", flat=True))
    (rate,) = Agreement.objects.filter(partner=ours).values_list("rate_bps", flat=True)
    day_of = {
        block: period.key
        for period in Period.objects.all()
        for block in range(period.blocks.lower, period.blocks.upper)
    }
    others = dict(
        PartnerTake.objects.filter(partner=other).values_list("source_id").annotate(Sum("take_rao"))
    )
    happened: list[tuple[int, int, Any]] = [
        *((row.block_id, 0, row) for row in Yield.objects.order_by("block_id", "netuid", "hotkey", "side")),
        *((row.block_id, 1, row) for row in Conversion.objects.order_by("stake_event__event_index")),
    ]
    bases: dict[tuple[str, str, int, str], int] = defaultdict(int)
    lots: list[dict[str, Any]] = []
    for block, kind, row in sorted(happened, key=lambda one: one[:2]):
        if block not in day_of:
            continue
        if kind == 0:
            mine, theirs = earned_by(wallets, row), int(others.get(row.pk, 0))
            pool = {"hotkey": row.hotkey, "netuid": row.netuid, "side": row.side}
            parts = [row.take_rao - mine - theirs, mine, theirs]
            if row.asset == "TAO":
                bases[day_of[block], row.hotkey, row.netuid, row.side] += mine
            else:
                lots.append(pool | {"left": row.take_rao, "parts": parts})
            continue
        for lot, tao in sales_of(row, lots):
            key = day_of[block], lot["hotkey"], lot["netuid"], lot["side"]
            bases[key] += share_out(tao, lot["parts"])[1]
    lines = CommissionLine.objects.filter(partner=ours)
    stored = lines.values_list(
        "period__key", "hotkey", "netuid", "side", "base_rao", "rate_bps", "commission_rao"
    )
    assert {key: (base, rate, base * rate // 10_000) for key, base in bases.items() if base} == {
        (day, hotkey, netuid, side): (base, bps, commission)
        for day, hotkey, netuid, side, base, bps, commission in stored
    }
