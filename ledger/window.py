"""The window of older checkpoints: how far back the index reaches, and how it outlives a restart.

A node proves against the checkpoints of its newest `window_blocks` blocks. The window ends sooner

- at the end of the epoch before the last one that has ended: of each summary only the two newest
  epoch-end copies are stored (`SummaryRow`), so that its bytes are not there further back;
- where more than `UPDATES_MAX` values would have to be kept.

    undo row = [(index key ‖ value before the block)*: bin, (index key that was not there)*: bin,
                SHA-256 of both, end to end]

is what the index overwrote in a block, by the block's height; kept for all blocks of the window but
its oldest, written and removed with the blocks' other rows. It holds nothing but keys and values
that the index holds or held. After a restart the index is built as it was after the oldest block to
which these rows lead back without a gap, and the later blocks' values are set again.
"""

from collections.abc import Iterator
from typing import Final, Self

from ledger.encoding import Hash, Value, encode
from ledger.errors import Malformed, StoreDamaged
from ledger.hashing import sha256
from ledger.index import UPDATES_MAX, Index
from ledger.mapproof import KEY_BYTES, LEAF_BYTES
from ledger.rows import REPAIR, BlockRow, block_key, decode_row, describe_key, need_row
from ledger.store import INDEX, UNDO, Changes, Reader, after

WINDOW_BLOCKS: Final = 128
"""As many as are useful with genesis's usual epochs of 64 blocks."""

_INDEX_ROWS: Final = f"index rows (keys {INDEX.hex()}…)"


class UndoRow(Value):
    """What the index overwrote in a block."""

    changed: bytes
    inserted: bytes
    check: Hash

    @classmethod
    def of(cls, changed: bytes, inserted: bytes) -> Self:
        """The row with its hash."""
        return cls(changed, inserted, sha256(changed + inserted))

    def before(self) -> dict[bytes, bytes | None]:
        """The value of each of the block's keys before it, or None."""
        changed, inserted = self.changed, self.inserted
        ends = range(LEAF_BYTES, len(changed) + 1, LEAF_BYTES)
        known = {
            changed[end - LEAF_BYTES : end - KEY_BYTES]: changed[end - KEY_BYTES : end]
            for end in ends
        }
        starts = range(0, len(inserted), KEY_BYTES)
        return known | {inserted[at : at + KEY_BYTES]: None for at in starts}


def undo_key(height: int) -> bytes:
    """The key of what the index overwrote in a block."""
    return UNDO + height.to_bytes(8)


def oldest_provable(height: int, epoch_blocks: int) -> int:
    """The oldest block whose summaries are still stored when the newest block has this height."""
    return max(0, height // epoch_blocks - 1) * epoch_blocks


def window_changes(index: Index) -> Changes:
    """The undo rows to write and to remove, so that the store has those of the index's window."""
    kept = frozenset(index.versions()[1:])
    changes: Changes = {undo_key(height): None for height in sorted(index.stored - kept)}
    for height in sorted(kept - index.stored):
        changes[undo_key(height)] = encode(UndoRow.of(*index.undo(height)))
    index.stored = kept
    return changes


def load_index(reader: Reader, window_blocks: int, version: int) -> Index:
    """The index built from its rows, without older versions.

    Raises:
        StoreDamaged: a row has not the form of one.
    """
    return _build(_index_rows(reader), window_blocks, version)


def load_window(reader: Reader, window_blocks: int, height: int, epoch_blocks: int) -> Index:
    """The index after the newest block, and after those before it as far as undo rows lead back.

    Raises:
        StoreDamaged: a row has not the form of one, or the rows do not yield the index roots that
            the blocks have sealed.
    """
    stored = dict(undo_rows(reader))
    first = max(oldest_provable(height, epoch_blocks), height - window_blocks + 1) + 1
    steps = _steps_back(stored, height, first)
    undone: dict[bytes, bytes | None] = {}
    for step in steps:
        undone |= step
    now: dict[bytes, bytes] = {}
    index = _build(_rows_before(reader, undone, now), window_blocks, height - len(steps))
    if len(now) != len(undone):
        raise StoreDamaged(_INDEX_ROWS, f"lack keys that undo rows name; {REPAIR}")
    _demand_root(reader, index, height - len(steps))
    for version, updates in zip(
        range(height - len(steps) + 1, height + 1), _steps_forward(steps, now), strict=True
    ):
        index.apply(version, updates)
        _demand_root(reader, index, version)
    index.stored = frozenset(stored)
    return index


def undo_rows(reader: Reader) -> Iterator[tuple[int, UndoRow]]:
    """All stored undo rows by height, ascending.

    Raises:
        StoreDamaged: one is not what was written.
    """
    for key, data in reader.scan(UNDO, after(UNDO)):
        row = decode_row(UndoRow, key, data)
        if row.check != sha256(row.changed + row.inserted):
            raise StoreDamaged(describe_key(key), f"contradicts its own hash; {REPAIR}")
        if LEAF_BYTES * len(row.before()) != len(row.changed) + 2 * len(row.inserted):
            raise StoreDamaged(describe_key(key), f"names a key twice, or half of one; {REPAIR}")
        yield int.from_bytes(key[1:]), row


def _steps_back(
    stored: dict[int, UndoRow], height: int, first: int
) -> list[dict[bytes, bytes | None]]:
    """What each block overwrote, from `height` down to `first` or as far as rows and room reach."""
    steps: list[dict[bytes, bytes | None]] = []
    room = UPDATES_MAX
    while height >= first and height in stored:
        step = stored[height].before()
        room -= len(step)
        if room < 0:
            break
        steps.append(step)
        height -= 1
    return steps


def _steps_forward(
    steps: list[dict[bytes, bytes | None]], now: dict[bytes, bytes]
) -> list[dict[bytes, bytes]]:
    """The blocks' updates, in order of height, from what each overwrote and what there is now."""
    forward: list[dict[bytes, bytes]] = []
    values: dict[bytes, bytes | None] = dict(now)
    for step in steps:
        updates: dict[bytes, bytes] = {}
        for key, before in step.items():
            value = values[key]
            if value is None:
                raise StoreDamaged("undo rows", f"contradict each other; {REPAIR}")
            updates[key], values[key] = value, before
        forward.append(updates)
    return forward[::-1]


def _index_rows(reader: Reader) -> Iterator[tuple[bytes, bytes]]:
    for key, value in reader.scan(INDEX, after(INDEX)):
        yield key[1:], value


def _rows_before(
    reader: Reader, undone: dict[bytes, bytes | None], now: dict[bytes, bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """The index's rows as they were; what they are of keys changed since goes to `now`."""
    for key, value in _index_rows(reader):
        if key not in undone:
            yield key, value
            continue
        now[key] = value
        before = undone[key]
        if before is not None:
            yield key, before


def _build(rows: Iterator[tuple[bytes, bytes]], window_blocks: int, version: int) -> Index:
    try:
        return Index.build(rows, window_blocks, version=version)
    except Malformed as error:
        raise StoreDamaged(_INDEX_ROWS, f"{error}; {REPAIR}") from error


def _demand_root(reader: Reader, index: Index, height: int) -> None:
    if index.root() != need_row(reader, BlockRow, block_key(height)).seal.index_root:
        raise StoreDamaged(
            f"{_INDEX_ROWS} or undo rows (keys {UNDO.hex()}…)",
            f"do not yield the index root that block {height} sealed; {REPAIR}",
        )
