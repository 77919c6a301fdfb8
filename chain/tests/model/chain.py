"""The model chain: blocks made of queued calls and epochs, hand-driven or at random, with the truth about every yield."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from chain.tests.model import calls, claims, codec, coinbase, stake
from chain.tests.model.calls import Call
from chain.tests.model.coinbase import Dividends
from chain.tests.model.migrations import crossing
from chain.tests.model.pools import RawShare
from chain.tests.model.source import Block, ModelSource
from chain.tests.model.world import ROOT, Lease, TrueCredit, TrueYield, World, address_of

BLOCK_MS = 12_000
GENESIS_MS = 1_755_000_000_000
TAO = 1_000_000_000
FEE_TAO = 102_709


@dataclass(frozen=True)
class AlphaFee:
    """Pay the fee of an extrinsic with alpha of (hotkey, netuid)."""

    hotkey: str
    netuid: int
    alpha: int


@dataclass(frozen=True)
class _Extrinsic:
    signer: str
    call: Call
    alpha_fee: AlphaFee | None


class ModelChain:
    """A chain of one runtime (until `upgrade`), with some hotkeys of ours, strangers, subnets and coldkeys.

    Blocks exist from 0 (genesis, where everything is set up). Hand-driven methods queue work for the next block;
    `produce()` makes it. `step()` queues random work first. Equal seeds and equal work give equal chains.
    """

    def __init__(
        self,
        spec: int,
        seed: int,
        *,
        hotkeys: int = 2,
        subnets: int = 3,
        coldkeys: int = 8,
        quiet: bool = False,
        without: Collection[str] = (),
    ) -> None:
        """Set up genesis.

        :param quiet: no epoch is ever due (tempo 0); only those asked for by hand run.
        :param without: kinds of random work (keys of `play.KINDS`) that `step` leaves out.
        """
        self.rng = random.Random(f"{seed}/{spec}")
        self.seed = seed
        self.world = World(spec)
        self.source = ModelSource(self.world.storage)
        self.decoder_for = codec.decoder_for
        self.hotkeys = [address_of(seed, f"hotkey {n}") for n in range(hotkeys)]
        self.owners = [address_of(seed, f"owner {n}") for n in range(hotkeys)]
        self.coldkeys = [address_of(seed, f"coldkey {n}") for n in range(coldkeys)]
        self.stranger_hotkeys = [address_of(seed, f"stranger {n}") for n in range(2)]
        self.stranger_owner = address_of(seed, "stranger owner")
        self.sudo_key = address_of(seed, "sudo")
        self.miners = [address_of(seed, f"miner {n}") for n in range(2)]
        # Identity-hashed keys order 258 (0x0201, little endian) between 2 and 3: no list sorted by number is right.
        self.netuids = [1, 2, 258, *range(3, 100)][:subnets]
        self.world.tracked = dict.fromkeys(self.hotkeys)
        self.quiet = quiet
        self.without = frozenset(without)
        self._initial: list[Callable[[World], None]] = []
        self._extrinsics: list[_Extrinsic] = []
        self._migrations: list[Callable[[World], None]] = []
        self._silent: list[Callable[[World], None]] = []
        self._epochs: dict[int, Dividends | None] = {}
        self._next_spec: int | None = None
        self.alpha_out = dict.fromkeys(self.netuids, coinbase.ALPHA_OUT)
        self.root_sells = True
        self.auto_claims = True
        self._genesis()

    # --- what tests look at ---------------------------------------------------------------------------

    @property
    def spec(self) -> int:
        """The runtime that executes the next block."""
        return self.source.blocks[-1].spec

    @property
    def number(self) -> int:
        """The newest block."""
        return self.world.number

    @property
    def truth(self) -> list[TrueYield]:
        """Every yield of our hotkeys, in order."""
        return self.world.truth

    @property
    def credits(self) -> list[TrueCredit]:
        """Owner cuts and incentives staked on our hotkeys."""
        return self.world.credits

    def due_next(self, netuid: int) -> bool:
        """Say whether the epoch of a subnet is due in the next block."""
        return netuid in self._epochs or coinbase.due(self.world, netuid, self.number + 1)

    def hash_of(self, number: int) -> str:
        """Hash of a block."""
        return self.source.blocks[number].hash

    def shares(self, block: int) -> dict[tuple[str, int], dict[str, RawShare]]:
        """Every share in pools of our hotkeys after a block, from raw storage."""
        found: dict[tuple[str, int], dict[str, RawShare]] = {}
        for table, old in ((self.world.pools.alpha_v2, False), (self.world.pools.alpha_v1, True)):
            for (hotkey, coldkey, netuid), key in table.known_keys():
                raw = self.world.storage.at(key, block) if hotkey in self.world.tracked else None
                if raw is not None:
                    data = bytes.fromhex(raw[2:])
                    exponent = None if old else int.from_bytes(data[16:], "little", signed=True)
                    share = RawShare(int.from_bytes(data[:16], "little"), exponent)
                    found.setdefault((hotkey, netuid), {})[coldkey] = share
        return found

    def stake_of(self, hotkey: str, coldkey: str, netuid: int) -> int:
        """Stake now, in rao."""
        return self.world.pools.stake(hotkey, coldkey, netuid)

    # --- genesis --------------------------------------------------------------------------------------

    def _genesis(self) -> None:
        world, rng, spec = self.world, self.rng, self.world.rules.spec
        world.nominator_minimum = rng.choice([0, 0, 100_000_000])
        world.tao_weight.put(3_320_413_933_267_719_290)
        world.networks.put(ROOT, 1)
        world.subnet_tao.put(ROOT, 10**15)
        for hotkey, owner in self._known_hotkeys():
            world.owner.put(hotkey, owner)
        for position, netuid in enumerate(self.netuids):
            self._add_network(netuid, self.coldkeys[0] if position else self.owners[0])
            for uid, hotkey in enumerate([*self.hotkeys, *self.stranger_hotkeys, *self.miners]):
                world.uids.put(netuid, hotkey, uid)
                world.uid_keys.put(netuid, uid, hotkey)
        if self.netuids:
            world.subnet_owner_hotkey.put(self.netuids[0], self.hotkeys[0])
        takes = [11_796, None, 5_898, 0]
        for hotkey, take in zip(self.hotkeys, takes * len(self.hotkeys), strict=False):
            if take is not None:
                world.delegates.put(hotkey, take)
        # Shares older than SafeFloat, as a chain that lived through 396 has them: they move over when written.
        world.set_spec(min(spec, 396))
        for hotkey, owner in self._known_hotkeys():
            for netuid in (ROOT, *self.netuids):
                holders = [owner, *rng.sample(self.coldkeys, min(4, len(self.coldkeys)))]
                for coldkey in holders:
                    amount = rng.randrange(10 * TAO, 10_000 * TAO)
                    world.increase(hotkey, coldkey, netuid, amount)
                    world.note_staking_hotkey(coldkey, hotkey)
                    if netuid == ROOT:
                        stake.note_root_coldkey(world, coldkey)
        world.set_spec(spec)
        self._close(codec.encode([]), ())

    def _known_hotkeys(self) -> list[tuple[str, str]]:
        strangers = [(hotkey, self.stranger_owner) for hotkey in (*self.stranger_hotkeys, *self.miners)]
        return [*zip(self.hotkeys, self.owners, strict=True), *strangers]

    def _add_network(self, netuid: int, owner: str) -> None:
        world = self.world
        world.networks.put(netuid, 1)
        world.registered_at.put(netuid, world.number)
        tempo = 1 + self.rng.randrange(4)
        world.tempo.put(netuid, 0 if self.quiet else tempo)
        world.subnet_owner.put(netuid, owner)
        world.subnet_owner_hotkey.put(netuid, self.stranger_hotkeys[0])
        if world.rules.first_emission:
            world.first_emission.put(netuid, world.number)
        world.inject(
            netuid, self.rng.randrange(1_000, 50_000) * TAO, self.rng.randrange(10_000, 900_000) * TAO
        )
        world.alpha_out.put(netuid, 1_000_000 * TAO)
        if world.rules.balancer and self.rng.random() < 0.5:
            world.balancer.put(netuid, self.rng.randrange(3 * 10**17, 7 * 10**17))
        world.moving_price.put(netuid, self.rng.randrange(1, 1 << 33))

    # --- making blocks --------------------------------------------------------------------------------

    def produce(self) -> int:
        """Make the next block out of what is queued, and the epochs that are due. Gives its number."""
        world = self.world
        world.number += 1
        world.events, world.phase = [], None
        migrations, self._migrations = self._migrations, []
        if self._spec_changed():
            before = world.rules.spec
            world.set_spec(self.spec)
            crossing(world, before, self.spec)
            for migrate in migrations:
                migrate(world)
        else:
            self._migrations = migrations
        self._initialize()
        extrinsics = self._apply_extrinsics()
        for change in self._drain("_silent"):
            change(world)
        self._close(codec.encode(world.events), tuple(extrinsics))
        return world.number

    def _spec_changed(self) -> bool:
        blocks = self.source.blocks
        return len(blocks) > 1 and blocks[-1].spec != blocks[-2].spec

    def _drain(self, name: str) -> list[Any]:
        queued: list[Any] = getattr(self, name)
        setattr(self, name, [])
        return queued

    def _initialize(self) -> None:
        world = self.world
        for netuid in world.netuids():
            if coinbase.emits(world, netuid):
                coinbase.accrue(
                    world, netuid, self.alpha_out.get(netuid, coinbase.ALPHA_OUT), self.root_sells
                )
        epochs, self._epochs = self._epochs, {}
        for netuid in coinbase.drain(world, set(epochs)):
            coinbase.distribute(world, netuid, epochs.get(netuid) or draw_dividends(self, netuid))
        if world.rules.root_claims and self.auto_claims:
            claims.auto_claim(world, bytes.fromhex(self.source.blocks[-1].hash[2:]))
        for work in self._drain("_initial"):
            work(world)

    def _apply_extrinsics(self) -> list[str]:
        now = GENESIS_MS + self.world.number * BLOCK_MS
        self.world.now.put(now)
        inherent = calls.call("Timestamp", "set", lambda *_: None, now=now)
        written = []
        for index, extrinsic in enumerate([_Extrinsic("", inherent, None), *self._drain("_extrinsics")]):
            self.world.phase = index
            self._apply(extrinsic)
            body = (extrinsic.signer, extrinsic.call.tree, (self.world.number, index))
            written.append("0x" + codec.encode(body).hex())
        self.world.phase = None
        return written

    def _apply(self, extrinsic: _Extrinsic) -> None:
        world, fee = self.world, extrinsic.alpha_fee
        tao = 0
        if fee is not None:
            tao = stake.pay_fee_in_alpha(world, extrinsic.signer, fee.hotkey, fee.netuid, fee.alpha)
        elif extrinsic.signer:
            world.deposit("Withdraw", {"who": extrinsic.signer, "amount": FEE_TAO}, "Balances")
        succeeded = calls.attempt(world, extrinsic.call, extrinsic.signer)
        if fee is not None and world.rules.alpha_fee_event:
            values = {
                "who": extrinsic.signer,
                "netuid": fee.netuid,
                "alpha_fee": fee.alpha,
                "tao_amount": tao,
            }
            if world.rules.spec < 411:
                del values["netuid"]
            world.deposit("TransactionFeePaidWithAlpha", values)
        if extrinsic.signer:
            # Said of every fee, also of one that was taken in alpha.
            values = {"who": extrinsic.signer, "actual_fee": FEE_TAO, "tip": 0}
            world.deposit("TransactionFeePaid", values, "TransactionPayment")
        info = {"weight": {"ref_time": 1, "proof_size": 1}, "class": "Normal", "pays_fee": "Yes"}
        if succeeded:
            world.deposit("ExtrinsicSuccess", {"dispatch_info": info}, "System")
        else:
            failed = {"dispatch_error": calls.ERROR, "dispatch_info": info}
            world.deposit("ExtrinsicFailed", failed, "System")

    def _close(self, events: bytes, extrinsics: tuple[str, ...]) -> None:
        world = self.world
        world.system_number.put(world.number)
        world.system_events.put(events)
        world.system_event_count.put(len(world.events))
        world.storage.close_block(world.number)
        digest = hashlib.blake2b(f"{self.seed}/{world.number}".encode(), digest_size=32)
        for part in extrinsics:
            digest.update(part.encode())
        blocks = self.source.blocks
        spec = self._next_spec or (blocks[-1].spec if blocks else world.rules.spec)
        self._next_spec = None
        parent = blocks[-1].hash if blocks else "0x" + "00" * 32
        self.source.add(Block(world.number, "0x" + digest.hexdigest(), parent, spec, extrinsics))

    # --- queueing -------------------------------------------------------------------------------------

    def submit(self, signer: str, call: Call, *, alpha_fee: AlphaFee | None = None) -> None:
        """Queue an extrinsic. An empty signer makes it unsigned."""
        self._extrinsics.append(_Extrinsic(signer, call, alpha_fee))

    def add_stake(self, coldkey: str, hotkey: str, netuid: int, tao: int, fill: int | None = None) -> None:
        """Queue add_stake, or add_stake_limit with so much of the TAO filled."""
        self.submit(coldkey, calls.add_stake(hotkey, netuid, tao, fill))

    def remove_stake(
        self, coldkey: str, hotkey: str, netuid: int, alpha: int, fill: int | None = None
    ) -> None:
        """Queue remove_stake, or remove_stake_limit with so much of the alpha filled."""
        self.submit(coldkey, calls.remove_stake(hotkey, netuid, alpha, fill))

    def move_stake(
        self, coldkey: str, from_hotkey: str, to_hotkey: str, from_netuid: int, to_netuid: int, alpha: int
    ) -> None:
        """Queue move_stake."""
        self.submit(coldkey, calls.move_stake(from_hotkey, to_hotkey, from_netuid, to_netuid, alpha))

    def transfer_stake(
        self, coldkey: str, to_coldkey: str, hotkey: str, from_netuid: int, to_netuid: int, alpha: int
    ) -> None:
        """Queue transfer_stake."""
        self.submit(coldkey, calls.transfer_stake(to_coldkey, hotkey, from_netuid, to_netuid, alpha))

    def swap_stake(
        self, coldkey: str, hotkey: str, from_netuid: int, to_netuid: int, alpha: int, fill: int | None = None
    ) -> None:
        """Queue swap_stake, or swap_stake_limit with so much of the alpha filled."""
        self.submit(coldkey, calls.swap_stake(hotkey, from_netuid, to_netuid, alpha, fill))

    def unstake_all(self, coldkey: str, hotkey: str) -> None:
        """Queue unstake_all."""
        self.submit(coldkey, calls.unstake_all(hotkey))

    def unstake_all_alpha(self, coldkey: str, hotkey: str) -> None:
        """Queue unstake_all_alpha."""
        self.submit(coldkey, calls.unstake_all_alpha(hotkey))

    def recycle(self, coldkey: str, hotkey: str, netuid: int, alpha: int) -> None:
        """Queue recycle_alpha."""
        self.submit(coldkey, calls.recycle(hotkey, netuid, alpha))

    def burn(self, coldkey: str, hotkey: str, netuid: int, alpha: int) -> None:
        """Queue burn_alpha."""
        self.submit(coldkey, calls.burn(hotkey, netuid, alpha))

    def claim_root(self, coldkey: str, *netuids: int) -> None:
        """Queue claim_root."""
        self.submit(coldkey, calls.claim_root(*netuids))

    def set_claim_type(self, coldkey: str, kind: str, netuids: tuple[int, ...] = ()) -> None:
        """Queue set_root_claim_type: Swap, Keep or KeepSubnets."""
        self.submit(coldkey, calls.set_claim_type(kind, netuids))

    def set_take(self, hotkey: str, take_u16: int) -> None:
        """Queue a change of take by the hotkey's owner."""
        self.submit(self.world.owner.get(hotkey), calls.set_take(hotkey, take_u16))

    def swap_hotkey(
        self, old: str, new: str, netuid: int | None = None, *, keep_stake: bool | None = None
    ) -> None:
        """Queue swap_hotkey by its owner (swap_hotkey_v2 where `keep_stake` is given); the new key is ours then."""
        self.submit(self.world.owner.get(old), calls.swap_hotkey(old, new, netuid, keep_stake=keep_stake))

    def swap_coldkey(self, old: str, new: str) -> None:
        """Queue a coldkey swap by root."""
        self.submit(self.sudo_key, calls.sudo(self.sudo_key, calls.swap_coldkey(old, new)))

    def dissolve(self, netuid: int) -> None:
        """Queue the end of a subnet."""
        self.submit(self.sudo_key, calls.sudo(self.sudo_key, calls.dissolve(netuid)))

    def register_network(self, netuid: int, owner: str) -> None:
        """Queue a new subnet under a number that is free; `calls.start_call` makes it emit."""
        pool = (self.rng.randrange(1_000, 50_000) * TAO, self.rng.randrange(10_000, 900_000) * TAO)
        self.submit(owner, calls.register_network(netuid, self.stranger_hotkeys[0], *pool))

    def lease(self, netuid: int, hotkey: str, contributors: list[tuple[str, int]], every: int = 1) -> Lease:
        """Lease a subnet from the next block: its owner cut goes to a hotkey of ours and on to contributors."""
        lease = Lease(self.address(f"lease {netuid}"), hotkey, self.coldkeys[0], contributors, every)

        def begin(world: World) -> None:
            world.leases[netuid] = lease
            world.subnet_owner.put(netuid, lease.coldkey)
            world.subnet_owner_hotkey.put(netuid, hotkey)

        self.silently(begin)
        return lease

    def address(self, name: str) -> str:
        """A made-up account of this chain, equal for equal names."""
        return address_of(self.seed, name)

    def epoch(self, netuid: int, dividends: Dividends | None = None) -> None:
        """Make the epoch of a subnet run in the next block, with these dividends (random ones by default)."""
        self._epochs[netuid] = dividends

    def set_dividends(self, netuid: int, dividends: Dividends) -> None:
        """Same as :meth:`epoch`; reads better where the epoch is due anyway."""
        self._epochs[netuid] = dividends

    def upgrade(self, spec: int, *migrations: Callable[[World], None]) -> None:
        """Set new code in the next block; it runs from the block after, whose migrations may edit anything silently."""
        self._next_spec = spec
        self._migrations += migrations

        def set_code(world: World) -> None:
            world.deposit("CodeUpdated", None, "System")

        self._initial.append(set_code)

    def initially(self, signer: str, call: Call, *, scheduled: bool = True) -> None:
        """Queue a call that the scheduler runs as an account, in phase Initialization after coinbase."""

        def run(world: World) -> None:
            succeeded = calls.attempt(world, call, signer)
            if scheduled:
                result = {"Ok": ()} if succeeded else {"Err": calls.ERROR}
                values = {"task": (world.number, 0), "id": None, "result": result}
                world.deposit("Dispatched", values, "Scheduler")

        self._initial.append(run)

    def silently(self, change: Callable[[World], None]) -> None:
        """Queue a change of state without any event, at the end of the next block."""
        self._silent.append(change)

    def step(self, *, crowded: bool = False) -> int:
        """Make one block with random calls, several by one coldkey on one pool if crowded."""
        from chain.tests.model.play import queue_crowded_work, queue_random_work

        (queue_crowded_work if crowded else queue_random_work)(self)
        return self.produce()


def _may_earn(chain: ModelChain, hotkey: str, netuid: int) -> bool:
    """At random, keys earn where they are ours: what others earn is left out, as it touches none of our pools."""
    return chain.world.is_ours(hotkey, netuid) and chain.world.owner_of(hotkey) is not None


def draw_dividends(chain: ModelChain, netuid: int) -> Dividends:
    """Draw what an epoch found for our hotkeys and the miners, special cases included."""
    world, rng = chain.world, chain.rng
    found = Dividends()
    if rng.random() < 0.03:
        return found
    if not coinbase.emits(world, netuid):
        # Nothing is pending: the epoch only rewrites the maps.
        found.alpha = {hotkey: 0 for hotkey in world.tracked if _may_earn(chain, hotkey, netuid)}
        found.root = dict(found.alpha)
        return found
    for hotkey in world.tracked:
        # A key that is not registered earns through its children now and then.
        earns = 0.98 if world.uids.has(netuid, hotkey) else 0.1
        if not _may_earn(chain, hotkey, netuid) or rng.random() > earns:
            continue
        alpha_stake, root_stake = world.pools.value.get(hotkey, netuid), world.pools.value.get(hotkey, ROOT)
        bits = _amount_bits(rng)
        if world.rules.prop_alpha_dividends and root_stake and not alpha_stake:
            bits = 0
        found.alpha[hotkey] = bits if world.rules.prop_alpha_dividends else bits >> 32 << 32
        pays_root = root_stake and (chain.root_sells or not world.rules.root_claims) and rng.random() > 0.03
        root_bits = _amount_bits(rng) if pays_root else 0
        if world.rules.root_claims and root_bits >> 32 > root_stake and rng.random() > 0.02:
            root_bits = min(root_bits, root_stake << 31)
        found.root[hotkey] = root_bits
    for miner in (*chain.miners, *world.tracked):
        if rng.random() < (0.5 if miner in chain.miners else 0.08) and world.uids.has(netuid, miner):
            found.incentives[miner] = rng.choice([0, 1, rng.randrange(1 << rng.randrange(1, 40))])
    return found


def _amount_bits(rng: random.Random) -> int:
    """Log-uniform between nothing and thousands of TAO, with a fraction of 32 bits."""
    if rng.random() < 0.04:
        return rng.choice([0, 1, (1 << 32) - 1, 1 << 32, 1 << 33])
    return rng.getrandbits(32 + rng.randrange(1, 42))
