"""Lets Unfold do once a page what it does for every row and field.

Nothing here changes what a page shows. Unfold's later releases need Python 3.12 and have most of it themselves (its pull
requests 2172 and 2005).
"""

from __future__ import annotations

import sys
from typing import Any

from unfold.admin import ModelAdmin
from unfold.fields import UnfoldAdminReadonlyField
from unfold.templatetags import unfold_list


def work_once() -> None:
    """Spare every page of the admin what it does again."""
    # A template that asks an admin for an attribute that it lacks, for each field, lists all attributes that it has.
    ModelAdmin.conditional_fields = {}
    if sys.version_info < (3, 12):
        _draw_headers_once()
        _draw_read_only_fields_once()


def _draw_headers_once() -> None:
    """Draw the headers of a list once, not again for each row."""
    result_headers = unfold_list.result_headers

    def once(cl: Any) -> Any:
        if not hasattr(cl, "headers_drawn"):
            cl.headers_drawn = list(result_headers(cl))
        return cl.headers_drawn

    unfold_list.result_headers = once


def _draw_read_only_fields_once() -> None:
    """Call what shows a read-only field once; the template asks for it four times."""
    contents = UnfoldAdminReadonlyField.contents

    def once(field: Any) -> Any:
        if not hasattr(field, "contents_drawn"):
            field.contents_drawn = contents(field)
        return field.contents_drawn

    UnfoldAdminReadonlyField.contents = once
