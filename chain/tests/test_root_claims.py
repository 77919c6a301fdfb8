"""What a claim of root dividends brought is read from the chain's own record of claims: exact beside whatever else moved
the same stake, and nothing hides behind it (CH2, CH4, CH7).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from chain import keys
from chain.facts import BlockFacts
from chain.keys import ROOT
from chain.tests.model import Dividends, ModelChain, calls, codec
from chain.tests.model.chain import AlphaFee
from chain.tests.test_hostile_nodes import STOPS
from chain.tests.test_lying_nodes import LyingModel
from chain.tests.test_meeting_causes import (
    TAO,
    becomes_liquidity,
    chain_of,
    newest,
    of,
    with_root_claims,
)

SPECS = [334, 345, 370, 393, 401, 415, 425]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("chain.reading.reader").setLevel(logging.CRITICAL)


def claimed(chain: ModelChain, coldkey: str, netuid: int, block: int) -> int:
    """By how much the chain's record of what a coldkey claimed on our first key grew in a block."""
    key = keys.by_netuid_hotkey("RootClaimed", netuid, chain.hotkeys[0]) + keys.account_part(coldkey)
    was, now = (chain.world.storage.at(key, number) or "0x00" for number in (block - 1, block))
    return int.from_bytes(bytes.fromhex(now[2:]), "little") - int.from_bytes(bytes.fromhex(was[2:]), "little")


def hiding(chain: ModelChain, number: int, is_hidden: Callable[[str, Any], bool]) -> list[BlockFacts]:
    """What is read of a block and the next where a node says that some events were remarks."""
    source = LyingModel(chain)
    honest = source.value(number, keys.SYSTEM_EVENTS)
    remarked = {"sender": chain.sudo_key, "hash": "0x" + "00" * 32}
    told = [
        (phase, "System", "Remarked", remarked) if is_hidden(name, values) else (phase, pallet, name, values)
        for phase, pallet, name, values in codec.decode(bytes.fromhex(str(honest)[2:]))
    ]
    lie = "0x" + codec.encode(told).hex()
    assert lie != honest
    return LyingModel(chain, {(chain.hash_of(number), keys.SYSTEM_EVENTS): lie}).read(number)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("root", ["as it was", "more", "less"])
def test_ch2_the_record_grows_by_what_a_claim_kept_and_by_what_root_stake_has_no_claim_on(
    spec: int, root: str
) -> None:
    """The model's books against what it moved, which it keeps apart."""
    chain = with_root_claims(spec)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    chain.submit(owner, calls.claim_root(netuid))
    if root == "more":
        chain.add_stake(owner, first, ROOT, 7 * TAO + 1)
    elif root == "less":
        chain.submit(owner, calls.remove_stake(first, ROOT, 7 * TAO + 1))
    rate = chain.world.claimable.get(first)[netuid]
    number = chain.produce()
    shift = rate * (7 * TAO + 1) >> 32
    kept = [
        move.rao
        for move in chain.world.moves
        if (move.block, move.netuid, move.coldkey) == (number, netuid, owner)
    ]
    assert kept[0] > TAO
    assert claimed(chain, owner, netuid, number) == kept[0] + {"more": shift, "less": -shift}.get(root, 0)


@pytest.mark.parametrize(
    ("spec", "how"), [(334, "liquidity"), (345, "liquidity"), (370, "liquidity"), (345, "fee"), (348, "fee")]
)
@pytest.mark.parametrize("amount", [TAO // 100, 900 * TAO, -3 * TAO])
@pytest.mark.parametrize("claims", ["first", "last", "twice"])
@pytest.mark.parametrize("who", ["owner", "delegator"])
def test_ch2_a_claim_is_told_to_the_rao_beside_what_moved_without_an_event(
    spec: int, how: str, amount: int, claims: str, who: str
) -> None:
    chain = chain_of(spec)
    claimant = chain.owners[0] if who == "owner" else chain.coldkeys[1]
    chain = with_root_claims(spec, claimant)
    first, netuid = chain.hotkeys[0], chain.netuids[1]
    if claims != "last":
        chain.submit(claimant, calls.claim_root(netuid))
    if how == "liquidity":
        becomes_liquidity(chain, claimant, amount)
    else:
        call = calls.remove_stake(first, netuid, TAO)
        chain.submit(claimant, call, alpha_fee=AlphaFee(first, netuid, abs(amount)))
    if claims != "first":
        chain.submit(claimant, calls.claim_root(netuid))
    number = chain.produce()
    # What liquidity takes of an owner is in doubt by itself.
    facts = newest(chain, doubtful=how == "liquidity" and amount > 0 and who == "owner")
    [claim] = of(facts, claimant, "ROOT_CLAIM")
    assert (claim.netuid, claim.added, claim.alpha_rao) == (
        netuid,
        True,
        claimed(chain, claimant, netuid, number),
    )
    [other] = of(facts, claimant, "LIQUIDITY" if how == "liquidity" else "ALPHA_FEE")
    assert abs(other.alpha_rao - abs(amount)) <= 2
    assert other.added == (how == "liquidity" and amount < 0)
    assert not [doubt for doubt in facts.doubts if "nothing tells apart" in doubt]


KINDS = ["Keep", "Swap", "KeepSubnets"]


def claimants_of(spec: int, kind: str) -> ModelChain:
    """A chain on which the owner can claim on the second subnet, by some way of claiming."""
    chain = with_root_claims(spec)
    chain.submit(chain.owners[0], calls.set_claim_type(kind, [chain.netuids[1]]))
    chain.produce()
    return chain


def kinds(specs: Iterable[int]) -> pytest.MarkDecorator:
    """Every way of claiming that a runtime knows."""
    return pytest.mark.parametrize(
        ("spec", "kind"),
        [(spec, kind) for spec in specs for kind in KINDS if kind != "KeepSubnets" or spec >= 361],
    )


@kinds(SPECS)
@pytest.mark.parametrize("part", ["less", "all", "more"])
@pytest.mark.parametrize("order", ["claims first", "sells first"])
@pytest.mark.parametrize("epoch", [False, True])
def test_ch7_a_sale_of_the_owner_hidden_beside_his_claim_is_no_smaller_claim(
    spec: int, kind: str, part: str, order: str, epoch: bool
) -> None:
    chain = claimants_of(spec, kind)
    first, netuid, owner = chain.hotkeys[0], chain.netuids[1], chain.owners[0]
    # What can be claimed is some 290 alpha; equal to the rao, too.
    due = (chain.world.claimable.get(first)[netuid] * chain.stake_of(first, owner, ROOT) >> 32) - (
        chain.world.claimed.get(netuid, first, owner)
    )
    sold = {"less": due // 3, "all": due, "more": 2 * due}[part]
    if epoch:
        chain.epoch(netuid, Dividends.of(alpha={first: TAO + 7}, root={first: TAO + 9}))
    both = [calls.claim_root(netuid), calls.remove_stake(first, netuid, sold)]
    for call in both if order == "claims first" else reversed(both):
        chain.submit(owner, call)
    number = chain.produce()
    assert claimed(chain, owner, netuid, number) > TAO
    for _ in range(2):
        chain.produce()
    [honest, _] = LyingModel(chain).read(number)
    assert not [doubt for doubt in honest.doubts if "hides whether" not in doubt]
    assert sold in [sale.alpha_rao for sale in honest.conversions]
    try:
        [lied, _] = hiding(chain, number, lambda name, _: name == "StakeRemoved")
    except STOPS:
        return
    assert lied.doubts
    assert [doubt for doubt in lied.doubts if doubt not in honest.doubts]
