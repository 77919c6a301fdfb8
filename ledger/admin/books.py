"""Lists of what the ledger holds: attributions, lines, entries with their legs, accounts with their balance."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from chain.display import address_html, amount_html
from chain.fields import RaoField
from ledger.admin.base import LedgerAdmin
from ledger.admin.views import BlockPage
from ledger.display import rate_html, take_html
from ledger.models import Account, Attribution, CommissionLine, DelegationWinner, Entry, Posting
from ledger.templatetags.ledger import pool as pool_name
from partners.rates import Basis


@admin.register(Attribution)
class AttributionAdmin(LedgerAdmin):
    """Every attributed yield; each leads to its block's page."""

    list_display = ["block", "at", "netuid", "side", "take", "delegator_count", "hotkey"]
    list_display_links = ["block"]
    list_filter = ["source__side", "source__netuid"]
    list_select_related = ["source__block"]
    search_fields = ["source__block__number", "source__hotkey"]
    search_help_text = "A block number or a hotkey"
    ordering = ["-source__block_id", "source__netuid", "source__side"]
    show_full_result_count = False
    empty_title = "Nothing is attributed yet"
    empty_text = "Ingest blocks first; then `manage.py attribute`, or the scheduler, splits every take over delegators."

    @display(description="Block", ordering="source__block_id")
    def block(self, row: Attribution) -> str:
        return f"{row.source.block_id:,}"

    @display(description="Time (UTC)", ordering="source__block__timestamp")
    def at(self, row: Attribution) -> str:
        return f"{row.source.block.timestamp:%Y-%m-%d %H:%M:%S}"

    @display(description="Subnet", ordering="source__netuid")
    def netuid(self, row: Attribution) -> int:
        return row.source.netuid

    @display(description="Side", ordering="source__side")
    def side(self, row: Attribution) -> str:
        return row.source.get_side_display()

    @display(description="Take", ordering="take_rao")
    def take(self, row: Attribution) -> Any:
        return take_html(row.take_rao, row.source.asset, row.source.netuid)

    @display(description="Hotkey", ordering="source__hotkey")
    def hotkey(self, row: Attribution) -> Any:
        return address_html(row.source.hotkey)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(BlockPage.as_view(model_admin=self))
        own = [path("block/<int:number>/", page, name="ledger_block")]
        return own + super().get_urls()  # type: ignore[no-any-return]

    def page_of(self, row: Attribution) -> str:
        """Lead to the block, where the whole attribution is shown."""
        return reverse("admin:ledger_block", args=[row.source.block_id])


@admin.register(DelegationWinner)
class DelegationWinnerAdmin(LedgerAdmin):
    """Who won each delegation at which blocks; each leads to its first block, where every rule says why."""

    list_display = ["wallet_shown", "subnet", "side", "block_range", "partner", "by", "over", "hotkey_shown"]
    list_display_links = ["block_range"]
    list_filter = [("partner", RelatedDropdownFilter), ("period", RelatedDropdownFilter), "side"]
    list_filter_submit = True
    list_select_related = ["partner", "rule__agreement__partner", "period"]
    search_fields = ["coldkey", "period__key"]
    search_help_text = "A wallet or a day"
    ordering = ["-blocks"]
    show_full_result_count = False
    empty_title = "No winners yet"
    empty_text = "Closing a day stores which rule won each partner's delegation. Close a day first."

    @display(description="Wallet", ordering="coldkey")
    def wallet_shown(self, row: DelegationWinner) -> Any:
        return address_html(row.coldkey)

    @display(description="Epochs of blocks", ordering="blocks")
    def block_range(self, row: DelegationWinner) -> str:
        first, last = row.blocks.lower, row.blocks.upper - 1
        return f"{first:,}" if first == last else f"{first:,} to {last:,}"

    @display(description="Subnet", ordering="netuid")
    def subnet(self, row: DelegationWinner) -> int:
        return row.netuid

    @display(description="Won by")
    def by(self, row: DelegationWinner) -> Any:
        return format_html('<div class="led-rule">{}</div>', row.rule.looks_at)

    @display(description="Over")
    def over(self, row: DelegationWinner) -> str:
        return ", ".join(f"rule {pk}" for pk in row.outranked) or "–"

    @display(description="Hotkey", ordering="hotkey")
    def hotkey_shown(self, row: DelegationWinner) -> Any:
        return address_html(row.hotkey)

    def page_of(self, row: DelegationWinner) -> str:
        """Lead to the first block that it won, with every rule's reason."""
        return reverse("admin:ledger_block", args=[row.blocks.lower])


@admin.register(CommissionLine)
class CommissionLineAdmin(LedgerAdmin):
    """Every line of every statement."""

    list_display = ["period_key", "partner", "pool", "base", "rate", "commission", "earned_by"]
    list_filter = ["partner", "side", "netuid"]
    list_select_related = ["period", "partner"]
    search_fields = ["partner__name", "period__key", "hotkey", "wallet_address"]
    ordering = ["-period__start_at", "partner__name", "netuid", "side"]
    empty_title = "No lines yet"
    empty_text = (
        "Lines appear when a day closes in which partners' delegators earned a coin or alpha was converted."
    )

    def page_of(self, row: CommissionLine) -> str:
        """Lead to the statement that the line is of."""
        return reverse("admin:ledger_statement", args=[row.period.key, row.partner.slug])

    @display(description="Period", ordering="period__start_at")
    def period_key(self, row: CommissionLine) -> str:
        return row.period.key

    @display(description="Pool", ordering="netuid")
    def pool(self, row: CommissionLine) -> str:
        return pool_name(row)

    @display(description="Base", ordering="base_rao")
    def base(self, row: CommissionLine) -> Any:
        return amount_html(row.base_rao)

    @display(description="Rate", ordering="rate_bps")
    def rate(self, row: CommissionLine) -> Any:
        of = " of gross" if row.basis == Basis.GROSS else ""
        return format_html('<span class="whitespace-nowrap">{}{}</span>', rate_html(row.rate_bps), of)

    @display(description="Commission", ordering="commission_rao")
    def commission(self, row: CommissionLine) -> Any:
        return amount_html(row.commission_rao)

    @display(description="Hotkey, wallet", ordering="hotkey")
    def earned_by(self, row: CommissionLine) -> Any:
        hotkey = address_html(row.hotkey)
        if not row.wallet_address:
            return hotkey
        return format_html("{}<div>{}</div>", hotkey, address_html(row.wallet_address))


class PostingInline(TabularInline):  # type: ignore[misc]
    """The legs of an entry."""

    model = Posting
    fields = ["account", "amount"]
    readonly_fields = ["account", "amount"]
    extra = 0
    can_delete = False
    verbose_name_plural = "Legs"
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Posting]:
        return super().get_queryset(request).select_related("account__partner")  # type: ignore[no-any-return]

    @display(description="Amount (debit is positive)")
    def amount(self, row: Posting) -> Any:
        return amount_html(row.amount_rao)


@admin.register(Entry)
class EntryAdmin(LedgerAdmin):
    """Every entry with its legs; they add up to zero."""

    list_display = ["key", "kind", "volume", "memo", "posted_at", "posted_by_shown"]
    list_filter = ["kind", ("postings__account", RelatedDropdownFilter)]
    list_select_related = ["posted_by"]
    search_fields = ["key", "memo"]
    fields = ["key", "kind", "period", "reverses", "memo", "posted_at", "posted_by_shown"]
    readonly_fields = fields
    inlines = [PostingInline]
    empty_title = "No entries yet"
    empty_text = (
        "The first entry is posted when a day closes in which take was credited or alpha was converted."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        moved = Sum("postings__amount_rao", filter=Q(postings__amount_rao__gt=0), output_field=RaoField())
        return super().get_queryset(request).annotate(moved_rao=moved)  # type: ignore[no-any-return]

    @display(description="Amount", ordering="moved_rao")
    def volume(self, row: Any) -> Any:
        return amount_html(int(row.moved_rao or 0))

    @display(description="By")
    def posted_by_shown(self, row: Entry) -> str:
        return str(row.posted_by or "Scheduler")


@admin.register(Account)
class AccountAdmin(LedgerAdmin):
    """Every account with its balance; a debt is shown as what is owed."""

    list_display = ["name", "balance", "currency"]
    list_select_related = ["partner"]
    list_filter = ["kind"]
    ordering = ["kind", "partner__name"]
    empty_title = "No accounts yet"
    empty_text = "Accounts open with the first entry that uses them."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        total = Sum("postings__amount_rao", output_field=RaoField())
        return super().get_queryset(request).annotate(total_rao=total)  # type: ignore[no-any-return]

    def page_of(self, row: Account) -> str:
        """Lead to the entries that touch the account."""
        return f"{reverse('admin:ledger_entry_changelist')}?postings__account__id__exact={row.pk}"

    @display(description="Account", ordering="kind")
    def name(self, row: Account) -> str:
        return str(row)

    @display(description="Balance (a debt is negative)", ordering="total_rao")
    def balance(self, row: Any) -> Any:
        return amount_html(int(row.total_rao or 0))
