"""Raw answers kept beside the facts read from them: once each, under the SHA-256 of their bytes, never changed (CH2)."""

from __future__ import annotations

import hashlib
import zlib

from chain.models import Payload

# Fixed, so that equal bytes are stored as equal bytes.
LEVEL = 6


class DamagedPayload(Exception):
    """The stored bytes are not those that were kept. Restore the row from a backup, or read the block again elsewhere."""


def keep_payload(body: bytes) -> str:
    """Keep bytes, unless they are kept already; returns their SHA-256 in hex, the key of the row.

    :raises ValueError: there are no bytes to keep.
    """
    if not body:
        raise ValueError("an empty payload says nothing and is not kept")
    digest = hashlib.sha256(body).hexdigest()
    row = Payload(sha256=digest, body=zlib.compress(body, LEVEL), size=len(body))
    Payload.objects.bulk_create([row], ignore_conflicts=True)
    return digest


def payload_bytes(payload: Payload) -> bytes:
    """The bytes that were kept, proved by digest and size. :raises DamagedPayload: they are not."""
    unpacker = zlib.decompressobj()
    try:
        # One byte more than there may be shows that there is more, without unpacking all of it.
        body = unpacker.decompress(bytes(payload.body), payload.size + 1)
    except zlib.error as error:
        raise DamagedPayload(f"payload {payload.sha256} cannot be unpacked: {error}") from error
    if len(body) != payload.size or hashlib.sha256(body).hexdigest() != payload.sha256:
        raise DamagedPayload(f"payload {payload.sha256} holds other bytes than were kept")
    return body


def damaged_payloads() -> list[str]:
    """Read every payload and name those that are damaged."""
    found = []
    for payload in Payload.objects.order_by("sha256").iterator(chunk_size=100):
        try:
            payload_bytes(payload)
        except DamagedPayload as error:
            found.append(str(error))
    return found
