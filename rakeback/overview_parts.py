"""What the overview is made of, whoever fills it in: numbers at its head, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.safestring import SafeString

URGENCY = ("danger", "warning", "info")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the head of the page."""

    title: str
    value: SafeString | str
    note: SafeString | str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Todo:
    """One thing that needs a person: how urgent (danger, warning, info), what, and where to do it."""

    tone: str
    icon: str
    title: str
    text: SafeString | str
    url: str
    url_title: str
