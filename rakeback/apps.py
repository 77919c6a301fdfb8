"""The Django app that carries the project's own commands and static files."""

from django.apps import AppConfig


class RakebackConfig(AppConfig):
    """Binds the Celery application to every process that Django sets up."""

    name = "rakeback"
    label = "rakeback"
    verbose_name = "Rakeback"

    def ready(self) -> None:
        # Makes @shared_task use our application in the web process and in commands too; it is not
        # imported by rakeback/__init__.py because the keepers start through that.
        from rakeback import celery  # noqa: F401
