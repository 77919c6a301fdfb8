"""The demonstration: thirteen days of a validator with two hotkeys, its delegators, a partner's wallets and a stranger.

`rt21` is a root key (TAO delegators on root, alpha delegators on both subnets, take 9 %), `sn_key` a subnet key (take 18 %,
from day seven on 15 %). `stranger` is a validator that is not ours and shares the dividends. `cb_*` are the wallets of the
partner Creative Builds, `tali_*` stake through Talisman, `del_*` are plain delegators.
"""

from __future__ import annotations

from collections.abc import Callable

from chain.localnet.stage import ROOT, Cast, Op, Stage, Subnet, open_chain, start_epochs

FIRST, SECOND = 2, 3  # netuids
TAKE_9_PERCENT = 5898  # of 65535
TAKE_15_PERCENT = 9830

CAST = Cast(
    subnets=(
        Subnet(FIRST, 6, "sub_owner", "sub_hot_2", "6214.730918264", "12875.118204733"),
        Subnet(SECOND, 8, "sub_owner", "sub_hot_3", "2480.551903317", "9466.202775018"),
    ),
    hotkeys={
        "rt21": "rt21_owner",
        "sn_key": "sn_owner",
        "stranger": "stranger_owner",
        "miner_1": "miner_owner",
        "miner_2": "miner_owner",
    },
    validators=("rt21", "sn_key", "stranger"),
    miners=("miner_1", "miner_2"),
    coldkeys=(
        *("cb_1", "cb_2", "cb_3", "tali_1", "tali_2"),
        *("del_1", "del_2", "del_3", "del_4", "del_5", "del_6", "del_7", "del_8"),
    ),
    free_rao={
        "cb_1": 2_418_337_905_112,
        "cb_2": 1_106_204_518_870,
        "cb_3": 1_920_045_771_336,
        "tali_1": 655_120_488_091,
        "tali_2": 402_913_006_254,
        "del_1": 9_880_412_667_350,
        "del_2": 4_215_009_318_442,
        "del_3": 1_733_580_290_617,
        "del_4": 1_964_772_105_208,
        "del_5": 880_336_914_563,
        "del_6": 1_250_618_443_029,
        "del_7": 3_071_954_880_116,
        "del_8": 25_400_117_902,
    },
)

# What happens on a day: place of the block within the day, or "epoch 2" / "epoch 3" for the first block of the day that
# runs that subnet's epoch -> label and calls.
Place = int | str
Plan = dict[Place, tuple[str, list[Op]]]

GROUPS = ((0, "02:14:24"), (6, "10:41:00"), (12, "19:27:48"))  # place of the first block, its time of day
BLOCKS_A_DAY = (15, 18, 21, 14, 16, 19, 23, 13, 17, 20, 18, 12)  # from the second day on: no two days alike


def first_stakes(s: Stage) -> None:
    """Stake what the demonstration starts with."""
    s.block(
        "rt21 enters root, its take goes to 9 %",
        ("rt21_owner", s.sub("root_register", hotkey=s.name("rt21"))),
        s.lower_take("rt21_owner", "rt21", TAKE_9_PERCENT),
    )
    s.jump("2025-08-01 09:06:00")
    s.block(
        "root stake",
        s.add("rt21_owner", "rt21", ROOT, "24.518003117"),
        s.add("del_1", "rt21", ROOT, "5214.330918244"),
        s.add("del_2", "rt21", ROOT, "1870.004511902"),
        s.add("cb_1", "rt21", ROOT, "1142.906331587"),
        s.add("stranger_owner", "stranger", ROOT, "2905.118277314"),
    )
    s.count_root_stake()
    s.block(
        "stake on subnet 2",
        s.add("rt21_owner", "rt21", FIRST, "3.204118855"),
        s.add("sn_owner", "sn_key", FIRST, "9.870336021"),
        s.add("cb_2", "sn_key", FIRST, "310.447120093"),
        s.add("del_2", "rt21", FIRST, "422.118906377"),
        s.add("stranger_owner", "stranger", FIRST, "250.331944806"),
    )
    s.block(
        "stake on subnet 3",
        s.add("rt21_owner", "rt21", SECOND, "2.118340072"),
        s.add("sn_owner", "sn_key", SECOND, "6.402217934"),
        s.add("cb_3", "rt21", SECOND, "205.660318841"),
        s.add("del_5", "sn_key", SECOND, "188.005512386"),
        s.add("stranger_owner", "stranger", SECOND, "120.774400315"),
    )
    s.block(
        "two Talisman stakes; del_3 on root, del_6 on subnet 2",
        s.add_with_talisman("tali_1", "rt21", ROOT, "311.250774309"),
        s.add_with_talisman("tali_2", "sn_key", FIRST, "122.906118447"),
        s.add("del_3", "rt21", ROOT, "960.731144087"),
        s.add("del_6", "rt21", FIRST, "275.338190664"),
    )
    s.count_root_stake()


def day_02(s: Stage) -> Plan:
    """More stake comes in."""
    return {
        3: ("del_4 joins on subnet 2", [s.add("del_4", "rt21", FIRST, "640.117330982")]),
        9: ("Creative Builds joins sn_key on root", [s.add("cb_3", "sn_key", ROOT, "402.118345570")]),
        14: ("del_5 adds", [s.add("del_5", "sn_key", SECOND, "87.300451128")]),
    }


def day_03(s: Stage) -> Plan:
    """An epoch block holds stake extrinsics; a tagged wallet stakes without the tag."""
    return {
        2: ("tali_1 stakes more, untagged", [s.add("tali_1", "rt21", ROOT, "85.500912663")]),
        "epoch 2": (
            "epoch of subnet 2 and stake in the same block",
            [
                s.add("del_2", "rt21", FIRST, "150.250118334"),
                s.remove("del_1", "rt21", ROOT, "214.330918244"),
            ],
        ),
        15: ("cb_1 stakes alpha on sn_key", [s.add("cb_1", "sn_key", FIRST, "260.009134475")]),
    }


def day_04(s: Stage) -> Plan:
    """The first take is sold; a large delegator comes late."""
    return {
        1: ("rt21 sells take of subnet 2", [s.remove("rt21_owner", "rt21", FIRST, "0.971130482")]),
        4: ("sn_key sells take of subnet 2", [s.remove("sn_owner", "sn_key", FIRST, "1.252008913")]),
        8: ("del_7 joins late", [s.add("del_7", "sn_key", FIRST, "1250.660137741")]),
        16: ("sn_key sells take of subnet 3", [s.remove("sn_owner", "sn_key", SECOND, "1.383310274")]),
    }


def day_05(s: Stage) -> Plan:
    """A partial unstake, a partner adds on two hotkeys in one block."""
    return {
        2: ("del_3 unstakes part", [s.remove("del_3", "rt21", ROOT, "310.118204553")]),
        7: (
            "Creative Builds adds on both hotkeys",
            [s.add("cb_3", "rt21", SECOND, "96.225580017"), s.add("cb_2", "rt21", ROOT, "350.700914406")],
        ),
        13: ("rt21 sells take of subnet 3", [s.remove("rt21_owner", "rt21", SECOND, "1.245207713")]),
    }


def day_06(s: Stage) -> Plan:
    """A move to the other hotkey; a sale with a price limit."""
    return {
        4: ("del_4 moves to sn_key", [s.move("del_4", "rt21", "sn_key", FIRST, "205.330118427")]),
        10: ("sn_key sells with a limit", [s.remove_limit("sn_owner", "sn_key", FIRST, "0.790772416")]),
        14: ("del_1 buys alpha", [s.add("del_1", "rt21", SECOND, "320.018446602")]),
    }


def day_07(s: Stage) -> Plan:
    """sn_key lowers its take; stake changes its coldkey."""
    return {
        0: ("sn_key lowers its take to 15 %", [s.lower_take("sn_owner", "sn_key", TAKE_15_PERCENT)]),
        5: ("del_5 gives stake to del_8", [s.transfer("del_5", "del_8", "sn_key", SECOND, "120.404118893")]),
        11: ("rt21 sells take of subnet 2", [s.remove("rt21_owner", "rt21", FIRST, "1.166904118")]),
        16: ("tali_2 adds, untagged", [s.add("tali_2", "sn_key", FIRST, "61.004492218")]),
    }


def day_08(s: Stage) -> Plan:
    """A swap between subnets; del_6 leaves altogether."""
    return {
        3: ("cb_2 swaps from subnet 2 to 3", [s.swap("cb_2", "sn_key", FIRST, SECOND, "60.118234470")]),
        "epoch 3": (
            "epoch of subnet 3; sn_key sells in the same block",
            [s.remove("sn_owner", "sn_key", SECOND, "1.217360051")],
        ),
        14: ("del_6 leaves", [s.remove_all("del_6", "rt21", FIRST)]),
    }


def day_09(s: Stage) -> Plan:
    """Take goes into root; a mixed Talisman position is reduced."""
    return {
        2: (
            "rt21 swaps take of subnet 2 into root",
            [s.swap("rt21_owner", "rt21", FIRST, ROOT, "0.450338907")],
        ),
        8: ("tali_1 unstakes part", [s.remove("tali_1", "rt21", ROOT, "140.226901173")]),
        12: ("sn_key sells take of subnet 2", [s.remove("sn_owner", "sn_key", FIRST, "1.302117660")]),
    }


def day_10(s: Stage) -> Plan:
    """Old and large delegators come back with more."""
    return {
        1: ("del_6 comes back", [s.add("del_6", "rt21", FIRST, "198.440611725")]),
        6: ("del_1 adds on root", [s.add("del_1", "rt21", ROOT, "2511.730994408")]),
        15: ("del_7 adds", [s.add("del_7", "rt21", SECOND, "240.118003964")]),
    }


def day_11(s: Stage) -> Plan:
    """sn_key sells more than its take: some of its own stake goes with it."""
    return {
        5: ("sn_key sells take and own stake", [s.remove("sn_owner", "sn_key", FIRST, "1.950118906")]),
        9: ("cb_1 swaps root stake into subnet 2", [s.swap("cb_1", "rt21", ROOT, FIRST, "200.118447301")]),
        13: ("rt21 sells take of subnet 3", [s.remove("rt21_owner", "rt21", SECOND, "1.618300492")]),
    }


def day_12(s: Stage) -> Plan:
    """An epoch block with an owner's sale and delegators on both sides."""
    return {
        "epoch 2": (
            "epoch of subnet 2; sale, stake and unstake in the same block",
            [
                s.remove("rt21_owner", "rt21", FIRST, "0.770551836"),
                s.add("del_8", "rt21", FIRST, "12.330481195"),
                s.remove("del_2", "rt21", FIRST, "90.117330824"),
            ],
        ),
        12: ("cb_2 unstakes part", [s.remove("cb_2", "sn_key", FIRST, "75.330914482")]),
        16: ("sn_key sells take of subnet 3", [s.remove("sn_owner", "sn_key", SECOND, "1.590338114")]),
    }


def day_13(s: Stage) -> Plan:
    """rt21 takes its root take out; the chain goes on quietly."""
    return {
        4: ("rt21 withdraws root take", [s.remove("rt21_owner", "rt21", ROOT, "0.410228347")]),
        8: ("del_7 unstakes part", [s.remove("del_7", "sn_key", FIRST, "300.551820047")]),
        11: ("sn_key sells take of subnet 2", [s.remove("sn_owner", "sn_key", FIRST, "0.420418873")]),
    }


DAYS: tuple[Callable[[Stage], Plan], ...] = (
    *(day_02, day_03, day_04, day_05, day_06, day_07),
    *(day_08, day_09, day_10, day_11, day_12, day_13),
)


def play_day(s: Stage, date: str, plan: Plan, length: int) -> None:
    """Build the blocks of one day in three groups, each call in its place."""
    waiting = {key: value for key, value in plan.items() if isinstance(key, str)}
    times = dict(GROUPS)
    for place in range(length):
        if place in times:
            s.jump(f"{date} {times[place]}")
        due = next((key for key in waiting if s.epoch_due(int(key.split()[1]), s.next_number())), None)
        label, ops = plan.get(place) or (waiting.pop(due) if due else ("quiet", []))
        s.block(f"{date} {label}", *ops)
    if waiting or any(isinstance(key, int) and key >= length for key in plan):
        raise RuntimeError(f"{date}: no block was left for some of {list(plan)}")
    s.count_root_stake()


def play(s: Stage) -> None:
    """Play all thirteen days, 2025-08-01 to 2025-08-13."""
    open_chain(s)
    first_stakes(s)
    start_epochs(s)
    s.jump("2025-08-01 20:32:12")
    s.blocks(8, "2025-08-01 the first dividends")
    for number, (plan, length) in enumerate(zip(DAYS, BLOCKS_A_DAY, strict=True), start=2):
        play_day(s, f"2025-08-{number:02d}", plan(s), length)
