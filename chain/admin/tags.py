"""Remarks: what their senders wrote, which stake that tagged, or in a sentence why none."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import (
    BinaryField,
    Exists,
    F,
    Func,
    IntegerField,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Value,
)
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from chain.admin.base import (
    DaysFilter,
    FactAdmin,
    OfBlockAdmin,
    change_url,
    hotkey_html,
    link,
    netuid_text,
    parse_block,
    with_label,
)
from chain.admin.cells import UNKNOWN, kind_text, mono, number
from chain.display import address_html, alpha_unit, amount_html, text_html
from chain.models import Remark, StakeEvent, Tag
from chain.tables import Column, Table
from chain.tagging.remark_text import shown
from chain.tagging.tags import REMARK_BYTES_MAX

OUTCOME_COLOURS = {"tagged": "success", "refused": "warning", "unjudged": "default"}
OUTCOMES = {"tagged": "Tagged", "refused": "Refused", "unjudged": "Not judged"}
UNJUDGED = "It was read by a version that did not judge remarks yet."


def remark_html(remark: Remark, *, whole: bool = False) -> SafeString | str:
    """Show the text of a remark, or say why there is none to show."""
    if remark.byte_count == 0:
        return "Empty"
    if remark.remark is not None:
        return text_html(bytes(remark.remark), **({"characters": None} if whole else {}))
    if remark.byte_count is not None:
        return f"Not kept: {remark.byte_count:,} bytes, more than {REMARK_BYTES_MAX:,}"
    return "Unknown: only its hash is on chain"


def tags_of(remark: Remark) -> list[Tag]:
    """The tags of a remark that `with_tags` read, in the order of the stakes."""
    return list(remark.tags.all())


def with_tags(rows: QuerySet[Remark]) -> QuerySet[Remark]:
    """Read the tags of remarks along, and the stake that each names, in one more query."""
    return rows.prefetch_related(
        Prefetch("tags", Tag.objects.select_related("stake_event").order_by("stake_event__event_index", "id"))
    )


def outcome(remark: Remark) -> str:
    """`tagged`, `refused` or `unjudged`."""
    found = tags_of(remark)
    if not found:
        return "unjudged"
    return "tagged" if found[0].accepted else "refused"


def why(remark: Remark) -> str:
    """Why a remark tags what it tags, or nothing, in words."""
    return " ".join(dict.fromkeys(tag.sentence for tag in tags_of(remark))) or UNJUDGED


class OutcomeFilter(DropdownFilter):  # type: ignore[misc]
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(OUTCOMES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Remark]) -> QuerySet[Remark]:
        found = Tag.objects.filter(remark=OuterRef("pk"))
        match self.value():
            case "tagged":
                return queryset.filter(Exists(found.filter(accepted=True)))
            case "refused":
                return queryset.filter(Exists(found.filter(accepted=False)))
            case "unjudged":
                return queryset.exclude(Exists(found))
        return queryset


def holding(rows: QuerySet[Remark], wanted: bytes) -> QuerySet[Remark]:
    """The remarks whose text holds some bytes."""
    place = Func(
        Value(wanted, output_field=BinaryField()),
        F("remark"),
        template="position(%(expressions)s)",
        arg_joiner=" IN ",
        output_field=IntegerField(),
    )
    return rows.annotate(place=place).filter(place__gt=0)


@admin.register(Remark)
class RemarkAdmin(OfBlockAdmin):
    list_display = ["name", "show_time", "show_text", "show_outcome", "show_stake", "show_sender"]
    list_filter = [OutcomeFilter, ("block__timestamp", DaysFilter)]
    search_help_text = (
        "Part of the text, 0x… for bytes or a hash, a sender or its beginning, or a block number"
    )
    empty_title = "No remarks yet"
    fieldsets = [
        (None, {"fields": ["show_whole_text", "show_doubt", "show_sender", "show_block", "show_time"]}),
        ("What it tags", {"fields": ["show_outcome_text", "show_why", "show_delegate"]}),
        (
            "As the chain has it",
            {"fields": ["show_length", "show_bytes", "show_hash", "show_extrinsic", "show_event"]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Remarks name no hotkey whose label could be read along.
        return with_tags(FactAdmin.get_queryset(self, request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Digits are a block number, and may be a text as well."""
        text = search_term.strip()
        if not text:
            return queryset, False
        wanted = Q(sender__startswith=text) | Q(
            pk__in=holding(Remark.objects.order_by(), text.encode()).values("pk")
        )
        if (block := parse_block(text)) is not None:
            wanted |= Q(block_id=block)
        if text.startswith("0x"):
            wanted |= Q(text_hash=text.lower())
            try:
                raw = bytes.fromhex(text[2:])
            except ValueError:
                raw = b""
            if raw:
                wanted |= Q(pk__in=holding(Remark.objects.order_by(), raw).values("pk"))
        return queryset.filter(wanted), False

    @display(description="Block")
    def name(self, row: Remark) -> SafeString | str:
        return number(row.block_id)

    @display(description="Text")
    def show_text(self, row: Remark) -> SafeString | str:
        return remark_html(row)

    @display(description="Text")
    def show_whole_text(self, row: Remark) -> SafeString | str:
        return remark_html(row, whole=True)

    @display(description="Beware")
    def show_doubt(self, row: Remark) -> SafeString | str:
        if row.remark is None:
            return UNKNOWN
        text = shown(bytes(row.remark))
        if not text.is_text:
            return "These bytes are no text; they are shown in hex."
        if any(piece.hidden for piece in text.pieces):
            return "The text holds characters that cannot be seen. They are shown by their numbers; the copy is in hex."
        return (
            "Nothing hidden."
            if text.is_ascii
            else "The text holds letters outside ASCII, which can look like others."
        )

    @display(description="Outcome", label=OUTCOME_COLOURS)
    def show_outcome(self, row: Remark) -> tuple[str, str]:
        return outcome(row), OUTCOMES[outcome(row)]

    @display(description="Outcome")
    def show_outcome_text(self, row: Remark) -> str:
        return OUTCOMES[outcome(row)]

    @display(description="Why")
    def show_why(self, row: Remark) -> str:
        return why(row)

    @display(description="Left by a delegate")
    def show_delegate(self, row: Remark) -> str:
        return "Yes" if any(tag.via_delegate for tag in tags_of(row)) else "No"

    @display(description="Stake, or why none")
    def show_stake(self, row: Remark) -> SafeString | str:
        stakes = [tag.stake_event for tag in tags_of(row) if tag.stake_event]
        said: SafeString | str = why(row)
        if stakes:
            others = f" and {len(stakes) - 1} more" if len(stakes) > 1 else ""
            said = format_html("{}{}", amount_html(stakes[0].tao_rao), others)
        return format_html('<div class="rb-words">{}</div>', said)

    @display(description="Sender")
    def show_sender(self, row: Remark) -> SafeString | str:
        return address_html(row.sender)

    @display(description="Length")
    def show_length(self, row: Remark) -> str:
        return UNKNOWN if row.byte_count is None else f"{row.byte_count:,} bytes"

    @display(description="Bytes")
    def show_bytes(self, row: Remark) -> SafeString | str:
        return UNKNOWN if row.remark is None else mono("0x" + bytes(row.remark).hex())

    @display(description="Hash of the text (BLAKE2b-256)")
    def show_hash(self, row: Remark) -> SafeString | str:
        return mono(row.text_hash)

    @display(description="Extrinsic")
    def show_extrinsic(self, row: Remark) -> str:
        return f"{row.block_id}-{row.extrinsic_index}"

    @display(description="Event")
    def show_event(self, row: Remark) -> str:
        return f"{row.block_id}-{row.event_index}"

    def heading(self, obj: Remark) -> str:
        return f"Remark in block {obj.block_id:,}"

    def tables(self, obj: Remark) -> list[Table]:
        """The stakes it tags."""
        by_stake = {tag.stake_event_id: tag for tag in tags_of(obj) if tag.stake_event_id}
        rows = with_label(StakeEvent.objects.filter(pk__in=by_stake)).order_by("event_index")
        return [
            Table(
                "Stake tagged by it",
                (
                    Column("Event", right=True),
                    Column("Kind"),
                    Column("Subnet"),
                    Column("Coldkey"),
                    Column("Hotkey"),
                    Column("TAO", right=True),
                    Column("Stake", right=True),
                ),
                [
                    (
                        link(row, str(row.event_index)),
                        kind_text(row),
                        netuid_text(row.netuid),
                        address_html(row.coldkey),
                        hotkey_html(row),
                        amount_html(row.tao_rao),
                        amount_html(row.alpha_rao, alpha_unit(row.netuid)),
                    )
                    for row in rows
                ],
                empty=f"None. {why(obj)}",
            )
        ]


def tag_html(event: StakeEvent) -> SafeString | str:
    """Show on a stake event the remark that tags it."""
    tag = Tag.objects.filter(stake_event=event).select_related("remark").first()
    if tag is None:
        return "No remark tags it"
    url = change_url(Remark, tag.remark_id)
    return format_html('{} <a class="rb-link" href="{}">Its remark</a>', remark_html(tag.remark), url)


def remarks_table(block: int) -> Table:
    """Remarks of one block with what they tag."""
    return Table(
        "Remarks",
        (Column("Event", right=True), Column("Text"), Column("Sender"), Column("Outcome")),
        [
            (
                link(row, str(row.event_index)),
                remark_html(row),
                address_html(row.sender),
                format_html('<div class="rb-words">{}. {}</div>', OUTCOMES[outcome(row)], why(row)),
            )
            for row in with_tags(Remark.objects.filter(block=block)).order_by("event_index")
        ],
        empty="Nobody left a remark beside stake on our hotkeys in this block.",
    )
