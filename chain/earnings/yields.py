"""Which takes an epoch credited to a hotkey, by three methods that must agree. Pure.

Method 1 is the growth of the share pool less everything else that grew it; method 2 inverts the dividend that storage
keeps (`chain.earnings.takes`) and allows one take or two adjacent ones; method 3 replays the pool bit by bit
(`chain.pools.shares`).
Every take that method 2 allows is tried: what method 1 and 3 do not confirm is dropped, and when that leaves nothing, or
takes that differ, the block is refused with all numbers. Order of credits: `distribute_dividends_and_incentives`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from chain.addresses import decode_address
from chain.earnings.takes import FRACTION_BITS, split_dividend, take_range, takes_adding_to
from chain.facts import StakeEventFact
from chain.pools.shares import (
    NO_SHARE,
    Pool,
    Share,
    grew_otherwise,
    near_number,
    open_pool,
    parts_kept,
    same_number,
    weights,
)

# Every write to a pool can cut off a rao; no block has as many.
_NEAR_RAO = 1_000

# Coldkey and rao in the order credited; None stands for all holders pro rata.
Credit = tuple[str | None, int]
Made = tuple[Credit, ...]


class MethodsDisagree(Exception):
    """The ways of computing a take give different results; nothing is guessed and the block is not stored."""


class Proof(StrEnum):
    """How a take was confirmed beside the inversion of its dividend."""

    POOL = "POOL"
    """Value and denominator of the pool after the block came out of the replay."""
    SHARES = "SHARES"
    """The owner's share came out of the replay; others moved stake later in the block."""
    VALUE = "VALUE"
    """Pool growth alone, in a block in which the owner moved stake too."""
    DOUBT = "DOUBT"
    """None: what the owner did in the same block hides which of the takes it was. The smallest; a gap is open."""


@dataclass(frozen=True)
class PoolState:
    """A pool at one block: value in rao and denominator."""

    value: int
    denominator: Share


@dataclass(frozen=True)
class PoolChange:
    """One pool over one block.

    `shares` are those at the parent, of at least every coldkey that is credited or moves; `shares_after` those of the
    credited ones after the block. `events` are the block's stake events on this pool, in order, all after the epoch.
    `disturbed` says that something else moved stake, by amounts no event tells.
    """

    name: str
    before: PoolState
    after: PoolState
    shares: Mapping[str, Share]
    events: Sequence[StakeEventFact]
    shares_after: Mapping[str, Share] = field(default_factory=dict)
    safe_float: bool = False
    early: bool = False
    disturbed: bool = False
    renamed: bool = False
    """The key was swapped in the block, so before and after are not one pool's."""
    owner_moved: bool = False
    """The owner's share moved after the epoch too, so that it tells nothing of the take."""
    silent_rao: int = 0
    """What fees may at most have taken that no event names."""
    blurred: frozenset[int] = frozenset()
    """Positions among `events` of those whose way through the shares is not told to the last digit: orders of a batch, whose
    events come in another order.
    """

    @property
    def grown(self) -> int:
        """Rao by which the value grew over the block."""
        return self.after.value - self.before.value

    @property
    def moved(self) -> int:
        """Rao that stake events added to it, those removed taken off."""
        return sum(event.alpha_rao if event.added else -event.alpha_rao for event in self.events)


@dataclass(frozen=True)
class Incentive:
    """A miner's incentive that an event names: staked for the miner's owner on the hotkey of his choice."""

    miner: str
    coldkey: str
    rao: int


@dataclass(frozen=True)
class Epoch:
    """What storage and events say about one epoch of a hotkey on a subnet.

    `root_net_rao` is None where one map holds both nets together (334–360), which is then `alpha_net_rao`.
    `value_after_alpha` is `TotalHotkeyAlphaLastEpoch`, None before 261. `owner_cuts` are the amounts that the subnet
    owner's cut can have been, where this hotkey receives it. `own_incentives` are the amounts its own mining can have
    earned, the likeliest first, None where nothing tells. `root_stake_rao` is the hotkey's root stake at the parent.
    """

    hotkey: str
    owner: str
    take_u16: int
    alpha_net_rao: int
    root_net_rao: int | None = 0
    root_stake_rao: int = 0
    value_after_alpha: int | None = None
    owner_cuts: Sequence[tuple[str, int]] = ()
    incentives: Sequence[Incentive] = ()
    own_incentives: Sequence[int] | None = None


@dataclass(frozen=True)
class Take:
    """A take in rao of one side, its net, the bounds inversion gives, and what else the epoch credited to the pool."""

    rao: int
    low_rao: int
    high_rao: int
    net_rao: int
    other_rao: int = 0
    proof: Proof = Proof.POOL


@dataclass(frozen=True)
class _Option:
    """One way the epoch may have gone."""

    alpha: tuple[int, int]
    root: tuple[int, int]
    made: Made
    other_rao: int
    rank: int
    """0 for what the epoch's own incentive most likely was, more for the others."""

    @property
    def takes(self) -> tuple[int, int]:
        return self.alpha[1], self.root[1]


def epoch_takes(change: PoolChange, epoch: Epoch) -> tuple[Take, Take, Made]:
    """Takes of one hotkey on one subnet's alpha, from alpha stakers and from root stakers, and all that was credited.

    Before 334 root dividends are paid into the root pool (:func:`root_takes`), so the second one is zero here.

    :raises MethodsDisagree: when no take explains the pool, or several do.
    """
    options = list(_options(change, epoch))
    option, proof = _proved(change, epoch.owner, options)
    if option is None:
        raise MethodsDisagree(
            f"{change.name}: the pool grew by {change.grown} rao ({change.moved} of it by stake events) from "
            f"{change.before.value}; alpha dividend {epoch.alpha_net_rao}, root dividend {epoch.root_net_rao}, value after "
            f"the alpha dividend {epoch.value_after_alpha}, owner cut {[rao for _, rao in epoch.owner_cuts]}, incentives "
            f"{[incentive.rao for incentive in epoch.incentives]}; at take {epoch.take_u16}/65535 these allow "
            f"{sorted({option.takes for option in options}) or 'no take'}, and the pool confirms none of them alone"
        )
    alpha_net, root_net = option.alpha[0], option.root[0]
    return (
        Take(option.alpha[1], *take_range(alpha_net, epoch.take_u16), alpha_net, option.other_rao, proof),
        Take(option.root[1], *take_range(root_net, epoch.take_u16), root_net, 0, proof),
        option.made,
    )


def _options(change: PoolChange, epoch: Epoch) -> Iterator[_Option]:
    named = sum(incentive.rao for incentive in epoch.incentives)
    expected = (0,) if epoch.own_incentives is None else tuple(epoch.own_incentives)
    for cut in epoch.owner_cuts or (None,):
        credited = named + (cut[1] if cut else 0)
        for alpha_net, root_net in _nets(change, epoch, credited):
            to_owner = root_net if root_net > epoch.root_stake_rao else 0
            for root_take in _takes(root_net, epoch.take_u16):
                if (left := _left_for_alpha(change, epoch, root_take + to_owner)) is None:
                    continue
                for alpha_take in _takes(alpha_net, epoch.take_u16):
                    own = left - credited - alpha_net - alpha_take
                    if own < 0 or (
                        own and epoch.own_incentives is not None and own not in epoch.own_incentives
                    ):
                        continue
                    yield _Option(
                        (alpha_net, alpha_take),
                        (root_net, root_take),
                        (
                            *([cut] if cut else []),
                            *_mined(epoch, own),
                            (epoch.owner, alpha_take),
                            (None, alpha_net),
                            # Nothing is no stake: before 244 it would make the owner the first holder of an empty pool.
                            *((epoch.owner, rao) for rao in (root_take, to_owner) if rao),
                        ),
                        credited + own + to_owner,
                        expected.index(own) if own in expected else len(expected),
                    )


def _left_for_alpha(change: PoolChange, epoch: Epoch, root_rao: int) -> int | None:
    """Growth up to and with the alpha dividend; None where the growth after it contradicts `root_rao`."""
    if epoch.value_after_alpha is None:
        return change.grown - change.moved - root_rao
    if (
        not change.events
        and not change.disturbed
        and change.after.value != epoch.value_after_alpha + root_rao
    ):
        return None
    return epoch.value_after_alpha - change.before.value


def _nets(change: PoolChange, epoch: Epoch, credited: int) -> Iterable[tuple[int, int]]:
    """The (alpha, root) nets that can be: as stored, or, where stored together, every split the growth allows."""
    if epoch.root_net_rao is not None:
        return [(epoch.alpha_net_rao, epoch.root_net_rao)]
    both, found = epoch.alpha_net_rao, set()
    if epoch.value_after_alpha is not None:
        for own in epoch.own_incentives or (0,):
            # take + net is the dividend's whole part or one less, so the nets that can be stand close together.
            dividend = epoch.value_after_alpha - change.before.value - credited - own
            middle = split_dividend(max(dividend, 0) << FRACTION_BITS, epoch.take_u16)[1]
            found |= {net for net in range(middle - 3, middle + 4) if 0 <= net <= both}
    return [(net, both - net) for net in sorted(found)]


def _takes(net_rao: int, take_u16: int) -> range:
    low, high = take_range(net_rao, take_u16)
    return range(low, high + 1)


def _mined(epoch: Epoch, own_rao: int) -> list[Credit]:
    """Miners' incentives in the order of their account ids, as the chain's map has them."""
    mined = [*epoch.incentives, *([Incentive(epoch.hotkey, epoch.owner, own_rao)] if own_rao else [])]
    return [(one.coldkey, one.rao) for one in sorted(mined, key=lambda one: decode_address(one.miner))]


def _adding_up(change: PoolChange, options: Sequence[_Option]) -> list[_Option]:
    """Options with which the value comes out to the rao."""
    return [one for one in options if sum(rao for _, rao in one.made) == change.grown - change.moved]


def _within_reach(change: PoolChange, option: _Option) -> bool:
    """Say whether the value that an option leaves unexplained can be what no event puts a number to."""
    unexplained = change.grown - change.moved - sum(rao for _, rao in option.made)
    return change.disturbed or -change.silent_rao <= unexplained <= 0


def _proved(change: PoolChange, owner: str, options: Sequence[_Option]) -> tuple[_Option | None, Proof]:
    """The option that the pool confirms.

    A hotkey that mines and whose incentive nothing names can leave two adjacent takes that replay alike, since incentive
    and take are minted one after the other to the same owner. The smaller take is chosen then; the rao in doubt is the
    owner's own either way.
    """
    proof, proved = Proof.POOL, [one for one in options if pool_confirms(change, one.made)]
    if not proved or _differ(proved):
        sharp = [one for one in proved or options if _share_confirms(change, owner, one.made)]
        if not proved or (sharp and not _differ(sharp)):
            proof, proved = Proof.SHARES, sharp
    touched = bool(change.events) or change.disturbed
    if touched and (not proved or _differ(proved)):
        possible = proved or [
            one
            for one in options
            if not _share_denies(change, owner, one.made) and not _price_denies(change, one.made)
        ]
        exact = _adding_up(change, possible) or [one for one in possible if _within_reach(change, one)]
        likeliest = [one for one in exact if one.rank == 0] or exact
        if likeliest and not _differ(likeliest):
            proof, proved = (proof if proved else Proof.VALUE), likeliest
        elif change.owner_moved and exact:
            # Take and what the owner did are minted to or burned from the same owner; only their sum is known.
            proof, proved = Proof.DOUBT, [min(exact, key=lambda one: one.takes)]
    if not proved:
        return None, proof
    best = min(proved, key=lambda one: (one.rank, one.takes))
    if best.rank == 0 and _differ([one for one in proved if one.rank == 0]):
        return None, proof
    return best, proof


def _differ(options: Iterable[_Option]) -> bool:
    return len({one.takes for one in options}) > 1


def _replayed(change: PoolChange, made: Collection[Credit]) -> Pool:
    # Nobody else's share plays a part, and a pool can have thousands of holders.
    involved = {coldkey for coldkey, _ in made if coldkey} | {event.coldkey for event in change.events}
    pool = open_pool(
        change.before.value,
        change.before.denominator,
        {coldkey: change.shares[coldkey] for coldkey in involved if coldkey in change.shares},
        safe=change.safe_float,
        early=change.early,
    )
    for coldkey, amount in made:
        if coldkey is None:
            pool.add_for_all(amount)
        else:
            pool.add(coldkey, amount)
    return pool


def pool_confirms(change: PoolChange, made: Collection[Credit]) -> bool:
    """Say whether the credits and then the block's stake events give the chain's value and denominator."""
    made = list(made)
    pool, parts = _replayed(change, made), None
    for position, event in enumerate(change.events):
        if position in change.blurred:
            kept = parts_kept(pool, event.coldkey)
            parts = kept if parts is None else min(parts, kept)
        (pool.add if event.added else pool.remove)(event.coldkey, event.alpha_rao)
    if pool.value != change.after.value:
        return False
    if parts is not None:
        return near_number(pool, change.after.denominator, parts)
    return same_number(pool, None, change.after.denominator)


def _share_confirms(change: PoolChange, owner: str, made: Collection[Credit]) -> bool:
    """Say whether the credits give the owner's share; what others did after the epoch does not touch it."""
    if owner not in change.shares_after or not any(coldkey == owner and rao for coldkey, rao in made):
        return False
    return same_number(_replayed(change, made), owner, change.shares_after[owner])


def _share_denies(change: PoolChange, owner: str, made: Collection[Credit]) -> bool:
    """Say whether the owner's share is far from what the credits give, although he moved no stake himself.

    What others did before the epoch can shift its last digits, so it need not come out bit for bit here.
    """
    if owner not in change.shares_after or change.owner_moved:
        return False
    before = change.shares.get(owner, NO_SHARE)
    return grew_otherwise(_replayed(change, made), owner, before, change.shares_after[owner])


def may_be_nothing(change: PoolChange) -> bool:
    """Say whether a pool of which no dividend is recorded can have earned none, without a look at single shares.

    An incentive or a cut mints shares for all of its growth; a dividend whose record is missing does not.
    """
    if change.grown == change.moved:
        return True
    unclear = change.disturbed or change.owner_moved or change.silent_rao
    return bool(unclear) and not _price_denies(change, [])


def unpaid_credits(change: PoolChange, epoch: Epoch) -> Made | None:
    """All that an epoch without a dividend credited to a pool: an owner's cut, incentives. None where it is not told."""
    if change.grown == change.moved:
        return ()
    ways = {
        tuple(credit for credit in (*([cut] if cut else []), *_mined(epoch, own)) if credit[1])
        for cut in epoch.owner_cuts or (None,)
        for own in epoch.own_incentives or (0,)
    }
    if len(ways) == 1 and epoch.own_incentives is not None:
        return next(iter(ways))
    confirmed = [made for made in ways if pool_confirms(change, made)]
    return confirmed[0] if len(confirmed) == 1 else None


def _price_denies(change: PoolChange, made: Collection[Credit]) -> bool:
    """Say whether the value of a share rose by far more or less than the dividend among the credits raises it.

    Stake that comes or goes leaves that value as it is, so a dividend shows in it whatever else happened: as well as it
    is known what the pool was worth when it was paid.
    """
    before, after = change.before, change.after
    if change.renamed or not before.denominator.bits or not after.denominator.bits:
        return False
    of = weights({"before": before.denominator, "after": after.denominator})
    risen = after.value * of["before"] - before.value * of["after"]
    whole = before.value * of["after"]
    if not whole:
        return False
    net = sum(rao for coldkey, rao in made if coldkey is None)
    came = sum(rao for _, rao in made) + sum(event.alpha_rao for event in change.events if event.added)
    went = sum(event.alpha_rao for event in change.events if not event.added)
    worth = (min(before.value, after.value) - net - went, max(before.value, after.value) + came)
    least, most = sorted(risen * value // whole for value in worth)
    return not least - _NEAR_RAO <= net <= most + _NEAR_RAO


def root_takes(
    change: PoolChange, *, owner: str, take_u16: int, nets_rao: Sequence[int]
) -> tuple[list[Take], Made]:
    """Takes of one hotkey on root for the epochs of one block before 334, in the order the chain ran them, and all credits.

    :raises MethodsDisagree: when no single choice of takes explains the pool.
    """
    ranges = [take_range(net, take_u16) for net in nets_rao]
    grown = change.grown - sum(nets_rao) - change.moved
    if change.disturbed:
        totals: Iterable[int] = range(sum(low for low, _ in ranges), sum(high for _, high in ranges) + 1)
    else:
        totals = [grown]
    choices = [choice for total in totals for choice in takes_adding_to(total, ranges)]
    made = {
        choice: [
            credit
            for take, net in zip(choice, nets_rao, strict=True)
            for credit in ((owner, take), (None, net))
        ]
        for choice in choices
    }
    proof = Proof.POOL
    proved = [choice for choice in choices if pool_confirms(change, made[choice])]
    if not proved:
        proof = Proof.SHARES
        proved = [choice for choice in choices if _share_confirms(change, owner, made[choice])]
    if (change.events or change.disturbed) and len({sum(choice) for choice in proved}) != 1:
        # Who sells all hides from the shares what the take was worth; the pool's value is whole rao.
        possible = proved or choices
        exact = [choice for choice in possible if sum(choice) == grown] or possible
        if len({sum(choice) for choice in exact}) == 1:
            proof, proved = (proof if proved else Proof.VALUE), exact
    # Where the pool came out alike for several choices, only the sum of the takes is in the chain. The first is as good as
    # another: all of them were cut from what the same holders earned.
    if not proved or len({sum(choice) for choice in proved}) > 1:
        raise MethodsDisagree(
            f"{change.name}: the pool grew by {grown} rao beside dividends of {list(nets_rao)} and stake events, "
            f"but at take {take_u16}/65535 those allow {ranges} rao of take"
        )
    takes = [
        Take(take, low, high, net, 0, proof)
        for take, (low, high), net in zip(proved[0], ranges, nets_rao, strict=True)
    ]
    return takes, tuple(made[proved[0]])
