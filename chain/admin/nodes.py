"""Nodes: which are asked in which order, how each does, and what a person should do about one that does not do well."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display

from chain.admin.base import FactAdmin
from chain.admin.cells import UNKNOWN, number, time_html
from chain.admin.steps import TryNodesConfirm, TryNodesPage
from chain.backfill.services import RUN
from chain.models import Endpoint
from chain.nodes.answers import NEEDS_ARCHIVE

COLOURS = {
    Endpoint.Condition.UNTRIED: "info",
    Endpoint.Condition.HEALTHY: "success",
    Endpoint.Condition.FAILING: "danger",
    Endpoint.Condition.STALE: "warning",
    Endpoint.Condition.DOUBTED: "danger",
    Endpoint.Condition.WRONG_CHAIN: "danger",
    Endpoint.Condition.SAME_NODE: "danger",
}
_ADVICE = {
    Endpoint.Condition.UNTRIED: "Nothing. It is asked when the nodes before it fail.",
    Endpoint.Condition.HEALTHY: "Nothing.",
    Endpoint.Condition.FAILING: (
        "It is asked again after a growing pause. If that stays, see whether the node runs, whether its address and key "
        "are right, and what its provider says."
    ),
    Endpoint.Condition.STALE: (
        "It is not followed until its finalized head moves again. See whether the node is in sync and has peers."
    ),
    Endpoint.Condition.DOUBTED: (
        "What it said cannot be true and another node said something sound. Compare both at the block named; if it is "
        "wrong, take it out of RAKEBACK_NODE_URL."
    ),
    Endpoint.Condition.WRONG_CHAIN: (
        "It is never asked. Take it out of RAKEBACK_NODE_URL, or name a node of the chain that this database holds."
    ),
    Endpoint.Condition.SAME_NODE: (
        "It does not count where two nodes must agree: another address leads to the same node. Name a node of another "
        "operator in RAKEBACK_NODE_URL."
    ),
}


@admin.register(Endpoint)
class EndpointAdmin(FactAdmin):
    list_display = [
        "show_name",
        "show_condition",
        "show_next",
        "show_position",
        "show_latency",
        "show_head",
        "show_ok",
        "show_error",
    ]
    list_filter = [("condition", ChoicesDropdownFilter)]
    actions_list = ["open_try_page"]
    empty_title = "No node was asked yet"
    empty_text = mark_safe(
        'Name one or several in <code class="rb-command">RAKEBACK_NODE_URL</code>, separated by commas. To see first '
        'whether one is of use: <code class="rb-command">manage.py check_nodes --url wss://…</code>.'
    )
    fieldsets = [
        (None, {"fields": ["show_name", "show_condition_text", "show_next", "show_position"]}),
        ("What it answers", {"fields": ["show_ok", "show_latency", "show_head", "show_head_since"]}),
        ("What went wrong last", {"fields": ["show_error_at", "show_failures", "show_error"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        """Add the step. What a GET shows, a POST to its own address does."""
        view = self.admin_site.admin_view
        return [
            path("try/", view(TryNodesPage.as_view(model_admin=self)), name="chain_endpoint_try"),
            path(
                "try/confirm/",
                view(TryNodesConfirm.as_view(model_admin=self)),
                name="chain_endpoint_try_confirm",
            ),
            *super().get_urls(),
        ]

    def has_try_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Say whether the user may; named for Django's `permissions` of actions."""
        return request.user.has_perm(RUN)

    @action(description="Try the nodes", permissions=["try"], url_path="open-try-page", icon="network_check")
    def open_try_page(self, request: HttpRequest) -> HttpResponse:
        """Lead to the page that says what is asked; nothing is written."""
        return HttpResponseRedirect(reverse("admin:chain_endpoint_try"))

    @display(description="Node")
    def show_name(self, node: Endpoint) -> str:
        return node.name

    @display(description="State", label=COLOURS)
    def show_condition(self, node: Endpoint) -> tuple[str, str]:
        return node.condition, node.get_condition_display()

    @display(description="State")
    def show_condition_text(self, node: Endpoint) -> str:
        return node.get_condition_display()

    @display(description="What to do")
    def show_next(self, node: Endpoint) -> SafeString:
        advice = _ADVICE[Endpoint.Condition(node.condition)]
        if node.condition == Endpoint.Condition.UNTRIED and node.position == 1:
            advice = "Nothing. It is asked first, as soon as something is read."
        if node.condition == Endpoint.Condition.HEALTHY and NEEDS_ARCHIVE in node.last_error:
            advice = "It answers, but old states are gone from it: put an archive node before it in RAKEBACK_NODE_URL."
        if node.position is None:
            advice = "It was named by a command. Add it to RAKEBACK_NODE_URL to have it asked for new blocks."
        return format_html('<div class="rb-words">{}</div>', advice)

    @display(description="Place")
    def show_position(self, node: Endpoint) -> SafeString | str:
        return number(node.position)

    @display(description="Round trip")
    def show_latency(self, node: Endpoint) -> SafeString | str:
        if node.latency_ms is None:
            return UNKNOWN
        return format_html('<span class="rb-number">{} ms</span>', f"{node.latency_ms:,}")

    @display(description="Finalized head")
    def show_head(self, node: Endpoint) -> SafeString | str:
        return number(node.head_block)

    @display(description="Head named since (UTC)")
    def show_head_since(self, node: Endpoint) -> SafeString | str:
        return time_html(node.head_since)

    @display(description="Last answer (UTC)")
    def show_ok(self, node: Endpoint) -> SafeString | str:
        return time_html(node.last_ok_at)

    @display(description="Last error (UTC)")
    def show_error_at(self, node: Endpoint) -> SafeString | str:
        return time_html(node.last_error_at)

    @display(description="Failures in a row")
    def show_failures(self, node: Endpoint) -> SafeString | str:
        return number(node.failures)

    @display(description="Last error")
    def show_error(self, node: Endpoint) -> SafeString | str:
        return format_html('<div class="rb-words">{}</div>', node.last_error) if node.last_error else UNKNOWN
