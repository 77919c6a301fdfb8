"""Reads finalized blocks from a source and turns each into facts.

The reader keeps the share of every holder of our hotkeys in memory, changes it only where the block says it changed,
and compares the sum with the chain's own denominators after every block. All reads are pinned to block hashes. Which
runtime's rules hold is decided by the runtime in the parent's state (`chain.eras`); one whose rules nobody proved is
refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chain import epochs, keys
from chain.admission import admitted_era
from chain.consistency import (
    OWNER_EVENTS,
    Seen,
    check_events,
    check_owners,
    check_subnets,
    check_time,
    unmoved,
)
from chain.epochs import EpochBlock
from chain.eras import Era, RootDividends, era_of, pricing_of
from chain.event_values import named
from chain.facts import BlockFacts, HotkeyFact, Position, ShareFact, StakeEventFact
from chain.holdings import (
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
from chain.hotkeys import Following, Swap, addresses, after_swaps, on_subnet, swaps
from chain.keys import ROOT, SUBTENSOR
from chain.movements import (
    hidden_changes,
    hidden_positions,
    of_coldkeys,
    our_legs,
    pool_legs,
    refunds,
    share_changes,
    signed,
    silent_positions,
    value_keys,
)
from chain.pool_prices import price_keys, read_price
from chain.refunds import limited_sales, without_refunds
from chain.runtime import Decoder, Event, Extrinsic, UnknownRuntime, decoder_for
from chain.source import MissingRead, Source, SourceError, call_one
from chain.stake_causes import Cause
from chain.stake_changes import Touched, silent_changes, telling_extrinsics, touched
from chain.stake_events import conversions, stake_events, unaccounted
from chain.state import BrokenChain, PositionsDisagree, State, UnsupportedEvent, load, understanding
from chain.tags import remarks, tags
from chain.window import Opened, Window

log = logging.getLogger(__name__)

# Blocks of twelve seconds in a day: how often every position is read anew.
ENUMERATE_EVERY = 7200
WINDOW_BLOCKS = 32

Decoders = Callable[[int, str, int], Decoder]
# A denominator as stored, by the formats of its era.
Proved = tuple[str | None, ...]


@dataclass
class _Step:
    """One block while it is being read."""

    facts: BlockFacts
    era: Era
    decoder: Decoder
    before: State
    after: State
    events: list[Event]
    told: list[StakeEventFact]
    netuids: list[int]
    last_steps: dict[int, int]
    epochs: list[int]
    swaps: list[Swap]
    following: frozenset[Following]
    migrated: bool
    marks: Touched
    extrinsics: dict[int, Extrinsic] = field(default_factory=dict)
    legs: list[StakeEventFact] = field(default_factory=list)
    touched: set[Position] = field(default_factory=set)
    credited: set[Position] = field(default_factory=set)
    proved: dict[Pool, Proved] = field(default_factory=dict)

    @property
    def spec_version(self) -> int:
        """By whose rules the block is read."""
        return self.era.rules_of(self.facts.spec_version)

    @property
    def safe_float(self) -> bool:
        return self.era.safe_float_shares

    @property
    def followed(self) -> set[str]:
        """Our keys, those that a swap of this block brings included."""
        return {*addresses(self.following), *(swap.new for swap in self.swaps)}


class ChainReader:
    """Follows the chain block by block for some hotkeys, starting from a state that was read or stored.

    `until` is the last block that will be asked for; up to there the reader reads ahead.
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
        self._seen: Seen | None = None
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
        self._timestamp_ms, self._seen = 0, None
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
        self._timestamp_ms, self._seen = timestamp_ms, None
        self._proved = {}
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
                    step.facts.yields = epochs.yields(epoch_block)
                    step.facts.doubts += epochs.doubts(epoch_block, step.facts.yields)
                self._settle_refunds(step, epoch_block)
                holdings = self._step_holdings(step)
                step.facts.shares = differences(self.holdings, holdings)
                self._check(step)
                self._add_stake_events(step)
                self._add_prices(step)
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
        self._seen = Seen(step.last_steps, self._owners)
        return step.facts

    def _add_provenance(self, step: _Step) -> None:
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
            *(keys.by_hotkey("Owner", hotkey) for hotkey in self.hotkeys),
            *denominator_keys(self._pools(netuids), safe_float=bool(era and era.safe_float_shares)),
        ]

    def _pools(self, netuids: Iterable[int]) -> list[Pool]:
        """Every pool of our keys, also those that nobody has a share of yet: the first one shows there."""
        return sorted({*self.holdings, *((hotkey, netuid) for hotkey in self.hotkeys for netuid in netuids)})

    def _open(self, number: int) -> _Step:
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
        events_hex = opened.state.raw(keys.SYSTEM_EVENTS)
        if events_hex is None:
            raise MissingRead(f"block {number}: its events are not there")
        events = decoder.events(events_hex)
        check_events(number, events, opened.state.amount(keys.SYSTEM_EVENT_COUNT))
        rules = era.rules_of(opened.spec_version)
        told = stake_events(events, rules)
        timestamp_ms = opened.state.amount(keys.TIMESTAMP_NOW)
        check_time(number, header, timestamp_ms, self._timestamp_ms)
        return _Step(
            facts=BlockFacts(number, opened.hash, self.parent_hash, timestamp_ms, opened.spec_version),
            era=era,
            decoder=decoder,
            before=State(number - 1, self.parent_hash),
            after=opened.state,
            events=events,
            told=told,
            netuids=opened.netuids,
            last_steps={
                netuid: opened.state.amount(keys.by_netuid("LastMechansimStepBlock", netuid))
                for netuid in opened.netuids
                if netuid != ROOT
            },
            epochs=_epochs(opened),
            swaps=[swap for swap in swaps(events) if swap.old in self.hotkeys],
            following=self.following,
            migrated=self._migrations_due or self._spec_version not in (None, opened.spec_version),
            marks=touched(events, {}, rules, told),
        )

    def _check(self, step: _Step) -> None:
        """Hold what the node said of the block against itself and the block before."""
        number = step.facts.number
        if not step.migrated:
            check_subnets(number, self._seen, step.last_steps, step.events)
            check_owners(number, self._seen, self._owners_after(step), self.holdings, step.events)
        changed = {(share.hotkey, share.netuid, share.coldkey) for share in step.facts.shares}
        if not step.swaps and not step.migrated:
            step.facts.doubts += [
                f"block {number}: {doubt}" for doubt in unmoved(step.legs, changed, step.credited)
            ]

    def _refuse_lost_epochs(self, step: _Step) -> None:
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

    def _read_extrinsics(self, step: _Step) -> None:
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
        step.touched |= of_coldkeys(step.marks, self.holdings, step.netuids)

    def _read_details(self, step: _Step) -> EpochBlock:
        """Read what epochs, swaps and stake events need of the states before and after."""
        renamed = {
            (hotkey, netuid): swap.new
            for swap in step.swaps
            for hotkey, netuid in {(swap.old, n) for n in (*step.epochs, ROOT)}
            if swap.netuid in (None, netuid)
        }
        told = {(leg.hotkey, leg.netuid, leg.coldkey) for leg in step.legs}
        ours = [(hotkey, netuid) for netuid in step.epochs for hotkey in on_subnet(self.following, netuid)]
        block = EpochBlock(
            number=step.facts.number,
            era=step.era,
            spec_version=step.spec_version,
            decoder=step.decoder,
            netuids=step.epochs,
            pairs=ours,
            others=[
                (hotkey, netuid)
                for netuid in step.epochs
                for hotkey in self.hotkeys
                if (hotkey, netuid) not in ours
            ],
            events=step.events,
            legs=step.legs,
            holdings=self.holdings,
            before=step.before,
            after=step.after,
            renamed=renamed,
            extrinsics=step.extrinsics,
            unsaid=frozenset(step.touched - told),
        )
        wanted_before = epochs.keys_before(block) if step.epochs else []
        wanted_after = [
            *(epochs.keys_after(block) if step.epochs else []),
            *(
                key
                for netuid in {leg.netuid for leg in step.legs} | set(step.epochs)
                for key in price_keys(pricing_of(step.spec_version), netuid)
                if netuid != ROOT
            ),
            *(keys.by_hotkey("Owner", swap.new) for swap in step.swaps),
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
            for hotkey, netuid in epochs.pools_of(block)
            if hotkey in self._owners
            and (netuid != ROOT or block.era.root_dividends is RootDividends.TAO_STAKE)
        }

    def _position_keys(self, step: _Step, positions: Iterable[Position]) -> list[str]:
        """Keys of the positions and of their pools' denominators."""
        positions = sorted(positions)
        pools = sorted({(hotkey, netuid) for hotkey, netuid, _ in positions})
        return [
            *(key for at in positions for key in share_keys(*at, safe_float=step.safe_float)),
            *denominator_keys(pools, safe_float=step.safe_float),
        ]

    # --- stake events, conversions, prices, remarks ---------------------------------------------------

    def _owners_after(self, step: _Step) -> dict[str, str]:
        return self._owners_in(step.after, addresses(step.following))

    def _owners_in(self, state: State, hotkeys: Sequence[str]) -> dict[str, str]:
        load(self._source, (state, [keys.by_hotkey("Owner", hotkey) for hotkey in hotkeys]))
        owners = {hotkey: state.account(keys.by_hotkey("Owner", hotkey)) for hotkey in hotkeys}
        return {hotkey: owner for hotkey, owner in owners.items() if owner is not None}

    def _owners_before(self, step: _Step) -> dict[str, str]:
        """Owners before the block, read only where the reader does not know them and a swap may have changed them."""
        if self._owners or not any(event.is_a(SUBTENSOR, *OWNER_EVENTS) for event in step.events):
            return self._owners
        return self._owners_in(step.before, self.hotkeys)

    def _add_stake_events(self, step: _Step) -> None:
        silent = self._silent_legs(step)
        legs = sorted([*step.legs, *silent], key=lambda leg: leg.event_index)
        step.facts.stake_events = signed(legs, step.extrinsics)
        earning = {(fact.hotkey, fact.pool_netuid) for fact in step.facts.yields}
        migrated = {(leg.hotkey, leg.netuid) for leg in silent if leg.cause == Cause.MIGRATION}
        step.facts.doubts += [
            f"block {step.facts.number}: a runtime upgrade changed positions on {hotkey} netuid {netuid} before the epoch "
            "of the same block, so who held what when it paid cannot be told"
            for hotkey, netuid in sorted(earning & migrated)
        ]
        # A node that hides an epoch or an event shows itself here: shares changed, and nothing it said explains it.
        step.facts.doubts += [
            f"block {step.facts.number}: the stake of {leg.coldkey} on {leg.hotkey} netuid {leg.netuid} "
            f"{'grew' if leg.added else 'shrank'} by {leg.alpha_rao} rao, and no event or epoch of the block says why"
            for leg in silent
            if leg.cause == Cause.UNEXPLAINED
        ]
        if not legs:
            return
        # A coldkey swap in the block changes who owns a key; before it the old one may have sold.
        after = self._owners_after(step)
        for owners in ({**after, **self._owners_before(step)}, after):
            arguments = (step.facts.stake_events, owners, step.events, step.spec_version)
            for sale in conversions(*arguments):
                if sale not in step.facts.conversions:
                    step.facts.conversions.append(sale)
            step.facts.doubts += [
                doubt.reason for doubt in unaccounted(*arguments) if doubt.reason not in step.facts.doubts
            ]
        step.facts.conversions.sort(key=lambda sale: (sale.event_index, sale.netuid, sale.hotkey))
        step.facts.remarks = remarks(step.events, step.extrinsics, step.legs)
        step.facts.tags = tags(step.events, step.extrinsics, step.legs, step.facts.remarks)

    def _settle_refunds(self, step: _Step, block: EpochBlock) -> None:
        """Take what limits gave back off the sales that include it."""
        limited = self._limited_sales(step)
        if not limited:
            return
        wanted = value_keys(limited, safe_float=step.safe_float)
        load(self._source, (step.before, wanted), (step.after, wanted))
        unsaid = {(hotkey, netuid) for hotkey, netuid, _ in block.unsaid}
        earning = {(fact.hotkey, fact.netuid) for fact in step.facts.yields if fact.side == "ALPHA"}
        found = refunds(limited, step.legs, step.facts.yields, (step.before, step.after))
        # Where an epoch may have credited what no yield tells, the refund cannot be told from it.
        told = [
            pool
            for pool, sales in limited.items()
            if pool not in unsaid
            and (pool in earning or pool not in block.pairs)
            and (len(sales) == 1 or not found[pool])
            and (not found[pool] or pool in earning or epochs.confirms_refund(block, *pool))
        ]
        owners = {**self._owners_after(step), **self._owners_before(step)}
        step.facts.doubts += [
            f"block {step.facts.number}: a limited sale on {hotkey} netuid {netuid} shares the block with "
            + ("other limited sales there" if len(sales) > 1 else "changes that no event names")
            + ", so how much its limit gave back cannot be told"
            for (hotkey, netuid), sales in limited.items()
            if (hotkey, netuid) not in told and any(sale.coldkey == owners.get(hotkey) for sale in sales)
        ]
        refunded = {pool: found[pool] for pool in told}
        step.legs = without_refunds(step.legs, refunded, step.extrinsics, step.spec_version)

    def _limited_sales(self, step: _Step) -> dict[Pool, list[StakeEventFact]]:
        """Sales by pool whose limit may have given alpha back."""
        found = {}
        for pool in sorted({(leg.hotkey, leg.netuid) for leg in step.legs}):
            legs = pool_legs(step.legs, pool)
            if sales := limited_sales(legs, step.extrinsics, step.spec_version):
                found[pool] = [legs[position] for position in sales]
        return found

    def _silent_legs(self, step: _Step) -> list[StakeEventFact]:
        """Stake that came or went without a stake event, valued and named."""
        silent = silent_positions(step.facts.shares, step.legs, step.credited, step.marks)
        hidden = hidden_positions(step.credited, step.legs, step.marks)
        limited = self._limited_sales(step)
        hidden = {} if step.swaps else {pool: at for pool, at in hidden.items() if pool not in limited}
        pools = {(change.hotkey, change.netuid) for change in silent} | hidden.keys()
        if not pools:
            return []
        wanted = value_keys(pools, safe_float=step.safe_float)
        load(self._source, (step.before, wanted), (step.after, wanted))
        states = (step.before, step.after)
        changes = share_changes(
            silent,
            self.holdings,
            step.legs,
            states,
            safe_float=step.safe_float,
            rewritten=step.migrated and not step.epochs,
        )
        changes += hidden_changes(hidden, changes, step.legs, step.facts.yields, states)
        return silent_changes(
            step.events, step.extrinsics, changes, step.spec_version, migrated=step.migrated
        )

    def _add_prices(self, step: _Step) -> None:
        pricing = pricing_of(step.spec_version)
        netuids = {fact.netuid for fact in step.facts.yields} | {
            fact.netuid for fact in step.facts.conversions
        }
        load(self._source, (step.after, [key for netuid in netuids for key in price_keys(pricing, netuid)]))
        step.facts.prices = [read_price(step.after, pricing, netuid) for netuid in sorted(netuids)]

    # --- positions ------------------------------------------------------------------------------------

    def _step_holdings(self, step: _Step) -> Holdings:
        """Shares after the block: those touched are read, the rest carried, the sums proved."""
        if step.swaps:
            return self._swap_hotkeys(step)
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

    def _must_enumerate(self, step: _Step) -> bool:
        """Whether every position is to be read anew: daily, after migrations, and where events name no positions."""
        return bool(
            step.migrated
            or step.facts.number % ENUMERATE_EVERY == 0
            or step.marks.everything
            or step.marks.netuids
            or step.marks.hotkeys & set(self.hotkeys)
        )

    def _swap_hotkeys(self, step: _Step) -> Holdings:
        """Follow our keys through the block's swaps and read all their holders."""
        step.following = after_swaps(
            self.following,
            step.swaps,
            lambda hotkey: step.after.account(keys.by_hotkey("Owner", hotkey)) is not None,
        )
        origin = {swap.new: swap.old for swap in step.swaps}
        step.facts.hotkeys = [
            HotkeyFact(one.hotkey, one.netuid, origin.get(one.hotkey, ""))
            for one in sorted(step.following - self.following, key=str)
        ] + [
            HotkeyFact(one.hotkey, one.netuid, "", ended=True)
            for one in sorted(self.following - step.following, key=str)
        ]
        return read_holdings(
            self._source,
            addresses(step.following),
            step.after,
            safe_float=step.safe_float,
        )


def _epochs(opened: Opened) -> list[int]:
    """Subnets whose epoch ran in the block, in the order in which the chain visits them: that of their storage keys."""
    ran = [
        netuid
        for netuid in opened.netuids
        if netuid != ROOT
        and opened.state.amount(keys.by_netuid("LastMechansimStepBlock", netuid)) == opened.number
    ]
    return sorted(ran, key=lambda netuid: netuid.to_bytes(2, "little"))
