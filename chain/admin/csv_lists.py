"""Lists with a picture above them whose rows, as they are filtered, can be downloaded as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path, reverse

from chain.admin.base import FactAdmin

# What the pictures show.
CHART_DAYS = 30
STEP = timedelta(hours=6)


class _Echo:
    """Hands each line of the CSV back to whoever asked for it."""

    def write(self, line: str) -> str:
        return line


class CsvListAdmin(FactAdmin):
    """A list whose rows, as they are filtered, can be downloaded."""

    csv_columns: Sequence[str] = ()
    list_before_template = "admin/chain/prices.html"

    def csv_row(self, row: Any) -> Sequence[object]:
        """One line, under `csv_columns`."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        opts = self.opts
        view = self.admin_site.admin_view(self.csv_view)
        return [path("csv/", view, name=f"{opts.app_label}_{opts.model_name}_csv"), *super().get_urls()]

    def csv_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """Every row that the list's filters leave, newest first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows: QuerySet[Any] = self.get_changelist_instance(request).get_queryset(request)
        writer = csv.writer(_Echo())

        def lines() -> Iterator[str]:
            yield writer.writerow(self.csv_columns)
            for row in rows.iterator(chunk_size=2_000):
                yield writer.writerow(self.csv_row(row))

        return StreamingHttpResponse(
            lines(),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{self.opts.model_name}.csv"'},
        )

    def csv_link(self, request: HttpRequest) -> str:
        """Where the rows of the list, as it is filtered, are downloaded."""
        query = request.GET.urlencode()
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_csv") + (
            f"?{query}" if query else ""
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Put the picture above the list."""
        shown = self.above(request) if self.has_view_permission(request) else {}
        answer: HttpResponse = super().changelist_view(request, {"csv_link": self.csv_link(request), **shown})
        return answer

    def above(self, request: HttpRequest) -> dict[str, Any]:
        """What the template above the list shows."""
        raise NotImplementedError
