"""The lots and the histories of wallets, read from the chain's facts (PA8).

Lots are needed of wallets only whose stake came under a memo that some rule looks for; all other stake is untagged as far
as any rule can tell. They are played from the first block that was read, since every lot has its age.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from django.db.models import F, Min, Sum
from django.db.models.functions import Lower

from chain.facts import Position as Place
from chain.gaps.queries import lost_ranges
from chain.keys import ROOT
from chain.models import Asset, Block, Position, Remark, StakeEvent, StakeKind, Tag, Yield
from chain.pools.shares import NO_SHARE, Share
from chain.stake.causes import Cause
from chain.tagging.tags import OWN_CAUSES
from partners.lots import UNTAGGED, Change, Leg, LotBook, TaggedStake
from partners.matching import History, RuleBook, TaggedAt

# What was there before the first block that was read is older than anything that was read.
_BEFORE_ALL = datetime.fromtimestamp(0, UTC)


def read_tagged_stake(book: RuleBook, last: int) -> TaggedStake:
    """Read what the rules of a book can ask of wallets up to block `last`."""
    swapped = _coldkey_swaps(last)
    texts = _texts(last)
    wanted = {name for name, text in texts.items() if any(rule.matches(text) for rule in book.memo_rules)}
    on_moves = {name for name, text in texts.items() if book.takes_moves(text)}
    not_on_unstakes = {name for name, text in texts.items() if not book.takes_unstakes(text)}
    tags = Tag.objects.filter(accepted=True, block_id__lte=last, remark__text_hash__in=wanted)
    coldkeys = set(tags.values_list("stake_event__coldkey", flat=True))
    movers = Remark.objects.filter(block_id__lte=last, text_hash__in=on_moves)
    coldkeys.update(movers.values_list("sender", flat=True))
    coldkeys = _with_kin(coldkeys, swapped)
    return TaggedStake(
        _play(coldkeys, last, on_moves, not_on_unstakes) if coldkeys else LotBook(),
        frozenset(coldkeys),
        texts,
        _histories(last, swapped, texts) if book.asks_history else {},
    )


def _texts(last: int) -> dict[str, bytes]:
    """Texts of the remarks beside stake, by hash; those too long to be kept are not among them."""
    rows = Remark.objects.filter(remark__isnull=False, block_id__lte=last)
    return {name: bytes(text) for name, text in rows.values_list("text_hash", "remark").distinct() if text}


def _coldkey_swaps(last: int) -> list[tuple[str, str]]:
    """Coldkeys (old, new) of which one took the other's place with stake of ours, in chain order."""
    rows = StakeEvent.objects.filter(
        cause=Cause.COLDKEY_SWAP, kind=StakeKind.TRANSFER, added=False, block_id__lte=last
    )
    pairs = rows.order_by("block_id", "event_index").values_list("coldkey", "other_coldkey")
    return list(dict.fromkeys(pairs))


def _with_kin(coldkeys: set[str], swapped: Iterable[tuple[str, str]]) -> set[str]:
    """With whom they were before and became by swaps of coldkeys."""
    found, swapped = set(coldkeys), list(swapped)
    while grown := {one for pair in swapped if found & set(pair) for one in pair} - found:
        found |= grown
    return found


# --- lots -----------------------------------------------------------------------------------------------


def _play(coldkeys: set[str], last: int, on_moves: set[str], not_on_unstakes: set[str]) -> LotBook:
    """Play the lots of these wallets over everything they ever held with us.

    :param on_moves: remarks, by hash, that count on moves between our hotkeys and subnets; `not_on_unstakes` those that do
        not count where stake leaves.
    """
    shares = _shares(coldkeys, last)
    legs = _legs(coldkeys, last, on_moves, not_on_unstakes)
    credited = _credited(coldkeys, last)
    book = LotBook()
    now: dict[Place, Share] = {}
    for block in sorted(shares.keys() | legs.keys()):
        changes = []
        for position in sorted(shares.get(block, {}).keys() | legs.get(block, {}).keys()):
            told = sorted(legs.get(block, {}).get(position, ()), key=lambda leg: leg.event_index)
            before = now.get(position, NO_SHARE)
            after = now[position] = shares.get(block, {}).get(position, before)
            is_told = (block, position) not in credited
            change = Change(position, before, after, told, is_told=is_told)
            if not is_told or len({leg.added for leg in told}) > 1:
                change = replace(change, pool=_pool_near(position, block))
            changes.append(change)
        book.apply(block, changes)
    return book


def _shares(coldkeys: set[str], last: int) -> dict[int, dict[Place, Share]]:
    """By block and position, its share after it, wherever that changed.

    Over lost blocks it is what it was before, until the positions that were listed anew after them say otherwise.
    """
    lost = lost_ranges(0, last)
    rows = Position.objects.filter(coldkey__in=coldkeys, blocks__startswith__lte=last)
    found: dict[int, dict[Place, Share]] = defaultdict(dict)
    for row in rows.order_by("blocks"):
        position = row.hotkey, row.netuid, row.coldkey
        found[row.blocks.lower][position] = row.raw_share
        if row.blocks.upper is not None and row.blocks.upper <= last:
            # Until the row that follows says otherwise.
            ended = next((end for begin, end in lost if begin == row.blocks.upper), row.blocks.upper)
            found[ended][position] = NO_SHARE
    return found


def _legs(
    coldkeys: set[str], last: int, on_moves: set[str], not_on_unstakes: set[str]
) -> dict[int, dict[Place, list[Leg]]]:
    """By block and position, its stake events with the remark on each."""
    tags = dict(
        Tag.objects.filter(accepted=True, stake_event__coldkey__in=coldkeys, block_id__lte=last).values_list(
            "stake_event_id", "remark__text_hash"
        )
    )
    beside: dict[tuple[int, int, str], set[str]] = defaultdict(set)
    remarks = Remark.objects.filter(sender__in=coldkeys, block_id__lte=last)
    for block, extrinsic, sender, name in remarks.values_list(
        "block_id", "extrinsic_index", "sender", "text_hash"
    ):
        beside[block, extrinsic, sender].add(name)
    found: dict[int, dict[Place, list[Leg]]] = defaultdict(lambda: defaultdict(list))
    for event in StakeEvent.objects.filter(coldkey__in=coldkeys, block_id__lte=last).iterator():
        extrinsic = -1 if event.extrinsic_index is None else event.extrinsic_index
        texts = beside.get((event.block_id, extrinsic, event.coldkey), set())
        # Several remarks name no one platform.
        (text,) = texts if len(texts) == 1 else {UNTAGGED}
        is_move = event.kind == StakeKind.RESTAKE and event.cause in OWN_CAUSES
        leaving = UNTAGGED if text in not_on_unstakes else text
        position = event.hotkey, event.netuid, event.coldkey
        found[event.block_id][position].append(
            Leg(
                event.event_index,
                event.added,
                event.alpha_rao,
                tags.get(event.pk, UNTAGGED) if event.added else leaving,
                _other_end(event),
                _origin(event),
                text if is_move and text in on_moves else UNTAGGED,
            )
        )
    return found


def _other_end(event: StakeEvent) -> Place | None:
    """The position at the other end of a move or a key swap, where lots keep their age; not that of a transfer."""
    same_owner = event.kind == StakeKind.RESTAKE or event.cause == Cause.COLDKEY_SWAP
    if not same_owner or event.other_netuid is None:
        return None
    return event.other_hotkey, event.other_netuid, event.other_coldkey or event.coldkey


def _origin(event: StakeEvent) -> Place | None:
    """The root stake by which a claim was earned."""
    return (event.hotkey, ROOT, event.coldkey) if event.cause == Cause.ROOT_CLAIM else None


def _credited(coldkeys: set[str], last: int) -> set[tuple[int, Place]]:
    """Blocks and positions of owners that an epoch credited their take to, beside any stake event."""
    rows = Yield.objects.filter(owner__in=coldkeys, block_id__lte=last)
    return {
        (block, (hotkey, at, owner))
        for block, hotkey, netuid, pool_netuid, owner in rows.values_list(
            "block_id", "hotkey", "netuid", "pool_netuid", "owner"
        )
        for at in (netuid, pool_netuid)
    }


def _pool_near(position: Place, block: int) -> tuple[int, Share] | None:
    """A pool's value in rao after the dividends of its last epoch up to a block, and its denominator before them.

    A dividend raises the value and leaves the shares; the take comes with new shares at that price.
    """
    hotkey, netuid, _ = position
    epochs = Yield.objects.filter(hotkey=hotkey, pool_netuid=netuid, pool_before_rao__isnull=False)
    epoch = epochs.filter(block_id__lte=block).order_by("-block_id").first()
    if epoch is None:
        return None
    # Dividends in another coin than the pool's are claimed, not credited to it.
    own = Asset.TAO if netuid == ROOT else Asset.ALPHA
    credited = epochs.filter(block_id=epoch.block_id, asset=own).aggregate(rao=Sum("dividend_rao"))["rao"]
    return (epoch.pool_before_rao or 0) + int(credited or 0), epoch.denominator


# --- histories ------------------------------------------------------------------------------------------


def _histories(
    last: int, swapped: Iterable[tuple[str, str]], texts: Mapping[str, bytes]
) -> dict[str, History]:
    """Since when each wallet has stake with us, and which of it was tagged; a swap of its coldkey begins no new history."""
    firsts = _first_stakes(last)
    tagged: dict[str, list[TaggedAt]] = defaultdict(list)
    tags = Tag.objects.filter(accepted=True, block_id__lte=last).annotate(
        coldkey=F("stake_event__coldkey"), at=F("stake_event__event_index"), name=F("remark__text_hash")
    )
    for block, at, coldkey, name in tags.values_list("block_id", "at", "coldkey", "name"):
        tagged[coldkey].append(TaggedAt(block, at, texts.get(name, b"")))
    for old, new in ((old, new) for old, new in swapped if old in firsts):
        firsts[new] = min(firsts[old], firsts.get(new, firsts[old]))
        tagged[new] = [*tagged[old], *tagged[new]]
    first_read = Block.objects.order_by("number").values_list("number", flat=True).first() or 0
    wanted = {block for block, _ in firsts.values()}
    times = dict(Block.objects.filter(number__in=wanted).values_list("number", "timestamp"))
    return {
        coldkey: History(
            block,
            index,
            _BEFORE_ALL if block < first_read else times[block],
            tuple(sorted(tagged.get(coldkey, ()), key=lambda stake: (stake.block, stake.event_index))),
        )
        for coldkey, (block, index) in firsts.items()
    }


def _first_stakes(last: int) -> dict[str, tuple[int, int]]:
    """By coldkey the block and event with which stake of it first stood with us; event -1 where it stood there already."""
    positions = Position.objects.filter(blocks__startswith__lte=last).values("coldkey")
    firsts = {row["coldkey"]: (row["first"], -1) for row in positions.annotate(first=Min(Lower("blocks")))}
    events = StakeEvent.objects.filter(added=True, block_id__lte=last).values("coldkey")
    rows = events.annotate(first=Min("block_id")).values_list("coldkey", "first")
    came = dict(rows)
    at: dict[tuple[str, int], int] = {}
    then = StakeEvent.objects.filter(added=True, block_id__in=set(came.values()))
    for coldkey, block, index in then.values_list("coldkey", "block_id", "event_index"):
        at[coldkey, block] = min(index, at.get((coldkey, block), index))
    for coldkey, block in came.items():
        if block <= firsts.get(coldkey, (block, 0))[0]:
            firsts[coldkey] = block, at[coldkey, block]
    return firsts
