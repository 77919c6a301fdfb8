"""Call data of a real runtime's metadata, against bytes put together by hand."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chain.tests
from chain.addresses import decode_address, encode_address
from chain.models import Runtime
from partners.tests.factories import approved, paid_to, requested, travel
from payments import calls
from payments.calls import CallDataError, Codec, encode_checked
from payments.services import BatchChanged, approve_batch, call_data, cancel_batch, propose_batch
from payments.tests.factories import NOW, address_of, make_partner, make_user

METADATA_FILE = Path(chain.tests.__file__).parent / "data" / "play-metadata.hex.gz"
# Read off the runtime's own metadata: Utility is pallet 11 and batch_all its call 2, Balances pallet 5 and
# transfer_keep_alive its call 3; MultiAddress::Id is variant 0.
BATCH_ALL = bytes([11, 2])
TRANSFER_KEEP_ALIVE = bytes([5, 3])
ID = bytes([0])


def compact(number: int) -> bytes:
    """SCALE's compact integer, from its description."""
    if number < 1 << 6:
        return bytes([number << 2])
    if number < 1 << 14:
        return (number << 2 | 1).to_bytes(2, "little")
    if number < 1 << 30:
        return (number << 2 | 2).to_bytes(4, "little")
    width = max(4, (number.bit_length() + 7) // 8)
    return bytes([(width - 4) << 2 | 3]) + number.to_bytes(width, "little")


def by_hand(transfers: list[tuple[str, int]]) -> str:
    inner = b"".join(
        TRANSFER_KEEP_ALIVE + ID + decode_address(address) + compact(amount) for address, amount in transfers
    )
    return "0x" + (BATCH_ALL + compact(len(transfers)) + inner).hex()


@pytest.fixture(scope="session")
def metadata() -> bytes:
    with gzip.open(METADATA_FILE, "rt") as file:
        return bytes.fromhex(file.readline().strip().removeprefix("0x"))


@pytest.fixture(scope="session")
def codec(metadata: bytes) -> Codec:
    return Codec(metadata)


transfers_strategy = st.lists(
    st.tuples(
        st.binary(min_size=32, max_size=32).filter(any).map(encode_address),
        st.one_of(st.integers(500, 2**63 - 1), st.sampled_from([2**14 - 1, 2**14, 2**30 - 1, 2**30, 2**32])),
    ),
    min_size=1,
    max_size=5,
)


@given(transfers=transfers_strategy)
@settings(max_examples=60, deadline=None)
def test_py4_call_data_is_what_the_format_says(codec: Codec, transfers: list[tuple[str, int]]) -> None:
    assert encode_checked(codec, transfers) == by_hand(transfers)


def test_py4_the_same_partner_address_twice_stays_two_transfers(codec: Codec) -> None:
    transfers = [(address_of(1), 500), (address_of(1), 500), (address_of(2), 501)] * 25
    assert encode_checked(codec, transfers) == by_hand(transfers)


@pytest.mark.parametrize(
    "data",
    [
        BATCH_ALL + compact(0) + b"\0",
        b"",
        bytes([11, 0]) + compact(0),
        bytes([5, 0]) + ID + bytes(32) + compact(500),
        BATCH_ALL + compact(1) + bytes([5, 0]) + ID + bytes([1] * 32) + compact(500),
        BATCH_ALL + compact(2) + TRANSFER_KEEP_ALIVE + ID + bytes([1] * 32) + compact(500),
    ],
    ids=["bytes after it", "empty", "batch", "no batch", "allow_death inside", "cut short"],
)
def test_py4_anything_else_does_not_pass_as_payouts(codec: Codec, data: bytes) -> None:
    with pytest.raises(CallDataError):
        codec.decode_transfers(data)


def test_py4_bytes_that_say_something_else_are_not_handed_out(
    codec: Codec, metadata: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = by_hand([(address_of(2), 500)])
    monkeypatch.setattr(codec, "encode_transfers", lambda _transfers: bytes.fromhex(wrong[2:]))
    with pytest.raises(CallDataError, match="does not decode to the payouts"):
        encode_checked(codec, [(address_of(1), 500)])


def test_py4_nothing_and_damage_are_refused(codec: Codec, metadata: bytes) -> None:
    with pytest.raises(CallDataError, match="nothing to pay"):
        encode_checked(codec, [])
    with pytest.raises(CallDataError, match="cannot be read"):
        Codec(metadata[:1000])


@pytest.mark.django_db
def test_py4_before_any_block_there_is_no_call_data() -> None:
    with pytest.raises(CallDataError, match="no runtime is known"):
        calls.latest_codec()


@pytest.mark.django_db
def test_py4_only_an_approved_batch_that_still_holds_is_exported(metadata: bytes) -> None:
    calls._codec_of.cache_clear()
    maker, checker = make_user("maker", "propose_batch"), make_user("checker", "approve_batch")
    first, second = make_partner("cb", owed=5_000), make_partner("talisman", owed=7_000_000_000)
    batch = propose_batch(actor=maker, now=NOW)
    with pytest.raises(BatchChanged, match="only an approved batch"):
        call_data(batch)
    batch = approve_batch(batch_id=batch.pk, content_hash=batch.content_hash, actor=checker, now=NOW)

    with pytest.raises(CallDataError, match="damaged"):
        call_data(batch)
    Runtime.objects.create(
        spec_version=293, metadata=zlib.compress(metadata), metadata_sha256="0" * 64, first_block=9
    )
    with pytest.raises(CallDataError, match="damaged"):
        call_data(batch)
    Runtime.objects.filter(pk=293).update(metadata_sha256=hashlib.sha256(metadata).hexdigest())
    assert call_data(batch) == by_hand([(paid_to(first), 5_000), (paid_to(second), 7_000_000_000)])

    version = requested(first, address_of(99))
    with pytest.raises(BatchChanged, match="A new payout address of CB was requested"):
        call_data(batch)
    travel(approved(version), "0 s")
    with pytest.raises(BatchChanged, match="payout address of CB changed"):
        call_data(batch)
    cancelled = cancel_batch(batch_id=batch.pk, reason="Address changed", actor=checker, now=NOW)
    with pytest.raises(BatchChanged, match="only an approved batch"):
        call_data(cancelled)
