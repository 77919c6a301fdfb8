from django.apps import AppConfig


class PartnersConfig(AppConfig):
    """Whose a delegation is: partners, agreements, rules, wallets, payout addresses."""

    name = "partners"
    verbose_name = "Partners"
