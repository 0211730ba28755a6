"""The ordered key-value store: the port, the one table of key prefixes, and the store in memory.

All integers in keys are big-endian, so that byte order is number order. A subject's key part is
platform (u32) ‖ handle (32). Row formats are in `ledger/rows.py` and, for `C…`, in `consensus/`.

| prefix | key | value |
|---|---|---|
| `M` | name | meta rows: genesis, head, index of this store's format |
| `H` | header hash | signed header: [header, signature] |
| `S` | header hash ‖ u16 position | submission: [salt, record, signatures] |
| `Y` | header hash ‖ u16 position | residue of a submission that is erased |
| `L` | u32 lane ‖ u64 height | header hash, once final |
| `B` | u64 block height | block row |
| `C` | u64 block height | certified checkpoint: the note with the quorum's lines |
| `E` | u64 log index | leaf row (record or seal) |
| `T` | u8 level ‖ u64 index | tile: up to 256 hashes |
| `F` | subject ‖ u32 position | log index (u64); of an erasure leaf: ‖ target (u64) ‖ since (u64) |
| `W` | subject | subject row |
| `G` | platform ‖ reference | engagement row |
| `P` | subject ‖ subject | pair tally: what the first has said of the second |
| `R` | subject | rater tally |
| `Q` | u32 platform | platform tally |
| `D` | kind ‖ u32 platform ‖ handle | summary changed since the epoch's start |
| `U` | kind ‖ u32 platform ‖ handle | the newest copies of a summary that the index holds |
| `V` | u32 day ‖ u32 platform | open engagements that are due on a day |
| `X` | first 16 bytes of a record id | log index, once accepted |
| `X` | record id ‖ u32 lane ‖ u64 height ‖ u16 position | refused there, and by which rule |
| `O` | u64 log index | an erasure: its scope, how far it is done, who has acknowledged it |
| `J` | subject or u32 0 ‖ u64 log index, ‖ a refused record's place | erasable (`ledger/rows.py`) |
| `A` | … | changes of members, taken names, evidence (`ledger/governance_rows.py`) |
| `Z` | u64 block height | what the index overwrote there, for the window of older checkpoints |
| `K` | … | consensus: votes, proposals, hints, evidence |
| `N` | … | node only: idempotence, aliases, tokens' inquiry log |
"""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from sortedcontainers import SortedDict

META: Final = b"M"
HEADER: Final = b"H"
SUBMISSION: Final = b"S"
RESIDUE: Final = b"Y"
LANE: Final = b"L"
BLOCK: Final = b"B"
CHECKPOINT: Final = b"C"
LEAF: Final = b"E"
TILE: Final = b"T"
FILE: Final = b"F"
SUBJECT: Final = b"W"
ENGAGEMENT: Final = b"G"
PAIR: Final = b"P"
RATER: Final = b"R"
PLATFORM: Final = b"Q"
DIRTY: Final = b"D"
SUMMARY: Final = b"U"
DUE: Final = b"V"
RECORD: Final = b"X"
ERASURE: Final = b"O"
REFUSED: Final = b"J"
GOVERNANCE: Final = b"A"
UNDO: Final = b"Z"
CONSENSUS: Final = b"K"
NODE: Final = b"N"

Changes = dict[bytes, bytes | None]


class Reader(Protocol):
    """Reads of an ordered store. A damaged row raises StoreDamaged."""

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, in key order (or against it)."""
        ...


class Store(Reader, Protocol):
    """An ordered store that is written, too."""

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes all at once; None removes."""
        ...


class MemoryStore:
    """The store in memory: for tests, simulation and replay."""

    def __init__(self) -> None:
        self._rows: SortedDict[bytes, bytes] = SortedDict()

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = self._rows.get(key)
        return value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, in key order (or against it)."""
        for key in self._rows.irange(start, stop, inclusive=(True, False), reverse=reverse):
            yield key, self._rows[key]

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes all at once; None removes."""
        for key, value in changes.items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value

    def close(self) -> None:
        """Nothing is held but memory."""

    def copy(self) -> "MemoryStore":
        """An independent store with the same rows."""
        other = MemoryStore()
        other._rows.update(self._rows)
        return other


def subject_key(platform: int, handle: bytes) -> bytes:
    """A subject's part of a key: 36 bytes."""
    return platform.to_bytes(4) + handle


def after(prefix: bytes) -> bytes:
    """The first key behind all keys with this prefix."""
    head = prefix.rstrip(b"\xff")
    if not head:
        raise ValueError("no key lies behind a prefix of 0xFF alone")
    return head[:-1] + bytes([head[-1] + 1])
