"""Django's settings, read from the environment through :mod:`rakeback.env`.

By default everything is local: embedded PostgreSQL and Valkey unless DATABASE_URL and REDIS_URL name others, a
signing key made once, only this machine's host names. RAKEBACK_ENV=production, which the image and the compose
file set, wants every secret and address named and refuses unsafe values.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from chain.fiat.quotes import SOURCE_NAMES
from rakeback import __version__, embedded
from rakeback.colours import COLOURS
from rakeback.embedded.home import Home, HomeError
from rakeback.env import Environment
from rakeback.logs import logging_config

# Named in the manifest of every period that is closed.
CODE_VERSION = __version__
BASE_DIR = Path(__file__).resolve().parent.parent

_env = Environment(os.environ)
_external_database = _env.is_set("DATABASE_URL")
RAKEBACK_ENV = _env.choice("RAKEBACK_ENV", ("production", "local"), default="local")
IS_PRODUCTION = RAKEBACK_ENV == "production"
DEBUG = _env.flag("DEBUG", default=False)

try:
    RAKEBACK_HOME = Home.from_environment()
    if IS_PRODUCTION or _env.is_set("SECRET_KEY"):
        SECRET_KEY = _env.secret(
            "SECRET_KEY",
            rule="a random text of at least 50 characters, kept secret",
            example="$(python -c 'import secrets; print(secrets.token_urlsafe(64))')",
            accepts=lambda key: len(key) >= 50 and len(set(key)) >= 10 and "insecure" not in key,
        )
    else:
        SECRET_KEY = RAKEBACK_HOME.read_secret_key()
except HomeError as error:
    raise ImproperlyConfigured(str(error)) from error


def _is_host(name: str) -> bool:
    return not any(sign in name for sign in "*/ ") and bool(name.strip("."))


def _is_origin(origin: str) -> bool:
    return origin.startswith("https://" if IS_PRODUCTION else ("https://", "http://"))


ALLOWED_HOSTS = _env.names(
    "ALLOWED_HOSTS",
    rule="the host names under which the site is reached, separated by commas, without *",
    example="rakeback.example.com",
    default=None if IS_PRODUCTION else ("localhost", "127.0.0.1", "[::1]"),
    accepts=_is_host,
)
CSRF_TRUSTED_ORIGINS = _env.names(
    "CSRF_TRUSTED_ORIGINS",
    rule="the addresses from which forms are sent, separated by commas, each with https://",
    example="https://rakeback.example.com",
    default=(),
    accepts=_is_origin,
)

# --- Applications -------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Without its own site: ours is rakeback.site.
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "rakeback.apps.RakebackAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "pgtrigger",
    "pghistory",
    "import_export",
    "rest_framework",
    "rest_framework_api_key",
    "drf_spectacular",
    "django_celery_beat",
    "django_structlog",
    "health_check",
    "rakeback",
    "chain",
    "partners",
    "ledger",
    "payments",
]

MIDDLEWARE = [
    # First, so that refusals of those below are named too.
    "rakeback.request_ids.NameRequest",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # After the user is known: it writes who acted into every history row of the request.
    "rakeback.request_ids.RecordRequest",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "rakeback.bad_filters.LeaveOutBadFilters",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "chain.network.RememberFamily",
]

ROOT_URLCONF = "rakeback.urls"
WSGI_APPLICATION = "rakeback.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database, cache and tasks ------------------------------------------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
_database = (
    _env.database() if _external_database or IS_PRODUCTION else embedded.describe_postgres(RAKEBACK_HOME)
)
# As whom migrations sign in: the owner of the tables, which the application is not.
if _external_database or IS_PRODUCTION:
    _owner = _env.database("DATABASE_OWNER_URL") if _env.is_set("DATABASE_OWNER_URL") else _database
else:
    _owner = _database | {"USER": embedded.DATABASE_OWNER}
DATABASE_OWNER = {name: _owner.get(name, "") for name in ("USER", "PASSWORD")}
# A schema of the role's own name, which PostgreSQL looks into first if not told otherwise, may hold another history.
_options = _database.get("OPTIONS", {})
_search_path = "-c search_path=public,pg_temp"
DATABASES: dict[str, Any] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": _env.integer(
            "DATABASE_CONNECTION_SECONDS_MAX", default=60, minimum=0, maximum=86_400
        ),
        "CONN_HEALTH_CHECKS": True,
        **_database,
        "OPTIONS": _options | {"options": f"{_options.get('options', '')} {_search_path}".strip()},
    }
}

_cache = "redis.RedisCache"
if IS_PRODUCTION or _env.is_set("REDIS_URL"):
    _redis_url = _cache_place = _env.redis()
else:
    _redis_url = embedded.describe_valkey(RAKEBACK_HOME)
    _cache_place = f"unix://{_redis_url.partition('://')[2]}?db=1"
    if not _env.is_set("RAKEBACK_SERVED"):
        # Commands must work while no broker runs. The served site's processes share limits and cached answers.
        _cache, _cache_place = "locmem.LocMemCache", "rakeback"
CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{_cache}", "LOCATION": _cache_place}}

# A task whose worker died is delivered again after this time, so it must be longer than the longest
# task and the longest countdown, or work would be done twice.
_redelivery_seconds = _env.integer("TASK_REDELIVERY_SECONDS", default=3_600, minimum=120, maximum=86_400)
CELERY_BROKER_URL = _redis_url
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": _redelivery_seconds}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_TIME_LIMIT = _redelivery_seconds - 60
CELERY_TASK_SOFT_TIME_LIMIT = _redelivery_seconds - 90
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# What it finds was checked or made by rakeback.request_ids.
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True

# Empty: blocks come from recorded segments only, and nothing is read by itself.
_node_urls = _env.node_urls("RAKEBACK_NODE_URL")
RAKEBACK_NODE_URL = ",".join(_node_urls)
RAKEBACK_NODE_AGREEMENT = _env.integer("RAKEBACK_NODE_AGREEMENT", default=1, minimum=1, maximum=2)
if 0 < len(_node_urls) < RAKEBACK_NODE_AGREEMENT:
    _env.refuse(
        "RAKEBACK_NODE_AGREEMENT",
        "no more than there are addresses in RAKEBACK_NODE_URL",
        "1",
        f"{RAKEBACK_NODE_AGREEMENT}, and {len(_node_urls)} node is named",
    )
# Every value of storage is read with its proof, so that one node cannot lie about any.
RAKEBACK_NODE_PROOFS = _env.flag("RAKEBACK_NODE_PROOFS", default=False)
# One round trip takes no longer; a finalized head that stands longer is not followed.
RAKEBACK_NODE_SECONDS_MAX = _env.integer("RAKEBACK_NODE_SECONDS_MAX", default=60, minimum=1, maximum=600)
RAKEBACK_NODE_HEAD_SECONDS_MAX = _env.integer(
    "RAKEBACK_NODE_HEAD_SECONDS_MAX", default=300, minimum=24, maximum=86_400
)

# Where dollars per TAO come from. Empty: nothing is asked, and values in dollars stay unknown.
RAKEBACK_PRICE_SOURCES = _env.names(
    "RAKEBACK_PRICE_SOURCES",
    rule=f"price sources in the order in which they count, separated by commas, each once, of {', '.join(SOURCE_NAMES)}",
    example="taostats,coinbase",
    default=(),
    accepts=SOURCE_NAMES.__contains__,
)
if len(set(RAKEBACK_PRICE_SOURCES)) < len(RAKEBACK_PRICE_SOURCES):
    _env.refuse(
        "RAKEBACK_PRICE_SOURCES", "each source once", "taostats,coinbase", ",".join(RAKEBACK_PRICE_SOURCES)
    )
TAOSTATS_API_KEY = _env.secret(
    "TAOSTATS_API_KEY",
    rule="the API key of a TaoStats account, needed where RAKEBACK_PRICE_SOURCES names taostats",
    example="tao-00000000-0000-0000-0000-000000000000:00000000",
    default=None if "taostats" in RAKEBACK_PRICE_SOURCES else "",
    # It becomes a header.
    accepts=lambda key: key.isascii() and key.isprintable() and " " not in key and len(key) >= 8,
)
RAKEBACK_PRICE_STALENESS_SECONDS = _env.integer(
    "RAKEBACK_PRICE_STALENESS_SECONDS", default=3_600, minimum=60, maximum=7 * 86_400
)
RAKEBACK_PRICE_DISAGREEMENT_BPS = _env.integer(
    "RAKEBACK_PRICE_DISAGREEMENT_BPS", default=500, minimum=1, maximum=10_000
)

# --- History ------------------------------------------------------------------------------------------

# Outside the database, so that who rules it cannot take back what was noted there.
RAKEBACK_HISTORY_HEADS = Path(
    _env.text(
        "RAKEBACK_HISTORY_HEADS",
        rule="the whole path of the file in which the worker notes the end of the history each night",
        example="/var/lib/rakeback/history_heads",
        default=str(RAKEBACK_HOME.root / "history_heads"),
        accepts=os.path.isabs,
    )
)

# --- Mail -----------------------------------------------------------------------------------------------

# For the notices of new payout addresses. Empty: none is sent, and each says so.
for _name, _value in _env.mail().items():
    globals()[_name] = _value
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = _env.text(
    "EMAIL_FROM",
    rule="the sender of notices, an e-mail address that partners know",
    example="payouts@validator.example",
    default=None if _env.is_set("EMAIL_URL") else "rakeback@localhost",
    accepts=lambda text: text.count("@") == 1 and text.isprintable() and " " not in text,
)
# The database itself takes no less than 48 (partners.models.COOLING_OFF_HOURS_MIN).
RAKEBACK_ADDRESS_COOLING_OFF_HOURS = _env.integer(
    "RAKEBACK_ADDRESS_COOLING_OFF_HOURS", default=72, minimum=48, maximum=30 * 24
)

# The order of changes within one transaction is part of the history.
PGHISTORY_CREATED_AT_FUNCTION = "CLOCK_TIMESTAMP()"

# --- Language, time and static files ------------------------------------------------------------------

LANGUAGE_CODE = "en"
# The only one: Unfold describes every language that there is on every page.
LANGUAGES = [("en", "English")]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
# Days and times as 2025-08-13 and 19:28:36 everywhere.
FORMAT_MODULE_PATH = ["rakeback.formats"]

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles" if IS_PRODUCTION else None
# Local sites read static files where they lie, so that nobody has to collect them first.
WHITENOISE_USE_FINDERS = not IS_PRODUCTION
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if IS_PRODUCTION
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}

# --- Signing in and transport -------------------------------------------------------------------------

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_PRODUCTION
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = _env.flag("HTTPS_REDIRECT", default=IS_PRODUCTION)
# The checks come from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_HSTS_SECONDS = _env.integer(
    "HSTS_SECONDS", default=31_536_000 if IS_PRODUCTION else 0, minimum=0, maximum=63_072_000
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
if _env.flag("TRUST_PROXY_HTTPS", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

if IS_PRODUCTION and DEBUG:
    _env.refuse("DEBUG", "must be false in production, because error pages show secrets", "false", "true")

# --- Admin, API, logs ---------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "Rakeback",
    "SITE_HEADER": "Rakeback",
    "SITE_SUBHEADER": "Back office",
    "SITE_SYMBOL": "balance",
    # There is no other site to return to.
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("rakeback/favicon.svg")},
    ],
    "SHOW_HISTORY": True,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "rakeback.navigation.environment",
    "DASHBOARD_CALLBACK": "rakeback.overview.add_to_index",
    "STYLES": [lambda _request: static("rakeback/rakeback.css")],
    "SCRIPTS": [lambda _request: static("rakeback/rakeback.js")],
    "BORDER_RADIUS": "6px",
    "COLORS": COLOURS,
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
    },
}
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    # Closed unless a view opens itself; the views' own rules are in partners/api_base.py.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_THROTTLE_RATES": {
        "api_key": f"{_env.integer('API_REQUESTS_PER_MINUTE', default=120, minimum=1, maximum=100_000)}/minute"
    },
    "EXCEPTION_HANDLER": "partners.api_base.exception_handler",
}
API_KEY_CUSTOM_HEADER = "HTTP_X_API_KEY"
SPECTACULAR_SETTINGS = {
    "TITLE": "Rakeback API",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {"SideEnum": "chain.models.Side", "AssetEnum": "chain.models.Asset"},
}
LOGGING = logging_config(
    level=_env.choice(
        "LOG_LEVEL",
        ("INFO", "DEBUG", "WARNING", "ERROR"),
        # A person at a terminal reads what a command says, not its log.
        default="INFO" if IS_PRODUCTION else "WARNING",
    ),
    form=_env.choice("LOG_FORM", ("json", "lines"), default="json" if IS_PRODUCTION else "lines"),
)

_env.verify()
