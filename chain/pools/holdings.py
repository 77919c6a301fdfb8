"""Who holds which share of our hotkeys' pools: enumerated from the chain's own list and proved by its denominators.

Between enumerations the reader changes single shares; every sum is compared again (:func:`check_pools`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

from chain import keys
from chain.facts import ShareFact
from chain.nodes.source import Source, SourceError
from chain.pools.shares import NO_SHARE, Share, add_shares, adds_up
from chain.state import PAGE_SIZE, PositionsDisagree, State, load

# A pool is one hotkey's on one subnet: (hotkey, netuid).
Pool = tuple[str, int]
# pool → coldkey → share
Holdings = dict[Pool, dict[str, Share]]

_SHARES = ("Alpha", "AlphaV2")
_DENOMINATORS = ("TotalHotkeyShares", "TotalHotkeySharesV2")


def denominator_keys(pools: Iterable[Pool], *, safe_float: bool) -> list[str]:
    """Storage keys of the pools' denominators, in every format the era has."""
    return [keys.by_hotkey_netuid(item, *pool) for pool in pools for item in _DENOMINATORS[: 1 + safe_float]]


def denominator(state: State, pool: Pool) -> Share:
    """A pool's denominator from a state that was read with :func:`denominator_keys`."""
    return _either(state, *(keys.by_hotkey_netuid(item, *pool) for item in _DENOMINATORS))


def denominator_as_stored(state: State, pool: Pool, *, safe_float: bool) -> tuple[str | None, ...]:
    """A pool's denominator undecoded: as long as this stays, so does the denominator."""
    older = state.raw(keys.by_hotkey_netuid(_DENOMINATORS[0], *pool))
    return (older, state.raw(keys.by_hotkey_netuid(_DENOMINATORS[1], *pool))) if safe_float else (older,)


def share_keys(hotkey: str, netuid: int, coldkey: str, *, safe_float: bool) -> list[str]:
    """Storage keys of one position."""
    return [keys.share_key(hotkey, coldkey, netuid, item) for item in _SHARES[: 1 + safe_float]]


def share(state: State, hotkey: str, netuid: int, coldkey: str) -> Share:
    """One position from a state that was read with :func:`share_keys`."""
    return _either(state, *(keys.share_key(hotkey, coldkey, netuid, item) for item in _SHARES))


def _either(state: State, older: str, newer: str) -> Share:
    """The older entry where there is one, as the chain reads it; else the SafeFloat, where the era has it."""
    if state.raw(older) is not None or state.lacks([newer]):
        return state.share(older)
    return state.safe_share(newer)


def read_holdings(source: Source, hotkeys: Sequence[str], state: State, *, safe_float: bool) -> Holdings:
    """Enumerate every holder of every pool of some hotkeys at a block, proved against the denominators.

    :raises PositionsDisagree: when the shares of a pool do not add up to its denominator.
    """
    items = _SHARES[: 1 + safe_float]
    prefixes = [keys.by_hotkey(item, hotkey) for hotkey in hotkeys for item in items]
    listed = _list_keys(source, [keys.NETWORKS_ADDED, *prefixes], state.block_hash)
    # Denominators are asked for by key: a list could leave out a whole pool, shares and denominator alike.
    pools = {(hotkey, keys.netuid_of(key)) for hotkey in hotkeys for key in listed[keys.NETWORKS_ADDED]}
    found = {
        (hotkey, keys.share_key_parts(key)[1])
        for hotkey in hotkeys
        for item in items
        for key in listed[keys.by_hotkey(item, hotkey)]
    }
    wanted = [key for prefix in prefixes for key in listed[prefix]]
    load(source, (state, [*wanted, *denominator_keys(sorted(pools | found), safe_float=safe_float)]))
    holdings: Holdings = {pool: {} for pool in pools | found}
    for hotkey in hotkeys:
        # The older entry comes last and so wins, as it does on chain.
        for item in reversed(items):
            for key in listed[keys.by_hotkey(item, hotkey)]:
                coldkey, netuid = keys.share_key_parts(key)
                read = state.share if item == _SHARES[0] else state.safe_share
                holdings[hotkey, netuid][coldkey] = read(key)
    for pool, holders in sorted(holdings.items()):
        for coldkey in [coldkey for coldkey, held in holders.items() if not held.bits]:
            del holders[coldkey]
        check_pool(state.number_of_block, pool, holders, denominator(state, pool))
    return {pool: holders for pool, holders in holdings.items() if holders}


# Several times the holders of the largest validator on all subnets together.
KEYS_MAX = 1_000_000


def _list_keys(source: Source, prefixes: Sequence[str], block_hash: str) -> dict[str, list[str]]:
    """All keys under each prefix, the pages of all of them asked for together.

    :raises SourceError: they are out of order, of several lengths, or more than there can be.
    """
    found: dict[str, list[str]] = {prefix: [] for prefix in prefixes}
    open_ones = list(prefixes)
    while open_ones:
        after = [found[prefix][-1] if found[prefix] else prefix for prefix in open_ones]
        pages = source.call_many(
            [
                ("state_getKeysPaged", [prefix, PAGE_SIZE, start, block_hash])
                for prefix, start in zip(open_ones, after, strict=True)
            ]
        )
        for prefix, start, page in zip(open_ones, after, pages, strict=True):
            # A node that repeats a page would have us count holders twice.
            if any(not key.startswith(prefix) or key <= start for key in page) or page != sorted(set(page)):
                raise SourceError(f"{source.name} listed keys out of order")
            found[prefix] += page
            if len({len(key) for key in (*found[prefix][:1], *page)}) > 1:
                raise SourceError(f"{source.name} listed keys of several lengths under one prefix")
        if sum(map(len, found.values())) > KEYS_MAX:
            raise SourceError(f"{source.name} listed more than {KEYS_MAX:,} keys, and more to come")
        open_ones = [prefix for prefix, page in zip(open_ones, pages, strict=True) if len(page) >= PAGE_SIZE]
    return found


def check_pool(number: int, pool: Pool, holders: Mapping[str, Share], total: Share) -> None:
    """Prove that the holders' shares are all of a pool.

    :raises PositionsDisagree: naming the pool and both sums.
    """
    if not adds_up(holders.values(), total):
        raise PositionsDisagree(
            f"block {number}: the {len(holders)} holders of {pool[0]} on netuid {pool[1]} have "
            f"{reduce(add_shares, holders.values(), NO_SHARE)} shares, the chain's denominator is {total}"
        )


def differences(before: Holdings, after: Holdings) -> list[ShareFact]:
    """Shares that changed, those that ended as 0."""
    if before is after:
        return []
    changes = []
    for hotkey, netuid in sorted(
        pool for pool in before.keys() | after.keys() if before.get(pool) is not after.get(pool)
    ):
        old, new = before.get((hotkey, netuid), {}), after.get((hotkey, netuid), {})
        changed = {coldkey for coldkey, held in new.items() if old.get(coldkey, NO_SHARE) != held}
        changes += [
            ShareFact(hotkey, netuid, coldkey, new.get(coldkey, NO_SHARE))
            for coldkey in sorted(changed | (old.keys() - new.keys()))
        ]
    return changes
