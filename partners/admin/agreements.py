"""Agreements and their rules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet
from django.forms import BaseFormSet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import StackedInline, TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet

from chain.display import amount_html
from chain.units import format_bps
from partners import forms, services
from partners.admin.base import BACK, RecordedAdmin, reason_of, tried, without_reason
from partners.models import (
    Agreement,
    AgreementTemplate,
    Partner,
    Rule,
    own_sides,
    short_amount,
    short_moment,
)

# An agreement without its form, whose fields exist only there.
SHOWN_VALUES = ("starts", "ends", "rate", "minimum", "covered")
SHOWN_TERMS = (("starts", "ends"), ("rate", "minimum"), "basis", "covered", "notes")


# What a rule finds delegators by. What a remark counts on stands on the rule's own page, where there is room.
LOOKS_AT = ("kind", "memo_match", "memo", "netuid", "side")


class AgreementDisplay:
    """An agreement in words, for lists and for those who may only look."""

    @display(description="Rate", ordering="rate_bps")
    def rate(self, agreement: Agreement) -> Any:
        return format_html('<span title="{} bps">{}</span>', agreement.rate_bps, agreement.rates)

    @display(description="From (UTC)", ordering="effective__startswith")
    def starts(self, agreement: Agreement) -> str:
        return short_moment(agreement.effective.lower)

    @display(description="Until (UTC)", ordering="effective__endswith")
    def ends(self, agreement: Agreement) -> str:
        return short_moment(agreement.effective.upper) if agreement.effective.upper else "no end"

    @display(description="Minimum payout", ordering="minimum_payout_rao")
    def minimum(self, agreement: Agreement) -> Any:
        return amount_html(agreement.minimum_payout_rao)

    @display(description="Covers")
    def covered(self, agreement: Agreement) -> str:
        return agreement.covers


class AgreementInline(AgreementDisplay, StackedInline):
    model = Agreement
    form = forms.AgreementInlineForm
    formset = forms.AgreementFormSet
    fields = (
        "effective_from",
        "effective_until",
        ("rate", "minimum_payout"),
        "basis",
        "new_delegators_only",
        "notes",
    )
    extra = 0
    can_delete = False
    show_change_link = True

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if self.has_change_permission(request, obj) else SHOWN_TERMS

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if self.has_change_permission(request, obj) else SHOWN_VALUES


def _shown_for(kind: str) -> str:
    """The script's condition: a rule of this kind. Those who may only look have no field of that name and see all."""
    return f"typeof kind === 'undefined' || kind == '{kind}'"


class OwnSides:
    """Offers what stake can earn on the chain held here, and not on others."""

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "side":
            kwargs["choices"] = [("", "Select value"), *own_sides()]
        return super().formfield_for_choice_field(db_field, request, **kwargs)  # type: ignore[misc]


class RuleFormSet(PaginationInlineFormSet):
    """A page of an agreement's rules, which saves what was sent, wherever those rules stand by now."""

    def _existing_object(self, pk: int) -> Any:
        # Somebody else's rule, or priority, may have moved one to another page: it would be left out without a word.
        return super()._existing_object(pk) or self.queryset.filter(pk=pk).first()


class RuleInline(OwnSides, TabularInline):
    model = Rule
    formset = RuleFormSet
    fields = (*LOOKS_AT, "priority", "applies_from_block", "is_active")
    # An app may have thousands.
    per_page = 20
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        """Bring along what names a rule."""
        rules: QuerySet[Rule] = super().get_queryset(request).select_related("agreement__partner")
        return rules

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """One rule to fill in where a template brings it."""
        return 1 if obj is None and _template_of(request) is not None else 0


def _template_of(request: HttpRequest) -> AgreementTemplate | None:
    """The template that the page was opened with."""
    asked = request.GET.get("template", "")
    is_number = asked.isascii() and asked.isdecimal() and len(asked) < 9
    return AgreementTemplate.objects.filter(pk=int(asked)).first() if is_number else None


def _first_match(template: AgreementTemplate) -> str:
    return Rule.Compare.STARTS if template.rule_kind == Rule.Kind.MEMO else ""


class AgreementSaving:
    """Saving of agreements, shared by their own page and the partner's."""

    def start_with_a_rule(self, request: HttpRequest, agreements: list[Agreement]) -> None:
        """Give a new agreement the wallet rule without which it would find nobody."""
        for agreement in agreements:
            if agreement.partner.kind == Partner.Kind.NAMED and not agreement.rules.exists():
                services.add_rule(actor=request.user, agreement=agreement, reason=reason_of(request))
                messages.info(
                    request,
                    f"The agreement {agreement.terms} was given a wallet rule, so that it finds wallets.",
                )
            elif not agreement.rules.exists():
                messages.warning(
                    request,
                    f"The agreement {agreement.terms} has no rule yet, so it finds nobody. Add one by remark on its page.",
                )


@admin.register(AgreementTemplate)
class AgreementTemplateAdmin(RecordedAdmin):
    """Usual terms to begin new agreements from."""

    form = forms.TemplateForm
    list_display = ("name", "terms", "finds_by", "description")
    search_fields = ("name", "description")
    actions = ("delete_selected",)
    empty_title = "No templates"
    empty_text = "A template fills in a new agreement: its rate, what it covers and how it finds delegators."

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Ask why whoever may change it."""
        return without_reason(self, request, obj, super().get_fieldsets(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A template is no agreement: nothing rests on it, and the history keeps what it was."""
        return bool(super(RecordedAdmin, self).has_delete_permission(request, obj))

    @display(description="Terms")
    def terms(self, template: AgreementTemplate) -> str:
        only = ", new delegators only" if template.new_delegators_only else ""
        return f"{format_bps(template.rate_bps)}{only}"

    @display(description="Finds delegators by", ordering="rule_kind")
    def finds_by(self, template: AgreementTemplate) -> str:
        return str(template.get_rule_kind_display()).partition(":")[0]


@admin.register(Agreement)
class AgreementAdmin(AgreementDisplay, AgreementSaving, RecordedAdmin):
    form = forms.AgreementForm
    asks_what_if = True
    list_display = ("partner", "rate", "starts", "ends", "in_force", "covered", "minimum", "rule_count")
    list_display_links = ("partner", "rate")
    list_select_related = ("partner",)
    list_filter = (("partner", RelatedDropdownFilter),)
    list_filter_submit = True
    search_fields = ("partner__name", "partner__slug", "notes")
    autocomplete_fields = ("partner",)
    inlines = (RuleInline,)
    change_form_outer_before_template = "admin/partners/templates.html"
    empty_title = "No agreements yet"
    empty_text = (
        "An agreement says what share of the take a partner is paid, and from when. Add a partner first."
    )
    fieldsets = (
        (
            None,
            {"fields": ("partner", "effective_from", "effective_until", ("rate", "minimum_payout"), "basis")},
        ),
        ("Rates by volume, monthly limit", {"fields": ("tiers", "monthly_cap_rao")}),
        ("Wallets on statements", {"fields": ("wallet_attribution_enabled", "aggregation")}),
        ("What it covers", {"fields": ("netuids", "hotkeys", "sides", "new_delegators_only")}),
        ("What it leaves out", {"fields": ("excluded_netuids", "excluded_wallets")}),
        (None, {"fields": ("notes", "reason")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agreement]:
        agreements: QuerySet[Agreement] = super().get_queryset(request)
        in_force = ExpressionWrapper(Q(effective__contains=timezone.now()), output_field=BooleanField())
        active = Count("rules", filter=Q(rules__is_active=True))
        return agreements.annotate(rules_now=active, is_in_force=in_force)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> Any:
        """Offer templates to begin from, and say how an agreement comes to be."""
        chosen = _template_of(request)
        context = {"agreement_templates": AgreementTemplate.objects.all(), "chosen_template": chosen}
        return super().add_view(request, form_url, {**context, **(extra_context or {})})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Fill in a template's terms, from the next midnight on."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        if (template := _template_of(request)) is not None:
            tomorrow = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            initial |= {
                "rate": format_bps(template.rate_bps),
                "minimum_payout": short_amount(template.minimum_payout_rao),
                "new_delegators_only": template.new_delegators_only,
                "effective_from": tomorrow,
            }
        return initial

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        """Fill in the rule of a template."""
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if request.method == "GET" and (template := _template_of(request)) is not None:
            kwargs["initial"] = [{"kind": template.rule_kind, "memo_match": _first_match(template)}]
        return kwargs

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return ((None, {"fields": ("partner", *SHOWN_TERMS)}),)
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return SHOWN_VALUES
        # What was earned under it is the partner's, also what is sold later.
        kept = ("partner",) if obj is not None else ()
        return (*super().get_readonly_fields(request, obj), *kept)

    @display(description="In force", boolean=True, ordering="is_in_force")
    def in_force(self, agreement: Any) -> bool:
        return bool(agreement.is_in_force)

    @display(description="Active rules", ordering="rules_now")
    def rule_count(self, agreement: Any) -> str:
        return str(agreement.rules_now or "none: finds nobody")

    def save_related(
        self, request: HttpRequest, form: Any, formsets: list[BaseFormSet[Any]], change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            self.start_with_a_rule(request, [form.instance])


@admin.register(Rule)
class RuleAdmin(OwnSides, RecordedAdmin):
    form = forms.RuleForm
    asks_what_if = True
    list_per_page = 50
    list_display = ("agreement", "finds_by", "priority", "applies_from_block", "is_active")
    conditional_fields = {
        "memo_match": _shown_for("MEMO"),
        "memo": _shown_for("MEMO"),
        "on_stake": _shown_for("MEMO"),
        "on_unstake": _shown_for("MEMO"),
        "on_restake": _shown_for("MEMO"),
        "netuid": _shown_for("SUBNET"),
        "side": _shown_for("SIDE"),
    }
    list_select_related = ("agreement__partner",)
    list_filter = ("is_active", "kind", ("agreement__partner", RelatedDropdownFilter))
    list_filter_submit = True
    search_fields = ("agreement__partner__name", "memo")
    autocomplete_fields = ("agreement",)
    actions = ("deactivate", "reactivate", "try_deactivate", "try_reactivate")
    empty_title = "No rules yet"
    empty_text = "A rule says how the delegators of an agreement are found. It comes with a new agreement."

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        kept = ("agreement",) if obj is not None else ()
        return (*super().get_readonly_fields(request, obj), *kept)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Django puts last what cannot be typed.
        return sorted(super().get_fields(request, obj), key=lambda name: name != "agreement")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return without_reason(self, request, obj, super().get_fieldsets(request, obj))

    @display(description="Finds delegators by", ordering="kind")
    def finds_by(self, rule: Rule) -> str:
        return rule.looks_at

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        self._set_active(request, queryset, False)

    @admin.action(description="Reactivate", permissions=["change"])
    def reactivate(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        self._set_active(request, queryset, True)

    @admin.action(description="What if deactivated", permissions=["change"])
    def try_deactivate(self, request: HttpRequest, queryset: QuerySet[Rule]) -> HttpResponse | None:
        return self._try_active(request, queryset, "deactivate")

    @admin.action(description="What if reactivated", permissions=["change"])
    def try_reactivate(self, request: HttpRequest, queryset: QuerySet[Rule]) -> HttpResponse | None:
        return self._try_active(request, queryset, "reactivate")

    def _try_active(self, request: HttpRequest, queryset: QuerySet[Rule], action: str) -> HttpResponse | None:
        """Switch the rules, read the rule book that it makes, take it back, and have the difference tried (PA9)."""
        if not self.is_explained(request):
            return None
        keys = list(queryset.values_list("pk", flat=True))
        _, change, names = tried(
            lambda: services.set_rules_active(
                actor=request.user, rule_ids=keys, is_active=action == "reactivate", reason=reason_of(request)
            )
        )
        return self.ask(request, f"{action.capitalize()} rules: {len(keys):,}", change, names, action=action)

    def _set_active(self, request: HttpRequest, queryset: QuerySet[Rule], is_active: bool) -> None:
        # Who comes back from a comparison finds the list.
        if BACK in request.POST or not self.is_explained(request):
            return
        keys = list(queryset.values_list("pk", flat=True))
        done = services.set_rules_active(
            actor=request.user, rule_ids=keys, is_active=is_active, reason=reason_of(request)
        )
        self.report(request, len(keys), done, f"Rules now {'active' if is_active else 'inactive'}")
