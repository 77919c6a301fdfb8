"""What is owed and why: attributions, closed periods, statement lines, double entry.

Nothing here is ever edited or removed; triggers refuse it. A correction is a new entry. Amounts are integers
in rao; sums are checked in code when written and by the database at commit.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, BigIntegerRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q

from chain.families import COINS
from chain.fields import RaoField
from chain.models import ADDRESS_LENGTH, Conversion, FiatPrice, Side, Yield
from chain.units import BPS_WHOLE
from partners.models import BASES, Agreement, Partner, Rule, Wallet
from partners.rates import Basis


class Attribution(models.Model):
    """Proof that one yield's take was split over its delegators to the last rao (LE1).

    The shares themselves are re-derived from positions on demand; `digest` is a hash of all of them
    (`ledger.attribution.digest`), so any later derivation can be compared with what was attributed.
    """

    source = models.OneToOneField(Yield, on_delete=models.PROTECT, related_name="attribution")
    take_rao = RaoField(help_text="Sum over delegators; equals the yield's take.")
    delegator_count = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    ruleset = models.PositiveSmallIntegerField(
        db_default=1, help_text="The numbered rules by which it was split and hashed."
    )

    class Meta:
        ordering = ["-source_id"]
        constraints = [models.CheckConstraint(condition=Q(take_rao__gte=0), name="attribution_not_negative")]

    def __str__(self) -> str:
        return f"attribution of {self.source}"


class Period(models.Model):
    """A closed, half-open span of blocks. A row exists only once the period is closed; closing is final.

    No two closed periods overlap, so a day and its month can never both become due (LE6).
    """

    class Kind(models.TextChoices):
        DAY = "DAY", "Day"

    key = models.CharField(max_length=10, unique=True, help_text="UTC day, YYYY-MM-DD.")
    kind = models.CharField(max_length=5, choices=Kind.choices, default=Kind.DAY)
    start_at = models.DateTimeField()
    end_at = models.DateTimeField()
    blocks = BigIntegerRangeField()
    manifest = models.JSONField(help_text="Inputs, rules and code the period was closed with.")
    manifest_hash = models.CharField(max_length=64)
    closed_at = models.DateTimeField()
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, help_text="Empty: the scheduler."
    )

    class Meta:
        ordering = ["-start_at"]
        permissions = [("close_period", "Can close a period"), ("check_period", "Can run the checks")]
        constraints = [
            ExclusionConstraint(name="period_no_overlap", expressions=[("blocks", RangeOperators.OVERLAPS)]),
            models.CheckConstraint(condition=Q(end_at__gt=F("start_at")), name="period_ends_after_start"),
        ]

    def __str__(self) -> str:
        return self.key


class PeriodPrice(models.Model):
    """The quote that a period's statements are valued at: that of its end, attached once, when it is known.

    It is kept rather than looked up, so that a value that was shown does not change when another quote comes later. A
    trigger sees that the quote is TAO's in dollars and not of after the period's end.
    """

    period = models.OneToOneField(Period, on_delete=models.PROTECT, related_name="usd")
    price = models.ForeignKey(FiatPrice, on_delete=models.PROTECT, related_name="+")
    attached_at = models.DateTimeField()

    class Meta:
        ordering = ["-period__start_at"]

    def __str__(self) -> str:
        return f"price of {self.period_id}"


class PartnerTake(models.Model):
    """The part of one yield's take that one agreement's delegators earned; without agreement, nobody's: our own.

    Per yield the rows add up to its take, checked at commit.
    """

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="partner_takes")
    source = models.ForeignKey(Yield, on_delete=models.PROTECT, related_name="partner_takes")
    partner = models.ForeignKey(Partner, null=True, on_delete=models.PROTECT, related_name="+")
    agreement = models.ForeignKey(Agreement, null=True, on_delete=models.PROTECT, related_name="+")
    rate_bps = models.PositiveIntegerField(default=0)
    steps = ArrayField(
        ArrayField(models.BigIntegerField(), size=2),
        default=list,
        db_default=[],
        help_text="Rates by the month's volume: from rao, basis points. Empty: the one rate holds for all of it.",
    )
    cap_rao = models.BigIntegerField(
        null=True,
        help_text="The most that the partner's commission of a month comes to, in rao. Empty: no limit.",
    )
    gross_rao = RaoField(
        null=True,
        help_text="The gross dividend that the take is of, where the rate is of that. Empty: it is of the take.",
    )
    delegator_count = models.PositiveIntegerField()
    take_rao = RaoField()

    class Meta:
        ordering = ["source", "agreement"]
        constraints = [
            models.CheckConstraint(condition=Q(cap_rao__gte=0), name="partner_take_cap_not_negative"),
            models.CheckConstraint(
                condition=Q(gross_rao__isnull=True) | Q(gross_rao__gte=F("take_rao"), partner__isnull=False),
                name="partner_take_within_gross",
            ),
            models.UniqueConstraint(
                fields=["source", "agreement"], nulls_distinct=False, name="partner_take_once_per_agreement"
            ),
            models.CheckConstraint(condition=Q(take_rao__gte=0), name="partner_take_not_negative"),
            models.CheckConstraint(
                condition=Q(rate_bps__lte=BPS_WHOLE), name="partner_take_rate_at_most_whole"
            ),
            models.CheckConstraint(
                condition=Q(partner__isnull=True, agreement__isnull=True, rate_bps=0)
                | Q(partner__isnull=False, agreement__isnull=False),
                name="partner_take_has_both_or_neither",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.partner or 'own'}: {self.take_rao} of {self.source}"


class Delegator(models.Model):
    """A coldkey that earned the validator take, by the number under which roll-ups name it."""

    id = models.AutoField(primary_key=True)
    coldkey = models.CharField(max_length=ADDRESS_LENGTH, unique=True)

    def __str__(self) -> str:
        return self.coldkey


class RollUp(models.Model):
    """What every delegator of one pool earned the validator in a closed period, of one partner's or of nobody's.

    The i-th of `delegators` earned the i-th of `takes_rao`; they are in the order of their addresses, and who earned nothing
    is not among them. Two columns instead of a row for each: twenty thousand delegators on every subnet are millions of
    rows, of which indexes and foreign keys take a hundred times as long to write. `DelegatorTake` reads them as rows.
    Per (period, hotkey, netuid, side) they add up to the take of the period's yields, checked at commit.
    """

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="roll_ups")
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    side = models.CharField(max_length=9, choices=Side.choices)
    partner = models.ForeignKey(Partner, null=True, on_delete=models.PROTECT, related_name="+")
    delegators = ArrayField(models.IntegerField())
    takes_rao = ArrayField(models.BigIntegerField())
    take_rao = RaoField(help_text="Their sum.")

    class Meta:
        ordering = ["period", "hotkey", "netuid", "side", "partner"]
        constraints = [
            models.UniqueConstraint(
                fields=["period", "hotkey", "netuid", "side", "partner"],
                nulls_distinct=False,
                name="roll_up_once",
            ),
            # That each earned something, and that they are known and add up, is checked at commit.
            models.CheckConstraint(
                condition=Q(delegators__len__gt=0, delegators__len=F("takes_rao__len"), take_rao__gt=0),
                name="roll_up_names_whose_each_take_is",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hotkey} {self.netuid} {self.side} {self.period_id}"


class DelegatorTake(models.Model):
    """What one delegator earned the validator in a closed period, per pool and side, and whose they were: a view.

    Ask it by period, pool or partner. By coldkey alone it looks through every roll-up there is.
    """

    period = models.ForeignKey(Period, on_delete=models.DO_NOTHING, related_name="delegator_takes")
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    side = models.CharField(max_length=9, choices=Side.choices)
    coldkey = models.CharField(max_length=ADDRESS_LENGTH)
    partner = models.ForeignKey(Partner, null=True, on_delete=models.DO_NOTHING, related_name="+")
    take_rao = RaoField()

    class Meta:
        managed = False
        db_table = "ledger_delegatortake"
        ordering = ["period", "hotkey", "netuid", "side", "coldkey"]

    def __str__(self) -> str:
        return f"{self.coldkey} {self.period_id}"


class NamedTake(models.Model):
    """What one wallet earned the validator in a closed period, per pool, under an agreement whose lines name wallets (LE3).

    Per (period, hotkey, netuid, side, agreement) the rows add up to the agreement's part of the take, checked at commit.
    """

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="named_takes")
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    side = models.CharField(max_length=9, choices=Side.choices)
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="+")
    wallet_address = models.CharField(max_length=ADDRESS_LENGTH)
    take_rao = RaoField()

    class Meta:
        ordering = ["period", "hotkey", "netuid", "side", "agreement", "wallet_address"]
        constraints = [
            models.UniqueConstraint(
                fields=["agreement", "wallet_address", "hotkey", "netuid", "side", "period"],
                name="named_take_once",
            ),
            models.CheckConstraint(
                condition=Q(take_rao__gt=0) & ~Q(wallet_address=""), name="named_take_says_whose_and_how_much"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.wallet_address} {self.period_id}"


class DelegationWinner(models.Model):
    """The rule that won one delegation at every epoch of its pool in a range of blocks of a closed period (PA1).

    The database refuses two winners of one delegation at one block. `outranked` are the rules that claimed it too, the next
    in rank first; why every other rule did not is derived from the period's own rules.
    """

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="winners")
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    side = models.CharField(max_length=9, choices=Side.choices)
    coldkey = models.CharField(max_length=ADDRESS_LENGTH)
    tag_hash = models.CharField(max_length=66, blank=True, help_text="Of the remark it came under, or empty.")
    moved_hash = models.CharField(
        max_length=66,
        blank=True,
        default="",
        db_default="",
        help_text="Of the remark it was last moved under, or empty.",
    )
    blocks = BigIntegerRangeField(help_text="From the first epoch that it won to the last.")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="+")
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="+")
    rule = models.ForeignKey(Rule, on_delete=models.PROTECT, related_name="+")
    wallet = models.ForeignKey(Wallet, null=True, on_delete=models.PROTECT, related_name="+")
    outranked = ArrayField(models.BigIntegerField(), default=list)

    class Meta:
        ordering = ["period", "hotkey", "netuid", "side", "coldkey", "tag_hash", "moved_hash", "blocks"]
        indexes = [models.Index(fields=["coldkey"])]
        constraints = [
            ExclusionConstraint(
                name="delegation_won_once",
                expressions=[
                    ("hotkey", RangeOperators.EQUAL),
                    ("netuid", RangeOperators.EQUAL),
                    ("side", RangeOperators.EQUAL),
                    ("coldkey", RangeOperators.EQUAL),
                    ("tag_hash", RangeOperators.EQUAL),
                    ("moved_hash", RangeOperators.EQUAL),
                    ("blocks", RangeOperators.OVERLAPS),
                ],
            ),
            models.CheckConstraint(
                condition=Q(
                    blocks__isempty=False, blocks__startswith__isnull=False, blocks__endswith__isnull=False
                ),
                name="delegation_won_at_blocks",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.coldkey} {self.blocks}"


class ConversionAllocation(models.Model):
    """The part of a conversion that sold the take of one yield, first in, first out (LE4).

    What a conversion sold beyond the unsold take has no row: it was the owner's own stake.
    """

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="allocations")
    conversion = models.ForeignKey(Conversion, on_delete=models.PROTECT, related_name="allocations")
    source = models.ForeignKey(Yield, on_delete=models.PROTECT, related_name="allocations")
    alpha_rao = RaoField()
    tao_rao = RaoField()

    class Meta:
        ordering = ["conversion", "source"]
        constraints = [
            models.UniqueConstraint(fields=["conversion", "source"], name="allocation_once"),
            models.CheckConstraint(condition=Q(alpha_rao__gt=0) & Q(tao_rao__gte=0), name="allocation_valid"),
        ]

    def __str__(self) -> str:
        return f"{self.alpha_rao} of {self.source}"


class CommissionLine(models.Model):
    """One line of a partner's statement: what their delegators earned in TAO and the partner's part of it.

    `base_rao` is take in TAO: take that arrived in TAO when it was credited, take in alpha when it was converted; where the
    `basis` is the gross dividend, it is the dividend that this take is of, at the same price.
    Where the installation holds another chain, its own coin stands in the place of TAO.
    Alpha keeps the rate it was earned at, so after a change of rate one pool can have two lines.
    """

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="commission_lines")
    partner = models.ForeignKey(Partner, on_delete=models.PROTECT, related_name="commission_lines")
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="+")
    hotkey = models.CharField(max_length=ADDRESS_LENGTH)
    netuid = models.PositiveIntegerField()
    side = models.CharField(max_length=9, choices=Side.choices)
    basis = models.CharField(max_length=5, choices=BASES, default=Basis.TAKE, db_default=Basis.TAKE)
    base_rao = RaoField()
    rate_bps = models.PositiveIntegerField()
    commission_rao = RaoField()
    wallet_address = models.CharField(
        max_length=ADDRESS_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text="Whose stake earned it, where the agreement's lines name wallets.",
    )

    class Meta:
        ordering = [
            "period",
            "partner",
            "hotkey",
            "netuid",
            "side",
            "agreement",
            "rate_bps",
            "basis",
            "wallet_address",
        ]
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "period",
                    "agreement",
                    "hotkey",
                    "netuid",
                    "side",
                    "rate_bps",
                    "basis",
                    "wallet_address",
                ],
                name="commission_line_once",
            ),
            models.CheckConstraint(
                condition=Q(rate_bps__lte=BPS_WHOLE), name="commission_rate_at_most_whole"
            ),
            models.CheckConstraint(condition=Q(base_rao__gte=0), name="commission_base_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.partner} {self.period_id} {self.side}"


class Account(models.Model):
    """A ledger account in one currency. Debits are positive, credits negative; a debt to a partner is negative."""

    class Kind(models.TextChoices):
        TAKE = "TAKE", "Take realised"
        OWN_SHARE = "OWN_SHARE", "The validator's own share"
        PAYABLE = "PAYABLE", "Payable to a partner"
        IN_FLIGHT = "IN_FLIGHT", "Approved, not yet paid"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    currency = models.CharField(
        max_length=12, default="TAO", choices=[(coin.unit, coin.unit) for coin in COINS.values()]
    )
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="accounts"
    )

    class Meta:
        ordering = ["kind", "partner"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "currency", "partner"], nulls_distinct=False, name="account_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["PAYABLE", "IN_FLIGHT"], partner__isnull=False)
                | Q(kind__in=["TAKE", "OWN_SHARE"], partner__isnull=True),
                name="account_partner_fits_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.partner}" if self.partner_id else self.get_kind_display()


class Entry(models.Model):
    """One balanced transaction. `key` is its natural key, so that posting it twice is impossible (L4)."""

    class Kind(models.TextChoices):
        CLOSE = "CLOSE", "Period close"
        RESERVE = "RESERVE", "Payout approved"
        RELEASE = "RELEASE", "Payout cancelled"

    key = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    period = models.ForeignKey(Period, null=True, on_delete=models.PROTECT, related_name="entries")
    reverses = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="reversed_by")
    memo = models.CharField(max_length=200, blank=True)
    posted_at = models.DateTimeField()
    posted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "entries"
        constraints = [
            models.CheckConstraint(condition=Q(reverses__lt=F("id")), name="entry_reverses_an_older_one"),
            models.CheckConstraint(
                condition=Q(kind="CLOSE", period__isnull=False) | (~Q(kind="CLOSE") & Q(period__isnull=True)),
                name="entry_period_fits_kind",
            ),
            models.UniqueConstraint(fields=["period"], name="entry_closes_a_period_once"),
        ]

    def __str__(self) -> str:
        return self.key


class Posting(models.Model):
    """One leg of an entry. Legs can only be written in the transaction that wrote the entry (L2)."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="postings")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="postings")
    amount_rao = RaoField()

    class Meta:
        ordering = ["entry", "id"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "account"], name="posting_once_per_account"),
            models.CheckConstraint(condition=~Q(amount_rao=0), name="posting_not_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.amount_rao} {self.account}"


class CheckRun(models.Model):
    """One run of a check that recomputes the ledger from the facts, and what it found (LE8).

    No day closes while a run with differences stands that no later one of the same check, or of the whole ledger, cleared.
    """

    class Check(models.TextChoices):
        LEDGER = "LEDGER", "Whole ledger"
        ATTRIBUTION = "ATTRIBUTION", "Attributions"
        CONVERSIONS = "CONVERSIONS", "Conversions"

    check_name = models.CharField("check", max_length=12, choices=Check.choices)
    blocks = BigIntegerRangeField(null=True, help_text="What was looked at. Empty: everything.")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    counts = models.JSONField(help_text="How many of each were looked at.")
    difference_count = models.PositiveIntegerField()
    differences = ArrayField(models.TextField(), help_text="The first of them.")
    run_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: the scheduler.",
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(finished_at__gte=F("started_at")), name="check_run_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(difference_count=0, differences__len=0)
                | Q(difference_count__gte=F("differences__len"), differences__len__gt=0),
                name="check_run_names_its_differences",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_check_name_display()} {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def ok(self) -> bool:
        """Tell whether everything agreed."""
        return not self.difference_count

    @property
    def counted(self) -> str:
        """Say what was looked at."""
        found = ", ".join(f"{count:,} {name}" for name, count in sorted(self.counts.items()))
        where = f" of blocks {self.blocks.lower:,} to {self.blocks.upper - 1:,}" if self.blocks else ""
        return f"{found or 'nothing yet'}{where}"
