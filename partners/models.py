"""Whose a delegation is: partners, where and under which agreements they are paid, the rules and wallets that find them.

Every change of these rows is written to a history table by a trigger (PA6), whoever makes it and however.
Who and why are stored in the history row itself, not in a shared context row, because the database refuses
to change or remove history rows (migration 0002) and a shared row would have to stay open to changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

import pghistory
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Deferrable, Exists, F, OuterRef, Q
from django.db.models.functions import Lower, Now
from psycopg.types.range import Range
from rest_framework_api_key.models import AbstractAPIKey

from chain.addresses import InvalidAddress
from chain.families import check_address
from chain.models import ADDRESS_LENGTH, COMPONENTS, Hotkey, Side
from chain.network import coin, family
from chain.units import BPS_WHOLE, format_bps, format_rao
from partners.matching import CHILD, RuleKind
from partners.memos import PATTERN_LENGTH_MAX, InvalidMemo, MemoMatch, matcher
from partners.rates import Aggregation, Basis, InvalidTiers, check_tiers
from partners.texts import check_name, check_notes, check_reason

Model = TypeVar("Model", bound=models.Model)


def tracked() -> Callable[[type[Model]], type[Model]]:
    """Record every insert, update and delete of the model, with who and why beside the values."""
    decorate: Callable[[type[Model]], type[Model]] = pghistory.track(
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        pghistory.DeleteEvent(),
        context_field=pghistory.ContextJSONField(),
        context_id_field=pghistory.ContextUUIDField(),
    )
    return decorate


def validate_address(address: str) -> None:
    """Refuse what is not the one canonical spelling of an address of this installation's chain.

    :raises ValidationError: naming what is wrong with it.
    """
    try:
        check_address(address, family())
    except InvalidAddress as error:
        raise ValidationError(f"This address {error}.", code="address") from error


def validate_notes(text: str) -> None:
    """Refuse notes that no list could bring.

    :raises ValidationError: naming the character or the length.
    """
    try:
        check_notes(text)
    except ValueError as error:
        raise ValidationError(str(error), code="text") from error


def validate_name(text: str) -> None:
    """Refuse a name that could pass for another.

    :raises ValidationError: naming the character.
    """
    try:
        check_name(text)
    except ValueError as error:
        raise ValidationError(str(error), code="text") from error


def validate_reason(text: str) -> None:
    """Refuse a reason that hides what it says.

    :raises ValidationError: naming the character.
    """
    try:
        check_reason(text)
    except ValueError as error:
        raise ValidationError(str(error), code="text") from error


def refuse_own_hotkey(address: str, *, field: str) -> None:
    """Refuse one of the validator's own hotkeys where a wallet is meant.

    :raises ValidationError: on `field`, when a tracked hotkey has this address.
    """
    hotkey = Hotkey.objects.filter(address=address).first() if address else None
    if hotkey is not None:
        raise ValidationError({field: own_hotkey_text(hotkey)})


def own_hotkey_text(hotkey: Hotkey) -> str:
    """Why a tracked hotkey is no wallet, and what to give instead."""
    return f"This is your own hotkey {hotkey}; give the partner's wallet (coldkey)."


class WalletChain(models.TextChoices):
    """The chains a partner's wallet can live on; in one installation only its own counts."""

    BITTENSOR = "BITTENSOR", "Bittensor"
    SOLANA = "SOLANA", "Solana"


def own_chain() -> str:
    """Name the chain that this installation holds, as a wallet does."""
    return WalletChain(family().value).value


SIDES = [*Side.choices, (CHILD, "Stake on child hotkeys")]


def own_sides() -> list[tuple[str, str]]:
    """What stake can earn on the chain that this installation holds: values and names."""
    is_imported = own_chain() != WalletChain.BITTENSOR
    return [(value, name) for value, name in SIDES if (value in COMPONENTS) == is_imported]


def describe_span(span: Range[datetime]) -> str:
    """Write a span of time in words, without the clock where it is midnight."""
    text = f"from {short_moment(span.lower)}" if span.lower else ""
    return f"{text} until {short_moment(span.upper)}" if span.upper else text


def short_moment(moment: datetime) -> str:
    """Write a moment in UTC, as the day alone where it is midnight."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}" if moment.time() == time() else f"{moment:%Y-%m-%d %H:%M} UTC"


AGGREGATIONS = [(Aggregation.LUMP_SUM, "One sum per pool"), (Aggregation.PER_WALLET, "Every wallet")]
BASES = [(Basis.TAKE, "Share of the take"), (Basis.GROSS, "Share of the gross dividend")]


def describe_rates(
    rate_bps: int, tiers: Sequence[Sequence[int]], cap_rao: int | None, basis: str = Basis.TAKE
) -> str:
    """Write rates in words: `33 %, from 100 TAO a month 40 %, at most 500 TAO a month`."""
    unit = coin().unit
    parts = [format_bps(rate_bps) + (" of the gross dividend" if basis == Basis.GROSS else "")]
    parts += [f"from {short_amount(border)} {unit} a month {format_bps(rate)}" for border, rate in tiers]
    return ", ".join(parts + ([] if cap_rao is None else [f"at most {short_amount(cap_rao)} {unit} a month"]))


def short_amount(rao: int) -> str:
    """Write an amount without idle zeros."""
    return format_rao(rao).rstrip("0").rstrip(".")


@tracked()
class Partner(models.Model):
    """Who brings delegators and is paid for it."""

    class Kind(models.TextChoices):
        NAMED = "NAMED", "Named: found by wallet address"
        TAGGED = "TAGGED", "Wallet app: found by the remark on stake"
        HYBRID = "HYBRID", "Both: some wallets named, others by remark"

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE", "Active"
        PAUSED = "PAUSED", "Paused: still earns, is not paid"

    name = models.CharField(max_length=120, unique=True, validators=[validate_name])
    slug = models.SlugField(
        max_length=60, unique=True, help_text="Used in addresses and commands; keep it short."
    )
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.NAMED)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    contact_email = models.EmailField(
        blank=True, help_text="Told of every request for a new payout address, as are the contacts before it."
    )
    notes = models.TextField(blank=True, validators=[validate_notes])

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="partner_name_once_in_any_case",
                violation_error_message="There is a partner of this name already, perhaps in other letters.",
            )
        ]

    def __str__(self) -> str:
        return self.name


COOLING_OFF_HOURS_MIN = 48
"""The database takes no shorter cooling-off, whatever the setting says."""


def _took_over() -> Exists:
    """Whether a later version of the outer query's partner is in force."""
    later = Q(effective_from__gt=OuterRef("effective_from")) | Q(
        effective_from=OuterRef("effective_from"), pk__gt=OuterRef("pk")
    )
    due = Q(partner=OuterRef("partner"), status=PayoutAddress.Status.APPROVED, effective_from__lte=Now())
    return Exists(PayoutAddress.objects.filter(later & due))


class PayoutAddressQuerySet(models.QuerySet["PayoutAddress"]):
    """Versions by the clock of the database, never that of the application."""

    def in_force(self) -> PayoutAddressQuerySet:
        """The version of each partner that payouts go to now, at most one per partner."""
        due = self.filter(status=PayoutAddress.Status.APPROVED, effective_from__lte=Now())
        return due.exclude(_took_over())

    def open(self) -> PayoutAddressQuerySet:
        """Changes under way: requested, or approved and cooling off."""
        return self.filter(_UNDER_WAY)

    def with_stage(self) -> PayoutAddressQuerySet:
        """Read with each version what its `stage` needs: the database's time, and whether a later one took over."""
        return self.annotate(clock=Now(), is_replaced=_took_over())


@tracked()
class PayoutAddress(models.Model):
    """One version of the address a partner is paid to (PA10): requested, announced, approved by another, cooled off.

    A trigger (migration 0011) sets every time from the database's clock, lets a version move forward only and holds its
    content still. The version in force is the approved one that took effect last.
    """

    class Status(models.TextChoices):
        REQUESTED = "REQUESTED", "Waits for a second person"
        APPROVED = "APPROVED", "Approved"
        CANCELLED = "CANCELLED", "Cancelled"

    class Origin(models.TextChoices):
        REQUEST = "REQUEST", "Requested"
        START = "START", "Given when the partner was added"
        BEFORE = "BEFORE", "Set before versions were kept"

    class Stage(models.TextChoices):
        """What a version is at the moment; by status and clock."""

        REQUESTED = "REQUESTED", "Waits for a second person"
        COOLING_OFF = "COOLING_OFF", "Cooling off"
        IN_FORCE = "IN_FORCE", "In force"
        REPLACED = "REPLACED", "Replaced"
        CANCELLED = "CANCELLED", "Cancelled"

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="payout_addresses")
    address = models.CharField(max_length=ADDRESS_LENGTH, validators=[validate_address])
    origin = models.CharField(max_length=7, choices=Origin.choices, default=Origin.REQUEST)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.REQUESTED)
    requested_at = models.DateTimeField(help_text="By the database's clock, as all times here.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(max_length=500)
    cooling_off_hours = models.PositiveIntegerField(
        "cooling-off in hours", help_text="How long after its approval it takes effect."
    )
    notice_to = ArrayField(
        models.EmailField(),
        default=list,
        blank=True,
        help_text="The partner's contacts of the last 30 days when the change was requested.",
    )
    notified_at = models.DateTimeField(null=True)
    notice_error = models.TextField(blank=True, help_text="Why the notice could not be sent.")
    told_at = models.DateTimeField(null=True)
    told_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    told_how = models.CharField(max_length=500, blank=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    effective_from = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    cancel_reason = models.CharField(max_length=500, blank=True)

    objects = PayoutAddressQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "payout address"
        verbose_name_plural = "payout addresses"
        default_permissions = ("view",)
        permissions = [
            ("request_payoutaddress", "Can request a new payout address"),
            ("approve_payoutaddress", "Can approve a new payout address"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["partner"], condition=Q(status="REQUESTED"), name="payout_address_one_request"
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) | ~Q(approved_by=F("requested_by")),
                name="payout_address_approver_is_another",
            ),
            models.CheckConstraint(
                condition=Q(told_by__isnull=True) | ~Q(told_by=F("requested_by")),
                name="payout_address_teller_is_another",
            ),
            models.CheckConstraint(
                condition=Q(
                    status="REQUESTED",
                    origin="REQUEST",
                    requested_by__isnull=False,
                    approved_by__isnull=True,
                    approved_at__isnull=True,
                    effective_from__isnull=True,
                    cancelled_by__isnull=True,
                    cancelled_at__isnull=True,
                    cancel_reason="",
                )
                | Q(
                    status="APPROVED",
                    origin="REQUEST",
                    requested_by__isnull=False,
                    approved_by__isnull=False,
                    approved_at__isnull=False,
                    effective_from__isnull=False,
                    cancelled_by__isnull=True,
                    cancelled_at__isnull=True,
                    cancel_reason="",
                )
                | Q(
                    status="APPROVED",
                    origin__in=["START", "BEFORE"],
                    approved_by__isnull=True,
                    approved_at__isnull=True,
                    effective_from__isnull=False,
                    cancelled_by__isnull=True,
                    cancelled_at__isnull=True,
                    cancel_reason="",
                )
                | Q(
                    status="CANCELLED",
                    origin="REQUEST",
                    requested_by__isnull=False,
                    cancelled_by__isnull=False,
                    cancelled_at__isnull=False,
                )
                & ~Q(cancel_reason=""),
                name="payout_address_status_fits_people",
            ),
            models.CheckConstraint(
                condition=~Q(origin="REQUEST") | Q(cooling_off_hours__gte=COOLING_OFF_HOURS_MIN),
                name="payout_address_cools_off",
            ),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True)
                | Q(
                    effective_from__isnull=False,
                    effective_from__gte=F("approved_at") + timedelta(hours=COOLING_OFF_HOURS_MIN),
                ),
                name="payout_address_effective_when_cooled",
            ),
            models.CheckConstraint(
                condition=~Q(origin="REQUEST", status="APPROVED")
                | Q(notified_at__isnull=False)
                | Q(told_at__isnull=False),
                name="payout_address_announced",
            ),
            models.CheckConstraint(
                condition=Q(notified_at__isnull=True) | ~Q(notice_to=[]) & Q(notice_error=""),
                name="payout_address_notice_has_readers",
            ),
            models.CheckConstraint(
                condition=Q(told_by__isnull=True, told_at__isnull=True, told_how="")
                | Q(told_by__isnull=False, told_at__isnull=False) & ~Q(told_how=""),
                name="payout_address_telling_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner}: {self.address}"

    def clean(self) -> None:
        """Refuse one of our own hotkeys."""
        refuse_own_hotkey(self.address, field="address")

    @property
    def stage(self) -> Stage:
        """What it is now; for versions read by `with_stage`."""
        if self.status != self.Status.APPROVED:
            return self.Stage(self.status)
        if self.effective_from is not None and self.effective_from > self.clock:  # type: ignore[attr-defined]
            return self.Stage.COOLING_OFF
        return self.Stage.REPLACED if self.is_replaced else self.Stage.IN_FORCE  # type: ignore[attr-defined]

    @property
    def is_announced(self) -> bool:
        """Tell whether the partner's contacts were told of it."""
        return self.notified_at is not None or self.told_at is not None


_UNDER_WAY = Q(status=PayoutAddress.Status.REQUESTED) | Q(
    status=PayoutAddress.Status.APPROVED, effective_from__gt=Now()
)


@tracked()
class Agreement(models.Model):
    """On what terms a partner is paid, over a half-open span that overlaps no other of theirs (PA2)."""

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="agreements")
    effective = DateTimeRangeField(
        help_text="From (included) until (excluded), UTC. Leave 'until' empty for no end."
    )
    rate_bps = models.PositiveIntegerField(
        "rate", validators=[MaxValueValidator(BPS_WHOLE)], help_text="Basis points: 3300 is 33 %."
    )
    basis = models.CharField(
        max_length=5,
        choices=BASES,
        default=Basis.TAKE,
        help_text="The gross dividend is the take and what the delegators got. No more than the take is ever paid.",
    )
    minimum_payout_rao = models.BigIntegerField(
        "minimum payout",
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Less than this is carried forward, in rao.",
    )
    wallet_attribution_enabled = models.BooleanField(
        "lines name the wallets",
        default=False,
        db_default=False,
        help_text="Each wallet has commission lines of its own, rounded down each. From the next day that closes.",
    )
    aggregation = models.CharField(
        "statements list",
        max_length=10,
        choices=AGGREGATIONS,
        default=Aggregation.LUMP_SUM,
        db_default=Aggregation.LUMP_SUM,
        help_text="What the partner reads. Wallets are listed only where lines name them.",
    )
    netuids = ArrayField(
        models.PositiveIntegerField(),
        default=list,
        db_default=[],
        blank=True,
        verbose_name="subnets",
        help_text="Numbers, separated by commas. Empty: all.",
    )
    hotkeys = ArrayField(
        models.CharField(max_length=ADDRESS_LENGTH),
        default=list,
        db_default=[],
        blank=True,
        help_text="Addresses of your hotkeys, separated by commas. Empty: all.",
    )
    sides = ArrayField(
        models.CharField(max_length=9, choices=SIDES),
        default=list,
        db_default=[],
        blank=True,
        help_text=f"What the stake earns, separated by commas: {', '.join(dict(SIDES))}. Empty: all.",
    )
    new_delegators_only = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Only wallets that had no stake with any of your hotkeys before: before their first stake under the "
        "remark, before the day they were introduced, or before this agreement began, by the rule that finds them.",
    )
    excluded_netuids = ArrayField(
        models.PositiveIntegerField(),
        default=list,
        db_default=[],
        blank=True,
        verbose_name="subnets left out",
        help_text="Numbers, separated by commas.",
    )
    excluded_wallets = ArrayField(
        models.CharField(max_length=ADDRESS_LENGTH, validators=[validate_address]),
        default=list,
        db_default=[],
        blank=True,
        verbose_name="wallets left out",
        help_text="Addresses that never count, whatever rule finds them.",
    )
    tiers = ArrayField(
        ArrayField(models.BigIntegerField(), size=2),
        default=list,
        db_default=[],
        blank=True,
        help_text="Rates of what comes above a volume of take in a month (UTC): from rao, basis points.",
    )
    monthly_cap_rao = models.BigIntegerField(
        "at most a month",
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="The most that a month's (UTC) commission comes to, in rao. Empty: no limit.",
    )
    notes = models.TextField(blank=True, validators=[validate_notes])

    class Meta:
        ordering = ["partner", "-effective"]
        constraints = [
            ExclusionConstraint(
                name="agreement_no_overlap",
                expressions=[("partner", RangeOperators.EQUAL), ("effective", RangeOperators.OVERLAPS)],
                # Checked by every statement, unless a transaction that moves several spans asks to wait.
                deferrable=Deferrable.IMMEDIATE,
                violation_error_message="This span overlaps another agreement of the partner.",
            ),
            models.CheckConstraint(
                condition=Q(aggregation=Aggregation.LUMP_SUM)
                | Q(aggregation=Aggregation.PER_WALLET, wallet_attribution_enabled=True),
                name="agreement_lists_wallets_that_lines_name",
                violation_error_message="A statement lists wallets only where lines name them.",
            ),
            models.CheckConstraint(
                condition=Q(rate_bps__lte=10_000),
                name="agreement_rate_at_most_whole",
                violation_error_message="The rate is at most 100 %.",
            ),
            models.CheckConstraint(
                condition=Q(minimum_payout_rao__gte=0),
                name="agreement_minimum_not_negative",
                violation_error_message="The minimum payout is not negative.",
            ),
            models.CheckConstraint(
                condition=Q(monthly_cap_rao__gte=0),
                name="agreement_cap_not_negative",
                violation_error_message="What a month comes to at most is not negative.",
            ),
            models.CheckConstraint(
                condition=~Q(effective__isempty=True) & Q(effective__startswith__isnull=False),
                name="agreement_has_a_start",
                violation_error_message="An agreement needs a start, before its end.",
            ),
            models.CheckConstraint(
                condition=Q(effective__lower_inc=True) & Q(effective__upper_inc=False),
                name="agreement_half_open",
                violation_error_message="The start of an agreement is included, its end is not.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner}: {self.terms}"

    def clean(self) -> None:
        """Refuse tiers that are none, and to list wallets that no line names."""
        try:
            check_tiers(self.tiers)
        except InvalidTiers as error:
            raise ValidationError({"tiers": f"Not possible: {error}."}) from error
        if self.aggregation == Aggregation.PER_WALLET and not self.wallet_attribution_enabled:
            raise ValidationError(
                {
                    "aggregation": "A statement lists wallets only where lines name them. Switch that on, or list sums."
                }
            )

    @property
    def terms(self) -> str:
        """The rate and the span in words: `33 % from 2025-08-01`."""
        return f"{format_bps(self.rate_bps)} {describe_span(self.effective)}"

    @property
    def rates(self) -> str:
        """All rates in words: `33 %, from 100 TAO a month 40 %, at most 500 TAO a month`."""
        return describe_rates(self.rate_bps, self.tiers, self.monthly_cap_rao, self.basis)

    @property
    def covers(self) -> str:
        """What it covers, in words: `Subnets 2, 5; root TAO; new delegators only`."""
        parts = []
        if self.netuids:
            parts.append(f"subnet{'s' if len(self.netuids) > 1 else ''} {', '.join(map(str, self.netuids))}")
        if self.hotkeys:
            parts.append(f"{len(self.hotkeys)} hotkey{'s' if len(self.hotkeys) > 1 else ''}")
        parts += [dict(SIDES)[side] for side in self.sides]
        if self.new_delegators_only:
            parts.append("new delegators only")
        if self.excluded_netuids:
            parts.append(f"not subnet {', '.join(map(str, self.excluded_netuids))}")
        if self.excluded_wallets:
            count = len(self.excluded_wallets)
            parts.append(f"not {count} wallet{'s' if count > 1 else ''}")
        text = "; ".join(parts) or "all stake"
        return text[0].upper() + text[1:]


@tracked()
class Rule(models.Model):
    """How an agreement's delegators are recognised (PA3); the lower priority wins, then the older rule."""

    class Kind(models.TextChoices):
        WALLET = RuleKind.WALLET, "Exact wallet: the partner's wallet list"
        MEMO = RuleKind.MEMO, "Remark: the text that an app leaves beside stake"
        SUBNET = RuleKind.SUBNET, "Subnet: all stake on it"
        SIDE = RuleKind.SIDE, "Side: all stake that earns so"
        ALL = RuleKind.ALL, "All stake"

    class Compare(models.TextChoices):
        EQUALS = MemoMatch.EQUALS, "Equals"
        STARTS = MemoMatch.STARTS, "Starts with"
        CONTAINS = MemoMatch.CONTAINS, "Contains"
        REGEX = MemoMatch.REGEX, "Regular expression (RE2)"

    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="rules")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.WALLET)
    memo_match = models.CharField(
        "remark", max_length=8, blank=True, default="", db_default="", choices=Compare.choices
    )
    memo = models.CharField(
        "text",
        max_length=PATTERN_LENGTH_MAX,
        blank=True,
        default="",
        db_default="",
        help_text="Compared byte by byte, letters' case too.",
    )
    on_stake = models.BooleanField(
        "on stake", default=True, db_default=True, help_text="What came to us under the remark counts."
    )
    on_unstake = models.BooleanField(
        "on unstake",
        default=True,
        db_default=True,
        help_text="What leaves beside the remark is taken from what came under it first.",
    )
    on_restake = models.BooleanField(
        "on restake",
        default=False,
        db_default=False,
        help_text="What is moved between our hotkeys or subnets beside the remark counts from then on, whoever brought it.",
    )
    netuid = models.PositiveIntegerField("subnet", null=True, blank=True)
    side = models.CharField(max_length=9, blank=True, default="", db_default="", choices=SIDES)
    priority = models.PositiveIntegerField(default=100)
    applies_from_block = models.BigIntegerField(default=0, help_text="First block the rule counts at.")
    applies_until_block = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="First block it counts at no more. Empty: it goes on. Ends a rule at a block, where "
        "switching it off takes it out of all days that are not closed yet.",
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "agreement",
                    "kind",
                    "memo_match",
                    "memo",
                    "netuid",
                    "side",
                    "on_stake",
                    "on_restake",
                    "applies_until_block",
                ],
                condition=Q(is_active=True),
                nulls_distinct=False,
                name="rule_once_per_agreement",
                violation_error_message="This agreement already has such an active rule.",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["WALLET", "ALL"], memo_match="", memo="", netuid=None, side="")
                | Q(kind="MEMO", memo_match__in=list(MemoMatch), netuid=None, side="") & ~Q(memo="")
                | Q(kind="SUBNET", memo_match="", memo="", netuid__isnull=False, side="")
                | Q(kind="SIDE", memo_match="", memo="", netuid=None, side__in=list(dict(SIDES))),
                name="rule_says_what_it_looks_at",
                violation_error_message="A rule gives what its kind looks at, and nothing else.",
            ),
            models.CheckConstraint(
                condition=Q(kind="MEMO") & (Q(on_stake=True) | Q(on_restake=True))
                | ~Q(kind="MEMO") & Q(on_stake=True, on_unstake=True, on_restake=False),
                name="rule_says_what_its_memo_counts_on",
                violation_error_message="A remark counts on stake or on restake, or on both.",
            ),
            models.CheckConstraint(condition=Q(applies_from_block__gte=0), name="rule_block_not_negative"),
            models.CheckConstraint(
                condition=Q(applies_until_block__isnull=True)
                | Q(applies_until_block__gt=F("applies_from_block")),
                name="rule_ends_after_it_begins",
                violation_error_message="A rule ends after the block that it begins at.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.agreement}: {self.looks_at}"

    @property
    def looks_at(self) -> str:
        """What it finds delegators by, in words, and until when if it ends."""
        found: str = self.get_kind_display().partition(":")[0]
        if self.kind == RuleKind.MEMO:
            found += f" {self.get_memo_match_display().lower()} “{self.memo}”{self._counts_on}"
        elif self.kind == RuleKind.SUBNET:
            found += f" {self.netuid}"
        elif self.kind == RuleKind.SIDE:
            found += f" {self.get_side_display()}"
        until = self.applies_until_block
        return found if until is None else f"{found} until block {until:,}"

    @property
    def _counts_on(self) -> str:
        """What a remark counts on, where it is not stake and unstake."""
        on = [name for name in ("stake", "unstake", "restake") if getattr(self, f"on_{name}")]
        return "" if on == ["stake", "unstake"] else f" on {' and '.join(on)}"

    def clean(self) -> None:
        """Refuse what the rule's kind does not look at, what it lacks, and a memo that is none."""
        wanted = {
            RuleKind.MEMO: {"memo_match", "memo"},
            RuleKind.SUBNET: {"netuid"},
            RuleKind.SIDE: {"side"},
        }.get(RuleKind(self.kind), set())
        kind = self.get_kind_display().partition(":")[0].lower()
        errors: dict[str, str] = {}
        if self.kind != RuleKind.MEMO:
            # Pages hide them there, whatever they held.
            self.on_stake, self.on_unstake, self.on_restake = True, True, False
        elif not (self.on_stake or self.on_restake):
            errors["on_stake"] = "A remark counts on stake or on restake, or on both."
        if self.applies_until_block is not None and self.applies_until_block <= (
            self.applies_from_block or 0
        ):
            errors["applies_until_block"] = "A rule ends after the block that it begins at."
        for name in ("memo_match", "memo", "netuid", "side"):
            is_given = getattr(self, name) not in (None, "")
            if is_given != (name in wanted):
                errors[name] = (
                    f"A rule by {kind} has none; leave it empty."
                    if is_given
                    else f"A rule by {kind} needs it."
                )
        if not errors and self.kind == RuleKind.MEMO:
            try:
                matcher(MemoMatch(self.memo_match), self.memo)
            except InvalidMemo as error:
                errors["memo"] = f"Not possible: {error}."
        if errors:
            raise ValidationError(errors)


WALLET_ENDS_LATER = "A wallet ends on a later day than it is introduced."
# No chain held here began before.
DAY_MIN = date(2020, 1, 1)


def check_wallet_day(day: date, field: str) -> None:
    """Refuse a day that no wallet can begin or end at.

    :param field: the field's name, named in the message.
    :raises ValueError: naming the date, when it is before `DAY_MIN`.
    """
    if day < DAY_MIN:
        raise ValueError(
            f"The {field.replace('_', ' ')} {day.isoformat()} is before {DAY_MIN.isoformat()}, and no chain held here"
            " is that old. Correct it."
        )


@tracked()
class Wallet(models.Model):
    """A delegator's address that belongs to one partner per chain (PA4), at the days `[introduced_date, ended_date)`."""

    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="wallets")
    chain = models.CharField(max_length=12, choices=WalletChain.choices, default=own_chain)
    address = models.CharField(max_length=ADDRESS_LENGTH, validators=[validate_address])
    introduced_date = models.DateField(help_text="The wallet counts from 00:00 UTC of this day.")
    ended_date = models.DateField(
        null=True,
        blank=True,
        help_text="From 00:00 UTC of this day it counts no more. Empty: it goes on. Ends a wallet at a day, where "
        "switching it off takes it out of all days that are not closed yet.",
    )
    is_active = models.BooleanField(default=True)
    notes = models.TextField(blank=True, validators=[validate_notes])

    class Meta:
        ordering = ["partner", "address"]
        permissions = [("export_wallet", "Can export wallet lists")]
        constraints = [
            models.UniqueConstraint(fields=["chain", "address"], name="wallet_one_partner_per_chain"),
            models.CheckConstraint(
                condition=Q(ended_date__isnull=True) | Q(ended_date__gt=F("introduced_date")),
                name="wallet_ends_after_it_begins",
                violation_error_message=WALLET_ENDS_LATER,
            ),
        ]
        # The order in which the admin lists them, without sorting all.
        indexes = [models.Index(fields=["partner", "address"], name="wallet_in_order")]

    def __str__(self) -> str:
        return self.address

    def clean(self) -> None:
        """Refuse another chain, days before any chain and our own hotkeys, and say whose a listed wallet is."""
        if self.chain != own_chain():
            raise ValidationError(
                {"chain": f"This installation holds {WalletChain(own_chain()).label} only."}
            )
        # Empty while a form has none.
        since: date | None = self.introduced_date
        for field, day in (("introduced_date", since), ("ended_date", self.ended_date)):
            try:
                check_wallet_day(day or DAY_MIN, field)
            except ValueError as error:
                raise ValidationError({field: str(error)}) from error
        if self.ended_date and since and self.ended_date <= since:
            raise ValidationError({"ended_date": WALLET_ENDS_LATER})
        refuse_own_hotkey(self.address, field="address")
        listed = Wallet.objects.filter(chain=self.chain, address=self.address).exclude(pk=self.pk)
        for other in listed.select_related("partner"):
            raise ValidationError({"address": f"This address is already a wallet of {other.partner}."})


@tracked()
class AgreementTemplate(models.Model):
    """Usual terms to begin a new agreement from. Changing one changes no agreement."""

    name = models.CharField(max_length=80, unique=True, validators=[validate_name])
    description = models.CharField(max_length=200, blank=True)
    rate_bps = models.PositiveIntegerField("rate", validators=[MaxValueValidator(BPS_WHOLE)])
    minimum_payout_rao = models.BigIntegerField(
        "minimum payout", default=0, validators=[MinValueValidator(0)]
    )
    new_delegators_only = models.BooleanField(default=False)
    rule_kind = models.CharField(
        "finds delegators by", max_length=8, choices=Rule.Kind.choices, default=Rule.Kind.WALLET
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(rate_bps__lte=BPS_WHOLE),
                name="template_rate_at_most_whole",
                violation_error_message="The rate is at most 100 %.",
            ),
            models.CheckConstraint(
                condition=Q(minimum_payout_rao__gte=0),
                name="template_minimum_not_negative",
                violation_error_message="The minimum payout is not negative.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class WhatIf(models.Model):
    """A change of agreements, rules or wallets that was not saved, tried on closed days in the background (PA9).

    `change` is what the book would differ by (:mod:`partners.what_if`), `form` the address and the values that would save
    it, `result` what the days done so far would have come to (:mod:`ledger.what_if`).
    """

    class State(models.TextChoices):
        WAITING = "WAITING", "Waiting for a worker"
        RUNNING = "RUNNING", "Running"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"

    title = models.CharField(max_length=200)
    change = models.JSONField()
    names = models.JSONField(help_text="Names of the partners concerned, who may not be saved yet.")
    form = models.JSONField()
    first_day = models.DateField(null=True, help_text="Empty until it runs: the last closed day.")
    last_day = models.DateField(null=True)
    state = models.CharField(max_length=9, choices=State.choices, default=State.WAITING)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "what if"
        verbose_name_plural = "what if"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["WAITING", "RUNNING"], finished_at=None)
                | Q(state__in=["DONE", "FAILED", "CANCELLED"], finished_at__isnull=False),
                name="what_if_ends_once",
            ),
            models.CheckConstraint(
                condition=Q(done__lte=models.F("total")), name="what_if_done_within_total"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class ApiKey(AbstractAPIKey):
    """A hashed key for the REST API, sent in `X-API-Key`. Bound to a partner it sees that partner only."""

    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="api_keys"
    )

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"


class Seal(models.Model):
    """The link that one row of the history is in a chain of hashes; written by a trigger with the row (PA6).

    `digest` is the SHA-256 of the row as JSON, of the columns that it had then; `hash` that of the hash before, this number,
    kind, row and digest. So no row can be changed, removed or moved without all links after it (`partners.sealing`). Columns
    that come later are not sealed in it: their values are known from the migration that adds them.
    """

    number = models.BigIntegerField(primary_key=True, help_text="From 1, without holes.")
    kind = models.CharField(max_length=20)
    event_id = models.BigIntegerField()
    columns = models.TextField(help_text="Names, separated by commas.")
    digest = models.BinaryField()
    hash = models.BinaryField()

    class Meta:
        ordering = ["number"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["kind", "event_id"], name="seal_once"),
            models.CheckConstraint(condition=Q(number__gt=0), name="seal_from_one"),
        ]

    def __str__(self) -> str:
        return f"seal {self.number}"


class Change(models.Model):
    """One line of the history of partners, of what hangs on them and of templates: a view, never written to."""

    class Kind(models.TextChoices):
        PARTNER = "PARTNER", "Partner"
        AGREEMENT = "AGREEMENT", "Agreement"
        RULE = "RULE", "Rule"
        WALLET = "WALLET", "Wallet"
        PAYOUTADDRESS = "PAYOUTADDRESS", "Payout address"
        AGREEMENTTEMPLATE = "AGREEMENTTEMPLATE", "Template"

    class What(models.TextChoices):
        INSERT = "insert", "Added"
        UPDATE = "update", "Changed"
        DELETE = "delete", "Removed"

    id = models.CharField(max_length=30, primary_key=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    event_id = models.BigIntegerField()
    object_id = models.BigIntegerField()
    partner = models.ForeignKey(Partner, null=True, on_delete=models.DO_NOTHING, related_name="+")
    at = models.DateTimeField()
    what = models.CharField(max_length=6, choices=What.choices)
    object_name = models.TextField()
    user_id = models.TextField(help_text="Empty: not done by anybody signed in.")
    username = models.TextField()
    reason = models.TextField()
    request_id = models.TextField(
        help_text="Names the request in the logs. Empty: done by a command, a task or SQL."
    )
    values = models.JSONField(help_text="The row as it was after the change.")

    class Meta:
        managed = False
        db_table = "partners_change"
        ordering = ["-at", "-event_id", "id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.object_name} {self.get_what_display().lower()}"
