"""Reads finalized blocks from a source and turns each into facts.

Supports the storage layout of `chain.runtime.SUPPORTED_SPECS` (U64F64 shares, root dividends as TAO stake). The reader
keeps the share of every holder of our hotkeys in memory, changes it only where the block says it changed, and
compares the sum with the chain's own denominators after every block. All reads are pinned to block hashes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chain import keys
from chain.facts import BlockFacts, PriceFact, RemarkFact, ShareFact, StakeEventFact, YieldFact
from chain.runtime import (
    SUPPORTED_SPECS,
    Event,
    Extrinsic,
    RuntimeDecoder,
    UnknownRuntime,
    calls_within,
    decoder_for,
)
from chain.source import MissingRead, Source, SourceError, call_one
from chain.stake_events import SUBTENSOR, conversions, stake_events
from chain.state import (
    BrokenChain,
    PositionsDisagree,
    State,
    UnsupportedEvent,
    read_state,
    state_call,
    understanding,
)
from chain.yields import PoolChange, PoolState, Take, alpha_take, root_takes

log = logging.getLogger(__name__)

PAGE_SIZE = 1000
ROOT = 0
# The year 2109; more is no time but a wrong answer.
TIMESTAMP_MS_MAX = 1 << 42
# (hotkey, netuid) → coldkey → raw share bits
Holdings = dict[tuple[str, int], dict[str, int]]


@dataclass
class _Step:
    """One block while it is being read."""

    facts: BlockFacts
    decoder: RuntimeDecoder
    state: State
    events: list[Event]
    legs: list[StakeEventFact]
    epochs: list[int]
    touched: set[tuple[str, int, str]] = field(default_factory=set)


class ChainReader:
    """Follows the chain block by block for some hotkeys, starting from a state that was read or stored."""

    def __init__(self, source: Source, hotkeys: Sequence[str], ss58_prefix: int) -> None:
        self._source = source
        self.hotkeys = sorted(set(hotkeys))
        self._ss58_prefix = ss58_prefix
        self._decoders: dict[int, RuntimeDecoder] = {}
        self.holdings: Holdings = {}
        self.parent_hash = ""

    # --- starting -------------------------------------------------------------------------------------

    def start_from_chain(self, number: int) -> list[ShareFact]:
        """Read every holder at a block, as the state before the first block to follow."""
        with understanding(self._source, f"the state before block {number + 1}"):
            self.parent_hash = self._block_hash(number)
            self.holdings = self.read_holdings(number, self.parent_hash)
        return [
            ShareFact(hotkey, netuid, coldkey, share)
            for (hotkey, netuid), holders in sorted(self.holdings.items())
            for coldkey, share in sorted(holders.items())
        ]

    def start_from_facts(self, parent_hash: str, holdings: Holdings, runtimes: dict[int, str]) -> None:
        """Go on after a stored block.

        :param runtimes: metadata (hex) of the runtimes stored so far, which the source need not hold again.
        """
        self.parent_hash, self.holdings = parent_hash, holdings
        for spec_version, metadata in runtimes.items():
            self._decoders[spec_version] = decoder_for(spec_version, metadata, self._ss58_prefix)

    def _block_hash(self, number: int) -> str:
        block_hash = call_one(self._source, "chain_getBlockHash", number)
        if not block_hash:
            raise MissingRead(f"{self._source.name} has no block {number}")
        return str(block_hash)

    def read_holdings(self, number: int, block_hash: str) -> Holdings:
        """Enumerate every holder of every pool of our hotkeys at a block, proved against the denominators."""
        holdings: Holdings = {}
        for hotkey in self.hotkeys:
            share_keys = self._keys(keys.by_hotkey("Alpha", hotkey), block_hash)
            pool_keys = self._keys(keys.by_hotkey("TotalHotkeyShares", hotkey), block_hash)
            values: dict[str, int] = {}
            wanted = share_keys + pool_keys
            for start in range(0, max(len(wanted), 1), PAGE_SIZE):
                page = wanted[start : start + PAGE_SIZE]
                call = state_call(page, block_hash)
                state = read_state(call, self._source.call_many([call])[0], number)
                values.update({key: state.amount(key) for key in page})
            for key in share_keys:
                coldkey, netuid = keys.share_key_parts(key)
                if values[key]:
                    holdings.setdefault((hotkey, netuid), {})[coldkey] = values[key]
            for key in pool_keys:
                self._check_sum(number, hotkey, keys.netuid_of(key), holdings, values[key])
        return holdings

    def _keys(self, prefix: str, block_hash: str) -> list[str]:
        found: list[str] = []
        while True:
            after = found[-1] if found else prefix
            page = call_one(self._source, "state_getKeysPaged", prefix, PAGE_SIZE, after, block_hash)
            # A node that repeats a page would have us count holders twice.
            if any(not key.startswith(prefix) or key <= after for key in page) or page != sorted(set(page)):
                raise SourceError(f"{self._source.name} listed keys out of order")
            found += page
            if len(page) < PAGE_SIZE:
                return found

    @staticmethod
    def _check_sum(number: int, hotkey: str, netuid: int, holdings: Holdings, denominator: int) -> None:
        total = sum(holdings.get((hotkey, netuid), {}).values())
        if total != denominator:
            raise PositionsDisagree(
                f"block {number}: the holders of {hotkey} on netuid {netuid} have {total} shares, the chain's "
                f"denominator is {denominator}"
            )

    # --- following ------------------------------------------------------------------------------------

    def read_block(self, number: int) -> BlockFacts:
        """Read the block after the one the reader stands at, and step onto it.

        The reader only steps when everything agreed, so a failed block can be read again.

        :raises SourceError: a read could not be had.
        :raises UnknownRuntime, BrokenChain, MethodsDisagree, PositionsDisagree, UnsupportedEvent: see there.
        """
        with understanding(self._source, f"block {number}"):
            step = self._open(number)
            self._refuse_unsupported(step)
            before, after, extrinsics = self._read_details(step)
            if step.epochs:
                self._add_yields(step, before, after)
            self._add_stake_events(step, extrinsics)
            self._add_prices(step, after)
            holdings = self._step_holdings(step, after)
        step.facts.shares = _differences(self.holdings, holdings)
        self.holdings, self.parent_hash = holdings, step.facts.hash
        return step.facts

    def decoder(self, spec_version: int, at: str) -> RuntimeDecoder:
        """The decoder of a runtime, with the metadata that the given block's state holds."""
        if spec_version not in self._decoders:
            metadata = call_one(self._source, "state_getMetadata", at)
            self._decoders[spec_version] = decoder_for(spec_version, metadata, self._ss58_prefix)
        return self._decoders[spec_version]

    def _open(self, number: int) -> _Step:
        block_hash = self._block_hash(number)
        header, version, network_keys = self._source.call_many(
            [
                ("chain_getHeader", [block_hash]),
                ("state_getRuntimeVersion", [self.parent_hash]),
                ("state_getKeysPaged", [keys.NETWORKS_ADDED, PAGE_SIZE, keys.NETWORKS_ADDED, block_hash]),
            ]
        )
        if not header or int(header["number"], 16) != number or header["parentHash"] != self.parent_hash:
            raise BrokenChain(
                f"block {number} ({block_hash}) does not follow {self.parent_hash}: its header names parent "
                f"{header and header['parentHash']}"
            )
        spec_version = int(version["specVersion"])
        if spec_version not in SUPPORTED_SPECS:
            raise UnknownRuntime(spec_version, number)
        decoder = self.decoder(spec_version, self.parent_hash)
        netuids = sorted(keys.netuid_of(key) for key in network_keys)
        steps = {
            netuid: keys.by_netuid("LastMechansimStepBlock", netuid) for netuid in netuids if netuid != ROOT
        }
        call = state_call(
            [
                keys.SYSTEM_EVENTS,
                keys.TIMESTAMP_NOW,
                *steps.values(),
                *self._owner_keys(),
                *self._pool_keys(),
            ],
            block_hash,
        )
        state = read_state(call, self._source.call_many([call])[0], number)
        events_hex = state.raw(keys.SYSTEM_EVENTS)
        if events_hex is None:
            raise MissingRead(f"block {number}: its events are not there")
        events = decoder.events(events_hex)
        timestamp_ms = state.amount(keys.TIMESTAMP_NOW)
        if not 0 < timestamp_ms < TIMESTAMP_MS_MAX:
            raise SourceError(f"block {number}: {timestamp_ms} ms is no time of a block")
        facts = BlockFacts(number, block_hash, self.parent_hash, timestamp_ms, spec_version)
        # The order in which the chain visits subnets is that of their storage keys.
        epochs = [netuid for netuid, key in steps.items() if state.amount(key) == number]
        epochs.sort(key=lambda netuid: netuid.to_bytes(2, "little"))
        legs = [leg for leg in stake_events(events) if leg.hotkey in self.hotkeys]
        return _Step(facts, decoder, state, events, legs, epochs)

    def _owner_keys(self) -> list[str]:
        return [keys.by_hotkey("Owner", hotkey) for hotkey in self.hotkeys]

    def _pool_keys(self) -> list[str]:
        return [keys.by_hotkey_netuid("TotalHotkeyShares", *pool) for pool in sorted(self.holdings)]

    def _refuse_unsupported(self, step: _Step) -> None:
        for event in step.events:
            if event.is_a(SUBTENSOR, "HotkeySwapped", "HotkeySwappedOnSubnet"):
                named = event.values.values() if isinstance(event.values, dict) else event.values
                if ours := sorted(set(self.hotkeys) & {value for value in named if isinstance(value, str)}):
                    raise UnsupportedEvent(
                        f"block {step.facts.number}: our hotkey {ours[0]} was swapped. Following a key through a "
                        "swap is not supported yet; ingest the new key into a home of its own from the next block."
                    )

    def _read_details(self, step: _Step) -> tuple[State, State, list[str]]:
        """Read what epochs and stake events need: state before and after, and the block's extrinsics."""
        number, legs = step.facts.number, step.legs
        pools = {(leg.hotkey, leg.netuid) for leg in legs}
        step.touched = {(leg.hotkey, leg.netuid, leg.coldkey) for leg in legs}
        wanted_after: list[str] = []
        wanted_before: list[str] = [*self._owner_keys(), keys.OWNER_CUT]
        for netuid in step.epochs:
            pools |= {pool for hotkey in self.hotkeys for pool in ((hotkey, netuid), (hotkey, ROOT))}
            wanted_after.append(keys.by_netuid("SubnetAlphaOutEmission", netuid))
            wanted_before += [
                keys.by_netuid(item, netuid)
                for item in (
                    "SubnetOwnerHotkey",
                    "SubnetOwner",
                    "PendingOwnerCut",
                    "FirstEmissionBlockNumber",
                )
            ]
            for hotkey in self.hotkeys:
                wanted_before.append(keys.by_hotkey("Delegates", hotkey))
                wanted_after += [
                    keys.by_netuid_hotkey("AlphaDividendsPerSubnet", netuid, hotkey),
                    keys.by_netuid_hotkey("TaoDividendsPerSubnet", netuid, hotkey),
                    keys.by_hotkey_netuid("TotalHotkeyAlphaLastEpoch", hotkey, netuid),
                ]
        if not pools:
            return step.state, step.state, []
        totals = [
            keys.by_hotkey_netuid(item, *pool)
            for pool in sorted(pools)
            for item in ("TotalHotkeyAlpha", "TotalHotkeyShares")
        ]
        for netuid in {netuid for _, netuid in pools} - {ROOT}:
            wanted_after += self._price_keys(netuid)
        before_call = state_call(wanted_before + totals, step.facts.parent_hash)
        after_call = state_call(wanted_after + totals, step.facts.hash)
        calls = [before_call, after_call]
        if any(leg.extrinsic_index is not None for leg in legs):
            calls.append(("chain_getBlock", [step.facts.hash]))
        results = self._source.call_many(calls)
        before = read_state(before_call, results[0], number - 1)
        after = read_state(after_call, results[1], number)
        return before, after, results[2]["block"]["extrinsics"] if len(results) > 2 else []

    # --- yields ---------------------------------------------------------------------------------------

    def _add_yields(self, step: _Step, before: State, after: State) -> None:
        for hotkey in self.hotkeys:
            owner = before.account(keys.by_hotkey("Owner", hotkey))
            if owner is None:
                # A key that was never registered: nothing can have been credited to it.
                continue
            take_u16 = before.number(keys.by_hotkey("Delegates", hotkey))
            if take_u16 is None:
                take_u16 = step.decoder.default_u16(SUBTENSOR, "Delegates")
            for netuid in step.epochs:
                self._add_alpha_yield(step, before, after, hotkey, netuid, owner, take_u16)
            self._add_root_yields(step, before, after, hotkey, owner, take_u16)

    def _pool_change(self, step: _Step, before: State, after: State, hotkey: str, netuid: int) -> PoolChange:
        def pool(state: State) -> PoolState:
            return PoolState(
                state.amount(keys.by_hotkey_netuid("TotalHotkeyAlpha", hotkey, netuid)),
                state.amount(keys.by_hotkey_netuid("TotalHotkeyShares", hotkey, netuid)),
            )

        return PoolChange(
            name=f"block {step.facts.number}, {hotkey} on netuid {netuid}",
            before=pool(before),
            after=pool(after),
            shares=self.holdings.get((hotkey, netuid), {}),
            events=[leg for leg in step.legs if (leg.hotkey, leg.netuid) == (hotkey, netuid)],
        )

    def _owner_cut(
        self, step: _Step, before: State, after: State, hotkey: str, netuid: int
    ) -> tuple[str, int] | None:
        """The subnet owner's cut, where this hotkey receives it: what was pending plus this block's accrual."""
        if before.account(keys.by_netuid("SubnetOwnerHotkey", netuid)) != hotkey:
            return None
        subnet_owner = before.account(keys.by_netuid("SubnetOwner", netuid))
        if subnet_owner is None:
            return None
        cut_rao = before.amount(keys.by_netuid("PendingOwnerCut", netuid))
        if before.number(keys.by_netuid("FirstEmissionBlockNumber", netuid)) is not None:
            cut_u16 = before.number(keys.OWNER_CUT)
            if cut_u16 is None:
                cut_u16 = step.decoder.default_u16(SUBTENSOR, "SubnetOwnerCut")
            fraction = (cut_u16 << 32) // 65_535
            cut_rao += (after.amount(keys.by_netuid("SubnetAlphaOutEmission", netuid)) * fraction) >> 32
        return subnet_owner, cut_rao

    def _add_alpha_yield(
        self, step: _Step, before: State, after: State, hotkey: str, netuid: int, owner: str, take_u16: int
    ) -> None:
        net = after.number(keys.by_netuid_hotkey("AlphaDividendsPerSubnet", netuid, hotkey))
        change = self._pool_change(step, before, after, hotkey, netuid)
        cut = self._owner_cut(step, before, after, hotkey, netuid)
        credited = {owner} | ({cut[0]} if cut else set())
        step.touched |= {(hotkey, netuid, coldkey) for coldkey in credited}
        if not net:
            # No dividend: the pool may still have been credited an incentive or cut, which the shares show.
            return
        take = alpha_take(
            change,
            owner=owner,
            take_u16=take_u16,
            net_rao=net,
            value_after_epoch=after.amount(
                keys.by_hotkey_netuid("TotalHotkeyAlphaLastEpoch", hotkey, netuid)
            ),
            owner_cut=cut,
        )
        step.facts.yields.append(
            _yield("ALPHA", netuid, hotkey, owner, change=change, take=take, take_u16=take_u16, net_rao=net)
        )

    def _add_root_yields(
        self, step: _Step, before: State, after: State, hotkey: str, owner: str, take_u16: int
    ) -> None:
        nets = {
            netuid: after.amount(keys.by_netuid_hotkey("TaoDividendsPerSubnet", netuid, hotkey))
            for netuid in step.epochs
        }
        paying = [netuid for netuid in step.epochs if nets[netuid]]
        if not paying:
            return
        change = self._pool_change(step, before, after, hotkey, ROOT)
        step.touched.add((hotkey, ROOT, owner))
        takes = root_takes(
            change, owner=owner, take_u16=take_u16, nets_rao=[nets[netuid] for netuid in paying]
        )
        for netuid, take in zip(paying, takes, strict=True):
            net = nets[netuid]
            step.facts.yields.append(
                _yield(
                    "ROOT", netuid, hotkey, owner, change=change, take=take, take_u16=take_u16, net_rao=net
                )
            )

    # --- stake events, conversions, prices, remarks ---------------------------------------------------

    def _add_stake_events(self, step: _Step, extrinsics: list[str]) -> None:
        decoded: dict[int, Extrinsic] = {
            index: step.decoder.extrinsic(extrinsics[index])
            for index in sorted({leg.extrinsic_index for leg in step.legs if leg.extrinsic_index is not None})
        }
        owners = {
            hotkey: owner
            for hotkey in self.hotkeys
            if (owner := step.state.account(keys.by_hotkey("Owner", hotkey))) is not None
        }
        for leg in step.legs:
            fields = dict(vars(leg))
            if leg.extrinsic_index is not None:
                extrinsic = decoded[leg.extrinsic_index]
                fields.update(
                    extrinsic_hash=extrinsic.hash, signer=extrinsic.signer, call=extrinsic.call_name
                )
            step.facts.stake_events.append(StakeEventFact(**fields))
        step.facts.conversions = conversions(step.facts.stake_events, owners)
        step.facts.remarks = _remarks(step.events, decoded)

    @staticmethod
    def _price_keys(netuid: int) -> list[str]:
        return [
            keys.by_netuid("SubnetTAO", netuid),
            keys.by_netuid("SubnetAlphaIn", netuid),
            keys.by_netuid_twox("Swap", "AlphaSqrtPrice", netuid),
        ]

    def _add_prices(self, step: _Step, after: State) -> None:
        netuids = {fact.netuid for fact in step.facts.yields} | {
            fact.netuid for fact in step.facts.conversions
        }
        for netuid in sorted(netuids):
            tao, alpha, sqrt_price = (after.amount(key) for key in self._price_keys(netuid))
            step.facts.prices.append(PriceFact(netuid, tao, alpha, sqrt_price))

    # --- positions ------------------------------------------------------------------------------------

    def _step_holdings(self, step: _Step, after: State) -> Holdings:
        """Shares after the block: those touched are read, the rest carried, the sums proved."""
        number, block_hash = step.facts.number, step.facts.hash
        if any(event.is_a(SUBTENSOR, "ColdkeySwapped", "NetworkRemoved") for event in step.events):
            return self.read_holdings(number, block_hash)
        touched = sorted(step.touched)
        holdings = (
            {pool: dict(holders) for pool, holders in self.holdings.items()} if touched else self.holdings
        )
        if touched:
            wanted = {(h, n, c): keys.share_key(h, c, n) for h, n, c in touched}
            call = state_call(wanted.values(), block_hash)
            state = read_state(call, self._source.call_many([call])[0], number)
            for (hotkey, netuid, coldkey), key in wanted.items():
                holders = holdings.setdefault((hotkey, netuid), {})
                holders[coldkey] = state.amount(key)
                if not holders[coldkey]:
                    del holders[coldkey]
        try:
            for pool in sorted({*self.holdings, *((hotkey, netuid) for hotkey, netuid, _ in touched)}):
                key = keys.by_hotkey_netuid("TotalHotkeyShares", *pool)
                known = step.state if pool in self.holdings else after
                self._check_sum(number, *pool, holdings, known.amount(key))
        except PositionsDisagree as error:
            # Something moved stake without an event we know; the chain's own list settles it.
            log.warning("chain.positions.enumerated: %s", error)
            return self.read_holdings(number, block_hash)
        return {pool: holders for pool, holders in holdings.items() if holders}


def _yield(
    side: str,
    netuid: int,
    hotkey: str,
    owner: str,
    *,
    change: PoolChange,
    take: Take,
    take_u16: int,
    net_rao: int,
) -> YieldFact:
    """On these runtimes root stakers are paid in TAO on netuid 0, subnet stakers in the subnet's own alpha."""
    return YieldFact(
        netuid=netuid,
        hotkey=hotkey,
        side=side,
        asset="TAO" if side == "ROOT" else "ALPHA",
        pool_netuid=ROOT if side == "ROOT" else netuid,
        owner=owner,
        dividend_rao=net_rao,
        take_rao=take.rao,
        take_low_rao=take.low_rao,
        take_high_rao=take.high_rao,
        take_u16=take_u16,
        pool_before_rao=change.before.value,
        other_rao=take.other_rao,
        share_total=change.before.denominator,
    )


def _differences(before: Holdings, after: Holdings) -> list[ShareFact]:
    changes = []
    for hotkey, netuid in sorted({*before, *after}):
        old, new = before.get((hotkey, netuid), {}), after.get((hotkey, netuid), {})
        if old is not new:
            changes += [
                ShareFact(hotkey, netuid, coldkey, new.get(coldkey, 0))
                for coldkey in sorted({*old, *new})
                if old.get(coldkey, 0) != new.get(coldkey, 0)
            ]
    return changes


def _remarks(events: Iterable[Event], decoded: dict[int, Extrinsic]) -> list[RemarkFact]:
    """Match each Remarked event (which holds only a hash) with the text in its extrinsic's calls."""
    found = []
    for event in events:
        if event.extrinsic_index in decoded and event.is_a("System", "Remarked"):
            for call in calls_within(decoded[event.extrinsic_index].call):
                if (call["call_module"], call["call_function"]) != ("System", "remark_with_event"):
                    continue
                text = _remark_with_hash(call["call_args"][0]["value"], event.values["hash"])
                if text is not None:
                    found.append(RemarkFact(event.index, event.extrinsic_index, event.values["sender"], text))
                    break
    return found


def _remark_with_hash(value: str, wanted: str) -> bytes | None:
    """The decoder gives bytes as text where they are UTF-8 and as hex where not; the hash says which it was."""
    candidates = [value.encode()]
    if value.startswith("0x"):
        try:
            candidates.append(bytes.fromhex(value[2:]))
        except ValueError:
            pass
    for candidate in candidates:
        if "0x" + hashlib.blake2b(candidate, digest_size=32).hexdigest() == wanted:
            return candidate
    return None
