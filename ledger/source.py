"""Where a replay takes blocks and batches from, and what it says of them."""

from dataclasses import dataclass
from typing import Protocol

from ledger.batch import Batch, Submission
from ledger.errors import StoreDamaged
from ledger.residue import AnyBatch, Remains, Residue
from ledger.rows import (
    BlockRow,
    HeaderRow,
    block_key,
    describe_key,
    header_key,
    read_row,
    residue_key,
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

    def batch(self, lane: int, height: int, name: bytes) -> AnyBatch | None:
        """The batch with this header hash at this place, or None if it is not held."""
        ...


class ReaderSource:
    """Blocks and batches from a node's own store."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def block(self, height: int) -> BlockRow | None:
        """An executed block's row, or None behind the newest."""
        return read_row(self._reader, BlockRow, block_key(height))

    def batch(self, lane: int, height: int, name: bytes) -> AnyBatch | None:
        """The batch with this header hash, or None if it is not held."""
        del lane, height
        row = read_row(self._reader, HeaderRow, header_key(name))
        if row is None:
            return None
        submissions: list[Submission] = []
        for position in range(row.header.count):
            item = read_row(self._reader, Submission, submission_key(name, position))
            if item is None:
                return self._remains(row, name)
            submissions.append(item)
        return Batch(row.header, row.signature, tuple(submissions))

    def _remains(self, row: HeaderRow, name: bytes) -> Remains:
        items: list[Submission | Residue] = []
        for position in range(row.header.count):
            key = submission_key(name, position)
            item = read_row(self._reader, Submission, key)
            left = item or read_row(self._reader, Residue, residue_key(name, position))
            if left is None:
                raise StoreDamaged(describe_key(key), "is missing")
            items.append(left)
        return Remains(row.header, row.signature, tuple(items))
