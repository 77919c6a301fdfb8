"""Runtimes: by which rules the blocks of each are read, and who let in what the product did not know."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from unfold.decorators import display

from chain.admin.base import INGEST_FIRST, FactAdmin, change_url
from chain.admin.cells import UNKNOWN, mono, number, time_html
from chain.models import Block, Proof, Runtime, Side
from chain.runtimes.eras import era_of
from chain.tables import Column, Table

KNOWN, ADMITTED, ASSUMED = "KNOWN", "ADMITTED", "ASSUMED"
COLOURS = {KNOWN: "success", ADMITTED: "info", ASSUMED: "danger"}
NAMES = {KNOWN: "Known", ADMITTED: "Admitted", ASSUMED: "Assumed"}
_SENTENCES = {
    KNOWN: "Known: its rules were read in the chain's source and are proved by this version's own tests",
    ADMITTED: "Admitted: it passed the self-test, with the evidence below",
    ASSUMED: "Assumed: no self-test proved these rules for it. Nothing read from its blocks is certain until one does",
}
# What the self-test counted, in the words of the page.
_EVIDENCE = {
    "source": "Read from",
    "chain": "Chain",
    "genesis_hash": "Its genesis hash",
    "blocks": "Blocks of the runtime that were read",
    "hotkeys": "Hotkeys",
    "layout_differences": "Differences of its metadata from the era's",
    "epochs": "Epochs that paid them",
    "yields": "Takes by side",
    "proofs": "Takes by proof",
    "stake_events": "Stake events",
    "conversions": "Conversions",
    "positions": "Positions, each equal to the chain's own list",
}


def standing(runtime: Runtime) -> str:
    """Say whether a runtime was known, admitted by a self-test, or only assumed."""
    if runtime.assumed:
        return ASSUMED
    return ADMITTED if runtime.admitted_at else KNOWN


def runtime_html(spec_version: int | None) -> SafeString | str:
    """Link to a runtime, and say beside it where its rules are only assumed."""
    if spec_version is None:
        return "none: a file names this slot"
    linked = format_html(
        '<a class="rb-link" href="{}">spec {}</a>', change_url(Runtime, spec_version), spec_version
    )
    if not Runtime.objects.filter(pk=spec_version, assumed=True).exists():
        return linked
    return format_html(
        '{} <span class="rb-bad">assumed</span> <span class="rb-muted">no self-test proved the rules this block was read by'
        "</span>",
        linked,
    )


@admin.register(Runtime)
class RuntimeAdmin(FactAdmin):
    list_display = ["name", "show_standing", "show_era", "show_first", "show_admitted", "show_sha"]
    fieldsets = [
        (None, {"fields": ["name", "show_standing_text", "show_era", "show_first", "show_sha"]}),
        ("Let in", {"fields": ["show_admitted_by", "show_admitted_at", "show_next"]}),
    ]
    empty_title = "No runtime yet"
    empty_text = INGEST_FIRST

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave the metadata, hundreds of kilobytes a row, where it is."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer("metadata")

    @display(description="Runtime")
    def name(self, runtime: Runtime) -> str:
        return f"spec {runtime.spec_version}"

    @display(description="Rules", label=COLOURS)
    def show_standing(self, runtime: Runtime) -> tuple[str, str]:
        found = standing(runtime)
        return found, NAMES[found]

    @display(description="Rules")
    def show_standing_text(self, runtime: Runtime) -> SafeString:
        found = standing(runtime)
        return format_html(
            '<div class="rb-words{}">{}</div>', " rb-bad" if found == ASSUMED else "", _SENTENCES[found]
        )

    @display(description="Read as era")
    def show_era(self, runtime: Runtime) -> str:
        known = era_of(runtime.spec_version)
        return runtime.era or (known.name if known else UNKNOWN)

    @display(description="First block ingested")
    def show_first(self, runtime: Runtime) -> SafeString | str:
        return number(runtime.first_block)

    @display(description="Let in by")
    def show_admitted(self, runtime: Runtime) -> SafeString | str:
        if not runtime.admitted_at:
            return UNKNOWN
        return format_html("{}, {} UTC", runtime.admitted_by, time_html(runtime.admitted_at))

    @display(description="By")
    def show_admitted_by(self, runtime: Runtime) -> str:
        return runtime.admitted_by or "Nobody: it needs no admission"

    @display(description="At (UTC)")
    def show_admitted_at(self, runtime: Runtime) -> SafeString | str:
        return time_html(runtime.admitted_at)

    @display(description="What to do")
    def show_next(self, runtime: Runtime) -> SafeString | str:
        if not runtime.assumed:
            return mark_safe("Nothing.")
        return format_html(
            '<div class="rb-words">Have the self-test prove them: '
            '<code class="rb-command">manage.py check_runtime --url wss://… --spec {} --era {}</code>. If it passes as this '
            "era, the mark goes; if only as another, the blocks must be read anew.</div>",
            runtime.spec_version,
            runtime.era,
        )

    @display(description="SHA-256 of its metadata")
    def show_sha(self, runtime: Runtime) -> SafeString | str:
        return mono(runtime.metadata_sha256)

    def tables(self, obj: Runtime) -> list[Table]:
        """What the self-test read."""
        return [evidence_table(obj)] if standing(obj) != KNOWN else []

    def links(self, obj: Runtime) -> list[tuple[str, str]]:
        """Its first block, where that is stored: a self-test stores none."""
        if not Block.objects.filter(pk=obj.first_block).exists():
            return []
        return [(change_url(Block, obj.first_block), f"Block {obj.first_block:,}, the first")]

    def heading(self, obj: Runtime) -> str:
        return f"Runtime {obj.spec_version}"


def evidence_table(runtime: Runtime) -> Table:
    """What the self-test that admitted a runtime read and proved."""
    return Table(
        "Evidence of the self-test",
        (Column("What"), Column("Found")),
        [
            (_EVIDENCE.get(name, name), _evidence_html(name, value))
            for name, value in sorted(
                runtime.evidence.items(), key=lambda item: [*_EVIDENCE, item[0]].index(item[0])
            )
        ],
        empty="None: nobody ran the self-test, so nothing is proved.",
    )


def _evidence_html(name: str, value: Any) -> SafeString | str:
    if name == "blocks" and isinstance(value, list) and len(value) == 2:
        return f"{value[0]:,} to {value[1]:,}"
    if isinstance(value, dict):
        names = dict(Proof.choices if name == "proofs" else Side.choices)
        return (
            ", ".join(f"{names.get(key, key)}: {count:,}" for key, count in sorted(value.items())) or "None"
        )
    if isinstance(value, list):
        return format_html('<div class="rb-wrap">{}</div>', ", ".join(map(str, value)) or "None")
    return (
        f"{value:,}" if isinstance(value, int) else mono(str(value)) if name == "genesis_hash" else str(value)
    )
