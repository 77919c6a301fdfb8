"""What a limit gave back of a sale, from runtime 283 on. Pure.

A sale with a limit takes all its alpha out, sells what the limit allows and credits the rest back. Until 396 its event
names all of it, and how much came back is found in the pool: it holds so much more than its events explain. From 397 the
event names what was sold, and nothing what came back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from chain.facts import StakeEventFact
from chain.keys import SUBTENSOR
from chain.runtimes.decoding import Extrinsic, calls_within
from chain.stake.events import FEE_IN_INPUT_ASSET_FROM, NET_REMOVALS_FROM

_LIMITED_REMOVALS = {"remove_stake_limit", "remove_stake_full_limit"}


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


def refundable(
    legs: Sequence[StakeEventFact], extrinsics: Mapping[int, Extrinsic], spec_version: int
) -> int | None:
    """Position of the one such leg among a pool's; None for none, or several."""
    limited = limited_sales(legs, extrinsics, spec_version)
    return limited[0] if len(limited) == 1 else None


def without_refunds(
    legs: Sequence[StakeEventFact],
    refunded_rao: Mapping[tuple[str, int], int],
    extrinsics: Mapping[int, Extrinsic],
    spec_version: int,
) -> list[StakeEventFact]:
    """Take off each limited sale what came back.

    :param refunded_rao: by (hotkey, netuid), how much more a pool held after the block than its events explain.
    """
    settled = list(legs)
    for pool, refund in refunded_rao.items():
        positions = [at for at, leg in enumerate(settled) if (leg.hotkey, leg.netuid) == pool]
        limited = refundable([settled[at] for at in positions], extrinsics, spec_version)
        if limited is not None and 0 < refund < settled[positions[limited]].alpha_rao:
            leg = settled[positions[limited]]
            settled[positions[limited]] = replace(leg, alpha_rao=leg.alpha_rao - refund)
    return settled


def _is_limited(extrinsic: Extrinsic | None) -> bool:
    return extrinsic is not None and any(
        call["call_module"] == SUBTENSOR and call["call_function"] in _LIMITED_REMOVALS
        for call in calls_within(extrinsic.call)
    )
