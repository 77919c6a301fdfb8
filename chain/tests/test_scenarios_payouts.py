"""Must-pass scenario 24, as far as the chain tells: what became of each item of a batch that pays."""

from __future__ import annotations

from chain.runtimes.decoding import Event
from chain.tagging.call_tree import Failure, Trace, is_marker, trace
from chain.tests.followed import TAO, Followed
from chain.tests.model import calls
from chain.tests.model.calls import Call

# --- 24. What became of each payment ----------------------------------------------------------------------------------


def sent(call: Call) -> tuple[Followed, list[Event], Trace]:
    """A payer's extrinsic on a chain: its own events and what is told of them."""
    follow = Followed(425)
    follow.chain.submit(follow.chain.address("payer"), call)
    follow.block()
    events = [event for event in follow.events() if event.extrinsic_index == 1]
    written = follow.chain.source.blocks[1].extrinsics[1]
    extrinsic = follow.reader.decoder(425, follow.chain.hash_of(0)).extrinsic(written)
    found = trace(extrinsic, events)
    assert found is not None
    return follow, events, found


def outcomes(events: list[Event], found: Trace, batch: str) -> list[tuple[str, list[tuple[str, int]]]]:
    """The marker that closed each item of a batch, and the transfers between it and the one before."""
    items, paid = [], []
    for event in events:
        if event.is_a("Balances", "Transfer"):
            paid.append((event.values["to"], event.values["amount"]))
        elif is_marker(event) and event.name.startswith("Item") and found.places[event.index].call == batch:
            items.append((event.name, paid))
            paid = []
    assert paid == []
    return items


def pay(to: str, tao: int = 5 * TAO) -> Call:
    """A transfer."""
    return calls.transfer(to, tao)


def test_scenario_24_a_force_batch_says_of_each_item_whether_it_paid() -> None:
    top = calls.force_batch(pay("a"), calls.failing(), pay("b", 7), calls.failing(), pay("c"))
    _, events, found = sent(top)
    assert outcomes(events, found, "Utility.force_batch") == [
        ("ItemCompleted", [("a", 5 * TAO)]),
        ("ItemFailed", []),
        ("ItemCompleted", [("b", 7)]),
        ("ItemFailed", []),
        ("ItemCompleted", [("c", 5 * TAO)]),
    ]
    failed = Failure("ItemFailed", frozenset({"SubtensorModule.burned_register"}))
    assert found.failures == (failed, failed)
    assert "BatchCompletedWithErrors" in [event.name for event in events]
    assert {found.places[e.index].call for e in events if e.name == "Transfer"} == {
        "Balances.transfer_keep_alive"
    }


def test_scenario_24_equal_items_are_told_apart_by_their_place_in_the_batch() -> None:
    """The same payment four times, two of which failed: the second and the fourth."""
    failing_twin = Call(pay("a").tree, calls.failing().effect)
    _, events, found = sent(calls.force_batch(pay("a"), failing_twin, pay("a"), failing_twin))
    assert [marker for marker, _ in outcomes(events, found, "Utility.force_batch")] == [
        "ItemCompleted",
        "ItemFailed",
        "ItemCompleted",
        "ItemFailed",
    ]
    # By amount and recipient alone nobody could say which.
    assert [event.values for event in events if event.name == "Transfer"] == [
        {"from": found.places[event.index].account, "to": "a", "amount": 5 * TAO}
        for event in events
        if event.name == "Transfer"
    ]
    assert found.failures == (Failure("ItemFailed", frozenset({"Balances.transfer_keep_alive"})),) * 2


def test_scenario_24_a_proxy_that_failed_inside_batch_all_completes_its_item_and_pays_nothing() -> None:
    """The extrinsic succeeds, the batch completes, every item completes: only `ProxyExecuted` says what did not."""
    follow = Followed(425)
    real = follow.chain.address("real")
    bad = Call(pay("b").tree, calls.failing().effect)
    _, events, found = sent(calls.batch_all(*(calls.proxy(real, one) for one in (pay("a"), bad, pay("c")))))
    assert [event.name for event in events if event.name.startswith("Extrinsic")] == ["ExtrinsicSuccess"]
    assert outcomes(events, found, "Utility.batch_all") == [
        ("ItemCompleted", [("a", 5 * TAO)]),
        ("ItemCompleted", []),
        ("ItemCompleted", [("c", 5 * TAO)]),
    ]
    assert found.failures == (Failure("ProxyExecuted", frozenset({"Balances.transfer_keep_alive"})),)
    payer = follow.chain.address("payer")
    for event in events:
        if event.name == "Transfer":
            place = found.places[event.index]
            assert (place.account, place.delegate) == (real, payer)
            assert event.values["from"] == real


def test_scenario_24_a_batch_all_through_one_proxy_pays_all_or_nothing() -> None:
    follow = Followed(425)
    real = follow.chain.address("real")
    _, events, found = sent(calls.proxy(real, calls.batch_all(pay("a"), calls.failing(), pay("c"))))
    assert [event.name for event in events if event.name.startswith("Extrinsic")] == ["ExtrinsicSuccess"]
    assert [event for event in events if event.name == "Transfer"] == []
    (failure,) = found.failures
    assert failure.marker == "ProxyExecuted"
    assert {"Utility.batch_all", "Balances.transfer_keep_alive"} <= failure.calls
    _, events, found = sent(calls.proxy(real, calls.batch_all(pay("a"), pay("a"))))
    assert outcomes(events, found, "Utility.batch_all") == [("ItemCompleted", [("a", 5 * TAO)])] * 2
    assert found.failures == ()


def test_scenario_24_a_batch_that_was_interrupted_paid_what_came_before() -> None:
    _, events, found = sent(calls.batch(pay("a"), pay("b"), calls.failing(), pay("c")))
    assert outcomes(events, found, "Utility.batch") == [
        ("ItemCompleted", [("a", 5 * TAO)]),
        ("ItemCompleted", [("b", 5 * TAO)]),
    ]
    (failure,) = found.failures
    assert failure.marker == "BatchInterrupted"
    # Those that were never reached are held back with the one that failed.
    assert "Balances.transfer_keep_alive" in failure.calls
