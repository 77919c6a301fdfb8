"""A list of the admin whose address filters by what cannot be, as a zero byte, is shown without it and says so; any other
page that breaks on a zero byte in its address answers 400.

Django does so for what it sees itself; what only the database refuses would be an error of ours.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.db import DataError, ProgrammingError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.defaults import bad_request
from psycopg import Error as DriverError

logger = logging.getLogger(__name__)
# What the database, its driver and Django's lookups answer to such a value, found by trying them all.
_REFUSALS = (IncorrectLookupParameters, DataError)
# There is no such operator, or none for these types: a lookup that its column does not have.
_WRONG_LOOKUPS = {"42883", "42804"}
# These are a refusal only where Django builds, compiles or runs a query; elsewhere they are bugs.
_MAYBE = (LookupError, OverflowError, TypeError, ValueError)
_QUERIES = ("django.db.", "django.contrib.postgres.", "django.contrib.admin.filters", "psycopg.")
_OURS = ("rakeback.", "chain.", "partners.", "ledger.", "payments.")


def _is_refusal(exception: Exception) -> bool:
    """Tell whether a value in the address was refused, from an error of ours."""
    if isinstance(exception, ProgrammingError):
        # One that the driver itself made has no state: a lookup was given more or fewer values than it takes.
        return isinstance(exception.__cause__, DriverError) and (
            exception.__cause__.sqlstate is None or exception.__cause__.sqlstate in _WRONG_LOOKUPS
        )
    if isinstance(exception, _MAYBE):
        frames = traceback.walk_tb(exception.__traceback__)
        modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in frames]
        # What was called last by our own code.
        called = modules[
            max((at for at, name in enumerate(modules, 1) if name.startswith(_OURS)), default=0) :
        ]
        return any(name.startswith(_QUERIES) for name in called)
    return isinstance(exception, _REFUSALS)


class LeaveOutBadFilters:
    """Go back to the whole list where a filter was refused; a list that fails without a filter fails as before."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Redirect as Django does, from a list, its CSV or its export; the log keeps what was refused."""
        match = request.resolver_match
        name, _, view = (match.view_name if match else "").rpartition("_")
        # What an action does is no filter; an export writes nothing.
        is_filtered = (request.method == "GET" or view == "export") and request.GET.keys() - {ERROR_FLAG}
        is_list = name.startswith("admin:") and view in ("changelist", "csv", "export")
        if is_list and is_filtered and _is_refusal(exception):
            logger.warning("admin.filter_refused", exc_info=exception)
            return redirect(f"{reverse(f'{name}_changelist')}?{ERROR_FLAG}=1")
        if "\0" in request.path or any(
            "\0" in value for _, values in request.GET.lists() for value in values
        ):
            logger.warning("admin.zero_byte", exc_info=exception)
            return bad_request(request, exception)
        return None

    def process_template_response(self, request: HttpRequest, response: TemplateResponse) -> TemplateResponse:
        """Say why the list is not filtered, whoever left the filter out."""
        if ERROR_FLAG in request.GET and "cl" in (response.context_data or {}):
            messages.warning(
                request, "This list cannot be filtered by what its address says, so all of it is shown."
            )
        return response
