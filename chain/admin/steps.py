"""The steps that people take with backfills and gaps: a page that says what would happen, and a POST that does it.

Rights are checked here for a clear answer and again in the services.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.generic import TemplateView, View

from chain.admin.gap_advice import is_amount
from chain.backfill import services as backfilling
from chain.backfill.services import RUN, CannotBackfill, describe_progress, get_progress
from chain.gaps.services import ACCEPT, REASON_LENGTH_MIN, CannotGiveUp, give_up_blocks
from chain.models import Backfill, Gap
from chain.nodes.services import configured_nodes
from chain.nodes.source import SourceError
from chain.nodes.trial import oldest_wanted, try_nodes
from chain.services import CannotIngest, now_utc
from chain.tasks import open_node, wake_workers


class Step(View):
    """Lets in who has one of the rights; the others get 403 before anything is looked at."""

    model_admin: ModelAdmin[Any] = None  # type: ignore[assignment]
    rights: ClassVar[tuple[str, ...]] = (RUN,)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not any(request.user.has_perm(right) for right in self.rights):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    @property
    def actor(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user


class Page(Step, TemplateView):
    """A page in the admin's frame that shows and writes nothing."""

    http_method_names = ["get", "head", "options"]
    template_name = "admin/chain/step.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.request.current_app = self.model_admin.admin_site.name
        frame = {**self.model_admin.admin_site.each_context(self.request), "opts": self.model_admin.opts}
        return super().get_context_data(**frame, **kwargs)


class Confirm(Step):
    """Does what a page showed."""

    http_method_names = ["post"]

    def answer(self, text: str, url: str, *, refused: bool = False) -> HttpResponse:
        messages.add_message(self.request, messages.ERROR if refused else messages.SUCCESS, text)
        return HttpResponseRedirect(url)


# --- backfills ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Steering:
    """One way to steer a backfill: from which states, what it means, what does it."""

    title: str
    states: frozenset[str]
    meaning: str
    done: str
    act: Callable[..., Backfill]
    variant: str = "primary"


_State = Backfill.State
STEERING = {
    "pause": Steering(
        "Pause",
        frozenset({_State.RUNNING}),
        "Workers put down what they are reading, within seconds. What is stored stays, what was read waits. While it is "
        "paused, new blocks are read by the scheduler as ever.",
        "is paused",
        backfilling.pause_backfill,
        "default",
    ),
    "resume": Steering(
        "Resume",
        frozenset({_State.PAUSED, _State.STOPPED, _State.RUNNING}),
        "The workers go on where it stands. Chunks that failed are read again.",
        "goes on",
        backfilling.resume_backfill,
    ),
    "cancel": Steering(
        "Cancel",
        frozenset({_State.RUNNING, _State.PAUSED, _State.STOPPED}),
        "What is stored stays. What was read and is not stored is dropped, and the rest is not read. Another backfill can "
        "be started from there.",
        "is cancelled",
        backfilling.cancel_backfill,
        "danger",
    ),
}


def steering_of(backfill: Backfill) -> list[tuple[str, Steering]]:
    """What can be done with a backfill now, by name."""
    silent = backfilling.is_silent(backfill, now_utc())
    return [
        (name, step)
        for name, step in STEERING.items()
        if backfill.state in step.states and (name != "resume" or backfill.state != _State.RUNNING or silent)
    ]


def backfill_url(backfill_id: int) -> str:
    """The page of a backfill."""
    return reverse("admin:chain_backfill_change", args=[backfill_id])


class SteerPage(Page):
    """What pausing, resuming or cancelling would do."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        backfill = get_object_or_404(Backfill, pk=kwargs.pop("backfill_id"))
        name = kwargs.pop("step")
        step = STEERING[name]
        possible = name in dict(steering_of(backfill))
        return super().get_context_data(
            title=f"{step.title} a backfill",
            heading=f"{step.title} the backfill of blocks {backfill.first_block:,} to {backfill.last_block:,}",
            lines=[f"{describe_progress(get_progress(backfill))}.", step.meaning],
            refusal=""
            if possible
            else f"It is {backfill.get_state_display().lower()}: this cannot be done now.",
            confirm_url=reverse("admin:chain_backfill_steer_confirm", args=[backfill.pk, name]),
            back_url=backfill_url(backfill.pk),
            button=f"{step.title} it",
            variant=step.variant,
            **kwargs,
        )


class SteerConfirm(Confirm):
    """Pause, resume or cancel."""

    def post(self, request: HttpRequest, backfill_id: int, step: str) -> HttpResponse:
        get_object_or_404(Backfill, pk=backfill_id)
        # Whoever resumes here has no processes to offer.
        where = {"runs_on": Backfill.RunsOn.WORKERS} if step == "resume" else {}
        try:
            backfill = STEERING[step].act(backfill_id=backfill_id, actor=self.actor, now=now_utc(), **where)
        except CannotBackfill as error:
            return self.answer(str(error), backfill_url(backfill_id), refused=True)
        wake_workers(backfill.pk)
        return self.answer(f"{backfill} {STEERING[step].done}.", backfill_url(backfill_id))


# --- gaps -----------------------------------------------------------------------------------------------

GAPS = "admin:chain_gap_changelist"


class RetryPage(Page):
    """What reading the gaps again would do."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        readable = Gap.objects.filter(state=Gap.State.OPEN).exclude(kind=Gap.Kind.UNACCOUNTED)
        gaps = list(readable.order_by("blocks")[:6])
        shown = [
            f"{gap.get_kind_display()}, blocks {gap.blocks.lower:,} to {gap.blocks.upper - 1:,}: {gap.reason}"
            for gap in gaps[:5]
        ] + (["and more"] if len(gaps) > 5 else [])
        waiting = backfilling.open_backfill()
        refusal = "" if gaps else "No open gap can be closed by reading blocks."
        if gaps and not settings.RAKEBACK_NODE_URL:
            refusal = "RAKEBACK_NODE_URL is not set, so the workers have no node to read from."
        meaning = (
            f"{str(waiting).capitalize()}, which waits, goes on."
            if waiting
            else "A backfill over the workers reads on from the last stored block to the end of the last gap."
        )
        return super().get_context_data(
            title="Try the gaps again",
            heading="Read the blocks of all open gaps again",
            lines=[
                *shown,
                f"{meaning} Facts rest on each other, so gaps are closed in order, the lowest first.",
            ],
            refusal=refusal,
            confirm_url=reverse("admin:chain_gap_retry_confirm"),
            back_url=reverse(GAPS),
            button="Try again",
            variant="primary",
            **kwargs,
        )


class RetryConfirm(Confirm):
    """Ask the workers to read the gaps again."""

    def post(self, request: HttpRequest) -> HttpResponse:
        if not settings.RAKEBACK_NODE_URL:
            return self.answer("Set RAKEBACK_NODE_URL first.", reverse(GAPS), refused=True)
        try:
            with open_node() as source:
                backfill = backfilling.retry_gaps(source, actor=self.actor, now=now_utc())
        except (CannotBackfill, CannotIngest, SourceError) as error:
            return self.answer(f"Nothing was asked for: {error}", reverse(GAPS), refused=True)
        if backfill is None:
            text = "Gaps that nothing is missing of are closed. What is still open needs a person."
            return self.answer(text, reverse(GAPS))
        wake_workers(backfill.pk)
        return self.answer(f"{str(backfill).capitalize()} reads the blocks again.", backfill_url(backfill.pk))


class GiveUpPage(Page):
    """What accepting blocks as lost means, and in whose name."""

    rights = (ACCEPT,)
    template_name = "admin/chain/give_up.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        gap = get_object_or_404(Gap, pk=kwargs.pop("gap_id"))
        amount = is_amount(gap)
        return super().get_context_data(
            title="Accept an amount as it is" if amount else "Accept blocks as lost",
            heading=f"Accept what the chain leaves open of {gap.blocks_text}"
            if amount
            else f"Accept blocks from {gap.blocks.lower:,} on as lost",
            gap=gap,
            is_doubt=amount,
            button="Accept as it is" if amount else "Accept as lost",
            first=gap.blocks.lower,
            end=gap.blocks.upper - 1,
            is_open=gap.state == Gap.State.OPEN,
            reason_length_min=REASON_LENGTH_MIN,
            confirm_url=reverse("admin:chain_gap_give_up_confirm", args=[gap.pk]),
            back_url=reverse("admin:chain_gap_change", args=[gap.pk]),
            **kwargs,
        )


class GiveUpConfirm(Confirm):
    """Accept in the name of who is signed in."""

    rights = (ACCEPT,)

    def post(self, request: HttpRequest, gap_id: int) -> HttpResponse:
        gap = get_object_or_404(Gap, pk=gap_id)
        back = reverse("admin:chain_gap_give_up", args=[gap.pk])
        last = request.POST.get("last", "")
        if not (last.isascii() and last.isdigit() and len(last) < 16):
            return self.answer(f"{last!r} is not a block number", back, refused=True)
        try:
            lost = give_up_blocks(
                gap_id=gap.pk,
                last=int(last),
                reason=request.POST.get("reason", ""),
                actor=self.actor,
                now=now_utc(),
            )
        except CannotGiveUp as error:
            return self.answer(f"Nothing was accepted: {error}.", back, refused=True)
        how = "as stored" if is_amount(lost) else "as lost"
        return self.answer(
            f"Accepted {how}, in your name: {lost.blocks_text}.",
            reverse("admin:chain_gap_change", args=[lost.pk]),
        )


# --- nodes ----------------------------------------------------------------------------------------------

NODES = "admin:chain_endpoint_changelist"


class TryNodesPage(Page):
    """What trying the nodes asks of them."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        count, block = len(configured_nodes()), oldest_wanted()
        return super().get_context_data(
            title="Try the nodes",
            heading=f"Ask {count:,} node{'' if count == 1 else 's'} now",
            lines=[
                "Each is asked for its chain, its runtime and its finalized head.",
                f"And whether it still has the state of block {block:,}, the oldest that this installation would read.",
                "No fact is read. How each node did is kept and shown in the list.",
            ],
            refusal="" if count else "RAKEBACK_NODE_URL is not set, so there is no node to ask.",
            confirm_url=reverse("admin:chain_endpoint_try_confirm"),
            back_url=reverse(NODES),
            button="Try the nodes",
            variant="primary",
            **kwargs,
        )


class TryNodesConfirm(Confirm):
    """Ask every node, and say of each what it answered."""

    def post(self, request: HttpRequest) -> HttpResponse:
        block = oldest_wanted()
        try:
            tried = try_nodes(block=block)
        except SourceError as error:
            return self.answer(f"Nothing was asked: {error}", reverse(NODES), refused=True)
        for node in tried:
            level = messages.SUCCESS if node.is_well else messages.ERROR
            messages.add_message(request, level, node.describe(block))
        return HttpResponseRedirect(reverse(NODES))
