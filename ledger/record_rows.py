"""Where a record stands, by its record id; `X` rows.

    X ‖ first 16 bytes of the id         log index, where it was accepted
    X ‖ id ‖ place                       [lane, height, position, nil, rule broken]: refused there

Anyone can copy a submission into its own lane. So a refusal has a row for each place: it hides
neither that the same submission was accepted, nor why it was refused elsewhere.

Half an id is enough to find a record: the leaf row there has the whole one, and says whether it is
the one that was asked for. Whoever makes two records whose ids begin alike (2^64 hashes; only who
draws their salts can do it) hides the earlier of the two from such questions, and from nothing
else: to erase it, it is found by its place (ledger/erasing.py).
"""

from typing import Annotated, Final

import msgspec

from ledger.encoding import PlatformNumber, Uint, Value
from ledger.rows import LeafRow, decode_row, leaf_key, need_row, place_bytes, read_row
from ledger.store import RECORD, Reader, after

ID_BYTES: Final = 16
ACCEPTED_KEY_BYTES: Final = len(RECORD) + ID_BYTES


class RecordRow(Value):
    """Where a record stands. `log_index` is nil and `rule` not empty iff it was refused."""

    lane: PlatformNumber
    height: Uint
    position: Uint
    log_index: Uint | None
    rule: Annotated[str, msgspec.Meta(max_length=48)]


def record_key(record_id: bytes) -> bytes:
    """The key of where an accepted record stands."""
    return RECORD + record_id[:ID_BYTES]


def refusal_key(record_id: bytes, lane: int, height: int, position: int) -> bytes:
    """The key of why a record was refused at a place."""
    return RECORD + record_id + place_bytes(lane, height, position)


def find_accepted(reader: Reader, record_id: bytes) -> RecordRow | None:
    """Where a record was accepted, or None.

    Raises:
        StoreDamaged: a row is missing or cannot be read.
    """
    log_index = read_row(reader, Uint, record_key(record_id))
    if log_index is None:
        return None
    leaf = need_row(reader, LeafRow, leaf_key(log_index))
    if leaf.commitment != record_id:
        return None
    return RecordRow(leaf.lane, leaf.height, leaf.position, log_index, "")


def log_index_of(reader: Reader, record_id: bytes) -> int | None:
    """The log index of an accepted record, or None.

    Raises:
        StoreDamaged: as `find_accepted`.
    """
    row = find_accepted(reader, record_id)
    return None if row is None else row.log_index


def find_record(reader: Reader, record_id: bytes, lane: int = 0) -> RecordRow | None:
    """Where a record stands: accepted, or else refused at last in `lane`, or in the lowest one.

    Raises:
        StoreDamaged: as `find_accepted`.
    """
    row = find_accepted(reader, record_id)
    if row is not None:
        return row
    key = RECORD + record_id
    first = next(reader.scan(key, after(key)), None)
    if first is None:
        return None
    for in_lane in (key + lane.to_bytes(4), first[0][: len(key) + 4]):
        for other, data in reader.scan(in_lane, after(in_lane), reverse=True):
            return decode_row(RecordRow, other, data)
    return None
