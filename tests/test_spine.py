"""From a node's answers to each delegator's share, against plain integers on the node's own storage (LE1, CH10)."""

from __future__ import annotations

import json
from collections import defaultdict
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chain.models import Block, Conversion, Yield
from chain.queries import facts_sha256, holdings_at
from chain.services import check_positions, ingest_segment
from chain.tests.replay_node import DATA, Play, serving
from ledger.models import Attribution, CommissionLine, Period
from rakeback.demo import SEGMENT

pytestmark = pytest.mark.django_db


def run(*arguments: Any, **options: Any) -> str:
    out = StringIO()
    call_command(*arguments, **options, stdout=out)
    return out.getvalue()


def plain_split(total: int, holders: dict[str, int]) -> dict[str, int]:
    """floor(total × share / all shares); what is left goes to the largest holder, the first address of equals."""
    everything = sum(holders.values())
    parts = {coldkey: total * share // everything for coldkey, share in holders.items()}
    largest = min(holders, key=lambda coldkey: (-holders[coldkey], coldkey))
    parts[largest] += total - sum(parts.values())
    return parts


def moved(play: Play, number: int, pool: tuple[str, int]) -> int:
    """Stake that events of a block put into a pool, less what they took out."""
    return sum(
        event["attributes"][3] * (1 if event["event"] == "StakeAdded" else -1)
        for event in play.blocks[number]["events"]
        if event["event"] in ("StakeAdded", "StakeRemoved")
        and (event["attributes"][1], event["attributes"][4]) == pool
    )


def minted(value: int, denominator: int, takes: list[int], nets: list[int]) -> int:
    """The denominator after takes are minted (U64F64, truncating) and each dividend raises the value."""
    for take, net in zip(takes, nets, strict=True):
        per_share = (value << 128) // denominator
        denominator += (take << 128) // per_share
        value += take + net
    return denominator


def plain_epochs(play: Play, number: int, hotkeys: list[str]) -> list[dict[str, Any]]:
    """What one block's epochs earned the hotkeys and from whom, from the recording's storage tables alone."""
    ran = [n for (n,), block in play.table(number, "LastMechansimStepBlock").items() if block == number]
    before, after = (play.table(n, "TotalHotkeyAlpha") for n in (number - 1, number))
    shares = play.table(number - 1, "Alpha")
    found = []
    for hotkey in hotkeys:
        take_u16 = play.table(number - 1, "Delegates").get((hotkey,), 11_796)
        roots = {n: play.table(number, "TaoDividendsPerSubnet").get((n, hotkey), 0) for n in ran}
        grown = after.get((hotkey, 0), 0) - before.get((hotkey, 0), 0) - moved(play, number, (hotkey, 0))
        paying = [netuid for netuid in ran if roots[netuid]]
        takes = [grown - sum(roots.values())]
        if len(paying) == 2:
            value, shares_all = before[hotkey, 0], play.table(number - 1, "TotalHotkeyShares")[hotkey, 0]
            wanted = play.table(number, "TotalHotkeyShares")[hotkey, 0]
            about = roots[paying[0]] * take_u16 // (65_535 - take_u16)
            choices = [[take, takes[0] - take] for take in range(about - 1, about + 3)]
            takes = next(
                c for c in choices if minted(value, shares_all, c, [roots[n] for n in paying]) == wanted
            )
        found += [
            (netuid, hotkey, "ROOT", "TAO", take, 0)
            for netuid, take in zip(paying, takes, strict=False)
            if paying
        ]
        for netuid in ran:
            dividend = play.table(number, "AlphaDividendsPerSubnet").get((netuid, hotkey), 0)
            if dividend:
                at_epoch = play.table(number, "TotalHotkeyAlphaLastEpoch")[hotkey, netuid]
                take = at_epoch - before.get((hotkey, netuid), 0) - dividend
                found.append((netuid, hotkey, "ALPHA", "ALPHA", take, netuid))
    return [
        {
            "netuid": netuid,
            "hotkey": hotkey,
            "side": side,
            "asset": asset,
            "take_rao": take,
            "shares": plain_split(
                take, {k[1]: int(v) for k, v in shares.items() if (k[0], k[2]) == (hotkey, pool) and int(v)}
            ),
        }
        for netuid, hotkey, side, asset, take, pool in found
    ]


def test_le1_every_block_explains_itself_as_plain_integers_do(tmp_path: Path) -> None:
    """Record from a serving node, stop it, replay the file, and compare each block of the play."""
    play = Play("play")
    hotkeys = [play.address("val_hot"), play.address("snx_hot")]
    segment = tmp_path / "play.segment.gz"
    with serving(play) as url:
        ours = [word for hotkey in hotkeys for word in ("--hotkey", hotkey)]
        run(
            "record_segment",
            "--url",
            url,
            "--from",
            "2",
            "--to",
            str(play.last),
            *ours,
            "--out",
            str(segment),
        )
    run("ingest", segment=segment)
    assert "positions equal" in run("check_positions", segment=segment)
    compared = 0
    for number in range(2, play.last + 1):
        explained = json.loads(run("explain_block", number, format="json"))
        assert (explained["block"], explained["hash"]) == (number, play.blocks[number]["hash"])
        stored = [
            {**epoch, "shares": {share["coldkey"]: share["take_rao"] for share in epoch["shares"]}}
            for epoch in explained["epochs"]
        ]
        order = lambda epoch: (epoch["netuid"], epoch["hotkey"], epoch["side"])  # noqa: E731
        assert sorted(stored, key=order) == sorted(plain_epochs(play, number, hotkeys), key=order)
        compared += len(stored)
    assert compared == Yield.objects.count() == 35


@pytest.mark.parametrize(("name", "positions", "yields"), [("edge", 50, 650), ("swap", 7, 48)])
def test_ch3_other_plays_hold_to_the_last_rao(name: str, positions: int, yields: int) -> None:
    """Stake moving inside epoch blocks, owner cuts, mining incentives, child keys, proxies, coldkey swaps."""
    segment = DATA / f"{name}.segment.gz"
    ingest_segment(segment)
    check = check_positions(segment)
    assert (check.positions, check.differences) == (positions, [])
    assert Yield.objects.count() == yields
    run("attribute")
    assert Attribution.objects.count() == yields
    assert "agrees with the facts" in run("check_ledger")


def test_ch10_a_block_that_is_not_stored_is_an_error() -> None:
    with pytest.raises(CommandError, match="5"):
        run("explain_block", 5, format="json")


def test_op1_the_demonstration_adds_up_and_runs_twice_without_change() -> None:
    first = json.loads(run("demo", no_serve=True, verbosity=0).splitlines()[-1])
    facts = facts_sha256()
    assert first["take_alpha_rao"] == first["attributed_alpha_rao"] > 10**10
    assert first["take_tao_rao"] == first["attributed_tao_rao"] > 10**8
    assert (first["partners"], first["gaps"]) == (2, 0)
    assert first["owed_rao"] > 10**9
    assert first["epochs"] >= 8
    check = check_positions(SEGMENT)
    assert check.differences == []
    assert holdings_at(Block.objects.latest("number").number)
    assert json.loads(run("demo", no_serve=True, verbosity=0).splitlines()[-1]) == first
    assert facts_sha256() == facts
    assert "agrees with the facts" in run("check_ledger")


def shared_out(total: int, weights: list[int]) -> list[int]:
    """Floors in proportion, what is left over to the largest, the first of equals."""
    parts = [total * weight // sum(weights) for weight in weights]
    parts[weights.index(max(weights))] += total - sum(parts)
    return parts


def test_le4_the_demonstrations_lines_equal_first_in_first_out_by_hand() -> None:
    """Every base and commission of both partners, from explained blocks and conversions by the plainest bookkeeping."""
    run("demo", no_serve=True, verbosity=0)
    rates = {"creative-builds": 3300, "talisman": 5000}
    day_of = {
        number: period.key
        for period in Period.objects.all()
        for number in range(period.blocks.lower, period.blocks.upper)
    }
    bases: dict[tuple[str, str, str, int, str], int] = defaultdict(int)
    lots: dict[tuple[str, int], list[tuple[list[int], list[int]]]] = defaultdict(
        list
    )  # unsold, [own, *theirs]
    sales = {c.pk: c for c in Conversion.objects.order_by("block_id", "stake_event__event_index")}
    for number in sorted(day_of):
        for epoch in json.loads(run("explain_block", number, format="json"))["epochs"]:
            takes = {
                slug: sum(share["take_rao"] for share in epoch["shares"] if share["partner"] == slug)
                for slug in (None, *rates)
            }
            pool = epoch["hotkey"], epoch["netuid"]
            if epoch["side"] == "ROOT":
                for slug in rates:
                    bases[(slug, day_of[number], *pool, "ROOT")] += takes[slug]
            else:
                lots[pool].append(([epoch["take_rao"]], list(takes.values())))
        for sale in [sale for sale in sales.values() if sale.block_id == number]:
            pool, left, sold = (sale.hotkey, sale.netuid), sale.alpha_rao, []
            for unsold, parts in lots[pool]:
                if part := min(unsold[0], left):
                    unsold[0] -= part
                    left -= part
                    sold.append((part, parts))
            proceeds = sale.tao_rao * (sale.alpha_rao - left) // sale.alpha_rao
            for tao, (_, parts) in zip(shared_out(proceeds, [part for part, _ in sold]), sold, strict=True):
                for slug, rao in zip(rates, shared_out(tao, parts)[1:], strict=True):
                    bases[(slug, day_of[number], *pool, "ALPHA")] += rao
    lines = {
        (line.partner.slug, line.period.key, line.hotkey, line.netuid, line.side): (
            line.base_rao,
            line.commission_rao,
        )
        for line in CommissionLine.objects.select_related("period", "partner")
    }
    assert lines == {key: (base, base * rates[key[0]] // 10_000) for key, base in bases.items() if base}
    assert {slug for slug, *_ in lines} == set(rates)
    assert sum(side == "ALPHA" for *_, side in lines) > 5
    assert len(sales) == 14
