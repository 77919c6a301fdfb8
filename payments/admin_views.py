"""The pages on which batches are proposed, approved, cancelled and exported.

A page that shows is a GET and writes nothing; the step itself is a POST to an address of its own, which
carries the hash of what was shown. Rights are checked here for a clear answer and again in the services.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.generic import TemplateView, View

from ledger.models import Period
from ledger.services import InsufficientPayable
from payments.calls import CallDataError
from payments.models import Batch
from payments.queries import find_changes, find_obstacle, find_uncovered, last_period, plan_due
from payments.services import (
    APPROVE,
    PROPOSE,
    PaymentError,
    approve_batch,
    call_data,
    cancel_batch,
    propose_batch,
)

LIST = "admin:payments_batch_changelist"
PAGE = "admin:payments_batch_change"


class Step(View):
    """Lets in who has one of `rights`; the others get 403 before anything is looked at."""

    model_admin: ModelAdmin[Batch] = None  # type: ignore[assignment]
    rights: ClassVar[tuple[str, ...]] = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not any(request.user.has_perm(right) for right in self.rights):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    @property
    def actor(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    def get_batch(self) -> Batch:
        return get_object_or_404(
            Batch.objects.select_related("through", "proposed_by"), pk=self.kwargs["batch_id"]
        )

    def refuse(self, error: Exception, name: str, *arguments: object) -> HttpResponse:
        messages.error(self.request, str(error))
        return HttpResponseRedirect(reverse(name, args=arguments))


class Page(Step, TemplateView):
    """A page in the admin's frame that shows what a step would do."""

    http_method_names = ["get", "head", "options"]
    title = ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        self.request.current_app = self.model_admin.admin_site.name
        context = {**self.model_admin.admin_site.each_context(self.request), "opts": Batch._meta}
        return super().get_context_data(**context, title=self.title, **kwargs)


class ProposePage(Page):
    """Who would be paid now and who would not, with the reason."""

    rights = (PROPOSE,)
    title = "Propose a batch"
    template_name = "admin/payments/batch/propose.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        through, obstacle = last_period(), find_obstacle()
        preview = plan_due(now=timezone.now(), through=through) if through and not obstacle else None
        return super().get_context_data(preview=preview, obstacle=obstacle, **kwargs)


class ProposeConfirm(Step):
    """Propose what the preview showed."""

    rights = (PROPOSE,)
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        through = Period.objects.filter(key=request.POST.get("through", "")).first()
        expected_hash = request.POST.get("content_hash", "")
        try:
            batch = propose_batch(
                actor=self.actor, now=timezone.now(), through=through, expected_hash=expected_hash
            )
        except PaymentError as error:
            return self.refuse(error, "admin:payments_batch_propose")
        messages.success(request, f"{batch} is proposed. A second person can approve it now.")
        return HttpResponseRedirect(reverse(PAGE, args=[batch.pk]))


class ApprovePage(Page):
    """Count, total, every address and the hash, for the second person to compare."""

    rights = (APPROVE,)
    title = "Approve a batch"
    template_name = "admin/payments/batch/approve.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        batch = self.get_batch()
        is_open = batch.status == Batch.Status.PROPOSED
        return super().get_context_data(
            batch=batch,
            heading=f"Approve {batch}",
            payouts=list(batch.payouts.select_related("partner")),
            problems=[*find_changes(batch), *find_uncovered(batch)] if is_open else [],
            is_open=is_open,
            is_own=batch.proposed_by == self.request.user,
            **kwargs,
        )


class ApproveConfirm(Step):
    """Approve what the page showed."""

    rights = (APPROVE,)
    http_method_names = ["post"]

    def post(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        self.get_batch()
        try:
            batch = approve_batch(
                batch_id=batch_id,
                content_hash=request.POST.get("content_hash", ""),
                actor=self.actor,
                now=timezone.now(),
            )
        except (PaymentError, InsufficientPayable) as error:
            return self.refuse(error, PAGE, batch_id)
        messages.success(
            request, f"{batch} is approved and its amounts are reserved. Export its call data to pay."
        )
        return HttpResponseRedirect(reverse(PAGE, args=[batch_id]))


class CancelPage(Page):
    """What cancelling means, and the reason to give."""

    rights = (PROPOSE, APPROVE)
    title = "Cancel a batch"
    template_name = "admin/payments/batch/cancel.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        batch = self.get_batch()
        return super().get_context_data(batch=batch, heading=f"Cancel {batch}", **kwargs)


class CancelConfirm(Step):
    """Cancel for the given reason; an approved batch only after a look at the chain."""

    rights = (PROPOSE, APPROVE)
    http_method_names = ["post"]

    def post(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        batch = self.get_batch()
        try:
            if batch.status == Batch.Status.APPROVED and request.POST.get("not_sent") != "yes":
                raise PaymentError(
                    "Look on the chain first, and confirm that none of these transfers was sent."
                )
            batch = cancel_batch(
                batch_id=batch_id, reason=request.POST.get("reason", ""), actor=self.actor, now=timezone.now()
            )
        except PaymentError as error:
            return self.refuse(error, "admin:payments_batch_cancel", batch_id)
        messages.success(request, f"{batch} is cancelled. What it would have paid is due again.")
        return HttpResponseRedirect(reverse(PAGE, args=[batch_id]))


class CallData(Step):
    """Download an approved batch as call data."""

    rights = (PROPOSE, APPROVE)
    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        batch = self.get_batch()
        try:
            text = call_data(batch)
        except (PaymentError, CallDataError) as error:
            return self.refuse(error, PAGE, batch_id)
        name = f"batch-{batch.pk}-{batch.content_hash[:12]}.hex"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return HttpResponse(text + "\n", content_type="text/plain; charset=utf-8", headers=headers)
