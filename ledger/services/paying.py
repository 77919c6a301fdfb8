"""Moving a debt to 'in flight' when its payout is approved, and back when that is cancelled (L5).

Reserving is where overpaying is refused: the database locks the partner's account and sums it.
"""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Sum

from chain.network import coin
from chain.units import format_rao
from ledger.models import Account, Entry, Posting
from ledger.services.posting import Actor, Leg, post_entry
from partners.models import Partner


class InsufficientPayable(Exception):
    """The partner is owed less than the payout. Propose a new batch; a retry alone cannot help."""


class UnknownReservation(Exception):
    """There is nothing to release for this payout. A retry cannot help."""


def payable_rao(partner_id: int) -> int:
    """Sum what a partner is owed and no approved payout has reserved, in rao."""
    total = Posting.objects.filter(account__kind=Account.Kind.PAYABLE, account__partner_id=partner_id)
    return -int(total.aggregate(total=Sum("amount_rao"))["total"] or 0)


@transaction.atomic
def reserve_payout(
    *, payout_id: int, partner: Partner, amount_rao: int, actor: Actor, now: datetime
) -> Entry:
    """Move part of a partner's payable in flight, for one approved payout.

    Posting the same payout twice changes nothing and gives the first entry back.

    :raises InsufficientPayable: when the partner is owed less.
    :raises ValueError: for nothing, or when the payout was reserved before with other numbers.
    """
    if amount_rao <= 0:
        raise ValueError(f"payout {payout_id} must move a positive amount, not {amount_rao} rao")
    key = f"reserve:{payout_id}"
    legs: dict[Leg, int] = {
        (Account.Kind.PAYABLE, partner.pk): amount_rao,
        (Account.Kind.IN_FLIGHT, partner.pk): -amount_rao,
    }
    posted = Entry.objects.filter(key=key).first()
    if posted is None:
        try:
            with transaction.atomic():
                return post_entry(
                    key=key,
                    kind=Entry.Kind.RESERVE,
                    legs=legs,
                    actor=actor,
                    now=now,
                    memo=f"Payout {payout_id}",
                )
        except IntegrityError as error:
            if broken_rule(error) == "debt_not_negative":
                unit = coin().unit
                raise InsufficientPayable(
                    f"{partner.name} is owed {format_rao(payable_rao(partner.pk))} {unit} that no payout has reserved, "
                    f"payout {payout_id} is {format_rao(amount_rao)} {unit}: propose a new batch"
                ) from error
            posted = Entry.objects.filter(key=key).first()
            if posted is None:
                raise
    if _legs_of(posted) != legs:
        raise ValueError(f"payout {payout_id} is already reserved with another amount or partner")
    return posted


@transaction.atomic
def release_payout(*, payout_id: int, actor: Actor, now: datetime, reason: str) -> Entry:
    """Give a reserved payout back to the partner's payable, by reversing its reservation.

    :raises UnknownReservation: when it was never reserved or is released already.
    """
    reserved = Entry.objects.select_for_update().filter(key=f"reserve:{payout_id}").first()
    if reserved is None:
        raise UnknownReservation(f"payout {payout_id} has no reservation to release")
    if Entry.objects.filter(reverses=reserved).exists():
        raise UnknownReservation(f"the reservation of payout {payout_id} is released already")
    legs = {leg: -amount for leg, amount in _legs_of(reserved).items()}
    return post_entry(
        key=f"release:{payout_id}",
        kind=Entry.Kind.RELEASE,
        legs=legs,
        reverses=reserved,
        actor=actor,
        now=now,
        memo=reason,
    )


def broken_rule(error: IntegrityError) -> str:
    """Name the constraint or trigger rule that an integrity error reports, empty when it names none."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""


def _legs_of(entry: Entry) -> dict[tuple[str, int | None], int]:
    rows = entry.postings.values_list("account__kind", "account__partner_id", "amount_rao")
    return {(kind, partner): amount for kind, partner, amount in rows}
