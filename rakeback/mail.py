"""Mail where no server is set: every message is refused, so that nothing counts as sent that nobody can get."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend


class NoMailServer(OSError):
    """No mail server is set. Set EMAIL_URL and send again."""


class RefusingBackend(BaseEmailBackend):
    """Django's mail while EMAIL_URL is not set."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Refuse them all.

        :raises NoMailServer: always.
        """
        raise NoMailServer("no mail server is set; EMAIL_URL names one")
