"""What claims of root dividends brought, by the chain's own record of them, runtime 334 and later. Pure.

`RootClaimed` (netuid, hotkey, coldkey) is what root stake has claimed so far, whole rao. Four things write it
(`staking/claim_root.rs`): a claim adds what it claimed on that subnet; stake that comes to root adds its part of what was
paid before it came, on every subnet; stake that leaves root takes such a part off again, down to nothing at most; and a
swap of the hotkey or the coldkey, the end of the subnet and migrations hand the record on or delete it. Where none of the
others can have happened, its growth over a block is what was claimed, however much else moved in the position. It becomes
stake on the subnet where the coldkey keeps it (`RootClaimType`) and is sold for root stake where not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from chain import keys
from chain.facts import Position, StakeEventFact
from chain.keys import ROOT, SUBTENSOR
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named
from chain.stake.causes import Cause
from chain.stake.movements import SURE_RAO
from chain.state import State

_SWAP, _KEEP, _KEEP_SUBNETS = range(3)
_BYTES_OF_NETUID, _BYTES_OF_RATE = 2, 16
# Rates have 32 fractional bits (I96F32).
_RATE_BITS = 32
# Worth of shares is known to so much.
_ROUNDING_RAO = 2
# Before, the record fell by what was asked for where the event names what really left; stake moved within root left it alone
# until 365.
_REMOVALS_TELL_FROM = 397


def claimed_key(hotkey: str, netuid: int, coldkey: str) -> str:
    """Storage key of what a coldkey has claimed so far."""
    return keys.by_netuid_hotkey("RootClaimed", netuid, hotkey) + keys.account_part(coldkey)


def claims_by_coldkey(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The events of claims in a block, which come also where there was nothing to claim."""
    found: dict[str, list[Event]] = {}
    for event in events:
        if event.is_a(SUBTENSOR, "RootClaimed"):
            found.setdefault(named(event, "coldkey")[0], []).append(event)
    return found


def record_keys(positions: Iterable[Position]) -> list[str]:
    """Keys to read before and after a block to tell what claims brought to some positions."""
    return [
        key
        for hotkey, netuid, coldkey in positions
        for key in (_type_key(coldkey), _rates_key(hotkey), claimed_key(hotkey, netuid, coldkey))
    ]


def shifts_alike(leg: StakeEventFact, spec_version: int) -> bool:
    """Whether a stake event on root shifted the record by exactly what its amount says."""
    within = leg.other_netuid == ROOT
    return not leg.cause and (spec_version >= _REMOVALS_TELL_FROM or (leg.added and not within))


def told_claims(
    positions: Collection[Position],
    before: State,
    after: State,
    events: Sequence[Event],
    on_root: Mapping[tuple[str, str], Sequence[StakeEventFact]],
) -> dict[Position, int]:
    """What claims of the block brought to positions on subnets, in rao, where the record tells it to the rao.

    :param positions: of claimants; none of whose keys was swapped in the block, and on subnets that neither began nor ended.
    :param before: read with `record_keys`, as is `after`.
    :param on_root: by hotkey and coldkey, in order, all that moved root stake after the block's epochs; left out where
        something else moved it too.
    :returns: also nothing where nothing came. Left out is what the record does not tell.
    :raises ValueError: what is stored is no way of claiming, or no rates.
    """
    made, found = claims_by_coldkey(events), dict[Position, int]()
    ways = {coldkey: _unchanged_type(coldkey, before, after, events) for _, _, coldkey in positions}
    for at in positions:
        hotkey, netuid, coldkey = at
        if (way := ways[coldkey]) is None:
            continue
        if not _is_kept(way, netuid):
            found[at] = 0
        elif (legs := on_root.get((hotkey, coldkey))) is not None:
            key = claimed_key(hotkey, netuid, coldkey)
            # Rates rise by epochs alone, before everything else, so that those after the block hold for all its stake.
            rate = _rates(after.raw(_rates_key(hotkey))).get(netuid, 0) if legs else 0
            rao = _claimed(before.amount(key), after.amount(key), rate, legs, made[coldkey])
            if rao is not None:
                # As everywhere, what the worth of a share does not show is no change of stake.
                found[at] = rao if rao > SURE_RAO else 0
    return found


def _claimed(
    was: int, now: int, rate: int, legs: Sequence[StakeEventFact], claims: Sequence[Event]
) -> int | None:
    """What claims added to a record beside what moves of root stake shifted it by; None where that is not told.

    Stake that leaves takes off no more than there is. Up to the first claim the record is known, and from the last one on
    backwards as long as something was left of it; in between a claim only raises it.
    """
    first, last = claims[0].index, claims[-1].index
    parts = [(leg, rate * leg.alpha_rao >> _RATE_BITS) for leg in legs]
    for leg, part in parts:
        if leg.event_index < last:
            was += part if leg.added else -part
            if was < 0 and leg.event_index > first:
                return None
            was = max(was, 0)
    for leg, part in reversed(parts):
        if leg.event_index > last:
            if not (leg.added or now):
                return None
            now += -part if leg.added else part
            if now < 0:
                return None
    return now - was if now >= was else None


def claimed_about(at: Position, before: State, after: State, came_to_root: int) -> range:
    """Between what amounts claims brought to a position on a subnet, where others of the coldkey's claims were sold.

    For each sale the record rose by a part of what it brought to root, in whole rao.

    :param came_to_root: what all of them brought there.
    """
    hotkey, netuid, coldkey = at
    key = claimed_key(hotkey, netuid, coldkey)
    rates = _rates(after.raw(_rates_key(hotkey)))
    least, most = (
        rates.get(netuid, 0) * (came_to_root + rounding) >> _RATE_BITS
        for rounding in (-_ROUNDING_RAO, _ROUNDING_RAO)
    )
    grown = after.amount(key) - before.amount(key)
    return range(grown - most - 1, grown - least + len(rates) + 1)


def has_moved(at: Position, before: State, after: State) -> bool:
    """Whether the record of a position changed."""
    key = claimed_key(*at)
    return before.amount(key) != after.amount(key)


def claim_legs(claims: dict[Position, int], made: dict[str, list[Event]]) -> Iterator[StakeEventFact]:
    """What came by claims as stake events, each under the first claim of its coldkey."""
    for (hotkey, netuid, coldkey), rao in sorted(claims.items()):
        if rao:
            event = made[coldkey][0]
            yield StakeEventFact(
                event_index=event.index,
                extrinsic_index=event.extrinsic_index,
                kind="STAKE",
                added=True,
                coldkey=coldkey,
                hotkey=hotkey,
                netuid=netuid,
                tao_rao=None,
                alpha_rao=rao,
                fee_rao=None,
                fee_asset="TAO",
                cause=Cause.ROOT_CLAIM,
                derived=True,
            )


def may_keep(netuid: int, coldkey: str, before: State, after: State, events: Iterable[Event]) -> bool:
    """Whether claims of a coldkey may have become stake on the subnet in the block."""
    way = _unchanged_type(coldkey, before, after, events)
    return way is None or _is_kept(way, netuid)


def sells_some(coldkey: str, before: State, after: State, events: Iterable[Event]) -> bool:
    """Whether a coldkey kept what it claimed on some subnets and sold the rest, all block long."""
    stored = _unchanged_type(coldkey, before, after, events)
    return stored is not None and bytes.fromhex(stored[2:])[0] == _KEEP_SUBNETS


def _unchanged_type(coldkey: str, before: State, after: State, events: Iterable[Event]) -> str | None:
    """By which way a coldkey claims, as stored; None where it may have been two ways within the block."""
    key = _type_key(coldkey)
    chosen = any(
        event.is_a(SUBTENSOR, "RootClaimTypeSet") and named(event, "coldkey")[0] == coldkey
        for event in events
    )
    return None if chosen or before.raw(key) != after.raw(key) else after.raw(key) or f"0x{_SWAP:02x}"


def _type_key(coldkey: str) -> str:
    return keys.by_hotkey("RootClaimType", coldkey)


def _rates_key(hotkey: str) -> str:
    return keys.by_hotkey("RootClaimable", hotkey)


def _is_kept(stored: str, netuid: int) -> bool:
    """Whether what is claimed on a subnet becomes stake there: `RootClaimTypeEnum`, whose default sells all."""
    data = bytes.fromhex(stored[2:])
    if data in (bytes([_SWAP]), bytes([_KEEP])):
        return data[0] == _KEEP
    if not data or data[0] != _KEEP_SUBNETS:
        raise ValueError(f"{stored} is no way of claiming root dividends")
    return netuid.to_bytes(_BYTES_OF_NETUID, "little") in _items(data[1:], _BYTES_OF_NETUID)


def _rates(stored: str | None) -> dict[int, int]:
    """Dividends a hotkey's root stake can claim on each subnet, as a part of it with 32 fractional bits."""
    entries = _items(bytes.fromhex((stored or "0x00")[2:]), _BYTES_OF_NETUID + _BYTES_OF_RATE)
    return {
        int.from_bytes(entry[:_BYTES_OF_NETUID], "little"): int.from_bytes(
            entry[_BYTES_OF_NETUID:], "little", signed=True
        )
        for entry in entries
    }


def _items(data: bytes, size: int) -> list[bytes]:
    """The items of a SCALE list, of so many bytes each."""
    # Of its length, the last two bits of the first byte say how wide it is.
    wide = (1, 2, 4, len(data))[data[0] & 3]
    count, items = int.from_bytes(data[:wide], "little") >> 2, data[wide:]
    if len(items) != count * size:
        raise ValueError(f"0x{data.hex()} is no list of {size} bytes each")
    return [items[at : at + size] for at in range(0, len(items), size)]
