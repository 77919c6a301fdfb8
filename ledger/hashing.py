"""The one spelling of JSON that manifests, statements and summaries are hashed by. Pure."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """Write JSON in the one spelling that is hashed: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def content_hash(value: object) -> str:
    """Hash a JSON-able value by its canonical spelling, SHA-256."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
