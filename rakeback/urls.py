"""Addresses of the site: the admin, the two health checks and the API."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView
from health_check.views import HealthCheckView

from rakeback.overview import take_csv_view


def live(request: HttpRequest) -> HttpResponse:
    """Answer that this process serves requests; nothing else is looked at."""
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index", permanent=False), name="home"),
    path("admin/overview/take.csv", take_csv_view, name="take-csv"),
    path("admin/", admin.site.urls),
    path("api/", include("rakeback.api")),
    # A process that lives is not restarted because the database is away; it only gets no requests.
    path("health/live/", live, name="health-live"),
    path(
        "health/ready/",
        HealthCheckView.as_view(checks=["health_check.checks.Database", "health_check.checks.Cache"]),
        name="health-ready",
    ),
]
