"""An own batch from its first record until it is executed."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ledger.batch import Submission
from ledger.store import Changes

BATCH_OVERHEAD_BYTES: Final = 512


@dataclass(slots=True)
class OpenBatch:
    """The batch under construction, then under way; `number` counts own batches since the start."""

    number: int
    durable: "asyncio.Future[None]"
    submissions: list[Submission] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    rows: Changes = field(default_factory=dict)
    size_bytes: int = BATCH_OVERHEAD_BYTES
    height: int = 0
    header_hash: bytes = b""
    by: Counter[str] = field(default_factory=Counter)
    """Who handed in how many of them."""
    is_left: bool = False
    """The membership ended before it was sealed: nothing of it was stored."""
