"""The fingerprint of how a yield's take was split over those who earned it (LE1). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest(shares: Iterable[tuple[str, int]]) -> str:
    """Hash shares independently of their order: SHA-256 of ``address amount`` lines sorted by address."""
    text = "".join(f"{address} {amount}\n" for address, amount in sorted(shares))
    return hashlib.sha256(text.encode()).hexdigest()
