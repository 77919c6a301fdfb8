"""The demonstration: a real recorded chain segment, carried from blocks to statements and a batch to approve.

Everything goes through the services that staff and the scheduler use. Running it again finds the work done and
changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db.models import Sum

from chain.addresses import encode_address
from chain.models import Asset, Block, Gap, Hotkey, Yield
from chain.services import Progress, ingest_segment
from ledger.models import Attribution, Period
from ledger.queries import in_flight_by_partner, payable_by_partner
from ledger.services import attribute_yields, close_due_days
from partners.models import Partner, Rule
from partners.payout_addresses import begin_with_address, request_address
from partners.services import add_agreement, add_rule, add_wallets, create_partner
from payments.models import Batch
from payments.services import approve_batch, propose_batch
from rakeback.schedules import set_up_schedules

# What the recorded chain's stakers through the app leave beside their stake.
TALISMAN_MEMO = "talisman-bittensor"
# Waits for adam: requested, not approved. Nobody has its key.
TALISMAN_ADDRESS = encode_address(hashlib.sha256(b"demonstration/talisman").digest())
SEGMENT = Path(__file__).resolve().parent.parent / "chain" / "segments" / "demo.segment.gz"
HOTKEY_LABELS = {
    "5EKdff8SJAfFhqfL5CK18AUDUckccsvHiyqHM1LxXs9b6xV5": "RT21",
    "5CrdT5eEu7qafdNsGktU5eZH7oPk2V4d4KQJPKwxFUPhiJjy": "SN2",
}
CREATIVE_BUILDS_WALLETS = (
    "5HV9yhh2eWTPSoZA1wNud5t57S2GoqoLafooGEGad9DosYLV",
    "5C5kFeZmAzXw1VLpUGakh5zDQcp2w6y5zKNUEY6mmyLFKCMh",
    "5HhcAD1Q5ajx6rDn6A6eKL4qqzi95EasVB5NNrHZXUF3NiVm",
)
PARTNER_SLUGS = ("creative-builds", "talisman")
FIRST_DAY = date(2025, 8, 1)
# The batch of the first week is approved already; the rest waits for whoever takes the tour.
FIRST_BATCH_THROUGH = "2025-08-07"


@dataclass(frozen=True)
class SignIn:
    """One account of the demonstration and what it is for."""

    username: str
    purpose: str
    groups: tuple[str, ...] = ()
    is_superuser: bool = False

    @property
    def password(self) -> str:
        """Made from the site's own secret: the same at every start here, another one everywhere else."""
        key = settings.SECRET_KEY.encode()
        return hmac.new(key, f"demo/{self.username}".encode(), hashlib.sha256).hexdigest()[:12]


SIGN_INS = (
    SignIn("olivia", "operator: edits partners, imports wallets, proposes payouts", ("viewer", "operator")),
    SignIn("adam", "approver: a second person, who approves payouts", ("viewer", "approver")),
    SignIn("ann", "auditor: reads and exports everything, runs the checks, changes nothing", ("auditor",)),
    SignIn("admin", "administrator: accounts, API keys, schedules", is_superuser=True),
)


def run_demo(
    *, now: datetime, say: Callable[[str], None], progress: Progress | None = None
) -> dict[str, Any]:
    """Do everything that is not done yet and sum up what is there.

    :returns: amounts in rao; see :func:`summarize`.
    """
    users = {sign_in.username: _user(sign_in) for sign_in in SIGN_INS}
    say("Reading the recorded chain segment …")
    ingest_segment(SEGMENT, progress=progress)
    for address, label in HOTKEY_LABELS.items():
        Hotkey.objects.filter(address=address, label="").update(label=label)
    if not Partner.objects.exists():
        _creative_builds(users["olivia"])
        talisman = _talisman(users["olivia"])
        request_address(
            actor=users["olivia"],
            partner=talisman,
            address=TALISMAN_ADDRESS,
            reason="First address, by letter of Kim",
        )
    say("Attributing the take and closing the days …")
    attribute_yields(now=now)
    close_due_days(actor=users["admin"], now=now)
    set_up_schedules()
    if not Batch.objects.exists():
        _batches(users["olivia"], users["adam"], now)
    return summarize()


def _user(sign_in: SignIn) -> User:
    user, created = User.objects.get_or_create(
        username=sign_in.username,
        defaults={
            "is_staff": True,
            "is_superuser": sign_in.is_superuser,
            "first_name": sign_in.username.title(),
        },
    )
    if created:
        user.set_password(sign_in.password)
        user.save(update_fields=["password"])
        user.groups.set(Group.objects.filter(name__in=sign_in.groups))
    return user


def _creative_builds(actor: User) -> None:
    reason = "Signed agreement of July 2025"
    partner = create_partner(
        actor=actor,
        name="Creative Builds",
        slug="creative-builds",
        contact_email="payouts@creative-builds.example",
        notes="Brings delegators whose wallets they name themselves.",
        reason=reason,
    )
    begin_with_address(actor=actor, partner=partner, address=CREATIVE_BUILDS_WALLETS[0], reason=reason)
    agreement = add_agreement(
        actor=actor,
        partner=partner,
        rate_bps=3300,
        starts_at=datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC),
        reason=reason,
    )
    add_rule(actor=actor, agreement=agreement, applies_from_block=1, reason=reason)
    add_wallets(
        actor=actor,
        partner=partner,
        addresses=CREATIVE_BUILDS_WALLETS,
        introduced_date=FIRST_DAY,
        reason="List sent by Creative Builds",
    )


def _talisman(actor: User) -> Partner:
    reason = "Signed agreement of July 2025"
    partner = create_partner(
        actor=actor,
        name="Talisman",
        slug="talisman",
        kind=Partner.Kind.TAGGED,
        contact_email="partners@talisman.example",
        notes="A wallet app: leaves a remark beside the stake that its users bring.",
        reason=reason,
    )
    agreement = add_agreement(
        actor=actor,
        partner=partner,
        rate_bps=5000,
        starts_at=datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC),
        new_delegators_only=True,
        reason=reason,
    )
    add_rule(
        actor=actor,
        agreement=agreement,
        kind=Rule.Kind.MEMO,
        memo_match=Rule.Compare.EQUALS,
        memo=TALISMAN_MEMO,
        applies_from_block=1,
        reason=reason,
    )
    return partner


def _batches(operator: User, approver: User, now: datetime) -> None:
    first = propose_batch(actor=operator, now=now, through=Period.objects.get(key=FIRST_BATCH_THROUGH))
    approve_batch(batch_id=first.pk, content_hash=first.content_hash, actor=approver, now=now)
    propose_batch(actor=operator, now=now)


def summarize() -> dict[str, Any]:
    """Count and sum what the database holds; amounts in rao, alpha of all subnets together.

    `owed_rao` is what partners earned and were not paid on chain, approved payouts included.
    """

    def take(asset: str) -> int:
        return int(Yield.objects.filter(asset=asset).aggregate(sum=Sum("take_rao"))["sum"] or 0)

    def attributed(asset: str) -> int:
        rows = Attribution.objects.filter(source__asset=asset)
        return int(rows.aggregate(sum=Sum("take_rao"))["sum"] or 0)

    return {
        "blocks": Block.objects.count(),
        "epochs": Yield.objects.values("block_id", "netuid").distinct().count(),
        "take_alpha_rao": take(Asset.ALPHA),
        "take_tao_rao": take(Asset.TAO),
        "attributed_alpha_rao": attributed(Asset.ALPHA),
        "attributed_tao_rao": attributed(Asset.TAO),
        "partners": Partner.objects.count(),
        "owed_rao": sum(payable_by_partner().values()) + sum(in_flight_by_partner().values()),
        "gaps": Gap.objects.filter(state=Gap.State.OPEN).count(),
    }
