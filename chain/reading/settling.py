"""What stake changes come to once yields and shares are known: refunds, silent changes, sales, tags and prices."""

from __future__ import annotations

from collections.abc import Callable

from chain.earnings import epochs
from chain.earnings.epochs import EpochBlock
from chain.facts import StakeEventFact
from chain.nodes.source import Source
from chain.pools.holdings import Holdings, Pool
from chain.pools.prices import price_keys, price_rao, read_price
from chain.reading.step import Step
from chain.runtimes.eras import PoolPricing, pricing_of
from chain.stake.causes import Cause
from chain.stake.changes import silent_changes
from chain.stake.events import conversions, unaccounted
from chain.stake.movements import (
    hidden_changes,
    hidden_positions,
    pool_legs,
    refunds,
    share_changes,
    signed,
    silent_positions,
    value_keys,
)
from chain.stake.refunds import limited_sales, without_refunds
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
    source: Source, step: Step, holdings: Holdings, owners: Callable[[], tuple[Owners, Owners]]
) -> None:
    """Add stake events, those that no event told among them, and what follows from them: sales, remarks, tags, doubts.

    :param holdings: before the block.
    :param owners: reads the owners of our keys before and after the block.
    :raises SourceError: a read could not be had.
    """
    silent = _silent_legs(source, step, holdings)
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
    if not legs:
        return
    # A coldkey swap in the block changes who owns a key; before it the old one may have sold.
    before, after = owners()
    for owned in ({**after, **before}, after):
        arguments = (step.facts.stake_events, owned, step.events, step.spec_version)
        for sale in conversions(*arguments):
            if sale not in step.facts.conversions:
                step.facts.conversions.append(sale)
        step.facts.doubts += [
            doubt.reason for doubt in unaccounted(*arguments) if doubt.reason not in step.facts.doubts
        ]
    step.facts.conversions.sort(key=lambda sale: (sale.event_index, sale.netuid, sale.hotkey))
    step.facts.remarks = remarks(step.events, step.extrinsics, step.legs)
    step.facts.tags = tags(step.events, step.extrinsics, step.legs, step.facts.remarks)


def settle_refunds(source: Source, step: Step, block: EpochBlock) -> None:
    """Take what limits gave back off the sales that include it. :raises SourceError: a read could not be had."""
    limited = _limited_by_pool(step)
    if not limited:
        return
    wanted = value_keys(limited, safe_float=step.safe_float)
    load(source, (step.before, wanted), (step.after, wanted))
    unsaid = {(hotkey, netuid) for hotkey, netuid, _ in block.unsaid}
    earning = {(fact.hotkey, fact.netuid) for fact in step.facts.yields if fact.side == "ALPHA"}
    found = refunds(limited, step.legs, step.facts.yields, (step.before, step.after))
    # Where an epoch may have credited what no yield tells, the refund cannot be told from it.
    told = [
        pool
        for pool, sales in limited.items()
        if pool not in unsaid
        and not epochs.claimed_into(block, *pool)
        and (pool in earning or pool not in block.pairs)
        and (len(sales) == 1 or not found[pool])
        and (not found[pool] or pool in earning or epochs.confirms_refund(block, *pool))
    ]
    step.facts.doubts += [
        f"block {step.facts.number}: a limited sale on {hotkey} netuid {netuid} shares the block with "
        + ("other limited sales there" if len(sales) > 1 else "changes that no event names")
        + ", so how much its limit gave back cannot be told"
        for (hotkey, netuid), sales in limited.items()
        if (hotkey, netuid) not in told
    ]
    refunded = {pool: found[pool] for pool in told}
    step.legs = without_refunds(step.legs, refunded, step.extrinsics, step.spec_version)


def _limited_by_pool(step: Step) -> dict[Pool, list[StakeEventFact]]:
    """Sales by pool whose limit may have given alpha back."""
    found = {}
    for pool in sorted({(leg.hotkey, leg.netuid) for leg in step.legs}):
        legs = pool_legs(step.legs, pool)
        if sales := limited_sales(legs, step.extrinsics, step.spec_version):
            found[pool] = [legs[position] for position in sales]
    return found


def _silent_legs(source: Source, step: Step, holdings: Holdings) -> list[StakeEventFact]:
    """Stake that came or went without a stake event, valued and named."""
    silent = silent_positions(step.facts.shares, step.legs, step.credited, step.marks)
    hidden = hidden_positions(step.credited, step.legs, step.marks)
    limited = _limited_by_pool(step)
    hidden = {} if step.swaps else {pool: at for pool, at in hidden.items() if pool not in limited}
    pools = {(change.hotkey, change.netuid) for change in silent} | hidden.keys()
    if not pools:
        return []
    wanted = value_keys(pools, safe_float=step.safe_float)
    load(source, (step.before, wanted), (step.after, wanted))
    states = (step.before, step.after)
    changes = share_changes(
        silent,
        holdings,
        step.legs,
        states,
        safe_float=step.safe_float,
        rewritten=step.migrated and not step.epochs,
    )
    changes += hidden_changes(hidden, changes, step.legs, step.facts.yields, states)
    return silent_changes(step.events, step.extrinsics, changes, step.spec_version, migrated=step.migrated)


def add_prices(source: Source, step: Step) -> None:
    """Add the pools' prices where something was earned or sold. :raises SourceError: a read could not be had."""
    pricing = pricing_of(step.spec_version)
    netuids = {fact.netuid for fact in step.facts.yields} | {fact.netuid for fact in step.facts.conversions}
    load(source, (step.after, [key for netuid in netuids for key in price_keys(pricing, netuid)]))
    step.facts.prices = [read_price(step.after, pricing, netuid) for netuid in sorted(netuids)]
    step.facts.doubts += _oddly_paid(step)


def _oddly_paid(step: Step) -> list[str]:
    """Doubts about sales for far more or less TAO than the pool's price after the block gives.

    What a sale gets lies between the prices before and after it, and the larger its part of the pool, the further these
    are apart.
    """
    sold = {leg.event_index for leg in step.facts.stake_events if leg.kind == "UNSTAKE" and not leg.cause}
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
