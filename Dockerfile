# One image for the web server, the workers, the scheduler and migrations; see docker-compose.yml.
FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --require-hashes --requirement requirements.txt

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RAKEBACK_ENV=production \
    DJANGO_SETTINGS_MODULE=rakeback.settings
# What a volume for the ends of the history begins with: a folder that the account may write to.
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin rakeback && \
    install --directory --owner 10001 --mode 700 /var/lib/rakeback
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
# Values that only let the settings load; none of them stays in the image.
RUN SECRET_KEY=only-for-collectstatic-0123456789-abcdefghijklmnopqrstuvwxyz \
    ALLOWED_HOSTS=localhost DATABASE_URL=postgres://build@localhost/build REDIS_URL=redis://localhost/0 \
    python manage.py collectstatic --noinput && python -m compileall -q .
USER 10001
EXPOSE 8000
# The site answers only to its own names, so the check borrows the first of them.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:8000/health/live/', headers={'Host': os.environ['ALLOWED_HOSTS'].split(',')[0].strip(' .')}), timeout=4)"]
CMD ["gunicorn", "rakeback.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "gthread", "--workers", "2", "--threads", "4", "--timeout", "120", "--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
