"""What the taking of a snapshot asks of whoever keeps the store; its rows, waits and bounds.

The rows are described where they are used (consensus/snapshots.py).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from consensus.effects import Effect
from consensus.openings import Opened
from ledger.encoding import decode
from ledger.errors import InvalidInput, StoreDamaged
from ledger.snapshot import MANIFEST_BYTES_MAX, Manifest
from ledger.store import NODE, Reader, after

TAKING: Final = NODE + b"t"
MANIFEST: Final = TAKING + b"m"
CHUNK: Final = TAKING + b"c"
HELD_HEAD: Final = TAKING + b"h"
PROVEN: Final = TAKING + b"p"
OPENED: Final = TAKING + b"o"
WIPING: Final = TAKING + b"w"
"""All rows are being removed: the others tell nothing any more. The last of them."""


TICK: Final = "snapshot"
TICK_MS: Final = 100


class Phase(Enum):
    """What is under way."""

    ENDS = "asking for ends"
    MANIFEST = "waiting for a manifest"
    CHUNKS = "fetching chunks"
    HISTORY = "fetching proofs and batches"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Terms:
    """Waits (ms of the steady clock) and bounds. They decide speed, never what is trusted."""

    blocks_min: int = 256
    """Below so many blocks it is replayed."""
    ask_ms: int = 4_000
    settle_ms: int = 500
    offers_ms: int = 20_000
    again_ms: int = 1_000
    retry_ms: int = 4_000
    manifest_ms: int = 1_800_000
    stall_ms: int = 60_000
    at_once_max: int = 2
    """Requests under way per peer."""
    lane_bytes_max: int = 8 * 1_024 * 1_024
    """Of batches of one lane that wait for their blocks …"""
    waiting_bytes_max: int = 64 * 1_024 * 1_024
    """… and of those of all lanes. What the next block needs is taken even so: one cut's bytes."""


@dataclass(frozen=True, slots=True)
class Wipe:
    """Remove all rows of the store, those under `TAKING` last, before anything that follows."""


@dataclass(frozen=True, slots=True)
class Complete:
    """All is there: check it (`adopting`), then write the head row; or wipe the store."""


@dataclass(frozen=True, slots=True)
class FallBack:
    """No snapshot: wipe the store and replay. The reason is for the operator."""

    reason: str


Step = Effect | Opened | Wipe | Complete | FallBack


def chunk_key(index: int) -> bytes:
    """Where it stands that a chunk is there."""
    return CHUNK + index.to_bytes(4)


def is_unfinished(reader: Reader) -> bool:
    """Whether the store holds a snapshot that was begun, and is not whole or not checked."""
    return next(iter(reader.scan(TAKING, after(TAKING))), None) is not None


def read_manifest(reader: Reader) -> Manifest | None:
    """The manifest that an earlier run has left, if there is one.

    Raises:
        StoreDamaged: it cannot be read.
    """
    data = reader.get(MANIFEST)
    if data is None:
        return None
    try:
        return decode(Manifest, data, bytes_max=MANIFEST_BYTES_MAX, what="manifest")
    except InvalidInput as error:
        raise StoreDamaged("the manifest of a snapshot", str(error)) from error
