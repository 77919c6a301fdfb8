from django.apps import AppConfig


class ChainConfig(AppConfig):
    """What the chain said: blocks, stake events, yields, positions, conversions, gaps."""

    name = "chain"
    verbose_name = "Chain"
