"""Erasing: the residue that takes an opening's place, made while the opening can still be read.

| record | its stand-in keeps | and says instead of the rest |
|---|---|---|
| subject.register | platform, handle, key, assurance | dated 1990 |
| subject.link | platforms, handles, keys | dated as its batch |
| engagement.open | platform, at, reference, parties, due_until | the plainest terms |
| engagement.outcome | platform, reference, basis | *good*, *bad* or *nothing* |
| rating | platform, reference, direction, rater, key, scale, a bad value | *best* or *middle* |

*The plainest terms*: freelance, lead, the first domain, no value band. What an outcome said of its
worker it says in the plainest way: *good* (completed and accepted), *bad* (late) or *nothing*
(unresolved); the platform's tally and what is expected of the worker follow from it. A good rating
is the scale's *best*, one that is neither good nor bad its *middle*. Outcomes and ratings are dated
at the engagement's open if they were retrospective, else just after its batch.

What a stand-in keeps stands in the rows of the state anyhow, but for an outcome's sign and a bad
rating's value: they are in the sums of its parties and its platform.

A residue is a function of the opening and of rows that never change: the record's leaf row and
record row, its batch's header, and what its engagement's row says of the open. So every node makes
the same bytes, whenever it makes them and whatever it has erased before.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from ledger.batch import Submission, commitment
from ledger.block import rule_hash
from ledger.bureau.standing import Annotation, grade_of, worker_sign
from ledger.encoding import decode
from ledger.errors import Malformed, StoreDamaged
from ledger.files import read_leaf
from ledger.record_rows import RecordRow, find_accepted, record_key, refusal_key
from ledger.records import Record, decode_record, encode_record
from ledger.records.engagement import (
    Acceptance,
    EngagementOpen,
    EngagementOutcome,
    Fault,
    Status,
)
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.residue import Residue
from ledger.rows import (
    REPAIR,
    BlockRow,
    EngagementRow,
    HeaderRow,
    LeafRow,
    decode_row,
    header_key,
    lane_key,
    need_row,
    read_row,
    submission_key,
)
from ledger.rules import EARLIEST_MS, Vocabulary
from ledger.rules.engagement import engagement_key
from ledger.store import BLOCK, ENGAGEMENT, Reader, after

Place = tuple[int, int, int]
"""Lane, batch height, position."""

Erased = tuple[int, int, int, int]
"""Lane, batch height, position, the erasure's log index: as `Applied.erased` has it."""

ANNOTATION_BYTES_MAX: Final = 64

_SAID: Final[dict[int, tuple[Status, Fault, int, Acceptance]]] = {
    1: ("completed", "none", 0, "accepted"),
    0: ("unresolved", "none", 0, "unknown"),
    -1: ("late", "none", 1, "unknown"),
}
"""What a worker's outcome says (`worker_sign`) → the one that says the same and no more."""


def residue_of(reader: Reader, vocabulary: Vocabulary, place: Place, erasure: int) -> Residue:
    """The residue of an executed record, by its place (lane, batch height, position).

    `vocabulary`: the words in force; `erasure`: the erasure's log index.

    Raises:
        StoreDamaged: a row is missing or not what was written; the opening is gone.
    """
    [residue] = residues_of(reader, vocabulary, [(*place, erasure)])
    return residue


def residues_of(
    reader: Reader, vocabulary: Vocabulary, erased: Iterable[Erased]
) -> Iterator[Residue]:
    """The residues of many executed records, in their order, in constant work for each.

    They may be taken from different erasures; what they have in common is looked up once.

    Raises:
        StoreDamaged: as `residue_of`, for the first record that has none.
    """
    making = _Residues(reader, vocabulary)
    for lane, height, position, erasure in erased:
        yield making.of((lane, height, position), erasure)


class _Residues:
    def __init__(self, reader: Reader, vocabulary: Vocabulary) -> None:
        self._reader = reader
        self._vocabulary = vocabulary
        self._names: dict[tuple[int, int], bytes] = {}
        self._engagements: dict[bytes, EngagementRow] = {}

    def of(self, place: Place, erasure: int) -> Residue:
        opening = self._opening(place)
        if opening is None:
            raise StoreDamaged(_where(place), f"is no opening any more; {REPAIR}")
        record_id = commitment(opening)
        log_index = self._log_index(record_id, place)
        if log_index is None:
            rule = need_row(self._reader, RecordRow, refusal_key(record_id, *place)).rule
            return Residue(record_id, erasure, rule_hash(opening.salt, rule), rule, b"")
        leaf = read_leaf(self._reader, log_index)
        try:
            stand_in = self._stand_in(place, decode_record(opening.record), leaf)
        except Malformed as error:
            raise StoreDamaged(_where(place), f"{error}; {REPAIR}") from error
        return Residue(record_id, erasure, leaf.annotation_hash, "", encode_record(stand_in))

    def _log_index(self, record_id: bytes, place: Place) -> int | None:
        """Where the record at a place was accepted; None: it was refused there."""
        row = find_accepted(self._reader, record_id)
        if row is not None and (row.lane, row.height, row.position) == place:
            return row.log_index
        get = self._reader.get
        if get(refusal_key(record_id, *place)) is not None or get(record_key(record_id)) is None:
            return None
        # A later record's id begins like this one's, and hides it.
        return next(_indices_at(self._reader, place), None)

    def _opening(self, place: Place) -> Submission | None:
        lane, height, position = place
        name = self._names.get((lane, height))
        if name is None:
            name = self._reader.get(lane_key(lane, height))
            if name is None:
                return None
            self._names[lane, height] = name
        return read_row(self._reader, Submission, submission_key(name, position))

    def _batch_time(self, place: Place) -> int:
        """A date (ms) that no earlier erasure of the file reaches, as the record's own was."""
        name = self._names[place[:2]]
        return need_row(self._reader, HeaderRow, header_key(name)).header.time

    def _stand_in(self, place: Place, record: Record, leaf: LeafRow) -> Record:
        match record:
            case SubjectRegister():
                return replace(record, at=EARLIEST_MS)
            case SubjectLink():
                return replace(record, at=self._batch_time(place))
            case EngagementOpen():
                return self._open(record)
            case EngagementOutcome():
                return self._outcome(record, leaf)
            case Rating():
                return self._rating(record, _annotation(leaf))
            case _:
                raise StoreDamaged(_where(place), "is of a type that is never erased")

    def _open(self, record: EngagementOpen) -> EngagementOpen:
        return replace(
            record,
            format="freelance",
            domains=(min(self._vocabulary.domains),),
            role="lead",
            due_from=record.due_until,
            value_band=0,
        )

    def _outcome(self, record: EngagementOutcome, leaf: LeafRow) -> EngagementOutcome:
        said = _SAID[worker_sign(record.status, record.fault, record.acceptance)]
        at = _at(self._engagement(record.platform, record.reference), _annotation(leaf))
        return EngagementOutcome(record.platform, at, record.reference, *said, record.basis)

    def _rating(self, record: Rating, annotation: Annotation) -> Rating:
        scale = self._vocabulary.scales[record.scale]
        grade = grade_of(scale, record.value)
        value = record.value if grade < 0 else scale.high if grade > 0 else scale.middle
        at = _at(self._engagement(record.platform, record.reference), annotation)
        return replace(record, at=at, value=value, dimensions=())

    def _engagement(self, platform: int, reference: bytes) -> EngagementRow:
        key = ENGAGEMENT + engagement_key(platform, reference)
        row = self._engagements.get(key)
        if row is None:
            row = self._engagements[key] = need_row(self._reader, EngagementRow, key)
        return row


def _indices_at(reader: Reader, place: Place) -> Iterator[int]:
    """The log index of the record that was accepted at a place, from the leaves themselves."""
    lane, height, _ = place
    for key, data in reader.scan(BLOCK, after(BLOCK)):
        row = decode_row(BlockRow, key, data)
        if any(tip.lane == lane and tip.height >= height for tip in row.block.tips):
            for log_index in range(row.first, row.size - 1):
                leaf = read_leaf(reader, log_index)
                if (leaf.lane, leaf.height, leaf.position) == place:
                    yield log_index
            return


def _annotation(leaf: LeafRow) -> Annotation:
    return decode(Annotation, leaf.annotation, bytes_max=ANNOTATION_BYTES_MAX, what="annotation")


def _at(engagement: EngagementRow, annotation: Annotation) -> int:
    """A date (ms) from which the same follows: said in hindsight, or not."""
    return engagement.at if annotation.retrospective else engagement.known + 1


def _where(place: Place) -> str:
    lane, height, position = place
    return f"record {position} of batch {lane}/{height}"
