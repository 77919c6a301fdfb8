"""Everything that makes exact attribution hard, on one short chain.

Ours are `own_hot` (hotkey of subnet 2's owner, so the owner cut lands on it; no entry in Delegates, so the default take),
`mine_hot` (take 9 %, earns miner's incentive as well), `zero_hot` (take 0) and `parent_hot` (its stake works through child
keys). `stranger`, `strange_parent` and `solo` are not ours. Subnets run their epochs every 3, 5 and 4 blocks, so that two
and three fall together, and most extrinsics stand in blocks with an epoch.
"""

from __future__ import annotations

from typing import Any

from chain.localnet.stage import ROOT, TALISMAN_REMARK, Cast, Op, Stage, Subnet, open_chain, start_epochs

A, B, C = 2, 3, 4  # netuids
HALF = 2**63  # of 2**64, the share that a child key gets
TAKE_9_PERCENT = 5898  # of 65535
TAKE_11_PERCENT = 7209
CHILD_TAKE = 6553  # of 65535

CAST = Cast(
    subnets=(
        Subnet(A, 2, "ours_1", "own_hot", "3014.118204551", "6120.330918247"),
        Subnet(B, 4, "sub_owner", "sub_hot_b", "1822.904117336", "7011.450283019"),
        Subnet(C, 3, "sub_owner", "sub_hot_c", "905.227718403", "4288.119037712"),
    ),
    hotkeys={
        "own_hot": "ours_1",
        "mine_hot": "ours_2",
        "zero_hot": "ours_2",
        "parent_hot": "ours_1",
        "stranger": "stranger_owner",
        "strange_parent": "stranger_owner",
        "miner": "miner_owner",
    },
    validators=("own_hot", "mine_hot", "zero_hot", "stranger"),
    miners=("miner", "mine_hot", "own_hot"),
    coldkeys=(*(f"d{number}" for number in range(1, 13)), "helper", "sudoer"),
)


def setup(s: Stage) -> None:
    """Set takes, child keys and the first stakes."""
    open_chain(s)
    s.block(
        "takes: 9 % and 0; child keys without a waiting time",
        s.lower_take("ours_2", "mine_hot", TAKE_9_PERCENT),
        s.lower_take("ours_2", "zero_hot", 0),
        s.sudo(s.sub("set_pending_childkey_cooldown", cooldown=0)),
    )
    s.block(
        "root stake",
        s.add("ours_1", "own_hot", ROOT, "14.330118902"),
        s.add("d1", "own_hot", ROOT, "911.204477305"),
        s.add("d2", "mine_hot", ROOT, "1204.771093348"),
        s.add("d3", "parent_hot", ROOT, "806.118290447"),
        s.add("d4", "zero_hot", ROOT, "333.333333333"),
        s.add("stranger_owner", "stranger", ROOT, "1500.000000001"),
        s.add("d5", "strange_parent", ROOT, "640.500118227"),
    )
    s.count_root_stake()
    for netuid, factor in ((A, 3), (B, 2), (C, 1)):
        s.block(
            f"stake on subnet {netuid}",
            *_first_alpha(s, netuid, factor),
        )
    s.block(
        "an associated hotkey without registration; a proxy",
        ("stranger_owner", s.sub("try_associate_hotkey", hotkey=s.name("solo"))),
        ("d9", s.node.call("Proxy", "add_proxy", delegate=s.name("helper"), proxy_type="Staking", delay=0)),
        ("d10", s.node.call("Proxy", "add_proxy", delegate=s.name("helper"), proxy_type="Any", delay=0)),
    )
    s.block(
        "delegators of the associated hotkey",
        s.add("d8", "solo", A, "40.118203377"),
        s.add("d7", "solo", ROOT, "9.5"),
    )
    start_epochs(s)


def _first_alpha(s: Stage, netuid: int, factor: int) -> list[Op]:
    amounts = {
        ("ours_1", "own_hot"): "2.118",
        ("ours_1", "parent_hot"): "1.000000007",
        ("ours_2", "mine_hot"): "1.77",
        ("d1", "own_hot"): "30.330118442",
        ("d2", "own_hot"): "11.004118227",
        ("d3", "mine_hot"): "45.118302217",
        ("d4", "zero_hot"): "38.000000003",
        ("d5", "mine_hot"): "20.227118336",
        ("d6", "zero_hot"): "17.750331902",
        ("d6", "parent_hot"): "26.118033471",
        ("stranger_owner", "stranger"): "41.330277118",
        ("d7", "strange_parent"): "12.220118336",
        # The smallest stake that the chain accepts, and a position that will be dust beside the others.
        ("d12", "own_hot"): "0.0021",
    }
    return [
        s.add(who, hotkey, netuid, _times(tao, factor) if who != "d12" else tao)
        for (who, hotkey), tao in amounts.items()
    ]


def _times(tao: str, factor: int) -> str:
    whole, _, part = tao.partition(".")
    total = int(whole + part.ljust(9, "0")) * factor
    return f"{total // 10**9}.{total % 10**9:09d}"


def at(s: Stage, netuids: tuple[int, ...], label: str, *ops: Op) -> None:
    """Put calls into the next block that runs all these epochs and no other."""
    others = {A, B, C} - set(netuids)
    while True:
        number = s.next_number()
        due = all(s.epoch_due(netuid, number) for netuid in netuids)
        if due and not any(s.epoch_due(netuid, number) for netuid in others):
            break
        s.block("between")
    s.block(f"epochs {netuids}: {label}", *ops)


def one_epoch(s: Stage) -> None:
    """Stake extrinsics beside one epoch: same coldkey, other coldkeys, failing batches."""
    at(
        s,
        (A,),
        "one coldkey adds twice, two others move both ways",
        s.add("d1", "own_hot", A, "50.118204471"),
        s.add("d1", "own_hot", A, "25.000000019"),
        s.remove("d2", "own_hot", A, "3.330118227"),
        s.remove("d2", "own_hot", A, "1.118202207"),
        s.add("d3", "own_hot", A, "7.77"),
    )
    at(
        s,
        (B,),
        "move, transfer, swap and swap with a limit",
        s.move("d1", "own_hot", "zero_hot", B, "12.118203301"),
        s.transfer("d3", "d11", "mine_hot", B, "20.118330477"),
        s.swap("d5", "mine_hot", B, A, "10.330118202"),
        _swap_limit(s, "d6", "zero_hot", B, C, "5.118203377"),
        s.swap("d4", "zero_hot", B, ROOT, "8.000000001"),
    )
    at(
        s,
        (C,),
        "batches: good, interrupted, completed with errors, rolled back",
        s.batch(
            s.add("d1", "mine_hot", C, "3.3"),
            s.remark("d1", TALISMAN_REMARK),
            s.remove("d1", "own_hot", C, "2.2"),
        ),
        s.batch(
            s.add("d2", "mine_hot", C, "4.4"),
            s.remove("d2", "mine_hot", C, "99999"),
            s.add("d2", "own_hot", C, "5"),
            kind="batch",
        ),
        s.batch(
            s.add("d3", "zero_hot", C, "1.5"),
            s.remove("d3", "zero_hot", C, "99999"),
            s.add("d3", "own_hot", C, "2.5"),
            kind="force_batch",
        ),
        s.batch(s.add("d4", "own_hot", C, "6.5"), s.remove("d4", "own_hot", C, "99999")),
    )
    at(
        s,
        (A,),
        "proxies: stake, failing stake, remark by the delegate, batch for the real account",
        s.proxied("helper", s.add("d9", "mine_hot", A, "15.118203377")),
        s.proxied("helper", s.remove("d9", "mine_hot", A, "99999")),
        s.batch(
            s.proxied("helper", s.add("d9", "own_hot", A, "4.000000009")), s.remark("helper", TALISMAN_REMARK)
        ),
        s.proxied("helper", s.add_with_talisman("d10", "own_hot", A, "11.330118204")),
        (
            "admin",
            s.node.call(
                "Sudo", "sudo_as", who=s.name("sudoer"), call=s.add("sudoer", "own_hot", A, "3.7")[1]
            ),
        ),
    )


def limits(s: Stage) -> None:
    """Orders with a price limit, filled in part."""
    price = s.price_rao(A)
    at(
        s,
        (A,),
        "limit orders filled in part",
        s.add_limit("d11", "own_hot", A, "900.118203377", price_rao=price * 103 // 100),
        s.remove_limit("d3", "mine_hot", B, "90.118203377", price_rao=s.price_rao(B) * 996 // 1000),
    )
    s.block(
        "a limit sale that cannot fill",
        s.remove_limit("d3", "mine_hot", A, "2", price_rao=s.price_rao(A) * 2),
    )
    full = s.sub(
        "remove_stake_full_limit", hotkey=s.name("mine_hot"), netuid=B, limit_price=s.price_rao(B) // 2
    )
    at(s, (B,), "whole position sold with a limit", ("d11", full), s.remove_all("d4", "zero_hot", C))


def _swap_limit(s: Stage, who: str, hotkey: str, origin: int, target: int, alpha: str) -> Op:
    call = s.sub(
        "swap_stake_limit",
        hotkey=s.name(hotkey),
        origin_netuid=origin,
        destination_netuid=target,
        alpha_amount=int(alpha.replace(".", "")),
        # In 10**-9 of the target's alpha per alpha of the origin; a tenth below the present ratio.
        limit_price=s.price_rao(origin) * 900_000_000 // s.price_rao(target),
        allow_partial=True,
    )
    return who, call


def joint_epochs(s: Stage) -> None:
    """Two epochs in one block, with and without extrinsics."""
    at(s, (A, B), "two epochs, nothing else")
    at(
        s,
        (B, C),
        "two epochs; leave and come back in the same block",
        s.remove_all("d2", "mine_hot", C),
        s.add("d2", "mine_hot", C, "6.600000001"),
        s.remove_all("d2", "own_hot", B),
        s.add("d2", "own_hot", B, "9.118203377"),
    )
    at(
        s,
        (A, C),
        "two epochs; everything is unstaked from one key",
        ("d5", s.sub("unstake_all", hotkey=s.name("mine_hot"))),
        ("d6", s.sub("unstake_all_alpha", hotkey=s.name("zero_hot"))),
        s.remove("ours_1", "own_hot", A, "0.3"),
    )


def three_epochs(s: Stage) -> None:
    """Three epochs in one block, with stake extrinsics of delegators and owners behind them."""
    at(
        s,
        (A, B, C),
        "three epochs; owners sell, root goes both ways, a take rises",
        s.remove("ours_1", "own_hot", A, "0.410118203"),
        s.swap("ours_2", "mine_hot", B, ROOT, "0.150000003"),
        s.add("d1", "mine_hot", ROOT, "200.118203377"),
        s.remove("d2", "mine_hot", ROOT, "150.330118204"),
        s.raise_take("ours_2", "mine_hot", TAKE_11_PERCENT),
        s.add("d11", "zero_hot", B, "33.118203377"),
    )


def dust_and_burns(s: Stage) -> None:
    """Positions that shrink to almost nothing; alpha recycled and burned; stake that an owner gains or gives otherwise."""
    at(
        s,
        (A,),
        "a rest of dust goes with the rest; another is left",
        s.remove("d2", "own_hot", A, s.stake_rao("d2", "own_hot", A) - 60),
        s.remove("d3", "own_hot", A, s.stake_rao("d3", "own_hot", A) - 400_000),
        s.remove("d12", "own_hot", A, s.stake_rao("d12", "own_hot", A)),
    )
    at(
        s,
        (B,),
        "recycle and burn, by a delegator and by an owner",
        ("d1", s.sub("recycle_alpha", hotkey=s.name("own_hot"), amount=1_118_203_377, netuid=B)),
        ("d6", s.sub("burn_alpha", hotkey=s.name("parent_hot"), amount=2_330_118_204, netuid=B)),
        ("ours_2", s.sub("burn_alpha", hotkey=s.name("mine_hot"), amount=50_000_007, netuid=B)),
    )
    at(
        s,
        (A,),
        "owners give, get and move stake",
        s.transfer("d1", "ours_1", "own_hot", A, "5.118203377"),
        s.transfer("ours_1", "d4", "own_hot", A, "0.2"),
        s.move("ours_1", "own_hot", "parent_hot", A, "0.300000011"),
        s.add("ours_2", "mine_hot", A, "2.5"),
        s.remove("ours_2", "zero_hot", A, "99999"),
    )


def scheduled(s: Stage) -> None:
    """A stake that the scheduler makes: its events stand before the extrinsics of the block."""
    when = s.next_number() + 1
    while not s.epoch_due(B, when):
        when += 1
    origin = {"system": {"Signed": s.name("d10")}}
    call = s.node.call(
        "Utility", "dispatch_as", as_origin=origin, call=s.add("d10", "mine_hot", B, "13.118203377")[1]
    )
    schedule: Any = s.node.call(
        "Scheduler", "schedule", when=when, maybe_periodic=None, priority=0, call=call
    )
    s.block(f"a stake is scheduled for block {when}", s.sudo(schedule))
    while s.next_number() <= when:
        s.block("the scheduled stake" if s.next_number() == when else "between")


def child_keys(s: Stage) -> None:
    """Stake works through other hotkeys: ours through ours, a stranger's through ours, ours through a stranger's."""
    s.block(
        "child keys are set",
        ("ours_2", s.sub("set_childkey_take", hotkey=s.name("mine_hot"), netuid=B, take=CHILD_TAKE)),
        _children(s, "ours_1", "parent_hot", B, ("mine_hot", HALF), ("stranger", HALF // 2)),
        _children(s, "ours_1", "parent_hot", A, ("own_hot", 2 * HALF - 1)),
        _children(s, "stranger_owner", "strange_parent", B, ("mine_hot", HALF)),
    )
    s.blocks(6, "child keys at work")


def child_keys_and_stake(s: Stage) -> None:
    """Stake moves on a hotkey that has child keys."""
    at(
        s,
        (B,),
        "stake on a parent",
        s.add("d1", "parent_hot", B, "31.118203377"),
        s.remove("d6", "parent_hot", B, "4"),
    )
    s.blocks(6, "child keys at work")


def _children(s: Stage, who: str, hotkey: str, netuid: int, *children: tuple[str, int]) -> Op:
    listed = [(share, s.name(child)) for child, share in children]
    return who, s.sub("set_children", hotkey=s.name(hotkey), netuid=netuid, children=listed)


def strangers_hotkey(s: Stage) -> None:
    """A hotkey that only has delegators changes its name, in an epoch block."""
    call = s.sub("swap_hotkey", hotkey=s.name("solo"), new_hotkey=s.name("solo_new"), netuid=None)
    at(s, (A,), "a stranger's hotkey is swapped", ("stranger_owner", call), s.add("d1", "own_hot", A, "1.5"))
    s.block("and staked on", s.add("d8", "solo_new", A, "2.118203377"))


def play(s: Stage) -> None:
    """Play it over five days, 2025-08-01 to 2025-08-05."""
    setup(s)
    s.jump("2025-08-02 08:00:00")
    one_epoch(s)
    at(s, (A, B, C), "three epochs, nothing else")
    limits(s)
    s.jump("2025-08-03 08:00:00")
    s.count_root_stake()
    joint_epochs(s)
    s.jump("2025-08-04 08:00:00")
    dust_and_burns(s)
    scheduled(s)
    s.jump("2025-08-05 08:00:00")
    child_keys(s)
    three_epochs(s)
    child_keys_and_stake(s)
    strangers_hotkey(s)
    s.wait_for_epoch(A, B)
    s.blocks(5)
