"""Our hotkeys: what each is called, where and since when it is ours, what it took the place of, the stake on it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from unfold.decorators import display

from chain.admin.base import (
    INGEST_FIRST,
    FactAdmin,
    block_link,
    change_url,
    netuid_text,
)
from chain.admin.cells import UNKNOWN, number, take_text
from chain.display import address_html, alpha_unit, amount_html
from chain.models import Block, FollowedHotkey, Hotkey, Yield
from chain.queries import pools_now
from chain.tables import Column, Table


def hotkey_link(key: Hotkey) -> SafeString:
    """Link to one of our keys, by its label or its address."""
    return format_html('<a class="rb-link rb-wrap" href="{}">{}</a>', change_url(Hotkey, key.pk), key)


def followed_table(key: Hotkey) -> Table:
    """On which subnets a key is ours, from which block to which.

    A range holds the blocks after whose execution it is so, so the first epoch that counts is in the block after its first.
    """
    ranges = list(key.followed.all())
    numbers = {end for row in ranges for end in (row.blocks.lower + 1, row.blocks.upper) if end is not None}
    stored = set(Block.objects.filter(pk__in=numbers).values_list("pk", flat=True))

    def block_html(number: int) -> SafeString | str:
        return block_link(number) if number in stored else f"{number:,}"

    return Table(
        "Ours",
        (Column("Subnet"), Column("Since block", right=True), Column("Until block", right=True)),
        [
            (
                _where(row),
                block_html(row.blocks.lower + 1),
                "now" if row.blocks.upper is None else block_html(row.blocks.upper),
            )
            for row in ranges
        ],
        note="Blocks whose epochs count for this key, both included; swaps of it are followed by themselves",
        empty="On no subnet: no block was read for it yet.",
    )


def _where(row: FollowedHotkey) -> SafeString | str:
    if row.abandoned_by:
        who = address_html(row.abandoned_by)
        return format_html("None: it has no owner since a swap, until {} takes it up", who)
    return "Every subnet" if row.netuid is None else netuid_text(row.netuid)


@admin.register(Hotkey)
class HotkeyAdmin(FactAdmin):
    """The label is the one thing a person writes: a name of their own for the key."""

    list_display = [
        "show_label",
        "show_address",
        "show_take",
        "show_root",
        "show_subnets",
        "show_owner",
    ]
    fields = [
        "label",
        "show_address",
        "show_owner",
        "show_take",
        "show_first",
        "show_swapped_from",
        "show_swapped_to",
    ]
    empty_title = "No hotkeys yet"
    empty_text = INGEST_FIRST

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [name for name in super().get_readonly_fields(request, obj) if name != "label"]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        assert isinstance(request.user, User)
        return request.user.has_perm("chain.change_hotkey")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Carry along what the newest yield of each key says."""
        newest = Yield.objects.filter(hotkey=OuterRef("address")).order_by("-block_id")
        rows: QuerySet[Any] = super().get_queryset(request)
        known: QuerySet[Any] = rows.annotate(
            take_now=Subquery(newest.values("take_u16")[:1]), owner_now=Subquery(newest.values("owner")[:1])
        )
        return known

    def complete_page(self, rows: list[Any]) -> None:
        """Put the pools of each key beside it."""
        for row in rows:
            row.pools = []
        by_address = {row.address: row for row in rows}
        for pool in pools_now(by_address):
            by_address[pool.hotkey].pools.append(pool)

    @display(description="Label")
    def show_label(self, row: Hotkey) -> str:
        return row.label or f"Hotkey {row.pk}"

    @display(description="Address")
    def show_address(self, row: Hotkey) -> SafeString | str:
        return address_html(row.address)

    @display(description="Owner now")
    def show_owner(self, row: Any) -> SafeString | str:
        return address_html(row.owner_now or "")

    @display(description="Take now")
    def show_take(self, row: Any) -> SafeString | str:
        return UNKNOWN if row.take_now is None else take_text(row.take_now)

    @display(description="Root stake")
    def show_root(self, row: Any) -> SafeString | str:
        return amount_html(next((pool.stake_rao for pool in row.pools if pool.netuid == 0), None))

    @display(description="Subnets")
    def show_subnets(self, row: Any) -> SafeString | str:
        return number(sum(1 for pool in row.pools if pool.netuid))

    @display(description="Ingested since block")
    def show_first(self, row: Hotkey) -> SafeString | str:
        return number(row.first_block)

    @display(description="Took the place of")
    def show_swapped_from(self, row: Hotkey) -> SafeString | str:
        return hotkey_link(row.swapped_from) if row.swapped_from else "No key: you named it yourself"

    @display(description="Its place was taken by")
    def show_swapped_to(self, row: Hotkey) -> SafeString | str:
        later = row.swapped_to.order_by("pk")
        return format_html_join(mark_safe("<br>"), "{}", ((hotkey_link(key),) for key in later)) or UNKNOWN

    def tables(self, obj: Hotkey) -> list[Table]:
        """Where and since when it is ours, and the stake on it, pool by pool."""
        url = reverse("admin:chain_position_changelist")
        return [
            followed_table(obj),
            Table(
                "Stake now",
                (
                    Column("Subnet"),
                    Column("Stake", right=True),
                    Column("Holders", right=True),
                    Column("Worth as of block", right=True),
                ),
                [
                    (
                        format_html(
                            '<a href="{}?hotkey={}&netuid={}">{}</a>',
                            url,
                            pool.hotkey,
                            pool.netuid,
                            netuid_text(pool.netuid),
                        ),
                        amount_html(pool.stake_rao, alpha_unit(pool.netuid)),
                        f"{pool.holders:,}",
                        block_link(pool.worth.block) if pool.worth else UNKNOWN,
                    )
                    for pool in pools_now([obj.address])
                ],
                note="What every holder's share is worth since the pool's newest epoch",
                empty="Nobody holds stake on this hotkey.",
            ),
        ]
