"""Runs one ingestion in a process of its own, so that a test can kill it."""

import os
import sys
from pathlib import Path

import django

if __name__ == "__main__":
    from rakeback import settings as product

    product.DATABASES["default"]["NAME"] = os.environ["RAKEBACK_TEST_DATABASE"]
    django.setup()
    from chain.services import ingest_segment

    ingest_segment(Path(sys.argv[1]))
