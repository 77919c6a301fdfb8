"""The admin's site: Unfold's, with the sidebar of :mod:`rakeback.navigation`, and without work that no page shows."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from unfold.sites import UnfoldAdminSite

from rakeback.navigation import sidebar


class Site(UnfoldAdminSite):  # type: ignore[misc]
    """Every page of the admin asks this site for its frame."""

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """List the models of one app for its page. Of all apps no page shows a list, because the sidebar is ours."""
        return super().get_app_list(request, app_label) if app_label else []

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        """List the sidebar's groups, complete: Unfold would copy them and look for the open page anew for each entry."""
        return sidebar(request)
