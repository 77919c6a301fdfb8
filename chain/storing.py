"""Writes blocks that were read: the one way facts get into the database, a block at a time or hundreds at once.

Callers hold `Lock.INGEST` and a transaction, and hand over blocks that follow the last stored one. However blocks are cut
into calls, the rows are the same.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from django.db import connection
from django.db.backends.postgresql.psycopg_any import NumericRange

from chain.copying import copy_rows
from chain.facts import BlockFacts, HotkeyFact, ShareFact, YieldFact
from chain.models import (
    Block,
    Conversion,
    FollowedHotkey,
    Hotkey,
    Network,
    PoolPrice,
    Position,
    Remark,
    Runtime,
    StakeEvent,
    Tag,
    Yield,
)
from chain.payloads import keep_payload
from chain.runtimes.eras import era_of
from chain.state import Identity

ROWS_PER_STATEMENT = 2_000


class Metadata(Protocol):
    """A runtime as far as it is stored."""

    @property
    def spec_version(self) -> int:
        """Its number."""
        ...

    @property
    def metadata_hex(self) -> str:
        """Its metadata, 0x hex."""
        ...


# Gives the runtime that executed a block; asked only for one that is not stored yet.
RuntimeOf = Callable[[BlockFacts], Metadata]


def store_network(identity: Identity, hotkeys: Sequence[str], first: int) -> None:
    """Pin the chain and name our hotkeys, before the first block of all."""
    Network.objects.get_or_create(
        id=1,
        defaults={
            "name": identity.chain,
            "genesis_hash": identity.genesis_hash,
            "ss58_prefix": identity.ss58_prefix,
        },
    )
    named = Hotkey.objects.bulk_create(
        Hotkey(address=address, first_block=first) for address in sorted(set(hotkeys))
    )
    FollowedHotkey.objects.bulk_create(
        FollowedHotkey(hotkey=hotkey, netuid=None, blocks=(first - 1, None)) for hotkey in named
    )


def store_baseline(number: int, baseline: Sequence[ShareFact], *, known_until: int | None) -> None:
    """Begin positions anew with those that were listed in the state after block `number`.

    :param known_until: the last stored block, whose positions are known up to there and not a block further;
        None before the first block of all.
    """
    if known_until is not None:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE chain_position SET blocks = int8range(lower(blocks), %s) WHERE upper_inf(blocks)",
                [known_until + 1],
            )
    copy_rows(
        Position,
        POSITION_COLUMNS,
        (_position(change, number, None) for change in baseline if is_held(change)),
    )


def store_blocks(
    blocks: Sequence[BlockFacts], runtime_of: RuntimeOf, *, stored_specs: Collection[int] = ()
) -> None:
    """Store blocks that follow each other and the last stored one, with everything read from them.

    :param stored_specs: runtimes that the caller knows to be stored, which need not be looked up.
    """
    if any(facts.spec_version not in stored_specs for facts in blocks):
        _store_runtimes(blocks, runtime_of)
    Block.objects.bulk_create(map(_block, blocks), batch_size=ROWS_PER_STATEMENT)
    Yield.objects.bulk_create(
        (_yield(facts.number, fact) for facts in blocks for fact in facts.yields),
        batch_size=ROWS_PER_STATEMENT,
    )
    events = StakeEvent.objects.bulk_create(
        (StakeEvent(block_id=facts.number, **vars(fact)) for facts in blocks for fact in facts.stake_events),
        batch_size=ROWS_PER_STATEMENT,
    )
    # Several positions can change by one event, each by its own leg; a sale is one that went out.
    removals = {
        (event.block_id, event.event_index, event.hotkey, event.netuid, event.coldkey): event
        for event in events
        if not event.added
    }
    Conversion.objects.bulk_create(
        (
            Conversion(
                block_id=facts.number,
                stake_event=removals[facts.number, fact.event_index, fact.hotkey, fact.netuid, fact.owner],
                **{name: value for name, value in vars(fact).items() if name != "event_index"},
            )
            for facts in blocks
            for fact in facts.conversions
        ),
        batch_size=ROWS_PER_STATEMENT,
    )
    PoolPrice.objects.bulk_create(
        (PoolPrice(block_id=facts.number, **vars(fact)) for facts in blocks for fact in facts.prices),
        batch_size=ROWS_PER_STATEMENT,
    )
    remarks = Remark.objects.bulk_create(
        (Remark(block_id=facts.number, **vars(fact)) for facts in blocks for fact in facts.remarks),
        batch_size=ROWS_PER_STATEMENT,
    )
    _store_tags(blocks, remarks, events)
    store_shares(blocks)
    for facts in blocks:
        _store_hotkeys(facts.number, facts.hotkeys)


def _store_tags(
    blocks: Sequence[BlockFacts], remarks: Sequence[Remark], events: Sequence[StakeEvent]
) -> None:
    remark_at = {(remark.block_id, remark.event_index): remark for remark in remarks}
    # A tag stands on a stake event of the chain's own, of which there is one at its index.
    stake_at = {(event.block_id, event.event_index): event for event in events if not event.derived}
    Tag.objects.bulk_create(
        (
            Tag(
                block_id=facts.number,
                remark=remark_at[facts.number, fact.remark_event_index],
                stake_event=None
                if fact.stake_event_index is None
                else stake_at[facts.number, fact.stake_event_index],
                accepted=fact.accepted,
                reason=fact.reason,
                via_delegate=fact.via_delegate,
            )
            for facts in blocks
            for fact in facts.tags
        ),
        batch_size=ROWS_PER_STATEMENT,
    )


def _yield(number: int, fact: YieldFact) -> Yield:
    columns = dict(vars(fact))
    bits, exponent = columns.pop("share_total")
    return Yield(block_id=number, share_total=bits, share_total_exponent=exponent, **columns)


def _store_hotkeys(number: int, changes: Sequence[HotkeyFact]) -> None:
    """Begin and end what is followed from the state after block `number` on."""
    # What ends makes room for what begins.
    for change in sorted(changes, key=lambda change: not change.ended):
        origin = Hotkey.objects.filter(address=change.swapped_from).first()
        hotkey, _ = Hotkey.objects.get_or_create(
            address=change.hotkey,
            defaults={
                "first_block": number,
                "swapped_from": origin,
                "label": origin.label if origin else "",
            },
        )
        running = FollowedHotkey.objects.filter(
            hotkey=hotkey, netuid=change.netuid, abandoned_by=change.abandoned_by, blocks__upper_inf=True
        )
        if change.ended:
            for row in running:
                FollowedHotkey.objects.filter(pk=row.pk).update(blocks=(row.blocks.lower, number))
        elif not running.exists():
            FollowedHotkey.objects.create(
                hotkey=hotkey, netuid=change.netuid, abandoned_by=change.abandoned_by, blocks=(number, None)
            )


def _block(facts: BlockFacts) -> Block:
    return Block(
        number=facts.number,
        hash=facts.hash,
        parent_hash=facts.parent_hash,
        timestamp=datetime.fromtimestamp(facts.timestamp_ms // 1000, UTC).replace(
            microsecond=facts.timestamp_ms % 1000 * 1000
        ),
        runtime_id=facts.spec_version,
        provider=facts.provider,
        payload_id=keep_payload(facts.payload) if facts.payload else None,
    )


def _store_runtimes(blocks: Sequence[BlockFacts], runtime_of: RuntimeOf) -> None:
    first_of = {facts.spec_version: facts for facts in reversed(blocks)}
    stored = Runtime.objects.filter(pk__in=first_of).values_list("pk", flat=True)
    for spec_version in sorted(set(first_of) - set(stored)):
        metadata = bytes.fromhex(runtime_of(first_of[spec_version]).metadata_hex.removeprefix("0x"))
        Runtime.objects.create(
            spec_version=spec_version,
            metadata=zlib.compress(metadata, 9),
            metadata_sha256=hashlib.sha256(metadata).hexdigest(),
            first_block=first_of[spec_version].number,
            era=era.name if (era := era_of(spec_version)) else "",
        )


# --- positions ----------------------------------------------------------------------------------------


def is_held(change: ShareFact) -> bool:
    """Tell whether anything is left of a position."""
    return bool(change.share.bits)


POSITION_COLUMNS = ("hotkey", "netuid", "coldkey", "blocks", "share", "share_exponent")


def _position(change: ShareFact, first: int, end: int | None) -> tuple[Any, ...]:
    """Give the columns of a position."""
    return (change.hotkey, change.netuid, change.coldkey, NumericRange(first, end), *change.share)


def store_shares(blocks: Sequence[BlockFacts]) -> None:
    """End the running position of every coldkey named where its share first changed, and write what it held since."""
    changes: dict[tuple[str, int, str], list[int]] = {}
    for facts in blocks:
        for change in facts.shares:
            changes.setdefault((change.hotkey, change.netuid, change.coldkey), []).append(facts.number)
    if not changes:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE chain_position SET blocks = int8range(lower(blocks), changed.number)
            FROM unnest(%s::text[], %s::int[], %s::text[], %s::bigint[]) AS changed (hotkey, netuid, coldkey, number)
            WHERE chain_position.hotkey = changed.hotkey AND chain_position.netuid = changed.netuid
              AND chain_position.coldkey = changed.coldkey AND upper_inf(blocks)
            """,
            [
                [hotkey for hotkey, _, _ in changes],
                [netuid for _, netuid, _ in changes],
                [coldkey for _, _, coldkey in changes],
                [numbers[0] for numbers in changes.values()],
            ],
        )
    copy_rows(Position, POSITION_COLUMNS, _new_positions(blocks, changes))


def _new_positions(
    blocks: Sequence[BlockFacts], changes: dict[tuple[str, int, str], list[int]]
) -> Iterator[tuple[Any, ...]]:
    nexts = {key: iter([*numbers[1:], None]) for key, numbers in changes.items()}
    for facts in blocks:
        for change in facts.shares:
            end = next(nexts[change.hotkey, change.netuid, change.coldkey])
            if is_held(change):
                yield _position(change, facts.number, end)
