"""One command tests a runtime on its own blocks and admits it, or says what was wrong and stores nothing (CH7)."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chain.models import Network, Runtime
from chain.nodes.segment import SegmentSource
from chain.reading.reader import ChainReader
from chain.runtimes.admission import admitted_era
from chain.runtimes.check import (
    Passed,
    RuntimeRefused,
    Sample,
    check_runtime,
    chosen_era,
    sample_of_node,
    sample_of_segment,
)
from chain.runtimes.eras import ERA_BY_NAME, ERAS
from chain.runtimes.services import CannotAdmit, admit_runtime, admitted_eras, assume_runtime
from chain.state import Identity
from chain.tests.factories import make_blocks
from chain.tests.mainnet import as_spec, metadata_of
from chain.tests.replay_node import Play, PlaySource, serving
from tests.guards import refused, sql, without_triggers

ERA = ERA_BY_NAME["261–333"]
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
GENESIS = "0x" + "45" * 32
GOOD_KEY = "5EppEWfjKu8uXnu1yJh3X9vLedkr7KAmUSVk1wqMBopapGPf"


class UpgradedPlay(Play):
    """The play, as if its runtime had another number: 293 up to `until`, then `spec_version`."""

    def __init__(self, spec_version: int, *, until: int = 0) -> None:
        super().__init__("play")
        self._spec_version, self._until = spec_version, until
        self._upgraded = as_spec(self.metadata, spec_version)
        self.lies: dict[str, Any] = {}

    def answer(self, method: str, params: list[Any]) -> Any:
        if method in ("state_getRuntimeVersion", "state_getMetadata"):
            # A block is executed by the runtime in its parent's state.
            upgraded = self.by_hash.get(params[0], {"number": 0})["number"] >= self._until
            if method == "state_getMetadata":
                return self._upgraded if upgraded else self.metadata
            return {"specVersion": self._spec_version if upgraded else 293}
        result = super().answer(method, params)
        if method == "state_queryStorageAt":
            result[0]["changes"] = [[key, self.lies.get(key, value)] for key, value in result[0]["changes"]]
        return result


@pytest.fixture(scope="module")
def upgraded_url() -> Iterator[str]:
    """A node on which blocks 31 and later ran on runtime 999."""
    with serving(UpgradedPlay(999, until=30)) as url:
        yield url


def command(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("check_runtime", *arguments, stdout=out, **options)
    return out.getvalue()


# --- which blocks -------------------------------------------------------------------------------------


def test_ch7_a_nodes_sample_is_the_newest_blocks_of_the_runtime(hotkeys: list[str]) -> None:
    source = PlaySource(UpgradedPlay(999, until=30))

    def sample(spec_version: int | None, blocks: int) -> tuple[int, int, int, int]:
        found = sample_of_node(source, hotkeys, spec_version=spec_version, blocks=blocks)
        return found.spec_version, found.start, found.first, found.last

    assert sample(None, 10) == sample(999, 10) == (999, 83, 83, 92)
    assert sample(999, 1) == (999, 92, 92, 92)
    assert sample(999, 800) == (999, 31, 31, 92)
    assert sample(293, 10) == (293, 21, 21, 30)
    for spec_version in (292, 294, 1000):
        with pytest.raises(RuntimeRefused, match=f"no finalized block of play ran on runtime {spec_version}"):
            sample(spec_version, 10)


def test_ch10_a_segments_sample_is_all_of_it(segment: Path, hotkeys: list[str]) -> None:
    source = SegmentSource(segment)
    sample = sample_of_segment(source, spec_version=None)
    assert (sample.spec_version, sample.start, sample.first, sample.last) == (293, 2, 2, 92)
    assert sorted(sample.hotkeys) == sorted(hotkeys)
    with pytest.raises(RuntimeRefused, match=r"no block of segment .* ran on runtime 999"):
        sample_of_segment(source, spec_version=999)


def test_ch7_a_known_runtime_has_one_era() -> None:
    assert chosen_era(393, None).name == chosen_era(393, "361–396").name == "361–396"
    assert chosen_era(999, None) is ERAS[-1]
    assert chosen_era(999, "361–396").name == "361–396"
    with pytest.raises(RuntimeRefused, match="known to be of era 361–396, not 423"):
        chosen_era(393, "423+")
    with pytest.raises(RuntimeRefused, match="there is no era 'today'"):
        chosen_era(999, "today")


# --- the command --------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "said"),
    [
        *(
            ([f"--blocks={number}", "--url", "ws://127.0.0.1:9"], "argument --blocks: .* from 1 to 100,000")
            for number in ("0", "-1", "x", "", str(10**30), "9" * 5_000)
        ),
        *(
            ([f"--spec={number}", "--url", "ws://127.0.0.1:9"], "argument --spec: .* is no runtime")
            for number in ("0", "-1", "x", "", str(2**31), str(10**30), "9" * 5_000)
        ),
        *((["--url", url], "this is not the address of a node") for url in ("", "x", "ws://" + "a" * 301)),
        (["--segment", ""], "argument --segment: it is empty"),
        (["--segment", "x", "--by", "a\nb"], "--by names who admits the runtime"),
        (["--segment", "x", "--by", ""], "--by names who admits the runtime"),
        (["--segment", "x", "--hotkey", GOOD_KEY], "leave out --hotkey"),
    ],
)
def test_ch7_what_cannot_be_tested_is_said_at_once(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        command(*words)
    assert len(str(refused.value)) < 300
    assert not Runtime.objects.exists()


@pytest.mark.django_db
def test_ch7_where_the_login_has_no_name_it_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    with pytest.raises(CommandError, match="--by names who admits the runtime"):
        command("--segment", "x")
    with pytest.raises(CommandError, match="set LOGNAME"):
        call_command("ingest", "--segment", "x", "--assume-era", "423+")


@pytest.mark.django_db
def test_ch7_a_runtime_that_passes_is_admitted_with_its_evidence(
    upgraded_url: str, hotkeys: list[str]
) -> None:
    ours = [f"--hotkey={hotkey}" for hotkey in hotkeys]
    said = command("--url", upgraded_url, "--era", ERA.name, "--by", "Olivia", *ours)
    assert "Runtime 999 is admitted as era 261–333 by Olivia." in said
    row = Runtime.objects.get()
    assert (row.spec_version, row.era, row.admitted_by, row.assumed, row.first_block) == (
        999,
        "261–333",
        "Olivia",
        False,
        31,
    )
    assert row.admitted_at is not None
    evidence = row.evidence
    assert evidence["blocks"] == [31, 92]
    assert evidence["hotkeys"] == hotkeys
    assert evidence["yields"] == {"ALPHA": 18, "ROOT": 11}
    assert sum(evidence["proofs"].values()) == 29
    assert evidence["layout_differences"] == []
    assert f"{evidence['positions']:,} equal the chain's own list" in said
    assert admitted_eras() == {999: ERA}


@pytest.mark.django_db
def test_ch7_a_runtime_is_read_once_it_is_admitted_and_halts_before(hotkeys: list[str]) -> None:
    play = UpgradedPlay(999)
    source = PlaySource(play)
    sample = sample_of_node(source, hotkeys, spec_version=None, blocks=800)
    assert sample.first == 1
    reader = ChainReader(source, hotkeys, 42, eras={999: ERA}, until=play.last)
    reader.start_from_chain(16)
    facts = [reader.read_block(number) for number in range(17, play.last + 1)]
    assert sum(len(block.yields) for block in facts) == 35
    era = admitted_era(999, 17, {999: ERA}, lambda: reader.decoder(999, reader.parent_hash))
    assert era is ERA


@pytest.mark.django_db
def test_ch7_a_segment_admits_its_runtime_for_the_person_at_the_keyboard(
    segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a version of this program that does not know the runtime yet.
    monkeypatch.setattr("chain.management.commands.check_runtime.era_of", lambda _: None)
    said = command("--segment", str(segment), "--spec", "293")
    row = Runtime.objects.get()
    assert (row.spec_version, row.era, row.admitted_by) == (293, "261–333", getpass.getuser())
    assert "laid out as era 261–333" in said
    assert row.evidence["blocks"] == [2, 92]


@pytest.mark.django_db
def test_ch7_a_layout_of_another_era_is_refused_and_nothing_is_stored(
    upgraded_url: str, hotkeys: list[str]
) -> None:
    with pytest.raises(
        CommandError, match="Not admitted, nothing was stored: the metadata of runtime 999"
    ) as caught:
        command("--url", upgraded_url, "--hotkey", hotkeys[0], "--blocks", "5")
    assert caught.value.returncode == 1
    assert "\n  SubtensorModule.AlphaV2 is missing\n" in str(caught.value)
    assert not Runtime.objects.exists()


@pytest.mark.django_db
def test_ch7_blocks_without_an_epoch_of_ours_prove_nothing(upgraded_url: str, hotkeys: list[str]) -> None:
    with pytest.raises(CommandError, match=r"blocks 91 to 92 hold no epoch that paid .* Test more blocks"):
        command("--url", upgraded_url, "--era", ERA.name, "--hotkey", hotkeys[0], "--blocks", "2")
    assert not Runtime.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--segment", "there/is/none"],
        ["--url", "http://localhost"],
        ["--url", "ws://127.0.0.1:1", "--hotkey", "nobody"],
        ["--url", "ws://127.0.0.1:1"],
        ["--segment", "x", "--blocks", "0"],
        ["--segment", "x", "--by", " "],
        ["--segment", "x", "--url", "ws://127.0.0.1:1"],
    ],
)
def test_ch7_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        command(*arguments)
    assert not Runtime.objects.exists()


def test_ch3_a_runtime_whose_takes_do_not_agree_is_refused_with_the_block(hotkeys: list[str]) -> None:
    """The other way round: take 9 % as if it were 18 %, and every epoch disagrees."""
    from chain import keys

    play = UpgradedPlay(999, until=30)
    play.lies = {keys.by_hotkey("Delegates", hotkey): "0x142e" for hotkey in hotkeys}
    source = PlaySource(play)
    sample = sample_of_node(source, hotkeys, spec_version=999, blocks=800)
    with pytest.raises(RuntimeRefused, match=r"runtime 999 read as era 261–333: block \d+, .*"):
        check_runtime(source, sample, ERA)


def test_ch7_positions_that_are_not_the_chains_list_are_refused(hotkeys: list[str]) -> None:
    class Forgetful(PlaySource):
        """Leaves the last key out of every list of holders at the last block."""

        def answer(self, method: str, params: list[Any]) -> Any:
            result = super().answer(method, params)
            last = self.play.blocks[self.play.last]["hash"]
            return (
                result[:-1]
                if method == "state_getKeysPaged" and last in params and len(result) > 5
                else result
            )

    source = Forgetful(UpgradedPlay(999, until=30))
    sample = sample_of_node(source, hotkeys, spec_version=999, blocks=800)
    with pytest.raises(RuntimeRefused, match="read as era 261–333: block 92"):
        check_runtime(source, sample, ERA)


# --- what is stored -----------------------------------------------------------------------------------


def passed(spec_version: int = 999, *, genesis: str = GENESIS, metadata: str | None = None) -> Passed:
    return Passed(
        Sample(spec_version, 31, 31, 92, ("5Hot",), Identity("Play", genesis, 42, 92)),
        "play",
        ERA,
        metadata or as_spec(metadata_of(293), spec_version),
        epochs=3,
        yields={"ALPHA": 3},
        proofs={"POOL": 3},
        stake_events=1,
        conversions=0,
        positions=7,
    )


def assume(spec_version: int = 999, era: str = ERA.name) -> Runtime:
    return assume_runtime(
        spec_version=spec_version,
        metadata_hex=as_spec(metadata_of(293), spec_version),
        era=ERA_BY_NAME[era],
        first_block=31,
        actor="adam",
        now=NOW,
    )


@pytest.mark.django_db
def test_ch7_an_assumed_runtime_is_marked_until_it_is_proved() -> None:
    row = assume()
    assert (row.assumed, row.admitted_by, row.evidence, row.era) == (True, "adam", {}, ERA.name)
    assert admitted_eras() == {999: ERA}
    admit_runtime(passed=passed(), actor="olivia", now=NOW)
    row.refresh_from_db()
    assert (row.assumed, row.admitted_by, row.evidence["epochs"]) == (False, "olivia", 3)
    with pytest.raises(CannotAdmit, match="was admitted as era 261–333; nothing need be assumed"):
        assume()
    with pytest.raises(CannotAdmit, match="runtime 393 is known"):
        assume(393)
    row.refresh_from_db()
    assert (row.assumed, row.admitted_by) == (False, "olivia")


@pytest.mark.django_db
def test_ch7_what_stored_blocks_were_read_by_cannot_change_under_them() -> None:
    row = assume(era="423+")
    make_blocks(1, 2, runtime=row)
    before = Runtime.objects.values().get(pk=999)
    with pytest.raises(CannotAdmit, match=r"were read as era 423\+, not 261–333"):
        admit_runtime(passed=passed(), actor="olivia", now=NOW)
    with pytest.raises(CannotAdmit, match="were decoded with other metadata"):
        admit_runtime(passed=passed(metadata=as_spec(metadata_of(393), 999)), actor="olivia", now=NOW)
    assert Runtime.objects.values().get(pk=999) == before


@pytest.mark.django_db
def test_ch7_evidence_from_another_chain_is_refused() -> None:
    Network.objects.create(name="Play", genesis_hash="0x" + "77" * 32)
    with pytest.raises(CannotAdmit, match="the runtime was tested on 0x4545"):
        admit_runtime(passed=passed(), actor="olivia", now=NOW)
    assert not Runtime.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "admitted_by = ''",
        "admitted_at = NULL",
        "era = ''",
        "evidence = '{}'",
        "assumed = true",
        "admitted_by = '', admitted_at = NULL",
        "admitted_by = '', admitted_at = NULL, evidence = '{}', assumed = true",
    ],
)
def test_ch7_the_database_refuses_an_admission_by_nobody_or_without_evidence(change: str) -> None:
    admit_runtime(passed=passed(), actor="olivia", now=NOW)
    with refused("runtime_admitted_by_somebody"), without_triggers():
        sql(f"UPDATE chain_runtime SET {change} WHERE spec_version = 999")


@pytest.mark.django_db
def test_ch7_a_known_runtime_is_tested_and_nothing_is_stored_of_it(
    play: Play, hotkeys: list[str], settings: Any
) -> None:
    with serving(play) as url:
        settings.RAKEBACK_NODE_URL = url
        said = command(*(word for key in hotkeys for word in ("--hotkey", key)), "--blocks", "40")
    assert "Runtime 293 is known as era 261–333. The sample agrees; nothing was stored." in said
    assert not Runtime.objects.exists()


@pytest.mark.django_db
def test_ch7_a_test_needs_a_node_or_a_segment(hotkeys: list[str], settings: Any) -> None:
    settings.RAKEBACK_NODE_URL = ""
    with pytest.raises(CommandError, match="or set RAKEBACK_NODE_URL"):
        command("--hotkey", hotkeys[0])
