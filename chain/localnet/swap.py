"""Keys change under our feet: hotkeys and coldkeys of delegators, a partner and ourselves are swapped between epochs.

`key_a` and `key_b` are ours; `key_b` is moved to another hotkey on all subnets, the owner of `key_a` to another coldkey.
"""

from __future__ import annotations

from chain.localnet.stage import ROOT, Cast, Op, Stage, Subnet, open_chain, start_epochs

FIRST, SECOND = 2, 3  # netuids
SWAP_COST_RAO = 100_000_000
SWAP_DELAY_BLOCKS = 10
TAKE_9_PERCENT = 5898  # of 65535

CAST = Cast(
    subnets=(
        Subnet(FIRST, 4, "sub_owner", "sub_hot_2", "2214.730918264", "4875.118204733"),
        Subnet(SECOND, 6, "sub_owner", "sub_hot_3", "1480.551903317", "5466.202775018"),
    ),
    hotkeys={"key_a": "owner_a", "key_b": "owner_b", "stranger": "stranger_owner", "miner": "miner_owner"},
    validators=("key_a", "key_b", "stranger"),
    miners=("miner",),
    coldkeys=("cb_1", "d1", "d2", "d3"),
)


def coldkey(s: Stage, old: str, new: str) -> Op:
    """Swap a coldkey as the chain's scheduler would, at once."""
    names = {"old_coldkey": s.name(old), "new_coldkey": s.name(new)}
    return s.sudo(s.sub("swap_coldkey", **names, swap_cost=SWAP_COST_RAO))


def hotkey(s: Stage, who: str, old: str, new: str, netuid: int | None) -> Op:
    """Swap a hotkey on one subnet or on all."""
    return who, s.sub("swap_hotkey", hotkey=s.name(old), new_hotkey=s.name(new), netuid=netuid)


def play(s: Stage) -> None:
    """Play it over four days, 2025-08-01 to 2025-08-04."""
    open_chain(s)
    s.block(
        "key_a takes 9 %; a scheduled coldkey swap waits ten blocks",
        s.lower_take("owner_a", "key_a", TAKE_9_PERCENT),
        s.sudo(s.admin("sudo_set_coldkey_swap_schedule_duration", duration=SWAP_DELAY_BLOCKS)),
    )
    s.block(
        "root stake",
        s.add("d1", "key_a", ROOT, "700.118203377"),
        s.add("cb_1", "key_a", ROOT, "410.330118204"),
        s.add("d3", "key_b", ROOT, "150.000000003"),
        s.add("stranger_owner", "stranger", ROOT, "500"),
    )
    s.count_root_stake()
    for netuid in (FIRST, SECOND):
        s.block(
            f"stake on subnet {netuid}",
            s.add("owner_a", "key_a", netuid, "2.118203377"),
            s.add("owner_b", "key_b", netuid, "3.330118204"),
            s.add("d1", "key_a", netuid, "60.118203377"),
            s.add("d2", "key_b", netuid, "80.227118336"),
            s.add("cb_1", "key_b", netuid, "45.118203377"),
            s.add("stranger_owner", "stranger", netuid, "30"),
        )
    start_epochs(s)
    s.jump("2025-08-02 07:00:00")
    s.blocks(8, "dividends")
    s.wait_for_epoch(FIRST)
    s.block("epoch of subnet 2; a delegator's coldkey is swapped", coldkey(s, "d2", "d2_new"))
    s.blocks(6, "dividends")
    s.block(
        "a delegator schedules a swap", ("d3", s.sub("schedule_swap_coldkey", new_coldkey=s.name("d3_new")))
    )
    s.block("the partner's coldkey is swapped", coldkey(s, "cb_1", "cb_1_new"))
    s.jump("2025-08-03 07:00:00")
    s.blocks(8, "dividends")
    s.block("one hotkey of ours on one subnet", hotkey(s, "owner_b", "key_b", "key_b_two", FIRST))
    s.wait_for_epoch(SECOND)
    s.block(
        "epoch of subnet 3; our hotkey is swapped on all", hotkey(s, "owner_b", "key_b", "key_b_new", None)
    )
    s.blocks(9, "dividends")
    s.block(
        "a sale after the swap",
        s.remove("owner_b", "key_b_new", FIRST, "0.5"),
        s.add("d1", "key_b_new", FIRST, "8.5"),
    )
    s.jump("2025-08-04 07:00:00")
    s.wait_for_epoch(FIRST)
    s.block("epoch of subnet 2; our owner's coldkey is swapped", coldkey(s, "owner_a", "owner_a_new"))
    s.blocks(12, "dividends")
    s.name("owner_a_new")
    s.block("the new owner sells", s.remove("owner_a_new", "key_a", FIRST, "0.4"))
    s.blocks(5, "dividends")
