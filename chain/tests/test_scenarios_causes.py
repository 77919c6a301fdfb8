"""Must-pass scenarios 14 to 17, 22 and 23, read from a chain that knows the truth: fees, orders, claims, burning,
remarks, and stake from elsewhere.

The pure tests of the same numbers say how events are named. Here whole blocks are read: amounts are what the pools of
raw storage gained and lost (`Followed.block` compares), and TAO is what subnets really paid.
"""

from __future__ import annotations

import pytest

from chain.tests.followed import ROOT, TAO, Followed, eras, of, owner_and_delegator, someone, told
from chain.tests.model import AlphaFee, calls, orders
from chain.tests.model.calls import Call

# --- 14. Fees in alpha -----------------------------------------------------------------------------------------------


def fee_call(follow: Followed, coldkey: str, kind: str) -> Call:
    """A call whose fee may be taken from the stake it names, which fails if it is to."""
    if kind == "fails":
        # More than is there, on runtimes that would otherwise cut it down: a hotkey that does not exist.
        return calls.move_stake(follow.hotkey, follow.newcomer("nobody"), follow.netuid, follow.netuid, TAO)
    return calls.remove_stake(follow.hotkey, follow.netuid, 3 * TAO)


@pytest.mark.parametrize("spec", [301, 320, 345, 348, 401, 415, 425])
@owner_and_delegator
@pytest.mark.parametrize("kind", ["succeeds", "fails"])
def test_scenario_14_a_fee_in_alpha_is_told_and_sells_nothing(spec: int, who: str, kind: str) -> None:
    follow = Followed(spec)
    coldkey = someone(follow, who)
    fee = 1_234_567
    follow.chain.submit(
        coldkey,
        fee_call(follow, coldkey, kind),
        alpha_fee=AlphaFee(follow.hotkey, follow.netuid, fee),
    )
    facts = follow.block()
    paid = [leg for leg in facts.stake_events if leg.cause == "ALPHA_FEE"]
    rest = [leg for leg in facts.stake_events if leg.cause != "ALPHA_FEE"]
    assert [(leg.coldkey, leg.hotkey, leg.netuid, leg.added) for leg in paid] == [
        (coldkey, follow.hotkey, follow.netuid, False)
    ]
    assert abs(paid[0].alpha_rao - fee) <= (2 if spec < 349 else 0)
    assert paid[0].derived == (spec < 349)
    assert [(leg.kind, leg.alpha_rao) for leg in rest] == (
        [("UNSTAKE", 3 * TAO)] if kind == "succeeds" else []
    )
    sold = [(sale.alpha_rao, sale.tao_rao) for sale in facts.conversions]
    assert sold == [(leg.alpha_rao, leg.tao_rao) for leg in rest if who == "owner"]


@pytest.mark.parametrize("spec", [301, 345, 401, 415, 425])
@owner_and_delegator
@pytest.mark.parametrize("kind", ["succeeds", "fails"])
def test_scenario_14_a_fee_in_alpha_in_the_block_of_an_epoch(spec: int, who: str, kind: str) -> None:
    follow = Followed(spec)
    coldkey = someone(follow, who)
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    follow.chain.submit(
        coldkey,
        fee_call(follow, coldkey, kind),
        alpha_fee=AlphaFee(follow.hotkey, follow.netuid, 1_234_567),
    )
    facts = follow.block()
    assert len(facts.yields) == 2
    (paid,) = [leg for leg in facts.stake_events if leg.cause == "ALPHA_FEE"]
    assert abs(paid.alpha_rao - 1_234_567) <= (2 if spec < 349 else 0)


# --- 15. Limit orders ------------------------------------------------------------------------------------------------


@eras(423)
@owner_and_delegator
def test_scenario_15_orders_executed_one_by_one(spec: int, who: str) -> None:
    follow = Followed(spec)
    seller, buyer = someone(follow, who), follow.newcomer("buyer")
    ppb = 5_000_000
    sell = orders.Order(seller, follow.hotkey, follow.netuid, False, 8 * TAO + 1, ppb)
    buy = orders.Order(buyer, follow.hotkey, follow.netuid, True, 2 * TAO + 1, ppb)
    follow.chain.submit(follow.chain.address("relayer"), orders.execute(sell, buy))
    facts = follow.block()
    sold, bought = facts.stake_events
    assert [(leg.kind, leg.cause, leg.coldkey, leg.added) for leg in (sold, bought)] == [
        ("UNSTAKE", "ORDER", seller, False),
        ("STAKE", "ORDER", buyer, True),
    ]
    assert sold.alpha_rao == 8 * TAO + 1
    assert abs(bought.alpha_rao - follow.stake(buyer)) <= 1
    assert {leg.signer for leg in (sold, bought)} == {follow.chain.address("relayer")}
    received = follow.tao_received(seller)
    assert received == sold.tao_rao
    fee = (received or 0) * ppb // 10**9
    assert fee > 0
    # What the seller kept is less than the stake event says: the relayer's fee is a transfer of its own.
    expected = [(8 * TAO + 1, (received or 0) - fee, False)] if who == "owner" else []
    assert told(facts, conversions=True) == expected


@eras(423)
@owner_and_delegator
@pytest.mark.parametrize("bought", [TAO, 400 * TAO])
def test_scenario_15_orders_netted_in_a_batch_leave_no_stake_event_and_are_exact(
    spec: int, who: str, bought: int
) -> None:
    follow = Followed(spec)
    seller, second = someone(follow, who), follow.nominators()[1]
    buyer = follow.newcomer("buyer")
    before = {coldkey: follow.stake(coldkey) for coldkey in (seller, second, buyer)}
    several = [
        orders.Order(seller, follow.hotkey, follow.netuid, False, 90 * TAO + 1, 2_000_000),
        orders.Order(buyer, follow.hotkey, follow.netuid, True, bought, 1_000_000),
        orders.Order(second, follow.hotkey, follow.netuid, False, 30 * TAO + 7),
    ]
    follow.chain.submit(follow.chain.address("relayer"), orders.execute_batched(follow.netuid, *several))
    facts = follow.block()
    legs = {leg.coldkey: leg for leg in facts.stake_events}
    assert legs.keys() == {seller, second, buyer}
    assert {leg.cause for leg in legs.values()} == {"ORDER"}
    assert (legs[seller].alpha_rao, legs[second].alpha_rao) == (90 * TAO + 1, 30 * TAO + 7)
    for coldkey, leg in legs.items():
        moved = follow.stake(coldkey) - before[coldkey]
        assert abs(moved - (leg.alpha_rao if leg.added else -leg.alpha_rao)) <= 1
        assert leg.added == (coldkey == buyer)
        assert not leg.derived
    executed = {
        event.values["signer"]: event.values for event in follow.events() if event.name == "OrderExecuted"
    }
    kept = executed[seller]["amount_out"]
    paid = [e.values for e in follow.events() if e.is_a("Balances", "Transfer") and e.values["to"] == seller]
    assert [one["amount"] for one in paid] == [kept]
    assert told(facts, conversions=True) == ([(90 * TAO + 1, kept, False)] if who == "owner" else [])


# --- 16. Root claims -------------------------------------------------------------------------------------------------


def with_claim(spec: int, who: str, kind: str) -> tuple[Followed, str]:
    """A chain on which somebody can claim some 50 alpha on the subnet (and nothing elsewhere)."""
    follow = Followed(spec)
    claimer = follow.owner if who == "owner" else follow.nominators(ROOT)[0]
    follow.chain.set_claim_type(claimer, kind, (follow.netuid,) if kind == "KeepSubnets" else ())
    follow.epoch(alpha={follow.hotkey: 0}, root={follow.hotkey: 500 * TAO})
    assert len(follow.block().yields) == 1
    return follow, claimer


claims = pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (spec, kind)
        for spec in (334, 345, 370, 393, 401, 415, 425)
        for kind in ("Swap", "Keep", "KeepSubnets")
        if kind != "KeepSubnets" or spec >= 361
    ],
)


@claims
@owner_and_delegator
@pytest.mark.parametrize("by_itself", [False, True])
def test_scenario_16_a_claim_comes_to_root_or_stays_on_its_subnet(
    spec: int, kind: str, who: str, by_itself: bool
) -> None:
    follow, claimer = with_claim(spec, who, kind)
    netuid = ROOT if kind == "Swap" else follow.netuid
    held = follow.stake(claimer, netuid)
    if by_itself:
        # Only this coldkey has its turn.
        follow.chain.world.root_coldkeys = [claimer]
        follow.chain.auto_claims = True
    else:
        follow.chain.claim_root(claimer, follow.netuid)
    facts = follow.block()
    legs = [leg for leg in of(facts, claimer) if leg.hotkey == follow.hotkey]
    assert [(leg.kind, leg.cause, leg.added, leg.netuid) for leg in legs] == [
        ("STAKE", "ROOT_CLAIM", True, netuid)
    ]
    assert abs(legs[0].alpha_rao - (follow.stake(claimer, netuid) - held)) <= 2
    assert abs(legs[0].alpha_rao - follow.grown(netuid)) <= 2
    assert legs[0].alpha_rao > TAO // 10
    assert (legs[0].extrinsic_index is None) == by_itself
    assert facts.conversions == []
    follow.chain.auto_claims = False
    # A claim that has nothing to give leaves its event and nothing else.
    follow.chain.claim_root(claimer, follow.netuid)
    facts = follow.block()
    assert facts.stake_events == []
    assert "RootClaimed" in [event.name for event in follow.events()]


@claims
@owner_and_delegator
@pytest.mark.parametrize("by_itself", [False, True])
def test_scenario_16_a_claim_in_the_block_of_an_epoch_leaves_the_take_alone(
    spec: int, kind: str, who: str, by_itself: bool
) -> None:
    follow, claimer = with_claim(spec, who, kind)
    follow.doubtful = who == "owner" and kind != "Swap"
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    if by_itself:
        follow.chain.world.root_coldkeys = [claimer]
        follow.chain.auto_claims = True
    else:
        follow.chain.claim_root(claimer, follow.netuid)
    facts = follow.block()
    assert len(facts.yields) == 2
    if facts.doubts:
        # The owner's claim and his take were minted to one share: a rao cannot be told, and a gap says so.
        assert all("owner's own claim of root dividends hides" in doubt for doubt in facts.doubts)


@eras(361)
def test_scenario_16_keep_subnets_sells_what_it_does_not_name(spec: int) -> None:
    follow = Followed(spec)
    claimer, sold = follow.nominators(ROOT)[0], follow.netuids[2]
    follow.chain.set_claim_type(claimer, "KeepSubnets", (follow.netuid,))
    for netuid in (follow.netuid, sold):
        follow.epoch(netuid, alpha={follow.hotkey: 0}, root={follow.hotkey: 500 * TAO})
    follow.block()
    follow.chain.claim_root(claimer, follow.netuid, sold)
    facts = follow.block()
    assert {(leg.netuid, leg.cause, leg.added) for leg in of(facts, claimer)} == {
        (ROOT, "ROOT_CLAIM", True),
        (follow.netuid, "ROOT_CLAIM", True),
    }
    assert follow.grown(sold) == 0


# --- 17. Recycled, burned, bought to burn ----------------------------------------------------------------------------


@eras(283)
@owner_and_delegator
def test_scenario_17_recycled_and_burned_alpha_leaves_for_nothing(spec: int, who: str) -> None:
    follow = Followed(spec)
    coldkey = someone(follow, who)
    follow.chain.recycle(coldkey, follow.hotkey, follow.netuid, 2 * TAO + 1)
    follow.chain.burn(coldkey, follow.hotkey, follow.netuid, 3 * TAO + 1)
    facts = follow.block()
    assert told(facts) == [
        ("UNSTAKE", "RECYCLED", False, 2 * TAO + 1),
        ("UNSTAKE", "BURNED", False, 3 * TAO + 1),
    ]
    assert {leg.tao_rao for leg in facts.stake_events} == {0}
    assert facts.conversions == []
    assert follow.grown() == -(5 * TAO + 2)


@eras(385)
@owner_and_delegator
def test_scenario_17_bought_to_be_burned_is_staked_and_burned(spec: int, who: str) -> None:
    follow = Followed(spec)
    coldkey = someone(follow, who)
    follow.chain.submit(coldkey, calls.add_stake_burn(follow.hotkey, follow.netuid, 2 * TAO))
    facts = follow.block()
    bought, burned = facts.stake_events
    assert [(leg.kind, leg.cause, leg.added) for leg in (bought, burned)] == [
        ("STAKE", "", True),
        ("UNSTAKE", "BURNED", False),
    ]
    assert 0 <= bought.alpha_rao - burned.alpha_rao <= 1
    assert bought.alpha_rao - burned.alpha_rao == follow.grown()
    assert facts.conversions == []


@eras(283)
def test_scenario_17_burning_in_the_block_of_an_epoch_is_no_take(spec: int) -> None:
    follow = Followed(spec)
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    follow.chain.burn(follow.owner, follow.hotkey, follow.netuid, 3 * TAO + 1)
    facts = follow.block()
    assert len(facts.yields) == 2
    assert told(facts) == [("UNSTAKE", "BURNED", False, 3 * TAO + 1)]


# --- 22. Remarks -----------------------------------------------------------------------------------------------------


def add(follow: Followed, hotkey: str | None = None, netuid: int | None = None) -> Call:
    """Stake 3 TAO on our hotkey."""
    return calls.add_stake(hotkey or follow.hotkey, follow.netuid if netuid is None else netuid, 3 * TAO)


@eras()
def test_scenario_22_what_a_block_says_of_remarks_beside_stake(spec: int) -> None:
    """Interrupted, rolled back, item by item, through a proxy, forged, alone, and two in one extrinsic."""
    follow = Followed(spec)
    tag, other = calls.remark("talisman-bittensor"), calls.remark("creative-builds")
    fails, alone = calls.failing(), follow.newcomer("alone")
    extrinsics = {
        "plain": ("alice", calls.batch_all(add(follow), tag)),
        "interrupted after": ("bob", calls.batch(add(follow), tag, fails)),
        "interrupted before": ("carol", calls.batch(add(follow), fails, tag)),
        "rolled back": ("dave", calls.batch_all(add(follow), tag, fails)),
        "item by item": ("erin", calls.force_batch(fails, add(follow), tag)),
        "real": ("frank", calls.proxy(follow.newcomer("real"), calls.batch_all(add(follow), tag))),
        "delegate": ("grace", calls.batch_all(calls.proxy(follow.newcomer("heidi"), add(follow)), tag)),
        "multisig": (
            "ivan",
            calls.multisig(follow.newcomer("multi"), [alone], calls.batch_all(add(follow), tag)),
        ),
        "forged": ("mallory", calls.batch_all(calls.sudo(follow.newcomer("judy"), add(follow)), tag)),
        "alone": ("alone", tag),
        "two": ("peggy", calls.batch_all(add(follow), tag, add(follow, netuid=ROOT), other)),
    }
    for signer, call in extrinsics.values():
        follow.chain.submit(follow.newcomer(signer), call)
    facts = follow.block()
    at = {name: index for index, name in enumerate(extrinsics, start=1)}
    stakes = {leg.event_index: leg for leg in facts.stake_events}
    left = {remark.event_index: remark for remark in facts.remarks}
    found: dict[int, list[tuple[bool, str, str]]] = {}
    for one in facts.tags:
        remark = left[one.remark_event_index]
        coldkey = "" if one.stake_event_index is None else stakes[one.stake_event_index].coldkey
        text = (remark.remark or b"").decode()
        found.setdefault(remark.extrinsic_index, []).append((one.accepted, text, coldkey))
    talisman = "talisman-bittensor"
    assert found == {
        at["plain"]: [(True, talisman, follow.newcomer("alice"))],
        at["interrupted after"]: [(True, talisman, follow.newcomer("bob"))],
        at["item by item"]: [(True, talisman, follow.newcomer("erin"))],
        at["real"]: [(True, talisman, follow.newcomer("real"))],
        at["delegate"]: [(False, talisman, "")],
        at["multisig"]: [(True, talisman, follow.newcomer("multi"))],
        at["forged"]: [(False, talisman, "")],
        at["two"]: [
            (True, talisman, follow.newcomer("peggy")),
            (True, "creative-builds", follow.newcomer("peggy")),
        ],
    }
    assert len(facts.stake_events) == 10
    assert follow.stake(follow.newcomer("dave")) == 0


# --- 23. Stake from elsewhere ----------------------------------------------------------------------------------------


def contract(account: str, inner: Call) -> Call:
    """A contract that stakes for its own account."""
    return calls.call(
        "Contracts", "call", lambda world, _: inner.effect(world, account), dest=account, value=0
    )


@eras()
@pytest.mark.parametrize(
    ("wrapper", "call_name"),
    [
        ("evm", "Ethereum.transact"),
        ("contract", "Contracts.call"),
        ("proxy", "Proxy.proxy"),
        ("multisig", "Multisig.as_multi"),
        ("sudo", "Sudo.sudo_as"),
        ("scheduler", ""),
        ("shielded", "SubtensorModule.add_stake"),
        ("nested", "Utility.batch_all"),
    ],
)
def test_scenario_23_stake_counts_by_its_events_however_it_was_called(
    spec: int, wrapper: str, call_name: str
) -> None:
    follow = Followed(spec)
    account, signer = follow.newcomer(), follow.chain.address("signer")
    buy, sell = add(follow), calls.remove_stake(follow.hotkey, follow.netuid, TAO)

    def send(coldkey: str, inner: Call) -> None:
        wrapped = {
            "evm": ("", calls.evm(coldkey, inner)),
            "contract": (signer, contract(coldkey, inner)),
            "proxy": (signer, calls.proxy(coldkey, inner)),
            "multisig": (signer, calls.multisig(coldkey, [signer], inner)),
            "sudo": (follow.chain.sudo_key, calls.sudo(coldkey, inner)),
            # What was sealed is included as an ordinary extrinsic of whoever signed it.
            "shielded": (coldkey, inner),
            "nested": (signer, calls.batch_all(calls.proxy(coldkey, calls.batch(inner, calls.failing())))),
        }
        if wrapper == "scheduler":
            follow.chain.initially(coldkey, inner)
        else:
            follow.chain.submit(*wrapped[wrapper])

    send(account, buy)
    facts = follow.block()
    (leg,) = facts.stake_events
    assert (leg.kind, leg.cause, leg.added, leg.coldkey, leg.alpha_rao) == (
        "STAKE",
        "",
        True,
        account,
        follow.grown(),
    )
    assert leg.call == call_name
    assert leg.signer == {"evm": "", "sudo": follow.chain.sudo_key, "scheduler": "", "shielded": account}.get(
        wrapper, signer
    )
    assert (leg.extrinsic_index is None) == (wrapper == "scheduler")
    # The owner's sale through the same wrapper is a conversion like any other, also in the block of an epoch.
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    send(follow.owner, sell)
    facts = follow.block()
    assert len(facts.yields) == 2
    assert [(sale.owner, sale.alpha_rao) for sale in facts.conversions] == [(follow.owner, TAO)]


@eras(297)
def test_scenario_23_a_lease_pays_its_contributors_inside_the_epoch(spec: int) -> None:
    """The cut comes to the lease's coldkey on our hotkey and goes on by pairs of events: nobody sold anything."""
    follow = Followed(spec, emission=True)
    contributors = [(follow.chain.address("contributor"), 300_000), (follow.nominators()[0], 200_000)]
    lease = follow.chain.lease(follow.netuid, follow.hotkey, contributors)
    for _ in range(20):
        follow.block()
    follow.epoch(alpha={follow.hotkey: 123_456_789_123}, root={follow.hotkey: 54_321_987_654})
    facts = follow.block()
    assert len(facts.yields) == 2
    legs = facts.stake_events
    assert {(leg.kind, leg.cause, leg.extrinsic_index) for leg in legs} == {("TRANSFER", "LEASE", None)}
    paid = {leg.coldkey: leg.alpha_rao for leg in legs if leg.added}
    (cut,) = [credit for credit in follow.chain.credits if credit.block == facts.number]
    assert (cut.kind, cut.coldkey) == ("CUT", lease.coldkey)
    for coldkey, parts in contributors:
        assert 0 <= paid[coldkey] - cut.alpha_rao * parts // 1_000_000 <= 1
    assert set(paid) == {contributors[0][0], contributors[1][0], lease.beneficiary}
    assert {leg.coldkey for leg in legs if not leg.added} == {lease.coldkey}
    assert sum(paid.values()) == cut.alpha_rao
    assert facts.conversions == []
