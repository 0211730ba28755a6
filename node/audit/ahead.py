"""Blocks and batches of a folder, read ahead: other processes read and check the payloads.

This process reads block rows and headers. A batch's submission rows are read where they are checked
(`check_batches` in `node/audit/tasks.py`), unsealed there, and come back as one MessagePack array.
"""

from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.batch import Batch, Submission
from ledger.encoding import decoder
from ledger.genesis import Bounds
from ledger.residue import AnyBatch, Remains, Residue
from ledger.rows import BlockRow, HeaderRow, block_key, header_key, read_row
from ledger.store import Reader
from node.audit.tasks import Checked, check_batches

BLOCKS_AHEAD: Final = 4


class Unfit(Exception):
    """Something is not as it should be; the thorough replay says what."""


@dataclass(frozen=True, slots=True)
class Place:
    """The store's folder, as all workers see it, and where they may make temporary folders."""

    folder: Path
    temporary: Path


class AheadSource:
    """Blocks and batches from a store (a `ledger.source.Source`). `index_roots`: height → the index
    root that the block's seal claims."""

    def __init__(
        self, stored: Reader, place: Place, chain: bytes, bounds: Bounds, executor: Executor
    ) -> None:
        self._stored = stored
        self._place = place
        self._chain = chain
        self._bounds = bounds
        self._executor = executor
        self._next = 1
        self._cut: dict[int, int] = {}
        self._ahead: deque[tuple[int, BlockRow | None]] = deque()
        self._waiting: dict[bytes, tuple[HeaderRow, int, int]] = {}
        self._checks: dict[int, Future[list[Checked | None]]] = {}
        self._decode = decoder(tuple[Submission, ...]).decode
        self.index_roots: dict[int, bytes] = {}

    def block(self, height: int) -> BlockRow | None:
        """An executed block's row, or None behind the newest."""
        while len(self._ahead) <= BLOCKS_AHEAD:
            self._look()
        found, row = self._ahead.popleft()
        if found != height:
            raise Unfit
        self._checks.pop(height - 1, None)
        return row

    def _look(self) -> None:
        """Read the next block, and ask for what its batches yield."""
        height = self._next
        self._next += 1
        row = read_row(self._stored, BlockRow, block_key(height))
        self._ahead.append((height, row))
        if row is None:
            return
        self.index_roots[height] = row.seal.index_root
        asked: list[tuple[bytes, int]] = []
        for tip in row.block.tips:
            name, below = tip.hash, self._cut.get(tip.lane, 0)
            for _ in range(below, tip.height):
                found = read_row(self._stored, HeaderRow, header_key(name))
                if found is None:
                    raise Unfit
                self._waiting[name] = (found, height, len(asked))
                asked.append((name, found.header.count))
                name = found.header.previous
            self._cut[tip.lane] = tip.height
        place = self._place
        self._checks[height] = self._executor.submit(
            check_batches, place.folder, place.temporary, self._chain, self._bounds, asked
        )

    def batch(self, lane: int, height: int, name: bytes) -> AnyBatch | None:
        """The batch with this header hash, with what was computed of it."""
        del lane, height
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            raise Unfit
        row, block, at = waiting
        found = self._checks[block].result()
        checked, found[at] = found[at], None
        if checked is None:
            raise Unfit
        blob, root, is_checked, items, residues = checked
        ids = tuple([blob[start : start + 32] for start in range(0, len(blob), 32)])
        submissions = self._decode(items)
        if residues:
            return _remains(row, submissions, residues, is_checked=is_checked)
        batch = Batch(row.header, row.signature, submissions)
        return batch.knowing(ids, root, is_checked=is_checked)


def _remains(
    row: HeaderRow,
    submissions: tuple[Submission, ...],
    residues: list[tuple[int, bytes]],
    *,
    is_checked: bool,
) -> Remains:
    items: list[Submission | Residue] = list(submissions)
    for position, data in residues:
        items.insert(position, decoder(Residue).decode(data))
    return Remains(row.header, row.signature, tuple(items), is_checked=is_checked)
