"""Which remark tags which stake: every way it can go right or wrong (PA7, scenario 22)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import keys
from chain.facts import RemarkFact, StakeEventFact, TagFact
from chain.nodes.segment import SegmentSource
from chain.nodes.source import call_one
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import Event, decoder_for
from chain.stake.causes import Cause
from chain.stake.events import stake_events
from chain.tagging.call_tree import is_marker, trace
from chain.tagging.tags import ACCEPTED, REMARK_BYTES_MAX, SENTENCES, Reason, remarks, tags, text_hash
from chain.tests.dispatching import (
    OURS,
    OURS_TOO,
    SPEC_VERSION,
    STRANGE,
    Block,
    Call,
    add,
    batch,
    call,
    evm,
    failing,
    move,
    multisig,
    orders,
    proxy,
    remark,
    remove,
    sudo_as,
    transfer,
    unstake_all_alpha,
)
from chain.tests.factories import key
from chain.tests.mainnet import metadata_of
from chain.tests.replay_node import Play, PlaySource

ALICE, BOB, MULTI = key("alice"), key("bob"), key("multisig")
TALISMAN = b"talisman-bittensor"
# (text, coldkey of the tagged stake or None, reason)
Said = tuple[bytes | None, str | None, str]


def legs_of(block: Block) -> list[StakeEventFact]:
    return [leg for leg in stake_events(block.events, SPEC_VERSION) if leg.hotkey in (OURS, OURS_TOO)]


def read(
    block: Block, *, known_texts: list[bytes] | None = None, accept_delegates: bool = False
) -> tuple[list[RemarkFact], list[TagFact]]:
    legs = legs_of(block)
    found = remarks(block.events, block.extrinsics, legs, known_texts=known_texts or [])
    return found, tags(block.events, block.extrinsics, legs, found, accept_delegates=accept_delegates)


def judged(signer: str, top: Call, **options: Any) -> list[Said]:
    """What the remarks of one extrinsic tag."""
    block = Block()
    block.send(signer, top)
    found, tagged = read(block, **options)
    texts = {fact.event_index: fact.remark for fact in found}
    coldkeys = {leg.event_index: leg.coldkey for leg in legs_of(block)}
    for tag in tagged:
        assert tag.accepted == (tag.stake_event_index is not None) == (tag.reason in ACCEPTED)
    return [
        (
            texts[tag.remark_event_index],
            None if tag.stake_event_index is None else coldkeys[tag.stake_event_index],
            tag.reason,
        )
        for tag in tagged
    ]


def only(reason: Reason, stake_of: str | None = None) -> list[Said]:
    return [(TALISMAN, stake_of, reason)]


TAGGED = only(Reason.SAME_SENDER, ALICE)


def test_scenario_22_stake_and_remark_by_one_signer_in_one_extrinsic_is_a_tag() -> None:
    assert judged(ALICE, batch(add(), remark())) == TAGGED
    assert judged(ALICE, batch(remark(), add())) == TAGGED
    assert judged(ALICE, batch(add(), call("Balances.transfer_keep_alive"), remark())) == TAGGED


def test_scenario_22_a_remark_names_every_stake_of_its_sender_in_the_extrinsic() -> None:
    assert judged(ALICE, batch(add(), add(OURS_TOO, 2), remark())) == TAGGED * 2


def test_scenario_22_a_batch_interrupted_before_the_remark_leaves_none() -> None:
    assert judged(ALICE, batch(add(), failing(add()), remark(), kind="batch")) == []


def test_scenario_22_a_batch_interrupted_after_both_keeps_the_tag() -> None:
    assert judged(ALICE, batch(add(), remark(), failing(add(netuid=2)), kind="batch")) == TAGGED
    assert judged(ALICE, batch(remark(), add(), failing(remove()), kind="batch")) == TAGGED


def test_scenario_22_a_remark_before_a_stake_that_interrupted_its_batch_stands_alone() -> None:
    assert judged(ALICE, batch(remark(), failing(add()), kind="batch")) == []
    beside_another = batch(remove(), remark(), failing(add()), kind="batch")
    assert judged(ALICE, beside_another) == only(Reason.BATCH_INTERRUPTED)
    never_reached = batch(remove(), remark(), failing(remove(netuid=2)), add(), kind="batch")
    assert judged(ALICE, never_reached) == only(Reason.BATCH_INTERRUPTED)


def test_scenario_22_a_batch_all_that_failed_leaves_nothing() -> None:
    block = Block()
    block.send(ALICE, batch(add(), remark(), failing(remove())))
    assert not any(event.name in ("Remarked", "StakeAdded") for event in block.events)
    assert read(block) == ([], [])


def test_scenario_22_a_remark_in_an_extrinsic_that_did_not_succeed_is_refused() -> None:
    # No runtime writes this; a node that lies might.
    block = Block()
    block.send(ALICE, batch(add(), remark()))
    block.events = [
        replace(event, name="ExtrinsicFailed") if event.name == "ExtrinsicSuccess" else event
        for event in block.events
    ]
    assert [tag.reason for tag in read(block)[1]] == [Reason.EXTRINSIC_FAILED]
    block.events = [event for event in block.events if event.name != "ExtrinsicFailed"]
    assert [tag.reason for tag in read(block)[1]] == [Reason.EXTRINSIC_FAILED]


def test_scenario_22_a_force_batch_whose_stake_failed_tags_nothing() -> None:
    top = batch(remove(), failing(add()), remark(), kind="force_batch")
    assert judged(ALICE, top) == only(Reason.ITEM_FAILED)
    assert judged(ALICE, batch(failing(add()), remark(), kind="force_batch")) == []


def test_scenario_22_a_force_batch_tags_the_items_that_went_through() -> None:
    top = batch(failing(add(netuid=2)), add(), failing(remove()), remark(), kind="force_batch")
    assert judged(ALICE, top) == TAGGED
    assert judged(ALICE, batch(add(), failing(remark()), kind="force_batch")) == []


def test_scenario_22_a_proxy_whose_call_failed_tags_nothing() -> None:
    # The proxy call itself succeeds; only its event says that the stake did not.
    top = batch(proxy(ALICE, failing(add())), remove(), remark())
    assert judged(BOB, top) == only(Reason.PROXY_FAILED)
    assert judged(BOB, batch(proxy(ALICE, failing(batch(add(), remark()))), remark())) == []


def test_scenario_22_a_batch_inside_a_proxy_is_the_real_accounts_own() -> None:
    assert judged(BOB, proxy(ALICE, batch(add(), remark()))) == TAGGED
    announced = call("Proxy.proxy_announced", delegate=BOB, real=ALICE, call=batch(add(), remark()))
    assert judged(BOB, announced) == TAGGED


def test_scenario_22_proxies_inside_a_batch_that_also_remark_as_the_real_account() -> None:
    assert judged(BOB, batch(proxy(ALICE, add()), proxy(ALICE, remark()))) == TAGGED
    both = batch(proxy(ALICE, batch(add(), remark())), proxy(MULTI, batch(remark(), add())))
    assert judged(BOB, both) == [*TAGGED, *only(Reason.SAME_SENDER, MULTI)]


BY_PROXY = batch(proxy(ALICE, add()), remark())


def test_scenario_22_a_delegates_remark_is_refused_unless_delegates_are_accepted() -> None:
    assert judged(BOB, BY_PROXY) == only(Reason.NOT_BY_DELEGATE)
    assert judged(BOB, BY_PROXY, accept_delegates=True) == only(Reason.BY_DELEGATE, ALICE)
    block = Block()
    block.send(BOB, BY_PROXY)
    for accepted in (False, True):
        (tag,) = read(block, accept_delegates=accepted)[1]
        assert (tag.accepted, tag.via_delegate) == (accepted, True)


def test_scenario_22_a_delegate_is_accepted_for_a_whole_batch_inside_the_proxy() -> None:
    top = batch(proxy(ALICE, batch(add(), add(netuid=2))), remark())
    assert judged(BOB, top, accept_delegates=True) == only(Reason.BY_DELEGATE, ALICE) * 2


def test_scenario_22_the_real_accounts_own_remark_goes_before_its_delegates() -> None:
    top = batch(proxy(ALICE, batch(add(), remark(b"mine"))), remark())
    for accepted in (False, True):
        assert judged(BOB, top, accept_delegates=accepted) == [
            (b"mine", ALICE, Reason.SAME_SENDER),
            (TALISMAN, None, Reason.NOT_THE_SENDERS),
        ]


def test_scenario_22_a_delegates_own_stake_is_tagged_and_not_the_real_accounts() -> None:
    top = batch(proxy(ALICE, add()), add(), remark())
    assert judged(BOB, top) == only(Reason.SAME_SENDER, BOB)
    assert judged(BOB, top, accept_delegates=True) == [
        (TALISMAN, ALICE, Reason.BY_DELEGATE),
        (TALISMAN, BOB, Reason.SAME_SENDER),
    ]


@pytest.mark.parametrize("accepted", [False, True])
def test_scenario_22_a_proxy_call_around_something_else_lends_no_right(accepted: bool) -> None:
    """Bob names Alice in a proxy call that fails and fills her limit order from a proxy of his own that succeeds."""
    pure = key("pure proxy of bob")
    forged = batch(failing(proxy(ALICE, add())), proxy(pure, orders(ALICE)), remark(), kind="force_batch")
    assert judged(BOB, forged, accept_delegates=accepted) == only(Reason.ITEM_FAILED)
    forged = batch(proxy(ALICE, failing(remove())), proxy(pure, orders(ALICE)), remark())
    assert judged(BOB, forged, accept_delegates=accepted) == only(Reason.NOT_THE_SENDERS)


@pytest.mark.parametrize("accepted", [False, True])
def test_scenario_22_a_delegate_of_a_delegate_is_refused(accepted: bool) -> None:
    top = batch(proxy(MULTI, proxy(ALICE, add())), remark())
    assert judged(BOB, top, accept_delegates=accepted) == only(Reason.NOT_THE_SENDERS)


@pytest.mark.parametrize("accepted", [False, True])
def test_scenario_22_a_delegate_who_did_not_sign_is_refused(accepted: bool) -> None:
    assert judged(BOB, sudo_as(MULTI, BY_PROXY), accept_delegates=accepted) == only(Reason.NOT_THE_SENDERS)


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize(
    "top",
    [
        batch(orders(ALICE), remark()),
        batch(remark(), orders(ALICE)),
        batch(orders(ALICE), remark(), kind="force_batch"),
        # What a lease pays out in somebody else's extrinsic is no stake of the one who sent it either.
        batch(sudo_as(ALICE, add()), remark()),
        batch(multisig(MULTI, add()), remark()),
        batch(transfer(ALICE), remark()),
    ],
    ids=["orders", "before", "force_batch", "as another", "multisig", "transfer"],
)
def test_scenario_22_a_forged_remark_never_names_stake_of_another(top: Call, accepted: bool) -> None:
    said = judged(BOB, top, accept_delegates=accepted)
    assert [stake for _, stake, _ in said] == [None]
    assert said[0][2] in (Reason.NOT_THE_SENDERS, Reason.UNSTAKE_ONLY)


def test_scenario_22_a_copied_text_in_an_extrinsic_of_ones_own_names_no_stake() -> None:
    block = Block()
    block.send(ALICE, batch(add(), remark()))
    block.send(BOB, batch(remark(), call("Balances.transfer_keep_alive")))
    block.send(BOB, remark())
    found, tagged = read(block)
    assert [(fact.extrinsic_index, fact.sender) for fact in found] == [(0, ALICE)]
    assert [tag.accepted for tag in tagged] == [True]


def test_scenario_22_a_remark_without_stake_on_our_hotkeys_is_not_kept() -> None:
    assert judged(ALICE, remark()) == []
    assert judged(ALICE, batch(add(STRANGE), remark())) == []
    alone = RemarkFact(1, 0, ALICE, TALISMAN, text_hash(TALISMAN), len(TALISMAN))
    block = Block()
    block.send(ALICE, remark())
    assert [tag.reason for tag in tags(block.events, block.extrinsics, [], [alone])] == [Reason.NO_STAKE]


def test_scenario_22_the_same_text_twice_counts_once() -> None:
    assert judged(ALICE, batch(remark(), add(), remark())) == [*TAGGED, *only(Reason.SAME_TEXT_TWICE)]


def test_scenario_22_two_texts_are_told_apart_by_strict_turns() -> None:
    after = batch(add(), remark(b"x"), add(OURS_TOO), add(netuid=2), remark(b"y"))
    block = Block()
    block.send(ALICE, after)
    found, tagged = read(block)
    stakes = [leg.event_index for leg in legs_of(block)]
    said = [fact.event_index for fact in found]
    assert [(tag.remark_event_index, tag.stake_event_index, tag.reason) for tag in tagged] == [
        (said[0], stakes[0], Reason.BY_ORDER),
        (said[1], stakes[1], Reason.BY_ORDER),
        (said[1], stakes[2], Reason.BY_ORDER),
    ]
    before = batch(remark(b"x"), remark(b"x"), add(), remark(b"y"), add(netuid=2))
    assert judged(ALICE, before) == [
        (b"x", ALICE, Reason.BY_ORDER),
        (b"x", None, Reason.SAME_TEXT_TWICE),
        (b"y", ALICE, Reason.BY_ORDER),
    ]


@pytest.mark.parametrize(
    "calls",
    [
        [add(), remark(b"x"), remark(b"y")],
        [remark(b"x"), remark(b"y"), add()],
        [remark(b"x"), add(), remark(b"y")],
        [add(), remark(b"x"), add(netuid=2), remark(b"y"), add(netuid=3)],
        [add(), remark(b"x"), add(netuid=2), remark(b"y"), remark(b"x")],
    ],
)
def test_scenario_22_two_texts_that_could_be_read_in_two_ways_tag_nothing(calls: list[Call]) -> None:
    for kind in ("batch", "batch_all", "force_batch"):
        said = judged(ALICE, batch(*calls, kind=kind))
        assert {(stake, reason) for _, stake, reason in said} == {(None, Reason.AMBIGUOUS)}
        assert {text for text, _, _ in said} == {b"x", b"y"}, "both texts are kept"


def test_scenario_22_texts_of_two_senders_are_no_ambiguity() -> None:
    top = batch(add(), remark(b"x"), proxy(ALICE, batch(add(), remark(b"y"))))
    assert judged(BOB, top) == [(b"x", BOB, Reason.SAME_SENDER), (b"y", ALICE, Reason.SAME_SENDER)]


def test_scenario_22_a_multisig_is_its_own_account() -> None:
    assert judged(BOB, multisig(MULTI, batch(add(), remark()))) == only(Reason.SAME_SENDER, MULTI)
    assert judged(BOB, multisig(MULTI, batch(add(), remark()), last=False)) == []
    # The signatory's remark says nothing of the multisig's stake, nor the other way round.
    assert judged(BOB, batch(multisig(MULTI, add()), remark())) == only(Reason.NOT_THE_SENDERS)
    assert judged(BOB, batch(add(), multisig(MULTI, remark()))) == only(Reason.NOT_THE_SENDERS)
    failed = batch(remove(), multisig(MULTI, failing(add())), remark())
    assert judged(BOB, failed) == only(Reason.CALL_FAILED)


def test_scenario_22_sudo_acts_as_the_account_it_names() -> None:
    assert judged(BOB, sudo_as(ALICE, batch(add(), remark()))) == TAGGED
    assert judged(BOB, batch(sudo_as(ALICE, add()), remark())) == only(Reason.NOT_THE_SENDERS)


def test_scenario_22_stake_of_a_contract_carries_nobody_elses_remark() -> None:
    contract = key("mapped account of a contract")
    assert judged(ALICE, batch(evm(contract, add()), remark())) == only(Reason.NOT_THE_SENDERS)
    assert judged("", evm(contract, add())) == []


def test_scenario_22_a_text_that_stands_in_no_call_is_known_by_its_hash_or_kept_as_one() -> None:
    contract = key("mapped account of a contract")
    top = evm(contract, add(), remark())
    assert judged("", top) == [(None, contract, Reason.SAME_SENDER)]
    assert judged("", top, known_texts=[b"other", TALISMAN]) == only(Reason.SAME_SENDER, contract)
    block = Block()
    block.send("", top)
    (fact,) = read(block)[0]
    assert (fact.remark, fact.byte_count, fact.text_hash) == (None, None, text_hash(TALISMAN))


def test_scenario_22_a_known_text_is_believed_only_by_its_hash() -> None:
    assert judged(ALICE, batch(add(), remark()), known_texts=[b"other"]) == TAGGED


def test_scenario_22_unstaking_is_never_tagged() -> None:
    assert judged(ALICE, batch(remove(), remark())) == only(Reason.UNSTAKE_ONLY)
    assert judged(ALICE, batch(remove(), add(netuid=2), remark())) == TAGGED


def test_scenario_22_stake_moved_here_is_new_and_stake_moved_among_our_hotkeys_is_not() -> None:
    assert judged(ALICE, batch(move((STRANGE, 1), (OURS, 1)), remark())) == TAGGED
    for origin, destination in [((OURS, 1), (OURS_TOO, 1)), ((OURS, 1), (OURS, 2)), ((OURS, 1), (OURS, 0))]:
        top = batch(move(origin, destination), remark())
        assert judged(ALICE, top) == only(Reason.MOVED_WITHIN)
    assert judged(ALICE, batch(move((OURS, 1), (STRANGE, 1)), remark())) == only(Reason.UNSTAKE_ONLY)
    assert judged(ALICE, batch(move((OURS, 1), (OURS_TOO, 1)), add(), remark())) == TAGGED


def test_scenario_22_alpha_sold_into_root_by_one_call_is_no_new_stake() -> None:
    assert judged(ALICE, batch(unstake_all_alpha(), remark())) == only(Reason.MOVED_WITHIN)


def test_scenario_22_what_the_chain_did_by_itself_is_not_tagged() -> None:
    block = Block()
    block.send(ALICE, batch(add(), remark()))
    for cause, reason in [("", Reason.SAME_SENDER), (Cause.ORDER, Reason.SAME_SENDER)] + [
        (cause, Reason.NO_STAKE if cause is Cause.ALPHA_FEE else Reason.MOVED_WITHIN)
        for cause in set(Cause) - {Cause.ORDER}
    ]:
        legs = [replace(leg, cause=cause) for leg in legs_of(block)]
        found = remarks(block.events, block.extrinsics, legs)
        assert [tag.reason for tag in tags(block.events, block.extrinsics, legs, found)] == [reason], cause


def test_scenario_22_stake_given_to_another_is_not_tagged() -> None:
    assert judged(ALICE, batch(transfer(BOB), remark())) == only(Reason.UNSTAKE_ONLY)
    assert judged(ALICE, batch(transfer(BOB), remark(), add())) == TAGGED


def test_scenario_22_an_empty_text_names_nobody() -> None:
    assert judged(ALICE, batch(add(), remark(b""))) == [(b"", None, Reason.EMPTY_TEXT)]
    assert judged(ALICE, batch(add(), remark(b""), remark())) == [(b"", None, Reason.EMPTY_TEXT), *TAGGED]


def test_scenario_22_a_text_longer_than_any_name_is_refused_and_only_its_hash_kept() -> None:
    longest, longer = b"x" * REMARK_BYTES_MAX, b"x" * (REMARK_BYTES_MAX + 1)
    assert judged(ALICE, batch(add(), remark(longest))) == [(longest, ALICE, Reason.SAME_SENDER)]
    assert judged(ALICE, batch(add(), remark(longer))) == [(None, None, Reason.TEXT_TOO_LONG)]
    block = Block()
    block.send(ALICE, batch(add(), remark(longer)))
    (fact,) = read(block)[0]
    assert (fact.byte_count, fact.text_hash) == (len(longer), text_hash(longer))


@pytest.mark.parametrize(
    "text", [b"\xff\xfe\x00", b"\x00", "\u202egpj.exe".encode(), b"<script>alert(1)</script>", "näh".encode()]
)
def test_scenario_22_every_other_text_is_kept_byte_for_byte(text: bytes) -> None:
    assert judged(ALICE, batch(add(), remark(text))) == [(text, ALICE, Reason.SAME_SENDER)]


@pytest.mark.parametrize(
    ("written", "text"),
    [("0x6162", b"ab"), ("0x6162", b"0x6162"), ("0xzz", b"0xzz"), ("0x616", b"0x616"), ("0x", b"0x")],
)
def test_scenario_22_a_text_that_looks_like_hex_is_what_its_hash_says(written: str, text: bytes) -> None:
    assert judged(ALICE, batch(add(), remark(text, written))) == [(text, ALICE, Reason.SAME_SENDER)]


def test_scenario_22_a_remark_without_event_is_no_tag() -> None:
    assert judged(ALICE, batch(add(), call("System.remark", remark="talisman-bittensor"))) == []


def test_scenario_22_what_the_runtime_does_itself_carries_no_remark() -> None:
    events = [
        Event(0, None, "SubtensorModule", "StakeAdded", (ALICE, OURS, 1, 1, 1, 0)),
        Event(1, None, "System", "Remarked", {"sender": ALICE, "hash": text_hash(TALISMAN)}),
    ]
    assert remarks(events, {}, stake_events(events, SPEC_VERSION), known_texts=[TALISMAN]) == []


def test_scenario_22_fields_without_names_are_read_by_position() -> None:
    for top in (BY_PROXY, batch(remove(), remark(), failing(add()), kind="batch")):
        block = Block()
        block.send(BOB, top)
        named = read(block, accept_delegates=True)
        block.events = [
            replace(event, values=tuple(event.values.values())) if isinstance(event.values, dict) else event
            for event in block.events
        ]
        assert read(block, accept_delegates=True) == named


def test_scenario_22_where_events_do_not_fit_the_calls_only_the_plain_rule_holds() -> None:
    def unfit(signer: str, top: Call) -> list[str]:
        block = Block()
        block.send(signer, top)
        block.events.insert(3, Event(99, 0, "Utility", "ItemCompleted", None))
        assert trace(block.extrinsics[0], block.events) is None
        return [tag.reason for tag in read(block, accept_delegates=True)[1]]

    assert unfit(ALICE, batch(add(), remark())) == [Reason.SAME_SENDER]
    assert unfit(BOB, BY_PROXY) == [Reason.NOT_THE_SENDERS]


def test_scenario_22_every_reason_is_a_sentence() -> None:
    assert set(SENTENCES) == set(Reason)
    assert all(text.endswith(".") and text[0].isupper() for text in SENTENCES.values())


# --- recorded and encoded blocks ------------------------------------------------------------------------


def test_pa7_the_recorded_talisman_stakes_are_tagged(play: Play, hotkeys: list[str]) -> None:
    reader = ChainReader(PlaySource(play), hotkeys, 42)
    reader.start_from_chain(1)
    facts = {number: reader.read_block(number) for number in range(2, 21)}
    block = facts[20]
    coldkeys = {leg.event_index: leg.coldkey for leg in block.stake_events}
    assert [coldkeys[tag.stake_event_index or 0] for tag in block.tags] == [
        play.address("tali_1"),
        play.address("tali_2"),
    ]
    assert {tag.reason for tag in block.tags} == {Reason.SAME_SENDER}
    assert not any(facts[number].tags for number in range(2, 20))


def recorded_tags(number: int) -> tuple[list[RemarkFact], list[TagFact], list[StakeEventFact]]:
    """What the remarks of one block of the edge play tag."""
    source = SegmentSource(Path(__file__).parent / "data" / "edge.segment.gz")
    decoder = decoder_for(293, metadata_of(293), 42)
    block_hash = call_one(source, "chain_getBlockHash", number)
    block = call_one(source, "chain_getBlock", block_hash)
    state = call_one(source, "state_queryStorageAt", [keys.SYSTEM_EVENTS], block_hash)
    events = decoder.events(dict(state[0]["changes"])[keys.SYSTEM_EVENTS])
    extrinsics = {index: decoder.extrinsic(data) for index, data in enumerate(block["block"]["extrinsics"])}
    legs = [leg for leg in stake_events(events, 293) if leg.hotkey in source.header.hotkeys]
    found = remarks(events, extrinsics, legs)
    return found, tags(events, extrinsics, legs, found), legs


def test_scenario_22_recorded_batches_and_proxies_of_a_real_runtime() -> None:
    _, batches, _ = recorded_tags(46)
    assert [(tag.accepted, tag.reason) for tag in batches] == [(True, Reason.SAME_SENDER)]
    (by_delegate, inside), proxies, legs = recorded_tags(47)
    assert [(tag.remark_event_index, tag.reason, tag.via_delegate) for tag in proxies] == [
        (by_delegate.event_index, Reason.NOT_BY_DELEGATE, True),
        (inside.event_index, Reason.SAME_SENDER, False),
    ]
    assert inside.sender != by_delegate.sender, "one is the real account, the other its delegate"
    assert {leg.coldkey for leg in legs if leg.event_index == proxies[1].stake_event_index} == {inside.sender}


def compact(number: int) -> bytes:
    return bytes([number << 2])


def test_pa7_a_stake_and_remark_as_mainnet_encodes_them(play: Play, hotkeys: list[str]) -> None:
    """Composed with scalecodec and its metadata of runtime 393, the events byte by byte, read by our decoder."""
    from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
    from scalecodec.type_registry import load_type_registry_preset

    metadata_hex = metadata_of(393)
    config = RuntimeConfigurationObject(ss58_format=42)
    config.update_type_registry(load_type_registry_preset("core"))
    metadata = config.create_scale_object("MetadataVersioned", data=ScaleBytes(metadata_hex))
    metadata.decode()
    config.add_portable_registry(metadata)
    coldkey, hotkey = play.address("tali_1"), hotkeys[0]

    def account(address: str) -> bytes:
        return bytes(config.create_scale_object("AccountId").encode(address).data)

    def event(pallet: str, name: str, fields: bytes = b"") -> bytes:
        found = metadata.get_metadata_pallet(pallet)
        index = next(entry.value["index"] for entry in found.events if entry.name == name)
        # Phase ApplyExtrinsic(1), the event, no topics.
        return bytes([0, 1, 0, 0, 0, found.value["index"], index]) + fields + compact(0)

    calls = [
        ("SubtensorModule", "add_stake", {"hotkey": hotkey, "netuid": 1, "amount_staked": 5 * 10**9}),
        ("System", "remark_with_event", {"remark": TALISMAN.decode()}),
    ]
    extrinsic = config.create_scale_object("Extrinsic", metadata=metadata).encode(
        {
            "account_id": coldkey,
            "signature": {"Sr25519": "0x" + "00" * 64},
            "call_module": "Utility",
            "call_function": "batch_all",
            "call_args": {
                "calls": [
                    {"call_module": module, "call_function": function, "call_args": arguments}
                    for module, function, arguments in calls
                ]
            },
            "nonce": 0,
            "era": "00",
            "tip": 0,
            "asset_id": {"tip": 0, "asset_id": None},
            "mode": "Disabled",
        }
    )
    amounts = b"".join(n.to_bytes(8, "little") for n in (5 * 10**9, 4_998_000_000))
    staked = (
        account(coldkey)
        + account(hotkey)
        + amounts
        + (1).to_bytes(2, "little")
        + (2_500_000).to_bytes(8, "little")
    )
    said = account(coldkey) + bytes.fromhex(text_hash(TALISMAN)[2:])
    done = compact(50) + compact(10) + bytes([0, 0])
    records = [
        event("SubtensorModule", "StakeAdded", staked),
        event("Utility", "ItemCompleted"),
        event("System", "Remarked", said),
        event("Utility", "ItemCompleted"),
        event("Utility", "BatchCompleted"),
        event("System", "ExtrinsicSuccess", done),
    ]
    decoder = decoder_for(393, metadata_hex, 42)
    events = decoder.events("0x" + (compact(len(records)) + b"".join(records)).hex())
    extrinsics = {1: decoder.extrinsic(extrinsic.to_hex())}
    legs = stake_events(events, 393)
    found = remarks(events, extrinsics, legs)
    assert [(fact.sender, fact.remark) for fact in found] == [(coldkey, TALISMAN)]
    assert tags(events, extrinsics, legs, found) == [TagFact(2, 0, True, "SAME_SENDER", False)]


# --- anything at all --------------------------------------------------------------------------------------

PEOPLE = [ALICE, BOB, MULTI]
TEXTS = [b"x", b"x", b"x", b"y", b""]


def _wrapped(inner: st.SearchStrategy[Call]) -> st.SearchStrategy[Call]:
    items = st.lists(inner, max_size=4)
    person = st.sampled_from(PEOPLE)
    return st.one_of(
        st.builds(
            lambda calls, kind: batch(*calls, kind=kind),
            items,
            st.sampled_from(["batch", "batch_all", "force_batch"]),
        ),
        st.builds(proxy, person, inner),
        st.builds(multisig, person, inner, last=st.booleans()),
        st.builds(sudo_as, person, inner),
        st.builds(failing, inner),
    )


CALLS = st.recursive(
    st.one_of(
        st.builds(add, st.sampled_from([OURS, STRANGE])),
        st.builds(remove),
        st.builds(remark, st.sampled_from(TEXTS)),
        st.builds(remark, st.sampled_from(TEXTS)),
        st.builds(orders, st.sampled_from(PEOPLE)),
        st.builds(lambda real: proxy(real, add()), st.sampled_from(PEOPLE)),
        st.builds(transfer, st.sampled_from(PEOPLE)),
        st.just(move((STRANGE, 1), (OURS, 1))),
        st.just(failing(add())),
        st.just(call("Balances.transfer_keep_alive")),
    ),
    _wrapped,
    max_leaves=12,
)
# Outermost a batch, or there is hardly ever a remark beside a stake.
EXTRINSICS = st.builds(
    lambda calls, kind: batch(*calls, kind=kind),
    st.lists(CALLS, min_size=2, max_size=6),
    st.sampled_from(["batch", "batch_all", "force_batch"]),
)
BLOCKS = st.lists(st.tuples(st.sampled_from(PEOPLE), EXTRINSICS), min_size=1, max_size=2)


def _block(sent: list[tuple[str, Call]]) -> Block:
    block = Block()
    for signer, top in sent:
        block.send(signer, top)
    return block


@settings(max_examples=600, deadline=None)
@given(BLOCKS)
def test_pa7_no_remark_ever_tags_stake_of_another_coldkey_or_another_extrinsic(
    sent: list[tuple[str, Call]],
) -> None:
    block = _block(sent)
    for accepted in (False, True):
        found, tagged = read(block, accept_delegates=accepted)
        said = {fact.event_index: fact for fact in found}
        stakes = {leg.event_index: leg for leg in legs_of(block)}
        assert {tag.remark_event_index for tag in tagged} == set(said), "each remark is judged"
        named = [tag.stake_event_index for tag in tagged if tag.accepted]
        assert len(named) == len(set(named)), "no stake is named twice"
        for tag in tagged:
            remark_fact = said[tag.remark_event_index]
            if tag.stake_event_index is None:
                assert tag.reason not in ACCEPTED
                continue
            stake = stakes[tag.stake_event_index]
            assert stake.extrinsic_index == remark_fact.extrinsic_index
            assert stake.added
            assert tag.reason in ACCEPTED
            if not tag.via_delegate:
                assert stake.coldkey == remark_fact.sender
            else:
                assert accepted
                signer = block.extrinsics[remark_fact.extrinsic_index].signer
                assert block.origins[stake.event_index] == (stake.coldkey, signer)
                assert signer == remark_fact.sender


@settings(max_examples=600, deadline=None)
@given(BLOCKS)
def test_pa7_the_call_tree_finds_the_account_behind_every_event(sent: list[tuple[str, Call]]) -> None:
    block = _block(sent)
    for index, extrinsic in block.extrinsics.items():
        events = [event for event in block.events if event.extrinsic_index == index]
        if events[-1].name == "ExtrinsicFailed":
            continue
        run = trace(extrinsic, events)
        assert run is not None
        assert set(run.places) == {event.index for event in events}
        for event in events:
            if event.pallet in ("System", "SubtensorModule") and event.name != "ExtrinsicSuccess":
                place = run.places[event.index]
                assert not is_marker(event)
                assert (place.account, place.delegate) == block.origins[event.index]
