"""The web application for gunicorn: ``gunicorn rakeback.wsgi``."""

import os

from django.core.wsgi import get_wsgi_application

from rakeback import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rakeback.settings")
embedded.use_postgres_unless_external()
application = get_wsgi_application()
