"""The rows of a quick replay: those that execution may read again stay, the rest is handed on."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ledger.store import BLOCK, FILE, INDEX, LANE, LEAF, RECORD, TILE
from ledger.tiles import TILE_BYTES

_ONCE: Final = frozenset(LEAF + FILE + LANE + BLOCK)
_RECORD: Final = RECORD[0]
_TILE: Final = TILE[0]
_INDEX: Final = INDEX[0]
_ACCEPTED_KEY_BYTES: Final = 33


class LiveRows:
    """A store that keeps the rows which execution may read or change again, in memory; all others
    are handed to `take`, once. Rows of the index are nobody's here: the index itself holds them."""

    def __init__(self, take: Callable[[list[tuple[bytes, bytes]]], None]) -> None:
        self._take = take
        self._rows: dict[int, dict[bytes, bytes]] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None; None, too, for a row that was handed on."""
        rows = self._rows.get(key[0])
        return None if rows is None else rows.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, all of one prefix, in key order (or against it)."""
        rows = self._rows.get(start[0], {})
        for key in sorted((key for key in rows if start <= key < stop), reverse=reverse):
            yield key, rows[key]

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes; None removes."""
        once = _ONCE
        settled: list[tuple[bytes, bytes]] = []
        rest: list[tuple[bytes, bytes | None]] = []
        for row in changes.items():
            key = row[0]
            kind = key[0]
            if kind in once or (kind == _RECORD and len(key) == _ACCEPTED_KEY_BYTES):
                settled.append(row)  # type: ignore[arg-type]  # such a row is never removed
            elif kind != _INDEX:
                rest.append(row)
        self._keep(rest, settled)
        self._take(settled)

    def _keep(
        self, rows: list[tuple[bytes, bytes | None]], settled: list[tuple[bytes, bytes]]
    ) -> None:
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
