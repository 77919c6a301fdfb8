"""What a limit gave back of a sale, from runtime 283 on. Pure.

A sale with a limit takes all its alpha out, sells what the limit allows and credits the rest back. Until 396 its event
names all of it, and how much came back is found in the pool: it holds so much more than its events explain. From 397 the
event names what was sold, and nothing what came back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chain.facts import StakeEventFact
from chain.keys import SUBTENSOR
from chain.runtimes.decoding import Extrinsic, calls_within
from chain.stake.changes import ShareChange
from chain.stake.events import FEE_IN_INPUT_ASSET_FROM, NET_REMOVALS_FROM
from chain.stake.movements import PoolBlock

_LIMITED_REMOVALS = {"remove_stake_limit", "remove_stake_full_limit"}
_ROUNDING_RAO = 2


def limited_sales(
    legs: Sequence[StakeEventFact], extrinsics: Mapping[int, Extrinsic], spec_version: int
) -> list[int]:
    """Positions of the legs among a pool's whose limit may have given alpha back that their event includes."""
    if not FEE_IN_INPUT_ASSET_FROM <= spec_version < NET_REMOVALS_FROM:
        return []
    return _limited(legs, extrinsics)


def untold_refunds(
    legs: Sequence[StakeEventFact], extrinsics: Mapping[int, Extrinsic], spec_version: int
) -> list[int]:
    """Positions of the legs among a pool's whose limit may have given alpha back that their event leaves out."""
    return _limited(legs, extrinsics) if spec_version >= NET_REMOVALS_FROM else []


def _limited(legs: Sequence[StakeEventFact], extrinsics: Mapping[int, Extrinsic]) -> list[int]:
    return [
        position
        for position, leg in enumerate(legs)
        if (leg.added, leg.kind, leg.cause) == (False, "UNSTAKE", "")
        and _is_limited(extrinsics.get(-1 if leg.extrinsic_index is None else leg.extrinsic_index))
    ]


def told_refunds(
    block: PoolBlock, sales: Sequence[StakeEventFact], changes: Sequence[ShareChange]
) -> dict[int, int] | None:
    """What each limited sale of a pool gave back, in rao by event; None where it cannot be told.

    :param sales: those of the pool's stake events whose limit may have given alpha back.
    :param changes: what positions of the pool gained beside what their events say.
    """
    sellers = {sale.coldkey for sale in sales}
    gained = {change.coldkey: change.gained_rao for change in changes}
    if len(gained) == 1 and abs(block.untold_rao - sum(gained.values())) <= _ROUNDING_RAO:
        # Who holds nearly all of a pool gains what others leave of a rao; the pool's value knows no rounding.
        gained = dict.fromkeys(gained, block.untold_rao)
    found = {}
    for coldkey in sorted(sellers & gained.keys()):
        own = [sale for sale in sales if sale.coldkey == coldkey]
        if len(own) > 1 or not 0 < gained[coldkey] < own[0].alpha_rao:
            return None
        found[own[0].event_index] = gained[coldkey]
    return found if not found or sum(gained.values()) == block.untold_rao else None


def _is_limited(extrinsic: Extrinsic | None) -> bool:
    """Whether a limit may have cut a sale: by its call, or by none that is written down (EVM, scheduler)."""
    if extrinsic is None:
        return True
    calls = [call for call in calls_within(extrinsic.call) if call["call_module"] == SUBTENSOR]
    return not calls or any(
        call["call_function"] in _LIMITED_REMOVALS
        and any(
            argument["name"] == "limit_price" and argument["value"] is not None
            for argument in call["call_args"]
        )
        for call in calls
    )
