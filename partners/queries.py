"""Reads of partners, their agreements, rules and wallets that others use."""

from __future__ import annotations

from partners.matching import AgreementTerms, RuleBook, RuleTerms, WalletTerms
from partners.models import Agreement, Rule, Wallet, own_chain


def rule_book() -> RuleBook:
    """Read everything that decides whose a delegation is on the chain held here, in four queries."""
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
        )
        for rule in Rule.objects.order_by("pk")
    ]
    columns = Wallet.objects.filter(chain=own_chain()).order_by("pk")
    wallets = [
        WalletTerms(*values)
        for values in columns.values_list("pk", "partner_id", "address", "introduced_date", "is_active")
    ]
    return RuleBook(agreements, rules, wallets)
