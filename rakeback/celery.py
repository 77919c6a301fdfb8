"""The Celery application: ``celery -A rakeback worker`` and ``celery -A rakeback beat``.

Where REDIS_URL is not set the broker is the embedded Valkey, brought up by the first connection.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from django_structlog.celery.steps import DjangoStructLogInitStep

from rakeback import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rakeback.settings")


class RakebackCelery(Celery):
    """A Celery application that starts the embedded broker only when something connects to it."""

    def connection_for_read(self, *args: Any, **kwargs: Any) -> Any:
        embedded.use_valkey_unless_external()
        return super().connection_for_read(*args, **kwargs)

    def connection_for_write(self, *args: Any, **kwargs: Any) -> Any:
        embedded.use_valkey_unless_external()
        return super().connection_for_write(*args, **kwargs)


def _is_celery_program() -> bool:
    program = Path(sys.argv[0])
    return program.name == "celery" or (program.name == "__main__.py" and program.parent.name == "celery")


app = RakebackCelery("rakeback")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Gives every line that a task logs the ids of the task and of the request that asked for it.
app.steps["worker"].add(DjangoStructLogInitStep)

if _is_celery_program():
    # Workers and beat read the database before Celery sends any signal we could wait for.
    embedded.use_postgres_unless_external()
