"""The window of older checkpoints: how far back the index reaches, and how it outlives a restart.

A node proves against the checkpoints of its newest `window_blocks` blocks. The window ends sooner

- at the end of the epoch before the last one that has ended: of each summary only the two newest
  epoch-end copies are stored (`SummaryRow`), so that its bytes are not there further back;
- where more than `UPDATES_MAX` values would have to be kept.

    undo row = [width, (start of an index key ‖ its value before the block)*: bin,
                (start of an index key that was not there)*: bin, SHA-256 of both, end to end]

is what the index overwrote in a block, by the block's height; kept for all blocks of the window but
its oldest, written and removed with the blocks' other rows. A key's start has `width` bytes: so
many that no two keys of the index begin alike with one that the row names, after that block. It
holds nothing but keys and values that the index holds or held. After a restart the index is built
as it was after an older block, to which these rows lead back without a gap, and the later blocks'
values are set again: as many blocks as the window has, but no more than `RESTORED_MAX` values, so
that a node under load is soon back. What lies further back is then out of its window.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, Self

from ledger.encoding import Hash, Uint, Value, encode
from ledger.errors import Malformed, StoreDamaged
from ledger.hashing import sha256
from ledger.index import Index
from ledger.indexed import Indexed, index_leaves
from ledger.mapproof import KEY_BYTES, VALUE_BYTES
from ledger.rows import REPAIR, BlockRow, block_key, decode_row, describe_key, need_row
from ledger.store import SUBJECT, SUMMARY, UNDO, Changes, Reader, after

WINDOW_BLOCKS: Final = 128
"""As many as are useful with genesis's usual epochs of 64 blocks."""

RESTORED_MAX: Final = 16_384
"""So many values are set again after a restart, half a second's work: a few seconds of full load,
or the whole window of a quiet network."""

_SOURCES: Final = f"subject rows (keys {SUBJECT.hex()}…) or summary rows (keys {SUMMARY.hex()}…)"

Step = dict[bytes, bytes | None]
"""The value of each of a block's keys before it, or None."""


class UndoRow(Value):
    """What the index overwrote in a block."""

    width: Uint
    changed: bytes
    inserted: bytes
    check: Hash

    @classmethod
    def of(cls, width: int, changed: bytes, inserted: bytes) -> Self:
        """The row with its hash."""
        return cls(width, changed, inserted, sha256(changed + inserted))

    def is_whole(self) -> bool:
        """Whether its hash is right, and no key's start is cut short."""
        return (
            self.check == sha256(self.changed + self.inserted)
            and 0 < self.width <= KEY_BYTES
            and not len(self.changed) % (self.width + VALUE_BYTES)
            and not len(self.inserted) % self.width
        )

    def starts(self) -> Iterator[tuple[bytes, bytes | None]]:
        """The starts of the block's keys, each with its key's value before it, or None."""
        width, changed, inserted = self.width, self.changed, self.inserted
        for at in range(0, len(changed), width + VALUE_BYTES):
            middle = at + width
            yield changed[at:middle], changed[middle : middle + VALUE_BYTES]
        for at in range(0, len(inserted), width):
            yield inserted[at : at + width], None

    def __len__(self) -> int:
        """How many keys the block set."""
        return len(self.changed) // (self.width + VALUE_BYTES) + len(self.inserted) // self.width


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
    """The index as it is now, without older versions.

    Raises:
        StoreDamaged: a row has not the form of one.
    """
    return Index.of_leaves(Indexed(index_leaves(reader)).take(), window_blocks, version)


def load_window(reader: Reader, window_blocks: int, height: int, epoch_blocks: int) -> Index:
    """The index after the newest block, and after those before it as far as undo rows lead back.

    Raises:
        StoreDamaged: a row has not the form of one, or the rows do not yield the index roots that
            the blocks have sealed.
    """
    return restore(reader, Indexed(index_leaves(reader)), window_blocks, height, epoch_blocks)


def restore(
    reader: Reader, indexed: Indexed, window_blocks: int, height: int, epoch_blocks: int
) -> Index:
    """`load_window` from what the index holds now, which is used up.

    Raises:
        StoreDamaged: as `load_window`.
    """
    stored = dict(undo_rows(reader))
    first = max(oldest_provable(height, epoch_blocks), height - window_blocks + 1) + 1
    rows = _rows_back(stored, height, first)
    steps: list[Step] = [{} for _ in rows]
    now: dict[bytes, bytes] = {}
    try:
        leaves = _step_back(indexed, rows, steps, now)
        index = Index.of_leaves(leaves, window_blocks, height - len(steps))
    except Malformed as error:
        raise StoreDamaged(_SOURCES, f"{error}; {REPAIR}") from error
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
        if not row.is_whole():
            raise StoreDamaged(describe_key(key), f"contradicts itself; {REPAIR}")
        yield int.from_bytes(key[1:]), row


def _rows_back(stored: dict[int, UndoRow], height: int, first: int) -> dict[int, UndoRow]:
    """The undo rows from `height` down to `first` or as far as they and the room reach."""
    rows: dict[int, UndoRow] = {}
    room = RESTORED_MAX
    while height >= first and height in stored:
        room -= len(stored[height])
        if room < 0:
            break
        rows[height] = stored[height]
        height -= 1
    return rows


def _step_back(
    indexed: Indexed, rows: dict[int, UndoRow], steps: list[Step], now: dict[bytes, bytes]
) -> bytearray:
    """The index's leaves before the rows' blocks, the newest of which comes first.

    What each block overwrote goes to its step, by whole keys; what keys that they changed hold by
    now goes to `now`.
    """
    starts = [_by_part(row) for row in rows.values()]
    before = bytearray()
    for number, leaves in enumerate(indexed.parts()):
        keys = [leaf[:KEY_BYTES] for leaf in leaves]
        undone: Step = {}
        for height, by_part, step in zip(rows, starts, steps, strict=True):
            own = _whole(height, by_part.get(number, ()), keys, undone)
            step.update(own)
            undone |= own
        before += b"".join(_leaves_before(leaves, undone, now))
    return before


def _by_part(row: UndoRow) -> dict[int, list[tuple[bytes, bytes | None]]]:
    """A row's starts and values by the starts' first byte."""
    parts: dict[int, list[tuple[bytes, bytes | None]]] = {}
    for start, before in row.starts():
        parts.setdefault(start[0], []).append((start, before))
    return parts


def _whole(
    height: int,
    starts: Iterable[tuple[bytes, bytes | None]],
    keys: list[bytes],
    undone: Step,
) -> Step:
    """What a block overwrote of `keys`, which ascend. `undone`: what later blocks did; what they
    inserted was not there."""
    own: Step = {}
    for start, before in starts:
        at, found = bisect_left(keys, start), list[bytes]()
        while at < len(keys) and (key := keys[at]).startswith(start):
            if undone.get(key, b"") is not None:
                found.append(key)
            at += 1
        if len(found) != 1 or found[0] in own:
            what = f"names {len(found)} keys of the index in one place, or one twice; {REPAIR}"
            raise StoreDamaged(describe_key(undo_key(height)), what)
        own[found[0]] = before
    return own


def _leaves_before(leaves: list[bytes], undone: Step, now: dict[bytes, bytes]) -> Iterator[bytes]:
    """The leaves as they were; what those changed since hold now goes to `now`."""
    for leaf in leaves:
        key = leaf[:KEY_BYTES]
        if key not in undone:
            yield leaf
            continue
        now[key] = leaf[KEY_BYTES:]
        before = undone[key]
        if before is not None:
            yield key + before


def _steps_forward(steps: list[Step], now: dict[bytes, bytes]) -> list[dict[bytes, bytes]]:
    """The blocks' updates, in order of height, from what each overwrote and what there is now."""
    forward: list[dict[bytes, bytes]] = []
    values: Step = dict(now)
    for step in steps:
        updates: dict[bytes, bytes] = {}
        for key, before in step.items():
            value = values[key]
            assert value is not None, "no key is named below the block that has inserted it"
            updates[key], values[key] = value, before
        forward.append(updates)
    return forward[::-1]


def _demand_root(reader: Reader, index: Index, height: int) -> None:
    if index.root() != need_row(reader, BlockRow, block_key(height)).seal.index_root:
        raise StoreDamaged(
            f"{_SOURCES} or undo rows (keys {UNDO.hex()}…)",
            f"do not yield the index root that block {height} sealed; {REPAIR}",
        )
