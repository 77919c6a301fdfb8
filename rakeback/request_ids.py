"""One name per request: in every line of its log, in the history of what it changed, and in the answer's header.

Who reports a problem gives the name, and whoever looks finds the log and the changes by it. It proves nothing about who
asked: a proxy or program in front may choose it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from pghistory.middleware import HistoryMiddleware

HEADER = "X-Request-ID"
_META = "HTTP_X_REQUEST_ID"
# Safe in a header, a log line and a search; long enough not to be somebody's counter.
_USABLE = re.compile(r"[A-Za-z0-9_-]{8,64}")


class NameRequest:
    """Keep the name that the request brings if it is a short token, make one otherwise, and send it back.

    django-structlog, told to trust what it finds, writes the same name into the log.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _USABLE.fullmatch(request.META.get(_META, "")):
            request.META[_META] = str(uuid.uuid4())
        # The view may not change what the answer says.
        name = request.META[_META]
        response = self.get_response(request)
        response[HEADER] = name
        return response


class RecordRequest(HistoryMiddleware):
    """Write who asked, where and under which name into every history row of the request."""

    def get_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add the name to what the library records."""
        return {**super().get_context(request), "request_id": request.META[_META]}
