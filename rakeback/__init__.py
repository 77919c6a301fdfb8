"""Rakeback's wiring: settings, processes and the embedded services. It owns no models and no rules.

Importing this package must stay cheap and free of Django and Celery, because the small processes of
``rakeback.embedded`` start through it.
"""

__version__ = "0.1.0"
