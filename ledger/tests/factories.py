"""Small makers of chain facts and partners for the ledger's tests. Times start at 2025-01-01, a block a minute."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange, NumericRange

from chain.addresses import encode_address
from chain.models import (
    Block,
    Conversion,
    Gap,
    IngestRun,
    PoolPrice,
    Position,
    Remark,
    Runtime,
    StakeEvent,
    Tag,
    Yield,
)
from ledger.models import Delegator, Period, RollUp
from partners.models import Agreement, Partner, Rule, Wallet

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY_ONE, DAY_TWO = date(2025, 1, 1), date(2025, 1, 2)
TAO = 10**9


def key(name: str) -> str:
    """Make a valid address from a short name."""
    return encode_address(name.encode().ljust(32, b"."))


HOTKEY, OWNER = key("hotkey"), key("owner")


def make_blocks(
    first: int, last: int, *, start: datetime = START, step: timedelta = timedelta(minutes=1)
) -> None:
    """Make blocks `first` to `last`, each naming its predecessor, block 1 at `start`."""
    runtime, _ = Runtime.objects.get_or_create(
        spec_version=293, defaults={"metadata": b"", "metadata_sha256": "", "first_block": 1}
    )
    Block.objects.bulk_create(
        Block(
            number=number,
            hash=f"0x{number:064x}",
            parent_hash=f"0x{number - 1:064x}",
            timestamp=start + (number - 1) * step,
            runtime=runtime,
        )
        for number in range(first, last + 1)
    )


def roll_up(
    period: Period,
    takes: Mapping[str, int],
    *,
    netuid: int = 2,
    side: str = "ALPHA",
    hotkey: str = HOTKEY,
    partner: Partner | None = None,
) -> None:
    """Store what these coldkeys earned of one pool; must run while the period closes."""
    ids = [Delegator.objects.get_or_create(coldkey=coldkey)[0].pk for coldkey in sorted(takes)]
    RollUp.objects.create(
        period=period,
        hotkey=hotkey,
        netuid=netuid,
        side=side,
        partner=partner,
        delegators=ids,
        takes_rao=[takes[coldkey] for coldkey in sorted(takes)],
        take_rao=sum(takes.values()),
    )


def make_positions(shares: Mapping[str, int], *, netuid: int, hotkey: str = HOTKEY, since: int = 0) -> None:
    """Give coldkeys shares in a pool from the state after block `since` on."""
    Position.objects.bulk_create(
        Position(hotkey=hotkey, netuid=netuid, coldkey=coldkey, blocks=NumericRange(since, None), share=share)
        for coldkey, share in shares.items()
    )


def make_yield(
    block: int,
    take_rao: int,
    *,
    netuid: int = 2,
    side: str = "ALPHA",
    asset: str | None = None,
    hotkey: str = HOTKEY,
    share_total: int | None = None,
) -> Yield:
    """Make a yield; its pool's denominator is what the positions add up to unless given."""
    pool = 0 if side == "ROOT" else netuid
    if share_total is None:
        rows = Position.objects.filter(hotkey=hotkey, netuid=pool, blocks__contains=block - 1)
        share_total = sum(rows.values_list("share", flat=True))
    return Yield.objects.create(
        block_id=block,
        netuid=netuid,
        hotkey=hotkey,
        side=side,
        asset=asset or ("TAO" if side == "ROOT" else "ALPHA"),
        pool_netuid=pool,
        owner=OWNER,
        dividend_rao=take_rao * 10,
        take_rao=take_rao,
        take_low_rao=take_rao,
        take_high_rao=take_rao,
        take_u16=5898,
        pool_before_rao=10**15,
        share_total=share_total,
    )


def make_conversion(
    block: int, alpha_rao: int, tao_rao: int, *, netuid: int = 2, hotkey: str = HOTKEY, index: int = 1
) -> Conversion:
    """Make the owner sell alpha."""
    event = StakeEvent.objects.create(
        block_id=block,
        event_index=index,
        kind="UNSTAKE",
        added=False,
        coldkey=OWNER,
        hotkey=hotkey,
        netuid=netuid,
        tao_rao=tao_rao,
        alpha_rao=alpha_rao,
        fee_rao=0,
        fee_asset="ALPHA",
    )
    return Conversion.objects.create(
        stake_event=event,
        block_id=block,
        hotkey=hotkey,
        owner=OWNER,
        netuid=netuid,
        alpha_rao=alpha_rao,
        tao_rao=tao_rao,
        fee_alpha_rao=0,
    )


def make_swap_leg(block: int, coldkey: str, old: str, new: str, *, netuid: int = 2) -> StakeEvent:
    """Let a swap of a hotkey take a coldkey's stake along."""
    index = StakeEvent.objects.filter(block_id=block).count() + 1
    return StakeEvent.objects.create(
        block_id=block,
        event_index=index,
        kind="RESTAKE",
        cause="HOTKEY_SWAP",
        derived=True,
        added=False,
        coldkey=coldkey,
        hotkey=old,
        netuid=netuid,
        alpha_rao=1,
        fee_asset="ALPHA",
        other_coldkey=coldkey,
        other_hotkey=new,
        other_netuid=netuid,
    )


def make_stake(
    block: int, coldkey: str, rao: int, *, text: bytes = b"", netuid: int = 2, hotkey: str = HOTKEY
) -> StakeEvent:
    """Let a coldkey stake, or unstake a negative amount, in a pool whose shares are rao; with a remark beside it.

    The remark tags a stake; beside an unstake it says by which app.
    """
    at = Position.objects.filter(
        hotkey=hotkey, netuid=netuid, coldkey=coldkey, blocks__contains=block
    ).first()
    if at is not None:
        Position.objects.filter(pk=at.pk).update(blocks=NumericRange(at.blocks.lower, block))
    if share := (at.share if at else 0) + rao:
        make_positions({coldkey: share}, netuid=netuid, hotkey=hotkey, since=block)
    index = StakeEvent.objects.filter(block_id=block).count() * 2 + 1
    event = StakeEvent.objects.create(
        block_id=block,
        event_index=index,
        extrinsic_index=index,
        kind="STAKE" if rao > 0 else "UNSTAKE",
        added=rao > 0,
        coldkey=coldkey,
        hotkey=hotkey,
        netuid=netuid,
        tao_rao=abs(rao),
        alpha_rao=abs(rao),
        fee_rao=0,
        fee_asset="TAO" if rao > 0 else "ALPHA",
    )
    if text:
        remark = _make_remark(block, index + 1, index, coldkey, text)
        accepted = {"accepted": True, "reason": "SAME_SENDER", "stake_event": event}
        refused = {"accepted": False, "reason": "UNSTAKE_ONLY"}
        Tag.objects.create(block_id=block, remark=remark, **(accepted if rao > 0 else refused))
    return event


def make_move(
    block: int, coldkey: str, rao: int, *, text: bytes = b"", netuid: int = 2, to_netuid: int = 3
) -> None:
    """Let a coldkey move stake from one subnet to another on our hotkey, with a remark beside it, which tags nothing."""
    index = StakeEvent.objects.filter(block_id=block).count() * 2 + 1
    for added, here, there in ((False, netuid, to_netuid), (True, to_netuid, netuid)):
        at = Position.objects.filter(
            hotkey=HOTKEY, netuid=here, coldkey=coldkey, blocks__contains=block
        ).first()
        if at is not None:
            Position.objects.filter(pk=at.pk).update(blocks=NumericRange(at.blocks.lower, block))
        if share := (at.share if at else 0) + (rao if added else -rao):
            make_positions({coldkey: share}, netuid=here, since=block)
        StakeEvent.objects.create(
            block_id=block,
            event_index=index + added,
            extrinsic_index=index,
            kind="RESTAKE",
            added=added,
            coldkey=coldkey,
            hotkey=HOTKEY,
            netuid=here,
            tao_rao=rao,
            alpha_rao=rao,
            fee_asset="ALPHA",
            other_coldkey=coldkey,
            other_hotkey=HOTKEY,
            other_netuid=there,
        )
    if text:
        remark = _make_remark(block, index + 2, index, coldkey, text)
        Tag.objects.create(block_id=block, remark=remark, accepted=False, reason="MOVED_WITHIN")


def _make_remark(block: int, event_index: int, extrinsic_index: int, sender: str, text: bytes) -> Remark:
    return Remark.objects.create(
        block_id=block,
        event_index=event_index,
        extrinsic_index=extrinsic_index,
        sender=sender,
        remark=text,
        text_hash="0x" + hashlib.blake2b(text, digest_size=32).hexdigest(),
        byte_count=len(text),
    )


def make_coldkey_swap(block: int, old: str, new: str, rao: int, *, netuid: int = 2) -> None:
    """Let a coldkey take another's place in a pool, with its stake."""
    for added, coldkey, other in ((False, old, new), (True, new, old)):
        StakeEvent.objects.create(
            block_id=block,
            event_index=1,
            kind="TRANSFER",
            cause="COLDKEY_SWAP",
            derived=True,
            added=added,
            coldkey=coldkey,
            hotkey=HOTKEY,
            netuid=netuid,
            alpha_rao=rao,
            fee_asset="ALPHA",
            other_coldkey=other,
            other_hotkey=HOTKEY,
            other_netuid=netuid,
        )
    at = Position.objects.get(coldkey=old, netuid=netuid, hotkey=HOTKEY, blocks__contains=block)
    Position.objects.filter(pk=at.pk).update(blocks=NumericRange(at.blocks.lower, block))
    make_positions({new: rao}, netuid=netuid, since=block)


def make_price(block: int, netuid: int, sqrt_price: int) -> PoolPrice:
    """Record a pool's price; `sqrt_price` is U64F64 bits."""
    return PoolPrice.objects.create(
        block_id=block,
        netuid=netuid,
        tao_reserve_rao=TAO,
        alpha_reserve_rao=TAO,
        sqrt_price=sqrt_price,
        pricing="SQRT_PRICE",
    )


def make_gap(first: int, last: int, *, kind: str = Gap.Kind.READ_MISSING) -> Gap:
    """Leave a gap over blocks `first` to `last`."""
    run = IngestRun.objects.create(source="test", first_block=first, last_block=last, started_at=NOW)
    return Gap.objects.create(
        kind=kind,
        blocks=NumericRange(first, last + 1),
        reason="the node did not answer",
        detected_at=NOW,
        detected_by=run,
    )


def make_partner(
    name: str, rate_bps: int, *addresses: str, since: datetime = START - timedelta(days=30), **fields: object
) -> Agreement:
    """Make a partner with one agreement, one wallet rule and some wallets."""
    partner = Partner.objects.create(name=name, slug=name.lower().replace(" ", "-"), **fields)
    agreement = Agreement.objects.create(
        partner=partner, effective=DateTimeTZRange(since, None), rate_bps=rate_bps
    )
    Rule.objects.create(agreement=agreement)
    for address in addresses:
        Wallet.objects.create(partner=partner, address=address, introduced_date=since.date())
    return agreement
