from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """What is owed and why: attribution, allocation, periods, entries, statements."""

    name = "ledger"
    verbose_name = "Ledger"
