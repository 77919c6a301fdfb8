"""Random work for a model chain: what delegators, owners, strangers and relayers do between epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chain.tests.model import calls, orders
from chain.tests.model.calls import Call
from chain.tests.model.world import ROOT

if TYPE_CHECKING:
    from chain.tests.model.chain import ModelChain

TAO = 1_000_000_000
NEVER = 1_000_000


class Hand:
    """Random picks for one piece of work: somebody, a hotkey, a subnet, and how much of it they hold."""

    def __init__(self, chain: ModelChain) -> None:
        self.chain = chain
        self.rng = rng = chain.rng
        self.world = world = chain.world
        ours = [hotkey for hotkey in world.tracked if world.owner_of(hotkey) is not None]
        self.hotkeys = [*ours, *(hotkey for hotkey in chain.stranger_hotkeys if world.owner_of(hotkey))]
        self.hotkey = rng.choice([*ours, *ours, *self.hotkeys])
        self.netuid = rng.choice([ROOT, *world.netuids()])
        self.people = [*chain.coldkeys, *(world.owner.get(hotkey) for hotkey in ours)]
        self.coldkey = rng.choice(self.people)
        self.held = world.pools.stake(self.hotkey, self.coldkey, self.netuid)

    def part(self) -> int:
        """Some of what is held: all, all but dust, a lot, a little."""
        held = self.held
        return self.rng.choice(
            [held, max(held - 1, 0), held // 2, held // 10, held - held // 1_000_000, held // 3, held // 5]
        )

    def other_netuid(self) -> int:
        return self.rng.choice([ROOT, *self.world.netuids()])

    def tao(self) -> int:
        return self.rng.randrange(1_000_000, 100 * TAO)

    # --- stake ---

    def add(self) -> None:
        self._send(calls.add_stake(self.hotkey, self.netuid, self.tao()))

    def add_limit(self) -> None:
        tao = self.tao()
        self._send(calls.add_stake(self.hotkey, self.netuid, tao, fill=tao * 2 // 3))

    def remove(self) -> None:
        self._send(calls.remove_stake(self.hotkey, self.netuid, self.part()))

    def remove_limit(self) -> None:
        part = self.part()
        self._send(calls.remove_stake(self.hotkey, self.netuid, part, fill=part * 2 // 3))

    def leave(self) -> None:
        self._send(calls.remove_stake_full(self.hotkey, self.netuid))

    def unstake_all(self) -> None:
        self._send(calls.unstake_all(self.hotkey))

    def unstake_all_alpha(self) -> None:
        self._send(calls.unstake_all_alpha(self.hotkey))

    def move(self) -> None:
        destination = self.rng.choice(self.hotkeys)
        netuid = self.rng.choice([self.netuid, self.other_netuid()])
        self._send(calls.move_stake(self.hotkey, destination, self.netuid, netuid, self.part()))

    def transfer(self) -> None:
        netuid = self.rng.choice([self.netuid, self.netuid, self.other_netuid()])
        to = self.rng.choice([*self.people, self.chain.address(f"newcomer {self.rng.randrange(4)}")])
        self._send(calls.transfer_stake(to, self.hotkey, self.netuid, netuid, self.part()))

    def swap(self) -> None:
        part = self.part()
        fill = self.rng.choice([None, part // 2])
        self._send(calls.swap_stake(self.hotkey, self.netuid, self.other_netuid(), part, fill))

    def recycle(self) -> None:
        self._send(calls.recycle(self.hotkey, self.netuid, self.part() // 10))

    def burn(self) -> None:
        self._send(calls.burn(self.hotkey, self.netuid, self.part() // 10))

    def add_stake_burn(self) -> None:
        if self.netuid != ROOT:
            self._send(calls.add_stake_burn(self.hotkey, self.netuid, self.tao()))

    # --- root claims, take, auto-stake ---

    def claim(self) -> None:
        self._send(
            calls.claim_root(*self.rng.sample(self.world.netuids(), min(2, len(self.world.netuids()))))
        )

    def claim_type(self) -> None:
        kinds = ["Swap", "Keep"] + ["KeepSubnets"] * self.world.rules.keep_subnets
        self._send(calls.set_claim_type(self.rng.choice(kinds), [self.netuid] if self.netuid else []))

    def take(self) -> None:
        owner = self.world.owner.get(self.hotkey)
        take = self.rng.choice([0, 1, 5_898, 11_796, self.rng.randrange(11_797)])
        self.chain.submit(owner, calls.set_take(self.hotkey, take))

    def autostake(self) -> None:
        who = self.rng.choice([self.chain.stranger_owner, self.coldkey])
        if self.netuid != ROOT:
            self.chain.submit(who, calls.set_autostake(self.netuid, self.hotkey))

    # --- fees and wrappers ---

    def alpha_fee(self) -> None:
        from chain.tests.model.chain import AlphaFee

        if self.netuid == ROOT or self.held < 10_000:
            return
        fee = AlphaFee(self.hotkey, self.netuid, self.rng.randrange(1, min(self.held // 1_000 + 2, 10 * TAO)))
        call = self.rng.choice(
            [calls.remove_stake(self.hotkey, self.netuid, self.held), calls.failing(), self._some()]
        )
        self.chain.submit(self.coldkey, call, alpha_fee=fee)

    def _some(self) -> Call:
        return self.rng.choice(
            [
                calls.add_stake(self.hotkey, self.netuid, self.tao()),
                calls.remove_stake(self.hotkey, self.netuid, self.part()),
                calls.transfer_stake(
                    self.rng.choice(self.people), self.hotkey, self.netuid, self.netuid, self.part()
                ),
            ]
        )

    def batch(self) -> None:
        wrap = self.rng.choice([calls.batch, calls.batch_all, calls.force_batch])
        items = [self._some(), calls.remark("some-tag"), self._some(), calls.failing()]
        self.rng.shuffle(items)
        self._send(wrap(*items[: self.rng.randrange(1, 5)]))

    def proxy(self) -> None:
        self.chain.submit(self.chain.address("delegate"), calls.proxy(self.coldkey, self._some()))

    def multisig(self) -> None:
        who = self.chain.address("signatory")
        self.chain.submit(who, calls.multisig(self.coldkey, [self.chain.stranger_owner], self._some()))

    def sudo(self) -> None:
        self.chain.submit(self.chain.sudo_key, calls.sudo(self.coldkey, self._some()))

    def schedule(self) -> None:
        self.chain.initially(self.coldkey, self._some())

    def evm(self) -> None:
        self.chain.submit("", calls.evm(self.coldkey, self._some()))

    # --- limit orders ---

    def _order(self, netuid: int) -> orders.Order:
        hotkey, coldkey = self.rng.choice(self.hotkeys), self.rng.choice(self.people)
        buys = self.rng.random() < 0.5
        held = self.world.pools.stake(hotkey, coldkey, netuid)
        amount = self.tao() if buys else max(held // self.rng.choice([1, 2, 10]), 1)
        return orders.Order(coldkey, hotkey, netuid, buys, amount, self.rng.choice([0, 1_000_000]))

    def order(self) -> None:
        if self.netuid != ROOT:
            self.chain.submit(self.chain.address("relayer"), orders.execute(self._order(self.netuid)))

    def batched_orders(self) -> None:
        if self.netuid != ROOT:
            several = [self._order(self.netuid) for _ in range(self.rng.randrange(1, 4))]
            self.chain.submit(self.chain.address("relayer"), orders.execute_batched(self.netuid, *several))

    # --- keys and subnets ---

    def _fresh(self, kind: str) -> str:
        return self.chain.address(f"{kind} of block {self.world.number}")

    def _spare(self) -> str:
        """A second key of the owner of this one, which people may stake on before it takes its place."""
        return self.chain.address(f"spare of {self.world.owner_of(self.hotkey)}")

    def spare(self) -> None:
        """The owner registers a second key nowhere; once it is known, somebody stakes on it."""
        owner, spare = self.world.owner.get(self.hotkey), self._spare()
        if self.world.owner_of(spare) is None:
            self.chain.silently(lambda world: world.owner.put(spare, owner))
        else:
            self._send(calls.add_stake(spare, self.netuid, self.tao()))

    def _new_key(self) -> str:
        return self.rng.choice([self._fresh("hotkey"), self._spare()])

    def swap_hotkey(self) -> None:
        keep = self.rng.choice([None, False, True]) if self.world.rules.keep_stake else None
        self.chain.swap_hotkey(self.hotkey, self._new_key(), keep_stake=keep)

    def swap_hotkey_on_subnet(self) -> None:
        keep = self.rng.choice([None, False, True]) if self.world.rules.keep_stake else None
        self.chain.swap_hotkey(self.hotkey, self._new_key(), self.netuid, keep_stake=keep)

    def swap_coldkey(self) -> None:
        new = self._fresh("coldkey")
        self.chain.swap_coldkey(self.coldkey, new)
        self.chain.coldkeys = [new if coldkey == self.coldkey else coldkey for coldkey in self.chain.coldkeys]

    def dissolve(self) -> None:
        # Since 320 a subnet that ends in the block of its epoch leaves no trace of what that epoch paid.
        if len(self.world.netuids()) > 1 and self.netuid != ROOT and not self.chain.due_next(self.netuid):
            self.chain.dissolve(self.netuid)

    def revive(self) -> None:
        for netuid in self.chain.netuids:
            if not self.world.networks.has(netuid):
                self.chain.register_network(netuid, self.coldkey)
            elif self.world.rules.first_emission and not self.world.first_emission.has(netuid):
                self._send(calls.start_call(netuid))
            else:
                ours = [hotkey for hotkey in self.world.tracked if self.world.is_ours(hotkey, netuid)]
                for hotkey in (*ours, *self.chain.stranger_hotkeys, *self.chain.miners):
                    if not self.world.uids.has(netuid, hotkey) and self.world.owner_of(hotkey):
                        self.chain.submit(self.world.owner.get(hotkey), calls.register_neuron(netuid, hotkey))

    def empty(self) -> None:
        """Everybody leaves a pool."""
        for coldkey in self.world.pools.holders(self.hotkey, self.netuid):
            self.chain.submit(coldkey, calls.remove_stake_full(self.hotkey, self.netuid))

    def lease(self) -> None:
        if self.netuid != ROOT and self.netuid not in self.world.leases:
            contributors = [(coldkey, self.rng.randrange(1, 200_000)) for coldkey in self.chain.coldkeys[1:4]]
            self.chain.lease(self.netuid, self.hotkey, contributors, self.rng.choice([1, 3]))

    def _send(self, call: Call) -> None:
        self.chain.submit(self.coldkey, call)


# Weight, first and last runtime of each kind of work.
KINDS: dict[str, tuple[float, int, int, Callable[[Hand], None]]] = {
    "add": (6, 0, NEVER, Hand.add),
    "add_limit": (1, 239, NEVER, Hand.add_limit),
    "remove": (4, 0, NEVER, Hand.remove),
    "remove_limit": (1, 239, NEVER, Hand.remove_limit),
    "leave": (0.5, 0, NEVER, Hand.leave),
    "unstake_all": (0.2, 0, NEVER, Hand.unstake_all),
    "unstake_all_alpha": (0.2, 0, NEVER, Hand.unstake_all_alpha),
    "move": (1.5, 0, NEVER, Hand.move),
    "transfer": (1.5, 0, NEVER, Hand.transfer),
    "swap": (1.5, 0, NEVER, Hand.swap),
    "recycle": (0.3, 283, NEVER, Hand.recycle),
    "burn": (0.3, 283, NEVER, Hand.burn),
    "add_stake_burn": (0.2, 385, NEVER, Hand.add_stake_burn),
    "claim": (0.8, 334, NEVER, Hand.claim),
    "claim_type": (0.4, 334, NEVER, Hand.claim_type),
    "take": (0.5, 0, NEVER, Hand.take),
    "autostake": (0.3, 315, NEVER, Hand.autostake),
    "silent_alpha_fee": (0.5, 301, 348, Hand.alpha_fee),
    "alpha_fee": (0.5, 397, NEVER, Hand.alpha_fee),
    "batch": (0.6, 0, NEVER, Hand.batch),
    "proxy": (0.3, 0, NEVER, Hand.proxy),
    "multisig": (0.2, 0, NEVER, Hand.multisig),
    "sudo": (0.1, 0, NEVER, Hand.sudo),
    "schedule": (0.2, 0, NEVER, Hand.schedule),
    "evm": (0.2, 0, NEVER, Hand.evm),
    "order": (0.5, 423, NEVER, Hand.order),
    "batched_orders": (0.5, 423, NEVER, Hand.batched_orders),
    "spare": (0.3, 0, NEVER, Hand.spare),
    "swap_hotkey": (0.02, 0, NEVER, Hand.swap_hotkey),
    "swap_hotkey_on_subnet": (0.02, 277, NEVER, Hand.swap_hotkey_on_subnet),
    "swap_coldkey": (0.08, 0, NEVER, Hand.swap_coldkey),
    "dissolve": (0.01, 0, NEVER, Hand.dissolve),
    "empty": (0.05, 0, NEVER, Hand.empty),
    "lease": (0.03, 297, NEVER, Hand.lease),
    "revive": (0.2, 0, NEVER, Hand.revive),
}


def _crowd(hand: Hand) -> list[Call]:
    """Several calls of one coldkey on one pool."""
    rng, spec, part = hand.rng, hand.chain.spec, max(hand.part() // 3, 10)
    other = hand.other_netuid()
    found = [
        calls.add_stake(hand.hotkey, hand.netuid, hand.tao()),
        calls.remove_stake(hand.hotkey, hand.netuid, part),
        calls.move_stake(
            hand.hotkey, rng.choice(hand.hotkeys), hand.netuid, rng.choice([hand.netuid, other]), part
        ),
        calls.transfer_stake(rng.choice(hand.people), hand.hotkey, hand.netuid, hand.netuid, part // 2),
        calls.swap_stake(hand.hotkey, hand.netuid, other, part),
        calls.unstake_all(hand.hotkey),
        calls.unstake_all_alpha(hand.hotkey),
        calls.remark("some-tag"),
    ]
    if spec >= 239:
        found.append(
            calls.remove_stake(hand.hotkey, hand.netuid, part, fill=part * rng.randrange(1, 9) // 10)
        )
    if spec >= 283:
        found += [
            calls.recycle(hand.hotkey, hand.netuid, part // 7),
            calls.burn(hand.hotkey, hand.netuid, part // 7),
        ]
    if spec >= 334:
        claims = [calls.claim_root(*hand.world.netuids()), calls.set_claim_type(rng.choice(["Swap", "Keep"]))]
        found += 2 * claims
    return rng.choices(found, k=rng.randrange(1, 5))


def queue_crowded_work(chain: ModelChain) -> None:
    """Queue calls of one coldkey on one pool, one by one or wrapped, beside those of somebody else and random work."""
    rng, hand = chain.rng, Hand(chain)
    for coldkey in rng.choices([hand.coldkey, rng.choice(hand.people)], k=rng.randrange(1, 3)):
        hand.coldkey = coldkey
        hand.held = hand.world.pools.stake(hand.hotkey, coldkey, hand.netuid)
        some = _crowd(hand)
        wrap = rng.randrange(8)
        if wrap < 3:
            for call in some:
                chain.submit(coldkey, call)
        elif wrap == 3:
            chain.submit(coldkey, calls.batch_all(*some))
        elif wrap == 4:
            chain.submit(chain.address("delegate"), calls.proxy(coldkey, calls.force_batch(*some)))
        elif wrap == 5:
            who = chain.address("signatory")
            chain.submit(who, calls.multisig(coldkey, [chain.stranger_owner], calls.batch(*some)))
        elif wrap == 6:
            chain.initially(coldkey, calls.batch(*some))
        else:
            chain.submit("", calls.evm(coldkey, calls.batch(*some)))
    queue_random_work(chain)


def queue_random_work(chain: ModelChain) -> None:
    """Queue none to three pieces of work that the runtime of the next block knows."""
    spec = chain.spec
    names = [
        name
        for name, (_, first, last, _) in KINDS.items()
        if first <= spec <= last and name not in chain.without
    ]
    weights = [KINDS[name][0] for name in names]
    for name in chain.rng.choices(names, weights, k=chain.rng.choice([0, 0, 0, 0, 0, 1, 1, 1, 2, 3])):
        KINDS[name][3](Hand(chain))
