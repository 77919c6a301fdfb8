"""The Django apps that carry the project's own commands and static files, and its admin site."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class RakebackConfig(AppConfig):
    """Binds the Celery application to every process that Django sets up."""

    name = "rakeback"
    label = "rakeback"
    verbose_name = "Rakeback"

    def ready(self) -> None:
        # Makes @shared_task use our application in the web process and in commands too; it is not
        # imported by rakeback/__init__.py because the keepers start through that.
        from rakeback import celery  # noqa: F401
        from rakeback.theme import work_once

        work_once()


class RakebackAdminConfig(admin_apps.AdminConfig):
    """Django's admin with our site in place of Django's own."""

    default = False
    default_site = "rakeback.site.Site"
