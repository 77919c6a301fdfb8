"""Runs one ingestion in a process of its own, so that a test can kill it."""

import os
import sys
from pathlib import Path

import django
from django.conf import settings

if __name__ == "__main__":
    settings.DATABASES["default"]["NAME"] = os.environ["RAKEBACK_TEST_DATABASE"]
    settings.DATABASES["default"]["USER"] = os.environ["RAKEBACK_TEST_USER"]
    django.setup()
    from chain.services import ingest_segment

    ingest_segment(Path(sys.argv[1]))
