"""Rows for the tests of payments: a closed period, partners, and what is owed to them as a close posts it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import transaction

from chain.addresses import encode_address
from chain.models import Asset, Block, Network, Runtime, Side, Yield
from ledger.models import (
    Account,
    CommissionLine,
    DelegationWinner,
    Entry,
    PartnerTake,
    Period,
    Posting,
)
from ledger.tests.factories import roll_up
from partners.models import Agreement, Partner
from partners.tests.factories import begin

NOW = datetime(2026, 2, 3, 12, tzinfo=UTC)
_numbers = itertools.count(1)


def address_of(seed: int) -> str:
    return encode_address(seed.to_bytes(32, "big"))


HOTKEY = address_of(77_777)


def make_user(name: str, *permissions: str, **fields: object) -> User:
    """Make a member of staff with exactly these permissions (codenames)."""
    user = User.objects.create_user(name, password="pw", is_staff=True, **fields)  # type: ignore[arg-type]
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    assert user.user_permissions.count() == len(permissions)
    return user


def make_period(owed: dict[Agreement, int] | None = None) -> Period:
    """Close a day in which each agreement's delegators earned root take, all of which goes to the partner."""
    Network.objects.get_or_create(id=1, defaults={"name": "test", "genesis_hash": "0x" + "45" * 32})
    runtime, _ = Runtime.objects.get_or_create(
        spec_version=1, defaults={"metadata": b"", "metadata_sha256": "", "first_block": 0}
    )
    day = Period.objects.count() + 1
    start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=day)
    owed = owed or {}
    yields = {}
    for offset, (agreement, amount_rao) in enumerate(owed.items()):
        number = day * 7200 + offset
        block = Block.objects.create(
            number=number, hash=f"{number:#066x}", parent_hash="", timestamp=start, runtime=runtime
        )
        yields[agreement] = Yield.objects.create(
            block=block,
            netuid=0,
            hotkey=HOTKEY,
            side=Side.ROOT,
            asset=Asset.TAO,
            pool_netuid=0,
            owner=HOTKEY,
            dividend_rao=0,
            take_rao=amount_rao,
            take_low_rao=amount_rao,
            take_high_rao=amount_rao,
            take_u16=5898,
            pool_before_rao=1,
            share_total=1,
        )
    with transaction.atomic():
        period = Period.objects.create(
            key=start.date().isoformat(),
            start_at=start,
            end_at=start + timedelta(days=1),
            blocks=(day * 7200, (day + 1) * 7200),
            manifest={"day": day},
            manifest_hash=f"{day:064x}",
            closed_at=start + timedelta(days=2),
        )
        if not owed:
            return period
        entry = Entry.objects.create(
            key=f"close:{period.key}", kind=Entry.Kind.CLOSE, period=period, posted_at=NOW
        )
        for agreement, amount_rao in owed.items():
            _write_share(period, yields[agreement], agreement, amount_rao)
            payable, _ = Account.objects.get_or_create(kind=Account.Kind.PAYABLE, partner=agreement.partner)
            Posting.objects.create(entry=entry, account=payable, amount_rao=-amount_rao)
        take, _ = Account.objects.get_or_create(kind=Account.Kind.TAKE, partner=None)
        Posting.objects.create(entry=entry, account=take, amount_rao=sum(owed.values()))
    return period


def _write_share(period: Period, source: Yield, agreement: Agreement, amount_rao: int) -> None:
    coldkey = address_of(10_000 + agreement.pk)
    common = {"period": period, "partner": agreement.partner}
    PartnerTake.objects.create(
        **common, source=source, agreement=agreement, rate_bps=10_000, delegator_count=1, take_rao=amount_rao
    )
    pool: dict[str, Any] = {"hotkey": HOTKEY, "netuid": 0, "side": Side.ROOT}
    roll_up(period, {coldkey: amount_rao}, partner=agreement.partner, **pool)
    DelegationWinner.objects.create(
        **common,
        **pool,
        coldkey=coldkey,
        blocks=(source.block_id, source.block_id + 1),
        agreement=agreement,
        rule=agreement.rules.get_or_create()[0],
    )
    CommissionLine.objects.create(
        **common, **pool, agreement=agreement, base_rao=amount_rao, rate_bps=10_000, commission_rao=amount_rao
    )


def make_partner(
    slug: str, *, owed: int = 0, minimum: int = 0, has_address: bool = True, **fields: object
) -> Partner:
    number = next(_numbers)
    defaults = {"name": slug.upper()} | fields
    partner = Partner.objects.create(slug=slug, **defaults)
    if has_address:
        begin(partner, address_of(number))
    Agreement.objects.create(
        partner=partner,
        effective=(datetime(2025, 1, 1, tzinfo=UTC), None),
        rate_bps=10_000,
        minimum_payout_rao=minimum,
    )
    if owed:
        owe(partner, owed)
    return partner


def owe(partner: Partner, amount_rao: int) -> Period:
    """Close one more day, in which this partner earned `amount_rao`."""
    return make_period({partner.agreements.get(): amount_rao})
