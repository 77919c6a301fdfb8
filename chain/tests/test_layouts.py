"""What a runtime's metadata says is held against the era it is to be read by; every difference has a name."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chain.nodes.source import MissingRead
from chain.runtimes.admission import admitted_era
from chain.runtimes.decoding import (
    ChangedLayout,
    Event,
    Extrinsic,
    RuntimeDecoder,
    UnknownRuntime,
    decoder_for,
)
from chain.runtimes.eras import ERA_BY_NAME, ERAS, Era
from chain.runtimes.layouts import CALLS, EVENTS, STORAGE, Fields, Storage, expected_specs, layout_differences
from chain.tests.mainnet import SS58_PREFIX, as_spec, metadata_of

TRUE_ERA = {293: "261–333", 343: "334–360", 393: "361–396"}


def decoder(spec_version: int) -> RuntimeDecoder:
    return decoder_for(spec_version, metadata_of(spec_version), SS58_PREFIX)


def altered(spec_version: int, old: bytes, new: bytes) -> RuntimeDecoder:
    """A runtime whose metadata differs in one place."""
    metadata = bytes.fromhex(metadata_of(spec_version)[2:])
    assert metadata.count(old) == 1
    return RuntimeDecoder(spec_version, "0x" + metadata.replace(old, new).hex(), SS58_PREFIX)


def named(text: str) -> bytes:
    return bytes([len(text) << 2]) + text.encode()


@pytest.mark.parametrize("spec_version", TRUE_ERA)
def test_ch7_metadata_of_real_runtimes_is_laid_out_as_its_own_era(spec_version: int) -> None:
    assert layout_differences(decoder(spec_version), ERA_BY_NAME[TRUE_ERA[spec_version]]) == []


@pytest.mark.parametrize("spec_version", TRUE_ERA)
@pytest.mark.parametrize("era", ERAS, ids=lambda era: era.name)
def test_ch7_no_other_era_fits_a_real_runtime(spec_version: int, era: Era) -> None:
    if era.name != TRUE_ERA[spec_version]:
        assert layout_differences(decoder(spec_version), era)


def test_ch7_each_difference_is_named() -> None:
    assert layout_differences(decoder(343), ERA_BY_NAME["261–333"]) == [
        "SubtensorModule.TaoDividendsPerSubnet is missing",
        "SubtensorModule.RootClaimable is there, which era 261–333 does not know: root dividends are claimable alpha",
    ]
    assert layout_differences(decoder(393), ERA_BY_NAME["397–422"]) == [
        "SubtensorModule.TotalHotkeySharesV2 is missing",
        "SubtensorModule.AlphaV2 is missing",
        "event SubtensorModule.TransactionFeePaidWithAlpha is missing",
    ]
    five = "(account, account, u64, u64, u16"
    assert f"event SubtensorModule.StakeAdded has {five}, u64), not {five})" in layout_differences(
        decoder(293), ERA_BY_NAME["233–256"]
    )


def test_ch7_another_hasher_type_or_name_is_a_difference() -> None:
    era = ERA_BY_NAME["361–396"]
    # name, ValueQuery, a map of one key, its hasher
    head = named("NetworksAdded") + b"\x01\x01\x04"
    assert layout_differences(altered(393, head + b"\x06", head + b"\x05"), era) == [
        "SubtensorModule.NetworksAdded is keyed by (Twox64Concat u16), not (Identity u16)"
    ]
    metadata = bytes.fromhex(metadata_of(393)[2:])
    head = named("Delegates") + b"\x01\x01\x04\x02\x00"
    u16 = metadata[metadata.index(head) + len(head) :][:1]
    assert layout_differences(altered(393, head + u16, head + bytes([4 << 2])), era) == [
        "SubtensorModule.Delegates holds u32, not u16"
    ]
    assert layout_differences(
        altered(393, named("RootClaimed") + b"\x04", named("RootBlaimed") + b"\x04"), era
    ) == ["event SubtensorModule.RootClaimed is missing"]
    assert layout_differences(altered(393, named("remark_with_event"), named("remark_with_evens")), era) == [
        "call System.remark_with_event is missing"
    ]


def test_ch7_a_newer_runtime_may_drop_the_legacy_maps_of_shares() -> None:
    """Once every share is migrated the maps go; one that is known must have them."""
    metadata = bytes.fromhex(metadata_of(393)[2:]).replace(
        named("Alpha") + b"\x01\x01\x0c", named("Alphb") + b"\x01\x01\x0c"
    )
    gone = "SubtensorModule.Alpha is missing"
    for spec_version, missed in ((393, True), (425, True), (426, False)):
        text = as_spec("0x" + metadata.hex(), spec_version)
        found = layout_differences(RuntimeDecoder(spec_version, text, SS58_PREFIX), ERAS[-1])
        assert (gone in found) is missed
        assert "SubtensorModule.AlphaV2 is missing" in found


def test_ch7_every_runtime_has_one_form_of_each_thing_at_most() -> None:
    def names(rows: Sequence[Storage | Fields], spec_version: int) -> list[tuple[str, str]]:
        return [
            (row.pallet, row.item if isinstance(row, Storage) else row.name)
            for row in rows
            if row.first <= spec_version and (row.last is None or spec_version <= row.last)
        ]

    for spec_version in range(233, 430):
        for rows in (STORAGE, EVENTS, CALLS):
            named = names(rows, spec_version)
            assert len(named) == len(set(named))


def test_ch7_what_comes_within_an_era_may_be_missing_in_a_runtime_that_is_not_of_it() -> None:
    """Runtime 333 pays incentives by stake, 261 does not; one that is neither may look like either."""
    era = ERA_BY_NAME["261–333"]
    assert expected_specs(293, era) == (293, 293)
    assert expected_specs(999, era) == (261, 333)
    assert expected_specs(999, ERAS[-1]) == (999, 999)
    older = as_spec(metadata_of(293), 999)
    assert layout_differences(RuntimeDecoder(999, older, SS58_PREFIX), era) == []
    claimed = as_spec(metadata_of(293), 333)
    assert layout_differences(RuntimeDecoder(333, claimed, SS58_PREFIX), era) == [
        "event SubtensorModule.IncentiveAlphaEmittedToMiners is missing",
        "event SubtensorModule.AutoStakeAdded is missing",
    ]


# --- the gate -----------------------------------------------------------------------------------------


class ForeignDecoder:
    """A decoder without metadata of a real runtime."""

    spec_version = 999
    metadata_hex = "a model"

    def default_u16(self, pallet: str, item: str) -> int:
        raise NotImplementedError

    def events(self, data_hex: str) -> list[Event]:
        raise NotImplementedError

    def extrinsic(self, data_hex: str) -> Extrinsic:
        raise NotImplementedError


@pytest.mark.parametrize("spec_version", TRUE_ERA)
def test_ch7_a_known_runtime_is_read_by_its_own_era(spec_version: int) -> None:
    era = admitted_era(spec_version, 10, {}, lambda: decoder(spec_version))
    assert era.name == TRUE_ERA[spec_version]


def test_ch7_a_known_runtime_that_keeps_its_books_elsewhere_halts_with_the_differences() -> None:
    """Runtime 380, if it ever ran, priced alpha by a balancer though its neighbours did not."""
    other = RuntimeDecoder(300, as_spec(metadata_of(393), 300), SS58_PREFIX)
    with pytest.raises(ChangedLayout) as caught:
        admitted_era(300, 77, {}, lambda: other)
    said = str(caught.value)
    assert said.startswith("block 77 ran on runtime 300, whose metadata is not what era 261–333 is read by: ")
    assert "SubtensorModule.TaoDividendsPerSubnet is missing; SubtensorModule.RootClaimable is there" in said
    assert isinstance(caught.value, UnknownRuntime)


def test_ch7_an_unknown_runtime_halts_with_what_must_be_read() -> None:
    unknown = RuntimeDecoder(999, as_spec(metadata_of(393), 999), SS58_PREFIX)
    with pytest.raises(UnknownRuntime, match="block 77 ran on runtime 999") as caught:
        admitted_era(999, 77, {}, lambda: unknown)
    assert "Its metadata differs from era 423+ in: " in str(caught.value)
    assert "Swap.SwapBalancer is missing" in str(caught.value)
    assert "event LimitOrders.OrderExecuted is missing" in str(caught.value)


def test_ch7_an_unknown_runtime_laid_out_as_today_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    # No metadata of 423 or later is recorded: take the era of 393 for that of today.
    monkeypatch.setattr("chain.runtimes.admission.NEWEST", ERA_BY_NAME["361–396"])
    unknown = RuntimeDecoder(999, as_spec(metadata_of(393), 999), SS58_PREFIX)
    with pytest.raises(UnknownRuntime) as caught:
        admitted_era(999, 77, {}, lambda: unknown)
    assert "are laid out as in era 361–396, but that its rules are the same is not proved" in str(
        caught.value
    )
    assert "manage.py check_runtime --url ws://… --spec 999 --era 361–396" in str(caught.value)
    assert "--assume-era 361–396" in str(caught.value)


def test_ch7_an_unknown_runtime_without_readable_metadata_halts_as_unknown() -> None:
    def broken() -> RuntimeDecoder:
        return RuntimeDecoder(999, metadata_of(393)[:-2], SS58_PREFIX)

    def missing() -> RuntimeDecoder:
        raise MissingRead("the node does not hold it")

    with pytest.raises(UnknownRuntime, match=r"runtime 999.* Nor could its metadata be read"):
        admitted_era(999, 77, {}, broken)
    with pytest.raises(
        UnknownRuntime, match=r"runtime 999.* Nor could its metadata be read: the node does not"
    ):
        admitted_era(999, 77, {}, missing)
    with pytest.raises(MissingRead):
        admitted_era(393, 77, {}, missing)
    with pytest.raises(UnknownRuntime, match="must be proved before"):
        admitted_era(999, 77, {}, ForeignDecoder)


def test_ch7_an_admitted_runtime_is_read_by_the_era_it_was_admitted_for() -> None:
    era = ERA_BY_NAME["361–396"]
    unknown = RuntimeDecoder(999, as_spec(metadata_of(393), 999), SS58_PREFIX)
    assert admitted_era(999, 77, {999: era}, lambda: unknown) is era
    assert admitted_era(999, 77, {999: era}, ForeignDecoder) is era
    with pytest.raises(ChangedLayout, match=r"not what era 423\+ is read by: .*AlphaV2 is missing"):
        admitted_era(999, 77, {999: ERAS[-1]}, lambda: unknown)
