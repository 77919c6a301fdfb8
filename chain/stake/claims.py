"""What claims of root dividends brought, by the chain's own record of them, runtime 334 and later. Pure.

`RootClaimed` (netuid, hotkey, coldkey) is what root stake has claimed so far, whole rao. Four things write it
(`staking/claim_root.rs`): a claim adds what it claimed on that subnet; stake that comes to root adds its part of what was
paid before it came, on every subnet; stake that leaves root takes such a part off again, down to nothing at most; and a
swap of the hotkey or the coldkey, the end of the subnet and migrations hand the record on or delete it. Where none of the
others can have happened, its growth over a block is what was claimed, however much else moved in the position. It becomes
stake on the subnet where the coldkey keeps it (`RootClaimType`) and is sold for root stake where not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chain import keys
from chain.facts import Position, StakeEventFact
from chain.keys import SUBTENSOR
from chain.runtimes.decoding import Event
from chain.runtimes.event_values import named
from chain.stake.causes import Cause
from chain.state import State

_SWAP, _KEEP, _KEEP_SUBNETS = range(3)
_BYTES_OF_NETUID = 2


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
        for key in (_type_key(coldkey), claimed_key(hotkey, netuid, coldkey))
    ]


def told_claims(
    positions: Iterable[Position],
    before: State,
    after: State,
    events: Iterable[Event],
    still_on_root: Iterable[tuple[str, str]],
) -> dict[Position, int]:
    """What claims of the block brought to positions on subnets, in rao, where the record tells it to the rao.

    :param positions: of claimants; none of whose keys was swapped in the block, and on subnets that neither began nor ended.
    :param before: read with `record_keys`, as is `after`.
    :param still_on_root: (hotkey, coldkey) whose root stake nothing moved in the block.
    :returns: also nothing where nothing came. Left out is what the record does not tell.
    :raises ValueError: what is stored is no way of claiming.
    """
    chosen = {named(event, "coldkey")[0] for event in events if event.is_a(SUBTENSOR, "RootClaimTypeSet")}
    still, found = set(still_on_root), dict[Position, int]()
    for at in positions:
        hotkey, netuid, coldkey = at
        kind = _type_key(coldkey)
        if coldkey in chosen or before.raw(kind) != after.raw(kind):
            # By which of two ways the claim went, nothing tells.
            continue
        key = claimed_key(hotkey, netuid, coldkey)
        grown = after.amount(key) - before.amount(key)
        if not _is_kept(after.raw(kind), netuid):
            found[at] = 0
        elif (hotkey, coldkey) in still and grown >= 0:
            found[at] = grown
    return found


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


def _type_key(coldkey: str) -> str:
    return keys.by_hotkey("RootClaimType", coldkey)


def _is_kept(stored: str | None, netuid: int) -> bool:
    """Whether what is claimed on a subnet becomes stake there: `RootClaimTypeEnum`, whose default sells all."""
    data = bytes.fromhex((stored or "0x00")[2:])
    if data in (bytes([_SWAP]), bytes([_KEEP])):
        return data[0] == _KEEP
    if not data or data[0] != _KEEP_SUBNETS:
        raise ValueError(f"{stored} is no way of claiming root dividends")
    # Of a SCALE-compact length the last two bits of the first byte say how wide it is.
    wide = (1, 2, 4, len(data))[data[1] & 3] if len(data) > 1 else 0
    listed = data[1 + wide :]
    if len(listed) != _BYTES_OF_NETUID * (int.from_bytes(data[1 : 1 + wide], "little") >> 2):
        raise ValueError(f"{stored} is no list of subnets")
    return netuid in {
        int.from_bytes(listed[at : at + _BYTES_OF_NETUID], "little")
        for at in range(0, len(listed), _BYTES_OF_NETUID)
    }
