"""A model chain with the reader on its heels: every block made is read, and held against what truly happened.

Whatever a scenario asserts beside it, after each block every take, net and position must be the model's, and what the
facts say came to and left each pool must be what its value grew by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from chain import keys
from chain.earnings.yields import Proof
from chain.facts import BlockFacts, ConversionFact, StakeEventFact, YieldFact
from chain.pools.holdings import Holdings
from chain.pools.shares import Share
from chain.reading.reader import ChainReader
from chain.runtimes.decoding import Event
from chain.stake.hotkeys import on_subnet
from chain.tests.model import Dividends, ModelChain, TrueYield
from chain.tests.model.fixed import mul_32, take_fraction
from chain.tests.model.stake import subnet_account

ERAS = (235, 258, 293, 320, 345, 370, 393, 401, 415, 425)
ROOT = 0
TAO = 10**9


def eras(first: int = 0, last: int = 999) -> pytest.MarkDecorator:
    """Run a test on a runtime of every era from the first to the last that is meant."""
    return pytest.mark.parametrize("spec", [spec for spec in ERAS if first <= spec <= last])


class Followed:
    """A quiet chain (epochs by hand, no claims by itself) and its reader. The two stand at the same block.

    :param emission: let pools and pendings grow in every block; otherwise reserves change by swaps alone.
    """

    def __init__(
        self,
        spec: int,
        seed: int = 1,
        *,
        emission: bool = False,
        quiet: bool = True,
        hotkeys: int = 2,
        subnets: int = 3,
    ) -> None:
        self.chain = chain = ModelChain(spec, seed, quiet=quiet, hotkeys=hotkeys, subnets=subnets)
        chain.auto_claims = False
        chain.world.nominator_minimum = 0
        if not emission:
            chain.alpha_out = dict.fromkeys(chain.netuids, 0)
        self.hotkeys, self.owners, self.netuids = chain.hotkeys, chain.owners, chain.netuids
        self.hotkey, self.owner = chain.hotkeys[0], chain.owners[0]
        # The first subnet's owner cut goes to our hotkey; the second has nothing to do with us.
        self.netuid = chain.netuids[1]
        self.reader = self.new_reader()
        self.reader.start_from_chain(0)
        self.doubtful = False
        """Takes may be in doubt: their bounds are compared and gaps may open."""
        self.blurred = False
        """What the facts say came to a pool need not be its growth: a gap says so."""
        self.unnamed_incentives = False
        """Our hotkey mines on a runtime that names no incentives (before 315), which may hide a rao of its take."""

    def new_reader(self) -> ChainReader:
        """A reader of this chain that stands nowhere yet."""
        return ChainReader(self.chain.source, self.chain.hotkeys, 42, decoders=self.chain.decoder_for)

    # --- who and how much ---

    def nominators(self, netuid: int | None = None, hotkey: str | None = None) -> list[str]:
        """Holders of a pool now beside the owner of its hotkey, largest first."""
        hotkey, netuid = hotkey or self.hotkey, self.netuid if netuid is None else netuid
        holders = self.chain.world.pools.holders(hotkey, netuid)
        others = [coldkey for coldkey in holders if coldkey != self.chain.world.owner_of(hotkey)]
        return sorted(others, key=lambda coldkey: (-self.stake(coldkey, netuid, hotkey), coldkey))

    def newcomer(self, name: str = "newcomer") -> str:
        """A coldkey that holds nothing yet."""
        return self.chain.address(name)

    def stake(self, coldkey: str, netuid: int | None = None, hotkey: str | None = None) -> int:
        """Stake now, in rao."""
        where = self.netuid if netuid is None else netuid
        return self.chain.stake_of(hotkey or self.hotkey, coldkey, where)

    def raw(self, key: str, block: int | None = None) -> int:
        """A number in raw storage after a block (the newest), 0 where nothing is stored."""
        value = self.chain.world.storage.at(key, self.chain.number if block is None else block)
        return 0 if value is None else int.from_bytes(bytes.fromhex(value[2:]), "little")

    def pool_value(
        self, netuid: int | None = None, hotkey: str | None = None, block: int | None = None
    ) -> int:
        """Raw value of a pool after a block."""
        where = self.netuid if netuid is None else netuid
        return self.raw(keys.by_hotkey_netuid("TotalHotkeyAlpha", hotkey or self.hotkey, where), block)

    def grown(self, netuid: int | None = None, hotkey: str | None = None) -> int:
        """What the newest block added to a pool's raw value."""
        number = self.chain.number
        return self.pool_value(netuid, hotkey, number) - self.pool_value(netuid, hotkey, number - 1)

    def denominators(
        self, block: int | None = None, netuid: int | None = None
    ) -> tuple[str | None, str | None]:
        """Raw denominators of a pool, the old format's and the new one's."""
        number = self.chain.number if block is None else block
        where = self.netuid if netuid is None else netuid
        old, new = (
            self.chain.world.storage.at(keys.by_hotkey_netuid(item, self.hotkey, where), number)
            for item in ("TotalHotkeyShares", "TotalHotkeySharesV2")
        )
        return old, new

    def events(self, block: int | None = None) -> list[Event]:
        """Every event of a block."""
        number = self.chain.number if block is None else block
        spec = self.chain.source.blocks[number - 1].spec
        metadata = self.chain.source.answer("state_getMetadata", [self.chain.hash_of(number - 1)])
        data = self.chain.world.storage.at(keys.SYSTEM_EVENTS, number)
        assert data is not None
        return self.chain.decoder_for(spec, metadata, 42).events(data)

    def tao_received(self, coldkey: str, netuid: int | None = None) -> int | None:
        """TAO that a subnet paid a coldkey in the newest block, without asking its stake events.

        Really transferred from 411; before 385 what the reserve fell by, if nobody else traded and nothing was emitted.
        None between, where a second sale for the block's author hides it.
        """
        where = self.netuid if netuid is None else netuid
        spec, number = self.chain.world.rules.spec, self.chain.number
        if spec >= 411:
            payer = subnet_account(where)
            paid = [event.values for event in self.events() if event.is_a("Balances", "Transfer")]
            amounts: list[int] = [
                one["amount"] for one in paid if (one["from"], one["to"]) == (payer, coldkey)
            ]
            return sum(amounts)
        if spec >= 385:
            return None
        reserve = keys.by_netuid("SubnetTAO", where)
        return self.raw(reserve, number - 1) - self.raw(reserve, number)

    # --- going on ---

    def epoch(
        self,
        netuid: int | None = None,
        /,
        *,
        alpha: dict[str, int] | None = None,
        root: dict[str, int] | None = None,
        incentives: dict[str, int] | None = None,
    ) -> None:
        """Let an epoch run in the next block that found these dividends (whole rao) for these hotkeys."""
        found = Dividends.of(alpha, root, incentives)
        self.chain.epoch(self.netuid if netuid is None else netuid, found)

    def block(self) -> BlockFacts:
        """Make the next block, read it, and hold everything against the model."""
        number = self.chain.produce()
        assert self.reader.parent_hash == self.chain.hash_of(number - 1)
        following = self.reader.following
        resumed = self._resumed()
        facts = self.reader.read_block(number)
        # A run that ends after any block and one that goes on from the facts stored say the same.
        assert resumed.read_block(number) == facts
        assert (resumed.holdings, resumed.following) == (self.reader.holdings, self.reader.following)
        self._check_takes(
            facts, {one for n in (ROOT, *self.netuids) for one in _pools(on_subnet(following, n), n)}
        )
        self.check_positions(number)
        if not self.blurred:
            self._check_pools(facts)
        assert all(leg.cause != "UNEXPLAINED" for leg in facts.stake_events)
        assert not facts.doubts or self.doubtful
        return facts

    def _resumed(self) -> ChainReader:
        """A new reader that goes on from what was stored up to the last block."""
        reader = ChainReader(self.chain.source, self.reader.following, 42, decoders=self.chain.decoder_for)
        number = self.chain.number - 1
        executed_by = self.chain.source.blocks[number - 1].spec if number else None
        reader.start_from_facts(self.reader.parent_hash, self.reader.holdings, {}, executed_by)
        return reader

    def truth(self, number: int | None = None) -> list[TrueYield]:
        """What a block's epochs truly paid our hotkeys; what paid nothing is left out."""
        block = self.chain.number if number is None else number
        return [one for one in self.chain.truth if one.block == block and (one.take_rao or one.net_rao)]

    def _check_takes(self, facts: BlockFacts, ours: set[tuple[str, int]]) -> None:
        truth = {
            (one.netuid, one.hotkey, one.side): one
            for one in self.truth(facts.number)
            if (one.hotkey, one.netuid) in ours
        }
        told = {(fact.netuid, fact.hotkey, fact.side): fact for fact in facts.yields}
        assert told.keys() == truth.keys()
        assert len(told) == len(facts.yields)
        for key, fact in told.items():
            true = truth[key]
            assert (fact.asset, fact.dividend_rao, fact.owner, fact.take_u16) == (
                true.asset,
                true.net_rao,
                true.owner,
                true.take_u16,
            )
            assert fact.take_low_rao <= fact.take_rao <= fact.take_high_rao <= fact.take_low_rao + 1
            assert fact.take_low_rao <= true.take_rao <= fact.take_high_rao
            assert fact.proof != Proof.DOUBT or self.doubtful
            if fact.proof != Proof.DOUBT:
                hidden = true.take_rao - fact.take_rao
                assert hidden in ((0, 1) if self.unnamed_incentives else (0,))
                assert fact.other_rao - hidden == (self._credited(fact) if fact.side == "ALPHA" else 0)
            assert fact.pool_netuid == (ROOT if fact.side == "ROOT" else fact.netuid)
            self._check_pool_before(fact, facts.number)

    def _credited(self, fact: YieldFact) -> int:
        """What else the newest epoch staked on the pool of a yield."""
        number = self.chain.number
        place = (number, fact.netuid, fact.hotkey)
        return sum(
            one.alpha_rao for one in self.chain.credits if (one.block, one.netuid, one.hotkey) == place
        ) + sum(
            one.net_rao
            for one in self.chain.truth
            if one.net_to_owner and (one.block, one.netuid, one.hotkey) == place
        )

    def _check_pool_before(self, fact: YieldFact, number: int) -> None:
        assert fact.pool_before_rao == self.pool_value(fact.pool_netuid, fact.hotkey, number - 1)
        stored = [
            self.chain.world.storage.at(
                keys.by_hotkey_netuid(item, fact.hotkey, fact.pool_netuid), number - 1
            )
            for item in ("TotalHotkeyShares", "TotalHotkeySharesV2")
        ]
        value = next((one for one in stored if one is not None), "0x00")
        mantissa = int.from_bytes(bytes.fromhex(value[2:])[:16], "little")
        assert fact.share_total.bits == mantissa

    def check_positions(self, number: int, reader: ChainReader | None = None) -> None:
        """Hold every position that a reader knows against raw storage after a block, bit by bit."""
        reader = reader or self.reader
        assert reader.holdings == self.holdings(number, reader.hotkeys)

    def holdings(self, number: int, hotkeys: Sequence[str]) -> Holdings:
        """Every share of some hotkeys in raw storage after a block."""
        found = {
            pool: {
                coldkey: Share(share.bits, share.exponent) for coldkey, share in holders.items() if share.bits
            }
            for pool, holders in self.chain.shares(number).items()
            if pool[0] in hotkeys
        }
        return {pool: holders for pool, holders in found.items() if holders}

    def _check_pools(self, facts: BlockFacts) -> None:
        """What came to each pool less what left it is its growth; what no event names is known to two rao."""
        told: Counter[tuple[str, int]] = Counter()
        blurred: Counter[tuple[str, int]] = Counter()
        for leg in facts.stake_events:
            told[leg.hotkey, leg.netuid] += leg.alpha_rao if leg.added else -leg.alpha_rao
            blurred[leg.hotkey, leg.netuid] += 2 * leg.derived
        for fact in facts.yields:
            in_root = fact.asset == "TAO"
            stays = fact.dividend_rao if in_root or fact.side == "ALPHA" else 0
            told[fact.hotkey, ROOT if in_root else fact.netuid] += fact.take_rao + fact.other_rao + stays
        paid = {(fact.netuid, fact.hotkey) for fact in facts.yields if fact.side == "ALPHA"}
        for credit in self.chain.credits:
            if credit.block == facts.number and (credit.netuid, credit.hotkey) not in paid:
                told[credit.hotkey, credit.netuid] += credit.alpha_rao
        for hotkey in self.reader.hotkeys:
            for netuid in (ROOT, *self.netuids):
                rest = self.grown(netuid, hotkey) - told[hotkey, netuid]
                assert abs(rest) <= blurred[hotkey, netuid], (hotkey, netuid, rest)


def _pools(hotkeys: Sequence[str], netuid: int) -> list[tuple[str, int]]:
    return [(hotkey, netuid) for hotkey in hotkeys]


def told(facts: BlockFacts, *, conversions: bool = False) -> list[Any]:
    """(kind, cause, came, alpha) of a block's stake events, or (alpha, TAO, into root) of its conversions."""
    if conversions:
        return [(sale.alpha_rao, sale.tao_rao, sale.into_root) for sale in facts.conversions]
    return [(leg.kind, leg.cause, leg.added, leg.alpha_rao) for leg in facts.stake_events]


def of(facts: BlockFacts, coldkey: str, netuid: int | None = None) -> list[StakeEventFact]:
    """Stake events of one coldkey (on one subnet)."""
    return [leg for leg in facts.stake_events if leg.coldkey == coldkey and netuid in (None, leg.netuid)]


def only(facts: BlockFacts, side: str, netuid: int | None = None) -> YieldFact:
    """The one yield of a side (and subnet)."""
    (found,) = [fact for fact in facts.yields if fact.side == side and netuid in (None, fact.netuid)]
    return found


def sides(facts: BlockFacts) -> list[tuple[int, str]]:
    """Subnet and side of every yield of a block, in order."""
    return [(fact.netuid, fact.side) for fact in facts.yields]


def take_of(dividend_rao: int, take_u16: int) -> int:
    """The take of a whole dividend, as the runtime computes it."""
    return mul_32(take_fraction(take_u16), dividend_rao << 32) >> 32


def sale_of(facts: BlockFacts) -> ConversionFact:
    """The one conversion of a block."""
    (sale,) = facts.conversions
    return sale


def someone(follow: Followed, who: str) -> str:
    """The owner of our hotkey, or its largest nominator."""
    return follow.owner if who == "owner" else follow.nominators()[0]


owner_and_delegator = pytest.mark.parametrize("who", ["owner", "delegator"])
