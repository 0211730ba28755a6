"""Where a replay takes blocks and batches from, and what it says of them."""

from dataclasses import dataclass
from typing import Protocol

from ledger.batch import Batch, Submission
from ledger.errors import StoreDamaged
from ledger.rows import (
    BlockRow,
    HeaderRow,
    block_key,
    describe_key,
    header_key,
    read_row,
    submission_key,
)
from ledger.store import Reader


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not right: a stable kind, where it stands, what is wrong with it."""

    kind: str
    where: str
    detail: str


class Source(Protocol):
    """Blocks and batches of a ledger. What is damaged there raises StoreDamaged."""

    def block(self, height: int) -> BlockRow | None:
        """An executed block's row, or None behind the newest."""
        ...

    def batch(self, lane: int, height: int, name: bytes) -> Batch | None:
        """The batch with this header hash at this place, or None if it is not held."""
        ...


class ReaderSource:
    """Blocks and batches from a node's own store."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def block(self, height: int) -> BlockRow | None:
        """An executed block's row, or None behind the newest."""
        return read_row(self._reader, BlockRow, block_key(height))

    def batch(self, lane: int, height: int, name: bytes) -> Batch | None:
        """The batch with this header hash, or None if it is not held."""
        del lane, height
        row = read_row(self._reader, HeaderRow, header_key(name))
        if row is None:
            return None
        submissions = []
        for position in range(row.header.count):
            key = submission_key(name, position)
            item = read_row(self._reader, Submission, key)
            if item is None:
                raise StoreDamaged(describe_key(key), "is missing")
            submissions.append(item)
        return Batch(row.header, row.signature, tuple(submissions))
