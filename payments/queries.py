"""Reads about batches: what could be proposed now, whether a batch still holds, and what changed since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chain.families import NAMES, Family
from chain.models import Network
from chain.network import coin, family
from chain.units import format_rao
from ledger import queries as ledger_queries
from ledger.models import Period
from partners.models import Agreement, Partner, PayoutAddress
from payments.models import Batch, Payout
from payments.planning import Candidate, Line, Plan, compute_content_hash, plan_payouts


@dataclass(frozen=True)
class Preview:
    """What proposing would do now. `content_hash` is None when nothing would be paid."""

    plan: Plan
    through: Period
    content_hash: str | None


def find_obstacle() -> str | None:
    """Say why nothing can be paid from this installation at all; None where payouts are made."""
    if family() is Family.BITTENSOR:
        return None
    return (
        f"This installation holds {NAMES[family()]}, and payouts are made on Bittensor only. What is owed is in the "
        "statements: export them and pay by your own means."
    )


def last_period() -> Period | None:
    """Return the closed period that ends last."""
    return Period.objects.order_by("-end_at").first()


def plan_due(*, now: datetime, through: Period) -> Preview:
    """Plan payouts of all that is due after `through` and not reserved, for every partner there is.

    The minimum is that of the agreement in force at `now`; without one, whatever is left is paid out.
    """
    payable = ledger_queries.payable_by_partner(through)
    minimum = dict(
        Agreement.objects.filter(effective__contains=now).values_list("partner_id", "minimum_payout_rao")
    )
    waiting = set(
        Payout.objects.filter(batch__status=Batch.Status.PROPOSED).values_list("partner_id", flat=True)
    )
    addresses, changing = _addresses_in_force()
    plan = plan_payouts(
        Candidate(
            partner_id=partner.pk,
            slug=partner.slug,
            name=partner.name,
            is_active=partner.status == Partner.Status.ACTIVE,
            address=addresses.get(partner.pk, ""),
            payable_rao=payable.get(partner.pk, 0),
            minimum_rao=minimum.get(partner.pk, 0),
            has_open_payout=partner.pk in waiting,
            is_address_changing=partner.pk in changing,
        )
        for partner in Partner.objects.order_by("id")
    )
    return Preview(plan, through, _hash_lines(plan.lines, through) if plan.lines else None)


def _addresses_in_force() -> tuple[dict[int, str], set[int]]:
    """The address of each partner by the database's clock, and whose is being changed."""
    addresses = dict(PayoutAddress.objects.in_force().values_list("partner_id", "address"))
    return addresses, set(PayoutAddress.objects.open().values_list("partner_id", flat=True))


def hash_batch(batch: Batch) -> str:
    """Compute a batch's content hash from the rows as they are now, payout by payout."""
    payouts = batch.payouts.select_related("partner")
    return _hash_lines(
        tuple(
            Line(
                payout.partner_id, payout.partner.slug, payout.partner.name, payout.address, payout.amount_rao
            )
            for payout in payouts
        ),
        batch.through,
    )


def _hash_lines(lines: tuple[Line, ...], through: Period) -> str:
    network = Network.objects.first()
    return compute_content_hash(
        genesis_hash=network.genesis_hash if network else "",
        period_key=through.key,
        manifest_hash=through.manifest_hash,
        lines=lines,
    )


def find_changes(batch: Batch) -> list[str]:
    """Say, in sentences, what no longer is as it was when the batch was proposed. Empty: it still holds."""
    changes = []
    addresses, changing = _addresses_in_force()
    for payout in batch.payouts.select_related("partner"):
        partner = payout.partner
        if partner.pk in changing:
            changes.append(
                f"A new payout address of {partner} was requested: nothing is paid to {partner} until it takes effect or "
                "the request is cancelled."
            )
        if (new := addresses.get(partner.pk, "none")) != payout.address:
            changes.append(f"The payout address of {partner} changed from {payout.address} to {new}.")
        if partner.status != Partner.Status.ACTIVE:
            changes.append(f"{partner} is no longer active.")
    if not changes and hash_batch(batch) != batch.content_hash:
        changes.append(
            "Its content no longer gives its hash: a partner's short name or the period's changed."
        )
    return changes


def find_uncovered(batch: Batch) -> list[str]:
    """Say which payouts of a proposed batch exceed what is owed now and not reserved."""
    payable = ledger_queries.payable_by_partner()
    return [
        f"{payout.partner} is owed {format_rao(payable.get(payout.partner_id, 0))} {coin().unit} now, "
        f"less than the {format_rao(payout.amount_rao)} {coin().unit} proposed."
        for payout in batch.payouts.select_related("partner")
        if payable.get(payout.partner_id, 0) < payout.amount_rao
    ]


@dataclass(frozen=True)
class Moment:
    """One step in a batch's life."""

    at: datetime
    who: str
    what: str


def get_timeline(batch: Batch) -> list[Moment]:
    """List who did what with a batch, oldest first."""
    moments = [Moment(batch.proposed_at, str(batch.proposed_by), "proposed it")]
    if batch.approved_at:
        moments.append(Moment(batch.approved_at, str(batch.approved_by), "approved it; amounts reserved"))
    if batch.cancelled_at:
        moments.append(
            Moment(batch.cancelled_at, str(batch.cancelled_by), f"cancelled it: {batch.cancel_reason}")
        )
    return moments
