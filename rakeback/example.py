"""Two partners with agreements, rules and fifty wallets beside the demonstration's, to try lists, rules and closing with.

Most of the wallets are addresses made from a text, to which nobody has a key, so neither partner has a payout address. The
others are delegators of the recorded chain that no partner has, so that both partners earn in the next day that closes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from django.conf import settings
from django.db import transaction

from chain.addresses import encode_address
from chain.families import NAMES, Family
from chain.models import Hotkey, Position, Tag, Yield
from chain.network import family
from chain.queries import last_block
from ledger.models import Period
from ledger.readiness import next_day
from partners.models import Partner, Rule, Wallet
from partners.services import add_agreement, add_rule, add_wallets, create_partner
from rakeback.demo import PARTNER_SLUGS

REASON = "Example data, made by manage.py seed_example"
DELEGATORS_MAX = 8
MEMO = "example-app"


class ExampleRefused(Exception):
    """Nothing was made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One partner of the example, with how many wallets and what is agreed."""

    slug: str
    name: str
    kind: str
    rate_bps: int
    minimum_payout_rao: int
    wallet_count: int
    notes: str


PLANS = (
    Plan(
        slug="example-fund",
        name="Example Fund",
        kind=Partner.Kind.NAMED,
        rate_bps=2_500,
        minimum_payout_rao=10**8,
        wallet_count=30,
        notes="An example: found by its wallets alone.",
    ),
    Plan(
        slug="example-app",
        name="Example App",
        kind=Partner.Kind.HYBRID,
        rate_bps=4_000,
        minimum_payout_rao=0,
        wallet_count=20,
        notes=f"An example: found by its wallets, and by a remark that starts with {MEMO}.",
    ),
)


@dataclass(frozen=True, slots=True)
class Example:
    """What there is now: `delegators` are the wallets that hold stake, `block` the newest earning one in no closed day."""

    was_made: bool
    wallet_count: int
    delegators: Sequence[str]
    first_day: date
    block: int | None


def seed_example(*, now: datetime, even_so: bool = False) -> Example:
    """Make the example once; where it is already, change nothing.

    :param even_so: make it also in production and beside partners that are not the demonstration's.
    :raises ExampleRefused: there, and on chains other than Bittensor; nothing was written.
    """
    slugs = [plan.slug for plan in PLANS]
    there = Partner.objects.filter(slug__in=slugs).count()
    if there == len(slugs):
        wallets = Wallet.objects.filter(partner__slug__in=slugs)
        held = wallets.filter(address__in=_holders()).order_by("address")
        first = min(wallets.values_list("introduced_date", flat=True), default=now.date())
        return Example(
            False, wallets.count(), list(held.values_list("address", flat=True)), first, _open_block()
        )
    _refuse(there, slugs, even_so=even_so)
    return _make(now)


def _refuse(there: int, slugs: Sequence[str], *, even_so: bool) -> None:
    if family() is not Family.BITTENSOR:
        raise ExampleRefused(f"The example is of Bittensor; this installation holds {NAMES[family()]}.")
    if there:
        raise ExampleRefused(
            f"Of {' and '.join(slugs)} one is there and one is not. Rename the one that is there, then try again."
        )
    others = Partner.objects.exclude(slug__in=PARTNER_SLUGS).order_by("slug").values_list("slug", flat=True)
    why = "this is a production installation" if settings.IS_PRODUCTION else ""
    if others:
        why = f"there are partners already, {others[0]} for one"
    if why and not even_so:
        raise ExampleRefused(
            f"Nothing was made, because {why}, and partners cannot be removed again. Use another RAKEBACK_HOME or database,"
            " or add --yes."
        )


@transaction.atomic
def _make(now: datetime) -> Example:
    delegators = unclaimed_delegators()
    first_day = next_day() or now.astimezone(UTC).date()
    count = 0
    for number, plan in enumerate(PLANS):
        held = delegators[number :: len(PLANS)]
        made = [made_address(plan.slug, index) for index in range(plan.wallet_count - len(held))]
        count += len(_make_partner(plan, [*held, *made], first_day))
    return Example(True, count, delegators, first_day, _open_block())


def _make_partner(plan: Plan, addresses: Sequence[str], first_day: date) -> list[Wallet]:
    partner = create_partner(
        actor=None, name=plan.name, slug=plan.slug, kind=plan.kind, notes=plan.notes, reason=REASON
    )
    agreement = add_agreement(
        actor=None,
        partner=partner,
        rate_bps=plan.rate_bps,
        starts_at=datetime.combine(first_day, time(), UTC),
        minimum_payout_rao=plan.minimum_payout_rao,
        reason=REASON,
    )
    add_rule(actor=None, agreement=agreement, reason=REASON)
    if plan.kind != Partner.Kind.NAMED:
        add_rule(
            actor=None,
            agreement=agreement,
            kind=Rule.Kind.MEMO,
            memo_match=Rule.Compare.STARTS,
            memo=MEMO,
            reason=REASON,
        )
    return add_wallets(
        actor=None, partner=partner, addresses=addresses, introduced_date=first_day, reason=REASON
    )


def made_address(slug: str, index: int) -> str:
    """A valid address that is always the same and that nobody has a key to."""
    return encode_address(hashlib.sha256(f"rakeback example {slug} {index}".encode()).digest())


def _holders() -> set[str]:
    newest = last_block()
    rows = Position.objects.filter(blocks__contains=newest.number) if newest else Position.objects.none()
    return set(rows.values_list("coldkey", flat=True))


def unclaimed_delegators() -> list[str]:
    """Some who hold stake now, are nobody's wallet, never staked under a remark and are not the validator's own keys."""
    claimed = {
        *Wallet.objects.values_list("address", flat=True),
        *Tag.objects.filter(accepted=True).values_list("stake_event__coldkey", flat=True),
        *Yield.objects.order_by().values_list("owner", flat=True).distinct(),
        *Hotkey.objects.values_list("address", flat=True),
    }
    return sorted(_holders() - claimed)[:DELEGATORS_MAX]


def _open_block() -> int | None:
    """The newest block with a yield that is in no closed day."""
    last = Period.objects.order_by("-start_at").first()
    rows = Yield.objects.filter(block_id__gte=last.blocks.upper) if last else Yield.objects.all()
    return rows.order_by("-block_id").values_list("block_id", flat=True).first()
