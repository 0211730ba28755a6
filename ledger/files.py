"""Files: all that stands about one subject, as leaves in log order, and what the index says of it.

    file leaf  = [log index, block time, type, commitment, target's log index or nil,
                  SHA-256(salt ‖ annotation)]                      canonical MessagePack
    file head  = RFC 6962 root over the file leaves
    index key  = SHA-256(kind (u8) ‖ platform (u32be) ‖ handle)    kind 0 file, 1 rater, 2 platform
                 (a platform's summary has no handle: 5 bytes are hashed)
    file value = SHA-256(0x02 ‖ length (u64be) ‖ head)
    summary    = SHA-256(0x03 ‖ bytes)

Nothing in a file is rewritten. Only the log indices of a file's leaves are stored; each leaf is
read back from the log's leaf rows, each opening from its batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from typing import Final

from ledger import merkle
from ledger.batch import Submission, entry_of
from ledger.block import SEAL_KIND
from ledger.encoding import Hash, TimeMs, Uint, Value, encode
from ledger.errors import InvalidInput, Malformed, StoreDamaged
from ledger.records import TAGS, decode_record
from ledger.records.subject import SubjectLink
from ledger.rows import (
    REPAIR,
    LeafRow,
    SubjectRow,
    SummaryRow,
    decode_row,
    describe_key,
    lane_key,
    leaf_key,
    need_row,
    read_row,
    submission_key,
)
from ledger.store import FILE, SUBJECT, SUMMARY, Reader, after, subject_key

KIND_FILE: Final = 0
KIND_RATER: Final = 1
KIND_PLATFORM: Final = 2
CLOSURE_FILES_MAX: Final = 16
FILE_LEAVES_MAX: Final = 1_000_000

_LINK_TAG: Final = TAGS[SubjectLink]


class FileLeaf(Value):
    """One leaf of a file: what is proven about a record without opening it."""

    log_index: Uint
    time: TimeMs
    type: Uint
    commitment: Hash
    target: Uint | None
    annotation_hash: Hash


@dataclass(frozen=True, slots=True)
class FileItem:
    """A leaf of a file with what opens it. `submission` is None once it is erased."""

    leaf: FileLeaf
    leaf_bytes: bytes
    annotation: bytes
    submission: Submission | None


def index_key(kind: int, platform: int, handle: bytes = b"") -> bytes:
    """The index key of a file (0), a rater's summary (1) or a platform's summary (2)."""
    return _sha256(b"%c%b%b" % (kind, platform.to_bytes(4), handle)).digest()


def file_value(length: int, head: bytes) -> bytes:
    """What the index holds of a file."""
    return _sha256(b"\x02%b%b" % (length.to_bytes(8), head)).digest()


def summary_value(data: bytes) -> bytes:
    """What the index holds of a summary."""
    return _sha256(b"\x03" + data).digest()


def file_head(leaf_bytes: Sequence[bytes]) -> bytes:
    """The RFC 6962 root over a file's leaves."""
    return merkle.root([merkle.leaf_hash(each) for each in leaf_bytes])


def file_row_key(subject: bytes, position: int) -> bytes:
    """The key of a file's `position`-th leaf; `subject` is a subject key (36 bytes)."""
    return FILE + subject + position.to_bytes(4)


def read_subject(reader: Reader, platform: int, handle: bytes) -> SubjectRow | None:
    """A subject's row, or None if nobody has registered it."""
    return read_row(reader, SubjectRow, SUBJECT + subject_key(platform, handle))


def read_leaf(reader: Reader, log_index: int) -> LeafRow:
    """A record's leaf row.

    Raises:
        StoreDamaged: there is none, or it is a seal.
    """
    return need_row(reader, LeafRow, leaf_key(log_index))


def read_submission(reader: Reader, lane: int, height: int, position: int) -> Submission | None:
    """The opening of a record by its place, or None if this node does not hold it."""
    header_hash = reader.get(lane_key(lane, height))
    if header_hash is None:
        return None
    return read_row(reader, Submission, submission_key(header_hash, position))


def leaf_of(log_index: int, row: LeafRow) -> FileLeaf:
    """The file leaf of a record's leaf row."""
    return FileLeaf(log_index, row.time, row.type, row.commitment, row.target, row.annotation_hash)


def file_indices(reader: Reader, subject: bytes, size: int) -> Iterator[int]:
    """The log indices of a file's leaves, ascending, below `size`."""
    prefix = FILE + subject
    for key, value in reader.scan(prefix, after(prefix)):
        log_index = int.from_bytes(value)
        if len(value) != 8:
            raise StoreDamaged(describe_key(key), f"is no log index; {REPAIR}")
        if log_index >= size:
            return
        yield log_index


def read_file(
    reader: Reader, platform: int, handle: bytes, size: int, *, leaves_max: int = FILE_LEAVES_MAX
) -> list[FileItem]:
    """A file as it stood when the log had `size` entries, with its openings.

    Raises:
        InvalidInput: it has more than `leaves_max` leaves.
        StoreDamaged: a row is missing or not what was written.
    """
    items: list[FileItem] = []
    for log_index in file_indices(reader, subject_key(platform, handle), size):
        if len(items) == leaves_max:
            raise InvalidInput(f"the file has more than {leaves_max} leaves")
        row = read_leaf(reader, log_index)
        leaf = leaf_of(log_index, row)
        opening = read_submission(reader, row.lane, row.height, row.position)
        items.append(FileItem(leaf, encode(leaf), row.annotation, opening))
    return items


def links_of(reader: Reader, platform: int, handle: bytes, size: int) -> list[tuple[int, bytes]]:
    """The subjects that a file's links lead to directly, in log order, at a log size."""
    found: list[tuple[int, bytes]] = []
    here = subject_key(platform, handle)
    row = read_subject(reader, platform, handle)
    if row is None or not row.links:
        return found
    for log_index in file_indices(reader, here, size):
        leaf = read_leaf(reader, log_index)
        if leaf.type == _LINK_TAG:
            found.append(_other_side(reader, leaf, here))
    return found


def _other_side(reader: Reader, leaf: LeafRow, here: bytes) -> tuple[int, bytes]:
    opening = read_submission(reader, leaf.lane, leaf.height, leaf.position)
    where = f"opening of the link {leaf.commitment.hex()}"
    if opening is None:
        raise StoreDamaged(where, f"is missing; {REPAIR}")
    try:
        link = decode_record(opening.record)
    except Malformed as error:
        raise StoreDamaged(where, f"{error}; {REPAIR}") from error
    if not isinstance(link, SubjectLink):
        raise StoreDamaged(where, f"is not a link; {REPAIR}")
    if subject_key(link.first_platform, link.first_handle) == here:
        return link.second_platform, link.second_handle
    return link.first_platform, link.first_handle


def closure(reader: Reader, platform: int, handle: bytes, size: int) -> list[tuple[int, bytes]]:
    """A subject and all that links join it to, ascending by (platform, handle), at a log size.

    Raises:
        StoreDamaged: more than 16 files are joined, which no ledger allows.
    """
    found = {(platform, handle)}
    waiting = [(platform, handle)]
    while waiting:
        for other in links_of(reader, *waiting.pop(), size):
            if other not in found:
                found.add(other)
                waiting.append(other)
        if len(found) > CLOSURE_FILES_MAX:
            raise StoreDamaged("links", f"join more than {CLOSURE_FILES_MAX} files; {REPAIR}")
    return sorted(found)


def entry_of_row(key: bytes, data: bytes) -> bytes:
    """The log's entry of a stored leaf row (a record's or a seal's)."""
    if data[:1] == SEAL_KIND:
        return data
    row = decode_row(LeafRow, key, data)
    return entry_of(row.lane, row.height, row.position, row.commitment)


def entry_at(reader: Reader, log_index: int) -> bytes:
    """The log's entry at an index: public bytes, 47 for a record.

    Raises:
        StoreDamaged: there is none.
    """
    key = leaf_key(log_index)
    data = reader.get(key)
    if data is None:
        raise StoreDamaged(describe_key(key), f"is missing; {REPAIR}")
    return entry_of_row(key, data)


def read_summary(
    reader: Reader, kind: int, platform: int, handle: bytes, height: int
) -> bytes | None:
    """The bytes of a summary as the index of block `height` holds it, or None.

    The two newest copies are kept: `height` must not lie before the epoch's end before the last.
    """
    key = SUMMARY + bytes([kind]) + platform.to_bytes(4) + handle
    row = read_row(reader, SummaryRow, key)
    return None if row is None else row.at(height)
