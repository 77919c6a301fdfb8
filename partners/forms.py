"""Forms of the admin: rates as percent, amounts in TAO, spans as two moments, a reason for each change."""

from __future__ import annotations

from datetime import date, datetime, time
from itertools import pairwise
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import BigAutoField
from django.utils import timezone
from django.utils.text import format_lazy
from import_export.forms import ConfirmImportForm
from psycopg.types.range import TimestamptzRange
from unfold.contrib.import_export.forms import ImportForm
from unfold.forms import ActionForm, PaginationInlineFormSet
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDateWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from chain.models import Hotkey
from chain.network import UNIT, coin
from chain.units import BPS_WHOLE, format_bps, parse_tao
from partners.models import (
    Agreement,
    AgreementTemplate,
    Partner,
    Rule,
    Wallet,
    check_wallet_day,
    own_sides,
    short_amount,
    validate_address,
    validate_reason,
)
from partners.rates import InvalidTiers, check_tiers
from partners.services import describe_overlap, find_overlap
from partners.sheets import BYTES_MAX, ROWS_MAX

REASON_LENGTH_MAX = 500
NETUID_MAX = 65_535
ADDRESSES_MAX = 1_000
WHY = "Say why, in a few words: it is kept beside the change."
WHY_MONEY_MOVES = "Say why, in a few words: money changes hands by this, and the history must show it."


def reason_field() -> forms.CharField:
    """Make the field that every form of this app ends with."""
    return forms.CharField(
        label="Why this change?",
        required=False,
        max_length=REASON_LENGTH_MAX,
        validators=[validate_reason],
        widget=UnfoldAdminTextInputWidget,
        help_text="Kept in the history beside the change.",
    )


def _ask_why(form: forms.ModelForm) -> None:  # type: ignore[type-arg]
    """A new row explains itself; a change of one does not, so its reason must be given (PA6)."""
    if "reason" in form.fields and form.instance.pk is not None:
        form.fields["reason"].required = True
        form.fields["reason"].error_messages["required"] = WHY


def _shrink_notes(form: forms.BaseForm) -> None:
    # Those who may only look have no such fields.
    for name in {"notes", "tiers", "excluded_wallets"} & form.fields.keys():
        form.fields[name].widget.attrs["rows"] = 3


class RateField(forms.CharField):
    """A rate typed as `33`, `33.5 %` or `3350 bps`, as whole basis points."""

    widget = UnfoldAdminTextInputWidget

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Percent, like 33 % or 33.5 %; or basis points, like 3350 bps.")
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        """Show basis points as percent; leave what a user typed."""
        return format_bps(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> Any:
        """Read the text.

        :raises ValidationError: when it is no rate, finer than a basis point, or above 100 %.
        """
        text = (super().to_python(value) or "").lower().replace(" ", "")
        if not text:
            return None
        number, in_bps = text.removesuffix("bps").removesuffix("%"), text.endswith("bps")
        whole, _, part = number.partition(".")
        part = part.rstrip("0")
        # Python itself refuses to read numbers of thousands of digits.
        is_short = len(whole) <= 9
        if not (
            is_short
            and whole.isascii()
            and whole.isdigit()
            and (not part or (part.isascii() and part.isdigit()))
        ):
            raise ValidationError("Write a rate like 33 %, 33.5 % or 3350 bps.")
        if len(part) > (0 if in_bps else 2):
            raise ValidationError("The finest rate is 0.01 %, one basis point.")
        bps = int(whole) if in_bps else int(whole) * 100 + int(part.ljust(2, "0"))
        if bps > BPS_WHOLE:
            hint = "" if in_bps or int(whole) > BPS_WHOLE else f" For {whole} basis points write {whole} bps."
            raise ValidationError(f"{number} {'bps' if in_bps else '%'} is more than the whole.{hint}")
        return bps

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare basis points, so that `33` and `33 %` are the same."""
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True


class TaoField(forms.CharField):
    """An amount typed in the installation's coin, as rao."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        """Show rao as TAO without idle zeros; leave what a user typed."""
        return short_amount(value) if isinstance(value, int) else value

    def to_python(self, value: Any) -> Any:
        """Read the text.

        :raises ValidationError: when it is no amount, negative or more than can be stored.
        """
        text = super().to_python(value)
        try:
            rao = parse_tao(text, coin().unit) if text else 0
        except ValueError as error:
            raise ValidationError(f"{error}.") from error
        if not 0 <= rao < 2**63:
            raise ValidationError(f"The amount is not negative and at most 9,223,372,036 {coin().unit}.")
        return rao

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare rao, so that `1` and `1.0` are the same."""
        try:
            return bool(self.to_python(data) != (initial or 0))
        except ValidationError:
            return True


class MomentField(forms.SplitDateTimeField):
    """A day and, if it is not midnight, a time, in UTC."""

    widget = UnfoldAdminSplitDateTimeWidget

    def compress(self, data_list: Any) -> datetime | None:
        """Put the two together; a day without a time begins at midnight."""
        if data_list and data_list[0] and data_list[1] in self.empty_values:
            data_list = [data_list[0], time()]
        return super().compress(data_list)


class ReasonForm(forms.ModelForm):  # type: ignore[type-arg]
    """A model form that also asks why; the admin writes the answer into the history."""

    reason = reason_field()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _shrink_notes(self)
        _ask_why(self)


class PartnerForm(ReasonForm):
    """A partner's own values."""

    class Meta:
        model = Partner
        fields = ("name", "slug", "kind", "status", "contact_email", "notes")


class AgreementInlineForm(forms.ModelForm):  # type: ignore[type-arg]
    """An agreement as people write it: percent, TAO, two moments. Overlaps are found by the formset."""

    rate = RateField(
        help_text="Percent, like 33 % or 33.5 %; or basis points, like 3350 bps. Days that are closed keep the rate they "
        "were closed with. For a new rate from some day on, end this agreement that day and add the next one."
    )
    effective_from = MomentField(
        label="From",
        help_text="Included. Without a time: 00:00 UTC. Days that are closed already are not paid again.",
        required=False,
    )
    effective_until = MomentField(
        label="Until", help_text="Excluded. Leave empty for no end.", required=False
    )
    minimum_payout = TaoField(
        required=False,
        help_text=format_lazy("In {}. Less than this is carried forward to the next payout.", UNIT),
    )

    class Meta:
        model = Agreement
        fields = ("partner", "basis", "new_delegators_only", "notes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        agreement = self.instance
        if agreement.pk is not None:
            self.initial["rate"] = agreement.rate_bps
            self.initial["minimum_payout"] = agreement.minimum_payout_rao
            self.initial["effective_from"] = agreement.effective.lower
            self.initial["effective_until"] = agreement.effective.upper
        _shrink_notes(self)
        _ask_why(self)

    def clean(self) -> dict[str, Any]:
        """Put the values into the agreement as it is stored."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        # The page shows no parts of a second; what nobody touched keeps them.
        start, end = (
            values.get(name) if name in self.changed_data else self.initial.get(name)
            for name in ("effective_from", "effective_until")
        )
        if start is None and "effective_from" not in self.errors:
            self.add_error("effective_from", "An agreement needs a start.")
        elif start is not None and end is not None and end <= start:
            self.add_error("effective_until", "The end must be after the start.")
        elif start is not None and "effective_until" not in self.errors:
            self.instance.effective = TimestamptzRange(start, end, "[)")
        if values.get("rate") is not None:
            self.instance.rate_bps = values["rate"]
        self.instance.minimum_payout_rao = values.get("minimum_payout") or 0
        return values


class CapField(TaoField):
    """An amount typed in the installation's coin that may be left out: None, which is not nothing."""

    def to_python(self, value: Any) -> Any:
        """Read the text.

        :raises ValidationError: when it is no amount, negative or more than can be stored.
        """
        return None if value in self.empty_values else super().to_python(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare rao; no limit differs from a limit of nothing."""
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True


class TiersField(forms.CharField):
    """Rates by volume, one `100: 40 %` a line: from 100 TAO of take in a month on, 40 %."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """Show a line per tier; leave what a user typed."""
        if not isinstance(value, list):
            return value
        return "\n".join(f"{short_amount(border)}: {format_bps(rate)}" for border, rate in value)

    def to_python(self, value: Any) -> Any:
        """Read the lines.

        :raises ValidationError: naming the line that is no tier.
        """
        tiers = []
        lines = (super().to_python(value) or "").splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            border, colon, rate = line.partition(":")
            try:
                if not (colon and border.strip() and rate.strip()):
                    raise ValidationError("write the volume, a colon and the rate, like 100: 40 %.")
                tiers.append([TaoField().to_python(border.strip()), RateField().to_python(rate)])
            except ValidationError as error:
                raise ValidationError(f"Line {number}, “{line.strip()[:40]}”: {error.messages[0]}") from error
        try:
            check_tiers(tiers)
        except InvalidTiers as error:
            raise ValidationError(f"Not possible: {error}.") from error
        return tiers

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the tiers, however they were typed."""
        try:
            return bool(self.to_python(data) != (initial or []))
        except ValidationError:
            return True


class AddressesField(forms.CharField):
    """Addresses, one a line or separated by commas."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """Show an address a line; leave what a user typed."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Read the addresses, each once, in order.

        :raises ValidationError: naming the one that is no address, or how many there are too many.
        """
        words = (super().to_python(value) or "").replace(",", " ").split()
        for word in words:
            try:
                validate_address(word)
            except ValidationError as error:
                raise ValidationError(f"{word[:60]}: {error.messages[0]}") from error
        if len(words) > ADDRESSES_MAX:
            raise ValidationError(f"These are {len(words):,} addresses; {ADDRESSES_MAX:,} is the most.")
        return sorted(set(words))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the addresses, however they were typed."""
        try:
            return bool(self.to_python(data) != sorted(initial or []))
        except ValidationError:
            return True


class NetuidsField(forms.CharField):
    """Numbers of subnets typed as `2, 5, 64`."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        """Show the numbers; leave what a user typed."""
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Read the numbers, each once, in order.

        :raises ValidationError: naming what is no number of a subnet.
        """
        words = [word.strip() for word in (super().to_python(value) or "").split(",") if word.strip()]
        for word in words:
            # Python itself refuses to read numbers of thousands of digits.
            is_number = word.isascii() and word.isdigit() and len(word) <= 9
            if not (is_number and int(word) <= NETUID_MAX):
                raise ValidationError(f"{word[:40]} is no subnet; write numbers like 2, 5, 64.")
        return sorted({int(word) for word in words})

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the numbers, however they were typed."""
        try:
            return bool(self.to_python(data) != (initial or []))
        except ValidationError:
            return True


class AgreementForm(AgreementInlineForm):
    """An agreement on its own page, compared with the stored ones of its partner."""

    netuids = NetuidsField(label="Subnets", required=False, help_text="Numbers like 2, 5, 64. Empty: all.")
    hotkeys = forms.MultipleChoiceField(
        required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text="None ticked: all."
    )
    sides = forms.MultipleChoiceField(
        label="What it earns",
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None ticked: all.",
    )
    excluded_netuids = NetuidsField(
        label="Subnets left out",
        required=False,
        help_text="Numbers like 2, 5, 64, whatever rule finds the stake.",
    )
    excluded_wallets = AddressesField(
        label="Wallets left out", required=False, help_text="Addresses that never count here, one a line."
    )
    tiers = TiersField(
        label="Rates by volume",
        required=False,
        help_text=format_lazy(
            "A line like 100: 40 % pays 40 % on what comes above 100 {} of the basis in a month (UTC). What is below keeps"
            " the rate above.",
            UNIT,
        ),
    )
    monthly_cap_rao = CapField(
        label="At most a month",
        required=False,
        help_text=format_lazy(
            "In {}, by months of UTC. All commission of the partner counts, also what other terms paid. Empty: no limit."
            " What is beyond is not owed later. Alpha that was earned before is held to what held then.",
            UNIT,
        ),
    )
    reason = reason_field()

    class Meta(AgreementInlineForm.Meta):
        fields = (  # type: ignore[assignment]
            *AgreementInlineForm.Meta.fields,
            "netuids",
            "hotkeys",
            "sides",
            "excluded_netuids",
            "excluded_wallets",
            "tiers",
            "monthly_cap_rao",
            "wallet_attribution_enabled",
            "aggregation",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Those who may only look have no such fields.
        if "hotkeys" in self.fields and "sides" in self.fields:
            ours = {hotkey.address: str(hotkey) for hotkey in Hotkey.objects.order_by("label", "address")}
            named = {address: address for address in self.instance.hotkeys if address not in ours}
            self.fields["hotkeys"].choices = list((ours | named).items())  # type: ignore[attr-defined]
            self.fields["sides"].choices = own_sides()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Name the agreement that this one would overlap."""
        values = super().clean()
        self.instance.partner_id = values["partner"].pk if values.get("partner") else self.instance.partner_id
        if not self.errors and self.instance.partner_id and (other := find_overlap(self.instance)):
            self.add_error("effective_from", describe_overlap(other))
        return values


class TemplateForm(ReasonForm):
    """Usual terms, typed as those of an agreement."""

    rate_bps = RateField(label="Rate")
    minimum_payout_rao = TaoField(
        label="Minimum payout", required=False, help_text=format_lazy("In {}.", UNIT)
    )

    class Meta:
        model = AgreementTemplate
        fields = ("name", "description", "rate_bps", "minimum_payout_rao", "new_delegators_only", "rule_kind")


class AgreementFormSet(PaginationInlineFormSet):
    """All agreements of one partner, saved together and therefore compared with each other."""

    def clean(self) -> None:
        """Name the agreement that another would overlap, as both would be after saving."""
        super().clean()
        if any(self.errors):
            return
        whole = [form for form in self.forms if form.instance.effective is not None]
        whole.sort(key=lambda form: form.instance.effective.lower)
        for earlier, later in pairwise(whole):
            end = earlier.instance.effective.upper
            if end is None or later.instance.effective.lower < end:
                late, early = (later, earlier) if later.has_changed() else (earlier, later)
                late.add_error("effective_from", describe_overlap(early.instance))
                raise ValidationError(
                    f"Two agreements overlap: {earlier.instance.terms}, and {later.instance.terms}."
                )


class RuleForm(ReasonForm):
    """A rule on its own page or below its agreement."""

    class Meta:
        model = Rule
        fields = (
            "agreement",
            "kind",
            "memo_match",
            "memo",
            "on_stake",
            "on_unstake",
            "on_restake",
            "netuid",
            "side",
            "priority",
            "applies_from_block",
            "applies_until_block",
            "is_active",
        )


class KnownChoiceField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A choice of rows that is shown again only if it can be one: the list to choose from looks it up as it was sent."""

    def prepare_value(self, value: Any) -> Any:
        """Leave out what is no number of a row."""
        try:
            BigAutoField().to_python(value)
        except ValidationError:
            return None
        return super().prepare_value(value)


class WalletForm(ReasonForm):
    """A wallet. Giving it to another partner needs a reason."""

    class Meta:
        model = Wallet
        fields = ("partner", "chain", "address", "introduced_date", "ended_date", "is_active", "notes")
        help_texts = {
            "introduced_date": "The wallet counts from 00:00 UTC of this day. For another partner: the day from which it is "
            "theirs; until then it stays the former's.",
            "ended_date": "From 00:00 UTC of this day it counts no more. Empty: it goes on.",
        }

    def clean_introduced_date(self) -> date:
        """Refuse a day to come, as lists do."""
        day: date = self.cleaned_data["introduced_date"]
        if "introduced_date" in self.changed_data and day > timezone.now().date():
            raise ValidationError("This day is in the future. A wallet is introduced today or earlier.")
        return day

    def clean(self) -> dict[str, Any]:
        """Ask why, when a wallet changes hands."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        changes_hands = self.instance.pk is not None and "partner" in self.changed_data
        if changes_hands and not values.get("reason") and "reason" in self.fields:
            self.add_error("reason", "Say why: money changes hands by this.")
        if (
            changes_hands
            and "introduced_date" not in self.changed_data
            and "introduced_date" not in self.errors
        ):
            # The day that stands there is the former partner's first: left so by oversight, they would lose them all.
            self.add_error(
                "introduced_date",
                f"This is the day from which it was {self._former_partner()}'s. Give the day from which it is the new"
                " partner's. If they are to have every day that is not closed yet, choose the wallet in the list of wallets"
                " and Give to another partner.",
            )
        return values

    def _former_partner(self) -> Partner:
        return Partner.objects.get(pk=self.initial["partner"])


class ReasonActionForm(ActionForm):
    """The bar of bulk actions, with a reason."""

    reason = forms.CharField(
        label="",
        required=False,
        max_length=REASON_LENGTH_MAX,
        widget=forms.TextInput(
            {
                "placeholder": "Why this change?",
                "aria-label": "Why this change?",
                "class": "bg-white/20 grow px-2 py-1 rounded-default text-current lg:w-72",
            }
        ),
    )


class WalletImportForm(ImportForm):
    """The upload of a wallet list. Whether it is CSV or XLSX is seen by what it holds."""

    def __init__(self, formats: Any, resources: Any, **kwargs: Any) -> None:
        super().__init__(formats, resources, **kwargs)
        self.fields["format"] = forms.CharField(required=False, widget=forms.HiddenInput)
        file = self.fields["import_file"]
        file.label = "CSV or XLSX file"
        file.help_text = f"At most {BYTES_MAX // 1024**2} MB and {ROWS_MAX:,} rows."
        file.error_messages["empty"] = "The file is empty."

    def clean_format(self) -> str:
        """Take the only format there is."""
        return "0"

    def clean_import_file(self) -> Any:
        """Refuse by size before anything is read."""
        file = self.cleaned_data["import_file"]
        if file.size > BYTES_MAX:
            raise ValidationError(
                f"The file has {file.size:,} bytes; {BYTES_MAX:,} ({BYTES_MAX // 1024**2} MB) is the most. Split the list."
            )
        return file


class ExplainedForm(forms.Form):
    """What is done only with a reason, as deleting."""

    reason = reason_field()
    why = WHY

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = True
        self.fields["reason"].error_messages["required"] = self.why


class ManyWalletsForm(ExplainedForm):
    """What switching many wallets on or off asks for."""

    why = WHY_MONEY_MOVES


class ReassignForm(ManyWalletsForm):
    """What giving many wallets to another partner asks for."""

    partner = forms.ModelChoiceField(
        Partner.objects.all(),
        label="New partner",
        widget=UnfoldAdminSelectWidget,
        error_messages={"required": "Choose who gets the wallets."},
    )
    introduced_date = forms.DateField(
        label="Introduced",
        widget=UnfoldAdminDateWidget,
        help_text="The wallets count for the new partner from 00:00 UTC of this day.",
        error_messages={
            "required": "Give the day from which the wallets count for the new partner.",
            "invalid": "This is not a date; write it as 2025-08-31.",
        },
    )
    field_order = ("partner", "introduced_date", "reason")

    def clean_introduced_date(self) -> Any:
        """Refuse a day before any chain or to come, as lists do: the wallets would count for nobody until then."""
        day = self.cleaned_data["introduced_date"]
        try:
            check_wallet_day(day, "introduced_date")
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if day > timezone.now().date():
            raise ValidationError(
                f"The date {day.isoformat()} is in the future. Give today's or an earlier day."
            )
        return day


class WalletConfirmForm(ConfirmImportForm):
    """The confirmation of an upload. Whether it needs a reason is known when it is compared with what is stored."""

    reason = reason_field()
