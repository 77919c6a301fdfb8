"""Stake events as stored and as shown: one event may change several positions, each with its cause (CH2)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client

from chain.facts import BlockFacts, ConversionFact, StakeEventFact
from chain.models import Conversion, Hotkey, StakeEvent
from chain.stake.causes import Cause
from chain.storing import store_blocks
from chain.tests.factories import HOTKEY, OWNER, TAO, key, make_blocks, make_stake_event
from chain.tests.test_admin import list_url, page_url, rows_of, text_of
from tests.guards import refused, sql, tamper, without_triggers

pytestmark = pytest.mark.django_db


def make_silent(index: int, coldkey: str, cause: str, **fields: Any) -> StakeEvent:
    values: dict[str, Any] = {
        "block_id": 1, "event_index": index, "kind": "UNSTAKE", "added": False, "coldkey": coldkey, "hotkey": HOTKEY,
        "netuid": 2, "tao_rao": None, "alpha_rao": 5 * TAO, "fee_rao": None, "fee_asset": "ALPHA", "cause": cause,
        "derived": True, **fields,
    }  # fmt: skip
    return StakeEvent.objects.create(**values)


def test_ch2_one_event_may_change_several_positions_but_each_only_once() -> None:
    make_blocks(1, 1)
    make_silent(9, key("a"), "DISSOLVED")
    make_silent(9, key("b"), "DISSOLVED")
    make_silent(9, key("a"), "DISSOLVED", netuid=3)
    make_silent(9, key("a"), "DISSOLVED", added=True)
    with pytest.raises(IntegrityError, match="stake_event_once"), transaction.atomic():
        make_silent(9, key("a"), "DISSOLVED")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("cause = 'SOLD'", "stake_event_cause_known"),
        ("derived = true", "stake_event_derived_has_cause"),
        ("tao_rao = NULL", "stake_event_derived_has_cause"),
        ("tao_rao = -1", "stake_event_not_negative"),
        ("fee_rao = -1", "stake_event_not_negative"),
    ],
)
def test_ch2_the_database_refuses_stake_events_that_cannot_be(change: str, constraint: str) -> None:
    make_blocks(1, 1)
    make_stake_event(1, 1)
    with refused(constraint), without_triggers():
        sql(f"UPDATE chain_stakeevent SET {change}")


@pytest.mark.parametrize(
    "change", ["cause = 'ORDER'", "fee_rao = NULL", "cause = 'DUST', derived = true, tao_rao = NULL"]
)
def test_ch2_the_database_keeps_stake_events_that_can_be(change: str) -> None:
    make_blocks(1, 1)
    make_stake_event(1, 1)
    tamper(f"UPDATE chain_stakeevent SET {change}")


def test_ch2_every_cause_can_be_stored_and_reads_as_words() -> None:
    make_blocks(1, 1)
    for index, cause in enumerate(Cause):
        make_silent(index, OWNER, cause)
    shown = [row.get_cause_display() for row in StakeEvent.objects.order_by("event_index")]
    assert shown == [cause.words for cause in Cause]
    assert len(set(shown)) == len(shown)


def test_scenario_19_conversions_of_one_event_go_to_the_positions_they_came_from() -> None:
    make_blocks(1, 1)
    legs = [
        StakeEventFact(
            event_index=9, extrinsic_index=5, kind="UNSTAKE", added=False, coldkey=OWNER, hotkey=hotkey, netuid=2,
            tao_rao=tao, alpha_rao=10 * tao, fee_rao=None, fee_asset="ALPHA", cause=Cause.DISSOLVED, derived=True,
        )
        for hotkey, tao in [(HOTKEY, 4), (key("hot2"), 9)]
    ]  # fmt: skip
    facts = BlockFacts(
        number=2, hash="0x" + "2" * 64, parent_hash="0x" + "1" * 64, timestamp_ms=1_700_000_000_000, spec_version=293,
        stake_events=legs,
        conversions=[
            ConversionFact(
                event_index=9, hotkey=leg.hotkey, owner=OWNER, netuid=2, alpha_rao=leg.alpha_rao, tao_rao=leg.tao_rao or 0,
                fee_alpha_rao=0, into_root=False,
            )
            for leg in legs
        ],
    )  # fmt: skip
    store_blocks([facts], lambda _: pytest.fail("the runtime is stored"))
    stored = {row.hotkey: row for row in Conversion.objects.select_related("stake_event")}
    assert {hotkey: (row.stake_event.hotkey, row.tao_rao) for hotkey, row in stored.items()} == {
        HOTKEY: (HOTKEY, 4),
        key("hot2"): (key("hot2"), 9),
    }
    assert StakeEvent.objects.filter(cause="DISSOLVED", derived=True).count() == len(
        asdict(facts)["stake_events"]
    )


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_ui3_stake_events_say_their_cause_and_are_filtered_by_it(admin: Client) -> None:
    make_blocks(1, 1)
    Hotkey.objects.create(address=HOTKEY, first_block=1)
    make_stake_event(1, 1)
    ended = make_silent(9, key("a"), "DISSOLVED")
    said = text_of(admin, list_url(StakeEvent))
    assert "A stake call" in said
    assert "Subnet dissolved" in said
    assert rows_of(admin, f"{list_url(StakeEvent)}?cause__exact=DISSOLVED") == [ended]


def test_ui3_the_page_of_a_silent_change_says_what_is_known_and_shows_no_zero_for_what_is_not(
    admin: Client,
) -> None:
    make_blocks(1, 1)
    ended = text_of(admin, page_url(make_silent(9, key("a"), "DISSOLVED")))
    assert "no event names the amount" in ended
    assert "0.000000000" not in ended
    assert "1-9" in ended
    unexplained = text_of(admin, page_url(make_silent(12, key("a"), "UNEXPLAINED")))
    assert "Nothing on the chain says why" in unexplained
    assert "None: no event says so" in unexplained
    assert "1-12" not in unexplained
