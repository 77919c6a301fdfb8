"""``manage.py setup_schedules``: make the schedules of what runs by itself."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from rakeback.schedules import set_up_schedules


class Command(BaseCommand):
    """Make missing schedules; those that are there, and what an operator changed in them, stay."""

    help = "Make the schedules of what runs by itself. Running it again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        done = set_up_schedules()
        self.stdout.write("\n".join(done) if done else "All schedules are there already.")
