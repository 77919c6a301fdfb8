"""Small makers of chain facts for the tests of pages and reads. A block every six hours from 2025-01-01."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.backends.postgresql.psycopg_any import NumericRange

from chain.addresses import encode_address
from chain.models import (
    Backfill,
    BackfillChunk,
    Block,
    Conversion,
    Endpoint,
    Gap,
    Hotkey,
    IngestRun,
    PoolPrice,
    Position,
    Remark,
    Runtime,
    StakeEvent,
    Tag,
    Yield,
)
from chain.tagging.tags import text_hash
from chain.units import U64F64_ONE

START = datetime(2025, 1, 1, tzinfo=UTC)
EVERY = timedelta(hours=6)
TAO = 10**9


def key(name: str) -> str:
    """Make a valid address from a short name."""
    return encode_address(name.encode().ljust(32, b"."))


HOTKEY, OWNER = key("hotkey"), key("owner")


def make_blocks(first: int, last: int, **other: Any) -> list[Block]:
    """Make blocks `first` to `last`; block 1 is at START. Columns can be given by field name."""
    runtime, _ = Runtime.objects.get_or_create(
        spec_version=293, defaults={"metadata": b"", "metadata_sha256": "ab" * 32, "first_block": 1}
    )
    return Block.objects.bulk_create(
        Block(
            number=number,
            hash=f"0x{number:064x}",
            parent_hash=f"0x{number - 1:064x}",
            timestamp=START + (number - 1) * EVERY,
            **{"runtime": runtime} | other,
        )
        for number in range(first, last + 1)
    )


def make_yield(
    block: int,
    *,
    netuid: int = 2,
    side: str = "ALPHA",
    hotkey: str = HOTKEY,
    proof: str = "POOL",
    **other: int,
) -> Yield:
    """Make one yield; amounts can be given by field name."""
    amounts = {
        "dividend_rao": 900,
        "take_rao": 100,
        "pool_before_rao": 10_000,
        "share_total": 10_000 * U64F64_ONE,
    }
    amounts |= other
    amounts = {"take_low_rao": amounts["take_rao"], "take_high_rao": amounts["take_rao"]} | amounts
    return Yield.objects.create(
        block_id=block,
        netuid=netuid,
        hotkey=hotkey,
        side=side,
        asset="TAO" if side == "ROOT" else "ALPHA",
        pool_netuid=0 if side == "ROOT" else netuid,
        owner=OWNER,
        take_u16=5_898,
        proof=proof,
        **amounts,
    )


def make_stake_event(block: int, index: int, coldkey: str = OWNER) -> StakeEvent:
    """Make an unstake of alpha 2."""
    return StakeEvent.objects.create(
        block_id=block, event_index=index, extrinsic_index=1, extrinsic_hash="0x" + "cd" * 32, signer=coldkey,
        call="SubtensorModule.remove_stake", kind="UNSTAKE", added=False, coldkey=coldkey, hotkey=HOTKEY, netuid=2,
        tao_rao=2 * TAO, alpha_rao=3 * TAO, fee_rao=1_000, fee_asset="ALPHA",
    )  # fmt: skip


def make_stake(block: int, index: int, coldkey: str = OWNER) -> StakeEvent:
    """Make a stake of 5 TAO on root."""
    return StakeEvent.objects.create(
        block_id=block, event_index=index, extrinsic_index=1, extrinsic_hash="0x" + "cd" * 32, signer=coldkey,
        call="Utility.batch_all", kind="STAKE", added=True, coldkey=coldkey, hotkey=HOTKEY, netuid=0, tao_rao=5 * TAO,
        alpha_rao=5 * TAO, fee_rao=0, fee_asset="TAO",
    )  # fmt: skip


def make_remark(block: int, index: int, text: bytes | None = b"talisman-bittensor", **other: Any) -> Remark:
    """Make a remark of OWNER in extrinsic 1; without a text only its hash is known."""
    fields = {
        "sender": OWNER,
        "remark": text,
        "text_hash": text_hash(text or b""),
        "byte_count": None if text is None else len(text),
    }
    return Remark.objects.create(block_id=block, event_index=index, extrinsic_index=1, **fields | other)


def make_tag(
    remark: Remark, stake: StakeEvent | None, reason: str = "", *, via_delegate: bool = False
) -> Tag:
    """Make a tag: of a stake, or refused without one."""
    return Tag.objects.create(
        block_id=remark.block_id,
        remark=remark,
        stake_event=stake,
        accepted=stake is not None,
        reason=reason or ("SAME_SENDER" if stake else "UNSTAKE_ONLY"),
        via_delegate=via_delegate,
    )


def make_conversion(block: int, index: int = 1) -> Conversion:
    """Make the owner sell 3 alpha for 2 TAO."""
    event = make_stake_event(block, index)
    return Conversion.objects.create(
        stake_event=event, block_id=block, hotkey=HOTKEY, owner=OWNER, netuid=2, alpha_rao=event.alpha_rao,
        tao_rao=event.tao_rao, fee_alpha_rao=event.fee_rao,
    )  # fmt: skip


def make_price(block: int, netuid: int = 2, *, sqrt_price: int = U64F64_ONE) -> PoolPrice:
    """Make a pool price; by default an alpha costs one TAO."""
    return PoolPrice.objects.create(
        block_id=block,
        netuid=netuid,
        tao_reserve_rao=TAO,
        alpha_reserve_rao=TAO,
        sqrt_price=sqrt_price,
        pricing="SQRT_PRICE",
    )


def make_position(
    coldkey: str, *, netuid: int = 2, first: int = 1, end: int | None = None, share: int = 100
) -> Position:
    """Make a position that holds over [first, end)."""
    return Position.objects.create(
        hotkey=HOTKEY,
        netuid=netuid,
        coldkey=coldkey,
        blocks=NumericRange(first, end),
        share=share * U64F64_ONE,
    )


def make_run(status: str = "DONE", *, error: str = "") -> IngestRun:
    """Make a run over blocks 1 to 100."""
    return IngestRun.objects.create(
        source="segment test.gz", first_block=1, last_block=100, blocks_done=40, status=status, error=error,
        started_at=START, finished_at=None if status == "RUNNING" else START + timedelta(seconds=75),
    )  # fmt: skip


def make_gap(first: int, end: int, kind: str = "READ_MISSING") -> Gap:
    """Make an open gap over [first, end)."""
    return Gap.objects.create(
        kind=kind,
        blocks=NumericRange(first, end),
        reason="no answer for block",
        detected_at=START,
        detected_by=make_run(),
    )


def make_endpoint(position: int, condition: str = "HEALTHY", error: str = "") -> Endpoint:
    """Make a node of the settings."""
    return Endpoint.objects.create(
        name=f"wss://node{position}.example", position=position, condition=condition, last_ok_at=START,
        last_error=error, last_error_at=START if error else None, latency_ms=40 + position, head_block=7_300_000,
        head_since=START,
    )  # fmt: skip


def make_backfill(first: int, last: int, state: str = "DONE", *, chunk_blocks: int = 100) -> Backfill:
    """Make a backfill, its chunks stored where it is done."""
    backfill = Backfill.objects.create(
        first_block=first, last_block=last, hotkeys=[HOTKEY], source="ws://node", runs_on="WORKERS", parallel_max=2,
        ahead_max=6, lease_seconds=150, state=state, error="stopped" if state == "STOPPED" else "", asked_at=START,
        seen_at=START, finished_at=START if state in ("DONE", "CANCELLED") else None, run=make_run(),
    )  # fmt: skip
    stored = state == "DONE"
    BackfillChunk.objects.bulk_create(
        BackfillChunk(
            backfill=backfill, number=number, blocks=NumericRange(start, min(start + chunk_blocks, last + 1)),
            state="STORED" if stored else "WAITING", stored_at=START if stored else None,
        )
        for number, start in enumerate(range(first, last + 1, chunk_blocks))
    )  # fmt: skip
    return backfill


def make_everything(count: int) -> None:
    """Make `count` blocks with everything on each, and as many positions, hotkeys, gaps and runs."""
    make_blocks(1, count)
    for number in range(1, count + 1):
        make_yield(number)
        make_yield(number, side="ROOT")
        make_conversion(number)
        make_price(number)
        make_tag(make_remark(number, 2), None)
        make_position(key(f"holder{number}"))
        Hotkey.objects.create(address=key(f"hot{number}") if number > 1 else HOTKEY, first_block=1)
        make_gap(number * 10, number * 10 + 5)
        make_endpoint(number)
        make_backfill(number * 10, number * 10 + 5)
