"""What stake changes come to once yields and shares are known: silent changes, sales, tags and prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from chain import keys
from chain.earnings.pool_changes import EARLY_POOLS_UNTIL
from chain.earnings.yields import PoolState
from chain.facts import Position, StakeEventFact
from chain.keys import ROOT, SUBTENSOR
from chain.nodes.source import Source
from chain.pools.holdings import Holdings, Pool, denominator
from chain.pools.prices import price_keys, price_rao, read_price
from chain.reading.step import Step
from chain.runtimes.eras import PoolPricing, pricing_of
from chain.runtimes.event_values import named
from chain.stake.causes import Cause
from chain.stake.changes import LIQUIDITY_EVENTS, ShareChange, silent_changes, silent_fees
from chain.stake.claims import (
    claim_legs,
    claimed_about,
    claims_by_coldkey,
    has_moved,
    may_keep,
    record_keys,
    sells_some,
    shifts_alike,
    told_claims,
)
from chain.stake.events import conversions, odd_moves, unaccounted
from chain.stake.hotkeys import (
    VALUES_MOVED_FROM,
    Swap,
    claims_beside_swaps,
    coldkey_swaps,
    on_subnet,
    swaps,
    unbalanced_swaps,
)
from chain.stake.movements import SURE_RAO, PoolBlock, pool_legs, signed, untold_changes, value_keys
from chain.state import load
from chain.tagging.tags import remarks, tags
from chain.units import alpha_value_rao

# How many times better or worse than the price after the block a sale may be before it is doubted.
_ODDS = 3
# Amounts so small are all rounding and fees.
_SMALL_RAO = 10_000_000
# hotkey → coldkey
Owners = dict[str, str]


def add_stake_events(
    source: Source,
    step: Step,
    before: Holdings,
    after: Holdings,
    owners: Callable[[], tuple[Owners, Owners]],
) -> None:
    """Add stake events, those that no event told among them, and what follows from them: sales, remarks, tags, doubts.

    :param before: shares before the block; `after`, after it.
    :param owners: reads the owners of our keys before and after the block.
    :raises SourceError: a read could not be had.
    """
    silent = _silent_legs(source, step, before, after, owners)
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
        f"{'grew' if leg.added else 'shrank'} by {leg.alpha_rao} rao, and no event or epoch of the block says "
        "why. It may be one that was hidden from us in the block before"
        for leg in silent
        if leg.cause == Cause.UNEXPLAINED
    ]
    step.facts.doubts += [
        f"block {step.facts.number}: {doubt}"
        for doubt in unbalanced_swaps(legs, step.swaps, step.spec_version, coldkey_swaps(step.events))
    ]
    step.facts.doubts += _ended_beside_claims(source, step, owners)
    if not legs:
        return
    # A coldkey swap in the block changes who owns a key; before it the old one may have sold.
    owned_before, owned_after = owners()
    for owned in ({**owned_after, **owned_before}, owned_after):
        arguments = (step.facts.stake_events, owned, step.events, step.spec_version, step.told)
        for sale in conversions(*arguments):
            if sale not in step.facts.conversions:
                step.facts.conversions.append(sale)
        step.facts.doubts += [
            doubt
            for doubt in (*_hidden_by_claims(step, silent, owned), *_hidden_by_upgrades(step, silent, owned))
            if doubt not in step.facts.doubts
        ]
        step.facts.doubts += [
            doubt.reason for doubt in unaccounted(*arguments) if doubt.reason not in step.facts.doubts
        ]
    step.facts.conversions.sort(key=lambda sale: (sale.event_index, sale.netuid, sale.hotkey))
    step.facts.remarks = remarks(step.events, step.extrinsics, step.legs)
    step.facts.tags = tags(step.events, step.extrinsics, step.legs, step.facts.remarks)


def _hidden_by_claims(step: Step, silent: Iterable[StakeEventFact], owned: Owners) -> list[str]:
    """Doubts about owners who claimed root dividends while alpha of theirs may have left without a stake event.

    Of the two only the sum is seen, under whichever name comes first, unless the chain's record tells what was claimed.
    """
    claimed = claims_by_coldkey(step.events)
    if not claimed:
        return []
    paying, moving = _paying(step), _moving(step)
    return [
        f"block {step.facts.number}: {leg.coldkey} claimed root dividends, and by liquidity or a fee in alpha stake of the "
        f"same coldkey on {leg.hotkey} netuid {leg.netuid} moved in this block, by amounts that nothing tells apart"
        for leg in silent
        if leg.coldkey in claimed
        and owned.get(leg.hotkey) == leg.coldkey
        and (at := (leg.hotkey, leg.netuid, leg.coldkey)) not in step.claimed
        and (leg.coldkey in paying or at in moving)
    ]


def _hidden_by_upgrades(step: Step, silent: Iterable[StakeEventFact], owned: Owners) -> list[str]:
    """Doubts about owners whose stake left in the first block of a runtime: by a migration, or a sale that was hidden."""
    return [
        f"block {step.facts.number}: a runtime upgrade took {leg.alpha_rao} rao of the owner's stake on {leg.hotkey} netuid "
        f"{leg.netuid}, {leg.coldkey}, and whether it was not sold cannot be told"
        for leg in silent
        if leg.cause == Cause.MIGRATION and not leg.added and owned.get(leg.hotkey) == leg.coldkey
    ]


def _ended_beside_claims(
    source: Source, step: Step, owners: Callable[[], tuple[Owners, Owners]]
) -> list[str]:
    """Doubts about owners who claimed root dividends in the block in which a subnet ended: what a claim kept there was paid
    for with the rest, and nothing is left that tells how much it was.

    :raises SourceError: a read could not be had.
    """
    made, ended = claims_by_coldkey(step.events), _remade(step)
    if not (made and ended):
        return []
    positions = sorted(
        {
            (hotkey, netuid, of[hotkey])
            for of in owners()
            for hotkey in step.followed - step.lost
            for netuid in ended
            if of.get(hotkey) in made
        }
    )
    wanted = record_keys(positions)
    load(source, (step.before, wanted), (step.after, wanted))
    return [
        f"block {step.facts.number}: {coldkey} claimed root dividends in the block in which netuid {netuid} ended, and "
        f"what of its stake on {hotkey} that brought and was paid for cannot be told"
        for hotkey, netuid, coldkey in positions
        if may_keep(netuid, coldkey, step.before, step.after, step.events)
    ]


def _remade(step: Step) -> set[int]:
    """Subnets that began or ended in the block."""
    return {
        named(event, "netuid")[0]
        for event in step.events
        if event.is_a(SUBTENSOR, "NetworkAdded", "NetworkRemoved")
    }


def _paying(step: Step) -> set[str]:
    """Who may have paid a fee in alpha of which no stake event tells."""
    found = {payer for _, payer, _ in silent_fees(step.events, step.spec_version)}
    for event in step.events:
        if event.is_a(SUBTENSOR, "TransactionFeePaidWithAlpha"):
            who, alpha, _ = named(event, "who", "alpha_fee", "tao_amount")
            # A sale for the fee that failed, until 411, took the alpha all the same.
            if not alpha:
                found.add(who)
    return found


def _moving(step: Step) -> set[Position]:
    """Positions of which stake became liquidity, or the other way round."""
    return {
        (hotkey, netuid, coldkey)
        for event in step.events
        if event.is_a("Swap", *LIQUIDITY_EVENTS)
        for coldkey, hotkey, netuid in [named(event, "coldkey", "hotkey", "netuid")]
    }


def _claimants_positions(step: Step, owners: Callable[[], tuple[Owners, Owners]]) -> set[Position]:
    """Positions of claimants that need the chain's record of claims: an owner's, whose alpha may have been sold beside the
    claim, and those of whoever moved stake without a stake event.

    Left out is where something else writes the record: swaps of keys, a subnet's begin or end, migrations.
    """
    made = set(claims_by_coldkey(step.events))
    for swap in coldkey_swaps(step.events) if made else ():
        made -= {swap.old, swap.new}
    if not made or step.migrated:
        return set()
    # From 394 on a swap on one subnet leaves the record of all others alone.
    swapped = {
        (hotkey, netuid)
        for swap in swaps(step.events)
        for hotkey in (swap.old, swap.new)
        for netuid in (
            [swap.netuid] if swap.netuid and step.spec_version >= VALUES_MOVED_FROM else [ROOT, *step.netuids]
        )
    }
    remade = _remade(step)
    beside = _paying(step) | {coldkey for _, _, coldkey in _moving(step)}
    owned = owners()
    return {
        (hotkey, netuid, coldkey)
        for hotkey in step.followed - step.lost
        for coldkey in made & (beside | {of[hotkey] for of in owned if hotkey in of})
        for netuid in step.netuids
        if netuid != ROOT and netuid not in remade and (hotkey, netuid) not in swapped
    }


def _tell_claims(
    source: Source, step: Step, claimants: set[Position], before: Holdings, after: Holdings
) -> dict[tuple[str, str], int]:
    """Tell what claims brought to positions by the chain's record of them. Gives what came to root without a stake event.

    :raises SourceError: a read could not be had.
    """
    legs: dict[tuple[str, str], list[StakeEventFact]] = {
        (hotkey, coldkey): [] for hotkey, _, coldkey in claimants
    }
    for leg in step.legs:
        if leg.netuid == ROOT and (leg.hotkey, leg.coldkey) in legs:
            legs[leg.hotkey, leg.coldkey].append(leg)
    blocks = _pool_blocks(source, step, {(hotkey, ROOT) for hotkey, _ in legs}, before, after, ())
    silent = {
        (change.hotkey, change.coldkey): change.gained_rao
        for block in blocks
        for change in untold_changes(block)
    }
    on_root = {
        (hotkey, coldkey): moved
        for (hotkey, coldkey), moved in legs.items()
        if (
            (hotkey, coldkey) not in silent and all(shifts_alike(leg, step.spec_version) for leg in moved)
            if moved
            else before.get((hotkey, ROOT), {}).get(coldkey) == after.get((hotkey, ROOT), {}).get(coldkey)
        )
    }
    step.claimed = told_claims(claimants - step.unsure, step.before, step.after, step.events, on_root)
    return {at: silent.get(at, 0) for at, moved in legs.items() if not moved}


def _untold_claims(
    step: Step,
    claimants: set[Position],
    came_to_root: Mapping[tuple[str, str], int],
    changes: Iterable[ShareChange],
    owners: Collection[tuple[str, str]],
) -> dict[tuple[str, str], set[int]]:
    """By hotkey and owner, subnets on which the record leaves open what his claims brought, so that a sale may be hidden.

    Where some of a claim was sold the record tells what was kept but for roundings.
    """
    gained = {change.position: change.gained_rao for change in changes}
    open_on: dict[tuple[str, str], set[int]] = defaultdict(set)
    for at in sorted(claimants - step.claimed.keys() - step.unsure):
        hotkey, netuid, coldkey = at
        if (hotkey, coldkey) not in owners:
            continue
        came = gained.get(at, 0)
        if (hotkey, coldkey) in came_to_root and sells_some(coldkey, step.before, step.after, step.events):
            of = claimed_about(at, step.before, step.after, came_to_root[hotkey, coldkey])
            is_told = of.start - SURE_RAO <= came <= of.stop + SURE_RAO
        else:
            is_told = came <= 0 and not has_moved(at, step.before, step.after)
        if not is_told:
            open_on[hotkey, coldkey].add(netuid)
    return open_on


def _doubts_of_claims(step: Step, open_on: Mapping[tuple[str, str], Iterable[int]]) -> list[str]:
    """:param open_on: by hotkey and owner, on which subnets."""
    return [
        f"block {step.facts.number}: {coldkey} claimed root dividends, and whether its stake on {hotkey}, "
        f"netuid {', '.join(map(str, sorted(netuids)))}, changed by that alone cannot be told"
        for (hotkey, coldkey), netuids in sorted(open_on.items())
    ]


def _pool_blocks(
    source: Source,
    step: Step,
    pools: Iterable[Pool],
    before: Holdings,
    after: Holdings,
    claims: Sequence[StakeEventFact],
) -> list[PoolBlock]:
    """Pools over the block. :raises SourceError: a read could not be had."""
    wanted = value_keys(pools := sorted(pools), safe_float=step.safe_float)
    load(source, (step.before, wanted), (step.after, wanted))
    legs = sorted([*step.legs, *claims], key=lambda leg: leg.event_index)
    changed: dict[Pool, list[str]] = defaultdict(list)
    for change in step.facts.shares:
        changed[change.hotkey, change.netuid].append(change.coldkey)
    # Another key of the owner may have been swapped into one of ours.
    made = swaps(step.events)
    return [_pool_block(step, pool, made, before, after, changed.get(pool, []), legs) for pool in pools]


def _pool_block(
    step: Step,
    pool: Pool,
    made: Iterable[Swap],
    before: Holdings,
    after: Holdings,
    changed: Sequence[str],
    legs: Sequence[StakeEventFact],
) -> PoolBlock:
    value = keys.by_hotkey_netuid("TotalHotkeyAlpha", *pool)
    swapped = any(pool[0] in (swap.old, swap.new) and swap.netuid in (None, pool[1]) for swap in made)
    return PoolBlock(
        pool=pool,
        before=PoolState(step.before.amount(value), denominator(step.before, pool)),
        after=PoolState(step.after.amount(value), denominator(step.after, pool)),
        shares=before.get(pool, {}),
        shares_after=after.get(pool, {}),
        changed=changed,
        legs=pool_legs(legs, pool),
        made=step.made.get(pool, ()),
        is_told=not (step.migrated or swapped)
        and (pool in step.made or all((at[0], at[1]) != pool for at in step.credited)),
        safe_float=step.safe_float,
        early=step.spec_version < EARLY_POOLS_UNTIL,
        rewritten=swapped or (step.migrated and not step.epochs),
    )


def _silent_legs(
    source: Source,
    step: Step,
    before: Holdings,
    after: Holdings,
    owners: Callable[[], tuple[Owners, Owners]],
) -> list[StakeEventFact]:
    """Stake that came or went without a stake event, valued and named."""
    pools = {(change.hotkey, change.netuid) for change in step.facts.shares}
    pools |= {(leg.hotkey, leg.netuid) for leg in step.legs} | {(at[0], at[1]) for at in step.credited}
    pools = {pool for pool in pools if pool[0] not in step.lost}
    claimants = _claimants_positions(step, owners)
    came_to_root: dict[tuple[str, str], int] = {}
    if claimants:
        on_root = {(hotkey, ROOT) for hotkey, _, _ in claimants}
        wanted = [*record_keys(sorted(claimants)), *value_keys(pools | on_root, safe_float=step.safe_float)]
        load(source, (step.before, wanted), (step.after, wanted))
        came_to_root = _tell_claims(source, step, claimants, before, after)
    claims = list(claim_legs(step.claimed, claims_by_coldkey(step.events)))
    pools |= {(leg.hotkey, leg.netuid) for leg in claims}
    blocks = _pool_blocks(source, step, pools, before, after, claims) if pools else []
    changes = [change for block in blocks for change in untold_changes(block)]
    step.facts.doubts += [
        f"block {step.facts.number}: {change.coldkey} moved stake on {change.hotkey} netuid {change.netuid} by an "
        "amount that cannot be told from what the epoch credited to it"
        for change in changes
        if change.position in step.unsure & step.credited
        and _is_marked(step, change.position)
        # Elsewhere the key earns nothing of ours.
        and change.hotkey in on_subnet(step.following, change.netuid)
    ]
    legs = silent_changes(
        step.events,
        step.extrinsics,
        [change for change in changes if change.position not in step.unsure],
        step.spec_version,
        migrated=step.migrated,
        ours={swap.old for swap in step.swaps},
        claimed=step.claimed,
    )
    legs = claims_beside_swaps(legs, step.events, step.swaps, step.spec_version, before)
    named_so = {(leg.hotkey, leg.netuid, leg.coldkey) for leg in legs if leg.cause == Cause.ROOT_CLAIM}
    if claimants or named_so:
        owned = {(hotkey, coldkey) for of in owners() for hotkey, coldkey in of.items()}
        open_on = _untold_claims(step, claimants, came_to_root, changes, owned)
        for hotkey, netuid, coldkey in named_so - claimants:
            if netuid != ROOT and (hotkey, coldkey) in owned:
                # Something else wrote the record, too.
                open_on[hotkey, coldkey].add(netuid)
        step.facts.doubts += _doubts_of_claims(step, open_on)
    return [*claims, *legs]


def _is_marked(step: Step, position: Position) -> bool:
    told = {(leg.hotkey, leg.netuid, leg.coldkey) for leg in step.legs}
    return position[2] in step.marks.coldkeys or (position in step.marks.positions and position not in told)


def add_prices(source: Source, step: Step) -> None:
    """Add the pools' prices where something was earned or sold. :raises SourceError: a read could not be had."""
    pricing = pricing_of(step.spec_version)
    netuids = {fact.netuid for fact in step.facts.yields} | {fact.netuid for fact in step.facts.conversions}
    load(source, (step.after, [key for netuid in netuids for key in price_keys(pricing, netuid)]))
    step.facts.prices = [read_price(step.after, pricing, netuid) for netuid in sorted(netuids)]
    step.facts.doubts += _oddly_paid(step)
    step.facts.doubts += [
        f"block {step.facts.number}: {doubt}"
        for doubt in odd_moves(step.events, step.told, step.followed, step.spec_version)
    ]


def _oddly_paid(step: Step) -> list[str]:
    """Doubts about sales for far more or less TAO than the pool's price after the block gives.

    What a sale gets lies between the prices before and after it, and the larger its part of the pool, the further these
    are apart.
    """
    # A dissolved subnet pays out of its pot, at no price.
    sold = {leg.event_index for leg in step.facts.stake_events if leg.cause in {"", Cause.ORDER}}
    prices = {fact.netuid: fact for fact in step.facts.prices}
    found = []
    for sale in step.facts.conversions:
        fact = prices.get(sale.netuid)
        if fact is None or sale.event_index not in sold or not fact.alpha_reserve_rao:
            continue
        price = price_rao(
            PoolPricing(fact.pricing),
            fact.tao_reserve_rao,
            fact.alpha_reserve_rao,
            fact.sqrt_price,
            fact.quote_weight,
        )
        if not price:
            continue
        worth = alpha_value_rao(sale.alpha_rao, price)
        most = _ODDS * worth * (fact.alpha_reserve_rao + sale.alpha_rao) ** 2 // fact.alpha_reserve_rao**2
        if not worth // _ODDS - _SMALL_RAO <= sale.tao_rao <= most + _SMALL_RAO:
            found.append(
                f"block {step.facts.number}: {sale.alpha_rao} rao of alpha were sold on netuid {sale.netuid} for "
                f"{sale.tao_rao} rao of TAO by the event; at the pool's price they are worth {worth}"
            )
    return found
