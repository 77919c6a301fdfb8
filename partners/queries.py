"""Reads of partners, their agreements, rules and wallets that others use."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Now

from partners.matching import AgreementTerms, FormerSpan, RuleBook, RuleTerms, WalletTerms, former_of
from partners.models import Agreement, Change, Partner, PayoutAddress, Rule, Wallet, own_chain


def rule_book() -> RuleBook:
    """Read everything that decides whose a delegation is on the chain held here, in five queries."""
    agreements = [
        AgreementTerms(
            id=agreement.pk,
            partner_id=agreement.partner_id,
            partner_name=agreement.partner.name,
            starts_at=agreement.effective.lower,
            ends_at=agreement.effective.upper,
            rate_bps=agreement.rate_bps,
            basis=agreement.basis,
            netuids=frozenset(agreement.netuids),
            hotkeys=frozenset(agreement.hotkeys),
            sides=frozenset(agreement.sides),
            new_delegators_only=agreement.new_delegators_only,
            excluded_netuids=frozenset(agreement.excluded_netuids),
            excluded_wallets=frozenset(agreement.excluded_wallets),
            tiers=tuple((border, rate) for border, rate in agreement.tiers),
            monthly_cap_rao=agreement.monthly_cap_rao,
            names_wallets=agreement.wallet_attribution_enabled,
            aggregation=agreement.aggregation,
        )
        for agreement in Agreement.objects.select_related("partner").order_by("pk")
    ]
    rules = [
        RuleTerms(
            rule.pk,
            rule.agreement_id,
            rule.priority,
            rule.applies_from_block,
            rule.is_active,
            rule.kind,
            rule.memo_match,
            rule.memo,
            rule.netuid,
            rule.side,
            rule.on_stake,
            rule.on_unstake,
            rule.on_restake,
            rule.applies_until_block,
        )
        for rule in Rule.objects.order_by("pk")
    ]
    columns = Wallet.objects.filter(chain=own_chain()).order_by("pk")
    owners = former_owners()
    wallets = [
        WalletTerms(pk, partner, address, since, is_active, former_of(owners.get(pk, ()), since), until)
        for pk, partner, address, since, is_active, until in columns.values_list(
            "pk", "partner_id", "address", "introduced_date", "is_active", "ended_date"
        )
    ]
    return RuleBook(agreements, rules, wallets)


def former_owners() -> dict[int, list[FormerSpan]]:
    """By wallet that changed hands, who had it before, from and at most until which day, as its history says.

    Who had it switched off when it was taken from them had it for no day: it counted for nobody.
    """
    changes = Wallet.pgh_event_model.objects.order_by("pgh_obj_id", "pgh_id")  # type: ignore[attr-defined]
    moved = changes.exclude(partner_id=F("pgh_obj__partner_id")).filter(address=F("pgh_obj__address"))
    rows = changes.filter(pgh_obj_id__in=moved.order_by().values("pgh_obj_id"), address=F("pgh_obj__address"))
    found: dict[int, list[FormerSpan]] = defaultdict(list)
    before: tuple[int, int, date, bool, date | None] | None = None
    for row in rows.values_list("pgh_obj_id", "partner_id", "introduced_date", "is_active", "ended_date"):
        if before is not None and before[0] == row[0] and before[1] != row[1]:
            wallet, partner, since, was_active, until = before
            found[wallet].append((partner, since, (until or date.max) if was_active else since))
        before = row
    return found


def address_now(partner: str = "pk") -> Subquery:
    """The address a partner is paid to now, for annotations; null where there is none.

    :param partner: how the outer query names the partner.
    """
    versions = PayoutAddress.objects.filter(
        partner=OuterRef(partner), status=PayoutAddress.Status.APPROVED, effective_from__lte=Now()
    )
    return Subquery(versions.order_by("-effective_from", "-pk").values("address")[:1])


def contacts_since(partner: Partner, span: timedelta) -> list[str]:
    """List every contact e-mail that the partner had within the last `span`, by the history and the database's clock."""
    changes = Change.objects.filter(kind=Change.Kind.PARTNER, object_id=partner.pk)
    recent = changes.filter(at__gt=Now() - span).values_list("values__contact_email", flat=True)
    before = changes.filter(at__lte=Now() - span).order_by("-event_id")
    contacts = [*before.values_list("values__contact_email", flat=True)[:1], *recent.order_by("event_id")]
    return list(dict.fromkeys(contact for contact in contacts if contact))
