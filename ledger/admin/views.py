"""The ledger's own pages: a block with all its delegators, a statement, and the page that closes days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.generic import TemplateView, View

from chain.models import Block, Yield
from ledger import explaining
from ledger.documents import TYPES, file_of
from ledger.facts import SharesDisagree
from ledger.models import Attribution, CheckRun, Period
from ledger.queries import statement, year_summary, years_of
from ledger.readiness import check_day, next_day, standing_differences
from ledger.services import CannotClose, close_due_days, run_check
from ledger.statements import Statement
from ledger.years import YearSummary
from partners.models import Partner
from partners.noted_heads import check_with_noted

CLOSE = "ledger.close_period"
CHECK = "ledger.check_period"
ROWS_PER_PAGE = 100
# Of the chains held here none is older, and a date has four digits.
FIRST_YEAR, LAST_YEAR = 2020, 9998
DIFFERENCES_SHOWN_MAX = 100


class Guarded(View):
    """Lets in who has the right; the others get 403 before anything is looked at."""

    model_admin: ModelAdmin[Any] = None  # type: ignore[assignment]
    right: ClassVar[str] = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(self.right):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)


class Page(Guarded, TemplateView):
    """A page in the admin's frame that shows and writes nothing."""

    http_method_names = ["get", "head", "options"]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.request.current_app = self.model_admin.admin_site.name
        frame = {**self.model_admin.admin_site.each_context(self.request), "opts": self.model_admin.opts}
        return super().get_context_data(**frame, **kwargs)


class BlockPage(Page):
    """One block: every epoch in it, every delegator, and why each is whose."""

    template_name = "admin/ledger/block.html"
    right = "ledger.view_attribution"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        number = int(kwargs.pop("number"))
        context: dict[str, Any] = {"title": f"Block {number:,}", "number": number}
        try:
            found = explaining.explain(number)
        except explaining.NotIngested:
            context["newest"] = Block.objects.order_by("-number").first()
            return super().get_context_data(**context, **kwargs)
        except SharesDisagree as error:
            context["problem"] = str(error)
            return super().get_context_data(**context, **kwargs)
        earning = Yield.objects.order_by("block_id")
        context |= {
            "found": found,
            "epochs": [self._epoch(found, epoch) for epoch in found.epochs],
            "before": earning.filter(block_id__lt=number).last(),
            "after": earning.filter(block_id__gt=number).first(),
        }
        return super().get_context_data(**context, **kwargs)

    def _epoch(self, found: explaining.Explanation, epoch: explaining.Epoch) -> dict[str, Any]:
        asked = self.request.GET
        name = f"page{epoch.source.pk}"
        page = Paginator(epoch.shares, ROWS_PER_PAGE).get_page(asked.get(name))
        rows = [(share, explaining.why(found, share)) for share in page.object_list]
        return {
            "title": epoch.source.title,
            "epoch": epoch,
            "source": epoch.source,
            "page": page,
            "page_name": name,
            "rows": rows,
        }


def find_statement(period: str, partner: str) -> tuple[Period, Partner, Statement]:
    """Find a partner's statement of a closed period, or answer 404."""
    row, whose = get_object_or_404(Period, key=period), get_object_or_404(Partner, slug=partner)
    return row, whose, statement(whose, row)


class StatementPage(Page):
    """A statement to read and to print."""

    template_name = "admin/ledger/statement.html"
    right = "ledger.view_commissionline"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        row, whose, found = find_statement(kwargs.pop("period"), kwargs.pop("partner"))
        blocks = (
            Attribution.objects.filter(
                source__block_id__gte=row.blocks.lower,
                source__block_id__lt=row.blocks.upper,
                source__partner_takes__partner=whose,
            )
            .order_by("source__block_id")
            .values_list("source__block_id", flat=True)
            .distinct()
        )
        return super().get_context_data(
            title=f"Statement of {whose.name}, {row.key}",
            period=row,
            partner=whose,
            statement=found,
            blocks=list(blocks[:500]),
            block_count=blocks.count(),
            **kwargs,
        )


class StatementFile(Guarded):
    """A statement as a file to download."""

    http_method_names = ["get", "head", "options"]
    right = "ledger.view_commissionline"

    def get(self, request: HttpRequest, period: str, partner: str, form: str) -> HttpResponse:
        _, _, found = find_statement(period, partner)
        return _download(found, form, f"statement-{found.partner}-{found.period}")


def _download(found: Statement | YearSummary, form: str, name: str) -> HttpResponse:
    if form not in TYPES:
        raise Http404
    return HttpResponse(
        file_of(found, form),
        content_type=TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}.{form}"'},
    )


class YearPage(Page):
    """What a partner earned in one year, month by month."""

    template_name = "admin/ledger/year.html"
    right = "ledger.view_commissionline"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        whose, year = get_object_or_404(Partner, slug=kwargs.pop("partner")), int(kwargs.pop("year"))
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise Http404
        summary = year_summary(whose, year)
        return super().get_context_data(
            title=f"{year} of {whose.name}",
            partner=whose,
            summary=summary,
            months=[
                (month, [day for day in summary.days if day.day[:7] == month.name])
                for month in summary.months
            ],
            years=[other for other in years_of(whose) if other != year],
            **kwargs,
        )


class YearFile(Guarded):
    """A year summary as a file to download."""

    http_method_names = ["get", "head", "options"]
    right = "ledger.view_commissionline"

    def get(self, request: HttpRequest, year: int, partner: str, form: str) -> HttpResponse:
        whose = get_object_or_404(Partner, slug=partner)
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise Http404
        return _download(year_summary(whose, year), form, f"year-{whose.slug}-{year}")


class ClosePage(Page):
    """The checklist of the next day, and the button when it can close."""

    template_name = "admin/ledger/close.html"
    right = CLOSE

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        day = next_day()
        return super().get_context_data(
            title="Close due days",
            ready=check_day(day) if day else None,
            last_period=Period.objects.order_by("-start_at").first(),
            **kwargs,
        )


class CloseConfirm(Guarded):
    """Closes every due day."""

    http_method_names = ["post"]
    right = CLOSE

    def post(self, request: HttpRequest) -> HttpResponse:
        refusal = None
        try:
            closed = close_due_days(actor=request.user, now=timezone.now())
        except CannotClose as error:
            closed, refusal = error.closed, error
        if closed:
            messages.success(request, f"Closed {len(closed)}: {', '.join(period.key for period in closed)}.")
        if refusal:
            messages.error(request, str(refusal))
            return HttpResponseRedirect(reverse("admin:ledger_close"))
        if not closed:
            messages.info(request, "No day is due. Nothing was done.")
        return HttpResponseRedirect(reverse("admin:ledger_period_changelist"))


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found; it passed if there are no differences."""

    title: str
    verdict: str
    differences: tuple[str, ...]
    head: str = ""
    compared_with: str = ""


class ChecksPage(Page):
    """What the checks compare, and the button that runs them."""

    template_name = "admin/ledger/checks.html"
    right = CHECK

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        runs = CheckRun.objects.order_by("check_name", "-pk").distinct("check_name").select_related("run_by")
        kept = [_run_check(run) for run in runs]
        standing = standing_differences()
        said = standing and (
            f"No day closes: {standing.get_check_name_display()} on {standing.started_at:%Y-%m-%d %H:%M} UTC found"
            f" {_count(standing.difference_count)}, and no later run over everything was without."
        )
        return super().get_context_data(title="Checks", **{"checks": kept, "standing": said, **kwargs})


class ChecksRun(ChecksPage):
    """Runs them and shows what they found; what that of the ledger found is kept, and a difference keeps days open."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        run = run_check(CheckRun.Check.LEDGER, actor=request.user, now=timezone.now())
        return self.render_to_response(
            self.get_context_data(checks=[_run_check(run), _history_check()], ran=True)
        )


def _run_check(run: CheckRun) -> Check:
    verdict = (
        "It agrees with the facts"
        if run.ok
        else f"{_count(run.difference_count)}: approve nothing, and no day closes"
    )
    when = f"{run.started_at:%Y-%m-%d %H:%M} UTC, by {run.run_by or 'the scheduler or a command'}"
    return Check(
        run.get_check_name_display(),
        f"{verdict} ({run.counted}).",
        _shown(run.differences, run.difference_count),
        compared_with=f"Run {when}.",
    )


def _history_check() -> Check:
    checked, noted = check_with_noted()
    verdict = (
        "Nothing before its end was edited, removed or moved"
        if checked.ok
        else f"{_count(len(checked.differences))}: approve nothing"
    )
    changes = f"{checked.count:,} change{'' if checked.count == 1 else 's'}"
    return Check(
        "History of partners",
        f"{verdict} ({changes}).",
        _shown(checked.differences, len(checked.differences)),
        str(checked.head or ""),
        str(noted),
    )


def _count(count: int) -> str:
    return f"{count:,} difference{'' if count == 1 else 's'}"


def _shown(differences: list[str], count: int) -> tuple[str, ...]:
    more = count - DIFFERENCES_SHOWN_MAX
    shown = tuple(differences[:DIFFERENCES_SHOWN_MAX])
    return (
        (*shown, f"and {more:,} more; manage.py check_ledger and check_history name all")
        if more > 0
        else shown
    )
