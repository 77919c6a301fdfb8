"""Prove from a dump, in integers, where the take goes: `python -m chain.localnet.verify demo.json.gz`.

Two proofs. *Takes*: at every epoch without stake extrinsics each pool of each hotkey grew by take + dividends, the take is
the one that follows from the hotkey's rate, the owner's new shares are the minted take to the last bit and nobody else's
shares moved. *Replay*: every pool of every block, epochs with stake extrinsics and double epochs among them, is computed
anew from the block before and compared bit by bit.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chain.localnet.pools import DEFAULT_TAKE, TAKE_FRACTION_BITS, Pool, possible_takes

ROOT = 0
OWNER_CUT = 11796  # of 65535, spec 293's default
U16_MAX = 65535
KEY_SWAPS = {"HotkeySwapped", "HotkeySwappedOnSubnet", "ColdkeySwapped"}
NOT_REPLAYED = "HotkeySwappedOnSubnet"  # this runtime refuses it before block 36,000

PoolKey = tuple[str, int]


class Block:
    """One block of a dump, with its tables by key."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.number: int = raw["number"]
        self.timestamp_ms: int = raw["timestamp"] or 0
        self.label: str = raw["label"]
        self.storage = raw["storage"]
        self.events = raw["events"]
        self.last_step = self.table("LastMechansimStepBlock")
        self.pools = self._pools()

    def table(self, name: str) -> dict[Any, Any]:
        """Return a map of SubtensorModule: key (a tuple where there are several) -> value."""
        rows = self.storage.get(f"SubtensorModule.{name}", [])
        out = {}
        for *key, value in rows:
            number = int(value) if not isinstance(value, str) or value.isdigit() else value
            out[tuple(key) if len(key) > 1 else key[0]] = number
        return out

    def _pools(self) -> dict[PoolKey, Pool]:
        pools: dict[PoolKey, Pool] = defaultdict(Pool)
        for key, value in self.table("TotalHotkeyAlpha").items():
            pools[key].value_rao = value
        for key, value in self.table("TotalHotkeyShares").items():
            pools[key].denominator = value
        for (hotkey, coldkey, netuid), value in self.table("Alpha").items():
            pools[hotkey, netuid].shares[coldkey] = value
        return dict(pools)

    def epochs(self) -> list[int]:
        """Return the netuids whose epoch ran in this block, in the order they ran."""
        return sorted(netuid for netuid, number in self.last_step.items() if number == self.number)

    def subtensor_events(self) -> Iterator[tuple[str, Any]]:
        """Return the pallet's events of the extrinsics, in order."""
        for event in self.events:
            if event["module"] == "SubtensorModule":
                yield event["event"], event["attributes"]

    def renamed_hotkeys(self) -> dict[str, str]:
        """Return the hotkeys that were swapped in this block, new name -> old name."""
        swaps = (attributes for name, attributes in self.subtensor_events() if name == "HotkeySwapped")
        return {swap["new_hotkey"]: swap["old_hotkey"] for swap in swaps}

    def has_stake_extrinsics(self) -> bool:
        """Tell whether an extrinsic moved stake or keys."""
        return any(
            name.startswith(("Stake", "Alpha")) or name in KEY_SWAPS for name, _ in self.subtensor_events()
        )


@dataclass
class Takes:
    """The take of one pool in one block, per subnet whose epoch gave it, in rao."""

    block: int
    timestamp_ms: int
    hotkey: str
    pool_netuid: int
    take_rao: dict[int, int]


@dataclass
class Result:
    """What was proven and what was not."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    takes: list[Takes] = field(default_factory=list)


def owner_cut(before: Block, now: Block, netuid: int) -> int:
    """Return the owner cut in rao that the epoch pays: what was pending and this block's own."""
    emission = now.table("SubnetAlphaOutEmission").get(netuid, 0)
    fraction = (OWNER_CUT << TAKE_FRACTION_BITS) // U16_MAX
    started = netuid in now.table("FirstEmissionBlockNumber")
    own = (emission * fraction) >> TAKE_FRACTION_BITS if started else 0
    return int(before.table("PendingOwnerCut").get(netuid, 0)) + own


@dataclass
class _Epoch:
    """One subnet's epoch for one hotkey, known as `listed` at the end of the block: a swap moves the dividend maps too."""

    before: Block
    now: Block
    netuid: int
    hotkey: str
    listed: str

    def __post_init__(self) -> None:
        self.take = self.before.table("Delegates").get(self.hotkey, DEFAULT_TAKE)
        self.owner = str(self.before.table("Owner")[self.hotkey])

    def alpha_variants(self, start: Pool) -> Iterator[tuple[int, int, Pool]]:
        """Return (take, miner's incentive, pool after the epoch) for every take that fits, amounts in rao."""
        net = self.now.table("AlphaDividendsPerSubnet")[self.netuid, self.listed]
        after = self.now.table("TotalHotkeyAlphaLastEpoch")[self.listed, self.netuid]
        if after < start.value_rao:
            # Not of this epoch: swapping a hotkey lists its new name even where it is no member.
            yield 0, 0, start.copy()
            return
        is_owner_hotkey = self.before.table("SubnetOwnerHotkey").get(self.netuid) == self.hotkey
        cut = owner_cut(self.before, self.now, self.netuid) if is_owner_hotkey else 0
        for take in possible_takes(net, self.take):
            incentive = after - start.value_rao - cut - take - net
            if incentive < 0:
                continue
            pool = start.copy()
            if cut:
                pool.mint(self.before.table("SubnetOwner")[self.netuid], cut)
            if incentive:
                pool.mint(self.owner, incentive)
            pool.mint(self.owner, take)
            pool.grow(net)
            yield take, incentive, pool

    def root_variants(self, start: Pool) -> Iterator[tuple[int, Pool]]:
        """Return (take in rao, root pool after the epoch) for every take that fits."""
        net = self.now.table("TaoDividendsPerSubnet").get((self.netuid, self.listed), 0)
        for take in possible_takes(net, self.take):
            pool = start.copy()
            pool.mint(self.owner, take)
            pool.grow(net)
            yield take, pool


def replay_extrinsics(pool: Pool, block: Block, *, netuid: int, names: set[str]) -> None:
    """Apply the events of a block that touch one pool, in order; `names` are the hotkey's names in this block."""
    for name, attributes in block.subtensor_events():
        if name in ("StakeAdded", "StakeRemoved"):
            coldkey, hotkey, _tao, alpha, touched, _fee = attributes
        elif name in ("AlphaRecycled", "AlphaBurned"):
            coldkey, hotkey, alpha, touched = attributes
        else:
            if name == "ColdkeySwapped" and attributes["old_coldkey"] in pool.shares:
                share = pool.shares.pop(attributes["old_coldkey"])
                pool.shares[attributes["new_coldkey"]] = pool.shares.get(attributes["new_coldkey"], 0) + share
            continue
        if touched != netuid or hotkey not in names:
            continue
        if name == "StakeAdded":
            pool.mint(coldkey, alpha)
        else:
            pool.burn(coldkey, alpha)


def epoch_variants(before: Block, now: Block, key: PoolKey) -> list[tuple[dict[int, int], Pool]]:
    """Return every (takes by epoch's netuid in rao, pool after all epochs of the block) that fits the maps."""
    listed, netuid = key
    hotkey = now.renamed_hotkeys().get(listed, listed)
    variants: list[tuple[dict[int, int], Pool]] = [({}, before.pools.get((hotkey, netuid), Pool()).copy())]
    for ran in now.epochs():
        if (ran, listed) not in now.table("AlphaDividendsPerSubnet"):
            continue
        epoch = _Epoch(before, now, ran, hotkey, listed)
        following = []
        for takes, pool in variants:
            if netuid == ran:
                following += [({**takes, ran: take}, out) for take, _, out in epoch.alpha_variants(pool)]
            elif netuid == ROOT:
                following += [({**takes, ran: take}, out) for take, out in epoch.root_variants(pool)]
            else:
                following.append((takes, pool))
        variants = following
    return variants


def check_block(before: Block, now: Block, result: Result) -> None:
    """Compare every pool of a block with what follows from the block before."""
    busy, epochs, renamed = now.has_stake_extrinsics(), now.epochs(), now.renamed_hotkeys()
    result.counts["epochs"] += len(epochs)
    result.counts["epoch blocks with stake extrinsics"] += bool(epochs) and busy
    result.counts["blocks with several epochs"] += len(epochs) > 1
    if any(name == NOT_REPLAYED for name, _ in now.subtensor_events()):
        result.counts["blocks not compared"] += 1
        return
    for key in sorted(before.pools.keys() | now.pools.keys()):
        hotkey, netuid = key
        want = now.pools.get(key, Pool())
        changed = not before.pools.get(key, Pool()).same_as(want)
        result.counts["pool states"] += 1
        result.counts["pool states changed"] += changed
        fitting = []
        for takes, pool in [({}, Pool())] if hotkey in renamed.values() else epoch_variants(before, now, key):
            replay_extrinsics(pool, now, netuid=netuid, names={hotkey, renamed.get(hotkey, hotkey)})
            if pool.same_as(want):
                fitting.append(takes)
        if not fitting:
            result.faults.append(f"block {now.number} {now.label!r}: pool {key} is not what follows")
            continue
        result.counts["pool states exact"] += 1
        result.counts["pool states changed and exact"] += changed
        # One rao less of take and one rao of incentive can leave the same bits: a pool with both readings is no miner's,
        # so the larger take is the true one.
        takes = max(fitting, key=lambda takes: sum(takes.values()))
        if takes and dividends_rao(now, key):
            kind = (
                "distributions beside stake extrinsics" if busy else "distributions without stake extrinsics"
            )
            result.counts[kind] += 1
            result.takes.append(Takes(now.number, now.timestamp_ms, hotkey, netuid, takes))


def dividends_rao(block: Block, key: PoolKey) -> int:
    """Return the dividends after take that the epochs of a block brought to a pool, in rao."""
    hotkey, netuid = key
    name = "TaoDividendsPerSubnet" if netuid == ROOT else "AlphaDividendsPerSubnet"
    table = block.table(name)
    return sum(table.get((ran, hotkey), 0) for ran in block.epochs() if netuid in (ROOT, ran))


def owner_sales(blocks: Iterable[Block], result: Result) -> Iterator[str]:
    """Return a line for each sale of its own stake by a hotkey's owner, beside the take earned until then, in rao."""
    earned: Counter[PoolKey] = Counter()
    sold: Counter[PoolKey] = Counter()
    takes = defaultdict(list)
    for entry in result.takes:
        takes[entry.block].append(entry)
    for block in blocks:
        for entry in takes[block.number]:
            earned[entry.hotkey, entry.pool_netuid] += sum(entry.take_rao.values())
        owners = block.table("Owner")
        for name, attributes in block.subtensor_events():
            if name != "StakeRemoved" or owners.get(attributes[1]) != attributes[0]:
                continue
            _, hotkey, tao, alpha, netuid, _ = attributes
            sold[hotkey, netuid] += alpha
            over = " MORE THAN EARNED" if sold[hotkey, netuid] > earned[hotkey, netuid] else ""
            yield (
                f"block {block.number} {hotkey} netuid {netuid}: {alpha} for {tao} rao; sold so far"
                f" {sold[hotkey, netuid]} of {earned[hotkey, netuid]} earned{over}"
            )


def day_table(blocks: Iterable[Block], result: Result) -> Iterator[str]:
    """Return a line for each UTC day: blocks, epochs and take in rao by pool."""
    takes: dict[str, Counter[PoolKey]] = defaultdict(Counter)

    def day(timestamp_ms: int) -> str:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%d")

    for entry in result.takes:
        takes[day(entry.timestamp_ms)][entry.hotkey, entry.pool_netuid] += sum(entry.take_rao.values())
    for date, group in itertools.groupby(blocks, key=lambda block: day(block.timestamp_ms)):
        members = list(group)
        epochs = " ".join(f"{b.number}:{'+'.join(map(str, b.epochs()))}" for b in members if b.epochs())
        amounts = " ".join(
            f"{hotkey}/{netuid}={amount}" for (hotkey, netuid), amount in sorted(takes[date].items())
        )
        yield f"{date} blocks {members[0].number}-{members[-1].number} epochs {epochs} take {amounts}"


def verify(blocks: list[Block]) -> Result:
    """Check a row of blocks."""
    result = Result()
    for before, now in itertools.pairwise(blocks):
        check_block(before, now, result)
    return result


def main() -> int:
    """Check a dump and print what was proven."""
    parser = argparse.ArgumentParser(prog="python -m chain.localnet.verify", description=__doc__)
    parser.add_argument("dump", help="a file written by chain.localnet.scenario --dump")
    parser.add_argument("--tables", action="store_true", help="also list days and owners' sales")
    arguments = parser.parse_args()
    with gzip.open(arguments.dump) as file:
        document = json.load(file)
    blocks = [Block(raw) for raw in document["blocks"]]
    result = verify(blocks)
    names = {entry["ss58"]: name for name, entry in document["accounts"].items()}
    lines = [*day_table(blocks, result), *owner_sales(blocks, result)] if arguments.tables else []
    text = "\n".join([*lines, *result.faults])
    for address, name in names.items():
        text = text.replace(address, name)
    if text:
        print(text)
    for name, count in sorted(result.counts.items()):
        print(f"{name}: {count}")
    print(f"exact: {result.counts['pool states exact']} of {result.counts['pool states']} pool states")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
