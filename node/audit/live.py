"""The rows of a quick replay: those that execution may read again stay, the rest is handed on.

Only an erasure reads, and changes, rows that were handed on (`node/audit/recall.py`). It marks leaf
rows of earlier blocks: such a row's earlier form is taken back, and the marked one kept.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ledger.record_rows import ACCEPTED_KEY_BYTES
from ledger.rows import HEAD_KEY, HeadRow, decode_row, leaf_key
from ledger.store import BLOCK, ERASURE, FILE, LANE, LEAF, RECORD, TILE, Reader
from ledger.tiles import TILE_BYTES
from node.audit.recall import is_recalled, recall

Rows = list[tuple[bytes, bytes]]

_ONCE: Final = frozenset(LEAF + FILE + LANE + BLOCK)
_RECORD: Final = RECORD[0]
_TILE: Final = TILE[0]
_LEAF: Final = LEAF[0]


class LiveRows:
    """A store that keeps the rows which execution may read or change again, in memory; all others
    are handed to `take`, once.

    `stored`: where rows that were handed on are read again; `take_back`: who forgets a row that was
    handed on.
    """

    def __init__(
        self, take: Callable[[Rows], None], take_back: Callable[[Rows], None], stored: Reader
    ) -> None:
        self._take = take
        self._take_back = take_back
        self._stored = stored
        self._rows: dict[int, dict[bytes, bytes]] = {}
        self._size = 0

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        rows = self._rows.get(key[0])
        found = None if rows is None else rows.get(key)
        if found is None and is_recalled(key):
            return recall(self._stored, key, self._size)
        return found

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Kept rows with start ≤ key < stop, all of one prefix, in key order (or against it)."""
        rows = self._rows.get(start[0], {})
        for key in sorted((key for key in rows if start <= key < stop), reverse=reverse):
            yield key, rows[key]

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes; None removes."""
        once = _ONCE
        settled: Rows = []
        rest: list[tuple[bytes, bytes | None]] = []
        erases = False
        for row in changes.items():
            key = row[0]
            kind = key[0]
            if kind in once or (kind == _RECORD and len(key) == ACCEPTED_KEY_BYTES):
                settled.append(row)  # type: ignore[arg-type]  # such a row is never removed
            else:
                rest.append(row)
                erases = erases or key[:1] == ERASURE
        if erases:
            settled = self._mark(settled)
        self._keep(rest, settled)
        self._take(settled)
        head = changes.get(HEAD_KEY)
        if head is not None:
            self._size = decode_row(HeadRow, HEAD_KEY, head).size

    def _mark(self, settled: Rows) -> Rows:
        """Keep leaf rows of earlier blocks, which an erasure has marked; the other rows."""
        first = leaf_key(self._size)
        marked = [row for row in settled if row[0][0] == _LEAF and row[0] < first]
        if not marked:
            return settled
        kept = self._rows.setdefault(_LEAF, {})
        earlier = [(key, recall(self._stored, key, self._size)) for key, _ in marked]
        self._take_back([(key, value or b"") for key, value in earlier if key not in kept])
        kept.update(marked)
        return [row for row in settled if row[0][0] != _LEAF or row[0] >= first]

    def _keep(self, rows: list[tuple[bytes, bytes | None]], settled: Rows) -> None:
        kept = self._rows
        for key, value in rows:
            kind = key[0]
            of_kind = kept.get(kind)
            if of_kind is None:
                of_kind = kept[kind] = {}
            if value is None:
                of_kind.pop(key, None)
            elif kind == _TILE and len(value) == TILE_BYTES:
                of_kind.pop(key, None)
                settled.append((key, value))
            else:
                of_kind[key] = value

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows that are kept, in no order."""
        for rows in self._rows.values():
            yield from rows.items()

    def close(self) -> None:
        """Nothing is held but memory."""
