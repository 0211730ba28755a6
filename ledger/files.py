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

An *erasure leaf* says that a record which stands in the file has been erased: log index, time,
type, commitment and annotation hash are those of the erasure, the target is the record. So several
leaves of a file can have one log index, and log indices need not ascend. Whether a record is
erased in a file at some size of the log is told by the file's own leaves at that size alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from typing import Final, NamedTuple

from msgspec.structs import replace

from ledger import merkle
from ledger.batch import Submission, entry_of
from ledger.block import SEAL_KIND
from ledger.encoding import Hash, TimeMs, Uint, Value, encode
from ledger.errors import InvalidInput, StoreDamaged
from ledger.records import TAGS
from ledger.records.erasure import Erasure, ErasureAck
from ledger.records.subject import SubjectLink
from ledger.residue import Residue
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
    residue_key,
    submission_key,
)
from ledger.store import FILE, SUBJECT, SUMMARY, Reader, after, subject_key

KIND_FILE: Final = 0
KIND_RATER: Final = 1
KIND_PLATFORM: Final = 2
CLOSURE_FILES_MAX: Final = 16

_LINK: Final = TAGS[SubjectLink]
_ERASURE: Final = TAGS[Erasure]
_OF_ERASING: Final = frozenset({_ERASURE, TAGS[ErasureAck]})
_SUBJECT_BYTES: Final = 36


class FileLeaf(Value):
    """One leaf of a file: what is proven about a record without opening it."""

    log_index: Uint
    time: TimeMs
    type: Uint
    commitment: Hash
    target: Uint | None
    annotation_hash: Hash


@dataclass(slots=True)
class LeafRoom:
    """How many leaves more of files are read, at most.

    What erasing leaves (types 30 and 31) is counted apart: erasing closes no file for its readers.
    """

    records: int = 1_000_000
    of_erasing: int = 2_000_000

    def take(self, leaf: FileLeaf) -> None:
        """Count a leaf.

        Raises:
            InvalidInput: there is no room for it.
        """
        if leaf.type in _OF_ERASING:
            self.of_erasing -= 1
        else:
            self.records -= 1
        if self.of_erasing < 0 or self.records < 0:
            what = "of erasures " if leaf.type in _OF_ERASING else ""
            raise InvalidInput(f"the files have more leaves {what}than may be read together")


class FilePlace(NamedTuple):
    """Where a leaf of a file comes from: a leaf of the log, and of an erasure leaf its target.

    It stands in the file at every size of the log above `since`.
    """

    log_index: int
    target: int | None
    since: int


class FileItem(NamedTuple):
    """A leaf of a file with what opens it.

    `erasure`: the log index of the erasure that has taken the record by now, even if the file at
    the size asked for does not tell of it yet. `submission` is None from then on, at every node
    alike (and where the opening is missing).
    """

    leaf: FileLeaf
    leaf_bytes: bytes
    annotation: bytes
    submission: Submission | None
    erasure: int | None = None


def index_key(kind: int, platform: int, handle: bytes = b"") -> bytes:
    """The index key of a file (0), a rater's summary (1) or a platform's summary (2)."""
    return _sha256(b"%c%b%b" % (kind, platform.to_bytes(4), handle)).digest()


def file_value(length: int, head: bytes) -> bytes:
    """What the index holds of a file."""
    return _sha256(b"\x02" + length.to_bytes(8) + head).digest()


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


def read_opening(reader: Reader, row: LeafRow) -> tuple[Submission | None, int | None]:
    """The opening of an executed record, or the log index of the erasure that has taken it.

    A node that catches up may hold the residue of a record before it executes the erasure that the
    residue names. Neither is there where the opening is missing.
    """
    if row.erasure is not None:
        return None, row.erasure
    opening = read_submission(reader, row.lane, row.height, row.position)
    if opening is not None:
        return opening, None
    name = reader.get(lane_key(row.lane, row.height)) or b""
    residue = read_row(reader, Residue, residue_key(name, row.position))
    return None, None if residue is None else residue.erasure


def leaf_of(place: FilePlace, row: LeafRow) -> FileLeaf:
    """The file leaf at a place, from the leaf row of its log index."""
    target = row.target if place.target is None else place.target
    return FileLeaf(
        place.log_index, row.time, row.type, row.commitment, target, row.annotation_hash
    )


def erased_in(leaves: Iterable[FileLeaf]) -> set[int]:
    """The log indices of the records that a file's leaves say are erased."""
    return {each.target for each in leaves if each.type == _ERASURE and each.target is not None}


def place_of(key: bytes, value: bytes) -> FilePlace:
    """Read a file's row.

    Raises:
        StoreDamaged: it has not the form of one.
    """
    log_index = int.from_bytes(value[:8])
    if len(value) == 8:
        return FilePlace(log_index, None, log_index)
    if len(value) == 24:
        return FilePlace(log_index, int.from_bytes(value[8:16]), int.from_bytes(value[16:]))
    raise StoreDamaged(describe_key(key), f"is no log index; {REPAIR}")


def read_place(reader: Reader, subject: bytes, position: int, size: int) -> FilePlace | None:
    """The `position`-th leaf's place, or None behind the file's end at a log size."""
    key = file_row_key(subject, position)
    value = reader.get(key)
    if value is None:
        return None
    place = place_of(key, value)
    return place if place.since < size else None


def file_places(reader: Reader, subject: bytes, size: int) -> Iterator[FilePlace]:
    """The places of a file's leaves, in order, at a log size (of a block's end)."""
    prefix = FILE + subject
    for key, value in reader.scan(prefix, after(prefix)):
        place = place_of(key, value)
        if place.since >= size:
            return
        yield place


def read_file(
    reader: Reader, platform: int, handle: bytes, size: int, *, room: LeafRoom | None = None
) -> list[FileItem]:
    """A file as it stood when the log had `size` entries, with its openings.

    Raises:
        InvalidInput: it has more leaves than there is room for (`room`, which is counted down).
        StoreDamaged: a row is missing or not what was written.
    """
    room = room or LeafRoom()
    items: list[FileItem] = []
    erasures: dict[int, FileItem] = {}
    for place in file_places(reader, subject_key(platform, handle), size):
        known = None if place.target is None else erasures.get(place.log_index)
        if known is not None:
            leaf = replace(known.leaf, target=place.target)
            item = FileItem(leaf, encode(leaf), known.annotation, known.submission)
        else:
            item = _item(reader, place)
            if place.target is not None:
                erasures[place.log_index] = item
        room.take(item.leaf)
        items.append(item)
    return items


def _item(reader: Reader, place: FilePlace) -> FileItem:
    row = read_leaf(reader, place.log_index)
    leaf = leaf_of(place, row)
    opening, erasure = read_opening(reader, row)
    return FileItem(leaf, encode(leaf), row.annotation, opening, erasure)


def links_of(reader: Reader, platform: int, handle: bytes, size: int) -> list[tuple[int, bytes]]:
    """The subjects that a file's links lead to directly, in file order, at a log size; a link that
    the file says is erased leads nowhere."""
    here = subject_key(platform, handle)
    row = read_subject(reader, platform, handle)
    if row is None or not (row.links or row.erased):
        return []
    found: dict[int, LeafRow] = {}
    erased: set[int] = set()
    for place in file_places(reader, here, size):
        if place.target is not None:
            erased.add(place.target)
            continue
        leaf = read_leaf(reader, place.log_index)
        if leaf.type == _LINK:
            found[place.log_index] = leaf
    return [
        _other_side(reader, log_index, leaf, here)
        for log_index, leaf in found.items()
        if log_index not in erased
    ]


def subject_of(reader: Reader, log_index: int) -> bytes:
    """The subject key (36 bytes) of a register by its log index, whether or not it is erased.

    Raises:
        StoreDamaged: the row is missing, or no register's.
    """
    kept = read_leaf(reader, log_index).kept
    if not isinstance(kept, bytes) or len(kept) != _SUBJECT_BYTES:
        raise StoreDamaged(describe_key(leaf_key(log_index)), f"is no register's; {REPAIR}")
    return kept


def _other_side(reader: Reader, log_index: int, link: LeafRow, here: bytes) -> tuple[int, bytes]:
    if not isinstance(link.kept, tuple) or len(link.kept) != 2:
        raise StoreDamaged(describe_key(leaf_key(log_index)), f"is no link's; {REPAIR}")
    first, second = (subject_of(reader, each) for each in link.kept)
    there = second if first == here else first
    return int.from_bytes(there[:4]), there[4:]


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
