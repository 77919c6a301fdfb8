"""Lets runtimes in: those that passed their self-test, and those that somebody told ingestion to assume."""

from __future__ import annotations

import hashlib
import zlib
from datetime import datetime

from django.db import transaction

from chain.models import Block, Network, Runtime
from chain.runtimes.check import Passed
from chain.runtimes.eras import ERA_BY_NAME, Era, era_of


class CannotAdmit(Exception):
    """The runtime does not fit what is stored. Nothing was written."""


def admitted_eras() -> dict[int, Era]:
    """By which era to read each runtime that was admitted or assumed, by spec version."""
    rows = Runtime.objects.filter(admitted_at__isnull=False).values_list("spec_version", "era")
    return {spec_version: ERA_BY_NAME[era] for spec_version, era in rows}


@transaction.atomic
def admit_runtime(*, passed: Passed, actor: str, now: datetime) -> Runtime:
    """Store that a runtime passed its self-test: who ran it, when, by which era's rules, on what evidence.

    A runtime that was assumed before is no longer: its blocks were read by the rules that are proved now.

    :raises CannotAdmit: the evidence is of another chain, or the runtime's stored blocks were read by other rules or
        with other metadata.
    """
    pinned = Network.objects.first()
    genesis = passed.sample.identity.genesis_hash
    if pinned and pinned.genesis_hash != genesis:
        raise CannotAdmit(
            f"this database holds the chain with genesis {pinned.genesis_hash}; the runtime was tested on {genesis}"
        )
    return _store(
        passed.sample.spec_version,
        passed.metadata_hex,
        passed.era,
        first_block=passed.sample.first,
        evidence=passed.evidence(),
        assumed=False,
        actor=actor,
        now=now,
    )


@transaction.atomic
def assume_runtime(
    *, spec_version: int, metadata_hex: str, era: Era, first_block: int, actor: str, now: datetime
) -> Runtime:
    """Store that somebody told us to read an unproved runtime by an era's rules. Its blocks are marked by it.

    :raises CannotAdmit: the runtime is known or was admitted, so there is nothing to assume; or as in
        :func:`admit_runtime`.
    """
    if era_of(spec_version) is not None:
        raise CannotAdmit(f"runtime {spec_version} is known; nothing need be assumed of it")
    row = Runtime.objects.filter(pk=spec_version).first()
    if row is not None and row.admitted_at and not row.assumed:
        raise CannotAdmit(
            f"runtime {spec_version} was admitted as era {row.era}; nothing need be assumed of it"
        )
    return _store(
        spec_version,
        metadata_hex,
        era,
        first_block=first_block,
        evidence={},
        assumed=True,
        actor=actor,
        now=now,
    )


def _store(
    spec_version: int,
    metadata_hex: str,
    era: Era,
    *,
    first_block: int,
    evidence: dict[str, object],
    assumed: bool,
    actor: str,
    now: datetime,
) -> Runtime:
    metadata = bytes.fromhex(metadata_hex.removeprefix("0x"))
    sha256 = hashlib.sha256(metadata).hexdigest()
    row = Runtime.objects.select_for_update().filter(pk=spec_version).first()
    if row is None:
        row = Runtime(spec_version=spec_version, first_block=first_block)
    elif Block.objects.filter(runtime=row).exists():
        if row.metadata_sha256 != sha256:
            raise CannotAdmit(
                f"blocks of runtime {spec_version} are stored that were decoded with other metadata "
                f"({row.metadata_sha256}, not {sha256})"
            )
        if row.era and row.era != era.name:
            raise CannotAdmit(
                f"blocks of runtime {spec_version} are stored that were read as era {row.era}, not {era.name}. Ingest them "
                "anew into another RAKEBACK_HOME or database."
            )
    if row.metadata_sha256 != sha256:
        # Equal bytes could be compressed otherwise by another zlib, and what blocks were read by stays as it is.
        row.metadata, row.metadata_sha256 = zlib.compress(metadata, 9), sha256
    row.era, row.evidence, row.assumed = era.name, evidence, assumed
    row.admitted_by, row.admitted_at = actor, now
    row.save()
    return row
