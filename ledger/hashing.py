"""SHA-256 and the names of what it yields."""

from hashlib import sha256 as _sha256
from typing import Final

HASH_BYTES: Final = 32
ZERO_HASH: Final = bytes(HASH_BYTES)


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts laid end to end (32 bytes)."""
    return _sha256(b"".join(parts)).digest()
