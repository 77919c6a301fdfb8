"""Must-pass scenarios 20 and 21: upgrades inside a range, and sources that change their mind or lost state.

Sources are model chains; stored facts go through the services that ingest a node's blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from chain import keys
from chain.earnings.yields import MethodsDisagree
from chain.models import Block, Gap, Position, StakeEvent, Yield
from chain.nodes.source import Call as Read
from chain.nodes.source import MissingRead, SourceError
from chain.queries import facts_sha256, holdings_at, last_block
from chain.reading.reader import ChainReader
from chain.services import CannotIngest, IngestStopped, ingest, ingest_new_blocks
from chain.state import BrokenChain
from chain.tests.followed import ROOT, TAO, Followed, of
from chain.tests.model import Dividends, ModelChain, World, calls, migrations
from chain.tests.model.codec import decoder_for
from chain.tests.model.source import ModelSource

# --- 20. Upgrades inside a range ----------------------------------------------------------------------------------

# Each but the third changes fields or meaning of stake events, or where shares and dividends stand.
UPGRADES = [
    (256, 257),
    (260, 261),
    (282, 283),
    (300, 301),
    (333, 334),
    (360, 361),
    (396, 397),
    (410, 411),
    (422, 423),
]


@pytest.mark.parametrize(("before", "after"), UPGRADES)
def test_scenario_20_blocks_around_an_upgrade_are_each_read_by_the_rules_that_ran_them(
    before: int, after: int
) -> None:
    """The block that sets the code still ran on the old one; the next one is the first of the new."""
    follow = Followed(before)
    seller = follow.nominators()[0]
    specs = []
    for number in range(1, 7):
        if number == 3:
            follow.chain.upgrade(after)
        follow.epoch(alpha={follow.hotkey: 20 * TAO + number}, root={follow.hotkey: 30 * TAO + number})
        follow.chain.remove_stake(seller, follow.hotkey, follow.netuid, TAO)
        follow.chain.add_stake(follow.newcomer(str(number)), follow.hotkey, follow.netuid, TAO)
        facts = follow.block()
        specs.append(facts.spec_version)
        assert len(facts.yields) == 2
        assert [leg.alpha_rao for leg in of(facts, seller)] == [TAO]
        assert {leg.cause for leg in facts.stake_events} == {""}
    assert specs == [before] * 3 + [after] * 3


def edits(follow: Followed) -> dict[str, Callable[[World], None]]:
    """What migrations have done to our pools."""
    giver = follow.nominators()[0]
    return {
        "add": migrations.add_share(follow.hotkey, follow.newcomer(), follow.netuid, 7 * TAO),
        "hand over": migrations.move_share(follow.hotkey, follow.netuid, giver, follow.newcomer()),
        "scale": migrations.scale_pool(follow.hotkey, follow.netuid, 2, 3),
        "forget claims": migrations.forget_claimable(follow.hotkey),
    }


@pytest.mark.parametrize("upgrade", [(256, 257), (333, 334), (392, 394), (396, 401), (422, 425)])
@pytest.mark.parametrize("edit", ["add", "hand over", "scale", "forget claims"])
def test_scenario_20_a_migration_that_edits_shares_is_found_and_named(
    upgrade: tuple[int, int], edit: str
) -> None:
    follow = Followed(upgrade[0])
    giver = follow.nominators()[0]
    held = follow.stake(giver)
    follow.epoch(alpha={follow.hotkey: 20 * TAO}, root={follow.hotkey: 30 * TAO})
    follow.block()
    held = follow.stake(giver)
    follow.chain.upgrade(upgrade[1], edits(follow)[edit])
    assert follow.block().stake_events == []
    facts = follow.block()
    assert {leg.cause for leg in facts.stake_events} <= {"MIGRATION"}
    assert (facts.conversions, facts.yields) == ([], [])
    if edit == "add":
        assert [(leg.coldkey, leg.added, leg.netuid) for leg in facts.stake_events] == [
            (follow.newcomer(), True, follow.netuid)
        ]
        assert abs(facts.stake_events[0].alpha_rao - 7 * TAO) <= 1
    elif edit == "hand over":
        legs = {(leg.coldkey, leg.added): leg.alpha_rao for leg in facts.stake_events}
        assert legs.keys() == {(giver, False), (follow.newcomer(), True)}
        assert all(abs(alpha - held) <= 1 for alpha in legs.values())
    elif edit == "scale":
        # Nobody's stake changed by it, and nothing is said to have.
        assert facts.stake_events == []
        assert {share.coldkey for share in facts.shares} == {*follow.nominators(), follow.owner}
    else:
        assert facts.shares == []
    assert follow.block().shares == []
    follow.epoch(alpha={follow.hotkey: 20 * TAO + 1}, root={follow.hotkey: 30 * TAO + 1})
    assert len(follow.block().yields) == 2


@pytest.mark.parametrize("upgrade", [(256, 257), (333, 334), (396, 401), (422, 425)])
def test_scenario_20_an_epoch_right_after_a_migration_is_proved_in_doubt_or_refused(
    upgrade: tuple[int, int],
) -> None:
    """Migrations run before the epoch of their block, on a state that nobody can read."""
    paid = {"alpha": 123_456_789_123, "root": 54_321_987_654}
    for edit in ("none", "forget claims", "hand over", "scale"):
        follow = Followed(upgrade[0])
        follow.block()
        follow.chain.upgrade(upgrade[1], {**edits(follow), "none": lambda _: None}[edit])
        follow.block()
        follow.epoch(**{side: {follow.hotkey: rao} for side, rao in paid.items()})
        follow.doubtful = edit == "hand over"
        if edit == "scale":
            with pytest.raises(MethodsDisagree, match="block 3"):
                follow.block()
            continue
        facts = follow.block()
        assert len(facts.yields) == 2
        assert ["before the epoch of the same block" in doubt for doubt in facts.doubts] == [
            True
        ] * follow.doubtful


def ingesting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let services read blocks that the model wrote: its events and extrinsics are no SCALE."""
    monkeypatch.setattr("chain.services.ChainReader", partial(ChainReader, decoders=decoder_for))


def a_busy_chain(upgrades: Sequence[tuple[int, int]], seed: int = 1) -> ModelChain:
    """A chain that is upgraded every twelve blocks, with stake moves, epochs and migrations on the way."""
    chain = ModelChain(
        upgrades[0][0], seed, quiet=True, without=("swap_hotkey", "swap_hotkey_on_subnet", "dissolve")
    )
    hotkey = chain.hotkeys[0]
    for before, after in upgrades:
        assert chain.spec <= before
        for number in range(12):
            if number == 6:
                edit = migrations.scale_pool(hotkey, chain.netuids[1], 3, 2)
                more = migrations.add_share(hotkey, chain.address(f"of {after}"), ROOT, TAO)
                chain.upgrade(after, edit, more)
            if number % 3 == 0 and number != 9:
                chain.epoch(
                    chain.netuids[1], Dividends.of(alpha={hotkey: 7 * TAO + 3}, root={hotkey: 5 * TAO + 1})
                )
            chain.submit(chain.owners[0], calls.remove_stake(hotkey, chain.netuids[1], TAO))
            chain.submit(chain.coldkeys[number % 8], calls.add_stake(hotkey, chain.netuids[1], TAO))
            chain.produce()
    return chain


@pytest.mark.django_db
@pytest.mark.parametrize(
    "upgrades", [[(256, 258), (282, 293)], [(333, 345), (360, 370)], [(396, 401), (415, 425)]]
)
def test_scenario_20_an_upgrade_between_two_halves_gives_the_facts_of_the_whole(
    upgrades: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingesting(monkeypatch)
    chain = a_busy_chain(upgrades)
    last = chain.number
    with transaction.atomic():
        ingest(chain.source, first=1, last=last, hotkeys=chain.hotkeys)
        whole = facts_sha256()
        assert Yield.objects.count() >= 8
        assert StakeEvent.objects.filter(cause="MIGRATION").exists()
        assert set(Block.objects.values_list("runtime_id", flat=True)) >= {upgrades[0][1], upgrades[1][1]}
        transaction.set_rollback(True)
    # Around the block that sets the code: before it, after it, after the migration.
    for middle in (6, 7, 8, 19):
        with transaction.atomic():
            ingest(chain.source, first=1, last=middle, hotkeys=chain.hotkeys)
            ingest(chain.source, first=middle + 1, last=last, hotkeys=chain.hotkeys)
            assert facts_sha256() == whole
            stored = {
                pool: {c: tuple(s) for c, s in held.items()} for pool, held in holdings_at(last).items()
            }
            transaction.set_rollback(True)
        true = {
            pool: {c: (s.bits, s.exponent) for c, s in held.items() if s.bits}
            for pool, held in chain.shares(last).items()
        }
        assert stored == {pool: held for pool, held in true.items() if held and pool[0] in chain.hotkeys}


# --- 21. What a source may do ---------------------------------------------------------------------------------------


class Fickle(ModelSource):
    """Passes a model's answers on, after a change of mind."""

    def __init__(self, source: ModelSource, change: Callable[[str, list[Any], Any], Any]) -> None:
        self.name = self.answered_by = "model"
        self._source, self._change = source, change
        self.blocks, self.round_trips = source.blocks, 0

    def call_many(self, calls: Sequence[Read]) -> list[Any]:
        """Answer all calls."""
        found = self._source.call_many(calls)
        return [
            self._change(method, params, answer)
            for (method, params), answer in zip(calls, found, strict=True)
        ]


def finalized_at(source: ModelSource, number: int) -> Fickle:
    """A node whose finalized head is an older block than its newest."""

    def change(method: str, params: list[Any], answer: Any) -> Any:
        return source.blocks[number].hash if method == "chain_getFinalizedHead" else answer

    return Fickle(source, change)


def forks(seed: int = 3) -> tuple[ModelChain, ModelChain]:
    """Two chains of ten blocks that are one up to block 6."""
    both = []
    for fork in ("a", "b"):
        chain = ModelChain(425, seed, quiet=True)
        chain.auto_claims = False
        for number in range(1, 11):
            if number > 6:
                chain.seed = hash_seed(fork)
                chain.add_stake(chain.address(fork), chain.hotkeys[0], chain.netuids[1], TAO * number)
            if number in (3, 8):
                found = {chain.hotkeys[0]: (5 + len(fork) + (fork == "b")) * TAO if number == 8 else 5 * TAO}
                chain.epoch(chain.netuids[1], Dividends.of(alpha=found))
            chain.produce()
        both.append(chain)
    first, second = both
    assert first.hash_of(6) == second.hash_of(6)
    assert first.hash_of(7) != second.hash_of(7)
    return first, second


def hash_seed(fork: str) -> int:
    """A seed that changes the hashes of blocks, so that forks differ."""
    return ord(fork)


@pytest.mark.django_db
def test_scenario_21_only_final_blocks_are_stored_so_a_fork_above_them_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingesting(monkeypatch)
    first, second = forks()
    with pytest.raises(CannotIngest, match="block 7 is not final yet: the finalized head is 6"):
        ingest(finalized_at(first.source, 6), first=1, last=7, hotkeys=first.hotkeys)
    assert not Block.objects.exists()
    ingest(finalized_at(first.source, 6), first=1, last=4, hotkeys=first.hotkeys)
    report = ingest_new_blocks(finalized_at(first.source, 6), count_max=50)
    assert report is not None
    # Following stores what another final block follows.
    assert (report.last_block, Block.objects.count()) == (5, 5)
    assert ingest_new_blocks(finalized_at(first.source, 6), count_max=50) is None
    ingest(finalized_at(first.source, 6), first=6, last=6, hotkeys=first.hotkeys)
    # The other fork became final; what was stored stands, and what follows is that fork alone.
    report = ingest_new_blocks(finalized_at(second.source, 10), count_max=50)
    assert report is not None
    assert (report.first_block, report.last_block) == (7, 9)
    assert not Position.objects.filter(coldkey=second.address("a")).exists()
    assert Position.objects.filter(coldkey=second.address("b")).exists()


@pytest.mark.django_db
def test_scenario_21_facts_after_a_fork_are_those_of_the_fork_that_became_final(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingesting(monkeypatch)
    first, second = forks()
    with transaction.atomic():
        ingest(second.source, first=1, last=10, hotkeys=second.hotkeys)
        straight = facts_sha256()
        transaction.set_rollback(True)
    ingest(finalized_at(first.source, 6), first=1, last=6, hotkeys=first.hotkeys)
    ingest(second.source, first=7, last=10, hotkeys=second.hotkeys)
    assert facts_sha256() == straight


@pytest.mark.django_db
def test_scenario_21_a_source_that_replaced_a_stored_block_is_refused_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingesting(monkeypatch)
    first, second = forks()
    ingest(first.source, first=1, last=8, hotkeys=first.hotkeys)
    facts = facts_sha256()
    with pytest.raises(CannotIngest, match="serves another history"):
        ingest_new_blocks(second.source, count_max=50)
    with pytest.raises(CannotIngest, match="another history: block 7 is stored"):
        ingest(second.source, first=5, last=10, hotkeys=second.hotkeys)
    assert facts_sha256() == facts
    assert last_block() == Block.objects.get(number=8)
    assert not Gap.objects.exists()


def test_scenario_21_a_parent_that_changed_is_a_broken_chain() -> None:
    first, second = forks()
    reader = ChainReader(first.source, first.hotkeys, 42, decoders=decoder_for, until=7)
    reader.start_from_chain(0)
    for number in range(1, 8):
        reader.read_block(number)
    stood = reader.parent_hash
    reader._source = second.source
    reader._window._source = second.source
    with pytest.raises(BrokenChain, match=r"block 8 .* does not follow"):
        reader.read_block(8)
    assert reader.parent_hash == stood


def lacking(what: str) -> Callable[[str, list[Any], Any], Any]:
    """Ways in which a node says that it has no state of a block (the fifth), or says nothing."""

    def change(method: str, params: list[Any], answer: Any) -> Any:
        if method != "state_queryStorageAt" or not answer:
            return answer
        values = dict(answer[0]["changes"])
        if values[keys.SYSTEM_NUMBER] != "0x05000000":
            return answer
        if what == "null":
            return None
        if what == "all null":
            return [{"block": params[1], "changes": [[key, None] for key in values]}]
        if what == "left out":
            return [
                {
                    "block": params[1],
                    "changes": [[k, v] for k, v in values.items() if k != keys.SYSTEM_NUMBER],
                }
            ]
        if what == "nothing":
            return []
        return [
            {
                "block": params[1],
                "changes": [[k, "0x04000000" if k == keys.SYSTEM_NUMBER else v] for k, v in values.items()],
            }
        ]

    return change


@pytest.mark.parametrize("what", ["null", "all null", "left out", "nothing", "another block"])
@pytest.mark.parametrize("spec", [235, 345, 425])
def test_scenario_21_state_that_is_not_there_is_an_error_and_never_zero(spec: int, what: str) -> None:
    chain = ModelChain(spec, 1, quiet=True)
    for number in range(1, 7):
        if number == 5:
            chain.epoch(chain.netuids[1], Dividends.of(alpha={chain.hotkeys[0]: TAO}))
        chain.produce()
    reader = ChainReader(Fickle(chain.source, lacking(what)), chain.hotkeys, 42, decoders=decoder_for)
    reader.start_from_chain(0)
    for number in range(1, 5):
        reader.read_block(number)
    before = reader.holdings
    with pytest.raises(MissingRead, match="block 5"):
        reader.read_block(5)
    assert (reader.holdings, reader.parent_hash) == (before, chain.hash_of(4))
    # The same reader goes on when the state is there again.
    sound = ChainReader(chain.source, chain.hotkeys, 42, decoders=decoder_for)
    sound.start_from_facts(reader.parent_hash, reader.holdings, {}, spec)
    assert len(sound.read_block(5).yields) == 1


@pytest.mark.django_db
def test_scenario_21_pruned_state_is_a_gap_that_names_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    ingesting(monkeypatch)
    chain = a_busy_chain([(396, 401)])
    with pytest.raises(IngestStopped, match="stopped before block 5"):
        ingest(Fickle(chain.source, lacking("all null")), first=1, last=12, hotkeys=chain.hotkeys)
    gap = Gap.objects.get()
    assert (gap.kind, gap.blocks.lower, gap.blocks.upper) == ("READ_MISSING", 5, 13)
    assert Block.objects.count() == 4
    ingest(chain.source, first=5, last=12, hotkeys=chain.hotkeys)
    gap.refresh_from_db()
    assert gap.resolved_at is not None


@pytest.mark.parametrize(
    "method", ["chain_getBlockHash", "chain_getHeader", "chain_getBlock", "state_getKeysPaged"]
)
def test_scenario_21_null_where_there_must_be_an_answer_is_an_error(method: str) -> None:
    follow = Followed(425)
    follow.chain.add_stake(follow.newcomer(), follow.hotkey, follow.netuid, TAO)
    follow.chain.produce()

    def change(asked: str, params: list[Any], answer: Any) -> Any:
        return None if asked == method and params != [0] and params[-1] != follow.chain.hash_of(0) else answer

    reader = ChainReader(Fickle(follow.chain.source, change), follow.hotkeys, 42, decoders=decoder_for)
    reader.start_from_chain(0)
    with pytest.raises((SourceError, BrokenChain)):
        reader.read_block(1)


def test_scenario_21_a_value_that_is_absent_where_the_state_is_there_is_zero() -> None:
    """A key that never earned on a subnet has no entry in its maps, which is no error."""
    follow = Followed(425)
    follow.epoch(alpha={follow.hotkeys[1]: TAO}, root={follow.hotkeys[1]: TAO})
    facts = follow.block()
    place = keys.by_netuid_hotkey("AlphaDividendsPerSubnet", follow.netuid, follow.hotkey)
    assert follow.chain.world.storage.at(place, 1) is None
    assert {fact.hotkey for fact in facts.yields} == {follow.hotkeys[1]}
