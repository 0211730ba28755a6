"""Erasing: the residue that takes an opening's place, made while the opening can still be read.

| record | its stand-in keeps | and says instead of the rest |
|---|---|---|
| subject.register | platform, handle, key, assurance | dated 1990 |
| subject.link | platforms, handles, keys | dated 1990 |
| engagement.open | platform, at, reference, parties, due_until | the plainest terms |
| engagement.outcome | platform, reference | *good*, *bad* or *nothing* |
| rating | platform, reference, direction, rater, key, scale, a bad value | *best* or *middle* |

*The plainest terms*: freelance, lead, the first domain, no value band. An outcome that was tallied
as a newcomer's says *good* (completed and accepted) or *bad* (late); any other says *nothing*
(unresolved). A good rating is the scale's *best*, one that is neither good nor bad its *middle*.
Outcomes and ratings are dated at the engagement's open if they were retrospective, else just after
its batch.

What a stand-in keeps stands in the rows of the state anyhow, but for a bad rating's value: its
weight is in the rated party's tally.
"""

from typing import Final

from msgspec.structs import replace

from ledger.batch import commitment
from ledger.block import rule_hash
from ledger.bureau.standing import NEW_PLATFORM, Annotation, after_outcome, grade_of, worker_sign
from ledger.encoding import UINT_MAX, decode
from ledger.errors import Malformed, StoreDamaged
from ledger.files import file_indices, read_leaf, read_submission
from ledger.records import TAGS, Record, decode_record, encode_record
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
    EngagementRow,
    LeafRow,
    RecordRow,
    lane_key,
    need_row,
    read_row,
    record_key,
    refusal_key,
    residue_key,
)
from ledger.rules import EARLIEST_MS, Vocabulary
from ledger.rules.engagement import engagement_key
from ledger.store import ENGAGEMENT, Reader, subject_key

Place = tuple[int, int, int]
"""Lane, batch height, position."""

ANNOTATION_BYTES_MAX: Final = 64

_OUTCOME: Final = TAGS[EngagementOutcome]
_SAID: Final[dict[int, tuple[Status, Fault, int, Acceptance]]] = {
    1: ("completed", "none", 0, "accepted"),
    0: ("unresolved", "none", 0, "unknown"),
    -1: ("late", "none", 1, "unknown"),
}
"""What a worker's outcome says (`worker_sign`) → the one that says the same and no more."""


def residue_of(reader: Reader, vocabulary: Vocabulary, place: Place, erasure: int) -> Residue:
    """The residue of an executed record, by its place (lane, batch height, position).

    `vocabulary`: that in force at the record's block; `erasure`: the erasure's log index.

    Raises:
        StoreDamaged: a row is missing or not what was written; the opening is gone.
    """
    return _Residues(reader, vocabulary).of(place, erasure)


class _Residues:
    def __init__(self, reader: Reader, vocabulary: Vocabulary) -> None:
        self._reader = reader
        self._vocabulary = vocabulary

    def of(self, place: Place, erasure: int) -> Residue:
        opening = read_submission(self._reader, *place)
        if opening is None:
            raise StoreDamaged(_where(place), f"is no opening any more; {REPAIR}")
        record_id = commitment(opening)
        row = read_row(self._reader, RecordRow, record_key(record_id))
        if row is None or (row.lane, row.height, row.position) != place or row.log_index is None:
            rule = self._rule(record_id, place)
            return Residue(record_id, erasure, rule_hash(opening.salt, rule), rule, b"")
        leaf = read_leaf(self._reader, row.log_index)
        try:
            stand_in = self._stand_in(decode_record(opening.record), row.log_index, leaf)
        except Malformed as error:
            raise StoreDamaged(_where(place), f"{error}; {REPAIR}") from error
        return Residue(record_id, erasure, leaf.annotation_hash, "", encode_record(stand_in))

    def _rule(self, record_id: bytes, place: Place) -> str:
        """The rule that a record broke at this place.

        A lane may hold a submission several times; a refusal's row tells of the last place only.
        """
        row = read_row(self._reader, RecordRow, refusal_key(record_id, place[0]))
        if row is None or (row.lane, row.height, row.position) != place:
            raise StoreDamaged(_where(place), "is not the last place of a record that was refused")
        return row.rule

    def _stand_in(self, record: Record, log_index: int, leaf: LeafRow) -> Record:
        match record:
            case SubjectRegister() | SubjectLink():
                return replace(record, at=EARLIEST_MS)
            case EngagementOpen():
                return self._open(record)
            case EngagementOutcome():
                return self._outcome(record, log_index, _annotation(leaf))
            case Rating():
                return self._rating(record, _annotation(leaf))

    def _open(self, record: EngagementOpen) -> EngagementOpen:
        return replace(
            record,
            format="freelance",
            domains=(min(self._vocabulary.domains),),
            role="lead",
            due_from=record.due_until,
            value_band=0,
        )

    def _outcome(
        self, record: EngagementOutcome, log_index: int, annotation: Annotation
    ) -> EngagementOutcome:
        engagement = self._engagement(record.platform, record.reference)
        worker = subject_key(record.platform, engagement.worker)
        sign = worker_sign(record.status, record.fault, record.acceptance)
        tally = after_outcome(
            NEW_PLATFORM,
            sign,
            earlier_results=self._results(worker, log_index),
            attested=record.basis == "platform",
            client_standing=annotation.standing_q16,
            model=replace(self._vocabulary.model, newcomer_window=UINT_MAX),
        )
        said = _SAID[sign if tally.newcomers else 0]
        at = _at(engagement, annotation)
        return EngagementOutcome(record.platform, at, record.reference, *said, "platform")

    def _rating(self, record: Rating, annotation: Annotation) -> Rating:
        engagement = self._engagement(record.platform, record.reference)
        scale = self._vocabulary.scales[record.scale]
        grade = grade_of(scale, record.value)
        value = record.value if grade < 0 else scale.high if grade > 0 else scale.middle
        at = _at(engagement, annotation)
        return replace(record, at=at, value=value, dimensions=())

    def _engagement(self, platform: int, reference: bytes) -> EngagementRow:
        key = ENGAGEMENT + engagement_key(platform, reference)
        return need_row(self._reader, EngagementRow, key)

    def _results(self, worker: bytes, log_index: int) -> int:
        """How many outcomes a worker's handle had before the one at this log index."""
        count = 0
        for earlier in file_indices(self._reader, worker, log_index):
            leaf = read_leaf(self._reader, earlier)
            if leaf.type == _OUTCOME and self._worker_of(leaf) == worker:
                count += 1
        return count

    def _worker_of(self, outcome: LeafRow) -> bytes:
        """Whose outcome it is, by its opening or by what is left of it."""
        place = (outcome.lane, outcome.height, outcome.position)
        opening = read_submission(self._reader, *place)
        if opening is not None:
            data = opening.record
        else:
            name = self._reader.get(lane_key(outcome.lane, outcome.height)) or b""
            data = need_row(self._reader, Residue, residue_key(name, outcome.position)).stand_in
        try:
            record = decode_record(data)
        except Malformed as error:
            raise StoreDamaged(_where(place), f"{error}; {REPAIR}") from error
        if not isinstance(record, EngagementOutcome):
            raise StoreDamaged(_where(place), f"is no outcome; {REPAIR}")
        worker = self._engagement(record.platform, record.reference).worker
        return subject_key(record.platform, worker)


def _annotation(leaf: LeafRow) -> Annotation:
    return decode(Annotation, leaf.annotation, bytes_max=ANNOTATION_BYTES_MAX, what="annotation")


def _at(engagement: EngagementRow, annotation: Annotation) -> int:
    """A date (ms) from which the same follows: said in hindsight, or not."""
    return engagement.at if annotation.retrospective else engagement.known + 1


def _where(place: Place) -> str:
    lane, height, position = place
    return f"record {position} of batch {lane}/{height}"
