"""Salts of commitments: drawn many at a time, each given once."""

import os
from typing import Final

from ledger.batch import SALT_BYTES

AT_ONCE: Final = 256
"""Asking the system for each one takes longer than to hash with it."""


class Salts:
    """Random salts without end."""

    def __init__(self) -> None:
        self._drawn: list[bytes] = []

    def draw(self) -> bytes:
        """The next salt (16 bytes)."""
        if not self._drawn:
            drawn = os.urandom(SALT_BYTES * AT_ONCE)
            self._drawn = [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]
        return self._drawn.pop()
