"""Reads finalized blocks from a source and turns each into facts.

The reader keeps the share of every holder of our hotkeys in memory, changes it only where the block says it changed,
and compares the sum with the chain's own denominators after every block. All reads are pinned to block hashes. Which
runtime's rules hold is decided by the runtime in the parent's state (`chain.runtimes.eras`); one whose rules nobody proved
is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from chain import keys
from chain.earnings import epochs
from chain.earnings.epoch_block import EpochBlock, pools_of
from chain.earnings.pool_changes import contradicted, told_keys
from chain.facts import BlockFacts, HotkeyFact, Position, ShareFact
from chain.keys import ROOT, SUBTENSOR
from chain.nodes.source import MissingRead, Source, SourceError, call_one
from chain.pools.holdings import (
    Holdings,
    Pool,
    check_pool,
    denominator,
    denominator_as_stored,
    denominator_keys,
    differences,
    read_holdings,
    share,
    share_keys,
)
from chain.pools.prices import price_keys
from chain.reading.consistency import (
    OWNER_EVENTS,
    Standing,
    check_amounts,
    check_events,
    check_next,
    check_owners,
    check_time,
)
from chain.reading.settling import Owners, add_prices, add_stake_events
from chain.reading.step import Proved, Step
from chain.reading.window import Opened, Window
from chain.runtimes.admission import admitted_era
from chain.runtimes.decoding import Decoder, Event, UnknownRuntime, decoder_for
from chain.runtimes.eras import Era, RootDividends, era_of, pricing_of
from chain.runtimes.event_values import named
from chain.stake.changes import beside_stake_events, telling_extrinsics, touched
from chain.stake.events import stake_events
from chain.stake.hotkeys import (
    Following,
    addresses,
    after_block,
    coldkey_swaps,
    of_ours,
    on_subnet,
    renamed_pools,
    swaps,
)
from chain.stake.movements import (
    of_coldkeys,
    our_legs,
)
from chain.state import BrokenChain, PositionsDisagree, State, UnsupportedEvent, load, understanding

log = logging.getLogger(__name__)

# Blocks of twelve seconds in a day: how often every position is read anew.
ENUMERATE_EVERY = 7200
WINDOW_BLOCKS = 32
_RECORDS_TELL_FROM = 361

Decoders = Callable[[int, str, int], Decoder]


class ChainReader:
    """Follows the chain block by block for some hotkeys, starting from a state that was read or stored.

    `until` is the last block that may be asked for; up to there the reader reads ahead, and holds each block against the
    next.
    """

    def __init__(
        self,
        source: Source,
        hotkeys: Iterable[str | Following],
        ss58_prefix: int,
        *,
        decoders: Decoders = decoder_for,
        eras: Mapping[int, Era] | None = None,
        until: int = 0,
        window_blocks: int = WINDOW_BLOCKS,
    ) -> None:
        self._source = source
        self.following = frozenset(one if isinstance(one, Following) else Following(one) for one in hotkeys)
        self._ss58_prefix = ss58_prefix
        self._decoder_for = decoders
        self._decoders: dict[int, Decoder] = {}
        self._eras = dict(eras or {})
        self._window = Window(source, window_blocks)
        self.until = until
        self.holdings: Holdings = {}
        # Denominators at which the sums of `holdings` were last proved.
        self._proved: dict[Pool, Proved] = {}
        self._owners: dict[str, str] = {}
        self._migrations_due = False
        self._timestamp_ms = 0
        self.parent_hash = ""
        self._spec_version: int | None = None

    @property
    def hotkeys(self) -> list[str]:
        """Every key followed now."""
        return addresses(self.following)

    # --- starting -------------------------------------------------------------------------------------

    def start_from_chain(self, number: int) -> list[ShareFact]:
        """Read every holder at a block, as the state before the first block to follow."""
        with understanding(self._source, f"the state before block {number + 1}"):
            self.parent_hash = self._block_hash(number)
            self.holdings = self.read_holdings(number, self.parent_hash)
            self._proved = {}
            self._spec_version = self._executed_by(self.parent_hash) if number else None
        self._migrations_due = False
        self._timestamp_ms = 0
        self._owners = {}
        self._window.forget()
        return differences({}, self.holdings)

    def start_from_facts(
        self,
        parent_hash: str,
        holdings: Holdings,
        runtimes: Mapping[int, str],
        spec_version: int | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        """Go on after a stored block.

        :param runtimes: metadata (hex) of the runtimes stored so far, which the source need not hold again.
        :param spec_version: runtime that executed the stored block.
        :param timestamp_ms: its time, which the next one must be after.
        """
        self.parent_hash, self.holdings, self._spec_version = parent_hash, holdings, spec_version
        self._timestamp_ms = timestamp_ms
        self._proved, self._owners = {}, {}
        self._window.forget()
        for spec, metadata in runtimes.items():
            self._decoders[spec] = self._decoder_for(spec, metadata, self._ss58_prefix)

    def _executed_by(self, block_hash: str) -> int | None:
        """The runtime that executed a block; None where a recording, or what a node kept, begins with its state."""
        try:
            header = call_one(self._source, "chain_getHeader", block_hash)
            version = call_one(self._source, "state_getRuntimeVersion", header["parentHash"])
        except SourceError:
            return None
        return int(version["specVersion"])

    def _block_hash(self, number: int) -> str:
        block_hash = call_one(self._source, "chain_getBlockHash", number)
        if not block_hash:
            raise MissingRead(f"{self._source.name} has no block {number}")
        return str(block_hash)

    def read_holdings(self, number: int, block_hash: str, spec_version: int | None = None) -> Holdings:
        """Enumerate every holder of every pool of our hotkeys at a block, proved against the denominators.

        :param spec_version: the runtime that executed the block; asked for where it is not known.
        """
        if spec_version is None:
            version = call_one(self._source, "state_getRuntimeVersion", block_hash)
            spec_version = int(version["specVersion"])
        return self._enumerate(State(number, block_hash), self.era(spec_version, number))

    def _enumerate(self, state: State, era: Era) -> Holdings:
        return read_holdings(self._source, self.hotkeys, state, safe_float=era.safe_float_shares)

    # --- following ------------------------------------------------------------------------------------

    def era(self, spec_version: int, number: int) -> Era:
        """The era whose rules a runtime follows.

        :raises UnknownRuntime: when nobody proved which.
        """
        era = era_of(spec_version) or self._eras.get(spec_version)
        if era is None:
            raise UnknownRuntime(spec_version, number)
        return era

    def knows(self, spec_version: int) -> bool:
        """Whether it was settled by which rules a runtime is read."""
        return era_of(spec_version) is not None or spec_version in self._eras

    def read_as(self, spec_version: int, era: Era) -> None:
        """Read a runtime by an era's rules from now on."""
        self._eras[spec_version] = era

    def read_block(self, number: int) -> BlockFacts:
        """Read the block after the one the reader stands at, and step onto it.

        The reader only steps when everything agreed, so a failed block can be read again.

        :raises SourceError: a read could not be had.
        :raises UnknownRuntime, BrokenChain, MethodsDisagree, PositionsDisagree, UnsupportedEvent: see there.
        """
        try:
            with understanding(self._source, f"block {number}"):
                step = self._open(number)
                self._refuse_lost_epochs(step)
                self._read_extrinsics(step)
                epoch_block = self._read_details(step)
                if step.epochs:
                    earned = epochs.yields(epoch_block)
                    step.facts.yields, step.made, step.unsure = earned.facts, earned.made, earned.unsure
                    step.facts.doubts += epochs.doubts(epoch_block, step.facts.yields)
                    if step.migrated:
                        # Upon which shares the epoch built, nothing tells.
                        step.unsure |= step.credited
                        step.facts.doubts += epochs.doubts_of_upgrade(epoch_block, step.facts.yields)
                holdings = self._step_holdings(step)
                step.facts.shares = differences(self.holdings, holdings)
                self._check(step)
                before = {**self.holdings, **step.joined} if step.joined else self.holdings
                add_stake_events(self._source, step, before, holdings, lambda: self._owners_around(step))
                if not step.migrated and not step.swaps:
                    silent = {(leg.hotkey, leg.netuid) for leg in step.facts.stake_events if leg.derived}
                    step.facts.doubts += contradicted(epoch_block, silent)
                add_prices(self._source, step)
                check_amounts(step.facts)
                self._add_provenance(step)
        except BaseException:
            # What was read ahead may be what was wrong.
            self._window.forget()
            raise
        self.holdings, self.following, self._proved = holdings, step.following, step.proved
        self.parent_hash, self._spec_version = step.facts.hash, step.facts.spec_version
        self._migrations_due = step.marks.everything_next
        self._timestamp_ms = step.facts.timestamp_ms
        self._owners = self._owners_after(step)
        return step.facts

    def _add_provenance(self, step: Step) -> None:
        step.facts.provider = getattr(self._source, "answered_by", "") or self._source.name
        if step.facts.touches_us:
            step.facts.payload = bytes.fromhex((step.after.raw(keys.SYSTEM_EVENTS) or "")[2:])

    def decoder(self, spec_version: int, at: str) -> Decoder:
        """The decoder of a runtime, with the metadata that the given block's state holds."""
        if spec_version not in self._decoders:
            metadata = call_one(self._source, "state_getMetadata", at)
            self._decoders[spec_version] = self._decoder_for(spec_version, metadata, self._ss58_prefix)
        return self._decoders[spec_version]

    def _wanted(self, spec_version: int, netuids: Sequence[int]) -> list[str]:
        """Storage that every block is read for."""
        era = era_of(spec_version) or self._eras.get(spec_version)
        return [
            keys.SYSTEM_EVENTS,
            keys.SYSTEM_EVENT_COUNT,
            keys.TIMESTAMP_NOW,
            *(keys.by_netuid("LastMechansimStepBlock", netuid) for netuid in netuids if netuid != ROOT),
            *(keys.by_hotkey(item, hotkey) for item in ("Owner", "Delegates") for hotkey in self.hotkeys),
            *denominator_keys(self._pools(netuids), safe_float=bool(era and era.safe_float_shares)),
        ]

    def _pools(self, netuids: Iterable[int]) -> list[Pool]:
        """Every pool of our keys, also those that nobody has a share of yet: the first one shows there."""
        return sorted({*self.holdings, *((hotkey, netuid) for hotkey in self.hotkeys for netuid in netuids)})

    def _open(self, number: int) -> Step:
        opened = self._window.open(number, self.parent_hash, self.until, self._wanted)
        header = opened.header
        if not header or int(header["number"], 16) != number or header["parentHash"] != self.parent_hash:
            raise BrokenChain(
                f"block {number} ({opened.hash}) does not follow {self.parent_hash}: its header names parent "
                f"{header and header['parentHash']}"
            )
        era = admitted_era(
            opened.spec_version,
            number,
            self._eras,
            lambda: self.decoder(opened.spec_version, self.parent_hash),
        )
        decoder = self.decoder(opened.spec_version, self.parent_hash)
        events = self._events(opened)
        rules = era.rules_of(opened.spec_version)
        told = stake_events(events, rules)
        timestamp_ms = opened.state.amount(keys.TIMESTAMP_NOW)
        check_time(number, header, timestamp_ms, self._timestamp_ms)
        return Step(
            facts=BlockFacts(number, opened.hash, self.parent_hash, timestamp_ms, opened.spec_version),
            era=era,
            decoder=decoder,
            before=State(number - 1, self.parent_hash),
            after=opened.state,
            events=events,
            told=told,
            netuids=opened.netuids,
            last_steps=opened.last_steps,
            epochs=opened.epochs,
            swaps=of_ours(swaps(events), self.hotkeys),
            following=self.following,
            migrated=self._migrations_due or self._spec_version not in (None, opened.spec_version),
            marks=touched(events, {}, rules, told),
        )

    def _check(self, step: Step) -> None:
        """Hold what the node said of the block against itself and the next."""
        number = step.facts.number
        if not step.migrated:
            abandoned = {one.hotkey for one in self.following | step.following if one.abandoned_by}
            check_owners(number, self._owners_after(step), self.holdings, step.events, abandoned)
        self._check_next(step)

    def _check_next(self, step: Step) -> None:
        """Hold the block against what the next one, if it may be asked for, says of the same things."""
        number = step.facts.number + 1
        if number > self.until or step.marks.everything_next:
            return
        try:
            following = self._window.peek(number, step.facts.hash, self.until, self._wanted)
        except MissingRead:
            # Whoever reads that block will say so; this one must not be missing for it.
            return
        if following.spec_version != step.facts.spec_version:
            return
        check_next(
            step.facts.number,
            self._standing(step, step.after, step.last_steps),
            self._standing(step, following.state, following.last_steps),
            lambda: self._events(following),
        )

    def _standing(self, step: Step, state: State, last_steps: dict[int, int]) -> Standing:
        hotkeys = addresses(step.following)
        load(self._source, (state, [keys.by_hotkey("Delegates", hotkey) for hotkey in hotkeys]))
        takes = {hotkey: epochs.take_u16(state, hotkey, step.decoder) for hotkey in hotkeys}
        return Standing(last_steps, self._owners_in(state, hotkeys), takes)

    def _events(self, opened: Opened) -> list[Event]:
        """The events of a block, all of them.

        :raises SourceError: they are not there, or not as many as the chain counted.
        """
        events_hex = opened.state.raw(keys.SYSTEM_EVENTS)
        if events_hex is None:
            raise MissingRead(f"block {opened.number}: its events are not there")
        decoder = self.decoder(opened.spec_version, str(opened.header["parentHash"]))
        events = decoder.events(events_hex)
        check_events(opened.number, events, opened.state.amount(keys.SYSTEM_EVENT_COUNT))
        return events

    def _refuse_lost_epochs(self, step: Step) -> None:
        """A subnet that ends in the block of its epoch takes with it what storage said of the dividends."""
        removed = {
            named(event, "netuid")[0] for event in step.events if event.is_a(SUBTENSOR, "NetworkRemoved")
        }
        for netuid in sorted(removed and removed & (set(step.epochs) | epochs.paid_miners(step.events))):
            if any(pool[1] == netuid for pool in self.holdings):
                raise UnsupportedEvent(
                    f"block {step.facts.number}: subnet {netuid} was dissolved in the block of its epoch, and with it "
                    "went what the chain kept of the dividends. What our hotkeys earned in it cannot be told."
                )

    def _refuse_merged_epochs(self, step: Step, renamed: Mapping[Pool, str]) -> None:
        """A swap in the block of an epoch adds what two keys earned into one record; since 361 the pools tell it apart."""
        if step.spec_version >= _RECORDS_TELL_FROM:
            return
        into = {
            (new, netuid): keys.by_hotkey_netuid("TotalHotkeyAlpha", new, netuid)
            for new in set(renamed.values()) - {old for old, _ in renamed}
            for netuid in (*step.epochs, ROOT)
        }
        load(self._source, (step.before, into.values()))
        for (new, _), key in sorted(into.items()):
            if step.before.amount(key):
                raise UnsupportedEvent(
                    f"block {step.facts.number}: a hotkey of ours was swapped in its epoch's block into {new}, which has "
                    "stake: what each of the two earned cannot be told apart."
                )

    def _read_extrinsics(self, step: Step) -> None:
        """Decode the extrinsics that touched stake of ours, or that alone say whose they touched."""
        telling = telling_extrinsics(step.events, step.spec_version)
        legs = our_legs(step.told, step.events, {}, step.followed)
        wanted = telling | {leg.extrinsic_index for leg in legs if leg.extrinsic_index is not None}
        if wanted:
            block = call_one(self._source, "chain_getBlock", step.facts.hash)
            written = block["block"]["extrinsics"]
            step.extrinsics = {index: step.decoder.extrinsic(written[index]) for index in sorted(wanted)}
        if telling:
            step.marks = touched(step.events, step.extrinsics, step.spec_version, step.told)
        step.legs = our_legs(step.told, step.events, step.extrinsics, step.followed) if wanted else legs
        step.touched = {at for at in step.marks.positions if at[0] in step.followed}
        step.touched |= of_coldkeys(step.marks, self.holdings, step.netuids, step.legs)

    def _read_details(self, step: Step) -> EpochBlock:
        """Read what epochs, swaps and stake events need of the states before and after."""
        renamed = renamed_pools(step.swaps, self.hotkeys, (*step.epochs, ROOT))
        if step.epochs and renamed:
            self._refuse_merged_epochs(step, renamed)
        told = {(leg.hotkey, leg.netuid, leg.coldkey) for leg in step.legs}
        positions, coldkeys = beside_stake_events(step.events, step.extrinsics)
        step.beside = positions | {at for at in step.touched if at[2] in coldkeys}
        # What a swap brings under the name of a key that has no stake is the other's: it earned nothing itself.
        idle = {
            (new, netuid)
            for (_, netuid), new in renamed.items()
            if not self.holdings.get((new, netuid)) and not self.holdings.get((new, ROOT))
        }
        every = {(hotkey, netuid) for netuid in step.epochs for hotkey in self.hotkeys} - idle
        ours = [
            (hotkey, netuid)
            for netuid in step.epochs
            for hotkey in on_subnet(self.following, netuid)
            if (hotkey, netuid) in every
        ]
        block = EpochBlock(
            number=step.facts.number,
            era=step.era,
            spec_version=step.spec_version,
            decoder=step.decoder,
            netuids=step.epochs,
            pairs=ours,
            others=sorted(every - set(ours)),
            events=step.events,
            legs=step.legs,
            holdings=self.holdings,
            before=step.before,
            after=step.after,
            renamed=renamed,
            extrinsics=step.extrinsics,
            unsaid=frozenset(at for at in step.touched if at not in told or at in step.beside),
        )
        in_both = told_keys(block)
        wanted_before = [*(epochs.keys_before(block) if step.epochs else []), *in_both]
        wanted_after = [
            *(epochs.keys_after(block) if step.epochs else []),
            *(
                key
                for netuid in {leg.netuid for leg in step.legs} | set(step.epochs)
                for key in price_keys(pricing_of(step.spec_version), netuid)
                if netuid != ROOT
            ),
            *(keys.by_hotkey("Owner", swap.new) for swap in step.swaps),
            *in_both,
            *self._position_keys(step, step.touched | self._likely_credited(block)),
        ]
        load(self._source, (step.before, wanted_before), (step.after, wanted_after))
        if step.epochs:
            step.credited = epochs.credited(block)
            step.touched |= step.credited
            load(self._source, (step.after, self._position_keys(step, step.credited)))
        return block

    def _likely_credited(self, block: EpochBlock) -> set[Position]:
        """The owners' positions, if owners are still who they were: most often all that is credited, so no trip more."""
        return {
            (hotkey, netuid, self._owners[hotkey])
            for hotkey, netuid in pools_of(block)
            if hotkey in self._owners
            and (netuid != ROOT or block.era.root_dividends is RootDividends.TAO_STAKE)
        }

    def _position_keys(self, step: Step, positions: Iterable[Position]) -> list[str]:
        """Keys of the positions and of their pools' denominators."""
        positions = sorted(positions)
        pools = sorted({(hotkey, netuid) for hotkey, netuid, _ in positions})
        return [
            *(key for at in positions for key in share_keys(*at, safe_float=step.safe_float)),
            *denominator_keys(pools, safe_float=step.safe_float),
        ]

    # --- owners -----------------------------------------------------------------------------------------

    def _owners_after(self, step: Step) -> dict[str, str]:
        return self._owners_in(step.after, addresses(step.following))

    def _owners_in(self, state: State, hotkeys: Sequence[str]) -> dict[str, str]:
        load(self._source, (state, [keys.by_hotkey("Owner", hotkey) for hotkey in hotkeys]))
        owners = {hotkey: state.account(keys.by_hotkey("Owner", hotkey)) for hotkey in hotkeys}
        return {hotkey: owner for hotkey, owner in owners.items() if owner is not None}

    def _owners_around(self, step: Step) -> tuple[Owners, Owners]:
        """Owners of our keys before and after the block; of one without, the coldkey whose stake on it is an owner's."""
        before, after = (
            {one.hotkey: one.abandoned_by for one in following if one.abandoned_by}
            for following in (self.following, step.following)
        )
        return before | self._owners_before(step), after | self._owners_after(step)

    def _owners_before(self, step: Step) -> dict[str, str]:
        """Owners before the block, read only where the reader does not know them and a swap may have changed them."""
        if self._owners or not any(event.is_a(SUBTENSOR, *OWNER_EVENTS) for event in step.events):
            return self._owners
        return self._owners_in(step.before, self.hotkeys)

    # --- positions ------------------------------------------------------------------------------------

    def _step_holdings(self, step: Step) -> Holdings:
        """Shares after the block, of the keys that are ours then."""
        holdings = self._holdings_after(step)
        self._follow(step)
        if step.following == self.following and not step.swaps:
            return holdings
        hotkeys = set(addresses(step.following))
        return {pool: holders for pool, holders in holdings.items() if pool[0] in hotkeys}

    def _holdings_after(self, step: Step) -> Holdings:
        """Shares after the block: those touched are read, the rest carried, the sums proved."""
        if step.swaps:
            return read_holdings(self._source, sorted(step.followed), step.after, safe_float=step.safe_float)
        if self._must_enumerate(step):
            return self._enumerate(step.after, step.era)
        pools = {(hotkey, netuid) for hotkey, netuid, _ in step.touched}
        holdings = self.holdings
        if pools:
            holdings = {
                pool: dict(holders) if pool in pools else holders for pool, holders in holdings.items()
            }
        for hotkey, netuid, coldkey in sorted(step.touched):
            held = share(step.after, hotkey, netuid, coldkey)
            holders = holdings.setdefault((hotkey, netuid), {})
            if held.bits:
                holders[coldkey] = held
            else:
                holders.pop(coldkey, None)
        try:
            for pool in self._pools(step.netuids):
                holders = holdings.get(pool, {})
                stored = denominator_as_stored(step.after, pool, safe_float=step.safe_float)
                if pool in pools or self._proved.get(pool) != stored:
                    check_pool(step.facts.number, pool, holders, denominator(step.after, pool))
                step.proved[pool] = stored
        except PositionsDisagree as error:
            # Something moved stake without an event we know; the chain's own list settles it.
            log.warning("chain.positions.enumerated: %s", error)
            step.proved = {}
            return self._enumerate(step.after, step.era)
        if pools:
            return {pool: holders for pool, holders in holdings.items() if holders}
        return holdings

    def _must_enumerate(self, step: Step) -> bool:
        """Whether every position is to be read anew: daily, after migrations, and where events name no positions."""
        return bool(
            step.migrated
            or step.facts.number % ENUMERATE_EVERY == 0
            or step.marks.everything
            or step.marks.netuids
            or step.marks.hotkeys & set(self.hotkeys)
        )

    def _follow(self, step: Step) -> None:
        """Follow our keys through the block's swaps, and those that a swap left without an owner to who takes them up."""
        made, coldkeys = swaps(step.events), coldkey_swaps(step.events)
        before = self._owners_before(step)
        after = self._owners_in(step.after, sorted({*self.hotkeys, *(swap.new for swap in step.swaps)}))
        step.following, lost = after_block(
            self.following, made, coldkeys, before, after, migrated=step.migrated
        )
        if step.swaps and (joined := sorted(set(addresses(step.following)) - set(self.hotkeys))):
            step.joined = read_holdings(self._source, joined, step.before, safe_float=step.safe_float)
        step.lost = {one.hotkey for one in lost} - set(addresses(step.following))
        step.facts.doubts += [
            f"block {step.facts.number}: {one.hotkey}, which "
            f"{f'a swap of {one.held_by} left without an owner' if one.was_left else f'{one.held_by} owned'}, is now "
            f"{one.owner}'s, so it is followed no longer. If that coldkey is yours, what the key earns from here on is "
            "missing"
            for one in lost
            if self._is_held(step.before if one.was_left_before else step.after, one.hotkey)
        ]
        origin = {swap.new: swap.old for swap in step.swaps}
        step.facts.hotkeys = [
            HotkeyFact(
                one.hotkey,
                one.netuid,
                "" if one.abandoned_by else origin.get(one.hotkey, ""),
                one.abandoned_by,
            )
            for one in sorted(step.following - self.following, key=str)
        ] + [
            HotkeyFact(one.hotkey, one.netuid, "", one.abandoned_by, ended=True)
            for one in sorted(self.following - step.following, key=str)
        ]

    def _is_held(self, state: State, hotkey: str) -> bool:
        """Whether more is staked on a key than what a swap floors away of each holder whom it moves."""
        pools = [pool for pool in self.holdings if pool[0] == hotkey]
        values = {pool: keys.by_hotkey_netuid("TotalHotkeyAlpha", *pool) for pool in pools}
        load(self._source, (state, values.values()))
        return any(state.amount(values[pool]) > len(self.holdings[pool]) for pool in pools)
