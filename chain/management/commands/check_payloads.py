"""Prove that the raw answers kept beside the facts are the bytes that were kept."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chain.models import Payload
from chain.payloads import damaged_payloads


class Command(BaseCommand):
    help = "Compare every stored payload with the SHA-256 it is named by."

    def handle(self, *args: Any, **options: Any) -> None:
        if damaged := damaged_payloads():
            raise CommandError(f"{len(damaged)} payloads are damaged:\n" + "\n".join(damaged))
        self.stdout.write(f"All {Payload.objects.count():,} payloads are the bytes that were kept.")
