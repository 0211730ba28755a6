"""What is left to erase: each block marks so much of it, behind its records, oldest erasure first.

An erasure covers each file in its scope up to the length that it had at acceptance, from where the
last erasure of the file ended. File by file (ascending by subject), position by position, each
record that is not erased yet, and is neither an erasure nor an acknowledgement of one, is taken:

    LeafRow.erasure  = the erasure's log index
    in every file that the record stands in, one more leaf, the *erasure leaf*:
        [the erasure's log index, its block's time, 30, its commitment, the record's log index,
         its annotation hash]

A link that is taken joins its two files no longer. After the last file the refused records about
the files are taken that came before the erasure: they have no leaf and no file, only rows (`J`)
under the subjects that they are about. Then the erasure is done.

At most `ERASURE_LEAVES_PER_BLOCK` are appended in a block; a refused record counts as one; the
leaves of one record come together, so a block stops where they find no room. At most
`ERASURE_LOOKS_PER_BLOCK` positions are looked at in a block, those passed over included. All
erasures behind the first that is not done wait.

*Refused residues*. Where a refused record is executed as its residue, the subjects that it was
about are not known any more, but the erasure that took it is: its row stands under that erasure,
which takes it first. So as many are taken in each block, and the same rows are left, whether a
ledger is executed from openings or from what erasures have left of them.
"""

from collections.abc import Generator, Iterator
from typing import Final

from msgspec.structs import replace

from ledger.encoding import encode
from ledger.erasure_rows import (
    ErasureRow,
    FileRange,
    erasure_key,
    refused_key,
    refused_residue_key,
)
from ledger.errors import StoreDamaged
from ledger.files import FilePlace, file_row_key, leaf_of, place_of
from ledger.merkle import leaf_hash
from ledger.overlay import Overlay
from ledger.records import NEVER_ERASED, TAGS, Record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.rows import (
    REPAIR,
    LeafRow,
    decode_row,
    describe_key,
    leaf_key,
    place_bytes,
)
from ledger.rules.engagement import engagement_key
from ledger.store import ERASURE, REFUSED, Changes, Reader, after, subject_key

ERASURE_LEAVES_PER_BLOCK: Final = 1_024
ERASURE_LOOKS_PER_BLOCK: Final = 8_192
TURN_LOOKS: Final = 128
"""After so many positions whoever executes may do other things."""
_STAYING: Final = frozenset(TAGS[kind] for kind in NEVER_ERASED)

Erased = tuple[int, int, int, int]
"""Lane, batch height, position, the erasure's log index."""

_LINK: Final = TAGS[SubjectLink]
_SUBJECT_BYTES: Final = 36
_PLACE_BYTES: Final = 14


def subjects_named(overlay: Overlay, record: Record) -> tuple[bytes, ...]:
    """The subject keys that a refused record is about, each once: by the handles that it names, or
    as the parties of its engagement. Of an erasure or an acknowledgement none: they stay."""
    platform = record.platform
    match record:
        case SubjectRegister():
            return (subject_key(platform, record.handle),)
        case SubjectLink():
            first = subject_key(record.first_platform, record.first_handle)
            named = {first, subject_key(record.second_platform, record.second_handle)}
        case EngagementOpen():
            named = {subject_key(platform, each) for each in (record.worker, record.client)}
        case EngagementOutcome() | Rating():
            named = set()
            if isinstance(record, Rating):
                named.add(subject_key(platform, record.rater))
            row = overlay.engagements.get(engagement_key(platform, record.reference))
            if row is not None:
                named |= {subject_key(platform, each) for each in (row.worker, row.client)}
        case _:  # it is never erased
            return ()
    return tuple(sorted(named))


class ErasureQueue:
    """The erasures of one block under way. `since` is the log's size before the block."""

    def __init__(self, reader: Reader, overlay: Overlay, changes: Changes, since: int) -> None:
        self.erased: list[Erased] = []
        self._reader = reader
        self._overlay = overlay
        self._changes = changes
        self._since = since.to_bytes(8)
        self._accepted: list[int] = []
        self._refused: dict[bytes, list[bytes]] = {}
        self._subjects: dict[int, bytes] = {}
        self._left = ERASURE_LEAVES_PER_BLOCK
        self._looks = ERASURE_LOOKS_PER_BLOCK

    # --- records of the block ---

    def accept(self, log_index: int, record_id: bytes) -> None:
        """An erasure was accepted in this block."""
        row = self._row(log_index)
        row.commitment = record_id
        self._overlay.erasures.put(log_index.to_bytes(8), row)
        self._overlay.accepted_erasures[record_id] = log_index
        self._accepted.append(log_index)

    def refuse(self, record: Record, place: tuple[int, int, int], size: int) -> None:
        """A record was refused when the log had `size` entries: an erasure may ask for it."""
        named = subjects_named(self._overlay, record)
        value = b"".join(named)
        for subject in named:
            self._keep(refused_key(subject, size, place_bytes(*place)), subject, value)

    def refuse_residue(self, erasure: int, place: tuple[int, int, int]) -> None:
        """A refused record's residue was executed."""
        key = refused_residue_key(erasure, place_bytes(*place))
        self._keep(key, key[1:-_PLACE_BYTES], b"")

    def _keep(self, key: bytes, under: bytes, value: bytes) -> None:
        self._changes[key] = value
        self._refused.setdefault(under, []).append(key)

    # --- the block's end ---

    def run(self, oldest: int | None, height: int) -> Generator[None, None, int | None]:
        """Erase as much as a block may, in turns. `oldest`: the first erasure that is not done
        (log index); the one that is not done after it is returned."""
        for log_index in self._waiting(oldest):
            is_done = yield from self._advance(log_index, height)
            if not is_done:
                return log_index
        return None

    def _waiting(self, oldest: int | None) -> Iterator[int]:
        if oldest is not None:
            for key, _ in self._reader.scan(erasure_key(oldest), after(ERASURE)):
                yield int.from_bytes(key[1:])
        yield from self._accepted

    def _row(self, log_index: int) -> ErasureRow:
        row = self._overlay.erasures.get(log_index.to_bytes(8))
        if row is None:
            raise StoreDamaged(describe_key(erasure_key(log_index)), f"is missing; {REPAIR}")
        return row

    def _advance(self, log_index: int, height: int) -> Generator[None, None, bool]:
        """Go on with one erasure; whether it is done."""
        row = self._row(log_index)
        own = self._leaf(log_index)
        is_done = True
        for at, each in enumerate(row.files):
            if each.next < each.until:
                reached = yield from self._file(log_index, own, each)
                files = (*row.files[:at], replace(each, next=reached), *row.files[at + 1 :])
                row.files = files
                if reached < each.until:
                    is_done = False
                    break
        if is_done:
            is_done = yield from self._take_refused(log_index, row)
        if is_done:
            row.done = height
            for each in row.files:
                subject = self._overlay.need_subject(each.subject)
                subject.erasing, subject.cleared = None, each.until
                self._overlay.subjects.put(each.subject, subject)
        self._overlay.erasures.put(log_index.to_bytes(8), row)
        return is_done

    def _file(self, erasure: int, own: LeafRow, each: FileRange) -> Generator[None, None, int]:
        """Erase what stands in a file; the position at which it has to stop for this block."""
        for position in range(each.next, each.until):
            if not self._looks:
                return position
            self._looks -= 1
            if self._looks % TURN_LOOKS == 0:
                yield
            key = file_row_key(each.subject, position)
            place = place_of(key, self._get(key))
            if place.target is None and not self._take(erasure, own, place.log_index):
                return position
        return each.until

    def _take(self, erasure: int, own: LeafRow, target: int) -> bool:
        """Erase a record, if it is to be; False where its leaves find no room."""
        row = self._leaf(target)
        if row.type in _STAYING or row.erasure is not None:
            return True
        files = self._files(row)
        if len(files) > self._left:
            return False
        self._left -= len(files)
        self._changes[leaf_key(target)] = encode(replace(row, erasure=erasure))
        hashed = leaf_hash(encode(leaf_of(FilePlace(erasure, target, 0), own)))
        value = erasure.to_bytes(8) + target.to_bytes(8) + self._since
        for subject in files:
            self._overlay.append_leaf(self._changes, subject, value, hashed).erased += 1
        if row.type == _LINK:
            self._unlink(*files)
        self.erased.append((row.lane, row.height, row.position, erasure))
        return True

    def _unlink(self, first: bytes, second: bytes) -> None:
        for here, there in ((first, second), (second, first)):
            row = self._overlay.need_subject(here)
            row.links = tuple(each for each in row.links if each != there)

    def _take_refused(self, erasure: int, row: ErasureRow) -> Generator[None, None, bool]:
        prefixes = [refused_residue_key(erasure, b"")[1:]]
        for prefix in (*prefixes, *(each.subject for each in row.files)):
            is_subject = len(prefix) == _SUBJECT_BYTES
            stop = prefix + (erasure + 1).to_bytes(8) if is_subject else after(prefix)
            for key, value in self._refused_rows(prefix, stop):
                if not self._left:
                    return False
                self._left -= 1
                if self._left % TURN_LOOKS == 0:
                    yield
                self._drop(key, value)
                lane, height, position = key[-14:-10], key[-10:-2], key[-2:]
                place = int.from_bytes(lane), int.from_bytes(height), int.from_bytes(position)
                self.erased.append((*place, erasure))
        return True

    def _refused_rows(self, prefix: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows of refused records that no erasure has taken, those of this block last."""
        for key, value in self._reader.scan(REFUSED + prefix, REFUSED + stop):
            if key not in self._changes:
                yield key, value
        for key in self._refused.get(prefix, ()):
            fresh = self._changes[key]
            if fresh is not None and key < REFUSED + stop:
                yield key, fresh

    def _drop(self, key: bytes, value: bytes) -> None:
        if not value:
            self._changes[key] = None
        for at in range(0, len(value), _SUBJECT_BYTES):
            subject = value[at : at + _SUBJECT_BYTES]
            self._changes[REFUSED + subject + key[1 + _SUBJECT_BYTES :]] = None

    # --- rows ---

    def _get(self, key: bytes) -> bytes:
        value = self._changes.get(key) or self._reader.get(key)
        if value is None:
            raise StoreDamaged(describe_key(key), f"is missing; {REPAIR}")
        return value

    def _leaf(self, log_index: int) -> LeafRow:
        key = leaf_key(log_index)
        return decode_row(LeafRow, key, self._get(key))

    def _files(self, row: LeafRow) -> tuple[bytes, ...]:
        """The subject keys of the files that a record stands in."""
        if row.target is not None:
            row = self._leaf(row.target)
        if isinstance(row.kept, bytes):
            return (row.kept,)
        return tuple(map(self._subject, row.kept))

    def _subject(self, registered: int) -> bytes:
        found = self._subjects.get(registered)
        if found is None:
            kept = self._leaf(registered).kept
            if not isinstance(kept, bytes) or len(kept) != _SUBJECT_BYTES:
                where = describe_key(leaf_key(registered))
                raise StoreDamaged(where, f"is no register's; {REPAIR}")
            found = self._subjects[registered] = kept
        return found
