"""The writes of imports: saying which chain an installation holds, and importing a file, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import transaction

from chain import base58
from chain.families import Family
from chain.imports.preview import Preview, event_values, preview_file
from chain.locks import Lock, hold
from chain.models import Asset, Block, Hotkey, ImportRun, Network, StakeEvent, StakerReward, Yield
from chain.nodes.answers import CHAIN_NAME_MAX

Actor = AbstractBaseUser | AnonymousUser | None
ADD = "chain.add_importrun"
BATCH = 5_000
# 32 bytes in base58.
GENESIS_MAX = 44


class CannotPin(Exception):
    """The installation holds another chain already, or the text names none. Nothing was written."""


class NotAllowed(Exception):
    """The person lacks the right to import. Another person is needed; a retry cannot help."""


class ImportRefused(Exception):
    """The file has problems, which `preview` lists. Nothing was written."""

    def __init__(self, preview: Preview, reason: str = "") -> None:
        self.preview = preview
        first = preview.problems[0] if preview.problems else None
        named = f" The first, {first.section} row {first.row}, {first.field}: {first.text}" if first else ""
        super().__init__(reason or f"{len(preview.problems):,} problems; nothing was imported.{named}")


@transaction.atomic
def pin_network(*, family: Family, name: str, genesis_hash: str) -> Network:
    """Say, once and for good, which chain this installation takes files of. The same again changes nothing.

    :raises CannotPin: when it holds another, for a name or hash that is none, and for Bittensor, which ingestion pins.
    """
    if family is Family.BITTENSOR:
        raise CannotPin("Bittensor is pinned by the first ingestion: manage.py ingest …")
    name = name.strip()
    if not 1 <= len(name) <= CHAIN_NAME_MAX or not name.isprintable():
        raise CannotPin(
            f"Name the chain as people call it, in 1 to {CHAIN_NAME_MAX} characters, like 'Solana Mainnet Beta'."
        )
    if len(genesis_hash) > GENESIS_MAX:
        raise CannotPin(
            f"A genesis hash has at most {GENESIS_MAX} characters; this text has {len(genesis_hash):,}."
        )
    try:
        if len(base58.decode(genesis_hash)) != 32:
            raise CannotPin(f"{genesis_hash!r} is not a genesis hash: it does not hold 32 bytes.")
    except base58.NotBase58 as error:
        raise CannotPin(f"{genesis_hash!r} is not a genesis hash: it {error}.") from error
    hold(Lock.INGEST)
    network, made = Network.objects.get_or_create(
        id=1,
        defaults={
            "family": family.value,
            "name": name,
            "genesis_hash": genesis_hash,
            "ss58_prefix": None,
        },
    )
    if not made and (network.family, network.genesis_hash) != (family.value, genesis_hash):
        raise CannotPin(
            f"This installation holds {network} ({network.genesis_hash}). Another chain needs a RAKEBACK_HOME or "
            "database of its own."
        )
    return network


@transaction.atomic
def import_file(
    *,
    content: bytes,
    file_name: str,
    actor: Actor,
    now: datetime,
    review: Callable[[Preview], Preview],
    expected_sha256: str | None = None,
) -> ImportRun | None:
    """Import a file in one transaction; None when everything in it is stored already.

    :param actor: who does it; None is a command.
    :param review: adds the problems that other apps have with it, seen under the same lock.
    :param expected_sha256: of the file whose preview was confirmed; None imports what is given.
    :raises NotAllowed: without the right to import.
    :raises FileRefused: for what cannot be read at all.
    :raises ImportRefused: with every problem; nothing was written.
    """
    if actor is not None and not (isinstance(actor, User) and actor.has_perm(ADD)):
        raise NotAllowed(f"{actor} may not import: it takes the permission {ADD}.")
    hold(Lock.INGEST)
    preview = review(preview_file(content=content, file_name=file_name, now=now))
    if expected_sha256 not in {None, preview.sha256}:
        raise ImportRefused(preview, "This is not the file that was previewed. Upload it again.")
    if preview.problems:
        raise ImportRefused(preview)
    return None if preview.changes_nothing else _store(preview, actor, now)


def _store(preview: Preview, actor: Actor, now: datetime) -> ImportRun:
    rewards = sum(
        bool(row.reward_rao or row.revenue_rao) for group in preview.new_groups for row in group.rows
    )
    run = ImportRun.objects.create(
        file_name=preview.file_name,
        sha256=preview.sha256,
        row_count=preview.row_count,
        reward_count=rewards,
        stake_event_count=len(preview.new_events),
        imported_at=now,
        imported_by_id=actor.pk if actor else None,
    )
    Block.objects.bulk_create(
        Block(
            number=slot.number,
            hash=slot.hash,
            timestamp=slot.at,
            provider=f"file {run.file_name}, SHA-256 {run.sha256}",
            import_run=run,
        )
        for slot in preview.new_slots
    )
    _store_vote_accounts(preview)
    _store_rewards(preview, run)
    StakeEvent.objects.bulk_create(
        (
            StakeEvent(
                block_id=event.slot.number,
                event_index=event.event_index,
                netuid=0,
                fee_asset=Asset.SOL,
                import_run=run,
                import_row=event.number,
                **event_values(event),
            )
            for event in preview.new_events
        ),
        batch_size=BATCH,
    )
    return run


def _store_vote_accounts(preview: Preview) -> None:
    first: dict[str, int] = {}
    for account, slot in (
        *((group.vote_account, group.slot.number) for group in preview.groups),
        *((event.vote_account, event.slot.number) for event in preview.events),
    ):
        first[account] = min(slot, first.get(account, slot))
    Hotkey.objects.bulk_create(
        Hotkey(address=account, first_block=first[account]) for account in preview.new_vote_accounts
    )


def _store_rewards(preview: Preview, run: ImportRun) -> None:
    groups = preview.new_groups
    sources = Yield.objects.bulk_create(
        Yield(
            block_id=group.slot.number,
            netuid=0,
            hotkey=group.vote_account,
            side=group.component,
            asset=Asset.SOL,
            pool_netuid=0,
            dividend_rao=group.reward_rao,
            take_rao=group.revenue_rao,
            proof="",
            epoch=group.epoch,
            import_run=run,
        )
        for group in groups
    )
    StakerReward.objects.bulk_create(
        (
            StakerReward(
                source=source,
                coldkey=row.staker,
                amount_rao=row.revenue_rao,
                dividend_rao=row.reward_rao,
                import_row=row.number,
            )
            for source, group in zip(sources, groups, strict=True)
            for row in group.rows
            if row.reward_rao or row.revenue_rao
        ),
        batch_size=BATCH,
    )
