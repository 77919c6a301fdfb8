"""Every write of partners, agreements, rules and wallets, with who did it and why in the history (PA6).
Those of payout addresses are in `payout_addresses`.

Nothing is ever removed: what no longer counts is switched off or given an end. Refusals say what to do next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import pghistory
from celery import current_app
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import transaction
from psycopg.types.range import TimestamptzRange

from chain.locks import Lock, hold
from chain.models import Hotkey
from partners.models import Agreement, Partner, Rule, Wallet, WhatIf, own_chain, own_hotkey_text
from partners.queries import rule_book
from partners.texts import check_reason
from partners.what_if import BookChange, is_empty

P = ParamSpec("P")
T = TypeVar("T")
# None is the application itself, acting by schedule or command.
Actor = AbstractBaseUser | AnonymousUser | None


class Refused(ValueError):
    """The change was not made and nothing was written; trying again with the same values cannot help."""


class AgreementOverlaps(Refused):
    """The span overlaps another agreement of the partner."""


class WalletTaken(Refused):
    """An address is already a wallet of some partner."""


def in_turn(write: Callable[P, T]) -> Callable[P, T]:
    """Run what the history keeps in a transaction that waits for every other such one, before it reads anything.

    The history is one chain, so each waits at its first row anyway. By then it may hold a row that the other one wants, or
    have read what the other one changes.
    """

    @wraps(write)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with transaction.atomic():
            hold(Lock.SEAL)
            return write(*args, **kwargs)

    return run


@contextmanager
def recorded(*, actor: Actor, reason: str) -> Iterator[None]:
    """Write who and why into the history rows of all changes made inside.

    :raises Refused: for a reason that hides what it says.
    """
    try:
        check_reason(reason)
    except ValueError as error:
        raise Refused(str(error)) from error
    user = {"user": None, "username": "", "reason": reason}
    if actor is not None:
        user |= {"user": actor.pk, "username": actor.get_username()}
    with pghistory.context(**user):
        yield


def find_overlap(agreement: Agreement) -> Agreement | None:
    """Find another agreement of the same partner whose span overlaps this one's."""
    others = Agreement.objects.filter(partner_id=agreement.partner_id, effective__overlap=agreement.effective)
    return others.exclude(pk=agreement.pk).select_related("partner").first()


def describe_overlap(other: Agreement) -> str:
    """Say which agreement is in the way, and what to do about it."""
    return f"This span overlaps the agreement {other.terms}. Give that one an end first, or start later."


@in_turn
def create_partner(
    *,
    actor: Actor,
    name: str,
    slug: str,
    contact_email: str = "",
    notes: str = "",
    kind: str = Partner.Kind.NAMED,
    reason: str = "",
) -> Partner:
    """Add a partner, who earns nothing before they have an agreement and a rule, and is not paid before a payout address.

    :raises Refused: when the name or slug is taken.
    """
    partner = Partner(
        name=name,
        slug=slug,
        kind=kind,
        contact_email=contact_email,
        notes=notes,
    )
    _save_new(partner, actor=actor, reason=reason)
    return partner


@in_turn
def add_agreement(
    *,
    actor: Actor,
    partner: Partner,
    rate_bps: int,
    starts_at: datetime,
    ends_at: datetime | None = None,
    minimum_payout_rao: int = 0,
    new_delegators_only: bool = False,
    notes: str = "",
    reason: str = "",
) -> Agreement:
    """Add an agreement over `[starts_at, ends_at)`, on all subnets, hotkeys and sides, without rules as yet.

    :raises AgreementOverlaps: naming the agreement that is in the way.
    :raises Refused: for a rate above 10,000 bps, a negative minimum, or an end before the start.
    """
    if ends_at is not None and ends_at <= starts_at:
        raise Refused("The agreement would end before it starts. Give a later end, or none.")
    agreement = Agreement(
        partner=partner,
        effective=TimestamptzRange(starts_at, ends_at, "[)"),
        rate_bps=rate_bps,
        minimum_payout_rao=minimum_payout_rao,
        new_delegators_only=new_delegators_only,
        notes=notes,
    )
    if other := find_overlap(agreement):
        raise AgreementOverlaps(describe_overlap(other))
    _save_new(agreement, actor=actor, reason=reason)
    return agreement


@in_turn
def add_rule(
    *,
    actor: Actor,
    agreement: Agreement,
    kind: str = Rule.Kind.WALLET,
    memo_match: str = "",
    memo: str = "",
    netuid: int | None = None,
    side: str = "",
    on_stake: bool = True,
    on_unstake: bool = True,
    on_restake: bool = False,
    priority: int = 100,
    applies_from_block: int = 0,
    applies_until_block: int | None = None,
    reason: str = "",
) -> Rule:
    """Add a rule by which the agreement's delegators are found.

    :param memo_match: with `memo`, what a rule by remark looks for; `netuid` and `side` are those of such rules.
    :param on_stake: with `on_unstake` and `on_restake`, what a remark counts on.
    :raises Refused: when the agreement already has such an active rule, or the rule lacks what its kind looks at.
    """
    rule = Rule(
        agreement=agreement,
        kind=kind,
        memo_match=memo_match,
        memo=memo,
        netuid=netuid,
        side=side,
        on_stake=on_stake,
        on_unstake=on_unstake,
        on_restake=on_restake,
        priority=priority,
        applies_from_block=applies_from_block,
        applies_until_block=applies_until_block,
    )
    _save_new(rule, actor=actor, reason=reason)
    return rule


@in_turn
def add_wallets(
    *,
    actor: Actor,
    partner: Partner,
    addresses: Collection[str],
    introduced_date: date,
    notes: str = "",
    reason: str = "",
) -> list[Wallet]:
    """Add delegators' addresses to a partner, all or none.

    :raises WalletTaken: when one is already listed, with whose it is.
    :raises Refused: when one is not an address, or is given twice.
    """
    if len(set(addresses)) != len(addresses):
        raise Refused("An address is given twice. Remove the repetition and try again.")
    chain = own_chain()
    listed = Wallet.objects.filter(chain=chain, address__in=addresses)
    for other in listed.select_related("partner"):
        raise WalletTaken(
            f"{other.address} is already a wallet of {other.partner}. Reassign it if it changed hands."
        )
    wallets = [
        Wallet(partner=partner, chain=chain, address=address, introduced_date=introduced_date, notes=notes)
        for address in addresses
    ]
    ours = {hotkey.address: hotkey for hotkey in Hotkey.objects.filter(address__in=addresses)}
    for wallet in wallets:
        # The queries of a whole validation, once for all: a list has many thousands.
        if wallet.address in ours:
            raise Refused(f"{wallet.address}: {own_hotkey_text(ours[wallet.address])}")
        try:
            wallet.clean_fields(exclude=["partner"])
        except ValidationError as error:
            raise Refused(f"{wallet.address}: {'; '.join(error.messages)}") from error
    with recorded(actor=actor, reason=reason):
        return Wallet.objects.bulk_create(wallets)


def add_wallet(
    *,
    actor: Actor,
    partner: Partner,
    address: str,
    introduced_date: date,
    notes: str = "",
    reason: str = "",
) -> Wallet:
    """Add one delegator's address to a partner; see :func:`add_wallets`."""
    return add_wallets(
        actor=actor,
        partner=partner,
        addresses=[address],
        introduced_date=introduced_date,
        notes=notes,
        reason=reason,
    )[0]


@in_turn
def set_wallets_active(*, actor: Actor, wallet_ids: Collection[int], is_active: bool, reason: str) -> int:
    """Switch wallets on or off from the next close on; give how many were not so already.

    :raises Refused: without a reason, because money changes hands.
    """
    _need_reason(reason, "are switched on" if is_active else "are switched off")
    with recorded(actor=actor, reason=reason):
        return Wallet.objects.filter(pk__in=wallet_ids, is_active=not is_active).update(is_active=is_active)


def deactivate_wallets(*, actor: Actor, wallet_ids: Collection[int], reason: str) -> int:
    """Switch wallets off: in periods not yet closed nobody earns by them. Closed periods stay.

    :raises Refused: without a reason.
    """
    return set_wallets_active(actor=actor, wallet_ids=wallet_ids, is_active=False, reason=reason)


def reactivate_wallets(*, actor: Actor, wallet_ids: Collection[int], reason: str) -> int:
    """Switch wallets on again; they count from their introduced date in periods not yet closed.

    :raises Refused: without a reason.
    """
    return set_wallets_active(actor=actor, wallet_ids=wallet_ids, is_active=True, reason=reason)


@in_turn
def reassign_wallets(
    *, actor: Actor, wallet_ids: Collection[int], partner: Partner, introduced_date: date, reason: str
) -> int:
    """Give wallets to another partner, from 00:00 UTC of `introduced_date`; give how many changed hands.

    The former partner keeps what closed periods gave them, and earns by these wallets until that day in those that are not
    closed yet. A wallet that was switched off or had ended counts again, for the new partner alone.

    :raises Refused: without a reason, because money changes hands.
    """
    _need_reason(reason, "change hands")
    wallets = Wallet.objects.filter(pk__in=wallet_ids).exclude(partner=partner)
    with recorded(actor=actor, reason=reason):
        return wallets.order_by().update(
            partner=partner, introduced_date=introduced_date, ended_date=None, is_active=True
        )


def _need_reason(reason: str, what: str) -> None:
    if not reason.strip():
        raise Refused(f"Say why the wallets {what}; the history must show it.")


@in_turn
def set_rules_active(*, actor: Actor, rule_ids: Collection[int], is_active: bool, reason: str = "") -> int:
    """Switch rules on or off; give how many were not so already."""
    with recorded(actor=actor, reason=reason):
        return Rule.objects.filter(pk__in=rule_ids, is_active=not is_active).update(is_active=is_active)


@in_turn
def set_partners_status(*, actor: Actor, partner_ids: Collection[int], status: str, reason: str = "") -> int:
    """Pause partners or make them active; give how many changed. A paused partner earns but is not paid."""
    with recorded(actor=actor, reason=reason):
        return Partner.objects.filter(pk__in=partner_ids).exclude(status=status).update(status=status)


def rules_now() -> dict[str, Any]:
    """Give all that decides whose a delegation is, as data that a change can be told by."""
    return rule_book().fingerprint()


def ask_what_if(
    *,
    actor: AbstractBaseUser | AnonymousUser,
    title: str,
    change: BookChange,
    names: dict[str, str],
    form: dict[str, Any],
    now: datetime,
    first_day: date | None = None,
    last_day: date | None = None,
) -> WhatIf:
    """Have a change tried on closed days in the background; without days, on the last one.

    :param names: of partners by id, who may be part of the change.
    :param form: `action` and `fields`, by which the page offers to save it.
    :raises Refused: when it would change nothing that decides whose stake is, or the days are turned round.
    """
    if actor.pk is None:
        raise Refused("Nobody is signed in. Sign in and ask again.")
    if any("\0" in text for field in form["fields"] for text in field):
        raise Refused("A value holds a character that cannot be stored (U+0000). Type it anew.")
    if is_empty(change):
        raise Refused("This would change nobody's share: there is nothing to compare.")
    if first_day is not None and last_day is not None and last_day < first_day:
        raise Refused("The first day is after the last one.")
    asked = WhatIf.objects.create(
        title=title[:200],
        change=change,
        names=names,
        form=form,
        asked_at=now,
        asked_by_id=actor.pk,
        first_day=first_day,
        last_day=last_day,
    )
    # The ledger stands above this app, so its task is called by name.
    transaction.on_commit(lambda: current_app.send_task("ledger.what_if", [asked.pk]), robust=True)
    return asked


def cancel_what_if(*, what_if: WhatIf, now: datetime) -> bool:
    """Stop a comparison that is not finished; give whether it was not."""
    rows = WhatIf.objects.filter(pk=what_if.pk, finished_at=None)
    return bool(rows.update(state=WhatIf.State.CANCELLED, finished_at=now))


def _save_new(row: Any, *, actor: Actor, reason: str) -> None:
    _validate(row)
    with recorded(actor=actor, reason=reason):
        row.save(force_insert=True)


def _validate(row: Any) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise Refused("; ".join(error.messages)) from error
