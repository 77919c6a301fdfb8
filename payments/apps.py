from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """What may leave: batches, payouts, approvals."""

    name = "payments"
    verbose_name = "Payments"
